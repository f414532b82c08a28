"""Parameters of actions, read as frameworks really send them: numbers as strings, booleans as 0 and 1.

(OneBot 11, ``communication/http.md``: implementations convert strings.)
"""

from __future__ import annotations

from typing import Any

import msgspec

from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.rawjson import UNREADABLE
from lgtwist.sandbox.model import Segment

_REQUIRED = object()
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off", "")


class Params:
    """The ``params`` of one action.

    :param raw: one JSON object.
    :raises BadRequest: if it cannot be read; so do all methods, naming the parameter.
    """

    def __init__(self, raw: bytes) -> None:
        try:
            self._values = msgspec.json.decode(raw, type=dict[str, Any])
        except UNREADABLE as error:
            raise BadRequest(f"params cannot be read: {error}") from None

    def has(self, name: str) -> bool:
        """Whether a parameter is given, and not null."""
        return self._values.get(name) is not None

    def _get(self, name: str, default: Any) -> Any:
        value = self._values.get(name)
        if value is None:
            if default is _REQUIRED:
                raise BadRequest(f"params.{name} is missing")
            return default
        return value

    def integer(self, name: str, default: Any = _REQUIRED) -> int:
        """A number without fraction, of 64 bits."""
        value = self._get(name, default)
        if (isinstance(value, str) and len(value) <= 20 and value.strip().lstrip("-").isdecimal()) or (
            isinstance(value, float) and value.is_integer()
        ):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
            raise BadRequest(f"params.{name}: expected an integer")
        return value

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
        raise BadRequest(f"params.{name}: expected a boolean")

    def text(self, name: str, default: Any = _REQUIRED) -> str:
        """A string; numbers are taken as their digits."""
        value = self._get(name, default)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise BadRequest(f"params.{name}: expected a string")
        return value

    def message(self, name: str = "message") -> list[Segment]:
        """A message: a string, one segment, or an array of segments."""
        return read_message(self._get(name, _REQUIRED), f"params.{name}")


def read_message(value: Any, path: str) -> list[Segment]:
    """A message as a list of segments, in the format in which anybody sends it.

    :raises BadRequest: naming ``path``.
    """
    if isinstance(value, str):
        return [{"type": "text", "data": {"text": value}}] if value else []
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [{"type": "text", "data": {"text": str(value)}}]
    parts = [value] if isinstance(value, dict) else value
    if not isinstance(parts, list):
        raise BadRequest(f"{path}: expected a string or an array of segments")
    message: list[Segment] = []
    for number, part in enumerate(parts):
        if isinstance(part, str):
            part = {"type": "text", "data": {"text": part}}
        kind = part.get("type") if isinstance(part, dict) else None
        data = part.get("data") or {} if isinstance(part, dict) else None
        if not isinstance(kind, str) or not kind or not isinstance(data, dict):
            raise BadRequest(f'{path}[{number}]: expected {{"type": ..., "data": {{...}}}}')
        message.append({"type": kind, "data": data})
    return message
