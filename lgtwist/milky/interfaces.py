"""What the translation needs of the link, and what its parts need of each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from attrs import define

from lgtwist.milky.implementation import Implementation
from lgtwist.milky.keys import MessageIds
from lgtwist.milky.recent import Recent


class MilkyApi(Protocol):
    """Sends calls to the implementation."""

    async def call(self, api: str, params: dict[str, Any], /) -> Any:
        """Send one call, and return the ``data`` of its answer, decoded; ``{}`` where it has none.

        :param api: such as ``send_group_message``.
        :param params: without values that are None: optional ones are left out instead.
        :raises CallFailed: if the implementation answers that it failed.
        :raises OneBotError: if it does not offer the API (1404), cannot be reached (1501), the connection
            broke (1502), or its answer cannot be read (1500).
        """


async def _go_on(_weight: int) -> None:
    """Let nothing else run."""


async def _without_limit(work: Coroutine[Any, Any, Any]) -> Any:
    """Return what it returns, whenever that is."""
    return await work


@define(kw_only=True)
class ActionContext:
    """What the actions of one account use.

    :ivar self_id: the account's number.
    :ivar api: sends calls.
    :ivar ids: message ids.
    :ivar recent: what is remembered of messages and files, in memory.
    :ivar implementation: what the implementation says it is.
    :ivar is_online: returns whether it says that it is logged in.
    :ivar now: returns the present time, in seconds since the epoch.
    :ivar rest: to be awaited for each entity or segment that was translated, or once for several, with their
        number: lets others run when these have taken their time.
    :ivar look_up: returns what a coroutine returns, which an answer can do without, after a message was sent:
        it raises :class:`CallTimeout` early enough that the bot is still told that it was sent.
    """

    self_id: int
    api: MilkyApi
    ids: MessageIds
    recent: Recent
    implementation: Implementation
    is_online: Callable[[], bool]
    now: Callable[[], float]
    rest: Callable[[int], Awaitable[None]] = _go_on
    look_up: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]] = _without_limit
