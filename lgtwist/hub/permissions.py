"""Which actions a bot may use and which events it gets. Pure, compiled once from the configuration.

Implementations read an action's name differently: some remove suffixes, some ignore case, some remove a
leading dot. So every name that one of them might read is checked, and a bot whose actions are restricted may
use plain names only.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable
from typing import Any

from attrs import Factory, field, frozen

from lgtwist.filters.conditions import (
    NO_CONDITIONS,
    Condition,
    EventConditions,
    SentIds,
    compile_each,
    sender_role,
)
from lgtwist.filters.reading import EventFilter
from lgtwist.filters.subject import EventSubject, Predicate, subject_of
from lgtwist.onebot.action import split_suffix
from lgtwist.onebot.event import Event, place_of

#: The names that a bot with restricted actions may use.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]+")
#: Stands for other actions, each of which is checked. Other spellings of it are refused: the implementation
#: would carry them out unchecked.
_QUICK_OPERATION = "handle_quick_operation"
#: Names whose decisions are cached; those of further names are made anew each time.
_MAX_CACHED = 1000


class _Patterns:
    """Patterns in which ``*`` stands for any characters; case and leading dots do not count.

    No regular expressions: the time of one with many stars grows exponentially.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._texts = tuple(patterns)
        self._patterns = [pattern.lower().lstrip(".").split("*") for pattern in self._texts]

    def match(self, name: str) -> bool:
        """Return whether a pattern matches a whole name, given in lower case without leading dots."""
        return any(_matches(parts, name) for parts in self._patterns)

    def find(self, name: str) -> str | None:
        """Return the first pattern, as it was given, that matches a name as in :meth:`match`; else None."""
        for text, parts in zip(self._texts, self._patterns, strict=True):
            if _matches(parts, name):
                return text
        return None


def _matches(parts: list[str], name: str) -> bool:
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return name == first
    if len(name) < len(first) + len(last) or not (name.startswith(first) and name.endswith(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in parts[1:-1]:  # the first occurrence leaves the most characters for the parts behind it
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _spellings(action: str) -> set[str]:
    """Return all names that an implementation may read, in lower case without leading dots."""
    name, suffix = action.lower().lstrip("."), "any"
    spellings = set()
    while suffix:
        spellings.add(name)
        name, suffix = split_suffix(name)
    return spellings


@frozen
class Decision:
    """Whether a bot may do something, and by which rule; for people.

    :ivar code: the rule, in lower case and with underscores: ``allowed_by``, ``denied``, ...
    :ivar arguments: what the rule is about, such as ``{"pattern": "set_*"}``.
    """

    allowed: bool
    code: str
    arguments: dict[str, Any] = Factory(dict)


class ActionPermissions:
    """Tells which actions a bot may use.

    :param allow: patterns in which ``*`` stands for any characters; None for all actions.
    :param deny: patterns; an action that one of them matches is denied, whatever ``allow`` says.
    :ivar unrestricted: whether all actions may be used.
    """

    def __init__(self, allow: Collection[str] | None = None, deny: Collection[str] = ()) -> None:
        self.unrestricted = allow is None and not deny
        self._allows_all = allow is None
        self._allow = _Patterns(["*"] if allow is None else allow)
        self._deny = _Patterns(deny)
        self._decisions: dict[str, bool] = {}

    def allows(self, action: str) -> bool:
        """Return whether an action may be used.

        :param action: its name, without ``_async`` or ``_rate_limited``.
        """
        if self.unrestricted:
            return True
        allowed = self._decisions.get(action)
        if allowed is None:
            allowed = self._decide(action)
            if len(self._decisions) < _MAX_CACHED:
                self._decisions[action] = allowed
        return allowed

    def _decide(self, action: str) -> bool:
        spellings = _spellings(action)
        if not _PLAIN_NAME.fullmatch(action) or _QUICK_OPERATION in spellings:
            return False
        return all(self._allow.match(spelling) and not self._deny.match(spelling) for spelling in spellings)

    def explain(self, action: str) -> Decision:
        """Return what :meth:`allows` returns, and the rule that decides it.

        Its code is ``unrestricted``, ``allowed_by`` (a pattern of ``allow``), ``not_denied`` (there is no
        ``allow``), ``denied`` (by a pattern of ``deny``), ``not_allowed`` (by none of ``allow``),
        ``not_plain_name`` (other characters than letters, digits, underscores and dots), or
        ``quick_operation`` (each of its steps is checked, but this spelling of it is refused).

        :param action: its name, without ``_async`` or ``_rate_limited``.
        """
        if self.unrestricted:
            return Decision(True, "unrestricted")
        spellings = sorted(_spellings(action), key=len, reverse=True)
        if not _PLAIN_NAME.fullmatch(action):
            return Decision(False, "not_plain_name")
        if _QUICK_OPERATION in spellings:
            return Decision(False, "quick_operation", {"actions": []})
        for spelling in spellings:
            pattern = self._deny.find(spelling)
            if pattern is not None:
                return Decision(False, "denied", {"pattern": pattern})
        allowing = [self._allow.find(spelling) for spelling in spellings]
        if None in allowing:
            return Decision(False, "not_allowed")
        if self._allows_all:
            return Decision(True, "not_denied")
        return Decision(True, "allowed_by", {"pattern": allowing[0]})


def _nothing_sent(_self_id: int | None) -> tuple[str, ...]:
    """Return no ids: where it is not known which messages an account sent."""
    return ()


def _lets_pass(predicate: Predicate, subject: EventSubject) -> bool:
    """Return whether an event passes; not if it cannot be judged."""
    try:
        return predicate(subject)
    except Exception:
        return False


@frozen
class EventPermissions:
    """Tells which events a bot gets: by lists, conditions and a filter, all of which must let an event pass.

    None is no list, or no filter. Meta events are always delivered. A list of ``post_type`` with ``message``
    has ``message_sent`` too.

    :ivar sent_ids: for the condition ``reply_to_me``.
    """

    post_types: frozenset[str] | None = None
    group_ids: frozenset[int] | None = None
    user_ids: frozenset[int] | None = None
    conditions: EventConditions = NO_CONDITIONS
    filter: EventFilter | None = None
    sent_ids: SentIds = field(default=_nothing_sent, eq=False)
    _post_types: frozenset[str] | None = field(init=False, eq=False, repr=False)
    _conditions: tuple[Condition, ...] = field(init=False, eq=False, repr=False)
    _predicates: tuple[Predicate, ...] = field(init=False, eq=False, repr=False)

    @_post_types.default
    def _with_message_sent(self) -> frozenset[str] | None:
        listed = self.post_types
        return listed if listed is None or "message" not in listed else listed | {"message_sent"}

    @_conditions.default
    def _compile_conditions(self) -> tuple[Condition, ...]:
        return compile_each(self.conditions, self.sent_ids)

    @_predicates.default
    def _compile_predicates(self) -> tuple[Predicate, ...]:
        predicates = tuple(one.is_met for one in self._conditions)
        return predicates if self.filter is None else (*predicates, self.filter.judge)

    def __bool__(self) -> bool:
        lists = (self.post_types, self.group_ids, self.user_ids)
        return bool(self._predicates) or lists != (None, None, None)

    def passes(self, event: Event) -> bool:
        """Return whether the bot gets an event; an event without a field is not in the list of that field.

        It never raises: what cannot be judged does not pass.
        """
        if event.post_type == "meta_event":
            return True
        if self._post_types is not None and event.post_type not in self._post_types:
            return False
        if self.group_ids is not None or self.user_ids is not None:
            place = place_of(event)
            if self.group_ids is not None and place.group_id not in self.group_ids:
                return False
            if self.user_ids is not None and place.user_id not in self.user_ids:
                return False
        if self._predicates:
            subject = event.subject or subject_of(event)
            try:
                for predicate in self._predicates:
                    if not predicate(subject):
                        return False
            except Exception:  # none does that; if one did, its bot would be stuck at the event
                return False
        return True

    def explain(self, event: Event) -> Decision:
        """Return what :meth:`passes` returns, and the rule that decides it.

        Its code is ``no_lists``, ``meta_event`` (always delivered) or ``in_lists`` (it meets all that is
        asked for); or the code of the first rule that it does not meet, with the event's value, None where it
        has none: ``denied_group`` (``group_id``), ``denied_user`` (``user_id``), ``post_type_not_listed``
        (``post_type``), ``group_not_listed`` (``group_id``), ``user_not_listed`` (``user_id``),
        ``private_not_wanted``, ``role_not_listed`` (``role``), ``none_of_any_of`` (``any_of``: the keys that
        were asked for), or ``filtered`` (``grammar``: the filter's).
        """
        if not self:
            return Decision(True, "no_lists")
        if event.post_type == "meta_event":
            return Decision(True, "meta_event")
        subject = subject_of(event)
        for condition in self._conditions:  # beats everything, so it is told first
            if condition.code in ("denied_group", "denied_user") and not condition.is_met(subject):
                return Decision(False, condition.code, self._arguments(condition.code, event))
        if self._post_types is not None and event.post_type not in self._post_types:
            return Decision(False, "post_type_not_listed", {"post_type": event.post_type})
        place = place_of(event)
        if self.group_ids is not None and place.group_id not in self.group_ids:
            return Decision(False, "group_not_listed", {"group_id": place.group_id})
        if self.user_ids is not None and place.user_id not in self.user_ids:
            return Decision(False, "user_not_listed", {"user_id": place.user_id})
        for condition in self._conditions:
            if not _lets_pass(condition.is_met, subject):
                return Decision(False, condition.code, self._arguments(condition.code, event))
        if self.filter is not None and not _lets_pass(self.filter.judge, subject):
            return Decision(False, "filtered", {"grammar": self.filter.grammar.value})
        return Decision(True, "in_lists")

    def _arguments(self, code: str, event: Event) -> dict[str, Any]:
        """Return what a rule is about that an event does not meet."""
        if code == "denied_group":
            return {"group_id": place_of(event).group_id}
        if code == "denied_user":
            return {"user_id": place_of(event).user_id}
        if code == "role_not_listed":
            return {"role": sender_role(subject_of(event))}
        if code == "none_of_any_of" and self.conditions.any_of is not None:
            return {"any_of": self.conditions.any_of.asked}
        return {}


class Rate:
    """Limits how often something is done: a sliding window.

    :param most: how often at most,
    :param seconds: in any period of this length.
    :ivar most: as given.
    :ivar seconds: as given.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most = most
        self.seconds = seconds
        self._done_at: deque[float] = deque()

    def acquire(self, now: float) -> bool:
        """Return whether it may be done now; if so, count it.

        :param now: seconds of any clock.
        """
        if not self.has_room(now):
            return False
        self._done_at.append(now)
        return True

    def has_room(self, now: float) -> bool:
        """Return whether it may be done now.

        :param now: seconds of any clock.
        """
        done_at = self._done_at
        while done_at and now - done_at[0] >= self.seconds:
            done_at.popleft()
        return len(done_at) < self.most

    def left(self, now: float) -> int:
        """Return how many times it may be done now; nothing is counted.

        :param now: seconds of any clock.
        """
        return self.most - len(self._done_at) if self.has_room(now) else 0

    def wait(self, now: float) -> float:
        """Return in how many seconds it may be done again; 0 if it may be done now.

        :param now: seconds of any clock.
        """
        if self.has_room(now) or not self._done_at:
            return 0.0
        return self.seconds - (now - self._done_at[0])
