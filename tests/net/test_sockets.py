"""Options of sockets."""

from __future__ import annotations

import socket

from lgtwist.net.sockets import prepare
from tests.net.ends import (
    Listener,
    SocketsTestCase,
)


class OptionTests(SocketsTestCase):
    async def test_one_that_is_not_taken(self) -> None:
        """Linux takes no keep-alive interval of a day; TCP gives up in time all the same."""
        listener = Listener()
        peer = await self.connect(listener)
        prepare(listener.transport, 25.0, 86_400.0)
        ours = listener.transport.socket
        self.assertEqual(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), 25_000)
        self.assertTrue(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        peer.socket.close()
        await self.over(listener.lost)
