"""Actions that the operator tries: one call to an account, and whether a bot may make it.

The bodies of the requests are decoded once, and parameters are passed on as they came.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType
from twisted.internet.defer import Deferred

from lgtwist.console.interfaces import ServiceView
from lgtwist.console.problems import ApiProblem, bad_request
from lgtwist.console.redaction import HIDDEN_VALUE, is_secret_answer
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.hub.permissions import Decision
from lgtwist.hub.settings import BotSettings
from lgtwist.onebot import rawjson
from lgtwist.onebot.action import NO_PARAMS, ActionRequest
from lgtwist.onebot.event import BadEvent, Event, read_event
from lgtwist.onebot.responses import read_response_head, response_data
from lgtwist.onebot.values import read_integer
from lgtwist.runtime.logs import Logger, printable

#: Bytes that the number of an account may have, as JSON.
_MAX_NUMBER = 32

_Head = TypeVar("_Head")


class _CallBody(msgspec.Struct):
    account: Raw = Raw(b"null")
    action: Raw = Raw(b'""')
    params: Raw = Raw(b"{}")


class _RightsBody(msgspec.Struct):
    bot: Raw = Raw(b'""')
    account: Raw = Raw(b"null")
    action: Raw | UnsetType = UNSET
    event: Raw | UnsetType = UNSET


_decode_call = msgspec.json.Decoder(_CallBody).decode
_decode_rights = msgspec.json.Decoder(_RightsBody).decode


class Tester:
    """Carries out actions for the operator, who may use every action of every account.

    They are those of a bot that is in no configuration, called ``console``, within the limits of any bot.

    :param view: the running service.
    :param seconds: returns seconds of a clock that is never put back.
    :ivar bot: the bot that asks.
    """

    _log = Logger()

    def __init__(self, view: ServiceView, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._view = view
        self._seconds = seconds
        self.bot = Bot(BotSettings(name="console"), view.limits)
        self.bot.set_rate_limiters(view.rate_limiters)

    def call(self, account: int, action: str, params: bytes) -> Deferred[bytes]:
        """Carry out an action.

        :param account: the account's number.
        :param action: the action's name, with or without a suffix.
        :param params: one JSON object.
        :returns: fires with ``{"response": ..., "ms": milliseconds}``, and ``"parts"``, how many responses
            came before, if the action streams. The response is what a bot would get, but for secrets: see
            :func:`hide_secret`. Cancelling it abandons the call.
        :raises ApiProblem: if there is no such account.
        """
        found = self._view.directory.accounts.get(account)
        if found is None:
            raise ApiProblem(404, "no_such_account", {"account": account}, f"there is no account {account}")
        quota = self.bot.quota(found)
        if quota.account is not found:  # it was removed and added again
            self.bot.account_removed(found)
        in_flight: set[PendingAction] = set()

        def abandon(_cancelled: object) -> None:
            for pending in tuple(in_flight):
                pending.cancel()

        answered: Deferred[bytes] = Deferred(abandon)
        parts = 0
        began = self._seconds()

        def reply(response: bytes, last: bool) -> None:
            nonlocal parts
            if not last:
                parts += 1
            elif not answered.called:
                ms = (self._seconds() - began) * 1000
                streamed = b',"parts":%d' % parts if parts else b""
                shown = hide_secret(action, response)
                answered.callback(b'{"response":%b,"ms":%.1f%b}' % (shown, ms, streamed))

        self._log.info("console: {action} on account {account}", action=action, account=account)
        self.bot.limits = self._view.limits
        self.bot.perform(found, ActionRequest(action, params, None), reply, in_flight)
        return answered

    def post_call(self, body: bytes) -> Deferred[bytes]:
        """Carry out an action; see :meth:`call`.

        :param body: ``{"account", "action", "params"}``; ``params`` may be missing.
        :raises ApiProblem: if the body cannot be read, or there is no such account.
        """
        head = _decode_request(_decode_call, body)
        params = rawjson.to_bytes(head.params)
        if params[:1] != b"{":
            if not NO_PARAMS.fullmatch(params):
                raise bad_request('"params" must be an object')
            params = b"{}"
        return self.call(_read_account(head.account), _read_nonempty(head.action, "action"), params)

    def try_rights(self, bot: str, account: int, wanted: str | Event) -> dict[str, Any]:
        """Return whether a bot may use an action now, or gets an event, and which rule says so.

        Nothing is sent or counted.

        :param bot: the bot's name.
        :param account: the account's number.
        :param wanted: the action's name, with or without a suffix; or an event of the account.
        :returns: ``{"allowed": bool, "rule": {"code", "args"}}``. The codes are ``no_such_bot``,
            ``no_such_account``, and those of :meth:`Bot.explain` or :meth:`Bot.explain_event`.
        """
        found_bot = self._view.directory.bots.get(bot)
        found = self._view.directory.accounts.get(account)
        if found_bot is None:
            decision = Decision(False, "no_such_bot", {"bot": printable(bot[:100])})
        elif found is None:
            decision = Decision(False, "no_such_account", {"account": account})
        elif isinstance(wanted, Event):
            decision = found_bot.explain_event(found, wanted)
        else:
            decision = found_bot.explain(found, wanted)
        return {"allowed": decision.allowed, "rule": {"code": decision.code, "args": decision.arguments}}

    def post_rights(self, body: bytes) -> bytes:
        """Return what :meth:`try_rights` returns, as JSON.

        :param body: ``{"bot", "account", "action"}`` or ``{"bot", "account", "event"}``.
        :raises ApiProblem: if the body cannot be read.
        """
        head = _decode_request(_decode_rights, body)
        bot, account = _read_nonempty(head.bot, "bot"), _read_account(head.account)
        if isinstance(head.event, UnsetType):
            action = Raw(b'""') if isinstance(head.action, UnsetType) else head.action
            return msgspec.json.encode(self.try_rights(bot, account, _read_nonempty(action, "action")))
        if not isinstance(head.action, UnsetType):
            raise bad_request('either "action" or "event" is expected, not both')
        try:
            event = read_event(rawjson.to_bytes(head.event))
        except BadEvent as error:
            raise bad_request(f'"event" is not an event: {error}') from None
        return msgspec.json.encode(self.try_rights(bot, account, event))


def hide_secret(action: str, response: bytes) -> bytes:
    """Return a response to an action as people may see it.

    Of one with secrets (cookies, keys of downloads) it has ``(hidden)`` as its ``data``, and no members but
    those of OneBot 11. Others are the same object.

    :param action: its name, with or without a suffix.
    :param response: one JSON object.
    """
    if not is_secret_answer(action):
        return response
    head = read_response_head(response)
    data = None if response_data(response) == b"null" else HIDDEN_VALUE
    members = {"status": head.status, "retcode": head.retcode, "data": data, "message": head.reason}
    return msgspec.json.encode(members)


def _decode_request(decode: Callable[[bytes | bytearray], _Head], body: bytes) -> _Head:
    """Return the members of a body, undecoded; lone surrogates are passed on.

    :raises ApiProblem: if it is not one JSON object; ``NaN`` is no JSON.
    """
    try:
        body.decode()  # msgspec does not check what it skips
    except UnicodeDecodeError:
        raise bad_request("the body is not UTF-8") from None
    try:
        return rawjson.decode_leniently(decode, body)
    except RecursionError:
        raise bad_request("the body is nested too deeply") from None
    except rawjson.DECODE_ERRORS as error:
        sentence = "a JSON object" if str(error) == "not an object" else f"JSON: {error}"
        raise bad_request(f"the body is not {sentence}") from None


def _read_account(value: Raw) -> int:
    """Return the number of an account; digits in a string are one too.

    :raises ApiProblem: if it is none.
    """
    number = None
    text = rawjson.to_bytes(value)
    if len(text) <= _MAX_NUMBER:
        try:
            number = read_integer(msgspec.json.decode(text))
        except rawjson.DECODE_ERRORS:
            number = None
    if number is None:
        raise bad_request('"account" must be the number of an account')
    return number


def _read_nonempty(value: Raw, key: str) -> str:
    """Return a string that is not empty.

    :param key: what it is called in the body.
    :raises ApiProblem: if it is none.
    """
    name = rawjson.read_string(rawjson.to_bytes(value))
    if not name:
        raise bad_request(f'"{key}" must be a string that is not empty')
    return name
