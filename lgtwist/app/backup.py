"""Backups: one zip of the configuration, the sandboxes' worlds, message ids and the journal.

The running service makes it: only who writes a SQLite file can copy it while it is written. Where no service
has the lock of ``data_dir``, the command copies by itself, and has the lock meanwhile.

What is copied comes first into a private folder below ``data_dir``, then into a zip there, which is removed
from the folder before it is sent: a client that is slow, or goes away, leaves nothing behind.
"""

from __future__ import annotations

import errno
import io
import os
import re
import secrets as random
import shutil
import sqlite3
import stat
import time
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import msgspec
from attrs import define, frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime

from lgtwist import __version__
from lgtwist.app.admin_token import ADMIN_TOKEN_FILE
from lgtwist.app.configuration import Config
from lgtwist.app.configuration_file import ConfigurationError, ConfigurationFile
from lgtwist.app.data_dir import GENERATION_FILE, JOURNAL_FILE
from lgtwist.app.masks import secrets_of
from lgtwist.app.secrets import SECRET_KEYS, configured_secrets
from lgtwist.console.interfaces import BackupFile, CannotBackUp
from lgtwist.hub.edges import CannotPrepare
from lgtwist.hub.interfaces import IKeepsFile
from lgtwist.journal.sqlite import check, mark_as_backup
from lgtwist.journal.store import JournalError
from lgtwist.runtime.file_trouble import why_not_usable
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.platform import O_CLOEXEC, O_NONBLOCK, free_bytes
from lgtwist.runtime.private_files import create_private
from lgtwist.runtime.sqlite_copies import copy_resting_database
from lgtwist.runtime.tasks import spawn

if TYPE_CHECKING:
    from lgtwist.journal.journal import Journal

#: The name of the configuration in the zip.
CONFIGURATION = "lgtwist.toml"
#: The folder in the zip of the files that the configuration names.
_NAMED_FILES = "backup-files"
#: Folders in which backups are made.
_BACKUP_FOLDER = re.compile(r"backup-[0-9a-f]{16}\Z")
#: Bytes that are read at once.
_ZIP_PIECE = 262_144
#: A file that the configuration names is left out beyond so many bytes.
_LARGEST_NAMED = 64 << 20
#: Bytes that stay free on the disk, for the journal.
_STAYS_FREE = 16 << 20
#: Seconds to wait until the journal is open.
_OPENING_PATIENCE = 10.0
#: Backups that were made and wait for slow clients, at most.
_MOST_DOWNLOADS = 3
_WORLD_FILE = re.compile(r"sandbox-\d+\.sqlite\Z")
_MESSAGE_IDS_FILE = re.compile(r"milky-\d+\.sqlite\Z")

#: Calls a function in a thread.
InThread = Callable[[Callable[[], Any]], "Deferred[Any]"]


class _Cancelled(Exception):
    """Nobody wants the backup any more."""


def backup_name(now: float) -> str:
    """Return the name of a backup that is made now.

    :param now: seconds since the epoch.
    """
    return f"lgtwist-backup-{time.strftime('%Y-%m-%dT%H%M%S', time.localtime(now))}-{__version__}.zip"


def size_text(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def remove_unfinished(data_dir: Path) -> None:
    """Remove what a backup left behind that did not end, for the process was killed."""
    for path in data_dir.iterdir():
        if _BACKUP_FOLDER.match(path.name) and path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


# -- the configuration

_TOML_STRING = r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\''
_SECRET = re.compile(
    rf"""(?<![\w-])(["']?)({"|".join(SECRET_KEYS)})\1(\s*=\s*)(?:{_TOML_STRING})""", re.DOTALL
)
#: Passwords and tokens in URLs.
_IN_URL = re.compile(
    r"(?<=://)[^/\s\"'@?#]+@"
    r"|(?:(?<=[?&]access_token=)|(?<=[?&]token=)|(?<=[?&]secret=)|(?<=[?&]key=))[^&\"'\s#]+"
)
_LEFT_OUT = '# Tokens and secrets were left out of this backup: write them in place of "".'


def blank_secrets(source: str, secrets: Collection[str]) -> str | None:
    """Return a configuration in TOML with ``""`` for its tokens and secrets, in comments too.

    :param secrets: the values, as far as they are known; they are looked for everywhere.
    :returns: the text; None where it cannot be told whether a secret is left in it.
    """
    line_end = "\r\n" if "\r\n" in source else "\n"
    text = _SECRET.sub(lambda found: f'{found[1]}{found[2]}{found[1]}{found[3]}""', source)
    text = _IN_URL.sub("", text)
    values = _secret_values(source)
    known = {one for one in secrets if len(one) >= 4} | (values or set())
    for secret in sorted(known, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", "", text)
    for found in reversed(secrets_of(text)):  # keys that only look like those of secrets, and what is no TOML
        text = text[: found.start] + ('""' if found.whole else "") + text[found.end :]
    # A key or a value may be written in a way that is not found above: "acc\u0065ss_token".
    left = _secret_values(text)
    if left or (left is None and values is not None):
        return None
    return f"{_LEFT_OUT}{line_end}{text}" if text != source else source


def _secret_values(source: str) -> set[str] | None:
    """Return the values of secret keys; None where the text is no TOML."""
    try:
        value: Any = msgspec.toml.decode(source)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    found: set[str] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found |= {each for key, each in one.items() if key in SECRET_KEYS and isinstance(each, str)}
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return {one for one in found if one}


# -- the zip


@define
class ZipContents:
    """What goes into a zip.

    :ivar copies: a folder with copies that were made for it.
    :ivar texts: by name what is written there.
    :ivar files: by name the paths of files that are read when the zip is made.
    :ivar notes: for ``README.txt``: what is where, and what is missing.
    """

    copies: Path | None
    texts: dict[str, bytes]
    files: dict[str, Path]
    notes: list[str]


def contents_of(
    config: Config,
    file: ConfigurationFile | None,
    data_dir: Path,
    *,
    secrets: bool,
    known: Collection[str] = (),
    copies: Path | None = None,
) -> ZipContents:
    """Find what goes into a zip beside the copies.

    :param file: where the configuration was read from; None for nowhere.
    :param secrets: whether tokens and the files that the configuration names are wanted.
    :param known: tokens that are valid now, or were.
    """
    contents = ZipContents(copies, {}, {}, [])
    path = None if file is None else file.path
    if file is not None and path is not None:
        try:
            source: str | None = file.source(again=True)
        except ConfigurationError as error:
            source = None
            contents.notes.append(f"{CONFIGURATION} is missing: {error}")
        if source is not None and not secrets:
            source = blank_secrets(source, configured_secrets(config) | set(known))
            if source is None:
                contents.notes.append(f"{CONFIGURATION} is missing: its secrets could not be left out")
        if source is not None:
            contents.texts[CONFIGURATION] = source.encode()
            contents.notes.append(f"{CONFIGURATION}: {path}")
    else:
        contents.notes.append("There was no configuration file.")
    if secrets:
        for name in (ADMIN_TOKEN_FILE, GENERATION_FILE):
            if (data_dir / name).is_file():
                contents.files[name] = data_dir / name
        for number, named in enumerate(_named_files(config, file, path)):
            contents.files[f"{_NAMED_FILES}/{number + 1}-{named.name}"] = named
    return contents


def _named_files(config: Config, file: ConfigurationFile | None, path: Path | None) -> Iterable[Path]:
    """Return the files that a configuration names."""
    others = set() if file is None else {file.base / name for name in file.also_private}
    others |= set() if path is None else {path}
    found = dict.fromkeys(Path(name) for name in config.private_files)
    return [one for one in found if one not in others and one.is_absolute()]


_READ_ME = """\
A backup of lgtwist {version}, made {made}, {secrets} secrets.

To restore it:
1. Stop lgtwist, and move its data_dir ({data_dir}) away. Do not unpack into the old one: journal.sqlite-wal
   of another journal would damage this one.
2. Make a new, empty data_dir with mode 0700, unpack the zip into it as lgtwist's user, and move
   {configuration} from there to where it belongs{fill_in}.
3. Move the files of {named}/, if there are any, to where the configuration names them; the list is below.
4. Start lgtwist. At-least-once bots go on where they were when the backup was made; the log says so.
   Message ids of Milky accounts that were given out after it stand for no message any more.

恢复方法：
1. 停止 lgtwist，把原来的 data_dir 移到别处；不要解压到旧文件夹里，
   旧的 journal.sqlite-wal 会损坏新的事件日志。
2. 新建空的 data_dir（权限 0700），以运行 lgtwist 的用户解压到其中，
   再把 {configuration} 移回原处{fill_in_zh}。
3. 如果有 {named}/，把其中的文件移回配置所写的位置，见下表。
4. 启动 lgtwist。at-least-once 机器人从备份时的游标继续，日志里有一行说明。
   Milky 账号在备份之后发出的消息号不再对应任何消息。

docs/backup.md says more. What is in it, and where it was:

{notes}
"""


class _FastEntry(zipfile.ZipInfo):
    """An entry that is compressed fast; before Python 3.13 there is no other way to say so."""

    compress_level = _compresslevel = property(lambda _self: zlib.Z_BEST_SPEED, lambda _self, _level: None)


class _Zip:
    """Writes a zip.

    :param file: open for writing, and empty.
    :param check: called again and again; what it raises ends the work.
    :param now: seconds since the epoch.
    """

    def __init__(self, file: BinaryIO, check: Callable[[], object], now: float) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True)
        self._check = check
        self._date = max(time.localtime(now)[:6], (1980, 1, 1, 0, 0, 0))

    def add(self, name: str, source: BinaryIO, most: int | None = None) -> None:
        """Add what can be read from a file, and no more than ``most`` bytes of it."""
        info = _FastEntry(name, self._date)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system = 3  # Unix: who unpacks it gets these permissions
        info.external_attr = (stat.S_IFREG | 0o600) << 16
        left = most
        with self._zip.open(info, "w", force_zip64=True) as entry:
            while piece := source.read(_ZIP_PIECE if left is None else min(left, _ZIP_PIECE)):
                self._check()
                entry.write(piece)
                left = None if left is None else left - len(piece)

    def close(self) -> None:
        """Write the directory."""
        self._zip.close()


def write_zip(
    file: BinaryIO,
    contents: ZipContents,
    *,
    data_dir: Path,
    secrets: bool,
    now: float,
    check: Callable[[], object] = lambda: None,
) -> list[str]:
    """Write a backup.

    :param file: open for writing, and empty.
    :param check: called again and again; what it raises ends the work.
    :returns: what is missing, a sentence each.
    :raises OSError: if it cannot be written, or something that was copied cannot be read.
    """
    made, notes = _Zip(file, check, now), list(contents.notes)
    copies = [] if contents.copies is None else sorted(contents.copies.iterdir())
    for path in copies:
        with path.open("rb") as copy:
            made.add(path.name, copy)
        path.unlink()  # so that less of the disk is needed
        notes.append(f"{path.name}: {data_dir / path.name}")
    for name, path in contents.files.items():
        try:
            source = _open_named(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            notes.append(f"{name} is missing: {path} cannot be read: {reason}")
            continue
        with source:
            made.add(name, source, _LARGEST_NAMED)
        notes.append(f"{name}: {path}")
    for name, text in contents.texts.items():
        made.add(name, io.BytesIO(text))
    blanked = not secrets and CONFIGURATION in contents.texts
    read_me = _READ_ME.format(
        version=__version__,
        made=time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(now)),
        secrets="with" if secrets else "without",
        data_dir=data_dir,
        configuration=CONFIGURATION,
        named=_NAMED_FILES,
        fill_in=', and write the tokens in place of ""' if blanked else "",
        fill_in_zh='，并把 "" 换成令牌' if blanked else "",
        notes="\n".join(notes),
    )
    made.add("README.txt", io.BytesIO(read_me.encode("utf-8", "replace")))
    made.close()
    file.flush()
    return [note for note in notes if " is missing: " in note]


def _open_named(path: Path) -> BinaryIO:
    """Open a file that the configuration names, if it is a regular one and not too large.

    :raises OSError: if it cannot be opened.
    :raises ValueError: if it is something else, or too large.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | O_NONBLOCK | O_CLOEXEC), "rb")
    found = os.fstat(file.fileno())
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST_NAMED:
        file.close()
        raise ValueError("it is no ordinary file, or too large")
    return file


def _why_no_backup(error: BaseException) -> CannotBackUp:
    """Return what to tell of an error."""
    if isinstance(error, CannotBackUp):
        return error
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or "disk is full" in str(error):
        return CannotBackUp("no_space", "the disk of data_dir is full: there is no room for a backup")
    reason: object = getattr(error, "strerror", None) or error
    if isinstance(error, OSError) and isinstance(error.filename, str):
        path = Path(error.filename)
        reason = f"{path}: {why_not_usable(error, path, path.parent)}"
    return CannotBackUp("backup_failed", f"the backup could not be made: {reason}")


def _check_room(data_dir: Path, needed: int) -> None:
    """Refuse to begin what would fill the disk.

    :raises CannotBackUp: if less is free.
    """
    free = free_bytes(data_dir)
    if free < needed + _STAYS_FREE:
        raise CannotBackUp(
            "no_space",
            f"a backup needs {(needed + _STAYS_FREE) / 1e6:.1f} MB free for a moment in {data_dir}, and "
            f"{free / 1e6:.1f} MB are free",
        )


def _databases(data_dir: Path) -> list[Path]:
    """Return the journal, the worlds and the files of message ids in a folder."""
    patterns = _WORLD_FILE, _MESSAGE_IDS_FILE
    found = [path for path in sorted(data_dir.iterdir()) if any(one.match(path.name) for one in patterns)]
    journal = data_dir / JOURNAL_FILE
    return [*found, journal] if journal.exists() else found


def _copies_size(paths: Iterable[Path]) -> int:
    """Return how many bytes the copies of databases take at most."""
    with_logs = [path.with_name(f"{path.name}{ending}") for path in paths for ending in ("", "-wal")]
    return sum(path.stat().st_size for path in with_logs if path.exists())


def _copy_resting(path: Path, target: Path, now: float, check_: Callable[[], object]) -> None:
    """Copy a database that no service writes.

    :raises JournalError: if it is no journal of this version.
    :raises sqlite3.Error: if it cannot be copied.
    """
    if path.name == JOURNAL_FILE:
        check(path)
    copy_resting_database(path, target, check_)
    if path.name == JOURNAL_FILE or _MESSAGE_IDS_FILE.match(path.name):
        mark_as_backup(target, int(now * 1000))


# -- by the running service


@frozen
class _WantedBackup:
    """A backup that is being made.

    :ivar secrets: whether tokens and the like are in it.
    :ivar address: of whoever wants it.
    :ivar done: whoever wants it; may be cancelled.
    :ivar ended: fires when nothing of it goes on any more.
    """

    secrets: bool
    address: str
    done: Deferred[BackupFile]
    ended: Deferred[None]


class BackedUpService(Protocol):
    """What a backup reads of the running service."""

    @property
    def may_change(self) -> bool:
        """Whether it runs and is not stopping."""

    @property
    def config(self) -> Config:
        """The present configuration."""

    @property
    def journal(self) -> Journal | None:
        """The journal; None if there is none."""

    @property
    def accounts(self) -> Iterable[Any]:
        """The accounts' edges."""

    def secrets(self) -> frozenset[str]:
        """Return the tokens and secrets that are valid now, or were in this run."""


class Backups:
    """Makes backups of a running service, one at a time.

    :param service: what runs.
    :param data_dir: its folder.
    :param wall_clock: seconds since the epoch.
    :param in_thread: calls a function in a thread.
    :param clock: the reactor, or a clock in its place.
    :ivar file: where the configuration was read from; None for nowhere. May be set.
    """

    _log = Logger()

    def __init__(
        self,
        service: BackedUpService,
        data_dir: Path,
        wall_clock: Callable[[], float],
        in_thread: InThread,
        clock: IReactorTime,
    ) -> None:
        self._clock = clock
        self.file: ConfigurationFile | None = None
        self._service = service
        self._data_dir = data_dir
        self._wall_clock = wall_clock
        self._in_thread = in_thread
        self._wanted: _WantedBackup | None = None
        self._opening: Deferred[None] | None = None
        self._waiting: list[BinaryIO] = []  # those that are sent, or were

    def make(self, secrets: bool, address: str) -> Deferred[BackupFile]:
        """Make a backup.

        :param secrets: whether tokens and the files that the configuration names are in it.
        :param address: of whoever wants it, for the log.
        :returns: fires when it is made; may be cancelled; fails with :class:`CannotBackUp`.
        """
        self._waiting = [file for file in self._waiting if not file.closed]
        done: Deferred[BackupFile] = Deferred()
        if not self._service.may_change:
            done.errback(CannotBackUp("stopping", "lgtwist stops"))
        elif self._wanted is not None:
            done.errback(CannotBackUp("backup_running", "another backup is being made; try again soon"))
        elif len(self._waiting) >= _MOST_DOWNLOADS:
            sentence = f"{_MOST_DOWNLOADS} backups are being downloaded; try again later"
            done.errback(CannotBackUp("backup_running", sentence))
        else:
            wanted = self._wanted = _WantedBackup(secrets, address, done, Deferred())
            spawn("backup", self._make(wanted)).addBoth(lambda _none: self._ended(wanted))
        return done

    def stop(self) -> Deferred[None]:
        """End the one that is being made: the service stops.

        :returns: fires when nothing goes on any more.
        """
        if self._opening is not None:
            self._opening.cancel()
        wanted = self._wanted
        if wanted is None:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        wanted.ended.addCallback(lambda _none: None if stopped.called else stopped.callback(None))
        return stopped

    def _ended(self, wanted: _WantedBackup) -> None:
        self._wanted = None
        wanted.ended.callback(None)

    async def _make(self, wanted: _WantedBackup) -> None:
        now = self._wall_clock()
        folder = self._data_dir / f"backup-{random.token_hex(8)}"
        who, what = wanted.address, "with secrets" if wanted.secrets else "without secrets"
        try:
            try:
                made = await self._make_in(folder, wanted, now)
            finally:
                await self._in_thread(lambda: shutil.rmtree(folder, ignore_errors=True))
        except _Cancelled:
            self._log.info("a backup for {who} was given up", who=who)
            if not wanted.done.called:
                wanted.done.errback(CannotBackUp("stopping", "lgtwist stops"))
        except Exception as error:
            expected = (CannotBackUp, CannotPrepare, JournalError, OSError, sqlite3.Error)
            if not isinstance(error, expected):
                self._log.failure("a backup failed")
            problem = _why_no_backup(error)
            self._log.error("a backup for {who} was not made: {reason}", who=who, reason=problem)
            if not wanted.done.called:
                wanted.done.errback(problem)
        else:
            size = size_text(made.size)
            self._log.info("a backup {what} was made for {who}: {size}", what=what, who=who, size=size)
            if wanted.done.called:
                made.file.close()
            else:
                self._waiting.append(made.file)
                wanted.done.callback(made)

    async def _journal_is_open(self, journal: Journal) -> None:
        """Wait a few seconds until the journal is open: the service has just started, or it is locked.

        :raises CannotBackUp: if it does not open.
        """
        opened: Deferred[None] = Deferred()
        journal.when_open(lambda: None if opened.called else opened.callback(None))
        self._opening = opened.addTimeout(_OPENING_PATIENCE, self._clock)
        try:
            await opened
        except (DeferredTimeout, CancelledError):
            why = f": {journal.trouble}" if journal.trouble else ""
            raise CannotBackUp("backup_failed", f"the journal is not open{why}") from None
        finally:
            self._opening = None

    async def _make_in(self, folder: Path, wanted: _WantedBackup, now: float) -> BackupFile:
        service, in_thread, data_dir = self._service, self._in_thread, self._data_dir

        def check_wanted() -> None:
            if wanted.done.called or not service.may_change:
                raise _Cancelled

        def begin() -> list[Path]:
            found = _databases(data_dir)
            _check_room(data_dir, int(1.3 * _copies_size(found)))
            folder.mkdir(mode=0o700)
            return found

        resting: dict[str, Path] = {path.name: path for path in await in_thread(begin)}
        check_wanted()
        if service.journal is not None:
            await self._journal_is_open(service.journal)
            check_wanted()
            await service.journal.back_up(folder / JOURNAL_FILE, check_wanted)
            resting.pop(JOURNAL_FILE, None)
        for edge in tuple(service.accounts):
            keeper = IKeepsFile(edge, None)
            if keeper is not None:
                check_wanted()
                await keeper.back_up(folder)
        known, config, file = service.secrets(), service.config, self.file

        def finish() -> tuple[BackupFile, list[str]]:
            # What belongs to accounts and bots that are not configured any more.
            for name, path in resting.items():
                if not (folder / name).exists():
                    _copy_resting(path, folder / name, now, check_wanted)
            contents = contents_of(
                config, file, data_dir, secrets=wanted.secrets, known=known, copies=folder / "copies"
            )
            _move_all(folder, folder / "copies")
            path = folder / "zip"
            zipped = os.fdopen(create_private(path), "w+b")
            try:
                path.unlink()
                missing = write_zip(
                    zipped,
                    contents,
                    data_dir=data_dir,
                    secrets=wanted.secrets,
                    now=now,
                    check=check_wanted,
                )
                size = zipped.seek(0, os.SEEK_END)
                zipped.seek(0)
            except BaseException:
                zipped.close()
                raise
            return BackupFile(backup_name(now), zipped, size), missing

        made, missing = await in_thread(finish)
        for sentence in missing:
            self._log.warn("backup: {sentence}", sentence=sentence)
        return made  # type: ignore[no-any-return]


def _move_all(folder: Path, inner: Path) -> None:
    """Move the files of a folder into a new one in it."""
    files = list(folder.iterdir())
    inner.mkdir(mode=0o700)
    for file in files:
        file.rename(inner / file.name)


# -- without a service


def back_up_stopped(
    file: BinaryIO, source: ConfigurationFile, config: Config, *, secrets: bool, now: float
) -> list[str]:
    """Write a backup where no service runs; the caller has the lock of ``data_dir``, if that is there.

    :param file: open for writing, and empty.
    :returns: what is missing, a sentence each.
    :raises CannotBackUp: if it cannot be made.
    """
    data_dir = Path(config.data_dir)
    copies = None
    known = set()
    try:
        if data_dir.is_dir():
            remove_unfinished(data_dir)
            found = _databases(data_dir)
            _check_room(data_dir, _copies_size(found))
            copies = data_dir / f"backup-{random.token_hex(8)}"
            copies.mkdir(mode=0o700)
            for path in found:
                _copy_resting(path, copies / path.name, now, lambda: None)
            with_token = data_dir / ADMIN_TOKEN_FILE
            if with_token.is_file():
                known.add(with_token.read_text("utf-8", "replace").strip())
        contents = contents_of(config, source, data_dir, secrets=secrets, known=known, copies=copies)
        return write_zip(file, contents, data_dir=data_dir, secrets=secrets, now=now)
    except (CannotPrepare, JournalError, OSError, sqlite3.Error) as error:
        raise _why_no_backup(error) from None
    finally:
        if copies is not None:
            shutil.rmtree(copies, ignore_errors=True)


__all__ = [
    "Backups",
    "back_up_stopped",
    "backup_name",
    "blank_secrets",
    "contents_of",
    "remove_unfinished",
    "size_text",
    "write_zip",
]
