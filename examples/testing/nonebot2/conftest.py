import sys

import pytest

from lgtwist.testing import BotCommand, nonebot_env


@pytest.fixture(scope="session", autouse=True)
def bot(sandbox_process):
    with BotCommand([sys.executable, "bot.py"], env=nonebot_env()).start(sandbox_process) as bot:
        yield bot
