import re


def test_echo(sandbox, expect):
    sandbox.alice.says("/echo hello")
    expect.reply("hello")


def test_ban(sandbox, expect):
    bob = sandbox.bob.in_group()
    sandbox.alice.in_group().says(f"/ban [CQ:at,qq={bob.user_id}]")
    expect.action("set_group_ban", user_id=bob, duration=600, succeeded=True)
    bob.hears("done")


def test_cat(sandbox, expect):
    said = sandbox.alice.says("/cat")
    reply = expect.reply(to=said)
    assert reply.pictures and reply.reply_to == said.message_id


def test_a_ban_that_fails(sandbox, expect):
    with sandbox.faults.fail("set_group_ban", retcode=1200, message="the owner cannot be banned"):
        sandbox.alice.in_group().says(f"/ban [CQ:at,qq={sandbox.bob.user_id}]")
        expect.reply(re.compile("that did not work"))


def test_a_link_that_breaks_in_the_middle_of_an_answer(sandbox, expect):
    with sandbox.faults.break_link(during="send_private_msg", part="half", carried_out=False):
        sandbox.alice.says("/cat")
        assert expect.reply().pictures


def test_an_account_that_is_logged_out(sandbox, expect):
    with sandbox.faults.offline("kicked by another client"):
        sandbox.alice.says("/echo into the void")
        expect.silence(0.3)
    sandbox.alice.says("/echo back again")
    expect.reply("back again")


def test_a_crash(sandbox, expect, bot):
    bot.restart(kill=True)
    sandbox.alice.says("/echo and now")
    expect.reply("and now")
