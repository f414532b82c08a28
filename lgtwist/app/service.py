"""The composition root: a configuration becomes one service. Alone in knowing everything.

Two steps: :meth:`LgtwistService.prepare` gets what may be refused (data directory, worlds, ports), with one
clear sentence if it is; starting the service cannot fail for such a reason any more.
"""

from __future__ import annotations

import fcntl
import os
import random
import resource
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import SystemRandom
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.web.server import Request

from lgtwist import __version__
from lgtwist.accounts.http import HttpAccount
from lgtwist.accounts.websocket_client import ForwardWebSocketAccount
from lgtwist.accounts.websocket_server import accept
from lgtwist.app.configuration import AccountConfig, BotConfig, Config
from lgtwist.app.summary import described
from lgtwist.bots import websocket_server as forward_websocket
from lgtwist.bots.http_api import HttpApi
from lgtwist.bots.session import Role
from lgtwist.bots.webhook import HttpPostBot
from lgtwist.bots.websocket_client import ReverseWebSocketBot
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.deliveries import Deliveries
from lgtwist.hub.directory import Hub
from lgtwist.hub.permissions import ActionRights, EventRights, Rate
from lgtwist.journal.journal import Journal, JournalLimits
from lgtwist.journal.sqlite import SqliteStore, set_aside
from lgtwist.journal.store import JournalDamaged, JournalError
from lgtwist.journal.worker import ThreadWorker
from lgtwist.net.backoff import Backoff
from lgtwist.net.endpoints import CannotListen, Ports, is_public, url
from lgtwist.net.http_client import WebClient
from lgtwist.runtime.tasks import survive
from lgtwist.runtime.turns import Turns
from lgtwist.sandbox.account import SandboxAccount
from lgtwist.sandbox.control.control import Control
from lgtwist.sandbox.files.fetching import Fetcher
from lgtwist.sandbox.files.media import Media
from lgtwist.sandbox.store import StoreError
from lgtwist.web.account_endpoints import Implementations
from lgtwist.web.authentication import Access, Admission
from lgtwist.web.channel import PortSite
from lgtwist.web.connection_limits import Gate
from lgtwist.web.health import Machines
from lgtwist.web.metrics import Lag, Metrics, Sources
from lgtwist.web.site import FrontDoor
from lgtwist.websocket.client import ClientFactory
from lgtwist.websocket.server import ServerFactory

#: The journal's name in ``data_dir``.
JOURNAL_FILE = "journal.sqlite"


#: Seconds after which the reactor lets a journal's thread have Python's lock. With the usual 5 ms a commit,
#: which needs it two or three times, would wait longest when most is to be done.
_SWITCH_INTERVAL = 0.0005


class CannotStart(Exception):
    """The service cannot start; the argument is one sentence for the terminal."""


class LgtwistService(MultiService):
    """Everything that one configuration asks for.

    :param reactor: network and clock.
    :param wall_clock: seconds since the epoch.
    """

    _log = Logger()

    def __init__(self, config: Config, reactor: Any, wall_clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._reactor = reactor
        self._turns = Turns(reactor)
        self.config = config
        limits = config.limits
        self._data_dir = Path(config.data_dir).absolute()
        self._lock: int | None = None
        self._wall_clock = wall_clock
        # A late answer to a run before must not fit a call of this one.
        first_call = SystemRandom().getrandbits(48)
        accounts = [
            Account(
                a.self_id,
                reactor,
                wall_clock,
                limits.action_timeout,
                limits.heartbeat_interval,
                a.dialect,
                first_call,
            )
            for a in config.accounts
        ]
        self.hub = Hub(
            accounts,
            [self._bot(bot) for bot in config.bots],
            reactor,
        )
        self.journal_file = self._data_dir / JOURNAL_FILE
        self.journal = self._journal(reactor) if any(bot.certain for bot in config.bots) else None
        self.deliveries = self._deliveries(reactor)
        wire = limits
        turns = self._turns
        self.factory = ServerFactory(wire, reactor, turns)
        self.client_factory = ClientFactory(wire, reactor, f"lgtwist/{__version__}", turns)
        self.sandboxes: list[SandboxAccount] = []
        self.dialled: list[ForwardWebSocketAccount] = []
        self.polled: list[HttpAccount] = []
        dialling: dict[int, tuple[Account, str | None]] = {}
        for account, settings in zip(accounts, config.accounts, strict=True):
            if settings.type == "sandbox":
                self.sandboxes.append(self._sandbox(account, settings, reactor))
            elif settings.type == "forward-websocket":
                self.dialled.append(self._dialled(account, settings, reactor))
            elif settings.type == "reverse-websocket":
                dialling[account.self_id] = (account, settings.access_token)
            else:
                self.polled.append(self._polled(account, settings, reactor))
        self.reverse_bots: list[ReverseWebSocketBot] = []
        self.posted: list[HttpPostBot] = []
        for bot, wanted in zip(self.hub.bots, config.bots, strict=True):
            if wanted.connection == "reverse-websocket":
                self.reverse_bots.append(self._reverse_bot(bot, wanted, reactor))
            elif wanted.connection == "http-post":
                self.posted.append(self._posted(bot, wanted, reactor))
        self.gate = Gate(
            limits,
            reactor,
        )
        access = Access(
            config.server.admin_token,
            frozenset(config.server.allowed_origins),
            any(is_public(e) for e in config.server.endpoints),
        )
        controls = {s.account.self_id: Control(s) for s in self.sandboxes}
        admission = Admission(self.gate, access)
        posting = {polled.account.self_id: polled for polled in self.polled}
        self.lag = Lag(reactor)
        metrics = Metrics(
            Sources(
                __version__,
                self.hub,
                {"in": self.factory, "out": self.client_factory},
                self.gate,
                self.lag,
                {dialled.account.self_id: dialled.attempts for dialled in self.dialled},
                {reverse.bot.name: reverse.attempts for reverse in self.reverse_bots},
                self.journal,
            )
        )
        door = FrontDoor(
            self.hub,
            self.gate,
            admission,
            self._upgrade,
            HttpApi(config.server.allowed_origins),
            controls,
            Implementations(admission, self._link, dialling, posting, reactor),
            Machines(admission, self._unready, metrics.text),
        )
        self.site = PortSite(door, self.gate, limits.max_message, limits.idle_timeout, reactor, door.welcomes)
        self.ports = Ports(reactor, config.server.endpoints)
        self._timers = [
            TimerService(wire.sweep_interval, survive("liveness", self.factory.sweep)),
            TimerService(wire.sweep_interval, survive("liveness", self.client_factory.sweep)),
            TimerService(self.lag.interval, survive("lag", self.lag.look)),
        ]
        if self.deliveries is not None:
            self._timers.append(TimerService(0.5, survive("deliveries", self.deliveries.check)))
        for timer in self._timers:
            timer.clock = reactor

    def _bot(self, wanted: BotConfig) -> Bot:
        limits, actions, events = self.config.limits, wanted.actions, wanted.events
        return Bot(
            wanted.name,
            wanted.access_token,
            wanted.accounts,
            limits.calls,
            wanted.message_format,
            limits.send_buffer,
            ActionRights(actions.allow, actions.deny),
            EventRights(*map(_frozen, (events.post_type, events.group_id, events.user_id))),
            None if actions.rate is None else Rate(*actions.rate),
        )

    def _journal(self, reactor: Any) -> Journal:
        wanted = self.config.journal
        return Journal(
            SqliteStore(self.journal_file, wanted.sync),
            lambda name: ThreadWorker(name, reactor.callFromThread),
            reactor,
            self._wall_clock,
            JournalLimits(wanted.retention, wanted.max_size),
            self._turns.when_read_or_turn_ends,
        )

    def _deliveries(self, reactor: Any) -> Deliveries | None:
        if self.journal is None:
            return None
        limits = self.config.limits
        deliveries = Deliveries(
            self.journal, reactor, self._wall_clock, limits.send_buffer, limits.ping_timeout
        )
        self.journal.observe_retention(deliveries.check_retention)
        self.journal.when_open(deliveries.begin)
        for bot, wanted in zip(self.hub.bots, self.config.bots, strict=True):
            if wanted.certain:
                for account in self._accounts_of(bot):
                    deliveries.add(bot, account, wanted.replay)
        return deliveries

    def _unready(self) -> list[str]:
        reasons = [
            f"account {account.self_id} is down: {account.reason}"
            for account in self.hub.accounts.values()
            if not account.is_up
        ]
        if self.journal is not None and self.journal.trouble:
            reasons.append(f"the journal cannot be written: {self.journal.trouble}")
        return reasons

    def _sandbox(self, account: Account, settings: AccountConfig, reactor: Any) -> SandboxAccount:
        path = f"sandbox-{account.self_id}"
        limit = self.config.limits.max_message
        media = Media(
            self._data_dir / f"{path}-media",
            self._data_dir,
            limit,
            Fetcher(reactor, settings.media_hosts, limit).fetch,
            lambda: f"{self._http_url()}/sandbox/{account.self_id}",
            deferToThread,
            [Path(private) for private in self.config.private_files],
        )
        world_file = None if settings.world is None else Path(settings.world)
        store = self._data_dir / f"{path}.sqlite"
        return SandboxAccount(account, store, media, self._wall_clock, world_file, self._turns.before_writing)

    def _dialled(self, account: Account, settings: AccountConfig, reactor: Any) -> ForwardWebSocketAccount:
        gaps = settings.reconnect
        return ForwardWebSocketAccount(
            reactor,
            self.client_factory,
            account,
            settings.url,
            settings.access_token,
            settings.trust_root,
            lambda: Backoff(gaps.shortest, gaps.longest, random.uniform),
        )

    def _polled(self, account: Account, settings: AccountConfig, reactor: Any) -> HttpAccount:
        limits = self.config.limits
        return HttpAccount(
            WebClient(reactor, settings.trust_root),
            account,
            settings.url,
            settings.access_token,
            settings.secret,
            limits.max_message,
            limits.action_timeout,
            limits.heartbeat_interval,
        )

    def _accounts_of(self, bot: Bot) -> list[Account]:
        return [account for account in self.hub.accounts.values() if bot.may_use(account.self_id)]

    def _reverse_bot(self, bot: Bot, wanted: BotConfig, reactor: Any) -> ReverseWebSocketBot:
        gaps = wanted.reconnect
        urls = {Role.UNIVERSAL: wanted.url, Role.API: wanted.api_url, Role.EVENT: wanted.event_url}
        return ReverseWebSocketBot(
            reactor,
            self.client_factory,
            bot,
            self._accounts_of(bot),
            {role: url for role, url in urls.items() if url},
            wanted.trust_root,
            self.config.limits.heartbeat_interval,
            lambda: Backoff(gaps.shortest, gaps.longest, random.uniform),
        )

    def _posted(self, bot: Bot, wanted: BotConfig, reactor: Any) -> HttpPostBot:
        limits = self.config.limits
        return HttpPostBot(
            WebClient(reactor, wanted.trust_root),
            bot,
            self._accounts_of(bot),
            wanted.url,
            wanted.secret,
            wanted.timeout,
            limits.max_message,
            limits.send_buffer,
            limits.heartbeat_interval,
            lambda: Backoff(wanted.reconnect.shortest, wanted.reconnect.longest, random.uniform),
        )

    def _http_url(self) -> str:
        urls = self.ports.urls() or [url(e) for e in self.config.server.endpoints]
        return urls[0].replace("ws", "http", 1)

    def _upgrade(
        self, request: Request, bot: Bot, account: Account, role: str, ended: Callable[[], None]
    ) -> None:
        interval = self.config.limits.heartbeat_interval
        forward_websocket.accept(self.factory, request, bot, account, role, interval, ended)

    def _link(self, request: Request, account: Account, path: str, ended: Callable[[], None]) -> None:
        accept(self.factory, request, account, path, ended)

    # -- before the start

    def prepare(self) -> None:
        """Get the data directory, the journal, the worlds and the ports.

        :raises CannotStart: if one of them cannot be had.
        """
        self._lock_data_dir()
        try:
            self._check_journal()
            for sandbox in self.sandboxes:
                sandbox.load()
            self.ports.listen(self.site)
        except (StoreError, CannotListen, JournalError) as error:
            self._unlock()
            raise CannotStart(str(error)) from None
        self._raise_file_limit()

    def _check_journal(self) -> None:
        """Open the journal and close it again: neither a thread nor SQLite outlives becoming a daemon.

        :raises JournalError: if it cannot be used.
        """
        if self.deliveries is None:
            return
        store = SqliteStore(self.journal_file, self.config.journal.sync)
        pairs, now = self.deliveries.pairs(), int(self._wall_clock() * 1000)
        try:
            store.open_writing(pairs, now)
        except JournalDamaged as error:
            if not self.config.journal.set_aside:
                raise JournalError(
                    f'{error}; nothing was changed. [journal] on_damage = "set-aside" puts it aside and '
                    "begins a new one"
                ) from None
            aside = set_aside(self.journal_file, time.strftime("%Y%m%dT%H%M%S"))
            self._log.error("{error}; it was set aside as {aside}", error=error, aside=aside)
            store = SqliteStore(self.journal_file, self.config.journal.sync)
            store.open_writing(pairs, now)
        store.close_writing()

    def _lock_data_dir(self) -> None:
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotStart(f"data_dir {self._data_dir} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise CannotStart(f"data_dir {self._data_dir} is in use by another lgtwist") from None
        self._lock = lock

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _raise_file_limit(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard != resource.RLIM_INFINITY and hard < self.config.limits.connections:
            self._log.warn(
                "this process may open {hard} files, fewer than limits.connections ({connections}); "
                "raise the limit (ulimit -n, or LimitNOFILE= of systemd)",
                hard=hard,
                connections=self.config.limits.connections,
            )

    # -- its life

    def startService(self) -> None:
        """Bring the accounts up, and say what is served."""
        super().startService()
        if self.journal is not None:
            sys.setswitchinterval(_SWITCH_INTERVAL)
            assert self.deliveries is not None
            self.journal.start(self.deliveries.pairs())
        for starting in (*self.sandboxes, *self._timers):
            starting.startService()
        for line in described(self.config, self.ports.urls()):
            self._log.info("{line}", line=line)
        for remote in (*self.reverse_bots, *self.posted, *self.dialled, *self.polled):
            remote.startService()

    async def _stop(self) -> None:
        await self.ports.close()
        for dialled in self.dialled:
            dialled.hang_up()
        for polled in self.polled:
            polled.hang_up()
        for reverse_bot in self.reverse_bots:
            reverse_bot.hang_up()
        for posted in self.posted:
            posted.hang_up()
        for account in self.hub.accounts.values():
            account.stop("lgtwist stops")  # calls in flight end as 1502, and are written
        for sandbox in self.sandboxes:
            sandbox.stopService()
        self.gate.stop()
        self.site.close_all()
        goodbye = (1001, "lgtwist stops")
        closed = [factory.close_all(*goodbye) for factory in (self.factory, self.client_factory)]
        await gatherResults(closed)
        remotes = (*self.reverse_bots, *self.posted, *self.dialled, *self.polled)
        for service in (*remotes, *self._timers):
            await maybeDeferred(service.stopService)
        self.hub.stop()
        if self.deliveries is not None:
            self.deliveries.stop()
        self._turns.stop()
        if self.journal is not None:
            await self.journal.close(self.config.limits.close_timeout + 1)
        self._unlock()

    def stopService(self) -> Deferred[None]:
        """Stop: listeners first, then calls, then all connections together.

        :returns: fires when everything is gone, hardly later than ``close_timeout``.
        """
        stopped: Deferred[Any] = Deferred.fromCoroutine(self._stop())
        return stopped.addBoth(self._stopped)

    def _stopped(self, result: Any) -> Any:
        done = super().stopService()
        return result if done is None else done.addBoth(lambda _done: result)


def _frozen(values: Iterable[Any] | None) -> frozenset[Any] | None:
    return None if values is None else frozenset(values)
