"""An aiocqhttp program that listens: for reverse WebSocket (/ws, /ws/api, /ws/event) and for webhooks (/).

Its settings come from the environment:

HOST, PORT      where it listens
ACCESS_TOKEN    what a WebSocket must bring, and what it brings to the HTTP API itself
SECRET          what a POST must be signed with
API_ROOT        where the HTTP API is (http://127.0.0.1:8081/), for answers to webhooks that are calls
API_TIMEOUT     seconds (60)

It answers "quick X" with a dict: over a WebSocket aiocqhttp calls ``.handle_quick_operation_async`` with it,
and answers a POST with it. All other answers are calls.

On stdout: READY when it starts to listen, "CONNECTED 10001" for each lifecycle event that says so.
"""

from __future__ import annotations

import os
from typing import Any

from aiocqhttp import CQHttp, Event

bot = CQHttp(
    api_root=os.environ.get("API_ROOT"),
    access_token=os.environ.get("ACCESS_TOKEN"),
    secret=os.environ.get("SECRET"),
    api_timeout_sec=float(os.environ.get("API_TIMEOUT", "60")),
)


def say(*words: object) -> None:
    """Write a line for the test."""
    print(*words, flush=True)  # noqa: T201


@bot.on_message
async def answer(event: Event) -> dict[str, Any] | None:
    """What is said to it: "ping X", "quick X", "whoami", "size X"."""
    message = event.message
    if not isinstance(message, str):
        message = "".join(part["data"]["text"] for part in message if part["type"] == "text")
    word, _, rest = message.partition(" ")
    if word == "quick":
        return {"reply": f"quick {rest}"}
    if word == "ping":
        await bot.send(event, f"pong {rest}")
    elif word == "whoami":
        me = await bot.get_login_info(self_id=event.self_id)
        await bot.send(event, me["nickname"])
    elif word == "size":
        await bot.send(event, f"size {len(rest)}")
    return None


@bot.on_startup
async def ready() -> None:
    say("READY")


@bot.on_websocket_connection
async def connected(event: Event) -> None:
    say("CONNECTED", event.self_id)


bot.run(host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ["PORT"]))
