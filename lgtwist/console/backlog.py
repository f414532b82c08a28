"""What waits for at-least-once bots, and the events that they refused: to look at, and to do something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from lgtwist.console.interfaces import ServiceView
from lgtwist.console.problems import ApiProblem, bad_request, nothing_here, read_object
from lgtwist.console.redaction import redact, redact_text
from lgtwist.console.routing import RouteHandler
from lgtwist.delivery.delivery import Delivery
from lgtwist.delivery.interfaces import IJournal
from lgtwist.delivery.redelivery import Redelivered
from lgtwist.delivery.refused_event import RefusedEvent
from lgtwist.journal.store import MAX_REFUSED, JournalError
from lgtwist.onebot.event import late_event
from lgtwist.onebot.values import read_integer
from lgtwist.runtime.logs import Logger, printable
from lgtwist.runtime.tasks import shielded
from lgtwist.web.routes import account_number

#: Rows of bots and their accounts that are listed.
_MOST_ROWS = 1000
#: Of so many rows the oldest event is read from the disk for one answer; it is known for the next.
_MOST_READ = 20
#: Pages that are read for it.
_MOST_PAGES = 8
#: Bytes of an event up to which it is shown as JSON; bytes of a larger one that are shown as text.
_MOST_JSON, _BEGINNING = 256 << 10, 16 << 10
#: Characters of a name or a reason that are shown.
_MOST_TEXT = 200


class BacklogRoutes:
    """Answers the requests below ``backlog`` and ``refused``.

    :param view: the running service.
    :param wall_clock: seconds since the epoch.
    """

    _log = Logger()

    def __init__(self, view: ServiceView, wall_clock: Callable[[], float]) -> None:
        self._view = view
        self._wall_clock = wall_clock
        # When the event behind a position was taken in, by bot and account; None if it is not there any more.
        self._oldest: dict[tuple[str, int], tuple[int, float | None]] = {}

    def routes(self) -> Mapping[tuple[str, str], RouteHandler]:
        """Return the handlers by method and first segment."""
        return {
            ("GET", "backlog"): self._get_backlog,
            ("POST", "backlog"): self._post_backlog,
            ("GET", "refused"): self._get_refused,
            ("POST", "refused"): self._deliver_again,
            ("DELETE", "refused"): self._drop,
        }

    # -- the backlog

    async def _get_backlog(self, _request: Request, rest: tuple[str, ...], _body: bytes) -> dict[str, Any]:
        if rest:
            raise nothing_here()
        journal = self._view.journal()
        if journal is None:
            return {"rows": [], "refused": [], "refused_more": False}
        try:
            refused = await journal.list_refused(MAX_REFUSED)
            deliveries = self._deliveries()
            await self._read_oldest(journal, deliveries)
        except JournalError as error:
            raise _journal_trouble(error) from None
        now, retention = self._wall_clock(), self._view.journal_retention()
        return {
            "rows": [self._row(delivery, now, retention) for delivery in deliveries],
            "refused": [_refused_json(one) for one in refused],
            "refused_more": len(refused) >= MAX_REFUSED,
        }

    def _deliveries(self) -> list[Delivery]:
        """Return the deliveries; where there are too many, first those with a backlog."""
        found = [one for bot in self._view.directory.bots.values() for one in bot.deliveries.values()]
        if len(found) > _MOST_ROWS:
            found = sorted(found, key=lambda one: not one.backlog)[:_MOST_ROWS]
        return found

    async def _read_oldest(self, journal: IJournal, deliveries: list[Delivery]) -> None:
        """Read when the oldest events of backlogs were taken in, where they are not in memory."""
        known, self._oldest = self._oldest, {}
        reads = 0
        for delivery in deliveries:
            pair, position = (delivery.bot, delivery.account), delivery.reached
            if not delivery.backlog or delivery.oldest is not None:
                continue
            before = known.get(pair)
            if before is not None and before[0] == position:
                self._oldest[pair] = before
            elif reads < _MOST_READ:
                reads += 1
                self._oldest[pair] = (position, await _time_behind(journal, delivery.account, position))

    def _row(self, delivery: Delivery, now: float, retention: float) -> dict[str, Any]:
        oldest = delivery.oldest
        if oldest is None and delivery.backlog:
            position, time = self._oldest.get((delivery.bot, delivery.account), (-1, None))
            oldest = time if position == delivery.reached else None
        return {
            "bot": delivery.bot,
            "account": delivery.account,
            "connection": self._view.bot_connection(delivery.bot),
            "mode": "at-least-once",
            "backlog": delivery.backlog,
            "unconfirmed": delivery.unconfirmed,
            "oldest": oldest,
            "cursor_since": delivery.cursor_since,
            "silent": delivery.silent,
            "connected": delivery.is_connected,
            "refuses_all": delivery.refuses_all,
            "can_undo": delivery.can_undo,
            "retention_left": None if oldest is None else max(0.0, round(oldest + retention - now, 1)),
        }

    def _post_backlog(self, _request: Request, rest: tuple[str, ...], body: bytes) -> dict[str, Any]:
        if rest not in (("skip",), ("undo",)):
            raise nothing_here()
        asked = read_object(body)
        delivery = self._find_delivery(asked)
        if rest == ("undo",):
            if not delivery.undo_skip():
                raise ApiProblem(
                    409,
                    "not_undoable",
                    {"bot": delivery.bot, "account": delivery.account},
                    "nothing was skipped, or the bot has confirmed an event since",
                )
            return {}
        if asked.get("name") != delivery.bot:
            raise ApiProblem(
                400, "wrong_name", {"bot": delivery.bot}, '"name" must be the name of the bot, exactly'
            )
        if not delivery.has_begun:
            raise _journal_trouble(JournalError("the journal is not open"))
        return {"skipped": delivery.skip_to_end(), "undo": delivery.can_undo}

    def _find_delivery(self, asked: dict[str, Any]) -> Delivery:
        """Return the delivery that a body names.

        :raises ApiProblem: if there is none.
        """
        name, account = asked.get("bot"), read_integer(asked.get("account"))
        if not isinstance(name, str) or account is None:
            raise bad_request('"bot" must be a name, and "account" the number of an account')
        bot = self._view.directory.bots.get(name)
        if bot is None:
            shown = printable(name[:_MOST_TEXT])
            raise ApiProblem(404, "no_such_bot", {"bot": shown}, f"there is no bot {shown}")
        delivery = bot.deliveries.get(account)
        if delivery is None:
            raise ApiProblem(
                404,
                "no_delivery",
                {"bot": bot.name, "account": account},
                f"the bot has no at-least-once delivery of account {account}",
            )
        return delivery

    # -- refused events

    async def _get_refused(self, _request: Request, rest: tuple[str, ...], _body: bytes) -> dict[str, Any]:
        journal = self._journal()
        try:
            refused = await self._find_refused(journal, rest)
            batch = await journal.read_one(refused.account, refused.position)
        except JournalError as error:
            raise _journal_trouble(error) from None
        payload = refused.payload if batch is None else batch.payloads[0]
        return {
            "refused": _refused_json(refused),
            "event": _redacted_event(payload, refused.size),
            "complete": batch is not None,
        }

    async def _deliver_again(self, _request: Request, rest: tuple[str, ...], _body: bytes) -> dict[str, str]:
        try:
            refused = await self._find_refused(self._journal(), rest)
            bot = self._view.directory.bots.get(refused.bot)
            delivery = None if bot is None else bot.deliveries.get(refused.account)
            if delivery is None:
                result = Redelivered("not_connected", "the bot gets no events of this account at least once")
            else:
                again = Deferred.fromCoroutine(delivery.deliver_again(refused.position))
                result = await shielded(again)
        except JournalError as error:
            raise _journal_trouble(error) from None
        return {"outcome": result.outcome, "reason": result.reason}

    async def _drop(self, _request: Request, rest: tuple[str, ...], _body: bytes) -> dict[str, int]:
        number = _refused_id(rest) if rest else None
        journal = self._view.journal()
        try:
            dropped = 0 if journal is None else await shielded(self._drop_logged(journal, number))
        except JournalError as error:
            raise _journal_trouble(error) from None
        if number is not None and not dropped:
            raise _not_listed()
        return {"dropped": dropped}

    def _drop_logged(self, journal: IJournal, number: int | None) -> Deferred[int]:
        def dropped(events: int) -> int:
            if events:
                self._log.info("console: dropped {events} refused events of the list", events=events)
            return events

        return journal.drop_refused(number).addCallback(dropped)

    def _journal(self) -> IJournal:
        journal = self._view.journal()
        if journal is None:
            raise _not_listed()
        return journal

    async def _find_refused(self, journal: IJournal, rest: tuple[str, ...]) -> RefusedEvent:
        found = await journal.find_refused(_refused_id(rest))
        if found is None:
            raise _not_listed()
        return found


async def _time_behind(journal: IJournal, account: int, position: int) -> float | None:
    """Return when the first event behind a position was taken in, in seconds since the epoch.

    None if it is not found in some pages.

    :raises JournalError: if the journal cannot be read.
    """
    for _page in range(_MOST_PAGES):
        page = await journal.read(account, position)
        if page.batches:
            return page.batches[0].times[0] / 1000
        position = page.upto
        if position >= journal.end(account):
            break
    return None


def _refused_id(rest: tuple[str, ...]) -> int:
    number = account_number(rest[0]) if len(rest) == 1 else None
    if number is None:
        raise nothing_here()
    if number >= 1 << 63:
        raise _not_listed()
    return number


def _refused_json(one: RefusedEvent) -> dict[str, Any]:
    return {
        "id": one.id,
        "bot": printable(one.bot[:_MOST_TEXT]),
        "account": one.account,
        "position": one.position,
        "time": one.time / 1000,
        "skipped": one.skipped / 1000,
        "reason": printable(one.reason[:_MOST_TEXT]),
        "size": one.size,
        "post_type": one.post_type,
    }


def _redacted_event(payload: bytes, size: int) -> Any:
    """Return an event as people may see it; ``{"begin": text}`` of one that is cut, or too large.

    :param payload: all of it, or its first bytes.
    :param size: bytes of all of it.
    """
    is_whole = len(payload) >= size and size <= _MOST_JSON
    payload = late_event(payload) or payload
    if is_whole:
        return redact(payload)
    return {"begin": redact_text(payload[:_BEGINNING].decode("utf-8", "replace"), is_cut=True)}


def _not_listed() -> ApiProblem:
    return ApiProblem(404, "gone", {}, "this refused event is not in the list any more")


def _journal_trouble(error: JournalError) -> ApiProblem:
    reason = printable(str(error)[:_MOST_TEXT])
    return ApiProblem(503, "journal_trouble", {"reason": reason}, f"the journal cannot be used now: {reason}")
