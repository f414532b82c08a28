"""Fetch the JavaScript modules that the console's pages use, or check them.

This is run as ``python -m lgtwist.console.vendor``. Without arguments the packages of ``PACKAGES`` are
downloaded from npm's registry in exactly the named versions, their integrity is checked (with the lock's,
too, where it has the same version), and the files are written to ``static/vendor``, with the licences and
``vendor.lock.json``. With ``--check`` the files there are compared with the lock file, without a network.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import sys
import tarfile
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

FOLDER = Path(__file__).with_name("static") / "vendor"
LOCK = "vendor.lock.json"
REGISTRY = "https://registry.npmjs.org"
#: Seconds for one request to the registry.
TIMEOUT = 60
#: The most bytes that are read of one answer of the registry.
MAX_DOWNLOAD = 32 << 20


class VendorError(Exception):
    """A package could not be fetched, or is not the one that was pinned."""


@attrs.frozen(kw_only=True)
class Package:
    """A package of npm's registry.

    :ivar name: its name.
    :ivar version: the pinned version.
    :ivar files: the file names below ``static/vendor``, and the paths in the package that they come from.
    :ivar licence_file: the file name below ``static/vendor`` of its licence text.
    :ivar are_modules: whether the files are modules, whose imports are to be rewritten.
    """

    name: str
    version: str
    files: dict[str, str]
    licence_file: str
    are_modules: bool = True


PACKAGES = [
    Package(
        name="preact",
        version="11.2.0",
        files={"preact.mjs": "dist/preact.mjs", "hooks.mjs": "hooks/dist/hooks.mjs"},
        licence_file="LICENSE.preact.txt",
    ),
    Package(name="htm", version="3.1.1", files={"htm.mjs": "dist/htm.mjs"}, licence_file="LICENSE.htm.txt"),
    Package(
        name="@preact/signals-core",
        version="1.14.5",
        files={"signals-core.mjs": "dist/signals-core.mjs"},
        licence_file="LICENSE.signals-core.txt",
    ),
    Package(
        name="@preact/signals",
        version="2.11.4",
        files={"signals.mjs": "dist/signals.mjs"},
        licence_file="LICENSE.signals.txt",
    ),
]

#: The bare imports and the files that they are made to name: import maps are inline scripts, which the
#: console's Content-Security-Policy forbids.
IMPORTS = {
    "preact": "./preact.mjs",
    "preact/hooks": "./hooks.mjs",
    "@preact/signals-core": "./signals-core.mjs",
}

_IMPORT = re.compile(r"""(\bfrom\s*|\bimport\s*)(["'])([^"'\n]+)\2""")
_SOURCE_MAP = re.compile(r"\n?//# sourceMappingURL=[^\n]*\n?")


def rewrite(source: str) -> str:
    """Return a module's source with relative imports and without the comment that names its source map.

    :raise VendorError: if it imports something that is not vendored.
    """

    def relative(found: re.Match[str]) -> str:
        before, quote, name = found.groups()
        if name not in IMPORTS:
            raise VendorError(f"an import of {name!r}, which is not vendored")
        return f"{before}{quote}{IMPORTS[name]}{quote}"

    return _IMPORT.sub(relative, _SOURCE_MAP.sub("\n", source)).rstrip("\n") + "\n"


def download(url: str) -> bytes:
    """Return the body of a URL of the registry.

    :raise VendorError: if it is not one of the registry, or longer than ``MAX_DOWNLOAD``.
    :raise OSError: if it cannot be fetched.
    """
    if not url.startswith(f"{REGISTRY}/"):
        raise VendorError(f"{url} is not below {REGISTRY}")
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310  # https, checked above
        body: bytes = response.read(MAX_DOWNLOAD + 1)
    if len(body) > MAX_DOWNLOAD:
        raise VendorError(f"{url} is longer than {MAX_DOWNLOAD} bytes")
    return body


def integrity_of(content: bytes) -> str:
    """Return npm's ``integrity`` of a tarball: its SHA-512 in base64, after ``sha512-``."""
    return "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode("ascii")


def fetch(package: Package, locked_integrity: str | None) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return a package's entry for the lock file, and its files by their names below ``static/vendor``.

    :param locked_integrity: the integrity that the lock file has for this version; None if it has none.
    :raise VendorError: if the tarball is not the pinned one, or lacks a file.
    """
    where = f"{REGISTRY}/{urllib.parse.quote(package.name, safe='@')}/{package.version}"
    about = json.loads(download(where))
    integrity = about["dist"]["integrity"]
    tarball = download(about["dist"]["tarball"])
    found = integrity_of(tarball)
    for expected, source in ((integrity, "the registry"), (locked_integrity, LOCK)):
        if expected is not None and found != expected:
            raise VendorError(f"{package.name} {package.version} is {found}, but {source} says {expected}")
    contents: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
        for name, path in {**package.files, package.licence_file: "LICENSE"}.items():
            try:
                member = archive.extractfile(f"package/{path}")
            except KeyError:
                member = None
            if member is None:
                raise VendorError(f"{package.name} {package.version} has no file {path}")
            contents[name] = member.read()
    for name in package.files if package.are_modules else ():
        contents[name] = rewrite(contents[name].decode("utf-8")).encode("utf-8")
    entry = {
        "name": package.name,
        "version": package.version,
        "licence": about["license"],
        "integrity": found,
        "files": {name: hashlib.sha256(body).hexdigest() for name, body in sorted(contents.items())},
    }
    return entry, contents


def update(folder: Path, packages: Sequence[Package] = PACKAGES) -> None:
    """Fetch packages and write their files and the lock file.

    :raise VendorError: if a package is not the pinned one; nothing is written then.
    :raise OSError: if something cannot be fetched or written.
    """
    lock = folder / LOCK
    known = json.loads(lock.read_text("utf-8"))["packages"] if lock.exists() else []
    integrities = {(entry["name"], entry["version"]): entry["integrity"] for entry in known}
    entries, contents = [], {}
    for package in packages:
        entry, files = fetch(package, integrities.get((package.name, package.version)))
        entries.append(entry)
        contents.update(files)
    contents[LOCK] = (json.dumps({"packages": entries}, indent=2) + "\n").encode("utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in contents:
            path.unlink()
    for name, body in contents.items():
        (folder / name).write_bytes(body)


def problems(folder: Path, packages: Sequence[Package] = PACKAGES) -> list[str]:
    """Return what is wrong with the vendored files, a sentence each; empty if they are as locked."""
    try:
        entries = json.loads((folder / LOCK).read_text("utf-8"))["packages"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{LOCK} cannot be read: {error}"]
    found = []
    pinned = {package.name: package for package in packages}
    locked = {entry["name"]: entry["version"] for entry in entries}
    for name, package in pinned.items():
        if locked.get(name) != package.version:
            found.append(f"{name} is pinned at {package.version}, but locked at {locked.get(name)}")
    found += [f"{name} is locked, but not pinned" for name in sorted(locked.keys() - pinned.keys())]
    hashes = {name: sha256 for entry in entries for name, sha256 in entry["files"].items()}
    for package in packages:
        for name in (*package.files, package.licence_file):
            if name not in hashes:
                found.append(f"{name} is not in {LOCK}")
    for name, sha256 in sorted(hashes.items()):
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            found.append(f"{name} is not the file of {LOCK}")
    there = {path.name for path in folder.iterdir()}
    found += [f"{name} is there, but not in {LOCK}" for name in sorted(there - hashes.keys() - {LOCK})]
    return found


def run_vendor(
    arguments: list[str] | None = None,
    *,
    program: str = "python -m lgtwist.console.vendor",
    folder: Path = FOLDER,
    packages: Sequence[Package] = PACKAGES,
) -> int:
    """Fetch the vendored modules, or check them; return the exit code."""
    parser = argparse.ArgumentParser(prog=program, description=run_vendor.__doc__)
    parser.add_argument("--check", action="store_true", help="compare the files with the lock; no network")
    options = parser.parse_args(arguments)
    if not options.check:
        try:
            update(folder, packages)
        except (VendorError, OSError) as error:
            sys.stderr.write(f"{error}\n")
            return 1
    found = problems(folder, packages)
    sys.stderr.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(run_vendor())
