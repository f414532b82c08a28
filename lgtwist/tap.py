"""The twistd plugin (``twistd lgtwist``) and the application of ``lgtwist.tac``."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.application.service import Application, IService
from twisted.python import usage

from lgtwist.app.configuration import Config, parse
from lgtwist.app.data_dir import JOURNAL_FILE, CannotStart
from lgtwist.app.service import LgtwistService
from lgtwist.app.signals import Signals
from lgtwist.app.summary import summary
from lgtwist.config.section import Problem
from lgtwist.journal import report
from lgtwist.journal.store import JournalError

#: The configuration file that is read, if it exists, where none is named.
DEFAULT_FILE = "lgtwist.toml"


class Options(usage.Options):
    """The command line of ``twistd lgtwist``."""

    synopsis = "[--config FILE] [--check | --journal [--json]]"
    longdesc = (
        "A OneBot 11 connection layer: stands between accounts and bots. Without a configuration file "
        "it serves one sandbox account, 10001, on 127.0.0.1:8081."
    )
    optParameters = [
        [
            "config",
            "c",
            None,
            f"the configuration file (else $LGTWIST_CONFIG, else ./{DEFAULT_FILE} if it is there)",
        ],
    ]
    optFlags = [
        ["check", None, "validate, print what would be served, and start nothing"],
        ["journal", None, "print what the journal holds, also beside a running service"],
        ["json", None, "with --journal: as JSON"],
    ]

    def postOptions(self) -> None:
        """Read the configuration; carry out ``--check`` and ``--journal``.

        :raises SystemExit: after these two, and for mistakes in the configuration, with a line for each.
        """
        self["read"] = load(self["config"])
        if self["check"]:
            _print("".join(f"{line}\n" for line in summary(self["read"])))
            raise SystemExit(0)
        if self["journal"]:
            _print_journal(self["read"], self["json"])
            raise SystemExit(0)
        if self["json"]:
            raise usage.UsageError("--json goes with --journal")


def _print_journal(config: Config, as_json_wanted: bool) -> None:
    try:
        read = report.report(Path(config.data_dir).absolute() / JOURNAL_FILE)
    except JournalError as error:
        raise SystemExit(f"lgtwist: {error}") from None
    _print(report.as_json(read) if as_json_wanted else report.as_text(read))


def _print(text: str) -> None:
    """Write text to stdout; characters that its encoding lacks are escaped."""
    try:
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    except (OSError, AttributeError):  # closed, full, or not there
        raise SystemExit("the output cannot be written") from None


def load(named: str | None = None) -> Config:
    """Return the configuration of the file that is named, or of the default one, or of an empty file.

    :param named: the file that ``--config`` names; None if it is not given.
    :raises SystemExit: for mistakes, with a line for each; the exit status is 1.
    """
    path = os.environ.get("LGTWIST_CONFIG") if named is None else named
    if path == "":
        raise SystemExit("--config and LGTWIST_CONFIG: expected a file's name, not nothing")
    if path is None:
        if not Path(DEFAULT_FILE).exists():
            return Config()
        path = DEFAULT_FILE
    try:
        source = Path(path).read_text("utf-8")
    except OSError as error:
        raise SystemExit(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SystemExit(f"{path}: not UTF-8") from None
    read = parse(source)
    if isinstance(read, Config):
        return evolve(read, private_files=(*read.private_files, path))
    raise SystemExit("\n".join(_line(path, problem) for problem in read))


def _line(path: str, problem: Problem) -> str:
    return f"{path}: {problem}"


def makeService(options: Options) -> LgtwistService:
    """Return the service, prepared: its ports listen. Twisted calls this.

    :raises SystemExit: with one line, if it cannot be prepared; the exit status is 1.
    """
    return _make_prepared_service(options["read"])


def make_application() -> Any:
    """Return the application of ``lgtwist.tac``.

    :raises SystemExit: as :func:`load` and :func:`makeService`.
    """
    application = Application("lgtwist")
    _make_prepared_service(load()).setServiceParent(IService(application))
    return application


def _make_prepared_service(config: Config) -> LgtwistService:
    """Return a prepared service with its signal handlers; tune the garbage collector for it."""
    from twisted.internet import reactor

    service = LgtwistService(config, reactor)
    try:
        service.prepare()
    except CannotStart as error:
        raise SystemExit(f"lgtwist: {error}") from None
    Signals(reactor).setServiceParent(service)
    # There are few reference cycles here, and modules are never freed: the default collection after each
    # 700 new objects makes handshakes slower.
    gc.freeze()
    gc.set_threshold(10_000)
    return service
