"""Parameters of the sandbox's actions. A lone surrogate becomes U+FFFD, since the world is kept as UTF-8."""

from __future__ import annotations

from lgtwist.onebot.message import Segment
from lgtwist.onebot.params import ActionParams
from lgtwist.sandbox.bounds import CheckedMessage
from lgtwist.sandbox.segments import read_nodes, read_sent_message


class Params(ActionParams):
    """The ``params`` of one action, with its messages as a platform keeps them."""

    def message(self, name: str = "message") -> list[Segment]:
        """Return a message as segments; with the parameter ``auto_escape`` a string is plain text.

        One that cannot be sent is refused; see :func:`read_sent_message`. What was :meth:`set` is not read
        again.
        """
        value = self.value(name)
        if isinstance(value, CheckedMessage):
            return value
        return read_sent_message(value, f"{self._path}.{name}", self.boolean("auto_escape", False))

    def nodes(self) -> list[Segment]:
        """Return the nodes of a forwarded message: ``messages``, or ``message`` where that is not given.

        See :func:`read_nodes`.
        """
        name = "messages" if self.has("messages") or not self.has("message") else "message"
        value = self.value(name)
        if isinstance(value, CheckedMessage):
            return value
        return read_nodes(value, f"{self._path}.{name}")
