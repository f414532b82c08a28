"""How many may come in, how long they may knock, and how often they may fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from attrs import define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lgtwist.config.limits import Limits
from lgtwist.net.loopback import is_loopback_name


@define
class GateCounters:
    """What happened at the gate, since the start."""

    accepted: int = 0
    turned_away: int = 0  # over `connections`
    displaced: int = 0  # the oldest of too many unfinished handshakes
    handshake_timeouts: int = 0
    refused: int = 0  # 401 and 403
    limited: int = 0  # 503 for too many failures


class Knocking(Protocol):
    """A connection that has not shown a whole request yet."""

    def give_up(self) -> None:
        """End it at once."""


#: So many connections over the limit are still told so; the next ones are dropped without a word.
_SURPLUS = 64
#: How long failures of an address are remembered (seconds), and of how many addresses.
_MEMORY = 60.0
_ADDRESSES = 10_000


class Gate:
    """Counts who is in, and shows out who takes too long."""

    _log = Logger()

    def __init__(self, limits: Limits, clock: IReactorTime) -> None:
        self.limits = limits
        self.counters = GateCounters()
        self.inside = 0
        self.clock = clock
        self._knocking: dict[Knocking, float] = {}  # oldest first, with its deadline
        self._timer: IDelayedCall | None = None
        self._failures: dict[str, tuple[float, int]] = {}  # since when, how many

    # -- connections

    def enter(self) -> Callable[[], None] | None:
        """A connection was accepted.

        :returns: to be called once when it is over, more often is harmless; None if there are so many
            that it must be dropped without a word.
        """
        if self.inside >= self.limits.connections + _SURPLUS:
            self.counters.turned_away += 1
            return None
        self.counters.accepted += 1
        self.inside += 1
        inside = [True]

        def leave() -> None:
            if inside:
                inside.clear()
                self.inside -= 1

        return leave

    @property
    def full(self) -> bool:
        """Whether there are more connections than there may be: this one can only be told so."""
        return self.inside > self.limits.connections

    # -- handshakes under way

    def knock(self, who: Knocking) -> None:
        """A request has begun; it has ``handshake_timeout`` for its head.

        When too many are under way the oldest one goes: who is fast gets in, however many are slow.
        """
        self._knocking[who] = self.clock.seconds() + self.limits.handshake_timeout
        if len(self._knocking) > self.limits.handshakes:
            oldest = next(iter(self._knocking))
            del self._knocking[oldest]
            self.counters.displaced += 1
            oldest.give_up()
        if self._timer is None:
            self._timer = self.clock.callLater(self.limits.handshake_timeout, self._expire)

    def answered(self, who: Knocking) -> None:
        """The request's head is there, or the connection is gone."""
        self._knocking.pop(who, None)

    def _expire(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        late = []
        for who, deadline in self._knocking.items():
            if deadline > now:
                break
            late.append(who)
        for who in late:
            del self._knocking[who]
            self.counters.handshake_timeouts += 1
            who.give_up()
        for deadline in self._knocking.values():
            self._timer = self.clock.callLater(deadline - now, self._expire)
            break

    # -- failures

    def refused(self, address: str, why: str, told: bool = False) -> bool:
        """A request was refused for its token. One log line per address and episode.

        :param told: whether the log has it already.
        :returns: whether this address fails too often: it is told to wait. Never for loopback.
        """
        self.counters.refused += 1
        now = self.clock.seconds()
        since, times = self._failures.pop(address, (now, 0))
        if now - since > _MEMORY:
            if times > 1:
                self._log.warn("{address} was refused {times} times", address=address, times=times)
            since, times = now, 0
        if not times and not told:
            self._log.warn("refused {address}: {why}", address=address, why=why)
        self._failures[address] = (since, times + 1)
        if len(self._failures) > _ADDRESSES:
            del self._failures[next(iter(self._failures))]
        if times < self.limits.failed_handshakes or is_loopback_name(address):
            return False
        self.counters.limited += 1
        return True

    def stop(self) -> None:
        """Show out everybody who has not shown a request yet."""
        self._knocking, knocking = {}, self._knocking
        for who in knocking:
            who.give_up()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
