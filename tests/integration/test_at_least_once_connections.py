"""At-least-once delivery over real sockets: connections that end, and a service that is started again."""

from __future__ import annotations

import signal
from typing import Any

from tests.integration.at_least_once import (
    AtLeastOnceTestCase,
    Bot,
    answer_pings,
    ask_without_pongs,
    at_least_once,
    backlog,
    bearer,
    has_all,
    journalled,
    lines,
    read_without_pongs,
    rows,
)
from tests.integration.certificates import OverTls
from tests.integration.faulty import Injector, numbered, numbers, quiet
from tests.integration.rawclient import PING, PONG
from tests.integration.running import ServiceTestCase, wait_until


class Breaks(AtLeastOnceTestCase):
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
            came, pings = read_without_pongs(client, first[-1])
            self.assertEqual(came, list(first))
            while not pings:
                opcode, payload = client.frame()
                if opcode == PING:
                    pings.append(payload)
            client.send(pings[-1], PONG)
            self.settle(
                client
            )  # a commit for each event, a ping for the first: the next ping brings the rest
            second = self.publish(5)
            came, _pings = read_without_pongs(client, second[-1])
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
        self.assertEqual(read_without_pongs(older, unconfirmed[-1])[0], list(unconfirmed))
        newer = self.bot()
        self.assertEqual(read_without_pongs(newer, unconfirmed[-1])[0], list(unconfirmed))
        answer_pings(older)  # too late: it is not asked any more
        self.assertEqual(older.ask("get_login_info")["retcode"], 0)
        self.assertEqual(backlog(self.service), 3)
        self.settle(newer)
        self.assertEqual(len(lines(self.new_log(), "a newer connection takes over account 10001")), 1)
        both = self.publish(4)
        self.assertEqual(read_without_pongs(older, both[-1])[0], list(both))
        self.assertEqual(numbers(newer, lambda n: n == both[-1]), list(both))
        self.settle(newer)
        lost = self.publish(3)
        read_without_pongs(newer, lost[-1])
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
                read_without_pongs(client, 0)
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
                read_without_pongs(client, 0)
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
            _came, pings = read_without_pongs(client, some[-1])
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
            # A ping may come at any time from 0.1 s after the last one on, and must not be answered here.
            self.assertEqual(ask_without_pongs(client, pings)["retcode"], 0)
            self.assertEqual(backlog(self.service), 3)
            client.send(pings[-1], PONG)
            self.settle(client)
            more = self.publish(3)
            newer = read_without_pongs(client, more[-1])[1]
            for old in pings:
                client.send(old, PONG)
            self.assertEqual(ask_without_pongs(client, newer)["retcode"], 0)
            self.assertEqual(backlog(self.service), 3)


class BreaksOverTls(OverTls, Breaks):
    """The same over TLS."""


class Restarts(ServiceTestCase):
    """The service ends and is started again, with the same configuration or another."""

    toml = quiet() + at_least_once("bot", token=True) + at_least_once("other", token=True)

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
