"""Bots under test: what all have in common, and those that are a program of their own.

Either direction of the connection: the bot dials lgtwist (forward WebSocket), or lgtwist dials the bot
(reverse WebSocket, or HTTP POST).
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from attrs import frozen

from lgtwist.testing.control import SandboxError, is_said_by_sentence
from lgtwist.testing.service import SandboxProcess

#: pytest leaves the frames of this module out of the traceback of such an error.
__tracebackhide__ = is_said_by_sentence

#: Seconds that a bot may take to start and connect.
CONNECT_LIMIT = 30.0
#: Seconds between the request to end and the end by force.
GRACE = 3.0
#: Bytes of a bot's output that are kept: the newest ones.
LOG_BYTES = 1 << 20
#: Lines of a log that a failure shows, at most.
_LOG_LINES = 40
#: Seconds between two looks whether a bot is connected.
_POLL = 0.01
#: Where a bot listens: below the ports that systems give to those who dial, so that nobody dials itself.
_PORTS = range(20_000, 32_000)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

Self = TypeVar("Self", bound="BotUnderTest")

# What runs a bot's program. Its stdin is a pipe from the process of the tests: when that ends, however it
# happens, the program and its children are ended too. A byte in the pipe ends them at once.
_SUPERVISOR = """\
import os, signal, subprocess, sys, threading

windows = os.name == "nt"
if windows:
    options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
else:
    options = {"start_new_session": True}
try:
    bot = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, **options)
except OSError as error:
    sys.exit(f"{sys.argv[2]} cannot be started: {error}")

def signal_all(number):
    try:
        os.killpg(bot.pid, number)
    except OSError:
        pass

def end_when_told():
    now = os.read(0, 1)
    if windows:
        subprocess.call(
            ["taskkill", "/F", "/T", "/PID", str(bot.pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return
    if not now:
        signal_all(signal.SIGTERM)
        try:
            bot.wait(float(sys.argv[1]))
        except subprocess.TimeoutExpired:
            pass
    signal_all(signal.SIGKILL)

threading.Thread(target=end_when_told, daemon=True).start()
status = bot.wait()
if not windows:
    signal_all(signal.SIGKILL)
sys.stdout.flush()
os._exit(status if status >= 0 else 128 - status)
"""


class BoundedLog:
    """Keeps the end of a bot's output. Threads may use it at the same time.

    :param limit: bytes that are kept at least, if there were so many.
    """

    def __init__(self, limit: int = LOG_BYTES) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._chunks: deque[bytes] = deque()
        self._began = self.size = 0

    def write(self, chunk: bytes) -> None:
        """Add output, and forget the oldest."""
        with self._lock:
            self._chunks.append(chunk)
            self.size += len(chunk)
            while self.size - self._began - len(self._chunks[0]) >= self._limit:
                self._began += len(self._chunks.popleft())

    def read(self, after: int = 0) -> str:
        """Return the output that is kept, without the escape sequences of colours.

        :param after: leave out so many bytes from the beginning of all that there was.
        """
        with self._lock:
            whole = b"".join(self._chunks)[max(0, after - self._began) :]
        return _COLOURS.sub("", whole.decode("utf-8", "replace"))


@frozen
class BotAddress:
    """Where a bot finds lgtwist, and where lgtwist finds the bot.

    :ivar ws_url: what a bot dials: ``ws://127.0.0.1:PORT/``.
    :ivar http_url: the HTTP API: ``http://127.0.0.1:PORT``.
    :ivar access_token: the token of both directions; empty for none.
    :ivar self_id: the number of the account.
    :ivar port: a free port of 127.0.0.1, for a bot that listens.
    """

    ws_url: str
    http_url: str
    access_token: str
    self_id: int
    port: int

    def fill(self, text: str) -> str:
        """Return a text with values in place of the names in braces; other braces stay.

        The names are ``{ws_url}``, ``{http_url}``, ``{access_token}``, ``{self_id}`` and ``{port}``.
        """
        values = {
            "ws_url": self.ws_url,
            "http_url": self.http_url,
            "access_token": self.access_token,
            "self_id": str(self.self_id),
            "port": str(self.port),
        }
        return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)


def nonebot_env(*, dials: bool = True) -> dict[str, str]:
    """Return the environment of a NoneBot2 program, for ``env`` of :class:`BotCommand`.

    NoneBot2 takes it before what its ``.env`` files say. ``DRIVER`` stays as it is there: a bot that dials
    needs one that can, ``~websockets`` or ``~aiohttp``.

    :param dials: whether the bot dials lgtwist; else lgtwist dials it, at ``/onebot/v11/ws``.
    """
    return {
        "ONEBOT_WS_URLS": '["{ws_url}"]' if dials else "[]",
        "ONEBOT_ACCESS_TOKEN": "{access_token}",
        "HOST": "127.0.0.1",
        "PORT": "{port}",
    }


class BotUnderTest:
    """What bots under test have in common: a name, a direction of the connection, a log.

    :param name: its name in the configuration of the service; added to it if there is no such bot.
    :param url: where the bot listens, so that lgtwist dials it (``ws://127.0.0.1:{port}/ws``) or posts to it
        (``http://...``); None for a bot that dials lgtwist.
    :param access_token: the token of both directions; None for one that is made, empty for none.
    :param settings: more keys of its table of ``[[bots]]``.
    :param within: seconds that it may take to connect.

    :ivar address: where it finds lgtwist; None until it is started.
    """

    def __init__(
        self,
        *,
        name: str = "bot",
        url: str | None = None,
        access_token: str | None = None,
        settings: Mapping[str, Any] | None = None,
        within: float = CONNECT_LIMIT,
    ) -> None:
        self.name = name
        self.within = within
        self._url, self._access_token = url, access_token
        self._settings = dict(settings or {})
        self._process: SandboxProcess | None = None
        self.address: BotAddress | None = None
        self._output = BoundedLog()
        self._configured = False

    # -- what an AttachedBot is

    def log(self, after: int = 0) -> str:
        """Return the end of all that it has logged.

        :param after: leave out so many bytes from the beginning.
        """
        return self._output.read(after)

    def log_size(self) -> int:
        """Return how many bytes it has logged, with those that are not kept any more."""
        return self._output.size

    def ended(self) -> str | None:
        """Return a few words, such as "ended with status 1", if it does not run; else None."""
        raise NotImplementedError

    # -- starting and stopping

    def start(self: Self, process: SandboxProcess) -> Self:
        """Start it, and wait until it is connected; return itself, to be used as a context manager.

        :param process: the service, which is started if it does not run.
        :raises SandboxError: if the bot does not connect in time, with its log.
        """
        self._prepare(process)
        try:
            self._start()
            self.wait_until_connected()
        except BaseException:
            self.close()
            raise
        return self

    def stop(self) -> None:
        """End it, and wait for its end; harmless where it does not run."""
        raise NotImplementedError

    def close(self) -> None:
        """End it, and let no test wait for it any more."""
        self.stop()
        if self._process is not None:
            self._process.detach(self)

    def restart(self) -> None:
        """End it, start it again, and wait until it is connected.

        :raises SandboxError: if it does not connect in time, with its log.
        """
        self.stop()
        self.start_again()

    def start_again(self) -> None:
        """Start it after :meth:`stop`, and wait until it is connected.

        :raises SandboxError: if it does not connect in time, with its log; or if it was never started.
        """
        self._require_process()
        self._wait("is still connected, although it has ended", lambda: not self._connections(), alive=False)
        self._start()
        self.wait_until_connected()

    @contextlib.contextmanager
    def stopped(self: Self) -> Iterator[Self]:
        """Let it be away for a block of a test: end it, and start it again in the end.

        Also where the test fails in the block.

        :raises SandboxError: if it does not connect in time then, with its log.
        """
        self.stop()
        try:
            yield self
        finally:
            self.start_again()

    def __enter__(self: Self) -> Self:
        if self._process is None:
            raise SandboxError(
                f"bot {self.name!r} is not started: with BotCommand(...).start(process) as bot"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> None:
        """Start it, without waiting."""
        raise NotImplementedError

    # -- its connection

    def wait_until_connected(self) -> None:
        """Wait until it is connected; one that lgtwist posts to, until it listens.

        :raises SandboxError: if that takes too long or it ends, with its log.
        """
        process, address = self._require_process(), self.address
        assert address is not None
        if self._url is not None:
            self._wait(f"does not listen on port {address.port}", lambda: _is_open(address.port))
            if not self._configured:  # not before it listens, so that the first dial arrives
                self._configured = True
                kind = "http-post" if self._url.startswith("http") else "reverse-websocket"
                process.add_bot(**self._table(kind, url=address.fill(self._url)))
        if not process.posts_to(self.name):
            self._wait("has not connected", lambda: self._connections() > 0)

    def _prepare(self, process: SandboxProcess) -> None:
        """Add it to the configuration of the service, and find out its address.

        :raises SandboxError: if it runs already.
        """
        if self.ended() is None:
            raise SandboxError(f"bot {self.name!r} runs already")
        process.start()
        self._process, self._configured = process, False
        known = self.name in process.bot_names
        token = self._access_token
        if self._url is None:
            if not known or self._settings or token is not None:
                process.add_bot(**self._table("forward-websocket"))
            token = process.access_token_of(self.name)
        elif token is None:
            token = self._access_token = secrets.token_urlsafe(24)
        self.address = BotAddress(process.ws_url, process.url, token, process.self_ids[0], free_port())
        if self not in process.attached:
            process.attach(self)

    def _table(self, connection: str, **keys: str) -> dict[str, Any]:
        table: dict[str, Any] = {"name": self.name, "connection": connection, **keys, **self._settings}
        if self._access_token is not None:  # an empty one is none, and none is made
            table["access_token"] = self._access_token or None
        return table

    def _connections(self) -> int:
        client = self._require_process().client()
        try:
            return client.connected_bots().get(self.name, 0)
        finally:
            client.close()

    def _require_process(self) -> SandboxProcess:
        if self._process is None:
            raise SandboxError(f"bot {self.name!r} was never started")
        return self._process

    def _wait(self, problem: str, ready: Callable[[], bool], *, alive: bool = True) -> None:
        """Wait until something is so.

        :param problem: what is said about the bot if that takes too long.
        :param alive: whether the end of the bot ends the waiting.
        :raises SandboxError: if it takes too long, or the bot ends.
        """
        deadline = time.monotonic() + self.within
        while not ready():
            ended = self.ended() if alive else None
            if ended is not None:
                self._fail(f"{ended} before it was connected")
            if time.monotonic() > deadline:
                self._fail(f"{problem} within {self.within:g} s")
            time.sleep(_POLL)

    def _fail(self, words: str) -> None:
        """Fail with the ends of both logs.

        :raises SandboxError: always.
        """
        process = self._require_process()
        raise SandboxError(
            f"bot {self.name!r} {words}\n\n{_end_of_log('the bot', self.log())}\n\n"
            f"{_end_of_log('lgtwist', process.log(process.log_ready))}"
        )


class BotCommand(BotUnderTest):
    """A bot that is a program of its own, in any language.

    ``{ws_url}``, ``{http_url}``, ``{access_token}``, ``{self_id}`` and ``{port}`` in arguments and in values
    of the environment stand for the address of the sandbox, and for a free port.

    It runs in a process group of its own, which ends with the tests, however they end.

    :param command: the program and its arguments.
    :param env: added to the environment of the tests.
    :param cwd: its working directory; None for that of the tests.
    :param ready: a regular expression that its output must contain before it counts as connected.

    The other parameters are those of :class:`BotUnderTest`.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        ready: str | None = None,
        name: str = "bot",
        url: str | None = None,
        access_token: str | None = None,
        settings: Mapping[str, Any] | None = None,
        within: float = CONNECT_LIMIT,
    ) -> None:
        super().__init__(name=name, url=url, access_token=access_token, settings=settings, within=within)
        if isinstance(command, str):
            raise TypeError('the command is a list: ["python", "bot.py"]')
        self.command = [os.fspath(one) for one in command]
        self.env, self.cwd = dict(env or {}), cwd
        self._ready = ready
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._began = 0

    def ended(self) -> str | None:
        """Return a few words, such as "ended with status 1", if it does not run; else None."""
        if self._supervisor is None:
            return "was not started" if self._process is None else "was stopped"
        status = self._supervisor.poll()
        return None if status is None else f"ended with status {status}"

    def log(self, after: int = 0) -> str:
        """Return the end of all that it has logged; of a bot that has ended with what it wrote last.

        :param after: leave out so many bytes from the beginning.
        """
        if self._reader is not None and self.ended() is not None:
            self._reader.join(1.0)  # a child that left the group may hold the pipe
        return super().log(after)

    def stop(self, *, kill: bool = False) -> None:
        """End it and its children, and wait for their end; harmless where it does not run.

        :param kill: end them at once, as a crash does; else they are asked first (SIGTERM).
        """
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        assert supervisor.stdin is not None
        with contextlib.suppress(OSError):
            if kill:
                supervisor.stdin.write(b"k")
            supervisor.stdin.close()
        try:
            supervisor.wait(GRACE + 5)
        except subprocess.TimeoutExpired:
            supervisor.kill()
            supervisor.wait()
        if self._reader is not None:
            self._reader.join(1.0)  # a child that left the group may hold the pipe

    def restart(self, *, kill: bool = False) -> None:
        """End it, start it again, and wait until it is connected.

        :param kill: as for :meth:`stop`.
        :raises SandboxError: if it does not connect in time, with its log.
        """
        self.stop(kill=kill)
        self.start_again()

    def wait_until_connected(self) -> None:
        """Wait until it is connected, and has written what it writes when it is ready.

        :raises SandboxError: if that takes too long or it ends, with its log.
        """
        super().wait_until_connected()
        if self._ready is not None:
            pattern = re.compile(self._ready, re.MULTILINE)
            self._wait(
                f"has not written /{pattern.pattern}/",
                lambda: pattern.search(self.log(self._began)) is not None,
            )

    def _start(self) -> None:
        address = self.address
        assert address is not None
        env = {
            "PYTHONIOENCODING": "utf-8:backslashreplace",  # the log is read so
            **os.environ,
            "PYTHONUNBUFFERED": "1",
            **_no_proxy(),
        }
        env.update({name: address.fill(value) for name, value in self.env.items()})
        options: dict[str, Any] = {}
        if os.name == "nt":
            options["creationflags"] = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        else:
            options["start_new_session"] = True  # Ctrl-C is for the tests, which end the bot
        if self.cwd is not None and not os.path.isdir(self.cwd):
            raise SandboxError(f"bot {self.name!r} has no folder {os.fspath(self.cwd)} to run in")
        self._began = self._output.size
        supervisor = subprocess.Popen(  # noqa: S603 - the author's own command
            [sys.executable, "-I", "-S", "-c", _SUPERVISOR, f"{GRACE}", *map(address.fill, self.command)],
            cwd=self.cwd,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            **options,
        )
        self._supervisor = supervisor
        self._reader = threading.Thread(
            target=self._read, args=(supervisor,), name=f"log of bot {self.name!r}", daemon=True
        )
        self._reader.start()

    def _read(self, supervisor: subprocess.Popen[bytes]) -> None:
        assert supervisor.stdout is not None
        with supervisor.stdout as output:
            while chunk := output.read(65536):
                self._output.write(chunk)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on.

    :raises SandboxError: if none is found.
    """
    chooser = random.SystemRandom()
    for _ in range(200):
        port = chooser.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SandboxError(f"no port is free from {_PORTS[0]} to {_PORTS[-1]}")


def _is_open(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0):
            return True
    except OSError:
        return False


def _no_proxy() -> dict[str, str]:
    """Return an environment in which no proxy stands between a bot and 127.0.0.1."""
    local = "127.0.0.1,localhost"
    return {name: ",".join(filter(None, (os.environ.get(name), local))) for name in ("NO_PROXY", "no_proxy")}


def _end_of_log(whose: str, log: str) -> str:
    lines = log.strip("\n").splitlines()[-_LOG_LINES:]
    return "\n".join([f"The end of the log of {whose}:", *(f"  {line}" for line in lines or ["(nothing)"])])
