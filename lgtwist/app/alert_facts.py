"""What the rules of ``[[alerts]]`` look at, read from the running service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from attrs import define

from lgtwist.alerts.interfaces import AccountFact, BacklogFact, BotFact, Facts
from lgtwist.console.overview import shown_text
from lgtwist.delivery.delivery import Delivery
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.hub.interfaces import IDialler, IPoster, IReverseLink
from lgtwist.journal.journal import Journal
from lgtwist.web.port import Port

#: Seconds for which a bot that only uses the HTTP API is there after a request.
_HTTP_API = 60.0
#: Posts in a row that were answered with an error, from which on a bot is away; without an answer it is at
#: once. One answer of a bot that stumbled over one event is no reason.
_REFUSED_POSTS = 3
#: Seconds for which wrong tokens of an address are told.
_TOKENS = 60.0
#: The causes of lost events that deliveries count.
_LOST: list[tuple[str, Callable[[Delivery], int]]] = [
    ("retention", lambda delivery: delivery.counters.expired),
    ("damaged", lambda delivery: delivery.counters.damaged),
    ("refused", lambda delivery: delivery.counters.refused),
]


@define
class _SeenBot:
    """What is remembered of a bot.

    :ivar bot: which one: another may have its name later.
    :ivar since: when it began to be as it is, seconds since the epoch.
    :ivar requests: of its HTTP API, at the last look.
    :ivar requested: when they became more, in seconds of the clock; None if they never did.
    """

    bot: Bot
    connected: bool
    since: float
    requests: int
    requested: float | None = None


class WatchedService(Protocol):
    """What is looked at of the running service."""

    @property
    def directory(self) -> Directory:
        """The accounts and bots."""

    @property
    def journal(self) -> Journal | None:
        """The journal; None if there is none."""

    @property
    def port(self) -> Port:
        """The port, with the addresses that showed wrong tokens."""

    @property
    def started(self) -> float:
        """When it was started; seconds since the epoch."""

    def account_edge(self, self_id: int, /) -> Any:
        """Return the edge of an account; None if there is none."""

    def bot_edge(self, name: str, /) -> Any:
        """Return the edge of a bot; None if there is none."""


class ServiceFacts:
    """Implements :class:`~lgtwist.alerts.interfaces.FactSource`.

    :param service: what runs.
    :param wall_clock: seconds since the epoch.
    :param clock: returns seconds of a clock that is never set.
    """

    def __init__(
        self, service: WatchedService, wall_clock: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self._service = service
        self._wall_clock = wall_clock
        self._clock = clock
        self._bots: dict[str, _SeenBot] = {}
        self._tokens: dict[str, tuple[float, int, int]] = {}  # by address: since when, how many, in all

    def facts(self) -> Facts:
        """Return what is the case now."""
        service = self._service
        directory = service.directory
        deliveries = [one for bot in directory.bots.values() for one in bot.deliveries.values()]
        return Facts(
            accounts=self._accounts(),
            bots=self._read_bots(),
            backlogs=tuple(
                BacklogFact(one.bot, one.account, one.backlog, one.oldest if one.backlog else None)
                for one in deliveries
            ),
            lost=self._lost(deliveries),
            journal="" if service.journal is None else shown_text(str(service.journal.trouble or "")),
            wrong_tokens=self._wrong_tokens(),
        )

    def _accounts(self) -> dict[int, AccountFact]:
        found = {}
        for self_id, account in self._service.directory.accounts.items():
            reason = ""
            if not account.online:
                reverse = IReverseLink(self._service.account_edge(self_id), None)
                reason = shown_text(account.reason, None if reverse is None else reverse.access_token)
            found[self_id] = AccountFact(bool(account.online), account.since, reason)
        return found

    def _lost(self, deliveries: list[Delivery]) -> dict[tuple[str, str], int]:
        service = self._service
        lost: dict[tuple[str, str], int] = {}
        for one in deliveries:
            for cause, read in _LOST:
                if count := read(one):
                    lost[(cause, one.bot)] = lost.get((cause, one.bot), 0) + count
        if service.journal is not None and (count := sum(service.journal.lost.values())):
            lost[("journal", "")] = count
        for name, bot in service.directory.bots.items():
            # What a webhook does not get because it does not answer is told as its being away.
            if count := bot.counters.read_too_slowly:
                lost[("dropped", name)] = count
        return lost

    # -- bots

    def _read_bots(self) -> dict[str, BotFact]:
        bots, now = self._service.directory.bots, self._wall_clock()
        self._bots = {name: seen for name, seen in self._bots.items() if bots.get(name) is seen.bot}
        found = {}
        for name, bot in bots.items():
            seen = self._bots.get(name)
            if seen is None:
                ended = bot.last_ended
                since = self._service.started if ended is None else ended.time
                seen = self._bots[name] = _SeenBot(bot, False, since, bot.counters.http_requests)
            connected, reason = self._state_of(bot, seen)
            if connected != seen.connected:
                seen.connected, seen.since = connected, now
            found[name] = BotFact(
                connected, seen.since, "" if connected else shown_text(reason, bot.access_token)
            )
        return found

    def _state_of(self, bot: Bot, seen: _SeenBot) -> tuple[bool, str]:
        """Return whether a bot is there, and why not."""
        requests = bot.counters.http_requests
        if requests != seen.requests:
            seen.requests, seen.requested = requests, self._clock()
        if bot.sessions:
            return True, ""
        edge = self._service.bot_edge(bot.name)
        poster, dialler = IPoster(edge, None), IDialler(edge, None)
        if poster is not None:
            return _posts_are_taken(poster)
        if seen.requested is not None and self._clock() - seen.requested <= _HTTP_API:
            return True, ""
        ended = bot.last_ended
        reason = "it has not connected yet" if ended is None else ended.reason
        if dialler is not None:
            dials = [one for states in dialler.dials().values() for one in states]
            if not any(one.attempts for one in dials):
                return True, ""  # it is not dialled before its account was up
            reason = next((one.last_reason for one in dials if one.last_reason), reason)
        return False, reason

    # -- tokens

    def _wrong_tokens(self) -> dict[str, int]:
        """Return the wrong tokens of the addresses that showed some within the last minute or two."""
        now, before = self._clock(), self._tokens
        self._tokens = {}
        for address, (since, times) in self._service.port.connection_limits.failures().items():
            if now - since > _TOKENS:
                continue
            known = before.get(address)
            total = times
            if known is not None:
                total = known[2] + times - (known[1] if known[0] == since else 0)
            self._tokens[address] = (since, times, total)
        return {address: total for address, (_since, _times, total) in self._tokens.items()}


def _posts_are_taken(poster: IPoster) -> tuple[bool, str]:
    for posting in poster.postings().values():
        failure = posting.last_failure
        if not posting.running or not posting.failures or failure is None:
            continue
        if posting.failures >= _REFUSED_POSTS or not failure.reason.startswith("HTTP "):
            return False, failure.reason
    return True, ""
