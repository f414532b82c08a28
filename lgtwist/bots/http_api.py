"""The HTTP API: actions by GET and POST (OneBot 11, ``communication/http.md``)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from twisted.web.server import Request

from lgtwist.hub.account import Account
from lgtwist.hub.bot import Bot, PendingAction
from lgtwist.net.http_responses import body_was_read, respond, respond_with_bytes
from lgtwist.onebot import rawjson, responses
from lgtwist.onebot.action import ActionRequest
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
        """Carry out an action of a bot, and answer with its response; cancel it if the client disconnects."""
        if request.method not in (b"GET", b"POST"):
            respond(request, 405, "only GET and POST", _ALLOWED)
            return
        self._allow_origin(request)
        try:
            params = _query_params(request) if request.method == b"GET" else _body_params(request)
        except UnsupportedType as error:
            respond(request, 406, str(error))
            return
        except BadRequest as error:
            bot.counters.bad_requests += 1
            respond_with_bytes(request, 400, _JSON, responses.from_error(error))
            return
        body_was_read(request)  # the bot counts what is held of the call
        in_flight: set[PendingAction] = set()

        forget = bot.add_http_calls(in_flight)

        def cancel_pending(_reason: object) -> None:
            forget()
            for pending in tuple(in_flight):
                pending.cancel()

        request.notifyFinish().addBoth(cancel_pending)

        def reply(response: bytes, last: bool) -> None:
            if last:  # of an action that streams, only the last response is sent
                unknown = b"failed" in response and means_unknown_action(
                    account.dialect, read_response_head(response)
                )
                respond_with_bytes(request, 404 if unknown else 200, _JSON, response)

        bot.perform(account, ActionRequest(action, params, None), reply, in_flight)


def _query_params(request: Request) -> bytes:
    _path, _mark, query = request.uri.partition(b"?")
    return _read_urlencoded(query, besides="access_token")


def _read_urlencoded(text: bytes, besides: str = "") -> bytes:
    """Return urlencoded parameters as a JSON object of strings; of equal names the last counts.

    :param besides: a name that is left out.

    :raises BadRequest: if they are not UTF-8, or too many.
    """
    try:
        pairs = parse_qsl(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError:
        raise BadRequest("the parameters are not urlencoded UTF-8, or more than 1000") from None
    return msgspec.json.encode({name: value for name, value in pairs if name != besides})


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
        text = body.decode()
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    try:
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except rawjson.DECODE_ERRORS:
        try:
            rawjson.read_members(text)
        except RecursionError:
            raise BadRequest("the body is nested too deeply") from None
        except rawjson.DECODE_ERRORS as error:
            raise BadRequest(f"the body must be a JSON object: {error}") from None
    return body.strip()
