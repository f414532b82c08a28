"""Sending messages by e-mail (RFC 5321): always over TLS whose certificate is verified.

It is imported only where ``[[alerts]]`` has a receiver by e-mail: Twisted's mail takes a while to import.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import formatdate, make_msgid, parseaddr
from io import BytesIO
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.protocol import connectionDone
from twisted.mail.smtp import (
    AUTHDeclinedError,
    AuthenticationError,
    AUTHRequiredError,
    EHLORequiredError,
    ESMTPSender,
    ESMTPSenderFactory,
    SMTPClientError,
    SMTPConnectError,
    SMTPDeliveryError,
    SMTPProtocolError,
    TLSError,
    TLSRequiredError,
)
from twisted.python.failure import Failure

from lgtwist.alerts.alert import AlertMessage, ReceiverAnswer
from lgtwist.alerts.answers import WordCleaner
from lgtwist.alerts.formats import SEND_TIMEOUT, UnusableReceiver, clean_message, cut_to_bytes, named_title
from lgtwist.alerts.settings import MailSettings
from lgtwist.net.client_endpoints import Verifying, client_endpoint, why_unreachable
from lgtwist.net.tls import end, tls_trouble

#: Bytes of a message's text, and characters of its subject.
_MAIL_BYTES, _MAIL_SUBJECT = 500_000, 200
#: Bytes of replies that a server may send in one conversation.
_MAX_REPLIES = 64 * 1024
#: Lines end with a line feed: Twisted writes them as SMTP wants them.
_MAIL_POLICY = EmailPolicy(linesep="\n", cte_type="7bit", max_line_length=78)
#: What an address has that every server takes, without quoted strings and comments.
_ADDRESS_TEXT = re.compile(r"[!#-'*+\-./0-9=?A-Z^-~]{1,64}@[A-Za-z0-9.\-\[\]:_]{1,253}")
#: The usual port of TLS from the begin on (RFC 8314, 3).
_SUBMISSIONS = 465


class MailSender:
    """Sends messages through one mail server.

    :param trust_root: who may sign the server's certificate; None for the system's authorities.
    :param now: returns the time in seconds since the epoch.
    """

    def __init__(
        self, settings: MailSettings, reactor: Any, trust_root: Any, now: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._reactor = reactor
        self._trust_root = trust_root
        self._now = now
        self._cleaner = WordCleaner(_secrets(settings))

    async def send(self, message: AlertMessage) -> ReceiverAnswer:
        """Send one message, once, to all addresses.

        It is accepted if the server takes it for one of them; the words name the others.
        """
        try:
            text, sender, recipients = mail_text(self._settings, message, self._now())
        except UnusableReceiver as error:
            return ReceiverAnswer(False, 0, str(error), retry=False)
        exchange = Deferred.fromCoroutine(self._exchange(text, sender, recipients))
        timer = self._reactor.callLater(SEND_TIMEOUT, exchange.cancel)
        try:
            answer = await exchange
        except Exception as error:
            answer = self._why_failed(error) if timer.active() else self._no_answer()
        finally:
            if timer.active():
                timer.cancel()
        return self._cleaner.clean(answer)

    async def _exchange(self, text: bytes, sender: str, recipients: list[str]) -> ReceiverAnswer:
        settings = self._settings
        result: Deferred[_Taken] = Deferred()
        factory = ESMTPSenderFactory(
            None if settings.user is None else settings.user.encode(),
            None if settings.password is None else settings.password.encode(),
            sender,
            recipients,
            BytesIO(text),
            result,
            retries=0,
            contextFactory=Verifying(settings.server.strip("[]"), self._trust_root),
            requireAuthentication=settings.user is not None,
            requireTransportSecurity=True,
        )
        factory.protocol = _AlertMail
        factory.noisy = False
        endpoint = client_endpoint(
            self._reactor, settings.server, settings.port, settings.implicit_tls, self._trust_root
        )
        protocol = await endpoint.connect(factory)
        try:
            taken = await result
        except BaseException:
            factory.sendFinished = True
            protocol.transport.abortConnection()
            raise
        protocol.finish()
        try:
            await protocol.lost
        except CancelledError:  # the message was taken all the same
            protocol.transport.abortConnection()
        return taken.answer()

    def _no_answer(self) -> ReceiverAnswer:
        words = "no answer in time"
        if not self._settings.implicit_tls and self._settings.port == _SUBMISSIONS:
            words += f'; servers begin with TLS at port {_SUBMISSIONS}: is tls = "tls" meant?'
        return ReceiverAnswer(False, 0, words)

    def _why_failed(self, error: Exception) -> ReceiverAnswer:
        """Return why a message was not sent."""
        if isinstance(error, SMTPClientError):
            return _why_refused(error)
        trouble = tls_trouble(error)
        if trouble:
            if self._settings.implicit_tls and "does not speak TLS" in trouble:
                trouble = 'TLS: the server does not begin with TLS: is tls = "starttls" meant?'
            return ReceiverAnswer(False, 0, trouble)
        if isinstance(error, (ConnectError, DNSLookupError)):
            return ReceiverAnswer(False, 0, why_unreachable(Failure(error)))
        if isinstance(error, ConnectionClosed):
            return ReceiverAnswer(False, 0, "the connection broke before the server took the message")
        return ReceiverAnswer(False, 0, f"the conversation failed ({type(error).__name__})")


class _Taken:
    """A message that the server took.

    :param code: of its last reply.
    :param words: of its last reply.
    :param each: the addresses, with code and words of the reply about each.
    """

    def __init__(self, code: int, words: bytes, each: Sequence[tuple[Any, int, bytes]]) -> None:
        self._code = code
        self._words = _reply(words)
        self._each = each

    def answer(self) -> ReceiverAnswer:
        """Return what it is for the caller."""
        refused = [
            f"{_recipient(recipient)}: {code} {_reply(words)}"
            for recipient, code, words in self._each
            if not _is_success(code)
        ]
        words = f"taken, but not for {'; '.join(refused)}" if refused else f"{self._code} {self._words}"
        return ReceiverAnswer(True, self._code, words)


class _AlertMail(ESMTPSender):
    """Sends one message and tells once how that went, also where the connection ends early.

    :ivar lost: fires when the connection is over.
    """

    #: Twisted's own record of the conversation has the password in it, and its errors have the record.
    debug = False
    factory: Any
    transport: Any

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.lost: Deferred[None] = Deferred()
        self._received = 0

    def connectionMade(self) -> None:
        """Begin: name ourselves by the address that we have (RFC 5321, 4.1.3)."""
        host = str(getattr(self.transport.getHost(), "host", "127.0.0.1")).partition("%")[0]
        self.identity = f"[IPv6:{host}]".encode() if ":" in host else f"[{host}]".encode()
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        """Read replies, up to a bound; what cannot be read ends the conversation."""
        self._received += len(data)
        try:
            if self._received > _MAX_REPLIES:
                raise SMTPProtocolError(-1, b"the server says too much")
            super().dataReceived(data)
        except Exception as error:
            self._tell(error)

    def esmtpState_starttls(self, code: int, resp: bytes) -> None:
        """Begin TLS; what was sent before it in the clear is nothing that the server says (RFC 3207, 6)."""
        if self.clearLineBuffer():
            self.sendError(TLSError(-1, b"the server went on in the clear after STARTTLS"))
            return
        super().esmtpState_starttls(code, resp)

    def esmtpTLSFailed(self, code: int = -1, resp: bytes | None = None) -> None:
        """Fail: the server knows STARTTLS, and refuses it now."""
        self.sendError(TLSError(code, resp or b"TLS cannot begin"))

    def smtpTransferFailed(self, code: int, resp: bytes) -> None:
        """Fail: the server refused a command, or answered it with a code that says nothing about it.

        Twisted would take a 250 in place of 354, before the message, for success.
        """
        if code < 400:
            self.sendError(SMTPProtocolError(code, resp))
        else:
            super().smtpTransferFailed(code, resp)

    def sendError(self, exc: Exception) -> None:
        """Tell that the message was not sent."""
        self._tell(exc)

    def sentMail(self, code: int, resp: bytes, numOk: int, addresses: Any, log: Any) -> None:
        """Tell that the message was sent, or refused."""
        if _is_success(code):
            self._tell(_Taken(code, resp, addresses))
        else:
            self._tell(SMTPDeliveryError(code, resp, None, addresses))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End: the connection is over."""
        super().connectionLost(reason)
        outcome: Any = reason.value
        self._tell(outcome)
        self.lost.callback(None)

    def finish(self) -> None:
        """Close the connection, politely."""
        self.sendLine(b"QUIT")
        end(self.transport)

    def _tell(self, outcome: _Taken | BaseException) -> None:
        if self.factory.sendFinished:
            return
        self.factory.sendFinished = True
        if isinstance(outcome, BaseException):
            self.factory.result.errback(outcome)
        else:
            self.factory.result.callback(outcome)


def mail_text(settings: MailSettings, message: AlertMessage, now: float) -> tuple[bytes, str, list[str]]:
    r"""Return a message in the format of RFC 5322, and the addresses of its sender and its receivers.

    Its lines end with ``\n``. Title and text are in UTF-8 (RFC 2047, RFC 2045).

    :raises UnusableReceiver: if an address cannot be used.
    """
    clean = clean_message(message)
    sender = _read_address(settings.sender, "lgtwist")
    recipients = [_read_address(one) for one in settings.to]
    if not recipients:
        raise UnusableReceiver("to has no address")
    mail = EmailMessage(_MAIL_POLICY)
    subject = named_title(clean)
    mail["Subject"] = subject if len(subject) <= _MAIL_SUBJECT else f"{subject[: _MAIL_SUBJECT - 1]}…"
    mail["From"] = sender
    mail["To"] = recipients
    mail["Date"] = formatdate(now, localtime=True)
    mail["Message-ID"] = make_msgid(domain=sender.domain)  # without a domain it would ask DNS
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834, 5: nobody's absence notice is wanted
    text = cut_to_bytes(clean.text or clean.title, _MAIL_BYTES)
    mail.set_content(f"{text}\n", charset="utf-8", cte="base64")
    return mail.as_bytes(), sender.addr_spec, [one.addr_spec for one in recipients]


def _read_address(text: str, name: str = "") -> Address:
    """Return an address such as ``a@example.org`` or ``Name <a@example.org>``.

    :param name: the one that is shown if there is none.
    :raises UnusableReceiver: if it is none, or has characters that not every server takes.
    """
    shown, address = parseaddr(text)
    plain = text.strip()
    whole = plain == address or plain.endswith(f"<{address}>")  # of a list, the parser gives the first
    wrong = UnusableReceiver(f'"{text[:80]}" is no e-mail address that every server takes')
    if not (text.isprintable() and whole and _ADDRESS_TEXT.fullmatch(address)):
        raise wrong
    try:
        return Address(display_name=shown or name, addr_spec=address)
    except Exception:  # the parser of addresses raises errors of many classes
        raise wrong from None


def _why_refused(error: SMTPClientError) -> ReceiverAnswer:
    """Return what the server has against a message, or against us."""
    code, reply = error.code, _reply(error.resp)
    said = f"{code} {reply}" if code > 0 else reply
    retry = not 500 <= code < 600
    if isinstance(error, TLSRequiredError):
        words, retry, code = "the server offers no STARTTLS; neither password nor message was sent", False, 0
    elif isinstance(error, AUTHRequiredError):
        ways = "CRAM-MD5, LOGIN, PLAIN"
        words, retry, code = f"the server offers no login that is known here ({ways})", False, 0
    elif isinstance(error, EHLORequiredError):
        words, retry, code = "the server does not know EHLO, without which there is no TLS", False, 0
    elif isinstance(error, (AUTHDeclinedError, AuthenticationError)):
        words = f"the server refused user and password: {said}"
    elif isinstance(error, TLSError):
        words = f"the server refused STARTTLS: {said}" if code > 0 else said
    elif isinstance(error, SMTPConnectError):
        words = f"the server refused the connection: {said}"
    elif isinstance(error, SMTPDeliveryError):
        addresses: Any = error.addresses or ()
        refused = [one for one in addresses if not _is_success(one[1])]
        if refused:
            recipient, code, reply_about = refused[0]
            words = f"the server refused {_recipient(recipient)}: {code} {_reply(reply_about)}"
            retry = any(not 500 <= one[1] < 600 for one in refused)
        else:
            words = f"the server refused the message: {said}"
    elif isinstance(error, SMTPProtocolError):
        words = f"its answer is not SMTP's: {said}"
    else:
        words = f"the server refused: {said}"
    return ReceiverAnswer(False, max(code, 0), words, retry)


def _is_success(code: int) -> bool:
    return 200 <= code < 300


def _reply(words: object) -> str:
    return words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)


def _recipient(recipient: object) -> str:
    return _reply(recipient)


def _secrets(settings: MailSettings) -> list[str]:
    """Return what must not be shown: the password, and how it is sent."""
    if not settings.password:
        return []
    user, password = settings.user or "", settings.password
    sent = (password, f"\0{user}\0{password}", f"{user}\0{user}\0{password}")
    return [password, *(b64encode(one.encode()).decode("ascii") for one in sent)]
