"""The actions that are known: those of OneBot 11, and of the implementations that lgtwist has dialects for.

They stand in ``catalogue.json`` beside this module, with names in Chinese and English, for people to choose
from. lgtwist passes on any action, whether it stands there or not. The file is read when it is first needed.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from lgtwist.onebot.action import split_suffix

#: The file, beside this module.
_FILE = "catalogue.json"


class Parameter(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A parameter of an action.

    :ivar name: as it is sent.
    :ivar type: ``string``, ``number``, ``boolean``, ``message``, ``array`` or ``object``.
    :ivar required: whether the action cannot be carried out without it.
    :ivar zh: what it is for, in Chinese.
    :ivar en: the same in English.
    :ivar default: what an implementation takes where it is missing; unset where that is not known.
    :ivar choices: the values that it may have; empty for any.
    """

    name: str
    type: str
    required: bool
    zh: str
    en: str
    default: str | int | float | bool | UnsetType = UNSET
    choices: tuple[str, ...] = ()


class CatalogueEntry(
    msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, rename={"found_in": "in"}
):
    """An action.

    :ivar name: as it is sent, without a suffix.
    :ivar zh: what it does, in Chinese.
    :ivar en: the same in English.
    :ivar group: the name of one of the groups.
    :ivar found_in: ``standard`` and the dialects that have it; empty if only other implementations do.
    :ivar params: in the order in which they are shown.
    :ivar danger: whether it takes something away, or changes something that others notice, so that people
        are asked before.
    :ivar answers_secret: whether its ``data`` lets somebody else use the account.
    :ivar json: whether its parameters are not known, so that they can be written as JSON only.
    """

    name: str
    zh: str
    en: str
    group: str
    found_in: tuple[str, ...]
    params: tuple[Parameter, ...]
    danger: bool = False
    answers_secret: bool = False
    json: bool = False


class ActionGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A group of actions, with its name in Chinese and English."""

    name: str
    zh: str
    en: str


class _Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    groups: tuple[ActionGroup, ...]
    actions: tuple[CatalogueEntry, ...]


@lru_cache(1)
def _read() -> _Catalogue:
    text = files(__package__).joinpath(_FILE).read_bytes()
    return msgspec.json.decode(text, type=_Catalogue)


def catalogue() -> tuple[CatalogueEntry, ...]:
    """Return the known actions, sorted by their names."""
    return _read().actions


def action_groups() -> tuple[ActionGroup, ...]:
    """Return the groups of actions, in the order in which they are shown."""
    return _read().groups


def catalogue_json(sandbox: Collection[str] = ()) -> bytes:
    """Return the known actions and their groups, as the file has them: ``{"groups": [], "actions": []}``.

    :param sandbox: the names of the actions that sandbox accounts carry out; those have ``"sandbox": true``.
    """
    return _encode_catalogue(frozenset(sandbox))


@lru_cache(2)
def _encode_catalogue(sandbox: frozenset[str]) -> bytes:
    known: dict[str, Any] = msgspec.to_builtins(_read())
    for entry in known["actions"]:
        if entry["name"] in sandbox:
            entry["sandbox"] = True
    return msgspec.json.encode(known)


#: What the names of actions have in them whose answers let somebody else use the account.
_SECRET_PARTS = (
    *("cookie", "credential", "csrf", "clientkey", "client_key"),
    *("rkey", "skey", "ticket", "token", "secret"),
)


@lru_cache(1)
def _secret_names() -> frozenset[str]:
    return frozenset(entry.name.lower().lstrip(".") for entry in catalogue() if entry.answers_secret)


def answers_secret(action: str) -> bool:
    """Return whether an action's ``data`` lets somebody else use the account, and must not be shown.

    Implementations read names differently: case, suffixes, and dots, slashes and white space around a name
    do not count. An action that is not known answers no secret, unless its name says so (``get_web_token``).

    :param action: its name, with or without a suffix.
    """
    name = action.lower()
    if any(word in name for word in _SECRET_PARTS):
        return True
    suffix = "any"
    while suffix:
        name = name.strip("./ \t\r\n\0")
        if name in _secret_names():
            return True
        name, suffix = split_suffix(name)
    return False
