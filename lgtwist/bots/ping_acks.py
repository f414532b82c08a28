"""At-least-once delivery over a WebSocket: pings carry positions, and their pongs confirm them.

A peer reads frames in order, so it has read those before a ping when it answers it (RFC 6455, 5.5.2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from lgtwist.delivery.batch import Position
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.interfaces import IEventSink
from lgtwist.delivery.redelivery import Redelivery
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.factory import ConnectionFactory
from lgtwist.websocket.phase import Phase

#: Bound once: Python 3.11 looks up a member of an enumeration five times more slowly than a global.
_PHASE_OPEN = Phase.OPEN
#: Events that may be unconfirmed.
_MAX_UNCONFIRMED = 2000
#: The next ping is due this many events, or seconds, after the last one.
_PING_AFTER = 1000
_PING_INTERVAL = 0.1
#: Seconds from the first response to late events. Many programs hand over an event that was read together
#: with a response before whoever awaits the response runs.
_AFTER_RESPONSE = 0.05
#: Close codes with which a peer refuses a message that it was sent (RFC 6455, 7.4.1).
_MESSAGE_TOO_BIG = 1009
_REFUSAL_CODES = (1003, 1007, _MESSAGE_TOO_BIG)
#: And with these too it may refuse one that the operator has sent again.
_REFUSAL_CODES_ALONE = (1002, 1008, *_REFUSAL_CODES)


@implementer(IEventSink)
class WebSocketSink:
    """Sends the events of a delivery on one connection, and confirms them by pongs.

    One ping of ours with a position is pending at a time. Liveness pings carry the newest position too, and a
    pong confirms everything before it; so an unanswered ping delays confirmation until the next liveness ping
    at most.

    :param delayed_from: when the lifecycle event was sent, in seconds of the clock; None if a response was
        sent since.
    :param on_active_changed: called with whether this is the delivery's active sink, when that changes.
    :ivar window: events that may be unconfirmed.
    :ivar encode: encodes an event as a WebSocket frame.
    """

    window = _MAX_UNCONFIRMED

    def __init__(
        self,
        factory: ConnectionFactory,
        connection: Connection,
        delivery: Delivery,
        *,
        clock: IReactorTime,
        on_active_changed: Callable[[bool], None],
        delayed_from: float | None = None,
    ) -> None:
        self.encode = connection.encode
        self._factory = factory
        self._connection = connection
        self.delivery = delivery
        self._clock = clock
        self._on_active_changed = on_active_changed
        self.is_active = True
        self._newest_position: Position = 0  # sent on the connection
        self._pinged_position: Position = 0  # carried by a ping
        self._pings: deque[tuple[int, Position]] = deque()  # unanswered: their numbers and positions
        self._pending_ping = 0  # number of the ping that must be answered before the next one; 0 for none
        self._events_since_ping = 0
        self._pinged_at = clock.seconds() - _PING_INTERVAL
        self._timer: IDelayedCall | None = None
        self._delayed_from = delayed_from
        self._delay_timer: IDelayedCall | None = None  # ends the delay of late events
        self._largest_event = 0  # bytes, of the frames since the last confirmation
        self._largest_response = 0
        self._response_after_ping = 0  # number of the newest ping when a response was last sent
        self._last_ping = 0
        self._again_waiting: deque[Redelivery] = deque()
        self._again_sent: deque[tuple[int, Redelivery]] = (
            deque()
        )  # each with the number of the ping behind it
        # Until this ping is answered the bot may refuse what is not under way for the delivery; 0 for none.
        self._other_upto_ping = 0
        connection.ping_acks = self

    def start(self) -> None:
        """Attach to the delivery. Call this after the first frame was sent."""
        self.delivery.attach(self, self._delayed_from)

    # -- called by the delivery

    @property
    def ready(self) -> bool:
        """Whether events can be sent: the connection is open, and its transport is not paused."""
        connection = self._connection
        return not connection.write_paused and connection.phase is _PHASE_OPEN

    def take(self, frames: bytes, events: int, upto: Position) -> None:
        """Send some events, and a ping if it is due; at once after each event while one is sent at a time.

        :param frames: the events as frames, concatenated.
        :param events: how many.
        :param upto: the position of the last one.
        """
        self._newest_position = upto
        self._events_since_ping += events
        if len(frames) > self._largest_event:
            self._largest_event = len(frames)
        if not self._pending_ping and (self.delivery.is_one_at_a_time or self._ping_is_due()):
            frames += self._factory.ping_frame(self._connection)
        self._factory.put_now(self._connection, frames)

    def demote(self) -> None:
        """Stop being the active sink: a newer connection is."""
        self.is_active = False
        self._on_active_changed(False)

    def promote(self) -> None:
        """Be the active sink again: the newer connection is closed."""
        self.is_active = True
        self._forget_positions()
        self._on_active_changed(True)

    def forget(self) -> None:
        """Confirm nothing of what was sent so far; a pong that comes for it confirms no event."""
        self._forget_positions()
        self._other_upto_ping = max(self._other_upto_ping, self._last_ping + 1)

    def _forget_positions(self) -> None:
        self._newest_position = self._pinged_position = self._pending_ping = 0
        self._pings.clear()

    def send_again(self, redelivery: Redelivery) -> None:
        """Send one event alone, and a ping behind it, as soon as the transport is not paused."""
        self._again_waiting.append(redelivery)
        self._send_again()

    def _send_again(self) -> None:
        while self._again_waiting and self.ready:
            redelivery = self._again_waiting.popleft()
            if redelivery.is_over:
                continue
            frames = redelivery.frame + self._factory.ping_frame(self._connection)
            redelivery.note_sent()
            self._again_sent.append((self._last_ping, redelivery))
            self._other_upto_ping = self._last_ping
            self._factory.put_now(self._connection, frames)

    # -- pings

    def _ping_if_due(self) -> None:
        """Send a ping with the newest position, now or when it is due."""
        if self._newest_position != self._pinged_position and self._ping_is_due():
            self._factory.ping(self._connection)

    def _ping_is_due(self) -> bool:
        """Return whether a ping is due; if it is not yet, set a timer that sends it."""
        if self._timer is not None and self._events_since_ping < _PING_AFTER:
            return False
        wait = self._pinged_at + _PING_INTERVAL - self._clock.seconds()
        if wait <= 0 or self._events_since_ping >= _PING_AFTER:
            self._stop_timer()
            return True
        if self._timer is None:
            self._timer = self._clock.callLater(wait, self._ping_timer_fired)
        return False

    def _ping_timer_fired(self) -> None:
        self._timer = None
        if not self._pending_ping and self._newest_position != self._pinged_position:
            self._factory.ping(self._connection)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def position_of(self, number: int) -> Position:
        """Note that a ping is sent, and return the position that it carries: that of the last event sent.

        The factory calls this for every ping, liveness pings too.

        :param number: of the ping.
        """
        if self._newest_position != self._pinged_position:
            self._pinged_position = self._newest_position
            self._pings.append((number, self._newest_position))
            if not self._pending_ping:
                self._pending_ping = number
        self._last_ping = number
        self._events_since_ping = 0
        self._pinged_at = self._clock.seconds()
        return self._newest_position

    def ponged(self, number: int) -> None:
        """Confirm the events before a ping that was answered. The connection calls this.

        :param number: of the ping.
        """
        if self._other_upto_ping:
            self._note_others_read(number)
        upto = 0
        while self._pings and self._pings[0][0] <= number:
            upto = self._pings.popleft()[1]
        if number >= self._pending_ping:
            self._pending_ping = 0
        if number > self._response_after_ping:
            self._largest_response = 0
        if upto and self.is_active:
            self._largest_event = 0
            self.delivery.confirmed(self, upto)
        if not self._pending_ping:
            self._ping_if_due()

    def _note_others_read(self, number: int) -> None:
        """Note that the bot has read what was sent before a ping and was not under way for the delivery."""
        while self._again_sent and self._again_sent[0][0] <= number:
            self._again_sent.popleft()[1].end("confirmed")
        if number >= self._other_upto_ping:
            self._other_upto_ping = 0

    # -- called by the session

    def response_sent(self, size: int) -> None:
        """Note that a response is sent: if the bot refuses a message now, it may be the response.

        The first one ends the delay of late events.

        :param size: bytes of the frame.
        """
        self._largest_response = max(self._largest_response, size)
        self._response_after_ping = self._last_ping
        if self._delayed_from is not None:
            self._delayed_from = None
            self._delay_timer = self._clock.callLater(_AFTER_RESPONSE, self._end_delay)

    def _end_delay(self) -> None:
        self._delay_timer = None
        self.delivery.end_delay(self)

    def pump(self) -> None:
        """Let the delivery send more events. Call this when the transport is not paused any more."""
        self._send_again()
        if self.is_active:
            self.delivery.pump()

    def closed(self, code: int | None) -> None:
        """Detach from the delivery, because the connection is closed.

        :param code: the close code; None for none.
        """
        self._stop_timer()
        if self._delay_timer is not None:
            self._delay_timer.cancel()
            self._delay_timer = None
        self._connection.ping_acks = None
        by_bot = not self._connection.closedByMe
        refused = (
            by_bot
            and code in _REFUSAL_CODES
            and not self._other_upto_ping
            and not self._may_be_a_response(code)
        )
        self._end_again(code if by_bot and code in _REFUSAL_CODES_ALONE else None)
        self.delivery.detach(self, f"close code {code}" if refused else None)

    def _end_again(self, refused: int | None) -> None:
        """End the redeliveries, because the connection is closed.

        :param refused: the close code with which the bot refuses a message; None if it does not.
        """
        for _number, redelivery in self._again_sent:
            if refused is None:
                redelivery.end("sent", "the connection was closed before the bot had confirmed it")
            else:
                redelivery.end("refused", f"close code {refused}")
        for redelivery in self._again_waiting:
            redelivery.end("not_connected")
        self._again_sent.clear()
        self._again_waiting.clear()

    def _may_be_a_response(self, code: int | None) -> bool:
        """Return whether the refused message may be a response that was sent since the last confirmation.

        With 1009 (Message Too Big) only if it was larger than every event: some bots ask for something each
        time they connect, so there is nearly always a response.
        """
        return self._largest_response > (self._largest_event if code == _MESSAGE_TOO_BIG else 0)
