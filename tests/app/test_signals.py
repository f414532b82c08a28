"""What the process does on a signal, without a reactor."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app import signals
from lgtwist.app.signals import Signals


class Reactor:
    """Keeps what it is to call."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.stopped = 0

    def callFromThread(self, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def callWhenRunning(self, call: Callable[[], object]) -> None:
        self.calls.append(call)

    def stop(self) -> None:
        self.stopped += 1

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class SignalsTestCase(SynchronousTestCase):
    """Handlers are put back at the end; whether there is a terminal is said by the test."""

    def setUp(self) -> None:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.terminal = False
        self.patch(signals, "_has_terminal", lambda: self.terminal)
        self.patch(signals, "_terminals", list)
        self.reactor = Reactor()
        self.reloads = 0

    def reload(self) -> None:
        self.reloads += 1

    def make(self, reload: Any = None) -> Signals:
        made = Signals(self.reactor, reload or self.reload)
        made.prepare()
        return made

    def hang_up(self) -> None:
        os.kill(os.getpid(), signal.SIGHUP)


class Reloading(SignalsTestCase):
    """SIGHUP where no terminal is meant."""

    def test_in_the_reactor(self) -> None:
        """It is called by the reactor, not inside of what the signal interrupts."""
        self.make()
        self.hang_up()
        self.assertEqual(self.reloads, 0)
        self.reactor.run()
        self.assertEqual((self.reloads, self.reactor.stopped), (1, 0))

    def test_many(self) -> None:
        """Those that come before it is called are one; later ones are further ones."""
        self.make()
        for _number in range(100):
            self.hang_up()
        self.reactor.run()
        self.assertEqual(self.reloads, 1)
        self.hang_up()
        self.reactor.run()
        self.assertEqual(self.reloads, 2)

    def test_failing(self) -> None:
        """An exception is logged, and the next signal is answered all the same."""

        def fail() -> None:
            self.reloads += 1
            raise ValueError("no")

        self.make(fail)
        for _number in range(2):
            self.hang_up()
            self.reactor.run()
        self.assertEqual(self.reloads, 2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_nothing_to_reload(self) -> None:
        """Without anything to call it does no harm."""
        Signals(self.reactor).prepare()
        self.hang_up()
        self.reactor.run()
        self.assertEqual(self.reactor.stopped, 0)

    def test_ignored(self) -> None:
        """Under nohup it is ignored as before."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self.make()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)

    def test_while_it_stops(self) -> None:
        """A service that stops reads nothing any more, whichever signal came first."""
        self.make()
        self.hang_up()
        os.kill(os.getpid(), signal.SIGTERM)
        self.hang_up()
        self.reactor.run()
        self.assertEqual((self.reloads, self.reactor.stopped), (0, 1))


class Terminal(SignalsTestCase):
    """SIGHUP of a terminal."""

    def test_it_is_still_there(self) -> None:
        """Somebody asks to reload (``docker kill -s HUP`` beside ``docker run -t``)."""
        self.terminal = True
        self.make()
        self.hang_up()
        self.reactor.run()
        self.assertEqual((self.reloads, self.reactor.stopped), (1, 0))

    def test_it_is_gone(self) -> None:
        """It stops in good order, once."""
        self.terminal = True
        self.make()
        self.terminal = False
        self.hang_up()
        self.hang_up()
        self.reactor.run()
        self.assertEqual((self.reloads, self.reactor.stopped), (0, 1))

    def test_daemon(self) -> None:
        """What has left its terminal by itself, to be a daemon, reloads."""
        self.terminal = True
        made = self.make()
        self.terminal = False
        made.startService()
        self.hang_up()
        self.reactor.run()
        self.assertEqual((self.reloads, self.reactor.stopped), (1, 0))


class NewLogs(SignalsTestCase):
    """SIGUSR1."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        self.renewed = 0

    def renew(self) -> None:
        self.renewed += 1

    def send(self) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    def test_in_the_reactor(self) -> None:
        """The reactor begins a new log; signals that come before that are one, also while it stops."""
        Signals(self.reactor, None, self.renew).prepare()
        self.send()
        self.send()
        self.assertEqual(self.renewed, 0)
        os.kill(os.getpid(), signal.SIGTERM)
        self.reactor.run()
        self.assertEqual((self.renewed, self.reactor.stopped), (1, 1))
        self.send()
        self.reactor.run()
        self.assertEqual(self.renewed, 2)

    def test_of_somebody_else(self) -> None:
        """A handler that a .tac has set stays."""
        theirs: list[int] = []
        signal.signal(signal.SIGUSR1, lambda number, _frame: theirs.append(number))
        Signals(self.reactor, None, self.renew).prepare()
        self.send()
        self.reactor.run()
        self.assertEqual((len(theirs), self.renewed), (1, 0))

    def test_neither_signal(self) -> None:
        """Where the system has neither SIGHUP nor SIGUSR1, the others are answered."""
        self.patch(signals, "SIGHUP", None)
        self.patch(signals, "SIGUSR1", None)
        Signals(self.reactor, None, self.renew).prepare()
        os.kill(os.getpid(), signal.SIGTERM)
        self.reactor.run()
        self.assertEqual(self.reactor.stopped, 1)
