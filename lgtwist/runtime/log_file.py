"""Streams and files that the log is written to: writing never raises, and a large file is renamed."""

from __future__ import annotations

import io
import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lgtwist.runtime.file_trouble import why_not_usable
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.platform import O_CLOEXEC, O_NOCTTY, RENAMES_OPEN_FILES

#: Bytes after which a log goes on in a new file, and how many files are kept, the one being written included.
LOG_SIZE, LOG_FILES = 10_000_000, 5
#: Seconds after which it is told again that lines are left out: a disk may be full again and again.
_TELL_AGAIN_AFTER = 60.0


def tell_terminal(line: str) -> None:
    """Write a line to stderr, if there is one that takes it."""
    with suppress(OSError, ValueError, AttributeError):
        os.write(sys.__stderr__.fileno(), f"lgtwist: {line}\n".encode())  # type: ignore[union-attr]


class LogStream(io.TextIOBase):
    """Writes a log to an open file.

    A line that cannot be written is left out. The first that is left out is told, at most once a minute; when
    lines can be written again, one says how many are missing.

    :param descriptor: the open file.
    :param name: what it is called in sentences.
    :param encoding: what cannot be encoded is written with backslashes.
    :param tell: called with a sentence when lines begin to be left out.
    """

    _log = Logger(throttled=False)

    def __init__(
        self,
        descriptor: int,
        name: str,
        encoding: str = "utf-8",
        tell: Callable[[str], object] = tell_terminal,
    ) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._described = name
        self._encoding_used = encoding
        self._tell = tell
        self._lock = threading.RLock()
        self._left_out = 0  # lines since the last that was written
        self._is_cut = False  # the last line was written in part
        self._logged_at: float | None = None  # of the monotonic clock

    def write(self, text: str) -> int:
        """Write text, or leave it out; never raises."""
        trouble = None
        with self._lock:
            try:
                self._before_writing()
                if self._left_out:
                    self._write_gap()
                self._write_all(text.encode(self._encoding_used, "backslashreplace"))
            except (OSError, ValueError) as error:
                self._left_out += 1
                if self._left_out == 1 and self._is_worth_telling():
                    trouble = self._why(error)
        if trouble is not None:
            sentence = f"{self._described}: the log cannot be written, and goes on when it can: {trouble}"
            self._tell(sentence)
            self._log.error("{sentence}", sentence=sentence)  # for the console; here it is left out as well
        return len(text)

    def _is_worth_telling(self) -> bool:
        now, before = time.monotonic(), self._logged_at
        if before is not None and now - before < _TELL_AGAIN_AFTER:
            return False
        self._logged_at = now
        return True

    def _before_writing(self) -> None:
        """Do what is due before a line is written."""

    def _why(self, error: Exception) -> str:
        return getattr(error, "strerror", None) or str(error)

    def _write_gap(self) -> None:
        many = self._left_out
        line = f"- [lgtwist] the log could not be written for a while: {many} entries are missing here\n"
        self._write_all(line.encode())
        self._left_out = 0

    def _write_all(self, data: bytes) -> None:
        if self._is_cut:
            data = b"\n" + data
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._is_cut = written < len(view)
            self._wrote(written)
            view = view[written:]

    def _wrote(self, size: int) -> None:
        """Note that so many bytes were written."""

    def flush(self) -> None:
        """Do nothing: nothing is kept."""

    def renew(self) -> str | None:
        """Open a new file, if there is one to open; return what was done, None for nothing."""
        return None


class LogFile(LogStream):
    """Writes a log to a file that is renamed when it is large; the oldest of these files are removed.

    The others are ``NAME.1``, the newest, to ``NAME.4``. A file that somebody else has renamed, as logrotate
    does, is left alone, and the log goes on under the old name.

    :param path: of the file; it is made if it is not there, and what is in it stays.
    :param size: bytes after which it is renamed.
    :param files: how many are kept.
    :param descriptor: the file, where it is open already.
    :raises OSError: if it cannot be opened.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: int = LOG_SIZE,
        files: int = LOG_FILES,
        descriptor: int | None = None,
        tell: Callable[[str], object] = tell_terminal,
    ) -> None:
        path = path.absolute()
        target = Path(os.path.realpath(path))
        self._path = target if target.is_file() else path
        super().__init__(_open(self._path) if descriptor is None else descriptor, str(self._path), tell=tell)
        self._limit = size
        self._files = files
        status = os.fstat(self._descriptor)
        self._size = status.st_size
        self._is_regular = stat.S_ISREG(status.st_mode)  # and no device, which has no end
        self._rotate_at = size  # more, where it could not be renamed

    @property
    def path(self) -> Path:
        """The file's path."""
        return self._path

    def _why(self, error: Exception) -> str:
        return why_not_usable(error, self._path)

    def _before_writing(self) -> None:
        if self._size >= self._rotate_at and self._is_regular:
            self._renew()

    def _wrote(self, size: int) -> None:
        self._size += size

    def renew(self) -> str | None:
        """Go on in a new file: the present one is renamed, unless somebody has done that.

        :returns: what was done; None where it could not be done, which is logged.
        """
        with self._lock:
            return self._renew() or None

    def _renew(self) -> str:
        try:
            if not self._is_regular:
                done = f"{self._path}: was opened again"
            elif self._is_moved():
                done = f"{self._path}: the log goes on here; the former file was renamed or removed"
            elif os.fstat(self._descriptor).st_size == 0:  # as on a full disk: old files are worth more
                self._size, self._rotate_at = 0, self._limit
                return f"{self._path}: the log is empty, and goes on here"
            else:
                self._rename()
                done = f"{self._path}: the log goes on in a new file; the former one is {self._path.name}.1"
            descriptor = _open(self._path)
        except OSError as error:
            self._rotate_at = self._size + self._limit
            why = self._why(error)
            self._log.error("{path}: no new log could be begun: {why}", path=self._path, why=why)
            return ""
        former, self._descriptor = self._descriptor, descriptor
        os.close(former)
        self._size = os.fstat(descriptor).st_size
        self._rotate_at = self._limit
        self._is_cut = False
        return done

    def _is_moved(self) -> bool:
        """Return whether the path leads to another file than the one that is open, or to none."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return True
        ours = os.fstat(self._descriptor)
        return (found.st_dev, found.st_ino) != (ours.st_dev, ours.st_ino)

    def _rename(self) -> None:
        for old in sorted(_old_numbers(self._path), reverse=True):
            name = _old_name(self._path, old)
            if old >= self._files - 1:
                name.unlink(missing_ok=True)
            else:
                name.replace(_old_name(self._path, old + 1))
        if RENAMES_OPEN_FILES:
            self._path.replace(_old_name(self._path, 1))
            return
        os.close(self._descriptor)
        try:
            self._path.replace(_old_name(self._path, 1))
        finally:
            self._descriptor = _open(self._path)

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):
            os.close(self._descriptor)
        super().close()


def _open(path: Path) -> int:
    """Open a log for writing at its end, with the mode of the one before, else for our user alone.

    :raises OSError: if it cannot be opened.
    """
    mode = 0o600
    with suppress(OSError):
        mode = stat.S_IMODE(_old_name(path, 1).stat().st_mode)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | O_CLOEXEC | O_NOCTTY
    return os.open(path, flags, mode)


def _old_name(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _old_numbers(path: Path) -> list[int]:
    """Return the numbers of the old files of a log."""
    begin = f"{path.name}."
    ends = (name[len(begin) :] for name in os.listdir(path.parent) if name.startswith(begin))
    return [int(end) for end in ends if end.isascii() and end.isdecimal() and end[0] != "0" and len(end) < 7]


def log_file_names(path: Path) -> tuple[str, ...]:
    """Return the absolute paths that a log is written to, the old files among them."""
    path = path.absolute()
    return (str(path), *(str(_old_name(path, number)) for number in range(1, LOG_FILES)))
