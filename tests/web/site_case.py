"""The whole listening port in memory: the service, its site, and raw bytes from a peer."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import alsoProvides

from lgtwist.app.configuration import Config, parse
from lgtwist.app.service import LgtwistService
from lgtwist.sandbox import threads
from lgtwist.sandbox.account import SandboxAccount
from tests.integration.rawclient import handshake
from tests.pair import MemoryReactor, Transport


def request(path: str, method: str = "GET", body: bytes = b"", **headers: str) -> bytes:
    """The bytes of a request; an underscore in a header's name is a hyphen."""
    named = {"Host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body:
        named["Content-Length"] = str(len(body))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in named.items())
    return head.encode() + b"\r\n" + body


class Peer:
    """One TCP connection to the port."""

    def __init__(self, test: Any) -> None:
        self.test = test
        channel = test.site.buildProtocol(None)
        self.transport = Transport(channel)
        alsoProvides(self.transport, IPushProducer)  # as those of sockets do
        channel.makeConnection(self.transport)

    def send(self, data: bytes) -> Peer:
        if not self.transport.disconnecting:
            self.transport.protocol.dataReceived(data)
        return self

    def read(self) -> bytes:
        """Everything that was answered until now."""
        self.test.clock.advance(0)
        self.transport.drain()
        return self.transport.taken

    def status(self) -> int:
        return int(self.read().split(b" ", 2)[1])

    def headers(self) -> str:
        return self.read().partition(b"\r\n\r\n")[0].decode().lower()

    def body(self) -> str:
        return self.read().partition(b"\r\n\r\n")[2].decode("utf-8", "replace")

    def lose(self) -> None:
        self.transport.disconnected = self.transport.disconnecting = True
        self.transport.protocol.connectionLost(Failure(ConnectionDone()))


class SiteTestCase(SynchronousTestCase):
    toml = ""
    #: Seconds since the epoch, as the service sees them.
    now = 1_700_000_000.0

    @property
    def site(self) -> Any:
        return self.service.port.site

    def setUp(self) -> None:
        self.clock = MemoryReactor()
        self.patch(threads, "deferToThread", maybeDeferred)
        config = parse(f'data_dir = "{self.mktemp()}"\n{self.toml}')
        assert isinstance(config, Config), config
        self.service = LgtwistService(config, self.clock, lambda: self.now)
        self.start()

    def start(self) -> None:
        self.service.prepare()
        self.service.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        stopped = self.service.stopService()
        for connection in tuple(self.service.factory.connections):
            connection.connectionLost(Failure(ConnectionDone()))
        for channel in tuple(self.site.channels):
            channel.connectionLost(Failure(ConnectionDone()))
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.service.port.connection_limits.open_connections, 0)

    def sandboxes(self) -> list[SandboxAccount]:
        return [edge for edge in self.service.accounts if isinstance(edge, SandboxAccount)]

    def dial(self, path: str = "/", host: str = "localhost", **headers: str) -> Peer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Peer(self).send(handshake(path, named, host))

    def get(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Peer:
        return Peer(self).send(request(path, method, body, **headers))
