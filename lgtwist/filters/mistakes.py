"""What is wrong with a filter, and where."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

#: Characters of a key that are shown.
_SHOWN_KEY = 60


def path_to(path: str, key: str) -> str:
    """Return the path of a member of an object in a filter, as in ``.or[1].group_id..in``.

    Control characters and what is too long are not shown.

    :param path: of the object; empty for the filter as a whole.
    """
    shown = "".join(sign if sign.isprintable() else "\ufffd" for sign in key[:_SHOWN_KEY])
    if len(key) > _SHOWN_KEY:
        shown += "..."
    return f"{path}.{shown or '(empty key)'}" if path else shown or "(empty key)"


@frozen
class FilterMistake:
    """One mistake in a filter.

    :ivar path: where it is, as in ``$or[1].group_id.$in``; empty for the filter as a whole.
    :ivar sentence: what was expected.
    """

    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" if self.path else self.sentence


class BadFilter(ValueError):
    """A filter cannot be used.

    :param mistakes: at least one.
    :ivar mistakes: as given, as a tuple.
    """

    def __init__(self, mistakes: Iterable[FilterMistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(map(str, self.mistakes)))
