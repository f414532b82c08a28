"""Tokens, and the local-origin check where none is needed."""

from __future__ import annotations

from tests.web.site_case import Peer, SiteTestCase


class NoTokenTests(SiteTestCase):
    def test_other_machines_and_web_pages(self) -> None:
        """403 with a sentence that says what to do, for another Host, Origin or a proxy's header."""
        port = self.dial(host="host.docker.internal")
        self.assertEqual(port.status(), 403)
        self.assertIn(
            'Host "host.docker.internal" is not loopback and bot "default" has no token; '
            "set access_token in [[bots]] and in the bot",
            port.body(),
        )
        self.assertEqual(self.dial(Origin="http://evil.example").status(), 403)
        self.assertEqual(self.dial(X_Forwarded_For="1.2.3.4").status(), 403)
        self.assertEqual(self.dial(Origin="http://localhost").status(), 101)
        self.assertEqual(self.get("/sandbox/10001/", Host="evil.example").status(), 403)

    def test_a_wrong_token_where_none_is_needed(self) -> None:
        """Who shows a token that nobody has is refused, not taken for the one without."""
        self.assertEqual(self.dial(Authorization="Bearer x").status(), 403)

    def test_no_token_is_set_there(self) -> None:
        """What stands for a missing value is no token: on this machine it needs none."""
        for shown in ("Bearer undefined", "Token null", "Bearer None", "Bearer", "Token "):
            self.assertEqual(self.dial(Authorization=shown).status(), 101, shown)
            self.assertEqual(self.dial(Authorization=shown, host="evil.example").status(), 403, shown)
        self.assertEqual(self.dial("/?access_token=undefined").status(), 101)
        self.assertEqual(self.dial(Origin="[object Object]").status(), 101)

    def test_a_link_that_was_clicked(self) -> None:
        """A browser's navigation gets what get_* and can_* say, and the sandbox's pages; it does nothing."""
        navigation = {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_User": "?1"}
        for path, status in (
            ("/get_status", 200),
            ("/get_status_async", 200),
            ("/can_send_image", 200),
            ("/10001/get_status", 200),
            ("/set_group_kick?group_id=30001&user_id=20002", 403),
            ("/send_msg_rate_limited", 403),
            ("/10001/send_msg", 403),
            ("/.handle_quick_operation", 403),
            ("/metrics", 200),
            ("/sandbox/10001/transcript", 200),
            ("/", 200),
            ("/healthz", 200),
        ):
            self.assertEqual(self.get(path, **navigation).status(), status, path)
        said = self.get("/sandbox/10001/say", "POST", b'{"user_id":20001,"message":"x"}', **navigation)
        self.assertEqual(said.status(), 403)
        self.assertEqual(self.dial(**navigation).status(), 403)
        refused = self.get("/set_group_kick", **navigation)
        self.assertIn("may do nothing but get_* and can_*", refused.body())
        self.assertIn("set access_token in [[bots]]", refused.body())


class TokenTests(SiteTestCase):
    toml = """
        [server]
        admin_token = "boss"
        [[accounts]]
        self_id = 1
        [[accounts]]
        self_id = 2
        [[bots]]
        name = "a"
        access_token = "ta"
        [[bots]]
        name = "b"
        access_token = "tb"
        accounts = [2]
    """

    def test_no_token_is_set(self) -> None:
        """The refusal says where none is set, and not of a program that shows nothing or a wrong one."""
        for shown in ("Bearer undefined", "Token null", "Bearer None", "Bearer ", "undefined"):
            port = self.dial(Authorization=shown)
            self.assertEqual(port.status(), 401 if shown == "Bearer " else 403, shown)
            self.assertIn("no token is set in the program", port.body(), shown)
        self.assertIn("no token is set", self.dial("/?access_token=null").body())
        self.assertNotIn("no token is set", self.dial().body())
        self.assertNotIn("no token is set", self.dial(Authorization="Bearer no").body())

    def test_L27_tokens(self) -> None:
        """401 without, 403 with a wrong token, 101 with the right one, in header or query, on every path."""
        for path in ("/", "/api", "/event", "/2", "/2/api"):
            port = self.dial(path)
            self.assertEqual(port.status(), 401)
            self.assertIn("www-authenticate: bearer", port.headers())
            self.assertEqual(self.dial(path, Authorization="Bearer no").status(), 403)
            self.assertEqual(self.dial(path + "?access_token=no").status(), 403)
            self.assertEqual(self.dial(path, Authorization="Token tb").status(), 101)
            self.assertEqual(self.dial(path + "?access_token=tb").status(), 101)
            self.assertEqual(self.dial(path + "?access_token=tb", Authorization="Bearer no").status(), 101)
            self.assertEqual(self.dial(path + "?access_token=", Authorization="Bearer").status(), 401)

    def test_no_local_origin_check_with_a_token(self) -> None:
        """A right token is accepted from any Host and Origin, through any proxy."""
        port = self.dial(
            host="bots.example.org", Origin="http://x", X_Forwarded_For="1.2.3.4", Authorization="ta"
        )
        self.assertEqual(port.status(), 101)

    def test_two_tokens_at_most(self) -> None:
        """A request with more tokens is refused, though one of them is right."""
        right = "access_token=ta"
        for path, authorization, status in (
            (f"/get_status?{right}", "Bearer no", 200),
            ("/get_status?access_token=no", "Bearer ta", 200),
            (f"/get_status?access_token=no&{right}", None, 200),
            (f"/get_status?access_token=no&access_token=no&{right}", None, 200),
            (f"/get_status?access_token=&{right}", "Bearer", 200),
            (f"/get_status?{right}&access_token=n1&access_token=n2", None, 403),
            (f"/get_status?access_token=n1&{right}", "n2", 403),
            (f"/get_status?a%63cess_token=n1&access_token=n2&{right}", None, 403),
            (f"/get_status?access_token=n1;{right}", None, 403),
        ):
            headers = {} if authorization is None else {"Authorization": authorization}
            self.assertEqual(self.get(path, **headers).status(), status, path)
        self.assertIn("more than two tokens", self.get(path.replace(";", "&") + "&access_token=n3").body())
        lines = b"".join(b"Authorization: %b\r\n" % one for one in (b"n1", b"n2", b"ta"))
        port = Peer(self).send(b"GET /get_status HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")
        self.assertEqual(port.status(), 403)
        admin = self.get("/readyz?access_token=n1&access_token=n2&access_token=boss")
        self.assertEqual(admin.body(), "ready\n", "no reasons for who guesses")

    def test_each_wrong_token_counts(self) -> None:
        """Two in one request are two failures; a wrong one beside a right one is one, and never refused."""
        limits = self.service.port.connection_limits

        def failures() -> int:
            return sum(times for _since, times in limits._failures.values())

        for path, headers, more in (
            ("/get_status?access_token=n1", {"Authorization": "n2"}, 2),
            ("/metrics?access_token=n1", {"Authorization": "n2"}, 2),
            ("/readyz?access_token=n1", {"Authorization": "n2"}, 2),
            ("/readyz?access_token=boss", {"Authorization": "n2"}, 1),
            ("/get_status?access_token=ta", {"Authorization": "n2"}, 1),
            ("/get_status?access_token=n1", {"Authorization": "ta"}, 0),
            ("/get_status?access_token=n1&access_token=n2", {"Authorization": "n3"}, 1),
        ):
            before = failures()
            self.get(path, **headers).read()
            self.assertEqual(failures() - before, more, path)

    def test_no_body_tells_of_a_token(self) -> None:
        """Where a token is not counted, it makes no difference to when the answer comes."""
        for path, method in (
            ("/healthz", "GET"),
            ("/readyz", "POST"),
            ("/", "GET"),
            ("/event", "POST"),
            ("/get_status", "OPTIONS"),
            ("/a/b/c", "POST"),
            ("/onebot/v11/ws", "POST"),
            ("/sandbox/1/media/x", "GET"),
        ):
            heads = []
            for token in ("ta", "boss", "no"):
                lines = (
                    f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 5\r\n"
                )
                heads.append(Peer(self).send(lines.encode() + b"\r\n").status())
            self.assertEqual(heads[0], heads[2], path)
            self.assertEqual(heads[1], heads[2], path)
