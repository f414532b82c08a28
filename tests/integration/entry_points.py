"""Every way to use the service's port, with a right token, a wrong one or none."""

from __future__ import annotations

import hmac
import json
import re
import socket

from tests.integration.rawclient import handshake
from tests.integration.running import PATIENCE

ALICE = 20001

SAY = {"user_id": ALICE, "message": "by a stranger"}

EVENT = {"post_type": "notice", "notice_type": "test", "self_id": 10003, "n": 1}

#: A sandbox, an implementation that dials, and one that posts.
ACCOUNTS = """
[[accounts]]
type = "sandbox"
self_id = 10001
[[accounts]]
type = "reverse-websocket"
self_id = 10002
{dialling}
[[accounts]]
type = "http"
self_id = 10003
url = "http://127.0.0.1:{port}/"
{posting}
"""

BOT, ADMIN, DIALLING, POSTING = "b0t-token", "adm1n-token", "dial1ng-token", "p0sting-secret"


def sign(secret: str, body: bytes) -> str:
    return "sha1=" + hmac.new(secret.encode(), body, "sha1").hexdigest()


def exchange(address: tuple[str, int], request: bytes, source: str | None = None) -> tuple[int, str, str]:
    """Send a request; status, head and body of its answer, as far as that has a length."""
    where = None if source is None else (source, 0)
    with socket.create_connection(address, PATIENCE, source_address=where) as sock:
        sock.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got and (data := sock.recv(65536)):
            got += data
        head, _mark, body = got.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        while length and len(body) < int(length[1]) and (data := sock.recv(65536)):
            body += data
    return int(head.split(b" ")[1]), head.decode("latin-1"), body.decode("utf-8", "replace")


class EntryPoint:
    """One way in.

    :ivar owner: whose token opens it.
    """

    def __init__(
        self, name: str, path: str, owner: str, body: bytes | None = None, upgrade: bool = False, **more: str
    ) -> None:
        self.name, self.path, self.owner, self.body, self.upgrade = name, path, owner, body, upgrade
        self.more = {key.replace("_", "-"): value for key, value in more.items()}

    def request(self, headers: dict[str, str], query: str = "") -> bytes:
        """The request, with more headers."""
        given = {"Host": "127.0.0.1", **self.more, **headers}
        path = self.path + (f"?{query}" if query else "")
        if self.upgrade:
            return handshake(path, given)
        lines = [f"{'GET' if self.body is None else 'POST'} {path} HTTP/1.1"]
        lines += [f"{key}: {value}" for key, value in given.items()]
        if self.body is not None:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + (self.body or b"")

    def shows(self, token: str) -> dict[str, str]:
        """Headers that show a token, or a secret."""
        if self.owner == POSTING:
            return {"X-Signature": sign(token, self.body or b"")}
        return {"Authorization": f"Bearer {token}"}


JSON_TYPE = {"Content_Type": "application/json"}

ENTRY_POINTS = (
    EntryPoint("universal", "/10001", BOT, upgrade=True),
    EntryPoint("api", "/api", BOT, upgrade=True),
    EntryPoint("event", "/10001/event/", BOT, upgrade=True),
    EntryPoint("HTTP GET", "/10001/send_private_msg", BOT),
    EntryPoint("HTTP POST", "/10001/send_private_msg", BOT, json.dumps(SAY).encode(), **JSON_TYPE),
    EntryPoint("HTTP form", "/send_private_msg", BOT, b"user_id=20001&message=hi",
         Content_Type="application/x-www-form-urlencoded"),
    EntryPoint("sandbox", "/sandbox/10001", ADMIN),
    EntryPoint("sandbox say", "/sandbox/10001/say", ADMIN, json.dumps(SAY).encode()),
    EntryPoint("transcript", "/sandbox/10001/transcript", ADMIN),
    EntryPoint("transcript stream", "/sandbox/10001/transcript/stream", ADMIN),
    EntryPoint("event log", "/sandbox/10001/log", ADMIN),
    EntryPoint("event log stream", "/sandbox/10001/log/stream", ADMIN),
    EntryPoint("sandbox media", "/sandbox/10001/media", ADMIN, b"hello"),
    EntryPoint("metrics", "/metrics", ADMIN),
    EntryPoint("implementation", "/onebot/v11/ws", DIALLING, upgrade=True, X_Self_ID="10002",
         X_Client_Role="Universal"),
    EntryPoint("implementation api", "/onebot/v11/api/", DIALLING, upgrade=True, X_Self_ID="10002",
         X_Client_Role="API"),
    EntryPoint("post", "/onebot/v11/post", POSTING, json.dumps(EVENT).encode(), X_Self_ID="10003"),
)  # fmt: skip
