"""Frames and messages of every shape and size, good and bad (section D of the catalogue of faults).

Of L-22 and L-23, which the catalogue has of a *reverse* WebSocket, the same is asked of what a bot sends.
"""

from __future__ import annotations

import json
import struct
import threading
import time
from itertools import pairwise

from tests.integration.faulty import (
    MIB,
    FaultTestCase,
    frames_to_end,
    login_info,
    numbered,
    quiet,
    raw_exchange,
    sent_without_care,
)
from tests.integration.rawclient import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    handshake,
    masked_frame,
)
from tests.integration.running import PATIENCE, wait_until


class Framing(FaultTestCase):
    """What RFC 6455 lets a peer do, and what it does not."""

    def assert_ends_with(self, sent: bytes, code: int, name: str = "") -> None:
        """After ``sent`` the service closes with ``code``, having answered nothing, and TCP ends."""
        bot = self.bot()
        sent_without_care(bot.socket, [sent])
        frames = list(frames_to_end(bot))
        self.assertEqual([opcode for opcode, _p in frames], [CLOSE], name or sent[:60])
        self.assertEqual(struct.unpack("!H", frames[0][1][:2])[0], code, name or sent[:60])
        bot.socket.close()

    def test_L22_sizes_around_the_bounds_of_length(self) -> None:
        """Messages of falling sizes, whole and in two fragments, are read whole, and apart."""
        bot = self.bot()
        for size in (65537, 65536, 65535, 2048, 1025, 1024, 1023, 127, 126, 125):
            echo = "x" * (size - len('{"action":"get_login_info","echo":""}'))
            action = b'{"action":"get_login_info","echo":"%s"}' % echo.encode()
            self.assertEqual(len(action), size)
            bot.send(action)
            answer = bot.response()
            self.assertEqual((answer["retcode"], answer["echo"]), (0, echo))
            bot.send(action[: size // 2], TEXT, fin=False)
            bot.send(action[size // 2 :], CONTINUATION)
            answer = bot.response()
            self.assertEqual((answer["retcode"], answer["echo"]), (0, echo))

    def test_L22_fragments_of_one_byte_with_pings_between(self) -> None:
        """A message in fragments of one byte, characters split, is read; each ping between has one pong."""
        bot = self.bot()
        echo = "你好 😀 é"
        action = json.dumps({"action": "get_status", "echo": echo}, ensure_ascii=False).encode()
        sent = b""
        pings = []
        for at in range(len(action)):
            sent += masked_frame(action[at : at + 1], CONTINUATION if at else TEXT, fin=at == len(action) - 1)
            if at % 3 == 0 and at < len(action) - 1:
                pings.append(b"p%d" % at)
                sent += masked_frame(pings[-1], PING)
            if at % 5 == 0:
                sent += masked_frame(b"", CONTINUATION, fin=False) if at < len(action) - 1 else b""
        for at in range(0, len(sent), 7):  # and TCP cuts where it likes
            bot.socket.sendall(sent[at : at + 7])
        pongs = []
        while (frame := bot.frame())[0] == PONG:
            pongs.append(frame[1])
        self.assertEqual(pongs, pings)
        self.assertEqual(json.loads(frame[1])["echo"], echo)

    def test_L22_many_messages_in_one_segment(self) -> None:
        """Actions that come glued together, after the handshake in the same bytes too, are each answered."""
        glued = b"".join(masked_frame(login_info(200, str(n))) for n in range(100))
        bot = self.dial(glued=glued)
        self.assertEqual(bot.message()["sub_type"], "connect")
        self.assertEqual([bot.response()["echo"] for _ in range(100)], [str(n) for n in range(100)])

    def test_one_pong_for_each_ping(self) -> None:
        """A ping has exactly one pong, with its payload, of whatever length."""
        bot = self.bot()
        payloads = [b"", b"\x00", b"\xff" * 125, *(b"%d" % n for n in range(200))]
        for payload in payloads:
            bot.send(payload, PING)
        self.assertEqual([bot.frame() for _ in payloads], [(PONG, payload) for payload in payloads])
        self.assertEqual(bot.ask("get_status")["retcode"], 0)

    def test_L24_data_on_event(self) -> None:
        """What is sent on /event is not answered, done or spun on; pings, events and closing go on."""
        bot = self.bot("/event")
        before = self.service.transcript()
        say = {"action": "send_private_msg", "params": {"user_id": 20001, "message": "no"}, "echo": 1}
        for opcode in (TEXT, BINARY, TEXT):
            for _ in range(10):
                bot.send(json.dumps(say), opcode)
                bot.send(b"{", opcode)
        bot.send(b"there?", PING)
        self.assertEqual(bot.frame(), (PONG, b"there?"))
        burnt = self.service.cpu_seconds()
        time.sleep(0.3)
        self.assertLess(self.service.cpu_seconds() - burnt, 0.1, "the processor is not idle")
        self.service.inject(numbered(1))
        self.assertEqual(bot.message()["n"], 1)
        self.assertEqual(self.service.transcript(), before)
        self.assertEqual(self.new_log().count("takes no actions"), 1)
        bot.send_close(1000)
        self.assertEqual(bot.close_frame()[0], 1000)

    def test_L26_binary_is_read_as_text(self) -> None:
        """A binary frame with an action is answered, with text."""
        bot = self.bot()
        bot.send('{"action":"get_login_info","echo":"你"}', BINARY)
        opcode, payload = bot.frame()
        self.assertEqual(opcode, TEXT)
        self.assertEqual(json.loads(payload)["echo"], "你")

    def test_L26_text_that_is_not_utf8(self) -> None:
        """Text that is not UTF-8 as a whole is closed with 1007, and nothing of it is done."""
        before = self.service.transcript()
        action = b'{"action":"send_private_msg","params":{"user_id":20001,"message":"%s"}}'
        for bad in (
            b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe4\xbd", b"\x80", b"\xf0\x9f\x98",
        ):  # fmt: skip
            self.assert_ends_with(masked_frame(action % bad), 1007)
            whole = action % bad
            cut = whole.index(bad) + 1
            self.assert_ends_with(
                masked_frame(whole[:cut], fin=False) + masked_frame(whole[cut:], CONTINUATION), 1007
            )
        self.assertEqual(self.service.transcript(), before)
        self.assert_unharmed()

    def test_L26_binary_that_is_not_utf8(self) -> None:
        """A binary message that is not UTF-8 is answered 1400, with its echo, and the connection stays."""
        bot = self.bot()
        for bad in (b"\xff", b"\xed\xa0\x80", b"\xe4\xbd"):
            bot.send(b'{"action":"get_status","params":{"a":"%s"},"echo":{"seq":7}}' % bad, BINARY)
            answer = bot.response()
            self.assertEqual((answer["status"], answer["retcode"]), ("failed", 1400))
            self.assertEqual(answer["echo"], {"seq": 7})
            bot.send(bad * 1000, BINARY)
            answer = bot.response()
            self.assertEqual(answer["retcode"], 1400)
            self.assertNotIn("echo", answer)
        self.assertEqual(bot.ask("get_status")["retcode"], 0)

    def test_protocol_errors(self) -> None:
        """What RFC 6455 forbids is closed with 1002; nothing of it is done, and nobody else notices."""
        other = self.bot()
        before = self.service.transcript()
        action = b'{"action":"send_private_msg","params":{"user_id":20001,"message":"no"}}'
        wrong = {
            "unmasked": masked_frame(action, mask=False),
            "RSV1": masked_frame(action, rsv=4),
            "RSV2": masked_frame(action, rsv=2),
            "RSV3": masked_frame(action, rsv=1),
            "reserved data opcode": masked_frame(action, 3),
            "reserved control opcode": masked_frame(b"", 11),
            "a fragmented ping": masked_frame(b"x", PING, fin=False),
            "a fragmented close": masked_frame(b"", CLOSE, fin=False),
            "a ping of 126 bytes": masked_frame(b"x" * 126, PING),
            "a continuation of nothing": masked_frame(action, CONTINUATION),
            "a message within a message": masked_frame(b"{", fin=False) + masked_frame(action),
            "a close frame of one byte": masked_frame(b"\x03", CLOSE),
            "a length of 64 bits with the first set": b"\x81\xff" + b"\xff" * 8 + b"mask" + b"x" * 100,
        }
        for name, sent in wrong.items():
            self.assert_ends_with(sent, 1002, name)
            self.assert_ends_with(sent + masked_frame(action) * 3, 1002, name)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535):
            self.assert_ends_with(masked_frame(struct.pack("!H", code), CLOSE), 1002)
        bot = self.bot()
        bot.send(struct.pack("!H", 1000) + b"\xff\xfe", CLOSE)
        self.assertIn(bot.close_frame()[0], (1002, 1007))
        self.assertEqual(self.service.transcript(), before)
        self.assertEqual(other.ask("get_status")["retcode"], 0)
        self.assert_unharmed()

    def test_rubbish(self) -> None:
        """Bytes without sense, from every state, end in one connection and one answer or none."""
        rubbish = bytes(range(256)) * 40
        baseline = self.files()
        for cut in range(0, 200, 7):
            raw_exchange(self.service, rubbish[cut:] + b"\r\n\r\n")
            bot = self.bot()
            sent_without_care(bot.socket, [rubbish[cut:]])
            bot.read_to_end()
            bot.socket.close()
            whole = handshake("/", None, f"127.0.0.1:{self.service.port}") + masked_frame(login_info(300))
            with self.service.connect() as sock:
                sock.sendall(whole[: 2 * cut])
        self.assert_unharmed()
        self.assert_files_back(baseline)


class Sizes(FaultTestCase):
    """How large a message may be, with the limits as they come."""

    toml = quiet("100ms")

    def test_L23_large_messages_are_answered_soon(self) -> None:
        """Eight MiB and 31 MiB from a bot are taken in seconds, and others' hearts beat meanwhile."""
        other = self.bot()
        beats: list[float] = []
        ending = threading.Event()
        all_along = self.service.stopwatch()

        def listen() -> None:
            while not ending.is_set():
                other.event(meta_event_type="heartbeat")
                beats.append(all_along.seconds())

        listening = threading.Thread(target=listen)
        listening.start()
        bot = self.dial("/api")
        for mebibytes, within in ((8, 2.0), (31, 5.0)):
            image = {"type": "image", "data": {"file": "base64://" + "A" * ((mebibytes << 20) - 200)}}
            action = {
                "action": "send_group_msg",
                "params": {"group_id": 30001, "message": [image]},
                "echo": 8,
            }
            frame = masked_frame(json.dumps(action).encode())
            watch = self.service.stopwatch()
            bot.socket.sendall(frame)
            answer = bot.response()
            self.assertEqual(answer["retcode"], 0)
            self.assertEqual(answer["echo"], 8)
            self.assertLess(watch.seconds(), within, f"{mebibytes} MiB")
        ending.set()
        listening.join(PATIENCE)
        gaps = [later - earlier for earlier, later in pairwise(beats)]
        self.assertLess(max(gaps), 1.0, "another bot's heart stood still")
        self.assertLess(max(map(len, self.new_log().splitlines())), 2000, "a payload in the log")

    def test_31_MiB_pass(self) -> None:
        """A message of 31 MiB passes, in one frame and in fragments."""
        bot = self.dial("/api")
        message = login_info(31 * MIB)
        bot.send(message)
        self.assertEqual(bot.response()["retcode"], 0)
        for at in range(0, len(message), MIB):
            last = at + MIB >= len(message)
            bot.send(message[at : at + MIB], CONTINUATION if at else TEXT, fin=last)
        self.assertEqual(bot.response()["retcode"], 0)

    def test_33_MiB_are_too_much(self) -> None:
        """A message of 33 MiB is closed with 1009, which the peer can read however much it still sends."""
        message = login_info(33 * MIB)
        for fragment in (len(message), MIB):
            bot = self.dial("/api")
            sent_without_care(
                bot.socket,
                (
                    masked_frame(
                        message[at : at + fragment],
                        CONTINUATION if at else TEXT,
                        fin=at + fragment >= len(message),
                    )
                    for at in range(0, len(message), fragment)
                ),
            )
            self.assertEqual(bot.close_frame()[0], 1009)
            self.assertEqual(list(frames_to_end(bot)), [])
            bot.socket.close()
        wait_until("the log says so", lambda: self.new_log().count("1009") == 2)
        self.assert_unharmed()

    def test_large_messages_out(self) -> None:
        """An event of eight MiB reaches a bot that reads, and the beats around it too."""
        bot = self.bot()
        self.service.inject(numbered(1, 8 * MIB))
        self.assertEqual(len(bot.event(n=1)["pad"]), 8 * MIB)
        bot.event(meta_event_type="heartbeat")


class Endless(FaultTestCase):
    """Messages that never end."""

    LIMIT = MIB // 4
    toml = quiet(max_message="256KiB")

    def test_L25_endless_fragments(self) -> None:
        """A message without end is closed with 1009 at the limit, and costs no memory beyond it."""
        for size in (65_536, 1000, 1):
            bot = self.bot()
            before = self.service.memory()
            piece = masked_frame(b"x" * size, CONTINUATION, fin=False)
            many = piece * max(1, 65_536 // len(piece))
            bot.send(b"{", TEXT, fin=False)
            sent_without_care(bot.socket, (many for _ in range(200)))
            self.assertLess(self.service.memory() - before, 6 * MIB, f"fragments of {size} bytes")
            self.assertEqual(bot.close_frame()[0], 1009)
            bot.socket.close()
        self.assert_unharmed()

    def test_L25_unfinished_messages(self) -> None:
        """Many peers, each with a message just below the limit that they never end, cost just that."""
        before = self.service.memory()
        bots = [self.bot() for _ in range(80)]
        for bot in bots:
            bot.send(b"x" * (self.LIMIT - 10), TEXT, fin=False)
            bot.send(b"", PING)
        for bot in bots:
            self.assertEqual(bot.frame(), (PONG, b""))
        self.assertLess(self.service.memory() - before, 40 * MIB)
        for bot in bots:
            bot.reset()
        self.assert_unharmed()

    def test_L25_empty_fragments(self) -> None:
        """Empty fragments without end cost nothing, and the message may still end well."""
        bot = self.bot()
        before = self.service.memory()
        action = login_info(300)
        bot.send(action[:100], TEXT, fin=False)
        empty = masked_frame(b"", CONTINUATION, fin=False) * 5000
        for _ in range(10):
            bot.socket.sendall(empty)
        bot.send(action[100:], CONTINUATION)
        self.assertEqual(bot.response()["retcode"], 0)
        self.assertLess(self.service.memory() - before, 6 * MIB)

    def test_limit_is_exact(self) -> None:
        """The limit itself passes, one byte more does not."""
        bot = self.bot()
        bot.send(login_info(self.LIMIT))
        self.assertEqual(bot.response()["retcode"], 0)
        sent_without_care(bot.socket, [masked_frame(login_info(self.LIMIT + 1))])
        self.assertEqual(bot.close_frame()[0], 1009)
