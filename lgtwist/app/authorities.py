"""The ``ca_file`` of everything that is dialled or posted to: read again while the service runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from lgtwist.app.configuration import Config
from lgtwist.config.authorities import Authorities, BadAuthorities
from lgtwist.runtime.logs import Logger

_log = Logger()


def authorities_of(config: Config) -> list[Authorities]:
    """Return the authorities of all accounts, bots and alerts that name some."""
    settings: list[Any] = [one.settings for one in config.accounts] + [one.settings for one in config.bots]
    found = (getattr(one, "trust_root", None) for one in (*settings, *config.alerts))
    return [one for one in found if one is not None]


def authority_warnings(config: Config) -> list[str]:
    """Return why no certificate can be verified by one of the files, a sentence each."""
    sentences = [sentence for one in authorities_of(config) for sentence in one.warnings()]
    return list(dict.fromkeys(sentences))  # several may name one file


async def renew_authorities(config: Config, in_thread: Callable[..., Deferred[Any]]) -> None:
    """Read the files that have changed; new connections are verified by those that can be used.

    A file that cannot be used is one log line; what it held before is used on, and it is not read again
    before it changes.

    :param in_thread: calls a function, which may block, in a thread.
    """
    renewed, refused = set(), set()
    for authorities in authorities_of(config):
        if not authorities.changed():
            continue
        try:
            authorities.use(await in_thread(authorities.read_again))
            renewed.add(authorities)
        except BadAuthorities as error:
            refused.add(str(error))
    for authorities in renewed:
        _log.info(
            "{path}: its renewed certificates verify new connections from now on", path=str(authorities.path)
        )
        for sentence in authorities.warnings():
            _log.warn("{sentence}", sentence=sentence)
    for why in refused:
        _log.error("{why}; what it held before is still used", why=why)


def with_running_authorities(
    old: Config, new: Config
) -> tuple[Config, tuple[tuple[Authorities, Authorities], ...]]:
    """Return a new configuration whose accounts, bots and alerts keep the authorities that they use.

    That concerns those whose ``ca_file`` has the same path as before: links that are up need not be made
    anew where only the file has changed; and of alerts those that have not changed.

    :returns: the configuration, and pairs of the authorities that are used and what was read for them.
    """
    pairs: list[tuple[Authorities, Authorities]] = []

    def unchanged(one: Any, before: Any) -> Any:
        read = getattr(one.settings, "trust_root", None)
        used = getattr(getattr(before, "settings", None), "trust_root", None)
        if read is None or read != used or type(one.settings) is not type(before.settings):
            return one
        pairs.append((used, read))
        return evolve(one, settings=evolve(one.settings, trust_root=used))

    accounts = {account.self_id: account for account in old.accounts}
    bots = {bot.bot.name: bot for bot in old.bots}
    running = evolve(
        new,
        accounts=tuple(unchanged(account, accounts.get(account.self_id)) for account in new.accounts),
        bots=tuple(unchanged(bot, bots.get(bot.bot.name)) for bot in new.bots),
    )
    alerts, left = [], list(old.alerts)
    for alert in new.alerts:
        if alert in left:  # equal: what sends its messages goes on
            same = left.pop(left.index(alert))
            if alert.trust_root is not None and same.trust_root is not None:
                pairs.append((same.trust_root, alert.trust_root))
            alerts.append(same)
        else:
            alerts.append(alert)
    return evolve(running, alerts=tuple(alerts)), tuple(pairs)
