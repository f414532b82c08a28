"""The keys that every type of account but ``sandbox`` has."""

from __future__ import annotations

from attrs import field, frozen

from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.values import choice, token
from lgtwist.onebot.dialect import Dialect


@frozen
class RemoteSettings:
    """The keys of every account with an implementation.

    :ivar dialect: the implementation's; AUTO to recognise it.
    :ivar access_token: shown to the implementation; None for none.
    """

    dialect: Dialect = Dialect.AUTO
    access_token: str | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))


def read_remote(section: Section) -> RemoteSettings:
    """Read the keys of :class:`RemoteSettings`; mistakes are collected in the section."""
    dialect = section.read("dialect", choice([dialect.value for dialect in Dialect]), "auto")
    return RemoteSettings(Dialect(dialect or "auto"), section.read_secret("access_token", token))


def without_query(url: str) -> str:
    """Return a URL without its query, which may hold a token."""
    return url.partition("?")[0]
