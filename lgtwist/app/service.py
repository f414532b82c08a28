"""The root: a tree of services made from one configuration; accounts and bots change while it runs.

Each account's and each bot's edge is a named child service below ``accounts`` and ``bots``. Before the start,
:meth:`LgtwistService.prepare` gets everything that may be refused: data directory, journal, worlds, ports.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, gatherResults, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import globalLogPublisher

from lgtwist import __version__
from lgtwist.alerts.service import AlertService
from lgtwist.app.alert_clients import AlertClients
from lgtwist.app.alert_facts import ServiceFacts
from lgtwist.app.alert_reasons import reason_in
from lgtwist.app.at_least_once import AtLeastOnce
from lgtwist.app.backup import Backups, remove_unfinished
from lgtwist.app.certificates import Certificates
from lgtwist.app.clock_watch import ClockWatch
from lgtwist.app.configuration import AccountConfig, BotConfig, Config
from lgtwist.app.configuration_editor import ConfigurationEditor
from lgtwist.app.console_token import ConsoleToken
from lgtwist.app.console_view import RunningService
from lgtwist.app.data_dir import GENERATION_FILE, CannotStart, DataDir
from lgtwist.app.edge_tree import EdgeTree
from lgtwist.app.figures import register_metrics
from lgtwist.app.log_output import adopt_log_outputs
from lgtwist.app.reload import ReloadOutcome
from lgtwist.app.reloader import Reloader
from lgtwist.app.sd_notify import SystemdNotifier
from lgtwist.app.stages import Stage, stop_stages
from lgtwist.app.summary import summary
from lgtwist.app.timers import Timers
from lgtwist.app.warnings import warnings
from lgtwist.bots.http_api import HttpApi
from lgtwist.bots.websocket_server import ForwardWebSocket
from lgtwist.config.limits import Limits
from lgtwist.console.api import ConsoleResources
from lgtwist.console.log_lines import LogLines
from lgtwist.console.mount import ConsoleMount
from lgtwist.console.sessions import Sessions
from lgtwist.console.settings import ConsoleSettings
from lgtwist.hub.deliveries import Deliveries
from lgtwist.hub.directory import Directory
from lgtwist.hub.edges import CannotPrepare, EdgeResources
from lgtwist.hub.rate_limit import RateLimiters
from lgtwist.journal.journal import Journal
from lgtwist.journal.settings import JournalSettings
from lgtwist.journal.store import JournalError
from lgtwist.net.endpoints import websocket_url
from lgtwist.net.ports import CannotListen, Ports
from lgtwist.runtime.file_trouble import why_not_usable
from lgtwist.runtime.logs import CONFIGURED, Logger, check_left_out, report_left_out
from lgtwist.runtime.memory import return_freed_memory
from lgtwist.runtime.platform import raise_open_files_limit
from lgtwist.runtime.reactor_lag import ReactorLag
from lgtwist.runtime.tasks import log_failures
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.web.health import Readiness
from lgtwist.web.metrics import MetricsRegistry
from lgtwist.web.port import Port
from lgtwist.web.settings import ServerSettings
from lgtwist.websocket.client import ClientFactory
from lgtwist.websocket.server import ServerFactory

#: The reason in close frames and failed calls when the service stops.
_STOPPING = "lgtwist stops"
#: Seconds between two looks at whether lines were left out that are to be reported.
_LOG_CHECK = 5.0
#: Seconds between two looks at whether the wall clock was set.
_CLOCK_CHECK = 5.0
#: Seconds between two looks at the files of the certificates, our own and those of authorities.
_CERTIFICATE_CHECK = 30.0


class LgtwistService(MultiService):
    """The whole service.

    :param config: the configuration to start with.
    :param reactor: network and clock.
    :param wall_clock: seconds since the epoch.
    :ivar directory: the accounts and bots.
    :ivar accounts: the accounts' edges, named by their numbers.
    :ivar bots: the bots' edges, named by the bots' names.
    :ivar edges: the accounts and bots with their edges.
    :ivar at_least_once: the journal and the deliveries.
    :ivar console_token: the token that is made where none is configured.
    :ivar alerts: tells people what is wrong.
    :ivar started: when it was started; seconds since the epoch.
    :ivar read_again: reads the configuration again; None where that cannot be done. May be set.
    :ivar editor: of the configuration file; None where there is none to edit. May be set.
    :ivar restart: stops the process so that it comes back; None where that cannot be done. May be set.
    :ivar waiting: the keys whose change waits for a restart, as the last reload found them.
    :ivar notifier: tells systemd of reloads; None where nobody starts the process. May be set.
    """

    _log = Logger(throttled=False, longest=CONFIGURED)

    def __init__(self, config: Config, reactor: Any, wall_clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.config = config
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._clock_watch = ClockWatch(wall_clock, reactor.seconds, self._clock_was_set)
        self._lag = ReactorLag(reactor)
        self._stopping = False
        self._data_dir = DataDir(config.data_dir)
        self._scheduler = FlushScheduler(reactor)
        limits = config.limits

        self.directory = Directory(reactor)
        self.rate_limiters = RateLimiters()
        self.directory.observe(self.rate_limiters)
        self._timers = Timers(reactor)
        self.at_least_once = AtLeastOnce(
            self._data_dir.journal_file,
            config.journal,
            limits,
            directory=self.directory,
            reactor=reactor,
            wall_clock=wall_clock,
            steady_wall_clock=self._clock_watch.steady,
            scheduler=self._scheduler,
            add_timer=self._timers.add,
            is_running=self._is_running,
        )

        self.factory = ServerFactory(limits, reactor, self._scheduler)
        agent = f"lgtwist/{__version__}"
        self.client_factory = ClientFactory(limits, reactor, agent, self._scheduler)
        self.metrics = MetricsRegistry()
        self.readiness = Readiness()
        self._http_api = HttpApi(config.server.allowed_origins)
        self.port = Port(
            directory=self.directory,
            edge_of=self.account_edge,
            accept_bot=ForwardWebSocket(self.factory, lambda: self.config.limits.heartbeat_interval).accept,
            http_actions=self._http_api,
            settings=config.server,
            limits=limits,
            clock=reactor,
            scheduler=self._scheduler,
            metrics=self.metrics,
            readiness=self.readiness,
            wall_clock=wall_clock,
        )
        self.directory.observe(self.port.bot_tokens)
        self.started = wall_clock()
        self.read_again: Callable[[], Config] | None = None
        self.editor: ConfigurationEditor | None = None
        self.restart: Callable[[], str] | None = None
        self.waiting: tuple[str, ...] = ()
        self.notifier: SystemdNotifier | None = None
        self.console_token = ConsoleToken(
            self._data_dir.path,
            self.port.authentication,
            config=lambda: self.config,
            base=self._http_url,
            is_running=self._is_running,
        )
        self.log_lines = LogLines(wall_clock)
        self.backups = Backups(self, self._data_dir.path, wall_clock, self._in_thread, reactor)
        self.console = self._make_console()
        self.port.mount("console", self.console)
        self.ports = Ports(reactor, config.server.endpoints)
        self.certificates = Certificates(self.ports, lambda: self.config, self._in_thread)
        self._resources = EdgeResources(
            reactor=reactor,
            wall_clock=wall_clock,
            uniform=random.uniform,
            limits=limits,
            scheduler=self._scheduler,
            server_factory=self.factory,
            client_factory=self.client_factory,
            data_dir=self._data_dir.path,
            private_files=self._private_files,
            http_url=self._http_url,
            is_own_port=self.ports.are_reached_by,
            bot_addresses=self._bot_addresses,
        )

        self.edges = EdgeTree(
            self.directory,
            self._resources,
            self.at_least_once,
            refresh_token=self.port.bot_tokens.refresh,
            is_running=self._is_running,
            may_change=lambda: self.may_change,
        )
        self.accounts, self.bots = self.edges.accounts, self.edges.bots
        self._add_child("timers", self._timers)
        self._add_child("accounts", self.accounts)
        self._add_child("bots", self.bots)
        self._alert_clients = AlertClients(reactor, wall_clock)
        self.alerts = AlertService(
            config.alerts,
            ServiceFacts(self, wall_clock, reactor.seconds),
            self._alert_clients.sender,
            clock=reactor,
            wall_clock=wall_clock,
            reworded=reason_in,
        )
        self._add_child("alerts", self.alerts)
        for account in config.accounts:
            self.edges.make_account(account)
        for bot in config.bots:
            self.edges.make_bot(bot)
        self._make_timers()
        register_metrics(
            self.metrics,
            self.readiness,
            edges=self.edges,
            at_least_once=self.at_least_once,
            factories={"in": self.factory, "out": self.client_factory},
            port=self.port,
        )
        self.metrics.add(self._lag.metrics)
        self.metrics.add(self.alerts.metrics)
        self._reloader = Reloader(self)

    def _is_running(self) -> bool:
        return bool(self.running)

    @property
    def journal(self) -> Journal | None:
        """The journal; None if no bot's delivery is at-least-once."""
        return self.at_least_once.journal

    @property
    def deliveries(self) -> Deliveries | None:
        """The at-least-once deliveries; None if there are none."""
        return self.at_least_once.deliveries

    def _add_child(self, name: str, service: Any) -> None:
        service.setName(name)
        service.setServiceParent(self)

    def _make_console(self) -> ConsoleMount:
        resources = ConsoleResources(
            authentication=self.port.authentication,
            view=RunningService(self),
            clock=self._reactor,
            wall_clock=self._wall_clock,
            sessions=Sessions(self._data_dir.session_generation()),
            save_generation=self._save_session_generation,
            log_lines=self.log_lines,
        )
        return ConsoleMount(resources, enabled=self.config.console.enabled)

    def _save_session_generation(self, generation: int) -> None:
        try:
            self._data_dir.save_session_generation(generation)
        except OSError as error:
            file = self._data_dir.path / GENERATION_FILE
            self._log.error(
                "{file}: cannot be written: {why}; sessions of the console that were ended now may be used "
                "again after a restart",
                file=file,
                why=why_not_usable(error, file, self._data_dir.path),
            )

    def _private_files(self) -> list[Path]:
        """Return the paths of the files that bots may not read."""
        backups = [] if self.editor is None else self.editor.backups()
        return [*map(Path, self.config.private_files), *backups]

    def _bot_addresses(self, self_id: int) -> list[tuple[str, str]]:
        """Return the names of the bots that are connected to an account, and their addresses.

        The address of a webhook is its URL's scheme, host and port.
        """
        sessions = ((bot.name, one) for bot in self.directory.bots.values() for one in bot.open_sessions())
        addresses = [(name, one.address) for name, one in sessions if one.account == self_id]
        for bot in self.config.bots:
            accounts = bot.bot.accounts
            if bot.connection == "http-post" and (accounts is None or self_id in accounts):
                parts = urlsplit(bot.settings.url)
                addresses.append((bot.bot.name, f"{parts.scheme}://{parts.netloc}"))
        return addresses

    def _http_url(self) -> str:
        urls = self.ports.urls() or [websocket_url(endpoint) for endpoint in self.config.server.endpoints]
        return urls[0].replace("ws", "http", 1)

    def _make_timers(self) -> None:
        lag = self._lag
        self._set_sweeps()
        self._timers.add(lag.interval, "lag", lag.tick)
        self._timers.add(_CERTIFICATE_CHECK, "certificates", self.certificates.check)
        self._timers.add(_LOG_CHECK, "log", check_left_out)
        self._timers.add(_CLOCK_CHECK, "clock", self._clock_watch.check)

    def _set_sweeps(self) -> None:
        sweeps = [factory.sweep for factory in (self.factory, self.client_factory)]
        self._timers.set_sweeps(self.config.limits.sweep_interval, sweeps)

    def _clock_was_set(self) -> None:
        if self.journal is not None:
            self.journal.clock_was_set()

    def _in_thread(self, call: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call)

    # -- accounts and bots

    @property
    def may_change(self) -> bool:
        """Whether it runs and is not stopping: what stops takes no other configuration, and dials no more."""
        return bool(self.running) and not self._stopping

    def account_edge(self, self_id: int) -> Any:
        """Return the edge of an account; None if there is none."""
        return self.edges.account_edge(self_id)

    def bot_edge(self, name: str) -> Any:
        """Return the edge of a bot; None if there is none."""
        return self.edges.bot_edge(name)

    def add_account(self, wanted: AccountConfig) -> None:
        """Add an account, and start it if the service runs.

        :raises CannotPrepare: if its edge cannot be prepared; nothing has changed then.
        :raises ValueError: if its number is there already.
        """
        self.edges.add_account(wanted)

    def remove_account(self, self_id: int) -> Deferred[None]:
        """Remove an account: its links and bots' connections to it are closed with 1001, calls end as 1502.

        The journal keeps its cursors as long as events.

        :returns: fires when its edge has stopped.
        :raises KeyError: if it is not there.
        """
        return self.edges.remove_account(self_id)

    def add_bot(self, wanted: BotConfig) -> None:
        """Add a bot, and serve it from now on.

        :raises CannotPrepare: if it is the first that needs the journal, and the journal cannot be used;
            nothing has changed then.
        :raises ValueError: if its name is there already.
        """
        self.edges.add_bot(wanted)

    def remove_bot(self, name: str) -> Deferred[None]:
        """Remove a bot: its connections are closed with 1001.

        The journal keeps its cursors as long as events.

        :returns: fires when its edge has stopped.
        :raises KeyError: if it is not there.
        """
        return self.edges.remove_bot(name)

    # -- other settings

    def set_limits(self, limits: Limits) -> None:
        """Replace the limits, from the next message, action or attempt on."""
        before = self.config.limits
        self.config = evolve(self.config, limits=limits)
        self._resources.limits = limits
        for factory in (self.factory, self.client_factory):
            factory.set_limits(limits)
        self.port.connection_limits.limits = limits
        for account in self.directory.accounts.values():
            account.set_limits(limits.action_timeout, limits.heartbeat_interval)
            account.budget.limit = limits.peer_memory
        self.at_least_once.set_limits(limits)
        for bot in self.directory.bots.values():
            bot.limits = limits
            bot.budget.limit = limits.peer_memory
            self.edges.refresh(bot)
        if limits.sweep_interval != before.sweep_interval:
            self._set_sweeps()

    def set_server_settings(self, settings: ServerSettings) -> None:
        """Replace ``admin_token`` and ``allowed_origins``; the endpoints are changed elsewhere."""
        self.port.authentication.settings = settings
        self._http_api.allowed_origins = settings.allowed_origins
        self.config = evolve(self.config, server=settings)

    def set_console_settings(self, settings: ConsoleSettings) -> None:
        """Serve the console, or not, from now on."""
        self.console.enabled = settings.enabled
        if not settings.enabled:
            self.console.stop()
        self.config = evolve(self.config, console=settings)

    def secrets(self) -> frozenset[str]:
        """Return the tokens and secrets that are valid now, or were in this run."""
        return self.console_token.secrets()

    def set_journal_settings(self, settings: JournalSettings) -> None:
        """Replace ``retention`` and ``max_size``."""
        self.at_least_once.configure(settings)
        self.config = evolve(self.config, journal=settings)

    def reload(self, read: Callable[[], Config]) -> Deferred[ReloadOutcome]:
        """Read the configuration again and take it; see :class:`Reloader`.

        :param read: returns the configuration, or raises ``ConfigurationError``.
        """
        self.secrets()  # to be hidden in old lines of the log
        if self.notifier is not None:
            self.notifier.reloading()
        return self._reloader.reload(read).addCallback(self._reloaded)

    def _reloaded(self, outcome: ReloadOutcome) -> ReloadOutcome:
        if outcome.applied:
            self.waiting = outcome.waiting
        if self.notifier is not None:
            self.notifier.ready()
        return outcome

    def reload_again(self) -> Deferred[ReloadOutcome]:
        """Read the configuration again from where it was read, and take it."""
        read = self.read_again
        if read is None:
            return succeed(ReloadOutcome(("this service cannot read its configuration again",)))

        def reloaded(outcome: ReloadOutcome) -> ReloadOutcome:
            if outcome.applied and self.editor is not None:
                self.editor.note_taken()
            return outcome

        return self.reload(read).addCallback(reloaded)

    @property
    def reactor_lag(self) -> float:
        """The worst lateness of a timer within the last while, in seconds."""
        return self._lag.worst

    # -- before the start

    def prepare(self) -> None:
        """Lock the data directory, check the journal, prepare the edges, and listen on the ports.

        The process's limit of open files is raised as far as it may be.

        :raises CannotStart: if one of these fails; the argument is a sentence for the terminal.
        """
        self._data_dir.lock()
        remove_unfinished(self._data_dir.path)
        try:
            if self.journal is not None:
                self.at_least_once.check()
            self.console_token.use(self.console_token.make(self.config))
            for edge in (*self.accounts, *self.bots):
                edge.prepare()
            self.ports.listen(self.port.site)
        except (CannotPrepare, CannotListen, JournalError) as error:
            self._data_dir.unlock()
            raise CannotStart(str(error)) from None
        self._raise_open_files_limit()
        return_freed_memory()

    def _raise_open_files_limit(self) -> None:
        files = raise_open_files_limit()
        if files < self.config.limits.connections:
            self._log.warn(
                "this process may open {files} files, fewer than limits.connections ({connections}); "
                "raise the limit (ulimit -n, or LimitNOFILE= of systemd)",
                files=files,
                connections=self.config.limits.connections,
            )

    # -- start and stop

    def startService(self) -> None:
        """Open the journal, log the summary, then start the accounts' and the bots' edges."""
        self._stopping = False
        globalLogPublisher.addObserver(self.log_lines)
        adopt_log_outputs()
        self.started = self._wall_clock()
        self.at_least_once.open()
        for line in summary(self.config, self.ports.urls()):
            self._log.info("{line}", line=line)
        for line in warnings(self.config):
            self._log.warn("{line}", line=line)
        self.certificates.warn()
        self.console_token.show_link()
        super().startService()

    def _stages(self) -> list[Stage]:
        """Return the stages in the order in which they are stopped."""
        return [
            Stage("the alerts", self._stop_alerts),  # that accounts go offline now is nothing to tell
            Stage("the listening ports", self.ports.close),
            Stage("what dials, polls and posts", self.edges.retire),
            Stage("the accounts", partial(self.edges.stop_accounts, _STOPPING)),
            Stage("the console", self.console.stop),
            Stage("the port", self.port.stop),
            Stage("the connections", self._close_connections),
            Stage("the bots' edges", self.bots.stopService),
            Stage("the accounts' edges", self.accounts.stopService),
            Stage("the timers", self._timers.stopService),
            Stage("the backup", self._stop_backup),
            Stage("the directory", self._stop_directory),
            Stage("what waits to be written", self._scheduler.stop),
            Stage("the journal", self._close_journal),
            Stage("the data directory", self._data_dir.unlock),
            Stage("the service", super().stopService),
            Stage("the log", self._end_log),
        ]

    def stopService(self) -> Deferred[None]:
        """Stop stage by stage, whether or not one of them fails.

        :returns: fires when all have stopped, about ``close_timeout`` later at most.
        """
        self._stopping = True
        return Deferred.fromCoroutine(stop_stages(self._stages()))

    def _stop_alerts(self) -> Deferred[Any] | None:
        clients = self._alert_clients.clients()  # those of its entries now: it makes others
        self.alerts.stopService()
        return DeferredList([client.close() for client in clients], consumeErrors=True) if clients else None

    def _close_connections(self) -> Deferred[Any]:
        # Clients of the `websockets` kind take 1000 and 1001 for a normal end, and some then never come back;
        # .NET, in which implementations are written, knows no 1012.
        for bot in self.directory.bots.values():
            log_failures("closing a bot's connections", partial(bot.end_sessions, 1012, _STOPPING))()
        closed = [factory.close_all(1001, _STOPPING) for factory in (self.factory, self.client_factory)]
        closed.append(Deferred.fromCoroutine(self.port.wait_closed()))
        return gatherResults(closed)

    def _stop_directory(self) -> None:
        self.rate_limiters.stop()
        if self.deliveries is not None:
            self.deliveries.stop()
        for bot in self.directory.bots.values():
            bot.stop()

    def _stop_backup(self) -> Deferred[Any]:
        patience = self.config.limits.close_timeout + 1
        return self.backups.stop().addTimeout(patience, self._reactor, lambda _late, _seconds: None)

    def _close_journal(self) -> Deferred[None] | None:
        return self.at_least_once.close(self.config.limits.close_timeout + 1)

    def _end_log(self) -> None:
        report_left_out()
        globalLogPublisher.removeObserver(self.log_lines)
