"""How long random tests go on, and what is tried in all combinations.

Few rounds, and one representative of each kind; more, and all, where ``LGTWIST_TEST_ROUNDS`` is set (CI).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TypeVar
from unittest import skipUnless

from hypothesis import HealthCheck, settings

_Case = TypeVar("_Case")

ROUNDS = max(1, int(os.environ.get("LGTWIST_TEST_ROUNDS", "1")))
#: For tests that take long: CI has other things to do too.
LONG_ROUNDS = min(ROUNDS, 2)
#: For tests over real sockets, where a round takes time: a few more, not as many.
SOCKET_ROUNDS = 1 + ROUNDS // 10

#: How much longer our code takes where coverage traces each of its lines: a factor for bounds in seconds.
SLOWNESS = 1 if sys.gettrace() is None else 5

#: On a test, or on a test case, that differs from one of the default run only in how things are combined.
combination = skipUnless(
    "LGTWIST_TEST_ROUNDS" in os.environ, "one more combination: only where LGTWIST_TEST_ROUNDS is set"
)


def some(*cases: _Case, most: int = 2) -> Sequence[_Case]:
    """Return the first of several cases that differ little and cost a process each; all of them in CI."""
    return cases if "LGTWIST_TEST_ROUNDS" in os.environ else cases[:most]


#: For property tests: ``@quick`` on top of ``@given``.
quick = settings(
    max_examples=40 * min(ROUNDS, 5),
    deadline=None,  # machines are noisy; time limits belong to tests about time
    database=None,
    # The tests of the connection contract run over both directions, in two classes.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
