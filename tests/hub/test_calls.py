"""The table of calls against a model: exactly one end for each."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.hub.calls import Call, Calls, InternalCall
from tests.rounds import ROUNDS

LIMIT = 10.0


class CallsMachine(RuleBasedStateMachine):
    """Calls begin, are answered, run out, are forgotten, lose their link, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Calls(LIMIT)
        self.now = 0.0
        self.open: dict[int, float] = {}
        self.made: list[Call] = []

    def ended(self, call: Call) -> None:
        assert call.call_id in self.open, "ended twice"
        del self.open[call.call_id]

    @rule()
    def begin(self) -> None:
        call = InternalCall("a", lambda _r, _l: None)
        assert self.calls.add(call, self.now) == call.call_id
        assert call.call_id not in {c.call_id for c in self.made}
        self.made.append(call)
        self.open[call.call_id] = self.now + LIMIT

    @rule(number=st.integers(0, 50))
    def answer(self, number: int) -> None:
        call = self.calls.pop(number)
        assert (call is not None) == (number in self.open)
        if call is not None:
            self.ended(call)

    @rule(number=st.integers(0, 50))
    def answer_a_part(self, number: int) -> None:
        call = self.calls.pop(number)
        assert (call is not None) == (number in self.open)
        if call is not None:
            self.calls.renew(call, self.now)
            self.open[number] = self.now + LIMIT

    @rule(which=st.integers(0, 50))
    def forget(self, which: int) -> None:
        if which < len(self.made):
            call = self.made[which]
            assert self.calls.discard(call) == (call.call_id in self.open)
            self.open.pop(call.call_id, None)

    @rule(seconds=st.floats(0, 15))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        late = {number for number, deadline in self.open.items() if deadline <= self.now}
        expired = self.calls.pop_expired(self.now)
        assert {call.call_id for call in expired} == late
        for call in expired:
            self.ended(call)

    @rule()
    def link_lost(self) -> None:
        ended = self.calls.pop_all()
        assert {call.call_id for call in ended} == set(self.open)
        for call in ended:
            self.ended(call)

    @invariant()
    def the_next_deadline_is_the_oldest(self) -> None:
        assert self.calls.next_deadline() == min(self.open.values(), default=None)
        assert len(self.calls) == len(self.open)


class CallsTests(SynchronousTestCase):
    def test_any_order(self) -> None:
        """Exactly one end for each call, whatever happens in whatever order."""
        run_state_machine_as_test(
            CallsMachine, settings=settings(max_examples=20 * ROUNDS, deadline=None, database=None)
        )
