"""Where keys belong: told to whoever wrote one in another table. Pure."""

from __future__ import annotations

from functools import cache
from typing import Any

from attrs import evolve

from lgtwist.alerts.settings import read_alert
from lgtwist.app.kinds import ACCOUNT_KINDS, BOT_KINDS
from lgtwist.config.limits import read_limits
from lgtwist.config.section import UNKNOWN_KEY, Problem, Section
from lgtwist.console.settings import read_console
from lgtwist.hub.settings import read_bot
from lgtwist.journal.settings import read_journal
from lgtwist.web.settings import read_server

#: The place of the keys above all tables.
_TOP = "the top of the file"


def with_place(problem: Problem) -> Problem:
    """Return a problem; if it is an unknown key that another table has, with a sentence that names that one.

    :param problem: one of :class:`Section`.
    """
    if not problem.sentence.startswith(UNKNOWN_KEY):
        return problem
    table, _dot, key = problem.path.rpartition(".")
    places = [place for place, keys in _keys().items() if key in keys]
    mine = [place for place in places if place.partition(" ")[0] == f"[[{table.partition('[')[0]}]]"]
    if mine:
        return evolve(problem, sentence=f"{UNKNOWN_KEY} here: it is for {_or(mine)}")
    if places and "meant" not in problem.sentence:
        tables = list(dict.fromkeys(place.partition(" with")[0] for place in places))
        return evolve(problem, sentence=f"{UNKNOWN_KEY} here: it belongs to {_or(tables)}")
    return problem


def _or(places: list[str]) -> str:
    return " or ".join([*([", ".join(places[:-1])] if places[:-1] else []), places[-1]])


@cache
def _keys() -> dict[str, tuple[str, ...]]:
    """Return the keys of each table; of ``[[accounts]]`` and ``[[bots]]`` those of each kind."""
    keys = {
        _TOP: ("data_dir", "server", "console", "accounts", "bots", "journal", "limits", "alerts"),
        "[server]": _keys_that_are_read(read_server),
        "[console]": _keys_that_are_read(read_console),
        "[journal]": _keys_that_are_read(read_journal),
        "[limits]": _keys_that_are_read(read_limits),
        "[[alerts]]": _keys_that_are_read(read_alert),
    }
    for name, account in ACCOUNT_KINDS.items():
        keys[f'[[accounts]] with type = "{name}"'] = ("self_id", *_keys_that_are_read(account.read))
    common = _keys_that_are_read(read_bot)
    for name, bot in BOT_KINDS.items():
        keys[f'[[bots]] with connection = "{name}"'] = (*common, *_keys_that_are_read(bot.read))
    return keys


def _keys_that_are_read(read: Any) -> tuple[str, ...]:
    """Return the keys that a reader of a table looks for."""
    section = Section("", {}, [], str)
    read(section)
    return section.known
