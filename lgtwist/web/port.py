"""The composition of the listening ports: limits, authentication, mounts and router."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any

from lgtwist.config.limits import Limits
from lgtwist.hub.directory import Directory
from lgtwist.runtime.logs import LogThrottle
from lgtwist.runtime.turns import FlushScheduler
from lgtwist.web.account_endpoints import AccountEndpoints
from lgtwist.web.authentication import Authentication, BotTokens
from lgtwist.web.bot_endpoints import AcceptBot, BotEndpoints, HttpActions
from lgtwist.web.channel import PortSite
from lgtwist.web.connection_limits import ConnectionLimits
from lgtwist.web.health import Healthz, Readiness, Readyz
from lgtwist.web.metrics import MetricsEndpoint, MetricsRegistry
from lgtwist.web.mounts import Mount
from lgtwist.web.refused_handshakes import Named, RefusedHandshakes
from lgtwist.web.sandbox_endpoint import SandboxEndpoint
from lgtwist.web.settings import ServerSettings
from lgtwist.web.site import Router


class Port:
    """Answers the requests of all listening ports. It does not listen itself.

    :param directory: the accounts and bots.
    :param edge_of: returns the edge of an account, None if there is no such account. Which requests it gets
        depends on the interfaces that it provides: :class:`IReverseLink`, :class:`IEventReceiver`,
        :class:`IControl`.
    :param accept_bot: upgrades a bot's request to a WebSocket.
    :param http_actions: answers actions over HTTP.
    :param settings: has the admin token and the allowed origins.
    :param limits: has those of connections, handshakes and bodies.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param scheduler: the flush scheduler; connections mark their reads.
    :param metrics: of ``/metrics``.
    :param readiness: of ``/readyz``.
    :ivar site: makes the protocols of accepted connections.
    :ivar authentication: its ``settings`` may be replaced.
    :ivar connection_limits: its ``limits`` may be replaced.
    :ivar refused_handshakes: those of the last hour.
    :ivar bot_tokens: an observer of the directory, to be registered there.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        edge_of: Callable[[int], object | None],
        accept_bot: AcceptBot,
        http_actions: HttpActions,
        settings: ServerSettings,
        limits: Limits,
        clock: Any,
        scheduler: FlushScheduler,
        metrics: MetricsRegistry,
        readiness: Readiness,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.connection_limits = ConnectionLimits(limits, clock)
        self.bot_tokens = BotTokens()

        def is_configured(named: Named) -> bool:
            return named.account in directory.accounts or named.bot in directory.bots

        self.refused_handshakes = RefusedHandshakes(clock, wall_clock, is_configured)
        self.authentication = authentication = Authentication(
            self.connection_limits, settings, self.bot_tokens, self.refused_handshakes
        )
        wrong_path = LogThrottle(clock)
        bots = BotEndpoints(
            directory=directory,
            authentication=authentication,
            accept=accept_bot,
            actions=http_actions,
            wrong_path=wrong_path,
            clock=clock,
        )
        self._waiting_handshakes = bots.waiting
        self._router = router = Router(bots, clock)
        mounts: dict[str, Mount] = {
            "onebot": AccountEndpoints(
                authentication=authentication,
                edge_of=edge_of,
                account_of=directory.accounts.get,
                wrong_path=wrong_path,
                clock=clock,
            ),
            "sandbox": SandboxEndpoint(
                authentication=authentication, edge_of=edge_of, account_of=directory.accounts.get
            ),
            "healthz": Healthz(authentication),
            "readyz": Readyz(authentication, readiness),
            "metrics": MetricsEndpoint(authentication, metrics),
        }
        for name, mount in mounts.items():
            router.add(name, mount)
        self.site = PortSite(
            router,
            limits=self.connection_limits,
            clock=clock,
            body_budget=router.body_budget,
            is_action=router.is_action,
            cors_headers=http_actions.cors_headers,
            scheduler=scheduler,
        )

    def mount(self, name: str, mount: Mount) -> None:
        """Let ``mount`` answer the requests whose path begins with the segment ``name``, from now on."""
        self._router.add(name, mount)

    def stop(self) -> None:
        """Close the HTTP connections; answers under way are still written.

        Handshakes that wait for their account, and requests that are not complete, are answered with 503.
        """
        self._waiting_handshakes.stop()
        self.site.refuse_unfinished()
        self.connection_limits.stop()
        self.site.close_all()

    def wait_closed(self) -> Coroutine[Any, Any, None]:
        """Wait, for ``close_timeout`` at most, until the HTTP connections that were stopped are closed."""
        return self.site.wait_closed(self.connection_limits.limits.close_timeout)
