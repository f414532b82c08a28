"""Both ends of real connections, for tests."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from lgtwist.net.twisted_private import send_now

reactor: Any = installed


#: Seconds after which what has not come does not come.
PATIENCE = 20.0


MEGABYTE = 1 << 20


class Listener(Protocol):
    """The end that is tested.

    :ivar heard: what came.
    :ivar lost: fires with the reason when the connection is over.
    """

    transport: Any

    def __init__(self) -> None:
        self.heard = b""
        self.lost: Deferred[BaseException | None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(reason.value)


@implementer(IPushProducer)
class Producer:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Reader:
    """The peer: a plain socket that reads as much as it is told to.

    :ivar pieces: what it has read.
    """

    def __init__(self, handle: socket.socket) -> None:
        self.socket = handle
        self.pieces: list[bytes] = []

    def some(self, size: int) -> bool:
        """Read what is there, up to a size; whether the other end is still open."""
        try:
            data = self.socket.recv(size)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        self.pieces.append(data)
        return bool(data)

    async def until(self, enough: int, size: int = MEGABYTE) -> bytes:
        """Read until there are so many bytes, while the reactor goes on."""
        give_up = time.monotonic() + PATIENCE
        while sum(map(len, self.pieces)) < enough and self.some(size):
            assert time.monotonic() < give_up, "it does not come"
            await turn()
        return b"".join(self.pieces)

    async def to_the_end(self) -> bytes:
        """Read until the other end has closed."""
        return await self.until(1 << 60)


async def turn(seconds: float = 0.0) -> None:
    """One turn of the reactor, and some time."""
    await deferLater(reactor, seconds)


async def come(condition: Callable[[], object]) -> None:
    """FlushScheduler of the reactor until something is the case."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, "it does not come"
        await turn()


class Ends(Factory):
    """Makes one end of one connection, of those that dial us or of one that we dial."""

    noisy = False

    def __init__(self, end: Any) -> None:
        self.end = end

    def buildProtocol(self, addr: Any) -> Any:
        return self.end

    def startedConnecting(self, connector: Any) -> None:
        """Nothing to note."""

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """The end is told."""


class SocketsTestCase(TestCase):
    timeout = 60

    async def connect(self, listener: Any) -> Reader:
        """A peer with a small buffer that is connected to ``listener``."""
        port = reactor.listenTCP(0, Ends(listener), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        handle = socket.socket()
        self.addCleanup(handle.close)
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
        handle.connect(("127.0.0.1", port.getHost().port))
        handle.setblocking(False)
        await come(lambda: listener.transport is not None)
        return Reader(handle)

    def fill(self, transport: Any) -> bytes:
        """Send until the kernel takes no more; what it took."""
        pattern = bytes(range(256)) * 4096
        taken = b""
        while sent := send_now(transport, pattern):
            taken += pattern[:sent]
        return taken

    def kept(self, transport: Any) -> int:
        """How many bytes Twisted keeps."""
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen

    async def over(self, lost: Deferred[Any]) -> None:
        """Wait until a connection is over."""
        lost.addTimeout(PATIENCE, reactor)
        await lost


def certificate() -> Any:
    """The options of a server that nobody knows."""
    return ssl.KeyPair.generate(size=2048).selfSignedCert(1, CN="localhost").options()
