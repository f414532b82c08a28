"""Segments of messages that Milky sends, as those of OneBot 11.

Everything in them comes from the implementation: what is missing or of a wrong type is left out or empty,
and a type that is not known becomes a text that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lgtwist.milky.fields import boolean_at, number_at, objects_at, text_at
from lgtwist.milky.keys import Conversation, MessageIds, MessageKey
from lgtwist.onebot.message import Segment

#: Segments of one message that are translated: far more than QQ lets anybody send.
MOST_INCOMING = 2_000
#: Characters of a segment's type that are shown.
LONGEST_SHOWN_TYPE = 64
#: The types of segments whose URLs expire.
EXPIRING_TYPES = ("image", "record", "video")
#: Replies of one message; QQ has one. Each may need a new block of message ids.
_MOST_REPLIES = 8


def to_onebot(
    segments: Any,
    conversation: Conversation | None,
    ids: MessageIds,
    unknown: Callable[[str], None] | None = None,
) -> list[Segment]:
    """Return the segments of a message of Milky as those of OneBot 11.

    Replies come first, for Koishi reads no others; there are at most eight. Of more than ``MOST_INCOMING``
    segments the last are one text that says how many there were. What is no object is left out.

    :param segments: decoded; anything but a list has none.
    :param conversation: where the message is; None inside a forwarded message, where the replies are left
        out, for nothing says which conversation their sequence numbers count.
    :param unknown: is called with each type (up to 64 characters) that is not known, and with that of each
        segment that could not be read.
    """
    if type(segments) is not list:
        return []
    shown = segments if len(segments) <= MOST_INCOMING else segments[: MOST_INCOMING - 1]
    message: list[Segment] = []
    append = message.append
    replies: list[Segment] = []
    for segment in shown:
        if type(segment) is not dict:
            if unknown is not None:
                unknown("")
            continue
        kind, data = segment.get("type"), segment.get("data")
        if type(data) is not dict:
            data = {}
        if kind == "text":
            text = data.get("text")
            append({"type": "text", "data": {"text": text if type(text) is str else text_at(data, "text")}})
            continue
        translate = _TRANSLATIONS.get(kind) if type(kind) is str else None
        if translate is not None:
            append(translate(data))
        elif kind == "reply":
            if conversation is None:
                continue
            reply = _incoming_reply(data, conversation, ids) if len(replies) < _MOST_REPLIES else None
            if reply is not None:
                replies.append(reply)
            elif unknown is not None:
                unknown("reply")
        else:
            shown_type = text_at(segment, "type")[:LONGEST_SHOWN_TYPE]
            if unknown is not None:
                unknown(shown_type)
            append(_plain_text(f"[unsupported segment: {shown_type}]"))
    if shown is not segments:
        append(_plain_text(f"[{len(segments) - len(shown)} more segments of {len(segments)}]"))
    return replies + message if replies else message


def _plain_text(text: str) -> Segment:
    return {"type": "text", "data": {"text": text}}


def _incoming_reply(data: dict[str, Any], conversation: Conversation, ids: MessageIds) -> Segment | None:
    """Return a reply; None if it does not say to which message."""
    seq = number_at(data, "message_seq")
    if seq <= 0:
        return None
    number = ids.id_of(MessageKey(conversation.scene, conversation.peer_id, seq))
    return {"type": "reply", "data": {"id": str(number)}} if number else None


def _incoming_mention(data: dict[str, Any]) -> Segment:
    user_id, name = number_at(data, "user_id"), text_at(data, "name")
    if not user_id:
        return _plain_text(f"@{name}")
    return {"type": "at", "data": {"qq": str(user_id), "name": name} if name else {"qq": str(user_id)}}


def _incoming_mention_all(_data: dict[str, Any]) -> Segment:
    return {"type": "at", "data": {"qq": "all"}}


def _incoming_face(data: dict[str, Any]) -> Segment:
    face: dict[str, Any] = {"id": text_at(data, "face_id")}
    if boolean_at(data, "is_large"):
        face["is_large"] = True
    return {"type": "face", "data": face}


def resource_url(data: dict[str, Any]) -> str:
    """Return the URL of an incoming image, record or video; empty if it has none.

    :param data: of the segment. A ``resource_id`` may be the URL itself (LLBot, Yogurt).
    """
    url = text_at(data, "temp_url")
    if url:
        return url
    resource_id = text_at(data, "resource_id")
    return resource_id if resource_id.startswith(("http://", "https://")) else ""


def has_expiring_urls(message: dict[str, Any]) -> bool:
    """Return whether there is an image, a record or a video in an ``IncomingMessage``."""
    return any(one.get("type") in EXPIRING_TYPES for one in objects_at(message, "segments"))


def _incoming_media(data: dict[str, Any]) -> dict[str, Any]:
    """Return what images, records and videos have in common."""
    url = resource_url(data)
    return {"file": text_at(data, "resource_id") or url, "url": url}


def _incoming_image(data: dict[str, Any]) -> Segment:
    image = _incoming_media(data)
    image["summary"] = text_at(data, "summary")
    image["subType"] = 1 if data.get("sub_type") == "sticker" else 0
    return {"type": "image", "data": image}


def _incoming_record(data: dict[str, Any]) -> Segment:
    return {"type": "record", "data": _incoming_media(data)}


def _incoming_video(data: dict[str, Any]) -> Segment:
    return {"type": "video", "data": _incoming_media(data)}


def _incoming_file(data: dict[str, Any]) -> Segment:
    name = text_at(data, "file_name")
    file = {
        "file": name,
        "name": name,
        "file_id": text_at(data, "file_id"),
        "file_size": str(number_at(data, "file_size")),
    }
    file_hash = text_at(data, "file_hash")
    if file_hash:
        file["file_hash"] = file_hash
    return {"type": "file", "data": file}


def _incoming_forward(data: dict[str, Any]) -> Segment:
    return {"type": "forward", "data": {"id": text_at(data, "forward_id")}}


def _incoming_market_face(data: dict[str, Any]) -> Segment:
    return {
        "type": "mface",
        "data": {
            "emoji_package_id": number_at(data, "emoji_package_id"),
            "emoji_id": text_at(data, "emoji_id"),
            "key": text_at(data, "key"),
            "summary": text_at(data, "summary"),
            "url": text_at(data, "url"),
        },
    }


def _incoming_light_app(data: dict[str, Any]) -> Segment:
    return {"type": "json", "data": {"data": text_at(data, "json_payload")}}


def _incoming_xml(data: dict[str, Any]) -> Segment:
    return {"type": "xml", "data": {"data": text_at(data, "xml_payload")}}


def _incoming_markdown(data: dict[str, Any]) -> Segment:
    return {"type": "markdown", "data": {"content": text_at(data, "content")}}


#: By Milky's type; text, reply and unknown ones are translated by :func:`to_onebot` itself.
_TRANSLATIONS: dict[str, Callable[[dict[str, Any]], Segment]] = {
    "mention": _incoming_mention,
    "mention_all": _incoming_mention_all,
    "face": _incoming_face,
    "image": _incoming_image,
    "record": _incoming_record,
    "video": _incoming_video,
    "file": _incoming_file,
    "forward": _incoming_forward,
    "market_face": _incoming_market_face,
    "light_app": _incoming_light_app,
    "xml": _incoming_xml,
    "markdown": _incoming_markdown,
}
