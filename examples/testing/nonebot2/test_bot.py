def test_echo(sandbox, expect):
    sandbox.alice.says("/echo hello")
    expect.reply("hello")


def test_silence(sandbox, expect):
    sandbox.alice.says("hello")
    expect.silence(0.3)


def test_ban(sandbox, expect):
    bob = sandbox.bob.in_group(sandbox.playground)
    sandbox.alice.in_group(sandbox.playground).says(f"/ban [CQ:at,qq={bob.user_id}]")
    expect.action("set_group_ban", user_id=bob, duration=600, succeeded=True)
    assert bob.hears("done")


def test_only_admins_ban(sandbox, expect):
    sandbox.carol.in_group(sandbox.playground).says(f"/ban [CQ:at,qq={sandbox.bob.user_id}]")
    expect.reply("only admins may do that")
    expect.no_action("set_group_ban")


def test_cat(sandbox, expect):
    said = sandbox.alice.says("/cat")
    reply = expect.reply(to=said)
    assert reply.pictures and reply.reply_to == said.message_id
