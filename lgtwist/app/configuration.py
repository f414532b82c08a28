"""The whole configuration: TOML in, frozen structs out, or every mistake with its path.

Each room reads its own table; :func:`parse` puts them together and checks what concerns several tables.
Unknown keys are mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from attrs import Factory, evolve, frozen

from lgtwist.alerts.settings import AlertSettings, read_alert
from lgtwist.app.absolute_paths import with_absolute_paths
from lgtwist.app.key_places import with_place
from lgtwist.app.kinds import ACCOUNT_KINDS, BOT_KINDS, AccountKind, BotKind
from lgtwist.config.limits import Limits, read_limits
from lgtwist.config.section import Problem, Section
from lgtwist.config.text_files import decode_text
from lgtwist.config.toml_mistakes import why_not_toml
from lgtwist.config.values import InvalidValue, choice, text
from lgtwist.console.settings import ConsoleSettings, read_console
from lgtwist.hub.settings import KEYS_OF_INNER_TABLES, BotSettings, read_bot, read_number
from lgtwist.journal.settings import JournalSettings, read_journal
from lgtwist.net.endpoints import certificate_files, is_public
from lgtwist.onebot.dialect import Dialect
from lgtwist.web.settings import ServerSettings, read_server

#: The keys of ``[[accounts]]`` and ``[[bots]]`` that say which kind they are, with their defaults.
_ACCOUNT_TYPE, _BOT_CONNECTION = "sandbox", "forward-websocket"


#: Returns the text of a file.
ReadFile = Callable[[str], str]


def _read_file(path: str) -> str:
    return decode_text(Path(path).read_bytes())


@frozen
class AccountConfig:
    """One of ``[[accounts]]``.

    :ivar settings: the ``Settings`` of its type's module.
    """

    self_id: int
    type: str = _ACCOUNT_TYPE
    settings: Any = Factory(lambda: ACCOUNT_KINDS[_ACCOUNT_TYPE].read(_empty_section()))

    @property
    def kind(self) -> AccountKind:
        """The module that makes its edge."""
        return ACCOUNT_KINDS[self.type]


@frozen
class BotConfig:
    """One of ``[[bots]]``.

    :ivar bot: the keys that all kinds of bots share.
    :ivar settings: the ``Settings`` of its connection's module.
    """

    bot: BotSettings
    connection: str = _BOT_CONNECTION
    settings: Any = Factory(lambda: BOT_KINDS[_BOT_CONNECTION].read(_empty_section()))

    @property
    def kind(self) -> BotKind:
        """The module that makes its edge."""
        return BOT_KINDS[self.connection]


def _empty_section() -> Section:
    """Return an empty table, from which every default is read."""
    return Section("", {}, [], _read_file)


#: The accounts and the bots of a configuration without ``[[accounts]]``, or without ``[[bots]]``.
DEFAULT_ACCOUNTS = (AccountConfig(10001),)
DEFAULT_BOTS = (BotConfig(BotSettings("default")),)


@frozen
class Config:
    """A whole configuration; without arguments, that of an empty file."""

    data_dir: str = "lgtwist-data"
    server: ServerSettings = Factory(ServerSettings)
    accounts: tuple[AccountConfig, ...] = DEFAULT_ACCOUNTS
    bots: tuple[BotConfig, ...] = DEFAULT_BOTS
    journal: JournalSettings = Factory(JournalSettings)
    console: ConsoleSettings = Factory(ConsoleSettings)
    limits: Limits = Factory(Limits)
    alerts: tuple[AlertSettings, ...] = ()
    #: Paths of all files that it was read from or names (tokens, certificates, private keys, authorities,
    #: worlds): bots may not read them.
    private_files: tuple[str, ...] = ()

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach one of the listening ports."""
        return any(is_public(endpoint) for endpoint in self.server.endpoints)


def parse(source: str, read_file: ReadFile = _read_file, base: Path | None = None) -> Config | list[Problem]:
    """Read a configuration.

    :param source: TOML.
    :param read_file: returns the text of a file that a ``..._file`` key names.
    :param base: what the paths of worlds and endpoints are relative to; None for the working directory of
        the moment when they are used.
    :returns: the configuration, or all its mistakes.
    """
    try:
        values = msgspec.toml.decode(source)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:  # ValueError: a number of 5000 digits
        return [Problem("", why_not_toml(source, error))]
    if base is not None:
        values = with_absolute_paths(values, base)
    problems: list[Problem] = []
    read: list[str] = []

    def read_and_note(path: str) -> str:
        read.append(path)
        return read_file(path)

    root = Section("", values, problems, read_and_note, base)
    config = Config(
        data_dir=root.read("data_dir", text, "lgtwist-data"),
        server=read_server(root.section("server")),
        accounts=_read_accounts(root, problems),
        bots=_read_bots(root, problems),
        journal=read_journal(root.section("journal")),
        console=read_console(root.section("console")),
        limits=read_limits(root.section("limits")),
        alerts=_read_alerts(root),
    )
    root.finish()
    named = [file for endpoint in config.server.endpoints for file in certificate_files(endpoint)]
    named += [world for account in config.accounts if (world := getattr(account.settings, "world", None))]
    config = evolve(config, private_files=(*read, *named))
    _check_public(config, problems)
    return list(map(with_place, problems)) or config


_account_kind = choice(tuple(ACCOUNT_KINDS))


def _account_type(value: Any) -> str:
    """Read the type of an account.

    :raises InvalidValue: if it is none; programs that are named instead are told of what is meant.
    """
    try:
        return _account_kind(value)
    except InvalidValue as error:
        program = isinstance(value, str) and value.lower() in [dialect.value for dialect in Dialect]
        more = "; it says who connects to whom, and which program it is goes into dialect" * program
        raise InvalidValue(f"{error}{more}") from None


def _read_accounts(root: Section, problems: list[Problem]) -> tuple[AccountConfig, ...]:
    if not root.has("accounts"):
        return DEFAULT_ACCOUNTS
    accounts = []
    seen: dict[int, str] = {}
    for section in root.sections("accounts"):
        kind = section.read("type", _account_type, _ACCOUNT_TYPE)
        self_id = section.read("self_id", read_number)
        settings = None
        if kind is not None:
            settings = ACCOUNT_KINDS[kind].read(section)
            section.finish()
        if self_id is None:
            continue
        if self_id in seen:
            section.add_problem("self_id", f"{self_id} is already the number of {seen[self_id]}")
        seen.setdefault(self_id, section.path)
        if settings is not None:
            accounts.append(AccountConfig(self_id, kind, settings))
    if not accounts and not problems:
        problems.append(Problem("accounts", "expected at least one [[accounts]]"))
    return tuple(accounts)


def _numbers(root: Section) -> set[Any] | None:
    """Return the numbers of the accounts, also those that are written as text.

    :returns: None where ``accounts`` is not what it should be, which is reported as such.
    """
    if not root.has("accounts"):
        return {account.self_id for account in DEFAULT_ACCOUNTS}
    accounts = root.peek_list("accounts")
    if accounts is None or not all(isinstance(account, Mapping) for account in accounts):
        return None
    written = [account.get("self_id") for account in accounts]
    return {
        int(one) if isinstance(one, str) and one.isdecimal() and len(one) < 20 else one
        for one in written
        if isinstance(one, (int, float, str))
    }


def _read_bots(root: Section, problems: list[Problem]) -> tuple[BotConfig, ...]:
    if not root.has("bots"):
        return DEFAULT_BOTS
    known = _numbers(root)
    bots: list[BotConfig] = []
    names: dict[str, str] = {}
    tokens: dict[str | None, str] = {}
    for section in root.sections("bots"):
        connection = section.read("connection", choice(tuple(BOT_KINDS)), _BOT_CONNECTION)
        bot = read_bot(section)
        if connection is not None:
            bot = evolve(bot, dials_in=BOT_KINDS[connection].DIALS_IN)
        for number, self_id in enumerate(bot.accounts or ()):
            if known is not None and self_id not in known:
                section.add_problem(f"accounts[{number}]", f"there is no account {self_id} in [[accounts]]")
        settings = None
        if connection is not None:
            settings = BOT_KINDS[connection].read(section)
            section.finish(KEYS_OF_INNER_TABLES)
        if bot.name:
            if bot.name in names:
                section.add_problem("name", f'"{bot.name}" is already the name of {names[bot.name]}')
            names.setdefault(bot.name, section.path)
        if bot.dials_in and bot.access_token in tokens:
            first = tokens[bot.access_token]
            same = (
                f"neither this bot nor {first} has a token"
                if bot.access_token is None
                else f"the same token as {first}"
            )
            section.add_problem("access_token", f"{same}; the token is what tells bots apart on the port")
        if bot.dials_in:
            tokens.setdefault(bot.access_token, section.path)
        if settings is not None:
            bots.append(BotConfig(bot, connection, settings))
    if not bots and not problems:
        problems.append(Problem("bots", "expected at least one [[bots]], or none of this key"))
    return tuple(bots)


def _read_alerts(root: Section) -> tuple[AlertSettings, ...]:
    """Read ``[[alerts]]``; their accounts and bots must be there."""
    alerts = []
    numbers, names = _numbers(root), _bot_names(root)
    for section in root.sections("alerts"):
        alert = read_alert(section)
        for number, self_id in enumerate(alert.accounts or ()):
            if numbers is not None and self_id not in numbers:
                section.add_problem(f"accounts[{number}]", f"there is no account {self_id} in [[accounts]]")
        for number, name in enumerate(alert.bots or ()):
            if names is not None and name not in names:
                section.add_problem(f"bots[{number}]", f'there is no bot "{name}" in [[bots]]')
        alerts.append(alert)
    return tuple(alerts)


def _bot_names(root: Section) -> set[Any] | None:
    """Return the names of the bots; None where ``bots`` is not what it should be."""
    if not root.has("bots"):
        return {bot.bot.name for bot in DEFAULT_BOTS}
    bots = root.peek_list("bots")
    if bots is None or not all(isinstance(bot, Mapping) for bot in bots):
        return None
    return {name for bot in bots if isinstance(name := bot.get("name"), str)}


def _check_public(config: Config, problems: list[Problem]) -> None:
    """Report every bot and account without a token or secret, if one of the ports is public.

    One whose token is wrong, or in a file that cannot be read, is reported already.
    """
    public = [endpoint for endpoint in config.server.endpoints if is_public(endpoint)]
    if not public:
        return
    wrong = {problem.path.removesuffix("_file") for problem in problems}
    reachable = f'"{public[0]}" can be reached from other machines'
    instead = 'or listen on loopback, "tcp:8081:interface=127.0.0.1"'
    for number, wanted in enumerate(config.bots):
        bot = wanted.bot
        if bot.access_token is None and config.bots == DEFAULT_BOTS:
            sentence = f"{reachable}: add [[bots]] with name and access_token; {instead}"
            problems.append(Problem("bots", sentence))
        elif bot.access_token is None and f"bots[{number}].access_token" not in wrong:
            sentence = f'bot "{bot.name}" needs a token, for {reachable}; {instead}'
            problems.append(Problem(f"bots[{number}].access_token", sentence))
    for number, account in enumerate(config.accounts):
        key = account.kind.key_needed_in_public(account.settings)
        if key is not None and f"accounts[{number}].{key}" not in wrong:
            sentence = f"account {account.self_id} needs one, for {reachable}; {instead}"
            problems.append(Problem(f"accounts[{number}].{key}", sentence))


__all__ = ["AccountConfig", "BotConfig", "Config", "Problem", "parse"]
