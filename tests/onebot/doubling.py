"""Measuring readers with inputs that grow by doubling: no faster than the bytes, in time and in memory."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator

#: How much longer a reader may take for twice the bytes.
RATIO = 2.6
#: Seconds that are of the machine, not of the reader.
_NOISE = 0.02


def best_time(run: Callable[[], object], runs: int = 3, enough: float = 0.0) -> float:
    """Return the shortest of several runs, in seconds of this process; stop early at ``enough``."""
    best = float("inf")
    for _ in range(runs):
        began = time.process_time()
        run()
        best = min(best, time.process_time() - began)
        if best <= enough:
            break
    return best


def peak_memory(run: Callable[[], object]) -> int:
    """Return the bytes that a run takes at its peak."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def growth(read: Callable[[bytes], object], make: Callable[[int], bytes], sizes: list[int]) -> Iterator[str]:
    """Yield what grows faster than the bytes: a sentence for each size that takes too long.

    :param make: makes an input of about so many bytes.
    """
    before = float("inf")
    for size in sizes:
        text = make(size)
        gc.collect()
        took = best_time(lambda text=text: read(text), enough=RATIO * before + _NOISE)  # type: ignore[misc]
        for _attempt in range(4):  # a loaded machine may have been slow just now, or fast before
            if took <= RATIO * before + _NOISE:
                break
            half = make(size // 2)
            before = max(before, best_time(lambda half=half: read(half), runs=1))  # type: ignore[misc]
            took = min(took, best_time(lambda text=text: read(text), runs=1))  # type: ignore[misc]
        else:
            yield f"{size} bytes: {took:.3f} s, half of it {before:.3f} s"
        before = took
