"""The answer to an opening handshake, and what follows it in the same write."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.websocket.connection import Connection
from lgtwist.websocket.framing import server_frame
from tests.integration.rawclient import CLOSE, CONTINUATION, PING, TEXT
from tests.pair import Pair, RecordingHandler
from tests.rounds import quick

#: What may come from a peer in the same bytes as its handshake.
_GLUED = {
    "ping": [(b"hi", PING, {})],
    "text": [(b'{"a":1}', TEXT, {})],
    "fragments around a ping": [(b"a", TEXT, {"fin": False}), (b"hi", PING, {}), (b"b", CONTINUATION, {})],
    "close": [(struct.pack("!H", 1000), CLOSE, {})],
    "breach": [(b"x", TEXT, {"rsv": 4})],
    "no text": [(b"\xff", TEXT, {})],
}


class HandshakeFlushTests(SynchronousTestCase):
    """The answer to a handshake is written when the reactor's turn ends; nothing is written before it."""

    @quick
    @given(
        st.lists(st.sampled_from(list(_GLUED)), max_size=5),
        st.lists(st.sampled_from(["respond", "offer", "put now", "send", "ping", "close"]), max_size=3),
        st.sampled_from([0, 100_000]),
        st.sampled_from([1, 4 << 20]),
    )
    def test_nothing_comes_before_it(
        self, glued: list[str], said: list[str], before: int, send_buffer: int
    ) -> None:
        """Whatever a peer sends behind it, whatever is sent to it at once, however much is unread before."""
        pair = Pair(send_buffer=send_buffer)
        factory = pair.factory

        class Talkative(RecordingHandler):
            def opened(self, connection: Connection) -> None:
                if before:
                    connection.pauseProducing()  # as Twisted's TLS says at once where something waits
                for what in said:
                    if what == "respond":
                        factory.respond(connection, server_frame(b"{}"))
                    elif what == "offer":
                        factory.offer(connection, server_frame(b"{}"))
                    elif what == "put now":
                        factory.put_now(connection, server_frame(b"{}"))
                    elif what == "send":
                        factory.send(connection, b"{}")
                    elif what == "ping":
                        factory.ping(connection)
                    else:
                        factory.close(connection, 1001, "stops")

            def received(self, connection: Connection, payload: bytes, binary: bool) -> None:
                factory.respond(connection, server_frame(b"answer"))

        peer = pair.connect(Talkative())
        peer.transport.reading = not before
        peer.transport.write(b"." * before)  # the answers to earlier requests
        peer.shake_hands()
        for frame in (frame for name in glued for frame in _GLUED[name]):
            peer.send(frame[0], frame[1], **frame[2])
        pair.turn()
        peer.transport.reading = True
        pair.turn()
        head = peer.transport.taken[before:]
        self.assertEqual(head[:13], b"HTTP/1.1 101 ")
        self.assertEqual(head.count(b"HTTP/1.1 101 "), 1)
        if before:
            return  # what waits for a slow peer is not waited for when the connection ends
        answers = 0
        for name in glued:
            if name in ("close", "breach", "no text") or "close" in said:
                break
            answers += name in ("text", "fragments around a ping")
        self.assertEqual(head.count(b"answer"), answers)
