"""Receivers of alerts for tests: HTTP servers that judge a request as the real ones document it.

What they check they work out themselves, by RFC 2104 and the services' documents.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import frozen
from twisted.internet import reactor as installed
from twisted.trial.unittest import TestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from lgtwist.alerts.alert import Alert, AlertMessage, ReceiverAnswer, Rule
from lgtwist.alerts.interfaces import AlertSender
from lgtwist.alerts.senders import SenderResources, make_sender
from lgtwist.alerts.settings import AlertSettings, ReceiverKind
from lgtwist.net.http_client import WebClient

reactor: Any = installed

#: When everything happens: seconds since the epoch.
NOW = 1_767_225_600.25

OFFLINE = AlertMessage(
    "账号 10001 离线",
    'QQ 账号 10001 已离线 2 分钟。\n原因："kicked" \\ 😀 <b>&amp;',
    (Alert(Rule.OFFLINE, "10001", True, 1_767_225_000.5, "kicked", {"lasted": 120}),),
)
ONLINE = AlertMessage(
    "账号 10001 已恢复在线",
    "此前离线 3 分钟。",
    (Alert(Rule.OFFLINE, "10001", False, 1_767_225_000.5, "", {}),),
)
TEST = AlertMessage("lgtwist 测试消息", "收到这条消息，说明可以送达。")


def hmac_by_rfc_2104(name: str, key: bytes, text: bytes) -> bytes:
    """H(K xor opad, H(K xor ipad, text))."""
    if len(key) > 64:
        key = hashlib.new(name, key).digest()
    key = key.ljust(64, b"\0")
    inner = hashlib.new(name, bytes(byte ^ 0x36 for byte in key) + text).digest()
    return hashlib.new(name, bytes(byte ^ 0x5C for byte in key) + inner).digest()


@frozen
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        assert self.headers.get("content-type", "").startswith("application/json"), self.headers
        return json.loads(self.body.decode("utf-8", "strict"))


@frozen
class Said:
    """What a receiver answers."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def said(value: Any, status: int = 200, **headers: str) -> Said:
    lines = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Said(status, json.dumps(value, ensure_ascii=False).encode(), lines)


Judge = Callable[[Asked], Said]


def hurry() -> None:
    """End the time that the try under way may take."""
    for call in reactor.getDelayedCalls():
        if getattr(call.func, "__qualname__", "") == "Deferred.cancel":
            call.reset(0)


class _Quiet(Site):
    """It does not log its requests: tests look for secrets in the log."""

    noisy = False

    def log(self, request: Any) -> None:
        pass


class _Judging(Resource):
    isLeaf = True

    def __init__(self, judge: Judge) -> None:
        super().__init__()
        self.judge = judge
        self.asked: list[Asked] = []

    def render(self, request: Request) -> bytes:
        parts = urlsplit(request.uri.decode("ascii"))
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        headers = {
            name.decode().lower(): b", ".join(values).decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        body = request.content.read()
        asked = Asked(request.method.decode(), parts.path, dict(pairs), headers, body)
        self.asked.append(asked)
        try:
            answer = self.judge(asked)
        except Exception as error:
            answer = Said(500, f"the judge failed: {error!r}".encode())
        request.setResponseCode(answer.status)
        for name, value in answer.headers:
            request.setHeader(name, value)
        return answer.body


class ReceiverCase(TestCase):
    """Has a client, and starts servers.

    :ivar asked: the requests that the last server got.
    """

    def setUp(self) -> None:
        self.client = WebClient(reactor)
        self.addCleanup(self.client.close)
        self.asked: list[Asked] = []

    def serve(self, judge: Judge, context: Any = None) -> str:
        """Start a server; its URL without a path."""
        resource = _Judging(judge)
        self.asked = resource.asked
        if context is None:
            port = reactor.listenTCP(0, _Quiet(resource), interface="127.0.0.1")
        else:
            port = reactor.listenSSL(0, _Quiet(resource), context, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http{'s' if context else ''}://127.0.0.1:{port.getHost().port}"

    def sender(self, kind: str, url: str = "", **more: Any) -> AlertSender:
        settings = AlertSettings(ReceiverKind(kind), url, **more)
        return make_sender(settings, SenderResources(reactor, self.client, None, lambda: NOW))

    async def send(self, kind: str, url: str, message: AlertMessage = OFFLINE, **more: Any) -> ReceiverAnswer:
        return await self.sender(kind, url, **more).send(message)


# -- the services


class Feishu:
    """https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot"""

    PATH = "/open-apis/bot/v2/hook/0a1b2c3d-token"

    def __init__(self, secret: str = "", keyword: str = "") -> None:
        self.secret, self.keyword = secret, keyword
        self.texts: list[str] = []

    def __call__(self, asked: Asked) -> Said:
        if asked.path != self.PATH:
            return said({"code": 19001, "msg": "param invalid: incoming webhook access token invalid"})
        value = asked.json()
        if len(asked.body) > 20_000 or value.get("msg_type") != "text":
            return said({"code": 9499, "msg": "Bad Request", "data": {}}, 400)
        if self.secret:
            assert type(value["timestamp"]) is str
            expected = hmac_by_rfc_2104("sha256", f"{value['timestamp']}\n{self.secret}".encode(), b"")
            fresh = abs(int(value["timestamp"]) - NOW) < 3600
            if not fresh or value["sign"] != b64encode(expected).decode():
                sentence = "sign match fail or timestamp is not within one hour from current time"
                return said({"code": 19021, "msg": sentence})
        text = value["content"]["text"]
        if self.keyword not in text:
            return said({"code": 19024, "msg": "Key Words Not Found"})
        self.texts.append(text)
        return said({"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"})


class DingTalk:
    """https://open.dingtalk.com/document/robots/custom-robot-access; HTTP's status is always 200."""

    TOKEN = "0123456789abcdef0123"
    MORE = "more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]"

    def __init__(self, secret: str = "", keyword: str = "") -> None:
        self.secret, self.keyword = secret, keyword
        self.texts: list[str] = []

    def __call__(self, asked: Asked) -> Said:
        if asked.path != "/robot/send" or asked.query.get("access_token") != self.TOKEN:
            return said({"errcode": 300005, "errmsg": "token is not exist"})
        value = asked.json()
        if self.secret:
            timestamp = asked.query.get("timestamp", "")
            if not timestamp.isdecimal() or abs(int(timestamp) - NOW * 1000) > 3_600_000:
                return said({"errcode": 310000, "errmsg": f"invalid timestamp, {self.MORE}"})
            text = f"{timestamp}\n{self.secret}".encode()
            expected = b64encode(hmac_by_rfc_2104("sha256", self.secret.encode(), text)).decode()
            if asked.query.get("sign") != expected:
                return said({"errcode": 310000, "errmsg": f"sign not match, {self.MORE}"})
        assert value["msgtype"] == "text"
        if self.keyword not in value["text"]["content"]:
            return said({"errcode": 310000, "errmsg": f"keywords not in content, {self.MORE}"})
        if len(asked.body) > 20_000:
            return said({"errcode": 460101, "errmsg": "message too long"})
        self.texts.append(value["text"]["content"])
        return said({"errcode": 0, "errmsg": "ok"})


class WeCom:
    """https://developer.work.weixin.qq.com/document/path/91770"""

    KEY = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, asked: Asked) -> Said:
        if asked.path != "/cgi-bin/webhook/send" or asked.query != {"key": self.KEY}:
            hint = f"hint: [1700], from ip: 127.0.0.1, more info at https://open.work.weixin.qq.com/?k={self.KEY}"
            return said({"errcode": 93000, "errmsg": f"invalid webhook url, {hint}"})
        value = asked.json()
        assert value["msgtype"] == "text"
        text = value["text"]["content"]
        if not 0 < len(text.encode()) <= 2048:
            return said({"errcode": 45002, "errmsg": "content size out of limit"})
        self.texts.append(text)
        return said({"errcode": 0, "errmsg": "ok"})


class Telegram:
    """https://core.telegram.org/bots/api#sendmessage"""

    TOKEN = "123456789:AAF-secret_part0"

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.sent: list[dict[str, Any]] = []

    def __call__(self, asked: Asked) -> Said:
        parts = asked.path.removeprefix(self.prefix).split("/")
        if len(parts) != 3 or not parts[1].startswith("bot") or parts[2] != "sendMessage" or asked.query:
            return said({"ok": False, "error_code": 404, "description": "Not Found"}, 404)
        if unquote(parts[1]) != f"bot{self.TOKEN}":
            return said({"ok": False, "error_code": 401, "description": "Unauthorized"}, 401)
        value = asked.json()
        if str(value.get("chat_id")) not in ("42", "-1001234567890", "@lgtwist_alerts"):
            return said({"ok": False, "error_code": 400, "description": "Bad Request: chat not found"}, 400)
        assert "parse_mode" not in value
        if len(value["text"].encode("utf-16-le")) // 2 > 4096:
            problem = {"ok": False, "error_code": 400, "description": "Bad Request: message is too long"}
            return said(problem, 400)
        self.sent.append(value)
        return said({"ok": True, "result": {"message_id": 1, "text": value["text"]}})


class Ntfy:
    """https://docs.ntfy.sh/publish/#publish-as-json"""

    def __init__(self, authorization: str = "", root: str = "/") -> None:
        self.authorization, self.root = authorization, root
        self.sent: list[dict[str, Any]] = []

    def __call__(self, asked: Asked) -> Said:
        if asked.path != self.root:
            return said({"code": 40401, "http": 404, "error": "page not found"}, 404)
        if asked.headers.get("authorization", "") != self.authorization:
            link = "https://ntfy.sh/docs/publish/#authentication"
            return said({"code": 40101, "http": 401, "error": "unauthorized", "link": link}, 401)
        value = asked.json()
        assert set(value) <= {"topic", "title", "message", "priority", "tags"}
        if value["topic"] != "lgtwist-alerts":
            return said({"code": 40009, "http": 400, "error": "invalid request: topic invalid"}, 400)
        assert value["priority"] in range(1, 6)
        assert all(isinstance(tag, str) for tag in value["tags"])
        assert len(value["message"].encode()) <= 4096
        self.sent.append(value)
        return said({"id": "sPs71M8A2T", "time": 1643935928, "event": "message", "topic": value["topic"]})


class Bark:
    """https://bark.day.app/#/tutorial, and route_push.go of bark-server."""

    KEY = "yqJmPyLnv7LZ8kiY2Vx3"

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def __call__(self, asked: Asked) -> Said:
        value = asked.json()
        key = value.get("device_key") if asked.path == "/push" else asked.path[1:]
        if key != self.KEY or asked.query:
            words = f"failed to get device token: failed to get [{key}] device token from database"
            return said({"code": 400, "message": words, "timestamp": 1}, 400)
        assert len(value["body"].encode()) <= 4096
        self.sent.append(value)
        return said({"code": 200, "message": "success", "timestamp": 1_767_225_600})


class ServerChan:
    """https://sct.ftqq.com/ and https://doc.sc3.ft07.com/serverchan3"""

    def __init__(self, path: str) -> None:
        self.path = path
        self.sent: list[dict[str, Any]] = []

    def __call__(self, asked: Asked) -> Said:
        if asked.path != self.path:
            problem = {"code": 40001, "message": "[AUTH]错误的Key", "info": "错误的Key", "args": [None]}
            return said(problem, 400)
        value = asked.json()
        assert 0 < len(value["title"]) <= 32
        assert len(value["desp"].encode()) <= 32 * 1024 * 2
        self.sent.append(value)
        return said({"code": 0, "message": "", "data": {"pushid": "1", "error": "SUCCESS", "errno": 0}})
