"""Work that nobody awaits: exceptions are logged. And work that goes on when nobody awaits it any more."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from lgtwist.runtime.logs import Logger

_Result = TypeVar("_Result")

_log = Logger()


def spawn(name: str, coroutine: Coroutine[Deferred[Any], Any, Any]) -> Deferred[None]:
    """Start a coroutine. What it raises is logged under ``name``.

    :returns: fires with None when the coroutine has ended, however; cancelling it cancels the coroutine.
    """
    started: Deferred[Any] = Deferred.fromCoroutine(coroutine)

    def ended(failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("{task} failed", failure, task=name)

    return started.addCallbacks(lambda _result: None, ended)


def shielded(work: Deferred[_Result]) -> Deferred[_Result]:
    """Return what fires as ``work`` does; cancelling it leaves ``work`` going on."""
    done: Deferred[Any] = Deferred()

    def ended(result: object) -> None:
        if not done.called:
            done.callback(result)  # a Failure becomes its failure

    work.addBoth(ended)
    return done


def log_failures(name: str, tick: Callable[[], object]) -> Callable[[], None]:
    """Wrap ``tick`` for a ``TimerService``, which would stop at an exception: it is logged under ``name``."""

    def guarded() -> None:
        try:
            tick()
        except Exception:
            _log.failure("{task} failed once", task=name)

    return guarded
