"""How freed memory goes back to the system."""

from __future__ import annotations

import ctypes
import sys

#: Parameters of glibc's ``mallopt``, and their value here (bytes).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_THRESHOLD = 1 << 20


def return_freed_memory() -> bool:
    """Let the C library give freed blocks of a MiB and more back to the system at once.

    glibc raises its thresholds up to 32 MiB by itself when large blocks are freed, and keeps such blocks for
    the next: some large messages leave hundreds of megabytes behind.

    :returns: whether there is such a C library.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_M_MMAP_THRESHOLD, _THRESHOLD) and mallopt(_M_TRIM_THRESHOLD, _THRESHOLD))
    except (OSError, AttributeError):  # musl has none, and gives memory back by itself
        return False
