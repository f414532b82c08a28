"""One bot: its permissions, its actions under way, and what lgtwist does itself for its actions."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, Protocol

import msgspec
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from lgtwist.config.limits import Limits
from lgtwist.delivery.delivery import Delivery
from lgtwist.hub.account import Account
from lgtwist.hub.calls import Call, InternalCall
from lgtwist.hub.interfaces import UNTIL_ANSWERED, IAccountLink, IBotSession
from lgtwist.hub.permissions import ActionPermissions, Decision, EventPermissions, Rate
from lgtwist.hub.quick_operations import (
    HANDLE_QUICK_OPERATION,
    STEP_ACTIONS,
    QuickOperation,
    read_operation,
    read_quick_operation,
)
from lgtwist.hub.rate_limit import RateLimiters
from lgtwist.hub.settings import BotSettings
from lgtwist.hub.snapshots import EndedSession, OpenSession
from lgtwist.onebot import responses
from lgtwist.onebot.action import MAX_ACTION_LENGTH, ActionRequest, split_suffix
from lgtwist.onebot.errors import (
    Forbidden,
    LinkBroken,
    NotConnected,
    OneBotError,
    TooManyCalls,
    UnknownAction,
)
from lgtwist.onebot.event import Event, set_self_id
from lgtwist.onebot.message import (
    MESSAGE_ACTIONS,
    SEND_ACTIONS,
    MessageFormat,
    convert_params,
    convert_response,
)
from lgtwist.onebot.rawjson import DECODE_ERRORS, check_object, repair
from lgtwist.onebot.responses import with_echo
from lgtwist.runtime.budget import Budget
from lgtwist.runtime.logs import FlapLog, Logger, LogThrottles, printable

#: Sends a response, with its ``echo``; its second argument tells whether it is the action's last one.
Reply = Callable[[bytes, bool], None]
#: Resets the connection that asked, in place of a response with its ``echo``; its second argument tells
#: whether the first half of the response is sent before.
BreakOff = Callable[[bytes, bool], None]

#: Bound once: Python 3.11 looks up a member of an enumeration five times more slowly than a global.
_AS_IS = MessageFormat.AS_IS
#: Different refused actions of one bot that are logged per minute.
_LOGGED_REFUSALS = 100
#: Bytes that a call takes besides its parameters, approximately: its name and the JSON around it.
_CALL_OVERHEAD = 300
#: An ``echo`` or a response up to so many bytes costs too little to be counted: ``calls`` bounds how many.
_UNCOUNTED = 1024
#: Of a response that is given instead of a larger one.
_BUDGET_SENTENCE = "too much is held for this bot already (peer_memory)"


@define
class BotCounters:
    """What happened to one bot, since the start."""

    actions: int = 0
    refused: int = 0  # 1429
    forbidden: int = 0  # 1403
    bad_requests: int = 0  # 1400 of ours
    deliveries: int = 0  # events delivered to its connections
    dropped_events: int = 0
    read_too_slowly: int = 0  # of the dropped ones: those that it could have had, had it read faster
    posts_failed: int = 0  # HTTP POSTs that were not answered with 2xx
    connections: int = 0  # open now
    http_requests: int = 0  # to its HTTP API
    detached_failures: int = 0  # calls that were answered "async" and failed afterwards


@define(eq=False)
class Quota:
    """What one bot has under way to one account, as far as limits apply to it.

    :ivar account: the account.
    :ivar budget: the bot's, which :attr:`unsent_bytes` are counted in.
    :ivar calls: its calls in flight.
    :ivar unsent: its calls that the account's link had not sent at the last check: the link, its
        flow-control token and the size in bytes.
    :ivar unsent_bytes: the sum of those sizes.
    """

    account: Account
    budget: Budget
    calls: int = 0
    unsent: deque[tuple[IAccountLink, Any, int]] = field(factory=deque)
    unsent_bytes: int = 0

    def discard_sent(self, everything: bool = False) -> None:
        """Remove the calls that the link has sent from :attr:`unsent`.

        :param everything: whether to look at all of them; if not, only up to the first that is unsent.
        """
        account, unsent, before = self.account, self.unsent, self.unsent_bytes
        while unsent and account.has_sent(*unsent[0][:2]):
            self.unsent_bytes -= unsent.popleft()[2]
        if everything:
            self.unsent = deque(one for one in unsent if not account.has_sent(*one[:2]))
            self.unsent_bytes = sum(size for _link, _token, size in self.unsent)
        self.budget.release(before - self.unsent_bytes)

    def add_unsent(self, link: IAccountLink, token: Any, size: int) -> None:
        """Add a call that the link has not sent yet.

        :param token: what ``link.send`` returned.
        :param size: bytes.
        """
        self.unsent.append((link, token, size))
        self.unsent_bytes += size
        self.budget.charge(size)


class PendingAction(msgspec.Struct, eq=False):
    """One action of a bot that waits for its response; when it is sent it serves as a :class:`Call`.

    :ivar echo: the bot's own, as it stood in the action; None for none.
    :ivar reply: sends a response on the connection that asked.
    :ivar in_flight: the connection's set of pending actions; this one is removed when it ends.
    :ivar size: bytes that are counted in the bot's budget until it ends.
    :ivar work: fires with the response, where lgtwist carries the action out in several calls.
    :ivar ended: whether the last response was sent, or it was cancelled.
    """

    action: str
    bot: Bot
    account: Account
    echo: bytes | None
    reply: Reply
    in_flight: set[PendingAction]
    quota: Quota
    call_id: int = 0
    deadline: float = 0.0
    link: IAccountLink | None = None
    flow_token: Any = None
    work: Deferred[bytes] | None = None
    ended: bool = False
    size: int = 0

    def receive(self, response: bytes, last: bool) -> None:
        """Send a response to the bot, with the bot's own ``echo``."""
        if self.ended:
            return
        if last:
            self._end()
        bot = self.bot
        if bot.budget.exceeded and len(response) > _UNCOUNTED:
            response = bot.refused_response()
            if not last:
                last = True
                self.account.abandon(self)
                self._end()
        wanted = bot.message_format
        if wanted is not _AS_IS and self.action in MESSAGE_ACTIONS:
            response = convert_response(response, wanted)
        self.reply(with_echo(response, self.echo), last)

    def cancel(self) -> None:
        """End it without a response, because the connection that asked is closed."""
        if self.ended:
            return
        work = self.work
        self._end()
        self.account.abandon(self)
        if work is not None:
            work.cancel()

    def fail(self, reason: str) -> None:
        """End it as 1502, because the bot may not wait for its response any more.

        :param reason: why, for the response.
        """
        if self.ended:
            return
        work = self.work
        self.account.abandon(self)
        self.receive(responses.from_error(LinkBroken(f"{reason}; it may have been carried out")), True)
        if work is not None:
            work.cancel()

    def break_off(self, response: bytes, cut: bool) -> None:
        """End it with a reset of the connection that asked, in place of a response.

        Where no connection asked, the response is sent.

        :param cut: whether the first half of the response is sent before the reset.
        """
        if self.ended:
            return
        if self.bot.break_off(self.in_flight, with_echo(response, self.echo), cut):
            if not self.ended:  # else the end of the connection has cancelled it
                self._end()
        else:
            self.receive(response, True)

    def charge(self, size: int) -> None:
        """Count ``size`` bytes more in the bot's budget until the action ends."""
        if not self.ended:
            self.size += size
            self.bot.budget.charge(size)

    @property
    def caller(self) -> str:
        """The bot's name."""
        return self.bot.name

    def _end(self) -> None:
        self.ended = True
        self.work = None
        self.in_flight.discard(self)
        self.quota.calls -= 1
        if self.size:
            self.bot.budget.release(self.size)


class ActionWatch(Protocol):
    """Sees the actions of bots and their responses, refused ones too. Its methods never raise."""

    def perform(
        self,
        bot: Bot,
        account: Account,
        request: ActionRequest,
        reply: Reply,
        read_params: Callable[[], bytes] | None,
        /,
    ) -> tuple[Reply, Callable[[], bytes] | None]:
        """See an action that a bot performs; the arguments are those of :meth:`Bot.perform`.

        :returns: what is used in place of ``reply`` and ``read_params``: the same, or functions that call
            them.
        """

    def call(
        self, bot: Bot, account: Account, action: str, params: bytes, received: Deferred[bytes], /
    ) -> None:
        """See an action that lgtwist makes for a bot: a step of a quick operation, or what ``_async`` runs.

        :param received: fires with the response without ``echo``; its result must stay the same.
        """


class Bot:
    """One bot of the configuration; it may have any number of connections.

    :param settings: the keys of its ``[[bots]]`` that all kinds share.
    :param limits: ``calls`` and ``send_buffer`` bound what it has under way to one account.
    :ivar limits: may be replaced as a whole.
    :ivar budget: what is held in memory because of it.
    :ivar passes: tells whether an event is delivered to it; None if all are.
    :ivar sessions: its open connections, the oldest first.
    :ivar last_ended: its connection that ended last, and why; None before the first.
    :ivar name: its name in the configuration.
    :ivar counters: of its events and actions, for the metrics.
    :ivar deliveries: its at-least-once deliveries, by the account's number.
    :ivar sent_ids: for each account's number, the ids of the messages that it sent; a directory sets it.
    :ivar watch: sees its actions; None if nobody looks.
    """

    _log = Logger()
    _flap_lines = Logger(throttled=False)  # a FlapLog throttles them

    def __init__(self, settings: BotSettings, limits: Limits | None = None) -> None:
        self.name = settings.name
        self.counters = BotCounters()
        self.deliveries: dict[int, Delivery] = {}
        self.watch: ActionWatch | None = None
        self.sent_ids: Mapping[int, Container[str]] = {}
        self.sessions: dict[IBotSession, None] = {}
        # Of requests under way, by the sets' identity: the set, and what resets the connection.
        self._http_calls: dict[int, tuple[set[PendingAction], BreakOff]] = {}
        self.last_ended: EndedSession | None = None
        self.limits = Limits() if limits is None else limits
        self.budget = Budget(self.limits.peer_memory)
        self._quotas: dict[int, Quota] = {}
        self._rate_limiters: RateLimiters | None = None
        self._refusal_log: LogThrottles | None = None
        self._session_log: FlapLog | None = None
        self.configure(settings)

    def configure(self, settings: BotSettings) -> None:
        """Replace the settings, from the next event and action on; the name must be the same."""
        self.settings = settings
        self.access_token = settings.access_token
        self.message_format = settings.message_format
        actions, events = settings.actions, settings.events
        self._permissions = ActionPermissions(actions.allow, actions.deny)
        self._rate = None if actions.rate is None else Rate(*actions.rate)
        self._unrestricted = self._rate is None and self._permissions.unrestricted
        permitted = EventPermissions(
            _frozenset_or_none(events.post_type),
            _frozenset_or_none(events.group_id),
            _frozenset_or_none(events.user_id),
            events.conditions,
            settings.filter,
            self._sent_ids_of,
        )
        self.passes = permitted.passes if permitted else None
        self._event_permissions = permitted
        self._accounts = None if settings.accounts is None else frozenset(settings.accounts)

    def _sent_ids_of(self, self_id: int | None) -> Container[str]:
        """Return the ids of the messages that an account sent, as far as lgtwist has seen."""
        found = self.sent_ids.get(self_id or 0)
        return () if found is None else found

    @property
    def wants_sent_ids(self) -> bool:
        """Whether which events it gets depends on which messages the accounts sent."""
        any_of = self.settings.events.conditions.any_of
        return any_of is not None and any_of.reply_to_me

    def may_use(self, self_id: int) -> bool:
        """Return whether the configuration lets the bot use an account."""
        return self._accounts is None or self_id in self._accounts

    def note_not_judged(self, self_id: int, events: int) -> None:
        """Count live events that were dropped because judging others by the filter takes too long; log it."""
        self.counters.dropped_events += events
        self._log.warn(
            "{bot}: judging events of account {account} by its filter takes too long; the oldest are dropped",
            bot=self.name,
            account=self_id,
        )

    def should_log_session(self, clock: IReactorTime, reason: str) -> bool:
        """Count that one of its connections was opened or closed; return whether to log it.

        :param reason: why it was closed; logged in any case if it is a new one.
        """
        if self._session_log is None:
            self._session_log = FlapLog(clock, self._log_left_out)
        return self._session_log.should_log(reason)

    def _log_left_out(self, times: int) -> None:
        self._flap_lines.info(
            "{bot}: connected or disconnected {times} more times; connections now: {connections}",
            bot=self.name,
            times=times,
            connections=self.counters.connections,
        )

    def stop(self) -> None:
        """Log how many lines about its connections were left out. Call this when they are closed."""
        if self._session_log is not None:
            self._session_log.stop()

    def set_rate_limiters(self, limiters: RateLimiters) -> None:
        """Set the rate limiters of ``_rate_limited`` actions, which all bots share."""
        self._rate_limiters = limiters

    def end_sessions(
        self, code: int, reason: str, account: Account | None = None, *, dialled_too: bool = True
    ) -> None:
        """Close its connections; calls under way on them and by HTTP end as 1502.

        :param code: a close code (RFC 6455, 7.4).
        :param account: only those to this account; None for all.
        :param dialled_too: False for those only that the bot opened.
        """
        for in_flight, _break_off in tuple(self._http_calls.values()):
            for pending in tuple(in_flight):
                if account is None or pending.account is account:
                    pending.fail(reason)
        for session in tuple(self.sessions):
            if (account is None or session.account is account) and (dialled_too or not session.dialled):
                session.end(code, reason)

    def break_off(self, in_flight: set[PendingAction], response: bytes, cut: bool) -> bool:
        """Reset one of its connections in place of a response. Never raises.

        :param in_flight: the connection's set of pending actions.
        :param response: one JSON object, with ``echo``.
        :param cut: whether the first half of the response is sent before.
        :returns: whether there is such a connection.
        """
        request = self._http_calls.get(id(in_flight))
        if request is not None:
            request[1](response, cut)
            return True
        return any(session.break_off(in_flight, response, cut) for session in tuple(self.sessions))

    def add_http_calls(
        self, in_flight: set[PendingAction], break_off: BreakOff = lambda _response, _cut: None
    ) -> Callable[[], None]:
        """Let :meth:`end_sessions` end the calls of an HTTP request too, and :meth:`break_off` reset it.

        :param break_off: resets the request's connection in place of a response.
        :returns: a function; call it when the request is over.
        """
        self._http_calls[id(in_flight)] = in_flight, break_off
        self.counters.http_requests += 1

        def forget() -> None:
            self._http_calls.pop(id(in_flight), None)

        return forget

    def open_sessions(self) -> list[OpenSession]:
        """Return its open connections, the oldest first."""
        snapshots = [session.snapshot() for session in self.sessions]
        return sorted((one for one in snapshots if one is not None), key=lambda one: one.since)

    # -- actions

    def perform(
        self,
        account: Account,
        request: ActionRequest,
        reply: Reply,
        in_flight: set[PendingAction],
        read_params: Callable[[], bytes] | None = None,
    ) -> None:
        """Carry out an action of the bot.

        :param reply: called with the response, once (several times for actions that stream), also if the
            action is refused; not after its pending action was cancelled.
        :param in_flight: the pending actions of the connection that asks; they are added and removed here.
            When the connection is closed, it cancels those that are left.
        :param read_params: returns the parameters, if they are not read yet; called if the bot may use the
            action now. What it raises, but for :class:`OneBotError`, is raised.
        """
        self.counters.actions += 1
        watch = self.watch
        if watch is not None:
            reply, read_params = watch.perform(self, account, request, reply, read_params)
        quota = self._quotas.get(account.self_id) or self.quota(account)
        action, suffix = request.action, ""
        if action[-1:] in "cd":  # of "_async" and "_rate_limited"
            action, suffix = split_suffix(action)
        try:
            if len(action) > MAX_ACTION_LENGTH:
                raise UnknownAction("no action has so long a name")
            if quota.calls >= self.limits.calls:
                self.counters.refused += 1
                raise TooManyCalls(f"{quota.calls} calls of this bot are in flight for this account")
            if self.budget.exceeded:
                self._make_room()
            if not self._unrestricted:
                if action == HANDLE_QUICK_OPERATION:  # each of its steps is checked later
                    self._check_any_step(account)
                else:
                    self._check_permission(account, action)
            if read_params is not None:
                request = ActionRequest(request.action, read_params(), request.echo)
            if suffix or action == HANDLE_QUICK_OPERATION:
                self._perform_locally(account, action, suffix, request, reply, in_flight)
                return
            pending = self._make_pending(account, action, request.echo, reply, in_flight, quota)
            try:
                self._call(account, pending, request.params, quota)
            except OneBotError as error:
                pending.receive(responses.from_error(error), True)
        except OneBotError as error:
            reply(with_echo(responses.from_error(error), request.echo), True)

    def _make_pending(
        self,
        account: Account,
        action: str,
        echo: bytes | None,
        reply: Reply,
        in_flight: set[PendingAction],
        quota: Quota,
    ) -> PendingAction:
        pending = PendingAction(action, self, account, echo, reply, in_flight, quota)
        quota.calls += 1
        if echo is not None and len(echo) > _UNCOUNTED:
            pending.charge(len(echo))
        in_flight.add(pending)
        return pending

    def _check_permission(self, account: Account, action: str) -> None:
        """Check whether the bot may use an action, and is within its rate.

        :raises Forbidden: if it may not use the action.
        :raises TooManyCalls: if it is over its rate.
        """
        if not self._permissions.allows(action):
            self.counters.forbidden += 1
            if self._refusal_log is None:
                self._refusal_log = LogThrottles(account.clock, _LOGGED_REFUSALS)
            if self._refusal_log.should_log(action):
                self._log.warn(
                    "{bot}: may not use {action}; refused with 1403", bot=self.name, action=printable(action)
                )
            raise Forbidden(f'bot "{self.name}" may not use {printable(action)}')
        if self._rate is not None and not self._rate.acquire(account.clock.seconds()):
            self.counters.refused += 1
            raise TooManyCalls(f'bot "{self.name}" is over its rate')

    def _check_any_step(self, account: Account) -> None:
        """Check whether any step of a quick operation may be carried out now, before it is read.

        :raises Forbidden: if the bot may use none of their actions.
        :raises TooManyCalls: if it has reached its rate; nothing is counted if not.
        """
        if not any(map(self._permissions.allows, STEP_ACTIONS)):
            self._check_permission(account, HANDLE_QUICK_OPERATION)
        if self._rate is not None and not self._rate.has_room(account.clock.seconds()):
            self.counters.refused += 1
            raise TooManyCalls(f'bot "{self.name}" is over its rate')

    def explain(self, account: Account, action: str) -> Decision:
        """Return whether the bot may use an action now, and by which rule; nothing is sent or counted.

        The rules are asked in the order of :meth:`perform`. The codes are those of
        :meth:`ActionPermissions.explain`, and ``account_not_its``, ``name_too_long``, ``too_many_calls``,
        ``over_rate`` and ``not_connected``. Of a quick operation its ``actions`` are those of its
        steps that the bot may use.

        :param action: its name, with or without a suffix.
        """
        if not self.may_use(account.self_id):
            return Decision(False, "account_not_its")
        name, suffix = split_suffix(action)
        if len(name) > MAX_ACTION_LENGTH:
            return Decision(False, "name_too_long", {"most": MAX_ACTION_LENGTH})
        quota = self._quotas.get(account.self_id)
        calls = 0 if quota is None else quota.calls
        if calls >= self.limits.calls:
            return Decision(False, "too_many_calls", {"calls": calls})
        decision = self.explain_permission(name)
        if not decision.allowed:
            return decision
        rate = self._rate
        if rate is not None and not rate.has_room(account.clock.seconds()):
            return Decision(False, "over_rate", {"most": rate.most, "seconds": rate.seconds})
        if not account.accepts_actions and (suffix or not account.answers_itself(name)):
            return Decision(False, "not_connected")
        return decision

    def explain_permission(self, action: str) -> Decision:
        """Return whether the configuration lets the bot use an action on the accounts that it may use.

        The codes are those of :meth:`ActionPermissions.explain`; of a quick operation the ``actions`` are
        those of its steps that the bot may use.

        :param action: its name, without a suffix.
        """
        if action == HANDLE_QUICK_OPERATION and not self._permissions.unrestricted:
            steps = [step for step in STEP_ACTIONS if self._permissions.allows(step)]
            return Decision(bool(steps), "quick_operation", {"actions": steps})
        return self._permissions.explain(action)

    def explain_event(self, account: Account, event: Event) -> Decision:
        """Return whether the bot gets an event of an account, and by which rule.

        The codes are those of :meth:`EventPermissions.explain`, and ``account_not_its``.
        """
        if not self.may_use(account.self_id):
            return Decision(False, "account_not_its")
        if not event.self_id:
            set_self_id(event, account.self_id)
        return self._event_permissions.explain(event)

    @property
    def rate(self) -> Rate | None:
        """How often it may act; None for any number of times."""
        return self._rate

    def quota(self, account: Account) -> Quota:
        """Return the :class:`Quota` of this bot for an account."""
        found = self._quotas.get(account.self_id)
        if found is None:
            found = self._quotas[account.self_id] = Quota(account, self.budget)
        return found

    def account_removed(self, account: Account) -> None:
        """Forget what is under way to an account that is removed; another of its number begins anew."""
        quota = self._quotas.pop(account.self_id, None)
        if quota is not None:
            quota.unsent.clear()
            quota.budget.release(quota.unsent_bytes)
            quota.unsent_bytes = 0

    def _call(self, account: Account, call: Call, params: bytes, quota: Quota) -> None:
        """Send an action to the account, its messages in the format that the account's implementation takes.

        :param params: one JSON object.
        :raises TooManyCalls: if too many bytes of earlier actions of this bot are not sent yet.
        :raises NotConnected: if the account is not connected.
        """
        if account.outgoing_format is not _AS_IS and call.action in SEND_ACTIONS:
            params = convert_params(params, account.outgoing_format)
        if quota.unsent:
            self._check_unsent(account, _CALL_OVERHEAD + len(params), quota)
        account.call(call, params)
        token = call.flow_token
        if token is None or call.link is None:
            return
        if token is not UNTIL_ANSWERED:
            quota.add_unsent(call.link, token, _CALL_OVERHEAD + len(params))
        elif isinstance(call, PendingAction):  # else they are counted already
            call.charge(len(params))

    def _make_room(self) -> None:
        """Let go what is counted in the budget and was sent meanwhile.

        :raises TooManyCalls: if the budget is used up all the same.
        """
        for quota in self._quotas.values():
            quota.discard_sent(everything=True)
        if self.budget.exceeded:
            self.counters.refused += 1
            raise TooManyCalls(_BUDGET_SENTENCE)

    def refused_response(self) -> bytes:
        """Return what a call is answered with because there is no room for its response; count it."""
        self.counters.refused += 1
        error = TooManyCalls(f"its response is dropped: {_BUDGET_SENTENCE}; it may have been carried out")
        return responses.from_error(error)

    def _check_unsent(self, account: Account, size: int, quota: Quota) -> None:
        quota.discard_sent()
        if quota.unsent and quota.unsent_bytes + size > self.limits.send_buffer:
            quota.discard_sent(everything=True)
        if quota.unsent and quota.unsent_bytes + size > self.limits.send_buffer:
            self.counters.refused += 1
            raise TooManyCalls(
                f"the account has not taken {quota.unsent_bytes} bytes of this bot's calls yet"
            )

    def _call_and_wait(self, account: Account, action: str, params: bytes) -> Deferred[bytes]:
        """Send an action to the account and wait for its response.

        :returns: fires with the response without ``echo``, a failed one if the action was not sent.
            Cancelling it abandons the call; it does not fail otherwise.
        """

        def receive(response: bytes, last: bool) -> None:
            if last and not received.called:
                received.callback(response)

        call = InternalCall(action, receive, caller=self.name)
        received: Deferred[bytes] = Deferred(lambda _cancelled: account.abandon(call))
        if self.watch is not None:
            self.watch.call(self, account, action, params, received)
        try:
            self._call(account, call, params, self.quota(account))
        except OneBotError as error:
            received.callback(responses.from_error(error))
        return received

    def _perform_step(self, account: Account, action: str, params: bytes) -> Deferred[bytes]:
        """Carry out one step of a quick operation, with the permissions of its action."""
        try:
            self._check_permission(account, action)
        except OneBotError as error:
            refused = succeed(responses.from_error(error))
            if self.watch is not None:
                self.watch.call(self, account, action, params, refused)
            return refused
        return self._call_and_wait(account, action, params)

    # -- what lgtwist does itself, the same for every kind of account

    def _step_runner(self, account: Account, operation: QuickOperation) -> Callable[[], Deferred[bytes]]:
        """Return a function that carries out a quick operation; its Deferred fires with one response."""
        return lambda: Deferred.fromCoroutine(
            operation.run(lambda action, params: self._perform_step(account, action, params))
        )

    def _perform_locally(
        self,
        account: Account,
        action: str,
        suffix: str,
        request: ActionRequest,
        reply: Reply,
        in_flight: set[PendingAction],
    ) -> None:
        """Carry out a quick operation, or an action with the suffix ``_async`` or ``_rate_limited``.

        :raises OneBotError: if it is refused.
        """
        if not account.accepts_actions:
            account.counters.not_connected += 1
            raise NotConnected(f"account {account.self_id} is not connected; nothing was sent")
        if action == HANDLE_QUICK_OPERATION:
            run = self._step_runner(account, read_quick_operation(request.params))
        else:

            def run() -> Deferred[bytes]:
                return self._call_and_wait(account, action, request.params)

        size = len(request.params)

        def run_detached() -> None:
            self._run_detached(account, action, run, size)

        if suffix == "_rate_limited":
            assert self._rate_limiters is not None
            self._rate_limiters.get(account).put(self.name, run_detached, size, self.budget)
        elif not suffix:
            pending = self._make_pending(account, action, request.echo, reply, in_flight, self.quota(account))
            pending.charge(size)
            self._run_attached(pending, run)
            return
        reply(with_echo(responses.ACCEPTED, request.echo), True)
        if suffix == "_async":
            run_detached()

    def _run_attached(self, pending: PendingAction, run: Callable[[], Deferred[bytes]]) -> None:
        """Carry out an action in several calls, and reply when it has ended."""

        def failed(failure: Failure) -> None:
            if not failure.check(CancelledError):
                self._log.failure("{bot}: a quick operation failed", failure, bot=self.name)
                pending.receive(responses.failed(1500, "lgtwist failed; its log says why"), True)

        pending.work = run()
        pending.work.addCallbacks(lambda response: pending.receive(response, True), failed)

    def _run_detached(
        self, account: Account, action: str, run: Callable[[], Deferred[bytes]], size: int
    ) -> None:
        """Carry out an action that was already answered "async". It goes on when its connection is closed.

        :param size: bytes of its parameters.
        """
        quota = self.quota(account)
        quota.calls += 1
        size += _CALL_OVERHEAD
        self.budget.charge(size)

        def ended(response: bytes) -> None:
            outcome = responses.read_response_head(response)
            if outcome.status == "failed":
                self._log_detached_failure(account, action, outcome.retcode, outcome.reason)

        def count_and_log(result: object) -> None:
            quota.calls -= 1
            self.budget.release(size)
            if isinstance(result, Failure):
                self._log.failure("{bot}: {action} failed", result, bot=self.name, action=printable(action))

        run().addCallback(ended).addBoth(count_and_log)

    def perform_quick_operation(self, account: Account, event: bytes, answer: bytes) -> None:
        """Carry out the quick operation in the answer to a post (OneBot 11, ``event/README.md``).

        A failure is logged and counted; the event counts as delivered all the same.

        :param event: the event that was posted.
        :param answer: the body of the answer; ignored if it is no JSON object.
        """
        try:
            answer.decode()  # msgspec does not check what it skips
            answer = repair(answer).strip()
            check_object(answer)
        except DECODE_ERRORS:
            return
        quota = self.quota(account)
        try:
            operation = read_operation(event, answer)
            if not operation.steps:
                if operation.refusal is not None:
                    raise operation.refusal
                return
            if quota.calls >= self.limits.calls:
                raise TooManyCalls(f"{quota.calls} calls of this bot are in flight for this account")
            if self.budget.exceeded:
                self._make_room()
            if not account.accepts_actions:
                raise NotConnected(f"account {account.self_id} is not connected")
        except OneBotError as error:
            self._log_detached_failure(account, HANDLE_QUICK_OPERATION, error.retcode, error.sentence)
            return
        size = len(event) + len(answer)
        self._run_detached(account, HANDLE_QUICK_OPERATION, self._step_runner(account, operation), size)

    def _log_detached_failure(self, account: Account, action: str, retcode: int, reason: str) -> None:
        self.counters.detached_failures += 1
        account.counters.detached_failures += 1
        self._log.warn(
            "{bot}: {action} failed after it was accepted: {retcode} {reason}",
            bot=self.name,
            action=printable(action),
            retcode=retcode,
            reason=printable(reason),
        )


def _frozenset_or_none(values: Iterable[Any] | None) -> frozenset[Any] | None:
    return None if values is None else frozenset(values)
