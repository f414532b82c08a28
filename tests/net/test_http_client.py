"""HTTP requests of ours, on real sockets."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from lgtwist.net.http_client import WebClient, why_failed

#: An answer whose head has 4 KiB.
ANSWER = b"HTTP/1.1 200 OK\r\nX-Pad: %b\r\nContent-Length: 2\r\n\r\n{}" % (b"x" * 4096)


class Server(Protocol):
    """Answers each request: what it gets with one read is one request here."""

    factory: Servers

    def connectionMade(self) -> None:
        self.factory.connections += 1

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        if data.startswith(b"POST"):
            self.transport.write(self.factory.answer)


class Servers(Factory):
    noisy = False
    protocol = Server

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.connections = 0


class HeadTests(TestCase):
    def setUp(self) -> None:
        self.client = WebClient(reactor)
        self.addCleanup(self.client.close)

    def listen(self, answer: bytes) -> tuple[str, Servers]:
        factory = Servers(answer)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}/", factory

    async def test_many_in_a_row(self) -> None:
        """The bound is for one head: requests that follow each other at once share a connection for long."""
        url, factory = self.listen(ANSWER)
        for _number in range(100):  # 400 KiB of heads
            answer = await self.client.post(url, b"{}", {}, 1000, 5.0)
            self.assertEqual((answer.status, answer.body), (200, b"{}"))
        self.assertEqual(factory.connections, 1)

    async def test_a_head_that_is_too_long(self) -> None:
        """It ends the connection."""
        url, _factory = self.listen(ANSWER.replace(b"\r\n\r\n", b"\r\nX-More: %b\r\n\r\n" % (b"y" * 300_000)))
        try:
            await self.client.post(url, b"{}", {}, 1000, 5.0)
        except Exception as error:
            self.assertTrue(why_failed(error))
        else:
            self.fail("it was taken")
