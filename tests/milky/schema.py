"""Judges Milky's JSON: events, and the parameters and data of its APIs, by ``schema.json``.

Stricter than ``@saltify/milky-types``: keys that no version up to Milky 1.3 has, and broken or unknown
incoming segments, are refused. Fields that Milky 1.1 to 1.3 have added are demanded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match
from jsonschema.validators import extend

SCHEMA_FILE = Path(__file__).with_name("schema.json")
SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
#: The names of Milky's APIs.
APIS = frozenset(name.removesuffix(".request") for name in SCHEMA["$defs"] if name.endswith(".request"))


class SchemaViolation(AssertionError):
    """A value is not what Milky says it is.

    :param what: such as ``request of send_group_message``.
    :param path: where in the value, such as ``$.message[0].data.text``.
    :param reason: one sentence.
    """

    def __init__(self, what: str, path: str, reason: str) -> None:
        super().__init__(f"{what}: {path}: {reason}")
        self.what, self.path, self.reason = what, path, reason


def check_event(event: Any) -> None:
    """Judge one event, decoded.

    :raises SchemaViolation: if it is none of Milky's.
    """
    _check("event", "Event", event)


def check_request(api: str, params: Any, *, for_lagrange: bool = False) -> None:
    """Judge the parameters of a call, decoded.

    :param for_lagrange: whether to refuse also what the standard allows and Lagrange.Milky answers with HTTP
        500: null for an optional parameter, and a segment whose first key is not ``type``.
    :raises SchemaViolation: if they do not fit, or if there is no such API.
    """
    _known(api)
    _check(f"request of {api}", f"{api}.request", params)
    if for_lagrange:
        for path, reason in _refused_by_lagrange(params, "$"):
            raise SchemaViolation(f"request of {api}", path, reason)


def check_response(api: str, data: Any) -> None:
    """Judge the ``data`` of a successful answer, decoded: ``{}`` where the API has none.

    :raises SchemaViolation: if it does not fit, or if there is no such API.
    """
    _known(api)
    _check(f"response of {api}", f"{api}.response", data)


def check_part(name: str, value: Any) -> None:
    """Judge a part of the above, such as ``IncomingMessage``, ``OutgoingSegment`` or ``FriendEntity``.

    :raises SchemaViolation: if it does not fit.
    """
    _check(name, name, value)


def _known(api: str) -> None:
    if api not in APIS:
        raise SchemaViolation(f"request of {api}", "$", "Milky has no such API")


def _check(what: str, name: str, value: Any) -> None:
    error = best_match(_validator(name).iter_errors(value))
    if error is not None:
        raise SchemaViolation(what, error.json_path, error.message)


def _refused_by_lagrange(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        if value.keys() == {"type", "data"} and next(iter(value)) != "type":
            yield path, "type is not the first key"
        for key, one in value.items():
            if one is None:
                yield f"{path}.{key}", "null, which must be left out"
            yield from _refused_by_lagrange(one, f"{path}.{key}")
    elif isinstance(value, list):
        for position, one in enumerate(value):
            yield from _refused_by_lagrange(one, f"{path}[{position}]")


def _is_integer(_checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _one_of(validator: Any, branches: list[dict[str, Any]], value: Any, _schema: Any) -> Iterator[Any]:
    """Judge by the one branch whose constant the value has: as ``oneOf``, but faster, and with its reason."""
    name, by_constant = _discriminator(id(branches), branches)
    if not isinstance(value, Mapping):
        yield ValidationError(f"{value!r} is no object")
    elif not isinstance(value.get(name), str) or value[name] not in by_constant:
        yield ValidationError(f"{name} is {value.get(name)!r}, which is not in {sorted(by_constant)}")
    else:
        yield from validator.descend(value, by_constant[value[name]])


_discriminators: dict[int, tuple[str, dict[str, dict[str, Any]]]] = {}


def _discriminator(key: int, branches: list[dict[str, Any]]) -> tuple[str, dict[str, dict[str, Any]]]:
    if key not in _discriminators:  # the schema is never dropped, so that its lists keep their addresses
        constants = [
            {name: one["const"] for name, one in branch["properties"].items() if "const" in one}
            for branch in branches
        ]
        (name,) = set.intersection(*(set(one) for one in constants))
        _discriminators[key] = (
            name,
            {one[name]: branch for one, branch in zip(constants, branches, strict=True)},
        )
    return _discriminators[key]


_Validator = extend(
    Draft202012Validator,
    {"oneOf": _one_of},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_integer),
)


@cache
def _validator(name: str) -> Any:
    return _Validator({"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})
