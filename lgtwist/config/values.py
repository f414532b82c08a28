"""How single values of the configuration are read.

A reader takes a TOML value and returns what it means, or raises :class:`Unreadable` with what was expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit


class Unreadable(ValueError):
    """A value is not what was expected; the argument says what that is."""


# -- readers


def text(value: Any) -> str:
    """A string that is not empty and has no control characters."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Unreadable("expected a string that is not empty")
    return value


def token(value: Any) -> str:
    """A secret that a header can carry (RFC 9110, 5.5). It is never shown."""
    if not isinstance(value, str) or not value:
        raise Unreadable("expected a string that is not empty")
    if not value.isprintable() or value != value.strip():
        raise Unreadable("expected printable characters without spaces around them")
    return value


def choice(now: Sequence[str], later: Sequence[str] = ()) -> Callable[[Any], str]:
    """One of some words; those of ``later`` are known and not available yet."""

    def read(value: Any) -> str:
        if value in now and isinstance(value, str):
            return value
        if value in later:
            raise Unreadable(f'"{value}" is not available yet in this version')
        raise Unreadable(f"expected {_or(now)}")

    return read


def _or(words: Iterable[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)


def boolean_free_integer(lowest: int, highest: int) -> Callable[[Any], int]:
    """A whole number; true and false are none."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise Unreadable(f"expected a whole number from {lowest} to {highest}")
        return value

    return read


count = boolean_free_integer

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(lowest: float, highest: float, zero: bool = False) -> Callable[[Any], float]:
    """A time, as ``"500ms"``, ``"5s"``, ``"10m"``, ``"2h"`` or ``"7d"``; in seconds."""

    def read(value: Any) -> float:
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None or len(found[1]) > 15:
            raise Unreadable('expected a time such as "5s", "500ms", "10m" or "7d"')
        seconds = float(found[1]) * _SECONDS[found[2]]
        if zero and seconds == 0:
            return 0.0
        if not (math.isfinite(seconds) and lowest <= seconds <= highest):
            raise Unreadable(f"expected a time from {lowest:g} s to {highest:g} s" + ", or 0s" * zero)
        return seconds

    return read


_RATE = re.compile(r"([1-9][0-9]{0,5})/(s|min|h)")
_RATE_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def rate(value: Any) -> tuple[int, float]:
    """How many in which time, as ``"20/min"``, ``"2/s"`` or ``"100/h"``: a number, and seconds."""
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Unreadable('expected a rate such as "20/min", "2/s" or "100/h"')
    return int(found[1]), _RATE_SECONDS[found[2]]


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Unreadable("expected true or false")
    return value


def pace(value: Any) -> float:
    """How many in a second: a number above 0, at most a million."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1_000_000:
        raise Unreadable("expected a number above 0: events in a second")
    return float(value)


_PATTERN = re.compile(r"[A-Za-z0-9_.*]{1,200}")


def action_pattern(value: Any) -> str:
    """An action's name, in which ``*`` stands for any characters."""
    if not isinstance(value, str) or not _PATTERN.fullmatch(value):
        raise Unreadable('expected an action such as "send_msg", or a pattern such as "get_*"')
    return value


_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB)")
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size(lowest: int, highest: int) -> Callable[[Any], int]:
    """A size, as ``"64KiB"``, ``"32MiB"`` or ``"1GiB"``; in bytes."""

    def read(value: Any) -> int:
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise Unreadable('expected a size such as "32MiB", "64KiB" or "1GiB"')
        result = int(found[1]) * _BYTES[found[2]]
        if not lowest <= result <= highest:
            raise Unreadable(f"expected a size from {lowest} to {highest} bytes")
        return result

    return read


def origin(value: Any) -> str:
    """A browser's origin (RFC 6454, 6.2): scheme, host and port, nothing behind them."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        fits = parts is not None and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if (
        not fits
        or parts is None
        or parts.scheme not in ("http", "https")
        or value != f"{parts.scheme}://{parts.netloc}"
    ):
        raise Unreadable('expected an origin such as "https://example.org"')
    return str(value)


_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def host(value: Any) -> str:
    """A host's name or address, with or without a port; never a whole URL."""
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise Unreadable('expected a host such as "media.example.org" or "127.0.0.1:8000"')
    return value


_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def _can_be_dialled(name: str, secure: bool) -> bool:
    """Whether it is an address, or a host name; an underscore (Docker's) is in no certificate."""
    if ":" in name:
        return True  # urlsplit has checked it
    labels = name.removesuffix(".").split(".")
    return len(name) < 254 and all(map(_LABEL.fullmatch, labels)) and not (secure and "_" in name)


def url(*schemes: str, query: bool = True) -> Callable[[Any], str]:
    """A web address of one of some schemes, with a host that can be dialled, and no user or fragment.

    :param query: whether it may have a query.
    """

    def read(value: Any) -> str:
        example = f'expected a URL such as "{schemes[0]}://127.0.0.1:3001/"'
        try:
            parts = urlsplit(value) if isinstance(value, str) and value.isascii() else None
            fits = parts is not None and parts.scheme in schemes and parts.hostname and parts.port != 0
        except ValueError:
            fits = False
        if not fits or parts is None or any(c.isspace() or not c.isprintable() for c in value):
            raise Unreadable(example)
        if parts.username is not None or parts.fragment:
            raise Unreadable(f"{example}, without user, password or fragment")
        if parts.query and not query:
            raise Unreadable(f"{example}, without a query; a token goes into access_token")
        if not _can_be_dialled(str(parts.hostname), parts.scheme in ("wss", "https")):
            raise Unreadable(f'"{parts.hostname}" is no host name')
        if parts.hostname in ("0.0.0.0", "::"):  # noqa: S104  # an address to listen on
            raise Unreadable(f'"{parts.hostname}" is for listening; to dial this machine, use "127.0.0.1"')
        return str(value)

    return read
