"""Certificates, good and bad, and what the other tests use over TCP made to go over TLS."""

from __future__ import annotations

import datetime
import json
import select
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from tests.integration import faulty, rawclient
from tests.integration.faulty import LastingService, Proxy
from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, Service

try:
    import trustme
except ImportError:
    INSTALLED = False
else:
    INSTALLED = True

Value = TypeVar("Value")

#: Who may sign what the tests of this run show, and a stranger.
LOCAL = "127.0.0.1"


class Authority:
    """A private authority, and what it has signed, as files.

    :param folder: where; its name is part of the authority's.
    :ivar ca_file: its own certificate.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA(organization_unit_name=f"CA {folder.name}")
        self.ca_file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, *names: str, expired: bool = False) -> Shown:
        """A certificate for names or addresses; for nobody, if there are none."""
        stem = ("-".join(names) or "nobody") + ("-expired" if expired else "")
        key, chain = self._folder / f"{stem}.key", self._folder / f"{stem}.crt"
        if not chain.exists():
            until = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
            made = self._ca.issue_cert(
                *names,
                common_name=None if names else "localhost",  # which says nothing to anybody (RFC 9525, 2)
                not_after=until if expired else None,
            )
            made.private_key_pem.write_to_path(str(key))
            made.cert_chain_pems[0].write_to_path(str(chain))
        return Shown(key, chain, self.ca_file)

    def itself(self) -> Shown:
        """Its own certificate, which nobody else has signed."""
        key = self._folder / "ca.key"
        self._ca.private_key_pem.write_to_path(str(key))
        return Shown(key, self.ca_file, self.ca_file)


class Shown:
    """What a server shows: a certificate and its key; ``ca_file`` is whose it is.

    :param old: whether it speaks no TLS newer than 1.1.
    """

    def __init__(self, key: Path, chain: Path, ca_file: Path, old: bool = False) -> None:
        self.key, self.chain, self.ca_file = key, chain, ca_file
        self._old = old

    def only_old(self) -> Shown:
        """The same over TLS 1.1."""
        return Shown(self.key, self.chain, self.ca_file, old=True)

    def endpoint(self, port: int) -> str:
        """An endpoint string of Twisted's."""
        return f"ssl:{port}:interface={LOCAL}:privateKey={self.key}:certKey={self.chain}"

    def server_context(self) -> ssl.SSLContext:
        """For a server of the tests."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self.chain), str(self.key))
        if self._old:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        return context

    def client_context(self) -> ssl.SSLContext:
        """For a client that trusts its authority alone."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.sslsocket_class = TlsSocket
        return context


class TlsSocket(ssl.SSLSocket):
    """A TLS socket that one thread may read while another writes; OpenSSL alone does not allow that.

    It never blocks in OpenSSL, and waits outside of the lock.
    """

    _busy: Any = None
    _patience: float | None = None

    def begin(self) -> TlsSocket:
        """The handshake is done."""
        self._patience = super().gettimeout()
        super().settimeout(0)
        self._busy = threading.Lock()
        return self

    def settimeout(self, value: float | None) -> None:
        """As every socket's."""
        if self._busy is None:
            super().settimeout(value)
        else:
            self._patience = value

    def _until_done(self, act: Callable[[], Value]) -> Value:
        deadline = None if self._patience is None else time.monotonic() + self._patience
        while True:
            writes = False
            try:
                with self._busy:
                    return act()
            except (ssl.SSLWantReadError, BlockingIOError):
                pass
            except ssl.SSLWantWriteError:
                writes = True
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("timed out")
            # Not for ever: the other thread may have read what we wait for.
            turn = 0.05 if left is None else min(left, 0.05)
            select.select([] if writes else [self], [self] if writes else [], [], turn)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Some bytes; none at the end, with or without ``close_notify``."""
        if self._busy is None:
            return super().recv(buflen, flags)
        return self._until_done(lambda: super(TlsSocket, self).recv(buflen, flags))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """All bytes."""
        view = memoryview(data)
        while view:
            sent = self._until_done(lambda some=view[:65_536]: super(TlsSocket, self).send(some, flags))
            view = view[sent:]


class TlsService(Service):
    """A service whose port speaks TLS."""

    shown: ClassVar[Shown]

    def start(self) -> None:
        text = self.config_path.read_text()
        plain = f"tcp:{self.port}:interface={LOCAL}"
        self.config_path.write_text(text.replace(plain, self.shown.endpoint(self.port)))
        self._context = self.shown.client_context()
        super().start()

    def secured(self, sock: socket.socket) -> socket.socket:
        """TLS over a TCP connection to it."""
        secure: Any = self._context.wrap_socket(sock, server_hostname=LOCAL)
        done: socket.socket = secure.begin()
        return done

    def plain(self) -> socket.socket:
        """A TCP connection, without TLS."""
        return socket.create_connection((LOCAL, self.port), PATIENCE)

    def connect(self, source: str | None = None) -> socket.socket:
        """A TLS connection to it."""
        return self.secured(super().connect(source))

    def url(self, path: str = "/") -> str:
        return f"wss://{LOCAL}:{self.port}{path}"

    def http(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """One HTTP request over TLS; the status, and the body as JSON or else text."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"https://{LOCAL}:{self.port}{path}", data, headers or {})
        context = ssl.create_default_context(cafile=str(self.shown.ca_file))
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE, context=context) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                status, text = refused.code, refused.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text


class LastingTlsService(TlsService, LastingService):
    """The same for several tests."""


class _SecuredSockets:
    """The module ``socket``, whose new sockets speak TLS as soon as they are connected to the service."""

    def __init__(self, service: TlsService) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def socket(self) -> _Rising:
        return _Rising(self._service)


class _Rising:
    """A socket that becomes a TLS socket when it connects; all else is the socket's own."""

    def __init__(self, service: TlsService) -> None:
        self._service = service
        self._socket = socket.socket()

    def connect(self, address: tuple[str, int]) -> None:
        self._socket.connect(address)
        self._socket = self._service.secured(self._socket)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class TlsProxy(Proxy):
    """A stretch of network that passes TLS on as it is."""

    def __init__(self, service: TlsService) -> None:
        self.connect = service.plain
        super().__init__(self)  # type: ignore[arg-type]  # all that it asks of a service


class OverTls:
    """A mixin for cases of :mod:`tests.integration.faulty`: their service, and all that dial it, over TLS."""

    if not INSTALLED:
        skip = "trustme is not installed"
    shared: ClassVar[Any] = None  # counted apart from those of the class that is run again
    _left: ClassVar[int] = 0
    _shown: ClassVar[Shown | None] = None

    def start_shared(self: Any, folder: Path) -> LastingTlsService:
        return self.tls_service(LastingTlsService, folder, self.toml, self.server)

    @staticmethod
    def tls_service(kind: Any, folder: Path, toml: str, server: str) -> Any:
        """A service of a class, with a certificate for 127.0.0.1."""
        if OverTls._shown is None:
            OverTls._shown = Authority(folder.parent / "authority").issue(LOCAL)
        kind.shown = OverTls._shown
        return kind(folder, toml, server)

    def setUp(self: Any) -> None:
        super().setUp()
        self.use_tls()

    def use_tls(self: Any) -> None:
        """Whatever dials the service from now on does it over TLS, until the test ends."""
        secured = _SecuredSockets(self.service)
        self.patch(rawclient, "socket", secured)
        self.patch(faulty, "socket", secured)


__all__ = ["INSTALLED", "LOCAL", "Authority", "OverTls", "Proxy", "RawClient", "Shown", "TlsService"]
