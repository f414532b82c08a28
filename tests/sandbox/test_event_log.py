"""The event log: what happened in a world, with sequence numbers."""

from __future__ import annotations

import json
import time
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import IWorldLog
from lgtwist.sandbox.account import SandboxAccount
from lgtwist.sandbox.control.log import log_json
from lgtwist.sandbox.control.verbs import VERBS
from lgtwist.sandbox.event_log import MAX_ENTRIES, MAX_LOG_BYTES, EventLog
from lgtwist.sandbox.files.media import MediaStore
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import world as worlds
from lgtwist.sandbox.world.world import World
from tests.rounds import SLOWNESS
from tests.sandbox.worlds import ALICE, BOB, CAROL, GROUP, SELF, text

#: Seconds since the epoch at which the sandbox starts, and the number that its log begins after.
START = 1_700_000_000
FIRST = START * 1000


class RingTests(SynchronousTestCase):
    """The numbers, and the bounds."""

    def seqs(self, log: EventLog, after: int, most: int = MAX_ENTRIES) -> list[int]:
        return [entry.seq for entry in log.entries_after(after, most)]

    def test_newest_of_each_record(self) -> None:
        """A record that changes again has its newest entry only; who has read the old one gets it again."""
        log = EventLog(10)
        log.add_records([("group", "1"), ("message", "5")], 0)
        log.add_records([("message", "6"), ("message", "5")], 0)
        self.assertEqual([(e.seq, e.key) for e in log.entries_after(10)], [(11, "1"), (13, "6"), (14, "5")])
        self.assertEqual(self.seqs(log, 12), [13, 14])
        self.assertEqual(self.seqs(log, 10, 2), [11, 13])
        self.assertEqual(self.seqs(log, 14), [])
        self.assertFalse(log.has_missed(12))

    def test_missed(self) -> None:
        """Below what is there, and above it, all that is there is given, as missed; between them never."""
        log = EventLog(10)
        self.assertEqual([log.has_missed(n) for n in (9, 10, 11)], [True, False, True])
        log.add_records([("message", str(n)) for n in range(MAX_ENTRIES + 5)], 0)
        self.assertEqual([log.has_missed(n) for n in (14, 15, 1015, 1016)], [True, False, False, True])
        for after in (0, 14, 15, 99_999):
            self.assertEqual(self.seqs(log, after, 2), [16, 17])

    def test_bytes(self) -> None:
        """Large events are not kept, only their size; many small ones are dropped above the bytes."""
        log = EventLog(0)
        log.add_event("event", b"x" * 10_000, "notice" * 100_000, 0)
        (entry,) = log.entries_after(0)
        shown = json.loads(entry.event)
        self.assertEqual(shown["size"], 10_000)
        self.assertLessEqual(len(shown["post_type"]), 100)
        for _ in range(MAX_ENTRIES):
            log.add_event("event", b"x" * 8000, "notice", 0)
        entries = log.entries_after(0)
        self.assertLessEqual(sum(len(entry.event) for entry in entries), MAX_LOG_BYTES)
        self.assertGreater(len(entries), 450)
        self.assertEqual(entries[0].seq, log.dropped_seq + 1)
        for number in range(10):  # records cost little: replaced ones are not counted any more
            log.add_records([("group", "1")], number)
        self.assertGreater(len(log.entries_after(0)), 450)

    def test_world(self) -> None:
        """After another world was loaded the entries of the old one's records are not there; notices are."""
        log = EventLog(0)
        log.add_records([("message", "1")], 0)
        log.add_event("notice", b"{}", "notice", 0)
        log.add_world(0)
        log.add_world(0)
        self.assertEqual([(e.seq, e.kind) for e in log.entries_after(0)], [(2, "notice"), (4, "world")])
        self.assertFalse(log.has_missed(0))


class LogTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(START)
        account = Account(SELF, self.clock, self.clock.seconds)
        self.sandbox = SandboxAccount(account, self.mktemp(), cast(MediaStore, None), self.clock.seconds)
        self.sandbox.prepare()
        self.sandbox.startService()
        self.addCleanup(self.sandbox.stopService)

    def verb(self, name: str, **params: Any) -> Any:
        answer = VERBS[name](self.sandbox.world, Params(json.dumps(params).encode()), self.sandbox.now())
        self.sandbox.publish_and_save()
        return answer

    def portion(self, after: int | None, most: int = 1000, longest: int = 1 << 16) -> dict[str, Any]:
        found = self.sandbox.log_portion(after, most, longest)
        entries = [json.loads(entry) for entry in found.entries]
        return {"entries": entries, "last": found.last, "missed": found.missed, "more": found.more}

    def entries(self, after: int = FIRST) -> list[dict[str, Any]]:
        """Return the entries, which are the same over HTTP and for the console."""
        over_http = json.loads(b"".join(log_json(self.sandbox.event_log, self.sandbox.world, after)))
        mine = self.portion(after)
        self.assertEqual(over_http["entries"], mine["entries"])
        self.assertEqual(over_http["last"], self.sandbox.last_seq)
        return list(over_http["entries"])

    def newest(self) -> dict[str, Any]:
        return self.entries()[-1]


class EntriesTests(LogTestCase):
    """What is logged."""

    def test_provided(self) -> None:
        self.assertTrue(verifyObject(IWorldLog, self.sandbox))

    def test_start(self) -> None:
        """At the start nothing has happened; the numbers begin with milliseconds since the epoch."""
        self.assertEqual(self.portion(None), {"entries": [], "last": FIRST, "missed": False, "more": False})
        self.assertEqual(self.portion(FIRST)["missed"], False)
        self.assertEqual(self.portion(FIRST - 1)["missed"], True)

    def test_message(self) -> None:
        """Who says something, and what becomes of it, is in the log as it is now."""
        self.verb("say", user_id=ALICE, message="hi")
        (entry,) = self.entries()
        self.assertEqual(
            entry,
            {
                "seq": FIRST + 1,
                "time": START,
                "kind": "message",
                "message": {
                    "message_id": 1,
                    "time": START,
                    "message_type": "private",
                    "user_id": ALICE,
                    "from_bot": False,
                    "message": text("hi"),
                    "raw_message": "hi",
                    "recalled": False,
                    "peer_id": ALICE,
                    "likes": {},
                    "essence": None,
                    "anonymous": "",
                },
            },
        )
        self.verb("react", user_id=ALICE, message_id=1, emoji_id="76")
        (message,) = self.entries()
        self.assertEqual((message["seq"], message["message"]["likes"]), (FIRST + 2, {"76": [ALICE]}))
        self.verb("recall", message_id=1)
        message, notice = self.entries()
        self.assertTrue(message["message"]["recalled"])
        self.assertEqual((message["seq"], notice["seq"]), (FIRST + 3, FIRST + 4))
        self.assertEqual((notice["kind"], notice["event"]["notice_type"]), ("notice", "friend_recall"))

    def test_group(self) -> None:
        """A group's message, an essence, an anonymous one; the group is as GET /sandbox/{id} has it."""
        self.verb("say", user_id=BOB, group_id=GROUP, message="hi")
        self.verb("essence", user_id=ALICE, message_id=1)
        found = {e["kind"]: e for e in self.entries()}
        self.assertEqual(found["message"]["message"]["essence"], {"operator_id": ALICE, "time": START})
        self.assertEqual(found["message"]["message"]["group_id"], GROUP)
        self.assertEqual(found["group"]["group"]["group_id"], GROUP)
        self.assertEqual(len(found["group"]["group"]["members"]), 4)
        self.verb("say", user_id=BOB, group_id=GROUP, message="psst", anonymous=True)
        self.assertTrue(self.newest()["message"]["anonymous"].startswith("Anonymous "))

    def test_requests_and_people(self) -> None:
        """Requests come and are removed; people change; neither requests nor messages are there twice."""
        flag = self.verb("ask", user_id=CAROL, comment="me")["flag"]
        (entry,) = self.entries()
        self.assertEqual((entry["kind"], entry["request"]["flag"]), ("request", flag))
        self.sandbox.send(1, "set_friend_add_request", json.dumps({"flag": flag}).encode())
        shown = [(e["kind"], e.get("removed") or e.get(e["kind"]) or e["event"]) for e in self.entries()]
        self.assertEqual({kind for kind, _value in shown}, {"person", "request", "notice"})
        self.assertIn(("request", flag), shown)
        (person,) = [value for kind, value in shown if kind == "person"]
        self.assertTrue(person["friend"])

    def test_forward_and_file(self) -> None:
        """Forwarded messages have their nodes; files come, and everything that is removed is named."""
        node = {"type": "node", "data": {"user_id": "1", "nickname": "n", "content": "c"}}
        forward = self.verb("say", user_id=ALICE, message=[node])["forward_id"]
        stored = {"file": "k.png", "name": "k.png", "url": "http://x/k.png", "size": 3}
        self.verb("upload", user_id=BOB, group_id=GROUP, file=stored)
        found = {e["kind"]: e for e in self.entries()}
        self.assertEqual(found["forward"]["forward"]["forward_id"], forward)
        self.assertEqual(found["forward"]["forward"]["nodes"][0]["data"]["nickname"], "n")
        self.assertEqual(found["file"]["file"]["name"], "k.png")
        self.assertEqual(found["notice"]["event"]["notice_type"], "group_upload")
        self.verb("forget_group", group_id=GROUP)
        self.assertEqual(
            self.newest(),
            {"seq": self.sandbox.last_seq, "time": START, "kind": "group", "removed": str(GROUP)},
        )

    def test_oldest_messages(self) -> None:
        """A message that the bounds of a world remove is removed in the log too."""
        self.patch(worlds, "MAX_CHAT_MESSAGES", 2)
        for words in ("one", "two", "three"):
            self.verb("say", user_id=ALICE, message=words)
        shown = {e.get("removed") or e["message"]["message_id"] for e in self.entries()}
        self.assertEqual(shown, {"1", 2, 3})

    def test_injected(self) -> None:
        """An injected event is there as it is, without its echo and line breaks; of a large one the size."""
        self.sandbox.publish_raw_event(b'{\n"post_type": "x", "echo": 1,\r\n"a": "\\ud83d"}')
        found = self.sandbox.log_portion(FIRST, 10, 1000).entries[0]
        self.assertNotIn(b"\n", found)
        self.assertEqual(json.loads(found)["event"], {"post_type": "x", "a": "\ufffd"})
        self.assertEqual(json.loads(found)["kind"], "event")
        large = json.dumps({"post_type": "notice", "a": "x" * 9000}).encode()
        self.sandbox.publish_raw_event(large)
        self.assertEqual(self.newest()["event"], {"post_type": "notice", "size": len(large)})
        self.assertRaises(ValueError, self.sandbox.publish_raw_event, b"{}")
        self.assertEqual(self.sandbox.last_seq, FIRST + 2)

    def test_other_world(self) -> None:
        """Another world is one entry, however many people it has; what happens there comes after it."""
        self.verb("say", user_id=ALICE, message="hi")
        self.verb("poke", user_id=ALICE)
        self.sandbox.replace_world(World.with_example_people(SELF, START))
        self.assertEqual([e["kind"] for e in self.entries()], ["notice", "world"])
        self.verb("say", user_id=ALICE, message="hi")
        self.assertEqual([e["kind"] for e in self.entries()], ["notice", "world", "message"])


class PortionTests(LogTestCase):
    """What the console reads."""

    def test_portions(self) -> None:
        """A reader that goes on after ``last`` reads each entry once, however few it takes."""
        for number in range(7):
            self.verb("say", user_id=ALICE, message=str(number))
        after, seen = FIRST, []
        for _ in range(4):
            portion = self.portion(after, most=2)
            seen += [e["message"]["raw_message"] for e in portion["entries"]]
            after = portion["last"]
        self.assertEqual(seen, list("0123456"))
        self.assertFalse(portion["more"])
        self.assertEqual(self.portion(after), {"entries": [], "last": after, "missed": False, "more": False})

    def test_missed(self) -> None:
        """Who has missed something is told so, and gets what is there."""
        self.verb("say", user_id=ALICE, message="hi")
        for after in (0, FIRST - 1, FIRST + 2):
            portion = self.portion(after)
            self.assertEqual(
                (portion["missed"], portion["last"], len(portion["entries"])), (True, FIRST + 1, 1)
            )

    def test_shortened(self) -> None:
        """Long messages and forwarded ones are shortened for the console only; nothing else is."""
        node = {"type": "node", "data": {"user_id": "1", "nickname": "n", "content": "n" * 5000}}
        self.verb("say", user_id=ALICE, message=[node])
        for words in ("é" * 3000, "\x01" * 3000, "x" * 4000):
            self.verb("say", user_id=ALICE, message=words)
        entries = self.portion(FIRST, longest=4096)["entries"]
        self.assertEqual([e["kind"] for e in entries], ["forward", *["message"] * 4])
        self.assertEqual((entries[0]["forward"]["nodes"], entries[0]["forward"]["shortened"]), ([], True))
        self.assertNotIn("shortened", entries[1]["message"])
        for entry in entries[2:]:
            shown = entry["message"]
            self.assertEqual((shown["message"], shown["shortened"]), ([], True))
            self.assertEqual(len(shown["raw_message"]), 2000)
        self.assertNotIn("shortened", json.dumps(self.entries()))

    def test_bounded(self) -> None:
        """A portion of long messages ends early, and says that there are more."""
        for _ in range(10):
            self.verb("say", user_id=ALICE, message="x" * 300_000)
        portion = self.sandbox.log_portion(FIRST, 1000, 1 << 20)
        self.assertLess(sum(map(len, portion.entries)), 3 << 20)
        self.assertTrue(portion.more)

    def test_nothing_holds_the_reactor(self) -> None:
        """The largest message takes less than 50 ms at a time, in parts and shortened."""
        self.sandbox.world.send_as_person(ALICE, text("\u4e2d" * 9_000_000), START)
        self.sandbox.publish_and_save()
        slowest, parts = 0.0, log_json(self.sandbox.event_log, self.sandbox.world, FIRST)
        began = time.thread_time()  # not what others compute at the same time
        self.portion(FIRST)
        while True:
            slowest = max(slowest, time.thread_time() - began)
            began = time.thread_time()
            if next(parts, None) is None:
                break
        self.assertLess(slowest, 0.05 * SLOWNESS)


class WaitingTests(LogTestCase):
    """``when_logged``."""

    def test_fires(self) -> None:
        """It fires once, when all of what happened is in the log; and when the account stops."""
        seen: list[int] = []

        def wait() -> Deferred[None]:
            return self.sandbox.when_logged().addCallback(lambda _none: seen.append(self.sandbox.last_seq))

        wait(), wait()
        self.verb("recall", message_id=self.verb("say", user_id=ALICE, message="x")["message_id"])
        self.assertEqual(seen, [FIRST + 1] * 2)
        wait()
        self.verb("poke", user_id=ALICE, group_id=GROUP)
        wait()
        self.sandbox.publish_raw_event(b'{"post_type":"x"}')
        wait()
        self.sandbox.replace_world(World(SELF))
        wait()
        self.verb("say", user_id=ALICE, message="x") if ALICE in self.sandbox.world.people else None
        self.sandbox.stopService()
        self.assertEqual(len(seen), 6)

    def test_not_fired(self) -> None:
        """Nothing that happens, nothing that fires; who cancels waits no more."""
        waiting = self.sandbox.when_logged()
        self.sandbox.publish_and_save()
        self.assertNoResult(waiting)
        waiting.addErrback(lambda _failure: None)
        waiting.cancel()
        self.verb("poke", user_id=ALICE)
