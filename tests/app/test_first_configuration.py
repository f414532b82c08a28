"""The configuration that ``lgtwist init`` writes."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import Config, parse
from lgtwist.app.first_configuration import (
    ANYWHERE,
    LOOPBACK,
    first_configuration,
    in_container,
    wants_chinese,
    write_first_configuration,
)

COMMENTED = re.compile(r"^# (?=\[\[|[a-z_]+ = )", re.MULTILINE)


def read(text: str) -> Config:
    """The configuration that a text is."""
    found = parse(text)
    assert isinstance(found, Config), found
    return found


def tokens(text: str) -> set[str]:
    """The tokens that were made for it."""
    return set(re.findall(r'(?:access|admin)_token = "([\w-]{32})"', text))


class Text(SynchronousTestCase):
    """What is in it."""

    def test_it_is_a_configuration(self) -> None:
        """In both languages, for this machine and for all, it has no mistake; every token is there."""
        for chinese in (False, True):
            for endpoint in (LOOPBACK, ANYWHERE):
                config = read(first_configuration(chinese, endpoint))
                self.assertEqual(config.server.endpoints, (endpoint,))
                self.assertEqual(config.data_dir, "lgtwist-data")
                self.assertIsNotNone(config.server.admin_token)
                self.assertIsNotNone(config.bots[0].bot.access_token)

    def test_with_everything_taken_in(self) -> None:
        """Without the ``#`` before them, what is shown as comments is right too."""
        for chinese in (False, True):
            config = read(COMMENTED.sub("", first_configuration(chinese, ANYWHERE)))
            self.assertEqual([one.type for one in config.accounts], ["sandbox", "reverse-websocket", "milky"])
            self.assertEqual(
                [one.connection for one in config.bots], ["forward-websocket", "reverse-websocket"]
            )
            self.assertTrue(config.bots[0].bot.at_least_once)
            self.assertEqual([one.language for one in config.alerts], ["zh" if chinese else "en"])

    def test_languages_say_the_same(self) -> None:
        """But for comments, tokens and the language of alerts, the two texts are one."""
        texts = []
        for chinese in (False, True):
            text = COMMENTED.sub("", first_configuration(chinese))
            text = re.sub(r'(_token|language) = "[^"]*"', r"\1", text)
            texts.append([line for line in text.splitlines() if line and not line.startswith("#")])
        self.assertEqual(*texts)

    def test_tokens_are_new(self) -> None:
        """No two tokens are the same, in one text or in several."""
        made = [tokens(first_configuration(chinese)) for chinese in (False, True, False, True)]
        self.assertEqual([len(one) for one in made], [3] * 4)
        self.assertEqual(len(set().union(*made)), 12)


class Choices(SynchronousTestCase):
    """What the environment decides."""

    def test_language(self) -> None:
        """LC_ALL counts, else LC_MESSAGES, else LANG; what is not Chinese is English."""
        for environment, chinese in (
            ({}, False),
            ({"LANG": "zh_CN.UTF-8"}, True),
            ({"LANG": "C.UTF-8"}, False),
            ({"LANG": "zh_TW"}, True),
            ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, False),
            ({"LANG": "en_US", "LC_MESSAGES": "zh_CN"}, True),
            ({"LANG": "zh_CN", "LC_ALL": ""}, True),
        ):
            self.assertIs(wants_chinese(environment), chinese, environment)

    def test_container(self) -> None:
        """Docker's and Podman's marks are known, and so is a configuration on the volume."""
        root = Path(self.mktemp())
        root.mkdir()
        self.assertFalse(in_container({}, root))
        self.assertFalse(in_container({"LGTWIST_CONFIG": "/etc/lgtwist.toml"}, root))
        self.assertTrue(in_container({"LGTWIST_CONFIG": "/data/lgtwist.toml"}, root))
        (root / ".dockerenv").touch()
        self.assertTrue(in_container({}, root))
        other = Path(self.mktemp())
        (other / "run").mkdir(parents=True)
        (other / "run" / ".containerenv").touch()
        self.assertTrue(in_container({}, other))


class Writing(SynchronousTestCase):
    """The file."""

    def test_only_its_owner_reads_it(self) -> None:
        """It has mode 0600, and its text."""
        path = Path(self.mktemp())
        write_first_configuration(path, "# 中文\n")
        self.assertEqual(path.read_text("utf-8"), "# 中文\n")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_nothing_is_overwritten(self) -> None:
        """A file that is there stays, and so does a link that leads nowhere."""
        path, link = Path(self.mktemp()), Path(self.mktemp())
        path.write_text("mine")
        link.symlink_to("nowhere")
        for there in (path, link):
            with self.assertRaises(FileExistsError):
                write_first_configuration(there, "new")
        self.assertEqual(path.read_text(), "mine")

    def test_nothing_half_written(self) -> None:
        """What cannot be written whole is not left there."""
        path = Path(self.mktemp())
        with self.assertRaises(UnicodeEncodeError):
            write_first_configuration(path, "a\ud800")
        self.assertFalse(path.exists())
