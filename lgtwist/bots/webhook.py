"""Bots with ``connection = "http-post"``: we post events, and do what the answers ask for.

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
from lgtwist.config.change import Change, asks_for
from lgtwist.config.section import Authorities, Section, trust_root_of
from lgtwist.config.values import duration, token, url
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import DirectoryObserver
from lgtwist.hub.edges import EdgeResources, IBotEdge
from lgtwist.hub.settings import BotSettings
from lgtwist.net.backoff import ReconnectSettings
from lgtwist.net.http_client import Answer, WebClient
from lgtwist.onebot.auth import sign

#: Whether the bot connects to our port.
DIALS_IN = False
#: Whether the bot is shown its ``access_token`` when a link to it is made.
SENDS_TOKEN = False


@frozen
class Settings:
    """What such a bot is configured with.

    :ivar url: where to post; its query may hold a token.
    :ivar secret: signs the posts; None for none.
    :ivar timeout: seconds that one post may take.
    :ivar trust_root: who may sign the bot's certificate; None for the system's authorities.
    :ivar reconnect: the gaps between posts while they fail.
    """

    url: str = field(repr=False, metadata=asks_for(Change.ANEW))
    secret: str | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    timeout: float = 5.0
    trust_root: Authorities | None = field(default=None, repr=False, metadata=asks_for(Change.ANEW))
    reconnect: ReconnectSettings = Factory(ReconnectSettings)


def read(section: Section) -> Settings:
    """Read the keys of such a bot; mistakes are collected in the section."""
    return Settings(
        section.take("url", url("http", "https")),
        section.take_secret("secret", token),
        section.take("timeout", duration(0.1, 600), "5s"),
        section.take_certificates("ca_file"),
    )


def describe(settings: Settings, bot: BotSettings, urls: list[str]) -> str:
    """Return how the bot is served, for people."""
    signed = "signed with its secret" if settings.secret else "not signed"
    return f"gets its events posted to {settings.url.partition('?')[0]}, {signed}"


@implementer(IBotEdge)
class WebhookBot(DirectoryObserver, Service):
    """A bot that takes events by HTTP POST: one :class:`Posting` for each of its accounts.

    None is posted before its account was up once.

    :param client: sends the requests; None to make one.
    """

    def __init__(
        self, bot: Bot, settings: Settings, resources: EdgeResources, client: WebClient | None = None
    ) -> None:
        self.bot = bot
        self._settings = settings
        self._resources = resources
        self._client = client or WebClient(resources.reactor, trust_root_of(settings.trust_root))
        self._postings: dict[int, Posting] = {}

    def prepare(self) -> None:
        """Nothing is needed beforehand."""

    def configure(self, settings: Settings) -> None:
        """Take other gaps and another time limit, and the bot's own settings as they are now."""
        self._settings = settings
        for posting in self._postings.values():
            posting.use_backoff(settings.reconnect.backoff(self._resources.uniform))

    def refresh(self) -> None:
        """Take the bot's settings and deliveries as they are now, from the next event on."""
        for posting in tuple(self._postings.values()):
            account = posting.account
            if posting.delivery is self.bot.deliveries.get(account.self_id):
                posting.refresh(self._resources.limits.heartbeat_interval)
            else:
                self.account_removed(account)
                self.account_added(account)

    def account_added(self, account: Account) -> None:
        """Post the account's events, if they are for this bot."""
        if not self.bot.may_use(account.self_id):
            return
        settings, resources = self._settings, self._resources
        limits = resources.limits
        delivery = self.bot.deliveries.get(account.self_id)
        queue: Queue = (
            LiveQueue(self.bot, account, limits.send_buffer)
            if delivery is None
            else JournalQueue(self.bot, account, delivery, limits.send_buffer)
        )
        posting = self._postings[account.self_id] = Posting(
            self.bot,
            account,
            self._poster(account),
            settings.reconnect.backoff(resources.uniform),
            queue,
            heartbeat_interval=limits.heartbeat_interval,
            shown_url=settings.url.partition("?")[0],
        )
        if self.running:
            self._start_when_up(posting)

    def account_removed(self, account: Account) -> None:
        """Post the account's events no more."""
        posting = self._postings.pop(account.self_id, None)
        if posting is not None:
            posting.stop()

    def _poster(self, account: Account) -> Callable[[bytes], Deferred[Answer]]:
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
        """Post as soon as the accounts are up."""
        super().startService()
        for posting in self._postings.values():
            self._start_when_up(posting)

    def _start_when_up(self, posting: Posting) -> None:
        posting.account.when_up(partial(self._start, posting))

    def _start(self, posting: Posting) -> None:
        if self.running and self._postings.get(posting.account.self_id) is posting:
            posting.start()

    def retire(self) -> None:
        """Post no more."""
        self.running = 0
        for posting in self._postings.values():
            posting.stop()

    def stopService(self) -> Deferred[None]:
        """Post no more, and close the connections that are kept."""
        self.retire()
        return self._client.close()


make = WebhookBot
