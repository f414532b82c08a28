"""Placeholder until the branch `cmd` brings the real one."""

from __future__ import annotations


class ConfigurationError(Exception):
    """The configuration cannot be read; ``lines`` says why."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
