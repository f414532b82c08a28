"""Message ids by blocks: exact both ways, used again only where all are in use."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.milky import blocks
from lgtwist.milky.blocks import BLOCK_SIZE, MOST_ACTIVE, MOST_BLOCKS, BlockRow, BlockTable
from lgtwist.milky.keys import FRIEND, GROUP, SCENES, TEMP, UNSEQUENCED, Conversation, MessageKey
from tests.rounds import quick

PEERS = st.one_of(st.integers(10001, 10004), st.integers(10001, 2**32 - 1), st.integers(0, 2**53 - 1))
SEQS = st.one_of(st.integers(0, 4 * BLOCK_SIZE), st.integers(0, 2**53 - 1))
KEYS = st.builds(MessageKey, st.sampled_from(SCENES), PEERS, SEQS)
#: Few blocks, and many messages in each.
NEAR_KEYS = st.builds(
    MessageKey, st.sampled_from(SCENES), st.integers(10001, 10003), st.integers(0, 3 * BLOCK_SIZE)
)


def table(now: list[float] | None = None, **arguments: int) -> BlockTable:
    times = now or [1_790_000_000.0]
    return BlockTable(now=lambda: times[0], **arguments)


class IdTests(SynchronousTestCase):
    @quick
    @given(st.lists(KEYS, max_size=60))
    def test_exact_both_ways(self, keys: list[MessageKey]) -> None:
        """Each message has an id of its own from 1 to 2^31-1, always the same, which leads back to it."""
        ids = table()
        found = {key: ids.id_of(key) for key in keys}
        self.assertEqual(len(set(found.values())), len(found))
        for key, number in found.items():
            self.assertTrue(1 <= number <= 2**31 - 1, number)
            self.assertEqual(ids.id_of(key), number)
            self.assertEqual(ids.key_of(number), key)

    def test_the_first_and_the_last(self) -> None:
        """At both ends of the numbers of blocks, ids are in their bounds; behind the last comes the first."""
        for start, block in [(MOST_BLOCKS - 1, MOST_BLOCKS), (0, 1)]:
            ids = BlockTable(choose=lambda _below, start=start: start)  # type: ignore[misc]
            ids.set_reserved(ids.reservation())
            number = ids.id_of(MessageKey(GROUP, 20001, BLOCK_SIZE - 1))
            self.assertEqual(number, block * BLOCK_SIZE + BLOCK_SIZE - 1)
            self.assertLess(number, 2**31)
        ids = BlockTable(choose=lambda _below: MOST_BLOCKS - 1)
        ids.set_reserved(ids.reservation())
        self.assertEqual(
            [ids.id_of(MessageKey(GROUP, 20001 + n, 0)) >> 10 for n in range(2)], [MOST_BLOCKS, 1]
        )

    def test_a_fresh_table_begins_at_random(self) -> None:
        """Ids that bots keep from a lost table stand for nothing."""
        first = {table().id_of(MessageKey(GROUP, 20001, 1)) for _ in range(20)}
        self.assertGreater(len(first), 10)
        ids = table()
        ids.id_of(MessageKey(GROUP, 20001, 1))
        resolved = sum(ids.key_of(number) is not None for number in first)
        self.assertLessEqual(resolved, 1)

    def test_ids_of_nothing(self) -> None:
        """Ids that were not given out stand for nothing, whatever number they are."""
        ids = table()
        number = ids.id_of(MessageKey(GROUP, 20001, 5))
        for other in (
            0,
            1,
            BLOCK_SIZE - 1,
            -1,
            -number,
            number + BLOCK_SIZE,
            number - BLOCK_SIZE,
            2**31,
            2**70,
        ):
            self.assertIsNone(ids.key_of(other), other)

    def test_messages_that_were_never_seen(self) -> None:
        """An id stands for a message of a known block without any trace of the message."""
        ids = table()
        number = ids.id_of(MessageKey(FRIEND, 10002, 2048))
        self.assertEqual(ids.key_of(number + 7), MessageKey(FRIEND, 10002, 2055))

    def test_out_of_bounds(self) -> None:
        """Numbers that no JSON has exactly have the id 0, which stands for nothing, and make no block."""
        ids = table()
        for key in [
            MessageKey(GROUP, 20001, -1),
            MessageKey(GROUP, -5, 1),
            MessageKey(GROUP, 2**53, 1),
            MessageKey(GROUP, 20001, 2**80),
            MessageKey("guild", 20001, 1),
        ]:
            self.assertEqual(ids.id_of(key), 0)
            ids.mark_seen(key, 5.0)
            self.assertFalse(ids.was_seen(key))
            self.assertIsNone(ids.last_seen(key.conversation))
        self.assertFalse(ids.has_unsaved or ids.take_changed())

    def test_scenes_stay_apart(self) -> None:
        """A friend and the same person in a temporary conversation have numbers of their own."""
        ids = table()
        self.assertEqual(len({ids.id_of(MessageKey(scene, 10002, 3)) for scene in SCENES}), len(SCENES))

    def test_messages_without_a_sequence_number(self) -> None:
        """Each has a key of its own, also after a restart."""
        ids = table()
        keys = [ids.new_unsequenced(10002) for _ in range(3)] + [ids.new_unsequenced(10003)]
        self.assertEqual({key.scene for key in keys}, {UNSEQUENCED})
        other = table()
        other.load(ids.take_unsaved())
        keys += [other.new_unsequenced(10002)]
        self.assertEqual(len(set(keys)), 5)
        self.assertEqual(other.active_conversations(), [])


class SeenTests(SynchronousTestCase):
    @quick
    @given(st.lists(NEAR_KEYS, max_size=80), st.lists(NEAR_KEYS, max_size=20))
    def test_what_was_seen(self, seen: list[MessageKey], others: list[MessageKey]) -> None:
        """A table of what was stored knows the same as the one before."""
        first = table()
        for key in others:
            first.id_of(key)
        for number, key in enumerate(seen):
            first.mark_seen(key, 1000.0 + number)
        second = table()
        rows = {row.number: row for row in [*first.take_unsaved(), *first.take_changed()]}
        self.assertEqual(second.load(rows.values()), 0)
        for ids in (first, second):
            for key in {*seen, *others}:
                self.assertEqual(ids.was_seen(key), key in seen)
                newest = [one.seq for one in seen if one.conversation == key.conversation]
                self.assertEqual(ids.last_seen(key.conversation), max(newest, default=None))
        for key in {*seen, *others}:
            self.assertEqual(second.id_of(key), first.id_of(key))
        self.assertFalse(second.has_unsaved)

    def test_active_conversations(self) -> None:
        """Those of which messages were seen, the most recently seen first."""
        ids = table()
        ids.id_of(MessageKey(GROUP, 20009, 1))
        for time, scene, peer_id in [(5.0, GROUP, 20001), (9.0, FRIEND, 10002), (7.0, TEMP, 10002)]:
            ids.mark_seen(MessageKey(scene, peer_id, 4), time)
        expected = [Conversation(FRIEND, 10002), Conversation(TEMP, 10002), Conversation(GROUP, 20001)]
        self.assertEqual(ids.active_conversations(), expected)
        self.assertEqual(ids.active_conversations(2), expected[:2])

    def test_made_ahead(self) -> None:
        """The next blocks of busy conversations are made ahead: some, and never in the place of others."""
        self.patch(blocks, "_MOST_AHEAD", 2)
        ids = table()
        ids.set_reserved(ids.reservation())
        for peer in (20001, 20002, 20003):
            ids.mark_seen(MessageKey(GROUP, peer, 700), 5.0)
        self.assertEqual([(row.peer_id, row.part) for row in ids.ahead()], [(20001, 1), (20002, 1)])
        ids.ahead_stored(ids.ahead())
        full = table(capacity=2)
        full.set_reserved(full.reservation())
        for seq in (5, 2000):
            full.mark_seen(MessageKey(GROUP, 20001, seq), 5.0)
        self.assertFalse(full.has_ahead)
        self.assertTrue(full.was_seen(MessageKey(GROUP, 20001, 5)))

    def test_what_is_to_be_stored(self) -> None:
        """A block is handed out once when it is new, and once for each time that something in it was seen."""
        ids = table()
        key = MessageKey(GROUP, 20001, 3 * BLOCK_SIZE + 9)
        number = ids.id_of(key) >> 10
        self.assertTrue(ids.has_unsaved)
        self.assertEqual(ids.take_changed(), [])
        self.assertEqual(ids.take_unsaved(), [BlockRow(number, 1, 20001, 3, 1_790_000_000_000, b"")])
        self.assertEqual((ids.has_unsaved, ids.take_unsaved(), ids.take_changed()), (False, [], []))
        ids.id_of(key)
        ids.mark_seen(key, 1_790_000_001.5)
        self.assertFalse(ids.has_unsaved)
        self.assertEqual(ids.take_changed(), [BlockRow(number, 1, 20001, 3, 1_790_000_001_500, b"\0\2")])
        self.assertEqual(ids.take_changed(), [])

    def test_rows_that_cannot_be(self) -> None:
        """Damaged rows are left out, and counted."""
        ids = table()
        good = BlockRow(7, 1, 20001, 0, 0, b"\1")
        wrong = [
            good._replace(number=0),
            good._replace(number=MOST_BLOCKS + 1),
            good._replace(scene=4),
            good._replace(peer_id=-1),
            good._replace(part=2**44),
            good._replace(delivered=b"\1" * 129),
        ]
        self.assertEqual(ids.load([*wrong, good]), len(wrong))
        self.assertEqual(len(ids), 1)
        self.assertEqual(ids.key_of(7 * BLOCK_SIZE), MessageKey(GROUP, 20001, 0))


class NumberTests(SynchronousTestCase):
    @quick
    @given(st.lists(st.integers(10001, 10030), max_size=120), st.integers(1, 12))
    def test_the_oldest_is_used_again(self, peers: list[int], most: int) -> None:
        """Where all numbers are in use, the block that was seen least recently is forgotten; no other."""
        now = [1000.0]
        ids = table(now, most=most)
        order: dict[int, int] = {}  # peers with their ids, the least recently seen first
        for peer_id in peers:
            now[0] += 1
            key = MessageKey(GROUP, peer_id, 5)
            known = order.pop(peer_id, None)
            ids.mark_seen(key, now[0])
            number = ids.id_of(key)
            if known is not None:
                self.assertEqual(number, known)
            order[peer_id] = number
            if len(order) > most:
                del order[next(iter(order))]
            self.assertEqual(len(ids), len(order))
            for one, its_number in order.items():
                self.assertEqual(ids.key_of(its_number), MessageKey(GROUP, one, 5))
        self.assertEqual(len(ids.take_changed()), len(order))
        self.assertEqual(len(ids.take_unsaved()), len(order))
        self.assertEqual(len(ids.active_conversations()), len(order))

    def test_a_flood_of_conversations(self) -> None:
        """The block that was seen least recently is removed, and its number is nobody else's for long."""
        now = [1000.0]
        ids = table(now, most=100, capacity=10)
        ids.begin_at(1)
        ids.set_reserved(100)
        numbers: dict[int, int] = {}
        for peer_id in range(10001, 10096):
            now[0] += 1
            key = MessageKey(GROUP, peer_id, 5)
            numbers[peer_id] = ids.id_of(key)
            ids.mark_seen(key, now[0])
        self.assertEqual(len(set(numbers.values())), 95)
        self.assertEqual(len(ids), 10)
        for peer_id, number in numbers.items():
            expected = MessageKey(GROUP, peer_id, 5) if peer_id > 10085 else None
            self.assertEqual(ids.key_of(number), expected)
        self.assertEqual(sorted(ids.take_removed()), list(range(1, 86)))
        self.assertEqual(ids.take_removed(), [])
        self.assertEqual({row.peer_id for row in ids.take_unsaved()}, set(range(10086, 10096)))
        self.assertEqual(len(ids.active_conversations()), 10)

    def test_active_conversations_are_bounded(self) -> None:
        """The most recently seen are known, also after a restart, whenever they were stored."""
        total, ids = MOST_ACTIVE + 200, table()
        for number in range(total):
            ids.mark_seen(MessageKey(GROUP, 10001 + number, 5), 1000.0 + number)
            if number % 1000 == 0:
                ids.take_changed()
        ids.mark_seen(MessageKey(GROUP, 10001 + 300, 6), 99_999.0)
        active = ids.active_conversations()
        expected = [10301, *(one for one in range(10000 + total, 10200, -1) if one != 10301)][:MOST_ACTIVE]
        self.assertEqual([one.peer_id for one in active], expected)
        rows = {row.number: row for row in map(ids.row_of, ids.numbers())}
        other = table()
        other.load(rows.values())
        self.assertEqual(other.active_conversations(), active)

    def test_an_id_whose_block_was_replaced(self) -> None:
        """A message that is marked as seen later than its block was replaced has a block again."""
        ids = table(most=1)
        first, second = MessageKey("group", 10001, 7), MessageKey("group", 10002, 7)
        ids.id_of(first)
        ids.mark_seen(second, 1.0)
        ids.mark_seen(first, 2.0)
        self.assertTrue(ids.was_seen(first))
        self.assertFalse(ids.was_seen(second))
        self.assertEqual(ids.key_of(ids.id_of(first)), first)
        self.assertEqual(ids.last_seen(first.conversation), 7)

    def test_numbers_without_a_reservation_are_far_away(self) -> None:
        """What the file keeps for this run comes one after the other; beyond that, far from it."""
        ids = table(reserved=3)
        ids.begin_at(500)
        far = ids.id_of(MessageKey(GROUP, 20001, 0)) >> 10
        self.assertTrue(MOST_BLOCKS // 4 <= (far - 500) % MOST_BLOCKS <= 3 * MOST_BLOCKS // 4, far)
        ids.set_reserved(ids.reservation())
        numbers = [ids.id_of(MessageKey(GROUP, 20002 + n, 0)) >> 10 for n in range(4)]
        self.assertEqual(numbers[:3], [500, 501, 502])
        self.assertEqual(numbers[3], far + 1)
        ids.set_reserved(ids.reservation())
        self.assertEqual(ids.id_of(MessageKey(GROUP, 20009, 0)) >> 10, 503)
