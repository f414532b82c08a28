"""The schema that judges Milky's JSON: made by its script, and as strict as it must be."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from tests.milky.schema import (
    APIS,
    SCHEMA,
    SCHEMA_FILE,
    SchemaViolation,
    check_event,
    check_request,
    check_response,
)

SELF, USER, GROUP = 30001, 30002, 40001

FRIEND: dict[str, Any] = {
    "user_id": USER,
    "nickname": "n",
    "sex": "unknown",
    "qid": "",
    "remark": "",
    "category": {"category_id": 0, "category_name": ""},
}


def event(event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"time": 1, "self_id": SELF, "event_type": event_type, "data": data}


def friend_message(*segments: dict[str, Any], **changed: Any) -> dict[str, Any]:
    data = {
        "message_scene": "friend",
        "peer_id": USER,
        "message_seq": 1,
        "sender_id": USER,
        "time": 1,
        "segments": list(segments),
        "friend": FRIEND,
    }
    return event("message_receive", {**data, **changed})


class MadeByItsScript(SynchronousTestCase):
    def test_the_committed_file_is_the_scripts(self) -> None:
        script = SCHEMA_FILE.with_name("make_schema.mjs").read_bytes()
        self.assertEqual(SCHEMA["x-script-sha256"], hashlib.sha256(script).hexdigest(), "make it again")
        package = SCHEMA["x-package"].rpartition("@")
        self.assertIn(f'const PACKAGE = "{package[0]}"', script.decode())
        self.assertIn(f'const VERSION = "{package[2]}"', script.decode())

    def test_nobody_has_written_in_it(self) -> None:
        defs = json.dumps(SCHEMA["$defs"], separators=(",", ":"), ensure_ascii=False)
        self.assertEqual(SCHEMA["x-defs-sha256"], hashlib.sha256(defs.encode()).hexdigest())

    def test_it_is_a_json_schema(self) -> None:
        Draft202012Validator.check_schema(SCHEMA)

    def test_it_has_all_of_milky(self) -> None:
        self.assertEqual(65, len(APIS))
        for api in APIS:
            self.assertIn(f"{api}.response", SCHEMA["$defs"])
        self.assertEqual(21, len(SCHEMA["$defs"]["Event"]["oneOf"]))
        self.assertEqual(14, len(SCHEMA["$defs"]["IncomingSegment"]["oneOf"]))
        self.assertEqual(10, len(SCHEMA["$defs"]["OutgoingSegment"]["oneOf"]))


class Verdicts(SynchronousTestCase):
    def refused(self, path: str, words: str, check: Any, *args: Any, **flags: Any) -> None:
        error = self.assertRaises(SchemaViolation, check, *args, **flags)
        self.assertEqual(path, error.path)
        self.assertIn(words, error.reason)

    def test_events(self) -> None:
        check_event(friend_message({"type": "text", "data": {"text": "hi"}}))
        check_event(friend_message(message_seq=0))
        self.refused(
            "$.data.peer_id", "less than the minimum of 10001", check_event, friend_message(peer_id=9999)
        )
        self.refused("$", "event_type is 'nothing'", check_event, event("nothing", {}))
        self.refused("$.data", "no object", check_event, {**event("message_receive", {}), "data": None})
        self.refused(
            "$.data", "'friend' is a required property", check_event, _without(friend_message(), "friend")
        )

    def test_requests(self) -> None:
        text = {"type": "text", "data": {"text": "hi"}}
        check_request("send_group_message", {"group_id": GROUP, "message": [text]})
        self.refused(
            "$.group_id", "not of type", check_request, "send_group_message",
            {"group_id": str(GROUP), "message": [text]},
        )  # fmt: skip
        self.refused(
            "$.message[0]", "type is 'dice'", check_request, "send_group_message",
            {"group_id": GROUP, "message": [{"type": "dice", "data": {}}]},
        )  # fmt: skip
        check_request("get_friend_list", {"no_cache": None})
        check_request("get_history_messages", {"message_scene": "group", "peer_id": GROUP, "limit": 100})
        self.refused("$.user_id", "not of type", check_request, "get_user_profile", {"user_id": 10001.0})
        self.refused("$.user_id", "not of type", check_request, "send_friend_nudge", {"user_id": True})
        self.refused("$", "no such API", check_request, "ocr_image", {})
        check_request("get_login_info", {})
        self.refused("$", "unexpected", check_request, "get_login_info", {"no_cache": True})

    def test_keys_that_milky_does_not_have_are_refused(self) -> None:
        self.refused(
            "$", "unexpected", check_request, "get_user_profile", {"user_id": USER, "no_cache": True}
        )
        self.refused(
            "$.data.segments[0].data", "unexpected", check_event,
            friend_message({"type": "text", "data": {"text": "", "more": 1}}),
        )  # fmt: skip
        self.refused("$", "unexpected", check_response, "quit_group", {"ok": True})

    def test_broken_and_unknown_incoming_segments_are_refused(self) -> None:
        self.refused(
            "$.data.segments[0].data", "required", check_event, friend_message({"type": "text", "data": {}})
        )
        self.refused(
            "$.data.segments[0]", "type is 'dice'", check_event, friend_message({"type": "dice", "data": {}})
        )

    def test_what_milky_1_3_has_more(self) -> None:
        check_event(event("group_disband", {"group_id": GROUP, "operator_id": USER}))
        check_event(friend_message({"type": "markdown", "data": {"content": "# hi"}}))
        check_request("persist_group_file", {"group_id": GROUP, "file_id": "f"})
        check_response("persist_group_file", {})
        node = {"user_id": USER, "sender_name": "n", "time": 1, "segments": []}
        message = [{"type": "forward", "data": {"messages": [node]}}]
        check_request("send_private_message", {"user_id": USER, "message": message})

    def test_what_lagrange_refuses_more(self) -> None:
        backwards = [{"data": {"text": "hi"}, "type": "text"}]
        params = {"group_id": GROUP, "message": backwards}
        check_request("send_group_message", params)
        self.refused("$.message[0]", "first", check_request, "send_group_message", params, for_lagrange=True)
        self.refused(
            "$.no_cache", "null", check_request, "get_friend_list", {"no_cache": None}, for_lagrange=True
        )


def _without(frame: dict[str, Any], key: str) -> dict[str, Any]:
    return {**frame, "data": {name: value for name, value in frame["data"].items() if name != key}}
