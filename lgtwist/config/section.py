"""One table of a configuration file, read key by key; every mistake is collected with its path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from attrs import field, frozen
from twisted.internet.ssl import Certificate, trustRootFromCertificates

from lgtwist.config.values import InvalidValue, text

_Value = TypeVar("_Value")


#: Stands for a default where a key is required.
_MISSING: Any = object()


#: One certificate in a file.
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@frozen
class Problem:
    """One mistake in a configuration file.

    :ivar path: of the key, as ``bots[1].url``; empty for the file as a whole.
    :ivar sentence: what was expected.
    """

    path: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}: {self.sentence}" if self.path else self.sentence


@frozen
class Authorities:
    """Certificates of authorities from one file, compared by the certificates.

    :ivar pem: the certificates, each in PEM.
    :ivar trust_root: the same, as an ``IOpenSSLTrustRoot`` of Twisted.
    """

    pem: tuple[str, ...]
    trust_root: Any = field(eq=False, repr=False)


def trust_root_of(authorities: Authorities | None) -> Any:
    """Return the trust root for Twisted; None, for the system's authorities, if ``authorities`` is None."""
    return None if authorities is None else authorities.trust_root


class Section:
    """One table of a configuration file.

    :param path: the table's, as ``bots[1]``; empty for the file as a whole.
    :param values: the table as TOML has it; anything but a dict is a problem.
    :param problems: the list that every mistake is appended to.
    :param read_file: returns the text of a file that a ``..._file`` key names.
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

    def path_of(self, key: str) -> str:
        """Return the path of a key of this table."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Return whether the table has the key."""
        return key in self._values

    def peek_list(self, key: str) -> Any:
        """Return the list at ``key`` as TOML has it; None for anything else. The key stays unread."""
        value = self._values.get(key)
        return value if isinstance(value, list) else None

    def add_problem(self, key: str, sentence: str) -> None:
        """Report a mistake in the value of ``key``.

        :param sentence: what was expected.
        """
        self._problems.append(Problem(self.path_of(key), sentence))

    def read(self, key: str, reader: Callable[[Any], _Value], default: Any = _MISSING) -> Any:
        """Read the value of a key.

        :param reader: one of :mod:`lgtwist.config.values`.
        :param default: the TOML value that counts where the key is missing; without it the key is required.
        :returns: what ``reader`` made of it; None if it is missing or invalid, which is reported.
        """
        self._known.append(key)
        value = self._values.get(key, default)
        if value is _MISSING:
            self.add_problem(key, "is missing")
            return None
        try:
            return reader(value)
        except InvalidValue as error:
            self.add_problem(key, str(error))
            return None

    def read_list(
        self, key: str, reader: Callable[[Any], _Value], default: Sequence[Any], at_least: int = 0
    ) -> tuple[_Value, ...]:
        """Read a list of values.

        :param reader: reads one of them.
        :param default: the TOML values that count where the key is missing.
        :param at_least: how many values there must be.
        :returns: the values that are valid; the others are reported.
        """
        self._known.append(key)
        values = self._values.get(key, list(default))
        if not isinstance(values, list) or len(values) < at_least:
            self.add_problem(key, "expected a list" + (" that is not empty" if at_least else ""))
            return ()
        read = []
        for number, value in enumerate(values):
            try:
                read.append(reader(value))
            except InvalidValue as error:
                self.add_problem(f"{key}[{number}]", str(error))
        return tuple(read)

    def read_secret(self, key: str, reader: Callable[[Any], str]) -> str | None:
        """Read a secret, from ``key`` or from the file that ``{key}_file`` names.

        :param reader: reads the secret; from a file it gets the text without surrounding whitespace.
        :returns: the secret; None if there is none, or if it is invalid, which is reported.
        """
        from_file = f"{key}_file"
        self._known += [key, from_file]
        if key in self._values and from_file in self._values:
            self.add_problem(from_file, f"{key} is given too; one of them is enough")
            return None
        if key in self._values:
            where, value = key, self._values[key]
        elif from_file in self._values:
            where = from_file
            try:
                value = self._read_file(text(self._values[from_file])).strip()
            except InvalidValue as error:
                self.add_problem(where, str(error))
                return None
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8"
                self.add_problem(
                    where, f"the file cannot be read: {reason}"
                )  # not its name: it may be the token
                return None
        else:
            return None
        try:
            return reader(value)
        except InvalidValue as error:
            self.add_problem(where, str(error))
            return None

    def read_certificates(self, key: str) -> Authorities | None:
        """Read the certificates of authorities from the file in PEM that ``key`` names.

        :returns: the certificates; None, for the system's authorities, if the key is missing, or if the file
            is invalid, which is reported.
        """
        self._known.append(key)
        if key not in self._values:
            return None
        try:
            found = _PEM.findall(self._read_file(text(self._values[key])))
            if not found:
                raise InvalidValue("expected a file of certificates in PEM")
            root = trustRootFromCertificates([Certificate.loadPEM(one.encode()) for one in found])
            return Authorities(tuple(found), root)
        except InvalidValue as error:
            self.add_problem(key, str(error))
        except OSError as error:
            self.add_problem(key, f'"{self._values[key]}" cannot be read: {error.strerror}')
        except Exception:  # OpenSSL raises errors of many classes
            self.add_problem(key, "expected a file of certificates in PEM")
        return None

    def section(self, key: str) -> Section:
        """Return the table at ``key``; an empty one if it is missing."""
        self._known.append(key)
        return Section(self.path_of(key), self._values.get(key, {}), self._problems, self._read_file)

    def sections(self, key: str) -> list[Section]:
        """Return the tables of the array at ``key``; ``[]`` if it is missing."""
        self._known.append(key)
        values = self._values.get(key, [])
        if not isinstance(values, list):
            self.add_problem(key, f"expected [[{key}]]")
            return []
        return [
            Section(f"{self.path_of(key)}[{number}]", value, self._problems, self._read_file)
            for number, value in enumerate(values)
        ]

    def finish(self) -> None:
        """Report every key of the table that was not read as unknown."""
        for key in self._values:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                self.add_problem(key, "unknown key" + (f'; is "{near[0]}" meant?' if near else ""))
