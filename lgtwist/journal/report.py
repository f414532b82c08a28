"""What is in a journal, for people and for programs: reads only, also beside a running service."""

from __future__ import annotations

import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from lgtwist.delivery.batch import Position
from lgtwist.journal.chunk import Damaged, from_little, read_runs
from lgtwist.journal.sqlite import check, open_for_reading
from lgtwist.journal.store import JournalError
from lgtwist.onebot.event import late_event
from lgtwist.runtime.logs import printable


class AccountReport(msgspec.Struct):
    """One account's events. Times in seconds since the epoch; None where there is no event.

    :ivar first: position of the oldest that is kept.
    :ivar last: position of the newest.
    """

    account: int
    count: int = 0
    first: Position | None = None
    last: Position | None = None
    first_time: float | None = None
    last_time: float | None = None


class CursorReport(msgspec.Struct):
    """How far a bot has come with an account."""

    bot: str
    account: int
    position: Position
    backlog: int
    time: float | None


class RefusedReport(msgspec.Struct):
    """An event that was skipped, for a bot refused it. Times in seconds since the epoch."""

    bot: str
    account: int
    position: Position
    time: float
    skipped: float
    reason: str
    size: int
    event: str


class Report(msgspec.Struct):
    """What is in a journal."""

    file: str
    bytes: int
    accounts: list[AccountReport]
    cursors: list[CursorReport]
    refused: list[RefusedReport]


def report(path: Path) -> Report:
    """Read a journal.

    :raises JournalError: if there is none, or it cannot be read.
    """
    if not path.exists():
        raise JournalError(f"there is no journal at {path} (no at-least-once bot has run here)")
    check(path)
    # Beside a service there is a write-ahead log; without one no file need be made to read.
    running = path.with_name(f"{path.name}-wal").exists()
    connection = open_for_reading(path, "mode=ro" if running else "immutable=1")
    try:
        connection.execute("BEGIN")  # all of it as of one moment
        return _read_report(path, connection)
    except (sqlite3.Error, Damaged) as error:
        raise JournalError(f"{path} cannot be read: {error}") from None
    finally:
        connection.close()


def _read_report(path: Path, connection: sqlite3.Connection) -> Report:
    execute = connection.execute
    accounts: dict[int, AccountReport] = {}
    ever: dict[int, int] = {}
    for account, total, _trimmed in execute("SELECT account, total, trimmed FROM account"):
        accounts[account] = AccountReport(account)
        ever[account] = total
    for begin, runs, all_times in execute("SELECT first, runs, times FROM chunk ORDER BY first"):
        first = begin
        with suppress(Damaged):  # whoever reads its events finds it missing
            times = from_little("q", all_times)
            for account, events, before in read_runs(runs):
                found = accounts.setdefault(account, AccountReport(account))
                if found.first is None:
                    found.first, found.first_time = first, times[first - begin] / 1000
                first += events
                found.last, found.last_time = first - 1, times[first - begin - 1] / 1000
                found.count += events
                ever[account] = before + events
    cursors = [
        CursorReport(bot, account, position, max(0, ever.get(account, 0) - ordinal), at / 1000 or None)
        for bot, account, position, ordinal, at in execute(
            "SELECT bot, account, position, ordinal, time FROM cursor ORDER BY bot, account"
        )
    ]
    refused = [
        RefusedReport(
            bot,
            account,
            position,
            at / 1000,
            skipped / 1000,
            reason,
            size,
            (late_event(payload) or payload).decode("utf-8", "replace"),
        )
        for bot, account, position, at, skipped, reason, size, payload in execute(
            "SELECT bot, account, position, time, skipped, reason, size, payload FROM refused ORDER BY id"
        )
    ]
    size = sum(one.stat().st_size for one in (path, path.with_name(f"{path.name}-wal")) if one.exists())
    return Report(str(path), size, sorted(accounts.values(), key=lambda one: one.account), cursors, refused)


def _when(seconds: float | None) -> str:
    return "-" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def as_text(read: Report) -> str:
    """Return a report for people."""
    lines = [f"{read.file}, {read.bytes / (1 << 20):.1f} MiB"]
    for one in read.accounts:
        if one.count:
            span = f"positions {one.first} to {one.last}, {_when(one.first_time)} to {_when(one.last_time)}"
            lines.append(f"account {one.account}: {one.count} events, {span}")
        else:
            lines.append(f"account {one.account}: no events")
    for cursor in read.cursors:
        since = f", the newest it has is of {_when(cursor.time)}" if cursor.time else ""
        lines.append(
            f'bot "{printable(cursor.bot)}", account {cursor.account}: at position {cursor.position}, '
            f"backlog {cursor.backlog}{since}"
        )
    for event in read.refused:
        lines.append(
            f'skipped for bot "{printable(event.bot)}", account {event.account}: position {event.position}, '
            f"{event.size} bytes, of {_when(event.time)}, skipped {_when(event.skipped)} "
            f"({printable(event.reason)}): {printable(event.event[:200])}"
        )
    return "".join(f"{line}\n" for line in lines)


def as_json(read: Report) -> str:
    """Return a report for programs, as JSON."""
    encoded: Any = msgspec.json.format(msgspec.json.encode(read), indent=2)
    return f"{encoded.decode()}\n"
