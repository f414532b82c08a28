"""Whatever an implementation answers, and whatever a bot asks for, an action has data or a sentence."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.milky.actions import ACTIONS, conversation_of, perform
from lgtwist.milky.flags import INVITATION, JOIN_REQUEST, FriendFlag, GroupFlag, encode_flag
from lgtwist.milky.keys import FRIEND, GROUP, Conversation, MessageKey
from lgtwist.onebot.errors import OneBotError
from tests.milky.actions import (
    ALICE,
    ALICE_ENTITY,
    BOB,
    BOB_ENTITY,
    SELF,
    TEAM,
    TEAM_ENTITY,
    Actions,
    friend_message,
    group_message,
    run,
    text,
)
from tests.milky.schema import check_request
from tests.rounds import ROUNDS, quick

#: Names that answers have.
NAMES = st.sampled_from(
    """uin nickname friends groups group members member message messages segments message_seq
    next_message_seq time sender_id peer_id message_scene friend group_member user_id group_id url urls
    download_url file_id folder_id files folders cookies csrf_token announcements is_end notifications type
    notification_seq next_notification_seq data text forward_id json_payload impl_name level category
    image_url avatar_url initiator_id""".split()
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 50),
    st.floats(),
    st.sampled_from(["", "friend", "group", "text", "forward", "join_request", "reply", "9", "\ud800"]),
    st.text(max_size=5),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=5)),
    max_leaves=12,
)
#: What an API answers in earnest; one of its values is replaced.
EARNEST: list[Any] = [
    {"uin": SELF, "nickname": "Me"},
    {"message": group_message(9, text("x"), {"type": "reply", "data": {"message_seq": 4}})},
    {"message": friend_message(9)},
    {"messages": [group_message(9), group_message(8)], "next_message_seq": 7},
    {
        "messages": [
            {"message_seq": 1, "sender_name": "a", "avatar_url": "", "time": 1, "segments": [text("x")]}
        ]
    },
    {"friends": [ALICE_ENTITY]},
    {"groups": [TEAM_ENTITY], "group": TEAM_ENTITY},
    {"members": [BOB_ENTITY], "member": BOB_ENTITY},
    {
        "url": "http://x/",
        "download_url": "http://x/",
        "cookies": "",
        "csrf_token": "1",
        "urls": ["http://x/"],
    },
    {"files": [{"file_id": "f"}], "folders": [{"folder_id": "d"}], "file_id": "f", "folder_id": "d"},
    {"notifications": [{"type": "join_request", "group_id": TEAM, "notification_seq": 3}]},
    {"announcements": [{"announcement_id": "n"}], "message_seq": 7, "time": 1},
]


@st.composite
def spoilt(draw: st.DrawFn) -> Any:
    """Return an answer in earnest in which one value is something else."""
    answer = json.loads(json.dumps(draw(st.sampled_from(EARNEST))))
    at = answer
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = draw(st.sampled_from(keys))
        inner = at[key]
        if not isinstance(inner, (dict, list)) or not inner or draw(st.booleans()):
            at[key] = draw(ANYTHING)
            return answer
        at = inner


def parameters(actions: Actions, action: str) -> dict[str, Any]:
    """Return parameters with which an action makes its calls."""
    flag = GroupFlag(INVITATION, TEAM, 5)
    params: dict[str, Any] = {
        "group_id": TEAM, "user_id": BOB, "message": "hi", "id": "res", "message_id": actions.group_id_of(9),
        "file": "/tmp/a", "file_id": "f", "folder_id": "d", "name": "n", "new_name": "n", "notice_id": "1",
        "content": "c", "emoji_id": "4", "code": "4", "special_title": "t", "group_name": "g",
        "nickname": "n",
        "longNick": "l", "flag": encode_flag(flag), "new_folder_name": "n", "personal_note": "p",
    }  # fmt: skip
    if "forward" in action:
        params["messages"] = [{"type": "node", "data": {"id": actions.group_id_of(8)}}]
    if action == "set_friend_add_request":
        params["flag"] = encode_flag(FriendFlag("u"))
    if action == "get_record":
        params["out_format"] = "silk"
    if "friend" in action or "private" in action:
        params["user_id"] = ALICE
    if "history" in action:
        del params["message_id"]
    return params


PARAMS = st.dictionaries(
    st.sampled_from(
        """group_id user_id message message_id messages id file file_id name folder flag approve sub_type
        reason times duration enable is_dismiss count message_seq reverseOrder no_cache domain out_format
        emoji_id code set is_add target_id news source nickname personal_note content image auto_escape
        message_type""".split()
    ),
    st.one_of(
        SCALARS,
        ANYTHING,
        st.sampled_from(
            [TEAM, str(TEAM), ALICE, "hi", [text("x")], "[CQ:at,qq=20002]", "[CQ:forward,id=x]", "/tmp/a"]
        ),
        st.sampled_from(
            [encode_flag(FriendFlag("u")), encode_flag(GroupFlag(JOIN_REQUEST, TEAM, 5, True)), "friend||0"]
        ),
    ),
    max_size=6,
)


class AnyAnswerTests(SynchronousTestCase):
    def attempt(self, actions: Actions, action: str, params: bytes) -> None:
        """Carry out an action: it has JSON data, or fails with a sentence."""
        try:
            data = run(perform(action, params, actions.context))
        except OneBotError as error:
            self.assertTrue(error.sentence)
            self.assertIsInstance(error.retcode, int)
        else:
            json.loads(data)
        for api, call in actions.calls:
            check_request(api, call, for_lagrange=True)

    @quick
    @given(st.data())
    def test_any_answer(self, data: st.DataObject) -> None:
        """Nothing in an answer raises anything else, and nothing is called that Milky does not have."""
        answers = st.one_of(spoilt(), ANYTHING, st.sampled_from(EARNEST))
        for action in data.draw(st.permutations(sorted(ACTIONS)))[:: 1 if ROUNDS > 1 else 6]:
            actions = Actions(data.draw(st.sampled_from(["LLBot", "Lagrange.Core", ""])))
            actions.online = data.draw(st.booleans())
            actions.api.strict = False
            pool = data.draw(st.lists(answers, min_size=1, max_size=3))
            actions.context.recent.newest.put(Conversation(FRIEND, ALICE), 40)
            count = 0

            def answer(_params: Any, pool: list[Any] = pool) -> Any:
                nonlocal count
                count += 1
                return pool[count % len(pool)]

            actions.api.default = answer
            self.attempt(actions, action, json.dumps(parameters(actions, action)).encode())
            self.assertLess(count, 110, action)

    @quick
    @given(st.data(), st.sampled_from(sorted(ACTIONS)), PARAMS)
    def test_any_parameters(self, data: st.DataObject, action: str, params: dict[str, Any]) -> None:
        """Nothing in parameters raises anything else, and what is called fits the schema."""
        actions = Actions(data.draw(st.sampled_from(["LLBot", "Lagrange.Core"])))
        actions.api.strict = False
        actions.api.default = lambda _params: EARNEST[data.draw(st.integers(0, len(EARNEST) - 1))]
        if data.draw(st.booleans()):
            params = {**parameters(actions, action), **params}
        encoded = json.dumps(params).encode()
        self.attempt(actions, action, encoded)
        conversation_of(action, encoded, actions.ids)

    @quick
    @given(st.binary(max_size=30), st.text(max_size=30))
    def test_any_bytes(self, params: bytes, action: str) -> None:
        """Neither do parameters that are no JSON, and names that are none."""
        actions = Actions()
        for name in (action, "send_msg", "get_status"):
            self.attempt(actions, name, params)
            conversation_of(name, params, actions.ids)

    def test_what_answers_lack(self) -> None:
        """An answer without what was asked for is 1500, with a sentence that names the API."""
        for action, api in [
            ("get_login_info", "get_login_info"),
            ("get_msg", "get_message"),
            ("get_group_msg_history", "get_history_messages"),
            ("get_forward_msg", "get_forwarded_messages"),
            ("get_friend_list", "get_friend_list"),
            ("get_friends_with_category", "get_friend_list"),
            ("get_group_info", "get_group_info"),
            ("get_group_list", "get_group_list"),
            ("get_group_member_info", "get_group_member_info"),
            ("get_group_member_list", "get_group_member_list"),
            ("get_group_shut_list", "get_group_member_list"),
            ("get_cookies", "get_cookies"),
            ("get_csrf_token", "get_csrf_token"),
            ("get_image", "get_resource_temp_url"),
            ("get_record", "get_resource_temp_url"),
            ("get_essence_msg_list", "get_group_essence_messages"),
            ("_get_group_notice", "get_group_announcements"),
            ("get_group_root_files", "get_group_files"),
            ("get_group_file_url", "get_group_file_download_url"),
            ("get_private_file_url", "get_private_file_download_url"),
            ("fetch_custom_face", "get_custom_face_url_list"),
            ("get_group_system_msg", "get_group_notifications"),
        ]:
            for answer in ({}, None, [], "x", 5, {"message": [], "messages": {}, "url": 5, "urls": {}}):
                actions = Actions()
                actions.api.strict = False
                actions.api.default = lambda _params, answer=answer: answer
                with self.assertRaises(OneBotError, msg=(action, answer)) as failed:
                    actions.perform(action, **parameters(actions, action))
                self.assertEqual(failed.exception.retcode, 1500, action)
                self.assertIn(api, failed.exception.sentence)

    def test_known_messages(self) -> None:
        """What is remembered of a message may lack anything, too."""
        actions = Actions()
        for message in ({}, {"segments": None}, {"segments": [None, {"type": 5}], "sender_id": "x"}):
            actions.context.recent.messages.put(MessageKey(GROUP, TEAM, 9), message)
            data = actions.perform("get_msg", message_id=actions.group_id_of(9))
            self.assertIsInstance(data["message_id"], int)
            self.assertIsInstance(data["real_id"], int)
