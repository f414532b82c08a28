"""A NoneBot2 program that speaks Milky, without anything of ours in between.

DRIVER, MILKY_CLIENTS and LOG_LEVEL are NoneBot's own names. On stdout: "EVENT" and the class of each event.
"""

from __future__ import annotations

import nonebot
from nonebot import on_command, on_message
from nonebot.adapters import Event as AnyEvent
from nonebot.adapters.milky import Adapter, Bot, MessageSegment
from nonebot.adapters.milky.event import GroupMessageEvent
from nonebot.message import event_preprocessor

nonebot.init()
nonebot.get_driver().register_adapter(Adapter)

ping = on_command("ping")
tour = on_command("tour")
answers = on_message(priority=5)


@event_preprocessor
async def tell(event: AnyEvent) -> None:
    """Write down what came."""
    print("EVENT", type(event).__name__, flush=True)  # noqa: T201


@ping.handle()
async def pong(bot: Bot, event: GroupMessageEvent) -> None:
    """Say pong, and whether it was a reply."""
    replied = event.reply.message.extract_plain_text() if event.reply else "nothing"
    await bot.send_group_message(group_id=event.data.peer_id, message=f"pong to {replied}")
    await ping.finish()


@tour.handle()
async def go_round(bot: Bot, event: GroupMessageEvent) -> None:
    """Use many APIs: the adapter parses each answer by its models."""
    group, user = event.data.peer_id, event.data.sender_id
    here = {"message_scene": "group", "peer_id": group}
    me = await bot.get_login_info()
    await bot.get_impl_info()
    await bot.get_user_profile(user_id=user)
    friends = await bot.get_friend_list()
    await bot.get_friend_info(user_id=user)
    groups = await bot.get_group_list(no_cache=True)
    await bot.get_group_info(group_id=group)
    members = await bot.get_group_member_list(group_id=group)
    await bot.get_group_member_info(group_id=group, user_id=user)
    message = MessageSegment.reply(event.data.message_seq) + MessageSegment.mention(user)
    message += MessageSegment.text(" look ") + MessageSegment.image(raw=b"pixels", summary="a picture")
    sent = await bot.send_group_message(group_id=group, message=message)
    seen = await bot.get_message(**here, message_seq=sent.message_seq)
    history, _older = await bot.get_history_messages(**here, limit=5)
    node = MessageSegment.node(user, "somebody", MessageSegment.text("inside") + MessageSegment.face("1"))
    forward = await bot.send_group_message(
        group_id=group, message=MessageSegment.forward([node], title="t", preview=["p"], summary="s")
    )
    told = await bot.get_message(**here, message_seq=forward.message_seq)
    inside = await bot.get_forwarded_messages(forward_id=told.message[0].data["forward_id"])
    await bot.send_group_message_reaction(group_id=group, message_seq=event.data.message_seq, reaction="76")
    await bot.set_group_essence_message(group_id=group, message_seq=event.data.message_seq)
    essence = await bot.get_group_essence_messages(group_id=group, page_index=0, page_size=10)
    await bot.recall_group_message(group_id=group, message_seq=sent.message_seq)
    await bot.set_group_member_card(group_id=group, user_id=user, card="card")
    await bot.set_group_member_mute(group_id=group, user_id=20002, duration=60)
    await bot.send_group_announcement(group_id=group, content="read this")
    announcements = await bot.get_group_announcements(group_id=group)
    file_id = await bot.upload_group_file(group_id=group, raw=b"content", file_name="a.txt")
    url = await bot.get_group_file_download_url(group_id=group, file_id=file_id)
    files = await bot.get_group_files(group_id=group)
    await bot.send_group_nudge(group_id=group, user_id=user)
    await bot.send_private_message(user_id=user, message="in private")
    requests = await bot.get_friend_requests()
    for request in requests:
        await bot.accept_friend_request(initiator_uid=request.initiator_uid)
    notifications = await bot.get_group_notifications()
    counts = map(len, (friends, groups, members, history, inside, announcements, files.files, requests))
    print("TOUR", me.uin, *counts, seen.message[1].type, len(essence.messages), len(notifications[0]), url)  # noqa: T201
    await tour.finish("the tour is over")


nonebot.run()
