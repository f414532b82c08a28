"""Filters in LLBot's grammar, which is sift's: operators begin with ``$``, values have types."""

from __future__ import annotations

from typing import Any

from lgtwist.filters.mistakes import FilterMistake
from lgtwist.filters.subject import Predicate


def compile_sift(value: Any, mistakes: list[FilterMistake]) -> Predicate:
    """Return a function that tells whether an event passes a filter in LLBot's grammar.

    :param value: the filter; of equal keys in an object the last counts, as in JavaScript.
    :param mistakes: every mistake is appended; if there is one, what is returned must not be used.
    """
    raise NotImplementedError
