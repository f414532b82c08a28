"""Reading a filter: which grammar it is in, and what is wrong with it.

go-cqhttp's operators begin with a dot, LLBot's with ``$``. A filter that has both is a mistake.

One that has neither, such as ``{"group_id": 123, "sender.role": "owner"}``, means in both grammars that the
members are equal to these values, but for the types: go-cqhttp compares strings, so that ``"123"`` is equal
to 123 and an object is a filter of the value, while LLBot compares types too, and an object with all members.
It is read as go-cqhttp's, for where LLBot's meaning differs, nearly no event passes there, so that nobody has
such a filter. The exception: names behind ``message.`` (``message.type``, ``message.data.qq``) look at each
segment in LLBot's grammar, and at nothing in go-cqhttp's; a filter with one is LLBot's. A ``#`` in a path is
gjson's, and so is the filter go-cqhttp's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from attrs import field, frozen

from lgtwist.filters.document import Node, NotJson, parse_document
from lgtwist.filters.go_cqhttp import compile_go_cqhttp
from lgtwist.filters.mistakes import BadFilter, FilterMistake, path_to
from lgtwist.filters.sift import compile_sift
from lgtwist.filters.subject import Predicate, subject_of
from lgtwist.onebot.event import Event

#: Members of all objects of a filter; each is a test, or an operator.
MAX_TESTS = 2_000
#: Mistakes that are named; of others only the number.
MAX_MISTAKES = 20

#: Operators whose arguments are values: what looks like an operator there is none.
_TAKE_VALUES = {".eq", ".neq", ".in", "$eq", "$ne", "$in", "$nin", "$all"}


class Grammar(Enum):
    """Whose grammar a filter is in; ``EITHER`` for one without operators, such as ``{}``: see the module."""

    GO_CQHTTP = "go-cqhttp"
    LLBOT = "llbot"
    EITHER = "either"


@frozen
class EventFilter:
    """A filter, compiled.

    Two are equal if their texts are.

    :ivar source: the text that it was read from.
    :ivar judge: whether an event passes, given its subject.
    """

    source: str
    grammar: Grammar = field(eq=False)
    judge: Predicate = field(eq=False, repr=False)

    @property
    def passes(self) -> Callable[[Event], bool]:
        """A function that tells whether an event passes; meta events are the caller's to let pass."""
        judge = self.judge
        return lambda event: judge(subject_of(event))


def read_filter(text: str) -> EventFilter:
    """Read a filter: a JSON object in go-cqhttp's or in LLBot's grammar.

    :raises BadFilter: if it is neither, with every mistake and its path.
    """
    try:
        document = parse_document(text)
    except NotJson as error:
        raise BadFilter([FilterMistake("", str(error))]) from None
    if not document.is_object():
        raise BadFilter([FilterMistake("", "expected a JSON object, such as {}")])
    grammar = _tell_grammar(document)
    mistakes: list[FilterMistake] = []
    if grammar is Grammar.LLBOT:
        judge = compile_sift(document.plain(), mistakes)
    else:
        judge = compile_go_cqhttp(document, mistakes)
    if mistakes:
        raise BadFilter(_shorten_mistakes(mistakes))
    return EventFilter(text, grammar, judge)


def _shorten_mistakes(mistakes: list[FilterMistake]) -> list[FilterMistake]:
    """Return the first mistakes, and the number of the others."""
    others = len(mistakes) - MAX_MISTAKES
    if others <= 0:
        return mistakes
    return [*mistakes[:MAX_MISTAKES], FilterMistake("", f"and {others} more mistakes")]


def _tell_grammar(document: Node) -> Grammar:
    """Return the grammar of a filter.

    :raises BadFilter: if it has operators of both, or more than :data:`MAX_TESTS` members.
    """
    first: dict[Grammar, tuple[str, str]] = {}
    looks_into_segments = False
    for number, (path, key) in enumerate(_walk_keys(document, "")):
        if number >= MAX_TESTS:
            raise BadFilter([FilterMistake("", f"it has more than {MAX_TESTS} tests and operators")])
        if key.startswith("$"):
            first.setdefault(Grammar.LLBOT, (path, key))
        elif key.startswith(".") or "#" in key:
            first.setdefault(Grammar.GO_CQHTTP, (path, key))
        elif key.startswith("message.") and not key[8:9].isdigit():
            looks_into_segments = True
    if len(first) == 2:
        path, key = first[Grammar.LLBOT]
        other, other_key = first[Grammar.GO_CQHTTP]
        raise BadFilter(
            [
                FilterMistake(
                    path,
                    f"{_show_key(key)} is LLBot's grammar, but {_show_key(other_key)} at {other} is "
                    "go-cqhttp's; a filter is in one of them",
                )
            ]
        )
    for grammar in first:
        return grammar
    return Grammar.LLBOT if looks_into_segments else Grammar.EITHER


def _show_key(key: str) -> str:
    return path_to("", key)


def _walk_keys(node: Node, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path and the key of each member, at every depth, but not in values of operators."""
    if node.is_object():
        for key, value in node.value:
            inner = path_to(path, key)
            yield inner, key
            if key not in _TAKE_VALUES:
                yield from _walk_keys(value, inner)
    elif isinstance(node.value, list):
        for index, value in enumerate(node.value):
            yield from _walk_keys(value, f"{path}[{index}]")
