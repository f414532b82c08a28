"""HTTP requests of ours: heads of answers that are long, or never end."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web._newclient import Request
from twisted.web.client import URI
from twisted.web.http_headers import Headers

from lgtwist.net.http_client import Body, BoundedPool, WebClient, why_failed

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

    async def test_servers_that_close(self) -> None:
        """A request never goes to a connection that its server is about to close."""
        for head, connections in (
            (b"HTTP/1.0 200 OK\r\n", 3),  # Python's http.server
            (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", 1),
            (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", 3),
            (b"HTTP/1.1 200 OK\r\nConnection: x, close\r\n", 3),
            (b"HTTP/1.1 200 OK\r\n", 1),
        ):
            url, factory = self.listen(head + b"Content-Length: 2\r\n\r\n{}")
            for _number in range(3):
                answer = await self.client.post(url, b"{}", {}, 1000, 5.0)
                self.assertEqual((answer.status, answer.body), (200, b"{}"), head)
            self.assertEqual(factory.connections, connections, head)

    async def test_a_head_that_is_too_long(self) -> None:
        """It ends the connection."""
        url, _factory = self.listen(ANSWER.replace(b"\r\n\r\n", b"\r\nX-More: %b\r\n\r\n" % (b"y" * 300_000)))
        try:
            await self.client.post(url, b"{}", {}, 1000, 5.0)
        except Exception as error:
            self.assertTrue(why_failed(error))
        else:
            self.fail("it was taken")


class _Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class EndlessHeadTests(SynchronousTestCase):
    def setUp(self) -> None:
        pool: Any = BoundedPool(None, True)
        self.protocol: Any = pool._factory(lambda _protocol: None, "").buildProtocol(None)
        self.transport = _Transport()
        self.protocol.makeConnection(self.transport)
        self.answer = self.ask()

    def ask(self) -> Any:
        uri = URI.fromBytes(b"http://h/")
        headers = Headers({b"host": [uri.netloc]})
        return self.protocol.request(Request(b"GET", uri.path, headers, None, persistent=True))

    def feed(self, piece: bytes, times: int) -> int:
        """Give a read again and again, until the connection is aborted; how many reads that were."""
        for number in range(times):
            if self.transport.aborted:
                return number
            self.protocol.dataReceived(piece)
        return times

    def test_lines_without_end(self) -> None:
        """They are read up to a thousand, however many come in one read."""
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\n")
        self.assertEqual(self.feed(b"a: b\r\n" * 10_000, 3), 1)
        self.assertTrue(self.transport.aborted)

    def test_interim_answers_without_end(self) -> None:
        self.assertEqual(self.feed(b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000, 3), 1)

    def test_a_line_without_end(self) -> None:
        self.protocol.dataReceived(b"HTTP/1.1 200 OK\r\na: ")
        reads = self.feed(b"x" * 10_000, 100)
        self.assertLess(reads, 100)

    def test_a_body_of_many_lines_behind_the_head(self) -> None:
        """Heads up to the bound are taken, in reads of any size; lines of the body do not count."""
        head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 900
        body = b"\n" * 50_000
        whole = head + b"Content-Length: 50000\r\n\r\n" + body
        for size in (len(whole), 1_000, 4_096, 5_000, 17):
            self.setUp()
            for at in range(0, len(whole), size):
                self.protocol.dataReceived(whole[at : at + size])
            self.assertFalse(self.transport.aborted)
            response = self.successResultOf(self.answer)
            reader = Body(1 << 20)
            response.deliverBody(reader)
            self.assertEqual(self.successResultOf(reader.whole), body)

    def test_what_follows_an_answer(self) -> None:
        """It is not taken for the answer to the next request, which is sent when this one is read."""
        again: list[Any] = []

        def ask(response: Any) -> Any:
            reader = Body(1 << 20)
            response.deliverBody(reader)
            reader.whole.addCallback(lambda _body: again.append(self.ask()))
            return response

        self.answer.addCallback(ask)
        one = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: " + b"x" * 4_040 + b"\r\n\r\n{}"
        self.protocol.dataReceived(one + b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother" * 200)
        if again:
            self.assertNoResult(again[0])
