"""What the process does on a signal."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service

from lgtwist.runtime.logs import Logger
from lgtwist.runtime.platform import O_CLOEXEC, O_NOCTTY, SIGHUP, SIGUSR1
from lgtwist.runtime.tasks import log_failures


def _has_terminal() -> bool:
    """Return whether the process has a terminal: as stdin, as stdout, or as the one that controls it."""
    if _terminals():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | O_NOCTTY | O_CLOEXEC))
    except OSError:
        return False
    return True


def _terminals() -> list[int]:
    """Return which of stdin, stdout and stderr are terminals."""
    return [number for number in range(3) if os.isatty(number)]


class Signals(Service):
    """SIGTERM and SIGINT stop in good order, with exit status 0; a second one ends at once. SIGHUP reloads.
    SIGUSR1 begins a new log file. Windows has neither of the latter two.

    Twisted's own handlers make twistd end by the signal itself.

    SIGHUP has two meanings. Where the process had a terminal when it started and has none now, it is the end
    of that terminal: the process stops in good order. Anywhere else it asks to read the configuration again.
    Where SIGHUP is ignored when we come (``nohup``), it stays so.

    :param reactor: in whose thread ``reload`` is called; what is stopped.
    :param reload: reads the configuration again. Signals that come before it is called are one.
    :param renew_log: begins a new log file, likewise.
    """

    _log = Logger(throttled=False)

    def __init__(
        self,
        reactor: Any,
        reload: Callable[[], object] | None = None,
        renew_log: Callable[[], object] = lambda: None,
    ) -> None:
        self._reactor = reactor
        self._reload = log_failures("reloading", reload or self._cannot_reload)
        self._renew_log = log_failures("beginning a new log", renew_log)
        self._stopping = False
        self._reload_asked = self._renew_asked = False
        self._had_terminal = False
        self._terminals: list[int] = []

    def _cannot_reload(self) -> None:
        self._log.info("SIGHUP: this service cannot read its configuration again")

    def prepare(self) -> None:
        """Answer the signals from now on: a process that has hardly begun would be ended by them.

        What they ask for is done when the reactor runs.
        """
        self._look_for_terminal()
        self._install()
        if SIGHUP is not None and signal.getsignal(SIGHUP) is not signal.SIG_IGN:
            signal.signal(SIGHUP, self._hung_up)
        # Before twistd looks: its own handler is there for some ways of starting only, and else the signal
        # ends the process.
        if SIGUSR1 is not None and not callable(signal.getsignal(SIGUSR1)):
            signal.signal(SIGUSR1, self._new_log_wanted)

    def _look_for_terminal(self) -> None:
        self._had_terminal, self._terminals = _has_terminal(), _terminals()

    def startService(self) -> None:
        """Replace the reactor's handlers, once it has set them."""
        super().startService()
        self._look_for_terminal()  # twistd may have become a daemon since
        self._reactor.callWhenRunning(self._install)

    def _install(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: object) -> None:
        if self._stopping:
            os._exit(128 + number)
        self._begin_to_stop()

    def _begin_to_stop(self) -> None:
        self._stopping = True
        self._reactor.callFromThread(self._reactor.stop)

    def _hung_up(self, _number: int, _frame: object) -> None:
        if self._stopping:
            return
        if self._had_terminal and not _has_terminal():
            self._leave_terminal()
            self._begin_to_stop()
        elif not self._reload_asked:
            self._reload_asked = True
            self._reactor.callFromThread(self._do_reload)

    def _new_log_wanted(self, _number: int, _frame: object) -> None:
        if not self._renew_asked:
            self._renew_asked = True
            self._reactor.callFromThread(self._do_renew)

    def _do_renew(self) -> None:
        self._renew_asked = False
        self._renew_log()

    def _leave_terminal(self) -> None:
        """Let what is still written to the terminal go nowhere: each write would fail, the last at exit."""
        nowhere = os.open(os.devnull, os.O_RDWR | O_CLOEXEC)
        for number in self._terminals:
            os.dup2(nowhere, number)
        os.close(nowhere)

    def _do_reload(self) -> None:
        self._reload_asked = False
        if not self._stopping:
            self._reload()
