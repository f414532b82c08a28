"""Where the configuration comes from: found once, and read again at each reload.

What is heavy is imported when a configuration is read, not when one is looked for: ``lgtwist health`` only
needs to know where the file is.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from lgtwist.config.text_files import decode_text, why_unreadable
from lgtwist.runtime.file_trouble import why_not_usable
from lgtwist.runtime.platform import O_NONBLOCK

if TYPE_CHECKING:
    from lgtwist.app.configuration import Config
    from lgtwist.config.section import Problem

#: The configuration file that is taken where none is named, if it is there.
DEFAULT_FILE = "lgtwist.toml"
#: Bytes of a file that is read: whatever is named by mistake, as a log, does not fill the memory.
_LARGEST_TEXT_FILE = 16 << 20
#: The variable of the environment that names it.
VARIABLE = "LGTWIST_CONFIG"


class ConfigurationError(Exception):
    """There is no configuration to run with.

    :ivar lines: what is wrong, one line for each mistake.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@frozen
class ConfigurationFile:
    """A file that a configuration is read from, perhaps again and again.

    twistd may change the working directory later (``--rundir``, or as a daemon), so that whatever the
    configuration names is resolved with the one of the first moment.

    :ivar name: as it was given, which is what mistakes are told by; None if no file was named.
    :ivar base: the working directory when it was looked for.
    :ivar also_private: names of other files that bots may not read: twistd's log and pid file.
    """

    name: str | None
    base: Path
    also_private: tuple[str, ...] = ()

    @classmethod
    def find(cls, named: str | None = None) -> ConfigurationFile:
        """Find the file: ``--config``, else ``$LGTWIST_CONFIG``, else ``./lgtwist.toml`` if it is there.

        :param named: the file that was named on the command line.
        :raises ConfigurationError: if the name is empty, or the working directory is gone.
        """
        name = os.environ.get(VARIABLE) if named is None else named
        if name == "":
            raise ConfigurationError([f"--config and {VARIABLE}: expected a file's name, not nothing"])
        try:
            return cls(name, Path.cwd())
        except OSError as error:
            raise ConfigurationError([f"the working directory cannot be used: {error.strerror}"]) from None

    @property
    def path(self) -> Path | None:
        """The absolute path; None where the built-in configuration is taken, for there is no file."""
        if self.name is not None:
            return self.base / self.name
        default = self.base / DEFAULT_FILE
        return default if default.exists() else None

    @property
    def described(self) -> str:
        """What to call it in a sentence."""
        return "the built-in configuration" if self.path is None else self.name or DEFAULT_FILE

    def source(self, again: bool = False) -> str:
        """Read the file; empty where there is none.

        :param again: whether a service runs already; see :meth:`read`.
        :raises ConfigurationError: if it cannot be read, or is not UTF-8.
        """
        path = self.path
        if path is None:
            return ""
        try:
            return _read_text(path, again)
        except OSError as error:
            where = "" if str(path) == self.described else f" ({path})"
            # A folder is what Docker makes where the file that is to be mounted is missing.
            folder = isinstance(error, IsADirectoryError)
            why = why_not_usable(error, path) if folder else why_unreadable(error, path)
            sentence = f"{self.described}: cannot be read: {why}{where}"
            raise ConfigurationError([sentence]) from None
        except ValueError as error:  # also a name with a null character
            raise ConfigurationError([f"{self.described}: {error}"]) from None

    def read(self, again: bool = False) -> Config:
        """Read the configuration. Every path in it is absolute.

        :param again: whether a service runs already. Then only regular files are read: a pipe would keep a
            thread waiting, and whoever stops the service.
        :raises ConfigurationError: with a line for each mistake, by the key's path.
        """
        from lgtwist.app.configuration import Config

        path = self.path
        read = self.check(self.source(again), again)
        if not isinstance(read, Config):
            raise ConfigurationError([f"{self.described}: {problem}" for problem in read])
        private = [self.base / named for named in (*read.private_files, *self.also_private)]
        if path is not None:
            private.append(path)
        return evolve(
            read,
            data_dir=str(self.base / read.data_dir),
            private_files=tuple(str(one) for one in private),
        )

    def check(self, source: str, again: bool = False) -> Config | list[Problem]:
        """Return the configuration that a text would be, or its mistakes. The files that it names are read.

        :param again: whether a service runs already; see :meth:`read`.
        """
        from lgtwist.app.configuration import parse

        return parse(source, lambda name: _read_text(self.base / name, again), self.base)


def _read_text(path: Path, only_regular: bool) -> str:
    """Read a file as UTF-8.

    :raises OSError: if it cannot be read, or is to be a regular file and is none.
    :raises NotText: if it is not UTF-8.
    """
    flags = O_NONBLOCK if only_regular else 0
    with open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)) as file:
        if only_regular and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        raw = file.read(_LARGEST_TEXT_FILE + 1)
    if len(raw) > _LARGEST_TEXT_FILE:
        raise OSError(errno.EFBIG, "the file is too large")
    return decode_text(raw)
