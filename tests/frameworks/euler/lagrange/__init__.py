"""A stub of lagrange-python: as much of QQ as euler-onebot 0.0.2 asks for, over two files."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lagrange.client.client import Client
from lagrange.client.events.friend import FriendMessage
from lagrange.client.events.group import GroupMessage
from lagrange.client.message import elems

__all__ = ["Client", "Lagrange"]


class Lagrange:
    """A session whose messages come from the file "inbox"."""

    def __init__(self, uin: int, protocol: str, sign_url: str) -> None:
        self.client = Client(uin)
        self.log = SimpleNamespace(set_level=lambda level: None)
        self._handlers: dict[type, Callable[..., Awaitable[None]]] = {}

    def subscribe(self, kind: type, handler: Callable[..., Awaitable[None]]) -> None:
        self._handlers[kind] = handler

    async def run(self) -> None:
        """Hand on each line of the inbox, for ever."""
        inbox = Path("inbox")
        inbox.touch()
        with inbox.open(encoding="utf-8") as lines:
            seq = 0
            while True:
                if not (line := lines.readline()):
                    await asyncio.sleep(0.02)
                    continue
                seq += 1
                await self._receive(json.loads(line), seq)

    async def _receive(self, message: dict[str, Any], seq: int) -> None:
        user, text = message["user_id"], message["text"]
        common = {"seq": seq, "msg": text, "msg_chain": [elems.Text(text=text)]}
        if "group_id" in message:
            event: Any = GroupMessage(
                **common,
                uin=user,
                uid=f"u_{user}",
                time=int(time.time()),
                grp_id=message["group_id"],
                grp_name="a group",
                nickname="Alice",
            )
        else:
            event = FriendMessage(
                **common,
                from_uin=user,
                from_uid=f"u_{user}",
                to_uin=self.client.uin,
                timestamp=int(time.time()),
            )
        try:
            await self._handlers[type(event)](self.client, event)
        except Exception:  # as the library does
            traceback.print_exc()
