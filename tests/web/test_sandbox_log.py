"""The sandbox's event log over HTTP, files as bodies, and forwarded messages."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.internet.defer import Deferred

from lgtwist.sandbox.account import SLOTS_PER_CALLER
from tests.web.site_case import Peer, SiteTestCase, request

ALICE, BOB, GROUP = 20001, 20002, 30001
FIRST = 1_700_000_000_000
PNG = b"\x89PNG\r\n\x1a\n" + b"not really a picture" * 10


class SandboxTestCase(SiteTestCase):
    toml = '[server]\nadmin_token = "boss"\n[limits]\nidle_timeout = "60s"\nmax_message = "1MiB"\n'

    def ask(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Peer:
        headers.setdefault("Authorization", "Bearer boss")
        return self.get(f"/sandbox/10001/{path}", method, body, **headers)

    def answer(self, path: str, method: str = "GET", body: bytes = b"", status: int = 200) -> Any:
        port = self.ask(path, method, body)
        self.assertEqual(port.status(), status, port.body())
        return json.loads(self.unchunked(port))

    def unchunked(self, port: Peer) -> str:
        """Return the body of an answer, which may be sent in chunks (RFC 9112, 7.1)."""
        body = port.body()
        if "transfer-encoding: chunked" in port.headers():
            body = re.sub(r"(?:^|\r\n)[0-9a-f]+\r\n", "", body)
        return body

    def say(self, words: str, **params: Any) -> Any:
        said = {"user_id": ALICE, "message": words, **params}
        return self.answer("say", "POST", json.dumps(said).encode())

    def poke(self) -> None:
        self.answer("poke", "POST", json.dumps({"user_id": ALICE}).encode())


class DetailsTests(SandboxTestCase):
    def test_transcript_and_overview(self) -> None:
        """With ``details=1`` the transcript has what the log has of a message; the overview has the files."""
        number = self.say("hi", group_id=GROUP)["message_id"]
        for verb, params in (
            ("react", {"user_id": BOB, "message_id": number, "emoji_id": "76"}),
            ("essence", {"user_id": ALICE, "message_id": number}),
            ("upload", {"user_id": BOB, "group_id": GROUP, "file": "base64://aGVsbG8=", "name": "a.txt"}),
        ):
            self.answer(verb, "POST", json.dumps(params).encode())
        plain = self.answer("transcript")["messages"][0]
        (message,) = self.answer("transcript?details=1")["messages"]
        (logged,) = (e for e in self.answer("log?after=0")["entries"] if e["kind"] == "message")
        self.assertEqual(message, logged["message"])
        self.assertEqual((message["likes"], message["essence"]["operator_id"]), ({"76": [BOB]}, ALICE))
        self.assertEqual(set(message) - set(plain), {"likes", "essence", "anonymous"})
        (file,) = self.answer("")["files"]
        self.assertEqual((file["name"], file["group_id"], file["size"]), ("a.txt", GROUP, 5))


class LongPollTests(SandboxTestCase):
    """``GET log?after=&wait=``."""

    def test_last_only(self) -> None:
        """Without ``after`` only the last number is answered, that of the overview."""
        self.say("hi")
        answer = self.answer("log")
        self.assertEqual(answer, {"last": FIRST + 1, "missed": False, "entries": []})
        self.assertEqual(self.answer("")["last_seq"], FIRST + 1)

    def test_after(self) -> None:
        """Entries after a number; below and above what is there it is ``missed``."""
        self.say("one")
        self.poke()
        kinds = [entry["kind"] for entry in self.answer(f"log?after={FIRST}")["entries"]]
        self.assertEqual(kinds, ["message", "notice"])
        for after, missed, count in (
            (FIRST + 1, False, 1),
            (FIRST + 2, False, 0),
            (0, True, 2),
            (FIRST + 3, True, 2),
        ):
            answer = self.answer(f"log?after={after}&wait={0 if count == 0 else 60}")
            self.assertEqual((answer["missed"], len(answer["entries"])), (missed, count))
            self.assertEqual(answer["last"], FIRST + 2)

    def test_waits(self) -> None:
        """It is answered with all entries of what happened; with none when its time is over."""
        polls = [self.ask("log?wait=60"), self.ask(f"log?after={FIRST}&wait=60")]
        for poll in polls:
            self.assertEqual(poll.read(), b"")
        node = {"type": "node", "data": {"user_id": "1", "nickname": "n", "content": "c"}}
        self.answer(
            "say", "POST", json.dumps({"user_id": BOB, "group_id": GROUP, "message": [node]}).encode()
        )
        for poll in polls:
            answer = json.loads(poll.body())
            self.assertEqual({e["kind"] for e in answer["entries"]}, {"forward", "group", "message"})
        late = self.ask("log?wait=9999")
        self.clock.advance(59)
        self.assertEqual(late.read(), b"")
        self.clock.advance(2)
        self.assertEqual(json.loads(late.body())["entries"], [])

    def test_gone(self) -> None:
        """A client that goes away while it waits leaves nothing behind."""
        self.poke()
        before = len(self.clock.getDelayedCalls())
        for path in ("log?wait=60", "log/stream"):
            self.ask(path).lose()
        self.sandboxes()[0].publish_raw_event(b'{"post_type":"x"}')
        self.assertEqual(len(self.clock.getDelayedCalls()), before)

    def test_refused(self) -> None:
        """Numbers that are none are named; another method is 405; without the token it is 401."""
        for query in ("after=x", "after=-1", "wait=soon"):
            self.assertIn(query.partition("=")[0], self.answer(f"log?{query}", status=400)["error"])
        self.assertEqual(self.ask("log", "POST", b"{}").status(), 405)
        for path in ("log", "log/stream", "forward?id=1"):
            self.assertEqual(self.get(f"/sandbox/10001/{path}").status(), 401)

    def test_portions(self) -> None:
        """More than one answer may have: ``more``, and the rest after ``last``."""
        for _ in range(14):
            self.say("x" * 700_000)
        first = self.answer(f"log?after={FIRST}")
        rest = self.answer(f"log?after={first['last']}")
        numbers = [e["message"]["message_id"] for e in first["entries"] + rest["entries"]]
        self.assertEqual(numbers, list(range(1, 15)))
        self.assertEqual((first.get("more"), rest.get("more")), (True, None))
        self.assertEqual(first["entries"][-1]["seq"], first["last"])


class StreamTests(SandboxTestCase):
    """``GET log/stream``."""

    def blocks(self, port: Peer) -> list[dict[str, str]]:
        """Return the events of a stream, each by its fields; a comment under the name ``""``."""
        events = []
        for block in self.unchunked(port).strip().split("\n\n"):
            lines = (line.partition(":") for line in block.strip().split("\n"))
            events.append({name: value.removeprefix(" ") for name, _colon, value in lines})
        return events

    def test_as_it_happens(self) -> None:
        """Only what comes, each entry with its number as ``id``; a comment each 15 s."""
        self.say("before")
        port = self.ask("log/stream")
        self.assertIn("text/event-stream", port.headers())
        self.say("hi")
        self.poke()
        first, message, notice = self.blocks(port)
        self.assertEqual(first["id"], str(FIRST + 1))
        self.assertEqual((message["id"], notice["id"]), (str(FIRST + 2), str(FIRST + 3)))
        self.assertEqual(json.loads(message["data"])["message"]["raw_message"], "hi")
        self.assertEqual(json.loads(notice["data"])["event"]["sub_type"], "poke")
        self.clock.advance(16)
        self.assertIn("", self.blocks(port)[-1])
        port.lose()

    def test_comes_back(self) -> None:
        """With ``Last-Event-ID``, or ``after``, it goes on there; what is missed is told by an event."""
        self.say("one")
        self.say("two")
        for path, headers in (
            ("log/stream", {"Last_Event_ID": str(FIRST + 1)}),
            (f"log/stream?after={FIRST + 1}", {}),
            (f"log/stream?after={FIRST}", {"Last_Event_ID": str(FIRST + 1)}),
        ):
            port = self.ask(path, **headers)
            self.assertEqual([e["id"] for e in self.blocks(port)[1:]], [str(FIRST + 2)])
            port.lose()
        port = self.ask("log/stream?after=5")
        _comment, missed, *entries = self.blocks(port)
        self.assertEqual((missed["event"], json.loads(missed["data"])), ("missed", {"last": FIRST + 2}))
        self.assertEqual(missed["id"], str(FIRST))  # so that a client that comes back misses nothing more
        self.assertEqual([e["id"] for e in entries], [str(FIRST + 1), str(FIRST + 2)])
        port.lose()

    def test_nobody_reads(self) -> None:
        """A client that does not read costs what is under way; it misses what the log has not any more."""
        port = self.ask(f"log/stream?after={FIRST}")
        for _ in range(30):
            self.say("x" * 30_000)
        self.assertLess(port.transport.waiting, 200_000)
        for _ in range(1100):
            self.sandboxes()[0].publish_raw_event(b'{"post_type":"x"}')
        self.assertLess(port.transport.waiting, 200_000)
        events = self.blocks(port)
        self.assertEqual([e["event"] for e in events if "event" in e], ["missed"])
        self.assertEqual(events[-1]["id"], str(FIRST + 1130))
        port.lose()

    def test_ends(self) -> None:
        """It ends when the account stops."""
        port = self.ask("log/stream")
        self.sandboxes()[0].stopService()
        self.assertTrue(port.read().endswith(b"0\r\n\r\n"))


class FilesTests(SandboxTestCase):
    """``POST media``, and ``GET forward``."""

    def test_a_picture(self) -> None:
        """The body is stored; its name, and its URL, are what ``say`` and ``upload`` take as ``file``."""
        stored = self.answer("media?name=..%2Fa%20b.png", "POST", PNG)
        self.assertEqual((stored["name"], stored["size"]), ("a b.png", len(PNG)))
        self.assertTrue(stored["file"].endswith(".png"))
        for reference in (stored["file"], stored["url"]):
            image = {"type": "image", "data": {"file": reference}}
            self.say("", message=[image])
            data = self.answer("transcript")["messages"][-1]["message"][0]["data"]
            self.assertEqual((data["file"], data["url"]), (stored["file"], stored["url"]))
            shared = {"user_id": BOB, "group_id": GROUP, "file": reference, "name": "a.png"}
            answer = self.answer("upload", "POST", json.dumps(shared).encode())
            self.assertEqual(answer["url"], stored["url"])
        found = self.sandboxes()[0].media.find(stored["file"])
        assert found is not None
        self.assertEqual(found.path.read_bytes(), PNG)

    def test_any_file(self) -> None:
        """Without a name, and with one whose ending is none, it is stored all the same."""
        stored = self.answer("media", "POST", b"hello")
        self.assertEqual((stored["name"], stored["size"]), (stored["file"], 5))
        self.assertEqual(self.answer("media?name=a.TXT", "POST", b"x")["file"][-4:], ".txt")
        self.assertNotIn("/", self.answer("media?name=x.a%2Fb", "POST", b"x")["file"])

    def test_refused(self) -> None:
        """Nothing, too much, a long name, no token; a name that is no stored file's opens none."""
        self.assertIn("empty", self.answer("media", "POST", status=400)["error"])
        self.assertIn("name", self.answer("media?name=" + "x" * 201, "POST", b"x", status=400)["error"])
        self.assertEqual(self.ask("media", "POST", b"x" * (1 << 20) + b"x").status(), 413)
        self.assertEqual(self.get("/sandbox/10001/media", "POST", b"x").status(), 401)
        self.assertEqual(self.ask("media").status(), 405)
        for reference in ("../sandbox-10001.sqlite", "x" * 32 + ".png", "admin_token", "media/x"):
            said = {"user_id": ALICE, "message": [{"type": "image", "data": {"file": reference}}]}
            self.answer("say", "POST", json.dumps(said).encode(), status=400)

    def test_counted(self) -> None:
        """The body is counted in the account's budget while it comes, and no longer."""
        budget = self.service.directory.accounts[10001].budget
        whole = request("/sandbox/10001/media", "POST", PNG + b"x" * 500_000, Authorization="Bearer boss")
        port = Peer(self).send(whole[:-100_000])
        self.assertGreater(budget.used, 300_000)
        port.send(b"x" * 100_000)
        self.assertEqual(port.status(), 200)
        self.assertEqual(budget.used, 0)

    def test_clients_that_go_away(self) -> None:
        """On a slow disk: what they have sent is not stored by more and more threads."""
        [sandbox] = self.sandboxes()
        run_in_thread, threads = sandbox.media._run_in_thread, list[Deferred[None]]()

        async def slowly(function: Any, *arguments: Any) -> Any:
            threads.append(Deferred())
            await threads[-1]
            return await run_in_thread(function, *arguments)

        self.patch(sandbox.media, "_run_in_thread", slowly)
        for _ in range(10):
            self.ask("media", "POST", PNG).lose()
        self.assertEqual(len(threads), SLOTS_PER_CALLER)
        last = self.ask("media", "POST", PNG)
        for thread in threads:
            thread.callback(None)
        self.assertEqual((len(threads), last.status()), (SLOTS_PER_CALLER + 1, 200))

    def test_forward(self) -> None:
        """A forwarded message is read by its id, or by the number of the message that it is in."""
        node = {"type": "node", "data": {"user_id": "1", "nickname": "n", "content": "c"}}
        said = self.say("", message=[node])
        for name in (said["forward_id"], said["message_id"]):
            forward = self.answer(f"forward?id={name}")
            self.assertEqual(forward["forward_id"], said["forward_id"])
            self.assertEqual(forward["nodes"][0]["data"]["nickname"], "n")
        self.assertIn("id is missing", self.answer("forward", status=400)["error"])
        self.assertIn("there is no", self.answer("forward?id=x", status=400)["error"])
