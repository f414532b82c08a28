"""The pages' files: their words in two languages, and what the console's policy forbids in them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.console import redaction
from tests.integration.running import ROOT

STATIC = ROOT / "lgtwist" / "console" / "static"
LANGUAGES = ("zh", "en")
#: Keys that are put together, such as t(`status.${state}`): what they begin with.
_TEMPLATE = re.compile(r"""\bt\(\s*`([^`$]*)\$\{""")
_LITERAL = re.compile(r"""\bt\(\s*(?:"([^"\n]+)"|'([^'\n]+)')""")
_CHOICE = re.compile(r"""\bt\([^()"']*\?\s*"([^"\n]+)"\s*:\s*"([^"\n]+)"\s*[,)]""")
_PLACE = re.compile(r"\{(\w+)(?:\|[^{}|]*\|[^{}|]*)?\}")


def read_words(path: Path) -> dict[str, str]:
    """The table of a file, which must be strict JSON behind ``export default``; no key may be there twice."""

    def unique(pairs: list[tuple[str, str]]) -> dict[str, str]:
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), f"{path}: {sorted(key for key in keys if keys.count(key) > 1)}"
        return dict(pairs)

    text = path.read_text("utf-8")
    found = re.fullmatch(r"\s*(?://[^\n]*\n\s*)*export default (\{.*\});\s*", text, re.DOTALL)
    assert found is not None, f"{path} is not `export default {{...}};`"
    words: dict[str, str] = json.loads(found[1], object_pairs_hook=unique)
    return words


def tables(language: str) -> dict[str, dict[str, str]]:
    return {path.name: read_words(path) for path in sorted((STATIC / "words" / language).glob("*.js"))}


def code_of(path: Path) -> str:
    """The source of a module without its comments, as far as they begin a line."""
    source = re.sub(r"(?m)^\s*/\*\*.*?\*/", "", path.read_text("utf-8"), flags=re.DOTALL)
    return re.sub(r"(?m)^\s*//.*$", "", source)


def scripts() -> list[Path]:
    """The modules of ours that are not tables of words."""
    paths = sorted(STATIC.rglob("*.js"))
    return [path for path in paths if not {"words", "vendor"} & set(path.relative_to(STATIC).parts)]


class WordsTests(SynchronousTestCase):
    def test_both_languages(self) -> None:
        """Each table has the same keys in both languages, and each sentence the same places."""
        chinese, english = (tables(language) for language in LANGUAGES)
        self.assertEqual(sorted(chinese), sorted(english))
        for name, words in chinese.items():
            self.assertEqual(sorted(words), sorted(english[name]), name)
            for key, sentence in words.items():
                self.assertTrue(sentence.strip() and english[name][key].strip(), key)
                places = [set(_PLACE.findall(text)) for text in (sentence, english[name][key])]
                self.assertEqual(*places, f"{name}: {key}")

    def test_no_key_twice(self) -> None:
        """No key is in two tables: the later one would win."""
        for language in LANGUAGES:
            keys = [key for words in tables(language).values() for key in words]
            self.assertEqual(sorted({key for key in keys if keys.count(key) > 1}), [])

    def test_chinese_is_chinese(self) -> None:
        """The Chinese tables hold Chinese, but for names and numbers; the English ones do not."""
        for name, words in tables("en").items():
            for key, sentence in words.items():
                self.assertIsNone(re.search(r"[\u4e00-\u9fff]", sentence), f"{name}: {key}")

    def test_each_word_that_is_used_is_there(self) -> None:
        """Each key that a page names is in the tables, and so is one for each beginning."""
        keys = {key for words in tables("zh").values() for key in words}
        missing = []
        for path in scripts():
            source = code_of(path)
            named = {key for match in _LITERAL.findall(source) for key in match if key}
            named |= {key for match in _CHOICE.findall(source) for key in match}
            missing += [f"{path.name}: {key}" for key in sorted(named - keys)]
            for start in _TEMPLATE.findall(source):
                if start and not any(key.startswith(start) for key in keys):
                    missing.append(f"{path.name}: {start}...")
        self.assertEqual(missing, [])

    def test_each_code_of_the_server_has_words(self) -> None:
        """Each code of an ``ApiProblem`` has a sentence, with no other places than the code's arguments."""
        keys = {key for words in tables("zh").values() for key in words}
        sources = [path.read_text("utf-8") for path in (ROOT / "lgtwist" / "console").rglob("*.py")]
        codes = {code for text in sources for code in re.findall(r'ApiProblem\(\s*\d+,\s*"(\w+)"', text)}
        self.assertEqual(sorted(code for code in codes if f"error.{code}" not in keys), [])

    def test_each_table_is_loaded(self) -> None:
        """``core/i18n.js`` imports each table of both languages."""
        source = (STATIC / "core" / "i18n.js").read_text("utf-8")
        for language in LANGUAGES:
            for name in tables(language):
                self.assertIn(f'"../words/{language}/{name}"', source)


class FilesTests(SynchronousTestCase):
    def test_the_page_has_nothing_inline(self) -> None:
        """index.html has no inline script, no style and no absolute URL; its files exist."""
        page = (STATIC / "index.html").read_text("utf-8")
        self.assertNotIn("style=", page)
        self.assertNotIn("<style", page)
        self.assertIsNone(re.search(r"\son\w+=", page))
        for body in re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL):
            self.assertEqual(body, "")
        urls = re.findall(r'(?:href|src)="([^"]*)"', page)
        self.assertIn("data:,", urls)
        for url in urls:
            if url != "data:,":
                self.assertTrue(url.startswith("{{base}}s/{{hash}}/"), url)
                self.assertTrue((STATIC / url.removeprefix("{{base}}s/{{hash}}/")).is_file(), url)

    def test_no_module_does_what_the_policy_forbids(self) -> None:
        """No module uses markup from strings, eval, or an absolute URL; each imports files that exist."""
        forbidden = re.compile(
            r"(?:inner|outer)HTML|insertAdjacentHTML|dangerouslySetInnerHTML|\beval\(|new Function|"
            r"document\.write|https?://(?!127\.0\.0\.1)"
        )
        for path in scripts():
            source = path.read_text("utf-8")
            self.assertEqual(forbidden.findall(source), [], path.name)
            self.assertTrue(source.startswith("// @ts-check\n"), path.name)
            for name in re.findall(r"""(?:from|import)\s*"([^"]+)";""", source):
                self.assertTrue(name.startswith("."), f"{path.name} imports {name}")
                self.assertTrue((path.parent / name).resolve().is_file(), f"{path.name} imports {name}")

    def test_both_dark_themes(self) -> None:
        """The dark theme has the same colours where it is chosen and where it is the system's."""
        style = (STATIC / "app.css").read_text("utf-8")
        chosen, automatic = (
            re.findall(r"[^\s{};][^{};]*;", style[style.index(start) :].split("{", 1)[1].split("}", 1)[0])
            for start in (':root[data-theme="dark"]', ':root[data-theme="auto"]')
        )
        self.assertIn("--bg: #10141a;", chosen)
        self.assertEqual(chosen, automatic)

    def test_names_of_secrets(self) -> None:
        """The browser's history leaves out the members that the server hides."""
        script = (STATIC / "pages" / "tester" / "history.js").read_text("utf-8")
        pattern = redaction._SECRET_NAME.pattern.replace(r"\Z", "$").replace(r"\A", "^")
        self.assertIn(f"const SECRET_NAME = /{pattern}/;", script)

    def test_styles_fetch_nothing(self) -> None:
        """The style sheet names no URL, and nothing that old browsers do not know."""
        style = (STATIC / "app.css").read_text("utf-8")
        code = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
        self.assertEqual(re.findall(r"@import|url\(|light-dark\(|&", code), [])
