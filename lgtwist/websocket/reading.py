"""Parsing the frames that are whole in one read, without a state machine (RFC 6455, 5.2). Pure.

Most frames are unfragmented text and complete in what one read gave. These are parsed here; anything else is
left to Autobahn, unchanged, so that only one parser judges what is malformed.
"""

from __future__ import annotations

import struct

from lgtwist.websocket.masking import apply_mask, masked_in_python

TEXT = 0x81
PING = 0x89
PONG = 0x8A

#: How many frames are parsed at once.
AT_ONCE = 64

#: The first eight bytes of a masked frame whose length is in two bytes: all of its head.
_head = struct.Struct("!BBHI").unpack_from
#: Payloads below this length (bytes) are unmasked by an exclusive-or of two integers, of which one is the
#: product of the mask with one of these: 1, 1_0000_0001, ... in hex.
_SHORT = 1024 if apply_mask is masked_in_python else 320
_REPEAT = [sum(1 << 32 * at for at in range(words)) for words in range(_SHORT // 4 + 1)]


def is_utf8(payload: bytes) -> bool:
    """Return whether ``payload`` is valid UTF-8 (RFC 6455, 8.1)."""
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def whole_frames(data: bytes, at: int, masked: bool, limit: int) -> list[tuple[int, bytes, int]]:
    """Return the frames from ``at`` on that :func:`next_frame` parses, up to :data:`AT_ONCE`.

    If there are fewer, then :func:`next_frame` returns None for what follows the last of them.
    """
    frames: list[tuple[int, bytes, int]] = []
    behind = len(data)
    last = behind - 8 if masked else -1
    from_bytes = int.from_bytes
    while at < behind and len(frames) < AT_ONCE:
        if at <= last:
            first, second, length, key = _head(data, at)
            if first == TEXT and 127 < second < 255:
                if second == 254:
                    start = at + 8
                    if length < 126:
                        break
                else:
                    start = at + 6
                    key = length << 16 | key >> 16
                    length = second - 128
                end = start + length
                if end > behind or length > limit:
                    break
                if length < _SHORT:
                    mask = key * _REPEAT[(length + 3) >> 2] >> (-length & 3) * 8
                    plain = (from_bytes(data[start:end], "big") ^ mask).to_bytes(length, "big")
                else:
                    plain = apply_mask(data[start:end], data[start - 4 : start])
                frames.append((TEXT, plain, end))
                at = end
                continue
        frame = next_frame(data, at, masked, limit)
        if frame is None:
            break
        frames.append(frame)
        at = frame[2]
    return frames


def next_frame(data: bytes, at: int, masked: bool, limit: int) -> tuple[int, bytes, int] | None:
    """Parse the frame that begins at ``at``, if it is an unfragmented text, a ping or a pong, and complete.

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
    return first, apply_mask(data[start:end], data[begin:start]), end


#: Only frames up to this length (bytes) are waited for: what waits is copied with each further read.
_SMALL = 16_384


def begins_frame(rest: bytes, masked: bool, limit: int) -> bool:
    """Return whether ``rest`` begins a small text frame that :func:`next_frame` parses once complete."""
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
