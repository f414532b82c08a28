"""Peers that take all they can get, each in its own way; against the loopback address only.

Each function of :data:`KINDS` is one kind of load. It runs until :attr:`Target.until` and then closes what it
opened, so that what is left in the service is the service's. What the service answers, or that it refuses,
does not matter here: the load goes on.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True)
class Target:
    """Who is to be hurt, and for how long.

    :ivar port: of the service, on 127.0.0.1.
    :ivar token: of the hungry bot.
    :ivar account: a number of an account with an implementation of :class:`Implementation`.
    :ivar posting: the number of an account of type ``http`` with a secret.
    :ivar until: when to end, in seconds of ``time.monotonic``.
    """

    port: int
    token: str
    account: int
    posting: int
    until: float

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self.until


def frame(payload: bytes, opcode: int = 1, fin: bool = True) -> bytes:
    """Return one masked frame; the mask changes nothing, so that it costs nothing."""
    first, length = (0x80 if fin else 0) | opcode, len(payload)
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 65_536:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + b"\0\0\0\0" + payload


class WebSocket:
    """A blocking connection: enough of RFC 6455 for well-meaning answers."""

    def __init__(
        self,
        port: int,
        path: str = "/",
        token: str | None = None,
        headers: dict[str, str] | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))
        lines = {
            "Host": f"127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **(headers or {}),
        }
        head = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self.socket.sendall(head.encode() + b"\r\n")
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head_bytes, _mark, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.status = int(head_bytes.split()[1])
        if self.status != 101:
            self.socket.close()
            raise ConnectionError(f"HTTP {self.status}")

    def _more(self) -> None:
        data = self.socket.recv(MIB)
        if not data:
            raise ConnectionError("ended")
        self.buffer += data

    def message(self, timeout: float = 10.0) -> bytes:
        """Return the next text message; pings are answered."""
        self.socket.settimeout(timeout)
        while True:
            while len(self.buffer) < 2:
                self._more()
            length, start = self.buffer[1] & 127, 2
            if length >= 126:
                start = 4 if length == 126 else 10
                while len(self.buffer) < start:
                    self._more()
                length = int.from_bytes(self.buffer[2:start], "big")
            if len(self.buffer) < start + length:
                parts, got = [self.buffer], len(self.buffer)
                while got < start + length:
                    data = self.socket.recv(MIB)
                    if not data:
                        raise ConnectionError("ended")
                    parts.append(data)
                    got += len(data)
                self.buffer = b"".join(parts)
            opcode, payload = self.buffer[0] & 15, self.buffer[start : start + length]
            self.buffer = self.buffer[start + length :]
            if opcode == 9:
                self.socket.sendall(frame(payload, 10))
            elif opcode == 8:
                raise ConnectionError(f"closed with {int.from_bytes(payload[:2], 'big')}")
            elif opcode == 1:
                return payload

    def send(self, payload: bytes) -> None:
        """Send a text message."""
        self.socket.sendall(frame(payload))

    def call(self, action: str, echo: object, timeout: float = 10.0, **params: object) -> dict[str, object]:
        """Send an action, and return the response with that echo."""
        self.send(json.dumps({"action": action, "params": params, "echo": echo}).encode())
        while True:
            read = json.loads(self.message(timeout))
            if read.get("echo") == echo and "retcode" in read:
                return dict(read)

    def close(self) -> None:
        """End TCP."""
        self.socket.close()


class Implementation(threading.Thread):
    """An implementation that dials in; what it answers is in the action's name.

    ``get_big`` gives 8 MiB, ``get_none`` no answer, ``download_file_stream`` fifty parts of 2 MiB and no end,
    anything else is ok. With ``events`` it sends so many a second, with the time of each in ``sent_at``.
    """

    def __init__(self, port: int, self_id: int, token: str, events: float = 0.0, size: int = 100) -> None:
        super().__init__(daemon=True)
        self.self_id = self_id
        headers = {"X-Self-ID": str(self_id), "X-Client-Role": "Universal"}
        self.link = WebSocket(port, "/onebot/v11/ws", token, headers)
        self._lock = threading.Lock()
        self._text = "x" * size
        self.start()
        if events:
            threading.Thread(target=self._send_events, args=(1 / events,), daemon=True).start()

    def _send(self, message: dict[str, object]) -> None:
        with self._lock:
            self.link.send(json.dumps(message).encode())

    def _send_events(self, pause: float) -> None:
        with contextlib.suppress(OSError):
            while True:
                time.sleep(pause)
                self._send(
                    {
                        "post_type": "message",
                        "message_type": "private",
                        "sub_type": "friend",
                        "self_id": self.self_id,
                        "time": int(time.time()),
                        "user_id": 5,
                        "message_id": 1,
                        "message": self._text,
                        "raw_message": self._text,
                        "font": 0,
                        "sender": {"user_id": 5},
                        "sent_at": time.monotonic(),
                    }
                )

    def run(self) -> None:
        """Answer until the link ends."""
        big = "y" * (8 * MIB)
        with contextlib.suppress(OSError, ValueError):
            while True:
                asked = json.loads(self.link.message(600))
                action, echo = asked["action"], asked["echo"]
                answer: dict[str, object] = {"status": "ok", "retcode": 0, "data": None, "echo": echo}
                if action == "get_login_info":
                    answer["data"] = {"user_id": self.self_id, "nickname": "x"}
                elif action == "get_big":
                    answer["data"] = big
                elif action == "download_file_stream":
                    answer["data"] = {"type": "stream", "data": big[: 2 * MIB]}
                    for _ in range(50):
                        self._send(answer)
                    continue
                elif action == "get_none":
                    continue
                self._send(answer)


# -- the kinds of load


@contextlib.contextmanager
def _closing(sockets: list[WebSocket]) -> Iterator[list[WebSocket]]:
    try:
        yield sockets
    finally:
        for one in sockets:
            one.close()


def _dial(
    target: Target, sockets: list[WebSocket], path: str = "", receive_buffer: int | None = None
) -> WebSocket | None:
    try:
        made = WebSocket(target.port, path or f"/{target.account}", target.token, None, receive_buffer)
    except OSError:
        time.sleep(0.05)
        return None
    made.socket.settimeout(1)
    sockets.append(made)
    return made


def _push(
    target: Target, sockets: list[WebSocket], messages: Callable[[int], bytes], unread: bool = True
) -> None:
    """Send frames on one connection after the other, for as long as they are taken."""
    number = 0
    while not target.over:
        one = _dial(target, sockets, receive_buffer=4096 if unread else None)
        if one is None:
            continue
        with contextlib.suppress(OSError):
            while not target.over:
                one.send(messages(number))
                number += 1
                if not unread:
                    one.message(1)


def large_echoes(target: Target) -> None:
    """Call what is never answered, with echoes of 4 MiB."""
    head, echo = b'{"action":"get_none","params":{},"echo":"', b"e" * (4 * MIB) + b'"}'
    with _closing([]) as sockets:
        _push(target, sockets, lambda _number: head + echo)


def unread_answers(target: Target) -> None:
    """Ask for answers of 8 MiB, and read none."""
    with _closing([]) as sockets:
        _push(target, sockets, lambda number: b'{"action":"get_big","params":{},"echo":%d}' % number)


def unread_streams(target: Target) -> None:
    """Ask for streams, and read nothing."""
    with _closing([]) as sockets:
        _push(target, sockets, lambda n: b'{"action":"download_file_stream","params":{},"echo":%d}' % n)


def unfinished_messages(target: Target) -> None:
    """Send messages of 30 MiB whose last byte never comes, on many connections."""
    whole = frame(b"x" * (30 * MIB))[:-1]
    with _closing([]) as sockets:
        while not target.over:
            one = _dial(target, sockets) if len(sockets) < 40 else None
            if one is None:
                time.sleep(0.1)
                continue
            with contextlib.suppress(OSError):
                one.socket.sendall(whole)


def many_connections(target: Target) -> None:
    """Open connections as long as they are taken, then others for each that ends."""
    with _closing([]) as sockets:
        while not target.over:
            _dial(target, sockets, "/")
            while len(sockets) > 3000:
                sockets.pop(0).close()


def unread_events(target: Target) -> None:
    """Hold connections for events, and read none of them."""
    with _closing([]) as sockets:
        for _ in range(50):
            if not target.over:
                _dial(target, sockets, f"/{target.account}/event", 4096)
        while not target.over:
            time.sleep(0.1)


def many_small_calls(target: Target) -> None:
    """Send small calls and pings as fast as they are taken, and read the answers slowly."""
    burst = b"".join(
        frame(b'{"action":"get_x","params":{},"echo":%d}' % n) + frame(b"p", 9) for n in range(500)
    )
    with _closing([]) as sockets:
        while not target.over:
            one = _dial(target, sockets)
            if one is None:
                continue
            with contextlib.suppress(OSError):
                while not target.over:
                    one.socket.sendall(burst)
                    one.socket.recv(4096)


def odd_messages(target: Target) -> None:
    """Send what is expensive to read: codes, segments, members, nesting, escapes, garbage."""

    def message(params: bytes) -> bytes:
        return b'{"action":"send_private_msg","params":{"user_id":20001,"message":%b},"echo":1}' % params

    odd = [
        message(b'"' + b"[CQ:a]" * (4 * MIB // 6) + b'"'),
        message(b'"' + b"[CQ:text,text=aaaaaaaaaaaaaaa]" * (4 * MIB // 30) + b'"'),
        message(b"[" + b'{"type":"text","data":{"text":"a"}},' * 100_000 + b"1]"),
        message(b"[" * 900 + b"]" * 900),
        b'{"a":"\\ud800",' + b'"":0,' * (4 * MIB // 5) + b'"action":"x"}',
        b'{"action":"x","params":{"a":"' + b"\\u00e9" * (4 * MIB // 6) + b'"}}',
        b"[" * MIB,
        b'"echo":' * (4 * MIB // 7),
    ]
    with _closing([]) as sockets:
        while not target.over:
            one = _dial(target, sockets, "/")
            if one is None:
                continue
            with contextlib.suppress(OSError, ValueError):
                while not target.over:
                    one.send(random.choice(odd))
                    one.message(5)


def vanishing_peers(target: Target) -> None:
    """End connections in the middle of everything, with a reset."""
    call = frame(b'{"action":"get_big","params":{},"echo":1}')
    while not target.over:
        with _closing([]) as sockets:
            for _ in range(10):
                one = _dial(target, sockets)
                if one is None:
                    continue
                with contextlib.suppress(OSError):
                    one.socket.sendall(call + call[: random.randrange(len(call))])
                    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def strangers_posts(target: Target) -> None:
    """Post bodies of 30 MiB with a made-up signature, whose last byte never comes."""
    head = (
        f"POST /onebot/v11/post HTTP/1.1\r\nHost: x\r\nX-Self-ID: {target.posting}\r\n"
        f"X-Signature: sha1=00\r\nContent-Length: {30 * MIB}\r\n\r\n"
    ).encode()
    _send_requests(target, head + b"x" * (30 * MIB - 1), 16)


def slow_heads(target: Target) -> None:
    """Open HTTP connections that send half a head, or wrong tokens."""
    _send_requests(target, b"GET /get_status?access_token=wrong HTTP/1.1\r\nHost: x\r\nX: ", 200)


def forms(target: Target) -> None:
    """Post forms of megabytes over HTTP, and read no answer."""
    body = b"a=" + b"%41" * (4 * MIB // 3)
    head = (
        f"POST /{target.account}/get_big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {target.token}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    _send_requests(target, head + body, 20)


def _send_requests(target: Target, request: bytes, most: int) -> None:
    """Send a request on each of many connections, and keep them open without reading."""
    held: list[socket.socket] = []
    try:
        while not target.over:
            if len(held) >= most:
                time.sleep(0.5)
                held.pop(0).close()
            with contextlib.suppress(OSError):
                one = socket.create_connection(("127.0.0.1", target.port), 1)
                held.append(one)
                one.sendall(request)
    finally:
        for one in held:
            one.close()


#: The kinds of load, by name.
KINDS: dict[str, Callable[[Target], None]] = {
    kind.__name__: kind
    for kind in (
        large_echoes,
        unread_answers,
        unread_streams,
        unfinished_messages,
        many_connections,
        unread_events,
        many_small_calls,
        odd_messages,
        vanishing_peers,
        strangers_posts,
        slow_heads,
        forms,
    )
}
