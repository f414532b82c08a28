"""What is reached into of Autobahn is there, in the versions that it was tried with."""

from __future__ import annotations

from typing import Any

import autobahn
from autobahn.twisted.websocket import (
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.websocket.client import ClientConnection
from lgtwist.websocket.factory import OPTIONS
from lgtwist.websocket.server import ServerConnection
from tests.integration.rawclient import handshake
from tests.pair import DiallingPair, Pair

#: The versions of Autobahn that ``lgtwist/websocket/autobahn_private.py`` was tried with; the first is the
#: newest for Python 3.10.
TRIED_WITH = ("24.4.2", "26.10.2")


class AutobahnTests(SynchronousTestCase):
    def test_the_version(self) -> None:
        """Another major version is to be tried by hand first."""
        majors = {tried.partition(".")[0] for tried in TRIED_WITH}
        self.assertIn(
            autobahn.__version__.partition(".")[0],
            majors,
            f"Autobahn {autobahn.__version__} has another major version than those that "
            f"lgtwist/websocket/autobahn_private.py was tried with ({', '.join(TRIED_WITH)}): see whether "
            "what it reaches into still means the same, run all tests, then add the version to TRIED_WITH",
        )

    def test_methods(self) -> None:
        """Autobahn has the methods that are called, and those that are overridden."""
        for kind in (WebSocketClientProtocol, WebSocketServerProtocol):
            for name in (
                "_dataReceived", "_connectionLost", "_connectionMade", "_fail_connection", "_closeConnection",
                "CONFIG_ATTRS", "consumeData", "processData", "sendCloseFrame", "sendData",
            ):  # fmt: skip
                self.assertTrue(
                    hasattr(kind, name), f"{kind.__name__} has no {name}: Autobahn has changed it"
                )
        for name in ("_connectionMade", "_connectionLost"):
            self.assertIn(name, vars(WebSocketProtocol))

    def test_attributes(self) -> None:
        """A connection that is open has the attributes that are read for each frame."""
        for pair in (Pair(), DiallingPair()):
            connection: Any = pair.connect().open().connection
            for name in ("data", "state", "current_frame", "inside_message", "wasClean"):
                self.assertTrue(hasattr(connection, name), f"no {name}: Autobahn has changed it")

    def test_options(self) -> None:
        """The options that both factories set are among those that a connection takes over."""
        configured = {*WebSocketServerProtocol.CONFIG_ATTRS, *WebSocketClientProtocol.CONFIG_ATTRS}
        self.assertLessEqual(set(OPTIONS), configured)
        for kind in (WebSocketClientProtocol, WebSocketServerProtocol):
            self.assertLessEqual(set(OPTIONS), set(kind.CONFIG_ATTRS))


class NamesTests(SynchronousTestCase):
    def test_our_names_are_not_autobahns(self) -> None:
        """None of our own attributes has a name that Autobahn uses (T2)."""
        factory = WebSocketServerFactory(reactor=MemoryReactorClock())
        theirs = WebSocketServerProtocol()
        theirs.factory = factory
        pair = Pair()
        ours = pair.connect().open().connection
        plain = pair.connect()
        base = WebSocketServerProtocol()
        base.factory = pair.factory
        base.makeConnection(plain.transport)
        base.dataReceived(handshake())
        own = set(vars(ours)) - set(vars(base))
        expected = {
            "phase", "handler", "outbox", "assembly", "liveness", "_deadline", "pending_pong", "end_reason",
            "write_paused", "read_paused", "discarding_input", "bytes_seen", "message_seen", "flush_pending",
            "being_read", "ping_acks", "flushed_at", "partial_frame", "_pauses",
            "budget", "charged", "unfinished_since", "_unwritten", "_stuck_since",
        }  # fmt: skip
        self.assertEqual(own, expected)
        taken = set(dir(WebSocketServerProtocol)) | set(vars(base))
        self.assertEqual(own & taken, set())
        both = {
            name
            for kind in (*ServerConnection.__mro__, *ClientConnection.__mro__)
            if kind.__module__.startswith("lgtwist")
            for name in vars(kind)
        }
        added = {name for name in both if not name.startswith("__")}
        overridden = {name for name in added if name in taken}
        self.assertEqual(
            added - overridden,
            {
                "autobahn_made", "autobahn_open", "autobahn_read", "autobahn_lost", "answer_handshake",
                "configured", "protocol_broken",
                "encode", "encode_ping", "masks", "onConnecting",
                "enter", "note_end", "set_deadline", "_deadline_missed", "cancel_deadline", "release",
                "begin_liveness", "check_liveness", "discard_input", "set_limits",
                "schedule_flush", "expect_flush", "flush", "write_resumed",
                "pause_reading", "unpause_reading", "read_buffered", "read", "read_whole",
                "settle", "is_overdue", "is_stuck", "_unfinished", "_over_budget", "budget_freed",
                "read_on", "_note_unfinished", "without_secrets",
                "answer_ping", "pong_received", "message_received",
                "pauseProducing", "resumeProducing", "stopProducing",
            },
        )  # fmt: skip
