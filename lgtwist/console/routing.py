"""What the handlers of ``/console/api/`` have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.server import Request

#: Answers a request: takes it with the segments behind the route, and its body; returns what is encoded as
#: JSON, bytes of JSON, a Deferred or a coroutine of these, or None where it has answered itself.
RouteHandler = Callable[[Request, tuple[str, ...], bytes], Any]
#: The methods of requests that change nothing.
READING = ("GET", "HEAD")
