"""Peers that try to fill or to forge the log, by real sockets: it stays short, and the lines are ours."""

from __future__ import annotations

import json
import re
import socket
import struct
from typing import Any

from lgtwist.runtime import logs
from tests.integration.entry_points import ACCOUNTS, ADMIN, BOT, DIALLING
from tests.integration.rawclient import CLOSE, HandshakeRefused, RawClient
from tests.integration.running import PATIENCE, ServiceTestCase, wait_until
from tests.processes import free_port

#: A peer's text: a terminal's escape, a line of another program's, the direction of writing, a separator.
FORGED = "\x1b[2J\n2001-01-01T00:00:00+0000 [lgtwist.x#info] forged\u202e\u2028\x9b"
#: How a line of the log begins.
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[(-|[\w.]+#\w+)\] ")
#: How many times each peer tries.
TIMES = 1000
LIMITED = "l1mited-token"


class LogFloodTests(ServiceTestCase):
    toml = (
        ACCOUNTS.format(dialling=f'access_token = "{DIALLING}"', posting="", port=free_port())
        + f'[[bots]]\nname = "b"\naccess_token = "{BOT}"\n'
        + f'[[bots]]\nname = "limited"\naccess_token = "{LIMITED}"\nactions.allow = ["get_status"]\n'
        + "[limits]\nfailed_handshakes = 100_000\n"
    )
    server = f'admin_token = "{ADMIN}"\n'

    def setUp(self) -> None:
        super().setUp()
        self.before = len(self.service.log())

    def check(self, most: int) -> list[str]:
        """Check the lines since the start; they are ended by the service's end, which reports the rest."""
        self.assertEqual(self.service.stop(), 0)
        text = self.service.log_path.read_bytes().decode()[self.before :]
        lines = text.split("\n")
        self.assertEqual(lines.pop(), "")
        for line in lines:
            self.assertTrue(line.isprintable() and LINE.match(line), repr(line))
            self.assertFalse(line.startswith("2001-"), line)
            self.assertLess(len(line.encode()), 4096)
        self.assertLess(len(lines), most, "\n".join(lines[:200]))
        return lines

    def bot(self, token: str = BOT) -> RawClient:
        return RawClient(self.service, headers={"Authorization": f"Bearer {token}"})

    def test_a_bots_actions(self) -> None:
        """Failing actions that were accepted, and forbidden ones, each with a name of its own."""
        for token in (BOT, LIMITED):
            with self.bot(token) as bot:
                for number in range(TIMES):
                    bot.send(json.dumps({"action": f"n{number}{FORGED}_async", "echo": number}))
                    bot.response()
        lines = self.check(300)
        said = f" more lines like this in 60 s: b: n{logs.LINES}\ufffd"
        left_out = [line for line in lines if said in line]
        self.assertEqual(len(left_out), 1, lines)
        self.assertIn(f"{TIMES - logs.LINES} more lines", left_out[0])

    def test_peers_without_a_token(self) -> None:
        """Wrong tokens, wrong paths and no good requests, each on a connection of its own."""
        for number in range(TIMES // 4):
            for path, headers in (
                ("/", {"Authorization": f"Bearer wrong{number}"}),
                (f"/onebot/v11/ws/%0a%1b{number}", {}),
                (f"/{number}%e2%80%ae", {"X-Self-ID": f"{number}", "User-Agent": "\x9b\x85"}),
                ("/onebot/v11/ws", {"X-Self-ID": f"{20000 + number}", "X-Client-Role": "Universal"}),
            ):
                with self.assertRaises(HandshakeRefused):
                    RawClient(self.service, path, headers)
        for garbage in (b"\x00\x1b\n" * 999, b"GET\r\n\r\n", b"GET /\xe2\x80\xae HTTP/1.1\r\nA\r\n\r\n"):
            for _time in range(TIMES // 10):
                with self.service.connect() as connection:
                    connection.sendall(garbage)
        self.check(400)

    def test_an_implementations_frames(self) -> None:
        """What is no event, and links of an account that is another one each time."""
        headers = {
            "Authorization": f"Bearer {DIALLING}",
            "X-Self-ID": "10002",
            "X-Client-Role": "Universal",
        }
        with RawClient(self.service, "/onebot/v11/ws", headers) as link:
            for number in range(TIMES):
                link.send(f"{FORGED}{number}")
                link.send(json.dumps({"post_type": f"{number}{FORGED}", "self_id": 10002}))
                link.send(json.dumps({"post_type": 7, "self_id": FORGED}))
            link.send_close(4000, FORGED)
            link.read_to_end()
        for number in range(TIMES // 5):
            with RawClient(self.service, "/onebot/v11/ws", headers) as link:
                for _ in range(3):  # one alone may be a mistake
                    link.send(json.dumps({"post_type": "message", "self_id": 30000 + number}))
                while (frame := link.frame())[0] != CLOSE:
                    pass
                link.send(frame[1], opcode=CLOSE)
                link.read_to_end()
        self.check(200)

    def test_connections_that_end_oddly(self) -> None:
        """Each with another reason, broken frames, or a reset."""
        for number in range(TIMES // 5):
            with self.bot() as bot:
                bot.send_close(4000, f"{number}{FORGED}")
                bot.read_to_end()
            with self.bot() as bot:
                bot.send(b"\xff" * number, opcode=7)
                bot.read_to_end()
            with self.bot() as bot:
                bot.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wait_none_connected()
        self.check(6 * TIMES // 5 + 100)  # up to 1000 connections in 30 s are a line each

    def wait_none_connected(self) -> None:
        headers = {"Authorization": f"Bearer {ADMIN}"}

        def none() -> bool:
            metrics: Any = self.service.http("/metrics", headers=headers)[1]
            return 'lgtwist_bot_connections{bot="b"} 0' in metrics

        wait_until("all connections are closed", none, PATIENCE)
