"""No secret and no file content is in what the console shows of events, actions and responses."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.console.redaction import (
    MAX_ITEMS,
    MAX_STRING,
    is_secret_name,
    redact,
    redact_text,
)
from tests.rounds import SLOWNESS, quick

#: What is hidden, wherever it stands.
SECRET = "S3cr3tValue0123456789"

NAMES = st.sampled_from(
    [
        "access_token",
        "token",
        "secret",
        "password",
        "cookies",
        "cookie",
        "csrf_token",
        "clientkey",
        "client_key",
        *["rkey", "skey", "p_skey", "pskey", "psk", "authorization", "Access-Token", "bot_token"],
    ]
)
CASES = st.sampled_from([str, str.upper, str.title])


@st.composite
def secret_names(draw: st.DrawFn) -> str:
    return draw(CASES)(draw(NAMES))


#: The secret in other texts than URLs.
TEXTS = [
    f"[CQ:image,file=base64://{SECRET * 3}]",
    f"x base64://{SECRET} y",
    f"data:image/png;base64,{SECRET}",
    f"[CQ:image,file=data:image/png;base64&#44;{SECRET}]",
    f"uin=1; skey={SECRET}; p_skey={SECRET}",
    f"Authorization: Bearer {SECRET}",
    f"Cookie: a={SECRET}; b=2",
    f"wrong token: {SECRET}",
    json.dumps({"config": {"token": SECRET, "a": 1}}),
    "[CQ:json,data=" + json.dumps({"token": SECRET}).replace(",", "&#44;") + "]",
    f'x{{"token": {SECRET}, "a": 1}}',
    f"cookie={SECRET}; x={SECRET}",
    f"token\uff1a{SECRET}",
    f'TOKEN = "{SECRET}"',
    f"access_token='{SECRET}'",
    f"<token>{SECRET}</token>",
    f"redis://:{SECRET}@a.example:1/0",
    f"https:\\/\\/a.example\\/?token={SECRET}",
    f"x?token[]={SECRET}",
    f"x https://a.example/?a=1\\u0026sig\\u003d{SECRET}",
    f"file=base64%3A%2F%2F{SECRET}",
    f"data%3Aimage%2Fpng%3Bbase64%2C{SECRET}",
    f"{{'token': u'{SECRET}'}}",
    "[CQ:json,data=" + json.dumps({"a": json.dumps({"token": SECRET})}) + "]",
    quote(json.dumps({"token": SECRET})),
    f'x{{"a": 1, "cookies": ["{SECRET}"',
    f'x{{"token": "{SECRET}',
    f"{{'password': '{SECRET}'}}",
    f'{{"token": "{SECRET}"}} x',
    "x" + json.dumps(json.dumps({"token": SECRET})),
]


@st.composite
def texts_with_secret(draw: st.DrawFn) -> str:
    """A text that holds the secret in one of the ways in which texts hold secrets."""
    name = draw(st.sampled_from(["rkey", "token", "access_token", "sig", "key", "RKEY", "Access_Token"]))
    odd = "".join(f"%{ord(one):02x}" if draw(st.booleans()) else one for one in name)
    url = draw(
        st.sampled_from(
            [
                f"https://a.example/x?{name}={SECRET}",
                f"https://a.example/x?a=1&{odd}={SECRET}&b=2",
                f"https://a.example/x?a=1&amp;{name}={SECRET}",
                f"https://a.example/x#{'token'}={SECRET}",
                f"https://user:{SECRET}@a.example/",
                f"https://{SECRET}@a.example/x",
            ]
        )
    )
    form = draw(
        st.sampled_from(
            [
                "{}",
                "[CQ:image,file=a.png,url={}]",
                "look: {} !",
                "({})",
                "<{}>",
                "https://b.example/?url={quoted}",
                "https://b.example/?url={twice}",
                '{{"url": "{}"}}',
                '[1, "{}"]',
            ]
        )
    )
    text = form.format(url, quoted=quote(url, safe=""), twice=quote(quote(url, safe=""), safe=""))
    other = draw(st.one_of(st.just(text), st.sampled_from(TEXTS)))
    before = draw(st.sampled_from(["", "a ", "\u4f60\u597d ", "x " * 2500, "[]", "{", "% ", "&"]))
    return before + other


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=10), st.just("base64"))


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The leaf somewhere inside of objects and lists, beside other things."""
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(lambda a, b, c: [a, b, c], scalars, inner, scalars),
            st.builds(lambda name, a, b: {"a": a, name: b}, st.text(max_size=5), scalars, inner),
            st.builds(lambda a: {"text": json.dumps(a)}, inner),
        ),
        max_leaves=6,
    )


planted = st.one_of(
    texts_with_secret(),
    st.builds(
        lambda name, value: {name: value}, secret_names(), st.sampled_from([SECRET, [SECRET], {"x": SECRET}])
    ),
)


def shown(value: Any, action: str | None = None) -> Any:
    return redact(json.dumps(value).encode(), action)


class RedactionTests(SynchronousTestCase):
    @quick
    @given(nested(planted))
    def test_no_secret_survives(self, value: Any) -> None:
        """A secret is hidden in any position; the result is JSON."""
        result = msgspec.json.encode(shown(value))
        self.assertNotIn(SECRET.encode(), result, value)

    @quick
    @given(
        st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.text()
    )
    def test_nothing_raises(self, value: Any, text: str) -> None:
        """Whatever comes, the result is JSON; what is no JSON is told by its size."""
        msgspec.json.encode(shown(value, "get_msg"))
        redact_text(text)
        msgspec.json.encode(redact(text.encode("utf-8", "replace")))

    def test_each_form(self) -> None:
        """A secret is hidden in each form of a text, alone and inside of others."""
        encoded = quote(f"https://user:{SECRET}@a.example/x", safe="")
        for text in (*TEXTS, f"https://b.example/?url={encoded}", f"https://b.example/?url={quote(encoded)}"):
            for value in (text, [text], {"text": f"a {text} b"}):
                self.assertNotIn(SECRET, json.dumps(shown(value)))

    def test_harmless_text_stays(self) -> None:
        """What is no secret is shown as it is."""
        for text in (
            "hello",
            "a=b",
            "12:30",
            "https://a.example/x?id=5&n=[CQ]",
            "\u4f60\u597d: \u5417",
            "key=5",
        ):
            self.assertEqual(redact_text(text), text)
        for text in ("[1, 2]", '{"a": 1}', '"quoted"', "[CQ:face,id=1]"):
            self.assertEqual(shown([text]), [text])
        event = {"post_type": "message", "message": [{"type": "text", "data": {"text": "hi"}}], "x": None}
        self.assertEqual(shown(event), event)

    def test_urls(self) -> None:
        """Of a URL only the secret is hidden."""
        self.assertEqual(
            redact_text("https://u:p@a.example/d?appid=1&rkey=CAQS-x_y&spec=0"),
            "https://a.example/d?appid=1&rkey=(hidden)&spec=0",
        )
        self.assertEqual(
            redact_text("[CQ:image,file=a.png,url=https://a.example/?k=1&amp;token=abc]"),
            "[CQ:image,file=a.png,url=https://a.example/?k=1&amp;token=(hidden)]",
        )

    def test_cut_urls(self) -> None:
        """A password whose end was cut off with the rest of the text is hidden too."""
        for length in (*range(MAX_STRING - 60, MAX_STRING), *range(2 * MAX_STRING - 60, 2 * MAX_STRING)):
            for before in ("x" * length, "base64://AAAA " * 100 + "x" * length):
                self.assertNotIn("S3cr3t", redact_text(f"{before} https://user:{SECRET}@a.example/"))
        self.assertNotIn("S3cr", redact_text("https://user:S3cr", is_cut=True))
        self.assertNotIn("S3cr", redact_text("x%3A%2F%2Fuser%3AS3cr", is_cut=True))

    def test_files(self) -> None:
        """Files are shown by their size."""
        self.assertEqual(redact_text("base64://" + "A" * 4096 * 41), "[base64 123 KB]")
        self.assertEqual(
            redact_text("[CQ:image,file=base64://QUJD,x=1]"), "[CQ:image,file=[base64 1 KB],x=1]"
        )
        self.assertEqual(shown({"base64": "QUJD" * 2048}), {"base64": "[base64 6 KB]"})

    def test_secret_answers(self) -> None:
        """The data of answers that are secrets is hidden, whatever it consists of."""
        response = {"status": "ok", "retcode": 0, "data": [{"x": SECRET}], "wording": ""}
        for action in (
            "get_cookies",
            "nc_get_rkey",
            "get_rkey",
            "get_credentials",
            "GET_COOKIES",
            "get_pskey",
        ):
            self.assertEqual(shown(response, action), {**response, "data": "(hidden)"})
        self.assertEqual(shown(response, "get_msg"), response)

    def test_flag(self) -> None:
        """Who reads the flag of a request cannot answer it."""
        self.assertEqual(shown({"flag": "0123456789"}), {"flag": "01234567..."})
        self.assertEqual(shown({"flag": 1234567890123}), {"flag": "12345678..."})
        self.assertEqual(shown({"flag": "short"}), {"flag": "short"})

    def test_bounds(self) -> None:
        """Long strings, long lists and deep values are cut, and say so."""
        self.assertEqual(shown("x" * (MAX_STRING + 7)), "x" * MAX_STRING + "... (7 more characters)")
        self.assertEqual(shown("x" * 100_000)[-24:], "... (96000 more characters)"[-24:])
        self.assertEqual(shown([1] * 250), [1] * MAX_ITEMS + ["(50 more)"])
        self.assertEqual(len(shown({str(n): n for n in range(300)})), MAX_ITEMS + 1)
        deep: Any = 1
        for _ in range(100):
            deep = {"a": deep}
        self.assertIn("nested too deeply", json.dumps(shown(deep)))
        self.assertEqual(redact(b"[" * 100_000), {"unreadable": 100_000})
        self.assertEqual(redact(b"{"), {"unreadable": 1})
        self.assertEqual(shown(10**30), str(10**30))

    def test_time(self) -> None:
        """No text takes long, whatever it consists of."""
        for unit in (
            "a",
            "%",
            "%25",
            ":",
            "=",
            "&",
            '"',
            "\\",
            "://",
            "a=",
            "token",
            "data:",
            "{",
            "<",
            "'x':",
            " ",
            "'x':'",
            "://a",
            "%3a%2f%2f",
        ):
            begun = time.process_time()
            redact_text((unit * 262_144)[:262_144])
            self.assertLess(time.process_time() - begun, 0.25 * SLOWNESS, unit)

    def test_names(self) -> None:
        """Names are found in upper case, with other separators and percent-encoded; others are none."""
        for name in (
            "Access-Token",
            "%74oken",
            "access%5Ftoken",
            "P_SKEY",
            "psk_x",
            "clientKey",
            "%2574oken",
        ):
            self.assertTrue(is_secret_name(name), name)
        for name in ("message", "keyboard", "user_id", "file", "task", "type", "key"):
            self.assertFalse(is_secret_name(name), name)
