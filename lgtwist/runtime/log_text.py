"""What a log line and a traceback may contain: printable characters, and not many of them."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from twisted.python import log
from twisted.python.failure import Failure, format_frames
from twisted.python.reflect import qual, safe_str

#: Characters of a field of a line, and of a line of a traceback.
FIELD = 1000
#: A line has as many characters as so many of its fields may have, and those of its format.
_FIELDS = 4
#: The first and the last frames of a traceback that are shown, where it has more.
_FIRST_FRAMES, _LAST_FRAMES = 10, 30
#: Frames that are looked at for where a traceback comes from.
_DEEPEST = 100


def shorten(text: str, most: int = FIELD) -> str:
    """Return ``text`` in one printable line.

    Control characters, those that change the direction of writing, line and paragraph separators, and lone
    surrogates are replaced by U+FFFD.

    :param most: characters; a longer text ends with an ellipsis.
    """
    if len(text) > most:
        text = f"{text[: most - 1]}\u2026"
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def shown(value: object, most: int = FIELD) -> object:
    """Return what a line shows for ``value``: a number as it is, anything else in text as by :func:`shorten`.

    It never raises.
    """
    kind = type(value)
    if kind is str:
        return shorten(value, most)  # type: ignore[arg-type]
    if kind is float or kind is bool:
        return value
    if kind is int:
        bits = value.bit_length()  # type: ignore[attr-defined]
        return value if bits <= 64 else f"a number of {bits} bits"
    if kind is bytes:
        value = value[:most]  # type: ignore[index]
    try:
        return shorten(str(value), most)
    except Exception:
        return f"a {kind.__name__} that cannot be shown"


def shown_line(format: str, fields: dict[str, Any], most: int = FIELD) -> tuple[str, dict[str, Any], str]:
    """Make the fields of a line fit for a log.

    :param most: characters of a field.
    :returns: the format and the fields that make the line, and the line.
    """
    fields = {name: shown(value, most) for name, value in fields.items()}
    if sum(len(value) for value in fields.values() if type(value) is str) > _FIELDS * most:
        share = _FIELDS * most // len(fields)
        fields = {name: shown(value, share) for name, value in fields.items()}
    try:
        return format, fields, format.format_map(fields)
    except Exception:  # a text where the format wants a number
        line = shorten(f"{format} {fields}", _FIELDS * most)
        return "{line}", {"line": line}, line


class ShownFailure(Failure):
    """A failure whose traceback is fit for a log: few frames, and of the exception one printable line.

    It can be checked and trapped like the failure that it is made from.
    """

    def __init__(self, failure: Failure) -> None:
        self.__dict__.update(failure.__dict__)
        self.traceback_text = _traceback_text(failure)

    def getErrorMessage(self) -> str:
        """Return the exception's text."""
        return shorten(super().getErrorMessage())

    def printTraceback(
        self, file: Any = None, elideFrameworkCode: bool = False, detail: str = "default"
    ) -> None:
        """Write the traceback, the same for each ``detail``."""
        (log.logerr if file is None else file).write(self.traceback_text)


def _traceback_text(failure: Failure) -> str:
    written: list[str] = ["Traceback (most recent call last):\n"]
    try:
        frames = failure.frames
        left_out = len(frames) - _FIRST_FRAMES - _LAST_FRAMES
        if left_out > 0:
            format_frames(frames[:_FIRST_FRAMES], written.append)
            written.append(f"  ... {left_out} frames ...\n")
            frames = frames[-_LAST_FRAMES:]
        format_frames(frames, written.append)
        if not frames:
            written.append("Failure: ")
        written.append(f"{exception_name(failure.type)}: {shorten(safe_str(failure.value))}")
    except Exception:
        written.append("a traceback that cannot be shown")
    return "".join(f"{shorten(line)}\n" for line in "".join(written).split("\n"))


def exception_name(kind: type[BaseException] | None) -> str:
    """Return the name of an exception's class, with its module."""
    return "no exception" if kind is None else qual(kind)


def failure_origin(failure: Failure) -> tuple[object, ...]:
    """Return where a failure comes from: the exception's type, and the innermost frame's file and line."""
    traceback = failure.tb
    if traceback is None:  # of a failure that was cleaned
        innermost = failure.frames[-1][1:3] if failure.frames else ()
        return (failure.type, *innermost)
    return (failure.type, *place(traceback))


def place(traceback: TracebackType) -> tuple[str, int]:
    """Return the file and the line of a traceback's innermost frame, or of one that is deep enough."""
    for _step in range(_DEEPEST):
        if traceback.tb_next is None:
            break
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code.co_filename, traceback.tb_lineno


__all__ = [
    "FIELD",
    "ShownFailure",
    "exception_name",
    "failure_origin",
    "place",
    "shorten",
    "shown",
    "shown_line",
]
