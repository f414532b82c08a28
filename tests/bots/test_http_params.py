"""Parameters over HTTP, as programs really send them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from lgtwist.hub.bot import Bot
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.responses import from_error, ok
from tests.rounds import quick
from tests.web.site_case import Peer, SiteTestCase

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


class ParamsTestCase(SiteTestCase):
    """The actions are not carried out: what the account would get is noted."""

    def setUp(self) -> None:
        super().setUp()
        self.got: list[dict[str, Any]] = []
        self.patch(Bot, "perform", self.note)

    def note(self, _account: Any, _request: Any, reply: Any, _in_flight: Any, read_params: Any) -> None:
        try:
            params = read_params()
        except BadRequest as error:
            reply(from_error(error), True)
            return
        text = params.decode()
        pairs = json.loads(text, object_pairs_hook=list)
        self.assertEqual(len(dict(pairs)), len(pairs), f"a name is there twice: {text}")
        self.got.append(json.loads(text))
        reply(ok(), True)

    def params(self, query: str = "", body: str | bytes = "", kind: str = _JSON, method: str = "") -> Any:
        """What the account gets of a request; of one that is refused, the status and the sentence."""
        sent = body.encode() if isinstance(body, str) else body
        path = "/send_msg" + (f"?{query}" if query else "")
        head = {"Content_Type": kind} if sent else {}
        port = self.get(path, method or ("POST" if sent else "GET"), sent, **head)
        if port.status() != 200:
            return port.status(), json.loads(port.body())["message"]
        return self.got.pop()


class UrlencodedTests(ParamsTestCase):
    def test_utf_8_that_nobody_escaped(self) -> None:
        """It is read as it stands, in queries and forms, beside escapes too."""
        for text in ("message=你好", "message=%E4%BD%A0好", "你=%41好", "message=a\U0001f600b+c%20"):
            name, value = text.split("=")
            value = value.replace("%E4%BD%A0", "你").replace("%41", "A").replace("+", " ").replace("%20", " ")
            self.assertEqual(self.params(text), {name: value})
            self.assertEqual(self.params(body=text, kind=_FORM), {name: value})

    def test_control_characters_in_json(self) -> None:
        """A line end that nobody escaped is one in the text, as over WebSocket."""
        self.assertEqual(self.params(body='{"message":"a\nb"}'), {"message": "a\nb"})

    def test_what_is_no_utf_8(self) -> None:
        """It is refused, and the sentence says what it may be."""
        target = "/send_msg?message=你好".encode("gbk")
        port = Peer(self).send(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assertEqual(port.status(), 400)
        self.assertIn("GBK", json.loads(port.body())["message"])
        status, sentence = self.params(body="message=你好".encode("gbk"), kind=_FORM)
        self.assertEqual((status, "GBK" in sentence), (400, True))
        self.assertEqual(self.params(body='{"message":"你好"}'.encode("gbk"))[0], 400)

    def test_arrays_and_objects(self) -> None:
        """Those of the parameters that may be one are read as JSON; everything else is text."""
        segments = [{"type": "text", "data": {"text": "你 & \\ud83d".replace(" \\ud83d", "")}}]
        as_text = json.dumps(segments)
        for name in ("message", "messages", "context", "operation", "anonymous", "news"):
            for value in (segments, segments[0], [], {}):
                text = json.dumps(value)
                self.assertEqual(self.params(f"{name}={quote(text)}"), {name: value})
                self.assertEqual(self.params(body=f"{name}= {quote(text)} ", kind=_FORM), {name: value})
        self.assertEqual(self.params(f"remark={quote(as_text)}"), {"remark": as_text})
        for text in ("[CQ:face,id=1]", "[1", "{x}", "[NaN]", "1", '"a"', "null", "[" * 5000, "[1] [2]"):
            self.assertEqual(self.params(f"message={quote(text)}"), {"message": text})
        lone = '[{"type":"text","data":{"text":"\\ud83d"}}]'
        self.assertEqual(self.params(f"message={quote(lone)}"), {"message": json.loads(lone)})

    def test_links_out_of_pages(self) -> None:
        """``&amp;`` parts fields as ``&`` does; of equal names the last counts."""
        self.assertEqual(self.params("a=1&amp;b=2&a=3"), {"a": "3", "b": "2"})

    def test_a_body_that_is_json(self) -> None:
        """``curl -d`` says that JSON is a form; what is no JSON is one."""
        self.assertEqual(self.params(body=' {"a":"b=c&d%41+"}\n', kind=_FORM), {"a": "b=c&d%41+"})
        self.assertEqual(self.params(body="{a=1&b=2", kind=_FORM), {"{a": "1", "b": "2"})


class BodyParamsTests(ParamsTestCase):
    toml = """
        [[bots]]
        name = "open"
        [[bots]]
        name = "b"
        access_token = "x"
    """

    def test_query_and_body(self) -> None:
        """They are joined, with GET too, and the body's win."""
        for body, kind in (('{"b":"2","c":"3"}', _JSON), ("b=2&c=3", _FORM)):
            for method in ("GET", "POST"):
                expected = {"a": "1", "b": "2", "c": "3"}
                self.assertEqual(self.params("a=1&b=x", body, kind, method), expected)
        self.assertEqual(self.params("a=1", method="POST"), {"a": "1"})
        self.assertEqual(self.params("a=1", " { } "), {"a": "1"})
        self.assertEqual(self.params("a=1", '{"\\u0061":2}'), {"a": 2})
        self.assertEqual(self.params("a=1", '{"b":"\\ud83d"}'), {"a": "1", "b": "\ud83d"})
        status, sentence = self.params("a=1", "{" + ",".join(f'"{n}":1' for n in range(100_001)) + "}")
        self.assertEqual((status, "too many values" in sentence), (400, True))

    def test_a_token_is_no_parameter(self) -> None:
        """``access_token`` goes to no account, wherever it stands."""
        for query, body, kind in (
            ("access_token=x&a=1", "", ""),
            ("a=1", "access_token=x", _FORM),
            ("a=1", '{"access_token":"x"}', _JSON),
            ("access_token=x", '{"a":"1","access_token":"x"}', _JSON),
            ("access_token=x", '{"access_token":{"access_token":1},"a":"1"}', _JSON),
        ):
            self.assertEqual(self.params(query, body, kind, "POST"), {"a": "1"})
        self.assertEqual(self.params(body='{"a":{"access_token":1}}'), {"a": {"access_token": 1}})

    def test_no_parameters(self) -> None:
        """An empty body, ``null``, and PHP's empty array are none; so is a BOM."""
        for body in ("", " ", "null", "[]", " [ ] ", "\ufeff{}", "\ufeff", "\ufeff[]"):
            self.assertEqual(self.params("a=1", body, method="POST"), {"a": "1"})
        for body in ("[1]", "[[]]", "nul", "0", '""', "{", "{}{}", "[{}]"):
            self.assertEqual(self.params("a=1", body)[0], 400, body)

    def test_content_types(self) -> None:
        """Names of UTF-8 as they are written; what is refused is told what to send."""
        for kind in (
            "application/json; charset=utf8", 'application/json;charset="UTF-8"', "APPLICATION/JSON ; x=y",
            "application/json; version=1; charset = utf-8", "application/json;",
        ):  # fmt: skip
            self.assertEqual(self.params(body='{"a":1}', kind=kind), {"a": 1}, kind)
        for kind in ("text/plain", "application/json; charset=GBK", "multipart/form-data; boundary=x", ""):
            status, sentence = self.params(body='{"a":1}', kind=kind)
            self.assertEqual(status, 406)
            self.assertIn('send "Content-Type: application/json"', sentence)
        self.assertNotIn("send", self.params(body="--x", kind="multipart/form-data; boundary=x")[1])

    @quick
    @given(
        st.dictionaries(st.text(max_size=5), st.text(max_size=8), max_size=3),
        st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=8), max_size=3),
    )
    def test_any_parameters(self, query: dict[str, str], body: dict[str, Any]) -> None:
        """Whatever stands in a query and a JSON body: both arrive, and the body's win."""
        sent = "&".join(f"{quote(name)}={quote(value)}" for name, value in query.items())
        # A name behind "amp;" is read without it, for links that were copied from the text of a page.
        if not sent or "message" in query or any(name.startswith("amp;") for name in query):
            return
        self.assertEqual(self.params(sent, json.dumps(body)), {**query, **body})
