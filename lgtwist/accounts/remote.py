"""The keys that every type of account but ``sandbox`` has."""

from __future__ import annotations

from attrs import field, frozen

from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.values import choice, token
from lgtwist.hub.account import Account
from lgtwist.onebot.dialect import Dialect
from lgtwist.onebot.message import MessageFormat


@frozen
class RemoteSettings:
    """The keys of every account with an implementation.

    :ivar dialect: the implementation's; AUTO to recognise it.
    :ivar outgoing_format: the format in which bots' messages are sent to it.
    :ivar access_token: shown to the implementation; None for none.
    """

    dialect: Dialect = Dialect.AUTO
    outgoing_format: MessageFormat = MessageFormat.AS_IS
    access_token: str | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))


def read_remote(section: Section) -> RemoteSettings:
    """Read the keys of :class:`RemoteSettings`; mistakes are collected in the section."""
    dialect = section.read("dialect", choice([dialect.value for dialect in Dialect]), "auto")
    outgoing = section.read("outgoing_format", choice([each.value for each in MessageFormat]), "as-is")
    return RemoteSettings(
        Dialect(dialect or "auto"),
        MessageFormat(outgoing or "as-is"),
        section.read_secret("access_token", token),
    )


def configure_account(account: Account, settings: RemoteSettings) -> None:
    """Use the settings that apply in place, from the next action and event on."""
    account.links.configure(settings.dialect)
    account.outgoing_format = settings.outgoing_format


def without_query(url: str) -> str:
    """Return a URL without its query, which may hold a token."""
    return url.partition("?")[0]
