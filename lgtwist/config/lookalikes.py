"""Characters that look like those of ASCII, as Chinese keyboards and word processors write them. Pure."""

from __future__ import annotations

import unicodedata

#: What is meant by characters that Unicode's compatibility mapping does not lead to ASCII.
_MEANT = {
    "\u201c": '"',
    "\u201d": '"',
    "\u201e": '"',
    "\u2018": "'",
    "\u2019": "'",
    "\u300c": '"',
    "\u300d": '"',
    "\u3001": ",",
    "\u3002": ".",
    "\u3010": "[",
    "\u3011": "]",
    "\u2010": "-",
    "\u2011": "-",
    "\u2012": "-",
    "\u2013": "-",
    "\u2014": "-",
    "\u2212": "-",
}


def meant_by(character: str) -> str | None:
    """Return the character of ASCII that one of another script looks like; None if it looks like none.

    A blank stands for every other blank, the empty string for what is not visible at all.
    """
    if character.isascii():
        return None
    if character in _MEANT:
        return _MEANT[character]
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    if category == "Cf":
        return ""
    mapped = unicodedata.normalize("NFKC", character)
    return mapped if len(mapped) == 1 and mapped.isascii() and mapped.isprintable() else None


def lookalike(text: str) -> str | None:
    """Return a sentence about the first character that looks like one of ASCII; None if there is none.

    The sentence shows that character alone.
    """
    for character in text:
        meant = meant_by(character)
        if meant is None:
            continue
        code = f"U+{ord(character):04X}"
        if meant == "":
            return f"an invisible character ({code}) is in it: take it away"
        if meant == " ":
            return f"a blank of another kind ({code}) is in it: write an ordinary one, or none"
        return f"{character} ({code}) looks like {meant} and is another character: write {meant}"
    return None
