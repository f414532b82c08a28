"""A configuration that is changed while the service runs, by SIGHUP, seen from outside."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import trustme

from tests.integration.certificates import Authority
from tests.integration.listening_bots import Listener, Receiver
from tests.integration.rawclient import PING, PONG, Ended, HandshakeRefused, RawClient
from tests.integration.running import ServiceTestCase, wait_until
from tests.integration.test_nonebot import ALICE, MISSING, NoneBot
from tests.processes import free_port

#: A bot that every configuration here has, and whose connection must go on.
FIRST = '[[bots]]\nname = "first"\naccess_token = "token-of-first"\n'
SANDBOX = "[[accounts]]\nself_id = 10001\n"
LIMITS = '[limits]\nclose_timeout = "500ms"\nheartbeat_interval = "0s"\n'


REVERSE = '[[accounts]]\ntype = "reverse-websocket"\nself_id = 5\naccess_token = "token-of-impl"\n'
IMPLEMENTATION = {"Authorization": "Bearer token-of-impl", "X-Self-ID": "5", "X-Client-Role": "Universal"}


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer token-of-{name}"}


def bot(name: str, *lines: str) -> str:
    return "\n".join([f'[[bots]]\nname = "{name}"\naccess_token = "token-of-{name}"', *lines, ""])


class ReloadTestCase(ServiceTestCase):
    """One service whose configuration is written anew."""

    toml = SANDBOX + FIRST + LIMITS

    def setUp(self) -> None:
        super().setUp()
        self.first = self.dial("first")

    def write(self, toml: str, endpoints: list[str] | None = None, server: str = "") -> None:
        """Write the configuration; what is not given stays as it was at the start."""
        listening = [f"tcp:{self.service.port}:interface=127.0.0.1"] if endpoints is None else endpoints
        whole = self.service.folder / "written.toml"
        whole.write_text(
            f'data_dir = "{self.service.folder / "data"}"\n[server]\n'
            f"endpoints = {json.dumps(listening)}\n{server}\n{toml}\n"
        )
        whole.replace(self.service.config_path)  # a reload under way reads all of the old one or of this

    def lines(self) -> list[str]:
        """What was logged of reloads."""
        return [line for line in self.service.log().splitlines() if "reload: " in line]

    def sighup(self) -> str:
        """Let it read the configuration again; the last line that it logs of that."""
        before = len(self.lines())
        self.service.send_signal(signal.SIGHUP)
        wait_until("it says what it did", lambda: len(self.lines()) > before)
        return self.lines()[-1]

    def change(self, toml: str, **others: Any) -> str:
        """Write and read again."""
        self.write(toml, **others)
        return self.sighup()

    def dial(self, name: str, path: str = "/", **more: Any) -> RawClient:
        client = RawClient(self.service, path, bearer(name), **more)
        self.addCleanup(client.socket.close)
        return client

    def status(self, name: str, path: str = "/") -> int:
        """What a handshake is answered with."""
        try:
            self.dial(name, path)
        except HandshakeRefused as refusal:
            return refusal.status
        return 101

    def publish(self, n: int, self_id: int = 10001) -> None:
        self.service.inject({"post_type": "notice", "n": n}, self_id)

    def assert_first_goes_on(self) -> None:
        """The first bot's connection still carries actions and events."""
        self.assertEqual(self.first.ask("get_status")["data"]["online"], True)
        self.publish(99)
        self.assertEqual(self.first.event(post_type="notice", n=99)["n"], 99)


class Conversation(ServiceTestCase):
    """A NoneBot2 in conversation while everything else changes."""

    toml = SANDBOX + FIRST.replace("first", "nonebot")

    if MISSING:
        skip = f"not installed: {', '.join(MISSING)}"

    def answer(self, link: RawClient, action: str, data: Any, asked: Any = None) -> None:
        """Answer a request that an implementation gets, the next one by default."""
        asked = link.message() if asked is None else asked
        self.assertEqual(asked["action"], action)
        link.send(json.dumps({"status": "ok", "retcode": 0, "data": data, "echo": asked["echo"]}))

    def test_twenty_changes(self) -> None:
        """Its connection, its call and its cursor go on, whatever is added, changed and removed."""
        service = self.service
        kept = REVERSE + bot("nonebot", 'delivery = "at-least-once"')
        endpoint = f"tcp:{service.port}:interface=127.0.0.1"
        base = f'data_dir = "{service.folder / "data"}"\n[server]\nendpoints = ["{endpoint}"]\n'
        service.config_path.write_text(base + SANDBOX + kept)
        service.send_signal(signal.SIGHUP)
        wait_until("the bot is at-least-once", lambda: "reload: " in service.log())
        program = NoneBot(
            Path(self.mktemp()).absolute(),
            {"ONEBOT_WS_URLS": f'["{service.url()}"]', "ONEBOT_ACCESS_TOKEN": "token-of-nonebot"},
        )
        self.addCleanup(program.end)
        program.wait_connected(1)
        listener = Listener()
        self.addCleanup(listener.end)
        implementation = RawClient(service, "/onebot/v11/ws", IMPLEMENTATION)
        self.addCleanup(implementation.socket.close)
        self.answer(implementation, "get_login_info", {"user_id": 5, "nickname": "five"})
        wait_until("account 5 is up", service.ready)
        slow = RawClient(service, "/5/api", bearer("nonebot"))
        self.addCleanup(slow.socket.close)
        slow.call("get_slow", echo="under way")
        while (under_way := implementation.message())["action"] != "get_slow":
            pass  # what lgtwist itself asks
        caller = RawClient(service, "/api", bearer("nonebot"))  # the events are the program's alone
        self.addCleanup(caller.socket.close)
        for number in range(20):
            others = [
                "[[accounts]]\nself_id = 20\n" if number % 2 else "",
                "[[accounts]]\nself_id = 30\n"
                f'type = "forward-websocket"\nurl = "ws://127.0.0.1:{1 + number}/"\n',
                bot("other", f'message_format = "{("array", "string")[number % 2]}"') if number % 3 else "",
                bot(
                    "dialled",
                    'connection = "reverse-websocket"',
                    f'url = "{listener.url(f"/{number // 4}")}"',
                ),
            ]
            service.config_path.write_text(
                base + SANDBOX + others[0] + others[1] + kept + others[2] + others[3]
            )
            done = service.log().count("reload: ")
            asked = service.say(ALICE, f"/echo word {number}")
            service.send_signal(signal.SIGHUP)
            wait_until("it has reloaded", lambda done=done: service.log().count("reload: ") > done)  # type: ignore[misc]
            self.assertEqual(caller.ask("get_status")["retcode"], 0)
            answers = wait_until(
                "the bot answers",
                lambda asked=asked: [m for m in service.transcript(asked, wait=1) if m["from_bot"]],  # type: ignore[misc]
            )
            self.assertEqual([m["raw_message"] for m in answers], [f"word {number}"])
        self.answer(implementation, "get_slow", 1, under_way)
        self.assertEqual(slow.message(), {"status": "ok", "retcode": 0, "data": 1, "echo": "under way"})
        self.assertEqual(program.times_connected(), 1)
        wait_until(
            "all is confirmed",
            lambda: (
                'lgtwist_bot_backlog_events{account="10001",bot="nonebot"} 0.0' in service.http("/metrics")[1]
            ),
        )


class Rows(ReloadTestCase):
    """The rows of the contract's table."""

    def test_nothing(self) -> None:
        """An unchanged file changes nothing, and says so."""
        self.assertIn("nothing changed", self.sighup())
        self.assert_first_goes_on()

    def test_in_place(self) -> None:
        """Actions, events and the form count from the next one on; the connection stays."""
        self.change(SANDBOX + bot("first", 'actions = { deny = ["get_status"] }') + LIMITS)
        self.assertEqual(self.first.ask("get_status")["retcode"], 1403)
        self.change(SANDBOX + bot("first", 'events = { post_type = ["message"] }') + LIMITS)
        self.assertEqual(self.first.ask("get_status")["retcode"], 0)
        self.publish(1)
        self.change(SANDBOX + bot("first", 'message_format = "string"') + LIMITS)
        self.publish(2)
        self.assertEqual(self.first.event(post_type="notice")["n"], 2)
        self.service.say(ALICE, [{"type": "face", "data": {"id": "1"}}])
        self.assertEqual(self.first.event(post_type="message")["message"], "[CQ:face,id=1]")

    def test_delivery(self) -> None:
        """A live bot becomes at-least-once, and live again, on the same connection."""
        self.change(SANDBOX + bot("first", 'delivery = "at-least-once"') + LIMITS)
        self.publish(1)
        self.assertEqual(self.first.event(post_type="notice")["n"], 1)
        opcode, position = self.first.frame()
        self.assertEqual(opcode, PING)
        self.first.send(position, PONG)
        self.first.socket.close()
        self.publish(2)
        again = self.dial("first")
        self.assertEqual(again.event(post_type="notice")["n"], 2)
        self.change(SANDBOX + FIRST + LIMITS)
        self.publish(3)
        self.assertEqual(again.event(post_type="notice", n=3)["n"], 3)

    def test_tokens(self) -> None:
        """What an old token let in ends with 1008; the new one is let in, the old one is not."""
        self.change(SANDBOX + FIRST.replace("token-of-first", "token-of-second") + LIMITS)
        self.assertEqual(self.first.close_frame()[0], 1008)
        self.assertEqual(self.status("first"), 403)
        self.assertEqual(self.status("second"), 101)

    def test_an_account_taken_away(self) -> None:
        """The bot's connections to it end with 1008, and no others."""
        two = SANDBOX + "[[accounts]]\nself_id = 2\n"
        self.change(two + FIRST + LIMITS)
        other = self.dial("first", "/2")
        self.change(two + bot("first", "accounts = [10001]") + LIMITS)
        self.assertEqual(other.close_frame()[0], 1008)
        self.assertEqual(self.status("first", "/2"), 403)
        self.assert_first_goes_on()
        self.change(two + FIRST + LIMITS)
        self.assertEqual(self.status("first", "/2"), 101)

    def test_made_anew(self) -> None:
        """Another url of a bot that is dialled: 1012, and the new one is dialled."""
        listener = Listener()
        self.addCleanup(listener.end)
        dialled = bot("dialled", 'connection = "reverse-websocket"', f'url = "{listener.url("/one")}"')
        self.change(SANDBOX + FIRST + dialled + LIMITS)
        peer = listener.next()
        self.assertEqual(peer.message()["meta_event_type"], "lifecycle")
        self.change(SANDBOX + FIRST + dialled.replace("/one", "/two") + LIMITS)
        self.assertEqual(peer.close_frame()[0], 1012)
        peer.send_close(1012)
        peer.socket.close()
        self.assertEqual(listener.next().dial.path, "/two")
        self.assert_first_goes_on()

    def test_added_and_removed(self) -> None:
        """A bot and an account come and go; their connections end with 1001."""
        both = SANDBOX + "[[accounts]]\nself_id = 2\n" + FIRST + bot("second") + LIMITS
        line = self.change(both)
        self.assertIn("account 2 added", line)
        self.assertIn('bot "second" added', line)
        second, of_two = self.dial("second"), self.dial("first", "/2")
        line = self.change(SANDBOX + FIRST + LIMITS)
        self.assertIn("account 2 removed", line)
        self.assertEqual(second.close_frame()[0], 1001)
        self.assertEqual(of_two.close_frame()[0], 1001)
        self.assert_first_goes_on()

    def test_a_bot_added_again_lost_nothing(self) -> None:
        """The cursor of an at-least-once bot stays while it is not in the file."""
        kept = bot("kept", 'delivery = "at-least-once"')
        self.change(SANDBOX + FIRST + kept + LIMITS)
        client = self.dial("kept")
        self.publish(1)
        self.assertEqual(client.event(post_type="notice")["n"], 1)
        opcode, position = client.frame()
        self.assertEqual(opcode, PING)
        client.send(position, PONG)
        wait_until(
            "it is confirmed",
            lambda: (
                'lgtwist_confirmed_events_total{account="10001",bot="kept"} 1.0'
                in self.service.http("/metrics")[1]
            ),
        )
        self.change(SANDBOX + FIRST + LIMITS)
        self.publish(2)
        self.change(SANDBOX + FIRST + kept + LIMITS)
        self.assertEqual(self.dial("kept").event(post_type="notice")["n"], 2)

    def test_the_order_of_accounts(self) -> None:
        """The first one is the default account, also when it is added later; connections stay."""
        two = "[[accounts]]\nself_id = 2\n"
        self.assertIn("account 2 added", self.change(two + SANDBOX + FIRST + LIMITS))
        self.assertEqual(self.dial("first").message()["self_id"], 2)
        self.assertIn("the order of accounts", self.change(SANDBOX + two + FIRST + LIMITS))
        self.assertEqual(self.dial("first").message()["self_id"], 10001)
        self.assert_first_goes_on()

    def test_a_token_that_another_bot_takes(self) -> None:
        """What it let in for the bot that we dial ends with 1008; what we dialled stays."""
        listener = Listener()
        self.addCleanup(listener.end)
        dialled = (
            f'[[bots]]\nname = "dialled"\nconnection = "reverse-websocket"\nurl = "{listener.url("/")}"\n'
            'access_token = "token-of-both"\n'
        )
        self.change(SANDBOX + FIRST + dialled + LIMITS)
        peer = listener.next()
        self.assertEqual(peer.message()["meta_event_type"], "lifecycle")
        let_in = self.dial("both")
        both = '[[bots]]\nname = "both"\naccess_token = "token-of-both"\n'
        self.assertIn('bot "both" added', self.change(SANDBOX + FIRST + dialled + both + LIMITS))
        self.assertEqual(let_in.close_frame()[0], 1008)
        self.assertEqual(self.status("both"), 101)
        self.publish(7)
        self.assertEqual(peer.message()["n"], 7)
        self.assert_first_goes_on()

    def test_files_that_become_private(self) -> None:
        """A token file, a private key and a certificate that a reload names cannot be sent from then on."""
        data = self.service.folder / "data"
        shown = Authority(data / "authority").issue("localhost")
        (data / "token").write_text("token-of-filed")
        number = free_port()

        def send(file: Path) -> Any:
            message = [{"type": "image", "data": {"file": f"file://{file}"}}]
            return self.first.ask("send_private_msg", user_id=ALICE, message=message)["retcode"]

        self.assertEqual([send(one) for one in (shown.key, shown.chain, data / "token")], [0, 0, 0])
        self.change(
            SANDBOX + FIRST + f'[[bots]]\nname = "filed"\naccess_token_file = "{data / "token"}"\n' + LIMITS,
            endpoints=[f"tcp:{self.service.port}:interface=127.0.0.1", shown.endpoint(number)],
        )
        self.assertNotIn(0, [send(shown.key), send(shown.chain), send(data / "token")])

    def test_the_default_bot(self) -> None:
        """The default bot is replaced by the first [[bots]]."""
        service = self.start_service(SANDBOX)
        self.service, default = service, RawClient(service)
        self.addCleanup(default.socket.close)
        self.change(SANDBOX + FIRST)
        self.assertEqual(default.close_frame()[0], 1001)
        self.assertEqual(self.status("first"), 101)

    def implementation(self) -> RawClient:
        """The implementation of account 5, which is in the configuration; it is up."""
        link = RawClient(self.service, "/onebot/v11/ws", IMPLEMENTATION)
        self.addCleanup(link.socket.close)
        self.assertEqual((asked := link.message())["action"], "get_login_info")
        data = {"user_id": 5, "nickname": "five"}
        link.send(json.dumps({"status": "ok", "retcode": 0, "data": data, "echo": asked["echo"]}))
        wait_until("account 5 is up", self.service.ready)
        return link

    def test_calls_under_way_of_a_bot(self) -> None:
        """Each has its one answer, 1502, before the connection closes; by HTTP too."""
        called = bot("called")
        for change, code in (
            ("", 1001),
            (bot("called", 'connection = "http-post"', 'url = "http://127.0.0.1:1/"'), 1012),
            (called.replace("token-of-called", "token-of-other"), 1008),
            (called + "accounts = [10001]\n", 1008),
        ):
            self.change(SANDBOX + REVERSE + FIRST + called + LIMITS)
            link = self.implementation()
            client = self.dial("called", "/5")
            client.call("get_slow", echo=1)
            answers: list[tuple[int, Any]] = []
            headers = {**bearer("called"), "Content-Type": "application/json"}
            by_http = threading.Thread(
                target=lambda: answers.append(self.service.http("/5/get_slower", {}, headers))  # noqa: B023
            )
            by_http.start()
            names: set[str] = set()
            while not {"get_slow", "get_slower"} <= names:
                names.add(link.message()["action"])
            self.change(SANDBOX + REVERSE + FIRST + change + LIMITS)
            answer = client.response()
            self.assertEqual((answer["retcode"], answer["echo"]), (1502, 1), change)
            self.assertEqual(client.close_frame()[0], code, change)
            by_http.join(15)
            self.assertEqual([(status, got["retcode"]) for status, got in answers], [(200, 1502)], change)
            link.socket.close()
            client.socket.close()

    def test_stopped_while_a_link_is_made_anew(self) -> None:
        """What waits for the old link to be gone is dialled no more."""
        listener = Listener()
        self.addCleanup(listener.end)
        dialled = bot("dialled", 'connection = "reverse-websocket"', f'url = "{listener.url("/one")}"')
        toml = SANDBOX + FIRST + dialled + LIMITS.replace("500ms", "2s")
        self.change(toml)
        peer = listener.next()
        self.assertEqual(peer.message()["meta_event_type"], "lifecycle")
        self.change(toml.replace("/one", "/two"))
        self.assertEqual(peer.close_frame()[0], 1012)  # and is not answered
        self.assertEqual(self.service.stop(signal.SIGTERM), 0)
        self.assertEqual([dial.path for dial in listener.dials], ["/one"])

    def test_an_account_taken_away_and_given_back(self) -> None:
        """A bot that does not answer the close is not dialled again before its connection is gone."""
        listener = Listener()
        self.addCleanup(listener.end)
        lines = 'connection = "reverse-websocket"', f'url = "{listener.url("/")}"'
        two = SANDBOX + "[[accounts]]\nself_id = 2\n" + FIRST
        self.change(two + bot("dialled", *lines, "accounts = [2]") + LIMITS)
        peer = listener.next()
        self.assertEqual(peer.message()["self_id"], 2)
        self.change(two + bot("dialled", *lines, "accounts = [10001]") + LIMITS)
        self.assertEqual(peer.close_frame()[0], 1008)
        self.change(two + bot("dialled", *lines, "accounts = [2]") + LIMITS)
        wait_until(
            "it is dialled again", lambda: [d.header("X-Self-ID") for d in listener.dials].count("2") == 2
        )
        self.assertEqual(listener.overlaps, [])

    def test_while_an_account_is_made_anew(self) -> None:
        """Its implementation is told to come again, not that there is no such account."""
        slow = LIMITS.replace("500ms", "5s")
        listener = Listener()  # it answers no close frame: the link closes as late as can be
        self.addCleanup(listener.end)
        forward = f'[[accounts]]\ntype = "forward-websocket"\nself_id = 5\nurl = "{listener.url("/")}"\n'
        self.change(SANDBOX + forward + FIRST + slow)
        listener.next()
        self.change(SANDBOX + REVERSE + FIRST + slow)
        with self.assertRaises(HandshakeRefused) as refused:
            RawClient(self.service, "/onebot/v11/ws", IMPLEMENTATION)
        self.assertEqual(refused.exception.status, 503)

    def test_live_for_a_while(self) -> None:
        """What came live does not come again; the newest connection takes the cursor over."""
        kept = bot("kept", 'delivery = "at-least-once"')
        self.change(SANDBOX + FIRST + kept + LIMITS)
        older, client = self.dial("kept"), self.dial("kept")
        self.publish(1)
        self.assertEqual(client.event(post_type="notice")["n"], 1)
        self.change(SANDBOX + FIRST + bot("kept") + LIMITS)
        self.publish(2)
        self.assertEqual(client.event(post_type="notice")["n"], 2)
        self.change(SANDBOX + FIRST + kept + LIMITS)
        self.publish(3)
        again = [client.event(post_type="notice")["n"]]
        while again[-1] != 3:
            again.append(client.event(post_type="notice")["n"])
        self.assertIn(again, ([3], [2, 3]))  # the last may not have been durable when it began
        while (frame := client.frame())[0] != PING:
            pass
        client.send(frame[1], PONG)
        self.assertEqual(older.event(post_type="notice", n=3)["n"], 3)

    def test_limits_and_admin_token(self) -> None:
        """Heartbeats begin on a connection that is open; the operator's token is another one."""
        self.change(
            SANDBOX + FIRST + '[limits]\nheartbeat_interval = "100ms"', server='admin_token = "boss-token"'
        )
        self.assertEqual(self.first.event(meta_event_type="heartbeat")["interval"], 100)
        self.assertEqual(self.service.http("/metrics")[0], 401)
        shown = {"Authorization": "Bearer boss-token"}
        self.assertEqual(self.service.http("/metrics", headers=shown)[0], 200)

    def test_what_waits_for_a_restart(self) -> None:
        """It is named in the one line, and everything goes on."""
        self.write(SANDBOX + FIRST + LIMITS + '[journal]\nsync = "normal"')
        self.assertIn("waits for a restart: journal.sync", self.sighup())
        self.assert_first_goes_on()


class Endpoints(ReloadTestCase):
    def test_another_port_and_back(self) -> None:
        """A new port is opened, an old one closed; accepted connections stay."""
        other = free_port()
        one, two = (f"tcp:{port}:interface=127.0.0.1" for port in (self.service.port, other))
        self.change(self.toml, endpoints=[one, two])
        socket.create_connection(("127.0.0.1", other), 5).close()
        self.change(self.toml, endpoints=[two])
        self.assertRaises(OSError, socket.create_connection, ("127.0.0.1", self.service.port), 1)
        self.assertEqual(self.first.ask("get_status")["retcode"], 0)
        self.change(self.toml, endpoints=[one])
        self.assertEqual(self.status("first"), 101)

    def test_to_all_addresses_to_tls_and_back(self) -> None:
        """On the very port that is in use: everything a user can do with it."""
        port, folder = self.service.port, self.service.folder
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        certificate.private_key_pem.write_to_path(folder / "key.pem")
        for number, pem in enumerate(certificate.cert_chain_pems):
            pem.write_to_path(folder / "cert.pem", append=number > 0)
        self.change(self.toml, endpoints=[f"tcp:{port}"])
        self.assertEqual(self.status("first"), 101)
        secure = (
            f"ssl:{port}:interface=127.0.0.1:privateKey={folder / 'key.pem'}:certKey={folder / 'cert.pem'}"
        )
        self.change(self.toml, endpoints=[secure])
        wait_until("it warns", lambda: "will refuse it" in self.service.log())
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            self.assertIn(tls.version(), ("TLSv1.2", "TLSv1.3"))
        self.change(self.toml)
        self.assertEqual(self.status("first"), 101)
        self.assertEqual(self.first.ask("get_status")["retcode"], 0)


class Refusals(ReloadTestCase):
    """What cannot be had is one line, and nothing is half done."""

    def assert_refused(self, needle: str, toml: str, **others: Any) -> None:
        before = len(self.service.log())
        line = self.change(SANDBOX + "[[accounts]]\nself_id = 77\n" + toml + LIMITS, **others)
        self.assertIn("nothing was changed", line)
        self.assertIn(needle, self.service.log()[before:])
        self.assertEqual(self.status("first", "/77"), 404, "half done")
        self.assert_first_goes_on()

    def test_a_broken_file(self) -> None:
        """Every mistake is a line, and the old one goes on."""
        self.assert_refused("not TOML", FIRST + "[")
        self.assert_refused("bots[0].message_format", FIRST + 'message_format = "xml"\n')
        self.assert_refused("not TOML", FIRST + f"[limits]\ncalls = {'9' * 5000}\n")

    def test_a_pipe(self) -> None:
        """It keeps nobody waiting, neither the next reload nor the end."""
        pipe = self.service.folder / "pipe"
        os.mkfifo(pipe)
        self.assert_refused(
            "not a regular file", f'{FIRST}[[bots]]\nname = "b"\naccess_token_file = "{pipe}"\n'
        )
        (self.service.folder / "kept").write_bytes(self.service.config_path.read_bytes())
        self.service.config_path.unlink()
        os.mkfifo(self.service.config_path)
        self.assertIn("nothing was changed", self.sighup())
        (self.service.folder / "kept").replace(self.service.config_path)
        self.change(SANDBOX + FIRST + LIMITS)
        self.assert_first_goes_on()

    def test_a_file_that_is_gone(self) -> None:
        """One line."""
        self.service.config_path.rename(self.service.folder / "elsewhere")
        self.assertIn("nothing was changed", self.sighup())
        (self.service.folder / "elsewhere").rename(self.service.config_path)
        self.assert_first_goes_on()

    def test_a_taken_port(self) -> None:
        """The port of somebody else, also where ours had to be closed first."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            number = taken.getsockname()[1]
            endpoints = [f"tcp:{self.service.port}", f"tcp:{number}:interface=127.0.0.1"]
            self.assert_refused(f"tcp:{number}", bot("first"), endpoints=endpoints)

    def test_a_world_that_is_none(self) -> None:
        """Its sentence is the line."""
        world = self.service.folder / "world.json"
        world.write_text("[]")
        self.assert_refused("world", f'[[accounts]]\nself_id = 78\nworld = "{world}"\n' + FIRST)

    def test_a_journal_that_cannot_be_made(self) -> None:
        """The first at-least-once bot, and something else lies where the journal would be."""
        (self.service.folder / "data" / "journal.sqlite").write_text("this is no journal")
        self.assert_refused("journal.sqlite", bot("first", 'delivery = "at-least-once"'))

    def test_a_key_that_does_not_match(self) -> None:
        """The certificate is of another key."""
        folder = self.service.folder
        for name in ("one", "two"):
            certificate = trustme.CA().issue_cert("localhost")
            certificate.private_key_pem.write_to_path(folder / f"{name}.key")
            certificate.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        number = free_port()
        secure = (
            f"ssl:{number}:interface=127.0.0.1:privateKey={folder / 'one.key'}:certKey={folder / 'two.pem'}"
        )
        ours = f"tcp:{self.service.port}:interface=127.0.0.1"
        self.assert_refused("key", FIRST, endpoints=[ours, secure])


class Storms(ReloadTestCase):
    def test_an_implementation_that_keeps_dialling(self) -> None:
        """A reverse account is removed and added again: refused in between, let in again."""
        for _ in range(3):
            self.change(SANDBOX + REVERSE + FIRST + LIMITS)
            link = RawClient(self.service, "/onebot/v11/ws", IMPLEMENTATION)
            self.addCleanup(link.socket.close)
            self.assertEqual(link.message()["action"], "get_login_info")
            self.change(SANDBOX + FIRST + LIMITS)
            self.assertEqual(link.close_frame()[0], 1001)
            self.assertRaises(HandshakeRefused, RawClient, self.service, "/onebot/v11/ws", IMPLEMENTATION)
        self.assert_first_goes_on()

    def test_a_hundred_signals_under_load(self) -> None:
        """Files, memory and the first bot are as before; nothing is left unhandled."""
        receiver = Receiver()
        self.addCleanup(receiver.end)
        hook = bot("hook", 'connection = "http-post"', f'url = "{receiver.url()}"')
        variants = [
            SANDBOX + FIRST + LIMITS,
            SANDBOX + "[[accounts]]\nself_id = 2\n" + FIRST + bot("second") + hook + LIMITS,
        ]
        self.change(variants[1])
        self.change(variants[0])
        files, memory = self.service.open_files(), self.service.memory()
        for number in range(100):
            self.write(variants[number % 2])
            self.service.send_signal(signal.SIGHUP)
            self.publish(number)
            self.assertEqual(self.first.event(post_type="notice", n=number)["n"], number)
        self.change(variants[0])
        wait_until("no file is left open", lambda: self.service.open_files() <= files + 2)
        self.assertLess(self.service.memory() - memory, 24 << 20)
        try:
            self.assert_first_goes_on()
        except Ended:
            self.fail("the first bot's connection ended")
