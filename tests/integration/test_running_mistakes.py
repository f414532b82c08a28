"""What lgtwist prints when it cannot run: mistakes of the configuration, of files, of the system."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sqlite3
import urllib.request
from pathlib import Path

from tests.integration.commands import RunTestCase, answers, lifecycle_from
from tests.integration.running import PATIENCE, ROOT
from tests.processes import free_port
from tests.rounds import some

RECORD_TABLE = "CREATE TABLE record (kind TEXT, key TEXT, body BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"


class Mistakes(RunTestCase):
    """It does not run, and says why."""

    def test_many_mistakes(self) -> None:
        """Each mistake in a configuration is one line with file and key, without tokens; nothing starts."""
        config = self.folder / "bad.toml"
        config.write_text(
            """
            data_dir = 5
            colour = "red"
            [server]
            endpoints = ["tcp:notaport"]
            admin_token = ""
            endpoint = "tcp:1"
            allowed_origins = ["example.org"]
            [[accounts]]
            type = "sandbox"
            self_id = "10001"
            [[accounts]]
            type = "telegram"
            self_id = 10002
            [[accounts]]
            self_id = 10002
            [[bots]]
            name = "a"
            access_token = "s3cret-1"
            [[bots]]
            name = "a"
            access_token = "s3cret-1"
            accounts = [5]
            [[bots]]
            access_token_file = "/no/such/file"
            acess_token = "s3cret-2"
            [limits]
            max_message = "32 MB"
            ping_timeout = "soon"
            calls = 0
            """
        )
        lines = self.refused("-n", "lgtwist", "--config", config)
        paths = []
        for line in lines:
            self.assertTrue(line.startswith(f"{config}: "), line)
            path, colon, sentence = line.removeprefix(f"{config}: ").partition(": ")
            self.assertTrue(colon and sentence, line)
            paths.append(path)
        self.assertCountEqual(
            paths,
            [
                "data_dir",
                "colour",
                "server.endpoints[0]",
                "server.admin_token",
                "server.endpoint",
                "server.allowed_origins[0]",
                "accounts[0].self_id",
                "accounts[1].type",
                "accounts[2].self_id",
                "bots[1].name",
                "bots[1].access_token",
                "bots[1].accounts[0]",
                "bots[2].name",
                "bots[2].access_token_file",
                "bots[2].acess_token",
                "limits.max_message",
                "limits.ping_timeout",
                "limits.calls",
            ],
        )
        self.assertNotIn("s3cret", "".join(lines))
        self.assertIn('is "access_token" meant?', "".join(lines))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["bad.toml"])
        # The same whichever way it is run.
        self.assertEqual(self.refused("lgtwist", "--check", "--config", config), lines)
        self.assertEqual(self.refused("-ny", ROOT / "lgtwist.tac", LGTWIST_CONFIG=str(config)), lines)
        self.assertEqual(self.refused("--pidfile", "p", "lgtwist", "--config", config), lines)

    def test_no_configuration(self) -> None:
        """A file that is not there, is a folder, is not UTF-8 or not TOML is one line that names it."""
        (self.folder / "latin.toml").write_bytes(b'data_dir = "caf\xe9"\n')
        (self.folder / "broken.toml").write_text("[server\n")
        for name in some("missing.toml", "broken.toml", ".", "latin.toml"):
            line = self.refused_in_one_line("-n", "lgtwist", "--config", name)
            self.assertTrue(line.startswith(f"{name}: "), line)
            self.assertEqual(self.refused_in_one_line("-n", "lgtwist", LGTWIST_CONFIG=name), line)

    def test_unknown_option(self) -> None:
        """A mistyped option is refused too, by its name."""
        ended = self.run_to_end("-n", "lgtwist", "--confg", "x")
        self.assertEqual(ended.returncode, 1)
        self.assertIn("confg", ended.stdout + ended.stderr)
        self.assertNotIn("Traceback", ended.stderr)

    def test_taken_port(self) -> None:
        """A port that somebody has is one line that names it."""
        config = self.write()
        with socket.create_server(("127.0.0.1", self.port)):
            line = self.refused_both_ways(config)
        self.assertIn(f"tcp:{self.port}:interface=127.0.0.1", line)
        self.assertIn("in use", line)

    def test_public_without_token(self) -> None:
        """Asked to listen for other machines without a token it refuses, and says what to do."""
        config = self.write()
        config.write_text(config.read_text().replace(":interface=127.0.0.1", ""))
        line = self.refused_both_ways(config)
        self.assertIn("add [[bots]] with name and access_token", line)
        self.assertIn("can be reached from other machines", line)

    def test_data_dir_is_file(self) -> None:
        """A data_dir that is a file is one line that names it, and the file stays as it is."""
        config = self.write()
        self.data.write_text("mine")
        line = self.refused_both_ways(config)
        self.assertIn(str(self.data), line)
        self.assertEqual(self.data.read_text(), "mine")

    def test_damaged_world(self) -> None:
        """A world's file that is none is one line that names it; not a byte of it is changed."""
        config = self.write()
        self.data.mkdir()
        world = self.data / "sandbox-10001.sqlite"
        for garbage in some(
            b"SQLite format 3\x00" + b"\xff" * 4080, b"\x00garbage" * 1000, b"not a database", most=1
        ):
            world.write_bytes(garbage)
            line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", config)
            self.assertIn(str(world), line)
            self.assertEqual(world.read_bytes(), garbage)
        self.assertIn(str(world), self.refused_both_ways(config))
        self.assertFalse(answers(self.port))

    def test_cut_off_world(self) -> None:
        """A world's file that lost its second half is one line that names it, and what is left stays."""
        config = self.write()
        process = self.run_on("-n", "--pidfile=", "lgtwist", "--config", config)
        said = {"user_id": 20001, "message": "x" * 50_000}
        for _number in range(4):
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.port}/sandbox/10001/say", json.dumps(said).encode()
            )
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)
        world = self.data / "sandbox-10001.sqlite"
        half = world.read_bytes()[: world.stat().st_size // 8192 * 4096]
        world.write_bytes(half)
        line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", config)
        self.assertIn(str(world), line)
        self.assertEqual(world.read_bytes(), half)

    def make_database(self, *statements: str) -> Path:
        """A database in the place of the world's file."""
        self.data.mkdir(exist_ok=True)
        world = self.data / "sandbox-10001.sqlite"
        world.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(world, isolation_level=None)) as file:
            for statement in statements:
                file.execute(statement)
        return world

    def test_foreign_world(self) -> None:
        """A database of somebody else, or of a newer version, is left alone to the last byte."""
        config = self.write()
        for statements in (["CREATE TABLE theirs (x)"], [RECORD_TABLE, "PRAGMA user_version=99"]):
            world = self.make_database(*statements)
            before = world.read_bytes()
            line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", config)
            self.assertIn(str(world), line)
            self.assertEqual(world.read_bytes(), before, statements)

    def test_damaged_records(self) -> None:
        """A world with an unreadable record is one line that names its file; nothing is thrown away."""
        config = self.write()
        for record in some(
            "'person', '1', x'7b'",
            "'robot', '1', x'7b7d'",
            "'person', '1', x'7b7d'",
            "'person', '1', NULL",
            "NULL, '1', x'7b7d'",
            "'person', '1', 7",
        ):
            table = RECORD_TABLE.replace(" WITHOUT ROWID", "")
            world = self.make_database(
                table, f"INSERT INTO record VALUES ({record})", "PRAGMA user_version=1"
            )
            line = self.refused_in_one_line("-n", "--pidfile=", "lgtwist", "--config", config)
            self.assertIn(str(world), line)
            with contextlib.closing(sqlite3.connect(world)) as file:
                self.assertEqual(file.execute("SELECT count(*) FROM record").fetchone(), (1,), record)

    def test_two_services(self) -> None:
        """A second service on the same data_dir is refused in one line; the first does not notice."""
        self.run_on("-n", "--pidfile=", "lgtwist", "--config", self.write())
        first, self.port = self.port, free_port()
        line = self.refused_both_ways(self.write(name="second.conf"))
        self.assertIn(f"{self.data} is in use by another lgtwist", line)
        self.assertEqual(lifecycle_from(f"ws://127.0.0.1:{first}/")["self_id"], 10001)
