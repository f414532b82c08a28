"""What the hub asks of its edges."""

from __future__ import annotations

from collections.abc import Callable
from enum import Flag
from typing import Any

from zope.interface import Attribute, Interface

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


class IDirectoryObserver(Interface):
    """What is told of every account and bot that is added or removed.

    An observer that registers late is told at once of everything that is there already.
    """

    def account_added(account: Any) -> None:
        """``account`` (an ``Account``) is in the directory now."""

    def account_removed(account: Any) -> None:
        """``account`` is not in the directory any more; its calls have ended."""

    def bot_added(bot: Any) -> None:
        """``bot`` (a ``Bot``) is in the directory now."""

    def bot_removed(bot: Any) -> None:
        """``bot`` is not in the directory any more."""


class IReverseLink(Interface):
    """An account whose implementation connects to our port by WebSocket."""

    access_token = Attribute("The token that the implementation must show; None for none.")

    def accept(request: Any, role: str, ended: Callable[[], None]) -> None:
        """Make a link of a request that was authenticated and that ``check_upgrade`` accepted.

        :param role: the last part of its path: ``ws``, ``api`` or ``event``.
        :param ended: called once, when the connection is over.
        """


class IEventReceiver(Interface):
    """An account whose implementation posts its events to our port."""

    def signing_key() -> tuple[str | None, bool]:
        """The secret that signs its posts, None for none; and whether an unsigned post may be genuine."""

    def receive(body: bytes) -> None:
        """Take an event that was posted.

        :raises BadEvent: if it is no event of this account.
        :raises NotConnected: if it cannot be taken now.
        """


class IControl(Interface):
    """An account that people can act in over HTTP (``/sandbox/{self_id}/...``)."""

    def handle(request: Any, path: tuple[str, ...]) -> None:
        """Answer a request of the operator.

        :param path: what stands behind ``/sandbox/{self_id}/``.
        """

    def serve_file(request: Any, name: str) -> None:
        """Answer anybody's request for a stored file; its unguessable name is the key."""


class IDialler(Interface):
    """What dials a peer again and again."""

    def attempts() -> int:
        """How often it has dialled since the start."""
