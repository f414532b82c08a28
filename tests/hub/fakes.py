"""A link and a bot connection that write down what they get, checked against their interfaces."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer
from zope.interface.verify import verifyObject

from lgtwist.hub.account import Account
from lgtwist.hub.interfaces import IAccountLink, IBotConnection


@implementer(IAccountLink)
class FakeLink:
    """Keeps what is sent; answers when it is told to, or at once with ``instantly``."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.sent: list[tuple[int, str, bytes]] = []
        self.instantly: bytes | None = None

    def send(self, call_id: int, action: str, params: bytes) -> None:
        self.sent.append((call_id, action, params))
        if self.instantly is not None:
            self.account.answered(call_id, self.instantly)

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

    def deliver(self, frame: bytes) -> None:
        if self.fails:
            raise OSError
        self.frames.append(frame)


verifyObject(IBotConnection, FakeConnection())


def checked_link(account: Account) -> Any:
    """A fake link that is really one."""
    link = FakeLink(account)
    verifyObject(IAccountLink, link)
    return link
