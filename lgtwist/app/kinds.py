"""The kinds of accounts and bots: for each name of ``type`` and ``connection`` the module that serves it.

A new kind is one module with what :class:`AccountKind` or :class:`BotKind` names, and one line here.
"""

from __future__ import annotations

from typing import Any, Protocol

from lgtwist.accounts import http, websocket_client, websocket_server
from lgtwist.bots import webhook
from lgtwist.bots import websocket_client as bot_websocket_client
from lgtwist.bots import websocket_server as bot_websocket_server
from lgtwist.config.section import Section
from lgtwist.sandbox import account as sandbox


class AccountKind(Protocol):
    """What a module that serves a kind of accounts has.

    The settings that it reads have an attribute ``dialect``.
    """

    @property
    def make(self) -> Any:
        """Make the edge: ``make(account, settings, resources) -> IEdge``."""

    def read(self, section: Section, /) -> Any:
        """Read the kind's own keys of ``[[accounts]]``; mistakes are collected in the section."""

    def describe(self, settings: Any, self_id: int, base: str, /) -> str:
        """Return how the implementation is reached: the end of the account's line in the summary.

        :param base: the port's URL, as ``ws://127.0.0.1:8081``.
        """

    def key_needed_in_public(self, settings: Any, /) -> str | None:
        """Return the key without which strangers could pose as the implementation, if it is missing."""


class BotKind(Protocol):
    """What a module that serves a kind of bots has.

    :ivar DIALS_IN: whether the bot connects to our port.
    :ivar SENDS_TOKEN: whether the bot is shown its ``access_token`` when a link to it is made.
    """

    DIALS_IN: bool
    SENDS_TOKEN: bool

    @property
    def make(self) -> Any:
        """Make the edge: ``make(bot, settings, resources) -> IEdge``; it observes the directory."""

    def read(self, section: Section, /) -> Any:
        """Read the kind's own keys of ``[[bots]]``; mistakes are collected in the section."""

    def describe(self, settings: Any, bot: Any, urls: list[str], /) -> str:
        """Return how the bot is served: a part of its line in the summary.

        :param bot: the ``BotSettings``.
        :param urls: the port's URLs.
        """


ACCOUNT_KINDS: dict[str, AccountKind] = {
    "sandbox": sandbox,
    "forward-websocket": websocket_client,
    "reverse-websocket": websocket_server,
    "http": http,
}

BOT_KINDS: dict[str, BotKind] = {
    "forward-websocket": bot_websocket_server,
    "reverse-websocket": bot_websocket_client,
    "http-post": webhook,
}

#: Types of accounts that the contract names and a later version brings.
LATER_ACCOUNT_KINDS = ("milky",)
