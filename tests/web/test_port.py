"""The port made of stand-ins: what it is handed may come, go and change while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, evolve, field
from twisted.internet.testing import EventLoggingObserver, MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request
from zope.interface import implementer
from zope.interface.verify import verifyClass

from lgtwist.accounts.http import HttpAccount
from lgtwist.accounts.websocket_client import WebSocketClientAccount
from lgtwist.accounts.websocket_server import WebSocketServerAccount
from lgtwist.bots.webhook import WebhookBot
from lgtwist.bots.websocket_client import WebSocketClientBot
from lgtwist.config.limits import Limits
from lgtwist.hub.interfaces import (
    IControl,
    IDialler,
    IDirectoryObserver,
    IEventReceiver,
    IPoster,
    IReverseLink,
)
from lgtwist.hub.settings import BotSettings
from lgtwist.net.http_responses import Headers, respond
from lgtwist.onebot.event import BadEvent
from lgtwist.runtime.budget import Budget, unlimited
from lgtwist.runtime.figures import counter
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.sandbox.account import SandboxAccount
from lgtwist.web.authentication import BotTokens
from lgtwist.web.bodies import PeerBodies
from lgtwist.web.health import Readiness
from lgtwist.web.metrics import MetricsRegistry
from lgtwist.web.port import Port
from lgtwist.web.settings import ServerSettings
from tests.integration.rawclient import handshake
from tests.web.site_case import Peer, request


@implementer(IEventReceiver)
class Receiver:
    """Takes the body ``{}``, and notes whether that was inside a read."""

    def __init__(self, scheduler: FlushScheduler) -> None:
        self.scheduler = scheduler
        self.inside_reads: list[bool] = []

    def signing_key(self) -> tuple[str | None, bool]:
        return None, False

    def receive(self, body: bytes) -> None:
        self.inside_reads.append(self.scheduler.reading)
        if body != b"{}":
            raise BadEvent("it is not {}")


@implementer(IReverseLink)
class ReverseLink:
    access_token = "token"

    def __init__(self) -> None:
        self.roles: list[str] = []

    def accept(self, request: Request, role: str, on_closed: Callable[[], None]) -> None:
        self.roles.append(role)
        on_closed()
        request.channel.transport.loseConnection()


@implementer(IControl)
class Control:
    def handle(self, request: Request, path: tuple[str, ...]) -> None:
        respond(request, 200, f"handled {'/'.join(path)}")

    def serve_file(self, request: Request, name: str) -> None:
        respond(request, 200, f"file {name}")


@define(eq=False)
class StandInBot:
    name: str
    access_token: str | None
    budget: Budget = field(factory=unlimited)

    @property
    def settings(self) -> BotSettings:
        return BotSettings(self.name, self.access_token)

    def may_use(self, self_id: int) -> bool:
        return True


@define(eq=False)
class StandInAccount:
    self_id: int = 1
    was_up: bool = True
    budget: Budget = field(factory=unlimited)


@define
class StandInDirectory:
    accounts: dict[int, StandInAccount] = field(factory=lambda: {1: StandInAccount()})

    def default_account(self, _bot: object) -> StandInAccount:
        return self.accounts[1]


class Actions:
    """Answers with the bot's name and the action."""

    def preflight(self, request: Request) -> None:
        respond(request, 200, "preflight")

    def cors_headers(self, request: Request) -> Headers:
        return ()

    def perform(self, request: Request, bot: Any, account: Any, action: str) -> None:
        respond(request, 200, f"{bot.name} {account.self_id} {action}")


@define
class StandInMount:
    """Answers with its segments; takes bodies at ``upload`` only."""

    has_root: bool = True

    def render(self, request: Request, segments: tuple[str, ...]) -> None:
        body = request.content.read() if request.content is not None else b""
        respond(request, 200, f"{segments} {body!r}")

    def body_budget(self, request: Request, segments: tuple[str, ...], query: bytes) -> PeerBodies | None:
        wanted = segments == ("upload",) and query == b"a=b"
        return PeerBodies(unlimited(), "x") if wanted else None


class PortTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = MemoryReactorClock()
        self.edges: dict[int, object] = {}
        self.scheduler = FlushScheduler(self.clock)
        self.metrics, self.readiness = MetricsRegistry(), Readiness()
        self.port = Port(
            directory=StandInDirectory(),
            edge_of=self.edges.get,
            accept_bot=lambda _request, _bot, _account, _role, on_closed: on_closed(),
            http_actions=Actions(),
            settings=ServerSettings(admin_token="admin"),
            limits=Limits(),
            clock=self.clock,
            scheduler=self.scheduler,
            metrics=self.metrics,
            readiness=self.readiness,
        )
        self.site = self.port.site

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Peer:
        return Peer(self).send(request(path, method, body, **headers))

    def post(self, body: bytes, self_id: int = 1) -> int:
        return self.ask("/onebot/v11/post", "POST", body, X_Self_ID=str(self_id)).status()

    # -- edges

    def test_interfaces(self) -> None:
        """The edges, and the stand-ins here, provide what the port asks of them."""
        for interface, provider in (
            (IReverseLink, WebSocketServerAccount),
            (IReverseLink, ReverseLink),
            (IEventReceiver, HttpAccount),
            (IEventReceiver, Receiver),
            (IControl, SandboxAccount),
            (IControl, Control),
            (IDialler, WebSocketClientAccount),
            (IDialler, WebSocketClientBot),
            (IPoster, WebhookBot),
            (IDirectoryObserver, BotTokens),
        ):
            self.assertTrue(verifyClass(interface, provider), provider)

    def test_accounts_that_post(self) -> None:
        """An account may post as soon as its edge is there, and no longer than that; later it may again."""
        self.assertEqual(self.post(b"{}"), 503)
        self.assertEqual(self.post(b"{}", 9), 403)
        self.edges[1] = Receiver(self.scheduler)
        self.assertEqual(self.post(b"{}"), 204)
        self.edges[1] = ReverseLink()
        self.assertEqual(self.post(b"{}"), 403)
        del self.edges[1]
        self.assertEqual(self.post(b"{}"), 503)

    def test_malformed_posts_are_logged_once(self) -> None:
        """One line for each account and minute, also of one that was not there at the start."""
        observer = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.edges[1], self.edges[2] = Receiver(self.scheduler), Receiver(self.scheduler)
        for self_id in (1, 1, 2, 1):
            self.assertEqual(self.post(b"x", self_id), 400)
        logged = [event["account"] for event in observer if "account" in event]
        self.assertEqual(logged, [1, 2])

    def test_accounts_that_connect(self) -> None:
        """A link is made by the account's edge, once its token was checked."""
        link = ReverseLink()
        headers = {"X-Self-ID": "1", "Authorization": "Bearer token"}
        early = Peer(self).send(handshake("/onebot/v11/api", headers, "localhost"))
        self.assertEqual(early.status(), 503)
        self.assertIn("retry-after: 2", early.headers())
        self.edges[1] = link
        wrong = {**headers, "Authorization": "Bearer wrong"}
        self.assertEqual(Peer(self).send(handshake("/onebot/v11/api", wrong, "localhost")).status(), 403)
        self.assertEqual(link.roles, [])
        Peer(self).send(handshake("/onebot/v11/api", headers, "localhost"))
        self.assertEqual(link.roles, ["api"])

    def test_controls(self) -> None:
        """The operator is handed to the account's control, anybody to its files."""
        admin = {"Authorization": "Bearer admin"}
        self.assertEqual(self.ask("/sandbox/1/say", **admin).status(), 404)
        self.assertEqual(self.ask("/sandbox/1/media/x").status(), 404)
        self.edges[1] = Control()
        self.assertEqual(self.ask("/sandbox/1/a//b", **admin).body(), "handled a//b\n")
        self.assertEqual(self.ask("/sandbox/1/a").status(), 401)
        self.assertEqual(self.ask("/sandbox/1/media/x").body(), "file x\n")

    # -- authentication

    def test_bots_come_and_go(self) -> None:
        """A bot's token counts from when it is added until it is removed or gets another one."""
        bot = StandInBot("a", "first")
        tokens = self.port.bot_tokens
        self.assertEqual(self.ask("/x?access_token=first").status(), 403)
        tokens.bot_added(bot)
        self.assertEqual(self.ask("/x?access_token=first").body(), "a 1 x\n")
        bot.access_token = "second"
        tokens.refresh(bot)
        self.assertEqual(self.ask("/x?access_token=first").status(), 403)
        self.assertEqual(self.ask("/x?access_token=second").body(), "a 1 x\n")
        tokens.bot_removed(bot)
        self.assertEqual(self.ask("/x?access_token=second").status(), 403)
        self.assertEqual(self.ask("/x").status(), 401)

    def test_a_bot_without_a_token(self) -> None:
        """It is served from this machine, for as long as it is there."""
        bot = StandInBot("open", None)
        self.port.bot_tokens.bot_added(bot)
        self.assertEqual(self.ask("/x").status(), 200)
        self.port.bot_tokens.bot_removed(bot)
        self.assertEqual(self.ask("/x").status(), 401)

    def test_the_admin_token_changes(self) -> None:
        """The new one counts from the next request on, the old one no more."""
        self.assertEqual(self.ask("/metrics", Authorization="Bearer admin").status(), 200)
        self.port.authentication.settings = ServerSettings(admin_token="boss")
        self.assertEqual(self.ask("/metrics", Authorization="Bearer admin").status(), 403)
        self.assertEqual(self.ask("/metrics", Authorization="Bearer boss").status(), 200)
        self.port.authentication.settings = ServerSettings()
        self.assertEqual(self.ask("/metrics", Authorization="Bearer boss").status(), 403)
        self.assertEqual(self.ask("/metrics").status(), 200)
        self.port.authentication.settings = ServerSettings(endpoints=("tcp:8081",))
        self.assertEqual(self.ask("/metrics").status(), 403)

    def test_the_allowed_origins_change(self) -> None:
        """A web page is a local program from when its origin is allowed."""
        self.port.bot_tokens.bot_added(StandInBot("open", None))
        self.assertEqual(self.ask("/x", Origin="https://mine.example").status(), 403)
        settings = evolve(self.port.authentication.settings, allowed_origins=("https://mine.example",))
        self.port.authentication.settings = settings
        self.assertEqual(self.ask("/x", Origin="https://mine.example").status(), 200)

    # -- limits

    def test_limits_change(self) -> None:
        """Sizes, times and numbers of connections are read when they are needed."""
        self.port.bot_tokens.bot_added(StandInBot("open", None))
        limits = self.port.connection_limits
        self.assertEqual(self.ask("/x", "POST", b"y" * 2000).status(), 200)
        limits.limits = Limits(max_message=1024, connections=1, handshake_timeout=1.0, idle_timeout=7.0)
        self.assertEqual(self.ask("/x", "POST", b"y" * 2000).status(), 413)
        self.assertEqual(self.ask("/x").status(), 503)
        limits.limits = evolve(limits.limits, connections=10)
        idle = self.ask("/x")
        self.assertEqual(idle.status(), 200)
        slow = Peer(self).send(b"GET /")
        self.clock.advance(1)
        self.assertTrue(slow.transport.aborted)
        self.clock.advance(5)
        self.assertFalse(idle.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(idle.transport.disconnecting)

    # -- mounts

    def test_a_mount_that_comes_later(self) -> None:
        """It has its name and everything below it, and the bots have the rest."""
        self.port.bot_tokens.bot_added(StandInBot("open", None))
        self.assertEqual(self.ask("/new").body(), "open 1 new\n")
        self.port.mount("new", StandInMount())
        self.assertEqual(self.ask("/new").body(), "() b''\n")
        self.assertEqual(self.ask("/new/a//b/").body(), "('a', '', 'b') b''\n")
        self.assertEqual(self.ask("/news").body(), "open 1 news\n")
        self.assertEqual(self.ask("/1/new").body(), "open 1 new\n")

    def test_a_mount_without_its_bare_name(self) -> None:
        """The name alone is an action's."""
        self.port.bot_tokens.bot_added(StandInBot("open", None))
        self.port.mount("new", StandInMount(has_root=False))
        self.assertEqual(self.ask("/new/").body(), "open 1 new\n")
        self.assertEqual(self.ask("/new/a").body(), "('a',) b''\n")

    def test_a_mount_judges_bodies(self) -> None:
        """A body that it does not want is not waited for."""
        self.port.mount("new", StandInMount())
        self.assertEqual(self.ask("/new/upload?a=b", "POST", b"body").body(), "('upload',) b'body'\n")
        unwanted = Peer(self).send(b"POST /new/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        self.assertEqual(unwanted.body(), "('upload',) b''\n")

    # -- registries

    def test_metrics_come_and_go(self) -> None:
        """A collector is asked from when it is added until it is removed; one that fails is left out."""

        def fail() -> list[Any]:
            raise ValueError

        admin = {"Authorization": "Bearer admin"}
        self.metrics.add(fail)
        remove = self.metrics.add(lambda: [counter("late", "Comes late", ["x"], [(["1"], 2.0)])])
        self.assertIn('lgtwist_late_total{x="1"} 2.0\n', self.ask("/metrics", **admin).body())
        remove()
        self.assertNotIn("lgtwist_late", self.ask("/metrics", **admin).body())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_reasons_come_and_go(self) -> None:
        """The service is ready while nobody has a reason why not."""
        self.assertEqual(self.ask("/readyz").body(), '{"ready":true,"reasons":[]}\n')
        remove = self.readiness.add(lambda: ["it rains"])
        self.assertEqual(self.ask("/readyz").status(), 503)
        self.assertEqual(self.ask("/readyz").body(), '{"ready":false,"reasons":["it rains"]}\n')
        remove()
        self.assertEqual(self.ask("/readyz").status(), 200)

    # -- the flush scheduler

    def test_posts_are_read_inside_a_read(self) -> None:
        """What follows from a post is written when all bytes were read; a failure ends the read too."""
        receiver = self.edges[1] = Receiver(self.scheduler)
        self.assertEqual(self.post(b"{}"), 204)
        self.assertEqual(receiver.inside_reads, [True])
        self.assertFalse(self.scheduler.reading)
