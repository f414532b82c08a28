"""A NoneBot2 program that calls every action of a list, over its WebSocket or over the HTTP API.

CALLS names a file with ``[[action, params], ...]``; what came of each is written as JSON to RESULTS.
WAY is "websocket" or "http".
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nonebot
from nonebot.adapters.onebot.v11 import ActionFailed, Adapter, Bot

nonebot.init()
driver = nonebot.get_driver()
driver.register_adapter(Adapter)


async def call(bot: Bot, action: str, params: dict[str, Any]) -> Any:
    """What an action returns, or what it fails with."""
    try:
        return {"data": await bot.call_api(action, **params)}
    except ActionFailed as failed:
        return {"failed": failed.info.get("retcode")}
    except Exception as error:
        return {"error": repr(error)}


@driver.on_bot_connect
async def connected(bot: Bot) -> None:
    """Call everything."""
    if os.environ["WAY"] == "http":
        bot = Bot(bot.adapter, "http")  # ONEBOT_API_ROOTS names its address; it has no WebSocket
    calls = json.loads(Path(os.environ["CALLS"]).read_text())
    results = [[action, await call(bot, action, params)] for action, params in calls]
    done = Path(os.environ["RESULTS"])
    done.with_suffix(".part").write_text(json.dumps(results))
    done.with_suffix(".part").rename(done)


nonebot.run()
