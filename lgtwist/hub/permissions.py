"""What one bot may do and see. Pure, compiled once from the configuration.

An action's name is checked in every form that an implementation might read out of it: some cut suffixes off,
some ignore case, some take a leading dot away. A bot whose actions are restricted may use plain names only.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable

from attrs import frozen

from lgtwist.onebot.action import split_suffix
from lgtwist.onebot.event import Event, read_place

_PLAIN = re.compile(r"[A-Za-z0-9_.]+")
#: Stands for other actions, which are checked one by one. In another spelling it would go up unchecked.
_UNCHECKED = "handle_quick_operation"
#: So many names are remembered; a peer that tries more of them pays for its own.
_REMEMBERED = 1000


class _Patterns:
    """Patterns in which ``*`` stands for any characters; in lower case, without leading dots.

    Not a regular expression: one with many stars would try for ever.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = [pattern.lower().lstrip(".").split("*") for pattern in patterns]

    def match(self, name: str) -> bool:
        """Whether one of them fits the whole name."""
        return any(_fits(parts, name) for parts in self._patterns)


def _fits(parts: list[str], name: str) -> bool:
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return name == first
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in parts[1:-1]:  # where each comes first leaves the most for those behind it
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _forms(action: str) -> set[str]:
    """The names that implementations may take an action's name for: in lower case, without leading dots."""
    name, suffix = action.lower().lstrip("."), "any"
    forms = set()
    while suffix:
        forms.add(name)
        name, suffix = split_suffix(name)
    return forms


class ActionPermissions:
    """Which actions a bot may use.

    :param allow: patterns, ``*`` for any characters; None for all.
    :param deny: patterns; what they match is denied, whatever ``allow`` says.
    :ivar unrestricted: whether it may use all.
    """

    def __init__(self, allow: Collection[str] | None = None, deny: Collection[str] = ()) -> None:
        self.unrestricted = allow is None and not deny
        self._allow = _Patterns(["*"] if allow is None else allow)
        self._deny = _Patterns(deny)
        self._known: dict[str, bool] = {}

    def allows(self, action: str) -> bool:
        """Whether an action may be used; its own suffix is taken off already."""
        if self.unrestricted:
            return True
        allowed = self._known.get(action)
        if allowed is None:
            allowed = self._judge(action)
            if len(self._known) < _REMEMBERED:
                self._known[action] = allowed
        return allowed

    def _judge(self, action: str) -> bool:
        forms = _forms(action)
        if not _PLAIN.fullmatch(action) or _UNCHECKED in forms:
            return False
        return all(self._allow.match(form) and not self._deny.match(form) for form in forms)


@frozen
class EventPermissions:
    """Which events a bot gets: one that is in each list that is given. Meta events always pass."""

    post_types: frozenset[str] | None = None
    group_ids: frozenset[int] | None = None
    user_ids: frozenset[int] | None = None

    def __bool__(self) -> bool:
        return not (self.post_types is None and self.group_ids is None and self.user_ids is None)

    def passes(self, event: Event) -> bool:
        """Whether the bot gets an event; one that lacks a field is in no list of it."""
        if event.post_type == "meta_event":
            return True
        if self.post_types is not None and event.post_type not in self.post_types:
            return False
        if self.group_ids is None and self.user_ids is None:
            return True
        place = read_place(event.raw)
        return (self.group_ids is None or place.group_id in self.group_ids) and (
            self.user_ids is None or place.user_id in self.user_ids
        )


class Rate:
    """At most so many in any stretch of time.

    :param most: how many.
    :param seconds: in which time.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._taken: deque[float] = deque()

    def take(self, now: float) -> bool:
        """Whether one more may be done now; it counts then."""
        taken = self._taken
        while taken and now - taken[0] >= self._seconds:
            taken.popleft()
        if len(taken) >= self._most:
            return False
        taken.append(now)
        return True
