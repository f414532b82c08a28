"""The fake server of Milky, by which others are judged: itself by the schema, and its switches one by one."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.milky.fake import FakeMilky
from tests.milky.schema import APIS, check_event, check_response

FRIEND, GROUP, OWNER = 20001, 30001, 20003
TEXT = [{"type": "text", "data": {"text": "hi"}}]


class Listener:
    """A client of ``/event`` by WebSocket that knows nothing of us."""

    def __init__(self, fake: FakeMilky, query: str = "", *, sse: bool = False) -> None:
        self.socket = socket.create_connection(("127.0.0.1", fake.port), 5)
        head = (
            ""
            if sse
            else "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
        )
        request = f"GET {fake.prefix}/event{query} HTTP/1.1\r\nHost: 127.0.0.1:{fake.port}\r\n{head}\r\n"
        self.socket.sendall(request.encode())
        self.stream = self.socket.makefile("rb")
        self.status = int(self.stream.readline().split()[1])
        while self.stream.readline() not in (b"\r\n", b""):
            pass

    def frame(self) -> tuple[int, bytes]:
        """One frame: its opcode and its payload."""
        first, length = self.stream.read(2)
        if length == 126:
            (length,) = struct.unpack("!H", self.stream.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.stream.read(8))
        return first & 15, self.stream.read(length)

    def event(self) -> dict[str, Any]:
        """One event by WebSocket."""
        opcode, payload = self.frame()
        assert opcode == 1, (opcode, payload)
        return dict(json.loads(payload))

    def is_silent(self) -> bool:
        """Whether nothing comes for a moment."""
        self.socket.settimeout(0.2)
        try:
            return not self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(5)

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


class FakeTestCase(SynchronousTestCase):
    def start(self, **given: Any) -> FakeMilky:
        fake = FakeMilky(Path(self.mktemp()), **given)
        self.addCleanup(fake.end)
        return fake

    def listen(self, fake: FakeMilky, query: str = "", *, sse: bool = False) -> Listener:
        listener = Listener(fake, query, sse=sse)
        self.addCleanup(listener.close)
        return listener

    def ok(self, fake: FakeMilky, api: str, **params: Any) -> Any:
        status, answer = fake.call(api, **params)
        self.assertEqual((200, "ok"), (status, answer and answer["status"]), (api, answer))
        if answer["data"] is not None:
            check_response(api, answer["data"])
        return answer["data"]

    def failed(self, fake: FakeMilky, api: str, **params: Any) -> int:
        status, answer = fake.call(api, **params)
        self.assertEqual(200, status)
        self.assertEqual("failed", answer["status"])
        return int(answer["retcode"])


class Calls(FakeTestCase):
    def test_all_apis_act_on_the_world(self) -> None:
        fake = self.start()
        listener = self.listen(fake)
        scene = {"message_scene": "group", "peer_id": GROUP}
        ok: Any = lambda api, **params: self.ok(fake, api, **params)  # noqa: E731
        self.assertEqual(10001, ok("get_login_info")["uin"])
        ok("get_impl_info")
        ok("get_user_profile", user_id=FRIEND)
        ok("get_friend_info", user_id=FRIEND)
        ok("get_group_info", group_id=GROUP)
        self.assertEqual(2, len(ok("get_group_list")["groups"]))
        ok("get_group_member_list", group_id=GROUP)
        ok("set_peer_pin", **scene)
        self.assertEqual(1, len(ok("get_peer_pins")["groups"]))
        ok("set_avatar", uri="base64://aGk=")
        ok("set_nickname", new_nickname="bot")
        ok("set_bio", new_bio="bio")
        ok("get_custom_face_url_list")
        ok("get_cookies", domain="example.org")
        ok("get_csrf_token")
        said = fake.say("group", GROUP, "hello", FRIEND)["message_seq"]
        sent = ok("send_group_message", group_id=GROUP, message=TEXT)["message_seq"]
        self.assertEqual(said + 1, sent)
        reply = [{"type": "reply", "data": {"message_seq": said}}]
        reply = ok("send_group_message", group_id=GROUP, message=reply + TEXT)["message_seq"]
        message = ok("get_message", **scene, message_seq=reply)["message"]
        self.assertEqual("hello", message["segments"][0]["data"]["segments"][0]["data"]["text"])
        private = ok("send_private_message", user_id=FRIEND, message=TEXT)["message_seq"]
        history = ok("get_history_messages", **scene, limit=2)
        self.assertEqual([sent, reply], [one["message_seq"] for one in history["messages"]])
        self.assertEqual(said, history["next_message_seq"])
        ok("mark_message_as_read", **scene, message_seq=reply)
        ok("set_group_essence_message", group_id=GROUP, message_seq=said)
        self.assertTrue(ok("get_group_essence_messages", group_id=GROUP, page_index=0, page_size=5)["is_end"])
        ok("send_group_message_reaction", group_id=GROUP, message_seq=said, reaction="76")
        ok("recall_group_message", group_id=GROUP, message_seq=sent)
        ok("recall_private_message", user_id=FRIEND, message_seq=private)
        self.assertEqual(-404, self.failed(fake, "get_message", **scene, message_seq=sent))
        node = {"user_id": FRIEND, "sender_name": "n", "segments": TEXT}
        forward = [{"type": "forward", "data": {"messages": [node], "title": "t"}}]
        seq = ok("send_group_message", group_id=GROUP, message=forward)["message_seq"]
        data = ok("get_message", **scene, message_seq=seq)["message"]["segments"][0]["data"]
        ok("get_forwarded_messages", forward_id=data["forward_id"])
        image = [{"type": "image", "data": {"uri": "base64://" + base64.b64encode(b"pixels").decode()}}]
        seq = ok("send_group_message", group_id=GROUP, message=image)["message_seq"]
        data = ok("get_message", **scene, message_seq=seq)["message"]["segments"][0]["data"]
        url = ok("get_resource_temp_url", resource_id=data["resource_id"])["url"]
        with urllib.request.urlopen(url) as answer:
            self.assertEqual(b"pixels", answer.read())
        ok("send_friend_nudge", user_id=FRIEND)
        ok("send_group_nudge", group_id=GROUP, user_id=FRIEND)
        ok("send_profile_like", user_id=FRIEND, count=3)
        uids = [fake.do("request_friendship", user_id=user_id) for user_id in (20101, 20102)]
        self.assertEqual(2, len(ok("get_friend_requests")["requests"]))
        ok("accept_friend_request", initiator_uid=uids[0])
        ok("reject_friend_request", initiator_uid=uids[1], reason="no")
        ok("delete_friend", user_id=20101)
        self.assertEqual(2, len(ok("get_friend_list")["friends"]))
        ok("set_group_name", group_id=GROUP, new_group_name="new")
        ok("set_group_avatar", group_id=GROUP, image_uri="base64://aGk=")
        who = {"group_id": GROUP, "user_id": 20002}
        ok("set_group_member_card", **who, card="card")
        ok("set_group_member_special_title", **who, special_title="title")
        ok("set_group_member_admin", **who)
        ok("set_group_member_mute", **who, duration=60)
        ok("set_group_whole_mute", group_id=GROUP)
        ok("get_group_member_info", **who)
        joins = [fake.do("request_join", group_id=GROUP, user_id=user_id) for user_id in (20103, 20104)]
        invited = fake.do("invite_other", group_id=GROUP, initiator_id=FRIEND, target_user_id=20105)
        self.assertEqual(4, len(ok("get_group_notifications")["notifications"]))
        request = {"notification_type": "join_request", "group_id": GROUP}
        ok("accept_group_request", notification_seq=joins[0], **request)
        ok("reject_group_request", notification_seq=joins[1], **request)
        request["notification_type"] = "invited_join_request"
        ok("accept_group_request", notification_seq=invited, **request)
        ok("kick_group_member", group_id=GROUP, user_id=20103)
        invitations = [fake.do("invite_self", group_id=one, initiator_id=FRIEND) for one in (30003, 30004)]
        ok("accept_group_invitation", group_id=30003, invitation_seq=invitations[0])
        ok("reject_group_invitation", group_id=30004, invitation_seq=invitations[1])
        ok("quit_group", group_id=30003)
        ok("send_group_announcement", group_id=GROUP, content="read", image_uri="base64://aGk=")
        (announcement,) = ok("get_group_announcements", group_id=GROUP)["announcements"]
        ok("delete_group_announcement", group_id=GROUP, announcement_id=announcement["announcement_id"])
        file = {"file_uri": "base64://aGk=", "file_name": "a.txt"}
        file_id = ok("upload_private_file", user_id=FRIEND, **file)["file_id"]
        known = fake.world()["private_files"][file_id]
        ok("get_private_file_download_url", file_id=file_id, **known)
        folder = ok("create_group_folder", group_id=GROUP, folder_name="f")["folder_id"]
        in_group = {"group_id": GROUP, "file_id": ok("upload_group_file", group_id=GROUP, **file)["file_id"]}
        ok("get_group_file_download_url", **in_group)
        ok("rename_group_file", **in_group, new_file_name="b.txt")
        ok("persist_group_file", **in_group)
        ok("move_group_file", **in_group, target_folder_id=folder)
        ok("rename_group_folder", group_id=GROUP, folder_id=folder, new_folder_name="g")
        (found,) = ok("get_group_files", group_id=GROUP, parent_folder_id=folder)["files"]
        self.assertEqual("b.txt", found["file_name"])
        ok("delete_group_file", **in_group)
        ok("delete_group_folder", group_id=GROUP, folder_id=folder)
        self.assertEqual(APIS, {one["api"] for one in fake.calls()})
        fake.do("disband", group_id=30002, operator_id=FRIEND)
        fake.control("kick_account")
        kinds = []
        while not kinds or kinds[-1] != "bot_offline":
            event = listener.event()
            check_event(event)
            kinds.append(event["event_type"])
        self.assertEqual(21, len(set(kinds)), set(kinds))
        self.assertEqual(-403, self.failed(fake, "get_login_info"))
        fake.finish()

    def test_requests_are_judged(self) -> None:
        fake = self.start()
        self.assertEqual(-400, self.failed(fake, "send_group_message", group_id=str(GROUP), message=TEXT))
        backwards = [{"data": {"text": "hi"}, "type": "text"}]
        self.ok(fake, "send_group_message", group_id=GROUP, message=backwards)
        self.ok(fake, "get_friend_list", no_cache=None)
        self.assertEqual((404, None), fake.call("ocr_image"))
        found = fake.violations()
        self.assertEqual(4, len(found))
        for words, sentence in zip(("$.group_id", "first key", "null", "no such API"), found, strict=True):
            self.assertIn(words, sentence)
        with self.assertRaisesRegex(AssertionError, "broken 4 times"):
            fake.finish()

    def test_ways_to_fail(self) -> None:
        fake = self.start(token="secret", prefix="/milky")
        self.assertEqual(10001, self.ok(fake, "get_login_info")["uin"])
        fake._switches["token"] = "wrong"
        self.assertEqual((401, None), fake.call("get_login_info"))
        fake._switches["token"] = "secret"
        fake.switch(missing=["get_friend_list"], fail={"get_group_list": [51, "QQ says no"]})
        self.assertEqual((404, None), fake.call("get_friend_list"))
        self.assertEqual(51, self.failed(fake, "get_group_list"))
        fake.switch(failures="500", status={"get_csrf_token": 503}, body={"get_cookies": "<html>"})
        self.assertEqual((500, None), fake.call("get_group_list"))
        self.assertEqual((503, None), fake.call("get_csrf_token"))
        self.assertRaises(ValueError, fake.call, "get_cookies", domain="x")
        fake.switch(logged_in=False, failures="200")
        self.assertEqual(-403, self.failed(fake, "get_login_info"))
        fake.switch(logged_in=True, drop_answer={"send_group_message": 1}, cut_request={"get_login_info": 1})
        self.assertRaises(OSError, fake.call, "send_group_message", group_id=GROUP, message=TEXT)
        self.ok(fake, "send_group_message", group_id=GROUP, message=TEXT)
        self.assertEqual(2, len(fake.history("group", GROUP)))
        self.assertRaises(OSError, fake.call, "get_login_info")
        self.ok(fake, "get_login_info")
        fake.switch(delay={"*": 0.2})
        began = time.monotonic()
        self.ok(fake, "get_login_info")
        self.assertGreater(time.monotonic() - began, 0.2)
        fake.finish()

    def test_lagrange(self) -> None:
        fake = self.start(habit="lagrange")
        scene = {"message_scene": "friend", "peer_id": FRIEND}
        self.assertEqual((404, None), fake.call("get_cookies", domain=""))
        self.assertEqual(43, len(APIS - set(_missing(fake))))
        seq = self.ok(fake, "send_private_message", user_id=FRIEND, message=TEXT)["message_seq"]
        real = fake.history("friend", FRIEND)[-1]["message_seq"]
        self.assertNotEqual(seq, real)
        self.assertEqual((500, None), fake.call("get_message", **scene, message_seq=seq))
        self.assertEqual((500, None), fake.call("get_history_messages", **scene))
        told = self.ok(fake, "get_history_messages", **scene, start_message_seq=real, limit=1)
        self.assertEqual([real], [one["message_seq"] for one in told["messages"]])
        status, answer = fake.call("kick_group_member", group_id=GROUP, user_id=20002)
        self.assertEqual((200, -500), (status, answer["retcode"]))
        self.assertNotIn(20002, [one["user_id"] for one in fake.world()["groups"][str(GROUP)]["members"]])
        self.ok(fake, "kick_group_member", group_id=GROUP, user_id=20002)
        said = fake.say("group", GROUP, "hello", FRIEND)["message_seq"]
        self.ok(fake, "set_group_essence_message", group_id=GROUP, message_seq=said, is_set=False)
        self.assertEqual(1, len(fake.world()["essence"][str(GROUP)]))
        face = [{"type": "face", "data": {"face_id": "1"}}]
        self.assertEqual((500, None), fake.call("send_group_message", group_id=GROUP, message=face))
        file = {"file_uri": "base64://aGk=", "file_name": "a.txt"}
        self.assertEqual("", self.ok(fake, "upload_group_file", group_id=GROUP, **file)["file_id"])
        self.assertEqual("hi\0\0", list(fake.world()["resources"].values())[-1])
        fake.finish()

    def test_llbot(self) -> None:
        fake = self.start(habit="llbot")
        listener = self.listen(fake)
        self.ok(fake, "send_group_message", group_id=GROUP, message=TEXT)
        fake.do("send_file", scene="friend", peer_id=FRIEND, name="a.txt", content="hi")
        event = listener.event()
        self.assertNotIn("file_hash", event["data"]["segments"][0]["data"])
        self.assertEqual("49f68a5c8493ec2c0bf489821c21fc3b", listener.event()["data"]["file_hash"])
        for _ in range(3):
            fake.say("group", GROUP, "hello", FRIEND)
        scene = {"message_scene": "group", "peer_id": GROUP}
        newest = fake.history("group", GROUP)[-1]["message_seq"]
        told = self.ok(fake, "get_history_messages", **scene, start_message_seq=0, limit=2)
        self.assertEqual([newest - 1, newest], [one["message_seq"] for one in told["messages"]])
        self.assertEqual(newest - 2, told["next_message_seq"])
        told = self.ok(fake, "get_history_messages", **scene, start_message_seq=9, limit=2)
        self.assertEqual({"messages": [], "next_message_seq": None}, told)
        fake.finish()


def _missing(fake: FakeMilky) -> list[str]:
    from tests.milky.habits import HABITS

    return sorted(HABITS["lagrange"].missing)


class Streams(FakeTestCase):
    def test_unauthorised(self) -> None:
        fake = self.start(token="secret")
        self.assertEqual(401, self.listen(fake).status)
        self.assertEqual(401, self.listen(fake, "?access_token=x", sse=True).status)
        self.assertEqual(101, self.listen(fake, "?access_token=secret").status)
        fake.switch(unauthorised="1008")
        refused = self.listen(fake)
        self.assertEqual(101, refused.status)
        self.assertEqual((8, b"\x03\xf0Unauthorized"), refused.frame())

    def test_event_source(self) -> None:
        fake = self.start(habit="lagrange", heartbeat=0.05)
        listener = self.listen(fake, sse=True)
        fake.wait_stream()
        fake.say("group", GROUP, "hello", FRIEND)
        lines = []
        while not any(b"hello" in line for line in lines) or b": heartbeat\n" not in lines:
            lines.append(listener.stream.readline())
        self.assertIn(b"event: milky_event\n", lines)

    def test_odd_events(self) -> None:
        fake = self.start(duplicates=True)
        listener = self.listen(fake)
        fake.say("group", GROUP, "hello", FRIEND)
        self.assertEqual(listener.event(), listener.event())
        fake.switch(duplicates=False, more_keys=True)
        fake.say("group", GROUP, "hello", FRIEND)
        event = listener.event()
        self.assertIn("later_key", event)
        self.assertIn("later_key", event["data"]["segments"][0]["data"])
        fake.switch(more_keys=False, version="1.0")
        fake.say("group", GROUP, [{"type": "face", "data": {"face_id": "1", "is_large": False}}], FRIEND)
        event = listener.event()
        self.assertEqual({"face_id": "1"}, event["data"]["segments"][0]["data"])
        self.assertNotIn("announcement", event["data"]["group"])
        self.assertEqual((404, None), fake.call("get_peer_pins"))
        fake.control("raw", text='{"a":1}')
        self.assertEqual({"a": 1}, listener.event())
        fake.finish()

    def test_the_echo_of_a_message(self) -> None:
        fake = self.start(echo_gap=0.3)
        listener = self.listen(fake)
        began = time.monotonic()
        self.ok(fake, "send_group_message", group_id=GROUP, message=TEXT)
        self.assertGreater(time.monotonic() - began, 0.3)
        self.assertEqual(10001, listener.event()["data"]["sender_id"])
        fake.switch(echo="after")
        self.ok(fake, "send_group_message", group_id=GROUP, message=TEXT)
        self.assertTrue(listener.is_silent())
        listener.event()
        fake.switch(report_self=False)
        self.ok(fake, "send_group_message", group_id=GROUP, message=TEXT)
        fake.say("group", GROUP, "hello", FRIEND)
        self.assertEqual(FRIEND, listener.event()["data"]["sender_id"])

    def test_a_flood(self) -> None:
        fake = self.start()
        listener, source = self.listen(fake), self.listen(fake, sse=True)
        said = fake.control("flood", count=500, scene="group", peer_id=GROUP, sender_id=FRIEND, text="n{}")
        self.assertEqual(said, [listener.event()["data"]["message_seq"] for _ in range(500)])
        while b'"n499"' not in source.stream.readline():
            pass
        fake.finish()

    def test_silence_and_breaks(self) -> None:
        fake = self.start()
        listener = self.listen(fake)
        mask = bytes(4)
        listener.socket.sendall(b"\x89\x82" + mask + b"hi")
        self.assertEqual((10, b"hi"), listener.frame())
        fake.control("silence")
        listener.socket.sendall(b"\x89\x82" + mask + b"hi")
        fake.say("group", GROUP, "unheard", FRIEND)
        self.assertTrue(listener.is_silent())
        second = self.listen(fake)
        fake.control("disconnect", code=1012, reason="later")
        self.assertEqual((8, struct.pack("!H", 1012) + b"later"), second.frame())
        fake.switch(streams_open=False)
        fake.say("group", GROUP, "unheard too", FRIEND)
        self.assertRaises((OSError, IndexError), self.listen, fake)
        fake.switch(streams_open=True)
        self.assertEqual(101, self.listen(fake).status)
        self.assertEqual(2, len(fake.history("group", GROUP)))

    def test_what_was_said_survives_a_kill(self) -> None:
        fake = self.start(token="secret")
        fake.say("group", GROUP, "hello", FRIEND)
        sent = self.ok(fake, "send_group_message", group_id=GROUP, message=TEXT)["message_seq"]
        fake.do("recall", scene="group", peer_id=GROUP, seq=sent)
        fake.kill()
        fake.start()
        self.assertEqual(sent + 1, fake.say("group", GROUP, "again", FRIEND)["message_seq"])
        self.assertEqual(
            ["hello", None, "again"],
            [one and one["segments"][0]["data"]["text"] for one in fake.history("group", GROUP)],
        )
        self.assertEqual(["send_group_message"], [one["api"] for one in fake.calls()])
        fake.finish()
