"""What is missing in a journal, each event counted once. Pure."""

from __future__ import annotations


class Gaps:
    """Stretches of ordinals that were counted as missing, none touching another."""

    def __init__(self) -> None:
        self._counted: list[tuple[int, int]] = []

    def add(self, begin: int, end: int, done: int) -> int:
        """From one ordinal up to another events are missing; how many of them were not counted before.

        :param done: what is up to here never comes up again.
        """
        counted = [one for one in self._counted if one[1] > done]
        new = end - begin - sum(max(0, min(end, high) - max(begin, low)) for low, high in counted)
        apart = [one for one in counted if one[1] < begin or one[0] > end]
        joined = [(begin, end), *(one for one in counted if one not in apart)]
        apart.append((min(low for low, _ in joined), max(high for _, high in joined)))
        self._counted = apart
        return new
