"""What each bot may do and see, for people: as codes that the pages have words for, and counted by groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from twisted.web.server import Request

from lgtwist.console.interfaces import ServiceView
from lgtwist.console.routing import RouteHandler
from lgtwist.filters.conditions import GROUP_ROLES, EventConditions
from lgtwist.hub.bot import Bot
from lgtwist.hub.settings import BotSettings, EventSettings
from lgtwist.onebot.catalogue import action_groups, catalogue

#: Bots that are listed: each takes a millisecond.
_MOST_BOTS = 50
#: Patterns, numbers and the like of one list that are shown; there may be any number in a configuration.
_MOST_VALUES = 500
#: What a sentence about a bot speaks of, in this order, and actions that do it. Not all: those that most
#: implementations have under a name of their own, so that "may not" is said where none of them is allowed.
ABILITIES: Mapping[str, tuple[str, ...]] = {
    "read": (
        *("get_msg", "get_group_msg_history", "get_friend_list", "get_stranger_info"),
        *("get_group_list", "get_group_info", "get_group_member_list", "get_group_member_info"),
    ),
    "send": ("send_msg", "send_group_msg", "send_private_msg"),
    "recall": ("delete_msg",),
    "requests": ("set_friend_add_request", "set_group_add_request"),
    "ban": ("set_group_ban", "set_group_whole_ban", "set_group_anonymous_ban"),
    "kick": ("set_group_kick", "set_group_kick_members", "batch_delete_group_member"),
    "manage": ("set_group_admin", "set_group_name", "set_group_card", "set_group_special_title"),
    "leave": ("set_group_leave", "delete_friend"),
    "files": ("get_file", "upload_group_file", "upload_private_file", "download_file"),
    "credentials": ("get_cookies", "get_credentials", "get_csrf_token", "get_clientkey", "get_rkey"),
    "packets": ("send_packet", ".send_packet", "send_pb"),
}


#: What lets a bot do the whole of an ability, where a part is worth telling; ``send_msg`` sends everywhere.
_WHOLE_ABILITIES: Mapping[str, frozenset[str]] = {
    "read": frozenset(ABILITIES["read"]),
    "send": frozenset(("send_group_msg", "send_private_msg")),
    "manage": frozenset(ABILITIES["manage"]),
}


class PermissionRoutes:
    """Answers ``GET permissions``.

    :param view: the running service.
    :param seconds: returns seconds of the clock by which the rates of bots are counted: the reactor's.
    """

    def __init__(self, view: ServiceView, seconds: Callable[[], float]) -> None:
        self._view = view
        self._seconds = seconds
        # What does not change until the settings do, by the bot's name: pages ask every few seconds.
        self._known: dict[str, tuple[BotSettings, dict[str, Any]]] = {}

    def routes(self) -> Mapping[tuple[str, str], RouteHandler]:
        """Return the handlers by method and first segment."""
        return {("GET", "permissions"): self._list}

    def _list(self, _request: Request, _rest: tuple[str, ...], _body: bytes) -> dict[str, Any]:
        return self.list()

    def list(self) -> dict[str, Any]:
        """Return what each bot may do and see, in the order of the configuration; see docs/console-api.md."""
        bots = self._view.directory.bots
        now = self._seconds()
        known, self._known = self._known, {}
        for bot in islice(bots.values(), _MOST_BOTS):
            before = known.get(bot.name)
            is_same = before is not None and before[0] is bot.settings
            self._known[bot.name] = before if before and is_same else (bot.settings, _permissions_json(bot))
        return {
            "groups": [{"name": each.name, "zh": each.zh, "en": each.en} for each in action_groups()],
            "bots": [
                {**known_part, "rate": _rate(bots[name], now)}
                for name, (_, known_part) in self._known.items()
            ],
            "more": max(0, len(bots) - _MOST_BOTS),
        }


def _rate(bot: Bot, now: float) -> dict[str, Any] | None:
    rate = bot.rate
    if rate is None:
        return None
    left, wait = rate.left(now), round(rate.wait(now), 3)
    return {"most": rate.most, "seconds": rate.seconds, "left": left, "wait": wait}


def _permissions_json(bot: Bot) -> dict[str, Any]:
    """Return what is told of a bot, without what is left of its rate."""
    settings = bot.settings
    actions, events = settings.actions, settings.events
    lists = (
        settings.accounts,
        actions.allow,
        actions.deny,
        events.post_type,
        events.group_id,
        events.user_id,
        tuple(events.conditions.deny_groups),
        tuple(events.conditions.deny_users),
    )
    return {
        "bot": bot.name,
        "accounts": _first_values(settings.accounts),
        "allow": _first_values(actions.allow),
        "deny": _first_values(actions.deny),
        "events": {
            "post_type": _first_values(events.post_type),
            "group_id": _first_values(events.group_id),
            "user_id": _first_values(events.user_id),
        },
        "conditions": _conditions_json(events.conditions),
        "filter": None if settings.filter is None else settings.filter.grammar.value,
        "cut": any(values is not None and len(values) > _MOST_VALUES for values in lists),
        "sentence": sentence_parts(bot),
        "groups": _group_counts(bot),
    }


def _conditions_json(conditions: EventConditions) -> dict[str, Any] | None:
    """Return what ``events`` has beside its lists, as the configuration has it; None for nothing."""
    if not conditions:
        return None
    return {
        "deny": {
            "group_id": _first_values(tuple(sorted(conditions.deny_groups))),
            "user_id": _first_values(tuple(sorted(conditions.deny_users))),
        },
        "private": conditions.private,
        "roles": None if conditions.roles is None else sorted(conditions.roles),
        "any_of": _any_of_json(conditions),
    }


def _any_of_json(conditions: EventConditions) -> dict[str, Any] | None:
    """Return the keys of ``any_of`` that are asked for."""
    any_of = conditions.any_of
    if any_of is None:
        return None
    values = {name: getattr(any_of, name) for name in any_of.asked}
    return {name: _first_values(one) if isinstance(one, tuple) else one for name, one in values.items()}


def _first_values(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else list(values[:_MOST_VALUES])


def sentence_parts(bot: Bot) -> list[dict[str, Any]]:
    """Return the parts of the sentence that says what a bot may do and see: ``{"code", "args"}`` each.

    The codes are ``may_all`` or ``may_nothing``, else ``may`` and ``may_not`` (``abilities``: keys of
    :data:`ABILITIES`; ``partly``: those of them of which it may use some actions only); ``rate`` (``most``,
    ``seconds``); ``accounts`` (``accounts``); and one of ``all_events``, ``no_events`` and ``events``
    (``post_types``, ``groups``, ``users``; None where there is no such list). Where it has conditions or a
    filter, they stand in place of ``all_events``, or behind ``events``: ``none_of`` (``groups``, ``users``;
    None where it gets them), ``no_private``, ``only_roles`` (``roles``), ``only_any_of`` (``any_of``: its
    keys with their values), and ``filter`` (``grammar``).
    """
    settings = bot.settings
    parts = _action_parts(bot)
    if settings.actions.rate is not None:
        most, seconds = settings.actions.rate
        parts.append(_part("rate", most=most, seconds=seconds))
    if settings.accounts is not None:
        parts.append(_part("accounts", accounts=_first_values(settings.accounts)))
    event_part, conditions = _event_part(settings.events), _condition_parts(settings)
    if event_part["code"] == "no_events":
        return [*parts, event_part]
    if event_part["code"] != "all_events" or not conditions:
        parts.append(event_part)
    return [*parts, *conditions]


def _part(code: str, **arguments: Any) -> dict[str, Any]:
    return {"code": code, "args": arguments}


def _action_parts(bot: Bot) -> list[dict[str, Any]]:
    actions = bot.settings.actions
    if actions.allow is None and not actions.deny:
        return [_part("may_all")]
    if actions.allow is not None and not actions.allow:
        return [_part("may_nothing")]
    may, partly, may_not = [], [], []
    for ability, names in ABILITIES.items():
        allowed = {name for name in names if bot.explain_permission(name).allowed}
        if not allowed:
            may_not.append(ability)
            continue
        may.append(ability)
        if not (allowed >= _WHOLE_ABILITIES.get(ability, allowed) or "send_msg" in allowed):
            partly.append(ability)
    parts = [_part("may", abilities=may, partly=partly)] if may else []
    return [*parts, _part("may_not", abilities=may_not)] if may_not else parts


def _event_part(events: EventSettings) -> dict[str, Any]:
    lists = (events.post_type, events.group_id, events.user_id)
    if lists == (None, None, None):
        return _part("all_events")
    if () in lists:
        return _part("no_events")
    names = ("post_types", "groups", "users")
    return _part("events", **{name: _first_values(values) for name, values in zip(names, lists, strict=True)})


def _condition_parts(settings: BotSettings) -> list[dict[str, Any]]:
    conditions = settings.events.conditions
    parts = []
    if conditions.deny_groups or conditions.deny_users:
        groups, users = sorted(conditions.deny_groups), sorted(conditions.deny_users)
        parts.append(
            _part(
                "none_of",
                groups=_first_values(tuple(groups)) if groups else None,
                users=_first_values(tuple(users)) if users else None,
            )
        )
    if not conditions.private:
        parts.append(_part("no_private"))
    if conditions.roles is not None:
        parts.append(_part("only_roles", roles=[role for role in GROUP_ROLES if role in conditions.roles]))
    if conditions.any_of is not None:
        parts.append(_part("only_any_of", any_of=_any_of_json(conditions)))
    if settings.filter is not None:
        parts.append(_part("filter", grammar=settings.filter.grammar.value))
    return parts


def _group_counts(bot: Bot) -> list[dict[str, Any]]:
    """Return for each group of the catalogue how many of its actions the bot may use.

    Where these are some, their names are there as ``only``, or those of the others as ``but``: whichever
    are fewer.
    """
    allowed: dict[str, list[str]] = {group.name: [] for group in action_groups()}
    denied: dict[str, list[str]] = {group.name: [] for group in action_groups()}
    for entry in catalogue():
        (allowed if bot.explain_permission(entry.name).allowed else denied)[entry.group].append(entry.name)
    counts = []
    for group, names in allowed.items():
        others = denied[group]
        count: dict[str, Any] = {"group": group, "allowed": len(names), "all": len(names) + len(others)}
        if names and others:
            count.update({"only": names} if len(names) <= len(others) else {"but": others})
        counts.append(count)
    return counts
