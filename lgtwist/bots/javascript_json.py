"""JSON as ``JSON.stringify`` writes it: some receivers of HTTP POSTs sign that instead of the body."""

from __future__ import annotations

import json
from decimal import Decimal

import msgspec

from lgtwist.onebot.bounds import COUNTERS, MAX_CONVERTED, MAX_FLOATS, has_too_many_values
from lgtwist.onebot.errors import OverBound
from lgtwist.onebot.rawjson import DECODE_ERRORS


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


class _Numbers:
    """Writes the numbers of one event with a fraction or an exponent, up to ``MAX_FLOATS``."""

    def __init__(self) -> None:
        self._left = MAX_FLOATS

    def write(self, literal: str) -> int | msgspec.Raw:
        """Return a number as JavaScript writes it.

        :raises OverBound: if there were too many before.
        """
        self._left -= 1
        if self._left < 0:
            raise OverBound(f"more than {MAX_FLOATS} numbers with a fraction or an exponent")
        return _number_to_string(literal)


#: For events that are too short to have more than ``MAX_FLOATS`` of them.
_decode_short = msgspec.json.Decoder(float_hook=_number_to_string).decode


def json_stringify(event: bytes) -> bytes:
    """Return an event as JavaScript's ``JSON.stringify`` writes it (ECMA-262), without spaces.

    Koishi parses a post and checks the signature over its own ``JSON.stringify`` of the result, so those are
    the bytes to sign and post. An event that cannot be parsed is returned unchanged, and so is one with more
    than ``MAX_CONVERTED`` bytes, ``MAX_DECODED_VALUES`` values, or ``MAX_FLOATS`` numbers with a fraction or
    an exponent; that is counted.

    :param event: one JSON object.
    """
    if len(event) > MAX_CONVERTED or has_too_many_values(event):
        COUNTERS.unconverted += 1
        return event
    decode = _decode_short
    if len(event) > MAX_FLOATS:
        decode = msgspec.json.Decoder(float_hook=_Numbers().write).decode
    try:
        return msgspec.json.encode(decode(event))
    except OverBound:
        COUNTERS.unconverted += 1
        return event
    except (*DECODE_ERRORS, OverflowError):
        pass
    try:  # it may have a lone surrogate, which JavaScript escapes and msgspec refuses
        text = json.dumps(json.loads(event), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")
    except DECODE_ERRORS:
        return event
