"""A request to a listening port: its body and its answer are bounded, and counted in the peer's budget."""

from __future__ import annotations

import time
from collections import deque
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString, parse_qs
from twisted.web.server import Request

from lgtwist.net.http_responses import respond_with_bytes
from lgtwist.onebot.bounds import MAX_FIELDS
from lgtwist.runtime.budget import Budget
from lgtwist.web.bodies import BodyBudget
from lgtwist.websocket.upgrade import asks_for_upgrade

if TYPE_CHECKING:
    from lgtwist.web.channel import PortChannel

#: So many bytes of an answer are given to the transport at once; the others wait until it has taken them.
PORTION = 131_072

#: The value of ``Date`` (RFC 9110, 5.6.7), of a second since the epoch.
_date_of = lru_cache(1)(datetimeToString)


class PortRequest(Request):
    """A request whose body is kept in memory, never in a temporary file, and is counted there.

    :ivar budget: what the answer is counted in while the client does not take it; None for none.
    """

    channel: PortChannel
    content: Any
    site: Any
    budget: Budget | None = None
    _body_budget: BodyBudget | None = None
    _body_size = 0
    _target = b""
    _finishing = False
    _unsent: deque[bytes] | None = None  # of the answer; None for none
    _sent = 0  # bytes of the first of them

    # -- the body

    def gotLength(self, length: int | None) -> None:
        """Begin the body. Twisted calls this after the head, and would open a file for a long body."""
        self.content = BytesIO()

    def count_body_in(self, budget: BodyBudget) -> None:
        """Count the body in ``budget`` while it comes."""
        self._body_budget = budget

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a part of the body; refuse the body if it becomes too long, or there is no room for it."""
        channel, size = self.channel, len(data)
        if channel is None or channel.refused:
            return
        if self._body_size + size > channel.max_body:
            channel.refuse_body()
            return
        self.content.write(data)
        self._body_size += size
        if self._body_budget is not None:
            self._body_budget.charge(self, size)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Answer the request: its body is complete.

        :param path: its target.
        """
        self.content.getvalue()  # shrinks its buffer to the body, so that it is read without a copy
        if b"?" in path:
            self._target = path
            path = path.partition(b"?")[0]  # Twisted would read a query of any size
        super().requestReceived(command, path, version)

    def budget_freed(self) -> None:
        """Do nothing: a body does not wait for room."""

    def refuse(self, sentence: str) -> None:
        """Let go what was received of the body, and answer 503: there is no room for it."""
        if self.channel is not None:
            self.channel.refuse(503, sentence, (("Retry-After", "3"),))
        self.release_body()

    def release_body(self) -> None:
        """Let the body go: it was read, or is not wanted. May be called more than once."""
        budget, self._body_budget = self._body_budget, None
        if budget is not None:
            budget.forget(self, self._body_size)
        if self._body_size:
            self._body_size = 0
            if self.content is not None:
                self.content.close()
                self.content = BytesIO()

    # -- the answer

    def process(self) -> None:
        """Answer the request by the site's resource. Twisted would look for children of it first."""
        self.site = self.channel.site
        if self._target:
            self.uri = self._target
            query = self.uri.partition(b"?")[2]
            if query.count(b"&") + query.count(b";") < MAX_FIELDS:
                self.args = parse_qs(query, True)
        self.setHeader("Date", _date_of(int(time.time())))
        self.prepath, self.postpath = [], []
        if self.path == b"*" and self.method == b"OPTIONS":  # RFC 9110, 9.3.7
            respond_with_bytes(self, 204, "text/plain", b"")
        else:
            self.site.resource.render(self)

    def write(self, data: bytes) -> None:
        """Write a part of the answer; what the transport does not take at once is counted, and waits."""
        channel = self.channel
        if channel is None:
            return
        if not self._unsent and len(data) <= PORTION:
            super().write(data)
        else:
            unsent = self._unsent
            if unsent is None:
                unsent = self._unsent = deque()
            unsent.append(data)
            if len(unsent) == 1:
                self.send_portion()
        channel.count_unsent(self.budget, len(data))

    @property
    def is_action(self) -> bool:
        """Whether an action is asked for: then a refusal is JSON."""
        if self.channel is None or asks_for_upgrade(self):
            return False
        return self.channel.site.is_action(self.method, self.uri)

    def log_refusal(self, status: int, sentence: str) -> None:
        """Log that the request is refused, unless that was logged a moment ago."""
        if self.channel is not None:
            self.channel.log_refusal(self.method, self.uri, status, sentence)

    @property
    def over_budget(self) -> bool:
        """Whether so much is held for the client already that it may be given short answers only."""
        return self.budget is not None and self.budget.exceeded

    def finish(self) -> None:
        """End the answer when all of it was given to the transport."""
        if self._unsent:
            self._finishing = True
        else:
            super().finish()

    @property
    def has_unsent(self) -> bool:
        """Whether a part of the answer waits here."""
        return bool(self._unsent)

    def send_portion(self) -> None:
        """Give the transport the next portion of the answer; end the answer after the last one."""
        unsent = self._unsent
        if not unsent:
            return
        data, start = unsent[0], self._sent
        self._sent += PORTION
        if self._sent >= len(data):
            unsent.popleft()
            self._sent = 0
        super().write(data[start : start + PORTION])
        if unsent:
            if self.producer is not None:
                self.producer.pauseProducing()
            self.channel.schedule_sending()
        elif self._finishing:
            super().finish()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go what is held: the connection is closed, or its request is not read any more."""
        self.release_body()
        self._unsent = None
        super().connectionLost(reason)
