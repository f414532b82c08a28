"""Fetch what came while the stream of events was broken, and deliver it in order.

How :class:`lgtwist.accounts.milky.link.MilkyLink` uses it::

    back_fill = BackFill(context)            # once per account, so that it knows of former links
    back_fill.stream_opened()                # the stream of events is open: live events are looked at
    back_fill.verified()                     # it is logged in as this account: fetching begins
    if event.post_type != "message" or back_fill.is_active:
        if back_fill.live_event(key, event): # its block is committed; True: it is taken over
            continue
    ... publish it, and mark_seen ...
    back_fill.stream_closed()                # what is under way is broken off, and done at the next opening
    back_fill.stop()                         # for good

An event that was taken over is handed to ``context.publish`` later, in order, or is dropped since it was
delivered already. A message that a bot has got already is no business of this module while :attr:`is_active`
is false: the link drops it by ``was_seen`` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lgtwist.milky.implementation import Implementation
from lgtwist.milky.interfaces import MilkyApi
from lgtwist.milky.keys import Conversation, MessageKey
from lgtwist.onebot.event import Event
from lgtwist.runtime.budget import Budget


@frozen
class BackFillBounds:
    """``back_fill = {max_messages, max_age}``.

    :ivar max_messages: of one conversation; 0 turns it off.
    :ivar max_age: seconds; what is older goes to at-least-once bots only.
    """

    max_messages: int = 300
    max_age: float = 600.0


class SeenMessages(Protocol):
    """Which messages were delivered, durably: the ``BlockTable``."""

    def was_seen(self, key: MessageKey, /) -> bool:
        """Return whether a message was delivered, or dropped deliberately."""

    def mark_seen(self, key: MessageKey, now: float, /) -> None:
        """Note that a message was delivered, or dropped deliberately."""

    def last_seen(self, conversation: Conversation, /) -> int | None:
        """Return the greatest sequence number of a conversation that was; None if none was."""

    def active_conversations(self) -> list[Conversation]:
        """Return the conversations in which one was, the most recently active first."""


class MessageTranslator(Protocol):
    """Translates messages of a history: the ``EventTranslator``."""

    def translate_message(self, message: dict[str, Any], *, time: int) -> Event | None:
        """Return the event of a message; None if bots do not get it."""

    def key_of_message(self, message: dict[str, Any]) -> MessageKey | None:
        """Return what names a message; None if it cannot be read."""


@frozen(kw_only=True)
class BackFillContext:
    """What one account's back-fill uses.

    :ivar self_id: the account's number.
    :ivar bounds: returns the bounds, which may be replaced.
    :ivar api: sends calls.
    :ivar implementation: returns what the implementation says it is.
    :ivar seen: which messages were delivered.
    :ivar translator: translates messages.
    :ivar committed: returns what fires, and never fails, when all message ids given out are durable; None if
        they are.
    :ivar publish: delivers a live event that was taken over, and marks it as seen.
    :ivar publish_late: delivers an event late: ``FanOut.publish_late``.
    :ivar clock: the reactor, or a clock in its place.
    :ivar wall_clock: returns seconds since the epoch.
    :ivar budget: counts what is held because of the implementation.
    """

    self_id: int
    bounds: Callable[[], BackFillBounds]
    api: MilkyApi
    implementation: Callable[[], Implementation]
    seen: SeenMessages
    translator: MessageTranslator
    committed: Callable[[], Deferred[None] | None]
    publish: Callable[[MessageKey | None, Event], None]
    publish_late: Callable[..., None]
    clock: IReactorTime
    wall_clock: Callable[[], float]
    budget: Budget


class BackFill:
    """The back-fill of one account.

    :ivar is_active: whether messages must be shown to :meth:`live_event` before they are delivered.
    :ivar back_filled_events: events that were delivered late, since the start.
    """

    def __init__(self, context: BackFillContext) -> None:
        self.is_active = False
        self.back_filled_events = 0
        self._context = context

    def stream_opened(self) -> None:
        """Get ready to fetch: the stream of events is open, also the first time since our start.

        From now on :meth:`live_event` is called; what was delivered before is what counts as the last.
        """

    def verified(self) -> None:
        """Fetch what was missed: the implementation is logged in as this account.

        Called once behind each :meth:`stream_opened`, or not at all; before it no call may be sent, for the
        implementation may be another account's.
        """

    def stream_closed(self) -> None:
        """Break off; deliver what was taken over, as far as it is in order."""

    def live_event(self, key: MessageKey | None, event: Event) -> bool:
        """Take over a live event if it must wait, or was delivered already; return whether it was taken over.

        Call it for each event that is no message, and for messages while :attr:`is_active` is true; the ids
        in it are durable.

        :param key: of a message; None for all other events.
        """
        return False

    def stop(self) -> None:
        """Break off for good: hand over what was taken over, and start nothing."""
