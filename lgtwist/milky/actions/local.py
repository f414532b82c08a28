"""Actions about the account and its implementation, which need no call of Milky, or a plain one."""

from __future__ import annotations

from typing import Any

from lgtwist.milky.actions.table import (
    answered_text,
    call_milky,
    known_implementation,
    milky_action,
    unreadable,
)
from lgtwist.milky.entities import login_data
from lgtwist.milky.errors import CallFailed
from lgtwist.milky.fields import text_at
from lgtwist.milky.interfaces import ActionContext
from lgtwist.onebot.errors import AccountFailed, UnknownAction
from lgtwist.onebot.params import ActionParams
from lgtwist.onebot.values import read_integer

#: The domain of which cookies are asked for where the bot names none: Milky demands one.
_DEFAULT_DOMAIN = "qq.com"


@milky_action("get_login_info")
async def read_login(context: ActionContext, _params: ActionParams) -> Any:
    """Return the account's number and nickname."""
    api = "get_login_info"
    data = login_data(await call_milky(context, api))
    if not data["user_id"]:
        raise unreadable(api, "uin is missing")
    return data


@milky_action("get_status")
async def read_status(context: ActionContext, _params: ActionParams) -> Any:
    """Return whether the account is online; where it is said not to be, ask QQ for its own profile.

    ``good`` says that the implementation answers.

    :raises OneBotError: if it did not answer.
    """
    online = context.is_online()
    if not online:
        try:
            await context.api.call("get_user_profile", {"user_id": context.self_id})
            online = True
        except (CallFailed, AccountFailed, UnknownAction):
            online = False
    return {"online": online, "good": True}


@milky_action("get_version_info")
async def read_version(context: ActionContext, _params: ActionParams) -> Any:
    """Return what the implementation says it is."""
    implementation = await known_implementation(context)
    return {
        "app_name": implementation.name,
        "app_version": implementation.version,
        "protocol_version": "v11",
        "milky_version": implementation.milky_version,
    }


@milky_action("can_send_image", "can_send_record")
async def can_send(_context: ActionContext, _params: ActionParams) -> Any:
    """Return that pictures and voice messages can be sent."""
    return {"yes": True}


# -- credentials


async def _cookies(context: ActionContext, params: ActionParams) -> str:
    domain = params.text("domain", "") or _DEFAULT_DOMAIN
    api = "get_cookies"
    data = await call_milky(context, api, domain=domain)
    if not isinstance(data.get("cookies"), str):
        raise unreadable(api, "cookies is no string")
    return text_at(data, "cookies")


async def _csrf_token(context: ActionContext) -> int:
    """Return the CSRF token: a number in OneBot 11, a string in Milky."""
    api = "get_csrf_token"
    token = read_integer(answered_text(await call_milky(context, api), "csrf_token", api))
    if token is None:
        raise unreadable(api, "csrf_token is no number")
    return token


@milky_action("get_cookies")
async def read_cookies(context: ActionContext, params: ActionParams) -> Any:
    """Return the account's cookies of a domain."""
    return {"cookies": await _cookies(context, params)}


@milky_action("get_csrf_token")
async def read_csrf_token(context: ActionContext, _params: ActionParams) -> Any:
    """Return the account's CSRF token."""
    return {"token": await _csrf_token(context)}


@milky_action("get_credentials")
async def read_credentials(context: ActionContext, params: ActionParams) -> Any:
    """Return the account's cookies of a domain, and its CSRF token."""
    cookies = await _cookies(context, params)
    return {"cookies": cookies, "csrf_token": await _csrf_token(context)}
