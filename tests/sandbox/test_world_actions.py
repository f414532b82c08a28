"""Every action of the sandbox, with valid, wrong and arbitrary parameters."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lgtwist.onebot.errors import BadRequest
from lgtwist.sandbox.actions import ACTIONS, perform
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world.world import World
from tests.rounds import quick
from tests.sandbox.worlds import ALICE, BOB, CAROL, GROUP, SELF, STORED_FILE, WorldTestCase

#: The actions of OneBot 11.
STANDARD = set(
    """
    send_private_msg send_group_msg send_msg delete_msg get_msg get_forward_msg send_like set_group_kick
    set_group_ban set_group_anonymous_ban set_group_whole_ban set_group_admin set_group_anonymous
    set_group_card set_group_name set_group_leave set_group_special_title set_friend_add_request
    set_group_add_request get_login_info get_stranger_info get_friend_list get_group_info get_group_list
    get_group_member_info get_group_member_list get_group_honor_info get_cookies get_csrf_token
    get_credentials get_record get_image can_send_image can_send_record get_status get_version_info
    set_restart clean_cache
    """.split()
)

EXTENSIONS = set(
    """
    send_forward_msg send_group_forward_msg send_private_forward_msg get_group_msg_history
    get_friend_msg_history set_essence_msg delete_essence_msg get_essence_msg_list mark_msg_as_read
    friend_poke group_poke send_poke set_msg_emoji_like upload_group_file upload_private_file
    get_group_root_files get_group_file_url delete_friend set_group_portrait _send_group_notice
    _get_group_notice
    """.split()
)

#: Valid parameters of every action, in a world that :meth:`WorldTestCase.prepare` has prepared.
VALID_PARAMS: dict[str, dict[str, Any]] = {
    "send_private_msg": {"user_id": ALICE, "message": "x"},
    "send_group_msg": {"group_id": GROUP, "message": "x"},
    "send_msg": {"user_id": ALICE, "message": "x"},
    "delete_msg": {"message_id": 1},
    "get_msg": {"message_id": 1},
    "get_forward_msg": {"id": "forward-1700000000-1"},
    "send_like": {"user_id": ALICE},
    "set_group_kick": {"group_id": GROUP, "user_id": BOB},
    "set_group_ban": {"group_id": GROUP, "user_id": BOB},
    "set_group_anonymous_ban": {"group_id": GROUP, "flag": f"anonymous-{GROUP}-{BOB}"},
    "set_group_whole_ban": {"group_id": GROUP},
    "set_group_admin": {"group_id": GROUP, "user_id": BOB},
    "set_group_anonymous": {"group_id": GROUP},
    "set_group_card": {"group_id": GROUP, "user_id": BOB},
    "set_group_name": {"group_id": GROUP, "group_name": "x"},
    "set_group_leave": {"group_id": GROUP},
    "set_group_special_title": {"group_id": GROUP, "user_id": BOB},
    "set_friend_add_request": {"flag": "F"},
    "set_group_add_request": {"flag": "G"},
    "get_login_info": {},
    "get_stranger_info": {"user_id": CAROL},
    "get_friend_list": {},
    "get_group_info": {"group_id": GROUP},
    "get_group_list": {},
    "get_group_member_info": {"group_id": GROUP, "user_id": BOB},
    "get_group_member_list": {"group_id": GROUP},
    "get_group_honor_info": {"group_id": GROUP, "type": "all"},
    "get_cookies": {},
    "get_csrf_token": {},
    "get_credentials": {},
    "get_record": {"stored_file": STORED_FILE},
    "get_image": {"stored_file": STORED_FILE},
    "can_send_image": {},
    "can_send_record": {},
    "get_status": {},
    "get_version_info": {},
    "set_restart": {},
    "clean_cache": {},
    "send_forward_msg": {"user_id": ALICE, "messages": [{"type": "node", "data": {"id": "1"}}]},
    "send_group_forward_msg": {"group_id": GROUP, "messages": [{"type": "node", "data": {"id": 1}}]},
    "send_private_forward_msg": {"user_id": ALICE, "messages": [{"type": "node", "data": {"content": "x"}}]},
    "get_group_msg_history": {"group_id": GROUP},
    "get_friend_msg_history": {"user_id": ALICE},
    "set_essence_msg": {"message_id": 1},
    "delete_essence_msg": {"message_id": 2},
    "get_essence_msg_list": {"group_id": GROUP},
    "mark_msg_as_read": {"message_id": 1},
    "friend_poke": {"user_id": ALICE},
    "group_poke": {"group_id": GROUP, "user_id": ALICE},
    "send_poke": {"user_id": ALICE},
    "set_msg_emoji_like": {"message_id": 1, "emoji_id": "76"},
    "upload_group_file": {"group_id": GROUP, "file": STORED_FILE},
    "upload_private_file": {"user_id": ALICE, "file": STORED_FILE},
    "get_group_root_files": {"group_id": GROUP},
    "get_group_file_url": {"group_id": GROUP, "file_id": "file-1", "stored_file": STORED_FILE},
    "delete_friend": {"user_id": ALICE},
    "set_group_portrait": {"group_id": GROUP, "file": "http://x"},
    "_send_group_notice": {"group_id": GROUP, "content": "x"},
    "_get_group_notice": {"group_id": GROUP},
}


class TableTests(WorldTestCase):
    def test_every_action_is_there(self) -> None:
        """Each action of OneBot 11 and each documented extension is there; anything else is 1404."""
        self.assertEqual(set(ACTIONS), STANDARD | EXTENSIONS)
        self.assertEqual(set(VALID_PARAMS), set(ACTIONS))
        for action in ("no_such_action", "SEND_MSG", "send_msg ", "__init__", "perform", ""):
            self.assertEqual(self.code(action), 1404)

    def test_right_parameters(self) -> None:
        """Every action succeeds, with numbers, and with all numbers as strings."""
        for action, right in VALID_PARAMS.items():
            for as_strings in (False, True):
                self.setUp()
                self.prepare(owner=action in ("set_group_admin", "set_group_special_title"))
                params = {k: str(v) if as_strings and isinstance(v, int) else v for k, v in right.items()}
                self.assertEqual(self.code(action, **params), 0, (action, self.do(action, **params)))

    def test_wrong_parameters(self) -> None:
        """Each missing or wrong parameter is answered with 1400, and named."""
        optional = {"get_group_honor_info": set(), "set_group_anonymous_ban": {"flag"}}
        for action, right in VALID_PARAMS.items():
            for name in right:
                if name == "stored_file" or name in optional.get(action, set()):
                    continue
                others = {key: value for key, value in right.items() if key != name}
                wrong: Any = [5] if name in ("message", "messages") else {"a": 1} if name != "file" else True
                for change in ({}, {name: None}, {name: wrong}):
                    self.setUp()
                    self.prepare()
                    response = self.do(action, **others, **change)
                    self.assertEqual(response["retcode"], 1400, (action, name, change, response))
                    self.assertIn(name, response["message"])

    def test_words_of_a_choice(self) -> None:
        """They are named, without the empty word that stands for none."""
        params = Params(b'{"message_type":"channel"}')
        error = self.assertRaises(BadRequest, params.choice, "message_type", ("", "private", "group"), "")
        self.assertIn("expected private or group", str(error))

    def test_parameters_as_frameworks_send_them(self) -> None:
        """Booleans may be strings, 0 and 1; anything but a number is rejected as an integer."""
        for value, expected in (("true", True), ("0", False), (1, True), (0, False), ("False", False)):
            self.assertIs(Params(json.dumps({"a": value}).encode()).boolean("a"), expected)
        for value in ("1.5", "", "x", 2**63, 1.5, [], {}, True, "9" * 5000, "--1", "1_0", "٣"):
            with self.assertRaises(BadRequest):
                Params(json.dumps({"a": value}).encode()).integer("a")

    @quick
    @given(
        st.sampled_from(sorted(STANDARD | EXTENSIONS)),
        st.dictionaries(
            st.sampled_from(
                [
                    "user_id",
                    "group_id",
                    "message",
                    "messages",
                    "message_id",
                    "file",
                    "flag",
                    "id",
                    "stored_file",
                ]
            ),
            st.integers(-1, 3)
            | st.sampled_from([ALICE, GROUP, "1", [], {}, None, True, [{"type": "node"}], "x" * 50]),
        ),
    )
    def test_any_parameters(self, action: str, params: dict[str, Any]) -> None:
        """Every action is answered, whatever its parameters."""
        world = World.with_example_people(SELF, 0)
        if "file" in params and "upload" in action and isinstance(params["file"], dict):
            params["file"] = STORED_FILE
        if isinstance(params.get("stored_file"), dict):
            params["stored_file"] = STORED_FILE
        json.loads(perform(world, action, Params(json.dumps(params).encode()), 0))
        for bad in (b"[1]", b'"x"', b"{", b'{"user_id":' + b"[" * 50_000):
            with self.assertRaises(BadRequest):
                Params(bad)
