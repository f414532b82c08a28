"""Requests without a token are for programs on this machine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.net.loopback import is_loopback_name
from lgtwist.web.local_origin import why_not_local
from tests.rounds import quick


class LocalOriginTests(SynchronousTestCase):
    def allowed(self, secure: bool = False, **headers: str) -> bool:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return why_not_local(named, ["https://mine.example"], secure) is None

    def test_hosts(self) -> None:
        """Host must be localhost, below it, 127.0.0.0/8 or [::1], with any port."""
        for host in (
            "localhost",
            "LOCALHOST:8081",
            "a.localhost:1",
            "127.0.0.1",
            "127.8.9.1:80",
            "[::1]",
            "[::1]:8081",
        ):
            self.assertTrue(self.allowed(host=host), host)
        for host in (
            "", "example.org", "localhost.example.org", "notlocalhost", "127.0.0.1.example.org",
            "10.0.0.1", "host.docker.internal:8081", "0.0.0.0", "[::]", "127.0.0.1:x", "192.168.1.1",
            "2130706433",
            "127.1",
        ):  # fmt: skip
            self.assertFalse(self.allowed(host=host), host)
        self.assertFalse(self.allowed())

    def test_origins(self) -> None:
        """Origin must be the request's own host and port, or an allowed one."""
        for origin in ("http://127.0.0.1:8081", "https://mine.example", "ws://127.0.0.1:8081"):
            self.assertTrue(self.allowed(host="127.0.0.1:8081", origin=origin), origin)
        for origin in (
            "null", "", "http://127.0.0.1", "http://localhost:8081", "http://evil.example", "file://",
            "http://127.0.0.1:8082",
            "https://mine.example.evil", "http://127.0.0.1:99999", "http://[", "http://evil@127.0.0.1.x:8081",
        ):  # fmt: skip
            self.assertFalse(self.allowed(host="127.0.0.1:8081", origin=origin), origin)
        for origin in (
            "NULL",
            "null, null",
            "[object Object], null",
            "x, http://evil.example",
            "blob:http://x",
        ):
            self.assertFalse(self.allowed(host="127.0.0.1:8081", origin=origin), origin)
        self.assertTrue(self.allowed(host="localhost", origin="http://localhost"))
        self.assertTrue(self.allowed(secure=True, host="localhost", origin="https://localhost"))
        self.assertTrue(self.allowed(host="[::1]:8081", origin="http://[::1]:8081"))

    def test_what_no_browser_sends(self) -> None:
        """It is no site; what else a browser says counts all the same."""
        for origin in ("[object Object]", "undefined", "None", "false", "127.0.0.1:8081", "my bot"):
            self.assertTrue(self.allowed(host="localhost", origin=origin), origin)
            evil = "http://evil.example/"
            self.assertFalse(self.allowed(host="localhost", origin=origin, referer=evil), origin)
            self.assertFalse(self.allowed(host="evil.example", origin=origin), origin)
            self.assertFalse(self.allowed(host="localhost", origin=origin, sec_fetch_site="cross-site"))

    def test_pages_that_bring_no_origin(self) -> None:
        """An image, a link or a form of another site is refused by what browsers say of it."""
        for site, allowed in (
            ("cross-site", False),
            ("same-site", False),
            ("none", True),
            ("same-origin", True),
        ):
            self.assertIs(self.allowed(host="localhost:8081", sec_fetch_site=site), allowed, site)
        self.assertFalse(self.allowed(host="localhost:8081", referer="http://evil.example/"))
        self.assertTrue(self.allowed(host="localhost:8081", referer="http://localhost:8081/x?y"))

    def test_contradictions(self) -> None:
        """What the browser says of the site counts beside a fitting Origin, unless that is an allowed one."""
        for site in ("cross-site", "same-site", "none, cross-site"):
            same = self.allowed(host="localhost:8081", origin="http://localhost:8081", sec_fetch_site=site)
            self.assertFalse(same, site)
            self.assertTrue(
                self.allowed(host="x.localhost", origin="https://mine.example", sec_fetch_site=site)
            )

    def test_navigations(self) -> None:
        """What a browser opens as a page, or loads for one, changes nothing; what a script asks for may."""
        for headers, changes_too in (
            ({"sec-fetch-mode": "navigate", "sec-fetch-site": "none"}, False),
            ({"sec-fetch-mode": "Navigate"}, False),
            ({"sec-fetch-mode": "cors, navigate"}, False),
            ({"sec-fetch-mode": "nested-navigate", "sec-fetch-site": "same-origin"}, False),
            ({"sec-fetch-mode": "no-cors", "sec-fetch-site": "same-origin"}, False),
            ({"sec-fetch-mode": "navigate", "origin": "https://mine.example"}, False),
            ({"sec-fetch-user": "?1"}, False),
            ({"upgrade-insecure-requests": "1"}, False),
            ({"sec-fetch-mode": "cors"}, True),  # Node's fetch
            ({"sec-fetch-mode": "cors", "sec-fetch-site": "same-origin"}, True),
            ({"sec-fetch-mode": "websocket", "sec-fetch-site": "same-origin"}, True),
            ({"user-agent": "Mozilla/5.0"}, True),
        ):
            asked = {"host": "localhost:8081", **headers}
            allowed = ["https://mine.example"]
            self.assertIsNone(why_not_local(asked, allowed, False), headers)
            self.assertIs(why_not_local(asked, allowed, False, changes=True) is None, changes_too, headers)

    def test_proxies(self) -> None:
        """A header of a proxy means that the request came from elsewhere."""
        for name in ("forwarded", "x_forwarded_for", "x_forwarded_host", "x_real_ip", "via"):
            self.assertFalse(self.allowed(host="localhost", **{name: ""}), name)

    @quick
    @given(st.dictionaries(st.sampled_from(["host", "origin", "forwarded"]), st.text(max_size=30)))
    def test_any_header(self, headers: dict[str, str]) -> None:
        """Whatever the headers say, there is an answer."""
        why_not_local(headers, [], False)

    def test_names(self) -> None:
        """What is loopback by its name."""
        self.assertTrue(is_loopback_name("::1"))
        self.assertFalse(is_loopback_name(""))
