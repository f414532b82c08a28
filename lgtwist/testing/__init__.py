"""Testing a bot against a sandbox account, on pytest, trial or anything else; see docs/testing-a-bot.md.

Nothing of Twisted is imported here, and what a name needs is imported when it is used first: the pytest
plugin of this package is imported by each pytest of its environment.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lgtwist.testing.asynchronous import (
        AsyncExpect,
        AsyncFault,
        AsyncFaults,
        AsyncGroup,
        AsyncMember,
        AsyncPerson,
        AsyncSandbox,
    )
    from lgtwist.testing.bots import BotAddress, BotCommand, nonebot_env
    from lgtwist.testing.control import SandboxClient, SandboxError, SandboxRefused
    from lgtwist.testing.expectations import Expect, ExpectationFailed
    from lgtwist.testing.faults import ActiveFault, SandboxFaults
    from lgtwist.testing.in_process_bots import InProcessBot, set_environment
    from lgtwist.testing.messages import BotAction, ChatMessage, Said
    from lgtwist.testing.people import Sandbox, SandboxGroup, SandboxMember, SandboxPerson
    from lgtwist.testing.service import AttachedBot, SandboxProcess

_MODULES = {
    "asynchronous": (
        "AsyncExpect",
        "AsyncFault",
        "AsyncFaults",
        "AsyncGroup",
        "AsyncMember",
        "AsyncPerson",
        "AsyncSandbox",
    ),
    "bots": ("BotAddress", "BotCommand", "nonebot_env"),
    "control": ("SandboxClient", "SandboxError", "SandboxRefused"),
    "expectations": ("Expect", "ExpectationFailed"),
    "faults": ("ActiveFault", "SandboxFaults"),
    "in_process_bots": ("InProcessBot", "set_environment"),
    "messages": ("BotAction", "ChatMessage", "Said"),
    "people": ("Sandbox", "SandboxGroup", "SandboxMember", "SandboxPerson"),
    "service": ("AttachedBot", "SandboxProcess"),
}

__all__ = [
    "ActiveFault",
    "AsyncExpect",
    "AsyncFault",
    "AsyncFaults",
    "AsyncGroup",
    "AsyncMember",
    "AsyncPerson",
    "AsyncSandbox",
    "AttachedBot",
    "BotAction",
    "BotAddress",
    "BotCommand",
    "ChatMessage",
    "Expect",
    "ExpectationFailed",
    "InProcessBot",
    "Said",
    "Sandbox",
    "SandboxClient",
    "SandboxError",
    "SandboxFaults",
    "SandboxGroup",
    "SandboxMember",
    "SandboxPerson",
    "SandboxProcess",
    "SandboxRefused",
    "nonebot_env",
    "set_environment",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is used first.

    :raises AttributeError: if there is no such name.
    """
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
