"""Parameters of actions, converted as implementations do (OneBot 11, ``communication/http.md``).

Frameworks send numbers as strings, and booleans as 0 and 1.
"""

from __future__ import annotations

from typing import Any

import msgspec

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.message import MessageReader, Segment, read_message
from lgtwist.onebot.rawjson import DECODE_ERRORS
from lgtwist.sandbox.bounds import MAX_FORWARD, CheckedMessage, bounded_text, check_message, check_values

#: The default of parameters that have none.
_REQUIRED = object()
#: Strings that are booleans, in lower case.
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off", "")


class Params:
    """The ``params`` of one action.

    All methods that return a value raise :class:`BadRequest`, which names the parameter, if it is missing
    and there is no default, or if it cannot be converted.

    :param raw: one JSON object.
    :raises BadRequest: if it is not a JSON object, or has too many values.
    """

    def __init__(self, raw: bytes) -> None:
        self._path = "params"
        check_values(raw)
        try:
            self._values = msgspec.json.decode(raw, type=dict[str, Any])
        except DECODE_ERRORS as error:
            raise BadRequest(f"params cannot be read: {error}") from None

    @classmethod
    def from_values(cls, values: dict[str, Any], path: str) -> Params:
        """Return parameters from a decoded object that is nested in others.

        :param path: where the object is, for errors, such as ``params.members[0]``.
        """
        params = cls(b"{}")
        params._values, params._path = values, path
        return params

    def has(self, name: str) -> bool:
        """Return whether a parameter is given and not null."""
        return self._values.get(name) is not None

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
        """Return a whole number of 64 bits; strings of digits and floats without fraction are converted."""
        value = self._get(name, default)
        if isinstance(value, str):
            value = int(value) if len(value) <= 20 and _is_integer(value.strip()) else None
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
            raise BadRequest(f"{self._path}.{name}: expected an integer")
        return value

    def optional_integer(self, name: str) -> int | None:
        """Return a whole number as :meth:`integer` does, or None where it is not given."""
        return self.integer(name) if self.has(name) else None

    def boolean(self, name: str, default: Any = _REQUIRED) -> bool:
        """Return a boolean; 0, 1 and the strings in ``_TRUE`` and ``_FALSE`` are converted."""
        value = self._get(name, default)
        if isinstance(value, bool):
            return value
        text = str(value).lower() if isinstance(value, (str, int)) else "?"
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise BadRequest(f"{self._path}.{name}: expected a boolean")

    def text(self, name: str, default: Any = _REQUIRED, longest: int | None = None) -> str:
        """Return a string; numbers are converted to decimal digits.

        :param longest: characters that it may have; None for a string that is not kept.
        """
        value = self._get(name, default)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str):
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
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise BadRequest(f"{self._path}.{name}: expected a list of objects")
        return [Params.from_values(item, f"{self._path}.{name}[{n}]") for n, item in enumerate(value)]

    def message(self, name: str = "message") -> list[Segment]:
        """Return a message as segments; with the parameter ``auto_escape`` a string is plain text.

        A message that cannot be kept is refused; see :func:`check_message`.
        """
        value = self._get(name, _REQUIRED)
        if isinstance(value, CheckedMessage):
            return value
        path = f"{self._path}.{name}"
        message = read_message(value, path, self.boolean("auto_escape", False))
        check_message(message, path)
        return message

    def nodes(self, name: str = "messages") -> list[Segment]:
        """Return the nodes of a forwarded message, at least one; the content of each is an array of segments.

        A node that names a message by its ``id`` has no content.
        """
        value = self._get(name, _REQUIRED)
        if isinstance(value, CheckedMessage):
            return value
        reader = MessageReader()  # its bounds count for the contents of all nodes
        nodes = reader.read(value, f"{self._path}.{name}")
        for number, node in enumerate(nodes):
            path = f"{self._path}.{name}[{number}]"
            if node["type"] != "node":
                raise BadRequest(f"{path}: expected a node")
            data = dict(node["data"])
            if "id" not in data or "content" in data:
                data["content"] = reader.read(data.get("content", []), f"{path}.data.content")
            nodes[number] = {"type": "node", "data": data}
        if not nodes:
            raise BadRequest(f"{self._path}.{name}: there is no node")
        check_message(nodes, f"{self._path}.{name}", MAX_FORWARD)
        return nodes


def _is_integer(text: str) -> bool:
    digits = text[1:] if text[:1] == "-" else text
    return digits.isascii() and digits.isdigit()
