"""Server frames, ready to be written (RFC 6455, 5.2): encoded once, sent to many."""

from __future__ import annotations

import struct


def server_frame(payload: bytes) -> bytes:
    """``payload`` as one whole unmasked text frame.

    :param payload: UTF-8, as RFC 6455, 5.6 wants it of a text frame; not looked at here.
    """
    length = len(payload)
    if length < 126:
        return b"\x81%c%b" % (length, payload)
    if length < 65_536:
        return b"\x81\x7e" + struct.pack("!H", length) + payload
    return b"\x81\x7f" + struct.pack("!Q", length) + payload
