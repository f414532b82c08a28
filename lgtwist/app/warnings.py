"""What a configuration may do, and had better not: a line each, at the start and by ``--check``."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from lgtwist.app.authorities import authority_warnings
from lgtwist.app.configuration import AccountConfig, BotConfig, Config
from lgtwist.app.data_dir import DataDir
from lgtwist.net.loopback import is_private_name

#: Parameters of a URL's query that hold a secret, by words in their names.
_SECRET_WORDS = ("token", "secret", "password", "key")


def warnings(config: Config) -> list[str]:
    """Return what to warn of in a configuration, a line each, without secrets.

    :param config: with an absolute ``data_dir``, or one that is relative to the working directory.
    """
    folder = DataDir(config.data_dir).warning()
    return [*([] if folder is None else [folder]), *plain_tokens(config), *authority_warnings(config)]


def plain_tokens(config: Config) -> list[str]:
    """Return a line for each account, bot and alert whose token is sent to a public host without TLS."""
    lines = []
    for number, account in enumerate(config.accounts):
        lines += _warn(f"accounts[{number}]", _account_urls(account))
    for number, bot in enumerate(config.bots):
        lines += _warn(f"bots[{number}]", _bot_urls(bot))
    for number, alert in enumerate(config.alerts):
        lines += _warn(f"alerts[{number}]", iter([(alert.url, True)]), "url")
    return lines


def _account_urls(account: AccountConfig) -> Iterator[tuple[str, bool]]:
    """Yield each URL that is dialled or posted to, and whether ``access_token`` is sent there."""
    url = getattr(account.settings, "url", "")
    if url:
        yield url, account.settings.access_token is not None


def _bot_urls(wanted: BotConfig) -> Iterator[tuple[str, bool]]:
    """Yield each URL that is dialled or posted to, and whether ``access_token`` is sent there."""
    sent = wanted.kind.SENDS_TOKEN and wanted.bot.access_token is not None
    urls = getattr(wanted.settings, "urls", None)
    for url in [getattr(wanted.settings, "url", "")] if urls is None else urls.values():
        if url:
            yield url, sent


def _warn(path: str, urls: Iterator[tuple[str, bool]], key: str = "access_token") -> list[str]:
    """Return a line if a secret is sent to a public host without TLS; the first is enough.

    :param key: which holds what is sent beside the URL.
    """
    for url, sent in urls:
        parts = urlsplit(url)
        secret = key if sent else "url" if _has_secret(parts.query) else None
        if secret is None or parts.scheme not in ("ws", "http") or is_private_name(parts.hostname or ""):
            continue
        shown = f"{parts.scheme}://{parts.netloc}"
        what = f"{path}.{secret}: the token" + ("" if sent else " in its query")
        return [
            f"{what} goes to {shown} unencrypted, and can be read on the way; use {parts.scheme}s:// there"
        ]
    return []


def _has_secret(query: str) -> bool:
    names = [name.lower() for name, _value in parse_qsl(query)]
    return any(word in name for name in names for word in _SECRET_WORDS)
