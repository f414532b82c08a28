"""The table ``[console]``."""

from __future__ import annotations

from attrs import frozen

from lgtwist.config.section import Section
from lgtwist.config.values import boolean


@frozen
class ConsoleSettings:
    """The keys of ``[console]``.

    :ivar enabled: whether ``/console/`` is served.
    """

    enabled: bool = True


def read_console(section: Section) -> ConsoleSettings:
    """Read ``[console]``; mistakes are collected in the section."""
    read = ConsoleSettings(enabled=section.read("enabled", boolean, ConsoleSettings().enabled))
    section.finish()
    return read
