"""What is sent, without a network: signatures, lengths, characters."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts.alert import AlertMessage
from lgtwist.alerts.formats import (
    RECEIVER_FORMATS,
    ReceiverRequest,
    UnusableReceiver,
    clean_message,
    cut_to_bytes,
    plain_text,
)
from lgtwist.alerts.settings import AlertSettings, ReceiverKind
from lgtwist.alerts.signatures import sign_for_dingtalk, sign_for_feishu
from lgtwist.onebot.auth import sign
from tests.alerts.receivers import NOW
from tests.alerts.test_templates import TEXTS, clean


def request(kind: str, message: AlertMessage, url: str, **more: Any) -> ReceiverRequest:
    made = AlertSettings(ReceiverKind(kind), url, **more)
    return RECEIVER_FORMATS[made.kind].request(made, clean_message(message), NOW)


class SignatureTests(SynchronousTestCase):
    """The signatures here were made by ``openssl dgst -mac HMAC``."""

    SECRET = "SECabc+/=密"

    def test_feishu(self) -> None:
        expected = "bWtwAzWXuO3EJ2zmBOmgr6U03XGD6iUm7T0TgrLC5LE="
        self.assertEqual(sign_for_feishu(self.SECRET, 1767225600), expected)
        made = request("feishu", AlertMessage("t", "x"), "http://h/", secret=self.SECRET)
        value = json.loads(made.body)
        self.assertEqual((value["timestamp"], value["sign"]), ("1767225600", expected))

    def test_dingtalk(self) -> None:
        """In the URL it is quoted: its ``+`` and ``/`` mean themselves."""
        expected = "Sq/b6mCZzeB+0VstMAIjkYNXuGNCfBWJRJIZ2V+e3Do="
        self.assertEqual(sign_for_dingtalk(self.SECRET, 1767225600250), expected)
        url = "https://oapi.dingtalk.com/robot/send?access_token=a%2Bb"
        made = request("dingtalk", AlertMessage("t", "x"), url, secret=self.SECRET)
        quoted = "Sq%2Fb6mCZzeB%2B0VstMAIjkYNXuGNCfBWJRJIZ2V%2Be3Do%3D"
        self.assertEqual(made.url, f"{url}&timestamp=1767225600250&sign={quoted}")
        self.assertEqual(parse_qs(urlsplit(made.url).query)["sign"], [expected])

    def test_webhook(self) -> None:
        self.assertEqual(sign("key", '{"a":"密"}'.encode()), "sha1=e6f1593ac3c2401e5c6446699773773cb1b531d7")


class TextTests(SynchronousTestCase):
    @given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60), st.integers(3, 70))
    @settings(max_examples=300, deadline=None)
    def test_cuts(self, text: str, most: int) -> None:
        """A text is cut at a character, as late as it can be."""
        cut = cut_to_bytes(text, most)
        self.assertLessEqual(len(cut.encode()), most)
        if len(text.encode()) <= most:
            self.assertEqual(cut, text)
        else:
            begin = cut.removesuffix("…") if cut.endswith("…") else self.fail(cut)
            self.assertTrue(text.startswith(begin))
            self.assertGreater(len(f"{text[: len(begin) + 1]}…".encode()), most)

    @given(TEXTS, TEXTS)
    @settings(max_examples=300, deadline=None)
    def test_cleaning(self, title: str, text: str) -> None:
        """A title is one line that is not empty; no control character is left, and all has a UTF-8 form."""
        message = clean_message(AlertMessage(title, text))
        self.assertTrue(message.title.strip())
        self.assertEqual(len(message.title.splitlines()), 1)
        for shown in (message.title, message.text):
            shown.encode("utf-8", "strict")
            controls = [c for c in shown if (c < " " and c not in "\n\t") or c == "\x7f"]
            self.assertEqual(controls, [])
        self.assertEqual(clean_message(message), message)
        self.assertIn("lgtwist", plain_text(message).lower())

    @given(TEXTS, TEXTS)
    @settings(max_examples=50, deadline=None)
    def test_anything_can_be_sent(self, title: str, text: str) -> None:
        """Each kind's body is JSON that holds the text."""
        urls = {"telegram": "http://h/bot1:x?chat_id=1", "ntfy": "http://h/topic", "bark": "http://h/key"}
        message = AlertMessage(title, text)
        for kind in ReceiverKind:
            if kind is not ReceiverKind.EMAIL:
                made = request(kind.value, message, urls.get(kind.value, "http://h/KEY.send?access_token=1"))
                body = made.body.decode("utf-8", "strict")
                json.loads(body)
                self.assertTrue(made.url.isascii())

    def test_surrogates(self) -> None:
        self.assertEqual(clean_message(AlertMessage("a\ud800b", "\udfff")).text, "\ufffd")
        self.assertEqual(clean("\ud83d\ude00"), "😀")


class UrlTests(SynchronousTestCase):
    MESSAGE = AlertMessage("t", "x")

    def test_serverchan_by_key(self) -> None:
        """Where the key stands in ``secret``, the host follows from it."""
        for key, url in (
            ("SCT123Tabc", "https://sctapi.ftqq.com/SCT123Tabc.send"),
            ("sctp77tAbC", "https://77.push.ft07.com/send/sctp77tAbC.send"),
        ):
            self.assertEqual(request("serverchan", self.MESSAGE, "", secret=key).url, url)
            self.assertEqual(request("serverchan", self.MESSAGE, url).url, url)

    def test_bark_from_the_app(self) -> None:
        """The URL that the app shows has an example's text behind the key."""
        made = request(
            "bark", self.MESSAGE, "https://api.day.app/KEY123/%E6%8E%A8%E9%80%81?icon=http%3A%2F%2Fi"
        )
        self.assertEqual(made.url, "https://api.day.app/KEY123")
        self.assertEqual(json.loads(made.body)["icon"], "http://i")

    def test_what_is_missing(self) -> None:
        """A sentence says what, without the URL."""
        for kind, url, more in (
            ("telegram", "https://api.telegram.org/x-secret", {"to": "1"}),
            ("telegram", "https://api.telegram.org/bot1:secret", {}),
            ("ntfy", "https://ntfy.sh/", {}),
            ("bark", "https://api.day.app/", {}),
            ("serverchan", "https://sctapi.ftqq.com/", {}),
            ("serverchan", "", {"secret": "sctpsecret"}),
        ):
            error = self.assertRaises(UnusableReceiver, request, kind, self.MESSAGE, url, **more)
            self.assertNotIn("secret.", str(error))
            self.assertNotIn("api.", str(error))
