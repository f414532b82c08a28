"""The ways of running lgtwist, each as a real process, and what it prints when it cannot run."""

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
import sys
import time
import urllib.request
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.integration.rawclient import Ended, HandshakeRefused, RawClient
from tests.integration.running import PATIENCE, ROOT, Service, ServiceTestCase, free_port, wait_until

TWISTD = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
DEFAULT_PORT = 8081
RECORD_TABLE = "CREATE TABLE record (kind TEXT, key TEXT, body BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits for its parent has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except OSError:
        return False
    return True


def lifecycle_from(url: str) -> dict[str, object]:
    """What comes first on a WebSocket URL, as it was printed."""
    found = re.fullmatch(r"ws://127\.0\.0\.1:(\d+)(/\S*)", url)
    assert found is not None, url
    with RawClient(None, found[2], port=int(found[1])) as bot:
        return dict(bot.message())


class RunTestCase(SynchronousTestCase):
    """Runs twistd in an empty folder."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.port = free_port()
        self.data = self.folder / "data"
        self.log_path = self.folder / "log"

    def write(self, more: str = "", server: str = "", name: str = "lgtwist.conf") -> Path:
        """A configuration on the test's own port."""
        path = self.folder / name
        path.write_text(
            f'data_dir = "{self.data}"\n[server]\n'
            f'endpoints = ["tcp:{self.port}:interface=127.0.0.1"]\n{server}\n{more}\n'
        )
        return path

    def environment(self, **more: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LGTWIST_")}
        return {**clean, "PYTHONPATH": str(ROOT), **more}

    def run_to_end(self, *args: object, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it until it ends by itself."""
        return subprocess.run(
            [*TWISTD, *map(str, args)],
            cwd=self.folder,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def run_on(self, *args: object, port: int | None = None, **environment: str) -> subprocess.Popen[bytes]:
        """Run it in the foreground until the test ends it; it listens when this returns."""
        with self.log_path.open("ab") as log:
            process = subprocess.Popen(
                [*TWISTD, *map(str, args)],
                cwd=self.folder,
                env=self.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

        def end() -> None:
            if process.poll() is None:
                process.kill()
            process.wait(PATIENCE)
            self.assertNotIn("Traceback", self.log())

        self.addCleanup(end)

        def up() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"it ended at once:\n{self.log()}")
            return answers(port or self.port) and "To attach a NoneBot2" in self.log()

        wait_until("it listens", up)
        return process

    def log(self) -> str:
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    def refused(self, *args: object, **environment: str) -> list[str]:
        """It ends with status 1, says why on stderr alone, and shows neither traceback nor help."""
        ended = self.run_to_end(*args, **environment)
        self.assertEqual(ended.returncode, 1, ended)
        self.assertEqual(ended.stdout, "")
        for bad in ("Traceback", "Usage", "--help", "Options:"):
            self.assertNotIn(bad, ended.stderr)
        return ended.stderr.splitlines()

    def refused_in_one_line(self, *args: object, **environment: str) -> str:
        """The same, with one line."""
        lines = self.refused(*args, **environment)
        self.assertEqual(len(lines), 1, lines)
        return lines[0]

    def refused_both_ways(self, config: Path) -> str:
        """The same in the foreground and when daemonising, where no pid file may stay behind."""
        line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", config)
        pid, log = self.folder / "refused.pid", self.folder / "refused.log"
        daemon = self.refused_in_one_line("--pidfile", pid, "--logfile", log, "lgtwist", "--config", config)
        self.assertEqual(daemon, line)
        self.assertFalse(pid.exists())
        return line


class Starting(RunTestCase):
    """It runs."""

    def check_default(self, *args: object) -> None:
        """The embedded default serves the sandbox on its own port."""
        if answers(DEFAULT_PORT):
            raise SkipTest(f"port {DEFAULT_PORT} is in use on this machine")
        process = self.run_on(*args, port=DEFAULT_PORT)
        first = lifecycle_from(f"ws://127.0.0.1:{DEFAULT_PORT}/")
        self.assertEqual((first["self_id"], first["sub_type"]), (10001, "connect"))
        self.assertTrue((self.folder / "lgtwist-data" / "sandbox-10001.sqlite").exists())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)

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
            self.assertEqual(bot.close_frame()[0], 1001)
            bot.send_close(1001)
            wait_until("it is gone", lambda: gone(pid), patience=max(0.1, began + 3 - time.monotonic()))
        self.assertFalse(pid_path.exists())
        self.assertNotIn("Traceback", self.log())
        with contextlib.closing(sqlite3.connect(self.data / "sandbox-10001.sqlite")) as world:
            kept = world.execute("SELECT body FROM record WHERE kind='message'").fetchall()
        self.assertEqual(len(kept), 1)


class Stopping(ServiceTestCase):
    """It ends when it is told to."""

    toml = '[limits]\nclose_timeout = "500ms"\n'

    def ends_in_time(self, service: Service, number: int, patience: float) -> None:
        """It ends well, once it answers; a signal while it starts is another story."""
        self.assertEqual(service.http("/")[0], 200)
        began = time.monotonic()
        self.assertEqual(service.stop(number), 0)
        self.assertLess(time.monotonic() - began, patience)

    def test_signals(self) -> None:
        """SIGTERM and SIGINT end it with status 0; with nobody there, or with good bots, at once."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.ends_in_time(self.service, number, 1.0)
            self.service.start()
            with RawClient(self.service) as bot:
                bot.message()
                self.service.process.send_signal(number)  # type: ignore[union-attr]
                code, reason = bot.close_frame()
                self.assertEqual(code, 1001)
                self.assertEqual(reason, "lgtwist stops")
                bot.send_close(1001)
                self.assertEqual(self.service.process.wait(0.4), 0)  # type: ignore[union-attr]
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
        self.ends_in_time(self.service, signal.SIGTERM, 0.5 + 1)

    def test_impatience(self) -> None:
        """A second signal ends it at once."""
        bot = RawClient(self.service)
        self.addCleanup(bot.socket.close)
        bot.message()
        process = self.service.process
        assert process is not None
        process.send_signal(signal.SIGINT)
        self.assertEqual(bot.close_frame()[0], 1001)  # so the first one has arrived
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        self.assertEqual(process.wait(PATIENCE), 128 + signal.SIGINT)
        self.assertLess(time.monotonic() - began, 0.4)


class Mistakes(RunTestCase):
    """It does not run, and says why."""

    def test_many_mistakes(self) -> None:
        """Each mistake in a configuration is one line with file and key, without tokens; nothing starts."""
        config = self.folder / "bad.toml"
        config.write_text(
            """
            data_dir = 5
            colour = "red"
            [server]
            endpoints = ["tcp:notaport"]
            admin_token = ""
            endpoint = "tcp:1"
            allowed_origins = ["example.org"]
            [[accounts]]
            type = "sandbox"
            self_id = "10001"
            [[accounts]]
            type = "telegram"
            self_id = 10002
            [[accounts]]
            self_id = 10002
            [[bots]]
            name = "a"
            access_token = "s3cret-1"
            [[bots]]
            name = "a"
            access_token = "s3cret-1"
            accounts = [5]
            [[bots]]
            access_token_file = "/no/such/file"
            acess_token = "s3cret-2"
            [limits]
            max_message = "32 MB"
            ping_timeout = "soon"
            calls = 0
            """
        )
        lines = self.refused("-n", "lgtwist", "--config", config)
        paths = []
        for line in lines:
            self.assertTrue(line.startswith(f"{config}: "), line)
            path, colon, sentence = line.removeprefix(f"{config}: ").partition(": ")
            self.assertTrue(colon and sentence, line)
            paths.append(path)
        self.assertCountEqual(
            paths,
            [
                "data_dir",
                "colour",
                "server.endpoints[0]",
                "server.admin_token",
                "server.endpoint",
                "server.allowed_origins[0]",
                "accounts[0].self_id",
                "accounts[1].type",
                "accounts[2].self_id",
                "bots[1].name",
                "bots[1].access_token",
                "bots[1].accounts[0]",
                "bots[2].name",
                "bots[2].access_token_file",
                "bots[2].acess_token",
                "limits.max_message",
                "limits.ping_timeout",
                "limits.calls",
            ],
        )
        self.assertNotIn("s3cret", "".join(lines))
        self.assertIn('is "access_token" meant?', "".join(lines))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["bad.toml"])
        # The same whichever way it is run.
        self.assertEqual(self.refused("lgtwist", "--check", "--config", config), lines)
        self.assertEqual(self.refused("-ny", ROOT / "lgtwist.tac", LGTWIST_CONFIG=str(config)), lines)
        self.assertEqual(self.refused("--pidfile", "p", "lgtwist", "--config", config), lines)

    def test_later_keys(self) -> None:
        """What the contract names and this version cannot do yet is refused in such words, not ignored."""
        config = self.write(
            """
            [[accounts]]
            type = "milky"
            self_id = 10001
            """
        )
        lines = self.refused("-n", "lgtwist", "--config", config)
        self.assertCountEqual([line.split(": ")[1] for line in lines], ["accounts[0].type"])
        for line in lines:
            self.assertIn("not available yet", line)

    def test_no_configuration(self) -> None:
        """A file that is not there, is a folder, is not UTF-8 or not TOML is one line that names it."""
        (self.folder / "latin.toml").write_bytes(b'data_dir = "caf\xe9"\n')
        (self.folder / "broken.toml").write_text("[server\n")
        for name in ("missing.toml", ".", "latin.toml", "broken.toml"):
            line = self.refused_in_one_line("-n", "lgtwist", "--config", name)
            self.assertTrue(line.startswith(f"{name}: "), line)
            self.assertEqual(self.refused_in_one_line("-n", "lgtwist", LGTWIST_CONFIG=name), line)

    def test_unknown_option(self) -> None:
        """A mistyped option is refused too, by its name."""
        ended = self.run_to_end("-n", "lgtwist", "--confg", "x")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("confg", ended.stdout + ended.stderr)
        self.assertNotIn("Traceback", ended.stderr)

    def test_taken_port(self) -> None:
        """A port that somebody has is one line that names it."""
        config = self.write()
        with socket.create_server(("127.0.0.1", self.port)):
            line = self.refused_both_ways(config)
        self.assertIn(f"tcp:{self.port}:interface=127.0.0.1", line)
        self.assertIn("in use", line)

    def test_public_without_token(self) -> None:
        """Asked to listen for other machines without a token it refuses, and says what to do."""
        config = self.write()
        config.write_text(config.read_text().replace(":interface=127.0.0.1", ""))
        line = self.refused_both_ways(config)
        self.assertIn("add [[bots]] with name and access_token", line)
        self.assertIn("can be reached from other machines", line)

    def test_data_dir_is_file(self) -> None:
        """A data_dir that is a file is one line that names it, and the file stays as it is."""
        config = self.write()
        self.data.write_text("mine")
        line = self.refused_both_ways(config)
        self.assertIn(str(self.data), line)
        self.assertEqual(self.data.read_text(), "mine")

    def test_damaged_world(self) -> None:
        """A world's file that is none is one line that names it; not a byte of it is changed."""
        config = self.write()
        self.data.mkdir()
        world = self.data / "sandbox-10001.sqlite"
        for garbage in (b"\x00garbage" * 1000, b"not a database", b"SQLite format 3\x00" + b"\xff" * 4080):
            world.write_bytes(garbage)
            line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", config)
            self.assertIn(str(world), line)
            self.assertEqual(world.read_bytes(), garbage)
        self.assertIn(str(world), self.refused_both_ways(config))
        self.assertFalse(answers(self.port))

    def test_cut_off_world(self) -> None:
        """A world's file that lost its second half is one line that names it, and what is left stays."""
        config = self.write()
        process = self.run_on("-n", "--pidfile=", "lgtwist", "--config", config)
        said = {"user_id": 20001, "message": "x" * 50_000}
        for _number in range(4):
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.port}/sandbox/10001/say", json.dumps(said).encode()
            )
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)
        world = self.data / "sandbox-10001.sqlite"
        half = world.read_bytes()[: world.stat().st_size // 8192 * 4096]
        world.write_bytes(half)
        line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", config)
        self.assertIn(str(world), line)
        self.assertEqual(world.read_bytes(), half)

    def make_database(self, *statements: str) -> Path:
        """A database in the place of the world's file."""
        self.data.mkdir(exist_ok=True)
        world = self.data / "sandbox-10001.sqlite"
        world.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(world, isolation_level=None)) as file:
            for statement in statements:
                file.execute(statement)
        return world

    def test_foreign_world(self) -> None:
        """A database of somebody else, or of a newer version, is left alone to the last byte."""
        config = self.write()
        for statements in (["CREATE TABLE theirs (x)"], [RECORD_TABLE, "PRAGMA user_version=99"]):
            world = self.make_database(*statements)
            before = world.read_bytes()
            line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", config)
            self.assertIn(str(world), line)
            self.assertEqual(world.read_bytes(), before, statements)

    def test_damaged_records(self) -> None:
        """A world with an unreadable record is one line that names its file; nothing is thrown away."""
        config = self.write()
        for record in (
            "'person', '1', x'7b'",
            "'robot', '1', x'7b7d'",
            "'person', '1', x'7b7d'",
            "'person', '1', NULL",
            "NULL, '1', x'7b7d'",
            "'person', '1', 7",
        ):
            table = RECORD_TABLE.replace(" WITHOUT ROWID", "")
            world = self.make_database(
                table, f"INSERT INTO record VALUES ({record})", "PRAGMA user_version=1"
            )
            line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", config)
            self.assertIn(str(world), line)
            with contextlib.closing(sqlite3.connect(world)) as file:
                self.assertEqual(file.execute("SELECT count(*) FROM record").fetchone(), (1,), record)

    def test_two_services(self) -> None:
        """A second service on the same data_dir is refused in one line; the first does not notice."""
        self.run_on("-n", "--pidfile=", "lgtwist", "--config", self.write())
        first, self.port = self.port, free_port()
        line = self.refused_both_ways(self.write(name="second.conf"))
        self.assertIn(f"{self.data} is in use by another lgtwist", line)
        self.assertEqual(lifecycle_from(f"ws://127.0.0.1:{first}/")["self_id"], 10001)


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
