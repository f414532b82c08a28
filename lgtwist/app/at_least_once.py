"""The journal and the deliveries that read it: made with the first bot that needs them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from lgtwist.config.limits import Limits
from lgtwist.hub.deliveries import Deliveries
from lgtwist.hub.directory import Directory
from lgtwist.hub.edges import CannotPrepare
from lgtwist.journal.journal import Journal, JournalLimits
from lgtwist.journal.settings import JournalSettings
from lgtwist.journal.sqlite import SqliteStore, set_aside
from lgtwist.journal.store import JournalBusy, JournalDamaged, JournalError
from lgtwist.journal.worker import ThreadWorker
from lgtwist.runtime.logs import CONFIGURED, Logger
from lgtwist.runtime.turns import FlushScheduler

#: Seconds after which the interpreter switches threads. The journal's thread needs it two or three times for
#: each commit; with the default of 5 ms a commit would be slowest under load.
_SWITCH_INTERVAL = 0.0005
#: Seconds between two checks of the deliveries' time limits.
_DELIVERY_TICK = 0.5


class AtLeastOnce:
    """Makes, checks, opens and closes the journal, and makes its deliveries.

    :param file: the journal's SQLite file.
    :param settings: ``[journal]``.
    :param limits: the present ones.
    :param directory: the accounts and bots.
    :param reactor: network and clock.
    :param wall_clock: seconds since the epoch.
    :param steady_wall_clock: returns seconds since the epoch; None while the wall clock was set lately.
    :param scheduler: tells when a reactor turn ends.
    :param add_timer: calls a function, named, every so many seconds.
    :param is_running: returns whether the service runs.
    :ivar journal: None until a bot needs it.
    :ivar deliveries: None until a bot needs them.
    """

    _log = Logger(throttled=False, longest=CONFIGURED)

    def __init__(
        self,
        file: Path,
        settings: JournalSettings,
        limits: Limits,
        *,
        directory: Directory,
        reactor: Any,
        wall_clock: Callable[[], float],
        steady_wall_clock: Callable[[], float | None],
        scheduler: FlushScheduler,
        add_timer: Callable[[float, str, Callable[[], object]], object],
        is_running: Callable[[], bool],
    ) -> None:
        self._file = file
        self._settings = settings
        self._limits = limits
        self._directory = directory
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._steady_wall_clock = steady_wall_clock
        self._scheduler = scheduler
        self._add_timer = add_timer
        self._is_running = is_running
        self.journal: Journal | None = None
        self.deliveries: Deliveries | None = None

    def make(self) -> None:
        """Make the journal and the deliveries, unless they are there; open the journal if the service runs.

        :raises CannotPrepare: if the service runs and the journal cannot be used.
        """
        if self.journal is not None:
            return
        settings, limits = self._settings, self._limits
        if self._is_running():
            try:
                self.check()
            except JournalError as error:
                raise CannotPrepare(str(error)) from None
        journal = self.journal = Journal(
            SqliteStore(self._file, settings.sync),
            lambda name: ThreadWorker(name, self._reactor.callFromThread),
            self._reactor,
            self._wall_clock,
            limits=JournalLimits(settings.retention, settings.max_size),
            steady_wall_clock=self._steady_wall_clock,
            when_turn_ends=self._scheduler.when_read_or_turn_ends,
        )
        deliveries = self.deliveries = Deliveries(
            journal,
            self._reactor,
            self._wall_clock,
            window_bytes=limits.send_buffer,
            patience=limits.ping_timeout,
        )
        journal.observe_retention(deliveries.check_retention)
        journal.when_open(deliveries.start)
        deliveries.observe_directory(self._directory)
        self._add_timer(_DELIVERY_TICK, "deliveries", deliveries.check)
        if self._is_running():
            self.open()

    def open(self) -> None:
        """Open the journal, if there is one."""
        if self.journal is not None and self.deliveries is not None:
            sys.setswitchinterval(_SWITCH_INTERVAL)
            self.journal.start(self.deliveries.pairs())

    def check(self) -> None:
        """Open the journal's file and close it again, to know that it can be used. Set a damaged one aside.

        It does not stay open: threads and SQLite connections do not survive the fork of a daemon. One that
        another program has locked is no reason not to start: it is opened as soon as it can be.

        :raises JournalError: if it cannot be used.
        """
        file, settings = self._file, self._settings
        pairs = [] if self.deliveries is None else self.deliveries.pairs()
        store, now = SqliteStore(file, settings.sync), int(self._wall_clock() * 1000)
        try:
            store.open_writing(pairs, now)
        except JournalBusy as error:
            self._log.warn("{error}; until it can be opened, events wait in memory", error=error)
            return
        except JournalDamaged as error:
            if not settings.set_aside:
                raise JournalError(
                    f'{error}; nothing was changed. [journal] on_damage = "set-aside" puts it aside and '
                    "begins a new one"
                ) from None
            aside = set_aside(file, time.strftime("%Y%m%dT%H%M%S"))
            self._log.error("{error}; it was set aside as {aside}", error=error, aside=aside)
            store = SqliteStore(file, settings.sync)
            store.open_writing(pairs, now)
        store.close_writing()

    def configure(self, settings: JournalSettings) -> None:
        """Replace ``retention`` and ``max_size``."""
        if self.journal is not None:
            self.journal.configure(settings.retention, settings.max_size)
        self._settings = settings

    def set_limits(self, limits: Limits) -> None:
        """Replace the limits of what is sent."""
        self._limits = limits
        if self.deliveries is not None:
            self.deliveries.configure(limits.send_buffer, limits.ping_timeout)

    def reasons(self) -> list[str]:
        """Return why events cannot be kept, a sentence each."""
        if self.journal is None or not self.journal.trouble:
            return []
        return [f"the journal cannot be written: {self.journal.trouble}"]

    def close(self, patience: float) -> Deferred[None] | None:
        """Flush the journal and close it.

        :param patience: seconds that this may take.
        :returns: fires when it is closed; None if there is none.
        """
        return None if self.journal is None else self.journal.close(patience)
