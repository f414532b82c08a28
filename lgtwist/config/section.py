"""One table of a configuration file, read key by key; every mistake is collected with its path."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from attrs import frozen

from lgtwist.config.authorities import Authorities, BadAuthorities, read_authorities
from lgtwist.config.text_files import NotText, why_unreadable
from lgtwist.config.values import InvalidValue, text

_Value = TypeVar("_Value")


#: Stands for a default where a key is required.
_MISSING: Any = object()


#: What people call a key, where it is often called otherwise, and our name for it.
_OTHER_NAMES = {
    "token": "access_token",
    "secrettoken": "access_token",
    "accesskey": "access_token",
    "qq": "self_id",
    "uin": "self_id",
    "id": "self_id",
    "userid": "self_id",
    "botid": "self_id",
    "account": "self_id",
    "groups": "group_id",
    "users": "user_id",
    "host": "endpoints",
    "port": "endpoints",
    "listen": "endpoints",
    "bind": "endpoints",
    "address": "url",
    "uri": "url",
    "urls": "url",
    "type": "connection",
    "connection": "type",
    "cafile": "ca_file",
    "ca": "ca_file",
    "password": "access_token",
}
UNKNOWN_KEY = "unknown key"
_IS_MISSING = "is missing"


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


class Section:
    """One table of a configuration file.

    :param path: the table's, as ``bots[1]``; empty for the file as a whole.
    :param values: the table as TOML has it; anything but a dict is a problem.
    :param problems: the list that every mistake is appended to.
    :param read_file: returns the text of a file that a ``..._file`` key names.
    :param base: what the names of files are relative to; None for the working directory.
    """

    def __init__(
        self,
        path: str,
        values: Any,
        problems: list[Problem],
        read_file: Callable[[str], str],
        base: Path | None = None,
    ) -> None:
        self.path = path
        self._problems = problems
        self._read_file = read_file
        self._base = base
        self._known: list[str] = []
        self._is_table = isinstance(values, dict)
        self._values: dict[str, Any] = values if isinstance(values, dict) else {}
        if not self._is_table:
            self._problems.append(Problem(path, _no_table(path, values)))

    @property
    def is_table(self) -> bool:
        """Whether it is a table; that it is not is reported."""
        return self._is_table

    @property
    def known(self) -> tuple[str, ...]:
        """The keys that were read, or looked for."""
        return tuple(self._known)

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
            if self._is_table:
                self.add_problem(key, _IS_MISSING)
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
            single = "" if isinstance(values, list) else ": [ and ] around it, also where it is one"
            self.add_problem(key, "expected a list" + (" that is not empty" if at_least else "") + single)
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
                self.add_problem(where, _unreadable(error))
                return None
            if not value:
                self.add_problem(where, "the file is empty")
                return None
            if "\n" in value or "\r" in value:
                self.add_problem(where, "expected one line in the file")
                return None
        else:
            return None
        try:
            return reader(value)
        except InvalidValue as error:
            self.add_problem(where, str(error))
            return None

    def read_named_file(self, key: str) -> str | None:
        """Return the text of the file that ``key`` names, which is no secret.

        :returns: None if the key is missing, or if the file cannot be read, which is reported.
        """
        self._known.append(key)
        if key not in self._values:
            return None
        try:
            return self._read_file(text(self._values[key]))
        except InvalidValue as error:
            self.add_problem(key, str(error))
        except OSError as error:
            name = error.filename or self._values[key]
            self.add_problem(key, f'"{name}" cannot be read: {why_unreadable(error)}')
        except ValueError as error:
            self.add_problem(key, f"the file is {error}")
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
            name = text(self._values[key])
            return read_authorities(
                self._read_file(name), Path.cwd() / name if self._base is None else self._base / name
            )
        except (InvalidValue, BadAuthorities) as error:
            self.add_problem(key, str(error))
        except OSError as error:
            name = error.filename or self._values[key]
            self.add_problem(key, f'"{name}" cannot be read: {why_unreadable(error)}')
        except NotText:
            self.add_problem(key, _NO_PEM)
        return None

    def section(self, key: str) -> Section:
        """Return the table at ``key``; an empty one if it is missing."""
        self._known.append(key)
        values = self._values.get(key, {})
        return Section(self.path_of(key), values, self._problems, self._read_file, self._base)

    def sections(self, key: str) -> list[Section]:
        """Return the tables of the array at ``key``; ``[]`` if it is missing."""
        self._known.append(key)
        values = self._values.get(key, [])
        if not isinstance(values, list):
            instead = f", with two brackets, also for one; not [{key}]" if isinstance(values, dict) else ""
            self.add_problem(key, f"expected [[{key}]]{instead}, and the keys of each below it")
            return []
        return [
            Section(f"{self.path_of(key)}[{number}]", value, self._problems, self._read_file, self._base)
            for number, value in enumerate(values)
        ]

    def finish(self, instead: Mapping[str, str] = MappingProxyType({})) -> None:
        """Report every key of the table that was not read as unknown.

        Where such a key is a required one, misspelt, that this one is missing is not reported too.

        :param instead: a sentence for each key that people know from other programs.
        """
        for key in self._values:
            if key in self._known:
                continue
            if key in instead:
                self.add_problem(key, instead[key])
                continue
            near = self._near(key)
            if near is not None:
                missing = Problem(self.path_of(near), _IS_MISSING)
                if missing in self._problems:
                    self._problems.remove(missing)
            self.add_problem(key, UNKNOWN_KEY + (f'; is "{near}" meant?' if near else ""))

    def _near(self, key: str) -> str | None:
        """Return the key of this table that an unknown one was probably meant to be; None if none is near."""
        folded = {_folded(known): known for known in self._known}
        if _folded(key) in folded:
            return folded[_folded(key)]
        other = _OTHER_NAMES.get(_folded(key))
        if other in self._known:
            return other
        near = difflib.get_close_matches(_folded(key), folded, 1, 0.7)
        return folded[near[0]] if near else None


def _folded(key: str) -> str:
    """Return a key as it is compared with others: without case, ``_`` and ``-``."""
    return key.lower().replace("_", "").replace("-", "")


def _no_table(path: str, values: Any) -> str:
    """Return what is wrong where a table is expected."""
    if isinstance(values, list) and values and all(isinstance(one, dict) for one in values):
        return f"expected a table, [{path}] with one pair of brackets"
    if path.endswith("]"):
        return f"expected a table, as [[{path[: path.rindex('[')]}]] with its keys below"
    return "expected a table, as { key = value }"


#: What a ``ca_file`` that is no text may be.
_NO_PEM = (
    "expected a file of certificates in PEM, which is text; a file in DER is made one by "
    "openssl x509 -inform der -in FILE -out FILE.pem"
)


def _unreadable(error: OSError | ValueError) -> str:
    """Return why the file of a secret cannot be read, without its name where that may be the secret itself.

    A file that is there is named, and the folder of one that is not, if it is there.
    """
    if not isinstance(error, OSError):
        return f"the file is {error}"
    reason = f"cannot be read: {why_unreadable(error)}"
    path = Path(str(error.filename)) if error.filename else None
    try:
        if path is not None and path.exists():
            return f"{path} {reason}"
        if path is not None and path.parent.is_dir():
            return f"the file {reason}; it is looked for in {path.parent}"
    except (OSError, ValueError):
        pass
    return f"the file {reason}"
