"""The listening port as a whole: its settings, and everything that answers there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from lgtwist.config.limits import Limits
from lgtwist.config.section import Section
from lgtwist.config.values import origin, token
from lgtwist.hub.directory import Hub
from lgtwist.net.endpoints import endpoint, is_public
from lgtwist.runtime.logs import Episode
from lgtwist.runtime.turns import Turns
from lgtwist.web.account_endpoints import AccountEndpoints
from lgtwist.web.authentication import Authentication, AuthenticationSettings, BotTokens
from lgtwist.web.bot_endpoints import AcceptBot, BotEndpoints, HttpActions
from lgtwist.web.channel import PortSite
from lgtwist.web.connection_limits import ConnectionLimits
from lgtwist.web.health import Healthz, Readiness, Readyz
from lgtwist.web.metrics import MetricsEndpoint, MetricsRegistry
from lgtwist.web.mounts import Mount
from lgtwist.web.sandbox_endpoint import SandboxEndpoint
from lgtwist.web.site import Router


@frozen
class ServerSettings:
    """``[server]``.

    :ivar endpoints: where to listen, as Twisted's endpoint strings.
    :ivar admin_token: the operator's; None for none.
    :ivar allowed_origins: web pages of these origins may do what a local program may.
    """

    endpoints: tuple[str, ...] = ("tcp:8081:interface=127.0.0.1",)
    admin_token: str | None = field(default=None, repr=False)
    allowed_origins: tuple[str, ...] = ()

    @property
    def authentication(self) -> AuthenticationSettings:
        """What of it decides who may do what."""
        public = any(is_public(listening) for listening in self.endpoints)
        return AuthenticationSettings(self.admin_token, frozenset(self.allowed_origins), public)


_DEFAULT = ServerSettings()


def read_server(section: Section) -> ServerSettings:
    """Read ``[server]``; mistakes are collected in the section."""
    read = ServerSettings(
        endpoints=section.take_list("endpoints", endpoint, _DEFAULT.endpoints, at_least=1),
        admin_token=section.take_secret("admin_token", token),
        allowed_origins=section.take_list("allowed_origins", origin, _DEFAULT.allowed_origins),
    )
    section.finish()
    return read


class Port:
    """Everything behind the listening endpoints, made of what is handed in.

    :param directory: the accounts and bots.
    :param edge_of: returns the edge service of an account, None if there is no such account; it is asked for
        :class:`IReverseLink`, :class:`IEventReceiver` and :class:`IControl`.
    :param accept_bot: makes a bot's connection of a request.
    :param http_actions: answers actions over HTTP.
    :param scheduler: is told when HTTP bytes are read, so that what follows from them is written together.
    :param metrics: what ``/metrics`` shows.
    :param readiness: what ``/readyz`` shows.
    :ivar site: makes the connections.
    :ivar bot_tokens: an observer of the directory, to be registered there.
    """

    def __init__(
        self,
        *,
        directory: Hub,
        edge_of: Callable[[int], object | None],
        accept_bot: AcceptBot,
        http_actions: HttpActions,
        settings: ServerSettings,
        limits: Limits,
        clock: Any,
        scheduler: Turns,
        metrics: MetricsRegistry,
        readiness: Readiness,
    ) -> None:
        self.connection_limits = ConnectionLimits(limits, clock)
        self.bot_tokens = BotTokens()
        self.authentication = authentication = Authentication(
            self.connection_limits, settings.authentication, self.bot_tokens
        )
        wrong_path = Episode(clock)
        mounts: dict[str, Mount] = {
            "onebot": AccountEndpoints(
                authentication=authentication, edge_of=edge_of, wrong_path=wrong_path, clock=clock
            ),
            "sandbox": SandboxEndpoint(authentication=authentication, edge_of=edge_of),
            "healthz": Healthz(authentication),
            "readyz": Readyz(authentication, readiness),
            "metrics": MetricsEndpoint(authentication, metrics),
        }
        bots = BotEndpoints(
            directory=directory,
            authentication=authentication,
            accept=accept_bot,
            actions=http_actions,
            wrong_path=wrong_path,
        )
        router = Router(self.connection_limits, mounts, bots)
        self.site = PortSite(
            router,
            limits=self.connection_limits,
            clock=clock,
            accepts_body=router.accepts_body,
            scheduler=scheduler,
        )

    def stop(self) -> None:
        """End handshakes under way, then every HTTP connection; what is already answered is still written."""
        self.connection_limits.stop()
        self.site.close_all()
