"""Whether an account's implementation says that it is logged in. Pure.

The word that counts is the last one, with one exception: implementations whose heartbeats say ``online``
whatever happens (Lagrange's) must not talk an account back that said ``bot_offline`` before.
"""

from __future__ import annotations


class Presence:
    """What an implementation says of its account.

    :ivar online: the last word.
    :ivar reason: why it is not online.
    """

    def __init__(self) -> None:
        self.online = True
        self.reason = ""
        self._distrusts_heartbeats = False

    def sign_of_life(self) -> None:
        """A new link, ``bot_online``, or a message: what only an account that is online has."""
        self.online = True
        self.reason = ""
        self._distrusts_heartbeats = False

    def said_offline(self) -> None:
        """``bot_offline`` came."""
        self.online = False
        self.reason = "its implementation says bot_offline"
        self._distrusts_heartbeats = True

    def status(self, online: bool) -> None:
        """A heartbeat, or the answer to ``get_status``."""
        if not online:
            self.online = False
            self.reason = "its implementation says that it is offline"
            self._distrusts_heartbeats = False  # they tell the two apart
        elif not self._distrusts_heartbeats:
            self.sign_of_life()
