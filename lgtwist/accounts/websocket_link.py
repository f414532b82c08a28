"""One WebSocket to an implementation, whoever dialled (OneBot 11, ``communication/``)."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger
from zope.interface import implementer

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import Channel, IAccountLink
from lgtwist.onebot.action import encode_action
from lgtwist.onebot.event import BadEvent, Event, read_frame, read_heartbeat, read_id
from lgtwist.onebot.responses import read_response_head
from lgtwist.runtime.logs import LogThrottle, printable
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.dial import RefusalWatch

#: Names of this module: Python 3.11 finds an enumeration's member five times more slowly.
_ACTIONS, _EVENTS = Channel.ACTIONS, Channel.EVENTS
#: Which link of a split pair it was, for the log.
_NAMES = {Channel.ACTIONS: "API link: ", Channel.EVENTS: "event link: "}
#: The retcode with which NapCat refuses a token, on a WebSocket that it has opened for that.
_REFUSED = 1403


def _nobody(_reason: str, _told: bool) -> None:
    """Nobody dialled who would have to wait before dialling again."""


@implementer(IAccountLink)
class WebSocketLink:
    """What stands behind a WebSocket whose peer is an implementation.

    :param channel: what it carries.
    :param via: how the account is reached, for the log.
    :param refuse: called when what was opened is of no use, with the reason and whether the log has it.
    :param gone: called once, when it is over.
    """

    _log = Logger()

    def __init__(
        self,
        account: Account,
        channel: Channel,
        via: str,
        *,
        refuse: Callable[[str, bool], None] = _nobody,
        gone: Callable[[], None] = lambda: None,
    ) -> None:
        self._account = account
        self._channel = channel
        self._via = via
        self._gone = gone
        self._connection: Connection | None = None
        self._refusal_watch = RefusalWatch(account.clock, refuse)
        self._malformed_log = LogThrottle(account.clock)

    # -- called through the factory's guard

    def opened(self, connection: Connection) -> None:
        """The link is there."""
        self._connection = connection
        self._refusal_watch.opened()
        self._account.links.opened(self, self._channel, self._via)

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        """An answer, an event, or what should be one."""
        try:
            if binary:
                payload.decode()
            echo, event = read_frame(payload)
        except (UnicodeDecodeError, BadEvent) as error:
            self._drop_malformed(str(error) if isinstance(error, BadEvent) else "not UTF-8")
            return
        account = self._account
        if echo is not None and account.links.is_current(self, _ACTIONS):
            call_id = read_id(echo)
            if call_id is not None:
                if account.fan_out.is_scheduled:
                    account.fan_out.dispatch()  # events that came before the response go before it
                if account.receive_with_echo(call_id, payload, echo):
                    self._refusal_watch.useful = True
                    return
        if event is not None:
            self._event(connection, event)
        elif echo is None:
            self._look_for_refusal(payload)
            self._drop_malformed("neither an answer nor an event")
        else:
            self._look_for_refusal(payload)
            account.counters.late_responses += 1

    def dropped(self, connection: Connection, events: int) -> None:
        """No events go this way."""

    def caught_up(self, connection: Connection) -> None:
        """The link takes actions again; who waits looks by itself."""

    def closing(self, connection: Connection, code: int | None, reason: str) -> None:
        """Nothing can be sent any more: who asks from now on is told that nothing was."""
        self._down(code, reason)

    def _down(self, code: int | None, reason: str) -> None:
        said = printable(reason if code is None else f"{code} {reason}")
        self._account.links.closed(self, _NAMES.get(self._channel, "") + said)

    def closed(self, connection: Connection, code: int | None, reason: str) -> None:
        """The link is over, if it ever was one."""
        opened, self._connection = self._connection is not None, None
        if opened:
            self._refusal_watch.closed(code, reason)
            self._down(code, reason)
        self._gone()

    # -- what comes

    def _event(self, connection: Connection, event: Event) -> None:
        account = self._account
        if not account.links.is_current(self, _EVENTS):
            return  # Lagrange once sent events on /api too: they come a second time where they belong
        if event.self_id is not None and event.self_id != account.self_id:
            account.links.refuse(self, event.self_id)
            return
        self._refusal_watch.useful = True
        if event.post_type == "meta_event" and event.detail == "heartbeat":
            beat = read_heartbeat(event.raw)
            if beat.interval and connection.liveness is not None:
                connection.liveness.expect_heartbeats(beat.interval)
            account.links.status_came(beat.online)
        account.links.event_came(event)

    def _look_for_refusal(self, payload: bytes) -> None:
        if self._refusal_watch.decided:
            return
        outcome = read_response_head(payload)
        if outcome.retcode == _REFUSED:
            self._refusal_watch.refused(f"refused with retcode {_REFUSED}: {printable(outcome.reason)}")

    def _drop_malformed(self, why: str) -> None:
        self._account.counters.malformed_frames += 1
        if self._malformed_log.should_log():
            self._log.warn(
                "account {account}: what came is thrown away: {why}",
                account=self._account.self_id,
                why=printable(why),
            )

    # -- called by the hub

    def send(self, call_id: int, action: str, params: bytes) -> int | None:
        """Send an action, built from its checked parts: one bot's odd bytes must not break a shared link."""
        connection = self._connection
        if connection is None:
            return None
        connection.factory.put(
            connection, connection.encode(encode_action(action, params, b'"%d"' % call_id))
        )
        return connection.outbox.watermark() if connection.write_paused else None

    def has_sent(self, flow_token: int) -> bool:
        """Whether what was sent is with the transport."""
        return self._connection is None or self._connection.outbox.has_taken(flow_token)

    def forget(self, call_id: int) -> None:
        """Nobody waits for this answer any more; the implementation gives it all the same."""

    def close(self, code: int, reason: str) -> None:
        """End the link with a close code; 1008 says that dialling it again soon is of no use."""
        connection = self._connection
        if connection is None:
            return
        if code == 1008:
            self._refusal_watch.refused(reason, logged=True)
        connection.factory.close(connection, code, reason)
