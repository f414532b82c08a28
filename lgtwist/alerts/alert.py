"""What the rules find, what is sent of it, and what the receiver answered. Pure."""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import Factory, frozen


class Rule(Enum):
    """What is looked at; the values are those of ``on`` in ``[[alerts]]``."""

    OFFLINE = "offline"  # an account is not online
    AWAY = "away"  # a bot is not connected
    BACKLOG = "backlog"  # more events wait for an at-least-once bot than should
    LOST = "lost"  # events were lost
    JOURNAL = "journal"  # the journal cannot be written
    TOKENS = "tokens"  # somebody guesses tokens


@frozen
class Alert:
    """One thing that begins to be wrong, or is right again.

    :ivar subject: the account's number or the bot's name as text; empty where it is about neither.
    :ivar begins: False if it is right again.
    :ivar since: when it began to be as it is now, seconds since the epoch.
    :ivar reason: why, in a sentence, where it is known.
    :ivar values: what else is known, such as ``{"backlog": 1200}``; for the webhook and its template.
    """

    rule: Rule
    subject: str
    begins: bool
    since: float
    reason: str = ""
    values: dict[str, Any] = Factory(dict)


@frozen
class AlertMessage:
    r"""What is sent: one alert, or a digest of several.

    :ivar title: one line.
    :ivar text: for people; its lines are separated by ``\n``.
    :ivar alerts: what it tells of; empty for a test.
    """

    title: str
    text: str
    alerts: tuple[Alert, ...] = ()


@frozen
class ReceiverAnswer:
    """What a receiver answered to a message.

    :ivar accepted: whether it took the message.
    :ivar status: of HTTP, or of SMTP; 0 where there was none.
    :ivar words: what it said or why it could not be asked, at most 200 characters, without secrets.
    :ivar retry: False if another try cannot help, as nothing can be sent at all, or a mail server refuses for
        good; whatever a receiver answers over HTTP may be another the next time.
    :ivar retry_after: seconds that it asks to wait before another try; None if it does not say.
    """

    accepted: bool
    status: int
    words: str
    retry: bool = True
    retry_after: float | None = None
