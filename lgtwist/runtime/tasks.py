"""The two ways to start work that nobody awaits; neither lets an exception out."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()


def spawn(name: str, coroutine: Coroutine[Deferred[Any], Any, Any]) -> Deferred[None]:
    """Start a coroutine under a name. What it raises is logged under that name.

    :returns: fires with None when it has ended, however; cancelling it cancels the coroutine.
    """
    started: Deferred[Any] = Deferred.fromCoroutine(coroutine)

    def ended(failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("{task} failed", failure, task=name)

    return started.addCallbacks(lambda _result: None, ended)


def survive(name: str, tick: Callable[[], object]) -> Callable[[], None]:
    """A ``tick`` for a ``TimerService`` that cannot stop its clock by raising."""

    def survivor() -> None:
        try:
            tick()
        except Exception:
            _log.failure("{task} failed once", task=name)

    return survivor
