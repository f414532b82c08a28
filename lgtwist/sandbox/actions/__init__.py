"""What the account can do: each action of OneBot 11 and some extensions, as one function each.

A function takes the world, the parameters and the time, and returns the response's ``data``. Importing
this package makes the table ``ACTIONS`` whole.
"""

from __future__ import annotations

from lgtwist.sandbox.actions import contacts, files, groups, implementation, messages
from lgtwist.sandbox.actions.table import ACTIONS, perform

__all__ = ["ACTIONS", "contacts", "files", "groups", "implementation", "messages", "perform"]
