"""An event that a bot refused, as the journal keeps it. Pure."""

from __future__ import annotations

import re

import msgspec

from lgtwist.delivery.batch import Position

#: Bytes of an event in which its post type is searched where not all of it is at hand.
POST_TYPE_WITHIN = 4096
#: ``post_type`` where it is found, else what only events of one post type have.
_POST_TYPE = re.compile(rb'(?<!\\)"post_type"\s*:\s*"([a-z_]{1,32})"')
_DETAIL_TYPE = re.compile(rb'(?<!\\)"(message|notice|request|meta_event)_type"\s*:\s*"')


class RefusedEvent(msgspec.Struct, frozen=True):
    """An event in the list of those that a bot refused. Times in milliseconds since the epoch.

    :ivar id: names it in the list; later ones have larger numbers.
    :ivar bot: the name of the bot that refused it.
    :ivar account: the number of the account whose event it is.
    :ivar position: where the journal has it, or had it.
    :ivar time: when it was taken in.
    :ivar skipped: when it was skipped.
    :ivar reason: how the bot refused it: ``close code 1009``, ``HTTP 413`` and the like.
    :ivar size: bytes of the event.
    :ivar payload: its first bytes; fewer, or none, in a list of several.
    """

    id: int
    bot: str
    account: int
    position: Position
    time: int
    skipped: int
    reason: str
    size: int
    payload: bytes = b""

    @property
    def post_type(self) -> str:
        """Return the ``post_type`` of the event; empty if its first bytes do not tell."""
        head = self.payload[:POST_TYPE_WITHIN]
        found = _POST_TYPE.search(head) or _DETAIL_TYPE.search(head)
        return "" if found is None else found[1].decode()
