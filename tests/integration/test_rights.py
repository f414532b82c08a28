"""What each bot may do, tried by every transport and in every spelling."""

from __future__ import annotations

import json
from urllib.parse import quote

from tests.integration.rawclient import BINARY, RawClient
from tests.integration.rights import (
    ALICE,
    CAROL,
    GROUP,
    KICK,
    SANDBOX,
    SIMULATED,
    RightsTestCase,
    bearer,
)
from tests.integration.running import wait_until

#: Whatever an implementation might take for ``set_group_kick``, or for the quick operation, unchecked.
SPELLINGS = (
    "set_group_kick", "set_group_kick_async", "set_group_kick_rate_limited", "set_group_kick_async_async",
    "set_group_kick_rate_limited_async", "set_group_kick_async_rate_limited",
    "set_group_kick_rate_limited_rate_limited", "set_group_kick" + "_async" * 20,
    "SET_GROUP_KICK", "Set_Group_Kick", "set_group_kick_ASYNC", "SET_GROUP_KICK_async",
    ".set_group_kick", "...set_group_kick", ".set_group_kick_async", "set_group_kick/", "/set_group_kick",
    "get_status/../set_group_kick", "set_group_kick ", " set_group_kick", "\tset_group_kick",
    "set_group_kick\0", "get_status\0set_group_kick", "get_status\0", "set_group_kick\n", "get_status\n",
    "get_status\r\nset_group_kick", "set_group_kick?x=1", "set%5Fgroup_kick", "set_group_kic\u212a",
    "\u017fet_group_kick", "\uff53et_group_kick", "set_group_kick\u200b", "get_\u212a",
    "handle_quick_operation", "handle_quick_operation_async", ".HANDLE_QUICK_OPERATION",
    "..handle_quick_operation", "handle_quick_operation_rate_limited_async",
)  # fmt: skip
#: Other denied actions.
DENIED = (
    "set_group_ban", "set_group_whole_ban", "set_restart", "delete_msg", "upload_group_file", "_set_model",
    "send_like", "SEND_LIKE", "send_like_async", "send_like_async_async", ".send_like", "get_cookies",
    "get_cookies_rate_limited", "Get_Cookies", "get_any_secret", "get_any_secret_ASYNC", "get", "_send_msg",
    "can_send_image", "xsend_msg",
)  # fmt: skip


class Actions(RightsTestCase):
    """May read and send, 20 a minute, changes nothing (``docs/rights.md``)."""

    def refuse_everything(self, bot: RawClient) -> None:
        """Each spelling is 1403, by text frame and by binary frame, escaped and not."""
        for name in (*SPELLINGS, *DENIED):
            bot.send(json.dumps({"action": name, "params": KICK, "echo": name}, ensure_ascii=False))
            answer = bot.response()
            self.assertEqual((answer["retcode"], answer["echo"]), (1403, name), answer)
        escaped = "".join(f"\\u{ord(c):04X}" for c in "set_group_kick")
        params = json.dumps(KICK)
        for text in (
            f'{{"action":"{escaped}","params":{params}}}',
            f'{{"\\u0061ction":"set_group_kick","params":{params}}}',
            f'{{"action":"get_status","action":"set_group_kick","params":{params}}}',
            f'{{"action":"get_status","\\u0061ction":"{escaped}","params":{params}}}',
            f'{{"action":"get_status","params":{{}},"action":"set_group_kick","params":{params}}}',
            f'{{"action":"set_group_kick\\ud800","params":{params}}}',
            f'{{"action":"get_status\\ud800","params":{params}}}',
            f'{{"action":"get_status","x":"\\ud800","action":"{escaped}","params":{params}}}',
            f' \n{{ "action" :\t"set_group_kick" , "params" : {params} }}\r\n',
        ):
            bot.send(text)
            self.assertEqual(bot.response()["retcode"], 1403, text)
            bot.send(text, BINARY)
            self.assertEqual(bot.response()["retcode"], 1403, text)
        # Never one action checked and another one sent: of equal keys the last counts, for us and above.
        for text in (
            f'{{"action":"set_group_kick","params":{params},"action":"get_status"}}',
            f'{{"action":"get_status","params":{{"action":"set_group_kick","params":{params}}}}}',
            f'{{"Action":"set_group_kick","action":"get_status","params":{params}}}',
        ):
            bot.send(text)
            self.assertEqual(bot.response()["retcode"], 0, text)

    def test_forward_websocket(self) -> None:
        """Over forward WebSocket no spelling of a denied action is carried out; what is allowed is."""
        for path in (f"/{SANDBOX}/api", f"/{SIMULATED}/api"):
            bot = self.dial("leash", path)
            self.refuse_everything(bot)
            self.assert_nothing_done()
            self.assertEqual(bot.ask("get_login_info")["retcode"], 0)
        said = self.last()
        bot = self.dial("leash")
        self.assertEqual(bot.ask("send_group_msg", group_id=GROUP, message="allowed")["retcode"], 0)
        self.assertEqual(bot.ask("GET_COOKIES")["retcode"], 1403)
        self.assertEqual(len(self.transcript(said)), 1)

    def test_reverse_websocket(self) -> None:
        """Over reverse WebSocket the same."""
        peer = self.peer()
        self.refuse_everything(peer)
        self.assert_nothing_done()
        said = self.last()
        self.assertEqual(peer.ask("send_private_msg", user_id=ALICE, message="allowed")["retcode"], 0)
        self.assertEqual(len(self.transcript(said)), 1)

    def test_http_api(self) -> None:
        """Over HTTP the same, by GET and POST, for every way to write a path."""
        json_type = {**bearer("crowd"), "Content-Type": "application/json"}
        form_type = {**bearer("crowd"), "Content-Type": "application/x-www-form-urlencoded"}
        query = f"group_id={GROUP}&user_id={CAROL}"
        encoded = "".join(f"%{ord(c):02X}" for c in "set_group_kick")
        paths = [quote(name, safe="") for name in (*SPELLINGS, *DENIED) if "/" not in name]
        paths += ["set_group_kick/", "SET_GROUP_KICK/", "set%5fgroup%5Fkick", encoded, encoded + "/"]
        paths += [
            "%2eset_group_kick",
            "set_group_kick%2F",
            "set_group_kick;x",
            "set_group_kick%3Fx",
            encoded.lower(),
        ]
        for prefix in (f"/{SANDBOX}/", f"/{SANDBOX}%2F", f"/{SIMULATED}/", "/"):
            for path in paths if prefix == f"/{SANDBOX}/" else paths[:2] + paths[-10:]:
                for url, body, headers in (
                    (f"{prefix}{path}?{query}", None, bearer("crowd")),
                    (f"{prefix}{path}?{query}&access_token=crowd", None, {}),
                    (f"{prefix}{path}", KICK, json_type),
                    (f"{prefix}{path}?action=get_status", {**KICK, "action": "get_status"}, json_type),
                    (f"{prefix}{path}", query.encode(), form_type),
                ):
                    status, answer = self.service.http(url, body, headers)
                    self.assertEqual((status, answer["retcode"]), (200, 1403), url)
        for path in (
            "//set_group_kick", "/set_group_kick//", f"/{SANDBOX}//set_group_kick", f"/{SANDBOX}/%ff",
            f"/get_status/{SANDBOX}/set_group_kick", f"/{SANDBOX}/get_status/set_group_kick",
            f"/{SANDBOX}/get_status/../set_group_kick", f"/{SANDBOX}/get_status%2F..%2Fset_group_kick",
        ):  # fmt: skip
            self.assertEqual(self.service.http(f"{path}?{query}", headers=bearer("crowd"))[0], 404, path)
        # What the body says does not count: the path is what is checked and done.
        body = {"action": "set_group_kick", "params": KICK, **KICK}
        self.assertEqual(self.service.http(f"/{SANDBOX}/get_status", body, json_type)[1]["retcode"], 0)
        self.assert_nothing_done()
        absolute = f"GET http://x/{SANDBOX}/set_group_kick?{query} HTTP/1.1\r\nHost: x\r\n"
        with self.service.connect() as sock:
            sock.sendall(f"{absolute}Authorization: Bearer crowd\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while data := sock.recv(65536):
                answer += data
        self.assertIn(b'"retcode":1403', answer)
        self.assert_nothing_done()

    def test_websocket_on_an_action(self) -> None:
        """An upgrade on an action's path is no way round either."""
        for path in (f"/{SANDBOX}/set_group_kick", "/set_group_kick"):
            query = f"?group_id={GROUP}&user_id={CAROL}"
            status, _answer = self.service.http(
                path + query, headers={**bearer("leash"), "Upgrade": "websocket", "Connection": "Upgrade"}
            )
            self.assertEqual(status, 404)
        self.assert_nothing_done()

    def test_one_line_per_action(self) -> None:
        """A refusal is one line per bot and action, however often and over whichever transport."""
        bot = self.dial("crowd", "/api")
        for _ in range(50):
            for action in ("set_group_name", "set_group_name_async", "set_group_card"):
                bot.call(action, "x")
        for _ in range(150):
            self.assertEqual(bot.response()["retcode"], 1403)
        self.service.http(f"/{SANDBOX}/set_group_name", headers=bearer("crowd"))
        other = self.dial("leash", f"/{SANDBOX}/api")
        self.assertEqual(other.ask("set_group_name")["retcode"], 1403)
        lines = [line for line in self.new_log().splitlines() if "may not use set_group_" in line]
        self.assertEqual(len(lines), 3, lines)
        for who, action in (("crowd", "name"), ("crowd", "card"), ("leash", "name")):
            (_line,) = [line for line in lines if f"{who}: may not use set_group_{action};" in line]
        self.assertIn("1403", lines[0])

    def test_many_names(self) -> None:
        """A bot that makes up names fills neither the log nor the memory, and forges no lines."""
        bot = self.dial("noisy", f"/{SANDBOX}/api")
        for name in ("x\r\nforged line\x1b[31m", "set_\x1b]0;title\x07", "set_\u202egnorw"):
            self.assertEqual(bot.ask(name)["retcode"], 1403)
        self.assertEqual(self.new_log().count("may not use"), 3)
        memory = self.service.memory()
        for at in range(0, 6000, 200):
            for number in range(at, at + 200):
                bot.call(f"set_{number}_{'x' * 150}", number)
            for _ in range(200):
                self.assertEqual(bot.response()["retcode"], 1403)
        self.assertLess(self.new_log().count("may not use"), 110)
        self.assertLess(self.service.memory() - memory, 8 << 20)
        for bad in ("\x1b", "\x07", "\u202e", "\nforged"):
            self.assertNotIn(bad, self.new_log())
        self.assertEqual(bot.ask("x" * 5000)["retcode"], 1404)

    def test_rate(self) -> None:
        """Beyond ``20/min`` everything is 1429 and nothing is done, by whichever transport it comes."""
        first, second = self.dial("metered"), self.dial("metered", f"/{SIMULATED}")
        said = self.last()
        send = {"user_id": ALICE, "message": "counted"}
        for _ in range(6):
            self.assertEqual(first.ask("send_private_msg", **send)["retcode"], 0)
        for _ in range(4):
            self.assertEqual(second.ask("get_login_info")["retcode"], 0)
        self.assertEqual(first.ask("set_restart")["retcode"], 1403)  # does not count
        for _ in range(3):
            self.assertEqual(first.ask("send_private_msg_async", **send)["retcode"], 1)
        for _ in range(5):
            url = f"/{SANDBOX}/send_private_msg?user_id={ALICE}&message=counted"
            self.assertEqual(self.service.http(url, headers=bearer("metered"))[1]["retcode"], 0)
        context = {
            "post_type": "message", "message_type": "private", "user_id": ALICE, "message_id": 1,
        }  # fmt: skip
        quick = {"context": context, "operation": {"reply": "counted"}}
        for _ in range(2):
            self.assertEqual(first.ask(".handle_quick_operation", **quick)["retcode"], 0)
        wait_until("all of them are there", lambda: len(self.transcript(said)) == 16)
        for bot in (first, second, self.dial("metered")):
            for action in ("send_private_msg", "send_private_msg_async", "send_private_msg_rate_limited",
                           "get_status", "no_such_action"):  # fmt: skip
                answer = bot.ask(action, **send)
                self.assertEqual(answer["retcode"], 1429, action)
                self.assertIn("rate", answer["message"])
        refused = first.ask(".handle_quick_operation", **quick)
        self.assertEqual(refused["retcode"], 1429)
        for body in (None, {"user_id": ALICE, "message": "x"}):
            headers = {**bearer("metered"), "Content-Type": "application/json"}
            status, answer = self.service.http(f"/{SANDBOX}/send_private_msg", body, headers)
            self.assertEqual((status, answer["retcode"]), (200, 1429))
        self.assertEqual(first.ask("set_restart")["retcode"], 1403)
        self.assertEqual(len(self.transcript(said)), 16, "something beyond the rate was done")
        free = self.dial("free")
        for _ in range(30):
            self.assertEqual(free.ask("get_status")["retcode"], 0)
