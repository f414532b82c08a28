"""What a Twisted server endpoint string says, and whether two of them exclude each other."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path

from attrs import frozen

from lgtwist.net.endpoint_mistakes import no_port, unknown_argument
from lgtwist.net.twisted_private import split_endpoint

#: Connections that the kernel accepts ahead of the program, per TCP port. Twisted's own is 50: two hundred
#: bots that come back at once wait for SYN retries then.
BACKLOG = 1024

#: The arguments of each kind, in the order in which Twisted takes them where they have no name.
_ARGUMENTS = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "backlog", "interface"),
    "ssl": (
        *("port", "privateKey", "certKey", "sslmethod"),
        *("interface", "backlog", "extraCertChain", "dhParameters"),
    ),
    "unix": ("address", "mode", "backlog", "lockfile"),
}
#: The permissions of a UNIX socket whose string says none, in octal; Twisted's own are 666.
UNIX_MODE = "600"
#: Bytes that the path of a UNIX socket may have (sun_path, unix(7), without its final NUL).
_LONGEST_PATH = 107


@frozen
class InternetAddress:
    """Where a TCP port listens.

    :ivar host: an address or a name; empty, ``0.0.0.0`` or ``::`` for all addresses.
    :ivar port: 0 for any that is free.
    """

    host: str
    port: int


@frozen
class UnixPath:
    """Where a UNIX socket listens.

    :ivar path: absolute, where that fits into the address of a socket.
    """

    path: str


#: Where a port listens; None where its kind is not known here.
Address = InternetAddress | UnixPath | None


@frozen
class EndpointString:
    """What a Twisted server endpoint string says.

    :ivar description: the string.
    :ivar kind: the word before its first colon.
    :ivar options: its arguments by Twisted's names, of the kinds ``tcp``, ``tcp6``, ``ssl`` and ``unix``.
    :ivar address: where it listens.
    """

    description: str
    kind: str
    options: dict[str, str]
    address: Address

    @property
    def known(self) -> bool:
        """Whether it is of a kind whose arguments are known here; Twisted alone reads the others."""
        return self.kind in _ARGUMENTS

    @property
    def for_twisted(self) -> str:
        """The string for Twisted to read, of a kind whose arguments are not known here."""
        if self.kind != "haproxy" or not isinstance(self.address, UnixPath):
            return self.description
        behind = read_endpoint(self.description.partition(":")[2])
        return self.description if "mode" in behind.options else f"{self.description}:mode={UNIX_MODE}"

    @property
    def backlog(self) -> int:
        """Connections that the kernel accepts ahead of the program."""
        return int(self.options.get("backlog", 50 if self.kind == "unix" else BACKLOG))


def read_endpoint(description: str, base: Path | None = None) -> EndpointString:
    """Read a Twisted server endpoint string.

    :param base: the folder of relative paths; the working directory by default.
    :raises ValueError: if it is none of a known kind; the argument says why.
    """
    kind, positional, named = split_endpoint(description)
    if kind == "haproxy" and ":" in description:  # the PROXY protocol before what follows
        within = read_endpoint(description.split(":", 1)[1], base)
        return EndpointString(description, kind, {}, within.address)
    if kind not in _ARGUMENTS:
        return EndpointString(description, kind, {}, None)
    options = _bound(kind, positional, named)
    _number("backlog", options.get("backlog", "50"), 2**31 - 1)
    if kind == "unix":
        _number("mode", options.get("mode", UNIX_MODE), 0o7777, digits=8)
        _number("lockfile", options.get("lockfile", "1"), 1)
        return EndpointString(description, kind, options, UnixPath(_fitting(options["address"], base)))
    port = _number("port", options["port"], 65_535)
    host = options.get("interface", "::" if kind == "tcp6" else "")
    return EndpointString(description, kind, options, InternetAddress(host, port))


def _bound(kind: str, positional: list[str], named: dict[str, str]) -> dict[str, str]:
    names = _ARGUMENTS[kind]
    for place, value in enumerate(positional):
        if value in names and place + 1 < len(positional):  # a colon in place of =
            raise ValueError(f"write {value}={positional[place + 1]}, with = in place of the colon")
    if len(positional) > len(names):
        raise ValueError(f"{kind}: takes no more than {', '.join(names)}")
    options = dict(zip(names, positional, strict=False))
    for name, value in named.items():
        if name not in names:
            raise ValueError(unknown_argument(kind, name, names))
        if name in options:
            raise ValueError(f"{name} is given twice")
        options[name] = value
    if not options.get(names[0]):
        raise ValueError(f"{names[0]} is missing")
    return options


#: What Python reads as a number, and more of it that nobody means: 8_081, +8081.
_DIGITS = re.compile(r"-?[0-9]+")


def _number(name: str, written: str, most: int, digits: int = 10) -> int:
    try:
        number = int(written, digits) if _DIGITS.fullmatch(written) else None
    except ValueError:  # of another base, or of 5000 digits
        number = None
    if number is None:
        raise ValueError(f"{name}: {written!r} is no number{no_port(written) if name == 'port' else ''}")
    if not 0 <= number <= most:
        raise ValueError(f"{name}: {written} is not between 0 and {most}")
    return number


def _fitting(path: str, base: Path | None) -> str:
    if not path or path.startswith("\0"):  # Linux's abstract names
        return path
    absolute = os.path.abspath(path if base is None else base / path)
    return absolute if len(os.fsencode(absolute)) <= _LONGEST_PATH else path


def collide(one: Address, other: Address) -> bool:
    """Return whether the kernel may refuse to listen on one address while the other is listened on.

    What is not known (a kind that Twisted alone reads, the name of a host) counts as colliding.
    """
    if isinstance(one, InternetAddress) and isinstance(other, InternetAddress):
        return one.port == other.port != 0 and _overlap(one.host, other.host)
    if isinstance(one, UnixPath) and isinstance(other, UnixPath):
        return os.path.realpath(one.path) == os.path.realpath(other.path)
    return one is None or other is None


def _overlap(one: str, other: str) -> bool:
    try:
        first, second = (ipaddress.ip_address(host.strip("[]") or "0.0.0.0") for host in (one, other))  # noqa: S104
    except ValueError:
        return True
    # A socket of IPv6 on all addresses has those of IPv4 too (unless the sysctl bindv6only is set).
    if any(address.version == 6 and address.is_unspecified for address in (first, second)):
        return True
    first, second = (getattr(address, "ipv4_mapped", None) or address for address in (first, second))
    if first.version != second.version:
        return False
    return first == second or first.is_unspecified or second.is_unspecified
