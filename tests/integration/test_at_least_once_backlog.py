"""At-least-once delivery: what of the backlog a bot gets that comes late."""

from __future__ import annotations

import os
import time

from tests.integration.at_least_once import (
    AtLeastOnceTestCase,
    at_least_once,
    bearer,
    journalled_numbers,
    lines,
    skipped,
)
from tests.integration.faulty import numbered, quiet
from tests.integration.rawclient import RawClient
from tests.integration.running import ServiceTestCase, wait_until

ALICE, GROUP = 20001, 30001


class Late(AtLeastOnceTestCase):
    """What bots get late, each as its ``replay`` says."""

    bots = (
        ("young", 'replay = { max_age = "1500ms" }'),
        ("few", "replay = { max_events = 5 }"),
        ("none", "replay = { max_events = 0 }"),
        ("paced", "replay = { rate = 200 }"),
        ("marked", "replay = { mark = true }"),
        ("asking", 'replay = { delay = "30s" }'),
        ("quiet", 'replay = { delay = "400ms" }'),
        ("graced", 'replay = { grace = "2s" }'),
        ("array", 'message_format = "array"'),
        ("string", 'message_format = "string"'),
        ("choosy", f'events = {{ post_type = ["message"], group_id = [{GROUP}] }}'),
    )
    toml = (
        quiet(heartbeat="100ms")
        + "".join(at_least_once(name, line, token=True) for name, line in bots)
        + '[[bots]]\nname = "live"\n'
    )

    def come(self, name: str) -> RawClient:
        """A bot comes, or comes back, and has seen its lifecycle."""
        return self.bot(headers=bearer(name))

    def clear(self, name: str) -> None:
        """Nothing waits for a bot, and it is not there."""
        with self.come(name) as client:
            self.settle(client, name)

    def request(self) -> int:
        """An event that somebody waits for; its number."""
        self._next += 1
        self.service.inject({"post_type": "request", "request_type": "friend", "n": self._next - 1})
        self.wait_committed()
        return self._next - 1

    def come_numbers(self, client: RawClient, last: int) -> list[int]:
        """The numbers that come, until the last."""
        found: list[int] = []
        while not found or found[-1] != last:
            event = client.event()
            if "n" in event:
                found.append(event["n"])
        return found

    def test_max_age(self) -> None:
        """Old events are skipped, counted and named once; requests come however old."""
        self.clear("young")
        before = skipped(self.service, "max_age", "young")
        asked = self.request()
        self.publish(5)
        time.sleep(1.6)  # age is what this is about
        fresh = self.publish(3)
        with self.come("young") as client:
            self.assertEqual(self.come_numbers(client, fresh[-1]), [asked, *fresh])
            self.settle(client, "young")
        self.assertEqual(skipped(self.service, "max_age", "young") - before, 5)
        wait_until("it is told", lambda: lines(self.new_log(), "young: 5 events", "were skipped"))

    def test_max_events(self) -> None:
        """Only so many of the newest, and requests."""
        self.clear("few")
        before = skipped(self.service, "max_events", "few")
        asked = self.request()
        some = self.publish(50)
        with self.come("few") as client:
            self.assertEqual(self.come_numbers(client, some[-1]), [asked, *some[-5:]])
            fresh = self.publish(10)
            self.assertEqual(self.come_numbers(client, fresh[-1]), list(fresh))
            self.settle(client, "few")
        self.assertEqual(skipped(self.service, "max_events", "few") - before, 45)
        wait_until("it is told", lambda: lines(self.new_log(), "few: 45 events", "were skipped"))

    def test_no_events(self) -> None:
        """Nothing late but requests."""
        self.clear("none")
        self.publish(20)
        asked = self.request()
        self.publish(20)
        with self.come("none") as client:
            fresh = self.publish(2)
            self.assertEqual(self.come_numbers(client, fresh[-1]), [asked, *fresh])
            self.settle(client, "none")

    def test_rate(self) -> None:
        """The backlog comes at its pace; what happens meanwhile comes after it, and then at once."""
        self.clear("paced")
        some = self.publish(150)
        with self.come("paced") as client:
            began, watch = time.monotonic(), self.service.stopwatch()
            fresh = self.publish(200)
            self.assertEqual(self.come_numbers(client, some[-1]), list(some))
            self.assertGreater(time.monotonic() - began, 0.55)
            self.assertLess(watch.seconds(), 3.0)
            watch = self.service.stopwatch()
            self.assertEqual(self.come_numbers(client, fresh[-1]), list(fresh))
            self.assertLess(watch.seconds(), 1.0)
            self.settle(client, "paced")

    def test_delay_until_the_bot_has_asked(self) -> None:
        """A bot that drops what comes before it knows who it is gets all the same, in order."""
        with self.come("asking") as client:
            client.call("get_login_info")
            self.settle(client, "asking")
        late = self.publish(20)
        with self.come("asking") as client:
            live = self.publish(5)
            client.call("get_login_info", "who am I")
            dropped = []
            while (message := client.message()).get("echo") != "who am I":
                dropped.append(message)
            self.assertEqual([one for one in dropped if "n" in one], [])
            self.assertEqual(message["data"]["user_id"], 10001)
            watch = self.service.stopwatch()
            self.assertEqual(self.come_numbers(client, live[-1]), [*late, *live])
            self.assertLess(watch.seconds(), 5)
            self.settle(client, "asking")

    def test_delay_of_a_bot_that_asks_nothing(self) -> None:
        """It waits the whole time; with nothing late live events come at once."""
        self.clear("quiet")
        late = self.publish(5)
        began = time.monotonic()
        with self.come("quiet") as client:
            self.assertEqual(self.come_numbers(client, late[-1]), list(late))
            self.assertGreater(time.monotonic() - began, 0.35)
            self.settle(client, "quiet")

    def test_mark(self) -> None:
        """Late events say that they are; others do not."""
        self.clear("marked")
        self.publish(3)
        with self.come("marked") as client:
            late = [client.event(post_type="notice") for _ in range(3)]
            self.publish(3)
            fresh = [client.event(post_type="notice") for _ in range(3)]
            self.settle(client, "marked")
        self.assertEqual([event.get("replayed") for event in late + fresh], [True] * 3 + [None] * 3)

    def test_grace(self) -> None:
        """What was confirmed less than so long before a break comes again, whenever the bot is back."""
        self.clear("graced")
        old = self.publish(3)
        with self.come("graced") as client:
            self.come_numbers(client, old[-1])
            self.settle(client, "graced")
            time.sleep(2.1)  # so that they are out of it
            some = self.publish(5)
            self.come_numbers(client, some[-1])
            self.settle(client, "graced")
        time.sleep(2.1)  # how long it is away does not matter
        with self.come("graced") as client:
            self.assertEqual(self.come_numbers(client, some[-1]), list(some))
            self.settle(client, "graced")

    def test_no_heartbeat_comes_late(self) -> None:
        """Those of the time in which the bot was away were for others."""
        self.clear("marked")
        with self.bot() as live:
            for _beat in range(4):
                live.event(meta_event_type="heartbeat")
        some = self.publish(1)
        with self.come("marked") as client:
            self.assertEqual(client.event()["n"], some[0])
            self.settle(client, "marked")

    def test_live_bot_beside(self) -> None:
        """Gets everything at once, and nothing of the past."""
        self.publish(5)
        with self.bot() as live:
            watch = self.service.stopwatch()
            fresh = self.publish(5)
            self.assertEqual(self.come_numbers(live, fresh[-1]), list(fresh))
            self.assertLess(watch.seconds(), 1.0)

    def test_message_formats(self) -> None:
        """Late messages are in the form that the bot wants, as those that happen now."""
        for name in ("array", "string"):
            self.clear(name)
        text = "late 你好 [CQ:face,id=1] &amp;"
        self.service.say(ALICE, text)
        self.wait_committed()
        for name in ("array", "string"):
            with self.come(name) as client:
                late = client.event(post_type="message")
                self.service.say(ALICE, text)
                now = client.event(post_type="message")
                self.settle(client, name)
            self.assertEqual(late["message"], now["message"])
            self.assertIsInstance(late["message"], list if name == "array" else str)
            self.assertEqual(late["raw_message"], text)

    def test_filters(self) -> None:
        """Only what passes is sent late too; what does not is no backlog for ever."""
        self.clear("choosy")
        self.publish(30)
        self.service.say(ALICE, "private")
        self.service.say(ALICE, "in the group", group_id=GROUP)
        self.publish(30)
        with self.come("choosy") as client:
            self.assertEqual(client.event(post_type="message")["raw_message"], "in the group")
            self.service.say(ALICE, "private")
            self.publish(5)
            self.service.say(ALICE, "again", group_id=GROUP)
            self.assertEqual(
                [event["raw_message"] for event in [client.event(post_type="message")]], ["again"]
            )
            self.publish(5)
            self.settle(client, "choosy")


class Accounts(ServiceTestCase):
    """What is journalled, and what is not."""

    toml = (
        '[[accounts]]\ntype = "sandbox"\nself_id = 10001\n[[accounts]]\ntype = "sandbox"\nself_id = 10002\n'
        + quiet()
        + at_least_once("bot", "accounts = [10002]", token=True)
        + '[[bots]]\nname = "live"\n'
    )

    def test_only_accounts_that_such_a_bot_may_see(self) -> None:
        """The others' events touch no disk."""
        self.service.inject(numbered(1), 10001)
        self.service.inject(numbered(2), 10002)
        with RawClient(self.service, "/10002", bearer("bot")) as client:
            self.assertEqual(client.event(post_type="notice")["n"], 2)
        self.assertEqual(journalled_numbers(self.service, 10002), [2])
        self.assertEqual(journalled_numbers(self.service, 10001), [])

    def test_no_journal_where_nobody_wants_one(self) -> None:
        """No such bot, no file."""
        service = self.start_service(quiet() + '[[bots]]\nname = "live"\n')
        service.inject(numbered(1))
        self.assertEqual([name for name in os.listdir(service.folder / "data") if "journal" in name], [])
