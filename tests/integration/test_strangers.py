"""Strangers: who gets in without a token, with a wrong one, with a right one."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.integration.entry_points import (
    ACCOUNTS,
    ADMIN,
    BOT,
    DIALLING,
    ENTRY_POINTS,
    POSTING,
    EntryPoint,
    exchange,
    sign,
)
from tests.integration.faulty import FaultTestCase, LastingService, quiet
from tests.processes import free_port

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
    """Knocks at every entry."""

    def knock(self, entry: EntryPoint, headers: dict[str, str], query: str = "") -> tuple[int, str, str]:
        return exchange(("127.0.0.1", self.service.port), entry.request(headers, query))


class WithoutTokens(StrangersTestCase):
    """Nobody has a token: every entry is for programs on this machine."""

    toml = ACCOUNTS.format(dialling="", posting="", port=free_port()) + quiet()
    server = ORIGINS

    def test_strangers(self) -> None:
        """A web page, another name of this machine or a proxy: 403 at every entry, and nothing is done."""
        said = len(self.service.transcript())
        for entry in ENTRY_POINTS:
            for headers in STRANGE:
                status, head, body = self.knock(entry, headers)
                self.assertEqual(status, 403, f"{entry.name} {headers}: {body}")
                self.assertIn("set", body, "it is not told what to do")
                self.assertNotIn("Access-Control-Allow-Origin", head)
                for leak in ("post_type", "lgtwist_", "Playground", '"ok"'):
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
        """A program on this machine gets in at every entry."""
        for entry in ENTRY_POINTS:
            for headers in NATIVE:
                status, _head, body = self.knock(entry, headers)
                wanted = 101 if entry.upgrade else 204 if entry.owner == POSTING else 200
                self.assertEqual(status, wanted, f"{entry.name} {headers}: {body}")

    def test_a_token_nobody_has(self) -> None:
        """Who shows a token where none is set is refused all the same; so is a guess in the query."""
        for entry in ENTRY_POINTS:
            if entry.owner != POSTING:
                self.assertEqual(self.knock(entry, entry.shows("guess"))[0], 403, entry.name)
                self.assertEqual(self.knock(entry, {}, "access_token=guess")[0], 403, entry.name)

    def test_machines(self) -> None:
        """``/healthz`` and ``/readyz`` answer strangers, but tell them no reasons."""
        health, ready = EntryPoint("healthz", "/healthz", ADMIN), EntryPoint("readyz", "/readyz", ADMIN)
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
            self.knock(ENTRY_POINTS[10], {"Host": f"h{number}.example\x1b[31m"})
        self.assertLess(self.new_log().count("refused 127.0.0.1: Host"), 101)
        for entry in ENTRY_POINTS:
            self.knock(entry, {"Host": "a\x1b]0;x\x07b\u202e.example", "Origin": "\x1b[2J"})
        for bad in ("\x1b", "\x07", "\u202e"):
            self.assertNotIn(bad, self.new_log())


class WithTokens(StrangersTestCase):
    """Everybody has a token: with it, every entry is open from anywhere."""

    toml = (
        ACCOUNTS.format(
            dialling=f'access_token = "{DIALLING}"', posting=f'secret = "{POSTING}"', port=free_port()
        )
        + f'[[bots]]\nname = "one"\naccess_token = "{BOT}"\n'
        + quiet()
    )
    server = f'admin_token = "{ADMIN}"\n{ORIGINS}'

    def test_right_token(self) -> None:
        """With its right token no header is a reason to refuse, at any entry."""
        everything = {"Host": "x", "Origin": "null", "Forwarded": "for=1.2.3.4", "X-Real-IP": "1.2.3.4"}
        for entry in ENTRY_POINTS:
            for headers in (*STRANGE, everything):
                status, _head, body = self.knock(entry, {**headers, **entry.shows(entry.owner)})
                wanted = 101 if entry.upgrade else 204 if entry.owner == POSTING else 200
                self.assertEqual(status, wanted, f"{entry.name} {headers}: {body}")
                if entry.owner != POSTING:
                    status, _head, body = self.knock(entry, headers, f"access_token={entry.owner}")
                    self.assertEqual(status, wanted, f"{entry.name} {headers} in the query: {body}")

    def test_wrong_token(self) -> None:
        """A token opens its own entries and no other; without one 401, whoever asks."""
        for entry in ENTRY_POINTS:
            for headers in ({}, {"Origin": "https://console.example.org"}, {"Host": "localhost"}):
                self.assertEqual(self.knock(entry, headers)[0], 401, entry.name)
            for token in {BOT, ADMIN, DIALLING, POSTING, "wrong"} - {entry.owner}:
                self.assertEqual(self.knock(entry, entry.shows(token))[0], 403, f"{entry.name} {token}")
        signature = sign(POSTING, ENTRY_POINTS[-1].body or b"")
        for wrong in (signature[:-1], signature[5:], "sha1=", "sha1", signature + "0", "sha256=" + "0" * 64):
            self.assertEqual(self.knock(ENTRY_POINTS[-1], {"X-Signature": wrong})[0], 403, wrong)
        # A secret is no token: shown as one it opens nothing.
        self.assertEqual(self.knock(ENTRY_POINTS[-1], {"Authorization": f"Bearer {POSTING}"})[0], 401)

    def test_reasons_for_the_admin(self) -> None:
        """The reasons of ``/readyz`` are for this machine and for the admin's token, not for a bot's."""
        ready = EntryPoint("readyz", "/readyz", ADMIN)
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
        self.port = free_port()  # nobody dials from it, whichever the address
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
    """A thousand wrong guesses at all entries, now and then with a right token between; their statuses."""
    service, began = test.service, time.monotonic()
    log, cpu, memory = len(service.log()), service.cpu_seconds(), service.memory()
    looked = set(looks)
    statuses = set()
    for number in range(1000):
        entry = ENTRY_POINTS[number % len(ENTRY_POINTS)]
        headers = {} if number % 50 == 0 else entry.shows(f"guess-{number}")
        status, head, _body = exchange(address, entry.request(headers), source)
        statuses.add(status)
        if status == 503:
            test.assertIn("Retry-After", head)
        if number in looked:
            for open_door in (ENTRY_POINTS[0], ENTRY_POINTS[4], ENTRY_POINTS[10], ENTRY_POINTS[-1]):
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
    """A service that other machines can reach, without ``admin_token`` and without a console."""

    toml = WithTokens.toml + "[console]\nenabled = false\n"

    def start_shared(self, folder: Path) -> LastingService:
        return PublicService(folder, self.toml, self.server)

    def test_admin_pages_are_shut(self) -> None:
        """The admin's pages answer 403 and say what to set, whatever is shown; the rest works."""
        pages = [entry for entry in ENTRY_POINTS if entry.owner == ADMIN]
        self.assertEqual(len(pages), 8)
        for entry in pages:
            for headers in (
                {},
                entry.shows(BOT),
                entry.shows(""),
                entry.shows("guess"),
                {"Host": "localhost"},
            ):
                status, _head, body = self.knock(entry, headers)
                self.assertEqual(status, 403, entry.name)
                self.assertIn("admin_token", body)
        for path in ("/healthz", "/readyz"):
            self.assertNotIn(self.knock(EntryPoint(path, path, ADMIN), {})[0], (401, 403))
        self.assertEqual(self.knock(ENTRY_POINTS[0], ENTRY_POINTS[0].shows(BOT))[0], 101)
        for entry in ENTRY_POINTS:
            if entry.owner != ADMIN:
                self.assertEqual(self.knock(entry, {})[0], 401, entry.name)


class PublicWithMadeToken(StrangersTestCase):
    """A service that other machines can reach, with the admin token that it has made."""

    toml = WithTokens.toml

    def start_shared(self, folder: Path) -> LastingService:
        return PublicService(folder, self.toml, self.server)

    def test_admin_pages_open(self) -> None:
        """The made token opens the admin's pages as a configured one does; without it nobody is let in."""
        made = (self.service.folder / "data" / "admin_token").read_text().strip()
        for entry in ENTRY_POINTS:
            if entry.owner == ADMIN:
                for headers in ({}, {"Host": "localhost"}):
                    self.assertEqual(self.knock(entry, headers)[0], 401, entry.name)
                self.assertEqual(self.knock(entry, entry.shows("guess"))[0], 403, entry.name)
                self.assertEqual(self.knock(entry, entry.shows(made))[0], 200, entry.name)


class PublicWithAdmin(StrangersTestCase):
    """A service that other machines can reach, with ``admin_token``."""

    toml = WithTokens.toml
    server = WithTokens.server

    def start_shared(self, folder: Path) -> LastingService:
        return PublicService(folder, self.toml, self.server)

    def test_admin_pages_open(self) -> None:
        """With the right token the admin's pages are open."""
        for entry in ENTRY_POINTS:
            if entry.owner == ADMIN:
                self.assertEqual(self.knock(entry, {})[0], 401, entry.name)
                self.assertEqual(self.knock(entry, entry.shows("guess"))[0], 403, entry.name)
                self.assertEqual(self.knock(entry, entry.shows(ADMIN))[0], 200, entry.name)

    def test_thousand_guesses(self) -> None:
        """A thousand guesses of one address: it is told to wait, while a right token from there works."""
        own = own_address()
        address = (own, self.service.port)
        ready = EntryPoint("readyz", "/readyz", ADMIN)
        self.assertNotIn("reasons", exchange(address, ready.request({}), own)[2])
        statuses = guess(self, address, own, {0, 10, 29, 30, 31, 35, 50, 100, 500, 999})
        self.assertEqual(statuses, {401, 403, 503})
        # Another address is not made to wait for it.
        local = exchange(
            ("127.0.0.1", self.service.port), ENTRY_POINTS[0].request(ENTRY_POINTS[0].shows("x")), "127.0.0.3"
        )
        self.assertEqual(local[0], 403)
