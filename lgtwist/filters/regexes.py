r"""Regular expressions of Go and of JavaScript, searched by RE2: in linear time, whatever the pattern.

Go's are RE2's. JavaScript's are rewritten: as in a ``RegExp`` without the flag ``u``, a character outside the
Basic Multilingual Plane is two code units, each of which matches ``.`` and counts as one. What differs still:
a pattern of nothing but ``\B`` also matches inside of a character that is not ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from lgtwist.filters.subject import SEARCHED_LENGTH, STEPS

#: Whether a text has a match. Of a long text, the first ``SEARCHED_LENGTH`` characters are searched. It
#: counts its steps, and leaves it to the filter to look whether there are too many.
Search = Callable[[str], bool]

#: Characters that a pattern may have.
MAX_PATTERN = 16_384
#: Instructions of RE2 that a pattern may need.
MAX_PROGRAM = 20_000
#: Places of a pattern at all of which RE2 may be at once: dots, classes and branches, and what counts
#: such as ``{1,200}`` add, each for what it repeats. With the worst of texts of 64 KiB it takes some 0.3 s
#: then, at 2000 four seconds.
MAX_PLACES = 300
#: Bytes that RE2 may use for the states of one pattern, at least; more for large ones, which it would search
#: much slower with so few. Its own bound is 8 MiB, which each of a thousand patterns could come to take.
_MIN_MEMORY, _MAX_MEMORY = 1 << 20, 8 << 20
_MEMORY_PER_INSTRUCTION = 3_000
#: Characters from which on a text's bytes are kept, for other patterns that search it.
_LONG_TEXT = 1_024
#: Groups inside groups of one of JavaScript's: each is a level of Python's recursion here.
_MAX_GROUPS = 100
#: The largest count that RE2 accepts in ``{n}``.
_MAX_COUNT = 1_000


class BadPattern(ValueError):
    """A regular expression cannot be used; the argument is a sentence that says why."""


#: The searches that filters have, for others with equal patterns: a filter that is gone leaves nothing.
_searches: WeakValueDictionary[tuple[str, str | None], Search] = WeakValueDictionary()


def go_pattern(text: str) -> Search:
    """Return a function that tells whether a text has a match of one of Go's regular expressions.

    :raises BadPattern: if it is none.
    """
    search = _searches.get((text, None))
    if search is None:
        search = _searches[text, None] = _make_go_search(text)
    return search


def _make_go_search(text: str) -> Search:
    if len(text) > MAX_PATTERN:
        raise _too_long()
    unquoted = _QUOTED.sub("", text)
    for found in _ESCAPE.finditer(unquoted):
        if found[0] == "\\C":
            raise BadPattern(r"\C, a single byte, is not accepted; write . for a character")
    weight = _weigh(_check_places(unquoted))
    search = _compile(_encode_runes(text))

    def matches(subject: str) -> bool:
        if len(subject) < _LONG_TEXT:
            STEPS.left -= _STEPS_TO_SEARCH + (len(subject) * weight >> 6)
            return search(_encode_runes(subject)) is not None
        STEPS.left -= min(len(subject), SEARCHED_LENGTH) * weight >> 6
        return search(_encode_long_runes(subject[:SEARCHED_LENGTH])) is not None

    return matches


def javascript_pattern(text: str, options: str = "") -> Search:
    """Return a function that tells whether a text has a match of one of JavaScript's regular expressions.

    :param options: of ``i``, ``m`` and ``s``.
    :raises BadPattern: if it is none, or has look-around or back references, which RE2 does not have.
    """
    search = _searches.get((text, options))
    if search is None:
        search = _searches[text, options] = _make_javascript_search(text, options)
    return search


def _make_javascript_search(text: str, options: str) -> Search:
    for option in options:
        if option not in "ims":
            raise BadPattern(f"the option {option!r} is not known; expected some of i, m and s")
        if options.count(option) > 1:
            raise BadPattern(f"the option {option!r} is given twice")
    if len(text) > MAX_PATTERN:
        raise _too_long()
    rewritten = _JavaScript(_to_code_units(text), options).rewrite()
    multiline = "m" in options
    weight = _weigh(_check_places(text, multiline))
    search = _compile(rewritten.encode())

    def matches(subject: str) -> bool:
        if len(subject) < _LONG_TEXT:
            STEPS.left -= _STEPS_TO_SEARCH + (len(subject) * weight >> 6)
            return search(_encode_units(subject, multiline)) is not None
        STEPS.left -= min(len(subject), SEARCHED_LENGTH) * weight >> 6
        return search(_encode_long_units(subject[:SEARCHED_LENGTH], multiline)) is not None

    return matches


def _too_long() -> BadPattern:
    return BadPattern(f"it has more than {MAX_PATTERN} characters")


# -- RE2

_ESCAPE = re.compile(r"\\.", re.DOTALL)
_QUOTED = re.compile(r"(?<!\\)(?:\\\\)*\\Q.*?(?:\\E|$)", re.DOTALL)
#: A count; the beginning and the end of a group; a class, an escape, or any other character.
_COUNTED_PART = re.compile(
    r"\{([0-9]+)(?:,([0-9]*))?\}"
    r"|(\((?:\?(?:P?<\w*>|[A-Za-z-]*:)?)?)|(\))"
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]?|\\x\{[0-9a-fA-F]*\}|\\[pP]\{[^}]*\}|\\.|.",
    re.DOTALL,
)
#: Letters of escapes that match more than one character.
_WIDE_ESCAPES = frozenset("dDsSwWpPX")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _encode_runes(text: str) -> bytes:
    """Return UTF-8 of a text, with U+FFFD in place of lone surrogates, as Go reads them from JSON."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text).encode()


#: The bytes of the last long texts: two hundred bots may search the same one.
_encode_long_runes = lru_cache(4)(_encode_runes)


#: Steps of a search in a text of nothing.
_STEPS_TO_SEARCH = 16


def _weigh(places: int) -> int:
    """Return how many steps a search takes, at most, for 64 characters of a text."""
    return 1 + 16 * places


def _check_places(pattern: str, multiline: bool = False) -> int:
    """Check at how many places of a pattern RE2 may be at the same time.

    Not where it begins with ``^`` and neither loops nor branches: then it is at one.

    :param multiline: whether ``^`` matches at each line.
    :returns: the places.
    :raises BadPattern: if they are more than :data:`MAX_PLACES`.
    """
    if pattern.startswith("^") and not multiline and not any(sign in pattern for sign in "*+|"):
        return 0
    alone = 0  # characters, and what is repeated without end: they add nothing, unless a count repeats them
    weights = [0]  # of each group that is open, with the counts
    branches = [False]  # whether it has more than one
    last = 0  # the weight of what a count would repeat
    for found in _COUNTED_PART.finditer(pattern):
        part = found[0]
        if found[1]:
            times = max(int(digits[:5]) for digits in (found[1], found[2]) if digits)
            weights[-1] += last * (max(times, 1) - 1)
            last *= max(times, 1)
        elif found[3]:
            weights.append(0)
            branches.append(False)
        elif found[4]:
            if len(weights) > 1:
                last = weights.pop() + branches.pop()
                weights[-1] += last
            else:
                last = 0
        elif part == "|":
            branches[-1] = len(branches) > 1
        elif part not in ("*", "+", "?", "^", "$"):
            last = 1
            weights[-1] += 1
            is_wide = part == "." or part[0] == "[" or (part[0] == "\\" and part[1:2] in _WIDE_ESCAPES)
            alone += not is_wide or pattern[found.end() : found.end() + 1] in ("*", "+")
    places = sum(weights) + sum(branches) - alone
    if places > MAX_PLACES:
        raise BadPattern(
            f"its dots, classes and branches, and what its counts {{n}} repeat, are {places} places in all; "
            f"at most {MAX_PLACES} are accepted: write * or +, or begin with ^ and have no *, + and |"
        )
    return places


def _compile(pattern: bytes) -> Callable[[bytes], Any]:
    """Return the search of a pattern of RE2's: a function that returns None where there is no match.

    :raises BadPattern: if RE2 does not accept it, or it is too large.
    """
    import re2  # takes 10 ms: only where there is a pattern

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        words = error.args[0] if error.args else ""
        words = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
        raise BadPattern(_say(words, pattern)) from None
    if compiled.programsize > MAX_PROGRAM:
        raise BadPattern(
            f"it is too large: RE2 needs {compiled.programsize} instructions for it, "
            f"and may have {MAX_PROGRAM}"
        )
    options.max_mem = min(max(_MIN_MEMORY, _MEMORY_PER_INSTRUCTION * compiled.programsize), _MAX_MEMORY)
    search: Callable[[bytes], Any] = re2.compile(pattern, options).search
    return search


#: Characters of a part of a pattern that are shown.
_SHOWN_PART = 80

_LOOK_AHEAD = "look-ahead, (?=...) or (?!...), is not possible: RE2 does not have it"
_LOOK_BEHIND = "look-behind, (?<=...) or (?<!...), is not possible: RE2 does not have it"
_BACK_REFERENCE = r"a back reference, such as \1, is not possible: RE2 does not have it"


def _clip(part: str) -> str:
    """Return a part of a pattern for a sentence: one line, not long."""
    shown = "".join(sign if sign.isprintable() else "\ufffd" for sign in part[:_SHOWN_PART])
    return shown if len(part) <= _SHOWN_PART else f"{shown}..."


def _say(error: str, pattern: bytes) -> str:
    """Return a sentence for an error of RE2's."""
    kind, _, part = error.partition(": ")
    if kind.startswith("invalid perl operator"):
        if part in ("(?=", "(?!"):
            return _LOOK_AHEAD
        if part in ("(?<=", "(?<!"):
            return _LOOK_BEHIND
        if part == "(?P" and b"(?P=" in pattern:
            return _BACK_REFERENCE
    if kind == "invalid escape sequence" and re.fullmatch(r"\\(?:[1-9]|k)", part):
        return _BACK_REFERENCE
    if "too large" in error:
        return "it is too large for RE2"
    if kind == "invalid repetition size":
        return f"RE2 does not accept the count {_clip(part)}: at most {_MAX_COUNT}, with what it is inside of"
    return f"RE2 does not accept it: {_clip(error)}"


# -- JavaScript

_ASTRAL = re.compile("[\U00010000-\U0010ffff]")

#: Code units, as ranges of them, both ends included.
_Ranges = list[tuple[int, int]]
_LAST = 0xFFFF
_DIGIT_RANGES: _Ranges = [(0x30, 0x39)]
_WORD_RANGES: _Ranges = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
#: WhiteSpace and LineTerminator of ECMA-262.
_SPACE_RANGES: _Ranges = [
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
]
_LINE_ENDS: _Ranges = [(0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029)]
_CLASS_ESCAPES = {"d": _DIGIT_RANGES, "w": _WORD_RANGES, "s": _SPACE_RANGES}
_LETTER_ESCAPES = {"f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09, "v": 0x0B}
_BRACES = re.compile(r"\{([0-9]+)(,([0-9]*))?\}")
_GROUP_NAME = re.compile(r"\(\?<(?![=!])([^>()]*)>")
_OCTAL = re.compile(r"[0-3][0-7]{0,2}|[4-7][0-7]?")


def _to_code_units(text: str) -> str:
    """Return a text whose characters are UTF-16's code units, those of pairs too."""
    if text.isascii():
        return text
    if len(text) < _LONG_TEXT:
        return _ASTRAL.sub(_split_pair, text)
    units = text.encode("utf-16-le", "surrogatepass")
    widened = bytearray(2 * len(units))
    widened[0::4], widened[1::4] = units[0::2], units[1::2]
    return widened.decode("utf-32-le", "surrogatepass")


def _split_pair(found: re.Match[str]) -> str:
    code = ord(found[0]) - 0x10000
    return chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))


#: With the option ``m``, a line end stands between line feeds, which RE2's ``^`` and ``$`` look for. In its
#: place is a character behind all code units.
_BEHIND = 0x10000


def _encode_units(text: str, multiline: bool) -> bytes:
    """Return the bytes of a text as RE2 searches it for one of JavaScript's patterns."""
    units = _to_code_units(text)
    if multiline:
        for end in "\n\r\u2028\u2029":  # first the line feed, which stands around the others
            if end in units:
                units = units.replace(end, f"\n{chr(_BEHIND + ord(end))}\n")
    return units.encode("utf-8", "surrogatepass")


#: The bytes of the last long texts.
_encode_long_units = lru_cache(4)(_encode_units)


def _negate(ranges: _Ranges) -> _Ranges:
    """Return the code units that are in none of the ranges."""
    negated, at = [], 0
    for start, end in sorted(ranges):
        if start > at:
            negated.append((at, start - 1))
        at = max(at, end + 1)
    return [*negated, (at, _LAST)] if at <= _LAST else negated


def _write_ranges(ranges: _Ranges) -> str:
    """Return RE2's class of code units; of none of them where there are no ranges."""
    if not ranges:
        return r"[^\x{0}-\x{10ffff}]"
    return "[" + "".join(rf"\x{{{start:x}}}-\x{{{end:x}}}" for start, end in sorted(ranges)) + "]"


@lru_cache(1)
def _cases() -> dict[int, _Ranges]:
    """Return, for each code unit that ignoring case makes equal to others, all of these.

    As Canonicalize of ECMA-262 has it for a ``RegExp`` without ``u``: by the capital letter, if that is one
    code unit; what is not ASCII is not equal to what is.
    """
    equal: dict[int, list[int]] = {}
    for code in range(_LAST + 1):
        capital = chr(code).upper()
        unit = ord(capital) if len(capital) == 1 else code
        if unit > _LAST or (code >= 0x80 > unit):
            unit = code
        equal.setdefault(unit, []).append(code)
    return {
        code: [(other, other) for other in codes]
        for codes in equal.values()
        if len(codes) > 1
        for code in codes
    }


class _JavaScript:
    """Rewrites one of JavaScript's patterns (ECMA-262, Patterns, with annex B) for RE2.

    :param pattern: code units.
    :param options: of ``i``, ``m`` and ``s``.
    """

    def __init__(self, pattern: str, options: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0
        self._groups = 0
        self._ignore_case = "i" in options
        self._multiline = "m" in options
        self._dot = self._write([(0, _LAST)] if "s" in options else _negate(_LINE_ENDS))
        self._start, self._end = ("(?m:^)", "(?m:$)") if self._multiline else (r"\A", r"\z")
        self._count_groups()

    def _count_groups(self) -> None:
        """Count the groups that capture, and look at their names."""
        outside = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]?", "", self._pattern, flags=re.DOTALL)
        names = _GROUP_NAME.findall(outside)
        self._groups = len(re.findall(r"\((?!\?)", outside)) + len(names)
        self._names = set(names)
        for name in names:
            if not name.replace("$", "_").isidentifier():
                raise BadPattern(f"a group's name is expected to be letters and digits, not {_clip(name)!r}")
        if len(self._names) < len(names):
            raise BadPattern("two groups have the same name")

    def rewrite(self) -> str:
        """Return RE2's pattern.

        :raises BadPattern: if it is none of JavaScript's, or RE2 cannot have it.
        """
        rewritten = self._disjunction()
        if self._at < len(self._pattern):
            raise self._wrong("a ) has no (")
        return rewritten

    def _wrong(self, words: str) -> BadPattern:
        return BadPattern(f"{words} (at character {self._at + 1})")

    def _write(self, ranges: _Ranges) -> str:
        """Return what matches one of some code units."""
        written = _write_ranges(ranges)
        if not self._multiline:
            return written
        ends = [
            (_BEHIND + code, _BEHIND + code)
            for code in (0x0A, 0x0D, 0x2028, 0x2029)
            if any(start <= code <= end for start, end in ranges)
        ]
        if not ends:
            return written
        others = _write_ranges(_negate([*_negate(ranges), *_LINE_ENDS]))
        return rf"(?:{others}|\n{_write_ranges(ends)}\n)"

    def _disjunction(self) -> str:
        """Return what stands up to the end, or to the ``)`` of the group that it is inside of."""
        parts: list[str] = []
        while self._at < len(self._pattern) and self._pattern[self._at] != ")":
            sign = self._pattern[self._at]
            if sign == "|":
                self._at += 1
                parts.append("|")
                continue
            atom, repeatable = self._term(sign)
            count = self._quantifier()
            if count and not repeatable:
                raise self._wrong("there is nothing to repeat before *, +, ? or {n}")
            parts.append(f"(?:{atom}){count}" if count else atom)
        return "".join(parts)

    def _term(self, sign: str) -> tuple[str, bool]:
        """Return one atom or assertion, and whether it may be repeated."""
        self._at += 1
        if sign == "^":
            return self._start, False
        if sign == "$":
            return self._end, False
        if sign == ".":
            return self._dot, True
        if sign == "(":
            return self._group(), True
        if sign == "[":
            return self._class(), True
        if sign == "\\":
            return self._escape()
        if sign in "*+?" or (sign == "{" and _BRACES.match(self._pattern, self._at - 1)):
            self._at -= 1
            raise self._wrong("there is nothing to repeat before *, +, ? or {n}")
        return self._character(ord(sign)), True

    def _character(self, code: int) -> str:
        """Return what matches one code unit."""
        others = _cases().get(code) if self._ignore_case else None
        if others is None and not self._multiline:
            return rf"\x{{{code:x}}}"
        return self._write(others or [(code, code)])

    def _group(self) -> str:
        rest = self._pattern[self._at : self._at + 3]
        if rest[:1] == "?":
            if rest[:2] in ("?=", "?!"):
                raise BadPattern(_LOOK_AHEAD)
            if rest in ("?<=", "?<!"):
                raise BadPattern(_LOOK_BEHIND)
            if rest[:2] == "?:":
                self._at += 2
            elif named := _GROUP_NAME.match(self._pattern, self._at - 1):
                self._at = named.end()
            elif rest[:2] == "?P":
                raise self._wrong("JavaScript writes a named group (?<name>...), not (?P<name>...)")
            else:
                raise self._wrong('JavaScript has no flags inside a pattern; write them as "$options"')
        self._depth += 1
        if self._depth > _MAX_GROUPS:
            raise BadPattern(f"it has more than {_MAX_GROUPS} groups inside each other")
        inner = self._disjunction()
        self._depth -= 1
        if self._at >= len(self._pattern):
            raise self._wrong("a ( has no )")
        self._at += 1
        return f"(?:{inner})"

    def _quantifier(self) -> str:
        """Return the quantifier that stands here; empty if there is none."""
        sign = self._pattern[self._at : self._at + 1]
        if sign and sign in "*+?":
            self._at += 1
        elif sign == "{" and (found := _BRACES.match(self._pattern, self._at)):
            low, high = found[1], found[3]
            if max(len(low.lstrip("0")), len((high or "").lstrip("0"))) > 4 or int(low) > _MAX_COUNT:
                raise self._too_often(found[0])
            if high:
                if int(high) > _MAX_COUNT:
                    raise self._too_often(found[0])
                if int(high) < int(low):
                    raise self._wrong(f"the counts of {_clip(found[0])} are out of order")
                sign = f"{{{int(low)},{int(high)}}}"
            else:
                sign = f"{{{int(low)}{',' if found[2] else ''}}}"
            self._at = found.end()
        else:
            return ""
        if self._pattern[self._at : self._at + 1] == "?":  # lazy: whether there is a match is the same
            self._at += 1
        return sign

    def _too_often(self, count: str) -> BadPattern:
        return self._wrong(f"RE2 does not accept the count {_clip(count)}: at most {_MAX_COUNT}")

    def _escape(self) -> tuple[str, bool]:
        """Return what an escape outside of a class matches, and whether it may be repeated."""
        sign = self._pattern[self._at : self._at + 1]
        if sign in ("b", "B"):
            self._at += 1
            return f"\\{sign}", False
        if sign and sign in "123456789":
            digits = re.compile("[0-9]+").match(self._pattern, self._at)
            assert digits is not None
            if len(digits[0]) < 5 and int(digits[0]) <= self._groups:
                raise BadPattern(_BACK_REFERENCE)
        if sign == "k" and (self._names or self._pattern[self._at + 1 : self._at + 2] == "<"):
            raise BadPattern(_BACK_REFERENCE)
        ranges = self._class_escape()
        if ranges is not None:
            return self._write(ranges), True
        return self._character(self._character_escape(in_class=False)), True

    def _class_escape(self) -> _Ranges | None:
        r"""Return what ``\d``, ``\s``, ``\w`` or their opposites match; None if none stands here."""
        sign = self._pattern[self._at : self._at + 1]
        ranges = _CLASS_ESCAPES.get(sign.lower())
        if ranges is None:
            return None
        self._at += 1
        return ranges if sign.islower() else _negate(ranges)

    def _character_escape(self, *, in_class: bool) -> int:
        """Return the code unit of an escape, whose backslash stands before the current place."""
        pattern, at = self._pattern, self._at
        if at >= len(pattern):
            self._at -= 1
            raise self._wrong(r"a \ stands at the end")
        sign = pattern[at]
        self._at += 1
        if sign in _LETTER_ESCAPES:
            return _LETTER_ESCAPES[sign]
        if sign == "b" and in_class:
            return 0x08
        if octal := _OCTAL.match(pattern, at):
            self._at = octal.end()
            return int(octal[0], 8)
        if sign in "xu":
            return self._hexadecimal(sign)
        if sign in "pP" and pattern[self._at : self._at + 1] == "{":
            self._unicode_only(rf"\{sign}{{...}}")
        if sign == "c":
            letter = pattern[self._at : self._at + 1]
            if letter.isascii() and (letter.isalpha() or (in_class and (letter.isdigit() or letter == "_"))):
                self._at += 1
                return ord(letter) % 32
            self._at -= 1  # the backslash stands for itself
            return 0x5C
        return ord(sign)

    def _hexadecimal(self, sign: str) -> int:
        length = 2 if sign == "x" else 4
        digits = self._pattern[self._at : self._at + length]
        if re.fullmatch(f"[0-9a-fA-F]{{{length}}}", digits):
            self._at += length
            return int(digits, 16)
        if sign == "u" and digits[:1] == "{":
            self._unicode_only(r"\u{...}")
        return ord(sign)

    def _unicode_only(self, what: str) -> NoReturn:
        raise self._wrong(
            rf"{what} means that only with JavaScript's flag u; write \uXXXX, or a range of these"
        )

    def _class(self) -> str:
        r"""Return a class, behind its ``[``.

        A ``-`` next to ``\d`` and the like is itself.
        """
        negated = self._pattern[self._at : self._at + 1] == "^"
        self._at += negated
        ranges: _Ranges = []
        while (sign := self._pattern[self._at : self._at + 1]) != "]":
            if not sign:
                raise self._wrong("a [ has no ]")
            first = self._class_atom()
            if self._pattern[self._at : self._at + 1] != "-" or self._pattern[
                self._at + 1 : self._at + 2
            ] in ("", "]"):
                ranges += first
                continue
            self._at += 1
            second = self._class_atom()
            if (
                len(first) != 1
                or len(second) != 1
                or first[0][0] != first[0][1]
                or second[0][0] != second[0][1]
            ):
                ranges += [*first, (0x2D, 0x2D), *second]
            elif first[0][0] > second[0][0]:
                raise self._wrong("a range of a class is out of order")
            else:
                ranges.append((first[0][0], second[0][0]))
        self._at += 1
        if self._ignore_case:
            ranges = self._with_cases(ranges)
        return self._write(_negate(ranges) if negated else ranges)

    def _class_atom(self) -> _Ranges:
        sign = self._pattern[self._at]
        self._at += 1
        if sign != "\\":
            return [(ord(sign), ord(sign))]
        ranges = self._class_escape()
        if ranges is not None:
            return ranges
        code = self._character_escape(in_class=True)
        return [(code, code)]

    @staticmethod
    def _with_cases(ranges: _Ranges) -> _Ranges:
        """Return ranges with what ignoring case makes equal to something in them."""
        listed = bytearray(_LAST + 1)
        for start, end in ranges:
            listed[start : end + 1] = b"\1" * (end + 1 - start)
        added = {other for code, others in _cases().items() if listed[code] for other in others}
        return [*ranges, *added]
