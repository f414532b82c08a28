"""Where paths lead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.web.routes import ActionPath, BotPath, ImplementationPath, NoPath, SandboxPath, route
from tests.rounds import quick


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
            "/onebot/v11/ws": ImplementationPath("ws"),
            "/onebot/v11/ws/": ImplementationPath("ws"),
            "/sandbox/10001/": SandboxPath(10001, ("",)),
            "/sandbox/10001/say": SandboxPath(10001, ("say",)),
            "/sandbox/x/say": NoPath(),
            "/sandbox": ActionPath(None, "sandbox"),
            "/Api": ActionPath(None, "Api"),
            "/send_msg": ActionPath(None, "send_msg"),
            "/send_msg/": ActionPath(None, "send_msg"),
            "/10001/send_msg_async/": ActionPath(10001, "send_msg_async"),
            "/.handle_quick_operation": ActionPath(None, ".handle_quick_operation"),
            "/send%5fmsg": ActionPath(None, "send_msg"),
            "/api/event": NoPath(),
            "//": NoPath(),
            "//api": NoPath(),
            "/10001//": NoPath(),
            "/-1": ActionPath(None, "-1"),
            "/٣": ActionPath(None, "٣"),
            "/99999999999999999999": ActionPath(None, "99999999999999999999"),
            "http://localhost:8081/send_msg": ActionPath(None, "send_msg"),
            "HTTPS://x/10001/api/": BotPath(10001, "api"),
            "http://x": BotPath(None, ""),
            "ftp://x/api": NoPath(),
            "/a/b": NoPath(),
            "/a//": NoPath(),
            "/10001/a/b": NoPath(),
            "/10001/api/x": NoPath(),
            "": NoPath(),
            "*": NoPath(),
            "/\udcff": NoPath(),
        }.items():
            found = route(path.encode("utf-8", "surrogateescape"))
            if isinstance(expected, SandboxPath) and expected.rest == ("",):
                expected = SandboxPath(expected.self_id, ())
            self.assertEqual(found, expected, path)

    @quick
    @given(st.binary(max_size=60))
    def test_any_path(self, path: bytes) -> None:
        """Whatever the path, it leads somewhere or nowhere."""
        route(path)
