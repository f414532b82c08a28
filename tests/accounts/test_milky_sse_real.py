"""Milky's events as server-sent events, with a real server of another stack."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from unittest import skipUnless

from twisted.internet import reactor as installed
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lgtwist.accounts.milky.event_stream import StreamPlan
from lgtwist.accounts.milky.sse import SseStream
from lgtwist.config.limits import Limits
from lgtwist.net.backoff import Backoff
from lgtwist.runtime.turns import FlushScheduler
from tests.accounts.test_milky_sse import Listener
from tests.integration.running import ROOT
from tests.net.ends import come

reactor: Any = installed
MANY = 1000


@skipUnless(importlib.util.find_spec("aiohttp"), "aiohttp is not installed")
class RealServerTests(TestCase):
    timeout = 60

    async def test_two_streams(self) -> None:
        """After a refusal, two whole streams, each with its end; then it is stopped, and nothing is left."""
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.accounts.sse_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(server.wait)
        assert server.stdin is not None
        assert server.stdout is not None
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.stdin.close)
        port = int(await deferToThread(server.stdout.readline))
        scheduler = FlushScheduler(reactor)
        listener = Listener(scheduler)
        plan = StreamPlan(
            name="account 10001",
            url=f"http://127.0.0.1:{port}/milky",
            headers={"Authorization": "Bearer SECRET"},
            backoff=Backoff(0.05, 0.1, lambda low, _high: low),
        )
        resources: Any = SimpleNamespace(reactor=reactor, limits=Limits(), scheduler=scheduler)
        stream = listener.stream = SseStream(plan, listener, resources)
        stream.start()
        await come(lambda: len(listener.ends) == 2)
        await stream.stop()
        [reason] = listener.failures
        self.assertTrue(reason.startswith("refused with HTTP 401"), reason)
        self.assertEqual(listener.numbers[: 2 * (MANY + 1)], [*range(MANY + 1)] * 2)
        self.assertEqual(listener.ends[:2], [(None, "the server ended the stream")] * 2)
        self.assertEqual(listener.budget.used, 0)
