"""The table of the actions, and how one is performed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from lgtwist.onebot import responses
from lgtwist.onebot.errors import OneBotError, UnknownAction
from lgtwist.sandbox.bounds import json_parts
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world.world import World

#: Takes the world, the parameters and the time (seconds since the epoch); returns the ``data``.
ActionFunction = Callable[[World, Params, int], Any]

#: The functions of all actions, by name.
ACTIONS: dict[str, ActionFunction] = {}


def action(function: ActionFunction) -> ActionFunction:
    """Register a function in ``ACTIONS`` under its own name."""
    ACTIONS[function.__name__] = function
    return function


def find_action(name: str) -> ActionFunction:
    """Return the function of an action.

    :raises UnknownAction: if there is none.
    """
    function = ACTIONS.get(name)
    if function is None:
        raise UnknownAction(f'no such action: "{name[:100]}"')
    return function


def perform(world: World, name: str, params: Params, now: int) -> bytes:
    """Perform an action and return its response, without ``echo``.

    An :class:`OneBotError` of the function becomes a failed response; other exceptions are raised.

    :param name: the action's name.
    :param now: seconds since the epoch.
    """
    try:
        return responses.ok(msgspec.json.encode(find_action(name)(world, params, now)))
    except OneBotError as error:
        return responses.from_error(error)


def encode_large(data: Any) -> bytes:
    """Return the response with an action's ``data``, without ``echo``; call it in a thread."""
    return responses.ok(b"".join(json_parts(data)))
