"""Links to stored files: those of loopback are of no use to bots on other machines and in containers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from lgtwist.net.loopback import is_loopback_name, split_host
from lgtwist.runtime.logs import Logger


class LinkCheck:
    """Logs which bots elsewhere get links that only this machine can use, once for each of them.

    :param self_id: the account's number.
    :param bot_addresses: returns the names of the account's connected bots, and their addresses:
        ``host:port``, or the URL where we dialled.
    """

    _log = Logger()

    def __init__(self, self_id: int, bot_addresses: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._self_id = self_id
        self._bot_addresses = bot_addresses
        self._logged: set[tuple[str, str]] = set()  # bots and the bases of links

    def check(self, link: str) -> None:
        """Check for whom a link is of no use."""
        base = link.rpartition("/")[0]
        if not is_loopback_name(urlsplit(base).hostname or ""):
            return
        for bot, address in self._bot_addresses():
            if "://" in address:
                host = urlsplit(address).hostname
            else:
                host, port = split_host(address)
                host = None if port is None else host  # a Unix socket has none
            if host and not is_loopback_name(host) and (bot, base) not in self._logged:
                self._logged.add((bot, base))
                self._log.warn(
                    "account {account}: {bot} at {address} gets links below {base}, which only this machine "
                    "can use; set public_url of the account to an address that the bot can reach",
                    account=self._self_id,
                    bot=bot,
                    address=address,
                    base=base,
                )
