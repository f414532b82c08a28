"""The HTTP transport of an account: a server for actions, and posts of events to the peer."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import time
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from tests.implementations import dialects
from tests.implementations.account import GARBAGE, Account, Mistake, Rule
from tests.implementations.dialects import ABSENT, Outcome
from tests.implementations.links import reset

#: node's clients post in parallel, but not without bound here (connections).
PARALLEL = 64


class BadBody(Exception):
    """A body that this implementation refuses."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(text)
        self.status = status


class Http:
    """What ``transport: http`` is: two independent halves, like the real ones."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.port = int(account.config["port"])
        self.post_url: str | None = account.config.get("post_url")
        self.refusal: dict[str, Any] | None = None
        self._runner: web.ServerRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._posts: asyncio.Queue[str] = asyncio.Queue()
        self._beating: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle))
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024).start()
        if self.post_url is None or self._session is not None:
            return
        account = self.account
        limit = aiohttp.TCPConnector(limit=PARALLEL)
        timeout = aiohttp.ClientTimeout(total=account.dialect.post_timeout)
        self._session = aiohttp.ClientSession(connector=limit, timeout=timeout)
        for _ in range(1 if account.dialect.post_serial else PARALLEL):
            account.spawn(self._post_for_ever())
        if account.dialect.post_lifecycle:
            self._posts.put_nowait(account.meta(account.dialect.post_lifecycle))
        if account.dialect.post_heartbeat and account.heartbeat_ms > 0:
            self._beating = account.spawn(self._beat())

    async def stop(self) -> None:
        if self.post_url and self.account.dialect.post_lifecycle == "enable":
            await self._post(self.account.meta("disable"))
        if self._runner is not None:
            await self._runner.cleanup()

    async def refuse(self, how: dict[str, Any]) -> None:
        if how.get("how", "status") not in ("status", "rst", "blackhole", "redirect", "port"):
            raise Mistake("refuse: how is one of status, rst, blackhole, redirect, port")
        self.refusal = how
        if how.get("how") == "port" and self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def accept_again(self) -> None:
        self.refusal = None
        if self._runner is None:
            await self.start()

    # Posting

    def publish(self, text: str) -> bool:
        if self._session is None:
            return False
        self._posts.put_nowait(text)
        return True

    async def _beat(self) -> None:
        if self.account.dialect.beats == "immediate":
            self.publish(self.account.heartbeat())
        while True:
            await asyncio.sleep(self.account.heartbeat_ms / 1000)
            self.publish(self.account.heartbeat())

    async def _post_for_ever(self) -> None:
        while True:
            await self._post(await self._posts.get())

    def headers(self, body: bytes) -> dict[str, str]:
        """The headers of a post, in this implementation's spelling."""
        account = self.account
        dialect, self_id = account.dialect, str(account.header_self_id)
        node = dialect.name in ("napcat", "llbot")
        kind = "application/json; charset=utf-8" if dialect.name == "lagrange" else "application/json"
        headers = {"Content-Type": kind, "x-self-id" if node else "X-Self-ID": self_id}
        if dialect.name == "go-cqhttp":
            headers |= {"User-Agent": "CQHttp/4.15.0", "X-API-Port": str(self.port)}
        if account.secret:
            signature = hmac.new(account.secret.encode(), body, hashlib.sha1).hexdigest()
            headers["x-signature" if node else "X-Signature"] = f"sha1={signature}"
        return headers

    async def _post(self, text: str) -> None:
        account = self.account
        assert self._session is not None
        assert self.post_url is not None
        body = text.encode("utf-8", "surrogatepass")
        for attempt in range(1 + account.dialect.post_retries):
            entry: dict[str, Any] = {"at": time.monotonic(), "try": attempt + 1, "status": None}
            entry["n"] = _number(text)
            account.posts.append(entry)
            try:
                async with self._session.post(
                    self.post_url,
                    data=body,
                    headers=self.headers(body),
                    allow_redirects=False,
                    skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
                ) as answer:
                    entry["body"] = (await answer.text("utf-8", "replace"))[:100_000]
                    entry["status"] = answer.status
                    entry["took"] = time.monotonic() - entry["at"]
                    self._judge_answer(answer, entry["body"])
                    if answer.status < 500:
                        return
            except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
                entry["error"] = f"{type(error).__name__}: {error}"
            if attempt < account.dialect.post_retries:
                await asyncio.sleep(float(account.config.get("retry_ms", 1500)) / 1000)

    def _judge_answer(self, answer: aiohttp.ClientResponse, body: str) -> None:
        """204 or nothing, else a quick operation: an object."""
        if answer.status == 204 or not 200 <= answer.status < 300 or not body:
            return
        try:
            good = isinstance(json.loads(body), dict)
        except ValueError:
            good = False
        if not good:
            self.account.violation(f"post answered {answer.status} with no JSON object: {body[:200]!r}")

    # Actions

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        account, dialect = self.account, self.account.dialect
        account.attempt(outcome="request", path=request.path_qs)
        given = request.headers.getall("Authorization", [])
        verdict = dialects.check_token(dialect, account.token, given[0] if given else None, request.raw_path)
        entry = {"at": time.monotonic(), "path": request.raw_path, "verdict": verdict}
        account.handshakes.append(
            {**entry, "method": request.method, "headers": [list(pair) for pair in request.headers.items()]}
        )
        if len(given) > 1 or any(not one.startswith("Bearer ") for one in given):
            account.violation(f"HTTP: Authorization is {given!r}")
        if verdict != "ok":
            account.violation(f"HTTP: {verdict} token")
        if self.refusal is not None:
            return await self._refused(request)
        refused = self._unauthorized(verdict)
        late = dialect.name in ("napcat", "llbot")  # these parse the body first
        if refused is not None and not late:
            return refused
        try:
            action, params = await self._read(request)
        except BadBody as bad:
            return web.Response(status=bad.status, text=str(bad))
        if refused is not None:
            return refused
        if action is None:
            return await self._hello()
        self._record(request, action, params)
        rule = account.rule_for(action)
        outcome = account.perform(action, params, http=True)
        return await self._answer(request, rule, outcome, params)

    async def _refused(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self.refusal is not None
        how = self.refusal.get("how", "status")
        if how == "status":
            return web.Response(status=int(self.refusal.get("status", 503)), text="not now")
        if how == "redirect":
            location = {"Location": self.refusal.get("location", "/elsewhere/")}
            return web.Response(status=int(self.refusal.get("status", 301)), headers=location)
        return await self._dead(request, at_once=how == "rst")

    async def _dead(self, request: web.BaseRequest, at_once: bool) -> web.StreamResponse:
        """No answer: RST at once, or silence until the peer has gone."""
        transport = request.transport
        if at_once and transport is not None:
            reset(transport)
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.05)
        raise asyncio.CancelledError

    def _unauthorized(self, verdict: dialects.Verdict) -> web.Response | None:
        if verdict == "ok":
            return None
        dialect = self.account.dialect
        status = dialect.http_refusals[verdict == "wrong"]
        if dialect.name == "napcat":
            return web.Response(status=status, text='{"message":"token verify failed!"}')
        if dialect.name == "llbot":
            return web.json_response({"message": "403"}, status=status)
        asks = status == 401 and dialect.name in ("lagrange", "onebot11")
        return web.Response(status=status, headers={"WWW-Authenticate": "Bearer"} if asks else {})

    async def _hello(self) -> web.Response:
        dialect = self.account.dialect
        if dialect.name == "llbot":
            return web.Response(text="ok")
        return self._json(dialects.envelope(dialect, Outcome({}, message="NapCat4 Is Running"), None))

    def _record(self, request: web.BaseRequest, action: str, params: dict[str, Any]) -> None:
        account, kind = self.account, request.content_type
        if request.method != "POST" or kind != "application/json":
            account.violation(f"HTTP: {request.method} {request.path} with {kind}, not a POST of JSON")
        if request.path.endswith("/") or request.query_string:
            account.violation(f"HTTP: target {request.path_qs}")
        account.record(action, params, params.get("echo", ABSENT), None, "http", json.dumps(params))

    async def _read(self, request: web.BaseRequest) -> tuple[str | None, dict[str, Any]]:
        """Action and parameters, as this implementation finds them; no action is the front page."""
        name, method, path = self.account.dialect.name, request.method, request.path
        if name == "lagrange" and method not in ("GET", "POST"):
            raise BadBody(405)
        if name in ("onebot11", "go-cqhttp") and method not in ("GET", "POST"):
            raise BadBody(405 if name == "onebot11" else 404)
        query: dict[str, Any] = dict(request.query)
        body: dict[str, Any] = {}
        if method != "GET":
            body = await self._body(request)
        if name in ("onebot11", "lagrange"):
            params = query if method == "GET" else body
            return (path.removeprefix("/") if name == "lagrange" else path.strip("/")), params
        if name == "go-cqhttp":
            if path == "/":
                inner = body.get("params")
                return str(body.get("action", "")), inner if isinstance(inner, dict) else {}
            return path.strip("/"), {**body, **query}
        if path == "/":
            return None, {}
        merged = {**body, **query} if name == "napcat" else query if method == "GET" else {**query, **body}
        return (path.split("/")[1] if name == "napcat" else path.replace("/", "")), merged

    async def _body(self, request: web.BaseRequest) -> dict[str, Any]:
        name, kind = self.account.dialect.name, request.content_type
        raw = b"".join([part async for part in request.content.iter_any()])
        if kind == "application/x-www-form-urlencoded":
            return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))
        if kind != "application/json" or "Content-Type" not in request.headers:
            if name in ("onebot11", "lagrange"):
                raise BadBody(406)
            if name == "go-cqhttp":
                return {}
        if not raw and name != "lagrange":
            return {}
        try:
            value = json.loads(raw)
        except (ValueError, RecursionError) as error:
            self.account.violation(f"HTTP: the body is not JSON: {error}")
            if name == "lagrange":
                await self._dead(request, at_once=False)
            raise BadBody(400, "Invalid JSON" if name in ("napcat", "llbot") else "") from None
        if not isinstance(value, dict):
            self.account.violation("HTTP: the body is no object")
            raise BadBody(400)
        return value

    def _json(self, value: Any, status: int = 200) -> web.Response:
        body = self.account.dumps(value).encode("utf-8", "surrogatepass")
        headers = {"Content-Type": self.account.dialect.json_type}
        return web.Response(status=status, body=body, headers=headers)

    async def _answer(
        self, request: web.BaseRequest, rule: Rule, outcome: Outcome, params: dict[str, Any]
    ) -> web.StreamResponse:
        dialect, args = self.account.dialect, rule.args
        if rule.mode in ("never", "rst_on_action"):
            return await self._dead(request, at_once=rule.mode == "rst_on_action")
        if rule.mode == "close_on_action":
            if request.transport is not None:
                request.transport.close()
            return await self._dead(request, at_once=False)
        await asyncio.sleep(outcome.delay + (float(args.get("seconds", 1)) if rule.mode == "late" else 0))
        if rule.mode == "garbage_then_normal":
            text = GARBAGE[int(args.get("which", 3)) % len(GARBAGE)]
            return web.Response(text=text, content_type="application/json")
        if rule.mode == "failed":
            outcome = Outcome(args.get("data"), int(args.get("retcode", 100)), args.get("message", "no"))
        echo: Any = params.get("echo", ABSENT)
        if dialect.name == "napcat" and echo is ABSENT:
            echo = f"{random.getrandbits(60):x}"
        if dialect.name not in ("napcat", "lagrange"):
            echo = ABSENT
        if outcome.frames:
            return self._stream(outcome, echo)
        unknown = outcome.unknown and dialect.unknown_http[0] != 200
        answer = self._json(
            dialects.envelope(dialect, outcome, echo), dialect.unknown_http[0] if unknown else 200
        )
        if rule.mode == "drop_mid_answer":
            return await self._half(request, answer)
        return answer

    def _stream(self, outcome: Outcome, echo: Any) -> web.Response:
        """NapCat writes one JSON document behind the other, without a type."""
        dialect = self.account.dialect
        frames = [*(Outcome(data) for data in outcome.frames), outcome]
        texts = [self.account.dumps(dialects.envelope(dialect, one, echo, stream=True)) for one in frames]
        return web.Response(body="".join(f"{text}\r\n\r\n" for text in texts).encode())

    async def _half(self, request: web.BaseRequest, answer: web.Response) -> web.StreamResponse:
        body = answer.body
        assert isinstance(body, bytes)
        broken = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await broken.prepare(request)
        await broken.write(body[: len(body) // 2])
        await asyncio.sleep(0.05)
        return await self._dead(request, at_once=True)


def _number(text: str) -> Any:
    """The number of an event of the steady flow, for those who look at the posts."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return event.get("n") if isinstance(event, dict) else None
