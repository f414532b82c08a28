"""Implementations without ``get_login_info``, and those that take messages in one format only."""

from __future__ import annotations

from typing import Any

from tests.integration.accounts import FORWARD, HTTP, JSON, REVERSE, WorldTestCase

LACKS = ["get_login_info", "get_status", "get_version_info"]
SEGMENTS = [{"type": "text", "data": {"text": "a["}}, {"type": "at", "data": {"qq": "1"}}]
TEXT = "a&#91;[CQ:at,qq=1]"


def _habits(self_id: int, transport: str, takes: str, **more: Any) -> dict[str, Any]:
    configured = f'outgoing_format = "{takes}"'
    own = {"transport": transport, "takes": takes, "configured": configured, "lacks": LACKS}
    return {"self_id": self_id, "token": f"token-{self_id}", "heartbeat_ms": 200, **own, **more}


class HabitTests(WorldTestCase):
    strict = True
    accounts = [
        _habits(20701, FORWARD, "array"),
        _habits(20702, REVERSE, "string", dialect="lagrange"),
        _habits(20703, HTTP, "array", secret="s"),
    ]

    def _check(self, self_id: int, wanted: Any) -> None:
        self.world.wait_online(self_id)
        self.assert_good(self_id)
        for message in (SEGMENTS, TEXT):
            status, answer = self.service.http(
                f"/{self_id}/send_msg", {"user_id": 1, "message": message}, JSON
            )
            self.assertEqual((status, answer["retcode"]), (200, 0), answer)
            self.assertEqual(
                self.implementation.received(self_id, "send_msg")[-1]["params"]["message"], wanted
            )
        bot = self.bot(self_id)
        login = {"user_id": self_id, "nickname": ""}
        self.assertEqual(bot.ask("get_login_info")["data"], login)
        self.assertTrue(bot.ask("get_status")["data"]["online"])
        self.assertEqual(bot.ask("get_version_info")["data"]["app_name"], "unknown")
        self.assertEqual(bot.retcode("no_such_action") in (404, 1404), True)
        status, answer = self.service.http(f"/{self_id}/get_login_info", {}, JSON)
        self.assertEqual((status, answer["data"]), (200, login))

    def test_forward(self) -> None:
        self._check(20701, SEGMENTS)

    def test_reverse(self) -> None:
        self._check(20702, TEXT)

    def test_http(self) -> None:
        self._check(20703, SEGMENTS)
