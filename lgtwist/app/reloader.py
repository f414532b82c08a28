"""Change the configuration while the service runs: read, prepare, commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread

from lgtwist.app.admin_token import MadeToken
from lgtwist.app.authorities import authority_warnings
from lgtwist.app.configuration import AccountConfig, Config
from lgtwist.app.configuration_file import ConfigurationError
from lgtwist.app.reload import Changes, ReloadOutcome, changes
from lgtwist.app.warnings import plain_tokens
from lgtwist.config.change import Change
from lgtwist.hub.account import Account
from lgtwist.hub.edges import CannotPrepare, IEdge
from lgtwist.journal.store import JournalError
from lgtwist.net.ports import CannotListen
from lgtwist.runtime.logs import CONFIGURED, Logger
from lgtwist.runtime.platform import open_files_limit
from lgtwist.runtime.tasks import spawn

if TYPE_CHECKING:
    from lgtwist.app.service import LgtwistService


@define
class _Prepared:
    """What was prepared before anything is changed.

    :ivar accounts: accounts that are new or get a new edge, each with the edge, which is prepared.
    :ivar admin_token: the token that is made where none is configured.
    :ivar ports: the change of the listening ports: ``commit()`` or ``undo()``.
    """

    accounts: dict[int, tuple[Account, IEdge]] = field(factory=dict)
    admin_token: MadeToken | None = None
    ports: Any = None


class Reloader:
    """Reads the configuration again and changes the running service accordingly.

    Three steps: *read* (every mistake is logged, nothing changes), *prepare* (everything that may be refused,
    files in a thread; a refusal is one line, and nothing has changed), *commit* (which cannot be refused; one
    line names what changed).

    :param service: what runs.
    :param in_thread: calls a function, which may block, in a thread.
    """

    _log = Logger(throttled=False, longest=CONFIGURED)

    def __init__(
        self, service: LgtwistService, in_thread: Callable[..., Deferred[Any]] = deferToThread
    ) -> None:
        self._service = service
        self._in_thread = in_thread
        self._waiting: list[Deferred[ReloadOutcome]] | None = None  # None while no reload is under way
        self._outcome = ReloadOutcome()
        self._again: Callable[[], Config] | None = None

    def reload(self, read: Callable[[], Config]) -> Deferred[ReloadOutcome]:
        """Reload; if that is under way, once more afterwards, however often it is asked for meanwhile.

        :param read: returns the configuration, or raises :class:`ConfigurationError`; called in a thread.
        :returns: fires when everything that was asked for is done, with the result of the last one. Never
            fails.
        """
        done: Deferred[ReloadOutcome] = Deferred()
        if self._waiting is not None:
            self._again = read
            self._waiting.append(done)
            return done
        self._waiting = [done]
        spawn("reload", self._reload_all(read)).addCallback(self._ended)
        return done

    def _ended(self, _none: None) -> None:
        waiting, self._waiting = self._waiting or [], None
        for done in waiting:
            done.callback(self._outcome)

    async def _reload_all(self, read: Callable[[], Config]) -> None:
        wanted: Callable[[], Config] | None = read
        while wanted is not None:
            try:
                self._outcome = await self._reload_once(wanted)
            except Exception:
                self._log.failure("reload: failed; some of it may have been changed")
                self._outcome = ReloadOutcome(("reload: failed; some of it may have been changed",))
            self._again, wanted = None, self._again

    async def _reload_once(self, read: Callable[[], Config]) -> ReloadOutcome:
        try:
            wanted = await self._in_thread(read)
        except ConfigurationError as error:
            lines = (*error.lines, "reload: the configuration has mistakes; nothing was changed")
            for line in lines:
                self._log.error("{line}", line=line)
            return ReloadOutcome(lines)
        return await self._take(wanted)

    async def _take(self, wanted: Config) -> ReloadOutcome:
        service = self._service
        found = changes(service.config, wanted, open_files_limit())
        try:
            prepared = await self._prepare(found)
        except (CannotPrepare, CannotListen, JournalError) as error:
            line = f"reload: {error}; nothing was changed"
            self._log.error("{line}", line=line)
            return ReloadOutcome((line,))
        if not service.may_change:
            await prepared.ports.undo()
            return ReloadOutcome(("reload: lgtwist stops; nothing was changed",))
        described = found.describe()
        try:
            tails = self._commit(found, prepared)
        finally:  # one of the two is due, or no later reload could change the ports
            closed = prepared.ports.commit()
        renewed = "".join(f", certificate of {one} read again" for one in prepared.ports.certificates)
        line = f"reload: {described}{renewed}"
        self._log.info("{line}", line=line)
        await closed
        if found.opened or prepared.ports.certificates:
            service.certificates.warn()
        await gatherResults([Deferred.fromCoroutine(tail) for tail in tails], consumeErrors=True)
        changed = not found.nothing or bool(renewed)
        return ReloadOutcome((line,), applied=True, changed=changed, waiting=found.waiting)

    async def _prepare(self, found: Changes) -> _Prepared:
        """Get everything that may be refused.

        :raises CannotPrepare: if what an edge needs is not there.
        :raises JournalError: if there is a first at-least-once bot, and the journal cannot be used.
        :raises CannotListen: if an endpoint cannot be had; the old ones are as they were.
        """
        service, prepared = self._service, _Prepared()
        for wanted in (*found.accounts.added, *_made_anew(found.accounts.changed)):
            account = service.directory.accounts.get(wanted.self_id) or service.edges.new_account(wanted)
            edge = service.edges.account_edge_for(wanted, account)
            await self._in_thread(edge.prepare)
            prepared.accounts[wanted.self_id] = (account, edge)
        if service.journal is None and any(one.bot.at_least_once for one in found.running.bots):
            await self._in_thread(service.at_least_once.check)
        prepared.admin_token = await self._in_thread(service.console_token.make, found.running)
        prepared.ports = await service.ports.change(found.running.server.endpoints)
        return prepared

    def _commit(self, found: Changes, prepared: _Prepared) -> list[Any]:
        """Change what runs.

        :returns: coroutines that make links anew once the old ones are gone; they must be awaited.
        """
        service, running = self._service, found.running
        before = service.config
        warned = authority_warnings(before)
        for used, read in found.authorities:
            used.use(read)
        for line in authority_warnings(running):
            if line not in warned:
                self._log.warn("{line}", line=line)
        for line in plain_tokens(running):
            if line not in plain_tokens(before):
                self._log.warn("{line}", line=line)
        service.config = evolve(
            running,
            limits=before.limits,
            server=before.server,
            journal=before.journal,
            console=before.console,
        )
        token_before = service.port.authentication.admin_token
        if found.limits:
            service.set_limits(running.limits)
        if found.server or found.closed or found.opened:
            service.set_server_settings(running.server)
        if found.journal:
            service.set_journal_settings(running.journal)
        if found.console:
            service.set_console_settings(running.console)
        if found.alerts:
            service.alerts.reload(running.alerts)
        service.console_token.use(prepared.admin_token)
        if service.port.authentication.admin_token != token_before:
            service.console.token_changed()
        tails: list[Any] = []
        for removed in found.bots.removed:
            tails.append(_awaited(service.remove_bot(removed.bot.name)))
        for old in found.accounts.removed:
            tails.append(_awaited(service.remove_account(old.self_id)))
        for changed in found.accounts.changed:
            self_id = changed.new.self_id
            if changed.change is Change.ANEW:
                tails.append(service.edges.replace_account_edge(self_id, prepared.accounts[self_id][1]))
            else:
                service.account_edge(self_id).configure(changed.new.settings)
        for added in found.accounts.added:
            service.edges.put_account(*prepared.accounts[added.self_id])
        service.directory.sort_accounts(account.self_id for account in running.accounts)
        for one in found.bots.changed:
            if one.new.bot.at_least_once:
                service.at_least_once.make()
            anew = one.change is Change.ANEW
            service.edges.change_bot(one.new.bot, anew=anew)
            if anew:
                tails.append(service.edges.replace_bot_edge(one.new))
            else:
                service.bot_edge(one.new.bot.name).configure(one.new.settings)
        for new in found.bots.added:
            service.add_bot(new)
        return tails


def _made_anew(changed: Any) -> list[AccountConfig]:
    return [one.new for one in changed if one.change is Change.ANEW]


async def _awaited(done: Deferred[None]) -> None:
    await done
