"""Certain delivery over real sockets: bots that are away, slow, silent, frozen, two at once or choosy."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

from tests.frameworks.frameworks import HERE, _installed, not_available
from tests.integration.certain import (
    WINDOW,
    Bot,
    CertainTestCase,
    answer_pings,
    backlog,
    bearer,
    certain,
    has_all,
    journalled,
    journalled_numbers,
    lines,
    metric,
    rows,
    skipped,
)
from tests.integration.certificates import OverTls
from tests.integration.faulty import Injector, Proxy, numbered, numbers, quiet
from tests.integration.listening_bots import EMPTY, Listener, Receiver, respond
from tests.integration.rawclient import PING, PONG, TEXT, RawClient
from tests.integration.running import ROOT, ServiceTestCase, wait_until

ALICE, GROUP = 20001, 30001


def deaf_to_pings(client: RawClient, until: int) -> tuple[list[int], list[bytes]]:
    """The numbers of the events that come, and the pings, none of which is answered."""
    came: list[int] = []
    pings: list[bytes] = []
    while not came or came[-1] < until:
        opcode, payload = client.frame()
        if opcode == PING:
            pings.append(payload)
        elif opcode == TEXT:
            event = json.loads(payload)
            if "n" in event:
                came.append(event["n"])
    return came, pings


class Breaks(CertainTestCase):
    """One bot, one service, and connections that end."""

    def reader(self, **kwargs: Any) -> Bot:
        """A bot that is there, and at the end of the journal."""
        bot = Bot(self.service, **kwargs)
        self.addCleanup(bot.end)
        wait_until("the bot is connected", lambda: bot.connected)
        self.wait_confirmed()
        bot.lives[-1].clear()
        return bot

    def test_who_was_away_gets_everything_once(self) -> None:
        """In order, and then what happens, in one go."""
        bot = self.reader()
        there = self.publish(20)
        self.wait_confirmed()
        bot.leave()
        away = self.publish(3000, 200)
        bot.come_back()
        bot.wait_for(away[0])
        late = self.publish(500)
        bot.wait_for(late[-1])
        self.wait_confirmed()
        self.assertEqual(bot.lives[-2:], [[*there], [*away, *late]])

    def test_comes_and_goes_all_the_time(self) -> None:
        """Whenever a connection ends, the next goes on where the confirmed end; nothing is missing."""
        bot = self.reader()
        first = self._next
        for _round in range(6):
            some = self.publish(400)
            wait_until("some come", lambda: bot.newest >= some[100])  # noqa: B023
            lives = len(bot.lives)
            bot.reset()
            wait_until("it is back", lambda: len(bot.lives) > lives)  # noqa: B023
        bot.wait_for(self._next - 1)
        before = first - 1
        for life in bot.lives:
            if life:
                self.assertEqual(life, list(range(life[0], life[-1] + 1)))
                self.assertLessEqual(life[0], before + 1)
                before = max(before, life[-1])
        self.assertEqual(before, self._next - 1)

    def test_a_close_frame_takes_the_unconfirmed_with_it(self) -> None:
        """What was sent and not confirmed before a close comes again; what was confirmed does not."""
        self.reader().leave()
        first = self.publish(10)
        with self.bot() as client:
            came, pings = deaf_to_pings(client, first[-1])
            self.assertEqual(came, list(first))
            while not pings:
                opcode, payload = client.frame()
                if opcode == PING:
                    pings.append(payload)
            client.send(pings[-1], PONG)
            wait_until("they are confirmed", lambda: has_all(self.service))
            second = self.publish(5)
            came, _pings = deaf_to_pings(client, second[-1])
            self.assertEqual(came, list(second))
            client.send_close()
            client.read_to_end()
        with self.bot() as client:
            self.assertEqual(numbers(client, lambda n: n == second[-1]), list(second))
            self.settle(client)

    def test_the_newest_connection_takes_over_and_hands_back(self) -> None:
        """The older one goes on as live; when the newer ends it gets what that did not confirm."""
        self.reader().leave()
        unconfirmed = self.publish(3)
        older = self.bot()
        self.assertEqual(deaf_to_pings(older, unconfirmed[-1])[0], list(unconfirmed))
        newer = self.bot()
        self.assertEqual(deaf_to_pings(newer, unconfirmed[-1])[0], list(unconfirmed))
        answer_pings(older)  # too late: it is not asked any more
        self.assertEqual(older.ask("get_login_info")["retcode"], 0)
        self.assertEqual(backlog(self.service), 3)
        self.settle(newer)
        self.assertEqual(len(lines(self.new_log(), "a newer connection takes over account 10001")), 1)
        both = self.publish(4)
        self.assertEqual(deaf_to_pings(older, both[-1])[0], list(both))
        self.assertEqual(numbers(newer, lambda n: n == both[-1]), list(both))
        self.settle(newer)
        lost = self.publish(3)
        deaf_to_pings(newer, lost[-1])
        newer.reset()
        seen: list[int] = []
        while seen.count(lost[-1]) < 2:
            seen += numbers(older, lambda n: n == lost[-1])
        self.assertEqual(seen, [*lost, *lost])
        self.settle(older)
        own = self.publish(3)
        self.assertEqual(numbers(older, lambda n: n == own[-1]), list(own))
        self.settle(older)

    def test_an_api_connection_does_not_take_over(self) -> None:
        """Only who gets events counts."""
        active = self.reader()
        self.dial("/api")
        some = self.publish(3)
        active.wait_for(some[-1])
        self.wait_confirmed()
        self.assertEqual(lines(self.new_log(), "takes over"), [])

    def test_refuses_everything(self) -> None:
        """One event is skipped and no more; one line says that the bot is misconfigured."""
        self.reader().leave()
        some = self.publish(6)
        for _attempt in range(14):
            with self.bot() as client:
                deaf_to_pings(client, 0)
                client.send_close(1009, "no")
                client.read_to_end()
        self.assertEqual(len(lines(self.new_log(), "skipped an event")), 1)
        self.assertEqual(len(lines(self.new_log(), "refuses every event")), 1)
        with self.bot() as client:
            self.assertEqual(numbers(client, lambda n: n == some[-1]), list(some[1:]))
            self.settle(client)

    def test_other_ends_skip_nothing(self) -> None:
        """A crash, 1011, 1000, 4000: the bot's own trouble, as often as it likes."""
        self.reader().leave()
        some = self.publish(2)
        for end in (None, 1011, 1000, 4000, 1002, 1008) * 2:
            with self.bot() as client:
                deaf_to_pings(client, 0)
                if end is None:
                    client.reset()
                else:
                    client.send_close(end)
                    client.read_to_end()
        with self.bot() as client:
            self.assertEqual(numbers(client, lambda n: n == some[-1]), list(some))
            self.settle(client)
        self.assertEqual(lines(self.new_log(), "skipped"), [])

    def test_meta_events_are_not_kept(self) -> None:
        """Neither in the journal nor, late, on a connection."""
        self.reader().leave()
        self.service.inject({"post_type": "meta_event", "meta_event_type": "test", "word": "meta"})
        some = self.publish(1)
        with self.bot() as client:
            event = client.event()
            self.assertEqual(event.get("n"), some[0])
            self.service.inject({"post_type": "meta_event", "meta_event_type": "test", "word": "now"})
            self.assertEqual(client.event()["word"], "now")
            self.settle(client)
        self.assertEqual([one for one in journalled(self.service) if b"meta" in one], [])

    def test_unsolicited_pongs_confirm_nothing(self) -> None:
        """Nor do pongs that say what no ping of ours said, nor those that come twice."""
        self.reader().leave()
        some = self.publish(3)
        with self.bot() as client:
            _came, pings = deaf_to_pings(client, some[-1])
            while not pings:
                opcode, payload = client.frame()
                if opcode == PING:
                    pings.append(payload)
            number = int(pings[-1].partition(b".")[0])
            for forged in (
                b"",
                b"x",
                b"0",
                b"-1",
                b".9",
                b"%d.9" % (number + 1000),
                b"9" * 19,
                b"9" * 120,
                b"\xff",
            ):
                client.send(forged, PONG)
            self.assertEqual(client.ask("get_login_info")["retcode"], 0)
            self.assertEqual(backlog(self.service), 3)
            client.send(pings[-1], PONG)
            self.wait_confirmed()
            more = self.publish(3)
            deaf_to_pings(client, more[-1])
            for old in pings:
                client.send(old, PONG)
            self.assertEqual(client.ask("get_login_info")["retcode"], 0)
            self.assertEqual(backlog(self.service), 3)


class BreaksOverTls(OverTls, Breaks):
    """The same over TLS."""


class Silence(CertainTestCase):
    """A service that pings often, and soon says that a bot is silent."""

    toml = quiet(ping_interval="100ms", ping_timeout="600ms", tcp_user_timeout="1s") + certain()

    def catch_up(self) -> None:
        with self.bot() as client:
            self.settle(client)

    def test_who_never_answers_pings_is_left_in_peace(self) -> None:
        """He gets one window and no more, once; one line says so; what he calls is answered."""
        self.catch_up()
        some = self.publish(WINDOW + 1000)
        with self.bot() as client:
            came, pings = deaf_to_pings(client, some[WINDOW - 1])
            self.assertEqual(came, list(some[:WINDOW]))
            silent = lambda: lines(self.new_log(), "no confirmation of events")  # noqa: E731
            wait_until("the log says so", silent)
            self.assertEqual(metric(self.service, "bot_silent"), 1)
            self.assertEqual(metric(self.service, "bot_unconfirmed_events"), WINDOW)
            count = len(pings)
            while len(pings) < count + 8:  # it is pinged all the same, and gets nothing else
                opcode, payload = client.frame()
                self.assertEqual(opcode, PING, payload)
                pings.append(payload)
            client.call("get_login_info", "asked")
            opcode = PING
            while opcode == PING:
                opcode, payload = client.frame()
            self.assertEqual(json.loads(payload)["echo"], "asked")
            self.assertEqual(backlog(self.service), WINDOW + 1000)
            self.assertEqual(len(silent()), 1)
            client.send(pings[-1], PONG)  # it confirms all before it
            self.assertEqual(numbers(client, lambda n: n == some[-1]), list(some[WINDOW:]))
            self.settle(client)
            self.assertEqual(len(lines(self.new_log(), "confirms events of account 10001 again")), 1)
            self.assertEqual(metric(self.service, "bot_silent"), 0)

    def test_network_that_was_cut(self) -> None:
        """Not a byte passes and nobody is told: it is found, and the next connection goes on."""
        self.catch_up()
        proxy = Proxy(self.service)
        self.addCleanup(proxy.close)
        bot = Bot(self.service, port=proxy.port)
        self.addCleanup(bot.end)
        before = self.publish(100)
        bot.wait_for(before[-1])
        self.wait_confirmed()
        proxy.cut()
        lost = self.publish(100)
        wait_until("it is found", proxy.service_side_ended)
        with self.bot() as client:
            self.assertEqual(numbers(client, lambda n: n == lost[-1]), list(lost))
            self.settle(client)

    def test_frozen_bot(self) -> None:
        """It reads nothing, its window is shut: TCP gives up, and it gets all when it is back."""
        self.catch_up()
        frozen = self.bot(receive_buffer=4096)
        some = self.publish(1000, 10_000)
        wait_until("it is dropped", lambda: lines(self.new_log(), "bot:", "disconnected"), 20)
        frozen.socket.close()
        with self.bot() as client:
            self.assertEqual(numbers(client, lambda n: n == some[-1]), list(some))
            self.settle(client)
        self.assertEqual(lines(self.new_log(), "events were dropped"), [])


class Restarts(ServiceTestCase):
    """The service ends and is started again, with the same configuration or another."""

    toml = quiet() + certain("bot", token=True) + certain("other", token=True)

    def setUp(self) -> None:
        super().setUp()
        self._next = 0
        self.bots = [self.start_bot("bot"), self.start_bot("other")]

    def start_bot(self, name: str) -> Bot:
        bot = Bot(self.service, headers=bearer(name))
        self.addCleanup(bot.end)
        wait_until(f"{name} is connected", lambda: bot.connected)
        return bot

    def publish(self, events: int) -> range:
        injector = Injector(self.service)
        some = range(self._next, self._next + events)
        injector.publish(*map(numbered, some))
        injector.close()
        self._next += events
        return some

    def wait_written(self) -> None:
        """Until the cursors stand on disk behind all that was published."""
        wait_until(
            "the cursors are written",
            lambda: rows(self.service, "SELECT min(ordinal) FROM cursor") == [(self._next,)],
        )

    def test_nothing_comes_twice_after_a_good_end_and_nothing_is_lost_after_any(self) -> None:
        """SIGTERM with all confirmed, SIGKILL with all written, SIGKILL at once; one bot is away."""
        here, away = self.bots
        away.leave()
        for number in (signal.SIGTERM, signal.SIGKILL):
            some = self.publish(300)
            here.wait_for(some[-1])
            if number == signal.SIGTERM:
                wait_until("all is confirmed", lambda: has_all(self.service))
            else:
                wait_until(
                    "the cursor is written",
                    lambda: (
                        rows(self.service, "SELECT ordinal FROM cursor WHERE bot = 'bot'") == [(self._next,)]
                    ),
                )
            lives = len(here.lives)
            self.service.stop(number)
            self.service.start()
            wait_until("it is back", lambda: len(here.lives) > lives)  # noqa: B023
        self.assertEqual(here.seen, list(range(600)))
        some = self.publish(300)
        here.wait_for(some[-1])  # so it was committed
        self.service.kill()
        self.service.start()
        away.come_back()
        away.wait_for(some[-1])
        self.assertEqual(away.seen, list(range(900)))
        last = self.publish(10)
        here.wait_for(last[-1])
        self.assertEqual(list(dict.fromkeys(here.seen)), list(range(910)))
        self.assertEqual(here.lives[-1], list(range(here.lives[-1][0], 910)))

    def test_a_new_bot_begins_at_the_end(self) -> None:
        """Who is named for the first time gets nothing of the past; who was named and left out goes on."""
        here, away = self.bots
        away.leave()
        self.publish(10)
        here.wait_for(9)
        here.leave()
        self.service.stop()
        config = self.service.config_path.read_text()
        self.service.config_path.write_text(
            config.replace('"other"', '"third"').replace("of-other", "of-third")
        )
        self.service.start()
        third = self.start_bot("third")
        here.come_back()
        self.publish(10)
        third.wait_for(19)
        self.assertEqual(third.seen, list(range(10, 20)))
        here.wait_for(19)
        third.leave()
        self.service.stop()
        self.service.config_path.write_text(config)
        self.service.start()
        away.come_back()
        away.wait_for(19)
        self.assertEqual(away.seen, list(range(20)))


class Slow(ServiceTestCase):
    """A bot that leaves much unread on disk, beside others."""

    toml = (
        quiet(send_buffer="1MiB")
        + certain("slow", token=True)
        + certain("quick", token=True)
        + '[[bots]]\nname = "live"\n'
    )
    SIZE, EVENTS = 12_000, 5000

    def test_memory_is_bounded_and_others_do_not_notice(self) -> None:
        """60 MB wait for one bot; then it reads them, in order; another gets what happens at once."""
        quick, live = Bot(self.service, headers=bearer("quick")), Bot(self.service)
        for bot in (quick, live):
            self.addCleanup(bot.end)
        slow = RawClient(self.service, headers=bearer("slow"), receive_buffer=65536)
        self.addCleanup(slow.socket.close)
        wait_until("all are connected", lambda: quick.connected and live.connected)
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        injector.publish(*(numbered(n, self.SIZE) for n in range(100)))
        quick.wait_for(99)
        before = self.service.memory()
        for first in range(100, self.EVENTS, 100):
            injector.publish(*(numbered(n, self.SIZE) for n in range(first, first + 100)))
        quick.wait_for(self.EVENTS - 1)
        wait_until("the quick one has confirmed all", lambda: has_all(self.service, "quick"))
        self.assertGreater(backlog(self.service, "slow"), self.EVENTS - 1000)
        read: list[int] = []
        reading = threading.Thread(
            target=lambda: read.extend(numbers(slow, lambda n: n == self.EVENTS + 99)), daemon=True
        )
        reading.start()
        latencies = []
        for n in range(self.EVENTS, self.EVENTS + 100):
            began = time.monotonic()
            injector.publish(numbered(n))
            quick.wait_for(n)
            live.wait_for(n)
            latencies.append(max(quick.at[n], live.at[n]) - began)
        grown = self.service.memory() - before
        reading.join(60)
        self.assertEqual(read, list(range(self.EVENTS + 100)))
        self.assertEqual(quick.seen, list(range(self.EVENTS + 100)))
        self.assertLess(statistics.median(latencies), 0.1, latencies)
        self.assertLess(max(latencies), 1.0, latencies)
        self.assertLess(max(grown, self.service.memory() - before), 45 << 20)
        self.assertEqual(metric(self.service, "dropped_events_total", bot="live"), 0)


class Late(CertainTestCase):
    """What bots get late, each as its ``replay`` says."""

    bots = (
        ("young", 'replay = { max_age = "700ms" }'),
        ("few", "replay = { max_events = 5 }"),
        ("none", "replay = { max_events = 0 }"),
        ("paced", "replay = { rate = 200 }"),
        ("marked", "replay = { mark = true }"),
        ("graced", 'replay = { grace = "1s" }'),
        ("array", 'message_format = "array"'),
        ("string", 'message_format = "string"'),
        ("choosy", f'events = {{ post_type = ["message"], group_id = [{GROUP}] }}'),
    )
    toml = (
        quiet(heartbeat="100ms")
        + "".join(certain(name, line, token=True) for name, line in bots)
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
        time.sleep(0.8)  # age is what this is about
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
            began = time.monotonic()
            fresh = self.publish(200)
            self.assertEqual(self.come_numbers(client, some[-1]), list(some))
            took = time.monotonic() - began
            self.assertGreater(took, 0.55)
            self.assertLess(took, 3.0)
            self.assertEqual(self.come_numbers(client, fresh[-1]), list(fresh))
            self.assertLess(time.monotonic() - began - took, 1.0)
            self.settle(client, "paced")

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
            time.sleep(1.2)  # so that they are out of it
            some = self.publish(5)
            self.come_numbers(client, some[-1])
            self.settle(client, "graced")
        time.sleep(1.2)  # how long it is away does not matter
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
            began = time.monotonic()
            fresh = self.publish(5)
            self.assertEqual(self.come_numbers(live, fresh[-1]), list(fresh))
            self.assertLess(time.monotonic() - began, 1.0)

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
        + certain("bot", "accounts = [10002]", token=True)
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


class Poison(ServiceTestCase):
    """An event of 1.1 MiB, and a program on ``websockets`` with its default limit."""

    toml = quiet() + certain("program", token=True) + '[[bots]]\nname = "live"\n'

    def setUp(self) -> None:
        if not _installed("websockets"):
            not_available("not installed: websockets")
        super().setUp()
        self.seen = self.service.folder / "seen"
        self.program: subprocess.Popen[bytes] | None = None

    def begin(self, **env: str) -> None:
        """Start the program."""
        self.program = subprocess.Popen(
            [sys.executable, str(HERE / "pong_client.py")],
            env={
                **os.environ,
                "URL": self.service.url(),
                "TOKEN": "of-program",
                "SEEN": str(self.seen),
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self.addCleanup(self.end)

    def end(self) -> None:
        """Kill the program."""
        if self.program is not None:
            self.program.kill()
            self.program.wait()
            self.program = None

    def numbers(self) -> list[int]:
        """What the program has handled."""
        if not self.seen.exists():
            return []
        return [int(line.split()[1]) for line in self.seen.read_text().splitlines()]

    def test_is_skipped_after_five_refusals(self) -> None:
        """It is named in one line, counted and kept; everything else arrives, in order."""
        self.begin()
        wait_until("it is connected", lambda: metric(self.service, "bot_connections", bot="program"))
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        injector.publish(*map(numbered, range(20)))
        injector.publish(numbered(20, int(1.1 * (1 << 20))))
        injector.publish(*map(numbered, range(21, 40)))
        with RawClient(self.service) as live:
            wait_until("what follows arrives", lambda: 39 in self.numbers())
            injector.publish(numbered(40))
            live.event(n=40)
        wait_until("what happens then too", lambda: 40 in self.numbers())
        self.assertEqual(list(dict.fromkeys(self.numbers())), [*range(20), *range(21, 41)])
        told = lines(self.service.log(), "skipped an event of account 10001", "5 times", "1009")
        self.assertEqual(len(told), 1)
        self.assertEqual(skipped(self.service, "refused", "program"), 1)
        kept = lambda: rows(self.service, "SELECT bot, account, position, size FROM refused")  # noqa: E731
        wait_until("it is kept", kept)
        self.assertEqual([row[:3] for row in kept()], [("program", 10001, 21)])
        report = subprocess.run(
            [
                *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()"),
                *("lgtwist", "--journal", "--json", "--config", str(self.service.config_path)),
            ],
            cwd=self.service.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=30,
        )
        self.assertEqual(report.returncode, 0, report.stderr)
        (refused,) = json.loads(report.stdout)["refused"]
        self.assertEqual((refused["bot"], refused["position"]), ("program", 21))
        self.assertIn("1009", refused["reason"])

    def test_many_small_ones_before_it(self) -> None:
        """Who was refused goes one event at a time up to the suspect: that takes no minute."""
        self.begin()
        wait_until("it is connected", lambda: metric(self.service, "bot_connections", bot="program"))
        self.end()
        wait_until("it is gone", lambda: not metric(self.service, "bot_connections", bot="program"))
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        injector.publish(*map(numbered, range(300)))
        injector.publish(numbered(300, int(1.1 * (1 << 20))))
        injector.publish(*map(numbered, range(301, 400)))
        self.begin()
        wait_until("what follows arrives", lambda: 399 in self.numbers(), 10)
        self.assertEqual(list(dict.fromkeys(self.numbers())), [*range(300), *range(301, 400)])


class Dialled(ServiceTestCase):
    """Bots that lgtwist dials: one URL, or one for actions and one for events."""

    def setUp(self) -> None:
        self.one, self.pair = Listener(), Listener()
        for listener in (self.one, self.pair):
            self.addCleanup(listener.end)
        common = ('connection = "reverse-websocket"', 'reconnect = { min = "100ms", max = "300ms" }')
        urls = f'api_url = "{self.pair.url("/a")}"\nevent_url = "{self.pair.url("/e")}"'
        self.toml = (
            quiet()
            + certain("one", *common, f'url = "{self.one.url()}"', token=True)
            + certain("pair", *common, urls, token=True)
        )
        super().setUp()
        self.injector = Injector(self.service)
        self.addCleanup(self.injector.close)

    def test_goes_on_where_it_broke(self) -> None:
        """Events go to the event link; the next one gets what the last did not confirm."""
        one, (_api, event) = self.one.next(), self.pair.next_of("API", "Event")
        self.injector.publish(*map(numbered, range(10)))
        for name, peer in (("one", one), ("pair", event)):
            self.assertEqual(numbers(peer, lambda n: n == 9), list(range(10)))
            while not has_all(self.service, name):
                answer_pings(peer)
        self.injector.publish(*map(numbered, range(10, 20)))
        for peer in (one, event):
            self.assertEqual(deaf_to_pings(peer, 19)[0], list(range(10, 20)))
        for listener in (self.one, self.pair):
            listener.drop_all()
        self.injector.publish(*map(numbered, range(20, 30)))
        one, (_api, event) = self.one.next(), self.pair.next_of("API", "Event")
        for peer in (one, event):
            self.assertEqual(numbers(peer, lambda n: n == 29), list(range(10, 30)))


class Hooks(ServiceTestCase):
    """Webhooks that fail, and take everything in the end."""

    def setUp(self) -> None:
        self.receivers = {name: Receiver(start=name != "down") for name in ("down", "choosy", "ill")}
        for receiver in self.receivers.values():
            self.addCleanup(receiver.end)
        bots = (
            certain(
                name, 'connection = "http-post"', f'url = "{receiver.url()}"', 'timeout = "1s"', token=True
            )
            for name, receiver in self.receivers.items()
        )
        self.toml = quiet() + "".join(bots)
        super().setUp()
        self.injector = Injector(self.service)
        self.addCleanup(self.injector.close)

    def came(self, name: str) -> list[int]:
        """The numbers that a receiver was posted, refused or not."""
        return [post.event["n"] for post in list(self.receivers[name].posts) if b'"n"' in post.raw]

    def test_what_fails_is_posted_until_it_is_taken(self) -> None:
        """One is down at the start, one answers 500 for a while, one refuses one event for ever."""
        choosy, ill = self.receivers["choosy"], self.receivers["ill"]

        def refuse(post: Any) -> Any:
            return respond(400) if post.event.get("n") == 5 else EMPTY

        choosy.usual = lambda sock: refuse(choosy.posts[-1])(sock)
        ill.usual = respond(500)
        self.injector.publish(*map(numbered, range(20)))
        wait_until("500 was answered twice", lambda: len(self.came("ill")) >= 2)
        self.assertEqual(set(self.came("ill")), {0})
        ill.usual = EMPTY
        self.receivers["down"].start()
        for name in self.receivers:
            wait_until(f"{name} has all", lambda: has_all(self.service, name), 30)  # noqa: B023
            self.assertEqual(list(dict.fromkeys(self.came(name))), list(range(20)))
        self.assertEqual(self.came("choosy").count(5), 5)
        self.assertEqual(self.came("down"), list(range(20)))
        told = lines(self.service.log(), "choosy: skipped an event", "5 times", "HTTP 400")
        self.assertEqual(len(told), 1)
        self.assertEqual(skipped(self.service, "refused", "choosy"), 1)
        self.assertEqual(skipped(self.service, "refused", "ill"), 0)
        for receiver in self.receivers.values():
            self.assertEqual(receiver.most_at_once, 1)

    def test_the_service_is_killed_between(self) -> None:
        """What was posted and confirmed just before may come again; nothing is missing."""
        ill = self.receivers["ill"]
        self.injector.publish(*map(numbered, range(200)))
        wait_until("some came", lambda: len(self.came("ill")) > 50)
        committed = len(journalled(self.service))
        self.service.kill()
        self.service.start()
        committed = max(committed, len(journalled(self.service)))
        wait_until("ill has all", lambda: committed - 1 in self.came("ill"), 30)
        self.assertEqual(list(dict.fromkeys(self.came("ill"))), list(range(committed)))
        self.assertEqual(ill.most_at_once, 1)
