"""Segments of bots as segments of Milky, where no call is needed for that.

Values may be strings, as CQ codes have them, or of the type that they stand for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from lgtwist.milky.composition import Composition
from lgtwist.milky.fields import text_at
from lgtwist.milky.keys import GREATEST_NUMBER, GROUP, SMALLEST_NUMBER, UNSEQUENCED
from lgtwist.milky.uris import as_uri
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.values import is_given, read_boolean, read_integer, read_text

#: What is shown in place of a face that the implementation cannot send.
_FACE_TEXT = "[表情]"


def required_text(data: dict[str, Any], key: str, path: str) -> str:
    """Return a string that is not empty.

    :raises BadRequest: if it is missing or empty, or no string.
    """
    value = data.get(key)
    if value is None or value == "":
        raise BadRequest(f"{path}.data.{key} is missing")
    text = read_text(value)
    if text is None:
        raise BadRequest(f"{path}.data.{key}: expected a string")
    return text


def _required_person(data: dict[str, Any], key: str, path: str) -> int:
    """Return the number of a person.

    :raises BadRequest: if it is missing, or none that Milky takes.
    """
    value = data.get(key)
    if not is_given(value):
        raise BadRequest(f"{path}.data.{key} is missing")
    number = read_integer(value)
    if number is None or not SMALLEST_NUMBER <= number <= GREATEST_NUMBER:
        raise BadRequest(
            f"{path}.data.{key}: expected a person's number from {SMALLEST_NUMBER} to {GREATEST_NUMBER}"
        )
    return number


def text_of_segment(data: dict[str, Any], path: str) -> str:
    """Return the text of a ``text`` segment, which may be empty.

    :raises BadRequest: if it is missing, or no string.
    """
    text = data.get("text")
    if text is None:
        raise BadRequest(f"{path}.data.text is missing")
    text = read_text(text)
    if text is None:
        raise BadRequest(f"{path}.data.text: expected a string")
    return text


def mention_segment(work: Composition, data: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a mention of a person or of all; a text in private conversations of LLBot."""
    qq = data.get("qq")
    is_all = isinstance(qq, str) and qq.strip().lower() == "all"
    user_id = 0 if is_all else _required_person(data, "qq", path)
    if (
        work.conversation.scene != GROUP and work.context.implementation.is_llbot
    ):  # it would leave the mention out
        name = "全体成员" if is_all else text_at(data, "name") or str(user_id)
        return {"type": "text", "data": {"text": f"@{name} "}}
    if is_all:
        return {"type": "mention_all", "data": {}}
    return {"type": "mention", "data": {"user_id": user_id}}


def face_segment(work: Composition, data: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a face; for Lagrange.Milky, which has none to send, a text."""
    face_id = required_text(data, "id", path)
    if work.context.implementation.is_lagrange:  # it refuses a whole message with a face in it
        return {"type": "text", "data": {"text": _FACE_TEXT}}
    face: dict[str, Any] = {"face_id": face_id}
    if read_boolean(data.get("is_large")):
        face["is_large"] = True
    return {"type": "face", "data": face}


def reply_segment(work: Composition, data: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Return a reply; None if the message is not known, or in another conversation."""
    if not is_given(data.get("id")):
        raise BadRequest(f"{path}.data.id is missing")
    message_id = read_integer(data["id"])
    if message_id is None:
        raise BadRequest(f"{path}.data.id: expected a message_id")
    key = work.context.ids.key_of(message_id)
    conversation = work.conversation
    if key is None or key.peer_id != conversation.peer_id:
        return None
    if (key.scene == GROUP) != (conversation.scene == GROUP):
        return None
    if key.scene == UNSEQUENCED:
        if conversation.scene == GROUP:
            return None
        raise BadRequest(
            f"{path}.data.id: the implementation did not say which message of the conversation this is, "
            "so nothing can reply to it"
        )
    return {"type": "reply", "data": {"message_seq": key.seq}}


def light_app_segment(work: Composition, data: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a light app: ``data`` is its JSON, as a string or decoded."""
    payload = data.get("data")
    if isinstance(payload, (dict, list)) and payload:
        payload = msgspec.json.encode(payload).decode()
    else:
        payload = required_text(data, "data", path)
    return {"type": "light_app", "data": {"json_payload": payload}}


def market_face_segment(work: Composition, data: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the picture of a market face where its URL is given, else a text."""
    summary = text_at(data, "summary")
    uri = as_uri(text_at(data, "url"), f"{path}.data.url")
    if uri is None:
        return {"type": "text", "data": {"text": summary or _FACE_TEXT}}
    image = {"uri": uri, "sub_type": "sticker"}
    if summary:
        image["summary"] = summary
    return {"type": "image", "data": image}


def poke_target(work: Composition, data: dict[str, Any], path: str) -> int:
    """Return whom to poke: in a private conversation the peer, or the account itself."""
    key = next((one for one in ("qq", "user_id") if is_given(data.get(one))), None)
    if work.conversation.scene == GROUP:
        return _required_person(data, key or "qq", path)
    if key is not None and read_integer(data[key]) == work.context.self_id:
        return work.context.self_id
    return work.conversation.peer_id


#: By OneBot's type: what needs no call. The functions take the segment's ``data`` and its path, for errors.
SIMPLE_SEGMENTS: dict[str, Callable[[Composition, dict[str, Any], str], dict[str, Any] | None]] = {
    "at": mention_segment,
    "face": face_segment,
    "reply": reply_segment,
    "json": light_app_segment,
    "mface": market_face_segment,
}
