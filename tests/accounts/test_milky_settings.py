"""The keys of Milky accounts, and where their URL leads."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lgtwist.accounts.milky import account as milky
from lgtwist.accounts.milky.event_stream import StreamPlan
from lgtwist.accounts.milky.websocket_stream import stream_target
from lgtwist.config.change import Change, compare
from lgtwist.config.section import Problem, Section
from lgtwist.hub.account import Account
from lgtwist.hub.edges import IEdge
from lgtwist.hub.interfaces import IDialler, IKeepsFile, IMeasured
from tests.hub.fakes import resources

URL = "http://127.0.0.1:3010/"


def read(**values: Any) -> tuple[milky.Settings, dict[str, str]]:
    problems: list[Problem] = []
    section = Section("accounts[0]", {"url": URL, **values}, problems, str)
    settings = milky.read(section)
    section.finish()
    return settings, {problem.path.partition(".")[2]: problem.sentence for problem in problems}


class EdgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        account = Account(10001, self.clock, self.clock.seconds)
        self.edge = milky.MilkyAccount(account, read()[0], resources(self.clock))

    def test_interfaces(self) -> None:
        for interface in (IEdge, IDialler, IKeepsFile, IMeasured):
            verifyObject(interface, self.edge)

    def test_change_in_place(self) -> None:
        self.edge.configure(read(self_messages=True, back_fill={"max_messages": 7})[0])
        self.assertTrue(self.edge.translator.wants_own)
        self.assertEqual(self.edge.back_fill._context.bounds().max_messages, 7)

    def test_figures(self) -> None:
        """Each is there from the start; names that the implementation invented are labels."""
        found = {(one.name, *one.labels.values()): one.value for one in self.edge.figures()}
        self.assertEqual(set(found.values()), {0.0})
        self.assertIn(("milky_unknown_events", ""), found)
        self.edge.translator.translate(b'{"event_type":"new","time":1,"self_id":10001,"data":{}}')
        found = {(one.name, *one.labels.values()): one.value for one in self.edge.figures()}
        self.assertEqual(found["milky_unknown_events", "new"], 1.0)
        self.edge.translator.translate(
            b'{"event_type":"message_receive","time":1,"self_id":10001,"data":'
            b'{"message_scene":"channel","peer_id":30001,"message_seq":1,"sender_id":20001,"time":1}}'
        )
        found = {(one.name, *one.labels.values()): one.value for one in self.edge.figures()}
        self.assertEqual(found["milky_unknown_events", "scene:channel"], 1.0)
        self.assertIn(("milky_unknown_events", ""), found)


class SettingsTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        settings, problems = read()
        self.assertEqual(problems, {})
        self.assertEqual((settings.event_stream, settings.self_messages), ("websocket", False))
        self.assertEqual((settings.back_fill.max_messages, settings.back_fill.max_age), (300, 600.0))
        self.assertIsNone(settings.access_token)
        self.assertIn(URL, milky.describe(settings, 10001, "ws://x"))
        self.assertIsNone(milky.key_needed_in_public(settings))

    def test_all(self) -> None:
        settings, problems = read(
            access_token="secret",
            event_stream="sse",
            self_messages=True,
            reconnect={"min": "2s", "max": "3s"},
            back_fill={"max_messages": 0, "max_age": "0s"},
        )
        self.assertEqual(problems, {})
        self.assertEqual((settings.back_fill.max_messages, settings.back_fill.max_age), (0, 0.0))
        self.assertNotIn("secret", repr(settings))

    def test_mistakes(self) -> None:
        for value, words in (
            ("ws://127.0.0.1:3010/", "it begins with http:// here"),
            ("wss://example.org/", "it begins with https:// here"),
            ("http://127.0.0.1:3010/event", "without /event: it is added"),
            ("http://127.0.0.1:3010/milky/api/", "without /api: it is added"),
            ("http://127.0.0.1:3010/?access_token=geheim", "a token goes into access_token"),
            ("127.0.0.1:3010", "it must begin with http:// or https://"),
            (3010, "expected a URL"),
        ):
            sentence = read(url=value)[1]["url"]
            self.assertIn(words, sentence)
            self.assertNotIn("geheim", sentence)
        for key, value, path in (
            ("event_stream", "webhook", "event_stream"),
            ("self_messages", "yes", "self_messages"),
            ("back_fill", {"max_messages": -1}, "back_fill.max_messages"),
            ("back_fill", {"max_age": 600}, "back_fill.max_age"),
            ("back_fill", {"max_mesages": 1}, "back_fill.max_mesages"),
            ("back_fill", True, "back_fill"),
            ("dialect", "llbot", "dialect"),
        ):
            self.assertEqual(list(read(**{key: value})[1]), [path], (key, value))

    def test_changes(self) -> None:
        """What needs another link, and what is used in place."""
        before = read()[0]
        for change, values in (
            (Change.ANEW, {"url": "http://127.0.0.1:3011/"}),
            (Change.ANEW, {"access_token": "x"}),
            (Change.ANEW, {"event_stream": "sse"}),
            (Change.IN_PLACE, {"self_messages": True}),
            (Change.IN_PLACE, {"reconnect": {"min": "2s"}}),
            (Change.IN_PLACE, {"back_fill": {"max_messages": 1}}),
        ):
            self.assertEqual(compare(before, read(**values)[0]), change, values)

    def test_target(self) -> None:
        """The host is spelled as in the URL, for some check it; a prefix stays; no token is in it."""
        for url, host, port, resource, secure in (
            ("http://NAS:3010", "NAS", 3010, "/event", False),
            ("http://localhost:3010/milky", "localhost", 3010, "/milky/event", False),
            ("https://[::1]", "[::1]", 443, "/event", True),
            ("http://[::1]:81/a/b", "[::1]", 81, "/a/b/event", False),
        ):
            backoff = read()[0].reconnect.backoff(lambda low, _high: low)
            plan = StreamPlan(name="x", url=url, headers={"Authorization": "Bearer T"}, backoff=backoff)
            target = stream_target(plan)
            request = target.request
            self.assertEqual(
                (request.host, request.port, request.resource, target.secure), (host, port, resource, secure)
            )
            self.assertNotIn("Bearer", f"{plan} {target}")
            self.assertEqual(target.shown, f"{url}/event")
