"""The simulator judged by plain clients: a judge that errs would be worse than none."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import Server, ServerConnection, serve

from tests.implementations.running import Implementation, quiet_port
from tests.integration.running import PATIENCE, wait_until

NAMES = ("onebot11", "lagrange", "napcat", "llbot", "go-cqhttp")


class Base(SynchronousTestCase):
    """One simulator per test, and short words for what the tests do with it."""

    accounts: list[dict[str, Any]] = []

    def setUp(self) -> None:
        self.implementation = self.started(self.accounts)

    def started(self, accounts: list[dict[str, Any]]) -> Implementation:
        made = Implementation(Path(self.mktemp()).absolute(), accounts)
        self.addCleanup(self._end, made)
        return made

    def _end(self, implementation: Implementation) -> None:
        implementation.clean_up()
        self.assertNotIn("Traceback", implementation.log())

    def dial(self, self_id: int, path: str = "/", token: str | None = "t", **more: Any) -> ClientConnection:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        dialling = connect(
            f"ws://127.0.0.1:{self.implementation.port(self_id)}{path}",
            additional_headers={**headers, **more.pop("headers", {})},
            ping_interval=None,
            max_size=None,
            compression=None,
            close_timeout=2,
            **more,
        )
        stack = contextlib.ExitStack()
        client: ClientConnection = stack.enter_context(dialling)
        self.addCleanup(stack.close)
        return client

    def ask(self, client: ClientConnection, action: str, echo: Any = "1", **params: Any) -> dict[str, Any]:
        client.send(json.dumps({"action": action, "params": params, "echo": echo}))
        return self.answer(client)

    def frame(self, client: ClientConnection) -> Any:
        return json.loads(client.recv(PATIENCE))

    def answer(self, client: ClientConnection) -> dict[str, Any]:
        """The next frame that is no event."""
        while "post_type" in (frame := self.frame(client)):
            pass
        return dict(frame)

    def closed(self, client: ClientConnection) -> int:
        """Read to the end; the code that was received, 1006 for none."""
        with self.assertRaises(ConnectionClosed) as caught:
            while True:
                client.recv(PATIENCE)
        rcvd = caught.exception.rcvd
        return 1006 if rcvd is None else rcvd.code

    def refused(self, self_id: int, path: str = "/", **args: Any) -> int:
        with self.assertRaises(InvalidStatus) as caught:
            self.dial(self_id, path, **args)
        return caught.exception.response.status_code


class ForwardTests(Base):
    accounts = [
        {"self_id": 20001 + at, "dialect": name, "token": "t", "heartbeat_ms": 200}
        for at, name in enumerate(NAMES)
    ]

    def test_first_frames(self) -> None:
        """Lifecycle first, with the fields of the dialect in their order; then the heartbeat habits."""
        plain = ["time", "self_id", "post_type", "meta_event_type", "sub_type"]
        orders = {
            "lagrange": ["sub_type", "meta_event_type", "time", "self_id", "post_type"],
            "go-cqhttp": ["_post_method", "meta_event_type", "post_type", "self_id", "sub_type", "time"],
        }
        for at, name in enumerate(NAMES):
            began = time.monotonic()
            client = self.dial(20001 + at)
            first, second = self.frame(client), self.frame(client)
            took = time.monotonic() - began
            self.assertEqual(list(first), orders.get(name, plain), name)
            self.assertEqual((first["sub_type"], first["self_id"]), ("connect", 20001 + at))
            self.assertEqual((second["meta_event_type"], second["interval"]), ("heartbeat", 200))
            self.assertEqual((second["status"]["online"], second["status"]["good"]), (True, True))
            if name in ("onebot11", "napcat", "llbot"):
                self.assertGreater(took, 0.18, name)
            client.close()
        self.assertEqual(self.implementation.violations(), {})

    def test_go_cqhttp_time_is_frozen(self) -> None:
        """Its first frame was made when it started."""
        times = set()
        for _ in range(2):
            client = self.dial(20005)
            times.add(self.frame(client)["time"])
            client.close()
            began = int(time.time())
            wait_until("the next second", lambda began=began: int(time.time()) > began)
        self.assertEqual(len(times), 1)

    def test_tokens(self) -> None:
        """Missing and wrong tokens, each dialect in its way."""
        self.assertEqual((self.refused(20001, token=None), self.refused(20001, token="no")), (401, 403))
        self.assertEqual((self.refused(20002, token=None), self.refused(20002, token="no")), (403, 403))
        self.assertEqual((self.refused(20005, token=None), self.refused(20005, token="no")), (401, 403))
        for token in (None, "no"):
            napcat = self.dial(20003, token=token)
            refusal = self.frame(napcat)
            self.assertEqual((refusal["retcode"], refusal["echo"]), (1403, None))
            self.assertEqual(self.closed(napcat), 1005)
            self.assertEqual(self.closed(self.dial(20004, token=token)), 1008)
        for self_id in range(20001, 20006):
            state = self.implementation.state(self_id)
            self.assertEqual([one["verdict"] for one in state["handshakes"]], ["missing", "wrong"])
            self.assertIn("handshake: wrong token", state["violations"])

    def test_where_tokens_are_found(self) -> None:
        """A header hides the query for Lagrange, the query goes first for NapCat, go-cqhttp takes schemes."""
        self.assertEqual(
            self.refused(20002, "/?access_token=t", token=None, headers={"Authorization": "Token t"}), 403
        )
        for self_id in range(20001, 20006):
            self.frame(self.dial(self_id, "/?access_token=t", token=None))
        self.assertEqual(self.frame(self.dial(20003, "/?access_token=no"))["retcode"], 1403)
        self.frame(self.dial(20005, token=None, headers={"Authorization": "Token t"}))

    def test_paths(self) -> None:
        """Roles by path, and paths that the standard does not know."""
        for self_id in range(20001, 20006):
            api = self.dial(self_id, "/api")
            self.assertEqual(self.ask(api, "get_login_info")["data"]["user_id"], self_id)
        self.assertEqual(self.refused(20001, "/onebot/v11/ws"), 404)
        for self_id in (20002, 20003, 20005):
            self.assertEqual(self.frame(self.dial(self_id, "/x"))["sub_type"], "connect")
        dead = self.dial(20004, "/x")
        dead.send('{"action":"get_status","params":{},"echo":"1"}')
        with self.assertRaises(TimeoutError):
            dead.recv(0.5)
        event = self.dial(20003, "/event")
        self.assertEqual(self.ask(event, "get_status")["retcode"], 0)
        roles = self.implementation.state(20003)["max_concurrent"]
        self.assertEqual(roles, {"api": 1, "universal": 2})

    def test_not_an_upgrade(self) -> None:
        for at, status in enumerate((426, 400, 426, 426, 400)):
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.implementation.port(20001 + at)}/",
                headers={"Authorization": "Bearer t"},
            )
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=PATIENCE)
            self.assertEqual(caught.exception.code, status)
            caught.exception.close()

    def test_envelopes(self) -> None:
        """The fields of answers, their order, and unknown actions."""
        ok = {
            "onebot11": "status retcode data echo",
            "lagrange": "status retcode data echo",
            "napcat": "status retcode data message wording echo stream",
            "llbot": "status retcode data message wording echo",
            "go-cqhttp": "data echo message retcode status",
        }
        codes = {"lagrange": 404, "go-cqhttp": 404}
        for at, name in enumerate(NAMES):
            client = self.dial(20001 + at, "/api")
            answer = self.ask(client, "echo_params", echo="e", a={"b": [1, None]})
            self.assertEqual(" ".join(answer), ok[name])
            self.assertEqual((answer["data"], answer["echo"]), ({"a": {"b": [1, None]}}, "e"))
            unknown = self.ask(client, "no_such", echo="f")
            self.assertEqual((unknown["status"], unknown["retcode"]), ("failed", codes.get(name, 1404)))
            self.assertEqual(unknown["echo"], "f")
        self.assertEqual(self.implementation.violations(), {})

    def test_no_echo(self) -> None:
        expected = {"lagrange": None, "napcat": ""}
        for at, name in enumerate(NAMES):
            client = self.dial(20001 + at, "/api")
            client.send('{"action":"get_status","params":{}}')
            answer = self.frame(client)
            self.assertEqual(answer.get("echo", "absent"), expected.get(name, "absent"), name)
            self.assertIn("no echo", self.implementation.violations()[str(20001 + at)][0])

    def test_bad_json(self) -> None:
        """1400, nothing (Lagrange), or an unknown action (go-cqhttp); each is a violation."""
        for at, name in enumerate(NAMES):
            client = self.dial(20001 + at, "/api")
            client.send("{")
            if name != "lagrange":
                self.assertEqual(self.frame(client)["retcode"], 404 if name == "go-cqhttp" else 1400)
            self.assertEqual(self.ask(client, "get_status")["echo"], "1")
            self.assertEqual(len(self.implementation.state(20001 + at)["violations"]), 1)

    def test_spelling(self) -> None:
        """Lagrange escapes what is not ASCII, go-cqhttp what is HTML."""
        spelled = {"lagrange": '"\\u6D4B\\u003C\\u0022"', "go-cqhttp": '"测\\u003c\\""'}
        for at, name in enumerate(NAMES):
            client = self.dial(20001 + at, "/api")
            client.send(json.dumps({"action": "echo_params", "params": {"a": '测<"'}, "echo": "1"}))
            text = client.recv(PATIENCE)
            self.assertIn(spelled.get(name, '"测<\\""'), text)

    def test_known_actions(self) -> None:
        names = ("onebot-simulator", "Lagrange.OneBot", "NapCat.Onebot", "LLOneBot", "go-cqhttp")
        for at, app in enumerate(names):
            client = self.dial(20001 + at, "/api")
            version = self.ask(client, "get_version_info", echo=0)["data"]
            self.assertEqual((version["app_name"], version["protocol_version"]), (app, "v11"))
            sent = self.ask(client, "send_group_msg", echo=1, group_id=1, message="hi")["data"]
            message = self.ask(client, "get_msg", echo=2, message_id=sent["message_id"])["data"]
            self.assertEqual(message["message"], "hi")
            self.assertEqual(len(self.ask(client, "big", echo=3, bytes=200_000)["data"]["blob"]), 200_000)
            received = self.implementation.received(20001 + at, "send_group_msg")
            self.assertEqual(received[0]["params"], {"group_id": 1, "message": "hi"})
            self.assertEqual((received[0]["echo"], received[0]["connection"]), (1, 1))

    def test_streams(self) -> None:
        """NapCat answers several times with one echo."""
        client = self.dial(20003, "/api")
        frames = [self.ask(client, "download_file_stream", chunks=2)]
        while frames[-1]["data"]["type"] == "stream":
            frames.append(self.answer(client))
        kinds = ["file_info", "file_chunk", "file_chunk", "file_complete"]
        self.assertEqual([one["data"]["data_type"] for one in frames], kinds)
        self.assertEqual({(one["echo"], one["stream"]) for one in frames}, {("1", "stream-action")})

    def test_pongs(self) -> None:
        """LLBot answers twice, go-cqhttp's /event never, and all can be told to be silent."""
        for self_id in (20001, 20002, 20003, 20004):
            self.assertTrue(self.dial(self_id).ping("x").wait(PATIENCE))
        self.assertFalse(self.dial(20005, "/event").ping("x").wait(0.5))
        self.assertTrue(self.dial(20005, "/").ping("x").wait(PATIENCE))
        self.implementation.control(20001, "drop_pongs", on=True)
        client = self.dial(20001)
        self.assertFalse(client.ping("x").wait(0.5))
        self.assertEqual(self.ask(client, "get_status")["retcode"], 0)

    def test_violations(self) -> None:
        """What a correct peer does not send."""
        bad = (
            '{"action":"a","action":"b","params":{},"echo":1}',
            '{"action":5,"params":{},"echo":2}',
            '{"action":"a","params":[],"echo":3}',
            '{"action":"a","params":{},"echo":4,"x":1}',
            '{"action":"a","params":{"n":NaN},"echo":5}',
            '{"action":"a","params":{},"echo":5}',
            b'{"action":"a","params":{},"echo":6}',
        )
        client = self.dial(20001, "/api")
        for message in bad:
            client.send(message)
            self.frame(client)
        found = self.implementation.violations()["20001"]
        words = ("twice", "action is no", "params is no", "unknown key", "NaN", "used before", "binary")
        self.assertEqual(len(found), len(words), found)
        for word, text in zip(words, found, strict=True):
            self.assertIn(word, text)

    def test_broken_protocol_is_a_violation(self) -> None:
        """An unmasked frame, and half of a UTF-8 character."""
        client = self.dial(20001)
        client.socket.sendall(b"\x81\x02{}")
        self.assertEqual(self.closed(client), 1002)
        client = self.dial(20001)
        client.send(b"\xe6\xb5", text=True)
        self.assertEqual(self.closed(client), 1007)
        found = wait_until("both", lambda: self._two_violations())
        self.assertIn("broke the WebSocket protocol", found[0])

    def _two_violations(self) -> list[str]:
        found = self.implementation.state(20001)["violations"]
        return list(found) if len(found) == 2 else []


class MischiefTests(Base):
    accounts = [{"self_id": 20001, "dialect": "onebot11", "heartbeat_ms": 0}]

    def control(self, command: str, **args: Any) -> dict[str, Any]:
        return self.implementation.control(20001, command, **args)

    def state(self) -> dict[str, Any]:
        return self.implementation.state(20001)

    def client(self, path: str = "/") -> ClientConnection:
        client = self.dial(20001, path, token=None)
        if path == "/":
            self.frame(client)
        return client

    def test_events(self) -> None:
        """Events, notices and heartbeats reach every event link, and none is lost or doubled."""
        self.assertFalse(self.control("event", event={"post_type": "notice"})["sent"])
        clients = [self.client(), self.client("/event")]
        self.frame(clients[1])
        self.control("event", event={"post_type": "notice", "self_id": 5})
        self.control("event", raw='{"post_type" : 1.0}')
        self.control("heartbeat", online=False, interval=9)
        self.control("offline_notice")
        self.control("flood", count=500)
        for client in clients:
            self.assertEqual(self.frame(client)["self_id"], 5)
            self.assertEqual(client.recv(PATIENCE), '{"post_type" : 1.0}')
            beat = self.frame(client)
            self.assertEqual((beat["status"]["online"], beat["interval"]), (False, 9))
            self.assertEqual(self.frame(client)["notice_type"], "bot_offline")
            numbers = [self.frame(client)["n"] for _ in range(500)]
            self.assertEqual(numbers, list(range(1, 501)))
        state = self.state()
        self.assertEqual((state["events_sent"], state["events_lost"]), (503, 1))
        self.assertEqual((state["online"], state["flowing"]), (False, 0))

    def test_a_steady_flow(self) -> None:
        client = self.client()
        self.control("events", rate=200, size=100)
        frames = [self.frame(client) for _ in range(40)]
        self.assertEqual([one["n"] for one in frames], list(range(1, 41)))
        self.assertGreater(len(frames[0]["raw_message"]), 100)
        self.control("stop_events")
        wait_until("it stopped", lambda: self.state()["flowing"] == 0)

    def test_sizes_and_garbage(self) -> None:
        client = self.client()
        self.control("huge", bytes=100_000)
        self.assertEqual(len(client.recv(PATIENCE, decode=False)), 100_000)
        self.control("send_text", raw="not json")
        self.assertEqual(client.recv(PATIENCE), "not json")
        self.control("send_binary", base64=base64.b64encode(b"\0\1").decode())
        self.assertEqual(client.recv(PATIENCE), b"\0\1")
        self.control("send_bytes", base64=base64.b64encode(b"\x81\x01a\x81\x01b").decode())
        self.assertEqual([client.recv(PATIENCE), client.recv(PATIENCE)], ["a", "b"])
        self.control("send_frame", text="ab", fin=False)
        self.control("send_frame", opcode=0, text="cd")
        self.assertEqual(client.recv(PATIENCE), "abcd")
        self.control("garbage", which=0)
        self.assertEqual(client.recv(PATIENCE), "{")
        self.assertGreater(self.control("garbage")["sent"], 10)

    def test_answers(self) -> None:
        """Each way to answer, one action long."""
        client = self.client("/api")
        self.control("answers", mode="twice", times=1)
        self.assertEqual([self.ask(client, "get_status", "1")["echo"], self.frame(client)["echo"]], ["1"] * 2)
        self.control("answers", mode="other_echo", times=1)
        self.assertNotEqual(self.ask(client, "get_status", "2")["echo"], "2")
        self.control("answers", mode="no_echo", times=1)
        self.assertNotIn("echo", self.ask(client, "get_status", "3"))
        self.control("answers", mode="echo_as_number", times=1)
        self.assertEqual(self.ask(client, "get_status", "4")["echo"], 4)
        self.control("answers", mode="failed", times=1, retcode=7)
        self.assertEqual(self.ask(client, "get_status", "5")["retcode"], 7)
        self.control("answers", mode="garbage_then_normal", times=1)
        client.send('{"action":"get_status","params":{},"echo":"6"}')
        self.assertEqual(client.recv(PATIENCE), "not json")
        self.assertEqual(self.frame(client)["echo"], "6")
        self.control("answers", mode="never", action="get_msg")
        client.send('{"action":"get_msg","params":{},"echo":"7"}')
        self.assertEqual(self.ask(client, "get_status", "8")["echo"], "8")
        self.control("answers", mode="late", seconds=0.3, times=1)
        began = time.monotonic()
        self.assertEqual(self.ask(client, "get_status", "9")["echo"], "9")
        self.assertGreater(time.monotonic() - began, 0.25)
        self.assertEqual(self.ask(client, "sleep_ms", "10", ms=1)["data"], {"slept": 1})

    def test_answers_that_end_the_link(self) -> None:
        for mode, code in (("close_on_action", 4000), ("rst_on_action", 1006), ("drop_mid_answer", 1006)):
            self.control("answers", mode=mode, times=1, code=4000)
            client = self.client("/api")
            client.send('{"action":"get_status","params":{},"echo":"1"}')
            self.assertEqual(self.closed(client), code, mode)
        self.assertEqual(len(self.state()["received"]), 3)

    def test_half_of_an_answer_arrives(self) -> None:
        self.control("answers", mode="drop_mid_answer", times=1)
        with socket.create_connection(("127.0.0.1", self.implementation.port(20001)), PATIENCE) as raw:
            key = base64.b64encode(b"0" * 16).decode()
            raw.sendall(
                f"GET /api HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            action = b'{"action":"get_status","params":{},"echo":"1"}'
            raw.sendall(bytes([0x81, 0x80 | len(action)]) + b"\0\0\0\0" + action)
            got = b""
            with self.assertRaises(ConnectionResetError):
                while True:
                    more = raw.recv(4096)
                    assert more, "ended without RST"
                    got += more
        frame = got.partition(b"\r\n\r\n")[2]
        self.assertEqual(frame[0], 0x81)
        self.assertTrue(10 < len(frame) - 2 < frame[1])

    def test_ends(self) -> None:
        """Closing, RST, and the codes of the peer."""
        client = self.client()
        self.control("close", code=4321, reason="so")
        self.assertEqual(self.closed(client), 4321)
        client = self.client()
        self.control("close", code=None)
        self.assertEqual(self.closed(client), 1005)
        client = self.client()
        self.control("rst")
        self.assertEqual(self.closed(client), 1006)
        self.client().close(4100, "bye")
        wait_until("it saw the code", lambda: 4100 in self.state()["close_codes"])
        last = self.state()["closes"][-1]
        self.assertEqual((last["by"], last["reason"]), ("peer", "bye"))
        self.assertEqual(self.state()["connected"], 0)

    def test_half_open(self) -> None:
        """Nothing is read or written, and yet the end of the peer is known."""
        client = self.client()
        self.control("half_open")
        client.send('{"action":"get_status","params":{},"echo":"1"}')
        self.control("event", event={})
        with self.assertRaises(TimeoutError):
            client.recv(0.3)
        state = self.state()
        self.assertEqual((state["received"], state["connected"]), ([], 1))
        client.socket.shutdown(socket.SHUT_WR)
        wait_until("its end is known", lambda: self.state()["connected"] == 0)

    def test_stop_reading(self) -> None:
        client = self.client("/api")
        self.control("stop_reading")
        client.send('{"action":"get_status","params":{},"echo":"1"}')
        with self.assertRaises(TimeoutError):
            client.recv(0.3)
        self.control("resume_reading")
        self.assertEqual(self.frame(client)["echo"], "1")

    def test_refusing(self) -> None:
        self.control("refuse", how="status", status=503)
        self.assertEqual(self.refused(20001), 503)
        self.control("refuse", how="close", code=1013)
        self.assertEqual(self.closed(self.dial(20001)), 1013)
        self.control("refuse", how="blackhole")
        with self.assertRaises(TimeoutError):
            self.dial(20001, open_timeout=0.3)
        for how in ("rst", "port"):
            self.control("refuse", how=how)
            with self.assertRaises(Exception):  # noqa: B017
                self.dial(20001)
        self.control("accept_again")
        self.client()
        outcomes = [one["outcome"] for one in self.state()["attempts"]]
        self.assertEqual(outcomes, [503, "close", "blackhole", "rst", 101])

    def test_lies_and_mistakes(self) -> None:
        self.control("lie", login_user_id=1, event_self_id=2)
        client = self.dial(20001)
        self.assertEqual(self.frame(client)["self_id"], 2)
        self.assertEqual(self.ask(client, "get_login_info")["data"]["user_id"], 1)
        self.control("lie", login_user_id=None)
        self.assertEqual(self.ask(client, "get_login_info", "2")["data"]["user_id"], 20001)
        for command, args in (("rst", {"connection": 99}), ("answers", {"mode": "x"}), ("nonsense", {})):
            with self.assertRaises(AssertionError):
                self.control(command, **args)

    def test_restarts(self) -> None:
        """SIGKILL says nothing, SIGTERM says 1001; the port stays."""
        client = self.client()
        self.implementation.kill()
        self.assertEqual(self.closed(client), 1006)
        self.implementation.start()
        client = self.client()
        self.implementation.stop()
        self.assertEqual(self.closed(client), 1001)
        self.implementation.restart()
        self.client()

    def test_many_accounts(self) -> None:
        """Sixty in one process, each with its port."""
        self.implementation = self.started([{"self_id": 1000 + at} for at in range(60)])
        clients = [self.dial(1000 + at, token=None) for at in range(60)]
        self.assertEqual([self.frame(client)["self_id"] for client in clients], list(range(1000, 1060)))
        states = self.implementation.state("all")
        self.assertEqual({state["connected"] for state in states.values()}, {1})


class ReverseTests(Base):
    def setUp(self) -> None:
        self.links: list[ServerConnection] = []
        self.quitting = threading.Event()
        self.port = quiet_port()

    def listening(self) -> Server:
        """An application for reverse WebSocket that keeps every link."""

        def keep(link: ServerConnection) -> None:
            self.links.append(link)
            self.quitting.wait()

        server = serve(keep, "127.0.0.1", self.port, compression=None, ping_interval=None, close_timeout=1)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(self._quit, server)
        return server

    def _quit(self, server: Server) -> None:
        server.socket.close()
        self.quitting.set()
        server.shutdown()

    def account(self, dialect: str, **more: Any) -> dict[str, Any]:
        url = f"ws://127.0.0.1:{self.port}/onebot/v11"
        fixed = {"self_id": 20001, "dialect": dialect, "transport": "reverse-websocket", "url": url}
        return {**fixed, "heartbeat_ms": 0, "reconnect_ms": 50, **more}

    def link(self, at: int) -> ServerConnection:
        wait_until(f"link {at}", lambda: len(self.links) > at)
        return self.links[at]

    def headers(self, at: int) -> dict[str, str]:
        request = self.link(at).request
        assert request is not None
        usual = ("Host", "Upgrade", "Connection")
        items = request.headers.raw_items()
        return {key: value for key, value in items if key not in usual and "Sec-" not in key}

    def test_headers(self) -> None:
        """The spelling of each dialect."""
        self.listening()
        expected = {
            "onebot11": {"X-Client-Role": "Universal", "Authorization": "Bearer t"},
            "lagrange": {
                "X-Client-Role": "Universal",
                "User-Agent": "Lagrange.OneBot",
                "Authorization": "Bearer t",
            },
            "napcat": {
                "x-client-role": "Universal",
                "User-Agent": "OneBot/11",
                "Authorization": "Bearer t",
            },
            "llbot": {
                "x-client-role": "Universal",
                "User-Agent": "LLOneBot/8.0.0",
                "Authorization": "Bearer t",
            },
            "go-cqhttp": {
                "X-Client-Role": "Universal",
                "User-Agent": "CQHttp/4.15.0",
                "Authorization": "Token t",
            },
        }
        for at, name in enumerate(NAMES):
            implementation = self.started([self.account(name, token="t")])
            self.assertEqual(self.headers(at), {**expected[name], "X-Self-ID": "20001"}, name)
            request = self.link(at).request
            self.assertEqual(request and request.path, "/onebot/v11/ws")
            first = json.loads(self.link(at).recv(PATIENCE))
            self.assertEqual((first["sub_type"], "_post_method" in first), ("connect", False))
            implementation.clean_up()

    def test_no_token(self) -> None:
        """NapCat sends its Bearer all the same."""
        self.listening()
        for at, name in enumerate(NAMES):
            implementation = self.started([self.account(name)])
            expected = "Bearer" if name in ("napcat", "llbot") else None
            self.assertEqual(self.headers(at).get("Authorization"), expected, name)
            implementation.clean_up()

    def test_split(self) -> None:
        """Two links; Lagrange spells the role Api and never reads the event link."""
        self.listening()
        implementation = self.started([self.account("lagrange", split=True)])
        roles = {self.headers(at)["X-Client-Role"]: self.link(at) for at in (0, 1)}
        self.assertEqual(set(roles), {"Api", "Event"})
        self.assertTrue(roles["Api"].ping("x").wait(PATIENCE))
        self.assertFalse(roles["Event"].ping("x").wait(0.3))
        self.assertEqual(json.loads(roles["Event"].recv(PATIENCE))["sub_type"], "connect")
        roles["Api"].send('{"action":"get_status","params":{},"echo":"1"}')
        self.assertEqual(json.loads(roles["Api"].recv(PATIENCE))["echo"], "1")
        self.assertEqual(implementation.state(20001)["max_concurrent"], {"api": 1, "event": 1})

    def test_reconnecting(self) -> None:
        """Again and again, after the interval, never beside the old link."""
        implementation = self.started([self.account("napcat")])
        wait_until("it tries", lambda: len(implementation.state(20001)["attempts"]) >= 3)
        self.listening()
        for at in range(3):
            self.link(at).close(1000)
        self.link(3)
        state = implementation.state(20001)
        times = [one["at"] for one in state["attempts"]]
        self.assertTrue(all(later - sooner >= 0.05 for sooner, later in pairwise(times)))
        self.assertEqual(state["max_concurrent"], {"universal": 1})
        self.assertEqual(state["close_codes"], [1000] * 3)

    def test_go_cqhttp_dials_again_when_it_pushes(self) -> None:
        """It notices only when an event cannot be sent, and that event is lost."""
        self.listening()
        implementation = self.started([self.account("go-cqhttp")])
        self.link(0).close()
        wait_until("it is over", lambda: not implementation.state(20001)["connections"])
        with self.assertRaises(AssertionError):
            wait_until("a second link", lambda: len(self.links) > 1, 0.4)
        self.assertFalse(implementation.control(20001, "event", event={})["sent"])
        self.link(1)

    def test_lagrange_dials_again_after_a_heartbeat(self) -> None:
        self.listening()
        self.started([self.account("lagrange", heartbeat_ms=600)])
        self.link(0)
        began = time.monotonic()
        self.link(0).close()
        self.link(1)
        self.assertGreater(time.monotonic() - began, 0.3)

    def test_half_open_with_a_new_link(self) -> None:
        """The old TCP connection stays, a second link is dialled beside it."""
        self.listening()
        implementation = self.started([self.account("onebot11")])
        self.link(0)
        implementation.control(20001, "half_open", redial=True)
        self.link(1)
        state = implementation.state(20001)
        self.assertEqual((state["connected"], state["max_concurrent"]), (2, {"universal": 2}))
        self.assertEqual([link["frozen"] for link in state["connections"]], [True, False])
        self.link(0).socket.shutdown(socket.SHUT_WR)
        wait_until("the old one ended", lambda: implementation.state(20001)["connected"] == 1)


class HttpTests(Base):
    def setUp(self) -> None:
        self.posted: list[tuple[dict[str, str], bytes]] = []
        self.status, self.reply = 204, b""
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append((dict(self.headers.items()), body))
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.reply)))
                self.end_headers()
                self.wfile.write(outer.reply)

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.post_url = f"http://127.0.0.1:{server.server_address[1]}/onebot/v11/post"
        fixed = {"transport": "http", "post_url": self.post_url, "token": "t", "secret": "s"}
        self.accounts = [
            {"self_id": 20001 + at, "dialect": name, "heartbeat_ms": 0, "retry_ms": 10, **fixed}
            for at, name in enumerate(NAMES)
        ]
        super().setUp()

    def call(
        self, self_id: int, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        given = {"Authorization": "Bearer t", "Content-Type": "application/json"}
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        url = f"http://127.0.0.1:{self.implementation.port(self_id)}{path}"
        request = urllib.request.Request(url, data, given if headers is None else headers)
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                status, text = refused.code, refused.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def test_actions(self) -> None:
        """A known action, an unknown one, and a bad body."""
        unknown = {"onebot11": (404, 1404), "llbot": (404, 404), "napcat": (200, 200)}
        for at, name in enumerate(NAMES):
            self_id = 20001 + at
            status, answer = self.call(self_id, "/get_login_info")
            self.assertEqual((status, answer["data"]["user_id"]), (200, self_id))
            self.assertEqual("echo" in answer, name in ("lagrange", "napcat"))
            status, answer = self.call(self_id, "/no_such")
            self.assertEqual((status, answer["retcode"]), unknown.get(name, (200, 404)), name)
        self.assertEqual(self.implementation.violations(), {})
        self.assertEqual(len(self.implementation.received(20001)), 2)
        for at, name in enumerate(NAMES):
            if name == "lagrange":
                with self.assertRaises(TimeoutError):
                    self.call(20001 + at, "/get_status", b"{")
            else:
                self.assertEqual(self.call(20001 + at, "/get_status", b"{")[0], 400)

    def test_tokens(self) -> None:
        statuses = [(401, 403), (401, 403), (403, 403), (403, 403), (401, 403)]
        for at, expected in enumerate(statuses):
            json_type = {"Content-Type": "application/json"}
            wrong = {**json_type, "Authorization": "Bearer no"}
            got = [self.call(20001 + at, "/get_status", headers=given)[0] for given in (json_type, wrong)]
            self.assertEqual(tuple(got), expected)

    def test_posts(self) -> None:
        """Header spelling and signature over the bytes as sent."""
        for at, name in enumerate(NAMES):
            self_id = 20001 + at
            self.implementation.control(self_id, "event", event={"post_type": "notice", "text": "测试"})
            wait_until("it is posted", lambda at=at: self._of(20001 + at))
            headers, body = self._of(self_id)[-1]
            node = name in ("napcat", "llbot")
            self.assertIn("x-self-id" if node else "X-Self-ID", headers)
            signature = hmac.new(b"s", body, hashlib.sha1).hexdigest()
            self.assertEqual(headers["x-signature" if node else "X-Signature"], f"sha1={signature}")
            self.assertEqual("X-API-Port" in headers, name == "go-cqhttp")
            wait_until("204", lambda self_id=self_id: self._statuses(self_id)[-1:] == [204])
        first = [json.loads(self._of(self_id)[0][1]) for self_id in range(20001, 20006)]
        kinds = [one.get("sub_type") for one in first]
        self.assertEqual(kinds, ["enable", "connect", None, None, None])

    def _of(self, self_id: int) -> list[tuple[dict[str, str], bytes]]:
        return [one for one in self.posted if json.loads(one[1])["self_id"] == self_id]

    def _statuses(self, self_id: int) -> list[Any]:
        return list(self.implementation.state(self_id)["post_statuses"])

    def test_answers_to_posts(self) -> None:
        """A quick operation is kept, text is a violation, go-cqhttp tries again."""
        self.status, self.reply = 200, b'{"reply":"x"}'
        self.implementation.control(20003, "event", event={})
        wait_until("answered", lambda: self._statuses(20003) == [200])
        self.assertEqual(self.implementation.state(20003)["posts"][0]["body"], '{"reply":"x"}')
        self.reply = b"OK"
        self.implementation.control(20003, "event", event={})
        wait_until("answered", lambda: self._statuses(20003) == [200, 200])
        self.assertIn("no JSON object", self.implementation.violations()["20003"][0])
        self.status = 500
        self.implementation.control(20005, "event", event={})
        wait_until("four tries", lambda: self._statuses(20005) == [500] * 4)

    def test_modes(self) -> None:
        for mode in ("rst_on_action", "drop_mid_answer", "close_on_action"):
            self.implementation.control(20001, "answers", mode=mode, times=1)
            with self.assertRaises(Exception):  # noqa: B017
                self.call(20001, "/get_status")
        self.implementation.control(20001, "answers", mode="failed", times=1, retcode=9)
        self.assertEqual(self.call(20001, "/get_status")[1]["retcode"], 9)
        self.implementation.control(20001, "refuse", status=502)
        self.assertEqual(self.call(20001, "/get_status")[0], 502)
        self.implementation.control(20001, "refuse", how="port")
        with self.assertRaises(OSError):
            self.call(20001, "/get_status")
        self.implementation.control(20001, "accept_again")
        self.assertEqual(self.call(20001, "/get_status")[0], 200)
