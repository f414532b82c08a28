"""A WebSocket client that does exactly what a test says, well-behaved or not. Blocking, no library."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
from typing import Any

from tests.integration.running import PATIENCE, Service

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


class HandshakeRefused(Exception):
    """The server answered with something else than 101."""

    def __init__(self, status: int, head: str, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.head = head
        self.body = body


class Ended(Exception):
    """The server ended TCP."""


def masked_frame(
    payload: bytes, opcode: int = TEXT, fin: bool = True, rsv: int = 0, mask: bool = True
) -> bytes:
    """One frame as a client sends it (RFC 6455, 5.2)."""
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    bit = 0x80 if mask else 0
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", first, bit | length)
    elif length < 65536:
        head = struct.pack("!BBH", first, bit | 126, length)
    else:
        head = struct.pack("!BBQ", first, bit | 127, length)
    if not mask:
        return head + payload
    key = os.urandom(4)
    repeated = int.from_bytes((key * (length // 4 + 1))[:length], "big")
    scrambled = (int.from_bytes(payload, "big") ^ repeated).to_bytes(length, "big")
    return head + key + scrambled


def handshake(path: str = "/", headers: dict[str, str] | None = None, host: str = "127.0.0.1") -> bytes:
    """The bytes of an opening handshake."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        **(headers or {}),
    }
    return (f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n").encode()


class RawClient:
    """One connection.

    :param service: whom to dial; None where only a port is known.
    :param port: another port than the service's own.
    :param glued: bytes to send in the same segment as the handshake.
    :param receive_buffer: SO_RCVBUF; a small one fills soon when nobody reads.
    """

    def __init__(
        self,
        service: Service | None,
        path: str = "/",
        headers: dict[str, str] | None = None,
        glued: bytes = b"",
        source: str | None = None,
        receive_buffer: int | None = None,
        port: int | None = None,
    ) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.socket.bind((source, 0))
        own = port if service is None else service.port
        self.socket.connect(("127.0.0.1", port or own))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.socket.sendall(handshake(path, headers, f"127.0.0.1:{own}") + glued)
        head = self._until(b"\r\n\r\n").decode("latin-1")
        status = int(head.split(" ", 2)[1])
        if status != 101:
            body = ""
            for line in head.lower().split("\r\n"):
                if line.startswith("content-length:"):
                    body = self._take(int(line.partition(":")[2])).decode("utf-8", "replace")
            self.socket.close()
            raise HandshakeRefused(status, head, body)

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.socket.close()

    # -- reading

    def _more(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionError as error:
            raise Ended("reset") from error
        if not data:
            raise Ended("end")
        self._buffer += data

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._more()
        head, _mark, self._buffer = self._buffer.partition(mark)
        return head

    def _take(self, number: int) -> bytes:
        while len(self._buffer) < number:
            self._more()
        taken, self._buffer = self._buffer[:number], self._buffer[number:]
        return taken

    def frame(self) -> tuple[int, bytes]:
        """The next frame, of any kind: opcode and payload. Raises Ended at the end of TCP."""
        first, second = self._take(2)
        assert not second & 0x80, "a server must not mask"
        length = second & 0x7F
        if length == 126:
            length = struct.unpack("!H", self._take(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self._take(8))[0]
        return first & 0x0F, self._take(length)

    def message(self) -> Any:
        """The next text message as JSON; pings on the way are answered."""
        while True:
            opcode, payload = self.frame()
            if opcode == TEXT:
                return json.loads(payload)
            if opcode == PING:
                self.send(payload, PONG)
            elif opcode == CLOSE:
                raise Ended(f"closed with {payload!r}")

    def response(self) -> dict[str, Any]:
        """The next message that is a response; events on the way are passed over."""
        while True:
            message = self.message()
            if "retcode" in message:
                return dict(message)

    def event(self, **wanted: Any) -> dict[str, Any]:
        """The next event with these fields; others on the way are passed over."""
        while True:
            message = self.message()
            if "post_type" in message and all(message.get(k) == v for k, v in wanted.items()):
                return dict(message)

    def close_frame(self) -> tuple[int | None, str]:
        """Read on until the server's close frame: its code and reason."""
        while True:
            opcode, payload = self.frame()
            if opcode == CLOSE:
                if not payload:
                    return None, ""
                return struct.unpack("!H", payload[:2])[0], payload[2:].decode()

    def read_to_end(self) -> None:
        """Read until TCP ends."""
        try:
            while True:
                self._more()
        except Ended:
            pass

    # -- writing

    def send(self, payload: bytes | str, opcode: int = TEXT, fin: bool = True) -> None:
        """One masked frame."""
        data = payload.encode() if isinstance(payload, str) else payload
        self.socket.sendall(masked_frame(data, opcode, fin))

    def call(self, action: str, echo: Any = None, **params: Any) -> None:
        """Send an action."""
        request: dict[str, Any] = {"action": action, "params": params}
        if echo is not None:
            request["echo"] = echo
        self.send(json.dumps(request))

    def ask(self, action: str, **params: Any) -> dict[str, Any]:
        """Send an action and wait for its response."""
        self.call(action, "asked", **params)
        while True:
            answer = self.response()
            if answer.get("echo") == "asked":
                return answer

    def send_close(self, code: int | None = 1000, reason: str = "") -> None:
        """A close frame."""
        self.send(b"" if code is None else struct.pack("!H", code) + reason.encode(), CLOSE)

    def reset(self) -> None:
        """End TCP with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
