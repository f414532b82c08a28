"""The differences of two configurations, and what must be done about each. Pure.

Which key is changed in place, which ends connections, and which makes an edge anew stands as metadata beside
the fields of the settings (:mod:`lgtwist.config.change`); which waits for a restart is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from math import inf
from typing import Any, Generic, TypeVar

from attrs import evolve, fields, frozen

from lgtwist.alerts.settings import AlertSettings
from lgtwist.app.authorities import with_running_authorities
from lgtwist.app.configuration import AccountConfig, BotConfig, Config
from lgtwist.config.authorities import Authorities
from lgtwist.config.change import Change, compare

_Item = TypeVar("_Item")


@frozen
class Changed(Generic[_Item]):
    """One account or bot that both configurations have, and that differs.

    :ivar change: the greatest change among its differences.
    """

    old: _Item
    new: _Item
    change: Change


@frozen
class Differences(Generic[_Item]):
    """The accounts, or the bots, that two configurations differ in, in the order of the configurations."""

    removed: tuple[_Item, ...]
    added: tuple[_Item, ...]
    changed: tuple[Changed[_Item], ...]

    def __bool__(self) -> bool:
        return bool(self.removed or self.added or self.changed)


@frozen
class Changes:
    """Everything that two configurations differ in.

    :ivar running: the new configuration, with the old values of the keys that wait for a restart.
    :ivar reordered: whether the accounts that both have stand in another order.
    :ivar closed: endpoints that are to be closed.
    :ivar opened: endpoints that are to be opened.
    :ivar server: which of ``admin_token`` and ``allowed_origins`` changed.
    :ivar limits: the names of the limits that changed.
    :ivar journal: the names of the journal's keys that changed, without those that wait for a restart.
    :ivar console: the names of the console's keys that changed.
    :ivar alerts: what changed of ``[[alerts]]``, as ``alerts[0] changed``.
    :ivar authorities: pairs of the authorities that links use, and what was read for them.
    :ivar waiting: the keys whose change waits for a restart.
    """

    running: Config
    accounts: Differences[AccountConfig]
    bots: Differences[BotConfig]
    reordered: bool
    closed: tuple[str, ...]
    opened: tuple[str, ...]
    server: tuple[str, ...]
    limits: tuple[str, ...]
    journal: tuple[str, ...]
    console: tuple[str, ...]
    alerts: tuple[str, ...]
    authorities: tuple[tuple[Authorities, Authorities], ...]
    waiting: tuple[str, ...]

    @property
    def nothing(self) -> bool:
        """Whether nothing changed, but for keys that wait for a restart."""
        lists = (self.closed, self.opened, self.server, self.limits, self.journal, self.console)
        others = (*lists, self.alerts, self.renewed)
        return not (self.accounts or self.bots or self.reordered or any(others))

    @property
    def renewed(self) -> list[str]:
        """The paths of the ``ca_file`` whose certificates are others than those that are used."""
        paths = (str(used.path) for used, read in self.authorities if not used.same_certificates(read))
        return list(dict.fromkeys(paths))

    def describe(self) -> str:
        """Return one log line that names what changed, without secrets."""
        parts = [*_describe(self.accounts, _account_name), *_describe(self.bots, _bot_name)]
        if self.reordered:
            parts.append("the order of accounts")
        parts += [f"endpoint {one} closed" for one in self.closed]
        parts += [f"endpoint {one} opened" for one in self.opened]
        for table, names in (("limits", self.limits), ("journal", self.journal), ("console", self.console)):
            parts += [f"{table}.{name}" for name in names]
        parts += self.server
        parts += self.alerts
        parts += [f"certificates of {path} read again" for path in self.renewed]
        line = ", ".join(parts) or "nothing changed"
        if self.waiting:
            line += f"; waits for a restart: {', '.join(self.waiting)}"
        return line


@frozen
class ReloadOutcome:
    """The result of a reload.

    :ivar lines: what the log says of it.
    :ivar applied: whether the configuration that was read is the running one now.
    :ivar changed: whether something changed.
    :ivar waiting: the keys whose change waits for a restart.
    """

    lines: tuple[str, ...] = ()
    applied: bool = False
    changed: bool = False
    waiting: tuple[str, ...] = ()


def _describe(differences: Differences[_Item], name: Callable[[_Item], str]) -> list[str]:
    return [
        *(f"{name(one)} removed" for one in differences.removed),
        *(f"{name(one)} added" for one in differences.added),
        *(
            f"{name(one.new)} {'made anew' if one.change is Change.ANEW else 'changed'}"
            for one in differences.changed
        ),
    ]


def _account_name(account: AccountConfig) -> str:
    return f"account {account.self_id}"


def _bot_name(bot: BotConfig) -> str:
    return f'bot "{bot.bot.name}"'


def changes(old: Config, new: Config, open_files: float = inf) -> Changes:
    """Compare the running configuration with a new one.

    :param open_files: how many files the process may open.
    """
    waiting: list[str] = []
    new, authorities = with_running_authorities(old, new)
    running = new
    if new.data_dir != old.data_dir:
        waiting.append("data_dir")
        running = evolve(running, data_dir=old.data_dir)
    deferred = {}
    for name in ("sync", "set_aside"):
        if getattr(new.journal, name) != getattr(old.journal, name):
            waiting.append(f"journal.{'on_damage' if name == 'set_aside' else name}")
            deferred[name] = getattr(old.journal, name)
    if deferred:
        running = evolve(running, journal=evolve(new.journal, **deferred))
    before, after = old.limits.connections, new.limits.connections
    if after != before and after > open_files:
        waiting.append(f"limits.connections (this process may open {open_files} files)")
        running = evolve(running, limits=evolve(new.limits, connections=before))
    adopted = [
        endpoint
        for endpoint in {*new.server.endpoints} ^ {*old.server.endpoints}
        if endpoint.startswith("systemd:")
    ]
    if adopted:
        # Parsing such an endpoint closes the number that it adopts, or adopts another file.
        waiting.append("server.endpoints (systemd)")
        endpoints = [one for one in new.server.endpoints if one not in adopted]
        endpoints += [one for one in old.server.endpoints if one in adopted]
        running = evolve(running, server=evolve(new.server, endpoints=tuple(endpoints)))
    listening, to_listen = old.server.endpoints, running.server.endpoints
    return Changes(
        running=running,
        accounts=_differences(old.accounts, new.accounts, lambda one: one.self_id, _compare_accounts),
        bots=_differences(old.bots, new.bots, lambda one: one.bot.name, _compare_bots),
        reordered=_numbers_of_both(old, new) != _numbers_of_both(new, old),
        closed=tuple(one for one in listening if one not in to_listen),
        opened=tuple(one for one in to_listen if one not in listening),
        server=tuple(
            name
            for name in ("admin_token", "allowed_origins")
            if getattr(old.server, name) != getattr(new.server, name)
        ),
        limits=_names(old.limits, running.limits),
        journal=_names(old.journal, running.journal),
        console=_names(old.console, running.console),
        alerts=_describe_alerts(old.alerts, running.alerts),
        authorities=authorities,
        waiting=tuple(waiting),
    )


def _describe_alerts(old: Sequence[AlertSettings], new: Sequence[AlertSettings]) -> tuple[str, ...]:
    """Return which of ``[[alerts]]`` changed, without secrets; entries have no names but their places."""
    parts = [f"alerts[{at}] changed" for at, one in enumerate(new) if at < len(old) and one != old[at]]
    parts += [f"alerts[{at}] added" for at in range(len(old), len(new))]
    parts += [f"alerts[{at}] removed" for at in range(len(new), len(old))]
    return tuple(parts)


def _numbers_of_both(config: Config, other: Config) -> list[int]:
    """Return the numbers of the accounts that two configurations have, in the order of the first."""
    known = {account.self_id for account in other.accounts}
    return [account.self_id for account in config.accounts if account.self_id in known]


def _differences(
    old: Iterable[_Item],
    new: Iterable[_Item],
    key: Callable[[_Item], Hashable],
    compare_items: Callable[[_Item, _Item], Change],
) -> Differences[_Item]:
    before, after = {key(one): one for one in old}, {key(one): one for one in new}
    both = [(before[name], after[name]) for name in after if name in before]
    changed = [Changed(one, other, compare_items(one, other)) for one, other in both]
    return Differences(
        tuple(one for name, one in before.items() if name not in after),
        tuple(one for name, one in after.items() if name not in before),
        tuple(one for one in changed if one.change is not Change.NOTHING),
    )


def _names(old: Any, new: Any) -> tuple[str, ...]:
    """Return the names of the fields that two structs of one class differ in."""
    return tuple(one.name for one in fields(type(old)) if getattr(old, one.name) != getattr(new, one.name))


def _compare_accounts(old: AccountConfig, new: AccountConfig) -> Change:
    if old.type != new.type:
        return Change.ANEW
    return compare(old.settings, new.settings)


def _compare_bots(old: BotConfig, new: BotConfig) -> Change:
    if old.connection != new.connection:
        return Change.ANEW
    change = max(compare(old.bot, new.bot), compare(old.settings, new.settings))
    if old.bot.access_token != new.bot.access_token and new.kind.SENDS_TOKEN:
        return Change.ANEW  # the old one was sent when the connection was opened
    return change
