"""What ``events`` of ``[[bots]]`` has beside its lists: ``deny``, ``private``, ``roles`` and ``any_of``."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from attrs import fields, frozen

from lgtwist.filters.subject import EventSubject, Predicate
from lgtwist.onebot.event import read_id

#: Returns the ids of the messages that an account sent, as far as they are known; None stands for no account.
SentIds = Callable[[int | None], Container[str]]

#: The values of ``sender.role`` (OneBot 11, ``event/message.md``).
GROUP_ROLES = ("owner", "admin", "member")


@frozen
class AnyOf:
    """``any_of``: a message passes if one of these holds; other events pass.

    The text is that of all text segments, behind leading ``reply`` and ``at`` segments and blanks; other
    segments, such as pictures, do not count, wherever they stand.

    :ivar at_me: an ``at`` segment has the account's number (not ``all``).
    :ivar prefix: what the text begins with, case as given.
    :ivar keyword: what the text contains, case as given.
    :ivar private: whether every private message passes.
    :ivar reply_to_me: it replies to a message that the account sent, as far as lgtwist has seen it.
    """

    at_me: bool = False
    prefix: tuple[str, ...] = ()
    keyword: tuple[str, ...] = ()
    private: bool = False
    reply_to_me: bool = False

    @property
    def asked(self) -> list[str]:
        """The names of the conditions that are given."""
        return [one.name for one in fields(AnyOf) if getattr(self, one.name)]


@frozen
class EventConditions:
    """What must hold of an event beside the lists; None where nothing is asked for.

    :ivar deny_groups: no event with one of these ``group_id`` passes,
    :ivar deny_users: nor one with one of these ``user_id``.
    :ivar private: False if private messages do not pass.
    :ivar roles: the ``sender.role`` that a group message must have one of.
    """

    deny_groups: frozenset[int] = frozenset()
    deny_users: frozenset[int] = frozenset()
    private: bool = True
    roles: frozenset[str] | None = None
    any_of: AnyOf | None = None

    def __bool__(self) -> bool:
        return self != NO_CONDITIONS


#: Conditions that every event meets.
NO_CONDITIONS = EventConditions()


@frozen
class Condition:
    """One of the conditions of an :class:`EventConditions`, compiled.

    :ivar code: says what is wrong with an event that does not meet it: ``denied_group``, ``denied_user``,
        ``private_not_wanted``, ``role_not_listed`` or ``none_of_any_of``.
    :ivar is_met: whether an event meets it.
    """

    code: str
    is_met: Predicate


def compile_each(conditions: EventConditions, sent_ids: SentIds) -> tuple[Condition, ...]:
    """Return the conditions that an event must meet, the cheapest first; none if nothing is asked for.

    :param sent_ids: for ``reply_to_me``.
    """
    found = []
    if conditions.deny_groups:
        found.append(Condition("denied_group", _not_in("group_id", conditions.deny_groups)))
    if conditions.deny_users:
        found.append(Condition("denied_user", _not_in("user_id", conditions.deny_users)))
    if not conditions.private:
        found.append(Condition("private_not_wanted", lambda subject: message_type(subject) != "private"))
    if conditions.roles is not None:
        found.append(Condition("role_not_listed", _has_role(conditions.roles)))
    if conditions.any_of is not None:
        found.append(Condition("none_of_any_of", _meets_any(conditions.any_of, sent_ids)))
    return tuple(found)


def message_type(subject: EventSubject) -> str:
    """Return the ``message_type`` of a message; the empty string for other events.

    A message that does not have one is of a group if it has a ``group_id``, and else private.
    """
    if subject.post_type != "message":
        return ""
    found = subject.member("message_type")
    if isinstance(found, str) and found:
        return found
    return "group" if subject.member("group_id") else "private"


def sender_role(subject: EventSubject) -> str | None:
    """Return the ``sender.role`` of an event; None where it has none."""
    sender = subject.member("sender")
    role = sender.get("role") if isinstance(sender, dict) else None
    return role if isinstance(role, str) else None


def _not_in(name: str, denied: frozenset[int]) -> Predicate:
    def is_met(subject: EventSubject) -> bool:
        value = subject.member(name)
        if type(value) is int:  # else written as text, or as 12.0
            return value not in denied
        return not value or read_id(subject.raw_member(name)) not in denied

    return is_met


def _has_role(roles: frozenset[str]) -> Predicate:
    return lambda subject: message_type(subject) != "group" or sender_role(subject) in roles


def _meets_any(any_of: AnyOf, sent_ids: SentIds) -> Predicate:
    """Return whether a message meets one of the conditions of ``any_of``; other events always do."""
    private, at_me, reply_to_me = any_of.private, any_of.at_me, any_of.reply_to_me
    prefixes, keywords = any_of.prefix, any_of.keyword

    def is_met(subject: EventSubject) -> bool:
        if subject.post_type != "message":
            return True
        if private and message_type(subject) == "private":
            return True
        if at_me and _mentions(subject, subject.self_id):
            return True
        if reply_to_me and _replies_to(subject, sent_ids(subject.self_id)):
            return True
        if prefixes and subject.text().startswith(prefixes):
            return True
        if keywords:
            text = subject.text()
            for keyword in keywords:
                if keyword in text:
                    return True
        return False

    return is_met


def _mentions(subject: EventSubject, number: int | None) -> bool:
    """Return whether an ``at`` segment has a number, which may be written as text."""
    if not number:
        return False
    written = str(number)
    return any(message_id(value) == written for value in _segment_values(subject, "at", "qq"))


def _replies_to(subject: EventSubject, ids: Container[str]) -> bool:
    """Return whether a ``reply`` segment has one of some ids."""
    return any(message_id(value) in ids for value in _segment_values(subject, "reply", "id"))


def _segment_values(subject: EventSubject, kind: str, key: str) -> list[Any]:
    """Return the values of one key of the data of all segments of a type."""
    return [
        data.get(key)
        for segment in subject.segments()
        if segment.get("type") == kind and isinstance(data := segment.get("data"), dict)
    ]


def message_id(value: Any) -> str:
    """Return an id, which may be a number or text, as text; the empty string if it is neither."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, float) and value.is_integer():  # of programs that have no integers
        value = int(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
