"""An euler-onebot implementation, unmodified, whose QQ side is the stub beside this file.

PORT        where its forward WebSocket listens, on 127.0.0.1; it knows no token
SELF_ID     the account

The package has no command of its own: its users start it by lines like these. What is written to the file
"inbox" in its working directory arrives as messages from QQ: a JSON object a line, with "user_id", "text" and
perhaps "group_id". What it sends to QQ is added to the file "outbox": a line each, of where, number and
elements.
On stdout: READY before it listens.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

SETTINGS = {
    "connections": [{"type": "ForwardWebSocket", "url": f"ws://127.0.0.1:{os.environ['PORT']}"}],
    "login": {"uin": int(os.environ["SELF_ID"])},
    "heartbeat": {"enabled": True, "interval": 500},
}
Path("appconfig.json").write_text(json.dumps(SETTINGS), "utf-8")

from euleronebot.hyperogger import Logger  # noqa: E402

Logger.create("euler", "INFO", use_nf=False)

from euleronebot.config import load_config  # noqa: E402
from euleronebot.onebot import Adapter  # noqa: E402
from euleronebot.protocol import LagrangeProtocol  # noqa: E402

print("READY", flush=True)  # noqa: T201
asyncio.run(LagrangeProtocol(Adapter(load_config("appconfig.json").connections)).run())
