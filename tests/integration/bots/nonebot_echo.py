"""A NoneBot2 program, as a user writes one. Its settings come from the environment.

DRIVER, ONEBOT_WS_URLS, ONEBOT_ACCESS_TOKEN and LOG_LEVEL are NoneBot's own names.
"""

from __future__ import annotations

import nonebot
from nonebot import on_command, on_request
from nonebot.adapters.onebot.v11 import (
    Adapter,
    Bot,
    FriendRequestEvent,
    GroupMessageEvent,
    Message,
    MessageSegment,
)

nonebot.init()
nonebot.get_driver().register_adapter(Adapter)
nonebot.load_builtin_plugin("echo")  # "/echo ...", said to the bot itself: private, or with an @ in a group

members = on_command("members")
whoami = on_command("whoami")
many = on_command("many")
requests = on_request()


@members.handle()
async def count_members(bot: Bot, event: GroupMessageEvent) -> None:
    """How many are in this group."""
    found = await bot.get_group_member_list(group_id=event.group_id)
    names = Message(MessageSegment.at(event.user_id))
    names += f" {len(found)} members: " + ", ".join(member["nickname"] for member in found)
    await members.finish(names)


@whoami.handle()
async def tell_name(bot: Bot) -> None:
    """Which account this is."""
    me = await bot.get_login_info()
    await whoami.finish(f"{me['nickname']} ({me['user_id']})")


@many.handle()
async def answer_often() -> None:
    """Several messages for one."""
    for number in range(20):
        await many.send(f"number {number}")


@requests.handle()
async def approve(bot: Bot, event: FriendRequestEvent) -> None:
    """Who knows the word is a friend."""
    if event.comment == "swordfish":
        await event.approve(bot, remark="knows the word")
        await bot.send_private_msg(user_id=event.user_id, message="welcome")


nonebot.run()
