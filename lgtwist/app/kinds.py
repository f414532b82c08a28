"""The kinds of accounts and bots: the module for each value of ``type`` and of ``connection``.

A new kind is one module that fits :class:`AccountKind` or :class:`BotKind`, and one line here.
"""

from __future__ import annotations

from typing import Any, Protocol

from lgtwist.accounts import http, websocket_client, websocket_server
from lgtwist.accounts.milky import account as milky
from lgtwist.bots import webhook
from lgtwist.bots import websocket_client as bot_websocket_client
from lgtwist.bots import websocket_server as bot_websocket_server
from lgtwist.config.section import Section
from lgtwist.sandbox import account as sandbox


class AccountKind(Protocol):
    """The module of a kind of accounts.

    Its settings have an attribute ``dialect``.
    """

    @property
    def make(self) -> Any:
        """The class of the edge: ``make(account, settings, resources) -> IEdge``."""

    def read(self, section: Section, /) -> Any:
        """Read the kind's own keys of ``[[accounts]]``; mistakes are collected in the section."""

    def describe(self, settings: Any, self_id: int, base: str, /) -> str:
        """Return how the implementation is reached: the end of the account's line in the summary.

        :param base: the port's URL, as ``ws://127.0.0.1:8081``.
        """

    def key_needed_in_public(self, settings: Any, /) -> str | None:
        """Return the key that is missing to authenticate the implementation on a public port.

        :returns: None if none is missing.
        """


class BotKind(Protocol):
    """The module of a kind of bots.

    :ivar DIALS_IN: whether the bot connects to our port.
    :ivar SENDS_TOKEN: whether ``access_token`` is sent to the bot when a connection to it is opened.
    """

    DIALS_IN: bool
    SENDS_TOKEN: bool

    @property
    def make(self) -> Any:
        """The class of the edge: ``make(bot, settings, resources) -> IEdge``; it observes the directory."""

    def read(self, section: Section, /) -> Any:
        """Read the kind's own keys of ``[[bots]]``; mistakes are collected in the section."""

    def describe(self, settings: Any, bot: Any, urls: list[str], /) -> str:
        """Return how the bot is served: a part of its line in the summary.

        :param bot: the ``BotSettings``.
        :param urls: the port's base URLs, as ``ws://127.0.0.1:8081``.
        """


#: By ``type`` of ``[[accounts]]``.
ACCOUNT_KINDS: dict[str, AccountKind] = {
    "sandbox": sandbox,
    "forward-websocket": websocket_client,
    "reverse-websocket": websocket_server,
    "http": http,
    "milky": milky,
}

#: By ``connection`` of ``[[bots]]``.
BOT_KINDS: dict[str, BotKind] = {
    "forward-websocket": bot_websocket_server,
    "reverse-websocket": bot_websocket_client,
    "http-post": webhook,
}
