"""Accounts and bots added and removed while the service runs, seen over real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lgtwist.app.configuration import AccountConfig, BotConfig, Config, parse
from lgtwist.app.service import LgtwistService
from tests.integration.listening_bots import Listener, Receiver
from tests.integration.rawclient import HandshakeRefused, RawClient

Value = TypeVar("Value")


def configuration(toml: str) -> Config:
    config = parse(toml)
    assert isinstance(config, Config), config
    return config


def account_of(toml: str) -> AccountConfig:
    return configuration(f"[[accounts]]\n{toml}").accounts[0]


def bot_of(toml: str) -> BotConfig:
    return configuration(f"[[accounts]]\nself_id=1\n[[accounts]]\nself_id=2\n[[bots]]\n{toml}").bots[0]


class ChangeTestCase(TestCase):
    """A service with the sandbox account 1 and the bot "first", whose token is "first"."""

    timeout = 30

    def setUp(self) -> Deferred[None]:
        self.folder = Path(self.mktemp()).absolute()
        return Deferred.fromCoroutine(self.start())

    async def start(self) -> None:
        config = configuration(
            f"""
            data_dir = "{self.folder}"
            [server]
            endpoints = ["tcp:0:interface=127.0.0.1"]
            [limits]
            close_timeout = "500ms"
            heartbeat_interval = "0s"
            [[accounts]]
            self_id = 1
            [[bots]]
            name = "first"
            access_token = "first"
            """
        )
        self.service = LgtwistService(config, reactor)
        self.service.prepare()
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.port = int(self.service.ports.urls()[0].rpartition(":")[2])

    async def blocking(self, do: Callable[[], Value]) -> Value:
        return await deferToThread(do)

    async def dial(self, token: str, path: str = "/", **headers: str) -> RawClient:
        """A connection that is open; its lifecycle is read where it has one."""
        shown = {"Authorization": f"Bearer {token}", **headers}
        client = await self.blocking(lambda: RawClient(None, path, shown, port=self.port))
        self.addCleanup(client.socket.close)
        return client

    async def refused(self, token: str, path: str = "/") -> int:
        """The status of a handshake that is refused."""
        try:
            await self.dial(token, path)
        except HandshakeRefused as refusal:
            return refusal.status
        raise AssertionError("let in")

    def publish(self, n: int, self_id: int = 1) -> None:
        self.service.directory.accounts[self_id].publish(b'{"post_type":"notice","n":%d}' % n)


class AccountTests(ChangeTestCase):
    async def come_and_go(self) -> None:
        first = await self.dial("first", "/1")
        self.assertEqual(await self.refused("first", "/2"), 404)
        for _ in range(3):
            self.service.add_account(account_of("self_id = 2"))
            second = await self.dial("first", "/2")
            answer = await self.blocking(lambda: second.ask("get_login_info"))  # noqa: B023
            self.assertEqual(answer["data"]["user_id"], 2)
            removed = self.service.remove_account(2)
            code, reason = await self.blocking(second.close_frame)
            self.assertEqual(code, 1001)
            self.assertIn("removed", reason)
            await self.blocking(second.send_close)
            await removed
            self.assertEqual(await self.refused("first", "/2"), 404)
        answer = await self.blocking(lambda: first.ask("get_login_info"))
        self.assertEqual(answer["data"]["user_id"], 1)
        self.publish(7)
        self.assertEqual((await self.blocking(lambda: first.event(post_type="notice")))["n"], 7)

    def test_an_account_comes_and_goes(self) -> Deferred[None]:
        """It is there at once, ends with 1001, and the connection of another account notices nothing."""
        return Deferred.fromCoroutine(self.come_and_go())

    async def implementation(self) -> None:
        self.service.add_account(account_of('type = "reverse-websocket"\nself_id = 2\naccess_token = "impl"'))
        link = await self.dial("impl", "/onebot/v11/ws", **{"X-Self-ID": "2", "X-Client-Role": "Universal"})
        asked = await self.blocking(link.message)
        self.assertEqual(asked["action"], "get_login_info")
        ready = {"status": "ok", "retcode": 0, "data": {"user_id": 2}, "echo": asked["echo"]}
        await self.blocking(lambda: link.send(json.dumps(ready)))
        await self.blocking(link.message)  # get_version_info, which is left unanswered
        bot = await self.dial("first", "/2")
        await self.blocking(lambda: bot.call("send_msg", "x"))
        self.assertEqual((await self.blocking(link.message))["action"], "send_msg")
        removed = self.service.remove_account(2)
        self.assertEqual((await self.blocking(bot.response))["retcode"], 1502)
        self.assertEqual((await self.blocking(link.close_frame))[0], 1001)
        self.assertEqual((await self.blocking(bot.close_frame))[0], 1001)
        await self.blocking(link.send_close)
        await self.blocking(bot.send_close)
        await removed

    def test_an_implementation_with_a_call_under_way(self) -> Deferred[None]:
        """Its link ends with 1001, the call as 1502, once, before the bot's connection ends."""
        return Deferred.fromCoroutine(self.implementation())

    def test_the_same_number_twice(self) -> None:
        """That is refused, and changes nothing."""
        self.assertRaises(ValueError, self.service.add_account, account_of("self_id = 1"))
        self.assertEqual(len(tuple(self.service.accounts)), 1)

    def test_a_world_that_is_none(self) -> None:
        """It is refused with a sentence, and nothing is there of it."""
        world = self.folder / "world.json"
        world.write_text("[]")
        wanted = account_of(f'self_id = 2\nworld = "{world}"')
        with self.assertRaisesRegex(Exception, "world"):
            self.service.add_account(wanted)
        self.assertNotIn(2, self.service.directory.accounts)
        self.assertIsNone(self.service.account_edge(2))
        world.unlink()


class BotTests(ChangeTestCase):
    async def come_and_go(self) -> None:
        first = await self.dial("first")
        for _ in range(3):
            self.assertEqual(await self.refused("second"), 403)
            self.service.add_bot(bot_of('name = "second"\naccess_token = "second"'))
            second = await self.dial("second")
            self.publish(1)
            await self.blocking(lambda: second.event(post_type="notice"))  # noqa: B023
            removed = self.service.remove_bot("second")
            self.assertEqual((await self.blocking(second.close_frame))[0], 1001)
            await self.blocking(second.send_close)
            await removed
        self.publish(2)
        for n in (1, 1, 1, 2):
            self.assertEqual((await self.blocking(lambda: first.event(post_type="notice")))["n"], n)

    def test_a_bot_comes_and_goes(self) -> Deferred[None]:
        """Its token opens the port while it is there; another bot misses nothing."""
        return Deferred.fromCoroutine(self.come_and_go())

    async def cursor(self) -> None:
        journalled = bot_of('name = "kept"\naccess_token = "kept"\ndelivery = "at-least-once"')
        self.service.add_bot(journalled)
        opened: Deferred[None] = Deferred()
        assert self.service.journal is not None
        self.service.journal.when_open(lambda: opened.callback(None))
        await opened
        bot = await self.dial("kept")
        self.publish(1)
        self.assertEqual((await self.blocking(lambda: bot.event(post_type="notice")))["n"], 1)
        self.assertEqual((await self.blocking(bot.frame))[0], 9, "a ping names the position")
        removed = self.service.remove_bot("kept")
        self.assertEqual((await self.blocking(bot.close_frame))[0], 1001)
        await self.blocking(bot.send_close)
        await removed
        self.service.add_bot(journalled)
        bot = await self.dial("kept")
        event = await self.blocking(lambda: bot.event(post_type="notice"))
        self.assertEqual(event["n"], 1, "it was not confirmed, so it comes again")

    def test_a_cursor_stays(self) -> Deferred[None]:
        """The first at-least-once bot brings a journal; removed and added again it misses nothing."""
        return Deferred.fromCoroutine(self.cursor())

    async def dialled(self) -> None:
        listener = Listener()
        self.addCleanup(listener.end)
        url = listener.url()
        self.service.add_bot(bot_of(f'name = "dialled"\nconnection = "reverse-websocket"\nurl = "{url}"'))
        peer = await self.blocking(listener.next)
        self.assertEqual((await self.blocking(peer.message))["meta_event_type"], "lifecycle")
        self.publish(1)
        self.assertEqual((await self.blocking(lambda: peer.event(post_type="notice")))["n"], 1)
        self.service.add_account(account_of("self_id = 2"))
        other = await self.blocking(listener.next)
        self.assertEqual((await self.blocking(other.message))["self_id"], 2)
        removed = self.service.remove_account(2)
        self.assertEqual((await self.blocking(other.close_frame))[0], 1001)
        await self.blocking(other.send_close)
        await self.blocking(other.read_to_end)
        await removed
        removed = self.service.remove_bot("dialled")
        self.assertEqual((await self.blocking(peer.close_frame))[0], 1001)
        await self.blocking(peer.send_close)
        await self.blocking(peer.read_to_end)
        await removed
        self.assertEqual(len(listener.dials), 2, "it is dialled no more")

    def test_a_bot_that_is_dialled(self) -> Deferred[None]:
        """It is dialled for each account there is, for one that comes, and no more for what goes."""
        return Deferred.fromCoroutine(self.dialled())

    async def posted(self) -> None:
        receiver = Receiver()
        self.addCleanup(receiver.stop)
        url = receiver.url()
        self.service.add_bot(bot_of(f'name = "hook"\nconnection = "http-post"\nurl = "{url}"'))
        self.service.add_account(account_of("self_id = 2"))
        self.publish(1)
        self.publish(2, self_id=2)
        await self.blocking(lambda: receiver.wait('"n":1'))
        await self.blocking(lambda: receiver.wait('"n":2'))
        await self.service.remove_account(2)
        await self.service.remove_bot("hook")
        self.publish(3)
        self.assertEqual(receiver.of('"n":3'), [])

    def test_a_webhook(self) -> Deferred[None]:
        """Events of an account that comes are posted too; nothing is once the bot is gone."""
        return Deferred.fromCoroutine(self.posted())

    async def new_account_for_all(self) -> None:
        first = await self.dial("first", "/1")
        self.service.add_account(account_of("self_id = 2"))
        second = await self.dial("first", "/2")
        self.publish(5, self_id=2)
        self.assertEqual((await self.blocking(lambda: second.event(post_type="notice")))["n"], 5)
        answer = await self.blocking(lambda: first.ask("get_status"))
        self.assertTrue(answer["data"]["online"])

    def test_a_bot_for_all_accounts_gets_a_new_one(self) -> Deferred[None]:
        """What no list names is open to it at once."""
        return Deferred.fromCoroutine(self.new_account_for_all())
