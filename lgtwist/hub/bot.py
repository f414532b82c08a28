"""One bot: what it may do, and its actions under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Any

import msgspec
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lgtwist.delivery.delivery import Delivery
from lgtwist.hub.account import Account
from lgtwist.hub.calls import Call, Question
from lgtwist.hub.interfaces import IAccountLink
from lgtwist.hub.permissions import ActionRights, EventRights, Rate
from lgtwist.hub.quick_operations import HANDLE_QUICK_OPERATION, quick_operation
from lgtwist.hub.rate_limit import RateLimited
from lgtwist.onebot import action as responses
from lgtwist.onebot.action import LONGEST_ACTION, ActionRequest, split_suffix, with_echo
from lgtwist.onebot.errors import Forbidden, NotConnected, OneBotError, TooManyCalls, UnknownAction
from lgtwist.onebot.message import MESSAGE_ACTIONS, MessageFormat, convert_response
from lgtwist.onebot.rawjson import UNREADABLE
from lgtwist.runtime.logs import FlapLog, LogThrottles, printable

#: Takes a whole response, echo and all, and whether it is the last one of its action.
Reply = Callable[[bytes, bool], None]


#: A name of this module: Python 3.11 finds an enumeration's member five times more slowly.
_AS_IS = MessageFormat.AS_IS
#: So many actions that were refused are named in the log in one minute.
_EPISODES = 100
#: What a call takes beside its parameters: its name and our envelope (bytes, roughly).
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
    unwitnessed: int = 0  # calls that were answered "async" and failed afterwards


@define(eq=False)
class Allowance:
    """What one bot has under way to one account, and may have.

    :ivar calls: its calls in flight.
    :ivar untaken: its calls that the account's link had not taken when looked at last: the link, its mark
        and the size.
    :ivar waiting: what those sizes sum up to, in bytes.
    """

    calls: int = 0
    untaken: deque[tuple[IAccountLink, Any, int]] = field(factory=deque)
    waiting: int = 0

    def look(self, account: Account, everything: bool = False) -> None:
        """Forget what the link has taken: the oldest, or wherever it stands."""
        untaken = self.untaken
        while untaken and account.has_taken(*untaken[0][:2]):
            self.waiting -= untaken.popleft()[2]
        if everything:
            self.untaken = deque(one for one in untaken if not account.has_taken(*one[:2]))
            self.waiting = sum(size for _link, _mark, size in self.untaken)


class Ask(msgspec.Struct, eq=False):
    """One action of a bot that waits for its answer: a :class:`Call`, once it is sent.

    :ivar owner: the connection's set of those under way; leaves it when it ends.
    :ivar waiting: for the end of what lgtwist does itself, in several calls.
    """

    action: str
    bot: Bot
    account: Account
    echo: bytes | None
    reply: Reply
    owner: set[Ask]
    allowance: Allowance
    call_id: int = 0
    deadline: float = 0.0
    link: IAccountLink | None = None
    mark: Any = None
    waiting: Deferred[bytes] | None = None
    over: bool = False

    def answered(self, response: bytes, last: bool) -> None:
        """A response came."""
        if self.over:
            return
        if last:
            self._end()
        wanted = self.bot.message_format
        if wanted is not _AS_IS and self.action in MESSAGE_ACTIONS:
            response = convert_response(response, wanted)
        self.reply(with_echo(response, self.echo), last)

    def cancel(self) -> None:
        """The asker is gone; the answer, if it comes, reaches nobody."""
        if self.over:
            return
        waiting = self.waiting
        self._end()
        self.account.forget(self)
        if waiting is not None:
            waiting.cancel()

    def _end(self) -> None:
        self.over = True
        self.waiting = None
        self.owner.discard(self)
        self.allowance.calls -= 1


class Bot:
    """A bot as the configuration names it; any number of connections may be its.

    :param name: unique; in its log lines and counters.
    :param access_token: opens the port for it; None if it has none.
    :param accounts: the numbers of the accounts that it may use; None for all.
    :param calls: how many of its calls may be in flight per account.
    :param send_buffer: how many bytes of its calls may wait per account that the link has not taken; one
        call alone may be larger.
    :param message_format: in which form it gets messages, in events and responses.
    :param actions: which actions it may use; None for all.
    :param events: which events it gets; None for all.
    :param rate: how often it may do one; None for no bound.
    :ivar passes: whether it gets an event; None if it gets all.
    :ivar deliveries: by account, where it asked for certain delivery.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        access_token: str | None = None,
        accounts: Collection[int] | None = None,
        calls: int = 1000,
        message_format: MessageFormat = MessageFormat.AS_IS,
        send_buffer: int = 4 << 20,
        actions: ActionRights | None = None,
        events: EventRights | None = None,
        rate: Rate | None = None,
    ) -> None:
        self._action_rights = actions or ActionRights()
        self._rate = rate
        self._is_free = rate is None and self._action_rights.unrestricted
        self._told: LogThrottles | None = None
        self._news: FlapLog | None = None
        self.passes = events.passes if events else None
        self.name = name
        self.message_format = message_format
        self.access_token = access_token
        self.counters = BotCounters()
        self.deliveries: dict[int, Delivery] = {}
        self._allowances: dict[int, Allowance] = {}
        self._send_buffer = send_buffer
        self._accounts = None if accounts is None else frozenset(accounts)
        self._calls = calls
        self._rate_limited: dict[int, RateLimited] = {}

    def may_use(self, self_id: int) -> bool:
        """Whether the account is one of this bot's."""
        return self._accounts is None or self_id in self._accounts

    def is_news(self, clock: IReactorTime, why: str) -> bool:
        """One of its connections came or went; whether that is worth a line of its own."""
        if self._news is None:
            self._news = FlapLog(clock, self._came_and_went)
        return self._news.should_log(why)

    def _came_and_went(self, times: int) -> None:
        self._log.info(
            "{bot}: connected or disconnected {times} more times; connections now: {connections}",
            bot=self.name,
            times=times,
            connections=self.counters.connections,
        )

    def stop(self) -> None:
        """All its connections are over."""
        if self._news is not None:
            self._news.stop()

    def queue_rate_limited(self, limiters: dict[int, RateLimited]) -> None:
        """The queues for ``_rate_limited``, per account, shared by all bots."""
        self._rate_limited = limiters

    def perform(self, account: Account, request: ActionRequest, reply: Reply, owner: set[Ask]) -> None:
        """Do what the bot asks. ``reply`` gets exactly one response, unless the asker is gone before.

        :param owner: the asker's actions under way; when the asker ends it cancels what is in it.
        """
        self.counters.actions += 1
        allowance = self.allowance(account)
        action, suffix = request.action, ""
        if action[-1:] in "cd":  # of "_async" and "_rate_limited"
            action, suffix = split_suffix(action)
        try:
            if len(action) > LONGEST_ACTION:
                raise UnknownAction("no action has so long a name")
            if allowance.calls >= self._calls:
                self.counters.refused += 1
                raise TooManyCalls(f"{allowance.calls} calls of this bot are in flight for this account")
            if not self._is_free and action != HANDLE_QUICK_OPERATION:  # whose steps are checked one by one
                self._permit(account, action)
            if suffix or action == HANDLE_QUICK_OPERATION:
                self._perform_quick(account, action, suffix, request, reply, owner)
                return
            ask = self._begin(account, action, request.echo, reply, owner, allowance)
            try:
                self._call(account, ask, request.params, allowance)
            except OneBotError as error:
                ask.answered(responses.failure(error), True)
        except OneBotError as error:
            reply(with_echo(responses.failure(error), request.echo), True)

    def _begin(
        self,
        account: Account,
        action: str,
        echo: bytes | None,
        reply: Reply,
        owner: set[Ask],
        allowance: Allowance,
    ) -> Ask:
        ask = Ask(action, self, account, echo, reply, owner, allowance)
        allowance.calls += 1
        owner.add(ask)
        return ask

    def _permit(self, account: Account, action: str) -> None:
        """Look whether the bot may do this, and do it now.

        :raises Forbidden: if it may not use the action.
        :raises TooManyCalls: if it is over its rate.
        """
        if not self._action_rights.allows(action):
            self.counters.forbidden += 1
            if self._told is None:
                self._told = LogThrottles(account.clock, _EPISODES)
            if self._told.should_log(action):
                self._log.warn(
                    "{bot}: may not use {action}; refused with 1403", bot=self.name, action=printable(action)
                )
            raise Forbidden(f'bot "{self.name}" may not use {printable(action)}')
        if self._rate is not None and not self._rate.take(account.clock.seconds()):
            self.counters.refused += 1
            raise TooManyCalls(f'bot "{self.name}" is over its rate')

    def allowance(self, account: Account) -> Allowance:
        """What this bot has under way to an account."""
        found = self._allowances.get(account.self_id)
        if found is None:
            found = self._allowances[account.self_id] = Allowance()
        return found

    def _call(self, account: Account, call: Call, params: bytes, allowance: Allowance) -> None:
        """Send an action up, if the account's link has taken most of what this bot sent before.

        :raises TooManyCalls: if it has not.
        :raises NotConnected: if the account is not connected.
        """
        if allowance.untaken:
            self._look(account, _CALL_OVERHEAD + len(params), allowance)
        account.call(call, params)
        if call.mark is not None and call.link is not None:
            size = _CALL_OVERHEAD + len(params)
            allowance.untaken.append((call.link, call.mark, size))
            allowance.waiting += size

    def _look(self, account: Account, size: int, allowance: Allowance) -> None:
        allowance.look(account)
        if allowance.untaken and allowance.waiting + size > self._send_buffer:
            allowance.look(account, everything=True)
        if allowance.untaken and allowance.waiting + size > self._send_buffer:
            self.counters.refused += 1
            raise TooManyCalls(f"the account has not taken {allowance.waiting} bytes of this bot's calls yet")

    def _ask(self, account: Account, action: str, params: bytes) -> Deferred[bytes]:
        """Send an action up and wait for its response.

        :returns: the response without echo, ours if the action could not be sent. Never fails, but by
            being cancelled, which forgets the call.
        """

        def answered(response: bytes, last: bool) -> None:
            if last and not asked.called:
                asked.callback(response)

        question = Question(action, answered)
        asked: Deferred[bytes] = Deferred(lambda _cancelled: account.forget(question))
        try:
            self._call(account, question, params, self.allowance(account))
        except OneBotError as error:
            asked.callback(responses.failure(error))
        return asked

    def _step(self, account: Account, action: str, params: bytes) -> Deferred[bytes]:
        """One step of a quick operation, checked as the action that it stands for."""
        try:
            self._permit(account, action)
        except OneBotError as error:
            return succeed(responses.failure(error))
        return self._ask(account, action, params)

    def _perform_quick(
        self,
        account: Account,
        action: str,
        suffix: str,
        request: ActionRequest,
        reply: Reply,
        owner: set[Ask],
    ) -> None:
        """What lgtwist does itself, once, for every kind of account.

        :raises OneBotError: what the bot is to be told instead of a response.
        """
        if not account.takes_actions:
            account.counters.not_connected += 1
            raise NotConnected(f"account {account.self_id} is not connected; nothing was sent")

        if action == HANDLE_QUICK_OPERATION:
            operation = quick_operation(request.params)

            def run() -> Deferred[bytes]:
                return Deferred.fromCoroutine(operation.run(lambda a, p: self._step(account, a, p)))
        else:

            def run() -> Deferred[bytes]:
                return self._ask(account, action, request.params)

        if suffix == "_rate_limited":
            self._rate_limited[account.self_id].put(
                self.name, lambda: self._run_unwitnessed(account, action, run), len(request.params)
            )
        elif not suffix:
            ask = self._begin(account, action, request.echo, reply, owner, self.allowance(account))
            ask.waiting = run()
            ask.waiting.addCallbacks(
                lambda response: ask.answered(response, True),
                lambda failure: self._quick_failed(failure, ask),
            )
            return
        reply(with_echo(responses.ACCEPTED, request.echo), True)
        if suffix == "_async":
            self._run_unwitnessed(account, action, run)

    def answer_event(self, account: Account, event: bytes, answer: bytes) -> None:
        """Do what a webhook's answer to an event asks for (OneBot 11, ``event/README.md``).

        What goes wrong is logged and counted; the event stays confirmed.

        :param answer: the body; what is no JSON object asks for nothing.
        """
        try:
            answer.decode()  # msgspec passes what it skips unseen
            msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
        except UNREADABLE:
            return
        allowance = self.allowance(account)
        try:
            operation = quick_operation(b'{"context":%b,"operation":%b}' % (event, answer))
            if not operation.steps:
                return
            if allowance.calls >= self._calls:
                raise TooManyCalls(f"{allowance.calls} calls of this bot are in flight for this account")
            if not account.takes_actions:
                raise NotConnected(f"account {account.self_id} is not connected")
        except OneBotError as error:
            self._unwitnessed_failure(account, HANDLE_QUICK_OPERATION, error.retcode, error.sentence)
            return

        def run() -> Deferred[bytes]:
            return Deferred.fromCoroutine(operation.run(lambda a, p: self._step(account, a, p)))

        self._run_unwitnessed(account, HANDLE_QUICK_OPERATION, run)

    def _unwitnessed_failure(self, account: Account, action: str, retcode: int, reason: str) -> None:
        self.counters.unwitnessed += 1
        account.counters.unwitnessed += 1
        self._log.warn(
            "{bot}: {action} failed after it was accepted: {retcode} {reason}",
            bot=self.name,
            action=printable(action),
            retcode=retcode,
            reason=printable(reason),
        )

    def _quick_failed(self, failure: Failure, ask: Ask) -> None:
        if not failure.check(CancelledError):
            self._log.failure("{bot}: a quick operation failed", failure, bot=self.name)
            ask.answered(responses.failed(1500, "lgtwist failed; its log says why"), True)

    def _run_unwitnessed(self, account: Account, action: str, run: Callable[[], Deferred[bytes]]) -> None:
        """Do what was already answered with "async"; it outlives the connection that asked."""
        allowance = self.allowance(account)
        allowance.calls += 1

        def ended(response: bytes) -> None:
            outcome = responses.read_outcome(response)
            if outcome.status == "failed":
                self._unwitnessed_failure(account, action, outcome.retcode, outcome.reason)

        def settle(result: object) -> None:
            allowance.calls -= 1
            if isinstance(result, Failure):
                self._log.failure("{bot}: {action} failed", result, bot=self.name, action=printable(action))

        run().addCallback(ended).addBoth(settle)
