"""What two configurations differ in, and a service that is made to serve the other one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import maybeDeferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import Config, parse
from lgtwist.app.reload import Changes, changes
from lgtwist.app.reloader import Reloader
from lgtwist.app.service import LgtwistService
from lgtwist.config.change import Change
from lgtwist.hub.snapshots import OpenSession
from tests.pair import MemoryReactor
from tests.rounds import quick


def configuration(toml: str) -> Config:
    read = parse(toml)
    assert isinstance(read, Config), read
    return read


#: One account of each kind, and other values of each key.
ACCOUNTS = {
    1: ['type = "sandbox"', 'type = "sandbox"\nmedia_hosts = ["x"]'],
    2: [
        'type = "forward-websocket"\nurl = "ws://127.0.0.1:1/"',
        'type = "forward-websocket"\nurl = "ws://127.0.0.1:2/"',
        'type = "forward-websocket"\nurl = "ws://127.0.0.1:1/"\naccess_token = "a"',
        'type = "forward-websocket"\nurl = "ws://127.0.0.1:1/"\ndialect = "napcat"',
        'type = "forward-websocket"\nurl = "ws://127.0.0.1:1/"\nreconnect = { max = "2s" }',
        'type = "http"\nurl = "http://127.0.0.1:1/"',
    ],
    3: [
        'type = "reverse-websocket"',
        'type = "reverse-websocket"\naccess_token = "a"',
        'type = "reverse-websocket"\ndialect = "llbot"',
    ],
    4: [
        'type = "http"\nurl = "http://127.0.0.1:1/"',
        'type = "http"\nurl = "http://127.0.0.1:1/"\nsecret = "s"',
        'type = "http"\nurl = "http://127.0.0.1:1/"\ndialect = "napcat"',
        "",
    ],
}
BOTS = {
    "a": [
        "",
        'message_format = "array"',
        'actions = { deny = ["set_restart"] }',
        'events = { post_type = ["notice"] }',
        "accounts = [1]",
    ],
    "b": [
        'connection = "reverse-websocket"\nurl = "ws://127.0.0.1:3/"',
        'connection = "reverse-websocket"\nurl = "ws://127.0.0.1:4/"',
        'connection = "reverse-websocket"\nurl = "ws://127.0.0.1:3/"\nreconnect = { max = "2s" }',
        'connection = "http-post"\nurl = "http://127.0.0.1:3/"',
    ],
    "c": [
        'connection = "http-post"\nurl = "http://127.0.0.1:3/"',
        'connection = "http-post"\nurl = "http://127.0.0.1:3/"\ntimeout = "9s"',
        'connection = "http-post"\nurl = "http://127.0.0.1:3/"\nsecret = "s"',
        "",
    ],
}


@st.composite
def configurations(draw: st.DrawFn) -> str:
    """A configuration of some of these accounts and bots, always with account 1."""
    lines = []
    for self_id, variants in draw(st.permutations(list(ACCOUNTS.items()))):
        if self_id == 1 or draw(st.booleans()):
            lines.append(f"[[accounts]]\nself_id = {self_id}\n{draw(st.sampled_from(variants))}")
    for name, variants in BOTS.items():
        if name == "a" or draw(st.booleans()):
            token = draw(st.sampled_from(["1", "2"]))
            variant = draw(st.sampled_from(variants))
            lines.append(f'[[bots]]\nname = "{name}"\naccess_token = "{name}{token}"\n{variant}')
    limits = draw(st.sampled_from(["", 'send_buffer = "8KiB"', 'heartbeat_interval = "0s"\ncalls = 5']))
    journal = draw(st.sampled_from(["", 'retention = "1d"']))
    return "\n".join([*lines, "[limits]", limits, "[journal]", journal])


class PureTests(SynchronousTestCase):
    def between(self, old: str, new: str) -> Changes:
        return changes(configuration(old), configuration(new))

    def test_nothing(self) -> None:
        """The same configuration changes nothing, and that is said."""
        found = self.between("", "")
        self.assertTrue(found.nothing)
        self.assertEqual(found.describe(), "nothing changed")

    @quick
    @given(configurations(), configurations())
    def test_what_is_said_is_what_differs(self, old: str, new: str) -> None:
        """Added to the old one, what is said makes the new one; what is the same in both is not named."""
        before, after = configuration(old), configuration(new)
        found = changes(before, after)
        accounts = {one.self_id: one for one in before.accounts}
        for removed in found.accounts.removed:
            del accounts[removed.self_id]
        for changed in found.accounts.changed:
            self.assertNotEqual(changed.old, changed.new)
            self.assertEqual(accounts[changed.new.self_id], changed.old)
            accounts[changed.new.self_id] = changed.new
        for added in found.accounts.added:
            self.assertNotIn(added.self_id, accounts)
            accounts[added.self_id] = added
        self.assertEqual(accounts, {one.self_id: one for one in after.accounts})
        both = [one.self_id for one in after.accounts if one not in found.accounts.added]
        self.assertEqual(found.reordered, [one for one in accounts if one in both] != both)
        bots = {one.bot.name: one for one in before.bots}
        for gone in found.bots.removed:
            del bots[gone.bot.name]
        for one in found.bots.changed:
            self.assertNotEqual(one.old, one.new)
            bots[one.new.bot.name] = one.new
        for new_bot in found.bots.added:
            bots[new_bot.bot.name] = new_bot
        self.assertEqual(bots, {one.bot.name: one for one in after.bots})
        self.assertEqual(found.running.limits, after.limits)

    def test_each_row_of_the_contract(self) -> None:
        """What each key asks for."""
        account = "[[accounts]]\nself_id = 1\n"
        forward = f'{account}type = "forward-websocket"\nurl = "ws://127.0.0.1:1/"\n'
        reverse = f'{account}type = "reverse-websocket"\n'
        http = f'{account}type = "http"\nurl = "http://127.0.0.1:1/"\n'
        for before, after, change in (
            (account, account + 'media_hosts = ["x"]', Change.IN_PLACE),
            (account, account + 'media_dirs = ["/x"]', Change.IN_PLACE),
            (account, account + 'public_url = "http://x/"', Change.IN_PLACE),
            (forward, forward + 'dialect = "napcat"', Change.IN_PLACE),
            (forward, forward + 'reconnect = { max = "5s" }', Change.IN_PLACE),
            (forward, forward.replace(":1/", ":2/"), Change.ANEW),
            (forward, forward + 'access_token = "x"', Change.ANEW),
            (reverse, reverse + 'access_token = "x"', Change.SESSIONS),
            (http, http + 'secret = "x"', Change.ANEW),
            (account, forward, Change.ANEW),
        ):
            [changed] = self.between(before, after).accounts.changed
            self.assertIs(changed.change, change, after)
        bot = '[[bots]]\nname = "a"\n'
        kept = bot + 'delivery = "at-least-once"\n'
        dialled = bot + 'connection = "reverse-websocket"\nurl = "ws://127.0.0.1:1/"\n'
        posted = bot + 'connection = "http-post"\nurl = "http://127.0.0.1:1/"\n'
        for before, after, change in (
            (bot, bot + 'actions = { rate = "1/s" }', Change.IN_PLACE),
            (bot, bot + "events = { group_id = [1] }", Change.IN_PLACE),
            (bot, bot + 'message_format = "array"', Change.IN_PLACE),
            (bot, kept, Change.IN_PLACE),
            (kept, kept + "replay = { mark = true }", Change.IN_PLACE),
            (bot, bot + "accounts = [10001]", Change.IN_PLACE),
            (bot, bot + 'access_token = "x"', Change.SESSIONS),
            (dialled, dialled + 'access_token = "x"', Change.ANEW),
            (dialled, dialled.replace(":1/", ":2/"), Change.ANEW),
            (dialled, dialled + 'reconnect = { max = "5s" }', Change.IN_PLACE),
            (posted, posted + 'timeout = "9s"', Change.IN_PLACE),
            (posted, posted + 'secret = "x"', Change.ANEW),
            (posted, posted + 'access_token = "x"', Change.SESSIONS),
            (bot, posted, Change.ANEW),
        ):
            [one] = self.between(before, after).bots.changed
            self.assertIs(one.change, change, after)

    def test_what_waits_for_a_restart(self) -> None:
        """It is named, and stays as it was in what runs; the next reload names it again."""
        found = self.between("", 'data_dir = "elsewhere"\n[journal]\nsync = "normal"\nretention = "1d"')
        self.assertEqual(found.waiting, ("data_dir", "journal.sync"))
        self.assertEqual(found.journal, ("retention",))
        self.assertEqual(found.running.data_dir, "lgtwist-data")
        self.assertTrue(found.running.journal.sync)
        self.assertIn("waits for a restart: data_dir, journal.sync", found.describe())

    def test_more_connections_than_files(self) -> None:
        """More connections than the process may open files wait for a restart; as many do not."""
        one, other = (configuration(f"[limits]\nconnections = {number}") for number in (100, 2000))
        found = changes(one, other, open_files=1024)
        self.assertEqual(
            found.describe(),
            "nothing changed; waits for a restart: limits.connections (this process may open 1024 files)",
        )
        self.assertEqual(found.running.limits.connections, 100)
        for fewer in (changes(other, one, open_files=1024), changes(one, other, open_files=2000)):
            self.assertEqual((fewer.waiting, fewer.limits), ((), ("connections",)))

    def test_endpoints(self) -> None:
        """Equal strings stay; a systemd endpoint is neither parsed again nor given up."""
        old = '[server]\nendpoints = ["tcp:1:interface=127.0.0.1", "tcp:2:interface=127.0.0.1"]'
        found = self.between(old, old.replace("tcp:2", "tcp:3"))
        self.assertEqual(found.closed, ("tcp:2:interface=127.0.0.1",))
        self.assertEqual(found.opened, ("tcp:3:interface=127.0.0.1",))
        bot = '\n[[bots]]\nname = "a"\naccess_token = "x"'
        systemd = '[server]\nendpoints = ["systemd:domain=INET:index=0"]' + bot
        found = self.between(systemd, old + bot)
        self.assertIn("systemd:domain=INET:index=0", found.running.server.endpoints)
        self.assertEqual(found.waiting, ("server.endpoints (systemd)",))

    def test_no_secrets_in_the_line(self) -> None:
        """What changed is named without its value."""
        found = self.between(
            '[[bots]]\nname = "a"\naccess_token = "old-secret"',
            '[server]\nadmin_token = "admin-secret"\n[[bots]]\nname = "a"\naccess_token = "new-secret"',
        )
        self.assertEqual(found.describe(), 'bot "a" changed, admin_token')


class StubSession:
    """A session that is only looked at."""

    def __init__(self, snapshot: OpenSession) -> None:
        self.snapshot = lambda: snapshot


class ServiceTests(SynchronousTestCase):
    """A service in memory that is made to serve one configuration after the other."""

    def start(self, toml: str) -> tuple[LgtwistService, Reloader, MemoryReactor]:
        clock = MemoryReactor()
        config = configuration(f'data_dir = "{self.mktemp()}"\n{toml}')
        self.data_dir = config.data_dir
        service = LgtwistService(config, clock, lambda: 1_700_000_000.0)
        service.prepare()
        service.startService()
        return service, Reloader(service, maybeDeferred), clock

    def stop(self, service: LgtwistService, clock: MemoryReactor) -> None:
        stopped = service.stopService()
        clock.pump([1.0] * 10)
        self.successResultOf(stopped)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_the_files_of_a_sandbox(self) -> None:
        """media_dirs and public_url count at once; a bot elsewhere that gets loopback's links is logged."""
        account = "[[accounts]]\nself_id = 1\n"
        bot = '[[bots]]\nname = "a"\n'
        for number, url in enumerate(("http://b.test:5/?token=t", "http://127.0.0.1:5/")):
            bot += f'[[bots]]\nname = "hook{number}"\nconnection = "http-post"\nurl = "{url}"\n'
        service, reloader, clock = self.start(account + bot)
        media = service.account_edge(1).media
        session = StubSession(
            OpenSession(account=1, role="", address="172.17.0.2:5", user_agent="", since=0.0)
        )
        service.directory.bots["a"].sessions[session] = None
        with capturedLogs() as captured:
            media.on_link("http://127.0.0.1:8081/sandbox/1/media/x")
        first, second = (str(formatEvent(event)) for event in captured)
        self.assertIn("a at 172.17.0.2:5 gets", first)
        self.assertIn("hook0 at http://b.test:5 gets", second)
        service.directory.bots["a"].sessions.clear()
        wanted = account + 'media_dirs = ["/x"]\npublic_url = "http://h:1/"\n' + bot
        done = reloader.reload(lambda: configuration(f'data_dir = "{self.data_dir}"\n{wanted}'))
        clock.pump([1.0] * 6)
        self.successResultOf(done)
        self.assertIs(service.account_edge(1).media, media)
        self.assertEqual((media.media_dirs, media.public_url), (("/x",), "http://h:1"))
        self.stop(service, clock)

    @quick
    @given(configurations(), st.lists(configurations(), min_size=1, max_size=4))
    def test_any_configurations(self, first: str, others: list[str]) -> None:
        """Afterwards what is served is the new one, and what is in both is the very same object."""
        service, reloader, clock = self.start(first)
        for toml in others:
            wanted = configuration(f'data_dir = "{self.data_dir}"\n{toml}')
            found = changes(service.config, wanted)
            touched = {one.new.self_id for one in found.accounts.changed if one.change is Change.ANEW}
            edges = {edge.name: edge for edge in service.accounts}
            accounts = dict(service.directory.accounts)
            done = reloader.reload(lambda: wanted)  # noqa: B023
            clock.pump([1.0] * 6)
            self.successResultOf(done)
            self.assertEqual(service.config, wanted)
            self.assertEqual(list(service.directory.accounts), [one.self_id for one in wanted.accounts])
            self.assertEqual(
                {edge.name for edge in service.accounts}, {str(a.self_id) for a in wanted.accounts}
            )
            self.assertEqual({edge.name for edge in service.bots}, {bot.bot.name for bot in wanted.bots})
            for account in wanted.accounts:
                if account.self_id in accounts:
                    self.assertIs(service.directory.accounts[account.self_id], accounts[account.self_id])
                    same = service.account_edge(account.self_id) is edges[str(account.self_id)]
                    self.assertEqual(same, account.self_id not in touched)
            for bot in wanted.bots:
                self.assertEqual(service.directory.bots[bot.bot.name].settings, bot.bot)
        self.stop(service, clock)

    def test_two_reloads_at_once(self) -> None:
        """The second runs once, after the first; however often it was asked for."""
        service, reloader, clock = self.start("")
        reads: list[int] = []

        def read() -> Any:
            reads.append(1)
            done.append(reloader.reload(read)) if len(reads) == 1 else None
            done.append(reloader.reload(read)) if len(reads) == 1 else None
            return service.config

        done: list[Any] = []
        done.append(reloader.reload(read))
        for one in done:
            self.successResultOf(one)
        self.assertEqual(len(reads), 2)
        self.stop(service, clock)
