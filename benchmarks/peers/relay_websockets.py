"""A relay on Python's ``websockets``, asyncio: ``relay_websockets.py PORT IMPL_TOKEN BOT_TOKEN``."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from contextlib import suppress
from http import HTTPStatus

import msgspec
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

LIFECYCLE = (
    '{"time":1760000000,"self_id":10001,"post_type":"meta_event","meta_event_type":"lifecycle",'
    '"sub_type":"connect"}'
)


class Frame(msgspec.Struct):
    """What routing needs of what the implementation sends."""

    post_type: str = ""
    self_id: int = 0
    echo: int | None = None


class Relay:
    """One implementation, any number of bots."""

    def __init__(self, impl_token: str, bot_token: str) -> None:
        self._tokens = {"/onebot/v11/ws": impl_token, "/": bot_token}
        self._impl: ServerConnection | None = None
        self._bots: set[ServerConnection] = set()
        self._calls: dict[int, tuple[ServerConnection, object]] = {}
        self._last = 0
        self._read_head = msgspec.json.Decoder(Frame).decode
        self._read = msgspec.json.Decoder().decode
        self._write = msgspec.json.Encoder().encode

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse who has no token."""
        token = self._tokens.get(request.path)
        if token is None:
            return connection.respond(HTTPStatus.NOT_FOUND, "no such path\n")
        if request.headers.get("Authorization") != f"Bearer {token}":
            return connection.respond(HTTPStatus.FORBIDDEN, "the token is wrong\n")
        return None

    async def talk(self, connection: ServerConnection) -> None:
        """One connection, from its opening to its end."""
        with suppress(ConnectionClosed):
            await self._talk(connection)

    async def _talk(self, connection: ServerConnection) -> None:
        if connection.request is not None and connection.request.path != "/":
            self._impl = connection
            async for text in connection:
                await self._from_impl(text)
            return
        await connection.send(LIFECYCLE)
        self._bots.add(connection)
        try:
            async for text in connection:
                await self._from_bot(connection, text)
        finally:
            self._bots.discard(connection)

    async def _from_impl(self, text: str | bytes) -> None:
        head = self._read_head(text)
        if head.echo is None:
            if head.post_type and head.post_type != "meta_event" and head.self_id == 10001:
                broadcast(self._bots, text)
            return
        call = self._calls.pop(head.echo, None)
        if call is not None:
            bot, echo = call
            answer = self._read(text)
            answer["echo"] = echo
            await bot.send(self._write(answer), text=True)

    async def _from_bot(self, bot: ServerConnection, text: str | bytes) -> None:
        action = self._read(text)
        if self._impl is None:
            gone = {"status": "failed", "retcode": 1501, "data": None, "echo": action.get("echo")}
            await bot.send(self._write(gone), text=True)
            return
        self._last += 1
        self._calls[self._last] = (bot, action.get("echo"))
        action["echo"] = self._last
        await self._impl.send(self._write(action), text=True)


async def main() -> None:
    """Serve until SIGTERM."""
    port, impl_token, bot_token = sys.argv[1:]
    relay = Relay(impl_token, bot_token)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve(
        relay.talk, "127.0.0.1", int(port), compression=None, process_request=relay.admit, backlog=1024
    ):
        gc.freeze()
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
