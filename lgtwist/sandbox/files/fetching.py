"""Fetching media over HTTP, from public addresses or from configured hosts only, and never from our own port.

Addresses are checked after resolving, when connecting, and again for each redirect. So a name that
resolves to another address a moment later cannot be used to reach this machine or its network. Each request
carries ``Via`` (RFC 9110, 7.6.3): whoever takes requests from programs on this machine without a token, as
another lgtwist does, can see that this one was asked for by somebody else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Sequence
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from attrs import define
from twisted.internet.abstract import isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
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


class OwnPort(ConnectError):
    """The address is one that lgtwist itself listens on."""


@implementer(IReactorPluggableNameResolver)
class _CheckingReactor:
    """A reactor that connects to none of our own ports, and may resolve names to public addresses only.

    :param is_own_port: returns whether a connection to an IP address and port may reach our own port.
    :param public_only: whether names have public addresses only.
    """

    def __init__(self, reactor: Any, is_own_port: Callable[[str, int], bool], public_only: bool) -> None:
        self._reactor = reactor
        self._is_own_port = is_own_port
        self._public_only = public_only

    @property
    def nameResolver(self) -> Any:
        return self if self._public_only else self._reactor.nameResolver

    def resolveHostName(self, receiver: IResolutionReceiver, *args: Any, **kwargs: Any) -> Any:
        return self._reactor.nameResolver.resolveHostName(_PublicAddressReceiver(receiver), *args, **kwargs)

    def connectTCP(self, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        """Connect to an address, as every endpoint does once a name is resolved.

        :raises OwnPort: if it is our own port.
        """
        if self._is_own_port(host, port):
            raise OwnPort
        return self._reactor.connectTCP(host, port, *args, **kwargs)

    def installNameResolver(self, resolver: Any) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


@implementer(IAgentEndpointFactory)
@define
class _CheckedEndpointFactory:
    """Makes endpoints to public addresses, and to allowed hosts at any address; never to our own ports."""

    _reactor: Any
    _is_own_port: Callable[[str, int], bool]
    allowed_hosts: frozenset[str] = frozenset()

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii").strip("[]").lower()
        named = f"[{host}]" if ":" in host else host
        allowed = named in self.allowed_hosts or f"{named}:{uri.port}" in self.allowed_hosts
        if not allowed and isIPv6Address(host) and not is_public_address(host):
            host = "address.invalid"  # never resolves (RFC 6761, 6.4): literals are not resolved
        reactor = _CheckingReactor(self._reactor, self._is_own_port, public_only=not allowed)
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
    :param is_own_port: returns whether a connection to an IP address and port may reach our own port.
    """

    def __init__(
        self,
        reactor: Any,
        hosts: Collection[str],
        limit: Callable[[], int],
        is_own_port: Callable[[str, int], bool] = lambda _host, _port: False,
    ) -> None:
        endpoints = self._endpoints = _CheckedEndpointFactory(reactor, is_own_port)
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
            headers = Headers({"User-Agent": ["lgtwist"], "Via": ["1.1 lgtwist"]})
            requested: Any = self._agent.request(b"GET", target, headers)
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
    if name == "OwnPort":
        return "it is lgtwist's own port"
    return name
