"""Who changes the state of a connection: its own methods, and nobody else."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.running import ROOT

ROOM = ROOT / "lgtwist" / "websocket"

#: Hot paths that write an attribute of a connection from outside, as "module.py: attribute"; each with a
#: reason here. There is none at present.
EXCEPTIONS: set[str] = set()


def attributes_written(path: Path, name: str) -> list[str]:
    """The attributes of the variable ``name`` that a module assigns, deletes, or sets by ``setattr``."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)):
            if isinstance(node.value, ast.Name) and node.value.id == name:
                found.append(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            found.append("setattr")
    return sorted(found)


class OwnershipTests(SynchronousTestCase):
    def test_only_a_connection_changes_its_state(self) -> None:
        """No other module of the room assigns an attribute of a connection, but for listed hot paths."""
        written = {
            f"{path.name}: {attribute}"
            for path in ROOM.glob("*.py")
            if path.name != "connection.py"
            for attribute in attributes_written(path, "connection")
        }
        self.assertEqual(written, EXCEPTIONS)

    def test_the_check_finds_what_it_looks_for(self) -> None:
        """Assignments of all forms are found."""
        path = Path(self.mktemp())
        path.write_text(
            "connection.a = connection.b = 1\nconnection.c += 1\nconnection.d: int = 1\n"
            "x, connection.e = 1, 2\ndel connection.f\nsetattr(connection, 'g', 1)\nother.h = connection.i\n"
        )
        self.assertEqual(attributes_written(path, "connection"), ["a", "b", "c", "d", "e", "f", "setattr"])
