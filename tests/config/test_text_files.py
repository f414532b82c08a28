"""Text files as editors save them, and the characters that keyboards write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.config.lookalikes import lookalike, meant_by
from lgtwist.config.text_files import NotText, decode_text
from tests.rounds import quick


class DecodingTests(SynchronousTestCase):
    @quick
    @given(st.text())
    def test_utf_8(self, text: str) -> None:
        """It is read as it is, with Windows' byte order mark or without."""
        text = text.lstrip("\ufeff").replace("\0", "")
        self.assertEqual(decode_text(text.encode()), text)
        self.assertEqual(decode_text(text.encode("utf-8-sig")), text)

    def test_others_are_named(self) -> None:
        """UTF-16, UTF-32 and GBK are told apart, and what to do is said."""
        for raw, words in (
            ("a令牌".encode("utf-16"), "UTF-16"),
            (b"\xfe\xff" + "a".encode("utf-16-be"), "UTF-16"),
            ("a".encode("utf-32"), "UTF-32"),
            ("a".encode("utf-16-le"), "UTF-16 without a byte order mark"),
            ("a = 1\nb = '令牌'".encode("gbk"), "line 2"),
            (b"\xef\xbb\xbf\xff", "line 1"),
        ):
            error = self.assertRaises(NotText, decode_text, raw)
            self.assertIn(words, str(error))
            self.assertIn("save it as UTF-8", str(error))


class LookalikeTests(SynchronousTestCase):
    def test_what_chinese_keyboards_write(self) -> None:
        """The sentence shows the character, and what to write."""
        for written, meant in zip(
            "：／。，“”‘’＝［］（）＂＇＃－＿８Ａ", ":/.,\"\"''=[]()\"'#-_8A", strict=True
        ):
            self.assertEqual(meant_by(written), meant)
            sentence = lookalike(f"令牌{written}") or ""
            self.assertIn(written, sentence)
            self.assertTrue(sentence.endswith(f"write {meant}"), sentence)

    def test_what_cannot_be_seen(self) -> None:
        """Blanks of other kinds, and characters without any width."""
        self.assertEqual([meant_by(one) for one in "\u00a0\u3000\u200b\ufeff"], [" ", " ", "", ""])
        self.assertIn("U+200B", lookalike("a\u200b") or "")
        self.assertIn("U+3000", lookalike("a\u3000") or "")

    @quick
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Nothing is found in ASCII, and every sentence can be printed."""
        self.assertIsNone(lookalike(text.encode("ascii", "ignore").decode()))
        self.assertTrue((lookalike(text) or "").isprintable())
