"""Encoding whole frames (RFC 6455, 5.2), of which one may be sent to many. Pure."""

from __future__ import annotations

import os
import struct

from lgtwist.websocket.masking import apply_mask

#: The heads of payloads below this length (bytes) are made in advance.
_READY = 2048
_HEADS = [b"\x81%c" % length for length in range(126)]
_HEADS += [b"\x81\x7e" + struct.pack("!H", length) for length in range(126, _READY)]


def server_frame(payload: bytes) -> bytes:
    """Return ``payload`` as one whole unmasked text frame.

    :param payload: UTF-8, as RFC 6455, 5.6 requires of a text frame; not checked here.
    """
    length = len(payload)
    if length < _READY:
        return _HEADS[length] + payload
    if length < 65_536:
        return b"\x81\x7e" + struct.pack("!H", length) + payload
    return b"\x81\x7f" + struct.pack("!Q", length) + payload


def client_frame(payload: bytes) -> bytes:
    """Return ``payload`` as one whole text frame with a mask, as a client's must have (RFC 6455, 5.3).

    :param payload: UTF-8; not checked here.
    """
    length = len(payload)
    key = os.urandom(4)
    if length < 126:
        head = b"\x81%c" % (0x80 | length)
    elif length < 65_536:
        head = b"\x81\xfe" + struct.pack("!H", length)
    else:
        head = b"\x81\xff" + struct.pack("!Q", length)
    return b"".join((head, key, apply_mask(payload, key)))


def server_ping(payload: bytes) -> bytes:
    """Return a ping (RFC 6455, 5.5.2) as a server sends it.

    :param payload: at most 125 bytes.
    """
    return b"\x89%c%b" % (len(payload), payload)


def client_ping(payload: bytes) -> bytes:
    """Return a ping as a client sends it.

    :param payload: at most 125 bytes.
    """
    key = os.urandom(4)
    return b"\x89%c%b%b" % (0x80 | len(payload), key, apply_mask(payload, key))
