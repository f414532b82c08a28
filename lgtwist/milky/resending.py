"""Messages that were received, as they are sent again inside a forwarded one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from lgtwist.milky.composition import Composition
from lgtwist.milky.fields import list_at, number_at, object_at, objects_at, text_at
from lgtwist.milky.finding import REFUSALS, find_received
from lgtwist.milky.incoming import EXPIRING_TYPES, LONGEST_SHOWN_TYPE, has_expiring_urls, resource_url
from lgtwist.milky.keys import GREATEST_NUMBER, SMALLEST_NUMBER, MessageKey
from lgtwist.milky.messages import forwarded_sender
from lgtwist.milky.simple_segments import face_segment, market_face_segment, mention_segment
from lgtwist.onebot.bounds import MAX_MESSAGE_DEPTH
from lgtwist.onebot.errors import AccountFailed

#: Stands for the sender of a forwarded message, where nobody tells the number: QQ's own for the anonymous.
UNKNOWN_SENDER = 80_000_000
#: Lines that a closed forward shows.
PREVIEW_LINES = 4


def new_forwarded(user_id: int, name: str) -> dict[str, Any]:
    """Return an ``OutgoingForwardedMessage`` without segments; a number that Milky refuses is a stand-in."""
    if not SMALLEST_NUMBER <= user_id <= GREATEST_NUMBER:
        user_id = UNKNOWN_SENDER
    return {"user_id": user_id, "sender_name": name, "segments": []}


def forward_of_messages(
    messages: list[dict[str, Any]], *, title: str, preview: Sequence[str], summary: str, prompt: str
) -> dict[str, Any]:
    """Return a ``forward`` segment; texts that are empty are left out."""
    data: dict[str, Any] = {"messages": messages}
    if title:
        data["title"] = title
    lines = [line for line in preview if line][:PREVIEW_LINES]
    if lines:
        data["preview"] = lines
    if summary:
        data["summary"] = summary
    if prompt:
        data["prompt"] = prompt
    return {"type": "forward", "data": data}


async def message_to_resend(work: Composition, key: MessageKey) -> dict[str, Any]:
    """Return a message: the one that is remembered, if it has no URLs, which expire.

    :raises OneBotError: if it is not found.
    """

    async def fetch(key: MessageKey) -> dict[str, Any]:
        params = {"message_scene": key.scene, "peer_id": key.peer_id, "message_seq": key.seq}
        message = object_at(await work.call("get_message", params), "message")
        if not message:
            raise AccountFailed("the implementation's get_message has answered without a message")
        seq = number_at(message, "message_seq")
        if seq and seq != key.seq:
            raise AccountFailed(f"the implementation's get_message has answered with message {seq}")
        return message

    return await find_received(
        key, work.context.recent, fetch, is_usable=lambda message: not has_expiring_urls(message)
    )


async def forwarded_messages(work: Composition, forward_id: str, depth: int) -> list[dict[str, Any]]:
    """Return the messages of a forward, to be sent again; those with nothing to send are left out."""
    answer = await work.call("get_forwarded_messages", {"forward_id": forward_id})
    received = objects_at(answer, "messages")
    work.count_nodes(len(received))
    messages = []
    for message in received:
        user_id = forwarded_sender(message)
        forwarded = new_forwarded(user_id, text_at(message, "sender_name") or str(user_id or UNKNOWN_SENDER))
        time = number_at(message, "time")
        if time:
            forwarded["time"] = time
        forwarded["segments"] += await resend(work, list_at(message, "segments"), depth)
        if forwarded["segments"]:
            messages.append(forwarded)
    return messages


async def resend(work: Composition, segments: list[Any], depth: int) -> list[dict[str, Any]]:
    """Return the segments of a received message as they are sent again inside a forwarded one.

    What cannot be sent is a text that says what it was; a reply is left out, for its sequence number
    counts another conversation.

    :param depth: how many forwarded messages they are inside of.
    """
    work.reader.count_segments(len(segments))
    made = []
    for segment in segments:
        kind = segment.get("type") if isinstance(segment, dict) else None
        if not isinstance(kind, str) or kind == "reply":
            continue
        data = object_at(segment, "data")
        one: dict[str, Any] | None
        if kind in EXPIRING_TYPES:
            one = await _resend_media(work, kind, data)
        elif kind == "forward":
            one = await _resend_forward(work, data, depth)
        else:
            one = _resend_simple(work, kind, data)
        if one is not None:
            made.append(one)
    return made


def _resend_simple(work: Composition, kind: str, data: dict[str, Any]) -> dict[str, Any] | None:
    """Return a segment that needs no call; None if there is nothing in it."""
    if kind == "text":
        text = text_at(data, "text")
    elif kind == "mention_all":
        return {"type": "mention_all", "data": {}}
    elif kind == "mention":
        user_id = number_at(data, "user_id")
        if SMALLEST_NUMBER <= user_id <= GREATEST_NUMBER:
            return mention_segment(work, {"qq": user_id, "name": data.get("name")}, "")
        text = f"@{text_at(data, 'name')}"
    elif kind == "face" and text_at(data, "face_id"):
        return face_segment(work, {"id": data["face_id"], "is_large": data.get("is_large")}, "")
    elif kind == "market_face":
        return market_face_segment(
            work, data if text_at(data, "url").startswith("http") else {**data, "url": ""}, ""
        )
    elif kind == "light_app" and text_at(data, "json_payload"):
        return {"type": "light_app", "data": {"json_payload": text_at(data, "json_payload")}}
    elif kind == "markdown":
        text = text_at(data, "content")
    elif kind == "file":
        text = f"[文件] {text_at(data, 'file_name')}"
    else:
        text = f"[{kind[:LONGEST_SHOWN_TYPE]}]"
    return {"type": "text", "data": {"text": text}} if text else None


async def _resend_media(work: Composition, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return an image, a record or a video by its URL; a text where nobody tells it."""
    uri = resource_url(data)
    if not uri.startswith(("http://", "https://")):
        uri = ""
        resource_id = text_at(data, "resource_id")
        if resource_id:
            with suppress(*REFUSALS):
                uri = await work.resource_url(resource_id)
    if not uri:
        return {"type": "text", "data": {"text": text_at(data, "summary") or f"[{kind}]"}}
    media = {"uri": uri}
    if kind == "image":
        if data.get("sub_type") == "sticker":
            media["sub_type"] = "sticker"
        summary = text_at(data, "summary")
        if summary:
            media["summary"] = summary
    return {"type": kind, "data": media}


async def _resend_forward(work: Composition, data: dict[str, Any], depth: int) -> dict[str, Any]:
    """Return a forward inside a received message; what its closed form shows where it cannot be read."""
    title = text_at(data, "title")
    forward_id = text_at(data, "forward_id")
    if forward_id and depth < MAX_MESSAGE_DEPTH:
        try:
            messages = await forwarded_messages(work, forward_id, depth + 1)
        except REFUSALS:
            messages = []
        if messages:
            return forward_of_messages(
                messages,
                title=title,
                preview=[line for line in list_at(data, "preview") if isinstance(line, str)],
                summary=text_at(data, "summary"),
                prompt="",
            )
    return {"type": "text", "data": {"text": title or "[聊天记录]"}}
