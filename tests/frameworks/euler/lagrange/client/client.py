"""The stub's client: what is sent to QQ goes into the file "outbox"."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lagrange.client.message import elems

_FACTS = SimpleNamespace(
    name="Alice", age=20, sex=SimpleNamespace(name="notset"), country="", province="", city=""
)


class Client:
    """One account."""

    def __init__(self, uin: int) -> None:
        self.uin = uin
        self.uid = f"u_{uin}"
        self._seqs = itertools.count(1000)

    async def get_user_info(self, uid: str | int) -> Any:
        return _FACTS

    async def get_grp_member_info(self, grp_id: int, uid: str) -> Any:
        return SimpleNamespace(body=[SimpleNamespace(is_owner=False, is_admin=False, name=None, level=None)])

    async def upload_friend_image(self, *, uid: str, image: Any, is_emoji: bool = False) -> elems.Image:
        return elems.Image(text="[image]", size=len(image.read()))

    async def upload_grp_image(self, *, grp_id: int, image: Any) -> elems.Image:
        return elems.Image(text="[image]", size=len(image.read()))

    async def send_friend_msg(self, *, uid: str, msg_chain: list[Any]) -> int:
        return self._send("friend", int(uid.removeprefix("u_")), msg_chain)

    async def send_grp_msg(self, *, grp_id: int, msg_chain: list[Any]) -> int:
        return self._send("group", grp_id, msg_chain)

    def _send(self, where: str, number: int, chain: list[Any]) -> int:
        elements = [[type(element).__name__, element.display] for element in chain]
        with Path("outbox").open("a", encoding="utf-8") as outbox:
            outbox.write(json.dumps([where, number, elements]) + "\n")
        return next(self._seqs)
