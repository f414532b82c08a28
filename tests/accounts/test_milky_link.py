"""The link of a Milky account, in memory."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import TimeoutError
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived

from lgtwist.accounts.milky import link
from lgtwist.milky.blocks import BlockTable
from lgtwist.milky.implementation import Implementation
from lgtwist.milky.keys import FRIEND as FRIENDS
from lgtwist.milky.keys import GROUP, UNSEQUENCED, Conversation
from tests.accounts.milky import FRIEND, SELF, TEAM, MilkyTestCase, message_frame
from tests.rounds import quick

OTHER_TEAM = TEAM + 1


class LinkTests(MilkyTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.link.opened()

    def test_up_and_down(self) -> None:
        """It is up when the stream is open and the login is this account's; also after a break."""
        self.assertTrue(self.account.is_up)
        self.assertEqual(self.account.links.version.app_name, "Fake")
        self.assertEqual(self.back_fill.told, ["opened", "verified"])
        self.link.closed(1006, "connection lost")
        self.assertFalse(self.account.is_up)
        self.assertEqual(self.account.reason, "1006 connection lost")
        self.link.failed("connection was refused")
        self.assertEqual(self.account.reason, "cannot connect to http://h/p/: connection was refused")
        self.link.opened()
        self.assertTrue(self.account.is_up)

    def test_message_both_ways(self) -> None:
        number = self.say(text="hello")
        [post] = self.web.take("send_group_message")
        self.assertEqual(
            post.params, {"group_id": TEAM, "message": [{"type": "text", "data": {"text": "hello"}}]}
        )
        post.answer({"message_seq": 7, "time": 1})
        message_id = self.answers[number][0]["data"]["message_id"]
        self.read(message_frame(7, text="hello"))
        self.assertEqual(json.loads(self.bot.frames[0])["message_id"], message_id)

    def test_sent_before_anything_was_received(self) -> None:
        """What is missed behind it is fetched; where messages were received, it tells nothing of them."""
        for wants_own, conversation in ((True, OTHER_TEAM), (False, OTHER_TEAM), (False, TEAM)):
            self.link._translator.wants_own = wants_own
            if conversation == TEAM:
                self.read(message_frame(5))
            self.say(text="hello", group_id=conversation)
            self.web.take("send_group_message")[0].answer({"message_seq": 7, "time": 1})
            last = self.ids.table.last_seen(Conversation(GROUP, conversation))
            self.assertEqual(last, 5 if conversation == TEAM else None if wants_own else 7)

    def test_another_login(self) -> None:
        """The link is closed as one that led to another account, and not dialled soon."""
        self.link.closed(None, "lost")
        self.web.instantly["get_login_info"] = {"uin": 10002, "nickname": "Other"}
        self.link.opened()
        self.assertFalse(self.account.is_up)
        self.assertEqual(
            self.stream.closed, [(1008, "its implementation is logged in as 10002, not as 10001")]
        )

    # -- events

    def test_batch(self) -> None:
        """Many of one read stay in order, and are appended to the journal together."""
        batches: list[list[bytes]] = []
        self.account.fan_out.set_journal(lambda _account, events: batches.append(events))
        self.read(*(message_frame(seq, text="x" * (seq % 7)) for seq in range(1, 1001)))
        self.assertEqual(self.seqs(), list(range(1, 1001)))
        self.assertEqual([len(batch) for batch in batches], [1000])

    def test_new_block(self) -> None:
        """An event in a new block waits until it is stored, and those behind it, in order, as one batch."""
        batches: list[list[bytes]] = []
        self.account.fan_out.set_journal(lambda _account, events: batches.append(events))
        self.read(message_frame(1))
        self.ids.stores = False
        self.read(message_frame(2))
        self.assertEqual(self.seqs(), [1, 2])  # its block is stored
        self.read(message_frame(5000), message_frame(3), message_frame(9000))
        self.assertEqual(self.seqs(), [1, 2])
        self.assertEqual(self.account.budget.used > 0, True)
        self.store()
        self.assertEqual(self.seqs(), [1, 2, 5000, 3, 9000])
        self.assertEqual([len(batch) for batch in batches], [1, 1, 3])
        self.assertEqual(self.account.budget.used, 0)
        self.assertTrue(all(map(self.was_seen, (1, 2, 3, 5000, 9000))))

    def store(self) -> None:
        self.ids.store()
        self.clock.advance(0)

    def was_seen(self, seq: int, peer_id: int = TEAM) -> bool:
        return self.ids.table.was_seen(link.MessageKey("group", peer_id, seq))

    def test_killed_before_the_first_message(self) -> None:
        """What is stored before the first message of a conversation is delivered says where to go on."""
        self.ids.stores = False
        for seq in (700, 2048):
            self.read(message_frame(seq, peer_id=TEAM + seq))
            stored = self.ids.table.take_unsaved()
            later = BlockTable()
            self.assertEqual(later.load(stored), 0)
            self.assertEqual(later.last_seen(Conversation(GROUP, TEAM + seq)), seq - 1)

    def test_blocks_one_after_the_other(self) -> None:
        """What waits for a later block stays, and what is behind it, when an earlier one is stored."""
        self.ids.stores = False
        self.read(message_frame(1))
        self.ids.table.take_unsaved()
        first, self.ids.waiting = self.ids.waiting, []
        self.read(message_frame(5000), message_frame(2))
        first[0].callback(None)
        self.clock.advance(0)
        self.assertEqual(self.seqs(), [1])
        self.store()
        self.assertEqual(self.seqs(), [1, 5000, 2])

    def test_too_many_wait(self) -> None:
        self.patch(link, "MOST_WAITING_EVENTS", 3)
        self.ids.stores = False
        self.read(message_frame(5000), message_frame(1))
        self.assertFalse(self.stream.is_paused)
        self.read(message_frame(2))
        self.assertTrue(self.stream.is_paused)
        self.link.pause_reading()
        self.store()
        self.assertTrue(self.stream.is_paused)  # the journal still asks for it
        self.link.resume_reading()
        self.assertFalse(self.stream.is_paused)
        self.assertEqual(len(self.bot.frames), 3)

    def test_too_many_own_messages_wait(self) -> None:
        """Those that are dropped wait for their turn too, and are counted."""
        self.patch(link, "MOST_WAITING_EVENTS", 3)
        self.ids.stores = False
        self.read(message_frame(5000), message_frame(1, sender_id=SELF))
        self.assertFalse(self.stream.is_paused)
        self.read(message_frame(2, sender_id=SELF))
        self.assertTrue(self.stream.is_paused)
        self.store()
        self.assertFalse(self.stream.is_paused)
        self.assertTrue(self.was_seen(2))

    def test_link_closed_while_events_wait(self) -> None:
        """They are published all the same: they were received."""
        self.ids.stores = False
        self.read(message_frame(5000))
        self.link.closed(1006, "lost")
        self.store()
        self.assertEqual(self.seqs(), [5000])

    def test_own_messages_and_duplicates(self) -> None:
        """They are dropped, and noted as seen, so that no back-fill fetches them."""
        self.read(message_frame(1, sender_id=SELF), message_frame(2), message_frame(2))
        self.assertEqual(self.seqs(), [2])
        self.assertTrue(self.was_seen(1))

    def test_own_message_behind_one_that_waits(self) -> None:
        """It is noted as seen in its order: a kill meanwhile must not hide what is before it."""
        self.read(message_frame(1))
        self.ids.stores = False
        self.read(message_frame(5000), message_frame(2, sender_id=SELF))
        self.assertFalse(self.was_seen(2))
        self.store()
        self.assertTrue(self.was_seen(2))
        self.assertEqual(self.seqs(), [1, 5000])

    def test_budget_of_others(self) -> None:
        """What else is held for the account does not keep the stream paused once nothing waits."""
        self.ids.stores = False
        self.account.budget.charge(self.account.budget.limit)
        self.read(message_frame(5000))
        self.assertTrue(self.stream.is_paused)
        self.store()
        self.assertFalse(self.stream.is_paused)

    def test_back_fill_takes_events(self) -> None:
        """It is asked for messages while it is active, and always for what is none."""
        taken: list[Any] = []
        self.back_fill.takes = lambda key, _event: taken.append(key) is None
        self.read(message_frame(1))
        self.assertEqual(self.seqs(), [1])
        self.back_fill.is_active = True
        self.read(message_frame(2))
        nudge = {"group_id": TEAM, "sender_id": FRIEND, "receiver_id": SELF, "display_action": "",
                 "display_suffix": "", "display_action_img_url": ""}  # fmt: skip
        frame = {"event_type": "group_nudge", "time": 1, "self_id": SELF, "data": nudge}
        self.read(json.dumps(frame).encode())
        self.assertEqual(self.seqs(), [1])
        self.assertEqual([key and key.seq for key in taken], [2, None])

    def test_frames_that_are_none(self) -> None:
        self.read(b"{", b"[]", b'{"event_type":"message_receive","self_id":10001,"time":1,"data":{}}')
        self.read(b'{"post_type":"meta_event"}')
        self.assertEqual(self.account.counters.malformed_frames, 4)
        self.assertEqual(len([line for line in self.lines() if "malformed" in line]), 1)
        self.assertTrue(self.account.is_up)

    def test_onebots_port(self) -> None:
        """It is the account's reason, whatever became of our calls; not where the link was verified."""
        lifecycle, words = (
            b'{"post_type":"meta_event","meta_event_type":"lifecycle"}',
            "a server of OneBot 11",
        )
        self.read(lifecycle)
        self.clock.advance(0)
        self.assertTrue(self.account.is_up)
        self.link.closed(None, "lost")
        del self.web.instantly["get_login_info"]
        self.link.opened()
        self.read(lifecycle)
        self.clock.advance(0)
        self.assertIn(words, self.account.reason)
        self.assertEqual([(code, words in reason) for code, reason in self.stream.closed], [(1008, True)])
        self.assertEqual(len([line for line in self.lines() if words in line]), 1)

    def test_events_of_another_account(self) -> None:
        for seq in range(3):
            self.read(message_frame(seq, self_id=10002))
        self.assertEqual(self.bot.frames, [])
        self.assertEqual([code for code, _reason in self.stream.closed], [1008])

    # -- actions

    def test_order(self) -> None:
        """Sends to one conversation wait for each other; others, and what sends nothing, do not."""
        self.web.instantly["get_group_list"] = {"groups": []}
        numbers = [self.say(), self.say(), self.say(OTHER_TEAM), self.ask("get_group_list")]
        first, other = self.web.take()
        self.assertEqual([first.params["group_id"], other.params["group_id"]], [TEAM, OTHER_TEAM])
        self.assertEqual(self.retcodes(*numbers), [[], [], [], [0]])
        first.refuse(-500, "no")
        [second] = self.web.take()
        second.answer({"message_seq": 2, "time": 1})
        other.answer({"message_seq": 1, "time": 1})
        self.assertEqual(self.retcodes(*numbers), [[-500], [0], [0], [0]])

    def test_time_limit(self) -> None:
        """After 1504 the next send of that conversation is sent, and the late answer counts for nothing."""
        one, two = self.say(), self.say()
        [post] = self.web.take()
        self.clock.advance(30)
        three = self.say()
        self.clock.advance(30)
        self.assertEqual(self.retcodes(one, two, three), [[1504], [1504], []])
        self.assertTrue(post.cancelled)
        [third] = self.web.take()
        third.answer({"message_seq": 2, "time": 1})
        self.assertEqual(self.retcodes(one, two, three), [[1504], [1504], [0]])

    def test_look_up_without_an_answer(self) -> None:
        """A message that was sent is no timeout, though what it does without is not answered."""
        node = {"type": "node", "data": {"user_id": FRIEND, "nickname": "n", "content": "x"}}
        for spent, left in ((0, 5), (58, 1)):
            one = self.ask("send_group_forward_msg", group_id=TEAM, messages=[node])
            two = self.say()
            [send] = self.web.take()
            self.clock.advance(spent)
            send.answer({"message_seq": 3, "time": 1})
            [looking] = self.web.take()
            self.assertEqual(looking.api, "get_message")
            self.clock.advance(left - 0.1)
            self.assertEqual(self.retcodes(one, two), [[], []])
            self.clock.advance(0.2)
            self.assertTrue(looking.cancelled)
            self.assertEqual(self.answers[one][0]["data"]["forward_id"], "")
            [send] = self.web.take()
            send.answer({"message_seq": 4, "time": 1})
            self.assertEqual(self.retcodes(one, two), [[0], [0]])

    def test_history_of_a_sent_message_without_an_answer(self) -> None:
        """Lagrange's private message was sent, also if nothing says which it is."""
        self.link.implementation = Implementation("Lagrange.Core")
        self.link.recent.newest.put(Conversation(FRIENDS, FRIEND), 7)
        one = self.ask("send_private_msg", user_id=FRIEND, message="x")
        [send] = self.web.take()
        send.answer({"message_seq": 12345, "time": 1})
        [looking] = self.web.take()
        self.assertEqual(looking.api, "get_history_messages")
        self.clock.advance(5)
        self.assertEqual(self.retcodes(one), [[0]])
        key = self.ids.table.key_of(self.answers[one][0]["data"]["message_id"])
        assert key is not None
        self.assertEqual(key.scene, UNSEQUENCED)

    def test_answer_waits_for_its_block(self) -> None:
        self.ids.stores = False
        self.read(message_frame(4999))
        one, two = self.say(), self.ask("get_friend_list")
        send, friends = self.web.take()
        send.answer({"message_seq": 5000, "time": 1})
        friends.answer({"friends": []})
        self.assertEqual(self.retcodes(one, two), [[], [0]])  # nothing else waits
        self.ids.store()
        self.assertEqual(self.retcodes(one, two), [[0], [0]])
        self.assertEqual(self.seqs(), [4999])  # it was received before the answer

    def test_broken_link(self) -> None:
        """What was not sent is 1501, what was is 1502; nothing of it is sent afterwards."""
        one, two, three = self.say(), self.say(), self.say(OTHER_TEAM)
        self.web.is_connecting = True
        four = self.ask("get_friend_list")
        posts = self.web.take()
        self.link.closed(1006, "lost")
        self.assertEqual(self.retcodes(one, two, three, four), [[1502], [1501], [1502], [1501]])
        self.assertIn("nothing was sent", self.answers[two][0]["message"])
        self.assertIn("nothing was sent", self.answers[four][0]["message"])
        self.assertTrue(all(post.cancelled for post in posts))
        self.assertEqual(self.web.posts, [])
        with self.assertRaises(link.NotConnected):
            self.say()

    def test_broken_connection(self) -> None:
        """One call's connection that breaks is 1502 for that call; the link stays."""
        one, two = self.say(), self.say()
        self.web.take()[0].fail(ResponseNeverReceived([Failure(ConnectionLost())]))
        self.assertEqual(self.web.posts, [])  # until it is known whether the others broke too
        self.clock.advance(0)
        self.web.take()[0].answer({"message_seq": 1, "time": 1})
        self.assertEqual(self.retcodes(one, two), [[1502], [0]])
        self.web.refuses_connections = True
        self.assertEqual(self.retcodes(self.say()), [[1501]])
        self.assertTrue(self.account.is_up)

    def test_flow_tokens(self) -> None:
        """Small parameters count until they are written, large ones until they are answered."""
        self.say()
        self.assertTrue(self.link.has_sent(self.calls[-1].flow_token))
        self.say()  # it waits for the first
        self.assertFalse(self.link.has_sent(self.calls[-1].flow_token))
        self.say(OTHER_TEAM, "x" * 5000)
        self.assertIs(self.calls[-1].flow_token, link.UNTIL_ANSWERED)
        for post in self.web.take():
            post.answer({"message_seq": 1, "time": 1})
        self.assertTrue(self.link.has_sent(self.calls[-2].flow_token))

    def test_actions_that_are_none(self) -> None:
        for action in ("get_x", "set_group_anonymous_ban"):
            self.assertEqual(self.retcodes(self.ask(action)), [[1404]])
        self.assertEqual(self.retcodes(self.ask("send_group_msg", group_id="x")), [[1400]])
        self.assertEqual(self.web.posts, [])

    # -- whether it is there, and logged in

    def test_unauthorised(self) -> None:
        """HTTP 401 takes the link down with the reason, and the gaps of the back-off go on growing."""
        one, two = self.say(), self.say(OTHER_TEAM)
        self.web.take()[0].respond(401)
        self.assertEqual(self.retcodes(one, two), [[1500], []])
        self.clock.advance(0)
        self.assertEqual(self.retcodes(one, two), [[1500], [1502]])
        reason = "it refuses our access_token (HTTP 401)"
        self.assertEqual((self.account.is_up, self.account.reason), (False, reason))
        self.assertEqual(self.stream.closed, [(1008, reason)])
        self.link.closed(1000, "closed by us")
        self.assertEqual(self.account.reason, reason)

    def test_unauthorised_from_the_start(self) -> None:
        self.link.closed(None, "lost")
        del self.web.instantly["get_login_info"]
        for _twice in range(2):
            self.link.opened()
            self.web.take()[0].respond(401)
            self.clock.advance(0)
            self.link.closed(1000, "closed by us")
        self.assertIn("it refuses our access_token", self.account.reason)
        self.assertEqual(len([line for line in self.lines() if "refuses calls" in line]), 1)

    def test_not_logged_in(self) -> None:
        """-403 is offline; the next success is online again, within seconds."""
        number = self.say()
        self.web.take()[0].refuse(-403, "not logged in")
        self.assertEqual(self.retcodes(number), [[-403]])
        self.assertEqual((self.account.is_up, self.account.online), (True, False))
        self.back_fill.told.clear()
        self.clock.advance(5)
        self.assertTrue(self.account.online)
        self.assertEqual(self.back_fill.told, ["closed", "opened", "verified"])

    def test_login_before_which_it_listens(self) -> None:
        """The reason says so; it is asked again, and comes up at the login."""
        self.link.closed(None, "lost")
        login = self.web.instantly.pop("get_login_info")
        self.back_fill.told.clear()
        self.link.opened()
        for _again in range(4):
            self.web.take()[0].refuse(-403)
            self.assertIn("not logged in", self.account.reason)
            self.clock.advance(5)
        self.assertFalse(self.account.is_up)
        self.assertEqual(self.back_fill.told, ["opened"])
        self.web.take()[0].refuse(-403)
        self.web.instantly["get_login_info"] = login
        self.clock.advance(5)
        self.assertTrue(self.account.online)

    def test_offline_by_an_event(self) -> None:
        """A success says nothing then: some answer get_login_info from their memory. Asking QQ does."""
        frame = {"event_type": "bot_offline", "time": 1, "self_id": SELF, "data": {"reason": "kicked"}}
        self.read(json.dumps(frame).encode())
        self.assertFalse(self.account.online)
        self.clock.advance(5)
        self.web.take("get_user_profile")[0].refuse(-500)
        self.clock.advance(10)
        self.assertFalse(self.account.online)
        self.web.take("get_user_profile")[0].answer({"nickname": "Robot"})
        self.assertTrue(self.account.online)

    def test_poll(self) -> None:
        """It is polled; without an answer the link is closed, and a broken idle connection is no reason."""
        login = self.web.instantly.pop("get_login_info")
        self.clock.advance(15)
        lost = ResponseNeverReceived([Failure(ConnectionLost())])
        self.web.take("get_login_info")[0].fail(lost)
        self.web.take("get_login_info")[0].answer(login)
        self.assertTrue(self.account.is_up)
        self.clock.advance(15)
        self.web.take("get_login_info")[0].respond(500)
        self.clock.advance(15)
        self.assertTrue(self.account.is_up)

    def test_poll_without_an_answer(self) -> None:
        del self.web.instantly["get_login_info"]
        self.clock.advance(15)
        self.assertEqual(self.web.timeouts[-1], 15.0)
        self.web.take("get_login_info")[0].fail(TimeoutError())
        self.assertFalse(self.account.is_up)
        self.assertIn("its API does not answer", self.account.reason)
        self.assertEqual([code for code, _reason in self.stream.closed], [1000])
        self.clock.advance(60)
        self.assertEqual(self.web.take("get_login_info"), [])

    def test_poll_of_another_login(self) -> None:
        self.web.instantly["get_login_info"] = {"uin": 10002}
        self.clock.advance(15)
        self.assertEqual([code for code, _reason in self.stream.closed], [1008])
        self.assertIn("logged in as 10002", self.account.reason)

    def test_stop(self) -> None:
        one, two = self.say(), self.say()
        self.link.stop("lgtwist stops")
        self.assertEqual(self.retcodes(one, two), [[1502], [1501]])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    @quick
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["say", "ask", "answer", "fail", "refuse", "close", "open", "time", "event", "store"]
                ),
                st.integers(0, 3),
            ),
            max_size=40,
        ),
        st.booleans(),
    )
    def test_any_order(self, steps: list[tuple[str, int]], stores: bool) -> None:
        """Each call is answered exactly once, sends keep their order, no event is lost or comes twice."""
        self.setUp()
        self.ids.stores = stores
        is_open, seq, received, posts = True, 0, [], list[Any]()
        sent: dict[int, list[int]] = {}
        for step, number in steps:
            if step in ("say", "ask") and is_open:
                if step == "say":
                    self.say(TEAM + number, str(len(self.calls)))
                else:
                    self.ask("get_friend_list")
            elif step == "close" and is_open:
                self.link.closed(1006, "lost")
                is_open = False
            elif step == "open" and not is_open:
                self.link.opened()
                is_open = True
            elif step == "time":
                self.clock.advance(20 * number)
            elif step == "event" and is_open:
                received.append(seq := seq + 700)
                self.read(message_frame(seq))
            elif step == "store":
                self.store()
            for post in self.web.take():
                posts.append(post)
                if post.api == "send_group_message":
                    text = post.params["message"][0]["data"]["text"]
                    sent.setdefault(post.params["group_id"], []).append(int(text))
            if step in ("answer", "fail", "refuse") and posts:
                post = posts.pop(number % len(posts))
                if post.cancelled:
                    continue
                if step == "answer":
                    post.answer({"message_seq": 5 + number, "time": 1, "friends": []})
                elif step == "fail":
                    post.fail(ResponseNeverReceived([Failure(ConnectionLost())]))
                else:
                    post.refuse(-500)
        self.link.stop("the end")
        self.link.publish_all()
        self.clock.advance(100)
        self.assertEqual([len(answers) for answers in self.answers.values()], [1] * len(self.calls))
        for numbers in sent.values():
            self.assertEqual(numbers, sorted(set(numbers)))
        self.assertEqual(self.seqs(), received)
        self.assertEqual(self.account.budget.used, 0)
