"""``python -m benchmarks.guard``: has lgtwist become slow? CPU for each unit of work beside a peer's.

The peer is the one in Python. Both are measured in the same run, so a slow or a busy machine hits both. It
fails only on a real loss: where, in the better of two rounds, the ratio is below half of what it was when
this was written.
"""

from __future__ import annotations

import sys
import time

from benchmarks.cases import find
from benchmarks.subjects import Failed, Unavailable

PEER = "websockets"
#: How many times less CPU than the peer lgtwist takes, by case.
EXPECTED = {"fanout-10-1024": 7.0, "fanout-200-1024": 20.0, "calls-4-16": 3.6}
#: Seconds of each measurement, and in all.
_SECONDS, _LIMIT = 1.0, 60.0


def main() -> int:
    """Measure; the exit status is 1 if something is much slower than it was."""
    begun = time.monotonic()
    slow = False
    for name, expected in EXPECTED.items():
        (case,) = find(name)
        cpu = case.measures[1]
        best = 0.0
        for _round in range(2):
            if time.monotonic() - begun > _LIMIT - 10 or best >= expected / 2:
                break
            try:
                ours, theirs = (cpu.read(case.run(who, _SECONDS)) for who in ("lgtwist", PEER))
            except Unavailable as error:
                sys.stdout.write(f"skipped: {error}\n")
                return 0
            except Failed as error:
                sys.stdout.write(f"{name}: {error}\n")
                continue
            best = max(best, theirs / ours)
        slow = slow or best < expected / 2
        verdict = "TOO SLOW" if best < expected / 2 else "ok"
        sys.stdout.write(f"{name}: {best:.1f} x less CPU than {PEER}, expected {expected:g}: {verdict}\n")
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
