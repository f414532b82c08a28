"""Whether a peer is still there. Pure: time comes in.

A peer is dead when nothing at all came from it for ``ping_timeout`` although it answered pings before
on this connection. A missing pong alone is not death: there are programs that are busy, implementations
that never answer pings, and peers in the middle of a large upload. (Networks that were cut are found by
TCP itself, see ``tcp_user_timeout``.)

A peer that promised heartbeats of its own is mute, and as good as dead, when neither a heartbeat nor any
part of another message came for three of their intervals.
"""

from __future__ import annotations

from enum import Enum

#: So many heartbeats of its own may a peer leave out.
_BEATS = 3


class Verdict(Enum):
    """What is to be done about a peer."""

    WAIT = 0
    PING = 1
    DEAD = 2
    MUTE = 3


class Liveness:
    """What we know of one peer's life.

    :param now: seconds, of any monotonic clock.
    :param interval: seconds between pings; 0 for none.
    :param timeout: seconds of silence that kill.
    """

    __slots__ = (
        "_answered",
        "_beat",
        "_confirmed",
        "_interval",
        "_next_ping",
        "_sent",
        "_since",
        "_talked_since",
        "_timeout",
    )

    def __init__(self, now: float, interval: float, timeout: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._next_ping = now + interval
        self._since = self._talked_since = now
        self._beat = 0.0
        self._answered = False
        self._sent = self._confirmed = 0

    def expect_heartbeats(self, interval: float) -> None:
        """The peer sends heartbeats of its own, ``interval`` seconds apart."""
        self._beat = interval

    def obituary(self, verdict: Verdict) -> str:
        """What a peer died of."""
        if verdict is Verdict.MUTE:
            return f"no message for {_BEATS} of its heartbeat intervals of {self._beat:g} s"
        return f"silent for {self._timeout:g} s"

    def look(self, now: float, heard: bool, talked: bool, deaf: float) -> Verdict:
        """Look at the peer; called every now and then, the more often the more exact.

        :param heard: whether any byte came since the last look.
        :param talked: whether any part of a message did.
        :param deaf: for how many seconds since the last look we did not read ourselves; they do not
            count as the peer's silence.
        """
        self._since = now if heard else min(now, self._since + deaf)
        if self._answered and now - self._since >= self._timeout:
            return Verdict.DEAD
        self._talked_since = now if talked else min(now, self._talked_since + deaf)
        if self._beat and now - self._talked_since >= _BEATS * self._beat:
            return Verdict.MUTE
        if self._interval and now >= self._next_ping:
            self._next_ping = max(self._next_ping + self._interval, now)
            return Verdict.PING
        return Verdict.WAIT

    def next_ping(self) -> int:
        """The number of a ping that is sent now. Its pong confirms all before it too."""
        self._sent += 1
        return self._sent

    def pong(self, payload: bytes) -> int:
        """The number of the ping that a pong with ``payload`` confirms; 0 if it confirms none.

        Unsolicited and repeated pongs confirm nothing (RFC 6455, 5.5.3).
        """
        digits = payload.partition(b".")[0]
        if not digits.isdigit() or len(digits) > 19:
            return 0
        number = int(digits)
        if not self._confirmed < number <= self._sent:
            return 0
        self._confirmed = number
        self._answered = True
        return number
