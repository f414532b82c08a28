"""Answering HTTP requests with a sentence, JSON, or bytes."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.web.http import RESPONSES
from twisted.web.server import Request

from lgtwist.net.twisted_private import send_now
from lgtwist.onebot import responses
from lgtwist.onebot.responses import first_part

#: Reason phrases that Twisted does not know.
_PHRASES = {426: b"Upgrade Required", 431: b"Request Header Fields Too Large"}

#: Bytes of an answer that is given to a client for which too much is held already.
_SHORT_ANSWER = 4_096
#: The retcode beside an HTTP status, where an action was asked for; 1400 beside all others.
_RETCODES_BESIDE = {401: 1401, 403: 1403, 404: 1404, 500: 1500, 503: 1429}

Headers = tuple[tuple[str, str], ...]


def refusal(status: int, sentence: str, is_action: bool = False, headers: Headers = ()) -> bytes:
    """Return a whole HTTP answer, after which the connection is closed.

    :param is_action: whether an action was asked for: then the body is JSON, else a line of text.
    """
    kind, body = _sentence_body(status, sentence, is_action)
    phrase = (_PHRASES.get(status) or RESPONSES.get(status, b"Refused")).decode()
    lines = (
        ("Server", "lgtwist"),
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
        *headers,
    )
    head = f"HTTP/1.1 {status} {phrase}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
    return head.encode() + b"\r\n" + body


def _sentence_body(status: int, sentence: str, is_action: bool) -> tuple[str, bytes]:
    """Return the content type and the body of an answer that is a sentence."""
    if is_action:
        return "application/json", responses.failed(_RETCODES_BESIDE.get(status, 1400), sentence) + b"\n"
    return "text/plain; charset=utf-8", sentence.encode("utf-8", "replace") + b"\n"


def respond(
    request: Request, status: int, sentence: str, headers: Headers = (), *, logged: bool = False
) -> None:
    """Answer with a sentence, and end the request.

    It is a line of plain text; where an action is refused it is a response in JSON (OneBot 11,
    ``communication/http.md``), and the refusal is logged.

    :param logged: whether it was logged already.
    """
    is_action = status >= 400 and getattr(request, "is_action", False)
    if is_action and not logged:
        log_refusal(request, status, sentence)
    respond_with_bytes(request, status, *_sentence_body(status, sentence, is_action), headers)


def log_refusal(request: Any, status: int, sentence: str) -> None:
    """Log that a request is refused, unless that was logged a moment ago."""
    getattr(request, "log_refusal", lambda *_what: None)(status, sentence)


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
        status, headers = 503, (("Retry-After", "3"),)
        sentence = "the answer is dropped: too much is held for this client already (peer_memory)"
        kind, body = _sentence_body(status, sentence, getattr(request, "is_action", False))
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


def reset(request: Request, kind: str, body: bytes, cut: bool) -> None:
    """Reset the connection of a request in place of an answer; do nothing if its client is gone.

    :param kind: the content type.
    :param cut: whether the head of the answer and the first half of its body are sent before.
    """
    channel = getattr(request, "channel", None)
    if channel is None or request.finished:
        return
    if cut:
        head = (
            f"HTTP/1.1 200 OK\r\nServer: lgtwist\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        send_now(channel.transport, head.encode() + first_part(body))
    channel.abort()


def body_was_read(request: Request) -> None:
    """Let the body of a request go, and count it no more: whoever has read it counts what is held of it."""
    getattr(request, "release_body", lambda: None)()
