"""What a configuration serves, in lines for people."""

from __future__ import annotations

from pathlib import Path

from lgtwist import __version__
from lgtwist.app.configuration import AccountConfig, BotConfig, Config
from lgtwist.net.endpoints import url


def _served(bot: BotConfig, urls: list[str]) -> str:
    """How a bot is served."""
    if bot.connection == "reverse-websocket":
        return f"is dialled at {bot.shown_urls}"
    if bot.connection == "http-post":
        signed = "signed with its secret" if bot.secret else "not signed"
        return f"gets its events posted to {bot.shown_urls}, {signed}"
    token = "with its token" if bot.access_token else "without a token, from this machine only"
    return f"connects to {', '.join(f'{one}/' for one in urls)} {token}"


def _reached(account: AccountConfig, base: str) -> str:
    """How an account's implementation is reached."""
    if account.type == "sandbox":
        return ""
    if account.type == "forward-websocket":
        return f"; dialled at {account.shown_url}"
    header = f"X-Self-ID: {account.self_id}"
    if account.type == "reverse-websocket":
        token = "with its token" if account.access_token else "without a token, from this machine only"
        return f"; its implementation connects to {base}/onebot/v11/ws ({header}) {token}"
    posts = f"{base.replace('ws', 'http', 1)}/onebot/v11/post"
    signed = "signed with its secret" if account.secret else "from this machine"
    return f"; asked at {account.shown_url}; its implementation posts events to {posts} ({header}), {signed}"


def described(config: Config, urls: list[str] | None = None) -> list[str]:
    """What a configuration serves, in lines for people. No secrets.

    :param urls: where the ports really are; without it, as the configuration says.
    """
    urls = [url(e) for e in config.server.endpoints] if urls is None else urls
    base = urls[0]
    lines = [f"lgtwist {__version__}, data in {Path(config.data_dir).absolute()}"]
    for account in config.accounts:
        where = ", ".join(f"{u}/{account.self_id}" for u in urls)
        lines.append(f"account {account.self_id} ({account.type}): {where}{_reached(account, base)}")
    for bot in config.bots:
        mine = bot.accounts or tuple(a.self_id for a in config.accounts)
        certain = "; at least once" if bot.certain else ""
        lines.append(f'bot "{bot.name}" {_served(bot, urls)}; accounts: {", ".join(map(str, mine))}{certain}')
    dialling = next((bot for bot in config.bots if bot.connection == "forward-websocket"), None)
    if dialling is not None:
        token_line = "; and ONEBOT_ACCESS_TOKEN=the token of its [[bots]]" if dialling.access_token else ""
        lines += [
            "To attach a NoneBot2:",
            "  1. pip install 'nonebot2[websockets]' nonebot-adapter-onebot",
            f'  2. in its .env: DRIVER=~websockets and ONEBOT_WS_URLS=["{base}/"]{token_line}',
            "  3. in its bot.py: import nonebot; from nonebot.adapters.onebot.v11 import Adapter; "
            "nonebot.init(); nonebot.get_driver().register_adapter(Adapter); nonebot.run()",
        ]
    sandbox = next((a for a in config.accounts if a.type == "sandbox"), None)
    if sandbox is not None and not base.startswith("unix:"):
        http = base.replace("ws", "http", 1)
        key = " -H 'Authorization: Bearer <admin_token>'" if config.server.admin_token else ""
        control = f"{http}/sandbox/{sandbox.self_id}"
        words = '{"user_id": 20001, "message": "hello"}'
        lines.append(f"To talk to it as Alice: curl{key} {control}/say -d '{words}'")
        lines.append(f"To read what was answered: curl{key} {control}/transcript")
    return lines
