"""Messages of bots as segments of Milky, and what Milky sends by calls of its own.

Each segment that is made has its ``type`` first, for Lagrange.Milky refuses others, and no value is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import Factory, frozen

from lgtwist.milky.composition import Composition
from lgtwist.milky.fields import list_at, number_at, object_at, text_at
from lgtwist.milky.incoming import LONGEST_SHOWN_TYPE
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import UNSEQUENCED, Conversation
from lgtwist.milky.media import OutgoingFile, image_segment, outgoing_file, record_segment, video_segment
from lgtwist.milky.resending import (
    PREVIEW_LINES,
    forward_of_messages,
    forwarded_messages,
    message_to_resend,
    new_forwarded,
    resend,
)
from lgtwist.milky.simple_segments import SIMPLE_SEGMENTS, poke_target, required_text, text_of_segment
from lgtwist.onebot.bounds import MAX_MESSAGE_DEPTH
from lgtwist.onebot.errors import BadRequest, OverBound, UnknownAction
from lgtwist.onebot.message import Segment
from lgtwist.onebot.values import is_given, read_boolean, read_integer, read_text

#: Lines of which the first are taken for a closed forward: empty ones are left out.
_MOST_LINES = 100


@frozen
class Outgoing:
    """A message as Milky sends it; at least one of the three is not empty.

    :ivar segments: of ``send_group_message`` or ``send_private_message``; each has its ``type`` first.
    :ivar pokes: whom to poke, each by ``send_group_nudge`` or ``send_friend_nudge``; in a private
        conversation the peer, or the account itself (``is_self``).
    :ivar files: to upload.
    """

    segments: list[dict[str, Any]] = Factory(list)
    pokes: list[int] = Factory(list)
    files: list[OutgoingFile] = Factory(list)


async def to_milky(
    message: list[Segment],
    conversation: Conversation,
    context: ActionContext,
    path: str = "params.message",
) -> Outgoing:
    """Return the message of a bot as Milky sends it; nodes are one forwarded message.

    A reply to a message of another conversation, or to one that is not known, is left out, as other
    implementations do.

    :param message: from :func:`lgtwist.onebot.message.read_message`.
    :param conversation: where it is sent.
    :param path: the parameter's name, for errors.
    :raises BadRequest: if Milky or the implementation cannot send a segment, a value is missing or wrong,
        there is nothing to send, or it is over a bound.
    :raises OneBotError: if a call to the implementation, for what it shall send again, fails.
    """
    if any(segment["type"] == "node" for segment in message):
        return Outgoing(segments=[await make_forward(message, conversation, context, path=path)])
    outgoing = Outgoing()
    await _MessageWriter(conversation, context, path).write(message, path, outgoing, 0)
    if not (outgoing.segments or outgoing.pokes or outgoing.files):
        raise BadRequest(f"{path}: there is nothing in it that can be sent")
    return outgoing


async def make_forward(
    nodes: Any,
    conversation: Conversation,
    context: ActionContext,
    *,
    title: str = "",
    preview: Sequence[str] = (),
    summary: str = "",
    prompt: str = "",
    path: str = "params.messages",
) -> dict[str, Any]:
    """Return the ``forward`` segment of Milky for the nodes of a bot.

    :param nodes: the decoded JSON value, or what :func:`read_message` made of it: at least one node.
    :param title: like the others what the closed forward shows; left out where it is empty.
    :param preview: lines, of which Milky takes the first four.
    :raises OneBotError: see :func:`to_milky`.
    """
    writer = _MessageWriter(conversation, context, path)
    messages = await writer.write_nodes(writer.reader.read(nodes, path), path, 1)
    return forward_of_messages(messages, title=title, preview=preview, summary=summary, prompt=prompt)


def preview_lines(lines: Any) -> list[str]:
    """Return the lines that a closed forward shows.

    :param lines: decoded: the ``news`` of go-cqhttp and NapCat, ``[{"text": ...}]``, or strings.
    """
    if not isinstance(lines, list):
        return []
    texts = [
        text_at(line, "text") if isinstance(line, dict) else read_text(line) for line in lines[:_MOST_LINES]
    ]
    return [text for text in texts if text][:PREVIEW_LINES]


class _MessageWriter(Composition):
    """Makes the segments of one message, and of the nodes inside it."""

    __slots__ = ()

    async def write(self, message: list[Segment], path: str, outgoing: Outgoing, depth: int) -> None:
        """Append a message to what is sent.

        :param path: its name, for errors.
        :param depth: how many forwarded messages it is inside of.
        """
        segments = outgoing.segments
        for number, segment in enumerate(message):
            kind, data = segment["type"], segment["data"]
            if kind == "text":
                text = data.get("text")
                if type(text) is not str:
                    text = text_of_segment(data, f"{path}[{number}]")
                if text:
                    segments.append({"type": "text", "data": {"text": text}})
                continue
            where = f"{path}[{number}]"
            simple = SIMPLE_SEGMENTS.get(kind)
            if simple is not None:
                made = simple(self, data, where)
            elif kind == "image":
                made = await image_segment(self, data, where)
            elif kind == "record":
                made = await record_segment(self, data, where)
            elif kind == "video":
                made = await video_segment(self, data, where)
            elif kind == "forward":
                made = await self._forward(data, where, depth)
            elif kind in ("poke", "file") and depth:
                raise BadRequest(f"{where}: a {kind} segment cannot stand inside a forwarded message")
            elif kind == "poke":
                outgoing.pokes.append(poke_target(self, data, where))
                continue
            elif kind == "file":
                outgoing.files.append(await outgoing_file(self, data, where))
                continue
            elif kind == "anonymous" and read_boolean(data.get("ignore")):
                continue  # the bot says that it may be left out
            else:
                raise BadRequest(f"{where}: Milky cannot send a {kind[:LONGEST_SHOWN_TYPE]} segment")
            if made is not None:
                segments.append(made)

    # -- forwarded messages

    async def write_nodes(self, nodes: list[Segment], path: str, depth: int) -> list[dict[str, Any]]:
        """Return nodes as ``OutgoingForwardedMessage``.

        :param depth: how many forwarded messages they are inside of, with their own.
        """
        if not nodes:
            raise BadRequest(f"{path}: there is no node")
        if depth > MAX_MESSAGE_DEPTH:
            raise OverBound(f"{path}: nodes nested deeper than {MAX_MESSAGE_DEPTH} levels")
        self.count_nodes(len(nodes))
        messages = []
        for number, node in enumerate(nodes):
            where = f"{path}[{number}]"
            if node["type"] != "node":
                raise BadRequest(f"{where}: expected a node; nodes cannot stand beside other segments")
            data = node["data"]
            if is_given(data.get("content")) or not is_given(data.get("id")):
                messages.append(await self._custom_node(data, where, depth))
            else:
                messages.append(await self._message_node(data, where, depth))
        return messages

    async def _custom_node(self, data: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        """Return a node whose content the bot gives: segments, or nodes inside it."""
        sender = next((data[key] for key in ("user_id", "uin") if is_given(data.get(key))), None)
        user_id = self.context.self_id if sender is None else read_integer(sender)
        if user_id is None:
            raise BadRequest(f"{path}.data.user_id: expected an integer")
        name = text_at(data, "nickname") or text_at(data, "name") or str(user_id)
        forwarded = new_forwarded(user_id, name)
        if is_given(data.get("time")):
            time = read_integer(data["time"])
            if time is None or time < 0:
                raise BadRequest(f"{path}.data.time: expected seconds since the epoch")
            forwarded["time"] = time
        where = f"{path}.data.content"
        if data.get("content") is None:
            raise BadRequest(f"{where} is missing")
        content = self.reader.read(data["content"], where)
        outgoing = Outgoing(segments=forwarded["segments"])
        if any(segment["type"] == "node" for segment in content):
            messages = await self.write_nodes(content, where, depth + 1)
            outgoing.segments.append(_closed_forward(messages, data))
        else:
            await self.write(content, where, outgoing, depth)
        if not outgoing.segments:
            raise BadRequest(f"{where}: there is nothing in it that can be sent")
        return forwarded

    async def _message_node(self, data: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        """Return a node for a message that its ``id`` names."""
        where = f"{path}.data.id"
        message_id = read_integer(data["id"])
        key = None if message_id is None else self.context.ids.key_of(message_id)
        if key is None:
            raise BadRequest(f"{where}: there is no such message")
        if key.scene == UNSEQUENCED:
            raise BadRequest(
                f"{where}: the implementation did not say which message of the conversation this is, so it "
                "cannot be forwarded"
            )
        message = await message_to_resend(self, key)
        sender_id = number_at(message, "sender_id")
        name = text_at(data, "nickname") or text_at(data, "name") or _sender_name(message, sender_id)
        forwarded = new_forwarded(sender_id, name)
        time = number_at(message, "time")
        if time:
            forwarded["time"] = time
        forwarded["segments"] += await resend(self, list_at(message, "segments"), depth)
        if not forwarded["segments"]:
            raise BadRequest(f"{where}: there is nothing in this message that can be sent")
        return forwarded

    async def _forward(self, data: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        """Return a forward that is sent again: the one of an ``id``, or nodes as its ``content``."""
        if not is_given(data.get("id")) and is_given(data.get("content")):
            where = f"{path}.data.content"
            nodes = self.reader.read(data["content"], where)
            return _closed_forward(await self.write_nodes(nodes, where, depth + 1), data)
        forward_id = required_text(data, "id", path)
        if depth >= MAX_MESSAGE_DEPTH:
            raise OverBound(f"{path}: forwarded messages nested deeper than {MAX_MESSAGE_DEPTH} levels")
        try:
            messages = await forwarded_messages(self, forward_id, depth + 1)
        except UnknownAction:
            raise BadRequest(
                f"{path}: the implementation does not offer get_forwarded_messages, without which a "
                "forwarded message cannot be sent by its id"
            ) from None
        if not messages:
            raise BadRequest(f"{path}.data.id: the implementation knows no messages of this forward")
        return _closed_forward(messages, data)


def _sender_name(message: dict[str, Any], sender_id: int) -> str:
    """Return the name of who sent a message; the number where it does not say it."""
    member = object_at(message, "group_member")
    name = text_at(member, "card") or text_at(member, "nickname")
    friend = object_at(message, "friend")
    if not name and number_at(friend, "user_id") == sender_id:
        name = text_at(friend, "nickname")
    return name or str(sender_id)


def _closed_forward(messages: list[dict[str, Any]], data: dict[str, Any]) -> dict[str, Any]:
    """Return a ``forward`` segment; closed it shows ``source``, ``news``, ``summary`` and ``prompt``."""
    return forward_of_messages(
        messages,
        title=text_at(data, "source"),
        preview=preview_lines(data.get("news")),
        summary=text_at(data, "summary"),
        prompt=text_at(data, "prompt"),
    )
