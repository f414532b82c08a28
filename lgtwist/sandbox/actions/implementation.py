"""Actions about the implementation itself."""

from __future__ import annotations

from typing import Any

from lgtwist import __version__
from lgtwist.sandbox.actions.table import action
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world.world import World


@action
def get_status(_world: World, _params: Params, _now: int) -> Any:
    """Return the status, which is always online."""
    return {"online": True, "good": True}


@action
def get_version_info(_world: World, _params: Params, _now: int) -> Any:
    """Return the name and version of this implementation."""
    return {"app_name": "lgtwist-sandbox", "app_version": __version__, "protocol_version": "v11"}


@action
def can_send_image(_world: World, _params: Params, _now: int) -> Any:
    """Return that images can be sent."""
    return {"yes": True}


@action
def can_send_record(_world: World, _params: Params, _now: int) -> Any:
    """Return that voice messages can be sent."""
    return {"yes": True}


@action
def get_cookies(_world: World, params: Params, _now: int) -> Any:
    """Return the account's cookies, which are empty."""
    params.text("domain", "")
    return {"cookies": ""}


@action
def get_csrf_token(_world: World, _params: Params, _now: int) -> Any:
    """Return the account's CSRF token, which is 0."""
    return {"token": 0}


@action
def get_credentials(_world: World, params: Params, _now: int) -> Any:
    """Return the cookies and the CSRF token, both empty."""
    params.text("domain", "")
    return {"cookies": "", "csrf_token": 0}


@action
def set_restart(_world: World, params: Params, _now: int) -> Any:
    """Accept a restart, and do nothing."""
    params.integer("delay", 0)
