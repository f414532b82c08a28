"""What each bot may do and see, tried by every transport and in every spelling."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.integration.accounts import World
from tests.integration.listening_bots import EMPTY, Listener, Peer, Receiver
from tests.integration.rawclient import BINARY, RawClient
from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase

ALICE, BOB, CAROL, GROUP, OTHER_GROUP = 20001, 20002, 20003, 30001, 30002
SANDBOX, SIMULATED = 10001, 10002
LEASH = 'allow = ["send_*", "get_*"], deny = ["send_like", "get_cookies", "get_*_secret"], rate = "20/min"'
EVENTS = f'events = {{ post_type = ["message", "notice"], group_id = [{GROUP}], user_id = [{ALICE}] }}'
TOML = """
[[accounts]]
type = "sandbox"
self_id = 10001
[[bots]]
name = "free"
access_token = "free"
[[bots]]
name = "leash"
access_token = "leash"
actions = {{ {leash} }}
[[bots]]
name = "crowd"
access_token = "crowd"
actions = {{ {leash} }}
[[bots]]
name = "noisy"
access_token = "noisy"
actions = {{ {leash} }}
[[bots]]
name = "metered"
access_token = "metered"
actions = {{ deny = ["set_*"], rate = "20/min" }}
[[bots]]
name = "ears"
access_token = "ears"
{events}
[[bots]]
name = "groups"
access_token = "groups"
events = {{ group_id = [{group}] }}
[[bots]]
name = "deaf"
access_token = "deaf"
events = {{ post_type = [] }}
[[bots]]
name = "dialled"
access_token = "dialled"
connection = "reverse-websocket"
url = "{dialled}"
accounts = [10001]
actions = {{ {leash} }}
{events}
[[bots]]
name = "hook"
access_token = "hook"
connection = "http-post"
url = "{hook}"
accounts = [10001]
actions = {{ {leash} }}
{events}
[[bots]]
name = "slow-hook"
access_token = "slow-hook"
connection = "http-post"
url = "{slow_hook}"
accounts = [10001]
actions = {{ rate = "2/min" }}
"""
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
KICK = {"group_id": GROUP, "user_id": CAROL}
MAY_GO_UP = re.compile(r"(send|get)_\w+|can_send_\w+")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def group_message(user_id: int, word: str, group_id: Any = GROUP) -> dict[str, Any]:
    return {
        "post_type": "message", "message_type": "group", "sub_type": "normal", "group_id": group_id,
        "user_id": user_id, "message_id": 1, "message": word, "raw_message": word, "word": word,
    }  # fmt: skip


class Leashed:
    """One service with a sandbox and a simulated account, and bots of every kind with rights."""

    def __init__(self, folder: Path) -> None:
        self.listener, self.receiver, self.slow = Listener(), Receiver(), Receiver()
        try:
            toml = TOML.format(
                leash=LEASH,
                events=EVENTS,
                group=GROUP,
                dialled=self.listener.url(),
                hook=self.receiver.url("/hook"),
                slow_hook=self.slow.url("/slow"),
            )
            accounts = [{"self_id": SIMULATED}]
            self.world = World(folder, accounts, 'heartbeat_interval = "100ms"\n', toml)
        except BaseException:
            self._end_bots()
            raise
        self.peer: Peer | None = None
        wait_until("the simulated account is up", self._simulated_is_up)

    def _simulated_is_up(self) -> bool:
        _status, answer = self.world.service.http(f"/{SIMULATED}/get_status", headers=bearer("free"))
        return answer["retcode"] == 0 and bool(answer["data"]["online"])

    def _end_bots(self) -> None:
        for bot in (self.listener, self.receiver, self.slow):
            bot.end()

    def end(self) -> None:
        """End all."""
        self._end_bots()
        self.world.end()


class Rights(SharedTestCase):
    """The leash of ``docs/rights.md``: may read and send, 20 a minute, changes nothing."""

    def start_shared(self, folder: Path) -> Leashed:
        return Leashed(folder)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.world.service
        self.receiver: Receiver = self.shared.receiver
        self._log_began = len(self.service.log())
        self._before = self.overview()
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        self.receiver.quick = lambda _event: None
        self.receiver.usual = EMPTY
        self.assertTrue(self.service.alive())
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())

    # -- what can be seen from outside

    def new_log(self) -> str:
        return self.service.log()[self._log_began :]

    def overview(self) -> Any:
        """People, groups, requests: all that an action could change, but messages."""
        status, world = self.service.http(f"/sandbox/{SANDBOX}")
        self.assertEqual(status, 200)
        world.pop("last_message_id")
        for group in world["groups"]:
            for member in group["members"] if isinstance(group["members"], list) else []:
                member.pop("last_sent_time", None)
        return world

    def assert_nothing_done(self) -> None:
        """The sandbox is as before, and the implementation was given nothing but what is allowed."""
        after = self.overview()
        self.assertEqual(after["people"], self._before["people"])
        self.assertEqual(after["requests"], self._before["requests"])
        for before, now in zip(self._before["groups"], after["groups"], strict=True):
            self.assertEqual(members(now), members(before))
        for one in self.shared.world.implementation.received(SIMULATED):
            self.assertRegex(one["action"], MAY_GO_UP)
            self.assertTrue(MAY_GO_UP.fullmatch(one["action"]), one)

    def dial(self, name: str, path: str = f"/{SANDBOX}") -> RawClient:
        client = RawClient(self.service, path, bearer(name))
        self.addCleanup(client.socket.close)
        return client

    def transcript(self, after: int) -> list[Any]:
        return [one for one in self.service.transcript(after) if one["user_id"] == SANDBOX]

    def last(self) -> int:
        return max((one["message_id"] for one in self.service.transcript()), default=0)

    def peer(self) -> Peer:
        """The link to the bot that is dialled; it stays over tests."""
        if self.shared.peer is None:
            self.shared.peer = self.shared.listener.next()
        return self.shared.peer

    # -- actions

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

    # -- quick operations

    def test_quick_operation(self) -> None:
        """Of ``.handle_quick_operation`` the reply is done and the kick is not: the answer names it."""
        said = self.last()
        message_id = self.service.say(CAROL, "kick me", GROUP)
        context = {**group_message(CAROL, "kick me"), "message_id": message_id}
        operation = {
            "reply": "no", "kick": True, "ban": True, "delete": True, "at_sender": False,
        }  # fmt: skip
        params = {"context": context, "operation": operation}
        for path in (f"/{SANDBOX}", f"/{SANDBOX}/api"):
            answer = self.dial("leash", path).ask(".handle_quick_operation", **params)
            self.assertEqual((answer["status"], answer["retcode"]), ("failed", 1403))
            self.assertIn("delete_msg", answer["message"])
        answer = self.dial("leash").ask(
            ".handle_quick_operation", context=context, operation={"kick": True, "reply": "no"}
        )
        self.assertIn("set_group_kick", answer["message"])
        headers = {**bearer("leash"), "Content-Type": "application/json"}
        _status, answer = self.service.http(f"/{SANDBOX}/.handle_quick_operation", params, headers)
        self.assertEqual(answer["retcode"], 1403)
        answer = self.dial("leash").ask(".handle_quick_operation_async", **params)
        self.assertEqual(answer["retcode"], 1)
        wait_until("all replies are there", lambda: len(self.transcript(said)) == 5)
        answer = self.peer().ask(".handle_quick_operation", **params)
        self.assertEqual(answer["retcode"], 1403)
        self.assertEqual(len(self.transcript(said)), 6)
        self.assert_nothing_done()
        self.assertFalse([m for m in self.service.transcript(said) if m.get("recalled") or m.get("deleted")])

    def test_webhook(self) -> None:
        """Of a webhook's answer the reply is done and the kick is not, with a line that names the step."""
        said = self.last()
        answered = []

        def quick(event: dict[str, Any]) -> Any:
            if event.get("post_type") != "message":
                return None
            answered.append(event)
            return {"reply": "no", "kick": True, "ban": True, "ban_duration": 60, "at_sender": False}

        self.receiver.quick = quick
        self.service.say(ALICE, "answer me", GROUP)
        wait_until("the reply is there", lambda: self.transcript(said))
        wait_until("it is logged", lambda: "hook: .handle_quick_operation failed" in self.new_log())
        self.assertRegex(self.new_log(), r"hook: \.handle_quick_operation failed .*1403 set_group_kick")
        for step in ("set_group_kick", "set_group_ban"):
            self.assertEqual(self.new_log().count(f"hook: may not use {step};"), 1)
        self.assertEqual(len(answered), 1, "a refused step made the event come again")
        self.assert_nothing_done()

    def test_webhook_rate(self) -> None:
        """A webhook's quick operations count for its rate too."""
        said = self.last()
        slow = self.shared.slow
        slow.quick = lambda event: {"reply": "counted"} if event.get("word") == "slow" else None
        for number in range(4):
            context = group_message(BOB, "slow")
            context.update(message_type="private", message_id=self.service.say(BOB, f"slow {number}"))
            context.pop("group_id")
            self.service.inject(context)
        wait_until("all four are answered", lambda: len(slow.of('"slow"')) == 4)
        wait_until(
            "two failures are logged",
            lambda: self.new_log().count("slow-hook: .handle_quick_operation failed") == 2,
        )
        self.assertIn("1429", self.new_log())
        self.assertEqual(len(self.transcript(said)), 2)

    def test_unrestricted(self) -> None:
        """The bot beside them may do all, in one quick operation and in any spelling that exists."""
        _status, world = self.service.http(f"/sandbox/{SANDBOX}/world")
        self.addCleanup(self.service.http, f"/sandbox/{SANDBOX}/world", world)
        free = self.dial("free", f"/{SANDBOX}/api")
        self.assertEqual(free.ask("set_group_kick_async", group_id=GROUP, user_id=BOB)["retcode"], 1)
        message_id = self.service.say(CAROL, "kick me", GROUP)
        context = {**group_message(CAROL, "kick me"), "message_id": message_id}
        done = free.ask(".handle_quick_operation", context=context, operation={"reply": "bye", "kick": True})
        self.assertEqual(done["retcode"], 0, done)

        def left() -> bool:
            return not {BOB, CAROL} & members(next(g for g in self.overview()["groups"]))

        wait_until("both are gone", left)

    # -- events

    FILTERED = (
        group_message(BOB, "other user"),
        group_message(ALICE, "other group", OTHER_GROUP),
        {**group_message(ALICE, "private"), "message_type": "private", "group_id": None},
        {k: v for k, v in group_message(ALICE, "no group").items() if k != "group_id"},
        {k: v for k, v in group_message(ALICE, "no user").items() if k != "user_id"},
        group_message(ALICE, "not a number", f"{GROUP}x"),
        group_message(ALICE, "a list", [GROUP]),
        {**group_message(ALICE, "request"), "post_type": "request", "request_type": "group"},
        {**group_message(ALICE, "sent"), "post_type": "message_sent"},
        {**group_message(ALICE, "odd"), "post_type": "Message"},
        {**group_message(BOB, "nested"), "sender": {"user_id": ALICE}, "group": {"group_id": GROUP}},
    )
    PASSING = (
        group_message(ALICE, "passes"),
        group_message(ALICE, "as text", str(GROUP)),
        {**group_message(ALICE, "notice"), "post_type": "notice", "notice_type": "group_card"},
    )

    def publish(self, end: str) -> None:
        for event in (*self.FILTERED, *self.PASSING, {**group_message(ALICE, end)}):
            self.service.inject(event)

    @staticmethod
    def heard(client: RawClient, end: str) -> tuple[list[str], int]:
        """The words of the events that come until the last one, and how many heartbeats came."""
        words: list[str] = []
        beats = 0
        while True:
            message = client.message()
            if message.get("post_type") == "meta_event":
                beats += message["meta_event_type"] == "heartbeat"
            elif "word" in message:
                words.append(message["word"])
                if words[-1] == end:
                    return words, beats

    def test_events(self) -> None:
        """An event outside never reaches the bot, by any transport; the bot beside it gets all."""
        peer = self.peer()
        wait_until("the webhook is there", lambda: self.receiver.posts)
        self.service.inject(group_message(ALICE, "before the events"))
        self.heard(peer, "before the events")
        ears, event_only = self.dial("ears"), self.dial("ears", f"/{SANDBOX}/event")
        free, groups, deaf = self.dial("free"), self.dial("groups"), self.dial("deaf")
        self.publish("end of events")
        expected = [event["word"] for event in self.PASSING] + ["end of events"]
        for client in (ears, event_only, peer):
            self.assertEqual(self.heard(client, "end of events")[0], expected)
        everything = [event["word"] for event in self.FILTERED]
        self.assertEqual(self.heard(free, "end of events")[0], everything + expected)
        heard, _beats = self.heard(groups, "end of events")
        in_group = ["other user", "no user", "request", "sent", "odd", "nested"]
        self.assertEqual(heard, in_group + expected)
        self.receiver.wait("end of events")
        posted = [post.event["word"] for post in self.receiver.posts if "word" in post.event]
        self.assertEqual(posted[-len(expected) :], expected)
        for word in everything:
            self.assertNotIn(word, posted)
        deaf_heard = [deaf.message() for _ in range(4)]
        self.assertEqual([one["meta_event_type"] for one in deaf_heard], ["lifecycle"] + ["heartbeat"] * 3)

    def test_heartbeats(self) -> None:
        """Whatever is filtered, lifecycles and heartbeats come, over every transport."""
        first = self.dial("ears")
        self.assertEqual(first.message()["meta_event_type"], "lifecycle")
        posts = len(self.receiver.of("heartbeat"))
        for client in (first, self.peer(), self.dial("deaf")):
            for _ in range(2):
                self.assertTrue(client.event(meta_event_type="heartbeat")["status"]["online"])
        wait_until("heartbeats are posted", lambda: len(self.receiver.of("heartbeat")) >= posts + 2)

    def test_event_spellings(self) -> None:
        """Neither duplicate keys nor escapes bring an event past the lists that its readers see outside."""
        ears = self.dial("ears")
        sent = (
            f'{{"post_type":"message","group_id":{GROUP},"user_id":{ALICE},"user_id":{BOB},"word":"dup"}}',
            f'{{"post_type":"message","group_id":{GROUP},"user_id":{ALICE},"user\\u005fid":{BOB},"word":"esc"}}',
            f'{{"post_type":"message","post_type":"request","group_id":{GROUP},"user_id":{ALICE},"word":"type"}}',
            f'{{"post_type":"meta_event","post_type":"message","group_id":1,"user_id":{ALICE},"word":"meta"}}',
            f'{{"post_type":"message","group_id":1,"group_id":{GROUP},"user_id":{ALICE},"word":"inside"}}',
        )
        for event in sent:
            status, answer = self.service.http(f"/sandbox/{SANDBOX}/event", event.encode())
            self.assertEqual(status, 200, answer)
        self.service.inject(group_message(ALICE, "end of spellings"))
        began = time.monotonic()
        self.assertEqual(self.heard(ears, "end of spellings")[0], ["inside", "end of spellings"])
        self.assertLess(time.monotonic() - began, 5)


def members(group: dict[str, Any]) -> set[int]:
    """The numbers of a group's members, as the overview shows them."""
    found = group["members"]
    return {int(one if isinstance(one, (int, str)) else one["user_id"]) for one in found}
