"""The phases of a connection, and which may follow which."""

from __future__ import annotations

from enum import IntEnum


class Phase(IntEnum):
    """Where a connection stands. Phases are entered in this order, each at most once; some are skipped.

    CONNECTING: nothing may be sent. OPEN: since ``onOpen``. CLOSING: since the first close frame in
    either direction, a failed peer, or ``close()``; no data frame is sent any more. CLOSED: since
    ``onClose``, whatever happened before.
    """

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


class PhaseError(RuntimeError):
    """A phase was to be entered that may not follow the current one.

    :ivar earlier: the current phase.
    :ivar later: the one that was to be entered.
    """

    def __init__(self, earlier: Phase, later: Phase) -> None:
        super().__init__(f"{later.name} cannot follow {earlier.name}")
        self.earlier = earlier
        self.later = later


def may_follow(earlier: Phase, later: Phase) -> bool:
    """Return whether ``later`` may be entered from ``earlier``."""
    return later > earlier
