"""Twisted server endpoint strings: checking them, who may reach them, and listening on their ports."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from lgtwist.config.values import InvalidValue, text
from lgtwist.net.loopback import is_loopback_name
from lgtwist.net.twisted_private import split_endpoint

#: Twisted's own is 50: two hundred bots that come back at once wait for SYN retries then.
_BACKLOG = 1024


def check_endpoint(description: str) -> str | None:
    """Return what is wrong with an endpoint string; None if nothing is."""
    if description.startswith("systemd:"):
        return None  # its sockets are only there when systemd starts us
    try:
        serverFromString(object(), description)
    except Exception as error:  # each kind of endpoint raises what it likes
        return f"not a Twisted server endpoint: {error or type(error).__name__}"
    return None


def is_public(description: str) -> bool:
    """Return whether other machines may reach an endpoint; what cannot be known counts as public."""
    kind, _positional, named = split_endpoint(description)
    if kind == "unix":
        return False
    if kind in ("tcp", "tcp6", "ssl"):
        return not is_loopback_name(named.get("interface", ""))
    return True


def url(description: str, port: IListeningPort | None = None) -> str:
    """Return the WebSocket URL, without a path, by which a bot on this machine dials an endpoint.

    :param port: the port that listens there, if it does; it knows a port number that was 0.
    """
    kind, positional, named = split_endpoint(description)
    if kind == "unix":
        return f"unix:{positional[0] if positional else named.get('address', '')}"
    address: Any = port.getHost() if port is not None else None
    host = getattr(address, "host", None) or named.get("interface", "")
    number = getattr(address, "port", None) or (positional[0] if positional else named.get("port", ""))
    host = "127.0.0.1" if host in ("", "0.0.0.0") else host  # noqa: S104  # any address: this one works here
    host = "[::1]" if host == "::" else f"[{host}]" if ":" in host else host
    return f"{'wss' if kind == 'ssl' else 'ws'}://{host}:{number}"


class CannotListen(Exception):
    """A port cannot be opened; the argument is a sentence that names it."""


class Ports:
    """The listening ports of a service.

    They are opened before twistd becomes a daemon: a port that is taken is then one line on the terminal.

    :param reactor: what listens.
    :param descriptions: Twisted server endpoint strings.
    """

    def __init__(self, reactor: Any, descriptions: tuple[str, ...]) -> None:
        self._reactor = reactor
        self._descriptions = descriptions
        self._ports: list[IListeningPort] = []

    def listen(self, factory: IProtocolFactory) -> None:
        """Listen on all ports.

        :raises CannotListen: if one cannot be opened; all are closed then.
        """
        for description in self._descriptions:
            result: list[IListeningPort | Failure] = []
            maybeDeferred(self._listen_on, description, factory).addBoth(result.append)
            if not result or isinstance(result[0], Failure):
                self.close()
                if result and isinstance(result[0], Failure) and result[0].check(KeyboardInterrupt):
                    raise KeyboardInterrupt
                raise CannotListen(f"cannot listen on {description}: {_why(result)}")
            self._ports.append(result[0])

    def _listen_on(self, description: str, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        kind, _positional, named = split_endpoint(description)
        if kind in ("tcp", "tcp6", "ssl") and "backlog" not in named:
            description = f"{description}:backlog={_BACKLOG}"
        endpoint = serverFromString(self._reactor, description)
        listening: Deferred[IListeningPort] = endpoint.listen(factory)
        return listening

    def urls(self) -> list[str]:
        """Return the WebSocket URLs of the ports."""
        return [url(d, p) for d, p in zip(self._descriptions, self._ports, strict=True)]

    def close(self) -> Deferred[None]:
        """Stop listening.

        :returns: fires when all ports are closed.
        """
        self._ports, ports = [], self._ports
        if not ports:
            return succeed(None)
        closed = [maybeDeferred(port.stopListening) for port in ports]
        return gatherResults(closed, consumeErrors=True).addCallback(lambda _all: None)


def _why(result: list[Any]) -> str:
    if not result:
        return "it does not say whether it can"
    error = result[0].value
    if isinstance(error, CannotListenError):
        reason = error.socketError
        return str(getattr(reason, "strerror", None) or reason)
    return str(error) or type(error).__name__


def endpoint(value: Any) -> str:
    """Read a Twisted server endpoint string of the configuration.

    :raises InvalidValue: if it is none.
    """
    described = text(value)
    wrong = check_endpoint(described)
    if wrong is not None:
        raise InvalidValue(wrong)
    return described
