"""Whether a running lgtwist answers ``/healthz``: for a container's HEALTHCHECK, which asks again and again.

Neither the reactor nor the rooms are imported, so that asking costs little.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from attrs import frozen

from lgtwist.app.configuration_file import ConfigurationError, ConfigurationFile
from lgtwist.config.toml_mistakes import why_not_toml
from lgtwist.runtime.platform import unix_socket

#: Where the service listens if the configuration does not say it.
_DEFAULT_ENDPOINT = "tcp:8081:interface=127.0.0.1"
#: Seconds that the whole answer may take.
TIME_LIMIT = 5.0
_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
#: Bytes of an answer that are looked at: its first line is shorter.
_HEAD = 200


@frozen
class Health:
    """What was found.

    :ivar sentence: for people.
    """

    alive: bool
    sentence: str


def check_health(file: ConfigurationFile, time_limit: float = TIME_LIMIT) -> Health:
    """Ask ``/healthz`` of the first endpoint that can be asked.

    :param time_limit: seconds.
    """
    try:
        endpoint = askable_endpoint(file)
    except ConfigurationError as error:
        return Health(False, str(error))
    if endpoint is None:
        return Health(False, f"{file.described} names no endpoint of tcp, ssl or unix that could be asked")
    try:
        first_line = _ask(endpoint, file.base, time.monotonic() + time_limit)
    except TimeoutError:
        return Health(False, f"{endpoint}: no answer in {time_limit:g} s")
    except (OSError, ValueError, LookupError) as error:
        return Health(False, f"{endpoint}: {getattr(error, 'strerror', None) or error}")
    parts = first_line.split()
    if len(parts) > 1 and parts[0].startswith("HTTP/") and parts[1] == "200":
        return Health(True, f"{endpoint}: alive")
    return Health(False, f"{endpoint}: answered {first_line.strip()!r}")


def askable_endpoint(file: ConfigurationFile) -> str | None:
    """Return the first endpoint that a configuration names and that can be asked; None if there is none.

    :raises ConfigurationError: if it cannot be read.
    """
    kinds = ("tcp", "tcp6", "ssl", "unix")
    return next((one for one in _endpoints(file) if one.partition(":")[0] in kinds), None)


def _endpoints(file: ConfigurationFile) -> list[str]:
    """Return the endpoints that a configuration names. Nothing else in it is looked at.

    :raises ConfigurationError: if it cannot be read.
    """
    source = file.source()
    try:
        values: Any = msgspec.toml.decode(source)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ConfigurationError([f"{file.described}: {why_not_toml(source, error)}"]) from None
    server = values.get("server")
    endpoints = server.get("endpoints") if isinstance(server, dict) else None
    if not isinstance(endpoints, list):
        return [_DEFAULT_ENDPOINT]
    return [one for one in endpoints if isinstance(one, str)]


def split(description: str) -> tuple[list[str], dict[str, str]]:
    """Take a Twisted endpoint string apart, as Twisted does.

    :returns: its positional arguments, the kind among them, and its named ones.
    """
    positional: list[str] = []
    named: dict[str, str] = {}
    key, word, characters = None, "", iter(description + ":")
    for character in characters:
        if character == "\\":
            word += next(characters, "")
        elif character == "=" and key is None:
            key, word = word, ""
        elif character != ":":
            word += character
        else:
            if key is None:
                positional.append(word)
            else:
                named[key] = word
            key, word = None, ""
    return positional, named


def _ask(description: str, base: Path, deadline: float) -> str:
    """Return the first line of the answer, or as much of it as came.

    :raises OSError: also where the time is over.
    """
    with connected(description, base, deadline) as connection:
        return _first_line(connection, deadline)


@contextmanager
def connected(description: str, base: Path, deadline: float) -> Iterator[socket.socket]:
    """Return a connection to one of our endpoints, and close it in the end.

    The certificate of an ``ssl:`` endpoint is not verified: it is this machine's own address that is dialled,
    and the certificate is made out for another name.

    :param base: what a relative path of a unix socket is relative to.
    :param deadline: as ``time.monotonic`` says it.
    :raises OSError: also where the time is over.
    """
    positional, named = split(description)
    kind = positional[0]
    first = positional[1] if len(positional) > 1 else ""
    with _connect(kind, first, named, base, deadline) as plain:
        plain.settimeout(_left(deadline))
        if kind == "ssl":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(plain) as secure:
                yield secure
        else:
            yield plain


def _connect(kind: str, first: str, named: dict[str, str], base: Path, deadline: float) -> socket.socket:
    if kind == "unix":
        unix = unix_socket()
        try:
            unix.settimeout(_left(deadline))
            unix.connect(str(base / (first or named["address"])))
        except BaseException:
            unix.close()
            raise
        return unix
    interface = named.get("interface", "")
    anywhere = {"": "::1" if kind == "tcp6" else "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104
    return socket.create_connection(
        (anywhere.get(interface, interface), int(first or named["port"])), _left(deadline)
    )


def _first_line(connection: socket.socket, deadline: float) -> str:
    connection.sendall(_REQUEST)
    answer = b""
    while b"\n" not in answer and len(answer) < _HEAD:
        connection.settimeout(_left(deadline))
        more = connection.recv(_HEAD)
        if not more:
            break
        answer += more
    return answer[:_HEAD].partition(b"\n")[0].decode("ascii", "backslashreplace")


def _left(deadline: float) -> float:
    """Return the seconds that are left.

    :raises TimeoutError: if none are.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
