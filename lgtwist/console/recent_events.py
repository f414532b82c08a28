"""The newest events of the accounts: of the journal, or seen while somebody looks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lgtwist.console.account_tap import AccountTap, encode_nothing
from lgtwist.delivery.batch import Page
from lgtwist.delivery.interfaces import IJournal
from lgtwist.hub.account import Account
from lgtwist.hub.directory import Directory, DirectoryObserver
from lgtwist.onebot.event import BadEvent, Event, late_event, read_event
from lgtwist.onebot.message import MessageFormat

#: Events that are returned, and bytes of them together; an event that is larger than a quarter is left out.
MAX_RECENT_EVENTS, MAX_RECENT_BYTES = 100, 2 << 20
_MAX_EVENT_BYTES = MAX_RECENT_BYTES // 4
#: Accounts whose newest events are read from the journal, and reads for one of them.
_MOST_ACCOUNTS, _MOST_READS = 10, 16
#: Seconds without anybody who asks, after which the events that were seen are forgotten.
LOOKING_TIME = 20.0


@frozen
class _SeenEvent:
    self_id: int
    event: Event


class SeenEvents(DirectoryObserver):
    """The newest events of all accounts, from the moment on when somebody asks for them.

    Without anybody who asks again within :data:`LOOKING_TIME` it forgets them, and sees no more.

    :param directory: the accounts.
    :param clock: the reactor, or a clock in its place.
    """

    def __init__(self, directory: Directory, clock: IReactorTime) -> None:
        self._directory = directory
        self._clock = clock
        self._taps: dict[int, AccountTap] = {}
        self._events: deque[_SeenEvent] = deque()
        self._bytes = 0
        self._timeout: IDelayedCall | None = None

    @property
    def is_looking(self) -> bool:
        """Whether events are seen now."""
        return self._timeout is not None

    def newest(self, accounts: frozenset[int] | None) -> list[Event]:
        """Return the newest events of some accounts, the newest first; see more of them from now on.

        :param accounts: their numbers; None for all.
        """
        if self._timeout is None:
            self._timeout = self._clock.callLater(LOOKING_TIME, self.stop)
            self._directory.observe(self)
        else:
            self._timeout.reset(LOOKING_TIME)
        wanted = (one.event for one in reversed(self._events) if accounts is None or one.self_id in accounts)
        return list(islice(wanted, MAX_RECENT_EVENTS))

    def stop(self) -> None:
        """Forget all, and see no more until somebody asks again."""
        if self._timeout is None:
            return
        if self._timeout.active():
            self._timeout.cancel()
        self._timeout = None
        self._directory.unobserve(self)
        for account in tuple(self._directory.accounts.values()):
            self.account_removed(account)
        self._events.clear()
        self._bytes = 0

    def account_added(self, account: Account) -> None:
        """Look at its events."""
        tap = self._taps[account.self_id] = AccountTap(account, self._see)
        account.subscribe(tap, MessageFormat.AS_IS, encode_nothing, tap.passes)

    def account_removed(self, account: Account) -> None:
        """Look at its events no more."""
        tap = self._taps.pop(account.self_id, None)
        if tap is not None:
            account.unsubscribe(tap)

    def _see(self, account: Account, event: Event) -> None:
        size = len(event.raw)
        if event.post_type == "meta_event" or size > _MAX_EVENT_BYTES:
            return
        self._events.append(_SeenEvent(account.self_id, event))
        self._bytes += size
        while len(self._events) > MAX_RECENT_EVENTS or self._bytes > MAX_RECENT_BYTES:
            self._bytes -= len(self._events.popleft().event.raw)


async def newest_of_journal(journal: IJournal, accounts: Iterable[int]) -> list[Event]:
    """Return the newest events of some accounts, the newest first, as far as some reads find them.

    :raises JournalError: if the journal cannot be read.
    """
    found: list[list[tuple[int, bytes]]] = []
    written = [account for account in accounts if journal.end(account) > journal.trimmed_to(account)]
    for account in written[:_MOST_ACCOUNTS]:
        found.append(await _newest_of(journal, account))
    events: list[Event] = []
    size = 0
    for _time, payload in merge(*found, key=lambda one: -one[0]):
        if len(payload) > _MAX_EVENT_BYTES:
            continue
        size += len(payload)
        if size > MAX_RECENT_BYTES or len(events) >= MAX_RECENT_EVENTS:
            break
        try:
            event = read_event(late_event(payload) or payload)
        except BadEvent:
            continue
        if event.post_type != "meta_event":
            events.append(event)
    return events


async def _newest_of(journal: IJournal, account: int) -> list[tuple[int, bytes]]:
    """Return the newest events of an account with when they were taken in, the newest first.

    In the journal those of other accounts may lie between them, so that it is read from further and further
    back until there are enough.
    """
    upto, oldest = journal.end(account), journal.trimmed_to(account)
    events: list[tuple[int, bytes]] = []
    step, reads = MAX_RECENT_EVENTS, 0
    while upto > oldest and len(events) < MAX_RECENT_EVENTS and reads < _MOST_READS:
        position = begin = max(upto - step, oldest)
        part: deque[tuple[int, bytes]] = deque()
        size = 0
        while position < upto and reads < _MOST_READS:
            page = await journal.read(account, position)
            reads += 1
            for time, payload in _up_to(page, upto):
                part.append((time, payload))
                size += len(payload)
                while len(part) > MAX_RECENT_EVENTS or (size > MAX_RECENT_BYTES and len(part) > 1):
                    size -= len(part.popleft()[1])
            if page.upto <= position:
                break
            position = page.upto
        events = [*part, *events]
        upto, step = begin, step * 8
    return events[: -MAX_RECENT_EVENTS - 1 : -1]


def _up_to(page: Page, position: int) -> Iterator[tuple[int, bytes]]:
    """Yield the events of a page up to a position, with when they were taken in."""
    for batch in page.batches:
        for index, payload in enumerate(batch.payloads):
            if batch.position(index) <= position:
                yield batch.times[index], payload
