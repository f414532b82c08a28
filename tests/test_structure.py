"""The house rules: an import goes down, never up and never between two edges; pure rooms are pure."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.running import ROOT

PACKAGE = ROOT / "lgtwist"

#: The floors, from the ground up. Rooms of one floor may not import each other.
FLOORS: list[set[str]] = [
    {"onebot", "config", "runtime"},
    {"net"},
    {"delivery", "milky", "filters"},
    {"journal", "websocket"},
    {"hub"},
    {"accounts", "bots", "sandbox", "web", "cluster", "alerts"},
    {"console"},
    {"app"},
    {"tap", "command", "testing"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

PURE = [
    "lgtwist.onebot.action",
    "lgtwist.onebot.auth",
    "lgtwist.onebot.dialect",
    "lgtwist.onebot.errors",
    "lgtwist.onebot.event",
    "lgtwist.onebot.message",
    "lgtwist.onebot.rawjson",
    "lgtwist.config.section",
    "lgtwist.config.values",
    "lgtwist.runtime.logs",
    "lgtwist.net.backoff",
    "lgtwist.net.loopback",
    "lgtwist.websocket.assembly",
    "lgtwist.websocket.framing",
    "lgtwist.websocket.liveness",
    "lgtwist.websocket.outbox",
    "lgtwist.websocket.phase",
    "lgtwist.delivery.batch",
    "lgtwist.delivery.cursor",
    "lgtwist.delivery.delivery",
    "lgtwist.delivery.encoded_batch",
    "lgtwist.delivery.gaps",
    "lgtwist.delivery.interfaces",
    "lgtwist.delivery.log",
    "lgtwist.delivery.refusals",
    "lgtwist.delivery.replay",
    "lgtwist.delivery.window",
    "lgtwist.hub.calls",
    "lgtwist.hub.deliveries",
    "lgtwist.hub.interfaces",
    "lgtwist.hub.presence",
    "lgtwist.hub.permissions",
    "lgtwist.hub.quick_operations",
    "lgtwist.hub.rate_limit",
    "lgtwist.hub.bot",
    "lgtwist.hub.account",
    "lgtwist.hub.directory",
    "lgtwist.journal.chunk",
    "lgtwist.journal.commit_queue",
    "lgtwist.journal.journal",
    "lgtwist.journal.losses",
    "lgtwist.journal.sqlite",
    "lgtwist.journal.tail",
    "lgtwist.journal.worker",
    "lgtwist.sandbox.params",
    "lgtwist.sandbox.world.model",
    "lgtwist.sandbox.world.world",
    "lgtwist.sandbox.world.operations",
    "lgtwist.sandbox.control.verbs",
    "lgtwist.sandbox.actions",
    "lgtwist.sandbox.files.media",
    "lgtwist.sandbox.files.attachments",
    "lgtwist.web.routes",
    "lgtwist.web.local_origin",
    "lgtwist.app.configuration",
]


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "lgtwist" and len(parts) > 1 else None


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


class StructureTests(SynchronousTestCase):
    def test_imports_go_down(self) -> None:
        """No room imports a higher one, or another one of its own floor."""
        wrong = []
        for path in sorted(PACKAGE.rglob("*.py")):
            name = path.relative_to(PACKAGE).with_suffix("").parts
            if name[0] == "__init__":
                continue
            mine = name[0]
            self.assertIn(mine, FLOOR, f"a room without a floor: {mine}")
            for module in imports(path):
                other = room_of(module)
                if other is not None and other != mine and FLOOR[other] >= FLOOR[mine]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {module}")
        self.assertEqual(wrong, [])

    def test_the_plugin_imports_nothing_of_ours(self) -> None:
        """``twistd --help`` of other people must not pay for us."""
        modules = imports(ROOT / "twisted" / "plugins" / "lgtwist_plugin.py")
        self.assertEqual(modules, ["twisted.application.service"])
        for folder in ("twisted", "twisted/plugins"):
            self.assertFalse((ROOT / folder / "__init__.py").exists())

    def test_pure_modules_install_no_reactor(self) -> None:
        """Pure modules can be imported and no reactor is there afterwards."""
        check = (
            "import importlib, sys\n"
            f"for name in {PURE!r}:\n"
            "    importlib.import_module(name)\n"
            "    assert 'twisted.internet.reactor' not in sys.modules, name\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_only_the_factory_sends(self) -> None:
        """No module but the factory calls sendMessage."""
        callers = [
            path.name
            for path in PACKAGE.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute) and node.attr in ("sendMessage", "sendPreparedMessage")
        ]
        self.assertEqual(callers, ["factory.py"])
