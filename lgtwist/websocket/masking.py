"""Taking the mask off a payload (RFC 6455, 5.3). Pure.

In Python the quickest way is one exclusive-or of two large integers, whose cost is that of making them.
Autobahn brings a function in C for its own masking, where it could be built; for all but the shortest
payloads that is several times quicker.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

Unmask = Callable[[bytes, int, int], bytes]


def unmask_in_python(data: bytes, start: int, end: int) -> bytes:
    """The payload from ``start`` to ``end``, whose mask is the four bytes before it."""
    length = end - start
    mask = (data[start - 4 : start] * (length // 4 + 1))[:length]
    plain = int.from_bytes(data[start:end], "little") ^ int.from_bytes(mask, "little")
    return plain.to_bytes(length, "little")


def unmask_in_c(ffi: Any, lib: Any) -> Unmask:
    """The same, by what Autobahn brings."""
    new, process, free, buffer = (
        lib.nvx_xormask_new,
        lib.nvx_xormask_process,
        lib.nvx_xormask_free,
        ffi.from_buffer,
    )

    def unmask(data: bytes, start: int, end: int) -> bytes:
        plain = bytearray(data[start:end])
        masker = new(data[start - 4 : start])
        process(masker, buffer(plain), end - start)
        free(masker)
        return bytes(plain)

    return unmask


def quickest() -> Unmask:
    """What is there, is wanted (``AUTOBAHN_USE_NVX``), and does what it should: it is Autobahn's own."""
    sample = bytes(range(256)) * 5
    try:
        from autobahn.websocket import USES_NVX

        nvx = import_module("_nvx_xormasker")
        in_c = unmask_in_c(nvx.ffi, nvx.lib)
        if USES_NVX and all(
            in_c(sample, n, 900 + n) == unmask_in_python(sample, n, 900 + n) for n in range(4, 24)
        ):
            return in_c
    except Exception:  # whatever a library that is not what we know says
        return unmask_in_python
    return unmask_in_python


unmask = quickest()
