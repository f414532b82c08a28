"""A Milky account in memory: its HTTP client, event stream and file are played by the test."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lgtwist.accounts.milky.api_client import ApiClient
from lgtwist.accounts.milky.link import MilkyLink
from lgtwist.config.limits import Limits
from lgtwist.hub.account import Account
from lgtwist.hub.calls import InternalCall
from lgtwist.hub.interfaces import IAccountLink
from lgtwist.milky.blocks import BlockTable
from lgtwist.milky.events import EventTranslator
from lgtwist.milky.recent import Recent
from lgtwist.net.http_client import Answer
from lgtwist.onebot.message import MessageFormat
from lgtwist.runtime.turns import FlushScheduler
from tests.hub.fakes import FakeConnection

SELF, FRIEND, TEAM = 10001, 20001, 30001


class Post:
    """One request that is under way."""

    def __init__(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        self.url, self.body, self.headers = url, body, headers
        self.api = url.rpartition("/")[2]
        self.params = json.loads(body)
        self.cancelled = False
        self.ended: Deferred[Answer] = Deferred(self._cancel)

    def _cancel(self, _ended: object) -> None:
        self.cancelled = True

    def answer(self, data: Any = None, **others: Any) -> None:
        self.respond(200, {"status": "ok", "retcode": 0, "data": data or {}, **others})

    def refuse(self, retcode: int, message: str = "") -> None:
        self.respond(200, {"status": "failed", "retcode": retcode, "message": message})

    def respond(self, status: int, body: Any = b"") -> None:
        self.ended.callback(Answer(status, body if isinstance(body, bytes) else json.dumps(body).encode()))

    def fail(self, error: Exception) -> None:
        self.ended.errback(error)


class FakeWebClient:
    """Keeps the requests; those for what ``instantly`` knows are answered at once."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.instantly: dict[str, Any] = {}
        self.refuses_connections = self.is_connecting = False
        self.timeouts: list[float] = []

    async def post(
        self,
        url: str,
        body: bytes,
        headers: dict[str, str],
        _limit: int,
        timeout: float,
        written: Callable[[], None],
        begun: Callable[[], None],
    ) -> Answer:
        self.timeouts.append(timeout)
        if self.refuses_connections:
            raise ConnectionRefusedError
        post = Post(url, body, headers)
        if post.api in self.instantly:
            data = self.instantly[post.api]
            return Answer(200, json.dumps({"status": "ok", "retcode": 0, "data": data}).encode())
        self.posts.append(post)
        if not self.is_connecting:
            begun()
            written()
        return await post.ended

    def take(self, *apis: str) -> list[Post]:
        """The requests that are under way, of some APIs, each once."""
        taken = [post for post in self.posts if not apis or post.api in apis]
        self.posts = [post for post in self.posts if post not in taken]
        return taken


class FakeStream:
    """Keeps what it is asked."""

    def __init__(self) -> None:
        self.closed: list[tuple[int, str]] = []
        self.is_paused = False

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


class FakeBackFill:
    """Keeps what it is told; takes no event."""

    is_active = False

    def __init__(self) -> None:
        self.told: list[str] = []
        self.takes: Callable[[Any, Any], bool] = lambda _key, _event: False

    def stream_opened(self) -> None:
        self.told.append("opened")

    def verified(self) -> None:
        self.told.append("verified")

    def stream_closed(self) -> None:
        self.told.append("closed")

    def live_event(self, key: Any, event: Any) -> bool:
        return self.takes(key, event)


class FakeIds:
    """Message ids whose blocks are stored when the test says so."""

    def __init__(self) -> None:
        self.table = BlockTable()
        self.stores = True
        self.waiting: list[Deferred[None]] = []

    def committed(self) -> Deferred[None] | None:
        if self.stores:
            self.table.take_unsaved()
        if not self.table.has_unsaved:
            return None
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def store(self) -> None:
        self.table.take_unsaved()
        waiting, self.waiting = self.waiting, []
        for one in waiting:
            one.callback(None)


def message_frame(
    seq: int, peer_id: int = TEAM, text: str = "hi", sender_id: int = FRIEND, self_id: int = SELF
) -> bytes:
    """A frame of a message in a group."""
    data = {
        "message_scene": "group", "peer_id": peer_id, "message_seq": seq, "sender_id": sender_id, "time": 1,
        "segments": [{"type": "text", "data": {"text": text}}],
        "group": {"group_id": peer_id, "group_name": "g", "member_count": 1, "max_member_count": 2},
        "group_member": {
            "user_id": sender_id, "nickname": "n", "sex": "unknown", "group_id": peer_id, "card": "",
            "title": "", "level": 1, "role": "member", "join_time": 0, "last_sent_time": 0,
        },
    }  # fmt: skip
    frame = {"event_type": "message_receive", "time": 1, "self_id": self_id, "data": data}
    return json.dumps(frame).encode()


class MilkyTestCase(SynchronousTestCase):
    """An account with a link, which is not open yet, and a bot that subscribes to its events."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.scheduler = FlushScheduler(self.clock)
        self.account = Account(SELF, self.clock, self.clock.seconds, scheduler=self.scheduler)
        self.bot = FakeConnection()
        self.account.subscribe(self.bot, MessageFormat.AS_IS, bytes)
        self.log: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        self.web, self.stream = FakeWebClient(), FakeStream()
        self.ids, self.back_fill = FakeIds(), FakeBackFill()
        web: Any = self.web
        self.api = ApiClient(
            SELF,
            "http://h/p",
            "T",
            web,
            Limits,
            on_unauthorised=lambda reason: self.link.unauthorised(reason),
            on_login=lambda logged_in: self.link.login_seen(logged_in),
        )
        recent = Recent()
        self.link: Any = MilkyLink(
            self.account,
            "http://h/p/",
            self.api,
            self.ids,
            EventTranslator(SELF, self.ids.table, recent, wants_own=False),
            recent=recent,
            limits=Limits,
            scheduler=self.scheduler,
        )
        verifyObject(IAccountLink, self.link)
        self.link.stream, self.link.back_fill = self.stream, self.back_fill
        self.web.instantly = {
            "get_login_info": {"uin": SELF, "nickname": "Robot"},
            "get_impl_info": {"impl_name": "Fake", "impl_version": "1", "milky_version": "1.3"},
        }
        self.answers: dict[int, list[dict[str, Any]]] = {}
        self.calls: list[InternalCall] = []

    def ask(self, action: str, caller: str = "bot", **params: Any) -> int:
        """Send an action for a bot; its number, by which its answers are in ``answers``."""
        number = len(self.calls)
        answers = self.answers[number] = []
        call = InternalCall(action, lambda one, _last: answers.append(json.loads(one)), caller=caller)
        self.calls.append(call)
        self.account.call(call, json.dumps(params).encode())
        return number

    def say(self, group_id: int = TEAM, text: str = "x") -> int:
        return self.ask("send_group_msg", group_id=group_id, message=text)

    def retcodes(self, *numbers: int) -> list[list[int]]:
        return [[one["retcode"] for one in self.answers[number]] for number in numbers]

    def read(self, *frames: bytes) -> None:
        """Hand over frames that came in one read."""
        outermost = self.scheduler.begin_read()
        for frame in frames:
            self.link.frame(frame)
        if outermost:
            self.scheduler.read_ended()

    def seqs(self) -> list[int]:
        """The sequence numbers of the messages that the bot got."""
        return [json.loads(frame)["message_seq"] for frame in self.bot.frames]

    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.log]
