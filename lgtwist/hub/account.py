"""One account: its link, its calls under way, and who wants its events."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lgtwist.hub.calls import Answered, Call, Calls
from lgtwist.hub.interfaces import IAccountLink, IBotConnection
from lgtwist.onebot import action as responses
from lgtwist.onebot.errors import CallTimeout, LinkBroken, NotConnected
from lgtwist.onebot.event import heartbeat, lifecycle, read_event
from lgtwist.onebot.message import MessageFormat, convert_event
from lgtwist.websocket.framing import server_frame


@define
class AccountCounters:
    """What happened to one account, since the start."""

    events: int = 0
    calls: int = 0
    timeouts: int = 0
    broken: int = 0
    strays: int = 0  # answers that were late, came twice, or were never asked for
    unwitnessed: int = 0  # calls answered "async" that failed afterwards


class Account:
    """One logged-in ``self_id``.

    :param self_id: its number.
    :param clock: for time limits.
    :param wall_clock: seconds since the epoch, for the events that lgtwist makes itself.
    :param action_timeout: seconds that an answer may take.
    :param heartbeat_interval: seconds between heartbeats, told in them.
    """

    _log = Logger()

    def __init__(
        self,
        self_id: int,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        action_timeout: float = 60.0,
        heartbeat_interval: float = 5.0,
    ) -> None:
        self.self_id = self_id
        self.clock = clock
        self.counters = AccountCounters()
        self.was_up = False
        self._wall_clock = wall_clock
        self._action_timeout = action_timeout
        self._heartbeat_ms = round(heartbeat_interval * 1000)
        self._calls = Calls(action_timeout)
        self._expiry: IDelayedCall | None = None
        self._link: IAccountLink | None = None
        # In the order in which they came, each with the form in which it wants messages.
        self._subscribers: dict[IBotConnection, MessageFormat] = {}

    # -- the link

    @property
    def is_up(self) -> bool:
        """Whether actions can be sent."""
        return self._link is not None

    def link_up(self, link: IAccountLink) -> None:
        """``link`` is open, and takes actions from now on."""
        self._link = link
        self.was_up = True
        self._log.info("account {account} is up", account=self.self_id)

    def link_down(self, link: IAccountLink, reason: str) -> None:
        """``link`` is over: what was sent on it ends as 1502. Nothing happens if a newer one took over."""
        if self._link is not link:
            return
        self._link = None
        self._log.info("account {account} is down: {reason}", account=self.self_id, reason=reason)
        response = responses.failure(
            LinkBroken(f"the link to account {self.self_id} broke: {reason}; it may have been carried out")
        )
        for call in self._calls.end_all():
            self.counters.broken += 1
            self._end(call, response)
        self._watch_time()

    # -- actions

    def call(self, action: str, params: bytes, answered: Answered) -> Call:
        """Send an action up.

        :param params: one JSON object.
        :param answered: takes the response, without echo; it may be called before this returns.
        :raises NotConnected: if the account is not connected; nothing was sent, ``answered`` is not called.
        """
        link = self._link
        if link is None:
            raise NotConnected(f"account {self.self_id} is not connected; nothing was sent")
        self.counters.calls += 1
        call = self._calls.begin(action, answered, self.clock.seconds())
        link.send(call.call_id, action, params)
        if self._expiry is None:
            self._watch_time()
        return call

    def ask(self, action: str, params: bytes) -> Deferred[bytes]:
        """Send an action up and wait for its response.

        :returns: the response without echo, ours if the account is not connected. Never fails, but by
            being cancelled, which forgets the call.
        """
        call: Call | None = None

        def forget(_cancelled: Deferred[bytes]) -> None:
            if call is not None:
                self.forget(call)

        asked: Deferred[bytes] = Deferred(forget)

        def answered(response: bytes, last: bool) -> None:
            if last and not asked.called:
                asked.callback(response)

        try:
            call = self.call(action, params, answered)
        except NotConnected as error:
            asked.callback(responses.failure(error))
        return asked

    def answered(self, call_id: int, response: bytes) -> None:
        """The answer to a call came from the link.

        :param response: one JSON object with members and without ``echo``.
        """
        call = self._calls.answer(call_id)
        if call is None:
            self.counters.strays += 1
        else:
            call.answered(response, True)

    def forget(self, call: Call) -> None:
        """Nobody waits for this answer any more; if it comes, it is a stray."""
        self._calls.forget(call)

    def _watch_time(self) -> None:
        """One timer, for the oldest call. It may go off early, where that call has ended meanwhile."""
        deadline = self._calls.next_deadline()
        if deadline is None:
            if self._expiry is not None and self._link is None:
                self._expiry.cancel()
                self._expiry = None
        elif self._expiry is None:
            self._expiry = self.clock.callLater(max(0.0, deadline - self.clock.seconds()), self._expire)

    def _expire(self) -> None:
        self._expiry = None
        for call in self._calls.expire(self.clock.seconds()):
            self.counters.timeouts += 1
            error = CallTimeout(
                f"no answer to {call.action} within {self._action_timeout:g} s; it may have been carried out"
            )
            self._end(call, responses.failure(error))
        self._watch_time()

    def _end(self, call: Call, response: bytes) -> None:
        """One call of several ends; the others must, whatever its asker makes of it."""
        try:
            call.answered(response, True)
        except Exception:
            self._log.failure("account {account}: an answer failed", account=self.self_id)

    # -- events

    def publish(self, raw: bytes) -> None:
        """Hand an event to every bot that is subscribed.

        :param raw: one JSON object, as it came.
        :raises BadEvent: if it is none.
        """
        event = read_event(raw)
        self.counters.events += 1
        frames: dict[MessageFormat, bytes] = {}  # encoded once for all who want the same
        for connection, wanted in tuple(self._subscribers.items()):
            try:
                frame = frames.get(wanted)
                if frame is None:
                    frame = frames[wanted] = server_frame(convert_event(event.raw, wanted))
                connection.deliver(frame)
            except Exception:
                self._log.failure("account {account}: a subscriber failed", account=self.self_id)

    def subscribe(self, connection: IBotConnection, wanted: MessageFormat = MessageFormat.AS_IS) -> None:
        """Deliver events to ``connection`` from now on, messages in the ``wanted`` form."""
        self._subscribers[connection] = wanted

    def unsubscribe(self, connection: IBotConnection) -> None:
        """Deliver no more to ``connection``; harmless if it was not subscribed."""
        self._subscribers.pop(connection, None)

    def lifecycle(self) -> bytes:
        """The first event of every link."""
        return lifecycle(self.self_id, int(self._wall_clock()))

    def heartbeat_frame(self) -> bytes:
        """A heartbeat as of now, as a ready frame."""
        beat = heartbeat(self.self_id, int(self._wall_clock()), self._heartbeat_ms, self.is_up)
        return server_frame(beat)
