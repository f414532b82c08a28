"""Whatever an implementation sends, an event is whole, or there is none."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from nonebot.adapters.onebot.v11 import Adapter

from lgtwist.milky.events import BadFrame
from lgtwist.onebot.event import Event, place_of, read_event
from tests.milky.samples import (
    DATA,
    SELF,
    TIME,
    TranslationCase,
    file_segment,
    frame,
    group_message,
    private_message,
    temp_message,
    text,
)
from tests.milky.schema import check_event
from tests.rounds import quick

_NUMBERS = (
    st.integers() | st.floats() | st.sampled_from([0, 1, -1, 2**31, 2**53, 2**63, 2**64, 10**400, SELF])
)
_STRINGS = st.text(max_size=8) | st.sampled_from(
    ["", "10001", "1e3", "true", "friend", "group", "temp", "text"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _STRINGS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_STRINGS, inner, max_size=4),
    max_leaves=8,
)

#: A message with each segment, as much as one line of the mapping.
_SEGMENTS = [
    {"type": "reply", "data": {"message_seq": 3, "sender_id": 20002, "time": TIME, "segments": [text("x")]}},
    text("a, [b] & c"),
    {"type": "mention", "data": {"user_id": 20002, "name": "Amy"}},
    {"type": "mention_all", "data": {}},
    {"type": "face", "data": {"face_id": "76", "is_large": True}},
    {
        "type": "image",
        "data": {
            "resource_id": "r",
            "temp_url": "http://example.org/i",
            "width": 1,
            "height": 1,
            "summary": "",
            "sub_type": "sticker",
        },
    },
    {"type": "record", "data": {"resource_id": "r", "temp_url": "http://example.org/r", "duration": 1}},
    {
        "type": "video",
        "data": {
            "resource_id": "r",
            "temp_url": "http://example.org/v",
            "width": 1,
            "height": 1,
            "duration": 1,
        },
    },
    file_segment("f9", "abc"),
    {"type": "forward", "data": {"forward_id": "fw", "title": "t", "preview": ["p"], "summary": "s"}},
    {
        "type": "market_face",
        "data": {"url": "u", "emoji_package_id": 1, "emoji_id": "e", "key": "k", "summary": "s"},
    },
    {"type": "light_app", "data": {"app_name": "a", "json_payload": "{}"}},
    {"type": "xml", "data": {"service_id": 1, "xml_payload": "<x/>"}},
    {"type": "markdown", "data": {"content": "# a"}},
    {"type": "hologram", "data": {}},
]
#: Right ones, but for the last segment.
FRAMES = [
    *(frame(event_type) for event_type in DATA),
    frame("message_receive", group_message(7, *_SEGMENTS)),
    frame("message_receive", private_message(7, *_SEGMENTS)),
    frame("message_receive", temp_message(7, *_SEGMENTS)),
    frame("message_receive", private_message(sender_id=SELF)),
]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Give each list and object in a value, with each of its keys."""
    if not isinstance(value, (dict, list)):
        return []
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    found = [(value, key) for key in keys]
    return found + [place for key in keys for place in places(value[key])]


@st.composite
def mutated_frames(draw: st.DrawFn) -> Any:
    """Frames of which up to four values were removed or replaced."""
    one = copy.deepcopy(draw(st.sampled_from(FRAMES)))
    for _time in range(draw(st.integers(0, 4))):
        found = places(one)
        if not found:
            break
        parent, key = draw(st.sampled_from(found))
        if draw(st.booleans()):
            parent[key] = draw(VALUES)
        elif isinstance(parent, dict):
            del parent[key]
        else:
            parent.insert(key, draw(VALUES))
    return one


class RandomTests(TranslationCase):
    wants_own = True

    def pass_through(self, raw: bytes) -> None:
        """Translate a frame, and check what becomes of it."""
        try:
            event = self.translator.translate(raw)
        except BadFrame as error:
            self.assertTrue(str(error))
            return
        if event is not None:
            self.assert_whole(event)

    def assert_whole(self, event: Event) -> None:
        """Check that lgtwist reads an event as what it says it is, and NoneBot by a model of that type."""
        again = read_event(event.raw)
        place_of(again)
        self.assertEqual(again, event)
        members = json.loads(event.raw)
        for name in ("time", "self_id"):
            self.assertIs(type(members[name]), int)
        if event.post_type != "message_sent":
            model = next(iter(Adapter.get_event_model(members)))
            read = Adapter.json_to_event(json.loads(event.raw))
            self.assertIs(type(read), model, members)

    @quick
    @given(VALUES)
    def test_any_json(self, value: Any) -> None:
        """Any JSON becomes an event, nothing, or a refusal."""
        self.setUp()
        self.pass_through(json.dumps(value).encode())

    @quick
    @given(st.sampled_from(sorted(DATA)), VALUES)
    def test_any_data(self, event_type: str, data: Any) -> None:
        """So does any data of each event."""
        self.setUp()
        one = {**frame("bot_offline"), "event_type": event_type, "data": data}
        self.pass_through(json.dumps(one).encode())

    @quick
    @given(st.binary(max_size=40), st.integers(0, 200))
    def test_any_bytes(self, garbled: bytes, at: int) -> None:
        """So do bytes that are no JSON, alone and in a frame."""
        self.setUp()
        self.pass_through(garbled)
        raw = json.dumps(frame("message_receive")).encode()
        self.pass_through(raw[:at] + garbled + raw[at + 3 :])

    @quick
    @given(mutated_frames())
    def test_mutated_frames(self, one: Any) -> None:
        """And frames with something missing or wrong."""
        self.setUp()
        raw = json.dumps(one).encode()
        self.pass_through(raw)
        self.pass_through(json.dumps(one, ensure_ascii=False).encode("utf-8", "surrogatepass"))

    @quick
    @given(VALUES | mutated_frames().map(lambda one: one.get("data")))
    def test_fetched_messages(self, message: Any) -> None:
        """And messages that were fetched."""
        self.setUp()
        if not isinstance(message, dict):
            message = {"message": message}
        decoded = json.loads(json.dumps(message))
        try:
            event = self.translator.translate_message(decoded, time=TIME)
        except BadFrame as error:
            self.assertTrue(str(error))
            return
        if event is not None:
            self.assert_whole(event)

    def test_every_segment(self) -> None:
        """A message with each segment is an event that NoneBot reads."""
        check_event(frame("message_receive", group_message(7, *_SEGMENTS[:-1])))
        for message in (group_message(7, *_SEGMENTS), private_message(7, *_SEGMENTS)):
            event = self.translate_odd("message_receive", message)
            self.assertEqual(len(event["message"]), len(_SEGMENTS))
