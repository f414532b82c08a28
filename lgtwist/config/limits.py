"""``[limits]``: every limit that the service keeps, in one struct that is handed on whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, fields, frozen

from lgtwist.config.section import Section
from lgtwist.config.values import duration, size, whole_number


def _limit(reader: Callable[[Any], Any], default: str | int, note: str) -> Any:
    """Return the attribute of one limit.

    :param reader: one of :mod:`lgtwist.config.values`.
    :param default: the TOML value that counts where the key is missing.
    :param note: what the limit is for; a part of a sentence.
    """
    return field(default=reader(default), metadata={"reader": reader, "default": default, "note": note})


@frozen
class Limits:
    """``[limits]``: sizes in bytes, times in seconds."""

    max_message: int = _limit(size(1024, 1 << 30), "32MiB", "one message, in either direction of a peer")
    handshake_timeout: float = _limit(
        duration(0.1, 600), "5s", "from accept to the end of the request's head"
    )
    body_timeout: float = _limit(duration(0.1, 3600), "60s", "from there to the end of an HTTP body")
    idle_timeout: float = _limit(duration(1, 3600), "60s", "an HTTP connection without a request")
    close_timeout: float = _limit(duration(0.1, 60), "2s", "a peer's answer to our close frame")
    ping_interval: float = _limit(duration(0.05, 3600), "15s", "between our pings")
    ping_timeout: float = _limit(
        duration(0.1, 86400),
        "60s",
        "silence that ends a connection whose pings were answered before",
    )
    tcp_user_timeout: float = _limit(
        duration(1, 86400), "25s", "bytes unacknowledged, or a window shut, before TCP gives up"
    )
    send_buffer: int = _limit(
        size(4096, 1 << 30),
        "4MiB",
        "events that wait for a slow reader; responses, before we stop reading it",
    )
    action_timeout: float = _limit(duration(0.1, 86400), "60s", "an account's answer to an action (1504)")
    heartbeat_interval: float = _limit(
        duration(0.01, 86400, zero=True), "5s", "between heartbeats to bots; 0s turns them off"
    )
    connections: int = _limit(whole_number(1, 1_000_000), 10_000, "connections to the listening ports (503)")
    handshakes: int = _limit(
        whole_number(1, 1_000_000), 1_000, "connections without a whole request; beyond, the oldest goes"
    )
    failed_handshakes: int = _limit(
        whole_number(1, 1_000_000), 30, "refused tokens per address and minute (503); not for loopback"
    )
    peer_memory: int = _limit(
        size(1 << 20, 1 << 40),
        "64MiB",
        "held because of one bot, or of one account's implementation; one message may come on top",
    )
    calls: int = _limit(whole_number(1, 1_000_000), 1_000, "calls in flight per bot and account (1429)")

    @property
    def sweep_interval(self) -> float:
        """Seconds between two calls of :meth:`ConnectionFactory.sweep`."""
        shortest = min(self.ping_interval or self.ping_timeout, self.ping_timeout)
        return min(1.0, max(0.02, shortest / 8))


def read_limits(section: Section) -> Limits:
    """Read ``[limits]``; mistakes are collected in the section."""
    read = {
        limit.name: section.read(limit.name, limit.metadata["reader"], limit.metadata["default"])
        for limit in fields(Limits)
    }
    section.finish()
    return Limits(**read)
