"""Our end of a WebSocket before the Autobahn testsuite: each of its cases, whoever dialled.

Those of compression (12, 13) are left out: there is none here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any
from unittest import skipUnless
from urllib.parse import quote

from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.trial.unittest import TestCase
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from lgtwist.config.limits import Limits
from lgtwist.runtime.budget import unlimited
from lgtwist.websocket.client import ClientFactory, Request
from lgtwist.websocket.connection import Connection
from lgtwist.websocket.factory import ConnectionFactory
from lgtwist.websocket.server import ServerFactory
from lgtwist.websocket.upgrade import check_upgrade, take_over
from tests.integration.running import PATIENCE
from tests.pair import RecordingCaller, leave_to_autobahn
from tests.processes import free_port
from tests.rounds import ROUNDS
from tests.websocket.wstest import PeerVerdict, Run, until, wstest

reactor: Any = installed

#: What is tested, and what it is measured by.
QUICKLY, SLOWLY, PLAIN = "whole frames", "frame by frame", "plain Autobahn"
#: Cases: which, without which, and how many there are.
MOST: tuple[list[str], list[str], int] = (
    ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"],
    ["6.4.*"],
    243,
)
#: In these the suite waits between two frames, or messages are large or many.
LONG: tuple[list[str], list[str], int] = (["6.4.*", "9.*"], [], 58)
#: No case takes longer (seconds).
LIFETIME = 60.0
many_rounds = skipUnless(ROUNDS >= 20, "takes long: only where LGTWIST_TEST_ROUNDS is 20 or more")


class Echo:
    """Sends each message back as it came.

    :param quickly: as ready frames, as answers go; else as single messages do, by Autobahn.
    :ivar over: fires when the connection is over.
    """

    def __init__(self, factory: ConnectionFactory, quickly: bool) -> None:
        self.factory = factory
        self.quickly = quickly
        self.budget = unlimited()
        self.over: Deferred[None] = Deferred()

    def opened(self, connection: Connection) -> None:
        """Nothing to say."""

    def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
        if binary:  # OneBot has none, so the factory sends none
            connection.sendMessage(payload, True)
        elif self.quickly:
            self.factory.respond(connection, connection.encode(payload))
        else:
            self.factory.send(connection, payload)

    def dropped(self, connection: Connection, events: int) -> None:
        raise AssertionError("an echo is no event")

    def caught_up(self, connection: Connection) -> None:
        """Nothing to add."""

    def closing(self, connection: Connection, code: int | None, reason: str) -> None:
        """``closed`` follows."""

    def closed(self, connection: Connection, code: int | None, reason: str) -> None:
        self.over.callback(None)


class Door(Resource):
    """Where WebSockets come in, as in the service."""

    isLeaf = True

    def __init__(self, factory: ServerFactory, quickly: bool) -> None:
        super().__init__()
        self.factory = factory
        self.quickly = quickly

    def render_GET(self, request: HTTPRequest) -> int:
        assert check_upgrade(request) is None
        take_over(request, self.factory.make(Echo(self.factory, self.quickly)))
        return NOT_DONE_YET


class PlainServer(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.state == self.STATE_OPEN:  # Autobahn tells of messages that come glued behind a breach
            self.sendMessage(payload, isBinary)


class PlainClient(WebSocketClientProtocol):
    def __init__(self) -> None:
        super().__init__()
        self.over: Deferred[None] = Deferred()

    onMessage = PlainServer.onMessage

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if not self.over.called:  # Autobahn may say it twice
            self.over.callback(None)


async def at_once(*running: Coroutine[Any, Any, None]) -> None:
    """All of them side by side; when all have ended, the first failure is raised."""
    ended: Any = await DeferredList(list(map(Deferred.fromCoroutine, running)), consumeErrors=True)
    for good, failure in ended:
        if not good:
            failure.raiseException()


class FuzzingTestCase(TestCase):
    """Both ways in which we read, and as a yardstick an Autobahn that nothing of ours is around."""

    timeout = 400

    def setUp(self) -> None:
        wstest()
        self.factories: list[ConnectionFactory] = []
        self.plain_factories: list[Any] = []
        self.plain_servers: list[Any] = []
        self.folder = Path(self.mktemp())

    def start(self, name: str, mode: str, cases: list[str], without: list[str], **spec: object) -> Run:
        spec = {"cases": cases, "exclude-cases": without, **spec}
        run = Run.start(self.folder / name.replace(" ", "-"), mode, **spec)
        self.addCleanup(run.kill)
        return run

    async def judge(self, verdicts: dict[str, dict[str, PeerVerdict]], number: int) -> None:
        """Each case is passed, or else not by plain Autobahn either; and we never failed ourselves."""
        plain = verdicts[PLAIN]
        self.assertEqual(len(plain), number)
        failed = [f"{case}: {told}" for case, told in plain.items() if 0 in told.ranks]
        self.assertLess(len(failed), number // 20, f"plain Autobahn fails too often: {failed}")
        bad = []
        for name in (QUICKLY, SLOWLY):
            self.assertEqual(list(verdicts[name]), list(plain), f"{name}: cases are missing")
            for case, told in verdicts[name].items():
                ranks = zip(told.ranks, plain[case].ranks, strict=True)
                if any(rank == 0 < plain_rank for rank, plain_rank in ranks):
                    bad.append(f"{case}, {name}: {told}; {PLAIN}: {plain[case]}. {told.why}")
        if bad:
            self.fail("\n".join([*bad, f"The reports are in {self.folder.absolute()}"]))
        for factory in self.factories:
            self.assertEqual(factory.counters.callback_failures, 0)
        await until(
            lambda: (
                not (
                    any(factory.connections for factory in self.factories)
                    or any(factory.getConnectionCount() for factory in self.plain_servers)
                    # The time limit for a closing handshake outlives a connection that is lost in one.
                    or any(factory._batched_timer._buckets for factory in self.plain_factories)
                )
            ),
            lambda: "connections are left",
            PATIENCE,
        )

    def by_the_book(self, factory: Any) -> Any:
        """Plain Autobahn as the suite's own is set up."""
        factory.setProtocolOptions(failByDrop=False)
        self.plain_factories.append(factory)
        return factory


class ServerTests(FuzzingTestCase):
    """wstest dials us."""

    def listen(self, factory: Any) -> int:
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def ours(self, quickly: bool) -> int:
        factory = ServerFactory(Limits(), reactor)
        if not quickly:
            leave_to_autobahn(factory)
        self.factories.append(factory)
        return self.listen(Site(Door(factory, quickly)))

    def plain(self) -> int:
        factory = self.by_the_book(WebSocketServerFactory())
        factory.protocol = PlainServer
        self.plain_servers.append(factory)
        return self.listen(factory)

    async def run_cases(self, cases: list[str], without: list[str], number: int) -> None:
        ports = {QUICKLY: self.ours(True), SLOWLY: self.ours(False), PLAIN: self.plain()}
        runs = []
        for name, port in ports.items():
            server = {"agent": name, "url": f"ws://127.0.0.1:{port}"}
            runs.append(self.start(name, "fuzzingclient", cases, without, servers=[server]))
        await at_once(*(run.ended(self.timeout - 30) for run in runs))
        verdicts = {}
        for run in runs:
            verdicts.update(run.verdicts())
        await self.judge(verdicts, number)

    async def test_most_cases(self) -> None:
        """Whatever a client does, right or wrong, is answered as the testsuite wants it."""
        await self.run_cases(*MOST)

    @many_rounds
    async def test_long_cases(self) -> None:
        """Also if it takes its time, and if messages are large or many."""
        await self.run_cases(*LONG)


class ClientTests(FuzzingTestCase):
    """We dial wstest."""

    def setUp(self) -> None:
        super().setUp()
        self.port = free_port()  # it is dialled before anybody listens there

    def endpoint(self) -> TCP4ClientEndpoint:
        return TCP4ClientEndpoint(reactor, "127.0.0.1", self.port)

    def ours(self, quickly: bool) -> Callable[[str], Awaitable[None]]:
        factory = ClientFactory(Limits(), reactor, "lgtwist/test")
        if not quickly:
            leave_to_autobahn(factory)
        self.factories.append(factory)

        async def dial(resource: str) -> None:
            echo = Echo(factory, quickly)
            request = Request("127.0.0.1", self.port, resource)
            await connectProtocol(self.endpoint(), factory.make(echo, request, RecordingCaller()))
            await echo.over.addTimeout(LIFETIME, reactor)

        return dial

    async def plain(self, resource: str) -> None:
        client: Any = PlainClient()
        client.factory = self.by_the_book(WebSocketClientFactory(f"ws://127.0.0.1:{self.port}{resource}"))
        await connectProtocol(self.endpoint(), client)
        await client.over.addTimeout(LIFETIME, reactor)

    async def run_cases(self, cases: list[str], without: list[str], number: int) -> None:
        run = self.start("server", "fuzzingserver", cases, without, url=f"ws://127.0.0.1:{self.port}")
        run.wait_for(self.port)

        async def each(name: str, dial: Callable[[str], Awaitable[None]]) -> None:
            for case in range(1, number + 1):
                await dial(f"/runCase?case={case}&agent={quote(name)}")

        await at_once(each(QUICKLY, self.ours(True)), each(SLOWLY, self.ours(False)), each(PLAIN, self.plain))
        await self.plain(f"/updateReports?agent={quote(PLAIN)}")
        await self.judge(run.verdicts(), number)

    async def test_most_cases(self) -> None:
        """Whatever a server does, right or wrong, is answered as the testsuite wants it."""
        await self.run_cases(*MOST)

    @many_rounds
    async def test_long_cases(self) -> None:
        """Also if it takes its time, and if messages are large or many."""
        await self.run_cases(*LONG)
