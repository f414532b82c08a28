"""What a change of a setting asks for while the service runs."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from attrs import fields

#: The metadata key of a field's :class:`Change`.
_CHANGE = "change"


class Change(IntEnum):
    """What the change of a setting asks for, from the least to the most.

    * NOTHING: it is the same, or heeded at the next start only.
    * IN_PLACE: it counts from the next event, action or attempt on; connections stay.
    * SESSIONS: the connections that the old value let in end.
    * ANEW: the link ends and is made anew.
    """

    NOTHING = 0
    IN_PLACE = 1
    SESSIONS = 2
    ANEW = 3


def asks_for(change: Change) -> dict[str, Change]:
    """Return the metadata of an attrs field whose change asks for ``change``; without it that is IN_PLACE."""
    return {_CHANGE: change}


def compare(old: Any, new: Any) -> Change:
    """Return the most that the differences of two settings structs ask for.

    :param old: an attrs object.
    :param new: another; of another class it asks for ANEW.
    """
    if type(old) is not type(new):
        return Change.ANEW
    changes = (
        one.metadata.get(_CHANGE, Change.IN_PLACE)
        for one in fields(type(old))
        if getattr(old, one.name) != getattr(new, one.name)
    )
    return max(changes, default=Change.NOTHING)
