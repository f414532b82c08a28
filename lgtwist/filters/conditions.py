"""What ``events`` of ``[[bots]]`` has beside its lists: ``deny``, ``private``, ``roles`` and ``any_of``."""

from __future__ import annotations

from attrs import frozen


@frozen
class AnyOf:
    """``any_of``: a message passes if one of these holds; other events pass.

    :ivar at_me: an ``at`` segment has the account's number (not ``all``).
    :ivar prefix: what the text begins with, behind leading ``reply`` and ``at`` segments and blanks.
    :ivar keyword: what that text contains.
    :ivar private: whether every private message passes.
    :ivar reply_to_me: it replies to a message that the account sent, as far as lgtwist has seen it.
    """

    at_me: bool = False
    prefix: tuple[str, ...] = ()
    keyword: tuple[str, ...] = ()
    private: bool = False
    reply_to_me: bool = False


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
