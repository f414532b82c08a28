"""HTTP POST: we post events to a bot, and do what its answers ask for.

OneBot 11, ``communication/http-post.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred

from lgtwist.bots.posting import CertainPosting, Posting
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.net.backoff import Backoff
from lgtwist.net.http_client import Answer, WebClient
from lgtwist.onebot.auth import sign


class HttpPostBot(Service):
    """A bot that takes events by HTTP POST.

    :param url: where to.
    :param secret: signs the posts; None for none.
    :param timeout: seconds that one post may take.
    :param max_answer: bytes that an answer may have.
    """

    def __init__(
        self,
        client: WebClient,
        bot: Bot,
        accounts: Iterable[Account],
        url: str,
        secret: str | None,
        timeout: float,
        max_answer: int,
        send_buffer: int,
        heartbeat_interval: float,
        make_backoff: Callable[[], Backoff],
    ) -> None:
        self.bot = bot
        self._client = client
        self._url = url
        self._secret = secret
        self._timeout = timeout
        self._max_answer = max_answer
        self._postings: dict[Account, Posting] = {}
        for account in accounts:
            settings = (
                bot,
                account,
                self._poster(account),
                make_backoff(),
                send_buffer,
                heartbeat_interval,
                url.partition("?")[0],
            )
            delivery = bot.deliveries.get(account.self_id)
            self._postings[account] = (
                Posting(*settings) if delivery is None else CertainPosting(delivery, *settings)
            )

    def _poster(self, account: Account) -> Callable[[bytes], Deferred[Answer]]:
        headers = {
            "X-Self-ID": str(account.self_id),
            "Content-Type": "application/json",
            "User-Agent": "lgtwist",
        }

        def post(event: bytes) -> Deferred[Answer]:
            signed = headers
            if self._secret is not None:
                signed = {**headers, "X-Signature": sign(self._secret, event)}
            posting: Any = self._client.post(self._url, event, signed, self._max_answer, self._timeout)
            return Deferred.fromCoroutine(posting)

        return post

    def startService(self) -> None:
        """Post as soon as the accounts are up."""
        super().startService()
        for account, posting in self._postings.items():
            account.when_up(partial(self._start, posting))

    def _start(self, posting: Posting) -> None:
        if self.running:
            posting.start()

    def hang_up(self) -> None:
        """Post no more."""
        self.running = 0
        for posting in self._postings.values():
            posting.stop()

    def stopService(self) -> Deferred[None]:
        """Post no more, and close the connections that are kept."""
        self.hang_up()
        return self._client.close()
