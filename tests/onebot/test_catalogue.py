"""The known actions: complete, readable in both languages, and those with secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import lgtwist.onebot
from lgtwist.onebot.catalogue import Parameter, action_groups, answers_secret, catalogue, catalogue_json
from lgtwist.onebot.dialect import Dialect
from lgtwist.onebot.message import MESSAGE_ACTIONS, SEND_ACTIONS
from lgtwist.onebot.params import REQUIRED
from lgtwist.sandbox.actions import ACTIONS
from lgtwist.sandbox.params import Params
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
#: Other names of parameters that implementations read too, and what the sandbox adds itself.
ALIASES = {
    ("set_group_add_request", "type"),
    ("get_group_file_url", "stored_file"),
    ("get_image", "stored_file"),
    ("get_record", "stored_file"),
}


class OtherRoomsTests(WorldTestCase):
    def test_message_actions(self) -> None:
        """Those whose messages are converted are there; those that send have one among their parameters."""
        self.assertEqual((SEND_ACTIONS | MESSAGE_ACTIONS) - set(ENTRIES), set())
        for name in SEND_ACTIONS:
            self.assertTrue({"message", "messages"} & {one.name for one in ENTRIES[name].params}, name)

    def test_the_sandbox_reads_nothing_else(self) -> None:
        """What a sandbox action reads are parameters of the entry, and what it misses are required ones."""
        self.assertEqual(set(ACTIONS) - set(ENTRIES), set())
        read = self.record_reading()
        others = set()
        for name in ACTIONS:
            read.clear()
            known = {one.name: one for one in ENTRIES[name].params}
            for missing in self.given_more_and_more(name, known):
                self.assertIn(missing, known, name)
                self.assertTrue(known[missing].required or (name, missing) in ALTERNATIVES, (name, missing))
            others |= {(name, one) for one in read if one not in known}
        self.assertEqual(others, ALIASES)

    def record_reading(self) -> set[str]:
        """A set to which the name of each parameter that is read is added from now on."""
        names: set[str] = set()
        read = Params.value

        def record(params: Params, name: str, default: Any = REQUIRED) -> Any:
            names.add(name)
            return read(params, name, default)

        self.patch(Params, "value", record)
        return names

    def given_more_and_more(self, name: str, known: dict[str, Parameter]) -> Iterator[str]:
        """The parameters that an action says it misses, one after another, each given in the next attempt."""
        named: dict[str, Any] = {
            "group_id": GROUP,
            "user_id": BOB,
            "flag": "F",
            "file": STORED_FILE,
        }
        examples: dict[str, Any] = {
            "number": 1,
            "string": "x",
            "message": "hello",
            "array": [],
            "object": {},
            "boolean": True,
        }
        given: dict[str, Any] = {"stored_file": STORED_FILE}
        if name == "set_group_add_request":
            given["flag"] = "G"
        while True:
            self.setUp()
            self.prepare(owner=True)
            named["message_id"], named["file_id"] = (
                sorted(self.world.messages)[1],
                next(iter(self.world.files)),
            )
            found = re.fullmatch(r"params\.(\w+) is missing", self.do(name, **given)["message"])
            if found is None or found[1] in given:
                return
            missing = found[1]
            yield missing
            given[missing] = named.get(missing, examples[known[missing].type])


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
        for name in (
            "get_pskey_cookie",
            "getCsrfToken",
            "refreshToken",
            "my_secret",
            "get_RKey2",
            "get_pskey",
            "get_pc_ticket",
        ):
            self.assertTrue(answers_secret(name), name)
        for name in ("get_msg", "get_login_info", "get_config_of_group", "", "_async", "whatever"):
            self.assertFalse(answers_secret(name), name)

    def test_flags_agree_with_names(self) -> None:
        """No entry is shown whose name is refused."""
        for name, entry in ENTRIES.items():
            self.assertIs(answers_secret(name), entry.answers_secret, name)
