import re

import bot


async def test_echo(async_sandbox):
    await async_sandbox.alice.says("/echo hello")
    await async_sandbox.alice.hears("hello")


async def test_ban(async_sandbox):
    alice, bob = async_sandbox.alice.in_group(), async_sandbox.bob.in_group()
    await alice.says(f"/ban [CQ:at,qq={bob.user_id}]")
    await async_sandbox.expect.action("set_group_ban", user_id=bob.user_id, succeeded=True)
    await bob.hears("done")


async def test_weather(async_sandbox, monkeypatch):
    async def picture(place):
        return b"\x89PNG\r\n\x1a\n" + place.encode()

    monkeypatch.setattr(bot, "weather_map", picture)
    said = await async_sandbox.alice.says("/weather Beijing")
    reply = await async_sandbox.expect.reply(to=said)
    assert reply.pictures and reply.reply_to == said.message_id


async def test_a_ban_that_fails(async_sandbox):
    async with async_sandbox.faults.fail("set_group_ban", retcode=1200, message="bob is the owner"):
        await async_sandbox.alice.in_group().says("/ban [CQ:at,qq=20002]")
        await async_sandbox.expect.reply(re.compile("that did not work: bob is the owner"))


async def test_a_link_that_breaks_in_the_middle_of_an_answer(async_sandbox, monkeypatch):
    async def picture(place):
        return b"\x89PNG\r\n\x1a\n" + place.encode()

    monkeypatch.setattr(bot, "weather_map", picture)
    async with async_sandbox.faults.break_link(during="send_msg", part="half", carried_out=False):
        await async_sandbox.alice.says("/weather Beijing")
        assert (await async_sandbox.expect.reply(within=5)).pictures


async def test_an_account_that_is_logged_out(async_sandbox):
    async with async_sandbox.faults.offline("kicked by another client"):
        await async_sandbox.alice.says("/echo into the void")
        await async_sandbox.expect.silence(0.3)
    await async_sandbox.alice.says("/echo back again")
    await async_sandbox.alice.hears("back again")
