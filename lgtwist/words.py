"""A peer's own words, where people read them."""

from __future__ import annotations


def printable(text: str) -> str:
    """``text``, safe for a log or an answer: no control characters, at most 200 characters."""
    if text.isprintable():
        return text[:200]
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:200])
