"""What each bot may see, by every transport and in every spelling."""

from __future__ import annotations

import time

from tests.integration.rawclient import RawClient
from tests.integration.rights import (
    ALICE,
    BOB,
    GROUP,
    OTHER_GROUP,
    SANDBOX,
    RightsTestCase,
    group_message,
)
from tests.integration.running import wait_until


class Events(RightsTestCase):
    """Messages and notices of one group and one person (``docs/rights.md``)."""

    FILTERED = (
        group_message(BOB, "other user"),
        group_message(ALICE, "other group", OTHER_GROUP),
        {**group_message(ALICE, "private"), "message_type": "private", "group_id": None},
        {k: v for k, v in group_message(ALICE, "no group").items() if k != "group_id"},
        {k: v for k, v in group_message(ALICE, "no user").items() if k != "user_id"},
        group_message(ALICE, "not a number", f"{GROUP}x"),
        group_message(ALICE, "a list", [GROUP]),
        {**group_message(ALICE, "request"), "post_type": "request", "request_type": "group"},
        {**group_message(ALICE, "odd"), "post_type": "Message"},
        {**group_message(BOB, "nested"), "sender": {"user_id": ALICE}, "group": {"group_id": GROUP}},
    )
    PASSING = (
        group_message(ALICE, "passes"),
        group_message(ALICE, "as text", str(GROUP)),
        {**group_message(ALICE, "notice"), "post_type": "notice", "notice_type": "group_card"},
        {**group_message(ALICE, "sent"), "post_type": "message_sent"},
    )

    def publish(self, end: str) -> None:
        for event in (*self.FILTERED, *self.PASSING, {**group_message(ALICE, end)}):
            self.service.inject(event)

    @staticmethod
    def heard(client: RawClient, end: str) -> tuple[list[str], int]:
        """The words of the events that come until the last one, and how many heartbeats came."""
        words: list[str] = []
        beats = 0
        while True:
            message = client.message()
            if message.get("post_type") == "meta_event":
                beats += message["meta_event_type"] == "heartbeat"
            elif "word" in message:
                words.append(message["word"])
                if words[-1] == end:
                    return words, beats

    def test_events(self) -> None:
        """An event outside never reaches the bot, by any transport; the bot beside it gets all."""
        peer = self.peer()
        wait_until("the webhook is there", lambda: self.receiver.posts)
        self.service.inject(group_message(ALICE, "before the events"))
        self.heard(peer, "before the events")
        ears, event_only = self.dial("ears"), self.dial("ears", f"/{SANDBOX}/event")
        free, groups, deaf = self.dial("free"), self.dial("groups"), self.dial("deaf")
        self.publish("end of events")
        expected = [event["word"] for event in self.PASSING] + ["end of events"]
        for client in (ears, event_only, peer):
            self.assertEqual(self.heard(client, "end of events")[0], expected)
        everything = [event["word"] for event in self.FILTERED]
        self.assertEqual(self.heard(free, "end of events")[0], everything + expected)
        heard, _beats = self.heard(groups, "end of events")
        in_group = ["other user", "no user", "request", "odd", "nested"]
        self.assertEqual(heard, in_group + expected)
        self.receiver.wait("end of events")
        posted = [post.event["word"] for post in self.receiver.posts if "word" in post.event]
        self.assertEqual(posted[-len(expected) :], expected)
        for word in everything:
            self.assertNotIn(word, posted)
        deaf_heard = [deaf.message() for _ in range(4)]
        self.assertEqual([one["meta_event_type"] for one in deaf_heard], ["lifecycle"] + ["heartbeat"] * 3)

    def test_heartbeats(self) -> None:
        """Whatever is filtered, lifecycles and heartbeats come, over every transport."""
        first = self.dial("ears")
        self.assertEqual(first.message()["meta_event_type"], "lifecycle")
        posts = len(self.receiver.of("heartbeat"))
        for client in (first, self.peer(), self.dial("deaf")):
            for _ in range(2):
                self.assertTrue(client.event(meta_event_type="heartbeat")["status"]["online"])
        wait_until("heartbeats are posted", lambda: len(self.receiver.of("heartbeat")) >= posts + 2)

    def test_event_spellings(self) -> None:
        """Neither duplicate keys nor escapes bring an event past the lists that its readers see outside."""
        ears = self.dial("ears")
        sent = (
            f'{{"post_type":"message","group_id":{GROUP},"user_id":{ALICE},"user_id":{BOB},"word":"dup"}}',
            f'{{"post_type":"message","group_id":{GROUP},"user_id":{ALICE},"user\\u005fid":{BOB},"word":"esc"}}',
            f'{{"post_type":"message","post_type":"request","group_id":{GROUP},"user_id":{ALICE},"word":"type"}}',
            f'{{"post_type":"meta_event","post_type":"message","group_id":1,"user_id":{ALICE},"word":"meta"}}',
            f'{{"post_type":"message","group_id":1,"group_id":{GROUP},"user_id":{ALICE},"word":"inside"}}',
        )
        for event in sent:
            status, answer = self.service.http(f"/sandbox/{SANDBOX}/event", event.encode())
            self.assertEqual(status, 200, answer)
        self.service.inject(group_message(ALICE, "end of spellings"))
        began = time.monotonic()
        self.assertEqual(self.heard(ears, "end of spellings")[0], ["inside", "end of spellings"])
        self.assertLess(time.monotonic() - began, 10)
