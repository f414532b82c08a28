"""A NoneBot2 program on OneBot 11 that reacts to everything, as users' bots do; it knows nothing of Milky.

DRIVER, ONEBOT_WS_URLS, ONEBOT_ACCESS_TOKEN and LOG_LEVEL are NoneBot's own names. On stdout, line by line:
"EVENT", the event's name and its content as JSON; "RESULT" and what a call returned, as JSON.
"""

from __future__ import annotations

import json
from typing import Any

import nonebot
from nonebot import on_command, on_notice, on_request
from nonebot.adapters import Event as AnyEvent
from nonebot.adapters.onebot.v11 import (
    ActionFailed,
    Adapter,
    Bot,
    FriendRequestEvent,
    GroupMessageEvent,
    GroupRequestEvent,
    GroupUploadNoticeEvent,
    Message,
    MessageEvent,
    MessageSegment,
    PokeNotifyEvent,
)
from nonebot.compat import model_dump
from nonebot.message import event_preprocessor
from nonebot.params import CommandArg

nonebot.init()
nonebot.get_driver().register_adapter(Adapter)

hello, forget, mute = on_command("hello"), on_command("forget"), on_command("mute")
forward, react, call = on_command("forward"), on_command("react"), on_command("call")
notices, requests = on_notice(), on_request()
arguments = CommandArg()


def say(word: str, value: Any) -> None:
    """Write a line for the test."""
    print(word, json.dumps(value, default=_plain, ensure_ascii=False), flush=True)  # noqa: T201


def _plain(value: Any) -> Any:
    if isinstance(value, MessageSegment):
        return {"type": value.type, "data": value.data}
    return model_dump(value)


@event_preprocessor
async def tell(event: AnyEvent) -> None:
    """Write down what came."""
    if event.get_type() != "meta_event":
        say("EVENT", [type(event).__name__, model_dump(event)])


@hello.handle()
async def greet(event: GroupMessageEvent) -> None:
    """Reply, with a mention, a text, a face and an image."""
    message = MessageSegment.reply(event.message_id) + MessageSegment.at(event.user_id)
    message += MessageSegment.text(" hello & [you] ") + MessageSegment.face(14)
    await hello.finish(message + MessageSegment.image(b"a picture"))


@forget.handle()
async def recall(bot: Bot, event: MessageEvent) -> None:
    """Say something and take it back; and the message that is replied to."""
    sent = await bot.send(event, "said by mistake")
    await bot.delete_msg(message_id=sent["message_id"])
    if event.reply:
        await bot.delete_msg(message_id=event.reply.message_id)
    await forget.finish("forgotten")


@mute.handle()
async def silence(bot: Bot, event: GroupMessageEvent, found: Message = arguments) -> None:
    """Mute whoever is mentioned, for a minute."""
    for segment in found["at"]:
        await bot.set_group_ban(group_id=event.group_id, user_id=int(segment.data["qq"]), duration=60)
    await mute.finish("done")


@forward.handle()
async def send_forward(bot: Bot, event: GroupMessageEvent) -> None:
    """Send two messages as one forward, and say what comes back when it is read."""
    nodes = [
        MessageSegment.node_custom(event.user_id, "somebody", Message("first [CQ:face,id=1]")),
        MessageSegment.node_custom(int(bot.self_id), "me", Message(MessageSegment.image(b"second"))),
    ]
    sent = await bot.call_api("send_group_forward_msg", group_id=event.group_id, messages=nodes)
    read = await bot.get_msg(message_id=sent["message_id"])
    (segment,) = read["message"]
    say("RESULT", await bot.get_forward_msg(id=segment["data"]["id"]))


@react.handle()
async def put_face(bot: Bot, event: GroupMessageEvent) -> None:
    """Put a face under what was said."""
    await bot.call_api("set_msg_emoji_like", message_id=event.message_id, emoji_id="76", set=True)


@call.handle()
async def call_any(bot: Bot, found: Message = arguments) -> None:
    """Call an action: its name, and its parameters as JSON."""
    action, _, params = found.extract_plain_text().partition(" ")
    try:
        say("RESULT", {"data": await bot.call_api(action, **json.loads(params or "{}"))})
    except ActionFailed as failed:
        say("RESULT", {"failed": failed.info})


@notices.handle()
async def poke_back(bot: Bot, event: PokeNotifyEvent) -> None:
    """Poke whoever pokes the account."""
    if event.target_id == event.self_id and event.user_id != event.self_id:
        if event.group_id:
            await bot.call_api("group_poke", group_id=event.group_id, user_id=event.user_id)
        else:
            await bot.call_api("friend_poke", user_id=event.user_id)


@notices.handle()
async def look_at_file(bot: Bot, event: GroupUploadNoticeEvent) -> None:
    """Ask where a file is."""
    if event.user_id != event.self_id:
        found = await bot.call_api("get_group_file_url", group_id=event.group_id, file_id=event.file.id)
        say("RESULT", found)


@requests.handle()
async def answer_friend(bot: Bot, event: FriendRequestEvent) -> None:
    """Accept those who ask nicely."""
    await event.approve(bot) if event.comment == "please" else await event.reject(bot)


@requests.handle()
async def answer_group(bot: Bot, event: GroupRequestEvent) -> None:
    """Accept those who ask nicely, and invitations."""
    if event.comment == "please" or event.sub_type == "invite":
        await event.approve(bot)
    else:
        await event.reject(bot, reason="ask nicely")


nonebot.run()
