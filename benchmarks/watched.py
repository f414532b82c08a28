"""``python watched.py ARGUMENTS``: twistd, with somebody who looks at the live traffic of the service.

It does what a stream to a browser does: at most 100 rows a second, written as JSON four times a second.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.scripts import twistd

from lgtwist import tap
from lgtwist.console.traffic import Traffic, TrafficFilter

ROWS_PER_SECOND, WRITES_PER_SECOND = 100, 4
#: Seconds after the start when the watch begins.
DELAY = 0.2


class Watcher:
    """Takes rows and answers, and joins them as a stream does."""

    filter = TrafficFilter()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._rows: list[bytes] = []
        self._answers: list[bytes] = []
        self._left = ROWS_PER_SECOND
        self._writes = 0
        self.dropped = self.written = 0
        reactor.callLater(1 / WRITES_PER_SECOND, self._write)

    def take(self) -> bool:
        """Return whether there is room for one more row in this second."""
        if self._left <= 0:
            self.dropped += 1
            return False
        self._left -= 1
        return True

    def drop(self) -> None:
        """Count a row as dropped."""
        self.dropped += 1

    def send_row(self, row: bytes) -> None:
        """Keep a row until the next write."""
        self._rows.append(row)

    def send_answer(self, answer: bytes) -> None:
        """Keep an answer until the next write."""
        self._answers.append(answer)

    def _write(self) -> None:
        self._reactor.callLater(1 / WRITES_PER_SECOND, self._write)
        self._writes += 1
        if self._writes % WRITES_PER_SECOND == 0:
            self._left = ROWS_PER_SECOND
        text = b'event: traffic\ndata: {"rows":[%b],"answers":[%b]}\n\n'
        self.written += len(text % (b",".join(self._rows), b",".join(self._answers)))
        self._rows, self._answers = [], []


def watch(service: Any) -> None:
    """Look at the traffic of a service from now on."""
    from twisted.internet import reactor  # it was installed by makeService

    traffic = Traffic(service.directory, reactor, time.time)
    traffic.watch(Watcher(reactor))


def main() -> None:
    """Run twistd with the arguments of the command line."""
    make = tap.makeService

    def make_watched(options: Any) -> Any:
        service = make(options)
        from twisted.internet import reactor

        reactor.callLater(DELAY, watch, service)
        return service

    tap.makeService = make_watched
    run: Any = twistd.run
    run()


if __name__ == "__main__":
    main()
