"""What is reached into of Autobahn is there, in the versions that it was tried with."""

from __future__ import annotations

from typing import Any

import autobahn
from autobahn.twisted.websocket import WebSocketClientProtocol, WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.websocket.factory import OPTIONS
from tests.pair import DiallingPair, Pair

#: The versions of Autobahn that ``lgtwist/websocket/autobahn_private.py`` was tried with.
TRIED_WITH = ("26.10.2",)


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
