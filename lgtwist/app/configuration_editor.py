"""The configuration file as the console edits it: read, checked and written, always without its secrets."""

from __future__ import annotations

import hmac
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from attrs import frozen
from twisted.internet.defer import Deferred, DeferredSemaphore, fail

from lgtwist.app.configuration import Config
from lgtwist.app.configuration_file import DEFAULT_FILE, ConfigurationError, ConfigurationFile
from lgtwist.app.masks import MaskedText, MaskProblem, hide, mask, unmask, without_secrets
from lgtwist.app.replace_file import CannotWrite, ChangedMeanwhile, backups_of, replace_file, why_not_writable
from lgtwist.app.write_back import OPERATIONS, CannotEdit, Edit, apply_edits, difference, with_line_ends
from lgtwist.config.text_files import NotText, decode_text
from lgtwist.config.toml_mistakes import why_not_toml
from lgtwist.config.toml_places import places_of
from lgtwist.console.problems import ApiProblem, bad_request
from lgtwist.runtime.logs import Logger

_SYNTAX_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
#: Part of a dotted key; TOML's readers take a time that grows with the square of their number.
_LONG_KEY = re.compile(r"(?<![\w.\"'-])(?:[\w\"'-]{1,100}[ \t]*\.[ \t]*){300}")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: Bytes of a configuration that is edited, and edits of one request.
_LONGEST_FILE = 1 << 17
_MOST_EDITS = 200
#: Requests that are worked on at once in threads, and those that may wait.
_MOST_CHECKED_AT_ONCE, _MOST_WAITING_CHECKS = 2, 50
#: Mistakes that are told at once.
_MOST_PROBLEMS = 500

_Result = TypeVar("_Result")


@frozen
class _Present:
    """The file as it is.

    :ivar path: of the file, or of where it would be made.
    :ivar raw: its bytes; None where there is none.
    :ivar text: decoded, without a byte order mark.
    :ivar masked: the same with masks.
    :ivar etag: tells this content from others.
    """

    path: Path
    raw: bytes | None
    text: str
    masked: MaskedText
    etag: str


class ConfigurationEditor:
    """Reads, checks and writes the configuration file.

    Files are looked at in threads. What is refused is an :class:`~lgtwist.console.problems.ApiProblem`.

    :param file: the file.
    :param in_thread: calls a function, which may block, in a thread.
    :param key: returns what etags are keyed with, so that they tell nothing of weak secrets.
    :param wall_clock: seconds since the epoch.
    """

    _log = Logger()

    def __init__(
        self,
        file: ConfigurationFile,
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
        key: Callable[[], str | None] = lambda: None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._call_in_thread = in_thread
        self._semaphore = DeferredSemaphore(_MOST_CHECKED_AT_ONCE)
        self._key = key
        self._wall_clock = wall_clock
        self._writing = threading.Lock()
        self._running: bytes | None = None
        self._was_read: bytes | None = None
        self._known = False

    def backups(self) -> list[Path]:
        """Return the paths of the backups, which hold secrets."""
        folder = Path(os.path.realpath(self._path)).parent
        return [folder / name for name in backups_of(self._path)]

    # -- which content runs

    def note_running(self) -> None:
        """Note that the service runs with what the file holds now; it was read a moment ago."""
        self._running, self._known = self._digest(), True

    def read_again(self) -> Config:
        """Read the configuration again; called in a thread.

        :raises ConfigurationError: with a line for each mistake.
        """
        self._was_read = self._digest()
        return self._file.read(again=True)

    def note_taken(self) -> None:
        """Note that what was read by :meth:`read_again` runs now."""
        self._running, self._known = self._was_read, True

    def _digest(self) -> bytes | None:
        try:
            raw = self._raw()
        except (OSError, ApiProblem):
            return b""
        return None if raw is None else hmac.digest(b"lgtwist configuration", raw, "sha256")

    def _in_thread(self, call: Callable[[], _Result]) -> Deferred[_Result]:
        """Call a function in a thread; few at once, for the service needs the threads, too."""
        if len(self._semaphore.waiting) >= _MOST_WAITING_CHECKS:
            return fail(ApiProblem(503, "busy", {}, "too much is asked about the configuration; try again"))
        return self._semaphore.run(self._call_in_thread, call)

    # -- what is asked

    def read(self) -> Deferred[dict[str, Any]]:
        """Return the file, with masks, and what may be done about it; see docs/console-api.md."""
        return self._in_thread(self._read)

    def check(self, etag: str, text: str) -> Deferred[dict[str, Any]]:
        """Return the mistakes of a text, with their places, and how it differs from the file.

        :param etag: of the content whose masks are in the text.
        :param text: with masks in place of secrets.
        """
        return self._in_thread(lambda: self._outcome(self._unchanged(etag), text))

    def edit(self, etag: str, edits: Any, text: str | None = None) -> Deferred[dict[str, Any]]:
        """Return what edits make of the file, or of a text, and what :meth:`check` says of that.

        :param etag: of the content that the edits, or the text, were made for.
        :param edits: decoded JSON, which is checked: a list of ``{"op", "path", "value"}``.
        :param text: to be edited in place of the file; None for the file.
        """
        return self._in_thread(lambda: self._edit(etag, edits, text))

    def save(self, etag: str, text: str, client: str) -> Deferred[dict[str, Any]]:
        """Write a text that has no mistakes.

        :param etag: of the content whose masks are in the text; another content is never written over.
        :param text: with masks in place of secrets.
        :param client: who asks, for the log.
        """
        return self._in_thread(lambda: self._save(etag, text, client))

    def mistakes(self) -> Deferred[list[str]]:
        """Return why lgtwist would not start with the file as it is on the disk, a sentence each."""
        return self._in_thread(self._mistakes)

    # -- in a thread

    def _mistakes(self) -> list[str]:
        try:
            self._file.read(again=True)
        except ConfigurationError as error:
            try:
                secrets = self._present().masked.secrets
            except ApiProblem:
                secrets = ()
            return [without_secrets(line, secrets) for line in error.lines]
        return []

    @property
    def _path(self) -> Path:
        return self._file.path or self._file.base / DEFAULT_FILE

    def _raw(self) -> bytes | None:
        """Return the bytes of the file; None where there is none.

        :raises ApiProblem: if it is none that can be edited.
        """
        path = self._path
        try:
            if not path.is_file():
                if path.exists():
                    raise _cannot_edit(CannotWrite("not_a_file", path))
                return None
            with open(path, "rb") as file:
                raw = file.read(_LONGEST_FILE + 1)
        except (OSError, ValueError) as error:
            detail = getattr(error, "strerror", None) or str(error)
            raise _cannot_edit(CannotWrite("cannot_be_read", path, detail)) from None
        if len(raw) > _LONGEST_FILE:
            raise _cannot_edit(CannotWrite("too_long", path))
        return raw

    def _present(self) -> _Present:
        """Return the file as it is.

        :raises ApiProblem: if it cannot be read, or is none that can be edited.
        """
        raw = self._raw()
        try:
            text = decode_text(raw or b"")
        except NotText as error:
            raise _cannot_edit(CannotWrite("not_text", self._path, str(error))) from None
        key = (self._key() or "").encode("utf-8", "replace")
        etag = "none" if raw is None else hmac.digest(b"lgtwist etag " + key, raw, "sha256").hex()[:32]
        return _Present(self._path, raw, text, mask(text), etag)

    def _unchanged(self, etag: str) -> _Present:
        """Return the file as it is, if it is still what an etag tells.

        :raises ApiProblem: if it is not.
        """
        present = self._present()
        if etag != present.etag:
            sentence = f"{present.path.name} was changed meanwhile; read it again"
            raise ApiProblem(409, "changed", {"etag": present.etag}, sentence)
        return present

    def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "path": str(self._path), "exists": False, "writable": False, "why_not": None, "etag": "",
            "text": "", "accounts": [], "bots": [], "alerts": [], "problems": [], "backups": [],
            "changed_on_disk": False,
        }  # fmt: skip
        try:
            present = self._present()
        except ApiProblem as problem:
            return {**found, "why_not": problem.arguments["why"]}
        why_not = why_not_writable(present.path)
        try:
            values = msgspec.toml.decode(present.masked.text)
        except (msgspec.DecodeError, ValueError, RecursionError):
            values = {}
        tables = {
            name: [one for one in values[name] if isinstance(one, dict)]
            for name in ("accounts", "bots", "alerts")
            if isinstance(values.get(name), list)
        }
        return {
            **found,
            "exists": present.raw is not None,
            "writable": why_not is None,
            "why_not": None if why_not is None else reason_of(why_not),
            "etag": present.etag,
            "text": present.masked.text,
            **tables,
            "problems": self._problems(present, present.masked.text),
            "backups": backups_of(present.path),
            "changed_on_disk": self._known and self._digest() != self._running,
        }

    def _edit(self, etag: str, edits: Any, text: str | None) -> dict[str, Any]:
        present = self._unchanged(etag)
        if text is not None:
            _check_size(text)
        try:
            new = apply_edits(present.masked.text if text is None else text, _read_edits(edits))
        except CannotEdit as error:
            raise ApiProblem(422, "cannot_edit", {"reason": str(error)}, str(error)) from None
        return {"text": new, **self._outcome(present, new)}

    def _outcome(self, present: _Present, text: str) -> dict[str, Any]:
        return {
            "problems": self._problems(present, text),
            "diff": difference(present.masked.text, hide(text, present.masked.secrets)),
        }

    def _problems(self, present: _Present, text: str) -> list[dict[str, Any]]:
        checked = self._checked(present, text)
        return checked if isinstance(checked, list) else []

    def _checked(self, present: _Present, sent: str) -> str | list[dict[str, Any]]:
        """Return the text that a text with masks stands for, or its mistakes.

        :raises ApiProblem: if it is too long, or no text.
        """
        _check_size(sent)
        if "\0" in sent or sent.startswith("\ufeff"):
            raise bad_request("the text has a character that no configuration has")
        try:
            msgspec.toml.decode(sent)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            return [_syntax(sent, why_not_toml(sent, error), str(error))]
        secrets = present.masked.secrets
        text = unmask(sent, secrets)
        places = places_of(sent)
        if not isinstance(text, str):
            return [_mask_problem(one, places.place(one.offset)) for one in text[:_MOST_PROBLEMS]]
        _check_size(text)  # secrets may be longer than their masks
        read = self._file.check(text, again=True)
        if isinstance(read, Config):
            return text
        found = []
        for problem in read[:_MOST_PROBLEMS]:
            at = places.find(problem.path)
            line, column = (None, None) if at is None else places.place(at)
            sentence = without_secrets(problem.sentence, secrets, sent)
            found.append({"path": problem.path, "line": line, "column": column, "sentence": sentence})
        return found

    def _save(self, etag: str, sent: str, client: str) -> dict[str, Any]:
        with self._writing:
            present = self._unchanged(etag)
            sent = with_line_ends(present.masked.text, sent)
            checked = self._checked(present, sent)
            if not isinstance(checked, str):
                sentence = "the configuration has mistakes; nothing was saved"
                raise ApiProblem(422, "has_problems", {"problems": checked}, sentence)
            raw = checked.encode("utf-8")
            if present.raw is not None and present.raw.startswith(_BYTE_ORDER_MARK):
                raw = _BYTE_ORDER_MARK + raw
            self._unchanged(etag)  # a moment ago it was; reading the files that it names may take long
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._wall_clock()))
            try:
                written = replace_file(present.path, raw, present.raw, stamp)
            except (FileExistsError, ChangedMeanwhile):
                self._unchanged(etag)
                raise
            except CannotWrite as error:
                self._log.error(
                    "the configuration was not saved for {client}: {why}", client=client, why=error.sentence
                )
                block = _block_to_paste(present.masked.text, sent)
                raise ApiProblem(
                    422, "cannot_write", {"why": reason_of(error), "block": block}, error.sentence
                ) from None
            backup = "there was none before" if written.backup is None else f"the old one is {written.backup}"
            self._log.info(
                "{path}: saved by the console for {client}; {backup}",
                path=str(present.path),
                client=client,
                backup=backup,
            )
            return {"etag": self._present().etag, "backup": written.backup}


def _check_size(text: str) -> None:
    """Check that a text is one that is read in a short time.

    :raises ApiProblem: if it is too long, no text, or has a dotted key that is much too long.
    """
    try:
        length = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise bad_request("half a character is in the text") from None
    if length > _LONGEST_FILE:
        raise ApiProblem(
            413, "too_long", {"most": _LONGEST_FILE}, f"a file has at most {_LONGEST_FILE} bytes"
        )
    if any(_LONG_KEY.search(line) for line in text.split("\n") if not line.lstrip().startswith("#")):
        raise bad_request("a key has hundreds of parts")


def reason_of(error: CannotWrite) -> dict[str, Any]:
    """Return why a file cannot be written, for the pages."""
    arguments = {"path": str(error.path), "folder": str(error.path.parent), "detail": error.detail}
    return {"code": error.code, "args": arguments, "sentence": _UNREADABLE.get(error.code, "{s}").format(
        s=error.sentence, path=error.path, detail=error.detail)}  # fmt: skip


_UNREADABLE = {
    "cannot_be_read": "{path} cannot be read: {detail}",
    "too_long": f"{{path}} has more than {_LONGEST_FILE} bytes",
    "not_text": "{path}: {detail}",
}


def _cannot_edit(error: CannotWrite) -> ApiProblem:
    why = reason_of(error)
    return ApiProblem(422, "cannot_write", {"why": why, "block": ""}, why["sentence"])


def _read_edits(edits: Any) -> list[Edit]:
    if not isinstance(edits, list) or len(edits) > _MOST_EDITS:
        raise bad_request(f"edits: expected a list of at most {_MOST_EDITS}")
    read = []
    for one in edits:
        path = one.get("path") if isinstance(one, dict) else None
        if not isinstance(path, list) or not path or one.get("op") not in OPERATIONS:
            raise bad_request('edits: expected {"op": "set", "path": [...], "value": ...}')
        if not all(isinstance(part, str) or type(part) is int for part in path):
            raise bad_request("edits: a path has names and numbers")
        read.append(Edit(one["op"], tuple(path), one.get("value")))
    return read


def _syntax(text: str, sentence: str, error: str) -> dict[str, Any]:
    place = _SYNTAX_PLACE.search(error)
    lines = text.split("\n")
    line, column = (int(place[1]), int(place[2])) if place else (len(lines), len(lines[-1]) + 1)
    return {"path": "", "line": line, "column": column, "sentence": sentence}


def _mask_problem(problem: MaskProblem, place: tuple[int, int]) -> dict[str, Any]:
    line, column = place
    return {
        "path": "",
        "line": line,
        "column": column,
        "sentence": problem.sentence,
        "code": problem.code,
        "args": {"mask": problem.number},
    }


def _block_to_paste(old: str, new: str) -> str:
    """Return the lines that were to be written, each with the header of its table, to be pasted by hand."""
    lines: Sequence[dict[str, str]] = difference(old, new)
    block: list[str] = []
    header: str | None = None
    for line in lines:
        text = line["text"]
        is_header = text.lstrip().startswith("[")
        if line["kind"] == "old":
            continue
        if is_header:
            header = text
        if line["kind"] == "new":
            if header is not None and not is_header:
                block.append(header)
            block.append(text)
            header = None
    return "\n".join(block) + "\n" if block else ""
