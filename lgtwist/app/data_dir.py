"""The folder of the service's files, locked for one process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lgtwist.runtime.file_trouble import why_not_usable
from lgtwist.runtime.platform import O_CLOEXEC, lock_file
from lgtwist.runtime.private_files import OTHERS, create_private, make_private_folder

#: The name of the journal's file in the folder.
JOURNAL_FILE = "journal.sqlite"
#: The name of the file that counts how often all sessions of the console were ended.
GENERATION_FILE = "console_generation"


class CannotStart(Exception):
    """The service cannot start; the argument is one sentence for the terminal."""


class InUse(CannotStart):
    """Another process has the lock."""


class DataDir:
    """The folder that ``data_dir`` names.

    :param path: of the folder, absolute or relative to the working directory.
    :ivar path: the absolute path.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()
        self._lock: int | None = None

    @property
    def journal_file(self) -> Path:
        """Path of the journal's file."""
        return self.path / JOURNAL_FILE

    def session_generation(self) -> int:
        """Return the generation of the console's sessions; 0 where none was saved."""
        try:
            return int((self.path / GENERATION_FILE).read_bytes()[:20])
        except (OSError, ValueError):
            return 0

    def save_session_generation(self, generation: int) -> None:
        """Keep the generation of the console's sessions over a restart.

        :raises OSError: if it cannot be written.
        """
        new = self.path / f"{GENERATION_FILE}.new"
        new.unlink(missing_ok=True)
        with open(create_private(new), "w", encoding="ascii") as file:
            file.write(f"{generation}\n")
        new.replace(self.path / GENERATION_FILE)

    def lock(self) -> None:
        """Make the folder, unless it is there, and lock it until :meth:`unlock` or the end of the process.

        :raises CannotStart: if the folder cannot be used, or another process has the lock.
        """
        try:
            make_private_folder(self.path)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | O_CLOEXEC, 0o600)
        except OSError as error:
            blamed = self.path / "lock" if os.path.isdir(self.path) else self.path
            why = why_not_usable(error, blamed, self.path)
            where = "" if blamed == self.path else "its file lock: "
            raise CannotStart(f"data_dir {self.path} cannot be used: {where}{why}") from None
        try:
            lock_file(lock)
        except OSError:
            os.close(lock)
            raise InUse(f"data_dir {self.path} is in use by another lgtwist") from None
        self._lock = lock

    def warning(self) -> str | None:
        """Return a sentence if others than our user may open the folder; None if not, or if it is missing."""
        try:
            mode = stat.S_IMODE(self.path.stat().st_mode)
        except OSError:
            return None
        if not mode & OTHERS:
            return None
        return (
            f"data_dir {self.path} is open to other users of this machine (mode {mode:04o}); "
            f"close it: chmod 700 {self.path}"
        )

    def is_free(self) -> bool:
        """Return whether no process has the lock, without taking it or making anything."""
        try:
            lock = os.open(self.path / "lock", os.O_RDONLY | O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:  # it cannot be known
            return False
        try:
            lock_file(lock, shared=True)
        except OSError:
            return False
        finally:
            os.close(lock)
        return True

    def unlock(self) -> None:
        """Release the lock; do nothing if it is not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
