"""What the log says of one bot's delivery of one account: each of it once, not at every event."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from lgtwist.delivery.batch import Batch, Position
from lgtwist.delivery.redelivery import Redelivered
from lgtwist.delivery.refusals import TIMES
from lgtwist.delivery.replay import Skipped
from lgtwist.runtime.logs import Logger, LogThrottle

#: Seconds between two lines that say that events expire.
_EXPIRY_INTERVAL = 600.0


class DeliveryLog:
    """The sentences, and what was said already.

    :param patience: seconds without a confirmation that are worth a line.
    :ivar is_silent: it was logged that nothing is confirmed, and not yet that it is again.
    :ivar refuses_all: it was logged that every event is refused, and none was confirmed since.
    """

    _log = Logger()

    def __init__(self, bot: str, account: int, clock: IReactorTime, patience: float) -> None:
        self.patience = patience
        self.is_silent = self.refuses_all = False
        self._bot = bot
        self._account = account
        self._expiry = LogThrottle(clock, _EXPIRY_INTERVAL)
        self._unreadable = LogThrottle(clock)
        self._expired = 0  # events, not logged yet

    def _say(self, level: Any, sentence: str, **fields: object) -> None:
        self._log.emit(level, sentence, bot=self._bot, account=self._account, **fields)

    def took_over(self) -> None:
        """Say that a newer connection takes the events."""
        self._say(
            LogLevel.info,
            "{bot}: a newer connection takes over account {account}; the older goes on as live",
        )

    def silent(self) -> None:
        """Say, once, that a connected bot confirms nothing."""
        if self.is_silent:
            return
        self.is_silent = True
        self._say(
            LogLevel.warn,
            "{bot}: no confirmation of events of account {account} for {seconds:g} s; "
            "it is left in peace, and what it does not confirm comes again on its next connection",
            seconds=self.patience,
        )

    def confirms_again(self) -> None:
        """Say that it confirms again, after :meth:`silent`."""
        self.is_silent = False
        self._say(LogLevel.info, "{bot}: confirms events of account {account} again")

    def unreadable(self, failure: Failure) -> None:
        """Say that the journal cannot be read, once in a while."""
        if self._unreadable.should_log():
            self._say(
                LogLevel.warn,
                "{bot}: the journal cannot be read for account {account}: {reason}; tried again",
                reason=failure.value,
            )

    def expired(self, events: int) -> None:
        """Count events that expired, and say so if that was not said for a while."""
        self._expired += events
        if events and self._expiry.should_log():
            self.flush_expired()

    def expired_unseen(self, events: int) -> None:
        """Count events that turn out to have expired, and say so now."""
        self._expired += events
        self.flush_expired()

    def flush_expired(self) -> None:
        """Say how many events expired since that was said last, if any did."""
        expired, self._expired = self._expired, 0
        if expired:
            self._say(
                LogLevel.warn,
                "{bot}: {events} events of account {account} fell out of the journal before the bot had them "
                "(retention, max_size)",
                events=expired,
            )

    def missing(self, first: Position, last: Position, *, damaged: int, expired: int) -> None:
        """Say that events between two positions cannot be read any more."""
        self._say(
            LogLevel.error,
            "{bot}: {events} events of account {account} between positions {first} and {last} are missing: "
            "{damaged} in damaged parts of the journal, {expired} fell out of it",
            events=damaged + expired,
            first=first,
            last=last,
            damaged=damaged,
            expired=expired,
        )

    def skipped(self, skipped: Skipped) -> None:
        """Say what the bot did not want so late, if anything."""
        if skipped == Skipped():
            return
        self._say(
            LogLevel.info,
            "{bot}: {events} events of account {account} were skipped: {too_old} older than max_age, "
            "{too_many} beyond max_events",
            events=skipped.too_old + skipped.too_many,
            too_old=skipped.too_old,
            too_many=skipped.too_many,
        )

    def skipped_to_end(self, events: int) -> None:
        """Say that the operator lets the bot go on behind everything."""
        self._say(
            LogLevel.warn,
            "console: {bot} does not get {events} events of account {account}: it goes on with the newest",
            events=events,
        )

    def skip_undone(self) -> None:
        """Say that the operator lets the bot have what was skipped."""
        self._say(LogLevel.warn, "console: {bot} gets the events of account {account} that were skipped")

    def sent_again(self, position: Position, redelivered: Redelivered) -> None:
        """Say what became of an event that the operator lets the bot have again."""
        outcome, reason = redelivered.outcome.replace("_", " "), redelivered.reason
        self._say(
            LogLevel.info,
            "console: {bot} has the event of account {account} at position {position} again: {outcome}",
            position=position,
            outcome=f"{outcome} ({reason})" if reason else outcome,
        )

    def refuses_every_event(self, reason: str) -> None:
        """Say, once until it confirms something, that nothing more is skipped."""
        if self.refuses_all:
            return
        self.refuses_all = True
        self._say(
            LogLevel.error,
            "{bot}: refuses every event of account {account} ({reason}); is it configured rightly? "
            "Nothing more is skipped; it is tried again",
            reason=reason,
        )

    def refused(self, event: Batch, kind: str, reason: str) -> None:
        """Say that an event is skipped, for the bot refused it again and again.

        :param kind: its post type.
        """
        self._say(
            LogLevel.error,
            "{bot}: skipped an event of account {account} that it refused {times} times ({reason}): position "
            "{position}, {kind}, {size} bytes, time {received_at:.3f}; `twistd lgtwist --journal` shows it",
            times=TIMES,
            reason=reason,
            position=event.first,
            kind=kind,
            size=event.size(),
            received_at=event.times[0] / 1000,
        )

    def failed(self, failure: Failure) -> None:
        """Log a fault of ours."""
        self._log.failure(
            "{bot}: delivery for account {account} failed", failure, bot=self._bot, account=self._account
        )
