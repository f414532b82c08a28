"""Twelve kinds of hungry peers against one service, one after the other and all at once, beside a witness.

``python -m benchmarks.soak --seconds 600`` starts a service of its own, and prints for each kind the longest
call and the latest event of the witness, and by how much the process grew while it ran and ten seconds after
its end. The exit status is 1 if the witness waited longer than ``--patience``, or more stayed than ``--left``
MiB.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.hungry import KINDS, Implementation, Target, WebSocket
from benchmarks.subjects import ROOT, free_port

#: The accounts: the hungry bot's, the one that strangers post to, the witness's.
HUNGRY, POSTING, WITNESS = 7, 6, 8
CONFIGURATION = f"""
[[accounts]]
type = "reverse-websocket"
self_id = {HUNGRY}
access_token = "implementation"
[[accounts]]
type = "http"
self_id = {POSTING}
url = "http://127.0.0.1:1/"
secret = "secret"
[[accounts]]
type = "reverse-websocket"
self_id = {WITNESS}
access_token = "implementation"
[[accounts]]
type = "sandbox"
self_id = 10001
[[bots]]
name = "hungry"
access_token = "hungry-token"
accounts = [{HUNGRY}, 10001]
[[bots]]
name = "witness"
access_token = "witness-token"
accounts = [{WITNESS}]
"""


def tell(line: str) -> None:
    """Write a line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Service:
    """One lgtwist in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "log"
        config = folder / "lgtwist.toml"
        config.write_text(
            f'data_dir = "{folder / "data"}"\n[server]\n'
            f'endpoints = ["tcp:{self.port}:interface=127.0.0.1"]\n{CONFIGURATION}'
        )
        twistd = "from twisted.scripts.twistd import run; run()"
        command = [sys.executable, "-c", twistd, "-n", "--pidfile=", "lgtwist", "--config", str(config)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603
                command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log
            )

    def memory(self, what: str = "VmRSS") -> float:
        """Return its resident memory in MiB; ``VmHWM`` for the most that it ever was."""
        found = re.search(rf"{what}:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        if found is None:
            raise RuntimeError("the service has ended")
        return int(found[1]) / 1024

    def forget_peak(self) -> None:
        """Let ``VmHWM`` begin anew."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _hunger(name: str, target: Target) -> None:
    KINDS[name](target)


def _implement(port: int) -> None:
    Implementation(port, HUNGRY, "implementation", events=20, size=20_000)
    time.sleep(1e6)


def _witness_implement(port: int) -> None:
    Implementation(port, WITNESS, "implementation", events=20)
    time.sleep(1e6)


class Witness:
    """A bot that asks all the time, and looks how late its events are.

    :ivar slowest: seconds of its slowest call since :meth:`begin`; infinite if it failed.
    :ivar latest: seconds of its latest event.
    :ivar leaving: whether the service is about to stop, so that the connections' end is right.
    """

    def __init__(self, port: int) -> None:
        self._calls = WebSocket(port, f"/{WITNESS}/api", "witness-token")
        self._events = WebSocket(port, f"/{WITNESS}/event", "witness-token")
        self.leaving = False
        self.begin()
        threading.Thread(target=self._ask, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    def begin(self) -> None:
        """Begin to measure."""
        self.slowest = self.latest = 0.0
        self.calls = self.events = 0

    def _ask(self) -> None:
        number = 0
        try:
            while True:
                began, number = time.monotonic(), number + 1
                self._calls.call("get_x", number, 60)
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.calls += 1
                time.sleep(0.02)
        except (OSError, ValueError) as error:
            self._ended(f"the witness's calls ended: {error}")

    def _listen(self) -> None:
        try:
            while True:
                sent_at = json.loads(self._events.message(60)).get("sent_at")
                if sent_at is not None:
                    self.latest = max(self.latest, time.monotonic() - sent_at)
                    self.events += 1
        except (OSError, ValueError) as error:
            self._ended(f"the witness's events ended: {error}")

    def _ended(self, how: str) -> None:
        if not self.leaving:
            tell(how)
            self.slowest = self.latest = float("inf")


@dataclass
class Figures:
    """What one kind of load did: the witness's calls, seconds, and MiB over what there was before."""

    calls: int
    slowest: float
    latest: float
    most: float
    left: float


def run(
    seconds: float, kinds: list[str], *, together: bool = True, recovery: float = 10.0
) -> dict[str, Figures]:
    """Run each kind for its share of ``seconds``, then all at once; return the figures by name.

    :param together: whether to run all at once too.
    :param recovery: seconds after which what is left is measured.
    """
    start = multiprocessing.get_context("spawn").Process
    found: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder))
        helpers: list[Any] = []
        try:
            _wait_for_port(service.port)
            for what in (_implement, _witness_implement):
                helpers.append(start(target=what, args=(service.port,), daemon=True))
                helpers[-1].start()
            _wait_until_up(service)
            witness = Witness(service.port)
            time.sleep(1)
            loads = {kind: [kind] for kind in kinds} | ({"all at once": kinds} if together else {})
            share = seconds / len(loads)
            for name, load in loads.items():
                target = Target(service.port, "hungry-token", HUNGRY, POSTING, time.monotonic() + share)
                before = service.memory()
                service.forget_peak()
                witness.begin()
                hungry = [start(target=_hunger, args=(each, target), daemon=True) for each in load]
                for one in hungry:
                    one.start()
                for one in hungry:
                    one.join(share + 30)
                most = service.memory("VmHWM") - before
                figures = Figures(witness.calls, witness.slowest, witness.latest, most, 0.0)
                deadline = time.monotonic() + recovery
                while (left := service.memory() - before) > 16 and time.monotonic() < deadline:
                    time.sleep(0.1)
                figures.left = left
                found[name] = figures
            witness.leaving = True
        except BaseException:
            tell(service.log.read_text()[-3000:])
            raise
        finally:
            for one in helpers:
                one.terminate()
            service.stop()
    return found


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            WebSocket(port, "/nowhere-at-all/x").close()
        except ConnectionError as error:
            if "HTTP" in str(error):
                return
        if time.monotonic() > deadline:
            raise RuntimeError("the service does not listen")
        time.sleep(0.05)


def _wait_until_up(service: Service) -> None:
    deadline = time.monotonic() + 20
    while service.log.read_text().count(" is up") < 3:
        if time.monotonic() > deadline:
            raise RuntimeError("the accounts do not come up")
        time.sleep(0.05)


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="for all kinds together")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of: " + ", ".join(KINDS))
    parser.add_argument("--patience", type=float, default=0.5, help="seconds that the witness may wait")
    parser.add_argument("--left", type=float, default=64.0, help="MiB that may stay")
    options = parser.parse_args()
    found = run(options.seconds, options.kinds.split(","))
    tell(f"{'load':22} {'slowest call':>12} {'latest event':>12} {'most MiB':>9} {'left MiB':>9}")
    good = True
    for name, seen in found.items():
        tell(f"{name:22} {seen.slowest:10.3f} s {seen.latest:10.3f} s {seen.most:9.0f} {seen.left:9.0f}")
        good &= max(seen.slowest, seen.latest) <= options.patience and seen.left <= options.left
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
