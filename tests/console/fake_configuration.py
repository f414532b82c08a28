"""A stand-in for the console's handlers of the configuration, the log and backups, for tests of their pages.

It knows just enough TOML for forms that set, unset, add and remove; what it says is in the shapes of
``docs/console-api.md``. The real ones have tests of their own.
"""

from __future__ import annotations

import difflib
import json
import re
import time
from typing import Any

import msgspec

from tests.console.fake_backend import TOKEN, FakeBackend

_SECRET = re.compile(r'(?m)^(\s*#?\s*(?:access_token|secret|admin_token) = )"([^"]*)"')
_MASK = re.compile(r'"(•+\d+)"')
_TOKEN = "new-token-abcdefghijklmnopqrstuvw"

TOML = """\
data_dir = "lgtwist-data"   # stays

[server]
endpoints = ["tcp:8081:interface=127.0.0.1"]
# admin_token = "old-admin-token"

# the real one
[[accounts]]
type = "reverse-websocket"
self_id = 10002
access_token = "secret-of-napcat"

[[accounts]]
type = "sandbox"
self_id = 10001

[[bots]]
name = "nonebot"
access_token = "secret-of-nonebot"  # both sides
accounts = [10001, 10002]

[[bots]]
name = "<img src=x onerror=alert(1)>\\u202egnp.exe"
access_token = "secret-of-evil"

[limits]
action_timeout = "60s"
"""


class FakeConfiguration:
    """The file and the answers about it.

    :ivar text: the file, with its secrets.
    :ivar confirm: whether saving asks for the token.
    :ivar why_not: why the file cannot be written; None where it can.
    :ivar waiting: what waits for a restart.
    :ivar saved: what was saved, in order.
    """

    def __init__(self, backend: FakeBackend, text: str = TOML) -> None:
        self.backend = backend
        self.text = text
        self.confirm = False
        self.why_not: dict[str, Any] | None = None
        self.waiting: list[str] = []
        self.saved: list[str] = []
        self.started = time.time() - 1000
        self.lines: list[dict[str, Any]] = []
        backend.api |= {
            "GET config": lambda _: (200, self.answer()),
            "POST config/check": lambda body: self.check(json.loads(body)),
            "POST config/edit": lambda body: self.edit(json.loads(body)),
            "PUT config": lambda body: self.put(json.loads(body)),
            "POST config/token": {"token": _TOKEN},
            "POST reload": lambda _: (
                200,
                {
                    "lines": ['reload: bot "nonebot" changed <img src=x>'],
                    "changed": True,
                    "waiting": self.waiting,
                },
            ),
            "POST restart": lambda body: self.restart(json.loads(body)),
            "GET log": lambda _: (200, {"lines": self.lines, "last": len(self.lines)}),
            "POST backup": lambda body: (
                (200, "a zip") if json.loads(body).get("token") == TOKEN else self.refuse(403, "wrong_token")
            ),
        }

    def etag(self) -> str:
        return f"e{hash(self.text)}"

    def masked(self, text: str | None = None) -> str:
        secrets: list[str] = []

        def mask(found: re.Match[str]) -> str:
            secrets.append(found[2])
            return f'{found[1]}"••••••{len(secrets)}"'

        return _SECRET.sub(mask, self.text if text is None else text)

    def unmasked(self, text: str) -> str:
        secrets = [found[1] for found in _SECRET.findall(self.text)]
        return _MASK.sub(lambda found: json.dumps(secrets[int(found[1].strip("•")) - 1]), text)

    def answer(self) -> dict[str, Any]:
        values = msgspec.toml.decode(self.masked())
        return {
            "path": "/etc/lgtwist/lgtwist.toml",
            "writable": self.why_not is None,
            "why_not": self.why_not,
            "etag": self.etag(),
            "text": self.masked(),
            "accounts": values.get("accounts", []),
            "bots": values.get("bots", []),
            "alerts": values.get("alerts", []),
            "keys": {
                "accounts.url": {"zh": "协议端监听的地址", "en": "where the implementation listens"},
                "bots.access_token": {"zh": "对方要出示的令牌", "en": "the token that the bot shows"},
                "limits.calls": {"zh": "同时进行的调用", "en": "calls in flight", "default": 1000},
            },
            "waiting": self.waiting,
            "backups": ["lgtwist.toml.bak-20261129-080000"],
        }

    def refuse(self, status: int, code: str, **args: Any) -> tuple[int, Any]:
        return status, {"error": {"code": code, "args": args, "sentence": f"(fake) {code}"}}

    def problems(self, text: str) -> list[dict[str, Any]]:
        try:
            msgspec.toml.decode(text)
        except (msgspec.DecodeError, ValueError) as error:
            place = re.search(r"line (\d+), column (\d+)", str(error))
            line, column = (int(place[1]), int(place[2])) if place else (len(text.splitlines()), 1)
            return [{"path": "", "line": line, "column": column, "sentence": f"not TOML: {error}"}]
        return [
            {"path": "bots[0].accnts", "line": number, "column": 1, "sentence": "unknown key <b>accnts</b>"}
            for number, line in enumerate(text.splitlines(), 1)
            if line.startswith("accnts")
        ]

    def outcome(self, text: str) -> dict[str, Any]:
        old, new = self.masked().splitlines(), self.masked(self.unmasked(text)).splitlines()
        kinds = {" ": "same", "-": "old", "+": "new"}
        lines = [line for line in difflib.ndiff(old, new) if line[0] in kinds]
        return {
            "problems": self.problems(self.unmasked(text)),
            "diff": [{"kind": kinds[line[0]], "text": line[2:]} for line in lines],
        }

    def check(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if asked["etag"] != self.etag():
            return self.refuse(409, "changed", etag=self.etag())
        return 200, self.outcome(asked["text"])

    def edit(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if asked["etag"] != self.etag():
            return self.refuse(409, "changed", etag=self.etag())
        text = self.masked()
        for edit in asked["edits"]:
            text = self.edited(text, edit)
        return 200, {"text": text, **self.outcome(text)}

    def edited(self, text: str, edit: dict[str, Any]) -> str:
        path = edit["path"]
        if edit["op"] == "add":
            keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in edit["value"].items())
            return f"{text}\n[[{path[0]}]]\n{keys}"
        blocks = re.split(r"(?m)^(?=\[)", text)
        for index, block in enumerate(blocks):
            head, _, _ = block.partition("\n")
            names = {"accounts": f"self_id = {path[1]}\n", "bots": f"name = {json.dumps(path[1])}\n"}
            if path[0] in names and (head != f"[[{path[0]}]]" or names[path[0]] not in block):
                continue
            if path[0] not in names and head != f"[{path[0]}]":
                continue
            if edit["op"] == "remove":
                blocks[index] = ""
                break
            line = f"{path[-1]} = {json.dumps(edit.get('value'))}\n" if edit["op"] == "set" else ""
            changed, count = re.subn(rf"(?m)^{path[-1]} = [^#\n]*?( *#.*)?\n", line, block)
            blocks[index] = changed if count else f"{block.rstrip()}\n{line}\n"
            break
        return "".join(blocks)

    def put(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if self.confirm and asked.get("token") != TOKEN:
            return self.refuse(403, "wrong_token" if "token" in asked else "confirm_token")
        if asked["etag"] != self.etag():
            return self.refuse(409, "changed", etag=self.etag())
        if self.why_not is not None:
            return self.refuse(422, "cannot_write", why=self.why_not, block='[[bots]]\nname = "x"\n')
        self.text = self.unmasked(asked["text"])
        self.saved.append(self.text)
        return 200, {"etag": self.etag(), "backup": "lgtwist.toml.bak-20261129-081500"}

    def restart(self, asked: dict[str, Any]) -> tuple[int, Any]:
        if self.confirm and asked.get("token") != TOKEN:
            return self.refuse(403, "confirm_token")
        self.started = time.time()
        state = self.backend.state
        self.backend.state = lambda: {**state(), "started": self.started}
        self.waiting = []
        return 200, {"how": "exec"}


def main() -> None:
    """Serve the pages with this, until interrupted; as ``fake_backend``, at port 8091."""
    import sys

    from twisted.internet import reactor

    backend = FakeBackend()
    fake = FakeConfiguration(backend)
    fake.lines = [line(number) for number in range(1, 60)]
    sys.stdout.write(f"{backend.listen(reactor, 8091)}#token={TOKEN}\n")
    sys.stdout.flush()
    reactor.run()  # type: ignore[attr-defined]


def line(number: int, level: str = "", text: str = "") -> dict[str, Any]:
    """A line of the log."""
    levels = ["info", "info", "info", "warn", "info", "error"]
    chosen = level or levels[number % len(levels)]
    return {
        "n": number,
        "t": 1_764_400_000 + number,
        "level": chosen,
        "system": "lgtwist",
        "text": text
        or f'bot "nonebot": {number} \u202eevil <img src=x onerror=alert(1)> ' + "x" * (number * 3),
        "failure": "Traceback (most recent call last):\n  File <b>x</b>\nValueError: no"
        if chosen == "error"
        else None,
    }


if __name__ == "__main__":
    main()
