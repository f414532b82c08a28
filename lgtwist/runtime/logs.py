"""What keeps a log readable: limits for lines that repeat, and a peer's text made printable.

Each throttle only answers whether to log; the caller writes the line.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class LogThrottle:
    """Lets the first of several occurrences be logged, and not those that follow it soon.

    :param clock: the reactor, or a clock in its place.
    :param quiet: seconds without an occurrence after which the next one is logged again.
    """

    def __init__(self, clock: IReactorTime, quiet: float = 60.0) -> None:
        self._clock = clock
        self._quiet = quiet
        self._last: float | None = None

    def should_log(self) -> bool:
        """Count an occurrence; return whether to log it."""
        now = self._clock.seconds()
        last, self._last = self._last, now
        return last is None or now - last > self._quiet


class LogThrottles:
    """A :class:`LogThrottle` for each of many keys, of which a peer may have invented most.

    :param clock: the reactor, or a clock in its place.
    :param most: how many keys are kept; further ones are not logged.
    :param quiet: seconds without an occurrence of a key after which it is logged again, and seconds after
        which a full set of keys is cleared.
    """

    def __init__(self, clock: IReactorTime, most: int, quiet: float = 60.0) -> None:
        self._clock = clock
        self._most = most
        self._quiet = quiet
        self._since = clock.seconds()
        self._throttles: dict[str, LogThrottle] = {}

    def should_log(self, key: str) -> bool:
        """Count an occurrence of ``key``; return whether to log it."""
        throttle = self._throttles.get(key)
        if throttle is None:
            now = self._clock.seconds()
            if len(self._throttles) >= self._most:
                if now - self._since < self._quiet:
                    return False
                self._throttles.clear()
            if not self._throttles:
                self._since = now
            throttle = self._throttles[key] = LogThrottle(self._clock, self._quiet)
        return throttle.should_log()


class FlapLog:
    """Limits the lines about what opens and closes again and again.

    So many in a period, each new reason, and one line for the rest.

    :param clock: the reactor, or a clock in its place.
    :param left_out: called at the end of a period in which lines were left out, with their number.
    :param most: lines in a period; and how many reasons are told apart in it.
    :param period: seconds.
    """

    def __init__(
        self, clock: IReactorTime, left_out: Callable[[int], None], most: int = 1000, period: float = 30.0
    ) -> None:
        self._clock = clock
        self._report_left_out = left_out
        self._most = most
        self._period = period
        self._begun_at: float | None = None  # when the period began; None between periods
        self._left = most
        self._left_out = 0
        self._reasons: set[str] = set()
        self._end: IDelayedCall | None = None

    def should_log(self, reason: str = "") -> bool:
        """Count an occurrence; return whether to log it.

        :param reason: logged in any case when it is new in this period; empty for none.
        """
        now = self._clock.seconds()
        begun_at = self._begun_at
        if begun_at is None or (self._end is None and not 0 <= now - begun_at < self._period):
            begun_at = self._begun_at = now  # also where the clock was set back
            self._begin()
        logged = self._left > 0
        if logged:
            self._left -= 1
        if reason and reason not in self._reasons and len(self._reasons) < self._most:
            self._reasons.add(reason)
            return True
        if not logged:
            self._left_out += 1
            if self._end is None:
                left = max(0.0, begun_at + self._period - now)
                self._end = self._clock.callLater(left, self._period_ended)
        return logged

    def _begin(self) -> None:
        self._left, self._left_out = self._most, 0
        self._reasons.clear()

    def _period_ended(self) -> None:
        self._end, left_out = None, self._left_out
        self._begun_at = None
        self._begin()
        self._report_left_out(left_out)

    def stop(self) -> None:
        """End the period now, and report what was left out in it."""
        if self._end is not None:
            self._end.cancel()
            self._period_ended()


def printable(text: str) -> str:
    """Return ``text`` safe for a log or an answer: no control characters, at most 200 characters."""
    if text.isprintable():
        return text[:200]
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:200])
