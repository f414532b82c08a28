"""Accounts of type ``http``: actions by HTTP, events by HTTP POST.

OneBot 11, ``communication/http.md`` and ``http-post.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from attrs import asdict, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from lgtwist.accounts.remote import RemoteSettings, configure_account, read_remote, without_query
from lgtwist.config.authorities import Authorities
from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.values import token, url
from lgtwist.hub.account import Account
from lgtwist.hub.edges import EdgeResources, IEdge
from lgtwist.hub.interfaces import IAccountLink, IEventReceiver
from lgtwist.net.http_client import Answer, NoRoom, TooLarge, WebClient, why_failed
from lgtwist.onebot import responses
from lgtwist.onebot.bounds import MAX_PARTS
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
from lgtwist.onebot.responses import STREAM_ACTIONS, read_response_head, response_data
from lgtwist.runtime.logs import Logger, LogThrottle, LogThrottles
from lgtwist.runtime.tasks import spawn

#: Seconds between two polls of ``get_status`` where heartbeats are off.
_POLL_INTERVAL = 5.0
#: What is polled, the first that there is.
_POLLED_ACTIONS = ("get_status", "get_version_info", "get_login_info")
#: Why an account that is up may not be of use.
_NONE_FOUND = f"it posts events, and answers HTTP 404 to {', '.join(_POLLED_ACTIONS)}"
#: Different reasons of failed polls that are logged per minute: the peer chooses their words.
_LOGGED_FAILURES = 8


@frozen
class Settings(RemoteSettings):
    """The keys of an account of type ``http``.

    :ivar url: base URL of the implementation's actions.
    :ivar trust_root: authorities of the implementation's certificate; None for the system's.
    :ivar secret: the key of the signatures of its posts (``X-Signature``); None for none.
    """

    url: str = field(default="", repr=False, metadata=asks_for(Change.ANEW))
    trust_root: Authorities | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    secret: str | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))


def read(section: Section) -> Settings:
    """Read the keys of an account of type ``http``; mistakes are collected in the section."""
    return Settings(
        **asdict(read_remote(section), recurse=False),
        url=section.read("url", url("http", "https", query=False)),
        trust_root=section.read_certificates("ca_file"),
        secret=section.read_secret("secret", token),
    )


def describe(settings: Settings, self_id: int, base: str) -> str:
    """Return how the implementation is reached: the end of the account's line in the summary."""
    posts = f"{base.replace('ws', 'http', 1)}/onebot/v11/post"
    signed = "signed with its secret" if settings.secret else "from this machine"
    return (
        f"; asked at {without_query(settings.url)}; its implementation posts events to {posts} "
        f"(X-Self-ID: {self_id}), {signed}"
    )


def key_needed_in_public(settings: Settings) -> str | None:
    """Return the key that is missing to authenticate the implementation on a public port; None if none is."""
    signs = signs_with_token(settings.dialect) and settings.access_token is not None
    return "secret" if settings.secret is None and not signs else None


@implementer(IAccountLink, IEdge, IEventReceiver)
class HttpAccount(Service):
    """An account whose implementation answers actions over HTTP, and posts its events to our port.

    There is no connection: it is a link of the account while ``get_status`` is answered.
    """

    _log = Logger()

    def __init__(self, account: Account, settings: Settings, resources: EdgeResources) -> None:
        self.account = account
        self._resources = resources
        self._settings = settings
        self._client = WebClient(resources.reactor, settings.trust_root, account.budget)
        self._url = settings.url.rstrip("/")
        self._headers = {"Content-Type": "application/json", "User-Agent": "lgtwist"}
        if settings.access_token is not None:
            self._headers["Authorization"] = f"Bearer {settings.access_token}"
        self._sending: dict[int, Deferred[None]] = {}
        self._not_sent: set[int] = set()
        self._unanswered: set[int] = set()
        self._polling: Deferred[None] | None = None
        self._next_poll: IDelayedCall | None = None
        self._linked = False
        self._poll_action = "get_status"
        self._has_posted = False  # whether the newest post was an event of this account
        self._failure_log = LogThrottles(account.clock, _LOGGED_FAILURES)
        self._odd_log = LogThrottle(account.clock)

    # -- IEdge

    def _interval(self) -> float:
        """Return the seconds between two polls."""
        return self._resources.limits.heartbeat_interval or _POLL_INTERVAL

    def startService(self) -> None:
        """Poll ``get_status`` now, and again an interval after each answer."""
        super().startService()
        configure_account(self.account, self._settings)
        self._poll()

    def retire(self) -> None:
        """Stop polling; actions under way go on."""
        self.running = 0
        if self._next_poll is not None:
            self._next_poll.cancel()
            self._next_poll = None
        if self._polling is not None:
            self._polling.cancel()

    def configure(self, settings: Settings) -> None:
        """Replace the dialect, the format of messages."""
        self._settings = settings
        configure_account(self.account, settings)

    def prepare(self) -> None:
        """Do nothing: no file is needed."""

    def stopService(self) -> Deferred[None]:
        """Stop polling, cancel actions under way, and close the connections."""
        self.retire()
        self._link_lost("lgtwist stops")
        return self._client.close()

    def _poll(self) -> None:
        self._next_poll = None
        self._polling = spawn("poll an account", self._poll_once())
        self._polling.addBoth(self._polled)

    def _polled(self, _result: object) -> None:
        self._polling = None
        if self.running:
            self._next_poll = self.account.clock.callLater(self._interval(), self._poll)

    async def _poll_once(self) -> None:
        """Send ``get_status``: its response opens the link and updates the account, a failure closes it.

        Where there is none (HTTP 404), another action is sent that needs no parameters; where there is none
        of them, the link is open while the implementation posts events of this account.
        """
        timeout = min(self._resources.limits.action_timeout, max(5.0, 3 * self._interval()))
        action = self._poll_action
        try:
            try:
                answer = await self._post(action, b"{}", timeout)
            except TimeoutError:  # get_status alone may hang: it asks the platform
                if not self.running:
                    raise
                action = "get_version_info"
                answer = await self._post(action, b"{}", min(timeout, _POLL_INTERVAL))
            if _is_not_found(answer):
                action, answer = await self._find_polled(action, answer, timeout)
        except CancelledError:
            return
        except Exception as error:
            if self.running:  # if not, it was cancelled: Twisted raises different errors then
                self._link_lost(why_failed(error))
            return
        if answer.status in (401, 403):
            wrong = (
                "it wants an access_token"
                if self._settings.access_token is None
                else "it refuses our access_token"
            )
            self._link_lost(f"{wrong} (HTTP {answer.status})")
            return
        response = _read_response(answer.body, answer.status)
        if response is None and answer.status == 404 and self._has_posted:
            if not self._linked and self._failure_log.should_log(_NONE_FOUND):
                self._log.warn(
                    "account {account}: {why}: check its url",
                    account=self.account.self_id,
                    why=_NONE_FOUND,
                )
            response = responses.from_error(UnknownAction("HTTP 404"))
        if response is None:
            self._link_lost(f"its answer to {action} is no action response (HTTP {answer.status})")
            return
        if not self._linked:
            self._linked = True
            self._failure_log = LogThrottles(self.account.clock, _LOGGED_FAILURES)
            self.account.links.opened(self, description=self._url, named=self._has_posted)
        if action == "get_status" and read_response_head(response).status == "ok":
            self.account.links.status_received(read_online(response_data(response)), asked=True)

    async def _find_polled(self, missing: str, not_found: Answer, timeout: float) -> tuple[str, Answer]:
        """Return the first action of ``_POLLED_ACTIONS`` that there is, and its answer; poll it from now on.

        :param missing: one that there is not.
        :param not_found: its answer, which is returned if there is none of the others.
        """
        for action in _POLLED_ACTIONS:
            if action != missing:
                answer = await self._post(action, b"{}", timeout)
                if not _is_not_found(answer):
                    self._poll_action = action
                    return action, answer
        self._poll_action = _POLLED_ACTIONS[0]
        return missing, not_found

    def _link_lost(self, reason: str) -> None:
        self._cancel_requests()
        if self._linked:
            self._linked = False
            self.account.links.closed(self, reason)
        elif self.running and self._failure_log.should_log(reason):
            self._log.warn(
                "account {account}: cannot reach {url}: {reason}; trying again and again",
                account=self.account.self_id,
                url=self._url,
                reason=reason,
            )

    def _cancel_requests(self) -> None:
        self._unanswered.clear()
        self._sending, sending = {}, self._sending
        for under_way in sending.values():
            under_way.cancel()

    # -- IAccountLink

    def send(self, call_id: int, action: str, params: bytes) -> int:
        """Send an action as a POST (OneBot 11, ``communication/http.md``); return its flow-control token."""
        self._not_sent.add(call_id)
        self._unanswered.add(call_id)
        under_way = spawn("an action over HTTP", self._send(call_id, action, params))
        if not under_way.called:
            self._sending[call_id] = under_way

        def ended(_result: object) -> None:
            self._sending.pop(call_id, None)
            self._not_sent.discard(call_id)
            self._unanswered.discard(call_id)

        under_way.addBoth(ended)
        return call_id

    def has_sent(self, flow_token: int) -> bool:
        """Return whether the request of an action was written to the transport."""
        return flow_token not in self._not_sent

    def forget(self, call_id: int) -> None:
        """Cancel the request of a call; its connection is closed."""
        self._unanswered.discard(call_id)
        under_way = self._sending.pop(call_id, None)
        if under_way is not None:
            under_way.cancel()

    def pause_reading(self) -> None:
        """Do nothing: :meth:`receive` refuses the posts of the implementation, which may post them again."""

    def resume_reading(self) -> None:
        """Do nothing: see :meth:`pause_reading`."""

    def close(self, code: int, reason: str) -> None:
        """Cancel actions under way; the next poll that is answered opens the link again."""
        self._linked = False
        self._cancel_requests()

    async def _send(self, call_id: int, action: str, params: bytes) -> None:
        try:
            posting = self._post(
                action, params, self._resources.limits.action_timeout, lambda: self._not_sent.discard(call_id)
            )
            del params  # they are freed when they are written, not when they are answered
            answer = await posting
            parts = _read_responses(answer, action)
        except CancelledError:
            return
        except OneBotError as error:
            parts = [responses.from_error(error)]
        except TimeoutError:
            return  # the call has ended by the same time limit in the hub
        except (ConnectError, DNSLookupError) as error:
            sentence = (
                f"account {self.account.self_id} cannot be reached: {why_failed(error)}; nothing was sent"
            )
            parts = [responses.from_error(NotConnected(sentence))]
        except TooLarge:
            too_large = AccountFailed(f"the answer is larger than {self._resources.limits.max_message} bytes")
            parts = [responses.from_error(too_large)]
        except NoRoom:
            sentence = "the answer is dropped: too much is held for this account already (peer_memory)"
            parts = [responses.from_error(AccountFailed(sentence))]
        except Exception as error:
            sentence = f"the connection broke: {why_failed(error)}; it may have been carried out"
            parts = [responses.from_error(LinkBroken(sentence))]
        for part in parts:
            if call_id in self._unanswered:
                self.account.receive(call_id, part)

    def _post(
        self, action: str, params: bytes, timeout: float, written: Callable[[], None] = lambda: None
    ) -> Coroutine[Any, Any, Answer]:
        path = quote(action, safe="._~-", errors="replace")
        return self._client.post(
            f"{self._url}/{path}", params, self._headers, self._resources.limits.max_message, timeout, written
        )

    # -- IEventReceiver

    def signing_key(self) -> tuple[str | None, bool]:
        """Return the secret that its posts are signed with, and whether unsigned ones are accepted too.

        NapCat and LLBot sign with a token; where the dialect is recognised, it may be unknown to us.
        """
        links, settings = self.account.links, self._settings
        if settings.secret is None and signs_with_token(links.dialect):
            return settings.access_token, links.dialect_is_automatic
        return settings.secret, False

    def receive(self, body: bytes) -> None:
        """Publish an event that was posted; a heartbeat only updates the account's state.

        :param body: of the request.
        :raises BadEvent: if it is no event of this account.
        :raises NotConnected: if the service stops, or events of the account are paused; it may come again.
        """
        event = read_event(body, repair=True)
        if event.self_id is not None and event.self_id != self.account.self_id:
            if event.self_id:
                self._has_posted = False
                raise BadEvent(f"its self_id is {event.self_id}")
            if self._odd_log.should_log():
                self._log.warn(
                    "account {account}: an odd event was passed on: its self_id is no account's number",
                    account=self.account.self_id,
                )
        elif event.self_id is not None:
            self._has_posted = True
        if not self.running:
            raise NotConnected("lgtwist stops")
        if self.account.links.pause_reason and event.post_type != "meta_event":
            raise NotConnected(self.account.links.pause_reason)
        if event.post_type == "meta_event" and event.detail == "heartbeat":
            self.account.links.status_received(read_heartbeat(event.raw).online)
        self.account.links.event_received(event)


#: The class of the edge, as the kind's module names it.
make = HttpAccount

#: Separates the responses in the body with which NapCat answers its stream actions.
_PART_SEPARATOR = b"\r\n\r\n"


def _is_not_found(answer: Answer) -> bool:
    """Return whether an HTTP answer says, without an action response, that there is no such action."""
    return answer.status == 404 and _read_response(answer.body, answer.status) is None


def _read_response(body: bytes, status: int) -> bytes | None:
    """Return the response in an HTTP body, without ``echo``; None if there is none.

    :param status: the HTTP status: with 200 a response may be without ``retcode``.
    """
    response = responses.response_from_body(body)
    if response is not None or status != 200:
        return response
    try:
        body.decode()
    except UnicodeDecodeError:
        return None
    read = responses.incomplete_response(body)
    return None if read is None else read[1]


def _read_responses(answer: Answer, action: str) -> list[bytes]:
    """Return the responses in an HTTP answer, without ``echo``: one, or several of a stream action.

    :raises OneBotError: if there is none; chosen by the HTTP status.
    """
    bodies = [answer.body]
    if action in STREAM_ACTIONS:
        parts = answer.body.split(_PART_SEPARATOR, MAX_PARTS)
        if len(parts) > MAX_PARTS:
            raise AccountFailed(f"the implementation's answer has more than {MAX_PARTS} parts")
        bodies = [part for part in parts if part.strip()] or bodies
    read = [_read_response(body, answer.status) for body in bodies]
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
