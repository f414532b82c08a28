"""Events, read once, only as far as routing needs (OneBot 11, ``event/``)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.onebot import rawjson


class BadEvent(ValueError):
    """The text is not an event; the argument says why."""


class Event(NamedTuple):
    """One event: the bytes as they came, and what routing asks of them.

    :ivar raw: the event, one JSON object without a top-level ``echo``.
    :ivar post_type: ``message``, ``notice``, ``request``, ``meta_event`` or an extension's own.
    """

    raw: bytes
    post_type: str


class _Head(msgspec.Struct):
    post_type: str
    echo: Raw | UnsetType = UNSET


_decode_head = msgspec.json.Decoder(_Head).decode


def read_event(raw: bytes) -> Event:
    """The event in ``raw``. It keeps the very bytes, but for a top-level ``echo``, which is cut out.

    ZeroBot and others take any frame with an ``echo`` for a response.

    :raises BadEvent: if it is no JSON object with a ``post_type``, or not UTF-8.
    """
    try:
        raw.decode()
        head = _decode_head(raw)
    except msgspec.ValidationError as error:
        raise BadEvent(str(error)) from None
    except rawjson.UNREADABLE as error:
        raise BadEvent(f"not JSON: {error}") from None
    if head.echo is not UNSET:
        raw = _without_echo(raw)
    return Event(raw, head.post_type)


def _without_echo(raw: bytes) -> bytes:
    kept = msgspec.json.decode(raw, type=dict[str, Raw])
    del kept["echo"]
    return msgspec.json.encode(kept)


def lifecycle(self_id: int, time: int) -> bytes:
    """``meta_event/lifecycle`` with ``sub_type: connect``: the first frame of a link.

    :param time: seconds since the epoch.
    """
    return (
        b'{"time":%d,"self_id":%d,"post_type":"meta_event","meta_event_type":"lifecycle",'
        b'"sub_type":"connect"}' % (time, self_id)
    )


def heartbeat(self_id: int, time: int, interval_ms: int, online: bool) -> bytes:
    """``meta_event/heartbeat``; ``online`` tells whether the account is really up.

    :param time: seconds since the epoch.
    :param interval_ms: the interval in milliseconds.
    """
    state = b"true" if online else b"false"
    return (
        b'{"time":%d,"self_id":%d,"post_type":"meta_event","meta_event_type":"heartbeat",'
        b'"status":{"online":%b,"good":%b},"interval":%d}' % (time, self_id, state, state, interval_ms)
    )
