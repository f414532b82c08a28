"""Frames for tests, right and wrong."""

from __future__ import annotations

import struct

from hypothesis import settings

from tests.rounds import LONG_ROUNDS, quick

#: More of them than of others: a stream holds many frames, and a difference may need three of a kind.
thorough = settings(quick, max_examples=100 * LONG_ROUNDS)


FIN = 0x80


#: Of frames: where another form of the length begins, and around it.
SIZES = (0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537)


KEYS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x37\xfa\x21\x3d", b"\x80\x00\x00\x01", b"\0\0\0\xff")


def frame(
    first: int, payload: bytes, key: bytes | None, form: int | None = None, announced: int | None = None
) -> bytes:
    """One frame, right or wrong.

    :param key: of the mask; None for none.
    :param form: the length's first seven bits if it has more; the shortest form by default.
    :param announced: the length that it tells, where that is a lie.
    """
    length = len(payload) if announced is None else announced
    if form is None:
        form = length if length < 126 else 126 if length < 65_536 else 127
    extended = {126: "!H", 127: "!Q"}.get(form)
    head = bytes([first, form | (0 if key is None else 0x80)])
    head += struct.pack(extended, length) if extended else b""
    if key is None:
        return head + payload
    mask = (key * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + key + masked.to_bytes(len(payload), "big")
