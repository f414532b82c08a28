"""What is reached into of Twisted is there, in the versions that it was tried with."""

from __future__ import annotations

import io
import os
import socket
from typing import Any

from twisted.application.internet import ClientService
from twisted.internet import endpoints, ssl, tcp
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import FileLogObserver, LogPublisher, textFileLogObserver
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import _newclient, client
from twisted.web.http import HTTPChannel

import twisted
from lgtwist.net.twisted_private import (
    CustomPool,
    HeadAwareClientProtocol,
    QuietClientService,
    RefusingHTTPChannel,
    expect_no_body,
    is_at_first_line,
    log_file_descriptor,
    log_outputs,
    replace_log_outputs,
    request_line,
    set_buffer_size,
    split_endpoint,
    unfinished_line,
)

#: The versions of Twisted that ``lgtwist/net/twisted_private.py`` was tried with.
TRIED_WITH = ("26.10.0",)


class Requests(HTTPChannel):
    """Keeps what is asked for, before its body came."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[bytes] = []
        self.decoders: list[bool] = []  # whether one was there for the body

    def allHeadersReceived(self) -> None:
        super().allHeadersReceived()
        self.targets.append(b" ".join(request_line(self)))
        self.decoders.append(getattr(self, "_transferDecoder", None) is not None)
        expect_no_body(self)


class TwistedTests(SynchronousTestCase):
    def has(self, thing: Any, *names: str) -> None:
        """Each of the names is an attribute of it."""
        for name in names:
            self.assertTrue(hasattr(thing, name), f"{thing!r} has no {name}: Twisted has changed it")

    def test_the_version(self) -> None:
        """Another major version is to be tried by hand first."""
        majors = {tried.partition(".")[0] for tried in TRIED_WITH}
        self.assertIn(
            str(twisted.version.major),
            majors,
            f"Twisted {twisted.__version__} has another major version than those that "
            f"lgtwist/net/twisted_private.py was tried with ({', '.join(TRIED_WITH)}): see whether what it "
            "reaches into still means the same, run all tests, then add the version to TRIED_WITH",
        )

    def test_tcp(self) -> None:
        """What ``send_now`` asks of a plain transport."""
        for kind in (tcp.Server, tcp.Client):
            self.has(kind, "_writeDisconnecting", "_aborting", "dataBuffer", "TLS", "disconnecting")
        with socket.socket() as handle:
            connection = tcp.Connection(handle, Protocol(), MemoryReactorClock())
        self.has(connection, "_tempDataBuffer", "connected", "socket")

    def test_tls(self) -> None:
        """What ``send_now`` asks of TLS."""
        context = ssl.CertificateOptions()
        over = TLSMemoryBIOFactory(context, True, Factory.forProtocol(Protocol), Clock())
        transport: Any = over.buildProtocol(None)
        self.assertIs(type(transport), BufferingTLSTransport)
        transport.makeConnection(StringTransport())
        self.has(transport, "_lostTLSConnection", "_handshakeDone", "_appSendBuffer", "_tlsConnection")
        self.has(transport, "_aggregator", "disconnecting")
        self.has(transport._aggregator, "_buffer")
        self.has(transport._tlsConnection, "send", "bio_read")

    def test_log_files(self) -> None:
        """The files of observers can be found, and others put in their places."""
        log = LogFile("twistd.log", self.folder())
        publisher = LogPublisher(textFileLogObserver(log), FileLogObserver(io.BytesIO(), str), lambda _: None)
        self.has(publisher, "_observers")
        self.has(textFileLogObserver(log), "_outFile", "_encoding")
        self.has(log, "_file")
        self.assertIs(next(log_outputs(publisher)), log)
        descriptor = log_file_descriptor(log)
        self.assertEqual(os.fstat(descriptor).st_ino, os.stat(log.path).st_ino)
        os.close(descriptor)
        new = io.StringIO()
        replace_log_outputs(lambda file: None if file is log else new, publisher)
        publisher({"log_format": "x"})
        self.assertEqual(list(log_outputs(publisher)), [log, new])
        self.assertIn("x", new.getvalue())
        log.close()

    def folder(self) -> str:
        path = self.mktemp()
        os.makedirs(path)
        return path

    def test_endpoint_strings(self) -> None:
        """They are taken apart as Twisted does it."""
        self.has(endpoints, "_parse")
        self.assertEqual(split_endpoint(r"tcp:8080:interface=\:\:1"), ("tcp", ["8080"], {"interface": "::1"}))

    def test_http_client(self) -> None:
        """A pool makes our connections, which know when they read the head of an answer."""
        self.has(client, "_HTTP11ClientFactory")
        self.has(_newclient, "STATUS", "HEADER")
        pool = CustomPool(MemoryReactorClock(), True, HeadAwareClientProtocol)
        self.has(pool, "_factory")
        made: Any = pool._factory(lambda protocol: None, repr)
        self.has(made, "_quiescentCallback")
        protocol: Any = made.buildProtocol(None)
        self.assertIsInstance(protocol, HeadAwareClientProtocol)
        protocol.makeConnection(StringTransport())
        self.assertFalse(protocol.reading_head)
        request = _newclient.Request(b"GET", b"/", client.Headers({b"Host": [b"x"]}), None)
        protocol.request(request).addErrback(lambda _failure: None)
        self.has(protocol, "_parser")
        self.assertTrue(protocol.reading_head)
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n")
        self.assertTrue(protocol.reading_head)
        protocol.dataReceived(b"\r\nhe")
        self.assertFalse(protocol.reading_head)

    def test_http_channel(self) -> None:
        """The target is known with the head, and a body can be refused then."""
        channel = Requests()
        channel.site = channel.factory = None
        channel.makeConnection(StringTransport())
        channel.callLater = Clock().callLater
        channel.dataReceived(b"POST /x?y=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        self.assertEqual(channel.decoders, [True], "no _transferDecoder: Twisted has changed it")
        self.assertEqual(channel.targets, [b"POST /x?y=1 HTTP/1.1"])
        self.assertEqual(channel.length, 0)

    def test_malformed_requests(self) -> None:
        """A method of ours is asked where Twisted answers 400; and it is known how a line begins."""
        refused = []

        class Refusing(RefusingHTTPChannel):
            def malformed(self) -> None:
                refused.append(True)

        for sent in (
            b"GET /\r\n",
            b"GET / HTTP/1.1\r\nX\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        ):
            channel: Any = Refusing()
            channel.makeConnection(StringTransport())
            channel.setTimeout(None)
            channel.dataReceived(sent)
            self.assertTrue(refused.pop(), sent)
        self.assertEqual(request_line(HTTPChannel()), (b"", b"", b""))
        channel = HTTPChannel()
        channel.makeConnection(StringTransport())
        channel.setTimeout(None)
        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: ")
        channel.setTimeout(None)
        self.assertEqual(unfinished_line(channel), b"Host: ")

    def test_first_lines(self) -> None:
        """Another line may be read in place of a request's first one; the target stays."""
        seen = []

        class Replacing(RefusingHTTPChannel):
            def malformed(self) -> None:
                seen.append("malformed")

            def read_first_line(self, line: bytes) -> bytes:
                seen.append(line.decode())
                return line.replace("é".encode(), b"ee")

        for path in ("/é?é", "/e"):
            channel: Any = Replacing()
            channel.makeConnection(StringTransport())
            channel.setTimeout(None)
            self.assertTrue(is_at_first_line(channel))
            channel.dataReceived(f"GET {path} HTTP/1.1\r\nHost: x\r\nX: é\r\n".encode())
            channel.setTimeout(None)
            self.assertFalse(is_at_first_line(channel))
            self.assertEqual(request_line(channel), (b"GET", path.encode(), b"HTTP/1.1"))
        self.assertEqual(seen, ["GET /é?é HTTP/1.1", "GET /e HTTP/1.1"])

    def test_buffer_size(self) -> None:
        """How much a transport reads and keeps can be said, and taken back."""
        with socket.socket() as handle:
            connection = tcp.Connection(handle, Protocol(), MemoryReactorClock())
        before = connection.bufferSize
        set_buffer_size(connection, 100)
        self.assertEqual(connection.bufferSize, 100)
        set_buffer_size(connection, None)
        self.assertEqual(connection.bufferSize, before)
        set_buffer_size(StringTransport(), 100)

    def test_client_service(self) -> None:
        """Its log can be another one."""
        self.has(ClientService, "_log")
        self.assertIsNot(QuietClientService._log, ClientService._log)
