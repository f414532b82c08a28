"""What was missed while Milky's stream was broken: fetched, and delivered in order, once."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.accounts.milky.back_fill import BackFill, BackFillBounds, BackFillContext
from lgtwist.milky.blocks import BlockTable
from lgtwist.milky.errors import CallFailed
from lgtwist.milky.events import EventTranslator
from lgtwist.milky.implementation import Implementation
from lgtwist.milky.keys import FRIEND, GROUP, Conversation, MessageKey
from lgtwist.milky.recent import Recent
from lgtwist.onebot.errors import LinkBroken, NotConnected, UnknownAction
from lgtwist.onebot.event import Event
from lgtwist.runtime.budget import Budget
from tests.accounts.milky_histories import HABITS, LAGRANGE, OTHER, SELF_ID, YOGURT, Histories, message
from tests.journal.fakes import Lines
from tests.rounds import quick

TEAM, CLUB, ALICE = Conversation(GROUP, 20_001), Conversation(GROUP, 20_003), Conversation(FRIEND, 20_002)
NOW = 1_700_000_000


class Room:
    """The part of a link that the back-fill works with.

    :ivar delivered: how, and what: a conversation and a sequence number, or the type of a notice.
    """

    def __init__(self, histories: Histories, table: BlockTable | None = None, **bounds: Any) -> None:
        self.histories = histories
        self.clock = Clock()
        self.table = BlockTable() if table is None else table
        self.delivered: list[tuple[str, Any]] = []
        self.bounds = BackFillBounds(**bounds)
        self.budget = Budget(1 << 30)
        self.uncommitted: Deferred[None] | None = None
        self.paused = False
        self.wants_own = False
        self.start()

    def wall(self) -> float:
        return NOW + self.clock.seconds()

    def start(self) -> None:
        """Start anew: what is in memory is lost, the table is not."""
        self.translator = EventTranslator(SELF_ID, self.table, Recent(), wants_own=self.wants_own)
        self.fill = BackFill(
            BackFillContext(
                self_id=SELF_ID,
                bounds=lambda: self.bounds,
                api=self.histories,
                implementation=lambda: Implementation(self.histories.habit),
                seen=self.table,
                translator=self.translator,
                committed=lambda: self.uncommitted,
                publish=self.publish,
                publish_late=self.publish_late,
                clock=self.clock,
                wall_clock=self.wall,
                budget=self.budget,
                is_paused=lambda: self.paused,
            )
        )

    def open(self) -> None:
        """The stream is opened, and the link verified."""
        self.fill.stream_opened()
        self.fill.verified()

    def kill(self) -> None:
        """End as by ``kill -9``: nothing of it goes on."""
        self.clock = Clock()
        self.uncommitted = None
        if self.histories.waiting:
            self.histories.waiting = []

    def publish(self, key: MessageKey | None, event: Event) -> None:
        if key is not None:
            assert not self.table.was_seen(key), "delivered twice"
            self.table.mark_seen(key, self.wall())
        self.note("live", event)

    def publish_late(self, event: Event, *, live: bool) -> None:
        self.note("late" if live else "old", event)

    def note(self, how: str, event: Event) -> None:
        read = json.loads(event.raw)
        if event.post_type in ("message", "message_sent"):
            group_id = read.get("group_id")
            peer = read["user_id"] if group_id is None else group_id
            what: Any = (Conversation(FRIEND if group_id is None else GROUP, peer), read["message_seq"])
        else:
            what = read.get("notice_type") or read.get("flag")
        self.delivered.append((how, what))

    def receive(self, event_type: str, data: dict[str, Any]) -> None:
        """An event on the stream, as the link takes it."""
        frame = {"time": NOW, "self_id": SELF_ID, "event_type": event_type, "data": data}
        event = self.translator.translate(json.dumps(frame).encode())
        key = self.translator.key
        if event is None:
            if key is not None:
                self.table.mark_seen(key, self.wall())
        elif not ((key is None or self.fill.is_active) and self.fill.live_event(key, event)):
            self.publish(key, event)

    def live(self, conversation: Conversation, *seqs: int, own: bool = False) -> None:
        """Messages that come on the stream, and are in the history."""
        for seq in seqs:
            self.histories.add(conversation, seq, own=own)
            self.receive("message_receive", message(conversation, seq, own=own))

    def recall(self, conversation: Conversation, seq: int) -> None:
        scene, peer_id = conversation
        data = {"message_scene": scene, "peer_id": peer_id, "message_seq": seq, "sender_id": OTHER}
        self.receive("message_recall", {**data, "operator_id": OTHER, "display_suffix": ""})

    def numbers(self, conversation: Conversation) -> list[tuple[str, int]]:
        return [
            (how, what[1])
            for how, what in self.delivered
            if isinstance(what, tuple) and what[0] == conversation
        ]

    def forget(self) -> None:
        self.delivered.clear()


def late(*numbers: int) -> list[tuple[str, int]]:
    return [("late", number) for number in numbers]


def live(*numbers: int) -> list[tuple[str, int]]:
    return [("live", number) for number in numbers]


class BackFillTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = Lines(self)

    def room(self, habit: str = YOGURT, **bounds: Any) -> Room:
        """One in which messages 1 to 100 of TEAM were delivered, and then the stream broke."""
        room = Room(Histories(habit), **bounds)
        room.open()
        room.live(TEAM, *range(1, 101))
        room.fill.stream_closed()
        room.forget()
        return room


class FillTests(BackFillTestCase):
    def test_what_was_missed(self) -> None:
        """It is delivered late, in order, once; then nothing more is to be done."""
        for habit in HABITS:
            room = self.room(habit)
            room.histories.add(TEAM, *range(101, 151))
            room.open()
            self.assertEqual(room.numbers(TEAM), late(*range(101, 151)), habit)
            self.assertEqual((room.fill.is_active, room.fill.back_filled_events), (False, 50))
            room.live(TEAM, 151)
            self.assertEqual(room.numbers(TEAM)[50:], live(151))
            room.fill.stream_closed()
            room.open()
            self.assertEqual(len(room.delivered), 51)
            self.assertEqual(room.clock.getDelayedCalls(), [])

    def test_the_line(self) -> None:
        """One, that says how many."""
        room = self.room()
        room.histories.add(TEAM, 101, 102)
        room.open()
        [line] = self.lines.all("were fetched")
        self.assertIn("2 messages in 1 conversations", line)

    def test_nothing_known(self) -> None:
        """At the first start of all there is nothing to fill; nothing is held up."""
        room = Room(Histories(YOGURT))
        room.histories.add(TEAM, 1, 2, 3)
        room.open()
        room.live(TEAM, 4)
        self.assertEqual(room.numbers(TEAM), live(4))
        self.assertEqual(room.histories.calls, [])

    def test_our_own_restart(self) -> None:
        """The table tells what was delivered."""
        room = self.room()
        room.histories.add(TEAM, 101, 102)
        room.start()
        room.open()
        self.assertEqual(room.numbers(TEAM), late(101, 102))

    def test_messages_before_the_first(self) -> None:
        """What was before all that was delivered is not of interest."""
        room = Room(Histories(YOGURT))
        room.histories.add(TEAM, *range(1, 50))
        room.open()
        room.live(TEAM, 50)
        room.fill.stream_closed()
        room.open()
        self.assertEqual(room.numbers(TEAM), live(50))

    def test_bounds(self) -> None:
        """The newest so many of each conversation; what is older than max_age is not for live bots."""
        room = self.room(max_messages=10, max_age=60.0)
        room.histories.add(TEAM, *range(101, 146), time=NOW - 100)
        room.histories.add(TEAM, *range(146, 151), time=NOW - 30)
        room.open()
        old = [("old", number) for number in range(141, 146)]
        self.assertEqual(room.numbers(TEAM), [*old, *late(*range(146, 151))])

    def test_off(self) -> None:
        """``max_messages = 0``: nothing is fetched, and nothing waits."""
        room = self.room(max_messages=0)
        room.histories.add(TEAM, 101)
        room.open()
        room.live(TEAM, 102)
        self.assertEqual(room.numbers(TEAM), live(102))
        self.assertEqual(room.histories.calls, [])

    def test_own_messages(self) -> None:
        """They are dropped, unless they are wanted; and they are not asked for again."""
        for wanted in (False, True):
            room = self.room()
            room.translator.wants_own = wanted
            room.histories.add(TEAM, 101, own=True)
            room.histories.add(TEAM, 102)
            room.open()
            self.assertEqual(room.numbers(TEAM), late(101, 102) if wanted else late(102))
            self.assertTrue(room.table.was_seen(MessageKey(*TEAM, 101)))

    def test_ids_are_durable_before(self) -> None:
        """Nothing is delivered before the ids in it are stored."""
        room = self.room()
        room.histories.add(TEAM, 101, 1100)
        room.uncommitted = Deferred()
        room.open()
        room.live(TEAM, 1101)
        room.clock.pump([1] * 40)  # no limit ends it then
        self.assertEqual(room.delivered, [])
        committed, room.uncommitted = room.uncommitted, None
        committed.callback(None)
        self.assertEqual(room.numbers(TEAM), [*late(101, 1100), *live(1101)])

    def test_a_journal_that_is_full(self) -> None:
        """What was fetched waits until it takes events."""
        room = self.room()
        room.histories.add(TEAM, 101)
        room.paused = True
        room.open()
        room.clock.pump([1] * 5)
        self.assertEqual(room.delivered, [])
        room.paused = False
        room.clock.advance(1)
        self.assertEqual(room.numbers(TEAM), late(101))

    def test_many_conversations(self) -> None:
        """A few are read at once; the most recently active first."""
        room = Room(Histories(YOGURT))
        room.open()
        groups = [Conversation(GROUP, 30_000 + number) for number in range(20)]
        for group in groups:
            room.live(group, 1)
            room.clock.advance(1)
        room.fill.stream_closed()
        room.forget()
        for group in groups:
            room.histories.add(group, 2, 3)
        room.histories.waiting = []
        room.open()
        self.assertEqual(len(room.histories.waiting), 5)  # four, and requests
        room.histories.answer()
        self.assertEqual(room.histories.calls[0][0], groups[-1])
        while room.histories.waiting:
            room.histories.answer()
        self.assertEqual(len(room.delivered), 40)

    def test_more_conversations_than_are_filled(self) -> None:
        """Others are filled when a message comes in them behind a gap."""
        room = Room(Histories(YOGURT))
        room.open()
        groups = [Conversation(GROUP, 30_000 + number) for number in range(503)]
        for group in groups:
            room.live(group, 1)
            room.clock.advance(1)
        room.fill.stream_closed()
        for group in groups:
            room.histories.add(group, 2)
        room.forget()
        room.open()
        self.assertEqual(len(room.delivered), 500)
        self.assertTrue(room.fill.is_active)
        room.live(groups[0], 3)
        self.assertEqual(room.numbers(groups[0]), [*late(2), *live(3)])
        del room.histories.messages[groups[1]][2]
        room.live(groups[1], 2)
        self.assertEqual(room.numbers(groups[1]), live(2))
        self.assertTrue(room.fill.is_active)
        room.live(groups[2], 4)
        self.assertEqual(room.numbers(groups[2]), [*late(2), *live(4)])
        self.assertFalse(room.fill.is_active)


class WaitingTests(BackFillTestCase):
    def opened(self, **bounds: Any) -> Room:
        """A room whose stream is open again, with 101 and 102 missed, and answers that wait."""
        room = self.room(**bounds)
        room.histories.add(TEAM, 101, 102)
        room.live(CLUB, 1)
        room.forget()
        room.histories.waiting = []
        room.open()
        return room

    def finish(self, room: Room) -> None:
        while room.histories.waiting:
            room.histories.answer()

    def test_behind_what_was_missed(self) -> None:
        """Live messages and notices of the conversation wait; those of others and requests do not."""
        room = self.opened()
        room.live(TEAM, 103)
        room.recall(TEAM, 102)
        room.live(TEAM, 104)
        room.live(ALICE, 1)
        request = {"initiator_id": OTHER, "initiator_uid": "u", "comment": "", "via": ""}
        room.receive("friend_request", request)
        self.assertEqual(room.delivered, [("live", (ALICE, 1)), ("live", "friend|u|0")])
        self.assertGreater(room.budget.used, 0)
        room.forget()
        self.finish(room)
        self.assertEqual(room.numbers(TEAM), [*late(101, 102), *live(103, 104)])
        self.assertEqual([what for _how, what in room.delivered][3], "group_recall")
        self.assertEqual(room.budget.used, 0)
        self.assertFalse(room.fill.is_active)

    def test_twice(self) -> None:
        """What comes live and is in the history is delivered once, live, in its place."""
        room = self.opened()
        room.histories.add(TEAM, 103, 104, 105)
        room.live(TEAM, 104)
        self.finish(room)
        self.assertEqual(room.numbers(TEAM), [*late(101, 102, 103), *live(104), *late(105)])
        room.fill.is_active = True  # as for another conversation
        room.live(TEAM, 105)
        self.assertEqual(len(room.numbers(TEAM)), 5)

    def test_live_while_ids_are_stored(self) -> None:
        """What comes live when it was read already is delivered with what was read, also after a break."""
        for breaks in (False, True):
            room = self.room()
            room.histories.add(TEAM, 101, 102)
            uncommitted = room.uncommitted = Deferred()
            room.open()
            room.live(TEAM, 102, 103)
            if breaks:
                room.fill.stream_closed()
                room.open()
            room.uncommitted = None
            uncommitted.callback(None)
            self.assertEqual(room.numbers(TEAM), [*late(101, 102), *live(103)])

    def test_out_of_order(self) -> None:
        """What waits is sorted: pictures come later than the texts around them."""
        room = self.opened()
        room.live(TEAM, 104)
        room.recall(TEAM, 104)
        room.live(TEAM, 103)
        self.finish(room)
        self.assertEqual(room.numbers(TEAM), [*late(101, 102), *live(103, 104)])
        self.assertEqual(room.delivered[-1], ("live", "group_recall"))

    def test_a_slow_history(self) -> None:
        """After a while what waits goes on, with a line."""
        room = self.opened()
        room.live(TEAM, 103)
        room.clock.advance(9)
        self.assertEqual(room.numbers(TEAM), [])
        room.clock.advance(2)
        self.assertEqual(room.numbers(TEAM), live(103))
        self.finish(room)
        self.assertEqual(len(self.lines.all("messages may be missing", "takes 10 s")), 1)

    def test_a_part_of_it(self) -> None:
        """What was read until then is delivered."""
        room = self.opened()
        room.histories.add(TEAM, *range(101, 200))
        room.live(TEAM, 200)
        room.histories.answer(1)
        room.clock.advance(11)
        self.assertEqual(room.numbers(TEAM), [*late(*range(171, 200)), *live(200)])

    def test_no_slot(self) -> None:
        """A conversation that is never read does not wait without end."""
        room = self.room()
        room.histories.add(TEAM, 101)
        room.fill.stream_opened()  # and not verified
        room.live(TEAM, 102)
        room.clock.advance(31)
        self.assertEqual(room.numbers(TEAM), live(102))

    def test_too_many_wait(self) -> None:
        """They are delivered, and what was missed is said to be."""
        room = self.opened()
        room.live(TEAM, *range(103, 1105))
        self.assertEqual(room.numbers(TEAM), live(*range(103, 1105)))
        self.finish(room)
        self.assertEqual(len(room.numbers(TEAM)), 1002)
        self.assertEqual(len(self.lines.all("too much came meanwhile")), 1)

    def test_too_much_memory(self) -> None:
        """The account's budget is a bound too."""
        room = self.opened()
        room.budget.limit = 10
        room.live(TEAM, 103)
        self.assertEqual(room.numbers(TEAM), live(103))
        self.assertEqual(room.budget.used, 0)

    def test_what_waits_is_read_first(self) -> None:
        """A conversation in which something waits comes before others."""
        room = Room(Histories(YOGURT))
        room.open()
        groups = [Conversation(GROUP, 30_000 + number) for number in range(20)]
        for group in groups:
            room.live(group, 1)
            room.clock.advance(1)
        room.fill.stream_closed()
        for group in groups:
            room.histories.add(group, 2)
        room.histories.waiting = []
        room.fill.stream_opened()
        room.live(groups[0], 3)
        room.fill.verified()
        room.histories.answer()
        self.assertEqual(room.histories.calls, [(groups[0], None)])


class BreakTests(BackFillTestCase):
    def test_a_second_break(self) -> None:
        """What was not read is read after the next opening; what waited keeps its place."""
        room = self.room()
        room.histories.add(TEAM, 101, 102)
        room.histories.waiting = []
        room.open()
        room.live(TEAM, 103)
        room.fill.stream_closed()
        self.assertEqual(room.histories.waiting, [])
        room.clock.pump([10] * 10)
        self.assertEqual(room.delivered, [])
        self.assertEqual(room.clock.getDelayedCalls(), [])
        room.histories.add(TEAM, 104)
        room.histories.waiting = None
        room.open()
        self.assertEqual(room.numbers(TEAM), [*late(101, 102), *live(103), *late(104)])
        self.assertEqual(room.budget.used, 0)

    def test_opened_again_at_once(self) -> None:
        """As the link does after a login."""
        room = self.room()
        room.histories.add(TEAM, 101)
        room.histories.waiting = []
        for _ in range(3):
            room.open()
            room.histories.answer()
            room.fill.stream_closed()
        room.open()
        while room.histories.waiting:
            room.histories.answer()
        self.assertEqual(room.numbers(TEAM), late(101))

    def test_a_break_while_ids_are_stored(self) -> None:
        """It is read again; nothing is delivered twice."""
        room = self.room()
        room.histories.add(TEAM, 101)
        uncommitted = room.uncommitted = Deferred()
        room.open()
        room.fill.stream_closed()
        room.histories.add(TEAM, 102)
        room.histories.waiting = []
        room.open()
        room.live(TEAM, 103)
        room.uncommitted = None
        uncommitted.callback(None)
        while room.histories.waiting:
            room.histories.answer()
        self.assertEqual(room.numbers(TEAM), [*late(101, 102), *live(103)])

    def test_stop(self) -> None:
        """Messages that wait are fetched after the restart; notices are handed over."""
        room = self.room()
        room.histories.add(TEAM, 101)
        room.histories.waiting = []
        room.open()
        room.live(TEAM, 102)
        room.recall(TEAM, 100)
        room.fill.stop()
        self.assertEqual(room.delivered, [("live", "group_recall")])
        self.assertEqual((room.budget.used, room.clock.getDelayedCalls()), (0, []))
        room.histories.waiting = None
        room.open()
        self.assertEqual(len(room.delivered), 1)
        room.start()
        room.open()
        self.assertEqual(room.numbers(TEAM), late(101, 102))


class FailureTests(BackFillTestCase):
    def test_no_such_api(self) -> None:
        """One line; what waits goes on, and nothing waits any more."""
        room = self.room()
        room.live(CLUB, 1)
        room.histories.add(TEAM, 101)
        room.histories.waiting = []
        room.open()
        room.live(TEAM, 102)
        room.histories.failure = UnknownAction(
            "the implementation does not offer Milky's get_history_messages"
        )
        room.histories.answer()
        self.assertEqual(room.numbers(TEAM), live(102))
        self.assertFalse(room.fill.is_active)
        while room.histories.waiting:
            room.histories.answer()
        self.assertEqual(len(self.lines.all("cannot be fetched", "get_history_messages")), 1)

    def test_not_logged_in(self) -> None:
        """It is asked again, and then all is fetched."""
        room = self.room()
        room.histories.add(TEAM, 101)
        for error in (CallFailed(-403, "no", "x"), NotConnected("no"), LinkBroken("no")):
            room.histories.failure = error
            room.open()
            room.clock.pump([1] * 8)
            self.assertEqual(room.histories.calls, [])
            room.fill.stream_closed()
        room.open()
        room.histories.failure = None
        room.clock.advance(5)
        self.assertEqual(room.numbers(TEAM), late(101))

    def test_never_logged_in(self) -> None:
        """It is not asked without end; one line."""
        room = self.room()
        room.histories.failure = CallFailed(-403, "not logged in", "x")
        room.open()
        room.clock.pump([10] * 100)
        self.assertFalse(room.fill.is_active)
        self.assertEqual(room.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.lines.all("cannot be fetched", "not logged in")), 1)

    def test_it_breaks_in_the_middle(self) -> None:
        """What is not reached is put back, and read later."""
        room = self.room()
        room.histories.add(TEAM, 101)
        room.histories.waiting = []
        room.open()
        room.histories.failure = LinkBroken("the connection broke")
        while room.histories.waiting:
            room.histories.answer()
        room.histories.failure = None
        room.histories.waiting = None
        room.live(TEAM, 102)
        room.clock.advance(5)
        self.assertEqual(room.numbers(TEAM), [*late(101), *live(102)])

    def test_another_account(self) -> None:
        """Nothing is asked before it is known that it is this one."""
        room = self.room()
        room.histories.add(TEAM, 101)
        room.fill.stream_opened()
        room.live(TEAM, 102)
        self.assertEqual((room.histories.calls, room.delivered), ([], []))
        room.fill.verified()
        self.assertEqual(room.numbers(TEAM), [*late(101), *live(102)])

    def test_no_friend_any_more(self) -> None:
        """Nothing is missing then; no line."""
        room = self.room()
        room.live(ALICE, 5)
        del room.histories.messages[ALICE]
        room.open()
        self.assertEqual(self.lines.loud(), [])
        self.assertFalse(room.fill.is_active)

    def test_a_reason(self) -> None:
        """An implementation that fails says why, in one line for all conversations."""
        room = self.room()
        room.live(CLUB, 1)
        failing = room.histories.call

        async def call(api: str, params: dict[str, Any], /) -> Any:
            if api == "get_history_messages":
                raise CallFailed(-500, "out of order", api)
            return await failing(api, params)

        room.histories.call = call  # type: ignore[method-assign]
        room.open()
        [line] = self.lines.loud()
        self.assertIn("in 2 conversations messages may be missing", line)
        self.assertIn("out of order", line)

    def test_messages_that_cannot_be_read(self) -> None:
        """The others are delivered."""
        room = self.room()
        room.histories.add(TEAM, 101, 102, 103)
        room.histories.messages[TEAM][102]["segments"] = 7
        room.histories.messages[TEAM][103]["time"] = "soon"
        room.open()
        self.assertIn(("late", 101), room.numbers(TEAM))
        self.assertFalse(room.fill.is_active)
        self.assertEqual(self.flushLoggedErrors(), [])


def friend_request(user_id: int, time: int, state: str = "pending", filtered: bool = False) -> dict[str, Any]:
    return {
        "time": time, "initiator_id": user_id, "initiator_uid": f"u{user_id}", "target_user_id": SELF_ID,
        "target_user_uid": "me", "state": state, "comment": "hello", "via": "", "is_filtered": filtered,
    }  # fmt: skip


def join_request(seq: int, filtered: bool = False, state: str = "pending") -> dict[str, Any]:
    return {
        "type": "join_request", "group_id": 20_001, "notification_seq": seq, "is_filtered": filtered,
        "initiator_id": OTHER, "state": state, "comment": "hello", "operator_id": None,
    }  # fmt: skip


class RequestTests(BackFillTestCase):
    def test_requests(self) -> None:
        """Those that are pending and that nobody has seen, once, also over a restart."""
        room = self.room()
        histories = room.histories
        histories.requests = [friend_request(20_010, NOW + 30), friend_request(20_011, NOW + 20)]
        histories.requests.append(friend_request(20_012, NOW, "accepted"))
        invited = {**join_request(9), "type": "invited_join_request", "target_user_id": 20_013}
        kicked = {"type": "kick", "group_id": 20_001, "notification_seq": 10}
        histories.notifications = [kicked, invited, join_request(8, True), join_request(7, state="accepted")]
        room.open()
        wanted = ["friend|u20011|0", "friend|u20010|0", "join_request|20001|8|1"]
        wanted.append("invited_join_request|20001|9|0")
        self.assertEqual([what for _how, what in room.delivered], wanted)
        for _ in range(2):
            room.fill.stream_closed()
            room.start()
            room.open()
        self.assertEqual(len(room.delivered), 4)

    def test_requests_that_were_put_aside(self) -> None:
        """They are missed as others are, and their flags say that they were put aside."""
        room = self.room()
        histories = room.histories
        histories.requests = [friend_request(20_010, NOW, filtered=True), friend_request(20_011, NOW + 1)]
        histories.notifications = [join_request(8, True), join_request(9)]
        histories.has_no_filtered = True
        room.open()
        wanted = ["friend|u20011|0", "join_request|20001|9|0"]
        self.assertEqual([what for _how, what in room.delivered], wanted)
        histories.has_no_filtered = False
        room.fill.stream_closed()
        room.open()
        wanted += ["friend|u20010|1", "join_request|20001|8|1"]
        self.assertEqual([what for _how, what in room.delivered], wanted)

    def test_requests_that_were_seen(self) -> None:
        """Those that came on the stream are known; the same person may ask again."""
        room = self.room()
        room.open()
        room.receive("friend_request", {"initiator_id": 20_010, "initiator_uid": "u20010"})
        data = {"group_id": 20_001, "notification_seq": 7, "is_filtered": False, "initiator_id": OTHER}
        room.receive("group_join_request", {**data, "comment": ""})
        room.fill.stream_closed()
        self.assertEqual(len(room.delivered), 2)
        room.histories.requests = [friend_request(20_010, NOW + 3)]
        room.histories.notifications = [join_request(7)]
        room.open()
        self.assertEqual(len(room.delivered), 2)
        room.fill.stream_closed()
        room.histories.requests = [friend_request(20_010, NOW + 3000)]
        room.open()
        self.assertEqual([what for _how, what in room.delivered[2:]], ["friend|u20010|0"])

    def test_the_first_start_of_all(self) -> None:
        """What is pending from before is not news."""
        room = Room(Histories(YOGURT))
        room.histories.requests = [friend_request(20_010, NOW - 1000)]
        room.histories.notifications = [join_request(7)]
        room.open()
        self.assertEqual(room.delivered, [])
        room.histories.requests.append(friend_request(20_011, NOW))
        room.fill.stream_closed()
        room.open()
        self.assertEqual([what for _how, what in room.delivered], ["friend|u20011|0"])

    def test_old_requests(self) -> None:
        """They are not for live bots."""
        room = self.room()
        room.histories.requests = [friend_request(20_010, NOW - 1000)]
        room.open()
        self.assertEqual(room.delivered, [("old", "friend|u20010|0")])

    def test_lists_that_are_none(self) -> None:
        """They are as empty ones."""
        room = self.room()
        odd: Any = [None, 7, {}, {"state": "pending"}, {"type": "join_request", "state": "pending"}]
        odd.append({**friend_request(20_010, NOW), "comment": 7, "initiator_uid": None})
        room.histories.requests = odd
        room.histories.notifications = [{"type": []}, {**join_request(8), "group_id": "x"}]
        room.open()
        self.assertLessEqual(len(room.delivered), 1)
        self.assertEqual(self.flushLoggedErrors(), [])


STEPS = st.sampled_from(
    ["live", "missed", "own", "hole", "open", "close", "restart", "answer", "wait", "commit", "arrive"]
)


class RandomTests(SynchronousTestCase):
    @quick
    @given(
        st.sampled_from(HABITS),
        st.lists(
            st.tuples(STEPS, st.sampled_from([TEAM, CLUB, ALICE]), st.integers(1, 12)),
            min_size=20,
            max_size=60,
        ),
    )
    def test_any_order(self, habit: str, steps: list[tuple[str, Conversation, int]]) -> None:
        """Whatever comes, breaks and restarts: ascending in each conversation, all of them, none twice.

        A message while the stream is open comes on it, at once or some time after it is in the history; else
        it is in the history only. What is on its way when the stream breaks is lost.
        """
        room = Room(Histories(habit))
        newest = dict.fromkeys((TEAM, CLUB, ALICE), 0)
        wanted: dict[Conversation, list[int]] = {TEAM: [], CLUB: [], ALICE: []}
        on_its_way: list[tuple[Conversation, int]] = []
        is_open = True
        room.open()
        for conversation in newest:
            room.live(conversation, 1)
            newest[conversation] = 1
            wanted[conversation].append(1)
        room.histories.waiting = []

        def arrive(most: int = 1000) -> None:
            for _ in range(min(most, len(on_its_way))):
                where, seq = on_its_way.pop(0)
                room.receive("message_receive", message(where, seq))

        for step, conversation, number in steps:
            if step in ("live", "missed", "own"):
                for _ in range(number):
                    newest[conversation] += 1
                    seq = newest[conversation]
                    if step == "own":
                        room.histories.add(conversation, seq, own=True)
                        continue
                    wanted[conversation].append(seq)
                    room.histories.add(conversation, seq)
                    if is_open:
                        on_its_way.append((conversation, seq))
                if number % 2:
                    arrive()
            elif step == "arrive":
                arrive(number)
            elif step == "hole":
                if (habit, conversation) != (LAGRANGE, ALICE):  # nothing tells what is behind a large one
                    newest[conversation] += number
            elif step == "open" and not is_open:
                is_open = True
                room.open()
            elif step == "close" and is_open:
                is_open = False
                on_its_way.clear()
                room.fill.stream_closed()
            elif step == "restart":
                is_open = False
                on_its_way.clear()
                if number % 2:
                    room.fill.stop()
                else:
                    room.kill()
                room.start()
            elif step == "answer":
                for _ in range(number):
                    if room.histories.waiting:
                        room.histories.answer(number % len(room.histories.waiting))
            elif step == "wait":
                room.clock.advance(0.1)
            elif step == "commit":
                uncommitted, room.uncommitted = room.uncommitted, None
                if uncommitted is not None:
                    uncommitted.callback(None)
                elif number % 2 == 0:
                    room.uncommitted = Deferred()
        uncommitted, room.uncommitted = room.uncommitted, None
        if uncommitted is not None:
            uncommitted.callback(None)
        while room.histories.waiting:
            room.histories.answer()
        room.histories.waiting = None
        if is_open:
            room.fill.stream_closed()
        room.open()
        for conversation, seqs in wanted.items():
            self.assertEqual([seq for _how, seq in room.numbers(conversation)], seqs, conversation)
        self.assertFalse(room.fill.is_active)
        self.assertEqual(room.clock.getDelayedCalls(), [])
