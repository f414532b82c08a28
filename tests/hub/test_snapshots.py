"""What can be seen of an account from outside: its last event, its open links, the link that ended last."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import Channel
from lgtwist.hub.snapshots import EndedLink, LastEvent, OpenLink
from lgtwist.onebot.event import read_event
from lgtwist.runtime.turns import FlushScheduler
from tests.hub.fakes import FakeLink, checked_link

#: Seconds since the epoch when the clock stands at zero.
EPOCH = 1_700_000_000.0


class SnapshotTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account(10001, self.clock, lambda: EPOCH + self.clock.seconds())
        self.links = self.account.links

    def open(self, via: str = "ws://127.0.0.1:1/", channel: Channel = Channel.BOTH) -> FakeLink:
        link: FakeLink = checked_link(self.account)
        self.links.opened(link, channel, via)
        return link

    def publish(self, **event: Any) -> None:
        self.account.publish(json.dumps(event).encode())

    def ended(self) -> tuple[str, str, int | None, str]:
        last = self.links.last_ended
        assert last is not None
        return last.via, last.channel, last.code, last.reason


class LastEventTests(SnapshotTests):
    def test_none_before_the_first(self) -> None:
        """There is none before the first event."""
        self.assertIsNone(self.account.last_event)

    def test_the_newest(self) -> None:
        """It is the newest event that was handed to bots, with its time and kind."""
        self.clock.advance(5)
        self.publish(post_type="message", message_type="group")
        self.assertEqual(self.account.last_event, LastEvent(time=EPOCH + 5, post_type="message", detail=""))
        self.clock.advance(5)
        self.publish(post_type="notice", notice_type="group_upload")
        wanted = LastEvent(time=EPOCH + 10, post_type="notice", detail="group_upload")
        self.assertEqual(self.account.last_event, wanted)
        self.assertEqual(
            json.loads(msgspec.json.encode(wanted)),
            {"time": EPOCH + 10, "post_type": "notice", "detail": "group_upload"},
        )

    def test_several_in_one_read(self) -> None:
        """Of the events of one read it is the last, also where it is a meta event."""
        scheduler = FlushScheduler(self.clock)
        self.account = Account(10001, self.clock, self.clock.seconds, scheduler=scheduler)
        for last in ("notice", "meta_event"):
            scheduler.begin_read()
            self.publish(post_type="message")
            self.publish(post_type=last)
            scheduler.read_ended()
            self.assertEqual(self.account.last_event, LastEvent(time=0.0, post_type=last, detail=""))

    def test_invented_types(self) -> None:
        """Of types that a peer invented 64 printable characters are kept."""
        self.publish(post_type="\n" + "x" * 100_000)
        last = self.account.last_event
        assert last is not None
        self.assertEqual((last.post_type, last.detail), ("\ufffd" + "x" * 63, ""))
        self.publish(post_type="notice", notice_type="y" * 100_000)
        self.assertEqual(self.account.fan_out.last_event, (EPOCH, "notice", "y" * 64))

    def test_heartbeats_of_the_implementation(self) -> None:
        """What is not handed to bots, such as a heartbeat, is none."""
        self.links.event_received(read_event(b'{"post_type":"meta_event","meta_event_type":"heartbeat"}'))
        self.assertIsNone(self.account.last_event)


class LinkTests(SnapshotTests):
    def test_open_links(self) -> None:
        """Each open link is listed with how it is reached, its channel and since when, the oldest first."""
        self.assertEqual(self.links.open_links(), [])
        self.clock.advance(1)
        self.open("ws://127.0.0.1:1/api", Channel.ACTIONS)
        self.clock.advance(1)
        self.open("ws://127.0.0.1:1/event", Channel.EVENTS)
        self.assertEqual(
            self.links.open_links(),
            [
                OpenLink(via="ws://127.0.0.1:1/api", channel="actions", since=EPOCH + 1),
                OpenLink(via="ws://127.0.0.1:1/event", channel="events", since=EPOCH + 2),
            ],
        )
        self.open()
        self.assertEqual([link.channel for link in self.links.open_links()], ["both"])

    def test_ended_by_the_peer(self) -> None:
        """The link that ended last is kept, with its code, its reason and how long it lasted."""
        link = self.open()
        self.assertIsNone(self.links.last_ended)
        self.clock.advance(7)
        self.links.closed(link, "API link: 1006 lost\n", code=1006, words="lost\n")
        wanted = EndedLink(
            via="ws://127.0.0.1:1/",
            channel="both",
            code=1006,
            reason="lost\ufffd",
            time=EPOCH + 7,
            lasted=7.0,
        )
        self.assertEqual((self.links.last_ended, self.links.open_links()), (wanted, []))
        self.clock.advance(1)
        self.links.closed(link, "again")
        self.assertEqual(self.links.last_ended, wanted)

    def test_ended_by_us(self) -> None:
        """The code is ours where we end a link: a takeover, another account, a removal."""
        first = self.open("first")
        self.open("second")
        self.assertEqual(self.ended(), ("first", "both", 1000, "a newer link took over"))
        self.links.closed(first, "1000 bye", code=1000, words="bye")
        self.assertEqual(self.ended()[3], "a newer link took over")
        self.links.close(1001, "account 10001 is removed")
        self.assertEqual(self.ended(), ("second", "both", 1001, "account 10001 is removed"))
        third = self.open("third")
        self.links.refuse(third, 5)
        self.assertEqual(self.ended()[:3], ("third", "both", 1008))
        self.open("fourth")
        self.account.stop("lgtwist stops")
        self.assertEqual(self.ended(), ("fourth", "both", None, "lgtwist stops"))
        self.assertEqual(self.links.open_links(), [])
