"""Values of Milky's JSON objects, read whatever their type is: any of them may be missing, null or wrong."""

from __future__ import annotations

from typing import Any

from lgtwist.onebot.values import read_boolean, read_integer, read_text

#: What a number of a person, a group or a message may be: what every program holds exactly.
LARGEST_NUMBER = 2**53 - 1


def text_at(data: dict[str, Any], key: str) -> str:
    """Return a string; a number is one of digits, and anything else, or nothing, is empty."""
    value = data.get(key)
    return value if type(value) is str else read_text(value) or ""


def number_at(data: dict[str, Any], key: str) -> int:
    """Return a whole number from 0 to :data:`LARGEST_NUMBER`, also from a string; anything else is 0."""
    value = data.get(key)
    if type(value) is not int:
        value = read_integer(value)
        if value is None:
            return 0
    return value if 0 <= value <= LARGEST_NUMBER else 0


def boolean_at(data: dict[str, Any], key: str) -> bool:
    """Return a boolean; anything that is none is false."""
    value = data.get(key)
    return value if type(value) is bool else bool(read_boolean(value))


def object_at(data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an object; anything else is empty. It is not to be changed."""
    value = data.get(key)
    return value if type(value) is dict else {}


def list_at(data: dict[str, Any], key: str) -> list[Any]:
    """Return a list; anything else is empty. It is not to be changed."""
    value = data.get(key)
    return value if type(value) is list else []


def objects_at(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the objects in a list; what else is in it is left out, and anything but a list is empty."""
    return [one for one in list_at(data, key) if type(one) is dict]
