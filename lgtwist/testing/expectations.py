"""What a test expects of a bot, with a time limit; where it is not met, the failure shows what happened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol

from lgtwist.testing.messages import (
    DONE,
    BotAction,
    Chat,
    ChatMessage,
    Done,
    Matching,
    Said,
    choose_matching,
    describe_matching,
    message_matches,
    params_match,
)
from lgtwist.testing.observation import Observation


class ExpectationFailed(AssertionError):
    """A bot did not do what was expected, or did what was not.

    The message has the whole conversation, the actions that the bot called and the end of its log.
    """


class HasChat(Protocol):
    """A person or a member of a group."""

    @property
    def chat(self) -> Chat:
        """The chat with the bot."""


class Expect:
    """Expectations about one sandbox, since the beginning of the test.

    Each message meets one expectation: the next one goes on behind it, in that chat. What a test does not
    expect is passed over as soon as something behind it is found. So nothing is lost if the bot answers
    before the test waits for it.

    :param within: seconds that an expectation waits where it is given no time limit of its own.
    """

    def __init__(self, observation: Observation, within: float) -> None:
        self._observation, self.within = observation, within

    def reply(
        self,
        text: Matching = None,
        *,
        matching: Matching = None,
        to: Said | ChatMessage | HasChat | None = None,
        within: float | None = None,
    ) -> ChatMessage:
        """Wait for a message of the bot, and return it.

        What it said before somebody did something in this test is no reply: it may be late, from the test
        before.

        :param text: the whole text of the message; or a compiled pattern, or a function that is given the
            message; None for any message.
        :param matching: a regular expression that is searched in the message, as text or compiled.
        :param to: a message, behind which the reply stands in the same chat, also where an expectation has
            matched something behind it already; or a person or member, for that chat; None for the chat in
            which somebody has last done something, any chat if nobody has.
        :param within: seconds to wait.
        :raises ExpectationFailed: if it does not come.
        """
        __tracebackhide__ = True
        wanted = choose_matching(text, matching)
        chat = self._observation.last_act[1] if to is None else to.chat
        return self._message(
            f"reply{describe_matching(wanted)}", wanted, chat, to, None, within, is_reply=True
        )

    def message(
        self, text: Matching = None, *, matching: Matching = None, within: float | None = None
    ) -> ChatMessage:
        """Wait for a message of the bot in any chat, and return it; see :meth:`reply`."""
        __tracebackhide__ = True
        wanted = choose_matching(text, matching)
        return self._message(f"message{describe_matching(wanted)}", wanted, None, None, None, within)

    def hears(
        self, chat: Chat, user_id: int, name: str, matching: Matching, within: float | None
    ) -> ChatMessage:
        """Wait until a person hears a message of the bot, for ``hears`` of people and members."""
        __tracebackhide__ = True
        listener = user_id if chat[0] == "group" else None
        what = f"message{describe_matching(matching)} for {name}"
        return self._message(what, matching, chat, None, listener, within)

    def silence(self, seconds: float = 0.3, *, to: HasChat | None = None) -> Done:
        """Wait, and expect that the bot says nothing.

        It is meant since the last thing that a person did, or that the bot was expected to say.

        :param to: the chat that is meant, by a person or member; None for all.
        :raises ExpectationFailed: if it says something, or if no bot is connected that could.
        """
        __tracebackhide__ = True
        observation = self._observation
        since = max(observation.last_act[0], observation.newest_matched())
        chat = None if to is None else to.chat

        def find() -> ChatMessage | None:
            return next(self._of_bot(chat, lambda message: message.message_id > since), None)

        found = observation.wait_for(observation.read_messages, find, seconds)
        if found is not None:
            self._fail(f"expected silence for {seconds:g} s, and the bot said {found.raw!r}")
        missing = observation.missing_bot()
        if missing is not None:
            self._fail(f"expected silence for {seconds:g} s, but {missing}", absent=True)
        return DONE

    def action(
        self, name: str, /, *, within: float | None = None, succeeded: bool | None = None, **params: Any
    ) -> BotAction:
        """Wait until a bot has called an action, at any time since the beginning of the test, and return it.

        Each call meets one expectation.

        :param name: the action, without ``_async`` and ``_rate_limited``.
        :param within: seconds to wait.
        :param succeeded: whether it must have been answered as carried out, or must not; None for either.
        :param params: parameters that it must have been given: values, compiled patterns, or functions that
            are given the value. Numbers and the same numbers as strings are equal.
        :raises ExpectationFailed: if it is not called.
        """
        __tracebackhide__ = True
        observation = self._observation
        limit = self.within if within is None else within

        def find() -> BotAction | None:
            for action in observation.actions:
                if not observation.was_action_matched(action) and self._is(action, name, succeeded, params):
                    observation.mark_action(action)
                    return action
            return None

        found = observation.wait_for(observation.read_actions, find, limit)
        if found is None:
            self._fail_late(_describe_action(name, params, succeeded), limit)
        return found

    def no_action(self, name: str, /, *, seconds: float = 0.3, **params: Any) -> Done:
        """Wait, and expect that no bot has called an action since the beginning of the test.

        Calls that met an expectation of :meth:`action` do not count.

        :param seconds: how long to wait for it.
        :param params: as for :meth:`action`.
        :raises ExpectationFailed: if it is called, or if no bot is connected that could.
        """
        __tracebackhide__ = True
        observation = self._observation

        def find() -> BotAction | None:
            for action in observation.actions:
                if not observation.was_action_matched(action) and self._is(action, name, None, params):
                    return action
            return None

        found = observation.wait_for(observation.read_actions, find, seconds)
        what = f"expected no {_describe_action(name, params, None)}"
        if found is not None:
            self._fail(f"{what}, and the bot called {found}")
        missing = observation.missing_bot()
        if missing is not None:
            self._fail(f"{what}, but {missing}", absent=True)
        return DONE

    # -- how

    def _message(
        self,
        what: str,
        matching: Matching,
        chat: Chat | None,
        to: Said | ChatMessage | HasChat | None,
        listener: object,
        within: float | None,
        *,
        is_reply: bool = False,
    ) -> ChatMessage:
        __tracebackhide__ = True
        observation = self._observation
        limit = self.within if within is None else within
        first = (observation.first_act or 0) if is_reply else 0
        behind = to.message_id if isinstance(to, (Said, ChatMessage)) else None

        def is_next(message: ChatMessage) -> bool:
            if behind is not None:
                return message.message_id > behind and not observation.was_matched(message)
            return message.message_id > max(first, observation.matched_before(message.chat, listener))

        def find() -> ChatMessage | None:
            for message in self._of_bot(chat, is_next):
                if message_matches(matching, message):
                    observation.mark_message(message, listener)
                    return message
            return None

        found = observation.wait_for(observation.read_messages, find, limit)
        if found is None:
            hint = ""
            if isinstance(matching, str):
                near = next(self._of_bot(chat, lambda one: is_next(one) and matching in one.text), None)
                if near is not None:
                    hint = (
                        f"\n({near.text!r} contains it, but a text must be the whole message; "
                        f"for a part of it: matching={re.escape(matching)!r})"
                    )
            if not hint and chat is not None:
                away = next(
                    (one for one in self._of_bot(None, self._is_new) if message_matches(matching, one)), None
                )
                if away is not None:
                    hint = f"\n(the bot said it somewhere else: {self._observation.place_of(away)})"
            self._fail_late(f"a {what}", limit, hint)
        return found

    def _is_new(self, message: ChatMessage) -> bool:
        return not self._observation.was_matched(message)

    def _of_bot(self, chat: Chat | None, accept: Callable[[ChatMessage], bool]) -> Iterator[ChatMessage]:
        for message in self._observation.messages:
            if message.from_bot and chat in (None, message.chat) and accept(message):
                yield message

    def _is(self, action: BotAction, name: str, succeeded: bool | None, params: dict[str, Any]) -> bool:
        right = action.name == name and succeeded in (None, action.succeeded)
        return right and params_match(params, action.params)

    def _fail(self, sentence: str, *, absent: bool = False) -> NoReturn:
        """Fail, with all that happened.

        :param absent: whether no bot is connected.
        :raises ExpectationFailed: always.
        """
        __tracebackhide__ = True
        raise ExpectationFailed(f"{sentence}\n\n{self._observation.report(absent=absent)}")

    def _fail_late(self, expected: str, seconds: float, hint: str = "") -> NoReturn:
        """Fail because the time is over; say so first if no bot is there.

        :raises ExpectationFailed: always.
        """
        __tracebackhide__ = True
        missing = self._observation.missing_bot()
        reason = missing or self._observation.absence_at_an_act()
        because = f": {reason}" if reason else ""
        self._fail(f"expected {expected} within {seconds:g} s{because}{hint}", absent=missing is not None)


def _describe_action(name: str, params: dict[str, Any], succeeded: bool | None) -> str:
    given = ", ".join(f"{key}={_describe_value(value)}" for key, value in params.items())
    how = {None: "", True: " that succeeds", False: " that fails"}[succeeded]
    return f"action {name}({given}){how}"


def _describe_value(value: Any) -> str:
    if isinstance(value, re.Pattern):
        return f"/{value.pattern}/"
    return str(getattr(value, "__name__", repr(value)))
