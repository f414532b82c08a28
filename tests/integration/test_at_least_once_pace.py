"""At-least-once delivery to bots that are silent, cut off, frozen or slow."""

from __future__ import annotations

import json
import statistics
import threading

from tests.integration.at_least_once import (
    WINDOW,
    AtLeastOnceTestCase,
    Bot,
    at_least_once,
    backlog,
    bearer,
    has_all,
    lines,
    metric,
    read_without_pongs,
)
from tests.integration.faulty import Injector, Proxy, numbered, numbers, quiet
from tests.integration.rawclient import PING, PONG, RawClient
from tests.integration.running import ServiceTestCase, wait_until


class Silence(AtLeastOnceTestCase):
    """A service that pings often, and soon says that a bot is silent."""

    toml = quiet(ping_interval="100ms", ping_timeout="600ms", tcp_user_timeout="1s") + at_least_once()

    def catch_up(self) -> None:
        with self.bot() as client:
            self.settle(client)

    def test_who_never_answers_pings_is_left_in_peace(self) -> None:
        """He gets one window and no more, once; one line says so; what he calls is answered."""
        self.catch_up()
        some = self.publish(WINDOW + 1000)
        with self.bot() as client:
            came, pings = read_without_pongs(client, some[WINDOW - 1])
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


class Slow(ServiceTestCase):
    """A bot that leaves much unread on disk, beside others."""

    toml = (
        quiet(send_buffer="1MiB", tcp_user_timeout="5m")  # however long the slow one reads nothing
        + at_least_once("slow", token=True)
        + at_least_once("quick", token=True)
        + '[[bots]]\nname = "live"\n'
    )
    SIZE, EVENTS, BURST = 12_000, 5000, 50

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
        before = 0
        for first in range(0, self.EVENTS, self.BURST):
            injector.publish(*(numbered(n, self.SIZE) for n in range(first, first + self.BURST)))
            # This is about one that is behind. On a loaded machine the disk and the other two fall behind as
            # well, and what waits for them takes memory too, up to limits of its own; so they are waited for.
            quick.wait_for(first + self.BURST - 1)
            live.wait_for(first + self.BURST - 1)
            before = before or self.service.memory()
        wait_until("the quick one has confirmed all", lambda: has_all(self.service, "quick"))
        self.assertGreater(backlog(self.service, "slow"), self.EVENTS - 1000)

        def latency(n: int) -> float:
            watch = self.service.stopwatch()
            injector.publish(numbered(n))
            quick.wait_for(n)
            live.wait_for(n)
            return watch.seconds()

        # The disk's own pace, which others' work on it changes, is in both.
        usual = [latency(n) for n in range(self.EVENTS, self.EVENTS + 50)]
        end = self.EVENTS + 150
        read: list[int] = []
        reading = threading.Thread(
            target=lambda: read.extend(numbers(slow, lambda n: n == end - 1)), daemon=True
        )
        reading.start()
        latencies = [latency(n) for n in range(self.EVENTS + 50, end)]
        grown = self.service.memory() - before
        reading.join(60)
        self.assertEqual(read, list(range(end)))
        self.assertEqual(quick.seen, list(range(end)))
        self.assertLess(statistics.median(latencies) - statistics.median(usual), 0.1, latencies)
        self.assertLess(max(latencies), 1.0, latencies)
        self.assertLess(max(grown, self.service.memory() - before), 45 << 20)
        self.assertEqual(metric(self.service, "dropped_events_total", bot="live"), 0)
