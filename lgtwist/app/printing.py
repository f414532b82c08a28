"""What the command line prints and ends with: ``--check`` and ``--journal``, and the same as commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lgtwist.app.configuration import Config


def print_text(text: str) -> None:
    """Write to stdout, whatever its encoding can show.

    :raises SystemExit: if stdout is closed, full, or not there.
    """
    try:
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace"))
        sys.stdout.buffer.flush()
    except (OSError, AttributeError):
        raise SystemExit("the output cannot be written") from None


def print_summary(config: Config) -> None:
    """Print what a configuration serves and may take, and what is wrong with it and its certificates."""
    from lgtwist.app.memory import memory_bound
    from lgtwist.app.summary import summary
    from lgtwist.app.warnings import warnings
    from lgtwist.net.ports import Ports

    lines = [
        *summary(config),
        memory_bound(config),
        *warnings(config),
        *Ports(None, config.server.endpoints).warnings(),
    ]
    print_text("".join(f"{line}\n" for line in lines))


def print_journal(config: Config, as_json: bool) -> None:
    """Print what the journal holds.

    :raises SystemExit: with one line, if it cannot be read.
    """
    from lgtwist.app.data_dir import JOURNAL_FILE
    from lgtwist.journal import report
    from lgtwist.journal.store import JournalError

    try:
        read = report.report(Path(config.data_dir).absolute() / JOURNAL_FILE)
    except JournalError as error:
        raise SystemExit(f"lgtwist: {error}") from None
    print_text(report.as_json(read) if as_json else report.as_text(read))
