"""What ``GET /console/api/state`` and the topic ``links`` of the console's stream show.

Everything is JSON for ``msgspec``, printable and of a bounded size. Numbers do not change by themselves:
times are seconds since the epoch, so the bytes of a card differ only where something has happened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from attrs import asdict, frozen

import lgtwist
from lgtwist.console.interfaces import ServiceView
from lgtwist.console.reasons import explain
from lgtwist.console.refused_blocks import block_for
from lgtwist.delivery.delivery import Delivery
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.interfaces import IDialler, IPoster, IReverseLink
from lgtwist.hub.snapshots import EndedLink, EndedSession, OpenLink, OpenSession
from lgtwist.onebot.rawjson import DECODE_ERRORS, read_string
from lgtwist.runtime.logs import printable
from lgtwist.runtime.platform import resident_memory
from lgtwist.web.refused_handshakes import RefusedHandshake

_Listed = TypeVar("_Listed")

#: Cards of accounts and bots together, and how many of them are the least for each kind.
_MOST_CARDS, _LEAST_CARDS = 1000, 500
#: Sessions, dials, posts and deliveries, each, that one card lists; and warnings and URLs in all.
_MOST_LISTED = 50
#: Seconds by which a time that is computed from two clocks may differ from the one shown before.
_CLOCK_JITTER = 1.0

#: A URL within a text, from its scheme to its end.
_URL_IN_TEXT = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]{0,15}://)([^\s\"'<>/?#][^\s\"'<>]*)")
#: What looks like a token in a text of a peer's. The three dots are in a sentence of ours; behind a colon
#: only what has a digit is one, not a word.
_TOKEN_LIKE = re.compile(
    r"(?i)(\b(?:\w{0,20}_)?(?:token|secret|password)[\"']?"
    r"(?:\s{0,2}=\s{0,2}|\s{0,2}:\s{0,2}(?=[\"']|[^\s\"']{0,200}\d))[\"']?|\bbearer\s{1,2}(?!\.\.\.))"
    r"[^\s\"'&,;)]+"
)
#: What stands for a token.
_DOTS = "\u2022\u2022\u2022"
#: Characters of a text up to which its shown form is remembered.
_SHOWN_AGAIN = 200
#: A shorter token is not searched for: it would be found in other words.
_SHORTEST_TOKEN = 6


@frozen
class Cards:
    """The state in parts, so that only those that have changed need be sent.

    :ivar summary: the totals.
    :ivar cards: by ``("account", "10001")`` or ``("bot", "nonebot")`` the card as JSON.
    :ivar refused: the refused handshakes as a JSON list.
    """

    summary: dict[str, Any]
    cards: dict[tuple[str, str], bytes]
    refused: bytes


@frozen
class _State:
    """The state as values, of which :meth:`Overview.state` and :meth:`Overview.cards` make their forms."""

    summary: dict[str, Any]
    accounts: list[dict[str, Any]]
    bots: list[dict[str, Any]]
    refused: list[dict[str, Any]]


class _LoginInfo(msgspec.Struct):
    nickname: msgspec.Raw = msgspec.Raw(b'""')


class Overview:
    """Reads the state of the service when somebody asks.

    :param view: the service.
    :param wall_clock: seconds since the epoch.
    :param clock: returns seconds of a clock that is never set.
    :ivar streams: returns how many browsers follow the state, for the summary.
    """

    def __init__(
        self, view: ServiceView, wall_clock: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self.streams: Callable[[], int] = lambda: 0
        self._view = view
        self._wall_clock = wall_clock
        self._clock = clock
        self._times: dict[tuple[object, ...], float] = {}  # shown before, by what they are of
        self._next_times: dict[tuple[object, ...], float] = {}
        self._offset = wall_clock() - clock()  # see _epoch_of

    def state(self) -> dict[str, Any]:
        """Return the whole state."""
        state, view = self._read(), self._view
        return {
            "now": _rounded(self._wall_clock()),
            "version": lgtwist.__version__,
            "started": _rounded(view.started),
            "summary": state.summary,
            "urls": [shown_text(url) for url in view.urls()[:_MOST_LISTED]],
            "warnings": self._warnings(),
            "accounts": state.accounts,
            "bots": state.bots,
            "refused": state.refused,
        }

    def cards(self) -> Cards:
        """Return the state in parts."""
        state, encode = self._read(), msgspec.json.encode
        cards = {("account", str(card["account"])): encode(card) for card in state.accounts}
        cards.update({("bot", str(card["bot"])): encode(card) for card in state.bots})
        return Cards(state.summary, cards, encode(state.refused))

    def _read(self) -> _State:
        directory, view = self._view.directory, self._view
        accounts, bots = list(directory.accounts.values()), list(directory.bots.values())
        account_cards = max(_LEAST_CARDS, _MOST_CARDS - len(bots))
        bot_cards = _MOST_CARDS - min(len(accounts), account_cards)
        self._next_times = {}
        self._offset = self._wall_clock() - self._clock()
        state = _State(
            summary={
                "accounts_up": sum(1 for account in accounts if account.online),
                "accounts": len(accounts),
                "bots_connected": 0,
                "bots": len(bots),
                "events": sum(account.fan_out.events for account in accounts),
                "lag": round(view.reactor_lag(), 3),
                "memory": resident_memory(),
                "journal_size": view.journal_size(),
                "streams": self.streams(),
            },
            accounts=[self._account_card(account) for account in accounts[:account_cards]],
            bots=[self._bot_card(bot) for bot in bots[:bot_cards]],
            refused=[self._refused_card(one) for one in view.refused_handshakes()],
        )
        up = sum(1 for card in state.bots if card["state"] != "down")
        state.summary["bots_connected"] = up + sum(1 for bot in bots[bot_cards:] if bot.sessions)
        self._times = self._next_times
        return state

    def _warnings(self) -> list[dict[str, Any]]:
        trouble = self._view.journal_trouble()
        sentences = [f"the journal cannot be written: {trouble}"] if trouble else []
        sentences += self._view.warnings()
        return [explain(shown_text(sentence)) for sentence in sentences[:_MOST_LISTED]]

    # -- cards

    def _account_card(self, account: Account) -> dict[str, Any]:
        links, counters, number = account.links, account.counters, account.self_id
        edge = self._view.account_edge(number)
        dialler, reverse = IDialler(edge, None), IReverseLink(edge, None)
        token = None if reverse is None else reverse.access_token
        dials = [] if dialler is None else [one for states in dialler.dials().values() for one in states]
        last, ended, open_links = account.last_event, links.last_ended, links.open_links()
        return {
            "account": number,
            "type": self._view.account_type(number),
            "name": nickname_in(account.login_info, token),
            "app": shown_text(links.version.app_name, token),
            "app_version": shown_text(links.version.app_version, token),
            "dialect": account.dialect.value,
            "state": "down" if not account.is_up else "up" if account.online else "offline",
            "since": _rounded(account.since),
            "reason": _explained(account.reason, token),
            "last_event": None
            if last is None
            else {
                "time": _rounded(last.time),
                "post_type": shown_text(last.post_type, token),
                "detail": shown_text(last.detail, token),
            },
            "events": account.fan_out.events,
            "in_flight": account.calls_in_flight,
            "calls": counters.calls + counters.not_connected,
            "failed": counters.timeouts + counters.broken + counters.not_connected,
            "links": [_open_link(one, token) for one in open_links[:_MOST_LISTED]],
            "last_ended": None if ended is None else _ended_link(ended, token),
            "dials": self._dials(("account", number), [(number, one) for one in dials], token),
            "dials_count": len(dials),
            "journal_paused": _explained(links.pause_reason, token),
        }

    def _bot_card(self, bot: Bot) -> dict[str, Any]:
        settings, counters, token = bot.settings, bot.counters, bot.access_token
        edge = self._view.bot_edge(bot.name)
        dialler, poster = IDialler(edge, None), IPoster(edge, None)
        dials = (
            []
            if dialler is None
            else [(number, one) for number, states in dialler.dials().items() for one in states]
        )
        postings = {} if poster is None else poster.postings()
        sessions, ended = bot.open_sessions(), bot.last_ended
        accounts = settings.accounts
        return {
            "bot": bot.name,
            "connection": self._view.bot_connection(bot.name),
            "delivery": "at-least-once" if settings.at_least_once else "live",
            "accounts": None if accounts is None else list(accounts[:_MOST_LISTED]),
            "accounts_count": None if accounts is None else len(accounts),
            "state": _bot_state(sessions, [one for _number, one in dials], postings.values()),
            "sessions": [_open_session(one, token) for one in sessions[-_MOST_LISTED:]],
            "sessions_count": len(sessions),
            "last_ended": None if ended is None else _ended_session(ended, token),
            "dials": self._dials(("bot", bot.name), dials, token),
            "dials_count": len(dials),
            "postings": self._postings(bot.name, postings, token),
            "postings_count": len(postings),
            "deliveries": _deliveries(bot),
            "deliveries_count": len(bot.deliveries),
            "counters": {
                "events": counters.deliveries,
                "actions": counters.actions,
                "refused": counters.refused,
                "forbidden": counters.forbidden,
                "dropped": counters.dropped_events,
            },
        }

    def _refused_card(self, refused: RefusedHandshake) -> dict[str, Any]:
        sentence, view = shown_text(refused.sentence), self._view
        return {
            **asdict(refused),
            "address": shown_text(refused.address),
            "sentence": sentence,
            "explained": explain(sentence),
            "first": _rounded(refused.first),
            "last": _rounded(refused.last),
            "block": block_for(refused, view.account_type, view.directory.bots),
        }

    def _dials(
        self, owner: tuple[object, ...], dials: Sequence[tuple[int, Any]], token: str | None
    ) -> list[dict[str, Any]]:
        """Return how dialling goes; where there are too many, first what is not connected."""
        return [
            {
                "account": number,
                "target": shown_text(one.target, token),
                "attempts": one.attempts,
                "opened": one.opened,
                "connected": one.connected,
                "next_attempt_at": self._epoch_of((*owner, number, one.target), one.next_attempt_in),
                "last_reason": _explained(one.last_reason, token),
            }
            for number, one in _listed_first(dials, lambda dial: not dial[1].connected)
        ]

    def _postings(self, name: str, postings: dict[int, Any], token: str | None) -> list[dict[str, Any]]:
        """Return how posts go; where there are too many, first those that fail."""
        return [
            {
                "account": number,
                "target": shown_text(one.target, token),
                "running": one.running,
                "failures": one.failures,
                "paused_until": self._epoch_of(("post", name, number), one.paused_for),
                "last_failure": None
                if one.last_failure is None
                else {
                    "time": _rounded(one.last_failure.time),
                    "reason": _explained(one.last_failure.reason, token),
                },
            }
            for number, one in _listed_first(list(postings.items()), lambda posting: posting[1].failures > 0)
        ]

    def _epoch_of(self, what: tuple[object, ...], seconds: float | None) -> float | None:
        """Return in whole seconds since the epoch what lies ``seconds`` ahead; the same again for the same.

        :param what: what the time is of: what was shown for it before stays within :data:`_CLOCK_JITTER`.
        """
        if seconds is None:
            return None
        exactly = self._clock() + self._offset + seconds
        before = self._times.get(what)
        shown = (
            before if before is not None and abs(before - exactly) <= _CLOCK_JITTER else float(round(exactly))
        )
        self._next_times[what] = shown
        return shown


def _listed_first(items: Sequence[_Listed], is_first: Callable[[_Listed], bool]) -> Sequence[_Listed]:
    if len(items) <= _MOST_LISTED:
        return items
    return sorted(items, key=lambda item: not is_first(item))[:_MOST_LISTED]


def _bot_state(sessions: Sequence[OpenSession], dials: Iterable[Any], postings: Iterable[Any]) -> str:
    """Return ``up`` if a session is open or posts are taken, ``partly`` if others fail, else ``down``."""
    running = [one for one in postings if one.running]
    taken = sum(1 for one in running if not one.failures)
    # What was never dialled waits for its account, which was not up yet.
    failing = len(running) - taken + sum(1 for one in dials if one.attempts and not one.connected)
    if not sessions and not taken:
        return "down"
    return "partly" if failing else "up"


def _deliveries(bot: Bot) -> list[dict[str, Any]]:
    """Return the at-least-once deliveries; where there are too many, first those with a backlog."""

    def waits(delivery: Delivery) -> bool:
        return delivery.backlog > 0

    return [
        {
            "account": one.account,
            "backlog": one.backlog,
            "unconfirmed": one.unconfirmed,
            "cursor_since": None if one.cursor_since is None else _rounded(one.cursor_since),
            "silent": one.silent,
        }
        for one in _listed_first(list(bot.deliveries.values()), waits)
    ]


def _open_link(link: OpenLink, token: str | None) -> dict[str, Any]:
    return {"via": shown_text(link.via, token), "channel": link.channel, "since": _rounded(link.since)}


def _ended_link(ended: EndedLink, token: str | None) -> dict[str, Any]:
    return {
        "via": shown_text(ended.via, token),
        "channel": ended.channel,
        "code": ended.code,
        "reason": _explained(ended.reason, token),
        "time": _rounded(ended.time),
        "lasted": _rounded(ended.lasted),
    }


def _open_session(session: OpenSession, token: str | None) -> dict[str, Any]:
    return {
        "account": session.account,
        "role": session.role,
        "address": shown_text(session.address, token),
        "user_agent": shown_text(session.user_agent, token),
        "since": _rounded(session.since),
    }


def _ended_session(ended: EndedSession, token: str | None) -> dict[str, Any]:
    return {
        "account": ended.account,
        "role": ended.role,
        "address": shown_text(ended.address, token),
        "user_agent": shown_text(ended.user_agent, token),
        "code": ended.code,
        "reason": _explained(ended.reason, token),
        "time": _rounded(ended.time),
        "lasted": _rounded(ended.lasted),
    }


# -- values


def _rounded(seconds: float) -> float:
    return round(seconds, 1)


def _explained(sentence: str, token: str | None) -> dict[str, Any] | None:
    return explain(shown_text(sentence, token)) if sentence else None


def shown_text(text: str, token: str | None = None) -> str:
    """Return a text as the console may show it: printable, up to 200 characters, without secrets.

    Of URLs in it the query, the fragment and the user are left out, and what looks like a token is hidden.

    :param token: hidden wherever it stands; None for none.
    """
    if len(text) <= _SHOWN_AGAIN:
        return _shown_again(text, token)
    return _shown_text(text, token)


def _shown_text(text: str, token: str | None) -> str:
    if token is not None and len(token) >= _SHORTEST_TOKEN and token in text:
        text = text.replace(token, _DOTS)
    text = text[:2000]
    if "://" in text:
        text = _URL_IN_TEXT.sub(lambda url: url[1] + _without_secrets(url[2]), text)
    if "=" in text or ":" in text or " " in text:
        text = _TOKEN_LIKE.sub(lambda found: found[1] + _DOTS, text)
    return printable(text)


_shown_again = lru_cache(maxsize=8192)(_shown_text)  # most texts are the same from call to call


def _without_secrets(rest: str) -> str:
    """Return the part of a URL behind its ``//`` without user, query and fragment."""
    authority, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return authority.rpartition("@")[2] + slash + path


def nickname_in(login_info: bytes | None, token: str | None = None) -> str:
    """Return the nickname in the ``data`` of ``get_login_info``; empty if it has none.

    :param login_info: what an implementation sent; None for nothing.
    """
    if login_info is None:
        return ""
    try:
        nickname: Any = read_string(bytes(msgspec.json.decode(login_info, type=_LoginInfo).nickname))
    except DECODE_ERRORS:  # half of a character, which only the standard library reads
        try:
            found = json.loads(login_info.decode("utf-8", "replace"))
        except DECODE_ERRORS:
            return ""
        nickname = found.get("nickname") if isinstance(found, dict) else None
    return shown_text(nickname, token) if isinstance(nickname, str) else ""
