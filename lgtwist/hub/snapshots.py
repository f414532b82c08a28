"""What can be seen of accounts and bots from outside, as values that are made when somebody asks.

All of them are JSON for ``msgspec``. Times are seconds since the epoch, durations seconds.
"""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class LastEvent:
    """The newest event of an account that was handed to bots.

    :ivar time: when it came.
    :ivar post_type: ``message``, ``notice``, ``request``, ``meta_event`` or an extension's own.
    :ivar detail: its ``notice_type`` or ``meta_event_type``; empty where it has none.
    """

    time: float
    post_type: str
    detail: str


@frozen(kw_only=True)
class OpenLink:
    """A link to an account's implementation that is open.

    :ivar via: how the implementation is reached: the URL without its query, or who dialled; may be empty.
    :ivar channel: ``both``, ``actions`` or ``events``.
    :ivar since: when it was opened.
    """

    via: str
    channel: str
    since: float


@frozen(kw_only=True)
class EndedLink:
    """A link to an account's implementation that is over.

    :ivar via: how the implementation was reached.
    :ivar channel: ``both``, ``actions`` or ``events``.
    :ivar code: the close code (RFC 6455, 7.4); None where there was none.
    :ivar reason: why it ended, printable.
    :ivar time: when it ended.
    :ivar lasted: how long it was open.
    """

    via: str
    channel: str
    code: int | None
    reason: str
    time: float
    lasted: float


@frozen(kw_only=True)
class OpenSession:
    """A WebSocket of a bot that is open.

    :ivar account: the account's number.
    :ivar role: ``Universal``, ``API`` or ``Event``.
    :ivar address: the peer's ``host:port``; where we dialled the URL without its query.
    :ivar user_agent: what the peer says that it is, printable, up to 200 characters; empty where we dialled.
    :ivar since: when it was opened.
    """

    account: int
    role: str
    address: str
    user_agent: str
    since: float


@frozen(kw_only=True)
class EndedSession:
    """A WebSocket of a bot that is over.

    :ivar account: the account's number.
    :ivar role: ``Universal``, ``API`` or ``Event``.
    :ivar address: the peer's ``host:port``; where we dialled the URL without its query.
    :ivar user_agent: what the peer says that it is, printable, up to 200 characters; empty where we dialled.
    :ivar code: the close code (RFC 6455, 7.4); None where there was none.
    :ivar reason: why it ended, printable.
    :ivar time: when it ended.
    :ivar lasted: how long it was open.
    """

    account: int
    role: str
    address: str
    user_agent: str
    code: int | None
    reason: str
    time: float
    lasted: float


@frozen(kw_only=True)
class PostFailure:
    """A POST of an event that the bot did not take.

    :ivar time: when it failed.
    :ivar reason: why, printable.
    """

    time: float
    reason: str


@frozen(kw_only=True)
class PostingState:
    """How the posts of an account's events to a bot go.

    :ivar target: the URL without its query.
    :ivar running: whether events are posted: not before the account was up once.
    :ivar failures: how many posts in a row failed.
    :ivar paused_for: seconds from now until it goes on; None if it does not pause.
    :ivar last_failure: the newest failure, whether posts were taken since or not; None before the first.
    """

    target: str
    running: bool
    failures: int
    paused_for: float | None
    last_failure: PostFailure | None
