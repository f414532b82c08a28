"""Actions about the account's own profile and collection."""

from __future__ import annotations

from typing import Any

from lgtwist.milky.actions.table import call_milky, milky_action, read_uri, read_whole, unreadable, with_words
from lgtwist.milky.fields import list_at
from lgtwist.milky.interfaces import ActionContext
from lgtwist.onebot.errors import BadRequest, OneBotError
from lgtwist.onebot.params import ActionParams

#: What ``set_qq_profile`` sets with other implementations and not in Milky.
_NOT_IN_PROFILE = ("company", "email", "college", "sex")
#: Faces that one answer has.
_MOST_FACES = 10_000


@milky_action("set_qq_avatar")
async def change_avatar(context: ActionContext, params: ActionParams) -> None:
    """Set the account's picture."""
    await call_milky(context, "set_avatar", uri=read_uri(params, "file"))


@milky_action("set_self_longnick")
async def change_bio(context: ActionContext, params: ActionParams) -> None:
    """Set the account's signature; an empty one removes it."""
    name = "longNick" if params.has("longNick") or not params.has("long_nick") else "long_nick"
    await call_milky(context, "set_bio", new_bio=params.text(name))


@milky_action("set_qq_profile")
async def change_profile(context: ActionContext, params: ActionParams) -> None:
    """Set the account's nickname and signature, as far as they are given: a call for each of them.

    :raises OneBotError: if one of the calls failed; where the other was carried out, the sentence says so.
    """
    for name in _NOT_IN_PROFILE:
        if params.has(name) and params.text(name):
            raise BadRequest(f"{params.path(name)}: Milky cannot set it")
    nickname = params.text("nickname", "")
    # Typed programs send an empty string for what they do not set: alone it removes the signature.
    bio = params.text("personal_note") if params.has("personal_note") else None
    if nickname and bio == "":
        bio = None
    if not nickname and bio is None:
        raise BadRequest(f"{params.path('nickname')} is missing")
    if nickname:
        await call_milky(context, "set_nickname", new_nickname=nickname)
    if bio is None:
        return
    try:
        await call_milky(context, "set_bio", new_bio=bio)
    except OneBotError as error:
        if not nickname:
            raise
        words = f"the nickname was set, but personal_note was not: {error.sentence}"
        raise with_words(error, words) from error


@milky_action("fetch_custom_face")
async def list_custom_faces(context: ActionContext, params: ActionParams) -> Any:
    """Return the URLs of the account's own faces, at most ``count``."""
    api = "get_custom_face_url_list"
    count = read_whole(params, "count", 48, most=_MOST_FACES)
    data = await call_milky(context, api)
    if not isinstance(data.get("urls"), list):
        raise unreadable(api, "urls is no list")
    return [url for url in list_at(data, "urls") if isinstance(url, str)][:count]
