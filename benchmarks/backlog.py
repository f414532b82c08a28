"""``python -m benchmarks.backlog``: a million events that ten bots have not got, and one of them comes back.

It prints how much the service's memory grows while they pile up, how fast they are delivered over a real
WebSocket to a reader that only counts, and how late the reactor was at worst meanwhile.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_ACCOUNT = 10001
_PATIENCE = 120.0


def _config(folder: Path, port: int, bots: int) -> str:
    head = f"""
data_dir = "{folder}/data"
[server]
endpoints = ["tcp:{port}:interface=127.0.0.1"]
[limits]
heartbeat_interval = "0s"
[[accounts]]
type = "reverse-websocket"
self_id = {_ACCOUNT}
access_token = "implementation"
"""
    one = '[[bots]]\nname = "bot{0}"\naccess_token = "bot-{0}"\ndelivery = "at-least-once"\n'
    return head + "".join(one.format(number) for number in range(bots))


def _connect(port: int, path: str, token: str, headers: str = "") -> socket.socket:
    """A WebSocket whose opening handshake is done."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            wire = socket.create_connection(("127.0.0.1", port), 5)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
            continue
        key = base64.b64encode(os.urandom(16)).decode()
        wire.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"Authorization: Bearer {token}\r\n{headers}\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += wire.recv(1)
        if head.startswith(b"HTTP/1.1 101"):
            wire.settimeout(_PATIENCE)
            return wire
        wire.close()
        if time.monotonic() > deadline:
            raise SystemExit(f"refused: {head[:100]!r}")
        time.sleep(0.1)


def _frame(first: int, payload: bytes) -> bytes:
    """A frame of a client; its mask is zero, which costs nothing and is allowed (RFC 6455, 5.3)."""
    if len(payload) < 126:
        return bytes((first, 0x80 | len(payload))) + bytes(4) + payload
    return bytes((first, 0xFE)) + len(payload).to_bytes(2, "big") + bytes(4) + payload


def _frames(wire: socket.socket) -> Iterator[tuple[int, bytes]]:
    """What comes: opcodes and payloads."""
    data, at = b"", 0
    while True:
        while True:
            if len(data) < at + 2:
                break
            length, begin = data[at + 1], at + 2
            if length == 126:
                begin = at + 4
                length = int.from_bytes(data[at + 2 : begin], "big")
            if len(data) < begin + length:
                break
            yield data[at] & 15, data[begin : begin + length]
            at = begin + length
        more = wire.recv(1 << 20)
        if not more:
            return
        data, at = data[at:] + more, 0


def _metric(port: int, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(rf"^{name}(?:{{.*?}})? (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024


def _pile_up(port: int, events: int, size: int) -> None:
    """An account whose events nobody takes."""
    wire = _connect(
        port,
        "/onebot/v11/ws",
        "implementation",
        f"X-Self-ID: {_ACCOUNT}\r\nX-Client-Role: Universal\r\n",
    )
    for _opcode, payload in _frames(wire):
        asked = json.loads(payload)
        data = {"user_id": _ACCOUNT, "nickname": "x", "app_name": "benchmark", "app_version": "1"}
        answer = {"status": "ok", "retcode": 0, "data": data, "echo": asked["echo"]}
        wire.sendall(_frame(0x81, json.dumps(answer).encode()))
        if asked["action"] == "get_version_info":
            break
    pad = "x" * (size - 130)
    for begin in range(0, events, 1000):
        wire.sendall(
            b"".join(
                _frame(
                    0x81,
                    b'{"time":1,"self_id":%d,"post_type":"message","message_type":"private","sub_type":"friend",'
                    b'"user_id":1,"message_id":%d,"message":"%b"}' % (_ACCOUNT, number, pad.encode()),
                )
                for number in range(begin, min(begin + 1000, events))
            )
        )
    deadline = time.monotonic() + _PATIENCE
    while _metric(port, "lgtwist_journal_events_total") < events:
        if time.monotonic() > deadline:
            raise SystemExit("not all events reached the journal")
        time.sleep(0.2)


def _count(port: int, events: int) -> float:
    """One bot takes all; seconds from its dialling to the last."""
    begun = time.monotonic()
    wire = _connect(port, "/", "bot-0")
    seen = -1  # the lifecycle
    for opcode, payload in _frames(wire):
        if opcode == 1:
            seen += 1
            if seen == events:
                return time.monotonic() - begun
        elif opcode == 9:
            wire.sendall(_frame(0x8A, payload))
    raise SystemExit(f"the connection ended after {seen} events")


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backlog")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=300, help="bytes of one event (300)")
    parser.add_argument("--bots", type=int, default=10)
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        (folder / "lgtwist.toml").write_text(_config(folder, port, options.bots), "utf-8")
        command = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
        with (folder / "log").open("wb") as log:
            service = subprocess.Popen(  # noqa: S603  # our own service
                [*command, "-n", "--pidfile=", "lgtwist", "--config", f"{folder}/lgtwist.toml"],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            )
        try:
            _connect_once(port)
            before = _memory(service.pid)
            begun = time.monotonic()
            _pile_up(port, options.events, options.size)
            took = time.monotonic() - begun
            grown = (_memory(service.pid) - before) / (1 << 20)
            sys.stdout.write(
                f"{options.events} events of {options.size} B piled up in {took:.1f} s "
                f"({options.events / took / 1000:.0f} k/s); memory grew by {grown:.0f} MiB\n"
            )
            took = _count(port, options.events)
            grown = (_memory(service.pid) - before) / (1 << 20)
            lag = _metric(port, "lgtwist_reactor_lag_seconds") * 1000
            sys.stdout.write(
                f"replayed to one bot in {took:.1f} s ({options.events / took / 1000:.0f} k/s); memory grown "
                f"by {grown:.0f} MiB then; the reactor's worst lateness {lag:.1f} ms\n"
            )
        finally:
            service.terminate()
            service.wait(20)
    return 0


def _connect_once(port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
