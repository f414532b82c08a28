"""What is sent to whom, how often it is tried, and what is remembered of it."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, eventAsText, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts.alert import AlertMessage, ReceiverAnswer
from lgtwist.alerts.interfaces import AccountFact, Facts
from lgtwist.alerts.receiver import DeliveryRecord
from lgtwist.alerts.service import AlertService
from lgtwist.alerts.settings import AlertSettings, ReceiverKind

EPOCH = 1_700_000_000.0
URL = "http://127.0.0.1:9/hook/s3cret-s3cret-s3cret"
SETTINGS = AlertSettings(ReceiverKind.WEBHOOK, URL, after=10.0, language="en")
YES = ReceiverAnswer(True, 200, "ok")
NO = ReceiverAnswer(False, 500, "no")


class FakeSender:
    """Notes what is sent; answers as it is told to.

    :ivar swallows: whether it makes an answer of being cancelled.
    :ivar answers: the next ones; None for none, until :attr:`waiting` is fired. The last is repeated.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers: list[Any] = list(answers) or [YES]
        self.sent: list[AlertMessage] = []
        self.waiting: list[Deferred[ReceiverAnswer]] = []
        self.cancelled = 0
        self.swallows = False

    async def send(self, message: AlertMessage) -> ReceiverAnswer:
        self.sent.append(message)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            waiting: Deferred[ReceiverAnswer] = Deferred(lambda _waiting: None)
            self.waiting.append(waiting)
            try:
                return await waiting
            except CancelledError:
                self.cancelled += 1
                if self.swallows:
                    return ReceiverAnswer(False, 0, "cancelled")
                raise
        return answer  # type: ignore[no-any-return]


class FakeFacts:
    """Accounts that are offline, or not.

    :ivar asked: how often it was looked at.
    """

    def __init__(self) -> None:
        self.offline: set[int] = set()
        self.accounts = range(10001, 10011)
        self.asked = 0

    def facts(self) -> Facts:
        self.asked += 1
        return Facts(accounts={n: AccountFact(n not in self.offline, EPOCH, "lost") for n in self.accounts})


class AlertServiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.facts = Clock(), FakeFacts()
        self.senders: list[tuple[AlertSettings, FakeSender]] = []
        self.answers: dict[str, list[Any]] = {}

    def make_sender(self, settings: AlertSettings) -> FakeSender:
        sender = FakeSender(*self.answers.get(settings.url, ()))
        self.senders.append((settings, sender))
        return sender

    def service(self, *settings: AlertSettings, start: bool = True) -> AlertService:
        service = AlertService(
            settings,
            self.facts,
            self.make_sender,
            clock=self.clock,
            wall_clock=lambda: EPOCH + self.clock.seconds(),
        )
        if start:
            service.startService()
            self.addCleanup(self.check_stop, service)
        return service

    def check_stop(self, service: AlertService) -> None:
        """Stop, and see that nothing is left."""
        service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def sender(self, url: str = URL) -> FakeSender:
        """The newest sender for a URL."""
        return [sender for settings, sender in self.senders if settings.url == url][-1]

    def titles(self, url: str = URL) -> list[str]:
        return [message.title for message in self.sender(url).sent]

    def pass_time(self, seconds: int) -> None:
        self.clock.pump([1.0] * seconds)

    # -- looking

    def test_nothing_without_entries(self) -> None:
        """Without [[alerts]] nothing is looked at, and no timer runs."""
        service = self.service()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.pass_time(10)
        self.assertEqual(self.facts.asked, 0)
        service.reload([SETTINGS])
        self.pass_time(10)
        self.assertIn(self.facts.asked, (10, 11))
        service.reload([])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_alarm_and_recovery(self) -> None:
        """An account that goes offline and comes back makes two messages."""
        service = self.service(SETTINGS)
        self.pass_time(20)
        self.facts.offline = {10003}
        self.pass_time(9)
        self.assertEqual(self.titles(), [])
        self.pass_time(5)
        self.assertEqual(self.titles(), ["[lgtwist] Account 10003 is offline"])
        (entry,) = service.entries()
        self.assertEqual([alarm.subject for alarm in entry.alarms], ["10003"])
        self.facts.offline = set()
        self.pass_time(20)
        self.assertEqual(
            self.titles(), ["[lgtwist] Account 10003 is offline", "[lgtwist] Account 10003 is online again"]
        )
        self.assertEqual(service.entries()[0].alarms, ())
        self.assertIn("Reason: lost", self.sender().sent[0].text)

    def test_facts_that_cannot_be_read(self) -> None:
        """An exception of the facts is logged, and it looks again."""
        self.service(SETTINGS)
        self.facts.facts = lambda: 1 / 0  # type: ignore[method-assign,return-value,assignment]
        self.pass_time(5)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 5)
        del self.facts.facts  # type: ignore[method-assign]
        self.facts.offline = {10001}
        self.pass_time(20)
        self.assertEqual(len(self.titles()), 1)

    # -- messages

    def test_digest(self) -> None:
        """When many wait, one message tells all of them, with a line for each."""
        self.service(SETTINGS)
        self.facts.offline = set(self.facts.accounts)
        self.pass_time(30)
        (message,) = self.sender().sent
        self.assertEqual(message.title, "[lgtwist] 10 alerts")
        self.assertEqual(len(message.text.splitlines()), 10)
        self.assertEqual(len(message.alerts), 10)

    def test_few_are_single(self) -> None:
        """Three that come together are three messages."""
        self.service(SETTINGS)
        self.facts.offline = {10001, 10002, 10003}
        self.pass_time(12)
        self.assertEqual(len(self.titles()), 3)

    def test_pace(self) -> None:
        """Whatever changes, a receiver gets four messages in a row, then one in four seconds."""
        self.facts.accounts = range(1, 300)
        self.service(evolve(SETTINGS, after=1.0))
        for second in range(60):
            self.facts.offline = set(range(1, 2 + second))
            self.pass_time(1)
        self.assertIn(len(self.titles()), range(17, 20))
        self.pass_time(60)
        self.assertEqual(sum(len(message.alerts) for message in self.sender().sent), 60)
        before = len(self.titles())
        self.facts.offline |= {101, 102, 103}
        self.pass_time(3)
        self.assertEqual(len(self.titles()) - before, 3)

    def test_bounded_queue(self) -> None:
        """Of very many that wait for a slow receiver, the oldest are only counted."""
        self.answers[URL] = [None]
        self.facts.accounts = range(1, 1001)
        service = self.service(SETTINGS)
        self.facts.offline = {1}
        self.pass_time(11)
        self.facts.offline = set(self.facts.accounts)
        self.pass_time(11)
        self.assertEqual(service.entries()[0].waiting, 999)
        self.sender().answers = [YES]
        self.pass_time(60)
        digest = self.sender().sent[-1]
        self.assertEqual(digest.title, "[lgtwist] 999 alerts")
        self.assertEqual(len(digest.alerts), 200)
        self.assertEqual(len(digest.text.splitlines()), 21)
        self.assertEqual(digest.text.splitlines()[-1], "... and 979 more")

    # -- tries

    def test_three_tries(self) -> None:
        """A message is tried after 5 and after 30 seconds, then given up, with one line in the log."""
        self.answers[URL] = [NO]
        service = self.service(SETTINGS)
        self.facts.offline = {10001}
        with capturedLogs() as logs:
            self.pass_time(11)
            self.assertEqual(len(self.titles()), 1)
            self.pass_time(5)
            self.assertEqual(len(self.titles()), 2)
            self.pass_time(29)
            self.assertEqual(len(self.titles()), 2)
            self.pass_time(1)
            self.assertEqual(len(self.titles()), 3)
            self.pass_time(600)
        self.assertEqual(len(self.titles()), 3)
        lines = [str(formatEvent(event)) for event in logs if event["log_level"] >= LogLevel.warn]
        self.assertEqual(
            lines,
            ['alerts[0] (webhook): "[lgtwist] Account 10001 is offline" was given up after 3 tries: no'],
        )
        (record,) = service.deliveries()
        self.assertEqual(
            record,
            DeliveryRecord(
                time=EPOCH + 46,
                index=0,
                kind="webhook",
                title="[lgtwist] Account 10001 is offline",
                text=self.sender().sent[0].text,
                tries=3,
                accepted=False,
                status=500,
                words="no",
            ),
        )

    def test_second_try(self) -> None:
        """A message that is accepted later is not sent once more."""
        self.answers[URL] = [NO, YES]
        service = self.service(SETTINGS)
        self.facts.offline = {10001}
        self.pass_time(100)
        self.assertEqual(len(self.titles()), 2)
        self.assertEqual([(one.tries, one.accepted) for one in service.deliveries()], [(2, True)])

    def test_useless_tries(self) -> None:
        """Where another try cannot help, there is none."""
        self.answers[URL] = [ReceiverAnswer(False, 403, "wrong token", retry=False)]
        service = self.service(SETTINGS)
        self.facts.offline = {10001}
        self.pass_time(100)
        self.assertEqual([one.tries for one in service.deliveries()], [1])

    def test_retry_after(self) -> None:
        """What a receiver asks to wait is waited, up to five minutes."""
        busy = ReceiverAnswer(False, 429, "slow down", retry_after=60.0)
        self.answers[URL] = [busy, evolve(busy, retry_after=86400.0), YES]
        self.service(SETTINGS)
        self.facts.offline = {10001}
        self.pass_time(11)
        self.pass_time(59)
        self.assertEqual(len(self.titles()), 1)
        self.pass_time(1)
        self.assertEqual(len(self.titles()), 2)
        self.pass_time(299)
        self.assertEqual(len(self.titles()), 2)
        self.pass_time(1)
        self.assertEqual(len(self.titles()), 3)

    def test_silent_receiver(self) -> None:
        """A sender that never ends is cancelled, and tried again."""
        self.answers[URL] = [None]
        service = self.service(SETTINGS)
        self.facts.offline = {10001}
        self.pass_time(200)
        self.assertEqual((len(self.titles()), self.sender().cancelled), (3, 3))
        self.assertEqual(service.deliveries()[0].words, "no answer within 15 s")

    def test_sender_that_raises(self) -> None:
        """An exception of a sender is logged once, and is no reason for another try."""
        self.answers[URL] = [ValueError(URL)]
        service = self.service(SETTINGS)
        self.facts.offline = {10001}
        with capturedLogs() as logs:
            self.pass_time(100)
        shown = "".join(eventAsText(event) for event in logs)
        self.assertIn("its sender failed", shown)
        self.assertNotIn("s3cret", shown)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual([one.words for one in service.deliveries()], ["an internal error"])

    def test_slow_receiver_delays_nobody(self) -> None:
        """Another entry gets its messages while one answers nothing."""
        self.answers[URL] = [None]
        other = evolve(SETTINGS, url="http://127.0.0.1:9/other")
        self.service(SETTINGS, other)
        self.facts.offline = {10001}
        self.pass_time(13)
        self.facts.offline = set()
        self.pass_time(15)
        self.assertEqual(len(self.titles(other.url)), 2)

    # -- what is remembered

    def test_last_hundred(self) -> None:
        """The last hundred deliveries are kept, the newest first; no words of theirs have the secret."""
        self.answers[URL] = [ReceiverAnswer(False, 404, f"nothing at {URL} " + "x" * 500)]
        service = self.service(SETTINGS)
        for _test in range(120):
            self.successResultOf(service.send_test(0))
            self.pass_time(1)
        records = service.deliveries()
        self.assertEqual(len(records), 100)
        self.assertEqual([one.time for one in records], [EPOCH + 119 - n for n in range(100)])
        self.assertNotIn("s3cret", str(records))
        self.assertLessEqual(max(len(one.words) for one in records), 200)
        (family,) = service.metrics()
        self.assertEqual(
            {tuple(sample.labels.values()): sample.value for sample in family.samples},
            {("webhook", "accepted"): 0.0, ("webhook", "given_up"): 120.0},
        )

    def test_test_message(self) -> None:
        """A test is sent at once, once, and is recorded as such; two at a time are one."""
        self.answers[URL] = [None]
        service = self.service(SETTINGS)
        first, second = service.send_test(0), service.send_test(0)
        self.assertEqual(self.titles(), ["[lgtwist] Test message"])
        self.sender().waiting[0].callback(YES)
        record = self.successResultOf(first)
        self.assertIs(self.successResultOf(second), record)
        self.assertEqual((record.accepted, record.test, record.tries), (True, True, 1))
        self.assertRaises(IndexError, service.send_test, 1)
        self.assertRaises(IndexError, service.send_test, -1)

    # -- reload and stop

    def test_reload(self) -> None:
        """Entries that are equal keep their state at another place; others begin anew."""
        other = evolve(SETTINGS, url="http://127.0.0.1:9/other")
        service = self.service(SETTINGS)
        self.facts.offline = {10001}
        self.pass_time(15)
        service.reload([other, SETTINGS])
        self.assertEqual(len(self.senders), 2)
        self.assertEqual([len(one.alarms) for one in service.entries()], [0, 1])
        self.pass_time(9)
        self.assertEqual(self.titles(other.url), [])
        self.pass_time(5)
        self.assertEqual(self.titles(other.url), ["[lgtwist] Account 10001 is offline"])
        self.assertEqual(len(self.titles()), 1)
        self.assertEqual([one.index for one in service.deliveries()], [0, 0])
        self.facts.offline = set()
        self.pass_time(15)
        self.assertEqual([one.index for one in service.deliveries()][:2], [1, 0])

    def test_reload_ends_what_is_removed(self) -> None:
        """What an entry that is removed was sending is cancelled."""
        self.answers[URL] = [None]
        service = self.service(SETTINGS)
        self.facts.offline = {10001}
        self.pass_time(12)
        testing = service.send_test(0)
        service.reload([])
        self.failureResultOf(testing, CancelledError)
        self.assertEqual(self.sender().cancelled, 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_swallowed(self) -> None:
        """A sender that makes an answer of being cancelled is not asked again."""
        self.answers[URL] = [None]
        service = self.service(SETTINGS, start=False)
        service.startService()
        self.facts.offline = {10001}
        self.pass_time(12)
        self.sender().swallows = True
        testing = service.send_test(0)
        service.stopService()
        self.failureResultOf(testing, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(service.deliveries(), [])

    def test_stop(self) -> None:
        """Stopping cancels what is under way, at once, whatever it waits for."""
        self.answers[URL] = [NO]
        slow = evolve(SETTINGS, url="http://127.0.0.1:9/slow")
        self.answers[slow.url] = [None]
        service = self.service(SETTINGS, slow, start=False)
        service.startService()
        self.facts.offline = {10001}
        self.pass_time(12)  # one waits for its second try, the other for an answer
        testing = service.send_test(1)
        service.stopService()
        self.failureResultOf(testing, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.pass_time(100)
        self.assertEqual(len([one for _settings, one in self.senders if one.sent]), 2)
        service.startService()
        self.pass_time(12)
        self.assertEqual(len(self.titles()), 1)
        self.check_stop(service)
