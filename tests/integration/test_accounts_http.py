"""HTTP accounts: who may post events, and implementations that do not answer as they should."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from tests.integration.accounts import HTTP, JSON, REVERSE, WorldTestCase
from tests.integration.running import wait_until

LIMITS = 'heartbeat_interval = "150ms"\naction_timeout = "800ms"\nmax_message = "64KiB"\n'
SIGNED, NAPCAT, OPEN, LLBOT = 21601, 21602, 21603, 21604


class HttpAccountTests(WorldTestCase):
    strict = True
    accounts = [
        {"self_id": SIGNED, "transport": HTTP, "secret": "s3cret", "token": "t", "heartbeat_ms": 200},
        {
            "self_id": NAPCAT,
            "transport": HTTP,
            "dialect": "napcat",
            "token": "napcat token",
            "configured": 'dialect = "napcat"',
        },
        {"self_id": OPEN, "transport": HTTP, "dialect": "go-cqhttp", "heartbeat_ms": 200},
        {"self_id": LLBOT, "transport": HTTP, "dialect": "llbot", "token": "llbot token"},
        {"self_id": 21605, "transport": REVERSE, "heartbeat_ms": 0},
    ]
    limits = LIMITS

    def _post(self, self_id: Any, body: Any, secret: str | None = None, **headers: str) -> int:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {**JSON, "X-Self-ID": str(self_id)}
        if secret is not None:
            sent["X-Signature"] = f"sha1={hmac.new(secret.encode(), raw, hashlib.sha1).hexdigest()}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        status, text = self.service.http("/onebot/v11/post", raw, sent)
        if status == 204:
            self.assertEqual(text, "")
        return status

    def _event(self, self_id: int, **fields: Any) -> dict[str, Any]:
        return {"post_type": "message", "self_id": self_id, **fields}

    def test_L58_signatures(self) -> None:
        """Right 204, wrong 403, missing 401; what was refused is never routed."""
        self.world.wait_online(SIGNED)
        bot = self.bot(SIGNED)
        bad, good = self._event(SIGNED, bad=1), self._event(SIGNED, good=1)
        self.assertEqual(self._post(SIGNED, bad), 401)
        self.assertEqual(self._post(SIGNED, bad, "wrong"), 403)
        for signature in ("", "sha1=", "sha1=00", "x", "sha256=00", "sha1=é"):
            with self.subTest(signature):
                status = self._post(SIGNED, bad, X_Signature=signature) if signature.isascii() else 403
                self.assertIn(status, (401, 403))
        self.assertEqual(self._post(SIGNED, bad, Authorization="Bearer t"), 401)
        self.assertEqual(self._post(SIGNED, good, "s3cret"), 204)
        self.assertEqual(json.loads(bot.event_text()), good)
        raw = json.dumps(good).encode()
        upper = hmac.new(b"s3cret", raw, hashlib.sha1).hexdigest().upper()
        self.assertIn(self._post(SIGNED, raw, X_Signature=f"sha1={upper}"), (204, 403))

    def test_token_as_secret(self) -> None:
        """NapCat and LLBot sign with their token; where the dialect is known, that is what counts."""
        for self_id, token in ((NAPCAT, "napcat token"), (LLBOT, "llbot token")):
            self.world.wait_online(self_id)
            bot = self.bot(self_id)
            wait_until(
                "it is recognised", lambda one=self_id: self._post(one, self._event(one), "wrong") == 403
            )
            marker = self.say(self_id, "by itself")
            while json.loads(text := bot.event_text()).get("word") != "by itself":
                pass
            self.assertEqual(text, marker)
            self.assertEqual(self._post(self_id, self._event(self_id, n=1), token), 204)
            self.assertEqual(json.loads(bot.event_text())["n"], 1)

    def test_whose_event(self) -> None:
        """Another's self_id 400, an unknown account 403, no account at all 400, GET 405."""
        self.world.wait_online(OPEN)
        bot = self.bot(OPEN)
        for body in (self._event(1), [], "x", 1, None, b"{", b"", b"\xff", {"x": 1}, b"[" * 30_000):
            self.assertEqual(self._post(OPEN, body), 400, body)
        self.assertEqual(self._post(99999, self._event(99999)), 403)
        self.assertEqual(self._post(21605, self._event(21605)), 403)
        self.assertEqual(self._post("x", self._event(OPEN)), 400)
        self.assertEqual(self.service.http("/onebot/v11/post", self._event(OPEN), JSON)[0], 400)
        status, _text = self.service.http("/onebot/v11/post", None, {"X-Self-ID": str(OPEN)})
        self.assertEqual(status, 405)
        self.assertEqual(self._post(OPEN, self._event(OPEN), X_Forwarded_For="203.0.113.7"), 403)
        self.assertEqual(self._post(OPEN, self._event(OPEN), Origin="https://evil.example"), 403)
        self.assertEqual(self._post(OPEN, self._event(OPEN, pad="x" * 70_000)), 413)
        self.assertEqual(self._post(OPEN, b'{"post_type" :  "message", "x":1.0}'), 204)
        self.assertEqual(bot.event_text(), b'{"post_type" :  "message", "x":1.0}')

    def test_flow_of_posts(self) -> None:
        """Each event once, in order, each answered 204."""
        self.world.wait_online(OPEN)
        bot = self.bot(OPEN)
        self.control(OPEN, "flood", count=300)
        numbers = [json.loads(bot.event_text())["n"] for _ in range(300)]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + 300)))
        self.assertLessEqual(set(self.implementation.state(OPEN)["post_statuses"]), {204, None})

    def test_L36_posted_heartbeats(self) -> None:
        self.world.wait_online(OPEN)
        bot = self.bot(OPEN)
        beat = {"post_type": "meta_event", "meta_event_type": "heartbeat", "interval": 200, "self_id": OPEN}
        self.control(OPEN, "status", online=False)
        self.assertEqual(self._post(OPEN, {**beat, "status": {"online": False, "good": False}}), 204)
        bot.heartbeat(online=False)
        self.control(OPEN, "status", online=True)
        bot.heartbeat(online=True)

    def test_never_answers(self) -> None:
        """Blackholed: 1504 for what was sent, then offline and 1501; back as soon as it answers."""
        self.world.wait_online(SIGNED)
        bot = self.bot(SIGNED)
        began = time.monotonic()
        self.control(SIGNED, "refuse", how="blackhole")
        bot.call("echo_params", "sent")
        answer = bot.response()
        self.assertIn(answer["retcode"], (1502, 1504))
        self.assertLess(time.monotonic() - began, 5)
        bot.heartbeat(online=False)
        self.assertEqual(bot.retcode("echo_params"), 1501)
        self.assertFalse(bot.ask("get_status")["data"]["online"])
        self.control(SIGNED, "accept_again")
        bot.heartbeat(online=True)
        self.assertEqual(bot.ask("echo_params", n=1)["data"], {"n": 1})

    def test_get_status_alone_hangs(self) -> None:
        """Whoever answers other actions is up."""
        self.world.wait_online(OPEN)
        bot = self.bot(OPEN)
        self.control(OPEN, "answers", mode="never", action="get_status")
        asked = len(self.implementation.received(OPEN, "get_version_info"))
        wait_until(
            "another action is polled",
            lambda: len(self.implementation.received(OPEN, "get_version_info")) >= asked + 2,
        )
        self.assertEqual(bot.ask("echo_params", n=1)["data"], {"n": 1})
        self.control(OPEN, "answers", action="get_status")
        self.assertEqual(self.world.lines(f"account {OPEN} is down"), [])

    def test_status_that_is_no_answer(self) -> None:
        """What answers ``get_status`` with an error page, a redirect or nothing is not an implementation."""
        self.world.wait_online(SIGNED)
        bot = self.bot(SIGNED)
        hows: list[dict[str, Any]] = [
            {"how": "status", "status": 401},
            {"how": "status", "status": 500},
            {"how": "redirect", "location": f"http://127.0.0.1:{self.service.port}/"},
            {"how": "rst"},
            {"how": "port"},
        ]
        for how in hows:
            self.control(SIGNED, "refuse", **how)
            bot.heartbeat(online=False)
            self.assertEqual(bot.retcode("echo_params"), 1501, how)
            self.control(SIGNED, "accept_again")
            bot.heartbeat(online=True)
            self.assertEqual(bot.ask("echo_params", n=1)["data"], {"n": 1})

    def test_no_quick_operations(self) -> None:
        """The answer to a post is empty, whatever a bot does with the event."""
        self.world.wait_online(OPEN)
        self.implementation.control(OPEN, "forget")
        self.say(OPEN, "x")
        wait_until("it was posted", lambda: self.implementation.state(OPEN)["posts"])
        for post in self.implementation.state(OPEN)["posts"]:
            self.assertIn(post.get("body", ""), ("", None))

    def test_connections_are_used_again(self) -> None:
        self.world.wait_online(OPEN)
        bot = self.bot(OPEN)
        before = self.service.open_files()
        for number in range(200):
            self.assertEqual(bot.ask("echo_params", n=number)["data"], {"n": number})
        self.assertLess(self.service.open_files(), before + 10)
