"""Files that a bot names, as the URIs of Milky: ``file://``, ``http(s)://`` and ``base64://``."""

from __future__ import annotations

import re
from urllib.parse import unquote

from lgtwist.onebot.errors import BadRequest

_URI_SCHEMES = ("http://", "https://", "file://", "base64://")
_BASE64_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_DRIVE_PATH = re.compile(r"[A-Za-z]:[\\/]")


def read_uri(value: str, path: str) -> str:
    """Return what names a file as a URI of Milky; an absolute path is one of the implementation's host.

    :param value: a URL, ``data:`` with base64, ``file://``, ``base64://`` or an absolute path.
    :param path: the parameter's name, for the error.
    :raises BadRequest: if it is none of these.
    """
    head = value[:9].lower()
    scheme = next((one for one in _URI_SCHEMES if head.startswith(one)), None)
    if scheme is not None:
        return scheme + value[len(scheme) :]
    found = _BASE64_URL.match(value)
    if found is not None:
        return "base64://" + value[found.end() :]
    if value.startswith("/"):
        return f"file://{value}"
    if _DRIVE_PATH.match(value):
        return "file:///" + value.replace("\\", "/")
    raise BadRequest(f"{path}: expected a URL, base64://, file:// or an absolute path")


def file_name_of(uri: str) -> str:
    """Return the last part of a URI's path; empty if it has none."""
    if uri.startswith("base64://"):
        return ""
    _scheme, _separator, rest = uri.partition("://")
    if not uri.startswith("file://"):
        rest = rest.partition("#")[0].partition("?")[0]
    _host, slash, path = rest.partition("/")
    return unquote(path.rpartition("/")[2]) if slash else ""
