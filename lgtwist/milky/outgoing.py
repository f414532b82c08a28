"""Messages of bots as segments of Milky, and what Milky sends by calls of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import Factory, frozen

from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import Conversation
from lgtwist.onebot.message import Segment


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

    :param message: from :func:`lgtwist.onebot.message.read_message`.
    :param conversation: where it is sent.
    :param path: the parameter's name, for errors.
    :raises BadRequest: if Milky or the implementation cannot send a segment, a value is missing or wrong,
        there is nothing to send, or it is over a bound.
    :raises OneBotError: if a call to the implementation, for what it shall send again, fails.
    """
    raise NotImplementedError


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
    raise NotImplementedError
