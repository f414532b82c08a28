"""Does the bot survive what happens on a bad day?"""

import re


def test_a_ban_that_fails(sandbox, expect):
    with sandbox.faults.fail("set_group_ban", retcode=1200, message="the owner cannot be banned"):
        sandbox.alice.in_group().says(f"/ban [CQ:at,qq={sandbox.bob.user_id}]")
        expect.reply(re.compile("that did not work: the owner cannot be banned"))


def test_a_link_that_breaks_in_the_middle_of_an_answer(sandbox, expect):
    with sandbox.faults.break_link(during="send_msg", carried_out=False):
        sandbox.alice.says("/cat")
        assert expect.reply(within=10).pictures  # NoneBot2 dials again after 3 s


def test_an_account_that_is_logged_out(sandbox, expect):
    with sandbox.faults.offline("kicked by another client"):
        sandbox.alice.says("/echo into the void")
        expect.silence(0.3)
    sandbox.alice.says("/echo back again")
    expect.reply("back again")


def test_a_restart(sandbox, expect, bot):
    with bot.stopped():
        sandbox.alice.says("/echo while it is away")
    expect.silence(0.3)
    sandbox.alice.says("/echo and now")
    expect.reply("and now")
