"""The known actions: complete, readable in both languages, and those with secrets."""

from __future__ import annotations

import json
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import lgtwist.onebot
from lgtwist.onebot.catalogue import action_groups, answers_secret, catalogue, catalogue_json
from lgtwist.onebot.dialect import Dialect
from lgtwist.onebot.message import MESSAGE_ACTIONS, SEND_ACTIONS
from lgtwist.sandbox.actions import ACTIONS
from tests.sandbox.worlds import BOB, GROUP, STORED_FILE, WorldTestCase

#: The actions of OneBot 11: ``api/public.md`` and ``api/hidden.md``.
STANDARD = (
    ".handle_quick_operation can_send_image can_send_record clean_cache delete_msg get_cookies "
    "get_credentials get_csrf_token get_forward_msg get_friend_list get_group_honor_info "
    "get_group_info get_group_list get_group_member_info get_group_member_list get_image "
    "get_login_info get_msg get_record get_status get_stranger_info get_version_info send_group_msg "
    "send_like send_msg send_private_msg set_friend_add_request set_group_add_request "
    "set_group_admin set_group_anonymous set_group_anonymous_ban set_group_ban set_group_card "
    "set_group_kick set_group_leave set_group_name set_group_special_title set_group_whole_ban "
    "set_restart"
).split()
ENTRIES = {entry.name: entry for entry in catalogue()}
CHINESE = re.compile("[\u4e00-\u9fff]")


class FileTests(SynchronousTestCase):
    def test_sorted_and_unique(self) -> None:
        """Each action is there once, in the order of the names, on a line of its own."""
        names = [entry.name for entry in catalogue()]
        self.assertEqual(names, sorted(set(names)))
        text = Path(lgtwist.onebot.__file__).with_name("catalogue.json").read_text("utf-8")
        self.assertEqual(re.findall(r'(?m)^  \{"name": "([^"]+)", "group"', text), names)

    def test_standard_actions(self) -> None:
        """Those of the standard are those that say so."""
        self.assertEqual([name for name in ENTRIES if "standard" in ENTRIES[name].found_in], STANDARD)

    def test_dialects(self) -> None:
        """``in`` names the standard and dialects only, and each dialect has actions."""
        known = {"standard", *(dialect.value for dialect in Dialect)} - {"auto", "onebot11"}
        self.assertEqual({name for entry in catalogue() for name in entry.found_in}, known)

    def test_numbers_of_the_dialects(self) -> None:
        """As many as the implementations have, the hidden action of the standard among them."""
        for dialect, number in (("napcat", 179), ("lagrange", 79), ("go-cqhttp", 32 + 54)):
            found = [name for name in ENTRIES if dialect in ENTRIES[name].found_in]
            self.assertEqual(len(found), number, dialect)

    def test_words(self) -> None:
        """Actions, groups and parameters have words in both languages, each in its own."""
        for entry in catalogue():
            for one in (entry, *entry.params):
                where = f"{entry.name} {one.name}"
                self.assertTrue(CHINESE.search(one.zh), where)
                self.assertTrue(one.en and not CHINESE.search(one.en), where)
        for group in action_groups():
            self.assertTrue(CHINESE.search(group.zh) and group.en and not CHINESE.search(group.en))

    def test_groups(self) -> None:
        """Every action is in a group, and no group is empty."""
        self.assertEqual({entry.group for entry in catalogue()}, {group.name for group in action_groups()})

    def test_parameters(self) -> None:
        """Types are known, names unique, defaults of the type; where none is known only JSON is left."""
        of_types = {"string": str, "number": (int, float), "boolean": bool}
        for entry in catalogue():
            self.assertEqual(len({one.name for one in entry.params}), len(entry.params), entry.name)
            self.assertFalse(entry.json and entry.params, entry.name)
            for one in entry.params:
                where = f"{entry.name} {one.name}"
                self.assertIn(one.type, {*of_types, "message", "array", "object"}, where)
                if isinstance(one.default, (str, int, float, bool)):
                    self.assertIsInstance(one.default, of_types[one.type], where)
                    self.assertFalse(one.required, where)
                    if one.choices:
                        self.assertIn(one.default, one.choices, where)

    def test_dangerous_ones(self) -> None:
        """What removes, bans, deletes, leaves or restarts is dangerous, and what only reads is not."""
        for name, entry in ENTRIES.items():
            if re.search(r"kick|_ban$|whole_ban|leave|delete|_del_|^del_|restart|clean|exit", name):
                self.assertTrue(entry.danger, name)
            if re.match(r"_?(get|fetch|can|nc_get)_", name):
                self.assertFalse(entry.danger, name)

    def test_json(self) -> None:
        """The JSON is that of the file, and marks the actions of the sandbox."""
        text = Path(lgtwist.onebot.__file__).with_name("catalogue.json").read_bytes()
        self.assertEqual(json.loads(catalogue_json()), json.loads(text))
        marked = json.loads(catalogue_json(ACTIONS))["actions"]
        self.assertEqual({one["name"] for one in marked if one.get("sandbox")}, set(ACTIONS))


#: Parameters that the sandbox misses only because another one of the action is not given either.
ALTERNATIVES = {
    ("send_msg", "user_id"),
    ("send_forward_msg", "user_id"),
    ("set_group_anonymous_ban", "anonymous_flag"),
}


class OtherRoomsTests(WorldTestCase):
    def test_message_actions(self) -> None:
        """Those whose messages are converted are there; those that send have one among their parameters."""
        self.assertEqual((SEND_ACTIONS | MESSAGE_ACTIONS) - set(ENTRIES), set())
        for name in SEND_ACTIONS:
            self.assertTrue({"message", "messages"} & {one.name for one in ENTRIES[name].params}, name)

    def test_the_sandbox_asks_for_nothing_else(self) -> None:
        """What a sandbox action misses, given more and more, are required parameters of the entry."""
        self.prepare(owner=True)
        self.assertEqual(set(ACTIONS) - set(ENTRIES), set())
        examples = {
            "number": 1,
            "string": "x",
            "message": "hello",
            "array": [],
            "object": {},
            "boolean": True,
        }
        named = {"group_id": GROUP, "user_id": BOB, "message_id": min(self.world.messages), "flag": "F"}
        for name in ACTIONS:
            known = {one.name: one for one in ENTRIES[name].params}
            given: dict[str, object] = {"flag": "G"} if name == "set_group_add_request" else {}
            while missing := self.missing(name, given):
                if missing == "stored_file":  # it is made of the parameter "file", or of what the group has
                    given[missing] = STORED_FILE
                    continue
                self.assertIn(missing, known, name)
                self.assertTrue(known[missing].required or (name, missing) in ALTERNATIVES, (name, missing))
                self.assertNotIn(missing, given, name)
                given[missing] = named.get(missing, examples[known[missing].type])

    def missing(self, name: str, given: dict[str, object]) -> str | None:
        """The parameter that an action says it misses; None if it fails for another reason, or succeeds."""
        found = re.fullmatch(r"params\.(\w+) is missing", self.do(name, **given)["message"])
        return found[1] if found else None


class SecretTests(SynchronousTestCase):
    def test_secrets(self) -> None:
        """What logs in as the account is secret, in every spelling that an implementation reads."""
        for name in (
            "get_cookies",
            "get_csrf_token",
            "get_credentials",
            "get_clientkey",
            "get_rkey",
            "nc_get_rkey",
            "get_rkey_server",
            "get_config",
            "scan_qrcode",
            ".get_cookies",
            "GET_Config",
            "..get_config_async",
            "get_config_rate_limited_async",
            "get_config/",
            " get_config\n",
        ):
            self.assertTrue(answers_secret(name), name)

    def test_unknown_actions(self) -> None:
        """An unknown action is secret only if its name says so."""
        for name in ("get_pskey_cookie", "getCsrfToken", "refreshToken", "my_secret", "get_RKey2"):
            self.assertTrue(answers_secret(name), name)
        for name in ("get_msg", "get_login_info", "get_config_of_group", "", "_async", "whatever"):
            self.assertFalse(answers_secret(name), name)

    def test_flags_agree_with_names(self) -> None:
        """No entry is shown whose name is refused."""
        for name, entry in ENTRIES.items():
            self.assertIs(answers_secret(name), entry.answers_secret, name)
