"""The table ``[server]``: endpoints, admin token, allowed origins."""

from __future__ import annotations

from attrs import field, frozen

from lgtwist.config.section import Section
from lgtwist.config.values import origin, token
from lgtwist.net.endpoints import endpoint, is_public, same_address


@frozen
class ServerSettings:
    """The keys of ``[server]``.

    :ivar endpoints: where to listen, as endpoint strings of Twisted.
    :ivar admin_token: the operator's; None for none.
    :ivar allowed_origins: web pages of these origins may do what a program on this machine may do.
    :ivar public: whether one of the endpoints can be reached from other machines.
    """

    endpoints: tuple[str, ...] = ("tcp:8081:interface=127.0.0.1",)
    admin_token: str | None = field(default=None, repr=False)
    allowed_origins: tuple[str, ...] = ()
    public: bool = field(init=False)

    @public.default
    def _is_public(self) -> bool:
        return any(is_public(listening) for listening in self.endpoints)


_DEFAULT = ServerSettings()


def read_server(section: Section) -> ServerSettings:
    """Read ``[server]``; mistakes are collected in the section."""
    read = ServerSettings(
        endpoints=section.read_list("endpoints", endpoint, _DEFAULT.endpoints, at_least=1),
        admin_token=section.read_secret("admin_token", token),
        allowed_origins=section.read_list("allowed_origins", origin, _DEFAULT.allowed_origins),
    )
    for number, described in enumerate(read.endpoints):
        if any(same_address(described, other) for other in read.endpoints[:number]):
            section.add_problem(f"endpoints[{number}]", "listens where another one of them does already")
    section.finish()
    return read
