"""One account: its state, its calls under way, and its backing."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from lgtwist.hub.calls import Call, Calls
from lgtwist.hub.fan_out import Encode, FanOut, Passes
from lgtwist.hub.interfaces import IAccount, IAccountLink, IBacking, IBotConnection
from lgtwist.hub.links import Links
from lgtwist.hub.sent_messages import SENDING_ACTIONS, SentMessages
from lgtwist.hub.snapshots import LastEvent
from lgtwist.hub.timeouts import TimeoutLog
from lgtwist.onebot import responses
from lgtwist.onebot.dialect import Dialect, lacks_action
from lgtwist.onebot.errors import AccountFailed, CallTimeout, LinkBroken, NotConnected
from lgtwist.onebot.event import encode_heartbeat, encode_lifecycle, encode_status, read_event
from lgtwist.onebot.message import MessageFormat
from lgtwist.onebot.rawjson import DECODE_ERRORS
from lgtwist.onebot.responses import STREAM_ACTIONS, is_stream_part, without_echo
from lgtwist.runtime.budget import Budget
from lgtwist.runtime.logs import FlapLog, Logger, printable
from lgtwist.runtime.turns import FlushScheduler

#: The actions that lgtwist answers where the implementation answers that it does not have them: a bot or a
#: framework that asks one of them when it connects would not come up.
_ANSWERED_ACTIONS = frozenset({"get_login_info", "get_status", "get_version_info"})
#: The actions whose responses are read before they are handed over.
_EXAMINED = STREAM_ACTIONS | _ANSWERED_ACTIONS
#: The ``data`` of ``get_version_info`` of an implementation that does not have it.
_UNKNOWN_VERSION = b'{"app_name":"unknown","app_version":"unknown","protocol_version":"v11"}'
#: Bytes of a response that is handed over in a reactor turn of its own.
_LARGE_ANSWER = 4 << 20


@define
class AccountCounters:
    """What happened to one account, since the start."""

    calls: int = 0
    answered: int = 0
    timeouts: int = 0  # 1504
    broken: int = 0  # 1502
    not_connected: int = 0  # 1501
    abandoned: int = 0  # whoever called was gone before the response
    late_responses: int = 0  # to no call under way: late, repeated, or without a call
    detached_failures: int = 0  # calls that failed after they were answered "async"
    links: int = 0  # opened
    takeovers: int = 0  # links closed because a newer one was opened
    malformed_frames: int = 0  # frames that were neither response nor event


@implementer(IAccount)
class Account:
    """One configured ``self_id``, for as long as it is configured.

    What carries its actions and events is its *backing*, which may be replaced: the links of this node
    (:class:`Links`, the default), another node's, or nothing. Bots' sessions, deliveries and subscriptions
    stay when it is replaced.

    :param self_id: its number.
    :param clock: the reactor, or a clock in its place; for time limits.
    :param wall_clock: seconds since the epoch, for the events that lgtwist makes itself.
    :param action_timeout: seconds that a response may take.
    :param heartbeat_interval: seconds between heartbeats, for the field ``interval`` of heartbeats.
    :param peer_memory: bytes that may be held because of its implementation.
    :param dialect: its implementation's; AUTO to recognise it.
    :param first_call: correlation ids begin after this number.
    :param scheduler: tells whether a connection is being read.
    :ivar wall_clock: as given.
    :ivar budget: what is held in memory because of its implementation.
    :ivar links: the links of this node.
    :ivar fan_out: the subscribers of its events.
    :ivar was_up: whether it was up once since the start.
    :ivar since: when it came up, went down, or changed between online and offline; seconds since the epoch.
    :ivar reason: why it is not online; empty if it is.
    :ivar outgoing_format: the format in which bots' messages are sent to its implementation.
    :ivar sent_messages: the ids of the messages that it sent; None if no bot asks for them.
    :ivar login_info: the ``data`` of the newest ``get_login_info``; None before the first.
    """

    _log = Logger()
    _flap_lines = Logger(throttled=False)  # a FlapLog throttles them

    def __init__(
        self,
        self_id: int,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        *,
        action_timeout: float = 60.0,
        heartbeat_interval: float = 5.0,
        peer_memory: int = 64 << 20,
        dialect: Dialect = Dialect.AUTO,
        first_call: int = 0,
        scheduler: FlushScheduler | None = None,
    ) -> None:
        self.self_id = self_id
        self.clock = clock
        self.budget = Budget(peer_memory)
        self.counters = AccountCounters()
        self.fan_out = FanOut(self_id, FlushScheduler(clock) if scheduler is None else scheduler, wall_clock)
        self.was_up = False
        self.since = wall_clock()
        self.reason = "it has not connected yet"
        self.login_info: bytes | None = None
        self.sent_messages: SentMessages | None = None
        self._examined = _EXAMINED
        self.outgoing_format = MessageFormat.AS_IS
        self.wall_clock = wall_clock
        self._heartbeat_ms = round(heartbeat_interval * 1000)
        self._calls = Calls(action_timeout, first_call)
        self._expiry: IDelayedCall | None = None
        self._logged_state = (False, False)  # whether it was up, and online, at the last change
        self._state_log = FlapLog(clock, self._log_left_out)
        self._timeout_log = TimeoutLog(self_id, clock)
        self._waiting_for_up: list[Callable[[], None]] = []
        self.links = Links(self, dialect)
        self._backing: IBacking = self.links
        self._action_link: IAccountLink | None = None

    # -- backing and state

    def set_limits(self, action_timeout: float, heartbeat_interval: float) -> None:
        """Replace two limits, in seconds, from the next call and heartbeat on."""
        self._calls.change_limit(action_timeout, self.clock.seconds())
        self._heartbeat_ms = round(heartbeat_interval * 1000)
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
            self._schedule_expiry()

    def set_backing(self, backing: IBacking) -> None:
        """Replace the backing: the old one releases its links, and calls under way end as 1502."""
        before, self._backing = self._backing, backing
        if backing is not self.links:
            self.outgoing_format = MessageFormat.AS_IS  # it is of the implementation behind the links
        if before is not backing:
            before.release("another backing took over")
        self.end_calls("another backing took over")
        self.backing_changed("nothing backs it")

    def stop(self, reason: str) -> None:
        """Release all links and end calls under way as 1502: the account is removed, or the service stops.

        :param reason: for the log and for the calls.
        """
        self._backing.release(reason)
        self.end_calls(reason)
        self._state_log.stop()
        self._timeout_log.stop()

    @property
    def accepts_actions(self) -> bool:
        """Whether actions can be sent."""
        return self._action_link is not None

    @property
    def is_up(self) -> bool:
        """Whether actions can be sent, and events arrive."""
        return bool(self._backing.is_up)

    @property
    def online(self) -> bool:
        """Whether it is up, and its implementation says that it is logged in."""
        return bool(self._backing.online)

    @property
    def dialect(self) -> Dialect:
        """The dialect of its implementation, as configured or recognised."""
        return self.links.dialect

    @property
    def action_timeout(self) -> float:
        """Seconds that a response may take."""
        return self._calls.limit

    @property
    def calls_in_flight(self) -> int:
        """Number of calls that wait for their response."""
        return len(self._calls)

    @property
    def last_event(self) -> LastEvent | None:
        """The newest event that was handed to bots; None before the first."""
        last = self.fan_out.last_event
        if last is None:
            return None
        return LastEvent(time=last[0], post_type=printable(last[1]), detail=printable(last[2]))

    def when_up(self, then: Callable[[], None]) -> None:
        """Call ``then`` once, when the account is up for the first time; at once if it was up before."""
        if self.was_up:
            then()
        else:
            self._waiting_for_up.append(then)

    def backing_changed(self, reason: str = "") -> None:
        """Read the state of the backing, and log it if it has changed. Call this whenever it may have.

        :param reason: why the account is not up, if it is not.
        """
        backing = self._backing
        self._action_link = backing.action_link
        up, online = self._logged_state
        is_up, is_online = self._logged_state = bool(backing.is_up), bool(backing.online)
        if self._logged_state != (up, online):
            self.since = self.wall_clock()
        if is_online:
            self.reason = ""
        elif not is_up:
            self.reason = reason or self.reason
        else:
            self.reason = backing.offline_reason
        if is_up and not up:
            how = f" ({backing.description})" if backing.description else ""
            self._log_state("account {account} is up{how}", how=how)
            self.was_up = True
            self._waiting_for_up, waiting = [], self._waiting_for_up
            for then in waiting:
                try:
                    then()
                except Exception:
                    self._log.failure("account {account}: a callback of when_up failed", account=self.self_id)
        elif up and not is_up:
            self._log_state("account {account} is down: {reason}", reason=self.reason)
        elif up and online != is_online:
            if is_online:
                self._log_state("account {account} is online again")
            else:
                self._log_state("account {account} is offline: {reason}", reason=self.reason)

    def _log_state(self, format: str, **fields: str) -> None:
        if self._state_log.should_log(fields.get("reason", "")):
            self._flap_lines.info(format, account=self.self_id, **fields)

    def _log_left_out(self, times: int) -> None:
        now = "online" if self.online else f"not online: {self.reason}"
        self._flap_lines.info(
            "account {account} came or went {times} more times; now it is {now}",
            account=self.self_id,
            times=times,
            now=now,
        )

    # -- calls

    def call(self, call: Call, params: bytes) -> None:
        """Send an action, or answer it ourselves; ``call.receive`` may be called before this returns.

        :param params: one JSON object.
        :raises NotConnected: if the account is not connected; nothing was sent, and no response comes.
        """
        action = call.action
        if action == "get_status" and not self.online:
            call.receive(responses.ok(encode_status(False)), True)
            return
        link = self._action_link
        if link is None:
            if action == "get_login_info" and self.login_info is not None:
                call.receive(responses.ok(self.login_info), True)
                return
            self.counters.not_connected += 1
            raise NotConnected(f"account {self.self_id} is not connected; nothing was sent")
        self.counters.calls += 1
        call.link = link  # as send does, without the call that costs
        call.flow_token = link.send(self._calls.add(call, self.clock.seconds()), action, params)
        if self._expiry is None:
            self._schedule_expiry()

    def answers_itself(self, action: str) -> bool:
        """Return whether :meth:`call` would answer an action now without sending it."""
        if action == "get_status":
            return not self.online
        return action == "get_login_info" and self._action_link is None and self.login_info is not None

    def send(self, link: IAccountLink, call: Call, params: bytes) -> None:
        """Send a call on a link, whether it is verified or not; ``call.receive`` gets its response.

        :param params: one JSON object.
        """
        call_id = self._calls.add(call, self.clock.seconds())
        call.link = link
        call.flow_token = link.send(call_id, call.action, params)
        if self._expiry is None:
            self._schedule_expiry()

    def caller_of(self, call_id: int) -> str:
        """Return the name of the bot that a call under way is made for; empty for lgtwist itself."""
        call = self._calls.get(call_id)
        return "" if call is None else call.caller

    def has_call(self, call_id: int) -> bool:
        """Return whether a call is under way."""
        return self._calls.get(call_id) is not None

    def has_sent(self, link: IAccountLink, flow_token: object) -> bool:
        """Return whether an action does not wait in our memory any more: it was sent, or its link is closed.

        :param flow_token: what ``link.send`` returned for the action.
        """
        return link is not self._action_link or bool(link.has_sent(flow_token))

    def receive(self, call_id: int, response: bytes) -> None:
        """Hand over the response to a call. A link calls this.

        :param response: one JSON object with members and without ``echo``.
        """
        call = self._calls.pop(call_id)
        if call is None:
            self.counters.late_responses += 1
        else:
            self.fan_out.dispatch()  # events that were received before the response reach the bot before it
            self._receive(call, response)

    def break_off(self, call_id: int, response: bytes, cut: bool) -> None:
        """Reset the connection that waits for the response to a call, in place of the response.

        Where none waits, because lgtwist itself made the call for the bot, the response is handed over.

        :param response: one JSON object with members and without ``echo``.
        :param cut: whether the first half of the response is sent before.
        """
        call = self._calls.pop(call_id)
        if call is None:
            self.counters.late_responses += 1
            return
        self.fan_out.dispatch()
        self.counters.answered += 1
        try:
            call.break_off(response, cut)
        except Exception:
            self._receiver_failed()

    def receive_with_echo(self, call_id: int, payload: bytes, echo: bytes) -> bool:
        """Hand over what may be the response to a call; return whether there is such a call.

        :param payload: one JSON object with ``echo``, valid UTF-8.
        :param echo: the value of ``echo``, as it stands in ``payload``.
        """
        call = self._calls.pop(call_id)
        if call is None:
            return False
        try:
            response = without_echo(payload, echo)
        except DECODE_ERRORS:  # nested almost too deeply
            response = responses.from_error(AccountFailed("the implementation's answer cannot be read"))
        if call.action in self._examined:
            self._receive(call, response)
            return True
        self.counters.answered += 1  # as _receive does, without the calls that cost
        if len(response) > _LARGE_ANSWER:
            # Reading it took much of this reactor turn; the receiver copies it for the bot in the next.
            self.clock.callLater(0, self._hand_over, call, response)
            return True
        try:
            call.receive(response, True)
        except Exception:
            self._receiver_failed()
        return True

    def _receive(self, call: Call, response: bytes) -> None:
        last = True
        if call.action in self._examined:
            if call.action in STREAM_ACTIONS:
                last = not is_stream_part(response)
            elif self.sent_messages is not None and call.action in SENDING_ACTIONS:
                self.sent_messages.note_response(response)
            elif call.caller and lacks_action(responses.read_response_head(response)):
                response = responses.ok(self._own_answer(call.action))
        if last:
            self.counters.answered += 1
        else:
            self._calls.renew(call, self.clock.seconds())
        self._hand_over(call, response, last)

    def _own_answer(self, action: str) -> bytes:
        """Return the ``data`` with which lgtwist answers an action that the implementation does not have.

        :param action: one of ``_ANSWERED_ACTIONS``.
        """
        if action == "get_status":
            return encode_status(self.online)
        if action == "get_login_info":
            return self.login_info or b'{"user_id":%d,"nickname":""}' % self.self_id
        return _UNKNOWN_VERSION

    def _hand_over(self, call: Call, response: bytes, last: bool = True) -> None:
        """Hand over a response; an exception in the receiver is logged, and other calls are not affected."""
        try:
            call.receive(response, last)
        except Exception:
            self._receiver_failed()

    def _receiver_failed(self) -> None:
        self._log.failure("account {account}: the receiver of a response failed", account=self.self_id)

    def abandon(self, call: Call) -> None:
        """Remove a call whose response is not wanted any more; a response is counted as late."""
        if self._calls.discard(call):
            self.counters.abandoned += 1
            if call.link is not None:
                call.link.forget(call.call_id)

    def end_calls(self, reason: str) -> None:
        """End every call under way as 1502, because its link is closed.

        :param reason: why, for the response.
        """
        calls = self._calls.pop_all()
        if calls:
            response = responses.from_error(
                LinkBroken(
                    f"the link to account {self.self_id} broke: {reason}; it may have been carried out"
                )
            )
            for call in calls:
                self.counters.broken += 1
                self._hand_over(call, response)
        self._schedule_expiry()

    def _schedule_expiry(self) -> None:
        """Set the timer for the earliest deadline, unless it is set; cancel it if no call can come.

        It fires too early if the call with the earliest deadline has ended meanwhile.
        """
        deadline = self._calls.next_deadline()
        if deadline is None:
            if self._expiry is not None and self._action_link is None:
                self._expiry.cancel()
                self._expiry = None
        elif self._expiry is None:
            self._expiry = self.clock.callLater(max(0.0, deadline - self.clock.seconds()), self._expire)

    def _expire(self) -> None:
        self._expiry = None
        limit = self._calls.limit
        expired = self._calls.pop_expired(self.clock.seconds())
        self._timeout_log.expired([call.action for call in expired], limit)
        for call in expired:
            self.counters.timeouts += 1
            error = CallTimeout(
                f"no answer to {call.action} within {limit:g} s; it may have been carried out"
            )
            if call.link is not None:
                call.link.forget(call.call_id)
            self._hand_over(call, responses.from_error(error))
        self._schedule_expiry()

    # -- events

    def publish(self, raw: bytes) -> None:
        """Deliver an event to every subscriber.

        :param raw: one JSON object, as it was received.
        :raises BadEvent: if it is no event.
        """
        self.fan_out.publish(read_event(raw))

    def remember_sent_messages(self, wanted: bool) -> None:
        """Keep the ids of the messages that it sends from now on, or forget them.

        :param wanted: whether some bot asks which they are.
        """
        if not wanted:
            self.sent_messages, self._examined = None, _EXAMINED
        elif self.sent_messages is None:
            self.sent_messages, self._examined = SentMessages(self.self_id), _EXAMINED | SENDING_ACTIONS
        self.fan_out.sent_messages = self.sent_messages

    def subscribe(
        self,
        connection: IBotConnection,
        wanted: MessageFormat,
        encode: Encode,
        passes: Passes | None = None,
    ) -> None:
        """Deliver all events to ``connection`` from now on; see :meth:`FanOut.subscribe`."""
        self.fan_out.subscribe(connection, wanted, encode, passes)

    def subscribe_meta(self, connection: IBotConnection, wanted: MessageFormat, encode: Encode) -> None:
        """Deliver only meta events to ``connection`` from now on."""
        self.fan_out.subscribe_meta(connection, wanted, encode)

    def unsubscribe(self, connection: IBotConnection) -> None:
        """Deliver no more to ``connection``; harmless if it did not subscribe."""
        self.fan_out.unsubscribe(connection)

    def lifecycle(self) -> bytes:
        """Return the event ``meta_event/lifecycle`` with ``sub_type: connect``, as one JSON object."""
        return encode_lifecycle(self.self_id, int(self.wall_clock()))

    def heartbeat(self) -> bytes:
        """Return an event ``meta_event/heartbeat`` with the account's present status, as one JSON object."""
        return encode_heartbeat(self.self_id, int(self.wall_clock()), self._heartbeat_ms, self.online)
