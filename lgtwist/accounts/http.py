"""Actions by HTTP, events by HTTP POST (OneBot 11, ``communication/http.md`` and ``http-post.md``)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from urllib.parse import quote

import msgspec
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import IAccountLink
from lgtwist.net.http_client import Answer, TooLarge, WebClient, why_failed
from lgtwist.onebot import action as responses
from lgtwist.onebot.action import STREAM_ACTIONS, read_outcome, response_data
from lgtwist.onebot.dialect import signs_with_token
from lgtwist.onebot.errors import (
    AccountFailed,
    BadRequest,
    LinkBroken,
    NotConnected,
    OneBotError,
    UnknownAction,
)
from lgtwist.onebot.event import BadEvent, read_event, read_heartbeat, read_online
from lgtwist.runtime.logs import LogThrottles
from lgtwist.runtime.tasks import spawn

#: Seconds between two looks at the account where heartbeats are off.
_LOOK = 5.0
#: So many reasons why it cannot be reached are told in a minute: the peer may have invented them.
_REASONS = 8


@implementer(IAccountLink)
class HttpAccount(Service):
    """An account whose implementation answers HTTP requests, and posts its events to us.

    :param url: below it stand its actions.
    :param access_token: sent along as ``Bearer``; None for none.
    :param secret: signs its posts; None for none.
    :param max_message: bytes that an answer may have.
    :param action_timeout: seconds that an answer may take.
    :param look_interval: seconds between two looks whether it is up; 0 for the default.
    """

    _log = Logger()

    def __init__(
        self,
        client: WebClient,
        account: Account,
        url: str,
        access_token: str | None,
        secret: str | None,
        max_message: int,
        action_timeout: float,
        look_interval: float,
    ) -> None:
        self.account = account
        self.access_token = access_token
        self.secret = secret
        self._client = client
        self._url = url.rstrip("/")
        self._max_message = max_message
        self._action_timeout = action_timeout
        self._interval = look_interval or _LOOK
        self._headers = {"Content-Type": "application/json", "User-Agent": "lgtwist"}
        if access_token is not None:
            self._headers["Authorization"] = f"Bearer {access_token}"
        self._sending: dict[int, Deferred[None]] = {}
        self._unwritten: set[int] = set()
        self._unanswered: set[int] = set()
        self._looking: Deferred[None] | None = None
        self._next_look: IDelayedCall | None = None
        self._linked = False
        self._told = LogThrottles(account.clock, _REASONS)

    # -- its life

    def startService(self) -> None:
        """Look whether it is there, and go on looking."""
        super().startService()
        self._look()

    def hang_up(self) -> None:
        """Look no more."""
        self.running = 0
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        if self._looking is not None:
            self._looking.cancel()

    def stopService(self) -> Deferred[None]:
        """End what is under way."""
        self.hang_up()
        self._down("lgtwist stops")
        return self._client.close()

    def _look(self) -> None:
        self._next_look = None
        self._looking = spawn("look at an account", self._look_once())
        self._looking.addBoth(self._looked)

    def _looked(self, _result: object) -> None:
        self._looking = None
        if self.running:
            self._next_look = self.account.clock.callLater(self._interval, self._look)

    async def _look_once(self) -> None:
        """Whose ``get_status`` is answered is there; what it says of being online counts too."""
        try:
            answer = await self._post(
                "get_status", b"{}", min(self._action_timeout, max(5.0, 3 * self._interval))
            )
        except CancelledError:
            return
        except Exception as error:
            if self.running:  # else it is ours: Twisted has many names for what was cancelled
                self._down(why_failed(error))
            return
        if answer.status in (401, 403):
            self._down(f"it refuses our token (HTTP {answer.status})")
            return
        if responses.as_response(answer.body) is None:
            self._down(f"its answer to get_status is no action response (HTTP {answer.status})")
            return
        outcome = read_outcome(answer.body)
        if not self._linked:
            self._linked = True
            self._told = LogThrottles(self.account.clock, _REASONS)
            self.account.link_up(self, via=self._url)
        if outcome.status == "ok":
            with contextlib.suppress(ValueError):
                self.account.says_online(read_online(msgspec.json.decode(response_data(answer.body))))

    def _down(self, reason: str) -> None:
        self._end_all()
        if self._linked:
            self._linked = False
            self.account.link_down(self, reason)
        elif self.running and self._told.should_log(reason):
            self._log.warn(
                "account {account}: cannot reach {url}: {reason}; trying again and again",
                account=self.account.self_id,
                url=self._url,
                reason=reason,
            )

    def _end_all(self) -> None:
        self._unanswered.clear()
        self._sending, sending = {}, self._sending
        for under_way in sending.values():
            under_way.cancel()

    # -- the link

    def send(self, call_id: int, action: str, params: bytes) -> int:
        """Post an action."""
        self._unwritten.add(call_id)
        self._unanswered.add(call_id)
        under_way = spawn("an action over HTTP", self._send(call_id, action, params))
        if not under_way.called:
            self._sending[call_id] = under_way

        def ended(_result: object) -> None:
            self._sending.pop(call_id, None)
            self._unwritten.discard(call_id)
            self._unanswered.discard(call_id)

        under_way.addBoth(ended)
        return call_id

    def has_taken(self, mark: int) -> bool:
        """Whether it is with the transport."""
        return mark not in self._unwritten

    def forget(self, call_id: int) -> None:
        """Nobody waits for this answer any more: its connection goes."""
        self._unanswered.discard(call_id)
        under_way = self._sending.pop(call_id, None)
        if under_way is not None:
            under_way.cancel()

    def end(self, reason: str, refused: bool) -> None:
        """The hub wants no more of it; the next look may bring it back."""
        self._linked = False
        self._end_all()

    async def _send(self, call_id: int, action: str, params: bytes) -> None:
        try:
            answer = await self._post(
                action, params, self._action_timeout, lambda: self._unwritten.discard(call_id)
            )
            parts = _responses(answer, action)
        except CancelledError:
            return
        except OneBotError as error:
            parts = [responses.failure(error)]
        except TimeoutError:
            return  # the hub's own time limit is over too
        except (ConnectError, DNSLookupError) as error:
            sentence = (
                f"account {self.account.self_id} cannot be reached: {why_failed(error)}; nothing was sent"
            )
            parts = [responses.failure(NotConnected(sentence))]
        except TooLarge:
            too_large = AccountFailed(f"the answer is larger than {self._max_message} bytes")
            parts = [responses.failure(too_large)]
        except Exception as error:
            sentence = f"the connection broke: {why_failed(error)}; it may have been carried out"
            parts = [responses.failure(LinkBroken(sentence))]
        for part in parts:
            if call_id in self._unanswered:
                self.account.answered(call_id, part)

    async def _post(
        self, action: str, params: bytes, timeout: float, written: Callable[[], None] = lambda: None
    ) -> Answer:
        path = quote(action, safe="._~-", errors="replace")
        return await self._client.post(
            f"{self._url}/{path}", params, self._headers, self._max_message, timeout, written
        )

    # -- its events

    def key(self) -> tuple[str | None, bool]:
        """What signs its posts, None if nothing does; and whether one without signature may be genuine.

        NapCat and LLBot sign with a token, which may be another one than that of their actions.
        """
        if self.secret is None and signs_with_token(self.account.dialect):
            return self.access_token, self.account.dialect_is_guessed
        return self.secret, False

    def take(self, body: bytes) -> None:
        """An event was posted.

        :raises BadEvent: if it is none of this account.
        :raises NotConnected: if it cannot be taken now.
        """
        event = read_event(body)
        if event.self_id is not None and event.self_id != self.account.self_id:
            raise BadEvent(f"its self_id is {event.self_id}")
        if not self.running:
            raise NotConnected("lgtwist stops")
        if event.post_type == "meta_event" and event.detail == "heartbeat":
            self.account.says_online(read_heartbeat(event.raw).online)
        self.account.heard(event)


#: What stands between the parts of NapCat's answers to its stream actions.
_BETWEEN_PARTS = b"\r\n\r\n"


def _responses(answer: Answer, action: str) -> list[bytes]:
    """What an implementation answered, as responses without ``echo``: one, or the parts of a stream.

    :raises OneBotError: if it is none; its HTTP status says what went wrong.
    """
    bodies = [answer.body]
    if action in STREAM_ACTIONS:
        bodies = [part for part in answer.body.split(_BETWEEN_PARTS) if part.strip()] or bodies
    read = [responses.as_response(body) for body in bodies]
    whole = [response for response in read if response is not None]
    if len(whole) == len(bodies):
        return whole
    if answer.status == 404:
        raise UnknownAction("the implementation knows no such action (HTTP 404)")
    if answer.status in (400, 406):
        raise BadRequest(f"the implementation could not read the action (HTTP {answer.status})")
    if answer.status in (401, 403):
        raise AccountFailed(f"the implementation refuses our token (HTTP {answer.status})")
    raise AccountFailed(f"the implementation's answer is no action response (HTTP {answer.status})")
