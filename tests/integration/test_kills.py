"""SIGKILL of the implementation, of the service and of the bot, in turn, under traffic."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.implementations.running import Implementation
from tests.integration.rawclient import TEXT, Ended, HandshakeRefused, RawClient
from tests.integration.running import PATIENCE, Service, wait_until
from tests.integration.test_nonebot import NoneBot
from tests.processes import ChildProcess, inherited_environment
from tests.rounds import SOCKET_ROUNDS, combination

MISSING = [
    name
    for name in ("aiocqhttp", "aiohttp", "nonebot", "websockets")
    if importlib.util.find_spec(name) is None
]

ACCOUNT, ALICE = 10_001, 20_001
#: Our own answers that a client may see: not connected, and the link broke after it was sent.
NOT_CONNECTED, BROKEN = 1501, 1502
#: No action over HTTP may take longer, whatever is killed meanwhile (seconds).
LIMIT = 5.0

#: A program on aiocqhttp: it calls over the HTTP API until SIGTERM, four calls at a time. A line when a call
#: begins, and one when it ends.
HTTP_PROGRAM = """
import asyncio, itertools, json, os, signal, time
from aiocqhttp import ActionFailed, CQHttp, HttpFailed, NetworkError

bot = CQHttp(api_root=os.environ["API_ROOT"], access_token=os.environ["ACCESS_TOKEN"], api_timeout_sec=20)
numbers = itertools.count(1)
ending = asyncio.Event()

async def call():
    while not ending.is_set():
        n = f"http {next(numbers)}"
        print(json.dumps({"n": n}), flush=True)
        began = time.monotonic()
        try:
            end = {"data": await bot.call_action("echo_params", n=n)}
        except ActionFailed as failed:
            end = {"retcode": failed.retcode}
        except (HttpFailed, NetworkError) as error:
            end = {"error": repr(error)}
        print(json.dumps({"n": n, "took": time.monotonic() - began, **end}), flush=True)
        await asyncio.sleep(0.05)

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ending.set)
    await asyncio.gather(*(call() for _ in range(4)))

asyncio.run(main())
"""


class LockedClient(RawClient):
    """A connection that two threads write to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.Lock()
        super().__init__(*args, **kwargs)

    def send(self, payload: bytes | str, opcode: int = TEXT, fin: bool = True) -> None:
        with self._lock:
            super().send(payload, opcode, fin)


class Caller:
    """A bot that calls all the time, each action with a number of its own, and connects again and again.

    :ivar answers: what each action was answered, by its number.
    :ivar cut: the numbers of those that were under way when their connection ended.
    :ivar faults: what no client may see.
    :ivar online: what the newest heartbeat says.
    :ivar under_way: the numbers that this connection waits for.
    """

    def __init__(self, service: Service, token: str) -> None:
        self.service = service
        self.token = token
        self.sent = self.connections = 0
        self.answers: dict[int, dict[str, Any]] = {}
        self.retcodes: Counter[int] = Counter()
        self.cut: set[int] = set()
        self.faults: list[str] = []
        self.online: bool | None = None
        self.under_way: set[int] = set()  # on this connection
        self._lock = threading.Lock()
        self._calling = threading.Event()
        self._calling.set()
        self._ending = threading.Event()
        self._client: RawClient | None = None
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._run, self._call)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._ending.is_set():
            headers = {"Authorization": f"Bearer {self.token}"}
            try:
                client = LockedClient(self.service, f"/{ACCOUNT}", headers)
            except (OSError, Ended, HandshakeRefused):
                self._ending.wait(0.05)
                continue
            with self._lock:
                under_way: set[int] = set()
                self.under_way = under_way
                self.connections += 1
                self._client = client
            try:
                while True:
                    self._got(client.message(), under_way)
            except TimeoutError:
                self.faults.append("nothing came for a long time, not even a heartbeat")
            except (OSError, Ended):
                pass
            except Exception as error:
                self.faults.append(f"what came cannot be read: {error!r}")
            with self._lock:
                self._client = None
                self.cut |= under_way
            client.socket.close()

    def _got(self, message: dict[str, Any], under_way: set[int]) -> None:
        if "post_type" in message:
            if message.get("meta_event_type") == "heartbeat":
                self.online = message["status"]["online"]
            if "echo" in message:
                self.faults.append(f"an event with echo: {message}")
            return
        number = message.get("echo")
        if number not in under_way:
            self.faults.append(f"answered twice, or on another connection: {message}")
            return
        self.answers[number] = message
        self.retcodes[message["retcode"]] += 1
        if message["retcode"] == 0:
            right = {"slept": 200} if number % 2 else {"n": number}
            if message["data"] != right:
                self.faults.append(f"{number} got the answer of another: {message}")
        elif message["retcode"] not in (NOT_CONNECTED, BROKEN):
            self.faults.append(f"{number} failed otherwise: {message}")
        under_way.discard(number)

    def _call(self) -> None:
        """100 actions a second; every other one takes its time, so that some are always under way."""
        while not self._ending.wait(0.01):
            with self._lock:
                client = self._client
                if client is None or not self._calling.is_set():
                    continue
                self.sent += 1
                number = self.sent
                self.under_way.add(number)
            with contextlib.suppress(OSError):  # the reader sees the end too
                if number % 2:
                    client.call("sleep_ms", number, n=number, ms=200)
                else:
                    client.call("echo_params", number, n=number)

    def settle(self) -> None:
        """Call no more, and wait until every action of this connection was answered."""
        with self._lock:
            self._calling.clear()
        wait_until("every action is answered", lambda: not self.under_way, LIMIT)

    def end(self) -> None:
        self._ending.set()
        if self._client is not None:
            self._client.reset()
        for thread in self._threads:
            thread.join(PATIENCE)


class HttpCaller(ChildProcess):
    """The aiocqhttp program as a child process."""

    name = "the caller by HTTP"

    def __init__(self, folder: Path, service: Service, token: str) -> None:
        super().__init__(folder, "calls")
        self.errors = self.folder / "errors"
        root = f"http://127.0.0.1:{service.port}/{ACCOUNT}/"
        self.spawn(
            [sys.executable, "-c", HTTP_PROGRAM],
            {**inherited_environment(), "API_ROOT": root, "ACCESS_TOKEN": token},
            errors=self.errors,
        )

    def ends(self) -> list[dict[str, Any]]:
        """How its calls ended, so far."""
        lines = self.log_path.read_text("utf-8").splitlines(keepends=True)
        calls = [json.loads(line) for line in lines if line.endswith("\n")]
        return [call for call in calls if "took" in call]

    def answered(self) -> int:
        """How many calls were done."""
        return sum(1 for call in self.ends() if "data" in call)

    def settle(self) -> tuple[list[str], list[dict[str, Any]]]:
        """Let it end what is under way: which calls it began, and how each ended."""
        status = self.stop(signal.SIGTERM, 30)
        assert status == 0, self.errors.read_text("utf-8", "replace")
        calls = [json.loads(line) for line in self.log_path.read_text("utf-8").splitlines()]
        return [call["n"] for call in calls if "took" not in call], self.ends()


class Forward(SynchronousTestCase):
    """lgtwist dials the implementation: one universal link."""

    transport = "forward-websocket"
    split = False

    if MISSING:
        skip = f"not installed: {', '.join(MISSING)}"

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        account: dict[str, Any] = {
            "self_id": ACCOUNT,
            "transport": self.transport,
            "token": "of-the-account",
            "reconnect_ms": 200,
            "split": self.split,
        }
        self.implementation = Implementation(folder, [account], start=False)
        self.addCleanup(self.implementation.end)
        self.service = Service(folder / "service", self._toml())
        self.addCleanup(self._end_service)
        if self.transport == "reverse-websocket":
            self.implementation.accounts[0]["url"] = self.service.url("/onebot/v11")
        self.received: list[dict[str, Any]] = []  # of all lives of the implementation
        self.begin_implementation()
        settings = {
            "ONEBOT_WS_URLS": json.dumps([self.service.url()]),
            "ONEBOT_ACCESS_TOKEN": "of-nonebot",
            "LOG_LEVEL": "INFO",
        }
        self.bot = NoneBot(folder / "nonebot", settings)
        self.addCleanup(self.bot.end)
        self.caller = Caller(self.service, "of-the-caller")
        self.addCleanup(self.caller.end)
        self.http = HttpCaller(folder / "http", self.service, "of-http")
        self.addCleanup(self.http.end)
        self.bot.wait_connected(1)
        wait_until("the HTTP API answers", lambda: self.http.answered() > 0)

    def _toml(self) -> str:
        lines = [
            '[limits]\nheartbeat_interval = "300ms"',
            f'[[accounts]]\nself_id = {ACCOUNT}\ntype = "{self.transport}"',
            'access_token = "of-the-account"',
        ]
        if self.transport == "forward-websocket":
            path = "/event" if self.split else "/"
            lines.append(f'url = "ws://127.0.0.1:{self.implementation.port(ACCOUNT)}{path}"')
            lines.append('reconnect = {min = "100ms", max = "500ms"}')
        for name in ("nonebot", "the-caller", "http"):
            lines.append(f'[[bots]]\nname = "{name}"\naccess_token = "of-{name}"')
        return "\n".join(lines)

    def _end_service(self) -> None:
        self.service.clean_up()
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())
        self.assertNotIn("Traceback", self.implementation.log())

    # -- the implementation's lives

    def begin_implementation(self) -> None:
        """Start it, and let people talk all the time; NoneBot answers each of them."""
        self.implementation.start()
        wait_until("the account is up", self.service.ready)
        message = self.said("/echo tick")
        self.implementation.control(ACCOUNT, "events", rate=20, fields=message)

    def look_at_implementation(self) -> None:
        """In this life it saw nothing that a correct peer does not do."""
        state = self.implementation.state(ACCOUNT)
        roles = {"api", "event"} if self.split else {"universal"}
        self.assertEqual(state["max_concurrent"], dict.fromkeys(roles, 1), "a link beside another")
        self.assertEqual(state["violations"], [])
        self.received += state["received"]

    def said(self, words: str) -> dict[str, Any]:
        """The fields of a private message of Alice."""
        return {
            "post_type": "message",
            "message_type": "private",
            "sub_type": "friend",
            "message_id": 1,
            "user_id": ALICE,
            "message": [{"type": "text", "data": {"text": words}}],
            "raw_message": words,
            "font": 0,
            "sender": {"user_id": ALICE, "nickname": "Alice"},
        }

    def heard(self, words: str) -> int:
        """How often NoneBot has said this to Alice."""
        sent = self.implementation.received(ACCOUNT, "send_msg")
        texts = ["".join(part["data"]["text"] for part in one["params"]["message"]) for one in sent]
        return texts.count(words)

    def converse(self, words: str) -> None:
        """Alice says something, NoneBot answers it once, and both callers are answered too."""
        answered, done = self.http.answered(), self.caller.retcodes[0]
        event = self.said(f"/echo {words}")
        self.assertEqual(self.implementation.control(ACCOUNT, "event", event=event)["sent"], True)
        wait_until(f"NoneBot answers {words!r}", lambda: self.heard(words))
        wait_until("the caller is answered", lambda: self.caller.retcodes[0] > done + 10)
        wait_until("the HTTP API answers", lambda: self.http.answered() > answered + 2)
        self.assertEqual(self.heard(words), 1)
        self.assertEqual(self.caller.faults, [])

    # -- the kills

    def kill_implementation(self, words: str) -> None:
        """Bots keep their connections: they see offline, 1502 and 1501, and that it is there again."""
        connections, said = self.caller.connections, self.bot.times_connected()
        before = self.caller.retcodes.copy()
        wait_until("a heartbeat says online", lambda: self.caller.online is True)
        self.look_at_implementation()
        self.implementation.kill()
        wait_until("a heartbeat says offline", lambda: self.caller.online is False)
        wait_until("1502 was told", lambda: self.caller.retcodes[BROKEN] > before[BROKEN])
        wait_until("1501 was told", lambda: self.caller.retcodes[NOT_CONNECTED] > before[NOT_CONNECTED])
        self.begin_implementation()
        self.converse(words)
        wait_until("a heartbeat says online again", lambda: self.caller.online is True)
        self.assertEqual(self.caller.connections, connections, "the caller's connection was ended")
        self.assertEqual(self.bot.times_connected(), said, "NoneBot's connection was ended")

    def kill_service(self, words: str) -> None:
        """Everybody is back by himself; the implementation's old link is gone before there is a new one."""
        connections, said = self.caller.connections, self.bot.times_connected()
        self.service.kill()
        self.service.start()
        self.bot.wait_connected(said + 1)
        wait_until("the caller is back", lambda: self.caller.connections > connections)
        self.converse(words)

    def kill_bot(self, words: str) -> None:
        """It is back, and nobody else noticed."""
        connections, said = self.caller.connections, self.bot.times_connected()
        links = self.implementation.state(ACCOUNT)["connections_ever"]
        self.bot.end()
        self.bot.start()
        self.bot.wait_connected(said + 1)
        self.converse(words)
        self.assertEqual(self.caller.connections, connections, "the caller's connection was ended")
        self.assertEqual(self.implementation.state(ACCOUNT)["connections_ever"], links)

    # -- what came of the actions

    def look_at_caller(self) -> None:
        """Each action: one answer, or its connection ended."""
        caller = self.caller
        caller.settle()
        self.assertEqual(caller.faults, [])
        self.assertGreater(caller.retcodes[0], 100)
        self.assertEqual(caller.connections, 1 + SOCKET_ROUNDS, "only the service's death may end one")
        every = set(range(1, caller.sent + 1))
        self.assertEqual(every - caller.answers.keys(), caller.cut, "neither answered nor cut off, or both")
        self.assertGreater(len(caller.cut), 0, "the service was killed while nothing was under way")

    def look_at_http(self) -> list[dict[str, Any]]:
        """Each call ended once and soon; how."""
        begun, ends = self.http.settle()
        self.assertEqual(Counter(begun), Counter(call["n"] for call in ends))
        self.assertEqual([call for call in ends if call["took"] > LIMIT], [])
        for call in ends:
            if "data" in call:
                self.assertEqual(call["data"], {"n": call["n"]})
            elif "retcode" in call:
                self.assertIn(call["retcode"], (NOT_CONNECTED, BROKEN))
            else:
                self.assertIn("NetworkError", call["error"])  # of the service's own death
        return ends

    def look_at_actions(self, ends: list[dict[str, Any]]) -> None:
        """Nothing was carried out twice, nor after it was said that it was not sent."""
        numbers = Counter(
            one["params"]["n"] for one in self.received if one["action"] in ("echo_params", "sleep_ms")
        )
        self.assertEqual({n: times for n, times in numbers.items() if times > 1}, {}, "sent up twice")
        not_sent = {n for n, answer in self.caller.answers.items() if answer["retcode"] == NOT_CONNECTED}
        not_sent |= {call["n"] for call in ends if call.get("retcode") == NOT_CONNECTED}
        self.assertEqual(not_sent & numbers.keys(), set(), "sent up, and 1501 told")

    def test_whoever_is_killed_each_action_has_one_answer_and_events_flow_again(self) -> None:
        """The implementation, the service and the bot die outright, one after the other, under traffic."""
        self.converse("before")
        for number in range(SOCKET_ROUNDS):
            self.kill_implementation(f"after the implementation, {number}")
            self.kill_service(f"after the service, {number}")
            self.kill_bot(f"after the bot, {number}")
        self.look_at_caller()
        ends = self.look_at_http()
        self.look_at_implementation()
        self.look_at_actions(ends)


@combination
class Reverse(Forward):
    """The implementation dials lgtwist: one universal link."""

    transport = "reverse-websocket"


@combination
class ForwardSplit(Forward):
    """lgtwist dials the implementation: a link for actions and one for events."""

    split = True


class ReverseSplit(Forward):
    """The implementation dials lgtwist: a link for actions and one for events."""

    transport = "reverse-websocket"
    split = True
