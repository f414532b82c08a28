"""The keys that every account with an implementation of its own has."""

from __future__ import annotations

from attrs import field, frozen

from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.values import choice, token
from lgtwist.onebot.dialect import Dialect


@frozen
class RemoteSettings:
    """What every kind of remote account is configured with.

    :ivar dialect: the implementation's; AUTO to recognise it.
    :ivar access_token: what is shown to the implementation; None for none.
    """

    dialect: Dialect = Dialect.AUTO
    access_token: str | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))


def read_remote(section: Section) -> RemoteSettings:
    """Read these keys; mistakes are collected in the section."""
    dialect = section.take("dialect", choice([dialect.value for dialect in Dialect]), "auto")
    return RemoteSettings(Dialect(dialect or "auto"), section.take_secret("access_token", token))


def without_query(url: str) -> str:
    """Return a URL as people may see it: its query may hold a token."""
    return url.partition("?")[0]
