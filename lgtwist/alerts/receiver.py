"""The messages of one of ``[[alerts]]``: its queue, its tries, and what became of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from lgtwist.alerts.alert import Alert, AlertMessage, ReceiverAnswer
from lgtwist.alerts.answers import WordCleaner
from lgtwist.alerts.interfaces import AlertSender
from lgtwist.alerts.settings import AlertSettings
from lgtwist.alerts.texts import Reworded, alert_message, digest_message, test_message
from lgtwist.runtime.logs import Logger
from lgtwist.runtime.tasks import spawn

#: Alerts that may wait for one receiver; of more, the oldest are only counted.
_WAITING_ALERTS = 200
#: Of so many that wait, each is a message of its own; more are one digest.
_MOST_SINGLE = 3
#: Messages that one receiver may be sent in a row, and seconds after which it may be sent one more: services
#: for chats refuse more than 20 in a minute.
_MESSAGES_IN_A_ROW, _MESSAGE_GAP = 4, 4.0
#: Seconds before the second and the third try.
_BACK_OFF = (5.0, 30.0)
#: Seconds that a receiver may ask us to wait at most.
_LONGEST_PAUSE = 300.0
#: Seconds after which a try has failed, whatever the sender does.
_TRY_TIMEOUT = 15.0


@frozen
class DeliveryRecord:
    """What became of one message.

    :ivar time: when it was accepted or given up, seconds since the epoch.
    :ivar index: which of ``[[alerts]]`` it was for, from 0, as they stood in the configuration then.
    :ivar kind: the ``kind`` of that.
    :ivar tries: how often it was sent.
    :ivar accepted: whether the receiver took it.
    :ivar status: of HTTP or SMTP; 0 where there was none.
    :ivar words: what the receiver said, or why it could not be asked; at most 200 characters, no secrets.
    :ivar test: whether it was a test.
    """

    time: float
    index: int
    kind: str
    title: str
    text: str
    tries: int
    accepted: bool
    status: int
    words: str
    test: bool = False


class Receiver:
    """Sends the messages of one of ``[[alerts]]``, one after the other.

    :param settings: of the entry.
    :param sender: sends one message once.
    :param clock: of the waits; the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    :param record: called with each delivery when it is over.
    :param reworded: translates the reasons of alerts.
    :ivar index: the place of the entry in the configuration; may be set.
    """

    _log = Logger()

    def __init__(
        self,
        settings: AlertSettings,
        sender: AlertSender,
        *,
        clock: Any,
        wall_clock: Callable[[], float],
        record: Callable[[DeliveryRecord], None],
        reworded: Reworded,
    ) -> None:
        self.settings = settings
        self.index = 0
        self._sender = sender
        self._cleaner = WordCleaner(settings.secrets())
        self._clock = clock
        self._wall_clock = wall_clock
        self._record = record
        self._reworded = reworded
        self._queue: deque[Alert] = deque()
        self._room_at = -_MESSAGES_IN_A_ROW * _MESSAGE_GAP  # when the next message may be sent
        self._left_out = 0
        self._working: Deferred[None] | None = None
        self._testing: Deferred[DeliveryRecord] | None = None
        self._want_test: list[Deferred[DeliveryRecord]] = []
        self._stopped = False

    @property
    def waiting(self) -> int:
        """How many alerts wait to be sent."""
        return len(self._queue) + self._left_out

    def add(self, alerts: Iterable[Alert]) -> None:
        """Send alerts as soon as the receiver can be sent to."""
        if self._stopped:
            return
        for alert in alerts:
            self._queue.append(alert)
            if len(self._queue) > _WAITING_ALERTS:
                self._queue.popleft()
                self._left_out += 1
        if self._queue and self._working is None:
            working = spawn("sending alerts", self._send_all())
            if not working.called:
                self._working = working

    def stop(self) -> None:
        """Send no more, and cancel what is under way. Never raises."""
        self._stopped = True
        self._queue.clear()
        for under_way in (self._working, self._testing):
            if under_way is not None:
                under_way.cancel()
        self._working = None

    def test(self) -> Deferred[DeliveryRecord]:
        """Send a test message, once and at once.

        :returns: fires with what became of it; while one is under way, with what becomes of that. Fails with
            ``CancelledError`` if the entry goes away meanwhile.
        """
        done: Deferred[DeliveryRecord] = Deferred()
        self._want_test.append(done)
        if self._testing is None:
            testing = Deferred.fromCoroutine(self._test())
            self._testing = testing
            testing.addBoth(self._tested)
        return done

    def _tested(self, result: Any) -> None:
        self._testing = None
        wanted, self._want_test = self._want_test, []
        for done in wanted:
            if not done.called:  # else it was cancelled
                done.callback(result)  # a Failure becomes its failure

    async def _test(self) -> DeliveryRecord:
        message = test_message(self.settings.language)
        return self._ended(message, 1, await self._try(message), test=True)

    async def _send_all(self) -> None:
        try:
            while self._queue and not self._stopped:
                await self._wait(self._until_next())
                if self._queue:
                    await self._deliver(self._next_message())
        finally:
            self._working = None

    def _until_next(self) -> float:
        """Return the seconds until the receiver may be sent the next message, and count that one.

        A message fills the bucket by one, and each gap empties it by one.
        """
        now = self._clock.seconds()
        wait: float = max(0.0, self._room_at - now)
        self._room_at = max(self._room_at, now - (_MESSAGES_IN_A_ROW - 1) * _MESSAGE_GAP) + _MESSAGE_GAP
        return wait

    def _next_message(self) -> AlertMessage:
        """Take one alert from the queue, or all of them where many wait."""
        language = self.settings.language
        if len(self._queue) <= _MOST_SINGLE and not self._left_out:
            return alert_message(self._queue.popleft(), language, self._wall_clock(), self._reworded)
        alerts, left_out = tuple(self._queue), self._left_out
        self._queue.clear()
        self._left_out = 0
        return digest_message(alerts, language, self._wall_clock(), self._reworded, left_out=left_out)

    async def _deliver(self, message: AlertMessage) -> None:
        tries = 0
        while True:
            tries += 1
            answer = await self._try(message)
            if answer.accepted or not answer.retry or tries > len(_BACK_OFF):
                break
            wanted = answer.retry_after or 0.0
            await self._wait(max(_BACK_OFF[tries - 1], min(wanted, _LONGEST_PAUSE)))
        self._ended(message, tries, answer)
        if not answer.accepted:
            self._log.error(
                'alerts[{index}] ({kind}): "{title}" was given up after {tries} tries: {words}',
                index=self.index,
                kind=self.settings.kind.value,
                title=message.title,
                tries=tries,
                words=answer.words or f"status {answer.status}",
            )

    def _ended(
        self, message: AlertMessage, tries: int, answer: ReceiverAnswer, test: bool = False
    ) -> DeliveryRecord:
        record = DeliveryRecord(
            time=self._wall_clock(),
            index=self.index,
            kind=self.settings.kind.value,
            title=message.title,
            text=message.text,
            tries=tries,
            accepted=answer.accepted,
            status=answer.status,
            words=answer.words,
            test=test,
        )
        self._record(record)
        return record

    async def _try(self, message: AlertMessage) -> ReceiverAnswer:
        """Send a message once; whatever the sender does is an answer, but for being cancelled."""
        sending: Deferred[ReceiverAnswer] = Deferred.fromCoroutine(self._send(message))
        try:
            answer = await sending.addTimeout(_TRY_TIMEOUT, self._clock)
        except CancelledError:
            raise
        except TimeoutError:
            answer = ReceiverAnswer(False, 0, f"no answer within {_TRY_TIMEOUT:g} s")
        except Exception as error:
            failure = Failure()
            failure.value = Exception(self._cleaner.clean_words(str(error)))  # it may show the URL
            kind = self.settings.kind.value
            self._log.failure(
                "alerts[{index}] ({kind}): its sender failed", failure, index=self.index, kind=kind
            )
            answer = ReceiverAnswer(False, 0, "an internal error", retry=False)
        if self._stopped:  # senders make an answer of what was cancelled
            raise CancelledError
        return self._cleaner.clean(answer)

    async def _send(self, message: AlertMessage) -> ReceiverAnswer:
        return await self._sender.send(message)

    def _wait(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds) if seconds > 0 else succeed(None)
