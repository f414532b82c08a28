"""Look up host names so that one name that hangs costs only those who want that name.

Twisted's resolver uses the reactor's ten threads: ten names whose servers do not answer keep all others
waiting, and the process cannot end before they are through, for these threads are joined. Here each look-up
has a thread of its own that nobody waits for at the end. It asks ``getaddrinfo``, so ``/etc/hosts``,
``nsswitch.conf`` and mDNS count as everywhere else.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from attrs import define, field, frozen
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

from lgtwist.runtime.logs import Logger, LogThrottle

#: Look-ups under way, in all; and of one name. The second one begins when the first has hung for long.
MOST, MOST_OF_NAME = 32, 2
#: Seconds until whoever waits for a name is told that it has no address. Two servers that do not answer are
#: through after about 20 s (``resolv.conf``: 5 s for each, twice).
LOOK_UP_TIME_LIMIT = 30.0
#: Seconds after which another look-up of the same name does not wait for the one under way.
_HANGS_AFTER = 10.0
#: Names whose last outcome is remembered.
_REMEMBERED = 1000

_FAMILIES: dict[frozenset[Any], int] = {
    frozenset([IPv4Address]): socket.AF_INET,
    frozenset([IPv6Address]): socket.AF_INET6,
    frozenset([IPv4Address, IPv6Address]): socket.AF_UNSPEC,
}
_TYPES: dict[int, Any] = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}
_SOCKET_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}

#: What ``getaddrinfo`` returns.
_Found = Sequence[tuple[Any, ...]]


class _LastOutcome(Enum):
    """How the last look-up of a name went; the value is how many may be under way when one like it begins."""

    ANSWERED = MOST
    UNKNOWN = MOST - 8
    HUNG = MOST - 16


@frozen
class _Wanted:
    name: str
    family: int
    kind: int


@implementer(IHostResolution)
@define(eq=False)
class _Waiter:
    """Somebody who wants the addresses of a name.

    :ivar name: as ``IHostResolution`` has it.
    """

    name: str
    key: _Wanted
    port: int
    transport: str
    receiver: IResolutionReceiver
    forget: Callable[[_Waiter], None]
    timer: IDelayedCall | None = None

    def cancel(self) -> None:
        """Want them no more: the receiver is told that there is none."""
        self.done(())

    def done(self, found: _Found) -> None:
        """Hand over what was found, once."""
        if self.timer is None:
            return
        timer, self.timer = self.timer, None
        if timer.active():
            timer.cancel()
        self.forget(self)
        for family, _kind, _protocol, _canonical, address in found:
            make = _TYPES.get(family)
            if make is not None:
                host, _port, *more = address
                self.receiver.addressResolved(make(self.transport, host, self.port, *more))
        self.receiver.resolutionComplete()


@define(eq=False)
class _LookUp:
    """A thread that asks for a name.

    :ivar hangs_at: from when on, in seconds of the clock, another one may begin.
    """

    key: _Wanted
    hangs_at: float


@define(eq=False)
class _Name:
    """What is going on about one name."""

    waiters: list[_Waiter] = field(factory=list)
    under_way: list[_LookUp] = field(factory=list)
    is_queued: bool = False


@implementer(IHostnameResolver)
class NameResolver:
    """Twisted's interface to look up names, for ``reactor.installNameResolver``.

    :param reactor: the clock, and the thread that receivers are called in.
    :param getaddrinfo: looks up a name; may block. By default the standard library's.
    :param begin_thread: runs a function in a new thread that nothing waits for.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        getaddrinfo: Callable[..., _Found] | None = None,
        begin_thread: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._getaddrinfo = getaddrinfo or (lambda *wanted: socket.getaddrinfo(*wanted))
        self._begin_thread = begin_thread or _begin_daemon_thread
        self._names: dict[_Wanted, _Name] = {}
        self._queue: deque[_Wanted] = deque()  # names that wait for a thread
        self._threads = 0
        self._past: dict[str, _LastOutcome] = {}
        self._full = LogThrottle(reactor)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Look up a name, and tell the receiver within :data:`LOOK_UP_TIME_LIMIT` seconds."""
        family = _FAMILIES[frozenset(_TYPES.values() if addressTypes is None else addressTypes)]
        key = _Wanted(hostName, family, _SOCKET_KINDS[transportSemantics])
        waiter: Any = _Waiter(hostName, key, portNumber, transportSemantics, resolutionReceiver, self._forget)
        waiter.timer = self._reactor.callLater(LOOK_UP_TIME_LIMIT, self._time_is_up, waiter)
        resolutionReceiver.resolutionBegan(waiter)
        literal = _literal(key)
        if literal is not None:
            waiter.done(literal)
            return waiter  # type: ignore[no-any-return]
        name = self._names.setdefault(key, _Name())
        name.waiters.append(waiter)
        now = self._reactor.seconds()
        if not name.under_way or (len(name.under_way) < MOST_OF_NAME and now >= name.under_way[-1].hangs_at):
            self._begin(key, name)
        return waiter  # type: ignore[no-any-return]

    def _begin(self, key: _Wanted, name: _Name) -> None:
        """Begin a look-up, or queue it where too many are under way.

        Names that were found before may use more of the threads than those that hung: many that hang leave
        some for them.
        """
        if name.is_queued:
            return
        past = self._past.get(key.name, _LastOutcome.UNKNOWN)
        if name.under_way:
            past = _LastOutcome.HUNG
        if self._threads >= past.value:
            name.is_queued = True
            self._queue.append(key)
            if self._full.should_log():
                self._log.warn(
                    "{count} look-ups of host names are under way and not answered; others wait: does "
                    "the name server answer?",
                    count=self._threads,
                )
            return
        look_up = _LookUp(key, self._reactor.seconds() + _HANGS_AFTER)
        name.under_way.append(look_up)
        self._threads += 1

        def work() -> None:
            try:
                found: _Found = self._getaddrinfo(key.name, 0, key.family, key.kind)
            except (OSError, UnicodeError):  # gaierror is an OSError; a label may be too long for IDNA
                found = ()
            self._reactor.callFromThread(self._ended, look_up, found)

        try:
            self._begin_thread(work)
        except RuntimeError:  # no more threads
            self._ended(look_up, ())

    def _ended(self, look_up: _LookUp, found: _Found) -> None:
        """Hand over what a look-up has found, and begin those that wait for a thread."""
        key = look_up.key
        self._threads -= 1
        name = self._names[key]
        name.under_way.remove(look_up)
        if found:
            self._remember(key.name, _LastOutcome.ANSWERED)
        elif self._reactor.seconds() >= look_up.hangs_at:
            self._remember(key.name, _LastOutcome.HUNG)
        if found or not name.under_way:
            for waiter in tuple(name.waiters):
                waiter.done(found)
        self._forget_name(key)
        self._begin_queued()

    def _begin_queued(self) -> None:
        for _turn in range(len(self._queue)):
            if self._threads >= MOST:
                return
            key = self._queue.popleft()
            name = self._names.get(key)
            if name is None:
                continue
            name.is_queued = False
            if name.waiters and len(name.under_way) < MOST_OF_NAME:
                self._begin(key, name)
            else:
                self._forget_name(key)

    def _time_is_up(self, waiter: _Waiter) -> None:
        name = waiter.key.name
        if self._past.get(name) is not _LastOutcome.HUNG:
            self._log.warn(
                'looking up "{name}" has had no answer for {seconds:g} s: does the name server answer?',
                name=name,
                seconds=LOOK_UP_TIME_LIMIT,
            )
        if self._names[waiter.key].under_way:  # else it has waited for a thread all the time
            self._remember(name, _LastOutcome.HUNG)
        waiter.done(())

    def _remember(self, name: str, past: _LastOutcome) -> None:
        self._past.pop(name, None)
        self._past[name] = past
        if len(self._past) > _REMEMBERED:
            del self._past[next(iter(self._past))]

    def _forget(self, waiter: _Waiter) -> None:
        name = self._names.get(waiter.key)
        if name is not None and waiter in name.waiters:
            name.waiters.remove(waiter)
            self._forget_name(waiter.key)

    def _forget_name(self, key: _Wanted) -> None:
        name = self._names.get(key)
        if name is not None and not name.waiters and not name.under_way and not name.is_queued:
            del self._names[key]


def _begin_daemon_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="look-up", daemon=True).start()


def _literal(key: _Wanted) -> _Found | None:
    """Return what an IP address stands for; None for a name. Does not block."""
    if not (isIPAddress(key.name) or isIPv6Address(key.name)):
        return None
    try:
        return socket.getaddrinfo(key.name, 0, key.family, key.kind, flags=socket.AI_NUMERICHOST)
    except OSError:  # of another family, or with an interface that is not there
        return ()
