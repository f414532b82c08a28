"""What filters look at in an event, decoded when the first of them asks for it and kept for the others."""

from __future__ import annotations

from collections.abc import Callable
from operator import is_
from typing import Any

import msgspec
from msgspec import Raw

from lgtwist.onebot import rawjson
from lgtwist.onebot.bounds import has_too_many_values
from lgtwist.onebot.errors import OverBound
from lgtwist.onebot.event import Event
from lgtwist.onebot.message import Segment, as_segments, from_cq, is_message, to_cq
from lgtwist.onebot.values import read_text

#: Characters of a text that is searched; what is behind them is not seen.
SEARCHED_LENGTH = 65_536
#: Stands for a member that an event does not have, or that cannot be decoded.
MISSING: Any = type("_Missing", (), {"__slots__": (), "__bool__": lambda self: False})()

#: Steps that one filter may take to judge an event: some 50 ns each, so that it takes half a second at most,
#: about.
MAX_JUDGING = 10_000_000


class TooManySteps(Exception):
    """A filter would take more than :data:`MAX_JUDGING` to judge an event, which does not pass then."""


class Steps:
    """The steps that are left to the filter that judges now.

    There is one object of it: a filter is done before the next one begins, and calls none.
    """

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_JUDGING

    def take(self, steps: int) -> None:
        """Count steps.

        :raises TooManySteps: if so many are not left.
        """
        self.left -= steps
        if self.left < 0:
            raise TooManySteps


#: See :class:`Steps`.
STEPS = Steps()

#: Whether an event passes. It never raises: what cannot be read counts as missing.
Predicate = Callable[["EventSubject"], bool]

_decode_subject = msgspec.json.Decoder(dict[str, Raw]).decode


class EventSubject:
    """The members of one event, each decoded once.

    It does not refer to the event, which refers to it.

    :ivar raw: the event's JSON.
    :ivar post_type: with ``message`` for ``message_sent``.
    :ivar self_id: the number of the account; None or 0 where the event does not have one.
    :ivar memo: what filters have computed from the event, for others of equal parts; by keys that begin with
        the name of who computed it.
    """

    __slots__ = (
        "_cq",
        "_members",
        "_raw_segments",
        "_segments",
        "_text",
        "_values",
        "memo",
        "post_type",
        "raw",
        "self_id",
    )

    def __init__(self, event: Event) -> None:
        self.raw = event.raw
        self.post_type = "message" if event.post_type == "message_sent" else event.post_type
        self.self_id = event.self_id
        self.memo: dict[str, Any] = {}
        self._members: dict[str, Raw] | None = None
        self._values: dict[str, Any] = {}
        self._segments: list[Segment] | None = None
        self._raw_segments: bytes | None = None
        self._cq: str | None = None
        self._text: str | None = None

    def raw_member(self, name: str) -> bytes:
        """Return the JSON of a top-level member; empty where the event has none."""
        if self._members is None:
            try:
                self._members = rawjson.decode_leniently(_decode_subject, self.raw)
            except rawjson.DECODE_ERRORS:
                self._members = {}
        value = self._members.get(name)
        return b"" if value is None else rawjson.to_bytes(value)

    def member(self, name: str) -> Any:
        """Return the decoded value of a top-level member; :data:`MISSING` where the event has none."""
        value = self._values.get(name, self)  # no value is the subject itself
        if value is self:
            value = self._values[name] = self._decode(name)
        return value

    def _decode(self, name: str) -> Any:
        raw = self.raw_member(name)
        if not raw or (raw[:1] != b'"' and has_too_many_values(raw)):
            return MISSING
        try:
            return rawjson.decode_value(raw)
        except rawjson.DECODE_ERRORS:
            return MISSING

    def segments(self) -> list[Segment]:
        """Return the message as segments, whichever form it has; an empty list where there is none.

        Of other events than messages ``message`` is a member as any other, such as the reason of NapCat's
        ``bot_offline``.
        """
        if self._segments is None:
            message = self.member("message") if self.post_type == "message" else MISSING
            self._segments = []
            try:
                if isinstance(message, str):
                    self._segments = from_cq(message)
                elif is_message(message):
                    self._segments = as_segments(message)
            except (OverBound, *rawjson.DECODE_ERRORS):
                pass
        return self._segments

    def raw_segments(self) -> bytes:
        """Return the JSON of the message as segments; as it came where it has that form, with nothing odd."""
        if self._raw_segments is None:
            message, segments = self.member("message"), self.segments()
            if (
                isinstance(message, list)
                and len(message) == len(segments)
                and all(map(is_, message, segments))
            ):
                self._raw_segments = self.raw_member("message")
            else:
                self._raw_segments = msgspec.json.encode(segments)
        return self._raw_segments

    def cq(self) -> str:
        """Return the message as a string with CQ codes, cut to :data:`SEARCHED_LENGTH`."""
        if self._cq is None:
            message = self.member("message")
            if not isinstance(message, str):
                try:
                    message = to_cq(self.segments())
                except (OverBound, *rawjson.DECODE_ERRORS):
                    message = ""
            self._cq = message[:SEARCHED_LENGTH]
        return self._cq

    def text(self) -> str:
        """Return the message's text behind leading ``reply`` and ``at`` segments and blanks.

        Text segments that are parted by others are joined. It is cut to :data:`SEARCHED_LENGTH`.
        """
        if self._text is None:
            self._text = "".join(
                text for segment in self.segments() if (text := _text_of(segment)) is not None
            ).lstrip()[:SEARCHED_LENGTH]
        return self._text


def _text_of(segment: Segment) -> str | None:
    """Return the text of a text segment; None of any other."""
    if segment.get("type") != "text":
        return None
    data = segment.get("data")
    return read_text(data.get("text")) if isinstance(data, dict) else None


def subject_of(event: Event) -> EventSubject:
    """Return what filters look at in an event. It is made once for each event."""
    subject: EventSubject | None = event.subject
    if subject is None:
        subject = EventSubject(event)
        msgspec.structs.force_setattr(event, "subject", subject)
    return subject
