"""Parameters of actions, converted as implementations do (OneBot 11, ``communication/http.md``).

Frameworks send numbers as strings, and booleans as 0 and 1; see :mod:`lgtwist.onebot.values`. A lone
surrogate in a text becomes U+FFFD.
"""

from __future__ import annotations

from typing import Any, TypeVar

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.rawjson import DECODE_ERRORS, decode_value
from lgtwist.onebot.values import is_given, read_boolean, read_integer, read_text

_Params = TypeVar("_Params", bound="ActionParams")

#: JSON values that the parameters of one action may have: members, and items of arrays.
MAX_VALUES = 20_000
#: Parameters of fewer bytes cannot have too many values to be decoded at once.
_FEW_BYTES = 1 << 16


def check_values(raw: bytes) -> None:
    """Check that JSON has at most :data:`MAX_VALUES` values, without decoding it.

    :raises BadRequest: if it has more.
    """
    if len(raw) < _FEW_BYTES or raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= MAX_VALUES:
        return
    # Those inside of strings do not count. Every second part between quotation marks is a string.
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    parts = raw.split(b'"', 4 * MAX_VALUES)
    if len(parts) <= 4 * MAX_VALUES:
        outside = b"".join(parts[::2])
        if outside.count(b",") + outside.count(b"[") + outside.count(b"{") <= MAX_VALUES:
            return
    raise BadRequest(f"params: more than {MAX_VALUES} values")


def bounded_text(text: str, path: str, longest: int) -> str:
    """Return a text.

    :raises BadRequest: if it has more than ``longest`` characters.
    """
    if len(text) > longest:
        raise BadRequest(f"{path}: more than {longest} characters")
    return text


#: The default of parameters that have none.
REQUIRED = object()


class ActionParams:
    """The ``params`` of one action.

    All methods that return a value raise :class:`BadRequest`, which names the parameter, if it is missing
    and there is no default, or if it cannot be converted.

    :param raw: one JSON object; an empty array or null has no parameters.
    :raises BadRequest: if it is not a JSON object, or has too many values.
    """

    def __init__(self, raw: bytes) -> None:
        self._path = "params"
        check_values(raw)
        try:
            values = decode_value(raw)
        except DECODE_ERRORS as error:
            raise BadRequest(f"params cannot be read: {error}") from None
        if not isinstance(values, dict):
            if is_given(values):
                raise BadRequest("params cannot be read: expected an object")
            values = {}
        self._values: dict[str, Any] = values

    @classmethod
    def from_values(cls: type[_Params], values: dict[str, Any], path: str) -> _Params:
        """Return parameters from a decoded object that is nested in others.

        :param path: where the object is, for errors, such as ``params.members[0]``.
        """
        params = cls(b"{}")
        params._values, params._path = values, path
        return params

    def names(self) -> list[str]:
        """Return the names of the parameters that are given, in their order."""
        return [name for name in self._values if self.has(name)]

    def has(self, name: str) -> bool:
        """Return whether a parameter is given: not null, nor an empty array or object."""
        return self._values.get(name) not in (None, [], {})

    def has_number(self, name: str) -> bool:
        """Return whether a number is given that names something: not null, ``""`` or 0, which name none."""
        value = self._values.get(name)
        return is_given(value) and read_integer(value) != 0

    def path(self, name: str) -> str:
        """Return where a parameter is, for errors, such as ``params.user_id``."""
        return f"{self._path}.{name}"

    def name_of(self, *names: str) -> str:
        """Return the first of several names of a parameter under which it is given; else the first."""
        return next((name for name in names if is_given(self._values.get(name))), names[0])

    def set(self, name: str, value: Any) -> None:
        """Set a parameter, given or not."""
        self._values[name] = value

    def value(self, name: str, default: Any = REQUIRED) -> Any:
        """Return a parameter as it was decoded; ``default`` where it is missing or null."""
        value = self._values.get(name)
        if value is None:
            if default is REQUIRED:
                raise BadRequest(f"{self._path}.{name} is missing")
            return default
        return value

    def integer(self, name: str, default: Any = REQUIRED) -> int:
        """Return a whole number of 64 bits; strings of digits and floats without fraction are converted.

        An empty string is not given.
        """
        value = self.value(name, default)
        if value == "":
            if default is REQUIRED:
                raise BadRequest(f"{self._path}.{name} is missing")
            value = default
        number = read_integer(value)
        if number is None:
            raise BadRequest(f"{self._path}.{name}: expected an integer")
        return number

    def optional_number(self, name: str) -> int | None:
        """Return a number that names something, or None where it is not given; see :meth:`has_number`."""
        return self.integer(name) if self.has_number(name) else None

    def boolean(self, name: str, default: Any = REQUIRED) -> bool:
        """Return a boolean; see :func:`read_boolean`."""
        value = read_boolean(self.value(name, default))
        if value is None:
            raise BadRequest(f"{self._path}.{name}: expected a boolean")
        return value

    def text(self, name: str, default: Any = REQUIRED, longest: int | None = None) -> str:
        """Return a string; numbers are converted to decimal digits.

        :param longest: characters that it may have; None for a string that is not kept.
        """
        value = read_text(self.value(name, default))
        if value is None:
            raise BadRequest(f"{self._path}.{name}: expected a string")
        if longest is not None and self.has(name):
            return bounded_text(value, f"{self._path}.{name}", longest)
        return value

    def choice(self, name: str, words: tuple[str, ...], default: Any = REQUIRED) -> str:
        """Return a string that is one of ``words``."""
        value = self.text(name, default)
        if value not in words:
            raise BadRequest(f"{self._path}.{name}: expected {' or '.join(filter(None, words))}")
        return value

    def object(self, name: str) -> dict[str, Any]:
        """Return a JSON object, decoded."""
        value = self.value(name, REQUIRED)
        if not isinstance(value, dict):
            raise BadRequest(f"{self._path}.{name}: expected an object")
        return value

    def object_list(self: _Params, name: str) -> list[_Params]:
        """Return the parameters of each object in a list; empty where the list is not given."""
        value = self.value(name, [])
        if not is_given(value):
            return []
        if not isinstance(value, list) or not all(item is None or isinstance(item, dict) for item in value):
            raise BadRequest(f"{self._path}.{name}: expected a list of objects")
        return [
            self.from_values(item, f"{self._path}.{name}[{n}]")
            for n, item in enumerate(value)
            if item is not None
        ]
