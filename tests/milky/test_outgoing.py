"""Messages of bots as segments of Milky: each row, what is refused, forwards and bounds, there and back."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.milky.composition import MAX_LOOKUPS, MAX_NODES
from lgtwist.milky.errors import CallFailed
from lgtwist.milky.incoming import to_onebot
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import Conversation, MessageKey
from lgtwist.milky.media import OutgoingFile
from lgtwist.milky.outgoing import Outgoing, make_forward, to_milky
from lgtwist.milky.recent import PrivateFile
from lgtwist.milky.resending import UNKNOWN_SENDER
from lgtwist.milky.uris import as_uri, name_in_uri
from lgtwist.onebot.errors import AccountFailed, BadRequest, LinkBroken, OneBotError, OverBound
from lgtwist.onebot.message import read_message, to_cq
from tests.milky.fake_context import SELF, ScriptedApi, make_context
from tests.milky.schema import check_request
from tests.milky.test_messages import ANN, MEMBER, TEAM, incoming

GROUP = Conversation("group", TEAM)
FRIEND = Conversation("friend", ANN)


def segment(kind: str, **data: Any) -> dict[str, Any]:
    """A segment of either language."""
    return {"type": kind, "data": data}


def node(content: Any, **data: Any) -> dict[str, Any]:
    """A node of a bot."""
    return segment("node", user_id=str(ANN), nickname="Ann", content=content, **data)


class OutgoingCase(SynchronousTestCase):
    """Translates messages; what is made is judged as a call of Milky."""

    context: ActionContext
    api: ScriptedApi

    def setUp(self) -> None:
        self.context, self.api = make_context()

    def use(self, implementation: str) -> None:
        """Take another implementation."""
        self.context, self.api = make_context(implementation)

    def outgoing(self, message: Any, conversation: Conversation = GROUP) -> Outgoing:
        """The message of a bot, read and translated."""
        read = read_message(message, "params.message")
        made = self.successResultOf(Deferred.fromCoroutine(to_milky(read, conversation, self.context)))
        assert isinstance(made, Outgoing)
        if conversation.scene == "group":
            check_request(
                "send_group_message",
                {"group_id": TEAM, "message": made.segments},
                for_lagrange=True,
            )
        return made

    def sent(self, message: Any, conversation: Conversation = GROUP) -> list[dict[str, Any]]:
        """The segments that are sent."""
        return self.outgoing(message, conversation).segments

    def refused(
        self, message: Any, conversation: Conversation = GROUP, error: type[Exception] = BadRequest
    ) -> str:
        """The sentence with which a message is refused."""
        failure = self.failureResultOf(
            Deferred.fromCoroutine(
                to_milky(read_message(message, "params.message"), conversation, self.context)
            ),
            error,
        )
        return str(failure.value.args[0])

    def forward(self, nodes: Any, **closed: Any) -> dict[str, Any]:
        """The forward segment of nodes."""
        made = self.successResultOf(
            Deferred.fromCoroutine(make_forward(nodes, GROUP, self.context, **closed))
        )
        assert isinstance(made, dict)
        check_request("send_group_message", {"group_id": TEAM, "message": [made]}, for_lagrange=True)
        return made


class SegmentTests(OutgoingCase):
    def test_texts_mentions_and_faces(self) -> None:
        """Values may be typed, or strings as CQ codes have them; empty texts are left out."""
        message = self.sent(
            [
                segment("text", text="a"),
                segment("text", text=""),
                segment("text", text=5),
                segment("at", qq=ANN),
                segment("at", qq=str(ANN), name="x"),
                segment("at", qq="all"),
                segment("face", id=14),
                segment("face", id="15", is_large="true"),
            ]
        )
        self.assertEqual(
            message,
            [
                segment("text", text="a"),
                segment("text", text="5"),
                segment("mention", user_id=ANN),
                segment("mention", user_id=ANN),
                segment("mention_all"),
                segment("face", face_id="14"),
                segment("face", face_id="15", is_large=True),
            ],
        )

    def test_cq_codes(self) -> None:
        """A string is read as one with CQ codes."""
        self.assertEqual(
            self.sent(f"hi[CQ:at,qq={ANN}] &#91;[CQ:image,file=https://a/b?c=1&amp;d=2&#44;3,subType=1]"),
            [
                segment("text", text="hi"),
                segment("mention", user_id=ANN),
                segment("text", text=" ["),
                segment("image", uri="https://a/b?c=1&d=2,3", sub_type="sticker"),
            ],
        )

    def test_mentions_in_private(self) -> None:
        """LLBot leaves mentions in private out: there they are texts."""
        self.assertEqual(self.sent([segment("at", qq=ANN)], FRIEND), [segment("mention", user_id=ANN)])
        self.use("LLBot")
        self.assertEqual(
            self.sent([segment("at", qq=ANN, name="Ann"), segment("at", qq="all")], FRIEND),
            [segment("text", text="@Ann "), segment("text", text="@全体成员 ")],
        )
        self.assertEqual(self.sent([segment("at", qq=ANN)]), [segment("mention", user_id=ANN)])

    def test_wrong_values(self) -> None:
        """What is missing or wrong is named."""
        for message, sentence in (
            ([segment("at")], "params.message[0].data.qq is missing"),
            ([segment("at", qq="bob")], "params.message[0].data.qq: expected a person's number"),
            ([segment("at", qq=5)], "params.message[0].data.qq: expected a person's number"),
            ([segment("text")], "params.message[0].data.text is missing"),
            ([segment("text", text=[])], "params.message[0].data.text: expected a string"),
            ([segment("face", id="")], "params.message[0].data.id is missing"),
            ([segment("reply")], "params.message[0].data.id is missing"),
            ([segment("reply", id="abc")], "params.message[0].data.id: expected a message_id"),
            ([segment("json")], "params.message[0].data.data is missing"),
            ([segment("image", url="")], "params.message[0].data.file is missing"),
            ([segment("image", file={})], "params.message[0].data.file: expected a string"),
            ([segment("poke")], "params.message[0].data.qq is missing"),
            ([segment("file", name="a")], "params.message[0].data.file is missing"),
            ("", "params.message: there is nothing in it that can be sent"),
        ):
            self.assertIn(sentence, self.refused(message))

    def test_what_milky_cannot_send(self) -> None:
        """Segments without a counterpart are refused with their type."""
        for kind in ("dice", "rps", "shake", "music", "share", "contact", "location", "xml", "markdown",
                     "keyboard", "anonymous", "tts", "hologram"):  # fmt: skip
            self.assertIn(f"Milky cannot send a {kind} segment", self.refused([segment(kind, id="1")]))
        self.assertEqual(
            self.sent([segment("anonymous", ignore="1"), segment("text", text="a")]),
            [segment("text", text="a")],
        )

    def test_replies(self) -> None:
        """A reply names a message of the same conversation; others are left out, and unknown ids too."""
        ids = self.context.ids
        here = ids.id_of(MessageKey("group", TEAM, 8))
        text = segment("text", text="a")
        self.assertEqual(
            self.sent([segment("reply", id=str(here)), text]), [segment("reply", message_seq=8), text]
        )
        for key in (MessageKey("group", TEAM + 1, 8), MessageKey("friend", TEAM, 8)):
            self.assertEqual(self.sent([segment("reply", id=ids.id_of(key)), text]), [text])
        self.assertEqual(self.sent([segment("reply", id=987654), text]), [text])
        self.assertIn("nothing in it", self.refused([segment("reply", id=987654)]))
        temporary = ids.id_of(MessageKey("temp", ANN, 3))
        self.assertEqual(
            self.sent([segment("reply", id=temporary)], FRIEND), [segment("reply", message_seq=3)]
        )
        unsequenced = ids.id_of(MessageKey("unsequenced", ANN, 3))
        self.assertIn("did not say which message", self.refused([segment("reply", id=unsequenced)], FRIEND))
        self.assertEqual(self.sent([segment("reply", id=unsequenced), text]), [text])

    def test_images(self) -> None:
        """A summary and the kind go along; flash, cache and the like are lost."""
        self.assertEqual(
            self.sent(
                [
                    segment("image", file="https://a/b.png", summary="[pic]", sub_type=1),
                    segment("image", file="a.png", url="https://a/b.png", subType="0", type="flash"),
                    segment("image", url="https://a/b.png", cache="0", c=3),
                    segment("image", file="base64://QUJD", sub_type="sticker"),
                ]
            ),
            [
                segment("image", uri="https://a/b.png", sub_type="sticker", summary="[pic]"),
                segment("image", uri="https://a/b.png"),
                segment("image", uri="https://a/b.png"),
                segment("image", uri="base64://QUJD", sub_type="sticker"),
            ],
        )
        self.assertEqual(self.api.calls, [])

    def test_images_that_were_received(self) -> None:
        """A resource_id gets a new URL; where the implementation has none, the one beside it is taken."""
        self.api.answers["get_resource_temp_url"] = {"url": "https://fresh"}
        received = segment("image", file="EhQx", url="https://old")
        self.assertEqual(self.sent([received]), [segment("image", uri="https://fresh")])
        self.assertEqual(
            self.sent([segment("record", file="EhQx")]), [segment("record", uri="https://fresh")]
        )
        for answer in ({"url": ""}, {}, CallFailed(-404, "no", "x"), AccountFailed("HTTP 500")):
            self.api.answers["get_resource_temp_url"] = answer
            self.assertEqual(self.sent([received]), [segment("image", uri="https://old")])
            self.assertIn(
                "params.message[0].data.file: it is no URL", self.refused([segment("image", file="EhQx")])
            )
        self.api.answers["get_resource_temp_url"] = LinkBroken("gone")
        self.refused([received], error=LinkBroken)

    def test_video_record_and_json(self) -> None:
        """A video has its cover; an object as JSON is encoded."""
        self.assertEqual(
            self.sent(
                [
                    segment("video", file="http://a/v", cover="/tmp/c.png"),
                    segment("record", file="/tmp/a.mp3", magic=True),
                    segment("json", data='{"app":1}'),
                    segment("json", data={"app": "x"}),
                ]
            ),
            [
                segment("video", uri="http://a/v", thumb_uri="file:///tmp/c.png"),
                segment("record", uri="file:///tmp/a.mp3"),
                segment("light_app", json_payload='{"app":1}'),
                segment("light_app", json_payload='{"app":"x"}'),
            ],
        )

    def test_market_faces(self) -> None:
        """A market face is its picture, or a text."""
        self.assertEqual(
            self.sent(
                [segment("mface", url="http://a/m.gif", summary="[好]"), segment("mface", emoji_id="e")]
            ),
            [
                segment("image", uri="http://a/m.gif", sub_type="sticker", summary="[好]"),
                segment("text", text="[表情]"),
            ],
        )

    def test_pokes(self) -> None:
        """A poke is a call of its own: of a member, or of the peer."""
        self.assertEqual(self.outgoing([segment("poke", qq=str(ANN))]).pokes, [ANN])
        self.assertEqual(self.outgoing([segment("poke", type="1", id="-1")], FRIEND).pokes, [ANN])
        self.assertEqual(self.outgoing([segment("poke", qq=SELF)], FRIEND).pokes, [SELF])

    def test_files(self) -> None:
        """A file is uploaded by a call of its own; its name is given, or in its URI."""
        self.assertEqual(
            self.outgoing(
                [
                    segment("file", file="/data/a%b.zip"),
                    segment("file", file="http://a/x%20y.zip?z=1", name="n.zip"),
                    segment("file", file="r.pdf", url="http://a/1"),
                    segment("file", file="base64://QUJD"),
                ]
            ).files,
            [
                OutgoingFile("file:///data/a%25b.zip", "a%b.zip"),
                OutgoingFile("http://a/x%20y.zip?z=1", "n.zip"),
                OutgoingFile("http://a/1", "r.pdf"),
                OutgoingFile("base64://QUJD", "file"),
            ],
        )
        self.assertIn("expected a URL", self.refused([segment("file", file="r.pdf")]))

    def test_files_that_were_received(self) -> None:
        """A file of a message is found again by its file_id."""
        received = segment("file", file="r.pdf", name="r.pdf", file_id="/f1")
        self.api.answers["get_group_file_download_url"] = {"download_url": "https://d/1"}
        self.assertEqual(self.outgoing([received]).files, [OutgoingFile("https://d/1", "r.pdf")])
        self.assertIn("nothing is known of this file", self.refused([received], FRIEND))
        self.context.recent.private_files.put("/f1", PrivateFile(ANN, "h"))
        self.api.answers["get_private_file_download_url"] = {"download_url": "https://d/2"}
        self.assertEqual(self.outgoing([received], FRIEND).files, [OutgoingFile("https://d/2", "r.pdf")])
        self.api.answers["get_private_file_download_url"] = CallFailed(-404, "expired", "x")
        self.assertIn("expired", self.refused([received], FRIEND))

    def test_lagrange(self) -> None:
        """Lagrange.Milky: no face goes out, and base64 only as an image or a video."""
        self.use("Lagrange.Core")
        self.assertEqual(
            self.sent([segment("face", id="1"), segment("image", file="base64://QUJD")]),
            [segment("text", text="[表情]"), segment("image", uri="base64://QUJD")],
        )
        for kind in ("record", "file"):
            self.assertIn(
                "appends zeros", self.refused([segment(kind, file="data:audio/wav;base64,QUJD", name="a")])
            )


class UriTests(SynchronousTestCase):
    def test_uris(self) -> None:
        """What bots write as a file, as a URI of Milky."""
        for text, uri in (
            ("http://a/b c", "http://a/b c"),
            ("HTTPS://a/b", "https://a/b"),
            ("base64://QUJD", "base64://QUJD"),
            (" https://a \n", "https://a"),
            ("/tmp/a b.png", "file:///tmp/a b.png"),
            ("/tmp/100%#1?.png", "file:///tmp/100%25%231%3F.png"),
            ("C:\\图\\a.png", "file:///C:/图/a.png"),
            ("c:/a.png", "file:///c:/a.png"),
            ("\\\\nas\\a.png", "file://nas/a.png"),
            ("file:///tmp/a%20b.png", "file:///tmp/a%20b.png"),
            ("file:///tmp/a#1.png", "file:///tmp/a%231.png"),
            ("file:///tmp/100%.png", "file:///tmp/100%25.png"),
            ("FILE:/tmp/a.png", "file:///tmp/a.png"),
            ("file://C:\\a\\b.png", "file:///C:/a/b.png"),
            ("file:///C:\\a.png", "file:///C:/a.png"),
            ("file://nas/a.png", "file://nas/a.png"),
            ("data:image/png;base64,QUJD", "base64://QUJD"),
            ("data:;base64,QU%4AD%3D", "base64://QUJD="),
            ("DATA:text/plain,a%20b", "base64://YSBi"),
            ("a.png", None),
            ("EhQx_-=", None),
            ("ftp://a/b", None),
            ("file:a.png", None),
            ("", None),
        ):
            self.assertEqual(as_uri(text, "file"), uri, text)
        self.assertRaises(BadRequest, as_uri, "data:image/png", "file")
        self.assertRaises(OverBound, as_uri, "data:," + "%41" * 200_000, "file")
        for path in ("/", "C:/", "file:///", "\\\\"):
            self.assertRaises(OverBound, as_uri, path + "%" * 100_000, "file")

    def test_names(self) -> None:
        """The name in a URI."""
        for uri, name in (
            ("file:///C:/图/a.png", "a.png"),
            ("https://a/b%20c.zip?d=e/f", "b c.zip"),
            ("https://a", "file"),
            ("https://[a/b", "file"),
            ("base64://QUJD", "file"),
        ):
            self.assertEqual(name_in_uri(uri), name)


class ForwardTests(OutgoingCase):
    def test_nodes(self) -> None:
        """Names and numbers under each of their keys; contents as strings, one segment, or segments."""
        self.assertEqual(
            self.forward(
                [
                    node("a[CQ:face,id=1]", time="1790000000"),
                    segment("node", uin=ANN, name="A", content=segment("text", text="b")),
                    segment("node", user_id=5, content=[segment("text", text="c")]),
                    segment("node", content="d"),
                ],
                title="T",
                preview=["1", "", "2", "3", "4", "5"],
                summary="S",
                prompt="P",
            ),
            segment(
                "forward",
                messages=[
                    {
                        "user_id": ANN,
                        "sender_name": "Ann",
                        "segments": [segment("text", text="a"), segment("face", face_id="1")],
                        "time": 1_790_000_000,
                    },
                    {"user_id": ANN, "sender_name": "A", "segments": [segment("text", text="b")]},
                    {"user_id": UNKNOWN_SENDER, "sender_name": "5", "segments": [segment("text", text="c")]},
                    {"user_id": SELF, "sender_name": str(SELF), "segments": [segment("text", text="d")]},
                ],
                title="T",
                preview=["1", "2", "3", "4"],
                summary="S",
                prompt="P",
            ),
        )

    def test_nodes_in_a_message(self) -> None:
        """A message of nodes is one forward; beside other segments they are refused."""
        (forward,) = self.sent([node("a")])
        self.assertEqual(forward["data"]["messages"][0]["segments"], [segment("text", text="a")])
        (forward,) = self.sent(
            f"[CQ:node,user_id={ANN},nickname=Ann,content=a&amp;#91;CQ:at&amp;#44;qq=all&amp;#93;]"
        )
        self.assertEqual(len(forward["data"]["messages"]), 1)
        self.assertIn("cannot stand beside", self.refused([node("a"), segment("text", text="b")]))

    def test_nested(self) -> None:
        """Nodes inside a node are a forward of its own, with what it shows closed."""
        inner = node([node("a")], source="T", news=[{"text": "x"}, "y"], summary="S", prompt="P")
        made = self.forward([node([segment("forward", content=[node("b")])]), inner])
        first, second = (one["segments"][0] for one in made["data"]["messages"])
        self.assertEqual(first["data"]["messages"][0]["segments"], [segment("text", text="b")])
        self.assertEqual((second["data"]["title"], second["data"]["preview"]), ("T", ["x", "y"]))
        self.assertEqual(second["data"]["messages"][0]["segments"], [segment("text", text="a")])

    def test_wrong_nodes(self) -> None:
        """What a node lacks is named."""
        for nodes, sentence in (
            ([], "there is no node"),
            ([segment("node")], "params.message[0].data.content is missing"),
            ([node([])], "params.message[0].data.content: there is nothing"),
            ([node("a", time="soon")], "params.message[0].data.time: expected seconds"),
            ([node([segment("file", file="/a")])], "a file segment cannot stand inside"),
            ([node([segment("poke", qq=ANN)])], "a poke segment cannot stand inside"),
            ([segment("node", user_id="bob", content="a")], "params.message[0].data.user_id: expected"),
            ([segment("node", id="999")], "params.message[0].data.id: there is no such message"),
        ):
            failure = self.failureResultOf(
                Deferred.fromCoroutine(make_forward(nodes, GROUP, self.context, path="params.message")),
                BadRequest,
            )
            self.assertIn(sentence, str(failure.value))

    def test_bounds(self) -> None:
        """Nodes are bounded in depth and in number, lookups in number."""
        nested: Any = "a"
        for _ in range(9):
            nested = [node(nested)]
        self.assertIn("nested deeper than 8 levels", self.refused(nested, error=OverBound))
        self.assertIn(f"{MAX_NODES} nodes", self.refused([node("a")] * (MAX_NODES + 1), error=OverBound))
        self.assertIn(f"{MAX_NODES} nodes", self.refused([node([node("a")] * 400)] * 3, error=OverBound))
        self.assertIn("10000 segments", self.refused([node([segment("at", qq="all")] * 6000)] * 2))
        self.api.answers["get_resource_temp_url"] = {"url": "https://a"}
        self.sent([segment("image", file="EhQx", url="https://old")] * (MAX_LOOKUPS + 1))
        self.assertEqual(len(self.api.calls), 20)
        images = [segment("image", file="EhQx")] * (MAX_LOOKUPS + 1)
        self.assertIn(f"more than {MAX_LOOKUPS}", self.refused(images, error=OverBound))

    def test_messages_by_their_ids(self) -> None:
        """A node with an id is that message: its sender, and its segments as they can be sent again."""
        key = MessageKey("group", TEAM, 8)
        message = incoming(
            "group",
            message_seq=8,
            segments=[
                {"type": "reply", "data": {"message_seq": 3}},
                segment("text", text="a"),
                segment("mention", user_id=ANN, name="Ann"),
                segment("mention_all"),
                segment("face", face_id="1", is_large=True),
                segment("image", resource_id="R", temp_url="https://t/1", summary="[s]", sub_type="sticker"),
                segment("record", resource_id="R2", temp_url=""),
                segment("video", resource_id="", temp_url=None),
                segment("file", file_id="/f", file_name="a.zip"),
                segment("market_face", url="https://m"),
                segment("light_app", app_name="x", json_payload="{}"),
                segment("xml", xml_payload="<x/>"),
                segment("markdown", content="# a"),
                segment("hologram"),
                None,
            ],
        )
        self.api.answers["get_message"] = {"message": message}
        self.api.answers["get_resource_temp_url"] = {"url": "https://fresh"}
        (forwarded,) = self.forward([segment("node", id=self.context.ids.id_of(key))])["data"]["messages"]
        self.assertEqual(self.api.calls[0][1], {"message_scene": "group", "peer_id": TEAM, "message_seq": 8})
        self.assertEqual((forwarded["user_id"], forwarded["sender_name"]), (ANN, MEMBER["card"]))
        self.assertEqual(forwarded["time"], 1_790_000_000)
        self.assertEqual(
            forwarded["segments"],
            [
                segment("text", text="a"),
                segment("mention", user_id=ANN),
                segment("mention_all"),
                segment("face", face_id="1", is_large=True),
                segment("image", uri="https://t/1", sub_type="sticker", summary="[s]"),
                segment("record", uri="https://fresh"),
                segment("text", text="[video]"),
                segment("text", text="[文件] a.zip"),
                segment("image", uri="https://m", sub_type="sticker"),
                segment("light_app", json_payload="{}"),
                segment("text", text="[xml]"),
                segment("text", text="# a"),
                segment("text", text="[hologram]"),
            ],
        )

    def test_remembered_messages_need_no_call(self) -> None:
        """A message that is remembered and has no URLs is not asked for; else it is, if it can be had."""
        key = MessageKey("friend", ANN, 8)
        self.context.recent.messages.put(key, incoming("friend", message_seq=8))
        made = self.forward([segment("node", id=str(self.context.ids.id_of(key)))])
        self.assertEqual(made["data"]["messages"][0]["sender_name"], "Ann")
        self.assertEqual(self.api.calls, [])
        picture = segment("image", resource_id="R", temp_url="https://old")
        self.context.recent.messages.put(key, incoming("friend", message_seq=8, segments=[picture]))
        self.api.answers["get_message"] = CallFailed(-404, "no", "get_message")
        made = self.forward([segment("node", id=self.context.ids.id_of(key))])
        self.assertEqual(made["data"]["messages"][0]["segments"], [segment("image", uri="https://old")])
        unsequenced = self.context.ids.id_of(MessageKey("unsequenced", ANN, 1))
        self.assertIn("cannot be forwarded", self.refused([segment("node", id=unsequenced)]))

    def test_another_message_than_was_asked_for(self) -> None:
        """It is not forwarded in the place of the one that the bot named."""
        self.api.answers["get_message"] = {"message": incoming("group", message_seq=9)}
        number = self.context.ids.id_of(MessageKey("group", TEAM, 8))
        self.assertIn("message 9", self.refused([segment("node", id=number)], error=AccountFailed))

    def test_messages_whose_scene_has_changed(self) -> None:
        """A private message that is not found in one scene is looked for in the other one."""
        number = self.context.ids.id_of(MessageKey("friend", ANN, 8))
        message = incoming("temp", message_seq=8)
        self.api.answers["get_message"] = lambda params: (
            {"message": message} if params["message_scene"] == "temp" else CallFailed(-404, "no", "x")
        )
        made = self.forward([segment("node", id=number)])
        self.assertEqual(made["data"]["messages"][0]["segments"], message["segments"])
        self.api.answers["get_message"] = CallFailed(-404, "no", "x")
        self.assertEqual(self.refused([segment("node", id=number)], error=CallFailed), "no")

    def test_forwards_by_their_ids(self) -> None:
        """A forward is sent again with the messages that the implementation tells, also nested ones."""
        inner = segment("forward", forward_id="F2", title="T", preview=["p"], summary="s")
        told = {
            "F1": [
                {"sender_name": "Ann", "avatar_url": f"https://q?nk={ANN}", "time": 5, "segments": [inner]},
                {"sender_name": "", "segments": [segment("text", text="b")]},
                {"sender_name": "C", "segments": [{"type": "reply", "data": {"message_seq": 1}}]},
            ],
            "F2": [{"sender_name": "Bob", "segments": [segment("text", text="a")]}],
        }
        self.api.answers["get_forwarded_messages"] = lambda params: {"messages": told[params["forward_id"]]}
        (forward,) = self.sent([segment("forward", id="F1")])
        first, second = forward["data"]["messages"]
        self.assertEqual((first["user_id"], first["time"]), (ANN, 5))
        self.assertEqual((second["user_id"], second["sender_name"]), (UNKNOWN_SENDER, str(UNKNOWN_SENDER)))
        nested = first["segments"][0]["data"]
        self.assertEqual((nested["title"], nested["preview"], nested["summary"]), ("T", ["p"], "s"))
        self.assertEqual(nested["messages"][0]["segments"], [segment("text", text="a")])

    def test_forwards_that_cannot_be_read(self) -> None:
        """Without the API a forward is refused; a failure of it is the implementation's own."""
        self.assertIn("does not offer get_forwarded_messages", self.refused([segment("forward", id="F")]))
        self.api.answers["get_forwarded_messages"] = {"messages": None}
        self.assertIn("knows no messages", self.refused([segment("forward", id="F")]))
        self.api.answers["get_forwarded_messages"] = CallFailed(-404, "no", "x")
        self.assertEqual(self.refused([segment("forward", id="F")], error=CallFailed), "no")

    def test_nested_forwards_that_cannot_be_read(self) -> None:
        """Inside a message that is sent again, a forward that cannot be read is a text."""
        key = MessageKey("group", TEAM, 8)
        inner = segment("forward", forward_id="F", title="T")
        self.context.recent.messages.put(key, incoming("group", message_seq=8, segments=[inner]))
        (forwarded,) = self.forward([segment("node", id=self.context.ids.id_of(key))])["data"]["messages"]
        self.assertEqual(forwarded["segments"], [segment("text", text="T")])
        self.context.recent.messages.put(key, incoming("group", message_seq=8, segments=[]))
        self.assertIn(
            "nothing in this message", self.refused([segment("node", id=self.context.ids.id_of(key))])
        )

    def test_a_forward_inside_itself(self) -> None:
        """A forward that names itself ends at the greatest depth, with a text."""
        loop = [{"sender_name": "A", "segments": [segment("forward", forward_id="F", title="T")]}]
        self.api.answers["get_forwarded_messages"] = {"messages": loop}
        self.assertIn("T", str(self.sent([segment("forward", id="F")])))
        self.assertEqual(len(self.api.calls), 8)
        self.api.answers["get_forwarded_messages"] = {
            "messages": [{"segments": [segment("mention_all")] * 10_001}]
        }
        self.assertIn("10000 segments", self.refused([segment("forward", id="F")], error=OverBound))
        self.api.answers["get_forwarded_messages"] = {"messages": loop}
        loop[:] = loop * 3
        self.refused([segment("forward", id="F")], error=OverBound)


_PEOPLE = st.integers(10_001, 4_294_967_295)
_SEGMENTS = st.one_of(
    st.builds(lambda text: segment("text", text=text), st.text(min_size=1, max_size=8)),
    st.builds(lambda number: segment("mention", user_id=number), _PEOPLE),
    st.just(segment("mention_all")),
    st.builds(lambda number: segment("face", face_id=str(number)), st.integers(0, 400)),
    st.builds(lambda number: segment("face", face_id=str(number), is_large=True), st.integers(0, 400)),
    st.builds(
        lambda sticker: segment(
            "image", uri="https://a/b.png", **({"sub_type": "sticker"} if sticker else {})
        ),
        st.booleans(),
    ),
    st.just(segment("record", uri="https://a/r")),
    st.just(segment("video", uri="https://a/v")),
    st.builds(lambda text: segment("light_app", json_payload=text), st.text(min_size=1, max_size=8)),
)


def as_received(sent: dict[str, Any]) -> dict[str, Any]:
    """The segment that others receive for one that was sent."""
    data = dict(sent["data"])
    if "uri" in data:
        data = {**data, "resource_id": "a.bin", "temp_url": data.pop("uri")}
    if sent["type"] == "mention":
        data["name"] = ""
    return {"type": sent["type"], "data": data}


class RoundTripTests(OutgoingCase):
    @settings(max_examples=150, deadline=None)
    @given(st.lists(_SEGMENTS, min_size=1, max_size=6), st.integers(0, 50), st.booleans())
    def test_there_and_back(self, message: list[dict[str, Any]], seq: int, as_string: bool) -> None:
        """What a bot sends on as it received it is sent as it was, as an array and as a string."""
        self.context, self.api = make_context()
        if seq:
            message = [{"type": "reply", "data": {"message_seq": seq}}, *message]
        received = to_onebot([as_received(one) for one in message], GROUP, self.context.ids)
        sent = self.sent(to_cq(received) if as_string else received)
        if as_string:  # adjacent texts are one there
            sent, message = joined(sent), joined(message)
        self.assertEqual(sent, message)


_KINDS = ["text", "at", "face", "reply", "image", "record", "video", "json", "mface", "poke",
          "file", "forward", "node", "anonymous", "mention", "market_face", "light_app", "markdown",
          "xml"]  # fmt: skip
_KEYS = ["text", "qq", "id", "file", "url", "path", "name", "nickname", "user_id", "content", "time", "data",
         "news", "subType", "summary", "cover", "file_id", "resource_id", "temp_url", "forward_id", "title",
         "preview", "face_id", "json_payload", "file_name", "source", "is_large", "ignore"]  # fmt: skip
_VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=6)
    | st.sampled_from(["1001", 1002, "/a", "C:\\a", "data:,%", "file://", "https://a", "all", "10001000"])
)
_ODD = st.recursive(
    _VALUES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4)
        | st.fixed_dictionaries(
            {
                "type": st.sampled_from(_KINDS),
                "data": st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5),
            }
        )
    ),
    max_leaves=12,
)


class OddMessageTests(OutgoingCase):
    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from(_KINDS),
                    "data": st.dictionaries(st.sampled_from(_KEYS), _ODD, max_size=5),
                }
            ),
            min_size=1,
            max_size=3,
        ),
        _ODD,
        st.sampled_from(["Yogurt", "LLBot", "Lagrange.Core"]),
        st.sampled_from([GROUP, FRIEND]),
    )
    def test_anything_is_sent_or_refused(
        self, message: Any, answer: Any, implementation: str, conversation: Conversation
    ) -> None:
        """Whatever a bot sends, and the implementation answers: a message of Milky, or a sentence."""
        self.use(implementation)
        self.context.ids.id_of(MessageKey("group", TEAM, 1))
        self.context.ids.id_of(MessageKey("unsequenced", ANN, 1))
        for api in ("get_message", "get_forwarded_messages"):
            self.api.answers[api] = {"message": {"segments": answer}, "messages": [{"segments": answer}]}
        self.api.answers["get_resource_temp_url"] = {"url": answer}
        self.api.answers["get_group_file_download_url"] = {"download_url": answer}
        made: list[Any] = []
        translated = Deferred.fromCoroutine(
            to_milky(read_message(message, "params.message"), conversation, self.context)
        )
        translated.addErrback(lambda failure: failure.trap(OneBotError) and None)
        translated.addCallback(made.append)
        self.successResultOf(translated)
        if made[0] is not None:
            check_request(
                "send_group_message", {"group_id": TEAM, "message": made[0].segments}, for_lagrange=True
            )
            for file in made[0].files:
                check_request(
                    "upload_group_file",
                    {"group_id": TEAM, "file_uri": file.uri, "file_name": file.name},
                    for_lagrange=True,
                )


def joined(message: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A message whose adjacent texts are one."""
    made: list[dict[str, Any]] = []
    for one in message:
        if made and one["type"] == made[-1]["type"] == "text":
            made[-1] = segment("text", text=made[-1]["data"]["text"] + one["data"]["text"])
        else:
            made.append(one)
    return made
