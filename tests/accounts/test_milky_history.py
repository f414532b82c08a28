"""What a conversation has behind a message, by pages, from implementations with habits of their own."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.accounts.milky.history import Missed, read_missed
from lgtwist.milky.errors import CallFailed
from lgtwist.milky.keys import FRIEND, GROUP, Conversation
from lgtwist.milky.messages import read_key
from lgtwist.onebot.errors import AccountFailed, LinkBroken, UnknownAction
from tests.accounts.milky_histories import HABITS, LAGRANGE, LLBOT, YOGURT, Histories, message
from tests.rounds import quick

TEAM, ALICE = Conversation(GROUP, 20_001), Conversation(FRIEND, 20_002)


class HistoryTests(SynchronousTestCase):
    def read(
        self, histories: Any, conversation: Conversation, floor: int, most: int = 300, **options: Any
    ) -> Missed:
        missed = Missed()
        reading = read_missed(
            histories, conversation, missed, floor=floor, most=most, key_of=read_key, **options
        )
        self.successResultOf(Deferred.fromCoroutine(reading))
        return missed

    def test_nothing_was_missed(self) -> None:
        """One call says so."""
        for habit in HABITS:
            histories = Histories(habit)
            histories.add(TEAM, *range(1, 101))
            missed = self.read(histories, TEAM, 100)
            self.assertEqual((missed.messages, missed.why_not_all, len(histories.calls)), ({}, "", 1))

    def test_pages(self) -> None:
        """All of several pages, and nothing of before; few calls."""
        for habit in HABITS:
            histories = Histories(habit)
            histories.add(TEAM, *range(1, 201))
            missed = self.read(histories, TEAM, 100)
            self.assertEqual(sorted(missed.messages), list(range(101, 201)), habit)
            self.assertEqual(missed.why_not_all, "")
            self.assertLessEqual(len(histories.calls), 4)

    def test_a_friend(self) -> None:
        """Lagrange answers nothing without a number: it is asked upwards, or from a newer message on."""
        for habit in HABITS:
            for options in ({}, {"is_lagrange": habit == LAGRANGE}):
                for known in (None, 171):
                    histories = Histories(habit)
                    histories.add(ALICE, *range(1, 171))
                    missed = self.read(histories, ALICE, 100, known=known, **options)
                    self.assertEqual(sorted(missed.messages), list(range(101, 171)), (habit, known))
                    self.assertEqual(missed.why_not_all, "")
                    self.assertLessEqual(len(histories.calls), 5)

    def test_holes(self) -> None:
        """A page that is empty is not the end."""
        for habit in HABITS:
            histories = Histories(habit)
            histories.add(TEAM, *range(1, 102), *range(165, 171))
            missed = self.read(histories, TEAM, 100)
            self.assertEqual(sorted(missed.messages), [101, *range(165, 171)], habit)

    def test_a_conversation_that_begins(self) -> None:
        """Number 0 is never asked for."""
        for habit in HABITS:
            histories = Histories(habit)
            histories.add(TEAM, 2, 3)
            self.assertEqual(sorted(self.read(histories, TEAM, 0).messages), [2, 3])
            self.assertLessEqual(len(histories.calls), 2)

    def test_most(self) -> None:
        """The newest are read, and not many more."""
        for habit in HABITS:
            histories = Histories(habit)
            histories.add(TEAM, *range(1, 1001))
            missed = self.read(histories, TEAM, 0, 50)
            self.assertEqual(missed.newest(50), list(range(951, 1001)))
            self.assertEqual(len(histories.calls), 2)

    def test_failures(self) -> None:
        """What is no answer of this conversation is raised; other failures end it, with the reason."""
        errors: list[Exception] = [
            CallFailed(-403, "not logged in", "x"), CallFailed(-404, "no", "x"), UnknownAction("no"),
            LinkBroken("no"),
        ]  # fmt: skip
        histories = Histories(YOGURT)
        for error in errors:
            histories.failure = error
            reading = read_missed(histories, TEAM, Missed(), floor=1, most=10, key_of=read_key)
            self.failureResultOf(Deferred.fromCoroutine(reading), type(error))
        histories.failure = CallFailed(-500, "out of order", "x")
        histories.calls.clear()
        missed = self.read(histories, TEAM, 100)
        self.assertIn("out of order", missed.why_not_all)

    def test_a_failure_in_the_middle(self) -> None:
        """What was read stays; it is not asked without end."""
        histories = Histories(LLBOT)
        histories.add(TEAM, *range(1, 501))
        counted = histories.call

        class Failing:
            calls = 0

            async def call(self, api: str, params: dict[str, Any], /) -> Any:
                self.calls += 1
                if self.calls > 2:
                    raise AccountFailed("HTTP 500")
                return await counted(api, params)

        failing = Failing()
        missed = self.read(failing, TEAM, 100)
        self.assertEqual(sorted(missed.messages), list(range(441, 501)))
        self.assertEqual((missed.why_not_all, failing.calls), ("HTTP 500", 5))

    def test_answers_that_are_none(self) -> None:
        """Other conversations' messages, other types, pages that go nowhere: it ends, with what there is."""
        answers: list[Any] = [
            None, [], {"messages": None}, {"messages": [None, 1, {}]},
            {"messages": [message(ALICE, 7)]},
            {"messages": [message(TEAM, 500)], "next_message_seq": 900},
            {"messages": [message(TEAM, 500)], "next_message_seq": -1},
            {"messages": [message(TEAM, 500)], "next_message_seq": "x"},
        ]  # fmt: skip

        class Odd:
            calls = 0

            def __init__(self, answer: Any) -> None:
                self.answer = answer

            async def call(self, _api: str, _params: dict[str, Any], /) -> Any:
                self.calls += 1
                return self.answer

        for answer in answers:
            odd = Odd(answer)
            missed = self.read(odd, TEAM, 100)
            self.assertLessEqual(set(missed.messages), {500})
            self.assertLessEqual(odd.calls, 30)

    @quick
    @given(
        st.sampled_from(HABITS),
        st.sampled_from([TEAM, ALICE]),
        st.integers(0, 40),
        st.lists(st.tuples(st.integers(1, 40), st.integers(0, 50)), max_size=5),
        st.booleans(),
        st.sampled_from([1, 45, 300]),
    )
    def test_all_of_them(
        self, habit: str, conversation: Conversation, floor: int, runs: Any, knows: bool, most: int
    ) -> None:
        """Whatever holes there are: the newest, none left out."""
        histories = Histories(habit)
        if floor:
            histories.add(conversation, floor)
        seq, wanted = floor + 1, []
        for run, hole in runs:
            wanted += range(seq, seq + run)
            seq += run + hole
        histories.add(conversation, *wanted)
        if not histories.messages:
            return
        upwards = habit == LAGRANGE and conversation == ALICE and not knows
        if upwards and any(hole >= 28 for _run, hole in runs[:-1]):
            return  # nothing tells that there is more behind so large a hole
        known = max(histories.messages[conversation]) if knows else None
        missed = self.read(histories, conversation, floor, most, known=known)
        self.assertEqual(missed.newest(most), wanted[-most:])
        self.assertEqual(missed.why_not_all, "")
