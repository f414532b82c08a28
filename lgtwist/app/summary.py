"""The lines that tell people what a configuration serves, and how to use it."""

from __future__ import annotations

from pathlib import Path

from lgtwist import __version__
from lgtwist.alerts.alert import Rule
from lgtwist.app.admin_token import ADMIN_TOKEN_FILE
from lgtwist.app.configuration import Config
from lgtwist.filters.reading import Grammar
from lgtwist.hub.settings import BotSettings, EventSettings, port_owners
from lgtwist.net.endpoints import UNKNOWN_PORT, websocket_url


def summary(config: Config, urls: list[str] | None = None) -> list[str]:
    """Return lines that tell people what a configuration serves, without secrets.

    :param urls: base URLs of the listening ports; without them, those of the configured endpoints.
    """
    urls = [websocket_url(endpoint) for endpoint in config.server.endpoints] if urls is None else urls
    base = urls[0]
    lines = [f"lgtwist {__version__}, data in {Path(config.data_dir).absolute()}"]
    for account in config.accounts:
        where = ", ".join(f"{one}/{account.self_id}" for one in urls)
        how = account.kind.describe(account.settings, account.self_id, base)
        lines.append(f"account {account.self_id} ({account.type}): {where}{how}")
    owners = port_owners(wanted.bot for wanted in config.bots)
    for wanted in config.bots:
        bot = wanted.bot
        mine = bot.accounts or tuple(account.self_id for account in config.accounts)
        how = wanted.kind.describe(wanted.settings, bot, urls)
        more = ("; at least once" if bot.at_least_once else "") + _which_events(bot)
        if bot.access_token is not None and owners.get(bot.access_token) != bot.name:
            more += "; its token does not open the port, for another bot has the same"
        lines.append(f'bot "{bot.name}" {how}; accounts: {", ".join(map(str, mine))}{more}')
    for number, alert in enumerate(config.alerts):
        rules = ", ".join(rule.value for rule in Rule if rule in alert.on)
        lines.append(f"alerts[{number}] ({alert.kind.value}): {rules}; after {alert.after:g} s")
    return [
        *lines,
        *_where_console_is(config, base),
        *_how_to_attach(config, base),
        *_how_to_use_sandbox(config, base),
    ]


#: Whose grammar a filter is in, as it is said of one.
_GRAMMARS = {Grammar.GO_CQHTTP: "go-cqhttp's", Grammar.LLBOT: "LLBot's", Grammar.EITHER: "either"}


def _which_events(bot: BotSettings) -> str:
    """Return what is said of which events a bot gets; empty if it gets all."""
    by = ["events"] if bot.events != EventSettings() else []
    if bot.filter is not None:
        by.append(f"filter ({_GRAMMARS[bot.filter.grammar]} grammar)")
    return f"; gets only what passes {' and '.join(by)}" if by else ""


def http_base(config: Config) -> str | None:
    """Return the HTTP URL of the first endpoint, without a slash at its end; None if it has none."""
    base = websocket_url(config.server.endpoints[0])
    if base.startswith("unix:") or base.endswith(f":{UNKNOWN_PORT}"):
        return None
    return base.replace("ws", "http", 1)


def _where_console_is(config: Config, base: str) -> list[str]:
    if not config.console.enabled or base.startswith("unix:"):
        return []
    where = "admin_token of [server]"
    if config.server.admin_token is None:
        where = f"kept in {Path(config.data_dir).absolute() / ADMIN_TOKEN_FILE}"
    console = f"{base.replace('ws', 'http', 1)}/console/"
    return [f"console: {console}; `lgtwist token` prints a link that logs you in (its token: {where})"]


def _how_to_attach(config: Config, base: str) -> list[str]:
    dialling = next((one.bot for one in config.bots if one.connection == "forward-websocket"), None)
    if dialling is None:
        return []
    token = "; and ONEBOT_ACCESS_TOKEN=the token of its [[bots]]" if dialling.access_token else ""
    return [
        "To attach a NoneBot2:",
        "  1. pip install 'nonebot2[websockets]' nonebot-adapter-onebot",
        f'  2. in its .env: DRIVER=~websockets and ONEBOT_WS_URLS=["{base}/"]{token}',
        "  3. in its bot.py: import nonebot; from nonebot.adapters.onebot.v11 import Adapter; "
        "nonebot.init(); nonebot.get_driver().register_adapter(Adapter); nonebot.run()",
    ]


def _how_to_use_sandbox(config: Config, base: str) -> list[str]:
    sandbox = next((account for account in config.accounts if account.type == "sandbox"), None)
    if sandbox is None or base.startswith("unix:"):
        return []
    http = base.replace("ws", "http", 1)
    needed = config.server.admin_token is not None or config.server.public
    key = " -H 'Authorization: Bearer <admin_token>'" if needed else ""
    control = f"{http}/sandbox/{sandbox.self_id}"
    words = '{"user_id": 20001, "message": "hello"}'
    return [
        f"To say something to account {sandbox.self_id} as Alice: curl{key} {control}/say -d '{words}'",
        f"To read what was answered: curl{key} {control}/transcript",
    ]
