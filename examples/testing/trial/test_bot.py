import sys
from pathlib import Path

from lgtwist.testing import BotCommand, nonebot_env
from lgtwist.testing.trial import SandboxTestCase

FOLDER = Path(__file__).parent.parent / "nonebot2"


class BotTests(SandboxTestCase):
    sandbox_bots = [BotCommand([sys.executable, "bot.py"], cwd=FOLDER, env=nonebot_env())]

    async def test_echo(self):
        await self.alice.says("/echo hello")
        await self.expect.reply("hello")
