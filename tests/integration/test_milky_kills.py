"""SIGKILL of lgtwist and of a Milky server under traffic, and broken streams: nothing is missing afterwards.

People go on talking all the time, also while nobody listens; what was missed is filled in. The bot behind
lgtwist is one with at-least-once delivery.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.at_least_once import Bot, at_least_once, has_all, journalled, lines
from tests.integration.rawclient import CLOSE, PING, PONG, TEXT, Ended, RawClient
from tests.integration.running import Service, wait_until
from tests.milky.fake import FakeMilky
from tests.rounds import SOCKET_ROUNDS, combination

SELF, FRIEND, MEMBER = 10001, 20001, 20002
#: Conversations, and who talks there.
TALKS = (("group", 30001, FRIEND), ("group", 30002, FRIEND), ("friend", FRIEND, FRIEND))
#: Messages a second in all of them, and messages of each while nobody listens: more than one page of history.
RATE, MISSED = 100, 45
#: What was delivered so many seconds before a SIGKILL of lgtwist may come again.
AGAIN = 3.0
#: Kills and breaks of one test, each of another kind than the one before.
TROUBLES = 4 * SOCKET_ROUNDS

#: A message: its conversation (``group/30001``), and its sequence number there.
Key = tuple[str, int]


class MessageReader(Bot):
    """A bot that remembers messages: ``seen`` has their keys, ``ids`` the ``message_id`` of each."""

    def __init__(self, service: Service) -> None:
        self.ids: dict[Key, set[int]] = {}
        super().__init__(service, "/", key=key)

    def _read(self, client: RawClient, life: list[Any]) -> None:
        opcode, payload = client.frame()
        if opcode == TEXT:
            event = json.loads(payload)
            if event.get("post_type") == "message":
                found = key(event)
                life.append(found)
                self.ids.setdefault(found, set()).add(event["message_id"])
        elif opcode == PING:
            client.send(payload, PONG)
        elif opcode == CLOSE:
            raise Ended("closed")


def key(event: dict[str, Any]) -> Key:
    """Which message an event is."""
    if event["message_type"] == "group":
        return f"group/{event['group_id']}", event["message_seq"]
    return f"friend/{event['user_id']}", event["message_seq"]


class Talk(threading.Thread):
    """People who talk all the time: one message here, one there."""

    def __init__(self, fake: FakeMilky) -> None:
        super().__init__(daemon=True)
        self._fake = fake
        self._ending = threading.Event()
        self._free = threading.Lock()
        self.said = 0
        self.faults: list[str] = []

    def run(self) -> None:
        """Talk until :meth:`end`."""
        while not self._ending.wait(1 / RATE):
            with self._free:
                try:
                    self.say_one()
                except (OSError, ValueError):
                    continue  # the server is killed: nobody knows whether it was said
                except AssertionError as error:
                    self.faults.append(str(error))

    def say_one(self) -> None:
        """Say something in the next conversation."""
        scene, peer_id, sender_id = TALKS[self.said % len(TALKS)]
        self.said += 1
        self._fake.say(scene, peer_id, f"number {self.said}", sender_id)

    def alone(self, count: int) -> None:
        """Say so much in each conversation at once, while nothing else is said."""
        with self._free:
            for _ in range(count * len(TALKS)):
                self.say_one()

    def end(self) -> None:
        """Say nothing more."""
        self._ending.set()
        self.join(20)


class Troubles(SynchronousTestCase):
    """One kind of implementation; others have the same tests."""

    habit = ""
    stream = "websocket"

    def setUp(self) -> None:
        self.seed = random.randrange(1 << 32)
        self.random = random.Random(self.seed)
        folder = Path(self.mktemp()).absolute()
        self.fake = FakeMilky(folder / "milky", habit=self.habit)
        self.addCleanup(self.fake.end)
        toml = "\n".join(
            [
                "[[accounts]]",
                'type = "milky"',
                f"self_id = {SELF}",
                f'url = "{self.fake.url}"',
                f'event_stream = "{self.stream}"',
                'reconnect = { min = "100ms", max = "200ms" }',
                "back_fill = { max_messages = 1000 }",
                at_least_once(),
            ]
        )
        self.service = Service(folder / "service", toml)
        self.addCleanup(self.service.clean_up)
        wait_until("the account is up", self.service.ready)
        self.reader = MessageReader(self.service)
        self.addCleanup(self.reader.end)
        self.talk = Talk(self.fake)
        self.addCleanup(self.talk.end)
        #: When lgtwist was killed, in seconds since the epoch.
        self.kills: list[float] = []

    # -- troubles

    def kill_service(self) -> None:
        """Kill lgtwist, and start it again when more was said than a page of history has."""
        self.service.kill()
        self.kills.append(time.time())
        self.talk.alone(MISSED)
        self.service.start()

    def kill_server(self) -> None:
        """Kill the implementation; it misses what is said until it is logged in again."""
        self.fake.kill()
        self.fake.switch_at_start(streams_open=False)
        self.fake.start()
        self.talk.alone(MISSED)
        self.fake.switch(streams_open=True)

    def break_streams(self) -> None:
        """End the event streams, and open none while people talk."""
        self.fake.switch(streams_open=False)
        self.talk.alone(MISSED)
        self.fake.switch(streams_open=True)

    def lose_the_bot(self) -> None:
        """End the bot's connection."""
        self.reader.reset()

    def wait_flow(self) -> None:
        """Until the account is up, and what is said reaches the bot again."""
        wait_until("the account is up", self.service.ready)
        self.fake.wait_stream()
        said = self.talk.said
        wait_until("people talk", lambda: self.talk.said > said + len(TALKS))
        before = len(self.reader.seen)
        wait_until("the bot hears people", lambda: len(self.reader.seen) > before)

    # -- what is said, and what came of it

    def histories(self) -> dict[str, dict[int, dict[str, Any]]]:
        """What was said, by conversation and sequence number."""
        made = {}
        for scene, peer_id, _sender in TALKS:
            history = self.fake.history(scene, peer_id)
            made[f"{scene}/{peer_id}"] = {one["message_seq"]: one for one in history}
        return made

    def messages(self) -> list[dict[str, Any]]:
        """The messages in the journal, in order."""
        events = [json.loads(payload) for payload in journalled(self.service, SELF)]
        return [event for event in events if event["post_type"] == "message"]

    def test_nothing_is_missing(self) -> None:
        """Nothing is missing, in order by conversation; what is repeated was fresh at a kill of lgtwist."""
        self.talk.start()
        self.wait_flow()
        kinds: list[Callable[[], None]] = []
        while len(kinds) < TROUBLES:
            four = [self.kill_service, self.kill_server, self.break_streams, self.lose_the_bot]
            kinds += self.random.sample(four, len(four))
        note = f"seed {self.seed}: {[kind.__name__ for kind in kinds]}"
        for kind in kinds:
            kind()
            self.wait_flow()
            time.sleep(self.random.uniform(0, 0.3))
        self.talk.end()
        self.assertEqual([], self.talk.faults)
        histories = self.histories()
        everything = {(name, seq) for name, history in histories.items() for seq in history}
        try:
            wait_until(
                "everything comes", lambda: everything <= {key(event) for event in self.messages()}, 30
            )
        except AssertionError as error:
            missing = sorted(everything - {key(event) for event in self.messages()})
            raise AssertionError(
                f"{note}: missing {missing[:10]} of {len(missing)}: {error}\n{self.tail()}"
            ) from None
        wait_until("the bot has confirmed all", lambda: has_all(self.service, account=SELF), 30)
        messages = self.messages()
        self.assertEqual(everything, {key(event) for event in messages}, note)
        late = [event for event in messages if event.get("replayed")]
        breaks = [kind for kind in kinds if kind != self.lose_the_bot]
        self.assertGreaterEqual(len(late), len(breaks) * MISSED * len(TALKS), note)
        self.look_at_order(messages, histories, note)
        self.look_at_ids(messages, note)
        self.assertEqual(everything, set(self.reader.seen), note)
        self.assertEqual([], self.fake.broken_rules(), note)
        for bad in ("Traceback", "Unhandled", "malformed"):
            self.assertEqual([], lines(self.service.log(), bad), note)

    def look_at_order(
        self,
        messages: list[dict[str, Any]],
        histories: dict[str, dict[int, dict[str, Any]]],
        note: str,
    ) -> None:
        """First occurrences are in order; repeats are of what was fresh when lgtwist was killed."""
        newest: dict[str, int] = {}
        seen: set[Key] = set()
        repeated = []
        for event in messages:
            name, seq = found = key(event)
            if found in seen:
                repeated.append(found)
                continue
            seen.add(found)
            self.assertGreater(seq, newest.get(name, 0), f"{note}: {name} is out of order")
            newest[name] = seq
        for name, seq in repeated:
            said = histories[name][seq]["time"]
            fresh = [one for one in self.kills if one - AGAIN - 1 <= said <= one + 1]
            self.assertTrue(fresh, f"{note}: {name} {seq} came again, and was not fresh")

    def look_at_ids(self, messages: list[dict[str, Any]], note: str) -> None:
        """A message has one id, no other has it, and it leads back to the message."""
        ids: dict[int, Key] = {}
        by_key: dict[Key, int] = {}
        for event in messages:
            found, number = key(event), event["message_id"]
            self.assertEqual(found, ids.setdefault(number, found), note)
            self.assertEqual(number, by_key.setdefault(found, number), note)
        self.assertEqual({found: {number} for found, number in by_key.items()}, self.reader.ids, note)
        client = RawClient(self.service, "/")
        try:
            for found in self.random.sample(sorted(by_key), 6):
                answer = client.ask("get_msg", message_id=by_key[found])
                self.assertEqual(
                    (found[1], by_key[found]), (answer["data"]["real_id"], answer["data"]["message_id"])
                )
        finally:
            client.socket.close()

    def tail(self) -> str:
        """The end of lgtwist's log."""
        return self.service.log()[-3000:]


@combination
class LagrangeTroubles(Troubles):
    habit = "lagrange"


@combination
class LLBotTroubles(Troubles):
    habit = "llbot"


@combination
class YogurtTroubles(Troubles):
    habit = "yogurt"
    stream = "sse"
