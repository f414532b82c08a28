"""Hungry peers of every kind, over real sockets: the process stays small, and a witness is served."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.hungry import KINDS
from benchmarks.soak import run
from tests.rounds import combination

#: MiB: peer_memory, one message of max_message, and what the process may grow besides.
BUDGET, MESSAGE, BESIDES = 64, 32, 64
#: These run always; the others where LGTWIST_TEST_ROUNDS is set.
QUICK = ("large_echoes", "unfinished_messages")


class HungryPeerTests(SynchronousTestCase):
    """Whatever one peer does, the process grows by its budget and 64 MiB at most, and is back soon."""


def _test_of(kind: str) -> Callable[[HungryPeerTests], None]:
    def test(self: HungryPeerTests) -> None:
        seen = run(2.0, [kind], together=False)[kind]
        self.assertLess(seen.most, BUDGET + MESSAGE + BESIDES)
        self.assertLess(seen.left, BESIDES)
        # Other tests run at the same time: how long the longest call took is measured by benchmarks.soak.
        self.assertGreater(seen.calls, 5, "calls of the witness in two seconds")
        self.assertLess(seen.slowest, 5.0)
        self.assertLess(seen.latest, 5.0)

    test.__doc__ = KINDS[kind].__doc__
    return test if kind in QUICK else combination(test)


for _kind in KINDS:
    setattr(HungryPeerTests, f"test_{_kind}", _test_of(_kind))
