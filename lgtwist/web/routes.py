"""Split a request's path into the mount and its segments. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from attrs import frozen


@frozen
class Route:
    """A request's path, split.

    :ivar mount: the name of the mount; None for the paths of bots, which begin with no name.
    :ivar segments: those behind the mount's name; all segments of a bot's path.
    """

    mount: str | None
    segments: tuple[str, ...]


def route(path: bytes, mounts: Mapping[str, bool]) -> Route | None:
    """Split a request's path, without its query, at its slashes. A trailing slash makes no difference.

    Percent-encoding is decoded first. The path may be in absolute form, with scheme and host in front
    (RFC 9112, 3.2.2). Empty segments stay, as in ``/10001//x``.

    :param mounts: by name, whether ``/{name}`` itself belongs to the mount, not only ``/{name}/...``.
    :returns: None if it is no path: not UTF-8, or without exactly one slash in front.
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
    """Return a request's path without scheme and host of the absolute form, where a password may stand."""
    if path[:7].lower() in (b"http://", b"https:/"):
        return b"/" + path.partition(b"//")[2].partition(b"/")[2]
    return path


def account_number(segment: str) -> int | None:
    """Return the account's number in a segment of up to 19 ASCII digits; None for any other segment."""
    return int(segment) if segment.isascii() and segment.isdigit() and len(segment) < 20 else None
