"""Fetching media from the web: from public addresses only, or from hosts that the configuration names.

Addresses are checked after resolving, at the moment of connecting, and again for each redirect: a name
that means another address a moment later cannot be used to reach this machine or its network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from attrs import define
from twisted.internet.abstract import isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from lgtwist.net.client_endpoints import Verifying
from lgtwist.net.http_client import Body, BoundedPool
from lgtwist.sandbox.world.world import Failed

REDIRECTS = 5
TIME_LIMIT = 30.0

#: Special, whatever the Python at hand says of them (RFC 6890, RFC 9637).
_SPECIAL = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("3fff::/20"))
_RELAYS = ipaddress.ip_network("192.88.99.0/24")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: an IPv4 address of whatever kind inside


def is_public_address(host: str) -> bool:
    """Whether an IP address belongs to the public Internet."""
    try:
        address: Any = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if address.version == 6:
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address.sixtofour is not None or address.teredo is not None or address in _TRANSLATED:
            return False
    if any(address in network for network in _SPECIAL):
        return False
    if getattr(address, "is_site_local", False) or (address.version == 4 and address in _RELAYS):
        return False
    return bool(address.is_global and not address.is_multicast and not address.is_reserved)


@implementer(IResolutionReceiver)
@define
class _PublicOnly:
    """Passes on the public ones of the addresses that a name has."""

    _receiver: IResolutionReceiver
    refused: int = 0

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: IAddress) -> None:
        if is_public_address(str(getattr(address, "host", ""))):
            self._receiver.addressResolved(address)
        else:
            self.refused += 1

    def resolutionComplete(self) -> None:
        self._receiver.resolutionComplete()


@implementer(IReactorPluggableNameResolver)
class _GuardedReactor:
    """A reactor whose names have public addresses only."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    @property
    def nameResolver(self) -> Any:
        return self

    def resolveHostName(self, receiver: IResolutionReceiver, *args: Any, **kwargs: Any) -> Any:
        return self._reactor.nameResolver.resolveHostName(_PublicOnly(receiver), *args, **kwargs)

    def installNameResolver(self, resolver: Any) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IAgentEndpointFactory)
@define
class _GuardedEndpoints:
    """Endpoints to public addresses, and to allowed hosts wherever they are."""

    _reactor: Any
    hosts: frozenset[str]

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii").strip("[]").lower()
        free = host in self.hosts or f"{host}:{uri.port}" in self.hosts
        if not free and isIPv6Address(host) and not is_public_address(host):
            host = "address.invalid"  # a literal is not resolved, so it is refused here (RFC 6761, 6.4)
        reactor = self._reactor if free else _GuardedReactor(self._reactor)
        endpoint = HostnameEndpoint(reactor, host, uri.port)
        if uri.scheme == b"https":
            wrapped: IStreamClientEndpoint = wrapClientTLS(Verifying(host), endpoint)
            return wrapped
        return endpoint


class Fetcher:
    """Gets web addresses.

    :param reactor: network and clock.
    :param hosts: names, or names with a port, that may be anywhere.
    :param limit: bytes that an answer may have.
    """

    def __init__(self, reactor: Any, hosts: Collection[str], limit: int) -> None:
        endpoints = self._endpoints = _GuardedEndpoints(reactor, frozenset())
        self.allow(hosts)
        # Nothing is kept between two fetches: no connections, no cookies.
        self._agent = Agent.usingEndpointFactory(reactor, endpoints, BoundedPool(reactor, False))
        self._reactor = reactor
        self._limit = limit

    def allow(self, hosts: Collection[str]) -> None:
        """Take other hosts that may be anywhere, from the next fetch on."""
        self._endpoints.hosts = frozenset(host.lower() for host in hosts)

    async def fetch(self, url: str) -> bytes:
        """The body behind a web address.

        :raises Failed: if it cannot be had, is too large or takes too long; without the query of its
            address, which may hold a secret.
        """
        for _hop in range(REDIRECTS + 1):
            shown = url.partition("?")[0][:200]
            answer = await self._get(url, shown)
            location: Sequence[str] = answer.headers.getRawHeaders("location", [])
            if answer.code == 200:
                return await self._body(answer, shown)
            answer.deliverBody(_unread())
            if answer.code not in (301, 302, 303, 307, 308) or not location:
                raise Failed(f"{shown} answers {answer.code}")
            try:
                url = urljoin(url, location[0])
            except ValueError:
                raise Failed(f"{shown} redirects to what is no web address") from None
        raise Failed(f"more than {REDIRECTS} redirects")

    async def _get(self, url: str, shown: str) -> Any:
        try:
            parts = urlsplit(url)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits:
            raise Failed(f"{shown} is not a web address")
        try:
            target = quote(url.partition("#")[0], safe=":/?[]@!$&'()*+,;=%-._~").encode("ascii")
            asked: Any = self._agent.request(b"GET", target, Headers({"User-Agent": ["lgtwist"]}))
            return await asked.addTimeout(TIME_LIMIT, self._reactor)
        except Exception as error:
            raise Failed(f"{shown} cannot be fetched: {_reason(error)}") from None

    async def _body(self, answer: Any, shown: str) -> bytes:
        body = Body(self._limit)
        answer.deliverBody(body)
        try:
            data = await body.whole.addTimeout(TIME_LIMIT, self._reactor)
        except Exception as error:
            if body.too_large:
                raise Failed(f"{shown} is larger than {self._limit} bytes") from None
            raise Failed(f"{shown} cannot be fetched: {_reason(error)}") from None
        if not data:
            raise Failed(f"{shown} is empty")
        return data


def _unread() -> Body:
    """Takes an answer that nobody wants to read, and ends its connection."""
    body = Body(-1)
    body.whole.addErrback(lambda _ended: b"")
    return body


def _reason(error: Exception) -> str:
    name = type(error).__name__
    if name == "DNSLookupError":
        return "the name means no public address; see media_hosts"
    return name
