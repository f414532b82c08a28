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
    {"runtime"},
    {"onebot", "config"},
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
    "lgtwist.accounts.milky.history",
    "lgtwist.accounts.milky.missed_requests",
    "lgtwist.onebot.action",
    "lgtwist.onebot.auth",
    "lgtwist.onebot.bounds",
    "lgtwist.onebot.catalogue",
    "lgtwist.onebot.dialect",
    "lgtwist.onebot.errors",
    "lgtwist.onebot.event",
    "lgtwist.onebot.message",
    "lgtwist.onebot.params",
    "lgtwist.onebot.rawjson",
    "lgtwist.onebot.responses",
    "lgtwist.onebot.values",
    "lgtwist.filters.document",
    "lgtwist.filters.go_cqhttp",
    "lgtwist.filters.gjson",
    "lgtwist.filters.javascript",
    "lgtwist.filters.mistakes",
    "lgtwist.filters.reading",
    "lgtwist.filters.regexes",
    "lgtwist.filters.rows",
    "lgtwist.filters.sift",
    "lgtwist.filters.sift_operations",
    "lgtwist.filters.subject",
    "lgtwist.alerts.alert",
    "lgtwist.alerts.answers",
    "lgtwist.alerts.formats",
    "lgtwist.alerts.rules",
    "lgtwist.alerts.settings",
    "lgtwist.alerts.signatures",
    "lgtwist.alerts.templates",
    "lgtwist.alerts.texts",
    "lgtwist.config.section",
    "lgtwist.config.toml_places",
    "lgtwist.config.values",
    "lgtwist.runtime.budget",
    "lgtwist.runtime.file_trouble",
    "lgtwist.runtime.foreign_lines",
    "lgtwist.runtime.log_text",
    "lgtwist.runtime.log_file",
    "lgtwist.runtime.logs",
    "lgtwist.runtime.platform",
    "lgtwist.milky.blocks",
    "lgtwist.milky.flags",
    "lgtwist.net.backoff",
    "lgtwist.net.loopback",
    "lgtwist.websocket.assembly",
    "lgtwist.websocket.framing",
    "lgtwist.websocket.liveness",
    "lgtwist.websocket.outbox",
    "lgtwist.websocket.phase",
    "lgtwist.milky.actions",
    "lgtwist.delivery.batch",
    "lgtwist.delivery.counters",
    "lgtwist.delivery.cursor",
    "lgtwist.delivery.delivery",
    "lgtwist.delivery.encoded_batch",
    "lgtwist.delivery.gaps",
    "lgtwist.delivery.interfaces",
    "lgtwist.delivery.judging",
    "lgtwist.delivery.log",
    "lgtwist.delivery.missing_events",
    "lgtwist.delivery.newest",
    "lgtwist.delivery.read_ahead",
    "lgtwist.delivery.redeliveries",
    "lgtwist.delivery.refusals",
    "lgtwist.delivery.replay",
    "lgtwist.delivery.sending",
    "lgtwist.delivery.sinks",
    "lgtwist.delivery.waits",
    "lgtwist.delivery.window",
    "lgtwist.hub.calls",
    "lgtwist.hub.deliveries",
    "lgtwist.hub.interfaces",
    "lgtwist.hub.presence",
    "lgtwist.hub.permissions",
    "lgtwist.hub.sent_messages",
    "lgtwist.hub.quick_operations",
    "lgtwist.hub.rate_limit",
    "lgtwist.hub.bot",
    "lgtwist.hub.account",
    "lgtwist.hub.directory",
    "lgtwist.hub.snapshots",
    "lgtwist.journal.backpressure",
    "lgtwist.journal.chunk",
    "lgtwist.journal.commit_queue",
    "lgtwist.journal.journal",
    "lgtwist.journal.losses",
    "lgtwist.journal.sqlite",
    "lgtwist.journal.tail",
    "lgtwist.journal.worker",
    "lgtwist.sandbox.action_log",
    "lgtwist.sandbox.delays",
    "lgtwist.sandbox.event_log",
    "lgtwist.sandbox.faults",
    "lgtwist.sandbox.params",
    "lgtwist.sandbox.pausing",
    "lgtwist.sandbox.waiters",
    "lgtwist.sandbox.world.model",
    "lgtwist.sandbox.world.world",
    "lgtwist.sandbox.world.operations",
    "lgtwist.sandbox.control.faults",
    "lgtwist.sandbox.control.log",
    "lgtwist.sandbox.control.verbs",
    "lgtwist.sandbox.actions",
    "lgtwist.sandbox.files.media",
    "lgtwist.sandbox.files.attachments",
    "lgtwist.web.routes",
    "lgtwist.web.local_origin",
    "lgtwist.web.settings",
    "lgtwist.console.reasons",
    "lgtwist.app.configuration",
    "lgtwist.app.masks",
    "lgtwist.app.replace_file",
    "lgtwist.app.write_back",
    "lgtwist.milky.entities",
    "lgtwist.milky.events",
    "lgtwist.milky.fields",
    "lgtwist.milky.frames",
    "lgtwist.milky.incoming",
    "lgtwist.milky.messages",
    "lgtwist.milky.notices",
    "lgtwist.milky.composition",
    "lgtwist.milky.finding",
    "lgtwist.milky.media",
    "lgtwist.milky.outgoing",
    "lgtwist.milky.resending",
    "lgtwist.milky.simple_segments",
    "lgtwist.milky.plain_messages",
    "lgtwist.milky.recent",
    "lgtwist.milky.uris",
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


#: The one module per framework that names what is private there.
PRIVATE_REACH = {"lgtwist/net/twisted_private.py", "lgtwist/websocket/autobahn_private.py"}
#: Private by their name, but documented: of named tuples, and of the standard library.
DOCUMENTED = {"_replace", "_asdict", "_exit"}
FRAMEWORKS = ("twisted", "autobahn", "txaio", "OpenSSL", "service_identity")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_imports(path: Path) -> list[str]:
    """The private modules and names that a module imports from a framework."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            first, *others = name.split(".")
            if first in FRAMEWORKS and any(map(is_private, others)):
                found.append(name)
    return found


def private_names_defined(path: Path) -> set[str]:
    """The private attributes and functions that a module defines itself."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return {name for name in found if is_private(name)}


def private_names_used(path: Path) -> set[str]:
    """The private attributes that a module reads, writes, declares or overrides."""
    tree = ast.parse(path.read_text("utf-8"))
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in found if is_private(name)}


#: The one module that names what not every system has.
PLATFORM = "lgtwist/runtime/platform.py"
#: Modules of the standard library, and names of ``os``, ``signal`` and ``socket``, that only POSIX systems
#: have.
POSIX_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
POSIX_NAMES = {
    "os": {
        *("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "O_DSYNC"),
        *("ST_RDONLY", "chown", "fchmod", "fchown", "fork", "forkpty", "fstatvfs", "getegid", "geteuid"),
        *("getgid", "getgroups", "getloadavg", "getpgid", "getsid", "getuid", "kill", "killpg", "lchown"),
        *("mkfifo", "nice", "posix_fadvise", "posix_fallocate", "pread", "preadv", "pwrite", "pwritev"),
        *("sendfile", "setsid", "setuid", "setgid", "statvfs", "sysconf", "uname", "wait", "waitid"),
    },
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "SIGUSR2", "alarm", "pause"},
    "socket": {"AF_UNIX", "MSG_DONTWAIT", "MSG_NOSIGNAL", "SCM_RIGHTS", "sethostname", "socketpair"},
}


def posix_names(path: Path) -> set[str]:
    """What a module imports or names that POSIX systems only have."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & POSIX_MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or ""} & POSIX_MODULES
            named = {alias.name for alias in node.names} & POSIX_NAMES.get(node.module or "", set())
            found |= {f"{node.module}.{name}" for name in named}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in POSIX_NAMES.get(node.value.id, ()):
                found.add(f"{node.value.id}.{node.attr}")
    return found


class PlatformTests(SynchronousTestCase):
    def test_one_module(self) -> None:
        """What POSIX systems only have is named in one module; Windows can import all others."""
        found = {str(path.relative_to(ROOT)): posix_names(path) for path in sorted(PACKAGE.rglob("*.py"))}
        self.assertTrue(found.pop(PLATFORM))
        self.assertEqual({path: names for path, names in found.items() if names}, {})

    def test_the_check_finds_what_it_looks_for(self) -> None:
        """An import and a name are found, and nothing else."""
        path = Path(self.mktemp())
        path.write_text(
            "import os, fcntl\nfrom pwd import getpwuid\nfrom signal import SIGHUP, SIGTERM\n"
            "os.open('x', os.O_RDONLY | os.O_CLOEXEC)\n"
        )
        self.assertEqual(posix_names(path), {"fcntl", "pwd", "signal.SIGHUP", "os.O_CLOEXEC"})


class PrivateReachTests(SynchronousTestCase):
    """What Twisted and Autobahn keep private is named in one module for each of them."""

    def modules(self) -> list[Path]:
        paths = sorted(PACKAGE.rglob("*.py"))
        return [path for path in paths if str(path.relative_to(ROOT)) not in PRIVATE_REACH]

    def test_imports(self) -> None:
        """No other module imports a private name of a framework."""
        found = {str(path.relative_to(ROOT)): private_imports(path) for path in self.modules()}
        self.assertEqual({path: names for path, names in found.items() if names}, {})
        for path in PRIVATE_REACH:
            self.assertTrue((ROOT / path).exists(), path)

    def test_attributes(self) -> None:
        """Each private attribute that another module uses is one that some module of ours defines."""
        ours = set().union(*map(private_names_defined, self.modules())) | DOCUMENTED
        foreign = {str(path.relative_to(ROOT)): private_names_used(path) - ours for path in self.modules()}
        self.assertEqual({path: names for path, names in foreign.items() if names}, {})

    def test_overrides(self) -> None:
        """No other module overrides what the two modules reach into of Autobahn."""
        names = {
            "_dataReceived",
            "_connectionLost",
            "_connectionMade",
            "_fail_connection",
            "_closeConnection",
        }
        for path in self.modules():
            self.assertEqual(private_names_defined(path) & names, set(), str(path))

    def test_the_check_finds_what_it_looks_for(self) -> None:
        """A private import and a private attribute of somebody else are found."""
        path = Path(self.mktemp())
        path.write_text(
            "from twisted.web._newclient import HEADER\nfrom twisted.web.client import URI, _Factory\n"
            "import autobahn._util\nclass A:\n    def _mine(self):\n        self._own = self._theirs\n"
        )
        self.assertEqual(
            private_imports(path),
            ["twisted.web._newclient.HEADER", "twisted.web.client._Factory", "autobahn._util"],
        )
        self.assertEqual(private_names_defined(path), {"_mine", "_own"})
        self.assertEqual(private_names_used(path), {"_own", "_theirs"})
