"""The table of actions, and the way through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from lgtwist.onebot import responses
from lgtwist.onebot.errors import OneBotError, UnknownAction
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world.world import World

ActionFunction = Callable[[World, Params, int], Any]

ACTIONS: dict[str, ActionFunction] = {}


def action(function: ActionFunction) -> ActionFunction:
    """Put a function into the table, under its name."""
    ACTIONS[function.__name__] = function
    return function


def find_action(name: str) -> ActionFunction:
    """The function of an action.

    :raises UnknownAction: if there is none.
    """
    function = ACTIONS.get(name)
    if function is None:
        raise UnknownAction(f'no such action: "{name[:100]}"')
    return function


def perform(world: World, name: str, params: Params, now: int) -> bytes:
    """Do an action.

    :returns: the response, without echo. Never raises: what fails is told in it.
    """
    try:
        return responses.ok(msgspec.json.encode(find_action(name)(world, params, now)))
    except OneBotError as error:
        return responses.from_error(error)
