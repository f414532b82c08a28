"""One bot: what it may do, and its actions under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lgtwist.config.limits import Limits
from lgtwist.delivery.delivery import Delivery
from lgtwist.hub.account import Account
from lgtwist.hub.calls import Call, InternalCall
from lgtwist.hub.interfaces import IAccountLink, IBotSession
from lgtwist.hub.permissions import ActionPermissions, EventPermissions, Rate
from lgtwist.hub.quick_operations import HANDLE_QUICK_OPERATION, QuickOperation, quick_operation
from lgtwist.hub.rate_limit import RateLimiters
from lgtwist.hub.settings import BotSettings
from lgtwist.onebot import responses
from lgtwist.onebot.action import MAX_ACTION_LENGTH, ActionRequest, split_suffix
from lgtwist.onebot.errors import Forbidden, NotConnected, OneBotError, TooManyCalls, UnknownAction
from lgtwist.onebot.message import MESSAGE_ACTIONS, MessageFormat, convert_response
from lgtwist.onebot.rawjson import DECODE_ERRORS
from lgtwist.onebot.responses import with_echo
from lgtwist.runtime.logs import FlapLog, LogThrottles, printable

#: Takes a whole response, with its ``echo``, and whether it is the last one of its action.
Reply = Callable[[bytes, bool], None]


#: A name of this module: Python 3.11 finds an enumeration's member five times more slowly.
_AS_IS = MessageFormat.AS_IS
#: How many refused actions of one bot are logged per minute.
_LOGGED_REFUSALS = 100
#: Bytes that a call takes beside its parameters, about: its name and our envelope.
_CALL_OVERHEAD = 300


@define
class BotCounters:
    """What happened to one bot, since the start."""

    actions: int = 0
    refused: int = 0  # 1429
    forbidden: int = 0  # 1403
    bad_requests: int = 0  # 1400 of ours
    deliveries: int = 0  # events handed to its connections
    dropped_events: int = 0
    posts_failed: int = 0  # HTTP POSTs that were not answered with 2xx
    connections: int = 0  # now
    detached_failures: int = 0  # calls that were answered "async" and failed afterwards


@define(eq=False)
class Quota:
    """What one bot has under way to one account.

    :ivar calls: its calls in flight.
    :ivar unsent: its calls that the account's link had not sent at the last check: the link, its
        flow-control token and the size in bytes.
    :ivar unsent_bytes: the sum of those sizes.
    """

    calls: int = 0
    unsent: deque[tuple[IAccountLink, Any, int]] = field(factory=deque)
    unsent_bytes: int = 0

    def discard_sent(self, account: Account, everything: bool = False) -> None:
        """Remove what the link has sent: from the front, or with ``everything`` wherever it stands."""
        unsent = self.unsent
        while unsent and account.has_sent(*unsent[0][:2]):
            self.unsent_bytes -= unsent.popleft()[2]
        if everything:
            self.unsent = deque(one for one in unsent if not account.has_sent(*one[:2]))
            self.unsent_bytes = sum(size for _link, _token, size in self.unsent)


class PendingAction(msgspec.Struct, eq=False):
    """One action of a bot that waits for its response: a :class:`Call`, once it is sent.

    :ivar in_flight: the connection's set of pending actions; it leaves the set when it ends.
    :ivar work: what lgtwist does itself for it, in several calls.
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
    over: bool = False

    def receive(self, response: bytes, last: bool) -> None:
        """Send a response on, with the bot's own ``echo``."""
        if self.over:
            return
        if last:
            self._end()
        wanted = self.bot.message_format
        if wanted is not _AS_IS and self.action in MESSAGE_ACTIONS:
            response = convert_response(response, wanted)
        self.reply(with_echo(response, self.echo), last)

    def cancel(self) -> None:
        """End it without a response: whoever asked is gone."""
        if self.over:
            return
        work = self.work
        self._end()
        self.account.abandon(self)
        if work is not None:
            work.cancel()

    def _end(self) -> None:
        self.over = True
        self.work = None
        self.in_flight.discard(self)
        self.quota.calls -= 1


class Bot:
    """A bot as the configuration names it; it may have any number of connections.

    :param settings: what the configuration says of it.
    :param limits: ``calls`` and ``send_buffer`` bound what it has under way to one account.
    :ivar limits: may be replaced as a whole.
    :ivar passes: whether it gets an event; None if it gets all.
    :ivar sessions: its open connections.
    :ivar deliveries: by account, where it asked for delivery at least once.
    """

    _log = Logger()

    def __init__(self, settings: BotSettings, limits: Limits | None = None) -> None:
        self.name = settings.name
        self.counters = BotCounters()
        self.deliveries: dict[int, Delivery] = {}
        self.sessions: set[IBotSession] = set()
        self.limits = Limits() if limits is None else limits
        self._quotas: dict[int, Quota] = {}
        self._rate_limiters: RateLimiters | None = None
        self._refusal_log: LogThrottles | None = None
        self._session_log: FlapLog | None = None
        self.configure(settings)

    def configure(self, settings: BotSettings) -> None:
        """Take other settings, from the next event and action on. The name stays."""
        self.settings = settings
        self.access_token = settings.access_token
        self.message_format = settings.message_format
        actions, events = settings.actions, settings.events
        self._permissions = ActionPermissions(actions.allow, actions.deny)
        self._rate = None if actions.rate is None else Rate(*actions.rate)
        self._may_do_all = self._rate is None and self._permissions.unrestricted
        lists = (events.post_type, events.group_id, events.user_id)
        permitted = EventPermissions(*(_frozen(values) for values in lists))
        self.passes = permitted.passes if permitted else None
        self._accounts = None if settings.accounts is None else frozenset(settings.accounts)

    def may_use(self, self_id: int) -> bool:
        """Return whether the account is one of this bot's."""
        return self._accounts is None or self_id in self._accounts

    def logs_session(self, clock: IReactorTime, why: str) -> bool:
        """Return whether the coming or going of one of its connections is worth a log line of its own."""
        if self._session_log is None:
            self._session_log = FlapLog(clock, self._log_left_out)
        return self._session_log.should_log(why)

    def _log_left_out(self, times: int) -> None:
        self._log.info(
            "{bot}: connected or disconnected {times} more times; connections now: {connections}",
            bot=self.name,
            times=times,
            connections=self.counters.connections,
        )

    def stop(self) -> None:
        """Log what was left out: all its connections are over."""
        if self._session_log is not None:
            self._session_log.stop()

    def use_rate_limiters(self, limiters: RateLimiters) -> None:
        """Set the queues for ``_rate_limited``, shared by all bots."""
        self._rate_limiters = limiters

    def end_sessions(self, code: int, reason: str, account: Account | None = None) -> None:
        """Close its connections, or those to one account, with a close code (RFC 6455, 7.4)."""
        for session in tuple(self.sessions):
            if account is None or session.account is account:
                session.end(code, reason)

    # -- actions

    def perform(
        self, account: Account, request: ActionRequest, reply: Reply, in_flight: set[PendingAction]
    ) -> None:
        """Do what the bot asks. ``reply`` gets exactly one response, unless the asker is gone before.

        :param in_flight: the pending actions of the connection; at its end it cancels what is in the set.
        """
        self.counters.actions += 1
        quota = self.quota(account)
        action, suffix = request.action, ""
        if action[-1:] in "cd":  # of "_async" and "_rate_limited"
            action, suffix = split_suffix(action)
        try:
            if len(action) > MAX_ACTION_LENGTH:
                raise UnknownAction("no action has so long a name")
            if quota.calls >= self.limits.calls:
                self.counters.refused += 1
                raise TooManyCalls(f"{quota.calls} calls of this bot are in flight for this account")
            if not self._may_do_all and action != HANDLE_QUICK_OPERATION:  # its steps are checked one by one
                self._check_permission(account, action)
            if suffix or action == HANDLE_QUICK_OPERATION:
                self._perform_ourselves(account, action, suffix, request, reply, in_flight)
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
        in_flight.add(pending)
        return pending

    def _check_permission(self, account: Account, action: str) -> None:
        """Check whether the bot may do this, and do it now.

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
        if self._rate is not None and not self._rate.take(account.clock.seconds()):
            self.counters.refused += 1
            raise TooManyCalls(f'bot "{self.name}" is over its rate')

    def quota(self, account: Account) -> Quota:
        """Return what this bot has under way to an account."""
        found = self._quotas.get(account.self_id)
        if found is None:
            found = self._quotas[account.self_id] = Quota()
        return found

    def _call(self, account: Account, call: Call, params: bytes, quota: Quota) -> None:
        """Send an action to the account, if its link has sent most of what this bot asked before.

        :raises TooManyCalls: if it has not.
        :raises NotConnected: if the account is not connected.
        """
        if quota.unsent:
            self._check_unsent(account, _CALL_OVERHEAD + len(params), quota)
        account.call(call, params)
        if call.flow_token is not None and call.link is not None:
            size = _CALL_OVERHEAD + len(params)
            quota.unsent.append((call.link, call.flow_token, size))
            quota.unsent_bytes += size

    def _check_unsent(self, account: Account, size: int, quota: Quota) -> None:
        quota.discard_sent(account)
        if quota.unsent and quota.unsent_bytes + size > self.limits.send_buffer:
            quota.discard_sent(account, everything=True)
        if quota.unsent and quota.unsent_bytes + size > self.limits.send_buffer:
            self.counters.refused += 1
            raise TooManyCalls(
                f"the account has not taken {quota.unsent_bytes} bytes of this bot's calls yet"
            )

    def _response_to(self, account: Account, action: str, params: bytes) -> Deferred[bytes]:
        """Send an action to the account and wait for its response.

        :returns: the response without echo, ours if the action could not be sent. Never fails, except by
            being cancelled, which abandons the call.
        """

        def receive(response: bytes, last: bool) -> None:
            if last and not came.called:
                came.callback(response)

        call = InternalCall(action, receive)
        came: Deferred[bytes] = Deferred(lambda _cancelled: account.abandon(call))
        try:
            self._call(account, call, params, self.quota(account))
        except OneBotError as error:
            came.callback(responses.from_error(error))
        return came

    def _step(self, account: Account, action: str, params: bytes) -> Deferred[bytes]:
        """Do one step of a quick operation, checked as the action that it stands for."""
        try:
            self._check_permission(account, action)
        except OneBotError as error:
            return succeed(responses.from_error(error))
        return self._response_to(account, action, params)

    # -- what lgtwist does itself, once, for every kind of account

    def _steps_of(self, account: Account, operation: QuickOperation) -> Callable[[], Deferred[bytes]]:
        """Return what carries out a quick operation."""
        return lambda: Deferred.fromCoroutine(
            operation.run(lambda action, params: self._step(account, action, params))
        )

    def _perform_ourselves(
        self,
        account: Account,
        action: str,
        suffix: str,
        request: ActionRequest,
        reply: Reply,
        in_flight: set[PendingAction],
    ) -> None:
        """Do a quick operation, or an action with a suffix.

        :raises OneBotError: what the bot gets instead of a response.
        """
        if not account.takes_actions:
            account.counters.not_connected += 1
            raise NotConnected(f"account {account.self_id} is not connected; nothing was sent")
        if action == HANDLE_QUICK_OPERATION:
            run = self._steps_of(account, quick_operation(request.params))
        else:

            def run() -> Deferred[bytes]:
                return self._response_to(account, action, request.params)

        if suffix == "_rate_limited":
            assert self._rate_limiters is not None
            self._rate_limiters.of(account).put(
                self.name, lambda: self._run_detached(account, action, run), len(request.params)
            )
        elif not suffix:
            self._run_attached(
                self._make_pending(account, action, request.echo, reply, in_flight, self.quota(account)), run
            )
            return
        reply(with_echo(responses.ACCEPTED, request.echo), True)
        if suffix == "_async":
            self._run_detached(account, action, run)

    def _run_attached(self, pending: PendingAction, run: Callable[[], Deferred[bytes]]) -> None:
        """Do what a connection waits for."""

        def failed(failure: Failure) -> None:
            if not failure.check(CancelledError):
                self._log.failure("{bot}: a quick operation failed", failure, bot=self.name)
                pending.receive(responses.failed(1500, "lgtwist failed; its log says why"), True)

        pending.work = run()
        pending.work.addCallbacks(lambda response: pending.receive(response, True), failed)

    def _run_detached(self, account: Account, action: str, run: Callable[[], Deferred[bytes]]) -> None:
        """Do what was already answered with "async"; it outlives the connection that asked."""
        quota = self.quota(account)
        quota.calls += 1

        def ended(response: bytes) -> None:
            outcome = responses.read_response_head(response)
            if outcome.status == "failed":
                self._log_detached_failure(account, action, outcome.retcode, outcome.reason)

        def settle(result: object) -> None:
            quota.calls -= 1
            if isinstance(result, Failure):
                self._log.failure("{bot}: {action} failed", result, bot=self.name, action=printable(action))

        run().addCallback(ended).addBoth(settle)

    def perform_answer(self, account: Account, event: bytes, answer: bytes) -> None:
        """Do what a webhook's answer to an event asks for (OneBot 11, ``event/README.md``).

        What goes wrong is logged and counted; the event stays confirmed.

        :param answer: the body; what is no JSON object asks for nothing.
        """
        try:
            answer.decode()  # msgspec does not check what it skips
            msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
        except DECODE_ERRORS:
            return
        quota = self.quota(account)
        try:
            operation = quick_operation(b'{"context":%b,"operation":%b}' % (event, answer))
            if not operation.steps:
                return
            if quota.calls >= self.limits.calls:
                raise TooManyCalls(f"{quota.calls} calls of this bot are in flight for this account")
            if not account.takes_actions:
                raise NotConnected(f"account {account.self_id} is not connected")
        except OneBotError as error:
            self._log_detached_failure(account, HANDLE_QUICK_OPERATION, error.retcode, error.sentence)
            return
        self._run_detached(account, HANDLE_QUICK_OPERATION, self._steps_of(account, operation))

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


def _frozen(values: Iterable[Any] | None) -> frozenset[Any] | None:
    return None if values is None else frozenset(values)
