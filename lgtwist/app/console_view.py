"""The running service as the console sees it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from lgtwist.alerts.service import AlertService
from lgtwist.app.configuration import Config
from lgtwist.app.configuration_editor import ConfigurationEditor
from lgtwist.app.reload import ReloadOutcome
from lgtwist.app.warnings import warnings
from lgtwist.config.limits import Limits
from lgtwist.console.interfaces import BackupFile
from lgtwist.delivery.interfaces import IJournal
from lgtwist.hub.directory import Directory
from lgtwist.hub.rate_limit import RateLimiters
from lgtwist.sandbox.actions import ACTIONS
from lgtwist.web.refused_handshakes import RefusedHandshake

if TYPE_CHECKING:
    from lgtwist.app.service import LgtwistService


class RunningService:
    """Implements ``console.interfaces.ServiceView``, by whose methods the console sees the service.

    :param service: what runs.
    """

    def __init__(self, service: LgtwistService) -> None:
        self._service = service
        self._config: Config | None = None
        self._read: tuple[dict[int, str], dict[str, str]] = ({}, {})

    @property
    def limits(self) -> Limits:
        """The present limits."""
        return self._service.config.limits

    @property
    def rate_limiters(self) -> RateLimiters:
        """The queues of ``_rate_limited`` actions."""
        return self._service.rate_limiters

    @property
    def directory(self) -> Directory:
        """The accounts and bots."""
        return self._service.directory

    @property
    def started(self) -> float:
        """When the service was started; seconds since the epoch."""
        return self._service.started

    def account_edge(self, self_id: int) -> Any:
        """Return the edge of an account; None if there is none."""
        return self._service.account_edge(self_id)

    def bot_edge(self, name: str) -> Any:
        """Return the edge of a bot; None if there is none."""
        return self._service.bot_edge(name)

    def account_type(self, self_id: int) -> str:
        """Return the ``type`` of an account in the configuration; empty if there is no such account."""
        return self._names(self._service.config)[0].get(self_id, "")

    def bot_connection(self, name: str) -> str:
        """Return the ``connection`` of a bot in the configuration; empty if there is no such bot."""
        return self._names(self._service.config)[1].get(name, "")

    def _names(self, config: Config) -> tuple[dict[int, str], dict[str, str]]:
        """Return the types of the accounts and the connections of the bots."""
        if self._config is not config:
            self._config = config
            self._read = (
                {one.self_id: one.type for one in config.accounts},
                {one.bot.name: one.connection for one in config.bots},
            )
        return self._read

    def urls(self) -> list[str]:
        """Return the base URLs of the listening ports, without a slash at their ends."""
        return self._service.ports.urls()

    def refused_handshakes(self) -> list[RefusedHandshake]:
        """Return the handshakes refused in the last hour, the newest first."""
        return self._service.port.refused_handshakes.recent()

    def warnings(self) -> list[str]:
        """Return what is to be told about the configuration and the certificates, a sentence each."""
        return [*warnings(self._service.config), *self._service.ports.warnings()]

    def sandbox_actions(self) -> Collection[str]:
        """Return the names of the actions that sandbox accounts carry out."""
        return ACTIONS.keys()

    def journal_trouble(self) -> str:
        """Return why the journal cannot be written; empty if it can, or there is none."""
        journal = self._service.journal
        return "" if journal is None else str(journal.trouble or "")

    def journal_size(self) -> int | None:
        """Return the bytes of the journal's file; None if there is none."""
        journal = self._service.journal
        return None if journal is None else int(journal.used)

    def journal(self) -> IJournal | None:
        """Return the journal; None if no bot's delivery is at-least-once."""
        return self._service.journal

    def journal_retention(self) -> float:
        """Return how long the journal keeps events, in seconds."""
        return self._service.config.journal.retention

    def reactor_lag(self) -> float:
        """Return by how many seconds the reactor was late, the most within the last minute or so."""
        return self._service.reactor_lag

    def secrets(self) -> frozenset[str]:
        """Return the tokens and secrets that are valid now, or were in this run."""
        return self._service.secrets()

    def backup(self, secrets: bool, address: str) -> Deferred[BackupFile]:
        """Make a backup; see :meth:`~lgtwist.app.backup.Backups.make`."""
        return self._service.backups.make(secrets, address)

    def reload(self) -> Deferred[ReloadOutcome]:
        """Read the configuration again and take it."""
        return self._service.reload_again()

    def configuration(self) -> ConfigurationEditor | None:
        """Return the editor of the configuration file; None where there is none to edit."""
        return self._service.editor

    def alerts(self) -> AlertService:
        """Return what watches and tells."""
        return self._service.alerts

    def waiting(self) -> tuple[str, ...]:
        """Return the keys whose change waits for a restart."""
        return self._service.waiting

    def restart(self) -> str | None:
        """Stop the process so that it comes back; return who starts it again, None where it cannot."""
        restart = self._service.restart
        return None if restart is None else restart()
