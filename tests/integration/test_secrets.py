"""No token and no secret of the configuration in a log, an answer or a page."""

from __future__ import annotations

import contextlib
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.entry_points import (
    ADMIN,
    BOT,
    DIALLING,
    ENTRY_POINTS,
    EVENT,
    POSTING,
    EntryPoint,
    exchange,
    sign,
)
from tests.integration.faulty import quiet
from tests.integration.listening_bots import Listener, Peer, Receiver, let_in, respond
from tests.integration.rawclient import Ended, HandshakeRefused, RawClient
from tests.integration.running import PATIENCE, Service, ServiceTestCase, wait_until
from tests.processes import TWISTD, free_port

SECRETS = {
    name: f"{name}-5ecret-{number}d7"
    for number, name in enumerate(
        (
            "bot", "filed-bot", "reverse-bot", "pair-bot", "hook-bot", "hook-secret", "admin", "dialled",
            "dialled-query", "dialling", "asked", "asked-secret", "reverse-query", "pair-query", "hook-query",
            "wrong", "wrong-query", "wrong-secret", "alert-path", "alert-query", "alert-secret",
            "alert-password",
        )
    )
}  # fmt: skip


def every_secret() -> Iterator[str]:
    yield from SECRETS.values()
    for body in (b"{}", json.dumps(EVENT).encode()):
        yield from (sign(SECRETS[name], body)[5:] for name in ("asked-secret", "hook-secret"))


LEAKY = """
[[accounts]]
type = "sandbox"
self_id = 10001
[[accounts]]
type = "forward-websocket"
self_id = 10002
url = "ws://127.0.0.1:{dialled}/x?a=1&access_token={s[dialled-query]}"
access_token = "{s[dialled]}"
reconnect = {{ min = "50ms", max = "100ms" }}
[[accounts]]
type = "http"
self_id = 10003
url = "http://127.0.0.1:{asked}/"
access_token = "{s[asked]}"
secret_file = "secret-of-asked"
[[accounts]]
type = "reverse-websocket"
self_id = 10004
access_token = "{s[dialling]}"
[[bots]]
name = "bot"
access_token = "{s[bot]}"
accounts = [10001, 10002]
actions = {{ deny = ["set_*"] }}
[[bots]]
name = "filed"
access_token_file = "token-of-filed"
[[bots]]
name = "reverse"
connection = "reverse-websocket"
url = "ws://127.0.0.1:{reverse}/ws?access_token={s[reverse-query]}"
access_token = "{s[reverse-bot]}"
accounts = [10001]
reconnect = {{ min = "50ms", max = "100ms" }}
[[bots]]
name = "pair"
connection = "reverse-websocket"
api_url = "ws://127.0.0.1:{reverse}/api?access_token={s[pair-query]}"
event_url = "ws://127.0.0.1:{reverse}/event?access_token={s[pair-query]}"
access_token = "{s[pair-bot]}"
accounts = [10001]
reconnect = {{ min = "50ms", max = "100ms" }}
[[bots]]
name = "hook"
connection = "http-post"
url = "http://127.0.0.1:{hook}/hook?access_token={s[hook-query]}"
secret = "{s[hook-secret]}"
access_token = "{s[hook-bot]}"
accounts = [10001]
timeout = "300ms"
[[alerts]]
kind = "webhook"
url = "http://127.0.0.1:{asked}/{s[alert-path]}"
secret = "{s[alert-secret]}"
after = "1s"
[[alerts]]
kind = "dingtalk"
url_file = "url-of-alerts"
secret_file = "secret-of-alerts"
after = "1s"
[[alerts]]
kind = "email"
server = "127.0.0.1"
port = {nobody}
user = "me@example.org"
password = "{s[alert-password]}"
to = "you@example.org"
after = "1s"
"""


class Asked:
    """An implementation that answers over HTTP, with whatever status."""

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.asked += 1
                data = {"online": True, "good": True, "user_id": 10003, "nickname": "Asked"}
                body = json.dumps({"status": "ok", "retcode": 0, "data": data}).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Leaks(ServiceTestCase):
    """Every token and secret there is, and everything that the service ever says."""

    def setUp(self) -> None:
        self.dialled, self.reverse, self.hook, self.asked = Listener(), Listener(), Receiver(), Asked()
        for one in (self.dialled, self.reverse, self.hook, self.asked):
            self.addCleanup(one.end)
        self.said: list[str] = []
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        (folder / "token-of-filed").write_text(SECRETS["filed-bot"] + "\n")
        (folder / "secret-of-asked").write_text(SECRETS["asked-secret"])
        (folder / "secret-of-alerts").write_text(SECRETS["alert-secret"])
        url = f"http://127.0.0.1:{self.asked.port}/robot/send?access_token={SECRETS['alert-query']}"
        (folder / "url-of-alerts").write_text(f"{url}\n")
        (folder / "token-of-admin").write_text(SECRETS["admin"] + "\n")
        toml = LEAKY.format(
            s=SECRETS, dialled=self.dialled.port, asked=self.asked.port, reverse=self.reverse.port,
            hook=self.hook.port, nobody=free_port(),
        ) + quiet("50ms", handshake_timeout="500ms")  # fmt: skip
        self.dialled.answer = self.reverse.answer = self.refuse_in_turn
        self.hook.usual = respond(500, f"no {SECRETS['hook-bot']}".encode())
        self.asked.status = 401
        self.service = Service(folder, toml, 'admin_token_file = "token-of-admin"')
        self.addCleanup(self._end, self.service)

    #: How handshakes are refused, one after the other.
    REFUSALS = (401, 403, 500, 302)

    def refuse_in_turn(self, peer: Peer) -> None:
        peer.refuse(self.REFUSALS[int(time.monotonic() * 10) % len(self.REFUSALS)])

    # -- everything that is said

    def hear(self, request: bytes) -> None:
        """Send any bytes, and keep what comes back."""
        with self.service.connect() as sock, contextlib.suppress(OSError):
            sock.sendall(request)
            sock.settimeout(0.1)
            while data := sock.recv(65536):
                self.said.append(data.decode("latin-1"))

    def ask(self, entry: EntryPoint, headers: dict[str, str], query: str = "") -> int:
        status, head, body = exchange(("127.0.0.1", self.service.port), entry.request(headers, query))
        self.said.append(head + body)
        return status

    def entries(self) -> Iterator[tuple[EntryPoint, str]]:
        """Every entry, and its token's name."""
        owners = {BOT: "bot", ADMIN: "admin", DIALLING: "dialling", POSTING: "asked-secret"}
        for entry in ENTRY_POINTS:
            more = {key.replace("-", "_"): value for key, value in entry.more.items()}
            if entry.owner == DIALLING:
                more["X_Self_ID"] = "10004"
            yield (
                EntryPoint(entry.name, entry.path, entry.owner, entry.body, entry.upgrade, **more),
                owners[entry.owner],
            )
        for path in ("/", "/readyz", "/healthz", "/nowhere", "/10001/no_such_action", "/777/x", "/sandbox/7",
                     "/sandbox/10001/nothing", "/10003", "/set_restart", "/10001/set_card"):  # fmt: skip
            yield EntryPoint(path, path, BOT), "bot"

    def knock_everywhere(self) -> None:
        for entry, owner in self.entries():
            for name in (owner, "filed-bot", "wrong", "reverse-bot", "admin", "hook-bot"):
                shown = SECRETS[name]
                self.ask(entry, {"Authorization": f"Bearer {shown}"})
                self.ask(entry, {"Authorization": f"Basic {shown}", "Host": "evil.example"})
                self.ask(entry, {}, f"access_token={shown}")
                self.ask(
                    entry,
                    {"Origin": "null"},
                    f"x=1&access_token={SECRETS['wrong-query']}&access_token={shown}",
                )
            if entry.body is not None:
                for name in ("wrong-secret", "asked-secret"):
                    self.ask(entry, {"X-Signature": sign(SECRETS[name], entry.body)})
            self.ask(entry, {})

    def knock_oddly(self) -> None:
        """Requests that are hardly any, with tokens where none belong."""
        token, bot = SECRETS["wrong"], SECRETS["bot"]
        end = f"Host: 127.0.0.1\r\nAuthorization: Bearer {bot}\r\n\r\n"
        for request in (
            f"G\0T /?access_token={token} HTTP/9.9\r\n{end}",
            f"GET /?access_token={token}\r\n{end}",
            f"GET /?access_token={token} x HTTP/1.1\r\n{end}",
            f"GET /%ff?access_token={bot} HTTP/1.1\r\n{end}",
            f"GET http://127.0.0.1/onebot/v11/ws?access_token={bot} HTTP/1.1\r\n{end}",
            f"CONNECT {token}:1 HTTP/1.1\r\n{end}",
            f"GET / HTTP/1.1\r\n{token}\r\n{end}",
            f"GET / HTTP/1.1\r\nAuthorization : {token}\r\n{end}",
            f"GET /metrics HTTP/1.1\r\nAuthorization: Bearer {token}\r\n{end}",
            f"GET / HTTP/1.1\r\nContent-Length: {token}\r\n{end}",
            f"GET /{'x' * 20000}?access_token={token} HTTP/1.1\r\n{end}",
            f"GET / HTTP/1.1\r\nX: {bot * 5000}\r\n{end}",
            f"POST /onebot/v11/post HTTP/1.1\r\nX-Self-ID: {token}\r\n{end}",
            f"POST /10001/get_status HTTP/1.1\r\nContent-Type: {token}\r\nContent-Length: 1\r\n{end}x",
            f"POST /10001/get_status HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{end}zz{token}\r\n",
            f"GET /onebot/v11/ws HTTP/1.1\r\nX-Self-ID: {token}\r\n{end}",
            f"GET /?access_token={bot} HTTP/1.1\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {token}\r\n{end}",
        ):
            self.hear(request.encode("latin-1"))

    def bots_that_break(self) -> None:
        """Bots and implementations that are there with right tokens and end in every way."""
        bot = {"Authorization": f"Bearer {SECRETS['bot']}"}
        implementation = {
            "X-Self-ID": "10004", "X-Client-Role": "Universal",
            "Authorization": f"Bearer {SECRETS['dialling']}",
        }  # fmt: skip
        for path, headers in (
            ("/10001", bot),
            (f"/10001/event?access_token={SECRETS['filed-bot']}", {}),
            ("/onebot/v11/ws", implementation),
            (f"/onebot/v11/ws?access_token={SECRETS['dialling']}", implementation),
        ):
            for ending in ("{", b"\xff", None):
                with contextlib.suppress(HandshakeRefused), RawClient(self.service, path, headers) as client:
                    client.socket.settimeout(0.1)
                    if ending is None:
                        client.reset()
                        continue
                    client.send(ending)
                    client.send('{"action":"set_restart"}')
                    client.send_close(1008, "no")
                    with contextlib.suppress(OSError, Ended):
                        while True:
                            self.said.append(repr(client.frame()))

    def read_everything(self) -> None:
        admin = {"Authorization": f"Bearer {SECRETS['admin']}"}
        for path in ("/metrics", "/readyz", "/", "/sandbox/10001", "/sandbox/10001/world", "/healthz"):
            for headers in (admin, {}):
                self.said.append(str(self.service.http(path, headers=headers)))

    def check(self, config: Path) -> str:
        ended = subprocess.run(
            [*TWISTD, "lgtwist", "--check", "--config", str(config)],
            cwd=self.service.folder,
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.said += [ended.stdout, ended.stderr]
        return ended.stdout + ended.stderr

    def assert_nothing_leaked(self) -> None:
        written = {
            path: path.read_bytes() for path in (self.service.folder / "data").rglob("*") if path.is_file()
        }
        sources = [("the log", self.service.log()), *(("an answer", one) for one in self.said)]
        sources += [(str(path), text.decode("latin-1")) for path, text in written.items()]
        for secret in every_secret():
            for where, text in sources:
                if secret.lower() in text.lower():
                    at = text.lower().index(secret.lower())
                    self.fail(f"{secret} is in {where}: ...{text[max(0, at - 300) : at + 100]!r}")

    def test_nothing_leaks(self) -> None:
        """Every kind of connection fails and comes back, every entry is tried: no token is ever seen."""
        for listener in (self.dialled, self.reverse):
            wait_until("some handshakes were refused", lambda one=listener: one.dialled() > 8)
        wait_until("posts failed", lambda: len(self.hook.posts) > 3)
        wait_until("the HTTP account was asked", lambda: self.asked.asked > 1)
        self.read_everything()
        self.knock_everywhere()
        self.knock_oddly()
        self.bots_that_break()
        # All come back, and break again.
        self.dialled.answer = self.reverse.answer = let_in
        self.hook.usual = respond(204)
        self.asked.status = 200
        account = self.dialled.next()
        account.send(
            json.dumps({"post_type": "meta_event", "meta_event_type": "lifecycle", "self_id": 10002})
        )
        links = [self.reverse.next() for _ in range(3)]
        wait_until("the HTTP account is up", lambda: "account 10003 is up" in self.service.log())
        self.read_everything()
        account.send_close(1008, "token")
        for link, code in zip(links, (1008, 1011, 1000), strict=True):
            link.send_close(code, "no")
        again = self.dialled.next()
        again.send(json.dumps({"status": "failed", "retcode": 1403, "message": "token", "echo": None}))
        again.reset()
        self.dialled.end()
        self.asked.status = 403
        self.reverse.drop_all()
        self.hook.stop()
        wait_until("the HTTP account is down", lambda: "account 10003 is down" in self.service.log())
        self.read_everything()
        checked = self.check(self.service.config_path)
        self.assertIn('bot "filed"', checked)
        self.assertIn("gets its events posted to", checked)
        self.check_mistakes()
        for kind in ("webhook", "dingtalk"):  # after three tries, which take 35 s
            wait_until("alerts failed", lambda kind=kind: f'({kind}): "' in self.service.log(), 2 * PATIENCE)
        self.reverse.end()
        self.assertEqual(self.service.stop(), 0)
        self.assertGreater(len(self.said), 500)
        for part in (
            "bot: ",
            "reverse (account 10001, Universal): cannot connect",
            "account 10002: cannot connect",
            "hook: ",
        ):
            self.assertIn(part, self.service.log())
        self.assert_nothing_leaked()

    def check_mistakes(self) -> None:
        """Configurations with mistakes around tokens."""
        token = SECRETS["wrong"]
        bot, account = '[[bots]]\nname = "{}"\n', "[[accounts]]\nself_id = {}\n"
        mistakes = (
            (bot, f'access_token = " {token}"', "bots[0].access_token"),
            (bot, f'access_token = ["{token}"]', "bots[1].access_token"),
            (bot, f'acess_token = "{token}"', "bots[2].acess_token"),
            (bot, f'access_token = "{token}\\n"', "bots[3].access_token"),
            (bot, f'access_token = "{token}"\naccess_token_file = "f"', "bots[4].access_token_file"),
            (bot, f'access_token = "{token}"', ""),
            (bot, f'access_token = "{token}"', "bots[6].access_token"),
            (bot, f'connection = "reverse-websocket"\nurl = "ws://u:{token}@127.0.0.1/"', "bots[7].url"),
            (bot, f'connection = "http-post"\nurl = "ftp://127.0.0.1/?token={token}"', "bots[8].url"),
            (account, f'type = "http"\nurl = "http://127.0.0.1/?access_token={token}"', "accounts[0].url"),
            (account, f'type = "sandbox"\nsecret = "{token}"', "accounts[1].secret"),
        )
        config = self.service.folder / "mistaken.toml"
        config.write_text(
            "".join(f"{kind.format(n + 1)}{more}\n" for n, (kind, more, _) in enumerate(mistakes))
        )
        said = self.check(config)
        for _kind, _lines, key in mistakes:
            self.assertIn(key, said)
        for value in (f'"{token}', f'"\\q{token}"', token):
            config.write_text(f"[[bots]]\nname = 'x'\naccess_token = {value}\n")
            self.assertIn("not TOML", self.check(config))
