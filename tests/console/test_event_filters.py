"""``POST filter``: mistakes, rows, and how many of the newest events would pass."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.console import event_filters
from lgtwist.console.event_filters import FilterRoutes
from lgtwist.console.problems import ApiProblem
from lgtwist.console.recent_events import (
    LOOKING_TIME,
    MAX_RECENT_BYTES,
    MAX_RECENT_EVENTS,
    newest_of_journal,
)
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.settings import BotSettings
from lgtwist.journal.journal import Journal, JournalLimits
from lgtwist.journal.store import JournalError
from lgtwist.onebot.event import Event, mark_late
from tests.console.test_api import ConsoleTestCase
from tests.hub.fakes import directory_of
from tests.journal.fakes import BEGIN
from tests.journal.memory_store import InlineWorker, MemoryStore


def event(number: int, /, size: int = 0, **members: Any) -> bytes:
    given = {"post_type": "message", "message_type": "group", "group_id": 1, "user_id": 2, **members}
    return json.dumps({"n": number, "raw_message": "x" * size, **given}).encode()


def numbers(events: list[Event]) -> list[int]:
    return [json.loads(one.raw)["n"] for one in events]


class FilterCase(SynchronousTestCase):
    """Two accounts, and a journal that is there for some tests."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.accounts = [Account(number, self.clock, self.wall) for number in (10001, 10002)]
        self.directory = directory_of(self.accounts, [Bot(BotSettings("nonebot"))], self.clock)
        self.the_journal: Journal | None = None
        self.routes = FilterRoutes(self, self.clock)  # type: ignore[arg-type]
        self.addCleanup(self.routes.seen.stop)

    def wall(self) -> float:
        return BEGIN + self.clock.seconds()

    def journal(self) -> Journal | None:
        return self.the_journal

    def make_journal(self, tail: int = 1) -> Journal:
        limits = JournalLimits(retention=1e6, tail=tail)
        journal = Journal(MemoryStore(), lambda _name: InlineWorker(), self.clock, self.wall, limits=limits)
        journal.open([])
        self.the_journal = journal
        return journal

    def publish(self, *payloads: bytes, account: int = 0) -> None:
        for payload in payloads:
            self.accounts[account].publish(payload)
        self.clock.advance(0)

    def append(self, *payloads: bytes, account: int = 10001) -> None:
        assert self.the_journal is not None
        self.the_journal.append(account, list(payloads))
        self.clock.advance(0.01)

    def ask(self, text: Any = None, **others: Any) -> Any:
        body = {**({} if text is None else {"text": text}), **others}
        handler = self.routes.routes()["POST", "filter"]
        answer = Deferred.fromCoroutine(handler(None, (), json.dumps(body).encode()))  # type: ignore[arg-type]
        for _turn in range(200):
            if answer.called:
                break
            self.clock.advance(0)
        return json.loads(json.dumps(self.successResultOf(answer)))

    def refusal(self, **body: Any) -> tuple[int, str]:
        handler = self.routes.routes()["POST", "filter"]
        answer = Deferred.fromCoroutine(handler(None, (), json.dumps(body).encode()))  # type: ignore[arg-type]
        failure = self.failureResultOf(answer, ApiProblem)
        return failure.value.status, failure.value.code


class SeenEventTests(FilterCase):
    def setUp(self) -> None:
        super().setUp()
        self.seen = self.routes.seen

    def is_quiet(self) -> bool:
        """Whether nobody looks at any event."""
        subscribers = [account.fan_out._subscribers for account in self.accounts]
        observers = [one for one in self.directory._observers if one is self.seen]
        return not (any(subscribers) or observers or self.seen._events or self.seen.is_looking)

    def test_nothing_before_somebody_asks(self) -> None:
        self.publish(event(1))
        self.assertTrue(self.is_quiet())
        self.assertEqual(self.seen.newest(None), [])
        self.publish(event(2), event(3), b'{"post_type":"meta_event","meta_event_type":"heartbeat"}')
        self.publish(event(4), account=1)
        self.assertEqual(numbers(self.seen.newest(None)), [4, 3, 2])
        self.assertEqual(numbers(self.seen.newest(frozenset((10002,)))), [4])

    def test_nothing_after_nobody_asks(self) -> None:
        """Who asks again in time goes on seeing; then all is forgotten, and another begins anew."""
        self.seen.newest(None)
        self.publish(event(1))
        self.clock.advance(LOOKING_TIME - 1)
        self.assertEqual(numbers(self.seen.newest(None)), [1])
        self.clock.advance(LOOKING_TIME - 1)
        self.assertFalse(self.is_quiet())
        self.clock.advance(1)
        self.assertTrue(self.is_quiet())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.publish(event(2))
        self.assertEqual(self.seen.newest(None), [])
        self.seen.stop()
        self.assertTrue(self.is_quiet())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bounds(self) -> None:
        self.seen.newest(None)
        self.publish(*(event(number) for number in range(MAX_RECENT_EVENTS + 10)))
        found = numbers(self.seen.newest(None))
        self.assertEqual(found, list(range(MAX_RECENT_EVENTS + 9, 9, -1)))
        size = MAX_RECENT_BYTES // 5
        self.publish(*(event(number, size) for number in range(1000, 1010)), event(2000, MAX_RECENT_BYTES))
        self.assertEqual(numbers(self.seen.newest(None)), [1009, 1008, 1007, 1006])

    def test_accounts_that_are_added(self) -> None:
        self.seen.newest(None)
        account = Account(10003, self.clock, self.wall)
        self.directory.add_account(account)
        account.publish(event(1))
        self.clock.advance(0)
        self.assertEqual(numbers(self.seen.newest(None)), [1])
        self.directory.remove_account(10003)
        self.assertFalse(account.fan_out._subscribers)


class JournalEventTests(FilterCase):
    def newest(self, *accounts: int) -> list[int]:
        assert self.the_journal is not None
        found = newest_of_journal(self.the_journal, accounts or (10001, 10002))
        return numbers(self.successResultOf(Deferred.fromCoroutine(found)))

    def test_newest(self) -> None:
        """Those of all accounts by their time, without heartbeats, and without the mark of late ones."""
        self.make_journal()
        self.assertEqual(self.newest(), [])
        self.append(event(1), event(2))
        self.append(event(3), b'{"post_type":"meta_event"}', account=10002)
        self.append(mark_late(event(4)))
        self.assertEqual(self.newest(), [4, 3, 2, 1])
        self.assertEqual(self.newest(10002), [3])
        self.append(*(event(number) for number in range(10, 10 + MAX_RECENT_EVENTS)))
        self.assertEqual(self.newest(), list(range(9 + MAX_RECENT_EVENTS, 9, -1)))

    def test_among_those_of_others(self) -> None:
        """Those of another account that lie between do not hide an account's."""
        self.make_journal()
        self.append(*(event(number) for number in range(5)))
        for _batch in range(30):
            self.append(*(event(99) for _ in range(50)), account=10002)
        self.append(event(5))
        self.assertEqual(self.newest(10001), [5, 4, 3, 2, 1, 0])

    def test_bytes(self) -> None:
        """The newest are found where there are too many bytes of older ones."""
        self.make_journal()
        for number in range(12):
            self.append(event(number, MAX_RECENT_BYTES // 5))
        self.assertEqual(self.newest(), [11, 10, 9, 8])

    def test_from_memory_the_same(self) -> None:
        self.make_journal(tail=1 << 20)
        self.append(*(event(number) for number in range(150)))
        self.assertEqual(self.newest(), list(range(149, 49, -1)))


class AnswerTests(FilterCase):
    def test_mistakes(self) -> None:
        """Each with its path; there are no rows and no count then."""
        answer = self.ask('{"group_id": {"$inn": [1]}, "raw_message": {"$regex": "("}}')
        self.assertEqual(len(answer["mistakes"]), 2)
        self.assertIn("group_id", answer["mistakes"][0]["path"])
        self.assertIn("raw_message", answer["mistakes"][1]["path"])
        self.assertIsNone(answer["rows"])
        self.assertNotIn("passed", answer)
        for text in ("{", "[]", "1", '"x"'):
            self.assertEqual(len(self.ask(text)["mistakes"]), 1, text)

    def test_grammars(self) -> None:
        for text, grammar in (
            ('{"group_id": {"$in": [1]}}', "llbot"),
            ('{"group_id": {".in": [1]}}', "go-cqhttp"),
            ("{}", "either"),
            ("", "either"),
        ):
            answer = self.ask(text)
            self.assertEqual((answer["grammar"], answer["mistakes"]), (grammar, []), text)

    def test_rows(self) -> None:
        answer = self.ask('{"group_id": {"$in": [1, 2]}, "$or": [{"user_id": 3}]}')
        self.assertEqual(
            answer["rows"],
            {
                "all": [{"field": "group_id", "operator": "in", "value": [1, 2]}],
                "any": [[{"field": "user_id", "operator": "equal", "value": 3}]],
            },
        )
        answer = self.ask(rows=answer["rows"], grammar="go-cqhttp")
        self.assertEqual(json.loads(answer["text"]), {"group_id": {".in": [1, 2]}, ".or": [{"user_id": 3}]})
        self.assertEqual(answer["grammar"], "go-cqhttp")

    def test_why_there_are_no_rows(self) -> None:
        answer = self.ask('{"user_id": {"$exists": true}}')
        self.assertIsNone(answer["rows"])
        self.assertEqual(
            answer["why"], {"code": "operator", "args": {"path": "user_id.$exists", "what": "$exists"}}
        )

    def test_what_was_seen(self) -> None:
        """Nothing at first; then those that come while somebody asks."""
        text = '{"group_id": {"$in": [1]}}'
        answer = self.ask(text)
        self.assertEqual((answer["passed"], answer["of"], answer["source"]), (0, 0, "seen"))
        self.publish(event(1), event(2, group_id=2), event(3))
        self.publish(event(4), account=1)
        answer = self.ask(text)
        self.assertEqual((answer["passed"], answer["of"], answer["source"]), (3, 4, "seen"))
        self.assertEqual(answer["groups"], [1, 2])
        self.assertEqual(self.ask("{")["groups"], [1, 2])
        for account in (10002, "10002", [10002]):
            answer = self.ask(text, account=account)
            self.assertEqual((answer["passed"], answer["of"]), (1, 1))

    def test_a_wrong_filter_looks_too(self) -> None:
        self.ask("{")
        self.publish(event(1))
        self.assertEqual(self.ask("{}")["of"], 1)

    def test_the_journal(self) -> None:
        """Where it has events these count, and no others are looked at."""
        self.make_journal()
        self.append(event(1), event(2, group_id=2), event(3))
        answer = self.ask('{"group_id": 1}')
        self.assertEqual((answer["passed"], answer["of"], answer["source"]), (2, 3, "journal"))
        self.assertFalse(self.routes.seen.is_looking)
        answer = self.ask('{"group_id": 1}', account=10002)
        self.assertEqual((answer["of"], answer["source"]), (0, "seen"))

    def test_a_journal_that_cannot_be_read(self) -> None:
        async def fails(*_arguments: object) -> list[Event]:
            raise JournalError("the disk is gone")

        self.make_journal()
        self.patch(event_filters, "newest_of_journal", fails)
        self.assertEqual(self.ask("{}")["source"], "seen")

    def test_a_slow_filter_does_not_hold_the_reactor(self) -> None:
        """It is judged in slices, and after some of them no more."""
        self.make_journal()
        self.append(*(event(number) for number in range(50)))
        times = iter(range(1000))
        self.patch(event_filters, "thread_time", lambda: 0.02 * next(times))
        slices = 0

        def later(*_arguments: object) -> Deferred[None]:
            nonlocal slices
            slices += 1
            done: Deferred[None] = Deferred()
            done.callback(None)
            return done

        self.patch(event_filters, "deferLater", later)
        answer = self.ask("{}")
        self.assertEqual((answer["passed"], answer["of"]), (13, 13))
        self.assertEqual(slices, 12)

    def test_refusals(self) -> None:
        for body in (
            {},
            {"text": 1},
            {"text": "{}", "account": "x"},
            {"text": "{}", "account": [1, None]},
            {"rows": 1},
            {"rows": {"all": [{}]}},
            {"rows": {"all": [{"field": "x", "operator": "near", "value": 1}]}},
            {"rows": {"all": [{"field": ".or", "operator": "equal", "value": 1}]}, "grammar": "go-cqhttp"},
            {"rows": {"all": [{"field": "x", "operator": "greater", "value": 1}]}, "grammar": "go-cqhttp"},
            {"rows": {}, "grammar": "cobol"},
            {"rows": {}, "grammar": 1},
        ):
            self.assertEqual(self.refusal(**body), (400, "bad_request"), body)
        self.assertEqual(self.refusal(text=" " * 300_000), (413, "too_long"))

    def test_lone_surrogates_can_be_answered(self) -> None:
        """Whatever is wrong with a filter, the answer is JSON."""
        for text in ('{"\\ud800": {"$in": [1]}}', '{"x": "\\ud800"}', '{"\\ud800": {"$what": 1}}'):
            json.dumps(self.ask(text), ensure_ascii=False).encode()


class RouteTests(ConsoleTestCase):
    def test_over_http(self) -> None:
        """It needs a session, and answers by POST only."""
        self.assertEqual(self.api("filter", "POST", {"text": "{}"}).status(), 401)
        self.assertEqual(self.bearer("filter").status(), 405)
        self.assertEqual(self.bearer("filter/x", "POST", {"text": "{}"}).status(), 404)
        answer = json.loads(self.bearer("filter", "POST", {"text": '{"a": {".eq": 1}}'}).body())
        self.assertEqual((answer["grammar"], answer["of"]), ("go-cqhttp", 0))
        self.clock.advance(LOOKING_TIME)
