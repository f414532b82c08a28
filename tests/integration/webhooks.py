"""What the tests of HTTP POST share: a service that posts, and one receiver."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.integration.faulty import quiet
from tests.integration.listening_bots import (
    EMPTY,
    Behaviour,
    Receiver,
)
from tests.integration.running import Service
from tests.integration.shared import SharedTestCase

ALICE, BOB, CAROL, GROUP = 20001, 20002, 20003, 30001

SECRET = "a secret, ein Geheimnis"

#: What a post may take here (seconds).
TIMEOUT = 1.0

TOML = """
[[accounts]]
type = "sandbox"
self_id = 10001
[[accounts]]
type = "sandbox"
self_id = 10002
[[bots]]
name = "hook"
connection = "http-post"
url = "http://127.0.0.1:{port}/hook?x=1"
secret = "{secret}"
timeout = "{timeout}"
access_token = "hook's token"
[[bots]]
name = "other"
"""


def metric(service: Service, name: str, **labels: Any) -> float:
    """One series of ``/metrics``."""
    _status, text = service.http("/metrics")
    for line in str(text).splitlines():
        found = re.match(rf"lgtwist_{name}(?:\{{(.*)\}})? (\S+)$", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            return float(found[2])
    raise AssertionError(f"no metric {name} with {labels}")


class Hooked:
    """A service, and the receiver that it posts to.

    :param timeout: seconds that a post may take.
    """

    def __init__(self, folder: Path, timeout: float = TIMEOUT) -> None:
        self.receiver = Receiver()
        try:
            toml = TOML.format(port=self.receiver.port, secret=SECRET, timeout=f"{round(timeout * 1000)}ms")
            self.service = Service(folder, toml + quiet(max_message="1MiB"))
        except BaseException:
            self.receiver.end()
            raise

    def end(self) -> None:
        """End both."""
        self.service.clean_up()
        self.receiver.end()


class WebhookTestCase(SharedTestCase):
    """Tests that share a service without heartbeats, and a receiver, and leave both good."""

    def start_shared(self, folder: Path) -> Hooked:
        return Hooked(folder)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.service
        self.receiver: Receiver = self.shared.receiver
        self._log_began = len(self.service.log())
        self._words = 0
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        self.receiver.usual = EMPTY
        self.assertTrue(self.service.alive())
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, self.service.log())

    def new_log(self) -> str:
        """What was logged since this test began."""
        return self.service.log()[self._log_began :]

    def dropped(self) -> float:
        return metric(self.service, "dropped_events_total", bot="hook")

    def word(self) -> str:
        """A word that no other event has."""
        self._words += 1
        return f"<{self.id().rpartition('.')[2]} {self._words}>"

    def inject(self, word: str, self_id: int = 10001) -> None:
        self.service.inject({"post_type": "notice", "notice_type": "test", "word": word}, self_id)

    def ask_behaving(self, behaviour: Behaviour) -> str:
        """An event that the receiver answers like this."""
        word = self.word()
        self.receiver.once[word] = behaviour
        self.inject(word)
        self.receiver.wait(word)
        return word

    def assert_next_arrives(self, patience: float = TIMEOUT + 1.0) -> None:
        """The next event comes soon, and is confirmed."""
        word = self.word()
        self.inject(word)
        self.receiver.wait(word, patience)

    def last_message(self) -> int:
        _status, world = self.service.http("/sandbox/10001")
        return int(world["last_message_id"])
