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
    while True:
        try:
            async with websockets.connect(url, additional_headers=headers, proxy=None) as connection:
                async for raw in connection:
                    answer = answer_to(json.loads(raw))
                    if answer is not None:
                        action, params = answer
                        await connection.send(json.dumps({"action": action, "params": params}))
        except (OSError, websockets.WebSocketException) as error:
            print(f"the connection is lost: {error}", flush=True)  # noqa: T201 - its log
            await asyncio.sleep(0.05)


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
