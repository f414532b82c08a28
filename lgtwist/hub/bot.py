"""One bot: what it may do, and its actions under way."""

from __future__ import annotations

from collections.abc import Callable, Collection

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lgtwist.hub.account import Account
from lgtwist.hub.calls import Call
from lgtwist.hub.quick import HANDLE_QUICK_OPERATION, RateLimited, quick_operation
from lgtwist.onebot import action as responses
from lgtwist.onebot.action import ActionRequest, split_suffix, with_echo
from lgtwist.onebot.errors import NotConnected, OneBotError, TooManyCalls
from lgtwist.onebot.message import MESSAGE_ACTIONS, MessageFormat, convert_response
from lgtwist.onebot.words import printable

#: Takes a whole response, echo and all.
Reply = Callable[[bytes], None]


@define
class BotCounters:
    """What happened to one bot, since the start."""

    actions: int = 0
    refused: int = 0  # 1429
    bad_requests: int = 0  # 1400 of ours
    dropped_events: int = 0
    connections: int = 0  # now
    unwitnessed: int = 0  # calls that were answered "async" and failed afterwards


@define(eq=False)
class Ask:
    """One action of a bot that waits for its answer.

    :ivar owner: the connection's set of those under way; leaves it when it ends.
    """

    bot: Bot
    account: Account
    action: str
    echo: bytes | None
    reply: Reply
    owner: set[Ask]
    call: Call | None = None
    waiting: Deferred[bytes] | None = None
    over: bool = field(default=False)

    def answered(self, response: bytes, last: bool) -> None:
        """A response came."""
        if self.over:
            return
        if last:
            self._end()
        if self.bot.message_format is not MessageFormat.AS_IS and self.action in MESSAGE_ACTIONS:
            response = convert_response(response, self.bot.message_format)
        self.reply(with_echo(response, self.echo))

    def cancel(self) -> None:
        """The asker is gone; the answer, if it comes, reaches nobody."""
        if self.over:
            return
        call, waiting = self.call, self.waiting
        self._end()
        if call is not None:
            self.account.forget(call)
        if waiting is not None:
            waiting.cancel()

    def _end(self) -> None:
        self.over = True
        self.call = self.waiting = None
        self.owner.discard(self)
        self.bot.in_flight[self.account.self_id] -= 1


class Bot:
    """A bot as the configuration names it; any number of connections may be its.

    :param name: unique; in its log lines and counters.
    :param access_token: opens the port for it; None if it has none.
    :param accounts: the numbers of the accounts that it may use; None for all.
    :param calls: how many of its calls may be in flight per account.
    :param message_format: in which form it gets messages, in events and responses.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        access_token: str | None = None,
        accounts: Collection[int] | None = None,
        calls: int = 1000,
        message_format: MessageFormat = MessageFormat.AS_IS,
    ) -> None:
        self.name = name
        self.message_format = message_format
        self.access_token = access_token
        self.counters = BotCounters()
        self.in_flight: dict[int, int] = {}
        self._accounts = None if accounts is None else frozenset(accounts)
        self._calls = calls
        self._rate_limited: dict[int, RateLimited] = {}

    def may_use(self, self_id: int) -> bool:
        """Whether the account is one of this bot's."""
        return self._accounts is None or self_id in self._accounts

    def queue_rate_limited(self, limiters: dict[int, RateLimited]) -> None:
        """The queues for ``_rate_limited``, per account, shared by all bots."""
        self._rate_limited = limiters

    def perform(self, account: Account, request: ActionRequest, reply: Reply, owner: set[Ask]) -> None:
        """Do what the bot asks. ``reply`` gets exactly one response, unless the asker is gone before.

        :param owner: the asker's actions under way; when the asker ends it cancels what is in it.
        """
        self.counters.actions += 1
        in_flight = self.in_flight.get(account.self_id, 0)
        action, suffix = split_suffix(request.action)
        try:
            if in_flight >= self._calls:
                self.counters.refused += 1
                raise TooManyCalls(f"{in_flight} calls of this bot are in flight for this account")
            if suffix or action == HANDLE_QUICK_OPERATION:
                self._perform_quick(account, action, suffix, request, reply, owner)
                return
            self.in_flight[account.self_id] = in_flight + 1
            ask = Ask(self, account, action, request.echo, reply, owner)
            owner.add(ask)
            try:
                call = account.call(action, request.params, ask.answered)
                if not ask.over:  # else nobody would end this cycle: the collector is for accidents
                    ask.call = call
            except OneBotError as error:
                ask.answered(responses.failure(error), True)
        except OneBotError as error:
            reply(with_echo(responses.failure(error), request.echo))

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
        if not account.is_up:
            raise NotConnected(f"account {account.self_id} is not connected; nothing was sent")

        if action == HANDLE_QUICK_OPERATION:
            operation = quick_operation(request.params)

            def run() -> Deferred[bytes]:
                return Deferred.fromCoroutine(operation.run(account.ask))
        else:

            def run() -> Deferred[bytes]:
                return account.ask(action, request.params)

        if suffix == "_rate_limited":
            self._rate_limited[account.self_id].put(
                self.name, lambda: self._run_unwitnessed(account, action, run), len(request.params)
            )
        elif not suffix:
            self._count(account, 1)
            ask = Ask(self, account, action, request.echo, reply, owner)
            owner.add(ask)
            ask.waiting = run()
            ask.waiting.addCallbacks(
                lambda response: ask.answered(response, True),
                lambda failure: self._quick_failed(failure, ask),
            )
            return
        reply(with_echo(responses.ACCEPTED, request.echo))
        if suffix == "_async":
            self._run_unwitnessed(account, action, run)

    def _quick_failed(self, failure: Failure, ask: Ask) -> None:
        if not failure.check(CancelledError):
            self._log.failure("{bot}: a quick operation failed", failure, bot=self.name)
            ask.answered(responses.failed(1500, "lgtwist failed; its log says why"), True)

    def _run_unwitnessed(self, account: Account, action: str, run: Callable[[], Deferred[bytes]]) -> None:
        """Do what was already answered with "async"; it outlives the connection that asked."""
        self._count(account, 1)

        def ended(response: bytes) -> None:
            outcome = responses.read_outcome(response)
            if outcome.status == "failed":
                self.counters.unwitnessed += 1
                account.counters.unwitnessed += 1
                self._log.warn(
                    "{bot}: {action} failed after it was accepted: {retcode} {reason}",
                    bot=self.name,
                    action=printable(action),
                    retcode=outcome.retcode,
                    reason=printable(outcome.message or outcome.wording),
                )

        def settle(result: object) -> None:
            self._count(account, -1)
            if isinstance(result, Failure):
                self._log.failure("{bot}: {action} failed", result, bot=self.name, action=printable(action))

        run().addCallback(ended).addBoth(settle)

    def _count(self, account: Account, change: int) -> None:
        self.in_flight[account.self_id] = self.in_flight.get(account.self_id, 0) + change
