"""Whether a supervisor starts us again."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app import restart
from lgtwist.app.restart import Restart, command_line, is_supervised


class Reactor(Clock):
    running = True

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[Any] = []
        self.stops = 0

    def addSystemEventTrigger(self, phase: str, event: str, call: Any) -> None:
        assert (phase, event) == ("after", "shutdown")
        self.triggers.append(call)

    def stop(self) -> None:
        self.stops += 1


class Left(Exception):
    """The process has ended."""


class RestartTests(SynchronousTestCase):
    def setUp(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.left: list[Any] = []
        self.patch(restart.os, "_exit", self.leave)
        self.patch(restart.os, "execv", lambda _program, command: self.leave(command))
        self.patch(restart.os, "chdir", lambda _folder: None)
        self.patch(restart.os, "environ", {})
        self.reactor = Reactor()

    def leave(self, how: Any) -> None:
        self.left.append(how)
        raise Left

    def test_is_supervised(self) -> None:
        for environment, expected in (
            ({}, False),
            ({"INVOCATION_ID": "x"}, True),
            ({"INVOCATION_ID": "x", "SYSTEMD_EXEC_PID": "7"}, True),
            ({"INVOCATION_ID": "x", "SYSTEMD_EXEC_PID": "8"}, False),  # of the desktop that it is started in
            ({"LGTWIST_SUPERVISED": "1"}, True),
            ({"INVOCATION_ID": "x", "LGTWIST_SUPERVISED": "0"}, False),
            ({"LGTWIST_SUPERVISED": "yes"}, False),
        ):
            self.assertEqual(is_supervised(environment, 7), expected, environment)

    def begin(self) -> Restart:
        begun = Restart(self.reactor, restart.Path("/"))
        begun.begin()
        begun.begin()
        self.assertEqual(self.reactor.stops, 0)  # the answer is to be read first
        self.reactor.advance(1)
        self.assertEqual(self.reactor.stops, 1)
        return begun

    def test_by_itself(self) -> None:
        self.begin()
        self.assertRaises(Left, self.reactor.triggers[0])
        self.assertEqual(self.left, [command_line()])
        self.assertEqual(command_line()[0], sys.executable)

    def test_by_a_supervisor(self) -> None:
        self.patch(restart.os, "environ", {"INVOCATION_ID": "x"})
        self.assertEqual(self.begin().how, "supervisor")
        self.assertRaises(Left, self.reactor.triggers[0])
        self.assertEqual(self.left, [75])

    def test_a_signal_meanwhile_stops_for_good(self) -> None:
        self.begin()
        os.kill(os.getpid(), signal.SIGTERM)
        self.reactor.triggers[0]()
        self.assertEqual(self.left, [])
        with self.assertRaises(Left):
            signal.raise_signal(signal.SIGTERM)
        self.assertEqual(self.left, [143])

    def test_while_it_stops_already(self) -> None:
        begun = Restart(self.reactor, restart.Path("/"))
        begun.begin()
        self.reactor.running = False
        self.reactor.advance(1)
        self.assertEqual(self.reactor.stops, 0)
