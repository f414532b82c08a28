"""An aiocqhttp program that writes down the number of each event that its handler has seen.

HOST, PORT, ACCESS_TOKEN
SEEN        the file that numbers are added to, a line each: "life n seconds"
BLOCK_AT    the handler of an event with this number, or a larger one, hangs for ever
STALL_AT    at this event, the whole program stands still for half a second before it goes on
BLOCK_HOW   "await": that handler alone; "sleep": the whole program

On stdout: READY when it starts to listen, "CONNECTED 10001" for each lifecycle event that says so.
"""

from __future__ import annotations

import asyncio
import os
import time

from aiocqhttp import CQHttp, Event

BLOCK_AT, STALL_AT = int(os.environ.get("BLOCK_AT", 1 << 62)), int(os.environ.get("STALL_AT", "-1"))
seen = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

bot = CQHttp(access_token=os.environ.get("ACCESS_TOKEN"))


@bot.on_message
async def take(event: Event) -> None:
    """Write it down, or hang."""
    number = event.get("n")
    if number is None:
        return
    if number == STALL_AT:
        time.sleep(0.5)
    if number >= BLOCK_AT:
        if os.environ["BLOCK_HOW"] == "sleep":
            time.sleep(3600)
        await asyncio.Event().wait()
    os.write(seen, b"%d %d %f\n" % (event.get("life") or 0, number, time.monotonic()))


@bot.on_startup
async def ready() -> None:
    print("READY", flush=True)  # noqa: T201


@bot.on_websocket_connection
async def connected(event: Event) -> None:
    print("CONNECTED", event.self_id, flush=True)  # noqa: T201


bot.run(host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ["PORT"]))
