"""What each implementation does differently from the others, as data and pure functions.

The columns are those of the tables in ``docs``' source research: a departure from the standard is here
because a real implementation has it. Nothing in this package may import lgtwist: the judge shares no code
with the judged.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

#: ``echo`` of an action that had none: None is a value of its own.
ABSENT: Final = object()

Verdict = Literal["ok", "missing", "wrong"]
Role = Literal["universal", "api", "event", "dead"]

#: NapCat's actions that answer several times.
STREAMS: Final = (
    "download_file_stream",
    "download_file_record_stream",
    "download_file_image_stream",
    "test_download_stream",
)


@dataclass(frozen=True)
class Dialect:
    """One column of the tables.

    :ivar refusals: HTTP status of a handshake or HTTP action with a missing and with a wrong token; ``None``
        for WebSocket: the handshake is accepted and refused afterwards.
    :ivar token_order: where a token is looked for first; with ``header-only`` a header hides the query.
    :ivar beats: ``immediate`` (a first heartbeat at once, then per connection), ``each`` (per connection,
        after an interval), ``shared`` (one timer for all connections).
    :ivar redial: after a lost link ``timer``, after the next ``heartbeat`` (Lagrange waits for its heartbeat
        loop to fail), or after the next ``event`` (go-cqhttp notices by pushing).
    :ivar pongs: how many pongs a ping gets.
    :ivar split: whether it can dial an API and an event link.
    :ivar unread: roles whose socket is never read, as server and as client.
    """

    name: str
    app_name: str
    app_version: str
    refusals: tuple[int, int] | None = (401, 403)
    http_refusals: tuple[int, int] = (401, 403)
    token_order: Literal["header-only", "query-first"] = "header-only"
    any_scheme: bool = False
    not_upgrade: int = 426
    beats: Literal["immediate", "each", "shared"] = "each"
    redial: Literal["timer", "heartbeat", "event"] = "timer"
    handshake_limit: float | None = 10.0
    pongs: int = 1
    unsolicited_pong_ms: int = 0
    max_size: int | None = None
    split: bool = True
    unread_serving: tuple[Role, ...] = ()
    unread_dialling: tuple[Role, ...] = ()
    event_executes: bool = False
    unknown_ws: int = 1404
    unknown_http: tuple[int, int] = (404, 1404)
    bad_json: Literal["1400", "silent", "unknown"] = "1400"
    close_code: int | Literal["none"] | None = None
    api_role: str = "API"
    user_agent: str | None = None
    json_type: str = "application/json"
    post_lifecycle: str | None = None
    post_heartbeat: bool = True
    post_retries: int = 0
    post_timeout: float = 100.0
    post_serial: bool = True
    token_is_secret: bool = False


DIALECTS: Final = {
    d.name: d
    for d in (
        Dialect("onebot11", "onebot-simulator", "1.0.0", close_code=1001, post_lifecycle="enable"),
        Dialect(
            "lagrange",
            "Lagrange.OneBot",
            "0.0.3",
            refusals=(403, 403),
            not_upgrade=400,
            beats="immediate",
            redial="heartbeat",
            handshake_limit=None,
            unsolicited_pong_ms=30_000,
            unread_dialling=("event",),
            unknown_ws=404,
            unknown_http=(200, 404),
            bad_json="silent",
            close_code="none",
            api_role="Api",
            user_agent="Lagrange.OneBot",
            post_lifecycle="connect",
        ),
        Dialect(
            "napcat",
            "NapCat.Onebot",
            "4.18.13",
            refusals=None,
            http_refusals=(403, 403),
            token_order="query-first",
            beats="shared",
            handshake_limit=2.0,
            max_size=50 * 1024 * 1024,
            split=False,
            event_executes=True,
            unknown_http=(200, 200),
            user_agent="OneBot/11",
            json_type="application/json; charset=utf-8",
            post_heartbeat=False,
            post_serial=False,
            token_is_secret=True,
        ),
        Dialect(
            "llbot",
            "LLOneBot",
            "8.0.0",
            refusals=None,
            http_refusals=(403, 403),
            handshake_limit=2.0,
            pongs=2,
            split=False,
            unknown_http=(404, 404),
            user_agent="LLOneBot/8.0.0",
            json_type="application/json; charset=utf-8",
            post_serial=False,
            token_is_secret=True,
        ),
        Dialect(
            "go-cqhttp",
            "go-cqhttp",
            "v1.2.0",
            any_scheme=True,
            not_upgrade=400,
            beats="shared",
            redial="event",
            handshake_limit=45.0,
            unread_serving=("event",),
            unread_dialling=("event",),
            unknown_ws=404,
            unknown_http=(200, 404),
            bad_json="unknown",
            close_code="none",
            user_agent="CQHttp/4.15.0",
            json_type="application/json; charset=utf-8",
            post_retries=3,
            post_timeout=5.0,
        ),
    )
}


def role_of(dialect: Dialect, path: str) -> Role | None:
    """What a connection to a path of its WebSocket server is; ``None`` is refused with 404."""
    name = dialect.name
    if path in ("/api", "/event") or (path in ("/api/", "/event/") and name != "go-cqhttp"):
        if path.startswith("/event"):
            return "universal" if dialect.event_executes else "event"
        return "api"
    if path in ("", "/") or name in ("lagrange", "go-cqhttp", "napcat"):
        return "universal"
    return "dead" if name == "llbot" else None


def check_token(dialect: Dialect, token: str | None, header: str | None, target: str) -> Verdict:
    """Judge a token as this implementation does, oddities included."""
    if not token:
        return "ok"
    query = parse_qs(urlsplit(target).query).get("access_token", [""])[0]
    if dialect.token_order == "query-first":
        given = query or (header or "").rpartition("Bearer ")[2]
    elif not header:
        given = query
    elif dialect.any_scheme:
        given = header.partition(" ")[2] or header
    elif dialect.name == "llbot":
        given = header.rpartition("Bearer ")[2]
    else:
        given = header[7:] if header.startswith("Bearer ") else header
        if dialect.name == "lagrange" and not header.startswith("Bearer "):
            return "wrong"
    if given == token:
        return "ok"
    return "wrong" if given else "missing"


def dial_headers(dialect: Dialect, self_id: int, role: Role, token: str | None) -> list[tuple[str, str]]:
    """The headers it dials with, in its spelling and order."""
    spelled = {"universal": "Universal", "api": dialect.api_role, "event": "Event"}[role]
    agent = [("User-Agent", dialect.user_agent)] if dialect.user_agent else []
    if dialect.name in ("napcat", "llbot"):
        mine = [("X-Self-ID", str(self_id)), ("Authorization", f"Bearer {token or ''}")]
        return [*mine, ("x-client-role", spelled), *agent]
    headers = [("X-Client-Role", spelled), ("X-Self-ID", str(self_id)), *agent]
    if dialect.name == "go-cqhttp":
        return [*headers, ("Authorization", f"Token {token}")] if token else headers
    if token or (token is not None and dialect.name == "lagrange"):
        headers.append(("Authorization", f"Bearer {token}"))
    return headers


# JSON as it is written


_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
_DOTNET = str.maketrans({char: f"\\u{ord(char):04X}" for char in "<>&'+`\x7f"})
_GO = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def _dotnet_string(found: re.Match[str]) -> str:
    def escape(one: re.Match[str]) -> str:
        text = one[0]
        if text == '\\"':
            return "\\u0022"
        return "\\u" + text[2:].upper() if text[1] == "u" else text

    return _ESCAPE.sub(escape, found[0]).translate(_DOTNET)


def dumps(dialect: Dialect, value: Any) -> str:
    """JSON in its spelling: .NET escapes what is not ASCII, Go sorts keys and escapes HTML."""
    if dialect.name == "lagrange":
        text = json.dumps(value, separators=(",", ":"))
        if "\\" in text or any(chr(char) in text for char in _DOTNET):
            text = _STRING.sub(_dotnet_string, text)
        return text
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_GO) if dialect.name == "go-cqhttp" else text


def _sorted(value: Any) -> Any:
    """Go marshals a map with its keys sorted."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


# Answers


@dataclass
class Outcome:
    """What became of an action.

    :ivar frames: data of earlier frames with the same echo (NapCat's streams), ``pause`` seconds apart.
    """

    data: Any = None
    retcode: int = 0
    message: str = ""
    wording: str = ""
    delay: float = 0.0
    frames: list[Any] = field(default_factory=list)
    pause: float = 0.0
    unknown: bool = False
    asynchronous: bool = False


def envelope(dialect: Dialect, outcome: Outcome, echo: Any, stream: bool = False) -> dict[str, Any]:
    """The answer with this implementation's fields in their order."""
    status = "async" if outcome.asynchronous else "failed" if outcome.retcode else "ok"
    base = {"status": status, "retcode": outcome.retcode, "data": outcome.data}
    name = dialect.name
    if name == "lagrange":
        return {**base, "echo": None if echo is ABSENT else echo}
    if name == "go-cqhttp":
        answer: dict[str, Any] = {**base, "message": ""}
        if outcome.retcode:
            answer.update(msg=outcome.message, wording=outcome.wording)
        if echo is not ABSENT:
            answer["echo"] = _through_float(echo)
        return _sorted(answer)  # type: ignore[no-any-return]
    if name == "napcat":
        if echo is ABSENT or (echo is None and not outcome.retcode):
            echo = None if outcome.retcode else ""
        kind = "stream-action" if stream else "normal-action"
        message = outcome.message
        return {**base, "message": message, "wording": message, "echo": echo, "stream": kind}
    if name == "llbot":
        answer = {**base, "message": outcome.message, "wording": outcome.message}
        return answer if echo is ABSENT or echo is None else {**answer, "echo": echo}
    return base if echo is ABSENT else {**base, "echo": echo}


def _through_float(value: Any) -> Any:
    """Its ``Value()`` (gjson) keeps numbers as float64: large integers do not survive it."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return value if abs(value) <= 2**53 else int(float(value))


def unknown_action(dialect: Dialect, action: Any, http: bool) -> Outcome:
    """The failure of an action it does not know."""
    retcode = dialect.unknown_http[1] if http else dialect.unknown_ws
    message, wording = f"unknown action {action}", ""
    if dialect.name == "napcat":
        message = f"不支持的{'Api' if http else 'API'} {action}"
    elif dialect.name == "llbot":
        message = f"{action} API 不存在"
    elif dialect.name == "go-cqhttp":
        message, wording = "API_NOT_FOUND", "API不存在"
    return Outcome(None, retcode, message, wording, unknown=True)


# Meta events


def lifecycle(
    dialect: Dialect, self_id: int, sub_type: str, started: int, dialled: bool = False
) -> dict[str, Any]:
    """The first frame. go-cqhttp's own server made it once, when it started, and left a field in it."""
    now = int(time.time())
    if dialect.name == "lagrange":
        meta = {"sub_type": sub_type, "meta_event_type": "lifecycle"}
        return {**meta, "time": now, "self_id": self_id, "post_type": "meta_event"}
    if dialect.name == "go-cqhttp":
        meta = {"meta_event_type": "lifecycle", "post_type": "meta_event"}
        if dialled:
            return {**meta, "self_id": self_id, "sub_type": sub_type, "time": now}
        return {"_post_method": 2, **meta, "self_id": self_id, "sub_type": sub_type, "time": started}
    meta = {"post_type": "meta_event", "meta_event_type": "lifecycle", "sub_type": sub_type}
    return {"time": now, "self_id": self_id, **meta}


def heartbeat(
    dialect: Dialect, self_id: int, interval: Any, online: bool, good: bool | None = None
) -> dict[str, Any]:
    """A heartbeat; ``good`` is what ``online`` is, unless given."""
    now, good = int(time.time()), online if good is None else good
    if dialect.name == "lagrange":
        flags = {"app_initialized": True, "app_enabled": True, "app_good": True}
        status = {**flags, "online": online, "good": good}
        meta = {"interval": interval, "status": status, "meta_event_type": "heartbeat"}
        return {**meta, "time": now, "self_id": self_id, "post_type": "meta_event"}
    if dialect.name == "go-cqhttp":
        meta = {"post_type": "meta_event", "meta_event_type": "heartbeat", "time": now, "self_id": self_id}
        return {**meta, "status": _go_status(online, good), "interval": interval}
    meta = {"time": now, "self_id": self_id, "post_type": "meta_event", "meta_event_type": "heartbeat"}
    return {**meta, "status": {"online": online, "good": good}, "interval": interval}


def _go_status(online: bool, good: bool) -> dict[str, Any]:
    flags = {"app_initialized": True, "app_enabled": True, "plugins_good": None, "app_good": True}
    stat = {"packet_received": 1, "packet_sent": 1, "packet_lost": 0, "message_received": 0}
    stat |= {"message_sent": 0, "disconnect_times": 0, "lost_times": 0, "last_message_time": 0}
    status: dict[str, Any] = _sorted({**flags, "online": online, "good": good, "stat": stat})
    return status


def status(dialect: Dialect, online: bool) -> dict[str, Any]:
    """The data of ``get_status``."""
    if dialect.name == "lagrange":
        flags = {"app_initialized": True, "app_enabled": True, "app_good": True}
        return {**flags, "online": online, "good": online, "plugins_good": None, "memory": 123_456_789}
    if dialect.name == "go-cqhttp":
        return _go_status(online, online)
    both: dict[str, Any] = {"online": online, "good": online}
    return {**both, "good": True, "stat": {}} if dialect.name == "napcat" else both


def version_info(dialect: Dialect) -> dict[str, Any]:
    """The data of ``get_version_info``."""
    name, version = {"app_name": dialect.app_name}, {"app_version": dialect.app_version}
    protocol = {"protocol_version": "v11"}
    if dialect.name in ("napcat", "llbot"):
        return {**name, **protocol, **version}
    extra = {"nt_protocol": "Linux | 3.2.15-30366"} if dialect.name == "lagrange" else {}
    return {**name, **version, **protocol, **extra}


def online_notice(dialect: Dialect, self_id: int, online: bool, tag: str, message: str) -> dict[str, Any]:
    """``bot_online`` or ``bot_offline``; NapCat names the user in its own way, the others follow Lagrange."""
    now = int(time.time())
    if online:
        notice: dict[str, Any] = {"reason": "Reconnect", "notice_type": "bot_online"}
        return {**notice, "time": now, "self_id": self_id, "post_type": "notice"}
    if dialect.name == "napcat":
        base = {"time": now, "self_id": self_id, "post_type": "notice", "notice_type": "bot_offline"}
        return {**base, "user_id": self_id, "tag": tag, "message": message}
    notice = {"tag": tag, "message": message, "notice_type": "bot_offline"}
    return {**notice, "time": now, "self_id": self_id, "post_type": "notice"}
