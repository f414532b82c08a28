"""Where the parts of this room, and the application, meet."""

from __future__ import annotations

from typing import Protocol

from attrs import Factory, frozen

from lgtwist.alerts.alert import AlertMessage, ReceiverAnswer


@frozen
class AccountFact:
    """How an account is.

    :ivar since: when it became so, seconds since the epoch.
    :ivar reason: why it is offline, if that is known.
    """

    online: bool
    since: float
    reason: str = ""


@frozen
class BotFact:
    """How a bot is.

    :ivar since: when it became so, seconds since the epoch.
    :ivar reason: why it is away, if that is known.
    """

    connected: bool
    since: float
    reason: str = ""


@frozen
class BacklogFact:
    """What waits for an at-least-once bot, of one account.

    :ivar oldest: when the first event that waits happened, seconds since the epoch.
    """

    bot: str
    account: int
    events: int
    oldest: float | None


@frozen
class Facts:
    """What the rules look at, at one moment.

    :ivar accounts: by number.
    :ivar bots: by name.
    :ivar backlogs: of at-least-once bots.
    :ivar lost: how many events were lost since the start, by cause and by the name of the bot that they were
        for, which is empty where that is no single one; without those of which there are none.
    :ivar journal: what is wrong with the journal, in a sentence; empty if nothing is.
    :ivar wrong_tokens: how many requests with a wrong token were refused since the start, by address.
    """

    accounts: dict[int, AccountFact] = Factory(dict)
    bots: dict[str, BotFact] = Factory(dict)
    backlogs: tuple[BacklogFact, ...] = ()
    lost: dict[tuple[str, str], int] = Factory(dict)
    journal: str = ""
    wrong_tokens: dict[str, int] = Factory(dict)


class FactSource(Protocol):
    """Tells what is the case now."""

    def facts(self) -> Facts:
        """Return what is the case now. It is asked once a second at most, and only while rules ask for it."""


class AlertSender(Protocol):
    """Sends messages to one receiver, in its format."""

    async def send(self, message: AlertMessage) -> ReceiverAnswer:
        """Send one message, once; whatever happens is told by what is returned, within 10 seconds."""
