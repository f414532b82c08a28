"""The simulator as a WebSocket client, judged by a plain server."""

from __future__ import annotations

import json
import socket
import threading
import time
from itertools import pairwise
from typing import Any

from websockets.sync.server import Server, ServerConnection, serve

from tests.implementations.simulator_case import NAMES, Base
from tests.integration.running import PATIENCE, wait_until
from tests.processes import free_port


class ReverseTests(Base):
    def setUp(self) -> None:
        self.links: list[ServerConnection] = []
        self.quitting = threading.Event()
        self.port = free_port()

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
            implementation.end()

    def test_no_token(self) -> None:
        """NapCat sends its Bearer all the same."""
        self.listening()
        for at, name in enumerate(NAMES):
            implementation = self.started([self.account(name)])
            expected = "Bearer" if name in ("napcat", "llbot") else None
            self.assertEqual(self.headers(at).get("Authorization"), expected, name)
            implementation.end()

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
