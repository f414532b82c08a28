"""Hungry bots of a sandbox, and what the sandbox asks for itself, beside a witness."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, ROOT, ServiceTestCase, wait_until
from tests.processes import TWISTD, free_port

ALICE, BOB, GROUP = 20001, 20002, 30001


class WebHandler(http.server.BaseHTTPRequestHandler):
    """A web server that redirects to wherever it is told, and remembers what it was asked with."""

    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        type(self).seen.append({name.lower(): value for name, value in self.headers.items()})
        away = self.path.partition("?to=")[2]
        self.send_response(302 if away else 200)
        if away:
            self.send_header("Location", away)
        self.send_header("Content-Length", "0" if away else "3")
        self.end_headers()
        if not away:
            self.wfile.write(b"abc")

    def log_message(self, *_arguments: Any) -> None:
        """Quiet."""


class BudgetCase(ServiceTestCase):
    """A service whose hungry bot has the token ``hungry1``, and whose witness has ``witness1``."""

    media_hosts = '["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"]'

    @property
    def toml(self) -> str:  # type: ignore[override]
        return f"""
            [[accounts]]
            self_id = 10001
            media_hosts = {self.media_hosts}
            [[bots]]
            name = "hungry"
            access_token = "hungry1"
            actions = {{ allow = ["send_private_msg", "upload_group_file", "get_*", "set_*", "_send*"] }}
            [[bots]]
            name = "witness"
            access_token = "witness1"
            [[bots]]
            name = "anybody"
            [limits]
            heartbeat_interval = "0s"
        """

    def bot(self, name: str) -> RawClient:
        bot = RawClient(self.service, "/api", {"Authorization": f"Bearer {name}1"})
        self.addCleanup(bot.socket.close)
        return bot

    def image(self, reference: str) -> list[dict[str, Any]]:
        return [{"type": "image", "data": {"file": reference}}]

    def slowest(self, witness: RawClient, during: Any) -> float:
        """Seconds that the slowest of the witness's calls takes while ``during`` runs in a thread."""
        running = threading.Thread(target=during)
        running.start()
        slowest = 0.0
        while running.is_alive():
            watch = self.service.stopwatch()
            self.assertEqual(witness.ask("get_status")["retcode"], 0)
            slowest = max(slowest, watch.seconds())
            time.sleep(0.002)
        running.join()
        return slowest


class OwnPortTests(BudgetCase):
    """A sandbox's fetcher is no program on this machine."""

    def test_own_port(self) -> None:
        """Whatever name or address means our own port, also by redirect, is refused, and nothing is done."""
        handler = type("Handler", (WebHandler,), {"seen": []})
        web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        self.addCleanup(web.server_close)
        self.addCleanup(web.shutdown)
        port, bot = self.service.port, self.bot("hungry")
        kick = f"/set_group_kick?group_id={GROUP}&user_id={BOB}"
        for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"):
            answer = bot.ask(
                "send_private_msg", user_id=ALICE, message=self.image(f"http://{host}:{port}{kick}")
            )
            self.assertEqual(answer["retcode"], 100, (host, answer))
        away = f"http://127.0.0.1:{web.server_address[1]}/?to=http://127.0.0.1:{port}{kick}"
        answer = bot.ask("send_private_msg", user_id=ALICE, message=self.image(away))
        self.assertEqual(answer["retcode"], 100, answer)
        self.assertIn("lgtwist's own port", answer["message"])
        members = self.bot("witness").ask("get_group_member_list", group_id=GROUP)["data"]
        self.assertIn(BOB, [member["user_id"] for member in members])
        # Another service sees that somebody else asked for it.
        good = f"http://127.0.0.1:{web.server_address[1]}/a.png"
        answer = bot.ask("send_private_msg", user_id=ALICE, message=self.image(good))
        self.assertEqual(answer["retcode"], 0, answer)
        self.assertEqual({seen["via"] for seen in handler.seen}, {"1.1 lgtwist"})  # type: ignore[attr-defined]
        self.assertEqual(self.service.http(kick, headers={"Via": "1.1 lgtwist"})[0], 403)


class HungryTests(BudgetCase):
    """What one bot does with a sandbox costs others nothing."""

    def test_slow_files(self) -> None:
        """Files that do not come hold up those of the same bot only; what waits counts in its budget."""
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        slow = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        hungry, witness = self.bot("hungry"), self.bot("witness")
        before = self.service.memory()
        for _ in range(8):
            hungry.call("upload_group_file", group_id=GROUP, file=slow, name="x")
        large = self.image("base64://" + "QUFB" * (2 << 20))
        for _ in range(16):
            hungry.call("send_private_msg", user_id=ALICE, message=large)
        watch = self.service.stopwatch()
        answer = witness.ask("send_private_msg", user_id=ALICE, message=self.image("base64://QUFB"))
        self.assertEqual(answer["retcode"], 0, answer)
        self.assertLess(watch.seconds(), 5.0)
        self.assertEqual(hungry.response()["retcode"], 1429)  # one of those that did not fit
        self.assertLess(self.service.memory() - before, 160 << 20)

    def test_worst_messages(self) -> None:
        """The largest and most numerous messages are done or refused, and nobody else waits for long."""
        hungry, witness = self.bot("hungry"), self.bot("witness")
        mebi = 1 << 20
        outcomes: list[int] = []
        messages: list[Any] = [
            "x" * (20 * mebi),
            [{"type": "text", "data": {"text": "a\n" * (8 * mebi)}}],
            [{"type": "text", "data": {"text": "&" * (8 * mebi)}}],
            [{"type": "face", "data": {}}] * 400_000,
            [1] * (4 * mebi),
            self.image("base64://" + "QUFB" * (6 * mebi)),
        ]

        def send() -> None:
            for message in messages:
                hungry.call("send_private_msg", user_id=ALICE, message=message)
                outcomes.append(hungry.response()["retcode"])

        slowest = self.slowest(witness, send)
        self.assertEqual(outcomes, [0, 0, 1400, 1400, 1400, 0])
        # This process makes and sends the messages meanwhile, with the same interpreter.
        self.assertLess(slowest, 1.0)

    def test_a_groups_record(self) -> None:
        """Megabytes in the record of a group are refused, and a change of a card stays cheap."""
        bot = self.bot("hungry")
        before = self.service.memory()
        for number in range(5):
            flag = f"anonymous-{GROUP}-{number}" + "n" * (4 << 20)
            answer = bot.ask("set_group_anonymous_ban", group_id=GROUP, flag=flag, duration=2_000_000)
            self.assertEqual(answer["retcode"], 1400)
            answer = bot.ask("_send_group_notice", group_id=GROUP, content="n" * (4 << 20))
            self.assertEqual(answer["retcode"], 1400)
        watch = self.service.stopwatch()
        for number in range(20):
            bot.ask("set_group_card", group_id=GROUP, user_id=10001, card=str(number))
        self.assertLess(watch.seconds(), 1.0)
        self.assertLess(self.service.memory() - before, 64 << 20)


class LockedTests(ServiceTestCase):
    """Another program has locked the world's file."""

    toml = '[limits]\nheartbeat_interval = "0s"\n'

    def test_nobody_waits(self) -> None:
        """While it is locked everything is done as ever; afterwards everything is in the file."""
        file = self.service.folder / "data" / "sandbox-10001.sqlite"
        self.service.say(ALICE, "before")
        other = sqlite3.connect(file, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        watch = self.service.stopwatch()
        with RawClient(self.service, "/api") as bot:
            for number in range(20):
                bot.ask("send_private_msg", user_id=ALICE, message=f"{number}")
        self.assertLess(watch.seconds(), 2.0)
        self.assertEqual(len(self.service.transcript()), 21)
        other.execute("ROLLBACK")

        def saved() -> bool:
            return len(other.execute("SELECT key FROM record WHERE kind = 'message'").fetchall()) == 21

        wait_until("it is written", saved)

    def test_start_and_stop(self) -> None:
        """It starts while the file is locked, and stops within seconds; a line says what is lost."""
        file = self.service.folder / "data" / "sandbox-10001.sqlite"
        self.service.say(ALICE, "before")
        self.service.stop()
        other = sqlite3.connect(file, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        self.service.start()
        self.assertEqual([m["raw_message"] for m in self.service.transcript()], ["before"])
        self.service.say(ALICE, "lost")
        began = time.monotonic()
        self.service.stop(signal.SIGTERM)
        self.assertLess(time.monotonic() - began, PATIENCE)
        self.assertIn("cannot be written", self.service.log())
        other.execute("ROLLBACK")


class ModesTests(ServiceTestCase):
    """Files and sockets are for our user alone."""

    def setUp(self) -> None:
        """No service yet: it is started with an umask of its own."""

    def test_open_umask(self) -> None:
        """With umask 0, as a daemon's: no file in data_dir is for others, nor is a unix: socket."""
        folder = Path(tempfile.mkdtemp())  # its name is short enough for a unix socket
        self.addCleanup(shutil.rmtree, folder)
        data = folder / "data"
        data.mkdir(parents=True)
        data.chmod(0o755)
        path, port = folder / "socket", free_port()
        config = folder / "lgtwist.toml"
        config.write_text(
            f'data_dir = "{data}"\n[server]\nendpoints = ["tcp:{port}:interface=127.0.0.1", "unix:{path}"]\n'
            '[[accounts]]\nself_id = 10001\n[[bots]]\nname = "a"\ndelivery = "at-least-once"\n'
        )
        log = folder / "log"
        before = os.umask(0)
        try:
            with log.open("w") as writing:
                service = subprocess.Popen(
                    [*TWISTD, "-n", "--pidfile=", "lgtwist", "--config", str(config)],
                    stdout=writing,
                    stderr=writing,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                )
        finally:
            os.umask(before)
        self.addCleanup(service.wait, PATIENCE)
        self.addCleanup(service.terminate)

        def listens() -> bool:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True
            return False

        wait_until("it listens", listens)
        bot = RawClient(None, "/api", port=port)
        with bot:
            image = [{"type": "image", "data": {"file": "base64://QUFB"}}]
            self.assertEqual(bot.ask("send_private_msg", user_id=ALICE, message=image)["retcode"], 0)
        open_to_others = [
            f"{one.relative_to(folder)} {oct(one.stat().st_mode)}"
            for one in (*data.rglob("*"), folder / "socket")
            if stat.S_IMODE(one.stat().st_mode) & 0o077
        ]
        self.assertEqual(open_to_others, [])
        self.assertTrue(any("media" in str(one) for one in data.rglob("*")))
        lines = [line for line in log.read_text().splitlines() if "open to other users" in line]
        self.assertEqual(len(lines), 1, log.read_text())
