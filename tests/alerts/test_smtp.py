"""E-mail: a real server over real TLS, and servers that are broken, hostile or slow."""

from __future__ import annotations

import asyncio
import email.policy
import logging
import socket
import ssl
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.logger import formatEvent, globalLogPublisher
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lgtwist.alerts import smtp
from lgtwist.alerts.alert import AlertMessage, ReceiverAnswer
from lgtwist.alerts.formats import UnusableReceiver
from lgtwist.alerts.senders import SenderResources, make_sender
from lgtwist.alerts.settings import AlertSettings, MailSettings, ReceiverKind
from lgtwist.net.http_client import WebClient
from tests.alerts.receivers import NOW, OFFLINE, hurry, reactor
from tests.alerts.test_templates import TEXTS

try:
    import trustme
    from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
except ImportError:
    trustme = None  # type: ignore[assignment]

USER, PASSWORD = "bot@example.org", "P4ss密+w/rd="
#: An end of a certificate's validity.
YESTERDAY = datetime.now(timezone.utc) - timedelta(days=1)


def mail(port: int, implicit_tls: bool = False, **more: Any) -> MailSettings:
    """Settings of a receiver by e-mail at this machine."""
    given: dict[str, Any] = {
        "server": "localhost",
        "user": None,
        "password": None,
        "sender": USER,
        "to": ("me@example.org",),
        **more,
    }
    return MailSettings(port=port, implicit_tls=implicit_tls, **given)


class Authority:
    """Signs certificates of servers, and is trusted or not."""

    def __init__(self) -> None:
        self.root = trustme.CA()
        pem = Certificate.loadPEM(self.root.cert_pem.bytes())
        self.trust_root = trustRootFromCertificates([pem])

    def context(self, *names: str, **more: Any) -> ssl.SSLContext:
        """For a server of Python's own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.root.issue_cert(*names, **more).configure_cert(context)
        return context

    def options(self, *names: str) -> Any:
        """For a server of Twisted's."""
        leaf = self.root.issue_cert(*names)
        chain = b"".join(one.bytes() for one in leaf.cert_chain_pems)
        return PrivateCertificate.loadPEM(chain + leaf.private_key_pem.bytes()).options()


class Mailbox:
    """Takes mail for everybody at example.org, as aiosmtpd asks it to.

    :ivar taken: each message with its envelope, and whether it came over TLS.
    :ivar logins: the ways, users and passwords that were presented.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[Any, bool]] = []
        self.logins: list[tuple[str, bytes, bytes]] = []
        self.answer = "250 OK: queued as 42"

    async def handle_RCPT(
        self, _server: Any, _session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if not address.endswith("@example.org"):
            return "550 5.7.1 we do not relay"
        if address.startswith("busy"):
            return "450 4.2.0 greylisted"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:
        self.taken.append((envelope, session.ssl is not None))
        return self.answer

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, way: str, data: Any) -> Any:
        assert isinstance(data, LoginPassword)
        self.logins.append((way, data.login, data.password))
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    def message(self) -> EmailMessage:
        """The last message, as Python's own parser reads it."""
        read = BytesParser(policy=email.policy.default).parsebytes(self.taken[-1][0].content)
        assert isinstance(read, EmailMessage)
        return read


class RealServer:
    """aiosmtpd in a thread.

    :param tls: the context of STARTTLS; None for a server without it.
    :param wrapped: the context of TLS from the begin on.
    """

    def __init__(self, mailbox: Mailbox, tls: Any = None, wrapped: Any = None, **more: Any) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        self._loop = asyncio.new_event_loop()

        def make() -> Any:
            return SMTP(
                mailbox,
                hostname="mail.example.org",
                tls_context=tls,
                loop=self._loop,
                authenticator=mailbox.authenticate,
                **more,
            )

        self._server = self._loop.run_until_complete(
            self._loop.create_server(make, sock=listening, ssl=wrapped)
        )
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class MailCase(TestCase):
    if trustme is None:
        skip = "trustme or aiosmtpd is not installed"

    def setUp(self) -> None:
        self.authority = Authority()
        self.mailbox = Mailbox()
        self.patch(logging.getLogger("mail.log"), "disabled", True)
        self.client = WebClient(reactor)
        self.addCleanup(self.client.close)

    def serve(self, tls: Any = None, wrapped: Any = None, **more: Any) -> int:
        """Start a real server; its port."""
        server = RealServer(self.mailbox, tls, wrapped, **more)
        self.addCleanup(server.stop)
        return server.port

    async def send(self, given: MailSettings, message: AlertMessage = OFFLINE) -> ReceiverAnswer:
        settings = AlertSettings(ReceiverKind.EMAIL, mail=given)
        resources = SenderResources(reactor, self.client, self.authority.trust_root, lambda: NOW)
        return await make_sender(settings, resources).send(message)

    async def refused(self, given: MailSettings, words: str, status: int = 0, retry: bool = True) -> None:
        """Send a message that is refused with these words, and is not taken."""
        answer = await self.send(given)
        self.assertEqual(answer, ReceiverAnswer(False, status, words, retry))
        self.assertEqual(self.mailbox.taken, [])


class RealServerTests(MailCase):
    async def test_starttls(self) -> None:
        """The message arrives over TLS, with its Chinese title and text, its date and its identifier."""
        port = self.serve(self.authority.context("localhost"), require_starttls=True)
        answer = await self.send(mail(port, to=("me@example.org", "you@example.org")))
        self.assertEqual(answer, ReceiverAnswer(True, 250, "250 OK: queued as 42"))
        envelope, secure = self.mailbox.taken[0]
        self.assertTrue(secure)
        self.assertEqual(
            (envelope.mail_from, envelope.rcpt_tos), (USER, ["me@example.org", "you@example.org"])
        )
        read = self.mailbox.message()
        self.assertEqual(read["Subject"], f"[lgtwist] {OFFLINE.title}")
        self.assertEqual(read.get_content(), f"{OFFLINE.text}\r\n".replace("\r\n", "\n"))
        self.assertEqual(read["From"], f"lgtwist <{USER}>")
        self.assertEqual(read["To"], "me@example.org, you@example.org")
        self.assertEqual(read["Date"].datetime.timestamp(), int(NOW))
        self.assertRegex(read["Message-ID"], r"^<[^@<>\s]+@example\.org>$")
        self.assertEqual(read["Auto-Submitted"], "auto-generated")
        self.assertEqual(read.get_content_type(), "text/plain")
        self.assertTrue(envelope.original_content.isascii())
        self.assertLess(max(map(len, envelope.original_content.splitlines())), 999)

    async def test_tls_from_the_begin_on(self) -> None:
        port = self.serve(wrapped=self.authority.context("localhost"), auth_require_tls=False)
        answer = await self.send(mail(port, True, user=USER, password=PASSWORD))
        self.assertEqual((answer.accepted, answer.status), (True, 250))
        self.assertEqual(self.mailbox.message()["Subject"], f"[lgtwist] {OFFLINE.title}")
        self.assertEqual(len(self.mailbox.logins), 1)

    async def test_by_address(self) -> None:
        """A server that is named by its address has that in its certificate."""
        port = self.serve(self.authority.context("127.0.0.1"))
        self.assertTrue((await self.send(mail(port, server="127.0.0.1"))).accepted)

    async def test_logins(self) -> None:
        """By LOGIN or PLAIN, whichever there is; without a user there is no login."""
        for excluded, way in (("PLAIN", "LOGIN"), ("LOGIN", "PLAIN")):
            port = self.serve(
                self.authority.context("localhost"), auth_required=True, auth_exclude_mechanism=[excluded]
            )
            self.assertTrue((await self.send(mail(port, user=USER, password=PASSWORD))).accepted)
            self.assertEqual(self.mailbox.logins, [(way, USER.encode(), PASSWORD.encode())])
            self.mailbox.logins.clear()
            self.mailbox.taken.clear()
            words = "the server refused user and password: 535 5.7.8 Authentication credentials invalid"
            await self.refused(mail(port, user=USER, password="wrong"), words, 535, retry=False)
            self.mailbox.logins.clear()
            words = "the server refused the message: 530 5.7.0 Authentication required"
            await self.refused(mail(port), words, 530, retry=False)
            self.assertEqual(self.mailbox.logins, [])

    async def test_no_login_that_is_known(self) -> None:
        port = self.serve(self.authority.context("localhost"), auth_exclude_mechanism=["LOGIN", "PLAIN"])
        words = "the server offers no login that is known here (CRAM-MD5, LOGIN, PLAIN)"
        await self.refused(mail(port, user=USER, password=PASSWORD), words, retry=False)

    async def test_certificates(self) -> None:
        """One of another host, one that has expired, one of an authority that is not known."""
        mine, other = self.authority, Authority()
        expired = mine.context("localhost", not_after=YESTERDAY, not_before=YESTERDAY - timedelta(days=9))
        cases = (
            (mine.context("mail.other"), 'TLS: the certificate is for mail.other, not for "localhost"'),
            (expired, f"has expired on {YESTERDAY.date()}"),
            (other.context("localhost"), "is signed by an authority that is not known here"),
        )
        for context, words in cases:
            for implicit in (False, True):
                port = self.serve(wrapped=context) if implicit else self.serve(context)
                answer = await self.send(mail(port, implicit, user=USER, password=PASSWORD))
                self.assertEqual((answer.accepted, answer.status), (False, 0))
                self.assertTrue(answer.words.startswith("TLS: the certificate "), answer.words)
                self.assertIn(words, answer.words)
        self.assertEqual((self.mailbox.logins, self.mailbox.taken), ([], []))

    async def test_no_starttls(self) -> None:
        """Nothing is sent in the clear: neither the password nor the message."""
        port = self.serve(auth_require_tls=False)
        words = "the server offers no STARTTLS; neither password nor message was sent"
        await self.refused(mail(port, user=USER, password=PASSWORD), words, retry=False)
        await self.refused(mail(port), words, retry=False)
        self.assertEqual(self.mailbox.logins, [])

    async def test_tls_where_there_is_none_yet(self) -> None:
        port = self.serve(self.authority.context("localhost"))
        words = 'TLS: the server does not begin with TLS: is tls = "starttls" meant?'
        await self.refused(mail(port, True), words)

    async def test_recipients(self) -> None:
        """One who is refused does not keep the others from it, and is named."""
        port = self.serve(self.authority.context("localhost"))
        answer = await self.send(mail(port, to=("a@other.org", "me@example.org", "busy@example.org")))
        self.assertEqual((answer.accepted, answer.status), (True, 250))
        refused = "a@other.org: 550 5.7.1 we do not relay; busy@example.org: 450 4.2.0 greylisted"
        self.assertEqual(answer.words, f"taken, but not for {refused}")
        self.assertEqual(self.mailbox.taken[0][0].rcpt_tos, ["me@example.org"])
        self.mailbox.taken.clear()
        words = "the server refused a@other.org: 550 5.7.1 we do not relay"
        await self.refused(mail(port, to=("a@other.org",)), words, 550, retry=False)
        words = "the server refused busy@example.org: 450 4.2.0 greylisted"
        await self.refused(mail(port, to=("busy@example.org",)), words, 450, retry=True)

    async def test_a_message_that_is_refused(self) -> None:
        port = self.serve(self.authority.context("localhost"))
        for answer, retry in (("554 5.7.1 spam", False), ("451 4.3.0 later", True)):
            self.mailbox.answer = answer
            found = await self.send(mail(port))
            words = f"the server refused the message: {answer}"
            self.assertEqual(found, ReceiverAnswer(False, int(answer[:3]), words, retry))

    async def test_long_and_strange_messages(self) -> None:
        """100 KB with points at the begins of lines, long lines, emoji; the text arrives as it is."""
        port = self.serve(self.authority.context("localhost"))
        lines = [".", "..", "From x", "密😀" * 2000, "\t\\\"'<b>", *["line ."] * 5000, "x" * 40_000]
        message = AlertMessage("密" * 300 + "\r\nBcc: evil@example.org", "\n".join(lines))
        self.assertTrue((await self.send(mail(port), message)).accepted)
        read = self.mailbox.message()
        self.assertEqual(read.get_content().rstrip("\n").split("\n"), lines)
        self.assertTrue(read["Subject"].startswith("[lgtwist] 密密"))
        self.assertIsNone(read["Bcc"])

    async def test_nobody_listens(self) -> None:
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        await self.refused(mail(number, server="127.0.0.1"), "connection was refused by other side")
        await self.refused(mail(number, True, server="127.0.0.1"), "connection was refused by other side")
        await self.refused(mail(number, server="nowhere.invalid"), "the host's name is not known")


#: What a server says to a client's command.
Say = Callable[["Scripted", bytes], None]


class Scripted(LineReceiver):
    """A mail server that does as a test says.

    :ivar lines: what it got in the clear, or over TLS once that is there.
    """

    factory: Any
    transport: Any
    in_message = False

    def connectionMade(self) -> None:
        self.lines: list[bytes] = []
        self.factory.connections.append(self)
        self.lost: Deferred[None] = Deferred()
        self.factory.say(self, b"")

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        self.factory.say(self, line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class ScriptedTests(MailCase):
    def script(self, say: Say) -> int:
        """Start a server; its port."""
        factory: Any = Factory.forProtocol(Scripted)
        factory.say, factory.connections = say, []
        self.connections: list[Scripted] = factory.connections
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def ordinary(self, **special: Any) -> Say:
        """A server with STARTTLS and AUTH PLAIN that takes everything, but for some commands.

        :param special: by the command's first word: what is written, or called.
        """
        options = self.authority.options("localhost")

        def say(server: Scripted, line: bytes) -> None:
            if server.in_message and line != b".":
                return
            server.in_message = line == b"DATA"
            command = line.split(b" ")[0].decode().upper() or "GREETING"
            answer = special.get(command)
            if callable(answer):
                answer(server)
            elif answer is not None:
                server.transport.write(answer)
            elif command == "STARTTLS":
                server.transport.write(b"220 go\r\n")
                server.transport.startTLS(options)
            elif command == "EHLO":
                server.transport.write(b"250-h\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
            elif command in ("GREETING", "DATA", "AUTH"):
                code = {"GREETING": 220, "DATA": 354, "AUTH": 235}[command]
                server.transport.write(b"%d ok\r\n" % code)
            elif command in ("MAIL", "RCPT", "RSET", "."):
                server.transport.write(b"250 ok\r\n")

        return say

    async def ended(self) -> list[bytes]:
        """Wait until the connection is over; what the server got."""
        [server] = self.connections
        await server.lost
        return server.lines

    async def test_ordinary(self) -> None:
        """The script is right as it is; the client names itself by its address, and leaves with QUIT."""
        port = self.script(self.ordinary())
        answer = await self.send(mail(port, user=USER, password=PASSWORD))
        self.assertEqual(answer, ReceiverAnswer(True, 250, "250 ok"))
        lines = await self.ended()
        self.assertEqual(lines[:3], [b"EHLO [127.0.0.1]", b"STARTTLS", b"EHLO [127.0.0.1]"])
        [sent] = [line.split(b" ")[2] for line in lines if line.startswith(b"AUTH PLAIN ")]
        identity, *login = b64decode(sent).decode().split("\0")  # RFC 4616: the identity may be empty
        self.assertIn(identity, ("", USER))
        self.assertEqual(login, [USER, PASSWORD])
        self.assertEqual(lines[-1], b"QUIT")

    async def test_replies_before_tls(self) -> None:
        """What follows the answer to STARTTLS in the clear could be anybody's: the conversation ends."""
        port = self.script(self.ordinary(STARTTLS=b"220 go\r\n250-h\r\n250 AUTH PLAIN\r\n"))
        words = "the server went on in the clear after STARTTLS"
        await self.refused(mail(port, user=USER, password=PASSWORD), words)
        self.assertEqual(await self.ended(), [b"EHLO [127.0.0.1]", b"STARTTLS"])

    async def test_starttls_is_refused(self) -> None:
        port = self.script(self.ordinary(STARTTLS=b"454 4.7.0 TLS not available\r\n"))
        words = "the server refused STARTTLS: 454 4.7.0 TLS not available"
        await self.refused(mail(port, user=USER, password=PASSWORD), words, 454)
        self.assertNotIn(b"AUTH", b"".join((await self.ended())[:2]))

    async def test_garbage_in_place_of_tls(self) -> None:
        def garble(server: Scripted) -> None:
            server.transport.write(b"220 go\r\n")
            reactor.callLater(0.1, server.transport.write, b"garbage\r\n" * 10)

        answer = await self.send(mail(self.script(self.ordinary(STARTTLS=garble))))
        self.assertTrue(answer.words.startswith("TLS: "), answer.words)
        await self.ended()

    async def stuck(self, command: str, answer: bytes = b"", **more: Any) -> ReceiverAnswer:
        """Send to a server that does not go on after a command, until the time is over."""
        self.patch(smtp, "SEND_TIMEOUT", 60.0)
        reached: Deferred[None] = Deferred()

        def stop(server: Scripted) -> None:
            server.transport.write(answer)
            reached.callback(None)

        port = self.script(self.ordinary(**{command: stop}))
        sending = Deferred.fromCoroutine(self.send(mail(port, **more)))
        await reached
        hurry()
        outcome = await sending
        await self.ended()
        return outcome

    async def test_a_server_that_hangs(self) -> None:
        """A try takes ten seconds at most; then the connection is gone. Some lines do not prolong it."""
        self.assertEqual(smtp.SEND_TIMEOUT, 10.0)
        for command in ("GREETING", "EHLO", "STARTTLS", "AUTH", "RCPT", "DATA", "."):
            for line in (b"", b"250-wait\r\n"):
                answer = await self.stuck(command, line, user=USER, password=PASSWORD)
                self.assertEqual(answer, ReceiverAnswer(False, 0, "no answer in time"))

    async def test_a_server_that_says_too_much(self) -> None:
        port = self.script(self.ordinary(EHLO=b"250-x\r\n" * 100_000))
        await self.refused(mail(port), "its answer is not SMTP's: the server says too much")
        await self.ended()

    async def test_a_connection_that_does_not_end(self) -> None:
        """Once the server took the message, it is taken, and not sent again."""
        self.patch(smtp, "end", lambda _transport: None)
        answer = await self.stuck("QUIT")
        self.assertEqual(answer, ReceiverAnswer(True, 250, "250 ok"))

    async def test_the_port_of_tls(self) -> None:
        """A server that waits for TLS says nothing: the words guess why."""
        sender = smtp.MailSender(mail(465), reactor, self.authority.trust_root, lambda: NOW)
        silent = self.script(self.ordinary(GREETING=lambda _server: hurry()))
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{silent}")
        self.patch(smtp, "client_endpoint", lambda *_more: endpoint)
        self.patch(smtp, "SEND_TIMEOUT", 60.0)
        answer = await sender.send(OFFLINE)
        self.assertIn('is tls = "tls" meant?', answer.words)
        await self.ended()

    async def test_a_connection_that_breaks(self) -> None:
        """At each command: the words say so, and another try may help."""

        def drop(server: Scripted) -> None:
            server.transport.abortConnection()

        for command in ("GREETING", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "."):
            port = self.script(self.ordinary(**{command: drop}))
            words = "the connection broke before the server took the message"
            await self.refused(mail(port, user=USER, password=PASSWORD), words)

    async def test_replies_that_are_none(self) -> None:
        """They are refusals, whatever they are; no exception reaches the log (trial would tell)."""
        success = b"250-\r\n250 \r\n"  # of the commands that wait for one, it is right
        replies = (b"hello\r\n", b"\r\n", b"\xff\xfe\r\n", success, b"999 \xff\r\n", b"x" * 70_000)
        for command in ("GREETING", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "."):
            for reply in replies:
                port = self.script(self.ordinary(**{command: reply}))
                answer = await self.send(mail(port, user=USER, password=PASSWORD))
                taken = reply == success and command in ("MAIL", "RCPT", ".")
                self.assertEqual(answer.accepted, taken, (command, reply[:9], answer))
                self.assertTrue(answer.words.isprintable())
                await self.ended()

    async def test_greetings_that_refuse(self) -> None:
        port = self.script(self.ordinary(GREETING=b"554-no mail\r\n554 here\r\n"))
        await self.refused(
            mail(port), "the server refused the connection: 554 no mail here", 554, retry=False
        )
        port = self.script(self.ordinary(EHLO=b"502 what\r\n"))
        words = "the server does not know EHLO, without which there is no TLS"
        await self.refused(mail(port), words, retry=False)

    async def test_no_answer_and_no_log_has_the_password(self) -> None:
        """A server that gives back what it got does not make it known."""
        lines: list[str] = []

        def observe(event: Any) -> None:
            lines.append(f"{formatEvent(event)} {event.get('log_failure')}")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

        def echo(server: Scripted) -> None:
            server.transport.write(b"535 no: %b %b\r\n" % (server.lines[-1], PASSWORD.encode()))

        port = self.script(self.ordinary(AUTH=echo))
        answer = await self.send(mail(port, user=USER, password=PASSWORD))
        words = "the server refused user and password: 535 no: AUTH PLAIN *** ***"
        self.assertEqual(answer, ReceiverAnswer(False, 535, words, retry=False))
        await self.ended()
        given = mail(port, user=USER, password=PASSWORD)
        login = b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
        for shown in (repr(given), repr(AlertSettings(ReceiverKind.EMAIL, mail=given)), *lines):
            self.assertNotIn("P4ss", shown)
            self.assertNotIn(login[-12:], shown)

    async def test_it_can_be_cancelled(self) -> None:
        """Who waits for an answer no more ends the connection."""
        port = self.script(self.ordinary(RCPT=b""))
        sending = Deferred.fromCoroutine(self.send(mail(port)))
        while not self.connections or b"RCPT" not in b"".join(self.connections[0].lines):
            waiting: Deferred[None] = Deferred()
            reactor.callLater(0.01, waiting.callback, None)
            await waiting
        sending.cancel()
        self.assertFalse((await sending).accepted)
        await self.ended()


class MailTextTests(SynchronousTestCase):
    @given(TEXTS, TEXTS)
    @settings(max_examples=150, deadline=None)
    def test_any_message(self, title: str, text: str) -> None:
        """It has the headers that it should have and no others, in ASCII, and the text is read back."""
        written, sender, recipients = smtp.mail_text(mail(1), AlertMessage(title, text), NOW)
        self.assertTrue(written.isascii())
        read = BytesParser(policy=email.policy.default).parsebytes(written)
        names = ["Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted"]
        self.assertEqual(read.keys()[:6], names)
        self.assertEqual(set(read.keys()[6:]), {"MIME-Version", "Content-Type", "Content-Transfer-Encoding"})
        self.assertEqual((sender, recipients), (USER, ["me@example.org"]))
        self.assertEqual(read.defects, [])

    def test_addresses(self) -> None:
        """Names are shown; what is no address is refused, and no line break gets in."""
        given = mail(1, sender="告警 <a@example.org>", to=('"Me, myself" <b@example.org>',))
        written, sender, recipients = smtp.mail_text(given, OFFLINE, NOW)
        read = BytesParser(policy=email.policy.default).parsebytes(written)
        self.assertEqual(read["From"], "告警 <a@example.org>")
        self.assertEqual(read["To"], '"Me, myself" <b@example.org>')
        self.assertEqual((sender, recipients), ("a@example.org", ["b@example.org"]))
        for wrong in (
            "",
            "a",
            "a@",
            "@b",
            "a@b\r\nRCPT TO:<c@d>",
            "a b@c",
            "密@example.org",
            "a@b,c@d",
            "a@b>x<c",
        ):
            for more in ({"sender": wrong}, {"to": ("me@example.org", wrong)}):
                self.assertRaises(UnusableReceiver, smtp.mail_text, mail(1, **more), OFFLINE, NOW)
        self.assertRaises(UnusableReceiver, smtp.mail_text, mail(1, to=()), OFFLINE, NOW)

    @given(st.text(max_size=30))
    @settings(max_examples=200, deadline=None)
    def test_any_address(self, address: str) -> None:
        """It is refused, or one that SMTP can have."""
        try:
            _written, sender, _recipients = smtp.mail_text(mail(1, sender=f"{address}@b"), OFFLINE, NOW)
        except UnusableReceiver:
            return
        self.assertRegex(sender, r"\A[!-~]+@b\Z")
