"""The whole service without the modules and names that Windows lacks: it starts, serves, reloads, stops."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import urllib.request
import zipfile

from tests.integration.commands import RunTestCase, answers
from tests.integration.rawclient import RawClient
from tests.integration.running import PATIENCE, ROOT

_BOT = """[[bots]]
name = "bot"
access_token = "bot-token-0123456789"
delivery = "at-least-once"
"""


class WithoutPosix(RunTestCase):
    program = (sys.executable, str(ROOT / "tests" / "integration" / "without_posix.py"))

    def api(self, path: str, body: object = None) -> dict[str, object]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": "Bearer admin-token-0123456789", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return dict(json.loads(answer.read() or b"{}"))

    def test_everything(self) -> None:
        """Journal, sandbox, bot, reload, backup, a second service, the end: nothing is logged as wrong."""
        config = self.write(_BOT, 'admin_token = "admin-token-0123456789"')
        process = self.run_on("run", "--config", config)
        token = {"Authorization": "Bearer bot-token-0123456789"}
        with RawClient(None, "/", port=self.port, headers=token) as bot:
            self.assertEqual(bot.message()["meta_event_type"], "lifecycle")
            picture = {"type": "image", "data": {"file": "base64://iVBORw0KGgo="}}
            self.api("sandbox/10001/say", {"user_id": 20001, "message": [picture]})
            self.assertEqual(bot.event(post_type="message")["message"][0]["type"], "image")
            call = {"action": "send_private_msg", "params": {"user_id": 20001, "message": "x"}, "echo": 1}
            bot.send(json.dumps(call).encode())
            self.assertEqual(bot.response()["status"], "ok")
            config.write_text(
                config.read_text() + '[[bots]]\nname = "other"\naccess_token = "t-0123456789"\n'
            )
            self.assertTrue(self.api("console/api/reload", {})["applied"])
        backup = self.folder / "backup.zip"
        made = self.run_to_end("backup", "--config", config, "--output", backup)
        self.assertEqual((made.returncode, made.stderr), (0, ""))
        self.assertIn("made by the running service", made.stdout)
        self.assertIn("journal.sqlite", " ".join(zipfile.ZipFile(backup).namelist()))
        second = self.run_to_end("run", "--config", config)
        self.assertIn("is in use by another lgtwist", second.stderr)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertFalse(answers(self.port))
        for wrong in ("Traceback", "Error", "#error", "#critical"):
            self.assertNotIn(wrong, self.log())
        with sqlite3.connect(self.data / "journal.sqlite") as journal:
            self.assertTrue(journal.execute("SELECT bot FROM cursor").fetchall())

    def test_other_commands(self) -> None:
        """``init``, ``check`` and ``token`` do not need them either."""
        config = self.folder / "new.toml"
        for command in (["init"], ["check"]):
            done = subprocess.run(
                [*self.program, *command, "--config", str(config)],
                cwd=self.folder,
                env=self.environment(),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            self.assertEqual((done.returncode, "Traceback" in done.stderr), (0, False), done.stderr)
