"""A link and a bot connection that write down what they get, checked against their interfaces."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from lgtwist.config.limits import Limits
from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot
from lgtwist.hub.directory import Directory
from lgtwist.hub.edges import EdgeResources
from lgtwist.hub.interfaces import EncodedEvents, IAccountLink, IBotConnection
from lgtwist.hub.rate_limit import RateLimiters
from lgtwist.runtime.turns import FlushScheduler


@implementer(IAccountLink)
class FakeLink:
    """Keeps what is sent; answers when it is told to, or at once with ``instantly``.

    What it is asked at its opening is answered at once, and not kept.

    :ivar introductions: what it still says of itself: the actions it is asked, and its answers.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.introductions = {
            "get_login_info": b'{"status":"ok","retcode":0,"data":{"user_id":%d,"nickname":"Robot"}}'
            % account.self_id,
            "get_version_info": b'{"status":"ok","retcode":0,"data":{"app_name":"fake","app_version":"1"}}',
        }
        self.forgotten: list[int] = []
        self.closed: tuple[int, str] | None = None
        self.sent: list[tuple[int, str, bytes]] = []
        self.instantly: bytes | None = None
        self.is_paused = False

    def send(self, call_id: int, action: str, params: bytes) -> None:
        introduction = self.introductions.pop(action, None)
        if introduction is not None:
            self.account.receive(call_id, introduction)
            return
        self.sent.append((call_id, action, params))
        if self.instantly is not None:
            self.account.receive(call_id, self.instantly)

    def has_sent(self, flow_token: object) -> bool:
        return True

    def forget(self, call_id: int) -> None:
        self.forgotten.append(call_id)

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def answer(self, which: int, response: bytes) -> None:
        self.account.receive(self.sent[which][0], response)

    def actions(self) -> list[str]:
        return [action for _id, action, _params in self.sent]


@implementer(IBotConnection)
class FakeConnection:
    """Keeps what is delivered."""

    def __init__(self, fails: bool = False) -> None:
        self.frames: list[bytes] = []
        self.fails = fails
        self.dropped = 0

    def deliver(self, events: EncodedEvents) -> None:
        if self.fails:
            raise OSError
        self.frames += events.each

    def not_judged(self, events: int) -> None:
        """Note what is dropped."""
        self.dropped += events


verifyObject(IBotConnection, FakeConnection())


def checked_link(account: Account) -> Any:
    """A fake link that is really one."""
    link = FakeLink(account)
    verifyObject(IAccountLink, link)
    return link


def directory_of(accounts: Iterable[Account], bots: Iterable[Bot], threads: Any) -> Directory:
    """A directory that holds these, with the queues of ``_rate_limited``."""
    directory = Directory(threads)
    directory.observe(RateLimiters())
    for account in accounts:
        directory.add_account(account)
    for bot in bots:
        directory.add_bot(bot)
    return directory


def resources(clock: Any, limits: Limits | None = None, **others: Any) -> EdgeResources:
    """What an edge needs that has no socket."""
    given: dict[str, Any] = {
        "reactor": clock,
        "wall_clock": clock.seconds,
        "uniform": lambda low, _high: low,
        "limits": Limits() if limits is None else limits,
        "scheduler": FlushScheduler(clock),
        "server_factory": None,
        "client_factory": None,
        "data_dir": Path(),
        "private_files": tuple,
        "http_url": lambda: "http://127.0.0.1:8081",
    }
    return EdgeResources(**{**given, **others})
