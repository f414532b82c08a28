"""Parameters of actions, converted as implementations do (OneBot 11, ``communication/http.md``).

Frameworks send numbers as strings, and booleans as 0 and 1; see :mod:`lgtwist.onebot.values`. A lone
surrogate in a text becomes U+FFFD, since the world is kept as UTF-8.
"""

from __future__ import annotations

from typing import Any

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.message import Segment
from lgtwist.onebot.rawjson import DECODE_ERRORS, decode_value
from lgtwist.onebot.values import is_given, read_boolean, read_integer, read_text
from lgtwist.sandbox.bounds import CheckedMessage, bounded_text, check_values
from lgtwist.sandbox.segments import read_nodes, read_sent_message

#: The default of parameters that have none.
_REQUIRED = object()


class Params:
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
    def from_values(cls, values: dict[str, Any], path: str) -> Params:
        """Return parameters from a decoded object that is nested in others.

        :param path: where the object is, for errors, such as ``params.members[0]``.
        """
        params = cls(b"{}")
        params._values, params._path = values, path
        return params

    def has(self, name: str) -> bool:
        """Return whether a parameter is given: not null, nor an empty array or object."""
        return self._values.get(name) not in (None, [], {})

    def has_number(self, name: str) -> bool:
        """Return whether a number is given that names something: not null, ``""`` or 0, which name none."""
        value = self._values.get(name)
        return is_given(value) and read_integer(value) != 0

    def set(self, name: str, value: Any) -> None:
        """Set a parameter, given or not."""
        self._values[name] = value

    def _get(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        if value is None:
            if default is _REQUIRED:
                raise BadRequest(f"{self._path}.{name} is missing")
            return default
        return value

    def integer(self, name: str, default: Any = _REQUIRED) -> int:
        """Return a whole number of 64 bits; strings of digits and floats without fraction are converted.

        An empty string is not given.
        """
        value = self._get(name, default)
        if value == "":
            if default is _REQUIRED:
                raise BadRequest(f"{self._path}.{name} is missing")
            value = default
        number = read_integer(value)
        if number is None:
            raise BadRequest(f"{self._path}.{name}: expected an integer")
        return number

    def optional_number(self, name: str) -> int | None:
        """Return a number that names something, or None where it is not given; see :meth:`has_number`."""
        return self.integer(name) if self.has_number(name) else None

    def boolean(self, name: str, default: Any = _REQUIRED) -> bool:
        """Return a boolean; see :func:`read_boolean`."""
        value = read_boolean(self._get(name, default))
        if value is None:
            raise BadRequest(f"{self._path}.{name}: expected a boolean")
        return value

    def text(self, name: str, default: Any = _REQUIRED, longest: int | None = None) -> str:
        """Return a string; numbers are converted to decimal digits.

        :param longest: characters that it may have; None for a string that is not kept.
        """
        value = read_text(self._get(name, default))
        if value is None:
            raise BadRequest(f"{self._path}.{name}: expected a string")
        if longest is not None and self.has(name):
            return bounded_text(value, f"{self._path}.{name}", longest)
        return value

    def choice(self, name: str, words: tuple[str, ...], default: Any = _REQUIRED) -> str:
        """Return a string that is one of ``words``."""
        value = self.text(name, default)
        if value not in words:
            raise BadRequest(f"{self._path}.{name}: expected {' or '.join(filter(None, words))}")
        return value

    def object(self, name: str) -> dict[str, Any]:
        """Return a JSON object, decoded."""
        value = self._get(name, _REQUIRED)
        if not isinstance(value, dict):
            raise BadRequest(f"{self._path}.{name}: expected an object")
        return value

    def object_list(self, name: str) -> list[Params]:
        """Return the parameters of each object in a list; empty where the list is not given."""
        value = self._get(name, [])
        if not is_given(value):
            return []
        if not isinstance(value, list) or not all(item is None or isinstance(item, dict) for item in value):
            raise BadRequest(f"{self._path}.{name}: expected a list of objects")
        return [
            Params.from_values(item, f"{self._path}.{name}[{n}]")
            for n, item in enumerate(value)
            if item is not None
        ]

    def message(self, name: str = "message") -> list[Segment]:
        """Return a message as segments; with the parameter ``auto_escape`` a string is plain text.

        One that cannot be sent is refused; see :func:`read_sent_message`. What was :meth:`set` is not read
        again.
        """
        value = self._get(name, _REQUIRED)
        if isinstance(value, CheckedMessage):
            return value
        return read_sent_message(value, f"{self._path}.{name}", self.boolean("auto_escape", False))

    def nodes(self) -> list[Segment]:
        """Return the nodes of a forwarded message: ``messages``, or ``message`` where that is not given.

        See :func:`read_nodes`.
        """
        name = "messages" if self.has("messages") or not self.has("message") else "message"
        value = self._get(name, _REQUIRED)
        if isinstance(value, CheckedMessage):
            return value
        return read_nodes(value, f"{self._path}.{name}")
