"""Where the configuration comes from, and what its paths are relative to."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.absolute_paths import absolute_endpoint, with_absolute_paths
from lgtwist.app.configuration import Config
from lgtwist.app.configuration_file import ConfigurationError, ConfigurationFile
from lgtwist.net.twisted_private import split_endpoint

BASE = Path("/srv/a folder")


class InFolder(SynchronousTestCase):
    """The working directory is the test's own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        environment = {name: value for name, value in os.environ.items() if name != "LGTWIST_CONFIG"}
        self.patch(os, "environ", environment)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def lines_of(self, file: ConfigurationFile) -> list[str]:
        with self.assertRaises(ConfigurationError) as caught:
            file.read()
        return caught.exception.lines


class Finding(InFolder):
    """Which file it is."""

    def test_no_file(self) -> None:
        """Without any file it is the built-in configuration, with its data in the working directory."""
        file = ConfigurationFile.find()
        self.assertEqual((file.path, file.described), (None, "the built-in configuration"))
        read = file.read()
        self.assertEqual(read, Config(data_dir=str(self.folder / "lgtwist-data")))

    def test_order(self) -> None:
        """The named file counts, else the environment's, else that of the folder."""
        for name in ("lgtwist.toml", "named.toml", "other.toml"):
            self.write(name, "")
        self.assertEqual(ConfigurationFile.find().path, self.folder / "lgtwist.toml")
        os.environ["LGTWIST_CONFIG"] = "other.toml"
        self.assertEqual(ConfigurationFile.find().path, self.folder / "other.toml")
        self.assertEqual(ConfigurationFile.find("named.toml").path, self.folder / "named.toml")

    def test_no_name(self) -> None:
        """An empty name is a mistake, wherever it stands."""
        with self.assertRaises(ConfigurationError):
            ConfigurationFile.find("")
        os.environ["LGTWIST_CONFIG"] = ""
        with self.assertRaises(ConfigurationError) as caught:
            ConfigurationFile.find()
        self.assertEqual(
            caught.exception.lines, ["--config and LGTWIST_CONFIG: expected a file's name, not nothing"]
        )

    def test_file_that_comes_later(self) -> None:
        """A file of the folder that was not there at the start is read at the next reload."""
        file = ConfigurationFile.find()
        self.assertEqual([one.self_id for one in file.read().accounts], [10001])
        self.write("lgtwist.toml", "[[accounts]]\nself_id = 7\n")
        self.assertEqual([one.self_id for one in file.read().accounts], [7])

    def test_working_directory_gone(self) -> None:
        """A working directory that is not there any more is a sentence."""
        gone = self.folder / "gone"
        gone.mkdir()
        os.chdir(gone)
        gone.rmdir()
        with self.assertRaises(ConfigurationError) as caught:
            ConfigurationFile.find()
        self.assertIn("working directory", caught.exception.lines[0])


class Reading(InFolder):
    """What is read, and read again."""

    def test_every_path_is_absolute(self) -> None:
        """After the working directory has changed, the same files are meant as before."""
        self.write("token", "s3cret\n")
        self.write("conf/world.json", "{}")
        self.write(
            "conf/a.toml",
            'data_dir = "data"\n[server]\nendpoints = ["unix:run/socket"]\nadmin_token_file = "token"\n'
            '[[accounts]]\nself_id = 1\nworld = "conf/world.json"\n',
        )
        file = ConfigurationFile.find("conf/a.toml")
        first = file.read()
        self.assertEqual(first.data_dir, str(self.folder / "data"))
        self.assertEqual(first.accounts[0].settings.world, str(self.folder / "conf/world.json"))
        self.assertEqual(first.server.endpoints, (f"unix:{self.folder}/run/socket",))
        private = ("token", "conf/world.json", "conf/a.toml")
        self.assertEqual(first.private_files, tuple(str(self.folder / name) for name in private))
        os.chdir("/")
        self.assertEqual(file.read(), first)

    def test_certificates_of_an_endpoint(self) -> None:
        """The files of an ``ssl:`` endpoint are looked for where they were at the start."""
        self.write("a.toml", '[server]\nendpoints = ["ssl:8443:privateKey=key.pem:interface=127.0.0.1"]\n')
        file = ConfigurationFile.find("a.toml")
        os.chdir("/")
        (line,) = self.lines_of(file)
        self.assertTrue(line.startswith("a.toml: server.endpoints[0]: "), line)
        self.assertIn(str(self.folder / "key.pem"), line)

    def test_mistakes(self) -> None:
        """Each mistake is a line of its own that begins with the file as it was named."""
        self.write("a.toml", 'colour = 1\n[[bots]]\nname = "b"\nurl = "x"\n')
        lines = self.lines_of(ConfigurationFile.find("./a.toml"))
        self.assertEqual(
            [line.split(": ")[:2] for line in lines], [["./a.toml", "bots[0].url"], ["./a.toml", "colour"]]
        )

    def test_unreadable(self) -> None:
        """What cannot be read is one line."""
        (self.folder / "latin.toml").write_bytes(b'data_dir = "caf\xe9"\n')
        self.assertEqual(
            self.lines_of(ConfigurationFile.find("missing.toml")),
            [f"missing.toml: cannot be read: No such file or directory ({self.folder}/missing.toml)"],
        )
        self.assertEqual(
            self.lines_of(ConfigurationFile.find("latin.toml")),
            ["latin.toml: not UTF-8, as line 1 shows (perhaps GBK, or ANSI): save it as UTF-8"],
        )

    def test_mistakes_of_the_folders_file(self) -> None:
        """They are told with its name, although nobody gave it."""
        self.write("lgtwist.toml", "colour = 1\n")
        (line,) = self.lines_of(ConfigurationFile.find())
        self.assertTrue(line.startswith("lgtwist.toml: colour: "), line)


class Endpoints(SynchronousTestCase):
    """Endpoint strings with absolute paths."""

    def absolute(self, description: str) -> tuple[str, list[str], dict[str, str]]:
        return split_endpoint(absolute_endpoint(description, BASE))

    def test_without_relative_paths(self) -> None:
        """A string that names no relative path stays the same string: equal strings keep their sockets."""
        for description in (
            "tcp:8081:interface=127.0.0.1",
            "tcp6:8081",
            "systemd:domain=INET:index=0",
            "unix:/run/a",
            "unix:address=/run/a:mode=600",
            r"unix:/run/a\:b",
            "ssl:1:privateKey=/k:certKey=/c",
            "ssl:1:/k:/c",
            "nonsense",
            "",
            "unix:",
        ):
            self.assertEqual(absolute_endpoint(description, BASE), description)

    def test_unix(self) -> None:
        """The path of a unix socket, with whatever is in it, by place or by name."""
        self.assertEqual(self.absolute("unix:a"), ("unix", [f"{BASE}/a"], {}))
        self.assertEqual(
            self.absolute("unix:address=a:mode=600"), ("unix", [], {"address": f"{BASE}/a", "mode": "600"})
        )
        self.assertEqual(self.absolute(r"unix:a\:b\\c"), ("unix", [rf"{BASE}/a:b\c"], {}))
        strange = Path("/a=b:c")
        self.assertEqual(split_endpoint(absolute_endpoint("unix:d", strange)), ("unix", ["/a=b:c/d"], {}))

    def test_ssl(self) -> None:
        """Keys and certificates, by place or by name, and the key's file that Twisted takes by itself."""
        self.assertEqual(
            self.absolute(
                "ssl:1:privateKey=k:certKey=/c:extraCertChain=e:interface=::1".replace("::1", r"\:\:1")
            ),
            (
                "ssl",
                ["1"],
                {
                    "privateKey": f"{BASE}/k",
                    "certKey": "/c",
                    "extraCertChain": f"{BASE}/e",
                    "interface": "::1",
                },
            ),
        )
        self.assertEqual(self.absolute("ssl:1:k:c"), ("ssl", ["1", f"{BASE}/k", f"{BASE}/c"], {}))
        self.assertEqual(self.absolute("ssl:1"), ("ssl", ["1"], {"privateKey": f"{BASE}/server.pem"}))

    def test_wrong_types(self) -> None:
        """What is no string, no table or no list is left for those that tell of it."""
        for values in (
            {"server": 1},
            {"server": {"endpoints": 1}},
            {"server": {"endpoints": [1]}},
            {"accounts": 1},
            {"accounts": [1, {}, {"world": 1}, {"world": ""}]},
        ):
            self.assertEqual(with_absolute_paths(values, BASE), values)
