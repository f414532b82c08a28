"""Live traffic: what accounts and bots do right now, for those who look. With nobody looking nothing runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lgtwist.console.account_tap import AccountTap, encode_nothing
from lgtwist.console.redaction import redact
from lgtwist.console.traffic_rows import (
    KIND_OF,
    KINDS,
    action_row,
    answer_row,
    event_row,
    place_of_params,
    searched_action_text,
    searched_event_text,
)
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, Reply
from lgtwist.hub.directory import Directory, DirectoryObserver
from lgtwist.onebot.action import ActionRequest
from lgtwist.onebot.event import Event, place_of
from lgtwist.onebot.message import MessageFormat
from lgtwist.onebot.values import read_integer
from lgtwist.runtime.logs import Logger

#: Rows whose whole JSON can be had, and bytes of it together.
MAX_ROWS, MAX_BYTES = 500, 2 << 20
#: Bytes of one event, of parameters, or of a response, above which only the size is kept.
MAX_RAW = 256 << 10
#: Actions whose response is waited for.
MAX_PENDING = 2_000
#: Seconds after an action's time limit when no response is expected any more, and between two looks at that.
_GRACE, _TICK = 5.0, 1.0
#: Messages per second that a text is searched in.
MAX_SEARCHES = 1_000
#: Bytes of an event or of parameters up to which all of them are looked at, once for each watcher with a
#: text, before they are decoded.
MAX_NEEDLE_SEARCH = 16 << 10
#: Characters of the text of a filter, and of a bot's name.
_MAX_FILTER_TEXT = 200

#: The kinds that a filter lets pass if it names none: heartbeats are left out.
DEFAULT_KINDS = frozenset(KINDS) - {"meta"}


class BadTrafficFilter(ValueError):
    """A filter that cannot be used; the argument says why, in a sentence.

    :ivar name: of the member that is wrong.
    """

    def __init__(self, sentence: str, name: str) -> None:
        super().__init__(sentence)
        self.name = name


@frozen
class TrafficFilter:
    """Which rows somebody wants to see; None, or an empty text, for all.

    :ivar kinds: of rows; see ``traffic_rows.KINDS``.
    :ivar account: an account's number.
    :ivar bot: a bot's name: its actions, and the events that it may get.
    :ivar group: the ``group_id`` of the event, or of the action's parameters.
    :ivar user: their ``user_id``.
    :ivar text: in lower case; part of the message, of the sender's name, of a request's comment, of a file's
        name, or of the action's name.
    :ivar needle: bytes that an event or parameters in UTF-8 without escapes must have to match ``text``, once
        in lower case; empty where that cannot be told without decoding.
    """

    kinds: frozenset[str] = DEFAULT_KINDS
    account: int | None = None
    bot: str | None = None
    group: int | None = None
    user: int | None = None
    text: str = ""
    needle: bytes = field(init=False)

    @needle.default
    def _make_needle(self) -> bytes:
        simple = all(
            character.isalnum() and (character.isascii() or character.lower() == character.upper())
            for character in self.text
        )
        return self.text.encode() if simple else b""


def traffic_filter_of(given: Mapping[str, Any]) -> TrafficFilter:
    """Read a filter: ``kinds``, ``account``, ``bot``, ``group``, ``user``, ``text``; others are ignored.

    :param given: decoded JSON, or the parameters of a query, whose values are strings. The kinds are a list,
        or a string with commas; ``kind`` serves as well as ``kinds``. What is null or an empty string is not
        given.
    :raises BadTrafficFilter: if a value is wrong; its sentence names it.
    """
    numbers: dict[str, int | None] = {}
    for name in ("account", "group", "user"):
        value = given.get(name)
        number = None if value is None or value == "" else read_integer(value)
        if value is not None and value != "" and (number is None or number < 0):
            raise BadTrafficFilter(f"{name} must be a number", name)
        numbers[name] = number
    texts: dict[str, str] = {}
    for name in ("bot", "text"):
        value = given.get(name)
        if value is not None and not isinstance(value, str):
            raise BadTrafficFilter(f"{name} must be a string", name)
        if value is not None and len(value) > _MAX_FILTER_TEXT:
            raise BadTrafficFilter(f"{name} may have {_MAX_FILTER_TEXT} characters", name)
        texts[name] = (value or "").encode("utf-8", "replace").decode()
    kinds = given.get("kinds")
    if kinds is None or kinds == "":
        kinds = given.get("kind")
    if isinstance(kinds, str) and kinds:
        kinds = [kind.strip() for kind in kinds.split(",") if kind.strip()]
    if kinds is not None and kinds != "" and not isinstance(kinds, list):
        raise BadTrafficFilter(f"kinds must be a list of {', '.join(KINDS)}", "kinds")
    for kind in kinds or ():
        if kind not in KINDS:
            raise BadTrafficFilter(f"there is no such kind; there are {', '.join(KINDS)}", "kinds")
    return TrafficFilter(
        kinds=frozenset(kinds) if isinstance(kinds, list) else DEFAULT_KINDS,
        bot=texts["bot"] or None,
        text=texts["text"].strip().lower(),
        **numbers,
    )


class Watcher(Protocol):
    """Somebody who looks at the traffic. Its methods never raise, and may end the watch.

    :ivar filter: which rows it wants; may be replaced at any time.
    """

    @property
    def filter(self) -> TrafficFilter:
        """Which rows it wants."""

    def take(self) -> bool:
        """Return whether one more row may be sent; count it as dropped if not."""

    def drop(self) -> None:
        """Count a row as dropped: there was no time to search the text of the filter in it."""

    def send_row(self, row: bytes, /) -> None:
        """Send a row, one JSON object; called right after :meth:`take` has returned True."""

    def send_answer(self, answer: bytes, /) -> None:
        """Send what completes the row of an action, one JSON object. It was sent that row."""


@define(eq=False)
class _Watching:
    """One watcher, and whether it still looks."""

    watcher: Watcher
    active: bool = True


@define(eq=False)
class _RecentRow:
    """One row, and the JSON that it is made of; of what is larger than ``MAX_RAW`` only the size.

    :ivar row: JSON, as it was sent.
    :ivar raw: the event, or the action's parameters.
    :ivar response: to an action; None where it has not come.
    :ivar answer: JSON, as it was sent; None where the response has not come.
    :ivar action: its name; None for an event.
    :ivar current: whether it can still be had.
    """

    row: bytes
    action: str | None
    raw: bytes | int
    response: bytes | int | None = None
    answer: bytes | None = None
    current: bool = True

    def size(self) -> int:
        """Return the bytes of JSON that are referred to."""
        return sum(len(raw) for raw in (self.raw, self.response) if isinstance(raw, bytes))

    def forget(self) -> None:
        """Hold no JSON any more: whoever waits for the response to an action has the row still."""
        self.current = False
        self.raw, self.response = 0, None


@define(eq=False)
class _PendingAnswer:
    """The row of an action that waits for its response.

    :ivar watchings: who got the row.
    :ivar begun: when the action was performed; seconds of the clock.
    :ivar deadline: when no response is expected any more.
    """

    number: int
    account: Account
    recent_row: _RecentRow
    watchings: tuple[_Watching, ...]
    begun: float
    deadline: float


class Traffic(DirectoryObserver):
    """The events and actions of all accounts and bots, for watchers.

    While there are any, it subscribes to the events of each account, and is each bot's ``watch``; with the
    last one all of this ends, and no timer runs.

    :param directory: the accounts and bots.
    :param clock: the reactor, or a clock in its place.
    :param wall_clock: seconds since the epoch.
    """

    _log = Logger()

    def __init__(self, directory: Directory, clock: IReactorTime, wall_clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._wall_clock = wall_clock
        self._watchings: tuple[_Watching, ...] = ()
        self._taps: dict[int, AccountTap] = {}
        self._other_bots: list[Bot] = []
        self._last_number = 0
        self._rows: dict[int, _RecentRow] = {}
        self._order: deque[int] = deque()
        self._bytes = 0
        self._pending: dict[int, _PendingAnswer] = {}
        self._tick: IDelayedCall | None = None
        self._searches = 0
        self._searches_since = 0.0

    @property
    def is_watched(self) -> bool:
        """Whether there are watchers."""
        return bool(self._watchings)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Send rows and answers to ``watcher`` from now on.

        :returns: a function that ends this; it may be called again.
        """
        watching = _Watching(watcher)
        first = not self._watchings
        self._watchings = (*self._watchings, watching)
        if first:
            self._begin()

        def end() -> None:
            if watching.active:
                watching.active = False
                self._watchings = tuple(one for one in self._watchings if one is not watching)
                if not self._watchings:
                    self._end()

        return end

    def add_bot(self, bot: Bot) -> None:
        """Show the actions of a bot that is not in the directory, too."""
        self._other_bots.append(bot)
        if self._watchings:
            bot.watch = self

    def find(self, number: int) -> dict[str, Any] | None:
        """Return a row with its whole JSON, without secrets; None if it is not kept any more.

        :returns: ``row`` and ``event``, or ``row``, ``action``, ``params``, ``answer`` and ``response``. What
            was too large to be kept is ``{"too_large": bytes}``.
        """
        found = self._rows.get(number)
        if found is None:
            return None
        row = msgspec.json.decode(found.row)
        if found.action is None:
            return {"row": row, "event": _shown(found.raw, None)}
        response = None if found.response is None else _shown(found.response, found.action)
        if isinstance(response, dict):
            response.pop("echo", None)  # the bot's own
        return {
            "row": row,
            "action": row["action"],
            "params": _shown(found.raw, None),
            "answer": None if found.answer is None else msgspec.json.decode(found.answer),
            "response": response,
        }

    # -- beginning and ending

    def _begin(self) -> None:
        self._directory.observe(self)
        for bot in self._other_bots:
            bot.watch = self
        self._tick = self._clock.callLater(_TICK, self._expire)

    def _end(self) -> None:
        self._directory.unobserve(self)
        for account in tuple(self._directory.accounts.values()):
            self.account_removed(account)
        for bot in (*self._directory.bots.values(), *self._other_bots):
            bot.watch = None
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        for recent_row in self._rows.values():
            recent_row.forget()
        self._rows.clear()
        self._order.clear()
        self._bytes = 0
        self._pending.clear()

    def account_added(self, account: Account) -> None:
        """Subscribe to its events."""
        tap = self._taps[account.self_id] = AccountTap(account, self._receive_event)
        account.subscribe(tap, MessageFormat.AS_IS, encode_nothing, tap.passes)

    def account_removed(self, account: Account) -> None:
        """End the subscription to its events."""
        tap = self._taps.pop(account.self_id, None)
        if tap is not None:
            account.unsubscribe(tap)

    def bot_added(self, bot: Bot) -> None:
        """Watch its actions."""
        bot.watch = self

    def bot_removed(self, bot: Bot) -> None:
        """Watch its actions no more."""
        bot.watch = None

    # -- events

    def _receive_event(self, account: Account, event: Event) -> None:
        kind = KIND_OF.get(event.post_type, "other")
        self_id = account.self_id
        takers: list[_Watching] = []
        text: str | None = None
        for watching in self._watchings:
            watcher = watching.watcher
            wanted = watcher.filter
            if kind not in wanted.kinds or (wanted.account is not None and wanted.account != self_id):
                continue
            if wanted.bot is not None and not self._may_get(wanted.bot, account, event):
                continue
            if wanted.group is not None and wanted.group != place_of(event).group_id:
                continue
            if wanted.user is not None and wanted.user != place_of(event).user_id:
                continue
            if wanted.text:
                if text is None and _may_match(event.raw, wanted):
                    if not self._may_search():
                        watcher.drop()
                        continue
                    text = searched_event_text(event)
                if text is None or wanted.text not in text:
                    continue
            if watcher.take():
                takers.append(watching)
        if takers and self._watchings:  # a watcher may have ended its watch meanwhile
            number = self._last_number = self._last_number + 1
            row = event_row(number, self._wall_clock(), self_id, event)
            self._keep(number, _RecentRow(row, None, _raw_or_size(event.raw)))
            for watching in takers:
                if watching.active:
                    watching.watcher.send_row(row)

    def _may_get(self, name: str, account: Account, event: Event) -> bool:
        """Return whether a bot may get an event."""
        bot = self._directory.bots.get(name)
        if bot is None or not bot.may_use(account.self_id):
            return False
        return bot.passes is None or bot.passes(event)

    def _may_search(self) -> bool:
        """Return whether a text may be searched in one more message of this second; count it."""
        now = self._clock.seconds()
        if now - self._searches_since >= 1.0:
            self._searches_since, self._searches = now, 0
        self._searches += 1
        return self._searches <= MAX_SEARCHES

    # -- actions

    def perform(
        self,
        bot: Bot,
        account: Account,
        request: ActionRequest,
        reply: Reply,
        read_params: Callable[[], bytes] | None,
    ) -> tuple[Reply, Callable[[], bytes] | None]:
        """Show an action that a bot performs; see ``ActionWatch``."""
        if read_params is not None:
            return self._perform_unread(bot, account, request, reply, read_params)
        pending = self._add_action(bot, account, request.action, request.params)
        if pending is None:
            return reply, None
        return self._completing(pending, reply), None

    def _completing(self, pending: _PendingAnswer, reply: Reply) -> Reply:
        """Return a function that replies, and then completes the row with the response."""

        def answered(response: bytes, last: bool) -> None:
            reply(response, last)
            self._receive_response(pending, response, last)

        return answered

    def _perform_unread(
        self,
        bot: Bot,
        account: Account,
        request: ActionRequest,
        reply: Reply,
        read_params: Callable[[], bytes],
    ) -> tuple[Reply, Callable[[], bytes]]:
        """Show an action when its parameters are read, or when it is refused before."""
        shown = False
        pending: _PendingAnswer | None = None

        def show(params: bytes) -> None:
            nonlocal shown, pending
            shown = True
            pending = self._add_action(bot, account, request.action, params)

        def read() -> bytes:
            params = read_params()
            show(params)
            return params

        def answered(response: bytes, last: bool) -> None:
            if not shown:
                show(request.params)
            reply(response, last)
            if pending is not None:
                self._receive_response(pending, response, last)

        return answered, read

    def call(self, bot: Bot, account: Account, action: str, params: bytes, received: Deferred[bytes]) -> None:
        """Show an action that lgtwist makes for a bot; see ``ActionWatch``."""
        pending = self._add_action(bot, account, action, params)
        if pending is None:
            return

        def answered(result: Any) -> Any:
            if isinstance(result, bytes):
                self._receive_response(pending, result, True)
            else:
                self._complete(pending, None)
            return result

        received.addBoth(answered)

    def _add_action(self, bot: Bot, account: Account, action: str, params: bytes) -> _PendingAnswer | None:
        """Send the row of an action to the watchers that want it; None if there are none."""
        try:
            takers = self._takers_of_action(bot, account, action, params)
            if not takers or not self._watchings:  # a watcher may have ended its watch meanwhile
                return None
            number = self._last_number = self._last_number + 1
            row = action_row(number, self._wall_clock(), account.self_id, bot.name, action, params)
            recent_row = _RecentRow(row, action, _raw_or_size(params))
            self._keep(number, recent_row)
            now = self._clock.seconds()
            deadline = now + account.action_timeout + _GRACE
            pending = _PendingAnswer(number, account, recent_row, tuple(takers), now, deadline)
            self._pending[number] = pending
            if len(self._pending) > MAX_PENDING:
                self._complete(next(iter(self._pending.values())), None)
            for watching in takers:
                if watching.active:
                    watching.watcher.send_row(row)
            return pending
        except Exception:
            self._log.failure("live traffic: an action could not be shown")
            return None

    def _takers_of_action(self, bot: Bot, account: Account, action: str, params: bytes) -> list[_Watching]:
        takers: list[_Watching] = []
        place: tuple[int | None, int | None] | None = None
        text: str | None = None
        for watching in self._watchings:
            watcher = watching.watcher
            wanted = watcher.filter
            if "action" not in wanted.kinds or (wanted.bot is not None and wanted.bot != bot.name):
                continue
            if wanted.account is not None and wanted.account != account.self_id:
                continue
            if wanted.group is not None or wanted.user is not None:
                place = place_of_params(params) if place is None else place
                if wanted.group is not None and wanted.group != place[0]:
                    continue
                if wanted.user is not None and wanted.user != place[1]:
                    continue
            if wanted.text:
                if text is None and (wanted.text in action.lower() or _may_match(params, wanted)):
                    if not self._may_search():
                        watcher.drop()
                        continue
                    text = searched_action_text(action, params)
                if text is None or wanted.text not in text:
                    continue
            if watcher.take():
                takers.append(watching)
        return takers

    def _receive_response(self, pending: _PendingAnswer, response: bytes, last: bool) -> None:
        try:
            if last:
                self._complete(pending, response)
            else:  # its time limit begins anew
                pending.deadline = self._clock.seconds() + pending.account.action_timeout + _GRACE
        except Exception:
            self._log.failure("live traffic: a response could not be shown")

    def _complete(self, pending: _PendingAnswer, response: bytes | None) -> None:
        """Complete the row of an action: with its response, or with ``gone`` for None.

        One that comes all the same after ``gone`` completes it again.
        """
        self._pending.pop(pending.number, None)
        watchings = [watching for watching in pending.watchings if watching.active]
        recent_row = pending.recent_row
        if not watchings and not recent_row.current:
            return
        milliseconds = 1000 * (self._clock.seconds() - pending.begun)
        answer = recent_row.answer = answer_row(pending.number, milliseconds, response)
        if recent_row.current and response is not None:
            self._bytes -= recent_row.size()
            recent_row.response = _raw_or_size(response)
            self._bytes += recent_row.size()
            self._drop_oldest()
        for watching in watchings:
            if watching.active:
                watching.watcher.send_answer(answer)

    def _expire(self) -> None:
        self._tick = self._clock.callLater(_TICK, self._expire)
        now = self._clock.seconds()
        for pending in [one for one in self._pending.values() if one.deadline <= now]:
            self._complete(pending, None)

    # -- rows

    def _keep(self, number: int, recent_row: _RecentRow) -> None:
        self._rows[number] = recent_row
        self._order.append(number)
        self._bytes += recent_row.size()
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        while len(self._order) > MAX_ROWS or self._bytes > MAX_BYTES:
            dropped = self._rows.pop(self._order.popleft())
            self._bytes -= dropped.size()
            dropped.forget()


def _raw_or_size(raw: bytes) -> bytes | int:
    """Return what is kept of some JSON: the same object, or its size if it is too large."""
    return raw if len(raw) <= MAX_RAW else len(raw)


def _shown(raw: bytes | int, action: str | None) -> Any:
    """Return what is shown of what :func:`_raw_or_size` returned."""
    return {"too_large": raw} if isinstance(raw, int) else redact(raw, action)


def _may_match(raw: bytes, wanted: TrafficFilter) -> bool:
    """Return whether some JSON may have the text of a filter; cheap, and True where decoding must tell.

    Of a large one decoding must: only its beginning is decoded, and once for all watchers.
    """
    if len(raw) > MAX_NEEDLE_SEARCH or not wanted.needle:
        return True
    return b"\\u" in raw or wanted.needle in raw.lower()
