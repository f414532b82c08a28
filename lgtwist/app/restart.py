"""End the process so that it comes back: by its supervisor, or by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lgtwist.runtime.logs import Logger

#: The exit status that asks a supervisor for a restart: ``EX_TEMPFAIL`` of ``sysexits.h``.
RESTART_STATUS = 75
#: The variable of the environment that says whether a supervisor restarts us: ``1`` or ``0``.
SUPERVISED = "LGTWIST_SUPERVISED"
#: Seconds from the answer to the beginning of the stop: the answer is to be read.
_BEFORE_STOPPING = 0.2


def is_supervised(environment: Mapping[str, str], pid: int) -> bool:
    """Return whether a supervisor restarts a process that ends with :data:`RESTART_STATUS`.

    It does where ``LGTWIST_SUPERVISED`` says so, and as a service of systemd: ``INVOCATION_ID`` is there, and
    ``SYSTEMD_EXEC_PID`` is not that of another process, from which the variables are inherited.

    :param pid: of this process.
    """
    said = environment.get(SUPERVISED, "")
    if said in ("0", "1"):
        return said == "1"
    return "INVOCATION_ID" in environment and environment.get("SYSTEMD_EXEC_PID", str(pid)) == str(pid)


def command_line() -> list[str]:
    """Return the command line that started this process, with the absolute path of its Python."""
    return [sys.executable, *(sys.orig_argv[1:] or sys.argv)]


class Restart:
    """Stops in good order, then comes back.

    :param reactor: is stopped; everything that it stops is over before the process ends.
    :param folder: the working directory at the start, which the command line is relative to.
    :param own_files: twistd's pid file and log.
    """

    _log = Logger()

    def __init__(self, reactor: Any, folder: Path, own_files: Sequence[str] = ()) -> None:
        self._reactor = reactor
        self._folder = folder
        self._own_files = own_files
        self._begun = self._cancelled = False
        self._supervised = is_supervised(os.environ, os.getpid())

    @property
    def how(self) -> str:
        """Who starts it again: ``supervisor`` or ``exec``."""
        return "supervisor" if self._supervised else "exec"

    def begin(self) -> str:
        """Stop and come back, a moment later; return :attr:`how`. Once begun it does nothing more."""
        if not self._begun:
            self._begun = True
            self._reactor.callLater(_BEFORE_STOPPING, self._stop)
        return self.how

    def _stop(self) -> None:
        if not self._reactor.running:  # it stops already
            return
        self._supervised = is_supervised(os.environ, os.getpid())  # a daemon has another process by now
        self._log.info("restarting: asked for in the console")
        self._reactor.addSystemEventTrigger("after", "shutdown", self._leave)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        self._reactor.stop()

    def _signalled(self, number: int, _frame: object) -> None:
        """Stop for good; at the second signal at once."""
        if self._cancelled:
            os._exit(128 + number)
        self._cancelled = True

    def _leave(self) -> None:
        """End the process, once everything is stopped and the lock on ``data_dir`` is free."""
        if self._cancelled:
            return
        self._remove_pid_file()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        if self._supervised:
            os._exit(RESTART_STATUS)
        command = command_line()
        try:
            os.chdir(self._folder)
            os.execv(command[0], command)  # noqa: S606  # no shell, and what started us
        except OSError as error:
            self._log.error("cannot start again: {reason}", reason=error.strerror)
            os._exit(RESTART_STATUS)

    def _remove_pid_file(self) -> None:
        """Remove twistd's pid file: it names this process, which the next twistd would find running."""
        names = {*self._own_files, "twistd.pid"}
        arguments = sys.orig_argv
        for number, argument in enumerate(arguments):
            if argument.startswith("--pidfile="):
                names.add(argument.partition("=")[2])
            elif argument == "--pidfile":
                names.update(arguments[number + 1 : number + 2])
        for name in names:
            for path in (Path(name), self._folder / name):
                with contextlib.suppress(OSError, ValueError):
                    if path.is_file() and path.stat().st_size < 32 and int(path.read_bytes()) == os.getpid():
                        path.unlink()
