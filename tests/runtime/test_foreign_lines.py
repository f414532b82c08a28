"""Lines of Twisted, Autobahn and Python are printable, bounded and throttled; those of others stay."""

from __future__ import annotations

import io
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import (
    LegacyLogObserverWrapper,
    LimitedHistoryLogObserver,
    Logger,
    LoggingFile,
    LogLevel,
    LogPublisher,
    globalLogPublisher,
    textFileLogObserver,
)
from twisted.python import log
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime import logs
from lgtwist.runtime.foreign_lines import FOREIGN_LINE, FOREIGN_LINES, tame_foreign_line

MALICE = "\x1b\n\u202e\u2028\x9b"


class ForeignLinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.patch(logs, "throttle", logs.LineThrottle(self.clock.seconds))
        self.written, self.events = io.StringIO(), []  # type: ignore[var-annotated]
        self.legacy: list[str | None] = []
        observers = (
            tame_foreign_line,
            textFileLogObserver(self.written),
            LegacyLogObserverWrapper(lambda event: self.legacy.append(log.textFromEventDict(event))),
        )
        self.publisher = LogPublisher(*observers)
        for observer in observers:
            globalLogPublisher.addObserver(observer)
            self.addCleanup(globalLogPublisher.removeObserver, observer)

    def lines(self) -> list[str]:
        """What was written; those of a traceback begin with a tab."""
        text = self.written.getvalue()
        text.encode()
        self.written.seek(0)
        self.written.truncate()
        lines = text.split("\n")
        self.assertEqual(lines.pop(), "")
        for line in lines:
            self.assertTrue(line.lstrip("\t").isprintable(), line)
        return lines

    def test_texts(self) -> None:
        """Of namespaces that a peer of ours may cause lines of."""
        for name in ("twisted.web.http.HTTPChannel", "autobahn.x", "lgtwist.web.channel.PortChannel"):
            Logger(name, observer=self.publisher).info("{peer} is late", peer=MALICE + "x" * 9999)
            [line] = self.lines()
            self.assertIn(f"[{name}#info] \ufffd\ufffd\ufffd\ufffd\ufffdxxx", line)
            self.assertLess(len(line), FOREIGN_LINE + 100)
            self.assertEqual(self.legacy.pop(), line.partition("] ")[2])

    def test_what_is_clean_stays(self) -> None:
        """An event that is well is not touched."""
        seen: list[Any] = []
        logger = Logger("twisted.x", observer=LogPublisher(tame_foreign_line, seen.append))
        logger.info("{a} and {b}", a=1, b="two")
        self.assertEqual((seen[0]["log_format"], seen[0]["a"], seen[0]["b"]), ("{a} and {b}", 1, "two"))

    def test_others(self) -> None:
        """The lines of other programs in the same process are left alone, and so are ours."""
        logger = Logger("theirs.module", observer=self.publisher)
        for _time in range(2 * FOREIGN_LINES):
            logger.info("a\nb")
        self.assertEqual(self.written.getvalue().count("] a\n\tb\n"), 2 * FOREIGN_LINES)
        self.lines()
        unthrottled = logs.Logger("lgtwist.x", throttled=False)
        for _time in range(2 * FOREIGN_LINES):
            unthrottled.info("line")
        self.assertEqual(len(self.lines()), 2 * FOREIGN_LINES)

    def test_many(self) -> None:
        """So many of a kind in a period, for observers of both kinds; then how many more there were."""
        logger = Logger("twisted.x", observer=self.publisher)
        for number in range(1000):
            logger.warn("line {number}", number=number)
        self.assertEqual(len(self.lines()), FOREIGN_LINES)
        self.assertEqual(len([text for text in self.legacy if text is not None]), FOREIGN_LINES)
        self.clock.advance(logs.PERIOD)
        logs.check_left_out()
        [line] = self.lines()
        self.assertIn("[twisted.x#warn] 900 more lines like this in 60 s: line 100", line)

    def test_unhandled_errors(self) -> None:
        """Deferreds whose errors nobody handles: few tracebacks, and the exception in one line.

        Twisted logs two events for each.
        """
        for _time in range(150):
            failed: Any = Deferred()
            failed.errback(ValueError(f"a{MALICE}b"))
            del failed
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 150)  # trial's observer was there before
        lines = self.lines()
        heads = [line for line in lines if "Unhandled error in Deferred" in line]
        self.assertEqual(len(heads), FOREIGN_LINES)
        self.assertEqual(len([one for one in lines if "builtins.ValueError: a" in one]), 5)
        texts = [text for text in self.legacy if text is not None]
        self.assertEqual(len(texts), FOREIGN_LINES + logs.TRACEBACKS)
        logs.report_left_out()
        [first, second] = self.lines()
        self.assertIn("50 more lines like this in 60 s: Unhandled error in Deferred:", first)
        self.assertIn("145 more lines like this in 60 s:  (builtins.ValueError)", second)

    def test_the_old_log(self) -> None:
        """What uses ``twisted.python.log``: messages and errors."""
        for _time in range(200):
            log.msg(f"a{MALICE}b")
        lines = self.lines()
        self.assertEqual(len(lines), FOREIGN_LINES)
        self.assertTrue(all(line.endswith("a\ufffd\ufffd\ufffd\ufffd\ufffdb") for line in lines))
        self.assertEqual(self.legacy[0], "a\ufffd\ufffd\ufffd\ufffd\ufffdb")
        for _time in range(200):
            log.err(ValueError(f"a{MALICE}b"), f"why{MALICE}")
        self.flushLoggedErrors(ValueError)
        heads = [line for line in self.lines() if not line.startswith("\t")]
        self.assertEqual(len(heads), logs.TRACEBACKS)
        self.assertTrue(heads[0].endswith("why\ufffd\ufffd\ufffd\ufffd\ufffd"))

    def test_what_is_printed(self) -> None:
        """What Python and libraries write to stdout and stderr once the log has them."""
        printed = LoggingFile(Logger("stderr", observer=self.publisher), LogLevel.error)
        for _time in range(500):
            printed.write("a\x1b\u202eb\n")
        lines = self.lines()
        self.assertEqual(len(lines), FOREIGN_LINES)
        self.assertTrue(all(line.endswith("[stderr#error] a\ufffd\ufffdb") for line in lines))

    def test_lines_before_the_log_begins(self) -> None:
        """They come twice, and count once."""
        history = LimitedHistoryLogObserver()
        early = LogPublisher(tame_foreign_line, history)
        for number in range(FOREIGN_LINES):
            Logger("twisted.x", observer=early).info("a\n{number}", number=number)
        history.replayTo(self.publisher)
        self.assertEqual(len(self.lines()), FOREIGN_LINES)

    def test_strange_events(self) -> None:
        """An event that lacks what others have disturbs nobody."""
        self.publisher({"log_namespace": "twisted", "log_time": 0.0, "log_level": LogLevel.info})
        self.publisher({"log_time": 0.0, "log_format": "x", "log_level": LogLevel.info})
        self.publisher(
            {
                "log_namespace": "twisted",
                "log_time": 0.0,
                "log_system": "a\nb",
                "log_format": "{missing}",
                "log_level": LogLevel.info,
            }
        )
        self.assertEqual(len(self.lines()), 2)
