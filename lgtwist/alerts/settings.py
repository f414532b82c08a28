"""One of ``[[alerts]]``: its keys, and what each kind of receiver needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Any
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from attrs import Factory, field, frozen

from lgtwist.alerts.alert import Rule
from lgtwist.alerts.answers import secrets_of_url
from lgtwist.alerts.templates import check_template
from lgtwist.config.authorities import Authorities
from lgtwist.config.section import Section
from lgtwist.config.values import InvalidValue, choice, duration, host, text, token, url, whole_number

#: Where Telegram's bots are, and where the app Bark is told.
TELEGRAM_BASE, BARK_BASE = "https://api.telegram.org", "https://api.day.app"
#: The port of mail by TLS from the start, and that of mail by STARTTLS (RFC 8314, 3.3; RFC 6409, 3.1).
_TLS_PORT, _STARTTLS_PORT = 465, 587


class ReceiverKind(Enum):
    """Whose format a message is sent in; the values are those of ``kind``."""

    WEBHOOK = "webhook"
    FEISHU = "feishu"
    DINGTALK = "dingtalk"
    WECOM = "wecom"
    TELEGRAM = "telegram"
    NTFY = "ntfy"
    BARK = "bark"
    SERVERCHAN = "serverchan"
    EMAIL = "email"


@frozen
class MailSettings:
    """What ``kind = "email"`` has beside the others' keys.

    :ivar implicit_tls: whether ``tls`` is ``"tls"``: the connection begins with TLS; else with STARTTLS.
    :ivar password: None where the server asks for none.
    """

    server: str
    port: int
    implicit_tls: bool
    user: str | None
    password: str | None = field(repr=False)
    sender: str
    to: tuple[str, ...]


@frozen
class AlertSettings:
    """One of ``[[alerts]]``: what is told, and to whom.

    :ivar url: where it is sent; a secret. Empty for e-mail.
    :ivar secret: what signs the message, or the token of Telegram's bot or of ntfy; None for none.
    :ivar to: the chat of Telegram, or the topic of ntfy, where the URL does not have it; else empty.
    :ivar accounts: the numbers of the accounts that it is about; None for all.
    :ivar bots: the names of the bots that it is about; None for all.
    :ivar on: what it is told of.
    :ivar after: seconds that an account must be offline, or a bot away, before it is told.
    :ivar backlog: events that must wait for a bot before it is told.
    :ivar trust_root: authorities of the receiver's certificate; None for the system's.
    :ivar template: the webhook's body; None for all that is known, as one JSON object.
    :ivar language: ``zh`` or ``en``.
    """

    kind: ReceiverKind
    url: str = field(default="", repr=False)
    secret: str | None = field(default=None, repr=False)
    to: str = field(default="", repr=False)
    accounts: tuple[int, ...] | None = None
    bots: tuple[str, ...] | None = None
    on: frozenset[Rule] = Factory(lambda: frozenset(Rule))
    after: float = 120.0
    backlog: int = 1000
    template: str | None = None
    language: str = "zh"
    mail: MailSettings | None = None
    trust_root: Authorities | None = field(default=None, repr=False)

    def secrets(self) -> frozenset[str]:
        """Return what must not be shown: the URL, the keys and tokens in it, the secret, the password."""
        found = {self.secret or "", "" if self.mail is None else self.mail.password or ""}
        if urlsplit(self.url).path.strip("/") or urlsplit(self.url).query:
            found |= {self.url, *_secret_parts(self.url)}
        if self.kind is ReceiverKind.NTFY and len(self.to) >= _LONG_PART:
            found.add(self.to)
        return frozenset(one for one in found if one)


#: Characters from which a part of a URL's path or query that has a digit, or has none, is taken for a secret.
_LONG_PART, _LONG_WORD = 8, 16


def _secret_parts(address: str) -> set[str]:
    """Return the parts of a URL's path and query that may be secret, without those that look like words."""
    return {
        part
        for part in secrets_of_url(address)
        if len(part) >= _LONG_WORD or (len(part) >= _LONG_PART and re.search("[0-9]", part))
    }


# -- reading

_read_url = url("http", "https")
_self_id = whole_number(1, 2**63 - 1)
_ADDRESS = re.compile(r"[^\s@<>,;\"]{1,64}@[^\s@<>,;\"]{1,253}")
_NAMED_ADDRESS = re.compile(rf"{_ADDRESS.pattern}|[^<>,;@]{{0,200}}<{_ADDRESS.pattern}>")
_TELEGRAM_TOKEN = re.compile(r"[0-9]{3,20}:[A-Za-z0-9_-]{10,100}")
#: Of a server that stands in for Telegram's, which may have tokens of its own.
_ANY_TELEGRAM_TOKEN = re.compile(r"[A-Za-z0-9:_.~-]{1,200}")
_SENDKEY = re.compile(r"SCT[A-Za-z0-9]{6,200}|sctp([0-9]{1,10})t[A-Za-z0-9]{6,200}")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,64}")

#: What ``kind = "email"`` has, and no other kind.
_MAIL_KEYS = ("server", "port", "tls", "user", "password", "password_file", "sender")
#: By kind how the URL looks.
_EXAMPLES = {
    ReceiverKind.WEBHOOK: "http://127.0.0.1:9000/alerts",
    ReceiverKind.FEISHU: "https://open.feishu.cn/open-apis/bot/v2/hook/...",
    ReceiverKind.DINGTALK: "https://oapi.dingtalk.com/robot/send?access_token=...",
    ReceiverKind.WECOM: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=...",
    ReceiverKind.NTFY: "https://ntfy.sh/my-topic",
    ReceiverKind.BARK: "https://api.day.app/...",
    ReceiverKind.SERVERCHAN: "https://sctapi.ftqq.com/SCT....send",
}
#: The hosts of the services themselves.
_OWN_HOSTS = frozenset(
    {
        "api.telegram.org",
        "oapi.dingtalk.com",
        "open.feishu.cn",
        "open.larksuite.com",
        "qyapi.weixin.qq.com",
        "sctapi.ftqq.com",
        "sc.ftqq.com",
    }
)
#: The kinds whose ``secret`` means something.
_WITH_SECRET = frozenset(ReceiverKind) - {ReceiverKind.WECOM, ReceiverKind.EMAIL}


def read_alert(section: Section) -> AlertSettings:
    """Read one of ``[[alerts]]``; mistakes are collected in the section."""
    name = section.read("kind", choice(tuple(kind.value for kind in ReceiverKind)))
    kind = None if name is None else ReceiverKind(name)
    on = section.read_list("on", choice(tuple(rule.value for rule in Rule)), _ALL_RULES, at_least=1)
    accounts = section.read_list("accounts", _self_id, (), at_least=1 * section.has("accounts"))
    bots = section.read_list("bots", text, (), at_least=1 * section.has("bots"))
    after = section.read("after", duration(1, 7 * 86400), "2m")
    backlog = section.read("backlog", whole_number(1, 1_000_000_000), 1000)
    language = section.read("language", choice(("zh", "en")), "zh")
    template = _optional(section, "template", _template)
    trust_root = section.read_certificates("ca_file")
    address, secret, to, mail = "", None, "", None
    if kind is None:
        _note_keys(section)
    elif kind is ReceiverKind.EMAIL:
        mail = _read_mail(section)
        _only(section, ("url", "url_file"), 'e-mail goes to "server", without a URL')
        _only(
            section, ("secret", "secret_file"), "the password of e-mail goes into password or password_file"
        )
    else:
        address, secret, to = _read_receiver(section, kind)
        _only(section, _MAIL_KEYS, 'is for kind = "email"')
    if template is not None and kind is not ReceiverKind.WEBHOOK:
        section.add_problem("template", 'is for kind = "webhook"; the others have formats of their own')
    section.finish()
    return AlertSettings(
        kind=kind or ReceiverKind.WEBHOOK,
        url=address,
        secret=secret,
        to=to,
        accounts=accounts or None,
        bots=bots or None,
        on=frozenset(map(Rule, on)),
        after=after or 120.0,
        backlog=backlog or 1000,
        template=template,
        language=language or "zh",
        mail=mail,
        trust_root=trust_root,
    )


_ALL_RULES = tuple(rule.value for rule in Rule)


def _optional(section: Section, key: str, reader: Callable[[Any], Any]) -> Any:
    """Read a key that need not be there; return None where it is not."""
    return section.read(key, reader if section.has(key) else lambda value: value, None)


def _template(value: Any) -> str:
    """Read the body of a webhook; it may have several lines."""
    if not isinstance(value, str):
        raise InvalidValue('expected a string, JSON with names such as "{text}" in it')
    mistakes = check_template(value)
    if mistakes:
        raise InvalidValue("; ".join(mistakes[:5]))
    return value


def _note_keys(section: Section) -> None:
    """Note the keys of all kinds as known: without a kind nobody can say which are wrong."""
    for key in ("url", "url_file", "secret", "secret_file", "to", "chat_id", "topic", *_MAIL_KEYS):
        section.read(key, lambda value: value, None)


def _only(section: Section, keys: tuple[str, ...], sentence: str) -> None:
    """Report keys of other kinds."""
    for key in keys:
        if section.has(key):
            section.read(key, lambda value: value)
            section.add_problem(key, sentence)


def _read_receiver(section: Section, kind: ReceiverKind) -> tuple[str, str | None, str]:
    """Return the URL, the secret, and whom it is for; the empty string or None where there is none."""
    secret = section.read_secret("secret", token)
    if secret is not None and kind not in _WITH_SECRET:
        section.add_problem("secret", f'kind = "{kind.value}" has none: its key stands in the URL')
    to = _read_to(section, kind)
    given = section.has("url") or section.has("url_file")
    if kind is ReceiverKind.TELEGRAM and not given:
        address: str | None = TELEGRAM_BASE
    elif kind is ReceiverKind.BARK and not given and secret is not None:
        address = BARK_BASE
    elif kind is ReceiverKind.SERVERCHAN and not given and secret is not None:
        address, secret = _sendkey_url(section, secret), None
    else:
        address = section.read_secret("url", _url_of(kind))
        if not given:
            section.add_problem("url", f'is missing; that of kind = "{kind.value}" is as {_EXAMPLES[kind]}')
    if address is None or not address:
        return "", secret, to
    _check_needs(section, kind, address, secret)
    return address, secret, to


def _url_of(kind: ReceiverKind) -> Callable[[Any], str]:
    """Return a reader of a kind's URL. No error shows it."""

    def read(value: Any) -> str:
        if kind is ReceiverKind.SERVERCHAN and isinstance(value, str) and _SENDKEY.fullmatch(value.strip()):
            return sendkey_url(value.strip())
        try:
            address = _read_url(value)
        except InvalidValue as error:
            example = _EXAMPLES.get(kind, TELEGRAM_BASE)
            raise InvalidValue(str(error).replace("http://127.0.0.1:3001/", example)) from None
        wrong = _what_is_missing(kind, address)
        if wrong:
            raise InvalidValue(f"expected a URL such as {_EXAMPLES[kind]}; {wrong}")
        return address

    return read


def _what_is_missing(kind: ReceiverKind, address: str) -> str:
    """Return what a kind's URL lacks; empty if it has all.

    Of the services' own hosts all is known; a proxy, or a server of one's own, may have other paths.
    """
    parts = urlsplit(address)
    if (parts.hostname or "").lower() not in _OWN_HOSTS:
        return ""
    query = parse_qs(parts.query)
    pieces = [piece for piece in parts.path.split("/") if piece]
    if kind is ReceiverKind.DINGTALK and "access_token" not in query:
        return "access_token=... is missing in it"
    if kind is ReceiverKind.WECOM and "key" not in query:
        return "key=... is missing in it"
    if kind is ReceiverKind.FEISHU and (not pieces or pieces[-1] == "hook"):
        return "what stands behind /hook/ is missing in it"
    return ""


def _check_needs(section: Section, kind: ReceiverKind, address: str, secret: str | None) -> None:
    """Report what a kind needs beside its URL, where the URL does not have it."""
    parts = urlsplit(address)
    has_to = any(map(section.has, ("to", "chat_id", "topic")))
    has_secret = section.has("secret") or section.has("secret_file")
    if kind is ReceiverKind.SERVERCHAN and not has_secret and not _is_sending(parts):
        section.add_problem(
            "url", f"expected a URL such as {_EXAMPLES[kind]}; it ends with the send key and .send"
        )
    if kind is ReceiverKind.BARK and not has_secret and not parts.path.strip("/"):
        section.add_problem(
            "url", f"expected a URL such as {_EXAMPLES[kind]}; the key of the device is missing in it"
        )
    if kind is ReceiverKind.TELEGRAM:
        wanted = _TELEGRAM_TOKEN if (parts.hostname or "").lower() in _OWN_HOSTS else _ANY_TELEGRAM_TOKEN
        if not has_secret and _telegram_token(parts.path, wanted) is None:
            section.add_problem("secret", "is missing: the bot's token, as 123456:ABC..., from @BotFather")
        elif secret is not None and not wanted.fullmatch(secret.removeprefix("bot")):
            section.add_problem("secret", "expected the token of a bot, as 123456:ABC..., from @BotFather")
        if not has_to and "chat_id" not in parse_qs(parts.query):
            section.add_problem("to", "is missing: the number of the chat, or @ and the name of a channel")
    if kind is ReceiverKind.NTFY and not has_to and not parts.path.strip("/"):
        section.add_problem("to", "is missing: the topic, where the URL does not end with it")


def _is_sending(parts: SplitResult) -> bool:
    """Return whether a URL has more than a host, and of ServerChan's own hosts ends as theirs do."""
    last = parts.path.rstrip("/").rpartition("/")[2]
    own = (parts.hostname or "").lower()
    if own in _OWN_HOSTS or own.endswith(".push.ft07.com"):
        return last.endswith(".send") and len(last) > len(".send")
    return bool(last)


def _telegram_token(path: str, wanted: re.Pattern[str]) -> str | None:
    """Return the token in the path ``/bot<token>/...`` of a URL; None if it has none."""
    for piece in path.split("/"):
        if piece.startswith("bot") and wanted.fullmatch(unquote(piece[3:])):
            return unquote(piece[3:])
    return None


def sendkey_url(key: str) -> str:
    """Return the URL of a send key of ServerChan: of Turbo (``SCT...``) or of version 3 (``sctp<N>t...``).

    :param key: one that fits either.
    """
    found = _SENDKEY.fullmatch(key)
    if found is not None and found[1]:
        return f"https://{found[1]}.push.ft07.com/send/{key}.send"
    return f"https://sctapi.ftqq.com/{key}.send"


def _sendkey_url(section: Section, key: str) -> str:
    if _SENDKEY.fullmatch(key):
        return sendkey_url(key)
    section.add_problem("secret", "expected a send key, as SCT... or sctp123t...")
    return ""


def _read_to(section: Section, kind: ReceiverKind) -> str:
    """Read ``to``, or what it is called where it is said in the service's own words."""
    other = {ReceiverKind.TELEGRAM: "chat_id", ReceiverKind.NTFY: "topic"}.get(kind)
    if other is None:
        _only(section, ("to", "chat_id", "topic"), 'is for kind = "telegram", "ntfy" or "email"')
        return ""
    reader = _chat if kind is ReceiverKind.TELEGRAM else _topic
    _only(section, ("topic",) if other == "chat_id" else ("chat_id",), f'kind = "{kind.value}" has {other}')
    if section.has("to") and section.has(other):
        section.add_problem(other, "to is given too; they mean the same")
    values = [_optional(section, key, reader) for key in ("to", other)]
    return next((value for value in values if value), "")


def _only_one(value: Any) -> Any:
    """Return what a list of one holds: ``to`` may be a list for e-mail."""
    return value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value


def _chat(value: Any) -> str:
    """Read a chat of Telegram: a number, or the name of a channel."""
    value = _only_one(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}|@[A-Za-z0-9_]{1,64}", value):
        return value
    raise InvalidValue('expected the number of a chat, as -1001234567890, or "@" and the name of a channel')


def _topic(value: Any) -> str:
    """Read a topic of ntfy."""
    value = _only_one(value)
    if isinstance(value, str) and _TOPIC.fullmatch(value):
        return value
    raise InvalidValue("expected a topic: up to 64 letters, digits, - and _")


def _mailbox(value: Any) -> str:
    """Read the address of a mailbox, which may have a name: ``Bots <bots@example.org>``."""
    found = _NAMED_ADDRESS.fullmatch(value) if isinstance(value, str) and value.isprintable() else None
    if found is None:
        raise InvalidValue('expected an address such as "me@example.org"')
    return found[0]


def _server(value: Any) -> str:
    """Read the host of a mail server; its port is a key of its own."""
    found = host(value)
    if re.search(r":[0-9]+\Z", found) and not found.endswith("]"):
        raise InvalidValue("expected the host alone; its port goes into port")
    return found.strip("[]")


def _read_mail(section: Section) -> MailSettings | None:
    server = section.read("server", _server)
    port = _optional(section, "port", whole_number(1, 65535))
    tls = section.read("tls", choice(("starttls", "tls")), "tls" if port == _TLS_PORT else "starttls")
    password = section.read_secret("password", token)
    user = _optional(section, "user", text)
    if user is not None and not (section.has("password") or section.has("password_file")):
        section.add_problem("password", "is missing: that of user; with QQ and 163 an authorisation code")
    if section.has("sender") or not _ADDRESS.fullmatch(user or ""):
        sender = section.read("sender", _mailbox)
    else:
        sender = _optional(section, "sender", _mailbox) or user
    if section.has("to") and section.peek_list("to") is None:
        to = tuple(one for one in [section.read("to", _mailbox)] if one)
    elif section.has("to"):
        to = section.read_list("to", _mailbox, (), at_least=1)
    else:
        to = ()
        section.read("to", _mailbox)
    _only(section, ("chat_id", "topic"), 'kind = "email" has to')
    if server is None or tls is None or sender is None or not to:
        return None
    return MailSettings(
        server=server,
        port=port or (_TLS_PORT if tls == "tls" else _STARTTLS_PORT),
        implicit_tls=tls == "tls",
        user=user or (sender if password is not None else None),
        password=password,
        sender=sender,
        to=to,
    )
