"""JSON as programs in JavaScript, PHP, Java, Lua and Python really write it, for tests of what reads it.

:func:`programs` draws a program; ``write`` gives the bytes of a value, and :func:`meaning` what they mean.
"""

from __future__ import annotations

import json
import random
from typing import Any

from attrs import evolve, frozen
from hypothesis import strategies as st


def join_surrogates(text: str) -> str:
    """Return a text in which the two halves of a pair, once side by side, are one character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def without_surrogates(text: str) -> str:
    """Return a text with U+FFFD in place of lone surrogates."""
    return (
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\ufffd\ufffd", "\ufffd")
    )


#: Texts as people and programs write them: also with an emoji cut in its middle, and with U+0000.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.sampled_from('\ud83d\ude00\udc00\x00\n\t\x01/\\"[],&=\ufeff\ufffd\ufdd0你😀NaInfinity'),
    max_size=12,
).map(join_surrogates)
#: An account's, a person's or a group's number.
IDS = st.sampled_from([1, 10001, 1234567890, 2**53 - 1])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS | st.sampled_from([1.5, -0.25]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@frozen
class Program:
    """How a program writes JSON.

    :ivar ascii_only: it escapes all that is not ASCII (Python, PHP).
    :ivar escapes_slashes: it escapes slashes (PHP).
    :ivar whole_as_float: it has no integers: 1 is 1.0 (Lua, careless Java).
    :ivar empty_as_array: it writes an empty object as ``[]`` (PHP, Lua).
    :ivar scalars: how it writes numbers and booleans of fields that are read: as they are, as ``strings``, or
        booleans as ``numbers``.
    :ivar sends_nulls: it writes every field of its classes, those that it did not set as null (Java, C#).
    :ivar raw_controls: it does not escape control characters.
    :ivar constants: it writes NaN where it has no number (Python).
    :ivar space: what it writes between two tokens.
    :ivar bom: it begins with a byte order mark.
    :ivar seed: of the order of keys; None for that of the values. The first key is written twice, at first
        with another value, if it is odd.
    """

    ascii_only: bool = False
    escapes_slashes: bool = False
    whole_as_float: bool = False
    empty_as_array: bool = False
    scalars: str = "as they are"
    sends_nulls: bool = False
    raw_controls: bool = False
    constants: bool = False
    space: str = ""
    bom: bool = False
    seed: int | None = None

    def write(self, value: Any) -> bytes:
        """Return a value as the program writes it, in UTF-8."""
        text = self._value(value) + self.space
        return (b"\xef\xbb\xbf" if self.bom else b"") + text.encode("utf-8", "backslashreplace")

    def field(self, value: Any) -> Any:
        """Return the value of a field that is read as a number or a boolean, as this program has it."""
        if value is True or value is False:
            return {"strings": str(value), "numbers": int(value)}.get(self.scalars, value)
        return str(value) if self.scalars == "strings" else value

    def fields(self, given: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        """Return the fields of an object, with all of the names if it writes nulls."""
        return {**dict.fromkeys(names), **given} if self.sends_nulls else given

    def _value(self, value: Any) -> str:
        space = self.space
        if isinstance(value, str):
            return self._string(value)
        if isinstance(value, list):
            return f"[{space}{f'{space},'.join(map(self._value, value))}{space}]"
        if isinstance(value, dict):
            if not value and self.empty_as_array:
                return "[]"
            items = list(value.items())
            if self.seed is not None:
                random.Random(self.seed).shuffle(items)
                if self.seed % 2 and items:
                    items.insert(0, (items[-1][0], [5, "\ud83d"]))
            written = (f"{self._string(key)}{space}:{space}{self._value(item)}" for key, item in items)
            return f"{{{space}{f'{space},{space}'.join(written)}{space}}}"
        if isinstance(value, int) and not isinstance(value, bool) and self.whole_as_float:
            return f"{value}.0"
        return "NaN" if value is None and self.constants else json.dumps(value)

    def _string(self, text: str) -> str:
        written = json.dumps(text, ensure_ascii=self.ascii_only)
        if self.raw_controls:
            written = "".join(
                one if ord(one) < 32 else json.dumps(one, ensure_ascii=self.ascii_only)[1:-1] for one in text
            )
            written = f'"{written}"'
        return written.replace("/", "\\/") if self.escapes_slashes else written


#: Programs as they are known, by their language.
KNOWN = (
    Program(ascii_only=True, space=" "),  # Python
    Program(),  # JavaScript
    Program(ascii_only=True, escapes_slashes=True, empty_as_array=True, scalars="strings"),  # PHP
    Program(sends_nulls=True),  # Java
    Program(sends_nulls=True, whole_as_float=True, scalars="strings"),  # Java without types
    Program(whole_as_float=True, empty_as_array=True, scalars="numbers"),  # Lua
    Program(bom=True, space="\r\n\t"),  # Windows
)


def programs(json_only: bool = False, constants: bool = True) -> st.SearchStrategy[Program]:
    """Return a strategy of programs, known ones and any mixture.

    :param json_only: of those whose texts are JSON (RFC 8259).
    :param constants: also of those that write NaN.
    """
    flag = st.just(False) if json_only else st.booleans()
    mixed = st.builds(
        Program,
        ascii_only=st.booleans(),
        escapes_slashes=st.booleans(),
        whole_as_float=st.booleans(),
        empty_as_array=st.booleans(),
        scalars=st.sampled_from(["as they are", "strings", "numbers"]),
        sends_nulls=st.booleans(),
        raw_controls=flag,
        constants=flag if constants else st.just(False),
        space=st.sampled_from(["", " ", "\n  ", "\r\n\t"]),
        bom=flag,
        seed=st.none() | st.integers(0, 50),
    )
    known = [evolve(one, bom=one.bom and not json_only) for one in KNOWN]
    return st.sampled_from(known) | mixed


def meaning(text: bytes) -> Any:
    """Return what a program's text means: NaN and infinities are null."""
    return json.loads(
        text.removeprefix(b"\xef\xbb\xbf").decode(), strict=False, parse_constant=lambda _name: None
    )
