"""One WebSocket connection of an account, whoever dialled it, honest or malicious."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import socket
import struct
import time
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, PayloadTooBig, ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

from tests.implementations import dialects
from tests.implementations.account import GARBAGE, Account, Mistake, Rule
from tests.implementations.dialects import ABSENT, Outcome, Role


def reset(transport: asyncio.Transport) -> None:
    """End a TCP connection with RST: nothing that waits to be sent goes out."""
    with contextlib.suppress(OSError, AttributeError):
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def frame_bytes(opcode: int, payload: bytes, fin: bool, rsv: int, masked: bool) -> bytes:
    """Any frame, legal or not."""
    head = bytes([(0x80 if fin else 0) | (rsv << 4) | opcode])
    size, mask = len(payload), 0x80 if masked else 0
    if size < 126:
        head += bytes([mask | size])
    elif size < 65536:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


class Tap:
    """What a connection's control frames pass through: pongs may be missing or doubled."""

    def __init__(self, account: Account, connection: Connection) -> None:
        self.account = account
        self.connection = connection
        self.link: Link | None = None
        self.plain = connection.protocol.send_frame
        connection.protocol.send_frame = self.send_frame  # type: ignore[method-assign]

    def send_frame(self, frame: Frame) -> None:
        """A frame that websockets wants to send."""
        dialect, protocol = self.account.dialect, self.connection.protocol
        if frame.opcode is Opcode.PONG:
            self.account.pings += 1
            if self.link is not None:
                self.link.pings += 1
            if not self.account.drop_pongs:
                self.plain(frame)
                for _ in range(dialect.pongs - 1):
                    self.plain(Frame(Opcode.PONG, b""))
            return
        answering = protocol.close_rcvd is not None and protocol.close_sent is None
        if frame.opcode is Opcode.CLOSE and answering and dialect.name == "lagrange":
            frame = Frame(Opcode.CLOSE, struct.pack("!H", 1000) + b"Close")
        self.plain(frame)


class Served(ServerConnection):
    """A connection to us; the attempt is noted when TCP is there, before any byte of the handshake."""

    def __init__(self, account: Account, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = account
        self.tap = Tap(account, self)
        self.verdict: dialects.Verdict = "ok"
        self.attempt: dict[str, Any] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.attempt = self.account.attempt(outcome="open")
        super().connection_made(transport)


class Dialled(ClientConnection):
    """A connection that we dial, with exactly the headers of the implementation."""

    def __init__(
        self, account: Account, headers: list[tuple[str, str]], protocol: Any, **kwargs: Any
    ) -> None:
        super().__init__(protocol, **kwargs)
        self.tap = Tap(account, self)
        begin = protocol.connect

        def request() -> Request:
            made: Request = begin()
            for name, value in headers:
                made.headers.set_insecure(name, value)  # "Bearer " with nothing behind it is real
            return made

        protocol.connect = request


class Link:
    """One open WebSocket."""

    def __init__(
        self, account: Account, connection: Served | Dialled, role: Role, path: str, unread: bool
    ) -> None:
        self.account, self.connection, self.role, self.path = account, connection, role, path
        self.number = account.next_connection()
        self.gets_events = role in ("universal", "event")
        self.unread = unread
        self.frozen = self.told_to_close = False
        self.given_up = asyncio.Event()
        self.pings = self.sent = 0
        self.opened = time.monotonic()
        self.beating: asyncio.Task[Any] | None = None
        self._echoes: set[str] = set()
        connection.tap.link = self
        account.add_link(self)

    @property
    def transport(self) -> asyncio.Transport:
        return self.connection.transport

    def open(self) -> bool:
        """Whether anything can be written."""
        return self.connection.protocol.state is State.OPEN and not self.frozen

    def ended(self) -> bool:
        """Whether TCP is over, also where we do not read: the kernel knows of the peer's FIN or RST."""
        sock = self.transport.get_extra_info("socket")
        if self.transport.is_closing() or sock is None or sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def state(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "role": self.role,
            "path": self.path,
            "opened": self.opened,
            "frozen": self.frozen,
            "tcp_ended": self.ended(),
            "websocket": self.connection.protocol.state.name.lower(),
            "sent": self.sent,
            "unsent_bytes": self.transport.get_write_buffer_size(),
            "pings": self.pings,
            "header_names": [name for name, _ in self._headers()],
        }

    def _headers(self) -> list[tuple[str, str]]:
        request = self.connection.request
        return [] if request is None else list(request.headers.raw_items())

    # Sending

    def send(self, text: str | bytes) -> bool:
        """One whole message, text for ``str``; without waiting, as they all do."""
        if not self.open():
            return False
        if isinstance(text, str):
            self.connection.protocol.send_text(text.encode("utf-8", "surrogatepass"))
        else:
            self.connection.protocol.send_binary(text)
        self.connection.send_data()
        self.sent += 1
        return True

    def write(self, data: bytes) -> None:
        """Bytes on the TCP connection beneath."""
        if not self.frozen:
            self.transport.write(data)

    async def below(self, limit: int) -> None:
        """Wait until less than ``limit`` bytes are unsent."""
        if self.open() and self.transport.get_write_buffer_size() > limit:
            with contextlib.suppress(ConnectionError, OSError):
                await self.connection.drain()

    def pong(self) -> None:
        """A pong that nobody asked for."""
        if self.open():
            self.connection.tap.plain(Frame(Opcode.PONG, b""))
            self.connection.send_data()

    def close(self, code: int | None, reason: str = "") -> None:
        """Begin the closing handshake; ``None`` sends an empty Close frame."""
        if self.open():
            self.told_to_close = True
            self.account.spawn(self.connection.close(code, reason))  # type: ignore[arg-type]

    def reset(self) -> None:
        reset(self.transport)

    def freeze(self) -> None:
        """From now on neither read nor written, though the TCP connection stays."""
        self.frozen = True
        self.stop_reading()

    def stop_reading(self) -> None:
        self.transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.unread and not self.frozen:
            self.transport.resume_reading()

    # Life

    async def live(self, first: str | None) -> None:
        """From the first frame until it is over."""
        account = self.account
        if first is not None:
            self.send(first)
        if self.gets_events and account.heartbeat_ms > 0 and account.dialect.beats != "shared":
            self.beating = account.spawn(self._beat(account.dialect.beats == "immediate"))
        ponging = account.spawn(self._pong()) if account.pong_ms > 0 else None
        try:
            if self.unread:
                self.stop_reading()
                await self.connection.wait_closed()
            else:
                async for message in self.connection:
                    self.got(message)
        except ConnectionClosed:
            pass
        finally:
            if ponging is not None:
                ponging.cancel()
            self._over()

    async def _beat(self, at_once: bool) -> None:
        if at_once:
            self.send(self.account.heartbeat())
        while True:
            await asyncio.sleep(self.account.heartbeat_ms / 1000)
            if self.connection.protocol.state is not State.OPEN:
                return
            self.send(self.account.heartbeat())

    async def _pong(self) -> None:
        while True:
            await asyncio.sleep(self.account.pong_ms / 1000)
            self.pong()

    def _over(self) -> None:
        account, protocol = self.account, self.connection.protocol
        if self in account.links:
            account.links.remove(self)
        got, sent = protocol.close_rcvd, protocol.close_sent
        by = "nobody" if got is None else "us" if protocol.close_rcvd_then_sent is False else "peer"
        code = 1006 if got is None else got.code
        entry: dict[str, Any] = {"at": time.monotonic(), "connection": self.number, "code": code}
        entry |= {
            "role": self.role,
            "reason": "" if got is None else got.reason,
            "by": by,
            "ours": sent and int(sent.code),
        }
        account.closes.append(entry)
        error: object = protocol.parser_exc
        if sent is not None and sent.code == CloseCode.INVALID_DATA and not self.told_to_close:
            error = error or UnicodeError(sent.reason)
        if isinstance(error, (ProtocolError, UnicodeError, PayloadTooBig)):
            account.violation(f"connection {self.number}: broke the WebSocket protocol: {error}")

    # Actions

    def got(self, message: str | bytes) -> None:
        """A message of the peer."""
        account, dialect = self.account, self.account.dialect
        where = f"connection {self.number}"
        if isinstance(message, bytes):
            account.violation(f"{where}: a binary message")
            if dialect.name == "go-cqhttp":
                return
            message = message.decode("utf-8", "replace")
        if self.role in ("event", "dead"):
            account.violation(f"{where}: an action on {self.path}")
        body = account.judge(message, where, self.number, self.role)
        if self.role in ("event", "dead"):
            return
        if body is None:
            self._not_json()
            return
        echo = body.get("echo", ABSENT)
        if echo is not ABSENT:
            spelled = json.dumps(echo)
            if spelled in self._echoes:
                account.violation(f"{where}: echo {spelled[:100]} was used before on this connection")
            self._echoes.add(spelled)
        rule = account.rule_for(body.get("action"))
        outcome = account.perform(body.get("action"), body.get("params"))
        if rule.mode == "normal" and not outcome.delay and not outcome.frames:
            self._answer(outcome, echo)
        else:
            account.spawn(self._answer_by_rule(rule, outcome, echo))

    def _not_json(self) -> None:
        dialect = self.account.dialect
        if dialect.bad_json == "1400":
            message = "json解析失败,请检查数据格式" if dialect.name == "napcat" else "bad JSON"
            self._answer(Outcome(None, 1400, message), ABSENT)
        elif dialect.bad_json == "unknown":
            self._answer(dialects.unknown_action(dialect, "", http=False), ABSENT)

    def _text(self, outcome: Outcome, echo: Any, stream: bool = False) -> str:
        dialect = self.account.dialect
        return self.account.dumps(dialects.envelope(dialect, outcome, echo, stream))

    def _answer(self, outcome: Outcome, echo: Any) -> None:
        self.send(self._text(outcome, echo))

    async def _answer_by_rule(self, rule: Rule, outcome: Outcome, echo: Any) -> None:
        mode, args = rule.mode, rule.args
        if mode == "never":
            return
        if mode == "close_on_action":
            self.close(args.get("code", 1000), args.get("reason", ""))
            return
        if mode == "rst_on_action":
            self.reset()
            return
        await asyncio.sleep(outcome.delay + (float(args.get("seconds", 1)) if mode == "late" else 0))
        if mode == "failed":
            outcome = Outcome(args.get("data"), int(args.get("retcode", 100)), args.get("message", "no"))
        for data in outcome.frames:
            self.send(self._text(Outcome(data), echo, stream=True))
            await asyncio.sleep(outcome.pause)
        sent_echo = echo
        if mode == "other_echo":
            sent_echo = f"{echo} of another" if isinstance(echo, str) else 987_654_321
        elif mode == "no_echo":
            sent_echo = ABSENT
        elif mode == "echo_as_number":
            sent_echo = int(echo) if isinstance(echo, str) and echo.isdigit() else 12345
            if isinstance(echo, int):
                sent_echo = str(echo)
        elif mode == "echo_as_float":
            sent_echo = float(echo)
        text = self._text(outcome, sent_echo, stream=bool(outcome.frames))
        if mode == "no_echo":
            text = self.account.dumps({k: v for k, v in json.loads(text).items() if k != "echo"})
        if mode == "no_retcode":
            text = self.account.dumps({k: v for k, v in json.loads(text).items() if k != "retcode"})
        if mode == "garbage_then_normal":
            self.send(GARBAGE[int(args.get("which", 3)) % len(GARBAGE)])
        if mode == "drop_mid_answer":
            await self._half(text)
            return
        self.send(text)
        if mode == "twice":
            self.send(text)

    async def _half(self, text: str) -> None:
        """Half of the answer's frame, and then RST; the pause lets the half arrive first."""
        if not self.open():
            return
        protocol = self.connection.protocol
        protocol.send_text(text.encode())
        whole = b"".join(protocol.data_to_send())
        self.write(whole[: len(whole) // 2])
        await asyncio.sleep(0.05)
        self.reset()


def every(links: list[Link], args: dict[str, Any]) -> list[Link]:
    """The links that a command means: by ``connection`` number, by ``role``, else all."""
    chosen = [
        link
        for link in links
        if args.get("connection") in (None, link.number) and args.get("role") in (None, link.role)
    ]
    if not chosen:
        raise Mistake("no such connection")
    return chosen
