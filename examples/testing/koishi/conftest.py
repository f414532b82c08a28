import pytest

from lgtwist.testing import BotCommand


@pytest.fixture(scope="session", autouse=True)
def bot(sandbox_process):
    env = {"PORT": "{port}", "SELF_ID": "{self_id}"}
    with BotCommand(["node", "index.js"], env=env, url="ws://127.0.0.1:{port}/onebot").start(sandbox_process) as bot:
        yield bot
