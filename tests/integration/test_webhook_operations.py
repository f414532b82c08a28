"""HTTP POST: quick operations in the answer."""

from __future__ import annotations

import time
from typing import Any

from tests.integration.listening_bots import (
    json_of,
    raw,
    respond,
)
from tests.integration.running import wait_until
from tests.integration.webhooks import (
    ALICE,
    BOB,
    CAROL,
    GROUP,
    WebhookTestCase,
)


class Answers(WebhookTestCase):
    """Answers that ask for something."""

    def quick(self, word: str, answer: dict[str, Any], group_id: int | None = None, who: int = BOB) -> int:
        """Somebody says something, and the receiver answers it with a quick operation; its number."""
        self.receiver.once[word] = json_of(answer)
        return self.service.say(who, word, group_id=group_id)

    def reply_to(self, said: int) -> dict[str, Any]:
        """What the bot said then, once."""

        def answers() -> list[dict[str, Any]]:
            return [m for m in self.service.transcript(said) if m["from_bot"]]

        wait_until("a reply", answers)
        (answer,) = answers()
        return answer

    def member(self, user_id: int) -> dict[str, Any] | None:
        params = {"group_id": GROUP, "user_id": user_id, "no_cache": True}
        _status, answer = self.service.http(
            "/get_group_member_info", params, {"Content-Type": "application/json"}
        )
        return answer["data"] if answer["retcode"] == 0 else None

    def test_reply_private(self) -> None:
        """``reply`` goes to who spoke."""
        said = self.quick("quick-private", {"reply": "你好 [CQ:face,id=1]"}, who=ALICE)
        answer = self.reply_to(said)
        self.assertEqual((answer["peer_id"], answer["raw_message"]), (ALICE, "你好 [CQ:face,id=1]"))

    def test_reply_escaped(self) -> None:
        """With ``auto_escape`` it is text."""
        said = self.quick("quick-escaped", {"reply": "[CQ:face,id=1]", "auto_escape": True}, who=ALICE)
        self.assertEqual(
            self.reply_to(said)["message"], [{"type": "text", "data": {"text": "[CQ:face,id=1]"}}]
        )

    def test_reply_in_group(self) -> None:
        """In a group who spoke is addressed, unless ``at_sender`` says no."""
        said = self.quick("quick-at", {"reply": "hi"}, GROUP)
        answer = self.reply_to(said)
        self.assertEqual((answer["group_id"], answer["raw_message"]), (GROUP, f"[CQ:at,qq={BOB}] hi"))
        said = self.quick(
            "quick-plain", {"reply": [{"type": "text", "data": {"text": "ho"}}], "at_sender": False}, GROUP
        )
        self.assertEqual(self.reply_to(said)["raw_message"], "ho")

    def test_delete(self) -> None:
        """``delete`` takes back what was said, after the reply."""
        said = self.quick("quick-delete", {"reply": "shame", "delete": True}, GROUP)
        self.reply_to(said)
        wait_until("it is recalled", lambda: self.service.transcript(said - 1)[0]["recalled"])

    def test_ban(self) -> None:
        """``ban`` for ``ban_duration`` seconds; half an hour where nothing is said."""
        for answer, seconds in (({"ban": True, "ban_duration": 600}, 600), ({"ban": True}, 1800)):
            self.quick(f"quick-ban {seconds}", answer, GROUP)
            now = time.time()

            def until() -> float:
                return float((self.member(BOB) or {}).get("shut_up_timestamp", 0))

            wait_until("Bob is banned", until)
            self.assertLess(abs(until() - now - seconds), 5)
            status, answer = self.service.http(
                "/sandbox/10001/ban", {"user_id": BOB, "group_id": GROUP, "duration": 0}
            )
            self.assertEqual(status, 200, answer)

    def test_kick(self) -> None:
        """``kick``: Carol is no member any more."""
        self.quick("quick-kick", {"kick": True}, GROUP, CAROL)
        wait_until("Carol is gone", lambda: self.member(CAROL) is None)
        status, answer = self.service.http("/sandbox/10001/join", {"user_id": CAROL, "group_id": GROUP})
        self.assertEqual(status, 200, answer)
        self.assertIsNotNone(self.member(CAROL))

    def test_approve(self) -> None:
        """Requests are approved, with a remark, and refused."""
        self.receiver.once["swordfish"] = json_of({"approve": True, "remark": "knows the word"})
        self.service.http("/sandbox/10001/ask", {"user_id": CAROL, "comment": "swordfish"})

        def world() -> dict[str, Any]:
            _status, found = self.service.http("/sandbox/10001")
            return dict(found)

        def carol() -> dict[str, Any]:
            return dict(next(p for p in world()["people"] if p["user_id"] == CAROL))

        wait_until("Carol is a friend", lambda: carol().get("friend"))
        self.assertEqual(carol()["remark"], "knows the word")
        self.assertEqual(world()["requests"], [])

        self.service.http("/sandbox/10001/leave", {"user_id": BOB, "group_id": GROUP})
        for comment, approve in (("no-word", False), ("open-sesame", True)):
            self.receiver.once[comment] = json_of({"approve": approve, "reason": "who are you"})
            self.service.http("/sandbox/10001/ask", {"user_id": BOB, "group_id": GROUP, "comment": comment})
            self.receiver.wait(comment)
            wait_until("it is decided", lambda: world()["requests"] == [])
            self.assertEqual(self.member(BOB) is not None, approve)

    def test_failing_operation(self) -> None:
        """What cannot be done is one log line that says what; its other steps are done."""
        before = self.dropped()
        said = self.quick("quick-fails", {"reply": "x", "kick": True, "ban": True}, GROUP, ALICE)  # the owner
        self.reply_to(said)
        wait_until("it is logged", lambda: "set_group_kick" in self.new_log())
        self.assertEqual(self.new_log().count("set_group_kick"), 1)
        self.assert_next_arrives()
        self.assertEqual(self.dropped(), before)

    def test_nothing_asked(self) -> None:
        """Any 2xx confirms; what is no JSON object asks for nothing, whatever it is."""
        before, posted, last = self.dropped(), len(self.receiver.posts), self.last_message()
        answers = [
            respond(200),
            respond(204),
            respond(202, b"OK", "Content-Type: text/plain"),
            respond(200, b"OK"),
            respond(200, b"null"),
            respond(200, b"[]"),
            respond(200, b"{}"),
            respond(200, b'"reply"'),
            respond(200, b'{"reply"'),
            respond(200, b'{"reply": "x"} trailing'),
            respond(200, b"\xff\xfe\x00"),
            respond(200, b'{"reply": "\xff"}'),
            respond(200, b'{"reply": ' + b"[" * 100_000),
            respond(200, b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
            respond(200, b"<html>{}</html>", "Content-Type: application/json"),
            json_of({"reply": None}),
            json_of({"reply": ""}),
            json_of({"status": "ok", "retcode": 0}),
            json_of({"approve": True}),  # of a notice nothing can be approved
            raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\n\r\nOK"),
            raw(b"HTTP/1.0 200 OK\r\n\r\nOK until the end"),
        ]
        words = [self.ask_behaving(answer) for answer in answers]
        self.assert_next_arrives()
        for word in words:
            self.assertEqual(len(self.receiver.of(word)), 1)
        self.assertEqual(len(self.receiver.posts), posted + len(answers) + 1)
        self.assertEqual((self.dropped(), self.last_message()), (before, last))

    def test_nonsense_asked(self) -> None:
        """Operations with values of the wrong types, on a message: nothing, or one line; all goes on."""
        for at, value in enumerate(
            [
                {"reply": 5},
                {"reply": {"type": 7}},
                {"reply": {"a": [None]}},
                {"reply": "x", "at_sender": "perhaps"},
                {"ban": True, "ban_duration": "long"},
                {"delete": []},
                {"kick": {}},
            ]
        ):
            word = f"nonsense-{at}"
            self.receiver.once[word] = json_of(value)
            self.service.say(ALICE, word, group_id=GROUP)
            self.receiver.wait(word)
        self.assert_next_arrives()
