"""The vendored JavaScript is what the lock file says, and can be loaded under the console's policy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.console import vendor


class VendorTests(SynchronousTestCase):
    def copy(self) -> Path:
        folder = Path(self.mktemp())
        shutil.copytree(vendor.FOLDER, folder)
        return folder

    def test_files_are_as_locked(self) -> None:
        """The check of what is in the repository finds nothing."""
        self.assertEqual(vendor.problems(vendor.FOLDER), [])
        self.assertEqual(vendor.run_vendor(["--check"]), 0)

    def test_a_changed_file(self) -> None:
        """A file that was edited by hand is found."""
        folder = self.copy()
        (folder / "preact.mjs").write_text("export const h = 1;\n")
        self.assertEqual(vendor.problems(folder), [f"preact.mjs is not the file of {vendor.LOCK}"])

    def test_missing_and_added_files(self) -> None:
        """A licence that is missing and a file that nobody locked are found."""
        folder = self.copy()
        (folder / "LICENSE.htm.txt").unlink()
        (folder / "more.mjs").write_text("")
        self.assertEqual(
            vendor.problems(folder),
            ["LICENSE.htm.txt is missing", f"more.mjs is there, but not in {vendor.LOCK}"],
        )

    def test_another_version(self) -> None:
        """A lock of another version than the pinned one is found."""
        folder = self.copy()
        lock = json.loads((folder / vendor.LOCK).read_text("utf-8"))
        lock["packages"][0]["version"] = "10.0.0"
        (folder / vendor.LOCK).write_text(json.dumps(lock))
        self.assertEqual(vendor.problems(folder), ["preact is pinned at 11.2.0, but locked at 10.0.0"])

    def test_no_lock(self) -> None:
        """Without a lock file that can be read nothing is right."""
        folder = self.copy()
        (folder / vendor.LOCK).write_text("{")
        [problem] = vendor.problems(folder)
        self.assertIn(f"{vendor.LOCK} cannot be read", problem)

    def test_rewriting(self) -> None:
        """Bare imports become relative, the source map's comment goes, and an unknown import is refused."""
        source = (
            'import{h}from"preact";export*from \'preact/hooks\';let a="x";\n//# sourceMappingURL=a.mjs.map\n'
        )
        self.assertEqual(
            vendor.rewrite(source), 'import{h}from"./preact.mjs";export*from \'./hooks.mjs\';let a="x";\n'
        )
        with self.assertRaises(vendor.VendorError):
            vendor.rewrite('import"left-pad";')

    def test_another_tarball(self) -> None:
        """A tarball that has another hash than the registry or the lock file says is refused."""
        package = vendor.PACKAGES[1]
        answers = {
            "3.1.1": json.dumps({"license": "MIT", "dist": {"integrity": "sha512-other", "tarball": "t"}})
        }
        self.patch(vendor, "download", lambda url: answers.get(url.rpartition("/")[2], "tarball").encode())
        with self.assertRaisesRegex(vendor.VendorError, "the registry says sha512-other"):
            vendor.fetch(package, None)
        answers["3.1.1"] = answers["3.1.1"].replace("sha512-other", vendor.integrity_of(b"tarball"))
        with self.assertRaisesRegex(vendor.VendorError, "lock.json says sha512-locked"):
            vendor.fetch(package, "sha512-locked")

    def test_other_places(self) -> None:
        """Nothing is fetched from elsewhere than the registry."""
        for url in (
            "http://registry.npmjs.org/htm",
            "https://registry.npmjs.org.evil.example/htm",
            "file:///etc/passwd",
        ):
            with self.assertRaises(vendor.VendorError):
                vendor.download(url)
