"""What heartbeats and lifecycles say (section F of the catalogue of faults).

Left out:
L-36 - with the account offline: a sandbox account never is. That what is told agrees is tested.
L-38 - ``X-Client-Role`` of a *reverse* WebSocket: tests of reverse WebSocket have it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.faulty import FaultTestCase, Stream, numbered, quiet
from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, ROOT
from tests.rounds import SOCKET_ROUNDS, some


class Heartbeats(FaultTestCase):
    """Heartbeats every 20 ms; lifecycles first."""

    INTERVAL = 0.02
    toml = quiet("20ms")

    def test_L34_heartbeats_go_on(self) -> None:
        """Heartbeats come for as long as the connection lasts, also to a bot that pings itself."""
        bot = self.bot()
        for number in range(50):
            bot.send(b"%d" % number, 9)
            beat = bot.event(meta_event_type="heartbeat")
            self.assertEqual(
                (beat["post_type"], beat["self_id"], beat["interval"]), ("meta_event", 10001, 20)
            )
            self.assertLess(abs(beat["time"] - time.time()), 5)

    def test_L35_interval(self) -> None:
        """In a second there are as many heartbeats as the interval says, no more and hardly fewer."""
        bot = self.bot()
        counted = []
        for _ in range(5):  # a busy machine may be late once
            began = time.monotonic()
            beats = 0
            while time.monotonic() - began < 1.0:
                bot.event(meta_event_type="heartbeat")
                beats += 1
            if abs(beats - 50) < 6:
                return
            counted.append(beats)
        self.fail(f"{counted} in seconds of 20 ms intervals")

    def test_L36_status_agrees(self) -> None:
        """A heartbeat's status is that of ``get_status``: the account is really up."""
        bot = self.bot()
        status = bot.event(meta_event_type="heartbeat")["status"]
        self.assertEqual(status, {"online": True, "good": True})
        asked = bot.ask("get_status")["data"]
        self.assertEqual({k: asked[k] for k in status}, status)

    def test_L37_lifecycle_is_first(self) -> None:
        """In a storm of events and heartbeats the first frame of every newcomer is its lifecycle."""
        with Stream(self.service, burst=10) as first, Stream(self.service, burst=10, who=1):
            began, before = time.monotonic(), first.published
            for _ in range(8 * SOCKET_ROUNDS):
                bots = [RawClient(self.service, ("/", "/event", "/10001")[n % 3]) for n in range(40)]
                for bot in bots:
                    frame = bot.message()
                    self.assertEqual(frame.get("meta_event_type"), "lifecycle")
                    self.assertEqual((frame["sub_type"], frame["self_id"]), ("connect", 10001))
                    again = bot.message()
                    self.assertNotEqual(again.get("meta_event_type"), "lifecycle")
                    bot.reset()
            rate = (first.published - before) / (time.monotonic() - began)
        self.assertGreater(rate, 20, "there was no storm")
        self.assert_unharmed()


class NoHeartbeats(FaultTestCase):
    """``heartbeat_interval = "0s"``."""

    def test_L35_zero_is_none(self) -> None:
        """An interval of zero is no heartbeat at all, not a flood of them."""
        bot = self.bot()
        burnt = self.service.cpu_seconds()
        time.sleep(0.4)
        self.assertLess(self.service.cpu_seconds() - burnt, 0.1)
        self.service.inject(numbered(1))
        self.assertEqual(bot.message()["n"], 1)
        bot.socket.settimeout(0.1)
        with self.assertRaises(socket.timeout):
            bot.message()


class BadInterval(SynchronousTestCase):
    """What cannot be an interval."""

    def test_L35_negative_is_a_mistake(self) -> None:
        """A negative or senseless interval is one line that names the key, and exit status 1."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        file = folder / "lgtwist.toml"
        for bad in some('"-1s"', "5", '"1"', '"x"', "true", '"0.001ms"'):
            file.write_text(f"[limits]\nheartbeat_interval = {bad}\n")
            twistd = "from twisted.scripts.twistd import run; run()"
            run = subprocess.run(
                [sys.executable, "-c", twistd, "lgtwist", "--check", "--config", str(file)],
                cwd=folder,
                env={"PYTHONPATH": str(ROOT), "PATH": ""},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            said = run.stdout + run.stderr
            self.assertEqual(run.returncode, 1, f"{bad}: {said}")
            self.assertIn("limits.heartbeat_interval", said)
            self.assertEqual(len(said.strip().splitlines()), 1, said)
