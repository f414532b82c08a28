"""Names of hosts: which of them can only mean this machine, or its own network. Pure."""

from __future__ import annotations

import ipaddress

#: The networks that are not routed on the Internet (RFC 1918, RFC 3927, RFC 4193, RFC 4291).
_PRIVATE_NETWORKS = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
    )
)
#: Names that the public DNS does not have (RFC 6762, RFC 8375, and ICANN's reservation of ``internal``).
_PRIVATE_DOMAINS = (".local", ".internal", ".home.arpa")
#: How loopback is mostly written.
_USUAL = ("127.0.0.1", "localhost", "::1", "[::1]")


def is_private_name(host: str) -> bool:
    """Return whether ``host`` is this machine or in a network of its own.

    That is loopback, a private or link-local address, a name without a dot (of a container, or of a machine
    in the same network), or a name in a domain that the public DNS does not have.

    :param host: a name or an IP address, brackets allowed.
    """
    name = host.lower().rstrip(".")
    if is_loopback_name(name):
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]").partition("%")[0])
    except ValueError:
        return ("." not in name and not name.isdecimal()) or name.endswith(_PRIVATE_DOMAINS)
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_loopback or any(address in network for network in _PRIVATE_NETWORKS)


def is_loopback_name(host: str) -> bool:
    """Return whether ``host`` (no port, brackets around IPv6 allowed) can only mean this machine."""
    if host in _USUAL:
        return True
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def plain_address(host: str) -> str:
    """Return the IPv4 address in an IPv4-mapped one (``::ffff:127.0.0.1``; RFC 4291, 2.5.5.2).

    A socket that listens on all addresses of IPv6 names peers that came by IPv4 so. Any other text is
    returned as it is.
    """
    if ":" not in host or not host.lower().startswith("::ffff:"):
        return host
    try:
        mapped = ipaddress.IPv6Address(host).ipv4_mapped
    except ValueError:
        return host
    return host if mapped is None else str(mapped)


def split_host(header: str) -> tuple[str, int | None]:
    """Split a ``Host`` header into host and port; what is no valid port stays in the host."""
    host, colon, port = header.strip().rpartition(":")
    if colon and port.isascii() and port.isdigit() and len(port) < 6 and not host.endswith(":"):
        return host, int(port)
    return header.strip(), None
