"""A link and a bot connection that write down what they get, checked against their interfaces."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import IAccountLink, IBotConnection
from lgtwist.websocket.framing import Frames


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
        self.ended: tuple[str, bool] | None = None
        self.sent: list[tuple[int, str, bytes]] = []
        self.instantly: bytes | None = None

    def send(self, call_id: int, action: str, params: bytes) -> None:
        introduction = self.introductions.pop(action, None)
        if introduction is not None:
            self.account.answered(call_id, introduction)
            return
        self.sent.append((call_id, action, params))
        if self.instantly is not None:
            self.account.answered(call_id, self.instantly)

    def has_taken(self, _mark: object) -> bool:
        return True

    def forget(self, call_id: int) -> None:
        self.forgotten.append(call_id)

    def end(self, reason: str, refused: bool) -> None:
        self.ended = (reason, refused)

    def answer(self, which: int, response: bytes) -> None:
        self.account.answered(self.sent[which][0], response)

    def actions(self) -> list[str]:
        return [action for _id, action, _params in self.sent]


@implementer(IBotConnection)
class FakeConnection:
    """Keeps what is delivered."""

    def __init__(self, fails: bool = False) -> None:
        self.frames: list[bytes] = []
        self.fails = fails

    def deliver(self, frames: Frames) -> None:
        if self.fails:
            raise OSError
        self.frames += frames.each


verifyObject(IBotConnection, FakeConnection())


def checked_link(account: Account) -> Any:
    """A fake link that is really one."""
    link = FakeLink(account)
    verifyObject(IAccountLink, link)
    return link
