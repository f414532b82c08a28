"""Events of Milky with all of their members, and reading what they become as bots do."""

from __future__ import annotations

import json
from typing import Any

from nonebot.adapters.onebot.v11 import Adapter
from nonebot.adapters.onebot.v11.event import Event as NoneBotEvent
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.milky.events import EventTranslator
from lgtwist.milky.keys import MessageKey
from lgtwist.milky.recent import Recent
from lgtwist.onebot.event import Event, place_of, read_event
from tests.milky.schema import check_event

SELF, FRIEND, GROUP, MEMBER, ADMIN, OTHER = 10001, 20002, 30003, 40004, 50005, 60006
TIME = 1_760_000_000


class CountingIds:
    """Message ids that are given out one after the other, from 1 on."""

    def __init__(self) -> None:
        self._ids: dict[MessageKey, int] = {}

    def id_of(self, key: MessageKey) -> int:
        """Give a message's number."""
        return self._ids.setdefault(key, len(self._ids) + 1)

    def id_of_sent(self, key: MessageKey) -> int:
        """Return the number of a message that was sent."""
        return self.id_of(key)

    def key_of(self, message_id: int) -> MessageKey | None:
        """Give the message of a number."""
        return next((key for key, number in self._ids.items() if number == message_id), None)


FRIEND_ENTITY = {
    "user_id": FRIEND,
    "nickname": "Amy",
    "sex": "female",
    "qid": "amy",
    "remark": "A.",
    "category": {"category_id": 1, "category_name": "all"},
}
GROUP_ENTITY = {
    "group_id": GROUP,
    "group_name": "Tea",
    "member_count": 3,
    "max_member_count": 200,
    "remark": "",
    "created_time": TIME - 1000,
    "description": "",
    "question": "",
    "announcement": "",
}
MEMBER_ENTITY = {
    "user_id": MEMBER,
    "nickname": "Bob",
    "sex": "male",
    "group_id": GROUP,
    "card": "Bobby",
    "title": "poet",
    "level": 7,
    "role": "admin",
    "join_time": TIME - 900,
    "last_sent_time": TIME - 5,
    "shut_up_end_time": None,
}


def text(words: str) -> dict[str, Any]:
    """Give a segment of text."""
    return {"type": "text", "data": {"text": words}}


def file_segment(file_id: str, file_hash: str | None = None) -> dict[str, Any]:
    """Give a segment of a file."""
    data = {"file_id": file_id, "file_name": "a.txt", "file_size": 3, "file_hash": file_hash}
    return {"type": "file", "data": data}


def group_message(seq: int = 7, *segments: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Give a message in a group."""
    return {
        "message_scene": "group",
        "peer_id": GROUP,
        "message_seq": seq,
        "sender_id": MEMBER,
        "time": TIME - 1,
        "segments": list(segments) or [text("hello")],
        "group": GROUP_ENTITY,
        "group_member": MEMBER_ENTITY,
        **members,
    }


def private_message(seq: int = 7, *segments: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Give a message of a friend."""
    return {
        "message_scene": "friend",
        "peer_id": FRIEND,
        "message_seq": seq,
        "sender_id": FRIEND,
        "time": TIME - 1,
        "segments": list(segments) or [text("hello")],
        "friend": FRIEND_ENTITY,
        **members,
    }


def temp_message(seq: int = 7, *segments: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Give a message of a member who is no friend."""
    message = private_message(seq, *segments, message_scene="temp", peer_id=MEMBER, sender_id=MEMBER)
    del message["friend"]
    return {**message, "group": GROUP_ENTITY, **members}


_NUDGE = {
    "display_action": "pats",
    "display_suffix": "gently",
    "display_action_img_url": "http://example.org/a",
}

#: Data of each event with all members, by its type.
DATA: dict[str, dict[str, Any]] = {
    "bot_offline": {"reason": "kicked"},
    "message_receive": group_message(),
    "message_recall": {
        "message_scene": "group",
        "peer_id": GROUP,
        "message_seq": 7,
        "sender_id": MEMBER,
        "operator_id": ADMIN,
        "display_suffix": "",
    },
    "friend_request": {"initiator_id": OTHER, "initiator_uid": "u_x|1", "comment": "hi", "via": "search"},
    "group_join_request": {
        "group_id": GROUP,
        "notification_seq": 91,
        "is_filtered": True,
        "initiator_id": OTHER,
        "comment": "let me in",
    },
    "group_invited_join_request": {
        "group_id": GROUP,
        "notification_seq": 92,
        "initiator_id": MEMBER,
        "target_user_id": OTHER,
    },
    "group_invitation": {
        "group_id": GROUP,
        "invitation_seq": 93,
        "initiator_id": FRIEND,
        "source_group_id": None,
    },
    "friend_nudge": {"user_id": FRIEND, "is_self_send": False, "is_self_receive": True, **_NUDGE},
    "friend_file_upload": {
        "user_id": FRIEND,
        "file_id": "f1",
        "file_name": "a.txt",
        "file_size": 3,
        "file_hash": "abc",
        "is_self": False,
    },
    "group_admin_change": {"group_id": GROUP, "user_id": MEMBER, "operator_id": ADMIN, "is_set": True},
    "group_essence_message_change": {
        "group_id": GROUP,
        "message_seq": 7,
        "operator_id": ADMIN,
        "is_set": True,
    },
    "group_member_increase": {"group_id": GROUP, "user_id": OTHER, "operator_id": ADMIN, "invitor_id": None},
    "group_member_decrease": {"group_id": GROUP, "user_id": OTHER, "operator_id": None},
    "group_disband": {"group_id": GROUP, "operator_id": ADMIN},
    "group_name_change": {"group_id": GROUP, "new_group_name": "Coffee", "operator_id": ADMIN},
    "group_message_reaction": {
        "group_id": GROUP,
        "user_id": MEMBER,
        "message_seq": 7,
        "face_id": "76",
        "reaction_type": "face",
        "is_add": True,
    },
    "group_mute": {"group_id": GROUP, "user_id": MEMBER, "operator_id": ADMIN, "duration": 60},
    "group_whole_mute": {"group_id": GROUP, "operator_id": ADMIN, "is_mute": True},
    "group_nudge": {"group_id": GROUP, "sender_id": MEMBER, "receiver_id": SELF, **_NUDGE},
    "group_file_upload": {
        "group_id": GROUP,
        "user_id": MEMBER,
        "file_id": "f2",
        "file_name": "b.txt",
        "file_size": 4,
    },
}


def frame(event_type: str, data: Any = None, **members: Any) -> dict[str, Any]:
    """Give a frame of the event stream, with the data of :data:`DATA` if no other is given."""
    data = DATA[event_type] if data is None else data
    return {"time": TIME, "self_id": SELF, "event_type": event_type, "data": data, **members}


class TranslationCase(SynchronousTestCase):
    """A test with a translator."""

    wants_own = False

    def setUp(self) -> None:
        """Make the translator, and what it uses."""
        self.ids = CountingIds()
        self.recent = Recent()
        self.translator = EventTranslator(SELF, self.ids, self.recent, wants_own=self.wants_own)
        self.counters = self.translator.counters

    def translate(self, event_type: str, data: Any = None, **members: Any) -> dict[str, Any]:
        """Give the event that a frame becomes, decoded and checked, after the frame was judged."""
        check_event(frame(event_type, data, **members))
        return self.translate_odd(event_type, data, **members)

    def translate_odd(self, event_type: str, data: Any = None, **members: Any) -> dict[str, Any]:
        """Give the same of a frame that is not as Milky says."""
        event = self.translate_frame(frame(event_type, data, **members))
        assert event is not None
        return self.check(event)

    def translate_frame(self, one: Any) -> Event | None:
        """Give what a frame becomes."""
        return self.translator.translate(json.dumps(one).encode())

    def assert_dropped(self, event_type: str, data: Any = None, **members: Any) -> None:
        """Check that a frame becomes no event."""
        self.assertIsNone(self.translate_frame(frame(event_type, data, **members)))

    def check(self, event: Event) -> dict[str, Any]:
        """Give an event, decoded, once lgtwist and NoneBot read it as what it says that it is."""
        again = read_event(event.raw)
        place_of(again)
        self.assertEqual(event, again)
        members: dict[str, Any] = json.loads(event.raw)
        self.assertEqual(members["self_id"], SELF)
        self.assertIs(type(members["time"]), int)
        self.read_by_nonebot(members)
        return members

    def read_by_nonebot(self, members: dict[str, Any]) -> NoneBotEvent:
        """Give the event as NoneBot reads it: by the narrowest model that there is for it."""
        copy = json.loads(json.dumps(members))
        model = next(iter(Adapter.get_event_model(copy)))
        event = Adapter.json_to_event(copy)
        assert event is not None
        self.assertIs(type(event), model, members)
        return event
