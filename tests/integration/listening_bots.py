"""Bots that listen, on plain sockets: a WebSocket server and a webhook receiver that misbehave on command."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import re
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from attrs import field, frozen

from tests.integration.rawclient import PING, PONG, TEXT, RawClient
from tests.integration.running import PATIENCE, wait_until
from tests.processes import free_port

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#: States of TCP (``net/tcp_states.h``) in which our end has not heard yet that the other has ended.
_NOT_ENDED_BY_PEER = {1, 4, 5}


def _held_by_peer(sock: socket.socket) -> bool:
    """Return whether TCP lives on at the other end, as far as ours can know."""
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:
        return False  # we have closed it
    return info[0] in _NOT_ENDED_BY_PEER


def reset(sock: socket.socket) -> None:
    """End TCP with RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def server_frame(payload: bytes, opcode: int = TEXT, fin: bool = True) -> bytes:
    """One frame as a server sends it."""
    first, length = (0x80 if fin else 0) | opcode, len(payload)
    if length < 126:
        return struct.pack("!BB", first, length) + payload
    if length < 65536:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


@frozen
class Dial:
    """An opening handshake that came.

    :ivar headers: with their exact names, as pairs.
    """

    line: str
    headers: tuple[tuple[str, str], ...]
    at: float = field(factory=time.monotonic)

    def header(self, name: str) -> str | None:
        """The header with exactly this name; None if there is none."""
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, self.headers
        return found[0] if found else None

    @property
    def key(self) -> tuple[str | None, str | None]:
        """Whose link it is: account and role."""
        return self.header("X-Self-ID"), self.header("X-Client-Role")

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]


class Peer(RawClient):
    """The listening side of one connection that lgtwist has dialled."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self._buffer = b""
        self.opened = False
        self.dial = self._read_dial()

    def _read_dial(self) -> Dial:
        line, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = [re.match(r"([^:]+):[ \t]*(.*)", one) for one in lines]
        return Dial(line, tuple((pair[1], pair[2]) for pair in pairs if pair))

    def open(self) -> None:
        """Answer the handshake."""
        self.opened = True
        key = (self.dial.header("Sec-WebSocket-Key") or "").encode()
        accepted = base64.b64encode(hashlib.sha1(key + _MAGIC).digest()).decode()
        self.socket.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accepted.encode()
        )

    def refuse(self, status: int) -> None:
        """Answer the handshake with an HTTP status, and end."""
        self.socket.sendall(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\n\r\n" % status)
        self.socket.close()

    def frame(self) -> tuple[int, bytes]:
        """The next frame of any kind, unmasked."""
        first, second = self._take(2)
        assert second & 0x80, "a client must mask"
        length = second & 0x7F
        if length == 126:
            length = struct.unpack("!H", self._take(2))[0]
        elif length == 127:
            length = struct.unpack("!Q", self._take(8))[0]
        mask = self._take(4)
        payload = self._take(length)
        if length == 0:
            return first & 0x0F, b""
        repeated = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
        return first & 0x0F, (int.from_bytes(payload, "big") ^ repeated).to_bytes(length, "big")

    def send(self, payload: bytes | str, opcode: int = TEXT, fin: bool = True) -> None:
        """One frame, not masked."""
        data = payload.encode() if isinstance(payload, str) else payload
        self.socket.sendall(server_frame(data, opcode, fin))

    def ping(self) -> float:
        """Ping, and wait for its pong, events on the way passed over; the seconds that it took."""
        began = time.monotonic()
        self.send(b"are you there", PING)
        while self.frame() != (PONG, b"are you there"):
            pass
        return time.monotonic() - began

    def held_by_lgtwist(self) -> bool:
        """Whether TCP lives on at the other end, as far as ours can know."""
        return _held_by_peer(self.socket)


def let_in(peer: Peer) -> None:
    """Open whatever is dialled."""
    peer.open()


class Acceptor:
    """Listens on a port of 127.0.0.1, and serves each connection in a thread of its own.

    :ivar port: the same for as long as this object lives, whether it listens or not.
    """

    def __init__(self, start: bool = True) -> None:
        self.port = free_port()
        self._listening: socket.socket | None = None
        if start:
            self.start()

    def serve(self, sock: socket.socket) -> None:
        """Serve one connection."""
        raise NotImplementedError

    def start(self) -> None:
        """Listen, or listen again, on the same port."""
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen(128)
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                sock, _address = listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def stop_listening(self) -> None:
        """Listen no more; connections stay."""
        if self._listening is not None:
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None


class Listener(Acceptor):
    """A bot that listens for reverse WebSocket.

    :ivar answer: what is done with each handshake, in a thread of its own.
    :ivar dials: every handshake that came.
    :ivar overlaps: those that came while an older connection of the same account and role was still there.
    """

    def __init__(self, answer: Callable[[Peer], None] = let_in, start: bool = True) -> None:
        self.answer = answer
        self.dials: list[Dial] = []
        self.overlaps: list[Dial] = []
        self._peers: deque[Peer] = deque()
        self._all: list[Peer] = []
        super().__init__(start)

    def serve(self, sock: socket.socket) -> None:
        """Read the handshake, and do with it what is to be done."""
        try:
            peer = Peer(sock)
        except Exception:
            sock.close()
            return
        if any(old.dial.key == peer.dial.key and old.held_by_lgtwist() for old in self._all):
            self.overlaps.append(peer.dial)
        self._all.append(peer)
        self.dials.append(peer.dial)
        with contextlib.suppress(OSError):
            self.answer(peer)
            if peer.opened:
                self._peers.append(peer)

    def url(self, path: str = "/ws") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def next(self, patience: float = PATIENCE) -> Peer:
        """The next connection that was let in; those that we have ended meanwhile are passed over."""
        while True:
            wait_until("a connection comes", lambda: self._peers, patience)
            peer = self._peers.popleft()
            if peer.socket.fileno() >= 0:
                return peer

    def drop_all(self) -> None:
        """Reset everything that is there: who comes next comes anew."""
        for peer in tuple(self._all):
            reset(peer.socket)

    def next_of(self, *roles: str) -> list[Peer]:
        """The next connections, one for each role."""
        peers = [self.next() for _role in roles]
        by_role = {peer.dial.header("X-Client-Role"): peer for peer in peers}
        assert set(by_role) == set(roles), by_role
        return [by_role[role] for role in roles]

    def waiting(self) -> int:
        """How many connections :meth:`next` has not given yet."""
        return len(self._peers)

    def dialled(self) -> int:
        return len(self.dials)

    def gaps(self, first: int = 0) -> list[float]:
        """Seconds between the dials, from the ``first`` on."""
        times = [dial.at for dial in self.dials[first:]]
        return [after - before for before, after in itertools.pairwise(times)]

    def end(self) -> None:
        """End everything; harmless when called twice."""
        self.stop_listening()
        for peer in self._all:
            peer.socket.close()


# -- webhooks


@frozen
class Post:
    """A POST that came.

    :ivar headers: their names in small letters.
    :ivar connection: the number of the connection that it came on.
    """

    headers: dict[str, str]
    raw: bytes
    connection: int
    at: float = field(factory=time.monotonic)

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.raw))


#: Answers a post, or does not; true if the connection is to be kept.
Behaviour = Callable[[socket.socket], bool]


#: Connections whose post is answered in full: the next one may be on its way before our thread knows.
_answered: WeakSet[socket.socket] = WeakSet()


def respond(status: int, body: bytes = b"", *lines: str) -> Behaviour:
    """A proper HTTP answer."""
    more = "".join(f"{line}\r\n" for line in lines)
    head = f"HTTP/1.1 {status} Whatever\r\n{more}Content-Length: {len(body)}\r\n\r\n"

    def behave(sock: socket.socket) -> bool:
        _answered.add(sock)
        sock.sendall((head if status != 204 else f"HTTP/1.1 204 No Content\r\n{more}\r\n").encode() + body)
        return True

    return behave


def json_of(value: Any) -> Behaviour:
    """200 with JSON."""
    return respond(200, json.dumps(value, ensure_ascii=False).encode(), "Content-Type: application/json")


def raw(data: bytes) -> Behaviour:
    """Any bytes, and the end."""

    def behave(sock: socket.socket) -> bool:
        sock.sendall(data)
        return False

    return behave


def never(sock: socket.socket) -> bool:
    """Nothing, until the poster has enough."""
    with contextlib.suppress(OSError):
        while sock.recv(65536):
            pass
    return False


def forever(head: bytes, part: bytes, pause: float = 0.0) -> Behaviour:
    """The same again and again, until the poster has enough."""

    def behave(sock: socket.socket) -> bool:
        with contextlib.suppress(OSError):
            sock.sendall(head)
            while True:
                sock.sendall(part)
                time.sleep(pause)
        return False

    return behave


def hang_up(_sock: socket.socket) -> bool:
    """Close TCP."""
    return False


def slam(sock: socket.socket) -> bool:
    """Reset TCP."""
    reset(sock)
    return False


DRIP = forever(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" ", 0.02)
DRIP_HEAD = forever(b"HTTP/1.1 200 OK\r\n", b"X", 0.02)
ENDLESS = forever(
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n"
)
ENDLESS_HEAD = forever(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 65536)
EMPTY = respond(204)


class Receiver(Acceptor):
    """A bot that takes webhooks.

    :ivar usual: what it does with a post.
    :ivar once: instead of that, by a word in the post; each once.
    :ivar quick: makes of an event the quick operation that it is answered with instead, or None.
    :ivar posts: what came, meta events too.
    :ivar most_at_once: how many posts of one account were under way at the same time.
    """

    def __init__(self, start: bool = True) -> None:
        self.usual: Behaviour = EMPTY
        self.once: dict[str, Behaviour] = {}
        self.quick: Callable[[dict[str, Any]], Any] = lambda _event: None
        self.posts: list[Post] = []
        self.most_at_once = 0
        self._under_way: dict[str, set[socket.socket]] = {}
        self._lock = threading.Lock()
        self._connections = itertools.count()
        self._open: set[socket.socket] = set()
        super().__init__(start)

    def serve(self, sock: socket.socket) -> None:
        """Take posts until one of the two ends the connection."""
        number = next(self._connections)
        self._open.add(sock)
        with contextlib.suppress(OSError), sock:
            buffer = b""
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = sock.recv(65536)
                    if not data:
                        return
                    buffer += data
                head, _mark, buffer = buffer.partition(b"\r\n\r\n")
                _line, *lines = head.decode("latin-1").split("\r\n")
                pairs = [line.split(": ", 1) for line in lines]
                headers = {name.lower(): value for name, value in pairs}
                assert len(headers) == len(pairs), pairs
                size = int(headers["content-length"])
                while len(buffer) < size:
                    buffer += sock.recv(65536)
                post, buffer = Post(headers, buffer[:size], number), buffer[size:]
                if not self._take(post, sock):
                    return

    def _take(self, post: Post, sock: socket.socket) -> bool:
        account = post.headers["x-self-id"]
        with self._lock:
            under_way = self._under_way.setdefault(account, set())
            others = sum(1 for other in under_way if other not in _answered and _held_by_peer(other))
            self.most_at_once = max(self.most_at_once, 1 + others)
            _answered.discard(sock)
            under_way.add(sock)
            self.posts.append(post)
            operation = self.quick(post.event)
            behave = self.usual if operation is None else json_of(operation)
            for word in self.once:
                if word.encode() in post.raw:
                    behave = self.once.pop(word)
                    break
        try:
            return behave(sock)
        finally:
            with self._lock:
                under_way.discard(sock)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def of(self, word: str) -> list[Post]:
        """The posts with this word in their body."""
        return [post for post in list(self.posts) if word.encode() in post.raw]

    def wait(self, word: str, patience: float = PATIENCE) -> Post:
        """The first post with this word in its body."""
        wait_until(f"a post with {word}", lambda: self.of(word), patience)
        return self.of(word)[0]

    def stop(self) -> None:
        """Listen no more, and end all connections."""
        self.stop_listening()
        for sock in tuple(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it, which closes it
        self._open.clear()

    end = stop
