"""The links of this node to one account's implementation: an :class:`IBacking` of the account.

An implementation is reached by one link that carries both channels (actions and events), or by one for
each. A new link replaces the older ones that carry any of its channels; those are closed.

States of the channel of actions, with their data::

    None                              no link
    VerificationPending(link)         get_login_info was sent on it; bots' actions are not sent yet
    VerificationDelayed(link, timer)  get_login_info failed; it is sent again when the timer fires
    Verified(link)                    the implementation is logged in as this account; actions are sent
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from attrs import frozen
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from lgtwist.hub.calls import InternalCall
from lgtwist.hub.interfaces import ACTION_CHANNEL, Channel, IAccountLink, IBacking
from lgtwist.hub.presence import Presence
from lgtwist.hub.snapshots import EndedLink, OpenLink
from lgtwist.onebot.dialect import Dialect, recognise_dialect
from lgtwist.onebot.event import Event, read_id
from lgtwist.onebot.responses import read_response_head, response_data
from lgtwist.runtime.logs import Logger, LogThrottles, printable

if TYPE_CHECKING:
    from lgtwist.hub.account import Account

#: Different reasons of failed get_login_info that are logged per minute: the peer chooses their words.
_LOGGED_IDENTITY_FAILURES = 8
#: Bytes of the ``data`` of ``get_login_info`` that are kept to answer with while the account is down.
_MAX_LOGIN_INFO = 16_384
#: Seconds until get_login_info is sent again after it failed.
_VERIFICATION_RETRY = 5.0


@frozen
class VerificationPending:
    """``get_login_info`` was sent on the link."""

    link: IAccountLink


@frozen
class VerificationDelayed:
    """``get_login_info`` is sent again when the timer fires."""

    link: IAccountLink
    timer: IDelayedCall


@frozen
class Verified:
    """The implementation on the link is logged in as this account, by its ``get_login_info``."""

    link: IAccountLink


#: The state of the channel of actions; None while no link carries it.
ActionState = VerificationPending | VerificationDelayed | Verified | None


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


class _VersionData(msgspec.Struct):
    app_name: str = ""
    app_version: str = ""


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

    def opened(self, link: IAccountLink, channel: Channel = Channel.BOTH, description: str = "") -> None:
        """Use a link that was opened; close those that carried any of its channels.

        :param channel: the channels that it carries.
        :param description: how the account is reached, for the log; empty if unknown.
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
            if self.pause_reason:
                link.pause_reading()
        self._presence.mark_online()
        if Channel.ACTIONS in channel:
            self._request_login_info(link)
        else:
            self._account.backing_changed()

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
        if had_actions:
            if isinstance(self._actions, VerificationDelayed):
                self._actions.timer.cancel()
            self._actions = None
            self.action_link = None
        self._account.backing_changed(reason)
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

    # -- verification

    def _request_login_info(self, link: IAccountLink) -> None:
        self._actions = VerificationPending(link)

        def receive(response: bytes, last: bool) -> None:
            if last and self.is_current(link, ACTION_CHANNEL):
                self._login_info_received(link, response)

        self._account.send(link, InternalCall("get_login_info", receive), b"{}")

    def _login_info_received(self, link: IAccountLink, response: bytes) -> None:
        account = self._account
        outcome = read_response_head(response)
        data = response_data(response)
        try:
            user_id = read_id(bytes(msgspec.json.decode(data, type=_Identity).user_id))
        except ValueError:
            user_id = None
        if user_id == account.self_id:
            self._identity_log = LogThrottles(account.clock, _LOGGED_IDENTITY_FAILURES)
            account.login_info = (
                data if len(data) <= _MAX_LOGIN_INFO else b'{"user_id":%d,"nickname":""}' % user_id
            )
            self._actions = Verified(link)
            self.action_link = link
            self._presence.mark_online()
            account.backing_changed("its event link is not open")
            if self.action_link is link:
                self._request_version_info(link)
        elif user_id is None:
            why = printable(f"get_login_info failed: {outcome.reason or f'retcode {outcome.retcode}'}")
            account.reason = why
            if self._identity_log.should_log(why):
                self._log.warn("account {account}: {why}; asking again", account=account.self_id, why=why)
            timer = account.clock.callLater(_VERIFICATION_RETRY, self._request_login_info, link)
            self._actions = VerificationDelayed(link, timer)
        else:
            self.refuse(link, user_id)

    def _request_version_info(self, link: IAccountLink) -> None:
        def receive(response: bytes, last: bool) -> None:
            if not last or read_response_head(response).status != "ok":
                return
            try:
                read = msgspec.json.decode(response_data(response), type=_VersionData)
            except ValueError:
                return
            self.version = Version(printable(read.app_name), printable(read.app_version))
            if self.dialect_is_automatic:
                self.dialect = recognise_dialect(read.app_name)

        self._account.send(link, InternalCall("get_version_info", receive), b"{}")

    # -- what the implementation sends

    def event_received(self, event: Event) -> None:
        """Update the account's state by an event, and publish it, but for heartbeats and lifecycles."""
        account = self._account
        if self._logged_refusal and self.is_up and event.self_id == account.self_id:
            self._logged_refusal = ""  # it is the right account again: the next refusal is logged
        if event.post_type == "message":
            if not self._presence.online:
                self._presence.mark_online()
                account.backing_changed()
        elif event.post_type == "notice" and event.detail in ("bot_offline", "bot_online"):
            if event.detail == "bot_online":
                self._presence.mark_online()
            else:
                self._presence.mark_offline()
            account.backing_changed()
        elif event.post_type == "meta_event" and event.detail in ("lifecycle", "heartbeat"):
            return
        account.fan_out.publish(event)

    def status_received(self, online: bool | None) -> None:
        """Update the account's state by a heartbeat or a response to ``get_status``.

        :param online: the field ``online``; None if it is missing.
        """
        if online is not None:
            before = self._presence.online
            self._presence.update(online)
            if before is not self._presence.online:
                self._account.backing_changed()
