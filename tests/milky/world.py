"""A small QQ behind the fake server: people, groups, histories, files, requests; and Milky's 65 APIs on it.

No network here, but for resources that a call names by http(s). It knows nothing of what implementations
do otherwise than Milky says: :mod:`tests.milky.habits` does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Json = dict[str, Any]

#: A conversation: its scene, and the group or the other person.
Peer = tuple[str, int]


class ApiError(Exception):
    """A call that fails.

    :param retcode: Milky's: -400 parameters, -404 not found, -500 other.
    """

    def __init__(self, retcode: int, message: str) -> None:
        super().__init__(message)
        self.retcode, self.message = retcode, message


class World:
    """What there is, and what happens to it.

    :param self_id: the account's number.
    :param emit: takes the type and the data of each event.
    :param resource_url: returns the address of a resource, by its id.
    :param fetch: returns the bytes behind an http(s) address.
    :param keep: takes each change of a history, so that :meth:`restore` can read it after a kill.
    :ivar histories: messages by conversation and sequence number, as ``IncomingMessage``; None for recalled.
    """

    def __init__(
        self,
        self_id: int = 10001,
        *,
        emit: Callable[[str, Json], None] = lambda _type, _data: None,
        resource_url: Callable[[str], str] = "http://127.0.0.1/resource/{}".format,
        fetch: Callable[[str], Awaitable[bytes]] | None = None,
        keep: Callable[[Json], None] = lambda _change: None,
    ) -> None:
        self.self_id = self_id
        self._emit, self._resource_url, self._fetch, self._keep = emit, resource_url, fetch, keep
        self.now: Callable[[], int] = lambda: int(time.time())
        self.users: dict[int, Json] = {}
        self.friends: dict[int, Json] = {}
        self.groups: dict[int, Json] = {}
        self.members: dict[int, dict[int, Json]] = {}
        self.histories: dict[Peer, dict[int, Json | None]] = {}
        self.resources: dict[str, bytes] = {}
        self.forwards: dict[str, list[Json]] = {}
        self.group_files: dict[int, dict[str, Json]] = {}
        self.group_folders: dict[int, dict[str, Json]] = {}
        self.private_files: dict[str, Json] = {}
        self.friend_requests: list[Json] = []
        self.notifications: list[Json] = []
        self.invitations: dict[tuple[int, int], Json] = {}
        self.announcements: dict[int, dict[str, Json]] = {}
        self.essence: dict[int, dict[int, Json]] = {}
        self.reactions: dict[tuple[int, int], list[Json]] = {}
        self.pins: set[Peer] = set()
        self.read_up_to: dict[Peer, int] = {}
        self.likes: dict[int, int] = {}
        self.muted_groups: set[int] = set()
        self.nudges: list[Json] = []
        self.profile: Json = {"bio": "", "avatar": ""}
        self.avatars: dict[int, str] = {}
        self._numbers = itertools.count(1)
        self.add_user(self_id, "lgtwist")

    def number(self) -> int:
        """Return a number that was not given before."""
        return next(self._numbers)

    def identifier(self, kind: str) -> str:
        """Return an opaque id: base64 of what looks like nothing in particular."""
        raw = f"{kind}:{self.self_id}:{self.number()}:{time.monotonic_ns()}".encode()
        return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()[:18]).decode() + kind

    # -- who there is

    def add_user(self, user_id: int, nickname: str = "") -> None:
        """Somebody who is neither friend nor member of anything."""
        self.users.setdefault(
            user_id,
            {
                "nickname": nickname or f"user{user_id}",
                "qid": "",
                "age": 20,
                "sex": "unknown",
                "remark": "",
                "bio": "",
                "level": 16,
                "country": "",
                "city": "",
                "school": "",
            },
        )

    def add_friend(self, user_id: int, nickname: str = "") -> None:
        """A friend of the account."""
        self.add_user(user_id, nickname)
        self.friends[user_id] = {
            "user_id": user_id,
            "nickname": self.users[user_id]["nickname"],
            "sex": "unknown",
            "qid": "",
            "remark": "",
            "category": {"category_id": 0, "category_name": "friends"},
        }

    def add_group(
        self, group_id: int, members: list[int] | None = None, *, name: str = "", own_role: str = "admin"
    ) -> None:
        """A group that the account is in; the first of the members is its owner, if the account is not."""
        self.groups[group_id] = {
            "group_id": group_id,
            "group_name": name or f"group{group_id}",
            "max_member_count": 500,
            "remark": "",
            "created_time": 1_500_000_000,
            "description": "",
            "question": "",
            "announcement": "",
        }
        self.members[group_id] = {}
        for table in (self.group_files, self.group_folders, self.announcements, self.essence):
            table[group_id] = {}
        self.add_member(group_id, self.self_id, own_role)
        for position, user_id in enumerate(members or []):
            self.add_member(group_id, user_id, "owner" if position == 0 and own_role != "owner" else "member")

    def add_member(self, group_id: int, user_id: int, role: str = "member", card: str = "") -> None:
        """A member of a group."""
        self.add_user(user_id)
        self.members[group_id][user_id] = {
            "user_id": user_id,
            "nickname": self.users[user_id]["nickname"],
            "sex": "unknown",
            "group_id": group_id,
            "card": card,
            "title": "",
            "level": 5,
            "role": role,
            "join_time": 1_600_000_000,
            "last_sent_time": 1_600_000_000,
            "shut_up_end_time": None,
        }

    def group_entity(self, group_id: int) -> Json:
        """A group as Milky shows it."""
        return {**self._group(group_id), "member_count": len(self.members[group_id])}

    # -- messages

    def say(
        self,
        scene: str,
        peer_id: int,
        segments: list[Json] | str,
        sender_id: int | None = None,
        *,
        seq: int | None = None,
        at: int | None = None,
        quiet: bool = False,
        group_id: int | None = None,
    ) -> Json:
        """Somebody says something; the message.

        :param segments: incoming ones, or a text.
        :param sender_id: the other person by default; in a group it must be given.
        :param seq: the next of the conversation by default; a greater one leaves a gap.
        :param quiet: that no event tells of it.
        :param group_id: where a temporary conversation comes from.
        """
        if isinstance(segments, str):
            segments = [{"type": "text", "data": {"text": segments}}]
        sender = peer_id if sender_id is None else sender_id
        history = self.histories.setdefault((scene, peer_id), {})
        message = {
            "message_scene": scene,
            "peer_id": peer_id,
            "message_seq": seq if seq is not None else self.newest_seq((scene, peer_id)) + 1,
            "sender_id": sender,
            "time": self.now() if at is None else at,
            "segments": segments,
        }
        if scene == "friend":
            message["friend"] = self.friends[peer_id]
        elif scene == "group":
            message["group"] = self.group_entity(peer_id)
            message["group_member"] = self.members[peer_id][sender]
        else:
            message["group"] = None if group_id is None else self.group_entity(group_id)
        history[message["message_seq"]] = message
        self._keep({"message": message})
        if not quiet:
            self._emit("message_receive", message)
        return message

    def newest_seq(self, peer: Peer) -> int:
        """The greatest number given in a conversation, to recalled messages too; each begins elsewhere."""
        history = self.histories.get(peer)
        return max(history) if history else 100 + peer[1] % 89

    def restore(self, change: Json) -> None:
        """Take back a change that ``keep`` got."""
        if "message" in change:
            message = change["message"]
            peer = message["message_scene"], message["peer_id"]
            self.histories.setdefault(peer, {})[message["message_seq"]] = message
        else:
            scene, peer_id, seq = change["recalled"]
            self.histories[scene, peer_id][seq] = None

    def find(self, scene: str, peer_id: int, seq: int) -> Json:
        """One message.

        :raises ApiError: there is none, or it was recalled.
        """
        message = self.histories.get((scene, peer_id), {}).get(seq)
        if message is None:
            raise ApiError(-404, "message not found")
        return message

    def recall(self, scene: str, peer_id: int, seq: int, operator_id: int | None = None) -> None:
        """Somebody takes a message back: its sender by default."""
        message = self.find(scene, peer_id, seq)
        self.histories[scene, peer_id][seq] = None
        self._keep({"recalled": [scene, peer_id, seq]})
        self._emit(
            "message_recall",
            {
                "message_scene": scene,
                "peer_id": peer_id,
                "message_seq": seq,
                "sender_id": message["sender_id"],
                "operator_id": operator_id or message["sender_id"],
                "display_suffix": "",
            },
        )

    def send_file(
        self, scene: str, peer_id: int, name: str, content: str, sender_id: int | None = None
    ) -> str:
        """Somebody sends a file: a message and an event of its own; its id."""
        sender = peer_id if sender_id is None else sender_id
        return self._add_file(scene, peer_id, sender, name, content.encode())

    def _add_file(
        self, scene: str, peer_id: int, sender: int, name: str, content: bytes, folder: str = "/"
    ) -> str:
        file_id = self.identifier("file")
        self.resources[file_id] = content
        known = {"file_id": file_id, "file_name": name, "file_size": len(content)}
        segment: Json = {"type": "file", "data": dict(known)}
        if scene == "group":
            self.group_files[peer_id][file_id] = {
                "group_id": peer_id,
                **known,
                "parent_folder_id": folder,
                "uploaded_time": self.now(),
                "expire_time": self.now() + 604_800,
                "uploader_id": sender,
                "downloaded_times": 0,
            }
            self.say(scene, peer_id, [segment], sender)
            self._emit("group_file_upload", {"group_id": peer_id, "user_id": sender, **known})
        else:
            digest = hashlib.sha1(content).hexdigest()
            self.private_files[file_id] = {"user_id": peer_id, "file_hash": digest}
            segment["data"]["file_hash"] = digest
            self.say(scene, peer_id, [segment], sender)
            self._emit(
                "friend_file_upload",
                {"user_id": peer_id, **known, "file_hash": digest, "is_self": sender == self.self_id},
            )
        return file_id

    def image(self, content: str = "image", *, sub_type: str = "normal") -> Json:
        """An incoming image that can be fetched."""
        return {
            "type": "image",
            "data": {**self._medium(content.encode()), **_SIZE, "summary": "[image]", "sub_type": sub_type},
        }

    def forward(self, nodes: list[Json]) -> Json:
        """An incoming forward; ``nodes`` have sender_name, time and segments."""
        forward_id = self.identifier("resid")
        self.forwards[forward_id] = [
            {
                "message_seq": position,
                "avatar_url": "",
                "sender_name": "",
                "time": self.now(),
                "segments": [],
                **one,
            }
            for position, one in enumerate(nodes, 1)
        ]
        preview = [f"{one['sender_name']}: ..." for one in self.forwards[forward_id][:4]]
        return {
            "type": "forward",
            "data": {
                "forward_id": forward_id,
                "title": "forward",
                "preview": preview,
                "summary": f"{len(nodes)} messages",
            },
        }

    def reply_to(self, scene: str, peer_id: int, seq: int) -> Json:
        """An incoming reply segment."""
        message = self.find(scene, peer_id, seq)
        told = {key: message[key] for key in ("message_seq", "sender_id", "time", "segments")}
        return {"type": "reply", "data": {**told, "sender_name": None}}

    def _medium(self, content: bytes) -> Json:
        resource_id = self.identifier("resource")
        self.resources[resource_id] = content
        return {"resource_id": resource_id, "temp_url": self._resource_url(resource_id)}

    # -- what other people do

    def nudge(self, sender_id: int, receiver_id: int, group_id: int | None = None) -> None:
        """Somebody pokes somebody, in a group or in a private conversation."""
        display = {"display_action": "pokes", "display_suffix": "", "display_action_img_url": ""}
        self.nudges.append({"group_id": group_id, "sender_id": sender_id, "receiver_id": receiver_id})
        if group_id is not None:
            data = {"group_id": group_id, "sender_id": sender_id, "receiver_id": receiver_id}
            self._emit("group_nudge", {**data, **display})
            return
        self._emit(
            "friend_nudge",
            {
                "user_id": sender_id if sender_id != self.self_id else receiver_id,
                "is_self_send": sender_id == self.self_id,
                "is_self_receive": receiver_id == self.self_id,
                **display,
            },
        )

    def nudge_oneself(self, user_id: int, sender_id: int) -> None:
        """In a private conversation with ``user_id``, one of the two pokes himself."""
        own = sender_id == self.self_id
        self.nudges.append({"group_id": None, "sender_id": sender_id, "receiver_id": sender_id})
        self._emit(
            "friend_nudge",
            {
                "user_id": user_id,
                "is_self_send": own,
                "is_self_receive": own,
                "display_action": "pokes",
                "display_suffix": "",
                "display_action_img_url": "",
            },
        )

    def request_friendship(
        self, user_id: int, comment: str = "", *, is_filtered: bool = False, quiet: bool = False
    ) -> str:
        """Somebody wants to be a friend; the uid that the answer has to name."""
        self.add_user(user_id)
        uid = f"u_{user_id}"
        self.friend_requests.insert(
            0,
            {
                "time": self.now(),
                "initiator_id": user_id,
                "initiator_uid": uid,
                "target_user_id": self.self_id,
                "target_user_uid": f"u_{self.self_id}",
                "state": "pending",
                "comment": comment,
                "via": "search",
                "is_filtered": is_filtered,
            },
        )
        if not quiet:
            data = {"initiator_id": user_id, "initiator_uid": uid, "comment": comment, "via": "search"}
            self._emit("friend_request", data)
        return uid

    def request_join(
        self,
        group_id: int,
        user_id: int,
        comment: str = "",
        *,
        is_filtered: bool = False,
        quiet: bool = False,
    ) -> int:
        """Somebody wants to be in a group; the notification's number."""
        self.add_user(user_id)
        seq = self._notify(
            "join_request",
            group_id,
            is_filtered=is_filtered,
            initiator_id=user_id,
            state="pending",
            operator_id=None,
            comment=comment,
        )
        if not quiet:
            self._emit(
                "group_join_request",
                {
                    "group_id": group_id,
                    "notification_seq": seq,
                    "is_filtered": is_filtered,
                    "initiator_id": user_id,
                    "comment": comment,
                },
            )
        return seq

    def invite_other(
        self, group_id: int, initiator_id: int, target_user_id: int, *, quiet: bool = False
    ) -> int:
        """A member invites somebody, which the account may allow; the notification's number."""
        self.add_user(target_user_id)
        people = {"initiator_id": initiator_id, "target_user_id": target_user_id}
        seq = self._notify("invited_join_request", group_id, **people, state="pending", operator_id=None)
        if not quiet:
            data = {"group_id": group_id, "notification_seq": seq, **people}
            self._emit("group_invited_join_request", data)
        return seq

    def invite_self(self, group_id: int, initiator_id: int, source_group_id: int | None = None) -> int:
        """Somebody invites the account; the invitation's number."""
        seq = self._notification_seq()
        self.invitations[group_id, seq] = {"initiator_id": initiator_id, "state": "pending"}
        data = {"group_id": group_id, "invitation_seq": seq, "initiator_id": initiator_id}
        self._emit("group_invitation", {**data, "source_group_id": source_group_id})
        return seq

    def _notification_seq(self) -> int:
        return 1_700_000_000_000_000 + self.number()  # microseconds, as QQ's

    def _notify(self, kind: str, group_id: int, **data: Any) -> int:
        seq = self._notification_seq()
        self.notifications.insert(0, {"type": kind, "group_id": group_id, "notification_seq": seq, **data})
        return seq

    def join(
        self, group_id: int, user_id: int, operator_id: int | None = None, invitor_id: int | None = None
    ) -> None:
        """Somebody is in a group now."""
        if user_id == self.self_id and group_id not in self.groups:
            self.add_group(group_id, own_role="member")
        else:
            self.add_member(group_id, user_id)
        people = {"user_id": user_id, "operator_id": operator_id, "invitor_id": invitor_id}
        self._emit("group_member_increase", {"group_id": group_id, **people})

    def leave(self, group_id: int, user_id: int, operator_id: int | None = None) -> None:
        """Somebody left a group, or ``operator_id`` removed him."""
        self.members[group_id].pop(user_id)
        if user_id == self.self_id:
            self.groups.pop(group_id)
        elif operator_id is None:
            self._notify("quit", group_id, target_user_id=user_id)
        else:
            self._notify("kick", group_id, target_user_id=user_id, operator_id=operator_id)
        data = {"group_id": group_id, "user_id": user_id, "operator_id": operator_id}
        self._emit("group_member_decrease", data)

    def disband(self, group_id: int, operator_id: int) -> None:
        """The owner dissolves a group."""
        self.groups.pop(group_id)
        self._emit("group_disband", {"group_id": group_id, "operator_id": operator_id})

    def set_admin(self, group_id: int, user_id: int, is_set: bool, operator_id: int) -> None:
        """A member becomes an administrator, or is one no longer."""
        self._member(group_id, user_id)["role"] = "admin" if is_set else "member"
        people = {"operator_id": operator_id, "is_set": is_set}
        self._notify("admin_change", group_id, target_user_id=user_id, **people)
        self._emit("group_admin_change", {"group_id": group_id, "user_id": user_id, **people})

    def mute(self, group_id: int, user_id: int, duration: int, operator_id: int) -> None:
        """A member may not speak for so many seconds; 0 lifts that."""
        member = self._member(group_id, user_id)
        member["shut_up_end_time"] = self.now() + duration if duration else None
        data = {"group_id": group_id, "user_id": user_id, "operator_id": operator_id, "duration": duration}
        self._emit("group_mute", data)

    def mute_all(self, group_id: int, is_mute: bool, operator_id: int) -> None:
        """Nobody may speak in a group, or everybody again."""
        self._group(group_id)
        (self.muted_groups.add if is_mute else self.muted_groups.discard)(group_id)
        data = {"group_id": group_id, "operator_id": operator_id, "is_mute": is_mute}
        self._emit("group_whole_mute", data)

    def rename_group(self, group_id: int, name: str, operator_id: int) -> None:
        """A group has another name."""
        self._group(group_id)["group_name"] = name
        data = {"group_id": group_id, "new_group_name": name, "operator_id": operator_id}
        self._emit("group_name_change", data)

    def react(
        self, group_id: int, seq: int, user_id: int, face_id: str, *, kind: str = "face", is_add: bool = True
    ) -> None:
        """Somebody puts a face under a message, or takes it away."""
        self.find("group", group_id, seq)
        one = {"user_id": user_id, "face_id": face_id, "reaction_type": kind}
        under = self.reactions.setdefault((group_id, seq), [])
        if is_add and one not in under:
            under.append(one)
        elif not is_add and one in under:
            under.remove(one)
        data = {"group_id": group_id, "message_seq": seq, **one, "is_add": is_add}
        self._emit("group_message_reaction", data)

    def set_essence(self, group_id: int, seq: int, is_set: bool, operator_id: int) -> None:
        """A message becomes one of the group's best, or is so no longer."""
        message = self.find("group", group_id, seq)
        if is_set:
            self.essence[group_id][seq] = {
                "group_id": group_id,
                "message_seq": seq,
                "message_time": message["time"],
                "sender_id": message["sender_id"],
                "sender_name": message["group_member"]["nickname"],
                "operator_id": operator_id,
                "operator_name": self.users[operator_id]["nickname"],
                "operation_time": self.now(),
                "segments": message["segments"],
            }
        else:
            self.essence[group_id].pop(seq, None)
        data = {"group_id": group_id, "message_seq": seq, "operator_id": operator_id, "is_set": is_set}
        self._emit("group_essence_message_change", data)

    def pin(self, scene: str, peer_id: int, is_pinned: bool = True) -> None:
        """A conversation is on top, or no longer."""
        (self.pins.add if is_pinned else self.pins.discard)((scene, peer_id))
        data = {"message_scene": scene, "peer_id": peer_id, "is_pinned": is_pinned}
        self._emit("peer_pin_change", data)

    # -- looking things up

    def _user(self, user_id: int) -> Json:
        if user_id not in self.users:
            raise ApiError(-404, "user not found")
        return self.users[user_id]

    def _friend(self, user_id: int) -> Json:
        if user_id not in self.friends:
            raise ApiError(-404, "friend not found")
        return self.friends[user_id]

    def _group(self, group_id: int) -> Json:
        if group_id not in self.groups:
            raise ApiError(-404, "group not found")
        return self.groups[group_id]

    def _member(self, group_id: int, user_id: int) -> Json:
        self._group(group_id)
        if user_id not in self.members[group_id]:
            raise ApiError(-404, "group member not found")
        return self.members[group_id][user_id]

    def _file(self, group_id: int, file_id: str) -> Json:
        self._group(group_id)
        if file_id not in self.group_files[group_id]:
            raise ApiError(-404, "file not found")
        return self.group_files[group_id][file_id]

    def _folder(self, group_id: int, folder_id: str) -> Json:
        self._group(group_id)
        if folder_id not in self.group_folders[group_id]:
            raise ApiError(-404, "folder not found")
        return self.group_folders[group_id][folder_id]

    def _need_role(self, group_id: int) -> None:
        if self._member(group_id, self.self_id)["role"] == "member":
            raise ApiError(-500, "no permission")

    # -- system

    def api_get_login_info(self, _: Json) -> Json:
        return {"uin": self.self_id, "nickname": self.users[self.self_id]["nickname"]}

    def api_get_user_profile(self, params: Json) -> Json:
        return dict(self._user(params["user_id"]))

    def api_get_friend_list(self, _: Json) -> Json:
        return {"friends": list(self.friends.values())}

    def api_get_friend_info(self, params: Json) -> Json:
        return {"friend": self._friend(params["user_id"])}

    def api_get_group_list(self, _: Json) -> Json:
        return {"groups": [self.group_entity(group_id) for group_id in self.groups]}

    def api_get_group_info(self, params: Json) -> Json:
        return {"group": self.group_entity(params["group_id"])}

    def api_get_group_member_list(self, params: Json) -> Json:
        self._group(params["group_id"])
        return {"members": list(self.members[params["group_id"]].values())}

    def api_get_group_member_info(self, params: Json) -> Json:
        return {"member": self._member(params["group_id"], params["user_id"])}

    def api_get_peer_pins(self, _: Json) -> Json:
        return {
            "friends": [self.friends[one] for scene, one in sorted(self.pins) if scene == "friend"],
            "groups": [self.group_entity(one) for scene, one in sorted(self.pins) if scene == "group"],
        }

    def api_set_peer_pin(self, params: Json) -> None:
        self.pin(params["message_scene"], params["peer_id"], _given(params, "is_pinned", True))

    async def api_set_avatar(self, params: Json) -> None:
        self.profile["avatar"] = (await self.read(params["uri"])).decode("latin-1")

    def api_set_nickname(self, params: Json) -> None:
        self.users[self.self_id]["nickname"] = params["new_nickname"]

    def api_set_bio(self, params: Json) -> None:
        self.profile["bio"] = params["new_bio"]

    def api_get_custom_face_url_list(self, _: Json) -> Json:
        return {"urls": [self._medium(b"face")["temp_url"]]}

    def api_get_cookies(self, params: Json) -> Json:
        return {"cookies": f"uin=o{self.self_id}; domain={params['domain']}"}

    def api_get_csrf_token(self, _: Json) -> Json:
        return {"csrf_token": "1234567"}

    # -- messages

    async def api_send_private_message(self, params: Json) -> Json:
        user_id = params["user_id"]
        scene, group_id = "friend", None
        if user_id not in self.friends:
            if ("temp", user_id) not in self.histories:
                raise ApiError(-404, "friend not found")
            scene = "temp"
        return await self._send(scene, user_id, params["message"], group_id)

    async def api_send_group_message(self, params: Json) -> Json:
        self._group(params["group_id"])
        return await self._send("group", params["group_id"], params["message"], None)

    async def _send(self, scene: str, peer_id: int, message: list[Json], group_id: int | None) -> Json:
        segments = [await self.incoming(scene, peer_id, one) for one in message]
        segments = [one for one in segments if one is not None]
        if not segments:
            raise ApiError(-400, "the message is empty")
        made = self.say(scene, peer_id, segments, self.self_id, group_id=group_id)
        return {"message_seq": made["message_seq"], "time": made["time"]}

    async def incoming(self, scene: str, peer_id: int, segment: Json) -> Json | None:
        """An outgoing segment as everybody in the conversation gets it; None if it is left out."""
        kind, data = segment["type"], segment["data"]
        made: Json
        if kind == "text":
            made = {"text": data["text"]}
        elif kind == "mention":
            member = self.members.get(peer_id, {}).get(data["user_id"], {}) if scene == "group" else {}
            made = {"user_id": data["user_id"], "name": member.get("card") or member.get("nickname", "")}
        elif kind == "mention_all":
            made = {}
        elif kind == "face":
            made = {"face_id": data["face_id"], "is_large": bool(data.get("is_large"))}
        elif kind == "reply":
            return self.reply_to(scene, peer_id, data["message_seq"])
        elif kind == "image":
            sub_type = _given(data, "sub_type", "normal")
            made = {
                **self._medium(await self.read(data["uri"])),
                **_SIZE,
                "summary": data.get("summary") or "[image]",
                "sub_type": sub_type,
            }
        elif kind == "record":
            made = {**self._medium(await self.read(data["uri"])), "duration": 1}
        elif kind == "video":
            if data.get("thumb_uri"):
                await self.read(data["thumb_uri"])
            made = {**self._medium(await self.read(data["uri"])), **_SIZE, "duration": 1}
        elif kind == "forward":
            return await self._forward(scene, peer_id, data)
        else:
            made = {
                "app_name": str(_object(data["json_payload"]).get("app", "")),
                "json_payload": data["json_payload"],
            }
        return {"type": kind, "data": made}

    async def _forward(self, scene: str, peer_id: int, data: Json) -> Json:
        preview = data.get("preview")
        if preview is not None and not 1 <= len(preview) <= 4:
            raise ApiError(-400, "preview must have 1 to 4 lines")
        nodes = []
        for one in data["messages"]:
            segments = [await self.incoming(scene, peer_id, inner) for inner in one["segments"]]
            node = {"sender_name": one["sender_name"], "segments": [inner for inner in segments if inner]}
            if one.get("time") is not None:
                node["time"] = one["time"]
            nodes.append(node)
        made = self.forward(nodes)
        for key in ("title", "preview", "summary"):
            if data.get(key) is not None:
                made["data"][key] = data[key]
        return made

    async def read(self, uri: str) -> bytes:
        """The bytes behind a URI.

        :raises ApiError: it has none of Milky's three forms, or leads nowhere.
        """
        scheme = uri.partition("://")[0]
        try:
            if scheme == "base64":
                return base64.b64decode(uri[9:], validate=True)
            if scheme == "file":
                parts = urlsplit(uri)
                if parts.netloc:
                    raise ApiError(-400, f"no such file: {uri[:80]}")
                return Path(unquote(parts.path)).read_bytes()
            if scheme in ("http", "https") and self._fetch is not None:
                return await self._fetch(uri)
        except (binascii.Error, OSError) as error:
            raise ApiError(-400, f"cannot read {uri[:80]}: {error}") from None
        raise ApiError(-400, f"cannot read {uri[:80]}")

    def api_recall_private_message(self, params: Json) -> None:
        scene = "friend" if params["user_id"] in self.friends else "temp"
        self._recall(scene, params["user_id"], params["message_seq"])

    def api_recall_group_message(self, params: Json) -> None:
        self._group(params["group_id"])
        self._recall("group", params["group_id"], params["message_seq"])

    def _recall(self, scene: str, peer_id: int, seq: int) -> None:
        message = self.find(scene, peer_id, seq)
        if message["sender_id"] != self.self_id:
            if scene != "group":
                raise ApiError(-500, "no permission")
            self._need_role(peer_id)
        self.recall(scene, peer_id, seq, self.self_id)

    def api_get_message(self, params: Json) -> Json:
        return {"message": self.find(params["message_scene"], params["peer_id"], params["message_seq"])}

    def api_get_history_messages(self, params: Json) -> Json:
        peer, limit = (params["message_scene"], params["peer_id"]), _given(params, "limit", 20)
        if not 1 <= limit <= 30:
            raise ApiError(-400, "limit must be from 1 to 30")
        self.conversation(peer)
        newest = self.newest_seq(peer)
        start = min(_given(params, "start_message_seq", newest), newest)
        found = self.between(peer, start - limit + 1, start)
        older = [seq for seq in self.histories.get(peer, {}) if seq <= start - limit]
        return {"messages": found, "next_message_seq": start - limit if older else None}

    def conversation(self, peer: Peer) -> None:
        """Do nothing if there can be such a conversation.

        :raises ApiError: there cannot.
        """
        scene, peer_id = peer
        if scene == "friend":
            self._friend(peer_id)
        elif scene == "group":
            self._group(peer_id)
        elif peer not in self.histories:
            raise ApiError(-404, "conversation not found")

    def between(self, peer: Peer, first: int, last: int) -> list[Json]:
        """The messages of a conversation from one number to another, ascending."""
        history = self.histories.get(peer, {})
        return [one for seq in sorted(history) if first <= seq <= last and (one := history[seq]) is not None]

    def api_get_resource_temp_url(self, params: Json) -> Json:
        if params["resource_id"] not in self.resources:
            raise ApiError(-404, "resource not found")
        return {"url": self._resource_url(params["resource_id"])}

    def api_get_forwarded_messages(self, params: Json) -> Json:
        if params["forward_id"] not in self.forwards:
            raise ApiError(-404, "forward not found")
        return {"messages": self.forwards[params["forward_id"]]}

    def api_mark_message_as_read(self, params: Json) -> None:
        peer = params["message_scene"], params["peer_id"]
        self.conversation(peer)
        self.read_up_to[peer] = params["message_seq"]

    # -- friends

    def api_send_friend_nudge(self, params: Json) -> None:
        self._friend(params["user_id"])
        if _given(params, "is_self", False):
            self.nudge_oneself(params["user_id"], self.self_id)
        else:
            self.nudge(self.self_id, params["user_id"])

    def api_send_profile_like(self, params: Json) -> None:
        self._user(params["user_id"])
        user_id = params["user_id"]
        self.likes[user_id] = self.likes.get(user_id, 0) + _given(params, "count", 1)

    def api_delete_friend(self, params: Json) -> None:
        self._friend(params["user_id"])
        self.friends.pop(params["user_id"])

    def api_get_friend_requests(self, params: Json) -> Json:
        filtered = _given(params, "is_filtered", False)
        chosen = [one for one in self.friend_requests if one["is_filtered"] == filtered]
        return {"requests": chosen[: _given(params, "limit", 20)]}

    def api_accept_friend_request(self, params: Json) -> None:
        self.add_friend(self._answer_friend_request(params, "accepted"))

    def api_reject_friend_request(self, params: Json) -> None:
        self._answer_friend_request(params, "rejected")

    def _answer_friend_request(self, params: Json, state: str) -> int:
        for one in self.friend_requests:
            same = one["is_filtered"] == _given(params, "is_filtered", False)
            if one["initiator_uid"] == params["initiator_uid"] and same and one["state"] == "pending":
                one["state"] = state
                return int(one["initiator_id"])
        raise ApiError(-404, "friend request not found")

    # -- groups

    def api_set_group_name(self, params: Json) -> None:
        self._need_role(params["group_id"])
        self.rename_group(params["group_id"], params["new_group_name"], self.self_id)

    async def api_set_group_avatar(self, params: Json) -> None:
        self._need_role(params["group_id"])
        self.avatars[params["group_id"]] = (await self.read(params["image_uri"])).decode("latin-1")

    def api_set_group_member_card(self, params: Json) -> None:
        self._member(params["group_id"], params["user_id"])["card"] = params["card"]

    def api_set_group_member_special_title(self, params: Json) -> None:
        self._need_role(params["group_id"])
        self._member(params["group_id"], params["user_id"])["title"] = params["special_title"]

    def api_set_group_member_admin(self, params: Json) -> None:
        self._need_role(params["group_id"])
        is_set = _given(params, "is_set", True)
        self.set_admin(params["group_id"], params["user_id"], is_set, self.self_id)

    def api_set_group_member_mute(self, params: Json) -> None:
        self._need_role(params["group_id"])
        self.mute(params["group_id"], params["user_id"], _given(params, "duration", 0), self.self_id)

    def api_set_group_whole_mute(self, params: Json) -> None:
        self._need_role(params["group_id"])
        self.mute_all(params["group_id"], _given(params, "is_mute", True), self.self_id)

    def api_kick_group_member(self, params: Json) -> None:
        self._need_role(params["group_id"])
        if self._member(params["group_id"], params["user_id"])["role"] == "owner":
            raise ApiError(-500, "no permission")
        self.leave(params["group_id"], params["user_id"], self.self_id)

    def api_get_group_announcements(self, params: Json) -> Json:
        self._group(params["group_id"])
        return {"announcements": list(self.announcements[params["group_id"]].values())}

    async def api_send_group_announcement(self, params: Json) -> None:
        self._need_role(params["group_id"])
        image_url = None
        if params.get("image_uri"):
            image_url = self._medium(await self.read(params["image_uri"]))["temp_url"]
        announcement_id = self.identifier("announcement")
        self.announcements[params["group_id"]][announcement_id] = {
            "group_id": params["group_id"],
            "announcement_id": announcement_id,
            "user_id": self.self_id,
            "time": self.now(),
            "content": params["content"],
            "image_url": image_url,
        }

    def api_delete_group_announcement(self, params: Json) -> None:
        self._need_role(params["group_id"])
        if self.announcements[params["group_id"]].pop(params["announcement_id"], None) is None:
            raise ApiError(-404, "announcement not found")

    def api_get_group_essence_messages(self, params: Json) -> Json:
        self._group(params["group_id"])
        everything = list(self.essence[params["group_id"]].values())
        first, size = params["page_index"] * params["page_size"], params["page_size"]
        return {"messages": everything[first : first + size], "is_end": first + size >= len(everything)}

    def api_set_group_essence_message(self, params: Json) -> None:
        self._need_role(params["group_id"])
        is_set = _given(params, "is_set", True)
        self.set_essence(params["group_id"], params["message_seq"], is_set, self.self_id)

    def api_quit_group(self, params: Json) -> None:
        self._group(params["group_id"])
        self.leave(params["group_id"], self.self_id)

    def api_send_group_message_reaction(self, params: Json) -> None:
        if not params["reaction"].isascii() or not params["reaction"].isdigit():
            raise ApiError(51, "invalid EmojiId")
        self.react(
            params["group_id"],
            params["message_seq"],
            self.self_id,
            params["reaction"],
            kind=_given(params, "reaction_type", "face"),
            is_add=_given(params, "is_add", True),
        )

    def api_send_group_nudge(self, params: Json) -> None:
        self._member(params["group_id"], params["user_id"])
        self.nudge(self.self_id, params["user_id"], params["group_id"])

    def api_get_group_notifications(self, params: Json) -> Json:
        filtered, limit = _given(params, "is_filtered", False), _given(params, "limit", 20)
        chosen = [one for one in self.notifications if one.get("is_filtered", False) == filtered]
        if params.get("start_notification_seq") is not None:
            chosen = [one for one in chosen if one["notification_seq"] <= params["start_notification_seq"]]
        page, rest = chosen[:limit], chosen[limit:]
        return {"notifications": page, "next_notification_seq": rest[0]["notification_seq"] if rest else None}

    def api_accept_group_request(self, params: Json) -> None:
        one = self._answer_group_request(params, "accepted")
        who = one["initiator_id"] if one["type"] == "join_request" else one["target_user_id"]
        invitor = one["initiator_id"] if one["type"] == "invited_join_request" else None
        self.join(one["group_id"], who, self.self_id, invitor)

    def api_reject_group_request(self, params: Json) -> None:
        self._answer_group_request(params, "rejected")

    def _answer_group_request(self, params: Json, state: str) -> Json:
        self._need_role(params["group_id"])
        for one in self.notifications:
            wanted = one["notification_seq"], one["type"], one["group_id"], one.get("is_filtered", False)
            given = (
                params["notification_seq"],
                params["notification_type"],
                params["group_id"],
                _given(params, "is_filtered", False),
            )
            if wanted == given and one["state"] == "pending":
                one["state"], one["operator_id"] = state, self.self_id
                return one
        raise ApiError(-404, "request not found")

    def api_accept_group_invitation(self, params: Json) -> None:
        invitation = self._answer_invitation(params, "accepted")
        self.join(params["group_id"], self.self_id, None, invitation["initiator_id"])

    def api_reject_group_invitation(self, params: Json) -> None:
        self._answer_invitation(params, "rejected")

    def _answer_invitation(self, params: Json, state: str) -> Json:
        one = self.invitations.get((params["group_id"], params["invitation_seq"]))
        if one is None or one["state"] != "pending":
            raise ApiError(-404, "invitation not found")
        one["state"] = state
        return one

    # -- files

    async def api_upload_private_file(self, params: Json) -> Json:
        self._friend(params["user_id"])
        content = await self.read(params["file_uri"])
        return {
            "file_id": self._add_file("friend", params["user_id"], self.self_id, params["file_name"], content)
        }

    async def api_upload_group_file(self, params: Json) -> Json:
        self._group(params["group_id"])
        folder = _given(params, "parent_folder_id", "/")
        if folder != "/":
            self._folder(params["group_id"], folder)
        content = await self.read(params["file_uri"])
        return {
            "file_id": self._add_file(
                "group", params["group_id"], self.self_id, params["file_name"], content, folder
            )
        }

    def api_get_private_file_download_url(self, params: Json) -> Json:
        known = self.private_files.get(params["file_id"])
        if known != {"user_id": params["user_id"], "file_hash": params["file_hash"]}:
            raise ApiError(-404, "file not found")
        return {"download_url": self._resource_url(params["file_id"])}

    def api_get_group_file_download_url(self, params: Json) -> Json:
        self._file(params["group_id"], params["file_id"])["downloaded_times"] += 1
        return {"download_url": self._resource_url(params["file_id"])}

    def api_get_group_files(self, params: Json) -> Json:
        self._group(params["group_id"])
        folder = _given(params, "parent_folder_id", "/")
        if folder != "/":
            self._folder(params["group_id"], folder)
        return {
            kind: [one for one in table[params["group_id"]].values() if one["parent_folder_id"] == folder]
            for kind, table in (("files", self.group_files), ("folders", self.group_folders))
        }

    def api_move_group_file(self, params: Json) -> None:
        file = self._file_in(params)
        target = _given(params, "target_folder_id", "/")
        if target != "/":
            self._folder(params["group_id"], target)
        file["parent_folder_id"] = target

    def api_rename_group_file(self, params: Json) -> None:
        self._file_in(params)["file_name"] = params["new_file_name"]

    def _file_in(self, params: Json) -> Json:
        file = self._file(params["group_id"], params["file_id"])
        if file["parent_folder_id"] != _given(params, "parent_folder_id", "/"):
            raise ApiError(-404, "file not found in that folder")
        return file

    def api_delete_group_file(self, params: Json) -> None:
        self._file(params["group_id"], params["file_id"])
        self.group_files[params["group_id"]].pop(params["file_id"])

    def api_persist_group_file(self, params: Json) -> None:
        self._file(params["group_id"], params["file_id"])["expire_time"] = None

    def api_create_group_folder(self, params: Json) -> Json:
        self._group(params["group_id"])
        folder_id = "/" + self.identifier("folder")
        self.group_folders[params["group_id"]][folder_id] = {
            "group_id": params["group_id"],
            "folder_id": folder_id,
            "parent_folder_id": "/",
            "folder_name": params["folder_name"],
            "created_time": self.now(),
            "last_modified_time": self.now(),
            "creator_id": self.self_id,
            "file_count": 0,
        }
        return {"folder_id": folder_id}

    def api_rename_group_folder(self, params: Json) -> None:
        self._folder(params["group_id"], params["folder_id"])["folder_name"] = params["new_folder_name"]

    def api_delete_group_folder(self, params: Json) -> None:
        self._folder(params["group_id"], params["folder_id"])
        self.group_folders[params["group_id"]].pop(params["folder_id"])


_SIZE = {"width": 16, "height": 16}


def _given(params: Json, name: str, default: Any) -> Any:
    """A parameter, or its default where it is absent or null."""
    value = params.get(name)
    return default if value is None else value


def _object(text: str) -> Json:
    try:
        made = json.loads(text)
    except ValueError:
        raise ApiError(-400, "json_payload is no JSON") from None
    return made if isinstance(made, dict) else {}
