"""The console over HTTP: who is let in, what a page may do, and what every answer says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lgtwist.console.streams import Stream
from tests.web.site_case import Peer, SiteTestCase

TOKEN = "the-admin-token-of-this-test"
OURS = {"Origin": "http://localhost", "X_Lgtwist_Console": "1"}


class ConsoleTestCase(SiteTestCase):
    toml = f'[server]\nadmin_token = "{TOKEN}"\n'

    def api(self, path: str, method: str = "GET", value: Any = None, **headers: str) -> Peer:
        body = b"" if value is None else json.dumps(value).encode()
        return self.get(f"/console/api/{path}", method, body, **headers)

    def bearer(self, path: str, method: str = "GET", value: Any = None, **headers: str) -> Peer:
        return self.api(path, method, value, Authorization=f"Bearer {TOKEN}", **headers)

    def login(self, token: str = TOKEN, **headers: str) -> Peer:
        return self.api("login", "POST", {"token": token}, **headers)

    def cookie(self) -> str:
        """The cookie of somebody who logged in."""
        lines = [line for line in self.login().headers().splitlines() if line.startswith("set-cookie:")]
        return lines[0].partition(":")[2].partition(";")[0].strip()

    def code(self, peer: Peer) -> str:
        return str(json.loads(peer.body())["error"]["code"])


class LoginTests(ConsoleTestCase):
    def test_login(self) -> None:
        peer = self.login()
        self.assertEqual(peer.status(), 200)
        self.assertIn("set-cookie: lgtwist_console=", peer.headers())
        for part in ("httponly", "samesite=strict"):
            self.assertIn(part, peer.headers())
        self.assertNotIn("path=", peer.headers())
        self.assertNotIn("secure", peer.headers().partition("set-cookie")[2].partition("\r\n")[0])

    def test_a_proxy_with_tls_makes_the_cookie_secure(self) -> None:
        self.assertIn("; secure", self.login(X_Forwarded_Proto="https").headers())

    def test_the_session(self) -> None:
        answer = json.loads(self.api("session").body())
        self.assertIs(answer["in"], False)
        answer = json.loads(self.api("session", Cookie=self.cookie()).body())
        self.assertIs(answer["in"], True)

    def test_everything_else_needs_it_on_loopback_too(self) -> None:
        for method, path in [
            ("GET", "state"), ("GET", "stream"), ("GET", "actions"), ("GET", "permissions"), ("POST", "call"),
            ("POST", "logout"),
            ("POST", "reload"), ("GET", "sandbox/10001/world"), ("GET", "traffic/1"), ("GET", "nothing"),
            ("GET", "backlog"), ("POST", "backlog/skip"), ("POST", "backlog/undo"), ("GET", "refused/1"),
            ("POST", "refused/1"), ("DELETE", "refused/1"), ("DELETE", "refused"),
        ]:  # fmt: skip
            peer = self.api(path, method, None if method == "GET" else {}, **OURS)
            self.assertEqual((peer.status(), self.code(peer)), (401, "not_logged_in"), path)

    def test_deleting_needs_the_header_of_the_page(self) -> None:
        cookie = self.cookie()
        peer = self.api("refused", "DELETE", Cookie=cookie, Origin="http://localhost")
        self.assertEqual(peer.status(), 403)
        self.assertEqual(self.api("refused", "DELETE", Cookie=cookie, **OURS).status(), 200)
        self.assertEqual(json.loads(self.bearer("refused", "DELETE").body()), {"dropped": 0})
        empty = {"rows": [], "refused": [], "refused_more": False}
        self.assertEqual(json.loads(self.bearer("backlog").body()), empty)

    def test_a_wrong_token(self) -> None:
        peer = self.login("wrong")
        self.assertEqual((peer.status(), self.code(peer)), (403, "wrong_token"))
        self.assertNotIn("set-cookie", peer.headers())
        peer = self.api("state", Authorization="Bearer wrong")
        self.assertEqual((peer.status(), self.code(peer)), (403, "wrong_token"))

    def test_many_wrong_tokens_wait_and_the_right_one_does_not(self) -> None:
        for _ in range(10):
            self.assertEqual(self.login("wrong").status(), 403)
        late = self.login("wrong")
        self.assertEqual(late.read(), b"")
        self.assertEqual(self.login().status(), 200)
        self.assertEqual(self.bearer("state").status(), 200)
        self.clock.advance(2.1)
        self.assertEqual(late.status(), 403)

    def test_whoever_waits_may_go(self) -> None:
        for _ in range(10):
            self.login("wrong")
        self.login("wrong").lose()
        self.clock.advance(2.1)

    def test_a_long_body_is_not_read(self) -> None:
        self.assertEqual(self.login("x" * 10_000).status(), 503)

    def test_no_json(self) -> None:
        for body in (b"{", b"[]", b'{"token": 1}', b""):
            peer = self.get("/console/api/login", "POST", body)
            self.assertEqual((peer.status(), self.code(peer)), (400, "bad_request"), body)

    def test_a_page_of_another_site_may_not_log_in(self) -> None:
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:1234"},
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site", "Origin": "http://localhost"},
        ):
            peer = self.login(**headers)
            self.assertEqual((peer.status(), self.code(peer)), (403, "foreign_origin"), headers)

    def test_any_host_may_log_in(self) -> None:
        """Behind any proxy, and by any name of this machine."""
        for host, origin in (
            ("bots.example", "https://bots.example"),
            ("192.168.1.5:8081", "http://192.168.1.5:8081"),
            ("bots.example:8443", "https://bots.example:8443"),
            ("[::1]:8081", "http://[::1]:8081"),
        ):
            peer = self.login(Host=host, Origin=origin, X_Forwarded_For="1.2.3.4")
            self.assertEqual(peer.status(), 200, host)

    def test_methods(self) -> None:
        peer = self.bearer("state", "POST", {})
        self.assertEqual((peer.status(), self.code(peer)), (405, "wrong_method"))
        self.assertIn("allow: get", peer.headers())
        self.assertEqual(self.bearer("nothing").status(), 404)


class CookieTests(ConsoleTestCase):
    def test_reading(self) -> None:
        cookie = self.cookie()
        self.assertEqual(self.api("state", Cookie=cookie).status(), 200)
        self.assertEqual(self.api("state", Cookie=cookie, Sec_Fetch_Site="same-origin").status(), 200)

    def test_a_page_of_a_sibling_may_not_even_read(self) -> None:
        peer = self.api("state", Cookie=self.cookie(), Sec_Fetch_Site="same-site")
        self.assertEqual((peer.status(), self.code(peer)), (403, "foreign_origin"))

    def test_changing_needs_what_no_foreign_page_can_send(self) -> None:
        cookie = self.cookie()
        for headers in (
            {},
            {"Origin": "http://localhost"},
            {"X_Lgtwist_Console": "1", "Origin": "http://evil.example"},
            {"X_Lgtwist_Console": "1", "Sec_Fetch_Site": "cross-site", "Origin": "http://localhost"},
            {"Sec_Fetch_Site": "same-origin", "Origin": "http://localhost"},
        ):
            peer = self.api("sandbox/10001/poke", "POST", {"user_id": 20001}, Cookie=cookie, **headers)
            self.assertEqual((peer.status(), self.code(peer)), (403, "foreign_origin"), headers)
        peer = self.api("sandbox/10001/poke", "POST", {"user_id": 20001}, Cookie=cookie, **OURS)
        self.assertEqual(peer.status(), 200, peer.body())

    def test_a_token_needs_no_such_header(self) -> None:
        self.assertEqual(self.bearer("sandbox/10001/poke", "POST", {"user_id": 20001}).status(), 200)

    def test_another_token_ends_it(self) -> None:
        cookie = self.cookie()
        stream = self.api("stream?topics=links", Cookie=cookie)
        self.assertIn("event: hello", stream.body())
        from attrs import evolve

        service = self.service
        service.set_server_settings(evolve(service.config.server, admin_token="another"))
        service.console.token_changed()
        self.assertIn('event: bye\ndata: {"code":"token_changed"}', stream.body())
        self.assertEqual(self.api("state", Cookie=cookie).status(), 401)

    def test_logging_out_everywhere(self) -> None:
        cookie = self.cookie()
        other = self.cookie()
        stream = self.api("stream?topics=links", Cookie=other)
        self.assertEqual(
            self.api("logout", "POST", {"everywhere": True}, Cookie=cookie, **OURS).status(), 200
        )
        self.assertIn('"logged_out"', stream.body())
        self.assertEqual(self.api("state", Cookie=other).status(), 401)
        saved = Path(self.service.config.data_dir) / "console_generation"
        self.assertEqual(saved.read_text().strip(), "1")

    def test_logging_out(self) -> None:
        peer = self.api("logout", "POST", None, Cookie=self.cookie(), **OURS)
        self.assertEqual(peer.status(), 200)
        self.assertIn("max-age=0", peer.headers())

    def test_a_cookie_that_is_used_is_renewed(self) -> None:
        cookie = self.cookie()
        self.assertNotIn("set-cookie", self.api("session", Cookie=cookie).headers())


class HeaderTests(ConsoleTestCase):
    def test_the_page(self) -> None:
        for path, base in (("/console/", '="s/'), ("/console", '="console/s/')):
            peer = self.get(path, Host="any.example")
            self.assertEqual(peer.status(), 200)
            headers = peer.headers()
            for part in (
                "content-security-policy: default-src 'none'; script-src 'self'", "frame-ancestors 'none'",
                "trusted-types 'none'", "cache-control: no-store", "x-content-type-options: nosniff",
                "referrer-policy: no-referrer", "x-frame-options: deny",
            ):  # fmt: skip
                self.assertIn(part, headers)
            self.assertIn(base, peer.body())
            self.assertNotIn("{{", peer.body())

    def test_its_files(self) -> None:
        page = self.get("/console/").body()
        path = page.partition('src="')[2].partition('"')[0]
        peer = self.get(f"/console/{path}", Host="any.example")
        self.assertEqual(peer.status(), 200)
        self.assertIn("immutable", peer.headers())
        self.assertIn("content-type: text/javascript", peer.headers())
        self.assertIn(
            "content-encoding: gzip", self.get(f"/console/{path}", Accept_Encoding="gzip").headers()
        )

    def test_no_other_files(self) -> None:
        page = self.get("/console/").body()
        folder = page.partition('src="')[2].partition('"')[0].rpartition("/")[0]
        for path in (
            f"{folder}/../mount.py", f"{folder}/%2e%2e/mount.py", "s/0000000000000000/app.js", "s", "s/",
            f"{folder}/index.html", f"{folder}/vendor/vendor.lock.py", "x", "apix/session",
        ):  # fmt: skip
            self.assertEqual(self.get(f"/console/{path}").status(), 404, path)

    def test_answers_are_not_kept(self) -> None:
        for path in ("session", "state", "nothing"):
            self.assertIn("cache-control: no-store", self.bearer(path).headers())

    def test_no_answer_to_other_sites(self) -> None:
        peer = self.bearer("state", Origin="http://evil.example")
        self.assertNotIn("access-control", peer.headers())


class DisabledTests(ConsoleTestCase):
    toml = f'[server]\nadmin_token = "{TOKEN}"\n[console]\nenabled = false\n'

    def test_it_is_not_there(self) -> None:
        for path in ("/console/", "/console/api/session"):
            self.assertEqual(self.get(path).status(), 404)
        self.assertEqual(self.login().status(), 404)


class MadeTokenTests(SiteTestCase):
    def test_it_is_made_once_for_our_user_alone(self) -> None:
        path = Path(self.service.config.data_dir) / "admin_token"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertGreaterEqual(len(path.read_text().strip()), 43)

    def test_it_opens_the_console_and_is_not_needed_elsewhere(self) -> None:
        token = (Path(self.service.config.data_dir) / "admin_token").read_text().strip()
        self.assertEqual(self.get("/console/api/state").status(), 401)
        for path in ("/console/api/state", "/metrics", "/sandbox/10001/world"):
            self.assertEqual(self.get(path, Authorization=f"Bearer {token}").status(), 200, path)
        self.assertEqual(self.get("/metrics").status(), 200)
        self.assertEqual(self.get("/sandbox/10001/world").status(), 200)
        self.assertEqual(self.get("/metrics", Authorization="Bearer wrong").status(), 403)


class PublicTests(SiteTestCase):
    toml = """
        [server]
        endpoints = ["tcp:8081"]
        [[bots]]
        name = "a"
        access_token = "bot-token"
        """

    def test_a_made_token_counts_as_configured(self) -> None:
        token = (Path(self.service.config.data_dir) / "admin_token").read_text().strip()
        for path in ("/metrics", "/sandbox/10001/world"):
            self.assertEqual(self.get(path).status(), 401)
            self.assertEqual(self.get(path, Authorization=f"Bearer {token}").status(), 200)


class StreamTests(ConsoleTestCase):
    def stream(self, query: str = "topics=links") -> Peer:
        return self.bearer(f"stream?{query}")

    def test_hello_and_links(self) -> None:
        peer = self.stream()
        self.assertIn("content-type: text/event-stream", peer.headers())
        self.assertIn("x-accel-buffering: no", peer.headers())
        self.assertIn("event: hello\ndata: {", peer.body())
        self.assertIn("event: links\ndata: {", peer.body())

    def test_nobody_looking_costs_nothing(self) -> None:
        before = len(self.clock.getDelayedCalls())
        subscribers = [
            len(account.fan_out._subscribers) for account in self.service.directory.accounts.values()
        ]
        peer = self.stream("topics=links,traffic,sandbox:10001")
        self.assertGreater(len(self.clock.getDelayedCalls()), before)
        self.assertIsNotNone(self.service.directory.bots["default"].watch)
        peer.lose()
        self.clock.advance(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), before)
        self.assertIsNone(self.service.directory.bots["default"].watch)
        accounts = self.service.directory.accounts.values()
        self.assertEqual([len(account.fan_out._subscribers) for account in accounts], subscribers)

    def test_the_oldest_of_too_many_ends(self) -> None:
        streams = [self.stream() for _ in range(21)]
        self.assertIn('event: bye\ndata: {"code":"too_many_streams"}', streams[0].body())
        self.assertNotIn("bye", streams[1].body())

    def test_live_traffic(self) -> None:
        peer = self.stream("topics=traffic")
        self.bearer("sandbox/10001/say", "POST", {"user_id": 20001, "message": "hello there"})
        self.clock.advance(0.3)
        self.assertIn("event: traffic\n", peer.body())
        self.assertIn("hello there", peer.body())

    def test_a_sandbox(self) -> None:
        peer = self.stream("topics=sandbox:10001")
        self.bearer("sandbox/10001/say", "POST", {"user_id": 20001, "message": "hello there"})
        self.clock.advance(0)
        self.assertIn("event: sandbox\n", peer.body())
        self.assertIn("hello there", peer.body())

    def test_subscriptions_change(self) -> None:
        peer = self.stream("topics=links")
        name = json.loads(peer.body().partition("event: hello\ndata: ")[2].partition("\n")[0])["stream"]
        wanted = [{"id": "a", "topic": "sandbox", "account": 10001}, {"id": "b", "topic": "traffic"}]
        answer = self.bearer(f"stream/{name}", "POST", {"subscriptions": wanted})
        self.assertEqual(answer.status(), 200, answer.body())
        self.bearer("sandbox/10001/poke", "POST", {"user_id": 20001})
        self.clock.advance(0.3)
        self.assertIn('event: sandbox\ndata: {"to":"a"', peer.body())
        self.assertIn('event: traffic\ndata: {"to":"b"', peer.body())
        self.assertEqual(self.bearer("stream/nobody", "POST", {"subscriptions": []}).status(), 404)

    def test_another_filter_keeps_the_rows(self) -> None:
        """The rows that are shown can still be opened when the only filter is replaced."""
        peer = self.stream("topics=traffic")
        name = json.loads(peer.body().partition("event: hello\ndata: ")[2].partition("\n")[0])["stream"]
        self.bearer("sandbox/10001/say", "POST", {"user_id": 20001, "message": "hello there"})
        self.clock.advance(0.3)
        number = json.loads(peer.body().partition("event: traffic\ndata: ")[2].partition("\n")[0])["rows"][0][
            "n"
        ]
        wanted = [{"id": "b", "topic": "traffic", "filter": {"account": 10001}}]
        self.bearer(f"stream/{name}", "POST", {"subscriptions": wanted})
        self.assertEqual(self.bearer(f"traffic/{number}").status(), 200)
        peer.lose()
        self.clock.advance(1)
        self.assertEqual(self.bearer(f"traffic/{number}").status(), 404)

    def test_the_catalogue_names_the_actions_of_the_sandbox(self) -> None:
        actions = json.loads(self.bearer("actions").body())["actions"]
        there = {action["name"]: action.get("sandbox", False) for action in actions}
        self.assertEqual((there["send_msg"], there["send_packet"]), (True, False))

    def test_permissions(self) -> None:
        answer = json.loads(self.bearer("permissions").body())
        self.assertEqual(sorted(answer), ["bots", "groups", "more"])
        self.assertEqual(self.bearer("permissions/x").status(), 404)

    def test_wrong_subscriptions(self) -> None:
        for query in ("topics=nothing", "topics=sandbox", "topics=sandbox:1", "topics=traffic&account=x"):
            self.assertIn(self.stream(query).status(), (400, 404), query)

    def test_a_subscription_that_fails_at_once(self) -> None:
        """The stream ends and says so: its answer has begun."""

        def fail(*_what: object) -> None:
            raise ZeroDivisionError

        before = len(self.clock.getDelayedCalls())
        self.patch(self.service.console._api._overview, "state", fail)
        peer = self.stream("topics=traffic,links")
        self.assertEqual(peer.status(), 200)
        self.assertTrue(
            peer.body().rstrip().endswith('event: bye\ndata: {"code":"failed"}\n\n\r\n0'), peer.body()
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsNone(self.service.directory.bots["default"].watch)
        peer.lose()
        self.clock.advance(1)
        self.assertEqual(len(self.clock.getDelayedCalls()), before)

    def test_a_subscription_that_ends_the_stream_at_once(self) -> None:
        """Nothing of it goes on."""
        streams = self.service.console._api._streams
        write = Stream.write

        def lose(this: Stream, event: str, data: bytes) -> None:
            write(this, event, data)
            if event == "sandbox":
                this.stopProducing()

        self.patch(Stream, "write", lose)
        self.stream("topics=sandbox:10001")
        self.assertEqual(len(streams), 0)
        [edge] = self.service.accounts
        self.assertEqual(edge._publisher._log_waiters._waiting, [])

    def test_subscriptions_are_short(self) -> None:
        """They are held while the stream is open, with all that they say."""
        peer = self.stream("topics=")
        name = json.loads(peer.body().partition("event: hello\ndata: ")[2].partition("\n")[0])["stream"]
        wanted = {"id": "a", "topic": "links", "more": "x" * (127 << 10)}
        self.assertEqual(self.bearer(f"stream/{name}", "POST", {"subscriptions": [wanted]}).status(), 200)
        wanted["more"] += "x" * 1024
        answer = self.bearer(f"stream/{name}", "POST", {"subscriptions": [wanted]})
        self.assertEqual((answer.status(), json.loads(answer.body())["error"]["code"]), (413, "too_long"))

    def test_a_comment_while_there_is_nothing(self) -> None:
        peer = self.stream("topics=")
        for _ in range(61):
            self.clock.advance(0.25)
        self.assertIn(": still here\n\n", peer.body())

    def test_a_stopping_service_says_so(self) -> None:
        peer = self.stream()
        self.service.console.stop()
        self.assertIn('{"code":"stopping"}', peer.body())
