"""Calls of Milky's APIs: what is sent, and what the answers mean."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from lgtwist.accounts.milky.api_client import MOST_AT_ONCE, ApiClient, encode_params
from lgtwist.config.limits import Limits
from lgtwist.milky.errors import CallFailed
from lgtwist.net.http_client import NoRoom, TooLarge
from lgtwist.onebot.errors import OneBotError
from tests.accounts.milky import FakeWebClient

OK = {"status": "ok", "retcode": 0, "data": {"a": 1}}


class ApiClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.web = FakeWebClient()
        self.logins: list[bool] = []
        self.unauthorised: list[str] = []
        web: Any = self.web
        self.client = ApiClient(
            10001,
            "http://h:1/p",
            "T",
            web,
            Limits,
            on_unauthorised=self.unauthorised.append,
            on_login=self.logins.append,
        )

    def call(self, api: str = "get_x", **params: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.client.call(api, params))

    def respond(self, status: int, body: Any = b"", api: str = "get_x") -> Any:
        called = self.call(api)
        self.web.take()[0].respond(status, body)
        return called

    def refusal(self, status: int, body: Any = b"", api: str = "get_x") -> tuple[int, str]:
        error = self.failureResultOf(self.respond(status, body, api), OneBotError).value
        return error.retcode, error.sentence

    def test_request(self) -> None:
        called = self.call("send_x", a="\ud800ä", b=[1, {"c": None}])
        [post] = self.web.take()
        self.assertEqual(post.url, "http://h:1/p/api/send_x")
        self.assertEqual(post.params, {"a": "\ufffdä", "b": [1, {"c": None}]})
        self.assertEqual(post.headers["Authorization"], "Bearer T")
        self.assertEqual(post.headers["Content-Type"], "application/json")
        post.answer({"a": 2})
        self.assertEqual(self.successResultOf(called), {"a": 2})
        self.assertEqual(self.logins, [True])
        self.assertEqual(encode_params({}), b"{}")

    def test_successes(self) -> None:
        """What is odd and says clearly that the call succeeded."""
        for body, data in (
            (OK, {"a": 1}),
            ({**OK, "message": None, "more": [1]}, {"a": 1}),
            ({"status": "ok", "retcode": 0, "data": None}, {}),
            ({"status": "ok", "retcode": 0}, {}),
            ({"status": "ok", "data": [1]}, [1]),
            ({"retcode": 0, "data": {}}, {}),
            ({"status": "ok", "retcode": "0", "data": {}}, {}),
            (b'\xef\xbb\xbf{"status":"ok","retcode":0,"data":{"a":NaN}}', {"a": None}),
            (b'{"status":"ok","retcode":0,"data":{"a":"\xff"}}', {"a": "\ufffd"}),
        ):
            self.assertEqual(self.successResultOf(self.respond(200, body)), data, body)

    def test_failures(self) -> None:
        """The implementation's retcode and words are passed on; some words of ours where it has none."""
        for body, retcode, words in (
            ({"status": "failed", "retcode": -404, "message": "no such group"}, -404, "no such group"),
            ({"status": "failed", "retcode": 51, "message": None, "data": None}, 51, "get_x"),
            ({"status": "failed", "retcode": "-400"}, -400, "get_x"),
            ({"status": "ok", "retcode": 500, "message": "Internal error"}, 500, "Internal error"),
            ({"retcode": 1, "message": ["odd"]}, 1, "get_x"),
            ({"status": "failed"}, 1500, "get_x failed"),
            ({"status": "failed", "retcode": 0, "message": "why"}, 1500, "why"),
            ({"status": None, "retcode": None}, 1500, "get_x"),
            ({"data": {}}, 1500, "neither status nor retcode"),
            (b"", 1500, "no JSON object"),
            (b"<html>", 1500, "no JSON object"),
            (b"[]", 1500, "no JSON object"),
            (b'{"status":"ok","retcode":0,"data":' + b"[" * 5000, 1500, "no JSON object"),
            (b'{"status":"ok","retcode":0,"data":[' + b"0," * 600_000 + b"0]}", 1500, "values"),
        ):
            answered, sentence = self.refusal(200, body)
            self.assertEqual(answered, retcode, body[:80] if isinstance(body, bytes) else body)
            self.assertIn(words, sentence)
        self.assertEqual(self.logins, [])

    def test_statuses(self) -> None:
        for status, body, retcode, words in (
            (500, b"", 1500, "send_x (HTTP 500), without a reason"),
            (500, b"boom\nline", 1500, "(HTTP 500): boom"),
            (500, b"<html><body>x", 1500, "(HTTP 500), without a reason"),
            (503, b"", 1500, "HTTP 503"),
            (
                415,
                {"status": "failed", "retcode": 415, "message": "wrong type"},
                1500,
                "(HTTP 415): wrong type",
            ),
            (405, b"", 1500, "is there a slash or a prefix too many in url?"),
            (302, b"", 1500, "redirects are not followed"),
            (400, {"status": "failed", "retcode": -400, "message": "bad"}, -400, "bad"),
            (413, b"", 1500, "HTTP 413"),
            (204, b"", 1500, "HTTP 204"),
        ):
            answered, sentence = self.refusal(status, body, "send_x")
            self.assertEqual((answered, words in sentence), (retcode, True), (status, sentence))

    def test_not_found(self) -> None:
        """It is remembered, until it is to be forgotten; without get_login_info the URL is wrong."""
        sentence = "the implementation does not offer Milky's get_x (HTTP 404)"
        self.assertEqual(self.refusal(404, b"API not found"), (1404, sentence))
        again = self.failureResultOf(self.call(), OneBotError)
        self.assertEqual((again.value.retcode, again.value.sentence), (1404, sentence))
        self.assertEqual(self.web.posts, [])
        self.client.forget_missing()
        self.assertEqual(self.successResultOf(self.respond(200, OK)), {"a": 1})
        for _twice in range(2):
            retcode, sentence = self.refusal(404, b"", "get_login_info")
            self.assertEqual(retcode, 1500)
            self.assertIn("its url leads to no Milky API: HTTP 404", sentence)

    def test_onebot_server(self) -> None:
        """What people who take the wrong port meet first."""
        answer = {
            "status": "failed",
            "retcode": 1404,
            "message": "?",
            "wording": "?",
            "data": None,
            "echo": None,
        }
        self.assertIn("OneBot 11", self.refusal(200, answer, "get_login_info")[1])

    def test_unauthorised(self) -> None:
        retcode, sentence = self.refusal(401, {"status": "failed", "retcode": 401, "message": "Unauthorized"})
        self.assertEqual(
            (retcode, sentence), (1500, "the implementation refuses our access_token (HTTP 401)")
        )
        self.assertEqual(self.unauthorised, ["it refuses our access_token (HTTP 401)"])

    def test_not_logged_in(self) -> None:
        retcode, sentence = self.refusal(
            200, {"status": "failed", "retcode": -403, "message": "not logged in"}
        )
        self.assertEqual((retcode, sentence), (-403, "not logged in"))
        self.assertEqual(self.logins, [False])

    def test_broken_connections(self) -> None:
        """Nothing was sent: 1501. Something was: 1502; it is never sent again."""
        self.web.refuses_connections = True
        self.assertEqual(self.failureResultOf(self.call(), OneBotError).value.retcode, 1501)
        self.web.refuses_connections = False
        self.web.is_connecting = True
        called = self.call()
        self.web.take()[0].fail(TimeoutError())
        self.assertEqual(self.failureResultOf(called, OneBotError).value.retcode, 1501)
        self.web.is_connecting = False
        for error, retcode in (
            (ResponseNeverReceived([Failure(ConnectionLost())]), 1502),
            (TimeoutError(), 1504),
            (TooLarge(), 1500),
            (NoRoom(), 1500),
        ):
            called = self.call()
            [post] = self.web.take()
            post.fail(error)
            self.assertEqual(self.failureResultOf(called, OneBotError).value.retcode, retcode)
            self.assertEqual(self.web.posts, [])
        self.assertIsInstance(CallFailed(1, "x", "y"), OneBotError)

    def test_at_once(self) -> None:
        """A bounded number is under way; the next wait in order, and a poll does not."""
        calls = [self.call("get_x", n=number) for number in range(MOST_AT_ONCE + 3)]
        self.assertEqual(len(self.web.posts), MOST_AT_ONCE)
        poll = Deferred.fromCoroutine(self.client.call_now("get_login_info", {}, 3.0))
        self.web.take("get_login_info")[0].answer({"uin": 10001})
        self.assertEqual(self.successResultOf(poll), {"uin": 10001})
        calls[MOST_AT_ONCE].cancel()
        self.failureResultOf(calls[MOST_AT_ONCE], CancelledError)
        first, second = self.web.posts[:2]
        first.answer()
        self.assertEqual(self.web.posts[-1].params, {"n": MOST_AT_ONCE + 1})
        second.respond(500)
        self.assertEqual(self.web.posts[-1].params, {"n": MOST_AT_ONCE + 2})
        self.failureResultOf(calls[1], OneBotError)
        calls[2].cancel()
        self.assertTrue(self.web.posts[2].cancelled)
        self.failureResultOf(calls[2], CancelledError)
