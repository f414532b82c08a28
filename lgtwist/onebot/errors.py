"""Errors with which lgtwist itself ends a call, and their retcodes.

::

    OneBotError
     ├── BadRequest       1400  not JSON, not an action, a wrong parameter
     ├── Forbidden        1403  this bot may not use the action
     ├── UnknownAction    1404  no such action
     ├── TooManyCalls     1429  too many calls in flight, or over the rate limit
     ├── AccountFailed    1500  the implementation failed and did not say how
     ├── NotConnected     1501  not sent: the account is not connected
     ├── LinkBroken       1502  sent, then the connection was lost: may have been carried out
     └── CallTimeout      1504  sent, no response in time: may have been carried out

1400 to 1404 are those of OneBot 11 (``communication/ws.md``, 14xx for the HTTP status 4xx); from 1429 on
they are lgtwist's own.
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
    """The payload is not JSON, not an action, or a parameter is missing or of the wrong type.

    :param echo: the ``echo`` of the payload, where it could be read.
    """

    retcode = 1400

    def __init__(self, sentence: str, echo: bytes | None = None) -> None:
        super().__init__(sentence)
        self.echo = echo


class OverBound(BadRequest):
    """A message is over one of :mod:`lgtwist.onebot.bounds`; the sentence names it."""


class Forbidden(OneBotError):
    """The bot may not use this action."""

    retcode = 1403


class UnknownAction(OneBotError):
    """The account has no such action."""

    retcode = 1404


class TooManyCalls(OneBotError):
    """The bot has too many calls in flight, or exceeds its rate limit."""

    retcode = 1429


class AccountFailed(OneBotError):
    """The implementation failed without saying why."""

    retcode = 1500


class NotConnected(OneBotError):
    """The account is not connected; the action was not sent."""

    retcode = 1501


class LinkBroken(OneBotError):
    """The connection was lost after the action was sent; the action may have been carried out."""

    retcode = 1502


class CallTimeout(OneBotError):
    """No response came within the time limit; the action may have been carried out."""

    retcode = 1504
