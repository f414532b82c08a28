"""Whether a peer is still there. Pure: the time is an argument.

A peer is dead when nothing at all came from it for ``ping_timeout`` although it answered pings before
on this connection. A missing pong alone is not death: there are programs that are busy, implementations
that never answer pings, and peers in the middle of a large upload. (Networks that were cut are found by
TCP itself, see ``tcp_user_timeout``.)

A peer that promised heartbeats of its own is mute, and as good as dead, when neither a heartbeat nor any
part of another message came for three of their intervals.
"""

from __future__ import annotations

from enum import Enum

#: After so many of its heartbeat intervals without a message a peer is mute.
_HEARTBEATS = 3


class PeerVerdict(Enum):
    """What is to be done about a peer: nothing, a ping, or dropping it for either reason."""

    WAIT = 0
    PING = 1
    DEAD = 2
    MUTE = 3


class Liveness:
    """Judges one peer by when bytes and messages of it came last.

    :param now: seconds, of any monotonic clock.
    :param interval: seconds between pings; 0 for none.
    :param timeout: seconds of silence after which a peer that answers pings is dead.
    """

    __slots__ = (
        "_answered",
        "_confirmed",
        "_heartbeat_interval",
        "_interval",
        "_last_byte",
        "_last_message",
        "_next_ping",
        "_sent",
        "_timeout",
    )

    def __init__(self, now: float, interval: float, timeout: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._next_ping = now + interval
        self._last_byte = self._last_message = now
        self._heartbeat_interval = 0.0
        self._answered = False
        self._sent = self._confirmed = 0

    def configure(self, now: float, interval: float, timeout: float) -> None:
        """Take other limits: seconds between pings (0 for none), and seconds of silence that are death."""
        self._interval, self._timeout = interval, timeout
        self._next_ping = min(self._next_ping, now + interval)

    def expect_heartbeats(self, interval: float) -> None:
        """Expect heartbeats of the peer's own, ``interval`` seconds apart; 0 for none."""
        self._heartbeat_interval = interval

    def reason(self, verdict: PeerVerdict) -> str:
        """Return why a peer with such a verdict is dropped."""
        if verdict is PeerVerdict.MUTE:
            interval = self._heartbeat_interval
            return f"no message for {_HEARTBEATS} of its heartbeat intervals of {interval:g} s"
        return f"silent for {self._timeout:g} s"

    def check(self, now: float, bytes_seen: bool, message_seen: bool, not_reading: float) -> PeerVerdict:
        """Judge the peer. Call it regularly: the interval of the calls is the precision of the judgement.

        :param bytes_seen: whether any byte came since the last check.
        :param message_seen: whether any part of a message did.
        :param not_reading: for how many seconds since the last check we did not read ourselves; they do not
            count as the peer's silence.
        """
        self._last_byte = now if bytes_seen else min(now, self._last_byte + not_reading)
        if self._answered and now - self._last_byte >= self._timeout:
            return PeerVerdict.DEAD
        self._last_message = now if message_seen else min(now, self._last_message + not_reading)
        if self._heartbeat_interval and now - self._last_message >= _HEARTBEATS * self._heartbeat_interval:
            return PeerVerdict.MUTE
        if self._interval and now >= self._next_ping:
            self._next_ping = max(self._next_ping + self._interval, now)
            return PeerVerdict.PING
        return PeerVerdict.WAIT

    def next_ping(self) -> int:
        """Return the number of a ping that is sent now. Its pong confirms all before it too."""
        self._sent += 1
        return self._sent

    def pong(self, payload: bytes) -> int:
        """Return the number of the ping that a pong with ``payload`` confirms; 0 if it confirms none.

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
