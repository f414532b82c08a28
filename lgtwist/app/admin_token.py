"""The admin token that the service makes where none is configured, and the link that it opens."""

from __future__ import annotations

import os
import secrets
import stat
import sys
from pathlib import Path
from urllib.parse import quote

from attrs import field, frozen

from lgtwist.config.text_files import decode_text
from lgtwist.runtime.file_trouble import why_not_usable
from lgtwist.runtime.private_files import close_to_others, create_private

#: The file's name in ``data_dir``.
ADMIN_TOKEN_FILE = "admin_token"  # noqa: S105  # a file's name
#: Bytes of a token that is made.
_TOKEN_BYTES = 32


class CannotMakeToken(Exception):
    """The token can neither be read nor made; the argument is one sentence that names the file."""


@frozen
class MadeToken:
    """A token that was made.

    :ivar value: the token.
    :ivar is_new: whether it was made just now.
    """

    value: str = field(repr=False)
    is_new: bool


def read_made_token(folder: Path) -> str | None:
    """Return the token in a data directory; None if there is none.

    :raises CannotMakeToken: if the file cannot be read or holds something else.
    """
    file = folder / ADMIN_TOKEN_FILE
    try:
        text = decode_text(file.read_bytes()).strip()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = why_not_usable(error, file, folder) if isinstance(error, OSError) else error
        raise CannotMakeToken(f"{file}: cannot be read: {reason}") from None
    if text and not (text.isprintable() and len(text) <= 1024):
        raise CannotMakeToken(f"{file}: expected one line, the admin token; remove the file to have one made")
    return text or None


def made_token(folder: Path) -> MadeToken:
    """Return the token in a data directory; make one, for our user alone, where there is none.

    :raises CannotMakeToken: if it can neither be read nor made.
    """
    found = read_made_token(folder)
    path = folder / ADMIN_TOKEN_FILE
    if found is not None:
        close_to_others(path)
        return MadeToken(found, False)
    made = secrets.token_urlsafe(_TOKEN_BYTES)
    try:
        path.unlink(missing_ok=True)  # an empty one
        with open(create_private(path), "w", encoding="utf-8") as file:
            file.write(f"{made}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        why = why_not_usable(error, path, folder)
        raise CannotMakeToken(f"{path}: cannot be written: {why}") from None
    return MadeToken(made, True)


def console_link(base: str, token: str) -> str:
    """Return the address of the console with the token in its fragment, which no browser sends anywhere.

    :param base: an HTTP URL without a slash at its end.
    """
    return f"{base}/console/#token={quote(token, safe='')}"


def show_once(line: str) -> None:
    """Write a line to the terminal, or to where a container's output goes; not to any log.

    Do nothing where there is no such place: as a daemon.
    """
    stream = sys.__stdout__
    try:
        if stream is None or _is_null(stream.fileno()):
            return
        encoding = stream.encoding or "utf-8"
        stream.flush()
        os.write(stream.fileno(), f"{line}\n".encode(encoding, "backslashreplace"))
    except (OSError, ValueError):  # closed, or no file
        return


def _is_null(descriptor: int) -> bool:
    found = os.fstat(descriptor)
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.stat(os.devnull).st_rdev
