"""The console's alerts: what is shown of them, and the test of a receiver."""

from __future__ import annotations

import json
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from lgtwist.alerts.alert import AlertMessage, ReceiverAnswer, Rule
from lgtwist.alerts.settings import AlertSettings, MailSettings, ReceiverKind
from lgtwist.app.alert_clients import AlertClients
from lgtwist.console.alerts import receiver_host
from tests.console.test_api import OURS, TOKEN, ConsoleTestCase

KEY = "very-secret-key-0123456789"
TOML = f"""
[[bots]]
name = "nonebot"
access_token = "of-nonebot-0123456789"
[[alerts]]
kind = "bark"
url = "https://api.day.app/{KEY}"
after = "10s"
language = "en"
on = ["away", "offline"]
bots = ["nonebot"]
[[alerts]]
kind = "email"
server = "smtp.example.org"
user = "me@example.org"
password = "{KEY}-of-mail"
to = "you@example.org"
"""


class FakeSender:
    """Notes the messages, and answers what it is told to; where that is None, later."""

    def __init__(self) -> None:
        self.answer: ReceiverAnswer | None = ReceiverAnswer(True, 200, "fine")
        self.messages: list[AlertMessage] = []
        self.pending: list[Deferred[ReceiverAnswer]] = []

    async def send(self, message: AlertMessage) -> ReceiverAnswer:
        self.messages.append(message)
        if self.answer is not None:
            return self.answer
        self.pending.append(Deferred())
        return await self.pending[-1]


class AlertsTestCase(ConsoleTestCase):
    toml = ConsoleTestCase.toml + TOML

    def setUp(self) -> None:
        self.sender = FakeSender()
        self.patch(AlertClients, "sender", lambda _clients, _settings: self.sender)
        super().setUp()

    def state(self) -> Any:
        peer = self.bearer("alerts")
        self.assertEqual(peer.status(), 200, peer.body())
        self.assertNotIn(KEY, peer.body())
        return json.loads(peer.body())

    def send_test(self, index: Any = 0) -> Any:
        return self.bearer("alerts/test", "POST", {"index": index})


class StateTests(AlertsTestCase):
    def test_entries_without_secrets(self) -> None:
        """Kind, host, rules, and whom they are about; no URL, no key, no address of a mailbox."""
        found = self.state()
        self.assertEqual((found["alarming"], found["deliveries"]), ([], []))
        first, second = found["entries"]
        expected = {
            "index": 0, "kind": "bark", "host": "api.day.app", "accounts": None, "bots": ["nonebot"],
            "on": ["offline", "away"], "after": 10.0, "backlog": 1000, "language": "en", "waiting": 0,
        }  # fmt: skip
        self.assertEqual(first, expected)
        self.assertEqual((second["index"], second["kind"], second["host"]), (1, "email", "smtp.example.org"))
        self.assertEqual(second["on"], [rule.value for rule in Rule])
        self.assertNotIn("example.org/", json.dumps(found))
        self.assertNotIn("you@", json.dumps(found))

    def test_hosts(self) -> None:
        """Only the host is told, with its port where that is named; of a URL that is none, nothing."""
        settings = AlertSettings(ReceiverKind.WEBHOOK)
        for url, host in (
            ("https://user:pass@example.org/hook?token=x", "example.org"),
            ("http://127.0.0.1:9000/x", "127.0.0.1:9000"),
            ("http://[::1]:9000/x", "[::1]:9000"),
            ("http://[::1/x", ""),
            ("", ""),
        ):
            self.assertEqual(receiver_host(evolve(settings, url=url)), host)
        mail = MailSettings("smtp.qq.com", 465, True, None, None, "a@b.c", ("a@b.c",))
        self.assertEqual(receiver_host(AlertSettings(ReceiverKind.EMAIL, mail=mail)), "smtp.qq.com")

    def test_alarms_and_deliveries(self) -> None:
        """A bot that stays away is alarming, once, with both entries that told it; so are the messages."""
        self.service.alerts.startService()
        self.addCleanup(self.service.alerts.stopService)
        self.assertEqual(self.state()["alarming"], [])
        for _ in range(140):
            self.clock.advance(1)
        found = self.state()
        [away] = [one for one in found["alarming"] if one["rule"] == "away"]
        self.assertEqual((away["entries"], away["subject"]), ([0, 1], "nonebot"))
        told = [one for one in found["deliveries"] if "nonebot" in one["title"]]
        self.assertEqual({(one["index"], one["kind"], one["accepted"]) for one in told},
                         {(0, "bark", True), (1, "email", True)})  # fmt: skip
        self.assertEqual(
            {(one["status"], one["answer"], one["test"]) for one in told}, {(200, "fine", False)}
        )
        self.assertEqual(len(self.sender.messages), len(found["deliveries"]))

    def test_the_stream(self) -> None:
        """It has all at first, and again when something changed, and only then."""
        stream = self.bearer("stream?topics=alerts")
        self.assertEqual(stream.body().count("event: alerts"), 1)
        for _ in range(8):
            self.clock.advance(0.5)
        self.assertEqual(stream.body().count("event: alerts"), 1)
        self.send_test().read()
        for _ in range(8):
            self.clock.advance(0.5)
        self.assertEqual(stream.body().count("event: alerts"), 2)
        self.assertIn('"answer":"fine"', stream.body())
        stream.lose()


class SendTests(AlertsTestCase):
    def test_the_answer_of_the_receiver(self) -> None:
        """What the receiver said comes back at once, and is in the list."""
        for answer in (ReceiverAnswer(True, 200, "ok"), ReceiverAnswer(False, 400, "sign match fail")):
            self.sender.answer = answer
            sent = json.loads(self.send_test().body())
            self.assertEqual(
                (sent["accepted"], sent["status"], sent["answer"], sent["tries"], sent["test"]),
                (answer.accepted, answer.status, answer.words, 1, True),
            )
            self.assertEqual(self.state()["deliveries"][0], sent)
        self.assertEqual(len(self.sender.messages), 2)

    def test_one_at_a_time(self) -> None:
        """While one is under way another one is refused; whoever goes away does not end it."""
        self.sender.answer = None
        first = self.send_test()
        self.assertEqual(first.read(), b"")
        second = self.send_test()
        self.assertEqual((second.status(), self.code(second)), (409, "test_running"))
        other = self.send_test(1)
        self.assertEqual(other.read(), b"")
        first.lose()
        self.sender.pending[0].callback(ReceiverAnswer(True, 200, "late"))
        self.assertEqual([one["answer"] for one in self.state()["deliveries"]], ["late"])
        self.sender.answer = ReceiverAnswer(True, 200, "again")
        self.assertEqual(self.send_test().status(), 200)
        self.sender.pending[1].callback(ReceiverAnswer(False, 535, "no"))
        self.assertEqual(json.loads(other.body())["status"], 535)

    def test_not_too_many(self) -> None:
        """Six in a minute, for each entry by itself; then it is said how long to wait."""
        for _ in range(6):
            self.assertEqual(self.send_test().status(), 200)
        refused = self.send_test()
        self.assertEqual((refused.status(), self.code(refused)), (429, "too_many_tests"))
        self.assertEqual(json.loads(refused.body())["error"]["args"], {"most": 6, "seconds": 60})
        self.assertEqual(self.send_test(1).status(), 200)
        self.clock.advance(61)
        self.assertEqual(self.send_test().status(), 200)
        self.assertEqual(len(self.sender.messages), 8)

    def test_an_entry_that_goes_away(self) -> None:
        """A test of an entry that is removed meanwhile is answered."""
        self.sender.answer = None
        peer = self.send_test()
        self.assertEqual(peer.read(), b"")
        self.service.alerts.reload(())
        self.assertEqual((peer.status(), self.code(peer)), (409, "test_cancelled"))
        gone = self.send_test()
        self.assertEqual((gone.status(), self.code(gone)), (404, "no_such_alert"))

    def test_what_is_no_entry(self) -> None:
        for index, status, code in (
            (2, 404, "no_such_alert"),
            (-1, 404, "no_such_alert"),
            ("0", 400, "bad_request"),
            (True, 400, "bad_request"),
            (None, 400, "bad_request"),
        ):
            peer = self.send_test(index)
            self.assertEqual((peer.status(), self.code(peer)), (status, code), index)
        peer = self.bearer("alerts", "POST", {"index": 0})
        self.assertEqual(peer.status(), 404)
        self.assertEqual(self.bearer("alerts/test").status(), 404)
        self.assertEqual(self.sender.messages, [])

    def test_who_may(self) -> None:
        """Strangers and other sites may neither look nor send."""
        for method, path in (("GET", "alerts"), ("POST", "alerts/test")):
            peer = self.api(path, method, None if method == "GET" else {"index": 0}, **OURS)
            self.assertEqual((peer.status(), self.code(peer)), (401, "not_logged_in"))
        cookie = self.cookie()
        peer = self.api("alerts/test", "POST", {"index": 0}, Cookie=cookie, Origin="http://localhost")
        self.assertEqual((peer.status(), self.code(peer)), (403, "foreign_origin"))
        self.assertEqual(self.sender.messages, [])
        self.assertEqual(self.api("alerts/test", "POST", {"index": 0}, Cookie=cookie, **OURS).status(), 200)
        self.assertNotIn(TOKEN, json.dumps(self.state()))
