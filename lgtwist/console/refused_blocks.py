"""The block of configuration that would let in a peer whose handshake was refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container

from lgtwist.web.refused_handshakes import RefusedHandshake

#: The hint of a refusal that a bot without a token is, and that of an implementation that has no account.
_BOT_HAS_NO_TOKEN = re.compile(r'bot "(.+?)" has no token')
_NO_ACCOUNT = re.compile(r"there is no account \d+ of type (\S+) in \[\[accounts\]\]")
#: The port on which implementations serve their HTTP API where nobody has changed it.
_HTTP_PORT = 3000


def block_for(
    refused: RefusedHandshake, account_type: Callable[[int], str], bot_names: Container[str]
) -> str:
    """Return the TOML block that lets in a refused peer; empty where none would.

    Its ``access_token`` or ``secret`` is empty, for the reader to fill in what the peer shows. Where the
    account or the bot is configured already the block has the keys that are to be set in its section.

    :param account_type: returns the ``type`` of an account in the configuration; empty if it is not there.
    :param bot_names: the names of the bots in the configuration.
    """
    account = refused.account
    kind = "" if account is None else account_type(account)
    if refused.reason == "account":
        found = _NO_ACCOUNT.match(refused.sentence)
        if account is None or kind or refused.bot is not None or found is None:
            return ""
        if found[1] == "http":
            url = f"http://{_host(refused.address)}:{_HTTP_PORT}"
            return _block("accounts", type="http", self_id=account, url=url, secret="")
        return _account(account)
    if refused.reason == "host":
        bot = _BOT_HAS_NO_TOKEN.search(refused.sentence)
        if bot is not None:
            return _block("bots", name=bot[1], access_token="")
        return _account(account) if account is not None and kind == "reverse-websocket" else ""
    if refused.reason != "token":
        return ""
    if kind:  # of the implementation, or of a bot that names the account in its path
        return _account(account) if account is not None and kind == "reverse-websocket" else ""
    name, number = "new-bot", 1
    while name in bot_names:
        number += 1
        name = f"new-bot-{number}"
    return _block("bots", name=name, access_token="")


def _account(self_id: int) -> str:
    return _block("accounts", type="reverse-websocket", self_id=self_id, access_token="")


def _host(address: str) -> str:
    if address == "unix socket":
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address


def _block(section: str, **keys: str | int) -> str:
    """Return a TOML block; a JSON string or number is one of TOML too."""
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in keys.items()]
    return "".join((f"[[{section}]]\n", *lines))
