"""Heads and bodies that cannot be read, or may be read in two ways: a status and a sentence."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.rounds import quick
from tests.web.site_case import Peer, SiteTestCase, request

_FIRST = b"POST /get_status HTTP/1.1\r\n"
_HOST = b"Host: localhost\r\n"
_JSON = b"Content-Type: application/json\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
_TWO = b"Content-Length: 2\r\n"

#: Heads (without the empty line) and bodies, the status, and a part of the sentence.
REFUSED: list[tuple[bytes, int, str]] = [
    (_FIRST + _HOST + _HOST + _JSON + _TWO + b"\r\n{}", 400, "Host is there twice"),
    (_FIRST + _HOST + b"Host: evil\r\n" + _TWO + b"\r\n{}", 400, "Host is there twice"),
    (_FIRST + _JSON + _TWO + b"\r\n{}", 400, "Host is missing"),
    (_FIRST + _HOST + _CHUNKED + _TWO + b"\r\n2\r\n{}\r\n0\r\n\r\n", 400, "exclude each other"),
    (_FIRST + _HOST + _TWO + _CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n", 400, "exclude each other"),
    (_FIRST + _HOST + b"Transfer-Encoding: identity\r\n" + _TWO + b"\r\n{}", 400, "chunked"),
    (_FIRST + _HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400, "chunked"),
    (_FIRST + _HOST + b"Transfer-Encoding: \xff\r\n\r\n", 400, "chunked"),
    (_FIRST + _HOST + _CHUNKED + _CHUNKED + b"\r\n", 400, "Transfer-Encoding is there twice"),
    (_FIRST + _HOST + _TWO + _TWO + b"\r\n{}", 400, "Content-Length is there twice"),
    *(
        (_FIRST + _HOST + b"Content-Length: " + length + b"\r\n\r\n{}", 400, "not a number")
        for length in (b"+2", b"-2", b"", b"x", b"2, 2", b"0x2", b"2.0", b"1e3", "٢".encode(), b"2\r\n 2")
    ),
    (_FIRST + _HOST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 413, "max_message"),
    (_FIRST + _HOST + b"Content-Length: 99999999999\r\n\r\n{}", 413, "max_message"),
    (_FIRST + _HOST + _CHUNKED + b"\r\nzz\r\n", 400, "chunked body"),
    (_FIRST + _HOST + _CHUNKED + b"\r\n-2\r\n{}\r\n", 400, "chunked body"),
    (_FIRST + _HOST + _CHUNKED + b"\r\n2\r\n{}XX", 400, "chunked body"),
    (_FIRST + _HOST + _CHUNKED + b"\r\n" + b"f" * 2000 + b"\r\n", 400, "chunked body"),
    (_FIRST + _HOST + b"X: a\nY: b\r\n\r\n", 400, "malformed"),
    (_FIRST + _HOST + b"X: a\rY: b\r\n\r\n", 400, "malformed"),
    (_FIRST + _HOST + b"X: a\0b\r\n\r\n", 400, "malformed"),
    (_FIRST + _HOST + b"no colon\r\n\r\n", 400, "malformed"),
    (_FIRST + b" Host: folded\r\n\r\n", 400, "malformed"),
    (_FIRST + _HOST + b"Transfer-Encoding : chunked\r\n\r\n", 400, "malformed"),
    (_FIRST + _HOST + b"\n", 400, "CR LF"),
    (_FIRST + _HOST + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431, "65536"),
    (_FIRST + _HOST + b"X: y\r\n" * 600 + b"\r\n", 431, "500 lines"),
    (_FIRST + _HOST + (b"X: " + b"y" * 10_000 + b"\r\n") * 8 + b"\r\n", 431, "65536 bytes"),
    (b"GET /get_status?" + b"x" * 70_000, 414, "65536"),
    (b"GET /get_status HTTP/1.1\nHost: localhost\n\n", 400, "CR LF"),
    (b"GET /get_status?a=b c HTTP/1.1\r\n" + _HOST + b"\r\n", 400, "malformed, its first line: a blank"),
    (b"GET /get_status HTTP/2.0\r\n" + _HOST + b"\r\n", 400, "none of HTTP 1.1 and 1.0"),
    (b"GET /get_status\r\n", 400, "a method, a target and a version"),
    ("GÉT /get_status HTTP/1.1\r\n".encode() + _HOST + b"\r\n", 400, "malformed"),
    (_FIRST + _HOST + b"Content-Encoding: gzip\r\n" + _TWO + b"\r\n{}", 415, "Content-Encoding"),
    (_FIRST + _HOST + b"Content-Encoding: identity, br\r\n" + _CHUNKED + b"\r\n", 415, "Content-Encoding"),
]
#: The same, of whose first line no action can be read.
NAMELESS: list[tuple[bytes, int, str]] = [
    (b"x" * 70_000, 414, "65536"),
    (b"GET /healthz?" + b"x" * 70_000, 414, "65536"),
    (b"GET /\r\n\r\n", 400, "malformed"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed"),
    (b"\x16\x03\x01\x02\x00\x01\r\n", 400, "malformed, its first line: it is TLS"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300), 400, "malformed: it is TLS"),
    (b"\r\n\r\n\r\n", 400, "malformed"),
    (b"POST /sandbox/10001/say HTTP/1.1\r\n" + _HOST + _HOST + b"\r\n", 400, "Host is there twice"),
    (b"POST /event HTTP/1.1\r\n" + _HOST + b"Content-Length: 99999999999\r\n\r\n", 413, "max_message"),
]


class FramingTests(SiteTestCase):
    def check(self, sent: bytes, status: int, step: int = 0) -> Peer:
        """What is sent, at once or by so many bytes, gets one answer, after which the connection closes."""
        port = Peer(self)
        for place in range(0, len(sent), step or len(sent)):
            port.send(sent[place : place + (step or len(sent))])
        self.assertEqual(port.status(), status, sent[:200])
        port.send(request("/get_status"))
        self.assertEqual(port.read().count(b"HTTP/1.1 "), 1, sent[:200])
        self.assertIn("connection: close", port.headers())
        self.assertTrue(port.transport.write_closed, sent[:200])
        self.clock.advance(6)
        self.assertTrue(port.transport.aborted, "it does not linger for ever")
        port.lose()
        return port

    def test_refusals(self) -> None:
        """Where an action is asked for, the sentence is in JSON, as of every action."""
        for sent, status, sentence in REFUSED:
            for step in (0, 999):
                answer = json.loads(self.check(sent, status, step).body())
                self.assertEqual((answer["status"], answer["retcode"]), ("failed", 1400), sent[:200])
                self.assertIn(sentence, answer["message"])

    def test_refusals_of_what_has_no_name(self) -> None:
        """Elsewhere it is a line of text."""
        for sent, status, sentence in NAMELESS:
            port = self.check(sent, status)
            self.assertIn("content-type: text/plain", port.headers())
            self.assertIn(sentence, port.body())

    def test_what_is_well(self) -> None:
        """What looks odd and can be read in one way only is answered."""
        for sent in (
            _FIRST + _HOST + _JSON + b"Content-Length: 0002\r\n\r\n{}",
            _FIRST
            + _HOST
            + _JSON
            + b"Transfer-Encoding:\r\n Chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nX: y\r\n\r\n",
            b"\r\n" + _FIRST + _HOST + _JSON + _TWO + b"\r\n{}",
            b"GET /get_status HTTP/1.1\r\nhost:\tlocalhost:8081\t\r\nX: a\r\n b\r\n\r\n",
            b"GET /get_status HTTP/1.0\r\nHost: localhost\r\n\r\n",
            b"GET /get_status?" + b"x" * 65_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /get_status?" + "你".encode() * 21_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nCookie: " + b"x" * 65_000 + b"\r\n\r\n",
            _FIRST + _HOST + _JSON + b"Content-Encoding: identity\r\n" + _TWO + b"\r\n{}",
            _FIRST + _HOST + b"Content-Encoding: gzip\r\n\r\n",
        ):
            self.assertEqual(Peer(self).send(sent).status(), 200, sent)

    def test_headers_that_are_no_utf_8(self) -> None:
        """They are headers like others: nothing is raised wherever they are looked up."""
        for name in ("User-Agent", "Upgrade", "Connection", "Origin", "Content-Type", "Referer", "X-Self-ID",
                     "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Last-Event-ID", "Expect", "Cookie",
                     "X-Client-Role", "X-Signature"):  # fmt: skip
            for path in (
                "/get_status",
                "/",
                "/onebot/v11/ws",
                "/onebot/v11/post",
                "/sandbox/10001/transcript",
            ):
                for method in (b"GET", b"POST", b"OPTIONS"):
                    head = b"%b %b HTTP/1.1\r\n" % (method, path.encode())
                    port = Peer(self).send(head + _HOST + _TWO + name.encode() + b": \xff\xfe\r\n\r\n{}")
                    self.assertLess(port.status(), 500, (name, path, method))
                    port.lose()

    def test_what_a_handler_raises(self) -> None:
        """It gets 500 with a sentence and leaves nothing; a thousand times it is one line."""
        actions: Any = self.service._http_api
        self.patch(actions, "perform", lambda *_args: 1 // 0)
        for _ in range(50):
            port = self.get("/get_status")
            self.assertEqual(port.status(), 500)
            answer = json.loads(port.body())
            self.assertEqual(
                (answer["retcode"], answer["message"]), (1500, "lgtwist failed; its log says why")
            )
            port.lose()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_the_reading_of_a_request_raises(self) -> None:
        """It gets 400, does not leave its connection, and is one line."""
        self.patch(self.site, "body_budget", lambda *_args: 1 // 0)
        for _ in range(50):
            port = Peer(self).send(_FIRST + _HOST + _TWO + b"\r\n")
            self.assertEqual(port.status(), 400)
            port.lose()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @quick
    @given(
        st.sampled_from(REFUSED + NAMELESS), st.integers(0, 300), st.binary(max_size=4), st.integers(1, 400)
    )
    def test_any_bytes(self, case: tuple[bytes, int, str], place: int, odd: bytes, step: int) -> None:
        """Whatever comes, in whatever pieces: nothing is raised or logged, and nothing is left behind."""
        sent = case[0][:place] + odd + case[0][place:]
        port = Peer(self)
        for start in range(0, len(sent), step):
            port.send(sent[start : start + step])
        answer = port.read()
        self.assertTrue(not answer or answer.startswith(b"HTTP/1."), answer[:100])
        if not port.transport.disconnected:
            port.lose()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.service.port.connection_limits.open_connections, 0)
