"""Twisted server endpoint strings: checking them, who may reach them, by which URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort

from lgtwist.config.values import InvalidValue, text
from lgtwist.net.certificates import BadCertificate, CertificateFiles
from lgtwist.net.endpoint_mistakes import early_mistake, unknown_kind, wrong_interface, wrong_systemd
from lgtwist.net.endpoint_strings import (
    EndpointString,
    InternetAddress,
    read_endpoint,
)
from lgtwist.net.loopback import is_loopback_name
from lgtwist.net.twisted_private import split_endpoint

#: Stands in a URL for the number of a port that is not known before the start.
UNKNOWN_PORT = "PORT"


def check_endpoint(description: str, base: Path | None = None) -> str | None:
    """Return what is wrong with an endpoint string, certificates included; None if nothing is.

    :param base: the folder of relative paths; the working directory by default.
    """
    if description.startswith("systemd:"):
        wrong = wrong_systemd(description)  # its sockets are only there when systemd starts us
        return None if wrong is None else f"not a Twisted server endpoint: {wrong}"
    wrong = early_mistake(description)
    if wrong is not None:
        return f"not a Twisted server endpoint: {wrong}"
    try:
        read = read_endpoint(description, base)
        if read.kind == "ssl":
            _check_certificate(read, base or Path.cwd())
        elif not read.known:
            serverFromString(object(), description)
    except BadCertificate as error:
        return str(error)
    except Exception as error:  # each kind of endpoint raises what it likes
        return f"not a Twisted server endpoint: {_why_unreadable(error, description)}"
    return _wrong_address(read)


def _check_certificate(read: EndpointString, base: Path) -> None:
    """Check the files of an ``ssl:`` endpoint.

    :raises BadCertificate: if they cannot be used.
    """
    try:
        files = CertificateFiles.of(read.options, base)
        files.load()
    except BadCertificate as error:
        if files.private_key.name != "server.pem" or files.private_key.exists():  # Twisted's own default
            raise
        raise BadCertificate(
            f"{error}; name the files: ssl:PORT:privateKey=KEY.pem:certKey=CERT.pem"
        ) from None


def _why_unreadable(error: Exception, description: str) -> str:
    """Return what is wrong with a string that cannot be read."""
    said = str(error) or type(error).__name__
    if said.startswith("Unknown endpoint type"):
        kind = description.removeprefix("haproxy:").partition(":")[0]
        return unknown_kind(kind, description)
    return said


def _wrong_address(read: EndpointString) -> str | None:
    """Return what is wrong with the address of an endpoint that can be read; None if nothing is."""
    if isinstance(read.address, InternetAddress):
        return wrong_interface(read.address.host)
    return None


def same_address(description: str, other: str) -> bool:
    """Return whether two endpoint strings name the same address and port, or the same path."""
    try:
        first, second = read_endpoint(description).address, read_endpoint(other).address
    except ValueError:
        return False
    if isinstance(first, InternetAddress) and first.port == 0:
        return False  # each gets a port of its own
    return first is not None and first == second


def is_public(description: str) -> bool:
    """Return whether other machines may reach an endpoint; what cannot be known counts as public."""
    try:
        read = read_endpoint(description)
    except ValueError:
        return True
    if read.kind == "unix":
        return False
    if read.known and isinstance(read.address, InternetAddress):
        return not is_loopback_name(read.address.host)
    return True


def certificate_files(description: str) -> tuple[str, ...]:
    """Return the paths of the private key and the certificates of an ``ssl:`` endpoint; of any other none."""
    if description.startswith("haproxy:"):  # the PROXY protocol before what follows
        description = description.partition(":")[2]
    try:
        read = read_endpoint(description)
    except ValueError:
        return ()
    if read.kind != "ssl":
        return ()
    return tuple(dict.fromkeys(map(str, CertificateFiles.of(read.options, Path()).paths)))


def websocket_url(description: str, port: IListeningPort | None = None) -> str:
    """Return the WebSocket URL, without a path, by which a bot on this machine dials an endpoint.

    :param port: the port that listens there, if it does; it knows a port number that was 0. Where the number
        is systemd's to say, and nothing listens yet, the URL has :data:`UNKNOWN_PORT` in its place.
    """
    if description.startswith("haproxy:"):  # the PROXY protocol before what follows
        description = description.partition(":")[2]
    kind, positional, named = split_endpoint(description)
    if kind == "unix":
        return f"unix:{positional[0] if positional else named.get('address', '')}"
    address: Any = port.getHost() if port is not None else None
    host = getattr(address, "host", None) or named.get("interface", "")
    written = None if kind == "systemd" else positional[0] if positional else named.get("port")
    number = getattr(address, "port", None) or written or UNKNOWN_PORT
    host = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104  # any address: this one works here
    host = "[::1]" if host == "::" else f"[{host}]" if ":" in host else host
    return f"{'wss' if kind == 'ssl' else 'ws'}://{host}:{number}"


def endpoint(value: Any, base: Path | None = None) -> str:
    """Read a Twisted server endpoint string of the configuration.

    :param base: the folder of relative paths; the working directory by default.
    :raises InvalidValue: if it is none.
    """
    described = text(value)
    wrong = check_endpoint(described, base)
    if wrong is not None:
        raise InvalidValue(wrong)
    return described
