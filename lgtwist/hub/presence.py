"""Whether an account is online, by what its implementation sends. Pure.

The newest report counts, with two exceptions. After ``bot_offline``, reports that say ``online`` are ignored
where the dialect does not vouch for them (the heartbeats of Lagrange always say so), until one said offline.
Reports that say offline are ignored where they have never said anything else, and events went on coming.
"""

from __future__ import annotations

#: Reports of offline that events contradicted, without a report of online, after which they are ignored.
_CONTRADICTIONS = 3


class Presence:
    """Whether an account is online.

    :ivar online: whether it is, as the newest report says.
    :ivar reason: why it is not online; empty if it is.
    :ivar needs_proof: whether it is offline because of ``bot_offline``, and nothing was reported since that
        can be believed.
    """

    def __init__(self) -> None:
        self.online = True
        self.reason = ""
        self.needs_proof = False
        self._reported_offline = False
        self._contradictions = 0

    def mark_online(self) -> None:
        """Set online, because of a new link or ``bot_online``."""
        self.online = True
        self.reason = ""
        self.needs_proof = self._reported_offline = False

    def event_seen(self) -> None:
        """Set online, because of an event that only an online account has."""
        if self._reported_offline:
            self._contradictions += 1
        self.mark_online()

    def mark_offline(self) -> None:
        """Set offline, because of ``bot_offline``."""
        self.online = False
        self.reason = "its implementation says bot_offline"
        self.needs_proof = True

    def update(self, online: bool, *, believed: bool = False) -> None:
        """Set online or offline, because of a heartbeat or a response to ``get_status``.

        :param online: the field ``online``.
        :param believed: whether it counts after ``bot_offline`` too.
        """
        if online:
            self._contradictions = 0
            if believed or not self.needs_proof:
                self.mark_online()
        elif self._contradictions < _CONTRADICTIONS:
            self._reported_offline = True
            self.online = False
            self.reason = "its implementation says that it is offline"
            self.needs_proof = False  # it reports both
