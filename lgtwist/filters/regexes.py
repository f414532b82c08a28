"""Regular expressions of Go and of JavaScript, searched by RE2: in linear time, whatever the pattern."""

from __future__ import annotations

from collections.abc import Callable


class BadPattern(ValueError):
    """A regular expression cannot be used; the argument is a sentence that says why."""


def go_pattern(text: str) -> Callable[[str], bool]:
    """Return a function that tells whether a text has a match of one of Go's regular expressions.

    :raises BadPattern: if it is none.
    """
    raise NotImplementedError


def javascript_pattern(text: str, options: str = "") -> Callable[[str], bool]:
    """Return a function that tells whether a text has a match of one of JavaScript's regular expressions.

    :param options: of ``i``, ``m`` and ``s``.
    :raises BadPattern: if it is none, or has look-around or back references, which RE2 does not have.
    """
    raise NotImplementedError
