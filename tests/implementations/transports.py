"""The two WebSocket transports of an account: a server that is dialled, and clients that dial."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response

from tests.implementations import dialects
from tests.implementations.account import Account, Mistake
from tests.implementations.dialects import ABSENT, Outcome, Role
from tests.implementations.links import Dialled, Link, Served, reset


def _publish(account: Account, text: str) -> bool:
    return [link.send(text) for link in list(account.links) if link.gets_events].count(True) > 0


class Forward:
    """A WebSocket server for one account: the peer dials."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.port = int(account.config["port"])
        self.refusal: dict[str, Any] | None = None
        self._server: Server | None = None

    async def start(self) -> None:
        def make(*args: Any, **kwargs: Any) -> Served:
            return Served(self.account, *args, **kwargs)

        limits: dict[str, Any] = {"max_size": self.account.dialect.max_size, "max_queue": None}
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            **limits,
            process_request=self._judge,
            create_connection=make,  # type: ignore[arg-type]
            compression=None,
            server_header=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=5,
            backlog=1024,
        )
        if self.account.dialect.beats == "shared":
            self.account.restart_ticker()

    async def stop(self) -> None:
        self._listen_no_more()
        code = self.account.dialect.close_code
        if code != "none":
            for link in list(self.account.links):
                link.close(code)

    def _listen_no_more(self) -> None:
        if self._server is not None:
            self._server.server.close()
            self._server = None

    async def refuse(self, how: dict[str, Any]) -> None:
        if how.get("how", "status") not in ("status", "close", "rst", "blackhole", "redirect", "port"):
            raise Mistake("refuse: how is one of status, close, rst, blackhole, redirect, port")
        self.refusal = how
        if how.get("how") == "port":
            self._listen_no_more()

    async def accept_again(self) -> None:
        self.refusal = None
        if self._server is None:
            await self.start()

    def publish(self, text: str) -> bool:
        return _publish(self.account, text)

    async def _judge(self, connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, Served)
        account, dialect = self.account, self.account.dialect
        attempt = connection.attempt
        headers = request.headers
        entry: dict[str, Any] = {"at": time.monotonic(), "path": request.path, "verdict": "ok"}
        entry["headers"] = [list(pair) for pair in headers.raw_items()]
        account.handshakes.append(entry)
        given = headers.get_all("Authorization")
        if len(given) > 1 or any(not one.startswith("Bearer ") for one in given):
            account.violation(f"handshake: Authorization is {given!r}")
        connection.verdict = dialects.check_token(
            dialect, account.token, given[0] if given else None, request.path
        )
        entry["verdict"] = connection.verdict
        if connection.verdict != "ok":
            account.violation(f"handshake: {connection.verdict} token")
        if len(headers.get_all("Host")) != 1:
            account.violation("handshake: not exactly one Host header")
        upgrade = "websocket" in headers.get("Upgrade", "").lower()
        if not upgrade:
            account.violation("a plain HTTP request to the WebSocket port")
        path = urlsplit(request.path).path
        if path not in ("/", "/api", "/api/", "/event", "/event/"):
            account.violation(f"handshake: path {path}")

        def answer(status: int, text: str = "") -> Response:
            attempt["outcome"] = entry["answer"] = status
            return connection.respond(status, text)

        if self.refusal is not None:
            refused = await self._refused(connection, attempt, answer)
            if refused is not None:
                return refused
        if connection.verdict != "ok" and dialect.refusals is not None:
            return answer(dialect.refusals[connection.verdict == "wrong"])
        if not upgrade:
            return answer(dialect.not_upgrade)
        if dialects.role_of(dialect, path) is None:
            return answer(404)
        attempt["outcome"] = entry["answer"] = 101
        return None

    async def _refused(self, connection: Served, attempt: dict[str, Any], answer: Any) -> Response | None:
        assert self.refusal is not None
        how = self.refusal.get("how", "status")
        if how == "status":
            response: Response = answer(int(self.refusal.get("status", 503)), "not now\n")
            return response
        if how == "redirect":
            response = answer(int(self.refusal.get("status", 301)))
            response.headers["Location"] = self.refusal.get("location", "/elsewhere/")
            return response
        attempt["outcome"] = how
        if how == "rst":
            reset(connection.transport)
        if how in ("rst", "blackhole"):
            await connection.connection_lost_waiter
            return connection.respond(503, "")  # nobody is there to get it
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Served)
        assert connection.request is not None
        account, dialect = self.account, self.account.dialect
        if connection.verdict != "ok":
            connection.attempt["outcome"] = "refused after 101"
            if dialect.name == "napcat":
                refusal = Outcome(None, 1403, "token验证失败")
                await connection.send(account.dumps(dialects.envelope(dialect, refusal, ABSENT)))
                await connection.close(None)  # type: ignore[arg-type]
            else:
                await connection.close(1008)
            return
        if self.refusal is not None and self.refusal.get("how") == "close":
            connection.attempt["outcome"] = "close"
            code = self.refusal.get("code", 1008)
            await connection.close(code, self.refusal.get("reason", ""))
            return
        path = urlsplit(connection.request.path).path
        role = dialects.role_of(dialect, path)
        assert role is not None
        link = Link(account, connection, role, path, unread=role in dialect.unread_serving)
        await link.live(account.meta("connect") if link.gets_events else None)


class Dial(connect):
    """No implementation follows a redirect of its reverse WebSocket."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Reverse:
    """WebSocket clients of one account: it dials, again and again."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.url = str(account.config["url"]).rstrip("/")
        self.roles: list[tuple[Role, str]] = [("universal", "/ws")]
        if account.config.get("split"):
            if not account.dialect.split:
                raise Mistake(f"{account.self_id}: {account.dialect.name} has no split mode")
            self.roles = [("api", "/api"), ("event", "/event")]
        self._allowed = asyncio.Event()
        self._allowed.set()
        self._dialling: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        self._dialling = [self.account.spawn(self._dial_for_ever(role, end)) for role, end in self.roles]
        if self.account.dialect.beats == "shared":
            self.account.restart_ticker()

    async def stop(self) -> None:
        for task in self._dialling:
            task.cancel()
        code = self.account.dialect.close_code
        if code != "none":
            for link in list(self.account.links):
                link.close(code)

    async def refuse(self, how: dict[str, Any]) -> None:
        self._allowed.clear()

    async def accept_again(self) -> None:
        self._allowed.set()

    def publish(self, text: str) -> bool:
        return _publish(self.account, text)

    async def _dial_for_ever(self, role: Role, end: str) -> None:
        account = self.account
        while True:
            await self._allowed.wait()
            link = await self._dial(role, self.url + end)
            if link is not None:
                await self._while_alive(link)
            await asyncio.sleep(account.reconnect)

    async def _dial(self, role: Role, url: str) -> Link | None:
        account, dialect = self.account, self.account.dialect
        headers = dialects.dial_headers(dialect, account.header_self_id, role, account.token)
        attempt = account.attempt(role=role, url=url, outcome="open")

        def make(*args: Any, **kwargs: Any) -> Dialled:
            return Dialled(account, headers, *args, **kwargs)

        try:
            connection = await Dial(
                url,
                compression=None,
                user_agent_header=None,
                proxy=None,
                open_timeout=dialect.handshake_limit,
                ping_interval=None,
                close_timeout=5,
                max_size=dialect.max_size,
                max_queue=None,
                create_connection=make,  # type: ignore[arg-type]
            )
        except InvalidStatus as refused:
            attempt["outcome"] = refused.response.status_code
            return None
        except Exception as error:  # whatever it is, an implementation dials again
            attempt["outcome"] = f"{type(error).__name__}: {error}"
            return None
        attempt["outcome"] = 101
        assert isinstance(connection, Dialled)
        response = connection.response
        entry: dict[str, Any] = {"at": time.monotonic(), "path": urlsplit(url).path, "answer": 101}
        entry["headers"] = [] if response is None else [list(one) for one in response.headers.raw_items()]
        account.handshakes.append(entry)
        return Link(account, connection, role, urlsplit(url).path, role in dialect.unread_dialling)

    async def _while_alive(self, link: Link) -> None:
        """Until the link is over or given up, and its implementation has noticed."""
        account = self.account
        first = account.meta("connect", dialled=True) if link.gets_events else None
        living = account.spawn(link.live(first))
        given_up = account.spawn(link.given_up.wait())
        await asyncio.wait([living, given_up], return_when=asyncio.FIRST_COMPLETED)
        given_up.cancel()
        if link.given_up.is_set():
            return
        if account.redial == "heartbeat" and link.beating is not None:
            await link.beating
        elif account.redial == "event" and link.role == "universal":
            await account.pushed.wait()
