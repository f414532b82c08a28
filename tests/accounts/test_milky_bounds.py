"""What a hostile implementation of Milky can make of large answers, frames and floods."""

from __future__ import annotations

import json
from typing import Any

from lgtwist.accounts.milky import link
from lgtwist.milky.frames import LARGEST_FRAME
from tests.accounts.milky import FRIEND, SELF, TEAM, MilkyTestCase, message_frame

FRIENDS = [{"user_id": FRIEND + number, "nickname": "n"} for number in range(5_000)]


def messages(count: int, text: str, first: int) -> list[dict[str, Any]]:
    """Messages of a group, as a history has them."""
    segments = [{"type": "text", "data": {"text": text}}]
    one = {"message_scene": "group", "peer_id": TEAM, "sender_id": FRIEND, "time": 1, "segments": segments}
    return [{**one, "message_seq": first + number} for number in range(count)]


class AnswerBoundTests(MilkyTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.link.opened()

    def answer(self, api: str, data: Any) -> None:
        [post] = self.web.take(api)
        post.answer(data)

    def test_long_lists_leave_turns_to_others(self) -> None:
        number = self.ask("get_friend_list")
        self.answer("get_friend_list", {"friends": FRIENDS})
        self.assertEqual(self.answers[number], [])
        other = self.ask("get_stranger_info", user_id=FRIEND)
        self.answer("get_user_profile", {"nickname": "n"})
        self.assertEqual(self.retcodes(number, other), [[], [0]])
        self.clock.pump([0] * 20)
        self.assertEqual(len(self.answers[number][0]["data"]), 5_000)
        self.assertEqual(self.account.budget.used, 0)

    def test_a_call_that_is_forgotten_while_it_is_translated(self) -> None:
        number = self.ask("get_friend_list")
        self.answer("get_friend_list", {"friends": FRIENDS})
        self.link.closed(None, "lost")
        self.clock.advance(1)
        self.assertEqual(self.retcodes(number), [[1502]])
        self.assertEqual(self.account.budget.used, 0)

    def test_lists_that_are_too_long(self) -> None:
        for action, params, api, name in [
            ("get_friend_list", {}, "get_friend_list", "friends"),
            ("get_group_member_list", {"group_id": TEAM}, "get_group_member_list", "members"),
            ("get_forward_msg", {"id": "x"}, "get_forwarded_messages", "messages"),
        ]:
            number = self.ask(action, **params)
            self.answer(api, {name: [{}] * 50_000})
            self.assertIn(f"{name} has more than", self.answers[number][0]["message"])

    def test_pages_that_are_too_large_together(self) -> None:
        """A history of a thousand messages of a mebibyte each is not kept in memory."""
        number = self.ask("get_group_msg_history", group_id=TEAM, count=1_000)
        for page in range(60):
            if not self.web.posts:
                break
            self.assertLess(page, 10)
            first = 10_000 - 30 * page
            listed = messages(30, "x" * 200_000, first)
            self.answer("get_history_messages", {"messages": listed, "next_message_seq": first - 1})
        self.assertEqual(self.retcodes(number), [[1500]])
        self.assertIn("too large for one action", self.answers[number][0]["message"])
        self.assertEqual(self.account.budget.used, 0)

    def test_budget_of_several_histories(self) -> None:
        """What several actions hold counts together: those that ask for more fail."""
        numbers = [self.ask("get_group_msg_history", group_id=TEAM, count=1_000) for _ in range(12)]
        for page in range(3):
            for post in self.web.take("get_history_messages"):
                first = 10_000 - 30 * page
                post.answer({"messages": messages(30, "x" * 300_000, first), "next_message_seq": first - 1})
        failed = [number for number in numbers if self.answers[number]]
        self.assertTrue(failed)
        self.assertLess(self.account.budget.used, 2 * self.account.budget.limit)
        self.link.closed(None, "lost")
        self.clock.advance(0)
        self.assertEqual(self.account.budget.used, 0)

    def test_fetched_messages_are_remembered_as_text(self) -> None:
        """Thousands of small values take many times more memory when they are decoded."""
        self.read(message_frame(1))
        message_id = json.loads(self.bot.frames[0])["message_id"] + 1
        self.ask("get_msg", message_id=message_id)
        [message] = messages(1, "x", 2)
        self.answer("get_message", {"message": {**message, "odd": [[]] * 2_000}})
        number = self.ask("get_msg", message_id=message_id)
        self.assertEqual(self.answers[number][0]["data"]["raw_message"], "x")
        kept = self.link.recent.messages
        self.assertTrue(all(not isinstance(one, dict) for one in kept._messages.values()))


class FrameBoundTests(MilkyTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.link.opened()

    def test_frames_that_are_too_large(self) -> None:
        self.read(message_frame(1, text="x" * LARGEST_FRAME), message_frame(2))
        self.assertEqual(self.seqs(), [2])
        self.assertIn(f"it has more than {LARGEST_FRAME} bytes", "".join(self.lines()))

    def test_numbers_that_have_no_id(self) -> None:
        """A message gets an id that is one, or no event is made."""
        frame = message_frame(1).replace(b'"message_seq": 1,', b'"message_seq": %d,' % 2**53)
        largest = message_frame(2**53 - 1)
        self.read(frame, frame.replace(b"%d" % 2**53, b'"%d"' % 2**53), largest)
        [event] = [json.loads(one) for one in self.bot.frames]
        self.assertEqual(event["message_seq"], 2**53 - 1)
        self.assertGreater(event["message_id"], 0)
        self.assertEqual(self.account.counters.malformed_frames, 2)

    def test_frames_that_begin_otherwise(self) -> None:
        self.read(b"x", b"[1]", b" \n" + message_frame(1), b" " * 50_000 + b"x", b"")
        self.assertEqual(self.seqs(), [1])
        self.assertEqual(self.account.counters.malformed_frames, 4)

    def test_ids_of_files_that_are_too_long(self) -> None:
        def frame(file_id: str) -> bytes:
            segments = [{"type": "file", "data": {"file_id": file_id, "file_name": "f", "file_hash": "h"}}]
            data = {
                "message_scene": "friend", "peer_id": FRIEND, "message_seq": len(file_id), "time": 1,
                "sender_id": FRIEND, "segments": segments,
            }  # fmt: skip
            head = {"event_type": "message_receive", "time": 1, "self_id": SELF, "data": data}
            return json.dumps(head).encode()

        self.read(frame("f" * 100_000), frame("short"))
        self.assertEqual(len(self.bot.frames), 2)
        self.assertEqual(len(self.link.recent.private_files), 1)
        self.assertIsNotNone(self.link.recent.private_files.get("short"))

    def test_many_events_that_waited_take_turns(self) -> None:
        """Thousands that waited for one block are published in slices, and later ones behind them."""
        total = 3 * link._PUBLISHED_AT_ONCE
        turns: list[int] = []
        published = self.link._publish_stored

        def publish(everything: bool = False) -> None:
            before = len(self.bot.frames)
            published(everything)
            turns.append(len(self.bot.frames) - before)

        self.link._publish_stored = publish
        self.ids.stores = False
        self.read(*(message_frame(seq) for seq in range(1, total)))
        self.ids.store()
        self.clock.advance(0)
        self.read(message_frame(total))
        self.clock.advance(0)
        self.assertEqual(self.seqs(), list(range(1, total + 1)))
        self.assertLessEqual(max(turns), link._PUBLISHED_AT_ONCE)
        self.assertEqual(self.account.budget.used, 0)


class LoginTests(MilkyTestCase):
    def test_flapping_logins(self) -> None:
        """Each other answer says -403: the back-fill begins anew once in a while."""
        self.link.opened()
        self.back_fill.told.clear()
        for _round in range(500):
            self.ask("get_stranger_info", user_id=FRIEND)
            self.web.take()[0].refuse(-403)
            self.ask("get_stranger_info", user_id=FRIEND)
            self.web.take()[0].answer({})
            self.clock.advance(0.002)
        self.assertEqual(self.back_fill.told, ["closed", "opened", "verified"])
        self.clock.advance(10)
        self.assertEqual(self.back_fill.told, ["closed", "opened", "verified"] * 2)
        self.assertTrue(self.account.online)

    def test_a_login_right_before_the_end(self) -> None:
        self.link.opened()
        self.ask("get_stranger_info", user_id=FRIEND)
        self.web.take()[0].refuse(-403)
        self.ask("get_stranger_info", user_id=FRIEND)
        self.web.take()[0].answer({})
        self.link.closed(None, "lost")
        self.clock.advance(10)
        self.assertEqual(self.back_fill.told, ["opened", "verified", "closed"])


class FloodTests(MilkyTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.link.opened()

    def test_floods_of_malformed_frames(self) -> None:
        """Others have their turn after some hundreds; what comes then is taken later, in order."""
        frames = [b"x"] * 1_200 + [message_frame(1)]
        pauses = 0
        while frames:
            while frames and not self.stream.is_paused:
                self.read(frames.pop(0))
            if frames:
                pauses += 1
                self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(pauses, 2)
        self.assertFalse(self.stream.is_paused)
        self.assertEqual(self.seqs(), [1])
        self.assertEqual(self.account.counters.malformed_frames, 1_200)

    def test_a_few_malformed_frames(self) -> None:
        for _turn in range(10):
            self.read(*[b"x"] * 100)
            self.assertFalse(self.stream.is_paused)
            self.clock.advance(0)

    def test_the_journal_that_pauses_in_a_flood(self) -> None:
        """The stream stays paused until both reasons are over."""
        self.read(*[b"x"] * 600)
        self.link.pause_reading()
        self.clock.advance(0)
        self.assertTrue(self.stream.is_paused)
        self.link.resume_reading()
        self.assertFalse(self.stream.is_paused)

    def test_the_end_in_a_flood(self) -> None:
        self.read(*[b"x"] * 600)
        self.link.closed(None, "lost")
        self.stream.is_paused = False
        self.link.opened()
        self.clock.advance(0)
        self.read(message_frame(1))
        self.assertEqual(self.seqs(), [1])
        self.assertFalse(self.stream.is_paused)


class SecretTests(MilkyTestCase):
    def test_an_implementation_that_says_our_token(self) -> None:
        """Neither bots nor the log get it."""
        self.api._token = "a-secret-token"
        self.link.opened()
        for body in (
            {"status": "failed", "retcode": -500, "message": "bad a-secret-token!"},
            {"status": "failed", "retcode": 0, "message": "bad a-secret-token!"},
            b"bad a-secret-token!",
        ):
            for status in (200, 403, 500):
                number = self.ask("get_stranger_info", user_id=FRIEND)
                self.web.take()[0].respond(status, body)
                self.assertNotIn("a-secret-token", str(self.answers[number]))
        self.assertNotIn("a-secret-token", str(self.lines()))
