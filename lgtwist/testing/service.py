"""A lgtwist of its own, as a child process, for the tests of a bot.

Nothing of Twisted is imported here: the service has a process of its own, and the test may use asyncio,
Twisted, threads or nothing.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from lgtwist.testing.control import SandboxClient, SandboxError

#: Seconds that the service may take to start, and to stop.
START_LIMIT, STOP_LIMIT = 30.0, 10.0
#: The longest pause between two looks at the log while the service starts, in seconds.
_START_POLL = 0.005
#: The folder that the package is imported from.
_PACKAGE_PARENT = Path(__file__).resolve().parents[2]

# What the child process runs. Its stdin is a pipe that nobody writes to: it ends when the test's process
# ends, however that happens, on every platform. SIGTERM is a clean stop where there is SIGTERM.
_CHILD = """\
import gc, os, runpy, signal, sys, threading, time

gc.set_threshold(100_000)  # a fifth less time for the imports; the service sets its own threshold then

def end_with_parent():
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
    os._exit(1)

threading.Thread(target=end_with_parent, daemon=True).start()
if sys.argv[1] not in sys.path:
    sys.path.append(sys.argv[1])
sys.argv = ["lgtwist", *sys.argv[2:]]
runpy.run_module("lgtwist.command", run_name="__main__", alter_sys=True)
"""


class AttachedBot(Protocol):
    """A bot under test, whose log is shown where an expectation fails.

    :ivar name: its name in the configuration of the service.
    """

    @property
    def name(self) -> str:
        """Its name in the configuration of the service."""

    def log(self, after: int = 0) -> str:
        """Return what it has logged, as far as that is kept; empty if that is not known.

        :param after: leave out so many bytes from the beginning.
        """

    def log_size(self) -> int:
        """Return how many bytes it has logged."""

    def ended(self) -> str | None:
        """Return a few words, such as "ended with status 1", if it does not run any more; else None."""


class SandboxProcess:
    """One lgtwist with sandbox accounts, in a process and a folder of its own, on a free port of 127.0.0.1.

    It is started by :meth:`start`, or as a context manager, and stops when the process that started it
    ends, however that happens.

    :param folder: where its configuration, its data and its log are; made if it is not there. None for a
        temporary folder, which is removed in the end.
    :param accounts: the sandbox accounts: their numbers, or tables of ``[[accounts]]``.
    :param bots: tables of ``[[bots]]``. A bot that dials lgtwist gets a token where it has no
        ``access_token``; None as ``access_token`` is for a bot without one.
    :param world: a JSON file with the world that accounts begin from; None for Alice, Bob, Carol and the
        group Playground.
    :param toml: more lines for the configuration file, without ``[server]``.
    :param log_path: the file that its log goes to; None for ``lgtwist.log`` in the folder.

    :ivar url: the base of its HTTP interface, without a slash at its end; empty until it is started.
    :ivar admin_token: what opens that interface.
    :ivar log_ready: how many bytes its log had when it was ready.
    :ivar attached: the bots under test that were handed to :meth:`attach`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        accounts: Sequence[int | Mapping[str, Any]] = (10001,),
        bots: Sequence[Mapping[str, Any]] = ({"name": "bot"},),
        world: str | os.PathLike[str] | None = None,
        toml: str = "",
        log_path: str | os.PathLike[str] | None = None,
    ) -> None:
        self._temporary = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="lgtwist-") if folder is None else folder).absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_path = self.folder / "lgtwist.log" if log_path is None else Path(log_path).absolute()
        self.config_path = self.folder / "lgtwist.toml"
        self.admin_token = secrets.token_urlsafe(24)
        self._accounts = [_account_table(one, world) for one in accounts]
        self._bots = [_bot_table(one) for one in bots]
        self._toml = toml
        self.attached: list[AttachedBot] = []
        self.port = self._configured_port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._log_began = self.log_ready = 0
        self._first_worlds: dict[int, bytes] = {}
        self._next_number = 0
        self._last_numbers: dict[int, int] = {}

    # -- where it is

    @property
    def url(self) -> str:
        """The base of its HTTP interface, without a slash at its end."""
        self._require_started()
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The URL that a bot dials by forward WebSocket, for the first account: ``ws://127.0.0.1:PORT/``."""
        self._require_started()
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def access_token(self) -> str:
        """The token of the first bot; empty if it has none."""
        return self.access_token_of(None)

    @property
    def console_url(self) -> str:
        """The link of the console, to look at the world while a debugger holds the test."""
        return f"{self.url}/console/#token={self.admin_token}"

    @property
    def self_ids(self) -> tuple[int, ...]:
        """The numbers of the accounts."""
        return tuple(int(one["self_id"]) for one in self._accounts)

    @property
    def bot_names(self) -> tuple[str, ...]:
        """The names of the bots in the configuration."""
        return tuple(str(one["name"]) for one in self._bots)

    def access_token_of(self, bot: str | None) -> str:
        """Return the token of a bot, empty if it has none.

        :param bot: its name in the configuration; None for the first one.
        :raises SandboxError: if there is no such bot.
        """
        for one in self._bots:
            if bot is None or one["name"] == bot:
                return str(one.get("access_token", ""))
        raise SandboxError(f"no bot {bot!r} is configured; there are: {', '.join(self.bot_names) or 'none'}")

    def posts_to(self, bot: str) -> bool:
        """Return whether lgtwist posts events to a bot, so that no connection tells whether it is there."""
        return any(one["name"] == bot and one.get("connection") == "http-post" for one in self._bots)

    # -- starting and stopping

    def start(self) -> SandboxProcess:
        """Start it, and wait until it answers; return itself. Once it has run, it gets the same port again.

        :raises SandboxError: if it does not start, with what it says.
        """
        if self.alive:
            return self
        self._log_began = self.log_ready = self.log_size()
        self._configured_port = self.port
        self._write_configuration()
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-c",
            _CHILD,
            str(_PACKAGE_PARENT),
            "run",
            "--config",
            str(self.config_path),
        ]
        options: dict[str, Any] = {}
        if os.name == "nt":
            options["creationflags"] = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        else:
            options["start_new_session"] = (
                True  # Ctrl-C is for the tests; the pipe ends the service after them
            )
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and text
                command,
                cwd=self.folder,
                env=_child_environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                **options,
            )
        self._owner = os.getpid()
        atexit.unregister(self.close)
        atexit.register(self.close)
        try:
            self.port = self._wait_for_port()
            for self_id in self.self_ids:
                with self.client(self_id) as client:
                    self._first_worlds.setdefault(self_id, client.get_bytes("world", seconds=START_LIMIT))
                    self._go_on_with_numbers(client, self_id)
            self.log_ready = self.log_size()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, *, kill: bool = False) -> None:
        """Stop it, and wait for its end; harmless where it does not run.

        :param kill: end it at once, as a crash does, rather than let it close its connections.
        """
        process = self._process
        if process is None or self._owner != os.getpid():  # in a fork the service is the parent's
            return
        self._process = None
        if kill:
            process.kill()
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, *, kill: bool = False) -> None:
        """Stop it and start it again, on the same port and with its data: bots lose their connections.

        :param kill: as for :meth:`stop`.
        """
        self.stop(kill=kill)
        self.start()

    def close(self) -> None:
        """Stop it, and remove its folder if that is a temporary one."""
        self.stop()
        atexit.unregister(self.close)
        if self._temporary and self._owner == os.getpid():
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> SandboxProcess:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The number of its process; None while it does not run."""
        return None if self._process is None else self._process.pid

    def _require_started(self) -> None:
        if not self.port:
            raise SandboxError("the sandbox is not started")

    def _wait_for_port(self) -> int:
        """Return the port that it says it listens on.

        :raises SandboxError: if it ends or says nothing.
        """
        deadline = time.monotonic() + START_LIMIT
        while True:
            ended = not self.alive
            log = self.log(self._log_began)
            found = re.search(r" ws://127\.0\.0\.1:(\d+)/", log)
            if found is not None:
                return int(found[1])
            if ended:
                raise SandboxError(f"lgtwist did not start:\n{log.strip() or '(it wrote nothing)'}")
            if time.monotonic() > deadline:
                raise SandboxError(f"lgtwist did not start in {START_LIMIT:g} s:\n{log.strip()}")
            time.sleep(_START_POLL)

    # -- its configuration

    def _write_configuration(self) -> None:
        lines = [
            f"data_dir = {_toml_value(str(self.folder / 'data'))}",
            "[server]",
            f'endpoints = ["tcp:{self._configured_port}:interface=127.0.0.1"]',
            f"admin_token = {_toml_value(self.admin_token)}",
        ]
        for name, tables in (("accounts", self._accounts), ("bots", self._bots)):
            for table in tables:
                lines += ["", f"[[{name}]]", *(f"{key} = {_toml_value(table[key])}" for key in table)]
        self.config_path.write_text("\n".join([*lines, "", self._toml, ""]), "utf-8")

    def add_bot(self, **table: Any) -> None:
        """Add a bot to the configuration, or replace the one of that ``name``; also while it runs.

        :param table: a table of ``[[bots]]``.
        :raises SandboxError: if the configuration is wrong then; it stays as it was.
        """
        added = _bot_table(table)
        self._change_bots([*(one for one in self._bots if one["name"] != added["name"]), added])

    def remove_bot(self, name: str) -> None:
        """Remove a bot from the configuration, also while it runs.

        :raises SandboxError: if the configuration is wrong then; it stays as it was.
        """
        self._change_bots([one for one in self._bots if one["name"] != name])

    def _change_bots(self, bots: list[dict[str, Any]]) -> None:
        before, self._bots = self._bots, bots
        if not self.alive:
            return
        try:
            self._write_configuration()
            with self.client() as client:
                answer = client.post("/console/api/reload")
            if not answer["applied"]:
                raise SandboxError("\n".join(map(str, answer["lines"])))
        except BaseException:
            self._bots = before
            self._write_configuration()
            raise

    # -- the bots under test

    def attach(self, bot: AttachedBot) -> None:
        """Note a bot under test: it is waited for before each test, and its log is shown where one fails."""
        self.attached.append(bot)

    def detach(self, bot: AttachedBot) -> None:
        """Forget a bot under test; harmless where it is not known."""
        if bot in self.attached:
            self.attached.remove(bot)

    # -- what the tests of a session share

    def client(self, self_id: int | None = None) -> SandboxClient:
        """Return a client of its HTTP interface.

        :param self_id: the account that it is for; None for the first.
        """
        return SandboxClient(
            self.url,
            self.self_ids[0] if self_id is None else self_id,
            admin_token=self.admin_token,
            explain=self._why_no_answer,
        )

    def _why_no_answer(self) -> str:
        """Return what its log says at its end, if it does not run; else nothing."""
        if self.alive:
            return ""
        lines = self.log(self.log_ready).strip().splitlines()[-20:]
        return "\n".join(
            ["", "lgtwist does not run any more. The end of its log:", *(f"  {one}" for one in lines)]
        )

    def first_world(self, self_id: int) -> bytes:
        """Return the JSON file of the world that an account began with.

        :raises SandboxError: if there is no such account.
        """
        try:
            return self._first_worlds[self_id]
        except KeyError:
            there = ", ".join(map(str, self.self_ids))
            raise SandboxError(f"there is no account {self_id}; there are: {there}") from None

    def note_message_number(self, self_id: int, number: int) -> None:
        """Note that a fresh world was begun, whose messages get numbers above one."""
        self._last_numbers[self_id] = number

    def _go_on_with_numbers(self, client: SandboxClient, self_id: int) -> None:
        """Let messages get numbers above those from before a restart: files of worlds do not keep them."""
        noted = self._last_numbers.get(self_id, 0)
        if noted and int(client.overview()["last_message_id"]) < noted:
            world = json.loads(client.get_bytes("world"))
            client.put("world", json.dumps({**world, "last_message_id": noted}).encode())

    def unused_number(self) -> int:
        """Return a number for a person or a group that no test of this process has had."""
        self._next_number += 1
        return 50_000 + self._next_number

    # -- its log

    def log_size(self) -> int:
        """Return how many bytes its log has."""
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def log(self, after: int = 0) -> str:
        """Return its log.

        :param after: the number of bytes to leave out at the beginning.
        """
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as file:
            file.seek(after)
            return file.read().decode("utf-8", "replace")


def _child_environment() -> dict[str, str]:
    """Return the environment of the service: ours, without what is meant for our own process.

    That is what a supervisor gave it, and what would let an interpreter stop at a warning of a package, or
    ask for input at its end.
    """
    ours = (
        "PYTHONWARNINGS",
        "PYTHONINSPECT",
        "PYTHONSTARTUP",
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
    )
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return {**environment, "PYTHONIOENCODING": "utf-8:backslashreplace"}


def _account_table(account: int | Mapping[str, Any], world: str | os.PathLike[str] | None) -> dict[str, Any]:
    table: dict[str, Any] = {"self_id": account} if isinstance(account, int) else dict(account)
    if world is not None:
        table.setdefault("world", str(Path(world).absolute()))
    return {"type": "sandbox", **table}


def _bot_table(bot: Mapping[str, Any]) -> dict[str, Any]:
    table = {"name": "bot", **bot}
    connection = table.get("connection", "forward-websocket")
    if connection == "forward-websocket" and "access_token_file" not in table:
        table.setdefault("access_token", secrets.token_urlsafe(24))
    elif connection == "reverse-websocket":  # a test does not wait a second for its bot
        table.setdefault("reconnect", {"min": "50ms", "max": "1s"})
    return {key: value for key, value in table.items() if value is not None}


def _toml_value(value: Any) -> str:
    """Return a value as TOML, in one line.

    :raises TypeError: if TOML has no such value.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, os.PathLike)):  # JSON's escapes are TOML's, but for DEL, which must be escaped
        return json.dumps(os.fspath(value), ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        pairs = (f"{_toml_value(str(key))} = {_toml_value(one)}" for key, one in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_toml_value, value))}]"
    raise TypeError(f"{value!r} cannot be written as TOML")
