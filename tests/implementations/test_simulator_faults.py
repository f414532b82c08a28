"""The simulator misbehaving on command."""

from __future__ import annotations

import base64
import socket
import time
from typing import Any

from websockets.sync.client import ClientConnection

from tests.implementations.simulator_case import Base
from tests.integration.running import PATIENCE, wait_until


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
            self.assertIs(beat["status"]["online"], False)
            self.assertEqual(beat["interval"], 9)
            self.assertEqual(self.frame(client)["notice_type"], "bot_offline")
            numbers = [self.frame(client)["n"] for _ in range(500)]
            self.assertEqual(numbers, list(range(1, 501)))
        state = self.state()
        self.assertEqual(state["events_sent"], 503)
        self.assertEqual(state["events_lost"], 1)
        self.assertIs(state["online"], False)
        self.assertEqual(state["flowing"], 0)

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
        self.control("answers", mode="echo_as_float", times=1)
        self.assertIsInstance(self.ask(client, "get_status", "4")["echo"], float)
        self.control("answers", mode="no_retcode", times=1)
        self.assertNotIn("retcode", self.ask(client, "get_status", "4"))
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
