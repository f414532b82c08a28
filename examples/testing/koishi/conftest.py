import pytest

from lgtwist.testing import BotCommand


@pytest.fixture(scope="session", autouse=True)
def bot(sandbox_process):
    command = BotCommand(
        ["node", "index.js"],
        env={"PORT": "{port}", "SELF_ID": "{self_id}"},
        url="ws://127.0.0.1:{port}/onebot",  # lgtwist dials the bot
    )
    with command.start(sandbox_process) as bot:
        yield bot
