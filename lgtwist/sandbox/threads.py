"""Blocking functions in a thread, whose errors keep nothing in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.threads import deferToThread

from lgtwist.onebot.errors import OneBotError


async def call_in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a thread of the reactor's pool, and return what it returns.

    An error that passes through Twisted's pool is part of a cycle, and the cycle keeps every local variable
    on the way, megabytes perhaps, until the next garbage collection. So an :class:`OneBotError` is handed
    over as a value.

    :raises OneBotError: if the function raises it.
    """
    outcome = await deferToThread(_outcome, function, arguments)
    del arguments
    if not isinstance(outcome, OneBotError):
        return outcome
    try:
        raise outcome
    finally:
        del outcome


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Return what a function returns, or the :class:`OneBotError` that it raises."""
    try:
        return function(*arguments)
    except OneBotError as error:
        error.__traceback__ = error.__context__ = None
        return error
