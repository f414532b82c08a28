"""What one action may bring into a world, and one answer take out of it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.params import MAX_VALUES, check_values
from lgtwist.sandbox.actions import perform
from lgtwist.sandbox.actions.table import encode_large
from lgtwist.sandbox.bounds import (
    MAX_ANSWER,
    MAX_DEPTH,
    MAX_ESCAPES,
    check_message,
    json_parts,
    memory_of,
)
from lgtwist.sandbox.control.transcript import transcript_json
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import world as world_module
from lgtwist.sandbox.world.world import MAX_ANONYMOUS_BANS, World
from tests.sandbox.worlds import ALICE, GROUP, SELF, WorldTestCase, text


class ValuesTests(SynchronousTestCase):
    def test_counted_before_they_are_decoded(self) -> None:
        """Too many values are refused; what stands in strings counts for nothing."""
        for raw in (
            b"[" + b"1," * MAX_VALUES * 2 + b"1]",
            b"[" + b"[]," * MAX_VALUES * 2 + b"1]",
            json.dumps({str(n): "" for n in range(MAX_VALUES + 1)}).encode(),
            json.dumps(['"\\,' * 10] * (MAX_VALUES + 1)).encode(),
        ):
            with self.assertRaises(BadRequest) as refused:
                check_values(raw)
            self.assertIn(str(MAX_VALUES), refused.exception.sentence)
        for raw in (
            json.dumps({"message": "a, [b], {c}\\" * MAX_VALUES}).encode(),
            json.dumps({"message": '"[,' * MAX_VALUES * 4}).encode(),
            json.dumps([1] * (MAX_VALUES - 1)).encode(),
        ):
            check_values(raw)

    def test_parts_are_the_same_json(self) -> None:
        """A value in parts is the JSON that it is as a whole, and no part is long."""
        value = {"a": [{"b": '"\\\n大😀' * 700_000, "c": None}, [], {}, 1.5], "d": True}
        parts = list(json_parts(value))
        self.assertEqual(msgspec.json.decode(b"".join(parts)), value)
        self.assertLess(max(map(len, parts)), 16 << 20)

    def test_memory(self) -> None:
        """A plain text counts its bytes once; each value more counts for its object."""
        words = "x" * 1000
        self.assertEqual(memory_of(text(words), words), 1000)
        self.assertGreater(memory_of(text("大" * 1000)), 2000)
        self.assertGreater(memory_of([{"type": "face", "data": {"id": "1"}}] * 1000), 300_000)


class MessageTests(WorldTestCase):
    def refused(self, action: str, **params: Any) -> str:
        answer = self.do(action, **params)
        self.assertEqual(answer["retcode"], 1400, answer)
        return str(answer["message"])

    def refusal(self, function: Any, *arguments: Any) -> str:
        """Return the sentence of the BadRequest that a call raises."""
        with self.assertRaises(BadRequest) as refused:
            function(*arguments)
        return str(refused.exception.sentence)

    def nested(self, levels: int) -> list[dict[str, Any]]:
        """A message of so many levels of arrays and objects."""
        value: Any = "a"
        for _ in range(levels - 3):
            value = [value]
        return [{"type": "text", "data": {"text": "a", "x": value}}]

    def test_nesting(self) -> None:
        """What is nested too deeply is refused; what is taken can be read by all, also after a start."""
        self.assertIn(
            f"{MAX_DEPTH} levels",
            self.refused("send_private_msg", user_id=ALICE, message=self.nested(MAX_DEPTH + 1)),
        )
        content = [{"type": "node", "data": {"content": self.nested(MAX_DEPTH)}}]
        self.assertIn("levels", self.refused("send_private_forward_msg", user_id=ALICE, messages=content))
        for levels in range(MAX_DEPTH - 3, MAX_DEPTH + 1):
            self.data("send_private_msg", user_id=ALICE, message=self.nested(levels))
        self.assertEqual(len(self.data("get_friend_msg_history", user_id=ALICE)["messages"]), 4)
        again = World(SELF)
        again.load_records(list(self.world.messages.values()))
        self.assertEqual(len(json.loads(b"".join(transcript_json(again, 0)))["messages"]), 4)

    def test_poison_of_an_earlier_version(self) -> None:
        """A message in the file that is nested too deeply is left out, and deleted there."""
        deep = self.world.send_as_account(text("a"), self.now, user_id=ALICE)
        deep.message = self.nested(900)
        again = World(SELF)
        again.load_records([deep])
        self.assertEqual((again.messages, list(again.pop_changes().values())), ({}, [None]))
        with self.assertRaises(ValueError):
            world = self.world.to_file()
            World.from_file(SELF, world)

    def test_values_and_escapes(self) -> None:
        """A message of too many segments, or with too much to escape, is refused by the bound's name."""
        many = [{"type": "a", "data": {}}] * (MAX_VALUES // 2)
        self.assertEqual(
            self.refusal(check_message, many, "params.message"),
            f"params.message: more than {MAX_VALUES} values",
        )
        escaped = text("&" * (MAX_ESCAPES + 1))
        self.assertIn(f"{MAX_ESCAPES}", self.refused("send_msg", user_id=ALICE, message=escaped))
        nested: list[dict[str, Any]] = text("&" * (MAX_ESCAPES // 4))
        for _ in range(7):
            nested = [{"type": "node", "data": {"content": nested}}]
        self.assertIn(f"{MAX_ESCAPES}", self.refusal(check_message, nested, "message"))
        for _ in range(2):
            nested = [{"type": "node", "data": {"content": nested}}]
        self.assertIn("nested deeper", self.refused("send_msg", user_id=ALICE, message=nested))
        check_message(text("&" * (MAX_ESCAPES - 10)), "message")

    def test_a_forward_of_large_messages(self) -> None:
        """Naming a message counts its characters: a forwarded one of many large ones is refused."""
        sent = self.data("send_private_msg", user_id=ALICE, message="x" * (1 << 20))["message_id"]
        nodes = [{"type": "node", "data": {"id": sent}}] * 40
        self.assertIn("characters", self.refused("send_private_forward_msg", user_id=ALICE, messages=nodes))
        self.data("send_private_forward_msg", user_id=ALICE, messages=nodes[:4])

    def test_strings_of_groups_and_people(self) -> None:
        """Each string that is kept has a bound, refused by its name; the lists lose their oldest."""
        long = "n" * 5000
        self.assertIn("4000", self.refused("_send_group_notice", group_id=GROUP, content=long))
        flag = f"anonymous-{GROUP}-{long}"
        self.assertIn("100", self.refused("set_group_anonymous_ban", group_id=GROUP, flag=flag, duration=9))
        sent = self.data("send_private_msg", user_id=ALICE, message="x")["message_id"]
        self.assertIn("64", self.refused("set_msg_emoji_like", message_id=sent, emoji_id=long))
        for number in range(MAX_ANONYMOUS_BANS + 5):
            self.data(
                "set_group_anonymous_ban",
                group_id=GROUP,
                flag=f"anonymous-{GROUP}-{number}",
                duration=1000,
            )
        bans = self.world.groups[GROUP].anonymous_bans
        self.assertEqual(len(bans), MAX_ANONYMOUS_BANS)
        self.assertNotIn(f"anonymous-{GROUP}-0", bans)
        for verb, name in (("card", "card"), ("title", "title")):
            with self.assertRaises(BadRequest):
                self.verb(verb, group_id=GROUP, user_id=ALICE, **{name: long})
        with self.assertRaises(BadRequest):
            self.verb("ask", user_id=20003, comment=long)
        self.assertLess(len(msgspec.json.encode(self.world.groups[GROUP])), 100_000)


class AnswerTests(WorldTestCase):
    def setUp(self) -> None:
        super().setUp()
        for number in range(12):
            self.world.send_as_account(text(str(number) + "x" * (1 << 20)), self.now, user_id=ALICE)

    def test_a_history_is_bounded(self) -> None:
        """It has the newest messages up to a number of bytes, and one at least."""
        answer = perform(
            self.world, "get_friend_msg_history", Params(b'{"user_id": 20001, "count": 1000}'), self.now
        )
        self.assertLess(len(answer), 2.5 * MAX_ANSWER)
        found = [m["message_id"] for m in json.loads(answer)["data"]["messages"]]
        self.assertEqual(found, list(range(13 - len(found), 13)))
        self.assertEqual(len(found), 7)
        self.world.send_as_account(text("y" * (2 * MAX_ANSWER)), self.now, user_id=ALICE)
        answer = self.data("get_friend_msg_history", user_id=ALICE)
        self.assertEqual([m["message_id"] for m in answer["messages"]], [13])
        self.assertEqual(
            json.loads(encode_large(self.world.message_fields(self.world.messages[13])))["data"][
                "raw_message"
            ],
            "y" * (2 * MAX_ANSWER),
        )

    def test_a_transcript_goes_on(self) -> None:
        """Who reads it portion by portion gets everything."""
        seen: list[int] = []
        after, more = 0, True
        while more:
            portion = json.loads(b"".join(transcript_json(self.world, after)))
            more = portion.get("more", False)
            seen += [m["message_id"] for m in portion["messages"]]
            self.assertGreater(portion["last_message_id"], after)
            after = portion["last_message_id"]
        self.assertEqual(seen, list(range(1, 13)))

    def test_a_world_goes_out_and_in(self) -> None:
        """A world in parts is the file that it is as a whole."""
        self.world.send_as_account(text("small"), self.now, user_id=ALICE)
        encoded = b"".join(self.world.file_json())
        self.assertEqual(msgspec.json.decode(encoded), msgspec.to_builtins(self.world.to_file()))

    def test_many_small_values_count(self) -> None:
        """A history of many small segments is bounded by the memory that these take."""
        self.patch(world_module, "MAX_TEXT_LENGTH", 1_000_000)
        faces = [{"type": "face", "data": {"id": "1"}}] * 300
        for _ in range(30):
            self.world.send_as_account(list(faces), self.now, user_id=ALICE)
        self.assertLess(len(self.world.messages), 10)
