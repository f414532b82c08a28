"""The test over plain HTTP of docs/testing-a-bot.md, run as it stands there, with a real NoneBot2."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.running import ROOT
from tests.processes import free_port

PROGRAM = Path(__file__).parent / "bots" / "nonebot_echo.py"
EXAMPLE = ROOT / "examples" / "testing" / "http" / "test_bot.py"


class DocumentedTests(SynchronousTestCase):
    def test_the_example(self) -> None:
        """The example passes with a bot that echoes."""
        written = EXAMPLE.read_text("utf-8")
        self.assertLess(len(written.splitlines()), 40)
        port = free_port()
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "lgtwist.toml").write_text(f'[server]\nendpoints = ["tcp:{port}:interface=127.0.0.1"]\n')
        here = os.getcwd()
        settings = {
            "DRIVER": "~websockets",
            "ONEBOT_WS_URLS": f'["ws://127.0.0.1:{port}/"]',
            "PYTHONPATH": str(ROOT),
        }
        before = dict(os.environ)
        os.environ.update(settings)
        os.chdir(folder)
        try:
            names: dict[str, object] = {}
            exec(compile(written.replace("PORT = 8081", f"PORT = {port}"), str(EXAMPLE), "exec"), names)
            test = names["test_echo"]
            assert callable(test)
            test([sys.executable, str(PROGRAM)])
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(before)
