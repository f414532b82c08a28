"""A bot on NoneBot2: /echo, /ban and /cat."""

import asyncio

import nonebot
from nonebot import on_command
from nonebot.adapters.onebot.v11 import (
    ActionFailed,
    Adapter,
    ApiNotAvailable,
    Bot,
    GroupMessageEvent,
    Message,
    MessageEvent,
    MessageSegment,
    NetworkError,
)
from nonebot.log import logger
from nonebot.params import CommandArg

nonebot.init()
nonebot.get_driver().register_adapter(Adapter)

echo = on_command("echo")
ban = on_command("ban")
cat = on_command("cat")

CAT = b"\x89PNG\r\n\x1a\n" + b"a very small cat"


@echo.handle()
async def say_it_again(args: Message = CommandArg()) -> None:
    await echo.finish(args)


@ban.handle()
async def ban_whom_an_admin_names(bot: Bot, event: GroupMessageEvent, args: Message = CommandArg()) -> None:
    if event.sender.role not in ("owner", "admin"):
        await ban.finish("only admins may do that")
    for segment in args["at"]:
        try:
            await bot.set_group_ban(group_id=event.group_id, user_id=int(segment.data["qq"]), duration=600)
        except ActionFailed as failed:
            await ban.finish(f"that did not work: {failed.info['wording']}")
    await ban.finish("done")


@cat.handle()
async def send_a_cat(event: MessageEvent) -> None:
    answer = MessageSegment.reply(event.message_id) + MessageSegment.image(CAT)
    for _attempt in range(5):
        try:
            return await cat.send(answer)
        except (NetworkError, ApiNotAvailable) as error:  # the link has broken
            logger.warning(f"no cat yet: {error!r}")
            await asyncio.sleep(1)


if __name__ == "__main__":
    nonebot.run()
