"""What Lagrange.Milky, LLBot and Yogurt do otherwise than Milky says, on top of :mod:`tests.milky.world`."""

from __future__ import annotations

import base64
import hashlib
import inspect
import random
from typing import Any

from tests.milky.schema import APIS
from tests.milky.world import ApiError, Json, World


class Habits:
    """An implementation that does all as Milky 1.3 says.

    :ivar missing: APIs that it answers with HTTP 404.
    :ivar sent_events: types of the events that it sends.
    :ivar reports_self: whether it reports the account's own messages, where it is not set.
    :ivar fails_with_500: whether a failure is HTTP 500 with an empty body.
    :ivar has_json_errors: whether 401, 404 and 415 come with a JSON body.
    :ivar opens_unauthorised: whether a WebSocket without token is opened, and closed with 1008.
    :ivar all_keys: whether an answer has ``data`` and ``message`` always, one of them null.
    :ivar caches_login: whether get_login_info and get_impl_info succeed after a kick.
    """

    impl_name = "Fake"
    milky_version = "1.3"
    missing: frozenset[str] = frozenset()
    sent_events: frozenset[str] | None = None
    reports_self = True
    fails_with_500 = False
    has_json_errors = False
    opens_unauthorised = False
    all_keys = False
    caches_login = False

    def event(self, world: World, kind: str, data: Json) -> Json | None:
        """Return the data of an event as it is sent; None if it is not."""
        if self.sent_events is not None and kind not in self.sent_events:
            return None
        return data

    def request(self, api: str, params: Any) -> None:
        """Refuse what the schema allows.

        :raises ApiError: instead of the call.
        """

    async def call(self, world: World, api: str, params: Json) -> Json:
        """Carry out a call; its data."""
        own = getattr(self, f"api_{api}", None)
        made = getattr(world, f"api_{api}")(params) if own is None else own(world, params)
        if inspect.isawaitable(made):
            made = await made
        return {} if made is None else made

    def api_get_impl_info(self, _world: World, _params: Json) -> Json:
        return {
            "impl_name": self.impl_name,
            "impl_version": "0.0.1",
            "qq_protocol_version": "3.2.19",
            "qq_protocol_type": "linux",
            "milky_version": self.milky_version,
        }


_LAGRANGE = """
get_login_info get_impl_info get_user_profile get_friend_list get_friend_info get_group_list get_group_info
get_group_member_list get_group_member_info set_peer_pin set_avatar send_private_message send_group_message
recall_private_message recall_group_message get_message get_history_messages get_resource_temp_url
send_friend_nudge set_group_name set_group_member_card set_group_member_special_title set_group_member_mute
set_group_whole_mute kick_group_member set_group_essence_message quit_group send_group_message_reaction
send_group_nudge get_group_notifications accept_group_request reject_group_request accept_group_invitation
reject_group_invitation upload_private_file upload_group_file get_group_file_download_url get_group_files
move_group_file delete_group_file create_group_folder rename_group_folder delete_group_folder
"""
_LAGRANGE_EVENTS = """
bot_offline message_receive message_recall friend_request group_join_request group_invited_join_request
group_invitation group_member_increase group_member_decrease group_message_reaction group_nudge
"""
_LAGRANGE_INCOMING = frozenset("text mention mention_all reply image record video forward light_app".split())
_MEDIA = frozenset("image record video forward".split())


class Answered(ApiError):
    """A failure that comes with HTTP 200 where others come with 500."""


class Lagrange(Habits):
    """Lagrange.Milky of August 2026."""

    impl_name = "Lagrange.Core"
    milky_version = "1.2"
    missing = APIS - frozenset(_LAGRANGE.split())
    sent_events = frozenset(_LAGRANGE_EVENTS.split())
    fails_with_500 = True
    all_keys = True
    caches_login = True

    def event(self, world: World, kind: str, data: Json) -> Json | None:
        made = super().event(world, kind, data)
        if made is None:
            return None
        if kind in ("message_receive", "message_recall"):
            if data["message_scene"] == "temp":
                return None
            if kind == "message_receive":
                if data["sender_id"] == world.self_id and data["message_scene"] == "friend":
                    return None
                return {**data, "segments": self._known(data["segments"])}
        if kind == "friend_request":
            return {**data, "initiator_uid": ""}
        if kind == "group_invitation":
            return {**data, "source_group_id": world.self_id}
        if kind == "group_message_reaction":
            return {**data, "reaction_type": "face"}
        return data

    def _known(self, segments: list[Json]) -> list[Json]:
        return [one for one in segments if one["type"] in _LAGRANGE_INCOMING]

    def request(self, api: str, params: Any) -> None:
        if api in ("send_private_message", "send_group_message"):
            for segment in params["message"]:
                if segment["type"] == "face":
                    raise ApiError(-500, "no outgoing face")
                if segment["type"] == "forward":
                    for node in segment["data"]["messages"]:
                        if any(inner["type"] in _MEDIA for inner in node["segments"]):
                            raise ApiError(-500, "no media in forwards")

    async def api_send_private_message(self, world: World, params: Json) -> Json:
        message = await self._decoded(world, params["message"])
        made = await world.api_send_private_message({**params, "message": message})
        return {**made, "message_seq": random.randint(10000, 99998)}

    async def api_send_group_message(self, world: World, params: Json) -> Json:
        message = await self._decoded(world, params["message"])
        return await world.api_send_group_message({**params, "message": message})

    async def _decoded(self, world: World, message: list[Json]) -> list[Json]:
        made = []
        for segment in message:
            data = segment["data"]
            if str(data.get("uri", "")).startswith("base64://"):
                data = {**data, "uri": await _with_zeros(world, data["uri"])}
            if segment["type"] == "forward":
                data = {"messages": data["messages"]}
            made.append({**segment, "data": data})
        return made

    async def api_upload_private_file(self, world: World, params: Json) -> Json:
        await world.api_upload_private_file(
            {**params, "file_uri": await _with_zeros(world, params["file_uri"])}
        )
        return {"file_id": ""}

    async def api_upload_group_file(self, world: World, params: Json) -> Json:
        await world.api_upload_group_file(
            {**params, "file_uri": await _with_zeros(world, params["file_uri"])}
        )
        return {"file_id": ""}

    def api_create_group_folder(self, world: World, params: Json) -> Json:
        world.api_create_group_folder(params)
        return {"folder_id": ""}

    def api_kick_group_member(self, world: World, params: Json) -> None:
        try:
            world.api_kick_group_member(params)
        except ApiError:
            return
        raise Answered(-500, "unknown error")

    def api_set_group_essence_message(self, world: World, params: Json) -> None:
        world.api_set_group_essence_message({**params, "is_set": True})

    def api_send_group_message_reaction(self, world: World, params: Json) -> None:
        world.api_send_group_message_reaction({**params, "reaction_type": "face"})

    def api_get_group_notifications(self, world: World, params: Json) -> Json:
        return {**world.api_get_group_notifications(params), "next_notification_seq": None}

    def api_get_message(self, world: World, params: Json) -> Json:
        if params["message_scene"] == "temp":
            raise ApiError(-500, "no temp")
        message = world.api_get_message(params)["message"]
        return {"message": {**message, "segments": self._known(message["segments"])}}

    def api_get_history_messages(self, world: World, params: Json) -> Json:
        scene, peer_id = peer = params["message_scene"], params["peer_id"]
        start, limit = params.get("start_message_seq"), params.get("limit", 20)
        if scene == "temp" or (scene == "friend" and start is None):
            raise ApiError(-500, "no temp, and no friend without start")
        world.conversation(peer)
        newest = world.newest_seq(peer)
        start = newest if start is None else start
        found = world.between((scene, peer_id), start - limit, start)
        if not found:
            raise ApiError(-500, "empty range")
        following = found[0]["message_seq"] - 1
        return {
            "messages": [{**one, "segments": self._known(one["segments"])} for one in found],
            "next_message_seq": None if following < 0 else following,
        }


async def _with_zeros(world: World, uri: str) -> str:
    """A URI of what Lagrange.Milky uploads: base64 is decoded into a buffer that is too long."""
    if not uri.startswith("base64://"):
        return uri
    content = await world.read(uri)
    padded = content + bytes(int(len(content) * 0.78) + 1)
    return "base64://" + _base64(padded)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


class LLBot(Habits):
    """LuckyLilliaBot 8.1.7."""

    impl_name = "LLBot"
    reports_self = False
    has_json_errors = True
    opens_unauthorised = True
    caches_login = True

    def event(self, world: World, kind: str, data: Json) -> Json | None:
        if kind == "message_receive":
            if data["message_scene"] == "friend" and data["sender_id"] == world.self_id:
                return None  # a TypeError there
            return {**data, "segments": [_without_hash(one) for one in data["segments"]]}
        if kind == "friend_file_upload":
            digest = hashlib.md5(world.resources[data["file_id"]]).hexdigest()
            return {**data, "file_hash": digest}
        return data

    async def api_send_private_message(self, world: World, params: Json) -> Json:
        user_id, message = params["user_id"], params["message"]
        if user_id not in world.friends and user_id in world.users:
            world.histories.setdefault(("temp", user_id), {})
        message = [one for one in message if one["type"] not in ("mention", "mention_all")]
        message = await _swallowing(world, "friend", user_id, message)
        return await world.api_send_private_message({**params, "message": message})

    async def api_send_group_message(self, world: World, params: Json) -> Json:
        message = await _swallowing(world, "group", params["group_id"], params["message"])
        return await world.api_send_group_message({**params, "message": message})

    def api_get_private_file_download_url(self, world: World, params: Json) -> Json:
        known = world.private_files.get(params["file_id"], {})
        return world.api_get_private_file_download_url(
            {**params, "file_hash": known.get("file_hash", params["file_hash"])}
        )

    def api_get_history_messages(self, world: World, params: Json) -> Json:
        peer = params["message_scene"], params["peer_id"]
        world.conversation(peer)
        limit = params.get("limit") or 20
        start = params.get("start_message_seq") or world.newest_seq(peer)
        found = world.between(peer, start - limit + 1, start)
        following = found[0]["message_seq"] - 1 if found else None
        return {"messages": [_without_hashes(one) for one in found], "next_message_seq": following}

    def api_get_message(self, world: World, params: Json) -> Json:
        return {"message": _without_hashes(world.api_get_message(params)["message"])}


def _without_hash(segment: Json) -> Json:
    if segment["type"] != "file":
        return segment
    return {**segment, "data": {name: one for name, one in segment["data"].items() if name != "file_hash"}}


def _without_hashes(message: Json) -> Json:
    return {**message, "segments": [_without_hash(one) for one in message["segments"]]}


async def _swallowing(world: World, scene: str, peer_id: int, message: list[Json]) -> list[Json]:
    """The segments that can be sent; the others are left out without a word."""
    kept = []
    for one in message:
        try:
            await world.incoming(scene, peer_id, one)
        except ApiError:
            continue
        kept.append(one)
    return kept


class Yogurt(Habits):
    """Yogurt 0.1.0-dev.248."""

    impl_name = "Yogurt"

    def event(self, world: World, kind: str, data: Json) -> Json | None:
        if kind == "message_receive" and data["message_scene"] == "temp":
            return None
        return data

    async def api_send_private_message(self, world: World, params: Json) -> Json:
        world.conversation(("friend", params["user_id"]))
        message = [_as_text(one) for one in params["message"]]
        return await world.api_send_private_message({**params, "message": message})


def _as_text(segment: Json) -> Json:
    if segment["type"] == "mention":
        return {"type": "text", "data": {"text": f"@{segment['data']['user_id']}"}}
    if segment["type"] == "mention_all":
        return {"type": "text", "data": {"text": "@all"}}
    return segment


HABITS: dict[str, type[Habits]] = {"": Habits, "lagrange": Lagrange, "llbot": LLBot, "yogurt": Yogurt}

#: Fields that came with each version of Milky, by what marks the object that they are in.
_NEWER_SEGMENTS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "face": (("1.1", ("is_large",)),),
    "forward": (("1.1", ("title", "preview", "summary")),),
    "market_face": (("1.1", ("emoji_package_id", "emoji_id", "key", "summary")),),
    "mention": (("1.2", ("name",)),),
    "reply": (("1.2", ("sender_id", "sender_name", "time", "segments")),),
}
_NEWER_EVENTS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "group_admin_change": (("1.1", ("operator_id",)),),
    "group_essence_message_change": (("1.1", ("operator_id",)),),
    "group_message_reaction": (("1.2", ("reaction_type",)),),
    "group_invitation": (("1.2", ("source_group_id",)),),
}
_NEWER_GROUP = ("remark", "created_time", "description", "question", "announcement")
#: Events and APIs of later versions.
NEWER_EVENTS = {"peer_pin_change": "1.2", "group_disband": "1.3"}
NEWER_APIS = {
    **dict.fromkeys(
        ("set_avatar", "set_nickname", "set_bio", "delete_friend", "get_custom_face_url_list"), "1.1"
    ),
    **dict.fromkeys(("get_peer_pins", "set_peer_pin"), "1.2"),
    "persist_group_file": "1.3",
}


def of_version(value: Any, version: str, *, event: str = "") -> Any:
    """Return a value without the fields that came after a version of Milky, such as ``1.0``.

    :param event: the type of the event whose data it is.
    """
    if isinstance(value, list):
        kept = [one for one in value if not (_is_segment(one, "markdown") and version < "1.3")]
        return [of_version(one, version) for one in kept]
    if not isinstance(value, dict):
        return value
    newer = set(_newer(_NEWER_EVENTS.get(event, ()), version))
    if "max_member_count" in value and version < "1.2":
        newer.update(_NEWER_GROUP)
    if "avatar_url" in value and version < "1.2":
        newer.add("message_seq")
    kept = {name: of_version(one, version) for name, one in value.items() if name not in newer}
    if _is_segment(value, value.get("type")) and isinstance(kept["data"], dict):
        dropped = _newer(_NEWER_SEGMENTS.get(value["type"], ()), version)
        kept["data"] = {name: one for name, one in kept["data"].items() if name not in dropped}
    return kept


def _is_segment(value: Any, kind: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"type", "data"} and value["type"] == kind


def _newer(table: tuple[tuple[str, tuple[str, ...]], ...], version: str) -> list[str]:
    return [name for since, names in table if version < since for name in names]


def with_more_keys(value: Any) -> Any:
    """Return a value in which each object has a key more, which no version of Milky knows."""
    if isinstance(value, list):
        return [with_more_keys(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {**{name: with_more_keys(one) for name, one in value.items()}, "later_key": {"later": [1, None]}}
