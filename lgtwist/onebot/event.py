"""Events, and the members of them that routing needs (OneBot 11, ``event/``)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from lgtwist.onebot import rawjson


class BadEvent(ValueError):
    """The payload is not an event; the argument says why."""


class Place(NamedTuple):
    """The ``group_id`` and the ``user_id`` of an event; None where it has none."""

    group_id: int | None
    user_id: int | None


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event: its bytes as they came, and the members that routing needs.

    :ivar raw: the event, one JSON object without a top-level ``echo``.
    :ivar post_type: ``message``, ``notice``, ``request``, ``meta_event`` or an extension's own.
    :ivar detail: its ``notice_type`` or ``meta_event_type``; empty where it has none.
    :ivar self_id: its ``self_id``; None if it has none, 0 if the value is not an account's number. See
        :func:`set_self_id`.
    :ivar place: what :func:`place_of` returns; None before it was called.
    :ivar subject: what :func:`lgtwist.filters.subject.subject_of` returns; None before it was called. It must
        not refer to the event: the collector of cycles does not look at events.
    """

    raw: bytes
    post_type: str
    detail: str = ""
    self_id: int | None = None
    place: Place | None = None
    subject: Any = None


class _EventHead(msgspec.Struct, gc=False):
    post_type: str | UnsetType = UNSET
    notice_type: str = ""
    meta_event_type: str = ""
    self_id: Raw | UnsetType = UNSET
    retcode: Raw | UnsetType = UNSET
    echo: Raw | UnsetType = UNSET


class _RawEventHead(msgspec.Struct, gc=False):
    post_type: Raw | UnsetType = UNSET
    notice_type: Raw | UnsetType = UNSET
    meta_event_type: Raw | UnsetType = UNSET
    self_id: Raw | UnsetType = UNSET
    retcode: Raw | UnsetType = UNSET
    echo: Raw | UnsetType = UNSET


_decode_event_head = msgspec.json.Decoder(_EventHead).decode
_decode_raw_head = msgspec.json.Decoder(_RawEventHead).decode


def _read_event_head(raw: bytes) -> _EventHead:
    """Return those members of a JSON object that tell whether it is an event, and of which type.

    :raises BadEvent: if it is not a JSON object.
    """
    try:
        return _decode_event_head(raw)
    except rawjson.DECODE_ERRORS:
        return _read_event_head_leniently(raw)


def _read_event_head_leniently(raw: bytes) -> _EventHead:
    """Return the head of an object that msgspec refuses; members of a wrong type are left out.

    :raises BadEvent: if it is not a JSON object.
    """
    try:
        members = rawjson.decode_leniently(_decode_raw_head, raw)
    except RecursionError:
        raise BadEvent("nested too deeply") from None
    except rawjson.DECODE_ERRORS as error:
        raise BadEvent(f"not a JSON object: {error}") from None
    head = _EventHead()
    for name in ("self_id", "retcode", "echo"):
        value = getattr(members, name)
        if value is not UNSET:
            setattr(head, name, Raw(rawjson.to_bytes(value)))
    for name in ("post_type", "notice_type", "meta_event_type"):
        value = getattr(members, name)
        if value is not UNSET and bytes(value)[:1] == b'"':
            setattr(head, name, rawjson.read_string(rawjson.to_bytes(value)))
    return head


def read_frame(raw: bytes) -> tuple[bytes | None, Event | None]:
    """Read a message of an implementation, which may be a response, an event, both or neither.

    It is a response if it has a ``retcode`` and the caller knows a pending call with its ``echo``; else it
    is an event if it has a ``post_type``.

    :param raw: valid UTF-8.
    :returns: the ``echo`` if it may be a response, else None; and the event, or None.
    :raises BadEvent: if it is not a JSON object.
    """
    try:
        head = _decode_event_head(raw)
    except rawjson.DECODE_ERRORS:
        head = _read_event_head_leniently(raw)
    echo = None if head.echo is UNSET or head.retcode is UNSET else bytes(head.echo)
    return echo, None if head.post_type is UNSET else _make_event(raw, head, head.post_type)


def repair_frame(raw: bytes, refusal: BadEvent) -> bytes:
    """Return a JSON text in place of one that :func:`read_frame` refused: see :func:`rawjson.repair`.

    :param raw: valid UTF-8.
    :raises BadEvent: the ``refusal``, if there is nothing to repair; another, if there is too much.
    """
    try:
        repaired = rawjson.repair(raw)
    except ValueError as error:
        raise BadEvent(f"not a JSON object: {error}") from None
    if repaired is raw:
        raise refusal
    return repaired


def read_event(raw: bytes, repair: bool = False) -> Event:
    """Read one event. Its bytes are kept unchanged, but a top-level ``echo`` is removed.

    ZeroBot and others take every frame with an ``echo`` for a response.

    :param repair: whether what is not JSON in it is replaced: see :func:`rawjson.repair`.
    :raises BadEvent: if it is not a JSON object in UTF-8 that has a ``post_type``.
    """
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise BadEvent("not UTF-8") from None
    try:
        head = _read_event_head(raw)
    except BadEvent as refusal:
        if not repair:
            raise
        raw = repair_frame(raw, refusal)
        head = _read_event_head(raw)
    if head.post_type is UNSET:
        raise BadEvent("it has no post_type")
    return _make_event(raw, head, head.post_type)


def _make_event(raw: bytes, head: _EventHead, post_type: str) -> Event:
    """Return the event with that head; its ``echo`` is removed.

    :raises BadEvent: if the ``echo`` cannot be removed.
    """
    if head.echo is not UNSET:
        try:
            raw = rawjson.remove_key(raw, "echo", bytes(head.echo))
        except rawjson.DECODE_ERRORS as error:
            raise BadEvent(f"its echo cannot be removed: {error}") from None
    detail = head.notice_type if post_type == "notice" else head.meta_event_type
    if head.self_id is UNSET:
        return Event(raw, post_type, detail)
    value = bytes(head.self_id)
    return Event(raw, post_type, detail, _decode_self_id(value) if len(value) < _MAX_ID_BYTES else 0)


#: Bytes from which on a ``self_id``, quoted or not, cannot be an account's number.
_MAX_ID_BYTES = 24


@lru_cache(1024)
def _decode_self_id(value: bytes) -> int | None:
    return None if value == b"null" else read_id(value) or 0


def read_id(value: bytes) -> int | None:
    """Return the number in a JSON value, a number or a string of digits; None if it is neither.

    Only whole numbers from 0 on with fewer than 20 digits are accepted. They may be written as programs do
    that have no integers (``12.0``, ``1.2e1``), and with blanks in the string.
    """
    digits = value.strip(b'"')
    if digits.isdigit():
        return int(digits) if len(digits) < 20 else None
    match = _WHOLE_NUMBER.fullmatch(digits.strip()) if len(digits) <= _MAX_ODD_ID_BYTES else None
    if match is None:
        return None
    whole, fraction, exponent = match[1], match[2] or b"", int(match[3] or 0)
    fraction = fraction.rstrip(b"0")
    if len(fraction) > exponent or len(whole) + exponent >= 20:
        return None
    return int(whole + fraction.ljust(exponent, b"0"))


#: A number that may be whole, however it is written: its digits, its fraction and its exponent.
_WHOLE_NUMBER = re.compile(rb"([0-9]+)(?:\.([0-9]+))?(?:[eE]\+?([0-9]{1,2}))?")
#: Bytes that it may have.
_MAX_ODD_ID_BYTES = 64


def set_self_id(event: Event, self_id: int) -> None:
    """Set the ``self_id`` of an event that has none, for those that look at it; its bytes stay."""
    msgspec.structs.force_setattr(event, "self_id", self_id)
    msgspec.structs.force_setattr(event, "subject", None)


class _PlaceHead(msgspec.Struct):
    group_id: Raw | UnsetType = UNSET
    user_id: Raw | UnsetType = UNSET


_decode_place = msgspec.json.Decoder(_PlaceHead).decode


def place_of(event: Event) -> Place:
    """Return the ``group_id`` and the ``user_id`` of an event.

    It is read once for each event.
    """
    if event.place is None:
        msgspec.structs.force_setattr(event, "place", _read_place(event.raw))
    assert event.place is not None
    return event.place


def _read_place(raw: bytes) -> Place:
    try:
        head = rawjson.decode_leniently(_decode_place, raw)
    except rawjson.DECODE_ERRORS:
        return Place(None, None)
    group_id = None if head.group_id is UNSET else read_id(bytes(head.group_id))
    return Place(group_id, None if head.user_id is UNSET else read_id(bytes(head.user_id)))


def mark_replayed(raw: bytes) -> bytes:
    """Return an event with ``"replayed": true`` as its first member, since it is delivered late.

    A member ``replayed`` that it has is replaced; where it cannot be removed, the event is unchanged.

    :param raw: a JSON object with members.
    """
    return _begin_with(b'{"replayed":true,', raw)


def _begin_with(beginning: bytes, raw: bytes) -> bytes:
    """Return an event with a member ``replayed`` as its only one of that name, the first.

    :param beginning: the event's ``{``, that member and a comma.
    """
    if b'"replayed"' in raw:
        try:
            value = rawjson.member(raw, "replayed")
            raw = rawjson.remove_key(raw, "replayed", value) if value else raw
        except rawjson.DECODE_ERRORS:
            return raw
    return beginning + raw.lstrip()[1:]


#: How an event begins that was fetched later than it happened, as a journal keeps it. No other event begins
#: so: with that blank, :func:`mark_replayed` does not write it, and neither does an encoder of JSON.
LATE_BEGINNING = b'{ "replayed":true,'


def mark_late(raw: bytes) -> bytes:
    """Return an event as a journal keeps it if it was fetched later than it happened.

    A member ``replayed`` that it has is replaced; where it cannot be removed, the event is unchanged.

    :param raw: a JSON object with members.
    """
    return _begin_with(LATE_BEGINNING, raw)


def late_event(raw: bytes) -> bytes | None:
    """Return an event of a journal without the mark of :func:`mark_late`; None if it does not have it.

    :param raw: one event, or its first bytes.
    """
    return b"{" + raw[len(LATE_BEGINNING) :] if raw.startswith(LATE_BEGINNING) else None


class Heartbeat(NamedTuple):
    """The content of a heartbeat, or of the data of ``get_status``.

    :ivar online: whether the account is logged in; None where it is not said.
    :ivar interval: seconds until the next heartbeat; 0 where it is not said, or not between 0 and a day.
    """

    online: bool | None
    interval: float


#: The longest heartbeat interval that is used to detect a dead connection (milliseconds): one day.
_MAX_INTERVAL_MS = 86_400_000


#: Bytes that an interval may have, as JSON.
_MAX_INTERVAL_BYTES = 32


class _HeartbeatHead(msgspec.Struct):
    status: Raw = Raw(b"null")
    interval: Raw = Raw(b"0")


class _Status(msgspec.Struct):
    online: Raw = Raw(b"null")


_decode_heartbeat = msgspec.json.Decoder(_HeartbeatHead).decode
_decode_status = msgspec.json.Decoder(_Status).decode


def read_heartbeat(raw: bytes) -> Heartbeat:
    """Read a heartbeat (``event/meta.md``); members of a wrong type count as missing.

    :param raw: one JSON object.
    """
    try:
        heartbeat = rawjson.decode_leniently(_decode_heartbeat, raw)
    except rawjson.DECODE_ERRORS:
        return Heartbeat(None, 0.0)
    digits = bytes(heartbeat.interval)
    interval: Any = msgspec.json.decode(digits) if len(digits) <= _MAX_INTERVAL_BYTES else 0
    if isinstance(interval, bool) or not isinstance(interval, (int, float)):
        interval = 0
    known = 0 < interval <= _MAX_INTERVAL_MS
    return Heartbeat(read_online(bytes(heartbeat.status)), interval / 1000 if known else 0.0)


def read_online(status: bytes) -> bool | None:
    """Return the ``online`` of a ``status``; None if there is no boolean.

    :param status: one JSON value.
    """
    try:
        online = bytes(rawjson.decode_leniently(_decode_status, status).online)
    except rawjson.DECODE_ERRORS:
        return None
    return {b"true": True, b"false": False}.get(online)


def encode_lifecycle(self_id: int, time: int) -> bytes:
    """Return ``meta_event/lifecycle`` with ``sub_type: connect``, the first event of a connection.

    :param time: seconds since the epoch.
    """
    return (
        b'{"time":%d,"self_id":%d,"post_type":"meta_event","meta_event_type":"lifecycle",'
        b'"sub_type":"connect"}' % (time, self_id)
    )


def encode_status(online: bool) -> bytes:
    """Return the data of ``get_status`` with ``online`` and ``good`` set to ``online``."""
    state = b"true" if online else b"false"
    return b'{"online":%b,"good":%b}' % (state, state)


def encode_heartbeat(self_id: int, time: int, interval_ms: int, online: bool) -> bytes:
    """Return ``meta_event/heartbeat`` (``event/meta.md``).

    :param time: seconds since the epoch.
    :param interval_ms: milliseconds until the next one.
    :param online: whether the account is up and logged in.
    """
    return (
        b'{"time":%d,"self_id":%d,"post_type":"meta_event","meta_event_type":"heartbeat",'
        b'"status":%b,"interval":%d}' % (time, self_id, encode_status(online), interval_ms)
    )
