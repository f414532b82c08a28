"""Answering HTTP requests with a sentence, JSON, or bytes."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.web.server import Request

#: Reason phrases that Twisted does not know.
_PHRASES = {426: b"Upgrade Required"}

Headers = tuple[tuple[str, str], ...]


def respond(request: Request, status: int, sentence: str, headers: Headers = ()) -> None:
    """Answer with a line of plain text, and end the request."""
    respond_with_bytes(
        request, status, "text/plain; charset=utf-8", sentence.encode("utf-8", "replace") + b"\n", headers
    )


def respond_with_json(request: Request, status: int, value: Any) -> None:
    """Answer with JSON, and end the request."""
    respond_with_bytes(request, status, "application/json", msgspec.json.encode(value) + b"\n")


def respond_with_bytes(request: Request, status: int, kind: str, body: bytes, headers: Headers = ()) -> None:
    """Answer, and end the request; do nothing if its client is gone.

    After a refusal the connection closes too: bytes behind the request must not be read as another one. So it
    does where the channel is to close for other reasons.

    :param kind: the content type.
    """
    # Twisted deletes the channel of a finished request.
    if getattr(request, "channel", None) is None or request.finished:
        return
    request.setResponseCode(status, _PHRASES.get(status))
    for name, value in headers:
        request.responseHeaders.setRawHeaders(name, [value])
    request.responseHeaders.setRawHeaders("X-Content-Type-Options", ["nosniff"])
    if status != 204:
        request.responseHeaders.setRawHeaders("Content-Type", [kind])
        request.responseHeaders.setRawHeaders("Content-Length", [str(len(body))])
    if status in (401, 403, 503) or request.requestHeaders.hasHeader("upgrade"):
        request.channel.persistent = False
    if not request.channel.persistent:
        request.responseHeaders.setRawHeaders("Connection", ["close"])
    if request.method != b"HEAD":
        request.write(body)
    request.finish()
