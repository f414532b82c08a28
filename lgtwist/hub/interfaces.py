"""What the hub asks of its edges."""

from __future__ import annotations

from enum import Flag
from typing import Any

from zope.interface import Interface

from lgtwist.websocket.framing import Frames


class Half(Flag):
    """What a link carries: a Universal one both, the links of a split pair one each."""

    ACTIONS = 1
    EVENTS = 2
    BOTH = 3


class IAccountLink(Interface):
    """The way to an account's implementation, while it is open."""

    def send(call_id: int, action: str, params: bytes) -> Any:
        """Send an action; its answer comes, if it comes, through ``Account.answered(call_id, ...)``.

        It may come before this returns. Never raises: a link that cannot send ends.

        :param params: one JSON object.
        :returns: a mark for :meth:`has_taken` if it waits in our memory, for the implementation takes no
            more; else None.
        """

    def has_taken(mark: Any) -> bool:
        """Whether what was sent under a mark has left our memory, as far as the link can know."""

    def forget(call_id: int) -> None:
        """Nobody waits for the answer to a call any more: what the link holds for it can go. Never raises."""

    def end(reason: str, refused: bool) -> None:
        """The hub wants no more of this link. Never raises.

        :param refused: whether it led to another account, so that making it anew soon is of no use.
        """


class IBotConnection(Interface):
    """One way in which events reach a bot, while it is open."""

    def deliver(frames: Frames) -> None:
        """Take events, as the function that it subscribed with made them. Never raises, never blocks."""
