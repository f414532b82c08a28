"""The reasons of alerts in Chinese, by the word tables of the console."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import lgtwist.console
from lgtwist.console.reasons import explain

#: One line of a word table: a reason's code and its words, as JSON.
_WORD_LINE = re.compile(r"^\s*\"reason\.(\w+)\":\s*(\"(?:[^\"\\]|\\.)*\"),?\s*$", re.MULTILINE)
_ARGUMENT = re.compile(r"\{(\w+)\}")


def reason_in(sentence: str, language: str) -> str:
    """Return a sentence of the hub in a language; what has no translation stays as it is.

    :param language: ``zh`` or ``en``.
    """
    if language == "en":
        return sentence
    explained = explain(sentence)
    words = reason_words(language).get(explained["code"])
    if words is None or explained["code"] == "other":
        return sentence
    arguments = explained["args"]
    return _ARGUMENT.sub(lambda name: str(arguments.get(name[1], name[0])), words)


@cache
def reason_words(language: str) -> dict[str, str]:
    """Return the words of a language by the codes of :mod:`lgtwist.console.reasons`."""
    folder = Path(str(lgtwist.console.__file__)).with_name("static")
    table = (folder / "words" / language / "reasons.js").read_text("utf-8")
    return {found[1]: json.loads(found[2]) for found in _WORD_LINE.finditer(table)}
