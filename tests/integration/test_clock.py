"""A wall clock that is set while the service runs, and host names whose look-up hangs: real processes.

The clock is faked by libfaketime (Debian: ``faketime``) where it is installed, else by a module of the test.
"""

from __future__ import annotations

import glob
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from tests.integration.at_least_once import Bot, at_least_once, bearer, lines, metric
from tests.integration.faulty import Injector, numbered
from tests.integration.rawclient import RawClient
from tests.integration.running import ROOT, Service, ServiceTestCase, wait_until
from tests.processes import free_port

_LIBRARY = next(iter(glob.glob("/usr/lib/*/faketime/libfaketime.so.1")), None)
#: In its place: a wall clock that reads how wrong it is from the file that $OFFSET names.
_WRONG_CLOCK = """
import os, time
_right = time.time
time.time = lambda: _right() + float(open(os.environ["OFFSET"]).read())
"""
#: Look-ups of names that begin with "dead" take 20 s and fail.
_DEAD_NAMES = """
import socket, time
_ask = socket.getaddrinfo
def getaddrinfo(host, *rest, **named):
    if str(host).startswith("dead"):
        time.sleep(20)
        raise socket.gaierror(-3, "Temporary failure in name resolution")
    return _ask(host, *rest, **named)
socket.getaddrinfo = getaddrinfo
"""
MONTH = 30 * 86400


class PatchedService(Service):
    """A service in whose process something of the machine is replaced."""

    patch = ""
    extra: dict[str, str] = {}  # replaced, never changed

    def spawn(self, command: Any, env: dict[str, str], *others: Any) -> None:
        (self.folder / "sitecustomize.py").write_text(self.patch)
        path = f"{self.folder}{os.pathsep}{ROOT}"
        super().spawn(command, {**env, **self.extra, "PYTHONPATH": path}, *others)


class WrongClockService(PatchedService):
    """A service whose wall clock is as wrong as a test wants it."""

    def start(self) -> None:
        self._offset = self.folder / "offset"
        self.set_clock(0)
        if _LIBRARY is None:
            self.patch, self.extra = _WRONG_CLOCK, {"OFFSET": str(self._offset)}
        else:
            self.extra = {
                "LD_PRELOAD": _LIBRARY,
                "FAKETIME_TIMESTAMP_FILE": str(self._offset),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        super().start()

    def set_clock(self, seconds: int) -> None:
        """Let the wall clock be wrong by so many seconds from now on."""
        new = self.folder / "offset.new"
        new.write_text(f"{seconds:+d}\n")
        new.replace(self._offset)


class ClockTests(ServiceTestCase):
    toml = (
        '[limits]\nheartbeat_interval = "500ms"\naction_timeout = "1s"\n[journal]\nretention = "1d"\n'
        '[[accounts]]\nself_id = 10001\n[[accounts]]\ntype = "reverse-websocket"\nself_id = 2\n'
        'access_token = "up"\n[[bots]]\nname = "live"\naccess_token = "live"\n'
        + at_least_once("bot", token=True)
    )
    service: WrongClockService

    def start_service(self, toml: str | None = None, server: str | None = None) -> Service:
        service = WrongClockService(Path(self.mktemp()).absolute(), self.toml)
        self.addCleanup(self._end, service)
        return service

    def test_set_back(self) -> None:
        """An hour back: heartbeats go on, a call ends in time, one line says what happened."""
        headers = {"X-Self-ID": "2", "X-Client-Role": "Universal", "Authorization": "Bearer up"}
        account = RawClient(self.service, "/onebot/v11/ws", headers)
        self.addCleanup(account.socket.close)
        login = account.message()
        data = {"user_id": 2, "nickname": "n"}
        account.send(json.dumps({"status": "ok", "retcode": 0, "data": data, "echo": login["echo"]}))
        client = RawClient(self.service, "/2", {"Authorization": "Bearer live"})
        self.addCleanup(client.socket.close)
        client.event(meta_event_type="heartbeat")
        self.service.set_clock(-3600)
        client.call("never_answered", echo="e")
        began = time.monotonic()
        beats, response = 0, None
        while beats < 4 or response is None:
            message = client.message()
            beats += message.get("meta_event_type") == "heartbeat"
            response = message if message.get("echo") == "e" else response
        self.assertLess(time.monotonic() - began, 30)
        self.assertEqual(response["retcode"], 1504)
        wait_until("a line says so", lambda: lines(self.service.log(), "the clock was set back by 3600 s"))

    def test_a_month_forward(self) -> None:
        """For some seconds, right after a start: an at-least-once bot loses nothing that waits for it."""
        bot = Bot(self.service, headers=bearer("bot"))
        self.addCleanup(bot.end)
        wait_until("it is connected", lambda: bot.connected)
        bot.leave()
        self.publish(0, 1)
        self.service.stop()
        self.service.start()
        self.publish(2)
        self.service.set_clock(MONTH)
        self.publish(3)
        wait_until("it is noticed", lambda: lines(self.service.log(), "the clock was set forward"))
        time.sleep(5.5)  # retention looks every five seconds, and there is nothing that it would say
        self.service.set_clock(0)
        self.publish(4)
        bot.come_back()
        bot.wait_for(4)
        self.assertEqual(bot.seen, [0, 1, 2, 3, 4])

    def publish(self, *which: int) -> None:
        injector = Injector(self.service)
        injector.publish(*map(numbered, which))
        injector.close()
        wait_until("all is on disk", lambda: not metric(self.service, "journal_waiting_bytes"))


class DeadNamesService(PatchedService):
    patch = _DEAD_NAMES


class NameTests(ServiceTestCase):
    """Twenty names hang; one account, whose name is known, lets every connection end at once."""

    def start_service(self, toml: str | None = None, server: str | None = None) -> Service:
        self._port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self.addCleanup(self._listener.close)
        accounts = [(1, f"localhost:{self._port}"), *((n, f"dead{n}.example:1") for n in range(100, 120))]
        account = (
            '[[accounts]]\ntype = "forward-websocket"\nself_id = %d\naccess_token = "x"\nurl = "ws://%s/"\n'
        )
        toml = "".join(account % one for one in accounts) + '[[bots]]\nname = "b"\naccess_token = "t"\n'
        service = DeadNamesService(Path(self.mktemp()).absolute(), toml)
        self.addCleanup(self._end, service)
        return service

    def test_they_cost_nobody_else(self) -> None:
        """The other account is dialled again and again, and the service stops at once."""
        self._listener.settimeout(10)
        watch = self.service.stopwatch()
        for _ in range(2):
            self._listener.accept()[0].close()
        self.assertLess(watch.seconds(), 8)
        watch = self.service.stopwatch()
        self.assertEqual(self.service.stop(), 0)
        self.assertLess(watch.seconds(), 5)
