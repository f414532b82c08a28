"""Filters in LLBot's grammar, which is sift's: operators begin with ``$``, values have types.

sift 17.1.4 is what they mean; ``tests/filters/sift_table.json`` was made by running it. What differs:

* what sift would throw at, when it reads a filter or when it tests an event, is a mistake; so are ``$where``
  and an ``$options`` without ``$regex``, which would let everything pass;
* whole numbers are compared exactly, where JavaScript rounds those above 2**53;
* ``message`` of a message is an array of segments whichever form it has, and a condition on ``message``
  itself also sees the string with CQ codes, as if it were one of the array's elements;
* an event with more than ``MAX_ARRAYS`` arrays inside each other, where a filter looks, does not pass;
* of the strings of an event a ``$regex`` searches at most ``MAX_SEARCHED`` characters in all;
* ``message_sent`` is also ``message`` in ``post_type``, as if it were an array of both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lgtwist.filters import regexes
from lgtwist.filters.javascript import (
    equality_with,
    is_index_like,
    is_less,
    is_nothing,
    is_number,
    is_truthy,
    membership_in,
    remainder,
    to_number,
    to_text,
    type_of,
)
from lgtwist.filters.mistakes import FilterMistake, path_to
from lgtwist.filters.sift_operations import (
    Alternatives,
    Comparison,
    Conjunction,
    ElementMatch,
    Existence,
    Ignored,
    Negation,
    Operation,
    Path,
    Test,
    all_of,
    any_of,
    none_of,
    steps_of,
)
from lgtwist.filters.subject import (
    MAX_JUDGING,
    MISSING,
    SEARCHED_LENGTH,
    STEPS,
    EventSubject,
    Predicate,
    TooManySteps,
)
from lgtwist.onebot import rawjson
from lgtwist.onebot.bounds import has_too_many_values
from lgtwist.onebot.message import is_message


def compile_sift(value: Any, mistakes: list[FilterMistake]) -> Predicate:
    """Return a function that tells whether an event passes a filter in LLBot's grammar.

    :param value: the filter; of equal keys in an object the last counts, as in JavaScript.
    :param mistakes: every mistake is appended; if there is one, what is returned must not be used.
    """
    compiler = _Compiler(mistakes)
    if not isinstance(value, dict):
        compiler.complain("", "a filter is an object")
        return _passes_nothing
    known = len(mistakes)
    operation = compiler.query(value, "")
    if len(mistakes) > known:
        return _passes_nothing
    STEPS.left = MAX_JUDGING  # what an event without the members gets is found out now
    passes = _on_event(operation).passes
    searches = tuple(compiler.searches)

    def judge(subject: EventSubject) -> bool:
        STEPS.left = MAX_JUDGING
        for search in searches:
            search.left = MAX_SEARCHED
        try:
            return passes(subject)
        except (
            Exception
        ):  # TooManySteps; of many arrays inside each other; where sift throws, LLBot does not send
            return False

    return judge


def _passes_nothing(subject: EventSubject) -> bool:
    return False


# -- reading ---------------------------------------------------------------------------------------------


#: Characters that one ``$regex`` searches in all the strings of an event that its path leads to.
MAX_SEARCHED = 4 * SEARCHED_LENGTH


class _PatternTest:
    """Tells whether a value is a string with a match.

    :ivar left: characters that it searches before it is set again; beyond, there is no match.
    """

    __slots__ = ("_search", "left")

    def __init__(self, search: Callable[[str], bool]) -> None:
        self._search = search
        self.left = MAX_SEARCHED

    def matches(self, value: Any) -> bool:
        """Return whether a value is a string with a match."""
        if type(value) is not str or self.left <= 0:
            return False
        self.left -= len(value)
        found = self._search(value)
        if STEPS.left < 0:
            raise TooManySteps
        return found


class _Compiler:
    """Makes operations of a filter, and collects what is wrong with it.

    :ivar searches: the tests of its patterns.
    """

    def __init__(self, mistakes: list[FilterMistake]) -> None:
        self._mistakes = mistakes
        self.searches: list[_PatternTest] = []

    def complain(self, path: str, sentence: str) -> None:
        """Note a mistake."""
        self._mistakes.append(FilterMistake(path, sentence))

    def query(self, query: Any, path: str) -> Operation:
        """Return the operation of a filter, or of one inside it. What is no object is compared with."""
        if isinstance(query, list):  # as JavaScript: an object with numbers as keys
            query = {str(index): value for index, value in enumerate(query)}
        if not isinstance(query, dict):
            return Path((), [self._equals(query)])
        own: list[Operation] = []
        inner: list[Operation] = []
        for key, value in query.items():
            if key.startswith("$"):
                own += self._operators(key, value, query, path)
            else:
                inner.append(self._member(key, value, path_to(path, key)))
        if own:
            inner.insert(0, Path((), own))
        return inner[0] if len(inner) == 1 else Conjunction(inner)

    def _member(self, key: str, value: Any, path: str) -> Operation:
        keys = key.split(".")
        if not isinstance(value, dict) or not any(name.startswith("$") for name in value):
            return Path(keys, [self._equals(value)])
        own: list[Operation] = []
        for name, argument in value.items():
            if not name.startswith("$"):
                self.complain(
                    path_to(path, name),
                    "an object has either operators or members, not both; "
                    f'for a member write "{path_to("", f"{key}.{name}")}"',
                )
            elif name in ("$and", "$or", "$nor"):
                self.complain(
                    path_to(path, name),
                    f"{name} is not for one field; put it around the fields, or inside a $not",
                )
            else:
                own += self._operators(name, argument, value, path)
        return Path(keys, own)

    def _operators(self, name: str, argument: Any, parent: dict[str, Any], path: str) -> list[Operation]:
        """Return the operation of an operator in a list; an empty one for a mistake and for ``$options``.

        :param parent: what the operator stands in.
        :param path: of that.
        """
        make = _OPERATORS.get(name)
        path = path_to(path, name)
        if make is None:
            self.complain(path, _UNKNOWN.get(name, f"there is no operator {path_to('', name)}"))
            return []
        operation = make(self, argument, parent, path)
        return [] if operation is None else [operation]

    def _equals(self, value: Any) -> Operation:
        return Comparison(equality_with(value), Ignored.MISSING, of_texts=isinstance(value, str))

    # Each of these makes an operation of an operator's argument; None if that is a mistake.

    def equals(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$eq``."""
        return self._equals(argument)

    def differs(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$ne``."""
        test = equality_with(argument)
        return Comparison(test, Ignored.NAMED, negated=True, of_texts=isinstance(argument, str))

    def is_in(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$in``."""
        return self._is_in(argument, path, negated=False)

    def is_not_in(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$nin``."""
        return self._is_in(argument, path, negated=True)

    def _is_in(self, argument: Any, path: str, *, negated: bool) -> Operation | None:
        values = argument if isinstance(argument, list) else [argument]
        wrong = False
        for index, value in enumerate(values):
            if isinstance(value, dict) and any(key.startswith("$") for key in value):
                place = f"{path}[{index}]" if isinstance(argument, list) else path
                self.complain(
                    place, "expected a value to compare with; operators do not work in a list of values"
                )
                wrong = True
        if wrong:
            return None
        texts = all(isinstance(value, str) for value in values)
        return Comparison(membership_in(values), Ignored.NAMED, negated=negated, of_texts=texts)

    def is_less(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$lt``."""
        return self._order(argument, lambda value: is_less(value, argument, or_equal=False), strict=True)

    def is_at_most(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$lte``."""
        return self._order(argument, lambda value: is_less(value, argument, or_equal=True), strict=False)

    def is_greater(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$gt``."""
        return self._order(argument, lambda value: is_less(argument, value, or_equal=False), strict=True)

    def is_at_least(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$gte``."""
        return self._order(argument, lambda value: is_less(argument, value, or_equal=True), strict=False)

    def _order(self, argument: Any, compare: Test, *, strict: bool) -> Operation:
        kind = type_of(argument)

        def test(value: Any) -> bool:
            if type_of(value) != kind:
                return False
            if is_nothing(value):
                return not strict and compare(None)
            return compare(value)

        return Comparison(test, Ignored.MISSING, of_texts=kind == "string")

    def matches(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$regex``."""
        options = to_text(parent.get("$options", ""))
        unknown = [flag for flag in options if flag not in _OPTIONS]
        if unknown or len(set(options)) < len(options):
            there = path.removesuffix("$regex") + "$options"
            self.complain(there, "expected some of the letters i, m and s, each once")
            return None
        try:
            search = regexes.javascript_pattern(to_text(argument), options.translate(_WITHOUT_EFFECT))
        except regexes.BadPattern as error:
            self.complain(path, str(error))
            return None
        test = _PatternTest(search)
        self.searches.append(test)
        return Comparison(test.matches, Ignored.MISSING, of_texts=True)

    def options(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make none: ``$regex`` reads its ``$options``."""
        if "$regex" not in parent:
            self.complain(path, "$options belongs to a $regex beside it")
        return None

    def exists(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$exists``."""
        return Existence(is_truthy(argument))

    def has_type(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$type``."""
        test = _TYPE_TESTS.get(argument) if isinstance(argument, str) else None
        if test is None:
            self.complain(path, f"expected one of {', '.join(_TYPE_TESTS)}")
            return None
        return Comparison(test, Ignored.MISSING, of_texts=argument == "string")

    def has_remainder(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$mod``."""
        if not isinstance(argument, (list, str)):  # of a string JavaScript takes the characters
            self.complain(path, "expected a list of two numbers, a divisor and a remainder")
            return None
        divisor, wanted = (*argument, MISSING, MISSING)[:2]
        divisor = to_number(divisor)
        if not is_number(wanted):
            return Comparison(lambda value: False, Ignored.MISSING)
        return Comparison(lambda value: remainder(value, divisor) == wanted, Ignored.MISSING)

    def has_size(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$size``."""
        size = argument if is_number(argument) else -1
        return Comparison(lambda value: type(value) is list and len(value) == size, Ignored.NOTHING)

    def all_match(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$all``."""
        if not isinstance(argument, list):
            self.complain(path, "expected a list")
            return None
        return Conjunction(self._queries(argument, path))

    def element_matches(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$elemMatch``."""
        if not isinstance(argument, (dict, list)):
            self.complain(path, "expected an object, which an element of the array is compared with")
            return None
        return ElementMatch(self.query(argument, path))

    def negate(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$not``."""
        return Negation(self.query(argument, path))

    def are_all_true(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$and``."""
        return Conjunction(self._queries(argument, path)) if self._is_group(argument, path) else None

    def is_one_true(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$or``."""
        if not self._is_group(argument, path):
            return None
        return Alternatives(self._queries(argument, path), negated=False)

    def is_none_true(self, argument: Any, parent: dict[str, Any], path: str) -> Operation | None:
        """Make the operation of ``$nor``."""
        if not self._is_group(argument, path):
            return None
        return Alternatives(self._queries(argument, path), negated=True)

    def _is_group(self, argument: Any, path: str) -> bool:
        if isinstance(argument, list) and argument:
            return True
        self.complain(path, "expected a list of at least one filter")
        return False

    def _queries(self, argument: list[Any], path: str) -> list[Operation]:
        return [self.query(value, f"{path}[{index}]") for index, value in enumerate(argument)]


_Maker = Callable[[_Compiler, Any, dict[str, Any], str], "Operation | None"]

_OPERATORS: dict[str, _Maker] = {
    "$eq": _Compiler.equals,
    "$ne": _Compiler.differs,
    "$in": _Compiler.is_in,
    "$nin": _Compiler.is_not_in,
    "$lt": _Compiler.is_less,
    "$lte": _Compiler.is_at_most,
    "$gt": _Compiler.is_greater,
    "$gte": _Compiler.is_at_least,
    "$regex": _Compiler.matches,
    "$options": _Compiler.options,
    "$exists": _Compiler.exists,
    "$type": _Compiler.has_type,
    "$mod": _Compiler.has_remainder,
    "$size": _Compiler.has_size,
    "$all": _Compiler.all_match,
    "$elemMatch": _Compiler.element_matches,
    "$not": _Compiler.negate,
    "$and": _Compiler.are_all_true,
    "$or": _Compiler.is_one_true,
    "$nor": _Compiler.is_none_true,
}
_UNKNOWN = {"$where": "$where is JavaScript, which lgtwist does not run; write it with the other operators"}

#: The flags of a JavaScript pattern that are accepted; ``g`` and ``d`` do not change whether it matches.
_OPTIONS = "imsgd"
_WITHOUT_EFFECT = dict.fromkeys(map(ord, "gd"))

#: sift's names of types. JSON has no dates, which are its timestamps.
_TYPE_TESTS: dict[str, Test] = {
    "string": lambda value: type(value) is str,
    "number": is_number,
    "bool": lambda value: type(value) is bool,
    "array": lambda value: type(value) is list,
    "null": lambda value: value is None,
    "timestamp": lambda value: False,
}


# -- events ----------------------------------------------------------------------------------------------

#: What a condition costs, about, in microseconds: of several the cheap ones are looked at first.
_COST_OF_MEMBER = 1
_COST_OF_PATH = 2
_COST_OF_MESSAGE = 20
_COST_OF_EVENT = 50


class _Condition:
    """Whether an operation holds for an event."""

    __slots__ = ("cost", "passes")

    def __init__(self, cost: int, passes: Predicate) -> None:
        self.cost = cost
        self.passes = passes


def _on_event(operation: Operation) -> _Condition:
    """Return an operation that is carried out on an event itself, and not on one of its members."""
    if isinstance(operation, Path):
        return _on_member(operation) if operation.keys else _combine(all_of, operation.children)
    if isinstance(operation, Conjunction):
        return _combine(all_of, operation.children)
    if isinstance(operation, Alternatives):
        return _combine(none_of if operation.negated else any_of, operation.children)
    if isinstance(operation, Negation):
        return _combine(none_of, [operation.child])
    if isinstance(operation, Existence):
        wanted = operation.wanted
        return _Condition(0, lambda subject: wanted)
    judge = operation.judge
    return _Condition(_COST_OF_EVENT, lambda subject: judge(_whole_event(subject)))


def _whole_event(subject: EventSubject) -> Any:
    """Return all members of an event; ``MISSING`` where they are too many."""
    if "sift event" not in subject.memo:
        too_many = has_too_many_values(subject.raw)
        subject.memo["sift event"] = MISSING if too_many else rawjson.decode_value(subject.raw)
    return subject.memo["sift event"]


def _combine(combine: Callable[[list[Predicate]], Predicate], operations: Any) -> _Condition:
    # An event is no array: each operation sees one value, so their order does not matter.
    conditions = sorted(map(_on_event, operations), key=lambda condition: condition.cost)
    cost = sum(condition.cost for condition in conditions)
    return _Condition(cost, combine([condition.passes for condition in conditions]))


def _on_member(path: Path) -> _Condition:
    """Return the operations on what a path leads to in an event."""
    name, *rest = path.keys
    if name == "message":
        return _Condition(_COST_OF_MESSAGE, _on_message(path))
    walk = _walker(path)
    judge = all_of([child.judge for child in path.children])
    if not rest:

        def on_value(subject: EventSubject) -> bool:
            value = subject.member(name)
            return walk(value, None) if type(value) is list else judge(value)

        def on_post_type(subject: EventSubject) -> bool:
            value = subject.member(name)
            if type(value) is list or value == "message_sent":
                return walk(value, lambda: "message")
            return judge(value)

        return _Condition(_COST_OF_MEMBER, on_post_type if name == "post_type" else on_value)
    absent = walk(MISSING, None)
    last = rest.pop()

    def on_inner_value(subject: EventSubject) -> bool:
        value = outermost = subject.member(name)
        if value is MISSING:
            return absent
        for key in rest:
            if type(value) is not dict:
                return walk(outermost, None)
            value = value.get(key, MISSING)
        if type(value) is dict:
            value = value.get(last, MISSING)
            if type(value) is not list:
                return judge(value)
        return walk(outermost, None)

    return _Condition(_COST_OF_PATH, on_inner_value)


def _walker(path: Path) -> Callable[[Any, Callable[[], Any] | None], bool]:
    """Return a function that carries out operations on the value of an event's member.

    Its arguments are the value, and what makes another one that is seen beside it.
    """
    name = path.keys[0]

    def walk(value: Any, make_other: Callable[[], Any] | None) -> bool:
        owner = {} if value is MISSING else {name: value}
        path.reset()
        if path.walk(value, 1, name, owner, True) and make_other is not None:
            path.walk(make_other(), 1, name, owner, True)
        return path.keep

    return walk


def _on_message(path: Path) -> Predicate:
    """Return the operations on what a path leads to that begins with ``message``."""
    walk = _walker(path)
    absent = walk(MISSING, None)
    rest = path.keys[1:]

    def on_any(subject: EventSubject) -> bool:
        value = subject.member("message")
        if value is MISSING:
            return absent
        if not _has_message(subject, value):
            return walk(value, None)
        return walk(subject.segments(), None if rest else subject.cq)

    if not rest and all(map(_is_of_texts, path.children)):
        judge = all_of([child.judge for child in path.children])

        def on_string(subject: EventSubject) -> bool:
            # Segments are no strings: all that they could do is to make a test fail.
            return (
                judge(subject.cq()) if _has_message(subject, subject.member("message")) else on_any(subject)
            )

        return on_string
    of_elements = None if rest else _of_elements(Path((), path.children))
    if of_elements is not None:
        judge_elements = of_elements

        def on_elements(subject: EventSubject) -> bool:
            if _has_message(subject, subject.member("message")):
                return judge_elements(subject.segments())
            return on_any(subject)

        return on_elements
    if rest and not any(is_index_like(key) or key == "length" for key in rest):
        tests = [_test_of(child) for child in path.children]
        if all(test is not None for test in tests):
            return _on_segments([test for test in tests if test is not None], rest, on_any)
    return on_any


def _has_message(subject: EventSubject, value: Any) -> bool:
    """Return whether an event is a message, and its member ``message`` can be read as one."""
    if subject.post_type != "message":
        return False
    return type(value) is str or (not is_nothing(value) and is_message(value))


def _is_of_texts(operation: Operation) -> bool:
    """Return whether an operation looks at nothing but strings, whatever else there is."""
    if isinstance(operation, Negation):
        child = operation.child
        return isinstance(child, Path) and not child.keys and all(map(_is_of_texts, child.children))
    return isinstance(operation, Comparison) and operation.of_texts


def _of_elements(operation: Operation) -> Test | None:
    """Return what an operation with nothing but ``$elemMatch`` in it says of an array, all of it seen.

    :returns: a function for an array whose elements are no arrays; None for other operations.
    """
    if isinstance(operation, ElementMatch):
        judge = operation.child.judge
        steps = 4 + steps_of(operation.child)

        def matches_one(elements: Any) -> bool:
            STEPS.take(steps * len(elements))
            for element in elements:  # noqa: SIM110 (a generator takes half as long again)
                if judge(element):
                    return True
            return False

        return matches_one
    if isinstance(operation, Negation):
        inner = _of_elements(operation.child)
        return None if inner is None else none_of([inner])
    if isinstance(operation, Conjunction) and not (isinstance(operation, Path) and operation.keys):
        tests = [test for test in map(_of_elements, operation.children) if test is not None]
        return all_of(tests) if tests and len(tests) == len(operation.children) else None
    return None


def _test_of(operation: Operation) -> tuple[Test, bool] | None:
    """Return a test, and what an operation is once it is true of a value; None if there is no such test."""
    if isinstance(operation, Comparison):
        return operation.test, not operation.negated
    if isinstance(operation, Existence):
        return (lambda value: value is not MISSING), operation.wanted
    return None


def _on_segments(tests: list[tuple[Test, bool]], keys: tuple[str, ...], on_any: Predicate) -> Predicate:
    """Return operations on a member of each segment.

    :param tests: of each operation a test, and what the operation is once that is true of a value.
    :param keys: the path to the member in a segment.
    :param on_any: the same operations for all else than objects with that member, which is no array.
    """
    first, *more = keys

    def on_segments(subject: EventSubject) -> bool:
        if not _has_message(subject, subject.member("message")):
            return on_any(subject)
        values = []
        STEPS.take(4 * len(subject.segments()))
        for segment in subject.segments():
            value = segment.get(first, MISSING)
            for key in more:
                if type(value) is not dict:
                    return on_any(subject)
                value = value.get(key, MISSING)
            if type(value) is list:
                return on_any(subject)
            values.append(value)
        for test, found in tests:
            for value in values:
                if test(value):
                    if not found:
                        return False
                    break
            else:
                if found:
                    return False
        return True

    return on_segments
