"""Bodies and answers of HTTP requests are counted in the peer's budget, and let go exactly once."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.auth import sign
from lgtwist.runtime.budget import Budget
from lgtwist.web.bodies import PeerBodies, UnverifiedBodies
from tests.rounds import quick
from tests.web.site_case import Peer, SiteTestCase, request

MIB = 1 << 20


class Upload:
    """The body of a request."""

    def __init__(self, bodies: Any) -> None:
        self.bodies = bodies
        self.size = 0
        self.refused = 0

    def more(self, size: int) -> None:
        if not self.refused:
            self.size += size
            self.bodies.charge(self, size)

    def refuse(self, _sentence: str) -> None:
        self.refused += 1
        self.forget()

    def forget(self) -> None:
        size, self.size = self.size, 0
        self.bodies.forget(self, size)

    def budget_freed(self) -> None:
        pass


class BodiesTests(SynchronousTestCase):
    def test_one_may_be_over(self) -> None:
        """What does not fit is refused, but for one body, which may be as large as a message may be."""
        budget = Budget(100)
        first, second, third = (Upload(PeerBodies(budget, "x")) for _ in range(3))
        first.more(60)
        second.more(60)
        third.more(1)
        self.assertEqual((first.refused, second.refused, third.refused), (0, 0, 1))
        second.more(1000)
        first.more(1)
        self.assertEqual((first.refused, second.refused, budget.used), (1, 0, 1060))
        second.forget()
        again = Upload(PeerBodies(budget, "x"))
        again.more(1000)
        self.assertEqual((again.refused, budget.used), (0, 1000))

    def test_unverified_ones_make_room(self) -> None:
        """The one that began first goes; the last one may be larger than the share."""
        account = Budget(400)
        bodies = UnverifiedBodies(account)
        slow, other, quick_one = (Upload(bodies) for _ in range(3))
        slow.more(90)
        other.more(5)
        quick_one.more(20)
        self.assertEqual((slow.refused, other.refused, quick_one.refused), (1, 0, 0))
        quick_one.forget()
        other.more(500)
        self.assertEqual((other.refused, bodies.used, account.used), (0, 505, 0))

    @quick
    @given(
        st.booleans(),
        st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["more", "end"]), st.integers(1, 150))),
    )
    def test_any_order(self, verified: bool, steps: list[tuple[int, str, int]]) -> None:
        """The sum is right, never negative, at most the limit and one body, and zero in the end."""
        budget = Budget(400 if not verified else 100)
        bodies = PeerBodies(budget, "x") if verified else UnverifiedBodies(budget)
        counter: Any = budget if verified else bodies
        uploads = [Upload(bodies) for _ in range(5)]
        for number, step, size in steps:
            if step == "more":
                uploads[number].more(size)
            else:
                uploads[number].forget()
                uploads[number] = Upload(bodies)
            sizes = [one.size for one in uploads]
            self.assertEqual(counter.used, sum(sizes))
            self.assertLessEqual(sum(sizes) - max(sizes), 100)
        for one in uploads:
            one.forget()
        self.assertEqual(counter.used, 0)


class PortBudgetTests(SiteTestCase):
    toml = """
        [limits]
        peer_memory = "1MiB"
        max_message = "4MiB"
        idle_timeout = "7s"
        [server]
        admin_token = "boss"
        [[accounts]]
        self_id = 10001
        [[accounts]]
        self_id = 6
        type = "http"
        url = "http://127.0.0.1:1/"
        secret = "signing"
        [[bots]]
        name = "x"
        access_token = "bot"
    """

    @property
    def budget(self) -> Budget:
        return self.service.directory.bots["x"].budget

    def head(self, path: str, length: int, **headers: str) -> bytes:
        """A head that announces a body."""
        return request(path, "POST", Content_Length=str(length), **headers)

    def bot(self, length: int, path: str = "/get_status") -> Peer:
        return Peer(self).send(self.head(path, length, Authorization="bot", Content_Type="application/json"))

    def test_a_body(self) -> None:
        """It is counted as it comes and not before, and no more when it was read."""
        port = self.bot(1000)
        self.assertEqual(self.budget.used, 0)
        port.send(b'{"a":"' + b"x" * 300)
        self.assertEqual(self.budget.used, 306)
        port.send(b"x" * 692 + b'"}')
        self.assertEqual(port.status(), 200)
        self.assertEqual(self.budget.used, 0)
        port.send(request("/get_status", Authorization="bot"))
        self.assertEqual(port.read().count(b"200 OK"), 2)

    def test_a_connection_that_is_lost(self) -> None:
        """What came of its body is let go, once."""
        port = self.bot(1000).send(b"x" * 300)
        port.lose()
        self.assertEqual(self.budget.used, 0)

    def test_a_body_that_does_not_fit(self) -> None:
        """503 with the bound's name, and what it held is let go at once; the first may be larger than all."""
        first = self.bot(3 * MIB).send(b'{"a":"' + b"x" * (2 * MIB))
        second = self.bot(2 * MIB).send(b"x" * 10)
        self.assertEqual(second.status(), 503)
        self.assertIn("retry-after: 3", second.headers())
        answer = json.loads(second.body())
        self.assertEqual((answer["status"], answer["retcode"]), ("failed", 1429))
        self.assertIn("peer_memory", answer["message"])
        self.assertEqual(self.budget.used, 2 * MIB + 6)
        second.lose()
        self.assertEqual(self.budget.used, 2 * MIB + 6)
        first.send(b"x" * (MIB - 8) + b'"}')
        self.assertEqual(first.status(), 200)
        self.assertEqual(self.budget.used, 0)
        self.assertEqual(self.bot(2 * MIB).send(b'{"a":"' + b"x" * (2 * MIB - 8) + b'"}').status(), 200)

    def test_a_body_that_is_too_long(self) -> None:
        """It is let go with its 413."""
        port = Peer(self).send(
            request("/get_x", "POST", Authorization="bot", Transfer_Encoding="chunked") + b"500000\r\n"
        )
        for _ in range(5):
            port.send(b"x" * MIB)
        self.assertEqual(port.status(), 413)
        self.assertEqual(self.budget.used, 0)

    def test_the_sandbox(self) -> None:
        """The bodies of its control are counted for the account."""
        account = self.service.directory.accounts[10001].budget
        port = Peer(self).send(self.head("/sandbox/10001/say", 100, Authorization="boss") + b"x" * 50)
        self.assertEqual((account.used, self.budget.used), (50, 0))
        port.send(b"x" * 50)
        self.assertEqual((port.status(), account.used), (400, 0))

    def test_posts(self) -> None:
        """Unchecked ones have a quarter: the oldest gets 503, and the genuine one is taken."""
        account = self.service.directory.accounts[6].budget
        named = {"X_Self_ID": "6", "X_Signature": "sha1=00"}
        oldest, *others = [
            Peer(self).send(self.head("/onebot/v11/post", MIB, **named) + b"x" * 60_000) for _ in range(5)
        ]
        self.assertEqual(oldest.status(), 503)
        self.assertIn("retry-after: 3", oldest.headers())
        self.assertIn("(peer_memory)", oldest.body())
        self.assertEqual([one.read() for one in others], [b""] * 4)
        self.assertEqual(account.used, 0, "they are not the implementation's")
        event = json.dumps({"time": 1, "self_id": 6, "post_type": "x", "pad": "x" * 50_000}).encode()
        signature = sign("signing", event)
        port = Peer(self).send(
            request("/onebot/v11/post", "POST", event, X_Self_ID="6", X_Signature=signature)
        )
        self.assertEqual(port.status(), 204)
        large = json.dumps({"time": 1, "self_id": 6, "post_type": "x", "pad": "x" * 3 * MIB}).encode()
        signature = sign("signing", large)
        port = Peer(self).send(
            request("/onebot/v11/post", "POST", large, X_Self_ID="6", X_Signature=signature)
        )
        self.assertEqual(port.status(), 204)
        self.assertEqual([one.status() for one in others], [503] * 4)
        [bodies] = self.service.port._router._mounts["onebot"]._unverified.values()  # type: ignore[attr-defined]
        self.assertEqual((bodies.used, account.used), (0, 0))

    # -- answers

    def large(self) -> bytes:
        """A request with an answer of more than 300 kB."""
        said = self.get(
            "/sandbox/10001/say",
            "POST",
            json.dumps({"user_id": 20001, "message": "x" * 300_000}).encode(),
            Authorization="boss",
        )
        number = json.loads(said.body())["message_id"]
        return request(f"/get_msg?message_id={number}", Authorization="bot")

    def test_an_answer_that_nobody_reads(self) -> None:
        """It is counted until it is taken; no request behind it is answered before; in portions."""
        asked = self.large()
        done = self.service.directory.bots["x"].counters
        before = done.actions
        port = Peer(self).send(asked * 3)
        self.assertGreater(self.budget.used, 300_000)
        self.assertLess(self.budget.used, 1_000_000)
        self.assertLess(port.transport.waiting, 200_000)
        self.assertEqual(done.actions, before + 1)
        self.assertEqual(port.read().count(b"200 OK"), 3)
        self.assertEqual((self.budget.used, done.actions), (0, before + 3))
        self.assertFalse(port.transport.paused)
        port.send(request("/get_status", Authorization="bot"))
        self.assertEqual(port.read().count(b"200 OK"), 4)

    def test_many_small_answers_that_nobody_reads(self) -> None:
        """Requests behind them wait, too, and nothing more is read until they are taken."""
        done = self.service.directory.bots["x"].counters
        port = Peer(self).send(request("/get_status", Authorization="bot") * 500)
        answered = done.actions
        self.assertLess(answered, 400)
        self.assertTrue(port.transport.paused)
        self.clock.advance(6)
        self.assertFalse(port.transport.aborted)
        self.assertEqual(port.read().count(b"200 OK"), 500)
        self.assertEqual((done.actions, self.budget.used), (500, 0))

    def test_what_comes_behind_an_unread_answer(self) -> None:
        """It is read up to a bound only, while the answer waits in portions."""
        port = Peer(self).send(self.large())
        for _ in range(3):
            self.assertFalse(port.transport.paused)
            port.send(request("/get_status", Authorization="bot", X_Pad="x" * 8_000))
        self.assertTrue(port.transport.paused)
        self.assertEqual(port.read().count(b"200 OK"), 4)

    def test_an_answer_that_nobody_takes(self) -> None:
        """Its connection is aborted after idle_timeout, and nothing is counted any more."""
        port = Peer(self).send(self.large() * 2)
        self.clock.advance(6)
        self.assertFalse(port.transport.aborted)
        self.clock.advance(2)
        self.assertTrue(port.transport.aborted)
        port.lose()
        self.assertEqual(self.budget.used, 0)

    def test_a_slow_reader(self) -> None:
        """Who takes a portion now and then is not cut off."""
        port = Peer(self).send(self.large())
        while port.transport.stream:
            self.clock.advance(6)
            self.assertFalse(port.transport.aborted)
            port.transport.taken += port.transport.getOutBuffer() or b""
            port.transport.producer.resumeProducing()
        self.assertEqual(len(port.body()), int(port.headers().partition("content-length: ")[2].split()[0]))

    def test_no_room_for_an_answer(self) -> None:
        """It is refused with 1429, and the connection goes on."""
        asked = self.large()
        self.budget.charge(2 * MIB)
        answer = json.loads(Peer(self).send(asked).body())
        self.assertEqual(answer["retcode"], 1429)
        transcript = self.get("/sandbox/10001/transcript", Authorization="boss")
        self.assertEqual(transcript.status(), 200, "it is another one's budget")
        account = self.service.directory.accounts[10001].budget
        account.charge(2 * MIB)
        refused = self.get("/sandbox/10001/transcript", Authorization="boss")
        self.assertEqual(refused.status(), 503)
        self.assertIn("(peer_memory)", refused.body())
        self.budget.release(2 * MIB)
        account.release(2 * MIB)

    def test_requests_behind_a_slow_one(self) -> None:
        """What comes behind a request that is being answered is read up to a bound."""
        port = self.get("/sandbox/10001/transcript?wait=30&after=99", Authorization="boss")
        for _ in range(3):
            port.send(request("/get_status", Authorization="bot", X_Pad="x" * 8_000))
        self.assertTrue(port.transport.paused)
        self.clock.advance(31)
        self.assertEqual(port.read().count(b"200 OK"), 4)
        self.assertFalse(port.transport.paused)

    def test_a_stream_that_nobody_reads(self) -> None:
        """The transcript's stream waits, is counted, and ends in time."""
        self.large()
        self.large()
        account = self.service.directory.accounts[10001].budget
        port = self.get("/sandbox/10001/transcript/stream", Authorization="boss")
        self.assertLess(port.transport.waiting, 200_000)
        self.assertGreater(account.used, 300_000)
        self.assertLess(account.used, 1_000_000)
        self.clock.advance(8)
        self.assertTrue(port.transport.aborted)
        port.lose()
        self.assertEqual(account.used, 0)

    def test_a_stream_that_is_read(self) -> None:
        """All messages come, and nothing is counted."""
        self.large()
        self.large()
        port = self.get("/sandbox/10001/transcript/stream", Authorization="boss")
        self.assertEqual(port.read().count(b"\ndata: "), 2)
        self.assertEqual(self.service.directory.accounts[10001].budget.used, 0)
        port.lose()
