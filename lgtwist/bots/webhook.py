"""Bots with ``connection = "http-post"``: we post events; answers may have quick operations.

OneBot 11, ``communication/http-post.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import Factory, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from lgtwist.bots.posting import JournalQueue, LiveQueue, Posting, Queue
from lgtwist.config.authorities import Authorities
from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Section
from lgtwist.config.values import duration, token, url
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import DirectoryObserver
from lgtwist.hub.edges import EdgeResources, IBotEdge
from lgtwist.hub.interfaces import IPoster
from lgtwist.hub.settings import BotSettings
from lgtwist.hub.snapshots import PostingState
from lgtwist.net.backoff import ReconnectSettings
from lgtwist.net.http_client import Answer, WebClient
from lgtwist.onebot.auth import sign

#: Whether the bot connects to our port.
DIALS_IN = False
#: Whether ``access_token`` is sent to the bot when a connection to it is opened.
SENDS_TOKEN = False


@frozen
class Settings:
    """The keys of a bot with ``connection = "http-post"``.

    :ivar url: where to post; its query may hold a token.
    :ivar secret: the key of the signatures of posts (``X-Signature``); None for none.
    :ivar timeout: seconds that one post may take.
    :ivar trust_root: authorities of the bot's certificate; None for the system's.
    :ivar reconnect: the back-off between posts while they fail.
    """

    url: str = field(repr=False, metadata=asks_for(Change.ANEW))
    secret: str | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    timeout: float = 5.0
    trust_root: Authorities | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    reconnect: ReconnectSettings = Factory(ReconnectSettings)


def read(section: Section) -> Settings:
    """Read the keys of a bot with ``connection = "http-post"``; mistakes are collected in the section."""
    return Settings(
        section.read("url", url("http", "https")),
        section.read_secret("secret", token),
        section.read("timeout", duration(0.1, 600), "5s"),
        section.read_certificates("ca_file"),
    )


def describe(settings: Settings, bot: BotSettings, urls: list[str]) -> str:
    """Return how the bot is served: a part of its line in the summary."""
    signed = "signed with its secret" if settings.secret else "not signed"
    return f"gets its events posted to {settings.url.partition('?')[0]}, {signed}"


@implementer(IBotEdge, IPoster)
class WebhookBot(DirectoryObserver, Service):
    """A bot that gets its events by HTTP POST: one :class:`Posting` for each of its accounts.

    Events of an account are posted once the account was up.

    :param client: sends the requests; None to make one.
    """

    def __init__(
        self, bot: Bot, settings: Settings, resources: EdgeResources, client: WebClient | None = None
    ) -> None:
        self.bot = bot
        self._settings = settings
        self._resources = resources
        self._client = client or WebClient(resources.reactor, settings.trust_root, bot.budget)
        self._postings: dict[int, Posting] = {}

    def prepare(self) -> None:
        """Do nothing: no file is needed."""

    def configure(self, settings: Settings) -> None:
        """Replace the back-off and the time limit of posts, and use the bot's present settings."""
        self._settings = settings
        for posting in self._postings.values():
            posting.use_backoff(settings.reconnect.backoff(self._resources.uniform))

    def refresh(self) -> None:
        """Use the bot's present settings and deliveries, from the next event on."""
        for posting in tuple(self._postings.values()):
            account = posting.account
            if posting.delivery is self.bot.deliveries.get(account.self_id):
                posting.refresh(self._resources.limits.heartbeat_interval)
            else:
                self.account_removed(account)
                self.account_added(account)

    def account_added(self, account: Account) -> None:
        """Post the account's events, if the bot may use the account."""
        if not self.bot.may_use(account.self_id):
            return
        settings, resources = self._settings, self._resources
        delivery = self.bot.deliveries.get(account.self_id)
        queue: Queue = (
            LiveQueue(self.bot, account) if delivery is None else JournalQueue(self.bot, account, delivery)
        )
        posting = self._postings[account.self_id] = Posting(
            self.bot,
            account,
            self._make_post(account),
            settings.reconnect.backoff(resources.uniform),
            queue,
            heartbeat_interval=resources.limits.heartbeat_interval,
            shown_url=settings.url.partition("?")[0],
        )
        if self.running:
            self._start_when_up(posting)

    def account_removed(self, account: Account) -> None:
        """Post the account's events no more."""
        posting = self._postings.pop(account.self_id, None)
        if posting is not None:
            posting.stop()

    def _make_post(self, account: Account) -> Callable[[bytes], Deferred[Answer]]:
        headers = {
            "X-Self-ID": str(account.self_id),
            "Content-Type": "application/json",
            "User-Agent": "lgtwist",
        }

        def post(event: bytes) -> Deferred[Answer]:
            settings, max_answer = self._settings, self._resources.limits.max_message
            signed = headers
            if settings.secret is not None:
                signed = {**headers, "X-Signature": sign(settings.secret, event)}
            posting: Any = self._client.post(settings.url, event, signed, max_answer, settings.timeout)
            return Deferred.fromCoroutine(posting)

        return post

    def startService(self) -> None:
        """Post the events of each account once it was up."""
        super().startService()
        for posting in self._postings.values():
            self._start_when_up(posting)

    def _start_when_up(self, posting: Posting) -> None:
        posting.account.when_up(partial(self._start, posting))

    def _start(self, posting: Posting) -> None:
        if self.running and self._postings.get(posting.account.self_id) is posting:
            posting.start()

    def postings(self) -> dict[int, PostingState]:
        """Return how the posts go, by the account's number."""
        return {self_id: posting.state() for self_id, posting in self._postings.items()}

    def retire(self) -> None:
        """Post no more."""
        self.running = 0
        for posting in self._postings.values():
            posting.stop()

    def stopService(self) -> Deferred[None]:
        """Post no more, and close the idle connections to the bot."""
        self.retire()
        return self._client.close()


#: The class of the edge, as the kind's module names it.
make = WebhookBot
