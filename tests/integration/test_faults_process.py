"""Peers that vanish at the worst moment: the service goes on (section A of the catalogue of faults).

Left out of section A:
L-03 - an app that restarts under a *reverse* WebSocket; there is none yet.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from itertools import pairwise

from tests.integration.at_least_once import metric
from tests.integration.faulty import FaultTestCase, Stream, knock, numbered, numbers, quiet, reset
from tests.integration.rawclient import TEXT, Ended, RawClient, masked_frame
from tests.integration.running import PATIENCE, wait_until
from tests.rounds import SOCKET_ROUNDS

#: Seconds between what the service is made to write and the RST.
DELAYS = (0.0, 0.001, 0.002, 0.005, 0.05)


class Vanishing(FaultTestCase):
    """TCP is reset while something is being written to it."""

    toml = quiet("20ms")

    def test_L01_response_to_a_vanished_peer(self) -> None:
        """A bot that asks and resets TCP before its answer is written harms nobody but itself."""
        large = self.large_message()
        other = self.bot()
        baseline = self.files()
        for turn in range(8 * SOCKET_ROUNDS):
            for delay in DELAYS:
                bot = RawClient(self.service, receive_buffer=4096)
                # Small answers are on their way; large ones fill the buffers, so the write is never done.
                for _ in range(10):
                    bot.call("get_group_member_list", group_id=30001)
                if turn % 2:
                    for _ in range(12):
                        bot.call("get_msg", message_id=large)
                if turn % 4 > 1:  # and its last frame is not even whole
                    bot.socket.sendall(masked_frame(b'{"action":"get_status"}')[:-9])
                time.sleep(delay)
                bot.reset()
        self.assertEqual(other.ask("get_login_info")["data"]["user_id"], 10001)
        self.assert_unharmed()
        self.assert_files_back(baseline)

    def test_L02_heartbeat_to_a_dying_socket(self) -> None:
        """A hundred bots that stop reading and reset TCP between two beats stop nobody else's heart."""
        large = self.large_message()
        other = self.bot()
        baseline = self.files()
        beats: list[float] = []
        ending = threading.Event()
        watch = (
            self.service.stopwatch()
        )  # a hundred handshakes of TLS, beside others' work, cost us the processor

        def listen() -> None:
            with contextlib.suppress(Ended):
                while not ending.is_set():
                    if other.message().get("meta_event_type") == "heartbeat":
                        beats.append(watch.seconds())

        listening = threading.Thread(target=listen, daemon=True)
        listening.start()
        for _ in range(2 * SOCKET_ROUNDS):
            bots = [RawClient(self.service, receive_buffer=4096) for _ in range(100)]
            for bot in bots[::10]:  # these have full buffers: their beats wait, or are half written
                for _ in range(12):
                    bot.call("get_msg", message_id=large)
            time.sleep(0.1)  # some beats
            for number, bot in enumerate(bots):
                time.sleep(DELAYS[number % 4])
                bot.reset()
        before = len(beats)
        wait_until("three more beats", lambda: len(beats) > before + 3)
        ending.set()
        listening.join()
        gaps = [later - earlier for earlier, later in pairwise(beats)]
        self.assertLess(max(gaps), 0.5, "the other's heart stood still")
        self.assert_unharmed()
        self.assert_files_back(baseline)

    def test_L02_lifecycle_to_a_dying_socket(self) -> None:
        """A bot that is gone before it has read the handshake's answer or its lifecycle harms nobody."""
        baseline = self.files()
        for _ in range(20 * SOCKET_ROUNDS):
            for delay in DELAYS:
                sock = knock(self.service, glued=masked_frame(b'{"action":"get_status"}'))
                time.sleep(delay)
                reset(sock)
        self.assert_unharmed()
        self.assert_files_back(baseline)

    def test_L02_broadcast_to_a_dying_socket(self) -> None:
        """Bots that reset TCP in the middle of a stream of events cost the others not one of these."""
        other = self.bot()
        baseline = self.files()
        got: list[int] = []
        with Stream(self.service, size=5_000) as stream:
            last: list[int] = []
            listening = threading.Thread(
                target=lambda: got.extend(numbers(other, lambda n: bool(last) and n >= last[0])), daemon=True
            )
            listening.start()
            for turn in range(12 * SOCKET_ROUNDS):
                for delay in DELAYS:
                    bot = RawClient(self.service, receive_buffer=4096)
                    if turn % 2:
                        bot.message()
                    time.sleep(delay)
                    bot.reset()
            last.append(stream.published + 20)
            listening.join(PATIENCE)
        self.assertGreater(len(got), 100)
        self.assertEqual(got, list(range(got[0], got[0] + len(got))))
        self.assert_unharmed()
        self.assert_files_back(baseline)

    def test_L04_answer_that_comes_after_its_connection(self) -> None:
        """What was accepted (``_rate_limited``) is carried out though its connection is reset meanwhile."""
        before = len(self.service.transcript())
        bot = self.bot()
        for word in ("one", "two"):
            bot.call("send_private_msg_rate_limited", word, user_id=20001, message=word)
        self.assertEqual([bot.response()["status"] for _ in range(2)], ["async", "async"])
        for _ in range(20):
            bot.call("get_status")
        bot.reset()

        def said() -> list[str]:
            words = [m["raw_message"] for m in self.service.transcript()[before:]]
            return words if len(words) >= 2 else []

        self.assertEqual(wait_until("both are said", said), ["one", "two"])
        self.assert_unharmed()

    def test_L05_answers_events_and_heartbeats_at_once(self) -> None:
        """Fifty actions amid a thousand events a second: every frame is whole, every echo comes once."""
        bot = self.bot()
        with Stream(self.service, pause=0.005, burst=10, size=200) as stream:
            for round_ in range(5 * SOCKET_ROUNDS):
                for number in range(50):
                    bot.call("get_group_member_list", f"{round_}.{number}", group_id=30001)
                    if number % 10 == 0:
                        time.sleep(0.002)  # so that events come between
            echoes: list[str] = []
            events: list[int] = []
            beats = 0
            while len(echoes) < 250 * SOCKET_ROUNDS or not beats or len(events) < 100:
                opcode, payload = bot.frame()
                self.assertEqual(opcode, TEXT)
                message = json.loads(payload)
                if "retcode" in message:
                    self.assertEqual(len(message["data"]), 4)
                    echoes.append(message["echo"])
                elif message["post_type"] == "notice":
                    self.assertEqual(len(message["pad"]), 200)
                    events.append(message["n"])
                else:
                    beats += 1
            self.assertGreater(stream.published, 0)
        self.assertEqual(echoes, [f"{r}.{n}" for r in range(5 * SOCKET_ROUNDS) for n in range(50)])
        self.assertEqual(events, list(range(events[0], events[0] + len(events))))


class Churn(FaultTestCase):
    """Connections that come and go, and events that are none."""

    def test_L06_an_event_that_is_none_costs_only_itself(self) -> None:
        """What an account sends and nobody can read is refused; the events around it arrive."""
        bot = self.bot()
        deep = b'{"post_type":"notice","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
        bad = (
            b"", b"{", b"[]", b"1", b"null", b'"x"', b"{}", b'{"post_type":1}', b'{"post_type":null}',
            b'{"post_type":"notice","a":\xff\xfe}', b'{"post_type":"notice","a":"\xff"}',
            b'{"post_type":"notice"}}', deep, b"\x00" * 50,
            b'{"post_type":"notice","a":' + b"9" * 10_000 + b"]",
        )  # fmt: skip
        for number, body in enumerate(bad):
            self.assertEqual(self.service.http("/sandbox/10001/event", body)[0], 400, body[:60])
            self.service.inject(numbered(number))
        self.assertEqual(numbers(bot, lambda n: n == len(bad) - 1), list(range(len(bad))))
        self.assert_unharmed()

    def test_500_connects_and_drops(self) -> None:
        """Six times five hundred bots that come and go, however they go, leave nothing behind."""
        other = self.bot()
        stay = self.large_message()
        baseline = 0
        memory: list[int] = []
        for _round in range(6):
            watch = self.service.stopwatch()
            bots = [RawClient(self.service, ("/", "/event", "/api", "/10001/")[n % 4]) for n in range(500)]
            self.service.inject(numbered(_round))
            for number, bot in enumerate(bots):
                if number % 4 != 1:
                    bot.call("get_group_info", "e", group_id=30001)
                if number % 25 == 2:
                    bot.call("get_msg", message_id=stay)
                if number % 3 == 0:
                    bot.send_close()
                    bot.read_to_end()
                    bot.socket.close()
                elif number % 3 == 1:
                    bot.reset()
                else:
                    bot.socket.close()
            self.assertEqual(numbers(other, lambda n, r=_round: n == r)[-1], _round)
            wait_until("only the other is left", lambda: metric(self.service, "bot_connections") == 1)
            self.assertLess(watch.seconds(), 10)
            if not baseline:
                baseline = self.files()  # the first round warms up
            self.assert_files_back(baseline)
            memory.append(self.service.memory())
        self.assertLess(abs(memory[-1] - memory[1]), 5 << 20, f"memory after each round: {memory}")
        self.assertEqual(other.ask("get_status")["retcode"], 0)
        self.assert_unharmed()
