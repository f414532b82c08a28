"""Messages of bots as segments of Milky, and what Milky sends by calls of its own.

Values may be strings, as CQ codes have them, or of the type that they stand for. Each segment that is made
has its ``type`` first, for Lagrange.Milky refuses others, and no value is null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from attrs import Factory, frozen

from lgtwist.milky.errors import NOT_FOUND, CallFailed
from lgtwist.milky.fields import list_at, number_at, object_at, objects_at, text_at
from lgtwist.milky.incoming import resource_url
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import FRIEND, GROUP, TEMP, UNSEQUENCED, Conversation, MessageKey
from lgtwist.milky.messages import forwarded_sender
from lgtwist.milky.uris import as_uri, name_in_uri
from lgtwist.onebot.bounds import MAX_MESSAGE_DEPTH
from lgtwist.onebot.errors import AccountFailed, BadRequest, OverBound, UnknownAction
from lgtwist.onebot.message import MessageReader, Segment
from lgtwist.onebot.values import is_given, read_boolean, read_integer, read_text

#: The numbers that Milky takes for a person.
SMALLEST_NUMBER, GREATEST_NUMBER = 10_001, 4_294_967_295
#: Stands for the sender of a forwarded message, where nobody tells the number: QQ's own for the anonymous.
UNKNOWN_SENDER = 80_000_000
#: Nodes of one message, with those inside others.
MAX_NODES = 1_000
#: Calls to the implementation that one message may need before it is sent.
MAX_LOOKUPS = 200
#: Of these, calls for new URLs where one is given that may be out of date: each takes its time.
_MOST_REFRESHED = 20
#: Characters of what may be a ``resource_id``, and of a type that an error shows.
_LONGEST_RESOURCE_ID, _LONGEST_SHOWN = 4_096, 64
#: Lines that a closed forward shows.
_PREVIEW_LINES = 4
#: Lines of which these are taken: empty ones are left out.
_MOST_LINES = 100
#: What is shown in place of a face that the implementation cannot send.
_FACE_TEXT = "[表情]"

#: What may be said otherwise when a call fails; other errors mean that nothing can be sent at all.
_REFUSALS = (CallFailed, UnknownAction, AccountFailed)


@frozen
class OutgoingFile:
    """A file that a message sends: a call of ``upload_group_file`` or ``upload_private_file``.

    :ivar uri: a ``file_uri`` of Milky.
    :ivar name: its ``file_name``, not empty.
    """

    uri: str
    name: str


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
    return _forward_of_messages(messages, title=title, preview=preview, summary=summary, prompt=prompt)


def _forward_of_messages(
    messages: list[dict[str, Any]], *, title: str, preview: Sequence[str], summary: str, prompt: str
) -> dict[str, Any]:
    """Return a ``forward`` segment; texts that are empty are left out."""
    data: dict[str, Any] = {"messages": messages}
    if title:
        data["title"] = title
    lines = [line for line in preview if line][:_PREVIEW_LINES]
    if lines:
        data["preview"] = lines
    if summary:
        data["summary"] = summary
    if prompt:
        data["prompt"] = prompt
    return {"type": "forward", "data": data}


def preview_lines(lines: Any) -> list[str]:
    """Return the lines that a closed forward shows.

    :param lines: decoded: the ``news`` of go-cqhttp and NapCat, ``[{"text": ...}]``, or strings.
    """
    if not isinstance(lines, list):
        return []
    texts = [
        text_at(line, "text") if isinstance(line, dict) else read_text(line) for line in lines[:_MOST_LINES]
    ]
    return [text for text in texts if text][:_PREVIEW_LINES]


def refuse_base64(uri: str, what: str, path: str, context: ActionContext) -> None:
    """Refuse content inside a call that the implementation would spoil.

    :param what: the kind of file, for the error.
    :param path: the value's name, for the error.
    :raises BadRequest: if it is such a URI, and the implementation is Lagrange.Milky, which appends zeros.
    """
    if context.implementation.is_lagrange and uri.startswith("base64:"):
        raise BadRequest(
            f"{path}: this implementation appends zeros to a {what} that is sent as base64; "
            "send a URL or a path instead"
        )


def _is_llbot(context: ActionContext) -> bool:
    return context.implementation.name.lower().startswith(("llbot", "lucky"))


def _required_text(data: dict[str, Any], key: str, path: str) -> str:
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


class _MessageWriter:
    """Makes the segments of one message; the bounds count for all that is inside it.

    :param path: what the message is called in errors.
    """

    __slots__ = ("_context", "_conversation", "_lookups", "_nodes", "_path", "reader")

    def __init__(self, conversation: Conversation, context: ActionContext, path: str) -> None:
        self._conversation = conversation
        self._context = context
        self._path = path
        self._nodes = self._lookups = 0
        #: Reads contents of nodes.
        self.reader = MessageReader(path)

    async def _call(self, api: str, params: dict[str, Any]) -> dict[str, Any]:
        """Ask the implementation for something to send again; an answer that is no object is empty."""
        self._lookups += 1
        if self._lookups > MAX_LOOKUPS:
            raise OverBound(
                f"{self._path} has more than {MAX_LOOKUPS} messages, files and forwards to look up"
            )
        answer = await self._context.api.call(api, params)
        return answer if isinstance(answer, dict) else {}

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
                    text = self._text(data, f"{path}[{number}]")
                if text:
                    segments.append({"type": "text", "data": {"text": text}})
                continue
            where = f"{path}[{number}]"
            simple = _SIMPLE.get(kind)
            if simple is not None:
                made = simple(self, data, where)
            elif kind == "image":
                made = await self._image(data, where)
            elif kind == "record":
                made = await self._record(data, where)
            elif kind == "video":
                made = await self._video(data, where)
            elif kind == "mface":
                made = self._market_face(data, where)
            elif kind == "forward":
                made = await self._forward(data, where, depth)
            elif kind in ("poke", "file") and depth:
                raise BadRequest(f"{where}: a {kind} segment cannot stand inside a forwarded message")
            elif kind == "poke":
                outgoing.pokes.append(self._poke(data, where))
                continue
            elif kind == "file":
                outgoing.files.append(await self._file(data, where))
                continue
            elif kind == "anonymous" and read_boolean(data.get("ignore")):
                continue  # the bot says that it may be left out
            else:
                raise BadRequest(f"{where}: Milky cannot send a {kind[:_LONGEST_SHOWN]} segment")
            if made is not None:
                segments.append(made)

    # -- what needs no call

    def _text(self, data: dict[str, Any], path: str) -> str:
        text = data.get("text")
        if text is None:
            raise BadRequest(f"{path}.data.text is missing")
        text = read_text(text)
        if text is None:
            raise BadRequest(f"{path}.data.text: expected a string")
        return text

    def _mention(self, data: dict[str, Any], path: str) -> dict[str, Any]:
        qq = data.get("qq")
        is_all = isinstance(qq, str) and qq.strip().lower() == "all"
        user_id = 0 if is_all else _required_person(data, "qq", path)
        if self._conversation.scene != GROUP and _is_llbot(self._context):  # it would leave the mention out
            name = "全体成员" if is_all else text_at(data, "name") or str(user_id)
            return {"type": "text", "data": {"text": f"@{name} "}}
        if is_all:
            return {"type": "mention_all", "data": {}}
        return {"type": "mention", "data": {"user_id": user_id}}

    def _face(self, data: dict[str, Any], path: str) -> dict[str, Any]:
        face_id = _required_text(data, "id", path)
        if self._context.implementation.is_lagrange:  # it refuses a whole message with a face in it
            return {"type": "text", "data": {"text": _FACE_TEXT}}
        face: dict[str, Any] = {"face_id": face_id}
        if read_boolean(data.get("is_large")):
            face["is_large"] = True
        return {"type": "face", "data": face}

    def _reply(self, data: dict[str, Any], path: str) -> dict[str, Any] | None:
        """Return a reply; None if the message is not known, or in another conversation."""
        if not is_given(data.get("id")):
            raise BadRequest(f"{path}.data.id is missing")
        message_id = read_integer(data["id"])
        if message_id is None:
            raise BadRequest(f"{path}.data.id: expected a message_id")
        key = self._context.ids.key_of(message_id)
        conversation = self._conversation
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

    def _light_app(self, data: dict[str, Any], path: str) -> dict[str, Any]:
        payload = data.get("data")
        if isinstance(payload, (dict, list)) and payload:
            payload = msgspec.json.encode(payload).decode()
        else:
            payload = _required_text(data, "data", path)
        return {"type": "light_app", "data": {"json_payload": payload}}

    def _market_face(self, data: dict[str, Any], path: str) -> dict[str, Any]:
        """Return the picture of a market face where its URL is given, else a text."""
        summary = text_at(data, "summary")
        uri = as_uri(text_at(data, "url"), f"{path}.data.url")
        if uri is None:
            return {"type": "text", "data": {"text": summary or _FACE_TEXT}}
        image = {"uri": uri, "sub_type": "sticker"}
        if summary:
            image["summary"] = summary
        return {"type": "image", "data": image}

    def _poke(self, data: dict[str, Any], path: str) -> int:
        """Return whom to poke: in a private conversation the peer, or the account itself."""
        key = next((one for one in ("qq", "user_id") if is_given(data.get(one))), None)
        if self._conversation.scene == GROUP:
            return _required_person(data, key or "qq", path)
        if key is not None and read_integer(data[key]) == self._context.self_id:
            return self._context.self_id
        return self._conversation.peer_id

    # -- files

    async def _uri(self, data: dict[str, Any], path: str) -> str:
        """Return where an image, a record or a video is.

        ``file``, ``url`` or ``path`` says it, the first of them that is a URI or an absolute path. A ``file``
        may also be a ``resource_id``, for which the implementation has a new URL; the ``url`` beside it may
        be out of date, and is taken if it has none.
        """
        name = ""
        given = ""
        for key in ("file", "url", "path"):
            value = data.get(key)
            if value is None or value == "":
                continue
            text = read_text(value)
            if text is None:
                raise BadRequest(f"{path}.data.{key}: expected a string")
            uri = as_uri(text, f"{path}.data.{key}")
            if uri is not None:
                given = uri
                break
            name = name or text
        if not name:
            if given:
                return given
            raise BadRequest(f"{path}.data.file is missing")
        if given and (_is_file_name(name) or self._lookups >= _MOST_REFRESHED):
            return given
        where = f"{path}.data.file"
        if len(name) > _LONGEST_RESOURCE_ID:
            if given:
                return given
            raise BadRequest(f"{where}: expected a URL, base64://, an absolute path or the file of a message")
        try:
            return await self._resource(name)
        except _REFUSALS as error:
            if given:
                return given
            raise BadRequest(
                f"{where}: it is no URL, no base64:// and no absolute path, and the implementation knows no "
                f"such file: {error.sentence}"
            ) from None

    async def _resource(self, resource_id: str) -> str:
        """Return a new URL for a resource of an incoming message.

        :raises AccountFailed: if the answer has none, as that of LLBot for kinds that it does not know.
        """
        answer = await self._call("get_resource_temp_url", {"resource_id": resource_id})
        url = text_at(answer, "url")
        if not url.startswith(("http://", "https://")):
            raise AccountFailed("the implementation's get_resource_temp_url has answered without a URL")
        return url

    async def _image(self, data: dict[str, Any], path: str) -> dict[str, Any]:
        image = {"uri": await self._uri(data, path)}
        sub_type = data.get("subType", data.get("sub_type"))
        if sub_type == "sticker" or (read_integer(sub_type) or 0) > 0:
            image["sub_type"] = "sticker"
        summary = text_at(data, "summary")
        if summary:
            image["summary"] = summary
        return {"type": "image", "data": image}

    async def _record(self, data: dict[str, Any], path: str) -> dict[str, Any]:
        uri = await self._uri(data, path)
        refuse_base64(uri, "record", f"{path}.data.file", self._context)
        return {"type": "record", "data": {"uri": uri}}

    async def _video(self, data: dict[str, Any], path: str) -> dict[str, Any]:
        uri = await self._uri(data, path)
        video = {"uri": uri}
        for key in ("cover", "thumb"):
            text = text_at(data, key)
            thumb = as_uri(text, f"{path}.data.{key}") if text else None
            if thumb is not None:
                video["thumb_uri"] = thumb
                break
        return {"type": "video", "data": video}

    async def _file(self, data: dict[str, Any], path: str) -> OutgoingFile:
        """Return a file to upload; one of a message is found again by its ``file_id``."""
        uri = None
        for key in ("file", "url", "path"):
            text = text_at(data, key)
            uri = as_uri(text, f"{path}.data.{key}") if text else None
            if uri is not None:
                break
        file_id = text_at(data, "file_id")
        bare = text_at(data, "file")
        if uri is None:
            if not file_id:
                if not bare:
                    raise BadRequest(f"{path}.data.file is missing")
                raise BadRequest(f"{path}.data.file: expected a URL, base64:// or an absolute path")
            uri = await self._file_url(file_id, path)
        refuse_base64(uri, "file", f"{path}.data.file", self._context)
        name = text_at(data, "name") or text_at(data, "file_name")
        if not name:
            name = bare if _is_file_name(bare) and as_uri(bare, path) is None else name_in_uri(uri)
        return OutgoingFile(uri, name)

    async def _file_url(self, file_id: str, path: str) -> str:
        """Return the URL of a file of the account, or of the group that it is sent to.

        :raises BadRequest: if nothing is known of it, or the implementation tells no URL.
        """
        where = f"{path}.data.file_id"
        private = self._context.recent.private_files.get(file_id)
        if private is None and self._conversation.scene != GROUP:
            raise BadRequest(f"{where}: nothing is known of this file; send a URL or a path")
        try:
            if private is not None:
                answer = await self._call(
                    "get_private_file_download_url",
                    {"user_id": private.user_id, "file_id": file_id, "file_hash": private.file_hash},
                )
            else:
                answer = await self._call(
                    "get_group_file_download_url",
                    {"group_id": self._conversation.peer_id, "file_id": file_id},
                )
        except _REFUSALS as error:
            raise BadRequest(f"{where}: {error.sentence}") from None
        uri = as_uri(text_at(answer, "download_url"), where)
        if uri is None:
            raise BadRequest(f"{where}: the implementation has no URL of this file")
        return uri

    # -- forwarded messages

    async def write_nodes(self, nodes: list[Segment], path: str, depth: int) -> list[dict[str, Any]]:
        """Return nodes as ``OutgoingForwardedMessage``.

        :param depth: how many forwarded messages they are inside of, with their own.
        """
        if not nodes:
            raise BadRequest(f"{path}: there is no node")
        if depth > MAX_MESSAGE_DEPTH:
            raise OverBound(f"{path}: nodes nested deeper than {MAX_MESSAGE_DEPTH} levels")
        self._count_nodes(len(nodes))
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

    def _count_nodes(self, number: int) -> None:
        self._nodes += number
        if self._nodes > MAX_NODES:
            raise OverBound(f"{self._path} has more than {MAX_NODES} nodes")

    async def _custom_node(self, data: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        """Return a node whose content the bot gives: segments, or nodes inside it."""
        sender = next((data[key] for key in ("user_id", "uin") if is_given(data.get(key))), None)
        user_id = self._context.self_id if sender is None else read_integer(sender)
        if user_id is None:
            raise BadRequest(f"{path}.data.user_id: expected an integer")
        name = text_at(data, "nickname") or text_at(data, "name") or str(user_id)
        forwarded = _forwarded(user_id, name)
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
        key = None if message_id is None else self._context.ids.key_of(message_id)
        if key is None:
            raise BadRequest(f"{where}: there is no such message")
        if key.scene == UNSEQUENCED:
            raise BadRequest(
                f"{where}: the implementation did not say which message of the conversation this is, so it "
                "cannot be forwarded"
            )
        message = await self._message(key)
        sender_id = number_at(message, "sender_id")
        name = text_at(data, "nickname") or text_at(data, "name") or _sender_name(message, sender_id)
        forwarded = _forwarded(sender_id, name)
        time = number_at(message, "time")
        if time:
            forwarded["time"] = time
        forwarded["segments"] += await self._resend(list_at(message, "segments"), depth)
        if not forwarded["segments"]:
            raise BadRequest(f"{where}: there is nothing in this message that can be sent")
        return forwarded

    async def _message(self, key: MessageKey) -> dict[str, Any]:
        """Return a message: the one that is remembered, if it has no URLs, which expire."""
        remembered = self._context.recent.messages.get(key)
        if remembered is not None and not any(
            segment.get("type") in _EXPIRING for segment in objects_at(remembered, "segments")
        ):
            return remembered
        try:
            return await self._get_message(key)
        except CallFailed as error:
            other = _OTHER_SCENE.get(key.scene)
            if error.milky_retcode == NOT_FOUND and other is not None:  # the scene may have changed
                with suppress(*_REFUSALS):
                    return await self._get_message(key._replace(scene=other))
            if remembered is None:
                raise
        except _REFUSALS:
            if remembered is None:
                raise
        return remembered

    async def _get_message(self, key: MessageKey) -> dict[str, Any]:
        params = {"message_scene": key.scene, "peer_id": key.peer_id, "message_seq": key.seq}
        message = object_at(await self._call("get_message", params), "message")
        if not message:
            raise AccountFailed("the implementation's get_message has answered without a message")
        return message

    async def _forward(self, data: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        """Return a forward that is sent again: the one of an ``id``, or nodes as its ``content``."""
        if not is_given(data.get("id")) and is_given(data.get("content")):
            where = f"{path}.data.content"
            nodes = self.reader.read(data["content"], where)
            return _closed_forward(await self.write_nodes(nodes, where, depth + 1), data)
        forward_id = _required_text(data, "id", path)
        if depth >= MAX_MESSAGE_DEPTH:
            raise OverBound(f"{path}: forwarded messages nested deeper than {MAX_MESSAGE_DEPTH} levels")
        try:
            messages = await self._forwarded_messages(forward_id, depth + 1)
        except UnknownAction:
            raise BadRequest(
                f"{path}: the implementation does not offer get_forwarded_messages, without which a "
                "forwarded message cannot be sent by its id"
            ) from None
        if not messages:
            raise BadRequest(f"{path}.data.id: the implementation knows no messages of this forward")
        return _closed_forward(messages, data)

    async def _forwarded_messages(self, forward_id: str, depth: int) -> list[dict[str, Any]]:
        """Return the messages of a forward, to be sent again; those with nothing to send are left out."""
        answer = await self._call("get_forwarded_messages", {"forward_id": forward_id})
        received = objects_at(answer, "messages")
        self._count_nodes(len(received))
        messages = []
        for message in received:
            user_id = forwarded_sender(message)
            forwarded = _forwarded(user_id, text_at(message, "sender_name") or str(user_id or UNKNOWN_SENDER))
            time = number_at(message, "time")
            if time:
                forwarded["time"] = time
            forwarded["segments"] += await self._resend(list_at(message, "segments"), depth)
            if forwarded["segments"]:
                messages.append(forwarded)
        return messages

    async def _resend(self, segments: list[Any], depth: int) -> list[dict[str, Any]]:
        """Return the segments of a received message as they are sent again inside a forwarded one.

        What cannot be sent is a text that says what it was; a reply is left out, for its sequence number
        counts another conversation.

        :param depth: how many forwarded messages they are inside of.
        """
        self.reader.count_segments(len(segments))
        made = []
        for segment in segments:
            kind = segment.get("type") if isinstance(segment, dict) else None
            if not isinstance(kind, str) or kind == "reply":
                continue
            data = object_at(segment, "data")
            one: dict[str, Any] | None
            if kind in _EXPIRING:
                one = await self._resend_media(kind, data)
            elif kind == "forward":
                one = await self._resend_forward(data, depth)
            else:
                one = self._resend_simple(kind, data)
            if one is not None:
                made.append(one)
        return made

    def _resend_simple(self, kind: str, data: dict[str, Any]) -> dict[str, Any] | None:
        """Return a segment that needs no call; None if there is nothing in it."""
        if kind == "text":
            text = text_at(data, "text")
        elif kind == "mention_all":
            return {"type": "mention_all", "data": {}}
        elif kind == "mention":
            user_id = number_at(data, "user_id")
            if SMALLEST_NUMBER <= user_id <= GREATEST_NUMBER:
                return self._mention({"qq": user_id, "name": data.get("name")}, "")
            text = f"@{text_at(data, 'name')}"
        elif kind == "face" and text_at(data, "face_id"):
            return self._face({"id": data["face_id"], "is_large": data.get("is_large")}, "")
        elif kind == "market_face":
            return self._market_face(
                data if text_at(data, "url").startswith("http") else {**data, "url": ""}, ""
            )
        elif kind == "light_app" and text_at(data, "json_payload"):
            return {"type": "light_app", "data": {"json_payload": text_at(data, "json_payload")}}
        elif kind == "markdown":
            text = text_at(data, "content")
        elif kind == "file":
            text = f"[文件] {text_at(data, 'file_name')}"
        else:
            text = f"[{kind[:_LONGEST_SHOWN]}]"
        return {"type": "text", "data": {"text": text}} if text else None

    async def _resend_media(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        """Return an image, a record or a video by its URL; a text where nobody tells it."""
        uri = resource_url(data)
        if not uri.startswith(("http://", "https://")):
            uri = ""
            resource_id = text_at(data, "resource_id")
            if resource_id:
                with suppress(*_REFUSALS):
                    uri = await self._resource(resource_id)
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

    async def _resend_forward(self, data: dict[str, Any], depth: int) -> dict[str, Any]:
        """Return a forward inside a received message; what its closed form shows where it cannot be read."""
        title = text_at(data, "title")
        forward_id = text_at(data, "forward_id")
        if forward_id and depth < MAX_MESSAGE_DEPTH:
            try:
                messages = await self._forwarded_messages(forward_id, depth + 1)
            except _REFUSALS:
                messages = []
            if messages:
                return _forward_of_messages(
                    messages,
                    title=title,
                    preview=[line for line in list_at(data, "preview") if isinstance(line, str)],
                    summary=text_at(data, "summary"),
                    prompt="",
                )
        return {"type": "text", "data": {"text": title or "[聊天记录]"}}


#: The scenes of private messages, each with the other one.
_OTHER_SCENE = {FRIEND: TEMP, TEMP: FRIEND}
#: Types of Milky whose URLs expire.
_EXPIRING = ("image", "record", "video")

#: By OneBot's type: what needs no call.
_SIMPLE: dict[str, Callable[[_MessageWriter, dict[str, Any], str], dict[str, Any] | None]] = {
    "at": _MessageWriter._mention,
    "face": _MessageWriter._face,
    "reply": _MessageWriter._reply,
    "json": _MessageWriter._light_app,
    "mface": _MessageWriter._market_face,
}


def _is_file_name(text: str) -> bool:
    """Return whether a text looks like a file's name with an extension: such is no ``resource_id``."""
    stem, dot, extension = text.rpartition(".")
    return bool(stem and dot) and 0 < len(extension) <= 5 and extension.isalnum()


def _forwarded(user_id: int, name: str) -> dict[str, Any]:
    """Return an ``OutgoingForwardedMessage`` without segments; a number that Milky refuses is a stand-in."""
    if not SMALLEST_NUMBER <= user_id <= GREATEST_NUMBER:
        user_id = UNKNOWN_SENDER
    return {"user_id": user_id, "sender_name": name, "segments": []}


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
    return _forward_of_messages(
        messages,
        title=text_at(data, "source"),
        preview=preview_lines(data.get("news")),
        summary=text_at(data, "summary"),
        prompt=text_at(data, "prompt"),
    )
