"""The bytes that are held in memory because of one peer, over all its connections. Pure."""

from __future__ import annotations

from typing import Protocol


class Reader(Protocol):
    """A connection that waits to read on in the middle of a message."""

    def budget_freed(self) -> None:
        """Read on, in a later reactor turn: there is room, or it is this reader's turn. Never raises."""


#: Readers of one budget that may wait for room; who comes then is to be refused.
MAX_WAITING = 64


class Budget:
    """Counts what is held because of one bot, or of one account's implementation.

    It is a count only: whoever holds something for a peer calls :meth:`charge`, and :meth:`release` with the
    same number when it is let go. What can be refused is refused before it is held, where :attr:`exceeded` is
    true: so the last thing that was let in may be larger than what was left, by a message of ``max_message``.
    A connection in the middle of a message waits where :attr:`exceeded` is true; one of those that wait may
    read on to the end of its message (it has the *turn*), so that there is always one that gets on.

    :ivar used: bytes that are counted now; never negative.
    :ivar exceeded: whether as much is held as the limit allows, or more.
    """

    __slots__ = ("_limit", "_turn", "_waiting", "exceeded", "used")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0
        self.exceeded = limit <= 0
        self._waiting: dict[Reader, None] = {}  # the one that waits longest first
        self._turn: Reader | None = None

    @property
    def limit(self) -> int:
        """Bytes; may be replaced."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self.charge(0)
        self.release(0)

    def fits(self, size: int) -> bool:
        """Return whether ``size`` bytes more stay within the limit."""
        return self.used + size <= self._limit

    def charge(self, size: int) -> None:
        """Count ``size`` bytes that are held from now on, whether they fit or not."""
        self.used += size
        self.exceeded = self.used >= self._limit

    def release(self, size: int) -> None:
        """Stop counting ``size`` bytes; let readers read on that wait for room, if there is room now."""
        self.used -= size
        self.exceeded = self.used >= self._limit
        if self._waiting:
            self._free()

    # -- readers

    def may_read(self, reader: Reader) -> bool:
        """Return whether a reader in the middle of a message may read on.

        It may where there is room. Else it gets the turn if nobody has it.
        """
        if not self.exceeded or self._turn is reader:
            return True
        if self._turn is None:
            self._turn = reader
            self._waiting.pop(reader, None)
            return True
        return False

    def wait(self, reader: Reader) -> bool:
        """Call ``reader.budget_freed`` once, when it may read on; return False if too many wait already."""
        if len(self._waiting) >= MAX_WAITING and reader not in self._waiting:
            return False
        self._waiting[reader] = None
        return True

    def message_ended(self, reader: Reader) -> None:
        """Take the turn from a reader, if it has it: its message is complete, or it is closed."""
        if self._turn is reader:
            self._turn = None
            if self._waiting:
                self._free()

    def forget(self, reader: Reader) -> None:
        """Forget a reader: it is closed."""
        self._waiting.pop(reader, None)
        self.message_ended(reader)

    def _free(self) -> None:
        while self._waiting:
            if self.exceeded:
                if self._turn is None:
                    self._turn = next(iter(self._waiting))
                    del self._waiting[self._turn]
                    self._turn.budget_freed()
                return
            reader = next(iter(self._waiting))
            del self._waiting[reader]
            reader.budget_freed()


def unlimited() -> Budget:
    """Return a budget without a limit, for what no peer has to answer for."""
    return Budget(1 << 62)
