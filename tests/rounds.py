"""How long random tests go on: few rounds here, more where ``LGTWIST_TEST_ROUNDS`` says so."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

ROUNDS = max(1, int(os.environ.get("LGTWIST_TEST_ROUNDS", "1")))
#: For tests that take long: CI has other things to do too.
LONG_ROUNDS = min(ROUNDS, 2)
#: For tests over real sockets, where a round takes time: a few more, not as many.
SOCKET_ROUNDS = 1 + ROUNDS // 10

#: For property tests: ``@quick`` on top of ``@given``.
quick = settings(
    max_examples=40 * min(ROUNDS, 5),
    deadline=None,  # machines are noisy; time limits belong to tests about time
    database=None,
    # The tests of the connection contract run over both directions, in two classes.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
