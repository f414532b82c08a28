"""Requests of commands to the running service's interface, with the admin token. They block."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from typing import Any

from attrs import frozen

from lgtwist.app.admin_token import CannotMakeToken, read_made_token
from lgtwist.app.configuration import Config
from lgtwist.app.configuration_file import ConfigurationFile
from lgtwist.app.health_check import askable_endpoint, connected

#: Seconds that connecting may take.
_CONNECT_LIMIT = 5.0
#: Bytes of an answer that are read.
_LONGEST_ANSWER = 8 << 20


class CannotAsk(Exception):
    """The running service cannot be asked; the argument is one sentence."""


@frozen
class RunningApi:
    """Where the running service is asked.

    :ivar endpoint: the endpoint string of its first endpoint that can be asked.
    :ivar base: what a relative path in it is relative to.
    """

    endpoint: str
    base: Path
    token: str

    @classmethod
    def find(cls, file: ConfigurationFile, config: Config) -> RunningApi:
        """Return where the service of a configuration is asked.

        :raises CannotAsk: if it cannot be.
        """
        running = f"data_dir {config.data_dir} is in use by a running lgtwist"
        if not config.console.enabled:
            raise CannotAsk(f"{running}, and its console is off: stop it, or set [console] enabled = true")
        endpoint = askable_endpoint(file)
        if endpoint is None:
            raise CannotAsk(
                f"{running}; {file.described} names no endpoint of tcp, ssl or unix that could be asked"
            )
        try:
            token = config.server.admin_token or read_made_token(Path(config.data_dir))
        except CannotMakeToken as error:
            raise CannotAsk(f"{running}, and its admin token is needed: {error}") from None
        if token is None:
            raise CannotAsk(f"{running}, and it has no admin token yet")
        return cls(endpoint, file.base, token)

    def ask(self, method: str, path: str, value: Any = None, *, patience: float) -> tuple[int, Any]:
        """Ask; return the status of the answer, and its JSON.

        :param path: below ``/console/api/``.
        :param value: the body; None for none.
        :param patience: seconds without a byte of the answer.
        :raises CannotAsk: if there is no answer that can be read.
        """
        body = b"" if value is None else json.dumps(value).encode()
        try:
            with connected(self.endpoint, self.base, time.monotonic() + _CONNECT_LIMIT) as connection:
                connection.settimeout(patience)
                connection.sendall(self.head(method, path, len(body)) + body)
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                return answer.status, json.loads(answer.read(_LONGEST_ANSWER))
        except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
            reason = getattr(error, "strerror", None) or error or type(error).__name__
            raise CannotAsk(f"the running lgtwist does not answer at {self.endpoint}: {reason}") from None

    def head(self, method: str, path: str, length: int) -> bytes:
        """Return the head of a request.

        :param length: bytes of its body.
        """
        lines = [
            f"{method} /console/api/{path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {self.token}",
            f"Content-Length: {length}",
            "Connection: close",
        ]
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "replace") + b"\r\n"


def refusal_of(value: Any) -> str:
    """Return the sentence of a refusal, in one line.

    :param value: the JSON of the answer.
    """
    try:
        return str(value["error"]["sentence"]).partition("\n")[0][:200]
    except (LookupError, TypeError):
        return "an answer that cannot be read"


__all__ = ["CannotAsk", "RunningApi", "refusal_of"]
