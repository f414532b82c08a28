"""What the hub asks of its edges."""

from __future__ import annotations

from collections.abc import Callable
from enum import Flag
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface


class Channel(Flag):
    """What a link carries: a Universal one both, the links of a split pair one each."""

    ACTIONS = 1
    EVENTS = 2
    BOTH = 3


class EncodedEvents:
    """Some events, encoded once and sent to many.

    :ivar each: the events, as the connections send them (WebSocket frames, or JSON bodies).
    :ivar joined: all of them, one after the other.
    """

    __slots__ = ("each", "joined")

    def __init__(self, each: list[bytes]) -> None:
        self.each = each
        self.joined = each[0] if len(each) == 1 else b"".join(each)


class IAccountLink(Interface):
    """The way to an account's implementation, while it is open."""

    def send(call_id: int, action: str, params: bytes) -> Any:
        """Send an action; its response comes, if it comes, through ``Account.receive(call_id, ...)``.

        It may come before this returns. Never raises: a link that cannot send ends.

        :param params: one JSON object.
        :returns: a flow-control token for :meth:`has_sent` if it waits in our memory, since the
            implementation takes no more; else None.
        """

    def has_sent(flow_token: Any) -> bool:
        """Return whether what the token stands for has left our memory, as far as the link can know."""

    def forget(call_id: int) -> None:
        """Drop what is held for a call: nobody waits for its response any more. Never raises."""

    def close(code: int, reason: str) -> None:
        """End the link; the account wants no more of it. Never raises.

        :param code: a close code (RFC 6455, 7.4.1). 1008 says that it led to another account, so that making
            it anew soon is of no use.
        """


class IBacking(Interface):
    """What carries an account's actions and events: this node's links, another node's, or nothing.

    It tells its account of changes by ``account.backing_changed(reason)``, hands it responses by
    ``account.receive(...)``, and events by ``account.fan_out.publish(event)``.
    """

    action_link = Attribute("The IAccountLink that actions are sent on; None while there is none.")
    is_up = Attribute("Whether actions can be sent, and events arrive.")
    online = Attribute("Whether it is up, and the implementation says that it is logged in.")
    offline_reason = Attribute("Why it is up but not online; a sentence's end.")
    via = Attribute("How the account is reached, for the log: empty, or a blank and words in brackets.")

    def release(reason: str) -> None:
        """Let go of every link; the account has another backing now, or is gone. Never raises."""


class IAccount(Interface):
    """An account as bots see it."""

    self_id = Attribute("Its number.")
    was_up = Attribute("Whether it was up once in this run.")
    is_up = Attribute("Whether actions can be sent, and events arrive.")
    online = Attribute("Whether it is up, and its implementation says that it is logged in.")
    takes_actions = Attribute("Whether actions can be sent.")
    reason = Attribute("Why it is not online; empty if it is.")

    def when_up(then: Callable[[], None]) -> None:
        """Call ``then`` once, as soon as the account was up once; at once if it was."""

    def call(call: Any, params: bytes) -> None:
        """Send an action (a ``Call``), or answer it ourselves.

        :raises NotConnected: if the account is not connected; nothing was sent, and no response comes.
        """

    def abandon(call: Any) -> None:
        """Remove a call that nobody waits for any more."""

    def has_sent(link: Any, flow_token: Any) -> bool:
        """Return whether what was sent on a link has left our memory."""

    def subscribe(connection: Any, wanted: Any, encode: Any, passes: Any = None) -> None:
        """Deliver all events to an ``IBotConnection`` from now on."""

    def subscribe_meta(connection: Any, wanted: Any, encode: Any) -> None:
        """Deliver only meta events to an ``IBotConnection`` from now on."""

    def unsubscribe(connection: Any) -> None:
        """Deliver no more to an ``IBotConnection``; harmless if it did not subscribe."""

    def lifecycle() -> bytes:
        """Return the first event of every connection."""

    def heartbeat() -> bytes:
        """Return a heartbeat as of now."""


class IBotConnection(Interface):
    """One way in which events reach a bot, while it is open."""

    def deliver(events: EncodedEvents) -> None:
        """Take events, as the function that it subscribed with encoded them. Never raises, never blocks."""


class IBotSession(Interface):
    """One connection of a bot to one account; ``Bot.sessions`` lists them."""

    account = Attribute("The account.")

    def refresh(heartbeat_interval: float) -> None:
        """Take the bot's settings as they are now. Never raises.

        :param heartbeat_interval: seconds; 0 for none.
        """

    def end(code: int, reason: str) -> None:
        """Close the connection in good order with a close code (RFC 6455, 7.4). Never raises."""


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
        """Return how often it has dialled since the start."""

    def when_idle() -> Deferred[None]:
        """Return what fires once it has retired and none of its connections is left."""
