"""The simulator as a WebSocket server, judged by plain clients."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request

from tests.implementations.simulator_case import NAMES, Base
from tests.integration.running import PATIENCE, wait_until


class ForwardTests(Base):
    accounts = [
        {"self_id": 20001 + at, "dialect": name, "token": "t", "heartbeat_ms": 200}
        for at, name in enumerate(NAMES)
    ]

    def test_first_frames(self) -> None:
        """Lifecycle first, with the fields of the dialect in their order; then the heartbeat habits."""
        plain = ["time", "self_id", "post_type", "meta_event_type", "sub_type"]
        orders = {
            "lagrange": ["sub_type", "meta_event_type", "time", "self_id", "post_type"],
            "go-cqhttp": ["_post_method", "meta_event_type", "post_type", "self_id", "sub_type", "time"],
        }
        for at, name in enumerate(NAMES):
            began = time.monotonic()
            client = self.dial(20001 + at)
            first, second = self.frame(client), self.frame(client)
            took = time.monotonic() - began
            self.assertEqual(list(first), orders.get(name, plain), name)
            self.assertEqual((first["sub_type"], first["self_id"]), ("connect", 20001 + at))
            self.assertEqual((second["meta_event_type"], second["interval"]), ("heartbeat", 200))
            self.assertIs(second["status"]["online"], True)
            self.assertIs(second["status"]["good"], True)
            if name in ("onebot11", "napcat", "llbot"):
                self.assertGreater(took, 0.18, name)
            client.close()
        self.assertEqual(self.implementation.violations(), {})

    def test_go_cqhttp_time_is_frozen(self) -> None:
        """Its first frame was made when it started."""
        times = set()
        for _ in range(2):
            client = self.dial(20005)
            times.add(self.frame(client)["time"])
            client.close()
            began = int(time.time())
            wait_until("the next second", lambda began=began: int(time.time()) > began)
        self.assertEqual(len(times), 1)

    def test_tokens(self) -> None:
        """Missing and wrong tokens, each dialect in its way."""
        self.assertEqual(self.refused(20001, token=None), 401)
        self.assertEqual(self.refused(20001, token="no"), 403)
        self.assertEqual(self.refused(20002, token=None), 403)
        self.assertEqual(self.refused(20002, token="no"), 403)
        self.assertEqual(self.refused(20005, token=None), 401)
        self.assertEqual(self.refused(20005, token="no"), 403)
        for token in (None, "no"):
            napcat = self.dial(20003, token=token)
            refusal = self.frame(napcat)
            self.assertEqual((refusal["retcode"], refusal["echo"]), (1403, None))
            self.assertEqual(self.closed(napcat), 1005)
            self.assertEqual(self.closed(self.dial(20004, token=token)), 1008)
        for self_id in range(20001, 20006):
            state = self.implementation.state(self_id)
            self.assertEqual([one["verdict"] for one in state["handshakes"]], ["missing", "wrong"])
            self.assertIn("handshake: wrong token", state["violations"])

    def test_where_tokens_are_found(self) -> None:
        """A header hides the query for Lagrange, the query goes first for NapCat, go-cqhttp takes schemes."""
        self.assertEqual(
            self.refused(20002, "/?access_token=t", token=None, headers={"Authorization": "Token t"}), 403
        )
        for self_id in range(20001, 20006):
            self.frame(self.dial(self_id, "/?access_token=t", token=None))
        self.assertEqual(self.frame(self.dial(20003, "/?access_token=no"))["retcode"], 1403)
        self.frame(self.dial(20005, token=None, headers={"Authorization": "Token t"}))

    def test_paths(self) -> None:
        """Roles by path, and paths that the standard does not know."""
        for self_id in range(20001, 20006):
            api = self.dial(self_id, "/api")
            self.assertEqual(self.ask(api, "get_login_info")["data"]["user_id"], self_id)
        self.assertEqual(self.refused(20001, "/onebot/v11/ws"), 404)
        for self_id in (20002, 20003, 20005):
            self.assertEqual(self.frame(self.dial(self_id, "/x"))["sub_type"], "connect")
        dead = self.dial(20004, "/x")
        dead.send('{"action":"get_status","params":{},"echo":"1"}')
        with self.assertRaises(TimeoutError):
            dead.recv(0.5)
        event = self.dial(20003, "/event")
        self.assertEqual(self.ask(event, "get_status")["retcode"], 0)
        roles = self.implementation.state(20003)["max_concurrent"]
        self.assertEqual(roles, {"api": 1, "universal": 2})

    def test_not_an_upgrade(self) -> None:
        for at, status in enumerate((426, 400, 426, 426, 400)):
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.implementation.port(20001 + at)}/",
                headers={"Authorization": "Bearer t"},
            )
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, timeout=PATIENCE)
            self.assertEqual(caught.exception.code, status)
            caught.exception.close()

    def test_envelopes(self) -> None:
        """The fields of answers, their order, and unknown actions."""
        ok = {
            "onebot11": "status retcode data echo",
            "lagrange": "status retcode data echo",
            "napcat": "status retcode data message wording echo stream",
            "llbot": "status retcode data message wording echo",
            "go-cqhttp": "data echo message retcode status",
        }
        codes = {"lagrange": 404, "go-cqhttp": 404}
        for at, name in enumerate(NAMES):
            client = self.dial(20001 + at, "/api")
            answer = self.ask(client, "echo_params", echo="e", a={"b": [1, None]})
            self.assertEqual(" ".join(answer), ok[name])
            self.assertEqual((answer["data"], answer["echo"]), ({"a": {"b": [1, None]}}, "e"))
            unknown = self.ask(client, "no_such", echo="f")
            self.assertEqual((unknown["status"], unknown["retcode"]), ("failed", codes.get(name, 1404)))
            self.assertEqual(unknown["echo"], "f")
        self.assertEqual(self.implementation.violations(), {})

    def test_no_echo(self) -> None:
        expected = {"lagrange": None, "napcat": ""}
        for at, name in enumerate(NAMES):
            client = self.dial(20001 + at, "/api")
            client.send('{"action":"get_status","params":{}}')
            answer = self.frame(client)
            self.assertEqual(answer.get("echo", "absent"), expected.get(name, "absent"), name)
            self.assertIn("no echo", self.implementation.violations()[str(20001 + at)][0])

    def test_bad_json(self) -> None:
        """1400, nothing (Lagrange), or an unknown action (go-cqhttp); each is a violation."""
        for at, name in enumerate(NAMES):
            client = self.dial(20001 + at, "/api")
            client.send("{")
            if name != "lagrange":
                self.assertEqual(self.frame(client)["retcode"], 404 if name == "go-cqhttp" else 1400)
            self.assertEqual(self.ask(client, "get_status")["echo"], "1")
            self.assertEqual(len(self.implementation.state(20001 + at)["violations"]), 1)

    def test_spelling(self) -> None:
        """Lagrange escapes what is not ASCII, go-cqhttp what is HTML."""
        spelled = {"lagrange": '"\\u6D4B\\u003C\\u0022"', "go-cqhttp": '"测\\u003c\\""'}
        for at, name in enumerate(NAMES):
            client = self.dial(20001 + at, "/api")
            client.send(json.dumps({"action": "echo_params", "params": {"a": '测<"'}, "echo": "1"}))
            text = client.recv(PATIENCE)
            self.assertIn(spelled.get(name, '"测<\\""'), text)

    def test_known_actions(self) -> None:
        names = ("onebot-simulator", "Lagrange.OneBot", "NapCat.Onebot", "LLOneBot", "go-cqhttp")
        for at, app in enumerate(names):
            client = self.dial(20001 + at, "/api")
            version = self.ask(client, "get_version_info", echo=0)["data"]
            self.assertEqual((version["app_name"], version["protocol_version"]), (app, "v11"))
            sent = self.ask(client, "send_group_msg", echo=1, group_id=1, message="hi")["data"]
            message = self.ask(client, "get_msg", echo=2, message_id=sent["message_id"])["data"]
            self.assertEqual(message["message"], "hi")
            self.assertEqual(len(self.ask(client, "big", echo=3, bytes=200_000)["data"]["blob"]), 200_000)
            received = self.implementation.received(20001 + at, "send_group_msg")
            self.assertEqual(received[0]["params"], {"group_id": 1, "message": "hi"})
            self.assertEqual(received[0]["echo"], 1)
            self.assertEqual(received[0]["connection"], 1)

    def test_streams(self) -> None:
        """NapCat answers several times with one echo."""
        client = self.dial(20003, "/api")
        frames = [self.ask(client, "download_file_stream", chunks=2)]
        while frames[-1]["data"]["type"] == "stream":
            frames.append(self.answer(client))
        kinds = ["file_info", "file_chunk", "file_chunk", "file_complete"]
        self.assertEqual([one["data"]["data_type"] for one in frames], kinds)
        self.assertEqual({(one["echo"], one["stream"]) for one in frames}, {("1", "stream-action")})

    def test_pongs(self) -> None:
        """LLBot answers twice, go-cqhttp's /event never, and all can be told to be silent."""
        for self_id in (20001, 20002, 20003, 20004):
            self.assertTrue(self.dial(self_id).ping("x").wait(PATIENCE))
        self.assertFalse(self.dial(20005, "/event").ping("x").wait(0.5))
        self.assertTrue(self.dial(20005, "/").ping("x").wait(PATIENCE))
        self.implementation.control(20001, "drop_pongs", on=True)
        client = self.dial(20001)
        self.assertFalse(client.ping("x").wait(0.5))
        self.assertEqual(self.ask(client, "get_status")["retcode"], 0)

    def test_violations(self) -> None:
        """What a correct peer does not send."""
        bad = (
            '{"action":"a","action":"b","params":{},"echo":1}',
            '{"action":5,"params":{},"echo":2}',
            '{"action":"a","params":[],"echo":3}',
            '{"action":"a","params":{},"echo":4,"x":1}',
            '{"action":"a","params":{"n":NaN},"echo":5}',
            '{"action":"a","params":{},"echo":5}',
            b'{"action":"a","params":{},"echo":6}',
        )
        client = self.dial(20001, "/api")
        for message in bad:
            client.send(message)
            self.frame(client)
        found = self.implementation.violations()["20001"]
        words = ("twice", "action is no", "params is no", "unknown key", "NaN", "used before", "binary")
        self.assertEqual(len(found), len(words), found)
        for word, text in zip(words, found, strict=True):
            self.assertIn(word, text)

    def test_broken_protocol_is_a_violation(self) -> None:
        """An unmasked frame, and half of a UTF-8 character."""
        client = self.dial(20001)
        client.socket.sendall(b"\x81\x02{}")
        self.assertEqual(self.closed(client), 1002)
        client = self.dial(20001)
        client.send(b"\xe6\xb5", text=True)
        self.assertEqual(self.closed(client), 1007)
        found = wait_until("both", lambda: self._two_violations())
        self.assertIn("broke the WebSocket protocol", found[0])

    def _two_violations(self) -> list[str]:
        found = self.implementation.state(20001)["violations"]
        return list(found) if len(found) == 2 else []
