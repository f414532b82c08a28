"""``[journal]``: what the journal is configured with."""

from __future__ import annotations

from attrs import frozen

from lgtwist.config.section import Section
from lgtwist.config.values import choice, duration, size


@frozen
class JournalSettings:
    """``[journal]``.

    :ivar retention: seconds that events are kept.
    :ivar max_size: bytes on the disk.
    :ivar sync: whether a commit waits for the disk.
    :ivar set_aside: whether a damaged file is set aside, instead of not starting.
    """

    retention: float = 7 * 86400.0
    max_size: int = 1 << 30
    sync: bool = True
    set_aside: bool = False


def read_journal(section: Section) -> JournalSettings:
    """Read ``[journal]``; mistakes are collected in the section."""
    read = JournalSettings(
        section.read("retention", duration(1, 366 * 86400), "7d"),
        section.read("max_size", size(1 << 20, 1 << 40), "1GiB"),
        section.read("sync", choice(("full", "normal")), "full") != "normal",
        section.read("on_damage", choice(("stop", "set-aside")), "stop") == "set-aside",
    )
    section.finish()
    return read
