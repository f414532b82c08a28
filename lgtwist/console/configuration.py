"""The configuration over the interface: read, checked, written; the reload, and the restart."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec
from twisted.web.server import Request

from lgtwist.console.access import Access
from lgtwist.console.interfaces import EditableConfiguration, ServiceView
from lgtwist.console.problems import ApiProblem, bad_request, nothing_here, read_object
from lgtwist.console.routing import RouteHandler
from lgtwist.runtime.tasks import shielded
from lgtwist.web.authentication import headers_of

#: Bytes of a token that is made; each three are four characters.
_MADE_TOKEN_BYTES = 24
#: Mistakes that a refused restart tells.
_MOST_MISTAKES = 20


class ConfigurationRoutes:
    """Answers the requests about the configuration.

    :param view: the running service.
    :param access: tells whether the token was shown lately.
    """

    def __init__(self, view: ServiceView, access: Access) -> None:
        self._view = view
        self._access = access

    def routes(self) -> Mapping[tuple[str, str], RouteHandler]:
        """Return the handlers."""
        return {
            ("GET", "config"): self._get,
            ("POST", "config"): self._post,
            ("PUT", "config"): self._put,
            ("POST", "reload"): self._reload,
            ("POST", "restart"): self._restart,
        }

    def _editor(self) -> EditableConfiguration:
        editor = self._view.configuration()
        if editor is None:
            raise ApiProblem(
                404, "no_such_path", {}, "this service was not started with a configuration file"
            )
        return editor

    async def _get(self, _request: Request, rest: tuple[str, ...], _body: bytes) -> Any:
        if rest:
            raise nothing_here()
        found = await self._editor().read()
        return {**found, "keys": msgspec.Raw(keys_json()), "waiting": self._view.waiting()}

    def _post(self, _request: Request, rest: tuple[str, ...], body: bytes) -> Any:
        if rest == ("token",):
            return {"token": secrets.token_urlsafe(_MADE_TOKEN_BYTES)}
        if rest == ("check",):
            asked = read_object(body)
            return shielded(self._editor().check(_text_member(asked, "etag"), _text_member(asked, "text")))
        if rest == ("edit",):
            asked = read_object(body)
            text = _text_member(asked, "text") if "text" in asked else None
            return shielded(self._editor().edit(_text_member(asked, "etag"), asked.get("edits"), text))
        raise nothing_here()

    async def _put(self, request: Request, rest: tuple[str, ...], body: bytes) -> Any:
        if rest:
            raise nothing_here()
        asked = read_object(body)
        etag, text, editor = _text_member(asked, "etag"), _text_member(asked, "text"), self._editor()
        await self._access.confirm(request, asked.get("token"))
        return await shielded(editor.save(etag, text, self._client(request)))

    def _client(self, request: Request) -> str:
        """Return who asks, for the log: a browser or a program, and from where."""
        visitor = self._access.visitor(request)
        kind = "a program with the admin token" if visitor is None or not visitor.session else "a browser"
        address = getattr(request.getClientAddress(), "host", None) or "a Unix socket"
        forwarded = " (through a proxy)" if "x-forwarded-for" in headers_of(request) else ""
        return f"{kind} at {address}{forwarded}"

    async def _reload(self, _request: Request, _rest: tuple[str, ...], _body: bytes) -> Any:
        outcome = await shielded(self._view.reload())
        return {
            "lines": outcome.lines,
            "changed": outcome.changed,
            "applied": outcome.applied,
            "waiting": self._view.waiting(),
        }

    async def _restart(self, request: Request, _rest: tuple[str, ...], body: bytes) -> Any:
        asked = read_object(body) if body.strip() else {}
        await self._access.confirm(request, asked.get("token"))
        editor = self._view.configuration()
        mistakes = [] if editor is None else await shielded(editor.mistakes())
        if mistakes:
            sentence = f"lgtwist would not start again: {mistakes[0]}"
            raise ApiProblem(409, "would_not_start", {"mistakes": mistakes[:_MOST_MISTAKES]}, sentence)
        how = self._view.restart()
        if how is None:
            raise ApiProblem(409, "cannot_restart", {}, "this service cannot restart itself")
        return {"how": how}


def _text_member(asked: dict[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str):
        raise bad_request(f"{name}: expected text")
    return value


@cache
def keys_json() -> bytes:
    """Return the help of every key of the configuration, in JSON."""
    source = (resources.files("lgtwist.console") / "keys.json").read_bytes()
    return msgspec.json.encode(msgspec.json.decode(source))
