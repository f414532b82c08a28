"""Parameters of actions, read as frameworks really send them: numbers as strings, booleans as 0 and 1.

(OneBot 11, ``communication/http.md``: implementations convert strings.)
"""

from __future__ import annotations

from typing import Any

import msgspec

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.message import Segment, read_message
from lgtwist.onebot.rawjson import DECODE_ERRORS

_REQUIRED = object()
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off", "")


class Params:
    """The ``params`` of one action.

    :param raw: one JSON object.
    :raises BadRequest: if it cannot be read; so do all methods, naming the parameter.
    """

    def __init__(self, raw: bytes) -> None:
        self._path = "params"
        try:
            self._values = msgspec.json.decode(raw, type=dict[str, Any])
        except DECODE_ERRORS as error:
            raise BadRequest(f"params cannot be read: {error}") from None

    @classmethod
    def from_values(cls, values: dict[str, Any], path: str) -> Params:
        """An object that stands somewhere below, read the same way."""
        params = cls(b"{}")
        params._values, params._path = values, path
        return params

    def has(self, name: str) -> bool:
        """Whether a parameter is given, and not null."""
        return self._values.get(name) is not None

    def set(self, name: str, value: Any) -> None:
        """Put a parameter in the place of what was given."""
        self._values[name] = value

    def _get(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        if value is None:
            if default is _REQUIRED:
                raise BadRequest(f"{self._path}.{name} is missing")
            return default
        return value

    def integer(self, name: str, default: Any = _REQUIRED) -> int:
        """A number without fraction, of 64 bits."""
        value = self._get(name, default)
        if isinstance(value, str):
            value = int(value) if len(value) <= 20 and _is_integer(value.strip()) else None
        elif isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
            raise BadRequest(f"{self._path}.{name}: expected an integer")
        return value

    def optional_integer(self, name: str) -> int | None:
        """The same, or None where it is not given."""
        return self.integer(name) if self.has(name) else None

    def boolean(self, name: str, default: Any = _REQUIRED) -> bool:
        """True or false."""
        value = self._get(name, default)
        if isinstance(value, bool):
            return value
        text = str(value).lower() if isinstance(value, (str, int)) else "?"
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise BadRequest(f"{self._path}.{name}: expected a boolean")

    def text(self, name: str, default: Any = _REQUIRED) -> str:
        """A string; numbers are taken as their digits."""
        value = self._get(name, default)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise BadRequest(f"{self._path}.{name}: expected a string")
        return value

    def choice(self, name: str, words: tuple[str, ...], default: Any = _REQUIRED) -> str:
        """One of some words."""
        value = self.text(name, default)
        if value not in words:
            raise BadRequest(f"{self._path}.{name}: expected {' or '.join(words)}")
        return value

    def object(self, name: str) -> dict[str, Any]:
        """An object."""
        value = self._get(name, _REQUIRED)
        if not isinstance(value, dict):
            raise BadRequest(f"{self._path}.{name}: expected an object")
        return value

    def object_list(self, name: str) -> list[Params]:
        """A list of objects, each read like parameters; empty where it is not given."""
        value = self._get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise BadRequest(f"{self._path}.{name}: expected a list of objects")
        return [Params.from_values(item, f"{self._path}.{name}[{n}]") for n, item in enumerate(value)]

    def message(self, name: str = "message") -> list[Segment]:
        """A message, in whichever form; ``auto_escape`` says whether a string is plain text."""
        escape = self.boolean("auto_escape", False)
        return read_message(self._get(name, _REQUIRED), f"{self._path}.{name}", escape)

    def nodes(self, name: str = "messages") -> list[Segment]:
        """The nodes of a forwarded message; their contents are messages, in whichever form."""
        nodes = read_message(self._get(name, _REQUIRED), f"{self._path}.{name}")
        for number, node in enumerate(nodes):
            path = f"{self._path}.{name}[{number}]"
            if node["type"] != "node":
                raise BadRequest(f"{path}: expected a node")
            data = dict(node["data"])
            if "id" not in data or "content" in data:
                data["content"] = read_message(data.get("content", []), f"{path}.data.content")
            nodes[number] = {"type": "node", "data": data}
        if not nodes:
            raise BadRequest(f"{self._path}.{name}: there is no node")
        return nodes


def _is_integer(text: str) -> bool:
    digits = text[1:] if text[:1] == "-" else text
    return digits.isascii() and digits.isdigit()
