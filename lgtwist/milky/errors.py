"""Failures that an implementation of Milky answers itself."""

from __future__ import annotations

from lgtwist.onebot.errors import OneBotError

#: The retcode of an account that is not logged in.
NOT_LOGGED_IN = -403
#: The retcodes of wrong parameters, and of what is not found.
BAD_PARAMS, NOT_FOUND = -400, -404


class CallFailed(OneBotError):
    """The implementation answered with ``status: failed``: its retcode and its words are passed on.

    :param retcode: Milky's own.
    :param words: its ``message``; a sentence of ours where it is empty.
    :param api: the API that was called.
    """

    def __init__(self, retcode: int, words: str, api: str) -> None:
        super().__init__(words or f"the implementation's {api} failed with retcode {retcode}")
        self.milky_retcode = retcode
        self.api = api

    @property
    def retcode(self) -> int:  # type: ignore[override]
        """The number that the bot reads."""
        return self.milky_retcode
