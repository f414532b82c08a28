"""Frames of Milky's event stream, and reading the members of what is in them.

An implementation's JSON is read into structs. What is of a wrong type is converted where it can be, after the
fast decoder refused it: numbers and booleans as strings, null in place of a default value, lone surrogates.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Raw

from lgtwist.milky.fields import LARGEST_NUMBER, number_at
from lgtwist.onebot import rawjson
from lgtwist.onebot.bounds import MAX_DECODED_VALUES, has_too_many_values
from lgtwist.onebot.values import read_boolean, read_integer, read_text

_Data = TypeVar("_Data", bound=msgspec.Struct)

#: The number of a person or a group. It must be there: 0 would mean something else to a bot.
Number = Annotated[int, Meta(ge=1, le=LARGEST_NUMBER)]
#: A sequence number, a size, or seconds.
Count = Annotated[int, Meta(ge=0, le=LARGEST_NUMBER)]


#: Bytes of a frame that is translated: Milky has URLs in its events, and no contents.
LARGEST_FRAME = 2 << 20
#: The beginning of a frame that may be an object.
_BEGIN = re.compile(rb"[ \t\r\n]{0,1000}\{")


class BadFrame(ValueError):
    """A frame cannot be read as an event of Milky; the argument is a sentence that says why."""


class ForeignFrame(BadFrame):
    """A frame is of another account.

    :ivar self_id: the number of that account.
    """

    def __init__(self, self_id: int) -> None:
        super().__init__(f"it is an event of account {self_id}")
        self.self_id = self_id


def _read_positive(value: Any) -> int | None:
    number = read_integer(value)
    return number if number is not None and 0 < number <= LARGEST_NUMBER else None


def _read_count(value: Any) -> int | None:
    number = read_integer(value)
    return number if number is not None and 0 <= number <= LARGEST_NUMBER else None


#: How a member of each type is read from a decoded JSON value; None if it cannot be.
_CONVERSIONS: dict[Any, Callable[[Any], Any]] = {
    Number: _read_positive,
    Count: _read_count,
    str: read_text,
    bool: read_boolean,
}


class DataReader(Generic[_Data]):
    """Reads JSON objects of one kind.

    :param kind: a struct whose members are :data:`Number`, :data:`Count`, ``str`` or ``bool``, or perhaps
        None. Those without a default value must be there.
    """

    __slots__ = ("_conversions", "_decode", "_kind")

    def __init__(self, kind: type[_Data]) -> None:
        self._kind = kind
        self._decode = msgspec.json.Decoder(kind).decode
        hints = get_type_hints(kind, include_extras=True)
        fields = msgspec.structs.fields(kind)
        self._conversions = [
            (one.name, _conversion(hints[one.name]), one.default is NODEFAULT) for one in fields
        ]

    def read(self, text: bytes | Raw) -> _Data:
        """Return the object in a JSON text.

        :raises BadFrame: if it is none, or a member that must be there is not or is of a wrong type.
        """
        try:
            return self._decode(text)
        except rawjson.DECODE_ERRORS:
            return self.convert(decode_object(bytes(text)))

    def convert(self, members: dict[str, Any]) -> _Data:
        """Return the object with these members, converted.

        :raises BadFrame: see :meth:`read`.
        """
        values = {}
        for name, convert, is_needed in self._conversions:
            value = convert(members.get(name))
            if value is not None:
                values[name] = value
            elif is_needed:
                said = "no" if members.get(name) is None else "a wrong"
                raise BadFrame(f"its data has {said} {name}")
        return self._kind(**values)


def _conversion(hint: Any) -> Callable[[Any], Any]:
    """Return how a member is read from a decoded JSON value."""
    if hint in _CONVERSIONS:
        return _CONVERSIONS[hint]
    (inner,) = [one for one in hint.__args__ if one is not type(None)]  # such as int | None
    return _CONVERSIONS[inner]


def decode_object(text: bytes, name: str = "its data") -> dict[str, Any]:
    """Return the members of a JSON object, decoded; those of null are empty.

    Lone surrogates become U+FFFD, and numbers that are too large become strings.

    :param text: with at most ``MAX_DECODED_VALUES`` values.
    :param name: what it is called in an error.
    :raises BadFrame: if it is none.
    """
    try:
        value = rawjson.decode_value(text)
    except RecursionError:
        raise BadFrame(f"{name} is nested too deeply") from None
    except rawjson.DECODE_ERRORS as error:
        raise BadFrame(f"{name} is not JSON: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadFrame(f"{name} is not a JSON object")
    return value


class Frame(msgspec.Struct, gc=False):
    """One frame of the event stream, with the data as its bytes.

    :ivar self_id: 0 where it has none.
    :ivar time: when it was sent, in seconds since the epoch; 0 where it is not said.
    """

    event_type: str
    self_id: Count = 0
    time: Count = 0
    data: Raw = Raw(b"{}")


_decode_milky_frame = msgspec.json.Decoder(Frame).decode


def read_milky_frame(text: bytes) -> Frame:
    """Return what a frame has.

    :raises BadFrame: if it is no JSON object, has no ``event_type``, or a ``self_id`` that is no number.
    """
    if len(text) > LARGEST_FRAME:
        raise BadFrame(f"it has more than {LARGEST_FRAME} bytes")
    if not _BEGIN.match(text):  # which costs less than its decoding
        raise BadFrame("it is not a JSON object")
    if has_too_many_values(text):
        raise BadFrame(f"it has more than {MAX_DECODED_VALUES} values")
    try:
        return _decode_milky_frame(text)
    except rawjson.DECODE_ERRORS:
        members = decode_object(text, "it")
    event_type, self_id = read_text(members.get("event_type")), members.get("self_id")
    if not event_type:
        raise BadFrame("it has no event_type")
    number = 0 if self_id is None else _read_count(self_id)
    if number is None:
        raise BadFrame("its self_id is no number")
    data = msgspec.json.encode(members.get("data"))
    return Frame(event_type, number, number_at(members, "time"), Raw(data))
