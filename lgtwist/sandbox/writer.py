"""A thread that writes the changes of a world to its file, so that no disk and no lock stops the reactor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from lgtwist.runtime.file_trouble import why_database_fails
from lgtwist.runtime.logs import Logger
from lgtwist.sandbox.store import StoreError, WorldStore, is_locked
from lgtwist.sandbox.world.model import Forward, Message, Record, encode_for_store

#: A record's type and key.
Key = tuple[str, str]
#: What is written of a record: its JSON, a copy to be encoded in the thread, or None to delete it.
RecordBody = bytes | Message | Forward | None

#: Seconds between two attempts while the file cannot be written.
_RETRY_SECONDS = 0.1
#: Seconds that another program may lock the file before it is logged.
_QUIET_SECONDS = 5.0
#: Seconds for which the last changes are tried to be written at the stop, while the file is locked.
_STOP_SECONDS = 3.0


def _body(record: Record | None) -> RecordBody:
    """Return what is written of a record as it is now."""
    if isinstance(record, Message):  # it may be large; what can change of it is copied
        likes = {emoji: list(who) for emoji, who in record.likes.items()}
        return msgspec.structs.replace(record, likes=likes)
    if record is None or isinstance(record, Forward):
        return record
    return msgspec.json.encode(record)


#: Seconds that :meth:`WorldWriter.close` waits for a thread that has had no trouble.
_CLOSE_PATIENCE = 1.0


class WorldWriter:
    """Writes the changes of one world in a thread, in their order, the newest of each record.

    While the file cannot be written the changes are kept, and tried again and again. :meth:`write` waits for
    the thread for a short time, so that as a rule what was answered is in the file.

    :param path: the world's SQLite file; opened by the thread.
    :param stored: the types and keys of the records that are in the file already.
    :param call_from_thread: the reactor's ``callFromThread``; by default functions are called in the thread.
    :param patience: seconds that :meth:`write` waits for the thread at most, and :meth:`close` while the file
        cannot be written.
    """

    _log = Logger()

    def __init__(
        self,
        path: Path | str,
        stored: Iterable[Key] = (),
        *,
        call_from_thread: Callable[..., object] = lambda function, *arguments: function(*arguments),
        patience: float = 1.0,
    ) -> None:
        self._path = path
        self._call = call_from_thread
        self._patience = patience
        self._changed = threading.Condition()  # guards what follows, down to the thread's own
        self._stored = set(stored)
        self._waiting: dict[Key, RecordBody] = {}
        self._batch: dict[Key, RecordBody] = {}  # what the thread writes now
        self._given = self._attempted = 0  # how many writes were given, and how many were attempted
        self._copies: list[tuple[int, Path, Deferred[None]]] = []  # what was given when it was asked for
        self._ended = False
        self._stopping = False
        self._closed: Deferred[None] = Deferred()
        self._store: WorldStore | None = None  # the thread's own, as what follows
        self._failing_since: float | None = None
        self._logged = False
        self._thread = threading.Thread(target=self._run, name=f"sandbox-writer {path}", daemon=True)
        self._thread.start()

    # -- in the reactor thread

    def write(self, changes: dict[Key, Record | None]) -> None:
        """Write changes, now or later. What changes in the records afterwards is not written."""
        bodies = {key: _body(record) for key, record in changes.items()}
        with self._changed:
            thread_is_idle = self._attempted == self._given
            for key, body in bodies.items():
                if body is None and key not in self._stored and key not in self._batch:
                    self._waiting.pop(key, None)  # it never came into the file
                else:
                    self._waiting[key] = body
            self._given += 1
            number = self._given
            self._changed.notify_all()
            if thread_is_idle:
                self._changed.wait_for(lambda: self._attempted >= number, self._patience)

    def copy(self, target: Path) -> Deferred[None]:
        """Copy the file, with all changes that were given, into a new one.

        :returns: fires when it is copied; fails with :class:`StoreError`.
        """
        done: Deferred[None] = Deferred()
        with self._changed:
            if self._ended:
                return fail(StoreError(f"sandbox {self._path} is closed"))
            self._copies.append((self._given, target, done))
            self._changed.notify_all()
        return done

    def close(self) -> Deferred[None]:
        """Write what waits, close the file and end the thread.

        :returns: fires when that is done, a few seconds later at most.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            patience = self._patience if self._failing_since is not None else _CLOSE_PATIENCE
        self._thread.join(patience)
        return self._closed if self._thread.is_alive() else succeed(None)

    # -- in the thread

    def _run(self) -> None:
        deadline: float | None = None
        while True:
            stopping, given = self._take_batch()
            if stopping and deadline is None:
                deadline = time.monotonic() + _STOP_SECONDS
            error = self._attempt()
            if error is None:
                self._succeeded()
            else:
                self._failed(error, stopping)
            left = self._batch_ended(error, given)
            self._make_copies(error, given)
            if not stopping or (error is None and left):
                continue
            if error is None or not is_locked(error) or time.monotonic() >= (deadline or 0.0):
                break
            time.sleep(_RETRY_SECONDS)
        with self._changed:
            self._ended = True
            given = self._given
        self._make_copies(error, given)
        if self._store is not None:
            self._store.close()
        self._call(self._closed.callback, None)

    def _take_batch(self) -> tuple[bool, int]:
        """Wait for something to do, and take all that waits.

        :returns: whether it stops, and how many writes were given.
        """
        with self._changed:
            if self._failing_since is None:
                self._changed.wait_for(lambda: self._waiting or self._stopping or self._copies)
            elif self._attempted == self._given and not self._stopping:
                self._changed.wait(_RETRY_SECONDS)
            self._batch, self._waiting = self._waiting, {}
            return self._stopping, self._given

    def _batch_ended(self, error: Exception | None, given: int) -> int:
        """Note that an attempt has ended; return how many records are to be written now."""
        with self._changed:
            if error is None:
                for key, body in self._batch.items():
                    (self._stored.discard if body is None else self._stored.add)(key)
            else:
                self._waiting = self._batch | self._waiting
            self._batch = {}
            self._attempted = given
            self._changed.notify_all()
            return len(self._waiting)

    def _make_copies(self, error: Exception | None, attempted: int) -> None:
        """Make the copies that were asked for; those that more was given before wait until it is written.

        :param error: why changes that were given are not in the file; None if all are.
        :param attempted: how many writes were given when the last attempt began.
        """
        with self._changed:
            copies = [one for one in self._copies if one[0] <= attempted]
            self._copies = [one for one in self._copies if one[0] > attempted]
        for _given, target, done in copies:
            try:
                if error is not None:
                    raise StoreError(f"sandbox {self._path} cannot be written: {error}")
                if self._store is None:
                    self._store = WorldStore(self._path, 0.0)
                self._store.copy_to(target)
            except Exception:
                self._call(done.errback, Failure())
            else:
                self._call(done.callback, None)

    def _attempt(self) -> Exception | None:
        """Write the batch in one transaction; return why it could not be written, None if it was."""
        if not self._batch:
            return None
        self._encode_messages()
        try:
            if self._store is None:
                self._store = WorldStore(self._path, 0.0)
            self._store.write(self._batch)
        except Exception as error:
            return error
        return None

    def _encode_messages(self) -> None:
        """Encode the messages of the batch; one that cannot be, which is a mistake of ours, is left out."""
        for key, body in tuple(self._batch.items()):
            if isinstance(body, (Message, Forward)):
                try:
                    self._batch[key] = encode_for_store(body)
                except Exception:
                    with self._changed:
                        del self._batch[key]
                    self._log.failure(
                        "sandbox {path}: message {key} cannot be kept", path=self._path, key=key[1]
                    )

    def _succeeded(self) -> None:
        self._failing_since = None
        if self._logged:
            self._logged = False
            self._call(self._log_recovery)

    def _failed(self, error: Exception, stopping: bool) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        long = stopping or now - self._failing_since >= _QUIET_SECONDS
        if not self._logged and (long or not is_locked(error)):
            self._logged = True
            self._call(self._log_error, error)

    def _log_error(self, error: Exception) -> None:
        self._log.error(
            "sandbox {path} cannot be written: {error}; what changes is kept in memory until it can",
            path=self._path,
            error=error if isinstance(error, StoreError) else why_database_fails(error, Path(self._path)),
        )

    def _log_recovery(self) -> None:
        self._log.info("sandbox {path} is written again", path=self._path)
