"""One WebSocket to an implementation, whichever side dialled (OneBot 11, ``communication/``)."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import ACTION_CHANNEL, EVENT_CHANNEL, Channel, IAccountLink
from lgtwist.onebot.action import encode_action
from lgtwist.onebot.errors import AccountFailed
from lgtwist.onebot.event import BadEvent, Event, read_frame, read_heartbeat, read_id, repair_frame
from lgtwist.onebot.rawjson import find_echo
from lgtwist.onebot.responses import from_error, incomplete_response, read_response_head
from lgtwist.runtime.logs import Logger, LogThrottle, printable
from lgtwist.websocket.connection import PAUSE_JOURNAL, Connection
from lgtwist.websocket.dial import RefusalWatch

#: What a log line calls the links that carry one channel only.
_LINK_NAMES = {Channel.ACTIONS: "API link: ", Channel.EVENTS: "event link: "}
#: The retcode with which NapCat refuses a token, in a frame on a WebSocket that it has opened.
_REFUSED_RETCODE = 1403
#: Bytes of parameters that a transport may not take at once.
_LARGE_CALL = 65_536


@implementer(IAccountLink)
class WebSocketLink:
    """The handler of a WebSocket whose peer is an implementation.

    :param channel: the channels that it carries.
    :param description: how the account is reached, for the log.
    :param named: whether the peer named the account when it connected (``X-Self-ID``).
    :param on_refused: called when the peer refuses us on the open WebSocket, with the reason and whether it
        is logged.
    :param on_closed: called once, when the connection is closed.
    :ivar budget: the account's.
    """

    _log = Logger()

    def __init__(
        self,
        account: Account,
        channel: Channel,
        description: str,
        *,
        named: bool = False,
        on_refused: Callable[[str, bool], None] = lambda _reason, _logged: None,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._account = account
        self.budget = account.budget
        self._channel = channel
        self._description = description
        self._named = named
        self._on_closed = on_closed
        self._connection: Connection | None = None
        self._refusal_watch = RefusalWatch(account.clock, on_refused)
        self._malformed_log = LogThrottle(account.clock)
        self._odd_log = LogThrottle(account.clock)
        self._has_own_events = False

    # -- handler of the connection, called through the factory's guard

    def opened(self, connection: Connection) -> None:
        """Add the link to the account, in the place of older ones that carry the same channels."""
        self._connection = connection
        self._refusal_watch.opened()
        self._account.links.opened(self, self._channel, self._description, named=self._named)

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        """Hand over a response or an event; count and drop a malformed frame."""
        try:
            if binary:
                payload.decode()
            try:
                echo, event = read_frame(payload)
            except BadEvent as refusal:  # it may have what JSON forbids and programs write, such as NaN
                payload = repair_frame(payload, refusal)
                echo, event = read_frame(payload)
        except (UnicodeDecodeError, BadEvent) as error:
            self._refused(
                connection, payload, str(error) if isinstance(error, BadEvent) else "it is not UTF-8"
            )
            return
        account = self._account
        links = account.links
        if echo is not None and (links.action_link is self or links.is_current(self, ACTION_CHANNEL)):
            call_id = read_id(echo)
            if call_id is not None:
                if account.fan_out.is_scheduled:
                    account.fan_out.dispatch()  # events before the response reach the bot before it
                if account.receive_with_echo(call_id, payload, echo):
                    self._refusal_watch.useful = True
                    return
        if event is not None:
            self._event(connection, event)
        elif echo is None:
            self._check_refusal(payload)
            if not self._take_incomplete(payload):
                self._drop_malformed("neither an answer nor an event")
        else:
            self._check_refusal(payload)
            account.counters.late_responses += 1

    def dropped(self, connection: Connection, events: int) -> None:
        """Do nothing: events are not sent to implementations."""

    def caught_up(self, connection: Connection) -> None:
        """Do nothing: bots check the flow-control token at their next action."""

    def closing(self, connection: Connection, code: int | None, reason: str) -> None:
        """Remove the link from the account: actions from now on fail as 1501, nothing being sent."""
        self._remove_from_account(code, reason)

    def _remove_from_account(self, code: int | None, reason: str) -> None:
        why = printable(reason if code is None else f"{code} {reason}")
        self._account.links.closed(self, _LINK_NAMES.get(self._channel, "") + why, code=code, words=reason)

    def closed(self, connection: Connection, code: int | None, reason: str) -> None:
        """Remove the link from the account, if the connection was ever open; call ``on_closed``."""
        opened, self._connection = self._connection is not None, None
        if opened:
            self._refusal_watch.closed(code, reason)
            self._remove_from_account(code, reason)
        self._on_closed()

    # -- frames

    def _event(self, connection: Connection, event: Event) -> None:
        account = self._account
        if not account.links.is_current(self, EVENT_CHANNEL):
            return  # Lagrange once sent events on /api too, besides those on /event
        if event.self_id is not None and event.self_id != account.self_id:
            if event.self_id:
                account.links.foreign_event(self, event.self_id, trusted=self._has_own_events)
                return
            self._log_odd("its self_id is no account's number")
        elif not self._has_own_events:
            self._has_own_events = self._refusal_watch.useful = True
        if event.post_type == "meta_event" and event.detail == "heartbeat":
            heartbeat = read_heartbeat(event.raw)
            if connection.liveness is not None:
                connection.liveness.heartbeat(account.clock.seconds(), heartbeat.interval)
            account.links.status_received(heartbeat.online)
        account.links.event_received(event)

    def _refused(self, connection: Connection, payload: bytes, why: str) -> None:
        """Take what can be taken of a frame that is no JSON object: it may be in an array, or end a call."""
        inner = payload.strip(b" \t\n\r\0")
        if inner[:1] == b"[" and inner[-1:] == b"]":
            inner = inner[1:-1].strip(b" \t\n\r")
        if inner != payload and inner[:1] == b"{":
            try:
                read_frame(inner)
            except BadEvent:
                pass  # it is no array of one object
            else:
                self.received(connection, inner, True)
                return
        account = self._account
        echo = find_echo(payload) if account.links.is_current(self, ACTION_CHANNEL) else None
        call_id = None if echo is None else read_id(echo)
        if call_id is not None and account.has_call(call_id):
            sentence = "the implementation's answer cannot be read"
            account.receive(call_id, from_error(AccountFailed(f"{sentence}: {printable(why)}")))
        self._drop_malformed(why)

    def _take_incomplete(self, payload: bytes) -> bool:
        """Hand over the answer to a call that has no ``retcode``; return whether it is one."""
        account = self._account
        read = incomplete_response(payload) if account.links.is_current(self, ACTION_CHANNEL) else None
        call_id = None if read is None else read_id(read[0])
        if read is None or call_id is None:
            return False
        self._log_odd("an answer has no retcode; its status counts, and without one it is 1500")
        self._refusal_watch.useful = self._refusal_watch.useful or account.has_call(call_id)
        account.receive(call_id, read[1])
        return True

    def _log_odd(self, why: str) -> None:
        """Log that a frame is odd, and passed on."""
        if self._odd_log.should_log():
            self._log.warn(
                "account {account}: an odd frame was passed on: {why}",
                account=self._account.self_id,
                why=why,
            )

    def _check_refusal(self, payload: bytes) -> None:
        if self._refusal_watch.decided:
            return
        outcome = read_response_head(payload)
        if outcome.retcode == _REFUSED_RETCODE:
            self._refusal_watch.refused(
                f"refused with retcode {_REFUSED_RETCODE}: {printable(outcome.reason)}"
            )

    def _drop_malformed(self, why: str) -> None:
        self._account.counters.malformed_frames += 1
        if self._malformed_log.should_log():
            self._log.warn(
                "account {account}: a malformed frame was dropped: {why}",
                account=self._account.self_id,
                why=printable(why),
            )

    # -- IAccountLink

    def send(self, call_id: int, action: str, params: bytes) -> int | None:
        """Send an action in a frame that is built from its checked fields.

        Bots share the link, so no bytes of one of them are sent unchecked.
        """
        connection = self._connection
        if connection is None:
            return None
        connection.factory.put(
            connection, connection.encode(encode_action(action, params, b'"%d"' % call_id))
        )
        if connection.write_paused or len(params) > _LARGE_CALL:
            return connection.outbox.watermark()
        return None

    def has_sent(self, flow_token: int) -> bool:
        """Return whether the transport has taken the action, or the link is closed."""
        connection = self._connection
        if connection is None:
            return True
        return connection.outbox.has_taken(flow_token) and not connection.write_paused

    def forget(self, call_id: int) -> None:
        """Do nothing: nothing is held, and a response will be counted as late."""

    def pause_reading(self) -> None:
        """Do not read the connection: TCP holds the implementation back. Responses wait too."""
        if self._connection is not None:
            self._connection.pause_reading(PAUSE_JOURNAL)

    def resume_reading(self) -> None:
        """Read the connection again, first what was received before."""
        connection = self._connection
        if connection is not None:
            connection.factory.guard(connection, Connection.read_on, PAUSE_JOURNAL)

    def close(self, code: int, reason: str) -> None:
        """Close the link.

        :param code: a close code (RFC 6455, 7.4.1); after 1008 it is not dialled again soon.
        """
        connection = self._connection
        if connection is None:
            return
        if code == 1008:
            self._refusal_watch.refused(reason, logged=True)
        connection.factory.close(connection, code, reason)
