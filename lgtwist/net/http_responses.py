"""Answering HTTP requests with a sentence, JSON, or bytes."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.web.http import RESPONSES
from twisted.web.server import Request

from lgtwist.onebot import responses

#: Reason phrases that Twisted does not know.
_PHRASES = {426: b"Upgrade Required", 431: b"Request Header Fields Too Large"}

#: Bytes of an answer that is given to a client for which too much is held already.
_SHORT_ANSWER = 4_096
#: The retcode beside an HTTP status, where an action was asked for; 1400 beside those below 500.
RETCODES = {500: 1500, 503: 1429}

Headers = tuple[tuple[str, str], ...]


def refusal(status: int, sentence: str, retcode: int | None = None, headers: Headers = ()) -> bytes:
    """Return a whole HTTP answer, after which the connection is closed.

    :param retcode: of the JSON body; None for a line of text.
    """
    if retcode is None:
        kind, body = "text/plain; charset=utf-8", sentence.encode("utf-8", "replace") + b"\n"
    else:
        kind, body = "application/json", responses.failed(retcode, sentence) + b"\n"
    phrase = (_PHRASES.get(status) or RESPONSES.get(status, b"Refused")).decode()
    lines = (
        ("Server", "lgtwist"),
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
        *headers,
    )
    head = f"HTTP/1.1 {status} {phrase}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
    return head.encode() + b"\r\n" + body


def respond(request: Request, status: int, sentence: str, headers: Headers = ()) -> None:
    """Answer with a line of plain text, and end the request; with JSON where an action failed with 5xx."""
    if status >= 500 and getattr(request, "is_action", False):
        body = responses.failed(RETCODES.get(status, 1500), sentence) + b"\n"
        respond_with_bytes(request, status, "application/json", body, headers)
        return
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
    if len(body) > _SHORT_ANSWER and getattr(request, "over_budget", False):
        status, kind, headers = 503, "text/plain; charset=utf-8", (("Retry-After", "3"),)
        body = b"the answer is dropped: too much is held for this client already (peer_memory)\n"
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


def body_was_read(request: Request) -> None:
    """Let the body of a request go, and count it no more: whoever has read it counts what is held of it."""
    getattr(request, "release_body", lambda: None)()
