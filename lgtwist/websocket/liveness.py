"""Whether a peer is still there. Pure: the time is an argument.

A peer is dead when nothing at all came from it for ``ping_timeout`` although it answered pings before
on this connection. A missing pong alone is not death: there are programs that are busy, implementations
that never answer pings, and peers in the middle of a large upload. (Networks that were cut are found by
TCP itself, see ``tcp_user_timeout``.)

A peer that sends heartbeats of its own is mute, and as good as dead, when neither a heartbeat nor any part
of another message came for three of their intervals, nor anything at all after a ping that was sent when two
had passed: who answers pings is never mute. What a peer says of its interval is not believed alone: some say
it in seconds, others a constant. The interval is the longest of its word and of the gaps that were measured,
and there is none before enough gaps were.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

#: After so many of its heartbeat intervals without a message a peer is pinged, and after so many it is mute.
_PROBE_AFTER = 2
_HEARTBEATS = 3
#: Gaps between heartbeats that must have been measured before any is missed, and that are kept.
_MEASURED = 2
_RECENT_GAPS = 4
#: Shorter gaps are not counted (seconds): heartbeats that waited somewhere arrive together.
_SHORTEST_GAP = 0.1
#: A peer is not mute sooner (seconds).
_SHORTEST_SILENCE = 1.0


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
        "_gaps",
        "_heartbeat_interval",
        "_interval",
        "_last_byte",
        "_last_heartbeat",
        "_last_message",
        "_next_ping",
        "_probed",
        "_sent",
        "_timeout",
    )

    def __init__(self, now: float, interval: float, timeout: float) -> None:
        self._interval = interval
        self._timeout = timeout
        self._next_ping = now + interval
        self._last_byte = self._last_message = now
        self._heartbeat_interval = 0.0
        self._last_heartbeat: float | None = None
        self._gaps: deque[float] = deque(maxlen=_RECENT_GAPS)
        self._probed: float | None = None  # when it was pinged for its silence
        self._answered = False
        self._sent = self._confirmed = 0

    def configure(self, now: float, interval: float, timeout: float) -> None:
        """Take other limits: seconds between pings (0 for none), and seconds of silence that are death."""
        self._interval, self._timeout = interval, timeout
        self._next_ping = min(self._next_ping, now + interval)

    def heartbeat(self, now: float, interval: float) -> None:
        """Take note of a heartbeat of the peer's own: more are expected, once their real gaps are known.

        :param interval: seconds until the next one, as the peer says; 0 for unknown, which promises nothing.
        """
        last = self._last_heartbeat
        if last is not None and now - last < _SHORTEST_GAP:
            return
        self._last_heartbeat = now
        if last is not None:
            self._gaps.append(now - last)
        measured = interval and len(self._gaps) >= _MEASURED
        self._heartbeat_interval = max(interval, *self._gaps) if measured else 0.0

    def reason(self, verdict: PeerVerdict) -> str:
        """Return why a peer with such a verdict is dropped."""
        if verdict is PeerVerdict.MUTE:
            interval = f"{self._heartbeat_interval:.1f}".removesuffix(".0")
            return f"no message for {_HEARTBEATS} of its heartbeat intervals of {interval} s"
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
        if message_seen or (bytes_seen and self._probed is not None):
            self._last_message, self._probed = now, None
        else:
            self._last_message = min(now, self._last_message + not_reading)
        if self._heartbeat_interval:
            verdict = self._check_heartbeats(now, not_reading)
            if verdict is not PeerVerdict.WAIT:
                return verdict
        if self._interval and now >= self._next_ping:
            self._next_ping = max(self._next_ping + self._interval, now)
            return PeerVerdict.PING
        return PeerVerdict.WAIT

    def _check_heartbeats(self, now: float, not_reading: float) -> PeerVerdict:
        """Judge the peer by its heartbeats: ping it once when some are missing, and drop it later."""
        interval = max(self._heartbeat_interval, _SHORTEST_SILENCE / _HEARTBEATS)
        silent = now - self._last_message
        if self._probed is None:
            if silent < _PROBE_AFTER * interval:
                return PeerVerdict.WAIT
            self._probed = now
            self._next_ping = now + self._interval
            return PeerVerdict.PING
        self._probed = min(now, self._probed + not_reading)
        waited = now - self._probed >= (_HEARTBEATS - _PROBE_AFTER) * interval
        return PeerVerdict.MUTE if waited and silent >= _HEARTBEATS * interval else PeerVerdict.WAIT

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
