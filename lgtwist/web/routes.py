"""Split a request's path. Pure: what the segments mean is the business of the mount that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from attrs import frozen


@frozen
class Route:
    """Where a request's path leads.

    :ivar mount: the name of a mount; None for the bots' paths, which have no name in front.
    :ivar segments: what stands behind the name, of the bots' paths all of it; ``()`` if nothing does.
    """

    mount: str | None
    segments: tuple[str, ...]


def route(path: bytes, mounts: Mapping[str, bool]) -> Route | None:
    """Split a request's path, without its query, at its slashes. A trailing slash makes no difference.

    Percent-encoding is decoded first. The absolute form, with scheme and host in front, is taken too
    (RFC 9112, 3.2.2). Empty segments stay, as in ``/10001//x``.

    :param mounts: by name, whether the name alone (``/metrics``) belongs to the mount too; if not, only
        what stands below it does.
    :returns: None for what is no path: not UTF-8, without a slash in front, or with two.
    """
    try:
        text = unquote_to_bytes(without_authority(path)).decode()
    except UnicodeDecodeError:
        return None
    if not text.startswith("/") or text.startswith("//"):
        return None
    inner = text[1:].removesuffix("/")
    segments = tuple(inner.split("/")) if inner else ()
    name = segments[0] if segments else ""
    if name in mounts and (mounts[name] or len(segments) > 1):
        return Route(name, segments[1:])
    return Route(None, segments)


def without_authority(path: bytes) -> bytes:
    """Return a request's path without the scheme and host of the absolute form, which may hold a password."""
    if path[:7].lower() in (b"http://", b"https:/"):
        return b"/" + path.partition(b"//")[2].partition(b"/")[2]
    return path


def account_number(segment: str) -> int | None:
    """Return the account that a segment names: up to 19 ASCII digits; None for anything else."""
    return int(segment) if segment.isascii() and segment.isdigit() and len(segment) < 20 else None
