"""The files of the pages, read once, each below a path that changes when any of them does."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from attrs import define, frozen

#: Content types by the ends of the names. Other files (licences, locks) are not served.
_CONTENT_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}
_PAGE_FILE = "index.html"
_FOLDER = Path(__file__).with_name("static")
#: Hexadecimal digits of the hash in the paths.
_HASH_LENGTH = 16


@define
class Asset:
    """One file.

    :ivar body: its bytes.
    :ivar kind: its content type.
    """

    body: bytes
    kind: str
    _compressed: bytes | None = None

    @property
    def compressed(self) -> bytes:
        """The body with ``Content-Encoding: gzip``."""
        if self._compressed is None:
            self._compressed = gzip.compress(self.body, 6, mtime=0)
        return self._compressed


@frozen
class Assets:
    """All files of the pages.

    :ivar hash: of all of them together; a part of their paths.
    :ivar page: the HTML page, with ``{{base}}`` for what stands before its relative URLs.
    :ivar by_path: the others, by their paths.
    """

    hash: str
    page: str
    by_path: dict[str, Asset]

    @classmethod
    def read(cls) -> Assets:
        """Read the files of the package."""
        found = sorted(_walk())
        digest = sha256()
        for path, body in found:
            digest.update(b"%b %d %b" % (path.encode(), len(body), body))
        name = digest.hexdigest()[:_HASH_LENGTH]
        page = next(body for path, body in found if path == _PAGE_FILE).decode()
        by_path = {
            path: Asset(body, kind)
            for path, body in found
            if (kind := _CONTENT_TYPES.get(path[path.rfind(".") :])) is not None
        }
        return cls(name, page.replace("{{hash}}", name), by_path)

    def html(self, base: str) -> bytes:
        """Return the page.

        :param base: what stands before its relative URLs: where the browser asked for ``/console``, without
            a slash at its end, ``console/``, else nothing.
        """
        return self.page.replace("{{base}}", base).encode()


def _walk() -> Iterator[tuple[str, bytes]]:
    for file in _FOLDER.rglob("*"):
        if file.is_file():
            yield file.relative_to(_FOLDER).as_posix(), file.read_bytes()
