"""Frames and messages of every shape and size, good and bad (sections D and K of the catalogue of faults).

L-71 and L-72, about what stands in them, are here too.

Left out: nothing; of L-22 and L-23, which the catalogue has of a *reverse* WebSocket, the same is asked of
what a bot sends.
"""

from __future__ import annotations

import json
import re
import struct
import threading
import time
from itertools import pairwise
from typing import Any

from tests.integration.faulty import (
    FaultTestCase,
    frames_to_end,
    numbered,
    numbers,
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
    RawClient,
    handshake,
    masked_frame,
)
from tests.integration.running import PATIENCE, wait_until
from tests.rounds import SOCKET_ROUNDS

MIB = 1 << 20


def login_info(size: int, echo: str = "e") -> bytes:
    """An action of exactly ``size`` bytes, most of it ballast."""
    head, tail = b'{"action":"get_login_info","params":{"ballast":"', f'"}},"echo":"{echo}"}}'.encode()
    return head + b"b" * (size - len(head) - len(tail)) + tail


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

        def listen() -> None:
            while not ending.is_set():
                other.event(meta_event_type="heartbeat")
                beats.append(time.monotonic())

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
            began = time.monotonic()
            bot.socket.sendall(frame)
            answer = bot.response()
            self.assertEqual((answer["retcode"], answer["echo"]), (0, 8))
            self.assertLess(time.monotonic() - began, within, f"{mebibytes} MiB")
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


class Json(FaultTestCase):
    """What stands in a frame that should be an action."""

    def answer_to(self, bot: RawClient, sent: bytes) -> tuple[dict[str, Any], bytes]:
        """The next frame, which must be a response: as JSON and as it came."""
        bot.send(sent)
        opcode, payload = bot.frame()
        self.assertEqual(opcode, TEXT)
        # A Python client would have to do so too, with an echo of its own of 5,000 digits.
        answer = json.loads(payload, parse_int=lambda digits: int(digits) if len(digits) < 4000 else digits)
        return dict(answer), payload

    def test_L71_garbage_is_answered(self) -> None:
        """Whatever is no action is answered 1400, with its echo where there is one; the connection stays."""
        bot = self.bot()
        nameless = (
            b"{", b"", b"[]", b"1", b"null", b'"x"', b"true", b"}", b"[", b" ", b"\t\n", b"\x00", b"nul",
            b"{}", b'{"action":5}', b'{"action":null}', b'{"action":""}', b'{"action":[]}', b'{"action":{}}',
            b'{"params":{}}', b'{"action":"get_status","params":[]}', b'{"action":"get_status","params":1}',
            b'{"action":"get_status","params":"x"}', b'{"action":"get_status"',
            b'{"action":"get_status"}}', b'{"action":"get_status"} {}', b"{'action':'get_status'}",
            b'{"action":"get_status",}', b'{action:"get_status"}', b'{"action":"get_status"}//',
            b"\xef\xbb\xbf{}", b'{"a":\x01}', b'{"action":"\n"', b'["action","get_status"]',
            "你好".encode(), b"\xf0\x9f\x98\x80", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000,
        )  # fmt: skip
        for sent in nameless:
            answer, _raw = self.answer_to(bot, sent)
            self.assertEqual((answer["status"], answer["retcode"]), ("failed", 1400), sent[:60])
            self.assertEqual(answer["data"], None)
            self.assertTrue(answer["message"])
            self.assertNotIn("echo", answer)
        for sent in (
            b'{"action":5,"echo":"e1"}', b'{"echo":"e1"}', b'{"action":null,"echo":"e1"}',
            b'{"echo":"e1","action":"get_status"', b'{"echo":"e1","action":}', b'{"action":"x","echo":"e1",}',
            b'{"echo":"e1","params":{"a":}}', b'{"action":"get_status","params":[],"echo":"e1"}',
            b'{"echo" : "e1" , "action":"get_status" "params":{}}',
            b'{"echo":"e1","params":' + b"[" * 100_000, b'{"action":"' + b"x" * 200_000 + b'","echo":"e1"',
        ):  # fmt: skip
            answer, _raw = self.answer_to(bot, sent)
            self.assertEqual(answer["retcode"], 1400, sent[:60])
            self.assertEqual(answer.get("echo"), "e1", sent[:60])
        self.assertEqual(bot.ask("get_status")["retcode"], 0)

    def test_unknown_action_is_1404(self) -> None:
        """What is an action, but none that there is, is 1404 with its echo."""
        bot = self.bot()
        for name in (
            "no_such_action",
            "GET_STATUS",
            "get_status ",
            "get_status/",
            "__class__",
            "你好",
            "x" * 9999,
        ):
            bot.call(name, {"n": 1})
            answer = bot.response()
            self.assertEqual((answer["retcode"], answer["echo"]), (1404, {"n": 1}), name[:30])

    def test_L72_echo_comes_back_as_it_was(self) -> None:
        """An echo of any JSON type comes back just as it was sent, in good answers and in bad ones."""
        bot = self.bot()
        echoes = (
            '"text"', '""', '"你好 😀"', r'"\u4f60\n\"\\\/"', "0", "-0", "1", "-1", "9007199254740993",
            "18446744073709551615", "18446744073709551616", "9" * 300, "1.0", "0.1", "1e5",
            "1E+400", "-1e-400",
            "true", "false", "null", "[]", "{}", '[1,[2,{"a":null}]]', '{"seq":7}', '{"seq": 7 , "a":[ ]}',
            '{"echo":"inner","action":"x"}', '{"a":1,"a":2}', r'"\ud83d"',
            r'"\ud83d\ude00"', '"' + "e" * 100_000 + '"',
        )  # fmt: skip
        for echo in echoes:
            for head, retcode in (
                ('"action":"get_login_info"', 0),
                ('"action":"no_such"', 1404),
                ('"action":7', 1400),
                ('"action":"get_stranger_info","params":{"user_id":"x"}', 1400),
            ):
                for sent in (f'{{{head},"echo":{echo}}}', f'{{ "echo" :\t{echo} ,{head}}}'):
                    answer, raw = self.answer_to(bot, sent.encode())
                    self.assertEqual(answer["retcode"], retcode, sent[:80])
                    self.assertIn("echo", answer)
                    self.assertTrue(
                        raw.endswith(f'"echo":{echo}}}'.encode()), f"{raw[-80:]!r} for {sent[:80]}"
                    )
        self.assertNotIn("echo", self.answer_to(bot, b'{"action":"get_status"}')[0])
        twice, _raw = self.answer_to(bot, b'{"echo":1,"action":"x","action":"get_status","echo":2}')
        self.assertEqual((twice["retcode"], twice["echo"]), (0, 2), "of equal keys the last counts")

    def test_L72_events_have_no_echo(self) -> None:
        """An event never carries an ``echo``, even where the account's own had one."""
        bot = self.bot()
        self.service.inject({"echo": 5, **numbered(1), "echo2": 1})
        event = bot.message()
        self.assertEqual(event["n"], 1)
        self.assertNotIn("echo", event)
        self.assertEqual(event["echo2"], 1)

    def test_K_python_traps(self) -> None:
        """Deep nesting, huge numbers, NaN and lone surrogates, anywhere in an action, are just answered."""
        bot = self.bot()
        traps = {
            "deep": "[" * 100_000 + "]" * 100_000,
            "deep objects": '{"a":' * 50_000 + "1" + "}" * 50_000,
            "5,000 digits": "9" * 5000,
            "NaN": "NaN",
            "Infinity": "-Infinity",
            "1e400": "1e400",
            "a lone surrogate": r'"\ud83d"',
            "a lone low surrogate": r'"\udc00x"',
        }
        lenient = ("5,000 digits", "1e400", "a lone surrogate", "a lone low surrogate")
        for name, trap in traps.items():
            answer, _raw = self.answer_to(bot, f'{{"action":{trap},"echo":"k"}}'.encode())
            self.assertIn(answer["retcode"], (1400, 1404))
            self.assertEqual(answer.get("echo"), "k")
            for params in (trap, f'{{"x":{trap}}}', f'{{"user_id":{trap},"message":{trap}}}'):
                action = f'{{"action":"send_private_msg","params":{params},"echo":"k"}}'
                answer, _raw = self.answer_to(bot, action.encode())
                self.assertEqual(answer["status"], "failed", params[:60])
                self.assertEqual(answer["retcode"], 1400, params[:60])
                self.assertEqual(answer.get("echo"), "k", params[:60])
            answer, raw = self.answer_to(bot, f'{{"action":"get_status","echo":{trap}}}'.encode())
            if name in lenient:
                self.assertEqual(answer["retcode"], 0)
                self.assertTrue(raw.endswith(f'"echo":{trap}}}'.encode()))
            else:
                self.assertIn(answer["retcode"], (0, 1400))
            self.assertIsNone(re.search(rb"NaN|Infinity", raw.partition(b'"message"')[0]))
        surrogate = b'{"action":"send_private_msg","params":{"user_id":20001,"message":"\\ud83d"}}'
        answer, _raw = self.answer_to(bot, surrogate)
        self.assertIn(answer["retcode"], (0, 1400))
        self.assertEqual(self.service.http("/sandbox/10001/transcript")[0], 200)
        self.assertEqual(bot.ask("get_status")["retcode"], 0)
        self.assert_unharmed()

    def test_an_action_among_garbage(self) -> None:
        """Good actions between bad frames are each answered, in order, once."""
        bot = self.bot()
        for number in range(200 * SOCKET_ROUNDS):
            bot.send((b"{", b"[]", b'{"action":0}', b"\x00")[number % 4])
            bot.call("get_login_info", number)
        for number in range(200 * SOCKET_ROUNDS):
            self.assertEqual(bot.response()["retcode"], 1400)
            answer = bot.response()
            self.assertEqual((answer["retcode"], answer["echo"]), (0, number))
        self.service.inject(numbered(3))
        self.assertEqual(numbers(bot, lambda n: n == 3), [3])
