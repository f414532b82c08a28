"""Milky's events as server-sent events, over transports in memory."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.accounts.milky.event_stream import StreamPlan
from lgtwist.accounts.milky.sse import SseStream
from lgtwist.config.limits import Limits
from lgtwist.net.backoff import Backoff
from lgtwist.runtime.budget import Budget
from lgtwist.runtime.turns import FlushScheduler
from tests.journal.fakes import Lines

STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(number: int, name: str = "milky_event") -> bytes:
    return b'event: %b\ndata: {"n":%d}\n\n' % (name.encode(), number)


class Listener:
    """Keeps what comes; pauses the stream at an event if it is told to."""

    def __init__(self, scheduler: FlushScheduler) -> None:
        self.budget = Budget(1 << 20)
        self.scheduler = scheduler
        self.numbers: list[int] = []
        self.batches: list[bool] = []
        self.ends: list[tuple[int | None, str]] = []
        self.failures: list[str] = []
        self.openings = 0
        self.pause_at: int | None = None
        self.fail_at: int | None = None
        self.stream: Any = None

    def opened(self) -> None:
        self.openings += 1

    def frame(self, frame: bytes) -> None:
        self.numbers.append(json.loads(frame)["n"])
        self.batches.append(self.scheduler.reading)
        if self.numbers[-1] == self.pause_at:
            self.stream.pause()
        if self.numbers[-1] == self.fail_at:
            raise ZeroDivisionError

    def closed(self, code: int | None, reason: str) -> None:
        self.ends.append((code, reason))

    def failed(self, reason: str) -> None:
        self.failures.append(reason)


class Connection:
    """One TCP connection of ours, with the server's end in the test's hands."""

    def __init__(self, reactor: Any) -> None:
        _host, _port, factory, _timeout, _bind = reactor.tcpClients.pop()
        self.reactor = reactor
        self.protocol = factory.buildProtocol(None)
        self.transport: Any = StringTransport()
        self.lost = False
        self.transport.abortConnection = lambda: reactor.callLater(0, self.lose)
        self.transport.loseConnection = self.transport.abortConnection
        self.protocol.makeConnection(self.transport)

    @property
    def request(self) -> str:
        return str(self.transport.value().decode())

    @property
    def paused(self) -> bool:
        return bool(self.transport.producerState == "paused")

    def send(self, data: bytes) -> None:
        assert not self.paused
        assert not self.lost
        self.protocol.dataReceived(data)
        self.reactor.advance(0)

    def lose(self, reason: Exception | None = None) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.connectionLost(Failure(reason or ConnectionLost()))


class SseTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = Lines(self)
        self.reactor = MemoryReactorClock()
        self.limits = Limits()
        scheduler = FlushScheduler(self.reactor)
        self.listener = Listener(scheduler)
        plan = StreamPlan(
            name="account 10001",
            url="http://127.0.0.1:3010/milky",
            headers={"Authorization": "Bearer SECRET"},
            backoff=Backoff(1, 60, lambda low, _high: low),
        )
        resources: Any = SimpleNamespace(reactor=self.reactor, limits=self.limits, scheduler=scheduler)
        self.stream = self.listener.stream = SseStream(plan, self.listener, resources)

    def dialled(self) -> Connection:
        return Connection(self.reactor)

    def open(self) -> Connection:
        self.stream.start()
        connection = self.dialled()
        connection.send(STREAM)
        return connection

    def close(self, code: int, reason: str) -> None:
        self.stream.close(code, reason)
        self.reactor.advance(0)

    def gap(self) -> float:
        left = self.stream.state().next_attempt_in
        assert left is not None
        return round(left, 1)


class OpeningTests(SseTestCase):
    def test_request(self) -> None:
        """A GET below the prefix, with the token and what is wanted."""
        connection = self.open()
        head = connection.request
        self.assertTrue(head.startswith("GET /milky/event HTTP/1.1\r\n"))
        for line in ("Accept: text/event-stream", "Authorization: Bearer SECRET", "Host: 127.0.0.1:3010"):
            self.assertIn(f"{line}\r\n", head)
        state = self.stream.state()
        self.assertEqual((state.target, state.connected), ("http://127.0.0.1:3010/milky/event", True))
        self.assertEqual((state.attempts, state.opened, self.listener.openings), (1, 1, 1))

    def test_refusals(self) -> None:
        """Each is named, once, with what it mostly means; the gaps grow; the token is nowhere."""
        self.stream.start()
        for status, gap in ((401, 1), (401, 2), (404, 4), (302, 8), (204, 16), (500, 32)):
            connection = self.dialled()
            location = b"Location: http://x/?token=SECRET\r\n" if status == 302 else b""
            connection.send(b"HTTP/1.1 %d No\r\n%bContent-Length: 0\r\n\r\n" % (status, location))
            self.assertEqual(self.listener.failures[-1].partition(" (")[0], f"refused with HTTP {status}")
            self.assertEqual(self.stream.state().last_reason, f"refused with HTTP {status}")
            self.assertAlmostEqual(self.gap(), gap, delta=gap / 4)
            self.assertTrue(connection.lost)
            self.reactor.advance(self.gap() + 1)
        self.assertEqual(len(self.lines.all("HTTP 401", "access_token")), 1)
        self.assertEqual(len(self.lines.all("HTTP 404", "url must be", "prefix")), 1)
        self.assertEqual(len([words for words in self.listener.failures if "access_token must" in words]), 2)
        self.assertEqual(self.lines.all("SECRET"), [])
        self.assertEqual((self.listener.openings, self.listener.ends), (0, []))

    def test_a_body_that_does_not_end(self) -> None:
        """A refusal whose body goes on is ended by us."""
        self.stream.start()
        connection = self.dialled()
        connection.send(b"HTTP/1.1 403 No\r\nContent-Length: 1000000000\r\n\r\nx")
        self.assertTrue(connection.lost)
        [reason] = self.listener.failures
        self.assertTrue(reason.startswith("refused with HTTP 403"), reason)

    def test_another_media_type(self) -> None:
        """A page is no stream."""
        self.stream.start()
        self.dialled().send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>")
        [reason] = self.listener.failures
        self.assertIn("text/html, not text/event-stream", reason)

    def test_no_answer(self) -> None:
        """The head has a time limit; the back-off goes on."""
        self.stream.start()
        connection = self.dialled()
        self.reactor.advance(100)
        self.reactor.advance(0)
        self.assertTrue(connection.lost)
        self.assertIn("no answer within", self.listener.failures[0])

    def test_no_connection(self) -> None:
        """It is tried again, with one line."""
        self.stream.start()
        for _ in range(3):
            _host, _port, factory, _timeout, _bind = self.reactor.tcpClients.pop()
            factory.clientConnectionFailed(self.reactor.connectors[-1], Failure(ConnectionRefusedError()))
            self.reactor.advance(1)  # for another address of the host
            self.reactor.advance(self.gap() + 0.1)
        self.assertIn("refused", self.listener.failures[0])
        self.assertEqual(len(self.lines.all("cannot connect")), 1)

    def test_no_http(self) -> None:
        """It is a failure as others are."""
        self.stream.start()
        connection = self.dialled()
        connection.send(b"SSH-2.0-OpenSSH\r\n\r\n")
        self.assertEqual(len(self.listener.failures), 1)
        self.assertTrue(connection.lost)

    def test_head_without_end(self) -> None:
        """It is ended long before memory is."""
        self.stream.start()
        connection = self.dialled()
        for _ in range(10):
            if not connection.lost:
                connection.send(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: y\r\n" * 8000)
        self.assertTrue(connection.lost)
        self.assertEqual(len(self.listener.failures), 1)


class EventTests(SseTestCase):
    def test_names(self) -> None:
        """Milky's, and that of older LLBots; others are none of ours. All of one read are one batch."""
        connection = self.open()
        stream = event(1) + event(2, "message") + b'data: {"n":3}\n\n' + event(4, "ping") + b": heartbeat\n\n"
        connection.send(chunk(stream[:20]) + chunk(stream[20:]))
        self.assertEqual(self.listener.numbers, [1, 2, 3])
        self.assertEqual(self.listener.batches, [True] * 3)
        self.assertEqual(self.listener.budget.used, 0)

    def test_many_in_one_read(self) -> None:
        """They stay in order."""
        connection = self.open()
        connection.send(chunk(b"".join(map(event, range(1000)))))
        self.assertEqual(self.listener.numbers, list(range(1000)))

    def test_pause(self) -> None:
        """What was read stays, in order, and is counted; nothing more is read."""
        connection = self.open()
        self.listener.pause_at = 2
        connection.send(chunk(b"".join(map(event, range(1, 6)))))
        self.assertEqual(self.listener.numbers, [1, 2])
        self.assertTrue(connection.paused)
        self.assertGreater(self.listener.budget.used, 0)
        self.listener.pause_at = 4
        self.stream.resume()
        self.assertEqual(self.listener.numbers, [1, 2, 3, 4])
        self.assertTrue(connection.paused)
        self.stream.resume()
        self.assertEqual(self.listener.numbers, [1, 2, 3, 4, 5])
        self.assertFalse(connection.paused)
        self.assertEqual(self.listener.budget.used, 0)

    def test_the_end_of_a_paused_stream(self) -> None:
        """What was received is handed over; the next stream is not paused."""
        connection = self.open()
        self.listener.pause_at = 1
        connection.send(chunk(event(1) + event(2)))
        connection.lose()
        self.assertEqual(self.listener.numbers, [1, 2])
        self.assertEqual(len(self.listener.ends), 1)
        self.assertEqual(self.listener.budget.used, 0)
        self.reactor.advance(2)
        connection = self.dialled()
        connection.send(STREAM + chunk(event(3)))
        self.assertEqual(self.listener.numbers, [1, 2, 3])

    def test_too_large(self) -> None:
        """An event over max_message ends the stream; what is kept of it is counted."""
        connection = self.open()
        connection.send(chunk(b"data: " + b"x" * 1000))
        self.assertEqual(self.listener.budget.used, 1006)
        for _ in range(40):
            if not connection.lost:
                self.listener.budget.limit = 1 << 40
                connection.send(chunk(b"x" * (1 << 20)))
        self.assertTrue(connection.lost)
        self.assertIn("max_message", self.listener.ends[0][1])
        self.assertEqual(self.listener.budget.used, 0)

    def test_no_room(self) -> None:
        """In the middle of an event it is read on only when it is its turn."""
        connection = self.open()
        others: Any = SimpleNamespace(budget_freed=lambda: None)
        budget = self.listener.budget
        budget.charge(1 << 20)
        self.assertTrue(budget.may_read(others))
        connection.send(chunk(b'data: {"n"'))
        self.assertTrue(connection.paused)
        budget.message_ended(others)
        budget.release(1 << 20)
        self.assertFalse(connection.paused)
        connection.send(chunk(b":7}\n\n"))
        self.assertEqual(self.listener.numbers, [7])

    def test_a_listener_that_fails(self) -> None:
        """It costs the connection, and is dialled again."""
        connection = self.open()
        self.listener.fail_at = 1
        connection.send(chunk(event(1)))
        self.assertTrue(connection.lost)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsNotNone(self.stream.state().next_attempt_in)


class EndTests(SseTestCase):
    def test_ends(self) -> None:
        """By the server, by TCP; each is told once, and it is dialled again."""
        connection = self.open()
        connection.send(b"0\r\n\r\n")
        self.assertEqual(self.listener.ends, [(None, "the server ended the stream")])
        self.reactor.advance(2)
        connection = self.dialled()
        connection.send(STREAM)
        connection.lose(ConnectionDone())
        self.assertEqual(self.listener.ends[1:], [(None, "the connection ended")])
        self.assertEqual(self.listener.openings, 2)

    def test_backoff(self) -> None:
        """It begins anew only after a stream that lasted."""
        self.stream.start()
        gaps = []
        for lasts in (0, 0, 0, 10, 0, 0):
            connection = self.dialled()
            connection.send(STREAM)
            self.reactor.advance(lasts)
            connection.lose()
            gaps.append(self.gap())
            self.reactor.advance(gaps[-1] + 1)
        self.assertLess(gaps[0], gaps[1])
        self.assertLess(gaps[1], gaps[2])
        self.assertLessEqual(gaps[3], 1.2)
        self.assertLess(gaps[4], gaps[5])

    def test_streams_that_end_at_once(self) -> None:
        """The log says so, once."""
        self.stream.start()
        for _ in range(8):
            connection = self.dialled()
            connection.send(STREAM)
            connection.lose()
            self.reactor.advance(self.gap() + 1)
        self.assertEqual(len(self.lines.all("ends them at once")), 1)

    def test_heartbeats_that_stop(self) -> None:
        """Their period is learned; three periods of silence end the stream, events count as well."""
        connection = self.open()
        for _ in range(3):
            self.reactor.advance(60)
            connection.send(chunk(b": heartbeat\n\n"))
        self.reactor.pump([10] * 17)
        connection.send(chunk(event(1)))
        self.reactor.pump([10] * 17)
        self.assertFalse(connection.lost)
        self.reactor.pump([10] * 2)
        self.reactor.advance(0)
        self.assertTrue(connection.lost)
        self.assertIn("no heartbeat for 180 s", self.listener.ends[0][1])

    def test_no_heartbeats(self) -> None:
        """A server that sends none may be silent; nothing is learned of comments that come together."""
        connection = self.open()
        connection.send(chunk(b": hello\n\n: there\n\n"))
        connection.send(chunk(b": again\n\n"))
        self.reactor.pump([100] * 100)
        self.assertFalse(connection.lost)

    def test_silence_while_it_is_paused(self) -> None:
        """That is ours."""
        connection = self.open()
        for _ in range(3):
            self.reactor.advance(10)
            connection.send(chunk(b": heartbeat\n\n"))
        self.stream.pause()
        self.reactor.pump([10] * 20)
        self.stream.resume()
        self.reactor.pump([10] * 2)
        self.assertFalse(connection.lost)
        self.reactor.pump([10] * 3)
        self.assertTrue(connection.lost)

    def test_close(self) -> None:
        """After 1008 the gaps go on growing, and the reason is shown; after others it is as any end."""
        self.open()
        self.reactor.advance(10)
        self.close(1008, "wrong token")
        self.assertEqual(self.listener.ends, [(None, "wrong token")])
        self.assertEqual(self.stream.state().last_reason, "wrong token")
        first = self.gap()
        self.reactor.advance(2)
        self.dialled().send(STREAM)
        self.reactor.advance(10)
        self.close(1008, "wrong token")
        self.assertGreater(self.gap(), first)
        self.reactor.advance(10)
        self.dialled().send(STREAM)
        self.reactor.advance(10)
        self.close(1000, "no answer")
        self.assertLessEqual(self.gap(), 1.2)


class StopTests(SseTestCase):
    def test_stop_an_open_stream(self) -> None:
        """TCP is over, and nothing is dialled any more."""
        connection = self.open()
        stopped = self.stream.stop()
        self.assertNoResult(stopped)
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertTrue(connection.lost)
        self.assertEqual(len(self.listener.ends), 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_at_any_moment(self) -> None:
        """While TCP connects, while the answer is awaited, between two attempts, before the start."""
        self.successResultOf(self.stream.stop())
        self.stream.start()
        self.successResultOf(self.stream.stop())
        self.reactor.tcpClients.clear()
        self.stream.start()
        connection = self.dialled()
        stopped = self.stream.stop()
        self.assertNoResult(stopped)
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertTrue(connection.lost)
        self.stream.start()
        self.dialled().lose()
        self.assertIsNotNone(self.stream.state().next_attempt_in)
        self.successResultOf(self.stream.stop())
        self.assertIsNone(self.stream.state().next_attempt_in)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.lines.all("cannot connect")[1:], [])

    def test_retire(self) -> None:
        """An open stream stays; an attempt is given up; it is idle when it is over."""
        connection = self.open()
        self.stream.retire()
        idle = self.stream.when_idle()
        connection.send(chunk(event(1)))
        self.assertEqual(self.listener.numbers, [1])
        self.assertNoResult(idle)
        connection.lose()
        self.successResultOf(idle)
        self.assertIsNone(self.stream.state().next_attempt_in)
        self.stream.start()
        connection = self.dialled()
        self.stream.retire()
        self.reactor.advance(0)
        self.assertTrue(connection.lost)
        self.successResultOf(self.stream.when_idle())
