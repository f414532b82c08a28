"""``/console/api/backup``: a backup of everything that lgtwist keeps, as a zip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.server import Request
from zope.interface import implementer

from lgtwist.console.access import Access
from lgtwist.console.interfaces import BackupFile, CannotBackUp, ServiceView
from lgtwist.console.problems import ApiProblem, read_object
from lgtwist.console.routing import RouteHandler
from lgtwist.runtime.logs import Logger
from lgtwist.web.authentication import address_of

#: Bytes that are read from the file at once.
_DOWNLOAD_PIECE = 131_072
#: The HTTP statuses of the reasons why there is none; 500 for others.
_STATUSES = {"backup_running": 409, "no_space": 507, "stopping": 503}


class BackupRoutes:
    """Answers ``GET backup`` and ``POST backup``.

    :param view: the running service, which makes it.
    :param access: asks for the token once more where secrets are wanted.
    :param clock: the reactor, or a clock in its place.
    """

    def __init__(self, view: ServiceView, access: Access, clock: IReactorTime) -> None:
        self._clock = clock
        self._view = view
        self._access = access

    def routes(self) -> Mapping[tuple[str, str], RouteHandler]:
        """Return the handlers."""
        return {("GET", "backup"): self._get, ("POST", "backup"): self._post}

    async def _get(self, request: Request, _rest: tuple[str, ...], _body: bytes) -> None:
        if request.method == b"HEAD":
            raise ApiProblem(405, "wrong_method", {"allowed": "GET, POST"}, "only GET and POST here")
        if request.args.get(b"secrets", [b"0"])[-1] not in (b"0", b"false", b""):
            sentence = 'secrets are asked for by POST with {"secrets": true, "token": "..."}'
            raise ApiProblem(403, "confirm_token", {}, sentence)
        await self._answer(request, secrets=False)

    async def _post(self, request: Request, _rest: tuple[str, ...], body: bytes) -> None:
        asked = read_object(body)
        secrets = asked.get("secrets", False)
        if not isinstance(secrets, bool):
            sentence = "secrets: expected true or false"
            raise ApiProblem(400, "bad_request", {"reason": sentence}, sentence)
        if secrets:
            await self._access.require_token(request, asked.get("token"))
        await self._answer(request, secrets=secrets)

    async def _answer(self, request: Request, *, secrets: bool) -> None:
        try:
            made = await self._view.backup(secrets, address_of(request))
        except CannotBackUp as problem:
            status = _STATUSES.get(problem.code, 500)
            raise ApiProblem(status, problem.code, {"reason": str(problem)}, str(problem)) from None
        _Download(request, made, self._clock).start()


@implementer(IPushProducer)
class _Download:
    """Sends a backup, as fast as it is read; what is not read waits in the file, not in memory."""

    _log = Logger()

    def __init__(self, request: Request, made: BackupFile, clock: IReactorTime) -> None:
        self._request = request
        self._made = made
        self._left = made.size
        self._is_paused = False
        self._clock = clock
        self._scheduled: IDelayedCall | None = None

    def start(self) -> None:
        """Send the head, then one piece after the other."""
        request, made = self._request, self._made
        if getattr(request, "channel", None) is None or request.finished:
            made.file.close()
            return
        headers = request.responseHeaders
        headers.setRawHeaders("Content-Type", ["application/zip"])
        headers.setRawHeaders("Content-Length", [str(made.size)])
        headers.setRawHeaders("Content-Disposition", [f'attachment; filename="{made.name}"'])
        headers.setRawHeaders("X-Content-Type-Options", ["nosniff"])
        request.notifyFinish().addBoth(lambda _ended: self.stopProducing())
        request.registerProducer(self, True)
        self._schedule()

    def pauseProducing(self) -> None:
        """Send no more for now."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """Send on, a piece in each turn of the reactor, until the connection has enough or all is sent."""
        self._is_paused = False
        self._schedule()

    def _schedule(self) -> None:
        # One piece in each turn: TLS says only in the next one that it has enough.
        if self._scheduled is None and not self._is_paused and not self._made.file.closed:
            self._scheduled = self._clock.callLater(0, self._send_piece)

    def _send_piece(self) -> None:
        self._scheduled = None
        file = self._made.file
        if self._is_paused or file.closed:
            return
        try:
            piece = file.read(min(_DOWNLOAD_PIECE, self._left))
        except OSError as error:
            self._log.error("a backup could not be read: {reason}", reason=error.strerror)
            piece = b""
        self._left -= len(piece)
        if piece:
            self._request.write(piece)
        if not piece or self._left <= 0:
            self._end()
        else:
            self._schedule()

    def _end(self) -> None:
        self._made.file.close()
        self._request.unregisterProducer()
        if self._left > 0:  # so that nobody takes it for a whole one
            channel: Any = self._request.channel
            channel.abort()
        else:
            self._request.finish()

    def stopProducing(self) -> None:
        """Send no more: the client is gone."""
        self._made.file.close()
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None


__all__ = ["BackupRoutes"]
