"""Masking (RFC 6455, 5.3): the same operation masks and unmasks. Pure.

In Python the fastest way is one exclusive-or of two large integers, whose cost is that of making them.
Autobahn has a function in C for its own masking, where it could be built; for all but the shortest
payloads that is several times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

#: Returns a payload, masked with a key of four bytes.
Masked = Callable[[bytes, bytes], bytes]

#: Bytes that are masked at once with integers; a multiple of the key's four.
_STRETCH = 65_536


def masked_in_python(payload: bytes, key: bytes) -> bytes:
    """Return ``payload``, masked with ``key``."""
    length = len(payload)
    if length > _STRETCH:
        stretches = (payload[at : at + _STRETCH] for at in range(0, length, _STRETCH))
        return b"".join([masked_in_python(stretch, key) for stretch in stretches])
    mask = int.from_bytes((key * (length // 4 + 1))[:length], "little")
    return (int.from_bytes(payload, "little") ^ mask).to_bytes(length, "little")


def masked_in_c(ffi: Any, lib: Any) -> Masked:
    """Return a function that masks with Autobahn's C module, whose cffi objects are given."""
    new, process, free = lib.nvx_xormask_new, lib.nvx_xormask_process, lib.nvx_xormask_free
    buffer = ffi.from_buffer

    def masked(payload: bytes, key: bytes) -> bytes:
        inside = bytearray(payload)
        masker = new(key)
        process(masker, buffer(inside), len(inside))
        free(masker)
        return bytes(inside)

    return masked


def fastest() -> Masked:
    """Return the fastest function that masks correctly here.

    Autobahn's module in C is private to it: it is used if it is there, is not switched off
    (``AUTOBAHN_USE_NVX``), and masks some samples as :func:`masked_in_python` does.
    """
    sample = bytes(range(256)) * 4
    try:
        from autobahn.websocket import USES_NVX

        nvx = import_module("_nvx_xormasker")
        in_c = masked_in_c(nvx.ffi, nvx.lib)
        if USES_NVX and all(
            in_c(sample[n:], sample[n : n + 4]) == masked_in_python(sample[n:], sample[n : n + 4])
            for n in (*range(24), *range(1000, 1020))
        ):
            return in_c
    except Exception:  # whatever another version of it raises
        return masked_in_python
    return masked_in_python


apply_mask = fastest()
