"""The ways of running lgtwist, each as a real process, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.integration.commands import RunTestCase, answers, gone, lifecycle_from
from tests.integration.rawclient import Ended, HandshakeRefused, RawClient
from tests.integration.running import PATIENCE, ROOT, ServiceTestCase, wait_until
from tests.processes import TWISTD, free_port, one_at_a_time

DEFAULT_PORT = 8081


class Starting(RunTestCase):
    """It runs."""

    def check_default(self, *args: object) -> None:
        """The embedded default serves the sandbox on its own port."""
        with one_at_a_time("default-port"):
            if answers(DEFAULT_PORT):
                raise SkipTest(f"port {DEFAULT_PORT} is in use on this machine")
            process = self.run_on(*args, port=DEFAULT_PORT)
            first = lifecycle_from(f"ws://127.0.0.1:{DEFAULT_PORT}/")
            self.assertEqual((first["self_id"], first["sub_type"]), (10001, "connect"))
            self.assertTrue((self.folder / "lgtwist-data" / "sandbox-10001.sqlite").exists())
            self.assertEqual(process.stop(), 0)

    def test_application_file(self) -> None:
        """``twistd -ny lgtwist.tac`` in an empty folder serves the embedded default."""
        self.check_default("-ny", ROOT / "lgtwist.tac")

    def test_plugin_default(self) -> None:
        """``twistd -n lgtwist`` in an empty folder does the same."""
        self.check_default("-n", "lgtwist")

    def test_printed_lines(self) -> None:
        """What the first log lines say can be used as it stands: URLs of bots, settings, the curl line."""
        self.run_on("-n", "lgtwist", "--config", self.write())
        log = self.log()
        self.assertIn(f"data in {self.data}", log)
        (account_url,) = re.findall(r"account 10001 \(sandbox\): (\S+)$", log, re.M)
        (bot_url,) = re.findall(r'bot "default" connects to (\S+) ', log)
        (settings,) = re.findall(r"ONEBOT_WS_URLS=(\[.*?\])", log)
        for url in (account_url, bot_url, *json.loads(settings)):
            self.assertEqual(lifecycle_from(url)["self_id"], 10001)
        self.assertIn("pip install 'nonebot2[websockets]' nonebot-adapter-onebot", log)
        self.assertIn("DRIVER=~websockets", log)
        curl, transcript = re.findall(r"(curl .*)$", log, re.M)
        words = shlex.split(curl)
        (url,) = [word for word in words if word.startswith("http://")]
        body = words[words.index("-d") + 1].encode()
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=PATIENCE) as answer:
            self.assertEqual(json.load(answer), {"message_id": 1})
        with urllib.request.urlopen(shlex.split(transcript)[-1], timeout=PATIENCE) as answer:
            self.assertEqual(json.load(answer)["last_message_id"], 1)

    def test_application_file_with_configuration(self) -> None:
        """``lgtwist.tac`` takes LGTWIST_CONFIG too."""
        self.run_on("-ny", ROOT / "lgtwist.tac", LGTWIST_CONFIG=str(self.write()))
        self.assertTrue(self.data.is_dir())

    def test_which_configuration(self) -> None:
        """--config counts, else LGTWIST_CONFIG, else ./lgtwist.toml."""

        def written(name: str, self_id: int) -> Path:
            return self.write(f'[[accounts]]\ntype = "sandbox"\nself_id = {self_id}\n', name=name)

        def served(*args: object, **environment: str) -> list[str]:
            ended = self.run_to_end("lgtwist", "--check", *args, **environment)
            self.assertEqual((ended.returncode, ended.stderr), (0, ""))
            return re.findall(r"^account (\d+)", ended.stdout, re.M)

        self.assertEqual(served(), ["10001"])
        written("lgtwist.toml", 11)
        named, other = written("named.toml", 12), written("other.toml", 13)
        self.assertEqual(served(), ["11"])
        self.assertEqual(served(LGTWIST_CONFIG=str(other)), ["13"])
        self.assertEqual(served("--config", named, LGTWIST_CONFIG=str(other)), ["12"])
        self.assertEqual(served("-c", "named.toml"), ["12"])

    def test_file_in_folder(self) -> None:
        """./lgtwist.toml is served without being named."""
        self.write(name="lgtwist.toml")
        self.run_on("-n", "lgtwist")
        self.assertEqual(lifecycle_from(f"ws://127.0.0.1:{self.port}/")["self_id"], 10001)

    def test_check(self) -> None:
        """--check says what would be served, with status 0, and does nothing: no port, no folder, no file."""
        config = self.write('[[bots]]\nname = "koishi"\naccess_token = "the-t0ken"\n')
        with socket.create_server(("127.0.0.1", self.port)):  # taken: it must not matter
            ended = self.run_to_end("lgtwist", "--check", "--config", config)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertIn(f"ws://127.0.0.1:{self.port}/10001", ended.stdout)
        self.assertIn('bot "koishi"', ended.stdout)
        self.assertNotIn("the-t0ken", ended.stdout)
        self.assertEqual([path.name for path in self.folder.iterdir()], [config.name])

    def test_help(self) -> None:
        """--help explains both options and the environment variable."""
        ended = self.run_to_end("lgtwist", "--help")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        for word in ("--config", "--check", "LGTWIST_CONFIG", "lgtwist.toml"):
            self.assertIn(word, ended.stdout)

    def test_token_from_file(self) -> None:
        """A token in a file of its own opens the port; the file's last line end is not part of it."""
        secret = self.folder / "token"
        secret.write_text("fr0m-a-file\n")
        config = self.write(f'[[bots]]\nname = "b"\naccess_token_file = "{secret}"\n')
        self.run_on("-n", "lgtwist", "--config", config)
        with self.assertRaises(HandshakeRefused) as caught:
            lifecycle_from(f"ws://127.0.0.1:{self.port}/")
        self.assertEqual(caught.exception.status, 401)
        first = lifecycle_from(f"ws://127.0.0.1:{self.port}/?access_token=fr0m-a-file")
        self.assertEqual(first["sub_type"], "connect")
        self.assertNotIn("fr0m-a-file", self.log())


class Daemon(RunTestCase):
    """It runs in the background."""

    def test_daemon(self) -> None:
        """In the background it has a pid file, a log and its world, and SIGTERM ends it in 3 seconds."""
        config = self.write()
        pid_path = self.folder / "lgtwist.pid"
        args = ("--pidfile", pid_path, "--logfile", self.log_path, "lgtwist", "--config", config)
        started = self.run_to_end(*args)
        self.assertEqual((started.returncode, started.stdout, started.stderr), (0, "", ""))
        wait_until("the pid file is there", lambda: pid_path.exists() and pid_path.read_text())
        pid = int(pid_path.read_text())

        def end() -> None:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)

        self.addCleanup(end)
        wait_until("it says what it serves", lambda: "To attach a NoneBot2" in self.log())
        with RawClient(None, port=self.port) as bot:
            bot.event(meta_event_type="lifecycle")
            self.assertEqual(bot.ask("send_private_msg", user_id=20001, message="hello")["retcode"], 0)
            # The folder is its own, although another process got it before the fork.
            second = self.write(name="second.conf").read_text().replace(str(self.port), str(free_port()))
            (self.folder / "second.conf").write_text(second)
            line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "-c", "second.conf")
            self.assertIn("is in use by another lgtwist", line)
            began = time.monotonic()
            os.kill(pid, signal.SIGTERM)
            self.assertEqual(bot.close_frame()[0], 1012)
            bot.send_close(1012)
            wait_until("it is gone", lambda: gone(pid), patience=max(0.1, began + 3 - time.monotonic()))
        self.assertFalse(pid_path.exists())
        self.assertNotIn("Traceback", self.log())
        with contextlib.closing(sqlite3.connect(self.data / "sandbox-10001.sqlite")) as world:
            kept = world.execute("SELECT body FROM record WHERE kind='message'").fetchall()
        self.assertEqual(len(kept), 1)


class Stopping(ServiceTestCase):
    """It ends when it is told to."""

    toml = '[limits]\nclose_timeout = "500ms"\n'

    def use_patient_service(self) -> None:
        """A service that waits a minute for bots: if it ends sooner it did not wait for them."""
        self.service.clean_up()
        self.service = self.start_service(toml='[limits]\nclose_timeout = "60s"\n')

    def test_signals(self) -> None:
        """SIGTERM and SIGINT end it with status 0; with nobody there, or with good bots, at once."""
        self.use_patient_service()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.assertEqual(self.service.http("/")[0], 200)  # a signal while it starts is another story
            self.assertEqual(self.service.stop(number), 0)
            self.service.start()
            with RawClient(self.service) as bot:
                bot.message()
                self.service.send_signal(number)
                code, reason = bot.close_frame()
                self.assertEqual(code, 1012)
                self.assertEqual(reason, "lgtwist stops")
                bot.send_close(1012)
                self.assertEqual(self.service.wait(), 0)
            self.service.start()

    def test_silent_bots(self) -> None:
        """Bots that answer nothing, half requests and long polls delay its end by close_timeout at most."""
        bots = [RawClient(self.service, path) for path in ("/", "/api", "/event")]
        for bot in bots:
            self.addCleanup(bot.socket.close)
        half = self.service.connect()
        self.addCleanup(half.close)
        half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        poll = self.service.connect()
        self.addCleanup(poll.close)
        poll.sendall(b"GET /sandbox/10001/transcript?wait=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        idle = self.service.connect()
        self.addCleanup(idle.close)
        bots[1].ask("get_status")
        self.assertEqual(self.service.http("/")[0], 200)
        began = time.monotonic()
        self.assertEqual(self.service.stop(signal.SIGTERM), 0)
        self.assertLess(time.monotonic() - began, 0.5 + 2)

    def test_impatience(self) -> None:
        """A second signal ends it at once."""
        self.use_patient_service()
        bot = RawClient(self.service)
        self.addCleanup(bot.socket.close)
        bot.message()
        process = self.service.process
        assert process is not None
        process.send_signal(signal.SIGINT)
        self.assertEqual(bot.close_frame()[0], 1012)  # so the first one has arrived
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 128 + signal.SIGINT)


class Secrets(ServiceTestCase):
    """Tokens are for their owners."""

    toml = (
        '[[bots]]\nname = "one"\naccess_token = "B0T-ONE"\n'
        '[[bots]]\nname = "two"\naccess_token = "B0T-TWO"\naccounts = [10001]\n'
    )
    server = 'admin_token = "ADM1N"'

    def test_never_logged(self) -> None:
        """No token, right or wrong, however it was sent, is in the log, a refusal or --check's output."""
        service = self.service
        replies = []
        for path, headers in (
            ("/?access_token=B0T-ONE", {}),
            ("/10001/event?x=1&access_token=B0T-TWO", {}),
            ("/", {"Authorization": "Bearer B0T-ONE"}),
            ("/api", {"Authorization": "B0T-TWO"}),
            ("/?access_token=WR0NG", {}),
            ("/10001/?access_token=WR0NG-%E4%BD%A0", {}),
            ("/", {"Authorization": "Token WR0NG"}),
            ("/", {"Authorization": "Basic WR0NG"}),
            ("/777?access_token=B0T-ONE", {}),
            ("/nowhere?access_token=B0T-ONE", {}),
            ("/onebot/v11/ws?access_token=B0T-ONE", {}),
            ("/onebot/v11/ws/?access_token=WR0NG", {"Authorization": "Bearer WR0NG"}),
            ("/?access_token=B0T-ONE", {"Sec-WebSocket-Version": "8"}),
            ("/access_token=WR0NG", {}),
        ):
            try:
                with RawClient(service, path, headers) as bot:
                    bot.send("{")
                    bot.send(b"\xff")
                    with contextlib.suppress(Ended):
                        bot.read_to_end()
            except HandshakeRefused as refused:
                replies.append(refused.head + refused.body)
        for headers in (
            {"Authorization": "Bearer ADM1N"},
            {"Authorization": "Bearer WR0NG"},
            {"Authorization": "Bearer B0T-ONE"},
            {},
        ):
            for path in (
                "/sandbox/10001",
                "/sandbox/10001/say?access_token=WR0NG",
                "/sandbox/777",
                "/metrics",
            ):
                replies.append(str(service.http(path, headers=headers)))
        with service.connect() as connection:
            connection.sendall(b"G\x00T /?access_token=WR0NG HTTP/9.9\r\nAuthorization WR0NG\r\n\r\n")
            with contextlib.suppress(OSError):
                while more := connection.recv(65536):
                    replies.append(more.decode("latin-1"))
        self.assertEqual(service.stop(), 0)
        checked = subprocess.run(
            [*TWISTD, "lgtwist", "--check", "--config", str(service.config_path)],
            cwd=service.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        self.assertIn('bot "two"', checked.stdout)
        for where in (service.log(), checked.stdout, checked.stderr, *replies):
            for token in ("B0T-ONE", "B0T-TWO", "ADM1N", "WR0NG"):
                self.assertNotIn(token, where)
