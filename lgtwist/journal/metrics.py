"""Figures about the journal, and why it is not ready. See docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric

from lgtwist.journal.journal import Journal
from lgtwist.runtime.figures import Reading, counter, counters, gauges

_JOURNAL_GAUGES: list[Reading] = [
    ("journal_up", "1 while the journal can be written", lambda j: not j.trouble),
    ("journal_size_bytes", "What is used of its file", lambda j: j.used),
    ("journal_waiting_bytes", "Events that wait to be written", lambda j: j.waiting),
    (
        "journal_paused_accounts",
        "Accounts that send faster than the disk writes, and are not read now",
        lambda j: len(j.paused),
    ),
    (
        "journal_slowest_commit_seconds",
        "The slowest commit since the start",
        lambda j: j.counters.slowest_commit,
    ),
]
_JOURNAL_COUNTERS: list[Reading] = [
    ("journal_commits", "Group commits", lambda j: j.counters.commits),
    ("journal_commit_seconds", "Time that they took, together", lambda j: j.counters.commit_seconds),
    ("journal_events", "Events that were written", lambda j: j.counters.events),
    ("journal_failures", "Writes that failed, and were tried again", lambda j: j.counters.failures),
    ("journal_pauses", "Times that an account was not read for a while", lambda j: j.pauses),
    ("journal_trimmed_events", "Events that retention took", lambda j: j.counters.expired),
]


def journal_metrics(journal: Journal | None, accounts: Iterable[int]) -> Iterator[Metric]:
    """Read the figures of a journal; without one the families have no samples, so that their names are known.

    :param accounts: those for which lost events are shown, also if there are none.
    """
    journals: list[tuple[list[str], Journal]] = [] if journal is None else [([], journal)]
    yield from gauges(_JOURNAL_GAUGES, [], journals)
    yield from counters(_JOURNAL_COUNTERS, [], journals)
    lost = [([str(one)], float(found.lost.get(one, 0))) for _labels, found in journals for one in accounts]
    yield counter("journal_lost_events", "Events that the journal could not take", ["account"], lost)


def journal_trouble(journal: Journal) -> list[str]:
    """Return a sentence if the journal cannot be written, else nothing."""
    return [f"the journal cannot be written: {journal.trouble}"] if journal.trouble else []
