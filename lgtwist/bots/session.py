"""One WebSocket to a bot, whichever side dialled (OneBot 11, ``communication/ws.md``, ``ws-reverse.md``)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from lgtwist.bots.ping_acks import WebSocketSink
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.hub.interfaces import EncodedEvents, IBotConnection, IBotSession
from lgtwist.hub.snapshots import EndedSession, OpenSession
from lgtwist.onebot import responses
from lgtwist.onebot.action import ActionRequest, is_from_implementation, read_action
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.responses import first_part, with_echo
from lgtwist.runtime.logs import Logger, printable
from lgtwist.websocket.connection import PAUSE_LARGE, Connection
from lgtwist.websocket.dial import RefusalWatch
from lgtwist.websocket.factory import ConnectionFactory

#: Actions of more bytes are read in one reactor turn and carried out in the next.
_MAX_TURN = 4 << 20


class Role(Enum):
    """What a connection carries: actions, events, or both; the values are those of ``X-Client-Role``."""

    UNIVERSAL = "Universal"
    API = "API"
    EVENT = "Event"


@implementer(IBotConnection, IBotSession)
class BotSession:
    """The handler of a WebSocket of one bot to one account.

    :param factory: sends on the connection.
    :param role: what the connection carries.
    :param heartbeat_interval: seconds between heartbeats; 0 for none.
    :param address: the peer's ``host:port``, or the URL that we dialled, without secrets.
    :param user_agent: what the peer says that it is, printable; empty where we dialled.
    :param dialled: whether we opened it; else the bot did, and its token let it in.
    :param on_refused: called when the peer refuses us on the open WebSocket, with the reason and whether it
        is logged.
    :param is_flapping: returns whether its dialler has logged that connections are closed again and again;
        opening and closing are not logged then.
    :param on_closed: called once, when the connection is closed.
    :ivar budget: the bot's.
    :ivar since: when it was opened, in seconds since the epoch; None before that.
    """

    _log = Logger()
    _flap_lines = Logger(throttled=False)  # a FlapLog throttles them

    def __init__(
        self,
        factory: ConnectionFactory,
        bot: Bot,
        account: Account,
        *,
        role: Role,
        heartbeat_interval: float,
        address: str = "",
        user_agent: str = "",
        dialled: bool = False,
        on_refused: Callable[[str, bool], None] = lambda _reason, _logged: None,
        is_flapping: Callable[[], bool] = lambda: False,
        on_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._factory = factory
        self._bot = bot
        self.budget = bot.budget
        self.account = account
        self._role = role
        self.address = address
        self.user_agent = user_agent
        self.dialled = dialled
        self.since: float | None = None
        self._opened_at = 0.0
        self._accepts_actions = role is not Role.EVENT
        self._heartbeat_interval = heartbeat_interval
        self._refusal_watch = RefusalWatch(account.clock, on_refused)  # an action shows that it is accepted
        self._is_flapping = is_flapping
        self._on_closed = on_closed
        self._connection: Connection | None = None
        self._in_flight: set[PendingAction] = set()
        self._heartbeat: IDelayedCall | None = None
        self._heartbeat_at = 0.0
        self._dropped = 0
        self._dropping = False
        self._misuse_logged = False
        self._has_answered = False  # an action on this connection
        self._sink: WebSocketSink | None = None  # only if the delivery is at-least-once

    # -- handler of the connection, called through the factory's guard

    def opened(self, connection: Connection) -> None:
        """Send the lifecycle event as the first frame, then subscribe to the account's events."""
        self._connection = connection
        self._refusal_watch.opened()
        self.since, self._opened_at = self.account.wall_clock(), self.account.clock.seconds()
        self._bot.counters.connections += 1
        self._bot.sessions[self] = None
        self._log_session(
            "{bot}: {peer} connected to account {account} ({role})", connection, role=self._role.value
        )
        if self._role is Role.API:
            return
        self._factory.send(connection, self.account.lifecycle())
        if self._heartbeat_interval:
            self._heartbeat_at = self.account.clock.seconds()
            self._schedule_heartbeat()
        self._choose_source()

    def _choose_source(self) -> None:
        """Subscribe to the account's events, or attach to the delivery if it is at-least-once."""
        assert self._connection is not None
        delivery = self._bot.deliveries.get(self.account.self_id)
        self._subscribe(delivery is not None)
        if delivery is not None:
            clock = self.account.clock
            self._sink = WebSocketSink(
                self._factory,
                self._connection,
                delivery,
                clock=clock,
                on_active_changed=self._subscribe,
                delayed_from=None if self._has_answered else self._opened_at,
            )
            self._sink.start()

    def refresh(self, heartbeat_interval: float) -> None:
        """Use the bot's present settings and deliveries, from the next event on.

        :param heartbeat_interval: seconds; 0 for none.
        """
        if self._connection is None or self._role is Role.API:
            return
        if heartbeat_interval != self._heartbeat_interval:
            self._heartbeat_interval = heartbeat_interval
            if self._heartbeat is not None:
                self._heartbeat.cancel()
                self._heartbeat = None
            if heartbeat_interval:
                self._heartbeat_at = self.account.clock.seconds()
                self._schedule_heartbeat()
        sink = self._sink
        if sink is not None and sink.delivery is self._bot.deliveries.get(self.account.self_id):
            self._subscribe(sink.is_active)
            return
        if sink is not None:
            sink.closed(None)
            self._sink = None
        self._choose_source()

    def _subscribe(self, at_least_once: bool) -> None:
        """Subscribe to all events; only to meta events if the journal delivers the others."""
        if self._connection is None:
            return
        if at_least_once:
            self.account.subscribe_meta(self, self._bot.message_format, self._connection.encode)
        else:
            self.account.subscribe(self, self._bot.message_format, self._connection.encode, self._bot.passes)

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        """Carry out an action; answer a malformed one with 1400."""
        self._refusal_watch.useful = True
        if not self._accepts_actions:
            if not self._misuse_logged:
                self._misuse_logged = True
                self._log.warn(
                    "{bot}: {peer} sends on /event, which takes no actions; it gets no answer there",
                    bot=self._bot.name,
                    peer=connection.peer,
                )
            return
        try:
            request = read_action(payload, checked=not binary)
        except BadRequest as error:
            self._bot.counters.bad_requests += 1
            if is_from_implementation(payload):
                self._log_wrong_peer(connection)
                return  # a response to a response might be answered with another one, without end
            self._reply(with_echo(responses.from_error(error), error.echo), True)
            return
        if len(payload) > _MAX_TURN:
            self._perform_in_next_turn(connection, request)
        else:
            self._bot.perform(self.account, request, self._reply, self._in_flight)

    def _perform_in_next_turn(self, connection: Connection, request: ActionRequest) -> None:
        """Carry out a large action in the next reactor turn, for reading it took much of this one.

        Nothing more is read of the connection before, so that the bot's actions keep their order.
        """

        def perform(connection: Connection) -> None:
            if self._connection is connection:
                self._bot.perform(self.account, request, self._reply, self._in_flight)
            connection.read_on(PAUSE_LARGE)

        connection.pause_reading(PAUSE_LARGE)
        self.account.clock.callLater(0, self._factory.guard, connection, perform)

    def _log_wrong_peer(self, connection: Connection) -> None:
        if not self._misuse_logged:
            self._misuse_logged = True
            self._log.warn(
                "{bot}: {peer} sends events or answers, as an implementation does, not actions; is it a bot?",
                bot=self._bot.name,
                peer=connection.peer,
            )

    def dropped(self, connection: Connection, events: int) -> None:
        """Count events that the outbox dropped, because the bot reads too slowly; log the first of them."""
        self._bot.counters.dropped_events += events
        self._bot.counters.read_too_slowly += events
        self._dropped += events
        if not self._dropping:
            self._dropping = True
            self._log.warn(
                "{bot}: {peer} reads too slowly; its oldest events are dropped",
                bot=self._bot.name,
                peer=connection.peer,
            )

    def caught_up(self, connection: Connection) -> None:
        """Let the delivery send more events; log how many were dropped before."""
        if self._sink is not None:
            self._sink.pump()
        if self._dropping:
            self._dropping = False
            self._log.warn(
                "{bot}: {peer} has caught up; {events} events were dropped",
                bot=self._bot.name,
                peer=connection.peer,
                events=self._dropped,
            )
            self._dropped = 0

    def closing(self, connection: Connection, code: int | None, reason: str) -> None:
        """Do nothing: responses from now on are dropped by the factory, and ``closed`` cleans up."""

    def closed(self, connection: Connection, code: int | None, reason: str) -> None:
        """End all that the connection owns: subscription, heartbeats, pending actions, its sink."""
        self.account.unsubscribe(self)
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None
        for pending in tuple(self._in_flight):
            pending.cancel()
        if self._sink is not None:
            self._sink.closed(code)
            self._sink = None
        if self._connection is not None:
            self._refusal_watch.closed(code, reason)
            self._bot.counters.connections -= 1
            self._bot.sessions.pop(self, None)
            self._note_end(code, reason)
            why = f"{code} {printable(reason)}"
            self._log_session("{bot}: {peer} disconnected from account {account}: {why}", connection, why=why)
        self._connection = None  # breaks a reference cycle, so that it is freed at once
        self._on_closed()

    def _note_end(self, code: int | None, reason: str) -> None:
        self._bot.last_ended = EndedSession(
            account=self.account.self_id,
            role=self._role.value,
            address=self.address,
            user_agent=self.user_agent,
            code=code,
            reason=printable(reason),
            time=self.account.wall_clock(),
            lasted=self.account.clock.seconds() - self._opened_at,
        )

    def snapshot(self) -> OpenSession | None:
        """Return what people want to know of it; None once it is over."""
        if self._connection is None or self.since is None:
            return None
        return OpenSession(
            account=self.account.self_id,
            role=self._role.value,
            address=self.address,
            user_agent=self.user_agent,
            since=self.since,
        )

    def _log_session(self, format: str, connection: Connection, why: str = "", **fields: object) -> None:
        if not self._is_flapping() and self._bot.should_log_session(self.account.clock, why):
            self._flap_lines.info(
                format,
                bot=self._bot.name,
                peer=connection.peer,
                account=self.account.self_id,
                why=why,
                **fields,
            )

    def end(self, code: int, reason: str) -> None:
        """End its calls as 1502, and close the connection by a closing handshake. Never raises.

        :param code: a close code (RFC 6455, 7.4).
        """
        for pending in tuple(self._in_flight):
            pending.fail(reason)
        if self._connection is not None:
            self._factory.close(self._connection, code, reason)

    def break_off(self, in_flight: set[PendingAction], response: bytes, cut: bool) -> bool:
        """Reset the connection in place of a response, if it is the one that asked. Never raises.

        :param in_flight: the set that the pending action was in.
        :param response: one JSON object, with ``echo``.
        :param cut: whether the first half of the response is sent before.
        """
        if in_flight is not self._in_flight:
            return False
        if self._connection is not None:
            frame = self._connection.encode(response) if cut else b""
            self._factory.reset(self._connection, first_part(frame), "reset, as a fault of the account says")
        return True

    # -- sending

    def deliver(self, events: EncodedEvents) -> None:
        """Send events, through the outbox."""
        connection = self._connection
        if connection is not None:
            self._bot.counters.deliveries += len(events.each)
            self._factory.offer_all(connection, events.each, events.joined)

    def not_judged(self, events: int) -> None:
        """Count events that the filter did not get to."""
        self._bot.note_not_judged(self.account.self_id, events)

    def _reply(self, response: bytes, _last: bool) -> None:
        if self._connection is not None:
            frame = self._connection.encode(response)
            self._has_answered = True
            if self._sink is not None:
                self._sink.response_sent(len(frame))
            self._factory.respond(self._connection, frame)

    def _schedule_heartbeat(self) -> None:
        # Counted from the opening of this connection, so that heartbeats do not drift.
        clock = self.account.clock
        now = clock.seconds()
        self._heartbeat_at = max(self._heartbeat_at + self._heartbeat_interval, now)
        self._heartbeat = clock.callLater(self._heartbeat_at - now, self._send_heartbeat)

    def _send_heartbeat(self) -> None:
        self._schedule_heartbeat()
        if self._connection is not None:
            self.deliver(EncodedEvents([self._connection.encode(self.account.heartbeat())]))
