"""The links of this node to one account's implementation: an :class:`IBacking` of the account.

An implementation is reached by one link that carries both channels (actions and events), or by one for
each. A new link replaces the older ones that carry any of its channels; those are closed.

States of the channel of actions, with their data::

    None                     no link
    Unverified(link, timer)  get_login_info was sent on it, and is sent again when the timer fires; bots'
                             actions are not sent yet
    Verified(link)           the implementation is logged in as this account; actions are sent

An implementation that has no ``get_login_info`` is verified by the first event, of any kind, whose
``self_id`` is the account's number, or by the ``X-Self-ID`` with which it dialled us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from attrs import define, frozen
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from lgtwist.hub.calls import InternalCall
from lgtwist.hub.interfaces import ACTION_CHANNEL, Channel, IAccountLink, IBacking
from lgtwist.hub.presence import Presence
from lgtwist.hub.snapshots import EndedLink, OpenLink
from lgtwist.onebot.dialect import (
    Dialect,
    get_status_tells_online,
    heartbeats_tell_online,
    lacks_action,
    recognise_dialect,
)
from lgtwist.onebot.event import Event, place_of, read_id, read_online
from lgtwist.onebot.rawjson import DECODE_ERRORS, read_string
from lgtwist.onebot.responses import read_response_head, response_data
from lgtwist.runtime.logs import Logger, LogThrottles, printable

if TYPE_CHECKING:
    from lgtwist.hub.account import Account

#: Different reasons of failed get_login_info that are logged per minute: the peer chooses their words.
_LOGGED_IDENTITY_FAILURES = 8
#: Bytes of the ``data`` of ``get_login_info`` that are kept to answer with while the account is down.
_MAX_LOGIN_INFO = 16_384
#: Seconds until get_login_info is sent again while it was not answered, or with a failure.
_VERIFICATION_RETRY = 5.0
#: Unanswered get_login_info on one link at which no more are sent.
_MAX_UNANSWERED = 12
#: Seconds after which a line says what an account waits for that has a link and is not up.
_WAITING = 5.0
#: Seconds until get_status is sent after ``bot_offline``, and again after each answer.
_STATUS_RETRY = 5.0
#: Events in a row that name the same other account, after which the link is another account's.
_FOREIGN_EVENTS = 3
#: Why an account without ``get_login_info`` is not up.
_NOT_NAMED = "its implementation has no get_login_info, and no event or heartbeat has named the account yet"
#: Seconds between two get_login_info that are sent because of such events.
_FOREIGN_RETRY = 60.0


@define(eq=False)
class Unverified:
    """``get_login_info`` was sent on the link; it is sent again when the timer fires.

    :ivar named: whether the implementation named this account when it connected (``X-Self-ID``).
    :ivar unanswered: how many of them are under way.
    :ivar lacks_action: whether it was answered that there is no such action.
    :ivar has_failed: whether it was answered with a failure, which is logged.
    """

    link: IAccountLink
    named: bool = False
    timer: IDelayedCall | None = None
    unanswered: int = 0
    lacks_action: bool = False
    has_failed: bool = False

    def cancel(self) -> None:
        """Send it no more."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()


@frozen
class Verified:
    """The implementation on the link is logged in as this account: it said so."""

    link: IAccountLink


#: The state of the channel of actions; None while no link carries it.
ActionState = Unverified | Verified | None


@frozen
class _Opened:
    """What is known of a link since it was opened.

    :ivar via: how the implementation is reached; may be empty.
    :ivar time: in seconds since the epoch.
    :ivar clock: the same in seconds of the account's clock.
    """

    via: str
    channel: Channel
    time: float
    clock: float


def _name(channel: Channel) -> str:
    return (channel.name or "").lower()


@frozen
class Version:
    """The name and version of an implementation, from ``get_version_info``; empty before it answered."""

    app_name: str = ""
    app_version: str = ""


class _Identity(msgspec.Struct):
    user_id: msgspec.Raw = msgspec.Raw(b"null")


class _Sender(msgspec.Struct):
    nickname: msgspec.Raw = msgspec.Raw(b'""')


class _SentMessage(msgspec.Struct):
    sender: _Sender = msgspec.field(default_factory=_Sender)


class _VersionData(msgspec.Struct):
    app_name: msgspec.Raw = msgspec.Raw(b'""')
    app_version: msgspec.Raw = msgspec.Raw(b'""')


@define
class _ForeignEvents:
    """The events that name another account, since the last one of this account.

    :ivar self_id: the number that the newest of them name.
    :ivar count: how many in a row name it.
    :ivar condemned: whether a link was refused for it: the next one is at its first such event.
    """

    self_id: int
    count: int = 0
    condemned: bool = False


@implementer(IBacking)
class Links:
    """The open links of one account, and what its implementation reports of itself.

    :param account: whose links they are.
    :param dialect: the implementation's; AUTO to recognise it by ``get_version_info``.
    :ivar action_link: the verified link for actions; None while there is none.
    :ivar version: of the implementation, as it says itself.
    :ivar dialect_is_automatic: whether the dialect is to be recognised, since the configuration names none.
    :ivar description: how the account is reached, for the log; empty if unknown.
    :ivar last_ended: the link that ended last, and why; None before the first.
    :ivar pause_reason: why no events are taken now, a part of a sentence; empty while they are.
    """

    _log = Logger()

    def __init__(self, account: Account, dialect: Dialect = Dialect.AUTO) -> None:
        self.dialect = dialect
        self.dialect_is_automatic = dialect is Dialect.AUTO
        self.version = Version()
        self.action_link: IAccountLink | None = None
        self.description = ""
        self.pause_reason = ""
        self._account = account
        self._actions: ActionState = None
        self._event_link: IAccountLink | None = None
        self._presence = Presence()
        self._identity_log = LogThrottles(account.clock, _LOGGED_IDENTITY_FAILURES)
        self._logged_refusal = ""
        self._foreign: _ForeignEvents | None = None
        self._has_own_event = False  # whether the open link for events brought one of this account
        self._lacks_nickname = False  # whether it is to be read from the account's own messages
        self._examines_events = True  # whether events are examined for what they say of the account
        self._foreign_log = LogThrottles(account.clock, _LOGGED_IDENTITY_FAILURES)
        self._next_identity_check = 0.0  # of the account's clock
        self._waiting: IDelayedCall | None = None  # until a line says what is waited for
        self._logged_waiting = ""
        self._status_timer: IDelayedCall | None = None  # until get_status is sent
        self._asks_status = False
        self.last_ended: EndedLink | None = None
        self._opened: dict[IAccountLink, _Opened] = {}

    def configure(self, dialect: Dialect) -> None:
        """Replace the configured dialect; AUTO keeps the one that was recognised."""
        self.dialect_is_automatic = dialect is Dialect.AUTO
        if not self.dialect_is_automatic:
            self.dialect = dialect
        elif self.version.app_name:
            self.dialect = recognise_dialect(self.version.app_name)

    # -- IBacking

    @property
    def is_up(self) -> bool:
        """Whether actions can be sent, and events arrive."""
        return self.action_link is not None and self._event_link is not None

    @property
    def online(self) -> bool:
        """Whether it is up, and the implementation says that it is logged in."""
        return self.is_up and self._presence.online

    @property
    def offline_reason(self) -> str:
        """Why it is up but not online."""
        return self._presence.reason

    def release(self, reason: str) -> None:
        """Forget every link without closing it.

        :param reason: for the log and for the calls under way.
        """
        for link in self._all():
            self._release(link, reason)

    def close(self, code: int, reason: str) -> None:
        """Close every link.

        :param code: a close code (RFC 6455, 7.4.1).
        """
        for link in self._all():
            self._release(link, reason, code=code)
            link.close(code, reason)

    def open_links(self) -> list[OpenLink]:
        """Return the links that are open, the oldest first."""
        return [
            OpenLink(via=opened.via, channel=_name(opened.channel), since=opened.time)
            for opened in self._opened.values()
        ]

    # -- links that open and close

    def _all(self) -> set[IAccountLink]:
        actions = None if self._actions is None else self._actions.link
        return {link for link in (actions, self._event_link) if link is not None}

    def is_current(self, link: IAccountLink, channel: Channel) -> bool:
        """Return whether ``link`` is the one that carries this channel."""
        if channel is ACTION_CHANNEL:
            return self._actions is not None and self._actions.link is link
        return self._event_link is link

    def opened(
        self,
        link: IAccountLink,
        channel: Channel = Channel.BOTH,
        description: str = "",
        *,
        named: bool = False,
    ) -> None:
        """Use a link that was opened; close those that carried any of its channels.

        :param channel: the channels that it carries.
        :param description: how the account is reached, for the log; empty if unknown.
        :param named: whether the implementation named this account already. It counts if it has no
            ``get_login_info``.
        """
        self.description = description
        account = self._account
        counters = account.counters
        counters.links += 1
        for older in self._all():
            channels = (Channel.ACTIONS, Channel.EVENTS)
            if not any(each in channel and self.is_current(older, each) for each in channels):
                continue
            counters.takeovers += 1
            self._release(older, "a newer link took over", code=1000)
            older.close(1000, "a newer link took over")
        self._opened[link] = _Opened(description, channel, account.wall_clock(), account.clock.seconds())
        if Channel.EVENTS in channel:
            self._event_link = link
            self._has_own_event, self._examines_events = False, True
            if self.pause_reason:
                link.pause_reading()
        self._presence.mark_online()
        if Channel.ACTIONS in channel:
            self._verify(link, named)
        else:
            self._account.backing_changed(self._missing())
        self._follow()

    def closed(
        self, link: IAccountLink, reason: str, *, code: int | None = None, words: str | None = None
    ) -> None:
        """Forget a link that was closed; calls sent on it end as 1502. Ignore a link that was replaced.

        :param code: the close code (RFC 6455, 7.4); None if there was none.
        :param words: the reason without the code and the channel; None where it has neither.
        """
        if link in self._all():
            self._release(link, reason, code=code, words=words)

    def refuse(self, link: IAccountLink, other: int) -> None:
        """Close, with 1008, a link whose implementation is logged in as another account.

        :param other: the number that the implementation is logged in as.
        """
        account = self._account
        reason = f"its implementation is logged in as {other}, not as {account.self_id}"
        if reason != self._logged_refusal:
            self._logged_refusal = reason
            self._examines_events = True
            self._log.warn(
                "account {account}: link refused: {reason}", account=account.self_id, reason=reason
            )
        account.reason = reason
        self._release(link, reason, code=1008)
        link.close(1008, reason)

    def _release(
        self, link: IAccountLink, reason: str, *, code: int | None = None, words: str | None = None
    ) -> None:
        """Forget a link without closing it; calls sent on it end as 1502."""
        self._note_end(link, code, reason if words is None else words)
        if self.pause_reason and self._event_link is link:
            link.resume_reading()  # what was received before its end is taken
        self._account.fan_out.dispatch()  # events before the link's end reach bots before its calls end
        had_actions = self.is_current(link, ACTION_CHANNEL)
        if self._event_link is link:
            self._event_link = None
            self._has_own_event = False
        if had_actions:
            if isinstance(self._actions, Unverified):
                self._actions.cancel()
            self._actions = None
            self.action_link = None
        self._account.backing_changed(reason)
        self._follow()
        if had_actions:
            self._account.end_calls(reason)

    def _note_end(self, link: IAccountLink, code: int | None, reason: str) -> None:
        opened = self._opened.pop(link, None)
        if opened is None:
            return
        account = self._account
        self.last_ended = EndedLink(
            via=opened.via,
            channel=_name(opened.channel),
            code=code,
            reason=printable(reason),
            time=account.wall_clock(),
            lasted=account.clock.seconds() - opened.clock,
        )

    # -- events that the journal cannot take yet

    def pause_events(self, reason: str) -> None:
        """Take no more events of the implementation: the link that carries them is not read.

        :param reason: a part of a sentence, for who is refused.
        """
        self.pause_reason = reason
        if self._event_link is not None:
            self._event_link.pause_reading()

    def resume_events(self) -> None:
        """Take events again."""
        self.pause_reason = ""
        if self._event_link is not None:
            self._event_link.resume_reading()

    # -- what is waited for

    def _missing(self) -> str:
        """Return what an account with a link lacks to be up, a part of a sentence; empty if it is up."""
        if self.is_up:
            return ""
        if self._actions is None:
            return "its API link is not open"
        if self.action_link is None:
            if isinstance(self._actions, Unverified) and self._actions.lacks_action:
                return _NOT_NAMED
            return "its implementation has not answered get_login_info"
        return "its event link is not open"

    def _follow(self) -> None:
        """Start or stop the timers that the present state needs or does not need."""
        if self.is_up or not self._all():
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None
            if self.is_up:
                self._logged_waiting = ""
        elif self._waiting is None:
            self._waiting = self._account.clock.callLater(_WAITING, self._log_waiting)
        asks = self._presence.needs_proof and self.action_link is not None
        if not (asks and get_status_tells_online(self.dialect)):
            if self._status_timer is not None:
                self._status_timer.cancel()
                self._status_timer = None
        elif self._status_timer is None and not self._asks_status:
            self._status_timer = self._account.clock.callLater(_STATUS_RETRY, self._request_status)

    def _log_waiting(self) -> None:
        self._waiting = None
        missing = self._missing()
        state = self._actions
        if isinstance(state, Unverified) and (state.unanswered == 0 or state.has_failed):
            return  # it was answered with a failure: that is logged
        if missing != self._logged_waiting:
            self._logged_waiting = missing
            self._account.reason = missing
            self._log.warn(
                "account {account}: connected, and not up yet: {missing}",
                account=self._account.self_id,
                missing=missing,
            )

    # -- verification

    def _verify(self, link: IAccountLink, named: bool) -> None:
        """Send ``get_login_info`` on a new link, again and again until an answer names the account."""
        self._actions = state = Unverified(link, named)
        self._account.reason = self._missing()
        self._request_login_info(state)

    def _request_login_info(self, state: Unverified) -> None:
        clock = self._account.clock
        state.timer = clock.callLater(_VERIFICATION_RETRY, self._request_login_info, state)
        if state.unanswered >= _MAX_UNANSWERED:
            return
        state.unanswered += 1

        def receive(response: bytes, last: bool) -> None:
            if not last:
                return
            state.unanswered -= 1
            # Without an answer there is nothing to read: it was sent again meanwhile.
            if self._actions is state and clock.seconds() < call.deadline:
                self._login_info_received(state, response)

        call = InternalCall("get_login_info", receive)
        self._account.send(state.link, call, b"{}")

    def _login_info_received(self, state: Unverified, response: bytes) -> None:
        account, link = self._account, state.link
        data = response_data(response)
        user_id = _read_user_id(data)
        if user_id == account.self_id:
            account.login_info = data if len(data) <= _MAX_LOGIN_INFO else _encode_login_info(user_id, b'""')
            self._lacks_nickname = False
            self._presence.mark_online()
            self._verified(state)
        elif user_id:
            self.refuse(link, user_id)
        else:
            outcome = read_response_head(response)
            if lacks_action(outcome):
                self._login_info_lacks(state)
                return
            state.has_failed = True
            why = outcome.reason or f"retcode {outcome.retcode}"
            if outcome.status == "ok":
                why = "its answer names no account"
            why = printable(f"get_login_info failed: {why}")
            account.reason = why
            if self._identity_log.should_log(why):
                self._log.warn("account {account}: {why}; asking again", account=account.self_id, why=why)

    def _verified(self, state: Unverified) -> None:
        """Send bots' actions on the link from now on."""
        account, link = self._account, state.link
        self._identity_log = LogThrottles(account.clock, _LOGGED_IDENTITY_FAILURES)
        state.cancel()
        self._actions = Verified(link)
        self.action_link = link
        account.backing_changed(self._missing())
        self._follow()
        if self.action_link is link:
            self._request_version_info(link)

    def _login_info_lacks(self, state: Unverified) -> None:
        """Take the account's number from events, since the implementation has no ``get_login_info``."""
        known, state.lacks_action = state.lacks_action, True
        if self._has_own_event or (state.named and self._foreign is None):
            self._verify_by_name(state)
            return
        self._account.reason = self._missing() or self._account.reason
        if not known and self._identity_log.should_log(_NOT_NAMED):
            self._log.warn(
                "account {account}: connected, and not up yet: {missing}",
                account=self._account.self_id,
                missing=_NOT_NAMED,
            )

    def _verify_by_name(self, state: Unverified) -> None:
        account = self._account
        if account.login_info is None:
            account.login_info = _encode_login_info(account.self_id, b'""')
            self._lacks_nickname = self._examines_events = True
        self._verified(state)

    def _examine(self, event: Event) -> None:
        """Read what an event says of the account itself: that it is this one, and its nickname.

        It is called for events until nothing of that is unknown.
        """
        account = self._account
        if event.self_id == account.self_id:
            self._foreign = None
            self._has_own_event = True
            if self._logged_refusal and self.is_up:
                self._logged_refusal = ""  # it is the right account again: the next refusal is logged
            if self._lacks_nickname and event.post_type == "message_sent":
                self._read_nickname(event)
            state = self._actions
            if isinstance(state, Unverified) and state.lacks_action:
                self._verify_by_name(state)
        self._examines_events = (
            not self._has_own_event
            or self._lacks_nickname
            or isinstance(self._actions, Unverified)
            or bool(self._logged_refusal)
        )

    def _read_nickname(self, event: Event) -> None:
        """Take the account's nickname from a message that it sent itself."""
        account = self._account
        if place_of(event).user_id not in (None, account.self_id):
            return
        try:
            nickname = bytes(msgspec.json.decode(event.raw, type=_SentMessage).sender.nickname)
        except DECODE_ERRORS:
            return
        if read_string(nickname) and len(nickname) <= _MAX_LOGIN_INFO:
            account.login_info = _encode_login_info(account.self_id, nickname)
            self._lacks_nickname = False

    def _check_identity(self) -> None:
        """Send ``get_login_info`` on a verified link, at most once a minute; refuse it for another number."""
        account, link = self._account, self.action_link
        now = account.clock.seconds()
        if link is None or now < self._next_identity_check:
            return
        self._next_identity_check = now + _FOREIGN_RETRY

        def receive(response: bytes, last: bool) -> None:
            user_id = _read_user_id(response_data(response))
            if last and user_id and user_id != account.self_id and self.is_current(link, ACTION_CHANNEL):
                self.refuse(link, user_id)

        account.send(link, InternalCall("get_login_info", receive), b"{}")

    def _request_version_info(self, link: IAccountLink) -> None:
        def receive(response: bytes, last: bool) -> None:
            if not last or read_response_head(response).status != "ok":
                return
            try:
                read = msgspec.json.decode(response_data(response), type=_VersionData)
            except ValueError:
                return
            name, version = (_read_version(bytes(raw)) for raw in (read.app_name, read.app_version))
            self.version = Version(printable(name), printable(version))
            if self.dialect_is_automatic:
                self.dialect = recognise_dialect(name)
                self._follow()

        self._account.send(link, InternalCall("get_version_info", receive), b"{}")

    def _request_status(self) -> None:
        """Send ``get_status``: after ``bot_offline`` it may be the only one to say that all is well again."""
        self._status_timer = None
        link = self.action_link
        if link is None:
            return
        self._asks_status = True

        def receive(response: bytes, last: bool) -> None:
            if not last:
                return
            self._asks_status = False
            if self.action_link is link and read_response_head(response).status == "ok":
                self.status_received(read_online(response_data(response)), asked=True)
            self._follow()

        self._account.send(link, InternalCall("get_status", receive), b"{}")

    # -- what the implementation sends

    def event_received(self, event: Event) -> None:
        """Update the account's state by an event, and publish it, but for heartbeats and lifecycles."""
        account = self._account
        if self._examines_events:
            self._examine(event)
        if event.post_type == "meta_event":
            if event.detail in ("lifecycle", "heartbeat"):
                return
        elif event.detail == "bot_offline" and event.post_type == "notice":
            if place_of(event).user_id in (None, 0, account.self_id):
                self._presence.mark_offline()
                account.backing_changed()
                self._follow()
        elif not self._presence.online:  # an event that only an account has that is logged in
            if event.detail == "bot_online":
                self._presence.mark_online()
            else:
                self._presence.event_seen()
            account.backing_changed()
            self._follow()
        account.fan_out.publish(event)

    def foreign_event(self, link: IAccountLink, self_id: int, *, trusted: bool) -> None:
        """Take note of an event that names another account; it is dropped, and the link refused for several.

        :param self_id: the number that it names.
        :param trusted: whether events of this account came on the link too: then it is refused only if
            ``get_login_info`` names another account.
        """
        foreign = self._foreign
        if foreign is None or foreign.self_id != self_id:
            foreign = self._foreign = _ForeignEvents(self_id)
            self._examines_events = True
        foreign.count += 1
        if foreign.condemned or (not trusted and foreign.count >= _FOREIGN_EVENTS):
            foreign.condemned = True
            self.refuse(link, self_id)
            return
        account = self._account
        if self._foreign_log.should_log(str(self_id)):
            self._log.warn(
                "account {account}: an event of account {other} was dropped, and more may be",
                account=account.self_id,
                other=self_id,
            )
        if trusted and foreign.count >= _FOREIGN_EVENTS:
            self._check_identity()

    def status_received(self, online: bool | None, *, asked: bool = False) -> None:
        """Update the account's state by a heartbeat or a response to ``get_status``.

        :param online: the field ``online``; None if it is missing.
        :param asked: whether it is a response to ``get_status``.
        """
        if online is not None:
            before = self._presence.online
            vouches = get_status_tells_online if asked else heartbeats_tell_online
            self._presence.update(online, believed=vouches(self.dialect))
            if before is not self._presence.online:
                self._account.backing_changed()
                self._follow()


def _read_user_id(data: bytes) -> int | None:
    """Return the ``user_id`` in the data of ``get_login_info``; None if there is no number."""
    try:
        return read_id(bytes(msgspec.json.decode(data, type=_Identity).user_id))
    except ValueError:
        return None


def _encode_login_info(self_id: int, nickname: bytes) -> bytes:
    """Return the ``data`` of ``get_login_info`` (OneBot 11, ``api/public.md``).

    :param nickname: one JSON string.
    """
    return b'{"user_id":%d,"nickname":%b}' % (self_id, nickname)


def _read_version(value: bytes) -> str:
    """Return the text of a JSON string or number; empty for any other value."""
    return read_string(value) or (value.decode() if value[:1].isdigit() else "")
