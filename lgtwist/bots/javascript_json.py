"""Events as receivers of HTTP POSTs write them themselves, for they sign what they have written."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import msgspec

from lgtwist.onebot.rawjson import DECODE_ERRORS

_SURROGATE = re.compile("[\ud800-\udfff]")


def _as_javascript_has_it(literal: str) -> int | msgspec.Raw:
    """A number that is not written as an integer (ECMA-262, Number::toString)."""
    number = float(literal)
    if number.is_integer() and abs(number) < 1e21:
        return int(number)
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    text, point = "".join(map(str, digits)), len(digits) + int(exponent)
    if 0 < point <= 21:
        text = f"{text[:point]}.{text[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{text}"
    else:
        fraction = f".{text[1:]}" if len(text) > 1 else ""
        text = f"{text[0]}{fraction}e{point - 1:+d}"
    return msgspec.Raw(("-" * sign + text).encode())


_decode = msgspec.json.Decoder(float_hook=_as_javascript_has_it).decode


def compact(event: bytes) -> bytes:
    """An event as compact JSON with nothing escaped that need not be.

    Koishi checks the signature over its own ``JSON.stringify`` of what it has parsed, so the bytes that are
    signed must be those that JavaScript would write.
    """
    try:
        return msgspec.json.encode(_decode(event))
    except (*DECODE_ERRORS, OverflowError):
        pass
    try:  # a lone surrogate, perhaps; JavaScript escapes it
        text = json.dumps(json.loads(event), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
    except DECODE_ERRORS:
        return event
