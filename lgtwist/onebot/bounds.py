"""How much of one message is read, counted before it is read: what one message may cost in one reactor turn.

What a bot sends beyond a bound is refused with 1400; the sentence names the bound. What an implementation
sends is passed on as it came where it is not read, and counted where it is not converted.
"""

from __future__ import annotations

#: Segments of one message, with those of messages inside it; also its CQ codes, and the texts between them.
MAX_SEGMENTS = 10_000
#: Key-value pairs that one CQ code may have; a code with more is text.
MAX_PAIRS = 1_000
#: JSON values of a text that is decoded as a whole, and pairs of all CQ codes of one message.
MAX_DECODED_VALUES = 100_000
#: Levels of arrays and objects inside the ``data`` of a segment.
MAX_NESTING = 100
#: Levels of messages inside messages that are converted.
MAX_MESSAGE_DEPTH = 8
#: Characters of a string with CQ codes that is made from segments. Also of the texts of messages inside it,
#: all together, each counted once for each level that it is nested in: each level reads them once more.
MAX_TEXT = 32 << 20
#: Bytes of an event or a response that is converted, or written as JavaScript writes JSON.
MAX_CONVERTED = 16 << 20
#: Bytes by which an event or a response may grow by its conversion.
MAX_GROWN = 1 << 20
#: Escapes of a string with CQ codes (``&amp;``), or of a form (``%26``).
MAX_ESCAPE_SEQUENCES = 500_000
#: Surrogate escapes in a text that has one without its other half.
MAX_SURROGATES = 50_000
#: Backslashes in such a text: one with an escape for each Chinese character has a sixth of its bytes.
MAX_BACKSLASHES = 6_000_000
#: Control characters in the strings of a text that is repaired.
MAX_REPAIRS = 50_000
#: Numbers with a fraction or an exponent that are written as JavaScript writes them, in one event.
MAX_FLOATS = 10_000
#: Bytes of a form (``application/x-www-form-urlencoded``), and its fields.
MAX_FORM = 16 << 20
MAX_FIELDS = 1_000
#: Responses in one HTTP answer to an action that streams.
MAX_PARTS = 10_000


class BoundCounters:
    """How often something of an implementation was passed on as it came, for it was over a bound.

    :ivar unconverted: events and responses that were not converted, of all accounts, since the start.
    """

    unconverted = 0


#: Of this process.
COUNTERS = BoundCounters()


def has_too_many_values(text: bytes) -> bool:
    """Return whether a JSON text may have more than :data:`MAX_DECODED_VALUES` values.

    Commas and brackets are counted, also those in strings; each value but the first has one.

    :param text: any bytes.
    """
    if len(text) <= MAX_DECODED_VALUES:
        return False
    return text.count(b",") + text.count(b"[") + text.count(b"{") >= MAX_DECODED_VALUES
