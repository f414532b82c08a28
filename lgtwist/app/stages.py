"""Stop one stage after the other, each awaited and isolated."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import frozen
from twisted.internet.defer import maybeDeferred

from lgtwist.runtime.logs import Logger

_log = Logger(throttled=False)


@frozen
class Stage:
    """A part of the service that is stopped as a whole.

    :ivar name: for the log.
    :ivar stop: stops it; may return a Deferred that fires when it has stopped.
    """

    name: str
    stop: Callable[[], object]


async def stop_stages(stages: Iterable[Stage]) -> None:
    """Stop the stages in order, each when the one before has stopped; log a failure and go on."""
    for stage in stages:
        try:
            await maybeDeferred(stage.stop)
        except Exception:
            _log.failure("stopping: {stage} failed", stage=stage.name)
