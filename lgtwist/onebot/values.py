"""Single values as programs send them: booleans and numbers as strings, whole numbers as floats.

The same for the parameters of actions, quick operations and webhooks' answers. A typed program sends what it
does not set as null, or as an empty string.
"""

from __future__ import annotations

import re
from typing import Any

#: Strings that are booleans, in lower case.
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off", "")
#: A whole number, also as a float is written.
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}(?:\.0*)?")
#: Characters that a number of 64 bits may have as a string.
_LONGEST = 32


def read_boolean(value: Any) -> bool | None:
    """Return a boolean; None if the value is none.

    :param value: a decoded JSON value: a boolean, 0 or 1, or one of the strings for these.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= _LONGEST:
        text = value.strip().lower()
        return True if text in _TRUE else False if text in _FALSE else None
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    return None


def read_integer(value: Any) -> int | None:
    """Return a whole number of 64 bits; None if the value is none.

    :param value: a decoded JSON value: a number without fraction, or a string of one.
    """
    if isinstance(value, str):
        text = value.strip() if len(value) <= _LONGEST else ""
        value = int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else None
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        return None
    return value


def read_text(value: Any) -> str | None:
    """Return a string; None if the value is neither a string nor a number.

    :param value: a decoded JSON value; a number without fraction is written without a point.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    whole = read_integer(value)
    return str(value if whole is None else whole)


def is_given(value: Any) -> bool:
    """Return whether a decoded JSON value is given: it is not null, nor an empty string, array or object."""
    return value is not None and value not in ("", [], {})
