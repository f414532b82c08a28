"""Each log call of the package: whatever its fields hold, it is one printable line, and few of them."""

from __future__ import annotations

import ast
import importlib
import io
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.task import Clock
from twisted.logger import LogLevel, LogPublisher, globalLogPublisher, textFileLogObserver
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.runtime import log_text, logs
from lgtwist.runtime.logs import Logger
from tests.rounds import ROUNDS
from tests.test_structure import PACKAGE, ROOT, imports

#: The methods of a logger, with the position of the format.
METHODS = {"debug": 0, "info": 0, "warn": 0, "error": 0, "critical": 0, "failure": 0, "emit": 1}
#: The loggers without the throttle. Another one must be here for a reason: no peer can cause its lines, or
#: they have a throttle of their own.
UNTHROTTLED = {
    "lgtwist.app.at_least_once.AtLeastOnce._log",
    "lgtwist.app.certificates.Certificates._log",
    "lgtwist.app.log_output._log",
    "lgtwist.app.reloader.Reloader._log",
    "lgtwist.app.service.LgtwistService._log",
    "lgtwist.app.signals.Signals._log",
    "lgtwist.app.stages._log",
    "lgtwist.bots.session.BotSession._flap_lines",
    "lgtwist.hub.account.Account._flap_lines",
    "lgtwist.hub.bot.Bot._flap_lines",
    "lgtwist.runtime.log_file.LogFile._log",
    "lgtwist.runtime.log_file.LogStream._log",
}
#: Of these, those whose fields may be long, for only the configuration says how long.
CONFIGURED = {
    "lgtwist.app.at_least_once.AtLeastOnce._log",
    "lgtwist.app.certificates.Certificates._log",
    "lgtwist.app.reloader.Reloader._log",
    "lgtwist.app.service.LgtwistService._log",
}
#: Bytes of a line, and of one with a traceback.
LONGEST_LINE, LONGEST_TRACEBACK = 20_000, 40_000

#: Names of fields that observers use for something else, those of ``twisted.python.log`` among them.
RESERVED = {"failure", "format", "isError", "level", "message", "self", "system", "time"}

#: What must not reach a terminal: ESC, line ends, NUL, DEL, C1, directions, separators, a lone surrogate.
MALICE = "\x1b[2J\r\n\x00\x7f\x85\x9b\u200f\u202e\u2066\u2028\u2029\ud800\ufeff"


class Unprintable:
    """An object that cannot be shown."""

    def __str__(self) -> str:
        raise ZeroDivisionError(MALICE)

    __repr__ = __str__


#: What a field may hold, at worst.
VALUES: list[Any] = [
    f"a{MALICE}b",
    f"fake\n2026-01-01T00:00:00+0000 [lgtwist#info] bot: {MALICE}",
    "x" * (1 << 20),
    MALICE * (1 << 16),
    "\U0001f600" * (1 << 20),
    MALICE.encode("utf-8", "replace") * 99,
    b"\xff" * (1 << 20),
    ValueError(MALICE * 9999),
    [MALICE] * 999,
    10**5000,
    -(10**5000),
    float("nan"),
    Unprintable(),
    None,
]


@frozen
class LogCall:
    """A call of a logger.

    :ivar where: the file and the line.
    :ivar logger: its name, as in ``UNTHROTTLED``.
    """

    where: str
    logger: str
    method: str
    format: str

    @property
    def fields(self) -> list[str]:
        return [name for _text, name, _spec, _conversion in string.Formatter().parse(self.format) if name]

    def make(self, logger: Logger, fields: dict[str, Any], text: str = "why") -> None:
        """Write it."""
        if self.method == "failure":
            try:
                raise ZeroDivisionError(text)
            except ZeroDivisionError:
                logger.failure(self.format, **fields)
        else:
            logger.emit(LogLevel.warn, self.format, **fields)


class _Calls(ast.NodeVisitor):
    """Finds the log calls of a module, and calls of its methods that pass a format on to a logger."""

    def __init__(self, path: Path, names: set[str]) -> None:
        self.path = path
        self.module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self.names = names
        self.found: list[LogCall] = []
        self.wrong: list[str] = []
        #: Methods that pass a format on: the position of the format, the logger and its method.
        self.passed_on: dict[str, tuple[int, str, str]] = {}
        self._classes: list[str] = []
        self._functions: list[ast.FunctionDef | ast.AsyncFunctionDef] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._classes.append(node.name)
        self.generic_visit(node)
        self._classes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._functions.append(node)
        self.generic_visit(node)
        self._functions.pop()

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        function = node.func
        if not isinstance(function, ast.Attribute):
            return
        named = function.value
        if isinstance(named, ast.Attribute) and named.attr in self.names:
            logger = ".".join([self.module, *self._classes, named.attr])
        elif isinstance(named, ast.Name) and named.id in self.names:
            logger = f"{self.module}.{named.id}"
        elif function.attr in self.passed_on:
            position, logger, method = self.passed_on[function.attr]
            self._add(node, position, logger, method)
            return
        else:
            return
        if function.attr in METHODS:
            self._add(node, METHODS[function.attr], logger, function.attr)
        else:
            self.wrong.append(f"{self.path}:{node.lineno}: {function.attr} is no method of a logger")

    def _add(self, node: ast.Call, position: int, logger: str, method: str) -> None:
        where = f"{self.path.relative_to(ROOT)}:{node.lineno}"
        argument = node.args[position] if len(node.args) > position else None
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            self.found.append(LogCall(where, logger, method, argument.value))
            return
        for one in self._functions:
            arguments = [argument.arg for argument in one.args.args]
            if isinstance(argument, ast.Name) and argument.id in arguments:
                self.passed_on[one.name] = (arguments.index(argument.id) - 1, logger, method)
                return
        self.wrong.append(f"{where}: the format of a line must be a literal")


def logger_names() -> set[str]:
    """The names that loggers have in the package."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                function = node.value.func
                if isinstance(function, ast.Name) and function.id == "Logger":
                    found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _other_attributes(tree: ast.AST) -> Iterator[str]:
    """The attributes that a module sets on its objects: they are no loggers, which belong to classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def log_calls() -> tuple[list[LogCall], list[str]]:
    """The log calls of the package, and what is wrong with others."""
    names, found, wrong = logger_names(), [], []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == PACKAGE / "runtime" / "logs.py":
            continue
        tree = ast.parse(path.read_text("utf-8"))
        calls = _Calls(path, names - set(_other_attributes(tree)))
        calls.visit(tree)  # once for the methods that pass a format on
        calls.found, calls.wrong = [], []
        calls.visit(tree)
        found += calls.found
        wrong += calls.wrong
    return found, wrong


def the_logger(name: str) -> Logger:
    """The logger that is called so."""
    parts = name.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            found = getattr(found, part)
        assert isinstance(found, Logger)
        return found
    raise AssertionError(name)


class CallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.calls, self.wrong = log_calls()
        self.loggers = {call.logger: the_logger(call.logger) for call in self.calls}
        self.written = io.StringIO()
        # Not to trial's own observer: a worker of `trial -j` may pass on 64 KiB of a line.
        observer = textFileLogObserver(self.written)
        for logger in self.loggers.values():
            self.patch(logger._emitter, "observer", observer)

    def some_calls(self) -> list[LogCall]:
        """All calls in CI; else one of four, and each that names a bot or an account."""
        return [
            call
            for number, call in enumerate(self.calls)
            if ROUNDS > 1 or number % 4 == 0 or {"bot", "account", "name"} & set(call.fields)
        ]

    def take(self) -> str:
        """What was written since this was called last."""
        text = self.written.getvalue()
        self.written.seek(0)
        self.written.truncate()
        if "Traceback" in text:
            self.flushLoggedErrors(ZeroDivisionError)
        return text

    def check(self, call: LogCall, text: str) -> None:
        """Check that a text is one line, and a traceback behind it if it is to have one."""
        encoded = text.encode()  # a lone surrogate cannot be
        first, *others, last = text.split("\n")
        self.assertEqual(last, "")
        for line in (first, *others):
            self.assertTrue(line.replace("\t", "").isprintable(), f"{call}: {line[:200]!r}")
        if call.method == "failure":
            self.assertTrue(others and all(line.startswith("\t") for line in others), call)
            self.assertLess(len(encoded), LONGEST_TRACEBACK, call)
        else:
            self.assertEqual(others, [], call)
            factor = logs.CONFIGURED // log_text.FIELD + 1 if call.logger in CONFIGURED else 1
            self.assertLess(len(encoded), factor * LONGEST_LINE, call)

    def test_all_calls_are_found(self) -> None:
        """Each has a literal format, with plain names of fields, and there are as many as one counts."""
        self.assertEqual(self.wrong, [])
        self.assertGreater(len(self.calls), 80)
        for call in self.calls:
            for _text, name, _spec, conversion in string.Formatter().parse(call.format):
                self.assertTrue(name is None or name.isidentifier(), call)
                self.assertFalse(conversion, call)
            self.assertTrue(call.format.isprintable(), call)
            reserved = RESERVED | {"why"} if call.method == "failure" else RESERVED
            self.assertFalse(set(call.fields) & reserved, f"observers use this name: {call}")

    def test_every_field_of_every_call(self) -> None:
        """Escape sequences, line ends, directions, and a megabyte: one printable line of a bounded length."""
        for call in self.calls:
            logger = self.loggers[call.logger]
            for value in VALUES:
                call.make(
                    logger,
                    dict.fromkeys(call.fields, value),
                    str(value)[: 1 << 20] if isinstance(value, (str, bytes)) else "why",
                )
                self.check(call, self.take())
            for field in call.fields:
                call.make(logger, {**dict.fromkeys(call.fields, 1), field: VALUES[0]})
                self.check(call, self.take())

    def test_what_is_not_throttled(self) -> None:
        """Only the loggers that are named above are without the throttle."""
        clock = Clock()
        self.patch(logs, "throttle", logs.LineThrottle(clock.seconds))
        unthrottled = set()
        for name, logger in self.loggers.items():
            for _time in range(logs.LINES + 10):
                logger.info("a line")
            if len(self.take().splitlines()) > logs.LINES:
                unthrottled.add(name)
            clock.advance(logs.PERIOD)
            logs.throttle.end_period()
            self.take()
        self.assertEqual(unthrottled, UNTHROTTLED)

    def test_a_thousand_times(self) -> None:
        """Each call with the same fields: the first lines, and one for the others when a minute is over."""
        for call in self.some_calls():
            if call.logger in UNTHROTTLED:
                continue
            clock = Clock()
            self.patch(logs, "throttle", logs.LineThrottle(clock.seconds))
            for _time in range(1000):
                call.make(self.loggers[call.logger], dict.fromkeys(call.fields, 1))
            most = logs.TRACEBACKS if call.method == "failure" else logs.LINES
            mine = [line for line in self.take().split("\n") if line and not line.startswith("\t")]
            self.assertEqual(len(mine), most, call)
            clock.advance(logs.PERIOD)
            logs.check_left_out()
            [line] = self.take().splitlines()
            self.assertIn(f" {1000 - most} more lines like this in 60 s: ", line)

    def test_a_thousand_times_with_other_fields(self) -> None:
        """No field that a peer chooses makes another line; nor do subjects without end."""
        for call in self.some_calls():
            if call.logger in UNTHROTTLED:
                continue
            clock = Clock()
            self.patch(logs, "throttle", logs.LineThrottle(clock.seconds))
            few, many = logs.LINES, logs.ALL_LINES
            if call.method == "failure":
                few, many = logs.TRACEBACKS, logs.ALL_TRACEBACKS
            most = many if {"bot", "account", "name"} & set(call.fields) else few
            for number in range(most + 200):
                fields = {field: f"{field} {number}" for field in call.fields}
                call.make(self.loggers[call.logger], fields, f"why {number}")
            clock.advance(logs.PERIOD)
            logs.check_left_out()
            mine = [line for line in self.take().split("\n") if line and not line.startswith("\t")]
            self.assertEqual(len(mine), most + 1, call)
            self.assertIn(" 200 more lines like this in 60 s: ", mine[-1])


class StructureTests(SynchronousTestCase):
    def test_one_logger(self) -> None:
        """No other module makes a logger of Twisted's or of Python's, but to read what bots write there."""
        allowed = {
            "logging": {"testing/in_process_bots.py"},
            "twisted.logger.Logger": {"net/twisted_private.py", "runtime/logs.py"},
            "twisted.python.log": {"runtime/log_text.py"},
        }
        wrong = []
        for path in sorted(PACKAGE.rglob("*.py")):
            name = str(path.relative_to(PACKAGE))
            wrong += [f"{name} imports {one}" for one in _names(path) if name not in allowed.get(one, {name})]
            wrong += [
                f"{name} imports {one}"
                for one in imports(path)
                if one in ("logging", "txaio", "syslog") and name not in allowed.get(one, ())
            ]
        self.assertEqual(wrong, [])

    def test_the_check_finds_what_it_looks_for(self) -> None:
        """A logger of Twisted's is found, and a format that is no literal."""
        path = Path(self.mktemp())
        path.write_text("from twisted.logger import Logger\nfrom twisted.python import log\n")
        self.assertEqual(list(_names(path)), ["twisted.logger.Logger", "twisted.python.log"])
        calls = _Calls(PACKAGE / "module.py", {"_log"})
        calls.visit(
            ast.parse(
                "class A:\n def f(self, x):\n  self._log.warn('x' + x)\n  self._log.info('{x}', x=x)\n"
                "  self._log.msg(x)\n  self.g('{y}')\n"
                " def g(self, what, **fields):\n  self._log.error(what, **fields)\n"
            )
        )
        calls.visit(ast.parse("class A:\n def f(self):\n  self.g('{y}')\n"))
        self.assertEqual(len(calls.wrong), 2)
        self.assertEqual([call.format for call in calls.found], ["{x}", "{y}"])
        self.assertEqual(calls.found[1].logger, "lgtwist.module.A._log")

    def test_the_publisher(self) -> None:
        """What a logger writes goes to Twisted's publisher, with its level and its fields."""
        seen: list[Any] = []
        self.assertIsInstance(globalLogPublisher, LogPublisher)
        globalLogPublisher.addObserver(seen.append)
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        Logger("here").warn("{what}", what=1)
        [event] = seen
        self.assertEqual(
            (event["log_level"], event["what"], event["log_namespace"]), (LogLevel.warn, 1, "here")
        )


def _names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in ("twisted.logger", "twisted.python"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
