"""A nekomoe program, as a user writes one, but with its settings from the environment:

HOST, PORT      where it listens, at "/onebot/v11/ws" for every role
ACCESS_TOKEN

On stdout: READY when it has started.
"""

from __future__ import annotations

import os

from nekomoe import Message, MessageSegment, Tower
from nekomoe.context import Context

app = Tower(
    host=os.environ["HOST"],
    port=int(os.environ["PORT"]),
    access_token=os.environ.get("ACCESS_TOKEN"),
    command_prefixes=("",),
)


@app.command("ping")
async def ping(ctx: Context) -> str:
    return "pong " + ctx.args.rest(0)


@app.command("show")
async def show(ctx: Context) -> None:
    image = MessageSegment.image("base64://iVBORw0KGgo=")
    at = MessageSegment.at(ctx.user_id)
    await ctx.reply(Message([at, MessageSegment.text(" " + ctx.args.rest(0)), image]))


@app.on_startup
async def ready() -> None:
    print("READY", flush=True)  # noqa: T201


app.run()
