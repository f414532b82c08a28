"""Whether a peer is still there. Pure: time comes in.

A peer is dead when nothing at all came from it for ``ping_timeout`` although it answered pings before
on this connection. A missing pong alone is not death: there are programs that are busy, implementations
that never answer pings, and peers in the middle of a large upload. (Networks that were cut are found by
TCP itself, see ``tcp_user_timeout``.)
"""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What is to be done about a peer."""

    WAIT = 0
    PING = 1
    DEAD = 2


class Liveness:
    """What we know of one peer's life.

    :param now: seconds, of any monotonic clock.
    :param interval: seconds between pings; 0 for none.
    :param timeout: seconds of silence that kill.
    """

    __slots__ = (
        "_answered",
        "_confirmed",
        "_interval",
        "_next_ping",
        "_sent",
        "_since",
        "_timeout",
    )

    def __init__(self, now: float, interval: float, timeout: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._next_ping = now + interval
        self._since = now
        self._answered = False
        self._sent = self._confirmed = 0

    def look(self, now: float, heard: bool, deaf: float) -> Verdict:
        """Look at the peer; called every now and then, the more often the more exact.

        :param heard: whether any byte came since the last look.
        :param deaf: for how many seconds since the last look we did not read ourselves; they do not
            count as the peer's silence.
        """
        self._since = now if heard else min(now, self._since + deaf)
        if self._answered and now - self._since >= self._timeout:
            return Verdict.DEAD
        if self._interval and now >= self._next_ping:
            self._next_ping = max(self._next_ping + self._interval, now)
            return Verdict.PING
        return Verdict.WAIT

    def ping_payload(self) -> bytes:
        """The payload of a ping that is sent now. It names the ping: its pong confirms all before too."""
        self._sent += 1
        return b"%d" % self._sent

    def pong(self, payload: bytes) -> bool:
        """Whether ``payload`` is the pong of a ping of ours that was not confirmed yet.

        Unsolicited and repeated pongs confirm nothing (RFC 6455, 5.5.3).
        """
        if not payload.isdigit() or len(payload) > 19:
            return False
        number = int(payload)
        if not self._confirmed < number <= self._sent:
            return False
        self._confirmed = number
        self._answered = True
        return True
