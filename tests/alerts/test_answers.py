"""What receivers answer: whether the message was taken, and words that can be shown."""

from __future__ import annotations

import json
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts.answers import (
    DINGTALK,
    TELEGRAM,
    WordCleaner,
    judge_by_code,
    judge_by_status,
    seconds_to_wait,
    secrets_of_url,
)


class WordTests(SynchronousTestCase):
    def test_urls_are_taken_out(self) -> None:
        """Also where JSON escapes their slashes."""
        cleaner = WordCleaner([])
        words = r"see https://a.example/x?y=1 or <http:\/\/b.example\/c>, ftp://d"
        self.assertEqual(cleaner.clean_words(words), "see (a URL) or <(a URL)>, (a URL)")

    def test_secrets_are_taken_out(self) -> None:
        cleaner = WordCleaner(["a.b+c", "longer a.b+c", "密码"])
        self.assertEqual(cleaner.clean_words("longer A.B+C, a.b+c! axb+c 密码"), "***, ***! axb+c ***")

    def test_one_short_line(self) -> None:
        """Secrets are taken out before it is cut, so that no part of one is left."""
        words = WordCleaner(["secret" * 5]).clean_words(
            "a\r\n\x1b[31m\u202e" + "x " * 92 + "secret" * 5 + "y" * 99
        )
        self.assertTrue(words.isprintable())
        self.assertLessEqual(len(words), 200)
        self.assertNotIn("secr", words)
        self.assertTrue(words.endswith("…"))

    @given(st.text(min_size=6, max_size=20), st.text(), st.text())
    @settings(max_examples=200, deadline=None)
    def test_any_secret(self, secret: str, before: str, after: str) -> None:
        shown = WordCleaner([secret]).clean_words(f"{before}{secret}{after}")
        self.assertLessEqual(len(shown), 200)
        if secret.isalnum() and secret.isascii():
            self.assertNotIn(secret, shown)

    def test_a_secret_across_the_end_of_what_is_read(self) -> None:
        """Of a long answer only the begin is read; no part of a secret is left at its end."""
        secret = "".join(f"<{number}>" for number in range(200))
        for before in ("", "ok ", "https://a/ "):
            self.assertNotIn("<", WordCleaner([secret]).clean_words(before + secret * 1_000))
        shown = WordCleaner([secret]).clean_words(f"refused {secret} " + "because " * 100_000)
        self.assertTrue(shown.startswith("refused *** because because"), shown)

    def test_many_bytes_take_no_time(self) -> None:
        cleaner = WordCleaner(["x" * 40, "<" * 40])
        started = time.process_time()
        for piece in (b"<", b"<style", b"x", b"http:/", b"&", b" "):
            judged = judge_by_status(500, piece * (1_000_000 // len(piece)))
            cleaner.clean(judged)
            cleaner.clean(judge_by_code(DINGTALK, 200, b'{"errcode": 1, "errmsg": "%b"}' % (piece * 100_000)))
        self.assertLess(time.process_time() - started, 5.0)

    def test_secrets_of_a_url(self) -> None:
        """The parts that everybody's URL has are none."""
        url = "https://u:pass@h/open-apis/bot/v2/hook/abcd?key=efgh&x=1"
        self.assertEqual(sorted(secrets_of_url(url)), ["abcd", "efgh", "pass"])
        self.assertIn("1234:ABCD", secrets_of_url("https://h/bot1234:ABCD/sendMessage"))
        self.assertIn("SCT99", secrets_of_url("https://h/SCT99.send"))


class JudgeTests(SynchronousTestCase):
    def test_codes(self) -> None:
        for body, accepted, words in (
            ('{"errcode":0,"errmsg":"ok"}', True, "ok"),
            ('\ufeff{"errcode":0}', True, "errcode 0"),
            ('{"errcode":-1,"errmsg":"系统繁忙"}', False, "errcode -1: 系统繁忙"),
            ('{"errcode":false}', False, "an answer without errcode, so that it may be another server's: "),
            ("[" * 100_000, False, "an answer without errcode"),
            ('{"errcode":1' + "0" * 5000 + "}", False, "an answer without errcode"),
        ):
            answer = judge_by_code(DINGTALK, 200, body.encode())
            self.assertEqual((answer.accepted, answer.status), (accepted, 200), body[:50])
            self.assertTrue(answer.words.startswith(words), answer.words[:100])

    def test_telegram_waits(self) -> None:
        for value, seconds in ((7, 7.0), (-3, 0.0), (10**9, 3600.0), (True, None), ("7", None)):
            body = {"ok": False, "error_code": 429, "parameters": {"retry_after": value}}
            answer = judge_by_code(TELEGRAM, 429, json.dumps(body).encode())
            self.assertEqual((answer.retry, answer.retry_after), (True, seconds))

    @given(st.binary(max_size=60), st.integers(100, 599))
    @settings(max_examples=200, deadline=None)
    def test_any_body(self, body: bytes, status: int) -> None:
        self.assertFalse(judge_by_code(DINGTALK, status, body).accepted)
        self.assertEqual(judge_by_status(status, body).accepted, 200 <= status < 300)

    def test_retry_after(self) -> None:
        """RFC 9110, 10.2.3: seconds or a date; at most an hour."""
        now = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT
        for text, seconds in (
            ("0", 0.0),
            (" 120 ", 120.0),
            ("9" * 5000, 3600.0),
            ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
            ("Sunday, 06-Nov-94 08:49:38 GMT", 1.0),
            ("Sun, 06 Nov 1994 00:00:00 GMT", 0.0),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("x" * 1000, None),
            ("Sun, 99 Nov 9999 99:99:99 GMT", None),
        ):
            self.assertEqual(seconds_to_wait(text, now), seconds, text[:40])
