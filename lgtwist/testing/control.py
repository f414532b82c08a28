"""The HTTP interface of a sandbox account (docs/sandbox.md), as blocking calls of the standard library."""

from __future__ import annotations

import json
import socket
import threading
import weakref
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

#: Seconds that an answer may take, beyond those that the request itself waits.
ANSWER_LIMIT = 30.0


class SandboxError(Exception):
    """Something cannot be done in the sandbox; the argument is a sentence."""


class SandboxRefused(SandboxError):
    """The service refused a request; the argument is its sentence.

    :ivar status: the HTTP status.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def is_said_by_sentence(excinfo: Any) -> bool:
    """Return whether an error is one whose sentence says it all, for ``__tracebackhide__`` of pytest.

    :param excinfo: pytest's ``ExceptionInfo``; None if it has none.
    """
    return excinfo is not None and isinstance(excinfo.value, (SandboxError, AssertionError))


#: pytest leaves the frames of this module out of the traceback of such an error.
__tracebackhide__ = is_said_by_sentence


class SandboxClient:
    """Sends requests to one sandbox account. It may be used from several threads at a time.

    A connection is kept for the next request; requests at the same time have one each.

    :param url: the base of the service's HTTP interface, ``http://HOST:PORT``.
    :param self_id: the number of the account.
    :param admin_token: the ``admin_token`` of the service; empty for none.
    :param explain: returns what is added to the error where the service does not answer.
    """

    def __init__(
        self,
        url: str,
        self_id: int = 10001,
        *,
        admin_token: str = "",
        explain: Callable[[], str] = str,
    ) -> None:
        self.url, self.self_id = url.rstrip("/"), self_id
        self._address = urlsplit(self.url).netloc
        self._headers = {"Authorization": f"Bearer {admin_token}"} if admin_token else {}
        self._explain = explain
        self._idle: list[HTTPConnection] = []
        self._closed = False
        weakref.finalize(self, _close_all, self._idle)  # whoever forgets to close it is not warned of that
        self._lock = threading.Lock()

    # -- requests

    def get(self, path: str = "", *, seconds: float = 0.0, **query: object) -> Any:
        """Send a GET, and return the JSON of the answer.

        :param path: what stands behind ``/sandbox/{self_id}/``, or a whole path from ``/`` on.
        :param seconds: how long the service waits before it answers.
        :raises SandboxRefused: if the status is not 200.
        :raises SandboxError: if the service does not answer.
        """
        return json.loads(self.get_bytes(path, seconds=seconds, **query))

    def get_bytes(self, path: str = "", *, seconds: float = 0.0, **query: object) -> bytes:
        """Send a GET, and return the body of the answer; see :meth:`get`."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._request("GET", f"{path}?{urlencode(given)}" if given else path, None, seconds)

    def post(self, path: str, body: Mapping[str, object] | bytes | None = None) -> Any:
        """Send a POST, and return the JSON of the answer.

        :param path: as for :meth:`get`; ``say`` for example.
        :param body: what is sent as JSON, or bytes that are sent as they are. What is None in it is left out.
        :raises SandboxRefused: if the status is not 200.
        :raises SandboxError: if the service does not answer.
        """
        if not isinstance(body, bytes):
            given = {name: value for name, value in (body or {}).items() if value is not None}
            body = json.dumps(given).encode()
        return json.loads(self._request("POST", path, body))

    def put(self, path: str, body: bytes) -> Any:
        """Send a PUT, and return the JSON of the answer; see :meth:`post`."""
        return json.loads(self._request("PUT", path, body))

    def _request(self, method: str, path: str, body: bytes | None, seconds: float = 0.0) -> bytes:
        path = path if path.startswith("/") else f"/sandbox/{self.self_id}/{path}"
        connection = self._take_connection()
        reused = connection.sock is not None
        connection.timeout = seconds + ANSWER_LIMIT
        try:
            if connection.sock is None:
                connection.connect()  # with TCP_NODELAY
            else:
                connection.sock.settimeout(connection.timeout)
            connection.request(method, path, body, self._headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as error:
            connection.close()
            if reused and method != "POST" and isinstance(error, ConnectionError):
                # It was closed when this request was on its way. A POST may have been carried out, and is not
                # repeated (RFC 9110, section 9.2.2).
                return self._request(method, path, body, seconds)
            reason = str(error) or type(error).__name__
            raise SandboxError(f"lgtwist at {self.url} does not answer: {reason}{self._explain()}") from error
        except BaseException:
            connection.close()
            raise
        with self._lock:
            keep = not self._closed
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()
        if answer.status != 200:
            raise SandboxRefused(answer.status, _sentence_of(content, answer.status))
        return content

    def _take_connection(self) -> HTTPConnection:
        """Return a connection that nobody uses: one that is still up, or a new one."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return HTTPConnection(self._address)
            if connection.sock is not None and not _is_closed(connection.sock):
                return connection
            connection.close()

    def close(self) -> None:
        """Close the connections that are kept, and keep none from now on."""
        with self._lock:
            self._closed = True
            _close_all(self._idle)

    def __enter__(self) -> SandboxClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- what is asked most

    def overview(self) -> dict[str, Any]:
        """Return the people, the groups, the open requests, and the number of the newest message."""
        return dict(self.get(""))

    def transcript(self, after: int = 0, wait: float = 0.0) -> dict[str, Any]:
        """Return what was said after a message.

        :param after: the message's number.
        :param wait: seconds to wait at most while there is nothing.
        """
        return dict(self.get("transcript", seconds=wait, after=after, wait=_seconds(wait)))

    def log(self, after: int | None = None, wait: float = 0.0) -> dict[str, Any]:
        """Return what happened after an entry of the log; without ``after`` the number of the newest one."""
        return dict(self.get("log", seconds=wait, after=after, wait=_seconds(wait)))

    def actions(self, after: int | None = None, wait: float = 0.0) -> dict[str, Any]:
        """Return which actions bots called after an entry; without ``after`` the number of the newest one."""
        return dict(self.get("actions", seconds=wait, after=after, wait=_seconds(wait)))

    def store(self, content: bytes, name: str = "") -> str:
        """Store a file, and return what names it in segments and in ``upload``."""
        return str(self.post(f"media?name={quote(name)}", content)["file"])

    def connected_bots(self) -> dict[str, int]:
        """Return how many connections each configured bot has, by its name."""
        found = {}
        for line in self.get_bytes("/metrics").decode().splitlines():
            if line.startswith('lgtwist_bot_connections{bot="'):
                label, _, value = line.rpartition("} ")
                name = label.partition('="')[2].removesuffix('"')
                found[name.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")] = int(float(value))
        return found


def _close_all(connections: list[HTTPConnection]) -> None:
    """Close connections, and remove them from their list."""
    while connections:
        connections.pop().close()


def _seconds(wait: float) -> str | None:
    """Return a ``wait`` of the query; None for none."""
    return f"{wait:.3f}" if wait > 0 else None


def _is_closed(connection: socket.socket) -> bool:
    """Return whether the service has closed an idle connection, or written to it."""
    connection.settimeout(0)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _sentence_of(content: bytes, status: int) -> str:
    """Return the sentence of an answer that is not 200."""
    try:
        answer = json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace").strip()[:1000] or f"HTTP status {status}"
    if isinstance(answer, dict):
        for name in ("message", "error"):
            if answer.get(name):
                return str(answer[name])
    return f"HTTP status {status}: {content[:1000].decode('utf-8', 'replace')}"
