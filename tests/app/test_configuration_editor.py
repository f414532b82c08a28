"""The configuration file as the console edits it: conflicts, places of mistakes, and failing disks."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app import replace_file as replacing
from lgtwist.app.configuration_editor import ConfigurationEditor
from lgtwist.app.configuration_file import ConfigurationFile
from lgtwist.console.problems import ApiProblem

TEXT = """\
# about
[server]
admin_token = "the-admin-token"   # mine

# the bot
[[bots]]
name = "a"
access_token = 'token-of-a'
"""
ADD = [{"op": "set", "path": ["bots", "a", "accounts"], "value": [10001]}]


class EditorTestCase(SynchronousTestCase):
    content: bytes | None = TEXT.encode()

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "lgtwist.toml"
        if self.content is not None:
            self.path.write_bytes(self.content)
        self.now = 1_764_400_000.0
        self.editor = self.new_editor()

    def new_editor(self) -> ConfigurationEditor:
        return ConfigurationEditor(
            ConfigurationFile(None, self.folder.absolute()), maybeDeferred, lambda: "key", lambda: self.now
        )

    def read(self) -> dict[str, Any]:
        return self.successResultOf(self.editor.read())

    def save(self, text: str, etag: str | None = None) -> dict[str, Any]:
        return self.successResultOf(self.editor.save(etag or self.read()["etag"], text, "a test"))

    def problem(self, deferred: Any) -> ApiProblem:
        return self.failureResultOf(deferred, ApiProblem).value  # type: ignore[no-any-return]

    def refuses_to_save(self, code: str, *, litter: int = 0) -> dict[str, Any]:
        """Saving is refused with this reason; the old file is whole, and nothing else is in the folder."""
        before = self.path.read_bytes()
        files = sorted(os.listdir(self.folder))
        edited = self.successResultOf(self.editor.edit(self.read()["etag"], ADD))
        problem = self.problem(self.editor.save(self.read()["etag"], edited["text"], "a test"))
        self.assertEqual((problem.status, problem.code), (422, "cannot_write"))
        self.assertEqual(problem.arguments["why"]["code"], code, problem.sentence)
        self.assertEqual(problem.arguments["why"]["sentence"], problem.sentence)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(sorted(os.listdir(self.folder)), files)
        self.assertNotIn("token-of-a", str(problem.arguments))
        return problem.arguments


class ReadingTests(EditorTestCase):
    def test_the_file_without_its_secrets(self) -> None:
        found = self.read()
        self.assertNotIn("token-of-a", str(found))
        self.assertNotIn("the-admin-token", str(found))
        self.assertEqual(found["path"], str(self.path.absolute()))
        self.assertEqual(found["bots"], [{"name": "a", "access_token": "••••••2"}])
        self.assertEqual((found["writable"], found["why_not"], found["problems"]), (True, None, []))

    def test_there_is_no_file(self) -> None:
        self.path.unlink()
        found = self.read()
        self.assertEqual((found["exists"], found["text"], found["writable"]), (False, "", True))
        answer = self.save('data_dir = "x"\n', found["etag"])
        self.assertEqual(self.path.read_text(), 'data_dir = "x"\n')
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertIsNone(answer["backup"])

    def test_a_file_that_appears_meanwhile_is_not_overwritten(self) -> None:
        self.path.unlink()
        etag = self.read()["etag"]
        self.path.write_text("# another\n")
        problem = self.problem(self.editor.save(etag, "data_dir = 'x'\n", "a test"))
        self.assertEqual(problem.code, "changed")
        self.assertEqual(self.path.read_text(), "# another\n")

    def test_no_file_to_edit(self) -> None:
        self.path.unlink()
        os.mkfifo(self.path)
        found = self.read()
        self.assertEqual((found["writable"], found["why_not"]["code"]), (False, "not_a_file"))
        self.path.unlink()
        self.path.write_bytes(b"\xff\xfea\0")
        self.assertEqual(self.read()["why_not"]["code"], "not_text")
        self.path.write_bytes(b"#" * 300_000)
        self.assertEqual(self.read()["why_not"]["code"], "too_long")

    def test_why_it_would_not_start(self) -> None:
        def mistakes(editor: ConfigurationEditor) -> list[str]:
            return self.successResultOf(editor.mistakes())

        self.assertEqual(mistakes(self.editor), [])
        self.path.write_text(f"{TEXT}x = 1\n")
        self.assertIn("bots[0].x", mistakes(self.editor)[0])
        self.path.unlink()
        self.assertEqual(mistakes(self.editor), [])  # the built-in configuration
        named = ConfigurationFile("lgtwist.toml", self.folder.absolute())
        self.assertIn("cannot be read", mistakes(ConfigurationEditor(named, maybeDeferred))[0])

    def test_a_file_with_mistakes(self) -> None:
        self.path.write_text("access_token = \n[[bots]\n")
        found = self.read()
        self.assertEqual([(one["line"]) for one in found["problems"]], [1])
        self.assertEqual(found["bots"], [])

    def test_changed_on_disk(self) -> None:
        self.editor.note_running()
        self.assertFalse(self.read()["changed_on_disk"])
        self.path.write_text(TEXT + "# more\n")
        self.assertTrue(self.read()["changed_on_disk"])
        self.editor.read_again()
        self.assertTrue(self.read()["changed_on_disk"])  # it may have been refused
        self.editor.note_taken()
        self.assertFalse(self.read()["changed_on_disk"])


class CheckingTests(EditorTestCase):
    def check_text(self, text: str) -> dict[str, Any]:
        return self.successResultOf(self.editor.check(self.read()["etag"], text))

    def test_a_short_secret_is_in_no_mistake(self) -> None:
        self.path.write_text('[server]\nadmin_token = "x7!q"\n')
        found = self.check_text('[server]\nendpoints = ["tcp://••••••1@x"]\n')
        self.assertTrue(found["problems"])
        self.assertNotIn("x7!q", str(found))

    def test_a_large_file_is_not_read(self) -> None:
        with open(self.folder / "large", "wb") as file:
            file.truncate(1 << 40)
        found = self.check_text("[[bots]]\nname = 'b'\naccess_token_file = 'large'\n")
        self.assertEqual([one["path"] for one in found["problems"]], ["bots[0].access_token_file"])
        self.assertIn("too large", found["problems"][0]["sentence"])

    def test_a_key_of_very_many_parts(self) -> None:
        etag = self.read()["etag"]
        for text in (
            "a." * 5_000 + "b = 1\n",
            "x = {" + '"a" . ' * 5_000 + "b = 1}",
            "[" + "a." * 5_000 + "b]",
        ):
            for answer in (self.editor.check(etag, text), self.editor.edit(etag, ADD, text)):
                self.assertEqual(self.problem(answer).code, "bad_request")
        self.check_text(f"# {'.' * 5_000}\n# {'a.' * 5_000}\n{TEXT}x = '{'.' * 5_000}'\n")

    def test_few_threads_are_taken(self) -> None:
        etag = self.read()["etag"]
        called: list[Any] = []
        editor = ConfigurationEditor(
            ConfigurationFile(None, self.folder.absolute()),
            lambda call: called.append((call, Deferred())) or called[-1][1],
            lambda: "key",
        )
        asked = [editor.check(etag, TEXT) for _ in range(60)]
        self.assertEqual(len(called), 2)
        for late in asked[52:]:
            self.assertEqual(self.problem(late).code, "busy")
        for call, done in called:
            done.callback(call())
        self.assertEqual(len(called), 52)
        self.assertEqual(self.successResultOf(asked[51])["problems"], [])

    def test_masks_do_not_grow_a_file_beyond_what_is_edited(self) -> None:
        self.path.write_text(f'access_token = "{"x" * 100_000}"\n')
        problem = self.problem(self.editor.check(self.read()["etag"], "# token = ••••••1\n" * 9))
        self.assertEqual(problem.code, "too_long")

    def test_mistakes_have_their_places(self) -> None:
        for added, path, line, column in (
            ("accounts = [1, 7]\n", "bots[0].accounts[0]", 9, 13),
            ("accounts = [1]\nurls = 'x'\n", "bots[0].urls", 10, 8),
            ('[bots.actions]\nrate = "x"\n', "bots[0].actions.rate", 10, 8),
            ("[[bots]]\n", "bots[1].name", 9, 1),
            ("[limits]\ncalls = 0\n", "limits.calls", 10, 9),
            ("x = \n", "", 9, 5),
            ("secret = '••••••9'\n", "", 9, 11),
        ):
            found = self.check_text(self.read()["text"] + added)["problems"]
            places = [(one["path"], one["line"], one["column"]) for one in found]
            self.assertIn((path, line, column), places, added)

    def test_files_that_are_named_are_read(self) -> None:
        text = self.read()["text"] + "[[bots]]\nname = 'b'\naccess_token_file = 'run/t'\n"
        self.assertIn("cannot be read", self.check_text(text)["problems"][0]["sentence"])
        (self.folder / "run").mkdir()
        (self.folder / "run" / "t").write_text("x\n")
        self.assertEqual(self.check_text(text)["problems"], [])

    def test_no_sentence_tells_a_secret(self) -> None:
        for line in ("connection = '••••••2'", "delivery = '••••••1'", "x••••••1 = 1"):
            answer = self.check_text(self.read()["text"] + line + "\n")
            self.assertTrue(answer["problems"])
            self.assertNotIn("the-admin-token", str(answer))
            self.assertNotIn("token-of-a", str(answer))

    def test_the_difference(self) -> None:
        text = self.read()["text"].replace("'token-of-a'", "x").replace('"••••••2"', '"a-new-token"')
        diff = [one for one in self.check_text(text)["diff"] if one["kind"] != "same"]
        self.assertEqual([one["kind"] for one in diff], ["old", "new"])
        self.assertNotIn("a-new-token", str(diff))

    def test_what_is_no_text(self) -> None:
        etag = self.read()["etag"]
        for text, status in (("x\0", 400), ("\ud800", 400), ("#" * 300_000, 413)):
            self.assertEqual(self.problem(self.editor.check(etag, text)).status, status)
        for edits in (None, [1], [{"op": "set", "path": []}], [{"op": "x", "path": ["a"]}], ADD * 201):
            self.assertEqual(self.problem(self.editor.edit(etag, edits)).status, 400)
        edits = [{"op": "remove", "path": ["bots", "nobody"]}]
        self.assertEqual(self.problem(self.editor.edit(etag, edits)).code, "cannot_edit")


class SavingTests(EditorTestCase):
    def test_by_the_form(self) -> None:
        edited = self.successResultOf(self.editor.edit(self.read()["etag"], ADD))
        self.assertEqual(edited["problems"], [])
        self.assertEqual(self.path.read_text(), TEXT)  # nothing is saved yet
        answer = self.save(edited["text"])
        self.assertEqual(self.path.read_text(), TEXT + "accounts = [10001]\n")
        self.assertEqual((self.folder / answer["backup"]).read_text(), TEXT)
        self.assertEqual(answer["etag"], self.read()["etag"])
        self.assertEqual(self.read()["backups"], [answer["backup"]])

    def test_two_browsers(self) -> None:
        one, two = self.read(), self.read()
        self.save(one["text"] + "# one\n", one["etag"])
        problem = self.problem(self.editor.save(two["etag"], two["text"] + "# two\n", "a test"))
        self.assertEqual((problem.status, problem.code), (409, "changed"))
        self.assertEqual(problem.arguments, {"etag": self.read()["etag"]})
        self.assertEqual(self.path.read_text(), TEXT + "# one\n")
        for asked in (self.editor.check(two["etag"], ""), self.editor.edit(two["etag"], ADD)):
            self.assertEqual(self.problem(asked).code, "changed")

    def test_changed_on_the_disk_meanwhile(self) -> None:
        found = self.read()
        self.path.write_text(TEXT.replace("token-of-a", "token-of-b"))  # the masked text is the same
        problem = self.problem(self.editor.save(found["etag"], found["text"], "a test"))
        self.assertEqual(problem.code, "changed")
        self.assertIn("token-of-b", self.path.read_text())

    def test_changed_at_the_last_moment(self) -> None:
        """An editor writes while the new file comes to the disk."""
        found, original = self.read(), os.fsync

        def fsync(descriptor: int) -> None:
            original(descriptor)
            self.path.write_text("# another\n")

        self.patch(replacing.os, "fsync", fsync)
        problem = self.problem(self.editor.save(found["etag"], f"{found['text']}# more\n", "a test"))
        self.assertEqual(problem.code, "changed")
        self.assertEqual(self.path.read_text(), "# another\n")
        self.assertEqual(os.listdir(self.folder), ["lgtwist.toml"])

    def test_mistakes_are_not_saved(self) -> None:
        found = self.read()
        problem = self.problem(self.editor.save(found["etag"], found["text"] + "x = 1\n", "a test"))
        self.assertEqual((problem.status, problem.code), (422, "has_problems"))
        self.assertEqual(problem.arguments["problems"][0]["path"], "bots[0].x")
        self.assertEqual(os.listdir(self.folder), ["lgtwist.toml"])

    def test_mode_and_owner_are_kept(self) -> None:
        self.path.chmod(0o640)
        if os.geteuid() == 0:
            os.chown(self.path, 12345, 54321)
        before = self.path.stat()
        backup = self.save(self.read()["text"] + "# more\n")["backup"]
        after = self.path.stat()
        for name in ("st_mode", "st_uid", "st_gid"):
            self.assertEqual(getattr(after, name), getattr(before, name), name)
        self.assertEqual(stat.S_IMODE((self.folder / backup).stat().st_mode), 0o600)
        self.assertEqual((self.folder / backup).stat().st_uid, before.st_uid)

    def test_a_symbolic_link_stays(self) -> None:
        there = self.folder / "there"
        there.mkdir()
        self.path.rename(there / "real.toml")
        self.path.symlink_to("there/real.toml")
        self.save(self.read()["text"] + "# more\n")
        self.assertTrue(self.path.is_symlink())
        self.assertEqual((there / "real.toml").read_text(), TEXT + "# more\n")
        self.assertEqual(len(os.listdir(there)), 2)
        self.assertEqual([one.exists() for one in self.editor.backups()], [True])

    def test_five_backups(self) -> None:
        for number in range(8):
            self.now += number % 2  # two in one second
            self.save(self.read()["text"] + f"# {number}\n")
        backups = self.read()["backups"]
        self.assertEqual(len(backups), 5)
        self.assertEqual(sum(".bak-" in name for name in os.listdir(self.folder)), 5)
        self.assertIn("# 6", (self.folder / backups[0]).read_text())
        self.assertNotIn("# 7", (self.folder / backups[0]).read_text())
        self.assertEqual([one.name for one in self.editor.backups()], backups)

    def test_line_ends_and_mark(self) -> None:
        raw = b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()
        self.path.write_bytes(raw)
        self.save(self.read()["text"].replace("\r\n", "\n") + "# from a browser\n")
        self.assertEqual(self.path.read_bytes(), raw + b"# from a browser\r\n")

    def test_a_secret_of_several_lines(self) -> None:
        raw = b"# x\r\n[server]\r\nadmin_token = " + b'"""\\\r\n  the-token"""\r\n'
        self.path.write_bytes(raw)
        self.save(self.read()["text"].replace("\r\n", "\n") + "# more\n")
        self.assertEqual(self.path.read_bytes(), raw + b"# more\r\n")


class FailureTests(EditorTestCase):
    """Whatever the disk does, the old file is whole."""

    def fail(self, name: str, number: int) -> None:  # type: ignore[override]
        def failing(*_arguments: Any, **_more: Any) -> Any:
            raise OSError(number, os.strerror(number))

        self.patch(replacing.os, name, failing)

    def test_at_each_step(self) -> None:
        for number, code in (
            (errno.EROFS, "read_only_disk"),
            (errno.EBUSY, "mounted_alone"),
            (errno.ENOSPC, "no_space"),
            (errno.EACCES, "read_only_folder"),
            (errno.EIO, "cannot_be_written"),
        ):
            for name in ("replace", "fsync", "fchmod"):
                original = getattr(os, name)
                self.fail(name, number)
                arguments = self.refuses_to_save(code)
                setattr(os, name, original)
                self.assertEqual(arguments["block"], "[[bots]]\naccounts = [10001]\n")

    def test_no_space(self) -> None:
        """A real one: a disk of 16 KiB."""
        disk = self.folder / "disk"
        disk.mkdir()
        self.mount("-t", "tmpfs", "-o", "size=16k", "none", str(disk))
        self.path.rename(self.folder / "old")
        self.folder, old = disk, self.folder
        self.path = disk / "lgtwist.toml"
        self.path.write_text(TEXT)
        (disk / "full").write_bytes(b"x" * 8192)
        self.editor = self.new_editor()
        self.refuses_to_save("no_space")
        self.folder = old

    def test_read_only_disk(self) -> None:
        self.mount("--bind", str(self.folder), str(self.folder))
        self.mount("-o", "remount,ro,bind", str(self.folder))
        self.assertEqual(self.read()["why_not"]["code"], "read_only_disk")
        self.refuses_to_save("read_only_disk")

    def test_a_file_that_is_mounted_alone(self) -> None:
        other = self.folder.with_suffix(".other")
        other.write_text(TEXT)
        self.mount("--bind", str(other), str(self.path))
        self.assertEqual(self.read()["why_not"]["code"], "mounted_alone")
        self.refuses_to_save("mounted_alone")
        self.patch(replacing, "why_not_writable", lambda _path: None)
        self.refuses_to_save("mounted_alone")  # as the kernel says it

    def mount(self, *arguments: str) -> None:
        done = subprocess.run(["mount", *arguments], capture_output=True, check=False, timeout=20)
        if done.returncode:
            self.skipTest("mounting is not allowed here")
        self.addCleanup(
            subprocess.run, ["umount", "-l", arguments[-1]], check=False, timeout=20, capture_output=True
        )

    def skipTest(self, why: str) -> None:
        from twisted.trial.unittest import SkipTest

        raise SkipTest(why)

    def test_a_file_or_folder_of_others(self) -> None:
        real = os.access
        self.patch(
            replacing.os, "access", lambda path, mode: Path(path) != self.path.absolute() and real(path, mode)
        )
        self.refuses_to_save("read_only_file")
        self.patch(replacing.os, "access", lambda path, mode: Path(path) == self.path.absolute())
        self.refuses_to_save("read_only_folder")
        self.patch(replacing.os, "access", real)
        self.patch(replacing.os, "geteuid", lambda: 4_000_000)
        self.refuses_to_save("another_owner")
