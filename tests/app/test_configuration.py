"""The configuration: what is read, and every mistake named by its path."""

from __future__ import annotations

import os

from attrs import fields
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import Config, parse
from lgtwist.app.summary import summary
from lgtwist.config.limits import Limits
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.filters.conditions import AnyOf, EventConditions
from lgtwist.hub.settings import port_owners
from lgtwist.journal.settings import JournalSettings
from lgtwist.net.endpoints import is_public, websocket_url
from lgtwist.onebot.message import MessageFormat
from tests.integration.running import ROOT
from tests.rounds import quick


class ConfigTests(SynchronousTestCase):
    def read(self, source: str) -> Config:
        config = parse(source)
        assert isinstance(config, Config), config
        return config

    def problems(self, source: str) -> dict[str, str]:
        found = parse(source)
        assert isinstance(found, list), "no problem was found"
        return {problem.path: problem.sentence for problem in found}

    def test_nothing(self) -> None:
        """An empty file is the embedded default: one sandbox, one bot without a token, on loopback."""
        config = self.read("")
        self.assertEqual(config, Config())
        self.assertEqual([a.self_id for a in config.accounts], [10001])
        self.assertEqual([b.bot.name for b in config.bots], ["default"])
        self.assertEqual(config.server.endpoints, ("tcp:8081:interface=127.0.0.1",))
        self.assertEqual(config.limits.max_message, 32 << 20)
        self.assertEqual(config.limits.close_timeout, 2.0)

    def test_everything(self) -> None:
        """Every key is read, with its unit."""
        config = self.read(
            """
            data_dir = "d"
            [server]
            endpoints = ["tcp:1:interface=127.0.0.1", "unix:/tmp/x"]
            admin_token = "boss"
            allowed_origins = ["https://example.org"]
            [[accounts]]
            self_id = 1
            [[accounts]]
            type = "sandbox"
            self_id = 2
            world = "world.json"
            media_hosts = ["media.example.org", "127.0.0.1:8000", "[::1]:80"]
            media_dirs = ["/srv/pictures/", "pictures"]
            public_url = "http://172.17.0.1:8081/x/"
            [[bots]]
            name = "a"
            access_token = "ta"
            accounts = [2]
            connection = "forward-websocket"
            delivery = "live"
            message_format = "array"
            [[bots]]
            name = "b"
            [limits]
            max_message = "1MiB"
            close_timeout = "500ms"
            ping_timeout = "2m"
            heartbeat_interval = "0s"
            connections = 5
            """
        )
        self.assertEqual([a.self_id for a in config.accounts], [1, 2])
        self.assertEqual(
            [(b.bot.name, b.bot.access_token, b.bot.accounts) for b in config.bots][0], ("a", "ta", (2,))
        )
        self.assertEqual(config.bots[0].bot.message_format, MessageFormat.ARRAY)
        self.assertEqual(config.accounts[1].settings.world, "world.json")
        self.assertEqual(
            config.accounts[1].settings.media_dirs, ("/srv/pictures", os.path.abspath("pictures"))
        )
        self.assertEqual(config.accounts[1].settings.public_url, "http://172.17.0.1:8081/x")
        limits = config.limits
        self.assertEqual(
            (limits.max_message, limits.close_timeout, limits.ping_timeout), (1 << 20, 0.5, 120.0)
        )
        self.assertEqual((limits.heartbeat_interval, limits.connections), (0.0, 5))
        self.assertNotIn("boss", repr(config))
        self.assertNotIn("'ta'", repr(config))

    def test_every_mistake_at_once(self) -> None:
        """All mistakes of a file are named, each by its path with what was expected."""
        found = self.problems(
            """
            data_dir = 5
            colour = "red"
            [server]
            endpoint = ["tcp:1"]
            endpoints = ["nonsense:1", "tcp:x", 7]
            allowed_origins = ["example.org"]
            [[accounts]]
            type = "sandbox"
            self_id = "10001"
            [[accounts]]
            type = "telepathy"
            self_id = 2
            [[accounts]]
            self_id = 2
            world = 5
            media_hosts = ["http://x/"]
            media_dirs = ["/", 5]
            public_url = "172.17.0.1:8081"
            [[bots]]
            message_format = "xml"
            accounts = [3]
            [[bots]]
            name = "x"
            access_token = "a b\\u0007"
            [[bots]]
            name = "x"
            access_token = ""
            [limits]
            max_message = 5
            ping_interval = "soon"
            close_timeout = "1d"
            connections = true
            """
        )
        self.assertEqual(
            set(found),
            {
                "data_dir", "colour", "server.endpoint", "server.endpoints[0]", "server.endpoints[1]",
                "server.endpoints[2]", "server.allowed_origins[0]", "accounts[0].self_id", "accounts[1].type",
                "accounts[2].self_id", "accounts[2].world", "accounts[2].media_hosts[0]",
                "accounts[2].media_dirs[0]", "accounts[2].media_dirs[1]", "accounts[2].public_url",
                "bots[0].message_format",
                "bots[0].name", "bots[0].accounts[0]", "bots[1].access_token",
                "bots[2].name", "bots[2].access_token", "limits.max_message", "limits.ping_interval",
                "limits.close_timeout", "limits.connections",
            },
        )  # fmt: skip
        self.assertIn('is "endpoints" meant?', found["server.endpoint"])
        for sentence in found.values():
            self.assertNotIn("\n", sentence)

    def test_not_toml(self) -> None:
        """What is no TOML, or has a table where none belongs, is one line."""
        self.assertEqual(list(self.problems("a = = 1")), [""])
        self.assertEqual(list(self.problems("server = 1")), ["server"])
        self.assertEqual(list(self.problems("bots = 1")), ["bots"])
        self.assertEqual(list(self.problems("bots = [1]"))[0], "bots[0]")

    def test_at_least_once_delivery(self) -> None:
        """The journal's keys and each bot's replay policy."""
        read = parse(
            """
            [journal]
            retention = "2d"
            max_size = "64MiB"
            sync = "normal"
            on_damage = "set-aside"
            [[bots]]
            name = "a"
            access_token = "one"
            delivery = "at-least-once"
            replay = { max_age = "10m", max_events = 9, rate = 50, mark = true, grace = "2s", delay = "3s" }
            [[bots]]
            name = "b"
            access_token = "two"
            """
        )
        assert isinstance(read, Config), read
        self.assertEqual(read.journal, JournalSettings(2 * 86400.0, 64 << 20, False, True))
        self.assertTrue(read.bots[0].bot.at_least_once)
        self.assertEqual(read.bots[0].bot.replay, ReplayPolicy(600.0, 9, 50.0, True, 2.0, 3.0))
        self.assertEqual(read.bots[1].bot.replay.delay, 1.0)
        self.assertFalse(read.bots[1].bot.at_least_once)
        self.assertEqual(parse("").journal, JournalSettings(7 * 86400.0, 1 << 30, True, False))  # type: ignore[union-attr]

    def test_mistakes_in_at_least_once_delivery(self) -> None:
        """Each is named by its path."""
        found = self.problems(
            """
            [journal]
            retention = "0s"
            max_size = "1B"
            sync = "never"
            on_damage = "delete"
            [[bots]]
            name = "a"
            replay = { mark = true }
            [[bots]]
            name = "b"
            access_token = "x"
            delivery = "at-least-once"
            replay = { max_age = 10, max_events = -1, rate = 0, mark = 1, grace = "1d", delay = 1, other=1 }
            """
        )
        self.assertCountEqual(
            found,
            [
                *(f"journal.{key}" for key in ("retention", "max_size", "sync", "on_damage")),
                "bots[0].replay",
                *(
                    f"bots[1].replay.{k}"
                    for k in ("max_age", "max_events", "rate", "mark", "grace", "delay", "other")
                ),
            ],
        )
        self.assertIn("at-least-once", found["bots[0].replay"])

    def test_tokens(self) -> None:
        """Two bots with one token, or two without any, cannot be told apart; the token is not shown."""
        found = self.problems(
            '[[bots]]\nname="a"\naccess_token="secret"\n[[bots]]\nname="b"\naccess_token="secret"\n'
        )
        self.assertIn("bots[0]", found["bots[1].access_token"])
        self.assertNotIn("secret", str(found))
        found = self.problems('[[bots]]\nname="a"\n[[bots]]\nname="b"\n')
        self.assertIn("tells bots apart", found["bots[1].access_token"])

    def test_a_token_from_a_file(self) -> None:
        """``access_token_file`` is read; a missing file and both keys are mistakes."""
        read = parse('[[bots]]\nname="a"\naccess_token_file="f"', lambda path: f"{path}-token\n")
        assert isinstance(read, Config)
        self.assertEqual(read.bots[0].bot.access_token, "f-token")
        self.assertIn(
            "cannot be read", str(self.problems('[[bots]]\nname="a"\naccess_token_file="/nowhere"'))
        )
        both = self.problems('[[bots]]\nname="a"\naccess_token_file="f"\naccess_token="t"')
        self.assertEqual(list(both), ["bots[0].access_token_file"])

    def test_public_addresses_need_tokens(self) -> None:
        """What other machines can reach needs a token for every bot; the line names the bot."""
        for endpoint in (
            "tcp:1",
            "tcp:1:interface=0.0.0.0",
            "tcp:1:interface=192.168.1.2",
            "systemd:domain=INET:index=0",
        ):
            found = self.problems(f'[server]\nendpoints=["{endpoint}"]')
            self.assertIn("add [[bots]]", found["bots"])
            found = self.problems(f'[server]\nendpoints=["{endpoint}"]\n[[bots]]\nname="a"')
            self.assertIn('bot "a" needs a token', found["bots[0].access_token"])
        for endpoint in ("tcp:1:interface=127.0.0.1", "unix:/tmp/x", "tcp:1:interface=\\\\:\\\\:1"):
            self.read(f'[server]\nendpoints=["{endpoint}"]')
        self.read('[server]\nendpoints=["tcp:1"]\n[[bots]]\nname="a"\naccess_token="t"')

    def test_addresses(self) -> None:
        """Whether an endpoint is public, and how it is dialled."""
        self.assertTrue(is_public("tcp:80"))
        self.assertFalse(is_public("tcp:80:interface=localhost"))
        self.assertEqual(websocket_url("tcp:80"), "ws://127.0.0.1:80")
        self.assertEqual(websocket_url("tcp:8081:interface=\\:\\:1"), "ws://[::1]:8081")
        self.assertEqual(websocket_url("haproxy:tcp:8081"), "ws://127.0.0.1:8081")
        self.assertEqual(websocket_url("haproxy:unix:/run/x"), "unix:/run/x")
        for by_systemd in ("systemd:domain=INET:name=lgtwist", "systemd:INET:0"):
            self.assertEqual(websocket_url(by_systemd), "ws://127.0.0.1:PORT")

    def test_limits_are_documented(self) -> None:
        """docs/configuration.md names every limit with its default."""
        text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
        for limit in fields(Limits):
            self.assertIn(f"`{limit.name}`", text)
            self.assertIn(f"`{limit.name}` | `{limit.metadata['default']}`".replace('"', ""), text)

    @quick
    @given(st.text(alphabet='[]={}"\n.abc server endpoints accounts bots limits 0123', max_size=80))
    def test_any_text(self, source: str) -> None:
        """Whatever the text, it is a configuration or a list of problems."""
        self.assertIsInstance(parse(source), (Config, list))

    def test_remote_accounts(self) -> None:
        """Each kind of account has its own keys; what is wrong with them is named."""
        found = self.problems(
            """
            [[accounts]]
            type = "forward-websocket"
            self_id = 1
            url = "http://x/"
            dialect = "latin"
            reconnect = { min = "5s", max = "1s", often = true }
            ca_file = "nowhere.pem"
            [[accounts]]
            type = "forward-websocket"
            self_id = 2
            url = "ws://0.0.0.0:3001/"
            secret = "x"
            [[accounts]]
            type = "reverse-websocket"
            self_id = 3
            url = "ws://x/"
            [[accounts]]
            type = "http"
            self_id = 4
            url = "http://user:password@x/"
            [[accounts]]
            type = "http"
            self_id = 5
            url = "http://x/?access_token=T"
            [[accounts]]
            type = "forward-websocket"
            self_id = 6
            url = "wss://my_napcat:3001/"
            [[accounts]]
            type = "forward-websocket"
            self_id = 7
            url = "ws://a..b/"
            """
        )
        self.assertEqual(
            set(found),
            {
                "accounts[0].url", "accounts[0].dialect", "accounts[0].reconnect.max", "accounts[0].ca_file",
                "accounts[0].reconnect.often", "accounts[1].url", "accounts[1].secret", "accounts[2].url",
                "accounts[3].url", "accounts[4].url", "accounts[5].url", "accounts[6].url",
            },
        )  # fmt: skip
        self.assertIn("127.0.0.1", found["accounts[1].url"])
        self.assertNotIn("password@", found["accounts[3].url"])

    def test_bots_that_are_dialled_or_posted_to(self) -> None:
        """Where to is needed, once; and what belongs to another way is not known."""
        found = self.problems(
            """
            [[bots]]
            name = "a"
            connection = "reverse-websocket"
            access_token = "a"
            [[bots]]
            name = "b"
            connection = "reverse-websocket"
            access_token = "b"
            url = "ws://x/"
            api_url = "ws://x/api"
            event_url = "ws://x/event"
            [[bots]]
            name = "c"
            connection = "reverse-websocket"
            access_token = "c"
            api_url = "ws://x/api"
            [[bots]]
            name = "d"
            connection = "http-post"
            access_token = "d"
            timeout = "0s"
            [[bots]]
            name = "e"
            access_token = "e"
            url = "ws://x/"
            """
        )
        self.assertEqual(
            set(found),
            {
                "bots[0].url",
                "bots[1].url",
                "bots[2].event_url",
                "bots[3].url",
                "bots[3].timeout",
                "bots[4].url",
            },
        )

    def test_public_accounts(self) -> None:
        """On a public address whoever dials or posts must show something."""
        found = self.problems(
            """
            [server]
            endpoints = ["tcp:8081"]
            [[accounts]]
            type = "reverse-websocket"
            self_id = 1
            [[accounts]]
            type = "http"
            self_id = 2
            url = "http://127.0.0.1:5700/"
            access_token = "x"
            [[accounts]]
            type = "http"
            self_id = 3
            dialect = "napcat"
            url = "http://127.0.0.1:5700/"
            access_token = "x"
            [[bots]]
            name = "a"
            access_token = "a"
            """
        )
        self.assertEqual(set(found), {"accounts[0].access_token", "accounts[1].secret"})

    def test_rights(self) -> None:
        """What a bot may do and see; an empty list allows nothing."""
        config = parse(
            """
            [[bots]]
            name = "agent"
            actions = { allow = ["send_*", "get_*"], deny = ["get_cookies"], rate = "20/min" }
            events = { post_type = ["message"], group_id = [30001], user_id = [] }
            """
        )
        assert isinstance(config, Config)
        [wanted] = config.bots
        bot = wanted.bot
        self.assertEqual(bot.actions.rate, (20, 60.0))
        self.assertEqual((bot.events.group_id, bot.events.user_id), ((30001,), ()))
        found = self.problems(
            """
            [[bots]]
            name = "agent"
            actions = { allow = ["send msg", 5], denied = [], rate = "20 a minute" }
            events = { post_type = "message", group_id = ["x"], user_id = [0] }
            """
        )
        self.assertEqual(
            set(found),
            {
                "bots[0].actions.allow[0]", "bots[0].actions.allow[1]", "bots[0].actions.denied",
                "bots[0].actions.rate", "bots[0].events.post_type", "bots[0].events.group_id[0]",
                "bots[0].events.user_id[0]",
            },
        )  # fmt: skip

    def test_conditions(self) -> None:
        """What ``events`` asks for beside its lists."""
        config = self.read(
            """
            [[bots]]
            name = "agent"
            [bots.events]
            deny = { group_id = [1, 2], user_id = [3] }
            private = false
            roles = ["owner", "admin"]
            [bots.events.any_of]
            at_me = true
            prefix = ["/", "#"]
            keyword = ["天气"]
            private = true
            reply_to_me = true
            """
        )
        self.assertEqual(
            config.bots[0].bot.events.conditions,
            EventConditions(
                frozenset([1, 2]),
                frozenset([3]),
                False,
                frozenset(["owner", "admin"]),
                AnyOf(True, ("/", "#"), ("天气",), True, True),
            ),
        )
        self.assertFalse(
            self.read('[[bots]]\nname = "b"\nevents = { private = true }').bots[0].bot.events.conditions
        )

    def test_mistakes_in_conditions(self) -> None:
        """Each has its path; what could never be met is one, and names of other programs are told ours."""
        for events, wanted in (
            ("deny = [1]", {"deny": "expected a table"}),
            (
                'deny = { group_id = ["x"], groups = [1] }',
                {"deny.group_id[0]": "whole number", "deny.groups": "unknown"},
            ),
            ('private = "no"', {"private": "true or false"}),
            ('roles = ["boss"]', {"roles[0]": 'expected "owner", "admin" or "member"'}),
            ('roles = "owner"', {"roles": "expected a list"}),
            ("any_of = {}", {"any_of": "no message would pass"}),
            ("any_of = { at_me = false }", {"any_of": "no message would pass"}),
            ("private = false\nany_of = { private = true }", {"any_of": "private = false none"}),
            ("any_of = true", {"any_of": "expected a table"}),
            ("any_of = { prefix = [] }", {"any_of.prefix": "expected a list that is not empty"}),
            ('any_of = { prefix = "/" }', {"any_of.prefix": "expected a list"}),
            (
                'any_of = { prefix = [" /", ""] }',
                {"any_of.prefix[0]": "blanks", "any_of.prefix[1]": "not empty"},
            ),
            ("any_of = { keyword = [5] }", {"any_of.keyword[0]": "expected a string"}),
            ("any_of = { at_me = 1 }", {"any_of.at_me": "true or false"}),
            ("any_of = { at_me = true, regex = 1 }", {"any_of.regex": "unknown key"}),
            ("groups = { allow = [1] }", {"groups": "group_id = [...]"}),
            ("users = { deny = [1] }", {"users": "deny = { user_id = [...] }"}),
            ("at_me = true", {"at_me": "any_of = { at_me = ... }"}),
        ):
            found = self.problems(f'[[bots]]\nname = "b"\n[bots.events]\n{events}')
            self.assertEqual(list(found), [f"bots[0].events.{path}" for path in wanted], events)
            for path, part in wanted.items():
                self.assertIn(part, found[f"bots[0].events.{path}"])

    def test_filters(self) -> None:
        """A filter in place or in a file; equal texts are no change, and the summary names the grammar."""
        files = {"f.json": '{"group_id": {".in": [1]}}\n'}
        source = """
            [[bots]]
            name = "a"
            access_token = "1"
            filter = '''{"group_id": {"$in": [1]}}'''
            [[bots]]
            name = "b"
            access_token = "2"
            filter_file = "f.json"
            events = { private = false }
            [[bots]]
            name = "c"
            access_token = "3"
            filter = "{}"
            [[bots]]
            name = "d"
            access_token = "4"
            """
        config = parse(source, files.__getitem__)
        assert isinstance(config, Config), config
        grammars = [one.bot.filter and one.bot.filter.grammar.value for one in config.bots]
        self.assertEqual(grammars, ["llbot", "go-cqhttp", "either", None])
        self.assertEqual(parse(source, files.__getitem__), config)
        self.assertNotEqual(parse(source, {"f.json": "{}"}.__getitem__), config)
        self.assertEqual(config.private_files, ("f.json",))
        said = [line.partition("; gets")[2] for line in summary(config) if line.startswith("bot")]
        self.assertEqual(
            said,
            [
                " only what passes filter (LLBot's grammar)",
                " only what passes events and filter (go-cqhttp's grammar)",
                " only what passes filter (either grammar)",
                "",
            ],
        )

    def test_mistakes_in_filters(self) -> None:
        """Each is named with its path inside the filter, where the filter is; nothing of it counts then."""

        def read_file(name: str) -> str:
            if name == "none.json":
                raise FileNotFoundError(2, "No such file or directory", "/etc/none.json")
            return {"f.json": '{"a": {".in": 5}}', "mixed.json": '{".or": [], "$or": []}', "empty": " "}[name]

        inline = [
            ('{"x": {".wat": 1}, "y": {".in": 5}}', [("filter", "x..wat: "), ("filter", "y..in: ")]),
            ('{"$or": [{"x": {"$regex": "("}}]}', [("filter", "$or[0].x.$regex: ")]),
            ('{"$where": "1"}', [("filter", "$where: ")]),
            ("{", [("filter", "it is not JSON")]),
            ("", [("filter", "expected a string that is not empty")]),
        ]
        for keys, wanted in (
            *((f"filter = '''{text}'''", problems) for text, problems in inline),
            ("filter = 5", [("filter", "expected a string that is not empty")]),
            ("filter = { group_id = 1 }", [("filter", "expected the filter's JSON as a string")]),
            ('filter = "{}"\nfilter_file = "f.json"', [("filter_file", "one of them is enough")]),
            ('filter_file = "f.json"', [("filter_file", "a..in: ")]),
            ('filter_file = "mixed.json"', [("filter_file", "a filter is in one of them")]),
            ('filter_file = "none.json"', [("filter_file", '"/etc/none.json" cannot be read: No such file')]),
            ('filter_file = "empty"', [("filter_file", "")]),
            ("filter_file = 5", [("filter_file", "expected a string")]),
        ):
            found = parse(f'[[bots]]\nname = "b"\n{keys}', read_file)
            assert isinstance(found, list), keys
            self.assertEqual([one.path for one in found], [f"bots[0].{key}" for key, _part in wanted], keys)
            for problem, (_key, part) in zip(found, wanted, strict=True):
                self.assertIn(part, problem.sentence)

    def test_tokens_of_bots_that_are_dialled(self) -> None:
        """Two webhooks without a token, or five dialled bots with one word, are no mistake."""
        hooks = "".join(
            f'[[bots]]\nname = "{name}"\nconnection = "http-post"\nurl = "http://x/"\n' for name in "ab"
        )
        dialled = "".join(
            f'[[bots]]\nname = "{n}"\nconnection = "reverse-websocket"\nurl = "ws://x/"\naccess_token = "w"\n'
            for n in range(5)
        )
        config = self.read(hooks + dialled)
        self.assertEqual(port_owners(one.bot for one in config.bots), {})
        self.assertEqual(sum("does not open the port" in line for line in summary(config)), 5)
        one = self.read(dialled.partition('[[bots]]\nname = "1"')[0])
        self.assertEqual(port_owners(bot.bot for bot in one.bots), {"w": "0"})
        hook = self.read(hooks.partition('[[bots]]\nname = "b"')[0])
        self.assertEqual(port_owners(bot.bot for bot in hook.bots), {None: "a"})
        both = self.read(dialled + '[[bots]]\nname = "in"\naccess_token = "w"\n')
        self.assertEqual(port_owners(bot.bot for bot in both.bots), {"w": "in"})
        self.assertNotIn('"w"', str(summary(both)))
