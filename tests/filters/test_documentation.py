"""The examples of ``docs/filters.md`` do what it says."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import Config, parse
from lgtwist.filters.reading import read_filter
from lgtwist.hub.permissions import EventPermissions
from lgtwist.hub.settings import BotSettings
from lgtwist.onebot.event import Event, read_event
from tests.integration.running import ROOT
from tests.test_docs import Block, page, secret_file


def message(text: str, *segments: tuple[str, dict[str, str]], **members: Any) -> dict[str, Any]:
    """Return a message of 20001 in group 30001, or with other members; a member that is None is left out."""
    parts = [{"type": kind, "data": data} for kind, data in (*segments, ("text", {"text": text}))]
    codes = (f"[CQ:{kind},{','.join(f'{k}={v}' for k, v in data.items())}]" for kind, data in segments)
    whole = {
        "post_type": "message",
        "message_type": "group",
        "group_id": 30001,
        "user_id": 20001,
        "message_id": 7,
        "raw_message": "".join(codes) + text,
        "message": parts,
        "sender": {"user_id": 20001, "nickname": "a", "role": "member"},
        **members,
    }
    return {key: value for key, value in whole.items() if value is not None}


PRIVATE: dict[str, Any] = {"message_type": "private", "group_id": None, "sender": {"user_id": 20002}}
AT_ME = ("at", {"qq": "10001"})

#: The events that the examples are tried on.
EVENTS: dict[str, dict[str, Any]] = {
    "chatter": message("hello"),
    "at": message(" are you there?", AT_ME),
    "command": message("/Weather Paris", user_id=20002),
    "bang": message("!!go"),
    "picture": message("look", ("image", {"file": "a.jpg"})),
    "admin": message("hi all", sender={"user_id": 20001, "role": "admin"}),
    "other group": message("hi", group_id=30003),
    "denied user": message("/x", user_id=20009),
    "private": message("hi", user_id=20002, **PRIVATE),
    "sent": message("done", post_type="message_sent", user_id=10001),
    "joined": {"post_type": "notice", "notice_type": "group_increase", "group_id": 30001, "user_id": 20003},
    "friend": {"post_type": "request", "request_type": "friend", "user_id": 20004},
}
ALL = frozenset(EVENTS)
GROUP_MESSAGES = ALL - {"private", "joined", "friend"}
OF_30001 = ALL - {"other group", "private", "friend"}

#: What passes each filter of the page, in their order, and its grammar.
FILTERS: list[tuple[str, frozenset[str] | set[str]]] = [
    ("either", {"admin"}),
    ("llbot", {"picture"}),
    ("llbot", OF_30001 - {"command"}),
    ("llbot", {"private", "command"}),
    ("llbot", {"at"}),
    ("llbot", {"admin"}),
    ("llbot", ALL - {"joined"}),
    ("llbot", ALL - {"sent"}),
    ("go-cqhttp", {"command", "bang", "denied user"}),
    ("go-cqhttp", OF_30001 | {"private"}),
    ("go-cqhttp", ALL - {"command"}),
    ("go-cqhttp", {"at"}),
    ("llbot", {"at"}),
]

#: What passes for each bot of the page's configurations, in their order.
BOTS: list[tuple[str, frozenset[str] | set[str]]] = [
    ("mybot", {"at", "command", "private", "joined", "friend"}),
    ("paid", {"at", "command", "denied user", "private"}),
    ("one", OF_30001),
    ("two", {"other group", "private", "friend"}),
    ("mybot", ALL - {"other group"}),
    ("moderator", {"admin"}),
    ("mybot", {"private"}),
]


def event_named(name: str) -> Event:
    """Return one of the events."""
    return read_event(json.dumps({"self_id": 10001, "time": 1, **EVENTS[name]}).encode())


def examples(language: str) -> list[Block]:
    """Return the page's blocks of a language."""
    return [block for block in page(ROOT / "docs" / "filters.md").blocks if block.language == language]


def permissions_of(settings: BotSettings) -> EventPermissions:
    """Return what decides which events a bot gets; no message of the account is known."""
    events = settings.events
    lists = [
        None if one is None else frozenset(one) for one in (events.post_type, events.group_id, events.user_id)
    ]
    return EventPermissions(*lists, events.conditions, settings.filter)  # type: ignore[arg-type]


class Examples(SynchronousTestCase):
    def test_filters(self) -> None:
        """Each filter is in its grammar, and lets pass what the page says."""
        blocks = examples("json")
        self.assertEqual(len(blocks), len(FILTERS))
        for block, (grammar, expected) in zip(blocks, FILTERS, strict=True):
            found = read_filter(block.text)
            self.assertEqual(found.grammar.value, grammar, block.text)
            passing = {name for name in EVENTS if found.passes(event_named(name))}
            self.assertEqual(passing, expected, block.text)

    def test_forms_of_messages(self) -> None:
        """They let the same messages pass where these are strings with CQ codes."""
        for block in examples("json"):
            found = read_filter(block.text)
            for name, members in EVENTS.items():
                if "message" in members:
                    text = json.dumps({"self_id": 10001, **members, "message": members["raw_message"]})
                    event = read_event(text.encode())
                    self.assertIs(found.passes(event), found.passes(event_named(name)), (block.text, name))

    def test_configurations(self) -> None:
        """Each bot gets what the page says."""
        found = []
        for block in examples("toml"):
            config = parse(block.text, secret_file)
            assert isinstance(config, Config), config
            for bot in config.bots:
                passes = permissions_of(bot.bot).passes
                found.append((bot.bot.name, {name for name in EVENTS if passes(event_named(name))}))
        self.assertEqual(found, [(name, set(expected)) for name, expected in BOTS])

    def test_the_mistake(self) -> None:
        """The line that it shows is what is written."""
        (shown,) = examples("")
        text = '[[bots]]\nname = "a"\nfilter = \'\'\'{"$or": [{"a": 1}, {"group_id": {"$inn": [1]}}]}\'\'\'\n'
        found = parse(text, secret_file)
        assert not isinstance(found, Config)
        self.assertEqual([f"lgtwist.toml: {one.path}: {one.sentence}\n" for one in found], [shown.text])
