"""The HTTP API: actions by GET and POST (OneBot 11, ``communication/http.md``)."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import msgspec
from twisted.web.server import Request

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.net.http_responses import body_was_read, respond, respond_with_bytes
from lgtwist.onebot import rawjson
from lgtwist.onebot.action import ActionRequest
from lgtwist.onebot.bounds import MAX_ESCAPE_SEQUENCES, MAX_FIELDS, MAX_FORM
from lgtwist.onebot.dialect import means_unknown_action
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.responses import read_response_head

#: Content types of parameters.
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
#: The header of 405.
_ALLOWED = (("Allow", "GET, POST"),)


class UnsupportedType(Exception):
    """The content type of a body is not supported; the argument is a sentence that names those that are."""


class HttpApi:
    """Answers actions over HTTP.

    :ivar allowed_origins: web pages of these origins may read the answers (CORS); may be replaced.
    """

    def __init__(self, allowed_origins: Collection[str] = ()) -> None:
        self.allowed_origins = allowed_origins

    def preflight(self, request: Request) -> None:
        """Answer a preflight request (CORS): 204 to allowed origins, 405 to others."""
        if not self._allow_origin(request):
            respond(request, 405, "only GET and POST", _ALLOWED)
            return
        headers = (
            ("Access-Control-Allow-Methods", "GET, POST"),
            ("Access-Control-Allow-Headers", "Authorization, Content-Type"),
            ("Access-Control-Max-Age", "600"),
        )
        respond_with_bytes(request, 204, "text/plain", b"", headers)

    def _allow_origin(self, request: Request) -> bool:
        """Return whether a request's origin is an allowed one; if so, add the headers that say so (CORS)."""
        origins = request.requestHeaders.getRawHeaders("origin", [])
        if len(origins) != 1 or origins[0] not in self.allowed_origins:
            return False
        request.responseHeaders.setRawHeaders("Access-Control-Allow-Origin", origins)
        request.responseHeaders.setRawHeaders("Vary", ["Origin"])
        return True

    def perform(self, request: Request, bot: Bot, account: Account, action: str) -> None:
        """Carry out an action of a bot, and answer with its response; cancel it if the client disconnects.

        The parameters are read once the bot may use the action now.
        """
        if request.method not in (b"GET", b"POST"):
            respond(request, 405, "only GET and POST", _ALLOWED)
            return
        self._allow_origin(request)
        in_flight: set[PendingAction] = set()

        forget = bot.add_http_calls(in_flight)

        def cancel_pending(_reason: object) -> None:
            forget()
            for pending in tuple(in_flight):
                pending.cancel()

        request.notifyFinish().addBoth(cancel_pending)

        unreadable = False

        def read_params() -> bytes:
            nonlocal unreadable
            try:
                params = _query_params(request) if request.method == b"GET" else _body_params(request)
            except BadRequest:
                bot.counters.bad_requests += 1
                unreadable = True
                raise
            body_was_read(request)  # the bot counts what is held of the call
            return params

        def reply(response: bytes, last: bool) -> None:
            if unreadable:
                respond_with_bytes(request, 400, _JSON, response)
            elif last:  # of an action that streams, only the last response is sent
                unknown = b"failed" in response and means_unknown_action(
                    account.dialect, read_response_head(response)
                )
                respond_with_bytes(request, 404 if unknown else 200, _JSON, response)

        try:
            bot.perform(account, ActionRequest(action, b"{}", None), reply, in_flight, read_params)
        except UnsupportedType as error:
            respond(request, 406, str(error))


def _query_params(request: Request) -> bytes:
    _path, _mark, query = request.uri.partition(b"?")
    return _read_urlencoded(query, besides="access_token")


def _read_urlencoded(text: bytes, besides: str = "") -> bytes:
    """Return urlencoded parameters as a JSON object of strings; of equal names the last counts.

    :param besides: a name that is left out.
    :raises BadRequest: if they are not UTF-8, or over a bound; the sentence names it.
    """
    for number, bound, what in (
        (len(text), MAX_FORM, "bytes"),
        (text.count(b"%") + text.count(b"\\"), MAX_ESCAPE_SEQUENCES, "percent escapes and backslashes"),
        (text.count(b"&") + 1, MAX_FIELDS, "fields"),
    ):
        if number > bound:
            raise BadRequest(f"a form may have {bound} {what}; send large parameters as {_JSON}")
    if not text.isascii():
        raise BadRequest(_NOT_URLENCODED)
    params: dict[str, str] = {}
    for pair in text.split(b"&"):
        raw_name, _equals, raw_value = pair.partition(b"=")
        name, value = _unquote(raw_name), _unquote(raw_value)
        if name != besides:
            params[name] = value
    return msgspec.json.encode(params)


_NOT_URLENCODED = "the parameters are not urlencoded UTF-8"
#: A per cent sign that is no escape.
_BARE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
#: Bytes of a name or value that may have such signs; they are kept as they are.
_LENIENT_LENGTH = 262_144
#: Bytes that are unescaped at once: what is made of them stays in the processor's cache.
_CHUNK = 65_536
_PLUS_TO_SPACE = bytes.maketrans(b"+", b" ")


def _unquote(text: bytes) -> str:
    """Return a urlencoded name or value as text, in a few passes of C over it.

    :param text: of ASCII characters.
    :raises BadRequest: if it is not UTF-8, or long with per cent signs that are no escapes.
    """
    if b"%" not in text:
        return text.translate(_PLUS_TO_SPACE).decode("ascii")
    try:
        try:
            octets = _unescape(text)
        except UnicodeDecodeError:
            if len(text) > _LENIENT_LENGTH:
                raise
            octets = _unescape(_BARE_PERCENT.sub(b"%25", text))
        return octets.decode()
    except UnicodeDecodeError:
        raise BadRequest(_NOT_URLENCODED) from None


def _unescape(text: bytes) -> bytes:
    """Return the octets that a urlencoded name or value stands for, by way of Python's own escapes.

    :raises UnicodeDecodeError: if a per cent sign is no escape.
    """
    chunks: list[bytes] = []
    at = 0
    while at < len(text):
        end = at + _CHUNK
        while b"%" in text[end - 2 : end]:  # do not cut an escape in two
            end += 1
        chunk = text[at:end].translate(_PLUS_TO_SPACE).replace(b"\\", b"\\\\").replace(b"%", b"\\x")
        chunks.append(chunk.decode("unicode_escape").encode("latin-1"))
        at = end
    return b"".join(chunks)


def _body_params(request: Request) -> bytes:
    """Return the parameters of a POST as one JSON object.

    :raises UnsupportedType: if its content type is not known.
    :raises BadRequest: if it cannot be read as that type.
    """
    content: Any = request.content
    body: bytes = content.read() if content is not None else b""
    types = request.requestHeaders.getRawHeaders("content-type", [])
    if not types and not body:
        return b"{}"
    kind, _mark, options = (types[-1] if types else "").lower().partition(";")
    charset = options.partition("charset=")[2].partition(";")[0].strip(' "')
    if kind.strip() not in (_JSON, _FORM) or charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise UnsupportedType(f"Content-Type must be {_JSON} or {_FORM}, in UTF-8")
    if kind.strip() == _FORM:
        return _read_urlencoded(body.strip())
    return _json_object(body)


def _json_object(body: bytes) -> bytes:
    try:
        body.decode()
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    try:
        rawjson.check_object(body)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except rawjson.DECODE_ERRORS as error:
        raise BadRequest(f"the body must be a JSON object: {error}") from None
    return body.strip()
