"""What the bodies of requests may take of memory while they come, and until they are let go. Pure."""

from __future__ import annotations

from typing import Protocol

from lgtwist.runtime.budget import Budget, Reader

#: Posts whose signature is not checked yet have this part of ``peer_memory``.
_UNVERIFIED_SHARE = 4
_UNVERIFIED = "too many posts wait until their signature can be checked (peer_memory); try again soon"


class RequestBody(Reader, Protocol):
    """The body of a request that is being read."""

    def refuse(self, sentence: str) -> None:
        """Let go what was received of it, and answer 503."""


class BodyBudget(Protocol):
    """Counts bodies."""

    def charge(self, body: RequestBody, size: int) -> None:
        """Count ``size`` bytes more of a body; refuse it, or another one, if that is too much."""

    def forget(self, body: RequestBody, size: int) -> None:
        """Count a body no more, for which ``size`` bytes were counted."""


class PeerBodies:
    """Counts the bodies of one peer in its budget. What does not fit is refused.

    One body may be read to its end all the same, so that a budget smaller than ``max_message`` stops nobody.

    :param name: of the peer, for the answer.
    """

    def __init__(self, budget: Budget, name: str) -> None:
        self._budget = budget
        self._name = name

    def charge(self, body: RequestBody, size: int) -> None:
        """Count ``size`` bytes more of a body; refuse it if that is too much."""
        self._budget.charge(size)
        if not self._budget.may_read(body):
            body.refuse(f"too much is held for {self._name} already (peer_memory); try again soon")

    def forget(self, body: RequestBody, size: int) -> None:
        """Count a body no more, for which ``size`` bytes were counted."""
        self._budget.release(size)
        self._budget.forget(body)


class UnverifiedBodies:
    """Counts the posts to one account whose signature is not checked yet: anybody may have sent them.

    Together they have a quarter of the account's ``peer_memory``. Beyond, the one that began first is
    refused: a post of the implementation takes a moment, those of somebody who wants to fill the memory
    stay. The last one may be larger.

    :param account: the account's budget, whose limit counts.
    :ivar used: bytes that are counted now.
    """

    def __init__(self, account: Budget) -> None:
        self._account = account
        self._bodies: dict[RequestBody, None] = {}  # the one that began first, first
        self.used = 0

    def charge(self, body: RequestBody, size: int) -> None:
        """Count ``size`` bytes more of a body; refuse those that began first if that is too much."""
        self._bodies[body] = None
        self.used += size
        while self.used > self._account.limit // _UNVERIFIED_SHARE and len(self._bodies) > 1:
            oldest = next(iter(self._bodies))
            del self._bodies[oldest]
            oldest.refuse(_UNVERIFIED)

    def forget(self, body: RequestBody, size: int) -> None:
        """Count a body no more, for which ``size`` bytes were counted."""
        self._bodies.pop(body, None)
        self.used -= size
