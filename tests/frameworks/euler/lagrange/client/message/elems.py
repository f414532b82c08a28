"""The stub's message elements."""

from __future__ import annotations

from pydantic import BaseModel


class BaseElem(BaseModel):
    """What all have."""

    text: str = ""

    @property
    def display(self) -> str:
        return self.text


class Text(BaseElem):
    """Words."""


class AtAll(BaseElem):
    """Everybody."""


class At(BaseElem):
    """Somebody."""

    uin: int = 0
    uid: str = ""


class Quote(BaseElem):
    """The message that is answered."""

    seq: int
    uin: int
    timestamp: int
    uid: str
    msg: str


class Image(BaseElem):
    """A picture."""

    url: str = ""
    is_emoji: bool = False
    size: int = 0


class Video(BaseElem):
    """Not sent."""


class Audio(BaseElem):
    """Not sent."""


class Emoji(BaseElem):
    """Not sent."""

    id: int = 0


class Reaction(BaseElem):
    """Not sent."""


class Poke(BaseElem):
    """Not sent."""


class MarketFace(BaseElem):
    """Not sent."""


class File(BaseElem):
    """Not sent."""


class MulitMsg(BaseElem):
    """Not sent. Its name is written so in the library."""
