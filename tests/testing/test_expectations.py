"""What expectations find, what they pass over, and what they say where they fail."""

from __future__ import annotations

import asyncio
import re
import threading

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.testing.control import SandboxError
from lgtwist.testing.expectations import ExpectationFailed
from lgtwist.testing.observation import WaitCancelled, run_cancellable
from tests.testing.fakes import FakeBot, fake_sandbox


class ExpectationTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.sandbox, self.service, self.process = fake_sandbox()
        self.expect = self.sandbox.expect
        self.alice, self.bob = self.sandbox.alice, self.sandbox.bob

    def failure(self, function: object, *args: object, **kwargs: object) -> str:
        """The message of the failure of an expectation."""
        assert callable(function)
        return str(self.assertRaises(ExpectationFailed, function, *args, **kwargs))


class ReplyTests(ExpectationTestCase):
    def test_one_after_the_other(self) -> None:
        """Each message meets one expectation, also those that came before the test looked."""
        self.alice.says("a")
        self.service.say("1")
        self.service.say("2")
        self.assertEqual([self.expect.reply().text, self.expect.reply().text], ["1", "2"])
        self.failure(self.expect.reply)

    def test_what_does_not_match_is_passed_over(self) -> None:
        """The next expectation goes on behind what was found."""
        self.alice.says("a")
        for text in ("working", "done", "more"):
            self.service.say(text)
        self.assertEqual(self.expect.reply("done").message_id, 3)
        self.failure(self.expect.reply, "working")
        self.assertEqual(self.expect.reply().text, "more")

    def test_a_text_is_the_whole_message(self) -> None:
        """A part of it does not do, and the failure says what would."""
        self.alice.says("a")
        self.service.say(" hello, Alice ")
        self.assertIn("matching='hello'", self.failure(self.expect.reply, "hello"))
        self.assertEqual(self.expect.reply("hello, Alice").text, "hello, Alice")

    def test_late_from_the_test_before(self) -> None:
        """What the bot says before anybody has done something is no reply; it is a message."""
        self.service.say("to the test before")
        self.alice.says("a")
        self.failure(self.expect.reply)
        self.service.say("b")
        self.assertEqual(self.expect.message().text, "to the test before")
        self.assertEqual(self.expect.reply().text, "b")

    def test_matching(self) -> None:
        """By that name a text is a regular expression, or the message as it is."""
        self.alice.says("a")
        self.service.say("1+1=2, Alice?")
        self.assertIn("that matches /^2/", self.failure(self.expect.reply, matching="^2"))
        self.assertTrue(self.expect.reply(matching=r"\d, Alice"))
        self.service.say("1+1=2")
        self.assertTrue(self.expect.message(matching="1+1=2"))
        self.service.say("c")
        self.assertTrue(self.alice.hears(matching=re.compile("^c$")))
        self.service.say("d")
        self.assertTrue(self.expect.reply(matching=lambda message: message.text == "d"))
        self.assertIn("not both", str(self.assertRaises(TypeError, self.expect.reply, "a", matching="b")))
        error = self.assertRaises(ValueError, self.expect.reply, matching="(a")
        self.assertIn("matching='(a' is no regular expression", str(error))

    def test_somewhere_else(self) -> None:
        """The failure says where the bot said it instead."""
        self.alice.says("a")
        self.service.say("b", group_id=30001)
        self.assertIn("somewhere else: in Playground (30001)", self.failure(self.alice.hears, "b"))
        self.service.say("c", peer_id=20002)
        self.assertIn("somewhere else: to Bob (20002)", self.failure(self.expect.reply, "c"))
        self.assertNotIn("somewhere else", self.failure(self.expect.reply, "d"))

    def test_awaited(self) -> None:
        """What blocking methods return may be awaited, so an ``await`` in front of them does no harm."""

        async def converse() -> None:
            said = await self.alice.says("a")
            self.service.say("1")
            self.assertEqual((await self.expect.reply("1", to=said)).text, "1")
            self.service.say("2")
            self.assertEqual((await self.alice.hears("2")).text, "2")
            await (await self.bob.in_group()).pokes()
            self.assertEqual(await self.alice.uploads(b"c", "d"), {"flag": "a flag"})
            await self.expect.silence(0)
            await self.expect.no_action("set_group_ban", seconds=0)
            self.assertEqual(await self.alice.asks_to_join(30001), "a flag")

        asyncio.run(converse())

    def test_a_bot_in_the_loop_of_the_test(self) -> None:
        """A wait that would stop it is refused at once, and says what to use."""

        async def converse() -> None:
            self.process.attached[0].loop = asyncio.get_running_loop()  # type: ignore[attr-defined]
            self.alice.says("a")
            error = self.assertRaises(SandboxError, self.expect.reply, within=60)
            self.assertIn("use async_sandbox", str(error))

        self.process.attached.append(FakeBot())
        asyncio.run(converse())

    def test_patterns_and_functions(self) -> None:
        """A pattern is searched; a function is given the message."""
        self.alice.says("a")
        self.service.say("it is 21 degrees")
        self.failure(self.expect.reply, re.compile("^21"))
        self.failure(self.expect.reply, lambda message: message.user_id == 5)
        self.assertTrue(self.expect.reply(re.compile(r"\b21\b")))
        self.service.say("b")
        self.assertTrue(self.expect.reply(lambda message: message.text == "b"))
        self.service.say("c")
        self.assertRaises(TypeError, self.expect.reply, 5)

    def test_the_chat_in_which_somebody_spoke(self) -> None:
        """A reply stands there, unless the test names another one; ``message`` is of any chat."""
        self.alice.in_group().says("a")
        self.service.say("private")
        self.failure(self.expect.reply)
        self.assertEqual(self.expect.reply(to=self.alice).text, "private")
        self.service.say("in the group", group_id=30001)
        self.assertEqual(self.expect.reply().text, "in the group")
        self.service.say("to Bob", peer_id=20002)
        self.failure(self.expect.reply)
        self.assertEqual(self.expect.message().text, "to Bob")

    def test_to_a_message(self) -> None:
        """What is behind that message counts, in any order, but what was matched already."""
        early = self.alice.says("early")
        self.service.say("1")
        late = self.alice.says("late")
        self.service.say("3")
        self.service.say("2")
        self.assertEqual(self.expect.reply("2", to=late).text, "2")
        self.assertEqual(self.expect.reply("3", to=late).text, "3")
        self.failure(self.expect.reply, "1", to=late)
        one = self.expect.reply(to=early)
        self.assertEqual(one.text, "1")
        self.failure(self.expect.reply, to=one)
        self.failure(self.expect.reply, to=early)

    def test_it_waits(self) -> None:
        """What arrives while it waits is found, whatever arrives before."""
        self.alice.says("a")
        self.service.arriving += [
            lambda: self.bob.says("b"),
            lambda: self.service.say("no"),
            lambda: self.service.say("yes"),
        ]
        self.assertEqual(self.expect.reply("yes", to=self.alice, within=30).text, "yes")

    def test_an_earlier_test(self) -> None:
        """What was said before the world was made fresh does not count."""
        self.alice.says("a")
        self.service.say("1")
        self.sandbox.reset()
        self.failure(self.expect.message)


class HearsTests(ExpectationTestCase):
    def test_everybody_in_a_group_hears(self) -> None:
        """Each member hears each message once; ``reply`` goes on behind what somebody has heard."""
        alice, bob = self.alice.in_group(), self.bob.in_group()
        alice.says("a")
        self.service.say("1", group_id=30001)
        self.assertEqual([alice.hears().text, bob.hears("1").text], ["1", "1"])
        self.failure(alice.hears)
        self.failure(self.expect.reply)
        self.service.say("2", group_id=30001)
        self.expect.reply("2")
        self.failure(bob.hears)

    def test_in_private(self) -> None:
        """Nobody hears what the bot says to somebody else, or in a group."""
        self.service.say("to Bob", peer_id=20002)
        self.service.say("to all", group_id=30001)
        self.assertIn("for Alice", self.failure(self.alice.hears))
        self.assertEqual(self.bob.hears().text, "to Bob")
        self.failure(self.expect.reply, to=self.bob)


class SilenceTests(ExpectationTestCase):
    def test_silence(self) -> None:
        """What was said before the last thing that a person did, or that was expected, does not break it."""
        self.alice.says("a")
        self.service.say("1")
        self.bob.says("b")
        self.expect.silence(0)
        self.service.say("working")
        self.service.say("done")
        self.expect.message("done")
        self.expect.silence(0)
        self.service.say("more")
        self.assertIn(
            "expected silence for 0 s, and the bot said 'more'", self.failure(self.expect.silence, 0)
        )
        self.expect.silence(0, to=self.bob)
        self.alice.pokes()
        self.expect.silence(0)

    def test_it_waits(self) -> None:
        """Something that is said meanwhile breaks it at once."""
        self.alice.says("a")
        self.service.arriving.append(lambda: self.service.say("oh"))
        self.assertIn("the bot said 'oh'", self.failure(self.expect.silence, 30))

    def test_without_a_bot(self) -> None:
        """Silence because no bot is there is none."""
        self.service.connections["bot"] = 0
        self.assertIn("no bot is connected", self.failure(self.expect.silence, 0))
        self.assertIn("no bot is connected", self.failure(self.expect.no_action, "x", seconds=0))
        self.process.posts = True  # to a bot that has no connection
        self.expect.silence(0)


class ActionTests(ExpectationTestCase):
    def test_by_name_and_parameters(self) -> None:
        """Numbers and strings of them are equal; people and groups stand for their numbers."""
        self.service.call("set_group_ban", group_id=30001, user_id="20002", duration=60, enable=True)
        for wrong in (
            {"user_id": 20001},
            {"duration": 61},
            {"enable": 1},
            {"other": 1},
            {"duration": lambda seconds: seconds > 60},
            {"duration": None},
        ):
            self.failure(self.expect.action, "set_group_ban", **wrong)
        self.failure(self.expect.action, "set_group_kick")
        found = self.expect.action(
            "set_group_ban",
            user_id=self.bob,
            group_id=self.sandbox.playground,
            duration=lambda seconds: seconds == 60,
            enable="true",
            other=None,
        )
        self.assertEqual(found.params["user_id"], "20002")
        self.failure(self.expect.action, "set_group_ban")  # it has met an expectation

    def test_in_any_order(self) -> None:
        """The oldest that matches is taken; others stay."""
        self.service.call("get_msg", message_id=1)
        self.service.call("delete_msg", message_id=2)
        self.expect.action("delete_msg")
        self.assertEqual(self.expect.action("get_msg", message_id=1).params["message_id"], 1)

    def test_outcome(self) -> None:
        """Whether it was carried out."""
        self.service.call("set_group_kick", "failed", 103)
        self.service.call("set_group_kick", None)
        self.assertIn("that succeeds", self.failure(self.expect.action, "set_group_kick", succeeded=True))
        self.assertEqual(self.expect.action("set_group_kick", succeeded=False).retcode, 103)
        self.assertEqual(self.expect.action("set_group_kick").status, None)

    def test_no_action(self) -> None:
        """What was not expected, and not by these parameters."""
        self.service.call("set_group_kick", user_id=20001)
        self.expect.no_action("set_group_ban", seconds=0)
        self.expect.no_action("set_group_kick", user_id=20002, seconds=0)
        self.assertIn(
            "the bot called set_group_kick(user_id=20001) -> ok",
            self.failure(self.expect.no_action, "set_group_kick", seconds=0),
        )
        self.expect.action("set_group_kick")
        self.expect.no_action("set_group_kick", seconds=0)

    def test_it_waits(self) -> None:
        """What is called meanwhile is found."""
        self.service.arriving += [lambda: None, lambda: self.service.call("get_msg")]
        self.assertEqual(self.expect.action("get_msg", within=30).name, "get_msg")


class FailureTests(ExpectationTestCase):
    def test_all_that_happened(self) -> None:
        """The conversation, the actions, and the end of the bot's log since the test began."""
        bot = FakeBot()
        self.process.attached.append(bot)
        self.sandbox.reset()
        bot.lines += "Traceback: it is broken\n"
        self.alice.in_group().says("ping")
        self.service.say("pang", group_id=30001)
        self.service.say("first\nsecond")
        self.service.messages[-1]["recalled"] = True
        self.service.call("send_msg", "failed", 1200, group_id=30001, message="pong")
        self.expect.reply("pang")
        said = self.failure(self.expect.reply, "pong", within=0)
        lines = [re.sub(r"\d\d:\d\d:\d\d", "TIME", line) for line in said.splitlines()]
        self.assertEqual(
            lines,
            [
                "expected a reply 'pong' within 0 s",
                "",
                "What was said:",
                "  TIME #1 Alice (20001) in Playground (30001): ping",
                "  TIME #2 bot to Playground (30001): pang   <- as expected",
                "  TIME #3 bot to Alice (20001): first   <- recalled",
                "        second",
                "",
                "What the bot called:",
                '  send_msg(group_id=30001, message="pong") -> failed 1200',
                "",
                "The end of the log of bot 'bot' (running):",
                "  Traceback: it is broken",
            ],
        )

    def test_without_a_bot(self) -> None:
        """Where none is connected, that comes first, and the log of lgtwist too."""
        self.service.connections["bot"] = 0
        said = self.failure(self.expect.reply)
        self.assertIn("no bot is connected: nothing has dialled ws://127.0.0.1:1/ with", said)
        self.assertIn("the access token of 'bot', and the test has started no bot", said)
        self.assertIn("The end of the log of lgtwist (running):\n  a line of lgtwist", said)
        bot = FakeBot()
        self.process.attached.append(bot)
        self.assertIn("'bot' runs, and has not connected to", self.failure(self.expect.reply))

    def test_a_bot_that_came_late(self) -> None:
        """It could not know what was said before; a bot that answers could."""
        self.service.connections["bot"] = 0
        self.alice.says("a")
        self.service.connections["bot"] = 1
        self.assertIn("no bot was connected when", self.failure(self.expect.reply))
        self.service.say("but")
        self.assertNotIn("no bot was connected when", self.failure(self.expect.reply, "x"))
        self.service.connections["bot"] = 0
        self.alice.says("again")
        self.service.connections["bot"] = 1  # it was away for a moment, as after a link that broke
        self.assertIn("no bot was connected when", self.failure(self.expect.reply, "x"))

    def test_a_bot_that_ended(self) -> None:
        """Nobody waits for it any longer, and all of its log is shown."""
        bot = FakeBot()
        self.process.attached.append(bot)
        self.sandbox.reset()
        bot.end = "ended with status 1"
        self.service.connections["bot"] = 0
        said = self.failure(self.expect.reply, within=600)
        self.assertIn("no bot is connected: bot 'bot' ended with status 1", said)
        self.assertIn("log of bot 'bot' (ended with status 1):\n  before the test", said)

    def test_the_service_ended(self) -> None:
        """The report says so rather than to fail."""
        self.service.alive = False
        self.assertIn("lgtwist does not answer", self.sandbox.report())

    def test_long_things(self) -> None:
        """A long log, long lines, messages and parameters are cut; links of pictures are left out."""
        bot = FakeBot()
        self.process.attached.append(bot)
        self.sandbox.reset()
        bot.lines += "".join(f"line {number}\n" for number in range(1000)) + "x" * 10_000
        self.service.say("y" * 10_000)
        self.service.say("[CQ:image,file=a.png,url=http://127.0.0.1/b?c,file_size=5]")
        self.service.call("send_msg", message="z" * 10_000)
        said = self.sandbox.report()
        self.assertLess(len(said), 6000)
        self.assertIn("line 999", said)
        self.assertIn("[CQ:image,file=a.png]", said)

    def test_cancelled(self) -> None:
        """A wait of a thread that nobody waits for any more ends."""
        cancelled = threading.Event()
        self.service.arriving.append(cancelled.set)
        self.assertRaises(WaitCancelled, run_cancellable, cancelled, lambda: self.expect.reply(within=600))


class WaitForBotTests(ExpectationTestCase):
    def test_connected(self) -> None:
        """Any bot, where none was attached; else each of these."""
        self.sandbox.wait_for_bot(within=0)
        self.process.attached.append(FakeBot())
        self.service.connections = {"bot": 0, "other": 1}
        said = self.failure(self.sandbox.wait_for_bot, within=0)
        self.assertIn("no bot is connected: 'bot' has not dialled ws://127.0.0.1:1/", said)
        self.sandbox.wait_for_bot("other", within=0)

    def test_it_ended(self) -> None:
        """That is said at once."""
        bot = FakeBot()
        bot.end = "ended with status 3"
        self.process.attached.append(bot)
        self.service.connections["bot"] = 0
        self.assertIn("'bot' ended with status 3", self.failure(self.sandbox.wait_for_bot, within=600))

    def test_a_bot_that_lgtwist_posts_to(self) -> None:
        """It has no connection to wait for."""
        self.process.posts = True
        self.process.attached.append(FakeBot())
        self.service.connections["bot"] = 0
        self.sandbox.wait_for_bot(within=0)
