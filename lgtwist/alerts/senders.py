"""Sending messages to receivers: one try each, within a time limit, whose outcome is told in words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen

from lgtwist.alerts.alert import AlertMessage, ReceiverAnswer
from lgtwist.alerts.answers import WordCleaner, seconds_to_wait, secrets_of_url
from lgtwist.alerts.formats import (
    RECEIVER_FORMATS,
    SECRET_HEADERS,
    SEND_TIMEOUT,
    UnusableReceiver,
    clean_message,
)
from lgtwist.alerts.interfaces import AlertSender
from lgtwist.alerts.settings import AlertSettings
from lgtwist.net.http_client import Answer, BodyLost, TooLarge, WebClient, why_failed

#: Bytes that the body of a receiver's answer may have.
_MAX_RECEIVER_ANSWER = 1 << 20


@frozen
class SenderResources:
    """What senders use.

    :ivar reactor: network and clock.
    :ivar client: posts; the senders of all receivers may share it.
    :ivar trust_root: who may sign the certificates of mail servers: as for ``WebClient``.
    :ivar now: returns the time in seconds since the epoch, for signatures.
    """

    reactor: Any
    client: WebClient
    trust_root: Any = None
    now: Callable[[], float] = time.time


def make_sender(settings: AlertSettings, resources: SenderResources) -> AlertSender:
    """Return what sends messages to the receiver of one of ``[[alerts]]``."""
    if settings.mail is not None:
        from lgtwist.alerts.smtp import (
            MailSender,
        )  # Twisted's mail is imported where there is such a receiver

        return MailSender(settings.mail, resources.reactor, resources.trust_root, resources.now)
    return _HttpSender(settings, resources)


class _HttpSender:
    """Posts messages to one receiver."""

    def __init__(self, settings: AlertSettings, resources: SenderResources) -> None:
        self._settings = settings
        self._resources = resources
        self._format = RECEIVER_FORMATS[settings.kind]
        self._secrets = [*secrets_of_url(settings.url), *filter(None, [settings.secret])]

    async def send(self, message: AlertMessage) -> ReceiverAnswer:
        """Post one message, once."""
        now = self._resources.now()
        try:
            request = self._format.request(self._settings, clean_message(message), now)
        except UnusableReceiver as error:
            return ReceiverAnswer(False, 0, str(error), retry=False)
        except ValueError:  # no sentence of urlsplit's: it may show the URL
            return ReceiverAnswer(False, 0, "the URL cannot be used", retry=False)
        made = [value for name, value in request.headers.items() if name in SECRET_HEADERS]
        cleaner = WordCleaner([*self._secrets, *secrets_of_url(request.url), *made])
        try:
            answer = await self._resources.client.post(
                request.url, request.body, request.headers, _MAX_RECEIVER_ANSWER, SEND_TIMEOUT
            )
        except TooLarge as error:
            if not self._format.by_status:  # it may have taken the message
                return ReceiverAnswer(False, error.status, why_failed(error), retry=False)
            answer = Answer(error.status, b"")
        except BodyLost as error:
            if not self._format.by_status:
                return ReceiverAnswer(False, error.status, str(error))
            answer = Answer(error.status, b"")
        except Exception as error:
            return cleaner.clean(ReceiverAnswer(False, 0, why_failed(error)))
        judged = self._format.judge(answer.status, answer.body)
        if judged.retry_after is None and not judged.accepted and judged.retry:
            judged = evolve(judged, retry_after=seconds_to_wait(answer.retry_after, now))
        return cleaner.clean(judged)
