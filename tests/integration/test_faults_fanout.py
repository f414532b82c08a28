"""One event for many bots, some of which do not read (section C of the catalogue of faults).

Left out of section C: nothing, but of two rows only what a forward WebSocket shows:
L-18 - without the HTTP POST target that hangs: there are no webhooks yet.
L-20b - without the transports beside forward WebSocket.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from statistics import median

from tests.integration.faulty import LARGE, FaultTestCase, Injector, numbered, numbers, quiet
from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, wait_until
from tests.rounds import SOCKET_ROUNDS


class FanOut(FaultTestCase):
    """Many bots on one account; ``send_buffer`` is small, so that a stalled one fills it soon."""

    SEND_BUFFER = 262_144
    toml = quiet(send_buffer="256KiB")

    def stalled(self) -> RawClient:
        """A bot that will not read until it is asked to."""
        return self.bot(receive_buffer=4096)

    def latencies(self, bot: RawClient, times: int, size: int) -> list[float]:
        """How long each of some events takes from its publishing to ``bot``, in order of time."""
        injector = self.injector()
        found = []
        for number in range(times):
            watch = self.service.stopwatch()
            injector.publish(numbered(number, size))
            numbers(bot, lambda n, wanted=number: n == wanted)
            found.append(watch.seconds())
        return sorted(found)

    def test_L15_a_dead_bot_starves_nobody(self) -> None:
        """Of three bots the first is reset: the two others get every event, in order."""
        injector = self.injector()
        for _ in range(5 * SOCKET_ROUNDS):
            a, b, c = self.bot(), self.bot(), self.bot()
            a.reset()
            injector.publish(*(numbered(n) for n in range(100)))
            for bot in (b, c):
                self.assertEqual(numbers(bot, lambda n: n == 99), list(range(100)))
                bot.socket.close()

    def test_L16_a_stalled_bot_delays_nobody(self) -> None:
        """While one bot does not read, ten megabytes of events reach another without delay."""
        first = self.stalled()
        bot = self.bot()
        self.stalled()
        latencies = self.latencies(bot, 100, 100_000)
        self.assertLess(latencies[-2], 0.05, "99 of 100 events come at once")
        self.assertEqual(self.new_log().count("reads too slowly"), 2)
        self.assertTrue(self.service.alive())
        first.socket.close()

    def test_L17_first_frame_comes_at_once(self) -> None:
        """The first frame is there within a second of the handshake."""
        for path in ("/", "/event", "/10001", "/10001/event/"):
            watch = self.service.stopwatch()
            self.assertEqual(self.dial(path).message()["sub_type"], "connect")
            self.assertLess(watch.seconds(), 1.0)

    def test_L18_stalled_bots_do_not_add_up(self) -> None:
        """Twenty stalled bots cost a healthy one no more than none: each event still comes at once."""
        healthy = self.bot()
        before = self.latencies(healthy, 50, 20_000)
        for _ in range(20):
            self.stalled()
        during = self.latencies(healthy, 100, 20_000)
        self.assertLess(median(during), 0.02, f"it was {median(before):.4f} before")
        self.assertLess(during[-2], 0.1)
        self.assertEqual(healthy.ask("get_status")["retcode"], 0)

    def test_L19_what_waits_for_a_stalled_bot_is_bounded(self) -> None:
        """A stalled bot costs no memory and loses its oldest events; the log says so once per episode."""
        stalled = self.stalled()
        other = self.bot()
        injector = self.injector()
        total, size = 1500 * SOCKET_ROUNDS, 20_000
        got: list[int] = []
        listening = threading.Thread(target=lambda: got.extend(numbers(other, lambda n: n == total - 1)))
        listening.start()
        injector.publish(*(numbered(n, size) for n in range(100)))
        before = self.service.memory()
        for at in range(100, total, 100):
            injector.publish(*(numbered(n, size) for n in range(at, at + 100)))
        grown = self.service.memory() - before
        listening.join(PATIENCE)
        self.assertLess(grown, 4 << 20, f"{total * size >> 20} MiB were published")
        self.assertEqual(got, list(range(total)), "another bot did not get everything in order")
        self.assertEqual(self.new_log().count("reads too slowly"), 1)

        late = numbers(stalled, lambda n: n == total - 1)
        self.assertEqual(late, sorted(set(late)), "out of order")
        self.assertEqual(late[0], 0)
        kept = self.SEND_BUFFER // (size + 200) - 1
        self.assertEqual(late[-kept:], list(range(total - kept, total)), "the newest were not kept")
        wait_until("it has caught up", lambda: "has caught up" in self.new_log())
        told = re.search(r"has caught up; (\d+) events were dropped", self.new_log())
        assert told is not None
        self.assertEqual(int(told[1]), total - len(late), "the log tells another number than were lost")

        other.socket.close()  # nobody reads for it any more
        stalled_again = 600
        injector.publish(*(numbered(n, size) for n in range(stalled_again)))
        numbers(stalled, lambda n: n == stalled_again - 1)
        wait_until("the end of the second episode", lambda: self.new_log().count("has caught up") == 2)
        self.assertEqual(self.new_log().count("reads too slowly"), 2)
        self.assertEqual(stalled.ask("get_status")["retcode"], 0)

    def test_L19_responses_are_bounded_and_never_dropped(self) -> None:
        """Who asks and does not read is not read any more; later it gets every answer, once, in order."""
        large = self.large_message()
        bot = self.stalled()
        other = self.bot()
        before = self.service.memory()
        number = 150 * SOCKET_ROUNDS
        asking = threading.Thread(
            target=lambda: [bot.call("get_msg", n, message_id=large) for n in range(number)], daemon=True
        )
        asking.start()
        self.service.inject(numbered(1))
        numbers(other, lambda n: n == 1)
        self.assertEqual(other.ask("get_status")["retcode"], 0)
        time.sleep(0.3)  # for as much as the service is willing to take
        grown = self.service.memory() - before
        self.assertLess(grown, 6 << 20, f"{number * LARGE >> 20} MiB were asked for")
        echoes = [bot.response()["echo"] for _ in range(number)]
        asking.join(PATIENCE)
        self.assertEqual(echoes, list(range(number)))

    def test_L19_event_larger_than_the_buffer(self) -> None:
        """An event larger than ``send_buffer`` still reaches a bot that reads."""
        bot = self.bot()
        self.service.inject(numbered(1, 4 * self.SEND_BUFFER))
        self.assertEqual(len(bot.event(n=1)["pad"]), 4 * self.SEND_BUFFER)

    def test_L19_a_reader_that_is_slow_gets_everything(self) -> None:
        """A bot that reads slowly, but enough, loses nothing and is not dropped."""
        bot = self.bot(receive_buffer=4096)
        injector = self.injector()
        for number in range(40):
            injector.publish(numbered(number, 5_000))
            if number % 8 == 7:
                time.sleep(0.02)
        self.assertEqual(numbers(bot, lambda n: n == 39), list(range(40)))
        self.assertNotIn("too slowly", self.new_log())

    def test_L20_order(self) -> None:
        """Ten thousand events from three sources reach every bot in one and the same order."""
        bots = [self.bot() for _ in range(3)]
        each = 3400 * SOCKET_ROUNDS
        seen: list[list[tuple[int, int]]] = [[] for _ in bots]

        def listen(bot: RawClient, into: list[tuple[int, int]]) -> None:
            while len(into) < 3 * each:
                event = bot.event(notice_type="test")
                into.append((event["who"], event["n"]))

        def publish(who: int) -> None:
            injector = Injector(self.service)
            injector.publish(*(numbered(n, who=who) for n in range(each)))
            injector.close()

        threads = [threading.Thread(target=listen, args=pair) for pair in zip(bots, seen, strict=True)]
        threads += [threading.Thread(target=publish, args=(who,)) for who in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        for who in range(3):
            self.assertEqual([n for w, n in seen[0] if w == who], list(range(each)))
        self.assertEqual(seen[1], seen[0])
        self.assertEqual(seen[2], seen[0])

    def test_L20_an_event_that_follows_from_an_action_comes_after_its_answer(self) -> None:
        """What an action brings about is told after its answer, and in the order of the actions."""
        bot = self.bot()
        watcher = self.bot("/event")
        for number in range(1, 51):
            bot.call("set_group_ban", number, group_id=30001, user_id=20003, duration=number)
        order = []
        while len(order) < 100:
            message = bot.message()
            if "retcode" in message:
                self.assertEqual(message["retcode"], 0)
                order.append(("answer", message["echo"]))
            else:
                order.append(("event", message["duration"]))
        self.assertEqual([n for what, n in order if what == "answer"], list(range(1, 51)))
        self.assertEqual([n for what, n in order if what == "event"], list(range(1, 51)))
        for number in range(1, 51):
            self.assertLess(order.index(("answer", number)), order.index(("event", number)))
        watched = [watcher.event(notice_type="group_ban")["duration"] for _ in range(50)]
        self.assertEqual(watched, list(range(1, 51)))

    def test_L20b_answers_go_to_who_asked(self) -> None:
        """Many connections use the same echoes at once: each gets its own answers, ``/event`` none."""
        people = [20001, 20002, 20003, 10001]
        paths = ["/", "/api", "/10001", "/10001/api"]
        event_bot = self.bot("/event")
        bots = [(self.dial(paths[n % 4]), people[n // 4]) for n in range(16)]
        for echo in range(50):
            for bot, user_id in bots:
                bot.call("get_stranger_info", f"{echo}", user_id=user_id)
        for bot, user_id in bots:
            answers = [bot.response() for _ in range(50)]
            self.assertEqual([a["echo"] for a in answers], [str(echo) for echo in range(50)])
            self.assertEqual({a["data"]["user_id"] for a in answers}, {user_id})
        self.service.inject(numbered(1))
        self.assertEqual(event_bot.message()["n"], 1, "something came before the event")
        for bot, _user_id in bots:
            bot.socket.settimeout(0.05)
            while True:
                try:
                    message = bot.message()
                except TimeoutError:
                    break
                self.assertNotIn("retcode", message, "an answer came twice")


class Beats(FaultTestCase):
    """Hearts that beat on their own."""

    INTERVAL = 0.2
    toml = quiet("200ms")

    def test_L21_each_connection_has_its_own_heartbeat(self) -> None:
        """Newcomers do not move another bot's heartbeats, and get their first after one whole interval."""
        for _ in range(4):
            with contextlib.suppress(self.failureException):
                self.beat_for_six_intervals()
                return
        self.beat_for_six_intervals()  # the machine was busy with something else

    def beat_for_six_intervals(self) -> None:
        bot = self.bot()
        began = time.monotonic()
        beats: list[float] = []

        def listen() -> None:
            while len(beats) < 6:
                bot.event(meta_event_type="heartbeat")
                beats.append(time.monotonic() - began)

        listening = threading.Thread(target=listen)
        listening.start()
        firsts = []
        for _ in range(3):
            time.sleep(0.07)
            newcomer = self.bot()
            came = time.monotonic()
            newcomer.event(meta_event_type="heartbeat")
            firsts.append(time.monotonic() - came)
            newcomer.socket.close()
        listening.join(PATIENCE)
        for number, beat in enumerate(beats, 1):
            self.assertLess(abs(beat - number * self.INTERVAL), 0.1, f"{beats}")
        for first in firsts:
            self.assertLess(abs(first - self.INTERVAL), 0.1, f"{firsts}")
