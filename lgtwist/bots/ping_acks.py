"""A WebSocket that takes events which must not be lost: pings name positions, pongs confirm them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from lgtwist.delivery.batch import Position
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.interfaces import IEventSink
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.factory import ConnectionFactory
from lgtwist.websocket.phase import Phase

#: A name of this module: Python 3.11 finds an enumeration's member five times more slowly.
_OPEN = Phase.OPEN
#: So many events may be unconfirmed.
_WINDOW = 2000
#: After so many events, or seconds, since the last one another ping asks how far the bot is.
_EVENTS = 1000
_PAUSE = 0.1
#: Close codes with which a program refuses what it was sent (RFC 6455, 7.4.1).
_TOO_LARGE = 1009
_REFUSALS = (1003, 1007, _TOO_LARGE)


@implementer(IEventSink)
class WebSocketSink:
    """Stands between a delivery and one connection.

    One ping that names a position is under way at a time. The pings that ask for a sign of life name the
    newest position too, and a pong confirms all before it; so a ping that is never answered holds up
    nothing for longer than until the next one.

    :param become: called with whether the connection takes what must not be lost, when that changes.
    """

    window = _WINDOW

    def __init__(
        self,
        factory: ConnectionFactory,
        connection: Connection,
        delivery: Delivery,
        *,
        clock: IReactorTime,
        become: Callable[[bool], None],
    ) -> None:
        self.encode = connection.encode
        self._factory = factory
        self._connection = connection
        self.delivery = delivery
        self._clock = clock
        self._become = become
        self.is_active = True
        self._newest: Position = 0  # given to us
        self._named: Position = 0  # by a ping
        self._pings: deque[tuple[int, Position]] = deque()  # not yet answered
        self._awaited = 0  # the ping that must be answered before we ask again
        self._events = 0  # since the last ping
        self._pinged_at = clock.seconds() - _PAUSE
        self._timer: IDelayedCall | None = None
        self._largest_event = 0  # of the frames since the last confirmation, in bytes
        self._largest_response = 0
        self._responded_at = 0  # the newest ping when a response was sent last
        self._last_ping = 0
        connection.ping_acks = self

    def begin(self) -> None:
        """The first frame is out: take events."""
        self.delivery.attach(self)

    # -- called by the delivery

    @property
    def ready(self) -> bool:
        """Whether the transport takes more."""
        connection = self._connection
        return not connection.write_paused and connection.phase is _OPEN

    def take(self, frames: bytes, events: int, upto: Position) -> None:
        """Some events. Where one comes at a time, each is asked for at once."""
        self._newest = upto
        self._events += events
        if len(frames) > self._largest_event:
            self._largest_event = len(frames)
        if not self._awaited and (self.delivery.is_one_at_a_time or self._is_time()):
            frames += self._factory.ping_frame(self._connection)
        self._factory.put_now(self._connection, frames)

    def demote(self) -> None:
        """A newer connection takes over."""
        self.is_active = False
        self._become(False)

    def promote(self) -> None:
        """The newer one is gone."""
        self.is_active = True
        self._newest = self._named = self._awaited = 0
        self._pings.clear()
        self._become(True)

    # -- pings

    def _ask(self) -> None:
        """Ask how far the bot is, now or soon."""
        if self._newest != self._named and self._is_time():
            self._factory.ping(self._connection)

    def _is_time(self) -> bool:
        """Whether a ping may be sent; if it is too early, a timer sends it."""
        if self._timer is not None and self._events < _EVENTS:
            return False
        wait = self._pinged_at + _PAUSE - self._clock.seconds()
        if wait <= 0 or self._events >= _EVENTS:
            self._stop_timer()
            return True
        if self._timer is None:
            self._timer = self._clock.callLater(wait, self._time_came)
        return False

    def _time_came(self) -> None:
        self._timer = None
        if not self._awaited and self._newest != self._named:
            self._factory.ping(self._connection)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def position_of(self, number: int) -> Position:
        """A ping follows everything that was given to us."""
        if self._newest != self._named:
            self._named = self._newest
            self._pings.append((number, self._newest))
            if not self._awaited:
                self._awaited = number
        self._last_ping = number
        self._events = 0
        self._pinged_at = self._clock.seconds()
        return self._newest

    def ponged(self, number: int) -> None:
        """The bot has read everything before that ping."""
        upto = 0
        while self._pings and self._pings[0][0] <= number:
            upto = self._pings.popleft()[1]
        if number >= self._awaited:
            self._awaited = 0
        if number > self._responded_at:
            self._largest_response = 0
        if upto and self.is_active:
            self._largest_event = 0
            self.delivery.confirmed(self, upto)
        if not self._awaited:
            self._ask()

    # -- called by the session

    def responded(self, size: int) -> None:
        """The bot was sent a response: what it refuses now need not be an event.

        :param size: of the frame, in bytes.
        """
        self._largest_response = max(self._largest_response, size)
        self._responded_at = self._last_ping

    def pump(self) -> None:
        """The transport takes more."""
        if self.is_active:
            self.delivery.pump()

    def end(self, code: int | None) -> None:
        """The connection is over."""
        self._stop_timer()
        self._connection.ping_acks = None  # no cycle
        refused = code in _REFUSALS and not self._connection.closedByMe and not self._may_be_a_response(code)
        self.delivery.detach(self, f"close code {code}" if refused else None)

    def _may_be_a_response(self, code: int | None) -> bool:
        """Whether what was refused may have been a response that was sent since the last confirmation.

        Too large (1009) it was only if no event was larger: there are programs that ask something at once
        each time they connect.
        """
        return self._largest_response > (self._largest_event if code == _TOO_LARGE else 0)
