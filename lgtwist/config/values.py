"""Readers of single configuration values.

A reader is a function that takes a TOML value and returns what it means.

:raises InvalidValue: if the value is not what the reader expects; the argument says what that is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit


class InvalidValue(ValueError):
    """A value is not what a reader expects; the argument is a sentence that says what it expects."""


# -- readers


def text(value: Any) -> str:
    """Read a string that is not empty and has no control characters."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise InvalidValue("expected a string that is not empty")
    return value


def token(value: Any) -> str:
    """Read a secret that a header can carry (RFC 9110, 5.5). No error shows it."""
    if not isinstance(value, str) or not value:
        raise InvalidValue("expected a string that is not empty")
    if not value.isprintable() or value != value.strip():
        raise InvalidValue("expected printable characters without spaces around them")
    return value


def choice(available: Sequence[str], planned: Sequence[str] = ()) -> Callable[[Any], str]:
    """Return a reader of one of the words in ``available``.

    :param planned: words that a later version brings; the error for one of them says so.
    """

    def read(value: Any) -> str:
        if value in available and isinstance(value, str):
            return value
        if value in planned:
            raise InvalidValue(f'"{value}" is not available yet in this version')
        raise InvalidValue(f"expected {_alternatives(available)}")

    return read


def _alternatives(words: Iterable[str]) -> str:
    return " or ".join(f'"{word}"' for word in words)


def whole_number(lowest: int, highest: int) -> Callable[[Any], int]:
    """Return a reader of whole numbers from ``lowest`` to ``highest``; true and false are none."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise InvalidValue(f"expected a whole number from {lowest} to {highest}")
        return value

    return read


#: A number, and the unit of a time.
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
#: Seconds of each unit of a time.
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration(lowest: float, highest: float, zero: bool = False) -> Callable[[Any], float]:
    """Return a reader of times such as ``"500ms"``, ``"5s"``, ``"10m"`` or ``"7d"``; it returns seconds.

    :param lowest: seconds, as is ``highest``.
    :param zero: whether ``"0s"`` is a time too, whatever ``lowest`` is.
    """

    def read(value: Any) -> float:
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None or len(found[1]) > 15:
            raise InvalidValue('expected a time such as "5s", "500ms", "10m" or "7d"')
        seconds = float(found[1]) * _SECONDS[found[2]]
        if zero and seconds == 0:
            return 0.0
        if not (math.isfinite(seconds) and lowest <= seconds <= highest):
            raise InvalidValue(f"expected a time from {lowest:g} s to {highest:g} s" + ", or 0s" * zero)
        return seconds

    return read


#: A number of actions, and the unit of the time in which they may be asked for.
_RATE = re.compile(r"([1-9][0-9]{0,5})/(s|min|h)")
#: Seconds of each unit of a rate.
_RATE_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def rate(value: Any) -> tuple[int, float]:
    """Read a rate such as ``"20/min"``, ``"2/s"`` or ``"100/h"``: how many, and in how many seconds."""
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidValue('expected a rate such as "20/min", "2/s" or "100/h"')
    return int(found[1]), _RATE_SECONDS[found[2]]


def boolean(value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise InvalidValue("expected true or false")
    return value


def events_per_second(value: Any) -> float:
    """Read a number of events in a second: above 0, at most a million."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1_000_000:
        raise InvalidValue("expected a number above 0: events in a second")
    return float(value)


#: An action's name, or a pattern of names.
_PATTERN = re.compile(r"[A-Za-z0-9_.*]{1,200}")


def action_pattern(value: Any) -> str:
    """Read the name of an action, in which ``*`` stands for any characters."""
    if not isinstance(value, str) or not _PATTERN.fullmatch(value):
        raise InvalidValue('expected an action such as "send_msg", or a pattern such as "get_*"')
    return value


#: A number, and the unit of a size.
_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB)")
#: Bytes of each unit of a size.
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size(lowest: int, highest: int) -> Callable[[Any], int]:
    """Return a reader of sizes such as ``"64KiB"``, ``"32MiB"``, ``"1GiB"``; it returns bytes.

    :param lowest: bytes, as is ``highest``.
    """

    def read(value: Any) -> int:
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise InvalidValue('expected a size such as "32MiB", "64KiB" or "1GiB"')
        result = int(found[1]) * _BYTES[found[2]]
        if not lowest <= result <= highest:
            raise InvalidValue(f"expected a size from {lowest} to {highest} bytes")
        return result

    return read


def origin(value: Any) -> str:
    """Read a browser's origin (RFC 6454, 6.2): scheme, host and port, nothing behind them."""
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
        raise InvalidValue('expected an origin such as "https://example.org"')
    return str(value)


#: A host's name, IPv4 address or IPv6 address in brackets, and perhaps a port.
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def host(value: Any) -> str:
    """Read the name or address of a host, with or without a port; a whole URL is none."""
    if not isinstance(value, str) or not _HOST.fullmatch(value):
        raise InvalidValue('expected a host such as "media.example.org" or "127.0.0.1:8000"')
    return value


#: One label of a host's name.
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def _can_be_dialled(name: str, secure: bool) -> bool:
    """Return whether ``name`` is an address or a host name, which may have underscores (as Docker's).

    :param secure: whether it must be in a certificate, where underscores are not allowed.
    """
    if ":" in name:
        return True  # urlsplit has checked it
    labels = name.removesuffix(".").split(".")
    return len(name) < 254 and all(map(_LABEL.fullmatch, labels)) and not (secure and "_" in name)


def url(*schemes: str, query: bool = True) -> Callable[[Any], str]:
    """Return a reader of URLs with a host that can be dialled, and without a user or a fragment.

    :param schemes: one of these it must have.
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
            raise InvalidValue(example)
        if parts.username is not None or parts.fragment:
            raise InvalidValue(f"{example}, without user, password or fragment")
        if parts.query and not query:
            raise InvalidValue(f"{example}, without a query; a token goes into access_token")
        if not _can_be_dialled(str(parts.hostname), parts.scheme in ("wss", "https")):
            raise InvalidValue(f'"{parts.hostname}" is no host name')
        if parts.hostname in ("0.0.0.0", "::"):  # noqa: S104  # an address to listen on
            raise InvalidValue(f'"{parts.hostname}" is for listening; to dial this machine, use "127.0.0.1"')
        return str(value)

    return read
