"""Attacks on the console over HTTP: what a page of somebody else, a stranger and a peer can not do."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from typing import Any

from attrs import evolve

from lgtwist.console.sessions import LIFETIME, set_cookie
from lgtwist.runtime.logs import Logger
from tests.console.test_api import OURS, TOKEN, ConsoleTestCase
from tests.web.site_case import Peer

#: What a name, a message and a header may hold to become markup somewhere.
MARKUP = "<img src=x onerror=alert(1)></script>\u202e"


class LogLines:
    """What is logged by the package."""

    def __init__(self, test: Any) -> None:
        self.lines: list[str] = []
        emit = Logger.emit

        def noted(logger: Any, level: Any, format: Any = None, **values: Any) -> None:
            if format is not None:
                self.lines.append(f"{format} {values}")
            emit(logger, level, format, **values)

        test.patch(Logger, "emit", noted)


class EveryAnswerTests(ConsoleTestCase):
    def check(self, peer: Peer, what: object = "") -> None:
        headers = peer.headers()
        self.assertIn("content-security-policy: ", headers, what)
        self.assertIn("frame-ancestors 'none'", headers, what)
        self.assertIn("x-content-type-options: nosniff", headers, what)
        self.assertNotIn("access-control-", headers, what)
        self.assertNotIn(TOKEN, peer.read().decode("utf-8", "replace"), what)
        if "immutable" not in headers:
            self.assertIn("cache-control: no-store", headers, what)

    def test_errors_too(self) -> None:
        origin = {"Origin": "http://evil.example"}
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND"):
            for path in (
                "", "/", "/x", "/s/0/app.js", "/api", "/api/", "/api/session", "/api/login", "/api/state",
                "/api/x",
                "/api/stream/x", "/api/traffic/1", "/api/traffic/x", "/api/rights", "/api/rights/x",
                "/api/sandbox", "/api/sandbox/", "/api/sandbox/10001", "/api/sandbox/10001/x",
                "/api/sandbox/1/say",
                "/api/sandbox/10001/media/x.png", "/api/sandbox/10001/media/..%2fworld.sqlite",
            ):  # fmt: skip
                for more in ({}, {"Authorization": f"Bearer {TOKEN}"}):
                    peer = self.get(f"/console{path}", method, **origin, **more)
                    self.assertLess(peer.status(), 500, (method, path))
                    self.check(peer, (method, path, more))

    def test_a_failure_of_ours(self) -> None:
        def fail(*_what: object) -> None:
            raise ZeroDivisionError("SECRET")

        self.patch(self.service.console._api._overview, "state", fail)
        peer = self.bearer("state")
        self.assertEqual(peer.status(), 500)
        self.assertNotIn("SECRET", peer.body())
        self.check(peer)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_an_answer_that_cannot_be_encoded(self) -> None:
        """Whether it is there at once or later: nobody waits for ever."""

        async def later(*_what: object) -> object:
            return {"name": "\ud800"}

        def at_once(*_what: object) -> object:
            return {"name": "\ud800"}

        for handler in (later, at_once):
            self.service.console._api._routes["GET", "state"] = handler
            peer = self.bearer("state")
            self.assertEqual(peer.status(), 500)
            self.assertEqual(json.loads(peer.body())["error"]["code"], "internal")
            self.flushLoggedErrors(UnicodeEncodeError)
        answer = self.bearer("rights/try", "POST", {"bot": "b\ud800", "account": 1, "action": "x"})
        self.assertEqual(
            json.loads(answer.body())["rule"], {"code": "no_such_bot", "args": {"bot": "b\ufffd"}}
        )

    def test_what_the_connection_refuses(self) -> None:
        """Before any mount is asked: a body that is too long, a head that is, and one that is malformed."""
        for status, head in (
            (413, "POST /console/api/call HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"),
            (415, "POST /console/api/login HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
             "Content-Length: 9\r\n\r\n"),
            (414, f"GET /console/{'x' * 70_000} HTTP/1.1\r\n"),
            (431, f"GET /console/ HTTP/1.1\r\nHost: x\r\nCookie: {'x' * 70_000}\r\n"),
            (400, "GET /console/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
            (400, "GET /console/ HTTP/9\r\n\r\n"),
        ):  # fmt: skip
            peer = Peer(self).send(head.encode())
            self.assertEqual(peer.status(), status)
            self.check(peer, head[:60])

    def test_files_of_the_pages(self) -> None:
        path = self.get("/console/").body().partition('src="')[2].partition('"')[0]
        self.check(self.get(f"/console/{path}"))


class SecretTests(ConsoleTestCase):
    secrets = (
        "b0t-t0ken-of-test",
        "acc0unt-t0ken-of-test",
        "p0st-secret-of-test",
        "qu3ry-t0ken",
        "us3r-info",
    )
    toml = f"""
        [server]
        admin_token = "{TOKEN}"
        [[accounts]]
        self_id = 10001
        [[accounts]]
        type = "reverse-websocket"
        self_id = 10002
        access_token = "acc0unt-t0ken-of-test"
        [[bots]]
        name = "a"
        access_token = "b0t-t0ken-of-test"
        [[bots]]
        name = "b"
        connection = "http-post"
        url = "http://127.0.0.1:9/post?access_token=qu3ry-t0ken&x=1"
        secret = "p0st-secret-of-test"
        """

    def test_no_answer_has_a_token(self) -> None:
        log = LogLines(self)
        self.dial("/onebot/v11/ws", X_Self_ID="10002", Authorization="Bearer us3r-info")
        self.dial("/?access_token=us3r-info")
        self.get("/get_status?access_token=us3r-info")
        stream = self.bearer("stream?topics=links,traffic,sandbox:10001")
        call = {"account": 10001, "action": "get_status", "params": {"access_token": "us3r-info"}}
        self.bearer("call", "POST", call)
        self.clock.advance(1.1)
        for path in ("state", "actions", "session", "traffic/1", "sandbox/10001", "sandbox/10001/log"):
            text = self.bearer(path).read().decode()
            for secret in (TOKEN, *self.secrets):
                self.assertNotIn(secret, text, path)
        for secret in (TOKEN, *self.secrets):
            self.assertNotIn(secret, stream.read().decode())
            for line in log.lines:
                self.assertNotIn(secret, line)


class PathTests(ConsoleTestCase):
    def test_nothing_is_below_what_is_open(self) -> None:
        """A cookie that is set there would be sent there only; and nobody shall find two names of a path."""
        for path in ("login/x", "login//", "login/%2f", "login;x", "Login", "%2flogin", "login%00"):
            peer = self.api(path, "POST", {"token": TOKEN})
            self.assertIn(peer.status(), (401, 404), path)
            self.assertNotIn("set-cookie", peer.headers(), path)
        for path in (
            "session/x",
            "session/../state",
            "session/..%2fstate",
            "session;/../state",
            "session%2f..%2fstate",
        ):
            self.assertEqual(self.api(path).status(), 401, path)

    def test_nothing_is_below_other_paths(self) -> None:
        for path in ("state/x", "actions/x", "state/../session", "traffic/1/2", "sandbox"):
            self.assertEqual(self.bearer(path).status(), 404, path)
        self.assertEqual(self.bearer("stream/x").status(), 405)

    def test_other_ways_to_write_a_path_need_the_token_too(self) -> None:
        for path in (
            "/console/api/./state", "/console/api//state", "/console//api/state", "//console/api/state",
            "/console/s/../api/state", "/%63onsole/%61pi/state", "http://localhost/console/api/state",
            "http://evil.example/console/api/state", "/console/api%2fstate", "/console%2fapi/state",
            "/console/api/state;", "/console/api/state?", "/console/api/state#x", "/console/api/state/",
        ):  # fmt: skip
            self.assertIn(self.get(path).status(), (400, 401, 404), path)


class StrangerTests(ConsoleTestCase):
    def test_rebinding(self) -> None:
        """A page of another site whose name leads to this machine: it sees files, and no session."""
        evil = {"Host": "evil.example", "Origin": "http://evil.example", "Sec_Fetch_Site": "same-origin"}
        self.assertEqual(self.get("/console/", Host="evil.example").status(), 200)
        answer = json.loads(self.api("session", **evil).body())
        self.assertIs(answer["in"], False)
        self.assertLessEqual(set(answer), {"in", "version", "assets", "chinese"})
        for path in (
            "state",
            "stream?topics=links",
            "actions",
            "traffic/1",
            "sandbox/10001",
            "sandbox/10001/log",
        ):
            peer = self.api(path, **evil)
            self.assertEqual((peer.status(), self.code(peer)), (401, "not_logged_in"), path)
        for path in ("call", "reload", "logout", "rights/try", "stream/x", "sandbox/10001/say"):
            peer = self.api(path, "POST", {}, X_Lgtwist_Console="1", **evil)
            self.assertEqual((peer.status(), self.code(peer)), (401, "not_logged_in"), path)

    def test_media_of_a_sandbox_too(self) -> None:
        self.assertEqual(self.api("sandbox/10001/media/x.png").status(), 401)

    def test_a_wrong_token_beside_a_right_cookie(self) -> None:
        cookie = self.cookie()
        peer = self.api("state", Cookie=cookie, Authorization="Bearer wrong")
        self.assertEqual((peer.status(), self.code(peer)), (403, "wrong_token"))
        peer = self.api("session", Cookie=cookie, Authorization="Bearer wrong")
        self.assertIs(json.loads(peer.body())["in"], False)
        peer = self.api("state?access_token=wrong", Cookie=cookie)
        self.assertEqual(peer.status(), 403)


class CookieTests(ConsoleTestCase):
    def test_what_is_no_cookie_of_ours(self) -> None:
        good = self.cookie().partition("=")[2]
        expires, _dot, signature = good.partition(".")
        later = f"{int(expires) + 1}.{signature}"
        for value in (
            "", ".", "x", later, f"{expires}.", f"{expires}.{signature[:-1]}",
            f"{expires}.{signature.upper()}x",
            f"+{good}", f"-{good}", f" {expires} .{signature}", f"0x{good}", f"{expires}_0.{signature}",
            f"{'9' * 400}.{signature}", f"٣.{signature}", "\udcff.\udcff".encode("utf-8", "replace").decode(),
        ):  # fmt: skip
            peer = self.api("state", Cookie=f"lgtwist_console={value}")
            self.assertEqual(peer.status(), 401, value)

    def test_others_of_the_same_name(self) -> None:
        """Another program on this host, or on a sibling of it, may have set some: they lock nobody out."""
        tossed = "; ".join(f"lgtwist_console={n}.wrong" for n in range(12))
        self.assertEqual(self.api("state", Cookie=f"{tossed}; {self.cookie()}").status(), 200)
        self.assertEqual(self.api("state", Cookie=f"{self.cookie()}; {tossed}").status(), 200)

    def test_large_ones(self) -> None:
        self.assertEqual(self.api("state", Cookie=f"a={'x' * 60_000}").status(), 401)
        self.assertEqual(self.api("state", Cookie="lgtwist_console=1.x; " * 2000).status(), 401)

    def test_the_header_is_needed_from_allowed_origins_too(self) -> None:
        service = self.service
        service.set_server_settings(evolve(service.config.server, allowed_origins=("https://bots.example",)))
        cookie, origin = self.cookie(), {"Origin": "https://bots.example", "Sec_Fetch_Site": "same-origin"}
        peer = self.api("sandbox/10001/poke", "POST", {"user_id": 20001}, Cookie=cookie, **origin)
        self.assertEqual((peer.status(), self.code(peer)), (403, "foreign_origin"))
        origin["X_Lgtwist_Console"] = "1"
        peer = self.api("sandbox/10001/poke", "POST", {"user_id": 20001}, Cookie=cookie, **origin)
        self.assertEqual(peer.status(), 200)
        self.assertEqual(self.login(**origin).status(), 200)

    def test_one_that_has_expired(self) -> None:
        api = self.service.console._api._access
        value = api._sessions.make(TOKEN, api._wall_clock() - LIFETIME - 1)
        self.assertEqual(
            self.api("state", Cookie=set_cookie(value, secure=False).split(";")[0]).status(), 401
        )


class LoginTests(ConsoleTestCase):
    def test_bodies(self) -> None:
        for body in (
            b'{"token": "\\ud800"}', b'{"token": null}', b'{"token": ["x"]}', b'{"token": {}}',
            b"null", b"\xff",
            b"[" * 4000, b'{"a":' * 700, b'"' + TOKEN.encode() + b'"', b"token=" + TOKEN.encode(),
        ):  # fmt: skip
            peer = self.get("/console/api/login", "POST", body)
            self.assertEqual((peer.status(), self.code(peer)), (400, "bad_request"), body[:40])
        for token in ("\x00", "\u202e", "\ufffd", MARKUP, "Ω" * 500):
            peer = self.login(token)
            self.assertIn((peer.status(), self.code(peer)), [(403, "wrong_token")], token[:10])

    def test_of_two_tokens_the_last_counts(self) -> None:
        for last, status in ((TOKEN, 200), ("wrong", 403)):
            body = json.dumps({"token": "x"})[:-1] + f', "token": "{last}"}}'
            self.assertEqual(self.get("/console/api/login", "POST", body.encode()).status(), status)

    def test_a_slow_body_ends(self) -> None:
        head = "POST /console/api/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
        peer = Peer(self).send(head.encode())
        for _ in range(200):
            if peer.transport.disconnecting or peer.transport.disconnected:
                break
            self.clock.advance(1)
            peer.send(b" ") if _ < 60 else None
        else:
            self.fail("it waits for ever")

    def test_chunked_and_long(self) -> None:
        head = "POST /console/api/login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        peer = Peer(self).send(head.encode())
        for _ in range(10):
            peer.send(b"400\r\n" + b"x" * 0x400 + b"\r\n")
        self.assertEqual(peer.status(), 503)

    def test_foreign_origin_says_what_to_do(self) -> None:
        """As behind a proxy that does not pass Host on."""
        peer = self.login(Host="127.0.0.1:8081", Origin="https://bots.example", Sec_Fetch_Site="same-origin")
        error = json.loads(peer.body())["error"]
        self.assertEqual((peer.status(), error["code"]), (403, "foreign_origin"))
        self.assertEqual(error["args"], {"origin": "https://bots.example", "host": "127.0.0.1:8081"})
        self.assertIn("allowed_origins", error["sentence"])

    def test_ten_thousand_wrong_tokens(self) -> None:
        """They keep nothing, write one line, and the right one is let in at once, in between and behind."""
        log = LogLines(self)
        for number in range(10_000):
            peer = self.login(f"wrong {number}")
            if number % 1000 == 999:
                self.assertEqual(self.login().status(), 200)
                self.assertEqual(self.bearer("state").status(), 200)
            if number < 10:
                self.assertEqual(peer.status(), 403)
            elif not peer.read():
                peer.lose()
            else:
                self.assertEqual(peer.status(), 503)
        self.assertEqual(self.login().status(), 200)
        self.assertLessEqual(len([line for line in log.lines if "wrong token" in line]), 1)
        self.assertLessEqual(self.service.console._api._access._wrong_tokens._waiting, 100)
        self.clock.advance(2.1)
        self.assertEqual(self.service.console._api._access._wrong_tokens._waiting, 0)
        for line in log.lines:
            self.assertNotIn(TOKEN, line)
            self.assertNotIn("wrong 1", line)


class SandboxFileTests(ConsoleTestCase):
    """A file that a bot or a person sent is opened in a tab of its own: it runs nothing in our origin."""

    def stored(self, data: bytes, kind: str = "image") -> str:
        body = {"user_id": 20001, "message": [{"type": kind, "data": {
            "file": "base64://" + base64.b64encode(data).decode(), "name": "evil.html"}}]}  # fmt: skip
        peer = self.bearer("sandbox/10001/say", "POST", body)
        self.assertEqual(peer.status(), 200, peer.body())
        transcript = self.bearer("sandbox/10001/transcript").body()
        names = re.findall(r"/media/([\w.-]+)", transcript)
        self.assertTrue(names, transcript)
        return str(names[-1])

    def test_it_runs_nothing(self) -> None:
        pixel = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
        html = b"<html><script>fetch('/console/api/state')</script>"
        svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
        for data in (html, svg, pixel + html, b"GIF89a" + html, b"%PDF-1.4 " + html, b"\xef\xbb\xbf" + html):
            for kind in ("image", "file", "record"):
                peer = self.bearer(f"sandbox/10001/media/{self.stored(data, kind)}", "HEAD")
                self.assertEqual(peer.status(), 200)
                headers = peer.headers()
                self.assertIn("content-security-policy: sandbox", headers)
                self.assertNotIn("allow-", headers)
                self.assertIn("x-content-type-options: nosniff", headers)
                self.assertIn("cross-origin-resource-policy: same-origin", headers)
                for bad in ("text/html", "text/xml", "application/xhtml"):
                    self.assertNotIn(bad, headers)

    def test_other_names_find_nothing(self) -> None:
        for name in ("..%2f..%2flgtwist.toml", "%2e%2e%2fadmin_token", "/etc/passwd", "x%00.png", "."):
            self.assertIn(self.bearer(f"sandbox/10001/media/{name}").status(), (400, 404), name)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


class StreamTests(ConsoleTestCase):
    everything = "stream?topics=links,traffic,sandbox:10001"

    def watched(self) -> tuple[list[str], list[int], list[bool]]:
        """What runs because somebody looks."""
        for channel in tuple(self.site.channels):
            if not channel.requests:  # those that answered our requests
                channel.connectionLost(_done())
        names = [getattr(call.func, "__qualname__", "LoopingCall") for call in self.clock.getDelayedCalls()]
        directory = self.service.directory
        accounts = directory.accounts.values()
        return (
            sorted(name for name in names if "Connection" not in name),
            [len(account.fan_out._subscribers) for account in accounts],
            [bot.watch is not None for bot in directory.bots.values()],
        )

    def test_nothing_stays_however_it_ends(self) -> None:
        service = self.service

        def change_token() -> None:
            service.set_server_settings(evolve(service.config.server, admin_token=TOKEN + "2"))
            service.console.token_changed()
            service.set_server_settings(evolve(service.config.server, admin_token=TOKEN))

        def crowd() -> None:
            more = [self.bearer("stream?topics=links") for _ in range(20)]
            for peer in more:
                peer.lose()

        def log_out(everywhere: bool) -> None:
            value = {"everywhere": everywhere}
            self.assertEqual(self.api("logout", "POST", value, Cookie=cookie, **OURS).status(), 200)

        cookie = self.cookie()
        before = self.watched()
        for how in (
            lambda peer: peer.lose(),
            lambda _peer: change_token(),
            lambda _peer: crowd(),
            lambda _peer: log_out(False),
            lambda _peer: service.console.stop(),
            lambda _peer: log_out(True),
        ):
            peer = self.api(self.everything, Cookie=cookie)
            self.assertIn("event: hello", peer.body())
            self.bearer("sandbox/10001/say", "POST", {"user_id": 20001, "message": "hello"})
            self.clock.advance(0.3)
            self.assertNotEqual(self.watched(), before)
            how(peer)
            peer.read()
            if not peer.transport.disconnected:
                peer.lose()
            self.clock.advance(1)
            self.assertEqual(self.watched(), before)
            self.assertEqual(len(service.console._api._streams), 0)

    def test_a_stream_that_does_not_read_is_given_no_more(self) -> None:
        """Whatever happens, and however often what it carries is changed."""
        peer = self.bearer("stream?topics=traffic")
        name = json.loads(peer.body().partition("event: hello\ndata: ")[2].partition("\n")[0])["stream"]
        stream = self.service.console._api._streams.find(name)
        assert stream is not None
        stream.pauseProducing()
        there = len(peer.read())
        for number in range(50):
            self.bearer("sandbox/10001/say", "POST", {"user_id": 20001, "message": "x" * 300})
            wanted: list[dict[str, Any]] = [
                {"id": f"{topic}{number}", "topic": topic, "account": 10001, "after": 0}
                for topic in ("links", "sandbox", "traffic")
            ]
            answer = self.bearer(f"stream/{name}", "POST", {"subscriptions": wanted})
            self.assertEqual(answer.status(), 200, answer.body())
            self.clock.advance(1.1)
        self.assertEqual(len(peer.read()), there)
        self.bearer("sandbox/10001/say", "POST", {"user_id": 20001, "message": "dropped"})
        stream.resumeProducing()
        for _ in range(8):
            self.clock.advance(0.25)
            peer.read()
        self.assertIn('event: links\ndata: {"to":"links49"', peer.body())
        self.assertIn("event: dropped\n", peer.body())
        self.assertIn('event: sandbox\ndata: {"to":"sandbox49"', peer.body())

    def test_streams_of_a_sandbox_end_too(self) -> None:
        """Nobody reads on what he may not read any more."""
        service = self.service
        for how in ("token", "everywhere", "this", "another"):
            cookie = self.cookie()
            peers = [
                self.api(path, Cookie=cookie)
                for path in (
                    "sandbox/10001/log/stream",
                    "sandbox/10001/log?wait=30",
                    "sandbox/10001/transcript?wait=30",
                )
            ]
            answered = [peer.read() for peer in peers]
            self.assertTrue(answered[0])
            if how == "token":
                service.set_server_settings(evolve(service.config.server, admin_token=TOKEN + "2"))
                service.console.token_changed()
                service.set_server_settings(evolve(service.config.server, admin_token=TOKEN))
            elif how == "another":
                self.clock.advance(0)
                other = service.console._api._access._sessions.make(TOKEN, 1_700_000_100.0)
                self.api("logout", "POST", {}, Cookie=f"lgtwist_console={other}", **OURS)
            else:
                self.api("logout", "POST", {"everywhere": how == "everywhere"}, Cookie=cookie, **OURS)
            ended = [peer.transport.aborted for peer in peers]
            self.assertEqual(ended, [how != "another"] * 3, how)
            for peer in peers:
                peer.lose()
            self.assertEqual(service.console._api._sandbox_requests, {})

    def test_markup_stays_text(self) -> None:
        """In an event stream a line break would begin another event."""
        peer = self.bearer("stream?topics=traffic,sandbox:10001")
        hostile = f"\r\n\r\nevent: bye\ndata: 1\n\n{MARKUP}\u2028\x85\x0b"
        self.bearer("sandbox/10001/say", "POST", {"user_id": 20001, "message": hostile})
        self.clock.advance(0.5)
        self.assertNotIn("event: bye", peer.body().split("\n"))
        self.assertIn("onerror", peer.body())


def _done() -> Any:
    from twisted.internet.error import ConnectionDone
    from twisted.python.failure import Failure

    return Failure(ConnectionDone())
