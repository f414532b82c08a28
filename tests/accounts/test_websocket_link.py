"""Frames of an implementation that are not quite those of OneBot 11, through a link in memory."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.accounts.websocket_link import WebSocketLink
from lgtwist.hub.account import Account
from lgtwist.hub.calls import InternalCall
from lgtwist.hub.interfaces import Channel
from lgtwist.onebot.message import MessageFormat
from lgtwist.websocket.phase import Phase
from tests.hub.fakes import FakeConnection
from tests.integration.rawclient import BINARY
from tests.pair import Pair
from tests.rounds import quick

SELF_ID = 1234567890


class LinkTestCase(SynchronousTestCase):
    """An account that is up over one link, and a bot that subscribes to its events."""

    channel = Channel.BOTH

    def setUp(self) -> None:
        self.pair = Pair()
        self.account = Account(SELF_ID, self.pair.clock, self.pair.clock.seconds, first_call=2**47)
        self.bot = FakeConnection()
        self.account.subscribe(self.bot, MessageFormat.AS_IS, bytes)
        self.answers: list[dict[str, Any]] = []
        self.log: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.connect()

    def connect(self) -> None:
        link = WebSocketLink(self.account, self.channel, "here")
        self.peer = self.pair.connect(link).open()
        if self.channel is Channel.BOTH:
            self.answer(self.asked(), b'{"retcode":0,"data":{"user_id":%d}}' % SELF_ID)

    def asked(self) -> bytes:
        """The echo of the newest action, as it was sent."""
        return json.dumps(json.loads(self.peer.frames()[-1][1])["echo"]).encode()

    def answer(self, echo: bytes, response: bytes) -> None:
        self.send(response[:-1] + b',"echo":' + echo + b"}")

    def send(self, payload: bytes, opcode: int = 1) -> None:
        self.peer.send(payload, opcode)
        self.pair.turn()

    def ask(self, action: str = "get_x") -> bytes:
        """Send an action; return its echo, as it was sent."""
        self.peer.frames()
        call = InternalCall(action, lambda response, _last: self.answers.append(json.loads(response)))
        self.account.call(call, b"{}")
        return self.asked()

    def event(self, **members: Any) -> None:
        self.send(json.dumps({"post_type": "message", "self_id": SELF_ID, **members}).encode())

    def lines(self, words: str) -> list[str]:
        return [text for text in map(formatEvent, self.log) if text is not None and words in text]

    @property
    def is_open(self) -> bool:
        return self.peer.connection.phase is Phase.OPEN


class AnswerTests(LinkTestCase):
    def test_without_retcode(self) -> None:
        """It is the answer of its call at once: by its status, and 1500 where it has none."""
        for members, retcode, status in (
            ({"status": "ok", "data": {"a": 1}}, 0, "ok"),
            ({"status": "OK", "data": {"a": 1}}, 0, "ok"),
            ({"status": "async", "data": None}, 1, "async"),
            ({"status": "failed", "message": "no", "data": 5}, 1500, "failed"),
            ({"data": {"a": 1, "status": "ok"}}, 1500, "failed"),
            ({"data": None, "status": 200}, 1500, "failed"),
            ({}, 1500, "failed"),
        ):
            echo = self.ask()
            self.send(json.dumps({**members, "echo": json.loads(echo)}).encode())
            answer = self.answers.pop()
            self.assertEqual((answer["retcode"], answer["status"]), (retcode, status), members)
            self.assertEqual(answer["data"], members.get("data"), members)
            self.assertNotIn("echo", answer)
            if "status" not in members:
                self.assertIn("neither a retcode nor a status", answer["message"])
        self.assertEqual(len(self.lines("an odd frame was passed on")), 1)
        self.assertEqual(
            (self.account.counters.malformed_frames, self.account.counters.late_responses), (0, 0)
        )

    def test_a_retcode_that_is_no_number(self) -> None:
        """The answer is passed on as it is."""
        for retcode in ("0", 0.0, None, [], True):
            echo = self.ask()
            self.answer(echo, json.dumps({"status": "ok", "retcode": retcode, "data": 1}).encode())
            self.assertEqual(self.answers.pop()["retcode"], retcode)

    def test_an_echo_that_was_through_a_float(self) -> None:
        """The call is recognised by its number, however it is written."""
        for write in ("%s", '"%s"', "%s.0", '" %s "', "%.15e"):
            echo = self.ask()
            text = write % (json.loads(echo) if "%s" in write else float(json.loads(echo)))
            self.answer(text.encode(), b'{"status":"ok","retcode":0,"data":1}')
            self.assertEqual(self.answers.pop()["data"], 1, text)
            self.assertEqual(self.account.calls_in_flight, 1)  # get_version_info

    def test_in_an_array(self) -> None:
        """An array of one object is that object, and a byte 0 behind it is C's."""
        for frame in (b'[{"retcode":0,"data":1,"echo":%b}]', b' [ {"data":1,"status":"ok","echo":%b}\n]\n'):
            self.send(frame % self.ask())
            self.assertEqual(self.answers.pop()["data"], 1)
        self.send(b'{"retcode":0,"data":1,"echo":%b}\0' % self.ask())
        self.assertEqual(self.answers.pop()["data"], 1)

    def test_that_cannot_be_read(self) -> None:
        """It ends the call that it names as 1500, and no other."""
        first = self.ask()
        second = self.ask()
        self.send(b'{"retcode":0,"data":{1:2},"echo":%b}' % second)
        self.assertEqual([answer["retcode"] for answer in self.answers], [1500])
        self.assertIn("cannot be read", self.answers[0]["message"])
        self.answer(first, b'{"retcode":0}')
        self.assertEqual([answer["retcode"] for answer in self.answers], [1500, 0])
        self.assertEqual(len(self.lines("a malformed frame was dropped")), 1)

    def test_an_event_is_no_answer(self) -> None:
        """An event with an echo of ours and without retcode stays an event."""
        echo = self.ask()
        self.event(echo=json.loads(echo), status="ok", data=1)
        self.assertEqual((self.answers, len(self.bot.frames)), ([], 1))

    def test_login_info_without_retcode(self) -> None:
        """It names the account all the same."""
        self.account.links.close(1000, "again")
        link = WebSocketLink(self.account, self.channel, "here")
        self.peer = self.pair.connect(link).open()
        self.answer(self.asked(), b'{"data":{"user_id":1234567890.0,"nickname":"n"}}')
        self.assertIs(self.account.is_up, True)


class EventTests(LinkTestCase):
    def test_a_self_id_that_is_no_account(self) -> None:
        """The event is delivered as it came, with one line; the link stays."""
        for self_id in (0, "", "0", False, "x", [], 7.5, -1):
            self.event(self_id=self_id)
            self.assertEqual(json.loads(self.bot.frames[-1])["self_id"], self_id)
        self.assertEqual(len(self.lines("its self_id is no account's number")), 1)
        self.assertTrue(self.is_open)

    def test_a_self_id_that_is_written_otherwise(self) -> None:
        """It is the account's."""
        for self_id in (str(SELF_ID), float(SELF_ID), f" {SELF_ID} ", None):
            self.event(self_id=self_id)
        self.send(b'{"post_type":"message","self_id":1.23456789e9}')
        self.assertEqual((len(self.bot.frames), self.lines("self_id")), (5, []))

    def test_a_few_of_another_account(self) -> None:
        """They are dropped with a line; two in a row, or many of many accounts, close no link."""
        for number in range(100):
            self.event(self_id=5 + number % 2)
            self.event(self_id=7)
        self.assertEqual((self.bot.frames, self.is_open), ([], True))
        self.assertEqual(len(self.lines("an event of account 7 was dropped")), 1)

    def test_only_events_of_another_account(self) -> None:
        """Three in a row are enough where none of this account came; then the next link has no such time."""
        for _ in range(2):
            self.event(self_id=5)
        self.assertTrue(self.is_open)
        self.event(self_id=5)
        self.assertFalse(self.is_open)
        self.assertEqual(len(self.lines("link refused: its implementation is logged in as 5")), 1)
        self.connect()
        self.event(self_id=5)
        self.assertFalse(self.is_open)
        self.connect()
        self.event()
        self.event(self_id=5)
        self.assertTrue(self.is_open)

    def test_events_of_another_account_too(self) -> None:
        """Where this account's came on the link, get_login_info decides; it is sent once a minute."""
        self.event()
        self.peer.frames()
        for _ in range(50):
            self.event(self_id=5)
        asked = [json.loads(frame) for _opcode, frame in self.peer.frames()]
        self.assertEqual([frame["action"] for frame in asked], ["get_login_info"])
        self.answer(json.dumps(asked[0]["echo"]).encode(), b'{"retcode":0,"data":{"user_id":%d}}' % SELF_ID)
        self.assertTrue(self.is_open)
        self.pair.clock.advance(61)
        self.event(self_id=5)
        self.answer(self.asked(), b'{"retcode":0,"data":{"user_id":5}}')
        self.assertFalse(self.is_open)

    def test_frames_that_are_none(self) -> None:
        """Binary, empty, arrays: one line, and no harm."""
        for payload in (
            b"\x00\xff",
            b"",
            b"[]",
            b"null",
            b'[{"post_type":"message"},{"post_type":"x"}]',
            b"\0",
        ):
            self.send(payload, BINARY)
        self.assertEqual(self.account.counters.malformed_frames, 6)
        self.assertEqual(len(self.lines("a malformed frame was dropped")), 1)
        self.assertTrue(self.is_open)


class EventLinkTests(LinkTestCase):
    channel = Channel.EVENTS

    def test_what_is_waited_for(self) -> None:
        """One line says that the other link of a pair is missing."""
        self.pair.clock.advance(100)
        self.assertEqual(len(self.lines("not up yet: its API link is not open")), 1)
        self.assertEqual(self.account.reason, "its API link is not open")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "post_type": st.sampled_from(["message", "notice", "meta_event", "x"]) | JSON,
        "notice_type": st.sampled_from(["bot_offline", "bot_online"]) | JSON,
        "meta_event_type": st.sampled_from(["heartbeat", "lifecycle"]) | JSON,
        "self_id": st.sampled_from([SELF_ID, float(SELF_ID), str(SELF_ID), 0, "", None, -1, 7.5, [], {}]),
        "status": st.sampled_from(["ok", "failed", {"online": True}, {"online": False}]) | JSON,
        "interval": st.sampled_from([5000, 3, 0, "5000", 1e300]) | JSON,
        "retcode": st.sampled_from([0, 1, "0", 0.0]) | JSON,
        "data": JSON,
        "echo": st.just("ECHO") | JSON,
    },
)


class OddFrameTests(LinkTestCase):
    @given(
        st.lists(
            st.tuples(
                MEMBERS,
                st.sampled_from(["%s", "[%s]", "\ufeff%s", "%s\0", "%s,", "%s%s"]),
                st.sampled_from(['"%d"', "%d", "%d.0", "[%d]", "1%d"]),
                st.booleans(),
            ),
            max_size=8,
        )
    )
    @quick
    def test_any(self, frames: list[Any]) -> None:
        """The link stays up and each call ends exactly once, whatever comes between calls and answers."""
        self.setUp()
        ended: list[int] = []
        for number, (members, around, spelling, ascii_only) in enumerate(frames):
            call = InternalCall("get_x", lambda _response, _last, one=number: ended.append(one))
            self.account.call(call, b"{}")
            text = json.dumps(members, ensure_ascii=ascii_only).replace('"ECHO"', spelling % call.call_id)
            self.send((around.replace("%s", text)).encode("utf-8", "replace"))
            self.assertIn(len(ended), (number, number + 1))
            if len(ended) == number:
                self.answer(b'"%d"' % call.call_id, b'{"retcode":0}')
            self.answer(b'"%d"' % call.call_id, b'{"retcode":0}')
        self.assertEqual(ended, list(range(len(frames))))
        self.assertTrue(self.is_open)
        self.assertIs(self.account.is_up, True)
        self.assertEqual(self.flushLoggedErrors(), [])
