"""Take secrets and file contents out of what the console shows of events, actions and responses. Pure.

What is hidden: members with names such as ``token`` or ``cookies``; the ``data`` of responses that consist of
secrets; such names' values in URLs, CQ codes, cookies and JSON inside strings; user names and passwords in
URLs. What is shortened: ``base64://`` and ``data:`` URLs, the ``flag`` of requests, long strings and lists.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import msgspec

from lgtwist.onebot.action import split_suffix
from lgtwist.onebot.catalogue import answers_secret
from lgtwist.onebot.rawjson import DECODE_ERRORS, decode_value

#: What stands in place of a secret.
HIDDEN_VALUE = "(hidden)"
#: Characters of a string that are shown.
MAX_STRING = 4_000
#: Items of a list, and members of an object, that are shown.
MAX_ITEMS = 200
#: Levels of lists and objects that are shown, with those of JSON inside strings.
MAX_SHOWN_DEPTH = 30
#: Characters of the ``flag`` of a request that are shown: whoever has all of it can answer the request.
MAX_FLAG = 8
#: Characters of a key.
_MAX_KEY = 100
#: Characters in which names of secrets are searched: more than are shown, since hiding makes a text shorter.
_WINDOW = 2 * MAX_STRING
#: Characters of JSON inside a string that is decoded.
_MAX_INNER = 262_144

#: Names of secrets, without ``_`` and ``-``, in lower case.
_SECRET_NAME = re.compile(
    r"token|secret|passw|cookie|clientkey|authorization|csrf|credential|apikey|privatekey"
    r"|[rs]keys?\Z|\A(?:psk|pwd|ptwebqq|bkn|gtk)"
)
#: Names of parameters that are secret in URLs only.
_URL_NAMES = frozenset({"key", "sig", "sign", "signature"})
#: What stands before a name in a URL that is percent-encoded, or in JSON.
_NAME_ENDS = re.compile(r"[?&;/:=,\s]|u0026|u003[fF]")
_SEPARATORS = re.compile(r"[\W_]+", re.ASCII)
#: What stands between a name and its value, also percent-encoded, and with the quote behind a quoted name.
_SEPARATOR = re.compile(
    r"""(?:\[\w{0,16}\])?(?:\\{0,16}["'])?\s{0,4}(?:[:=\uff1a]|\\{1,16}u(?:003[ad]|ff1a))\s{0,4}"""
    r"""|%(?:25){0,4}3[da]""",
    re.IGNORECASE,
)
_NAME_BEFORE = re.compile(r"[A-Za-z0-9_.%\-]{1,64}\Z")
_MAX_NAME_LENGTH = 64
#: A value: up to its quote; a list or an object up to the end of the line; or up to what ends a value in
#: URLs, headers and CQ codes.
_VALUE = re.compile(
    r"""[ubrf]{0,2}(\\{0,16}["'])(?:(?!\1)[^\r\n])*|[\[{][^\r\n]*|(?:&\#[0-9]+;|[^&\s"'<>\]\#])+""",
    re.IGNORECASE,
)
#: An element of XML.
_ELEMENT = re.compile(r"<([\w:.\-]{1,64})>[^<]+")
#: Headers whose whole value is secret.
_HEADER = re.compile(
    r"""\b(authorization|(?:set-)?cookies?2?)(\s{0,4}[:=]\s{0,4})(?![\s"'\[{\\])[^\r\n"'<\]&]*""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=\-]{6,}", re.IGNORECASE)
_USERINFO = re.compile(r"""(:\\*/\\*/)[^/\s?\#"'<>\\]*@""")
_ENCODED_USERINFO = re.compile(
    r"(%(?:25)*3a(?:%(?:25)*2f){2})(?:[^%\s]|%(?!(?:25)*(?:2f|40)))*%(?:25)*40", re.IGNORECASE
)
#: A URL whose user name and password may have been cut off before their ``@``.
_CUT_URL = re.compile(
    r"(:\\*/\\*/|%(?:25)*3a(?:%(?:25)*2f){2})(?:[^/\s?\#%]|%(?!(?:25)*2f))*\Z", re.IGNORECASE
)
_BASE64_URL = re.compile(
    r"base64(?::|%(?:25)*3a)(?:\\*/|%(?:25)*2f){2}[A-Za-z0-9+/=_%\-\r\n]*", re.IGNORECASE
)
_DATA_URL = re.compile(
    r"""data(?::|%(?:25)*3a)(?:[\w.+\-]+(?:\\*/|%(?:25)*2f)[\w.+\-]+(?:(?:;|%(?:25)*3b)[\w.+=\-]*)*"""
    r"""|(?:;|%(?:25)*3b)(?:[\w.+=\-]*;)?base64)(?:,|&\#44;|%(?:25)*2c)[^\s"'<>\]]*""",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Return whether a member or a parameter of that name holds a secret.

    Upper and lower case, ``_`` and ``-`` do not matter, and percent escapes are read.
    """
    return _SECRET_NAME.search(_plain_name(name)) is not None


def _plain_name(name: str) -> str:
    """Return a name without percent escapes and separators, in lower case."""
    return _SEPARATORS.sub("", _without_escapes(name)).lower()


def _without_escapes(name: str) -> str:
    """Return a name without percent escapes, of which there may be some levels."""
    for _level in range(3):
        if "%" not in name:
            break
        name = unquote(name)
    return name


def redact(value: bytes, action: str | None = None) -> Any:
    """Return an event, the parameters of an action, or a response, decoded and without secrets.

    :param value: one JSON value.
    :param action: the action whose response it is; None if it is no response.
    :returns: what msgspec can encode; ``{"unreadable": bytes}`` if it cannot be read.
    """
    try:
        decoded = decode_value(value)
        if action is not None and isinstance(decoded, dict) and is_secret_answer(action):
            decoded = {
                name: HIDDEN_VALUE if name == "data" and inner is not None else inner
                for name, inner in decoded.items()
            }
        return _redact(decoded, 0)
    except DECODE_ERRORS:
        return {"unreadable": len(value)}


def is_secret_answer(action: str) -> bool:
    """Return whether the ``data`` of responses to an action is secret, by what is known of it or by its name.

    :param action: its name, with or without a suffix.
    """
    return answers_secret(action) or is_secret_name(split_suffix(action)[0])


def _redact(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _redact_string(value, depth)
    if isinstance(value, (dict, list)):
        if depth >= MAX_SHOWN_DEPTH:
            return "(nested too deeply)"
        return _redact_object(value, depth) if isinstance(value, dict) else _redact_list(value, depth)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)  # msgspec encodes no larger number
    return value


def _redact_list(value: list[Any], depth: int) -> list[Any]:
    shown = [_redact(item, depth + 1) for item in value[:MAX_ITEMS]]
    if len(value) > MAX_ITEMS:
        shown.append(f"({len(value) - MAX_ITEMS} more)")
    return shown


def _redact_object(value: dict[str, Any], depth: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for name, inner in value.items():
        if len(shown) >= MAX_ITEMS:
            shown["..."] = f"({len(value) - MAX_ITEMS} more)"
            break
        plain = _plain_name(name[:_MAX_KEY])
        if _SECRET_NAME.search(plain) and inner is not None and inner != "" and not isinstance(inner, bool):
            result: Any = HIDDEN_VALUE
        elif plain == "flag" and isinstance(inner, (str, int)) and not isinstance(inner, bool):
            text = str(inner)
            result = _redact(inner, depth + 1) if len(text) <= MAX_FLAG else f"{text[:MAX_FLAG]}..."
        elif plain == "base64" and isinstance(inner, str):
            result = _file_size(inner)
        else:
            result = _redact(inner, depth + 1)
        shown[_cut(redact_text(name), _MAX_KEY)] = result
    return shown


def _redact_string(text: str, depth: int) -> str:
    """Return a string without secrets; JSON in it is read, so that its members are hidden by their names."""
    if text[:1] in ("{", "[", '"') and 2 < len(text) <= _MAX_INNER and depth < MAX_SHOWN_DEPTH:
        try:
            inner = decode_value(text.encode())
            if isinstance(inner, (dict, list, str)):
                shown = _redact(inner, depth + 1)
                if shown != inner:
                    return _cut(msgspec.json.encode(shown).decode(), MAX_STRING)
        except (*DECODE_ERRORS, OverflowError):
            pass  # a CQ code, or a text
    return redact_text(text)


def redact_text(text: str, is_cut: bool = False) -> str:
    """Return a text without secrets and file contents, at most ``MAX_STRING`` characters of it.

    :param is_cut: whether it is the beginning of a longer text, so that a URL at its end may be cut.
    """
    shown = _shorten_files(text)
    left_out = len(shown) - _WINDOW
    if left_out > 0 or is_cut:
        shown = _CUT_URL.sub(rf"\1{HIDDEN_VALUE}", shown[:_WINDOW])
    # Whole headers first: what follows stops at blanks and at "&".
    shown = _HEADER.sub(rf"\1\2{HIDDEN_VALUE}", shown)
    if ":" in shown:
        shown = _USERINFO.sub(r"\1", shown)
    if "%" in shown:
        shown = _ENCODED_USERINFO.sub(r"\1", shown)
    shown = _BEARER.sub(rf"\1\2{HIDDEN_VALUE}", shown)
    if "<" in shown:
        shown = _ELEMENT.sub(_hide_element, shown)
    return _cut(_hide_values(shown), MAX_STRING, max(0, left_out))


def _cut(text: str, most: int, left_out: int = 0) -> str:
    """Return at most so many characters of a text, and behind them how many there are more."""
    left_out += max(0, len(text) - most)
    return f"{text[:most]}... ({left_out} more characters)" if left_out else text


def _shorten_files(text: str) -> str:
    if ":" in text or "%" in text:
        text = _BASE64_URL.sub(lambda found: _file_size(found[0]), text)
        text = _DATA_URL.sub(lambda found: _file_size(found[0]), text)
    return text


def _file_size(encoded: str) -> str:
    """Return what stands in place of base64: about how many KiB it is."""
    return f"[base64 {max(1, round(len(encoded) * 3 / 4096))} KB]"


def _hide_element(found: re.Match[str]) -> str:
    return f"<{found[1]}>{HIDDEN_VALUE}" if is_secret_name(found[1]) else found[0]


def _hide_values(text: str) -> str:
    """Return a text with the values hidden that follow a secret's name and a separator."""
    pieces: list[str] = []
    done = 0  # the text before is in the pieces
    separator = _SEPARATOR.search(text)
    while separator is not None:
        at = separator.end()
        if _is_secret_before(text, separator.start()) and (value := _VALUE.match(text, at)) is not None:
            quote = value[1] or ""
            pieces += (text[done:at], quote, HIDDEN_VALUE)
            done = at = value.end()
        separator = _SEPARATOR.search(text, at)
    pieces.append(text[done:])
    return "".join(pieces)


def _is_secret_before(text: str, end: int) -> bool:
    """Return whether what ends at an index is the name of a secret."""
    start = max(0, end - _MAX_NAME_LENGTH)
    found = _NAME_BEFORE.search(text[start:end])
    if found is None:
        return False
    parts = _NAME_ENDS.split(_without_escapes(found[0]))
    before = start + found.start()
    in_url = len(parts) > 1 or text[max(0, before - 1) : before] in ("?", "&", ";")
    return is_secret_name(parts[-1]) or (in_url and _plain_name(parts[-1]) in _URL_NAMES)
