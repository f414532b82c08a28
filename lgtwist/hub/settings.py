"""The keys of ``[[bots]]`` that all kinds of bots share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import Factory, field, frozen

from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.values import (
    InvalidValue,
    action_pattern,
    boolean,
    choice,
    duration,
    events_per_second,
    text,
    token,
    whole_number,
)
from lgtwist.config.values import rate as read_rate
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.filters.conditions import GROUP_ROLES, NO_CONDITIONS, AnyOf, EventConditions
from lgtwist.filters.mistakes import BadFilter
from lgtwist.filters.reading import EventFilter, read_filter
from lgtwist.onebot.message import MessageFormat

#: Reads the number of an account, a group or a user.
read_number = whole_number(1, 2**63 - 1)


@frozen
class ActionSettings:
    """``actions = {allow, deny, rate}``; None where a key is missing.

    :ivar rate: how many actions, and in how many seconds.
    """

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    rate: tuple[int, float] | None = None


@frozen
class EventSettings:
    """``events = {post_type, group_id, user_id, ...}``; None where a list is missing.

    :ivar conditions: what its other keys ask for.
    """

    post_type: tuple[str, ...] | None = None
    group_id: tuple[int, ...] | None = None
    user_id: tuple[int, ...] | None = None
    conditions: EventConditions = NO_CONDITIONS


@frozen
class BotSettings:
    """One of ``[[bots]]``, without the keys of its kind.

    :ivar name: unique; names its cursor, its metrics and its log lines.
    :ivar access_token: the token that it shows on the port, or that is sent to it; None for none.
    :ivar accounts: the numbers of the accounts that it may use; None for all.
    :ivar dials_in: whether the bot connects to our port; if not, we dial it, or post to it.
    :ivar filter: what events must pass beside ``events``; None for no filter.
    :ivar at_least_once: whether ``delivery`` is ``"at-least-once"``: events are kept until it confirmed them.
    """

    name: str
    access_token: str | None = field(default=None, repr=False, metadata=asks_for(Change.SESSIONS))
    accounts: tuple[int, ...] | None = None
    message_format: MessageFormat = MessageFormat.AS_IS
    actions: ActionSettings = ActionSettings()
    events: EventSettings = EventSettings()
    at_least_once: bool = False
    replay: ReplayPolicy = Factory(ReplayPolicy)
    dials_in: bool = True
    filter: EventFilter | None = None


def port_owners(bots: Iterable[BotSettings]) -> dict[str | None, str]:
    """Return for each token that opens the port the name of the bot that it opens it for.

    The token is what tells apart the bots that dial in. None stands for requests without a token, which are
    for programs on this machine. What a bot that we dial or post to has (a token, or none) opens the port for
    it only if it is nobody else's.
    """
    bots = tuple(bots)
    owners: dict[str | None, str] = {bot.access_token: bot.name for bot in bots if bot.dials_in}
    others: dict[str | None, list[str]] = {}
    for bot in bots:
        if not bot.dials_in:
            others.setdefault(bot.access_token, []).append(bot.name)
    for shown, names in others.items():
        if shown not in owners and len(names) == 1:
            owners[shown] = names[0]
    return owners


def read_bot(section: Section) -> BotSettings:
    """Read the keys that all kinds of bots share; mistakes are collected in the section."""
    name = section.read("name", text)
    at_least_once = section.read("delivery", choice(("live", "at-least-once")), "live") == "at-least-once"
    message_format = section.read("message_format", choice(("as-is", "array", "string")), "as-is")
    access_token = section.read_secret("access_token", token)
    accounts = None
    if section.has("accounts"):
        accounts = section.read_list("accounts", read_number, (), at_least=1)
        for number, self_id in enumerate(accounts):
            if self_id in accounts[:number]:
                section.add_problem(f"accounts[{number}]", f"{self_id} stands there twice")
    return BotSettings(
        name or "",
        access_token,
        accounts,
        MessageFormat(message_format or "as-is"),
        _read_actions(section),
        _read_events(section),
        at_least_once,
        _read_replay(section, at_least_once),
        filter=_read_filter(section),
    )


def _list_or_none(section: Section, key: str, reader: Callable[[Any], Any]) -> Any:
    """Read a list; return None where the key is missing, since an empty list means something else."""
    return section.read_list(key, reader, ()) if section.has(key) else None


def _read_actions(bot: Section) -> ActionSettings:
    section = bot.section("actions")
    allow = _list_or_none(section, "allow", action_pattern)
    deny = section.read_list("deny", action_pattern, ())
    bound = section.read("rate", read_rate) if section.has("rate") else None
    section.finish()
    return ActionSettings(allow, deny, bound)


#: Keys of ``events`` that people write from what they know of other programs, and what they write here.
_OTHER_KEYS = {
    "groups": "is written as group_id = [...] for the groups whose events it gets, "
    "and deny = { group_id = [...] } for those whose events it does not get",
    "users": "is written as user_id = [...] for the users whose events it gets, "
    "and deny = { user_id = [...] } for those whose events it does not get",
    "allow": "is written without it: group_id = [...] and user_id = [...] directly in events",
    "filter": "belongs into [[bots]], beside events",
    "filter_file": "belongs into [[bots]], beside events",
    **{
        key: f"belongs into any_of = {{ {key} = ... }}, which lets messages pass that meet one of its keys"
        for key in ("at_me", "prefix", "keyword", "reply_to_me")
    },
}


#: Keys of the tables inside of ``[[bots]]`` that people write directly into it, and where they belong.
KEYS_OF_INNER_TABLES = {
    **{
        key: f"belongs into events = {{ {key} = ... }}"
        for key in ("post_type", "group_id", "user_id", "private", "roles", "any_of")
    },
    **{
        key: f"belongs into events = {{ any_of = {{ {key} = ... }} }}"
        for key in ("at_me", "prefix", "keyword", "reply_to_me")
    },
    "allow": "belongs into actions = { allow = [...] }; events are listed as events = { group_id = [...] }",
    "deny": "belongs into events = { deny = { group_id = [...] } }, or into actions = { deny = [...] }",
}


def _read_events(bot: Section) -> EventSettings:
    section = bot.section("events")
    lists = (
        _list_or_none(section, "post_type", text),
        _list_or_none(section, "group_id", read_number),
        _list_or_none(section, "user_id", read_number),
    )
    deny = section.section("deny")
    deny_groups = deny.read_list("group_id", read_number, ())
    deny_users = deny.read_list("user_id", read_number, ())
    deny.finish()
    private = section.read("private", boolean, True)
    roles = _list_or_none(section, "roles", choice(GROUP_ROLES))
    conditions = EventConditions(
        frozenset(deny_groups),
        frozenset(deny_users),
        private is not False,
        None if roles is None else frozenset(roles),
        _read_any_of(section, private),
    )
    section.finish(_OTHER_KEYS)
    return EventSettings(*lists, conditions)


def _read_any_of(events: Section, private: bool | None) -> AnyOf | None:
    """Read ``any_of``.

    :param private: the ``private`` beside it; None if it is invalid.
    """
    section = events.section("any_of")
    if not events.has("any_of") or not section.is_table:
        return None
    switches = {key: section.read(key, boolean, False) for key in ("at_me", "private", "reply_to_me")}
    prefix = section.read_list("prefix", _beginning, (), int(section.has("prefix")))
    keyword = section.read_list("keyword", text, (), int(section.has("keyword")))
    section.finish()
    has_lists = section.has("prefix") or section.has("keyword")
    if not has_lists and not any(switches.values()) and None not in switches.values():
        events.add_problem(
            "any_of",
            "no message would pass: expected at least one of at_me = true, reply_to_me = true, "
            "private = true, prefix = [...] and keyword = [...]",
        )
    elif (
        not has_lists
        and private is False
        and [key for key, value in switches.items() if value] == ["private"]
    ):
        events.add_problem(
            "any_of", "no message would pass: any_of lets private ones pass only, and private = false none"
        )
    return AnyOf(
        at_me=bool(switches["at_me"]),
        prefix=prefix,
        keyword=keyword,
        private=bool(switches["private"]),
        reply_to_me=bool(switches["reply_to_me"]),
    )


def _beginning(value: Any) -> str:
    """Read what a text may begin with."""
    read = text(value)
    if read != read.lstrip():
        raise InvalidValue("expected a string without blanks in front; those of messages are left out too")
    return read


def _filter_text(value: Any) -> str | None:
    """Read the text of a filter; None where the key is missing."""
    if value is None:
        return None
    if isinstance(value, dict):
        raise InvalidValue("expected the filter's JSON as a string: filter = '''{ ... }'''")
    if not isinstance(value, str) or not value.strip():
        raise InvalidValue("expected a string that is not empty: the filter's JSON, as in '''{ ... }'''")
    return str(value)


def _read_filter(section: Section) -> EventFilter | None:
    """Read ``filter`` or ``filter_file``; each mistake in it is reported with its path inside the filter."""
    if section.has("filter") and section.has("filter_file"):
        section.add_problem("filter_file", "filter is given too; one of them is enough")
    in_place = section.read("filter", _filter_text, None)
    for key, source in (("filter", in_place), ("filter_file", section.read_named_file("filter_file"))):
        if source is None:
            continue
        try:
            return read_filter(source)
        except BadFilter as bad:
            for mistake in bad.mistakes:
                section.add_problem(key, str(mistake))
    return None


def _read_replay(bot: Section, at_least_once: bool) -> ReplayPolicy:
    section = bot.section("replay")
    if not at_least_once and bot.has("replay"):
        bot.add_problem("replay", 'is for delivery = "at-least-once"; a live bot gets nothing late')
    read = ReplayPolicy(
        section.read("max_age", duration(0.001, 366 * 86400)) if section.has("max_age") else None,
        section.read("max_events", whole_number(0, 1_000_000)) if section.has("max_events") else None,
        section.read("rate", events_per_second) if section.has("rate") else None,
        bool(section.read("mark", boolean, False)),
        section.read("grace", duration(0.001, 3600, zero=True), "0s") or 0.0,
        section.read("delay", duration(0.001, 3600, zero=True), "1s") or 0.0,
    )
    section.finish()
    return read
