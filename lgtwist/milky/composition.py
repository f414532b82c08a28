"""What the parts share that make a bot's message into one of Milky."""

from __future__ import annotations

from typing import Any

from lgtwist.milky.fields import text_at
from lgtwist.milky.interfaces import ActionContext
from lgtwist.milky.keys import Conversation
from lgtwist.onebot.errors import AccountFailed, OverBound
from lgtwist.onebot.message import MessageReader

#: Nodes of one message, with those inside others.
MAX_NODES = 1_000
#: Calls to the implementation that one message may need before it is sent.
MAX_LOOKUPS = 200


class Composition:
    """One message that is made; the bounds count for all that is inside it.

    :param conversation: where it is sent.
    :param path: what it is called in errors.
    :ivar reader: reads contents of nodes.
    :ivar lookups: calls that it has needed.
    """

    __slots__ = ("_nodes", "context", "conversation", "lookups", "path", "reader")

    def __init__(self, conversation: Conversation, context: ActionContext, path: str) -> None:
        self.conversation = conversation
        self.context = context
        self.path = path
        self.reader = MessageReader(path)
        self._nodes = self.lookups = 0

    async def call(self, api: str, params: dict[str, Any]) -> dict[str, Any]:
        """Ask the implementation for something to send again; an answer that is no object is empty."""
        self.lookups += 1
        if self.lookups > MAX_LOOKUPS:
            raise OverBound(
                f"{self.path} has more than {MAX_LOOKUPS} messages, files and forwards to look up"
            )
        answer = await self.context.api.call(api, params)
        return answer if isinstance(answer, dict) else {}

    async def resource_url(self, resource_id: str) -> str:
        """Return a new URL for a resource of an incoming message.

        :raises AccountFailed: if the answer has none, as that of LLBot for kinds that it does not know.
        """
        answer = await self.call("get_resource_temp_url", {"resource_id": resource_id})
        url = text_at(answer, "url")
        if not url.startswith(("http://", "https://")):
            raise AccountFailed("the implementation's get_resource_temp_url has answered without a URL")
        return url

    def count_nodes(self, number: int) -> None:
        """Count nodes.

        :raises OverBound: if there are more than :data:`MAX_NODES`.
        """
        self._nodes += number
        if self._nodes > MAX_NODES:
            raise OverBound(f"{self.path} has more than {MAX_NODES} nodes")
