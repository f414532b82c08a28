"""Flags of requests: all that the answer needs, in one text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.milky.flags import (
    INVITATION,
    INVITED_JOIN_REQUEST,
    JOIN_REQUEST,
    FriendFlag,
    GroupFlag,
    encode_flag,
    read_flag,
)
from tests.rounds import quick

NUMBERS = st.integers(min_value=0, max_value=2**63 - 1)
FLAGS = st.one_of(
    st.builds(FriendFlag, st.text(), st.booleans()),
    st.builds(GroupFlag, st.just(JOIN_REQUEST), NUMBERS, NUMBERS, st.booleans()),
    st.builds(GroupFlag, st.sampled_from([INVITED_JOIN_REQUEST, INVITATION]), NUMBERS, NUMBERS),
)


class FlagTests(SynchronousTestCase):
    def test_the_texts(self) -> None:
        """Flags are kept by bots over an update of ours: their form does not change."""
        for flag, text in [
            (FriendFlag("u_abc-_1", True), "friend|u_abc-_1|1"),
            (FriendFlag(""), "friend||0"),
            (GroupFlag(JOIN_REQUEST, 20001, 17, True), "join_request|20001|17|1"),
            (GroupFlag(INVITED_JOIN_REQUEST, 20001, 17), "invited_join_request|20001|17|0"),
            (GroupFlag(INVITATION, 20001, 17), "invitation|20001|17"),
        ]:
            self.assertEqual(encode_flag(flag), text)
            self.assertEqual(read_flag(text), flag)

    @quick
    @given(FLAGS)
    def test_there_and_back(self, flag: FriendFlag | GroupFlag) -> None:
        """A uid is opaque: it may be anything."""
        self.assertEqual(read_flag(encode_flag(flag)), flag)

    def test_other_texts(self) -> None:
        """What is no flag of ours is none, and does not raise."""
        for text in [
            "", "|", "friend", "friend|", "friend|x", "friend|x|2", "friend|x|", "group|1|2|0",
            "invitation|1", "invitation|1|2|0", "join_request|1|2", "join_request|1|2|x", "join_request||2|0",
            "join_request|-1|2|0", "join_request|01|2|0", "join_request| 1|2|0", "join_request|1_0|2|0",
            "join_request|²|2|0", "join_request|٣|2|0", f"join_request|{'9' * 5000}|2|0", "add|1|2|0",
        ]:  # fmt: skip
            self.assertIsNone(read_flag(text), text[:40])

    @quick
    @given(
        st.one_of(st.text(), st.lists(st.sampled_from(["friend", "invitation", "1", "|", "0"])).map("".join))
    )
    def test_any_text(self, text: str) -> None:
        """A text is read only as what is written so."""
        flag = read_flag(text)
        if flag is not None:
            self.assertEqual(encode_flag(flag), text)
