"""Sending messages to receivers: a stand-in for webhooks, until the senders are merged."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from attrs import frozen

from lgtwist.alerts.alert import AlertMessage, ReceiverAnswer
from lgtwist.alerts.interfaces import AlertSender
from lgtwist.alerts.settings import AlertSettings
from lgtwist.alerts.templates import webhook_body
from lgtwist.net.http_client import WebClient, why_failed


@frozen
class SenderResources:
    """What senders use."""

    reactor: Any
    client: WebClient
    trust_root: Any = None
    now: Callable[[], float] = time.time


def make_sender(settings: AlertSettings, resources: SenderResources) -> AlertSender:
    """Return what sends messages to the receiver of one of ``[[alerts]]``."""
    return _Webhook(settings, resources)


class _Webhook:
    def __init__(self, settings: AlertSettings, resources: SenderResources) -> None:
        self._settings, self._resources = settings, resources

    async def send(self, message: AlertMessage) -> ReceiverAnswer:
        """Post one message, once."""
        body = webhook_body(message, self._settings.template).encode()
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self._resources.client.post(self._settings.url, body, headers, 1 << 20, 10.0)
        except Exception as error:
            return ReceiverAnswer(False, 0, why_failed(error))
        return ReceiverAnswer(200 <= answer.status < 300, answer.status, "")
