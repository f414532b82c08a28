"""A qcrbot-sdk program, as a user writes one, but with its settings from the environment:

URL                 of the forward WebSocket
ACCESS_TOKEN
RECONNECT_DELAY     seconds before the first new attempt; each later pause is twice as long (5)
RECONNECT_ATTEMPTS  in a row, after which it ends (10)

On stdout: READY when it is attached first. The library needs annotations that are no strings.
"""

import asyncio
import os

from QcrBot_SDK import AtSegment, Bot, ImageSegment, ReplySegment, TextSegment
from QcrBot_SDK.event import BaseMessageEvent, LifecycleMetaEvent

bot = Bot(
    os.environ["URL"],
    access_token=os.environ.get("ACCESS_TOKEN"),
    reconnect_interval=float(os.environ.get("RECONNECT_DELAY", "5")),
    max_reconnect_attempts=int(os.environ.get("RECONNECT_ATTEMPTS", "10")),
)


@bot.on_event("ping")
async def ping(event: BaseMessageEvent, args: str) -> None:
    await bot.send(event, f"pong {args}")


@bot.on_event("show")
async def show(event: BaseMessageEvent, args: str) -> None:
    parts = [
        ReplySegment.new(event.message_id),
        AtSegment.new(event.user_id),
        TextSegment.new(f" {args}"),
        ImageSegment.new("base64://iVBORw0KGgo="),
    ]
    await bot.send(event, parts)


@bot.on_event(LifecycleMetaEvent)
async def attached(event: LifecycleMetaEvent) -> None:
    print("READY", flush=True)  # noqa: T201


asyncio.run(bot.start())
