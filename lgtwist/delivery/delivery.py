"""Delivery at least once: one bot, one account. Pure: time, journal and connections come in.

The bot's *cursor* moves only over what it has confirmed, and is written to the journal. From there on
events are *sent* to the active sink (the newest connection), see :class:`Sending`. Whatever breaks, sending
begins again behind the cursor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IReactorTime

from lgtwist.delivery.batch import Batch, Position, Watermark
from lgtwist.delivery.counters import DeliveryCounters
from lgtwist.delivery.cursor import Cursor
from lgtwist.delivery.encoded_batch import read_for_routing
from lgtwist.delivery.interfaces import IEventSink, IJournal
from lgtwist.delivery.judging import Judging
from lgtwist.delivery.log import DeliveryLog
from lgtwist.delivery.redeliveries import Redeliveries
from lgtwist.delivery.redelivery import Redelivered
from lgtwist.delivery.refusals import Verdict
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.delivery.sending import Sending
from lgtwist.delivery.sinks import Sinks
from lgtwist.onebot.event import Event
from lgtwist.onebot.message import MessageFormat
from lgtwist.runtime.long_work import long_work_of

#: For a bot that wants all of the past.
_EVERYTHING = ReplayPolicy()


class Delivery:
    """The events of one account on their way to one bot.

    :param bot: the bot's name.
    :param account: the account's ``self_id``.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: returns seconds since the epoch.
    :param passes: which events the bot gets; None for all.
    :param window_bytes: bytes that may be unconfirmed; one event alone may be larger.
    :param patience: seconds without a confirmation that are worth a line in the log.
    :ivar committed: call this with each :class:`EncodedBatch`; see :meth:`Sending.committed`.
    :ivar confirmed: a sink calls this, see :meth:`Sending.confirmed`.
    :ivar pump: a sink calls this when it is ready, see :meth:`Sending.pump`.
    """

    def __init__(
        self,
        bot: str,
        account: int,
        journal: IJournal,
        *,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        policy: ReplayPolicy = _EVERYTHING,
        passes: Callable[[Event], bool] | None = None,
        message_format: MessageFormat = MessageFormat.AS_IS,
        window_bytes: int = 4 << 20,
        patience: float = 60.0,
    ) -> None:
        self.bot = bot
        self.account = account
        self.counters = DeliveryCounters()
        self._journal = journal
        self._clock = clock
        self._wall_clock = wall_clock
        self._log = DeliveryLog(bot, account, clock, patience)
        self._stopped = False
        self._sinks = Sinks()
        self._cursor = Cursor(policy.grace, clock.seconds, partial(journal.confirm, bot, account))
        self._sending = sending = Sending(
            account,
            journal,
            cursor=self._cursor,
            judging=Judging(account, passes, long_work_of(clock)),
            sinks=self._sinks,
            log=self._log,
            counters=self.counters,
            clock=clock,
            wall_clock=wall_clock,
            policy=policy,
            message_format=message_format,
            window_bytes=window_bytes,
        )
        self._redeliveries = Redeliveries(account, journal, sending, clock)
        # The hot functions, without a call in between.
        self.committed = sending.committed
        self.confirmed = sending.confirmed
        self.pump = sending.pump

    def configure(
        self,
        *,
        policy: ReplayPolicy,
        passes: Callable[[Event], bool] | None,
        message_format: MessageFormat,
        window_bytes: int,
    ) -> None:
        """Take other settings, from the next event on; what is under way stays."""
        self._sending.configure(
            policy=policy, passes=passes, message_format=message_format, window_bytes=window_bytes
        )

    def begin(self) -> None:
        """Begin where the journal says that the bot is. The journal is open."""
        sending = self._sending
        sending.begin(self._journal.watermark(self.bot, self.account))
        if sending.active is not None:
            sending.replayed = self._journal.end(self.account)
            self._sinks.begin(sending.replayed)
            sending.resume()

    def stop(self) -> None:
        """Send nothing any more: stop timers and reads, forget all sinks, and demote the active one."""
        self._stopped = True
        active = self._sending.active
        self._sinks.clear()
        self._sending.stop()
        self._cursor.before_skip = None
        self._redeliveries.stop()
        if active is not None:
            active.demote()

    # -- what one can see

    @property
    def unconfirmed(self) -> int:
        """How many events are under way."""
        return self._sending.window.events

    @property
    def backlog(self) -> int:
        """How many events of the account the bot has not confirmed, those that it may not see among them."""
        return max(0, self._journal.total(self.account) - self._cursor.reached.ordinal)

    @property
    def cursor_age(self) -> float:
        """How long ago, in seconds, the newest confirmed event was taken in, while others wait; else 0."""
        since = self.cursor_since
        return 0.0 if since is None else max(0.0, self._wall_clock() - since)

    @property
    def cursor_since(self) -> float | None:
        """When the newest confirmed event was taken in (epoch seconds), while others wait; else None."""
        newest = self._cursor.reached
        return newest.time / 1000 if self.backlog and newest.time else None

    @property
    def silent(self) -> bool:
        """Whether a connected bot has confirmed nothing for too long."""
        sent = self._sending.window.sent
        return bool(sent) and self._clock.seconds() - sent[0].at > self._log.patience

    @property
    def cursor(self) -> Position:
        """The position up to which the bot has everything, as the journal has it or will."""
        return self._cursor.settled.position

    @property
    def is_one_at_a_time(self) -> bool:
        """Whether events go one at a time, for the bot refused something."""
        return self._sending.refusals.one_at_a_time

    @property
    def oldest(self) -> float | None:
        """When the oldest event of the backlog was taken in, in seconds since the epoch.

        None if there is none, or if it is not in memory.
        """
        if not self.backlog:
            return None
        tail = self._journal.tail(self.account, self._cursor.reached.position)
        return tail.times[0] / 1000 if tail is not None and len(tail) else None

    @property
    def reached(self) -> Position:
        """The position up to which the bot has confirmed everything."""
        return self._cursor.reached.position

    @property
    def has_begun(self) -> bool:
        """Whether it goes on from a cursor: the journal was opened, and it was not stopped."""
        return self._sending.has_begun

    @property
    def is_connected(self) -> bool:
        """Whether a connection takes the events."""
        return self._sending.active is not None

    @property
    def refuses_all(self) -> bool:
        """Whether the bot refuses every event, so that nothing more is skipped until it confirms one."""
        return self._log.refuses_all

    @property
    def can_undo(self) -> bool:
        """Whether the last :meth:`skip_to_end` can be undone."""
        return self._cursor.before_skip is not None

    # -- what the operator wants

    def skip_to_end(self) -> int:
        """Go on behind the newest event: what is under way is forgotten, what waits is not sent.

        It can be undone until the bot confirms something.

        :returns: how many events were skipped, those that the bot may not see among them.
        """
        if not self._sending.has_begun or self._stopped:
            return 0
        self._sending.check_retention()
        journal, account = self._journal, self.account
        end = Watermark(journal.end(account), journal.total(account), int(self._wall_clock() * 1000))
        skipped = end.ordinal - max(self._cursor.reached.ordinal, journal.expired(account))
        if skipped <= 0:
            return 0
        before = self._cursor.go_back()
        if self._cursor.before_skip is None:
            self._cursor.before_skip = before
        self.counters.skipped_to_end += skipped
        self._log.skipped_to_end(skipped)
        self._cursor.jump(end)
        self._begin_anew()
        return skipped

    def undo_skip(self) -> bool:
        """Put the cursor back to where it was before :meth:`skip_to_end`; return whether that could be done.

        What was sent since comes again behind what was skipped, and so does what was under way then, and
        what had been confirmed for less than the grace.
        """
        before, self._cursor.before_skip = self._cursor.before_skip, None
        if before is None:
            return False
        self._log.skip_undone()
        self._cursor.put_back(before)
        self._journal.put_back(self.bot, self.account, before)
        self._begin_anew()
        return True

    def _begin_anew(self) -> None:
        """Forget what is under way, and send from the cursor on."""
        sending = self._sending
        sending.comes_again()  # or it may
        if sending.active is not None:
            sending.active.forget()
            sending.resume()
        else:
            sending.sent = self._cursor.settled
            sending.check_retention()

    async def deliver_again(self, position: Position) -> Redelivered:
        """Send the event at a position alone, once more, to the active sink; the cursor stays.

        :raises Exception: if the journal cannot be read now.
        """
        result = await self._redeliveries.deliver(position)
        self._log.sent_again(position, result)
        return result

    # -- who takes the events

    def attach(self, sink: IEventSink, delayed_from: float | None = None) -> None:
        """Make a sink the active one; the one that was is demoted.

        :param delayed_from: late events wait for ``replay.delay`` from this time of the clock on, or until
            :meth:`end_delay`: the bot has been sent the lifecycle event then, and has asked nothing yet. None
            if they do not wait.
        """
        if self._stopped:
            sink.demote()
            return
        sending = self._sending
        older = sending.active
        sending.replayed = self._journal.end(self.account)
        self._sinks.add(sink, sending.replayed, delayed_from)
        sending.active = sink
        if older is not None:
            self._log.took_over()
            older.demote()
        sending.resume()

    def detach(self, sink: IEventSink, refused: str | None) -> None:
        """Release a sink; the newest that is left is promoted. Nothing happens if it is not there.

        :param refused: why the bot refused what it was sent, if its end says that.
        """
        sending = self._sending
        self._sinks.remove(sink)
        if sink is not sending.active:
            return
        self._note_refusal(refused)
        sending.active = None
        sending.go_back()
        newest = self._sinks.newest()
        if newest is not None:
            sending.active, sending.replayed = newest
            sending.active.promote()
            sending.resume()

    def end_delay(self, sink: IEventSink) -> None:
        """Send late events from now on: the bot was answered something, so it knows who it is."""
        self._sinks.end_delay(sink)
        if sink is self._sending.active:
            self._sending.end_delay()

    def failed(self, sink: IEventSink, refused: str | None) -> None:
        """Send again what is under way, for it did not arrive; the sink pumps when it can take it.

        :param refused: why the bot refused it, if it did.
        """
        if sink is self._sending.active:
            self._note_refusal(refused)
            self._sending.comes_again()
            self._sending.resume()

    def recovered_sink(self, sink: IEventSink) -> None:
        """Note that a sink works again after failures: what was committed before is late."""
        if sink is self._sending.active:
            self._sending.replayed = self._journal.end(self.account)

    def check(self) -> None:
        """Save the cursor as far as its grace is over, and log a bot that confirms nothing.

        Call this each second or so.
        """
        self._cursor.settle()
        if self.silent:
            self._log.silent()

    def check_retention(self) -> None:
        """Go on behind what expired, count it, and say so."""
        self._sending.check_retention()

    # -- what a bot will not have

    def _note_refusal(self, reason: str | None) -> None:
        """Judge an event that was under way and was refused; ``reason`` is None if it just did not arrive."""
        sending = self._sending
        window = sending.window
        if reason is None or not window.sent:
            return
        if window.events == 1:
            alone = window.sent[0]
            event = alone.only
            assert event is not None
            verdict = sending.refusals.judge(event.first, event.size(), reason)
            if verdict is Verdict.SKIP:
                self._skip(event, alone.watermark, reason)
            elif verdict is Verdict.REFUSES_ALL:
                self._log.refuses_every_event(reason)
        sending.refusals.note(sending.sent.position)

    def _skip(self, event: Batch, watermark: Watermark, reason: str) -> None:
        self.counters.refused += 1
        self._cursor.before_skip = None  # it would be refused once more
        kind = read_for_routing(event.payloads[0], self.account)
        self._log.refused(event, "unreadable" if kind is None else kind.post_type, reason)
        self._journal.refused(self.bot, event, reason)
        self._cursor.jump(watermark)
