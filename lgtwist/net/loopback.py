"""Names of hosts: which of them can only mean this machine. Pure."""

from __future__ import annotations

import ipaddress


def is_loopback_name(host: str) -> bool:
    """Return whether ``host`` (no port, brackets around IPv6 allowed) can only mean this machine."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def split_host(header: str) -> tuple[str, int | None]:
    """Split a ``Host`` header into host and port; what is no valid port stays in the host."""
    host, colon, port = header.strip().rpartition(":")
    if colon and port.isascii() and port.isdigit() and len(port) < 6 and not host.endswith(":"):
        return host, int(port)
    return header.strip(), None
