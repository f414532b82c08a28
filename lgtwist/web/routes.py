"""Where a path leads. Pure."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from attrs import frozen

#: The paths that implementations dial, or post to.
_IMPLEMENTATION_ROOT = ("onebot", "v11")
_IMPLEMENTATION_WEBSOCKETS = ("ws", "api", "event")
_MACHINES = ("metrics", "healthz", "readyz")
_ROLES = ("", "api", "event")


@frozen
class BotPath:
    """A bot's WebSocket.

    :ivar self_id: the account; None for the bot's default.
    :ivar role: ``""`` (universal), ``"api"`` or ``"event"``.
    """

    self_id: int | None
    role: str


@frozen
class ActionPath:
    """An action over HTTP.

    :ivar self_id: the account; None for the bot's default.
    """

    self_id: int | None
    action: str


@frozen
class SandboxPath:
    """The control of a sandbox account; ``rest`` is the path below it."""

    self_id: int
    rest: tuple[str, ...]


@frozen
class ImplementationPath:
    """An implementation's WebSocket; a bot that comes here is at the wrong door.

    :ivar role: ``ws``, ``api`` or ``event``.
    """

    role: str


@frozen
class PostPath:
    """Where implementations post their events."""


@frozen
class MachinePath:
    """What machines ask of the service itself: ``metrics``, ``healthz`` or ``readyz``."""

    what: str


@frozen
class NoPath:
    """Leads nowhere."""


Route = BotPath | ActionPath | SandboxPath | ImplementationPath | PostPath | MachinePath | NoPath


def _account_number(segment: str) -> int | None:
    return int(segment) if segment.isascii() and segment.isdigit() and len(segment) < 20 else None


def plain(path: bytes) -> bytes:
    """A request's path without the scheme and host of the absolute form; they may hold a password."""
    if path[:7].lower() in (b"http://", b"https:/"):
        return b"/" + path.partition(b"//")[2].partition(b"/")[2]
    return path


def route(path: bytes) -> Route:
    """Where a request's path, without its query, leads. A trailing slash makes no difference.

    The absolute form, with scheme and host in front, is taken too (RFC 9112, 3.2.2).
    """
    try:
        text = unquote_to_bytes(plain(path)).decode()
    except UnicodeDecodeError:
        return NoPath()
    if not text.startswith("/"):
        return NoPath()
    segments = tuple(text[1:].removesuffix("/").split("/"))
    if segments[:2] == _IMPLEMENTATION_ROOT and len(segments) == 3:
        if segments[2] in _IMPLEMENTATION_WEBSOCKETS:
            return ImplementationPath(segments[2])
        return PostPath() if segments[2] == "post" else NoPath()
    if len(segments) == 1 and segments[0] in _MACHINES:
        return MachinePath(segments[0])
    if segments[0] == "sandbox" and len(segments) > 1:
        self_id = _account_number(segments[1])
        return NoPath() if self_id is None else SandboxPath(self_id, segments[2:])
    self_id = _account_number(segments[0])
    role = segments[0] if self_id is None else "".join(segments[1:])
    empty = "" in segments[1:] or text.startswith("//")
    if len(segments) > (1 if self_id is None else 2) or empty:
        return NoPath()
    return BotPath(self_id, role) if role in _ROLES else ActionPath(self_id, role)
