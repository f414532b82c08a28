"""The words of the code: what was renamed does not come back, and no name at the top is used twice."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.running import ROOT

PACKAGE = ROOT / "lgtwist"

#: Retired in identifiers and in names of modules, with what is used instead. A pattern must match some of
#: an identifier's words, as ``owed_pong`` does of ``_owed_pong_at``.
IDENTIFIERS: dict[str, str] = {
    "admission": "authentication",
    "allowance": "quota",
    "beat": "heartbeat",
    "boolean_free": "whole number",
    "burst": "batch",
    "came": "received",
    "careful": "one at a time",
    "carried": "attachment, or stored file",
    "carrier": "verified action link",
    "certain": "at least once",
    "compact": "json_stringify",
    "congested": "write paused",
    "culprit": "suspect",
    "cure": "hint",
    "deaf": "discarding input",
    "deed": "operation",
    "episode": "log throttle",
    "feed": "event stream",
    "fell_out": "expired",
    "front_door": "router",
    "garbage": "malformed frame",
    "gate": "connection limits",
    "give_up": "abort",
    "gone": "expired, closed, or removed",
    "goodbye": "shutdown close",
    "greet": "flush handshake",
    "half": "channel",
    "hand_out": "dispatch",
    "hang_up": "retire",
    "heard": "bytes seen",
    "held": "read paused, hook pending, or a number of bytes",
    "holder": "active sink",
    "holds": "is current",
    "intake": "attachments",
    "is_from_here": "local-origin check",
    "is_here": "answer",
    "kept": "stored file",
    "knock": "handshake begun",
    "machines": "health endpoints",
    "may_know": "authenticate",
    "misled": "misuse logged",
    "news": "log throttle",
    "nobody": "what the function does, such as ignore_refusal",
    "obituary": "reason",
    "owed_pong": "pending pong",
    "question": "internal call",
    "sign_of_life": "mark online, or liveness",
    "soon": "scheduled",
    "strangers?": "local-origin check",
    "stray": "late response",
    "survive": "log_failures",
    "take_(list|secret|certificates)": "read",
    "taker": "sink",
    "talked": "message seen",
    "told": "logged",
    "untaken": "unsent",
    "unwitnessed": "detached failure",
    "wrong_door": "wrong path",
}

#: Identifiers in which a retired word is somebody else's, or of a user's interface.
ALLOWED_IDENTIFIERS = {
    "carried_out",  # a member of a fault of the sandbox account
    "get_stranger_info",  # an action of OneBot 11
    "half_close",  # TCP's, and Twisted's IHalfCloseableProtocol
}

#: Retired in comments and docstrings, as regular expressions, with what is said instead.
PHRASES: dict[str, str] = {
    r"alone in \w+ing": "say what it does",
    r"certain deliver(y|ies)": "at-least-once delivery",
    r"comes? and goes?|coming and going": "open and close, or up and down",
    r"culprits?": "suspect",
    r"do nothing wrong": "say what it does",
    r"for ever and ever": "without a limit",
    r"goodbye": "closing handshake",
    r"hang(s|ing)? up": "close, or retire",
    r"how the \w+ goes": "its state",
    r"into the void": "is dropped",
    r"knock(s|ed|ing)?": "handshake",
    r"left in peace": "is not logged any more",
    r"let(s|ting)? go of": "release, forget, or free",
    r"obituar(y|ies)": "reason",
    r"sign of life": "liveness, or online",
    r"so many (events|bytes|seconds|names|frames|connections) (may|are|is)": "the quantity and its unit",
    r"strangers": "other machines, or peers without a token",
    r"talks? (it|them|an? \w+) (back|out)": "say what it does",
    r"thr(ow|ows|own|owing) (it |them |the rest (of it )?)?away": "drop, or discard",
    r"to be called": "call this",
    r"(one|a) \w+'s trouble": "a failure does not affect others",
    r"what came\b": "received",
    r"whatever becomes? of": "also if it fails",
    r"whoever asked": "the caller, or the connection that asked",
    r"written down": "reported, logged, or written to the journal",
}

#: Names that several modules have at the top, since they are one interface, or of one kind.
SHARED_NAMES = {
    "Settings", "read", "describe", "make", "key_needed_in_public", "DIALS_IN", "SENDS_TOKEN",  # of the kinds
    "_log",  # the logger of a module
    "__all__", "__tracebackhide__",
}  # fmt: skip


def modules() -> Iterator[tuple[str, ast.Module, str]]:
    """Each module of the package: its path, its tree and its source."""
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text("utf-8")
        yield str(path.relative_to(ROOT)), ast.parse(source), source


def identifiers(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The names that a module defines, not those that it uses, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def in_words(identifier: str) -> str:
    """An identifier's words in lower case, joined by underscores, one in front and one behind."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", identifier)
    return f"_{'_'.join(words).lower()}_"


def prose(tree: ast.AST, source: str) -> Iterator[tuple[str, int]]:
    """The comments and docstrings of a module, white space made single blanks, with their lines."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string, token.start[0]
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield " ".join(text.split()), node.body[0].lineno


def retired_identifiers(path: str, tree: ast.AST) -> list[str]:
    """What is retired among the names that a module defines, and in its own name."""
    found = []
    for name, line in [(Path(path).stem, 1), *identifiers(tree)]:
        for pattern, instead in IDENTIFIERS.items():
            if name not in ALLOWED_IDENTIFIERS and re.search(f"_{pattern}_", in_words(name)):
                found.append(f"{path}:{line}: {name}: {instead}")
    return found


def retired_phrases(path: str, tree: ast.AST, source: str) -> list[str]:
    """What is retired in the comments and docstrings of a module."""
    return [
        f"{path}:{line}: {found[0]}: {instead}"
        for text, line in prose(tree, source)
        for pattern, instead in PHRASES.items()
        if (found := re.search(rf"\b(?:{pattern})", text, re.IGNORECASE))
    ]


def names_at_the_top(tree: ast.Module) -> set[str]:
    """The functions, classes and variables that a module defines outside of classes and functions."""
    found = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar":
                continue  # a parameter of the module's own annotations
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {
                part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)
            }
    return found


def first_line_is_a_sentence(text: str | None) -> bool:
    """Whether a docstring begins with a line that ends with a full stop."""
    return text is not None and text.splitlines()[0].endswith(".")


def without_docstring(tree: ast.Module) -> Iterator[str]:
    """The public names of a module whose docstring is missing, or begins with no whole sentence."""
    if not first_line_is_a_sentence(ast.get_docstring(tree)):
        yield "the module"
    pending: list[tuple[str, ast.stmt]] = [("", node) for node in tree.body]
    for prefix, node in pending:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            overload = [one for one in node.decorator_list if "overload" in ast.unparse(one)]
            if node.name.startswith("_") or overload:
                continue
            setter = any(ast.unparse(one).endswith(".setter") for one in node.decorator_list)
            if not setter and not first_line_is_a_sentence(ast.get_docstring(node)):
                yield prefix + node.name
            if isinstance(node, ast.ClassDef):
                pending += [(f"{prefix}{node.name}.", inner) for inner in node.body]


class WordTests(SynchronousTestCase):
    def test_retired_identifiers(self) -> None:
        """No name that a module defines, and no module's own name, has a retired word."""
        found = [one for path, tree, _source in modules() for one in retired_identifiers(path, tree)]
        self.assertEqual(found, [])

    def test_retired_phrases(self) -> None:
        """No comment and no docstring has a retired phrase."""
        found = [one for path, tree, source in modules() for one in retired_phrases(path, tree, source)]
        self.assertEqual(found, [])

    def test_names_are_defined_once(self) -> None:
        """A name that modules have at the top is one module's, but for the few that are shared."""
        where = defaultdict(list)
        for path, tree, _source in modules():
            for name in names_at_the_top(tree):
                where[name].append(path)
        twice = {name: paths for name, paths in where.items() if len(paths) > 1 and name not in SHARED_NAMES}
        self.assertEqual(twice, {})

    def test_shared_names_are_shared(self) -> None:
        """No exception outlives its reason."""
        defined = [name for _path, tree, _source in modules() for name in names_at_the_top(tree)]
        self.assertEqual({name for name in SHARED_NAMES if defined.count(name) < 2}, set())

    def test_public_names_have_docstrings(self) -> None:
        """Each public module, class, function and method has one, whose first line is a sentence."""
        found = [f"{path}: {name}" for path, tree, _source in modules() for name in without_docstring(tree)]
        self.assertEqual(found, [])


class WordCheckTests(SynchronousTestCase):
    SOURCE = (
        '"""What came."""\n'
        "class Gate:\n"
        "    def tell(self, owedPong):  # no strangers\n"
        "        self._beat = 1\n"
    )

    def test_the_checks_find_what_they_look_for(self) -> None:
        """A retired word is found in a class, a parameter, an attribute, a docstring and a comment."""
        tree = ast.parse(self.SOURCE)
        names = [one.split(": ")[1] for one in retired_identifiers("lgtwist/hub/news.py", tree)]
        self.assertEqual(names, ["news", "Gate", "owedPong", "_beat"])
        phrases = [one.split(": ")[1] for one in retired_phrases("x.py", tree, self.SOURCE)]
        self.assertEqual(phrases, ["strangers", "What came"])

    def test_missing_docstrings_are_found(self) -> None:
        """Of a class, and of its method."""
        self.assertEqual(list(without_docstring(ast.parse(self.SOURCE))), ["Gate", "Gate.tell"])

    def test_words_inside_other_words_are_not_meant(self) -> None:
        """``heartbeat`` is no ``beat``, and ``aggregate`` no ``gate``."""
        tree = ast.parse("def heartbeat(aggregate, shared):\n    held_back = 1\n")
        self.assertEqual([one.split(": ")[1] for one in retired_identifiers("x.py", tree)], ["held_back"])
