"""What the console needs of the rooms around it; ``app`` implements it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, BinaryIO, Protocol

from attrs import frozen
from twisted.internet.defer import Deferred

from lgtwist.alerts.receiver import DeliveryRecord
from lgtwist.alerts.service import AlertEntry
from lgtwist.config.limits import Limits
from lgtwist.delivery.interfaces import IJournal
from lgtwist.hub.directory import Directory
from lgtwist.hub.rate_limit import RateLimiters
from lgtwist.web.refused_handshakes import RefusedHandshake


@frozen
class BackupFile:
    """A backup that was made: a zip.

    :ivar name: of the file that a browser saves it as.
    :ivar file: open at its beginning; nobody finds it in a folder any more. Whoever gets it closes it.
    :ivar size: bytes.
    """

    name: str
    file: BinaryIO
    size: int


class CannotBackUp(Exception):
    """There is no backup.

    :param sentence: why.
    :ivar code: ``backup_running``, ``no_space``, ``stopping`` or ``backup_failed``.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class OutcomeOfReload(Protocol):
    """The result of a reload."""

    @property
    def lines(self) -> tuple[str, ...]:
        """What the log says of it."""

    @property
    def changed(self) -> bool:
        """Whether something changed."""

    @property
    def applied(self) -> bool:
        """Whether what was read is the running configuration now."""

    @property
    def waiting(self) -> tuple[str, ...]:
        """The keys whose change waits for a restart."""


class EditableConfiguration(Protocol):
    """Edits the configuration file, without showing its secrets; ``app.configuration_editor`` implements it.

    An ``etag`` names the content of the file that a text or edits were made for. The Deferreds fail with
    ``ApiProblem`` where something is refused.
    """

    def read(self) -> Deferred[dict[str, Any]]:
        """Return the file, with masks, and what may be done about it."""

    def check(self, etag: str, text: str) -> Deferred[dict[str, Any]]:
        """Return the mistakes of a text, and how it differs from the file."""

    def edit(self, etag: str, edits: Any, text: str | None = None) -> Deferred[dict[str, Any]]:
        """Return what edits make of the file, or of a text."""

    def mistakes(self) -> Deferred[list[str]]:
        """Return why lgtwist would not start with the file as it is on the disk, a sentence each."""

    def save(self, etag: str, text: str, client: str) -> Deferred[dict[str, Any]]:
        """Write a text that has no mistakes.

        :param client: who asks, for the log.
        """


class Alerting(Protocol):
    """What the console sees of ``[[alerts]]``; ``alerts.service`` implements it."""

    def entries(self) -> Sequence[AlertEntry]:
        """Return the entries in the order of the configuration, as they are now."""

    def deliveries(self) -> Sequence[DeliveryRecord]:
        """Return the last deliveries, the newest first."""

    def send_test(self, index: int) -> Deferred[DeliveryRecord]:
        """Send a message to the receiver of an entry, as alerts are sent.

        :param index: of the entry, from 0.
        :returns: fires with what became of it; fails with ``CancelledError`` if the entry goes away
            meanwhile.
        :raises IndexError: if there is no such entry.
        """


class ServiceView(Protocol):
    """What the console sees of the running service.

    The methods may be called whenever somebody asks.
    """

    @property
    def limits(self) -> Limits:
        """The present limits."""

    @property
    def rate_limiters(self) -> RateLimiters:
        """The queues of ``_rate_limited`` actions."""

    @property
    def directory(self) -> Directory:
        """The accounts and bots."""

    @property
    def started(self) -> float:
        """When the service was started; seconds since the epoch."""

    def account_edge(self, self_id: int) -> object | None:
        """Return the edge of an account, None if there is none; see the interfaces of ``hub.interfaces``."""

    def bot_edge(self, name: str) -> object | None:
        """Return the edge of a bot, None if there is none; see the interfaces of ``hub.interfaces``."""

    def account_type(self, self_id: int) -> str:
        """Return the ``type`` of an account in the configuration; empty if there is no such account."""

    def bot_connection(self, name: str) -> str:
        """Return the ``connection`` of a bot in the configuration; empty if there is no such bot."""

    def urls(self) -> list[str]:
        """Return the base URLs of the listening ports (``ws://...``), without a slash at their ends."""

    def refused_handshakes(self) -> list[RefusedHandshake]:
        """Return the handshakes refused in the last hour, the newest first."""

    def warnings(self) -> list[str]:
        """Return what is to be told about the configuration and the certificates, a sentence each."""

    def sandbox_actions(self) -> Collection[str]:
        """Return the names of the actions that sandbox accounts carry out."""

    def journal_trouble(self) -> str:
        """Return why the journal cannot be written; empty if it can, or there is none."""

    def journal_size(self) -> int | None:
        """Return the bytes of the journal's file; None if there is none."""

    def journal(self) -> IJournal | None:
        """Return the journal; None if no bot's delivery is at-least-once."""

    def journal_retention(self) -> float:
        """Return how long the journal keeps events, in seconds."""

    def reactor_lag(self) -> float:
        """Return by how many seconds the reactor was late, the most within the last minute or so."""

    def secrets(self) -> frozenset[str]:
        """Return the tokens and secrets that are valid, or were in this run, so that they can be hidden."""

    def backup(self, secrets: bool, address: str) -> Deferred[BackupFile]:
        """Make a backup.

        :param secrets: whether tokens, certificates' keys and the like are in it.
        :param address: of whoever wants it, for the log.
        :returns: fires when it is made; may be cancelled; fails with :class:`CannotBackUp`.
        """

    def reload(self) -> Deferred[Any]:
        """Read the configuration again and take it.

        :returns: fires with a :class:`OutcomeOfReload`.
        """

    def configuration(self) -> EditableConfiguration | None:
        """Return the editor of the configuration file; None where there is none to edit."""

    def alerts(self) -> Alerting:
        """Return what watches and tells."""

    def waiting(self) -> tuple[str, ...]:
        """Return the keys whose change waits for a restart."""

    def restart(self) -> str | None:
        """Stop the process, in good order and a moment later, and start it again.

        :returns: ``supervisor`` where a supervisor starts it again, ``exec`` where it does so itself; None
            where neither is possible.
        """
