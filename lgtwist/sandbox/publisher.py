"""Publish and log what happens in the world of a sandbox account, as its faults say."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from twisted.internet.defer import Deferred

from lgtwist.hub.account import Account
from lgtwist.onebot.event import read_event
from lgtwist.sandbox.delays import Delays
from lgtwist.sandbox.event_log import EventLog
from lgtwist.sandbox.faults import Faults
from lgtwist.sandbox.stored_world import StoredWorld
from lgtwist.sandbox.waiters import Waiters
from lgtwist.sandbox.world.model import Record
from lgtwist.sandbox.world.world import World


class EventPublisher:
    """Publishes the events of a world to the bots, logs what happened, and lets it be saved.

    :param account: the hub's account.
    :param stored: the world.
    :param faults: those that are set.
    :param delays: what faults delay.
    :param now: returns whole seconds since the epoch.
    :param first: the entries of the log get the sequence numbers after this one.
    :ivar event_log: what happened in the world since the start.
    """

    def __init__(
        self,
        account: Account,
        stored: StoredWorld,
        *,
        faults: Faults,
        delays: Delays,
        now: Callable[[], int],
        first: int,
    ) -> None:
        self._account = account
        self._stored = stored
        self._faults = faults
        self._delays = delays
        self._now = now
        self.event_log = EventLog(first)
        self._notified_seq = self.event_log.last_seq
        self._log_waiters = Waiters()

    def publish_and_save(self) -> None:
        """Publish the world's new events to the bots, log what happened, and schedule it to be saved.

        Call it after each change of the world.
        """
        self.log_and_save(self._stored.world.pop_changes())
        for event in self._stored.world.pop_events():
            raw = msgspec.json.encode(event)
            if event["post_type"] == "notice":  # of messages and requests the log has the records
                self.event_log.add_event("notice", raw, "notice", event["time"])
            if self._faults.on_events:
                self._publish_with_fault(raw)
            else:
                self._account.publish(raw)
        self._notify_log_waiters()

    def log_and_save(self, changes: dict[tuple[str, str], Record | None]) -> None:
        """Log changes, and schedule them to be saved; notify the waiters of a new message."""
        if not changes:
            return
        self.event_log.add_records(changes, self._now())
        self._stored.save(changes)

    def _publish_with_fault(self, raw: bytes) -> None:
        """Publish an event of the world late, twice or not at all, as a fault says."""
        if self._faults.offline is not None:
            return
        fault = self._faults.apply_to_event()
        if fault is None or fault.kind == "duplicate_events":
            self._account.publish(raw)
        if fault is not None and fault.kind == "duplicate_events":
            self._account.publish(raw)
        elif fault is not None and fault.kind == "delay_events":
            self._delays.add(object(), fault, len(raw), lambda: self._publish_delayed(raw))

    def _publish_delayed(self, raw: bytes) -> None:
        if self._faults.offline is None:
            self._account.publish(raw)

    def publish_presence(self, notice_type: str, message: str) -> None:
        """Publish the notice that the account was logged out, or in again, and log it.

        :param message: why; empty for no reason.
        """
        notice = {
            "time": self._now(),
            "self_id": self._account.self_id,
            "post_type": "notice",
            "notice_type": notice_type,
            "user_id": self._account.self_id,
            "tag": "",
            "message": message,
        }
        raw = msgspec.json.encode(notice)
        self.event_log.add_event("notice", raw, "notice", self._now())
        self._account.links.event_received(read_event(raw))
        self._notify_log_waiters()

    def publish_raw_event(self, raw: bytes) -> None:
        """Publish one event as if the account had sent it.

        :param raw: one JSON object with a ``post_type``.
        :raises BadEvent: if it is not an event.
        """
        event = read_event(raw)
        self.event_log.add_event("event", event.raw, event.post_type, self._now())
        self._account.fan_out.publish(event)
        self._notify_log_waiters()

    def replace_world(self, world: World) -> None:
        """Replace the world by another one, in memory and in the file, and log that."""
        self._stored.replace(world)
        self.event_log.add_world(self._now())
        self._stored.save(world.pop_changes())
        self.publish_and_save()

    def when_logged(self) -> Deferred[None]:
        """Return a Deferred that fires when something is logged, or the service stops; may be cancelled."""
        return self._log_waiters.when_notified()

    def end_waits(self) -> None:
        """Call back all that wait for an entry: the service stops."""
        self._log_waiters.notify()

    def _notify_log_waiters(self) -> None:
        if self.event_log.last_seq != self._notified_seq:
            self._notified_seq = self.event_log.last_seq
            self._log_waiters.notify()
