"""One account: its links, its calls under way, and who wants its events."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from attrs import define, frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lgtwist.hub.calls import Call, Calls, Question
from lgtwist.hub.interfaces import Half, IAccountLink, IBotConnection
from lgtwist.hub.presence import Presence
from lgtwist.onebot import action as responses
from lgtwist.onebot.action import (
    STREAM_ACTIONS,
    is_stream_part,
    read_outcome,
    response_data,
    without_echo,
)
from lgtwist.onebot.dialect import Dialect, recognise
from lgtwist.onebot.errors import AccountFailed, CallTimeout, LinkBroken, NotConnected
from lgtwist.onebot.event import Event, heartbeat, lifecycle, number_of, read_event, status
from lgtwist.onebot.message import MessageFormat, convert_event
from lgtwist.onebot.rawjson import UNREADABLE
from lgtwist.runtime.logs import Episodes, News, printable
from lgtwist.websocket.framing import Frames, server_frame

#: A name of this module: Python 3.11 finds an enumeration's member five times more slowly.
_ACTIONS = Half.ACTIONS
#: So many reasons why it cannot say who it is are told in a minute: the peer may have invented them.
_REASONS = 8
#: Whether a bot gets an event.
Passes = Callable[[Event], bool]
#: Makes of an event what a bot's connection takes.
Encode = Callable[[bytes], bytes]


@frozen(eq=False)
class Form:
    """A form in which bots want events; one for all who want the same.

    :ivar message_format: of their messages.
    :ivar encode: makes of an event what the bot's connection takes.
    """

    message_format: MessageFormat
    encode: Encode


#: Who gets events, in which form, and which.
Subscribers = dict[IBotConnection, tuple[Form, Passes | None]]

#: Seconds until an implementation that could not say who it is is asked again.
_ASK_AGAIN = 5.0


@define
class AccountCounters:
    """What happened to one account, since the start."""

    events: int = 0
    calls: int = 0
    answered: int = 0
    timeouts: int = 0  # 1504
    broken: int = 0  # 1502
    not_connected: int = 0  # 1501
    forgotten: int = 0  # the asker went away
    strays: int = 0  # answers that were late, came twice, or were never asked for
    unwitnessed: int = 0  # calls answered "async" that failed afterwards
    links: int = 0  # opened
    takeovers: int = 0  # links that a newer one took over from
    garbage: int = 0  # frames that were neither answer nor event


@frozen
class Version:
    """What an implementation says that it is (``get_version_info``)."""

    app_name: str = ""
    app_version: str = ""


class _Identity(msgspec.Struct):
    user_id: msgspec.Raw = msgspec.Raw(b"null")


class _VersionData(msgspec.Struct):
    app_name: str = ""
    app_version: str = ""


class Account:
    """One logged-in ``self_id``.

    Its implementation is reached by one link that carries both halves (actions and events), or by one
    for each. It is *up* when both are there and the implementation has said, asked by us at each opening,
    that it is this account; it is *online* when it also says that it is logged in.

    :param self_id: its number.
    :param clock: for time limits.
    :param wall_clock: seconds since the epoch, for the events that lgtwist makes itself.
    :param action_timeout: seconds that an answer may take.
    :param heartbeat_interval: seconds between heartbeats, told in them.
    :param dialect: its implementation's; AUTO to recognise it.
    :param first_call: correlation ids begin behind this number.
    :ivar dialect_is_guessed: the configuration does not name it.
    :ivar collecting: events that come are handed out later, together.
    :ivar was_up: it was up once in this run.
    :ivar since: when it became online or stopped being so, in seconds since the epoch.
    :ivar reason: why it is not online; empty if it is.
    :ivar version: what the implementation says that it is.
    """

    _log = Logger()

    def __init__(
        self,
        self_id: int,
        clock: IReactorTime,
        wall_clock: Callable[[], float],
        action_timeout: float = 60.0,
        heartbeat_interval: float = 5.0,
        dialect: Dialect = Dialect.AUTO,
        first_call: int = 0,
    ) -> None:
        self.self_id = self_id
        self.clock = clock
        self.counters = AccountCounters()
        self.dialect = dialect
        self.dialect_is_guessed = dialect is Dialect.AUTO
        self.version = Version()
        self.was_up = False
        self.since = wall_clock()
        self.reason = "it has not connected yet"
        self._wall_clock = wall_clock
        self._action_timeout = action_timeout
        self._heartbeat_ms = round(heartbeat_interval * 1000)
        self._calls = Calls(action_timeout, first_call)
        self._expiry: IDelayedCall | None = None
        self._action_link: IAccountLink | None = None
        self._event_link: IAccountLink | None = None
        self._carrier: IAccountLink | None = None  # of actions, once it has said whose it is
        self._ask_again: IDelayedCall | None = None
        self._last_known: bytes | None = None  # the data of get_login_info
        self._presence = Presence()
        self._told = (False, False)  # up and online, as the log has it
        self._news = News(clock, self._went_up_and_down)
        self._told_identity = Episodes(clock, _REASONS)
        self._told_refusal = self._via = ""
        # In the order in which they came, each with the form in which it wants events, and which.
        self.collecting = False
        self._burst: list[Event] = []
        self._subscribers: Subscribers = {}
        self._meta_subscribers: Subscribers = {}
        self._forms: list[Form] = []
        self._keep: Callable[[int, list[bytes]], None] | None = None
        self._awaited: list[Callable[[], None]] = []

    # -- its state

    @property
    def takes_actions(self) -> bool:
        """Whether actions can be sent."""
        return self._carrier is not None

    @property
    def is_up(self) -> bool:
        """Whether actions can be sent, and events arrive."""
        return self._carrier is not None and self._event_link is not None

    @property
    def online(self) -> bool:
        """Whether it is up, and its implementation says that it is logged in."""
        return self.is_up and self._presence.online

    @property
    def calls_in_flight(self) -> int:
        """How many actions wait for their answer."""
        return len(self._calls)

    def when_up(self, then: Callable[[], None]) -> None:
        """Call ``then`` once, as soon as the account was up once; at once if it was."""
        if self.was_up:
            then()
        else:
            self._awaited.append(then)

    def _changed(self, reason: str = "") -> None:
        """The links or the presence may have changed: one line when the account comes and goes."""
        up, online = self._told
        self._told = self.is_up, self.online
        if self._told != (up, online):
            self.since = self._wall_clock()
        if self.online:
            self.reason = ""
        elif not self.is_up:
            self.reason = reason or self.reason
        else:
            self.reason = self._presence.reason
        if self.is_up and not up:
            self._say("is up{via}", via=self._via)
            self.was_up = True
            self._awaited, awaited = [], self._awaited
            for then in awaited:
                try:
                    then()
                except Exception:
                    self._log.failure("account {account}: who waited for it failed", account=self.self_id)
        elif up and not self.is_up:
            self._say("is down: {reason}", reason=self.reason)
        elif up and online != self.online:
            if self.online:
                self._say("is online again")
            else:
                self._say("is offline: {reason}", reason=self.reason)

    def _say(self, what: str, **fields: str) -> None:
        if self._news.is_news(fields.get("reason", "")):
            self._log.info("account {account} " + what, account=self.self_id, **fields)

    def _went_up_and_down(self, times: int) -> None:
        now = "online" if self.online else f"not online: {self.reason}"
        self._log.info(
            "account {account} came or went {times} more times; now it is {now}",
            account=self.self_id,
            times=times,
            now=now,
        )

    # -- the links

    @property
    def _links(self) -> set[IAccountLink]:
        return {link for link in (self._action_link, self._event_link) if link is not None}

    def holds(self, link: IAccountLink, half: Half) -> bool:
        """Whether ``link`` is the one that carries this half."""
        return (self._action_link if half is _ACTIONS else self._event_link) is link

    def link_up(self, link: IAccountLink, half: Half = Half.BOTH, via: str = "") -> None:
        """``link`` is open. It takes over from those that carried what it carries.

        :param via: how the account is reached, for the log.
        """
        self._via = f" ({via})" if via else ""
        self.counters.links += 1
        for older in self._links:
            if not any(each in half and self.holds(older, each) for each in (Half.ACTIONS, Half.EVENTS)):
                continue
            self.counters.takeovers += 1
            self._let_go(older, "a newer link took over")
            older.end("a newer link took over", False)
        if Half.ACTIONS in half:
            self._action_link = link
        if Half.EVENTS in half:
            self._event_link = link
        self._presence.sign_of_life()
        if Half.ACTIONS in half:
            self._identify(link)
        else:
            self._changed()

    def stop(self, reason: str) -> None:
        """All links are over, for the service is: calls in flight end as 1502."""
        for link in self._links:
            self._let_go(link, reason)
        self._news.stop()

    def link_down(self, link: IAccountLink, reason: str) -> None:
        """``link`` is over: what was sent on it ends as 1502. Nothing happens if a newer one took over."""
        if link in self._links:
            self._let_go(link, reason)

    def _let_go(self, link: IAccountLink, reason: str) -> None:
        self.hand_out()  # what came before the end goes before it
        carried_actions = self._action_link is link
        if self._event_link is link:
            self._event_link = None
        if carried_actions:
            self._action_link = None
            self._carrier = None
            if self._ask_again is not None:
                self._ask_again.cancel()
                self._ask_again = None
        self._changed(reason)
        if not carried_actions:
            self._watch_time()
            return
        response = responses.failure(
            LinkBroken(f"the link to account {self.self_id} broke: {reason}; it may have been carried out")
        )
        for call in self._calls.end_all():
            self.counters.broken += 1
            self._tell(call, response)
        self._watch_time()

    # -- whose account it is

    def _identify(self, link: IAccountLink) -> None:
        """Ask the implementation who it is; actions go up once it has said so."""

        def answered(response: bytes, last: bool) -> None:
            if last and self.holds(link, Half.ACTIONS):
                self._identified(link, response)

        self._begin(link, Question("get_login_info", answered), b"{}")

    def _identified(self, link: IAccountLink, response: bytes) -> None:
        outcome = read_outcome(response)
        data = response_data(response)
        try:
            user_id = number_of(bytes(msgspec.json.decode(data, type=_Identity).user_id))
        except ValueError:
            user_id = None
        if user_id == self.self_id:
            self._told_identity = Episodes(self.clock, _REASONS)
            self._last_known = data
            self._carrier = link
            self._presence.sign_of_life()
            self._changed("its event link is not open")
            if self._carrier is link:
                self._ask_version(link)
        elif user_id is None:
            why = f"get_login_info failed: {outcome.reason or f'retcode {outcome.retcode}'}"
            self._cannot_tell(printable(why))
            self._ask_again = self.clock.callLater(_ASK_AGAIN, self._identify_again, link)
        else:
            self.refuse(link, user_id)

    def _identify_again(self, link: IAccountLink) -> None:
        self._ask_again = None
        self._identify(link)

    def _cannot_tell(self, why: str) -> None:
        self.reason = why
        if self._told_identity.begins(why):
            self._log.warn("account {account}: {why}; asking again", account=self.self_id, why=why)

    def refuse(self, link: IAccountLink, other: int) -> None:
        """``link`` leads to another account: nothing of it is passed on."""
        reason = f"its implementation is logged in as {other}, not as {self.self_id}"
        if reason != self._told_refusal:
            self._told_refusal = reason
            self._log.warn("account {account}: link refused: {reason}", account=self.self_id, reason=reason)
        self.reason = reason
        self._let_go(link, reason)
        link.end(reason, True)

    def _ask_version(self, link: IAccountLink) -> None:
        def answered(response: bytes, last: bool) -> None:
            if not last or read_outcome(response).status != "ok":
                return
            try:
                read = msgspec.json.decode(response_data(response), type=_VersionData)
            except ValueError:
                return
            self.version = Version(printable(read.app_name), printable(read.app_version))
            if self.dialect_is_guessed:
                self.dialect = recognise(read.app_name)

        self._begin(link, Question("get_version_info", answered), b"{}")

    # -- actions

    def call(self, call: Call, params: bytes) -> None:
        """Send an action up, or answer it ourselves; the answer may come before this returns.

        :param params: one JSON object.
        :raises NotConnected: if the account is not connected; nothing was sent, and no answer comes.
        """
        action = call.action
        if action == "get_status" and not self.online:
            call.answered(responses.ok(status(False)), True)
            return
        link = self._carrier
        if link is None:
            if action == "get_login_info" and self._last_known is not None:
                call.answered(responses.ok(self._last_known), True)
                return
            self.counters.not_connected += 1
            raise NotConnected(f"account {self.self_id} is not connected; nothing was sent")
        self.counters.calls += 1
        self._begin(link, call, params)

    def _begin(self, link: IAccountLink, call: Call, params: bytes) -> None:
        call_id = self._calls.begin(call, self.clock.seconds())
        call.link = link
        call.mark = link.send(call_id, call.action, params)
        if self._expiry is None:
            self._watch_time()

    def has_taken(self, link: IAccountLink, mark: object) -> bool:
        """Whether what was sent on a link has left our memory: the link has taken it, or is over."""
        return not self.holds(link, Half.ACTIONS) or bool(link.has_taken(mark))

    def answered(self, call_id: int, response: bytes) -> None:
        """The answer to a call came from the link.

        :param response: one JSON object with members and without ``echo``.
        """
        call = self._calls.answer(call_id)
        if call is None:
            self.counters.strays += 1
        else:
            self._answered(call, response)

    def answered_with(self, call_id: int, payload: bytes, echo: bytes) -> bool:
        """What may be an answer came, its echo and all; whether somebody waited for it.

        :param payload: one JSON object, valid UTF-8.
        :param echo: the value of its ``echo``.
        """
        call = self._calls.answer(call_id)
        if call is None:
            return False
        try:
            response = without_echo(payload, echo)
        except UNREADABLE:  # nested almost too deeply
            response = responses.failure(AccountFailed("the implementation's answer cannot be read"))
        self._answered(call, response)
        return True

    def _answered(self, call: Call, response: bytes) -> None:
        last = call.action not in STREAM_ACTIONS or not is_stream_part(response)
        if last:
            self.counters.answered += 1
        else:
            self._calls.renew(call, self.clock.seconds())
        self._tell(call, response, last)

    def _tell(self, call: Call, response: bytes, last: bool = True) -> None:
        """What an asker makes of its answer must not hurt the link, or another's call."""
        try:
            call.answered(response, last)
        except Exception:
            self._log.failure("account {account}: an answer failed", account=self.self_id)

    def forget(self, call: Call) -> None:
        """Nobody waits for this answer any more; if it comes, it is a stray."""
        if self._calls.forget(call):
            self.counters.forgotten += 1
            if call.link is not None:
                call.link.forget(call.call_id)

    def _watch_time(self) -> None:
        """One timer, for the oldest call. It may go off early, where that call has ended meanwhile."""
        deadline = self._calls.next_deadline()
        if deadline is None:
            if self._expiry is not None and not self._links:
                self._expiry.cancel()
                self._expiry = None
        elif self._expiry is None:
            self._expiry = self.clock.callLater(max(0.0, deadline - self.clock.seconds()), self._expire)

    def _expire(self) -> None:
        self._expiry = None
        for call in self._calls.expire(self.clock.seconds()):
            self.counters.timeouts += 1
            error = CallTimeout(
                f"no answer to {call.action} within {self._action_timeout:g} s; it may have been carried out"
            )
            if call.link is not None:
                call.link.forget(call.call_id)
            self._tell(call, responses.failure(error))
        self._watch_time()

    # -- events

    def heard(self, event: Event) -> None:
        """An event came from the implementation. What tells of its state is noted; meta events end here."""
        if self._told_refusal and self.is_up and event.self_id == self.self_id:
            self._told_refusal = ""  # it is this account's again in every respect: the next lie is news
        if event.post_type == "message":
            if not self._presence.online:
                self._presence.sign_of_life()
                self._changed()
        elif event.post_type == "notice" and event.detail in ("bot_offline", "bot_online"):
            if event.detail == "bot_online":
                self._presence.sign_of_life()
            else:
                self._presence.said_offline()
            self._changed()
        elif event.post_type == "meta_event" and event.detail in ("lifecycle", "heartbeat"):
            return
        self.route(event)

    def says_online(self, online: bool | None) -> None:
        """A heartbeat, or the answer to ``get_status``, came; None if it did not say."""
        if online is not None:
            before = self._presence.online
            self._presence.status(online)
            if before is not self._presence.online:
                self._changed()

    def publish(self, raw: bytes) -> None:
        """Hand an event to every bot that is subscribed.

        :param raw: one JSON object, as it came.
        :raises BadEvent: if it is none.
        """
        self.route(read_event(raw))

    def route(self, event: Event) -> None:
        """Hand an event that was read to every bot that is subscribed, or later (:meth:`collect`)."""
        self.counters.events += 1
        if event.post_type == "meta_event":
            self.hand_out()
            self._hand_out([event], {**self._subscribers, **self._meta_subscribers})
            return
        self._burst.append(event)
        if not self.collecting:
            self.hand_out()

    def collect(self) -> None:
        """Several events may come at once: whoever calls this calls :meth:`hand_out` at their end."""
        self.collecting = True

    def hand_out(self) -> None:
        """Hand what was collected to every bot that is subscribed: one delivery each, in order."""
        self.collecting = False
        if self._burst:
            burst, self._burst = self._burst, []
            if self._keep is not None:
                try:
                    self._keep(self.self_id, [event.raw for event in burst])
                except Exception:
                    self._log.failure("account {account}: the journal failed", account=self.self_id)
            self._hand_out(burst, self._subscribers)

    def _hand_out(self, events: list[Event], subscribers: Subscribers) -> None:
        if not subscribers:
            return
        made: dict[Form, Frames] = {}  # encoded once for all who want the same
        for connection, (form, passes) in tuple(subscribers.items()):
            try:
                frames = made.get(form)
                if frames is None:
                    wanted, encode = form.message_format, form.encode
                    frames = Frames([encode(convert_event(event.raw, wanted)) for event in events])
                    made[form] = frames
                if passes is not None:
                    frames = Frames([frames.each[n] for n, event in enumerate(events) if passes(event)])
                    if not frames.each:
                        continue
                connection.deliver(frames)
            except Exception:
                self._log.failure("account {account}: a subscriber failed", account=self.self_id)

    def subscribe(
        self,
        connection: IBotConnection,
        wanted: MessageFormat = MessageFormat.AS_IS,
        encode: Encode = server_frame,
        passes: Passes | None = None,
    ) -> None:
        """Deliver events to ``connection`` from now on.

        :param wanted: the form of their messages.
        :param encode: makes of an event what ``connection`` takes. The same function for all who want the
            same: it is called once for them.
        :param passes: which events; None for all.
        """
        self._meta_subscribers.pop(connection, None)
        self._subscribers[connection] = (self._form(wanted, encode), passes)

    def subscribe_meta(
        self, connection: IBotConnection, wanted: MessageFormat, encode: Encode = server_frame
    ) -> None:
        """Deliver only meta events to ``connection`` from now on: all else reaches it from the journal."""
        self._subscribers.pop(connection, None)
        self._meta_subscribers[connection] = (self._form(wanted, encode), None)

    def _form(self, wanted: MessageFormat, encode: Encode) -> Form:
        for form in self._forms:
            if form.message_format is wanted and form.encode is encode:
                return form
        form = Form(wanted, encode)
        self._forms.append(form)
        return form

    def unsubscribe(self, connection: IBotConnection) -> None:
        """Deliver no more to ``connection``; harmless if it was not subscribed."""
        self._subscribers.pop(connection, None)
        self._meta_subscribers.pop(connection, None)

    def keep_with(self, keep: Callable[[int, list[bytes]], None] | None) -> None:
        """Hand all events but meta events to a journal too, with this account's number; None to stop that."""
        self._keep = keep

    def lifecycle(self) -> bytes:
        """The first event of every link."""
        return lifecycle(self.self_id, int(self._wall_clock()))

    def heartbeat(self) -> bytes:
        """A heartbeat as of now."""
        return heartbeat(self.self_id, int(self._wall_clock()), self._heartbeat_ms, self.online)
