"""When something is an alarm, and when it is over: a state machine by time. Pure.

What lasts (an account offline, a bot away, a backlog, a journal that cannot be written) is told when it has
lasted for ``after`` without a break, and its end when that has lasted for a while, too: up to 30 seconds, and
twice as long for each alarm of the same within the last hour, so that what flaps is told seldom. What happens
(events lost, wrong tokens) is told at once, and its end after five minutes without. What was so at the first
look is told when ``after`` has passed since then. An end is only told where the beginning was. Accounts and
bots that are no longer there are forgotten without a word.

Only time in which it looked counts: while the machine or the process stands still, nothing lasts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from attrs import define

from lgtwist.alerts.alert import Alert, Rule
from lgtwist.alerts.interfaces import Facts
from lgtwist.alerts.settings import AlertSettings

#: Seconds between two looks that count at most.
_LONGEST_STEP = 3.0
#: Seconds that something must be right before that is told, if ``after`` is not shorter; and at most.
_SETTLE, _LONGEST_SETTLE = 30.0, 1800.0
#: Seconds for which alarms of the same are counted.
_HOUR = 3600.0
#: Seconds without another loss, or without wrong tokens, after which that is over.
_QUIET_AFTER = 300.0
#: Wrong tokens of one address, and seconds within which they are guesses.
_GUESSES, _GUESS_PERIOD = 10, 60.0
#: Addresses that are told, and that are watched.
_MOST_NAMED, _MOST_WATCHED = 5, 1000

#: The rule's value (an ``Enum`` is slow to hash), the subject and, of a backlog, the account.
_RuleKey = tuple[str, str, int]
_OFFLINE, _AWAY = Rule.OFFLINE.value, Rule.AWAY.value
_BACKLOG, _JOURNAL = Rule.BACKLOG.value, Rule.JOURNAL.value
_NO_VALUES: dict[str, Any] = {}


class _Wrong(NamedTuple):
    """Something that is wrong at the moment of a look.

    :ivar since: seconds since the epoch.
    """

    since: float
    reason: str = ""
    values: dict[str, Any] = _NO_VALUES


@define
class _Lasting:
    """Something that was seen wrong, until it is right again or, where that was reported, for good.

    Times are in seconds of the rules' own clock; ``since`` and ``right_since`` since the epoch.

    :ivar begun: when it was first seen wrong, without a break.
    :ivar alarm: what was told; None if nothing was.
    :ivar right: when it was first seen right after the alarm; None while it is wrong.
    """

    begun: float
    since: float
    alarm: Alert | None = None
    right: float | None = None
    right_since: float = 0.0


@define
class _Counted:
    """Something that is counted, and should not happen.

    :ivar last: when it last happened, in seconds of the rules' own clock.
    :ivar reported: how often it had happened when it was reported, or was right.
    """

    reported: int
    seen: int
    last: float = 0.0
    since: float = 0.0
    alarm: Alert | None = None


class Rules:
    """What one of ``[[alerts]]`` is told of.

    :param settings: of the entry.
    """

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self._settle = min(settings.after, _SETTLE)
        self._accounts = None if settings.accounts is None else frozenset(settings.accounts)
        self._bots = None if settings.bots is None else frozenset(settings.bots)
        self._now = 0.0  # seconds in which it looked
        self._looked: float | None = None
        self._lasting: dict[_RuleKey, _Lasting] = {}
        self._times: dict[_RuleKey, deque[float]] = {}  # of the alarms in the last hour
        self._lost: dict[tuple[str, str], _Counted] = {}  # by cause and bot
        self._guessed = _Counted(0, 0)
        self._tokens: dict[str, deque[tuple[float, int]]] = {}
        self._token_counts: dict[str, int] | None = None

    def alarms(self) -> tuple[Alert, ...]:
        """Return what was told and is not over, the oldest first."""
        states: list[_Lasting | _Counted] = [*self._lasting.values(), *self._lost.values(), self._guessed]
        return tuple(sorted((one.alarm for one in states if one.alarm), key=lambda alarm: alarm.since))

    def look(self, facts: Facts, now: float, wall: float) -> list[Alert]:
        """Return what begins to be an alarm, and what is over, since the last look.

        :param now: seconds of a clock that is never set.
        :param wall: seconds since the epoch.
        """
        first = self._looked is None
        if self._looked is not None:
            self._now += min(max(0.0, now - self._looked), _LONGEST_STEP)
        self._looked = now
        found: list[Alert] = []
        on = self._settings.on
        wrong: dict[_RuleKey, _Wrong] = {}
        there: set[_RuleKey] = set()
        for key, state in self._states(facts, wall):
            there.add(key)
            if state is not None:
                wrong[key] = state
        for key in [key for key in self._lasting if key not in there]:
            del self._lasting[key]
        for key in [key for key in self._times if key not in there]:
            del self._times[key]
        for key, state in wrong.items():
            self._is_wrong(key, state, found)
        for key in [key for key in self._lasting if key not in wrong]:
            self._is_right(key, wall, found)
        if Rule.LOST in on:
            self._look_at_losses(facts.lost, wall, found, first=first)
        if Rule.TOKENS in on:
            self._look_at_tokens(facts.wrong_tokens, wall, found)
        return found

    # -- what lasts

    def _states(self, facts: Facts, wall: float) -> Iterator[tuple[_RuleKey, _Wrong | None]]:
        """Yield what is looked at, by rule, subject and account, and what is wrong with it."""
        settings, on = self._settings, self._settings.on
        accounts, bots = self._accounts, self._bots
        if Rule.OFFLINE in on:
            for self_id, account in facts.accounts.items():
                if accounts is None or self_id in accounts:
                    wrong = None if account.online else _Wrong(account.since, account.reason)
                    yield (_OFFLINE, str(self_id), 0), wrong
        if Rule.AWAY in on:
            for name, bot in facts.bots.items():
                if bots is None or name in bots:
                    wrong = None if bot.connected else _Wrong(bot.since, bot.reason)
                    yield (_AWAY, name, 0), wrong
        if Rule.BACKLOG in on:
            for one in facts.backlogs:
                if (bots is not None and one.bot not in bots) or (
                    accounts is not None and one.account not in accounts
                ):
                    continue
                key = (_BACKLOG, one.bot, one.account)
                # An alarm is over when half of it is gone, or what is about as much as allowed would flap.
                state = self._lasting.get(key)
                alarmed = state is not None and state.alarm is not None
                most = settings.backlog // 2 if alarmed else settings.backlog
                values = {"account": one.account, "backlog": one.events, "oldest": one.oldest}
                yield key, _Wrong(wall, "", values) if one.events > most else None
        if Rule.JOURNAL in on:
            yield (_JOURNAL, "", 0), _Wrong(wall, facts.journal) if facts.journal else None

    def _is_wrong(self, key: _RuleKey, wrong: _Wrong, found: list[Alert]) -> None:
        state = self._lasting.get(key)
        if state is None:
            state = self._lasting[key] = _Lasting(self._now, wrong.since)
        state.right = None
        if state.alarm is not None or self._now - state.begun < self._settings.after:
            return
        rule, subject, _account = key
        values = {**wrong.values}
        state.alarm = Alert(Rule(rule), subject, True, state.since, wrong.reason, values)
        self._times.setdefault(key, deque(maxlen=20)).append(self._now)
        found.append(state.alarm)

    def _is_right(self, key: _RuleKey, wall: float, found: list[Alert]) -> None:
        state = self._lasting[key]
        alarm = state.alarm
        if alarm is None:
            del self._lasting[key]
            return
        if state.right is None:
            state.right, state.right_since = self._now, wall
        times = self._times.get(key, deque())
        while times and self._now - times[0] > _HOUR:
            times.popleft()
        settle = min(self._settle * 2.0 ** max(0, len(times) - 1), max(self._settle, _LONGEST_SETTLE))
        if self._now - state.right < settle:
            return
        del self._lasting[key]
        lasted = max(0.0, state.right_since - alarm.since)
        values = {**alarm.values, "lasted": int(lasted)}
        found.append(Alert(alarm.rule, alarm.subject, False, state.right_since, "", values))

    # -- what happens

    def _look_at_losses(
        self, lost: dict[tuple[str, str], int], wall: float, found: list[Alert], *, first: bool
    ) -> None:
        for removed in [key for key in self._lost if key not in lost]:  # with its bot
            del self._lost[removed]
        for (cause, bot), count in lost.items():
            if bot and self._bots is not None and bot not in self._bots:
                continue
            state = self._lost.get((cause, bot))
            if state is None:
                # What was not there before began at 0, unless nothing was known before.
                begin = count if first else 0
                state = self._lost[(cause, bot)] = _Counted(begin, begin)
            if count < state.seen:  # of a bot that is another one now
                state.reported, state.seen = min(state.reported, count), count
                if state.alarm is None:
                    state.reported = count
            elif count > state.seen:
                state.seen, state.last = count, self._now
                state.since = state.since or wall
            values: dict[str, Any] = {"cause": cause, "events": max(0, state.seen - state.reported)}
            if state.alarm is None and state.seen > state.reported:
                state.alarm = Alert(Rule.LOST, bot, True, state.since, "", values)
                found.append(state.alarm)
            elif state.alarm is not None and self._now - state.last >= _QUIET_AFTER:
                values["lasted"] = int(max(0.0, wall - state.alarm.since))
                found.append(Alert(Rule.LOST, bot, False, wall, "", values))
                state.alarm, state.reported, state.since = None, state.seen, 0.0

    def _look_at_tokens(self, counts: dict[str, int], wall: float, found: list[Alert]) -> None:
        before, self._token_counts = self._token_counts, dict(counts)
        guessing: dict[str, int] = {}
        for address, count in counts.items() if before is not None else ():
            more = count - before.get(address, 0) if before is not None else 0
            if more > 0 and (address in self._tokens or len(self._tokens) < _MOST_WATCHED):
                self._tokens.setdefault(address, deque(maxlen=100)).append((self._now, more))
        for address in list(self._tokens):
            times = self._tokens[address]
            while times and self._now - times[0][0] > _GUESS_PERIOD:
                times.popleft()
            wrong = sum(number for _time, number in times)
            if not times:
                del self._tokens[address]
            elif wrong >= _GUESSES:
                guessing[address] = wrong
        state = self._guessed
        if guessing:
            state.last = self._now
            state.since = state.since or wall
        if guessing and state.alarm is None:
            most = sorted(guessing, key=lambda address: -guessing[address])[:_MOST_NAMED]
            values = {"addresses": most, "more": len(guessing) - len(most), "wrong": sum(guessing.values())}
            state.alarm = Alert(Rule.TOKENS, "", True, state.since, "", values)
            found.append(state.alarm)
        elif state.alarm is not None and self._now - state.last >= _QUIET_AFTER:
            values = {**state.alarm.values, "lasted": int(max(0.0, wall - state.alarm.since))}
            found.append(Alert(Rule.TOKENS, "", False, wall, "", values))
            state.alarm, state.since = None, 0.0
        elif state.alarm is None and not guessing:
            state.since = 0.0
