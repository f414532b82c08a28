"""Actions about messages: what is sent, which message an id stands for, histories, and forwards."""

from __future__ import annotations

import json
from typing import Any

from nonebot.adapters.onebot.v11.event import Reply
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.milky.actions import conversation_of
from lgtwist.milky.errors import CallFailed
from lgtwist.milky.keys import FRIEND, GROUP, TEMP, UNSEQUENCED, Conversation, MessageKey
from lgtwist.milky.recent import PrivateFile
from lgtwist.onebot.errors import (
    AccountFailed,
    BadRequest,
    CallTimeout,
    LinkBroken,
    OneBotError,
    UnknownAction,
)
from tests.milky.actions import (
    ALICE,
    BOB,
    BOB_ENTITY,
    NOW,
    SELF,
    TEAM,
    Actions,
    friend_message,
    group_message,
    not_found,
    text,
)

IMPL = {
    "impl_name": "Lagrange.Core", "impl_version": "1", "qq_protocol_version": "1",
    "qq_protocol_type": "linux", "milky_version": "1.2",
}  # fmt: skip


def sent(seq: int) -> dict[str, int]:
    return {"message_seq": seq, "time": NOW}


class SendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.actions = Actions()
        self.actions.api.answers = {"send_group_message": sent(77), "send_private_message": sent(55)}

    def test_recipients(self) -> None:
        """Ids may be strings; ``send_msg`` reads its recipient as other implementations do."""
        to_team = ("send_group_message", {"group_id": TEAM, "message": [text("hi")]})
        to_alice = ("send_private_message", {"user_id": ALICE, "message": [text("hi")]})
        for action, params, call in [
            ("send_group_msg", {"group_id": TEAM}, to_team),
            ("send_group_msg", {"group_id": str(TEAM)}, to_team),
            ("send_private_msg", {"user_id": str(ALICE), "group_id": TEAM}, to_alice),
            ("send_msg", {"message_type": "group", "group_id": TEAM, "user_id": ALICE}, to_team),
            ("send_msg", {"message_type": "private", "group_id": TEAM, "user_id": ALICE}, to_alice),
            ("send_msg", {"message_type": "", "group_id": TEAM, "user_id": ALICE}, to_team),
            ("send_msg", {"group_id": None, "user_id": ALICE}, to_alice),
            ("send_msg", {"group_id": "0", "user_id": ALICE}, to_alice),
        ]:
            for message in ("hi", [text("hi")], text("hi"), [{"data": {"text": "hi"}, "type": "text"}]):
                data = self.actions.perform(action, message=message, **params)
                self.assertEqual(self.actions.calls, [call])
                key = MessageKey(GROUP, TEAM, 77) if call is to_team else MessageKey(FRIEND, ALICE, 55)
                self.assertEqual(data, {"message_id": self.actions.ids.id_of(key)})

    def test_newest(self) -> None:
        """What was sent is the newest message of its conversation, unless a newer one was seen."""
        newest = self.actions.context.recent.newest
        conversation = Conversation(GROUP, TEAM)
        for seq, expected in ((77, 77), (80, 80), (79, 80)):
            self.actions.api.answers["send_group_message"] = sent(seq)
            self.actions.perform("send_group_msg", group_id=TEAM, message="hi")
            self.assertEqual(newest.get(conversation), expected)

    def test_codes(self) -> None:
        """A string has CQ codes, unless it is plain text."""
        message = f"a&amp;[CQ:at,qq={BOB}][CQ:face,id=4]"
        self.actions.perform("send_group_msg", group_id=TEAM, message=message)
        self.actions.perform("send_group_msg", group_id=TEAM, message=message, auto_escape="true")
        (_api, codes), (_again, plain) = self.actions.calls
        self.assertEqual([one["type"] for one in codes["message"]], ["text", "mention", "face"])
        self.assertEqual(plain["message"], [text(message)])

    def test_temporary_conversations(self) -> None:
        """A person whose newest message came otherwise than a friend's is answered in that conversation."""
        self.actions.context.recent.scenes.put(ALICE, TEMP)
        data = self.actions.perform("send_private_msg", user_id=ALICE, message="hi")
        self.assertEqual(self.actions.ids.key_of(data["message_id"]), MessageKey(TEMP, ALICE, 55))

    def test_replies(self) -> None:
        """A reply names the sequence number that its id stands for."""
        reply = {"type": "reply", "data": {"id": str(self.actions.group_id_of(9))}}
        self.actions.perform("send_group_msg", group_id=TEAM, message=[reply, text("hi")])
        message = self.actions.calls[0][1]["message"]
        self.assertEqual(message[0], {"type": "reply", "data": {"message_seq": 9}})

    def test_pokes_and_files(self) -> None:
        """They are calls of their own before the message; alone their ``message_id`` names no message."""
        self.actions.api.answers["upload_group_file"] = {"file_id": "/f"}
        poke = {"type": "poke", "data": {"qq": str(BOB)}}
        file = {"type": "file", "data": {"file": "/tmp/a.txt"}}
        data = self.actions.perform("send_group_msg", group_id=TEAM, message=[text("hi"), poke, file])
        self.assertEqual(
            [api for api, _params in self.actions.calls],
            ["upload_group_file", "send_group_nudge", "send_group_message"],
        )
        self.assertEqual(data, {"message_id": self.actions.group_id_of(77)})
        data = self.actions.perform("send_group_msg", group_id=TEAM, message=[poke])
        self.assertEqual(self.actions.calls, [("send_group_nudge", {"group_id": TEAM, "user_id": BOB})])
        self.assertIn(data["message_id"], range(1, 1 << 31))
        for action in ("get_msg", "delete_msg"):
            with self.assertRaises(BadRequest) as refused:
                self.actions.perform(action, message_id=data["message_id"])
            self.assertIn("did not say which sequence number", refused.exception.sentence)
        again = self.actions.perform("send_group_msg", group_id=TEAM, message=[poke])
        self.assertNotEqual(again, data)
        self.assertEqual(len(self.actions.calls), 1)
        data = self.actions.perform("send_private_msg", user_id=ALICE, message=[poke])
        self.assertEqual(self.actions.calls, [("send_friend_nudge", {"user_id": ALICE})])
        self.actions.perform(
            "send_private_msg", user_id=ALICE, message=[{"type": "poke", "data": {"qq": SELF}}]
        )
        self.assertEqual(self.actions.calls, [("send_friend_nudge", {"user_id": ALICE, "is_self": True})])

    def test_private_files_are_remembered(self) -> None:
        """A file that was sent to a person can be downloaded by its id alone."""
        self.actions.api.answers["upload_private_file"] = {"file_id": "p1"}
        file = {"type": "file", "data": {"file": "/tmp/a.txt"}}
        self.actions.perform("send_private_msg", user_id=ALICE, message=[file])
        known = self.actions.context.recent.private_files.get("p1")
        assert known is not None
        self.assertEqual(known.user_id, ALICE)
        self.actions.context.recent.private_files.put("p1", PrivateFile(ALICE, "hash"))
        self.actions.perform("send_private_msg", user_id=ALICE, message=[file])  # whose event overtook it
        known = self.actions.context.recent.private_files.get("p1")
        self.assertEqual(known, PrivateFile(ALICE, "hash"))

    def test_failures(self) -> None:
        """The implementation's retcode and words are passed on, and nothing is sent twice."""
        self.actions.api.answers["send_group_message"] = CallFailed(51, "too often", "send_group_message")
        with self.assertRaises(CallFailed) as failed:
            self.actions.perform("send_group_msg", group_id=TEAM, message="hi")
        self.assertEqual((failed.exception.retcode, failed.exception.sentence), (51, "too often"))
        self.assertEqual(len(self.actions.calls), 1)
        for error in (LinkBroken("broken"), CallTimeout("late"), AccountFailed("500")):
            self.actions.api.answers["send_group_message"] = error
            with self.assertRaises(type(error)):
                self.actions.perform("send_group_msg", group_id=TEAM, message="hi")
            self.assertEqual(len(self.actions.calls), 1)

    def test_failures_in_the_middle(self) -> None:
        """What was carried out before a failure is said."""
        self.actions.api.answers["send_group_message"] = CallFailed(51, "too often", "send_group_message")
        poke = {"type": "poke", "data": {"qq": BOB}}
        with self.assertRaises(CallFailed) as failed:
            self.actions.perform("send_group_msg", group_id=TEAM, message=[poke, text("hi")])
        self.assertEqual(failed.exception.retcode, 51)
        self.assertIn("a poke was sent", failed.exception.sentence)
        self.assertIn("too often", failed.exception.sentence)

    def test_nothing_is_sent_that_cannot_be(self) -> None:
        """A segment that Milky cannot send is refused, with all of the message."""
        for kind in ("dice", "music", "share", "xml", "tts"):
            with self.assertRaises(BadRequest) as refused:
                self.actions.perform(
                    "send_group_msg", group_id=TEAM, message=[text("x"), {"type": kind, "data": {}}]
                )
            self.assertIn(f"Milky cannot send a {kind} segment", refused.exception.sentence)
        self.assertEqual(self.actions.calls, [])

    def test_no_sequence_number(self) -> None:
        """A send whose answer does not say it succeeded all the same; its id stands for no message."""
        self.actions.api.strict = False
        ids = set()
        for answer in (
            {},
            {"message_seq": None},
            {"message_seq": "x"},
            {"message_seq": -1},
            {"message_seq": 0},
            None,
        ):
            self.actions.api.answers["send_private_message"] = answer
            message_id = self.actions.perform("send_private_msg", user_id=ALICE, message="hi")["message_id"]
            ids.add(message_id)
            self.assertEqual(len(self.actions.calls), 1)
            for action in ("get_msg", "delete_msg", "mark_msg_as_read"):
                with self.assertRaises(BadRequest) as refused:
                    self.actions.perform(action, message_id=message_id)
                self.assertIn("sequence number", refused.exception.sentence)
            self.assertEqual(self.actions.calls, [])
        self.assertEqual(len(ids), 6)


class ConversationTests(SynchronousTestCase):
    def test_conversations(self) -> None:
        """Actions that send keep the order of their conversation; others have none."""
        group, friend = Conversation(GROUP, TEAM), Conversation(FRIEND, ALICE)
        for action, params, expected in [
            ("send_group_msg", b'{"message":"x","group_id":"%d"}' % TEAM, group),
            ("send_group_msg", b'{"group_id":%d.0}' % TEAM, group),
            ("send_group_msg", b'{"user_id":%d}' % ALICE, None),
            ("send_private_msg", b'{"group_id":%d,"user_id":%d}' % (TEAM, ALICE), friend),
            ("send_msg", b'{"group_id":%d,"user_id":%d}' % (TEAM, ALICE), group),
            ("send_msg", b'{"group_id":0,"user_id":%d}' % ALICE, friend),
            ("send_msg", b'{"message_type":"private","group_id":%d,"user_id":%d}' % (TEAM, ALICE), friend),
            ("send_forward_msg", b'{"user_id":%d}' % ALICE, friend),
            ("send_group_forward_msg", b'{"group_id":%d}' % TEAM, group),
            ("send_private_forward_msg", b'{"user_id":%d}' % ALICE, friend),
            ("upload_group_file", b'{"group_id":%d}' % TEAM, group),
            ("upload_private_file", b'{"user_id":%d}' % ALICE, friend),
            ("send_poke", b'{"user_id":%d}' % ALICE, friend),
            ("send_poke", b'{"user_id":%d,"group_id":%d}' % (ALICE, TEAM), group),
            ("group_poke", b'{"user_id":%d,"group_id":%d}' % (ALICE, TEAM), group),
            ("friend_poke", b'{"user_id":%d}' % ALICE, friend),
            ("set_group_reaction", b'{"group_id":%d}' % TEAM, group),
            ("get_msg", b'{"group_id":%d}' % TEAM, None),
            ("set_group_kick", b'{"group_id":%d}' % TEAM, None),
            ("no_such_action", b"{}", None),
            ("send_msg", b"{}", None),
            ("send_msg", b"[", None),
            ("send_msg", b"", None),
            ("send_msg", b"null", None),
            ("send_msg", b'{"group_id":{},"user_id":[1]}', None),
            ("send_group_msg", b'{"group_id":5}', None),
        ]:
            self.assertEqual(conversation_of(action, params), expected, (action, params))

    def test_reactions(self) -> None:
        """A reaction belongs to the conversation of its message."""
        actions = Actions()
        for message_id in (actions.group_id_of(9), str(actions.group_id_of(9))):
            params = b'{"message_id":"%s"}' % str(message_id).encode()
            self.assertEqual(
                conversation_of("set_msg_emoji_like", params, actions.ids), Conversation(GROUP, TEAM)
            )
            self.assertIsNone(conversation_of("set_msg_emoji_like", params))
        self.assertIsNone(conversation_of("set_msg_emoji_like", b'{"message_id":7}', actions.ids))
        params = b'{"message_id":%d}' % actions.ids.id_of(MessageKey(TEMP, ALICE, 4))
        self.assertEqual(
            conversation_of("set_msg_emoji_like", params, actions.ids), Conversation(FRIEND, ALICE)
        )


class ReadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.actions = Actions()

    def test_get_msg(self) -> None:
        """A message has all that NoneBot demands, also where its id is a string."""
        self.actions.api.answers = {"get_message": {"message": group_message(9)}}
        message_id = self.actions.group_id_of(9)
        data = self.actions.perform("get_msg", message_id=str(message_id))
        self.assertEqual(
            self.actions.calls, [("get_message", {"message_scene": GROUP, "peer_id": TEAM, "message_seq": 9})]
        )
        reply = Reply.model_validate(data)
        self.assertEqual((reply.message_id, reply.real_id, reply.time), (message_id, 9, NOW))
        self.assertEqual((data["group_id"], data["user_id"], data["message_type"]), (TEAM, BOB, "group"))
        self.assertEqual((data["raw_message"], data["sender"]["level"]), ("message 9", "7"))
        self.actions.perform("get_msg", message_id=message_id)
        self.assertEqual(self.actions.calls, [])  # it is remembered

    def test_old_pictures(self) -> None:
        """URLs expire: an old message with a picture is asked for again, if that can be had."""
        key = MessageKey(GROUP, TEAM, 9)
        picture = {
            "type": "image",
            "data": {
                "resource_id": "r", "temp_url": "http://x/old", "width": 1, "height": 1, "summary": "",
                "sub_type": "normal",
            },
        }  # fmt: skip
        fresh = json.loads(json.dumps(picture).replace("old", "new"))
        message_id = self.actions.group_id_of(9)
        for age, segment, answer, url in [
            (0, picture, {"message": group_message(9, fresh)}, "http://x/old"),
            (7200, picture, {"message": group_message(9, fresh)}, "http://x/new"),
            (7200, picture, not_found("get_message"), "http://x/old"),
        ]:
            self.actions.api.answers = {"get_message": answer}
            old = {**group_message(9, segment), "time": NOW - age}
            self.actions.context.recent.messages.put(key, old)
            data = self.actions.perform("get_msg", message_id=message_id)
            self.assertEqual(data["message"][0]["data"]["url"], url)
        self.actions.api.answers = {"get_message": LinkBroken("broken")}
        self.actions.context.recent.messages.put(key, {**group_message(9, picture), "time": NOW - 7200})
        with self.assertRaises(LinkBroken):
            self.actions.perform("get_msg", message_id=message_id)

    def test_private(self) -> None:
        """A private message has ``user_id``, and no group."""
        self.actions.api.answers = {"get_message": {"message": friend_message(3)}}
        data = self.actions.perform("get_msg", message_id=self.actions.friend_id_of(3))
        Reply.model_validate(data)
        self.assertEqual((data["user_id"], data["message_type"]), (ALICE, "private"))
        self.assertNotIn("group_id", data)

    def test_other_scene(self) -> None:
        """A person's message that is not found in one scene is looked for in the other one."""
        api = "get_message"
        message_id = self.actions.friend_id_of(3)
        temp = {**friend_message(3), "message_scene": TEMP, "group": None}
        del temp["friend"]
        self.actions.api.answers = {api: [not_found(api), {"message": temp}]}
        data = self.actions.perform("get_msg", message_id=message_id)
        self.assertEqual([params["message_scene"] for _api, params in self.actions.calls], [FRIEND, TEMP])
        self.assertEqual(data["message_id"], message_id)
        self.actions.api.answers = {api: [not_found(api), CallFailed(-500, "other", api)]}
        with self.assertRaises(CallFailed) as failed:
            self.actions.perform("get_msg", message_id=self.actions.friend_id_of(4))
        self.assertEqual(failed.exception.retcode, -404)
        self.actions.calls.clear()
        self.actions.api.answers = {api: not_found(api)}
        with self.assertRaises(CallFailed):
            self.actions.perform("get_msg", message_id=self.actions.group_id_of(4))
        self.assertEqual(len(self.actions.calls), 1)

    def test_another_message(self) -> None:
        """An answer with another message than the one that was asked for is not passed on."""
        self.actions.api.answers = {"get_message": {"message": group_message(10)}}
        with self.assertRaises(AccountFailed) as failed:
            self.actions.perform("get_msg", message_id=self.actions.group_id_of(9))
        self.assertIn("get_message", failed.exception.sentence)

    def test_delete_msg(self) -> None:
        """A message is recalled where it is, and not remembered any more."""
        key = MessageKey(GROUP, TEAM, 9)
        self.actions.context.recent.messages.put(key, group_message(9))
        self.assertIsNone(self.actions.perform("delete_msg", message_id=self.actions.group_id_of(9)))
        self.actions.perform("delete_msg", message_id=self.actions.friend_id_of(3))
        self.actions.perform("delete_msg", message_id=self.actions.ids.id_of(MessageKey(TEMP, ALICE, 4)))
        self.assertEqual(
            self.actions.calls,
            [
                ("recall_group_message", {"group_id": TEAM, "message_seq": 9}),
                ("recall_private_message", {"user_id": ALICE, "message_seq": 3}),
                ("recall_private_message", {"user_id": ALICE, "message_seq": 4}),
            ],
        )
        self.assertIsNone(self.actions.context.recent.messages.get(key))

    def test_marking_as_read(self) -> None:
        """By a message, or up to the newest that was seen; where none was, it is asked for."""
        api = "mark_message_as_read"
        group = {"message_scene": GROUP, "peer_id": TEAM}
        self.actions.perform("mark_msg_as_read", message_id=self.actions.group_id_of(9))
        self.actions.context.recent.newest.put(Conversation(GROUP, TEAM), 12)
        self.actions.perform("mark_group_msg_as_read", group_id=TEAM)
        self.assertEqual(
            self.actions.calls, [(api, {**group, "message_seq": 9}), (api, {**group, "message_seq": 12})]
        )
        self.actions.api.answers = {
            "get_history_messages": {"messages": [friend_message(5)], "next_message_seq": 4}
        }
        self.actions.perform("mark_private_msg_as_read", user_id=ALICE)
        self.assertEqual(
            self.actions.calls[1], (api, {"message_scene": FRIEND, "peer_id": ALICE, "message_seq": 5})
        )
        self.actions.api.answers = {"get_history_messages": {"messages": [], "next_message_seq": None}}
        with self.assertRaises(BadRequest):
            self.actions.perform("mark_private_msg_as_read", user_id=ALICE)


class Platform:
    """Answers ``get_history_messages`` as one of the implementations does (fact sheet, section 8).

    :param kind: ``L``, ``B`` or ``Y``.
    :param seqs: of the messages that there are.
    """

    def __init__(self, kind: str, seqs: list[int], make: Any = group_message) -> None:
        self.kind, self.seqs, self.make = kind, seqs, make

    def __call__(self, params: dict[str, Any]) -> Any:
        limit = params.get("limit", 20)
        start = params.get("start_message_seq")
        assert start is None or start > 0, "LLBot takes 0 for the newest"
        newest = max(self.seqs, default=0)
        if self.kind == "L":
            if start is None:
                if params["message_scene"] == FRIEND:
                    return AccountFailed("get_history_messages failed without words (HTTP 500)")
                start = newest
            lowest = max(0, start - limit)
            found = [seq for seq in self.seqs if lowest <= seq <= start]
            if not found:
                return AccountFailed("get_history_messages failed without words (HTTP 500)")
            following = lowest - 1 if lowest >= 1 else None
        elif self.kind == "B":
            start = newest if start is None else start
            found = [seq for seq in self.seqs if start - limit + 1 <= seq <= start]
            following = found[0] - 1 if found else None
        else:
            if not 1 <= limit <= 30:
                return CallFailed(-400, "limit", "get_history_messages")
            below = [seq for seq in self.seqs if start is None or seq <= start]
            found = below[-limit:]
            following = found[0] - 1 if len(below) > limit else None
        answer = {"messages": [self.make(seq) for seq in found]}
        return answer if following is None else {**answer, "next_message_seq": following}


NAMES = {"L": "Lagrange.Core", "B": "LLBot", "Y": "Yogurt"}


class HistoryTests(SynchronousTestCase):
    def history(self, kind: str, seqs: list[int], **params: Any) -> list[int]:
        """Return the sequence numbers that a group's history has."""
        self.actions = Actions(NAMES[kind])
        self.actions.api.answers = {"get_history_messages": Platform(kind, seqs)}
        data = self.actions.perform("get_group_msg_history", group_id=TEAM, **params)
        for message in data["messages"]:
            self.assertEqual(message["message_id"], self.actions.group_id_of(message["message_seq"]))
            Reply.model_validate(message)
        return [message["message_seq"] for message in data["messages"]]

    def test_pages(self) -> None:
        """Exactly the newest ``count`` are returned, the oldest first, over as many pages as it takes."""
        everything = list(range(1, 201))
        for kind in NAMES:
            self.assertEqual(self.history(kind, everything), everything[-20:], kind)
            for count in (1, 29, 30, 31, 60, 61, 100, 199, 200, 201, 1000):
                self.assertEqual(
                    self.history(kind, everything, count=count), everything[-count:], (kind, count)
                )
                calls = self.actions.calls
                self.assertLessEqual(len(calls), -(-min(count, 200) // 30) + 1, (kind, count))
            self.assertEqual(self.history(kind, everything, count="2", reverseOrder="true"), [200, 199], kind)

    def test_start(self) -> None:
        """``message_seq`` is the newest that is returned, or the id of it; 0 and nothing are the newest."""
        everything = list(range(1, 201))
        for kind in NAMES:
            for start in (150, "150", Actions().group_id_of(150)):
                params = {"message_seq": start, "count": 3}
                self.actions = Actions(NAMES[kind])
                self.actions.group_id_of(150)  # which makes it known
                self.actions.api.answers = {"get_history_messages": Platform(kind, everything)}
                data = self.actions.perform("get_group_msg_history", group_id=TEAM, **params)
                self.assertEqual([one["message_seq"] for one in data["messages"]], [148, 149, 150], kind)
            for newest in (0, "0", "", None):
                self.assertEqual(
                    self.history(kind, everything, message_seq=newest, count=2), [199, 200], kind
                )

    def test_end(self) -> None:
        """Where an implementation says that there is nothing older, it is not asked for it."""
        for kind in ("L", "Y"):
            self.assertEqual(self.history(kind, [1, 2, 3]), [1, 2, 3])
            self.assertEqual(len(self.actions.calls), 1, kind)
            self.assertEqual(self.history(kind, [1, 2, 3], message_seq=3), [1, 2, 3])
            self.assertEqual(len(self.actions.calls), 1, kind)

    def test_holes(self) -> None:
        """Numbers that are missing end nothing, also where a whole page has none."""
        seqs = [3, 5, 6, *range(100, 105), *range(200, 203)]
        for kind in NAMES:
            self.assertEqual(self.history(kind, seqs, count=20), seqs, kind)
            self.assertEqual(self.history(kind, seqs, count=5), seqs[-5:], kind)
            self.assertEqual(self.history(kind, seqs, count=3, message_seq=150), [102, 103, 104], kind)

    def test_no_messages(self) -> None:
        """Of a conversation without messages the history is empty, and soon known to be."""
        for kind in ("B", "Y"):
            self.assertEqual(self.history(kind, []), [])
            self.assertEqual(len(self.actions.calls), 1)
        for kind in ("B", "Y"):
            self.assertEqual(self.history(kind, [10_000], message_seq=9_000), [], kind)
            self.assertLess(len(self.actions.calls), 20, kind)
        with self.assertRaises(AccountFailed):  # an HTTP 500 may be anything
            self.history("L", [10_000], message_seq=9_000)

    def test_a_failure(self) -> None:
        """A page that fails is not taken for the end."""
        actions = Actions()
        first = {"messages": [group_message(seq) for seq in range(71, 101)], "next_message_seq": 70}
        for error in (CallFailed(-500, "no", "get_history_messages"), AccountFailed("500"), LinkBroken("x")):
            actions.api.answers = {"get_history_messages": [first, error]}
            with self.assertRaises(type(error)):
                actions.perform("get_group_msg_history", group_id=TEAM, count=60)

    def test_endless_pages(self) -> None:
        """An implementation whose next page is the same again does not keep the call."""
        actions = Actions()
        for following in (100, 101, 0):
            page = {"messages": [group_message(100)], "next_message_seq": following}
            actions.api.answers = {"get_history_messages": lambda _params, page=page: page}
            data = actions.perform("get_group_msg_history", group_id=TEAM, count=60)
            self.assertEqual(len(data["messages"]), 1)
            self.assertLessEqual(len(actions.calls), 3)

    def test_friends(self) -> None:
        """Lagrange.Core must be told where to begin: behind the newest that was seen."""
        seqs = list(range(1, 101))
        for kind in NAMES:
            for newest in (100, 95, 40):
                actions = Actions(NAMES[kind])
                actions.context.recent.newest.put(Conversation(FRIEND, ALICE), newest)
                actions.api.answers = {"get_history_messages": Platform(kind, seqs, friend_message)}
                data = actions.perform("get_friend_msg_history", user_id=ALICE, count=40)
                self.assertEqual([one["message_seq"] for one in data["messages"]], seqs[-40:], (kind, newest))
        actions = Actions("Lagrange.Core")
        actions.api.answers = {"get_history_messages": Platform("L", seqs, friend_message)}
        with self.assertRaises(BadRequest) as refused:
            actions.perform("get_friend_msg_history", user_id=ALICE)
        self.assertIn("message_seq", refused.exception.sentence)
        data = actions.perform("get_friend_msg_history", user_id=ALICE, message_seq=50, count=2)
        self.assertEqual([one["message_seq"] for one in data["messages"]], [49, 50])


class ForwardTests(SynchronousTestCase):
    NODES: list[dict[str, Any]] = [
        {"type": "node", "data": {"user_id": str(BOB), "nickname": "Bob", "content": "hi[CQ:face,id=4]"}},
        {"type": "node", "data": {"uin": BOB, "name": "Bob", "content": [text("x")], "time": NOW}},
    ]
    FORWARD = {
        "type": "forward",
        "data": {"forward_id": "res9", "title": "t", "preview": ["p"], "summary": "s"},
    }

    def setUp(self) -> None:
        self.actions = Actions()
        self.actions.api.answers = {
            "send_group_message": sent(77),
            "send_private_message": sent(55),
            "get_message": lambda params: {
                "message": (group_message if params["message_scene"] == GROUP else friend_message)(
                    params["message_seq"], self.FORWARD
                )
            },
        }

    def test_sending(self) -> None:
        """Nodes are one forward segment; the answer has its id, which is read from the message."""
        for action, params in [
            ("send_group_forward_msg", {"group_id": TEAM, "messages": self.NODES}),
            ("send_private_forward_msg", {"user_id": str(ALICE), "messages": self.NODES}),
            ("send_forward_msg", {"group_id": TEAM, "user_id": ALICE, "message": self.NODES}),
            ("send_forward_msg", {"message_type": "private", "user_id": ALICE, "messages": self.NODES}),
        ]:
            data = self.actions.perform(action, **params)
            (api, call), (reading, _params) = self.actions.calls
            self.assertEqual(reading, "get_message")
            to_group = "group" in api
            self.assertEqual(
                data,
                {
                    "message_id": self.actions.group_id_of(77) if to_group else self.actions.friend_id_of(55),
                    "forward_id": "res9",
                    "res_id": "res9",
                },
            )
            (segment,) = call["message"]
            first, second = segment["data"]["messages"]
            self.assertEqual((first["user_id"], first["sender_name"]), (BOB, "Bob"))
            self.assertEqual([one["type"] for one in first["segments"]], ["text", "face"])
            self.assertEqual((second["time"], second["segments"]), (NOW, [text("x")]))
            self.actions.context.recent.messages.pop(MessageKey(GROUP, TEAM, 77))
            self.actions.context.recent.messages.pop(MessageKey(FRIEND, ALICE, 55))

    def test_what_is_shown(self) -> None:
        """``source``, ``news``, ``summary`` and ``prompt`` go with the segment; four lines at most."""
        self.actions.perform(
            "send_group_forward_msg",
            group_id=TEAM,
            messages=self.NODES,
            source="Title",
            news=[{"text": str(number)} for number in range(6)],
            summary="S",
            prompt="P",
        )
        data = self.actions.calls[0][1]["message"][0]["data"]
        self.assertEqual(
            (data["title"], data["preview"], data["summary"], data["prompt"]),
            ("Title", ["0", "1", "2", "3"], "S", "P"),
        )

    def test_in_a_message(self) -> None:
        """Nodes as a message are a forward as well."""
        data = self.actions.perform("send_group_msg", group_id=TEAM, message=self.NODES)
        self.assertEqual(data["message_id"], self.actions.group_id_of(77))
        self.assertEqual(self.actions.calls[0][1]["message"][0]["type"], "forward")

    def test_its_id_cannot_be_had(self) -> None:
        """A forward that was sent was sent, though its id is not known."""
        self.actions.api.answers["get_message"] = LinkBroken("broken")
        data = self.actions.perform("send_group_forward_msg", group_id=TEAM, messages=self.NODES)
        self.assertEqual(data, {"message_id": self.actions.group_id_of(77), "forward_id": "", "res_id": ""})

    def test_reading(self) -> None:
        """By the id of the forward, or by that of the message with it."""
        self.actions.api.answers["get_forwarded_messages"] = {
            "messages": [
                {
                    "message_seq": 4, "sender_name": "Bob", "avatar_url": f"http://q/?nk={BOB}&s=1",
                    "time": NOW,
                    "segments": [text("x")],
                },
                {"message_seq": 5, "sender_name": "?", "avatar_url": "", "time": NOW,
                 "segments": [self.FORWARD]},
            ]
        }  # fmt: skip
        message_id = self.actions.group_id_of(9)
        for params, calls in [
            ({"id": "res9"}, 1),
            ({"message_id": "res9"}, 1),
            ({"message_id": message_id}, 2),
            ({"id": str(message_id)}, 1),  # it is remembered
        ]:
            data = self.actions.perform("get_forward_msg", **params)
            made = self.actions.calls
            self.assertEqual(len(made), calls, params)
            self.assertEqual(made[-1], ("get_forwarded_messages", {"forward_id": "res9"}))
            first, second = data["messages"]
            self.assertEqual(first["sender"], {"user_id": BOB, "nickname": "Bob"})
            self.assertEqual((first["content"], first["time"]), ([text("x")], NOW))
            self.assertEqual(second["sender"]["user_id"], 0)
            self.assertEqual(second["content"], [{"type": "forward", "data": {"id": "res9"}}])
            self.assertEqual([node["type"] for node in data["message"]], ["node", "node"])

    def test_own_forwards_of_llbot(self) -> None:
        """A forward that is read back as a light app has its id in that."""
        app = {
            "type": "light_app",
            "data": {
                "app_name": "com.tencent.multimsg",
                "json_payload": '{"app":"com.tencent.multimsg","meta":{"detail":{"resid":"res7"}}}',
            },
        }
        self.actions.api.answers |= {
            "get_message": {"message": group_message(9, app)},
            "get_forwarded_messages": {"messages": []},
        }
        self.actions.perform("get_forward_msg", id=self.actions.group_id_of(9))
        self.assertEqual(self.actions.calls[-1], ("get_forwarded_messages", {"forward_id": "res7"}))

    def test_no_forward(self) -> None:
        """A message without a forward is refused, and so is an API that is not offered."""
        self.actions.api.answers = {
            "get_message": {"message": group_message(9)},
            "get_forwarded_messages": UnknownAction("the implementation does not offer it"),
        }
        with self.assertRaises(BadRequest):
            self.actions.perform("get_forward_msg", message_id=self.actions.group_id_of(9))
        with self.assertRaises(UnknownAction):
            self.actions.perform("get_forward_msg", id="res")
        with self.assertRaises(BadRequest):
            self.actions.perform("get_forward_msg")


class LagrangeTests(SynchronousTestCase):
    """What Lagrange.Core answers wrongly is not passed on as truth (fact sheet, section 5.1)."""

    def setUp(self) -> None:
        self.actions = Actions("Lagrange.Core")
        self.actions.api.answers = {"send_private_message": {"message_seq": 54_321, "time": NOW}}

    def find(self, *messages: dict[str, Any]) -> MessageKey | None:
        """Send "hi" to a friend, and return what the id of the answer stands for."""
        self.actions.api.answers["get_history_messages"] = {"messages": list(messages)}
        data = self.actions.perform("send_private_msg", user_id=ALICE, message="hi")
        return self.actions.ids.key_of(data["message_id"])

    def test_private_messages(self) -> None:
        """The sequence number of a private message is looked for in the history."""
        self.actions.context.recent.newest.put(Conversation(FRIEND, ALICE), 40)
        own = friend_message(42, text("hi"), sender_id=SELF)
        found = self.find(
            friend_message(40, text("hi"), sender_id=SELF), friend_message(41), own, friend_message(43)
        )
        self.assertEqual(found, MessageKey(FRIEND, ALICE, 42))
        self.assertEqual(
            self.actions.calls[1],
            (
                "get_history_messages",
                {"message_scene": FRIEND, "peer_id": ALICE, "start_message_seq": 69, "limit": 29},
            ),
        )
        again = friend_message(44, text("hi"), sender_id=SELF)
        self.assertEqual(self.find(own, again), MessageKey(FRIEND, ALICE, 44))

    def test_two_of_one_text(self) -> None:
        """A message that is in the history late is not taken for the one that was sent after it."""
        self.actions.context.recent.newest.put(Conversation(FRIEND, ALICE), 40)
        first, second = (friend_message(seq, text("hi"), sender_id=SELF) for seq in (41, 42))
        histories: list[list[dict[str, Any]]] = [[], [first]]
        for history in histories:
            key = self.find(*history)
            assert key is not None
            self.assertEqual(key.scene, UNSEQUENCED)
        self.assertEqual(self.find(first, second), MessageKey(FRIEND, ALICE, 42))

    def test_not_found(self) -> None:
        """Where it is not found for sure, the id stands for no message, never for another one."""
        key = self.find(friend_message(42, text("hi"), sender_id=SELF))  # nothing was seen before
        assert key is not None
        self.assertEqual(key.scene, UNSEQUENCED)
        self.assertEqual([api for api, _params in self.actions.calls], ["send_private_message"])
        self.actions.context.recent.newest.put(Conversation(FRIEND, ALICE), 40)
        for others in (
            [],
            [friend_message(42, text("hi"))],
            [friend_message(42, text("other"), sender_id=SELF)],
            [friend_message(39, text("hi"), sender_id=SELF)],
            [friend_message(40, text("hi"), sender_id=SELF)],
            [{**friend_message(42, text("hi"), sender_id=SELF), "time": NOW - 60}],
        ):
            key = self.find(*others)
            assert key is not None
            self.assertEqual(key.scene, UNSEQUENCED)
        for error in (AccountFailed("500"), LinkBroken("broken"), CallTimeout("late")):
            self.actions.api.answers["get_history_messages"] = error
            data = self.actions.perform("send_private_msg", user_id=ALICE, message="hi")
            key = self.actions.ids.key_of(data["message_id"])
            assert key is not None
            self.assertEqual(key.scene, UNSEQUENCED)

    def test_kick(self) -> None:
        """A kick worked if the person is no member afterwards, whatever its answer is."""
        member, info = "get_group_member_info", {"member": BOB_ENTITY}
        removed = CallFailed(-500, "unknown error", "kick_group_member")
        for answer, after, worked in [
            (removed, not_found(member), True),
            ({}, not_found(member), True),
            ({}, info, False),
            (removed, info, False),
        ]:
            self.actions.api.answers = {"kick_group_member": answer, member: [info, after]}
            if worked:
                self.assertIsNone(self.actions.perform("set_group_kick", group_id=TEAM, user_id=BOB))
            else:
                with self.assertRaises(AccountFailed):
                    self.actions.perform("set_group_kick", group_id=TEAM, user_id=BOB)
            self.assertEqual(
                self.actions.calls,
                [
                    (member, {"group_id": TEAM, "user_id": BOB, "no_cache": True}),
                    ("kick_group_member", {"group_id": TEAM, "user_id": BOB, "reject_add_request": False}),
                    (member, {"group_id": TEAM, "user_id": BOB, "no_cache": True}),
                ],
            )
        every = "get_group_member_list"
        others = {"members": [{**BOB_ENTITY, "user_id": ALICE}]}
        for answer, worked in [
            (others, True),
            ({"members": [*others["members"], BOB_ENTITY]}, False),
            ({"members": []}, False),
            (AccountFailed("500"), False),
        ]:
            self.actions.api.answers = {
                "kick_group_member": removed,
                member: [info, AccountFailed("500")],
                every: answer,
            }
            if worked:
                self.assertIsNone(self.actions.perform("set_group_kick", group_id=TEAM, user_id=BOB))
            else:
                with self.assertRaises(AccountFailed):
                    self.actions.perform("set_group_kick", group_id=TEAM, user_id=BOB)
            self.assertEqual(self.actions.calls[-1], (every, {"group_id": TEAM, "no_cache": True}))
        self.actions.api.answers = {member: not_found(member)}
        with self.assertRaises(CallFailed):  # no member at all
            self.actions.perform("set_group_kick", group_id=TEAM, user_id=BOB)
        for error in (
            LinkBroken("x"),
            CallTimeout("x"),
            CallFailed(-403, "not logged in", "kick_group_member"),
        ):
            self.actions.api.answers = {"kick_group_member": error, member: info}
            with self.assertRaises(type(error)):
                self.actions.perform("set_group_kick", group_id=TEAM, user_id=BOB)

    def test_essence(self) -> None:
        """To remove an essence is refused, for it would be set; setting one works."""
        message_id = self.actions.group_id_of(9)
        with self.assertRaises(BadRequest):
            self.actions.perform("delete_essence_msg", message_id=message_id)
        self.assertEqual(self.actions.calls, [])
        self.actions.perform("set_essence_msg", message_id=message_id)
        self.assertEqual(len(self.actions.calls), 1)

    def test_base64(self) -> None:
        """Files and records inside a call are refused, for zeros would be appended; pictures are sent."""
        for action, params in [
            ("upload_group_file", {"group_id": TEAM, "file": "base64://AAAA", "name": "a"}),
            ("upload_private_file", {"user_id": ALICE, "file": "base64://AAAA", "name": "a"}),
            ("send_group_msg", {"group_id": TEAM, "message": "[CQ:record,file=base64://AAAA]"}),
        ]:
            with self.assertRaises(BadRequest) as refused:
                self.actions.perform(action, **params)
            self.assertIn("file", refused.exception.sentence)
        self.assertEqual(self.actions.calls, [])
        self.actions.api.answers = {"send_group_message": sent(5)}
        self.actions.perform("send_group_msg", group_id=TEAM, message="[CQ:image,file=base64://AAAA]")
        self.assertEqual(len(self.actions.calls), 1)

    def test_it_is_asked_what_it_is(self) -> None:
        """Before it is known what the implementation is, nothing that depends on it is done."""
        self.actions = Actions("")
        self.actions.api.answers = {"get_impl_info": IMPL}
        with self.assertRaises(BadRequest):
            self.actions.perform("delete_essence_msg", message_id=self.actions.group_id_of(9))
        self.assertEqual(self.actions.calls, [("get_impl_info", {})])
        self.actions = Actions("")
        self.actions.api.answers = {"get_impl_info": LinkBroken("broken")}
        with self.assertRaises(OneBotError):
            self.actions.perform("delete_essence_msg", message_id=self.actions.group_id_of(9))
