"""The life of a connection, in four words."""

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


def may_follow(earlier: Phase, later: Phase) -> bool:
    """Whether ``later`` may be entered from ``earlier``."""
    return later > earlier
