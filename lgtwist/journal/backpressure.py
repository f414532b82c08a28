"""Which accounts send faster than the disk writes: their implementations are not read for a while. Pure."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger


class Backpressure:
    """Pauses each account that has more than its share of the events that wait for the disk.

    One account may have an eighth of ``limit``. Where many have something that waits, half of ``limit``
    is shared out among these. So an account that sends too fast fills its own share, and is paused; there
    is room for what the others send. It is resumed when it has less than half of its share.

    :param limit: bytes that may wait where commits fail.
    :ivar paused: the accounts that are paused, the longest first, each with the reason: a part of a sentence.
    :ivar check_above: with fewer bytes in the queue no account can have more than its share.
    :ivar pauses: how many times an account was paused.
    """

    _log = Logger()

    def __init__(self, limit: int) -> None:
        self.check_above = limit // 8
        self.paused: dict[int, str] = {}
        self.pauses = 0
        self._together = limit // 2
        self._observers: list[Callable[[int, str], None]] = []

    def observe(self, observer: Callable[[int, str], None]) -> None:
        """Call ``observer`` with the number of each account that is paused or resumed.

        Its second argument is the reason; empty if the account is resumed.
        """
        self._observers.append(observer)

    def _share(self, accounts: int) -> int:
        return min(self.check_above, self._together // max(1, accounts))

    def added(self, account: int, sizes: dict[int, int]) -> bool:
        """Pause an account if it has more than its share now; return whether it was paused.

        :param sizes: bytes that wait, by account.
        """
        share = self._share(len(sizes))
        size = sizes.get(account, 0)
        if size <= share or account in self.paused:
            return False
        self.pauses += 1
        reason = (
            f"{size} bytes of events of account {account} wait for the journal's disk, more than {share}; "
            f"more are taken when less than {share // 2} wait"
        )
        self.paused[account] = reason
        self._tell(account, reason)
        return True

    def freed(self, sizes: dict[int, int]) -> None:
        """Resume each account that has less than half of its share now.

        :param sizes: bytes that wait, by account.
        """
        enough = self._share(len(sizes)) // 2
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
