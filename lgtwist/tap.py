"""``twistd lgtwist`` and ``lgtwist.tac``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.application.service import Application, IService
from twisted.python import usage

from lgtwist.app.configuration import Config
from lgtwist.app.configuration_file import DEFAULT_FILE, ConfigurationError, ConfigurationFile
from lgtwist.app.data_dir import DataDir
from lgtwist.app.pid_file import is_stale
from lgtwist.app.printing import print_journal, print_summary
from lgtwist.app.service import LgtwistService
from lgtwist.app.start import CannotStart, prepare_service
from lgtwist.runtime.file_trouble import why_not_usable, writing_error
from lgtwist.runtime.log_file import log_file_names
from lgtwist.runtime.platform import outlive_new_log_signal
from lgtwist.runtime.reactor import install_reactor


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

    def __init__(self) -> None:
        super().__init__()
        outlive_new_log_signal()

    def postOptions(self) -> None:
        """Read the configuration; a mistake in it ends here, with a line for each."""
        twistd: dict[str, Any] = self.parent or {}
        own = _own_files(twistd)
        self["file"], self["read"] = _load(self["config"], own)
        if self["check"]:
            print_summary(self["read"])
            raise SystemExit(0)
        if self["journal"]:
            print_journal(self["read"], self["json"])
            raise SystemExit(0)
        if self["json"]:
            raise usage.UsageError("--json goes with --journal")
        if self.parent is not None and self.parent.get("pidfile"):
            self._look_at_pid_file(self.parent)
        log, pid = _log_of(twistd), twistd.get("pidfile")
        if log is not None:
            _check_writable(log, "the log")
        if pid:
            path = Path(twistd.get("rundir") or ".", pid).absolute()
            _check_writable(path, "the pid file", "; --pidfile= does without it")

    def _look_at_pid_file(self, twistd: usage.Options) -> None:
        """See to it that an old pid file is no reason for twistd not to start.

        Where the lock on ``data_dir`` is free, the service that wrote the file is not there any more. A
        running twistd that it names serves something else: in the foreground we do without the file, in
        the background twistd's own refusal stands.

        :param twistd: its own options.
        """
        path = Path(twistd["pidfile"])
        if not path.exists() or not DataDir(self["read"].data_dir).is_free():
            return
        if is_stale(path):
            with contextlib.suppress(OSError):  # then twistd says that it cannot
                path.unlink()
        elif twistd.get("nodaemon"):
            twistd["pidfile"] = ""


def _log_of(twistd: Mapping[str, Any]) -> Path | None:
    """Return the file that twistd writes its log to; None if it writes to none.

    :param twistd: its own options.
    """
    name = twistd.get("logfile")
    if not twistd or twistd.get("logger") or twistd.get("syslog") or name == "-":
        return None
    if not name and twistd.get("nodaemon", True):  # twist, and twistd on Windows, have no daemons
        return None
    return Path(name or "twistd.log").absolute()  # opened before twistd goes to its rundir


def _check_writable(path: Path, what: str, hint: str = "") -> None:
    """Look whether a file of twistd's own can be written, as far as that can be seen: it would raise later.

    :raises SystemExit: with one line, if it cannot.
    """
    number = writing_error(path, alone=True)
    if number is not None:
        why = why_not_usable(OSError(number, os.strerror(number)), path)
        raise SystemExit(f"lgtwist: {path}: {what} cannot be written: {why}{hint}")


def _own_files(twistd: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths of twistd's own files."""
    log, pid = _log_of(twistd), twistd.get("pidfile")
    pids = () if not pid else (str(Path(twistd.get("rundir") or ".") / pid),)
    return pids if log is None else (*pids, *log_file_names(log))


def load(named: str | None = None) -> Config:
    """Return the configuration that counts.

    :param named: the file that was named on the command line.
    :raises SystemExit: with a line for each mistake, as an exit with status 1.
    """
    return _load(named)[1]


def _load(named: str | None = None, own: tuple[str, ...] = ()) -> tuple[ConfigurationFile, Config]:
    """Find and read the configuration.

    :param own: names of twistd's own files, which no bot may read.
    """
    try:
        file = evolve(ConfigurationFile.find(named), also_private=own)
        return file, file.read()
    except ConfigurationError as error:
        raise SystemExit(str(error)) from None


def makeService(options: Options) -> LgtwistService:
    """Return the service, its ports already open.

    :raises SystemExit: with one line, if it cannot start.
    """
    return _prepared(options["file"], options["read"])


def make_application() -> Any:
    """Return the application of ``lgtwist.tac``."""
    outlive_new_log_signal()
    application = Application("lgtwist")
    _prepared(*_load()).setServiceParent(IService(application))
    return application


def _prepared(file: ConfigurationFile, config: Config) -> LgtwistService:
    try:
        return prepare_service(file, config, install_reactor())
    except CannotStart as error:
        raise SystemExit(f"lgtwist: {error}") from None
