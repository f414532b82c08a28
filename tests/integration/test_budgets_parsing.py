"""Messages that are dear to read, of a bot that may do nothing and of one that may; a witness beside them."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.integration.rawclient import RawClient, masked_frame
from tests.integration.running import Service
from tests.integration.shared import SharedTestCase
from tests.rounds import ROUNDS

TOML = """
[[accounts]]
type = "sandbox"
self_id = 10001
[[bots]]
name = "witness"
access_token = "witness"
[[bots]]
name = "nothing"
access_token = "nothing"
actions = { allow = [], rate = "1000/h" }
[[bots]]
name = "metered"
access_token = "metered"
actions = { rate = "2/h" }
[[bots]]
name = "array"
access_token = "array"
message_format = "array"
[[bots]]
name = "string"
access_token = "string"
message_format = "string"
"""
SIZE = 8 << 20
#: Seconds that nothing may take longer, and what one message may add to the memory, in bytes. Read by loops
#: of Python these messages took seconds and up to a gigabyte.
LONGEST = 2.5 if ROUNDS == 1 else 5.0  # in CI other tests compute at the same time
MOST_MEMORY = 200 << 20
FORM = "application/x-www-form-urlencoded"


def filled(head: str, unit: str, tail: str) -> str:
    return head + unit * ((SIZE - len(head) - len(tail)) // len(unit)) + tail


def sent(value: str) -> str:
    return f'{{"action":"send_private_msg","params":{{"user_id":20001,"message":{value}}},"echo":1}}'


#: Messages, with the retcode for a bot that may do everything.
MESSAGES: dict[str, tuple[str, int]] = {
    "text codes": (sent(filled('"', "[CQ:text,text=aaaaaaaaaaaaaaa]", '"')), 1400),
    "codes": (sent(filled('"', "[CQ:a]", '"')), 1400),
    "segments": (sent(filled("[", '{"type":"a"},', '{"type":"a"}]')), 1400),
    "texts": (sent(filled("[", '"a",', '"a"]')), 1400),
    "members": (filled('{"a":"\\ud800",', '"":0,', '"action":"x","echo":1}'), 1404),
    "ampersands": (sent(filled('"', "&amp;", '"')), 1400),
    "malformed": (filled('{"action":"x","a":[', '{"echo":[0,', "}"), 1400),
    "not an object": (filled("[", '"\\ud800",', "0]"), 1400),
    "operation": (
        filled(
            '{"action":".handle_quick_operation","params":{"context":{"post_type":"message",'
            '"message_type":"private","user_id":20001},"operation":{"reply":[',
            '{"type":"a"},',
            '{"type":"a"}]}},"echo":1}',
        ),
        1400,
    ),
}


class Witness(threading.Thread):
    """Asks for its status again and again; keeps the longest time that an answer took."""

    def __init__(self, service: Service) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._bot = RawClient(service, "/", {"Authorization": "Bearer witness"})
        self._over = threading.Event()
        self.longest = 0.0
        self.calls = 0

    def run(self) -> None:
        while not self._over.is_set():
            watch = self._service.stopwatch()
            self._bot.call("get_status", echo="w")
            self._bot.response()
            self.longest = max(self.longest, watch.seconds())
            self.calls += 1

    def __enter__(self) -> Witness:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self.join(15)
        self._bot.socket.close()


class ParsingTests(SharedTestCase):
    """One service; each test has connections of its own."""

    shared: Service

    def start_shared(self, folder: Path) -> Service:
        return Service(folder, TOML)

    def bot(self, name: str) -> RawClient:
        client = RawClient(self.shared, "/", {"Authorization": f"Bearer {name}"})
        self.addCleanup(client.socket.close)
        return client

    def peak(self) -> int:
        """The most memory that the process has had, in bytes."""
        status = Path(f"/proc/{self.shared.pid}/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def check(self, hungry: Any) -> Any:
        """Let a bot do something; nobody else waits for it, and the memory stays in its bounds."""
        before = max(self.peak(), self.shared.memory())
        with Witness(self.shared) as witness:
            calls = witness.calls
            result = hungry()
        self.assertGreater(witness.calls, calls)
        self.assertLess(witness.longest, LONGEST)
        self.assertLess(self.peak() - before, MOST_MEMORY)
        return result

    def test_of_a_bot_that_may_do_everything(self) -> None:
        """Each is refused, and says which bound it is over."""
        bot = self.bot("array")
        for name, (text, retcode) in MESSAGES.items():
            frame = masked_frame(text.encode())
            answer = self.check(lambda frame=frame: (bot.socket.sendall(frame), bot.response())[1])
            self.assertEqual(answer["retcode"], retcode, (name, answer["message"][:200]))

    def test_of_a_bot_that_may_do_nothing(self) -> None:
        """It is refused with 1403 before anything is read but the name, and with its echo."""
        bot = self.bot("nothing")
        for name, (text, _retcode) in MESSAGES.items():
            frame = masked_frame(text.encode())
            answer = self.check(lambda frame=frame: (bot.socket.sendall(frame), bot.response())[1])
            readable = name not in ("malformed", "not an object")
            self.assertEqual(answer["retcode"], 1403 if readable else 1400, name)
            self.assertEqual(answer.get("echo"), 1 if readable else None, name)

    def post(self, token: str, path: str, body: bytes, kind: str) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
        request = urllib.request.Request(f"http://127.0.0.1:{self.shared.port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())

    def test_forms(self) -> None:
        """A form over a bound is 400 with a sentence; of a bot that may do nothing it is not read."""
        form = b"a=" + b"%41" * (SIZE // 3)
        status, answer = self.check(lambda: self.post("witness", "/get_status", form, FORM))
        self.assertEqual((status, answer["retcode"]), (400, 1400))
        self.assertIn("a form may have 500000 percent escapes", answer["message"])
        status, answer = self.check(lambda: self.post("nothing", "/get_status", form, FORM))
        self.assertEqual((status, answer["retcode"]), (200, 1403))
        body = b"{" + b'"a":0,' * (SIZE // 6) + b'"x":"\\ud800"'
        status, answer = self.check(lambda: self.post("nothing", "/get_status", body, "application/json"))
        self.assertEqual((status, answer["retcode"]), (200, 1403))

    def test_the_rate_is_counted_once(self) -> None:
        """Of HTTP requests too, with parameters that can be read and that cannot; 1429 beyond."""
        statuses = [
            self.post("metered", "/get_status", b"{", "application/json"),
            self.post("metered", "/get_status", b"{}", "application/json"),
            self.post("metered", "/get_status", b"{", "application/json"),
        ]
        self.assertEqual(
            [(status, answer["retcode"]) for status, answer in statuses], [(400, 1400), (200, 0), (200, 1429)]
        )
        bot = self.bot("metered")
        bot.call(".handle_quick_operation", echo=1)
        self.assertEqual(bot.response()["retcode"], 1429)

    def test_events_of_an_implementation(self) -> None:
        """Events that are too much to convert reach bots as they came; others see no pause."""
        array, string = self.bot("array"), self.bot("string")
        for message in (
            "[CQ:text,text=aaaaaaaaaaaaaaa]" * (SIZE // 30),
            [{"type": "text", "data": {"text": "&"}}] * (SIZE // 40),
        ):
            event = {"post_type": "message", "message_type": "private", "user_id": 20001, "message": message}
            self.check(lambda event=event: self.shared.inject({**event, "self_id": 10001, "time": 1}))
            for bot in (array, string):
                self.assertTrue(bot.event(post_type="message")["message"] == message)
        status, metrics = self.shared.http("/metrics")
        self.assertEqual(status, 200)
        self.assertIn("\nlgtwist_unconverted_total 2.0\n", metrics)
