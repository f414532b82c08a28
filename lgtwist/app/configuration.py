"""The configuration: TOML -> frozen structs, every mistake named by its path, all at once.

:func:`parse` is the way in. A key of a later version is a mistake too, with words of its own: nothing
is silently ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from attrs import Factory, evolve, field, frozen

from lgtwist.config.limits import Limits, read_limits
from lgtwist.config.section import Problem, Section
from lgtwist.config.values import (
    Unreadable,
    action_pattern,
    boolean_free_integer,
    choice,
    count,
    duration,
    flag,
    host,
    pace,
    rate,
    size,
    text,
    token,
    url,
)
from lgtwist.delivery.replay import ReplayPolicy
from lgtwist.net.endpoints import is_public
from lgtwist.onebot.dialect import Dialect, signs_with_token
from lgtwist.onebot.message import MessageFormat
from lgtwist.web.settings import ServerSettings, read_server

_Value = TypeVar("_Value")


@frozen
class Reconnect:
    """``reconnect = {min, max}``: the gaps between attempts, in seconds."""

    shortest: float = 1.0
    longest: float = 60.0


@frozen
class AccountConfig:
    """One of ``[[accounts]]``. What its kind does not have stays at its default."""

    self_id: int
    type: str = "sandbox"
    world: str | None = None
    media_hosts: tuple[str, ...] = ()
    dialect: Dialect = Dialect.AUTO
    url: str = field(default="", repr=False)  # its query may hold a token
    access_token: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    trust_root: Any = field(default=None, repr=False)
    reconnect: Reconnect = Reconnect()

    @property
    def shown_url(self) -> str:
        """The URL as people may see it."""
        return self.url.partition("?")[0]


@frozen
class ActionsConfig:
    """``actions = {allow, deny, rate}``; None where nothing is said."""

    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    rate: tuple[int, float] | None = None


@frozen
class EventsConfig:
    """``events = {post_type, group_id, user_id}``; None where nothing is said."""

    post_type: tuple[str, ...] | None = None
    group_id: tuple[int, ...] | None = None
    user_id: tuple[int, ...] | None = None


@frozen
class JournalConfig:
    """``[journal]``. Times in seconds, sizes in bytes.

    :ivar sync: whether a commit waits for the disk.
    :ivar set_aside: whether a damaged file is set aside, instead of not starting.
    """

    retention: float = 7 * 86400.0
    max_size: int = 1 << 30
    sync: bool = True
    set_aside: bool = False


@frozen
class BotConfig:
    """One of ``[[bots]]``."""

    name: str
    access_token: str | None = field(default=None, repr=False)
    accounts: tuple[int, ...] | None = None
    message_format: MessageFormat = MessageFormat.AS_IS
    connection: str = "forward-websocket"
    url: str = field(default="", repr=False)  # queries may hold tokens
    api_url: str = field(default="", repr=False)
    event_url: str = field(default="", repr=False)
    secret: str | None = field(default=None, repr=False)
    timeout: float = 5.0
    trust_root: Any = field(default=None, repr=False)
    reconnect: Reconnect = Reconnect()
    actions: ActionsConfig = ActionsConfig()
    events: EventsConfig = EventsConfig()
    certain: bool = False
    replay: ReplayPolicy = Factory(ReplayPolicy)

    @property
    def shown_urls(self) -> str:
        """Where it is dialled or posted to, as people may see it."""
        return " and ".join(one.partition("?")[0] for one in (self.url, self.api_url, self.event_url) if one)


@frozen
class Config:
    """A whole configuration."""

    data_dir: str = "lgtwist-data"
    server: ServerSettings = Factory(ServerSettings)
    accounts: tuple[AccountConfig, ...] = (AccountConfig(10001),)
    bots: tuple[BotConfig, ...] = (BotConfig("default"),)
    journal: JournalConfig = JournalConfig()
    limits: Limits = Factory(Limits)
    #: The files that it was read from: tokens among them, so no bot may name them.
    private_files: tuple[str, ...] = ()


#: Keys that the contract names and a later version brings.
_LATER_ACCOUNT_TYPES = ("milky",)

ReadFile = Callable[[str], str]


def _read_file(path: str) -> str:
    return Path(path).read_text("utf-8")


def parse(source: str, read_file: ReadFile = _read_file) -> Config | list[Problem]:
    """Read a configuration.

    :param source: TOML.
    :param read_file: reads the files that ``..._file`` keys name.
    :returns: the configuration, or everything that is wrong with it.
    """
    try:
        values = msgspec.toml.decode(source)
    except (msgspec.DecodeError, RecursionError) as error:
        return [Problem("", f"not TOML: {error}")]
    problems: list[Problem] = []
    read: list[str] = []

    def read_and_note(path: str) -> str:
        read.append(path)
        return read_file(path)

    root = Section("", values, problems, read_and_note)
    config = Config(
        data_dir=root.take("data_dir", text, "lgtwist-data"),
        server=read_server(root.section("server")),
        accounts=_accounts(root, problems),
        bots=_bots(root, problems),
        journal=_journal(root.section("journal")),
        limits=read_limits(root.section("limits")),
    )
    root.finish()
    config = evolve(config, private_files=tuple(read))
    _check_public(config, problems)
    return problems or config


def _accounts(root: Section, problems: list[Problem]) -> tuple[AccountConfig, ...]:
    if not root.has("accounts"):
        return (AccountConfig(10001),)
    accounts = []
    seen: dict[int, str] = {}
    for section in root.sections("accounts"):
        kind = section.take("type", choice(tuple(_ACCOUNT_KINDS), _LATER_ACCOUNT_TYPES), "sandbox")
        self_id = section.take("self_id", boolean_free_integer(1, 2**63 - 1))
        own = None
        if kind is not None:
            own = _ACCOUNT_KINDS[kind](section)
            section.finish()
        if self_id is None:
            continue
        if self_id in seen:
            problems.append(
                Problem(section.at("self_id"), f"{self_id} is already the number of {seen[self_id]}")
            )
        seen.setdefault(self_id, section.path)
        if own is not None:
            accounts.append(AccountConfig(self_id, kind, **own))
    if not accounts and not problems:
        problems.append(Problem("accounts", "expected at least one [[accounts]]"))
    return tuple(accounts)


def _sandbox(section: Section) -> dict[str, Any]:
    return {
        "world": section.take("world", text) if section.has("world") else None,
        "media_hosts": section.take_list("media_hosts", host, ()),
    }


def _remote(section: Section) -> dict[str, Any]:
    dialect = section.take("dialect", choice([dialect.value for dialect in Dialect]), "auto")
    return {
        "dialect": Dialect(dialect or "auto"),
        "access_token": section.take_secret("access_token", token),
    }


def _forward_websocket(section: Section) -> dict[str, Any]:
    return {
        **_remote(section),
        "url": section.take("url", url("ws", "wss")),
        "trust_root": section.take_certificates("ca_file"),
        "reconnect": _reconnect(section),
    }


def _http(section: Section) -> dict[str, Any]:
    return {
        **_remote(section),
        "url": section.take("url", url("http", "https", query=False)),
        "trust_root": section.take_certificates("ca_file"),
        "secret": section.take_secret("secret", token),
    }


_ACCOUNT_KINDS: dict[str, Callable[[Section], dict[str, Any]]] = {
    "sandbox": _sandbox,
    "forward-websocket": _forward_websocket,
    "reverse-websocket": _remote,
    "http": _http,
}


def _given_list(section: Section, key: str, reader: Callable[[Any], Any]) -> Any:
    """A list where there is one, else None: an empty list and none are two things."""
    return section.take_list(key, reader, ()) if section.has(key) else None


def _actions(bot: Section) -> ActionsConfig:
    section = bot.section("actions")
    allow = _given_list(section, "allow", action_pattern)
    deny = section.take_list("deny", action_pattern, ())
    bound = section.take("rate", rate) if section.has("rate") else None
    section.finish()
    return ActionsConfig(allow, deny, bound)


def _events(bot: Section) -> EventsConfig:
    section = bot.section("events")
    number = boolean_free_integer(1, 2**63 - 1)
    read = EventsConfig(
        _given_list(section, "post_type", text),
        _given_list(section, "group_id", number),
        _given_list(section, "user_id", number),
    )
    section.finish()
    return read


def _replay(bot: Section, certain: bool) -> ReplayPolicy:
    section = bot.section("replay")
    if not certain and bot.has("replay"):
        bot.wrong("replay", 'is for delivery = "at-least-once"; a live bot gets nothing late')
    read = ReplayPolicy(
        section.take("max_age", duration(0.001, 366 * 86400)) if section.has("max_age") else None,
        section.take("max_events", count(0, 1_000_000)) if section.has("max_events") else None,
        section.take("rate", pace) if section.has("rate") else None,
        bool(section.take("mark", flag, False)),
        section.take("grace", duration(0.001, 3600, zero=True), "0s") or 0.0,
    )
    section.finish()
    return read


def _journal(section: Section) -> JournalConfig:
    read = JournalConfig(
        section.take("retention", duration(1, 366 * 86400), "7d"),
        section.take("max_size", size(1 << 20, 1 << 40), "1GiB"),
        section.take("sync", choice(("full", "normal")), "full") != "normal",
        section.take("on_damage", choice(("stop", "set-aside")), "stop") == "set-aside",
    )
    section.finish()
    return read


def _reverse_websocket(section: Section) -> dict[str, Any]:
    websocket = url("ws", "wss")
    if section.has("api_url") or section.has("event_url"):
        urls = {key: section.take(key, websocket) for key in ("api_url", "event_url")}
        if section.has("url"):
            section.take("url", websocket)
            section.wrong("url", "expected either url, or api_url and event_url")
    else:
        urls = {"url": section.take("url", websocket)}
    return {
        **urls,
        "trust_root": section.take_certificates("ca_file"),
        "reconnect": _reconnect(section),
    }


def _http_post(section: Section) -> dict[str, Any]:
    return {
        "url": section.take("url", url("http", "https")),
        "secret": section.take_secret("secret", token),
        "timeout": section.take("timeout", duration(0.1, 600), "5s"),
        "trust_root": section.take_certificates("ca_file"),
    }


#: How a bot is served, and what belongs to that.
_CONNECTIONS: dict[str, Callable[[Section], dict[str, Any]]] = {
    "forward-websocket": lambda _section: {},
    "reverse-websocket": _reverse_websocket,
    "http-post": _http_post,
}


def _reconnect(section: Section) -> Reconnect:
    gaps = section.section("reconnect")
    shortest = gaps.take("min", duration(0.05, 86400), "1s")
    longest = gaps.take("max", duration(0.05, 86400), "60s")
    gaps.finish()
    if shortest is not None and longest is not None and shortest > longest:
        gaps.wrong("max", "expected a time that is not shorter than min")
    return Reconnect(shortest or 1.0, longest or 60.0)


def _bots(root: Section, problems: list[Problem]) -> tuple[BotConfig, ...]:
    if not root.has("bots"):
        return (BotConfig("default"),)
    known = {
        account.get("self_id")
        for account in root.raw("accounts") or [{"self_id": 10001}]
        if isinstance(account, Mapping)
    }
    bots: list[BotConfig] = []
    names: dict[str, str] = {}
    tokens: dict[str | None, str] = {}
    for section in root.sections("bots"):
        name = section.take("name", text)
        connection = section.take("connection", choice(tuple(_CONNECTIONS)), "forward-websocket")
        certain = section.take("delivery", choice(("live", "at-least-once")), "live") == "at-least-once"
        form = section.take("message_format", choice(("as-is", "array", "string")), "as-is")
        access_token = section.take_secret("access_token", token)
        accounts = None
        if section.has("accounts"):
            accounts = section.take_list("accounts", boolean_free_integer(1, 2**63 - 1), (), at_least=1)
            for number, self_id in enumerate(accounts):
                if self_id in accounts[:number]:
                    problems.append(
                        Problem(section.at(f"accounts[{number}]"), f"{self_id} stands there twice")
                    )
                if self_id not in known:
                    where = section.at(f"accounts[{number}]")
                    problems.append(Problem(where, f"there is no account {self_id} in [[accounts]]"))
        own: dict[str, Any] = {"actions": _actions(section), "events": _events(section)}
        own |= {"certain": certain, "replay": _replay(section, certain)}
        if connection is not None:
            own |= {"connection": connection, **_CONNECTIONS[connection](section)}
            section.finish()
        if name is not None:
            if name in names:
                problems.append(Problem(section.at("name"), f'"{name}" is already the name of {names[name]}'))
            names.setdefault(name, section.path)
        if access_token in tokens:
            first = tokens[access_token]
            same = (
                f"neither this bot nor {first} has a token"
                if access_token is None
                else f"the same token as {first}"
            )
            sentence = f"{same}; the token is what tells bots apart on the port"
            problems.append(Problem(section.at("access_token"), sentence))
        tokens.setdefault(access_token, section.path)
        bots.append(BotConfig(name or "", access_token, accounts, MessageFormat(form or "as-is"), **own))
    if not bots and not problems:
        problems.append(Problem("bots", "expected at least one [[bots]], or none of this key"))
    return tuple(bots)


def _check_public(config: Config, problems: list[Problem]) -> None:
    """Without a token the service listens on loopback only."""
    if not config.server.public:
        return
    public = next(filter(is_public, config.server.endpoints))
    reachable = f'"{public}" can be reached from other machines'
    instead = 'or listen on loopback, "tcp:8081:interface=127.0.0.1"'
    for number, bot in enumerate(config.bots):
        if bot.access_token is None and config.bots == Config().bots:
            sentence = f"{reachable}: add [[bots]] with name and access_token; {instead}"
            problems.append(Problem("bots", sentence))
        elif bot.access_token is None:
            sentence = f'bot "{bot.name}" needs a token, for {reachable}; {instead}'
            problems.append(Problem(f"bots[{number}].access_token", sentence))
    for number, account in enumerate(config.accounts):
        if account.type == "reverse-websocket" and account.access_token is None:
            key = "access_token"
        elif account.type == "http" and account.secret is None:
            if signs_with_token(account.dialect) and account.access_token is not None:
                continue
            key = "secret"
        else:
            continue
        sentence = f"account {account.self_id} needs one, for {reachable}; {instead}"
        problems.append(Problem(f"accounts[{number}].{key}", sentence))


__all__ = [
    "AccountConfig",
    "BotConfig",
    "Config",
    "Limits",
    "Problem",
    "ServerSettings",
    "Unreadable",
    "parse",
]
