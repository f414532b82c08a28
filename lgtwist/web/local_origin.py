"""Requests without a token are for programs on this machine. Pure.

So that no web page that a user visits, and no stranger behind a proxy, can drive a bot through the
local port.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from lgtwist.net.loopback import is_loopback_name, split_host

#: What proxies add, by how it begins.
_FORWARDED = (
    "forwarded",
    "x-forwarded-",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "via",
)
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def _same_place(origin: str, host_header: str, secure: bool) -> bool:
    try:
        parts = urlsplit(origin)
        origin_port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        origin_host = parts.hostname
    except ValueError:
        return False
    host, port = split_host(host_header)
    return (origin_host, origin_port) == (
        host.lower().strip("[]"),
        port or (443 if secure else 80),
    )


def why_stranger(headers: dict[str, str], allowed_origins: Collection[str], secure: bool) -> str | None:
    """Why a request without a token is not from a program on this machine; None if it may be.

    :param headers: the request's, names in lower case.
    :param secure: whether it came over TLS.
    """
    for name in headers:
        if name.startswith(_FORWARDED):
            return f'header "{name}" shows a proxy'
    host = headers.get("host", "")
    if not is_loopback_name(split_host(host)[0]):
        return f'Host "{host}" is not loopback'
    origin = headers.get("origin")
    if origin is not None and origin not in allowed_origins and not _same_place(origin, host, secure):
        return f'Origin "{origin}" is another site'
    if origin is None:
        # A page's image or link brings no Origin; browsers say where it comes from all the same.
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return "a web page of another site asks"
        referer = headers.get("referer")
        if referer is not None and not _same_place(referer, host, secure):
            return "a web page of another site asks (Referer)"
    return None
