"""Accounts of type ``milky``: an implementation of Milky as an account of OneBot 11."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from attrs import Factory, evolve, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from lgtwist.accounts.milky.api_client import ApiClient
from lgtwist.accounts.milky.back_fill import BackFill, BackFillBounds, BackFillContext
from lgtwist.accounts.milky.block_store import BlockStore
from lgtwist.accounts.milky.event_stream import MakeStream, StreamPlan
from lgtwist.accounts.milky.figures import MILKY_FIGURES
from lgtwist.accounts.milky.link import MilkyLink
from lgtwist.accounts.milky.sse import SseStream
from lgtwist.accounts.milky.websocket_stream import WebSocketStream
from lgtwist.config.authorities import Authorities
from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.values import InvalidValue, boolean, choice, duration, token, url, whole_number
from lgtwist.hub.account import Account
from lgtwist.hub.edges import EdgeResources, IEdge
from lgtwist.hub.interfaces import Figure, IDialler, IKeepsFile, IMeasured
from lgtwist.milky.events import EventTranslator
from lgtwist.milky.recent import Recent
from lgtwist.net.backoff import ReconnectSettings, read_reconnect
from lgtwist.net.http_client import WebClient
from lgtwist.onebot.dialect import Dialect
from lgtwist.websocket.dial import DialState

#: By the value of ``event_stream``.
STREAMS: dict[str, MakeStream] = {"websocket": WebSocketStream, "sse": SseStream}
#: What the summary calls them.
_STREAM_NAMES = {"websocket": "WebSocket", "sse": "server-sent events"}


@frozen
class Settings:
    """The keys of an account of type ``milky``.

    :ivar url: of the implementation's Milky server, with its prefix if it has one.
    :ivar access_token: what is shown to it; None for none.
    :ivar trust_root: authorities of its certificate; None for the system's.
    :ivar event_stream: ``websocket`` or ``sse``.
    :ivar reconnect: the back-off between attempts.
    :ivar self_messages: whether the account's own messages are events (``message_sent``), or dropped.
    :ivar back_fill: how much is fetched of what was missed.
    """

    dialect: ClassVar[Dialect] = Dialect.ONEBOT11
    url: str = field(default="", repr=False, metadata=asks_for(Change.ANEW))
    access_token: str | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    trust_root: Authorities | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    event_stream: str = field(default="websocket", metadata=asks_for(Change.ANEW))
    reconnect: ReconnectSettings = Factory(ReconnectSettings)
    self_messages: bool = False
    back_fill: BackFillBounds = Factory(BackFillBounds)


def read(section: Section) -> Settings:
    """Read the keys of an account of type ``milky``; mistakes are collected in the section."""
    return Settings(
        section.read("url", _milky_url) or "",
        section.read_secret("access_token", token),
        section.read_certificates("ca_file"),
        section.read("event_stream", choice(tuple(STREAMS)), "websocket") or "websocket",
        read_reconnect(section),
        bool(section.read("self_messages", boolean, False)),
        _read_back_fill(section),
    )


_http_url = url("http", "https", query=False)


def _milky_url(value: Any) -> str:
    """Read the URL of a Milky server; what people write who know OneBot's gets a hint."""
    if isinstance(value, str) and value.lower().startswith(("ws://", "wss://")):
        scheme = "https" if value.lower().startswith("wss") else "http"
        raise InvalidValue(
            f'expected a URL such as "http://127.0.0.1:3010/"; it begins with {scheme}:// here, '
            "for calls go to it too, and the event stream is found below it"
        )
    read = _http_url(value)
    for end in ("/event", "/api"):
        if read.rstrip("/").endswith(end):
            raise InvalidValue(f'expected a URL such as "http://127.0.0.1:3010/", without {end}: it is added')
    return read


def _read_back_fill(section: Section) -> BackFillBounds:
    """Read ``back_fill``; mistakes are collected in the section."""
    table, default = section.section("back_fill"), BackFillBounds()
    most = table.read("max_messages", whole_number(0, 10_000), default.max_messages)
    age = table.read("max_age", duration(1, 86_400 * 7, zero=True), "10m")
    table.finish()
    return BackFillBounds(
        default.max_messages if most is None else most, default.max_age if age is None else age
    )


def describe(settings: Settings, self_id: int, base: str) -> str:
    """Return how the implementation is reached: the end of the account's line in the summary."""
    stream = _STREAM_NAMES[settings.event_stream]
    return f"; its Milky server is called at {settings.url}, events by {stream}"


def key_needed_in_public(settings: Settings) -> str | None:
    """Return None: the implementation does not connect to our port."""
    return None


@implementer(IEdge, IDialler, IKeepsFile, IMeasured)
class MilkyAccount(Service):
    """An account whose implementation speaks Milky.

    :ivar link: to the implementation.
    """

    def __init__(self, account: Account, settings: Settings, resources: EdgeResources) -> None:
        self.account = account
        self._settings = settings
        self._resources = resources
        base = settings.url.rstrip("/")
        self._client = WebClient(resources.reactor, settings.trust_root, account.budget)
        self.store = BlockStore(resources.data_dir, account.self_id, resources.reactor, resources.wall_clock)
        self._recent = Recent()
        self.translator = EventTranslator(
            account.self_id, self.store.table, self._recent, wants_own=settings.self_messages
        )
        api = ApiClient(
            account.self_id,
            base,
            settings.access_token,
            self._client,
            self._limits,
            on_unauthorised=lambda reason: self.link.unauthorised(reason),
            on_login=lambda logged_in: self.link.login_seen(logged_in),
        )
        self.link = MilkyLink(
            account,
            settings.url,
            api,
            self.store,
            self.translator,
            recent=self._recent,
            limits=self._limits,
            scheduler=resources.scheduler,
        )
        self.back_fill = self.link.back_fill = self._make_back_fill(api)
        headers = (
            {} if settings.access_token is None else {"Authorization": f"Bearer {settings.access_token}"}
        )
        plan = StreamPlan(
            name=f"account {account.self_id}",
            url=base,
            headers=headers,
            trust_root=settings.trust_root,
            backoff=settings.reconnect.backoff(resources.uniform),
        )
        self.stream = self.link.stream = STREAMS[settings.event_stream](plan, self.link, resources)

    def _limits(self) -> Any:
        return self._resources.limits

    def _make_back_fill(self, api: ApiClient) -> BackFill:
        account = self.account
        return BackFill(
            BackFillContext(
                self_id=account.self_id,
                bounds=lambda: self._settings.back_fill,
                api=api,
                implementation=lambda: self.link.implementation,
                seen=self.store.table,
                translator=self.translator,
                committed=self.store.committed,
                publish=lambda key, event: self.link.publish(key, event),
                publish_late=account.fan_out.publish_late,
                clock=account.clock,
                wall_clock=account.wall_clock,
                budget=account.budget,
                is_paused=lambda: bool(account.links.pause_reason),
            )
        )

    # -- IEdge

    def prepare(self) -> None:
        """Open the file of message ids; one that is damaged is set aside."""
        self.store.prepare()

    def startService(self) -> None:
        """Dial from now on."""
        super().startService()
        self.account.links.configure(self._settings.dialect)
        self.store.start()
        self.stream.start()

    def configure(self, settings: Settings) -> None:
        """Replace the back-off, what is done with own messages, and the bounds of the back-fill."""
        self._settings = settings
        self.translator.wants_own = settings.self_messages
        self.stream.use_backoff(settings.reconnect.backoff(self._resources.uniform))

    def retire(self) -> None:
        """Dial and poll no more; the open stream and calls under way stay."""
        self.stream.retire()
        self.link.retire()

    def stopService(self) -> Deferred[None]:
        """End the link, store what is not stored yet, and close the connections.

        Events that waited for their ids to be stored are published then.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self.link.stop("lgtwist stops")
        self.back_fill.stop()
        stream_stopped = self.stream.stop()
        try:
            await self.store.stop()
        finally:
            self.link.publish_all()
            try:
                await self._client.close()
            finally:
                await stream_stopped

    # -- IDialler

    def attempts(self) -> int:
        """Return the number of attempts since the start."""
        return self.stream.attempts

    def dials(self) -> dict[int, list[DialState]]:
        """Return how dialling goes, by the account's number."""
        return {self.account.self_id: [self.stream.state()]}

    def when_idle(self) -> Deferred[None]:
        """Return a Deferred that fires with None when it has retired and its stream is closed."""
        return self.stream.when_idle()

    # -- IKeepsFile

    def back_up(self, folder: Path) -> Deferred[None]:
        """Copy the file of message ids into a folder."""
        return self.store.back_up(folder)

    # -- IMeasured

    def figures(self) -> list[Figure]:
        """Return what was not passed on or was odd, and what was fetched late."""
        counters = self.translator.counters
        simple = {
            "milky_sequence_gaps": counters.sequence_gaps,
            "milky_back_filled_events": self.back_fill.back_filled_events,
            "milky_duplicates": counters.duplicates,
            "milky_own_messages": counters.own_messages,
        }
        found = [evolve(MILKY_FIGURES[name], value=float(value)) for name, value in simple.items()]
        scenes = {f"scene:{name}": count for name, count in counters.other_scenes.items()}
        unknown_events = {**counters.unknown_events, **scenes}
        tables: list[tuple[str, dict[str, int]]] = [
            ("milky_unknown_events", unknown_events),
            ("milky_unknown_segments", counters.unknown_segments),
        ]
        token = self._settings.access_token
        for name, counts in tables:
            found += [
                evolve(
                    MILKY_FIGURES[name], labels={"type": kind if kind != token else "***"}, value=float(count)
                )
                for kind, count in {"": 0, **counts}.items()  # a series that is there from the start
            ]
        return found


#: The class of the edge, as the kind's module names it.
make = MilkyAccount
