"""A NoneBot2 program: its settings come from the environment, see ../nonebot.yaml."""

import nonebot
from nonebot.adapters.onebot.v11 import Adapter, MessageEvent

nonebot.init()
nonebot.get_driver().register_adapter(Adapter)


@nonebot.on_message().handle()
async def echo(bot, event: MessageEvent):
    await bot.send(event, f"you said: {event.get_plaintext()}")


nonebot.run()
