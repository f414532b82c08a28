"""Milky's events as events of OneBot 11: frames of the event stream, and messages that are fetched later."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import Factory, define

from lgtwist.milky.fields import number_at, object_at, objects_at, text_at
from lgtwist.milky.frames import BadFrame, ForeignFrame, Frame, decode_object, read_milky_frame
from lgtwist.milky.keys import FRIEND, GROUP, TEMP, Conversation, MessageIds, MessageKey
from lgtwist.milky.messages import message_data, read_key
from lgtwist.milky.notices import NOTICES, NoticeContext, UnknownScene, remember_private_file
from lgtwist.milky.plain_messages import PlainMessage, encode_plain_message, read_plain_frame
from lgtwist.milky.recent import Recent
from lgtwist.onebot.event import Event, Place
from lgtwist.onebot.rawjson import DECODE_ERRORS

__all__ = ["BadFrame", "EventTranslator", "ForeignFrame", "NamedCounts", "TranslationCounters"]

#: What a message with a file has in it.
_FILE_TYPE = b'"file"'
#: Names that a table of counts has besides the last, characters of each, and the name of all others.
_MOST_NAMES, _NAME_LENGTH, _UNNAMED = 64, 64, "others"


class NamedCounts(dict[str, int]):
    """How often something was seen, by a name that the implementation gives it.

    There are at most 64 names, and what has none that can be shown is counted among ``others``.
    """

    def count(self, name: str) -> None:
        """Count one."""
        name = name[:_NAME_LENGTH]
        if name not in self and (
            len(self) >= _MOST_NAMES or not (name.isascii() and name.isprintable() and name)
        ):
            name = _UNNAMED
        self[name] = self.get(name, 0) + 1


@define
class TranslationCounters:
    """What was not passed on, or was odd, since the start.

    :ivar unknown_events: events that OneBot 11 has nothing for, by Milky's type; also ``peer_pin_change``.
    :ivar unknown_segments: segments that became a text, by Milky's type.
    :ivar other_scenes: messages and recalls in scenes that are not known, by the scene.
    :ivar own_messages: messages and files of the account itself that were dropped.
    :ivar duplicates: messages that the event stream had already brought.
    :ivar sequence_gaps: jumps of a conversation's sequence numbers by more than 1.
    :ivar malformed_frames: frames that cannot be read.
    :ivar foreign_frames: frames of other accounts.
    """

    unknown_events: NamedCounts = Factory(NamedCounts)
    unknown_segments: NamedCounts = Factory(NamedCounts)
    other_scenes: NamedCounts = Factory(NamedCounts)
    own_messages: int = 0
    duplicates: int = 0
    sequence_gaps: int = 0
    malformed_frames: int = 0
    foreign_frames: int = 0


class EventTranslator:
    """Makes the events of one account.

    :param ids: message ids.
    :param recent: is kept up to date with what passes.
    :param wants_own: whether the account's own messages are events (``message_sent``), or dropped.
    :ivar wants_own: as given; may be replaced.
    :ivar counters: what was not passed on.
    :ivar key: what names the message that was translated last, also if it was dropped; None if the last
        frame had none, or was a duplicate: one that was fetched may not be delivered yet.
    """

    def __init__(self, self_id: int, ids: MessageIds, recent: Recent, *, wants_own: bool) -> None:
        self.counters = TranslationCounters()
        self.key: MessageKey | None = None
        self._self_id = self_id
        self._ids = ids
        self._recent = recent
        self.wants_own = wants_own
        self._context = NoticeContext(self_id, ids, recent)
        self._count_segment = self.counters.unknown_segments.count

    def translate(self, frame: bytes) -> Event | None:
        """Return the event in a frame of the event stream.

        :returns: None where there is none for bots: see :class:`TranslationCounters`.
        :raises ForeignFrame: if it is of another account.
        :raises BadFrame: if it cannot be read.
        """
        plain = read_plain_frame(frame)
        if plain is not None and plain.self_id == self._self_id != plain.data.sender_id:
            message = plain.data
            scene = message.message_scene
            if scene == GROUP or (scene == FRIEND and _FILE_TYPE not in frame):
                key = self.key = _new_tuple(MessageKey, (scene, message.peer_id, message.message_seq))
                raw = encode_plain_message(message, key, self._self_id, self._ids, self._count_segment)
                if raw is not None:
                    return self._receive_plain(message, frame, key, raw)
        self.key = None
        try:
            head = read_milky_frame(frame)
            if head.self_id != self._self_id and head.self_id:
                raise ForeignFrame(head.self_id)
            if head.event_type == "message_receive":
                return self._receive_message(head, frame)
            return self._receive_notice(head)
        except ForeignFrame:
            self.counters.foreign_frames += 1
            raise
        except BadFrame:
            self.counters.malformed_frames += 1
            raise

    def translate_message(self, message: dict[str, Any], *, time: int = 0) -> Event | None:
        """Return the event of a message that was fetched, and not received.

        It is no duplicate, whatever was received, and its sequence number tells of no gap; it is a duplicate
        for the event stream.

        :param message: an ``IncomingMessage``, decoded.
        :param time: seconds since the epoch, for a message that does not say when it was sent.
        :returns: None for the account's own message, unless it is wanted.
        :raises BadFrame: if it cannot be read.
        """
        self.key = key = read_key(message)
        if key is None:
            self._count_other_scene(message)
            return None
        sender_id = _sender_of(message)
        try:
            frame = _encode_event({"data": message})
        except (TypeError, *DECODE_ERRORS):
            raise BadFrame("its message is not JSON") from None
        self._recent.newest.advance(key.conversation, key.seq)
        self._recent.messages.put_received(key, frame)
        self._remember_person(key, message.get("segments"))
        return self._make_message(key, sender_id, message, time)

    @staticmethod
    def key_of_message(message: Any) -> MessageKey | None:
        """Return what names an ``IncomingMessage``; None if it does not say it."""
        return read_key(message)

    # -- messages

    def _receive_plain(
        self, message: PlainMessage, frame: bytes, key: MessageKey, raw: bytes
    ) -> Event | None:
        """Return an event, if it is of a new message; remember what later calls and events need."""
        scene, peer_id, seq = key
        recent = self._recent
        newest = recent.newest.advance(_new_tuple(Conversation, (scene, peer_id)), seq)
        if newest is None or seq != newest + 1:
            is_new = self._is_new(key, newest, message.time, message.sender_id)
            if not is_new:
                return None
        recent.messages.put_received(key, frame)
        if scene == GROUP:
            place = _new_tuple(Place, (peer_id, message.sender_id))
        else:
            recent.scenes.put(peer_id, FRIEND)
            place = _new_tuple(Place, (None, message.sender_id))
        return Event(raw, "message", "", self._self_id, place)

    def _receive_message(self, head: Frame, frame: bytes) -> Event | None:
        try:
            message = _decode_message(head.data)
        except DECODE_ERRORS:
            message = decode_object(bytes(head.data))
            frame = _encode_event({"data": message})
        key = read_key(message)
        if key is None:
            self._count_other_scene(message)
            return None
        sender_id = _sender_of(message)
        self.key = key
        newest = self._recent.newest.advance(key.conversation, key.seq)
        if not self._is_new(key, newest, number_at(message, "time"), sender_id):
            return None
        self._recent.messages.put_received(key, frame)
        self._remember_person(key, message.get("segments"))
        return self._make_message(key, sender_id, message, head.time)

    def _is_new(self, key: MessageKey, newest: int | None, time: int, sender_id: int) -> bool:
        """Return whether a message was not received before; count it if it was, and a gap before it.

        :param newest: the greatest sequence number of the conversation before it; None if there was none.
        """
        if newest is not None and key.seq > newest:  # a duplicate is not newer than what was received
            if key.seq > newest + 1:
                self.counters.sequence_gaps += 1
            return True
        if self._recent.messages.was_received(key, time, sender_id):
            self.counters.duplicates += 1
            self.key = None  # the first may not be delivered yet
            return False
        return True

    def _remember_person(self, key: MessageKey, segments: Any) -> None:
        """Remember what calls need that concern the person of a private message, and the files in it."""
        if key.scene == GROUP:
            return
        recent = self._recent
        recent.scenes.put(key.peer_id, key.scene)
        for segment in objects_at({"": segments}, ""):
            if segment.get("type") == "file":
                file = object_at(segment, "data")
                file_id = text_at(file, "file_id")
                if file_id:
                    remember_private_file(recent, file_id, key.peer_id, text_at(file, "file_hash"))

    def _count_other_scene(self, message: dict[str, Any]) -> None:
        """Count a message in another scene.

        :raises BadFrame: if that is not what is odd.
        """
        scene = text_at(message, "message_scene")
        if not scene or scene in (FRIEND, GROUP, TEMP):
            raise BadFrame("its message has no scene, no peer or no sequence number")
        self.counters.other_scenes.count(scene)

    def _make_message(
        self, key: MessageKey, sender_id: int, message: dict[str, Any], time: int
    ) -> Event | None:
        post_type = "message"
        if sender_id == self._self_id:
            if not self.wants_own:
                self.counters.own_messages += 1
                return None
            post_type = "message_sent"
        data = message_data(
            message, key, self_id=self._self_id, ids=self._ids, time=time, unknown=self._count_segment
        )
        data["post_type"] = post_type
        place = Place(data.get("group_id"), sender_id)
        return Event(_encode_event(data), post_type, "", self._self_id, place)

    # -- notices and requests

    def _receive_notice(self, head: Frame) -> Event | None:
        row = NOTICES.get(head.event_type)
        if row is None:
            self.counters.unknown_events.count(head.event_type)
            return None
        reader, translate = row
        try:
            members = translate(reader.read(head.data), self._context)
        except UnknownScene as error:
            self.counters.other_scenes.count(str(error))
            return None
        if members is None:
            self.counters.own_messages += 1
            return None
        detail = members.get("notice_type", "")
        post_type = "notice" if detail else "request"
        event = {"time": head.time, "self_id": self._self_id, "post_type": post_type, **members}
        place = Place(members.get("group_id"), members.get("user_id"))
        return Event(_encode_event(event), post_type, detail, self._self_id, place)


_decode_message = msgspec.json.Decoder(dict[str, Any]).decode
#: Makes a named tuple in half of the time that its own constructor takes.
_new_tuple = tuple.__new__
_encode_event = msgspec.json.Encoder().encode


def _sender_of(message: dict[str, Any]) -> int:
    """Return who sent a message.

    :raises BadFrame: if it does not say that.
    """
    sender_id = number_at(message, "sender_id")
    if not sender_id:
        raise BadFrame("its message has no sender_id")
    return sender_id
