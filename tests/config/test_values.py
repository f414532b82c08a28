"""Readers of single values: each refusal is a sentence without holes, and shows no secret."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.values import (
    InvalidValue,
    alternatives,
    boolean,
    choice,
    duration,
    events_per_second,
    origin,
    rate,
    size,
    text,
    token,
    url,
    whole_number,
)
from tests.rounds import quick

READERS: dict[str, Callable[[Any], Any]] = {
    "text": text,
    "token": token,
    "choice": choice(("live", "at-least-once")),
    "whole_number": whole_number(1, 10),
    "duration": duration(0.1, 86400, zero=True),
    "rate": rate,
    "boolean": boolean,
    "events_per_second": events_per_second,
    "size": size(1024, 1 << 30),
    "origin": origin,
    "url": url("ws", "wss"),
}

#: What TOML can hold.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


class ReaderTests(SynchronousTestCase):
    def refused(self, reader: Callable[[Any], Any], value: Any) -> str:
        return str(self.assertRaises(InvalidValue, reader, value))

    @quick
    @given(VALUES)
    def test_any_value(self, value: Any) -> None:
        """It is read, or refused with a sentence of one line."""
        for name, reader in READERS.items():
            try:
                reader(value)
            except InvalidValue as error:
                self.assertTrue(str(error).isprintable() and str(error), (name, value))

    def test_alternatives(self) -> None:
        """Empty words leave no hole."""
        for words, sentence in (
            (("", "private", "group"), '"private" or "group"'),
            (("a", "b", "c"), '"a", "b" or "c"'),
            (("a",), '"a"'),
            (("",), ""),
        ):
            self.assertEqual(alternatives(words), sentence)

    def test_what_was_meant(self) -> None:
        """The sentence says what to write."""
        for name, value, words in (
            ("choice", "At_Least_Once", 'is "at-least-once" meant?'),
            ("whole_number", "5", "without quotation marks"),
            ("whole_number", 5.0, "without a point"),
            ("whole_number", True, "not true or false"),
            ("whole_number", [5], "not a list"),
            ("boolean", "true", "without quotation marks"),
            ("duration", "5", "the unit is missing"),
            ("duration", 5, "the unit is missing, and the quotation marks"),
            ("duration", "5min", "units are ms, s, m, h and d"),
            ("duration", "5w", "units are"),
            ("duration", "2d", 'from "100ms" to "1d", or "0s"'),
            ("size", "4MB", 'write "4MiB"'),
            ("size", "4 m", 'write "4MiB"'),
            ("size", 4096, "the unit is missing"),
            ("size", "1B", 'from "1KiB" to "1GiB"'),
            ("rate", 20, "the unit is missing"),
            ("rate", "20/minute", "units are s, min and h"),
            ("events_per_second", "20/s", "the number alone"),
            ("events_per_second", "20", "without quotation marks"),
            ("text", 5, "put it between quotation marks"),
            ("text", "a\tb", "without tabs"),
            ("token", "", "leave the key out"),
            ("token", "a\nb", "without line breaks"),
            ("token", 5, "put it between quotation marks"),
            ("origin", "https://example.org/", "nothing stands behind the host"),
        ):
            self.assertIn(words, self.refused(READERS[name], value), (name, value))

    def test_urls(self) -> None:
        """What is wrong with each is said."""
        for value, words in (
            ("ws://机器人.example/", "xn--gmqz0qc7o.example"),
            ("ws://x/机器人", "%XX"),
            ("ws://x/?a=机", "%XX"),
            ("ws://127.0.0.1/ ", "a blank or a line break around it"),
            ("\u3000ws://127.0.0.1/", "a blank or a line break around it"),
            ("ws://127.0.0.1/a b", "%20"),
            ("ws：//127.0.0.1/", "write :"),
            ("ws://127。0.0.1/", "write ."),
            ("ws:／／127.0.0.1/", "write /"),
            ("ws://127.0.0.1/\u200b", "U+200B"),
            ("ws:\\\\127.0.0.1", "write /"),
            ("http://127.0.0.1/", "must begin with ws:// or wss://, not with http://"),
            ("127.0.0.1:3001", "must begin with ws:// or wss://"),
            ("ws://", "host is missing"),
            ("ws://:3001/", "host is missing"),
            ("ws://127.0.0.1:70000/", "port is no number from 1 to 65535"),
            ("ws://127.0.0.1:0/", "port is no number"),
            ("ws://127.0.0.1:x/", "port is no number"),
            ("ws://::1:3001/", "brackets"),
            ("wss://my_bot/", "no certificate"),
            (["ws://127.0.0.1/"], "not a list"),
        ):
            self.assertIn(words, self.refused(READERS["url"], value), value)
        self.assertEqual(READERS["url"]("ws://[::1]:3001/a?b=c"), "ws://[::1]:3001/a?b=c")

    def test_no_secret_is_shown(self) -> None:
        """Neither a token, nor the query of a URL."""
        for name, reader in READERS.items():
            for value in (" s3cret", "s3cret\n", "ws://127.0.0.1/ ?t=s3cret", "ws://127.0.0.1/?t=s3cret令"):
                try:
                    reader(value)
                except InvalidValue as error:
                    self.assertNotIn("s3cret", str(error), name)
