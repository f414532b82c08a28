"""The handshakes refused in the last hour: the peer's address, the account or bot named, and the reason.

No token is stored, and the number of entries has a limit, however many peers are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from attrs import define, frozen
from prometheus_client.core import Metric
from twisted.internet.interfaces import IReactorTime

from lgtwist.runtime.figures import counter
from lgtwist.runtime.logs import printable

#: How many are kept, and how many of one address.
_MOST = 200
_MOST_OF_ADDRESS = 50
#: Seconds for which one is kept after it came last.
_PERIOD = 3600.0


class Reason(Enum):
    """Why a handshake was refused, roughly; its status and its sentence say more."""

    TOKEN = "token"  # noqa: S105  # a token or signature is missing or wrong
    ACCOUNT = "account"  # no such account, not this bot's, or not up yet
    HOST = "host"  # not a program on this machine, where there is no token
    HANDSHAKE = "handshake"  # no good opening handshake (RFC 6455, 4.2.1)
    PATH = "path"  # no WebSocket of this kind of peer is there
    LIMIT = "limit"  # too many failures, or too many connections


@frozen
class Named:
    """What a handshake is about, as far as it says so.

    :ivar account: the account that its path or its ``X-Self-ID`` names, configured or not; None for none.
    :ivar bot: the bot that it was found to come from, by its token; None before that.
    """

    account: int | None = None
    bot: str | None = None


@frozen(kw_only=True)
class RefusedHandshake:
    """Handshakes that were refused alike.

    :ivar address: the peer's host, or ``unix socket``.
    :ivar account: the account that was named, configured or not; None if none was.
    :ivar bot: the bot that it came from, by its token; None if the token told none.
    :ivar reason: one of ``token``, ``account``, ``host``, ``handshake``, ``path``, ``limit``.
    :ivar status: the HTTP status of the answer.
    :ivar sentence: the newest answer, printable, up to 200 characters.
    :ivar times: how many there were.
    :ivar first: when the first of them came, in seconds since the epoch.
    :ivar last: when the last of them came, in seconds since the epoch.
    """

    address: str
    account: int | None
    bot: str | None
    reason: str
    status: int
    sentence: str
    times: int
    first: float
    last: float


@frozen
class _Key:
    """What refused handshakes that are counted together have in common."""

    address: str
    named: Named
    reason: Reason
    status: int


@define
class _Entry:
    """The handshakes of one key.

    :ivar seen: when the last of them came, in seconds of the clock.
    """

    first: float
    last: float
    seen: float
    times: int = 0
    sentence: str = ""


class RefusedHandshakes:
    """Counts refused handshakes by address, by the account or bot that was named, and by reason.

    When there are too many, one that names nothing configured makes room, of those the one that came least
    often, of those the one that came last the longest ago. Whoever tries ports and numbers, from however many
    addresses, therefore does not push out a bot or an implementation that was set up wrong.

    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param is_configured: whether an account or a bot of that name is there now.
    :param most: how many are kept.
    :param most_of_address: how many of one address.
    :ivar counts: how many there were since the start, by reason.
    """

    def __init__(
        self,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        is_configured: Callable[[Named], bool],
        *,
        most: int = _MOST,
        most_of_address: int = _MOST_OF_ADDRESS,
    ) -> None:
        self.counts = dict.fromkeys(Reason, 0)
        self._clock = clock
        self._wall_clock = wall_clock
        self._is_configured = is_configured
        self._most = most
        self._most_of_address = most_of_address
        self._entries: dict[_Key, _Entry] = {}  # in the order in which they came last

    def add(self, address: str, named: Named, reason: Reason, status: int, sentence: str) -> None:
        """Count a handshake that is refused.

        :param address: the peer's host.
        :param status: the HTTP status of the answer.
        :param sentence: the answer; no token may be in it.
        """
        self.counts[reason] += 1
        self._forget()
        key, now = _Key(address, named, reason, status), self._wall_clock()
        entry = self._entries.pop(key, None)
        if entry is None:
            if not self._make_room(key):
                return
            entry = _Entry(now, now, 0.0)
        entry.times += 1
        entry.sentence = printable(sentence)
        entry.last, entry.seen = now, self._clock.seconds()
        self._entries[key] = entry

    def recent(self) -> list[RefusedHandshake]:
        """Return those of the last hour, the newest first."""
        self._forget()
        return [
            RefusedHandshake(
                address=key.address,
                account=key.named.account,
                bot=key.named.bot,
                reason=key.reason.value,
                status=key.status,
                sentence=entry.sentence,
                times=entry.times,
                first=entry.first,
                last=entry.last,
            )
            for key, entry in reversed(self._entries.items())
        ]

    def _forget(self) -> None:
        """Remove entries whose newest handshake is older than an hour."""
        before = self._clock.seconds() - _PERIOD
        while self._entries:
            key = next(iter(self._entries))
            if self._entries[key].seen > before:
                break
            del self._entries[key]

    def _make_room(self, new: _Key) -> bool:
        """Return whether there is room for one more, after the least useful one was removed if need be."""
        entries, is_configured = self._entries, self._is_configured
        crowded = [one for one in entries.items() if one[0].address == new.address]
        if len(crowded) < self._most_of_address:
            if len(entries) < self._most:
                return True
            crowded = list(entries.items())
        least, _entry = min(crowded, key=lambda one: (is_configured(one[0].named), one[1].times))
        if is_configured(least.named) and not is_configured(new.named):
            return False
        del entries[least]
        return True

    def metrics(self) -> Iterator[Metric]:
        """Read the counts."""
        samples = [([reason.value], float(count)) for reason, count in self.counts.items()]
        yield counter("refused_handshakes", "Handshakes that were refused, by why", ["reason"], samples)
