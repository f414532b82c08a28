"""What the console's overview shows, over real accounts and bots in memory."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
from attrs import evolve
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lgtwist.app.configuration import parse
from lgtwist.app.console_view import RunningService
from lgtwist.console.overview import Overview, nickname_in, shown_text
from lgtwist.console.refused_blocks import block_for
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.hub.interfaces import IBotSession, IDialler, IPoster, IReverseLink
from lgtwist.hub.settings import BotSettings
from lgtwist.hub.snapshots import EndedSession, OpenSession, PostFailure, PostingState
from lgtwist.runtime.platform import resident_memory
from lgtwist.web.refused_handshakes import RefusedHandshake
from lgtwist.websocket.dial import DialState
from tests.hub.fakes import FakeLink, checked_link, directory_of
from tests.rounds import SLOWNESS
from tests.web.site_case import SiteTestCase

#: Seconds since the epoch when the clock stands at zero.
EPOCH = 1_700_000_000.0
#: What people may say, that must not do harm.
HOSTILE = "<img src=x onerror=alert(1)></script>\u202e\n" + "x" * 100_000
REFUSED = RefusedHandshake(
    address="198.51.100.7",
    account=None,
    bot=None,
    reason="token",
    status=403,
    sentence="the token is wrong",
    times=3,
    first=EPOCH + 0.123,
    last=EPOCH + 1.0,
)


@implementer(IDialler, IPoster)
class Edge:
    """An edge that dials and posts as a test says."""

    def __init__(self) -> None:
        self.states: dict[int, list[DialState]] = {}
        self.posts: dict[int, PostingState] = {}

    def attempts(self) -> int:
        return 0

    def dials(self) -> dict[int, list[DialState]]:
        return self.states

    def postings(self) -> dict[int, PostingState]:
        return self.posts

    def when_idle(self) -> Deferred[None]:
        return succeed(None)


@implementer(IReverseLink)
class ReverseLink:
    def __init__(self, access_token: str | None) -> None:
        self.access_token = access_token

    def accept(self, request: Any, role: str, on_closed: Any) -> None: ...


@implementer(IBotSession)
class Session:
    """An open session of a bot."""

    dialled = False

    def __init__(self, account: Account, agent: str = "agent/1", address: str = "127.0.0.1:5000") -> None:
        self.account = account
        self.open: OpenSession | None = OpenSession(
            account=account.self_id, role="Universal", address=address, user_agent=agent, since=EPOCH
        )

    def snapshot(self) -> OpenSession | None:
        return self.open

    def refresh(self, heartbeat_interval: float) -> None: ...

    def end(self, code: int, reason: str) -> None: ...

    def break_off(self, in_flight: Any, response: bytes, cut: bool) -> bool:
        return False


class View:
    """A service whose parts a test sets."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.started = EPOCH
        self.account_edges: dict[int, object] = {}
        self.bot_edges: dict[str, object] = {}
        self.types: dict[int, str] = {}
        self.refused: list[RefusedHandshake] = []
        self.told: list[str] = []
        self.trouble = ""
        self.base_urls = ["ws://127.0.0.1:8081"]

    def account_edge(self, self_id: int) -> object | None:
        return self.account_edges.get(self_id)

    def bot_edge(self, name: str) -> object | None:
        return self.bot_edges.get(name)

    def account_type(self, self_id: int) -> str:
        return self.types.get(self_id, "reverse-websocket" if self_id in self.directory.accounts else "")

    def bot_connection(self, name: str) -> str:
        return "forward-websocket" if name in self.directory.bots else ""

    def urls(self) -> list[str]:
        return self.base_urls

    def refused_handshakes(self) -> list[RefusedHandshake]:
        return self.refused

    def warnings(self) -> list[str]:
        return self.told

    def sandbox_actions(self) -> list[str]:
        return []

    def journal_trouble(self) -> str:
        return self.trouble

    def journal_size(self) -> int | None:
        return 4096

    def reactor_lag(self) -> float:
        return 0.00123

    def reload(self) -> Deferred[None]:
        return succeed(None)


class OverviewTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.account = Account(10001, self.clock, self.wall)
        self.bot = Bot(BotSettings(name="nonebot", access_token="bot-token-4711"))
        self.view = View(directory_of([self.account], [self.bot], None))
        view: Any = self.view
        self.overview = Overview(view, self.wall, self.clock.seconds)

    def wall(self) -> float:
        return EPOCH + self.clock.seconds()

    def state(self) -> Any:
        """The state, as a browser reads it."""
        return json.loads(msgspec.json.encode(self.overview.state()))

    def card(self) -> Any:
        return self.state()["accounts"][0]

    def bot_card(self) -> Any:
        return self.state()["bots"][0]

    def connect(self, **introductions: bytes) -> FakeLink:
        link: FakeLink = checked_link(self.account)
        link.introductions.update(introductions)
        self.account.links.opened(link, description="ws://u:secret-u@127.0.0.1:3001/x?access_token=secret-q")
        return link


class StateTests(OverviewTests):
    def test_top(self) -> None:
        """The totals, the version, the URLs and the warnings."""
        self.view.told = [
            "a new warning",
            "data_dir /x is open to other users of this machine (mode 0755); close it: chmod 700 /x",
        ]
        self.view.trouble = "disk I/O error"
        self.connect()
        self.overview.streams = lambda: 2
        state = self.state()
        self.assertEqual(
            (state["now"], state["started"], state["urls"]), (EPOCH, EPOCH, ["ws://127.0.0.1:8081"])
        )
        self.assertEqual(
            [one["code"] for one in state["warnings"]], ["journal_failing", "other", "data_dir_open"]
        )
        summary = state["summary"]
        self.assertEqual(summary.pop("memory") is None, resident_memory() is None)
        wanted = {"accounts_up": 1, "accounts": 1, "bots_connected": 0, "bots": 1, "events": 0, "lag": 0.001}
        self.assertEqual(summary, {**wanted, "journal_size": 4096, "streams": 2})

    def test_account(self) -> None:
        """An account that never connected, then one that is up, offline, and down again."""
        card = self.card()
        self.assertEqual((card["state"], card["reason"]["code"]), ("down", "never_connected"))
        self.assertIsNone(card["last_event"])
        self.clock.advance(5)
        link = self.connect()
        card = self.card()
        self.assertEqual((card["account"], card["type"], card["name"]), (10001, "reverse-websocket", "Robot"))
        self.assertEqual((card["app"], card["app_version"]), ("fake", "1"))
        self.assertEqual((card["state"], card["since"], card["reason"]), ("up", EPOCH + 5, None))
        self.assertEqual(
            card["links"], [{"via": "ws://127.0.0.1:3001/x", "channel": "both", "since": EPOCH + 5}]
        )
        self.account.publish(b'{"post_type":"message","message_type":"group","self_id":10001}')
        self.account.links.status_received(False)
        card = self.card()
        self.assertEqual((card["state"], card["reason"]["code"]), ("offline", "reported_offline"))
        self.assertEqual(card["events"], 1)
        self.assertEqual(card["last_event"], {"time": EPOCH + 5, "post_type": "message", "detail": ""})
        self.account.links.pause_events("9 bytes of events of account 10001 wait for the journal's disk")
        self.assertEqual(self.card()["journal_paused"]["code"], "other")
        self.clock.advance(7.26)
        self.account.links.closed(
            link, "1008 closed by the peer: no", code=1008, words="closed by the peer: no"
        )
        card = self.card()
        self.assertEqual((card["state"], card["reason"]["code"]), ("down", "closed_by_peer_saying"))
        ended = card["last_ended"]
        self.assertEqual((ended["code"], ended["lasted"], ended["time"]), (1008, 7.3, EPOCH + 12.3))
        self.assertEqual(ended["reason"]["args"], {"words": "no"})

    def test_bot(self) -> None:
        """A bot is up with a session, and down after it, with why it ended."""
        self.assertEqual(self.bot_card()["state"], "down")
        session = Session(self.account)
        self.bot.sessions[session] = None
        card = self.bot_card()
        self.assertEqual((card["bot"], card["state"], card["delivery"]), ("nonebot", "up", "live"))
        self.assertEqual((card["accounts"], card["sessions_count"]), (None, 1))
        self.assertEqual(card["sessions"][0]["user_agent"], "agent/1")
        self.assertEqual(self.state()["summary"]["bots_connected"], 1)
        del self.bot.sessions[session]
        self.bot.last_ended = EndedSession(
            account=10001,
            role="API",
            address="a",
            user_agent="b",
            code=None,
            reason="lost",
            time=EPOCH,
            lasted=1,
        )
        card = self.bot_card()
        self.assertEqual((card["state"], card["last_ended"]["reason"]["code"]), ("down", "lost"))

    def test_dials(self) -> None:
        """When it is dialled next is a time that does not move while nothing happens."""
        edge = Edge()
        self.view.bot_edges["nonebot"] = edge

        def dial(seconds: float | None, *, connected: bool = False, reason: str = "") -> None:
            edge.states[10001] = [
                DialState(
                    target="ws://127.0.0.1:8080/ws",
                    attempts=3,
                    opened=1,
                    connected=connected,
                    next_attempt_in=seconds,
                    last_reason=reason,
                )
            ]

        dial(10.49, reason="connection refused")
        shown = self.bot_card()["dials"][0]
        self.assertEqual((shown["next_attempt_at"], shown["attempts"]), (EPOCH + 10, 3))
        self.assertEqual(shown["last_reason"]["code"], "connection_refused")
        before = self.overview.cards()
        for _step in range(50):
            self.clock.advance(0.1)
            dial(10.49 - self.clock.seconds() + 0.02, reason="connection refused")
            self.assertEqual(self.overview.cards().cards, before.cards)
        dial(30.0, reason="connection refused")
        self.assertEqual(self.bot_card()["dials"][0]["next_attempt_at"], EPOCH + 35)
        session = Session(self.account)
        self.bot.sessions[session] = None
        self.assertEqual(self.bot_card()["state"], "partly")
        dial(None, connected=True)
        self.assertEqual(self.bot_card()["state"], "up")
        self.assertIsNone(self.bot_card()["dials"][0]["last_reason"])
        edge.states[2] = [evolve(edge.states[10001][0], attempts=0, connected=False)]
        self.assertEqual(self.bot_card()["state"], "up")  # account 2 was not up yet

    def test_postings(self) -> None:
        """A bot whose posts are taken is up; partly, where those of another account fail."""
        edge = Edge()
        self.view.bot_edges["nonebot"] = edge
        taken = PostingState(
            target="http://u:secret-u@127.0.0.1/x",
            running=True,
            failures=0,
            paused_for=None,
            last_failure=None,
        )
        failing = evolve(
            taken, failures=6, paused_for=3.0, last_failure=PostFailure(time=EPOCH, reason="HTTP 500")
        )
        for postings, state in (
            ({1: taken}, "up"),
            ({1: taken, 2: evolve(taken, running=False)}, "up"),
            ({1: taken, 2: failing}, "partly"),
            ({2: failing}, "down"),
            ({1: evolve(taken, running=False)}, "down"),
        ):
            edge.posts = postings
            self.assertEqual(self.bot_card()["state"], state)
        edge.posts = {2: failing}
        shown = self.bot_card()["postings"][0]
        self.assertEqual((shown["target"], shown["paused_until"]), ("http://127.0.0.1/x", EPOCH + 3))
        self.assertEqual(shown["last_failure"]["reason"]["args"], {"status": "500"})

    def test_deliveries(self) -> None:
        """The backlog of an at-least-once bot is shown with the time of its cursor."""

        class Waiting:
            account, backlog, unconfirmed, silent = 10001, 7, 2, True
            cursor_since = EPOCH - 60.04

        deliveries: Any = self.bot.deliveries
        deliveries[10001] = Waiting()
        self.bot.configure(BotSettings(name="nonebot", at_least_once=True, accounts=(10001,)))
        card = self.bot_card()
        self.assertEqual((card["delivery"], card["accounts"]), ("at-least-once", [10001]))
        wanted = {
            "account": 10001,
            "backlog": 7,
            "unconfirmed": 2,
            "cursor_since": EPOCH - 60,
            "silent": True,
        }
        self.assertEqual(card["deliveries"], [wanted])


class CardTests(OverviewTests):
    def test_the_same_as_the_state(self) -> None:
        """The parts are what the state has."""
        self.connect()
        self.view.refused = [REFUSED]
        state, cards = self.state(), self.overview.cards()
        self.assertEqual(
            {key: json.loads(card) for key, card in cards.cards.items()},
            {("account", "10001"): state["accounts"][0], ("bot", "nonebot"): state["bots"][0]},
        )
        self.assertEqual(json.loads(cards.refused), state["refused"])
        self.assertEqual(set(cards.summary), set(state["summary"]))

    def test_nothing_happens(self) -> None:
        """While nothing happens no byte of a card changes, however late it is."""
        self.connect()
        self.bot.sessions[Session(self.account)] = None
        self.view.refused = [REFUSED]
        before = self.overview.cards()
        for _step in range(20):
            self.clock.advance(3.337)
            now = self.overview.cards()
            self.assertEqual((now.cards, now.refused), (before.cards, before.refused))
        self.account.publish(b'{"post_type":"notice","notice_type":"poke","self_id":10001}')
        now = self.overview.cards()
        changed = [key for key, card in now.cards.items() if card != before.cards[key]]
        self.assertEqual(changed, [("account", "10001")])

    def test_bounds(self) -> None:
        """1000 cards, 50 sessions of a bot, and what matters first where there are more."""
        edge = Edge()
        self.view.bot_edges["nonebot"] = edge
        for number in range(60):
            self.bot.sessions[Session(self.account)] = None
            edge.states[number] = [
                DialState(
                    target="t",
                    attempts=1,
                    opened=1,
                    connected=number != 59,
                    next_attempt_in=None,
                    last_reason="",
                )
            ]
        for number in range(700):
            self.view.directory.add_account(Account(20000 + number, self.clock, self.wall))
            self.view.directory.add_bot(Bot(BotSettings(name=f"bot-{number}")))
        state = self.state()
        self.assertEqual((len(state["accounts"]), len(state["bots"])), (500, 500))
        self.assertEqual((state["summary"]["accounts"], state["summary"]["bots"]), (701, 701))
        card = state["bots"][0]
        self.assertEqual((len(card["sessions"]), card["sessions_count"]), (50, 60))
        self.assertEqual((len(card["dials"]), card["dials_count"]), (50, 60))
        self.assertFalse(card["dials"][0]["connected"])

    def test_cheap(self) -> None:
        """200 bots and 20 accounts are read within some milliseconds."""
        for number in range(199):
            bot = Bot(BotSettings(name=f"bot-{number}"))
            bot.sessions[Session(self.account)] = None
            self.view.directory.add_bot(bot)
        for number in range(19):
            self.view.directory.add_account(Account(20000 + number, self.clock, self.wall))
        self.overview.cards()

        def seconds() -> float:
            begin = time.thread_time()
            self.overview.cards()
            return time.thread_time() - begin

        self.assertLess(min(seconds() for _round in range(10)), 0.03 * SLOWNESS)  # measured: 5 ms


class SecretTests(OverviewTests):
    def test_tokens(self) -> None:
        """No token is shown, wherever one may stand."""
        secrets = ["bot-token-4711", "account-token-1", "secret-u", "secret-q", "secret-b", "secret-p9"]
        self.view.account_edges[10001] = ReverseLink("account-token-1")
        edge = Edge()
        self.view.bot_edges["nonebot"] = edge
        url = "ws://secret-u:secret-p9@h:1/p?access_token=secret-q&key=secret-q#secret-q"
        dial = DialState(
            target=url,
            attempts=1,
            opened=0,
            connected=False,
            next_attempt_in=None,
            last_reason=f"refused with HTTP 403 no bot-token-4711 at {url}",
        )
        edge.states = {10001: [dial]}
        edge.posts = {
            10001: PostingState(
                target=url,
                running=True,
                failures=1,
                paused_for=1.0,
                last_failure=PostFailure(time=1.0, reason=f"Authorization: Bearer secret-b {url}"),
            )
        }
        self.bot.sessions[Session(self.account, f"agent {url}", url)] = None
        self.bot.last_ended = EndedSession(
            account=10001,
            role="API",
            address=url,
            user_agent="bot-token-4711",
            code=1008,
            reason='closed by the peer: {"token":"secret-b","msg":"token: secret-p9"}',
            time=1.0,
            lasted=1.0,
        )
        link = self.connect(
            get_version_info=b'{"status":"ok","retcode":0,"data":{"app_name":"account-token-1","app_version":"1"}}'
        )
        self.account.login_info = b'{"user_id":10001,"nickname":"access_token=secret-q"}'
        closed = "closed by the peer: account-token-1 secret=secret-b"
        state = [self.overview.state()]
        self.account.links.closed(link, f"1008 {closed}", code=1008, words=closed)
        self.view.refused = [evolve(REFUSED, sentence=f"bad {url}", address=url)]
        self.view.told = [f"accounts[0].url: the token in its query goes to {url} unencrypted"]
        self.view.trouble = f"cannot open {url}"
        self.view.base_urls = [url]
        state.append(self.overview.state())
        cards = self.overview.cards()
        text = (msgspec.json.encode(state) + b"".join(cards.cards.values()) + cards.refused).decode()
        for secret in secrets:
            self.assertNotIn(secret, text)
        self.assertIn("ws://h:1/p", text)

    def test_sentences_of_ours_stay(self) -> None:
        """Sentences in which no token stands are not touched."""
        for sentence in (
            "a token is needed: Authorization: Bearer ...",
            "accounts[0].access_token: the token goes to ws://h unencrypted; use wss:// there",
            "the server does not speak TLS (is the URL ws:// or http://?)",
            "refused ::1: address ::1 is not loopback and account 1 has no token; set access_token in it",
            "closed by the peer: invalid token: expired",
        ):
            self.assertEqual(shown_text(sentence), sentence)

    def test_hostile_text(self) -> None:
        """What peers say is printable and short; names of any kind are read leniently."""
        self.account.login_info = json.dumps({"user_id": 10001, "nickname": HOSTILE}).encode()
        self.bot.sessions[Session(self.account, HOSTILE, HOSTILE)] = None
        self.account.reason = HOSTILE
        state = self.state()
        name = state["accounts"][0]["name"]
        self.assertTrue(name.startswith("<img src=x onerror=alert(1)></script>\ufffd\ufffdxxx"))

        def check(value: Any) -> None:
            if isinstance(value, str):
                self.assertTrue(value.isprintable() and len(value) <= 200, value[:300])
            elif isinstance(value, dict):
                for one in value.values():
                    check(one)
            elif isinstance(value, list):
                for one in value:
                    check(one)

        check(state)
        self.assertLess(len(msgspec.json.encode(state)), 10_000)
        for info in (
            None,
            b"",
            b"null",
            b"[1]",
            b'{"nickname":5}',
            b'{"nickname":null}',
            b"\xff",
            b'{"nickname":',
        ):
            self.assertEqual(nickname_in(info), "")
        self.assertEqual(nickname_in(b'{"nickname":"\\ud83d"}'), "\ufffd")
        self.assertTrue(shown_text("token" * 100_000 + "://" * 100_000))


class RefusedTests(OverviewTests):
    def block(self, **changes: Any) -> str:
        self.view.refused = [evolve(REFUSED, **changes)]
        card = self.state()["refused"][0]
        block: str = card["block"]
        return block

    def assertUseful(self, block: str, **wanted: Any) -> None:
        """Assert that a block is taken by the configuration, once its token is filled in."""
        self.assertEqual(block.count('= ""'), 1, block)
        config = parse(block.replace('= ""', '= "a-token-that-is-long-enough"'))
        # Without any account, or any bot, a configuration has one of its own.
        found: Any = config.accounts[0] if block.startswith("[[accounts]]") else config.bots[0].bot
        for name, value in wanted.items():
            self.assertEqual(getattr(found, name), value)

    def test_card(self) -> None:
        """A card has what was refused, why as a code, and its times."""
        self.view.refused = [REFUSED]
        card = self.state()["refused"][0]
        self.assertEqual((card["address"], card["reason"], card["times"]), ("198.51.100.7", "token", 3))
        self.assertEqual((card["explained"]["code"], card["first"]), ("token_wrong", EPOCH + 0.1))

    def test_unknown_account(self) -> None:
        """Of an implementation whose account is not there it is an account; not if that has another type."""
        for kind in ("reverse-websocket", "http"):
            sentence = f"there is no account 12345 of type {kind} in [[accounts]]"
            block = self.block(reason="account", account=12345, sentence=sentence)
            self.assertUseful(block, self_id=12345)
            self.assertIn(f'"{kind}"', block)
            self.assertEqual(self.block(reason="account", account=10001, sentence=sentence), "")
        block = self.block(
            reason="account",
            account=12345,
            address="2001:db8::1",
            sentence="there is no account 12345 of type http in [[accounts]]",
        )
        self.assertIn('"http://[2001:db8::1]:3000"', block)

    def test_tokens(self) -> None:
        """Of a peer with a wrong token, or none, it says what is to be set."""
        self.assertUseful(self.block(), name="new-bot")
        self.view.directory.add_bot(Bot(BotSettings(name="new-bot")))
        self.assertUseful(self.block(status=401), name="new-bot-2")
        self.assertUseful(self.block(account=10001), self_id=10001)
        self.view.types[10001] = "http"
        self.assertEqual(self.block(account=10001, sentence="X-Signature is wrong"), "")

    def test_other_machines(self) -> None:
        """Of a peer on another machine, where no token is set, it is a token."""
        why = "refused 198.51.100.7: address 198.51.100.7 is not loopback and"
        sentence = f'{why} bot "nonebot" has no token; set access_token in [[bots]] and in the bot'
        self.assertUseful(self.block(reason="host", sentence=sentence), name="nonebot")
        sentence = f"{why} account 10001 has no token; set access_token in [[accounts]]"
        self.assertUseful(self.block(reason="host", account=10001, sentence=sentence), self_id=10001)

    def test_nothing_to_add(self) -> None:
        """Of other refusals there is none."""
        for reason in ("path", "limit", "handshake"):
            self.assertEqual(self.block(reason=reason, account=12345), "")
        for changes in (
            {"account": 10001, "bot": "nonebot", "sentence": 'bot "nonebot" may not use this account'},
            {"account": 5, "bot": "nonebot", "sentence": "there is no account 5"},
            {"account": None, "sentence": "the header X-Self-ID must name the account"},
        ):
            self.assertEqual(self.block(reason="account", **changes), "")

    def test_quoting(self) -> None:
        """A name cannot leave its quotation marks."""
        sentence = 'bot "a\\" x = 1 [[bots]] " has no token'
        block = block_for(evolve(REFUSED, reason="host", sentence=sentence), lambda _number: "", ())
        self.assertIn('name = "a\\\\\\" x', block)


class ServiceTests(SiteTestCase):
    """The overview of a whole service in memory."""

    toml = """
        [server]
        admin_token = "secret-admin"
        [[accounts]]
        self_id = 1
        [[accounts]]
        self_id = 2
        type = "forward-websocket"
        url = "ws://198.51.100.7:3001/x?access_token=secret-query"
        access_token = "secret-token"
        [[accounts]]
        self_id = 3
        type = "http"
        url = "http://127.0.0.1:1/"
        access_token = "secret-http"
        secret = "secret-signature"
        [[accounts]]
        self_id = 4
        type = "reverse-websocket"
        access_token = "secret-reverse"
        [[bots]]
        name = "one"
        access_token = "secret-bot"
        [[bots]]
        name = "two"
        connection = "reverse-websocket"
        url = "ws://127.0.0.1:6199/ws?access_token=secret-dialled"
        access_token = "secret-bot-2"
        [[bots]]
        name = "three"
        connection = "http-post"
        url = "http://127.0.0.1:6199/post?key=secret-post"
        secret = "secret-signature-3"
    """

    def test_all_of_it(self) -> None:
        """Each kind of account and bot has a card; nobody's token is in it."""
        overview = Overview(RunningService(self.service), lambda: EPOCH, self.clock.seconds)
        self.dial("/1/?access_token=secret-bot").read()
        self.dial("/?access_token=secret-wrong").read()
        self.dial("/onebot/v11/ws", X_Self_ID="9", Authorization="Bearer secret-stranger").read()
        raw = msgspec.json.encode(overview.state())
        self.assertNotIn(b"secret-", raw)
        self.assertNotIn(b"secret-", b"".join(overview.cards().cards.values()))
        state = json.loads(raw)
        types = {card["account"]: card["type"] for card in state["accounts"]}
        self.assertEqual(types, {1: "sandbox", 2: "forward-websocket", 3: "http", 4: "reverse-websocket"})
        self.assertEqual(state["accounts"][1]["dials"][0]["target"], "ws://198.51.100.7:3001/x")
        bots = {card["bot"]: card for card in state["bots"]}
        self.assertEqual(
            {name: card["connection"] for name, card in bots.items()},
            {"one": "forward-websocket", "two": "reverse-websocket", "three": "http-post"},
        )
        self.assertEqual(bots["one"]["state"], "up")
        self.assertEqual(len(bots["one"]["sessions"]), 1)
        self.assertEqual(bots["three"]["postings"][0]["target"], "http://127.0.0.1:6199/post")
        codes = [warning["code"] for warning in state["warnings"]]
        self.assertIn("token_unencrypted", codes)
        self.assertNotIn("other", codes)
        refused = {card["reason"]: card for card in state["refused"]}
        self.assertEqual(refused["token"]["explained"]["code"], "token_wrong")
        self.assertIn("self_id = 9", refused["account"]["block"])
