"""Why a text is not TOML, with a hint at what was probably meant. Pure.

No line of the file is shown: it may hold a token.
"""

from __future__ import annotations

import re

from lgtwist.config.lookalikes import lookalike

#: Where a parser says that it found the mistake.
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
#: A key in front of a line.
_KEY = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*([=:])")
#: A key whose value begins as a number does, with a needless zero.
_LEADING_ZERO = re.compile(r"[^=]*=\s*[+-]?0\d")
#: A key, and a word that is no value of TOML.
_BARE_WORD = re.compile(r"[^=]*=\s*([^\W\d]\w*)")
_TWICE = re.compile(r"Cannot declare \('(\w+)',\) twice")
#: Tables of which there are several.
_SEVERAL = ("accounts", "bots")


def why_not_toml(source: str, error: Exception) -> str:
    """Return a sentence that says why a text is not TOML.

    :param error: what the parser raised; it names the place, as "(at line 3, column 5)".
    """
    said = f"not TOML: {error}"
    place = _PLACE.search(str(error))
    lines = source.split("\n")
    line = lines[int(place[1]) - 1] if place and int(place[1]) <= len(lines) else lines[-1]
    hint = _hint(source, line, int(place[2]) if place else 0, str(error))
    return said if hint is None else f"{said}; {hint}"


def _hint(source: str, line: str, column: int, error: str) -> str | None:
    here = line[column - 1 : column] if column else ""
    strange = lookalike(here)
    if strange is not None:
        return strange
    if source.lstrip().startswith("{"):
        return "it looks like JSON, and is to be TOML: docs/configuration.md has an example"
    key = _KEY.match(line)
    twice = _TWICE.search(error)
    if twice is not None and twice[1] in _SEVERAL:
        return f"several are written as [[{twice[1]}]], with two brackets, each time"
    if twice is not None:
        return f"[{twice[1]}] stands there twice: write its keys below one of them"
    if "Cannot overwrite" in error and key is not None:
        return f"{key[1]} stands there twice in one table"
    if "\\" in line and ("hex value" in error or "Unescaped" in error or "escape" in error.lower()):
        return "between \"\" a backslash is written twice; between '' it stands for itself"
    if key is not None and key[2] == ":" and "Expected '='" in error:
        return f"write {key[1]} = ..., with = in place of the colon"
    return _hint_at_value(line, here, error)


def _hint_at_value(line: str, here: str, error: str) -> str | None:
    if "\\n" in error:
        return "a quotation mark is missing at the end of the line"
    if here == "\r":
        return "the lines end with a lone CR, as those of old Macs: save it with LF or CRLF"
    if _LEADING_ZERO.match(line):
        return "a number has no 0 in front"
    word = _BARE_WORD.match(line)
    if "Invalid value" not in error or word is None:
        return None
    if word[1].lower() in ("true", "false"):
        return f"write {word[1].lower()}"
    return "text stands between quotation marks"
