"""Read what a conversation has behind a message, by pages of Milky's ``get_history_messages``.

A page goes backwards from ``start_message_seq``, inclusive; without it, from the newest message. What
implementations do otherwise:

- Lagrange answers one message more than ``limit``, HTTP 500 where the range has none, and HTTP 500 for a
  friend without ``start_message_seq``.
- LLBot looks only at the numbers from ``start - limit + 1`` to ``start``: an empty page may be a hole. It
  reads 0 as the newest, and its ``next_message_seq`` may be 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, field

from lgtwist.milky.errors import NOT_FOUND, NOT_LOGGED_IN, CallFailed
from lgtwist.milky.interfaces import MilkyApi
from lgtwist.milky.keys import FRIEND, Conversation, MessageKey
from lgtwist.onebot.errors import AccountFailed, OneBotError
from lgtwist.onebot.values import read_integer

#: Messages of one page, as many as Milky allows.
PAGE = 30
#: Pages beyond those that the messages wanted would fill: there are holes.
_SPARE_PAGES = 10
#: Pages in a row that may fail: an implementation may fail where there is nothing.
_FAILURES = 3

#: Returns what names a message; None if it cannot be read.
KeyOf = Callable[[Any], MessageKey | None]


@define
class Missed:
    """What was found behind a message; it is filled page by page, so that a part of it is of use.

    :ivar messages: each an ``IncomingMessage``, decoded, by its sequence number.
    :ivar why_not_all: why some may be missing, a part of a sentence; empty if none is.
    """

    messages: dict[int, Any] = field(factory=dict)
    why_not_all: str = ""

    def newest(self, most: int) -> list[int]:
        """Return the greatest sequence numbers, ascending.

        :param most: how many.
        """
        return sorted(self.messages)[-most:]


@define
class _Page:
    """One page.

    :ivar lowest: the least sequence number in it; None if it is empty.
    :ivar highest: the greatest.
    :ivar next: where older ones are; None where that is not said.
    """

    lowest: int | None = None
    highest: int | None = None
    next: int | None = None


class _HistoryReader:
    """Reads one conversation.

    :param floor: the sequence number of the message behind which messages are wanted.
    """

    def __init__(
        self, api: MilkyApi, conversation: Conversation, missed: Missed, floor: int, most: int, key_of: KeyOf
    ) -> None:
        self._api = api
        self._conversation = conversation
        self._missed = missed
        self._floor = floor
        self._most = most
        self._key_of = key_of
        self._pages_left = -(-most // PAGE) + _SPARE_PAGES
        self._failures = 0  # in a row
        self._failure = ""
        self._says_why = False  # an empty range has no reason

    async def _page(self, start: int | None) -> _Page | None:
        """Read a page; None if the implementation fails at it."""
        scene, peer_id = self._conversation
        params: dict[str, Any] = {"message_scene": scene, "peer_id": peer_id}
        if start is not None:
            params["start_message_seq"] = start
        params["limit"] = PAGE
        self._pages_left -= 1
        try:
            data = await self._api.call("get_history_messages", params)
        except OneBotError as error:
            failed = type(error) is AccountFailed
            if isinstance(error, CallFailed):
                failed = error.milky_retcode not in (NOT_LOGGED_IN, NOT_FOUND)
            if not failed:
                raise
            self._failures += 1
            self._failure = error.sentence
            self._says_why = isinstance(error, CallFailed)
            return None
        self._failures = 0
        return self._take(data)

    def _take(self, data: Any) -> _Page:
        page = _Page()
        if not isinstance(data, dict):
            return page
        page.next = read_integer(data.get("next_message_seq"))
        messages = data.get("messages")
        for message in messages if isinstance(messages, list) else ():
            key = self._key_of(message)
            if key is None or key.conversation != self._conversation:
                continue
            seq = key.seq
            page.lowest = seq if page.lowest is None else min(seq, page.lowest)
            page.highest = seq if page.highest is None else max(seq, page.highest)
            if seq > self._floor:
                self._missed.messages[seq] = message
        return page

    async def read(self, known: int | None, without_start: bool) -> None:
        """Read all pages.

        :param known: the sequence number of a newer message that is known; None if there is none.
        :param without_start: whether the newest messages can be asked for without knowing their number.
        """
        if without_start:
            page = await self._page(None)
            if page is not None:
                await self._go_down(page, None)
                return
        if known is not None:
            await self._go_down(await self._page(known), known)
        await self._go_up(max(known or 0, self._floor))

    async def _go_down(self, page: _Page | None, start: int | None) -> None:
        """Read older pages until the floor is reached.

        :param page: the first one; None if it failed.
        :param start: where it began; None if it began at the newest.
        """
        missed, floor = self._missed, self._floor
        is_last = False
        while True:
            if page is not None and page.lowest is not None:
                below = page.lowest - 1
                is_last = page.next is None
                if page.next is not None and 0 < page.next < below:
                    below = page.next
                start = below if start is None or below < start else start - PAGE
            elif start is None or is_last:
                return
            else:
                start -= PAGE
            if start <= floor or len(missed.messages) >= self._most:
                return
            if self._failures >= _FAILURES:
                missed.why_not_all = self._failure
                return
            if self._pages_left <= 0:
                missed.why_not_all = "there are too many holes in its history"
                return
            page = await self._page(start)

    async def _go_up(self, top: int) -> None:
        """Read newer pages, until there are none.

        :param top: the greatest sequence number that is known.
        """
        while self._pages_left > 0:
            page = await self._page(top + PAGE - 1)  # it begins at the top: there may be more by now
            if page is None or page.highest is None or page.highest <= top:
                if page is None and self._says_why:
                    self._missed.why_not_all = self._failure
                return
            top = page.highest
        self._missed.why_not_all = "there are too many messages"


async def read_missed(
    api: MilkyApi,
    conversation: Conversation,
    missed: Missed,
    *,
    floor: int,
    most: int,
    key_of: KeyOf,
    known: int | None = None,
    is_lagrange: bool = False,
) -> None:
    """Read the messages of a conversation that are newer than one of them.

    :param missed: what is found is added, also where this is cancelled.
    :param floor: the sequence number of that one.
    :param most: messages after which the older ones are left out.
    :param key_of: returns what names a message.
    :param known: the sequence number of a newer one that is known; None if there is none.
    :param is_lagrange: whether the implementation is Lagrange.
    :raises OneBotError: if nothing can be read: the implementation is not logged in, does not know the
        conversation, has no such API, or is not reached.
    """
    history = _HistoryReader(api, conversation, missed, floor, most, key_of)
    await history.read(known, not (is_lagrange and conversation.scene == FRIEND))
