"""Putting a message together from its frames, with memory that is proportional to the message. Pure."""

from __future__ import annotations

import codecs
from io import BytesIO

_utf8_decoder = codecs.getincrementaldecoder("utf-8")


class Assembly:
    """The message that is being received.

    A list of pieces would cost 40 bytes and more for each: a peer that sends a message in fragments of
    two bytes would take twenty times its size. So the first piece is kept as it came (most messages
    have no second), and what follows is copied together.

    A text is checked as UTF-8 while its pieces come: the check of a whole message of 32 MiB would take
    20 ms of one reactor turn.

    :param limit: the size in bytes that a message may have.
    :ivar binary: whether it is a binary message, which is not checked.
    :ivar size: bytes that it has so far.
    """

    __slots__ = ("_announced", "_decoder", "_first", "_rest", "_valid", "binary", "limit", "size")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.begin(False)

    def begin(self, binary: bool) -> None:
        """Begin a new message."""
        self.binary = binary
        self.size = 0
        self._announced = 0
        self._first = b""
        self._rest: BytesIO | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._valid = True

    def announce(self, length: int) -> bool:
        """Begin a frame of ``length`` bytes; return whether the message stays within the limit with it."""
        self._announced += length
        return self._announced <= self.limit

    def add(self, piece: bytes) -> None:
        """Add a piece of a frame's payload, unmasked."""
        self.size += len(piece)
        if not self.binary and self._valid and not (self._decoder is None and piece.isascii()):
            self._check(piece, False)
        if self._rest is not None:
            self._rest.write(piece)
        elif not self._first:
            self._first = piece
        elif piece:
            self._rest = BytesIO()
            self._rest.write(self._first)
            self._rest.write(piece)
            self._first = b""

    def _check(self, piece: bytes, final: bool) -> None:
        if self._decoder is None:
            self._decoder = _utf8_decoder()
        try:
            self._decoder.decode(piece, final)
        except UnicodeDecodeError:
            self._valid = False

    def end(self) -> bytes | None:
        """Return the whole message, and free the memory that it took; None for a text that is not UTF-8."""
        if self._decoder is not None and self._valid:
            self._check(b"", True)
        whole = self._first if self._rest is None else self._rest.getvalue()  # which copies nothing
        valid = self._valid
        self.begin(self.binary)
        return whole if valid else None
