"""Faults on demand and the log of actions from outside: HTTP, and connections that are really reset."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from typing import Any

from tests.integration.control import ALICE, SANDBOX, SharedControlTestCase
from tests.integration.rawclient import TEXT


class Faults(SharedControlTestCase):
    """What a test script does with ``faults``, ``clear_faults`` and ``actions``."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(self.post, "clear_faults", {})

    def get(self, path: str) -> Any:
        status, _headers, answer = self.request("GET", f"{SANDBOX}/{path}")
        self.assertEqual(status, 200, answer)
        return answer

    def end_of(self, connection: socket.socket) -> tuple[bytes, bool]:
        """Return what comes until the end of a connection, and whether that is a reset."""
        came = b""
        try:
            while True:
                data = connection.recv(65536)
                if not data:
                    return came, False
                came += data
        except ConnectionResetError:
            return came, True

    def test_verbs(self) -> None:
        """Faults are set, listed and cleared; a mistake is a sentence."""
        self.assertEqual(self.get("faults"), {"online": True, "faults": []})
        fault = self.post("faults", {"kind": "fail", "action": "get_*", "times": "2"})
        self.assertEqual((fault["retcode"], fault["left"], fault["bot"]), (1200, 2, ""))
        self.assertEqual(self.get("faults")["faults"], [fault])
        bot = self.bot()
        self.assertEqual(bot.ask("get_friend_list")["retcode"], 1200)
        self.assertEqual(self.get("faults")["faults"], [{**fault, "applied": 1, "left": 1}])
        self.assertEqual(self.post("clear_faults", {"id": fault["id"] + 1}), {"cleared": 0})
        self.assertEqual(self.post("clear_faults", {"id": fault["id"]}), {"cleared": 1})
        self.assertEqual(bot.ask("get_friend_list")["retcode"], 0)
        self.assertIn("seconds", self.post("faults", {"kind": "delay"}, 400)["error"])
        self.assertIn("kind", self.post("clear_faults", {"kind": "x"}, 400)["error"])

    def test_broken_websocket(self) -> None:
        """The connection is reset, before the first byte of the answer or in the middle of its frame."""
        for part in ("none", "half"):
            self.post("faults", {"kind": "break", "part": part, "times": 1})
            bot = self.bot()
            bot.call("get_login_info", echo="e" * 100)
            came, reset = self.end_of(bot.socket)
            self.assertTrue(reset)
            if part == "none":
                self.assertEqual(came, b"")
            else:
                self.assertEqual(came[0], 0x80 | TEXT)
                length = int.from_bytes(came[2:4], "big")
                self.assertEqual(len(came), (length + 4) // 2)
            self.assertEqual(self.bot().ask("get_login_info")["retcode"], 0)

    def test_broken_http(self) -> None:
        """The same of a request of the HTTP API: no byte of an answer, or a part of its body."""
        for part in ("none", "half"):
            self.post("faults", {"kind": "break", "part": part, "times": 1})
            connection = http.client.HTTPConnection("127.0.0.1", self.service.port, timeout=30)
            self.addCleanup(connection.close)
            body = f'{{"user_id": {ALICE}, "message": "by HTTP, {part}"}}'
            connection.request("POST", "/send_private_msg", body, {"Content-Type": "application/json"})
            raw: Any = connection.sock
            came, reset = self.end_of(raw)
            self.assertTrue(reset)
            head, _mark, rest = came.partition(b"\r\n\r\n")
            if part == "none":
                self.assertEqual(came, b"")
            else:
                self.assertTrue(head.startswith(b"HTTP/1.1 200 OK"))
                [length] = [line[16:] for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
                self.assertEqual(len(rest), int(length) // 2)
                self.assertTrue(rest.startswith(b'{"status":"ok"'))
            said = self.get("transcript")["messages"][-1]
            self.assertEqual(said["raw_message"], f"by HTTP, {part}")

    def test_waiting_for_an_action(self) -> None:
        """A request with ``wait`` is answered as soon as a bot calls something."""
        last = self.get("actions")["last"]
        self.assertEqual(self.get(f"actions?after={last}")["entries"], [])
        bot = self.bot()
        timer = threading.Timer(0.2, bot.call, ("get_friend_list",))
        timer.start()
        began = time.monotonic()
        answer = self.get(f"actions?after={last}&wait=20")
        self.assertLess(time.monotonic() - began, 10)
        timer.join()
        [entry] = answer["entries"]
        self.assertEqual((entry["action"], entry["params"], entry["status"]), ("get_friend_list", {}, "ok"))
        self.assertEqual(answer["last"], entry["seq"])
        self.assertEqual(answer["missed"], False)
        self.assertEqual(self.get("actions?after=1")["missed"], True)

    def test_offline(self) -> None:
        """The account is logged out and in again, and down and up again, on connections that stay."""
        bot = self.bot()
        self.post("faults", {"kind": "offline", "reason": "kicked"})
        self.assertEqual(bot.event(notice_type="bot_offline")["message"], "kicked")
        self.assertEqual(bot.ask("get_status")["data"]["online"], False)
        self.post("say", {"user_id": ALICE, "message": "unheard"})
        self.post("faults", {"kind": "offline", "down": True})
        self.assertEqual(bot.ask("send_private_msg", user_id=ALICE, message="x")["retcode"], 1501)
        self.post("clear_faults", {"kind": "offline"})
        self.assertEqual(bot.ask("get_status")["data"]["online"], True)
        self.post("say", {"user_id": ALICE, "message": "heard"})
        self.assertEqual(bot.event(post_type="message")["raw_message"], "heard")
