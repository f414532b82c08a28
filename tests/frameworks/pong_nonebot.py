"""A NoneBot2 program that listens and writes down the number of each event that its handler has seen.

DRIVER, HOST, PORT, ONEBOT_ACCESS_TOKEN   NoneBot's own
SEEN        the file that numbers are added to, a line each: "life n seconds"
BLOCK_AT    the handler of an event with this number, or a larger one, hangs for ever
STALL_AT    at this event, the whole program stands still for half a second before it goes on
BLOCK_HOW   "await": that handler alone; "sleep": the whole program

On stdout: READY when it starts to listen, "CONNECTED 10001" as accounts come.
"""

from __future__ import annotations

import asyncio
import os
import time

import nonebot
from nonebot import on_message
from nonebot.adapters.onebot.v11 import Adapter, Bot, MessageEvent

BLOCK_AT, STALL_AT = int(os.environ.get("BLOCK_AT", 1 << 62)), int(os.environ.get("STALL_AT", "-1"))
seen = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

nonebot.init()
driver = nonebot.get_driver()
driver.register_adapter(Adapter)

messages = on_message()


@messages.handle()
async def take(event: MessageEvent) -> None:
    """Write it down, or hang."""
    number, life = getattr(event, "n", None), getattr(event, "life", 0)
    if number is None:
        return
    if number == STALL_AT:
        time.sleep(0.5)
    if number >= BLOCK_AT:
        if os.environ["BLOCK_HOW"] == "sleep":
            time.sleep(3600)
        await asyncio.Event().wait()
    os.write(seen, b"%d %d %f\n" % (life, number, time.monotonic()))


@driver.on_startup
async def ready() -> None:
    print("READY", flush=True)  # noqa: T201


@driver.on_bot_connect
async def connected(bot: Bot) -> None:
    print("CONNECTED", bot.self_id, flush=True)  # noqa: T201


nonebot.run()
