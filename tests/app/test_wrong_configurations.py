"""Configurations as people get them wrong: one line for each mistake, with the key and what to write."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import skipIf

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import parse
from lgtwist.app.configuration_file import ConfigurationError, ConfigurationFile
from lgtwist.app.first_configuration import first_configuration
from lgtwist.config.toml_mistakes import why_not_toml
from tests.rounds import quick

BOT = '[[bots]]\nname = "b"\n'
REVERSE = BOT + 'connection = "reverse-websocket"\n'

#: Of each: the TOML, the path of the only mistake, and words of its sentence.
MISTAKES = [
    # not TOML
    ("data_dir = “d”", "", '“ (U+201C) looks like " and is another character: write "'),
    ("data_dir＝'d'", "", "write ="),
    ("［server］", "", "write ["),
    ('[server]\nendpoints = ["tcp:1"，"tcp:2"]', "", "write ,"),
    ("[[accounts]]\nself_id = １０００１", "", "write 1"),
    ("\u200bdata_dir = 'd'", "", "U+200B"),
    ("data_dir\u3000= 'd'", "", "a blank of another kind"),
    ('{"data_dir": "d"}', "", "it looks like JSON"),
    ("data_dir: d", "", "write data_dir = ..."),
    ("data_dir = d", "", "text stands between quotation marks"),
    ("a = True", "", "write true"),
    ('data_dir = "C:\\Users"', "", "a backslash is written twice"),
    ('[server]\nendpoints = ["tcp:1:interface=\\:\\:1"]', "", "a backslash is written twice"),
    ("[server]\n[server]", "", "[server] stands there twice"),
    ("[[accounts]]\nself_id = 1\n[accounts]\nself_id = 2", "", "several are written as [[accounts]]"),
    ("data_dir = 'a'\ndata_dir = 'b'", "", "data_dir stands there twice"),
    ('data_dir = "a\n', "", "a quotation mark is missing"),
    ("data_dir = 'a'\r[server]\r", "", "lone CR"),
    ("[[accounts]]\nself_id = 010001", "", "a number has no 0 in front"),
    # tables
    ("[accounts]\nself_id = 1", "accounts", "[[accounts]], with two brackets, also for one"),
    ("accounts = 10001", "accounts", "expected [[accounts]]"),
    ("accounts = [10001]", "accounts[0]", "[[accounts]]"),
    ("[[server]]\nadmin_token = 'a'", "server", "one pair of brackets"),
    (BOT + "events = ['message']", "bots[0].events", "{ key = value }"),
    # keys
    (BOT + "Access_Token = 't'", "bots[0].Access_Token", 'is "access_token" meant?'),
    (BOT + "accessToken = 't'", "bots[0].accessToken", 'is "access_token" meant?'),
    (BOT + "token = 't'", "bots[0].token", 'is "access_token" meant?'),
    ("[[bots]]\nName = 'b'", "bots[0].Name", 'is "name" meant?'),
    ("[[accounts]]\nqq = 10001", "accounts[0].qq", 'is "self_id" meant?'),
    ("[Server]", "Server", 'is "server" meant?'),
    ("[server]\nport = 8081", "server.port", 'is "endpoints" meant?'),
    ("[server]\nmax_message = '4MiB'", "server.max_message", "it belongs to [limits]"),
    ("[server]\ndata_dir = 'd'", "server.data_dir", "the top of the file"),
    ("[server]\nenabled = false", "server.enabled", "it belongs to [console]"),
    ("[console]\nadmin_token = 't'", "console.admin_token", "it belongs to [server]"),
    ("self_id = 5", "self_id", "it belongs to [[accounts]]"),
    (BOT + "url = 'ws://127.0.0.1/'", "bots[0].url", 'connection = "reverse-websocket"'),
    ("[[accounts]]\nself_id = 1\nurl = 'ws://x/'", "accounts[0].url", 'type = "forward-websocket"'),
    (BOT + "group_id = [1]", "bots[0].group_id", "belongs into events = { group_id = ... }"),
    (BOT + "roles = ['owner']", "bots[0].roles", "belongs into events = { roles = ... }"),
    (BOT + "private = false", "bots[0].private", "belongs into events = { private = ... }"),
    (BOT + "any_of = { at_me = true }", "bots[0].any_of", "belongs into events"),
    (BOT + "at_me = true", "bots[0].at_me", "belongs into events = { any_of = { at_me = ... } }"),
    (BOT + "deny = { group_id = [1] }", "bots[0].deny", "belongs into events"),
    (BOT + "allow = ['send_*']", "bots[0].allow", "belongs into actions"),
    (BOT + "events = {filter = '{}'}", "bots[0].events.filter", "belongs into [[bots]], beside events"),
    (BOT + "events = {deny = {groups = [1]}}", "bots[0].events.deny.groups", 'is "group_id" meant?'),
    # values
    ("[[accounts]]\nself_id = '10001'", "accounts[0].self_id", "without quotation marks"),
    ("[[accounts]]\nself_id = 10001.0", "accounts[0].self_id", "without a point"),
    ("[[accounts]]\nself_id = 1\ntype = 'napcat'", "accounts[0].type", "goes into dialect"),
    (BOT + "accounts = 10001", "bots[0].accounts", "[ and ] around it"),
    (BOT + "accounts = ['10001']", "bots[0].accounts[0]", "without quotation marks"),
    (BOT + "events = {post_type = 'message'}", "bots[0].events.post_type", "[ and ] around it"),
    (BOT + "delivery = 'at_least_once'", "bots[0].delivery", 'is "at-least-once" meant?'),
    (BOT + "access_token = ''", "bots[0].access_token", "leave the key out"),
    ("[limits]\naction_timeout = '5'", "limits.action_timeout", "the unit is missing"),
    ("[limits]\nmax_message = '4MB'", "limits.max_message", 'write "4MiB"'),
    (REVERSE + "url = 'ws://127.0.0.1:8080/ '", "bots[0].url", "a blank or a line break around it"),
    (REVERSE + "url = 'ws：//127.0.0.1:8080/'", "bots[0].url", "write :"),
    (REVERSE + "url = 'ws://机器人/'", "bots[0].url", "xn--"),
    # endpoints
    ("[server]\nendpoints = 'tcp:1'", "server.endpoints", "[ and ] around it"),
    ("[server]\nendpoints = ['tcp:1:interface=::1']", "server.endpoints[0]", r"interface=\:\:1"),
    (
        "[server]\nendpoints = ['tcp:1:interface=127.0.0.1', 'tcp:1:interface=127.0.0.1']",
        "server.endpoints[1]",
        "another one of them",
    ),
]

needs_permissions = skipIf(os.getuid() == 0, "root may read everything")


class MistakeTests(SynchronousTestCase):
    def test_each(self) -> None:
        """Each of them is one line, at its key, with what to write; no other key is blamed for it."""
        for toml, path, words in MISTAKES:
            found = parse(toml)
            assert isinstance(found, list), toml
            self.assertEqual([problem.path for problem in found], [path], (toml, found))
            self.assertIn(words, found[0].sentence, toml)
            self.assertTrue(str(found[0]).isprintable(), toml)

    def test_no_line_of_the_file_is_shown(self) -> None:
        """What stands beside a mistake may be a token."""
        for toml in (
            "access_token = “s3cret”",
            'access_token = "s3cret',
            "access_token = s3cret",
            "access_token: s3cret",
            'access_token = "s3cret\\x"',
            'access_token = "s3cret"，',
        ):
            found = parse(BOT + toml)
            assert isinstance(found, list)
            self.assertNotIn("s3cret", "".join(map(str, found)))

    @quick
    @given(st.data())
    def test_any_character_in_any_place(self, data: st.DataObject) -> None:
        """A good file into which one character has strayed is read, or refused in one line each."""
        good = first_configuration(chinese=data.draw(st.booleans()))
        at = data.draw(st.integers(0, len(good)))
        changed = good[:at] + data.draw(st.characters(exclude_categories=("Cs",))) + good[at:]
        found = parse(changed)
        for problem in found if isinstance(found, list) else []:
            self.assertEqual(len(str(problem).splitlines()), 1)

    def test_an_error_without_a_place(self) -> None:
        """It is told as it is."""
        self.assertEqual(why_not_toml("a", ValueError("too long")), "not TOML: too long")


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.path = self.folder / "lgtwist.toml"

    def lines(self) -> list[str]:
        error = self.assertRaises(ConfigurationError, ConfigurationFile.find("lgtwist.toml").read)
        return error.lines

    def test_saved_by_windows(self) -> None:
        """A byte order mark and CRLF are read, in the configuration and in the files of secrets."""
        (self.folder / "token").write_bytes(b"\xef\xbb\xbfs3cret \t\r\n\r\n")
        self.path.write_bytes(
            b"\xef\xbb\xbf" + (BOT + 'access_token_file = "token"\n').replace("\n", "\r\n").encode()
        )
        read = ConfigurationFile.find("lgtwist.toml").read()
        self.assertEqual(read.bots[0].bot.access_token, "s3cret")

    def test_other_encodings(self) -> None:
        """What it is is said, of both."""
        self.path.write_bytes(BOT.encode("utf-16"))
        (line,) = self.lines()
        self.assertIn("lgtwist.toml: not UTF-8, but UTF-16", line)
        self.path.write_text(BOT + 'access_token_file = "token"\n')
        (self.folder / "token").write_bytes("s3cret".encode("utf-16"))
        (line,) = self.lines()
        self.assertIn("bots[0].access_token_file: the file is not UTF-8, but UTF-16", line)

    def test_files_of_secrets(self) -> None:
        """The absolute path of one that is there is named; of one that is not, where it is looked for."""
        (self.folder / "folder").mkdir()
        for name, content in (("empty", ""), ("blank", " \r\n"), ("two", "s3cret\nsecond\n")):
            (self.folder / name).write_text(content)
        for name, words in (
            ("folder", f"{self.folder}/folder cannot be read: Is a directory"),
            (
                "s3cret",
                f"the file cannot be read: No such file or directory; it is looked for in {self.folder}",
            ),
            ("s3cret/none", "the file cannot be read: No such file or directory"),
            ("empty", "the file is empty"),
            ("blank", "the file is empty"),
            ("two", "expected one line in the file"),
        ):
            self.path.write_text(f'{BOT}access_token_file = "{name}"\n')
            (line,) = self.lines()
            self.assertEqual(line, f"lgtwist.toml: bots[0].access_token_file: {words}")

    def test_a_secret_that_cannot_be_read_is_not_missing(self) -> None:
        """On a public port too, one line for each: that a token is needed would be a second one."""
        self.path.write_text(
            f'[server]\nendpoints = ["tcp:8081"]\nadmin_token = "{"a" * 32}"\n'
            f'{BOT}access_token_file = "none"\n'
            '[[accounts]]\ntype = "reverse-websocket"\nself_id = 1\naccess_token_file = "none"\n'
        )
        lines = self.lines()
        self.assertEqual(
            [line.split(": ")[1] for line in lines],
            ["accounts[0].access_token_file", "bots[0].access_token_file"],
            lines,
        )

    def test_the_configuration_itself(self) -> None:
        """A file that is not there, and a folder, are named by their absolute paths."""
        (line,) = self.lines()
        self.assertEqual(line, f"lgtwist.toml: cannot be read: No such file or directory ({self.path})")
        self.path.mkdir()
        (line,) = self.lines()
        self.assertTrue(
            line.startswith("lgtwist.toml: cannot be read: it is a folder, not a file; remove it")
        )
        self.assertTrue(line.endswith(f" ({self.path})"))

    @needs_permissions
    def test_no_permission(self) -> None:
        """Who may not read it is said."""
        self.path.touch(0o000)
        (line,) = self.lines()
        self.assertIn(f"cannot be read: Permission denied for uid {os.getuid()}: ", line)
