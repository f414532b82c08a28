"""Ordinary HTTP answers, as sentences that a person can read."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.web.server import Request


def say(request: Request, status: int, sentence: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
    """Answer with a line of plain text, and end the request. After an error the connection closes too."""
    _finish(request, status, "text/plain; charset=utf-8", sentence.encode() + b"\n", headers)


def say_json(request: Request, status: int, value: Any) -> None:
    """Answer with JSON, and end the request."""
    _finish(request, status, "application/json", msgspec.json.encode(value) + b"\n", ())


def _finish(
    request: Request, status: int, kind: str, body: bytes, headers: tuple[tuple[str, str], ...]
) -> None:
    if request.channel is None:  # the client is gone
        return
    request.setResponseCode(status)
    for name, value in headers:
        request.responseHeaders.setRawHeaders(name, [value])
    request.responseHeaders.setRawHeaders("Content-Type", [kind])
    request.responseHeaders.setRawHeaders("Content-Length", [str(len(body))])
    request.responseHeaders.setRawHeaders("X-Content-Type-Options", ["nosniff"])
    if status in (401, 403, 503) or request.requestHeaders.hasHeader("upgrade"):
        # What comes glued behind a refused handshake must not be read as a request.
        request.responseHeaders.setRawHeaders("Connection", ["close"])
        request.channel.persistent = False
    if request.method != b"HEAD":
        request.write(body)
    request.finish()
