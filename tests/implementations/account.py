"""One account of the simulator: what it knows, what it was told, what it answers, what it publishes.

It is the strict side: whatever its peer does beyond the standard becomes a violation in its state.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from tests.implementations import dialects
from tests.implementations.dialects import ABSENT, STREAMS, Dialect, Outcome

if TYPE_CHECKING:
    from tests.implementations.links import Link

#: Larger actions are recorded by length and hash, not by their parameters.
RECORDED_WHOLE = 1024 * 1024
#: A flow waits for the socket when so much of it is unsent (bytes); real implementations buffer for ever.
HIGH_WATER = 8 * 1024 * 1024

MODES = (
    *("normal", "never", "twice", "other_echo", "no_echo", "late", "drop_mid_answer", "close_on_action"),
    *("rst_on_action", "garbage_then_normal", "echo_as_number", "echo_as_float", "no_retcode", "failed"),
)
GARBAGE = (
    *("{", "", "[]", "not json", "null", '"x"', "1", '{"post_type":', "NaN", "[" * 100_000, "\ufeff{}"),
    *('{"post_type":"message","text":"\\ud83d"}', '{"status":"ok","retcode":0,"data":null,"echo":NaN}'),
    *('{"post_type":7,"self_id":"x"}', '{"retcode":0}', '{"echo":[1]}', "9" * 5000),
)


class Mistake(Exception):
    """A command of the test that cannot be carried out; its text is for the test's author."""


class Transport(Protocol):
    """How an account reaches its peer."""

    async def start(self) -> None:
        """Listen, or begin to dial."""

    async def stop(self) -> None:
        """Say goodbye as this implementation does."""

    async def refuse(self, how: dict[str, Any]) -> None:
        """Refuse what comes from now on; for a transport that dials: do not dial again."""

    async def accept_again(self) -> None:
        """Undo ``refuse``."""

    def publish(self, text: str) -> bool:
        """Send an event; whether there was anybody."""
        raise NotImplementedError


@dataclass
class Rule:
    """How to answer, for how many actions more (``None``: from now on)."""

    mode: str = "normal"
    args: dict[str, Any] = field(default_factory=dict)
    times: int | None = None


class Account:
    """The state of one account; its transport is set by the simulator."""

    transport: Transport

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.self_id = int(config["self_id"])
        name = config.get("dialect", "onebot11")
        if name not in dialects.DIALECTS:
            raise Mistake(f"{self.self_id}: no dialect {name!r}")
        self.dialect: Dialect = dialects.DIALECTS[name]
        self.token: str | None = config.get("token")
        secret = config.get("secret")
        self.secret: str | None = self.token if secret is None and self.dialect.token_is_secret else secret
        self.heartbeat_ms = int(config.get("heartbeat_ms", 5000))
        self.reconnect = int(config.get("reconnect_ms", 300)) / 1000
        self.redial: str = config.get("redial") or self.dialect.redial
        self.pong_ms = int(config.get("pong_ms", self.dialect.unsolicited_pong_ms))
        self.nickname = config.get("nickname", f"测试 <{self.self_id}>")
        self.started = int(time.time())
        #: Habits: actions that it does not have, and the one format of messages that it takes.
        self.lacks: list[str] = config.get("lacks", [])
        self.takes: str = config.get("takes", "")

        self.online = True
        self.drop_pongs = False
        self.login_user_id = self.event_self_id = self.header_self_id = self.self_id
        self.rules: dict[str | None, Rule] = {}
        self.messages: dict[int, dict[str, Any]] = {}
        self._message_ids = itertools.count(self.self_id * 10 % 1_000_000 + 1)
        self._numbers = itertools.count(1)
        self._connections = itertools.count(1)

        self.links: list[Link] = []
        self.received: list[dict[str, Any]] = []
        self.violations: list[str] = []
        self.attempts: list[dict[str, Any]] = []
        self.handshakes: list[dict[str, Any]] = []
        self.closes: list[dict[str, Any]] = []
        self.posts: list[dict[str, Any]] = []
        self.max_concurrent: dict[str, int] = {}
        self.events_sent = self.events_lost = self.pings = self.connections_ever = 0

        self.pushed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._flows: set[asyncio.Task[Any]] = set()
        self._ticker: asyncio.Task[None] | None = None

    # Helpers for the transports

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something beside; it is kept from being collected."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def violation(self, text: str) -> None:
        """The peer did what a correct peer does not do."""
        self.violations.append(text)

    def next_connection(self) -> int:
        self.connections_ever += 1
        return next(self._connections)

    def attempt(self, **fields: Any) -> dict[str, Any]:
        """A connection begins; the record is completed by whoever made it."""
        record = {"at": time.monotonic(), **fields}
        self.attempts.append(record)
        return record

    def add_link(self, link: Link) -> None:
        self.links.append(link)
        alive = sum(1 for one in self.links if one.role == link.role and not one.ended())
        self.max_concurrent[link.role] = max(alive, self.max_concurrent.get(link.role, 0))
        if link.gets_events and self.dialect.beats == "shared" and not self._other_event_link(link):
            self.restart_ticker()

    def _other_event_link(self, link: Link) -> bool:
        return any(one.gets_events and one is not link for one in self.links)

    # Events

    def meta(self, sub_type: str, dialled: bool = False) -> str:
        """A lifecycle event as text."""
        event = dialects.lifecycle(self.dialect, self.event_self_id, sub_type, self.started, dialled)
        return self.dumps(event)

    def heartbeat(self, interval: Any = None, online: bool | None = None, good: bool | None = None) -> str:
        """A heartbeat as text; what is not given is the account's own."""
        online = self.online if online is None else online
        interval = self.heartbeat_ms if interval is None else interval
        return self.dumps(dialects.heartbeat(self.dialect, self.event_self_id, interval, online, good))

    def dumps(self, value: Any) -> str:
        return dialects.dumps(self.dialect, value)

    def restart_ticker(self) -> None:
        """Begin the one timer that all connections share."""
        if self._ticker is not None:
            self._ticker.cancel()
        if self.heartbeat_ms > 0:
            self._ticker = self.spawn(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.heartbeat_ms / 1000)
            self.push(self.heartbeat())

    def push(self, text: str) -> bool:
        """Send an event or a meta event to whoever gets events."""
        self.pushed.set()
        self.pushed = asyncio.Event()
        return self.transport.publish(text)

    def publish(self, text: str) -> bool:
        """Send an event, counted. Without a connection it is lost, as with every real implementation."""
        sent = self.push(text)
        if sent:
            self.events_sent += 1
        else:
            self.events_lost += 1
        return sent

    def complete(self, event: dict[str, Any]) -> dict[str, Any]:
        """An event with ``time`` and ``self_id`` where the test gave none."""
        missing = {"time": int(time.time()), "self_id": self.event_self_id}
        return {**{key: value for key, value in missing.items() if key not in event}, **event}

    def numbered(self, size: int = 0, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        """The next event of the steady flow: a group message with a number."""
        number = next(self._numbers)
        text = f"event {number}" + "x" * size
        return self.complete(
            {
                "post_type": "message",
                "message_type": "group",
                "sub_type": "normal",
                "message_id": number,
                "group_id": 30_001,
                "user_id": 40_001,
                "message": [{"type": "text", "data": {"text": text}}],
                "raw_message": text,
                "font": 0,
                "sender": {"user_id": 40_001, "nickname": "小明"},
                "n": number,
                **(fields or {}),
            }
        )

    def start_flow(self, count: int | None, rate: float | None, size: int, fields: dict[str, Any]) -> None:
        """Publish numbered events in the background; without a rate as fast as they are taken."""
        task = self.spawn(self._flow(count, rate, size, fields))
        self._flows.add(task)
        task.add_done_callback(self._flows.discard)

    async def _flow(self, count: int | None, rate: float | None, size: int, fields: dict[str, Any]) -> None:
        began, done = time.monotonic(), 0
        while count is None or done < count:
            due = done + 100 if rate is None else int((time.monotonic() - began) * rate) + 1
            for _ in range(due - done if count is None else min(due, count) - done):
                self.publish(self.dumps(self.numbered(size, fields)))
                done += 1
            for link in list(self.links):
                await link.below(HIGH_WATER)
            await asyncio.sleep(0 if rate is None else max(0.001, began + done / rate - time.monotonic()))

    def stop_flows(self) -> None:
        for task in list(self._flows):
            task.cancel()

    @property
    def flowing(self) -> int:
        return len(self._flows)

    # Actions

    def judge(self, text: str, where: str, connection: int | None, role: str) -> Any:
        """Parse a message strictly and record it; what is returned is as lenient as an implementation."""

        def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
            keys = [key for key, _ in items]
            for key in sorted({key for key in keys if keys.count(key) > 1}) if len(keys) < 50 else ():
                self.violation(f"{where}: key {key!r} twice in one object")
            return dict(items)

        def constant(name: str) -> Any:
            self.violation(f"{where}: {name} is not JSON")

        try:
            body = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
        except (ValueError, RecursionError) as error:
            self.violation(f"{where}: not JSON ({error}): {text[:200]!r}")
            return None
        if not isinstance(body, dict):
            self.violation(f"{where}: not an object: {text[:200]!r}")
            return None
        action, params = body.get("action"), body.get("params")
        if not isinstance(action, str) or not action:
            self.violation(f"{where}: action is no string: {text[:200]!r}")
        if not isinstance(params, dict):
            self.violation(f"{where}: params is no object: {text[:200]!r}")
        if "echo" not in body and where != "HTTP":
            self.violation(f"{where}: no echo: {text[:200]!r}")
        for key in body.keys() - {"action", "params", "echo"}:
            self.violation(f"{where}: unknown key {key!r} beside action, params and echo")
        self.record(action, params, body.get("echo", ABSENT), connection, role, text)
        return body

    def record(
        self, action: Any, params: Any, echo: Any, connection: int | None, role: str, text: str
    ) -> None:
        """Keep an action for the test."""
        raw = text.encode("utf-8", "surrogatepass")
        entry: dict[str, Any] = {
            "n": len(self.received) + 1,
            "at": time.monotonic(),
            "connection": connection,
        }
        entry |= {"role": role, "action": action, "params": params, "bytes": len(raw)}
        if len(raw) > RECORDED_WHOLE:
            entry |= {"params": None, "sha256": hashlib.sha256(raw).hexdigest()}
        if echo is not ABSENT:
            entry["echo"] = echo
        self.received.append(entry)

    def rule_for(self, action: Any) -> Rule:
        """The rule for this action, used up by one."""
        for key in (action if isinstance(action, str) else None, None):
            rule = self.rules.get(key)
            if rule is None:
                continue
            if rule.times is not None:
                rule.times -= 1
                if rule.times <= 0:
                    del self.rules[key]
            return rule
        return Rule()

    def perform(self, action: Any, params: Any, http: bool = False) -> Outcome:
        """Carry out an action."""
        params = params if isinstance(params, dict) else {}
        name = action if isinstance(action, str) else ""
        suffix = next((end for end in ("_async", "_rate_limited") if name.endswith(end)), "")
        if suffix and (self.dialect.name in ("napcat", "onebot11") or (self.dialect.name, suffix) == _GO):
            outcome = self.perform(name.removesuffix(suffix), params, http)
            if self.dialect.name == "onebot11" and not outcome.unknown:
                return Outcome(None, 1, asynchronous=True)
            return outcome
        if name in STREAMS and self.dialect.name == "napcat":
            return self._stream(params)
        own = None if name in self.lacks else _ACTIONS.get(name)
        if own is None or (name == "upload_file_stream" and self.dialect.name != "napcat"):
            return dialects.unknown_action(self.dialect, action, http)
        return own(self, params)

    def _stream(self, params: dict[str, Any]) -> Outcome:
        chunks = int(params.get("chunks", 3))
        info = {"type": "stream", "data_type": "file_info", "file_name": "a.bin", "file_size": chunks * 4}
        frames: list[Any] = [{**info, "chunk_size": 4}]
        for index in range(chunks):
            chunk = {"type": "stream", "data_type": "file_chunk", "index": index, "data": "AAAAAA=="}
            frames.append({**chunk, "size": 4, "progress": 100 * (index + 1) // chunks, "base64_size": 8})
        pause = float(params.get("pause_ms", 0)) / 1000
        if params.get("fail"):
            error = {"type": "error", "data_type": "error"}
            return Outcome(error, 1200, "Download failed", frames=frames, pause=pause)
        done = {"type": "response", "data_type": "file_complete", "total_chunks": chunks}
        last = {**done, "total_bytes": chunks * 4, "message": "Download completed"}
        return Outcome(last, frames=frames, pause=pause)

    def _send(self, params: dict[str, Any]) -> Outcome:
        wanted = {"array": list, "string": str}.get(self.takes)
        if wanted is not None and not isinstance(params.get("message"), wanted):
            return Outcome(None, 1400, f"message: only {self.takes}")
        number = next(self._message_ids)
        self.messages[number] = params
        return Outcome({"message_id": number})

    def _get_message(self, params: dict[str, Any]) -> Outcome:
        number = params.get("message_id", "")
        sent = self.messages.get(int(number)) if str(number).lstrip("-").isdigit() else None
        if sent is None:
            codes = {"napcat": 1200, "lagrange": 200, "go-cqhttp": 100, "llbot": 200}
            return Outcome(None, codes.get(self.dialect.name, 1400), "MESSAGE_NOT_FOUND", "消息不存在")
        kind = "group" if "group_id" in sent else "private"
        sender = {"user_id": self.self_id, "nickname": self.nickname}
        data = {"time": int(time.time()), "message_type": kind, "message_id": number, "real_id": number}
        return Outcome({**data, "sender": sender, "message": sent.get("message")})

    def _groups(self, _params: dict[str, Any]) -> Outcome:
        group = {"group_id": 30_001, "group_name": "测试群 <&>", "member_count": 2, "max_member_count": 200}
        return Outcome([group])

    def _upload(self, params: dict[str, Any]) -> Outcome:
        done = {"type": "stream", "stream_id": params.get("stream_id", "s"), "status": "chunk_received"}
        return Outcome({**done, "received_chunks": 1, "total_chunks": 1})

    # What the test sees

    def state(self, after: int = 0) -> dict[str, Any]:
        """Everything; of ``received`` only what came after the first ``after``."""
        live = [link.state() for link in self.links]
        return {
            "self_id": self.self_id,
            "dialect": self.dialect.name,
            "connected": sum(1 for link in live if not link["tcp_ended"]),
            "connections": live,
            "connections_ever": self.connections_ever,
            "max_concurrent": self.max_concurrent,
            "attempts": self.attempts,
            "handshakes": self.handshakes,
            "received": [one for one in self.received if one["n"] > after],
            "received_count": len(self.received),
            "violations": self.violations,
            "closes": self.closes,
            "close_codes": [one["code"] for one in self.closes if one["code"] is not None],
            "events_sent": self.events_sent,
            "events_lost": self.events_lost,
            "flowing": self.flowing,
            "pings": self.pings,
            "posts": self.posts,
            "post_statuses": [post["status"] for post in self.posts],
            "online": self.online,
            "now": time.monotonic(),
        }

    def forget(self) -> None:
        """Empty every record; numbers go on."""
        for record in (self.violations, self.attempts, self.handshakes, self.closes, self.posts):
            record.clear()
        self.received.clear()
        self.max_concurrent.clear()
        self.events_sent = self.events_lost = self.pings = 0


_GO = ("go-cqhttp", "_async")
_ACTIONS: dict[str, Callable[[Account, dict[str, Any]], Outcome]] = {
    "get_login_info": lambda a, _p: Outcome({"user_id": a.login_user_id, "nickname": a.nickname}),
    "get_status": lambda a, _p: Outcome(dialects.status(a.dialect, a.online)),
    "get_version_info": lambda a, _p: Outcome(dialects.version_info(a.dialect)),
    "get_group_list": Account._groups,
    "send_msg": Account._send,
    "send_private_msg": Account._send,
    "send_group_msg": Account._send,
    "get_msg": Account._get_message,
    "echo_params": lambda _a, p: Outcome(p),
    "sleep_ms": lambda _a, p: Outcome({"slept": p.get("ms")}, delay=float(p.get("ms", 0)) / 1000),
    "big": lambda _a, p: Outcome({"blob": "x" * int(p.get("bytes", 0))}),
    "upload_file_stream": Account._upload,
}
