"""The tests of lgtwist.

Property tests try the same examples each time, so that a change is judged by what it changes; others each
time where ``LGTWIST_TEST_RANDOM`` is set.
"""

from __future__ import annotations

import os

from hypothesis import settings

from lgtwist.runtime import logs

settings.register_profile("same", derandomize="LGTWIST_TEST_RANDOM" not in os.environ, database=None)
settings.load_profile("same")

# The lines of one test are not throttled because of those of another one.
logs.throttle = logs.LineThrottle(unlimited=True)
