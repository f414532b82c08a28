"""A bot that answers some messages, for tests of ``lgtwist.testing``: ``echo_bot.py WS_URL ACCESS_TOKEN``."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import websockets


async def main() -> None:
    url, token = sys.argv[1:]
    headers = {"Authorization": f"Bearer {token}"}
    async for connection in websockets.connect(url, additional_headers=headers, proxy=None):
        try:
            async for raw in connection:
                event = json.loads(raw)
                answer = answer_to(event)
                if answer is not None:
                    action, params = answer
                    await connection.send(json.dumps({"action": action, "params": params}))
        except websockets.ConnectionClosed:
            print("the connection is lost", flush=True)  # noqa: T201 - its log


def answer_to(event: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the action that answers an event, and its parameters."""
    if event.get("post_type") == "request":
        return "set_friend_add_request", {"flag": event["flag"], "approve": True}
    if event.get("post_type") != "message":
        return None
    text = event["raw_message"]
    print(f"got {text}", flush=True)  # noqa: T201 - its log
    if text == "/exit":
        sys.exit("I was told to")
    chat = {name: event[name] for name in ("group_id",) if name in event} or {"user_id": event["user_id"]}
    if text.startswith("/echo "):
        return "send_msg", {"message_type": event["message_type"], "message": text[6:], **chat}
    if text == "/ban":
        return "set_group_ban", {**chat, "user_id": str(event["user_id"]), "duration": 60}
    return None


asyncio.run(main())
