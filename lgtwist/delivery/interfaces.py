"""What delivery at least once asks of a journal and of connections."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from lgtwist.delivery.batch import Batch, Page, Position, Watermark
from lgtwist.delivery.redelivery import Redelivery
from lgtwist.delivery.refused_event import RefusedEvent


class IEventSink(Interface):
    """One way in which events reach an at-least-once bot, while it is open.

    It tells its delivery when events are confirmed, when it can take more, and when it is over.
    """

    ready = Attribute("Whether it takes more at once; it pumps its delivery when that becomes true.")
    window = Attribute("How many events may be unconfirmed.")
    encode = Attribute("Makes of an event what it takes. The same function for all that want the same.")

    def take(frames: bytes, events: int, upto: Position) -> None:
        """Take some events, encoded and joined. Never raises, never blocks.

        :param upto: the position to be confirmed when the bot has them.
        """

    def demote() -> None:
        """Get what happens from now on only: a newer connection of the bot takes over, or delivery ended."""

    def promote() -> None:
        """Be the active sink again: the newest that is left takes what must not be lost."""

    def forget() -> None:
        """Confirm nothing of what was taken so far, for it does not count any more; it may come again.

        Nor does it count as a refusal if the bot refuses what it has of it.
        """

    def send_again(redelivery: Redelivery) -> None:
        """Send one event alone, as soon as it can be sent, and tell ``redelivery`` how that ended.

        It confirms nothing else, and is no refusal of anything else if the bot refuses it. Never raises.
        """


class IJournal(Interface):
    """Where events wait until every at-least-once bot has them.

    Each account has positions of its own: integers of at least 1 that grow, are never used twice, and follow
    each other without a gap within one :class:`Batch`. Between two batches of an account there may be a gap;
    how many events were written before a batch (:attr:`Batch.before`) tells whether one of the account's is
    missing there. Positions of two accounts must not be compared.

    Of everything here only the Deferreds fail; nothing raises, and nothing blocks.
    """

    def when_open(callback: Callable[[], None]) -> None:
        """Call ``callback`` once, as soon as the journal can be read; at once if it can be.

        Until then it takes in events, and knows nothing of what was written before. What ``callback`` raises
        is logged.
        """

    def end(account: int) -> Position:
        """Return the end of what is durable of an account.

        :returns: a position; every durable event of the account has it or a smaller one, and every later one
            has a larger one. 0 if nothing was ever written.
        """

    def trimmed_to(account: int) -> Position:
        """Return how far retention has come with an account.

        :returns: a position; no event of the account that has it or a smaller one is left. 0 if retention has
            deleted nothing. It never becomes smaller, and is not beyond :meth:`end`.
        """

    def total(account: int) -> int:
        """Return how many events of an account were ever made durable, expired ones among them."""

    def expired(account: int) -> int:
        """Return how many of these retention has deleted: the oldest so many."""

    def inherited(account: int) -> Position:
        """Return up to which position events of an account are of former runs.

        Only the times that were written with them say how old they are, by clocks that may have been wrong.
        """

    def committed_before(account: int, age: float) -> Position:
        """Return up to which position events are known to have been committed some time ago.

        Known by a clock that nobody sets, so events that are not much older may be missing.

        :param age: seconds.
        """

    def observe_retention(observer: Callable[[], None]) -> None:
        """Call ``observer`` each time that retention has deleted events."""

    def append(account: int, payloads: list[bytes]) -> None:
        """Take in events, to be made durable.

        While events can be made durable all that is given is taken in; an account that gives more than that
        is paused, see :meth:`observe_pauses`. While they cannot be, what cannot be kept is counted and logged
        as lost.

        :param payloads: in the order in which they came, each one JSON object.
        """

    def observe_pauses(observer: Callable[[int, str], None]) -> None:
        """Call ``observer`` with an account's number when an account is paused, and when it is resumed.

        The second argument is why no more of its events should be given, a part of a sentence; empty if more
        may be given. It may be called before :meth:`append` returns. What was received already should still
        be given: it is taken in. What ``observer`` raises is logged.
        """

    def pause_reason(account: int) -> str:
        """Return why no more events of an account should be given now; empty if more may be given."""

    def observe(observer: Callable[[Batch], None]) -> None:
        """Call ``observer`` for everything that is appended, once it is durable.

        The batches of one account come in the order of their positions, each once. What ``observer`` raises
        is logged.
        """

    def enlist(bot: str, account: int) -> None:
        """Keep a cursor for a bot and one of its accounts from now on, while it runs or before it is open.

        A pair that the journal knows goes on from its cursor: one that was enlisted before, in this run or an
        earlier one, as long as events of the time when it was delisted are kept. Any other begins behind the
        account's :meth:`end` at this moment (or when the journal opens, if that is later): it gets what is
        appended but not durable yet. Its cursor is written before the next events are, within a second; only
        events that were being written at this moment may be durable before it, and a crash just then makes
        the pair begin behind them.
        """

    def delist(bot: str, account: int) -> None:
        """Keep a cursor only as long as events are kept, for the configuration no longer names the pair.

        If it is enlisted again before, it goes on from there.
        """

    def watermark(bot: str, account: int) -> Watermark:
        """Return how far a bot has come.

        :returns: what was confirmed last; for a pair that was new, where it began; position 0 for a pair that
            the journal does not know.
        """

    def confirm(bot: str, account: int, watermark: Watermark) -> None:
        """Note that a bot has come so far. It is written with others, within a second.

        A watermark that is before the one that is written is not written.
        """

    def put_back(bot: str, account: int, watermark: Watermark) -> None:
        """Note that a bot has come only so far, though it had come further. It is written within a second."""

    def refused(bot: str, batch: Batch, reason: str) -> None:
        """Keep the one event of a batch in the list of those that a bot refused, written within a second.

        :param reason: how it refused it: ``close code 1009``, ``HTTP 413`` and the like.
        """

    def list_refused(most: int) -> Deferred[list[RefusedEvent]]:
        """Return the newest events that bots refused, the newest first, with the beginning of each payload.

        Those that are not written yet are among them.

        :returns: fails if they cannot be read now; its exception's text is a sentence. So do the next three.
        """

    def find_refused(number: int) -> Deferred[RefusedEvent | None]:
        """Return the refused event of an id, with the first 64 KiB of its payload; None if there is none."""

    def drop_refused(number: int | None = None) -> Deferred[int]:
        """Delete the refused event of an id, or all that there are until now.

        Cancelling it means that nobody waits for it.

        :returns: fires with how many were deleted.
        """

    def read_one(account: int, position: Position) -> Deferred[Batch | None]:
        """Return the event of an account at a position, as a batch of one.

        :returns: fires with None if it is not there any more: it expired, or is damaged.
        """

    def tail(account: int, after: Position) -> Batch | None:
        """Return the next events of an account behind a position, from memory.

        :returns: an empty batch if no more is durable; None if memory does not reach back so far.
        """

    def read(account: int, after: Position) -> Deferred[Page]:
        """Read the next events of an account behind a position from the disk, as much as is read at once.

        Cancelling it means that nobody waits for it any more; it fails with CancelledError then.

        :returns: fires with a page whose ``upto`` is beyond ``after`` if :meth:`end` is; it may be without
            events where events of other accounts lie, or what is damaged. Fails with any other exception if
            nothing can be read now: try again later.
        """
