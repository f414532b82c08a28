"""Filters in go-cqhttp's grammar: operators begin with a dot, values are compared as strings.

Keys that are no operators are gjson's paths (:mod:`lgtwist.filters.gjson`). An object beside one is a filter
of the value there, anything else what it is equal to. What differs from go-cqhttp:

* a filter with a mistake is refused; there, all events pass;
* ``message`` alone is the string with CQ codes, and paths into it (``message.0.type``) see segments,
  whichever form the message has; there, it is as it was reported;
* ``post_type`` of an event ``message_sent`` is ``message``;
* a path into a string finds nothing; gjson searches it for JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lgtwist.filters.document import Members, Node
from lgtwist.filters.gjson import BadPath, Step, get_value, parse_path, to_string
from lgtwist.filters.mistakes import FilterMistake, path_to
from lgtwist.filters.regexes import BadPattern, go_pattern
from lgtwist.filters.subject import MAX_JUDGING, SEARCHED_LENGTH, STEPS, EventSubject, Predicate, TooManySteps

#: A function that tells whether an event passes, and what it costs: operands are tried from cheap to dear.
_Costed = tuple[int, Predicate]
#: Where a value is: a path, and others inside what each finds, for ``#`` makes a new value.
_Paths = tuple[tuple[Step, ...], ...]

#: Costs: of the ``post_type``, other members, paths into them, the message, its segments, the whole event.
_TYPE, _MEMBER, _PATH, _MESSAGE, _SEGMENTS, _EVENT = range(0, 12, 2)


def compile_go_cqhttp(document: Node, mistakes: list[FilterMistake]) -> Predicate:
    """Return a function that tells whether an event passes a filter in go-cqhttp's grammar.

    :param document: the filter, an object.
    :param mistakes: every mistake is appended; if there is one, what is returned must not be used.
    """
    compiler = _GoCompiler(mistakes)
    cost, passes = compiler.all_of(document.value, "", ())
    if cost <= _MEMBER and not compiler.searches:
        return passes

    def judge(subject: EventSubject) -> bool:
        STEPS.left = MAX_JUDGING
        try:
            return passes(subject)
        except TooManySteps:
            return False

    return judge


class _GoCompiler:
    """Compiles one filter to closures.

    :param mistakes: every mistake is appended.
    :ivar searches: whether it searches in a text.
    """

    def __init__(self, mistakes: list[FilterMistake]) -> None:
        self._mistakes = mistakes
        self.searches = False
        self._operators: dict[str, Callable[[Node, str, _Paths], _Costed]] = {
            ".not": self._not,
            ".and": self._and,
            ".or": self._or,
            ".eq": self._equal,
            ".neq": self._not_equal,
            ".in": self._in,
            ".contains": self._contains,
            ".regex": self._regex,
        }

    def _wrong(self, path: str, sentence: str) -> _Costed:
        self._mistakes.append(FilterMistake(path, sentence))
        return _TYPE, _pass_none

    def all_of(self, members: Members, path: str, paths: _Paths) -> _Costed:
        """Return a test that all members of an object hold.

        :param path: of the object in the filter.
        :param paths: where the value is that it is about.
        """
        return _join_all([self._member(key, node, path_to(path, key), paths) for key, node in members])

    def _member(self, key: str, node: Node, path: str, paths: _Paths) -> _Costed:
        if key.startswith("."):
            operator = self._operators.get(key)
            if operator is None:
                known = ", ".join(self._operators)
                return self._wrong(path, f"the operator is not known; expected one of {known}")
            return operator(node, path, paths)
        try:
            inner = _append_path(paths, parse_path(key))
        except BadPath as error:
            return self._wrong(path, str(error))
        return self.all_of(node.value, path, inner) if node.is_object() else self._equal(node, path, inner)

    def _and(self, node: Node, path: str, paths: _Paths) -> _Costed:
        if not node.is_object():
            return self._wrong(path, "expected an object")
        return self.all_of(node.value, path, paths)

    def _not(self, node: Node, path: str, paths: _Paths) -> _Costed:
        cost, passes = self._and(node, path, paths)
        return cost, lambda subject: not passes(subject)

    def _or(self, node: Node, path: str, paths: _Paths) -> _Costed:
        if not node.is_array():
            return self._wrong(path, "expected an array of objects")
        costed = []
        for index, element in enumerate(node.value):
            inner = f"{path}[{index}]"
            if element.is_object():
                costed.append(self.all_of(element.value, inner, paths))
            else:
                costed.append(self._wrong(inner, "expected an object"))
        return _join_any(costed)

    def _equal(self, node: Node, path: str, paths: _Paths) -> _Costed:
        wanted = _argument_text(node)
        cost, read = _value_reader(paths)
        return cost, lambda subject: read(subject) == wanted

    def _not_equal(self, node: Node, path: str, paths: _Paths) -> _Costed:
        unwanted = _argument_text(node)
        cost, read = _value_reader(paths)
        return cost, lambda subject: read(subject) != unwanted

    def _in(self, node: Node, path: str, paths: _Paths) -> _Costed:
        cost, read = _value_reader(paths)
        if node.is_array():
            listed = frozenset(map(_argument_text, node.value))
            return cost, lambda subject: read(subject) in listed
        if isinstance(node.value, str):
            whole = _argument_text(node)
            return cost, lambda subject: read(subject) in whole
        return self._wrong(path, "expected an array, or a string that the value is a part of")

    def _contains(self, node: Node, path: str, paths: _Paths) -> _Costed:
        if not isinstance(node.value, str):
            return self._wrong(path, "expected a string")
        part = _argument_text(node)
        cost, read = _value_reader(paths)
        self.searches = True

        def contains(subject: EventSubject) -> bool:
            value = read(subject)
            if len(value) > SEARCHED_LENGTH:
                value = value[:SEARCHED_LENGTH]
            STEPS.take(1 + (len(value) >> 6))
            return part in value

        return cost + 1, contains

    def _regex(self, node: Node, path: str, paths: _Paths) -> _Costed:
        if not isinstance(node.value, str):
            return self._wrong(path, "expected a string, a regular expression")
        try:
            search = go_pattern(_argument_text(node))
        except BadPattern as error:
            return self._wrong(path, str(error))
        cost, read = _value_reader(paths)
        self.searches = True

        def matches(subject: EventSubject) -> bool:
            found = search(read(subject))
            if STEPS.left < 0:
                raise TooManySteps
            return found

        return cost + 1, matches


def _argument_text(node: Node) -> str:
    """Return a value of a filter as gjson's ``String()`` does."""
    return to_string(node.source.encode("utf-8", "replace"))


def _pass_none(_subject: EventSubject) -> bool:
    return False


def _pass_every(_subject: EventSubject) -> bool:
    return True


def _sort_by_cost(costed: Iterable[_Costed]) -> tuple[int, list[Predicate]]:
    """Return the cost of several tests, and these from cheap to dear."""
    ordered = sorted(costed, key=lambda one: one[0])
    return (ordered[-1][0] if ordered else _TYPE), [passes for _cost, passes in ordered]


def _join_all(costed: Iterable[_Costed]) -> _Costed:
    cost, tests = _sort_by_cost(costed)
    if not tests:
        return cost, _pass_every
    if len(tests) == 1:
        return cost, tests[0]

    def pass_all(subject: EventSubject) -> bool:
        for passes in tests:  # noqa: SIM110 - a generator takes twice as long
            if not passes(subject):
                return False
        return True

    return cost, pass_all


def _join_any(costed: Iterable[_Costed]) -> _Costed:
    cost, tests = _sort_by_cost(costed)
    if not tests:
        return cost, _pass_none
    if len(tests) == 1:
        return cost, tests[0]

    def pass_any(subject: EventSubject) -> bool:
        for passes in tests:  # noqa: SIM110 - a generator takes twice as long
            if passes(subject):
                return True
        return False

    return cost, pass_any


# -- what is compared


def _append_path(paths: _Paths, steps: tuple[Step, ...]) -> _Paths:
    """Return where a value is that is at a path inside another."""
    if paths and "#" not in paths[-1]:
        return (*paths[:-1], (*paths[-1], *steps))
    return (*paths, steps)


def _value_reader(paths: _Paths) -> tuple[int, Callable[[EventSubject], str]]:
    """Return the cost of reading a value of an event, and a function that returns it as a string."""
    if paths == (("post_type",),):
        return _TYPE, lambda subject: subject.post_type
    # Not a tuple: the hash of a string is computed once.
    key = f"gjson {paths!r}"

    def read(subject: EventSubject) -> str:
        text: str | None = subject.memo.get(key)
        if text is None:
            text = subject.memo[key] = to_string(_find_value(subject, paths))
        return text

    if not paths:
        return _EVENT, read
    alone = len(paths) == 1 and len(paths[0]) == 1
    if paths[0][0] == "message":
        return (_MESSAGE, _read_message) if alone else (_SEGMENTS, read)
    return (_MEMBER if alone else _PATH), read


#: Of the memo of a subject: the message as a string.
_MESSAGE_KEY = "gjson 'message'"


def _read_message(subject: EventSubject) -> str:
    """Return the message as a string with CQ codes; a message that is none, such as a number, as a string."""
    text: str | None = subject.memo.get(_MESSAGE_KEY)
    if text is None:
        text = subject.cq() if _has_segments(subject) else to_string(subject.raw_member("message"))
        subject.memo[_MESSAGE_KEY] = text
    return text


def _has_segments(subject: EventSubject) -> bool:
    """Return whether an event is a message, and its member ``message`` has one of the forms of one."""
    return subject.post_type == "message" and subject.raw_member("message")[:1] in (b'"', b"[", b"{")


def _find_value(subject: EventSubject, paths: _Paths) -> bytes:
    """Return the JSON text of a value of an event; empty where it has none."""
    if not paths:
        return subject.raw.strip()
    name, *inside = paths[0]
    if not isinstance(name, str):
        return b""
    into_message = name == "message" and inside and _has_segments(subject)
    raw = subject.raw_segments() if into_message else subject.raw_member(name)
    if inside:
        each = 16 if any(step == "#" or not isinstance(step, str) for step in inside) else 1
        STEPS.take(each * raw.count(b",") + (len(raw) >> 5))
    for steps in (tuple(inside), *paths[1:]):
        raw = get_value(raw, steps)
    return raw
