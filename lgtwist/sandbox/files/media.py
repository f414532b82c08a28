"""Pictures, voice, videos and files: stored below ``data_dir``, served by unguessable names."""

from __future__ import annotations

import binascii
import contextlib
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from math import inf
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from attrs import frozen

from lgtwist.onebot.errors import BadRequest
from lgtwist.runtime.file_trouble import why_not_usable
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.platform import open_below
from lgtwist.runtime.private_files import create_private, make_private_folder
from lgtwist.sandbox.world.world import PlatformError

#: Bytes that the stored files of one account may have together; the oldest are removed.
MAX_TOTAL_BYTES = 256 << 20
#: Stored files that one account may have; the oldest are removed.
MAX_FILES = 5_000
#: Seconds for which a new file is not removed as unused; its message may not have been sent yet.
_UNUSED_GRACE_TIME = 300.0

#: Characters that a reference other than ``base64://`` may have.
MAX_REFERENCE = 8192
#: Characters of base64 that are decoded at once, for the interpreter switches threads in between only.
_BASE64_STRETCH = 1 << 18
_BASE64 = re.compile("[A-Za-z0-9+/]*")
#: The characters of the other alphabet (RFC 4648, 5) as those of the usual one.
_URLSAFE = str.maketrans("-_", "+/")
#: The begin of an absolute path of Windows, and of one in ``file:///C:/``.
_WINDOWS_PATH = re.compile(r"/?[A-Za-z]:[\\/]|\\\\")

#: The name of a stored file: 192 random bits in base64url, and the extension.
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]{32}(?:\.[a-z0-9]{1,8})?")
#: First bytes of a file, and the extension that they mean.
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"ID3", "mp3"),
    (b"OggS", "ogg"),
    (b"#!AMR", "amr"),
    (b"\x02#!SILK", "silk"),
    (b"%PDF", "pdf"),
)
#: Content types by extension; every other file is served as ``application/octet-stream``.
CONTENT_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "wav": "audio/wav",
    "mp4": "video/mp4",
}


@frozen
class StoredFile:
    """A stored file.

    :ivar file: its unguessable name.
    :ivar name: the name that it came with, else the same as ``file``.
    :ivar path: where it is on the disk.
    :ivar url: where bots can fetch it.
    :ivar size: bytes.
    """

    file: str
    name: str
    path: Path
    url: str
    size: int

    def to_params(self) -> dict[str, Any]:
        """Return the file as a parameter of actions."""
        return {
            "file": self.file,
            "name": self.name,
            "path": str(self.path),
            "url": self.url,
            "size": self.size,
        }


#: Calls a function with arguments in a thread, such as ``call_in_thread``.
RunInThread = Callable[..., Awaitable[Any]]


#: What tells a file: its device and its inode.
FileId = tuple[int, int]


def _is_internal_name(name: str) -> bool:
    """Return whether a name in ``data_dir`` is that of a file or folder of lgtwist's own."""
    name = name.lower()
    # Of a backup that was unpacked here: the configuration, and the files that it names.
    own = ("lock", "admin_token", "console_generation", "lgtwist.toml")
    return name in own or name.startswith(("sandbox-", "milky-", "journal", "backup-"))


def _internal_files(data_dir: Path) -> Iterator[FileId]:
    """Yield the files of lgtwist's own below ``data_dir``: worlds, journal, stored files."""
    device = data_dir.stat().st_dev
    for entry in os.scandir(data_dir):
        if not _is_internal_name(entry.name):
            continue
        yield device, entry.inode()
        if entry.is_dir(follow_symlinks=False):
            yield from ((device, inner.inode()) for inner in os.scandir(entry.path))
        elif entry.is_symlink():
            with contextlib.suppress(OSError):
                yield _file_id(entry.stat())


def _local_path(reference: str) -> str | None:
    """Return the absolute path that a reference names, in ``file:`` (RFC 8089) or alone; None for none."""
    if reference[:5].lower() == "file:":
        path = unquote(reference[5:])
        path = path[2:] if path.startswith("//") else path
        return path.removeprefix("localhost")
    return reference if reference.startswith("/") or _WINDOWS_PATH.match(reference) else None


def _file_id(status: os.stat_result) -> FileId:
    return status.st_dev, status.st_ino


class _CannotStore(PlatformError):
    """A file cannot be written.

    :param sentence: for whoever sent it.
    :ivar why: for the log: what to do.
    """

    def __init__(self, sentence: str, why: str) -> None:
        super().__init__(sentence)
        self.why = why


class MediaStore:
    """The stored files of one sandbox account, limited in number and in bytes; the oldest are removed.

    :param folder: where they are; created for the first one.
    :param data_dir: ``file://`` and paths may name files below it, and below ``media_dirs``.
    :param limit: returns the bytes that one file may have.
    :param fetch: returns the body of a URL, limited in size and time.
    :param base_url: returns the URL of this account's HTTP interface, without a slash at its end.
    :param public_path: what stands behind :attr:`public_url` in the URL of this account's HTTP interface.
    :param run_in_thread: runs a blocking function.
    :param private_files: returns the files that may not be named, beside lgtwist's own in
        ``data_dir``. A file is told by its inode, so that links do not help.
    :param seconds: returns seconds of a clock that nobody sets.
    :ivar media_dirs: other folders whose files may be named; absolute.
    :ivar public_url: the base of links to files instead of ``base_url``, without a slash at its end; None for
        none.
    :ivar on_link: called with the URL of each file that was stored.
    """

    _log = Logger()

    def __init__(
        self,
        folder: Path,
        data_dir: Path,
        *,
        limit: Callable[[], int],
        fetch: Callable[[str], Awaitable[bytes]],
        base_url: Callable[[], str],
        run_in_thread: RunInThread,
        private_files: Callable[[], Collection[Path]] = tuple,
        public_path: str = "",
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._data_dir = data_dir
        self._limit = limit
        self._fetch = fetch
        self._default_base_url = base_url
        self._public_path = public_path
        self.media_dirs: Sequence[str] = ()
        self.public_url: str | None = None
        self.on_link: Callable[[str], None] = lambda _url: None
        self._run_in_thread = run_in_thread
        self._is_failing = False  # the last file could not be stored
        self._private_files = private_files
        self._write_lock = threading.Lock()
        self._seconds = seconds
        self._began = seconds()  # files of former runs are from before
        self._written: dict[str, float] = {}  # when each file of this run was written

    def _base_url(self) -> str:
        if self.public_url is None:
            return self._default_base_url()
        return f"{self.public_url}{self._public_path}"

    def find(self, name: str) -> StoredFile | None:
        """Return a stored file by its unguessable name, or None."""
        if not _FILE_NAME.fullmatch(name):
            return None
        path = self._folder / name
        try:
            size = path.stat().st_size
        except OSError:
            return None
        return StoredFile(name, name, path, f"{self._base_url()}/media/{name}", size)

    async def store(self, reference: str, what: str) -> StoredFile:
        """Store the file that a reference names, and return it; for a stored file's name or URL, that file.

        :param reference: ``base64://``, ``data:``, ``http://``, ``https://``, ``file://``, the absolute path
            of a file, or the name of a stored file.
        :param what: where the reference stands, for errors.
        :raises BadRequest: if the reference is too long.
        :raises PlatformError: if the file cannot be fetched, read or stored, is empty or too large.
        """
        scheme, separator, rest = reference.partition(":")
        scheme = scheme.lower() if separator else ""
        if scheme not in ("base64", "data") and len(reference) > MAX_REFERENCE:
            raise BadRequest(f"{what}: longer than {MAX_REFERENCE} characters")
        stored = self.find(self._own_name(reference))
        if stored is not None:
            return stored
        name = ""
        if scheme == "base64" and rest.startswith("//"):
            data = await self._run_in_thread(self._decode_base64, rest[2:], what)
        elif scheme == "data":
            data = await self._run_in_thread(self._decode_data_url, rest, what)
        elif scheme in ("http", "https") and rest.startswith("//"):
            name = os.path.basename(unquote(reference.partition("?")[0]))
            try:
                data = await self._fetch(reference)
            except PlatformError as error:
                raise PlatformError(f"{what}: {error.sentence}") from None
        elif (path := _local_path(reference)) is not None:
            if _WINDOWS_PATH.match(path):
                raise PlatformError(
                    f"{what}: it is a path of Windows, and lgtwist does not run there; send the file's "
                    "content as base64://"
                )
            name = os.path.basename(path)
            data = await self._run_in_thread(self._read_local, path, what)
        else:
            raise PlatformError(
                f"{what}: expected base64://, data:, http://, https://, file://, an absolute path or a "
                "stored file's name"
            )
        stored = await self._keep(data, name)
        self.on_link(stored.url)
        return stored

    async def store_bytes(self, data: bytes, name: str, what: str) -> StoredFile:
        """Store a file's content, and return the stored file.

        :param name: what the file is called; may have a path before it. Empty for none.
        :param what: what the content is, for errors.
        :raises PlatformError: if it cannot be stored, is empty or too large.
        """
        self._check_size(data, what)
        name = name.replace("\\", "/").rpartition("/")[2]
        stored = await self._keep(data, name)
        self.on_link(stored.url)
        return stored

    async def _keep(self, data: bytes | bytearray, name: str) -> StoredFile:
        """Write a new file; log when files begin not to be stored, and when they are again."""
        try:
            stored = await self._run_in_thread(self._write_file, data, name)
        except _CannotStore as error:
            if not self._is_failing:
                self._is_failing = True
                self._log.error(
                    "{folder}: files that bots and people send cannot be stored, and are refused: {why}",
                    folder=self._folder,
                    why=error.why,
                )
            raise
        if self._is_failing:
            self._is_failing = False
            self._log.info("{folder}: files are stored again", folder=self._folder)
        assert isinstance(stored, StoredFile)
        return stored

    def _own_name(self, reference: str) -> str:
        """Return the name of the stored file that a URL of ours names, else the reference itself."""
        for base in (self._base_url(), self._default_base_url()):
            own = f"{base}/media/"
            if reference.startswith(own):
                return reference[len(own) :]
        return reference

    def _decode_data_url(self, rest: str, what: str) -> bytes | bytearray:
        """Return the content of a ``data:`` URL (RFC 2397)."""
        head, comma, data = rest.partition(",")
        if not comma or len(head) > MAX_REFERENCE:
            raise PlatformError(f"{what}: a data: URL has a comma before its data")
        if head.rstrip().lower().endswith(";base64"):
            return self._decode_base64(unquote(data) if "%" in data else data, what)
        if len(data) > 3 * self._limit():
            raise PlatformError(f"{what}: larger than {self._limit()} bytes")
        return self._check_size(unquote_to_bytes(data), what)

    def _decode_base64(self, text: str, what: str) -> bytes | bytearray:
        """Decode base64 in stretches: one call for all of it would stop the other threads.

        As implementations do: with either alphabet (RFC 4648, 4 and 5), with blanks and line breaks
        anywhere, and with or without padding.
        """
        limit = self._limit()
        if len(text) > limit * 2 + 4:
            raise PlatformError(f"{what}: larger than {limit} bytes")
        data = bytearray()
        left, padded = "", False
        try:
            for start in range(0, len(text), _BASE64_STRETCH):
                stretch = "".join(text[start : start + _BASE64_STRETCH].split()).translate(_URLSAFE)
                digits = stretch.rstrip("=")
                if not _BASE64.fullmatch(digits) or (padded and digits):
                    raise ValueError
                padded = padded or len(digits) < len(stretch)
                digits = left + digits
                whole = len(digits) // 4 * 4
                data += binascii.a2b_base64(digits[:whole])
                left = digits[whole:]
            data += binascii.a2b_base64(left + "=" * (-len(left) % 4))
            if padded and not data:
                raise ValueError
        except ValueError:  # also binascii.Error
            raise PlatformError(f"{what}: not base64") from None
        return self._check_size(data, what)

    def _read_local(self, path: str, what: str) -> bytes | bytearray:
        refused = PlatformError(
            f"{what}: only files below data_dir, and below the folders in the key media_dirs of the sandbox "
            "account, may be named, and none of them that is lgtwist's own"
        )
        try:
            data_dir = self._data_dir.resolve()
            named = Path(path).resolve(strict=True)
            folder = self._folder_of(named, data_dir)
            if folder is None:
                raise refused
            parts = named.relative_to(folder).parts
            if folder == data_dir and _is_internal_name(parts[0]):
                raise refused
            # What is checked is what was opened, whatever has become of the path meanwhile.
            with open(open_below(folder, parts), "rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode) or _file_id(status) in self._private_ids(data_dir):
                    raise refused
                if status.st_size > (limit := self._limit()):
                    raise PlatformError(f"{what}: larger than {limit} bytes")
                data = file.read(limit + 1)
        except (OSError, ValueError, RuntimeError):
            raise PlatformError(f"{what}: there is no such file below data_dir or media_dirs") from None
        return self._check_size(data, what)

    def _folder_of(self, path: Path, data_dir: Path) -> Path | None:
        """Return the one of ``data_dir`` and ``media_dirs`` below which a file is; None if it is elsewhere.

        :param path: the file's, without symbolic links.
        """
        if path.parts[1:2] in (("proc",), ("sys",)):  # they show what is in our memory
            return None
        if path == data_dir or path.is_relative_to(data_dir):
            return None if path == data_dir else data_dir
        for one in self.media_dirs:
            with contextlib.suppress(OSError, RuntimeError):
                folder = Path(one).resolve()
                if path != folder and path.is_relative_to(folder):
                    return folder
        return None

    def _private_ids(self, data_dir: Path) -> set[FileId]:
        """Return the files that may not be read, by device and inode."""
        private = set(_internal_files(data_dir))
        for path in self._private_files():
            with contextlib.suppress(OSError):
                private.add(_file_id(path.stat()))
        return private

    def _check_size(self, data: bytes | bytearray, what: str) -> bytes | bytearray:
        if not data:
            raise PlatformError(f"{what}: it is empty")
        if len(data) > (limit := self._limit()):
            raise PlatformError(f"{what}: larger than {limit} bytes")
        return data

    def _write_file(self, data: bytes | bytearray, name: str) -> StoredFile:
        """Write a new file under an unguessable name.

        Its extension is that of the content's type, else that of ``name``.
        """
        extension = next((e for signature, e in _SIGNATURES if data.startswith(signature)), "")
        if not extension and data[:4] == b"RIFF":
            extension = {b"WEBP": "webp", b"WAVE": "wav"}.get(bytes(data[8:12]), "")
        if not extension:
            ending = name.rpartition(".")[2].lower() if "." in name else ""
            extension = ending if ending.isascii() and ending.isalnum() and len(ending) <= 8 else ""
        file = secrets.token_urlsafe(24) + (f".{extension}" if extension else "")
        path = self._folder / file
        try:
            with self._write_lock:  # two threads must not make room at the same time
                make_private_folder(self._folder)
                self._make_room(len(data))
                with open(create_private(path), "wb") as writing:
                    writing.write(data)
                self._written[file] = self._seconds()
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            why = why_not_usable(error, path, self._folder)
            raise _CannotStore(f"the file cannot be stored: {error.strerror}", why) from None
        return StoredFile(file, name or file, path, f"{self._base_url()}/media/{file}", len(data))

    def _make_room(self, size: int) -> None:
        """Remove the oldest files until one of ``size`` bytes fits, or none is left."""
        files = [
            (
                self._written.get(entry.name, -inf),
                entry.stat().st_mtime_ns,
                entry.stat().st_size,
                entry,
            )
            for entry in os.scandir(self._folder)
        ]
        files.sort(key=itemgetter(0, 1))
        total = sum(file_size for _written, _time, file_size, _entry in files) + size
        while files and (total > MAX_TOTAL_BYTES or len(files) >= MAX_FILES):
            _written, _time, file_size, entry = files.pop(0)
            self._unlink(entry)
            total -= file_size

    def _unlink(self, entry: os.DirEntry[str]) -> None:
        os.unlink(entry.path)
        self._written.pop(entry.name, None)

    async def remove_unused(self, used: Collection[str]) -> None:
        """Remove the stored files that are not among ``used``, except new ones."""
        await self._run_in_thread(self._remove_unused, used)

    def _remove_unused(self, used: Collection[str]) -> None:
        if not self._folder.is_dir():
            return
        for entry in list(os.scandir(self._folder)):
            with contextlib.suppress(FileNotFoundError):
                young = self._seconds() - self._written.get(entry.name, self._began) < _UNUSED_GRACE_TIME
                if _FILE_NAME.fullmatch(entry.name) and not young and entry.name not in used:
                    self._unlink(entry)
