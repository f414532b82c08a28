"""The order of sends: those of one conversation are carried out one after the other, others side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from lgtwist.milky.keys import Conversation
from lgtwist.onebot.errors import TooManyCalls

#: Sends of one conversation that may wait.
MOST_WAITING = 10_000

#: Begins a send; what it returns ends when the send was answered.
BeginSend = Callable[[], Coroutine[Deferred[Any], Any, None]]


@define(eq=False)
class _Send:
    """One send of a conversation.

    :ivar run: begins it; None once it was begun or cancelled.
    :ivar done: fires when it has ended.
    :ivar work: what runs; None before it was begun.
    """

    run: BeginSend | None
    done: Deferred[None] = field(init=False)
    work: Deferred[None] | None = None


@define(eq=False)
class _Queue:
    """The sends of one conversation: the first of them is under way.

    :ivar advancing: whether the next one is being begun further up in the stack.
    """

    sends: deque[_Send] = field(factory=deque)
    advancing: bool = False


class Sends:
    """Begins sends in order."""

    def __init__(self) -> None:
        self._queues: dict[Conversation, _Queue] = {}

    def start(self, conversation: Conversation | None, run: BeginSend) -> Deferred[None]:
        """Begin a send when those before it in its conversation have ended.

        :param conversation: None to begin it now, whatever else is under way.
        :param run: called once, unless it was cancelled before.
        :returns: fires, or fails, as what ``run`` returns. Cancelling it cancels that, and lets the next send
            begin.
        :raises TooManyCalls: if :data:`MOST_WAITING` wait already.
        """
        if conversation is None:
            return Deferred.fromCoroutine(run())
        queue = self._queues.get(conversation)
        if queue is None:
            queue = self._queues[conversation] = _Queue()
        elif len(queue.sends) > MOST_WAITING:
            raise TooManyCalls(f"{MOST_WAITING} sends to this conversation wait for their turn already")
        send = _Send(run)
        send.done = Deferred(lambda _done: _cancel(send))
        queue.sends.append(send)
        self._advance(conversation, queue)
        return send.done

    def _advance(self, conversation: Conversation, queue: _Queue) -> None:
        """Begin the first send of a queue, unless it is under way; the next too where it ends at once."""
        if queue.advancing:
            return
        queue.advancing = True
        sends = queue.sends
        while sends and sends[0].work is None:
            send = sends[0]
            run, send.run = send.run, None
            if run is None:  # cancelled
                sends.popleft()
                continue
            send.work = Deferred.fromCoroutine(run())
            send.work.addBoth(self._ended, conversation, queue, send)
        queue.advancing = False
        if not sends:
            self._queues.pop(conversation, None)

    def _ended(self, result: Any, conversation: Conversation, queue: _Queue, send: _Send) -> None:
        queue.sends.popleft()
        if not send.done.called:
            send.done.callback(result)  # a Failure becomes its failure
        self._advance(conversation, queue)


def _cancel(send: _Send) -> None:
    """Break off a send that is under way; one that waits is left out when its turn comes."""
    send.run = None
    if send.work is not None:
        send.work.cancel()
