"""How connections end, in good order and otherwise (section B of the catalogue of faults).

Half-open links, which end without anybody saying so, are here too.

Left out of section B:
L-12 - the code of a *reverse* WebSocket's close frame; there is none yet.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import time

from tests.integration.at_least_once import metric
from tests.integration.faulty import (
    FaultTestCase,
    Proxy,
    Stream,
    frames_to_end,
    numbered,
    numbers,
    quiet,
    sent_without_care,
)
from tests.integration.rawclient import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    RawClient,
    masked_frame,
)
from tests.integration.running import PATIENCE, ServiceTestCase, wait_until
from tests.rounds import SOCKET_ROUNDS

SERVICE_RESTART = 1012


def close_payload(code: int | None, reason: str = "") -> bytes:
    """What stands in a close frame."""
    return b"" if code is None else struct.pack("!H", code) + reason.encode()


class Closing(FaultTestCase):
    """The peer closes, or just goes; or breaks the protocol and then does not go."""

    toml = quiet(close_timeout="1s")

    def test_L07_nothing_is_sent_after_close(self) -> None:
        """After the peer's close frame it is sent one close frame and nothing else; nothing more is done."""
        for turn in range(20 * SOCKET_ROUNDS):
            bot = self.bot()
            before = self.service.transcript()
            say = json.dumps({"action": "send_private_msg", "params": {"user_id": 20001, "message": "late"}})
            bot.socket.sendall(
                masked_frame(close_payload(1000), CLOSE)
                + masked_frame(say.encode()) * 3
                + masked_frame(b"are you there", PING)
            )
            self.service.inject(numbered(turn))
            self.assertEqual(list(frames_to_end(bot)), [(CLOSE, close_payload(1000))])
            self.assertEqual(self.service.transcript(), before, "an action behind a close frame was done")

    def test_L07_close_amid_events(self) -> None:
        """In a stream of events the server's close frame is the last frame, and TCP ends after it."""
        with Stream(self.service, size=1000):
            for _ in range(10 * SOCKET_ROUNDS):
                bot = self.bot()
                bot.event(notice_type="test")
                bot.call("get_login_info", "asked before")
                bot.send_close(4321, "enough")
                frames = list(frames_to_end(bot))
                self.assertEqual([opcode for opcode, _p in frames].count(CLOSE), 1)
                self.assertEqual(frames[-1], (CLOSE, close_payload(4321, "enough")))
                answers = [p for opcode, p in frames if opcode == TEXT and b'"asked before"' in p]
                self.assertEqual(len(answers), 1)

    def test_L08_close_is_answered_and_tcp_ends(self) -> None:
        """A close frame is answered with its code, and the end of TCP follows, both within a second."""
        for path in ("/", "/api", "/event"):
            for code in (1000, 1001, 1011, 3000, 4999, None):
                bot = self.dial(path) if path == "/api" else self.bot(path)
                watch = self.service.stopwatch()
                bot.send_close(code)
                self.assertEqual(bot.close_frame()[0], code)
                self.assertEqual(bot.socket.recv(1), b"")
                self.assertLess(watch.seconds(), 1.0)
                bot.socket.close()

    def test_L08_end_without_close(self) -> None:
        """A bot that ends TCP without a close frame sees TCP end within a second too."""
        for _ in range(5 * SOCKET_ROUNDS):
            bot = self.bot()
            watch = self.service.stopwatch()
            bot.socket.shutdown(socket.SHUT_WR)
            bot.read_to_end()
            self.assertLess(watch.seconds(), 1.0)

    def test_L11_close_that_is_never_answered(self) -> None:
        """Peers that broke the protocol and never answer the close frame hold nothing after close_timeout."""
        baseline = self.files()
        peers = [self.bot() for _ in range(200 * SOCKET_ROUNDS)]
        for number, peer in enumerate(peers):
            if number % 2:
                peer.send(b"\xff\xfe", TEXT)
            else:
                peer.socket.sendall(masked_frame(b"{}", mask=False))
        for number, peer in enumerate(peers):
            self.assertEqual(peer.close_frame()[0], 1007 if number % 2 else 1002)
        watch = self.service.stopwatch()
        self.assert_files_back(baseline)
        self.assertLess(watch.seconds(), 2.0)
        self.assert_unharmed()

    def test_L11_flood_after_a_broken_protocol(self) -> None:
        """Who goes on sending after 1002 is not listened to, costs no memory, and is cut off in time."""
        baseline = self.files()
        before = self.service.memory()
        peer = self.bot()
        peer.socket.sendall(masked_frame(b"{}", mask=False))
        watch = self.service.stopwatch()
        rubbish = masked_frame(b'{"action":"send_private_msg","params":{"user_id":20001}}') * 1000
        sent_without_care(peer.socket, (rubbish for _ in range(100_000)))
        self.assertLess(watch.seconds(), 2.0, "the flood was taken for longer than close_timeout")
        self.assertLess(self.service.memory() - before, 8 << 20)
        self.assert_files_back(baseline)

    def test_L13_an_abnormal_end_leaves_nothing_registered(self) -> None:
        """A bot that is gone without a word is forgotten: one line says so, and events go on for others."""
        baseline = self.files()
        stays = self.bot()
        gone = [self.bot(("/", "/event")[n % 2]) for n in range(30)]
        for number, bot in enumerate(gone):
            if number % 3 == 0:
                bot.reset()
            elif number % 3 == 1:
                bot.socket.close()
            else:
                bot.socket.sendall(masked_frame(b'{"action":"get_st')[:-3])
                bot.socket.close()
        wait_until("all are gone", lambda: metric(self.service, "bot_connections") == 1)
        for number in range(20):
            self.service.inject(numbered(number))
        self.assertEqual(numbers(stays, lambda n: n == 19), list(range(20)))
        self.assertNotIn("send failed", self.new_log())
        stays.send_close()
        stays.read_to_end()
        stays.socket.close()
        self.assert_files_back(baseline)


class Stopping(ServiceTestCase):
    """The service is told to stop."""

    toml = quiet(close_timeout="1s")

    def bots(self, number: int, path: str = "/", **kwargs: int) -> list[RawClient]:
        """Bots that have come in, lifecycle and all."""
        found = []
        for _ in range(number):
            bot = RawClient(self.service, path, **kwargs)
            self.addCleanup(bot.socket.close)
            if path != "/api":
                self.assertEqual(bot.message()["sub_type"], "connect")
            found.append(bot)
        return found

    def assert_goodbye(self, bots: list[RawClient]) -> None:
        """Each gets one close frame with 1012, then the end of TCP in good order."""
        for bot in bots:
            self.assertEqual(bot.close_frame()[0], SERVICE_RESTART)
            bot.send_close(SERVICE_RESTART)
        for bot in bots:
            self.assertEqual(bot.socket.recv(1), b"", "TCP did not end in good order")

    def use_patient_service(self) -> None:
        """A service that waits a minute for its last peers: if it ends sooner it did not wait for them."""
        self.service.clean_up()
        self.service = self.start_service(toml=quiet(close_timeout="60s"))

    def tell(self, number: int) -> None:
        os.kill(self.service.pid, number)

    def ended(self, within: float) -> int:
        """Wait for the service's end; its exit status."""
        process = self.service.process
        assert process is not None
        return process.wait(within)

    def test_L09_every_peer_gets_a_close_frame(self) -> None:
        """SIGTERM amid events and actions: every bot, on every path, gets 1012; the exit status is 0."""
        self.use_patient_service()
        bots = [bot for path in ("/", "/api", "/event") for bot in self.bots(10, path)]
        http = self.service.connect()
        self.addCleanup(http.close)
        half = self.service.connect()
        self.addCleanup(half.close)
        half.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        for n in range(50):
            self.service.inject(numbered(n, 1000))
        for bot in bots[:20]:
            for _ in range(20):
                bot.call("get_group_member_list", "e", group_id=30001)
        self.tell(signal.SIGTERM)
        self.assert_goodbye(bots)
        self.assertEqual(self.ended(PATIENCE), 0)  # all answered, so there was nothing to wait for

    def test_L10_one_peer_that_never_answers(self) -> None:
        """One peer that never answers our close frame delays the end by close_timeout and no more."""
        good, stuck = self.bots(5), self.bots(1)
        began = time.monotonic()
        self.tell(signal.SIGTERM)
        self.assert_goodbye(good)
        self.assertEqual(self.ended(PATIENCE), 0)
        self.assertLess(time.monotonic() - began, 10.0)
        self.assertEqual(stuck[0].close_frame()[0], SERVICE_RESTART)

    def test_L10_two_hundred_peers_that_never_answer(self) -> None:
        """Two hundred such, some with full buffers, are waited for all at once; the others get their 1012."""
        large = self.service.say(20001, "m" * 300_000)
        good = self.bots(20)
        stuck = self.bots(190) + self.bots(10, receive_buffer=4096)
        for bot in stuck[190:]:
            for _ in range(12):
                bot.call("get_msg", message_id=large)
        self.service.inject(numbered(0, 100_000))
        for bot in good:
            bot.event(n=0)
        began = time.monotonic()
        self.tell(signal.SIGTERM)
        self.assert_goodbye(good)
        self.assertEqual(self.ended(PATIENCE), 0)
        self.assertLess(time.monotonic() - began, 10.0)
        for bot in stuck[:190]:
            self.assertEqual(bot.close_frame()[0], SERVICE_RESTART)

    def test_L14_sigint_too(self) -> None:
        """SIGINT (Ctrl+C) ends everything in the same good order."""
        bots = self.bots(5)
        self.tell(signal.SIGINT)
        self.assert_goodbye(bots)
        self.assertEqual(self.ended(PATIENCE), 0)

    def test_L14_second_signal(self) -> None:
        """A second signal ends at once, whatever still waits."""
        self.use_patient_service()
        (stuck,) = self.bots(1)
        self.tell(signal.SIGTERM)
        self.assertEqual(stuck.close_frame()[0], SERVICE_RESTART)
        self.assertTrue(self.service.alive())
        self.tell(signal.SIGTERM)
        self.ended(PATIENCE)

    def test_no_newcomers_while_it_stops(self) -> None:
        """While the service waits for its last peers nobody else gets in, and it can start again after."""
        (stuck,) = self.bots(1)
        self.tell(signal.SIGTERM)
        self.assertEqual(stuck.close_frame()[0], SERVICE_RESTART)
        with self.assertRaises(OSError):
            self.service.connect()
        self.assertEqual(self.ended(PATIENCE), 0)
        self.service.start()
        self.bots(1)


class HalfOpen(FaultTestCase):
    """Peers that say nothing any more: some are dead, some only busy."""

    TIMEOUT = 1.0
    toml = quiet(ping_interval="100ms", ping_timeout="1s")

    def _answering(self, client: RawClient, times: int = 2) -> None:
        """Answer some pings, and see to it that the service has read the answers."""
        while times:
            opcode, payload = client.frame()
            if opcode == PING:
                client.send(payload, PONG)
                times -= 1
        self.assertEqual(client.ask("get_status")["retcode"], 0)

    def test_half_open_peer_is_dropped(self) -> None:
        """A peer that answered pings and is then cut off without a FIN is dropped by the silence rule."""
        baseline = self.files()
        proxy = Proxy(self.service)
        self.addCleanup(proxy.close)
        good = self.bot()
        self._answering(good)
        bot = self.bot(port=proxy.port)
        self._answering(bot)
        proxy.cut()
        began = time.monotonic()
        while not proxy.service_side_ended():
            self._answering(good, 1)
            self.assertLess(time.monotonic() - began, 10.0, "it is still there")
        self.assertGreater(time.monotonic() - began, self.TIMEOUT / 2)
        wait_until("the log says why", lambda: f"silent for {self.TIMEOUT:g} s" in self.new_log())
        self.assertEqual(good.ask("get_status")["retcode"], 0)
        good.socket.close()
        proxy.close()
        self.assert_files_back(baseline)

    def test_a_peer_that_never_answers_pings_stays(self) -> None:
        """Some implementations never answer a ping: silence alone does not end their connection."""
        bot = self.bot()
        ending = time.monotonic() + 3 * self.TIMEOUT
        pings = 0
        while time.monotonic() < ending:
            if select.select([bot.socket], [], [], 0.05)[0]:
                opcode, _payload = bot.frame()
                self.assertEqual(opcode, PING)
                pings += 1
        self.assertGreater(pings, 5)
        self.service.inject(numbered(1))
        opcode, payload = bot.frame()
        while opcode == PING:
            opcode, payload = bot.frame()
        self.assertEqual(json.loads(payload)["n"], 1)
        bot.call("get_status", "still here")
        while opcode == PING or b"still here" not in payload:
            opcode, payload = bot.frame()

    def test_unasked_pongs_are_no_answers(self) -> None:
        """Pongs that nobody asked for do not make a peer one that answers pings; it stays when silent."""
        bot = self.bot()
        for payload in (b"", b"0", b"99999", b"1x", b"-1", b"\xff" * 125):
            bot.send(payload, PONG)
        time.sleep(2 * self.TIMEOUT)
        self.assertNotIn("silent", self.new_log())
        self.assertEqual(bot.ask("get_status")["retcode"], 0)

    def test_any_byte_is_a_sign_of_life(self) -> None:
        """A peer in the middle of a slow upload answers no pings and is not dropped for that."""
        bot = self.bot()
        self._answering(bot)
        upload = masked_frame(b'{"action":"get_login_info","echo":"%s"}' % (b"u" * 60))
        for at in range(len(upload)):
            bot.socket.sendall(upload[at : at + 1])
            time.sleep(2.5 * self.TIMEOUT / len(upload))
        self.assertEqual(bot.response()["echo"], "u" * 60)
        self.assertNotIn("silent", self.new_log())

    def test_busy_for_less_than_the_time_limit(self) -> None:
        """A program that is busy for less than ping_timeout, again and again, keeps its connection."""
        for _attempt in range(5):
            bot = self.bot()
            longest = 0.0
            for _ in range(3):
                self._answering(bot, 1)
                began = time.monotonic()
                time.sleep(self.TIMEOUT * 0.6)
                longest = max(longest, time.monotonic() - began)
                if longest > self.TIMEOUT * 0.8:  # others kept the machine busy: that would be too long
                    break
            else:
                self.assertEqual(bot.ask("get_status")["retcode"], 0)
                return
        self.fail("the machine is too busy")

    def test_a_peer_that_is_gone_silently_wakes_nobody(self) -> None:
        """Twenty half-open peers at once all go, and hold nothing after."""
        baseline = self.files()
        proxy = Proxy(self.service)
        self.addCleanup(proxy.close)
        bots = [self.bot(port=proxy.port) for _ in range(20)]
        for bot in bots:
            self._answering(bot)
        proxy.cut()
        wait_until("all are dropped", lambda: self.new_log().count("silent for") == 20)
        proxy.close()
        self.assert_files_back(baseline)
        self.assert_unharmed()
