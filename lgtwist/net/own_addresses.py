"""Whether an address is one that this process listens on."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from lgtwist.net.endpoint_strings import Address, InternetAddress


def reaches(host: str, port: int, listening: Iterable[Address]) -> bool:
    """Return whether a TCP connection to ``host`` and ``port`` may reach one of the addresses.

    All addresses of this machine are taken into account where a port listens on all of them. What cannot be
    known (an address that is none) counts as reaching.

    :param host: an IPv4 or IPv6 address, also with a zone (``fe80::1%eth0``) or an IPv4-mapped one.
    :param listening: where this process listens.
    """
    return any(
        isinstance(one, InternetAddress) and one.port == port and _is_served_by(host, one.host)
        for one in listening
    )


def _is_served_by(host: str, interface: str) -> bool:
    try:
        wanted, served = _parse(host), _parse(interface or "0.0.0.0")  # noqa: S104  # what Twisted means by it
    except ValueError:
        return True
    if served.is_unspecified:
        return wanted.is_unspecified or wanted.is_loopback or _is_local(host, wanted)
    # The kernel takes an unspecified address for loopback, or for the first one that it finds.
    return wanted.is_unspecified or wanted == served


def _parse(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address without its zone; of an IPv4-mapped one the IPv4 address.

    :raises ValueError: if it is none.
    """
    address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def _is_local(host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Return whether an address is one of this machine's: a socket can be bound to no other."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    named = host.strip("[]") if address.version == 6 and "%" in host else str(address)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            where = socket.getaddrinfo(named, 0, family, socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
            probe.bind(where[0][4])
    except OSError:
        return False
    return True
