"""The actions of the sandbox account: those of OneBot 11 and some extensions, one function each.

A function bears its action's name. It takes the world, the parameters and the time (seconds since the
epoch), and returns the response's ``data``. Importing this package fills ``ACTIONS``.
"""

from __future__ import annotations

from lgtwist.sandbox.actions import contacts, files, groups, implementation, messages
from lgtwist.sandbox.actions.table import ACTIONS, perform

__all__ = ["ACTIONS", "contacts", "files", "groups", "implementation", "messages", "perform"]
