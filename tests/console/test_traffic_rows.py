"""Rows of live traffic: small, readable, and made of whatever peers send."""

from __future__ import annotations

import json
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.console.traffic_rows import (
    MAX_ROW,
    MAX_ROW_TEXT,
    MAX_SENDER,
    action_row,
    answer_row,
    event_row,
    searched_action_text,
    searched_event_text,
)
from lgtwist.onebot.event import Event, read_event
from tests.rounds import SLOWNESS, quick

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["type", "data", "text", "qq", "x"]), inner)
    ),
    max_leaves=10,
)
MEMBERS = [
    "message",
    "sender",
    "anonymous",
    "group_id",
    "user_id",
    "comment",
    "target_id",
    "file",
    "sub_type",
]
KIND_MEMBERS = ["message_type", "notice_type", "request_type", "meta_event_type", "messages", "auto_escape"]


def event(**members: Any) -> Event:
    return read_event(json.dumps({"post_type": "message", **members}).encode())


def row(**members: Any) -> dict[str, Any]:
    made = event_row(1, 1.5, 10001, event(**members))
    result: dict[str, Any] = json.loads(made)
    return result


def action(params: Any, name: str = "send_msg") -> dict[str, Any]:
    result: dict[str, Any] = json.loads(action_row(1, 1.5, 10001, "bot", name, json.dumps(params).encode()))
    return result


class EventRowTests(SynchronousTestCase):
    def test_message(self) -> None:
        """A message has its type, its place, its sender and its parts, as an array and as a string."""
        array = [
            {"type": "reply", "data": {"id": "5"}},
            {"type": "text", "data": {"text": "hello "}},
            {"type": "at", "data": {"qq": 10001}},
            {"type": "face", "data": {"id": "14"}},
            {"type": "image", "data": {"file": "a.png", "url": "https://a.example/?rkey=x"}},
        ]
        string = "[CQ:reply,id=5]hello [CQ:at,qq=10001][CQ:face,id=14][CQ:image,file=a.png]"
        for message in (array, string):
            made = row(
                message_type="group",
                group_id=1,
                user_id="2",
                sender={"nickname": "Alice", "card": ""},
                message=message,
            )
            self.assertEqual(
                made["parts"], [["reply"], ["text", "hello "], ["at", "10001"], ["face", "14"], ["image"]]
            )
            self.assertEqual(
                (made["kind"], made["type"], made["group"], made["user"]), ("message", "group", 1, 2)
            )
            self.assertEqual(
                (made["sender"], made["bot"], made["action"], made["account"]), ("Alice", None, None, 10001)
            )
        self.assertEqual(row(sender={"nickname": "a", "card": "b"})["sender"], "b")

    def test_other_kinds(self) -> None:
        """Notices, requests, heartbeats and inventions are told apart."""
        for members, kind, name, parts in (
            ({"post_type": "notice", "notice_type": "group_recall"}, "notice", "group_recall", []),
            (
                {"post_type": "notice", "notice_type": "notify", "sub_type": "poke", "target_id": 3},
                "notice",
                "poke",
                [["at", "3"]],
            ),
            (
                {"post_type": "notice", "notice_type": "group_upload", "file": {"name": "a.txt"}},
                "notice",
                "group_upload",
                [["file", "a.txt"]],
            ),
            (
                {"post_type": "request", "request_type": "friend", "comment": "me"},
                "request",
                "friend",
                [["text", "me"]],
            ),
            ({"post_type": "meta_event", "meta_event_type": "heartbeat"}, "meta", "heartbeat", []),
            ({"post_type": "message_sent", "message_type": "private"}, "message", "private", []),
            ({"post_type": "odd"}, "other", "odd", []),
        ):
            made = row(**members)
            self.assertEqual((made["kind"], made["type"], made["parts"]), (kind, name, parts))

    def test_odd_messages(self) -> None:
        """A message that is no message, or has odd segments, gives what can be read of it."""
        self.assertEqual(row(message={"type": "text", "data": {"text": "a"}})["parts"], [["text", "a"]])
        self.assertEqual(row(message=5)["parts"], [["text", "5"]])
        odd = [None, 5, [1], {"type": 7}, {"type": "face"}, {"type": "text", "data": "b"}]
        self.assertEqual(row(message=odd)["parts"], [["text", "5"], ["face", ""], ["text", "b"]])
        for message in (None, True, [], {}, "", [[[]]]):
            self.assertEqual(row(message=message)["parts"], [])

    def test_hostile_text(self) -> None:
        """Markup and directional characters stay; control characters and lone surrogates are replaced."""
        made = row(message="<b>\u202eabc\x1b[0m\n\x85.", sender={"nickname": "\ud800x\u202e"})
        self.assertEqual(made["parts"], [["text", "<b>\u202eabc\ufffd[0m \ufffd."]])
        self.assertEqual(made["sender"], "\ufffdx\u202e")
        long = row(message="y" * 100_000, sender={"nickname": "z" * 100_000})
        self.assertEqual(long["parts"], [["text", "y" * (MAX_ROW_TEXT - 1) + "\u2026"]])
        self.assertEqual(long["sender"], "z" * (MAX_SENDER - 1) + "\u2026")
        for text in ("y" * 100_000, 'y"\\' * 50_000, "\u957f" * 100_000):
            for segment in (
                {"type": "text", "data": {"text": text}},
                {"data": {"text": text}, "type": "text"},
            ):
                parts = row(message=[{"type": "image", "data": {}}, segment])["parts"]
                self.assertEqual(parts, [["image"], ["text", text[: MAX_ROW_TEXT - 1] + "\u2026"]])

    def test_no_secrets(self) -> None:
        """What is hidden in the whole JSON is hidden in a row."""
        made = json.dumps(
            [row(message="see https://u:p4ss@a.example/?rkey=S3cret"), action({"cookies": "S3cret"})]
        )
        self.assertNotIn("S3cret", made)
        self.assertNotIn("p4ss", made)

    def test_many_segments(self) -> None:
        """A message of 100,000 segments costs little more than a pass over its bytes; a long one too."""
        text = {"type": "text", "data": {"text": "x"}}
        image = {"type": "image", "data": {"file": "base64://" + "A" * 4_000_000}}
        for message, parts in (
            ([text] * 100_000, [["text", "x"]] * 16),
            ("[CQ:face,id=1]" * 100_000, [["face", "1"]] * 16),
            ([image, text], [["image"]]),
            (f"a[CQ:image,file={image['data']['file']}]b", [["text", "a"], ["image"]]),  # type: ignore[index]
        ):
            big = event(message=message)
            begun = time.process_time()
            made = event_row(1, 1.5, 10001, big)
            searched_event_text(big)
            self.assertLess(time.process_time() - begun, 0.2 * SLOWNESS)
            self.assertEqual(json.loads(made)["parts"], parts)

    @quick
    @given(
        st.dictionaries(st.sampled_from(MEMBERS + KIND_MEMBERS), values),
        st.sampled_from(["message", "notice", "request", "meta_event", "x"]),
    )
    def test_nothing_raises(self, members: dict[str, Any], post_type: str) -> None:
        """Whatever the members are, the row is JSON, and small."""
        raw = json.dumps({"post_type": post_type, **members}).encode()
        for made in (
            event_row(1, 1.5, 10001, Event(raw, post_type)),
            action_row(1, 1.5, 10001, "b", "send_msg", raw),
            answer_row(1, 1.5, raw),
        ):
            self.assertLessEqual(len(made), MAX_ROW)
            json.loads(made)
        searched_event_text(Event(raw, post_type))
        searched_action_text("a", raw)

    def test_garbage(self) -> None:
        """Not even what is no JSON raises."""
        for raw in (b"", b"{", b"\xff", b"[]", b"5", b'{"message":' + b"[" * 5000, b'{"message":"\\ud800"}'):
            json.loads(event_row(1, 1.5, 10001, Event(raw, "message")))
            json.loads(action_row(1, 1.5, 10001, "b", "x", raw))
            json.loads(answer_row(1, 1.5, raw))

    def test_largest_row(self) -> None:
        """A row stays below its bound, whatever takes most bytes in it."""
        message = [{"type": "text", "data": {"text": "\U0001f600" * 500}}]
        message += [{"type": "\U0001f600" * 50, "data": {}}] * 50
        made = event_row(1, 1.5, 10001, event(message=message, sender={"nickname": "\U0001f600" * 500}))
        self.assertLessEqual(len(made), MAX_ROW)
        self.assertIn(["text", "\U0001f600" * (MAX_ROW_TEXT - 1) + "\u2026"], json.loads(made)["parts"])
        params = json.dumps({"message": message}).encode()
        made = action_row(1, 1.5, 10001, "\u5b57" * 500, "\u5b57" * 500, params)
        self.assertLessEqual(len(made), MAX_ROW)


class ActionRowTests(SynchronousTestCase):
    def test_message(self) -> None:
        """An action shows its message, as it is sent: escaped text has no CQ codes."""
        made = action({"group_id": "5", "user_id": 6, "message": "hi [CQ:face,id=1]"})
        self.assertEqual((made["kind"], made["action"], made["bot"]), ("action", "send_msg", "bot"))
        self.assertEqual((made["group"], made["user"]), (5, 6))
        self.assertEqual(made["parts"], [["text", "hi "], ["face", "1"]])
        escaped = action({"message": "[CQ:face,id=1]", "auto_escape": "true"})
        self.assertEqual(escaped["parts"], [["text", "[CQ:face,id=1]"]])
        self.assertEqual(action({"messages": [{"type": "node"}]})["parts"], [["forward"]])

    def test_other_actions(self) -> None:
        """An action without message shows its short parameters."""
        made = action(
            {"group_id": 1, "user_id": 2, "duration": 60, "flag": "0123456789", "token": "x", "no": [1]}
        )
        self.assertEqual(made["parts"], [["text", "duration=60 flag=01234567 token=(hidden)"]])
        self.assertEqual(
            action({"file": "base64://" + "A" * 8192})["parts"], [["text", "file=[base64 6 KB]"]]
        )
        self.assertEqual(action({})["parts"], [])

    def test_answers(self) -> None:
        """An answer says whether it is one of success, also where the implementation leaves something out."""
        for response, status, retcode, wording in (
            ({"status": "ok", "retcode": 0, "data": None}, "ok", 0, ""),
            ({"retcode": 0}, "ok", 0, ""),
            ({"status": "async", "retcode": 1}, "async", 1, ""),
            ({"status": "failed", "retcode": 100, "wording": "no"}, "failed", 100, "no"),
            (
                {"status": "\u202e", "retcode": 100, "msg": "wrong token: abc"},
                "failed",
                100,
                "wrong token: (hidden)",
            ),
            ({}, "failed", 1500, "the implementation's answer has neither a retcode nor a status"),
        ):
            made = json.loads(answer_row(7, 12.345, json.dumps(response).encode()))
            self.assertEqual(
                made, {"n": 7, "status": status, "retcode": retcode, "ms": 12.3, "wording": wording}
            )
        self.assertEqual(json.loads(answer_row(7, 1, None))["status"], "gone")
