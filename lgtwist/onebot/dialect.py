"""What lgtwist must know of the implementations' dialects. It changes no answer.

An account's ``dialect`` is configured, or recognised from ``get_version_info``.
"""

from __future__ import annotations

from enum import Enum

from lgtwist.onebot.responses import ResponseHead


class Dialect(Enum):
    """Whose way of speaking OneBot 11 it is."""

    AUTO = "auto"
    ONEBOT11 = "onebot11"
    LAGRANGE = "lagrange"
    NAPCAT = "napcat"
    LLBOT = "llbot"
    GO_CQHTTP = "go-cqhttp"


#: What the names of the implementations begin with, in lower case.
_NAME_PREFIXES = (
    ("napcat", Dialect.NAPCAT),
    ("lagrange", Dialect.LAGRANGE),
    ("llonebot", Dialect.LLBOT),
    ("llbot", Dialect.LLBOT),
    ("luckylillia", Dialect.LLBOT),
    ("go-cqhttp", Dialect.GO_CQHTTP),
)

#: The retcodes that mean "no such action", beside the standard's 1404.
_UNKNOWN_ACTION_RETCODES = {
    Dialect.LAGRANGE: 404,
    Dialect.GO_CQHTTP: 404,
    Dialect.LLBOT: 404,  # over HTTP
}


def recognise_dialect(app_name: str) -> Dialect:
    """The dialect of an implementation by the ``app_name`` of its ``get_version_info``."""
    name = app_name.lower()
    for prefix, dialect in _NAME_PREFIXES:
        if name.startswith(prefix):
            return dialect
    return Dialect.ONEBOT11


def means_unknown_action(dialect: Dialect, head: ResponseHead) -> bool:
    """Whether a response means that there is no such action.

    NapCat's HTTP says it with retcode 200, as it says much else: only its words tell.
    """
    if head.status != "failed":
        return False
    if head.retcode == 1404 or head.retcode == _UNKNOWN_ACTION_RETCODES.get(dialect):
        return True
    return dialect is Dialect.NAPCAT and head.retcode == 200 and head.reason.startswith("不支持的A")


def signs_with_token(dialect: Dialect) -> bool:
    """Whether ``X-Signature`` is made with the access token, where no secret is set."""
    return dialect in (Dialect.NAPCAT, Dialect.LLBOT)
