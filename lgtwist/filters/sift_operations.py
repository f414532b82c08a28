"""The operations of a filter in LLBot's grammar, as sift 17.1.4 carries them out (its ``core.ts``).

sift goes through the values that a path leads to: where there is an array on the way, its elements and the
array itself. Each value is given to the operations until they are done. What is kept between two values is
part of the meaning of an ``$or`` or an ``$elemMatch`` inside a ``$not``, so it is done in the same way here.

Most values are no arrays, and there is only one: for these each operation has ``judge``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, Protocol

from lgtwist.filters.javascript import has_own, is_index_like, own_property
from lgtwist.filters.subject import MISSING, STEPS

#: Arrays inside each other whose elements are looked at. A ``$not`` goes through them again for each array,
#: as sift does: without a bound, one event of a hostile implementation would take minutes.
MAX_ARRAYS = 16

Test = Callable[[Any], bool]


class TooManyArrays(ValueError):
    """A value has more than :data:`MAX_ARRAYS` arrays inside each other."""


class Operation(Protocol):
    """What tells whether one value, or several, are as the filter asks for.

    :ivar keep: whether they are, as far as they were seen.
    :ivar done: whether no further value changes that.
    :ivar judge: whether one value is, that is no array and is a member of an object; ``MISSING`` if it has
        no such member.
    """

    keep: bool
    done: bool
    judge: Test

    def reset(self) -> None:
        """Forget the values that were seen."""

    def next(self, item: Any, key: str | int, owner: Any, leaf: bool) -> None:
        """Look at a value.

        :param key: of the value in ``owner``.
        :param leaf: whether it stands at the end of the path, and not where the path breaks off.
        """


class Ignored(Enum):
    """What a path leads to in an array that has no such property, and is no value for an operation."""

    #: Nothing is skipped.
    NOTHING = auto()
    #: What is not in the array.
    MISSING = auto()
    #: What is not in the array, unless the key is a number.
    NAMED = auto()


def all_of(tests: Sequence[Test]) -> Test:
    """Return a function that tells whether its argument passes each test."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda value: first(value) and second(value)
    tests = tuple(tests)

    def passes_all(value: Any) -> bool:
        for test in tests:  # noqa: SIM110 (a generator takes half as long again)
            if not test(value):
                return False
        return True

    return passes_all


def any_of(tests: Sequence[Test]) -> Test:
    """Return a function that tells whether its argument passes one of some tests."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda value: first(value) or second(value)
    tests = tuple(tests)

    def passes_one(value: Any) -> bool:
        for test in tests:  # noqa: SIM110 (a generator takes half as long again)
            if test(value):
                return True
        return False

    return passes_one


def none_of(tests: Sequence[Test]) -> Test:
    """Return a function that tells whether its argument passes none of some tests."""
    test = any_of(tests)
    return lambda value: not test(value)


class Comparison:
    """``$eq``, ``$in``, ``$gt``, ``$regex``, ``$type``, ``$mod``, ``$size``: holds for one of the values.

    :param negated: whether it holds if the test is true for none of them: ``$ne``, ``$nin``.
    :ivar of_texts: whether the test is true of nothing but strings.
    """

    __slots__ = ("_ignored", "done", "judge", "keep", "negated", "of_texts", "test")

    def __init__(
        self, test: Test, ignored: Ignored, *, negated: bool = False, of_texts: bool = False
    ) -> None:
        self.test = test
        self.negated = negated
        self.of_texts = of_texts
        self.judge = none_of([test]) if negated else test
        self._ignored = ignored
        self.reset()

    def reset(self) -> None:
        """Forget the values that were seen."""
        self.done = False
        self.keep = self.negated

    def next(self, item: Any, key: str | int, owner: Any, leaf: bool) -> None:
        """Look at a value."""
        if type(key) is str and type(owner) is list and self._ignores(key, owner):
            return
        if self.test(item):
            self.done = True
            self.keep = not self.negated

    def _ignores(self, key: str, owner: list[Any]) -> bool:
        if self._ignored is Ignored.NOTHING or has_own(owner, key):
            return False
        return self._ignored is Ignored.MISSING or not is_index_like(key)


class Existence:
    """``$exists``."""

    __slots__ = ("done", "judge", "keep", "wanted")

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self.judge: Test = lambda value: (value is not MISSING) is wanted
        self.reset()

    def reset(self) -> None:
        """Forget the values that were seen."""
        self.done = False
        self.keep = not self.wanted

    def next(self, item: Any, key: str | int, owner: Any, leaf: bool) -> None:
        """Look at a value."""
        if leaf and has_own(owner, key):
            self.done = True
            self.keep = self.wanted


def steps_of(operation: Operation) -> int:
    """Return how many steps it takes, about, to judge one value."""
    inner = getattr(operation, "children", None) or [
        one for one in [getattr(operation, "child", None)] if one
    ]
    return 4 + sum(map(steps_of, inner))


class Conjunction:
    """``$and``, ``$all``, and the members of an object: each of them must hold."""

    __slots__ = ("children", "done", "judge", "keep")

    def __init__(self, children: Sequence[Operation]) -> None:
        self.children = children
        self.judge = all_of([child.judge for child in children])
        self.reset()

    def reset(self) -> None:
        """Forget the values that were seen."""
        self.done = self.keep = False
        for child in self.children:
            child.reset()

    def next(self, item: Any, key: str | int, owner: Any, leaf: bool) -> None:
        """Look at a value."""
        done = keep = True
        STEPS.take(8 * len(self.children))
        for child in self.children:
            if not child.done:
                child.next(item, key, owner, leaf)
            if not child.keep:
                keep = False
            if not child.done:
                done = False
            elif not child.keep:
                break
        self.done = done
        self.keep = keep


class Path(Conjunction):
    """The operations on what a path leads to; the empty path leads to the value, and to its elements."""

    __slots__ = ("_enters", "keys")

    def __init__(self, keys: Sequence[str], children: Sequence[Operation]) -> None:
        super().__init__(children)
        self.keys = tuple(keys)
        #: Whether the elements of an array are looked at, by the number of keys that are behind.
        self._enters = [not is_index_like(key) and key != "length" for key in keys] + [True]
        if keys:
            judge = self.judge
            self.judge = lambda value: self._judge_inside(value, judge)

    def _judge_inside(self, value: Any, judge: Test) -> bool:
        found = value
        for key in self.keys:
            if type(found) is not dict:
                break
            found = found.get(key, MISSING)
        else:
            if type(found) is not list:
                return judge(found)
        self.reset()
        self.walk(value, 0, "", {}, True)
        return self.keep

    def next(self, item: Any, key: str | int, owner: Any, leaf: bool) -> None:
        """Look at a value."""
        self.walk(item, 0, key, owner, leaf)

    def walk(self, item: Any, depth: int, key: str | int, owner: Any, leaf: bool, arrays: int = 0) -> bool:
        """Give the values that the rest of the path leads to to the operations.

        :param depth: keys that are behind.
        :param arrays: in which the item is.
        :returns: whether they are not done.
        :raises TooManyArrays: if there are more than :data:`MAX_ARRAYS` inside each other.
        """
        STEPS.left -= 16
        if type(item) is list and self._enters[depth]:
            if arrays == MAX_ARRAYS:
                raise TooManyArrays
            STEPS.take(8 * len(item))
            for index, element in enumerate(item):
                if not self.walk(element, depth, index, item, leaf, arrays + 1):
                    return False
        if depth == len(self.keys):
            super().next(item, key, owner, depth > 0 or leaf)
            return not self.done
        if item is None or item is MISSING:
            super().next(item, key, owner, False)
            return not self.done
        next_key = self.keys[depth]
        return self.walk(own_property(item, next_key), depth + 1, next_key, item, True, arrays)


class Alternatives:
    """``$or``; ``$nor`` if it is negated."""

    __slots__ = ("children", "done", "judge", "keep", "negated")

    def __init__(self, children: Sequence[Operation], *, negated: bool) -> None:
        self.children = children
        self.negated = negated
        self.judge = (none_of if negated else any_of)([child.judge for child in children])
        self.reset()

    def reset(self) -> None:
        """Forget the values that were seen."""
        self.done = self.keep = False
        for child in self.children:
            child.reset()

    def next(self, item: Any, key: str | int, owner: Any, leaf: bool) -> None:
        """Look at a value."""
        self.done = False
        STEPS.take(8 * len(self.children))
        for child in self.children:
            child.next(item, key, owner, leaf)
            if child.keep:
                self.done = True
                break
        self.keep = self.done is not self.negated


class Negation:
    """``$not``."""

    __slots__ = ("child", "done", "judge", "keep")

    def __init__(self, child: Operation) -> None:
        self.child = child
        self.judge = none_of([child.judge])
        self.reset()

    def reset(self) -> None:
        """Forget the values that were seen."""
        self.done = self.keep = False
        self.child.reset()

    def next(self, item: Any, key: str | int, owner: Any, leaf: bool) -> None:
        """Look at a value."""
        self.child.next(item, key, owner, leaf)
        self.done = self.child.done
        self.keep = not self.child.keep


class ElementMatch:
    """``$elemMatch``: one element of an array is as the filter inside asks for."""

    __slots__ = ("_steps", "child", "done", "judge", "keep")

    def __init__(self, child: Operation) -> None:
        self.child = child
        self._steps = 8 + steps_of(child)
        self.judge: Test = lambda value: False
        self.reset()

    def reset(self) -> None:
        """Forget the values that were seen."""
        self.done = self.keep = False

    def next(self, item: Any, key: str | int, owner: Any, leaf: bool) -> None:
        """Look at a value."""
        if type(item) is not list:
            self.done = self.keep = False
            return
        STEPS.take(self._steps * len(item))
        self.keep = self.keep or any(
            self._matches(element, index, item) for index, element in enumerate(item)
        )
        self.done = self.keep or type(owner) is not dict

    def _matches(self, element: Any, index: int, owner: list[Any]) -> bool:
        if type(element) is not list:
            return self.child.judge(element)
        self.child.reset()
        self.child.next(element, index, owner, True)
        return self.child.keep
