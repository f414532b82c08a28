"""Limits of the listening ports: connections, time for a request's head, failed authentications."""

from __future__ import annotations

from collections.abc import Callable, Hashable
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
    turned_away: int = 0  # dropped, or aborted without ever having shown a right token, for want of room
    displaced: int = 0  # aborted, the oldest of more handshakes than `handshakes`
    handshake_timeouts: int = 0
    refused: int = 0  # 401 and 403
    limited: int = 0  # of these, 503 because of too many failures


class Abortable(Protocol):
    """A connection of a listening port."""

    def abort(self) -> None:
        """Abort the connection."""


#: Connections over `limits.connections` that are still answered; see :class:`ConnectionLimits`.
_SURPLUS = 64
#: One bot, or one account's implementation, may have this part of `limits.connections`; at least so many.
_SHARE = 4
_LEAST_SHARE = 8
#: Seconds for which failures of an address are counted; and how many addresses are.
_FAILURE_PERIOD = 60.0
_FAILURE_ADDRESSES = 10_000


class CountedConnection:
    """A connection that :class:`ConnectionLimits` counts.

    :ivar connection: None once it was upgraded, or is closed: it refers to what refers to this.
    :ivar owner: the bot, account or operator that it counts for; None while it has shown no right token.
    """

    __slots__ = ("_on_closed", "connection", "is_open", "owner")

    def __init__(self, connection: Abortable, on_closed: Callable[[CountedConnection], None]) -> None:
        self.connection: Abortable | None = connection
        self.owner: Hashable | None = None
        self.is_open = True
        self._on_closed = on_closed

    def closed(self) -> None:
        """Take note that the connection is closed; may be called more often."""
        self.connection = None
        self._on_closed(self)


class ConnectionLimits:
    """Counts the connections of all ports, aborts slow handshakes, counts failed authentications.

    A connection counts for a bot, for an account's implementation or for the operator from its first right
    token on (or from its first request of a program on this machine, where no token is needed). Each of them
    has a share of ``connections``, and all together have ``connections``. Those that have shown nothing use
    the room that is left, and 64 more; beyond, the one of them that was answered, or accepted, the longest
    ago is aborted. They are therefore never in the way of a right token, nor of ``/healthz``.

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
        self._owned: dict[Hashable, int] = {}  # open connections by owner
        self._all_owned = 0
        # Those without an owner, the one that was answered, or accepted, the longest ago first.
        self._unowned: dict[CountedConnection, None] = {}
        self._handshakes: dict[
            Abortable, float
        ] = {}  # when each began, in seconds of the clock; the oldest first
        self._timer: IDelayedCall | None = None
        self._failures: dict[
            str, tuple[float, int]
        ] = {}  # by address: when the first was, and how many there were

    # -- connections

    def connection_opened(self, connection: Abortable) -> CountedConnection | None:
        """Count a connection that was accepted; abort one that has no owner, if there are too many.

        :returns: None if there are so many connections with owners that this one must be dropped.
        """
        if self.open_connections >= self.limits.connections + _SURPLUS:
            self.counters.turned_away += 1
            if not self._unowned:
                return None
            oldest = next(iter(self._unowned))
            surplus = oldest.connection
            oldest.closed()  # its transport is closed in the next turn of the reactor only
            if surplus is not None:
                surplus.abort()
        self.counters.accepted += 1
        self.open_connections += 1
        counted = CountedConnection(connection, self._closed)
        self._unowned[counted] = None
        return counted

    def _closed(self, counted: CountedConnection) -> None:
        if counted.is_open:
            counted.is_open = False
            self.open_connections -= 1
            self._unowned.pop(counted, None)
            self._disown(counted)

    def _disown(self, counted: CountedConnection) -> None:
        owner, counted.owner = counted.owner, None
        if owner is not None:
            self._all_owned -= 1
            left = self._owned[owner] - 1
            if left:
                self._owned[owner] = left
            else:
                del self._owned[owner]

    def answered(self, counted: CountedConnection) -> None:
        """Note that a request on a connection was answered."""
        if counted in self._unowned:
            del self._unowned[counted]
            self._unowned[counted] = None

    @property
    def share(self) -> int:
        """How many connections one bot, one account's implementation, or the operator may have."""
        return max(_LEAST_SHARE, self.limits.connections // _SHARE)

    def why_not_owned(self, counted: CountedConnection, owner: Hashable) -> str | None:
        """Return why a connection cannot count for an owner, as the end of a sentence; None if it can."""
        if counted.owner == owner or not counted.is_open:
            return None
        has, share = self._owned.get(owner, 0), self.share
        if has >= share:
            return f"has {has} connections, its share of limits.connections; try again soon"
        if counted.owner is None and self._all_owned >= self.limits.connections:
            return "finds all of limits.connections in use; try again soon"
        return None

    def own(self, counted: CountedConnection, owner: Hashable) -> str | None:
        """Count a connection for ``owner`` from now on, and no more for the owner before.

        :param owner: compared with ``==``.
        :returns: why that cannot be, see :meth:`why_not_owned`; None if it is done.
        """
        why = self.why_not_owned(counted, owner)
        if why is None and counted.is_open and counted.owner != owner:
            self._unowned.pop(counted, None)
            self._disown(counted)
            counted.owner = owner
            self._owned[owner] = self._owned.get(owner, 0) + 1
            self._all_owned += 1
        return why

    # -- handshakes under way

    def handshake_begun(self, connection: Abortable) -> None:
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

    def handshake_ended(self, connection: Abortable) -> None:
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

    def authentication_failed(
        self, address: str, why: str, logged: bool = False, *, failures: int = 1
    ) -> bool:
        """Count a request that was refused for its token or signature; log the first one of an address.

        :param address: of the peer.
        :param why: for the log.
        :param logged: whether it was logged already.
        :param failures: how many wrong tokens it showed.
        :returns: whether this address fails too often; never so for loopback.
        """
        self.counters.refused += 1
        before = self._count_failures(address, "refused {address}: {why}", why, logged, failures)
        if before < self.limits.failed_handshakes or is_loopback_name(address):
            return False
        self.counters.limited += 1
        return True

    def wrong_token_beside_right_one(self, address: str) -> None:
        """Count a wrong token in a request that showed a right one too, and was not refused for it."""
        why = "a wrong token was shown beside a right one"
        self._count_failures(address, "{address}: {why}", why, False, 1)

    def _count_failures(self, address: str, line: str, why: str, logged: bool, failures: int) -> int:
        """Return how many failures of the address there were before."""
        now = self.clock.seconds()
        since, times = self._failures.pop(address, (now, 0))
        if now - since > _FAILURE_PERIOD:
            if times > 1:
                self._log.warn("{address} was refused {times} times", address=address, times=times)
            since, times = now, 0
        if not times and not logged:
            self._log.warn(line, address=address, why=why)
        self._failures[address] = (since, times + failures)
        if len(self._failures) > _FAILURE_ADDRESSES:
            del self._failures[next(iter(self._failures))]
        return times

    def failures(self) -> dict[str, tuple[float, int]]:
        """Return by address when its first failure within about a minute was, and how many there were.

        The time is in seconds of the clock; at most 10,000 addresses, those that failed last.
        """
        return self._failures

    def stop(self) -> None:
        """Abort every connection with a handshake under way."""
        self._handshakes, handshakes = {}, self._handshakes
        for connection in handshakes:
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
