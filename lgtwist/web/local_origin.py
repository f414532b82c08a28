"""The local-origin check: a request without a token must come from a program on this machine. Pure.

It refuses web pages in a browser on this machine, what a browser opens as a page for a link from elsewhere
(in a chat, in an e-mail) where that would change something, and what a proxy forwards from elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from lgtwist.net.loopback import is_loopback_name, split_host

#: Headers that proxies add, by the beginnings of their names.
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
#: The values of ``Sec-Fetch-Mode`` of what a browser opens as a page, or loads for an element of a page such
#: as an image (Fetch Metadata, 2.2). No script and no program asks in these modes.
_PAGE_MODES = {"navigate", "nested-navigate", "no-cors"}
#: The port of a URL without one, by scheme.
_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def _same_origin(origin: str, host_header: str, secure: bool) -> bool:
    return _has_address(origin, host_header, 443 if secure else 80)


def is_origin_of(origin: str, host_header: str) -> bool:
    """Return whether an ``Origin`` is the address that a request was sent to, perhaps to a proxy.

    ``Host`` names no port where it is the usual one; whether that is 80 or 443 is the proxy's affair.

    :param host_header: the request's ``Host``.
    """
    return _has_address(origin, host_header, None)


def _has_address(origin: str, host_header: str, usual_port: int | None) -> bool:
    """Return whether an ``Origin`` has the host and port of a ``Host``.

    :param usual_port: what a ``Host`` without a port means; None for that of the origin's scheme.
    """
    try:
        parts = urlsplit(origin)
        scheme_port = _DEFAULT_PORTS.get(parts.scheme)
        origin_port = parts.port or scheme_port
        origin_host = parts.hostname
    except ValueError:
        return False
    host, port = split_host(host_header)
    return (origin_host, origin_port) == (host.lower().strip("[]"), port or usual_port or scheme_port)


def _site_of(origin: str | None) -> str | None:
    """Return the ``Origin`` of a request if a browser may have sent it; None if not, or if there is none.

    A browser sends ``null``, or a scheme, ``://`` and more (RFC 6454, 6.1). Some programs send what their
    language makes of a missing value or of an object.
    """
    if not origin or "://" in origin:
        return origin
    return origin if "null" in _split(origin) else None


def _split(value: str) -> set[str]:
    return {part.strip().lower() for part in value.split(",")} - {""}


def _values(headers: dict[str, str], name: str) -> set[str]:
    return _split(headers.get(name, ""))


def is_navigation(headers: dict[str, str]) -> bool:
    """Return whether a browser asks for a page, or for an element of one, by itself: nobody wrote a program.

    Every browser of today says so by ``Sec-Fetch-Mode``; older ones send ``Upgrade-Insecure-Requests``.

    :param headers: the request's, names in lower case.
    """
    if _values(headers, "sec-fetch-mode") & _PAGE_MODES:
        return True
    return "sec-fetch-user" in headers or "upgrade-insecure-requests" in headers


def why_not_local(
    headers: dict[str, str], allowed_origins: Collection[str], secure: bool, *, changes: bool = False
) -> str | None:
    """Return why a request does not come from a program on this machine; None if it may.

    :param headers: the request's, names in lower case.
    :param allowed_origins: origins of web pages that are treated as such a program.
    :param secure: whether the request came over TLS.
    :param changes: whether the request may change something: then it may not be one that a browser sends for
        a link or an image.
    """
    for name in headers:
        if name.startswith(_FORWARDED):
            return f'header "{name}" shows a proxy'
    host = headers.get("host", "")
    if not is_loopback_name(split_host(host)[0]):
        return f'Host "{host}" is not loopback'
    origin = _site_of(headers.get("origin"))
    if origin is not None and origin not in allowed_origins and not _same_origin(origin, host, secure):
        return f'Origin "{origin}" is another site'
    if origin not in allowed_origins and _values(headers, "sec-fetch-site") - {"none", "same-origin"}:
        # The request of an image or a link has no Origin header; browsers send this instead, or a referrer.
        return "a web page of another site asks"
    if origin is None:
        referer = headers.get("referer")
        if referer is not None and not _same_origin(referer, host, secure):
            return "a web page of another site asks (Referer)"
    if changes and is_navigation(headers):
        return "a browser opens this as a page, which may do nothing but get_* and can_*,"
    return None
