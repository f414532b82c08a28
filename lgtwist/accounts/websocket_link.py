"""One WebSocket to an implementation, whichever side dialled (OneBot 11, ``communication/``)."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import ACTION_CHANNEL, EVENT_CHANNEL, Channel, IAccountLink
from lgtwist.onebot.action import encode_action
from lgtwist.onebot.event import BadEvent, Event, read_frame, read_heartbeat, read_id, repair_frame
from lgtwist.onebot.responses import read_response_head
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
        on_refused: Callable[[str, bool], None] = lambda _reason, _logged: None,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._account = account
        self.budget = account.budget
        self._channel = channel
        self._description = description
        self._on_closed = on_closed
        self._connection: Connection | None = None
        self._refusal_watch = RefusalWatch(account.clock, on_refused)
        self._malformed_log = LogThrottle(account.clock)

    # -- handler of the connection, called through the factory's guard

    def opened(self, connection: Connection) -> None:
        """Add the link to the account, in the place of older ones that carry the same channels."""
        self._connection = connection
        self._refusal_watch.opened()
        self._account.links.opened(self, self._channel, self._description)

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
            self._drop_malformed(str(error) if isinstance(error, BadEvent) else "not UTF-8")
            return
        account = self._account
        if echo is not None and account.links.is_current(self, ACTION_CHANNEL):
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
            account.links.refuse(self, event.self_id)
            return
        self._refusal_watch.useful = True
        if event.post_type == "meta_event" and event.detail == "heartbeat":
            heartbeat = read_heartbeat(event.raw)
            if heartbeat.interval and connection.liveness is not None:
                connection.liveness.expect_heartbeats(heartbeat.interval)
            account.links.status_received(heartbeat.online)
        account.links.event_received(event)

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
