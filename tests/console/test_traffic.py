"""Live traffic: who sees which rows and answers, what is kept, and that nobody looking costs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from attrs import define, evolve, field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.limits import Limits
from lgtwist.console.traffic import (
    DEFAULT_KINDS,
    MAX_BYTES,
    MAX_NEEDLE_SEARCH,
    MAX_PENDING,
    MAX_RAW,
    MAX_ROWS,
    MAX_SEARCHES,
    BadTrafficFilter,
    Traffic,
    TrafficFilter,
    traffic_filter_of,
)
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.hub.settings import ActionSettings, BotSettings, EventSettings
from lgtwist.onebot.action import ActionRequest
from lgtwist.onebot.message import MessageFormat
from lgtwist.onebot.responses import ok
from tests.hub.fakes import FakeConnection, checked_link, directory_of

ALL = frozenset({"message", "notice", "request", "meta", "action", "other"})


@define(eq=False)
class FakeWatcher:
    """Keeps what it is sent.

    :ivar room: how many rows it takes.
    """

    filter: TrafficFilter = field(factory=TrafficFilter)
    room: int = 1_000_000
    rows: list[dict[str, Any]] = field(factory=list)
    answers: list[dict[str, Any]] = field(factory=list)
    dropped: int = 0
    asked: int = 0
    on_row: Callable[[], None] = lambda: None
    on_take: Callable[[], None] = lambda: None

    def take(self) -> bool:
        self.asked += 1
        self.on_take()
        if len(self.rows) >= self.room:
            self.dropped += 1
            return False
        return True

    def drop(self) -> None:
        self.dropped += 1

    def send_row(self, row: bytes) -> None:
        self.rows.append(json.loads(row))
        self.on_row()

    def send_answer(self, answer: bytes) -> None:
        self.answers.append(json.loads(answer))


def message(text: str = "hello", **members: Any) -> bytes:
    given = {"post_type": "message", "message_type": "group", "group_id": 1, "user_id": 2, **members}
    return json.dumps({"message": [{"type": "text", "data": {"text": text}}], **given}).encode()


class TrafficTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account(10001, self.clock, lambda: 1_700_000_000.5, action_timeout=60.0)
        self.other_account = Account(10002, self.clock, lambda: 1_700_000_000.5)
        self.bot = Bot(BotSettings("nonebot"), Limits(calls=3))
        self.limited = Bot(
            BotSettings(
                "limited",
                accounts=(10001,),
                actions=ActionSettings(deny=("set_*",)),
                events=EventSettings(group_id=(1,)),
            )
        )
        self.directory = directory_of(
            [self.account, self.other_account], [self.bot, self.limited], self.clock
        )
        self.link = checked_link(self.account)
        self.account.links.opened(self.link)
        self.traffic = Traffic(self.directory, self.clock, lambda: 1_700_000_000.5)
        self.replies: list[dict[str, Any]] = []
        self.in_flight: set[PendingAction] = set()
        self.timers = len(self.clock.getDelayedCalls())

    def watch(self, room: int = 1_000_000, **wanted: Any) -> FakeWatcher:
        watcher = FakeWatcher(TrafficFilter(**wanted), room)
        end = self.traffic.watch(watcher)
        self.addCleanup(end)
        return watcher

    def perform(
        self,
        action: str,
        params: Any = None,
        bot: Bot | None = None,
        read_params: Callable[[], bytes] | None = None,
        account: Account | None = None,
    ) -> None:
        request = ActionRequest(action, json.dumps(params or {}).encode(), b'"the echo"')

        def reply(response: bytes, _last: bool) -> None:
            self.replies.append(json.loads(response))

        (bot or self.bot).perform(account or self.account, request, reply, self.in_flight, read_params)

    def is_quiet(self) -> bool:
        """Whether nothing of the traffic is left anywhere."""
        subscribers = [account.fan_out._subscribers for account in self.directory.accounts.values()]
        watches = [bot.watch for bot in self.directory.bots.values()]
        timers = [call for call in self.clock.getDelayedCalls() if call.func == self.traffic._expire]
        observers = [one for one in self.directory._observers if one is self.traffic]
        return not (any(subscribers) or any(watches) or timers or observers)


class NobodyLookingTests(TrafficTestCase):
    def test_nothing_runs(self) -> None:
        """Without a watcher there is no subscriber, no timer, no observer, and no watch on a bot."""
        self.assertTrue(self.is_quiet())
        ends = [self.traffic.watch(FakeWatcher()) for _ in range(3)]
        self.assertFalse(self.is_quiet())
        self.assertEqual(len(self.clock.getDelayedCalls()), self.timers + 1)
        self.assertTrue(self.traffic.is_watched)
        self.account.publish(message())
        self.perform("send_msg")
        for end in ends:
            end()
            end()
        self.assertTrue(self.is_quiet())
        self.assertFalse(self.traffic.is_watched)
        self.assertEqual(
            (len(self.traffic._rows), self.traffic._bytes, len(self.traffic._pending)), (0, 0, 0)
        )
        self.link.answer(0, ok())
        self.assertEqual(len(self.replies), 1)
        self.assertIsNone(self.traffic.find(1))

    def test_again(self) -> None:
        """It can be watched again; numbers of rows are never used twice."""
        first = FakeWatcher()
        end = self.traffic.watch(first)
        self.account.publish(message())
        end()
        self.account.publish(message())
        second = self.watch()
        self.account.publish(message())
        self.assertEqual([row["n"] for row in first.rows + second.rows], [1, 2])

    def test_what_is_added_and_removed(self) -> None:
        """Accounts and bots that are added while somebody looks are watched, removed ones are not."""
        watcher = FakeWatcher()
        end = self.traffic.watch(watcher)
        late, hidden = Bot(BotSettings("late")), Bot(BotSettings("console"))
        account = Account(10003, self.clock, lambda: 0.0)
        self.directory.add_bot(late)
        self.directory.add_account(account)
        self.traffic.add_bot(hidden)
        self.perform("send_msg", bot=late)
        self.perform("send_msg", bot=hidden)
        account.publish(message())
        self.assertEqual([row["bot"] for row in watcher.rows], ["late", "console", None])
        self.directory.remove_bot("late")
        self.directory.remove_account(10003)
        self.assertIsNone(late.watch)
        self.assertEqual(account.fan_out._subscribers, {})
        end()
        self.assertIsNone(hidden.watch)
        self.assertTrue(self.is_quiet())
        self.watch()
        self.assertIsNotNone(hidden.watch)

    def test_a_watch_that_ends_in_a_row(self) -> None:
        """A watcher may end its watch when it is asked or sent something; nothing is left."""
        asked = FakeWatcher()
        for look in (lambda: self.account.publish(message()), lambda: self.perform("get_msg")):
            asked.on_take = self.traffic.watch(asked)
            look()
            self.assertTrue(self.is_quiet())
            self.assertEqual((asked.rows, len(self.traffic._rows), len(self.traffic._pending)), ([], 0, 0))
        watcher = FakeWatcher()
        end = self.traffic.watch(watcher)
        watcher.on_row = end
        self.perform("send_msg")
        self.assertTrue(self.is_quiet())
        self.link.answer(1, ok())
        self.assertEqual((len(watcher.rows), watcher.answers), (1, []))
        self.assertEqual(len(self.replies), 1)


class EventTests(TrafficTestCase):
    def test_events(self) -> None:
        """Bots get what they got before, and the watcher a row; heartbeats are left out."""
        connection = FakeConnection()
        self.account.subscribe(connection, MessageFormat.AS_IS, bytes)
        watcher = self.watch()
        everything = self.watch(kinds=ALL)
        heartbeat = b'{"post_type":"meta_event","meta_event_type":"heartbeat"}'
        for raw in (message(), heartbeat):
            self.account.publish(raw)
        self.assertEqual(connection.frames, [message(), heartbeat])
        self.assertEqual([row["kind"] for row in watcher.rows], ["message"])
        self.assertEqual([row["kind"] for row in everything.rows], ["message", "meta"])
        self.assertEqual(watcher.rows[0], everything.rows[0])
        self.assertEqual(watcher.rows[0]["t"], 1_700_000_000.5)

    def test_filters(self) -> None:
        """Filters are applied here: only what passes is asked for, and sent."""
        watchers = {
            name: self.watch(**wanted)
            for name, wanted in {
                "account": {"account": 10002},
                "group": {"group": 7},
                "user": {"user": 8},
                "kind": {"kinds": frozenset({"notice"})},
                "bot": {"bot": "limited"},
                "text": {"text": "hel"},
                "chinese": {"text": "\u4f60"},
                "unknown bot": {"bot": "nobody"},
            }.items()
        }
        self.account.publish(message("HELLO"))
        self.account.publish(message("no", group_id=7))
        self.account.publish(message("\u4f60\u597d", user_id=8, group_id=9))
        self.account.publish(b'{"post_type":"notice","notice_type":"x"}')
        self.other_account.publish(message("x"))
        got = {name: [row["n"] for row in watcher.rows] for name, watcher in watchers.items()}
        self.assertEqual(
            got,
            {
                "account": [5],
                "group": [2],
                "user": [3],
                "kind": [4],
                "bot": [1],
                "text": [1],
                "chinese": [3],
                "unknown bot": [],
            },
        )
        self.assertEqual(
            {name: one.asked for name, one in watchers.items()}, {n: len(g) for n, g in got.items()}
        )

    def test_text(self) -> None:
        """A text is found however the JSON writes it, also in names; not in other members."""
        cases: list[tuple[str, bytes, bool]] = [
            ("\u4f60\u597d", message("\u4f60\u597d"), True),  # json.dumps escapes it
            ("\u4f60\u597d", message("\u4f60\u597d").decode("unicode_escape").encode(), True),
            ("a&b", message(message="a&amp;b"), True),
            ('"x"', message('say "x"'), True),
            ("ali", message(sender={"nickname": "Alice"}), True),
            ("comm", b'{"post_type":"request","comment":"Comment"}', True),
            ("group", message("hello"), False),
            ("image", message(message="[CQ:image,file=image.png]"), False),
            ("\u00e4", message("\u00c4"), True),
        ]
        for text, raw, found in cases:
            watcher = self.watch(text=text)
            self.account.publish(raw)
            self.assertEqual(len(watcher.rows), int(found), (text, raw))

    def test_searches_are_bounded(self) -> None:
        """A text is searched in so many messages of a second; what is left out is counted as dropped."""
        watcher = self.watch(text="hello there")
        for _ in range(MAX_SEARCHES + 50):
            self.account.publish(message("hello there"))
        self.assertEqual((len(watcher.rows), watcher.dropped), (MAX_SEARCHES, 50))
        self.clock.advance(1)
        self.account.publish(message("hello there"))
        self.assertEqual(len(watcher.rows), MAX_SEARCHES + 1)

    def test_a_needle_saves_searches(self) -> None:
        """Messages that cannot have the text are not decoded, and not counted."""
        watcher = self.watch(text="needle")
        for _ in range(MAX_SEARCHES + 50):
            self.account.publish(message("hello"))
        self.account.publish(message("A NEEDLE"))
        self.assertEqual((len(watcher.rows), watcher.dropped), (1, 0))

    def test_a_large_message_is_not_looked_at_by_each_watcher(self) -> None:
        """All of it would be copied in lower case for each of them; its beginning is decoded once instead."""
        copied: list[int] = []

        class Counted(bytes):
            def lower(self) -> bytes:
                copied.append(len(self))
                return super().lower()

        watchers = [self.watch(text=f"needle{number}") for number in range(30)]
        for event in (message("x" * MAX_NEEDLE_SEARCH), message("A NEEDLE7 " + "x" * MAX_NEEDLE_SEARCH)):
            self.account.publish(Counted(event))
        self.perform("send_msg", {"message": "needle3 " + "x" * MAX_NEEDLE_SEARCH})
        self.assertEqual(copied, [])
        self.assertEqual([len(one.rows) for one in watchers], [int(n in (3, 7)) for n in range(30)])
        self.assertEqual(sum(one.dropped for one in watchers), 0)
        self.assertEqual(self.traffic._searches, 3)

    def test_a_full_watcher(self) -> None:
        """A watcher that takes no more rows costs the others nothing, and gets no answers to them."""
        full, other = self.watch(room=1), self.watch()
        for _ in range(3):
            self.account.publish(message())
        self.perform("send_msg")
        self.link.answer(0, ok())
        self.assertEqual((len(full.rows), full.dropped, full.answers), (1, 3, []))
        self.assertEqual((len(other.rows), len(other.answers)), (4, 1))

    def test_a_new_filter(self) -> None:
        """A filter may be replaced while it is watched."""
        watcher = self.watch(group=5)
        self.account.publish(message())
        watcher.filter = evolve(watcher.filter, group=1)
        self.account.publish(message())
        self.assertEqual(len(watcher.rows), 1)


class ActionTests(TrafficTestCase):
    def test_pair(self) -> None:
        """An action's row is completed by its answer, with the milliseconds, without the echo."""
        watcher = self.watch()
        self.perform("send_msg", {"group_id": 1, "message": "hi"})
        self.clock.advance(0.25)
        self.link.answer(0, ok(b'{"message_id":5}'))
        [row], [answer] = watcher.rows, watcher.answers
        self.assertEqual((row["kind"], row["bot"], row["action"]), ("action", "nonebot", "send_msg"))
        self.assertEqual((row["group"], row["parts"]), (1, [["text", "hi"]]))
        self.assertEqual(answer, {"n": 1, "status": "ok", "retcode": 0, "ms": 250.0, "wording": ""})
        self.assertEqual(self.replies[0]["echo"], "the echo")
        found = self.traffic.find(1)
        assert found is not None
        self.assertEqual(found["response"]["data"], {"message_id": 5})
        self.assertNotIn("echo", found["response"])
        self.assertEqual((found["params"], found["answer"]), ({"group_id": 1, "message": "hi"}, answer))
        self.assertEqual((found["row"], found["action"]), (row, "send_msg"))

    def test_refused(self) -> None:
        """Actions that are refused are rows, with their answers."""
        watcher = self.watch()
        self.perform("set_group_kick", bot=self.limited)
        self.perform("send_msg", account=self.other_account)
        for _ in range(4):
            self.perform("send_msg")
        self.assertEqual([answer["retcode"] for answer in watcher.answers], [1403, 1501, 1429])
        self.assertEqual([answer["n"] for answer in watcher.answers], [1, 2, 6])
        self.assertEqual(len(watcher.rows), 6)

    def test_parameters_that_are_read_later(self) -> None:
        """An action over HTTP is shown with its parameters; one that is refused before, without."""
        watcher = self.watch()
        self.perform("send_msg", read_params=lambda: b'{"message":"over HTTP"}')
        self.link.answer(0, ok())
        self.perform("set_group_kick", bot=self.limited, read_params=lambda: self.fail("read"))
        self.assertEqual([row["parts"] for row in watcher.rows], [[["text", "over HTTP"]], []])
        self.assertEqual([answer["retcode"] for answer in watcher.answers], [0, 1403])

    def test_steps(self) -> None:
        """Steps of quick operations, and what ``_async`` runs, have rows of their own."""
        watcher = self.watch()
        event = {
            "post_type": "message",
            "message_type": "group",
            "group_id": 1,
            "user_id": 2,
            "message_id": 3,
        }
        operation = {"reply": "yes", "kick": True}
        self.perform(".handle_quick_operation", {"context": event, "operation": operation}, self.limited)
        self.link.answer(0, ok())
        self.perform("send_msg_async")
        self.link.answer(1, ok())
        self.assertEqual(
            [row["action"] for row in watcher.rows],
            [".handle_quick_operation", "send_group_msg", "set_group_kick", "send_msg_async", "send_msg"],
        )
        by_number = {answer["n"]: answer["retcode"] for answer in watcher.answers}
        self.assertEqual(by_number, {1: 1403, 2: 0, 3: 1403, 4: 1, 5: 0})
        self.assertEqual({row["bot"] for row in watcher.rows}, {"limited", "nonebot"})

    def test_gone(self) -> None:
        """An action whose connection is closed is gone, once its time limit has passed."""
        watcher = self.watch()
        self.perform("send_msg")
        for pending in tuple(self.in_flight):
            pending.cancel()
        self.clock.pump([1.0] * 64)
        self.assertEqual(watcher.answers, [])
        self.clock.pump([1.0] * 3)
        [answer] = watcher.answers
        self.assertEqual((answer["status"], answer["retcode"]), ("gone", None))
        self.assertEqual(self.traffic._pending, {})

    def test_a_timeout_is_an_answer(self) -> None:
        """An action that is not answered in time has the answer that the bot got."""
        watcher = self.watch()
        self.perform("send_msg")
        self.clock.pump([1.0] * 70)
        self.assertEqual([answer["retcode"] for answer in watcher.answers], [1504])

    def test_pending_answers_are_bounded(self) -> None:
        """The oldest action that waits is gone when there are too many."""
        watcher = self.watch(kinds=frozenset({"action"}))
        bot = Bot(BotSettings("busy"), Limits(calls=10_000))
        self.directory.add_bot(bot)
        for _ in range(MAX_PENDING + 2):
            self.perform("send_msg", bot=bot)
        self.assertEqual([(one["n"], one["status"]) for one in watcher.answers], [(1, "gone"), (2, "gone")])
        self.assertEqual(len(self.traffic._pending), MAX_PENDING)

    def test_filters(self) -> None:
        """The filters of events are those of actions too."""
        watchers = {
            str(wanted): self.watch(**wanted)
            for wanted in (
                {"bot": "nonebot"},
                {"group": 1},
                {"user": 2},
                {"text": "hello"},
                {"text": "send_"},
                {"account": 10002},
                {"kinds": frozenset({"message"})},
            )
        }
        self.perform("send_msg", {"group_id": "1", "message": "Hello"})
        self.perform("send_msg", {"user_id": 2}, bot=self.limited)
        got = [[row["n"] for row in watcher.rows] for watcher in watchers.values()]
        self.assertEqual(got, [[1], [1], [2], [1], [1, 2], [], []])

    def test_secrets(self) -> None:
        """Secrets of parameters and answers are in no row, no answer, and not in the whole JSON."""
        watcher = self.watch()
        self.perform("get_cookies", {"domain": "a.example", "access_token": "S3cret"})
        self.link.answer(0, ok(b'"S3cret"'))
        found = self.traffic.find(1)
        self.assertNotIn("S3cret", json.dumps([watcher.rows, watcher.answers, found]))
        self.assertIn("S3cret", json.dumps(self.replies))

    def test_a_mistake_of_ours(self) -> None:
        """If a row cannot be made, the bot's action is carried out all the same."""
        watcher = self.watch()
        watcher.on_row = lambda: self.fail("no row")
        self.perform("send_msg")
        self.link.answer(0, ok())
        self.assertEqual(self.replies[0]["retcode"], 0)
        self.assertEqual(len(self.flushLoggedErrors(self.failureException)), 1)


class RecentRowTests(TrafficTestCase):
    def test_rows_are_bounded(self) -> None:
        """So many rows are kept, the newest."""
        self.watch()
        for _ in range(MAX_ROWS + 10):
            self.account.publish(message())
        self.assertIsNone(self.traffic.find(10))
        found = self.traffic.find(11)
        assert found is not None
        self.assertEqual((found["row"]["n"], found["event"]), (11, json.loads(message())))

    def test_bytes_are_bounded(self) -> None:
        """So many bytes are kept, with those of responses; of what is larger, only the size."""
        self.watch()
        big = message("x" * 200_000)
        for _ in range(20):
            self.account.publish(big)
        self.perform("send_msg")
        self.link.answer(0, ok(b'"%b"' % (b"y" * 250_000)))
        self.assertLessEqual(self.traffic._bytes, MAX_BYTES)
        kept = list(self.traffic._rows)
        self.assertEqual(kept, list(range(22 - len(kept), 22)))
        self.assertEqual(self.traffic._bytes, sum(row.size() for row in self.traffic._rows.values()))
        huge = message("x" * MAX_RAW)
        self.account.publish(huge)
        found = self.traffic.find(22)
        assert found is not None
        self.assertEqual(found["event"], {"too_large": len(huge)})
        self.assertEqual(found["row"]["size"], len(huge))

    def test_what_waits_for_its_response_holds_no_parameters(self) -> None:
        """Calls may be under way for minutes, and nobody counts what the rows that were dropped refer to."""
        watcher = self.watch(kinds=frozenset({"action"}))
        bot = Bot(BotSettings("busy"), Limits(calls=100))
        self.directory.add_bot(bot)
        for _ in range(50):
            self.perform("send_msg", {"message": "x" * (MAX_RAW - 100)}, bot)
        held = {id(one.recent_row): one.recent_row for one in self.traffic._pending.values()}
        self.assertEqual(len(held), 50)
        self.assertLessEqual(sum(row.size() for row in held.values()), MAX_BYTES)
        self.link.answer(0, ok())
        self.assertEqual([(one["n"], one["status"]) for one in watcher.answers], [(1, "ok")])
        self.assertLessEqual(sum(row.size() for row in held.values()), MAX_BYTES)

    def test_no_copies(self) -> None:
        """What is kept are the bytes that came."""
        self.watch()
        raw = message()
        self.account.publish(raw)
        self.assertIs(self.traffic._rows[1].raw, raw)


class FilterTests(SynchronousTestCase):
    def test_from_json_and_from_a_query(self) -> None:
        """JSON and a query give the same filter; what is empty is not given."""
        from_json = traffic_filter_of(
            {"account": 1, "bot": "x", "kinds": ["message", "meta"], "group": 2, "user": 3, "text": " AbC "}
        )
        query = {"account": "1", "bot": "x", "kind": "message,meta", "group": "2", "user": "3", "text": "abc"}
        self.assertEqual(from_json, traffic_filter_of(query))
        self.assertEqual((from_json.account, from_json.text), (1, "abc"))
        self.assertEqual(traffic_filter_of({}), TrafficFilter())
        empty = dict.fromkeys(("account", "bot", "kind", "group", "user", "text"), "")
        self.assertEqual(traffic_filter_of({**empty, "topics": "traffic"}), TrafficFilter())
        self.assertNotIn("meta", DEFAULT_KINDS)
        self.assertEqual(traffic_filter_of({"kinds": []}).kinds, frozenset())

    def test_mistakes(self) -> None:
        """A wrong value is refused with a sentence that names it."""
        for name, value in (
            ("account", "x"),
            ("account", True),
            ("account", -1),
            ("group", 1.5),
            ("user", [1]),
            ("bot", 5),
            ("text", {}),
            ("text", "x" * 300),
            ("kinds", ["chat"]),
            ("kinds", [[]]),
            ("kinds", 5),
        ):
            error = self.assertRaises(BadTrafficFilter, traffic_filter_of, {name: value})
            self.assertEqual(error.name, name)
            self.assertIn("kind" if name == "kinds" else name, str(error))
