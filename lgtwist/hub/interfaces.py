"""What the hub asks of its edges."""

from __future__ import annotations

from collections.abc import Callable
from enum import Flag
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from lgtwist.hub.batch import Batch, Mark, Page, Position
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


class IEventTaker(Interface):
    """One way in which events reach a bot that asked for certain delivery, while it is open.

    It tells its delivery when events are confirmed, when it can take more, and when it is over.
    """

    ready = Attribute("Whether it takes more at once; it pumps its delivery when that becomes true.")
    window = Attribute("How many events may be unconfirmed.")
    encode = Attribute("Makes of an event what it takes. The same function for all that want the same.")

    def take(frames: bytes, events: int, upto: Position) -> None:
        """Take some events, encoded and joined. Never raises, never blocks.

        :param upto: the position to be confirmed when the bot has them.
        """

    def become_live() -> None:
        """A newer connection of the bot takes over; this one gets what happens from now on."""

    def become_holder() -> None:
        """What must not be lost goes to this one again, for it is the newest that is left."""


class IJournal(Interface):
    """Where events wait until every bot that asked for certain delivery has them.

    Positions are opaque: they are ordered, and nobody outside calculates with them.
    """

    end: Position = Attribute("The position of the newest durable event.")
    trimmed_to: Position = Attribute("Nothing up to this position is left.")

    def append(account: int, payloads: list[bytes]) -> None:
        """Take in events. Never blocks, never raises; what cannot be kept is counted and named as lost.

        :param payloads: in the order in which they came, each one JSON object.
        """

    def observe(observer: Callable[[Batch], None]) -> None:
        """Call ``observer`` for all that is appended, in order, once it is durable."""

    def mark(bot: str, account: int) -> Mark:
        """How far a bot had come when the journal was opened."""

    def confirm(bot: str, account: int, mark: Mark) -> None:
        """A bot has come so far. It is written with others, within a second."""

    def refused(bot: str, batch: Batch, reason: str) -> None:
        """A bot will not have this one event: keep it in the list of such events."""

    def total(account: int) -> int:
        """How many events of an account were ever written."""

    def trimmed(account: int) -> int:
        """How many of these are gone."""

    def tail(account: int, after: Position) -> Batch | None:
        """The next events behind a position, from memory: an empty batch if there are none yet.

        :returns: None if memory does not reach back so far.
        """

    def read(account: int, after: Position) -> Deferred[Page]:
        """The next events behind a position, from the disk, as much as is read at once.

        It fails with JournalUnreadable.
        """
