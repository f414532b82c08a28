"""Real bots of the registries, each in an environment of its own, talking with people of the sandbox.

Only where LGTWIST_TEST_ROUNDS is set (CI). All are attached to one service at once, to an account each.
"""

from __future__ import annotations

import signal
from typing import Any

from tests.integration.attached import ALICE, AttachedTestCase, Way
from tests.integration.running import wait_until
from tests.rounds import combination

GROUP = 30001
#: A person waits no longer for an answer (seconds).
SOON = 5.0
LIMITS = '[limits]\nheartbeat_interval = "1s"\n'

AT_LEAST_ONCE = 'delivery = "at-least-once"\n'
REVERSE = 'connection = "reverse-websocket"\nreconnect = {{ min = "200ms", max = "1s" }}\n'
NEKOMOE = "ws://127.0.0.1:{port}/onebot/v11/ws"
POST = (
    'connection = "http-post"\nurl = "http://127.0.0.1:{port}/"\nsecret = "s"\nmessage_format = "string"\n'
    + AT_LEAST_ONCE
)
QCRBOT = {"URL": "<WS>", "RECONNECT_DELAY": "0.2", "RECONNECT_ATTEMPTS": "99"}
CQ_WEBSOCKET = {"BASE_URL": "<WS>", "RECONNECT_DELAY": "200"}

#: Of those that show no token there can be one: it has the accounts of all that dial, or call, without one.
OPEN = f'[[bots]]\nname = "open"\naccounts = [10014, 10016, 10018]\n{AT_LEAST_ONCE}'

WAYS = (
    Way(
        "nekomoe-reverse",
        "nekomoe",
        10011,
        {"ACCESS_TOKEN": "<TOKEN>"},
        REVERSE + f'url = "{NEKOMOE}"\n' + AT_LEAST_ONCE,
    ),
    Way(
        "nekomoe-reverse-pair",
        "nekomoe",
        10012,
        {},
        # It cannot answer before its API link is there again; on a busy machine that is later than a second.
        REVERSE
        + f'api_url = "{NEKOMOE}"\nevent_url = "{NEKOMOE}"\nreplay = {{{{ delay = "5s" }}}}\n'
        + AT_LEAST_ONCE,
        open=True,
    ),
    Way(
        "cqhttp",
        "cqhttp",
        10013,
        {"ACCESS_TOKEN": "<TOKEN>", "SECRET": "s", "API_ROOT": "<HTTP>/"},
        POST,
        quick=True,
    ),
    Way("cqhttp-open", "cqhttp", 10014, {"SECRET": "s", "API_ROOT": "<HTTP>/"}, POST, quick=True, open=True),
    Way("qcrbot", "qcrbot", 10015, {"ACCESS_TOKEN": "<TOKEN>", **QCRBOT}, AT_LEAST_ONCE),
    Way("qcrbot-open", "qcrbot", 10016, QCRBOT, None, open=True),
    Way("cq-websocket", "cq-websocket", 10017, {"ACCESS_TOKEN": "<TOKEN>", **CQ_WEBSOCKET}, AT_LEAST_ONCE),
    Way("cq-websocket-open", "cq-websocket", 10018, CQ_WEBSOCKET, None, open=True),
)


@combination
class Programs(AttachedTestCase):
    """Tests that leave the service and all programs running and attached."""

    ways = WAYS
    toml = OPEN + LIMITS

    def heard(self, way: Way, words: str, group: int | None = None) -> list[dict[str, Any]]:
        """The segments of the one answer to something that Alice says."""
        asked = self.service.say(ALICE, words, group_id=group, self_id=way.self_id)

        def answers() -> list[dict[str, Any]]:
            said = self.service.transcript(asked, self_id=way.self_id)
            return [message for message in said if message["from_bot"]]

        (answer,) = wait_until(f"an answer to {words!r}", answers, SOON)
        self.assertEqual(answer.get("group_id"), group)
        self.asked = asked
        return list(answer["message"])

    def converse(self, way: Way) -> None:
        """A text, then a reply with an at and an image, to Alice and in the group; then a quick operation."""
        for group in (None, GROUP):
            words = f"ping 你好 & [x] {group}"
            (text,) = self.heard(way, words, group)
            self.assertEqual(text, {"type": "text", "data": {"text": words.replace("ping", "pong")}})
            parts = self.heard(way, "show 图", group)
            kinds = [part["type"] for part in parts]
            self.assertEqual([kind for kind in kinds if kind != "text"], ["reply", "at", "image"])
            self.assertEqual(parts[1]["data"]["qq"], str(ALICE))
            self.assertEqual("".join(part["data"].get("text", "") for part in parts).strip(), "图")
            if way.quick:
                parts = self.heard(way, "quick 一", group)
                self.assertEqual(parts[-1]["data"]["text"].strip(), "quick 一")
                self.assertEqual([part["type"] for part in parts[:-1]], ["at"] if group else [])

    def test_conversation(self) -> None:
        """With a token and without, to a person and in the group, texts and segments."""
        self.with_each(self.attached)
        self.with_each(self.converse)

    def back_by_itself(self) -> None:
        """Start the service again: every program is back, and none has been started anew."""
        pids = {way.name: program.pid for way, program in self.frameworks.items()}
        self.service.start()
        self.with_each(self.attached)
        self.assertTrue(all(program.alive() for program in self.frameworks.values()))
        self.assertEqual(pids, {way.name: program.pid for way, program in self.frameworks.items()})

    def test_service_killed(self) -> None:
        self.with_each(self.attached)
        self.service.kill()
        self.back_by_itself()

    def test_service_stopped(self) -> None:
        self.with_each(self.attached)
        self.service.stop(signal.SIGTERM)
        self.back_by_itself()

    def test_program_killed(self) -> None:
        """What is said while the program is dead is answered when it is back, each at least once."""
        self.with_each(self.attached)
        for program in self.frameworks.values():
            program.kill()
        words = [f"meanwhile {number}" for number in range(5)]
        before = {}
        for way in self.frameworks:
            before[way] = self.service.say(ALICE, "ping " + words[0], self_id=way.self_id)
            for more in words[1:]:
                self.service.say(ALICE, f"ping {more}", self_id=way.self_id)
        for program in self.frameworks.values():
            program.start()

        def all_answered(way: Way) -> None:
            wanted = {f"pong {word}" for word in words}
            wait_until("nothing is missing", lambda: wanted <= set(self.said(way, before[way])), 15.0)

        self.with_each(all_answered)
