"""The sandbox for asynchronous tests: the names of :mod:`lgtwist.testing.people`, to be awaited.

The calls run in threads, so that a bot in the event loop of the test goes on meanwhile. They can be awaited
under asyncio (pytest-asyncio, anyio, ``asyncio.run``), under trio, and in coroutines of Twisted.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar

from lgtwist.testing.control import is_said_by_sentence
from lgtwist.testing.expectations import Expect, ExpectationFailed
from lgtwist.testing.faults import ActiveFault, SandboxFaults
from lgtwist.testing.messages import BotAction, Chat, ChatMessage
from lgtwist.testing.observation import run_cancellable
from lgtwist.testing.people import (
    DEFAULT_WITHIN,
    HasGroupId,
    HasUserId,
    Sandbox,
    SandboxGroup,
    SandboxMember,
    SandboxPerson,
)
from lgtwist.testing.service import SandboxProcess

#: pytest leaves the frames of this module out of the traceback of such an error.
__tracebackhide__ = is_said_by_sentence

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ThreadRunner(Protocol):
    """Calls a function in a thread, and returns what is awaited for its result."""

    def __call__(self, function: Callable[[], Result], /) -> Awaitable[Result]:
        """Call the function in a thread."""


async def run_in_thread(function: Callable[[], Result], /) -> Result:
    """Call a function in a thread of asyncio, or of trio where that runs.

    :returns: its result.
    """
    sniffio = sys.modules.get("sniffio")
    trio = sys.modules.get("trio")
    if trio is not None and sniffio is not None and _library(sniffio) == "trio":
        found: Result = await trio.to_thread.run_sync(function, abandon_on_cancel=True)
        return found
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def call() -> None:
        try:
            result = function()
        except StopIteration as error:  # which no future takes
            _tell(loop, future, future.set_exception, RuntimeError(f"StopIteration was raised: {error}"))
        except BaseException as error:
            _tell(loop, future, future.set_exception, error)
        else:
            _tell(loop, future, future.set_result, result)

    # Not asyncio.to_thread, whose few threads may all wait for what another call is to do.
    threading.Thread(target=call, name="lgtwist.testing", daemon=True).start()
    return await future


def _tell(
    loop: asyncio.AbstractEventLoop,
    future: asyncio.Future[Any],
    set_outcome: Callable[[Any], None],
    outcome: object,
) -> None:
    """Set the outcome of a call from its thread, unless nobody waits for it any more."""

    def set_if_wanted() -> None:
        if not future.done():
            set_outcome(outcome)

    with contextlib.suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(set_if_wanted)


def _library(sniffio: Any) -> str:
    try:
        return str(sniffio.current_async_library())
    except sniffio.AsyncLibraryNotFoundError:
        return ""


class _Wrapper:
    """Has a blocking object, and calls it in threads."""

    def __init__(self, sync: Any, run: ThreadRunner) -> None:
        self._sync, self._run = sync, run

    def __repr__(self) -> str:
        return repr(self._sync)

    async def _call(self, function: Callable[[], Result]) -> Result:
        """Call a function in a thread; if the caller is cancelled, its waits end soon."""
        cancelled = threading.Event()
        try:
            return await self._run(functools.partial(run_cancellable, cancelled, function))
        except BaseException:
            cancelled.set()
            raise


def _in_thread(
    method: Callable[Concatenate[Any, Arguments], Result],
) -> Callable[Concatenate[Any, Arguments], Coroutine[Any, Any, Result]]:
    """Return a method that calls a method of the blocking object in a thread."""

    @functools.wraps(method)
    async def call(self: Any, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        __tracebackhide__ = True
        bound = functools.partial(method, self._sync, *args, **kwargs)
        try:
            result: Result = await self._call(bound)
        except ExpectationFailed as failed:  # the frames of the thread say nothing to who reads it
            raise failed.with_traceback(None) from None
        return result

    return call


class AsyncExpect(_Wrapper):
    """Expectations; see :class:`Expect`."""

    reply = _in_thread(Expect.reply)
    message = _in_thread(Expect.message)
    silence = _in_thread(Expect.silence)
    action = _in_thread(Expect.action)
    no_action = _in_thread(Expect.no_action)


class AsyncFault(_Wrapper):
    """A fault: ``await`` sets it; ``async with`` sets it, and clears it at the end of the block."""

    def __init__(self, set_fault: Callable[[], ActiveFault], run: ThreadRunner) -> None:
        super().__init__(None, run)
        self._set_fault = set_fault

    def __await__(self) -> Generator[Any, Any, AsyncFault]:
        return self._set().__await__()

    async def _set(self) -> AsyncFault:
        if self._sync is None:
            self._sync = await self._call(self._set_fault)
        return self

    async def __aenter__(self) -> AsyncFault:
        return await self._set()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.clear()

    @property
    def id(self) -> int:
        """Its number, once it is set."""
        return int(self._sync.id)

    @property
    def kind(self) -> str:
        """Its kind, once it is set; see :class:`ActiveFault`."""
        return str(self._sync.kind)

    async def applied(self) -> int:
        """Return how often it was applied; once it was cleared, how often it had been."""
        return await self._call(lambda: int(self._sync.applied))

    clear = _in_thread(ActiveFault.clear)


def _fault(
    method: Callable[Concatenate[Any, Arguments], ActiveFault],
) -> Callable[Concatenate[Any, Arguments], AsyncFault]:
    """Return a method that returns a fault which is still to be set."""

    @functools.wraps(method)
    def prepare(self: Any, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> AsyncFault:
        return AsyncFault(functools.partial(method, self._sync, *args, **kwargs), self._run)

    return prepare


class AsyncFaults(_Wrapper):
    """Sets faults; see :class:`SandboxFaults`."""

    offline = _fault(SandboxFaults.offline)
    fail = _fault(SandboxFaults.fail)
    break_link = _fault(SandboxFaults.break_link)
    delay = _fault(SandboxFaults.delay)
    drop_events = _fault(SandboxFaults.drop_events)
    duplicate_events = _fault(SandboxFaults.duplicate_events)
    delay_events = _fault(SandboxFaults.delay_events)
    online = _in_thread(SandboxFaults.online)
    clear = _in_thread(SandboxFaults.clear)


class AsyncGroup(_Wrapper):
    """A group; see :class:`SandboxGroup`."""

    bans_everybody = _in_thread(SandboxGroup.bans_everybody)
    is_renamed = _in_thread(SandboxGroup.is_renamed)

    @property
    def group_id(self) -> int:
        """Its number."""
        return int(self._sync.group_id)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self._sync.name)

    @property
    def chat(self) -> Chat:
        """The chat of its members."""
        return ("group", self.group_id)


class _AsyncSpeaker(_Wrapper):
    """What a person does in private and a member does in a group alike."""

    says = _in_thread(SandboxPerson.says)
    forwards = _in_thread(SandboxPerson.forwards)
    hears = _in_thread(SandboxPerson.hears)
    recalls = _in_thread(SandboxPerson.recalls)
    reacts = _in_thread(SandboxPerson.reacts)
    uploads = _in_thread(SandboxPerson.uploads)

    @property
    def user_id(self) -> int:
        """The person's number."""
        return int(self._sync.user_id)

    @property
    def name(self) -> str:
        """The nickname."""
        return str(self._sync.name)

    @property
    def chat(self) -> Chat:
        """The chat with the bot."""
        kind, number = self._sync.chat
        return (str(kind), int(number))


class AsyncPerson(_AsyncSpeaker):
    """A person, in private with the bot; see :class:`SandboxPerson`."""

    pokes = _in_thread(SandboxPerson.pokes)
    asks_to_be_friend = _in_thread(SandboxPerson.asks_to_be_friend)
    asks_to_join = _in_thread(SandboxPerson.asks_to_join)
    invites_bot_to = _in_thread(SandboxPerson.invites_bot_to)
    becomes_friend = _in_thread(SandboxPerson.becomes_friend)

    def in_group(self, group: HasGroupId | int | None = None) -> AsyncMember:
        """Return this person as a member of a group; nothing is asked of the service."""
        return AsyncMember(self._sync.in_group(group), self._run)

    async def joins(
        self, group: HasGroupId | int | None = None, *, operator: HasUserId | int | None = None
    ) -> AsyncMember:
        """Become a member of a group, and return this person as one."""
        return AsyncMember(await self._call(lambda: self._sync.joins(group, operator=operator)), self._run)


class AsyncMember(_AsyncSpeaker):
    """A person in a group; see :class:`SandboxMember`."""

    pokes = _in_thread(SandboxMember.pokes)
    asks_to_join = _in_thread(SandboxMember.asks_to_join)
    leaves = _in_thread(SandboxMember.leaves)
    kicks = _in_thread(SandboxMember.kicks)
    bans = _in_thread(SandboxMember.bans)
    makes_admin = _in_thread(SandboxMember.makes_admin)
    sets_card = _in_thread(SandboxMember.sets_card)
    gets_title = _in_thread(SandboxMember.gets_title)
    marks_essence = _in_thread(SandboxMember.marks_essence)

    async def joins(self, *, operator: HasUserId | int | None = None) -> AsyncMember:
        """Become a member of the group, and return this one."""
        return AsyncMember(await self._call(lambda: self._sync.joins(operator=operator)), self._run)

    @property
    def group_id(self) -> int:
        """The group's number."""
        return int(self._sync.group_id)


class AsyncSandbox(_Wrapper):
    """A sandbox account of a running service, for one asynchronous test; see :class:`Sandbox`.

    To make it asks the service and blocks for some milliseconds.

    :param process: the service.
    :param self_id: the number of the account; None for the first one.
    :param within: seconds that an expectation waits where it is given no time limit of its own.
    :param run: calls functions in threads; that of asyncio or trio by default.

    :ivar sync: the same sandbox with blocking methods.
    """

    def __init__(
        self,
        process: SandboxProcess | Sandbox,
        self_id: int | None = None,
        *,
        within: float = DEFAULT_WITHIN,
        run: ThreadRunner = run_in_thread,
    ) -> None:
        self.sync = process if isinstance(process, Sandbox) else Sandbox(process, self_id, within=within)
        super().__init__(self.sync, run)
        self.process, self.self_id = self.sync.process, self.sync.self_id
        self.expect = AsyncExpect(self.sync.expect, run)
        self.faults = AsyncFaults(self.sync.faults, run)

    reset = _in_thread(Sandbox.reset)
    wait_for_bot = _in_thread(Sandbox.wait_for_bot)
    close = _in_thread(Sandbox.close)
    event = _in_thread(Sandbox.event)
    fetch = _in_thread(Sandbox.fetch)
    nodes_of = _in_thread(Sandbox.nodes_of)

    @property
    def alice(self) -> AsyncPerson:
        """Alice (20001), a friend of the bot, and the owner of the Playground."""
        return self.person_named("Alice")

    @property
    def bob(self) -> AsyncPerson:
        """Bob (20002), a friend of the bot, and a member of the Playground."""
        return self.person_named("Bob")

    @property
    def carol(self) -> AsyncPerson:
        """Carol (20003), no friend of the bot, and a member of the Playground."""
        return self.person_named("Carol")

    @property
    def playground(self) -> AsyncGroup:
        """The group Playground (30001), in which the bot is an admin."""
        return self.group_named("Playground")

    def person_named(self, nickname: str) -> AsyncPerson:
        """Return a person of the world that the test began with, or that it made.

        :raises SandboxError: if there is none.
        """
        return AsyncPerson(self.sync.person_named(nickname), self._run)

    def group_named(self, name: str) -> AsyncGroup:
        """Return a group of the world that the test began with, or that it made.

        :raises SandboxError: if there is none.
        """
        return AsyncGroup(self.sync.group_named(name), self._run)

    async def person(
        self,
        nickname: str,
        *,
        user_id: int | None = None,
        friend: bool = True,
        sex: Literal["male", "female", "unknown"] | None = None,
        age: int | None = None,
    ) -> AsyncPerson:
        """Make a person, or change the one with that number; see :meth:`Sandbox.person`."""
        make = functools.partial(self.sync.person, nickname, user_id=user_id, friend=friend, sex=sex, age=age)
        return AsyncPerson(await self._call(make), self._run)

    async def group(
        self,
        name: str,
        members: Sequence[HasUserId | int] = (),
        *,
        owner: HasUserId | int | None = None,
        bot: Literal["owner", "admin", "member"] | None = "member",
        group_id: int | None = None,
    ) -> AsyncGroup:
        """Make a group, or change the one with that number; see :meth:`Sandbox.group`."""
        make = functools.partial(self.sync.group, name, members, owner=owner, bot=bot, group_id=group_id)
        return AsyncGroup(await self._call(make), self._run)

    async def transcript(self) -> list[ChatMessage]:
        """Return what was said since the beginning of the test."""
        return await self._call(self.sync.transcript)

    async def actions(self) -> list[BotAction]:
        """Return the actions that bots called since the beginning of the test."""
        return await self._call(self.sync.actions)

    async def report(self) -> str:
        """Return the whole conversation, the actions that bots called and the ends of their logs, as text."""
        return await self._call(self.sync.report)

    async def act(self, verb: str, chat: Chat | None = None, /, **values: object) -> Mapping[str, Any]:
        """Let a person do something: a verb of docs/sandbox.md; see :meth:`Sandbox.act`."""
        return await self._call(functools.partial(self.sync.act, verb, chat, **values))
