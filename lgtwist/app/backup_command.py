"""``lgtwist backup``: asks the running service for a backup, or makes one where none runs."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, BinaryIO

from lgtwist.app.admin_token import CannotMakeToken, read_made_token
from lgtwist.app.backup import back_up_stopped, backup_name, size_text
from lgtwist.app.configuration import Config
from lgtwist.app.configuration_file import ConfigurationFile
from lgtwist.app.data_dir import CannotStart, DataDir
from lgtwist.app.health_check import askable_endpoint, connected
from lgtwist.console.interfaces import CannotBackUp
from lgtwist.runtime.private_files import create_private

#: Seconds without a byte: the service answers when the backup is made.
_PATIENCE = 900.0
#: Seconds that connecting may take.
_CONNECT_PATIENCE = 5.0
_ANSWER_PIECE = 262_144


class NoBackup(Exception):
    """There is no backup; the argument is one sentence."""


def back_up(file: ConfigurationFile, output: str | None, *, secrets: bool) -> str:
    """Make a backup, in a new file with mode 0600.

    :param output: the file, or a folder for it; None for the working directory.
    :returns: a line that says where it is.
    :raises NoBackup: if there is none; then nothing is left of it.
    :raises ConfigurationError: if the configuration is wrong.
    """
    config = file.read()
    now = time.time()
    path = Path(output or ".")
    if path.is_dir():
        path /= backup_name(now)
    try:
        written = os.fdopen(create_private(path), "w+b")
    except FileExistsError:
        raise NoBackup(f"{path}: is there already, and stays as it is") from None
    except (OSError, ValueError) as error:
        raise NoBackup(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
    try:
        with written:
            where = _write_backup(written, file, config, secrets=secrets, now=now)
            written.flush()
            os.fsync(written.fileno())
            size = written.seek(0, os.SEEK_END)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise NoBackup(f"{path}: cannot be written: {error.strerror or error}") from None
        raise
    what = "with" if secrets else "without"
    return f"{path}: {size_text(size)}, {what} secrets, {where}"


def _write_backup(
    written: BinaryIO, file: ConfigurationFile, config: Config, *, secrets: bool, now: float
) -> str:
    """Write a backup; return who made it.

    :raises NoBackup: if it cannot be made.
    :raises OSError: if it cannot be written.
    """
    data_dir = DataDir(config.data_dir)
    is_there = data_dir.path.is_dir()
    if is_there:
        try:
            data_dir.lock()
        except CannotStart as error:
            if data_dir.is_free():
                raise NoBackup(str(error)) from None
            _ask_service(written, file, config, secrets=secrets)
            return "made by the running service"
    try:
        missing = back_up_stopped(written, file, config, secrets=secrets, now=now)
    except CannotBackUp as error:
        raise NoBackup(str(error)) from None
    finally:
        data_dir.unlock()
    return "; ".join(["copied, for no service runs", *missing])


def _ask_service(written: BinaryIO, file: ConfigurationFile, config: Config, *, secrets: bool) -> None:
    """Let the running service make the backup, and write what it answers.

    :raises NoBackup: if it does not answer, or with a refusal.
    :raises OSError: if the answer cannot be written.
    """
    running = f"data_dir {config.data_dir} is in use by a running lgtwist"
    if not config.console.enabled:
        raise NoBackup(f"{running}, and its console is off: stop it, or set [console] enabled = true")
    endpoint = askable_endpoint(file)
    if endpoint is None:
        raise NoBackup(
            f"{running}; {file.described} names no endpoint of tcp, ssl or unix that could be asked"
        )
    try:
        token = config.server.admin_token or read_made_token(Path(config.data_dir))
    except CannotMakeToken as error:
        raise NoBackup(f"{running}, and its admin token is needed: {error}") from None
    if token is None:
        raise NoBackup(f"{running}, and it has no admin token yet")
    try:
        with connected(endpoint, file.base, time.monotonic() + _CONNECT_PATIENCE) as connection:
            connection.settimeout(_PATIENCE)
            _request(connection, token, secrets=secrets)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            if answer.status != 200:
                raise NoBackup(_refusal(answer, endpoint))
            left = int(answer.headers["Content-Length"])
            while left:
                piece = _read_answer(answer, min(left, _ANSWER_PIECE))
                written.write(piece)
                left -= len(piece)
    except _Unanswered as error:
        raise NoBackup(f"{running}; {endpoint}: {error}") from None
    except (ConnectionError, TimeoutError, socket.gaierror, http.client.HTTPException) as error:
        raise NoBackup(f"{running}; {endpoint}: {getattr(error, 'strerror', None) or error}") from None
    except (ValueError, LookupError, TypeError) as error:
        raise NoBackup(f"{running}; {endpoint}: {error}") from None


class _Unanswered(Exception):
    """The answer ended before its time."""


def _read_answer(answer: http.client.HTTPResponse, size: int) -> bytes:
    try:
        piece = answer.read(size)
    except (OSError, http.client.HTTPException) as error:
        raise _Unanswered(f"the answer ended: {error}") from None
    if not piece:
        raise _Unanswered("the answer ended too early")
    return piece


def _request(connection: socket.socket, token: str, *, secrets: bool) -> None:
    body = json.dumps({"secrets": True, "token": token}).encode() if secrets else b""
    head = [
        f"{'POST' if secrets else 'GET'} /console/api/backup HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {token}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    connection.sendall("".join(f"{line}\r\n" for line in head).encode("utf-8", "replace") + b"\r\n" + body)


def _refusal(answer: http.client.HTTPResponse, endpoint: str) -> str:
    """Return why the service makes no backup, in one line."""
    text = answer.read(10_000).decode("utf-8", "replace")
    try:
        problem: Any = json.loads(text)
        sentence = str(problem["error"]["sentence"])
    except (ValueError, LookupError, TypeError):
        sentence = text.strip().partition("\n")[0][:200]
    return f"{endpoint}: the running lgtwist answers {answer.status}: {sentence}"


__all__ = ["NoBackup", "back_up"]
