"""The newest lines of the log, in memory for the console."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogLevel, formatEvent
from twisted.python.failure import Failure
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.console.problems import ApiProblem, nothing_here
from lgtwist.console.redaction import HIDDEN_VALUE
from lgtwist.console.routing import RouteHandler
from lgtwist.console.streams import TICK, TICKS_PER_SECOND, Stream
from lgtwist.net.http_responses import respond_with_bytes
from lgtwist.runtime.log_text import ShownFailure, shorten

#: Lines that are held, and their bytes together.
MAX_LINES = 1_000
MAX_RING_BYTES = 4 << 20
#: Bytes of a line, of the name of its origin, and of a traceback.
LINE_BYTES = 2_048
SYSTEM_BYTES = 200
FAILURE_BYTES = 16_384
#: Levels, the least first.
LEVELS = ("debug", "info", "warn", "error", "critical")
#: Bytes of lines that one look of a stream writes, beside the first one.
_BYTES_PER_TICK = 262_144
#: Bytes of lines that are looked at in one turn of the reactor.
_BYTES_PER_TURN = 262_144
#: Bytes of lines that the filters of all streams together look through in one tick, and bytes that a line is
#: counted as beside its text.
_FILTERED_PER_TICK, _LINE_OVERHEAD = 4 << 20, 256
#: Characters of a filter's text.
_LONGEST_TEXT = 200
#: A secret that is shorter is hidden only where it stands alone: it is part of many words.
_SHORT_SECRET = 4
#: Characters up to which all beginnings of a secret are kept, to find one that is cut off.
_LONG_SECRET = 100
_CUT = "\u2026"

_encode_lines = msgspec.json.encode


def _cut_bytes(text: str, most: int) -> str:
    """Return text of so many bytes at most, with an ellipsis at its end where something is left out."""
    if len(text) * 4 <= most or (text.isascii() and len(text) <= most):
        return text
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= most:
        return text
    return encoded[: most - 3].decode("utf-8", "ignore") + _CUT


class Hider:
    """Replaces secrets in text by :data:`~lgtwist.console.redaction.HIDDEN_VALUE`.

    They are found as they are, as in a URL, as in JSON and as ``repr`` writes them; so is the beginning of
    one that an ellipsis has cut off.

    :param secrets: tokens.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        words = {secret for secret in secrets if secret}
        self._plain: list[str] = []
        self._alone: list[re.Pattern[str]] = []
        written: set[str] = set()
        for word in words:
            if len(word) < _SHORT_SECRET:
                self._alone.append(re.compile(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])"))
                continue
            written |= {word, quote(word, safe=""), quote(word), quote_plus(word), repr(word)[1:-1]}
            written |= {json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1]}
            written.add(re.sub("%..", lambda found: found[0].lower(), quote(word, safe="")))
            written.add("".join(one if one.isprintable() else "\ufffd" for one in word))
        self._plain = sorted(written, key=len, reverse=True)
        self._beginnings = {
            word[:size] for word in written for size in range(_SHORT_SECRET, min(len(word), _LONG_SECRET))
        }
        self._longest = max(map(len, self._beginnings), default=0)
        self._long = [word for word in self._plain if len(word) > _LONG_SECRET]

    @property
    def bytes_per_turn(self) -> int:
        """Return how many bytes of lines are looked at in one turn of the reactor: each for every secret."""
        return _BYTES_PER_TURN // (1 + len(self._plain) // 20)

    def hide(self, text: str) -> str:
        """Return the text without secrets."""
        for word in self._plain:
            if word in text:
                text = text.replace(word, HIDDEN_VALUE)
        for pattern in self._alone:
            text = pattern.sub(HIDDEN_VALUE, text)
        if _CUT in text:
            parts = text.split(_CUT)
            text = _CUT.join([*(self._without_beginning(part) for part in parts[:-1]), parts[-1]])
        return text

    def _without_beginning(self, text: str) -> str:
        """Return text without the beginning of a secret at its end."""
        longest = next(
            (
                size
                for size in range(min(self._longest, len(text)), 0, -1)
                if text[-size:] in self._beginnings
            ),
            0,
        )
        for word in self._long:
            for size in range(min(len(word) - 1, len(text)), max(longest, _LONG_SECRET - 1), -1):
                if text.endswith(word[:size]):
                    longest = size
                    break
        return text if longest == 0 else text[:-longest] + HIDDEN_VALUE


class LogLine(msgspec.Struct):
    """One line of the log.

    :ivar n: its number; those of later lines are higher, after a restart too.
    :ivar t: when it was written; seconds since the epoch.
    :ivar level: one of :data:`LEVELS`.
    :ivar system: what logged it: a module and a class, or the ``system`` of a legacy log event.
    :ivar text: the message, :data:`LINE_BYTES` at most.
    :ivar failure: its traceback; None for none.
    """

    n: int
    t: float
    level: str
    system: str
    text: str
    failure: str | None

    def size(self) -> int:
        """Return about how many bytes it takes."""
        return len(self.text) + len(self.system) + len(self.failure or "")


@define
class _RingEntry:
    """A line as it was written, and as it is shown.

    :ivar size: bytes of the line.
    :ivar shown: without secrets; None where nobody has looked at it yet.
    :ivar hider: what made ``shown``.
    """

    line: LogLine
    size: int
    shown: LogLine | None = None
    hider: Hider | None = None


@frozen
class LineFilter:
    """Which lines somebody wants.

    :ivar level: the place of the least level in :data:`LEVELS`.
    :ivar text: in lower case; empty for all.
    """

    level: int = 0
    text: str = ""

    def passes(self, line: LogLine) -> bool:
        """Return whether a line is wanted; it is one that is shown, so that nobody can guess at secrets."""
        if self.level and LEVELS.index(line.level) < self.level:
            return False
        text = self.text
        return (
            not text
            or text in line.text.lower()
            or text in line.system.lower()
            or (line.failure is not None and text in line.failure.lower())
        )


def read_line_filter(given: Mapping[str, Any]) -> LineFilter:
    """Return the filter that a browser gave: ``level`` and ``text``.

    :raises ApiProblem: if it cannot be read.
    """
    for name in given:
        if name not in ("level", "text"):
            raise _bad_filter(name, f"there is no filter {name[:40]!r} of lines; there are level and text")
    level, text = given.get("level", LEVELS[0]), given.get("text", "")
    if level not in LEVELS:
        raise _bad_filter("level", f"level: expected one of {', '.join(LEVELS)}")
    if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
        raise _bad_filter("text", f"text: expected up to {_LONGEST_TEXT} characters")
    return LineFilter(LEVELS.index(level), text.lower())


def _bad_filter(name: str, sentence: str) -> ApiProblem:
    return ApiProblem(400, "bad_filter", {"name": name[:40]}, sentence)


@implementer(ILogObserver)
class LogLines:
    """Keeps the newest lines of the log, as an observer of it.

    It may be called in any thread. A line costs its formatting and one append.

    :param wall_clock: seconds since the epoch.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._lock = threading.Lock()
        self._entries: deque[_RingEntry] = deque()
        self._bytes = 0
        #: The number of the newest line. It begins above those of the last run.
        self.last = int(wall_clock() * 1000)

    def __call__(self, event: dict[str, Any]) -> None:
        """Keep a line."""
        text = formatEvent(event)
        failure = event.get("log_failure")
        if not text and failure is None:
            return  # left out by the throttle
        level = event.get("log_level")
        system = event.get("log_namespace") or ""
        if system == "log_legacy":
            system = str(event.get("log_system") or event.get("system") or "-")
        line = LogLine(
            0,
            event.get("log_time") or time.time(),
            LogLevel.info.name if level is None else level.name,
            _cut_bytes(shorten(system, SYSTEM_BYTES), SYSTEM_BYTES),
            _cut_bytes(shorten(text, LINE_BYTES), LINE_BYTES),
            _traceback(failure),
        )
        entry = _RingEntry(line, line.size())
        with self._lock:
            self.last = line.n = self.last + 1
            self._entries.append(entry)
            self._bytes += entry.size
            while len(self._entries) > MAX_LINES or self._bytes > MAX_RING_BYTES:
                self._bytes -= self._entries.popleft().size

    def __len__(self) -> int:
        return len(self._entries)

    def after(self, number: int) -> list[_RingEntry]:
        """Return the lines with higher numbers, the oldest first. Pass them to :func:`show`.

        :param number: where it is higher than that of the newest line it counts as 0: another run's.
        """
        with self._lock:
            newer = self.last - number
            if not 0 <= newer < len(self._entries):
                return list(self._entries)
            return [self._entries[-back] for back in range(newer, 0, -1)]


def _traceback(failure: object) -> str | None:
    if not isinstance(failure, Failure):
        return None
    shown = failure if isinstance(failure, ShownFailure) else ShownFailure(failure)
    return _cut_bytes(shown.traceback_text, FAILURE_BYTES)


def show(entry: _RingEntry, hider: Hider) -> LogLine:
    """Return a line without secrets."""
    if entry.shown is None or entry.hider is not hider:
        line = entry.line
        entry.shown = msgspec.structs.replace(
            line,
            text=hider.hide(line.text),
            system=hider.hide(line.system),
            failure=None if line.failure is None else hider.hide(line.failure),
        )
        entry.hider = hider
    return entry.shown


class LogRoutes:
    """Answers ``GET log`` and ``GET log/download``; :class:`LogTopic` reads its lines, too.

    :param lines: the newest ones.
    :param secrets: returns the tokens that are never shown.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    """

    def __init__(
        self,
        lines: LogLines,
        secrets: Callable[[], frozenset[str]],
        clock: IReactorTime,
        wall_clock: Callable[[], float],
    ) -> None:
        self.lines = lines
        self._secrets = secrets
        self._clock = clock
        self._wall_clock = wall_clock
        self._hidden: frozenset[str] = frozenset()
        self._hider = Hider(())
        self._filtered = 0  # bytes, in the tick that began then
        self._tick_began = clock.seconds()

    def has_filter_time(self) -> bool:
        """Return whether a stream may look through lines in this tick; if not, it does so with the next one.

        One that may looks through all that it wants, which is no more than is held.
        """
        now = self._clock.seconds()
        if not 0 <= now - self._tick_began < TICK / 2:
            self._tick_began, self._filtered = now, 0
        return self._filtered < _FILTERED_PER_TICK

    def count_filtered(self, lines: int, size: int) -> None:
        """Count what a stream looked through.

        :param size: bytes that were searched.
        """
        self._filtered += lines * _LINE_OVERHEAD + size

    def routes(self) -> Mapping[tuple[str, str], RouteHandler]:
        """Return the handlers."""
        return {("GET", "log"): self._get}

    def hider(self) -> Hider:
        """Return what hides the present secrets."""
        secrets = self._secrets()
        if secrets != self._hidden:
            self._hidden, self._hider = secrets, Hider(secrets)
        return self._hider

    async def _get(self, request: Request, rest: tuple[str, ...], _body: bytes) -> Any:
        if rest == ("download",):
            await self._download(request)
            return None
        if rest:
            raise nothing_here()
        wanted = {name: value for name in ("level", "text") if (value := _parameter(request, name))}
        only = read_line_filter(wanted)
        after, most = _read_number(request, "after", 0), _read_number(request, "most", MAX_LINES)
        entries, last = self.lines.after(after), self.lines.last
        found = [line for line in await self._shown(entries) if only.passes(line)]
        return {"lines": found[-most:] if most else [], "last": last}

    async def _shown(self, entries: list[_RingEntry]) -> list[LogLine]:
        """Return lines without secrets; a little of them in each turn of the reactor."""
        hider, shown, size = self.hider(), [], 0
        for one in entries:
            size += 0 if one.hider is hider else one.size
            if size > hider.bytes_per_turn:
                size = 0
                turn: Deferred[None] = Deferred()
                self._clock.callLater(0, lambda turn=turn: None if turn.called else turn.callback(None))
                await turn
            shown.append(show(one, hider))
        return shown

    async def _download(self, request: Request) -> None:
        lines = await self._shown(self.lines.after(0))
        text = "".join(_as_text(line) for line in lines).encode("utf-8", "replace")
        date = time.strftime("%Y-%m-%dT%H%M%S", time.localtime(self._wall_clock()))
        name = f'attachment; filename="lgtwist-log-{date}.txt"'
        headers = (("Content-Disposition", name),)
        respond_with_bytes(request, 200, "text/plain; charset=utf-8", text, headers)


def _as_text(line: LogLine) -> str:
    """Return a line as the log's file has it."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(line.t))
    failure = "" if line.failure is None else "".join(f"\t{one}\n" for one in line.failure.splitlines())
    return f"{at} [{line.system}#{line.level}] {line.text}\n{failure}"


def _parameter(request: Request, name: str) -> str:
    values = request.args.get(name.encode(), [])
    return values[-1].decode("utf-8", "replace") if values else ""


def _read_number(request: Request, name: str, default: int) -> int:
    value = _parameter(request, name)
    if not value:
        return default
    if not (value.isascii() and value.isdecimal() and len(value) < 19):
        raise ApiProblem(400, "bad_request", {"reason": f"{name}: expected a number"}, f"{name}: a number")
    return int(value)


class LogTopic:
    """Lines of the log that pass a filter; what is too much is counted.

    :param stream: it is written to this one.
    :param to: the subscription's id.
    :param log: has the lines, and hides the secrets in them.
    :param given: the filter as the browser gave it.
    :param after: the number of the last line that the browser has; None for those that come from now on.
    :raises ApiProblem: if the filter cannot be read.
    """

    def __init__(
        self, stream: Stream, to: str, *, log: LogRoutes, given: Mapping[str, Any], after: int | None
    ) -> None:
        self._filter = read_line_filter(given)
        self._stream = stream
        self._to = to
        self._log = log
        self._after = log.lines.last if after is None else after
        self._has_begun = False  # before, the number is the browser's: it may be another run's
        self._dropped = 0
        self._ticks = 0

    def tick(self) -> None:
        """Write what was logged since, the newest lines that fit, and how many were left out."""
        self._ticks += 1
        lines = self._log.lines
        if self._after == lines.last:
            self._has_begun = True
        elif self._log.has_filter_time():
            self._write(lines)
            self._has_begun = True
        if self._ticks % TICKS_PER_SECOND == 0 and self._dropped:
            value = {"to": self._to, "topic": "log", "count": self._dropped}
            self._dropped = 0
            self._stream.write("dropped", _encode_lines(value))

    def _write(self, lines: LogLines) -> None:
        # What is logged while this writes is looked at with the next tick.
        entries, stream, hider = lines.after(self._after), self._stream, self._log.hider()
        if entries and 0 <= self._after < entries[0].line.n - 1 and self._has_begun:
            self._dropped += entries[0].line.n - 1 - self._after  # those that are gone
        chosen, size, looked, searched = [], 0, 0, 0
        for one in reversed(entries):
            looked += one.size if one.hider is not hider else 0
            if stream.lines_left <= 0 or size > _BYTES_PER_TICK or looked > 2 * hider.bytes_per_turn:
                self._dropped += 1
                continue
            line = show(one, hider)
            searched += one.size if self._filter.text else 0
            if self._filter.passes(line):
                stream.lines_left -= 1
                size += one.size
                chosen.append(line)
        self._log.count_filtered(len(entries), searched)
        if entries:
            self._after = entries[-1].line.n
        else:
            self._after = lines.last
        if chosen:
            self._stream.write("log", _encode_lines({"to": self._to, "lines": chosen[::-1]}))

    def close(self) -> None:
        """Do nothing: there is no subscription elsewhere."""


__all__ = ["Hider", "LineFilter", "LogLine", "LogLines", "LogRoutes", "LogTopic", "read_line_filter", "show"]
