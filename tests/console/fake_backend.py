"""A stand-in for the console's server, for work on the pages and for tests of them alone.

``python -m tests.console.fake_backend [PORT]`` serves the pages of this checkout with the real
Content-Security-Policy, a canned state and a stream; the token is ``TOKEN``. Each test can change the state
and what the stream says; nothing here is the real server, whose tests are elsewhere.
"""

from __future__ import annotations

import copy
import hashlib
import json
import mimetypes
import sys
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.protocols.policies import WrappingFactory
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from lgtwist.onebot.catalogue import catalogue_json
from tests.integration.running import ROOT

STATIC = ROOT / "lgtwist" / "console" / "static"
TOKEN = "fake-token"
COOKIE = b"lgtwist_console"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
#: What the real server does not know either: Python's table depends on the machine.
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".html": "text/html"}


def assets_hash() -> str:
    """A hash of all static files."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def reason(code: str, sentence: str, /, **args: Any) -> dict[str, Any]:
    return {"code": code, "args": args, "sentence": sentence}


def counters(events: int = 0, actions: int = 0, **others: int) -> dict[str, int]:
    return {"events": events, "actions": actions, "refused": 0, "forbidden": 0, "dropped": 0, **others}


def empty_state() -> dict[str, Any]:
    """What a service shows that was just started, with a sandbox and no bot."""
    now = time.time()
    sandbox = account(10001, "sandbox", name="沙盒机器人", app="lgtwist sandbox", since=now - 20)
    return state_of([sandbox], [])


def account(self_id: int, kind: str, **others: Any) -> dict[str, Any]:
    return {
        "account": self_id,
        "type": kind,
        "name": "",
        "app": "",
        "app_version": "",
        "dialect": "",
        "state": "up",
        "since": time.time() - 7400,
        "reason": None,
        "last_event": None,
        "events": 0,
        "in_flight": 0,
        "calls": 0,
        "failed": 0,
        "links": [],
        "last_ended": None,
        "dials": [],
        "journal_paused": None,
        **others,
    }


def bot(name: str, **others: Any) -> dict[str, Any]:
    return {
        "bot": name,
        "connection": "forward-websocket",
        "delivery": "live",
        "accounts": None,
        "sessions": [],
        "last_ended": None,
        "dials": [],
        "postings": [],
        "deliveries": [],
        "state": "up",
        "counters": counters(),
        **others,
    }


def state_of(
    accounts: list[dict[str, Any]], bots: list[dict[str, Any]], refused: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    now = time.time()
    return {
        "now": now,
        "version": "0.1",
        "started": now - 93784.0,
        "summary": {
            "accounts_up": sum(each["state"] == "up" for each in accounts),
            "accounts": len(accounts),
            "bots_connected": sum(each["state"] == "up" for each in bots),
            "bots": len(bots),
            "events": sum(each["events"] for each in accounts),
            "lag": 0.004,
            "memory": 61_000_000,
            "journal_size": 4_200_000,
            "streams": 1,
        },
        "urls": ["ws://127.0.0.1:8081"],
        "warnings": [],
        "accounts": accounts,
        "bots": bots,
        "refused": refused or [],
    }


def busy_state() -> dict[str, Any]:
    """What a service shows that has a bit of everything, hostile texts too."""
    now = time.time()
    accounts = [
        account(
            10001,
            "sandbox",
            name="沙盒机器人",
            app="lgtwist sandbox",
            since=now - 7400,
            events=321,
            last_event={"time": now - 4, "post_type": "message", "detail": "group"},
            calls=40,
            failed=1,
            in_flight=2,
        ),
        account(
            20002,
            "forward-websocket",
            name="<img src=x onerror=alert(1)>\u202egnp.exe" + "长" * 300,
            app="NapCat.Onebot",
            app_version="4.8.119",
            dialect="napcat",
            state="offline",
            since=now - 320,
            reason=reason("not_logged_in", "The account is not logged in."),
            events=90210,
            links=[{"via": "ws://192.0.2.7:6099", "channel": "both", "since": now - 320}],
            dials=[
                {
                    "target": "ws://192.0.2.7:6099",
                    "attempts": 1,
                    "connected": True,
                    "next_attempt_at": None,
                    "last_reason": None,
                }
            ],
        ),
        account(
            30003,
            "forward-websocket",
            state="down",
            since=now - 4000,
            reason=reason("refused", "The connection was refused.", status=403),
            dials=[
                {
                    "target": "ws://192.0.2.9:3001",
                    "attempts": 12,
                    "connected": False,
                    "next_attempt_at": now + 55,
                    "last_reason": reason("connection_refused", "Connection was refused by other side: 111."),
                }
            ],
        ),
    ]
    bots = [
        bot(
            "nonebot",
            accounts=[10001],
            counters=counters(300, 41, refused=2, forbidden=1),
            sessions=[
                {
                    "address": "127.0.0.1:51234",
                    "user_agent": "Python/3.12 websockets/15.0",
                    "since": now - 700,
                    "role": "Universal",
                }
            ],
        ),
        bot(
            "yunzai",
            connection="reverse-websocket",
            delivery="at-least-once",
            state="down",
            last_ended={
                "address": "127.0.0.1:2536",
                "account": 10001,
                "role": "Universal",
                "user_agent": "",
                "code": 1001,
                "time": now - 300,
                "lasted": 600.0,
                "reason": reason("closed_by_peer", "The peer closed: 1001 going away", code=1001),
            },
            dials=[
                {
                    "target": "ws://127.0.0.1:2536/OneBotv11",
                    "attempts": 5,
                    "connected": False,
                    "next_attempt_at": now + 8,
                    "last_reason": reason("timeout", "It did not answer in 10 s."),
                },
                {
                    "account": 30003,
                    "target": "ws://127.0.0.1:2536/OneBotv11",
                    "attempts": 0,
                    "connected": False,
                    "next_attempt_at": None,
                    "last_reason": None,
                },
            ],
            deliveries=[
                {"account": 10001, "backlog": 128, "unconfirmed": 16, "cursor_age": 305.0, "silent": True}
            ],
        ),
        bot(
            "webhook",
            connection="http-post",
            state="partly",
            postings=[
                {
                    "account": 10001,
                    "target": "http://127.0.0.1:5700/",
                    "running": True,
                    "failures": 3,
                    "paused_until": now + 14,
                    "last_failure": {
                        "time": now - 6,
                        "reason": reason("status", "It answered 502.", status=502),
                    },
                }
            ],
            counters=counters(20, 3, dropped=4),
        ),
    ]
    refused = [
        {
            "address": "192.0.2.44",
            "account": 40004,
            "bot": None,
            "reason": "account",
            "status": 404,
            "times": 7,
            "sentence": "there is no account 40004 of type reverse-websocket in [[accounts]]",
            "explained": reason(
                "unknown_account",
                "there is no account 40004 of type reverse-websocket in [[accounts]]",
                account="40004",
                type="reverse-websocket",
            ),
            "first": now - 400,
            "last": now - 12,
            "block": '[[accounts]]\ntype = "reverse-websocket"\nself_id = 40004\naccess_token = ""\n',
        },
        {
            "address": "192.0.2.45",
            "account": None,
            "bot": None,
            "reason": "path",
            "status": 404,
            "times": 1,
            "sentence": "<script>alert(1)</script>" + "A" * 175,
            "explained": reason(
                "other", "<script>alert(1)</script>", text="<script>alert(1)</script>" + "A" * 175
            ),
            "first": now - 100,
            "last": now - 100,
            "block": "",
        },
    ]
    state = state_of(accounts, bots, refused)
    state["warnings"] = [reason("plain", "bots.nonebot: the token is one of the examples; take another one.")]
    return state


def empty_sandbox(self_id: int) -> dict[str, Any]:
    """The answers that the sandbox's page needs, of a world with one person and nothing said."""
    alice = {"user_id": 20001, "nickname": "Alice", "friend": True}
    overview = {
        "self_id": self_id, "people": [{"user_id": self_id, "nickname": "lgtwist"}, alice], "groups": [],
        "requests": [], "files": [], "last_message_id": 0, "last_seq": 1,
    }  # fmt: skip
    return {
        f"GET sandbox/{self_id}/": overview,
        f"GET sandbox/{self_id}/transcript": {"last_message_id": 0, "messages": []},
        f"GET sandbox/{self_id}/log": {"last": 1, "missed": False, "entries": []},
        f"GET sandbox/{self_id}/faults": {"online": True, "faults": []},
    }


class FakeBackend:
    """The state that the pages are shown, and the requests that they made.

    :ivar state: returns what ``GET state`` answers and ``links`` says.
    :ivar api: answers of further paths below ``/console/api/``, by method and path (``"GET actions"``): JSON,
        or a function of the request's body that returns a status and JSON.
    :ivar assets: the hash in the paths of the static files.
    :ivar assets_now: the one that ``hello`` says.
    :ivar requests: the method and path of each request below ``/console/api/``, in order.
    :ivar subscriptions: what was last wanted of each open stream, by its id.
    """

    def __init__(self) -> None:
        self.state: Callable[[], dict[str, Any]] = busy_state
        self.api: dict[str, Any] = {
            **empty_sandbox(10001),
            "GET config": {"writable": False, "etag": "", "text": ""},
            "GET actions": json.loads(catalogue_json(frozenset())),
        }
        self.assets = self.assets_now = assets_hash()
        self.requests: list[str] = []
        self.streams: dict[str, Request] = {}
        self.subscriptions: dict[str, list[dict[str, Any]]] = {}
        self.opened = 0
        self.refuse_streams: tuple[int, str] | None = None
        self.refused_sandboxes: set[int] = set()
        self.connections = _Connections(Site(_Router(self)))
        self.port: IListeningPort | None = None

    def listen(self, reactor: Any, port: int = 0) -> str:
        """Listen on the loopback address; return the console's URL."""
        self.port = reactor.listenTCP(port, self.connections, interface="127.0.0.1")
        return f"http://127.0.0.1:{self.port.getHost().port}/console/"

    async def close(self) -> None:
        """Stop listening, and close what is open."""
        if self.port is not None:
            await maybeDeferred(self.port.stopListening)
        await self.connections.close()

    def say(self, event: str, data: Any, stream: str | None = None) -> None:
        """Send an event on all open streams, or on one."""
        text = f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()
        for name, request in list(self.streams.items()):
            if stream in (None, name):
                request.write(text)

    def cut(self) -> None:
        """End all streams without a word."""
        for request in list(self.streams.values()):
            request.transport.abortConnection()

    def end(self, code: str) -> None:
        """End all streams with a reason."""
        self.say("bye", {"code": code})
        for request in list(self.streams.values()):
            request.finish()

    def open_stream(self, request: Request) -> int:
        self.opened += 1
        name = f"s{self.opened}"
        request.setHeader("content-type", "text/event-stream")
        self.streams[name] = request
        self.subscriptions[name] = []

        def closed(_: object) -> None:
            self.streams.pop(name, None)
            self.subscriptions.pop(name, None)

        request.notifyFinish().addBoth(closed)
        self.say(
            "hello",
            {"stream": name, "version": "0.1", "assets": self.assets_now, "started": time.time() - 93784},
            name,
        )
        return NOT_DONE_YET

    def subscribe(self, name: str, wanted: list[dict[str, Any]]) -> None:
        before = {each["id"] for each in self.subscriptions[name]}
        self.subscriptions[name] = wanted
        if any(each["topic"] == "links" and each["id"] not in before for each in wanted):
            self.say("links", self.state(), name)


class _Connections(WrappingFactory):
    """A factory that knows its connections: browsers keep them open."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._all_closed: Deferred[None] | None = None

    def unregisterProtocol(self, protocol: Any) -> None:
        super().unregisterProtocol(protocol)
        if self._all_closed is not None and not self.protocols:
            self._all_closed.callback(None)

    async def close(self) -> None:
        """Close all connections."""
        if self.protocols:
            self._all_closed = Deferred()
            for protocol in list(self.protocols):
                protocol.transport.abortConnection()
            await self._all_closed


class _Router(Resource):
    isLeaf = True

    def __init__(self, backend: FakeBackend) -> None:
        super().__init__()
        self.backend = backend

    def render(self, request: Request) -> bytes | int:
        request.setHeader("content-security-policy", CSP)
        request.setHeader("x-content-type-options", "nosniff")
        request.setHeader("referrer-policy", "no-referrer")
        request.setHeader("cross-origin-opener-policy", "same-origin")
        path = request.path.decode("ascii", "replace")
        if path in ("/console", "/console/"):
            index = (STATIC / "index.html").read_text("utf-8")
            base = "" if path.endswith("/") else "console/"
            request.setHeader("content-type", "text/html; charset=utf-8")
            request.setHeader("cache-control", "no-store")
            return index.replace("{{base}}", base).replace("{{hash}}", self.backend.assets).encode()
        if path.startswith("/console/s/"):
            return self.static(request, path.removeprefix("/console/s/").partition("/")[2])
        if path.startswith("/console/api/"):
            return self.api(request, path.removeprefix("/console/api/"))
        request.setResponseCode(404)
        return b""

    def static(self, request: Request, name: str) -> bytes:
        file = (STATIC / name).resolve()
        if not file.is_relative_to(STATIC) or not file.is_file():
            request.setResponseCode(404)
            return b""
        kind = TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        request.setHeader("content-type", f"{kind}; charset=utf-8")
        return file.read_bytes()

    def answer(self, request: Request, status: int, value: Any) -> bytes:
        request.setResponseCode(status)
        request.setHeader("content-type", "application/json")
        request.setHeader("cache-control", "no-store")
        return json.dumps(value).encode()

    def error(self, request: Request, status: int, code: str) -> bytes:
        error = {"code": code, "args": {}, "sentence": f"(fake) {code}"}
        return self.answer(request, status, {"error": error})

    def api(self, request: Request, path: str) -> bytes | int:
        backend = self.backend
        method = request.method.decode("ascii")
        backend.requests.append(f"{method} {path}")
        body = request.content.read()
        logged_in = request.getCookie(COOKIE) == b"yes"
        if path == "session":
            session = {"in": logged_in, "version": "0.1", "assets": backend.assets, "chinese": True}
            return self.answer(request, 200, session)
        if method != "GET" and request.getHeader("x-lgtwist-console") != "1":
            return self.error(request, 403, "foreign_origin")
        if path == "login":
            if json.loads(body)["token"] != TOKEN:
                return self.error(request, 403, "wrong_token")
            request.addCookie(COOKIE, b"yes", httpOnly=True, sameSite="strict")
            return self.answer(request, 200, {"in": True})
        if not logged_in:
            return self.error(request, 401, "not_logged_in")
        if path == "logout":
            request.addCookie(COOKIE, b"", max_age="0")
            return self.answer(request, 200, {"in": False})
        if path == "state":
            return self.answer(request, 200, backend.state())
        if path == "stream":
            if backend.refuse_streams:
                return self.error(request, *backend.refuse_streams)
            return backend.open_stream(request)
        if path.startswith("stream/"):
            name = path.partition("/")[2]
            if name not in backend.streams:
                return self.error(request, 404, "no_such_stream")
            wanted = json.loads(body)["subscriptions"]
            if any(each.get("account") in backend.refused_sandboxes for each in wanted):
                return self.error(request, 404, "no_sandbox")
            backend.subscribe(name, wanted)
            return self.answer(request, 200, {})
        if f"{method} {path}" in backend.api:
            canned = backend.api[f"{method} {path}"]
            status, value = canned(body) if callable(canned) else (200, copy.deepcopy(canned))
            return self.answer(request, status, value)
        return self.error(request, 404, "no_such_path")


def main(arguments: list[str]) -> None:
    """Serve until interrupted, with counters that go up."""
    from twisted.internet import reactor

    backend = FakeBackend()
    which = empty_state if "--empty" in arguments else busy_state
    state = which()
    backend.state = lambda: {**state, "now": time.time()}
    ports = [each for each in arguments if each.isdigit()]
    url = backend.listen(reactor, int(ports[0]) if ports else 8090)

    def tick() -> None:
        changed = state["accounts"][0]
        changed["events"] += 3
        changed["last_event"] = {"time": time.time(), "post_type": "message", "detail": "group"}
        state["summary"]["events"] += 3
        link = {"now": time.time(), "summary": state["summary"], "accounts": [changed], "bots": []}
        for name, wanted in backend.subscriptions.items():
            if any(each["topic"] == "links" for each in wanted):
                backend.say("link", link, name)

    LoopingCall(tick).start(1, now=False)
    sys.stdout.write(f"{url}#token={TOKEN}\n")
    sys.stdout.flush()
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
