"""Limits of the listening ports: connections, time for a request's head, failed authentications."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lgtwist.config.limits import Limits
from lgtwist.net.loopback import is_loopback_name
from lgtwist.runtime.logs import Logger


@define
class PortCounters:
    """What happened at the listening ports since the start."""

    accepted: int = 0
    turned_away: int = 0  # over `connections` by so many that they were dropped
    displaced: int = 0  # aborted, the oldest of more handshakes than `handshakes`
    handshake_timeouts: int = 0
    refused: int = 0  # 401 and 403
    limited: int = 0  # of these, 503 because of too many failures


class Handshaking(Protocol):
    """A connection that has not sent the whole head of a request yet."""

    def abort(self) -> None:
        """Abort the connection."""


#: Connections over `limits.connections` that are still answered, with 503; further ones are dropped.
_ANSWERED_SURPLUS = 64
#: Seconds for which failures of an address are counted; and how many addresses are.
_FAILURE_PERIOD = 60.0
_FAILURE_ADDRESSES = 10_000


class ConnectionLimits:
    """Counts the connections of all ports, aborts slow handshakes, counts failed authentications.

    A handshake lasts from accept, or the first byte of a further request, to the end of the request's head.

    :ivar limits: may be replaced as a whole.
    :ivar open_connections: the number of open connections, upgraded ones among them.
    """

    _log = Logger()

    def __init__(self, limits: Limits, clock: IReactorTime) -> None:
        self.limits = limits
        self.counters = PortCounters()
        self.open_connections = 0
        self.clock = clock
        self._handshakes: dict[
            Handshaking, float
        ] = {}  # when each began, in seconds of the clock; the oldest first
        self._timer: IDelayedCall | None = None
        self._failures: dict[
            str, tuple[float, int]
        ] = {}  # by address: when the first was, and how many there were

    # -- connections

    def connection_opened(self) -> Callable[[], None] | None:
        """Count a connection that was accepted.

        :returns: a function; call it when the connection is closed, once or more often. None if there are
            so many connections that this one must be dropped.
        """
        if self.open_connections >= self.limits.connections + _ANSWERED_SURPLUS:
            self.counters.turned_away += 1
            return None
        self.counters.accepted += 1
        self.open_connections += 1
        counted = [True]

        def closed() -> None:
            if counted:
                counted.clear()
                self.open_connections -= 1

        return closed

    @property
    def exceeded(self) -> bool:
        """Whether there are more connections than `connections`, so that requests are answered 503."""
        return self.open_connections > self.limits.connections

    # -- handshakes under way

    def handshake_begun(self, connection: Handshaking) -> None:
        """Abort ``connection`` in ``handshake_timeout``, unless its handshake has ended.

        If there are more handshakes than ``handshakes``, abort the oldest one now.
        """
        now = self.clock.seconds()
        self._handshakes[connection] = now
        if len(self._handshakes) > self.limits.handshakes:
            oldest = next(iter(self._handshakes))
            del self._handshakes[oldest]
            self.counters.displaced += 1
            oldest.abort()
        timeout = self.limits.handshake_timeout
        if self._timer is None:
            self._timer = self.clock.callLater(timeout, self._expire)
        elif self._timer.getTime() > now + timeout:  # the limit was made shorter
            self._timer.reset(timeout)

    def handshake_ended(self, connection: Handshaking) -> None:
        """Note that the request's head is complete, or that the connection is closed."""
        self._handshakes.pop(connection, None)

    def _expire(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        timeout = self.limits.handshake_timeout
        late = []
        for connection, begun in self._handshakes.items():
            if begun + timeout > now:
                break
            late.append(connection)
        for connection in late:
            del self._handshakes[connection]
            self.counters.handshake_timeouts += 1
            connection.abort()
        for begun in self._handshakes.values():
            self._timer = self.clock.callLater(begun + timeout - now, self._expire)
            break

    # -- failures

    def authentication_failed(self, address: str, why: str, logged: bool = False) -> bool:
        """Count a request that was refused for its token or signature; log the first one of an address.

        :param address: of the peer.
        :param why: for the log.
        :param logged: whether it was logged already.
        :returns: whether this address fails too often; never so for loopback.
        """
        self.counters.refused += 1
        now = self.clock.seconds()
        since, times = self._failures.pop(address, (now, 0))
        if now - since > _FAILURE_PERIOD:
            if times > 1:
                self._log.warn("{address} was refused {times} times", address=address, times=times)
            since, times = now, 0
        if not times and not logged:
            self._log.warn("refused {address}: {why}", address=address, why=why)
        self._failures[address] = (since, times + 1)
        if len(self._failures) > _FAILURE_ADDRESSES:
            del self._failures[next(iter(self._failures))]
        if times < self.limits.failed_handshakes or is_loopback_name(address):
            return False
        self.counters.limited += 1
        return True

    def stop(self) -> None:
        """Abort every connection with a handshake under way."""
        self._handshakes, handshakes = {}, self._handshakes
        for connection in handshakes:
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
