"""Lines that Twisted, Autobahn and Python write in this process, made fit for the log as ours are."""

from __future__ import annotations

from typing import Any

from twisted.logger import ILogObserver, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import provider

from lgtwist.runtime import logs
from lgtwist.runtime.log_text import FIELD, ShownFailure, exception_name, failure_origin, shorten, shown

#: Whose lines a peer of ours may cause, by the first part of their namespace. Of ``lgtwist`` are those that
#: Twisted's classes write for our subclasses of them; of ``stdout`` and ``stderr`` what Python and libraries
#: print; of ``log_legacy`` what uses ``twisted.python.log``. The lines of other programs are left alone.
_FOREIGN = frozenset({"autobahn", "lgtwist", "log_legacy", "stderr", "stdout", "twisted", "txaio"})
#: Lines of one kind in a period.
FOREIGN_LINES = 100
#: Characters of a line.
FOREIGN_LINE = 4 * FIELD
#: Marks an event that was looked at: those before the log begins come twice.
_SEEN = "lgtwist_seen"
#: What makes the text of an event, for observers of both kinds.
_TEXTS = ("format", "message", "why", "failure", "isError", "log_failure", "log_text", "log_io")


@provider(ILogObserver)
def tame_foreign_line(event: dict[str, Any]) -> None:
    """Make an event printable, bounded and throttled; one that is left out is made empty.

    Observers that come later find it so: a file's writes nothing for an event without a text.
    """
    if _SEEN in event or isinstance(event.get("log_logger"), logs.Emitter):
        return
    namespace = event.get("log_namespace") or ""
    if namespace.partition(".")[0] not in _FOREIGN:
        return
    event[_SEEN] = True
    failure = event.get("log_failure") or event.get("failure")
    if not isinstance(failure, Failure):
        failure = None
    kind: tuple[object, ...] = (namespace, event.get("log_format"))
    most = FOREIGN_LINES
    if failure is not None:
        kind, most = (*kind, *failure_origin(failure)), logs.TRACEBACKS
    left_out = logs.throttle.left_out(kind, None, most, most)
    for name in ("system", "log_system"):
        if name in event:
            event[name] = shown(event[name])
    if left_out is None:
        _clean(event, failure)
    else:
        if left_out.report is None:
            level = event.get("log_level") or LogLevel.info
            line = _line_of(event, failure)
            if failure is not None:
                line = f"{line} ({exception_name(failure.type)})"
            left_out.report = logs.report_as(logs.Emitter(namespace), level, line)
        _empty(event)


def _line_of(event: dict[str, Any], failure: Failure | None) -> str:
    """Return what an event says, without a traceback."""
    legacy = failure is not None and "log_failure" not in event  # its text is the reason and the traceback
    text = str(event.get("why") or "Unhandled Error") if legacy else formatEvent(event)
    return shorten(text, FOREIGN_LINE)


def _clean(event: dict[str, Any], failure: Failure | None) -> None:
    """Let an event say the same in printable characters, and not too many of them."""
    line = _line_of(event, failure)
    if failure is None and line == formatEvent(event):
        return
    _empty(event)
    event.update(log_format="{log_text}", log_text=line)
    if failure is not None:
        event["log_failure"] = ShownFailure(failure)


def _empty(event: dict[str, Any]) -> None:
    for name in _TEXTS:
        event.pop(name, None)
    event["log_format"] = None


def tame_foreign_lines() -> None:
    """Look at all lines from now on, before observers that are added later get them."""
    globalLogPublisher.addObserver(tame_foreign_line)


__all__ = ["FOREIGN_LINE", "FOREIGN_LINES", "tame_foreign_line", "tame_foreign_lines"]
