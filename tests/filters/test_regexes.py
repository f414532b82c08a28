from __future__ import annotations

import subprocess
import sys
import time

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.filters.regexes import MAX_PATTERN, BadPattern, go_pattern, javascript_pattern
from lgtwist.filters.subject import SEARCHED_LENGTH
from tests.integration.running import ROOT
from tests.rounds import SLOWNESS, quick

#: A pattern, options, texts with a match, texts without. As Node 20 has it.
JAVASCRIPT = [
    ("", "", ["", "a"], []),
    ("b", "", ["abc"], ["B", ""]),
    ("b", "i", ["aBc"], ["ac"]),
    (r"^\s$", "", [" ", "\u3000", "\ufeff", "\xa0", "\u2028", "\v"], ["\u200b", "\u180e", "\u0085", "\x1f"]),
    (r"^[\S]$", "", ["a", "\u200b"], ["\u3000", "\ufeff"]),
    (r"^[^\s]$", "", ["a"], ["\u3000"]),
    (r"^\d$", "", ["7"], ["\uff17", "a"]),
    (r"^\w$", "i", ["k", "_", "0"], ["é", "中", "\u212a", "\u017f"]),
    (r"\bab\b", "", ["ab", "中ab文", "x ab."], ["abc"]),
    (r"^a\/b$", "", ["a/b"], ["a\\/b"]),
    (r"^\u4e2d\x41$", "", ["中A"], ["u4e2dA"]),
    ("^a$", "", ["a"], ["a\n", "b\na"]),
    ("^a$", "m", ["a", "a\nb", "b\na", "b\ra\r\nb", "\u2028a"], ["ab", "a\x85"]),
    (r"^a\r\nb$", "m", ["a\r\nb"], ["a\nb", "a\n\rb"]),
    (r"a.b", "m", ["a b"], ["a\rb"]),
    (r"^a[^b]b$", "m", ["a\rb", "a b"], ["abb", "a\r\nb"]),
    (r"^\s{2}$", "m", ["\r\n", "\n ", "x\n\n\n\nx"], ["x\nx", "x\n\n\nx"]),
    (r"^$", "m", ["", "a\n", "a\n\nb", "a\r\nb"], ["a", "a\nb"]),
    (r"a\nb", "ims", ["A\nB"], ["a\rb"]),
    ("^.$", "", ["a", "中", "\x85"], ["\n", "\r", "\u2028", "\u2029"]),
    ("^.$", "s", ["a", "\n", "\r", "\u2028"], [""]),
    ("^[^]$", "", ["a", "\n"], [""]),
    ("[]", "", [], ["", "a", "[]"]),
    ("^..$", "", ["ab", "😀"], ["a", "😀😀"]),
    ("^[😀]$", "", [], ["😀"]),
    ("^😀+$", "", ["😀"], ["😀😀"]),
    ("^[^a]$", "i", ["b", "中"], ["a", "A"]),
    ("^[à-ö]$", "i", ["É", "é"], ["÷", "e"]),
    ("^k$", "i", ["K"], ["\u212a"]),
    ("^σ$", "i", ["ς", "Σ"], ["s"]),
    (r"^\0$", "", ["\0"], ["0"]),
    (r"^\cJ$", "", ["\n"], ["cJ"]),
    (r"^\c$", "", ["\\c"], ["c"]),
    (r"^(a)\2$", "", ["a\x02"], ["aa"]),
    (r"^[\b]$", "", ["\x08"], ["b"]),
    (r"^[\w-.]$", "", ["a", "-", "."], ["/"]),
    ("^a{,2}$", "", ["a{,2}"], ["aa"]),
    ("^a{2}?$", "", ["aa"], ["a", "aaa"]),
    ("^(?<name>a|b)+?]}$", "", ["ab]}"], ["c]}"]),
    (r"^\Z\-\中$", "", ["Z-中"], [""]),
    ("^[[:alpha:]]$", "", ["a]", ":]", "[]"], ["b]", "a"]),
]

#: A pattern that JavaScript's RegExp does not have, or RE2, with a part of the sentence.
NO_JAVASCRIPT = [
    ("a(?=b)", "look-ahead"),
    ("a(?!b)", "look-ahead"),
    ("(?<=a)b", "look-behind"),
    ("(?<!a)b", "look-behind"),
    (r"(a)\1", "back reference"),
    (r"(?<n>a)\k<n>", "back reference"),
    ("(?i)a", "$options"),
    ("(?i:a)", "$options"),
    ("(?P<n>a)", "(?<name>...)"),
    ("(?<1>a)", "name"),
    ("(?<n>a)(?<n>b)", "same name"),
    (r"\u{4e2d}", "flag u"),
    (r"\p{Han}", "flag u"),
    ("(a", "no )"),
    ("a)", "no ("),
    ("[a", "no ]"),
    ("*a", "nothing to repeat"),
    ("a**", "nothing to repeat"),
    ("^*", "nothing to repeat"),
    ("{2}", "nothing to repeat"),
    ("[b-a]", "out of order"),
    ("a{2,1}", "out of order"),
    ("a{1001}", "1000"),
    ("a{999999999999}", "1000"),
    ("(?:a{100}){100}", "counts"),
    ("a\\", "at the end"),
    ("(" * 500 + ")" * 500, "groups inside each other"),
    ("a" * (MAX_PATTERN + 1), "characters"),
]


class JavaScriptPatternTests(SynchronousTestCase):
    def test_means_what_it_means_there(self) -> None:
        """Each pattern matches what it matches in JavaScript without the flag ``u``."""
        for pattern, options, matching, others in JAVASCRIPT:
            search = javascript_pattern(pattern, options)
            self.assertEqual([text for text in matching if not search(text)], [], pattern)
            self.assertEqual([text for text in others if search(text)], [], pattern)

    def test_what_is_refused(self) -> None:
        """What is no pattern, and what RE2 cannot search, is refused with a sentence that names it."""
        for pattern, words in NO_JAVASCRIPT:
            with self.assertRaises(BadPattern) as caught:
                javascript_pattern(pattern)
            self.assertIn(words, str(caught.exception), pattern)

    def test_options(self) -> None:
        """Other options than i, m and s are refused, and one that is given twice."""
        for options, words in (("g", "'g'"), ("ii", "twice"), ("u", "'u'"), ("i,", "','")):
            with self.assertRaises(BadPattern) as caught:
                javascript_pattern("a", options)
            self.assertIn(words, str(caught.exception))

    @quick
    @given(st.text(max_size=30), st.sampled_from(["", "i", "ms"]), st.text(max_size=30))
    @example("\ud800", "", "\ud800")
    @example("[\ud800]\ude00", "i", "\U00010200")
    def test_raises_nothing_else(self, pattern: str, options: str, text: str) -> None:
        try:
            search = javascript_pattern(pattern, options)
        except BadPattern:
            return
        search(text)

    @quick
    @given(st.text("()[]{}|*+?\\^$.-,:<=!>abBdsSkuxpcPQE01i中😀", max_size=12))
    def test_signs_of_patterns(self, pattern: str) -> None:
        self.test_raises_nothing_else.hypothesis.inner_test(self, pattern, "i", "ab中😀")


class GoPatternTests(SynchronousTestCase):
    def test_is_re2(self) -> None:
        """White space is ASCII, a character is one, flags may stand inside."""
        for pattern, matching, others in [
            ("^!!", ["!!a"], ["a!!"]),
            ("(?i)^k$", ["K", "\u212a"], ["x"]),
            (r"^\s$", [" "], ["\u3000"]),
            ("^.$", ["😀", "\r"], ["\n", "ab"]),
            ("^a$", ["a"], ["a\n"]),
            (r"^\p{Han}+$", ["中文"], ["abc"]),
            (r"^\Q\C\E$", ["\\C"], ["C"]),
            (r"^(?P<n>a)\z", ["a"], ["ab"]),
        ]:
            search = go_pattern(pattern)
            self.assertEqual([text for text in matching if not search(text)], [], pattern)
            self.assertEqual([text for text in others if search(text)], [], pattern)

    def test_what_is_refused(self) -> None:
        for pattern, words in [
            ("a(?=b)", "look-ahead"),
            ("a(?!b)", "look-ahead"),
            ("(?<=a)b", "look-behind"),
            ("(?<!a)b", "look-behind"),
            (r"(a)\1", "back reference"),
            (r"(?P<n>a)(?P=n)", "back reference"),
            (r"\C", "single byte"),
            ("(", "missing )"),
            ("[", "missing ]"),
            ("*", "repetition"),
            ("a{1001}", "count"),
            (r"\u4e2d", r"\u"),
            (".{0,302}!", "counts"),
            ("(?:ab){200}", "counts"),
            ("((?:a{10}){4}b{10}){7}", "counts"),
            ("a" * (MAX_PATTERN + 1), "characters"),
            (r"\pL" * 100, "too large"),
        ]:
            with self.assertRaises(BadPattern) as caught:
                go_pattern(pattern)
            self.assertIn(words, str(caught.exception), pattern)

    def test_sentences_are_short(self) -> None:
        """What is shown of a pattern is one line, and not all of a long one."""
        for make in (go_pattern, javascript_pattern):
            for pattern in (
                "(" * 5000,
                "a{" + "9" * 5000 + "}",
                "(?<" + "\n-" * 2000 + ">a)",
                "[b-\x1b]",
                "\\" * 999,
            ):
                with self.assertRaises(BadPattern) as caught:
                    make(pattern)
                self.assertLess(len(str(caught.exception)), 250)
                self.assertTrue(str(caught.exception).isprintable())

    def test_long_messages_and_many_words(self) -> None:
        """What people write is not too large: a least length, and a long list of words."""
        for make in (go_pattern, javascript_pattern):
            self.assertTrue(make("^.{1000}")("中" * 1000))
            self.assertTrue(make(r"https?://\S{1,200}/x")("https://a.b/x"))
            self.assertTrue(make("(?:" + "词" * 200 + "|a)?b{200}|c")("c"))
            self.assertTrue(make("(签到|打卡).{0,20}(积分|[{}]{3})")("打卡得积分"))
            words = "|".join(f"关键词{number}" for number in range(500))
            self.assertTrue(make(f"({words})")("是关键词499吗"))

    def test_counts_that_are_none(self) -> None:
        """The digits of a character, and what is quoted."""
        self.assertTrue(go_pattern(r"a*\x{3000}")("\u3000"))
        self.assertTrue(go_pattern(r"b*\Qa{900}\E")("a{900}"))
        self.assertTrue(javascript_pattern(r"b*[{900}]")("9"))

    @quick
    @given(st.text(max_size=30), st.text(max_size=30))
    @example("\ud800", "\udfff")
    def test_raises_nothing_else(self, pattern: str, text: str) -> None:
        try:
            search = go_pattern(pattern)
        except BadPattern:
            return
        search(text)

    def test_lone_surrogates(self) -> None:
        """They are U+FFFD, as in Go."""
        self.assertTrue(go_pattern("^\ufffd$")("\ud83d"))


class SearchTests(SynchronousTestCase):
    def test_a_long_text_is_cut(self) -> None:
        for make in (go_pattern, javascript_pattern):
            self.assertTrue(make("b")("a" * (SEARCHED_LENGTH - 1) + "b"))
            self.assertFalse(make("b")("a" * SEARCHED_LENGTH + "b"))

    def test_no_pattern_takes_long(self) -> None:
        """What takes Python's ``re`` years takes a fraction of a second, with the longest text."""
        texts = ["x" * SEARCHED_LENGTH, "xa" * SEARCHED_LENGTH, "中 " * SEARCHED_LENGTH]
        for make in (go_pattern, javascript_pattern):
            for pattern in ("(x+x+)+y", "(.*)*!", "(x|x|.)*y$", r"(\w+\s?)+!", "[xa]*a[xa]{100}y"):
                search = make(pattern)
                for text in texts:
                    started = time.process_time()
                    self.assertFalse(search(text))
                    self.assertLess(time.process_time() - started, SLOWNESS, pattern)  # some 20 ms

    def test_bad_patterns_print_nothing(self) -> None:
        """RE2 would write its errors to stderr; and it is imported only where there is a pattern."""
        code = (
            "import sys; from lgtwist.filters import regexes\n"
            "assert 're2' not in sys.modules\n"
            "try: regexes.go_pattern('(')\n"
            "except regexes.BadPattern: print('refused')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT
        )
        self.assertEqual((done.stdout, done.stderr), ("refused\n", ""))
