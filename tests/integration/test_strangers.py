"""Strangers: who gets in without a token, with a wrong one, with a right one; and that no token leaks."""

from __future__ import annotations

import contextlib
import hmac
import http.server
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.implementations.running import quiet_port
from tests.integration.faulty import FaultTestCase, LastingService, quiet
from tests.integration.listening_bots import Listener, Peer, Receiver, let_in, respond
from tests.integration.rawclient import Ended, HandshakeRefused, RawClient, handshake
from tests.integration.running import PATIENCE, Service, ServiceTestCase, wait_until
from tests.integration.test_running import TWISTD, RunTestCase

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


class Door:
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
DOORS = (
    Door("universal", "/10001", BOT, upgrade=True),
    Door("api", "/api", BOT, upgrade=True),
    Door("event", "/10001/event/", BOT, upgrade=True),
    Door("HTTP GET", "/10001/send_private_msg", BOT),
    Door("HTTP POST", "/10001/send_private_msg", BOT, json.dumps(SAY).encode(), **JSON_TYPE),
    Door("HTTP form", "/send_private_msg", BOT, b"user_id=20001&message=hi",
         Content_Type="application/x-www-form-urlencoded"),
    Door("sandbox", "/sandbox/10001", ADMIN),
    Door("sandbox say", "/sandbox/10001/say", ADMIN, json.dumps(SAY).encode()),
    Door("transcript", "/sandbox/10001/transcript", ADMIN),
    Door("transcript stream", "/sandbox/10001/transcript/stream", ADMIN),
    Door("metrics", "/metrics", ADMIN),
    Door("implementation", "/onebot/v11/ws", DIALLING, upgrade=True, X_Self_ID="10002",
         X_Client_Role="Universal"),
    Door("implementation api", "/onebot/v11/api/", DIALLING, upgrade=True, X_Self_ID="10002",
         X_Client_Role="API"),
    Door("post", "/onebot/v11/post", POSTING, json.dumps(EVENT).encode(), X_Self_ID="10003"),
)  # fmt: skip
#: Of requests that come from no program on this machine.
STRANGE: tuple[dict[str, str], ...] = (
    {"Host": "evil.example"}, {"Host": "192.0.2.1:8081"}, {"Host": "host.docker.internal"},
    {"Host": "localhost.evil.example"}, {"Host": "127.0.0.1.nip.io"}, {"Host": ""},
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
    {"Origin": "http://localhost"}, {"Origin": "https://console.example.org.evil.example"},
    {"Forwarded": "for=127.0.0.1"}, {"X-Forwarded-For": "127.0.0.1"}, {"x-real-ip": "::1"},
    {"X-Forwarded-For": ""}, {"FORWARDED": ""},
    {"Origin": "https://console.example.org", "X-Real-IP": "127.0.0.1"},
    {"Origin": "https://console.example.org", "Host": "evil.example"},
    {"Sec-Fetch-Site": "cross-site"}, {"Referer": "https://evil.example/page"},
)  # fmt: skip
#: Of requests that may come from such programs.
NATIVE: tuple[dict[str, str], ...] = (
    {}, {"Host": "localhost:1"}, {"Host": "[::1]:8081"}, {"Host": "bot.localhost"},
    {"Origin": "http://127.0.0.1"}, {"Origin": "https://console.example.org"},
)  # fmt: skip
ORIGINS = 'allowed_origins = ["https://console.example.org"]'


class StrangersTestCase(FaultTestCase):
    """Knocks at every door."""

    def knock(self, door: Door, headers: dict[str, str], query: str = "") -> tuple[int, str, str]:
        return exchange(("127.0.0.1", self.service.port), door.request(headers, query))


class WithoutTokens(StrangersTestCase):
    """Nobody has a token: every door is for programs on this machine."""

    toml = ACCOUNTS.format(dialling="", posting="", port=quiet_port()) + quiet()
    server = ORIGINS

    def test_strangers(self) -> None:
        """A web page, another name of this machine or a proxy: 403 at every door, and nothing is done."""
        said = len(self.service.transcript())
        for door in DOORS:
            for headers in STRANGE:
                status, head, body = self.knock(door, headers)
                self.assertEqual(status, 403, f"{door.name} {headers}: {body}")
                self.assertIn("set", body, "it is not told what to do")
                self.assertNotIn("Access-Control-Allow-Origin", head)
                for leak in ("post_type", "lgtwist_", "Playground", "retcode"):
                    self.assertNotIn(leak, body)
        self.assertEqual(len(self.service.transcript()), said, "a stranger's action was done")
        self.assertFalse(self.up(10002))
        log = self.new_log()
        self.assertEqual(log.count('Host "evil.example"'), 1)
        self.assertLess(log.count("refused"), 12)

    def up(self, self_id: int) -> bool:
        _status, metrics = self.service.http("/metrics")
        found = re.search(rf'^lgtwist_account_up\{{[^}}]*"{self_id}"[^}}]*\}} (\d)', metrics, re.M)
        return found is not None and found[1] == "1"

    def test_programs_here(self) -> None:
        """A program on this machine gets in at every door."""
        for door in DOORS:
            for headers in NATIVE:
                status, _head, body = self.knock(door, headers)
                wanted = 101 if door.upgrade else 204 if door.owner == POSTING else 200
                self.assertEqual(status, wanted, f"{door.name} {headers}: {body}")

    def test_a_token_nobody_has(self) -> None:
        """Who shows a token where none is set is refused all the same; so is a guess in the query."""
        for door in DOORS:
            if door.owner != POSTING:
                self.assertEqual(self.knock(door, door.shows("guess"))[0], 403, door.name)
                self.assertEqual(self.knock(door, {}, "access_token=guess")[0], 403, door.name)

    def test_machines(self) -> None:
        """``/healthz`` and ``/readyz`` answer strangers, but tell them no reasons."""
        health, ready = Door("healthz", "/healthz", ADMIN), Door("readyz", "/readyz", ADMIN)
        self.assertIn("10002", self.knock(ready, {})[2])
        for headers in STRANGE:
            self.assertEqual(self.knock(health, headers)[0], 200)
            status, _head, body = self.knock(ready, headers)
            self.assertEqual((status, body), (503, "not ready\n"), headers)

    def test_absolute_form(self) -> None:
        """A target with a host of its own writes neither what it likes into the log nor a password."""
        address = ("127.0.0.1", self.service.port)
        role = "Upgrade: websocket\r\nConnection: Upgrade\r\nX-Client-Role: Universal\r\n"
        for target, more in (
            ("http://evil\x1b[31m.example/onebot/v11/ws", ""),
            ("http://user:pa55word@127.0.0.1/onebot/v11/ws", ""),
            ("http://user:pa55word@127.0.0.1/", role),
        ):
            request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n"
            self.assertIn(exchange(address, request.encode())[0], (400, 404), target)
        for bad in ("\x1b", "pa55word"):
            self.assertNotIn(bad, self.new_log())


class ManyHosts(StrangersTestCase):
    """Without a token, from hosts without end."""

    toml = WithoutTokens.toml

    def test_many_hosts(self) -> None:
        """A thousand hosts are not a thousand lines, and none forges one."""
        for number in range(150):
            self.knock(DOORS[10], {"Host": f"h{number}.example\x1b[31m"})
        self.assertLess(self.new_log().count("refused"), 101)
        for door in DOORS:
            self.knock(door, {"Host": "a\x1b]0;x\x07b\u202e.example", "Origin": "\x1b[2J"})
        for bad in ("\x1b", "\x07", "\u202e"):
            self.assertNotIn(bad, self.new_log())


class WithTokens(StrangersTestCase):
    """Everybody has a token: with it, every door is open from anywhere."""

    toml = (
        ACCOUNTS.format(
            dialling=f'access_token = "{DIALLING}"', posting=f'secret = "{POSTING}"', port=quiet_port()
        )
        + f'[[bots]]\nname = "one"\naccess_token = "{BOT}"\n'
        + quiet()
    )
    server = f'admin_token = "{ADMIN}"\n{ORIGINS}'

    def test_right_token(self) -> None:
        """With its right token no header is a reason to refuse, at any door."""
        everything = {"Host": "x", "Origin": "null", "Forwarded": "for=1.2.3.4", "X-Real-IP": "1.2.3.4"}
        for door in DOORS:
            for headers in (*STRANGE, everything):
                status, _head, body = self.knock(door, {**headers, **door.shows(door.owner)})
                wanted = 101 if door.upgrade else 204 if door.owner == POSTING else 200
                self.assertEqual(status, wanted, f"{door.name} {headers}: {body}")
                if door.owner != POSTING:
                    status, _head, body = self.knock(door, headers, f"access_token={door.owner}")
                    self.assertEqual(status, wanted, f"{door.name} {headers} in the query: {body}")

    def test_wrong_token(self) -> None:
        """A token opens its own doors and no other; without one 401, whoever asks."""
        for door in DOORS:
            for headers in ({}, {"Origin": "https://console.example.org"}, {"Host": "localhost"}):
                self.assertEqual(self.knock(door, headers)[0], 401, door.name)
            for token in {BOT, ADMIN, DIALLING, POSTING, "wrong"} - {door.owner}:
                self.assertEqual(self.knock(door, door.shows(token))[0], 403, f"{door.name} {token}")
        signature = sign(POSTING, DOORS[-1].body or b"")
        for wrong in (signature[:-1], signature[5:], "sha1=", "sha1", signature + "0", "sha256=" + "0" * 64):
            self.assertEqual(self.knock(DOORS[-1], {"X-Signature": wrong})[0], 403, wrong)
        # A secret is no token: shown as one it opens nothing.
        self.assertEqual(self.knock(DOORS[-1], {"Authorization": f"Bearer {POSTING}"})[0], 401)

    def test_reasons_for_the_admin(self) -> None:
        """The reasons of ``/readyz`` are for this machine and for the admin's token, not for a bot's."""
        ready = Door("readyz", "/readyz", ADMIN)
        proxied = {"X-Forwarded-For": "1.2.3.4"}
        self.assertIn("reasons", self.knock(ready, {**proxied, **ready.shows(ADMIN)})[2])
        self.assertNotIn("reasons", self.knock(ready, {**proxied, **ready.shows(BOT)})[2])
        self.assertIn("reasons", self.knock(ready, {})[2])

    def test_thousand_guesses_on_loopback(self) -> None:
        """A thousand wrong guesses of one loopback address: few lines, little work, and none is limited."""
        address = ("127.0.0.1", self.service.port)
        statuses = guess(self, address, "127.0.0.2", set(range(0, 1000, 100)))
        self.assertEqual(statuses, {401, 403})


class PublicService(LastingService):
    """A service that listens on every address of this machine."""

    def start(self) -> None:
        own = f"tcp:{self.port}:interface=127.0.0.1"
        self.port = quiet_port()  # nobody dials from it, whichever the address
        text = self.config_path.read_text()
        self.config_path.write_text(text.replace(own, f"tcp:{self.port}:interface=0.0.0.0"))
        super().start()


def own_address() -> str:
    """An address of this machine that is not loopback; no packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))
        except OSError:
            raise SkipTest("this machine has no address but loopback") from None
        found = str(asking.getsockname()[0])
    if found.startswith(("127.", "0.")):
        raise SkipTest("this machine has no address but loopback")
    with socket.create_server((found, 0)) as listening:
        try:
            socket.create_connection(listening.getsockname(), 1).close()
        except OSError:
            raise SkipTest(f"this machine cannot dial itself at {found}") from None
    return found


def guess(test: StrangersTestCase, address: tuple[str, int], source: str, looks: Iterable[int]) -> set[int]:
    """A thousand wrong guesses at all doors, now and then with a right token between; their statuses."""
    service, began = test.service, time.monotonic()
    log, cpu, memory = len(service.log()), service.cpu_seconds(), service.memory()
    looked = set(looks)
    statuses = set()
    for number in range(1000):
        door = DOORS[number % len(DOORS)]
        headers = {} if number % 50 == 0 else door.shows(f"guess-{number}")
        status, head, _body = exchange(address, door.request(headers), source)
        statuses.add(status)
        if status == 503:
            test.assertIn("Retry-After", head)
        if number in looked:
            for open_door in (DOORS[0], DOORS[4], DOORS[10], DOORS[-1]):
                right = open_door.request(open_door.shows(open_door.owner))
                status, _head, body = exchange(address, right, source)
                test.assertIn(status, (101, 200, 204), f"after {number} guesses: {body}")
    used, seconds = service.cpu_seconds() - cpu, time.monotonic() - began
    test.assertLess(used, 2.0, f"in {seconds:.1f} s")
    test.assertLess(service.memory() - memory, 4 << 20)
    told = service.log()[log:]
    refusals = [line for line in told.splitlines() if "refused" in line or "failures" in line]
    test.assertLessEqual(len(refusals), 2, told)
    test.assertLess(len(told.splitlines()), 60, told)  # the right ones between are connections
    return statuses


class Public(StrangersTestCase):
    """A service that other machines can reach, without ``admin_token``."""

    toml = WithTokens.toml

    def start_shared(self, folder: Path) -> LastingService:
        return PublicService(folder, self.toml, self.server)

    def test_admin_pages_are_shut(self) -> None:
        """The admin's pages answer 403 and say what to set, whatever is shown; the rest works."""
        pages = [door for door in DOORS if door.owner == ADMIN]
        self.assertEqual(len(pages), 5)
        for door in pages:
            for headers in ({}, door.shows(BOT), door.shows(""), door.shows("guess"), {"Host": "localhost"}):
                status, _head, body = self.knock(door, headers)
                self.assertEqual(status, 403, door.name)
                self.assertIn("admin_token", body)
        for path in ("/healthz", "/readyz"):
            self.assertNotIn(self.knock(Door(path, path, ADMIN), {})[0], (401, 403))
        self.assertEqual(self.knock(DOORS[0], DOORS[0].shows(BOT))[0], 101)
        for door in DOORS:
            if door.owner != ADMIN:
                self.assertEqual(self.knock(door, {})[0], 401, door.name)


class PublicWithAdmin(StrangersTestCase):
    """A service that other machines can reach, with ``admin_token``."""

    toml = WithTokens.toml
    server = WithTokens.server

    def start_shared(self, folder: Path) -> LastingService:
        return PublicService(folder, self.toml, self.server)

    def test_admin_pages_open(self) -> None:
        """With the right token the admin's pages are open."""
        for door in DOORS:
            if door.owner == ADMIN:
                self.assertEqual(self.knock(door, {})[0], 401, door.name)
                self.assertEqual(self.knock(door, door.shows("guess"))[0], 403, door.name)
                self.assertEqual(self.knock(door, door.shows(ADMIN))[0], 200, door.name)

    def test_thousand_guesses(self) -> None:
        """A thousand guesses of one address: it is told to wait, while a right token from there works."""
        own = own_address()
        address = (own, self.service.port)
        ready = Door("readyz", "/readyz", ADMIN)
        self.assertNotIn("reasons", exchange(address, ready.request({}), own)[2])
        statuses = guess(self, address, own, {0, 10, 29, 30, 31, 35, 50, 100, 500, 999})
        self.assertEqual(statuses, {401, 403, 503})
        # Another address is not made to wait for it.
        local = exchange(("127.0.0.1", self.service.port), DOORS[0].request(DOORS[0].shows("x")), "127.0.0.3")
        self.assertEqual(local[0], 403)


class RefusedToStart(RunTestCase):
    """Asked to listen for other machines while somebody has no token."""

    TOML = """
        [[accounts]]
        type = "sandbox"
        self_id = 10001
        [[accounts]]
        type = "reverse-websocket"
        self_id = 10002
        [[accounts]]
        type = "reverse-websocket"
        self_id = 10003
        access_token = "has one"
        [[accounts]]
        type = "http"
        self_id = 10004
        url = "http://127.0.0.1:5700/"
        access_token = "not what signs"
        [[accounts]]
        type = "http"
        self_id = 10005
        url = "http://127.0.0.1:5700/"
        secret = "has one"
        [[accounts]]
        type = "http"
        self_id = 10006
        url = "http://127.0.0.1:5700/"
        [[accounts]]
        type = "reverse-websocket"
        self_id = 10007
        [[bots]]
        name = "with"
        access_token = "one"
        [[bots]]
        name = "lacking"
        {kind}
        """
    LACKING = {
        "bots[1].access_token": 'bot "lacking"',
        "accounts[1].access_token": "account 10002",
        "accounts[3].secret": "account 10004",
        "accounts[5].secret": "account 10006",
        "accounts[6].access_token": "account 10007",
    }

    def listening(self, endpoint: str, kind: str = "") -> Path:
        config = self.write(self.TOML.format(kind=kind))
        own = f"tcp:{self.port}:interface=127.0.0.1"
        config.write_text(config.read_text().replace(f'"{own}"', endpoint))
        return config

    def assert_all_named(self, config: Path, *how: str) -> None:
        lines = self.refused(*how, "lgtwist", *(() if how else ("--check",)), "--config", config)
        found = {}
        for line in lines:
            file, path, sentence = line.split(": ", 2)
            self.assertEqual(file, str(config))
            self.assertIn("can be reached from other machines", sentence)
            found[path] = sentence
        self.assertEqual(found.keys(), self.LACKING.keys())
        for path, name in self.LACKING.items():
            self.assertIn(name, found[path])
        for word in ("has one", "not what signs"):
            self.assertNotIn(word, "".join(lines))
        self.assertFalse(self.data.exists())

    def test_public_endpoints(self) -> None:
        """Exit status 1 and a line for each bot and account that lacks one, on every public endpoint."""
        port = self.port
        for endpoint in (
            f'"tcp:{port}"',
            f'"tcp:{port}:interface=0.0.0.0"',
            '"systemd:domain=INET:index=0"',
        ):
            self.assert_all_named(self.listening(endpoint), "-n", "--pidfile=")
        for endpoint in (
            f'"tcp:{port}:0.0.0.0"',
            f"'tcp:{port}:interface=\\:\\:'",
            f'"tcp:127.0.0.1:interface=127.0.0.1", "tcp:{port}"'.replace("tcp:127.0.0.1", f"tcp:{port + 1}"),
        ):
            self.assert_all_named(self.listening(endpoint))

    def test_dialled_bots(self) -> None:
        """A bot that is dialled, or posted to, needs one too: its token opens the port."""
        for kind in (
            'connection = "reverse-websocket"\nurl = "ws://127.0.0.1:8080/"',
            'connection = "http-post"\nurl = "http://127.0.0.1:8080/"\nsecret = "has one"',
        ):
            self.assert_all_named(self.listening(f'"tcp:{self.port}"', kind))

    def test_loopback(self) -> None:
        """On loopback and on a Unix socket nobody needs one."""
        here = (
            f'"tcp:{self.port}:interface=127.0.0.1"',
            f'"tcp:{self.port}:interface=127.8.9.10"',
            f"'tcp:{self.port}:interface=\\:\\:1'",
            '"unix:/tmp/x"',
        )
        ended = self.run_to_end("lgtwist", "--check", "--config", self.listening(", ".join(here)))
        self.assertEqual(ended.returncode, 0, ended)


# -- what leaks

SECRETS = {
    name: f"{name}-5ecret-{number}d7"
    for number, name in enumerate(
        (
            "bot", "filed-bot", "reverse-bot", "pair-bot", "hook-bot", "hook-secret", "admin", "dialled",
            "dialled-query", "dialling", "asked", "asked-secret", "reverse-query", "pair-query", "hook-query",
            "wrong", "wrong-query", "wrong-secret",
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

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", quiet_port()), Handler)
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
        (folder / "token-of-admin").write_text(SECRETS["admin"] + "\n")
        toml = LEAKY.format(
            s=SECRETS, dialled=self.dialled.port, asked=self.asked.port, reverse=self.reverse.port,
            hook=self.hook.port,
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

    def ask(self, door: Door, headers: dict[str, str], query: str = "") -> int:
        status, head, body = exchange(("127.0.0.1", self.service.port), door.request(headers, query))
        self.said.append(head + body)
        return status

    def doors(self) -> Iterator[tuple[Door, str]]:
        """Every door, and its token's name."""
        owners = {BOT: "bot", ADMIN: "admin", DIALLING: "dialling", POSTING: "asked-secret"}
        for door in DOORS:
            more = {key.replace("-", "_"): value for key, value in door.more.items()}
            if door.owner == DIALLING:
                more["X_Self_ID"] = "10004"
            yield Door(door.name, door.path, door.owner, door.body, door.upgrade, **more), owners[door.owner]
        for path in ("/", "/readyz", "/healthz", "/nowhere", "/10001/no_such_action", "/777/x", "/sandbox/7",
                     "/sandbox/10001/nothing", "/10003", "/set_restart", "/10001/set_card"):  # fmt: skip
            yield Door(path, path, BOT), "bot"

    def knock_everywhere(self) -> None:
        for door, owner in self.doors():
            for name in (owner, "filed-bot", "wrong", "reverse-bot", "admin", "hook-bot"):
                shown = SECRETS[name]
                self.ask(door, {"Authorization": f"Bearer {shown}"})
                self.ask(door, {"Authorization": f"Basic {shown}", "Host": "evil.example"})
                self.ask(door, {}, f"access_token={shown}")
                self.ask(
                    door,
                    {"Origin": "null"},
                    f"x=1&access_token={SECRETS['wrong-query']}&access_token={shown}",
                )
            if door.body is not None:
                for name in ("wrong-secret", "asked-secret"):
                    self.ask(door, {"X-Signature": sign(SECRETS[name], door.body)})
            self.ask(door, {})

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
        """Every kind of connection fails and comes back, every door is tried: no token is ever seen."""
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
