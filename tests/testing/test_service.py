"""A service of its own: started, changed, stopped, gone with the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.testing import Sandbox, SandboxError, SandboxProcess, SandboxRefused
from tests.integration.shared import SharedTestCase
from tests.processes import PATIENCE, ROOT, wait_until
from tests.testing.running import EchoBot

PARENT = """
import sys, time
from lgtwist.testing import SandboxProcess
process = SandboxProcess(sys.argv[1]).start()
print(process.pid, flush=True)
time.sleep(600)
"""


class SharedProcess(SandboxProcess):
    end = SandboxProcess.close


class RunningTests(SharedTestCase):
    def start_shared(self, folder: Path) -> SharedProcess:
        process = SharedProcess(folder)
        process.start()
        return process

    def setUp(self) -> None:
        super().setUp()
        self.process: SandboxProcess = self.shared
        self.assertIs(self.process.start(), self.process)  # harmless while it runs
        self.sandbox = Sandbox(self.process)
        self.addCleanup(self.sandbox.client.close)

    def test_a_fresh_world(self) -> None:
        """People and faults are as at first; numbers of messages and people are new."""
        sandbox = self.sandbox
        first = sandbox.alice.says("a")
        eve = sandbox.person("Eve")
        sandbox.alice.in_group().kicks(sandbox.bob)
        sandbox.faults.fail("send_msg", times=None)
        sandbox.faults.offline()
        sandbox.reset()
        self.assertEqual(sandbox.transcript(), [])
        self.assertEqual(sandbox.client.get("faults"), {"online": True, "faults": []})
        sandbox.bob.in_group().says("still here")
        self.assertRaises(SandboxRefused, eve.says, "a")
        self.assertRaises(SandboxError, sandbox.person_named, "Eve")
        self.assertGreater(sandbox.alice.says("b").message_id, first.message_id)
        self.assertNotEqual(sandbox.person("Eve").user_id, eve.user_id)

    def test_refusals(self) -> None:
        """What the platform would not do is an error with its sentence."""
        sandbox = self.sandbox
        error = self.assertRaises(SandboxRefused, sandbox.bob.in_group().kicks, sandbox.alice)
        self.assertEqual(error.status, 400)
        self.assertIn("20002", str(error))
        error = self.assertRaises(SandboxRefused, sandbox.faults.delay, "x", -1)
        self.assertIn("seconds", str(error))

    def test_faults(self) -> None:
        """A fault is cleared at the end of its block; how often it was applied is known then, too."""
        faults, bot = self.sandbox.faults, EchoBot(self.process, self.process.folder)
        self.addCleanup(bot.end)
        self.sandbox.wait_for_bot()
        with faults.fail("send_msg", times=None) as fault:
            self.sandbox.alice.says("/echo a")
            self.assertEqual(self.sandbox.expect.action("send_msg", succeeded=False).fault, fault.id)
        self.assertEqual(fault.applied, 1)
        delay, offline = faults.delay("send_*", 0.01), faults.offline("kicked", retcode=1234)
        self.sandbox.alice.says("/echo lost")
        faults.online()
        self.assertEqual((offline.kind, delay.applied), ("offline", 0))
        self.sandbox.alice.says("/echo b")
        self.sandbox.expect.reply("b")
        once = faults.break_link("send_msg", part="half", carried_out=False)
        self.sandbox.alice.says("/echo c")
        self.sandbox.expect.action("send_msg", message="c", within=PATIENCE)
        self.sandbox.wait_for_bot()
        self.assertEqual(once.applied, 1)
        faults.drop_events()
        faults.duplicate_events(times=2)
        faults.delay_events(0.1)
        faults.clear()
        self.assertEqual((once.applied, delay.applied), (1, 2))
        self.assertEqual(self.sandbox.client.get("faults")["faults"], [])
        with faults.offline(down=True):
            self.process.restart()

    def test_everything_people_do(self) -> None:
        """The service takes each of it."""
        sandbox = self.sandbox
        alice, bob, carol, group = sandbox.alice, sandbox.bob, sandbox.carol, sandbox.playground
        eve = sandbox.person("Eve", friend=False, sex="female", age=30)
        garden = sandbox.group("Garden", [eve, alice], owner=alice)
        closed = sandbox.group("Closed", [alice], bot=None)
        said = eve.in_group(garden).says(
            "hi", at_bot=True, mentions=[alice], reply_to=alice.in_group(garden).says("a"), picture=b"GIF89a"
        )
        shown = sandbox.transcript()[-1]
        self.assertEqual(
            (shown.message_id, shown.text, shown.mentions), (said.message_id, "hi", [10001, 20001])
        )
        self.assertEqual([sandbox.fetch(url) for url in shown.pictures], [b"GIF89a"])
        self.assertRaises(SandboxError, sandbox.fetch, "http://example.org/a.gif")
        self.assertEqual(shown.reply_to, said.message_id - 1)
        eve.in_group(garden).reacts(said)
        alice.in_group(garden).marks_essence(said)
        alice.in_group(garden).recalls(said)
        self.assertTrue(sandbox.transcript()[-1].recalled)
        self.assertIn("file_id", eve.in_group(garden).uploads(b"abc", "a.txt"))
        alice.uploads(__file__)
        alice.pokes()
        eve.in_group(garden).pokes(alice)
        forwarded = alice.forwards([(bob, "a"), (carol, "b")])
        self.assertTrue(forwarded.forward_id)
        names = [node["data"]["nickname"] for node in sandbox.nodes_of(forwarded)]
        self.assertEqual(names, ["Bob", "Carol"])
        flags = {carol.asks_to_be_friend("me"), bob.asks_to_join(garden), alice.invites_bot_to(closed)}
        self.assertEqual(len(flags), 3)
        carol.becomes_friend()
        member = bob.joins(garden)
        member.sets_card("B")
        member.gets_title("Sir")
        alice.in_group(garden).makes_admin(member)
        alice.in_group(garden).bans(member, 60)
        member.leaves()
        garden.bans_everybody()
        garden.is_renamed("Park")
        alice.in_group(group).kicks()
        sandbox.event({"post_type": "notice", "notice_type": "test"})

    def test_changing_the_bots(self) -> None:
        """Bots are added and removed while it runs; a mistake is told, and changes nothing."""
        self.process.add_bot(name="other", accounts=[10001], events={"post_type": ["message"]})
        self.assertEqual(self.sandbox.client.connected_bots(), {"bot": 0, "other": 0})
        token = self.process.access_token_of("other")
        self.assertNotIn(token, ("", self.process.access_token))
        error = self.assertRaises(SandboxError, self.process.add_bot, name="third", nonsense=1)
        self.assertIn("nonsense", str(error))
        self.assertEqual(self.process.bot_names, ("bot", "other"))
        self.process.add_bot(
            name="other", access_token=None, connection="http-post", url="http://127.0.0.1:9/"
        )
        self.assertTrue(self.process.posts_to("other"))
        self.process.remove_bot("other")
        self.assertEqual(self.sandbox.client.connected_bots(), {"bot": 0})
        self.assertRaises(SandboxError, self.process.access_token_of, "other")

    def test_a_restart(self) -> None:
        """The port, the tokens and the world stay; clients find it again, and so does the bot."""
        bot = EchoBot(self.process, self.process.folder)
        self.addCleanup(bot.end)
        self.sandbox.wait_for_bot()
        said, port = self.sandbox.alice.says("/echo a"), self.process.port
        self.sandbox.expect.reply("a")
        self.process.restart()
        self.assertEqual(self.process.port, port)
        self.assertEqual([one.message_id for one in self.sandbox.transcript()][:1], [said.message_id])
        self.sandbox.wait_for_bot()
        self.sandbox.alice.says("/echo b")
        self.sandbox.expect.reply("b", within=PATIENCE)
        self.assertIn("the connection is lost", bot.log())

    def test_a_restart_of_a_fresh_world(self) -> None:
        """Messages get numbers above those from before, so that expectations find them."""
        self.sandbox.alice.says("a")
        last = self.sandbox.alice.says("b").message_id
        self.sandbox.reset()
        self.process.restart()
        self.assertGreater(self.sandbox.alice.says("c").message_id, last)
        self.assertEqual([one.text for one in self.sandbox.transcript()], ["c"])

    def test_after_its_end(self) -> None:
        """Who asks it is told, with its log; a bot that came with it is not asked for."""
        self.process.stop(kill=True)
        self.process.stop()
        error = self.assertRaises(SandboxError, self.sandbox.alice.says, "a")
        self.assertIn("does not answer", str(error))
        self.assertIn("lgtwist does not run any more", str(error))


class StartTests(SynchronousTestCase):
    def folder(self) -> Path:
        return Path(self.mktemp()).absolute()

    def test_gone_with_its_parent(self) -> None:
        """A process that is killed leaves no service behind."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(
            [sys.executable, "-c", PARENT, str(self.folder())], stdout=subprocess.PIPE, env=environment
        ) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            os.kill(pid, 0)
            parent.send_signal(signal.SIGKILL)
        wait_until("the service ends", lambda: not Path(f"/proc/{pid}").exists())

    def test_mistakes(self) -> None:
        """A service that does not start says why."""
        process = SandboxProcess(self.folder(), toml="[limits]\nnonsense = 1")
        error = self.assertRaises(SandboxError, process.start)
        self.assertIn("limits.nonsense", str(error))
        self.assertFalse(process.alive)
        self.assertRaises(SandboxError, lambda: process.url)
        process = SandboxProcess(toml="[limits]\nnonsense = 1")
        with self.assertRaises(SandboxError), process:
            pass
        self.assertFalse(process.folder.exists())

    def test_an_environment_that_is_strict(self) -> None:
        """What is to stop the tests at a warning does not stop the service at one of its packages."""
        self.patch(os, "environ", {**os.environ, "PYTHONWARNINGS": "error", "PYTHONINSPECT": "1"})
        with SandboxProcess(self.mktemp()) as process:
            self.assertTrue(process.alive)

    def test_accounts_and_worlds(self) -> None:
        """Several accounts, and a world of one's own; values that TOML must escape."""
        world = self.folder()
        world.write_text('{"self_id": 1, "people": [{"user_id": 5, "nickname": "Dave"}]}')
        bots = [
            {"name": 'a "bot"', "access_token": "\\n\U0001f600"},
            {"name": "open", "access_token": None},
        ]
        log = self.folder()
        with SandboxProcess(
            accounts=[10001, {"self_id": 10002}], bots=bots, world=world, log_path=log
        ) as process:
            folder = process.folder
            self.assertEqual(process.access_token, "\\n\U0001f600")
            self.assertEqual(process.access_token_of("open"), "")
            first, second = Sandbox(process), Sandbox(process, 10002)
            first.person_named("Dave").says("one")
            self.assertEqual(second.transcript(), [])
            self.assertRaises(SandboxError, process.first_world, 5)
            self.assertEqual(set(first.client.connected_bots()), {'a "bot"', "open"})
            first.client.close()
            second.client.close()
        self.assertIn("account 10002 is up", log.read_text("utf-8"))
        self.assertFalse(folder.exists())
