"""The newest lines of the log: what is kept, what is shown, and what never is."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

from twisted.logger import Logger, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.console.log_lines import (
    FAILURE_BYTES,
    LINE_BYTES,
    MAX_RING_BYTES,
    Hider,
    LineFilter,
    LogLines,
    show,
)
from tests.console.test_api import TOKEN, ConsoleTestCase
from tests.rounds import SLOWNESS
from tests.web.site_case import Peer

LOG = Logger("lgtwist.test")
BOT_TOKEN = "bot token/with+signs=äß"


def event(text: str = "hello", **members: Any) -> dict[str, Any]:
    return {
        "log_format": "{text}",
        "text": text,
        "log_level": LogLevel.info,
        "log_namespace": "some.where",
        "log_time": 1.5,
        **members,
    }


def failure(text: str) -> Failure:
    try:
        raise ValueError(text)
    except ValueError:
        return Failure()


class RingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = LogLines(lambda: 1.0)
        self.hider = Hider(())

    def shown(self, after: int = 0) -> list[Any]:
        return [show(entry, self.hider) for entry in self.lines.after(after)]

    def test_a_line(self) -> None:
        self.lines(event())
        [line] = self.shown()
        self.assertEqual((line.n, line.t, line.level), (1001, 1.5, "info"))
        self.assertEqual((line.system, line.text, line.failure), ("some.where", "hello", None))

    def test_the_newest_thousand(self) -> None:
        for number in range(1500):
            self.lines(event(str(number)))
        self.assertEqual([line.text for line in self.shown()], [str(number) for number in range(500, 1500)])
        self.assertEqual([line.text for line in self.shown(2497)], ["1497", "1498", "1499"])
        self.assertEqual(self.shown(2500), [])
        self.assertEqual(len(self.shown(3)), 1000)
        self.assertEqual(len(self.shown(10**15)), 1000)  # a number of another run

    def test_long_lines(self) -> None:
        self.lines(event("长" * 5000, log_failure=failure("y" * 900)))
        line = self.lines.after(0)[0].line
        self.assertLessEqual(len(line.text.encode()), LINE_BYTES)
        self.assertTrue(line.text.endswith("…"))

    def test_many_long_tracebacks(self) -> None:
        class Long(Failure):
            frames = [("name" * 100, "file" * 100, 1, (), ())] * 100

        for _number in range(1000):
            self.lines(event("x", log_failure=Long(ValueError("v" * 1000))))
        found = self.lines.after(0)
        self.assertLessEqual(max(len(one.line.failure or "") for one in found), FAILURE_BYTES)
        self.assertLessEqual(sum(one.line.size() for one in found), MAX_RING_BYTES)
        self.assertLess(len(found), 1000)

    def test_lines_that_were_left_out_are_none(self) -> None:
        self.lines(event(log_format=None))
        self.assertEqual(len(self.lines), 0)

    def test_control_characters(self) -> None:
        self.lines(event("a\x1b[31m\u202eb\nc"))
        self.assertTrue(self.shown()[0].text.isprintable())


class HiderTests(SynchronousTestCase):
    def test_a_secret_that_is_cut_off(self) -> None:
        long = "".join(f"{number}-" for number in range(200))
        hide = Hider([long, "0123456789abcdef"]).hide
        for size in (4, 99, 100, 101, 300, len(long) - 1):
            self.assertEqual(hide(f"x {long[:size]}\u2026"), "x (hidden)\u2026")
        self.assertEqual(hide(f"x {long}"), "x (hidden)")
        self.assertEqual(hide("x 0123\u2026 012\u2026 01234"), "x (hidden)\u2026 012\u2026 01234")

    def test_many_cut_lines(self) -> None:
        hide = Hider([f"{number}-token-of-a-bot" for number in range(300)]).hide
        start = time.thread_time()
        for _ in range(20):
            hide("a\u2026" * 680)
        self.assertLess(time.thread_time() - start, 3 * SLOWNESS)  # it was 10 s

    def test_hidden(self) -> None:
        hide = Hider([BOT_TOKEN, "0123456789abcdef", "ab"]).hide
        for written in (
            BOT_TOKEN,
            quote(BOT_TOKEN, safe=""),
            json.dumps(BOT_TOKEN)[1:-1],
            repr(BOT_TOKEN)[1:-1],
        ):
            self.assertEqual(hide(f"<{written}>"), "<(hidden)>")
        self.assertEqual(hide("x0123456789abcdefy"), "x(hidden)y")
        self.assertEqual(hide("cut at 0123456789ab…"), "cut at (hidden)…")
        self.assertEqual(hide("cut at 0123456789ab… and on"), "cut at (hidden)… and on")
        self.assertEqual(hide("cab ab"), "cab (hidden)")  # a short one is part of many words
        self.assertEqual(hide("nothing"), "nothing")


class LogTestCase(ConsoleTestCase):
    toml = (
        f'[server]\nadmin_token = "{TOKEN}"\n[[accounts]]\nself_id = 10001\ntype = "sandbox"\n'
        '[[accounts]]\nself_id = 2\ntype = "http"\nurl = "http://127.0.0.1:1"\nsecret = "posts-secret"\n'
        '[[bots]]\nname = "helper"\naccess_token = "helpers-token"\n'
    )

    def lines(self, query: str = "") -> list[dict[str, Any]]:
        answer = json.loads(self.bearer(f"log?{query}").body())
        return list(answer["lines"])

    def texts(self, query: str = "") -> list[str]:
        return [line["text"] for line in self.lines(query)]


class LogTests(LogTestCase):
    def test_the_service_installs_it(self) -> None:
        LOG.info("hello there")
        answer = json.loads(self.bearer("log").body())
        line = answer["lines"][-1]
        self.assertEqual(line["n"], answer["last"])
        self.assertEqual((line["level"], line["system"]), ("info", "lgtwist.test"))
        self.assertEqual((line["text"], line["failure"]), ("hello there", None))

    def test_the_service_removes_it(self) -> None:
        lines = self.service.log_lines
        self.assertIn(lines, globalLogPublisher._observers)
        self._cleanups.insert(0, (self.assertNotIn, (lines, globalLogPublisher._observers), {}))  # the last

    def test_filters(self) -> None:
        before = self.lines()[-1]["n"]
        for level in ("debug", "info", "warn", "error"):
            getattr(LOG, level)("One of {which}", which=level.upper())
        texts = [f"One of {level}" for level in ("DEBUG", "INFO", "WARN", "ERROR")]
        self.assertEqual(self.texts(f"after={before}"), texts)
        self.assertEqual(self.texts(f"after={before}&level=warn"), texts[2:])
        self.assertEqual(self.texts(f"after={before}&text=of%20in"), [texts[1]])
        self.assertEqual(self.texts(f"after={before}&text=LGTWIST.test&most=1"), [texts[3]])
        self.assertEqual(self.texts(f"after={before}&most=0"), [])

    def test_mistakes(self) -> None:
        for query, code in [
            ("level=loud", "bad_filter"), (f"text={'x' * 201}", "bad_filter"), ("after=x", "bad_request"),
            ("most=-1", "bad_request"),
        ]:  # fmt: skip
            peer = self.bearer(f"log?{query}")
            self.assertEqual((peer.status(), self.code(peer)), (400, code))
        self.assertEqual(self.bearer("log/nothing").status(), 404)

    def test_no_secrets(self) -> None:
        for secret in (TOKEN, "posts-secret", "helpers-token"):
            LOG.warn("somebody said {secret}!", secret=secret)
            LOG.failure("a mistake", failure(f"with {secret} in it"))
            LOG.info("?access_token={token}", token=quote(secret, safe=""))
            for path in ("log", "log/download", "stream?topics=log&after=1"):
                peer = self.bearer(path)
                self.clock.advance(0.3)
                self.assertIn("(hidden)", peer.body())
                self.assertNotIn(secret, peer.body())
            self.assertEqual(self.lines(f"text={secret[:8]}"), [])  # nobody can guess at it
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 3)

    def test_a_token_that_was_replaced(self) -> None:
        LOG.info("the token is {token}", token=TOKEN)
        self.service.secrets()
        from attrs import evolve

        self.service.set_server_settings(evolve(self.service.config.server, admin_token="another-token"))
        peer = self.api("log", Authorization="Bearer another-token")
        self.assertIn("the token is (hidden)", peer.body())
        self.assertNotIn(TOKEN, peer.body())

    def test_a_made_token(self) -> None:
        made = "x" * 43
        self.service.port.authentication.made_token = made
        from lgtwist.app.admin_token import MadeToken

        self.service.console_token.use(MadeToken(made, False))
        LOG.info("made: {made}", made=made)
        self.assertEqual(self.texts()[-1], "made: (hidden)")

    def test_download(self) -> None:
        LOG.failure("a mistake", failure("of mine"))
        self.flushLoggedErrors(ValueError)
        peer = self.bearer("log/download")
        self.assertIn('content-disposition: attachment; filename="lgtwist-log-2023-', peer.headers())
        self.assertIn("content-type: text/plain", peer.headers())
        self.assertIn("[lgtwist.test#critical] a mistake\n\tTraceback", peer.body())
        self.assertIn("of mine\n", peer.body())

    def test_strangers(self) -> None:
        for path in ("log", "log/download"):
            self.assertEqual(self.api(path).status(), 401)


class StreamTests(LogTestCase):
    def carried(self, peer: Peer, name: str = "log") -> list[dict[str, Any]]:
        parts = peer.body().split(f"event: {name}\ndata: ")[1:]
        return [json.loads(part.partition("\n")[0]) for part in parts]

    def open(self, query: str = "topics=log") -> Peer:
        peer = self.bearer(f"stream?{query}")
        peer.read()
        return peer

    def test_what_comes(self) -> None:
        LOG.info("before")
        peer = self.open("topics=log&level=warn")
        LOG.info("calm")
        LOG.warn("look")
        self.clock.advance(0.3)
        [carried] = self.carried(peer)
        self.assertEqual(carried["to"], "log")
        self.assertEqual([line["text"] for line in carried["lines"]], ["look"])
        self.clock.advance(0.3)
        self.assertEqual(len(self.carried(peer)), 1)

    def test_it_goes_on_behind_a_line(self) -> None:
        LOG.info("one")
        after = self.lines()[-1]["n"]
        LOG.info("two")
        peer = self.open(f"topics=log&after={after}")
        self.clock.advance(0.3)
        [carried] = self.carried(peer)
        self.assertIn("two", [line["text"] for line in carried["lines"]])
        self.assertNotIn("one", [line["text"] for line in carried["lines"]])

    def test_too_much_is_counted(self) -> None:
        peer = self.open()
        for number in range(300):
            LOG.info("{number}", number=number)
        for _tick in range(4):
            self.clock.advance(0.25)
        came = [line["text"] for carried in self.carried(peer) for line in carried["lines"]]
        self.assertEqual(came, [str(number) for number in range(200, 300)])
        [dropped] = self.carried(peer, "dropped")
        self.assertEqual(dropped, {"to": "log", "topic": "log", "count": 200})

    def test_lines_that_are_not_kept_any_more_are_counted(self) -> None:
        peer = self.open()
        self.clock.advance(0.3)
        for number in range(1300):
            LOG.info("{number}", number=number)
        for _tick in range(4):
            self.clock.advance(0.25)
        self.assertEqual(sum(one["count"] for one in self.carried(peer, "dropped")), 1200)

    def test_a_browser_that_reads_nothing(self) -> None:
        peer = self.open()
        [stream] = self.service.console._api._streams._streams.values()
        stream.pauseProducing()
        LOG.info("meanwhile")
        self.clock.advance(2.0)
        self.assertEqual(self.carried(peer), [])
        stream.resumeProducing()
        self.clock.advance(0.3)
        [carried] = self.carried(peer)
        self.assertEqual([line["text"] for line in carried["lines"]], ["meanwhile"])

    def test_no_echo(self) -> None:
        """A stream whose lines cause a line each does not go round and round in one turn."""
        peer = self.open()
        [stream] = self.service.console._api._streams._streams.values()
        write = stream.write

        def noisy(name: str, data: bytes) -> None:
            LOG.info("wrote {name}", name=name)
            write(name, data)

        stream.write = noisy
        LOG.info("the first")
        for _tick in range(4):
            self.clock.advance(0.25)
        self.assertLessEqual(len(self.carried(peer)), 4)

    def test_many_filters_take_turns(self) -> None:
        """What all subscriptions look through at once is bounded; the others do so with the next ticks."""
        looked: list[str] = []
        passes = LineFilter.passes

        def counted(this: LineFilter, line: Any) -> bool:
            looked.append(line.text)
            return passes(this, line)

        self.patch(LineFilter, "passes", counted)
        for number in range(1000):
            LOG.info("{number} {text}", number=number, text="x" * 400)
        held = sum(entry.size for entry in self.service.log_lines.after(0))
        peer = self.open("topics=links")
        name = json.loads(peer.body().partition("event: hello\ndata: ")[2].partition("\n")[0])["stream"]
        wanted: list[dict[str, Any]] = [
            {"id": str(number), "topic": "log", "filter": {"text": f"no{number}"}, "after": 0}
            for number in range(31)
        ]
        wanted.append({"id": "last", "topic": "log", "filter": {"text": "999 x"}, "after": 0})
        self.assertEqual(self.bearer(f"stream/{name}", "POST", {"subscriptions": wanted}).status(), 200)
        for _tick in range(10):
            self.clock.advance(0.25)
            self.assertLessEqual(sum(map(len, looked)), (4 << 20) + held)
            looked.clear()
        [carried] = self.carried(peer)
        self.assertEqual((carried["to"], len(carried["lines"])), ("last", 1))
        self.assertEqual(self.carried(peer, "dropped"), [])

    def test_filter_in_a_subscription(self) -> None:
        peer = self.open("topics=links")
        name = json.loads(peer.body().partition("event: hello\ndata: ")[2].partition("\n")[0])["stream"]
        wanted = {"id": "mine", "topic": "log", "filter": {"level": "error", "text": "disk"}, "after": None}
        self.assertEqual(self.bearer(f"stream/{name}", "POST", {"subscriptions": [wanted]}).status(), 200)
        LOG.error("the disk is full")
        LOG.error("other")
        self.clock.advance(0.3)
        [carried] = self.carried(peer)
        self.assertEqual((carried["to"], len(carried["lines"])), ("mine", 1))
        for given in ({"level": 1}, {"text": []}, {"other": 1}, []):
            answer = self.bearer(
                f"stream/{name}", "POST", {"subscriptions": [{"id": "x", "topic": "log", "filter": given}]}
            )
            self.assertEqual(answer.status(), 400)
