"""The tokens and secrets of a configuration, so that they can be hidden where text is shown."""

from __future__ import annotations

from lgtwist.app.configuration import Config

#: The keys that are secret.
SECRET_KEYS = ("access_token", "admin_token", "secret")
#: Tokens of former configurations of this run that are remembered.
_MOST_REMEMBERED = 10_000


def configured_secrets(config: Config) -> frozenset[str]:
    """Return the tokens and secrets of a configuration."""
    tables: list[object] = [config.server, *(account.settings for account in config.accounts)]
    for bot in config.bots:
        tables += [bot.bot, bot.settings]
    found = (getattr(table, key, None) for table in tables for key in SECRET_KEYS)
    alerts = (alert.secrets() for alert in config.alerts)
    return frozenset(one for one in found if isinstance(one, str) and one).union(*alerts)


class KnownSecrets:
    """The tokens and secrets that were valid in this run: old lines of the log may have them."""

    def __init__(self) -> None:
        self._config: Config | None = None
        self._made: str | None = None
        self._known: frozenset[str] = frozenset()

    def note(self, config: Config, made: str | None) -> frozenset[str]:
        """Return all of them, with those of this configuration.

        :param made: the admin token that the service made; None for none.
        """
        if config is not self._config or made != self._made:
            self._config, self._made = config, made
            now = configured_secrets(config) | ({made} if made else frozenset())
            if not now <= self._known:
                self._known = now if len(self._known) > _MOST_REMEMBERED else self._known | now
        return self._known


__all__ = ["SECRET_KEYS", "KnownSecrets", "configured_secrets"]
