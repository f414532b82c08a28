"""What must be done about a changed setting while the service runs."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from attrs import fields

#: The metadata key of a field's :class:`Change`.
_CHANGE = "change"


class Change(IntEnum):
    """What must be done about a changed setting, from the least to the most.

    * NOTHING: nothing; it is equal, or waits for the next start.
    * IN_PLACE: the new value is used from the next event, action or attempt on; connections stay.
    * SESSIONS: the connections that were authenticated by the old value are closed.
    * ANEW: the edge is stopped and made again.
    """

    NOTHING = 0
    IN_PLACE = 1
    SESSIONS = 2
    ANEW = 3


def asks_for(change: Change) -> dict[str, Change]:
    """Return the metadata that gives an attrs field its :class:`Change`; without it that is IN_PLACE."""
    return {_CHANGE: change}


def compare(old: Any, new: Any) -> Change:
    """Return the greatest :class:`Change` of the fields in which two settings structs differ.

    :param old: an attrs object.
    :param new: another one; ANEW if its class differs.
    """
    if type(old) is not type(new):
        return Change.ANEW
    changes = (
        one.metadata.get(_CHANGE, Change.IN_PLACE)
        for one in fields(type(old))
        if getattr(old, one.name) != getattr(new, one.name)
    )
    return max(changes, default=Change.NOTHING)
