"""The root: a tree of services made from one configuration; accounts and bots change while it runs.

Each account's and each bot's edge is a named child service below ``accounts`` and ``bots``. Before the start,
:meth:`LgtwistService.prepare` gets everything that may be refused: data directory, journal, worlds, ports.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

from attrs import evolve
from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, DeferredList, gatherResults, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import globalLogPublisher

from lgtwist import __version__
from lgtwist.accounts.milky.figures import MILKY_FIGURES
from lgtwist.alerts.interfaces import AlertSender
from lgtwist.alerts.service import AlertService
from lgtwist.alerts.settings import AlertSettings
from lgtwist.app.admin_token import CannotMakeToken, MadeToken, console_link, made_token
from lgtwist.app.alert_facts import ServiceFacts
from lgtwist.app.alert_reasons import reason_in
from lgtwist.app.authorities import authorities_of, renew_authorities
from lgtwist.app.backup import Backups, remove_unfinished
from lgtwist.app.configuration import AccountConfig, BotConfig, Config
from lgtwist.app.configuration_editor import ConfigurationEditor
from lgtwist.app.console_view import RunningService
from lgtwist.app.data_dir import GENERATION_FILE, CannotStart, DataDir
from lgtwist.app.log_output import adopt_log_outputs
from lgtwist.app.reload import ReloadOutcome
from lgtwist.app.reloader import Reloader
from lgtwist.app.sd_notify import SystemdNotifier
from lgtwist.app.secrets import KnownSecrets
from lgtwist.app.stages import Stage, stop_stages
from lgtwist.app.summary import summary
from lgtwist.app.warnings import warnings
from lgtwist.bots.http_api import HttpApi
from lgtwist.bots.websocket_server import ForwardWebSocket
from lgtwist.config.limits import Limits
from lgtwist.console.api import ConsoleResources
from lgtwist.console.log_lines import LogLines
from lgtwist.console.mount import ConsoleMount
from lgtwist.console.sessions import Sessions
from lgtwist.console.settings import ConsoleSettings
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.deliveries import Deliveries
from lgtwist.hub.directory import Directory
from lgtwist.hub.edges import CannotPrepare, EdgeResources, IEdge
from lgtwist.hub.interfaces import IDialler
from lgtwist.hub.metrics import account_metrics, accounts_down, bot_metrics, delivery_metrics
from lgtwist.hub.rate_limit import RateLimiters
from lgtwist.hub.settings import BotSettings
from lgtwist.journal.journal import Journal, JournalLimits
from lgtwist.journal.metrics import journal_metrics
from lgtwist.journal.settings import JournalSettings
from lgtwist.journal.sqlite import SqliteStore, set_aside
from lgtwist.journal.store import JournalBusy, JournalDamaged, JournalError
from lgtwist.journal.worker import ThreadWorker
from lgtwist.net.endpoints import websocket_url
from lgtwist.net.http_client import WebClient
from lgtwist.net.ports import CannotListen, Ports
from lgtwist.runtime.file_trouble import why_not_usable
from lgtwist.runtime.logs import CONFIGURED, Logger, check_left_out, report_left_out
from lgtwist.runtime.memory import return_freed_memory
from lgtwist.runtime.platform import raise_open_files_limit
from lgtwist.runtime.reactor_lag import ReactorLag
from lgtwist.runtime.tasks import log_failures, spawn
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.runtime.wall_clock import STEADY_AFTER, WallClock
from lgtwist.web.health import Readiness
from lgtwist.web.metrics import MetricsRegistry, build_info, port_metrics
from lgtwist.web.port import Port
from lgtwist.web.settings import ServerSettings
from lgtwist.websocket.client import ClientFactory
from lgtwist.websocket.metrics import websocket_metrics
from lgtwist.websocket.server import ServerFactory

#: Seconds after which the interpreter switches threads. The journal's thread needs it two or three times for
#: each commit; with the default of 5 ms a commit would be slowest under load.
_SWITCH_INTERVAL = 0.0005
#: Seconds between two checks of the deliveries' time limits.
_DELIVERY_TICK = 0.5
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
    :ivar alerts: tells people what is wrong.
    :ivar started: when it was started; seconds since the epoch.
    :ivar read_again: reads the configuration again; None where that cannot be done. May be set.
    :ivar editor: of the configuration file; None where there is none to edit. May be set.
    :ivar restart: stops the process so that it comes back; None where that cannot be done. May be set.
    :ivar waiting: the keys whose change waits for a restart, as the last reload found them.
    :ivar notifier: tells systemd of reloads; None where nobody starts the process. May be set.
    :ivar show_link: writes the console's link where a person sees it, and no log has it. May be set.
    """

    _log = Logger(throttled=False, longest=CONFIGURED)
    _clock_log = Logger()

    def __init__(self, config: Config, reactor: Any, wall_clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.config = config
        self._reactor = reactor
        self._wall_clock = wall_clock
        self._clock_watch = WallClock(wall_clock, reactor.seconds, self._clock_was_set)
        self._stopping = False
        self._data_dir = DataDir(config.data_dir)
        self._scheduler = FlushScheduler(reactor)
        # Random, so that a late response to an earlier run does not match a call of this one.
        self._first_call = SystemRandom().getrandbits(48)
        limits = config.limits

        self.directory = Directory(reactor)
        self.rate_limiters = RateLimiters()
        self.directory.observe(self.rate_limiters)
        self.journal: Journal | None = None
        self.deliveries: Deliveries | None = None

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
        self.show_link: Callable[[str], None] = lambda _link: None
        self._made_token: MadeToken | None = None
        self._secrets = KnownSecrets()
        self.log_lines = LogLines(wall_clock)
        self.backups = Backups(self, self._data_dir.path, wall_clock, self._in_thread, reactor)
        self.console = self._make_console()
        self.port.mount("console", self.console)
        self.ports = Ports(reactor, config.server.endpoints)
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

        self.accounts, self.bots, self._timers = MultiService(), MultiService(), MultiService()
        self._add_child("timers", self._timers)
        self._add_child("accounts", self.accounts)
        self._add_child("bots", self.bots)
        self._alert_client: WebClient | None = None
        self._alert_clients: WeakSet[WebClient] = WeakSet()  # that of a removed entry goes with it
        self.alerts = AlertService(
            config.alerts,
            ServiceFacts(self, wall_clock, reactor.seconds),
            self._alert_sender,
            clock=reactor,
            wall_clock=wall_clock,
            reworded=reason_in,
        )
        self._add_child("alerts", self.alerts)
        for account in config.accounts:
            self._make_account(account)
        for bot in config.bots:
            self._make_bot(bot)
        self._make_timers()
        self._register_metrics()
        self._reloader = Reloader(self)

    def _add_child(self, name: str, service: Any) -> None:
        service.setName(name)
        service.setServiceParent(self)

    def _alert_sender(self, settings: AlertSettings) -> AlertSender:
        """Return what sends the messages of one of ``[[alerts]]``; those without ``ca_file`` share one."""
        # Twisted's mail is imported only where somebody wants to be told of something.
        from lgtwist.alerts.senders import SenderResources, make_sender

        trust_root = settings.trust_root
        if trust_root is not None:
            client = WebClient(self._reactor, trust_root)
        else:
            client = self._alert_client = self._alert_client or WebClient(self._reactor)
        self._alert_clients.add(client)
        resources = SenderResources(self._reactor, client, trust_root, self._wall_clock)
        return make_sender(settings, resources)

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
        lag = ReactorLag(self._reactor)
        self._make_sweeps(self.config.limits.sweep_interval)
        self._add_timer(lag.interval, "lag", lag.tick)
        self._add_timer(_CERTIFICATE_CHECK, "certificates", self._check_certificates)
        self._add_timer(_LOG_CHECK, "log", check_left_out)
        self._add_timer(_CLOCK_CHECK, "clock", self._clock_watch.check)
        self._lag = lag

    def _clock_was_set(self, seconds: float) -> None:
        """Say that somebody set the wall clock, or that the machine slept."""
        self._clock_log.warn(
            "the clock was set {way} by {seconds:.0f} s (or the machine slept). Beats and time limits go on; "
            "events of former runs are not deleted for their age before it has been right for "
            "{minutes:.0f} minutes",
            way="back" if seconds < 0 else "forward",
            seconds=abs(seconds),
            minutes=STEADY_AFTER / 60,
        )
        if self.journal is not None:
            self.journal.clock_was_set()

    def _check_certificates(self) -> None:
        """Use the certificates that were renewed on the disk, our own and those of ``ca_file``."""
        if self.ports.certificates_changed():
            spawn("renewing certificates", self._renew_certificates())
        if any(authorities.changed() for authorities in authorities_of(self.config)):
            spawn("renewing authorities", renew_authorities(self.config, self._in_thread))

    def _in_thread(self, call: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call)

    async def _renew_certificates(self) -> None:
        renewal = await self.ports.renew_certificates()
        for endpoint in renewal.renewed:
            self._log.info("{endpoint}: its renewed certificate is used from now on", endpoint=endpoint)
        for sentence in renewal.refused:
            self._log.error("{sentence}; the certificate before it is still used", sentence=sentence)
        if renewal.renewed:
            self.warn_of_certificates()

    def warn_of_certificates(self) -> None:
        """Log why clients may refuse the certificates of the ports, a line each."""
        for line in self.ports.warnings():
            self._log.warn("{line}", line=line)

    def _make_sweeps(self, interval: float) -> None:
        factories = (self.factory, self.client_factory)
        self._sweeps = [self._add_timer(interval, "liveness", factory.sweep) for factory in factories]

    def _add_timer(self, interval: float, name: str, tick: Callable[[], object]) -> TimerService:
        timer = TimerService(interval, log_failures(name, tick))
        timer.clock = self._reactor
        timer.setServiceParent(self._timers)
        return timer

    def _register_metrics(self) -> None:
        add, directory = self.metrics.add, self.directory
        add(lambda: build_info(__version__))
        add(lambda: account_metrics(directory, self.account_edge, MILKY_FIGURES.values()))
        add(lambda: bot_metrics(directory, self.bot_edge))
        add(lambda: delivery_metrics(directory))
        add(lambda: journal_metrics(self.journal, directory.accounts))
        add(lambda: websocket_metrics({"in": self.factory, "out": self.client_factory}))
        add(lambda: port_metrics(self.port.connection_limits))
        add(self.port.refused_handshakes.metrics)
        add(self._lag.metrics)
        add(self.alerts.metrics)
        self.readiness.add(lambda: accounts_down(directory))
        self.readiness.add(self._journal_reasons)

    def _journal_reasons(self) -> list[str]:
        if self.journal is None or not self.journal.trouble:
            return []
        return [f"the journal cannot be written: {self.journal.trouble}"]

    # -- accounts and bots

    @property
    def may_change(self) -> bool:
        """Whether it runs and is not stopping: what stops takes no other configuration, and dials no more."""
        return bool(self.running) and not self._stopping

    def account_edge(self, self_id: int) -> Any:
        """Return the edge of an account; None if there is none."""
        return self.accounts.namedServices.get(str(self_id))

    def bot_edge(self, name: str) -> Any:
        """Return the edge of a bot; None if there is none."""
        return self.bots.namedServices.get(name)

    def new_account(self, wanted: AccountConfig) -> Account:
        """Return a new account, not in the directory yet."""
        limits = self.config.limits
        return Account(
            wanted.self_id,
            self._reactor,
            self._wall_clock,
            action_timeout=limits.action_timeout,
            heartbeat_interval=limits.heartbeat_interval,
            peer_memory=limits.peer_memory,
            dialect=wanted.settings.dialect,
            first_call=self._first_call,
            scheduler=self._scheduler,
        )

    def account_edge_for(self, wanted: AccountConfig, account: Account) -> IEdge:
        """Return a new edge of an account, not prepared yet."""
        edge: IEdge = wanted.kind.make(account, wanted.settings, self._resources)
        return edge

    def _attach(self, edge: IEdge, name: str, parent: MultiService) -> None:
        edge.setName(name)
        edge.setServiceParent(parent)

    def _make_account(self, wanted: AccountConfig) -> None:
        account = self.new_account(wanted)
        edge = self.account_edge_for(wanted, account)
        if self.running:
            edge.prepare()
        self.put_account(account, edge)

    def put_account(self, account: Account, edge: IEdge) -> None:
        """Put an account with its prepared edge into the directory; it starts if the service runs."""
        self.directory.add_account(account)
        self._attach(edge, str(account.self_id), self.accounts)

    def add_account(self, wanted: AccountConfig) -> None:
        """Add an account, and start it if the service runs.

        :raises CannotPrepare: if its edge cannot be prepared; nothing has changed then.
        :raises ValueError: if its number is there already.
        """
        if wanted.self_id in self.directory.accounts:
            raise ValueError(f"account {wanted.self_id} is there already")
        self._make_account(wanted)

    def remove_account(self, self_id: int) -> Deferred[None]:
        """Remove an account: its links and bots' connections to it are closed with 1001, calls end as 1502.

        The journal keeps its cursors as long as events.

        :returns: fires when its edge has stopped.
        :raises KeyError: if it is not there.
        """
        account, edge = self.directory.accounts[self_id], self.account_edge(self_id)
        reason = f"account {self_id} is removed"
        edge.retire()
        account.links.close(1001, reason)
        account.stop(reason)
        for bot in self.directory.bots.values():
            bot.end_sessions(1001, reason, account)
        self.directory.remove_account(self_id)
        return self._remove_edge(edge)

    async def replace_account_edge(self, self_id: int, edge: IEdge) -> None:
        """Make the link of an account anew: the old one ends with 1001, calls under way as 1502.

        The account stays, and with it bots' connections, subscriptions and cursors.

        :param edge: prepared; it starts when the old one's connections are gone.
        """
        account, old = self.directory.accounts[self_id], self.account_edge(self_id)
        reason = f"the settings of account {self_id} were changed"
        old.retire()
        account.links.close(1001, reason)
        account.end_calls(reason)
        await self._remove_edge(old)
        if self.may_change and self.directory.accounts.get(self_id) is account:
            self._attach(edge, str(self_id), self.accounts)

    def new_bot_edge(self, wanted: BotConfig, bot: Bot) -> IEdge:
        """Return a new edge of a bot; it serves nothing before :meth:`put_bot_edge`."""
        edge: IEdge = wanted.kind.make(bot, wanted.settings, self._resources)
        return edge

    def _make_bot(self, wanted: BotConfig) -> None:
        bot = Bot(wanted.bot, self.config.limits)
        edge = self.new_bot_edge(wanted, bot)
        if wanted.bot.at_least_once:
            self.need_journal()
        self.directory.add_bot(bot)
        self.put_bot_edge(bot, edge)

    def put_bot_edge(self, bot: Bot, edge: IEdge) -> None:
        """Let an edge serve a bot that is in the directory."""
        self.directory.observe(edge)
        self._attach(edge, bot.name, self.bots)

    def add_bot(self, wanted: BotConfig) -> None:
        """Add a bot, and serve it from now on.

        :raises CannotPrepare: if it is the first that needs the journal, and the journal cannot be used;
            nothing has changed then.
        :raises ValueError: if its name is there already.
        """
        if wanted.bot.name in self.directory.bots:
            raise ValueError(f'bot "{wanted.bot.name}" is there already')
        self._make_bot(wanted)

    def remove_bot(self, name: str) -> Deferred[None]:
        """Remove a bot: its connections are closed with 1001.

        The journal keeps its cursors as long as events.

        :returns: fires when its edge has stopped.
        :raises KeyError: if it is not there.
        """
        bot, edge = self.directory.bots[name], self.bot_edge(name)
        edge.retire()
        bot.end_sessions(1001, f'bot "{name}" is removed')
        self.directory.unobserve(edge)
        self.directory.remove_bot(name)
        return self._remove_edge(edge)

    async def replace_bot_edge(self, wanted: BotConfig) -> None:
        """Serve a bot in another way, or make its links anew: its connections end with 1012; cursors stay."""
        bot = self.directory.bots[wanted.bot.name]
        old = self.bot_edge(bot.name)
        old.retire()
        bot.end_sessions(1012, f'the settings of bot "{bot.name}" were changed')
        self.directory.unobserve(old)
        await self._remove_edge(old)
        if self.may_change and self.directory.bots.get(bot.name) is bot:
            self.put_bot_edge(bot, self.new_bot_edge(wanted, bot))

    def change_bot(self, settings: BotSettings, *, anew: bool) -> None:
        """Replace the settings of a bot in place, from the next event and action on.

        Connections that the old token let in, and those to an account that it may not use any more, end
        with 1008.

        :param anew: whether all its links are about to be made anew.
        """
        bot = self.directory.bots[settings.name]
        before = bot.settings
        bot.configure(settings)
        self.directory.update_sent_messages()
        self.port.bot_tokens.refresh(bot)
        if self.deliveries is not None:
            self.deliveries.bot_changed(bot)
        if anew:
            return
        edge = self.bot_edge(bot.name)
        for account in self.directory.accounts.values():
            could = before.accounts is None or account.self_id in before.accounts
            if could and not bot.may_use(account.self_id):
                edge.account_removed(account)
                bot.end_sessions(1008, f"account {account.self_id} was taken away from this bot", account)
            elif bot.may_use(account.self_id) and not could:
                edge.account_added(account)
        if settings.access_token != before.access_token:
            bot.end_sessions(1008, "the access_token of this bot was changed")
        self._refresh(bot)

    def _refresh(self, bot: Bot) -> None:
        """Let a bot's connections and edge use its present settings, and the present limits."""
        for session in tuple(bot.sessions):
            session.refresh(self.config.limits.heartbeat_interval)
        self.bot_edge(bot.name).refresh()

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
        if self.deliveries is not None:
            self.deliveries.configure(limits.send_buffer, limits.ping_timeout)
        for bot in self.directory.bots.values():
            bot.limits = limits
            bot.budget.limit = limits.peer_memory
            self._refresh(bot)
        if limits.sweep_interval != before.sweep_interval:
            for timer in tuple(self._sweeps):
                timer.disownServiceParent()
            self._make_sweeps(limits.sweep_interval)

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

    def make_admin_token(self, wanted: Config) -> MadeToken | None:
        """Return the token that is made where none is configured; None where none is needed.

        It may be called in a thread.

        :raises CannotPrepare: if it can neither be read nor made.
        """
        if wanted.server.admin_token is not None or not wanted.console.enabled:
            return None
        try:
            return made_token(self._data_dir.path)
        except CannotMakeToken as error:
            raise CannotPrepare(str(error)) from None

    def use_made_token(self, made: MadeToken | None) -> None:
        """Accept a token that was made, where none is configured; show its link if it is new."""
        self.secrets()  # the one before, too
        self._made_token = made
        self.port.authentication.made_token = None if made is None else made.value
        if made is not None and made.is_new and self.running:
            self._show_link()

    def secrets(self) -> frozenset[str]:
        """Return the tokens and secrets that are valid now, or were in this run."""
        made = self._made_token
        return self._secrets.note(self.config, None if made is None else made.value)

    def _show_link(self) -> None:
        """Show the link once, after the token was made."""
        made = self._made_token
        if made is None or not made.is_new:
            return
        self._made_token = evolve(made, is_new=False)
        base = self._http_url()
        if base.startswith("http"):
            self.show_link(console_link(base, made.value))

    def set_journal_settings(self, settings: JournalSettings) -> None:
        """Replace ``retention`` and ``max_size``."""
        if self.journal is not None:
            self.journal.configure(settings.retention, settings.max_size)
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

    def _remove_edge(self, edge: IEdge) -> Deferred[None]:
        """Stop an edge and remove it from the tree when its connections are closed, or time is up.

        Its name may be used again at once.
        """
        edge.parent.namedServices.pop(edge.name)
        edge.name = None

        async def stop() -> None:
            dialler = IDialler(edge, None)
            if dialler is not None:
                patience = self.config.limits.close_timeout + 1
                await dialler.when_idle().addTimeout(patience, self._reactor, lambda _late, _seconds: None)
            done = edge.disownServiceParent()
            if isinstance(done, Deferred):
                await done

        return spawn("removing", stop())

    # -- the journal

    def need_journal(self) -> None:
        """Make the journal and the deliveries, unless they are there; open the journal if the service runs.

        :raises CannotPrepare: if the service runs and the journal cannot be used.
        """
        if self.journal is not None:
            return
        settings, limits = self.config.journal, self.config.limits
        if self.running:
            try:
                self.check_journal()
            except JournalError as error:
                raise CannotPrepare(str(error)) from None
        journal = self.journal = Journal(
            SqliteStore(self._data_dir.journal_file, settings.sync),
            lambda name: ThreadWorker(name, self._reactor.callFromThread),
            self._reactor,
            self._wall_clock,
            limits=JournalLimits(settings.retention, settings.max_size),
            steady_wall_clock=self._clock_watch.steady,
            when_turn_ends=self._scheduler.when_read_or_turn_ends,
        )
        deliveries = self.deliveries = Deliveries(
            journal,
            self._reactor,
            self._wall_clock,
            window_bytes=limits.send_buffer,
            patience=limits.ping_timeout,
        )
        journal.observe_retention(deliveries.check_retention)
        journal.when_open(deliveries.start)
        deliveries.observe_directory(self.directory)
        self._add_timer(_DELIVERY_TICK, "deliveries", deliveries.check)
        if self.running:
            self._open_journal()

    def _open_journal(self) -> None:
        if self.journal is not None and self.deliveries is not None:
            sys.setswitchinterval(_SWITCH_INTERVAL)
            self.journal.start(self.deliveries.pairs())

    def check_journal(self) -> None:
        """Open the journal's file and close it again, to know that it can be used. Set a damaged one aside.

        It does not stay open: threads and SQLite connections do not survive the fork of a daemon. One that
        another program has locked is no reason not to start: it is opened as soon as it can be.

        :raises JournalError: if it cannot be used.
        """
        file, settings = self._data_dir.journal_file, self.config.journal
        pairs = [] if self.deliveries is None else self.deliveries.pairs()
        store, now = SqliteStore(file, settings.sync), int(self._wall_clock() * 1000)
        try:
            store.open_writing(pairs, now)
        except JournalBusy as error:
            self._log.warn("{error}; until it can be opened, events wait in memory", error=error)
            return
        except JournalDamaged as error:
            if not settings.set_aside:
                raise JournalError(
                    f'{error}; nothing was changed. [journal] on_damage = "set-aside" puts it aside and '
                    "begins a new one"
                ) from None
            aside = set_aside(file, time.strftime("%Y%m%dT%H%M%S"))
            self._log.error("{error}; it was set aside as {aside}", error=error, aside=aside)
            store = SqliteStore(file, settings.sync)
            store.open_writing(pairs, now)
        store.close_writing()

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
                self.check_journal()
            self.use_made_token(self.make_admin_token(self.config))
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
        self._open_journal()
        for line in summary(self.config, self.ports.urls()):
            self._log.info("{line}", line=line)
        for line in warnings(self.config):
            self._log.warn("{line}", line=line)
        self.warn_of_certificates()
        self._show_link()
        super().startService()

    def _stages(self) -> list[Stage]:
        """Return the stages in the order in which they are stopped."""
        return [
            Stage("the alerts", self._stop_alerts),  # that accounts go offline now is nothing to tell
            Stage("the listening ports", self.ports.close),
            Stage("what dials, polls and posts", self._retire_edges),
            Stage("the accounts", self._stop_accounts),
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
        clients = list(self._alert_clients)  # those of its entries now: it makes others
        self.alerts.stopService()
        return DeferredList([client.close() for client in clients], consumeErrors=True) if clients else None

    def _retire_edges(self) -> None:
        for edge in (*self.accounts, *self.bots):
            log_failures("retiring an edge", edge.retire)()

    def _stop_accounts(self) -> None:
        """Stop the accounts while bots are still connected: they get 1502 for calls under way."""
        for account in self.directory.accounts.values():
            log_failures("stopping an account", partial(account.stop, _STOPPING))()

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

    def _end_log(self) -> None:
        report_left_out()
        globalLogPublisher.removeObserver(self.log_lines)

    def _close_journal(self) -> Deferred[None] | None:
        if self.journal is None:
            return None
        return self.journal.close(self.config.limits.close_timeout + 1)
