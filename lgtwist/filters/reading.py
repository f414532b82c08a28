"""Reading a filter: which grammar it is in, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import field, frozen

from lgtwist.filters.subject import Predicate
from lgtwist.onebot.event import Event


class Grammar(Enum):
    """Whose grammar a filter is in; ``EITHER`` for one that means the same in both, such as ``{}``."""

    GO_CQHTTP = "go-cqhttp"
    LLBOT = "llbot"
    EITHER = "either"


class Pairs(list[tuple[str, object]]):
    """The members of an object in a filter, in their order, with those whose keys are equal."""


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
        raise NotImplementedError


def read_filter(text: str) -> EventFilter:
    """Read a filter: a JSON object in go-cqhttp's or in LLBot's grammar.

    :raises BadFilter: if it is neither, with every mistake and its path.
    """
    raise NotImplementedError
