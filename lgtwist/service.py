"""The composition root: a configuration becomes one service. Alone in knowing everything.

Two steps: :meth:`LgtwistService.prepare` gets what may be refused (data directory, worlds, ports), with one
clear sentence if it is; starting the service cannot fail for such a reason any more.
"""

from __future__ import annotations

import fcntl
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.web.server import Request

from lgtwist import __version__
from lgtwist.bots.forward_websocket import ForwardSession, Role
from lgtwist.bots.http_api import HttpApi
from lgtwist.config import AccountConfig, Config
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.hub import Hub
from lgtwist.listening import CannotListen, Ports, is_public, url
from lgtwist.sandbox.account import SandboxAccount
from lgtwist.sandbox.control import Control
from lgtwist.sandbox.fetching import Fetcher
from lgtwist.sandbox.media import Media
from lgtwist.sandbox.store import StoreError
from lgtwist.tasks import survive
from lgtwist.web.channel import PortSite
from lgtwist.web.gate import Gate, GateLimits
from lgtwist.web.site import Access, FrontDoor
from lgtwist.websocket.factory import ConnectionFactory, WireLimits
from lgtwist.websocket.upgrade import take_over

_ROLES = {"": Role.UNIVERSAL, "api": Role.API, "event": Role.EVENT}


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
        self.config = config
        limits = config.limits
        self._data_dir = Path(config.data_dir).absolute()
        self._lock: int | None = None
        self._wall_clock = wall_clock
        accounts = [
            Account(a.self_id, reactor, wall_clock, limits.action_timeout, limits.heartbeat_interval)
            for a in config.accounts
        ]
        self.hub = Hub(
            accounts,
            [Bot(b.name, b.access_token, b.accounts, limits.calls, b.message_format) for b in config.bots],
            reactor,
        )
        self.sandboxes = [
            self._sandbox(account, settings, reactor)
            for account, settings in zip(accounts, config.accounts, strict=True)
        ]
        self.factory = ConnectionFactory(
            WireLimits(
                limits.max_message,
                limits.send_buffer,
                limits.close_timeout,
                limits.ping_interval,
                limits.ping_timeout,
                limits.tcp_user_timeout,
            ),
            reactor,
        )
        self.gate = Gate(
            GateLimits(
                limits.connections,
                limits.handshakes,
                limits.handshake_timeout,
                limits.body_timeout,
                limits.failed_handshakes,
            ),
            reactor,
        )
        access = Access(
            config.server.admin_token,
            frozenset(config.server.allowed_origins),
            any(is_public(e) for e in config.server.endpoints),
        )
        controls = {s.account.self_id: Control(s) for s in self.sandboxes}
        door = FrontDoor(
            self.hub, self.gate, access, self._upgrade, HttpApi(config.server.allowed_origins), controls
        )
        self.site = PortSite(door, self.gate, limits.max_message, limits.idle_timeout, reactor)
        self.ports = Ports(reactor, config.server.endpoints)
        self._sweeping = TimerService(
            self.factory.limits.sweep_interval, survive("liveness", self.factory.sweep)
        )
        self._sweeping.clock = reactor

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
        )
        world_file = None if settings.world is None else Path(settings.world)
        store = self._data_dir / f"{path}.sqlite"
        return SandboxAccount(account, store, media, self._wall_clock, world_file)

    def _http_url(self) -> str:
        urls = self.ports.urls() or [url(e) for e in self.config.server.endpoints]
        return urls[0].replace("ws", "http", 1)

    def _upgrade(
        self, request: Request, bot: Bot, account: Account, role: str, ended: Callable[[], None]
    ) -> None:
        session = ForwardSession(
            self.factory, bot, account, _ROLES[role], self.config.limits.heartbeat_interval, ended
        )
        take_over(request, self.factory.make(session))

    # -- before the start

    def prepare(self) -> None:
        """Get the data directory, the worlds and the ports.

        :raises CannotStart: if one of them cannot be had.
        """
        self._lock_data_dir()
        try:
            for sandbox in self.sandboxes:
                sandbox.load()
            self.ports.listen(self.site)
        except (StoreError, CannotListen) as error:
            self._unlock()
            raise CannotStart(str(error)) from None
        self._raise_file_limit()

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
        for sandbox in self.sandboxes:
            sandbox.startService()
        self._sweeping.startService()
        for line in described(self.config, self.ports.urls()):
            self._log.info("{line}", line=line)

    async def _stop(self) -> None:
        await self.ports.close()
        for sandbox in self.sandboxes:
            sandbox.stopService()  # calls in flight end as 1502, and are written
        self.gate.stop()
        self.site.close_all()
        await self.factory.close_all(1001, "lgtwist stops")
        await self._sweeping.stopService()
        self.hub.stop()
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


def described(config: Config, urls: list[str] | None = None) -> list[str]:
    """What a configuration serves, in lines for people. No secrets.

    :param urls: where the ports really are; without it, as the configuration says.
    """
    urls = [url(e) for e in config.server.endpoints] if urls is None else urls
    base = urls[0]
    lines = [f"lgtwist {__version__}, data in {Path(config.data_dir).absolute()}"]
    for account in config.accounts:
        where = ", ".join(f"{u}/{account.self_id}" for u in urls)
        lines.append(f"account {account.self_id} ({account.type}): {where}")
    for bot in config.bots:
        mine = bot.accounts or tuple(a.self_id for a in config.accounts)
        token = "with its token" if bot.access_token else "without a token, from this machine only"
        where = ", ".join(f"{u}/" for u in urls)
        lines.append(f'bot "{bot.name}" connects to {where} {token}; accounts: {", ".join(map(str, mine))}')
    token_line = "; and ONEBOT_ACCESS_TOKEN=the token of its [[bots]]" if config.bots[0].access_token else ""
    lines += [
        "To attach a NoneBot2:",
        "  1. pip install 'nonebot2[websockets]' nonebot-adapter-onebot",
        f'  2. in its .env: DRIVER=~websockets and ONEBOT_WS_URLS=["{base}/"]{token_line}',
        "  3. in its bot.py: import nonebot; from nonebot.adapters.onebot.v11 import Adapter; "
        "nonebot.init(); nonebot.get_driver().register_adapter(Adapter); nonebot.run()",
    ]
    sandbox = next((a for a in config.accounts if a.type == "sandbox"), None)
    if sandbox is not None and not base.startswith("unix:"):
        http = base.replace("ws", "http", 1)
        key = " -H 'Authorization: Bearer <admin_token>'" if config.server.admin_token else ""
        control = f"{http}/sandbox/{sandbox.self_id}"
        words = '{"user_id": 20001, "message": "hello"}'
        lines.append(f"To talk to it as Alice: curl{key} {control}/say -d '{words}'")
        lines.append(f"To read what was answered: curl{key} {control}/transcript")
    return lines
