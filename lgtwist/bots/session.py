"""A bot on a WebSocket, whoever dialled (OneBot 11, ``communication/ws.md`` and ``ws-reverse.md``)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from lgtwist.bots.ping_acks import WebSocketSink
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.hub.interfaces import EncodedEvents, IBotConnection, IBotSession
from lgtwist.onebot import responses
from lgtwist.onebot.action import is_from_implementation, read_action
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.responses import with_echo
from lgtwist.runtime.logs import printable
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.dial import RefusalWatch
from lgtwist.websocket.factory import ConnectionFactory


class Role(Enum):
    """What a connection is for; the words are those of ``X-Client-Role``."""

    UNIVERSAL = "Universal"
    API = "API"
    EVENT = "Event"


def _nobody(_reason: str, _told: bool) -> None:
    """Nobody dialled who would have to wait before dialling again."""


@implementer(IBotConnection, IBotSession)
class BotSession:
    """One connection of one bot to one account: what stands behind a WebSocket.

    :param factory: the only one who sends.
    :param heartbeat_interval: seconds between heartbeats; 0 for none.
    :param refuse: called when what was opened is of no use, with the reason and whether the log has it.
    :param quiet: whether its coming and going is no news any more.
    :param ended: called once, when the connection is over.
    """

    _log = Logger()

    def __init__(
        self,
        factory: ConnectionFactory,
        bot: Bot,
        account: Account,
        *,
        role: Role,
        heartbeat_interval: float,
        refuse: Callable[[str, bool], None] = _nobody,
        quiet: Callable[[], bool] = lambda: False,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._factory = factory
        self._bot = bot
        self.account = account
        self._role = role
        self._takes_actions = role is not Role.EVENT
        self._heartbeat_interval = heartbeat_interval
        self._refusal_watch = RefusalWatch(account.clock, refuse)  # an action is useful
        self._quiet = quiet
        self._ended = ended
        self._connection: Connection | None = None
        self._in_flight: set[PendingAction] = set()
        self._beat: IDelayedCall | None = None
        self._beat_at = 0.0
        self._dropped = 0
        self._dropping = False
        self._misled = False
        self._sink: WebSocketSink | None = None  # where the bot asked for certain delivery

    # -- called through the factory's guard

    def opened(self, connection: Connection) -> None:
        """The first frame is the lifecycle, and nothing can come before it: we subscribe after it."""
        self._connection = connection
        self._refusal_watch.opened()
        self._bot.counters.connections += 1
        self._bot.sessions.add(self)
        self._say("connected to account {account} ({role})", connection, role=self._role.value)
        if self._role is Role.API:
            return
        self._factory.send(connection, self.account.lifecycle())
        if self._heartbeat_interval:
            self._beat_at = self.account.clock.seconds()
            self._schedule_beat()
        self._choose_source()

    def _choose_source(self) -> None:
        """Subscribe to the account's events, or take them from the journal where the bot asked for that."""
        assert self._connection is not None
        delivery = self._bot.deliveries.get(self.account.self_id)
        self._subscribe(delivery is not None)
        if delivery is not None:
            clock = self.account.clock
            self._sink = WebSocketSink(
                self._factory, self._connection, delivery, clock=clock, become=self._subscribe
            )
            self._sink.begin()

    def refresh(self, heartbeat_interval: float) -> None:
        """Take the bot's settings and deliveries as they are now, from the next event on.

        :param heartbeat_interval: seconds; 0 for none.
        """
        if self._connection is None or self._role is Role.API:
            return
        if heartbeat_interval != self._heartbeat_interval:
            self._heartbeat_interval = heartbeat_interval
            if self._beat is not None:
                self._beat.cancel()
                self._beat = None
            if heartbeat_interval:
                self._beat_at = self.account.clock.seconds()
                self._schedule_beat()
        sink = self._sink
        if sink is not None and sink.delivery is self._bot.deliveries.get(self.account.self_id):
            self._subscribe(sink.is_active)
            return
        if sink is not None:
            sink.end(None)
            self._sink = None
        self._choose_source()

    def _subscribe(self, certain: bool) -> None:
        """Get what happens from now on; where delivery is certain, only what is not kept for it."""
        if self._connection is None:
            return
        if certain:
            self.account.subscribe_meta(self, self._bot.message_format, self._connection.encode)
        else:
            self.account.subscribe(self, self._bot.message_format, self._connection.encode, self._bot.passes)

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        """An action came, or what should be one."""
        self._refusal_watch.useful = True
        if not self._takes_actions:
            if not self._misled:
                self._misled = True
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
                self._wrong_peer(connection)
                return  # an answer to an answer would be answered too, without end
            self._reply(with_echo(responses.from_error(error), error.echo), True)
            return
        self._bot.perform(self.account, request, self._reply, self._in_flight)

    def _wrong_peer(self, connection: Connection) -> None:
        if not self._misled:
            self._misled = True
            self._log.warn(
                "{bot}: {peer} sends events or answers, as an implementation does, not actions; is it a bot?",
                bot=self._bot.name,
                peer=connection.peer,
            )

    def dropped(self, connection: Connection, events: int) -> None:
        """The bot reads too slowly. One line when it begins, one when it ends."""
        self._bot.counters.dropped_events += events
        self._dropped += events
        if not self._dropping:
            self._dropping = True
            self._log.warn(
                "{bot}: {peer} reads too slowly; its oldest events are dropped",
                bot=self._bot.name,
                peer=connection.peer,
            )

    def caught_up(self, connection: Connection) -> None:
        """Nothing waits for the bot any more."""
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
        """What is still answered is answered into the void; ``closed`` cleans up."""

    def closed(self, connection: Connection, code: int | None, reason: str) -> None:
        """Everything of this connection ends here."""
        self.account.unsubscribe(self)
        if self._beat is not None:
            self._beat.cancel()
            self._beat = None
        for pending in tuple(self._in_flight):
            pending.cancel()
        if self._sink is not None:
            self._sink.end(code)
            self._sink = None
        if self._connection is not None:
            self._refusal_watch.closed(code, reason)
            self._bot.counters.connections -= 1
            self._bot.sessions.discard(self)
            why = f"{code} {printable(reason)}"
            self._say("disconnected from account {account}: {why}", connection, why=why)
        self._connection = None  # no cycle: it is freed now, not when the collector comes by
        self._ended()

    def _say(self, what: str, connection: Connection, why: str = "", **fields: object) -> None:
        if not self._quiet() and self._bot.logs_session(self.account.clock, why):
            self._log.info(
                "{bot}: {peer} " + what,
                bot=self._bot.name,
                peer=connection.peer,
                account=self.account.self_id,
                why=why,
                **fields,
            )

    def end(self, code: int, reason: str) -> None:
        """Close the connection in good order. Never raises.

        :param code: a close code (RFC 6455, 7.4).
        """
        if self._connection is not None:
            self._factory.close(self._connection, code, reason)

    # -- out

    def deliver(self, events: EncodedEvents) -> None:
        """Send events."""
        connection = self._connection
        if connection is not None:
            self._bot.counters.deliveries += len(events.each)
            self._factory.offer_all(connection, events.each, events.joined)

    def _reply(self, response: bytes, _last: bool) -> None:
        if self._connection is not None:
            frame = self._connection.encode(response)
            if self._sink is not None:
                self._sink.responded(len(frame))
            self._factory.respond(self._connection, frame)

    def _schedule_beat(self) -> None:
        # Counted from the connection's own opening: beats do not drift, and others' do not move them.
        clock = self.account.clock
        now = clock.seconds()
        self._beat_at = max(self._beat_at + self._heartbeat_interval, now)
        self._beat = clock.callLater(self._beat_at - now, self._send_beat)

    def _send_beat(self) -> None:
        self._schedule_beat()
        if self._connection is not None:
            self.deliver(EncodedEvents([self._connection.encode(self.account.heartbeat())]))
