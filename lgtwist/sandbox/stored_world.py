"""The world of a sandbox account, and the SQLite file in which it is saved."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec
from twisted.internet.defer import Deferred, fail, succeed

from lgtwist.config.text_files import without_mark
from lgtwist.onebot.rawjson import replace_surrogates
from lgtwist.sandbox.store import StoreError, WorldStore
from lgtwist.sandbox.waiters import Waiters
from lgtwist.sandbox.world.model import Record, WorldFile, record_key
from lgtwist.sandbox.world.world import World
from lgtwist.sandbox.writer import WorldWriter


class StoredWorld:
    """A world, and the changes of it that are not in its file yet.

    :param self_id: the account's number.
    :param path: the world's SQLite file.
    :param world_file: a JSON file to make the world from where the store is empty; None for the example.
    :param now: returns whole seconds since the epoch.
    :param before_writing: calls a function once, before the reactor turn's data is written to peers.
    :param make_writer: makes what writes the file from its path and the records in it.
    :ivar world: the present one.
    """

    def __init__(
        self,
        self_id: int,
        path: Path | str,
        *,
        world_file: Path | None,
        now: Callable[[], int],
        before_writing: Callable[[Callable[[], None]], None],
        make_writer: Callable[..., WorldWriter],
    ) -> None:
        self.world = World(self_id)
        self.path = path
        self._self_id = self_id
        self._world_file = world_file
        self._now = now
        self._before_writing = before_writing
        self._make_writer = make_writer
        self._writer: WorldWriter | None = None
        self._stored: list[tuple[str, str]] = []  # the types and keys of the records in the file
        self._unsaved_changes: dict[tuple[str, str], Record | None] = {}
        self._write_scheduled = False
        self._notified_message_id = 0  # the last one that waiters were called back for
        self._message_waiters = Waiters()

    def prepare(self) -> None:
        """Read the world from its file, or make one.

        This is done before daemonising; the file is closed again, for SQLite does not survive a fork.

        :raises CannotPrepare: if the SQLite file or the world's JSON file cannot be used.
        """
        store = WorldStore(self.path)
        try:
            records = list(store.records())
        finally:
            store.close()
        self._stored = [record_key(record) for record in records]
        self.world.load_records(records)
        if self.world.is_empty:
            self.world = self._initial_world()

    def _initial_world(self) -> World:
        """Return the world of the configured JSON file, or the example world.

        :raises StoreError: if the JSON file cannot be used.
        """
        if self._world_file is None:
            return World.with_example_people(self._self_id, self._now())
        try:
            return self.read_world(self._world_file.read_bytes())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StoreError(f"world {self._world_file} cannot be used: {reason}") from None

    def read_world(self, raw: bytes) -> World:
        """Return the world of a world's JSON file; it may be called in a thread.

        :raises ValueError: if it is not a world, with a sentence that says what is wrong and where.
        """
        return World.from_file(self._self_id, decode_world_file(raw))

    def start(self) -> None:
        """Begin to write the file."""
        self._writer, self._stored = self._make_writer(self.path, self._stored), []
        self.save(self.world.pop_changes())  # nothing happened: it is the world to begin with

    def close(self) -> Deferred[None]:
        """Save the world and close its file.

        :returns: fires when the file is closed, a few seconds later at most.
        """
        self._save_changes()
        writer, self._writer = self._writer, None
        return succeed(None) if writer is None else writer.close()

    def back_up(self, folder: Path) -> Deferred[None]:
        """Copy the world's file into a folder, with all that has happened."""
        writer = self._writer
        if writer is None:
            return fail(StoreError(f"sandbox {self._self_id} does not run"))
        self._save_changes()
        return writer.copy(folder / Path(self.path).name)

    def save(self, changes: dict[tuple[str, str], Record | None]) -> None:
        """Schedule changes to be saved, once per reactor turn; notify the waiters of a new message."""
        if not changes:
            return
        self._unsaved_changes |= changes
        if not self._write_scheduled:
            self._write_scheduled = True
            self._before_writing(self._save_changes)
        if self.world.last_message_id != self._notified_message_id:
            self._notified_message_id = self.world.last_message_id
            self._message_waiters.notify()

    def replace(self, world: World) -> None:
        """Replace the world by another one; the records of the old one are removed at the next write."""
        replaced = self.world
        for table in (
            replaced.people,
            replaced.groups,
            replaced.requests,
            replaced.messages,
            replaced.forwards,
            replaced.files,
        ):
            self._unsaved_changes |= dict.fromkeys((record_key(record) for record in table.values()), None)
        self.world = world

    def when_message_added(self) -> Deferred[None]:
        """Return a Deferred that fires when a message is added, or the service stops; it may be cancelled."""
        return self._message_waiters.when_notified()

    def end_waits(self) -> None:
        """Call back all that wait for a message: the service stops."""
        self._message_waiters.notify()

    def _save_changes(self) -> None:
        """Let the unsaved changes be written to the file."""
        self._write_scheduled = False
        if self._unsaved_changes and self._writer is not None:
            changes, self._unsaved_changes = self._unsaved_changes, {}
            self._writer.write(changes)


def decode_world_file(raw: bytes) -> WorldFile:
    """Decode a world's JSON file.

    :raises ValueError: if it is not a world, with a sentence that says what is wrong and where.
    """
    raw = without_mark(raw)
    try:
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(raw, type=WorldFile)
        # A lone surrogate, which a JavaScript program wrote, or a mistake that is told then.
        return msgspec.json.decode(replace_surrogates(raw), type=WorldFile)
    except RecursionError:
        raise ValueError("nested too deeply") from None
