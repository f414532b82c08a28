"""Looking up names: threads of a test's own, some of which never answer."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from lgtwist.net.resolver import LOOK_UP_TIME_LIMIT, MOST, NameResolver
from tests.journal.fakes import Lines

FOUND = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))


@implementer(IResolutionReceiver)
class Receiver:
    """Keeps what it is told.

    :ivar found: None until it is told that this is all.
    """

    def __init__(self) -> None:
        self.resolution: Any = None
        self.addresses: list[Any] = []
        self.found: list[Any] | None = None

    def resolutionBegan(self, resolution: Any) -> None:
        self.resolution = resolution

    def addressResolved(self, address: Any) -> None:
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        assert self.found is None, "told twice"
        self.found = self.addresses


class Reactor(Clock):
    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        function(*arguments)


class ResolverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.lines = Lines(self)
        self.threads: list[tuple[str, Callable[[], None]]] = []  # that have begun, each with its name
        self.asked: list[tuple[Any, ...]] = []
        self.resolver = NameResolver(self.reactor, self.look_up, self.begin)

    def begin(self, work: Callable[[], None]) -> None:
        self.threads.append((self._name, work))

    def look_up(self, name: str, port: int, family: int, kind: int) -> Any:
        self.asked.append((name, port, family, kind))
        if name.startswith("unknown"):
            raise socket.gaierror(-2, "Name or service not known")
        return [FOUND]

    def ask(self, name: str, port: int = 80, **others: Any) -> Receiver:
        receiver = Receiver()
        self._name = name
        self.resolver.resolveHostName(receiver, name, port, **others)
        return receiver

    def answer(self, name: str) -> None:
        """The oldest thread that asks for a name gets its answer."""
        index = next(n for n, (asked, _work) in enumerate(self.threads) if asked == name)
        self._name = "queued"  # what begins now
        self.threads.pop(index)[1]()

    def test_found(self) -> None:
        """The address, with the port of each that asked: one thread for all of them."""
        verifyObject(IHostnameResolver, self.resolver)
        first, second = self.ask("a.example", 80), self.ask("a.example", 443)
        self.assertEqual(first.resolution.name, "a.example")
        self.assertEqual(len(self.threads), 1)
        self.answer("a.example")
        self.assertEqual(first.found, [IPv4Address("TCP", "192.0.2.1", 80)])
        self.assertEqual(second.found, [IPv4Address("TCP", "192.0.2.1", 443)])
        self.assertEqual(self.asked, [("a.example", 0, socket.AF_UNSPEC, socket.SOCK_STREAM)])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_not_found(self) -> None:
        """No address, at once."""
        asked = self.ask("unknown.example")
        self.answer("unknown.example")
        self.assertEqual(asked.found, [])

    def test_addresses(self) -> None:
        """What is an address already needs no thread."""
        self.assertEqual(self.ask("127.0.0.1").found, [IPv4Address("TCP", "127.0.0.1", 80)])
        found = self.ask("::1", transportSemantics="UDP").found
        assert found is not None
        self.assertEqual([(one.type, one.host, one.port) for one in found], [("UDP", "::1", 80)])
        self.assertEqual(self.ask("::1", addressTypes=[IPv4Address]).found, [])
        self.assertEqual(self.threads, [])

    def test_families(self) -> None:
        """Who wants one family asks for that."""
        self.ask("a.example", addressTypes=[IPv6Address])
        self.answer("a.example")
        self.assertEqual(self.asked[0][2], socket.AF_INET6)

    def test_hangs(self) -> None:
        """Whoever waits is told in time, with one line; another look-up begins later, a third never."""
        first = self.ask("dead.example")
        self.reactor.advance(LOOK_UP_TIME_LIMIT - 1)
        self.assertIsNone(first.found)
        self.reactor.advance(1)
        self.assertEqual(first.found, [])
        for _ in range(5):
            again = self.ask("dead.example")
            self.reactor.advance(LOOK_UP_TIME_LIMIT)
            self.assertEqual(again.found, [])
        self.assertEqual(len(self.threads), 2)
        self.assertEqual(len(self.lines.all("dead.example")), 1)
        late = self.ask("dead.example")
        self.answer("dead.example")
        self.assertEqual(late.found, [IPv4Address("TCP", "192.0.2.1", 80)])

    def test_answers_late(self) -> None:
        """Who asks again while a slow look-up is under way gets its answer."""
        self.ask("slow.example").resolution.cancel()
        self.reactor.advance(5)
        again = self.ask("slow.example")
        self.assertEqual(len(self.threads), 1)
        self.answer("slow.example")
        self.assertTrue(again.found)

    def test_one_of_two_fails(self) -> None:
        """One look-up that fails says nothing while the other is under way."""
        self.ask("unknown.example")
        self.reactor.advance(15)
        asked = self.ask("unknown.example")
        self.answer("unknown.example")
        self.assertIsNone(asked.found)
        self.answer("unknown.example")
        self.assertEqual(asked.found, [])

    def test_cancelled(self) -> None:
        """Who wants it no more is told once, and nothing is left behind."""
        asked = self.ask("a.example")
        asked.resolution.cancel()
        asked.resolution.cancel()
        self.assertEqual(asked.found, [])
        self.answer("a.example")
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual((self.resolver._names, self.resolver._threads), ({}, 0))

    def test_many_hang(self) -> None:
        """A hundred names that hang take no more than their part of the threads: a good one is found."""
        self.ask("good.example")
        self.answer("good.example")
        for _round in range(4):
            for number in range(100):
                self.ask(f"dead{number}.example")
            self.reactor.advance(LOOK_UP_TIME_LIMIT)
        self.assertLess(len(self.threads), MOST)
        good = self.ask("good.example")
        self.answer("good.example")
        self.assertTrue(good.found)
        self.assertEqual(len(self.lines.all("others wait")), 1)

    def test_they_wait_for_a_thread(self) -> None:
        """What waits for a thread begins when one is free, the oldest first."""
        asked = [self.ask(f"new{number}.example") for number in range(40)]
        begun = len(self.threads)
        self.assertLess(begun, 40)
        while self.threads:
            self._name = "queued"
            self.threads.pop(0)[1]()
        self.assertEqual([one.found is not None for one in asked], [True] * 40)
        self.assertEqual([name for name, *_ in self.asked], [f"new{number}.example" for number in range(40)])

    def test_hangs_and_fails(self) -> None:
        """Names that fail after a long while leave the threads to one that is asked for the first time."""
        for number in range(MOST - 8):
            self.ask(f"unknown{number}.example")
        self.reactor.advance(20)
        for name, _work in tuple(self.threads):
            self.answer(name)
        for number in range(MOST - 8):
            self.ask(f"unknown{number}.example")
        good = self.ask("good.example")
        self.answer("good.example")
        self.assertTrue(good.found)

    def test_no_more_threads(self) -> None:
        """The machine gives no thread: no address."""

        def refuse(_work: Callable[[], None]) -> None:
            raise RuntimeError("can't start new thread")

        self.resolver = NameResolver(self.reactor, self.look_up, refuse)
        self.assertEqual(self.ask("a.example").found, [])
