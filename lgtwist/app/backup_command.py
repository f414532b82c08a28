"""``lgtwist backup``: asks the running service for a backup, or makes one where none runs."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, BinaryIO

from lgtwist.app.backup import back_up_stopped, backup_name, size_text
from lgtwist.app.configuration import Config
from lgtwist.app.configuration_file import ConfigurationFile
from lgtwist.app.data_dir import CannotStart, DataDir, InUse
from lgtwist.app.health_check import connected
from lgtwist.app.running_api import CannotAsk, RunningApi
from lgtwist.console.interfaces import CannotBackUp
from lgtwist.runtime.file_trouble import why_not_usable
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
        why = why_not_usable(error, path.absolute()) if isinstance(error, OSError) else error
        raise NoBackup(f"{path}: cannot be written: {why}") from None
    try:
        with written:
            where = _write_backup(written, file, config, secrets=secrets, now=now)
            written.flush()
            os.fsync(written.fileno())
            size = written.seek(0, os.SEEK_END)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise NoBackup(f"{path}: cannot be written: {why_not_usable(error, path.absolute())}") from None
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
            if not isinstance(error, InUse):
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
    try:
        api = RunningApi.find(file, config)
    except CannotAsk as error:
        raise NoBackup(str(error)) from None
    endpoint = api.endpoint
    try:
        with connected(endpoint, file.base, time.monotonic() + _CONNECT_PATIENCE) as connection:
            connection.settimeout(_PATIENCE)
            _request(connection, api, secrets=secrets)
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


def _request(connection: socket.socket, api: RunningApi, *, secrets: bool) -> None:
    body = json.dumps({"secrets": True, "token": api.token}).encode() if secrets else b""
    connection.sendall(api.head("POST" if secrets else "GET", "backup", len(body)) + body)


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
