"""Interfaces between the hub and the rooms above it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Flag
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface


class Channel(Flag):
    """What a link carries: a Universal one carries both, the API and the Event link of a pair one each."""

    ACTIONS = 1
    EVENTS = 2
    BOTH = 3


#: Bound once: Python 3.11 looks up a member of an enumeration five times more slowly than a global.
ACTION_CHANNEL, EVENT_CHANNEL = Channel.ACTIONS, Channel.EVENTS


@frozen
class Figure:
    """One figure of an edge.

    :ivar name: of a counter, without ``lgtwist_`` at its beginning and ``_total`` at its end.
    :ivar help_text: what it counts; the same for all of one name.
    :ivar labels: beside ``account``; their names are the same for all of one name.
    :ivar value: since the start.
    """

    name: str
    help_text: str
    labels: dict[str, str]
    value: float


class EncodedEvents:
    """Events that are encoded once and sent to many connections.

    :ivar each: the events in order, each a WebSocket frame or a JSON body.
    :ivar joined: the same, concatenated.
    """

    __slots__ = ("each", "joined")

    def __init__(self, each: list[bytes]) -> None:
        self.each = each
        self.joined = each[0] if len(each) == 1 else b"".join(each)


#: What :meth:`IAccountLink.send` returns where the parameters stay in memory until the response.
UNTIL_ANSWERED = object()


class IAccountLink(Interface):
    """An open connection to an account's implementation."""

    def send(call_id: int, action: str, params: bytes) -> Any:
        """Send an action. Never raises: a link that cannot send ends.

        Its response is handed to ``Account.receive(call_id, ...)``, perhaps before this returns.

        :param call_id: the correlation id.
        :param params: one JSON object.
        :returns: a flow-control token for :meth:`has_sent` if the action waits in our memory, since the
            implementation reads too slowly; :data:`UNTIL_ANSWERED` if it stays there until its response; else
            None.
        """

    def has_sent(flow_token: Any) -> bool:
        """Return whether the transport has taken the action that a token stands for.

        :param flow_token: what :meth:`send` returned.
        """

    def forget(call_id: int) -> None:
        """Free what is held for a call: its response is not wanted any more. Never raises."""

    def pause_reading() -> None:
        """Take no more events of the implementation until :meth:`resume_reading` is called. Never raises.

        Called only on a link that carries events. Nothing that was received is dropped; responses may wait
        behind the events.
        """

    def resume_reading() -> None:
        """Take events again, first those that were received already. Never raises."""

    def close(code: int, reason: str) -> None:
        """Close the link. Never raises.

        :param code: a close code (RFC 6455, 7.4.1). 1008 says that the link led to another account; it is
            not dialled again soon then.
        :param reason: for the close frame and the log.
        """


class IBacking(Interface):
    """What carries an account's actions and events: this node's links, another node's, or nothing.

    It reports changes by ``account.backing_changed(reason)``, responses by ``account.receive(...)``, and
    events by ``account.fan_out.publish(event)``.
    """

    action_link = Attribute("The IAccountLink that actions are sent on; None while there is none.")
    is_up = Attribute("Whether actions can be sent, and events arrive.")
    online = Attribute("Whether it is up, and the implementation says that it is logged in.")
    offline_reason = Attribute("Why it is up but not online, for the log.")
    description = Attribute("How the account is reached, for the log; empty if unknown.")

    def release(reason: str) -> None:
        """Release every link: the account has another backing now, or is removed. Never raises.

        :param reason: for the log, and for the calls under way.
        """


class IAccount(Interface):
    """An account as bots see it."""

    self_id = Attribute("Its number.")
    was_up = Attribute("Whether it was up once since the start.")
    is_up = Attribute("Whether actions can be sent, and events arrive.")
    online = Attribute("Whether it is up, and its implementation says that it is logged in.")
    accepts_actions = Attribute("Whether actions can be sent.")
    reason = Attribute("Why it is not online; empty if it is.")

    def when_up(then: Callable[[], None]) -> None:
        """Call ``then`` once, when the account is up for the first time; at once if it was up before."""

    def call(call: Any, params: bytes) -> None:
        """Send an action, or answer it ourselves.

        :param call: a ``Call``; its ``receive`` gets the response.
        :param params: one JSON object.
        :raises NotConnected: if the account is not connected; nothing was sent, and no response comes.
        """

    def abandon(call: Any) -> None:
        """Remove a call whose response is not wanted any more."""

    def has_sent(link: Any, flow_token: Any) -> bool:
        """Return whether the transport of a link has taken an action, or the link is closed.

        :param flow_token: what ``link.send`` returned for the action.
        """

    def subscribe(connection: Any, wanted: Any, encode: Any, passes: Any = None) -> None:
        """Deliver all events to an ``IBotConnection`` from now on.

        :param wanted: the ``MessageFormat`` of their messages.
        :param encode: a function from one event to the bytes that the connection sends.
        :param passes: a function from an ``Event`` to whether it is delivered; None for all.
        """

    def subscribe_meta(connection: Any, wanted: Any, encode: Any) -> None:
        """Deliver only meta events to an ``IBotConnection`` from now on."""

    def unsubscribe(connection: Any) -> None:
        """Deliver no more to an ``IBotConnection``; harmless if it did not subscribe."""

    def lifecycle() -> bytes:
        """Return the event ``meta_event/lifecycle`` with ``sub_type: connect``, as one JSON object."""

    def heartbeat() -> bytes:
        """Return an event ``meta_event/heartbeat`` with the account's present status, as one JSON object."""


class IBotConnection(Interface):
    """What events of an account are delivered to: a bot's WebSocket, or the queue of its posts."""

    def deliver(events: EncodedEvents) -> None:
        """Send events, now or later. Never raises, never blocks.

        :param events: encoded by the function that was given to ``subscribe``.
        """

    def not_judged(events: int) -> None:
        """Count events that are dropped, because judging others by ``passes`` takes too long."""


class IBotSession(Interface):
    """One connection of a bot to one account; ``Bot.sessions`` lists them."""

    account = Attribute("The account.")
    dialled = Attribute("Whether we opened it; else the bot did, and its token let it in.")

    def snapshot() -> Any:
        """Return what people want to know of it (an ``OpenSession``); None once it is over."""

    def refresh(heartbeat_interval: float) -> None:
        """Use the bot's present settings. Never raises.

        :param heartbeat_interval: seconds; 0 for none.
        """

    def end(code: int, reason: str) -> None:
        """End its calls as 1502, and close the connection by a closing handshake. Never raises.

        :param code: a close code (RFC 6455, 7.4).
        """

    def break_off(in_flight: Any, response: bytes, cut: bool) -> bool:
        """Reset the connection in place of a response. Never raises.

        :param in_flight: the set that the action's pending action was in.
        :param response: one JSON object, with ``echo``.
        :param cut: whether the first half of the response, at most 2 KiB, is sent before.
        :returns: whether that is the set of this session; if not, nothing was done.
        """


class IDirectoryObserver(Interface):
    """What is called for every account and bot that is added to the directory or removed from it.

    When it is registered it is called at once for each that is there already.
    """

    def account_added(account: Any) -> None:
        """Handle an ``Account`` that was added."""

    def account_removed(account: Any) -> None:
        """Handle an ``Account`` that was removed; its calls have ended."""

    def bot_added(bot: Any) -> None:
        """Handle a ``Bot`` that was added."""

    def bot_removed(bot: Any) -> None:
        """Handle a ``Bot`` that was removed."""


class IReverseLink(Interface):
    """An account whose implementation connects to our port by WebSocket."""

    access_token = Attribute("The token that the implementation must show; None for none.")

    def accept(request: Any, role: str, on_closed: Callable[[], None]) -> None:
        """Upgrade a request to a link; it was authenticated, and ``check_upgrade`` accepted it.

        :param role: the last segment of its path: ``ws``, ``api`` or ``event``.
        :param on_closed: called once, when the connection is closed.
        """


class IEventReceiver(Interface):
    """An account whose implementation posts its events to our port."""

    def signing_key() -> tuple[str | None, bool]:
        """Return the secret that its posts are signed with, and whether unsigned ones are accepted too.

        :returns: the secret, None for none; and whether an unsigned post of this machine may be genuine.
        """

    def receive(body: bytes) -> None:
        """Publish an event that was posted.

        :param body: of the request.
        :raises BadEvent: if it is no event of this account.
        :raises NotConnected: if the service stops, or events of the account are paused; it may come again.
        """


class IControl(Interface):
    """An account that test scripts and the console control over HTTP (``/sandbox/{self_id}/...``)."""

    def handle(request: Any, path: tuple[str, ...]) -> None:
        """Answer a request of the operator.

        :param path: the segments behind ``/sandbox/{self_id}/``.
        """

    def serve_file(request: Any, name: str) -> None:
        """Answer a request for a stored file. No token is needed: the name cannot be guessed."""


class IWorldLog(Interface):
    """A sandbox whose event log is shown as it grows: what happens in its world, with sequence numbers."""

    last_seq = Attribute("The sequence number of the newest entry.")

    def log_portion(after: int | None, most: int, longest: int) -> Any:
        """Return the entries after a sequence number, the oldest first.

        :param after: the number; None for none, to begin with the next entry.
        :param most: how many entries at most; there may be fewer of them, so that it takes a few ms.
        :param longest: bytes of JSON above which a message has an empty ``message``, the first 2000
            characters of ``raw_message`` and ``"shortened": true``; a forwarded one has no ``nodes`` then.
        :returns: a value with ``entries`` (the JSON of each as bytes, without line breaks), ``last`` (the
            number to go on after), ``missed`` (whether the world is to be read anew: entries were removed, or
            the number is not of this run), ``more`` (whether there are others already).
        """

    def when_logged() -> Deferred[None]:
        """Return a Deferred that fires at the next entry, or when the account stops; it may be cancelled."""


class IKeepsFile(Interface):
    """An account that keeps what must be in a backup: the world of a sandbox, or message ids."""

    def back_up(folder: Any) -> Deferred[None]:
        """Copy it into a folder, as it is at one moment.

        :param folder: a ``Path``; the file has the name there that it has in ``data_dir``.
        :returns: fires when it is copied; fails with an exception whose text is a sentence.
        """


class IDialler(Interface):
    """An edge that dials a peer, and dials again when the connection is closed."""

    def attempts() -> int:
        """Return the number of attempts since the start."""

    def dials() -> dict[int, list[Any]]:
        """Return by account how dialling goes: a ``DialState`` for each URL that is dialled for it."""

    def when_idle() -> Deferred[None]:
        """Return a Deferred that fires with None when it has retired and its connections are closed."""


class IMeasured(Interface):
    """An edge of an account that has figures of its own for the metrics."""

    def figures() -> list[Figure]:
        """Return them, as of now; each of them is there from the start, with 0. Never raises."""


class IPoster(Interface):
    """What posts the events of accounts to a bot."""

    def postings() -> dict[int, Any]:
        """Return by account how its posts go, each a ``PostingState``."""
