"""The faults of sections A to D once more, over TLS: the same peers, the same outcome.

Whole classes that are not here: ``Json`` and ``Beats`` (what stands in a frame, and when a heart beats, does
not depend on what carries it). Single tests that are not say why. A reset is one of the TCP connection below.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import SkipTest

from tests.integration import test_faults_closing as closing
from tests.integration import test_faults_fanout as fanout
from tests.integration import test_faults_framing as framing
from tests.integration import test_faults_process as process
from tests.integration.certificates import OverTls, TlsProxy, TlsService
from tests.integration.running import Service
from tests.rounds import combination


def left_out(why: str) -> Callable[[Any], None]:
    """A test that is not run over TLS."""

    def test(_self: Any) -> None:
        raise SkipTest(why)

    return test


class Vanishing(OverTls, process.Vanishing):
    """Section A over TLS."""


@combination
class Churn(OverTls, process.Churn):
    """The rest of it."""

    test_500_connects_and_drops = left_out(
        "its bound on memory is TCP's: OpenSSL's grows for three rounds, by 20 MiB, and then no more"
    )


class Closing(OverTls, closing.Closing):
    """Section B over TLS."""


class Stopping(OverTls, closing.Stopping):
    """The service is told to stop, and has to end TLS too."""

    def start_service(self, toml: str | None = None, server: str | None = None) -> Service:
        folder = Path(self.mktemp()).absolute()
        service: Service = self.tls_service(TlsService, folder, toml or self.toml, server or self.server)
        self.addCleanup(self._end, service)
        return service

    test_L14_sigint_too = left_out("the signal does not know of TLS")
    test_no_newcomers_while_it_stops = left_out("who does not get TCP does not get TLS")


@combination
class HalfOpen(OverTls, closing.HalfOpen):
    """Peers that say nothing; the dead network passes TLS on as it is."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(closing, "Proxy", TlsProxy)

    test_a_peer_that_never_answers_pings_stays = left_out("only takes time: about frames, not bytes")
    test_busy_for_less_than_the_time_limit = left_out("only takes time: about frames, not bytes")
    test_unasked_pongs_are_no_answers = left_out("only takes time: about frames, not bytes")


@combination
class FanOut(OverTls, fanout.FanOut):
    """Section C over TLS."""


class Framing(OverTls, framing.Framing):
    """Section D over TLS."""


@combination
class Sizes(OverTls, framing.Sizes):
    """How large a message may be."""


@combination
class Endless(OverTls, framing.Endless):
    """Messages that never end."""
