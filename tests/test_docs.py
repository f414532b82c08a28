"""What the documentation shows as a configuration is one: people copy it as it stands."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import Config, parse
from lgtwist.app.kinds import ACCOUNT_KINDS, BOT_KINDS
from tests.integration.running import ROOT

#: Toml blocks that are no configuration of lgtwist, by file and first line, with the reason. Blocks of other
#: programs' files that are json or yaml are not meant here: their fences say so.
EXCLUDED: dict[tuple[str, str], str] = {}


class Block(NamedTuple):
    """A fenced block."""

    file: str
    line: int
    language: str
    text: str


class Page(NamedTuple):
    """A file of the documentation: its fenced blocks, and its other lines."""

    file: str
    blocks: list[Block]
    prose: list[str]

    @property
    def headings(self) -> list[str]:
        """The headings, with the marks that say their level."""
        return [line for line in self.prose if re.match(r"#{1,6} ", line)]

    @property
    def names(self) -> set[str]:
        """What stands in backquotes outside of the blocks."""
        return {" ".join(name.split()) for name in re.findall(r"`([^`]+)`", "\n".join(self.prose))}

    @property
    def links(self) -> list[str]:
        """Where its relative links lead, as they are written."""
        written = re.sub(r"`[^`]*`", "", "\n".join(self.prose))
        found = re.findall(r"\]\(([^)\s]+)\)", written)
        return [link for link in found if not re.match(r"[a-z][a-z0-9+.-]*:", link)]

    @property
    def anchors(self) -> set[str]:
        """What GitHub makes of its headings."""
        texts = (re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()) for line in self.headings)
        return {text.replace(" ", "-") for text in texts}


def page(path: Path) -> Page:
    """Read a file of the documentation."""
    file = str(path.relative_to(ROOT))
    fence, began, told = "", 0, ""
    found: list[Block] = []
    lines: list[str] = []
    prose: list[str] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        mark = re.fullmatch(r"\s*(`{3,}|~{3,})\s*(\S*).*", line)
        if not fence and mark:
            fence, told, began, lines = mark[1], mark[2].lower(), number, []
        elif fence and mark and mark[1].startswith(fence) and not mark[2]:
            found.append(Block(file, began, told, "\n".join(lines) + "\n"))
            fence = ""
        else:
            (lines if fence else prose).append(line)
    assert not fence, f"{path}:{began}: this fence is never closed"
    return Page(file, found, prose)


def pages() -> Iterator[Page]:
    """Every file of the documentation."""
    for path in [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("README*.md"))]:
        yield page(path)


def blocks(language: str) -> Iterator[Block]:
    """Every block of a language in the documentation."""
    for read in pages():
        yield from (block for block in read.blocks if block.language == language)


def configurations() -> list[Block]:
    """The blocks that are to be read as configurations."""
    return [b for b in blocks("toml") if (b.file, b.text.partition("\n")[0]) not in EXCLUDED]


def secret_file(_path: str) -> str:
    """What a token file of the documentation holds: a user has it, we do not."""
    return "token-of-a-file"


class TomlBlocks(SynchronousTestCase):
    def test_every_block_is_a_configuration_without_a_mistake(self) -> None:
        """Each block, copied alone into a file, is accepted."""
        wrong = []
        for block in configurations():
            found = parse(block.text, secret_file)
            if not isinstance(found, Config):
                wrong += [f"{block.file}:{block.line}: {p.path}: {p.sentence}" for p in found]
        self.assertEqual(wrong, [])

    def test_every_kind_of_remote_account_is_shown(self) -> None:
        """``docs/accounts.md`` has a block for each way of reaching an implementation."""
        kinds = set()
        for block in configurations():
            found = parse(block.text, secret_file)
            if block.file == "docs/accounts.md" and isinstance(found, Config):
                kinds |= {account.type for account in found.accounts}
        self.assertEqual(kinds - {"sandbox"}, {"forward-websocket", "reverse-websocket", "http", "milky"})

    def test_what_is_left_out_is_there(self) -> None:
        """No exception outlives the block that it was made for."""
        there = {(block.file, block.text.partition("\n")[0]) for block in blocks("toml")}
        self.assertEqual(EXCLUDED.keys() - there, set())


class JsonBlocks(SynchronousTestCase):
    def test_settings_of_other_programs_are_json(self) -> None:
        """What is shown of NapCat's, LLBot's and Lagrange's own files can be read by them."""
        wrong = []
        for block in blocks("json"):
            try:
                json.loads(block.text)
            except ValueError as error:
                wrong.append(f"{block.file}:{block.line}: {error}")
        self.assertEqual(wrong, [])


class References(SynchronousTestCase):
    """What the texts for readers of the code name is there."""

    #: A file, and perhaps what is in it: `lgtwist/hub/bot.py` `Bot.perform`.
    REFERENCE = re.compile(r"`(lgtwist/[a-z0-9_/.]+\.py)`(?:\s+`([A-Za-z_][A-Za-z0-9_.]*)`)?")

    def names_in(self, path: str) -> set[str]:
        """The functions, classes, constants and methods of a module, methods as ``Class.method``."""
        found: set[str] = set()
        for node in ast.parse((ROOT / path).read_text("utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {target.id for target in targets if isinstance(target, ast.Name)}
            if isinstance(node, ast.ClassDef):
                parts = (
                    part for part in node.body if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))
                )
                found |= {f"{node.name}.{part.name}" for part in parts}
        return found

    def test_files_and_functions_that_are_named_are_there(self) -> None:
        """Each file that is named exists, and what is named behind it is in it."""
        wrong = []
        for name in ("docs/architecture.md", "CONTRIBUTING.md"):
            references = self.REFERENCE.findall((ROOT / name).read_text("utf-8"))
            self.assertGreater(len(references), 5, name)
            for path, inside in references:
                if not (ROOT / path).is_file():
                    wrong.append(f"{name}: {path}")
                elif inside and inside not in self.names_in(path):
                    wrong.append(f"{name}: {path} has no {inside}")
        self.assertEqual(wrong, [])

    def test_the_lists_of_kinds(self) -> None:
        """Every module of a kind has what "How to add" names."""
        for kinds, names in (
            (ACCOUNT_KINDS, ("Settings", "read", "describe", "key_needed_in_public", "make")),
            (BOT_KINDS, ("Settings", "read", "describe", "make")),
        ):
            for kind, module in kinds.items():
                self.assertEqual([name for name in names if not hasattr(module, name)], [], kind)


#: The Chinese README, as a file beside its original; the others are in ``docs/zh`` under the original's name.
CHINESE_README = ROOT / "README.zh-CN.md"


def translations() -> list[tuple[Page, Page]]:
    """Each file that is there in two languages: the English one, and the Chinese one."""
    files = [(ROOT / "docs" / path.name, path) for path in sorted((ROOT / "docs" / "zh").rglob("*.md"))]
    return [
        (page(english), page(chinese)) for english, chinese in [(ROOT / "README.md", CHINESE_README), *files]
    ]


class InTwoLanguages(SynchronousTestCase):
    """Who follows the Chinese documentation does what the English one says."""

    def test_what_is_followed_step_by_step_is_there(self) -> None:
        """What users follow has a Chinese version, to which the Chinese README leads."""
        wanted = {"accounts", "bots", "sandbox", "configuration", "testing-a-bot", "console", "filters"}
        wanted.add("operating")
        files = {f"docs/zh/{name}.md" for name in wanted}
        self.assertEqual(files - {chinese.file for _english, chinese in translations()}, set())
        self.assertEqual(files - set(page(CHINESE_README).links), set())

    def test_code_is_the_same(self) -> None:
        """The fenced blocks are those of the English file, in order and text."""
        for english, chinese in translations():
            for one, other in zip(english.blocks, chinese.blocks, strict=False):
                self.assertEqual(
                    (other.language, other.text),
                    (one.language, one.text),
                    f"{other.file}:{other.line} is not as {one.file}:{one.line}",
                )
            self.assertEqual(len(chinese.blocks), len(english.blocks), chinese.file)

    def test_headings_correspond(self) -> None:
        """There are as many headings, of the same levels in the same order."""
        for english, chinese in translations():
            levels = [[line.partition(" ")[0] for line in one.headings] for one in (english, chinese)]
            self.assertEqual(levels[1], levels[0], chinese.file)

    def test_names_are_kept(self) -> None:
        """Keys, commands, log lines: what the English prose has in backquotes is in the Chinese one too."""
        for english, chinese in translations():
            self.assertEqual(english.names - chinese.names, set(), chinese.file)

    def test_each_leads_to_the_other(self) -> None:
        """The line below the title leads to the other language."""
        for english, chinese in translations():
            for one, other in ((english, chinese), (chinese, english)):
                self.assertTrue(one.links, one.file)
                there = (ROOT / one.file).parent / one.links[0]
                self.assertEqual(there.resolve(), (ROOT / other.file).resolve(), one.file)
                self.assertRegex("\n".join(one.prose[:4]), r"\A# .+\n\n\[[^\]]+\]\([^)]+\)(\n|\Z)")

    def test_chinese_leads_to_chinese(self) -> None:
        """A link leads to the Chinese version of a file where there is one, but for the line at the top."""
        there = {(ROOT / english.file).resolve() for english, _chinese in translations()}
        wrong = []
        for _english, chinese in translations():
            for link in chinese.links[1:]:
                if ((ROOT / chinese.file).parent / link.partition("#")[0]).resolve() in there:
                    wrong.append(f"{chinese.file}: {link}")
        self.assertEqual(wrong, [])


class Links(SynchronousTestCase):
    def test_links_lead_somewhere(self) -> None:
        """Every relative link leads to a file that exists, and to a heading that is in it."""
        wrong = []
        for read in pages():
            for link in read.links:
                file, _mark, anchor = link.partition("#")
                there = (ROOT / read.file).parent / file if file else ROOT / read.file
                if not there.exists():
                    wrong.append(f"{read.file}: there is no {file}")
                elif anchor and anchor not in page(there.resolve()).anchors:
                    wrong.append(f"{read.file}: {link}: there is no such heading")
        self.assertEqual(wrong, [])
