"""About the implementation itself."""

from __future__ import annotations

from typing import Any

from lgtwist import __version__
from lgtwist.sandbox.actions.table import action
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world.world import World


@action
def get_status(_world: World, _params: Params, _now: int) -> Any:
    """Whether the account is online: the sandbox always is."""
    return {"online": True, "good": True}


@action
def get_version_info(_world: World, _params: Params, _now: int) -> Any:
    """What this implementation is."""
    return {"app_name": "lgtwist-sandbox", "app_version": __version__, "protocol_version": "v11"}


@action
def can_send_image(_world: World, _params: Params, _now: int) -> Any:
    """Whether images can be sent."""
    return {"yes": True}


@action
def can_send_record(_world: World, _params: Params, _now: int) -> Any:
    """Whether voice can be sent."""
    return {"yes": True}


@action
def get_cookies(_world: World, params: Params, _now: int) -> Any:
    """The account's cookies: it has none."""
    params.text("domain", "")
    return {"cookies": ""}


@action
def get_csrf_token(_world: World, _params: Params, _now: int) -> Any:
    """The account's token against forged requests: it needs none."""
    return {"token": 0}


@action
def get_credentials(_world: World, params: Params, _now: int) -> Any:
    """Both of them."""
    params.text("domain", "")
    return {"cookies": "", "csrf_token": 0}


@action
def set_restart(_world: World, params: Params, _now: int) -> Any:
    """Restart the implementation: there is nothing to restart."""
    params.integer("delay", 0)
