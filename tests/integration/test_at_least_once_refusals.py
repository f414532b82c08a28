"""At-least-once delivery of an event that a bot refuses again and again."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.frameworks.frameworks import HERE, need
from tests.integration.at_least_once import (
    at_least_once,
    lines,
    metric,
    rows,
    skipped,
)
from tests.integration.faulty import Injector, numbered, quiet
from tests.integration.rawclient import RawClient
from tests.integration.running import ROOT, TWISTD, ServiceTestCase, wait_until
from tests.processes import ChildProcess


class Poison(ServiceTestCase):
    """An event of 1.1 MiB, and a program on ``websockets`` with its default limit."""

    toml = quiet() + at_least_once("program", token=True) + '[[bots]]\nname = "live"\n'

    def setUp(self) -> None:
        need("websockets")
        super().setUp()
        self.seen = self.service.folder / "seen"
        self.program = ChildProcess(self.service.folder, "log-of-program")
        self.addCleanup(self.program.end)

    def begin(self, **env: str) -> None:
        """Start the program."""
        settings = {"URL": self.service.url(), "TOKEN": "of-program", "SEEN": str(self.seen)}
        self.program.spawn([sys.executable, str(HERE / "pong_client.py")], {**os.environ, **settings, **env})

    def numbers(self) -> list[int]:
        """What the program has handled."""
        if not self.seen.exists():
            return []
        return [int(line.split()[1]) for line in self.seen.read_text().splitlines()]

    def test_is_skipped_after_five_refusals(self) -> None:
        """It is named in one line, counted and kept; everything else arrives, in order."""
        self.begin()
        wait_until("it is connected", lambda: metric(self.service, "bot_connections", bot="program"))
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        injector.publish(*map(numbered, range(20)))
        injector.publish(numbered(20, int(1.1 * (1 << 20))))
        injector.publish(*map(numbered, range(21, 40)))
        with RawClient(self.service) as live:
            wait_until("what follows arrives", lambda: 39 in self.numbers())
            injector.publish(numbered(40))
            live.event(n=40)
        wait_until("what happens then too", lambda: 40 in self.numbers())
        self.assertEqual(list(dict.fromkeys(self.numbers())), [*range(20), *range(21, 41)])
        told = lines(self.service.log(), "skipped an event of account 10001", "5 times", "1009")
        self.assertEqual(len(told), 1)
        self.assertEqual(skipped(self.service, "refused", "program"), 1)
        kept = lambda: rows(self.service, "SELECT bot, account, position, size FROM refused")  # noqa: E731
        wait_until("it is kept", kept)
        self.assertEqual([row[:3] for row in kept()], [("program", 10001, 21)])
        report = subprocess.run(
            [
                *(*TWISTD, "lgtwist"),
                *("--journal", "--json", "--config", str(self.service.config_path)),
            ],
            cwd=self.service.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=30,
        )
        self.assertEqual(report.returncode, 0, report.stderr)
        (refused,) = json.loads(report.stdout)["refused"]
        self.assertEqual((refused["bot"], refused["position"]), ("program", 21))
        self.assertIn("1009", refused["reason"])

    def test_many_small_ones_before_it(self) -> None:
        """Who was refused goes one event at a time up to the suspect: that takes no minute."""
        self.begin()
        wait_until("it is connected", lambda: metric(self.service, "bot_connections", bot="program"))
        self.program.end()
        wait_until("it is gone", lambda: not metric(self.service, "bot_connections", bot="program"))
        injector = Injector(self.service)
        self.addCleanup(injector.close)
        injector.publish(*map(numbered, range(300)))
        injector.publish(numbered(300, int(1.1 * (1 << 20))))
        injector.publish(*map(numbered, range(301, 400)))
        self.begin()
        wait_until("what follows arrives", lambda: 399 in self.numbers(), 10)
        self.assertEqual(list(dict.fromkeys(self.numbers())), [*range(300), *range(301, 400)])
