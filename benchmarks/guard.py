"""``python -m benchmarks.guard``: has lgtwist become slow? CPU for each unit of work beside a peer's.

The peer is the one in Python. Both are measured in the same run, so a slow or a busy machine hits both. It
fails only on a real loss: where, in the better of two rounds, the ratio is below half of what it was when
this was written. An event of Milky may take three times the CPU of one of OneBot 11, in the better of two
rounds too.
"""

from __future__ import annotations

import sys
import time

from benchmarks.cases import find
from benchmarks.subjects import Failed, Unavailable

PEER = "websockets"
#: How many times less CPU than the peer lgtwist takes, by case.
EXPECTED = {"fanout-10-1024": 7.0, "fanout-200-1024": 20.0, "calls-4-16": 3.6}
#: The case with an account of Milky, and how many times the CPU of a OneBot account's event one may take.
MILKY, MOST = "milky-events", 3.0
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
    slow = _is_milky_slow() or slow
    return int(slow)


def _is_milky_slow() -> bool:
    """Measure events of Milky beside those of OneBot 11."""
    (case,) = find(MILKY)
    cpu = case.measures[0]
    ratio = 0.0
    for _round in range(2):
        try:
            milky, onebot = (cpu.read(case.run(who, _SECONDS)) for who in ("milky", "forward-websocket"))
        except Unavailable as error:
            sys.stdout.write(f"{MILKY} is skipped: {error}\n")
            return False
        except Failed as error:
            sys.stdout.write(f"{MILKY}: {error}\n")
            continue
        ratio = milky / onebot
        if ratio <= MOST:
            break
    is_slow = not 0 < ratio <= MOST
    verdict = "TOO SLOW" if is_slow else "ok"
    sys.stdout.write(f"{MILKY}: {ratio:.1f} x the CPU of OneBot 11's, at most {MOST:g}: {verdict}\n")
    return is_slow


if __name__ == "__main__":
    sys.exit(main())
