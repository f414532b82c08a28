"""What keeps a log readable: a logger whose lines are printable, bounded and throttled, and more throttles.

Every line of lgtwist is written by a :class:`Logger`. The other throttles only answer whether to log, where
a caller knows better which of its lines say something new.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import Factory, define
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger as TwistedLogger
from twisted.logger import LogLevel
from twisted.python.compat import currentframe
from twisted.python.failure import Failure

from lgtwist.runtime.log_text import FIELD, ShownFailure, exception_name, failure_origin, place, shown_line

#: Seconds for which lines are counted together.
PERIOD = 60.0
#: Lines of one kind about one subject in a period, and about all subjects.
LINES, ALL_LINES = 100, 1000
#: Tracebacks of one kind about one subject in a period, and about all subjects.
TRACEBACKS, ALL_TRACEBACKS = 5, 50
#: Kinds of lines that are told apart in a period.
_KINDS = 1000
#: Characters of a field where no peer chooses how long it is, as in the lines about a configuration.
CONFIGURED = 64 * 1024
#: Characters of a subject that are looked at.
_SUBJECT = 100


@define
class LeftOut:
    """Lines of one kind about one subject in a period.

    :ivar written: how many were written.
    :ivar times: how many were left out.
    :ivar report: writes how many were left out, and the first of them; None as long as none was.
    """

    written: int = 0
    times: int = 0
    report: Callable[..., None] | None = None


@define
class _Kind:
    """Lines of one kind in a period.

    :ivar written: how many were written.
    :ivar beyond: the subjects that came when there were too many lines of the kind.
    :ivar subjects: the lines by what they are about.
    """

    written: int = 0
    beyond: LeftOut = Factory(LeftOut)
    subjects: dict[object, LeftOut] = Factory(dict)


class LineThrottle:
    """Limits how many lines of each kind are written in a period.

    How many were left out is a line at its end. A period begins with its first line, and its end is noticed
    with the next line or by :meth:`check`.

    :param clock: returns the time in seconds.
    :param unlimited: write all lines, as tests want it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, unlimited: bool = False) -> None:
        self._clock = clock
        self._unlimited = unlimited
        self._ends_at = 0.0
        self._kinds: dict[object, _Kind] = {}

    def left_out(self, kind: object, subject: object, most: int, most_of_kind: int) -> LeftOut | None:
        """Count a line.

        :param kind: what lines that say the same have in common.
        :param subject: what the line is about.
        :param most: lines of one kind and subject in a period.
        :param most_of_kind: lines of one kind in a period.
        :returns: None if the line is to be written; otherwise that to which it was added. If that has no
            ``report`` yet, the caller sets it.
        """
        if self._unlimited:
            return None
        now = self._clock()
        if now >= self._ends_at:
            self.end_period()
        of_kind = self._kinds.get(kind)
        if of_kind is None:
            of_kind = self._first_of(kind, now)
        lines = of_kind.beyond
        if of_kind.written < most_of_kind:
            known = of_kind.subjects.get(subject)
            lines = of_kind.subjects.setdefault(subject, LeftOut()) if known is None else known
            if lines.written < most:
                lines.written += 1
                of_kind.written += 1
                return None
        lines.times += 1
        return lines

    def _first_of(self, kind: object, now: float) -> _Kind:
        if not self._kinds:
            self._ends_at = now + PERIOD
        if len(self._kinds) >= _KINDS:
            kind = None
        return self._kinds.setdefault(kind, _Kind())

    def check(self) -> None:
        """End the period if it is over. Call this now and then."""
        if self._clock() >= self._ends_at:
            self.end_period()

    def end_period(self) -> None:
        """Begin a new period, and write a line for each kind and subject of which lines were left out."""
        self._kinds, kinds = {}, self._kinds
        for kind in kinds.values():
            for lines in (*kind.subjects.values(), kind.beyond):
                if lines.report is not None:
                    lines.report(times=lines.times)


#: The throttle of all lines of this process.
throttle = LineThrottle()


def check_left_out() -> None:
    """Write how many lines were left out, if the period is over. Call this every few seconds."""
    throttle.check()


def report_left_out() -> None:
    """Write how many lines were left out, whether or not the period is over. Call this before the end."""
    throttle.end_period()


class Emitter(TwistedLogger):
    """Twisted's logger, for lines that are fit for the log already."""


def report_as(emitter: TwistedLogger, level: Any, line: str) -> Callable[..., None]:
    """Return what writes a line about lines that were left out; call it with their number as ``times``.

    :param line: the first of them.
    """
    return partial(
        emitter.emit,
        level,
        "{times} more lines like this in {seconds:g} s: {line}",
        seconds=PERIOD,
        line=line,
    )


class Logger:
    """Writes lines as Twisted's ``Logger`` does, but none that a peer could misuse.

    Fields are printable and of a bounded length (:mod:`lgtwist.runtime.log_text`), so is each traceback.
    Lines are throttled (:class:`LineThrottle`): those with the same format are of one kind, tracebacks where
    the exception and its place are the same, too. The fields ``bot``, ``account`` and ``name``, which
    have their values from the configuration alone, are the subject of a line.

    Use it as an attribute of a class, whose name the lines get then, or of a module.

    :param namespace: the name of the lines' origin.
    :param throttled: False for lines that no peer can cause, and for lines with a throttle of their own.
    :param longest: characters of a field.
    """

    def __init__(self, namespace: str = "", *, throttled: bool = True, longest: int = FIELD) -> None:
        self._throttled = throttled
        self._longest = longest
        self._emitter = Emitter(namespace or currentframe(1).f_globals["__name__"])
        self._of_class: dict[type, Logger] = {}

    def __get__(self, instance: object, owner: type) -> Logger:
        """Return the logger whose lines have the name of the class."""
        logger = self._of_class.get(owner)
        if logger is None:
            name = f"{owner.__module__}.{owner.__name__}"
            logger = Logger(name, throttled=self._throttled, longest=self._longest)
            self._of_class[owner] = logger
        return logger

    def emit(self, level: Any, format: str, /, **fields: object) -> None:
        """Write a line.

        :param level: one of Twisted's ``LogLevel``.
        :param format: what the line says, with ``{name}`` for the field ``name``; a literal.
        """
        if self._throttled:
            left_out = throttle.left_out(format, _subject(fields), LINES, ALL_LINES)
            if left_out is not None:
                if left_out.report is None:
                    left_out.report = self._report_as(level, format, fields)
                return
        format, fields, _line = shown_line(format, fields, self._longest)
        self._emitter.emit(level, format, **fields)

    def _report_as(self, level: Any, format: str, fields: dict[str, object]) -> Callable[..., None]:
        return report_as(self._emitter, level, shown_line(format, fields, self._longest)[2])

    def info(self, format: str, /, **fields: object) -> None:
        """Write a line that says that something has changed."""
        self.emit(LogLevel.info, format, **fields)

    def warn(self, format: str, /, **fields: object) -> None:
        """Write a line about what is not as it should be."""
        self.emit(LogLevel.warn, format, **fields)

    def error(self, format: str, /, **fields: object) -> None:
        """Write a line about what somebody must mend."""
        self.emit(LogLevel.error, format, **fields)

    def failure(self, format: str, failure: Failure | None = None, /, **fields: object) -> None:
        """Write a line and the traceback of an exception that was not expected.

        :param failure: None for the exception that is being handled.
        """
        if self._throttled:
            kind, _value, traceback = sys.exc_info()
            if failure is not None:
                raised_at = failure_origin(failure)
            else:
                raised_at = (kind, *(place(traceback) if traceback is not None else ()))
            left_out = throttle.left_out((format, *raised_at), _subject(fields), TRACEBACKS, ALL_TRACEBACKS)
            if left_out is not None:
                if left_out.report is None:
                    named = exception_name(kind if failure is None else failure.type)
                    fields["exception"] = named
                    left_out.report = self._report_as(LogLevel.critical, f"{format} ({{exception}})", fields)
                return
        format, fields, _line = shown_line(format, fields, self._longest)
        traced = ShownFailure(failure or Failure())
        self._emitter.emit(LogLevel.critical, format, log_failure=traced, **fields)


def _subject(fields: dict[str, object]) -> object:
    """Return what a line is about: of the fields that the configuration gives values to."""
    return _named(fields.get("bot")), _named(fields.get("account")), _named(fields.get("name"))


def _named(value: object) -> object:
    if value is None or type(value) is int:
        return value
    return value[:_SUBJECT] if type(value) is str else None


class LogThrottle:
    """Lets the first of several occurrences be logged, and not those that follow it soon.

    :param clock: the reactor, or a clock in its place.
    :param quiet: seconds without an occurrence after which the next one is logged again.
    """

    def __init__(self, clock: IReactorTime, quiet: float = 60.0) -> None:
        self._clock = clock
        self._quiet = quiet
        self._last: float | None = None

    def should_log(self) -> bool:
        """Count an occurrence; return whether to log it."""
        now = self._clock.seconds()
        last, self._last = self._last, now
        return last is None or now - last > self._quiet


class LogThrottles:
    """A :class:`LogThrottle` for each of many keys, of which a peer may have invented most.

    :param clock: the reactor, or a clock in its place.
    :param most: how many keys are kept; further ones are not logged.
    :param quiet: seconds without an occurrence of a key after which it is logged again, and seconds after
        which a full set of keys is cleared.
    """

    def __init__(self, clock: IReactorTime, most: int, quiet: float = 60.0) -> None:
        self._clock = clock
        self._most = most
        self._quiet = quiet
        self._since = clock.seconds()
        self._throttles: dict[str, LogThrottle] = {}

    def should_log(self, key: str) -> bool:
        """Count an occurrence of ``key``; return whether to log it."""
        throttle = self._throttles.get(key)
        if throttle is None:
            now = self._clock.seconds()
            if len(self._throttles) >= self._most:
                if now - self._since < self._quiet:
                    return False
                self._throttles.clear()
            if not self._throttles:
                self._since = now
            throttle = self._throttles[key] = LogThrottle(self._clock, self._quiet)
        return throttle.should_log()


class FlapLog:
    """Limits the lines about what opens and closes again and again.

    So many in a period, each new reason, and one line for the rest.

    :param clock: the reactor, or a clock in its place.
    :param left_out: called at the end of a period in which lines were left out, with their number.
    :param most: lines in a period; and how many reasons are told apart in it.
    :param period: seconds.
    """

    def __init__(
        self, clock: IReactorTime, left_out: Callable[[int], None], most: int = 1000, period: float = 30.0
    ) -> None:
        self._clock = clock
        self._report_left_out = left_out
        self._most = most
        self._period = period
        self._begun_at: float | None = None  # when the period began; None between periods
        self._left = most
        self._left_out = 0
        self._reasons: set[str] = set()
        self._end: IDelayedCall | None = None

    def should_log(self, reason: str = "") -> bool:
        """Count an occurrence; return whether to log it.

        :param reason: logged in any case when it is new in this period; empty for none.
        """
        now = self._clock.seconds()
        begun_at = self._begun_at
        if begun_at is None or (self._end is None and not 0 <= now - begun_at < self._period):
            begun_at = self._begun_at = now  # also where the clock was set back
            self._begin()
        logged = self._left > 0
        if logged:
            self._left -= 1
        if reason and reason not in self._reasons and len(self._reasons) < self._most:
            self._reasons.add(reason)
            return True
        if not logged:
            self._left_out += 1
            if self._end is None:
                left = max(0.0, begun_at + self._period - now)
                self._end = self._clock.callLater(left, self._period_ended)
        return logged

    def _begin(self) -> None:
        self._left, self._left_out = self._most, 0
        self._reasons.clear()

    def _period_ended(self) -> None:
        self._end, left_out = None, self._left_out
        self._begun_at = None
        self._begin()
        self._report_left_out(left_out)

    def stop(self) -> None:
        """End the period now, and report what was left out in it."""
        if self._end is not None:
            self._end.cancel()
            self._period_ended()


def printable(text: str) -> str:
    """Return ``text`` safe for a log or an answer: no control characters, at most 200 characters."""
    if text.isprintable():
        return text[:200]
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:200])
