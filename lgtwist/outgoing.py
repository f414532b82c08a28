"""Connections of ours to other hosts: how they are made, and why they could not be."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError, DNSLookupError, TimeoutError
from twisted.internet.ssl import optionsForClientTLS
from twisted.python.failure import Failure

#: Seconds that TCP may take to connect; a network that swallows our SYN says nothing.
CONNECT_TIMEOUT = 10.0


def client_endpoint(reactor: Any, host: str, port: int, secure: bool, trust_root: Any) -> Any:
    """An endpoint to a host by name or address; over TLS its certificate and name are verified."""
    name = host.strip("[]")
    if "_" in name and not secure:  # Docker's names: Twisted's other endpoint holds them for no names
        return TCP4ClientEndpoint(reactor, name, port, timeout=int(CONNECT_TIMEOUT))
    endpoint = HostnameEndpoint(reactor, name, port, timeout=CONNECT_TIMEOUT)
    if not secure:
        return endpoint
    options = {} if trust_root is None else {"trustRoot": trust_root}
    return wrapClientTLS(optionsForClientTLS(name, **options), endpoint)


def why_unreachable(failure: Failure) -> str:
    """Why no TCP connection could be made, in a few words."""
    error: Any = failure.value
    if isinstance(error, TimeoutError):
        return f"no TCP connection within {CONNECT_TIMEOUT:g} s"
    if isinstance(error, DNSLookupError):
        return "the host's name is not known"
    if isinstance(error, ConnectError):
        inner = getattr(error, "osError", None)
        reason = getattr(inner, "strerror", None) or error.__doc__ or type(error).__name__
        return str(reason).strip().rstrip(".").lower()
    return f"{type(error).__name__}: {error}"
