"""Accounts that are somebody else's, tokens that are refused, and handshakes that lead nowhere."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from tests.integration.accounts import HTTP, REVERSE, Bot, HandshakeRefused, RawClient, WorldTestCase
from tests.integration.rawclient import masked_frame
from tests.integration.running import wait_until

LIMITS = 'heartbeat_interval = "150ms"\naction_timeout = "1s"\nhandshake_timeout = "300ms"\n'
REFUSED = {
    21301: ("onebot11", "wrong", "refused with HTTP 403"),
    21302: ("onebot11", "", "refused with HTTP 401"),
    21303: ("lagrange", "", "refused with HTTP 403"),
    21304: ("napcat", "wrong", "1403"),
    21305: ("llbot", "wrong", "1008"),
    21306: ("go-cqhttp", "wrong", "refused with HTTP 403"),
    21307: ("napcat", "", "1403"),
}


class RefusedTokenTests(WorldTestCase):
    """Forward: the implementation refuses us, each in its way."""

    accounts = [
        *(
            {"self_id": self_id, "dialect": dialect, "token": "right", "our_token": token}
            for self_id, (dialect, token, _line) in REFUSED.items()
        ),
        {"self_id": 21308, "transport": HTTP, "token": "right", "our_token": "wrong"},
        {"self_id": 21309, "token": "right"},
    ]
    limits = LIMITS

    def test_L29_tokens_refused(self) -> None:
        """L-46: one line each, which says how; tried again ever more slowly; never up, nothing leaks."""
        self._refused(*(one for one in REFUSED if REFUSED[one][0] != "napcat"))
        told = self.world.lines("account 21308: cannot reach", "HTTP 403")
        self.assertEqual(len(told), 1)
        self.assertFalse(self.world.online(21308))
        self.assert_good(21309)

    def test_L29_napcat_refuses_after_101(self) -> None:
        """It opens the WebSocket to say 1403 on it, with ``"echo": null``, and closes."""
        self._refused(*(one for one in REFUSED if REFUSED[one][0] == "napcat"))

    def _refused(self, *self_ids: int) -> None:
        self.world.wait_online(21309)

        def attempts(self_id: int) -> list[float]:
            return [one["at"] for one in self.implementation.state(self_id)["attempts"]]

        for self_id in self_ids:
            wait_until(f"{self_id} is tried", lambda one=self_id: len(attempts(one)) >= 5)
        for self_id in self_ids:
            words = REFUSED[self_id][2]
            told = self.world.lines(f"account {self_id}: cannot connect")
            told = [line for line in told if "connection was refused by other side" not in line]
            self.assertEqual(len(told), 1, told)
            self.assertIn(words, told[0])
            self.assertNotIn("right", told[0])
            self.assertFalse(self.world.lines(f"account {self_id} is up"))
            gaps = [later - before for before, later in pairwise(attempts(self_id)[:5])]
            self.assertGreater(min(gaps), 0.05)
            # 0.1 s at first, doubled each time; the implementation may be up only after some attempts
            self.assertGreater(gaps[-1], 0.5, (self_id, gaps))
            self.assertEqual(self.implementation.received(self_id), [], self_id)
            with self.assertRaises(HandshakeRefused) as refused:
                Bot(self.service, self_id)
            self.assertEqual(refused.exception.status, 503)

    def test_L40_handshakes_that_lead_nowhere(self) -> None:
        """A redirect is not followed; a silent, closing or absent peer is tried again, not in a loop."""
        self.world.wait_online(21309)
        bot = self.bot(21309)
        hows: list[tuple[str, dict[str, Any]]] = [
            ("301", {"how": "redirect", "location": f"ws://127.0.0.1:{self.service.port}/"}),
            ("no answer to the handshake within 0.3 s", {"how": "blackhole"}),
            ("1008", {"how": "close", "code": 1008}),
            ("closed", {"how": "rst"}),
        ]
        for words, args in hows:
            self.control(21309, "refuse", **args)
            self.implementation.control(21309, "forget")
            before = len(self.world.lines("account 21309: cannot connect"))
            tried = self.world.metric("lgtwist_dial_attempts_total", account=21309)
            self.control(21309, "rst")
            bot.heartbeat(online=False)
            wait_until(
                f"it is tried again at {args['how']}",
                lambda t=tried: self.world.metric("lgtwist_dial_attempts_total", account=21309) >= t + 2,
            )
            self.assertEqual(bot.retcode("echo_params"), 1501)
            told = self.world.lines("account 21309: cannot connect")[before:]
            self.assertEqual(len(told), 1, told)
            if args["how"] != "rst":
                self.assertIn(words, told[0])
            times = [one["at"] for one in self.implementation.state(21309)["attempts"]]
            gaps = [later - earlier for earlier, later in pairwise(times)]
            self.assertTrue(all(gap > 0.095 for gap in gaps), (args, gaps))
            self.implementation.control(21309, "accept_again")
            self.world.wait_online(21309)
        self.assert_good(21309, bot)

    def test_closed_at_once_backs_off(self) -> None:
        """L-40: one that lets in and closes at once, without a word, is not dialled in a tight loop."""
        self.world.wait_online(21309)
        self.control(21309, "refuse", how="close", code=1000)
        self.implementation.control(21309, "forget")
        self.control(21309, "rst")
        wait_until("it is tried", lambda: len(self.implementation.state(21309)["attempts"]) >= 5)
        times = [one["at"] for one in self.implementation.state(21309)["attempts"]]
        self.assertTrue(all(later - earlier > 0.095 for earlier, later in pairwise(times)))
        self.control(21309, "accept_again")
        self.world.wait_online(21309)


class LyingTests(WorldTestCase):
    """Whoever is there is logged in as somebody else."""

    accounts = [
        {"self_id": 21401, "heartbeat_ms": 200},
        {"self_id": 21402, "transport": REVERSE, "reconnect_ms": 100, "heartbeat_ms": 200},
        {"self_id": 21403, "transport": HTTP, "heartbeat_ms": 200},
        {"self_id": 21404, "end": "/api", "heartbeat_ms": 200},
    ]
    limits = LIMITS

    def _refused(self, self_id: int, **lie: int) -> None:
        self.world.wait_online(self_id)
        bot = self.bot(self_id)
        told = len(self.world.lines(f"account {self_id}: link refused"))
        self.control(self_id, "lie", **lie)
        self.control(self_id, "rst")
        wait_until(
            "it is refused", lambda: len(self.world.lines(f"account {self_id}: link refused")) == told + 1
        )
        line = self.world.lines(f"account {self_id}: link refused")[-1]
        self.assertIn(f"logged in as 99999, not as {self_id}", line)
        bot.heartbeat(online=False)
        self.control(self_id, "events", rate=200, count=100)
        before = self.implementation.state(self_id)["connections_ever"]
        wait_until(
            "it was tried again",
            lambda: self.implementation.state(self_id)["connections_ever"] >= before + 2,
        )
        bot.heartbeat(online=False)
        split = self_id == 21404 and "login_user_id" not in lie  # then its API half is right, and goes on
        self.assertEqual(bot.retcode("echo_params"), 0 if split else 1501)
        self.assertEqual(bot.ask("get_login_info")["data"]["user_id"], self_id)
        self.assertEqual(len(self.world.lines(f"account {self_id}: link refused")), told + 1)
        _status, answer = self.service.http("/readyz")
        self.assertTrue(any("99999" in reason for reason in answer["reasons"]), answer)
        self.control(self_id, "stop_events")
        self.control(self_id, "lie", login_user_id=None, event_self_id=None)
        bot.heartbeat(online=True)
        marker = self.say(self_id, "the truth")
        events = []
        while (text := bot.event_text()) != marker:
            events.append(json.loads(text))
        self.assertFalse([one for one in events if one["self_id"] != self_id])

    def test_another_login(self) -> None:
        for self_id in (21401, 21402):
            self._refused(self_id, login_user_id=99999)

    def test_another_login_over_http(self) -> None:
        self.world.wait_online(21403)
        bot = self.bot(21403)
        self.control(21403, "lie", login_user_id=99999, event_self_id=99999)
        self.implementation.control(21403, "refuse", how="rst")
        bot.heartbeat(online=False)
        self.control(21403, "accept_again")
        wait_until("it is refused", lambda: self.world.lines("account 21403: link refused", "99999"))
        self.assertEqual(bot.retcode("echo_params"), 1501)
        self.control(21403, "events", rate=200, count=20)
        wait_until(
            "events are refused",
            lambda: self.implementation.state(21403)["post_statuses"].count(400) >= 20,
        )
        asked = len(self.implementation.received(21403, "get_login_info"))
        wait_until(
            "it is asked again",
            lambda: len(self.implementation.received(21403, "get_login_info")) >= asked + 3,
        )
        self.assertEqual(len(self.world.lines("account 21403: link refused")), 1)
        self.control(21403, "lie", login_user_id=None, event_self_id=None)
        bot.heartbeat(online=True)
        self.assert_good(21403, bot)

    def test_events_of_another(self) -> None:
        for self_id in (21402, 21404):
            self._refused(self_id, event_self_id=99999)


class ReverseDoorTests(WorldTestCase):
    """Who dials us must be one of ours, and show it."""

    accounts = [
        {"self_id": 21501, "transport": REVERSE, "token": "right"},
        {"self_id": 21502, "transport": HTTP},
    ]

    def _dial(self, self_id: int | None, end: str = "ws", glued: bytes = b"", **headers: str) -> int:
        shown = {} if self_id is None else {"X-Self-ID": str(self_id), "X-Client-Role": "Universal"}
        shown |= {name.replace("_", "-"): value for name, value in headers.items()}
        with self.assertRaises(HandshakeRefused) as refused:
            RawClient(self.service, f"/onebot/v11/{end}", shown, glued=glued)
        return refused.exception.status

    def test_L28_glued_frames_behind_a_refused_handshake(self) -> None:
        """L-27, L-28, L-30: refused before 101, and what came in the same segment is never routed."""
        self.world.wait_online(21501)
        bot = self.bot(21501)
        event = masked_frame(b'{"post_type":"message","self_id":21501,"bad":1}') * 3
        for end in ("ws", "api", "event"):
            self.assertEqual(self._dial(21501, end, event), 401)
            self.assertEqual(self._dial(21501, end, event, Authorization="Bearer "), 401)
            self.assertEqual(self._dial(21501, end, event, Authorization="Bearer wrong"), 403)
            self.assertEqual(self._dial(21501, end, event, Authorization="Token wrong"), 403)
            self.assertEqual(self._dial(21501, f"{end}?access_token=wrong", event), 403)
            self.assertEqual(self._dial(99999, end, event, Authorization="Bearer right"), 403)
            self.assertEqual(self._dial(21502, end, event, Authorization="Bearer right"), 403)
            self.assertEqual(self._dial(None, end, event, Authorization="Bearer right"), 404)
            self.assertEqual(self._dial(None, end, event, Authorization="Bearer right", X_Self_ID="x"), 404)
        marker = self.say(21501, "marker")
        self.assertEqual(bot.event_text(), marker)
        self.assertEqual(self.world.metric("lgtwist_link_takeovers_total", account=21501), 0)
        self.assertNotIn("right", self.service.log())

    def test_plain_request(self) -> None:
        status, _text = self.service.http(
            "/onebot/v11/ws", headers={"X-Self-ID": "21501", "Authorization": "Bearer right"}
        )
        self.assertEqual(status, 426)

    def test_L33_every_way_to_show_a_token(self) -> None:
        """Each takes over from the one before."""
        for end, headers in (
            ("ws", {"Authorization": "Bearer right"}),
            ("ws", {"Authorization": "bearer right"}),
            ("ws", {"Authorization": "Token right"}),
            ("ws", {"Authorization": "right"}),
            ("ws?access_token=right", {}),
            ("ws?access_token=right", {"Authorization": "Bearer wrong"}),
            ("ws/?access_token=right", {}),
        ):
            with RawClient(self.service, f"/onebot/v11/{end}", {"X-Self-ID": "21501", **headers}) as link:
                self.assertEqual(link.message()["action"], "get_login_info", (end, headers))
        self.control(21501, "accept_again")
        self.assert_good(21501)
