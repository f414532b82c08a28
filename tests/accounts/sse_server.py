"""A server of server-sent events on aiohttp, for one test: ``python -m tests.accounts.sse_server``.

It prints its port. The first request is answered with 401; each later stream has a thousand events at once, a
heartbeat and one event more, and ends.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

#: Events of one stream that come at once.
MANY = 1000


async def serve() -> None:
    """Serve until the standard input ends."""
    requests = 0

    async def events(request: web.Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        if requests == 1 or request.headers.get("Authorization") != "Bearer SECRET":
            return web.Response(status=401)
        assert request.headers["Accept"] == "text/event-stream"
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": welcome\r\n\r\n")
        await response.write(
            b"".join(b'event: milky_event\r\ndata: {"n":%d}\r\n\r\n' % number for number in range(MANY))
        )
        await asyncio.sleep(0.02)
        await response.write(b": heartbeat\n\n")
        await response.write(b'data: {"n":\ndata: %d}\n\n' % MANY)
        await response.write_eof()
        return response

    app = web.Application()
    app.router.add_get("/milky/event", events)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
