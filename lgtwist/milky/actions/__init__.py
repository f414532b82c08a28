"""Actions of OneBot 11, carried out by calls of Milky. Pure.

:data:`ACTIONS` has the names of all dialects; what is not in it has no counterpart in Milky.
"""

from __future__ import annotations

from lgtwist.milky.actions import (  # they register their actions
    contacts,
    files,
    forwards,
    groups,
    local,
    messages,
    profile,
    requests,
)
from lgtwist.milky.actions.performing import conversation_of
from lgtwist.milky.actions.performing import perform_action as perform
from lgtwist.milky.actions.table import MILKY_ACTIONS as ACTIONS

__all__ = [
    "ACTIONS",
    "contacts",
    "conversation_of",
    "files",
    "forwards",
    "groups",
    "local",
    "messages",
    "perform",
    "profile",
    "requests",
]
