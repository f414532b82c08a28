"""The HTTP API: actions by GET and POST (OneBot 11, ``communication/http.md``)."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection
from typing import Any

import msgspec
from twisted.web.server import Request

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.net.http_responses import (
    Headers,
    body_was_read,
    log_refusal,
    reset,
    respond,
    respond_with_bytes,
)
from lgtwist.onebot import rawjson
from lgtwist.onebot.action import ActionRequest
from lgtwist.onebot.bounds import MAX_ESCAPE_SEQUENCES, MAX_FIELDS, MAX_FORM, has_too_many_values
from lgtwist.onebot.dialect import means_unknown_action
from lgtwist.onebot.errors import BadRequest
from lgtwist.onebot.responses import read_response_head

#: Content types of parameters.
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
#: Names of UTF-8, and of a part of it.
_CHARSETS = ("", "utf-8", "utf8", "us-ascii", "ascii")
#: A parameter that is none: it is for lgtwist, not for the account.
_TOKEN = "access_token"  # noqa: S105
#: Parameters whose value may be an array or an object.
_STRUCTURED = frozenset(("message", "messages", "context", "operation", "anonymous", "news"))
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_body = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
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
        allowed = self.cors_headers(request)
        if not allowed:
            respond(request, 405, "only GET and POST", _ALLOWED)
            return
        headers = (
            *allowed,
            ("Access-Control-Allow-Methods", "GET, POST"),
            ("Access-Control-Allow-Headers", "Authorization, Content-Type"),
            ("Access-Control-Max-Age", "600"),
        )
        respond_with_bytes(request, 204, "text/plain", b"", headers)

    def cors_headers(self, request: Request) -> Headers:
        """Return the headers that let a web page read the answer to a request (CORS); none if it may not."""
        origins = request.requestHeaders.getRawHeaders("origin", ())
        if len(origins) != 1 or origins[0] not in self.allowed_origins:
            return ()
        return (("Access-Control-Allow-Origin", origins[0]), ("Vary", "Origin"))

    def perform(self, request: Request, bot: Bot, account: Account, action: str) -> None:
        """Carry out an action of a bot, and answer with its response; cancel it if the client disconnects.

        The parameters are read once the bot may use the action now.
        """
        if request.method not in (b"GET", b"POST"):
            respond(request, 405, "only GET and POST", _ALLOWED)
            return
        in_flight: set[PendingAction] = set()

        def break_off(response: bytes, cut: bool) -> None:
            reset(request, _JSON, response, cut)

        forget = bot.add_http_calls(in_flight, break_off)

        def cancel_pending(_reason: object) -> None:
            forget()
            for pending in tuple(in_flight):
                pending.cancel()

        request.notifyFinish().addBoth(cancel_pending)

        unreadable = False

        def read_params() -> bytes:
            nonlocal unreadable
            try:
                params = _read_params(request)
            except BadRequest as error:
                bot.counters.bad_requests += 1
                unreadable = True
                log_refusal(request, 400, error.sentence)
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


def _read_params(request: Request) -> bytes:
    """Return the parameters of a request, from its query and its body, as one JSON object; the body's win.

    :raises UnsupportedType: if the content type of the body is not supported.
    :raises BadRequest: if they cannot be read.
    """
    query = request.uri.partition(b"?")[2]
    params = _read_urlencoded(query) if query else {}
    content: Any = request.content
    body: bytes = content.read() if content is not None else b""
    if not body:
        return msgspec.json.encode(params)
    if _content_type(request, body) == _FORM and not _is_object(body):  # "curl -d" says so of JSON too
        return msgspec.json.encode({**params, **_read_urlencoded(body.strip())})
    return _add_lacking(params, _json_object(body))


def _content_type(request: Request, body: bytes) -> str:
    """Return the content type of a body.

    :raises UnsupportedType: if it is another than those two, or not in UTF-8.
    """
    types = request.requestHeaders.getRawHeaders("content-type", [])
    if types and types[-1] in (_JSON, _FORM):  # as most programs send it
        return types[-1]
    kind, *options = (types[-1] if types else "").lower().split(";")
    charset = ""
    for option in options:
        name, _equals, value = option.partition("=")
        if name.strip() == "charset":
            charset = value.strip(" \t\"'")
    kind = kind.strip()
    if kind in (_JSON, _FORM) and charset in _CHARSETS:
        return kind
    sentence = f"Content-Type must be {_JSON} or {_FORM}, in UTF-8"
    if body.lstrip()[:1] == b"{":
        sentence += f'; for this body send "Content-Type: {_JSON}"'
    raise UnsupportedType(sentence)


def _read_urlencoded(text: bytes) -> dict[str, str | msgspec.Raw]:
    """Return urlencoded parameters, without ``access_token``; of equal names the last counts.

    Values are strings, but those of some parameters are JSON where they are JSON arrays or objects. UTF-8
    that is not escaped is read as it is.

    :raises BadRequest: if they are not UTF-8, or over a bound; the sentence names it.
    """
    for number, bound, what in (
        (len(text), MAX_FORM, "bytes"),
        (text.count(b"%") + text.count(b"\\"), MAX_ESCAPE_SEQUENCES, "percent escapes and backslashes"),
        (text.count(b"&") + 1, MAX_FIELDS, "fields"),
    ):
        if number > bound:
            raise BadRequest(f"a form may have {bound} {what}; send large parameters as {_JSON}")
    params: dict[str, str | msgspec.Raw] = {}
    for pair in text.split(b"&"):
        raw_name, equals, raw_value = pair.partition(b"=")
        name, value = _unquote(raw_name), _unquote(raw_value)
        if equals:
            name = name.removeprefix("amp;")  # of a link that was copied from the text of a page
        if name != _TOKEN:
            params[name] = _json_or_text(value) if name in _STRUCTURED else value
    return params


def _json_or_text(value: str) -> str | msgspec.Raw:
    """Return a value as JSON if it is a JSON array or object; if not, as it is."""
    if value.lstrip()[:1] not in ("[", "{"):
        return value
    encoded = value.encode()
    try:
        rawjson.decode_leniently(_decode_raw, encoded)
    except rawjson.DECODE_ERRORS:
        return value  # "[CQ:face,id=1]", or a text
    return msgspec.Raw(encoded)


def _add_lacking(params: dict[str, str | msgspec.Raw], body: bytes) -> bytes:
    """Return the members of ``body`` without ``access_token``, with the parameters that it lacks, as JSON.

    :param body: one JSON object without white space around it.
    :raises BadRequest: if it has too many values.
    """
    try:
        if b"access_token" in body:
            token = rawjson.member(body, _TOKEN)
            if token:
                body = rawjson.remove_key(body, _TOKEN, token)
        if not params:
            return body
        if has_too_many_values(body):
            raise ValueError(
                "too many values to be joined with the parameters of a query; send all in the body"
            )
        given = rawjson.decode_leniently(_decode_body, body)
    except rawjson.DECODE_ERRORS as error:
        raise BadRequest(f"the body cannot be read: {error}") from None
    lacking = {name: value for name, value in params.items() if name not in given}
    if not lacking:
        return body
    return b"".join((msgspec.json.encode(lacking)[:-1], b"," if given else b"", body[1:].lstrip()))


_NOT_URLENCODED = "the parameters are not urlencoded UTF-8 (GBK, perhaps, of a Windows console)"
#: JSON without parameters: what PHP writes for an empty array, and what stands for "not given".
_EMPTY_BODY = re.compile(rb"\s*(?:\[\s*\]|null)?\s*")
#: A per cent sign that is no escape.
_BARE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")
#: Bytes of a name or value that may have such signs; they are kept as they are.
_LENIENT_LENGTH = 262_144
#: Bytes that are unescaped at once: what is made of them stays in the processor's cache.
_CHUNK = 65_536
_PLUS_TO_SPACE = bytes.maketrans(b"+", b" ")


def _unquote(text: bytes) -> str:
    """Return a urlencoded name or value as text, in a few passes of C over it.

    :raises BadRequest: if it is not UTF-8, or long with per cent signs that are no escapes.
    """
    try:
        if b"%" not in text:
            return text.translate(_PLUS_TO_SPACE).decode()
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


def _is_object(body: bytes) -> bool:
    """Return whether a body is one JSON object."""
    if body.lstrip()[:1] != b"{":
        return False
    try:
        _json_object(body)
    except BadRequest:
        return False
    return True


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
        with contextlib.suppress(ValueError):
            repaired = rawjson.repair(body, constants=False)
            if repaired is not body:
                return _json_object(repaired)
        if _EMPTY_BODY.fullmatch(body):
            return b"{}"
        raise BadRequest(f"the body must be a JSON object: {error}") from None
    return body.strip()
