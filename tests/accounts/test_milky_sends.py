"""The order of sends."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.accounts.milky import sends
from lgtwist.accounts.milky.sends import Sends
from lgtwist.milky.keys import GROUP, Conversation
from lgtwist.onebot.errors import TooManyCalls
from tests.rounds import quick

ONE, TWO = Conversation(GROUP, 30001), Conversation(GROUP, 30002)


class SendsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sends = Sends()
        self.begun: dict[str, Deferred[None]] = {}
        self.ended: dict[str, Any] = {}

    def start(self, name: str, conversation: Conversation | None = ONE) -> Deferred[None]:
        async def run() -> None:
            self.begun[name] = Deferred()
            await self.begun[name]

        done = self.sends.start(conversation, run)
        done.addBoth(lambda result: self.ended.setdefault(name, result) and None)
        return done

    def test_one_after_the_other(self) -> None:
        """Of one conversation; others, and what belongs to none, are begun at once."""
        for name in "abc":
            self.start(name)
        self.start("other", TWO)
        self.start("none", None)
        self.assertEqual(list(self.begun), ["a", "other", "none"])
        self.begun["a"].callback(None)
        self.assertEqual(list(self.begun), ["a", "other", "none", "b"])
        self.begun["b"].errback(ValueError())
        self.assertIn("c", self.begun)
        self.assertTrue(self.ended["b"].check(ValueError))
        self.begun["c"].callback(None)
        self.start("later")
        self.assertIn("later", self.begun)

    def test_cancelled(self) -> None:
        """One that waits is never begun; the end of one that is under way lets the next begin."""
        first = self.start("a")
        second = self.start("b")
        self.start("c")
        second.cancel()
        self.assertTrue(self.ended["b"].check(CancelledError))
        self.assertNotIn("c", self.begun)
        first.cancel()
        self.assertTrue(self.ended["a"].check(CancelledError))
        self.assertEqual(list(self.begun), ["a", "c"])

    def test_many_that_end_at_once(self) -> None:
        """They are no deeper in the stack than one."""
        order: list[int] = []

        def run_at(number: int) -> Any:
            async def run() -> None:
                order.append(number)

            return run

        self.start("a")
        for number in range(5_000):
            self.sends.start(ONE, run_at(number))
        self.begun["a"].callback(None)
        self.assertEqual(order, list(range(5_000)))

    def test_bound(self) -> None:
        self.patch(sends, "MOST_WAITING", 3)
        for name in "abcd":
            self.start(name)
        with self.assertRaises(TooManyCalls):
            self.start("e")
        self.start("other", TWO)
        self.begun["a"].callback(None)
        self.start("f")

    @quick
    @given(st.lists(st.tuples(st.sampled_from(["start", "end", "fail", "cancel"]), st.integers(0, 5))))
    def test_any_order(self, steps: list[tuple[str, int]]) -> None:
        """One of a conversation is under way, in the order of their starts, and each ends once."""
        self.setUp()
        started: list[tuple[str, Deferred[None]]] = []
        for step, number in steps:
            under_way = [name for name in self.begun if name not in self.ended]
            if step == "start":
                started.append((name := str(len(started)), self.start(name)))
            elif step == "cancel" and started:
                started[number % len(started)][1].cancel()
            elif under_way and step == "end":
                self.begun[under_way[0]].callback(None)
            elif under_way and step == "fail":
                self.begun[under_way[0]].errback(ValueError())
            self.assertLessEqual(len([name for name in self.begun if name not in self.ended]), 1)
        self.assertEqual(list(self.begun), sorted(self.begun, key=int))
        while under_way := [name for name in self.begun if name not in self.ended]:
            self.begun[under_way[0]].callback(None)
        self.assertEqual(len(self.ended), len(started))
