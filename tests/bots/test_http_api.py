"""The HTTP API: the real site through treq in memory, and raw bytes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st
from treq.testing import StubTreq

from tests.rounds import quick
from tests.web.site_case import Peer, SiteTestCase


class HttpTestCase(SiteTestCase):
    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Peer:
        return self.get(path, method, body, **headers)

    def post(self, path: str, params: Any, **headers: str) -> Peer:
        return self.ask(
            "POST", path, json.dumps(params).encode(), **{"Content_Type": "application/json", **headers}
        )

    def answer(self, port: Peer) -> dict[str, Any]:
        answer = json.loads(port.body())
        assert isinstance(answer, dict)
        return answer

    def said(self) -> list[str]:
        return [m.raw_message for m in self.sandboxes()[0].world.messages_after(0)]


class HttpApiTests(HttpTestCase):
    def test_each_way_of_asking(self) -> None:
        """GET with a query, POST with JSON, POST urlencoded; with the account and a trailing slash."""
        message = {"user_id": "20001", "message": "a b+c&d=e 你好"}
        for port in (
            self.get("/send_private_msg?" + urlencode(message)),
            self.post("/send_private_msg", {**message, "user_id": 20001}),
            self.ask(
                "POST",
                "/send_private_msg",
                urlencode(message).encode(),
                Content_Type="application/x-www-form-urlencoded",
            ),
            self.get("/10001/send_private_msg/?" + urlencode(message)),
            self.post("/10001/send_private_msg/", message, Content_Type="Application/JSON; charset=UTF-8"),
        ):
            self.assertEqual(port.status(), 200)
            self.assertIn("content-type: application/json", port.headers())
            answer = self.answer(port)
            self.assertEqual(
                (answer["status"], list(answer)), ("ok", ["status", "retcode", "data", "message", "wording"])
            )
        self.assertEqual(self.said(), ["a b+c&amp;d=e 你好"] * 5)

    def test_statuses(self) -> None:
        """400 401 403 404 405 406 and 413 as the standard says; 200 for all else."""
        for status, port in (
            (200, self.ask("POST", "/get_status")),
            (200, self.post("/send_msg", {})),
            (200, self.post("/send_msg_async", {"user_id": 20001, "message": "x"})),
            (400, self.ask("POST", "/get_status", b"{", Content_Type="application/json")),
            (400, self.ask("POST", "/get_status", b"[1]", Content_Type="application/json")),
            (400, self.ask("POST", "/get_status", b'"x"', Content_Type="application/json")),
            (400, self.ask("POST", "/get_status", b"\xef\xbb\xbf1", Content_Type="application/json")),
            (400, self.ask("POST", "/get_status", b'{"a":"\xff"}', Content_Type="application/json")),
            (400, self.ask("POST", "/get_status", b"[" * 100_000, Content_Type="application/json")),
            (
                400,
                self.ask("POST", "/get_status", b"a=%ff", Content_Type="application/x-www-form-urlencoded"),
            ),
            (400, self.get("/get_status?a=%ff")),
            (403, self.get("/get_status", Host="evil.example")),
            (403, self.get("/get_status", Authorization="Bearer wrong")),
            (404, self.get("/no_such_action")),
            (404, self.get("/10002/get_status")),
            (404, self.get("/a/b")),
            (404, self.get("//get_status")),
            (405, self.ask("PUT", "/get_status", b"{}")),
            (405, self.ask("DELETE", "/get_status")),
            (405, self.ask("HEAD", "/get_status")),
            (405, self.ask("OPTIONS", "/get_status")),
            (406, self.ask("POST", "/get_status", b"{}")),
            (406, self.ask("POST", "/get_status", b"{}", Content_Type="text/plain")),
            (406, self.ask("POST", "/get_status", b"{}", Content_Type="multipart/form-data; boundary=x")),
            (406, self.ask("POST", "/get_status", b"{}", Content_Type="application/json; charset=gbk")),
            (406, self.ask("POST", "/get_status", b"{}", Content_Type="")),
        ):
            self.assertEqual(port.status(), status, port.read())

    def test_what_an_unknown_action_says(self) -> None:
        """404 with a response of its own; a failure of a known one is 200 with its retcode."""
        self.assertEqual(self.answer(self.get("/nope"))["retcode"], 1404)
        self.assertEqual(self.answer(self.get("/nope_rate_limited"))["retcode"], 1)
        self.assertEqual(self.answer(self.get("/get_msg?message_id=404"))["retcode"], 100)

    def test_odd_forms(self) -> None:
        """Names without a value, repeated names, and empty forms are forms (L-49, L-51)."""
        for body in (b"", b"a", b"a=&a=1", b"user_id=20001&user_id=20002&message=x", b"&&", b"=x"):
            port = self.ask(
                "POST", "/send_private_msg", body, Content_Type="application/x-www-form-urlencoded"
            )
            self.assertEqual(port.status(), 200, body)
        world = self.sandboxes()[0].world
        self.assertEqual([m.peer_id for m in world.messages_after(0)], [20002])

    def test_L55_nothing_is_pasted(self) -> None:
        """Neither path nor body can break out of their place."""
        port = self.get("/x%22,%22params%22:{%22message%22:%22y%22},%22a%22:%22")
        self.assertEqual((port.status(), self.answer(port)["retcode"]), (404, 1404))
        self.assertEqual(self.said(), [])

    def test_a_token_in_the_query_is_no_parameter(self) -> None:
        """access_token does not reach the action."""
        self.assertEqual(self.get("/get_status?access_token=").status(), 200)

    def test_quick_operation(self) -> None:
        """The hidden action works here too."""
        context = {"post_type": "message", "message_type": "private", "user_id": 20001}
        port = self.post("/.handle_quick_operation", {"context": context, "operation": {"reply": "yes"}})
        self.assertEqual((self.answer(port)["status"], self.said()), ("ok", ["yes"]))

    def test_glued_requests(self) -> None:
        """Requests in one segment are answered in their order, on one connection."""
        one = b"GET /get_status HTTP/1.1\r\nHost: localhost\r\n\r\n"
        head = b"POST /get_login_info HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        two = head + b"Content-Length: 2\r\n\r\n{}"
        port = Peer(self).send(one + two + one)
        self.assertEqual(port.read().count(b"HTTP/1.1 200"), 3)
        self.assertLess(port.read().index(b"online"), port.read().index(b"user_id"))

    def test_bodies_that_lie_about_their_length(self) -> None:
        """A body shorter than announced ends with its client; a longer one is the next request."""
        head = b"POST /get_status HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        short = Peer(self).send(head + b"Content-Length: 10\r\n\r\n{}")
        self.assertEqual(short.read(), b"")
        short.lose()
        long = Peer(self).send(head + b"Content-Length: 2\r\n\r\n{}GARBAGE\r\n\r\n")
        self.assertEqual(long.status(), 200)
        self.assertIn(b"400 Bad Request", long.read())
        for lie in (
            b"Content-Length: -1",
            b"Content-Length: x",
            b"Content-Length: 1\r\nContent-Length: 2",
            b"Transfer-Encoding: gzip",
        ):
            self.assertEqual(Peer(self).send(head + lie + b"\r\n\r\n{}").status(), 400)
        chunked = Peer(self).send(head + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")
        self.assertEqual(chunked.status(), 200)

    def test_forms_of_the_target(self) -> None:
        """The absolute form is the same request; long heads are fine up to 64 KiB."""
        port = Peer(self).send(b"GET http://localhost/get_status HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(port.status(), 200)
        self.assertEqual(self.get("/get_status", X_Long="x" * 16_000).status(), 200)
        many = {f"X_{n}": "x" * 15_000 for n in range(5)}
        self.assertEqual(self.get("/get_status", **many).status(), 431)

    def test_a_client_that_goes_away(self) -> None:
        """Its call is cancelled: nothing is answered, nothing is left."""
        sandbox = self.sandboxes()[0]
        self.patch(sandbox, "send", lambda *_args: None)
        port = self.get("/get_status")
        bot, account = next(iter(self.service.directory.bots.values())), sandbox.account
        self.assertEqual(bot.quota(account).calls, 1)
        port.lose()
        self.assertEqual(bot.quota(account).calls, 0)

    def test_never_a_hang(self) -> None:
        """An account that does not answer is a 200 with 1504 in the end."""
        self.patch(self.sandboxes()[0], "send", lambda *_args: None)
        port = self.get("/get_status")
        self.clock.advance(60)
        self.assertEqual((port.status(), self.answer(port)["retcode"]), (200, 1504))

    @quick
    @given(
        st.sampled_from(["GET", "POST", "PUT", "OPTIONS", "BREW"]),
        st.sampled_from(["/get_status", "/send_msg/", "/a?x=1&x", "/%2e%2e", "/%ff", "/10001/send_msg"]),
        st.sampled_from(
            ["", "application/json", "application/x-www-form-urlencoded", "text/xml", ";;;", "charset="]
        ),
        st.binary(max_size=40)
        | st.sampled_from([b"{}", b"{", b"[]", b'{"message":"x","user_id":20001}', b"a=b"]),
    )
    def test_any_request(self, method: str, path: str, kind: str, body: bytes) -> None:
        """Whatever is asked, there is a status, and nothing is left over."""
        port = self.ask(method, path, body, Content_Type=kind)
        self.assertIn(port.status(), (200, 400, 403, 404, 405, 406))
        port.lose()
        self.assertEqual(self.flushLoggedErrors(), [])


class TokenTests(HttpTestCase):
    toml = """
        [server]
        allowed_origins = ["https://mine.example"]
        [[accounts]]
        self_id = 1
        [[accounts]]
        self_id = 2
        [[bots]]
        name = "a"
        access_token = "ta"
        message_format = "string"
        [[bots]]
        name = "b"
        access_token = "tb"
        accounts = [2]
        message_format = "array"
    """

    def test_tokens(self) -> None:
        """401 with a challenge, 403, and each bot its own accounts."""
        self.assertEqual(self.get("/get_login_info").status(), 401)
        self.assertIn("www-authenticate: bearer", self.get("/get_login_info").headers())
        self.assertEqual(self.get("/get_login_info", Authorization="Bearer no").status(), 403)
        for token, path, user_id in (
            ("ta", "/get_login_info", 1),
            ("tb", "/get_login_info", 2),
            ("ta", "/2/get_login_info", 2),
        ):
            self.assertEqual(
                self.answer(self.get(path, Authorization=f"Token {token}"))["data"]["user_id"], user_id
            )
            self.assertEqual(
                self.answer(self.get(f"{path}?access_token={token}"))["data"]["user_id"], user_id
            )
        self.assertEqual(self.get("/1/get_login_info", Authorization="Bearer tb").status(), 403)
        self.assertEqual(self.get("/3/get_login_info", Authorization="Bearer tb").status(), 404)

    def test_cors(self) -> None:
        """Only allowed origins may read the answers, and are told so beforehand."""
        mine = {"Origin": "https://mine.example", "Authorization": "Bearer ta"}
        self.assertIn(
            "access-control-allow-origin: https://mine.example", self.get("/get_status", **mine).headers()
        )
        other = self.get("/get_status", Origin="https://other.example", Authorization="Bearer ta")
        self.assertNotIn("access-control", other.headers())
        asked = self.ask("OPTIONS", "/get_status", Origin="https://mine.example")
        self.assertEqual(asked.status(), 204)
        self.assertIn("access-control-allow-headers: authorization", asked.headers())
        self.assertEqual(self.ask("OPTIONS", "/get_status", Origin="https://other.example").status(), 405)

    def test_message_formats(self) -> None:
        """Each bot gets messages in its own form, in events and in responses."""
        a, b = self.dial("/2?access_token=ta"), self.dial("/2?access_token=tb")
        world = self.sandboxes()[1]
        said = world.world.send_as_person(20001, [{"type": "face", "data": {"id": "1"}}], 0)
        world.publish_and_save()
        self.assertIn('"message":"[CQ:face,id=1]"', a.body())
        self.assertIn('"message":[{"type":"face","data":{"id":"1"}}]', b.body())
        for token, expected in (("ta", "[CQ:face,id=1]"), ("tb", [{"type": "face", "data": {"id": "1"}}])):
            port = self.get(f"/2/get_msg?message_id={said.message_id}&access_token={token}")
            self.assertEqual(self.answer(port)["data"]["message"], expected)


class TreqTests(HttpTestCase):
    def test_a_real_client(self) -> None:
        """Treq's client and Twisted's own Site: JSON, form and query, and what is answered."""
        client = StubTreq(self.service.port.site.resource)
        url = "http://localhost/send_private_msg"
        message = {"user_id": 20001, "message": "你好 & co"}
        for asked in (
            client.post(url, json=message),
            client.post(url, data=message),
            client.get(url, params=message),
        ):
            client.flush()
            response = self.successResultOf(asked)
            self.assertEqual(response.code, 200)
            self.assertEqual(self.successResultOf(client.json_content(response))["status"], "ok")
        self.assertEqual(self.said(), ["你好 &amp; co"] * 3)
