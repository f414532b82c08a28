"""A server of Milky for tests, as a process of its own: ``python -m tests.milky.fake_server --port 3000``.

It is on aiohttp. What clients send is judged by the schema, and what it sends too; it does what its
switches say. Control: ``POST /control/NAME`` with a JSON object, never below the prefix:
:mod:`tests.milky.fake` does that.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import struct
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, WSCloseCode, web

from tests.milky.habits import HABITS, NEWER_APIS, NEWER_EVENTS, Answered, Habits, of_version, with_more_keys
from tests.milky.schema import APIS, SchemaViolation, check_event, check_request, check_response
from tests.milky.world import ApiError, Json, World

#: What may be set, and how it is at the start. A number of calls is used up; -1 stands for all calls. The API
#: ``*`` stands for all.
SWITCHES: dict[str, Any] = {
    "habit": "",  # or lagrange, llbot, yogurt
    "version": None,  # of Milky, such as "1.0": later fields, events and APIs are missing
    "token": "",
    "logged_in": True,
    "unauthorised": None,  # a WebSocket without token: "401", or "1008" after 101
    "failures": None,  # "200" with a retcode, or "500" with an empty body
    "missing": [],  # APIs that are HTTP 404
    "fail": {},  # by API: [retcode, message]
    "status": {},  # by API: an HTTP status, with an empty body
    "body": {},  # by API: the body of the answer, whatever it says
    "delay": {},  # by API: seconds before the answer; the call is carried out at once
    "late": False,  # or carried out after the delay
    "drop_answer": {},  # by API: how many calls are carried out, and end the connection instead of an answer
    "cut_request": {},  # by API: how many connections are ended before the body was read
    "all_keys": None,  # data and message are always there, and may be null
    "more_keys": False,  # each object has a key that nobody knows
    "report_self": None,  # the account's own messages
    "echo": "before",  # or "after": the own message comes before the answer, or after it
    "echo_gap": 0.0,  # seconds between the two
    "duplicates": False,  # each event comes twice
    "websocket": True,  # whether there is one
    "sse": True,
    "sse_name": "milky_event",  # of the events of a stream; empty for none
    "sse_newline": "\n",
    "heartbeat": 0.0,  # seconds between comments of a stream; 0 for none
    "streams_open": True,  # False: all are closed, and none is opened
    "judge": True,
    "judge_for_lagrange": True,  # null for optional parameters, and segments without "type" first, are wrong
}
CONTENT_TYPE = "application/json"
#: What takes the event of the account's own message while a call is carried out.
_own_echo: ContextVar[list[str] | None] = ContextVar("own echo", default=None)
_MOST = 256 * 1024 * 1024


class Stream:
    """One reader of events: frames go out in order, and a slow reader holds nobody up but himself.

    :param encode: returns the bytes of some frames.
    """

    def __init__(self, kind: str, request: web.Request, encode: Callable[[list[str]], bytes]) -> None:
        self.kind, self.request, self._encode = kind, request, encode
        self.is_silent = False
        self.pings = 0
        self.sent = 0
        self.ended = asyncio.Event()
        self.close: Json = {}
        self._queue: asyncio.Queue[list[str]] = asyncio.Queue()

    def put(self, frames: list[str]) -> None:
        """Send frames by one write."""
        if not self.is_silent:
            self._queue.put_nowait(frames)

    async def run(self, write: Callable[[bytes], Any]) -> None:
        """Send what comes until the stream ends."""
        while True:
            frames = await self._queue.get()
            if self.is_silent:
                continue
            await write(self._encode(frames))
            self.sent += len(frames)

    def end(self, *, abort: bool = False, code: int = 1001, reason: str = "") -> None:
        """Close it, or drop its connection."""
        self.close = {"code": code, "reason": reason}
        if abort and self.request.transport is not None:
            self.request.transport.abort()
        self.ended.set()


def websocket_frames(frames: list[str]) -> bytes:
    """Return text frames of RFC 6455, as a server sends them, one behind the other."""
    made = bytearray()
    for frame in frames:
        payload = frame.encode()
        if len(payload) < 126:
            made += struct.pack("!BB", 0x81, len(payload))
        elif len(payload) < 65536:
            made += struct.pack("!BBH", 0x81, 126, len(payload))
        else:
            made += struct.pack("!BBQ", 0x81, 127, len(payload))
        made += payload
    return bytes(made)


class FakeServer:
    """The server.

    :param base: where it can be reached, such as ``http://127.0.0.1:3000``.
    :param journal: the file that keeps histories, calls and violations beyond a kill.
    """

    def __init__(self, base: str, prefix: str, self_id: int, switches: Json, journal: Path | None) -> None:
        self.base, self.prefix = base, prefix
        self.switches = {**SWITCHES}
        self.set_switches(switches)
        self.calls: list[Json] = []
        self.violations: list[str] = []
        self.dropped_events = 0
        self.handshakes: list[Json] = []
        self._streams: list[Stream] = []
        self._session: ClientSession | None = None
        self._collected: list[str] | None = None
        self.world = World(
            self_id,
            emit=self.emit,
            resource_url=lambda resource_id: f"{base}/resource/{resource_id}",
            fetch=self._fetch,
            keep=lambda change: self._keep("world", change),
        )
        self._journal = None
        if journal is not None:
            if journal.exists():
                self._restore(journal)
            self._journal = journal.open("a", buffering=1)

    def _restore(self, journal: Path) -> None:
        for line in journal.read_text().splitlines():
            kind, value = json.loads(line)
            if kind == "world":
                self.world.restore(value)
            elif kind == "call":
                self.calls.append(value)
            else:
                self.violations.append(value)

    def _keep(self, kind: str, value: Any) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps([kind, value]) + "\n")

    def set_switches(self, switches: Json) -> None:
        """Set some of the switches.

        :raises KeyError: there is no such switch.
        """
        for name, value in switches.items():
            SWITCHES[name]
            self.switches[name] = value
        self.habits: Habits = HABITS[self.switches["habit"]]()

    def _or_habit(self, switch: str, habit: Any) -> Any:
        return habit if self.switches[switch] is None else self.switches[switch]

    def _for(self, switch: str, api: str) -> Any:
        table = self.switches[switch]
        return table.get(api, table.get("*"))

    def _used_up(self, switch: str, api: str) -> bool:
        """Whether this call is one of those that a switch speaks of; it is counted."""
        table = self.switches[switch]
        name = api if api in table else "*"
        if not table.get(name):
            return False
        if table[name] > 0:
            table[name] -= 1
        return True

    def violate(self, sentence: str) -> None:
        """Remember that somebody broke Milky's rules."""
        self.violations.append(sentence)
        self._keep("violation", sentence)

    async def _fetch(self, url: str) -> bytes:
        if self._session is None:
            self._session = ClientSession(timeout=ClientTimeout(total=20), trust_env=False)
        try:
            async with self._session.get(url) as answer:
                if answer.status != 200:
                    raise ApiError(-400, f"{url}: HTTP {answer.status}")
                return await answer.read()
        except (ClientError, asyncio.TimeoutError) as error:
            raise ApiError(-400, f"{url}: {error}") from None

    # -- events

    def emit(self, kind: str, data: Json) -> None:
        """Send an event to all that listen."""
        frame = self.frame(kind, data)
        if frame is None:
            return
        own = kind == "message_receive" and data["sender_id"] == self.world.self_id
        frames = [frame, frame] if self.switches["duplicates"] else [frame]
        echo = _own_echo.get()
        if own and echo is not None:
            echo += frames
        elif self._collected is not None:
            self._collected += frames
        else:
            self.send(frames)

    def frame(self, kind: str, data: Json) -> str | None:
        """Return an event as it is sent; None if it is not."""
        own = kind == "message_receive" and data["sender_id"] == self.world.self_id
        if own and not self._or_habit("report_self", self.habits.reports_self):
            return None
        version = self.switches["version"]
        if version is not None and NEWER_EVENTS.get(kind, "") > version:
            return None
        if self.switches["judge"]:
            self._judge_own(check_event, self._event(kind, data))
        told = self.habits.event(self.world, kind, data)
        if told is None:
            return None
        if version is not None:
            told = of_version(told, version, event=kind)
        event = self._event(kind, told)
        if self.switches["more_keys"]:
            event = with_more_keys(event)
        return json.dumps(event, ensure_ascii=False)

    def _event(self, kind: str, data: Json) -> Json:
        return {"time": self.world.now(), "self_id": self.world.self_id, "event_type": kind, "data": data}

    def _judge_own(self, check: Callable[..., None], *values: Any) -> None:
        try:
            check(*values)
        except SchemaViolation as error:
            self.violate(f"the fake itself: {error}")

    def send(self, frames: list[str]) -> None:
        """Send frames to all that listen, each by one write."""
        if not self._streams:
            self.dropped_events += len(frames)
        for stream in self._streams:
            stream.put(frames)

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0)
        is_websocket = request.headers.get("Upgrade", "").lower() == "websocket"
        self.handshakes.append(
            {
                "kind": "websocket" if is_websocket else "sse",
                "headers": dict(request.headers),
                "at": time.monotonic(),
            }
        )
        if not self.switches["streams_open"]:
            return self._abort(request)
        if not self.switches["websocket" if is_websocket else "sse"]:
            return web.Response(status=404)
        allowed = self._is_allowed(request, by_query=True)
        if not allowed:
            opens = (
                self._or_habit("unauthorised", "1008" if self.habits.opens_unauthorised else "401") == "1008"
            )
            if not (is_websocket and opens):
                return self._plain(401, "Unauthorized")
        if is_websocket:
            return await self._websocket(request, allowed)
        return await self._event_source(request)

    async def _websocket(self, request: web.Request, allowed: bool) -> web.StreamResponse:
        response = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=0)
        await response.prepare(request)
        if not allowed:
            await response.close(code=WSCloseCode.POLICY_VIOLATION, message=b"Unauthorized")
            return response
        stream = Stream("websocket", request, websocket_frames)

        async def write(data: bytes) -> None:
            assert request.transport is not None
            request.transport.write(data)
            await request._protocol._drain_helper()

        async def read() -> None:
            async for message in response:
                if stream.is_silent:
                    continue
                if message.type == web.WSMsgType.PING:
                    stream.pings += 1
                    await response.pong(message.data)
            stream.ended.set()

        await self._run(stream, stream.run(write), read())
        if not response.closed and request.transport is not None and not request.transport.is_closing():
            given = stream.close or {"code": 1001, "reason": ""}
            await response.close(code=given["code"], message=given["reason"].encode())
        return response

    async def _event_source(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        newline, name = self.switches["sse_newline"], self.switches["sse_name"]

        def encode(frames: list[str]) -> bytes:
            head = f"event: {name}{newline}" if name else ""
            return "".join(f"{head}data: {frame}{newline}{newline}" for frame in frames).encode()

        stream = Stream("sse", request, encode)

        async def beat() -> None:
            while self.switches["heartbeat"]:
                await asyncio.sleep(self.switches["heartbeat"])
                if not stream.is_silent:
                    await response.write(f": heartbeat{newline}{newline}".encode())
            await asyncio.Event().wait()

        await self._run(stream, stream.run(response.write), beat())
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
        return response

    async def _run(self, stream: Stream, *parts: Any) -> None:
        self._streams.append(stream)
        tasks = [asyncio.ensure_future(one) for one in (*parts, stream.ended.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._streams.remove(stream)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _abort(self, request: web.Request) -> web.Response:
        """Drop the connection; what the handler returns then, which nobody gets."""
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    # -- calls

    def _is_allowed(self, request: web.Request, *, by_query: bool = False) -> bool:
        token = self.switches["token"]
        if not token or request.headers.get("Authorization") == f"Bearer {token}":
            return True
        return by_query and request.query.get("access_token") == token

    def _plain(self, status: int, message: str) -> web.Response:
        if self.habits.has_json_errors:
            return web.json_response(
                {"status": "failed", "retcode": status, "message": message}, status=status
            )
        return web.Response(status=status)

    async def _api(self, request: web.Request) -> web.StreamResponse:
        api = request.match_info["api"]
        if request.content_type != CONTENT_TYPE:
            self.violate(f"{api}: Content-Type is {request.headers.get('Content-Type')!r}")
            return self._plain(415, "Unsupported Media Type")
        if self._used_up("cut_request", api):
            return self._abort(request)
        delay = self._for("delay", api) or 0.0
        call: Json = {"api": api, "began": time.monotonic(), "ended": None, "answer": None}
        call["n"] = len(self.calls)
        self.calls.append(call)
        try:
            return await self._answer(request, api, call, delay)
        finally:
            call["ended"] = time.monotonic()
            self._keep("call", call)

    async def _answer(self, request: web.Request, api: str, call: Json, delay: float) -> web.StreamResponse:
        body = await request.read()
        if not self._is_allowed(request):
            call["answer"] = 401
            return self._plain(401, "Unauthorized")
        try:
            call["params"] = params = json.loads(body)
        except ValueError:
            self.violate(f"{api}: the body is no JSON: {body[:100]!r}")
            return self._failure(call, ApiError(-400, "Invalid payload"))
        if self.switches["late"]:
            await asyncio.sleep(delay)
        if self._is_missing(api):
            call["answer"] = 404
            return self._plain(404, "API not found")
        status = self._for("status", api)
        if status is not None:
            call["answer"] = status
            return web.Response(status=status)
        echo: list[str] = []
        token = _own_echo.set(echo)
        try:
            data = await self._carry_out(api, params)
        except ApiError as error:
            answer = self._failure(call, error)
        else:
            answer = self._success(call, api, data)
        finally:
            _own_echo.reset(token)
        if echo and self.switches["echo"] == "before":
            self.send(echo)
            await asyncio.sleep(self.switches["echo_gap"])
        if not self.switches["late"]:
            await asyncio.sleep(delay)
        if self._used_up("drop_answer", api):
            call["answer"] = "dropped"
            call["ended"] = time.monotonic()
            return self._abort(request)
        body_given = self._for("body", api)
        if body_given is not None:
            answer = web.Response(body=body_given.encode(), content_type=CONTENT_TYPE)
        if echo and self.switches["echo"] == "after":
            asyncio.get_running_loop().call_later(0.01 + self.switches["echo_gap"], self.send, echo)
        return answer

    def _is_missing(self, api: str) -> bool:
        if api not in APIS:
            self.violate(f"{api}: Milky has no such API")
            return True
        version = self.switches["version"]
        if version is not None and NEWER_APIS.get(api, "") > version:
            return True
        return api in self.switches["missing"] or api in self.habits.missing

    async def _carry_out(self, api: str, params: Any) -> Json:
        mistake = self._judge(api, params) if self.switches["judge"] else None
        told = self._for("fail", api)
        if told is not None:
            raise ApiError(*told)
        if not self.switches["logged_in"]:
            cached = self.habits.caches_login and api in ("get_login_info", "get_impl_info")
            if not cached:
                raise ApiError(-500 if self.habits.caches_login else -403, "Bot is not logged in")
        if mistake is not None:
            raise ApiError(-400, mistake)
        self.habits.request(api, params)
        data = await self.habits.call(self.world, api, params)
        if self.switches["judge"]:
            self._judge_own(check_response, api, data)
        return data

    def _judge(self, api: str, params: Any) -> str | None:
        """Return what is wrong with a call by Milky's rules; all that is wrong with it is a violation."""
        try:
            check_request(api, params, for_lagrange=self.switches["judge_for_lagrange"])
        except SchemaViolation as error:
            self.violate(str(error))
            try:
                check_request(api, params)
            except SchemaViolation as real:
                return str(real)
        return None

    def _success(self, call: Json, api: str, data: Json) -> web.Response:
        call["answer"] = 0
        version = self.switches["version"]
        if version is not None:
            data = of_version(data, version)
            if api == "get_impl_info":
                data = {**data, "milky_version": version}
        envelope: Json = {"status": "ok", "retcode": 0, "data": data}
        if self._or_habit("all_keys", self.habits.all_keys):
            envelope.update(message=None)
            if not data:
                envelope["data"] = None
        if self.switches["more_keys"]:
            envelope = with_more_keys(envelope)
        return web.json_response(envelope)

    def _failure(self, call: Json, error: ApiError) -> web.Response:
        call["answer"] = error.retcode
        as_500 = self._or_habit("failures", "500" if self.habits.fails_with_500 else "200") == "500"
        if as_500 and not isinstance(error, Answered) and error.retcode != -403:
            call["answer"] = 500
            return web.Response(status=500)
        envelope: Json = {"status": "failed", "retcode": error.retcode, "message": error.message}
        if self._or_habit("all_keys", self.habits.all_keys):
            envelope["data"] = None
        return web.json_response(envelope)

    async def _resource(self, request: web.Request) -> web.Response:
        content = self.world.resources.get(request.match_info["id"])
        return web.Response(status=404) if content is None else web.Response(body=content)

    # -- control

    async def _control(self, request: web.Request) -> web.Response:
        text = await request.text()
        params = json.loads(text) if text else {}
        try:
            made = getattr(self, f"control_{request.match_info['name']}")(**params)
        except Exception as error:
            return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
        return web.json_response(made)

    def control_do(self, method: str, **params: Any) -> Any:
        """Call a method of the world."""
        made = getattr(self.world, method)(**params)
        return made if not isinstance(made, bytes) else made.decode("latin-1")

    def control_flood(
        self, count: int, scene: str, peer_id: int, sender_id: int, text: str = "{}"
    ) -> list[int]:
        """Say so many things, and send their events by one write to each stream; the sequence numbers."""
        self._collected = []
        try:
            said = [
                self.world.say(scene, peer_id, text.format(position), sender_id)["message_seq"]
                for position in range(count)
            ]
            self.send(self._collected)
        finally:
            self._collected = None
        return said

    def control_event(self, event_type: str, data: Json) -> None:
        """Send any event of Milky, without a change of the world."""
        self.emit(event_type, data)

    def control_raw(self, text: str) -> None:
        """Send any frame; it is not judged."""
        self.send([text])

    def control_switches(self, **switches: Any) -> Json:
        """Set switches; all of them."""
        self.set_switches(switches)
        if not self.switches["streams_open"]:
            self.control_disconnect(abort=True)
        return self.switches

    def control_calls(self, after: int = -1) -> list[Json]:
        """The calls with a greater number, in the order in which they came."""
        return self.calls[after + 1 :]

    def control_violations(self) -> list[str]:
        return self.violations

    def control_streams(self) -> list[Json]:
        """Who listens."""
        return [{"kind": one.kind, "pings": one.pings, "sent": one.sent} for one in self._streams]

    def control_handshakes(self) -> list[Json]:
        """Who began to listen, or tried to."""
        return self.handshakes

    def control_disconnect(self, abort: bool = False, code: int = 1001, reason: str = "") -> int:
        """End the streams; how many there were."""
        streams = list(self._streams)
        for stream in streams:
            stream.end(abort=abort, code=code, reason=reason)
        return len(streams)

    def control_silence(self) -> int:
        """Send nothing more on the streams that are open, and answer no ping there; how many there are."""
        for stream in self._streams:
            stream.is_silent = True
        return len(self._streams)

    def control_kick_account(self, reason: str = "kicked") -> None:
        """The account is logged in no longer."""
        self.emit("bot_offline", {"reason": reason})
        self.switches["logged_in"] = False

    def control_world(self) -> Json:
        """What there is, as JSON: conversations are named ``scene/peer``."""
        world = self.world
        return {
            "friends": list(world.friends),
            "groups": {
                group_id: {**group, "members": list(world.members[group_id].values())}
                for group_id, group in world.groups.items()
            },
            "histories": {
                f"{scene}/{peer_id}": [one for _seq, one in sorted(history.items())]
                for (scene, peer_id), history in world.histories.items()
            },
            "friend_requests": world.friend_requests,
            "notifications": world.notifications,
            "invitations": [
                {"group_id": group_id, "invitation_seq": seq, **one}
                for (group_id, seq), one in world.invitations.items()
            ],
            "group_files": {group_id: list(one.values()) for group_id, one in world.group_files.items()},
            "group_folders": {group_id: list(one.values()) for group_id, one in world.group_folders.items()},
            "private_files": world.private_files,
            "announcements": {one: list(table.values()) for one, table in world.announcements.items()},
            "essence": {one: list(table.values()) for one, table in world.essence.items()},
            "reactions": {f"{group_id}/{seq}": one for (group_id, seq), one in world.reactions.items()},
            "resources": {one: content.decode("latin-1") for one, content in world.resources.items()},
            "forwards": world.forwards,
            "pins": [f"{scene}/{peer_id}" for scene, peer_id in sorted(world.pins)],
            "read_up_to": {f"{scene}/{peer_id}": seq for (scene, peer_id), seq in world.read_up_to.items()},
            "likes": world.likes,
            "muted_groups": sorted(world.muted_groups),
            "nudges": world.nudges,
            "profile": {**world.profile, **world.users[world.self_id]},
            "avatars": world.avatars,
        }

    # -- running

    def application(self) -> web.Application:
        """Return the aiohttp application."""
        app = web.Application(client_max_size=_MOST, middlewares=[self._without_words])
        app.router.add_post("/control/{name}", self._control)
        app.router.add_get("/resource/{id}", self._resource)
        app.router.add_post(f"{self.prefix}/api/{{api}}", self._api)
        app.router.add_get(f"{self.prefix}/event", self._listen)
        app.on_shutdown.append(self._shut_down)
        return app

    @web.middleware
    async def _without_words(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Answer with an empty body where there is no such path, or no such method."""
        try:
            answer: web.StreamResponse = await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            return web.Response(status=error.status)
        return answer

    async def _shut_down(self, _app: web.Application) -> None:
        self.control_disconnect()
        if self._session is not None:
            await self._session.close()


def populate(world: World, given: Json) -> None:
    """Make the people and groups that a test asks for.

    :param given: ``friends`` (numbers), ``groups`` (number: members), ``own_role``.
    """
    for user_id in given.get("friends", [20001, 20002]):
        world.add_friend(user_id)
    for group_id, members in given.get("groups", {"30001": [20003, 20001, 20002], "30002": [20001]}).items():
        world.add_group(int(group_id), members, own_role=given.get("own_role", "admin"))


def main() -> None:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--prefix", default="")
    parser.add_argument("--self-id", type=int, default=10001)
    parser.add_argument("--switches", type=json.loads, default={})
    parser.add_argument("--world", type=json.loads, default={})
    parser.add_argument("--journal", type=Path)
    given = parser.parse_args()
    base = f"http://{given.host}:{given.port}"

    async def make() -> web.Application:
        server = FakeServer(base, given.prefix, given.self_id, given.switches, given.journal)
        populate(server.world, given.world)
        return server.application()

    web.run_app(
        make(),
        host=given.host,
        port=given.port,
        print=None,
        access_log=None,
        shutdown_timeout=0.5,
        reuse_address=True,
    )


if __name__ == "__main__":
    main()
