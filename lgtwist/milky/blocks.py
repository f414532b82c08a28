"""Message ids: blocks of 1024 sequence numbers of one conversation, each with a number of its own.

``message_id = number of the block * 1024 + seq % 1024``: exact both ways, from 1 to 2^31-1, with one row to
store for 1024 messages of a conversation, and it also stands for messages that were never seen. A row also
says which of the block's messages were delivered, and when.

The table is in memory as a whole. :mod:`lgtwist.accounts.milky.block_store` keeps it in a file.
"""

from __future__ import annotations

import heapq
import random
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from lgtwist.milky.keys import SCENES, UNSEQUENCED, Conversation, MessageKey

#: Sequence numbers in a block, and the number of bits that they are.
BLOCK_SIZE = 1024
_SEQ_BITS = 10
_IN_BLOCK = BLOCK_SIZE - 1
#: Blocks that there may be, so that ids are below 2^31. Block 0 is not used: ids begin at 1024.
MOST_BLOCKS = (1 << 31 - _SEQ_BITS) - 1
#: Blocks that are kept: each takes about 250 bytes of memory, and an implementation can send what it likes.
BLOCK_CAPACITY = 1 << 18
#: Conversations that :meth:`BlockTable.active_conversations` knows.
MOST_ACTIVE = 8_000
#: From this sequence number of a block on, the next block of the conversation is made ahead.
_MADE_AHEAD = BLOCK_SIZE // 2
#: Blocks that were made ahead and are not stored, at most: they are written together.
_MOST_AHEAD = 1_000
#: Numbers of blocks that a run has for itself in the file, beyond those that are in use.
RESERVED_BLOCKS = 1024

#: Peers and sequence numbers are below 2^53, as numbers of JSON are.
_BELOW = 1 << 53
_PART_BITS = 53 - _SEQ_BITS
_PART_MASK = (1 << _PART_BITS) - 1
_SCENE_CODES = {scene: code for code, scene in enumerate(SCENES)}
_SCENE_BITS = 2
_UNSEQUENCED_CODE = _SCENE_CODES[UNSEQUENCED]
#: Blocks whose numbers are looked up together when numbers are used again.
_OLDEST = 1024
#: Numbers of blocks on a page of the table, as a number of bits.
_PAGE_BITS = 6
_ON_PAGE = (1 << _PAGE_BITS) - 1
#: Places that are tried when a free part of the number space is looked for.
_ATTEMPTS = 64
_RANDOM = random.SystemRandom()


class BlockRow(NamedTuple):
    """One block as it is stored.

    :ivar number: from 1 to :data:`MOST_BLOCKS`.
    :ivar scene: a position in :data:`~lgtwist.milky.keys.SCENES`.
    :ivar peer_id: the peer of the conversation.
    :ivar part: the sequence numbers of its messages, divided by :data:`BLOCK_SIZE`.
    :ivar seen: when one of its messages was delivered last, or when it was made: milliseconds since the
        epoch.
    :ivar delivered: bit n is set where the message ``part * BLOCK_SIZE + n`` was delivered, or dropped on
        purpose: little-endian, without zero bytes at its end.
    """

    number: int
    scene: int
    peer_id: int
    part: int
    seen: int
    delivered: bytes


class _BlockPage:
    """A part of the table, by number: lists are smaller than an object for each block.

    :ivar codes: what the blocks stand for; -1 where there is none.
    :ivar seen: as in :class:`BlockRow`, in seconds.
    :ivar delivered: as in :class:`BlockRow`, as an integer.
    """

    __slots__ = ("codes", "delivered", "seen")

    def __init__(self) -> None:
        self.codes = [-1] * (_ON_PAGE + 1)
        self.seen = array("d", bytes(8 * (_ON_PAGE + 1)))
        self.delivered = [0] * (_ON_PAGE + 1)


class BlockTable:
    """The blocks of one account; implements :class:`~lgtwist.milky.keys.MessageIds`.

    A number that was given out may stand for nothing after a restart, where its block could not be stored,
    but never for another block: a run takes its numbers from a range that the file keeps for it
    (:meth:`reservation`), and where there is none, from a random place far from it. Where as many blocks are
    there as may be kept, the one that was seen least recently is removed; its number is not used again until
    all others were.

    :param now: returns seconds since the epoch.
    :param choose: returns a random whole number from 0 up to, but not including, its argument.
    :param most: numbers of blocks that there are; for tests.
    :param capacity: blocks that are kept; for tests.
    :param reserved: numbers that :meth:`reservation` adds; for tests.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        choose: Callable[[int], int] = _RANDOM.randrange,
        most: int = MOST_BLOCKS,
        capacity: int = BLOCK_CAPACITY,
        reserved: int = RESERVED_BLOCKS,
    ) -> None:
        self._now = now
        self._choose = choose
        self._most = most
        self._capacity = min(capacity, most)
        self._reserve = min(reserved, most // 4)
        self.clear()

    def clear(self) -> None:
        """Remove all blocks; begin at a random number."""
        self._numbers: dict[int, int] = {}  # by code
        self._pages: dict[int, _BlockPage] = {}
        self._count = 0
        self._newest: dict[int, int] = {}  # the greatest sequence number seen, by code of the conversation
        self._next = self._choose(self._most) + 1
        self._left = 0  # numbers from _next on that the file keeps for us
        self._distant = 0  # where numbers are taken while there are none left; 0: not chosen yet
        self._active: OrderedDict[int, None] = OrderedDict()  # conversations by code, the newest last
        self._removed: dict[int, None] = {}
        self._unsaved: dict[int, None] = {}
        self._ahead: dict[int, None] = {}  # made ahead, and not known to be stored
        self._changed: set[int] = set()
        self._oldest: list[tuple[float, int]] = []
        #: The key that an id was asked for last, its code and its number: it is marked as seen next.
        self._last_key: MessageKey | None = None
        self._last_code = self._last_number = 0

    def __len__(self) -> int:
        return self._count

    # -- ids

    def id_of(self, key: MessageKey) -> int:
        """Return the ``message_id`` of a message.

        :returns: from 1 to 2^31-1; 0, which stands for no message, where the scene is none of ours, or the
            peer or the sequence number is below 0 or not below 2^53.
        """
        scene, peer_id, seq = key
        scene_code = _SCENE_CODES.get(scene)
        if scene_code is None or not (0 <= peer_id < _BELOW and 0 <= seq < _BELOW):
            return 0
        code = (peer_id << _SCENE_BITS | scene_code) << _PART_BITS | seq >> _SEQ_BITS  # as in _code_of
        number = self._numbers.get(code)
        if number is None:
            number = self._new_block(code)
        elif self._ahead and number in self._ahead:
            del self._ahead[number]
            self._unsaved[number] = None
        self._last_key, self._last_code, self._last_number = key, code, number
        return number << _SEQ_BITS | seq & _IN_BLOCK

    def key_of(self, message_id: int) -> MessageKey | None:
        """Return the message that a ``message_id`` stands for; None if it stands for none."""
        number = message_id >> _SEQ_BITS
        page = self._pages.get(number >> _PAGE_BITS)
        if page is None or (code := page.codes[number & _ON_PAGE]) < 0:
            return None
        scene, peer_id = _conversation_of_code(code >> _PART_BITS)
        return MessageKey(scene, peer_id, (code & _PART_MASK) << _SEQ_BITS | message_id & _IN_BLOCK)

    def id_of_sent(self, key: MessageKey) -> int:
        """Return the ``message_id`` of a message that the account just sent.

        It counts as seen where none of its conversation was: what is missed behind it is fetched.
        """
        if self.last_seen(key.conversation) is None:
            self.mark_seen(key, self._now())
        return self.id_of(key)

    def new_unsequenced(self, peer_id: int) -> MessageKey:
        """Return a key for a message to a person whose sequence number the implementation did not tell."""
        newest = self._newest.get(peer_id << _SCENE_BITS | _UNSEQUENCED_CODE, 0)
        key = MessageKey(UNSEQUENCED, peer_id, newest + 1)
        self.mark_seen(key, self._now())
        return key

    def _new_block(self, code: int) -> int:
        """Make a block, and return its number."""
        number = self._free_number()
        self._put(number, code, self._now(), 0)
        self._unsaved[number] = None
        return number

    def _make_ahead(self, code: int) -> None:
        """Make the block that a conversation needs next, so that no event has to wait until it is stored."""
        has_room = self._left and self._count < self._capacity and len(self._ahead) < _MOST_AHEAD
        if code & _PART_MASK and has_room:
            number = self._free_number()
            self._put(number, code, self._now(), 0)
            self._ahead[number] = None

    # -- numbers

    def _page(self, number: int) -> _BlockPage:
        """Return the page that a number is on; it is made if it is not there."""
        page = self._pages.get(number >> _PAGE_BITS)
        if page is None:
            page = self._pages[number >> _PAGE_BITS] = _BlockPage()
        return page

    def _put(self, number: int, code: int, seen: float, delivered: int) -> None:
        page, place = self._page(number), number & _ON_PAGE
        page.codes[place], page.seen[place], page.delivered[place] = code, seen, delivered
        self._numbers[code] = number
        self._removed.pop(number, None)
        self._count += 1

    def _is_free(self, number: int) -> bool:
        page = self._pages.get(number >> _PAGE_BITS)
        return page is None or page.codes[number & _ON_PAGE] < 0

    def _plus(self, number: int, distance: int) -> int:
        """Return the number that comes some numbers behind another; 1 comes behind the last."""
        return (number - 1 + distance) % self._most + 1

    def _free_number(self) -> int:
        """Return a number for a new block; where there are too many, remove the oldest block for it."""
        if self._count >= self._capacity:
            removed = self._remove_oldest()
            if self._capacity == self._most:
                return removed
            self._removed[removed] = None
        while self._left > 0:
            number, self._next = self._next, self._plus(self._next, 1)
            self._left -= 1
            if self._is_free(number):
                return number
        if not self._distant:
            self._distant = self._place_far_away()
        while not self._is_free(self._distant):
            self._distant = self._plus(self._distant, 1)
        return self._distant

    def _place_far_away(self) -> int:
        """Return a random number, far from where numbers are taken; many behind it are free if possible."""
        place = self._next
        for _attempt in range(_ATTEMPTS):
            place = self._plus(self._next, self._most // 4 + self._choose(self._most // 2 + 1))
            behind = range(place >> _PAGE_BITS, place + RESERVED_BLOCKS >> _PAGE_BITS)
            if not any(page in self._pages for page in behind):
                break
        return place

    def _remove_oldest(self) -> int:
        """Remove the block that was seen least recently; return its number."""
        while True:
            if not self._oldest:
                self._oldest = heapq.nsmallest(_OLDEST, self._times())
                self._oldest.reverse()
            seen, number = self._oldest.pop()
            page, place = self._pages[number >> _PAGE_BITS], number & _ON_PAGE
            code = page.codes[place]
            if code < 0 or page.seen[place] != seen:
                continue
            page.codes[place] = -1
            self._count -= 1
            self._last_key = None
            if self._numbers.get(code) == number:
                del self._numbers[code]
            conversation, part = code >> _PART_BITS, code & _PART_MASK
            if self._newest.get(conversation, -1) >> _SEQ_BITS == part:
                del self._newest[conversation]
                self._active.pop(conversation, None)
            self._changed.discard(number)
            self._unsaved.pop(number, None)
            self._ahead.pop(number, None)
            return number

    def _times(self) -> Iterator[tuple[float, int]]:
        for upper, page in self._pages.items():
            for place, code in enumerate(page.codes):
                if code >= 0:
                    yield page.seen[place], upper << _PAGE_BITS | place

    # -- what was seen

    def mark_seen(self, key: MessageKey, now: float) -> None:
        """Note that a message was delivered, or dropped on purpose.

        :param now: seconds since the epoch.
        """
        if key is self._last_key:
            code, number = self._last_code, self._last_number
        else:
            found = _code_of(key)
            if found is None:
                return
            code = found
            number = self._numbers.get(code) or self._new_block(code)
        page, place = self._pages[number >> _PAGE_BITS], number & _ON_PAGE
        page.delivered[place] |= 1 << (key[2] & _IN_BLOCK)
        page.seen[place] = now
        self._changed.add(number)
        if key[2] & _IN_BLOCK >= _MADE_AHEAD and code + 1 not in self._numbers:
            self._make_ahead(code + 1)
        conversation = code >> _PART_BITS
        if key[2] > self._newest.get(conversation, -1):
            self._newest[conversation] = key[2]

    def was_seen(self, key: MessageKey) -> bool:
        """Return whether a message was delivered, or dropped on purpose."""
        code = _code_of(key)
        number = None if code is None else self._numbers.get(code)
        if number is None:
            return False
        delivered = self._pages[number >> _PAGE_BITS].delivered[number & _ON_PAGE]
        return delivered >> (key[2] & _IN_BLOCK) & 1 == 1

    def last_seen(self, conversation: Conversation) -> int | None:
        """Return the greatest sequence number that was seen of a conversation; None if there was none."""
        code = _code_of(MessageKey(*conversation, 0))
        return None if code is None else self._newest.get(code >> _PART_BITS)

    def active_conversations(self, most: int | None = None) -> list[Conversation]:
        """Return the conversations of which messages were seen, the most recently seen first.

        :param most: return so many at most; None for all that are known: :data:`MOST_ACTIVE`.
        """
        self._note_active()
        newest_first = islice(reversed(self._active), most)
        return [_conversation_of_code(conversation) for conversation in newest_first]

    def _note_active(self) -> None:
        """Put the conversations of the blocks that changed behind the others."""
        changed = []
        for number in self._changed:
            page, place = self._pages[number >> _PAGE_BITS], number & _ON_PAGE
            changed.append((page.seen[place], page.codes[place] >> _PART_BITS))
        changed.sort()
        active = self._active
        for _seen, conversation in changed:
            if conversation & (1 << _SCENE_BITS) - 1 != _UNSEQUENCED_CODE:
                active[conversation] = None
                active.move_to_end(conversation)
        while len(active) > MOST_ACTIVE:
            active.popitem(last=False)

    def _find_active(self) -> None:
        """Look for the active conversations in the whole table."""
        times = (
            (self._seen_at(conversation, newest), conversation)
            for conversation, newest in self._newest.items()
            if conversation & (1 << _SCENE_BITS) - 1 != _UNSEQUENCED_CODE
        )
        newest_first = heapq.nlargest(MOST_ACTIVE, times)
        self._active = OrderedDict((conversation, None) for _seen, conversation in reversed(newest_first))

    def _seen_at(self, conversation: int, seq: int) -> float:
        number = self._numbers.get(conversation << _PART_BITS | seq >> _SEQ_BITS)
        return 0.0 if number is None else self._pages[number >> _PAGE_BITS].seen[number & _ON_PAGE]

    # -- storing

    @property
    def has_unsaved(self) -> bool:
        """Whether there are blocks that :meth:`take_unsaved` has not returned yet."""
        return bool(self._unsaved)

    def row_of(self, number: int) -> BlockRow:
        """Return a block, as it is now.

        :raises KeyError: if there is none of that number.
        """
        page, place = self._pages[number >> _PAGE_BITS], number & _ON_PAGE
        code, delivered = page.codes[place], page.delivered[place]
        if code < 0:
            raise KeyError(number)
        conversation = code >> _PART_BITS
        return BlockRow(
            number,
            conversation & (1 << _SCENE_BITS) - 1,
            conversation >> _SCENE_BITS,
            code & _PART_MASK,
            int(page.seen[place] * 1000),
            delivered.to_bytes((delivered.bit_length() + 7) // 8, "little"),
        )

    def stands_for(self, row: BlockRow) -> bool:
        """Return whether the number of a row still stands for the same messages: numbers are used again."""
        page = self._pages.get(row.number >> _PAGE_BITS)
        conversation = row.peer_id << _SCENE_BITS | row.scene
        code = conversation << _PART_BITS | row.part
        return page is not None and page.codes[row.number & _ON_PAGE] == code

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of all blocks."""
        return (number for _seen, number in self._times())

    def take_unsaved(self) -> list[BlockRow]:
        """Return the new blocks that were not returned before."""
        numbers, self._unsaved = self._unsaved, {}
        return [self.row_of(number) for number in numbers]

    @property
    def has_ahead(self) -> bool:
        """Whether there are blocks that were made ahead, and not stored as far as is known."""
        return bool(self._ahead)

    def ahead(self) -> list[BlockRow]:
        """Return the blocks that were made ahead, until :meth:`ahead_stored` says that they are stored."""
        return [self.row_of(number) for number in self._ahead]

    def ahead_stored(self, rows: Iterable[BlockRow]) -> None:
        """Note that blocks of :meth:`ahead` are stored."""
        for row in rows:
            self._ahead.pop(row.number, None)

    def take_changed(self) -> list[BlockRow]:
        """Return the blocks of which messages were seen since they were returned before."""
        self._note_active()
        numbers, self._changed = self._changed, set()
        return [self.row_of(number) for number in numbers]

    def take_removed(self) -> list[int]:
        """Return the numbers that stand for nothing any more, and were not returned before."""
        numbers, self._removed = self._removed, {}
        return list(numbers)

    def load(self, rows: Iterable[BlockRow]) -> int:
        """Add what was stored. Of blocks that are in the table already, what was seen is added.

        :returns: how many rows were left out, for they are none that this table can have.
        """
        left_out = 0
        for row in rows:
            try:
                left_out += not self._load(row)
            except (TypeError, ValueError):  # SQLite gives texts and None out of columns of numbers
                left_out += 1
        self._find_active()
        return left_out

    def _load(self, row: BlockRow) -> bool:
        """Add one row; return False if it is none that this table can have."""
        number, scene, peer_id, part, seen, delivered = row
        bits = int.from_bytes(delivered, "little")
        if not (
            1 <= number <= self._most
            and 0 <= scene < len(SCENES)
            and 0 <= peer_id < _BELOW
            and 0 <= part <= _PART_MASK
            and bits >> BLOCK_SIZE == 0
        ):
            return False
        conversation = peer_id << _SCENE_BITS | scene
        code = conversation << _PART_BITS | part
        page, place = self._page(number), number & _ON_PAGE
        if page.codes[place] == code:
            page.delivered[place] |= bits
            page.seen[place] = max(page.seen[place], seen / 1000)
        elif page.codes[place] >= 0:
            return True
        else:
            earlier = self._numbers.get(code)
            self._put(number, code, seen / 1000, bits)
            if earlier is not None:  # of a run that could not read the file: both ids stand for the message
                self._numbers[code] = earlier
        if bits:
            newest = part << _SEQ_BITS | bits.bit_length() - 1
            if newest > self._newest.get(conversation, -1):
                self._newest[conversation] = newest
        return True

    def begin_at(self, number: int) -> None:
        """Take numbers from here on, once :meth:`set_reserved` says that the file keeps some.

        :param number: what the file has as :meth:`reservation`.
        """
        self._next, self._left = self._plus(number, 0), 0

    def begin_far_away(self) -> None:
        """Take numbers from a random place on: those behind the present one may have been given out."""
        self._next, self._left = self._place_far_away(), 0

    @property
    def next_number(self) -> int:
        """Where a run may begin that is to give out no number that this one has given out."""
        return self._next

    def reservation(self) -> int:
        """Return where the next run may begin if this one has some numbers more; to be stored."""
        return self._plus(self._next, self._reserve)

    def set_reserved(self, upto: int) -> None:
        """Note that the file keeps the numbers before this one for this run.

        :param upto: what :meth:`reservation` returned.
        """
        self._left = (upto - self._next) % self._most


def _code_of(key: MessageKey) -> int | None:
    """Return what stands for a message's block as one integer; None if a part of the key is out of bounds."""
    scene, peer_id, seq = key
    scene_code = _SCENE_CODES.get(scene)
    if scene_code is None or not (0 <= peer_id < _BELOW and 0 <= seq < _BELOW):
        return None
    return (peer_id << _SCENE_BITS | scene_code) << _PART_BITS | seq >> _SEQ_BITS


def _conversation_of_code(code: int) -> Conversation:
    return Conversation(SCENES[code & (1 << _SCENE_BITS) - 1], code >> _SCENE_BITS)


__all__ = [
    "BLOCK_CAPACITY",
    "BLOCK_SIZE",
    "MOST_ACTIVE",
    "MOST_BLOCKS",
    "RESERVED_BLOCKS",
    "BlockRow",
    "BlockTable",
]
