"""``lgtwist`` as a real process: each of its commands, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from lgtwist import __version__
from lgtwist.app.configuration_file import ConfigurationFile
from lgtwist.app.health_check import Health, check_health, split
from lgtwist.net.twisted_private import split_endpoint
from tests.integration import certificates
from tests.integration.commands import RunTestCase, gone, lifecycle_from
from tests.integration.rawclient import RawClient
from tests.processes import PATIENCE, ROOT, TWISTD, Stopwatch, free_port, wait_until

LGTWIST = (sys.executable, "-m", "lgtwist.command")


class CommandTestCase(RunTestCase):
    """Runs ``lgtwist`` in an empty folder."""

    program = LGTWIST

    def succeeded(self, *args: object, **environment: str) -> str:
        """It ends with status 0, and says nothing on stderr; what it printed."""
        ended = self.run_to_end(*args, **environment)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        return ended.stdout

    def misused(self, *args: object) -> str:
        """It ends with status 2 and one line on stderr."""
        ended = self.run_to_end(*args)
        self.assertEqual((ended.returncode, ended.stdout), (2, ""))
        (line,) = ended.stderr.splitlines()
        return line

    def token(self, config: Path) -> tuple[str, str]:
        """What the command ``token`` writes to stdout and stderr."""
        ended = self.run_to_end("token", "--config", config)
        self.assertEqual(ended.returncode, 0, ended)
        return ended.stdout, ended.stderr


class Line(CommandTestCase):
    """The command line."""

    def test_help(self) -> None:
        """The overview names every command, and each of them explains its options."""
        overview = self.succeeded("--help")
        for name in ("run", "init", "check", "journal", "health", "token"):
            self.assertRegex(overview, rf"(?m)^  {name} +\w")
            own = self.succeeded(name, "--help")
            self.assertIn("--config FILE", own)
            self.assertIn("LGTWIST_CONFIG", own)
            self.assertTrue(all(len(line) < 100 for line in own.splitlines()))
        self.assertIn("--init", self.succeeded("run", "--help"))
        self.assertIn("--json", self.succeeded("journal", "--help"))

    def test_version(self) -> None:
        """--version is one line."""
        self.assertEqual(self.succeeded("--version"), f"lgtwist {__version__}\n")

    def test_misuse(self) -> None:
        """What it does not know is one line that says what may have been meant, and status 2."""
        self.assertEqual(self.misused("chekc"), 'lgtwist: unknown command "chekc"; is "check" meant?')
        self.assertEqual(self.misused("xyzzy"), 'lgtwist: unknown command "xyzzy"; see lgtwist --help')
        self.assertIn("the command comes first", self.misused("--config", "x", "run"))
        self.assertIn("--confg", self.misused("run", "--confg", "x"))
        self.assertIn("see lgtwist check --help", self.misused("check", "--json"))
        nothing = self.run_to_end()
        self.assertEqual((nothing.returncode, nothing.stdout), (2, ""))
        self.assertIn("Usage: lgtwist COMMAND", nothing.stderr)

    def test_little_is_imported(self) -> None:
        """For ``health`` and ``--help`` neither Twisted's reactor nor Autobahn is imported."""
        check = (
            "import sys, lgtwist.command, lgtwist.app.health_check, lgtwist.app.first_configuration\n"
            "heavy = [n for n in sys.modules if n.partition('.')[0] in ('twisted', 'autobahn', 'OpenSSL')]\n"
            "assert not heavy, heavy\n"
        )
        subprocess.run([sys.executable, "-c", check], cwd=ROOT, timeout=PATIENCE, check=True)


class Run(CommandTestCase):
    """``lgtwist run``."""

    def test_signals(self) -> None:
        """SIGTERM and SIGINT end it in good order with status 0; it leaves no pid file."""
        config = self.write()
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.run_on("run", "--config", config)
            with RawClient(None, port=self.port) as bot:
                bot.event(meta_event_type="lifecycle")
                process.send_signal(number)
                code, reason = bot.close_frame()
                self.assertEqual((code, reason), (1012, "lgtwist stops"))
                bot.send_close(code)
                self.assertEqual(process.wait(), 0)
            self.log_path.unlink()
        names = {path.name for path in self.folder.iterdir()}
        self.assertEqual(names, {"data", config.name})

    def test_log(self) -> None:
        """Its lines are those of ``twistd -n``, on stdout, and the console's link at the first start."""
        config = self.write()
        stamp = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[\w.#-]+\] "
        for links in (1, 0):
            process = self.run_on("run", "--config", config)
            wait_until("all is said", lambda: "account 10001 is up\n" in self.log())
            lines = self.log().splitlines()
            link = f"http://127.0.0.1:{self.port}/console/#token="
            shown = [line for line in lines if link in line]
            self.assertEqual(len(shown), links, lines)
            for line in lines:
                if line not in shown:
                    self.assertRegex(line, stamp)
            if shown:
                made = (self.data / "admin_token").read_text().strip()
                self.assertRegex(shown[0], rf"^(Console|控制台): {re.escape(link + made)}$")
                self.assertEqual(self.token(config)[0], f"{link}{made}\n")
            self.assertEqual(lifecycle_from(f"ws://127.0.0.1:{self.port}/")["self_id"], 10001)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(), 0)
            self.log_path.unlink()

    def test_refusals(self) -> None:
        """What the plugin refuses in one line with status 1, it refuses in the same words."""
        config = self.write("colour = 1")
        with socket.create_server(("127.0.0.1", self.port)):
            (line,) = self.refused("run", "--config", self.write(name="taken.toml"))
        self.assertIn(f"cannot listen on tcp:{self.port}:interface=127.0.0.1: ", line)
        config.write_text('colour = 1\n[[bots]]\nname = "b"\nurl = "x"\n')
        lines = self.refused("run", "--config", config)
        self.assertEqual(len(lines), 2)
        self.assertEqual(self.refused("check", "--config", config), lines)
        self.assertEqual(self.refused("run", LGTWIST_CONFIG=str(config)), lines)
        self.assertIn("missing.toml: cannot be read", self.refused_in_one_line("run", "-c", "missing.toml"))
        self.program = TWISTD
        self.assertEqual(self.refused("lgtwist", "--check", "--config", config), lines)

    def test_ready_soon(self) -> None:
        """Until it serves it needs less than a second of the processor, whatever else the machine does."""
        config, needed = self.write(), []
        for _number in range(3):
            process = self.run_on("run", "--config", config)
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            needed.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
            self.assertEqual(process.stop(), 0)
            self.log_path.unlink()
        self.assertLess(min(needed), 1.0)

    def kill_with_unix_socket(self, *, recycled: bool) -> None:
        """It starts again at its unix socket, whose lock names it or a process that is there."""
        config, path = self.folder / "unix.toml", self.folder / "s"
        if len(str(path)) > 100:
            path = Path(f"/tmp/lgtwist-{os.getpid()}.s")
        lock = Path(f"{path}.lock")
        for left in (path, lock):
            self.addCleanup(left.unlink, missing_ok=True)
        config.write_text(
            f'data_dir = "{self.data}"\n[server]\n'
            f'endpoints = ["tcp:{self.port}:interface=127.0.0.1", "unix:{path}"]\n'
        )
        self.run_on("run", "--config", config).kill()
        self.assertTrue(path.is_socket())
        self.assertTrue(lock.is_symlink())
        if recycled:
            lock.unlink()
            lock.symlink_to(str(os.getpid()))
        self.log_path.unlink()
        process = self.run_on("run", "--config", config)
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(path))
        self.assertEqual(process.stop(), 0)
        self.assertFalse(path.exists() or lock.is_symlink())

    def test_killed_with_unix_socket(self) -> None:
        """After SIGKILL it starts again at its unix socket."""
        self.kill_with_unix_socket(recycled=False)

    def test_killed_with_unix_socket_and_number_taken(self) -> None:
        """It does so too where another program has the number that its socket's lock names."""
        self.kill_with_unix_socket(recycled=True)


class Init(CommandTestCase):
    """``lgtwist init`` and ``lgtwist run --init``."""

    def tokens(self, path: Path) -> list[str]:
        return re.findall(r'_token = "([\w-]{32})"', path.read_text("utf-8"))

    def test_init(self) -> None:
        """It writes a configuration that passes, once; it says where, and no token."""
        path = self.folder / "lgtwist.toml"
        printed = self.succeeded("init", LANG="C.UTF-8", LC_ALL="")
        self.assertIn(f"Wrote {path}, ", printed)
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        tokens = self.tokens(path)
        self.assertEqual(len(set(tokens)), 3)
        self.assertFalse(any(token in printed for token in tokens))
        self.assertIn("# The configuration of lgtwist.", path.read_text())
        checked = self.succeeded("check")
        self.assertIn('bot "bot" connects to ws://127.0.0.1:8081/ with its token', checked)
        before = path.read_text()
        line = self.refused_in_one_line("init")
        self.assertEqual(line, "lgtwist.toml: is there already, and stays as it is")
        self.assertEqual(path.read_text(), before)

    def test_languages(self) -> None:
        """In a Chinese environment its comments are Chinese, whatever its encoding is."""
        for number, environment in enumerate(
            (
                {"LANG": "zh_CN.UTF-8", "LC_ALL": ""},
                {"LC_ALL": "zh_CN.GBK"},
                {"LC_ALL": "zh_CN", "PYTHONUTF8": "0"},
            )
        ):
            path = self.folder / f"{number}.toml"
            self.succeeded("init", "--config", path, **environment)
            self.assertIn("# lgtwist 的配置。", path.read_text("utf-8"))
            self.succeeded("check", "--config", path, **environment)
        self.assertEqual(len({token for p in self.folder.iterdir() for token in self.tokens(p)}), 9)

    def test_cannot_be_written(self) -> None:
        """A folder that is not there, or is no folder, is one line."""
        (self.folder / "file").touch()
        for name in ("missing/a.toml", "file/a.toml"):
            line = self.refused_in_one_line("init", "--config", name)
            self.assertTrue(line.startswith(f"{name}: cannot be written: "), line)

    def test_run_init(self) -> None:
        """Where the named file is missing it is written, and taken; in a container others can reach it."""
        path = self.folder / "new.toml"
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("0.0.0.0", 8081))
                taken.listen()
            except OSError:
                pass  # somebody has it, which does as well
            ended = self.run_to_end("run", "--init", LGTWIST_CONFIG=str(path))
        self.assertEqual(ended.returncode, 1)
        self.assertIn(f"Wrote {path}, ", ended.stdout)
        endpoint = re.findall(r'^endpoints = \["(.*)"\]$', path.read_text(), re.MULTILINE)
        self.assertIn(endpoint, (["tcp:8081"], ["tcp:8081:interface=127.0.0.1"]))
        self.assertIn(f"cannot listen on {endpoint[0]}: ", ended.stderr)
        self.assertEqual(len(self.tokens(path)), 3)
        self.succeeded("check", "--config", path)

    def test_run_init_with_file(self) -> None:
        """A file that is there is served as it is."""
        config = self.write()
        before = config.read_text()
        self.run_on("run", "--init", "--config", config)
        self.assertEqual(config.read_text(), before)


class Looking(CommandTestCase):
    """``check``, ``journal``, ``token``."""

    def test_check_and_journal(self) -> None:
        """They print what the plugin's options print."""
        config = self.write('[[bots]]\nname = "b"\naccess_token = "t"\ndelivery = "at-least-once"\n')
        process = self.run_on("run", "--config", config)
        mine = [
            self.succeeded(*args, "--config", config)
            for args in (["check"], ["journal"], ["journal", "--json"])
        ]
        self.assertEqual(process.stop(), 0)
        json.loads(mine[2])
        self.assertIn('"b"', mine[2])
        self.program = TWISTD
        self.assertEqual(mine[0], self.succeeded("lgtwist", "--check", "--config", config))
        line = self.refused_in_one_line(
            "lgtwist", "--journal", "--config", self.write(name="other").parent / "no"
        )
        self.assertIn("cannot be read", line)

    def test_no_journal(self) -> None:
        """Without a journal the sentence is the plugin's."""
        config = self.write()
        mine = self.refused_in_one_line("journal", "--config", config)
        self.program = TWISTD
        self.assertEqual(mine, self.refused_in_one_line("lgtwist", "--journal", "--config", config))

    def test_token(self) -> None:
        """The link, with the configured or else the made one, alone on stdout; on stderr its origin."""
        config = self.write(server='admin_token = "c0nfigured/+"')
        link = f"http://127.0.0.1:{self.port}/console/#token="
        self.assertEqual(self.token(config), (f"{link}c0nfigured%2F%2B\n", f"from [server] of {config}\n"))
        config = self.write()
        line = self.refused_in_one_line("token", "--config", config)
        self.assertIn("There is no admin_token", line)
        self.data.mkdir()
        made = self.data / "admin_token"
        made.write_text("m4de\n")
        self.assertEqual(self.token(config), (f"{link}m4de\n", f"from {made}\n"))
        off = self.write("[console]\nenabled = false\n", server='admin_token = "c0nfigured"')
        self.assertEqual(self.token(off)[0], "c0nfigured\n")
        off = self.write("[console]\nenabled = false\n")
        self.assertIn("without a console", self.refused_in_one_line("token", "--config", off))
        config = self.write()
        made.write_text("")
        self.refused_in_one_line("token", "--config", config)
        made.unlink()
        made.mkdir()
        self.assertIn(f"{made}: cannot be read", self.refused_in_one_line("token", "--config", config))


class Healthy(CommandTestCase):
    """``lgtwist health``."""

    def test_alive_and_not(self) -> None:
        """A running service is alive, one line and status 0; a stopped one is not, one line and status 1."""
        config = self.write('[[bots]]\nname = "b"\naccess_token = "t"\n')
        process = self.run_on("run", "--config", config)
        where = f"tcp:{self.port}:interface=127.0.0.1"
        self.assertEqual(self.succeeded("health", "--config", config), f"{where}: alive\n")
        self.assertEqual(process.stop(), 0)
        line = self.refused_in_one_line("health", LGTWIST_CONFIG=str(config))
        self.assertEqual(line, f"{where}: Connection refused")

    def test_unix(self) -> None:
        """It asks over a unix socket, by a path relative to where it is run too."""
        config = self.folder / "a.toml"
        config.write_text(
            f'data_dir = "{self.data}"\n[server]\n'
            f'endpoints = ["unix:s", "tcp:{self.port}:interface=127.0.0.1"]\n'
        )
        if len(str(self.folder / "s")) > 100:
            raise SkipTest("the path of this folder is too long for a unix socket")
        self.run_on("run", "--config", config)
        self.assertEqual(self.succeeded("health", "--config", config), "unix:s: alive\n")

    def test_tls(self) -> None:
        """It asks over TLS, whatever the certificate is made out for."""
        if not certificates.INSTALLED:
            raise SkipTest("trustme is not installed")
        shown = certificates.Authority(self.folder / "ca").issue("bot.example.org")
        config = self.folder / "a.toml"
        config.write_text(
            f'data_dir = "{self.data}"\n[server]\nendpoints = ["{shown.endpoint(self.port)}"]\n'
        )
        self.run_on("run", "--config", config)
        self.assertTrue(self.succeeded("health", "--config", config).endswith(": alive\n"))

    def test_check_of_a_certificate(self) -> None:
        """``check`` says why clients may refuse it."""
        if not certificates.INSTALLED:
            raise SkipTest("trustme is not installed")
        authority = certificates.Authority(self.folder / "ca")
        for expired in (False, True):
            shown = authority.issue("bot.example.org", expired=expired)
            config = self.folder / "a.toml"
            config.write_text(
                f'data_dir = "{self.data}"\n[server]\nendpoints = ["{shown.endpoint(self.port)}"]\n'
            )
            said = self.succeeded("check", "--config", config)
            self.assertEqual(f"{shown.chain} has expired" in said, expired, said)


class Asking(SynchronousTestCase):
    """What ``health`` makes of answers and configurations."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def ask(self, *endpoints: str, toml: str | None = None) -> Health:
        path = self.folder / "a.toml"
        path.write_text(f"[server]\nendpoints = {json.dumps(endpoints)}\n" if toml is None else toml)
        return check_health(ConfigurationFile("a.toml", self.folder), time_limit=0.5)

    def serve(self, answer: Callable[[socket.socket], object]) -> str:
        """A server for one connection; its endpoint."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)

        def run() -> None:
            accepted, _address = listening.accept()
            with accepted:
                accepted.recv(1000)
                answer(accepted)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)
        return f"tcp:{listening.getsockname()[1]}:interface=127.0.0.1"

    def test_answers(self) -> None:
        """Only 200 is alive; an answer may come in parts."""

        def in_parts(accepted: socket.socket) -> None:
            for part in (b"HTTP/1.1 2", b"00 OK\r\n"):
                accepted.sendall(part)
                time.sleep(0.05)

        self.assertTrue(self.ask(self.serve(in_parts)).alive)
        for said in (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"SSH-2.0-x\r\n", b"", b"\xff" * 1000):
            found = self.ask(self.serve(lambda accepted, said=said: accepted.sendall(said)))
            self.assertFalse(found.alive, said)
            self.assertIn("answered", found.sentence)
            self.assertNotIn("\n", found.sentence)

    def test_time_limit(self) -> None:
        """One that answers nothing, or byte by byte, is not alive."""

        def drip(accepted: socket.socket) -> None:
            with contextlib.suppress(OSError):
                for _number in range(8):
                    accepted.sendall(b"x")
                    time.sleep(0.1)

        for answer in (lambda _accepted: time.sleep(0.8), drip):
            watch = Stopwatch()
            found = self.ask(self.serve(answer))
            self.assertLess(watch.seconds(), 0.75)
            self.assertIn("no answer in 0.5 s", found.sentence)

    def test_configurations(self) -> None:
        """Without an endpoint that can be asked, or a configuration, it is not alive, in one sentence."""
        for found in (
            self.ask("systemd:domain=INET:index=0"),
            self.ask("tcp:notaport"),
            self.ask("unix:"),
            self.ask("tcp:"),
            self.ask("unix:missing"),
            self.ask(toml="[server"),
            check_health(ConfigurationFile("missing.toml", self.folder)),
        ):
            self.assertFalse(found.alive)
            self.assertNotIn("\n", found.sentence)
        alive = self.serve(lambda accepted: accepted.sendall(b"HTTP/1.1 200 OK\r\n\r\n"))
        self.assertEqual(self.ask("systemd:domain=INET:index=0", alive), Health(True, f"{alive}: alive"))

    def test_strings_are_taken_apart_as_by_twisted(self) -> None:
        """The small parser agrees with Twisted's."""
        for description in (
            "tcp:8081",
            "tcp:port=8081:interface=127.0.0.1",
            r"tcp6:8081:interface=\:\:1",
            r"unix:/a\:b\\c\=d:mode=600",
            "unix:address=/a=b",
            "ssl:1:k.pem:certKey=c.pem",
        ):
            kind, positional, named = split_endpoint(description)
            self.assertEqual(split(description), ([kind, *positional], named), description)


#: Counts its reloads; prints "ready" once it runs, and the number at its end.
COUNTER = """
import sys
from twisted.application.service import MultiService
from twisted.internet import reactor
from lgtwist.app.signals import Signals

count = 0
def reload():
    global count
    count += 1

signals = Signals(reactor, reload)
signals.prepare()
signals.startService()
reactor.callWhenRunning(lambda: print("ready", flush=True))
reactor.run()
print(count, flush=True)
"""


class HangingUp(CommandTestCase):
    """SIGHUP."""

    def counter(self, *before: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*before, sys.executable, "-c", COUNTER],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # without a terminal, wherever the tests run
        )

        def end() -> None:
            process.kill()
            process.communicate()

        self.addCleanup(end)
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def test_hundred(self) -> None:
        """A hundred in a row are answered, and do not end it."""
        process = self.counter()
        for _number in range(100):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.001)
        process.send_signal(signal.SIGTERM)
        counted, _nothing = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0)
        self.assertGreater(int(counted), 0)  # those that come while one is pending are one

    def test_nohup(self) -> None:
        """Under ``nohup`` it is ignored, as the user wished."""
        process = self.counter("nohup")
        for _number in range(10):
            process.send_signal(signal.SIGHUP)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        counted, _nothing = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, counted), (0, "0\n"))

    def on_terminal(self, *command: object) -> tuple[int, int]:
        """Run a command on a terminal of its own, which controls it; its pid, and our end of the terminal."""
        words = list(map(str, command))
        pid, master = pty.fork()
        if pid == 0:
            try:
                os.chdir(self.folder)
                os.execvpe(words[0], words, self.environment())
            finally:
                os._exit(127)
        return pid, master

    def read_until(self, master: int, wanted: bytes) -> bytes:
        """What the terminal showed until then."""
        shown = b""
        deadline = time.monotonic() + PATIENCE
        while wanted not in shown:
            self.assertLess(time.monotonic(), deadline, shown)
            shown += os.read(master, 65536)
        return shown

    def check_closed_terminal(self, *command: object) -> None:
        """When its terminal closes, bots get their close frame, and it ends with status 0."""
        pid, master = self.on_terminal(*command)

        def end() -> None:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)

        self.addCleanup(end)
        self.read_until(master, b"To read what was answered")
        with RawClient(None, port=self.port) as bot:
            bot.event(meta_event_type="lifecycle")
            os.close(master)
            self.assertEqual(bot.close_frame(), (1012, "lgtwist stops"))
            bot.send_close(1012)
        _pid, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)

    def test_terminal_closes(self) -> None:
        """The terminal of ``lgtwist run`` closes."""
        errors = self.folder / "errors"
        config = self.write()
        command = f"exec {sys.executable} -m lgtwist.command run --config {config} 2>{errors}"
        self.check_closed_terminal("sh", "-c", command)
        self.assertEqual(errors.read_text(), "")

    def test_terminal_of_twistd_closes(self) -> None:
        """The terminal of ``twistd -n lgtwist`` closes."""
        self.check_closed_terminal(*TWISTD, "-n", "--pidfile=", "lgtwist", "--config", self.write())

    def test_terminal_stays(self) -> None:
        """SIGHUP on a terminal that is there does not end it."""
        pid, master = self.on_terminal(sys.executable, "-c", COUNTER)
        self.addCleanup(os.close, master)
        self.read_until(master, b"ready")
        for _number in range(3):
            os.kill(pid, signal.SIGHUP)
            time.sleep(0.05)
        os.kill(pid, signal.SIGTERM)
        shown = b""
        with contextlib.suppress(OSError):  # EIO, when it has ended
            while more := os.read(master, 65536):
                shown += more
        self.assertRegex(shown, rb"\A\s*[1-3]\s*\Z")
        _pid, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)


class Reloading(RunTestCase):
    """SIGHUP reads the configuration again, from where it was."""

    def relative(self, more: str = "") -> None:
        """A configuration whose every path is relative."""
        (self.folder / "token").write_text("t0ken\n")
        (self.folder / "a.toml").write_text(
            f'data_dir = "data"\n[server]\nendpoints = ["tcp:{self.port}:interface=127.0.0.1"]\n'
            f'admin_token_file = "token"\n[[accounts]]\nself_id = 11\n{more}'
        )

    def check_added(self, pid: int) -> None:
        """An account added to the file is there after SIGHUP; a mistake after that changes nothing."""
        self.relative("[[accounts]]\nself_id = 12\n")
        os.kill(pid, signal.SIGHUP)
        wait_until("the account is there", lambda: "account 12 added" in self.log())
        self.assertEqual(lifecycle_from(f"ws://127.0.0.1:{self.port}/12")["self_id"], 12)
        self.relative("colour = 1\n")
        os.kill(pid, signal.SIGHUP)
        wait_until("the mistake is told", lambda: "a.toml: accounts[0].colour: " in self.log())
        self.assertEqual(lifecycle_from(f"ws://127.0.0.1:{self.port}/12")["self_id"], 12)

    def test_daemon_elsewhere(self) -> None:
        """A daemon with ``--rundir`` finds its files where they were when it was started."""
        self.relative()
        (self.folder / "elsewhere").mkdir()
        pid_file = self.folder / "pid"
        started = self.run_to_end(
            *("--rundir", "elsewhere", "--pidfile", "pid", "--logfile", self.log_path),
            *("lgtwist", "--config", "a.toml"),
        )
        self.assertEqual((started.returncode, started.stderr), (0, ""))
        wait_until("it says what it serves", lambda: "To attach a NoneBot2" in self.log())
        pid = int(pid_file.read_text())

        def end() -> None:
            if not gone(pid):
                os.kill(pid, signal.SIGKILL)

        self.addCleanup(end)
        self.check_added(pid)
        self.assertTrue((self.folder / "data" / "sandbox-12.sqlite").exists())
        self.assertEqual(list((self.folder / "elsewhere").iterdir()), [])
        os.kill(pid, signal.SIGTERM)
        wait_until("it is gone", lambda: gone(pid))
        self.assertNotIn("Traceback", self.log())

    def test_command(self) -> None:
        """So does ``lgtwist run``."""
        self.program = LGTWIST
        self.relative()
        process = self.run_on("run", "--config", "a.toml")
        self.check_added(process.pid)
        self.assertEqual(process.stop(), 0)


class PidFiles(RunTestCase):
    """twistd's pid files, when the service that wrote them was killed."""

    def test_stale(self) -> None:
        """In the foreground it starts beside the pid file of another program's process."""
        other = subprocess.Popen(["sleep", "60"])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        pid_file = self.folder / "twistd.pid"
        pid_file.write_text(str(other.pid))
        process = self.run_on("-n", "lgtwist", "--config", self.write())
        self.assertEqual(pid_file.read_text(), str(process.pid))
        lifecycle_from(f"ws://127.0.0.1:{self.port}/")
        self.assertEqual(process.stop(), 0)
        self.assertFalse(pid_file.exists())

    def test_stale_daemon(self) -> None:
        """In the background it takes the place of such a file too."""
        other = subprocess.Popen(["sleep", "60"])
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        pid_file = self.folder / "twistd.pid"
        pid_file.write_text(str(other.pid))
        started = self.run_to_end("--logfile", self.log_path, "lgtwist", "--config", self.write())
        self.assertEqual((started.returncode, started.stderr), (0, ""))
        wait_until("it says what it serves", lambda: "To attach a NoneBot2" in self.log())
        pid = int(pid_file.read_text())
        self.assertNotEqual(pid, other.pid)
        self.assertIsNone(other.poll())
        os.kill(pid, signal.SIGTERM)
        wait_until("it is gone", lambda: gone(pid))
        self.assertFalse(pid_file.exists())

    def test_running(self) -> None:
        """The pid file of a service that runs still keeps a second one from starting."""
        config = self.write()
        self.run_on("-n", "lgtwist", "--config", config)
        pid_file = self.folder / "twistd.pid"
        before = pid_file.read_text()
        self.assertEqual(self.run_to_end("-n", "lgtwist", "--config", config).returncode, 1)
        self.assertEqual(pid_file.read_text(), before)
        self.port = free_port()
        (self.folder / "other.toml").write_text(
            f'data_dir = "other"\n[server]\nendpoints = ["tcp:{self.port}:interface=127.0.0.1"]\n'
        )
        other = self.run_on("-n", "lgtwist", "--config", "other.toml")
        lifecycle_from(f"ws://127.0.0.1:{self.port}/")  # it answers, so it has begun
        self.assertEqual(other.stop(), 0)
        self.assertEqual(pid_file.read_text(), before)
