"""Bots under test that are an object in the process of the tests."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from lgtwist.testing.bots import CONNECT_LIMIT, BotAddress, BotUnderTest, BoundedLog, free_port
from lgtwist.testing.control import SandboxError, is_said_by_sentence
from lgtwist.testing.service import SandboxProcess

#: pytest leaves the frames of this module out of the traceback of such an error.
__tracebackhide__ = is_said_by_sentence

#: Seconds that a bot in this process may take to end: NoneBot2 waits for answers that do not come any more,
#: for 30 s by default (``API_TIMEOUT``).
_STOP_LIMIT = 45.0
#: Seconds in which the answers to a bot's last calls arrive, before it is ended.
_LAST_ANSWERS = 0.05
#: The method by which NoneBot2's adapter begins to dial; it is private there.
_DIALS = "_start_forward"

#: A bot that dials, as a coroutine function: it is given the address, and is cancelled in the end.
BotCoroutine = Callable[[BotAddress], Awaitable[object]]


class InProcessBot(BotUnderTest):
    """A bot that is an object in the process of the tests, so that they can look inside and replace parts.

    What it can be:

    * the driver of NoneBot2 (``nonebot.get_driver()``) with ``~fastapi`` or ``~quart``: lgtwist dials it.
      One with a driver that only dials (``~websockets``, ``~aiohttp``) is made to dial the sandbox, whatever
      its ``ONEBOT_WS_URLS`` are.
    * a ``CQHttp`` of aiocqhttp, or another ASGI application, with its ``path``: lgtwist dials it.
    * a coroutine function that is given a :class:`BotAddress`, and dials it.

    :meth:`start` runs it in a thread with an event loop of its own; :meth:`in_this_loop` in the running one.

    :param bot: the object.
    :param path: the path of its WebSocket; known of NoneBot2 and aiocqhttp.

    The other parameters are those of :class:`BotUnderTest`; the token of NoneBot2 and aiocqhttp is that of
    the object.
    """

    def __init__(
        self,
        bot: Any,
        *,
        path: str | None = None,
        name: str = "bot",
        access_token: str | None = None,
        settings: Mapping[str, Any] | None = None,
        within: float = CONNECT_LIMIT,
    ) -> None:
        url, token = None, access_token
        self._asgi: Any = None
        self._lifespan: Any = None
        if _is_a(bot, "aiocqhttp", "CQHttp"):
            self._asgi, path = bot.asgi, path or "/ws"
            token = (bot._access_token or "") if token is None else token
        elif _is_a(bot, "nonebot", "Driver"):
            self._asgi, path = getattr(bot, "asgi", None), path or "/onebot/v11/ws"
            if self._asgi is None:
                self._lifespan = bot._lifespan
            elif token is None:
                token = _nonebot_token(bot)
        elif path is not None:
            self._asgi = bot
        elif not asyncio.iscoroutinefunction(bot):
            raise TypeError(
                f"{bot!r} is no driver of NoneBot2, no CQHttp and no coroutine function; "
                "an ASGI application needs the path of its WebSocket: path='/ws'"
            )
        if self._asgi is not None:
            url = f"ws://127.0.0.1:{{port}}{path}"
        super().__init__(name=name, url=url, access_token=token, settings=settings, within=within)
        self.bot = bot
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._state: str | None = "was not started"

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that it runs in; None before it is started."""
        return self._loop

    def ended(self) -> str | None:
        """Return a few words if it does not run; else None."""
        return self._state

    @contextlib.asynccontextmanager
    async def in_this_loop(self, process: SandboxProcess) -> AsyncIterator[InProcessBot]:
        """Run it in the running event loop of asyncio until the block ends.

        :param process: the service, which is started if it does not run.
        :raises SandboxError: if the bot does not connect in time, with its log.
        """
        await asyncio.to_thread(self._prepare, process)
        with _captured_logs(self._output):
            self._state = None
            task = asyncio.create_task(self._run())
            try:
                await asyncio.to_thread(self.wait_until_connected)
                yield self
            finally:
                await asyncio.sleep(_LAST_ANSWERS)
                if self._stopping is not None:
                    self._stopping.set()
                await asyncio.wait([task], timeout=_STOP_LIMIT)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                process.detach(self)

    def _start(self) -> None:
        self._state = None
        self._loop = None
        self._thread = threading.Thread(target=self._run_thread, name=f"bot {self.name!r}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait for its end; harmless where it does not run.

        :raises SandboxError: if its event loop does not end, because something blocks it.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        time.sleep(_LAST_ANSWERS)
        loop, stopping = self._loop, self._stopping
        if loop is not None and stopping is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(stopping.set)
        thread.join(_STOP_LIMIT)
        if thread.is_alive():
            raise SandboxError(f"bot {self.name!r} does not end: its event loop is blocked")

    def _run_thread(self) -> None:
        with _captured_logs(self._output):
            try:
                asyncio.run(self._run_alone())
            except BaseException as error:  # it is told to who waits for the bot
                self._state = self._state or f"ended with {error!r}"

    async def _run_alone(self) -> None:
        """Run it in an event loop of its own, in which nobody is told of connections that its end cut."""
        asyncio.get_running_loop().set_exception_handler(report_unless_cancelled)
        await self._run()

    async def _run(self) -> None:
        """Run it until it ends, or :meth:`stop` is called."""
        self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        try:
            await self._serve(self._stopping)
        except BaseException as error:
            self._state = f"ended with {error!r}"
            if isinstance(error, Exception):
                self._output.write(traceback.format_exc().encode("utf-8", "replace"))
            raise
        self._state = "was stopped" if self._stopping.is_set() else "ended"

    async def _serve(self, stopping: asyncio.Event) -> None:
        address = self.address
        assert address is not None
        if self._asgi is not None:
            await _serve_asgi(self._asgi, address.port, stopping)
        elif self._lifespan is not None:  # what ``run`` of the driver does, without its handlers of signals
            _let_nonebot_dial(address)
            async with self._lifespan:
                await stopping.wait()
        else:
            task = asyncio.ensure_future(self.bot(address))
            waiting = asyncio.ensure_future(stopping.wait())
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if task.done():
                await task
            else:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def set_environment(process: SandboxProcess, env: Mapping[str, str], *, bot: str | None = None) -> None:
    """Set variables of this process, for a bot in it that reads its settings from them.

    :param process: the service, which is started if it does not run.
    :param env: with ``{ws_url}``, ``{http_url}``, ``{access_token}`` and ``{self_id}``, as for
        :class:`BotCommand`: that of :func:`nonebot_env` for example.
    :param bot: its name in the configuration; None for the first one.
    """
    process.start()
    token = process.access_token_of(bot)
    address = BotAddress(process.ws_url, process.url, token, process.self_ids[0], free_port())
    os.environ.update({name: address.fill(value) for name, value in env.items()})


def report_unless_cancelled(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an error of a callback as asyncio does, unless it is that its task was cancelled."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


async def _serve_asgi(app: Any, port: int, stopping: asyncio.Event) -> None:
    """Serve an ASGI application on a port of 127.0.0.1, with the server that it brings along.

    :raises SandboxError: if neither uvicorn nor hypercorn is installed.
    """
    order = ["uvicorn", "hypercorn"]
    if type(app).__module__.partition(".")[0] == "quart":  # which brings hypercorn, and its WebSocket
        order.reverse()
    for name in order:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if name == "uvicorn":
            await _serve_uvicorn(module, app, port, stopping)
        else:
            config = module.Config()
            config.bind = [f"127.0.0.1:{port}"]
            config.graceful_timeout = 0.2
            serve = importlib.import_module("hypercorn.asyncio").serve
            await serve(app, config, shutdown_trigger=stopping.wait)
        return
    raise SandboxError("a bot that listens in the process of the tests needs uvicorn or hypercorn")


async def _serve_uvicorn(uvicorn: Any, app: Any, port: int, stopping: asyncio.Event) -> None:
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1)
    )
    server.capture_signals = contextlib.nullcontext  # Ctrl-C is for the tests
    server.install_signal_handlers = lambda: None  # before uvicorn 0.29
    serving = asyncio.ensure_future(server.serve())
    waiting = asyncio.ensure_future(stopping.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    server.should_exit = True
    await serving


@contextlib.contextmanager
def _captured_logs(log: BoundedLog) -> Any:
    """Write what Python's logging and loguru say into a log, until the block ends."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.write(f"{self.format(record)}\n".encode("utf-8", "replace"))

    handler = Handler(logging.INFO)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    loguru = getattr(sys.modules.get("loguru"), "logger", None)
    sink = None
    if loguru is not None:
        sink = loguru.add(
            lambda message: log.write(str(message).encode("utf-8", "replace")),
            level="INFO",
            format="{level} {name}: {message}",
        )
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        if loguru is not None:
            with contextlib.suppress(ValueError):  # somebody removed it
                loguru.remove(sink)


def _is_a(bot: object, package: str, name: str) -> bool:
    """Return whether an object is of a class of a package, or of one that is derived from it."""
    return any(
        one.__name__ == name and one.__module__.partition(".")[0] == package for one in type(bot).__mro__
    )


def _let_nonebot_dial(address: BotAddress) -> None:
    """Let NoneBot2's adapter for OneBot 11 dial a sandbox, and nothing else, when its driver starts.

    It reads its settings when it is registered, which may be before the sandbox is there: where the modules
    of the tests import the plugins.
    """
    adapter = importlib.import_module("nonebot").get_adapters().get("OneBot V11")
    start = getattr(adapter, _DIALS, None)
    if adapter is None or start is None:
        return
    config = adapter.onebot_config
    prepared = bool(config.onebot_ws_urls)  # then it is told already to dial when it is ready
    config.onebot_ws_urls = {address.ws_url}
    config.onebot_access_token = address.access_token or None
    if not prepared:
        adapter.on_ready(start)


def _nonebot_token(driver: Any) -> str:
    """Return the token that NoneBot2's adapter for OneBot 11 demands; empty for none."""
    for name in ("onebot_v11_access_token", "onebot_access_token"):
        found = getattr(driver.config, name, None)
        if found:
            return str(found)
    return ""
