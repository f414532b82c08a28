"""Which accounts send faster than the disk writes: their implementations are not read for a while. Pure."""

from __future__ import annotations

from collections.abc import Callable

from lgtwist.runtime.logs import Logger

#: An account may have such a part of what is free.
_PART = 8


class Backpressure:
    """Pauses each account that has more than its share of the events that wait for the disk.

    An account's share is an eighth of what is free of ``limit``: about a ninth of ``limit`` where one account
    sends too fast, less where several do, so that there is always room for what one more sends, and all
    together stay below ``limit``. (What was received already may come on top.) An account is resumed when it
    has less than half of its share.

    :param limit: bytes.
    :ivar paused: the accounts that are paused, the longest first, each with the reason: a part of a sentence.
    :ivar check_above: with fewer bytes in the queue no account can have more than its share.
    :ivar pauses: how many times an account was paused.
    """

    _log = Logger()

    def __init__(self, limit: int) -> None:
        self.check_above = limit // (_PART + 1)
        self.paused: dict[int, str] = {}
        self.pauses = 0
        self._limit = limit
        self._observers: list[Callable[[int, str], None]] = []

    def observe(self, observer: Callable[[int, str], None]) -> None:
        """Call ``observer`` with the number of each account that is paused or resumed.

        Its second argument is the reason; empty if the account is resumed.
        """
        self._observers.append(observer)

    def added(self, account: int, size: int, total: int) -> bool:
        """Pause an account if it has more than its share now; return whether it was paused.

        :param size: bytes of its events that wait.
        :param total: bytes of all events that wait.
        """
        share = max(0, self._limit - total) // _PART
        if size <= share or account in self.paused:
            return False
        self.pauses += 1
        reason = (
            f"{size} bytes of events of account {account} wait for the journal's disk, more than its share "
            f"({share}); more are taken when half of that is written"
        )
        self.paused[account] = reason
        self._tell(account, reason)
        return True

    def freed(self, sizes: dict[int, int], total: int) -> None:
        """Resume each account that has less than half of its share now.

        :param sizes: bytes that wait, by account.
        :param total: their sum.
        """
        enough = max(0, self._limit - total) // _PART // 2
        for account in tuple(self.paused):
            if sizes.get(account, 0) <= enough:
                self._resume(account)

    def resume_all(self) -> None:
        """Resume every account."""
        for account in tuple(self.paused):
            self._resume(account)

    def _resume(self, account: int) -> None:
        if self.paused.pop(account, None) is not None:
            self._tell(account, "")

    def _tell(self, account: int, reason: str) -> None:
        for observer in self._observers:
            try:
                observer(account, reason)
            except Exception:
                self._log.failure("journal: an observer failed")
