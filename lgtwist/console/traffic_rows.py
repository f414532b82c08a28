"""One line of the live traffic, made of an event, of an action, or of its response. Pure; nothing raises.

A row has at most :data:`MAX_ROW` bytes of JSON. Texts of peers stay as they are, with their directional
characters, for the page to isolate; control characters and lone surrogates are replaced.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.console.redaction import HIDDEN_VALUE, MAX_FLAG, is_secret_name, redact_text
from lgtwist.onebot.event import Event, read_id
from lgtwist.onebot.message import MessageReader, Segment, as_segments, text_segment
from lgtwist.onebot.rawjson import DECODE_ERRORS, decode_leniently, decode_value, to_bytes
from lgtwist.onebot.responses import read_response_head
from lgtwist.onebot.values import read_boolean, read_text

#: Bytes of a row.
MAX_ROW = 2_048
#: Characters of a row's texts together, and of an answer's wording.
MAX_ROW_TEXT = 80
#: Characters of a sender's name.
MAX_SENDER = 40
#: Parts of a message that a row has.
_MAX_PARTS = 16
#: Segments of a message that are read for a row.
_ROW_SEGMENTS = 32
#: Segments and characters of a message that a text is searched in.
_SEARCHED_SEGMENTS, _SEARCHED_TEXT = 200, 20_000
#: Characters of a segment's type, of the value of a part, of an event's type, and of an action's name.
_MAX_SEGMENT_TYPE, _MAX_VALUE, _MAX_TYPE, _MAX_ACTION = 24, 24, 40, 80
#: Bytes of a message up to which it is decoded as a whole; of a longer one only so many are looked at.
_SMALL_MESSAGE, _MESSAGE_HEAD = 4_096, 65_536
#: Bytes of parameters, or of a short value, that are decoded.
_MAX_PARAMS, _MAX_SHORT = 16_384, 262_144

#: The kinds of rows by an event's ``post_type``; another one is ``other``.
KIND_OF: dict[str, str] = {
    "message": "message",
    "message_sent": "message",
    "notice": "notice",
    "request": "request",
    "meta_event": "meta",
}
KINDS = ("message", "notice", "request", "meta", "action", "other")


class _EventMembers(msgspec.Struct, gc=False):
    message_type: Raw | UnsetType = UNSET
    notice_type: Raw | UnsetType = UNSET
    request_type: Raw | UnsetType = UNSET
    meta_event_type: Raw | UnsetType = UNSET
    sub_type: Raw | UnsetType = UNSET
    group_id: Raw | UnsetType = UNSET
    user_id: Raw | UnsetType = UNSET
    message: Raw | UnsetType = UNSET
    sender: Raw | UnsetType = UNSET
    anonymous: Raw | UnsetType = UNSET
    comment: Raw | UnsetType = UNSET
    target_id: Raw | UnsetType = UNSET
    file: Raw | UnsetType = UNSET


class _ParamMembers(msgspec.Struct, gc=False):
    group_id: Raw | UnsetType = UNSET
    user_id: Raw | UnsetType = UNSET
    message: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    auto_escape: Raw | UnsetType = UNSET


_decode_event_members = msgspec.json.Decoder(_EventMembers).decode
_decode_param_members = msgspec.json.Decoder(_ParamMembers).decode

#: Control characters; those that stand between words become blanks.
_REPLACED: dict[int, str] = dict.fromkeys((*range(32), *range(127, 160)), "�")
_REPLACED.update({ord(character): " " for character in "\t\n\r"})
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile(r"[ \t\n\r,]*")
#: The type of a segment that is too long to be read, and that of such a CQ code.
_SEGMENT_TYPE = re.compile(r'"type"\s*:\s*"([A-Za-z0-9_\-]{1,24})"')
#: The beginning of its text, and that of a segment whose type stands behind it.
_TEXT = r'"text"\s*:\s*"((?:[^"\\]|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4}){0,20000})'
_SEGMENT_TEXT = re.compile(_TEXT)
_DATA_TEXT = re.compile(r'\{\s*"data"\s*:\s*\{\s*' + _TEXT)
_CODE_TYPE = re.compile(r"\[CQ:([A-Za-z0-9_\-]{1,24}),")
_decode_part = json.JSONDecoder().raw_decode


def clean(text: str, most: int) -> str:
    """Return at most so many characters of a text, without control characters and lone surrogates.

    :param most: a longer text ends with an ellipsis.
    """
    if len(text) > most:
        text = f"{text[: max(0, most - 1)]}\u2026"
    if text.isprintable():
        return text
    return _SURROGATE.sub("\ufffd", text.translate(_REPLACED))


def event_row(number: int, time: float, account: int, event: Event) -> bytes:
    """Return the row of an event.

    :param time: seconds since the epoch.
    :param account: the account's number.
    """
    kind = KIND_OF.get(event.post_type, "other")
    members = _event_members(event.raw)
    sub_type = _string(members.sub_type)
    if kind == "message":
        name = _string(members.message_type)
    elif kind == "notice":
        name = _string(members.notice_type)
        name = sub_type if name == "notify" and sub_type else name
    elif kind == "request":
        name = _string(members.request_type)
    else:
        name = _string(members.meta_event_type) if kind == "meta" else event.post_type
    parts: list[list[str]] = []
    if members.message is not UNSET:
        parts = _parts(read_segments(to_bytes(members.message), _ROW_SEGMENTS))
    elif comment := _string(members.comment):
        parts = [["text", _short_text(comment, MAX_ROW_TEXT)]]
    else:
        if file := _string_member(members.file, "name"):
            parts.append(["file", clean(file, MAX_SENDER)])
        if target := _id(members.target_id):
            parts.append(["at", str(target)])
    return _encode_row(
        number,
        time,
        account=account,
        kind=kind,
        type=clean(name, _MAX_TYPE),
        group=_id(members.group_id),
        user=_id(members.user_id),
        sender=clean(_sender(members), MAX_SENDER),
        parts=parts,
        size=len(event.raw),
    )


def action_row(number: int, time: float, account: int, bot: str, action: str, params: bytes) -> bytes:
    """Return the row of an action.

    :param time: seconds since the epoch.
    :param account: the account's number.
    :param bot: the bot's name.
    :param params: one JSON object.
    """
    members = _param_members(params)
    if members.message is not UNSET and bytes(members.message)[:1] != b"n":
        escaped = members.auto_escape is not UNSET and _reads_true(members.auto_escape)
        parts = _parts(read_segments(to_bytes(members.message), _ROW_SEGMENTS, escaped))
    elif members.messages is not UNSET:
        parts = [["forward"]]
    else:
        summary = _summary(params)
        parts = [["text", clean(summary, MAX_ROW_TEXT)]] if summary else []
    return _encode_row(
        number,
        time,
        account=account,
        kind="action",
        bot=clean(bot, _MAX_ACTION),
        action=clean(action, _MAX_ACTION),
        group=_id(members.group_id),
        user=_id(members.user_id),
        parts=parts,
        size=len(params),
    )


def answer_row(number: int, milliseconds: float, response: bytes | None) -> bytes:
    """Return what completes the row of an action.

    :param number: the row's.
    :param response: one JSON object; None if none comes any more (status ``gone``).
    """
    answer: dict[str, Any] = {"n": number, "status": "gone", "retcode": None, "ms": round(milliseconds, 1)}
    answer["wording"] = ""
    if response is not None:
        head = read_response_head(response)
        status = head.status if head.status in ("ok", "failed", "async") else ""
        answer["status"] = status or {0: "ok", 1: "async"}.get(head.retcode, "failed")
        answer["retcode"] = head.retcode
        answer["wording"] = _short_text(head.reason, MAX_ROW_TEXT)
    return msgspec.json.encode(answer)


def place_of_params(params: bytes) -> tuple[int | None, int | None]:
    """Return the ``group_id`` and the ``user_id`` of an action; None where it has none."""
    members = _param_members(params)
    return _id(members.group_id), _id(members.user_id)


def searched_event_text(event: Event) -> str:
    """Return the texts of an event that a filter searches, in lower case."""
    members = _event_members(event.raw)
    found = [_sender(members), _string(members.comment), _string_member(members.file, "name")]
    if members.message is not UNSET:
        found += _texts(read_segments(to_bytes(members.message), _SEARCHED_SEGMENTS))
    return "\n".join(found)[:_SEARCHED_TEXT].lower()


def searched_action_text(action: str, params: bytes) -> str:
    """Return the texts of an action that a filter searches, in lower case: its name and its message."""
    members = _param_members(params)
    found = [action[:_MAX_ACTION]]
    if members.message is not UNSET:
        found += _texts(read_segments(to_bytes(members.message), _SEARCHED_SEGMENTS))
    return "\n".join(found)[:_SEARCHED_TEXT].lower()


def read_segments(message: bytes, most: int, auto_escape: bool = False) -> list[Segment]:
    """Return the first segments of a message, whatever is odd in it.

    It may be an array, one segment, a string with CQ codes, or a number. A long message costs no more than
    its beginning.

    :param message: one JSON value.
    :param most: segments.
    :param auto_escape: whether a string has no CQ codes.
    """
    try:
        if len(message) <= _SMALL_MESSAGE or message[:1] not in (b"[", b"{"):
            value = decode_value(message)
        elif message[:1] == b"[":
            value = _first_parts(message, most)
        else:
            value = _first_parts(b"[" + message, 1)
        if isinstance(value, str):
            return [text_segment(value)] if auto_escape else _read_cq(value)[:most]
        return as_segments(value[:most] if isinstance(value, list) else value)
    except (*DECODE_ERRORS, TypeError, AttributeError):
        return []


def _first_parts(message: bytes, most: int) -> list[Any]:
    """Return the first items of a JSON array, decoded; of one that is too long its type and its text."""
    text = message[:_MESSAGE_HEAD].decode("utf-8", "replace")
    found: list[Any] = []
    at = 1
    while len(found) < most:
        blank = _BLANKS.match(text, at)
        at = at if blank is None else blank.end()
        if at >= len(text) or text[at] == "]":
            break
        try:
            value, at = _decode_part(text, at)
        except DECODE_ERRORS:
            cut = _cut_segment(text, at)
            found += [] if cut is None else [cut]
            break
        found.append(value)
    return found


def _cut_segment(text: str, at: int) -> Segment | None:
    """Return what is known of a segment whose end is not there: its type, and the beginning of its text."""
    found = _SEGMENT_TYPE.search(text, at)
    kind = "" if found is None else found[1]
    start = _SEGMENT_TEXT.search(text, at) if kind == "text" else None
    if found is None and (start := _DATA_TEXT.match(text, at)) is not None:
        kind = "text"  # the type stands behind
    data = {} if start is None else {"text": _decoded_text(f'"{start[1]}"'.encode())}
    return {"type": kind, "data": data} if kind else None


def _read_cq(text: str) -> list[Segment]:
    """Return the segments at the beginning of a string with CQ codes."""
    head = text[:_SMALL_MESSAGE]
    cut_code = ""
    if len(text) > len(head):
        start = head.rfind("[CQ:")
        if start >= 0 and "]" not in head[start:]:
            kind = _CODE_TYPE.match(head, start)
            cut_code = "" if kind is None else kind[1]
            head = head[:start]
    found = MessageReader().read_cq(head, 0)
    return [*found, {"type": cut_code, "data": {}}] if cut_code else found


def _texts(segments: list[Segment]) -> list[str]:
    return [
        text
        for segment in segments
        if segment["type"] == "text" and (text := read_text((segment.get("data") or {}).get("text")))
    ]


def _parts(segments: list[Segment]) -> list[list[str]]:
    """Return the parts of a row: lists of a type and, of some types, a value."""
    parts: list[list[str]] = []
    left = MAX_ROW_TEXT
    for segment in segments:
        if len(parts) >= _MAX_PARTS:
            break
        kind, data = segment["type"], segment.get("data") or {}
        if kind == "text":
            text = _short_text(read_text(data.get("text")) or "", left) if left > 0 else ""
            if text:
                left -= len(text)
                parts.append(["text", text])
        elif kind == "at":
            parts.append(["at", clean(read_text(data.get("qq", data.get("user_id"))) or "", _MAX_VALUE)])
        elif kind == "face":
            parts.append(["face", clean(read_text(data.get("id")) or "", _MAX_VALUE)])
        elif kind == "file":
            name = read_text(data.get("name")) or read_text(data.get("file_name")) or ""
            parts.append(["file", _short_text(name, _MAX_VALUE)] if name else ["file"])
        else:
            parts.append(["forward" if kind == "node" else clean(kind, _MAX_SEGMENT_TYPE)])
    return parts


def _short_text(text: str, most: int) -> str:
    """Return the beginning of a text for a row, without secrets."""
    is_cut = len(text) > 8 * most
    return clean(redact_text(text[: 8 * most] if is_cut else text, is_cut), most)


def _summary(params: bytes) -> str:
    """Return the short parameters of an action that has no message, for a row."""
    if len(params) > _MAX_PARAMS:
        return ""
    try:
        decoded = decode_value(params)
    except DECODE_ERRORS:
        return ""
    found: list[str] = []
    for name, value in decoded.items() if isinstance(decoded, dict) else ():
        if name in ("group_id", "user_id", "self_id") or value is None or isinstance(value, (dict, list)):
            continue
        if is_secret_name(name):
            shown = HIDDEN_VALUE
        elif isinstance(value, bool):
            shown = "true" if value else "false"
        else:
            shown = str(value)[:MAX_FLAG] if name == "flag" else clean(redact_text(str(value)), MAX_ROW_TEXT)
        found.append(f"{name[:_MAX_SEGMENT_TYPE]}={shown}")
        if len(found) == 8:
            break
    return " ".join(found)


def _encode_row(
    number: int,
    time: float,
    *,
    account: int,
    kind: str,
    type: str = "",
    bot: str | None = None,
    action: str | None = None,
    group: int | None = None,
    user: int | None = None,
    sender: str = "",
    parts: list[list[str]],
    size: int,
) -> bytes:
    row = {
        "n": number,
        "t": round(time, 3),
        "account": account,
        "kind": kind,
        "type": type,
        "bot": bot,
        "action": action,
        "group": group,
        "user": user,
        "sender": sender,
        "parts": parts,
        "size": size,
    }
    encoded = msgspec.json.encode(row)
    while len(encoded) > MAX_ROW and parts:
        parts.pop()
        encoded = msgspec.json.encode(row)
    return encoded


def _event_members(raw: bytes) -> _EventMembers:
    try:
        return decode_leniently(_decode_event_members, raw)
    except DECODE_ERRORS:
        return _EventMembers()


def _param_members(params: bytes) -> _ParamMembers:
    try:
        return decode_leniently(_decode_param_members, params)
    except DECODE_ERRORS:
        return _ParamMembers()


def _id(value: Raw | UnsetType) -> int | None:
    return None if value is UNSET else read_id(bytes(value))


def _string(value: Raw | UnsetType) -> str:
    """Return the text of a short member; empty if it has none."""
    if value is UNSET or len(bytes(value)) > _MAX_SHORT:
        return ""
    return _decoded_text(to_bytes(value))


def _decoded_text(value: bytes) -> str:
    try:
        return read_text(decode_value(value)) or ""
    except DECODE_ERRORS:
        return ""


def _string_member(value: Raw | UnsetType, *names: str) -> str:
    """Return the first text that is not empty of some members of a short object; empty if it has none."""
    if value is UNSET or len(bytes(value)) > _MAX_SHORT or bytes(value)[:1] != b"{":
        return ""
    try:
        decoded = decode_value(to_bytes(value))
    except DECODE_ERRORS:
        return ""
    return next((text for name in names if (text := read_text(decoded.get(name)))), "")


def _sender(members: _EventMembers) -> str:
    """Return the name of who sent a message; empty where it is not said."""
    return _string_member(members.anonymous, "name") or _string_member(members.sender, "card", "nickname")


def _reads_true(value: Raw) -> bool:
    try:
        return len(bytes(value)) <= _MAX_SEGMENT_TYPE and bool(read_boolean(decode_value(bytes(value))))
    except DECODE_ERRORS:
        return False
