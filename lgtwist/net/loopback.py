"""Whether a host can only mean this machine. Pure."""

from __future__ import annotations

import ipaddress


def is_loopback_name(host: str) -> bool:
    """Whether ``host`` (no port, brackets around IPv6 allowed) can only mean this machine."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def split_host(header: str) -> tuple[str, int | None]:
    """Host and port of a ``Host`` header; what is no port is kept in the host."""
    host, colon, port = header.strip().rpartition(":")
    if colon and port.isascii() and port.isdigit() and len(port) < 6 and not host.endswith(":"):
        return host, int(port)
    return header.strip(), None
