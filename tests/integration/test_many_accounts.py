"""Fifty accounts and fifty bots in one service: who floods, and who does not answer, troubles nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.implementations.running import Implementation
from tests.integration.rawclient import RawClient
from tests.integration.running import Service, wait_until
from tests.rounds import combination

if importlib.util.find_spec("websockets") is not None:
    from websockets.asyncio.client import ClientConnection, connect

MISSING = [name for name in ("aiohttp", "websockets") if importlib.util.find_spec(name) is None]

ACCOUNTS = range(20_001, 20_051)
#: Seconds that the bots call.
DURATION = 5.0
#: No call of a good bot may take longer (seconds); a busy machine is slow, but calls that wait have 3 s.
LIMIT = 2.0
#: What the flood and the stall may cost (bytes): several times the two full send buffers.
GROWTH = 40 << 20


def token(self_id: int) -> str:
    """What an account's bot shows, and what its implementation does."""
    return f"token-{self_id}"


def is_reverse(self_id: int) -> bool:
    """Of the accounts every second dials us."""
    return self_id % 2 == 0


class GoodBot:
    """A bot that calls its own account, one call after the other; every bot uses the echoes 1, 2, 3 ...

    :ivar faults: what a user of it would complain about.
    """

    def __init__(self, service: Service, self_id: int) -> None:
        self.self_id = self_id
        self.url = service.url(f"/{self_id}")
        self.longest = 0.0
        self.answers = self.events = self.last_event = 0
        self.faults: list[str] = []

    async def connect(self) -> ClientConnection:
        """Attach it."""
        headers = {"Authorization": f"Bearer {token(self.self_id)}"}
        return await connect(self.url, additional_headers=headers, compression=None, proxy=None)

    async def work(self, link: ClientConnection, end: float) -> None:
        """Call until the time is over."""
        while time.monotonic() < end:
            await self._call(link, self.answers + 1)

    async def _call(self, link: ClientConnection, number: int) -> None:
        params = {"bot": self.self_id, "number": number, "text": f"你好 {self.self_id}"}
        asked = time.monotonic()
        await link.send(json.dumps({"action": "echo_params", "params": params, "echo": number}))
        while True:
            message = json.loads(await asyncio.wait_for(link.recv(), 10))
            if "post_type" in message:
                self._event(message)
                continue
            took = time.monotonic() - asked
            self.longest = max(self.longest, took)
            self.answers += 1
            if took > LIMIT:
                self.faults.append(f"call {number} took {took:.2f} s")
            if (message["retcode"], message.get("echo"), message["data"]) != (0, number, params):
                self.faults.append(f"call {number} was answered {str(message)[:300]}")
            return

    def _event(self, event: dict[str, Any]) -> None:
        if event["self_id"] != self.self_id:
            self.faults.append(f"an event of {event['self_id']}")
        if event["post_type"] == "meta_event":
            if event["meta_event_type"] == "heartbeat" and not event["status"]["online"]:
                self.faults.append("a heartbeat says that the account is offline")
            return
        self.events += 1
        if event["n"] <= self.last_event:
            self.faults.append(f"event {event['n']} came after {self.last_event}")
        self.last_event = event["n"]


class Beside(threading.Thread):
    """What goes on beside the good bots, until it is told to end."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ending = threading.Event()
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self.failed = error

    def work(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """End it; what went wrong in it goes wrong here."""
        self.ending.set()
        self.join(30)
        if self.failed is not None:
            raise self.failed


class FloodedBot(Beside):
    """A bot that reads all that is sent to it, as fast as it can."""

    def __init__(self, client: RawClient) -> None:
        super().__init__()
        self.client = client
        self.read = 0

    def work(self) -> None:
        self.client.socket.settimeout(0.2)
        while not self.ending.is_set():
            with contextlib.suppress(TimeoutError):
                got = len(self.client.socket.recv(1 << 18))
                assert got, "the flooded bot's connection was ended"
                self.read += got


class StalledBot(Beside):
    """A bot whose account neither reads nor answers; it goes on asking, and counts the answers."""

    def __init__(self, client: RawClient) -> None:
        super().__init__()
        self.client = client
        self.retcodes: Counter[int] = Counter()
        self.answered: Counter[int] = Counter()
        self.asked = 0

    def work(self) -> None:
        while not self.ending.is_set():
            for _ in range(20):  # a MiB a time: soon neither the account nor our send buffer has room
                self.asked += 1
                self.client.call("echo_params", self.asked, blob="x" * 50_000)
            while sum(self.answered.values()) < self.asked - 300:
                self._read()
            self.ending.wait(0.05)
        while sum(self.answered.values()) < self.asked:
            self._read()

    def _read(self) -> None:
        response = self.client.response()
        self.retcodes[response["retcode"]] += 1
        self.answered[response["echo"]] += 1


class Memory(Beside):
    """Looks at how much the service has."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self.service = service
        self.most = 0

    def work(self) -> None:
        while not self.ending.wait(0.1):
            self.most = max(self.most, self.service.memory())


class ManyAccounts(SynchronousTestCase):
    """All in one service; the simulator is one process too."""

    if MISSING:
        skip = f"not installed: {', '.join(MISSING)}"

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        sides = {False: "forward-websocket", True: "reverse-websocket"}
        self.implementation = Implementation(
            folder,
            [
                {"self_id": n, "transport": sides[is_reverse(n)], "token": token(n), "reconnect_ms": 200}
                for n in ACCOUNTS
            ],
            start=False,
        )
        self.addCleanup(self.implementation.end)
        self.service = Service(folder / "service", self._toml())
        self.addCleanup(self._end)
        for account in self.implementation.accounts:
            if account["transport"] == "reverse-websocket":
                account["url"] = self.service.url("/onebot/v11")
        self.implementation.start()
        wait_until("all accounts are up", lambda: self.service.http("/readyz")[0] == 200)

    def _toml(self) -> str:
        lines = ['[limits]\naction_timeout = "3s"\nheartbeat_interval = "1s"\nclose_timeout = "500ms"']
        for n in ACCOUNTS:
            if is_reverse(n):
                way = 'type = "reverse-websocket"'
            else:
                port = self.implementation.port(n)
                way = f'type = "forward-websocket"\nurl = "ws://127.0.0.1:{port}/"'
                way += '\nreconnect = {min = "100ms", max = "500ms"}'
            lines.append(f'[[accounts]]\nself_id = {n}\naccess_token = "{token(n)}"\n{way}')
            lines.append(f'[[bots]]\nname = "bot-{n}"\naccess_token = "{token(n)}"\naccounts = [{n}]')
        return "\n".join(lines)

    def _end(self) -> None:
        self.service.clean_up()
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())
        self.assertNotIn("Traceback", self.implementation.log())

    def dial(self, self_id: int, receive_buffer: int | None = None) -> RawClient:
        """A connection of this account's bot."""
        headers = {"Authorization": f"Bearer {token(self_id)}"}
        client = RawClient(self.service, f"/{self_id}", headers, receive_buffer=receive_buffer)
        self.addCleanup(client.socket.close)
        return client

    def check(self, flooding: int, stalled: int) -> None:
        """One account floods, one stalls; the bots of all others notice nothing."""
        control = self.implementation.control
        good = [GoodBot(self.service, n) for n in ACCOUNTS if n not in (flooding, stalled)]
        self.assertEqual(len(good), 48)
        flooded, asleep = self.dial(flooding), self.dial(flooding, receive_buffer=4096)
        reader, asker, memory = FloodedBot(flooded), StalledBot(self.dial(stalled)), Memory(self.service)
        beside = (reader, asker, memory)
        before = self.service.memory()
        for bot in good:
            control(bot.self_id, "events", rate=5)
        control(stalled, "answers", mode="never")
        control(stalled, "stop_reading")
        control(flooding, "flood", count=100_000_000, size=200)
        for each in beside:
            each.start()
        try:
            asyncio.run(self._work(good))
        finally:
            control(flooding, "stop_events")
            for each in beside:
                each.end()
        self.look_at_good(good)
        self.look_at_flood(flooding, reader.read, asleep)
        self.look_at_stalled(asker)
        self.assertLess(memory.most - before, GROWTH, f"{before} bytes before, {memory.most} at most")
        self.assertEqual(self.implementation.violations(), {})
        states = self.implementation.state("all", after=10**9).values()
        self.assertEqual({state["connections_ever"] for state in states}, {1}, "a link was made anew")
        self.assertNotIn("is down", self.service.log())

    async def _work(self, good: list[GoodBot]) -> None:
        links = await asyncio.gather(*(bot.connect() for bot in good))
        end = time.monotonic() + DURATION
        await asyncio.gather(*(bot.work(link, end) for bot, link in zip(good, links, strict=True)))
        await asyncio.gather(*(link.close() for link in links))

    def look_at_good(self, good: list[GoodBot]) -> None:
        """Each call was answered in time, to whom asked; each bot got the events of its account."""
        faults = {bot.self_id: bot.faults[:3] for bot in good if bot.faults}
        self.assertEqual(faults, {})
        self.assertGreater(min(bot.answers for bot in good), DURATION, "somebody hardly got a turn")
        self.assertGreater(min(bot.events for bot in good), DURATION, "somebody hardly got an event")
        for bot in good:
            asked = self.implementation.state(bot.self_id)["received"]
            numbers = [one["params"]["number"] for one in asked if one["action"] == "echo_params"]
            self.assertEqual(numbers, list(range(1, bot.answers + 1)), "not each call came once, in order")

    def look_at_flood(self, flooding: int, read: int, asleep: RawClient) -> None:
        """It was one; who reads gets much of it, and who does not gets what fits, with an end."""
        sent = self.implementation.state(flooding, after=10**9)["events_sent"]
        self.assertGreater(sent, 1000 * DURATION)
        self.assertGreater(read, 1 << 20)
        status, text = self.service.http("/metrics")
        self.assertEqual(status, 200)
        dropped = re.search(rf'^lgtwist_dropped_events_total{{bot="bot-{flooding}"}} (\S+)$', text, re.M)
        assert dropped is not None, text
        self.assertGreater(float(dropped[1]), 0)
        self.assertLess(self.service.log().count(f"bot-{flooding}"), 200, "the log is flooded too")
        asleep.call("get_login_info", "awake")  # it was asleep, not dead: what it asks now is answered
        while (answer := asleep.response()).get("echo") != "awake":
            pass
        self.assertEqual(answer["data"]["user_id"], flooding)

    def look_at_stalled(self, asker: StalledBot) -> None:
        """Every call had one answer: that nobody answered, or that no more can be sent."""
        self.assertEqual(set(asker.answered), set(range(1, asker.asked + 1)))
        self.assertEqual(set(asker.answered.values()), {1})
        self.assertEqual(set(asker.retcodes), {1429, 1504})

    def test_a_flooding_account_that_we_dial_and_a_stalled_one_that_dials_us_hurt_nobody(self) -> None:
        """48 bots call their own accounts all the while: no call over 1 s, each its own answer."""
        self.check(flooding=20_001, stalled=20_002)

    @combination
    def test_a_flooding_account_that_dials_us_and_a_stalled_one_that_we_dial_hurt_nobody(self) -> None:
        """The other way round."""
        self.check(flooding=20_050, stalled=20_049)
