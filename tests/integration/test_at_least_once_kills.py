"""SIGKILL of the service, of bots and of the implementation at random moments, and nothing is lost.

Events flow all the time, each with a number. Afterwards the journal says what there was to be had.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.frameworks.frameworks import HERE
from tests.implementations.running import Implementation
from tests.integration.at_least_once import Bot as Reader
from tests.integration.at_least_once import at_least_once, bearer, has_all, journalled, lines
from tests.integration.running import Service, wait_until
from tests.processes import ChildProcess, free_port, inherited_environment

MISSING = [
    name
    for name in ("aiocqhttp", "aiohttp", "fastapi", "nonebot", "uvicorn", "websockets")
    if importlib.util.find_spec(name) is None
]

#: The account whose events flow fast, and the one whose bots are frameworks, and events a second of each.
FAST, SLOW = 10_001, 10_002
RATE = {FAST: 2000, SLOW: 100}
#: Kills, each of one process. Many are for a run by itself: starved of processors, a framework may write down
#: what it read later than the grace allows for.
KILLS = int(os.environ.get("LGTWIST_TEST_KILLS", "3"))
#: What the programs may have read and not written down is sent again.
GRACE = 2.0
#: What was confirmed for so long comes again in no case: cursors are written once a second.
LATE = 2.5


def key(event: dict[str, Any]) -> tuple[int, int]:
    """Which life of the implementation an event comes from, and its number there."""
    return event["life"], event["n"]


#: An event, and when a bot saw it.
Seen = tuple[tuple[int, int], float]


class Program(ChildProcess):
    """A bot in a process of its own, which writes down what it has seen.

    :ivar account: whose events it gets.
    """

    def __init__(self, name: str, account: int, folder: Path, program: str, env: dict[str, str]) -> None:
        super().__init__(folder)
        self.name, self.account = name, account
        self.program = program
        self.env = env
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        settings = {"PYTHONUNBUFFERED": "1", "SEEN": str(self.folder / "seen"), "LOG_LEVEL": "ERROR"}
        self.spawn(
            [sys.executable, str(HERE / self.program)], {**inherited_environment(), **settings, **self.env}
        )

    def seen(self) -> list[Seen]:
        """All that it has seen, in all its lives."""
        path = self.folder / "seen"
        text = path.read_text() if path.exists() else ""
        return [
            ((int(life), int(n)), float(at))
            for life, n, at in (line.split() for line in text.splitlines(keepends=True) if line[-1] == "\n")
        ]

    def size(self) -> int:
        """How much it has written: grows with each event."""
        path = self.folder / "seen"
        return path.stat().st_size if path.exists() else 0


class Kills(SynchronousTestCase):
    """The implementation dials lgtwist; one bot dials it too, and two are dialled by it."""

    if MISSING:
        skip = f"not installed: {', '.join(MISSING)}"

    def setUp(self) -> None:
        self.seed = random.randrange(1 << 32)
        self.random = random.Random(self.seed)
        folder = Path(self.mktemp()).absolute()
        ports = {name: free_port() for name in ("nonebot", "aiocqhttp")}
        self.service = Service(folder / "service", self._toml(ports))
        self.addCleanup(self._end_service)
        dials = {"transport": "reverse-websocket", "url": self.service.url("/onebot/v11")}
        common = {**dials, "reconnect_ms": 100, "heartbeat_ms": 0}
        self.implementation = Implementation(
            folder, [{"self_id": account, **common} for account in (FAST, SLOW)], start=False
        )
        self.addCleanup(self.implementation.end)
        self.life = 0
        self.begin_implementation()
        self.programs = [
            Program(
                "websockets",
                FAST,
                folder / "websockets",
                "pong_client.py",
                {"URL": self.service.url(f"/{FAST}"), "TOKEN": "of-websockets"},
            )
        ]
        for name, port in ports.items():
            env = {
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "DRIVER": "~fastapi",
                "ONEBOT_ACCESS_TOKEN": f"of-{name}",
                "ACCESS_TOKEN": f"of-{name}",
            }
            self.programs.append(Program(name, SLOW, folder / name, f"pong_{name}.py", env))
        for program in self.programs:
            self.addCleanup(program.kill)
        self.reader = Reader(self.service, f"/{FAST}", bearer("raw"), key=key)
        self.addCleanup(self.reader.end)

    def _toml(self, ports: dict[str, int]) -> str:
        grace = f'replay = {{ grace = "{GRACE:g}s" }}'
        bots = [
            at_least_once("raw", f"accounts = [{FAST}]", token=True),
            at_least_once("websockets", f"accounts = [{FAST}]", grace, token=True),
        ]
        for name, port in ports.items():
            path = "/ws" if name == "aiocqhttp" else "/onebot/v11/ws"
            bots.append(
                at_least_once(
                    name,
                    f"accounts = [{SLOW}]",
                    grace,
                    'connection = "reverse-websocket"',
                    f'url = "ws://127.0.0.1:{port}{path}"',
                    'reconnect = { min = "100ms", max = "300ms" }',
                    token=True,
                )
            )
        accounts = [f'[[accounts]]\ntype = "reverse-websocket"\nself_id = {one}\n' for one in (FAST, SLOW)]
        return "".join([*accounts, '[limits]\nheartbeat_interval = "0s"\n', *bots])

    def _end_service(self) -> None:
        self.service.clean_up()
        for bad in ("Traceback", "Unhandled", "missing", "skipped"):
            self.assertEqual(lines(self.service.log(), bad), [])
        self.assertNotIn("Traceback", self.implementation.log())

    # -- who is killed

    def begin_implementation(self) -> None:
        """Start it, with its steady flow."""
        self.implementation.start()
        self.life += 1
        wait_until("the accounts are up", self.service.ready)
        for account, rate in RATE.items():
            self.implementation.control(account, "events", rate=rate, fields={"life": self.life})

    def kill_implementation(self) -> None:
        self.implementation.kill()
        self.begin_implementation()

    def kill_service(self) -> None:
        self.service.kill()
        self.service.start()
        wait_until("the accounts are up", self.service.ready)

    def kill_bots(self) -> None:
        """All of them, one after the other."""
        for program in self.programs:
            program.kill()
        self.reader.reset()
        for program in self.programs:
            program.start()

    def wait_flow(self) -> None:
        """Until every bot gets events."""
        sizes = [program.size() for program in self.programs]
        before = len(self.reader.seen)
        wait_until("the raw bot gets events", lambda: len(self.reader.seen) > before)
        for program, size in zip(self.programs, sizes, strict=True):
            wait_until(f"{program.name} gets events", lambda: program.size() > size, 60)  # noqa: B023

    def test_nothing_is_lost_whoever_is_killed(self) -> None:
        """And what comes twice was unconfirmed, or had just been confirmed, when something was killed."""
        kills: list[Callable[[], None]] = []
        while len(kills) < KILLS:
            three = [self.kill_service, self.kill_bots, self.kill_implementation]
            self.random.shuffle(three)
            kills += three
        self.wait_flow()
        for kill in kills:
            time.sleep(self.random.uniform(0.1, 0.8))  # the moment is to be any
            kill()
            self.wait_flow()
        for account in RATE:
            self.implementation.control(account, "stop_events")
        bots: dict[str, tuple[int, float, Callable[[], list[Seen]]]] = {
            program.name: (program.account, GRACE, program.seen) for program in self.programs
        }
        bots["raw"] = FAST, 0.0, lambda: self.reader.log
        for name, (account, _grace, _seen) in bots.items():
            wait_until(f"{name} has all", lambda: has_all(self.service, name, account), 60)  # noqa: B023
        there = {account: keys(self.service, account) for account in RATE}
        self.assertGreater(len(there[FAST]), 1000)
        for name, (account, grace, seen) in bots.items():
            wait_until(f"{name} has the last", lambda: seen()[-1][0] == there[account][-1])  # noqa: B023
            self.look_at(f"{name}, seed {self.seed}", grace + LATE, there[account], seen())

    def look_at(self, who: str, settled: float, there: list[tuple[int, int]], seen: list[Seen]) -> None:
        """What a bot saw, against what there was; after ``settled`` seconds nothing comes again."""
        where = {one: index for index, one in enumerate(there)}
        missing = where.keys() - {one for one, _at in seen}
        self.assertEqual(missing, set(), f"{who}: {len(missing)} of {len(there)} are missing")
        newest, before, ended, again = -1, -1, 0.0, 0
        came: dict[int, float] = {}  # when, the last time
        for one, at in seen:
            index = where[one]
            if index != before + 1:
                self.assertLessEqual(index, newest, f"{who}: {one} is out of order")
                self.assertLess(ended - came[index], settled, f"{who}: {one} had been confirmed long ago")
                again += 1
            newest, before, ended = max(newest, index), index, at
            came[index] = at
        self.assertLessEqual(again, KILLS, f"{who}: began again without need")


def keys(service: Any, account: int) -> list[tuple[int, int]]:
    """Life and number of all events of an account in the journal."""
    found = [key(json.loads(payload)) for payload in journalled(service, account)]
    assert len(found) == len(set(found))
    return found
