"""``lgtwist alert-test`` without processes: what it says, and its exit status."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.alerts.alert import ReceiverAnswer
from lgtwist.alerts.settings import AlertSettings, MailSettings, ReceiverKind
from lgtwist.app import alert_test_command
from lgtwist.app.alert_test_command import NoAlertTest, send_tests, try_alerts
from lgtwist.app.configuration_file import ConfigurationFile
from lgtwist.app.data_dir import DataDir
from lgtwist.app.running_api import CannotAsk, RunningApi
from lgtwist.command import main
from tests.console.test_alerts import FakeSender

ENTRIES = """
[[alerts]]
kind = "bark"
url = "https://api.day.app/key-of-the-device-0123456789"
[[alerts]]
kind = "email"
server = "smtp.example.org"
sender = "me@example.org"
to = "you@example.org"
"""


class AlertTestTestCase(SynchronousTestCase):
    toml = ENTRIES

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "lgtwist.toml"
        self.write(self.toml)
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def write(self, more: str) -> None:
        self.path.write_text(f'data_dir = "{self.folder / "data"}"\n{more}')

    def try_alerts(self, index: int | None = None) -> bool:
        return try_alerts(
            ConfigurationFile.find(str(self.path)), index, self.lines.append, self.warnings.append
        )


class SendingTests(AlertTestTestCase):
    """The command sends by itself: no service has the lock of ``data_dir``."""

    def setUp(self) -> None:
        super().setUp()
        self.sender = FakeSender()

    def send(self, *chosen: int) -> bool:
        settings = [
            AlertSettings(ReceiverKind.BARK, url="https://api.day.app/key-of-the-device"),
            AlertSettings(
                ReceiverKind.EMAIL,
                mail=MailSettings("smtp.qq.com", 465, True, None, None, "a@b.c", ("a@b.c",)),
            ),
        ]
        clock = Clock()
        coroutine = send_tests(
            settings,
            chosen,
            self.lines.append,
            clock=clock,
            wall_clock=lambda: 1.0,
            make_sender=lambda _settings: self.sender,
        )
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def test_a_line_for_each(self) -> None:
        """One after the other, with the host and the answer, without the key."""
        self.assertTrue(self.send(0, 1))
        self.assertEqual(
            self.lines,
            [
                "alerts[0] bark api.day.app: accepted (200: fine)",
                "alerts[1] email smtp.qq.com: accepted (200: fine)",
            ],
        )
        self.assertEqual(len(self.sender.messages), 2)

    def test_one_that_refuses(self) -> None:
        """The others are sent to, and the whole is none that was accepted."""
        answers = [ReceiverAnswer(False, 0, "cannot connect"), ReceiverAnswer(True, 250, "")]

        async def send(_message: object) -> ReceiverAnswer:
            return answers.pop(0)

        self.patch(self.sender, "send", send)
        self.assertFalse(self.send(0, 1))
        self.assertEqual(
            self.lines,
            [
                "alerts[0] bark api.day.app: not accepted (cannot connect)",
                "alerts[1] email smtp.qq.com: accepted (250)",
            ],
        )

    def test_all_or_one(self) -> None:
        """Without an index all entries are meant; nothing is made in ``data_dir``."""
        sent: list[Any] = []

        def sent_here(_settings: Any, chosen: Any, _say: Any) -> bool:
            sent.append(list(chosen))
            return True

        self.patch(alert_test_command, "_sent_here", sent_here)
        self.assertTrue(self.try_alerts())
        self.assertTrue(self.try_alerts(1))
        self.assertEqual(sent, [[0, 1], [1]])
        self.assertFalse((self.folder / "data").exists())


class MisuseTests(AlertTestTestCase):
    def ended(self, *arguments: str) -> tuple[Any, str]:
        """The exit status, and stderr; of ``sys.exit(text)`` the text."""
        self.patch(sys, "stderr", io.StringIO())
        found = self.assertRaises(SystemExit, main, ["alert-test", "--config", str(self.path), *arguments])
        return found.code, sys.stderr.getvalue()  # type: ignore[attr-defined]

    def test_no_such_entry(self) -> None:
        """A mistake on the command line: status 2."""
        self.assertEqual(
            self.ended("2"),
            (2, "lgtwist alert-test: there is no alerts[2]; the first is 0, the last 1\n"),
        )
        code, text = self.ended("first")
        self.assertEqual(code, 2)
        self.assertIn('expected a whole number, got "first"', text)

    def test_nothing_to_send_to(self) -> None:
        """Without any it is said where to read on; a wrong configuration is told as by the other commands."""
        self.write("")
        code, _text = self.ended()
        self.assertIn("has no [[alerts]]; docs/alerts.md says how to begin", str(code))
        self.write('[[alerts]]\nkind = "pigeon"\n')
        code, _text = self.ended()
        self.assertIn("alerts[0].kind", str(code))


class AskingTests(AlertTestTestCase):
    """A service has the lock: it is asked."""

    def setUp(self) -> None:
        super().setUp()
        self.write(f'[server]\nadmin_token = "of-the-admin"\n{self.toml}')
        lock = DataDir(str(self.folder / "data"))
        lock.lock()
        self.addCleanup(lock.unlock)
        self.answers: list[Any] = []
        self.asked: list[Any] = []

        def ask(_api: Any, method: str, path: str, value: Any = None, *, patience: float) -> Any:
            self.asked.append((method, path, value))
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.patch(RunningApi, "ask", ask)

    def entries(self, count: int) -> Any:
        entries = [{"index": n, "kind": "bark", "host": "api.day.app"} for n in range(count)]
        return 200, {"entries": entries, "alarming": [], "deliveries": []}

    def test_answers(self) -> None:
        refused = {"error": {"code": "too_many_tests", "args": {}, "sentence": "wait 7 s"}}
        self.answers = [
            self.entries(2),
            (429, refused),
            (200, {"accepted": True, "status": 200, "answer": ""}),
        ]
        self.assertFalse(self.try_alerts())
        self.assertEqual(
            self.lines,
            ["alerts[0] bark api.day.app: not sent: wait 7 s", "alerts[1] bark api.day.app: accepted (200)"],
        )
        self.assertEqual(
            self.asked,
            [
                ("GET", "alerts", None),
                ("POST", "alerts/test", {"index": 0}),
                ("POST", "alerts/test", {"index": 1}),
            ],
        )
        self.assertEqual(self.warnings, [])

    def test_another_configuration_runs(self) -> None:
        """What runs is what is tried; that the file has other entries is said."""
        self.answers = [self.entries(1), (200, {"accepted": True, "status": 200, "answer": "ok"})]
        self.assertTrue(self.try_alerts())
        self.assertEqual(len(self.lines), 1)
        self.assertIn("the running lgtwist has 1 [[alerts]], the file 2", self.warnings[0])
        self.answers = [self.entries(0)]
        self.assertIn("has no [[alerts]]", str(self.assertRaises(NoAlertTest, self.try_alerts)))

    def test_no_answer(self) -> None:
        """What cannot be asked, or read, is one sentence."""
        for answer in (
            CannotAsk("it does not answer"),
            (403, {"error": {"sentence": "wrong token"}}),
            (200, {}),
            (200, None),
        ):
            self.answers = [answer]
            self.assertTrue(str(self.assertRaises(NoAlertTest, self.try_alerts)))
        self.answers = [self.entries(2), (200, ["?"])]
        self.assertIn("cannot be read", str(self.assertRaises(NoAlertTest, self.try_alerts)))

    def test_without_a_console(self) -> None:
        """The service cannot be asked: the command sends, and says so."""
        self.write(f"[console]\nenabled = false\n{self.toml}")
        self.patch(alert_test_command, "_sent_here", lambda *_args: True)
        self.assertTrue(self.try_alerts())
        self.assertIn("its console is off", self.warnings[0])
        self.assertEqual(self.asked, [])
