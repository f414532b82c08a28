"""Whether an account is online, by what its implementation sends. Pure.

The newest report counts, with one exception: after ``bot_offline``, heartbeats that say ``online`` are
ignored, since the heartbeats of some implementations (Lagrange) always say so.
"""

from __future__ import annotations


class Presence:
    """Whether an account is online.

    :ivar online: whether it is, as the newest report says.
    :ivar reason: why it is not online; empty if it is.
    """

    def __init__(self) -> None:
        self.online = True
        self.reason = ""
        self._ignores_online_heartbeats = False

    def mark_online(self) -> None:
        """Set online, because of a new link, ``bot_online``, or a message."""
        self.online = True
        self.reason = ""
        self._ignores_online_heartbeats = False

    def mark_offline(self) -> None:
        """Set offline, because of ``bot_offline``."""
        self.online = False
        self.reason = "its implementation says bot_offline"
        self._ignores_online_heartbeats = True

    def update(self, online: bool) -> None:
        """Set online or offline, because of a heartbeat or a response to ``get_status``.

        :param online: the field ``online``.
        """
        if not online:
            self.online = False
            self.reason = "its implementation says that it is offline"
            self._ignores_online_heartbeats = False  # they report both
        elif not self._ignores_online_heartbeats:
            self.mark_online()
