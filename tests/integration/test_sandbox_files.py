"""What the sandbox keeps and serves: pictures and files, the transcript as a stream, worlds as files."""

from __future__ import annotations

import base64
import http.server
import json
import os
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, ServiceTestCase, wait_until
from tests.integration.shared import SharedServiceTestCase

ALICE, BOB, GROUP = 20001, 20002, 30001
PNG = b"\x89PNG\r\n\x1a\n" + b"not really a picture" * 10


class WebHandler(http.server.BaseHTTPRequestHandler):
    """A web server that serves a picture, redirects, lies and never ends."""

    def do_GET(self) -> None:
        other = f"http://127.0.0.2:{self.server.server_address[1]}/a.png"
        if self.path == "/a.png":
            self.answer(200, PNG)
        elif self.path == "/here":
            self.answer(302, b"", Location="/a.png")
        elif self.path == "/away":
            self.answer(302, b"", Location=other)
        elif self.path == "/loop":
            self.answer(302, b"", Location="/loop")
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(10_000):
                    self.wfile.write(b"x" * 65536)
            except OSError:
                pass
        else:
            self.answer(404, b"no")

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        """Quiet."""


class FilesTests(SharedServiceTestCase):
    """Pictures and files, from wherever they come."""

    web: http.server.ThreadingHTTPServer
    toml = ""

    def start_shared(self, folder: Path) -> Any:
        web = http.server.ThreadingHTTPServer(("0.0.0.0", 0), WebHandler)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        port = web.server_address[1]
        self.toml = f"""
            [[accounts]]
            self_id = 10001
            media_hosts = ["127.0.0.1:{port}"]
            media_dirs = ["{folder}/pictures"]
            [limits]
            max_message = "1MiB"
        """
        service = super().start_shared(folder)
        ended = service.end

        def end() -> None:
            ended()
            web.shutdown()
            web.server_close()

        service.end = end
        service.web = web
        return service

    def setUp(self) -> None:
        super().setUp()
        self.web_port = self.shared.web.server_address[1]

    def send(self, file: str, kind: str = "image") -> dict[str, Any]:
        """Send something in the group; the whole response."""
        message = [{"type": kind, "data": {"file": file}}]
        with RawClient(self.service, "/api") as bot:
            return bot.ask("send_group_msg", group_id=GROUP, message=message)

    def sent(self, file: str, kind: str = "image") -> dict[str, Any]:
        """Send something; the segment as it was kept."""
        answer = self.send(file, kind)
        self.assertEqual(answer["retcode"], 0, answer)
        with RawClient(self.service, "/api") as bot:
            said = bot.ask("get_msg", message_id=answer["data"]["message_id"])
        return dict(said["data"]["message"][0]["data"])

    def get(self, url: str) -> tuple[bytes, dict[str, str]]:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.read(), {k.lower(): v for k, v in answer.headers.items()}

    def test_each_way_of_giving_a_picture(self) -> None:
        """base64, a web address, a file below data_dir or media_dirs: served back without a token."""
        inside = self.service.folder / "data" / "inside.png"
        inside.write_bytes(PNG)
        pictures = self.service.folder / "pictures"
        pictures.mkdir(exist_ok=True)
        (pictures / "a.png").write_bytes(PNG)
        for reference in (
            "base64://" + base64.b64encode(PNG).decode(),
            "base64://" + base64.encodebytes(PNG).decode().rstrip("=\n"),
            "data:image/png;base64," + base64.b64encode(PNG).decode(),
            f"{inside}",
            f"{pictures}/a.png",
            f"file://{pictures}/a.png",
            f"http://127.0.0.1:{self.web_port}/a.png",
            f"http://127.0.0.1:{self.web_port}/here",
            f"file://{inside}",
        ):
            kept = self.sent(reference)
            self.assertRegex(kept["file"], r"^[A-Za-z0-9_-]{32}\.png$")
            body, headers = self.get(kept["url"])
            self.assertEqual((body, kept["file_size"]), (PNG, str(len(PNG))))
            self.assertEqual(
                (headers["content-type"], headers["x-content-type-options"]), ("image/png", "nosniff")
            )
            self.assertEqual(self.sent(kept["file"])["url"], kept["url"])
            head = urllib.request.Request(kept["url"], method="HEAD", headers={"Range": "bytes=0-1"})
            with urllib.request.urlopen(head, timeout=PATIENCE) as answer:
                self.assertEqual((answer.status, answer.headers["content-length"]), (200, str(len(PNG))))

    def test_what_is_not_fetched(self) -> None:
        """Other addresses of this machine, also by redirect; other schemes; what is too large or missing."""
        outside = self.service.folder / "outside.png"
        outside.write_bytes(PNG)
        link = self.service.folder / "data" / "link.png"
        if not link.exists():
            link.symlink_to(outside)
        port = self.web_port
        for reference, words in (
            (f"http://127.0.0.2:{port}/a.png", "public"),
            (f"http://localhost:{port}/a.png", "public"),
            (f"http://127.0.0.1:{self.service.port}/", "public"),
            (f"http://[::1]:{port}/a.png", "public"),
            (f"http://[::ffff:127.0.0.1]:{port}/a.png", "public"),
            ("http://169.254.169.254/latest/meta-data/", "public"),
            ("http://2130706433/", "public"),
            (f"http://127.0.0.1:{port}/away", "public"),
            (f"http://127.0.0.1:{port}/loop", "redirects"),
            (f"http://127.0.0.1:{port}/endless", "larger"),
            (f"http://127.0.0.1:{port}/nothing", "404"),
            (f"file://{outside}", "media_dirs"),
            (f"{outside}", "media_dirs"),
            ("C:\\\\a.png", "Windows"),
            (f"file://{link}", "data_dir"),
            (f"file://{self.service.folder}/data/../outside.png", "data_dir"),
            (f"file://{self.service.folder}/data", "data_dir"),
            ("file:///etc/passwd", "data_dir"),
            ("file://\x00", "data_dir"),
            (f"file://{self.service.folder}/data/sandbox-10001.sqlite", "data_dir"),
            (f"file://{self.service.folder}/data/lock", "data_dir"),
            ("http://[x", "web address"),
            ("base64://not base64", "base64"),
            ("base64://", "empty"),
            ("ftp://127.0.0.1/x", "expected"),
            ("http://", "web address"),
            ("../../lock", "expected"),
            ("", "no file"),
        ):
            answer = self.send(reference)
            self.assertEqual((answer["status"], answer["retcode"]), ("failed", 100), (reference, answer))
            self.assertIn(words, answer["message"], reference)

    def test_nothing_else_is_served(self) -> None:
        """A name that was not given leads nowhere, whatever it looks like."""
        for name in ("x", "../lock", "%2e%2e/lock", "a" * 32, ".", "%00" * 32, "../sandbox-10001.sqlite"):
            with self.assertRaises(urllib.error.HTTPError) as refused:
                self.get(f"http://127.0.0.1:{self.service.port}/sandbox/10001/media/{name}")
            self.assertIn(refused.exception.code, (400, 404))
            refused.exception.close()

    def test_a_page_is_not_served_as_one(self) -> None:
        """A file that a browser would run is handed over as plain bytes."""
        page = self.service.folder / "data" / "page.html"
        page.write_bytes(b"<script>alert(1)</script>")
        _body, headers = self.get(self.sent(f"file://{page}", "file")["url"])
        self.assertEqual(headers["content-type"], "application/octet-stream")
        self.assertIn("sandbox", headers["content-security-policy"])

    def test_slow_pictures_hold_nobody_up(self) -> None:
        """While pictures are taken in other actions are answered."""
        with RawClient(self.service, "/api") as bot:
            message = [{"type": "image", "data": {"file": f"http://127.0.0.1:{self.web_port}/a.png"}}]
            bot.call("send_group_msg", "slow", group_id=GROUP, message=message)
            bot.call("get_status", "fast")
            self.assertEqual([bot.response()["echo"] for _ in range(2)], ["fast", "slow"])

    def test_files_of_a_group(self) -> None:
        """Uploaded, listed, fetched; records and images are found by their names."""
        with RawClient(self.service, "/api") as bot:
            data = "base64://" + base64.b64encode(b"hello").decode()
            uploaded = bot.ask("upload_group_file", group_id=GROUP, file=data, name="a, b.txt")["data"]
            listed = bot.ask("get_group_root_files", group_id=GROUP)["data"]["files"]
            self.assertIn("a, b.txt", [file["file_name"] for file in listed])
            where = bot.ask("get_group_file_url", group_id=GROUP, file_id=uploaded["file_id"])["data"]["url"]
            self.assertEqual(self.get(where)[0], b"hello")
            private = bot.ask("upload_private_file", user_id=ALICE, file=data, name="c.txt")
            self.assertEqual(private["retcode"], 0)
            kept = self.sent("base64://" + base64.b64encode(PNG).decode())
            image = bot.ask("get_image", file=kept["file"])["data"]
            self.assertEqual(Path(image["file"]).read_bytes(), PNG)
            self.assertEqual(bot.ask("get_record", file=kept["file"], out_format="mp3")["retcode"], 1400)
            self.assertEqual(bot.ask("get_image", file="../lock")["retcode"], 100)
            sent = bot.ask("set_group_portrait", group_id=GROUP, file=data)
            self.assertEqual(sent["retcode"], 0)
            self.assertEqual(bot.ask("clean_cache")["retcode"], 0)
            self.assertEqual(self.get(kept["url"])[0], PNG)

    def test_what_people_send(self) -> None:
        """A person's picture reaches the bot with its address; a file they upload is a notice."""
        picture = "[CQ:image,file=base64://" + base64.b64encode(PNG).decode() + "]"
        with RawClient(self.service) as bot:
            self.service.say(ALICE, f"look: {picture}")
            event = bot.event(post_type="message")
            self.assertEqual(event["message"][0]["data"]["text"], "look: ")
            self.assertEqual(self.get(event["message"][1]["data"]["url"])[0], PNG)
            body = {"user_id": BOB, "group_id": GROUP, "file": "base64://aGk=", "name": "hi.txt"}
            status, answer = self.service.http("/sandbox/10001/upload", body)
            self.assertEqual((status, self.get(answer["url"])[0]), (200, b"hi"))
            self.assertEqual(bot.event(notice_type="group_upload")["file"]["name"], "hi.txt")
            status, answer = self.service.http(
                "/sandbox/10001/upload", {**body, "file": "file:///etc/passwd"}
            )
            self.assertEqual(status, 400)


class StreamTests(SharedServiceTestCase):
    """The transcript as Server-Sent Events."""

    def lines(self, stream: Any) -> Any:
        """The next message of the stream, with its id."""
        found: dict[str, Any] = {}
        while True:
            line = stream.readline().decode().rstrip("\n")
            if line.startswith("id: "):
                found["id"] = int(line[4:])
            elif line.startswith("data: "):
                found["data"] = json.loads(line[6:])
            elif not line and "data" in found:
                return found

    def open(self, query: str = "", **headers: str) -> Any:
        url = f"http://127.0.0.1:{self.service.port}/sandbox/10001/transcript/stream{query}"
        stream = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE)
        self.addCleanup(stream.close)
        return stream

    def test_as_it_is_said(self) -> None:
        """What is said comes at once, and a client that comes back goes on where it was."""
        first = self.service.say(ALICE, "one")
        stream = self.open(f"?after={first - 1}")
        self.assertEqual(stream.headers["content-type"], "text/event-stream")
        self.assertEqual(self.lines(stream)["data"]["raw_message"], "one")
        second = self.service.say(ALICE, "two\nlines")
        got = self.lines(stream)
        self.assertEqual((got["id"], got["data"]["raw_message"]), (second, "two\nlines"))
        stream.close()
        third = self.service.say(ALICE, "three")
        again = self.open(**{"Last-Event-ID": str(second)})
        self.assertEqual(self.lines(again)["id"], third)

    def test_many_that_do_not_read(self) -> None:
        """Clients that go away or do not read hurt nobody."""
        streams = [self.open() for _ in range(20)]
        for stream in streams[::2]:
            stream.close()
        for number in range(200):
            self.service.say(ALICE, "x" * 10_000 + str(number))
        fresh = self.service.say(ALICE, "fresh")
        self.assertEqual(self.lines(self.open(f"?after={fresh - 1}"))["id"], fresh)


class WorldTests(ServiceTestCase):
    """Worlds as files."""

    def setUp(self) -> None:
        """No service yet: each test has its own."""

    def test_save_and_load(self) -> None:
        """A world goes out as JSON, comes in again, and survives a restart."""
        service = self.start_service("")
        service.say(ALICE, "before")
        status, world = service.http("/sandbox/10001/world")
        self.assertEqual(status, 200)
        world["people"].append({"user_id": 7, "nickname": "Seven", "friend": True})
        service.say(ALICE, "forgotten")
        began = time.monotonic()
        self.assertEqual(service.http("/sandbox/10001/world", world), (200, {}))
        if time.monotonic() - began > 0.5:  # the disk is busy, and after a second nobody waits for it
            time.sleep(5)
        service.kill()
        service.start()
        self.assertEqual([m["raw_message"] for m in service.transcript()], ["before"])
        service.say(7, "hi")
        for bad in ({}, {"self_id": 1, "x": 2}, {"self_id": 1, "groups": [{"group_id": 1}]}, []):
            self.assertEqual(service.http("/sandbox/10001/world", bad)[0], 400)
        self.assertEqual(service.transcript()[-1]["raw_message"], "hi")

    def test_a_world_to_begin_from(self) -> None:
        """The configuration may name a world; later starts go on where the account was."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        file = folder / "world.json"
        file.write_text(
            json.dumps({"self_id": 1, "people": [{"user_id": 8, "nickname": "Eight", "friend": True}]})
        )
        service = self.start_service(f'[[accounts]]\nself_id = 10001\nworld = "{file}"\n')
        service.say(8, "hi")
        self.assertEqual(service.http("/sandbox/10001/say", {"user_id": ALICE, "message": "x"})[0], 400)
        service.stop()
        os.unlink(file)
        service.start()
        self.assertEqual([m["raw_message"] for m in service.transcript()], ["hi"])

    def test_a_world_that_is_none(self) -> None:
        """A file that cannot be used is one line, and nothing starts."""
        service = self.start_service("")
        service.stop()
        bad = service.folder / "bad.json"
        bad.write_text('{"self_id": 1, "people": [{"user_id": "x"}]}')
        for path in (bad, service.folder / "nothing.json"):
            text = service.config_path.read_text().replace("/data", f"/data-{path.name}")
            service.config_path.write_text(text + f'\n[[accounts]]\nself_id = 10001\nworld = "{path}"\n')
            service.log_path.write_text("")
            with self.assertRaises(AssertionError):
                service.start()
            wait_until("it ends", lambda: not service.alive())
            self.assertEqual(len(service.log().strip().splitlines()), 1, service.log())
            self.assertIn(str(path), service.log())
            service.config_path.write_text(text)
