"""The journal's disk: full, and with room again; files that are damaged, foreign, newer or no files."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar
from unittest import SkipTest

from tests.integration.at_least_once import (
    Bot,
    at_least_once,
    bearer,
    has_all,
    journalled_numbers,
    lines,
    metric,
    rows,
    skipped,
)
from tests.integration.faulty import Injector, numbered, quiet
from tests.integration.running import ROOT, Service, ServiceTestCase, wait_until
from tests.processes import TWISTD
from tests.rounds import combination

TOML = quiet() + at_least_once("bot", token=True) + '[[bots]]\nname = "live"\n'


class DiskTestCase(ServiceTestCase):
    """One service, one bot with a cursor, and one that is live."""

    toml = TOML

    def setUp(self) -> None:
        super().setUp()
        self._next = 0

    def start_bot(self, name: str = "bot") -> Bot:
        bot = Bot(self.service, headers=bearer(name) if name != "live" else None)
        self.addCleanup(bot.end)
        wait_until(f"{name} is connected", lambda: bot.connected)
        return bot

    def publish(self, events: int, size: int = 0) -> range:
        some = range(self._next, self._next + events)
        self._next += events
        injector = Injector(self.service)
        injector.publish(*(numbered(n, size) for n in some))
        injector.close()
        return some

    def wait_committed(self) -> None:
        wait_until("all is on disk", lambda: not metric(self.service, "journal_waiting_bytes"))

    def wait_tried(self, times: float) -> None:
        """Until writing has failed so many times."""
        wait_until("it is tried again", lambda: metric(self.service, "journal_failures_total") >= times)

    def reasons(self) -> list[str]:
        """Why the service is not ready, by ``/readyz``; empty if it is."""
        status, answer = self.service.http("/readyz")
        self.assertEqual(status, 503 if answer["reasons"] else 200)
        return list(answer["reasons"])

    @property
    def file(self) -> Path:
        return self.service.folder / "data" / "journal.sqlite"


class Full(DiskTestCase):
    """No file of the service may grow: that is how a full disk is made where nothing can be mounted."""

    def limit(self, size: int) -> None:
        """Of each file of the service, in bytes."""
        hard = resource.prlimit(self.service.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(self.service.pid, resource.RLIMIT_FSIZE, (size, hard))

    def fill(self) -> None:
        """Let no file grow, and publish until the journal cannot be written."""
        self.limit(128 << 10)
        while not self.reasons():
            self.publish(50, 1000)

    def test_live_goes_on_and_nothing_is_lost(self) -> None:
        """The service stays up and says what is wrong, once; when there is room all that waited arrives."""
        bot, live = self.start_bot(), self.start_bot("live")
        self.fill()
        (reason,) = self.reasons()
        self.assertIn("the journal cannot be written", reason)
        self.assertEqual(self.service.http("/healthz")[0], 200)
        self.assertEqual(metric(self.service, "journal_up"), 0)
        failures = metric(self.service, "journal_failures_total")
        stuck = self.publish(100)
        live.wait_for(stuck[-1])
        wait_until(
            "it was tried again", lambda: metric(self.service, "journal_failures_total") >= failures + 3
        )
        self.assertNotIn(stuck[0], bot.at)
        self.assertEqual(len(lines(self.service.log(), "journal:", "failed")), 1)
        self.assertEqual(len(self.reasons()), 1)
        self.limit(resource.RLIM_INFINITY)
        bot.wait_for(stuck[-1])
        self.assertEqual(self.reasons(), [])
        self.assertEqual(len(lines(self.service.log(), "journal: writing goes on")), 1)
        late = self.publish(10)
        bot.wait_for(late[-1])
        self.assertEqual(bot.seen, list(range(self._next)))
        live.wait_for(late[-1])
        self.assertEqual(live.seen, list(range(self._next)))
        wait_until("it has confirmed all", lambda: has_all(self.service))
        self.assertEqual(journalled_numbers(self.service), list(range(self._next)))
        self.assertEqual(metric(self.service, "journal_lost_events_total", account=10001), 0)

    def test_what_is_too_much_is_counted_and_named(self) -> None:
        """64 MiB wait; what comes then is lost for at-least-once delivery, and one line says what."""
        bot, live = self.start_bot(), self.start_bot("live")
        self.fill()
        lost = lambda: metric(self.service, "journal_lost_events_total", account=10001)  # noqa: E731
        while not lost():
            self.publish(200, 50_000)
        self.publish(300)
        live.wait_for(self._next - 1)
        many = int(lost())
        self.limit(resource.RLIM_INFINITY)
        wait_until("it goes on", lambda: not self.reasons())
        wait_until("the bot has what was kept", lambda: has_all(self.service), 30)
        (told,) = lines(self.service.log(), "could not be kept")
        self.assertIn(f"{many} events of account 10001", told)
        kept = journalled_numbers(self.service)
        self.assertEqual(len(kept), self._next - many)
        self.assertEqual(kept, list(range(len(kept))))  # the oldest wait
        late = self.publish(10)
        bot.wait_for(late[-1])
        self.assertEqual(bot.seen, [*kept, *late])
        live.wait_for(late[-1])
        self.assertEqual(live.seen, list(range(self._next)))

    def test_killed_while_it_is_full(self) -> None:
        """What was on disk is there; the cursor is too."""
        bot = self.start_bot()
        self.fill()
        self.publish(10)
        self.service.kill()
        kept = journalled_numbers(self.service)
        self.service.start()
        bot.come_back()
        late = self.publish(10)
        bot.wait_for(late[-1])
        self.assertEqual(list(dict.fromkeys(bot.seen)), [*kept, *late])

    def test_stopped_while_it_is_full(self) -> None:
        """It ends all the same, and says what is lost."""
        self.start_bot()
        self.fill()
        self.publish(10)
        self.assertEqual(self.service.stop(), 0)
        self.assertEqual(len(lines(self.service.log(), "could not be kept")), 1)


class SmallTestCase(DiskTestCase):
    """The data directory is a small file system of its own, where that can be had."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        data = self.folder / "data"
        data.mkdir(parents=True)
        mount = shutil.which("mount")
        if mount is None or os.getuid() != 0:
            raise SkipTest("only root can mount")
        mounted = subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=24m", "none", str(data)], capture_output=True, check=False
        )
        if mounted.returncode:
            raise SkipTest(f"nothing can be mounted here: {mounted.stderr.decode()}")
        self.addCleanup(subprocess.run, ["umount", str(data)], check=True)
        self.filler = data / "filler"
        super().setUp()

    def start_service(self, toml: str | None = None, server: str | None = None) -> Service:
        service = Service(self.folder, self.toml)
        self.addCleanup(self._end, service)
        return service

    def fill(self) -> None:
        """Take what room there is."""
        with self.filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size) == size:
                        pass


class Small(SmallTestCase):
    """Events are kept."""

    def test_full_and_free_again(self) -> None:
        """By somebody else's file."""
        bot, live = self.start_bot(), self.start_bot("live")
        self.publish(10)
        self.fill()
        while not self.reasons():
            self.publish(50, 2000)
        self.assertIn("the disk is full", self.reasons()[0])
        stuck = self.publish(20)
        live.wait_for(stuck[-1])
        failures = metric(self.service, "journal_failures_total")
        wait_until(
            "it was tried again", lambda: metric(self.service, "journal_failures_total") >= failures + 2
        )
        self.assertEqual(len(lines(self.service.log(), "journal:", "failed")), 1)
        self.filler.unlink()
        bot.wait_for(stuck[-1])
        self.assertEqual(self.reasons(), [])
        self.assertEqual(bot.seen, list(range(self._next)))

    def test_full_at_the_start(self) -> None:
        """Whatever is said then, the journal is not held for damaged; with room again nothing is missing."""
        bot = self.start_bot()
        bot.leave()
        there = self.publish(10)
        self.wait_committed()
        self.service.stop()
        config = self.service.config_path
        config.write_text(f'{config.read_text()}\n[journal]\non_damage = "set-aside"\n')
        self.fill()
        with contextlib.suppress(AssertionError):
            self.service.start()
            self.service.stop()
        self.assertEqual(list(self.file.parent.glob("*.damaged*")), [])
        self.filler.unlink()
        self.service.start()
        bot.come_back()
        bot.wait_for(there[-1])
        self.assertEqual(bot.seen, list(there))


class Forgetting(SmallTestCase):
    """Events are kept for a second or so: a full disk makes room by itself."""

    toml = TOML + '[journal]\nretention = "1s"\n'

    def test_makes_room_by_itself(self) -> None:
        """Old events are forgotten although SQLite must write for that; then the new are written."""
        bot = self.start_bot()
        self.publish(2000, 1000)
        self.fill()
        while not self.reasons():
            self.publish(50, 2000)
        stuck = self.publish(20)
        bot.wait_for(stuck[-1], 30)
        self.assertEqual(self.reasons(), [])
        self.assertEqual(bot.seen, list(range(self._next)))


class Resting(Service):
    """A service that is not started yet."""

    _resting = True

    def __init__(self, folder: Path, toml: str) -> None:
        super().__init__(folder, toml)
        self._resting = False

    def start(self) -> None:
        if not self._resting:
            super().start()


class Files(DiskTestCase):
    """What else may be found where the journal should be. The bot has confirmed 100 of 500 events."""

    _made: ClassVar[Path | None] = None

    def setUp(self) -> None:
        cls = type(self)
        if cls._made is None:
            cls._made = self._make()
        folder = Path(self.mktemp()).absolute()
        self.service = Resting(folder, self.toml)
        self.addCleanup(self._end, self.service)
        shutil.copytree(cls._made / "data", folder / "data")
        self._next = 500

    def _make(self) -> Path:
        """A data directory, as a service leaves it."""
        super().setUp()
        bot = self.start_bot()
        self.publish(100)
        bot.wait_for(99)
        wait_until("all is confirmed", lambda: has_all(self.service))
        bot.leave()
        for _commit in range(4):
            self.publish(100)
            self.wait_committed()
        self.service.stop()
        return self.service.folder

    def begin(self) -> Bot:
        """Start the service, and the bot."""
        self.service.start()
        return self.start_bot()

    def run_to_end(self) -> subprocess.CompletedProcess[bytes]:
        """Start the service where it must refuse to."""
        return subprocess.run(
            [
                *TWISTD,
                *("-n", "--pidfile=", "lgtwist", "--config", str(self.service.config_path)),
            ],
            cwd=self.service.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            timeout=30,
            check=False,
        )

    def contents(self) -> dict[str, bytes]:
        """All of the journal's files, but what SQLite makes for itself when it looks."""
        return {
            path.name: path.read_bytes()
            for path in self.file.parent.glob("journal*")
            if path.is_file() and not path.name.endswith(("-shm", ".ballast"))
        }

    def refused(self, what: str) -> None:
        """It refuses to start, with one line that has these words, and nothing is changed."""
        before = self.contents()
        ended = self.run_to_end()
        said = ended.stderr.decode().splitlines()
        self.assertEqual(ended.returncode, 1, said)
        self.assertEqual(len(said), 1, said)
        self.assertTrue(said[0].startswith("lgtwist: "), said)
        self.assertIn(what, said[0])
        after = {name: data for name, data in self.contents().items() if data}
        self.assertEqual(after, {name: data for name, data in before.items() if data})

    def set_aside(self) -> None:
        """The configuration lets damaged files be set aside."""
        config = self.service.config_path
        config.write_text(f'{config.read_text()}\n[journal]\non_damage = "set-aside"\n')

    def begins_anew(self) -> None:
        """With ``on_damage`` the file is set aside as it was, and at-least-once delivery works."""
        self.set_aside()
        damaged = self.file.read_bytes()
        bot = self.begin()
        (aside,) = [
            path for path in self.file.parent.glob("*.damaged-*") if not path.name.endswith(("-wal", "-shm"))
        ]
        self.assertEqual(aside.read_bytes(), damaged)
        self.assertEqual(len(lines(self.service.log(), "set aside", "damaged")), 1)
        fresh = self.publish(10)
        bot.wait_for(fresh[-1])
        self.assertEqual(bot.seen, list(fresh))

    def damage(self, change: Callable[[bytearray], None]) -> None:
        """Change the bytes of the file."""
        data = bytearray(self.file.read_bytes())
        change(data)
        self.file.write_bytes(data)

    def test_truncated(self) -> None:
        """Half of the file is gone."""

        def halve(data: bytearray) -> None:
            del data[len(data) // 2 :]

        self.damage(halve)
        self.refused("damaged")
        self.begins_anew()

    @combination
    def test_overwritten(self) -> None:
        """Its first page is noise."""

        def overwrite(data: bytearray) -> None:
            data[:4096] = os.urandom(4096)

        self.damage(overwrite)
        self.refused("damaged")
        self.begins_anew()

    @combination
    def test_flipped_in_the_tables(self) -> None:
        """Its first page begins as it should; behind that is noise."""

        def overwrite(data: bytearray) -> None:
            data[100:4096] = os.urandom(3996)

        self.damage(overwrite)
        self.refused("damaged")
        self.begins_anew()

    @combination
    def test_empty(self) -> None:
        """A file without a byte."""
        self.damage(bytearray.clear)
        self.refused("damaged")
        self.begins_anew()

    def test_another_programs(self) -> None:
        """A SQLite file of somebody else is nothing to be set aside."""
        self.file.unlink()
        with contextlib.closing(sqlite3.connect(self.file)) as other:
            other.execute("CREATE TABLE chunk (first INTEGER PRIMARY KEY)")
        self.refused("another program")
        self.set_aside()
        self.refused("another program")

    def test_newer(self) -> None:
        """Nor is one that a later version of ours wrote."""
        with contextlib.closing(sqlite3.connect(self.file)) as journal:
            journal.execute("PRAGMA user_version = 99")
        self.refused("newer")
        self.set_aside()
        self.refused("newer")

    @combination
    def test_directory(self) -> None:
        """A folder with its name."""
        self.file.unlink()
        self.file.mkdir()
        self.refused("journal.sqlite")
        self.set_aside()
        self.refused("journal.sqlite")

    def test_second_service(self) -> None:
        """Two services on one ``data_dir``: the second is refused, the first goes on."""
        bot = self.begin()
        config = self.service.config_path
        config.write_text(config.read_text().replace(f"tcp:{self.service.port}:", "tcp:0:"))
        ended = self.run_to_end()
        said = ended.stderr.decode().splitlines()
        self.assertEqual(ended.returncode, 1, said)
        self.assertEqual(len(said), 1, said)
        self.assertIn("in use by another lgtwist", said[0])
        last = self.publish(10)
        bot.wait_for(last[-1])
        self.assertEqual(bot.seen, list(range(100, 510)))

    def test_flipped_in_an_event(self) -> None:
        """One chunk cannot be read: the bot gets all else, and is told how many it does not get."""
        marker = b'"n": 250,'
        (first, last) = next(
            row[:2]
            for row in rows(self.service, "SELECT first, last, payload FROM chunk ORDER BY first")
            if marker in row[2]
        )
        data = self.file.read_bytes()
        self.assertEqual(data.count(marker), 1)
        self.file.write_bytes(data.replace(marker, b'"n": 25\xff,'))
        bot = self.begin()
        bot.wait_for(499)
        gone = set(range(first - 1, last))
        self.assertIn(250, gone)
        self.assertEqual(bot.seen, [n for n in range(100, 500) if n not in gone])
        self.assertEqual(skipped(self.service, "damaged"), len(gone))
        (told,) = lines(self.service.log(), "are missing")
        self.assertIn(f"{len(gone)} events of account 10001", told)
        wait_until("all is confirmed", lambda: has_all(self.service))

    def test_torn_log(self) -> None:
        """The end of the write-ahead log is missing, as after a power cut without ``sync``: it starts."""
        bot = self.begin()
        bot.wait_for(499)
        bot.leave()
        self.publish(100)
        self.wait_committed()
        self.service.kill()
        data, killed = self.file.parent, self.service.folder / "killed"
        data.rename(killed)
        size = (killed / "journal.sqlite-wal").stat().st_size
        for part in (size - 1000, size // 2, 100, 0):
            shutil.copytree(killed, data)
            os.truncate(data / "journal.sqlite-wal", part)
            self.service.start()
            bot.come_back()
            bot.lives.clear()
            bot.at.clear()
            wait_until("the bot is back", lambda: bot.connected)
            self._next = 1000
            fresh = self.publish(10)
            bot.wait_for(fresh[-1])
            kept = journalled_numbers(self.service)
            self.assertEqual(kept[-10:], list(fresh))
            self.assertEqual(kept[:-10], list(range(len(kept) - 10)))
            self.assertEqual(bot.seen, kept[-len(bot.seen) :])
            bot.leave()
            self.service.stop()
            shutil.rmtree(data)
