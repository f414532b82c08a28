"""JSON as ``JSON.stringify`` writes it: some receivers of HTTP POSTs sign that instead of the body."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import msgspec

from lgtwist.onebot.rawjson import DECODE_ERRORS

#: A surrogate without its other half.
_SURROGATE = re.compile("[\ud800-\udfff]")


def _number_to_string(literal: str) -> int | msgspec.Raw:
    """Return a number with a fraction or an exponent as JavaScript writes it (ECMA-262, Number::toString)."""
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


_decode = msgspec.json.Decoder(float_hook=_number_to_string).decode


def json_stringify(event: bytes) -> bytes:
    """Return an event as JavaScript's ``JSON.stringify`` writes it (ECMA-262), without spaces.

    Koishi parses a post and checks the signature over its own ``JSON.stringify`` of the result, so those are
    the bytes to sign and post. An event that cannot be parsed is returned unchanged.

    :param event: one JSON object.
    """
    try:
        return msgspec.json.encode(_decode(event))
    except (*DECODE_ERRORS, OverflowError):
        pass
    try:  # it may have a lone surrogate, which JavaScript escapes and msgspec refuses
        text = json.dumps(json.loads(event), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()
    except DECODE_ERRORS:
        return event
