"""HTTP POST: a bot that gets its events posted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import shutil
import signal
import subprocess
import time
from typing import Any

from tests.integration.faulty import Injector, numbered
from tests.integration.listening_bots import (
    Receiver,
    never,
)
from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, ServiceTestCase, wait_until
from tests.integration.webhooks import (
    ALICE,
    GROUP,
    SECRET,
    TIMEOUT,
    WebhookTestCase,
)


class Posts(WebhookTestCase):
    """What is posted."""

    def event_of_all_kinds(self, word: str) -> bytes:
        text = (
            r'{"post_type" : "notice", "notice_type":"test",  "word": "WORD", "zh":"\u4f60好",'
            r' "html":"<&>\u003c", "e": "é",'
            r' "emoji": "\ud83d\ude00😀", "slash":"\/", "quote":"\"\\", "z":null, "a": {"t" : true, "": [ ]},'
            r' "control":"\u0001\n\t\b\f\u007f\u2028", "n": [1, -0, 1.0, 2.50, 1e3, 9007199254740991]}'
        )
        return text.replace("WORD", word).encode()

    def post_of(self, event: bytes, word: str) -> Any:
        status, answer = self.service.http("/sandbox/10001/event", event)
        self.assertEqual(status, 200, answer)
        return self.receiver.wait(word)

    def test_body(self) -> None:
        """Compact JSON with nothing escaped that need not be, signed over exactly these bytes."""
        word = self.word()
        post = self.post_of(self.event_of_all_kinds(word), word)
        for text in ("你好", "😀😀", '"slash":"/"', "é", "<&><", word):
            self.assertIn(text.encode(), post.raw)
        self.assertNotIn(b'": ', post.raw)
        self.assertNotIn(b', "', post.raw)
        self.assertEqual(post.event["a"], {"t": True, "": []})
        self.assertEqual(post.headers["content-type"], "application/json")
        self.assertEqual(post.headers["x-self-id"], "10001")
        signature = hmac.new(SECRET.encode(), post.raw, hashlib.sha1).hexdigest()
        self.assertEqual(post.headers["x-signature"], f"sha1={signature}")
        self.assertNotIn("authorization", post.headers)

    def test_signature_of_javascript(self) -> None:
        """Koishi signs what it has parsed and written again: that must be the same bytes."""
        if shutil.which("node") is None:
            self.skipTest("not installed: node")
        posts = []
        for event in (
            self.event_of_all_kinds,
            lambda word: b'{"post_type":"x","lone":"\\ud800 \\udc00","word":"%b"}' % word.encode(),
            lambda word: b'{"post_type":"x","f":[0.1,-1.5,1e20,123456.789,-0.0],"word":"%b"}' % word.encode(),
        ):
            word = self.word()
            posts.append(self.post_of(event(word), word))
        said = self.service.say(ALICE, "real 消息 😀 [CQ:face,id=1] & <b>", group_id=GROUP)
        posts.append(self.receiver.wait(f'"message_id":{said},'))
        script = (
            'const c=require("crypto"),d=require("fs").readFileSync(0,"utf8").trim().split("\\n");'
            "for(const l of d){const s=JSON.stringify(JSON.parse(Buffer.from(l,'base64').toString()));"
            'console.log(c.createHmac("sha1",process.argv[1]).update(s).digest("hex")+" "+s)}'
        )
        lines = b"\n".join(base64.b64encode(post.raw) for post in posts)
        ran = subprocess.run(
            ["node", "-e", script, SECRET], input=lines, capture_output=True, timeout=PATIENCE, check=True
        )
        for post, line in zip(posts, ran.stdout.decode().rstrip("\n").split("\n"), strict=True):
            digest, _space, text = line.partition(" ")
            self.assertEqual(post.headers["x-signature"], f"sha1={digest}", f"{post.raw!r} and {text}")

    def test_order(self) -> None:
        """One account's posts go in order, one at a time, over a connection that is used again."""
        before, self.receiver.most_at_once = self.dropped(), 0
        for account in (10001, 10002):
            injector = Injector(self.service, account)
            self.addCleanup(injector.close)
            injector.publish(*({**numbered(n, who=account), "word": f"ordered {n}"} for n in range(200)))

        def come(account: int) -> list[int]:
            posts = self.receiver.of(f'"who":{account},')
            return [post.event["n"] for post in posts]

        for account in (10001, 10002):
            wait_until("all come", lambda: len(come(account)) >= 200)  # noqa: B023
            self.assertEqual(come(account), list(range(200)))
            posts = self.receiver.of(f'"who":{account},')
            self.assertEqual({post.headers["x-self-id"] for post in posts}, {str(account)})
        self.assertEqual(self.receiver.most_at_once, 1)
        self.assertLessEqual(len({post.connection for post in self.receiver.of('"word":"ordered')}), 3)
        self.assertEqual(self.dropped(), before)

    def test_one_account_does_not_hold_up_another(self) -> None:
        """While a post of one account hangs, the other's events are posted, and other bots notice nothing."""
        before = self.dropped()
        with RawClient(self.service) as other:
            other.message()
            stuck = self.ask_behaving(never)
            watch = self.service.stopwatch()
            for n in range(10):
                self.inject(f"free {n}", 10002)
            self.receiver.wait("free 9")
            self.assertEqual(other.event(word=stuck)["word"], stuck)
            self.assertEqual(other.ask("get_login_info")["data"]["user_id"], 10001)
            self.assertLess(watch.seconds(), TIMEOUT)
        self.assert_next_arrives()
        wait_until("the stuck one is counted", lambda: self.dropped() == before + 1)


class Beats(ServiceTestCase):
    """Meta events, and the end."""

    def setUp(self) -> None:
        self.receiver = Receiver()
        self.addCleanup(self.receiver.end)
        self.toml = (
            f'[[bots]]\nname = "hook"\nconnection = "http-post"\nurl = "{self.receiver.url()}"\n'
            '[limits]\nheartbeat_interval = "150ms"\n'
        )
        super().setUp()

    def test_heartbeats(self) -> None:
        """Heartbeats are posted, lifecycles are not; no secret, no signature; the end waits for no post."""
        wait_until("beats come as often", lambda: len(self.receiver.posts) >= 10)
        first, *more = [post.event for post in self.receiver.posts]
        self.assertEqual((first["meta_event_type"], first["interval"]), ("heartbeat", 150))
        self.assertIs(first["status"]["online"], True)
        self.assertEqual(first["self_id"], 10001)
        for event in more:
            self.assertEqual(event["meta_event_type"], "heartbeat")
        times = [post.at for post in self.receiver.posts]
        self.assertGreater((times[9] - times[0]) / 9, 0.1, "they come too often")
        self.assertNotIn("x-signature", self.receiver.posts[0].headers)
        self.receiver.usual = never
        self.service.say(ALICE, "stuck")
        self.receiver.wait("stuck")
        began = time.monotonic()
        self.assertEqual(self.service.stop(signal.SIGTERM), 0)
        self.assertLess(time.monotonic() - began, 6.0)
