"""The console's backlog and refused events: what is listed, and what is done about them."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.console.backlog import BacklogRoutes
from lgtwist.console.problems import ApiProblem
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.deliveries import Deliveries
from lgtwist.hub.settings import BotSettings
from lgtwist.journal.journal import Journal, JournalLimits
from lgtwist.onebot.event import mark_late
from tests.hub.fakes import directory_of
from tests.journal.fakes import BEGIN, FakeSink, Lines
from tests.journal.memory_store import InlineWorker, MemoryStore

RETENTION = 1000.0
REFUSED = "close code 1009"


class View:
    """What this part of the console asks of a service."""

    def __init__(self, directory: Any, journal: Journal | None) -> None:
        self.directory = directory
        self.the_journal = journal

    def journal(self) -> Journal | None:
        return self.the_journal

    def journal_retention(self) -> float:
        return RETENTION

    def bot_connection(self, name: str) -> str:
        return "forward-websocket"


class BacklogTestCase(SynchronousTestCase):
    """One account, and a bot that is served at least once, with a connection."""

    opens = True

    def setUp(self) -> None:
        self.clock = Clock()
        self.lines = Lines(self)
        account = Account(10001, self.clock, self.wall)
        self.bot = Bot(BotSettings("nonebot"))
        self.directory = directory_of([account], [self.bot, Bot(BotSettings("live"))], self.clock)
        self.store = MemoryStore()
        limits = JournalLimits(retention=RETENTION, tail=1)
        self.journal = Journal(self.store, lambda _name: InlineWorker(), self.clock, self.wall, limits=limits)
        self.deliveries = Deliveries(self.journal, self.clock, self.wall, window_bytes=1 << 22, patience=60)
        self.deliveries.add(self.bot, account, ReplayPolicy())
        self.view = View(self.directory, self.journal)
        self.routes = BacklogRoutes(self.view, self.wall).routes()  # type: ignore[arg-type]
        if self.opens:
            self.journal.open(self.deliveries.pairs())
            self.deliveries.start()

    def wall(self) -> float:
        return BEGIN + self.clock.seconds()

    @property
    def delivery(self) -> Delivery:
        return self.bot.deliveries[10001]

    def put(self, *events: dict[str, Any]) -> None:
        for one in events:
            self.journal.append(10001, [json.dumps({"post_type": "message", "n": 0, **one}).encode()])
            self.clock.advance(0.01)

    def attach(self, window: int = 10) -> FakeSink:
        sink = FakeSink(self.delivery, window)
        self.delivery.attach(sink)
        return sink

    def refuse(self, **event: Any) -> int:
        """An event that the bot refuses; its id."""
        self.put(event)
        while self.delivery.backlog:
            sink = self.attach()
            if self.delivery.unconfirmed:
                self.delivery.detach(sink, REFUSED)
        sink = self.attach()
        self.put({"n": 999})
        sink.confirm()
        self.delivery.detach(sink, None)
        return int(self.ask("GET", "backlog")["refused"][0]["id"])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer, as JSON says it."""
        name, *rest = path.split("/")
        answer = self.routes[method, name](None, tuple(rest), json.dumps(body).encode())  # type: ignore[arg-type]
        if not isinstance(answer, dict):
            answer = self.successResultOf(Deferred.fromCoroutine(answer))
        return json.loads(json.dumps(answer))

    def problem(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """The status and the code of a refusal."""
        name, *rest = path.split("/")
        try:
            answer: Any = self.routes[method, name](None, tuple(rest), json.dumps(body).encode())  # type: ignore[arg-type]
            failure: Any = self.failureResultOf(Deferred.fromCoroutine(answer)).value
        except ApiProblem as error:
            failure = error
        self.assertIsInstance(failure, ApiProblem)
        self.assertTrue(failure.sentence)
        return failure.status, failure.code


class RowsTests(BacklogTestCase):
    def test_a_row(self) -> None:
        """For each account of a bot whose delivery is at-least-once; the oldest is read where need be."""
        came = self.wall()
        self.put({}, {}, {})
        self.clock.advance(100)
        sink = self.attach(2)
        answer = self.ask("GET", "backlog")
        self.assertEqual((answer["refused"], answer["refused_more"]), ([], False))
        [row] = answer["rows"]
        self.assertAlmostEqual(row.pop("oldest"), came, delta=0.02)
        self.assertAlmostEqual(row.pop("retention_left"), RETENTION - 100, delta=1)
        self.assertEqual(
            row,
            {
                "bot": "nonebot", "account": 10001, "connection": "forward-websocket",
                "mode": "at-least-once", "backlog": 3, "unconfirmed": 2, "cursor_since": None,
                "silent": False, "connected": True, "refuses_all": False, "can_undo": False,
            },
        )  # fmt: skip
        while self.delivery.unconfirmed:
            sink.confirm()
        [row] = self.ask("GET", "backlog")["rows"]
        self.assertEqual((row["backlog"], row["oldest"], row["retention_left"]), (0, None, None))

    def test_the_oldest_is_read_once(self) -> None:
        reads: list[int] = []
        self.put({}, {}, {})
        read = self.journal.read
        self.patch(self.journal, "read", lambda *asked: reads.append(1) or read(*asked))
        self.assertEqual(
            self.ask("GET", "backlog")["rows"][0]["oldest"], self.ask("GET", "backlog")["rows"][0]["oldest"]
        )
        self.assertEqual(len(reads), 1)

    def test_no_journal(self) -> None:
        self.view.the_journal = None
        self.assertEqual(self.ask("GET", "backlog"), {"rows": [], "refused": [], "refused_more": False})
        self.assertEqual(self.problem("GET", "refused/1"), (404, "gone"))
        self.assertEqual(self.ask("DELETE", "refused"), {"dropped": 0})

    def test_skip_and_undo(self) -> None:
        self.put({}, {}, {})
        asked = {"bot": "nonebot", "account": 10001, "name": "nonebot"}
        self.assertEqual(self.ask("POST", "backlog/skip", asked), {"skipped": 3, "undo": True})
        [row] = self.ask("GET", "backlog")["rows"]
        self.assertEqual((row["backlog"], row["can_undo"]), (0, True))
        self.ask("POST", "backlog/undo", {"bot": "nonebot", "account": "10001"})
        self.assertEqual(self.delivery.backlog, 3)
        self.assertEqual(self.problem("POST", "backlog/undo", asked), (409, "not_undoable"))
        self.assertEqual(self.ask("POST", "backlog/skip", asked)["skipped"], 3)
        sink = self.attach()
        self.put({})
        sink.confirm()
        self.assertEqual(self.problem("POST", "backlog/undo", asked), (409, "not_undoable"))

    def test_the_typed_name(self) -> None:
        """Nothing is skipped unless it is the bot's, exactly."""
        self.put({})
        for name in ("", "Nonebot", "nonebot ", " nonebot", None, 1, ["nonebot"]):
            asked = {"bot": "nonebot", "account": 10001, "name": name}
            self.assertEqual(self.problem("POST", "backlog/skip", asked), (400, "wrong_name"), name)
        self.assertEqual(self.problem("POST", "backlog/skip", {"bot": "nonebot", "account": 10001})[0], 400)
        self.assertEqual(self.delivery.backlog, 1)

    def test_no_such_delivery(self) -> None:
        for bot, account, code in (
            ("x", 10001, "no_such_bot"),
            ("live", 10001, "no_delivery"),
            ("nonebot", 2, "no_delivery"),
            ("nonebot", "x", "bad_request"),
            (None, 10001, "bad_request"),
        ):
            asked = {"bot": bot, "account": account, "name": bot}
            for path in ("backlog/skip", "backlog/undo"):
                self.assertEqual(self.problem("POST", path, asked)[1], code)
        for body in (None, [], 1):
            self.assertEqual(self.problem("POST", "backlog/skip", body), (400, "bad_request"))

    def test_paths(self) -> None:
        for method, path in (
            ("GET", "backlog/skip"), ("POST", "backlog"), ("POST", "backlog/x"), ("GET", "refused"),
            ("POST", "refused"), ("GET", "refused/x"), ("GET", "refused/1/2"), ("DELETE", "refused/-1"),
        ):  # fmt: skip
            self.assertEqual(self.problem(method, path, {}), (404, "no_such_path"), path)


class RefusedTests(BacklogTestCase):
    def test_list(self) -> None:
        """The newest first, without what they say."""
        first = self.refuse(text="a secret of theirs")
        second = self.refuse(post_type="notice")
        answer = self.ask("GET", "backlog")
        self.assertEqual([one["id"] for one in answer["refused"]], [second, first])
        one = answer["refused"][1]
        self.assertEqual((one["bot"], one["account"], one["reason"]), ("nonebot", 10001, REFUSED))
        self.assertEqual([each["post_type"] for each in answer["refused"]], ["notice", "message"])
        self.assertAlmostEqual(one["time"], BEGIN, delta=5)
        self.assertGreaterEqual(one["skipped"], one["time"])
        self.assertNotIn("a secret", json.dumps(answer))

    def test_look(self) -> None:
        """All of it, redacted; what is too large as its beginning."""
        number = self.refuse(text="hello", access_token="abc", image="base64://" + "A" * 90_000)
        answer = self.ask("GET", f"refused/{number}")
        self.assertEqual((answer["complete"], answer["refused"]["id"]), (True, number))
        self.assertEqual(answer["event"]["text"], "hello")
        self.assertEqual(answer["event"]["access_token"], "(hidden)")
        self.assertIn("base64", answer["event"]["image"])
        self.assertLess(len(json.dumps(answer)), 2000)
        number = self.refuse(text="x" * 300_000, url="http://x/?token=abcdef")
        answer = self.ask("GET", f"refused/{number}")
        self.assertIn("xxxx", answer["event"]["begin"])
        self.assertLess(len(json.dumps(answer)), 20_000)

    def test_look_at_a_late_one(self) -> None:
        """An event that was fetched later than it happened is shown without the journal's mark of that."""
        late = mark_late(b'{"post_type":"message","n":5,"text":"hello"}')
        self.journal.append(10001, [late])
        self.clock.advance(0.01)
        [batch] = self.successResultOf(self.journal.read(10001, 0)).batches
        self.journal.refused("nonebot", batch, REFUSED)
        [listed] = self.ask("GET", "backlog")["refused"]
        answer = self.ask("GET", f"refused/{listed['id']}")
        self.assertEqual(answer["event"], {"post_type": "message", "n": 5, "text": "hello"})

    def test_look_at_one_that_is_gone(self) -> None:
        """Its first 64 KiB are there, and are not sent again."""
        number = self.refuse(token="abcdef", text="x" * 100_000)
        small = self.refuse(text="hello")
        self.clock.advance(RETENTION + 1)
        self.clock.advance(10)
        answer = self.ask("GET", f"refused/{number}")
        self.assertEqual(answer["complete"], False)
        self.assertIn("xxxx", answer["event"]["begin"])
        self.assertNotIn("abcdef", json.dumps(answer))
        self.assertEqual(self.ask("GET", f"refused/{small}")["event"]["text"], "hello")
        sink = self.attach()
        self.assertEqual(self.ask("POST", f"refused/{number}"), {"outcome": "gone", "reason": ""})
        self.assertEqual(sink.again, [])

    def test_deliver_again(self) -> None:
        """The outcome is told, and it stays in the list."""
        number = self.refuse(n=17)
        self.assertEqual(self.ask("POST", f"refused/{number}")["outcome"], "not_connected")
        sink = self.attach()
        answer = self.routes["POST", "refused"](None, (str(number),), b"")  # type: ignore[arg-type]
        waiting: Deferred[Any] = Deferred.fromCoroutine(answer)
        self.assertEqual([one["n"] for one in sink.again_events], [17])
        sink.again[0].end("refused", "close code 1009")
        self.assertEqual(self.successResultOf(waiting), {"outcome": "refused", "reason": "close code 1009"})
        self.assertEqual(self.ask("GET", "backlog")["refused"][0]["id"], number)
        self.assertEqual(self.delivery.counters.refused, 1)

    def test_whoever_asked_goes_away(self) -> None:
        """It goes on, and the line is written."""
        number = self.refuse(n=17)
        sink = self.attach()
        answer = self.routes["POST", "refused"](None, (str(number),), b"")  # type: ignore[arg-type]
        waiting: Deferred[Any] = Deferred.fromCoroutine(answer)
        waiting.addErrback(lambda _cancelled: None)
        waiting.cancel()
        sink.again[0].end("confirmed")
        self.assertEqual(len(self.lines.all("console:", "confirmed")), 1)

    def test_many_at_once(self) -> None:
        """No more than some are on their way."""
        number = self.refuse()
        sink = self.attach()
        found: list[Any] = []
        for _ in range(30):
            answer = self.routes["POST", "refused"](None, (str(number),), b"")  # type: ignore[arg-type]
            Deferred.fromCoroutine(answer).addCallback(found.append)
        self.assertEqual((len(sink.again), len(found)), (16, 14))
        self.clock.advance(11)
        self.assertEqual(len(found), 30)
        self.assertEqual(found[-1]["outcome"], "sent")

    def test_of_a_bot_that_is_gone(self) -> None:
        number = self.refuse()
        del self.directory.bots["nonebot"]
        self.assertEqual(self.ask("POST", f"refused/{number}")["outcome"], "not_connected")
        self.assertEqual(self.ask("GET", f"refused/{number}")["refused"]["bot"], "nonebot")

    def test_drop(self) -> None:
        """One, or all; a line says so."""
        first, second, third = self.refuse(), self.refuse(), self.refuse()
        self.assertEqual(self.ask("DELETE", f"refused/{second}"), {"dropped": 1})
        self.assertEqual(self.problem("DELETE", f"refused/{second}"), (404, "gone"))
        self.assertEqual(self.problem("GET", f"refused/{second}"), (404, "gone"))
        self.assertEqual(self.problem("POST", f"refused/{second}"), (404, "gone"))
        self.assertEqual([one["id"] for one in self.ask("GET", "backlog")["refused"]], [third, first])
        self.assertEqual(self.ask("DELETE", "refused"), {"dropped": 2})
        self.assertEqual(self.ask("GET", "backlog")["refused"], [])
        self.assertEqual(len(self.lines.all("console: dropped")), 2)

    def test_numbers_that_nothing_has(self) -> None:
        for number in (0, 7, 1 << 62, 1 << 63, 10**19 - 1):
            self.assertEqual(self.problem("GET", f"refused/{number}"), (404, "gone"))

    def test_a_full_disk(self) -> None:
        """What is not written yet is listed; dropping what is written fails with a sentence."""
        number = self.refuse()
        self.clock.advance(2)
        self.store.full = True
        self.assertEqual(self.problem("DELETE", f"refused/{number}"), (503, "journal_trouble"))
        self.assertEqual(len(self.ask("GET", "backlog")["refused"]), 1)


class NotOpenTests(BacklogTestCase):
    opens = False

    def test_a_sentence(self) -> None:
        for method, path in (
            ("GET", "backlog"), ("GET", "refused/1"), ("POST", "refused/1"), ("DELETE", "refused/1"),
            ("DELETE", "refused"),
        ):  # fmt: skip
            self.assertEqual(self.problem(method, path), (503, "journal_trouble"), path)
        asked = {"bot": "nonebot", "account": 10001, "name": "nonebot"}
        self.assertEqual(self.problem("POST", "backlog/skip", asked), (503, "journal_trouble"))
        self.assertEqual(self.problem("POST", "backlog/undo", asked), (409, "not_undoable"))
