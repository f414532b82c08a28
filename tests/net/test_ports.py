"""The listening ports of a service: opened, changed and put back while connections go on."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import tempfile
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Port
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from lgtwist.net.ports import CannotListen, PortChange, Ports
from tests.processes import free_port

try:
    import trustme
except ImportError:
    trustme = None  # type: ignore[assignment]

reactor: Any = installed
PATIENCE = 10.0


class Echo(Protocol):
    """Sends back what comes."""

    transport: Any

    def connectionMade(self) -> None:
        self.factory.here.add(self)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def connectionLost(self, reason: object = None) -> None:
        self.factory.here.discard(self)  # type: ignore[union-attr]


class EchoFactory(Factory):
    protocol = Echo
    noisy = False

    def __init__(self) -> None:
        self.here: set[Any] = set()


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Deferred[None]]:
    """Run a test that is a coroutine."""

    @wraps(test)
    def run(self: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(test(self))

    return run


class PortsCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())  # its name is short enough for unix sockets
        self.factory = EchoFactory()
        self.clients: list[socket.socket] = []

    @asynchronous
    async def tearDown(self) -> None:
        for client in self.clients:
            client.close()
        if hasattr(self, "ports"):
            await self.ports.close()
        while self.factory.here:
            await self.moment()
        shutil.rmtree(self.folder)

    async def moment(self) -> None:
        """Some turns of the reactor."""
        turn: Deferred[None] = Deferred()
        reactor.callLater(0.01, turn.callback, None)
        await turn

    def listening(self, *descriptions: str) -> Ports:
        """The ports of this test, listening."""
        self.ports = Ports(reactor, descriptions, self.folder)
        self.ports.listen(self.factory)
        return self.ports

    async def changed(self, *descriptions: str) -> PortChange:
        """A change that is committed."""
        change = await self.ports.change(descriptions)
        await change.commit()
        return change

    async def refused(self, *descriptions: str) -> str:
        """Why a change is refused, in one line."""
        try:
            await self.ports.change(descriptions)
        except CannotListen as error:
            self.assertNotIn("\n", str(error))
            return str(error)
        raise self.failureException("it was not refused")

    async def connect(self, where: int | str | Path, host: str = "127.0.0.1") -> socket.socket:
        """A connection that was accepted: its bytes come back."""

        def dial() -> socket.socket:
            if isinstance(where, int):
                client = socket.create_connection((host, where), PATIENCE)
            else:
                client = socket.socket(socket.AF_UNIX)
                client.settimeout(PATIENCE)
                client.connect(str(where))
            self.clients.append(client)
            return client

        client = await deferToThread(dial)
        await self.answers(client)
        return client

    async def answers(self, client: socket.socket) -> None:
        """A connection is served."""

        def ask() -> bytes:
            client.sendall(b"ping")
            return client.recv(100)

        self.assertEqual(await deferToThread(ask), b"ping")

    def on(self, number: int) -> list[tuple[Any, int]]:
        """The ports of the reactor that listen on a port number, with their file descriptors."""
        ports = [port for port in reactor.getReaders() if isinstance(port, Port)]
        return [(port, port.fileno()) for port in ports if port.getHost().port == number]

    async def closed(self, where: int | str | Path, host: str = "127.0.0.1") -> None:
        """Nobody listens there."""
        try:
            await self.connect(where, host)
        except OSError:
            return
        self.fail(f"somebody listens on {where}")


class ChangeTests(PortsCase):
    @asynchronous
    async def test_equal_strings(self) -> None:
        """They keep their sockets, in any order, while others come and go; connections stay."""
        one, two, three = free_port(), free_port(), free_port()
        a, b, c = (f"tcp:{number}:interface=127.0.0.1" for number in (one, two, three))
        ports = self.listening(a, b)
        waiting = await self.connect(one)
        leaving = await self.connect(two)
        (kept,) = self.on(one)
        change = await ports.change((c, a))
        self.assertEqual((change.opened, change.closed), ((c,), (b,)))
        self.assertEqual(ports.urls(), [f"ws://127.0.0.1:{three}", f"ws://127.0.0.1:{one}"])
        await self.connect(two)  # what is given up is closed last
        await change.commit()
        await self.closed(two)
        await self.connect(three)
        await self.connect(one)
        for client in (waiting, leaving):
            await self.answers(client)
        self.assertEqual(self.on(one), [kept])

    @asynchronous
    async def test_an_interface_and_back(self) -> None:
        """From 127.0.0.1 to all addresses of one port, and back; accepted connections stay."""
        port = free_port()
        narrow, wide = f"tcp:{port}:interface=127.0.0.1", f"tcp:{port}"
        self.listening(narrow)
        first = await self.connect(port)
        await self.closed(port, "127.0.0.2")
        await self.changed(wide)
        second = await self.connect(port, "127.0.0.2")
        await self.changed(narrow)
        await self.closed(port, "127.0.0.2")
        await self.connect(port)
        for client in (first, second):
            await self.answers(client)

    @asynchronous
    async def test_ipv6(self) -> None:
        """All addresses of IPv6 have those of IPv4 too."""
        if not socket.has_ipv6:
            self.skipTest("no IPv6")
        port = free_port()
        self.listening(f"tcp:{port}:interface=127.0.0.1")
        await self.changed(f"tcp6:{port}")
        await self.connect(port, "::1")
        await self.changed(rf"tcp:{port}:interface=\:\:1")
        await self.connect(port, "::1")
        await self.closed(port)

    @asynchronous
    async def test_two_at_once(self) -> None:
        """Two ports change their interfaces in one change, while a third is new and a fourth goes."""
        one, two, three, four = (free_port() for _ in range(4))
        self.listening(
            f"tcp:{one}:interface=127.0.0.1",
            f"tcp:{two}:interface=127.0.0.1",
            f"tcp:{four}:interface=127.0.0.1",
        )
        await self.changed(f"tcp:{two}", f"tcp:{three}", f"tcp:{one}")
        for number in (one, two, three):
            await self.connect(number, "127.0.0.2")
        await self.closed(four)

    @asynchronous
    async def test_one_becomes_two(self) -> None:
        """Two addresses take the place of all addresses, and the other way round."""
        port = free_port()
        pair = (f"tcp:{port}:interface=127.0.0.1", f"tcp:{port}:interface=127.0.0.2")
        self.listening(f"tcp:{port}")
        await self.changed(*pair)
        await self.connect(port)
        await self.connect(port, "127.0.0.2")
        await self.closed(port, "127.0.0.3")
        await self.changed(f"tcp:{port}")
        await self.connect(port, "127.0.0.3")

    @asynchronous
    async def test_any_free_port(self) -> None:
        """What listens on a port of the kernel's choice keeps it, and is in the way of that number."""
        for _ in range(5):
            try:
                return await self.any_free_port()
            except CannotListen:  # another process was given the number, on another address
                await self.ports.close()
        return await self.any_free_port()

    async def any_free_port(self) -> None:
        """What :meth:`test_any_free_port` tests, on two ports that only the kernel knows beforehand."""
        ports = self.listening("tcp:0:interface=127.0.0.1", "tcp:0:interface=127.0.0.1")
        first, second = (int(url.rpartition(":")[2]) for url in ports.urls())
        await self.changed("tcp:0:interface=127.0.0.1", f"tcp:{second}")
        await self.connect(first)
        await self.connect(second, "127.0.0.2")
        change = await ports.change((f"tcp:{first}", f"tcp:{second}"))
        await change.undo()
        self.assertEqual([int(url.rpartition(":")[2]) for url in ports.urls()], [first, second])
        await self.connect(first)

    @asynchronous
    async def test_unix_paths(self) -> None:
        """A path with another mode, another path, and back; relative ones are under the base."""
        path = self.folder / "socket"
        ports = self.listening("unix:socket")
        first = await self.connect(path)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        await self.changed(f"unix:{path}:mode=660")
        self.assertEqual(path.stat().st_mode & 0o777, 0o660)
        await self.connect(path)
        await self.changed("unix:other")
        await self.connect(self.folder / "other")
        self.assertFalse(path.exists())
        change = await ports.change((r"unix:other:mode=600", "unix:socket"))
        await change.undo()
        await self.connect(self.folder / "other")
        self.assertFalse(path.exists())
        await self.answers(first)
        await ports.close()
        self.assertEqual(list(self.folder.iterdir()), [])

    @asynchronous
    async def test_undo(self) -> None:
        """Everything is as before: what was opened is closed, what had to be closed is open again."""
        one, two, three = free_port(), free_port(), free_port()
        before = (f"tcp:{one}:interface=127.0.0.1", f"tcp:{two}:interface=127.0.0.1")
        ports = self.listening(*before)
        urls = ports.urls()
        client = await self.connect(one)
        for _ in range(3):
            change = await ports.change((f"tcp:{one}", f"tcp:{three}"))
            await self.connect(three)
            await change.undo()
            self.assertEqual(ports.urls(), urls)
            await self.closed(three)
            await self.closed(one, "127.0.0.2")
            await self.connect(one)
            await self.connect(two)
        await self.answers(client)
        await self.changed(f"tcp:{three}")
        await self.closed(one)
        await self.closed(two)

    @asynchronous
    async def test_many_times(self) -> None:
        """Nothing is left of a hundred changes, of which nobody awaits the end."""
        port, two = free_port(), free_port()
        narrow, wide = f"tcp:{port}:interface=127.0.0.1", f"tcp:{port}"
        ports = self.listening(narrow)
        client = await self.connect(port)
        files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
        for _ in range(25):
            for wanted in ((wide,), (narrow, f"tcp:{two}"), (f"tcp:{two}",), (narrow,)):
                (await ports.change(wanted)).commit()
        await ports.change((narrow,))
        await self.answers(client)
        if files:
            self.assertEqual(len(os.listdir("/proc/self/fd")), files)


class RefusalTests(PortsCase):
    def taken(self, host: str = "127.0.0.1") -> int:
        """A port that somebody else listens on."""
        other = socket.socket()
        self.clients.append(other)
        other.bind((host, 0))
        other.listen()
        port: int = other.getsockname()[1]
        return port

    @asynchronous
    async def test_a_taken_port(self) -> None:
        """One sentence; the old ports listen, and nothing new does."""
        one, new, taken = free_port(), free_port(), self.taken()
        ports = self.listening(f"tcp:{one}:interface=127.0.0.1")
        client = await self.connect(one)
        wanted = f"tcp:{taken}:interface=127.0.0.1"
        sentence = await self.refused(f"tcp:{new}:interface=127.0.0.1", wanted)
        self.assertEqual(sentence, f"cannot listen on {wanted}: Address already in use")
        await self.closed(new)
        await self.connect(one)
        await self.answers(client)
        self.assertEqual(ports.urls(), [f"ws://127.0.0.1:{one}"])
        await self.changed(f"tcp:{new}:interface=127.0.0.1")
        await self.connect(new)

    @asynchronous
    async def test_taken_elsewhere_on_the_port(self) -> None:
        """The old port is closed, the new one cannot be opened, the old one is open again."""
        taken = self.taken("127.0.0.2")
        self.listening(f"tcp:{taken}:interface=127.0.0.1")
        client = await self.connect(taken)
        sentence = await self.refused(f"tcp:{taken}")
        self.assertEqual(sentence, f"cannot listen on tcp:{taken}: Address already in use")
        await self.connect(taken)
        await self.answers(client)

    @asynchronous
    async def test_not_twice(self) -> None:
        """A second change waits for the commit or undo of the first."""
        one, two = free_port(), free_port()
        ports = self.listening(f"tcp:{one}")
        change = await ports.change((f"tcp:{two}",))
        self.assertIn("already", await self.refused(f"tcp:{one}"))
        await change.commit()
        await self.changed(f"tcp:{one}")

    @asynchronous
    async def test_the_same_port_twice(self) -> None:
        """A new endpoint on the port of one that stays, or of another new one."""
        one, two = free_port(), free_port()
        stays = f"tcp:{one}:interface=127.0.0.1"
        self.listening(stays)
        self.assertIn(f"tcp:{one}: Address already in use", await self.refused(stays, f"tcp:{one}"))
        self.assertIn("in use", await self.refused(stays, f"tcp:{two}", f"tcp:{two}"))
        await self.closed(two)
        await self.connect(one)

    @asynchronous
    async def test_no_endpoint(self) -> None:
        """A string that is none, an address that is not here, a folder that is not there."""
        one = free_port()
        self.listening(f"tcp:{one}")
        for wrong in ("tcp:x", "tcp:1:interface=192.0.2.1", "unix:no/folder/here", "nonsense:1"):
            self.assertIn(f"cannot listen on {wrong}: ", await self.refused(f"tcp:{one}", wrong))
        await self.connect(one)

    @asynchronous
    async def test_systemd(self) -> None:
        """Its sockets are adopted once: such a string can neither come nor go."""
        one = free_port()
        said = "systemd:domain=INET:index=0"
        self.listening(f"tcp:{one}:interface=127.0.0.1")
        self.assertIn("waits for a restart", await self.refused(said))
        await self.ports.close()

        inherited = socket.socket()
        self.addCleanup(inherited.close)
        inherited.bind(("127.0.0.1", 0))
        inherited.listen()
        inherited.setblocking(False)
        parsed: list[str] = []

        def parse(reactor: Any, description: str) -> Any:
            parsed.append(description)
            return AdoptedStreamServerEndpoint(reactor, os.dup(inherited.fileno()), socket.AF_INET)

        self.patch(__import__("lgtwist.net.ports", fromlist=["_"]), "serverFromString", parse)
        number = inherited.getsockname()[1]
        self.listening(said)
        await self.changed(said, f"tcp:{one}")
        await self.connect(number)
        await self.connect(one)
        self.assertIn("waits for a restart", await self.refused(f"tcp:{one}"))
        await self.changed(said)
        await self.connect(number)
        self.assertEqual(parsed, [said])

    def test_systemd_hands_nothing_over(self) -> None:
        """Started by hand, or with a socket of another name: the sentence says so."""
        for names, wanted in (("", "has handed no socket over"), ("other", "is named other")):
            self.patch(os, "environ", {**os.environ, "LISTEN_FDNAMES": names})
            for said in ("systemd:domain=INET:name=lgtwist", "systemd:domain=INET:index=0"):
                ports = Ports(reactor, (said,), self.folder)
                error = self.assertRaises(CannotListen, ports.listen, self.factory)
                self.assertIn(wanted, str(error))

    @asynchronous
    async def test_lost(self) -> None:
        """Where the old port cannot be had again either, the sentence says so; a later change has it."""
        port, two = free_port(), free_port()
        narrow = f"tcp:{port}:interface=127.0.0.1"
        ports = self.listening(narrow, f"tcp:{two}")
        change = await ports.change((f"tcp:{port}:interface=127.0.0.2", f"tcp:{two}"))
        await change.commit()
        change = await ports.change((f"tcp:{port}", f"tcp:{two}"))
        self.patch(ports, "_close", self.stealing(ports, ("127.0.0.2", port)))
        error = None
        try:
            await change.undo()
        except CannotListen as lost:
            error = str(lost)
        self.assertIn(f"cannot listen on tcp:{port}:interface=127.0.0.2: ", error or "")
        self.assertIn("nothing listens there now", error or "")
        self.assertEqual(len(ports.urls()), 1)
        await self.connect(two)
        await self.changed(narrow, f"tcp:{two}")
        await self.connect(port)

    def stealing(self, ports: Ports, address: tuple[str, int]) -> Callable[[Any], Deferred[None]]:
        """Closes ports, and lets somebody else take an address at once."""
        close = ports._close

        def steal(result: None) -> None:
            del ports._close  # type: ignore[method-assign]
            thief = socket.socket()
            self.clients.append(thief)
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(address)
            thief.listen()

        return lambda several: close(several).addCallback(steal)

    @asynchronous
    async def test_closed_meanwhile(self) -> None:
        """A service that stops while its ports are changed listens nowhere afterwards."""
        port, two = free_port(), free_port()
        ports = self.listening(f"tcp:{port}:interface=127.0.0.1")
        changing = Deferred.fromCoroutine(ports.change((f"tcp:{port}", f"tcp:{two}")))
        await ports.close()
        error = await changing.addErrback(lambda failure: failure.value)
        self.assertIsInstance(error, CannotListen)
        await self.closed(port)
        await self.closed(two)

    @asynchronous
    async def test_closed_before_the_undo(self) -> None:
        """Nor does one that stops between a change and its end."""
        port, two = free_port(), free_port()
        for end in ("undo", "commit"):
            ports = self.listening(f"tcp:{port}:interface=127.0.0.1")
            change = await ports.change((f"tcp:{port}", f"tcp:{two}"))
            await ports.close()
            await getattr(change, end)()
            await self.closed(port)
            await self.closed(two)


class LeftoverTests(PortsCase):
    @asynchronous
    async def test_a_killed_process(self) -> None:
        """A socket and a lock that a killed process left are taken over, even if its number is ours."""
        path = self.folder / "socket"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
        for pid in (os.getpid(), os.getppid()):
            (self.folder / "socket.lock").symlink_to(str(pid))
            ports = self.listening(f"unix:{path}")
            self.assertEqual(os.readlink(self.folder / "socket.lock"), str(os.getpid()))
            await self.connect(path)
            await ports.close()
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(path))

    @asynchronous
    async def test_somebody_listens(self) -> None:
        """A path on which another process listens is not taken from it."""
        path = self.folder / "socket"
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            (self.folder / "socket.lock").symlink_to(str(os.getppid()))
            error = self.assertRaises(CannotListen, self.listening, f"unix:{path}")
            self.assertIn(f"cannot listen on unix:{path}: ", str(error))
            self.assertTrue(path.exists())
            self.assertTrue((self.folder / "socket.lock").is_symlink())
        await self.ports.close()

    @asynchronous
    async def test_no_socket(self) -> None:
        """A file is not taken for a socket, and no lock stays behind: the next attempt may have the path."""
        path, port = self.folder / "socket", free_port()
        path.write_text("a file of somebody's")
        self.listening(f"tcp:{port}")
        self.assertIn("Address already in use", await self.refused(f"unix:{path}"))
        self.assertEqual(path.read_text(), "a file of somebody's")
        path.unlink()
        await self.changed(f"unix:{path}")
        await self.connect(path)


class TlsCase(PortsCase):
    if trustme is None:
        skip = "trustme is not installed"

    def setUp(self) -> None:
        super().setUp()
        self.root = trustme.CA()
        self.authority = self.root.create_child_ca()
        self.port = free_port()
        self.plain = f"tcp:{self.port}:interface=127.0.0.1"
        self.secure = f"ssl:{self.port}:interface=127.0.0.1:privateKey=key.pem:certKey=cert.pem"
        self.write()

    def write(self, name: str = "", **more: Any) -> bytes:
        """Write a certificate and its key, as certbot does; return the certificate."""
        leaf = self.authority.issue_cert("127.0.0.1", **more)
        (self.folder / f"{name}key.pem").write_bytes(leaf.private_key_pem.bytes())
        (self.folder / f"{name}cert.pem").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        return ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())

    async def secured(self, *protocols: str, port: int | None = None) -> ssl.SSLSocket:
        """A TLS connection of a client that knows the root alone."""
        context = ssl.create_default_context()
        self.root.configure_trust(context)
        if protocols:
            context.set_alpn_protocols(list(protocols))

        def dial() -> ssl.SSLSocket:
            raw = socket.create_connection(("127.0.0.1", port or self.port), PATIENCE)
            self.clients.append(raw)
            client = context.wrap_socket(raw, server_hostname="127.0.0.1")
            self.clients.append(client)
            return client

        client = await deferToThread(dial)
        await self.answers(client)
        return client


class TlsTests(TlsCase):
    @asynchronous
    async def test_the_chain_is_sent(self) -> None:
        """A client that knows the root alone connects, by TLS 1.2 or newer."""
        self.listening(self.secure)
        client = await self.secured()
        self.assertIn(client.version(), ("TLSv1.2", "TLSv1.3"))

    @asynchronous
    async def test_alpn(self) -> None:
        """HTTP/1.1 is agreed on where it is offered, else nothing; a site cannot say otherwise."""
        self.listening(self.secure)
        for offered, agreed in (
            (("h2", "http/1.1"), "http/1.1"),
            (("http/1.1",), "http/1.1"),
            (("h2",), None),
            ((), None),
        ):
            self.assertEqual((await self.secured(*offered)).selected_alpn_protocol(), agreed)
        await self.ports.close()

        class Offering(Site):
            def acceptableProtocols(self) -> list[bytes]:
                return [b"h2", b"http/1.1"]

            def buildProtocol(inner, addr: Any) -> Any:
                return self.factory.buildProtocol(addr)

        self.ports = Ports(reactor, (self.secure,), self.folder)
        self.ports.listen(Offering(Resource()))
        self.assertEqual((await self.secured("h2", "http/1.1")).selected_alpn_protocol(), "http/1.1")

    @asynchronous
    async def test_tcp_to_ssl_and_back(self) -> None:
        """On one port, by way of all addresses; accepted connections stay what they were."""
        ports = self.listening(self.plain)
        first = await self.connect(self.port)
        await self.changed(f"tcp:{self.port}")
        second = await self.connect(self.port)
        await self.changed(self.secure)
        third = await self.secured()
        self.assertEqual(ports.urls(), [f"wss://127.0.0.1:{self.port}"])
        change = await ports.change((self.plain,))
        await self.connect(self.port)
        await change.undo()
        await self.secured()
        await self.changed(self.plain)
        await self.connect(self.port)
        for client in (first, second, third):
            await self.answers(client)

    @asynchronous
    async def test_a_bad_certificate(self) -> None:
        """Refused before any port is touched, at the start and at a change, in one sentence."""
        other = self.authority.issue_cert("127.0.0.1")
        (self.folder / "key.pem").write_bytes(other.private_key_pem.bytes())
        error = self.assertRaises(CannotListen, self.listening, self.secure)
        self.assertIn(f"cannot listen on {self.secure}: the private key ", str(error))
        self.listening(self.plain)
        listening = list(reactor.getReaders())
        self.assertIn("does not match the certificate", await self.refused(self.secure))
        self.assertTrue(set(listening) <= set(reactor.getReaders()))
        await self.connect(self.port)

    @asynchronous
    async def test_the_new_one_at_a_change(self) -> None:
        """A port that stays shows its certificate of now when the change is committed, not before."""
        ports = self.listening(self.secure)
        old = await self.secured()
        before = old.getpeercert(True)
        after = self.write()
        change = await ports.change((self.secure,))
        self.assertEqual((change.opened, change.closed, change.certificates), ((), (), (self.secure,)))
        self.assertEqual((await self.secured()).getpeercert(True), before)
        await change.undo()
        self.assertEqual((await self.secured()).getpeercert(True), before)
        self.assertTrue(ports.certificates_changed())
        await self.changed(self.secure)
        self.assertFalse(ports.certificates_changed())
        self.assertEqual((await self.secured()).getpeercert(True), after)
        await self.answers(old)

    @asynchronous
    async def test_a_bad_one_at_a_change(self) -> None:
        """The change is refused, the port shows the one before."""
        ports = self.listening(self.secure)
        (self.folder / "cert.pem").write_text("half of")
        other = free_port()
        self.assertIn("is no PEM file", await self.refused(self.secure, f"tcp:{other}"))
        await self.closed(other)
        await self.secured()
        self.assertFalse(ports.certificates_changed())

    @asynchronous
    async def test_renewed(self) -> None:
        """New connections are shown a renewed certificate, an old connection goes on."""
        ports = self.listening(self.plain.replace(str(self.port), str(free_port())), self.secure)
        old = await self.secured()
        self.assertFalse(ports.certificates_changed())
        self.assertEqual((await ports.renew_certificates()).renewed, ())
        after = self.write()
        self.assertTrue(ports.certificates_changed())
        renewal = await ports.renew_certificates()
        self.assertEqual((renewal.renewed, renewal.refused), ((self.secure,), ()))
        self.assertFalse(ports.certificates_changed())
        self.assertEqual((await self.secured()).getpeercert(True), after)
        self.assertNotEqual(old.getpeercert(True), after)
        await self.answers(old)

    @asynchronous
    async def test_renewed_each_for_itself(self) -> None:
        """One that is refused keeps no other from being shown, and is tried again when its files change."""
        port = free_port()
        other = f"ssl:{port}:interface=127.0.0.1:privateKey=okey.pem:certKey=ocert.pem"
        self.write("o")
        ports = self.listening(self.secure, other)
        before = (await self.secured()).getpeercert(True)
        (self.folder / "cert.pem").unlink()
        after = self.write("o")
        renewal = await ports.renew_certificates()
        self.assertEqual(renewal.renewed, (other,))
        (sentence,) = renewal.refused
        self.assertIn(f"{self.secure} keeps its certificate: ", sentence)
        self.assertFalse(ports.certificates_changed())
        self.assertEqual((await self.secured(port=port)).getpeercert(True), after)
        self.assertEqual((await self.secured()).getpeercert(True), before)
        again = self.write()
        self.assertTrue(ports.certificates_changed())
        self.assertEqual((await ports.renew_certificates()).renewed, (self.secure,))
        self.assertEqual((await self.secured()).getpeercert(True), again)

    def test_warnings(self) -> None:
        """An expired certificate is shown, and said, before it listens (``--check``) and after."""
        import datetime

        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        self.write(not_after=past)
        ports = Ports(None, (self.secure, self.plain, "systemd:domain=INET:index=0"), self.folder)
        (sentence,) = ports.warnings()
        self.assertIn("has expired", sentence)
        self.assertEqual(self.listening(self.secure).warnings(), [sentence])
        self.write()
        self.assertEqual(Ports(None, (self.secure,), self.folder).warnings(), [])


class BacklogTests(SynchronousTestCase):
    def test_the_kernel_is_told(self) -> None:
        """Each port of ours lets more connections wait than Twisted's default, unless its string says so."""
        memory = MemoryReactorClock()
        Ports(memory, ("tcp:1", "tcp:2:backlog=7", "tcp:3:127.0.0.1:8")).listen(EchoFactory())
        self.assertEqual([server[2] for server in memory.tcpServers], [1024, 7, 8])
        self.assertEqual([server[3] for server in memory.tcpServers], ["", "", "127.0.0.1"])
