"""Faults on demand: an account that is logged out, actions that fail, links that break, late answers.

How a bot's author finds out that the bot survives. docs/sandbox.md says what each of them does.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Literal

from lgtwist.testing.control import SandboxClient, SandboxError, SandboxRefused, is_said_by_sentence
from lgtwist.testing.messages import DONE, AlreadyThere, Done

#: pytest leaves the frames of this module out of the traceback of such an error.
__tracebackhide__ = is_said_by_sentence


class ActiveFault(AlreadyThere):
    """A fault that was set. As a context manager it is cleared at the end of the block.

    :ivar id: its number.
    :ivar kind: ``offline``, ``fail``, ``break``, ``delay``, ``drop_events``, ``duplicate_events`` or
        ``delay_events``.
    """

    def __init__(self, client: SandboxClient, fault: dict[str, Any]) -> None:
        self._client = client
        self.id, self.kind = int(fault["id"]), str(fault["kind"])
        self._times: int | None = fault.get("times")
        self._applied: int | None = None  # once it was cleared

    @property
    def applied(self) -> int:
        """How often it was applied; once it was cleared, how often it had been."""
        if self._applied is None:
            for one in self._client.get("faults")["faults"]:
                if one["id"] == self.id:
                    return int(one["applied"])
            self._applied = self._times or 0  # a fault whose times are used up is gone
        return self._applied

    def clear(self) -> Done:
        """Clear it; harmless where it is not set any more."""
        self.note_applied()
        self._client.post("clear_faults", {"id": self.id})
        return DONE

    def note_applied(self) -> None:
        """Find out how often it was applied, before it is cleared."""
        self._applied = self.applied

    def __enter__(self) -> ActiveFault:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.clear()
        except SandboxRefused:
            raise
        except SandboxError:  # the test has stopped the service, which ends its faults
            pass


class SandboxFaults:
    """Sets faults of one sandbox account; each method but ``online`` and ``clear`` returns what was set.

    ``action`` is a name in which ``*`` stands for any characters, ``bot`` the name of a bot in the
    configuration (None for all), ``times`` how often a fault is applied (None until it is cleared).
    """

    def __init__(self, client: SandboxClient) -> None:
        self._client = client
        self._active: list[ActiveFault] = []

    def _set(self, kind: str, **members: object) -> ActiveFault:
        fault = ActiveFault(self._client, dict(self._client.post("faults", {"kind": kind, **members})))
        self._active.append(fault)
        return fault

    def _clear(self, kind: str | None = None) -> None:
        """Clear all faults, or those of a kind."""
        for fault in self._active:
            if kind in (None, fault.kind):
                fault.note_applied()
        self._active = [fault for fault in self._active if kind not in (None, fault.kind)]
        self._client.post("clear_faults", {"kind": kind})

    def offline(
        self, reason: str | None = None, *, down: bool = False, retcode: int | None = None
    ) -> ActiveFault:
        """Log the account out: bots get ``bot_offline``, and actions are refused.

        :param reason: the words of ``bot_offline``.
        :param down: let the implementation be gone altogether, without a notice: actions end as 1501.
        :param retcode: of the actions that are refused; 1200 by default.
        """
        return self._set("offline", reason=reason, down=down, retcode=retcode)

    def online(self) -> Done:
        """Log the account in again."""
        self._clear("offline")
        return DONE

    def fail(
        self,
        action: str = "*",
        retcode: int | None = None,
        *,
        times: int | None = 1,
        message: str | None = None,
        carried_out: bool = False,
        bot: str | None = None,
    ) -> ActiveFault:
        """Let an action fail.

        :param retcode: of the answer; 1200 by default.
        :param message: the words of the answer.
        :param carried_out: whether only the answer lies.
        """
        return self._set(
            "fail",
            action=action,
            retcode=retcode,
            times=times,
            message=message,
            carried_out=carried_out,
            bot=bot,
        )

    def break_link(
        self,
        during: str = "*",
        *,
        times: int | None = 1,
        part: Literal["none", "half"] = "none",
        carried_out: bool = True,
        bot: str | None = None,
    ) -> ActiveFault:
        """Reset the bot's connection where the answer to an action would be sent.

        :param during: the action.
        :param part: how much of the answer is sent before.
        :param carried_out: whether the action is carried out.
        """
        return self._set(
            "break",
            action=during,
            times=times,
            part=part,
            carried_out=carried_out,
            bot=bot,
        )

    def delay(
        self, action: str, seconds: float, *, times: int | None = None, bot: str | None = None
    ) -> ActiveFault:
        """Let answers come late, by a number of seconds; the action is carried out at once."""
        return self._set("delay", action=action, seconds=seconds, times=times, bot=bot)

    def drop_events(self, times: int | None = 1) -> ActiveFault:
        """Let the next events not reach bots."""
        return self._set("drop_events", times=times)

    def duplicate_events(self, times: int | None = 1) -> ActiveFault:
        """Let the next events come twice."""
        return self._set("duplicate_events", times=times)

    def delay_events(self, seconds: float, times: int | None = 1) -> ActiveFault:
        """Let the next events come late, by a number of seconds, behind newer ones."""
        return self._set("delay_events", seconds=seconds, times=times)

    def clear(self) -> Done:
        """Clear all faults."""
        self._clear()
        return DONE
