"""Where implementations differ from OneBot 11 in ways that lgtwist must know. Responses are not changed.

An account's ``dialect`` is configured, or recognised from the response of ``get_version_info``.
"""

from __future__ import annotations

from enum import Enum

from lgtwist.onebot.responses import ResponseHead


class Dialect(Enum):
    """Which implementation's variant of OneBot 11 an account speaks; AUTO until it is recognised."""

    AUTO = "auto"
    ONEBOT11 = "onebot11"
    LAGRANGE = "lagrange"
    NAPCAT = "napcat"
    LLBOT = "llbot"
    GO_CQHTTP = "go-cqhttp"


#: Prefixes of ``app_name``, in lower case, and the dialects that they mean.
_NAME_PREFIXES = (
    ("napcat", Dialect.NAPCAT),
    ("lagrange", Dialect.LAGRANGE),
    ("llonebot", Dialect.LLBOT),
    ("llbot", Dialect.LLBOT),
    ("luckylillia", Dialect.LLBOT),
    ("go-cqhttp", Dialect.GO_CQHTTP),
)

#: The retcode that means "no such action", beside OneBot 11's 1404.
_UNKNOWN_ACTION_RETCODES = {
    Dialect.LAGRANGE: 404,
    Dialect.GO_CQHTTP: 404,
    Dialect.LLBOT: 404,  # over HTTP
}


def recognise_dialect(app_name: str) -> Dialect:
    """Return the dialect of an implementation from the ``app_name`` of its ``get_version_info``.

    An unknown name gives ``ONEBOT11``.
    """
    name = app_name.strip().lower()
    for prefix, dialect in _NAME_PREFIXES:
        if name.startswith(prefix):
            return dialect
    return Dialect.ONEBOT11


def means_unknown_action(dialect: Dialect, head: ResponseHead) -> bool:
    """Return whether a response says that the implementation has no such action.

    NapCat over HTTP uses retcode 200 for this and for other failures, so its message is compared too.
    """
    if head.status != "failed":
        return False
    if head.retcode == 1404 or head.retcode == _UNKNOWN_ACTION_RETCODES.get(dialect):
        return True
    return dialect is Dialect.NAPCAT and head.retcode == 200 and head.reason.startswith("不支持的A")


def lacks_action(head: ResponseHead) -> bool:
    """Return whether a response to an action without parameters says, in any dialect, that there is no such.

    For what is asked before the dialect is known: without parameters nothing else can be "not found".
    """
    return any(means_unknown_action(dialect, head) for dialect in Dialect)


def signs_with_token(dialect: Dialect) -> bool:
    """Return whether ``X-Signature`` is made with the access token where no ``secret`` is configured."""
    return dialect in (Dialect.NAPCAT, Dialect.LLBOT)


def heartbeats_tell_online(dialect: Dialect) -> bool:
    """Return whether the ``online`` of heartbeats is known to turn false when the account is logged out."""
    return dialect in (Dialect.NAPCAT, Dialect.LLBOT, Dialect.GO_CQHTTP)


def get_status_tells_online(dialect: Dialect) -> bool:
    """Return whether ``online`` of ``get_status`` counts after ``bot_offline``; Lagrange's is constant."""
    return dialect is not Dialect.LAGRANGE
