"""A message that was received before: what is remembered of it, or what the implementation says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from lgtwist.milky.errors import NOT_FOUND, CallFailed
from lgtwist.milky.keys import OTHER_SCENES, MessageKey
from lgtwist.milky.recent import Recent
from lgtwist.onebot.errors import AccountFailed, UnknownAction

#: What may be said otherwise when a call fails; other errors mean that nothing can be had at all.
REFUSALS = (CallFailed, UnknownAction, AccountFailed)


async def find_received(
    key: MessageKey,
    recent: Recent,
    fetch: Callable[[MessageKey], Awaitable[dict[str, Any]]],
    *,
    is_usable: Callable[[dict[str, Any]], bool],
) -> dict[str, Any]:
    """Return an ``IncomingMessage``.

    A message of a person that is not found in one scene is looked for in the other one.

    :param fetch: asks the implementation for one.
    :param is_usable: whether what is remembered is as good as a new answer; else it is taken only where the
        implementation refuses one.
    :raises OneBotError: if it is not found.
    """
    remembered = recent.messages.get(key)
    if remembered is not None and is_usable(remembered):
        return remembered
    try:
        return await fetch(key)
    except REFUSALS as error:
        if remembered is not None:
            return remembered
        other = OTHER_SCENES.get(key.scene)
        if other is None or not isinstance(error, CallFailed) or error.milky_retcode != NOT_FOUND:
            raise
        try:
            return await fetch(key._replace(scene=other))
        except REFUSALS:
            raise error from None
