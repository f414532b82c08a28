"""Heads of HTTP answers that never end."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI
from twisted.web.http_headers import Headers

from lgtwist.net import http_client
from lgtwist.net.http_client import BoundedPool


class _Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class HeadTests(SynchronousTestCase):
    def setUp(self) -> None:
        from twisted.web._newclient import Request

        pool: Any = BoundedPool(None, True)
        self.protocol: Any = pool._factory(lambda _protocol: None, "").buildProtocol(None)
        self.transport = _Transport()
        self.protocol.makeConnection(self.transport)
        uri = URI.fromBytes(b"http://h/")
        headers = Headers({b"host": [uri.netloc]})
        self.answer = self.protocol.request(Request(b"GET", uri.path, headers, None, persistent=True))

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
            reader = http_client.Body(1 << 20)
            response.deliverBody(reader)
            self.assertEqual(self.successResultOf(reader.whole), body)
