"""A process that gives out message ids, and prints each when it may leave the process: to be killed."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from twisted.internet import reactor

from lgtwist.accounts.milky.block_store import BlockStore
from lgtwist.milky.keys import GROUP, MessageKey


def main(folder: str, first_group: int) -> None:
    """Give out ids of one group after the other until killed; a line for each: group, sequence number, id."""
    signal.alarm(20)  # where nobody does
    store = BlockStore(Path(folder), 10001, reactor)
    store.prepare()
    store.start()
    group_id = first_group

    def turn() -> None:
        nonlocal group_id
        lines = []
        for _ in range(3):
            group_id += 1
            key = MessageKey(GROUP, group_id, group_id * 7)
            lines.append(f"{group_id} {key.seq} {store.table.id_of(key)}\n")
            store.table.mark_seen(key, 1.0)
        committed = store.committed()
        assert committed is not None
        committed.addCallback(lambda _none: (sys.stdout.writelines(lines), sys.stdout.flush()))
        reactor.callLater(0, turn)  # type: ignore[attr-defined]

    reactor.callWhenRunning(turn)  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
