"""Filters in go-cqhttp's grammar: operators begin with a dot, values are compared as strings."""

from __future__ import annotations

from typing import Any

from lgtwist.filters.mistakes import FilterMistake
from lgtwist.filters.subject import Predicate


def compile_go_cqhttp(pairs: Any, mistakes: list[FilterMistake]) -> Predicate:
    """Return a function that tells whether an event passes a filter in go-cqhttp's grammar.

    :param pairs: the filter, its objects as :class:`lgtwist.filters.reading.Pairs`, where each of several
        equal keys counts.
    :param mistakes: every mistake is appended; if there is one, what is returned must not be used.
    """
    raise NotImplementedError
