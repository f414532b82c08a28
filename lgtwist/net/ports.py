"""The listening ports: opened, changed while others go on, closed; and their certificates."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, evolve, frozen
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import (
    SSL4ServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    UNIXServerEndpoint,
    serverFromString,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from lgtwist.net.certificates import BadCertificate, CertificateFiles, LoadedCertificate, ServerCertificate
from lgtwist.net.endpoint_mistakes import not_handed_over
from lgtwist.net.endpoint_strings import (
    UNIX_MODE,
    Address,
    EndpointString,
    InternetAddress,
    UnixPath,
    collide,
    read_endpoint,
)
from lgtwist.net.endpoints import websocket_url
from lgtwist.net.own_addresses import reaches
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.platform import unix_socket

_log = Logger()


class CannotListen(Exception):
    """A port cannot be opened; the argument is a sentence that names it."""


@frozen(eq=False)
class _Listening:
    """A port that listens.

    :ivar said: its endpoint string.
    :ivar address: where it really listens.
    :ivar certificate: what it shows to clients, if it speaks TLS.
    """

    said: EndpointString
    port: IListeningPort
    address: Address
    certificate: ServerCertificate | None


@define(eq=False)
class PortChange:
    """A change of the listening ports that was made, until it is committed or undone; one of the two is due.

    :ivar opened: the endpoint strings that are listened on since.
    :ivar closed: those that are no longer when it is committed.
    :ivar certificates: those that are read again, by the endpoint strings that show them.
    """

    opened: tuple[str, ...]
    closed: tuple[str, ...]
    certificates: tuple[str, ...]
    _commit: Callable[[], Deferred[None]]
    _undo: Callable[[], Deferred[None]]

    def commit(self) -> Deferred[None]:
        """Close the ports that were given up, and show the certificates that were read; this cannot fail.

        :returns: fires when the ports are closed.
        """
        return self._commit()

    async def undo(self) -> None:
        """Make the ports what they were before the change.

        :raises CannotListen: if one that had to be closed cannot be opened again; the others are.
        """
        await self._undo()


@frozen
class Renewal:
    """The result of reading certificates again.

    :ivar renewed: the endpoint strings whose new connections are shown another certificate now.
    :ivar refused: a sentence for each certificate that cannot be used; the one before is shown.
    """

    renewed: tuple[str, ...]
    refused: tuple[str, ...]


class Ports:
    """The listening ports of a service.

    They are opened before twistd becomes a daemon: a port that is taken is then one line on the terminal.

    :param reactor: what listens; None where nobody is to listen.
    :param descriptions: Twisted server endpoint strings.
    :param base: the folder of relative paths in them; the working directory of now by default.
    """

    def __init__(self, reactor: Any, descriptions: tuple[str, ...], base: Path | None = None) -> None:
        self._reactor = reactor
        self._base = Path.cwd() if base is None else base
        self._descriptions = descriptions
        self._factory: IProtocolFactory | None = None
        self._current: list[_Listening] = []  # in the order of the descriptions
        self._all: list[_Listening] = []  # those too that a change has given up or not committed
        self._closing: set[Deferred[None]] = set()  # one for each port that is being closed
        self._changing = False
        self._closed = False

    # -- the start and the end

    def listen(self, factory: IProtocolFactory) -> None:
        """Listen on all ports.

        :raises CannotListen: if one cannot be opened; all are closed then.
        """
        self._factory, self._closed = factory, False
        for description in self._descriptions:
            result: list[_Listening | Failure] = []
            Deferred.fromCoroutine(self._listen_on(description)).addBoth(result.append)
            outcome = result[0] if result else None
            if isinstance(outcome, _Listening):
                self._current.append(outcome)
                continue
            self.close()
            if outcome is not None:
                outcome.raiseException()
            raise CannotListen(f"cannot listen on {description}: it does not say whether it can")

    def close(self) -> Deferred[None]:
        """Stop listening.

        :returns: fires when all ports are closed.
        """
        self._closed = True
        self._current = []
        return self._close(tuple(self._all)).addCallback(lambda _all: self._settled())

    def urls(self) -> list[str]:
        """Return the WebSocket URLs of the ports."""
        return [websocket_url(listening.said.description, listening.port) for listening in self._current]

    def are_reached_by(self, host: str, port: int) -> bool:
        """Return whether a TCP connection to an address may reach one of the ports.

        :param host: an IP address.
        """
        return reaches(host, port, (listening.address for listening in self._all))

    # -- changing them

    async def change(self, descriptions: tuple[str, ...]) -> PortChange:
        """Listen where other descriptions say. Connections that were accepted stay.

        A port whose string is the same stays open; its certificate is read again. What collides with no port
        that is given up is opened at once. What does is opened when that one is closed; if it cannot be, that
        one is opened again. The other ports that are given up listen until the change is committed.

        :raises CannotListen: if a port cannot be opened or a certificate not be used; the ports are then what
            they were.
        """
        if self._changing:
            raise CannotListen("the listening ports are being changed already")
        self._changing = True
        try:
            return await self._change(descriptions)
        except BaseException:
            self._changing = False
            raise

    async def _change(self, descriptions: tuple[str, ...]) -> PortChange:
        before, said_before = list(self._current), self._descriptions
        given_up = list(before)
        places: list[_Listening | str] = []  # a port that stays, or the string of one to be opened
        for description in descriptions:
            same = next((one for one in given_up if one.said.description == description), None)
            if same is not None:
                given_up.remove(same)
            places.append(description if same is None else same)
        staying = [place for place in places if isinstance(place, _Listening)]
        new = [self._wanted(place) for place in places if isinstance(place, str)]
        for said in (*new, *(listening.said for listening in given_up)):
            if said.kind == "systemd":
                raise CannotListen(
                    f"{said.description} waits for a restart: systemd hands its socket over once"
                )
        certificates = await self._load_certificates(staying, new)
        await self._settled()  # the ports that the change before this one gave up

        opened: dict[str, list[_Listening]] = {}
        in_the_way = [old for old in given_up if any(collide(old.address, said.address) for said in new)]
        closed: list[_Listening] = []
        try:
            for said in sorted(new, key=lambda said: self._blocked(said, in_the_way)):
                if self._blocked(said, in_the_way) and not closed:
                    closed = in_the_way
                    await self._close(closed)
                listening = await self._open(said, self._new_certificate(said, certificates))
                opened.setdefault(said.description, []).append(listening)
        except BaseException as error:
            lost = await self._restore(before, opened, closed)
            if lost and isinstance(error, CannotListen):
                raise CannotListen("; ".join((str(error), *lost))) from None
            raise

        taken = {description: list(listening) for description, listening in opened.items()}
        self._current = [taken[place].pop(0) if isinstance(place, str) else place for place in places]
        self._descriptions = descriptions
        return PortChange(
            opened=tuple(said.description for said in new),
            closed=tuple(old.said.description for old in given_up),
            certificates=tuple(one.said.description for one in staying if one.certificate is not None),
            commit=lambda: self._commit(given_up, staying, certificates),
            undo=lambda: Deferred.fromCoroutine(self._undo(before, said_before, opened, closed)),
        )

    def _wanted(self, description: str) -> EndpointString:
        try:
            return read_endpoint(description, self._base)
        except ValueError as error:
            raise CannotListen(f"cannot listen on {description}: {error}") from None

    @staticmethod
    def _blocked(said: EndpointString, in_the_way: list[_Listening]) -> bool:
        return any(collide(old.address, said.address) for old in in_the_way)

    def _commit(
        self,
        given_up: list[_Listening],
        staying: list[_Listening],
        certificates: dict[str, LoadedCertificate],
    ) -> Deferred[None]:
        self._changing = False
        for listening in staying:
            if listening.certificate is not None:
                listening.certificate.use(certificates[listening.said.description])
        return self._close(given_up)

    async def _undo(
        self,
        before: list[_Listening],
        descriptions: tuple[str, ...],
        opened: dict[str, list[_Listening]],
        closed: list[_Listening],
    ) -> None:
        try:
            lost = await self._restore(before, opened, closed)
        finally:
            self._changing = False
        self._descriptions = descriptions
        if lost:
            raise CannotListen("; ".join(lost))

    async def _restore(
        self, before: list[_Listening], opened: dict[str, list[_Listening]], closed: list[_Listening]
    ) -> list[str]:
        """Make the ports what they were.

        :returns: why some cannot be opened again, a sentence each.
        """
        await self._close([listening for several in opened.values() for listening in several])
        lost: list[str] = []
        current: list[_Listening] = []
        for listening in before:
            if listening not in closed:
                current.append(listening)
                continue
            # Where any free port was wanted: the one that it was.
            said = evolve(listening.said, address=listening.address)
            try:
                current.append(await self._open(said, listening.certificate))
            except CannotListen as error:
                lost.append(f"{error}, although it did before; nothing listens there now")
        if self._closed:
            return []
        self._current = current
        return lost

    # -- certificates

    def certificates_changed(self) -> bool:
        """Return whether files of certificates are others than those shown, and were not refused already.

        They are not read; this may be asked often.
        """
        return any(one.certificate.changed() for one in self._current if one.certificate is not None)

    async def renew_certificates(self) -> Renewal:
        """Read the certificates whose files have changed, and show those that can be used to new connections.

        Each of them stands for itself. One that is refused is not tried again before its files change.
        """
        renewed, refused = [], []
        for listening in tuple(self._current):
            description, certificate = listening.said.description, listening.certificate
            if certificate is None or not certificate.changed():
                continue
            try:
                certificate.use(await self._in_thread(certificate.read_again))
                renewed.append(description)
            except BadCertificate as error:
                refused.append(f"{description} keeps its certificate: {error}")
        return Renewal(tuple(renewed), tuple(refused))

    def _in_thread(self, read: Callable[[], LoadedCertificate]) -> Deferred[LoadedCertificate]:
        reading: Deferred[LoadedCertificate] = deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), read
        )
        return reading

    def warnings(self) -> list[str]:
        """Return why clients may refuse the certificates of the ports, a sentence each.

        Before it listens it reads the files; what is wrong with these is told by :func:`check_endpoint`.
        """
        if self._current:
            loaded = [one.certificate.current for one in self._current if one.certificate is not None]
        else:
            loaded = []
            for description in self._descriptions:
                with suppress(ValueError, BadCertificate):
                    said = read_endpoint(description, self._base)
                    if said.kind == "ssl":
                        loaded.append(CertificateFiles.of(said.options, self._base).load())
        sentences = [sentence for one in loaded for sentence in one.warnings()]
        return list(dict.fromkeys(sentences))  # ports may share a certificate

    async def _load_certificates(
        self, staying: list[_Listening], new: list[EndpointString]
    ) -> dict[str, LoadedCertificate]:
        """Read the certificates that are to be shown, by the endpoint strings that say so."""
        reading: dict[str, Callable[[], LoadedCertificate]] = {
            one.said.description: one.certificate.read_again for one in staying if one.certificate is not None
        }
        for said in new:
            if said.kind == "ssl":
                reading[said.description] = CertificateFiles.of(said.options, self._base).load
        loaded = {}
        for description, read in reading.items():
            try:
                loaded[description] = await self._in_thread(read)
            except BadCertificate as error:
                raise CannotListen(f"cannot listen on {description}: {error}") from None
        self._still_open()
        return loaded

    @staticmethod
    def _new_certificate(
        said: EndpointString, loaded: dict[str, LoadedCertificate]
    ) -> ServerCertificate | None:
        return ServerCertificate(loaded[said.description]) if said.kind == "ssl" else None

    # -- one port

    async def _listen_on(self, description: str) -> _Listening:
        said = self._wanted(description)
        certificate = None
        if said.kind == "ssl":
            try:
                certificate = ServerCertificate(CertificateFiles.of(said.options, self._base).load())
            except BadCertificate as error:
                raise CannotListen(f"cannot listen on {description}: {error}") from None
        return await self._open(said, certificate)

    async def _open(self, said: EndpointString, certificate: ServerCertificate | None) -> _Listening:
        self._still_open()
        path = said.address.path if said.kind == "unix" and isinstance(said.address, UnixPath) else ""
        ours = any(collide(said.address, one.address) for one in self._all) if path else False
        if path and not ours:
            _remove_leftovers(path)
        assert self._factory is not None
        try:
            endpoint = self._endpoint(said, certificate)
            port: IListeningPort = await maybeDeferred(endpoint.listen, self._factory)
        except Exception as error:
            if path and not ours:
                _release_lock(path)
            missing = said.kind == "systemd" and isinstance(error, LookupError)
            why = not_handed_over(os.environ.get("LISTEN_FDNAMES", "")) if missing else _why(error)
            raise CannotListen(f"cannot listen on {said.description}: {why}") from None
        listening = _Listening(said, port, _address(port, said.address), certificate)
        self._all.append(listening)
        if self._closed:  # meanwhile
            await self._close([listening])
            self._still_open()
        return listening

    def _endpoint(self, said: EndpointString, certificate: ServerCertificate | None) -> Any:
        address = said.address
        if said.kind == "unix" and isinstance(address, UnixPath):
            return UNIXServerEndpoint(
                self._reactor,
                address.path,
                said.backlog,
                int(said.options.get("mode", UNIX_MODE), 8),
                int(said.options.get("lockfile", "1")),
            )
        if not said.known or not isinstance(address, InternetAddress):
            return serverFromString(self._reactor, said.for_twisted)
        if said.kind == "ssl":
            return SSL4ServerEndpoint(
                self._reactor, address.port, certificate, said.backlog, said.options.get("interface", "")
            )
        if said.kind == "tcp6":
            return TCP6ServerEndpoint(
                self._reactor, address.port, said.backlog, said.options.get("interface", "::")
            )
        return TCP4ServerEndpoint(
            self._reactor, address.port, said.backlog, said.options.get("interface", "")
        )

    def _close(self, several: list[_Listening] | tuple[_Listening, ...]) -> Deferred[None]:
        """Close ports, those of them that are open.

        :returns: fires when they are closed; an error is logged.
        """
        return DeferredList([self._close_one(one) for one in several if one in self._all]).addCallback(_none)

    def _close_one(self, listening: _Listening) -> Deferred[None]:
        self._all.remove(listening)
        stop: Callable[[], Any] = listening.port.stopListening
        closing: Deferred[None] = maybeDeferred(stop).addErrback(_not_closed, listening)
        self._closing.add(closing)
        return closing.addCallback(lambda _closed: self._closing.discard(closing))

    def _settled(self) -> Deferred[None]:
        """Wait for the ports that are being closed.

        :returns: fires when they are.
        """
        return DeferredList([_after(closing) for closing in self._closing]).addCallback(_none)

    def _still_open(self) -> None:
        if self._closed:
            raise CannotListen("the service is stopping: no port is opened any more")


def _after(first: Deferred[None]) -> Deferred[None]:
    """Return a Deferred that fires when another one does, which keeps its callbacks for itself."""
    second: Deferred[None] = Deferred()

    def fired(_result: None) -> None:
        second.callback(None)

    first.addCallback(fired)
    return second


def _none(_result: object) -> None:
    """Leave nothing of a result."""


def _not_closed(failure: Failure, listening: _Listening) -> None:
    _log.failure("closing {endpoint} failed", failure, endpoint=listening.said.description)


def _address(port: IListeningPort, wanted: Address) -> Address:
    """Return where a port really listens."""
    host = port.getHost()
    if isinstance(host, (IPv4Address, IPv6Address)):
        return InternetAddress(host.host, host.port)
    if isinstance(host, UNIXAddress) and not isinstance(wanted, UnixPath) and host.name:
        return UnixPath(os.fsdecode(host.name))
    return wanted


def _remove_leftovers(path: str) -> None:
    """Remove a UNIX socket that nobody listens on, and its lock, left by a process that was killed.

    Twisted takes the lock for held where a process has the number that is in it; in a container that is we.
    """
    if path.startswith("\0"):
        return
    with suppress(OSError):
        if not os.path.lexists(path):
            _release_lock(path)
        elif stat.S_ISSOCK(os.stat(path).st_mode) and _refuses(path):
            os.unlink(path)
            os.unlink(f"{path}.lock")


def _refuses(path: str) -> bool:
    with unix_socket() as client:
        client.setblocking(False)
        return client.connect_ex(path) == errno.ECONNREFUSED


def _release_lock(path: str) -> None:
    """Remove the lock of a UNIX socket that names this process, which does not listen there.

    Twisted leaves it behind where it has locked the path and then cannot listen.
    """
    with suppress(OSError):
        if os.readlink(f"{path}.lock") == str(os.getpid()):
            os.unlink(f"{path}.lock")


def _why(error: Exception) -> str:
    reason: object = error.socketError if isinstance(error, CannotListenError) else error
    if isinstance(reason, socket.gaierror):
        return f"{reason.strerror}: expected an IP address of this machine as interface"
    if isinstance(reason, FileNotFoundError):  # of a UNIX socket, or of the lock beside it
        return f"{reason.strerror}: its folder is not there"
    if isinstance(reason, OSError) and reason.errno == errno.EADDRNOTAVAIL:
        return f"{reason.strerror}: this machine does not have it"
    return str(getattr(reason, "strerror", None) or reason) or type(error).__name__
