"""The reactor, on a monotonic clock: nothing that waits ends earlier or later because somebody set the clock.

This module is imported, and :func:`install_reactor` called, before anything imports
``twisted.internet.reactor``: that import installs Twisted's default reactor, on the wall clock.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from lgtwist.runtime.logs import Logger

_log = Logger()

#: The module that is there once a reactor is installed.
_INSTALLED = "twisted.internet.reactor"
#: Seconds that two readings of the monotonic clock, one after the other, may differ.
_SAME = 1.0


def install_reactor() -> Any:
    """Return the reactor, its clock monotonic where that is possible.

    Where none is installed yet, ours is: epoll's, or Twisted's default where there is no epoll. One that is
    installed already (``twistd --reactor=``, another plugin) stays; its clock is replaced as long as nothing
    is scheduled on it, for what is scheduled has its time by the old one. Otherwise it keeps the wall clock,
    and a line says so.
    """
    if _INSTALLED not in sys.modules:
        _install_ours()
    from twisted.internet import reactor

    if not use_monotonic_clock(reactor):
        _log.warn(
            "something was scheduled on the reactor ({kind}) before lgtwist: it goes by the wall clock, and "
            "when that is set, beats and time limits come too late or too early",
            kind=type(reactor).__name__,
        )
    return reactor


def _install_ours() -> None:
    """Install a reactor that polls with epoll, if there is epoll."""
    try:
        from twisted.internet.epollreactor import EPollReactor
    except ImportError:  # not Linux
        return
    from twisted.internet.main import installReactor

    class MonotonicEPollReactor(EPollReactor):
        """Twisted's reactor for Linux; its clock is monotonic. It stands still while the machine sleeps."""

        seconds = staticmethod(time.monotonic)

    installReactor(MonotonicEPollReactor())


def use_monotonic_clock(reactor: Any) -> bool:
    """Let a reactor go by the monotonic clock; return whether it does.

    :param reactor: nothing is changed where it does already, or where anything is scheduled on it.
    """
    if abs(reactor.seconds() - time.monotonic()) < _SAME:
        return True
    if reactor.getDelayedCalls():
        return False
    try:
        reactor.seconds = time.monotonic
    except AttributeError:  # a reactor with slots, or none of Twisted's
        return False
    return True
