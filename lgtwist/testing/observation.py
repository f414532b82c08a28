"""Follows what is said in a sandbox and which actions bots call, from the beginning of a test on."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from lgtwist.testing.control import SandboxClient, SandboxError, is_said_by_sentence
from lgtwist.testing.messages import BotAction, Chat, ChatMessage
from lgtwist.testing.service import SandboxProcess

#: pytest leaves the frames of this module out of the traceback of such an error.
__tracebackhide__ = is_said_by_sentence

Found = TypeVar("Found")

#: Seconds that one request waits at most: after them a wait looks whether it was cancelled, and whether the
#: bot is still there.
_WAIT_SLICE = 0.5
#: Lines of a log that are shown at most, and characters of each.
_SHOWN_LINES, _SHOWN_COLUMNS = 40, 500
#: What is left out of CQ codes that are shown.
_LINKS = re.compile(r",(?:url|file_size)=[^,\]]*")

_cancelled = threading.local()


class WaitCancelled(BaseException):
    """The wait of this thread was cancelled, so nobody wants its result."""


def run_cancellable(event: threading.Event, function: Callable[[], Found]) -> Found:
    """Call a function; its waits in this thread end soon after the event is set.

    :raises WaitCancelled: if they did.
    """
    before, _cancelled.event = getattr(_cancelled, "event", None), event
    try:
        return function()
    finally:
        _cancelled.event = before


def stop_if_cancelled() -> None:
    """Look whether the call of this thread was cancelled; see :func:`run_cancellable`.

    :raises WaitCancelled: if it was.
    """
    event = getattr(_cancelled, "event", None)
    if event is not None and event.is_set():
        raise WaitCancelled


class Observation:
    """What was said and called since the beginning of a test. Threads may use it at the same time.

    :ivar messages: the messages that were read, in their order.
    :ivar actions: the actions that were read, in the order in which they ended.
    """

    def __init__(self, process: SandboxProcess, client: SandboxClient) -> None:
        self.process, self.client = process, client
        self._lock = threading.RLock()
        self.messages: list[ChatMessage] = []
        self.actions: list[BotAction] = []
        self._first_message = self._last_message = 0
        self._last_action = 0
        self._matched: dict[tuple[Chat, object], int] = {}
        self._matched_messages: set[int] = set()
        self._matched_actions: set[int] = set()
        #: The number of the newest message when somebody last did something, and the chat where.
        self.last_act: tuple[int, Chat | None] = (0, None)
        #: The number of the newest message when somebody first did something; None before that.
        self.first_act: int | None = None
        self._alone = False  # whether no bot was connected when somebody last did something
        self._alone_after: int | None = None  # the newest message then
        self._log_began = 0
        self._logs_began: dict[int, int] = {}

    def begin(self, last_message_id: int) -> None:
        """Begin anew: what was said and called up to now belongs to another test.

        :param last_message_id: the number of the newest message.
        """
        with self._lock:
            self._first_message = self._last_message = last_message_id
            self._last_action = int(self.client.actions()["last"])
            self.messages, self.actions = [], []
            self._matched, self._matched_messages, self._matched_actions = {}, set(), set()
            self.last_act = (self._last_message, None)
            self._alone, self._alone_after = False, None
            self.first_act = None
            self._log_began = self.process.log_size()
            self._logs_began = {id(bot): bot.log_size() for bot in self.process.attached}

    # -- reading

    def read_messages(self, wait: float = 0.0) -> None:
        """Read the messages that are new; wait for one where there is none.

        :param wait: seconds.
        """
        answer = self.client.transcript(self._last_message, wait)
        with self._lock:
            for entry in answer["messages"]:
                message = ChatMessage.from_json(entry)
                if message.message_id > self._last_message:
                    self.messages.append(message)
                    self._last_message = message.message_id

    def read_actions(self, wait: float = 0.0) -> None:
        """Read the actions that are new; wait for one where there is none.

        :param wait: seconds.
        """
        answer = self.client.actions(self._last_action, wait)
        with self._lock:
            for entry in answer["entries"]:
                action = BotAction.from_json(entry)
                if action.seq > self._last_action:
                    self.actions.append(action)
                    self._last_action = action.seq

    def wait_for(
        self, read: Callable[[float], None], find: Callable[[], Found | None], seconds: float
    ) -> Found | None:
        """Read until something is found; return it, or None when the time is over or no bot runs any more.

        :param read: :meth:`read_messages` or :meth:`read_actions`.
        :param seconds: how long to wait at most.
        """
        deadline = time.monotonic() + seconds
        read(0.0)
        while True:
            with self._lock:
                found = find()
            left = deadline - time.monotonic()
            if found is not None or left <= 0:
                return found
            stop_if_cancelled()
            self._refuse_to_block()
            if self.all_ended():
                read(0.0)
                with self._lock:
                    return find()
            read(min(left, _WAIT_SLICE))

    def _refuse_to_block(self) -> None:
        """Look whether a bot under test runs in the event loop of this thread, which a wait would stop.

        :raises SandboxError: if one does.
        """
        try:
            here = asyncio.get_running_loop()
        except RuntimeError:
            return
        for bot in self.process.attached:
            if bot.ended() is None and getattr(bot, "loop", None) is here:
                raise SandboxError(
                    f"bot {bot.name!r} runs in the event loop of this test, which a blocking call stops: "
                    "use async_sandbox, and await what it returns"
                )

    # -- what expectations have matched already

    def matched_before(self, chat: Chat, listener: object) -> int:
        """Return the number of the newest message of a chat that was matched already for a listener.

        :param listener: the number of a member who listens; None for an expectation of any listener, to which
            everything counts that was matched for anybody.
        """
        if listener is None:
            return max((at for (place, _who), at in self._matched.items() if place == chat), default=0)
        return max(self._matched.get((chat, None), 0), self._matched.get((chat, listener), 0))

    def was_matched(self, message: ChatMessage) -> bool:
        """Return whether an expectation has matched a message."""
        return message.message_id in self._matched_messages

    def mark_message(self, message: ChatMessage, listener: object) -> None:
        """Note that an expectation has matched a message; see :meth:`matched_before`."""
        key = (message.chat, listener)
        self._matched[key] = max(self._matched.get(key, 0), message.message_id)
        self._matched_messages.add(message.message_id)

    def newest_matched(self) -> int:
        """Return the number of the newest message that was matched; 0 if none was."""
        return max(self._matched_messages, default=0)

    def was_action_matched(self, action: BotAction) -> bool:
        """Return whether an expectation has matched an action."""
        return action.seq in self._matched_actions

    def mark_action(self, action: BotAction) -> None:
        """Note that an expectation has matched an action."""
        self._matched_actions.add(action.seq)

    def note_act(self, message_id: int | None = None, chat: Chat | None = None) -> None:
        """Note that a person did something, and where.

        :param message_id: of the message that it was; None if it was none.
        """
        newest = self._last_message if message_id is None else message_id
        self.last_act = (max(self.last_act[0], newest), chat or self.last_act[1])
        if self.first_act is None:
            self.first_act = newest
        if self._alone:
            self._alone_after = self.last_act[0]

    # -- the bots

    def all_ended(self) -> bool:
        """Return whether there are bots under test, and none of them runs any more."""
        attached = self.process.attached
        return bool(attached) and all(bot.ended() is not None for bot in attached)

    def look_for_bot(self) -> None:
        """Note whether a bot is connected when the test does something."""
        self._alone = self.missing_bot() is not None

    def absence_at_an_act(self) -> str:
        """Return a sentence if no bot was connected when people did something; else an empty text.

        Where a bot has said something since then, that is not why nothing else comes.
        """
        after = self._alone_after
        if after is None or any(one.from_bot and one.message_id > after for one in self.messages):
            return ""
        return "no bot was connected when people did something; sandbox.wait_for_bot() waits for it"

    def missing_bot(self) -> str | None:
        """Return a sentence if no bot is connected; None if one is, or if that cannot be told."""
        process = self.process
        try:
            connections = self.client.connected_bots()
        except SandboxError as error:
            return str(error)
        if any(connections.values()) or any(map(process.posts_to, process.bot_names)):
            return None
        ended = [f"bot {bot.name!r} {bot.ended()}" for bot in process.attached if bot.ended() is not None]
        if ended:
            return f"no bot is connected: {', '.join(ended)}"
        if process.attached:
            names = ", ".join(repr(bot.name) for bot in process.attached)
            return f"no bot is connected: {names} runs, and has not connected to {process.ws_url}"
        names = " or ".join(map(repr, process.bot_names))
        return (
            f"no bot is connected: nothing has dialled {process.ws_url} with the access token of {names}, "
            "and the test has started no bot"
        )

    def place_of(self, message: ChatMessage) -> str:
        """Return words for the chat of a message."""
        overview = self.client.overview()
        kind, number = message.chat
        if kind == "group":
            names = {one["group_id"]: one["group_name"] for one in overview["groups"]}
            return f"in {names.get(number, 'group')} ({number}), where members hear it: in_group({number})"
        names = {one["user_id"]: one["nickname"] for one in overview["people"]}
        return f"to {names.get(number, 'somebody')} ({number})"

    # -- the report

    def report(self, *, absent: bool = False) -> str:
        """Return the whole conversation, the actions that bots called, and the ends of their logs.

        :param absent: whether no bot is connected, so that the log of lgtwist may say why.
        """
        try:
            people = {one["user_id"]: one["nickname"] for one in self.client.overview()["people"]}
            groups = {one["group_id"]: one["group_name"] for one in self.client.overview()["groups"]}
            messages = self.read_whole()
            self.read_actions()
        except SandboxError as error:
            return f"{error}\n\n{self._logs(True)}"
        lines = ["What was said:"]
        for message in messages:
            lines += _message_lines(message, people, groups, self.was_matched(message))
        if not messages:
            lines.append("  (nothing)")
        lines += ["", "What the bot called:"]
        lines += [f"  {action}" for action in self.actions] or ["  (nothing)"]
        return "\n".join([*lines, "", self._logs(absent)])

    def read_whole(self) -> list[ChatMessage]:
        """Return the messages since the beginning, as they are now."""
        found: list[ChatMessage] = []
        after, more = self._first_message, True
        while more:
            answer = self.client.transcript(after)
            found += map(ChatMessage.from_json, answer["messages"])
            after, more = int(answer["last_message_id"]), bool(answer.get("more"))
        return found

    def _logs(self, absent: bool) -> str:
        """Return the ends of the logs: of the bots since the beginning of the test, and of lgtwist."""
        parts = []
        for bot in self.process.attached:
            log = bot.log(0 if absent else self._logs_began.get(id(bot), 0))
            parts.append(end_of_log(f"bot {bot.name!r} ({bot.ended() or 'running'})", log))
        if not parts or absent:
            state = "running" if self.process.alive else "it does not run any more"
            began = self.process.log_ready if absent else self._log_began
            parts.append(end_of_log(f"lgtwist ({state})", self.process.log(began)))
        return "\n\n".join(parts)


def end_of_log(whose: str, log: str) -> str:
    """Return the end of a log, under a line that says whose it is."""
    lines = log.strip("\n").splitlines()
    shown = [f"  {line[:_SHOWN_COLUMNS]}" for line in lines[-_SHOWN_LINES:]] or ["  (nothing)"]
    return "\n".join([f"The end of the log of {whose}:", *shown])


def _message_lines(
    message: ChatMessage, people: dict[int, str], groups: dict[int, str], matched: bool
) -> list[str]:
    """Return the lines that show a message."""
    clock = time.strftime("%H:%M:%S", time.localtime(message.time))
    kind, number = message.chat
    if message.from_bot:
        who = "bot"
        where = people.get(number, "?") if kind == "private" else groups.get(number, "?")
        who += f" to {where} ({number})"
    else:
        who = f"{people.get(message.user_id, '?')} ({message.user_id})"
        if kind == "group":
            who += f" in {groups.get(number, '?')} ({number})"
    notes = [note for note, is_so in (("recalled", message.recalled), ("as expected", matched)) if is_so]
    raw = _LINKS.sub("", message.raw)
    raw = raw if len(raw) <= 2000 else f"{raw[:2000]}... ({len(raw)} characters)"
    first, *rest = raw.splitlines() or [""]
    note = f"   <- {', '.join(notes)}" if notes else ""
    head = f"  {clock} #{message.message_id} {who}: "
    return [f"{head}{first}{note}", *(" " * 8 + line for line in rest)]
