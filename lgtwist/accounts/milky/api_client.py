"""Calls of Milky's APIs: ``POST {url}/api/{name}`` with a JSON object, answered with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET
from twisted.internet.defer import CancelledError, DeferredSemaphore, TimeoutError

from lgtwist.config.limits import Limits
from lgtwist.milky.errors import NOT_LOGGED_IN, CallFailed
from lgtwist.net.http_client import Answer, NoRoom, TooLarge, WebClient, why_failed
from lgtwist.onebot import rawjson
from lgtwist.onebot.bounds import MAX_DECODED_VALUES
from lgtwist.onebot.errors import (
    AccountFailed,
    CallTimeout,
    LinkBroken,
    NotConnected,
    OneBotError,
    UnknownAction,
)
from lgtwist.onebot.values import read_integer
from lgtwist.runtime.logs import printable

#: Calls that are under way at once, each on a connection of its own; the next ones wait, in order.
MOST_AT_ONCE = 16
#: Characters of an implementation's own words that are shown of an answer that is none of Milky's.
_SHOWN_WORDS = 200
#: JSON values that an answer may have: a list of 5000 members has a third of them.
_MOST_ANSWERED_VALUES = 2 * MAX_DECODED_VALUES
#: Bytes that one decoded value takes, about, beside those of its text.
_DECODED_VALUE_BYTES = 48
#: Characters of the shortest token that is left out of an implementation's words: others are in many words.
_SHORTEST_HIDDEN = 4
#: The API that every implementation has, and that needs no parameters.
LOGIN_INFO = "get_login_info"
#: Why an account cannot be reached whose ``url`` is that of a OneBot connection.
ONEBOT_SERVER = "url leads to a server of OneBot 11; Milky's has another port or prefix"


def not_offered(api: str) -> UnknownAction:
    """Return the error of an API that the implementation does not have."""
    return UnknownAction(f"the implementation does not offer Milky's {api} (HTTP 404)")


class _Envelope(msgspec.Struct):
    """What an answer has around its data.

    :ivar wording: only OneBot's have it, and ``echo``.
    """

    status: Any = UNSET
    retcode: Any = UNSET
    message: Any = None
    data: Any = None
    wording: Any = UNSET
    echo: Any = UNSET


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


class ApiClient:
    """Sends calls to one implementation. No call is ever sent twice.

    :param self_id: the account's number, for sentences.
    :param url: of the implementation, without a slash at its end; ``/api/NAME`` follows it.
    :param access_token: what the calls show; None for none.
    :param client: sends the requests.
    :param limits: returns the present limits.
    :param on_unauthorised: called with a sentence when HTTP 401 is the answer, before the call fails.
    :param on_login: called with False when the implementation answers that it is not logged in, and with True
        when it answers that a call succeeded.
    """

    def __init__(
        self,
        self_id: int,
        url: str,
        access_token: str | None,
        client: WebClient,
        limits: Callable[[], Limits],
        *,
        on_unauthorised: Callable[[str], None] = lambda _reason: None,
        on_login: Callable[[bool], None] = lambda _logged_in: None,
    ) -> None:
        self._self_id = self_id
        self._url = url
        self._token = access_token
        self._client = client
        self._limits = limits
        self._on_unauthorised = on_unauthorised
        self._on_login = on_login
        self._slots = DeferredSemaphore(MOST_AT_ONCE)
        self._missing: set[str] = set()
        self._headers = {"Content-Type": "application/json", "User-Agent": "lgtwist"}
        if access_token is not None:
            self._headers["Authorization"] = f"Bearer {access_token}"

    def forget_missing(self) -> None:
        """Ask again for the APIs that were answered with HTTP 404: the implementation may be another one."""
        self._missing.clear()

    async def call(
        self,
        api: str,
        params: dict[str, Any],
        /,
        *,
        begun: Callable[[], None] = lambda: None,
        written: Callable[[], None] = lambda: None,
        received: Callable[[int], None] = lambda _size: None,
    ) -> Any:
        """Send one call when one of :data:`MOST_AT_ONCE` slots is free; see :class:`MilkyApi`.

        :param begun: called when something of it is written.
        :param written: called when all of it was written.
        :param received: called, before the answer is decoded, with the bytes of memory that it will take,
            about; what it raises is raised.
        """
        if api in self._missing:
            raise not_offered(api)
        body = encode_params(params)
        del params
        await self._slots.acquire()
        try:
            posting = self._post(api, body, self._limits().action_timeout, written, begun)
            del body  # it is freed when it is written, not when it is answered
            answer = await posting
        finally:
            self._slots.release()
        received(len(answer.body) + _DECODED_VALUE_BYTES * _count_values(answer.body))
        return self._read(api, answer)

    async def call_now(self, api: str, params: dict[str, Any], timeout: float) -> Any:
        """Send one call, also while all slots are taken.

        :param timeout: seconds until it fails with :class:`CallTimeout`.
        """
        return self._read(api, await self._post(api, encode_params(params), timeout))

    async def _post(
        self,
        api: str,
        body: bytes,
        timeout: float,
        written: Callable[[], None] = lambda: None,
        begun: Callable[[], None] = lambda: None,
    ) -> Answer:
        limits, url, is_begun = self._limits(), f"{self._url}/api/{api}", False

        def begin() -> None:
            nonlocal is_begun
            is_begun = True
            begun()

        posting = self._client.post(url, body, self._headers, limits.max_message, timeout, written, begin)
        del body
        try:
            return await posting
        except CancelledError:
            raise
        except TimeoutError:
            if not is_begun:
                raise self._unreachable(f"no connection within {timeout:g} s") from None
            raise CallTimeout(
                f"no answer to {api} within {timeout:g} s; it may have been carried out"
            ) from None
        except TooLarge:
            sentence = f"the answer to {api} is larger than {limits.max_message} bytes (max_message)"
            raise AccountFailed(sentence) from None
        except NoRoom:
            sentence = f"the answer to {api} is dropped: too much is held for this account (peer_memory)"
            raise AccountFailed(sentence) from None
        except Exception as error:
            why = why_failed(error)
            if not is_begun:
                raise self._unreachable(why) from None
            raise LinkBroken(
                f"the connection broke during {api}: {why}; it may have been carried out"
            ) from None

    def _unreachable(self, why: str) -> NotConnected:
        return NotConnected(f"account {self._self_id} cannot be reached: {why}; nothing was sent")

    # -- answers

    def _read(self, api: str, answer: Answer) -> Any:
        """Return the data of an answer.

        :raises OneBotError: if it has none.
        """
        if answer.status == 200:
            return self._read_envelope(api, answer.body)
        if answer.status == 404 and api != LOGIN_INFO:
            self._missing.add(api)
            raise not_offered(api)
        if answer.status == 401:
            wrong = "it refuses our access_token" if self._token is not None else "it wants an access_token"
            self._on_unauthorised(f"{wrong} (HTTP 401)")
            raise AccountFailed(f"{wrong.replace('it', 'the implementation', 1)} (HTTP 401)")
        raise self._refusal(api, answer)

    def _refusal(self, api: str, answer: Answer) -> OneBotError:
        """Return the error of an answer whose HTTP status is no success."""
        status, words = answer.status, ""
        try:
            envelope = _decode_answer(answer.body)
        except rawjson.DECODE_ERRORS:
            words = answer.body[: 4 * _SHOWN_WORDS].decode("utf-8", "replace")
            words = "" if "<" in words else self._without_token(words)  # "<": a web page
        else:
            words = self._words_of(envelope)
            retcode = read_integer(envelope.retcode)
            if 400 <= status < 500 and status not in (404, 405, 415) and retcode:
                self._note_login(retcode)
                return CallFailed(retcode, words, api)
        said = f": {printable(words.strip())[:_SHOWN_WORDS]}" if words.strip() else ""
        if status == 404:
            return AccountFailed(
                f"its url leads to no Milky API: HTTP 404 for /api/{api}{said}; "
                "is the port Milky's, not OneBot's, and the prefix the configured one?"
            )
        if 300 <= status < 400:
            said = "; redirects are not followed: url must name the address itself"
        elif status == 405:
            said = "; is there a slash or a prefix too many in url?"
        elif not said and status >= 500:
            said = ", without a reason"
        return AccountFailed(f"the implementation failed at Milky's {api} (HTTP {status}){said}")

    def _read_envelope(self, api: str, body: bytes) -> Any:
        if len(body) > _MOST_ANSWERED_VALUES and _count_values(body) > _MOST_ANSWERED_VALUES:
            raise AccountFailed(f"the answer to {api} has more than {_MOST_ANSWERED_VALUES} values")
        try:
            envelope = _decode_answer(body)
        except rawjson.DECODE_ERRORS:
            raise AccountFailed(f"the implementation's answer to {api} is no JSON object") from None
        status, retcode = envelope.status, read_integer(envelope.retcode)
        if status is UNSET and retcode is None:
            raise AccountFailed(f"the implementation's answer to {api} has neither status nor retcode")
        words = self._words_of(envelope)
        if (envelope.wording is not UNSET or envelope.echo is not UNSET) and api == LOGIN_INFO:
            raise AccountFailed(ONEBOT_SERVER)
        if status in ("ok", UNSET) and not retcode:
            self._on_login(True)
            return {} if envelope.data is None else envelope.data
        if not retcode:
            raise AccountFailed(words or f"the implementation's {api} failed, and it did not say why")
        self._note_login(retcode)
        raise CallFailed(retcode, words, api)

    def _words_of(self, envelope: _Envelope) -> str:
        """Return what a refusal says; bots see it."""
        return self._without_token(envelope.message) if isinstance(envelope.message, str) else ""

    def _without_token(self, words: str) -> str:
        token = self._token
        return words.replace(token, "***") if token and len(token) >= _SHORTEST_HIDDEN else words

    def _note_login(self, retcode: int) -> None:
        if retcode == NOT_LOGGED_IN:
            self._on_login(False)


def encode_params(params: dict[str, Any]) -> bytes:
    """Return the parameters of a call as JSON; lone surrogates become U+FFFD."""
    try:
        return msgspec.json.encode(params)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(params))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(one) for one in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(one) for key, one in value.items()}
    return value


def _count_values(text: bytes) -> int:
    """Return a number that the values of a JSON text do not exceed; what is in strings is counted too."""
    return text.count(b",") + text.count(b"[") + text.count(b"{") + 1


def _decode_answer(body: bytes) -> _Envelope:
    """Return the answer in a body.

    :raises ValueError: if it is no JSON object, or another of ``DECODE_ERRORS``.
    """
    try:
        return _decode_envelope(body)
    except rawjson.DECODE_ERRORS:
        read = rawjson.decode_value(rawjson.repair(body.decode("utf-8", "replace").encode()))
        if not isinstance(read, dict):
            raise ValueError("no object") from None
        return msgspec.convert(read, _Envelope)
