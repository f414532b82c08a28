"""Where paths lead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.web.bot_endpoints import ActionPath, BotPath, read_bot_path
from lgtwist.web.routes import Route, account_number, route, without_authority
from tests.rounds import quick

#: As the port has them: whether the name alone belongs to the mount too.
MOUNTS = {"onebot": False, "sandbox": False, "metrics": True}


def find(path: str) -> Route | BotPath | ActionPath | None:
    """Find a mount and its segments, or what the segments mean to bots."""
    found = route(path.encode("utf-8", "surrogateescape"), MOUNTS)
    return read_bot_path(found.segments) if found is not None and found.mount is None else found


class RouteTests(SynchronousTestCase):
    def test_L31_paths(self) -> None:
        """The contract's paths, with and without a trailing slash."""
        for path, expected in {
            "/": BotPath(None, ""),
            "/api": BotPath(None, "api"),
            "/api/": BotPath(None, "api"),
            "/event": BotPath(None, "event"),
            "/event/": BotPath(None, "event"),
            "/10001": BotPath(10001, ""),
            "/10001/": BotPath(10001, ""),
            "/10001/api": BotPath(10001, "api"),
            "/10001/event/": BotPath(10001, "event"),
            "/%61pi": BotPath(None, "api"),
            "/onebot/v11/ws": Route("onebot", ("v11", "ws")),
            "/onebot/v11/ws/": Route("onebot", ("v11", "ws")),
            "/onebot%2Fv11/ws": Route("onebot", ("v11", "ws")),
            "/onebot": ActionPath(None, "onebot"),
            "/sandbox/10001/": Route("sandbox", ("10001",)),
            "/sandbox/10001/say": Route("sandbox", ("10001", "say")),
            "/sandbox/10001//say": Route("sandbox", ("10001", "", "say")),
            "/sandbox//": Route("sandbox", ("",)),
            "/sandbox/x/say": Route("sandbox", ("x", "say")),
            "/sandbox": ActionPath(None, "sandbox"),
            "/sandbox/": ActionPath(None, "sandbox"),
            "/metrics": Route("metrics", ()),
            "/metrics/": Route("metrics", ()),
            "/metrics//": Route("metrics", ("",)),
            "http://localhost/metrics/x": Route("metrics", ("x",)),
            "/Metrics": ActionPath(None, "Metrics"),
            "/10001/metrics": ActionPath(10001, "metrics"),
            "//metrics": None,
            "/Api": ActionPath(None, "Api"),
            "/send_msg": ActionPath(None, "send_msg"),
            "/send_msg/": ActionPath(None, "send_msg"),
            "/10001/send_msg_async/": ActionPath(10001, "send_msg_async"),
            "/.handle_quick_operation": ActionPath(None, ".handle_quick_operation"),
            "/send%5fmsg": ActionPath(None, "send_msg"),
            "/api/event": None,
            "//": None,
            "//api": None,
            "/10001//": None,
            "/-1": ActionPath(None, "-1"),
            "/٣": ActionPath(None, "٣"),
            "/99999999999999999999": ActionPath(None, "99999999999999999999"),
            "http://localhost:8081/send_msg": ActionPath(None, "send_msg"),
            "HTTPS://x/10001/api/": BotPath(10001, "api"),
            "http://x": BotPath(None, ""),
            "ftp://x/api": None,
            "/a/b": None,
            "/a//": None,
            "/10001/a/b": None,
            "/10001/api/x": None,
            "": None,
            "*": None,
            "/\udcff": None,
        }.items():
            self.assertEqual(find(path), expected, path)

    def test_account_numbers(self) -> None:
        """Up to 19 ASCII digits name an account; nothing else does."""
        self.assertEqual(account_number("10001"), 10001)
        self.assertEqual(account_number("9" * 19), int("9" * 19))
        for segment in ("", "x", "-1", "+1", "1.0", "٣", "9" * 20):
            self.assertIsNone(account_number(segment), segment)

    def test_no_password_of_the_absolute_form(self) -> None:
        """What is shown of a path has neither host nor password."""
        self.assertEqual(without_authority(b"http://me:secret@x/a/b"), b"/a/b")
        self.assertEqual(without_authority(b"/a/http://b"), b"/a/http://b")

    @quick
    @given(st.binary(max_size=60))
    def test_any_path(self, path: bytes) -> None:
        """Whatever the path, it leads somewhere or nowhere."""
        found = route(path, MOUNTS)
        if found is not None:
            read_bot_path(found.segments)
