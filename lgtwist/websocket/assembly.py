"""Putting a message together from its frames, with memory that is proportional to the message. Pure."""

from __future__ import annotations


class Assembly:
    """The message that is being received.

    A list of pieces would cost 40 bytes and more for each: a peer that sends a message in fragments of
    two bytes would take twenty times its size. So the first piece is kept as it came (most messages
    have no second), and what follows is copied together.

    :param limit: the size in bytes that a message may have.
    """

    __slots__ = ("_announced", "_first", "_rest", "binary", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.begin(False)

    def begin(self, binary: bool) -> None:
        """Begin a new message."""
        self.binary = binary
        self._announced = 0
        self._first = b""
        self._rest: bytearray | None = None

    def announce(self, length: int) -> bool:
        """Begin a frame of ``length`` bytes; return whether the message stays within the limit with it."""
        self._announced += length
        return self._announced <= self.limit

    def add(self, piece: bytes) -> None:
        """Add a piece of a frame's payload, unmasked."""
        if self._rest is not None:
            self._rest += piece
        elif not self._first:
            self._first = piece
        elif piece:
            self._rest = bytearray(self._first)
            self._rest += piece

    def end(self) -> bytes:
        """Return the whole message, and free the memory that it took."""
        whole = self._first if self._rest is None else bytes(self._rest)
        self._first = b""
        self._rest = None
        return whole
