"""Text files that people write: decoded, whatever editor saved them, or refused with the reason."""

from __future__ import annotations

import os
from pathlib import Path

from lgtwist.runtime.file_trouble import why_not_usable

#: How a file of another encoding begins (Unicode, 23.8); the longer ones first.
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
#: The byte order mark of UTF-8, which Windows' programs put in front.
_UTF_8_MARK = b"\xef\xbb\xbf"
_REMEDY = "save it as UTF-8"


class NotText(ValueError):
    """A file is not UTF-8; the argument is a sentence that says what it is, and what to do."""


def without_mark(raw: bytes) -> bytes:
    """Return the bytes of a file in UTF-8 without its byte order mark.

    :raises NotText: if the mark is that of another encoding.
    """
    for mark, name in _MARKS:
        if raw.startswith(mark):
            raise NotText(f'not UTF-8, but {name} (as Notepad\'s "Unicode"): {_REMEDY}')
    return raw.removeprefix(_UTF_8_MARK)


def decode_text(raw: bytes) -> str:
    """Return the text of a file in UTF-8, without its byte order mark.

    :raises NotText: if it is not UTF-8.
    """
    try:
        text = without_mark(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise NotText(f"not UTF-8, as line {line} shows (perhaps GBK, or ANSI): {_REMEDY}") from None
    if "\0" in text[:4]:
        raise NotText(f"not UTF-8, but UTF-16 without a byte order mark, or no text at all: {_REMEDY}")
    return text


def why_unreadable(error: OSError, path: Path | None = None) -> str:
    """Return why a file cannot be read; with who may not, and what to do, where it is another user's.

    :param path: the file; None for the one that the error names.
    """
    if path is None and error.filename:
        path = Path(os.fsdecode(error.filename))
    if path is not None and isinstance(error, PermissionError):
        return why_not_usable(error, path)
    return error.strerror or str(error)
