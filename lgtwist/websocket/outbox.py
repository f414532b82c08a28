"""The frames that wait for one peer to be written. Pure; events are bounded here, responses by the caller."""

from __future__ import annotations

from collections import deque


class Outbox:
    """Frames in the order they were put in; of these only events are ever dropped, oldest first.

    Responses are never dropped. The caller bounds them: it reads no more of the peer's actions while
    :attr:`response_bytes` is high.

    :param limit: bytes of events that may wait. One event larger than that may wait besides.
    :ivar event_bytes: bytes of events that wait, without one that is larger than the limit.
    :ivar response_bytes: bytes of frames that wait and must not be lost.
    """

    __slots__ = (
        "_events",
        "_giant_bytes",
        "_giants",
        "_responses",
        "_taken",
        "_taken_bytes",
        "event_bytes",
        "limit",
        "response_bytes",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._events: deque[tuple[int, bytes]] = deque()  # each with the number of responses put in before
        self._responses: deque[bytes] = deque()
        self._taken = 0  # responses, ever
        self._giants = self._giant_bytes = 0
        self.event_bytes = 0
        self.response_bytes = self._taken_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._events or self._responses)

    @property
    def size(self) -> int:
        """Bytes of all frames that wait."""
        return self.response_bytes + self.event_bytes + self._giant_bytes

    def put_response(self, frame: bytes) -> None:
        """Put in a frame that must not be lost."""
        self._responses.append(frame)
        self.response_bytes += len(frame)

    def watermark(self) -> int:
        """Return the position behind all responses that were put in so far, for :meth:`has_taken`."""
        return self._taken_bytes + self.response_bytes

    def has_taken(self, watermark: int) -> bool:
        """Return whether every response put in before ``watermark`` was read off has been taken out."""
        return self._taken_bytes >= watermark

    def put_event(self, frame: bytes) -> int:
        """Put in an event; return how many older ones were dropped for it."""
        self._events.append((self._taken + len(self._responses), frame))
        self._count(frame, 1)
        dropped = 0
        while self.event_bytes > self.limit or self._giants > 1:
            self._count(self._events.popleft()[1], -1)
            dropped += 1
        return dropped

    def _count(self, frame: bytes, sign: int) -> None:
        if len(frame) > self.limit:
            self._giants += sign
            self._giant_bytes += sign * len(frame)
        else:
            self.event_bytes += sign * len(frame)

    def take(self, enough: int) -> bytes:
        """Take out frames from the front until there are ``enough`` bytes; return them joined.

        If any frame waits, at least one is taken, however large.
        """
        events, responses = self._events, self._responses
        if not events and self.response_bytes <= enough:
            self._taken += len(responses)
            self._taken_bytes += self.response_bytes
            self.response_bytes = 0
            joined = responses[0] if len(responses) == 1 else b"".join(responses)
            responses.clear()
            return joined
        taken: list[bytes] = []
        size = 0
        while size < enough:
            if events and events[0][0] <= self._taken:
                frame = events.popleft()[1]
                self._count(frame, -1)
            elif responses:
                frame = responses.popleft()
                self._taken += 1
                self.response_bytes -= len(frame)
                self._taken_bytes += len(frame)
            else:
                break
            taken.append(frame)
            size += len(frame)
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def drop_events(self) -> int:
        """Drop every event that waits; return how many."""
        dropped = len(self._events)
        self._events.clear()
        self.event_bytes = self._giants = self._giant_bytes = 0
        return dropped

    def clear(self) -> None:
        """Drop everything; responses count as taken."""
        self.drop_events()
        self._taken += len(self._responses)
        self._responses.clear()
        self._taken_bytes += self.response_bytes
        self.response_bytes = 0
