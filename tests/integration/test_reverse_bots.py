"""Reverse WebSocket: lgtwist dials bots that listen, well or badly."""

from __future__ import annotations

import signal
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.accounts import World
from tests.integration.faulty import Injector, numbered, quiet
from tests.integration.listening_bots import Listener, Peer, Receiver, let_in, reset
from tests.integration.rawclient import CLOSE, TEXT, Ended
from tests.integration.running import Service, ServiceTestCase, wait_until
from tests.integration.shared import SharedTestCase

ALICE = 20001
#: The gaps of the bots here (seconds).
SHORTEST, LONGEST = 0.1, 0.6
GAPS = 'reconnect = { min = "100ms", max = "600ms" }\n'


def bot(name: str, urls: str, accounts: str = "10001", more: str = "") -> str:
    """One ``[[bots]]`` that is dialled."""
    return (
        f'[[bots]]\nname = "{name}"\nconnection = "reverse-websocket"\n{urls}\n'
        f"accounts = [{accounts}]\n{GAPS}{more}\n"
    )


SANDBOXES = "".join(f'[[accounts]]\ntype = "sandbox"\nself_id = {number}\n' for number in (10001, 10002))


class Dialled:
    """A service and the bots that it dials: one by one URL, one by two, one for two accounts."""

    def __init__(self, folder: Path) -> None:
        self.one, self.pair, self.two = Listener(), Listener(), Listener()
        pair = f'api_url = "{self.pair.url("/a")}"\nevent_url = "{self.pair.url("/e")}"'
        try:
            self.service = Service(
                folder,
                SANDBOXES
                + bot("one", f'url = "{self.one.url("/ws?x=1&y=%20")}"', more='access_token = "the token"')
                + bot("pair", pair)
                + bot("two", f'url = "{self.two.url("/")}"', "10001, 10002", 'access_token = "other"')
                + quiet("200ms", close_timeout="300ms", handshake_timeout="1s", send_buffer="256KiB"),
            )
        except BaseException:
            self.end_listeners()
            raise

    def end_listeners(self) -> None:
        for listener in (self.one, self.pair, self.two):
            listener.end()

    def end(self) -> None:
        """End all."""
        self.end_listeners()
        self.service.clean_up()


class DialledTestCase(SharedTestCase):
    """Tests that share one service and its bots."""

    def start_shared(self, folder: Path) -> Dialled:
        return Dialled(folder)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.service
        self.one: Listener = self.shared.one
        self.pair: Listener = self.shared.pair
        self.two: Listener = self.shared.two
        self._pid = self.service.pid
        self._log_began = len(self.service.log())
        self.addCleanup(self._look_whether_good)

    def _look_whether_good(self) -> None:
        self.assertTrue(self.service.alive())
        self.assertEqual(self.service.pid, self._pid)
        for bad in ("Traceback", "Unhandled", " 400 ", " 1400 "):  # and no port that ends with 400
            self.assertNotIn(bad, self.new_log())
        for listener in (self.one, self.pair, self.two):
            listener.answer = let_in
            self.assertEqual(listener.overlaps, [])

    def new_log(self) -> str:
        return self.service.log()[self._log_began :]

    def anew(self, listener: Listener) -> Peer:
        """A new connection to a bot with one URL and one account."""
        listener.answer = let_in
        listener.drop_all()
        return listener.next()

    def pair_anew(self) -> tuple[Peer, Peer]:
        """New connections to the bot with two URLs."""
        self.pair.drop_all()
        api, event = self.pair.next_of("API", "Event")
        return api, event

    def lifecycle(self, peer: Peer) -> None:
        """The next frame is the lifecycle."""
        opcode, payload = peer.frame()
        self.assertEqual(opcode, TEXT)
        self.assertIn(b'"sub_type":"connect"', payload.replace(b" ", b""))
        self.assertIn(b"lifecycle", payload)

    def works(self, peer: Peer) -> None:
        """A call is answered, and an event comes."""
        self.assertEqual(peer.ask("get_login_info")["data"]["user_id"], 10001)
        self.service.inject(numbered(-7))
        self.assertEqual(peer.event(n=-7)["who"], 0)


class Links(DialledTestCase):
    """What a link is."""

    def assert_common_headers(self, peer: Peer, self_id: str, role: str) -> None:
        dial = peer.dial
        self.assertEqual((dial.header("X-Self-ID"), dial.header("X-Client-Role")), (self_id, role))
        agent = dial.header("User-Agent")
        self.assertTrue(agent and agent.startswith("lgtwist"), agent)
        self.assertEqual(dial.header("Sec-WebSocket-Version"), "13")
        names = [name.lower() for name, _value in dial.headers]
        self.assertEqual(len(names), len(set(names)), names)
        self.assertNotIn("origin", names)

    def test_headers(self) -> None:
        """Who is dialled learns which account it is, what the link is for, and the token."""
        peer = self.anew(self.one)
        self.assert_common_headers(peer, "10001", "Universal")
        self.assertEqual(peer.dial.header("Authorization"), "Bearer the token")
        self.assertEqual(peer.dial.line, "GET /ws?x=1&y=%20 HTTP/1.1")
        self.assertEqual(peer.dial.header("Host"), f"127.0.0.1:{self.one.port}")
        self.two.drop_all()
        found = [self.two.next(), self.two.next()]
        for other, self_id in zip(
            sorted(found, key=lambda p: p.dial.key[0] or ""), ("10001", "10002"), strict=True
        ):
            self.assert_common_headers(other, self_id, "Universal")
            self.assertEqual(other.dial.header("Authorization"), "Bearer other")
            self.assertEqual(other.message()["self_id"], int(self_id))

    def test_l38_roles_of_a_pair(self) -> None:
        """L-38: the words are exactly ``API`` and ``Event``; without a token there is no header for one."""
        api, event = self.pair_anew()
        for peer, role, path in ((api, "API", "/a"), (event, "Event", "/e")):
            self.assert_common_headers(peer, "10001", role)
            self.assertIsNone(peer.dial.header("Authorization"))
            self.assertEqual(peer.dial.path, path)

    def test_lifecycle_first(self) -> None:
        """The first frame is the lifecycle, while events stream too; of a pair on Event, never on API."""
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        self.one.drop_all()
        self.pair.drop_all()
        while not (self.one.waiting() and self.pair.waiting() >= 2):
            injector.publish(*(numbered(n) for n in range(20)))
        self.lifecycle(self.one.next())
        api, event = self.pair.next_of("API", "Event")
        self.lifecycle(event)
        event.event(meta_event_type="heartbeat")
        event.event(meta_event_type="heartbeat")
        api.call("get_login_info", "first")
        opcode, payload = api.frame()
        self.assertEqual(opcode, TEXT)
        self.assertIn(b'"first"', payload)

    def test_heartbeats(self) -> None:
        """They come each interval, and say so."""
        peer = self.anew(self.one)
        self.lifecycle(peer)
        began, watch = time.monotonic(), self.service.stopwatch()
        beats = [peer.event(meta_event_type="heartbeat") for _n in range(4)]
        self.assertGreater((time.monotonic() - began) / 4, 0.1)
        self.assertLess(watch.seconds() / 4, 0.35)
        for beat in beats:
            self.assertEqual(beat["interval"], 200)
            self.assertEqual(beat["self_id"], 10001)
            self.assertTrue(beat["status"]["online"])

    def test_answers(self) -> None:
        """Bots that use the same echo at the same time each get their own answer, on the link that asked."""
        one, (api, event) = self.anew(self.one), self.pair_anew()
        self.two.drop_all()
        others = {peer.dial.key[0]: peer for peer in (self.two.next(), self.two.next())}
        for echo in (1, "1", {"seq": 1}):
            for n in range(20):
                asking = {
                    one: ("get_stranger_info", {"user_id": ALICE}, ALICE),
                    api: ("get_stranger_info", {"user_id": 20002}, 20002),
                    others["10001"]: ("get_stranger_info", {"user_id": 20003}, 20003),
                    others["10002"]: ("get_login_info", {}, 10002),
                }
                for peer, (action, params, _answer) in asking.items():
                    peer.call(action, echo, **params)
                for peer, (_action, _params, answer) in asking.items():
                    response = peer.response()
                    self.assertEqual((response["echo"], response["data"]["user_id"]), (echo, answer), n)
        event.call("get_login_info", "nobody answers this")
        event.ping()
        self.service.inject(numbered(5))
        while (message := event.message()).get("n") != 5:
            self.assertNotIn("retcode", message)

    def test_l42_event_link_is_read(self) -> None:
        """L-42: pings on both links of a pair are answered at once, and so is a close on either."""
        api, event = self.pair_anew()
        for peer in (api, event):
            self.assertLess(peer.ping(), 1.0)
        for peer in (event, api):
            peer.send_close(1000)
            self.assertEqual(peer.close_frame()[0], 1000)
            peer.socket.close()

    def test_one_of_a_pair_ends(self) -> None:
        """Only the link that ended is dialled again; the other goes on."""
        api, event = self.pair_anew()
        reset(event.socket)
        again = self.pair.next()
        self.assertEqual(again.dial.header("X-Client-Role"), "Event")
        self.lifecycle(again)
        self.assertEqual(api.ask("get_login_info")["data"]["user_id"], 10001)

    def test_stalled_on_one_account(self) -> None:
        """A bot that stalls on one account is served on its other one, and so is everybody else."""
        one = self.anew(self.one)
        self.pair.answer = lambda peer: peer.refuse(404)  # nobody would read it
        self.pair.drop_all()
        self.two.drop_all()
        by_account = {peer.dial.key[0]: peer for peer in (self.two.next(), self.two.next())}
        other = by_account["10002"]  # nobody reads the one of 10001 from here on
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        seen = 0
        while "reads too slowly" not in self.new_log():
            injector.publish(*(numbered(seen + n, 20_000) for n in range(20)))
            seen += 20
            self.assertEqual(one.event(n=seen - 1)["who"], 0)
            self.assertLess(seen, 2000)
        for n in range(20):
            watch = self.service.stopwatch()
            self.assertEqual(other.ask("get_login_info")["data"]["user_id"], 10002)
            self.service.inject(numbered(n), 10002)
            self.assertEqual(other.event(n=n)["who"], 0)
            self.assertEqual(one.ask("get_login_info")["data"]["user_id"], 10001)
            self.assertLess(watch.seconds(), 1.0)
        lines = [line for line in self.new_log().splitlines() if "reads too slowly" in line]
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("two:", lines[0])


class Ends(DialledTestCase):
    """How links end, and come again."""

    def test_l12_close_codes(self) -> None:
        """L-12: a close frame gets one answer with its code, and whatever the code, we come again."""
        for code in (1000, 1001, 1011, 1012, 1013, 1003, 1008, 3000, 4001, None):
            peer = self.anew(self.one)
            self.assertEqual(peer.ask("get_login_info")["retcode"], 0)
            peer.send_close(code, "" if code is None else "bye")
            answers = []
            try:
                while True:
                    opcode, payload = peer.frame()
                    if opcode == CLOSE:
                        answers.append(payload[:2])
                    else:
                        self.assertEqual(answers, [], "nothing comes behind a close frame")
                    if answers:
                        peer.socket.shutdown(socket.SHUT_WR)
            except (Ended, OSError):
                pass
            expected = [b""] if code is None else [struct.pack("!H", code)]
            self.assertEqual(answers, expected)
            watch = self.service.stopwatch()
            self.works(self.one.next())
            self.assertLess(watch.seconds(), SHORTEST * 1.2 + 0.5, code)
        self.assertNotIn("cannot connect", self.new_log())

    def test_l03_restarts_without_overlap(self) -> None:
        """L-03: twenty ends of all kinds; each old connection is gone before the new one is dialled."""

        def abort(peer: Peer) -> None:
            reset(peer.socket)

        def vanish(peer: Peer) -> None:
            peer.socket.close()

        def half_close(peer: Peer) -> None:
            peer.socket.shutdown(socket.SHUT_WR)

        def say_goodbye(peer: Peer) -> None:
            peer.send_close(1001)  # and leave TCP to the other

        def break_protocol(peer: Peer) -> None:
            peer.socket.sendall(b"\xff\xff\xff\xff")

        ends: list[Callable[[Peer], None]] = [abort, vanish, half_close, say_goodbye, break_protocol]
        peer = self.anew(self.one)
        before = self.one.dialled()
        for n in range(20):
            if n % 2:
                self.lifecycle(peer)
            ends[n % len(ends)](peer)
            peer = self.one.next()
        self.assertEqual(self.one.dialled(), before + 20)
        self.works(peer)
        self.assertEqual(self.one.overlaps, [])

    def test_listener_restarts(self) -> None:
        """The program ends and starts again, twenty times as fast as it can."""
        peer = self.anew(self.one)
        for _n in range(20):
            self.one.stop_listening()
            reset(peer.socket)
            self.one.start()
            peer = self.one.next()
        self.works(peer)

    def lines(self) -> list[str]:
        return [line for line in self.new_log().splitlines() if "cannot connect" in line]

    def assert_growing(self, gaps: list[float]) -> None:
        """Doubling with jitter, up to the longest. (The first attempt came after the shortest.)"""
        least = [min(LONGEST / 1.2, SHORTEST * 2 ** (n + 1)) for n in range(len(gaps))]
        # One that a busy machine tells us of late is nearer to the next one.
        self.assertGreater(sum(gaps), sum(least) - 0.1, gaps)
        for gap, wanted in zip(gaps, least, strict=True):
            self.assertGreater(gap, wanted / 2, gaps)
            self.assertLess(gap, wanted * 1.2 + 2, gaps)

    def refused_with(self, refuse: Callable[[Peer], Any], attempts: int = 6) -> list[float]:
        """The link ends, and all attempts are refused; the gaps between them."""
        peer = self.anew(self.one)
        before = self.one.dialled()
        self.one.answer = refuse
        reset(peer.socket)
        wait_until("it is dialled", lambda: self.one.dialled() >= before + attempts)
        gaps = self.one.gaps(before)
        self.one.answer = let_in
        return gaps[: attempts - 1]

    def test_403(self) -> None:
        """A bot that still holds a connection of the account (NoneBot2): one line, and growing gaps."""
        gaps = self.refused_with(lambda peer: peer.refuse(403))
        self.assert_growing(gaps)
        self.works(self.one.next())
        (line,) = self.lines()
        for part in ("one (account 10001, Universal)", "403", "still holds a connection of this account"):
            self.assertIn(part, line)
        self.assertNotIn("the token", line)
        self.assertNotIn("y=", line)
        reset(self.anew(self.one).socket)
        watch = self.service.stopwatch()
        self.one.next()
        self.assertLess(watch.seconds(), SHORTEST * 1.2 + 0.4, "an opened link resets the gaps")

    def test_closed_with_1008_at_once(self) -> None:
        """A bot that opens only to refuse (aiocqhttp, Koishi): the gaps grow too, with one line."""

        def refuse(peer: Peer) -> None:
            peer.open()
            peer.send_close(1008, "who are you")
            with_close = peer.close_frame()
            assert with_close[0] == 1008
            peer.socket.close()

        gaps = self.refused_with(refuse)
        self.assert_growing(gaps)
        self.works(self.one.next())
        (line,) = self.lines()
        self.assertIn("1008", line)
        self.assertIn("who are you", line)

    def test_bad_handshakes(self) -> None:
        """Whatever comes instead of a WebSocket, it is one line for each reason, and we come again."""
        moved = f"HTTP/1.1 302 Found\r\nLocation: {self.pair.url('/moved')}\r\nContent-Length: 0\r\n\r\n"
        bad = (moved.encode(), b"HTTP/1.1 200 OK\r\n\r\nhello", b"garbage\r\n\r\n", b"\0" * 100, b"")
        for data in bad:
            self.assert_one_line(data)
        self.assertNotIn("/moved", {dial.path for dial in self.pair.dials}, "a redirect is not followed")

    def test_wrong_accept(self) -> None:
        """A server that answers the handshake with a wrong key is one line too."""
        self.assert_one_line(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
        )

    def assert_one_line(self, data: bytes) -> None:
        """The attempts are answered like this, then the bot is good; that is one line, and works."""

        def answer(peer: Peer) -> None:
            peer.socket.sendall(data)
            peer.read_to_end()

        peer = self.anew(self.one)
        before, lines = self.one.dialled(), len(self.lines())
        self.one.answer = answer
        reset(peer.socket)
        wait_until("it is dialled", lambda: self.one.dialled() >= before + 2)
        self.one.answer = let_in
        self.works(self.one.next())
        self.assertEqual(len(self.lines()), lines + 1, self.lines()[lines:])


class AloneTestCase(ServiceTestCase):
    """Tests with a service of their own."""

    def setUp(self) -> None:
        self.listener = Listener()
        self.addCleanup(self.listener.end)
        self.toml = (
            '[[bots]]\nname = "one"\nconnection = "reverse-websocket"\n'
            f'url = "{self.listener.url()}"\nreconnect = {{ min = "1s", max = "60s" }}\n'
            '[limits]\nheartbeat_interval = "60s"\n'
        )
        super().setUp()


class Alone(AloneTestCase):
    def test_l41_then_end(self) -> None:
        """L-41: whoever ends is dialled again after ``min``, not at the next heartbeat. On SIGTERM: 1012."""
        for _n in range(2):
            peer = self.listener.next()
            self.assertEqual(peer.message()["sub_type"], "connect")
            before = self.listener.dialled()
            ended = time.monotonic()
            reset(peer.socket)
            wait_until("it is dialled", lambda: self.listener.dialled() > before)  # noqa: B023
            gap = self.listener.dials[-1].at - ended
            self.assertGreater(gap, 0.97)
            self.assertLess(gap, 1.2 + 0.3)
        peer = self.listener.next()
        self.assertEqual(peer.message()["sub_type"], "connect")
        assert self.service.process is not None
        self.service.send_signal(signal.SIGTERM)
        self.assertEqual(peer.close_frame()[0], 1012)
        peer.send_close(1012)
        peer.read_to_end()
        dialled = self.listener.dialled()
        self.assertEqual(self.service.wait(5), 0)
        self.assertEqual(self.listener.dialled(), dialled)


class BeforeTheAccount(ServiceTestCase):
    """Remote accounts that are not there yet."""

    def setUp(self) -> None:
        pass

    def test_not_dialled_before(self) -> None:
        """No bot hears of an account before it was up once; when it goes later, the links stay."""
        listener, receiver = Listener(), Receiver()
        self.addCleanup(receiver.end)
        self.addCleanup(listener.end)
        hook = f'[[bots]]\nname = "hook"\nconnection = "http-post"\nurl = "{receiver.url()}"\n'
        hook += 'access_token = "of the hook"\n'
        world = World(
            Path(self.mktemp()).absolute(),
            [{"self_id": 501}, {"self_id": 502}],
            toml=bot("one", f'url = "{listener.url()}"', "501, 502") + hook,
            start=False,
        )
        self.addCleanup(world.end)
        wait_until("it is tried", lambda: world.metric("lgtwist_dial_attempts_total", account=501) >= 4)
        self.assertEqual(listener.dialled(), 0)
        self.assertEqual(len(receiver.posts), 0)
        world.implementation.start()
        peers = {peer.dial.key[0]: peer for peer in (listener.next(), listener.next())}
        self.assertEqual(set(peers), {"501", "502"})
        peer = peers["501"]
        self.assertEqual(peer.message()["sub_type"], "connect")
        self.assertEqual(peer.ask("get_login_info")["data"]["user_id"], 501)
        for self_id in (501, 502):
            receiver.wait(f'"self_id":{self_id},')
        world.implementation.kill()
        world.wait_online(501, online=False)
        while peer.event(meta_event_type="heartbeat")["status"]["online"]:
            pass
        self.assertEqual(peer.ask("get_group_list")["retcode"], 1501)
        self.assertEqual(listener.dialled(), 2)
        listener.end()  # else the end takes as long as a goodbye that nobody answers
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, world.service.log())
