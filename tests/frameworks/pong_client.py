"""Bots on WebSocket client libraries, which write down the number of each event that they have handled.

URL         where to dial, again and again
LIBRARY     "websockets", "websockets-sync" or "aiohttp"
TOKEN       sent along
SEEN        the file that numbers are added to, a line each: "life n seconds"
BLOCK_AT    at an event with this number, or a larger one, the program hangs for ever
STALL_AT    at this event, the whole program stands still for half a second before it goes on
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

URL, LIBRARY = os.environ["URL"], os.environ.get("LIBRARY", "websockets")
BLOCK_AT, STALL_AT = int(os.environ.get("BLOCK_AT", 1 << 62)), int(os.environ.get("STALL_AT", "-1"))
HEADERS = {"Authorization": f"Bearer {os.environ['TOKEN']}"} if "TOKEN" in os.environ else {}
seen = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def blocks(event: dict[str, Any]) -> bool:
    """Whether the program hangs now; else the event is written down."""
    if "n" not in event:
        return False
    if event["n"] == STALL_AT:
        time.sleep(0.5)
    if event["n"] >= BLOCK_AT:
        return True
    os.write(seen, b"%d %d %f\n" % (event.get("life", 0), event["n"], time.monotonic()))
    return False


async def with_websockets() -> None:
    from websockets.asyncio.client import connect

    async with connect(URL, additional_headers=HEADERS, proxy=None) as socket:
        async for message in socket:
            if blocks(json.loads(message)):
                await asyncio.Event().wait()


async def with_aiohttp() -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(URL, headers=HEADERS) as socket:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT and blocks(json.loads(message.data)):
                await asyncio.Event().wait()


def with_websockets_sync() -> None:
    from websockets.sync.client import connect

    with connect(URL, additional_headers=HEADERS, proxy=None) as socket:
        for message in socket:
            if blocks(json.loads(message)):
                time.sleep(3600)


while True:
    try:
        if LIBRARY == "websockets-sync":
            with_websockets_sync()
        else:
            asyncio.run(with_aiohttp() if LIBRARY == "aiohttp" else with_websockets())
    except Exception as error:
        print(repr(error), flush=True)  # noqa: T201
    time.sleep(0.05)
