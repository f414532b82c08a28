"""NoneBot2's own Bot calls every action of the standard, over WebSocket and over the HTTP API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.running import ServiceTestCase, wait_until

PROGRAM = Path(__file__).parent / "bots" / "nonebot_caller.py"
ALICE, BOB, CAROL, GROUP = 20001, 20002, 20003, 30001
PNG = "base64://iVBORw0KGgo="

#: Every action of table 4.1, with parameters that are right twice in a row, and the fields that the
#: standard declares for its answer (None: no data).
CALLS: list[tuple[str, dict[str, Any], Any]] = [
    ("send_private_msg", {"user_id": ALICE, "message": "x"}, {"message_id"}),
    ("send_group_msg", {"group_id": GROUP, "message": "[CQ:face,id=1]"}, {"message_id"}),
    ("send_msg", {"message_type": "group", "group_id": GROUP, "message": "x"}, {"message_id"}),
    ("get_msg", {"message_id": 1}, {"time", "message_type", "message_id", "real_id", "sender", "message"}),
    ("delete_msg", {"message_id": "{own}"}, None),
    ("get_forward_msg", {"id": "{forward}"}, {"message"}),
    ("send_like", {"user_id": ALICE, "times": 1}, None),
    ("set_group_ban", {"group_id": GROUP, "user_id": BOB, "duration": 60}, None),
    ("set_group_anonymous_ban", {"group_id": GROUP, "flag": f"anonymous-{GROUP}-{BOB}"}, None),
    ("set_group_whole_ban", {"group_id": GROUP, "enable": False}, None),
    ("set_group_admin", {"group_id": GROUP, "user_id": CAROL, "enable": True}, None),
    ("set_group_anonymous", {"group_id": GROUP, "enable": True}, None),
    ("set_group_card", {"group_id": GROUP, "user_id": BOB, "card": "B"}, None),
    ("set_group_name", {"group_id": GROUP, "group_name": "G"}, None),
    ("set_group_special_title", {"group_id": GROUP, "user_id": BOB, "special_title": "T"}, None),
    ("get_login_info", {}, {"user_id", "nickname"}),
    ("get_stranger_info", {"user_id": CAROL}, {"user_id", "nickname", "sex", "age"}),
    ("get_friend_list", {}, [{"user_id", "nickname", "remark"}]),
    ("get_group_info", {"group_id": GROUP}, {"group_id", "group_name", "member_count", "max_member_count"}),
    ("get_group_list", {}, [{"group_id", "group_name", "member_count", "max_member_count"}]),
    ("get_group_member_info", {"group_id": GROUP, "user_id": BOB}, {"role", "card", "title", "join_time"}),
    ("get_group_member_list", {"group_id": GROUP}, [{"group_id", "user_id", "nickname", "card", "role"}]),
    ("get_group_honor_info", {"group_id": GROUP, "type": "all"}, {"group_id", "talkative_list"}),
    ("get_cookies", {"domain": ""}, {"cookies"}),
    ("get_csrf_token", {}, {"token"}),
    ("get_credentials", {"domain": ""}, {"cookies", "csrf_token"}),
    ("get_record", {"file": "{image}", "out_format": "png"}, {"file"}),
    ("get_image", {"file": "{image}"}, {"file"}),
    ("can_send_image", {}, {"yes"}),
    ("can_send_record", {}, {"yes"}),
    ("get_status", {}, {"online", "good"}),
    ("get_version_info", {}, {"app_name", "app_version", "protocol_version"}),
    ("set_restart", {"delay": 0}, None),
    ("clean_cache", {}, None),
    ("set_friend_add_request", {"flag": "{friend}", "approve": False}, None),
    ("set_group_add_request", {"flag": "{group}", "sub_type": "add", "approve": False}, None),
    ("set_group_kick", {"group_id": GROUP, "user_id": "{joined}"}, None),
    ("set_group_leave", {"group_id": "{other}", "is_dismiss": False}, None),
]


class NoneBotCallsTests(ServiceTestCase):
    def prepare(self) -> list[dict[str, str]]:
        """Make a world in which every action can be called twice; the names of what is used up, for each."""
        service = self.service
        control = "/sandbox/10001"
        members = [{"user_id": 10001, "role": "owner"}]
        service.http(f"{control}/group", {"group_id": GROUP, "members": members})
        service.say(ALICE, "first")
        names: list[dict[str, str]] = []
        for number in (0, 1):
            newcomer, group = 700 + number, 40000 + number
            service.http(f"{control}/person", {"user_id": newcomer, "nickname": "N"})
            service.http(f"{control}/join", {"user_id": newcomer, "group_id": GROUP})
            service.http(
                f"{control}/group", {"group_id": group, "members": [{"user_id": ALICE, "role": "owner"}]}
            )
            asker = {"user_id": 800 + number, "nickname": "A"}
            service.http(f"{control}/person", asker)
            _status, friend = service.http(f"{control}/ask", {"user_id": CAROL, "comment": str(number)})
            join = {"user_id": asker["user_id"], "group_id": GROUP}
            _status, request = service.http(f"{control}/ask", join)
            forward = {"user_id": ALICE, "messages": [{"type": "node", "data": {"content": "x"}}]}
            json_type = {"Content-Type": "application/json"}
            _status, sent = service.http("/send_private_forward_msg", forward, json_type)
            own = service.http("/send_msg", {"user_id": ALICE, "message": "own"}, json_type)[1]["data"][
                "message_id"
            ]
            image = {"user_id": ALICE, "message": [{"type": "image", "data": {"file": PNG}}]}
            image_id = service.http("/send_msg", image, json_type)[1]["data"]["message_id"]
            kept = service.http(f"/get_msg?message_id={image_id}")[1]["data"]["message"][0]["data"]["file"]
            names.append(
                {
                    "{joined}": str(newcomer),
                    "{other}": str(group),
                    "{friend}": friend["flag"],
                    "{group}": request["flag"],
                    "{forward}": sent["data"]["forward_id"],
                    "{own}": str(own),
                    "{image}": kept,
                }
            )
        return names

    def test_every_action(self) -> None:
        """Each is answered with the fields that the standard declares, by both ways."""
        ways = ("websocket", "http")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for way, names in zip(ways, self.prepare(), strict=True):
            calls = [
                (action, {k: names.get(v, v) if isinstance(v, str) else v for k, v in params.items()})
                for action, params, _fields in CALLS
            ]
            self.check(folder, calls, way)

    def check(self, folder: Path, calls: list[Any], way: str) -> None:
        """Run the program once and look at its answers."""
        (folder / "calls").write_text(json.dumps(calls))
        results = folder / "results"
        results.unlink(missing_ok=True)
        port = self.service.port
        environment = {
            **os.environ,
            "DRIVER": "~httpx+~websockets",
            "ONEBOT_WS_URLS": json.dumps([f"ws://127.0.0.1:{port}/"]),
            "ONEBOT_API_ROOTS": json.dumps({"http": f"http://127.0.0.1:{port}/"}),
            "CALLS": str(folder / "calls"),
            "RESULTS": str(results),
            "WAY": way,
        }
        with (folder / "log").open("ab") as log:
            program = subprocess.Popen(
                [sys.executable, str(PROGRAM)], cwd=folder, env=environment, stdout=log, stderr=log
            )
        try:
            wait_until("NoneBot has called everything", results.exists, 60)
        finally:
            program.kill()
            program.wait()
        for (action, _params, fields), (_action, answer) in zip(
            CALLS, json.loads(results.read_text()), strict=True
        ):
            self.assertIn("data", answer, (action, way, answer))
            data = answer["data"]
            if isinstance(fields, list):
                self.assertTrue(data, action)
                data, fields = data[0], fields[0]
            if fields is None:
                self.assertIsNone(data, action)
            else:
                self.assertLessEqual(fields, set(data), action)
