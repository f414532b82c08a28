"""A NoneBot2 program that listens, for reverse WebSocket and for webhooks.

NoneBot's own settings, from the environment:

DRIVER                "~fastapi" or "~quart"; for webhooks one that can also call: "~fastapi+~httpx"
HOST, PORT            where it listens: /onebot/v11/ws (WebSocket), /onebot/v11/http (POST)
ONEBOT_ACCESS_TOKEN   what a WebSocket must bring, and what it brings to the HTTP API itself
ONEBOT_SECRET         what a POST must be signed with
ONEBOT_API_ROOTS      where an account's HTTP API is, as JSON: {"10001": "http://127.0.0.1:8081/"}
API_TIMEOUT           seconds (30)

On stdout: READY when it starts to listen, "CONNECTED 10001" and "DISCONNECTED 10001" as accounts come and go.
(An account that posts has come with its first post, and never goes.)
"""

from __future__ import annotations

import nonebot
from nonebot import on_message
from nonebot.adapters.onebot.v11 import Adapter, Bot, MessageEvent

nonebot.init()
driver = nonebot.get_driver()
driver.register_adapter(Adapter)

messages = on_message()


def say(*words: object) -> None:
    """Write a line for the test."""
    print(*words, flush=True)  # noqa: T201


@messages.handle()
async def answer(bot: Bot, event: MessageEvent) -> None:
    """What is said to it: "ping X", "whoami", "size X"."""
    word, _, rest = event.get_plaintext().partition(" ")
    if word == "ping":
        await messages.finish(f"pong {rest}")
    elif word == "whoami":
        me = await bot.get_login_info()
        await messages.finish(me["nickname"])
    elif word == "size":
        await messages.finish(f"size {len(rest)}")


@driver.on_startup
async def ready() -> None:
    say("READY")


@driver.on_bot_connect
async def connected(bot: Bot) -> None:
    say("CONNECTED", bot.self_id)


@driver.on_bot_disconnect
async def disconnected(bot: Bot) -> None:
    say("DISCONNECTED", bot.self_id)


nonebot.run()
