"""Whole frames out of the bytes that came, without a state machine (RFC 6455, 5.2). Pure.

Most frames are text, whole, in one piece and complete in what one read gave. These are taken here; anything
else is Autobahn's, unchanged, so that there is one place that judges what is odd.
"""

from __future__ import annotations

TEXT = 0x81
PING = 0x89
PONG = 0x8A


def next_frame(data: bytes, at: int, masked: bool, limit: int) -> tuple[int, bytes, int] | None:
    """The frame that begins at ``at``, if it is a whole text message, a ping or a pong, and complete.

    :param masked: whether its sender must mask it, and must not otherwise (5.1).
    :param limit: bytes that a message may have.
    :returns: its first byte, its payload unmasked, and where the next one begins; None for anything else.
    """
    behind = len(data)
    if at + 2 > behind:
        return None
    first, length = data[at], data[at + 1]
    if masked:
        if length < 128:
            return None
        length -= 128
    elif length > 127:
        return None
    begin = at + 2
    if first == TEXT:
        if length == 126:
            begin = at + 4
            length = int.from_bytes(data[at + 2 : begin], "big")
            if length < 126:
                return None  # incomplete, or not the shortest form
        elif length == 127:
            begin = at + 10
            length = int.from_bytes(data[at + 2 : begin], "big")
            if length < 65_536:
                return None
        if length > limit:
            return None
    elif (first != PONG and first != PING) or length > 125:
        return None
    if not masked:
        end = begin + length
        return None if end > behind else (first, data[begin:end], end)
    start = begin + 4
    end = start + length
    if end > behind:
        return None
    # One exclusive-or of two large numbers: what is quick in Python.
    mask = (data[begin:start] * (length // 4 + 1))[:length]
    plain = int.from_bytes(data[start:end], "little") ^ int.from_bytes(mask, "little")
    return first, plain.to_bytes(length, "little"), end


#: Frames up to this length (bytes) are waited for here: what waits is copied with each piece that comes.
_SMALL = 16_384


def begins_frame(rest: bytes, masked: bool, limit: int) -> bool:
    """Whether a text is the beginning of a small frame that :func:`next_frame` takes once it is complete."""
    behind = len(rest)
    if behind < 2 or rest[0] != TEXT:
        return False
    length = rest[1]
    if (length > 127) is not masked:
        return False
    length &= 127
    if length == 127 or (length == 126 and behind < 4):
        return False
    if length == 126:
        length = int.from_bytes(rest[2:4], "big")
        if length < 126:
            return False
    return length <= limit and length <= _SMALL
