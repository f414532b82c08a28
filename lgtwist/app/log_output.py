"""The log of the process: where twistd or we let it go, made safe, and begun anew at a signal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.logger import LogPublisher, globalLogPublisher
from twisted.python.logfile import BaseLogFile
from twisted.python.logfile import LogFile as TwistedLogFile

from lgtwist.net.twisted_private import log_file_descriptor, log_outputs, replace_log_outputs
from lgtwist.runtime.log_file import LOG_FILES, LogFile, LogStream
from lgtwist.runtime.logs import Logger

_log = Logger(throttled=False)


def stdout_stream() -> LogStream | None:
    """Return what writes the log to stdout; None where it is no file, or there is none."""
    stream = sys.__stdout__
    try:
        if stream is None:
            return None
        stream.flush()
        return LogStream(stream.fileno(), "stdout", stream.encoding or "utf-8")
    except (OSError, ValueError):
        return None


def adopt_log_outputs(publisher: LogPublisher = globalLogPublisher) -> None:
    """Let stdout and the file that twistd has opened be written by us: see :mod:`lgtwist.runtime.log_file`.

    Files with another way to rotate, and other observers, stay as they are.
    """
    replace_log_outputs(_ours, publisher)


def _ours(file: Any) -> Any | None:
    if file is sys.__stdout__:
        return stdout_stream()
    if type(file) is not TwistedLogFile or not file.rotateLength:
        return None
    old = LOG_FILES - 1 if file.maxRotatedFiles is None else file.maxRotatedFiles
    path = Path(file.path)
    try:
        ours = LogFile(path, size=file.rotateLength, files=old + 1)
    except OSError:  # this user may not, any more: twistd --uid
        ours = LogFile(path, size=file.rotateLength, files=old + 1, descriptor=log_file_descriptor(file))
    file.close()
    return ours


def renew_logs(publisher: LogPublisher = globalLogPublisher) -> None:
    """Go on in a new file, or in that which is at the log's path now; say so in one line."""
    files = [file for file in log_outputs(publisher) if isinstance(file, (LogFile, BaseLogFile))]
    for file in files:
        if isinstance(file, LogFile):
            done = file.renew()
        else:
            file.reopen()
            done = f"{file.path}: opened anew"
        if done is not None:
            _log.info("SIGUSR1: {done}", done=done)
    if not files:
        _log.info("SIGUSR1: there is nothing to do, for the log goes to no file that lgtwist has opened")
