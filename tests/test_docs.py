"""What the documentation shows as a configuration is one: people copy it as it stands."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
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


def blocks(language: str) -> Iterator[Block]:
    """Every block of a language in the documentation."""
    for path in [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("README*.md"))]:
        fence, began, told = "", 0, ""
        lines: list[str] = []
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            mark = re.fullmatch(r"\s*(`{3,}|~{3,})\s*(\S*).*", line)
            if not fence and mark:
                fence, told, began, lines = mark[1], mark[2].lower(), number, []
            elif fence and mark and mark[1].startswith(fence) and not mark[2]:
                if told == language:
                    yield Block(str(path.relative_to(ROOT)), began, told, "\n".join(lines) + "\n")
                fence = ""
            elif fence:
                lines.append(line)
        assert not fence, f"{path}:{began}: this fence is never closed"


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
        self.assertEqual(kinds - {"sandbox"}, {"forward-websocket", "reverse-websocket", "http"})

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
