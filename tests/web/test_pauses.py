"""What an implementation meets while the journal takes no more of its events."""

from __future__ import annotations

import json
from typing import Any

from lgtwist.onebot.auth import sign
from lgtwist.onebot.message import MessageFormat
from tests.hub.fakes import FakeConnection
from tests.integration.rawclient import masked_frame
from tests.web.site_case import Peer, SiteTestCase

REASON = "1000 bytes of events wait, more than its share (900)"
LINKED, POSTING, SANDBOX = 1, 2, 3


def event(number: int) -> bytes:
    return b'{"post_type":"notice","notice_type":"test","n":%d}' % number


class PausesTestCase(SiteTestCase):
    toml = f"""
        [[accounts]]
        type = "reverse-websocket"
        self_id = {LINKED}
        access_token = "one"
        [[accounts]]
        type = "http"
        self_id = {POSTING}
        url = "http://127.0.0.1:1/"
        secret = "two"
        [[accounts]]
        self_id = {SANDBOX}
        [[bots]]
        name = "bot"
        accounts = [{SANDBOX}]
        [limits]
        heartbeat_interval = "0s"
    """
    self_id = 0

    def setUp(self) -> None:
        super().setUp()
        self.account = self.service.directory.accounts[self.self_id]
        self.links = self.account.links
        self.seen = FakeConnection()
        self.account.subscribe(self.seen, MessageFormat.AS_IS, lambda raw: raw)

    def numbers(self) -> list[int]:
        """The events that were published."""
        return [json.loads(frame)["n"] for frame in self.seen.frames if b'"n"' in frame]


class LinkTests(PausesTestCase):
    self_id = LINKED

    def link(self, path: str = "ws") -> Peer:
        headers = {"X_Self_ID": str(LINKED), "Authorization": "Bearer one"}
        return self.dial(f"/onebot/v11/{path}", **headers)

    def send(self, link: Peer, *which: int) -> None:
        """Events that come in one read."""
        link.send(b"".join(masked_frame(event(number)) for number in which))

    def test_it_is_not_read(self) -> None:
        """What comes is published when events are resumed, in order, and before what comes then."""
        link = self.link()
        self.send(link, 1)
        self.links.pause_events(REASON)
        self.assertTrue(link.transport.paused)
        self.send(link, 2, 3)
        self.send(link, 4)
        self.assertEqual(self.numbers(), [1])
        self.links.resume_events()
        self.assertFalse(link.transport.paused)
        self.send(link, 5)
        self.assertEqual(self.numbers(), [1, 2, 3, 4, 5])

    def test_in_the_middle_of_a_message(self) -> None:
        """It is read to its end afterwards."""
        link = self.link()
        frame = masked_frame(event(1))
        for at in (1, 10, len(frame) - 1):
            self.seen.frames.clear()
            link.send(frame[:at])
            self.links.pause_events(REASON)
            link.send(frame[at:] + masked_frame(event(2)))
            self.assertEqual(self.numbers(), [])
            self.links.resume_events()
            self.assertEqual(self.numbers(), [1, 2])

    def test_paused_while_it_is_read(self) -> None:
        """What comes in one read is published to the end where the first of it is too much."""
        link = self.link()
        self.account.fan_out.set_journal(lambda *_: self.links.pause_events(REASON))
        self.send(link, 1, 2, 3)
        self.assertEqual(self.numbers(), [1, 2, 3])
        self.send(link, 4)
        self.assertEqual(self.numbers(), [1, 2, 3])
        self.links.resume_events()  # and it is paused again by the next one
        self.assertEqual(self.numbers(), [1, 2, 3, 4])
        self.assertTrue(link.transport.paused)

    def test_what_is_sent_meanwhile(self) -> None:
        """An answer that waited is read when events are resumed, and what it causes is written."""
        link = self.link()
        [asked] = [json.loads(text) for text in self.texts(link)]
        self.links.pause_events(REASON)
        answer = {"status": "ok", "retcode": 0, "data": {"user_id": LINKED, "nickname": "n"}}
        link.send(masked_frame(json.dumps({**answer, "echo": asked["echo"]}).encode()))
        self.assertFalse(self.account.is_up)
        self.links.resume_events()
        self.assertTrue(self.account.is_up)
        self.assertEqual(json.loads(self.texts(link)[-1])["action"], "get_version_info")

    def texts(self, link: Peer) -> list[bytes]:
        data = link.read().partition(b"\r\n\r\n")[2]
        found = []
        while data:  # short frames of a server
            found.append(data[2 : 2 + data[1]])
            data = data[2 + data[1] :]
        return found

    def test_a_split_pair(self) -> None:
        """Only the link that carries events is not read: actions are answered as before."""
        events, actions = self.link("event"), self.link("api")
        self.links.pause_events(REASON)
        self.assertTrue(events.transport.paused)
        self.assertFalse(actions.transport.paused)

    def test_a_link_that_opens_meanwhile(self) -> None:
        """It is not read either; what the one before had received is published."""
        older = self.link()
        self.links.pause_events(REASON)
        self.send(older, 1)
        newer = self.link()
        self.send(newer, 2)
        self.assertEqual(self.numbers(), [1])
        self.assertTrue(newer.transport.paused)
        self.links.resume_events()
        self.assertEqual(self.numbers(), [1, 2])

    def test_stopping(self) -> None:
        """What was received is published, and the link is closed in good order."""
        link = self.link()
        self.links.pause_events(REASON)
        self.send(link, 1, 2)
        self.account.stop("lgtwist stops")
        self.assertEqual(self.numbers(), [1, 2])
        self.service.factory.close_all(1001, "lgtwist stops")
        self.assertFalse(link.transport.paused)
        self.assertIn(b"\x03\xe9lgtwist stops", link.read())

    def test_its_silence_does_not_count(self) -> None:
        """However long it is not read, it is not dropped: neither for pongs nor for a message's end."""
        link = self.link()
        frame = masked_frame(event(1))
        link.send(frame[:20])
        self.links.pause_events(REASON)
        for _ in range(300):
            self.clock.advance(1)
            self.service.factory.sweep()
            link.read()
        self.assertFalse(link.transport.disconnecting)
        link.send(frame[20:])
        self.links.resume_events()
        for _ in range(300):
            link.send(masked_frame(b"", 10))
            self.clock.advance(1)
            self.service.factory.sweep()
        self.assertFalse(link.transport.disconnecting)


class PostTests(PausesTestCase):
    self_id = POSTING

    def post(self, body: bytes) -> Peer:
        signature = sign("two", body)
        return self.get("/onebot/v11/post", "POST", body, X_Self_ID=str(POSTING), X_Signature=signature)

    def test_posts(self) -> None:
        """503, with the reason and when to come again; a heartbeat is taken; afterwards all are."""
        self.service.account_edge(POSTING).running = 1
        self.links.pause_events(REASON)
        refused = self.post(event(1))
        self.assertEqual(refused.status(), 503)
        self.assertIn("retry-after: 3", refused.headers())
        self.assertIn(REASON, refused.body())
        heartbeat = b'{"post_type":"meta_event","meta_event_type":"heartbeat","status":{"online":true}}'
        self.assertEqual(self.post(heartbeat).status(), 204)
        self.links.resume_events()
        self.assertEqual(self.post(event(1)).status(), 204)
        self.assertEqual(self.numbers(), [1])


class SandboxTests(PausesTestCase):
    self_id = SANDBOX

    def publish(self, number: int) -> Peer:
        return self.get(f"/sandbox/{SANDBOX}/event", "POST", event(number))

    def test_control(self) -> None:
        """What may cause events waits and is done in order; what only reads does not wait."""
        used = self.account.budget.used
        self.links.pause_events(REASON)
        waiting = [self.publish(number) for number in (1, 2)]
        wrong = self.get(f"/sandbox/{SANDBOX}/event", "POST", b"[]")
        self.assertEqual(self.get(f"/sandbox/{SANDBOX}/").status(), 200)
        for peer in (*waiting, wrong):
            self.assertEqual(peer.read(), b"")
        self.assertEqual(self.numbers(), [])
        self.assertGreater(self.account.budget.used, used)
        self.links.resume_events()
        self.assertEqual([peer.status() for peer in (*waiting, wrong)], [200, 200, 400])
        self.assertEqual(self.numbers(), [1, 2])
        self.assertEqual(self.account.budget.used, used)

    def test_paused_again(self) -> None:
        """The others wait on."""
        self.links.pause_events(REASON)
        waiting = [self.publish(number) for number in range(3)]
        self.account.fan_out.set_journal(lambda *_: self.links.pause_events(REASON))
        for number in range(3):
            self.assertEqual(self.numbers(), list(range(number)))
            self.links.resume_events()
            self.assertEqual(waiting[number].status(), 200)

    def test_who_does_not_wait(self) -> None:
        """It is forgotten: what it asked for is not done."""
        used = self.account.budget.used
        self.links.pause_events(REASON)
        gone, other = self.publish(1), self.publish(2)
        gone.lose()
        self.links.resume_events()
        self.assertEqual(other.status(), 200)
        self.assertEqual(self.numbers(), [2])
        self.assertEqual(self.account.budget.used, used)

    def test_how_many_wait(self) -> None:
        """Beyond 64, or the account's budget of bytes, 503 with the bound; the others go on."""
        self.links.pause_events(REASON)
        waiting = [self.publish(number) for number in range(64)]
        refused = self.publish(64)
        self.assertEqual(refused.status(), 503)
        self.assertIn("retry-after: 3", refused.headers())
        self.assertIn("64 requests", refused.body())
        waiting.pop().lose()
        self.account.budget.limit = self.account.budget.used
        self.assertEqual(self.publish(64).status(), 503)
        self.links.resume_events()
        self.assertEqual({peer.status() for peer in waiting}, {200})
        self.assertEqual(self.numbers(), list(range(63)))

    def test_actions(self) -> None:
        """An action of a bot waits as well, for it may cause events; who hangs up does not get it done."""
        self.links.pause_events(REASON)
        world = self.service.account_edge(SANDBOX).world
        member = world.groups[30001].member(SANDBOX)
        for card in ("first", "second"):
            body = json.dumps({"group_id": 30001, "user_id": SANDBOX, "card": card}).encode()
            asked = self.get("/set_group_card", "POST", body, Content_Type="application/json")
            self.assertEqual(asked.read(), b"")
            if card == "first":
                asked.lose()
        self.links.resume_events()
        self.assertEqual(asked.status(), 200)
        self.assertEqual(world.groups[30001].member(SANDBOX).card, "second")
        self.assertIsNotNone(member)
        changes: Any = [frame for frame in self.seen.frames if b"group_card" in frame]
        self.assertEqual(len(changes), 1)
