"""How many files, and so connections, this process may open."""

from __future__ import annotations

import resource
from math import inf


def raise_open_files_limit() -> float:
    """Raise the limit as far as the system lets this process.

    :returns: how many files it may open then.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return open_files_limit()


def open_files_limit() -> float:
    """Return how many files it may open."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return inf if soft == resource.RLIM_INFINITY else soft
