"""One table of a configuration file, read key by key; every mistake is collected with its path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from attrs import field, frozen
from twisted.internet.ssl import Certificate, trustRootFromCertificates

from lgtwist.config.values import Unreadable, text

_Value = TypeVar("_Value")


_MISSING: Any = object()


_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@frozen
class Problem:
    """One mistake.

    :ivar path: the key's, as ``bots[1].url``; empty for the file as a whole.
    :ivar sentence: what was expected.
    """

    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" if self.path else self.sentence


@frozen
class Authorities:
    """Certificates of authorities from one file; two are equal if their certificates are.

    :ivar pem: the certificates.
    :ivar trust_root: the same, as Twisted takes them.
    """

    pem: tuple[str, ...]
    trust_root: Any = field(eq=False, repr=False)


def trust_root_of(authorities: Authorities | None) -> Any:
    """Return the authorities as Twisted takes them; None for the system's."""
    return None if authorities is None else authorities.trust_root


class Section:
    """One table of the file.

    :param path: where it stands.
    :param values: what is in it.
    :param problems: gets every mistake.
    :param read_file: reads the files that ``..._file`` keys name.
    """

    def __init__(
        self, path: str, values: Any, problems: list[Problem], read_file: Callable[[str], str]
    ) -> None:
        self.path = path
        self._problems = problems
        self._read_file = read_file
        self._known: list[str] = []
        if isinstance(values, dict):
            self._values: dict[str, Any] = values
        else:
            self._values = {}
            problems.append(Problem(path, "expected a table"))

    def at(self, key: str) -> str:
        """The path of a key of this table."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def raw(self, key: str) -> Any:
        """What stands there, unread; only a list is given, for looking ahead."""
        value = self._values.get(key)
        return value if isinstance(value, list) else None

    def _wrong(self, key: str, sentence: str) -> None:
        self._problems.append(Problem(self.at(key), sentence))

    def take(self, key: str, reader: Callable[[Any], _Value], default: Any = _MISSING) -> Any:
        """Read a key.

        :param default: as it would stand in the file.
        :returns: what it means; None if it is missing or wrong, which is written down.
        """
        self._known.append(key)
        value = self._values.get(key, default)
        if value is _MISSING:
            self._wrong(key, "is missing")
            return None
        try:
            return reader(value)
        except Unreadable as error:
            self._wrong(key, str(error))
            return None

    def take_list(
        self, key: str, reader: Callable[[Any], _Value], default: Sequence[Any], at_least: int = 0
    ) -> tuple[_Value, ...]:
        """Read a list of values."""
        self._known.append(key)
        values = self._values.get(key, list(default))
        if not isinstance(values, list) or len(values) < at_least:
            self._wrong(key, "expected a list" + (" that is not empty" if at_least else ""))
            return ()
        read = []
        for number, value in enumerate(values):
            try:
                read.append(reader(value))
            except Unreadable as error:
                self._wrong(f"{key}[{number}]", str(error))
        return tuple(read)

    def take_secret(self, key: str, reader: Callable[[Any], str]) -> str | None:
        """Read a secret, which may stand in a file of its own that ``key_file`` names."""
        from_file = f"{key}_file"
        self._known += [key, from_file]
        if key in self._values and from_file in self._values:
            self._wrong(from_file, f"{key} is given too; one of them is enough")
            return None
        if key in self._values:
            where, value = key, self._values[key]
        elif from_file in self._values:
            where = from_file
            try:
                value = self._read_file(text(self._values[from_file])).strip()
            except Unreadable as error:
                self._wrong(where, str(error))
                return None
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8"
                self._wrong(where, f"the file cannot be read: {reason}")  # not its name: it may be the token
                return None
        else:
            return None
        try:
            return reader(value)
        except Unreadable as error:
            self._wrong(where, str(error))
            return None

    def take_certificates(self, key: str) -> Authorities | None:
        """Read a file of authorities' certificates in PEM; None for the system's."""
        self._known.append(key)
        if key not in self._values:
            return None
        try:
            found = _PEM.findall(self._read_file(text(self._values[key])))
            if not found:
                raise Unreadable("expected a file of certificates in PEM")
            root = trustRootFromCertificates([Certificate.loadPEM(one.encode()) for one in found])
            return Authorities(tuple(found), root)
        except Unreadable as error:
            self._wrong(key, str(error))
        except OSError as error:
            self._wrong(key, f'"{self._values[key]}" cannot be read: {error.strerror}')
        except Exception:  # OpenSSL raises what it likes
            self._wrong(key, "expected a file of certificates in PEM")
        return None

    def section(self, key: str) -> Section:
        """A table below this one; empty if it is not there."""
        self._known.append(key)
        return Section(self.at(key), self._values.get(key, {}), self._problems, self._read_file)

    def sections(self, key: str) -> list[Section]:
        """An array of tables below this one."""
        self._known.append(key)
        values = self._values.get(key, [])
        if not isinstance(values, list):
            self._wrong(key, f"expected [[{key}]]")
            return []
        return [
            Section(f"{self.at(key)}[{number}]", value, self._problems, self._read_file)
            for number, value in enumerate(values)
        ]

    def wrong(self, key: str, sentence: str) -> None:
        """Write down a mistake that shows only when several values are seen together."""
        self._wrong(key, sentence)

    def finish(self) -> None:
        """Write down every key that nobody asked for."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                self._wrong(key, "unknown key" + (f'; is "{near[0]}" meant?' if near else ""))
