"""Fetching media over HTTP, from public addresses or from configured hosts only.

Addresses are checked after resolving, when connecting, and again for each redirect. So a name that
resolves to another address a moment later cannot be used to reach this machine or its network.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Sequence
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
from lgtwist.sandbox.world.world import PlatformError

#: Redirects that one fetch follows.
MAX_REDIRECTS = 5
#: Seconds that a response's headers may take, and then its body.
TIME_LIMIT_SECONDS = 30.0

#: Special-purpose networks that some versions of Python take for public (RFC 6890, RFC 9637).
_SPECIAL_NETWORKS = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("3fff::/20"))
#: Relays of 6to4 (RFC 7526).
_6TO4_RELAYS = ipaddress.ip_network("192.88.99.0/24")
#: NAT64 (RFC 6052): such an address contains an IPv4 address, which may be private.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public_address(host: str) -> bool:
    """Return whether an IP address belongs to the public Internet; False for what is not an IP address."""
    try:
        address: Any = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if address.version == 6:
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address.sixtofour is not None or address.teredo is not None or address in _NAT64:
            return False
    if any(address in network for network in _SPECIAL_NETWORKS):
        return False
    if getattr(address, "is_site_local", False) or (address.version == 4 and address in _6TO4_RELAYS):
        return False
    return bool(address.is_global and not address.is_multicast and not address.is_reserved)


@implementer(IResolutionReceiver)
@define
class _PublicAddressReceiver:
    """Passes on those of a name's addresses that are public."""

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
class _PublicOnlyReactor:
    """A reactor that resolves names to public addresses only."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    @property
    def nameResolver(self) -> Any:
        return self

    def resolveHostName(self, receiver: IResolutionReceiver, *args: Any, **kwargs: Any) -> Any:
        return self._reactor.nameResolver.resolveHostName(_PublicAddressReceiver(receiver), *args, **kwargs)

    def installNameResolver(self, resolver: Any) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IAgentEndpointFactory)
@define
class _CheckedEndpointFactory:
    """Makes endpoints to public addresses, and to allowed hosts at any address."""

    _reactor: Any
    allowed_hosts: frozenset[str]

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii").strip("[]").lower()
        allowed = host in self.allowed_hosts or f"{host}:{uri.port}" in self.allowed_hosts
        if not allowed and isIPv6Address(host) and not is_public_address(host):
            host = "address.invalid"  # never resolves (RFC 6761, 6.4): literals are not resolved
        reactor = self._reactor if allowed else _PublicOnlyReactor(self._reactor)
        endpoint = HostnameEndpoint(reactor, host, uri.port)
        if uri.scheme == b"https":
            wrapped: IStreamClientEndpoint = wrapClientTLS(Verifying(host), endpoint)
            return wrapped
        return endpoint


class Fetcher:
    """Fetches URLs over HTTP and HTTPS.

    :param reactor: the network and the clock.
    :param hosts: hosts, or hosts with a port, that may have any address.
    :param limit: returns the bytes that a body may have.
    """

    def __init__(self, reactor: Any, hosts: Collection[str], limit: Callable[[], int]) -> None:
        endpoints = self._endpoints = _CheckedEndpointFactory(reactor, frozenset())
        self.set_allowed_hosts(hosts)
        # Connections and cookies are not reused by the next fetch.
        self._agent = Agent.usingEndpointFactory(reactor, endpoints, BoundedPool(reactor, False))
        self._reactor = reactor
        self._limit = limit

    def set_allowed_hosts(self, hosts: Collection[str]) -> None:
        """Replace the hosts that may have any address, from the next fetch on."""
        self._endpoints.allowed_hosts = frozenset(host.lower() for host in hosts)

    async def fetch(self, url: str) -> bytes:
        """Return the body of a URL; at most ``MAX_REDIRECTS`` redirects are followed.

        :raises PlatformError: if it cannot be fetched, is empty, is too large or takes too long. The sentence
            has the URL without its query, which may hold a secret.
        """
        for _hop in range(MAX_REDIRECTS + 1):
            shown = url.partition("?")[0][:200]
            response = await self._request(url, shown)
            location: Sequence[str] = response.headers.getRawHeaders("location", [])
            if response.code == 200:
                return await self._body(response, shown)
            response.deliverBody(_discarding_body())
            if response.code not in (301, 302, 303, 307, 308) or not location:
                raise PlatformError(f"{shown} answers {response.code}")
            try:
                url = urljoin(url, location[0])
            except ValueError:
                raise PlatformError(f"{shown} redirects to what is no web address") from None
        raise PlatformError(f"more than {MAX_REDIRECTS} redirects")

    async def _request(self, url: str, shown: str) -> Any:
        """Send a GET request and return the response, whose body is not yet read.

        :param shown: the URL for errors.
        """
        try:
            parts = urlsplit(url)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise PlatformError(f"{shown} is not a web address")
        try:
            target = quote(url.partition("#")[0], safe=":/?[]@!$&'()*+,;=%-._~").encode("ascii")
            requested: Any = self._agent.request(b"GET", target, Headers({"User-Agent": ["lgtwist"]}))
            return await requested.addTimeout(TIME_LIMIT_SECONDS, self._reactor)
        except Exception as error:
            raise PlatformError(f"{shown} cannot be fetched: {_error_text(error)}") from None

    async def _body(self, response: Any, shown: str) -> bytes:
        """Return the body of a response."""
        limit = self._limit()
        body = Body(limit)
        response.deliverBody(body)
        try:
            data = await body.whole.addTimeout(TIME_LIMIT_SECONDS, self._reactor)
        except Exception as error:
            if body.too_large:
                raise PlatformError(f"{shown} is larger than {limit} bytes") from None
            raise PlatformError(f"{shown} cannot be fetched: {_error_text(error)}") from None
        if not data:
            raise PlatformError(f"{shown} is empty")
        return data


def _discarding_body() -> Body:
    """Return a body protocol that closes the connection instead of reading."""
    body = Body(-1)
    body.whole.addErrback(lambda _ended: b"")
    return body


def _error_text(error: Exception) -> str:
    """Return the end of a sentence that says why a URL could not be fetched."""
    name = type(error).__name__
    if name == "DNSLookupError":
        return "the name means no public address; see media_hosts"
    return name
