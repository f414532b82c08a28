"""Child processes of tests, their ports, and waiting for them.

Everything here blocks: what is started has a process of its own, and the test needs no reactor.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")

#: Nothing on loopback takes longer unless it is broken, however busy the machine is (seconds).
PATIENCE = 30.0
#: The project's own folder: what a child process needs on its path.
ROOT = Path(__file__).resolve().parents[1]
#: The command ``twistd``, of this interpreter.
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()")
#: All that somebody else's program gets of our environment: no proxy, no setting of a bot.
INHERITED = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR")

_PORTS_PER_PROCESS = 200
_port_numbers = itertools.count()
#: Sockets that are bound to the ports that were given, and do not listen: no other process is given these.
_reserved: deque[socket.socket] = deque()


def wait_until(what: str, ready: Callable[[], Value], patience: float = PATIENCE) -> Value:
    """Ask again and again until the answer is true; fail the test after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not (answer := ready()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:g} s in vain: {what}")
        time.sleep(0.01)
    return answer


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, below those that the kernel gives to connections.

    Whoever dials a port of the kernel's range while nobody listens there may be connected to himself, and a
    server that is started again may find its port taken by somebody's connection. Each process begins at a
    port of its own, by its pid, and keeps what it gives bound: one that asks without SO_REUSEADDR, as this
    function does, finds it taken; a server, which has SO_REUSEADDR, can listen there.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    top = low - 3000 if low > 10_000 else low  # the benchmarks take theirs from the uppermost 3000
    bottom = max(1024, low - 20_000)
    first = os.getpid() * _PORTS_PER_PROCESS
    for number in itertools.islice(_port_numbers, top - bottom):
        port = bottom + (first + number) % (top - bottom)
        reserved = socket.socket()
        try:
            reserved.bind(("127.0.0.1", port))
        except OSError:
            reserved.close()
            continue
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _reserved.append(reserved)
        if len(_reserved) > _PORTS_PER_PROCESS:
            _reserved.popleft().close()
        return port
    raise AssertionError(f"no port is free from {bottom} to {top}")


class Stopwatch:
    """How long something takes, in seconds that a loaded machine does not make longer.

    What a thread of this process or of one that is watched spent ready to run, without a processor, does not
    count (``run_delay`` of ``/proc/*/schedstat``; where the kernel does not tell, everything counts). So a
    limit of time is one for what is tested, and not for what else runs; a process that computes, sleeps or
    waits for somebody is as slow by this watch as by any. It is for upper limits only.

    :param pids: processes besides this one.
    """

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._began = time.monotonic()
        self._before = self._delays()

    def _delays(self) -> dict[str, float]:
        """Since each thread began, by its path."""
        found = {}
        for pid in ("self", *self._pids):
            for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                with contextlib.suppress(OSError):  # it has ended
                    found[path] = int(Path(path).read_text("ascii").split()[1]) / 1e9
        return found

    def seconds(self) -> float:
        """Since it was made."""
        passed = time.monotonic() - self._began
        return passed - sum(delay - self._before.get(path, 0.0) for path, delay in self._delays().items())


@contextlib.contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
    """Wait until no other test process of this user is in the same block, by the name of what they share."""
    path = Path(tempfile.gettempdir()) / f"lgtwist-test-{what}-{os.getuid()}.lock"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it, however we end
        yield


def inherited_environment() -> dict[str, str]:
    """Return what somebody else's program gets of our environment: :data:`INHERITED`."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


class ChildProcess:
    """A program as a child process, which may be started again; a subclass says how.

    :param folder: its working directory; made if it is not there.
    :param log: the name of the file there that takes what it writes to stdout and stderr.
    """

    #: How it is called in sentences.
    name = "the program"

    def __init__(self, folder: Path, log: str = "log") -> None:
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log_path = self.folder / log
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(
        self,
        command: Sequence[str],
        env: dict[str, str],
        cwd: Path | None = None,
        errors: Path | None = None,
    ) -> None:
        """Start a command; it need not be ready yet.

        :param env: its whole environment.
        :param errors: what takes stderr, if that is not to go to the log.
        """
        with self.log_path.open("ab") as log, (errors or self.log_path).open("ab") as error_log:
            self.process = subprocess.Popen(
                command,
                cwd=cwd or self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=error_log,
            )

    def wait_up(self, what: str, ready: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait until it is ready, for ``patience`` seconds; fail, with its log, if it ends before that."""

        def up() -> bool:
            if not self.alive():
                raise AssertionError(f"{self.name} ended at once:\n{self.log()}")
            return ready()

        wait_until(f"{self.name} {what}", up, patience)

    @property
    def pid(self) -> int:
        """The pid, also once it has ended."""
        assert self.process is not None
        return self.process.pid

    def alive(self) -> bool:
        """Return whether it runs."""
        return self.process is not None and self.process.poll() is None

    def log(self) -> str:
        """Return all that it has written, in all its lives."""
        return self.log_path.read_text("utf-8", "replace") if self.log_path.exists() else ""

    def send_signal(self, number: int) -> None:
        """Send a signal, and do not wait."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait up to ``patience`` seconds for the end; return its exit status."""
        assert self.process is not None
        return self.process.wait(patience)

    def stop(self, number: int = signal.SIGTERM, patience: float = PATIENCE) -> int:
        """Send a signal and wait up to ``patience`` seconds for the end; return its exit status."""
        if self.alive():
            self.send_signal(number)
        return self.wait(patience)

    def kill(self) -> None:
        """Send SIGKILL, and wait."""
        self.stop(signal.SIGKILL)

    def end(self) -> None:
        """Kill it if it runs; harmless when called twice, or before it was started."""
        if self.process is not None:
            self.kill()
