"""A cqhttp program (Flask), as a user writes one, but with its settings from the environment:

HOST, PORT      where it listens for posts, at "/"
ACCESS_TOKEN    of the HTTP API; sent as ``Authorization: Token``
SECRET          of ``X-Signature``
API_ROOT        the HTTP API, with the account's number

It answers "quick X" by a quick operation, everything else by ``send_msg``.
On stdout: READY before it listens.
"""

from __future__ import annotations

import os
from typing import Any

from cqhttp import CQHttp

PNG = "base64://iVBORw0KGgo="

bot = CQHttp(
    api_root=os.environ["API_ROOT"],
    access_token=os.environ.get("ACCESS_TOKEN"),
    secret=os.environ.get("SECRET"),
)


@bot.on_message
def answer(event: dict[str, Any]) -> dict[str, Any] | None:
    """What is said to it: "ping X", "quick X", "show X"."""
    word, _, rest = event["raw_message"].partition(" ")
    if word == "quick":
        return {"reply": f"quick {rest}", "at_sender": True}
    if word == "ping":
        bot.send(event, f"pong {rest}")
    elif word == "show":
        reply = f"[CQ:reply,id={event['message_id']}][CQ:at,qq={event['user_id']}]"
        bot.send(event, f"{reply} {rest}[CQ:image,file={PNG}]")
    return None


print("READY", flush=True)  # noqa: T201
bot.run(host=os.environ["HOST"], port=int(os.environ["PORT"]))
