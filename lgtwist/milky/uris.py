"""Where a file is, as bots write it, as the URIs of Milky: ``http``, ``https``, ``file``, ``base64``."""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from lgtwist.onebot.errors import BadRequest, OverBound

#: The beginning of a URI: its scheme, and a colon. A drive of Windows is no scheme.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,30}):")
#: The beginning of an absolute path of Windows.
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
#: A percent sign that begins no escape.
_UNESCAPED_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
#: Characters that a ``data:`` URL may have that is not plain base64: each escape is read on its own.
_LONGEST_ESCAPED = 1 << 18
#: Characters that a path may have, also in a URI.
_LONGEST_FILE_PATH = 65_536
#: Characters of a file's name.
_LONGEST_NAME = 255


def as_uri(text: str, path: str) -> str | None:
    """Return a URI for Milky; None if the text is neither a URI of a known scheme nor an absolute path.

    Absolute paths, of Unix or Windows, are ``file`` URIs; ``data:`` URLs are ``base64`` ones. A scheme is in
    lower case, for implementations compare it as it is (Lagrange).

    :param path: the value's name, for errors.
    :raises BadRequest: if it is a ``data:`` URL that cannot be read, or too long (:class:`OverBound`).
    """
    text = text.strip()
    if text.startswith(("http://", "https://", "base64://")):
        return text
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found is not None else ""
    rest = text[len(scheme) + 1 :]
    if scheme in ("http", "https", "base64") and rest.startswith("//"):
        return f"{scheme}:{rest}"
    if scheme == "data":
        return _data_url(rest, path)
    is_drive = _DRIVE.match(text) is not None
    if not (is_drive or scheme == "file" or text.startswith(("/", "\\\\"))):
        return None
    if len(text) > _LONGEST_FILE_PATH:
        raise OverBound(f"{path}: a path has more than {_LONGEST_FILE_PATH} characters")
    if scheme == "file":
        return _file_uri(rest)
    bare = _escaped_path(text.replace("%", "%25"))
    if bare.startswith("/"):
        return "file://" + bare
    return ("file:///" if is_drive else "file:") + bare.replace("\\", "/")


def _escaped_path(text: str) -> str:
    """Escape what would end the path of a URI."""
    return text.replace("#", "%23").replace("?", "%3F")


def _file_uri(rest: str) -> str | None:
    """Return a ``file`` URI, also of one with a path as Windows has it, or without an authority.

    :param rest: what stands behind ``file:``.
    """
    rest = _escaped_path(_UNESCAPED_PERCENT.sub("%25", rest))
    bare = rest.lstrip("/")
    if _DRIVE.match(bare):
        return "file:///" + bare.replace("\\", "/")
    if rest.startswith("//"):
        return "file:" + rest
    return "file://" + rest if rest.startswith("/") else None


def _data_url(rest: str, path: str) -> str:
    """Return the ``base64`` URI of a ``data:`` URL (RFC 2397).

    :param rest: what stands behind ``data:``.
    """
    head, comma, data = rest[:1024].partition(",")
    if not comma:
        raise BadRequest(f"{path}: a data: URL without a comma")
    data = rest[len(head) + 1 :]
    is_base64 = head.lower().rstrip().endswith(";base64")
    if is_base64 and "%" not in data:
        return "base64://" + data
    if len(data) > _LONGEST_ESCAPED:
        raise OverBound(f"{path}: a data: URL with escapes has more than {_LONGEST_ESCAPED} characters")
    content = unquote_to_bytes(data)
    return "base64://" + (content.decode("latin-1") if is_base64 else b64encode(content).decode())


def name_in_uri(uri: str) -> str:
    """Return the name of the file that a URI names; ``file`` if it names none."""
    if uri.startswith("base64:"):
        return "file"
    try:
        name = unquote(urlsplit(uri[:65_536]).path.rpartition("/")[2])
    except ValueError:  # an authority that is none
        name = ""
    return name[:_LONGEST_NAME] or "file"
