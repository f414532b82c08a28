"""Readers of single configuration values.

A reader is a function that takes a TOML value and returns what it means.

:raises InvalidValue: if the value is not what the reader expects; the argument says what that is.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from lgtwist.config.lookalikes import lookalike


class InvalidValue(ValueError):
    """A value is not what a reader expects; the argument is a sentence that says what it expects."""


# -- what is wrong with a value; values of strings are not shown, for one may be a secret in the wrong place


_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")


def _no_text(value: Any) -> str | None:
    """Return why a value is not a string that is not blank: the end of a sentence; None if it is one."""
    if isinstance(value, list):
        return ", not a list"
    if isinstance(value, dict):
        return ", not a table"
    if not isinstance(value, str):
        return "; put it between quotation marks"
    return None if value.strip() else ""


def _no_number(value: Any) -> str:
    """Return what is wrong with a value where a number is expected; the empty string if it is a number."""
    if isinstance(value, bool):
        return ", not true or false"
    if isinstance(value, list):
        return ", not a list"
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return ", without quotation marks"
    return ", not text" if isinstance(value, str) else ""


# -- readers


def text(value: Any) -> str:
    """Read a string that is not blank and has no control characters."""
    wrong = _no_text(value)
    if wrong is not None:
        raise InvalidValue(f"expected a string that is not empty{wrong}")
    if not value.isprintable():
        raise InvalidValue(f"expected a string without {_unprintable(value)}")
    return str(value)


def _unprintable(value: str) -> str:
    """Return what cannot be shown in a string that is not printable."""
    first = next(character for character in value if not character.isprintable())
    names = {"\n": "line breaks", "\r": "line breaks", "\t": "tabs", "\ufeff": "a byte order mark"}
    return names.get(first, f"characters that cannot be shown (U+{ord(first):04X})")


def token(value: Any) -> str:
    """Read a secret that a header can carry (RFC 9110, 5.5). No error shows it."""
    wrong = _no_text(value)
    if wrong is not None:
        without = wrong or "; leave the key out where there is none"
        raise InvalidValue(f"expected a string that is not empty{without}")
    if value != value.strip():
        raise InvalidValue("expected printable characters without spaces around them")
    if not value.isprintable():
        raise InvalidValue(f"expected printable characters, without {_unprintable(value)}")
    return str(value)


def choice(available: Sequence[str]) -> Callable[[Any], str]:
    """Return a reader of one of the words in ``available``."""

    def read(value: Any) -> str:
        if value in available and isinstance(value, str):
            return value
        raise InvalidValue(f"expected {alternatives(available)}{_is_meant(value, available)}")

    return read


def _is_meant(value: Any, available: Sequence[str]) -> str:
    """Return the end of a sentence that asks whether one of the words is meant; empty if none is near."""
    if not isinstance(value, str):
        return ""
    written = value.strip().lower().replace("_", "-")
    near = difflib.get_close_matches(written, available, 1, 0.8)
    return f'; is "{near[0]}" meant?' if near else ""


def alternatives(words: Iterable[str]) -> str:
    """Return words between quotation marks, as a choice: ``"a", "b" or "c"``. Empty words are left out."""
    quoted = [f'"{word}"' for word in words if word]
    return " or ".join([*([", ".join(quoted[:-1])] if quoted[:-1] else []), *quoted[-1:]])


def whole_number(lowest: int, highest: int) -> Callable[[Any], int]:
    """Return a reader of whole numbers from ``lowest`` to ``highest``; true and false are none."""
    bounds = f"above {lowest - 1}" if highest == _UNBOUNDED else f"from {lowest} to {highest}"

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            fraction = ", without a point" if isinstance(value, float) else ""
            raise InvalidValue(f"expected a whole number {bounds}{fraction or _no_number(value)}")
        return value

    return read


#: The greatest number that TOML promises to carry, which is no bound that people think of.
_UNBOUNDED = 2**63 - 1


#: A number, and the unit of a time.
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
#: Seconds of each unit of a time.
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_A_DURATION = 'expected a time such as "5s", "500ms", "10m" or "7d"'
_UNITS = "units are ms, s, m, h and d, right behind one number"


def duration(lowest: float, highest: float, zero: bool = False) -> Callable[[Any], float]:
    """Return a reader of times such as ``"500ms"``, ``"5s"``, ``"10m"`` or ``"7d"``; it returns seconds.

    :param lowest: seconds, as is ``highest``.
    :param zero: whether ``"0s"`` is a time too, whatever ``lowest`` is.
    """

    def read(value: Any) -> float:
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if found is None or len(found[1]) > 15:
            raise InvalidValue(f"{_A_DURATION}{_no_quantity(value, _UNITS)}")
        seconds = float(found[1]) * _SECONDS[found[2]]
        if zero and seconds == 0:
            return 0.0
        if not (math.isfinite(seconds) and lowest <= seconds <= highest):
            bounds = f"from {_as_time(lowest)} to {_as_time(highest)}"
            raise InvalidValue(f"expected a time {bounds}" + ', or "0s"' * zero)
        return seconds

    return read


def _as_time(seconds: float) -> str:
    """Return a time as it is written in a configuration."""
    for unit, length in reversed(_SECONDS.items()):
        if seconds >= length and (seconds / length).is_integer():
            return f'"{seconds / length:g}{unit}"'
    return f'"{seconds * 1000:g}ms"'


def _no_quantity(value: Any, units: str) -> str:
    """Return what is wrong with a value where a number with a unit is expected.

    :param units: the end of a sentence that names the units.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "; the unit is missing, and the quotation marks"
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return "; the unit is missing"
    return f"; {units}" if isinstance(value, str) else ""


#: A number of actions, and the unit of the time in which they may be asked for.
_RATE = re.compile(r"([1-9][0-9]{0,5})/(s|min|h)")
#: Seconds of each unit of a rate.
_RATE_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def rate(value: Any) -> tuple[int, float]:
    """Read a rate such as ``"20/min"``, ``"2/s"`` or ``"100/h"``: how many, and in how many seconds."""
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        wrong = _no_quantity(value, "units are s, min and h, without blanks")
        raise InvalidValue(f'expected a rate such as "20/min", "2/s" or "100/h"{wrong}')
    return int(found[1]), _RATE_SECONDS[found[2]]


def boolean(value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        quoted = isinstance(value, str) and value.strip().lower() in ("true", "false")
        raise InvalidValue("expected true or false" + ", without quotation marks" * quoted)
    return value


def events_per_second(value: Any) -> float:
    """Read a number of events in a second: above 0, at most a million."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1_000_000:
        unit = isinstance(value, str) and _RATE.fullmatch(value)
        wrong = "; write the number alone, without quotation marks" if unit else _no_number(value)
        raise InvalidValue(f"expected a number above 0: events in a second{wrong}")
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
#: A size as other programs write it.
_NEAR_SIZE = re.compile(r"([0-9]{1,15})\s*([kKmMgG])(?:[iI]?[bB])?")
#: Bytes of each unit of a size.
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def size(lowest: int, highest: int) -> Callable[[Any], int]:
    """Return a reader of sizes such as ``"64KiB"``, ``"32MiB"``, ``"1GiB"``; it returns bytes.

    :param lowest: bytes, as is ``highest``.
    """

    def read(value: Any) -> int:
        found = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise InvalidValue(f'expected a size such as "32MiB", "64KiB" or "1GiB"{_no_size(value)}')
        result = int(found[1]) * _BYTES[found[2]]
        if not lowest <= result <= highest:
            raise InvalidValue(f"expected a size from {_as_size(lowest)} to {_as_size(highest)}")
        return result

    return read


def _no_size(value: Any) -> str:
    """Return what is wrong with a value where a size is expected."""
    near = _NEAR_SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if near is not None:
        return f'; write "{near[1]}{near[2].upper()}iB"'
    return _no_quantity(value, "units are B, KiB, MiB and GiB, right behind a whole number")


def _as_size(number: int) -> str:
    """Return a number of bytes as it is written in a configuration."""
    for unit, length in reversed(_BYTES.items()):
        if number >= length and number % length == 0:
            return f'"{number // length}{unit}"'
    return f'"{number}B"'


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
        path = "; nothing stands behind the host and the port, not even /" if fits else ""
        raise InvalidValue(f'expected an origin such as "https://example.org"{path}')
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

    No error shows a path or a query, which may hold a token.

    :param schemes: one of these it must have.
    :param query: whether it may have a query.
    """
    example = f'expected a URL such as "{schemes[0]}://127.0.0.1:3001/"'

    def read(value: Any) -> str:
        wrong = _no_text(value)
        wrong = _no_url_text(value) if wrong is None else wrong
        if wrong is not None:
            raise InvalidValue(f"{example}{wrong}")
        try:
            parts = urlsplit(value)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise InvalidValue(f"{example}{_no_authority(value)}") from None
        if parts.scheme not in schemes or not host or port == 0:
            raise InvalidValue(f"{example}{_no_url(value, schemes)}")
        if parts.username is not None or parts.fragment:
            raise InvalidValue(f"{example}, without user, password or fragment")
        if parts.query and not query:
            raise InvalidValue(f"{example}, without a query; a token goes into access_token")
        secure = parts.scheme in ("wss", "https")
        if not _can_be_dialled(host, secure):
            underscore = "; no certificate is made out for a name with _" if secure and "_" in host else ""
            raise InvalidValue(f'"{host}" is no host name{underscore}')
        if host in ("0.0.0.0", "::"):  # noqa: S104  # an address to listen on
            raise InvalidValue(f'"{host}" is for listening; to dial this machine, use "127.0.0.1"')
        return str(value)

    return read


def _no_url_text(value: str) -> str | None:
    """Return why a string has characters that no URL has (RFC 3986, 2); None if it has none."""
    visible = value.partition("?")[0]
    if value != value.strip():
        return "; there is a blank or a line break around it: take it away"
    strange = lookalike(visible)
    if strange is not None:
        return f"; {strange}"
    if any(c.isspace() or not c.isprintable() for c in value):
        return "; there is a blank in it: write %20, or take it away"
    if value.isascii():
        return "; a \\ is in it: write /" if "\\" in visible else None
    host = re.match(r"[a-z]+://([^/?#:]*)", visible)
    if host is not None and not host[1].isascii():
        return f"; a host is written in ASCII, as DNS has it{_punycode(host[1])}"
    return "; letters that are not ASCII are written as %XX (percent-encoded UTF-8)"


def _punycode(host: str) -> str:
    try:
        return f': "{host.encode("idna").decode("ascii")}"'
    except UnicodeError:
        return ""


def _no_authority(value: str) -> str:
    """Return what is wrong with the host or the port of a URL that cannot be taken apart."""
    authority = value.partition("://")[2].partition("/")[0]
    if authority.count(":") > 1 and "[" not in authority:
        return "; an IPv6 address stands in brackets, as [::1]:3001"
    return "; its port is no number from 1 to 65535" if "[" not in authority else "; its host cannot be read"


def _no_url(value: str, schemes: Sequence[str]) -> str:
    """Return what is wrong with the scheme, the host or the port of a URL."""
    scheme, colon, rest = value.partition("://")
    wanted = " or ".join(f"{one}://" for one in schemes)
    if not colon or not scheme.isalpha() or len(scheme) > 5:
        return f"; it must begin with {wanted}"
    if scheme.lower() not in schemes:
        return f"; it must begin with {wanted}, not with {scheme}://"
    if not rest or rest[0] in "/:?#":
        return "; its host is missing"
    return "; its port is no number from 1 to 65535"
