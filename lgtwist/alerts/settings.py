"""One of ``[[alerts]]``."""

from __future__ import annotations

from enum import Enum

from attrs import Factory, field, frozen

from lgtwist.alerts.alert import Rule


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
