"""What one bot may make lgtwist keep: calls, answers and streams, seen at its connections."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.bots.session import BotSession, Role
from lgtwist.config.limits import Limits
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.settings import BotSettings
from lgtwist.onebot.responses import ok
from tests.hub.fakes import checked_link, directory_of
from tests.pair import Pair
from tests.rounds import ROUNDS

MIB = 1 << 20


class World:
    """A bot with a budget of one MiB, its account, and an implementation that answers when it is told to."""

    def __init__(self) -> None:
        self.pair = Pair(send_buffer=64_000)
        self.account = Account(10001, self.pair.clock, self.pair.clock.seconds)
        self.bot = Bot(BotSettings("nonebot"), Limits(peer_memory=MIB, calls=50))
        self.directory = directory_of([self.account], [self.bot], self.pair.clock)
        self.link = checked_link(self.account)
        self.account.links.opened(self.link)

    def dial(self) -> Any:
        session = BotSession(self.pair.factory, self.bot, self.account, role=Role.API, heartbeat_interval=0.0)
        return self.pair.connect(session).open()


class BudgetTests(SynchronousTestCase):
    """A bot over its budget is refused by a sentence; at the end nothing is counted any more."""

    def setUp(self) -> None:
        self.world = World()
        self.peer = self.world.dial()

    def used(self) -> int:
        return self.world.bot.budget.used

    def test_echoes_of_calls_in_flight(self) -> None:
        """Calls whose echo does not fit are refused with 1429 and their echo; answers make room."""
        echoes = [f"{number}".ljust(300_000) for number in range(6)]
        for echo in echoes:
            self.peer.call("get_x", echo=echo)
        refused = self.peer.messages()
        self.assertEqual([m["retcode"] for m in refused], [1429, 1429])
        self.assertEqual([m["echo"] for m in refused], echoes[4:])
        self.assertIn("peer_memory", refused[0]["message"])
        for which in range(4):
            self.world.link.answer(which, ok())
        self.assertEqual([m["retcode"] for m in self.peer.messages()], [0] * 4)
        self.assertEqual(self.used(), 0)

    def test_answers_that_are_not_read(self) -> None:
        """Large answers beyond the budget are replaced by a refusal; each call gets exactly one answer."""
        self.peer.transport.reading = False
        for number in range(20):
            self.peer.call("get_x", echo=number)
        for which in range(20):
            self.world.link.answer(which, ok(b'"%b"' % (b"x" * 300_000)))
            self.world.pair.turn()
        self.assertLess(self.used(), 2 * MIB)
        self.peer.transport.reading = True
        answers: list[Any] = []
        for _ in range(40):
            answers += self.peer.messages()
        self.assertEqual(sorted(m["echo"] for m in answers), list(range(20)))
        codes = [m["retcode"] for m in answers]
        self.assertGreaterEqual(codes.count(0), 3)
        self.assertGreaterEqual(codes.count(1429), 10)
        self.assertEqual(set(codes), {0, 1429})
        self.world.pair.advance(2)
        self.assertEqual(self.used(), 0)

    def test_a_stream_that_is_not_read(self) -> None:
        """A stream whose parts are not read ends as failed; parts that come later are dropped."""
        self.peer.transport.reading = False
        self.peer.call("download_file_stream", echo="s")
        for _ in range(10):
            self.world.link.answer(0, ok(b'{"type":"stream","data":"%b"}' % (b"x" * 300_000)))
            self.world.pair.turn()
        self.assertLess(self.used(), 2 * MIB)
        self.peer.transport.reading = True
        answers: list[Any] = []
        for _ in range(40):
            answers += self.peer.messages()
        self.assertEqual([m["retcode"] for m in answers][-1], 1429)
        self.assertLess(len(answers), 8)
        self.assertEqual(self.world.account.calls_in_flight, 0)

    def test_rate_limited_calls(self) -> None:
        """Parameters of calls in the queue of _rate_limited are counted until the calls have ended."""
        for number in range(3):
            self.peer.call("send_x_rate_limited", echo=number, text="x" * 400_000)
        self.assertEqual([m["retcode"] for m in self.peer.messages()], [1, 1, 1])
        self.assertGreater(self.used(), MIB)
        self.peer.call("get_x")
        self.assertEqual(self.peer.messages()[0]["retcode"], 1429)
        self.world.link.answer(0, ok())
        self.world.link.instantly = ok()
        self.world.pair.advance(3)
        self.assertEqual(self.used(), 0)

    def test_calls_answered_async(self) -> None:
        """Calls that were answered "async" are counted until they have ended, also behind a disconnect."""
        self.peer.call("send_x_async", text="x" * 400_000)
        self.peer.lose()
        self.assertGreater(self.used(), 400_000)
        self.world.link.answer(0, ok())
        self.assertEqual(self.used(), 0)

    def test_an_account_that_is_removed(self) -> None:
        """Calls that wait for an account that is removed are not counted any more."""
        self.peer.call("send_x_rate_limited", text="x" * 400_000)
        self.world.directory.remove_account(10001)
        self.peer.lose()
        self.assertEqual(self.used(), 0)


class SessionMachine(RuleBasedStateMachine):
    """Calls of every kind, answers, disconnects, losses, time: the budget is right in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.peers: list[Any] = []
        self.dial()

    @rule()
    @precondition(lambda self: len(self.peers) < 4)
    def dial(self) -> None:
        self.peers.append(self.world.dial())

    @rule(
        data=st.data(),
        action=st.sampled_from(
            [
                "get_x",
                "send_x_async",
                "send_x_rate_limited",
                ".handle_quick_operation",
                "download_file_stream",
            ]
        ),
        size=st.sampled_from([0, 1000, 200_000]),
    )
    @precondition(lambda self: self.peers)
    def call(self, data: st.DataObject, action: str, size: int) -> None:
        peer = data.draw(st.sampled_from(self.peers))
        operation = {"context": {"message_type": "private", "user_id": 1}, "operation": {"reply": "x" * size}}
        params = operation if action.startswith(".") else {"text": "x" * size}
        if not peer.transport.paused:
            peer.send(json.dumps({"action": action, "params": params, "echo": "e" * size}))

    @rule(size=st.sampled_from([0, 1000, 200_000]), stream=st.booleans())
    @precondition(lambda self: self.world.link.sent)
    def answer(self, size: int, stream: bool) -> None:
        text = b"x" * size
        self.world.link.answer(-1, ok(b'{"type":"stream","data":"%b"}' % text if stream else b'"%b"' % text))
        self.world.link.sent.pop()

    @rule(data=st.data(), reading=st.booleans())
    @precondition(lambda self: self.peers)
    def read(self, data: st.DataObject, reading: bool) -> None:
        data.draw(st.sampled_from(self.peers)).transport.reading = reading
        self.world.pair.turn()

    @rule(data=st.data(), cut=st.integers(1, 50_000))
    @precondition(lambda self: self.peers)
    def end_in_a_message(self, data: st.DataObject, cut: int) -> None:
        peer = data.draw(st.sampled_from(self.peers))
        if not peer.transport.paused:
            peer.bytes(self.world.pair.frame(b"x" * 60_000)[:cut])
        self.lose(peer)

    @rule(data=st.data())
    @precondition(lambda self: self.peers)
    def disconnect(self, data: st.DataObject) -> None:
        self.lose(data.draw(st.sampled_from(self.peers)))

    def lose(self, peer: Any) -> None:
        peer.lose()
        self.peers.remove(peer)

    @rule(seconds=st.sampled_from([0, 1, 30]))
    def wait(self, seconds: float) -> None:
        self.world.pair.advance(seconds)
        self.peers = [peer for peer in self.peers if not peer.transport.disconnected]

    @invariant()
    def bounded(self) -> None:
        assert 0 <= self.world.bot.budget.used < 3 * MIB

    def teardown(self) -> None:
        for peer in tuple(self.peers):
            self.lose(peer)
        self.world.pair.advance(120)
        assert self.world.bot.budget.used == 0
        assert self.world.account.calls_in_flight == 0


class MachineTests(SynchronousTestCase):
    """Run the machine."""

    def test_zero_when_the_bot_is_gone(self) -> None:
        """Whatever a bot does, nothing is counted when it is gone and its calls have ended."""
        run_state_machine_as_test(
            SessionMachine, settings=settings(max_examples=40 * ROUNDS, deadline=None, database=None)
        )
