"""Which of many occurrences are logged, and what of a peer's text."""

from __future__ import annotations

import sys
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime import logs
from lgtwist.runtime.log_text import FIELD, ShownFailure, failure_origin, shorten, shown, shown_line
from lgtwist.runtime.logs import FlapLog, LineThrottle, Logger, LogThrottle, LogThrottles, printable
from tests.rounds import quick


class LogThrottleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def test_the_first_of_many(self) -> None:
        """Those that follow soon are not logged, however long it goes on; after a quiet minute one is."""
        throttle = LogThrottle(self.clock)
        self.assertTrue(throttle.should_log())
        for _ in range(10):
            self.clock.advance(59.0)
            self.assertFalse(throttle.should_log())
        self.clock.advance(61.0)
        self.assertTrue(throttle.should_log())

    def test_each_key(self) -> None:
        """Keys are throttled apart, so many of them; further ones wait until all are cleared."""
        throttles = LogThrottles(self.clock, 2)
        logged = [throttles.should_log(key) for key in ("a", "b", "a", "c")]
        self.assertEqual(logged, [True, True, False, False])
        self.clock.advance(60.0)
        self.assertTrue(throttles.should_log("c"))
        self.assertTrue(throttles.should_log("a"))
        self.assertFalse(throttles.should_log("b"))

    def test_printable(self) -> None:
        """No control characters, and no more than 200."""
        self.assertEqual(printable("a\nb\x1b[31m"), "a\ufffdb\ufffd[31m")
        self.assertEqual(printable("x" * 300), "x" * 200)
        self.assertEqual(printable("\n" * 300), "\ufffd" * 200)


class FlapLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.left_out: list[int] = []
        self.flaps = FlapLog(self.clock, self.left_out.append, most=3, period=10.0)

    def happens(self, times: int) -> int:
        """How many of so many occurrences are logged."""
        return sum(self.flaps.should_log() for _ in range(times))

    def test_few_are_all_logged(self) -> None:
        """As many as one reads: each has its line, in each period anew, and no timer waits."""
        for _ in range(5):
            self.assertEqual(self.happens(3), 3)
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.clock.advance(10.0)
        self.assertEqual(self.left_out, [])

    def test_many_are_one_line(self) -> None:
        """Those beyond are reported at the end of the period that the first one began, with their number."""
        self.happens(1)
        self.clock.advance(4.0)
        self.assertEqual(self.happens(100), 2)
        self.clock.advance(5.9)
        self.assertEqual(self.left_out, [])
        self.clock.advance(0.1)
        self.assertEqual(self.left_out, [98])
        self.assertEqual(self.happens(4), 3)
        self.clock.advance(10.0)
        self.assertEqual(self.left_out, [98, 1])

    def test_the_end(self) -> None:
        """At the end the rest is reported at once, and nothing waits."""
        self.happens(5)
        self.flaps.stop()
        self.flaps.stop()
        self.assertEqual(self.left_out, [2])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_clock_that_is_set_back(self) -> None:
        """It silences nobody for longer than a period."""
        self.clock.advance(3600.0)
        self.happens(3)
        self.clock.rightNow -= 3600.0
        self.assertEqual(self.happens(3), 3)

    def test_times_that_are_rounded(self) -> None:
        """A period is one whatever the clock says: 6.85 + 10 - 6.85 is more than 10."""
        self.clock.advance(6.85)
        self.assertGreater(self.clock.seconds() + 10.0 - self.clock.seconds(), 10.0)
        self.assertEqual(self.happens(100), 3)
        self.clock.advance(10.0)
        self.assertEqual(self.left_out, [97])

    def test_new_reasons(self) -> None:
        """A reason that was not logged in this period is logged, however many others were, up to ``most``."""
        self.happens(100)
        logged = [
            self.flaps.should_log(reason) for reason in ("lost", "lost", "silent", "lost", "x", "y", "z")
        ]
        self.assertEqual(logged, [True, False, True, False, True, False, False])
        self.clock.advance(10.0)
        self.assertEqual(self.left_out, [97 + 4])
        self.assertEqual(self.flaps.should_log("lost"), True)

    @quick
    @given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", *"abcdef"]), st.floats(0, 15))))
    def test_nothing_is_forgotten(self, steps: list[tuple[int, str, float]]) -> None:
        """Whenever it happens: what is logged and what is left out is all that happened."""
        self.setUp()
        logged = happened = 0
        for times, reason, seconds in steps:
            logged += sum(self.flaps.should_log(reason) for _ in range(times))
            happened += times
            self.clock.advance(seconds)
        self.flaps.stop()
        self.assertEqual(logged + sum(self.left_out), happened)
        self.assertLessEqual(logged, 6 * (self.clock.seconds() // 10 + 1))


class TextTests(SynchronousTestCase):
    """What a line shows."""

    def test_shorten(self) -> None:
        """Up to so many characters, the last an ellipsis where some are missing; all of them printable."""
        self.assertEqual(shorten("x" * FIELD), "x" * FIELD)
        self.assertEqual(shorten("x" * (FIELD + 1)), "x" * (FIELD - 1) + "\u2026")
        self.assertEqual(shorten("abcdef", 4), "abc\u2026")
        self.assertEqual(shorten("\u4f60\u597d \U0001f600\n\ud800"), "\u4f60\u597d \U0001f600\ufffd\ufffd")

    @quick
    @given(st.text(), st.integers(1, 50))
    def test_any_text(self, text: str, most: int) -> None:
        """It has one printable line; what is one already stays."""
        made = shorten(text, most)
        self.assertTrue(made.isprintable())
        self.assertEqual(len(made), min(len(text), most))
        if text.isprintable() and len(text) <= most:
            self.assertEqual(made, text)

    def test_values(self) -> None:
        """Numbers stay, unless they are huge; others are their text."""
        for value in (1, -1, 2**63, 1.5, True, "text"):
            self.assertIs(type(shown(value)), type(value))
            self.assertEqual(shown(value), value)
        self.assertEqual(shown(2**70), "a number of 71 bits")
        self.assertEqual(shown(None), "None")
        self.assertEqual(shown(ValueError("a\nb")), "a\ufffdb")
        self.assertEqual(shown(b"a\n"), "b'a\\n'")

    def test_a_line(self) -> None:
        """Many long fields share what a line may have; a field that its format does not fit is shown."""
        format, fields, line = shown_line("{a}{b}{c}{d}{e}", dict.fromkeys("abcde", "x" * 9999))
        self.assertEqual(format.format_map(fields), line)
        self.assertEqual(len(line), 4 * FIELD)
        format, fields, line = shown_line("{seconds:g} s", {"seconds": "x\n"})
        self.assertEqual(format.format_map(fields), line)
        self.assertTrue(line.isprintable())
        self.assertIn("seconds", line)


def _fail(text: str, depth: int) -> Any:
    if depth:
        return _fail(text, depth - 1)
    raise ValueError(text)


def a_failure(text: str = "why", depth: int = 0) -> Failure:
    try:
        _fail(text, depth)
    except ValueError:
        return Failure()
    raise AssertionError


class FailureTests(SynchronousTestCase):
    """What a traceback shows."""

    def test_as_before(self) -> None:
        """One that is short and printable stays as Twisted writes it, for each way to ask."""
        failure = a_failure()
        made = ShownFailure(failure)
        self.assertEqual(made.getTraceback(), failure.getTraceback())
        self.assertEqual(made.getErrorMessage(), "why")
        self.assertIs(made.check(ValueError), ValueError)
        self.assertIs(made.value, failure.value)

    def test_the_exception(self) -> None:
        """Its text is in one printable line of a bounded length."""
        text = ShownFailure(a_failure("a\n2026 [x#info] b\x1b" + "c" * (1 << 20))).getTraceback()
        lines = text.split("\n")
        self.assertEqual(lines[-1], "")
        self.assertTrue(lines[-2].startswith("builtins.ValueError: a\ufffd2026 [x#info] b\ufffdccc"))
        self.assertTrue(all(line.isprintable() and len(line) <= FIELD for line in lines))

    def test_many_frames(self) -> None:
        """The first and the last ones are shown."""
        text = ShownFailure(a_failure(depth=900)).getTraceback()
        self.assertEqual(text.count("  File "), 40)
        self.assertIn("  ... 862 frames ...\n", text)
        self.assertIn("raise ValueError(text)", text)

    def test_an_exception_that_cannot_be_shown(self) -> None:
        """There is a traceback all the same."""

        class Unprintable(Exception):
            def __str__(self) -> str:
                raise ZeroDivisionError("a\nb")

        self.assertTrue(ShownFailure(Failure(Unprintable())).getTraceback().endswith("\n"))

    def test_the_origin(self) -> None:
        """The type of the exception and the place tell failures apart, also of one that was cleaned."""
        origins = [failure_origin(a_failure(text)) for text in "ab"]
        self.assertEqual(origins[0], origins[1])
        self.assertNotEqual(origins[0], failure_origin(Failure(ValueError())))
        cleaned = a_failure()
        cleaned.cleanFailure()
        self.assertEqual(failure_origin(cleaned), origins[0])


class LoggerTests(SynchronousTestCase):
    _log = Logger()

    def setUp(self) -> None:
        self.clock = Clock()
        self.patch(logs, "throttle", LineThrottle(self.clock.seconds))
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def lines(self) -> list[str]:
        """What was logged since this was called last."""
        self.events, events = [], self.events
        globalLogPublisher.removeObserver(events.append)
        globalLogPublisher.addObserver(self.events.append)
        return [formatEvent(event) for event in events]

    def test_few_are_all_logged(self) -> None:
        """Up to so many in a period, and in the next one anew, as they are."""
        for _period in range(3):
            for number in range(logs.LINES):
                self._log.info("{number} of {bot}", number=number, bot="b")
            self.assertEqual(self.lines(), [f"{number} of b" for number in range(logs.LINES)])
            self.clock.advance(logs.PERIOD)

    def test_many(self) -> None:
        """Those beyond are one line, with the first of them, with the next line after the period."""
        for number in range(logs.LINES + 70):
            self._log.info("line {number}", number=number)
        self.assertEqual(len(self.lines()), logs.LINES)
        self.clock.advance(logs.PERIOD)
        self._log.warn("another")
        self.assertEqual(self.lines(), [f"70 more lines like this in 60 s: line {logs.LINES}", "another"])
        self.assertEqual(self.events, [])

    def test_no_line_is_left_unsaid(self) -> None:
        """Without a next line the check says it, at the end of the period and not before; so does the end."""
        for _number in range(logs.LINES + 1):
            self._log.info("line")
        self.lines()
        self.clock.advance(logs.PERIOD - 0.1)
        logs.check_left_out()
        self.assertEqual(self.lines(), [])
        self.clock.advance(0.1)
        logs.check_left_out()
        self.assertEqual(self.lines(), ["1 more lines like this in 60 s: line"])
        for _number in range(logs.LINES + 2):
            self._log.info("line")
        self.lines()
        logs.report_left_out()
        logs.report_left_out()
        self.assertEqual(self.lines(), ["2 more lines like this in 60 s: line"])

    def test_subjects(self) -> None:
        """What one bot or account makes happen does not silence the lines about another one."""
        for _number in range(logs.LINES + 70):
            for account in (1, 2):
                self._log.info("{bot} {account} {reason}", bot="b", account=account, reason="x")
        self.assertEqual(len(self.lines()), 2 * logs.LINES)
        logs.report_left_out()
        self.assertEqual(
            self.lines(),
            ["70 more lines like this in 60 s: b 1 x", "70 more lines like this in 60 s: b 2 x"],
        )

    def test_endless_subjects(self) -> None:
        """There is a limit for all of them, and nothing is kept of those beyond."""
        for number in range(logs.ALL_LINES + 500):
            self._log.info("{bot}", bot=f"b{number}")
        self.assertEqual(len(self.lines()), logs.ALL_LINES)
        logs.report_left_out()
        self.assertEqual(self.lines(), [f"500 more lines like this in 60 s: b{logs.ALL_LINES}"])

    def test_endless_kinds(self) -> None:
        """Formats without end, which we do not have, would be throttled as well."""
        for number in range(3000):
            self._log.info(f"line {number}")
        self.assertLessEqual(len(self.lines()), 1000 + logs.LINES)

    def test_subjects_of_any_kind(self) -> None:
        """One that cannot be a name is none."""
        for subject in ([], {}, b"x" * (1 << 20), "y" * (1 << 20), 1.5, None, True):
            self._log.info("{bot}", bot=subject)
        self.assertEqual(len(self.lines()), 7)

    def test_failures(self) -> None:
        """Tracebacks are fewer, and told apart by the place that they come from."""
        for number in range(100):
            self._log.failure("{bot} failed", a_failure(f"{number}"), bot="b")
            try:
                1 // 0  # noqa: B018
            except ZeroDivisionError:
                self._log.failure("{bot} failed", bot="b")
        self.assertEqual(len(self.lines()), 2 * logs.TRACEBACKS)
        for kind in (ValueError, ZeroDivisionError):
            self.assertEqual(len(self.flushLoggedErrors(kind)), logs.TRACEBACKS)
        logs.report_left_out()
        self.assertEqual(
            self.lines(),
            [
                "95 more lines like this in 60 s: b failed (builtins.ValueError)",
                "95 more lines like this in 60 s: b failed (builtins.ZeroDivisionError)",
            ],
        )

    def test_without_the_throttle(self) -> None:
        """All lines are logged, as long as they may be."""
        logger = Logger("here", throttled=False, longest=5000)
        for _number in range(2000):
            logger.info("{line}", line="x" * 6000)
        self.assertEqual({len(line) for line in self.lines()}, {5000})
        self.assertEqual(self.lines(), [])

    def test_names(self) -> None:
        """A line has the name of the class of the object, or of the module."""

        class Derived(LoggerTests):
            pass

        Derived._log.info("")
        self._log.info("")
        Logger().info("")
        names = [event["log_namespace"] for event in self.events]
        self.assertEqual(names, [f"{__name__}.Derived", f"{__name__}.LoggerTests", __name__])

    @quick
    @given(st.lists(st.tuples(st.integers(0, 80), st.sampled_from("abc"), st.floats(0, 90))))
    def test_nothing_is_forgotten(self, steps: list[tuple[int, str, float]]) -> None:
        """Whenever it happens: what is logged and what is reported as left out is all that happened."""
        throttle = LineThrottle(self.clock.seconds)
        written = happened = 0
        left_out: list[int] = []
        for times, subject, seconds in steps:
            for _time in range(times):
                lines = throttle.left_out("kind", subject, 3, 5)
                written += lines is None
                if lines is not None and lines.report is None:
                    lines.report = lambda times: left_out.append(times)
            happened += times
            self.clock.advance(seconds)
            throttle.check()
        throttle.end_period()
        self.assertEqual(written + sum(left_out), happened)

    def test_a_line_that_is_left_out_is_cheap(self) -> None:
        """It costs a few microseconds."""
        self.patch(logs, "throttle", LineThrottle())
        fastest = 1.0
        for _round in range(20):
            begun = time.thread_time()
            for _number in range(1000):
                self._log.warn("{bot}: {action}: {reason}", bot="b", action="x" * 100, reason="why")
            fastest = min(fastest, (time.thread_time() - begun) / 1000)
        if sys.gettrace() is None:
            self.assertLess(fastest, 5e-6)
