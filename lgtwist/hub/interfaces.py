"""What the hub asks of its edges."""

from __future__ import annotations

from zope.interface import Interface


class IAccountLink(Interface):
    """The way to an account's implementation, while it is open."""

    def send(call_id: int, action: str, params: bytes) -> None:
        """Send an action; its answer comes, if it comes, through ``Account.answered(call_id, ...)``.

        It may come before this returns. Never raises: a link that cannot send ends.

        :param params: one JSON object.
        """


class IBotConnection(Interface):
    """One way in which events reach a bot, while it is open."""

    def deliver(frame: bytes) -> None:
        """Take one event, as a ready WebSocket frame. Never raises, never blocks."""
