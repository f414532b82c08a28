"""What a call can end with, other than an answer of the implementation.

::

    OneBotError
     ├── BadRequest       1400  not JSON, not an action, a wrong parameter
     ├── Forbidden        1403  this bot may not do this
     ├── UnknownAction    1404  no such action
     ├── TooManyCalls     1429  too many calls in flight, or over the rate
     ├── AccountFailed    1500  the implementation failed and did not say how
     ├── NotConnected     1501  not sent: the account is not connected
     ├── LinkBroken       1502  sent, then the link broke: may have been carried out
     └── CallTimeout      1504  sent, no answer in time: may have been carried out

The numbers are those of the OneBot 11 standard (``communication/ws.md``, 14xx as over HTTP) and, from
1429 on, lgtwist's own.
"""

from __future__ import annotations

from typing import ClassVar


class OneBotError(Exception):
    """A call that failed inside lgtwist; the argument is a sentence for the bot's author."""

    retcode: ClassVar[int] = 1500

    @property
    def sentence(self) -> str:
        """The sentence that the bot reads as ``message`` and ``wording``."""
        return str(self.args[0]) if self.args else type(self).__name__


class BadRequest(OneBotError):
    """The text is not JSON, not an action, or a parameter is missing or of the wrong type."""

    retcode = 1400

    def __init__(self, sentence: str, echo: bytes | None = None) -> None:
        super().__init__(sentence)
        self.echo = echo


class Forbidden(OneBotError):
    """The bot may not use this action."""

    retcode = 1403


class UnknownAction(OneBotError):
    """The account knows no such action."""

    retcode = 1404


class TooManyCalls(OneBotError):
    """The bot has too many calls in flight, or is over its rate."""

    retcode = 1429


class AccountFailed(OneBotError):
    """The implementation failed in a way it did not explain."""

    retcode = 1500


class NotConnected(OneBotError):
    """The account is not connected; the action was not sent."""

    retcode = 1501


class LinkBroken(OneBotError):
    """The link to the account broke after the action was sent; it may have been carried out."""

    retcode = 1502


class CallTimeout(OneBotError):
    """No answer within the time limit; the action may have been carried out."""

    retcode = 1504
