"""What is wrong with a Twisted server endpoint string, for those who do not know Twisted."""

from __future__ import annotations

import difflib
import ipaddress
import re
import socket

from lgtwist.config.lookalikes import lookalike
from lgtwist.net.twisted_private import split_endpoint

#: What begins an endpoint that Twisted alone reads, or that is read here.
_ENDPOINT_KINDS = ("tcp", "tcp6", "ssl", "unix", "systemd", "haproxy")
_SYSTEMD = (
    "expected systemd:domain=INET:name=NAME (or INET6, UNIX), with FileDescriptorName=NAME in the socket unit"
)
_EXAMPLE = '"tcp:8081:interface=127.0.0.1"'
#: An interface in an endpoint string, up to the next argument that has a name.
_INTERFACE = re.compile(r"interface=([^=\\]*?)(?=:[A-Za-z]+=|$)")
_HOST_AND_PORT = re.compile(r"(?:[a-z]+://|tcp:)?([A-Za-z0-9_.*-]*):([0-9]{1,5})/?")
_OTHER_ARGUMENTS = {"host": "interface", "address": "interface", "ip": "interface", "bind": "interface"}
_OTHER_KINDS = {
    "tcp4": "tcp",
    "http": "tcp",
    "ws": "tcp",
    "https": "ssl",
    "wss": "ssl",
    "ipc": "unix",
    "file": "unix",
    "sock": "unix",
}
#: Numbers with dots: an IPv4 address, or meant to be one.
_DOTTED = re.compile(r"[0-9.]+")


def early_mistake(description: str) -> str | None:
    """Return what is wrong with a string that Twisted would take apart otherwise than it is meant.

    :returns: a sentence; None if nothing is found.
    """
    kind = description.partition(":")[0]
    without_paths = description if kind in ("tcp", "tcp6") else kind
    if description != description.strip() or any(map(str.isspace, without_paths)):
        return "there is a blank in it: take it away"
    strange = lookalike(without_paths)
    if strange is not None:
        return strange
    found = _INTERFACE.search(description)
    if found is None:
        return None
    host = found[1].strip("[]")
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return None
    escaped = host.replace(":", r"\:")
    return (
        "the colons of an IPv6 address are escaped there: write "
        f"interface={escaped}, and the whole string between '...' in TOML, where a backslash is itself"
    )


def unknown_kind(kind: str, description: str) -> str:
    """Return a sentence about a string whose first word Twisted does not know.

    :param kind: that word.
    """
    if kind.lower() in _ENDPOINT_KINDS and kind not in _ENDPOINT_KINDS:
        return f'"{kind}" is written {kind.lower()}'
    if description.isdecimal():
        return f"expected tcp: in front, as in {_EXAMPLE}"
    found = _HOST_AND_PORT.fullmatch(description)
    if found is not None and ("//" in description or not found[1].isalnum() or found[1] == "localhost"):
        host = found[1] if found[1] not in ("", "*", "0.0.0.0") else ""  # noqa: S104  # all addresses
        return f'write "tcp:{found[2]}{f":interface={host}" if host else ""}"'
    near = [_OTHER_KINDS.get(kind.lower()), *difflib.get_close_matches(kind.lower(), _ENDPOINT_KINDS, 1, 0.6)]
    near = [one for one in near if one]
    return f'there is no kind "{kind}"{f"; is {near[0]} meant?" if near else f": write {_EXAMPLE}"}'


def unknown_argument(kind: str, name: str, names: tuple[str, ...]) -> str:
    """Return a sentence about an argument that a kind of endpoints does not have.

    :param names: those that it has.
    """
    separated = re.fullmatch(r"([^,;]*)[,;]\s*([A-Za-z]+)", name)
    if separated is not None:
        return f"arguments are separated by colons: write {kind}:{separated[1]}:{separated[2]}=..."
    near = [_OTHER_ARGUMENTS.get(name.lower(), ""), *difflib.get_close_matches(name, names, 1, 0.7)]
    meant = next((one for one in near if one in names), None)
    hint = f"; is {meant} meant?" if meant else ""
    return f"{kind}: has no argument {name!r}, it takes {', '.join(names)}{hint}"


def no_port(written: str) -> str:
    """Return what to write in place of a port that is no number; a part of a sentence, perhaps empty."""
    if (
        not written
        or written.startswith("-")
        or not re.fullmatch(r"[A-Za-z0-9_.-]*[.A-Za-z][A-Za-z0-9_.-]*", written)
    ):
        return ""
    return f"; the port comes first, then the address: tcp:8081:interface={written}"


def wrong_systemd(description: str) -> str | None:
    """Return what is wrong with the string of a socket that systemd hands over; None if it can be one."""
    try:
        _kind, positional, named = split_endpoint(description)
    except ValueError as error:
        return str(error)
    said = {**dict(zip(("domain", "index"), positional, strict=False)), **named}
    if len(positional) > 2 or said.keys() - {"domain", "index", "name"}:
        return _SYSTEMD
    if said.get("domain") not in ("INET", "INET6", "UNIX") or ("index" in said) == ("name" in said):
        return _SYSTEMD
    return None if "name" in said or re.fullmatch(r"[0-9]+", said["index"]) else _SYSTEMD


def not_handed_over(names: str) -> str:
    """Return why a socket of systemd is not there.

    :param names: of those that systemd has handed over, as in ``LISTEN_FDNAMES``.
    """
    if not names:
        return "systemd has handed no socket over; it does where it starts lgtwist with lgtwist.socket"
    return f"what systemd has handed over is named {names}; FileDescriptorName= of the socket unit says so"


def wrong_interface(host: str) -> str | None:
    """Return what is wrong with the address that a port is to listen on; None if it can be one, or a name."""
    if not host:
        return None
    if "%" in host:
        return None  # an IPv6 address with its zone
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return None
    expected = "expected an IP address of this machine, or none for all of them"
    if _DOTTED.fullmatch(host):
        return f"interface: {host} is no IP address; {expected}"
    if host in {name for _number, name in socket.if_nameindex()}:
        return f"interface: {host} is the name of a network interface; {expected}"
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", host):
        return f"interface: {host!r} cannot be read; {expected}"
    return None
