"""Event filters while they are written: what is wrong with one, its rows, and how many events would pass."""

from __future__ import annotations

from collections.abc import Mapping
from time import thread_time
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web.server import Request

from lgtwist.console.interfaces import ServiceView
from lgtwist.console.problems import bad_request, nothing_here, read_object
from lgtwist.console.recent_events import SeenEvents, newest_of_journal
from lgtwist.console.routing import RouteHandler
from lgtwist.filters.mistakes import BadFilter
from lgtwist.filters.reading import EventFilter, Grammar, read_filter
from lgtwist.filters.rows import NotAsRows, filter_of, read_rows, rows_json, rows_of
from lgtwist.journal.store import JournalError
from lgtwist.onebot.event import Event, place_of
from lgtwist.onebot.values import read_integer

#: Bytes of the body of a request, and accounts that it may name.
_MOST_FILTER_BODY, _MOST_ACCOUNTS_ASKED = 256 << 10, 1000
#: Characters of a path or a sentence that are told.
_MOST_WORDS = 300
#: Seconds that the reactor is held by one slice of a filter's work, and that all slices take together.
_SLICE, _MOST_TIME = 0.01, 0.25


class FilterRoutes:
    """Answers ``POST filter``.

    :param view: the running service.
    :param clock: the reactor, or a clock in its place.
    """

    def __init__(self, view: ServiceView, clock: IReactorTime) -> None:
        self._view = view
        self._clock = clock
        self.seen = SeenEvents(view.directory, clock)

    def routes(self) -> Mapping[tuple[str, str], RouteHandler]:
        """Return the handlers by method and first segment."""
        return {("POST", "filter"): self._look}

    async def _look(self, _request: Request, rest: tuple[str, ...], body: bytes) -> dict[str, Any]:
        if rest:
            raise nothing_here()
        asked = read_object(body, _MOST_FILTER_BODY)
        accounts = _accounts_asked(asked.get("account"))
        text = _text_asked(asked)
        # Without a filter, or with a wrong one, events are seen too: the next one may be right.
        events, source = await self._newest(accounts)
        groups = sorted({group for event in events if (group := place_of(event).group_id) is not None})
        try:
            found = read_filter(text)
        except BadFilter as error:
            mistakes = [
                {"path": _sendable(one.path), "sentence": _sendable(one.sentence)} for one in error.mistakes
            ]
            return {
                "text": text,
                "grammar": None,
                "mistakes": mistakes,
                "rows": None,
                "why": None,
                "groups": groups,
            }
        passed, judged = await self._count(found, events)
        return {
            "text": text,
            "grammar": found.grammar.value,
            "mistakes": [],
            **_as_rows(found),
            "passed": passed,
            "of": judged,
            "source": source,
            "groups": groups,
        }

    async def _newest(self, accounts: frozenset[int] | None) -> tuple[list[Event], str]:
        """Return the newest events of some accounts, and where they are from: ``journal`` or ``seen``."""
        journal = self._view.journal()
        if journal is not None:
            numbers = self._view.directory.accounts if accounts is None else sorted(accounts)
            try:
                events = await newest_of_journal(journal, numbers)
            except JournalError:
                events = []
            if events:
                return events, "journal"
        return self.seen.newest(accounts), "seen"

    async def _count(self, event_filter: EventFilter, events: list[Event]) -> tuple[int, int]:
        """Return how many events pass, and how many were judged: a slow filter judges fewer of them."""
        passed = judged = 0
        took = 0.0
        began = thread_time()
        for event in events:
            passed += event_filter.passes(event)
            judged += 1
            slice_took = thread_time() - began
            if slice_took >= _SLICE:
                took += slice_took
                if took >= _MOST_TIME:
                    break
                await deferLater(self._clock, 0)
                began = thread_time()
        return passed, judged


def _accounts_asked(given: Any) -> frozenset[int] | None:
    """Return the accounts that a body names: a number, or a list of them; None for all.

    :raises ApiProblem: if it names something else.
    """
    if given is None:
        return None
    values = given if isinstance(given, list) else [given]
    numbers = [read_integer(value) for value in values[:_MOST_ACCOUNTS_ASKED]]
    if None in numbers:
        raise bad_request('"account" must be the number of an account, or a list of them')
    return frozenset(number for number in numbers if number is not None)


def _text_asked(asked: dict[str, Any]) -> str:
    """Return the filter that a body has: its text, or what is made of its rows.

    :raises ApiProblem: if it has neither, or no filter can be made of the rows.
    """
    if "rows" in asked:
        try:
            return filter_of(read_rows(asked["rows"]), Grammar(asked.get("grammar", "either")))
        except NotAsRows as error:
            raise bad_request(f"rows: {_sendable(str(error))}") from None
        except ValueError:
            known = ", ".join(grammar.value for grammar in Grammar)
            raise bad_request(f'"grammar" must be one of {known}') from None
    text = asked.get("text")
    if not isinstance(text, str):
        raise bad_request('expected "text", a filter as JSON, or "rows"')
    return text if text.strip() else "{}"


def _as_rows(event_filter: EventFilter) -> dict[str, Any]:
    """Return a filter's rows; where there are none, why."""
    try:
        return {"rows": rows_json(rows_of(event_filter)), "why": None}
    except NotAsRows as error:
        return {
            "rows": None,
            "why": {
                "code": error.code,
                "args": {"path": _sendable(error.path), "what": _sendable(error.what)},
            },
        }


def _sendable(text: str) -> str:
    """Return a text without what cannot be sent, cut to what is told."""
    return text[:_MOST_WORDS].encode(errors="replace").decode()
