"""The links of this node to one account's implementation: an :class:`IBacking` of the account.

An implementation is reached by one link that carries both channels (actions and events), or by one for
each. The newest link that carries a channel takes over: the older one is released by its identity.

States of the actions' channel, each with what it has::

    None                  no link
    Asking(link)          get_login_info was sent on it; no action of a bot goes up yet
    AskingAgain(link, t)  the implementation could not say who it is; it is asked again when t fires
    Verified(link)        it is this account; actions go up
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from attrs import frozen
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from lgtwist.hub.calls import InternalCall
from lgtwist.hub.interfaces import Channel, IAccountLink, IBacking
from lgtwist.hub.presence import Presence
from lgtwist.onebot.dialect import Dialect, recognise_dialect
from lgtwist.onebot.event import Event, read_id
from lgtwist.onebot.responses import read_response_head, response_data
from lgtwist.runtime.logs import LogThrottles, printable

if TYPE_CHECKING:
    from lgtwist.hub.account import Account

#: A name of this module: Python 3.11 finds an enumeration's member five times more slowly.
_ACTIONS = Channel.ACTIONS
#: How many reasons why it cannot say who it is are logged per minute: the peer may have invented them.
_LOGGED_REASONS = 8
#: Seconds until an implementation that could not say who it is is asked again.
_ASK_AGAIN = 5.0


@frozen
class Asking:
    """``get_login_info`` was sent on the link."""

    link: IAccountLink


@frozen
class AskingAgain:
    """``get_login_info`` is sent again when the timer fires."""

    link: IAccountLink
    timer: IDelayedCall


@frozen
class Verified:
    """The implementation on the link has said that it is this account."""

    link: IAccountLink


ActionState = Asking | AskingAgain | Verified | None


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


@implementer(IBacking)
class Links:
    """The open links of one account, and what its implementation says of itself.

    :param account: whose links they are.
    :param dialect: the implementation's; AUTO to recognise it by ``get_version_info``.
    :ivar action_link: the verified link for actions; None while there is none.
    :ivar version: what the implementation says that it is.
    :ivar dialect_is_guessed: whether the configuration leaves the dialect to be recognised.
    :ivar via: how the account is reached, for the log.
    """

    _log = Logger()

    def __init__(self, account: Account, dialect: Dialect = Dialect.AUTO) -> None:
        self.dialect = dialect
        self.dialect_is_guessed = dialect is Dialect.AUTO
        self.version = Version()
        self.action_link: IAccountLink | None = None
        self.via = ""
        self._account = account
        self._actions: ActionState = None
        self._event_link: IAccountLink | None = None
        self._presence = Presence()
        self._identity_log = LogThrottles(account.clock, _LOGGED_REASONS)
        self._logged_refusal = ""

    def configure(self, dialect: Dialect) -> None:
        """Take another dialect; AUTO keeps the one that was recognised."""
        self.dialect_is_guessed = dialect is Dialect.AUTO
        if not self.dialect_is_guessed:
            self.dialect = dialect
        elif self.version.app_name:
            self.dialect = recognise_dialect(self.version.app_name)

    # -- what the account reads

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
        """Let go of every link."""
        for link in self._all():
            self._release(link, reason)

    def close(self, code: int, reason: str) -> None:
        """Close every link with a close code (RFC 6455, 7.4.1)."""
        for link in self._all():
            self._release(link, reason)
            link.close(code, reason)

    # -- links that open and close

    def _all(self) -> set[IAccountLink]:
        actions = None if self._actions is None else self._actions.link
        return {link for link in (actions, self._event_link) if link is not None}

    def is_current(self, link: IAccountLink, channel: Channel) -> bool:
        """Return whether ``link`` is the one that carries this channel."""
        if channel is _ACTIONS:
            return self._actions is not None and self._actions.link is link
        return self._event_link is link

    def opened(self, link: IAccountLink, channel: Channel = Channel.BOTH, via: str = "") -> None:
        """Take in an open link; it takes over from those that carried what it carries.

        :param via: how the account is reached, for the log.
        """
        self.via = f" ({via})" if via else ""
        counters = self._account.counters
        counters.links += 1
        for older in self._all():
            carried = (Channel.ACTIONS, Channel.EVENTS)
            if not any(each in channel and self.is_current(older, each) for each in carried):
                continue
            counters.takeovers += 1
            self._release(older, "a newer link took over")
            older.close(1000, "a newer link took over")
        if Channel.EVENTS in channel:
            self._event_link = link
        self._presence.sign_of_life()
        if Channel.ACTIONS in channel:
            self._ask_identity(link)
        else:
            self._account.backing_changed()

    def closed(self, link: IAccountLink, reason: str) -> None:
        """Let go of a link that is over: what was sent on it ends as 1502. Ignore one that was replaced."""
        if link in self._all():
            self._release(link, reason)

    def refuse(self, link: IAccountLink, other: int) -> None:
        """Close a link that leads to another account: nothing of it is passed on.

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
        self._release(link, reason)
        link.close(1008, reason)

    def _release(self, link: IAccountLink, reason: str) -> None:
        self._account.fan_out.dispatch()  # what came before the end goes before it
        carried_actions = self.is_current(link, _ACTIONS)
        if self._event_link is link:
            self._event_link = None
        if carried_actions:
            if isinstance(self._actions, AskingAgain):
                self._actions.timer.cancel()
            self._actions = None
            self.action_link = None
        self._account.backing_changed(reason)
        if carried_actions:
            self._account.end_calls(reason)

    # -- whose account it is

    def _ask_identity(self, link: IAccountLink) -> None:
        self._actions = Asking(link)

        def receive(response: bytes, last: bool) -> None:
            if last and self.is_current(link, _ACTIONS):
                self._identity_came(link, response)

        self._account.send(link, InternalCall("get_login_info", receive), b"{}")

    def _identity_came(self, link: IAccountLink, response: bytes) -> None:
        account = self._account
        outcome = read_response_head(response)
        data = response_data(response)
        try:
            user_id = read_id(bytes(msgspec.json.decode(data, type=_Identity).user_id))
        except ValueError:
            user_id = None
        if user_id == account.self_id:
            self._identity_log = LogThrottles(account.clock, _LOGGED_REASONS)
            account.login_info = data
            self._actions = Verified(link)
            self.action_link = link
            self._presence.sign_of_life()
            account.backing_changed("its event link is not open")
            if self.action_link is link:
                self._ask_version(link)
        elif user_id is None:
            why = printable(f"get_login_info failed: {outcome.reason or f'retcode {outcome.retcode}'}")
            account.reason = why
            if self._identity_log.should_log(why):
                self._log.warn("account {account}: {why}; asking again", account=account.self_id, why=why)
            timer = account.clock.callLater(_ASK_AGAIN, self._ask_identity, link)
            self._actions = AskingAgain(link, timer)
        else:
            self.refuse(link, user_id)

    def _ask_version(self, link: IAccountLink) -> None:
        def receive(response: bytes, last: bool) -> None:
            if not last or read_response_head(response).status != "ok":
                return
            try:
                read = msgspec.json.decode(response_data(response), type=_VersionData)
            except ValueError:
                return
            self.version = Version(printable(read.app_name), printable(read.app_version))
            if self.dialect_is_guessed:
                self.dialect = recognise_dialect(read.app_name)

        self._account.send(link, InternalCall("get_version_info", receive), b"{}")

    # -- what the implementation sends

    def event_came(self, event: Event) -> None:
        """Note what an event tells of the account's state and publish it; meta events end here."""
        account = self._account
        if self._logged_refusal and self.is_up and event.self_id == account.self_id:
            self._logged_refusal = ""  # it is this account's again in every respect: log the next refusal
        if event.post_type == "message":
            if not self._presence.online:
                self._presence.sign_of_life()
                account.backing_changed()
        elif event.post_type == "notice" and event.detail in ("bot_offline", "bot_online"):
            if event.detail == "bot_online":
                self._presence.sign_of_life()
            else:
                self._presence.said_offline()
            account.backing_changed()
        elif event.post_type == "meta_event" and event.detail in ("lifecycle", "heartbeat"):
            return
        account.fan_out.publish(event)

    def status_came(self, online: bool | None) -> None:
        """Note what a heartbeat, or the response to ``get_status``, says; None if it does not say."""
        if online is not None:
            before = self._presence.online
            self._presence.status(online)
            if before is not self._presence.online:
                self._account.backing_changed()
