"""Simulated OneBot 11 implementations, many accounts in one process, driven over a control port.

``python -m tests.implementations.simulator '<json config>'`` prints ``ready`` when everything listens.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.implementations import dialects
from tests.implementations.account import GARBAGE, MODES, Account, Mistake, Rule
from tests.implementations.http_api import Http
from tests.implementations.links import Link, every, frame_bytes
from tests.implementations.transports import Forward, Reverse

TRANSPORTS: dict[str, Callable[[Account], Any]] = {
    "forward-websocket": Forward,
    "reverse-websocket": Reverse,
    "http": Http,
}
#: How long the goodbyes of a SIGTERM may take (seconds).
GOODBYE = 1.5


def _bytes(args: dict[str, Any]) -> bytes:
    """``base64`` or ``text`` of a command."""
    if "base64" in args:
        return base64.b64decode(args["base64"])
    return str(args.get("text", "")).encode("utf-8", "surrogatepass")


class Commands:
    """One method for each command of the control port; what it returns is the answer."""

    def event(self, account: Account, args: dict[str, Any]) -> Any:
        """Publish one event: ``event`` an object, or ``raw`` exact text."""
        raw = args.get("raw")
        text = account.dumps(account.complete(args["event"])) if raw is None else str(raw)
        return {"sent": account.publish(text)}

    def events(self, account: Account, args: dict[str, Any]) -> Any:
        """A numbered steady flow: ``rate`` per second, ``count`` or for ever, ``size``, ``fields``."""
        account.start_flow(
            args.get("count"), float(args.get("rate", 100)), int(args.get("size", 0)), args.get("fields", {})
        )
        return {}

    def flood(self, account: Account, args: dict[str, Any]) -> Any:
        """``count`` numbered events as fast as the peer takes them."""
        size = int(args.get("size", 0))
        account.start_flow(int(args.get("count", 1000)), None, size, args.get("fields", {}))
        return {}

    def stop_events(self, account: Account, _args: dict[str, Any]) -> Any:
        account.stop_flows()
        return {"events_sent": account.events_sent, "events_lost": account.events_lost}

    def heartbeat(self, account: Account, args: dict[str, Any]) -> Any:
        """One heartbeat now: ``online``, ``good``, ``interval``, each the account's own unless given."""
        beat = account.heartbeat(args.get("interval"), args.get("online"), args.get("good"))
        return {"sent": account.push(beat)}

    def lifecycle(self, account: Account, args: dict[str, Any]) -> Any:
        return {"sent": account.push(account.meta(args.get("sub_type", "connect")))}

    def status(self, account: Account, args: dict[str, Any]) -> Any:
        """What later heartbeats and ``get_status`` say."""
        account.online = bool(args["online"])
        return {"online": account.online}

    def offline_notice(self, account: Account, args: dict[str, Any]) -> Any:
        """``bot_offline``; only Lagrange's status goes on saying online, unless ``status`` is given."""
        account.online = bool(args.get("status", account.online and account.dialect.name == "lagrange"))
        return self._notice(account, False, args)

    def online_notice(self, account: Account, args: dict[str, Any]) -> Any:
        account.online = bool(args.get("status", True))
        return self._notice(account, True, args)

    def _notice(self, account: Account, online: bool, args: dict[str, Any]) -> Any:
        tag, message = args.get("tag", "Offline"), args.get("message", "kicked")
        notice = dialects.online_notice(account.dialect, account.event_self_id, online, tag, message)
        return {"sent": account.publish(account.dumps(notice))}

    def answers(self, account: Account, args: dict[str, Any]) -> Any:
        """How later actions are answered: ``mode``, for one ``action`` or all, ``times`` or from now on."""
        mode = args.get("mode", "normal")
        if mode not in MODES:
            raise Mistake(f"answers: mode is one of {', '.join(MODES)}")
        if mode == "normal":
            account.rules.pop(args.get("action"), None)
        else:
            account.rules[args.get("action")] = Rule(mode, args, args.get("times"))
        return {}

    def send_text(self, account: Account, args: dict[str, Any]) -> Any:
        """A text message with exactly ``raw``."""
        return {"sent": [link.send(str(args["raw"])) for link in every(account.links, args)].count(True)}

    def send_binary(self, account: Account, args: dict[str, Any]) -> Any:
        return {"sent": [link.send(_bytes(args)) for link in every(account.links, args)].count(True)}

    def send_bytes(self, account: Account, args: dict[str, Any]) -> Any:
        """Bytes on TCP, beneath the WebSocket."""
        for link in every(account.links, args):
            link.write(_bytes(args))
        return {}

    def send_frame(self, account: Account, args: dict[str, Any]) -> Any:
        """Any frame: ``opcode``, ``fin``, ``rsv``, ``masked`` (right for the direction), ``cut`` bytes."""
        for link in every(account.links, args):
            masked = bool(args.get("masked", isinstance(account.transport, Reverse)))
            fin, rsv = bool(args.get("fin", True)), int(args.get("rsv", 0))
            whole = frame_bytes(int(args.get("opcode", 1)), _bytes(args), fin, rsv, masked)
            link.write(whole[: args.get("cut")])
        return {}

    def huge(self, account: Account, args: dict[str, Any]) -> Any:
        """One event whose message is exactly ``bytes`` long."""
        event = account.numbered(0, {"pad": ""})
        lacking = int(args["bytes"]) - len(account.dumps(event).encode())
        event["pad"] = "x" * max(0, lacking)
        return {"sent": account.publish(account.dumps(event)), "n": event["n"]}

    def garbage(self, account: Account, args: dict[str, Any]) -> Any:
        """Texts that are no event and no answer: ``which`` of them, else all."""
        chosen = GARBAGE if args.get("which") is None else (GARBAGE[int(args["which"]) % len(GARBAGE)],)
        if not account.links:
            return {"sent": [account.push(text) for text in chosen].count(True)}
        links = every(account.links, args)
        return {"sent": [link.send(text) for text in chosen for link in links].count(True)}

    def ping(self, account: Account, args: dict[str, Any]) -> Any:
        for link in every(account.links, args):
            link.write(frame_bytes(9, _bytes(args), True, 0, isinstance(account.transport, Reverse)))
        return {}

    def close(self, account: Account, args: dict[str, Any]) -> Any:
        """The closing handshake, with ``code`` (``null``: an empty Close frame) and ``reason``."""
        for link in every(account.links, args):
            link.close(args.get("code", 1000), args.get("reason", ""))
        return {}

    def rst(self, account: Account, args: dict[str, Any]) -> Any:
        for link in every(account.links, args):
            link.reset()
        return {}

    def half_open(self, account: Account, args: dict[str, Any]) -> Any:
        """Neither read nor write, keep TCP; ``redial``: a dialling account dials a new one beside it."""
        chosen: list[Link] = every(account.links, args)
        for link in chosen:
            link.freeze()
            if args.get("redial"):
                link.given_up.set()
        return {"connections": [link.number for link in chosen]}

    def stop_reading(self, account: Account, args: dict[str, Any]) -> Any:
        for link in every(account.links, args):
            link.stop_reading()
        return {}

    def resume_reading(self, account: Account, args: dict[str, Any]) -> Any:
        for link in every(account.links, args):
            link.resume_reading()
        return {}

    async def refuse(self, account: Account, args: dict[str, Any]) -> Any:
        """Refuse handshakes: ``how`` status, redirect, close, rst, blackhole or port (not listening)."""
        await account.transport.refuse(args)
        return {}

    async def accept_again(self, account: Account, _args: dict[str, Any]) -> Any:
        await account.transport.accept_again()
        return {}

    def lie(self, account: Account, args: dict[str, Any]) -> Any:
        """Other numbers in ``login_user_id``, ``event_self_id``, ``header_self_id``; ``null``: the truth."""
        for name in ("login_user_id", "event_self_id", "header_self_id"):
            if name in args:
                setattr(account, name, account.self_id if args[name] is None else args[name])
        return {}

    def drop_pongs(self, account: Account, args: dict[str, Any]) -> Any:
        account.drop_pongs = bool(args.get("on", True))
        return {}

    def forget(self, account: Account, _args: dict[str, Any]) -> Any:
        """Empty the records."""
        account.forget()
        return {}


class Simulator:
    """All accounts of one process, and the control port."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.port = int(config["control_port"])
        self.accounts: dict[int, Account] = {}
        for one in config["accounts"]:
            account = Account(one)
            kind = one.get("transport", "forward-websocket")
            if kind not in TRANSPORTS:
                raise Mistake(f"{account.self_id}: no transport {kind!r}")
            if account.self_id in self.accounts:
                raise Mistake(f"{account.self_id}: configured twice; use a second process for that")
            account.transport = TRANSPORTS[kind](account)
            self.accounts[account.self_id] = account
        self.commands = Commands()
        self._runner: web.AppRunner | None = None

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        ending = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ending.set)
        app = web.Application(client_max_size=256 * 1024 * 1024)
        app.add_routes([web.get("/{self_id}", self._state), web.post("/{self_id}/{command}", self._command)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        for account in self.accounts.values():
            await account.transport.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await ending.wait()
        goodbyes = [account.transport.stop() for account in self.accounts.values()]
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._goodbye(goodbyes), GOODBYE)
        os._exit(0)  # links that are not read would keep a tidy end waiting for ever

    async def _goodbye(self, goodbyes: list[Any]) -> None:
        await asyncio.gather(*goodbyes, return_exceptions=True)
        while any(
            link.told_to_close and not link.ended() for one in self.accounts.values() for link in one.links
        ):
            await asyncio.sleep(0.01)

    def _chosen(self, request: web.Request) -> list[Account]:
        name = request.match_info["self_id"]
        if name == "all":
            return list(self.accounts.values())
        account = self.accounts.get(int(name)) if name.isdigit() else None
        if account is None:
            raise web.HTTPNotFound(text=f"no account {name}")
        return [account]

    async def _state(self, request: web.Request) -> web.Response:
        after = int(request.query.get("after", 0))
        states = [account.state(after) for account in self._chosen(request)]
        body = {str(one["self_id"]): one for one in states}
        return self._json(body if request.match_info["self_id"] == "all" else states[0])

    async def _command(self, request: web.Request) -> web.Response:
        name = request.match_info["command"]
        command = None if name.startswith("_") else getattr(self.commands, name, None)
        if command is None:
            raise web.HTTPNotFound(text=f"no command {name}")
        args = json.loads(await request.text() or "{}")
        answer: Any = {}
        for account in self._chosen(request):
            try:
                answer = command(account, args)
                if inspect.isawaitable(answer):
                    answer = await answer
            except (Mistake, LookupError, ValueError, TypeError, AttributeError) as error:
                text = f"{account.self_id}/{name}: {type(error).__name__}: {error}"
                raise web.HTTPBadRequest(text=text) from error
        return self._json(answer)

    def _json(self, value: Any) -> web.Response:
        return web.Response(body=json.dumps(value, default=str).encode(), content_type="application/json")


async def _main() -> None:
    await Simulator(json.loads(sys.argv[1])).run()


if __name__ == "__main__":
    asyncio.run(_main())
