"""Looking at the events of an account, without getting them."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import EncodedEvents, IBotConnection
from lgtwist.onebot.event import Event


@implementer(IBotConnection)
class AccountTap:
    """A subscriber of one account's events that nothing is delivered to: it looks at them in ``passes``.

    Thus it gets them parsed, and no bytes are copied for it.

    :param receive: called with the account and each event.
    """

    __slots__ = ("_account", "_receive")

    def __init__(self, account: Account, receive: Callable[[Account, Event], None]) -> None:
        self._account = account
        self._receive = receive

    def passes(self, event: Event) -> bool:
        """Hand over an event; return False, since it is not delivered besides."""
        self._receive(self._account, event)
        return False

    def deliver(self, events: EncodedEvents) -> None:
        """Do nothing: no event passes."""

    def not_judged(self, events: int) -> None:
        """Do nothing: they are not shown."""


def encode_nothing(_event: bytes) -> bytes:
    """Return no bytes: the form in which a tap gets events."""
    return b""
