import pytest
from bot import bot as aiocqhttp_bot

from lgtwist.testing import InProcessBot


@pytest.fixture(scope="session", autouse=True)
def bot(sandbox_process):
    with InProcessBot(aiocqhttp_bot).start(sandbox_process) as bot:
        yield bot
