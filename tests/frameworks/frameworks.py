"""The programs in this folder as child processes: bots on real frameworks.

Everything here blocks: a test needs no reactor. The Node packages (Node 20 or later, 27 MB) come at first
use by ``npm ci``, outside of the checkout: below LGTWIST_TEST_NODE, else in the system's temporary directory.
So do the virtual environments (150 MB) of those Python programs that need one of their own, by ``pip``.
What cannot be had skips the test with the reason, and fails it where LGTWIST_TEST_REQUIRE_ALL=1.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn
from unittest import SkipTest

from tests.processes import PATIENCE, ChildProcess, free_port, inherited_environment, wait_until

HERE = Path(__file__).resolve().parent

#: A framework's name, its program, and what it needs of PyPI beside us. A folder is a Node program, or, where
#: it has a ``requirements.txt``, a Python program with a virtual environment of its own.
PROGRAMS: dict[str, tuple[Path, list[str]]] = {
    "nonebot": (HERE / "nonebot_reverse.py", ["nonebot2", "nonebot-adapter-onebot", "uvicorn"]),
    "aiocqhttp": (HERE / "aiocqhttp_bot.py", ["aiocqhttp"]),
    "koishi": (HERE / "koishi", []),
    "napcat-ts": (HERE / "napcat_ts", []),
    "cq-websocket": (HERE / "cq_websocket", []),
    "cqhttp": (HERE / "cqhttp", []),
    "nekomoe": (HERE / "nekomoe", []),
    "qcrbot": (HERE / "qcrbot", []),
    "euler": (HERE / "euler", []),
}
#: Those that listen.
LISTENING = ("nonebot", "aiocqhttp", "cqhttp", "nekomoe", "euler")
#: Those that need a newer Python than we do.
PYTHON_311 = ("nekomoe", "euler")
#: ``node-gyp`` and other scripts of packages are not run: none is needed.
NPM_CI = (
    "npm ci --omit=dev --ignore-scripts --no-audit --no-fund"
    " --fetch-retries=1 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=2000 --fetch-timeout=30000"
)
PIP_INSTALL = (
    "bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps"
    " --retries 1 --timeout 30 --requirement requirements.txt"
)
#: Seconds that npm or pip may take, and seconds that a program may take until it is ready, on a busy machine.
INSTALL_PATIENCE = 300
START_PATIENCE = 4 * PATIENCE

_not_to_be_had: dict[Path, str] = {}


def not_available(reason: str) -> NoReturn:
    """Skip the test; or fail it, where everything must run."""
    if os.environ.get("LGTWIST_TEST_REQUIRE_ALL") == "1":
        raise AssertionError(reason)
    raise SkipTest(reason)


def is_installed(distribution: str) -> bool:
    """Return whether a distribution of PyPI is installed here."""
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def need(*distributions: str) -> None:
    """Skip the test, or fail it, where one of these is not installed."""
    if missing := [name for name in distributions if not is_installed(name)]:
        not_available(f"not installed: {', '.join(missing)}")


def _node() -> str:
    """The version of Node, once it is clear that it and npm are there and new enough."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        not_available(f"not installed: {', '.join(missing)}")
    version = subprocess.run(
        ["node", "--version"], capture_output=True, text=True, timeout=PATIENCE, check=True
    ).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < 20:
        not_available(f"Node 20 or later is needed, this is {version}")
    return version


def _cache() -> Path:
    """The folder that keeps installed packages. It is ours alone: what lies in it is run."""
    if given := os.environ.get("LGTWIST_TEST_NODE"):
        folder = Path(given).absolute()
        folder.mkdir(parents=True, exist_ok=True)
    else:
        folder = Path(tempfile.gettempdir()) / f"lgtwist-test-node-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.lstat().st_uid != os.getuid():
            not_available(f"{folder} belongs to somebody else; set LGTWIST_TEST_NODE")
    return folder


def node_modules(package_folder: Path) -> Path:
    """The ``node_modules`` of a package, installed at its first use as its ``package-lock.json`` says.

    :raise SkipTest: there is no node, no npm, or no registry.
    :raise AssertionError: instead, where LGTWIST_TEST_REQUIRE_ALL=1.
    """
    names = ("package.json", "package-lock.json")
    return _installed(package_folder, names, _node(), _npm_ci) / "node_modules"


def own_python(package_folder: Path) -> Path:
    """The interpreter of a virtual environment, made at its first use as ``requirements.txt`` says.

    :raise SkipTest: there is no pip, or no registry.
    :raise AssertionError: instead, where LGTWIST_TEST_REQUIRE_ALL=1.
    """
    version = f"{sys.executable} {sys.version}"
    return _installed(package_folder, ("requirements.txt",), version, _virtual_environment) / "bin/python"


def _installed(
    package_folder: Path, names: Sequence[str], version: str, installer: Callable[[Path], str]
) -> Path:
    """The folder where the packages are that are named by files of another folder.

    One process installs, others wait for it. One that dies in the middle leaves nothing that another would
    take for complete.

    :param names: the files that name the packages.
    :param version: of what runs them.
    :param installer: installs into a folder that has these files; returns why it failed, if it did.
    """
    if package_folder in _not_to_be_had:
        not_available(_not_to_be_had[package_folder])
    digest = hashlib.sha256(version.encode())
    for name in names:
        digest.update((package_folder / name).read_bytes())
    cache = _cache()
    key = f"{package_folder.name}-{digest.hexdigest()[:16]}"
    done = cache / key
    with (cache / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it, however we end
        if not done.exists():
            for left in cache.glob(
                f"{key}.part-*"
            ):  # by one that was killed; its installer may be busy there still
                shutil.rmtree(left, ignore_errors=True)
            part = Path(tempfile.mkdtemp(prefix=f"{key}.part-", dir=cache))
            for name in names:
                shutil.copyfile(package_folder / name, part / name)
            reason = installer(part)
            if reason:
                shutil.rmtree(part, ignore_errors=True)
                _not_to_be_had[package_folder] = reason
                not_available(reason)
            part.rename(done)
    return done


def install(
    name: str, command: list[str], folder: Path, patience: float, env: dict[str, str] | None = None
) -> tuple[str, str]:
    """Run an installer in a folder: why it failed, empty if it did not, and all that it said.

    :param name: how it is called in sentences.
    :param patience: seconds.
    """
    with subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # it has children, and they hold its pipe
    ) as installer:
        try:
            output = installer.communicate(timeout=patience)[0].decode("utf-8", "replace")
        except BaseException as error:
            os.killpg(installer.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return f"{name} took more than {patience} s", ""
            raise
    return f"{name} failed: {output[-500:]}" if installer.returncode else "", output


def _npm_ci(folder: Path) -> str:
    """Run npm; why it failed, if it did."""
    reason, output = install("npm ci", NPM_CI.split(), folder, INSTALL_PATIENCE)
    errors = [line for line in output.splitlines() if line.startswith("npm error")]
    return f"npm ci failed: {' / '.join(errors[:4])}" if reason and errors else reason


def _virtual_environment(folder: Path) -> str:
    """Make one and run its pip; why it failed, if it did. It may be renamed: only its interpreter is used."""
    # ``trial -j`` names our packages in PYTHONPATH: pip would take them for installed there.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    reason, _output = install("venv", [sys.executable, "-m", "venv", "."], folder, INSTALL_PATIENCE, env)
    if not reason:
        reason, _output = install("pip install", PIP_INSTALL.split(), folder, INSTALL_PATIENCE, env)
    return reason


class Framework(ChildProcess):
    """A program on a bot framework, as a child process in a folder of its own.

    :param name: one of ``PROGRAMS``.
    :param folder: its working directory, where its log is too.
    :param env: its settings; the comment at the head of each program names them. HOST and PORT are added for
        one that listens: a free port, the same after a restart.
    """

    def __init__(self, name: str, folder: Path, env: dict[str, str] | None = None) -> None:
        self.name = name
        self.env = dict(env or {})
        self.port = 0
        self._started_at = 0
        program, distributions = PROGRAMS[name]
        own = program / "requirements.txt"
        if name in PYTHON_311 and sys.version_info < (3, 11):
            raise SkipTest(f"{name} needs Python 3.11 or later")
        if own.exists():
            python = str(own_python(program))
        elif program.is_dir():
            packages = node_modules(program)
        else:
            drivers = [part.lstrip("~") for part in self.env.get("DRIVER", "").split("+") if part]
            need(*distributions, *drivers)
        super().__init__(folder)
        if name in LISTENING or (name == "koishi" and self.env["PROTOCOL"] != "ws"):
            self.port = int(self.env.setdefault("PORT", str(free_port())))
            self.env.setdefault("HOST", "127.0.0.1")
        if own.exists():
            self.command = [python, str(program / "program.py")]
        elif program.is_dir():
            # beside its packages, as Node looks for them; not in the repository, and not in the cache
            for file in (program / "package.json", program / "index.js"):
                shutil.copyfile(file, self.folder / file.name)
            with contextlib.suppress(FileExistsError):
                (self.folder / "node_modules").symlink_to(packages)
            self.command = ["node", str(self.folder / "index.js")]
        else:
            self.command = [sys.executable, str(program)]
        self.start()

    def url(self, path: str = "/", scheme: str = "ws") -> str:
        """Where it listens."""
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        """Start it, or start it again. It is not ready yet: :meth:`wait_ready`."""
        self._started_at = len(self.log())
        env = {**inherited_environment(), "PYTHONUNBUFFERED": "1", **self.env}
        if (PROGRAMS[self.name][0] / "requirements.txt").exists():
            env.pop("PYTHONPATH", None)  # ``trial -j`` puts our packages there, before its own
        self.spawn(self.command, env)

    def wait_ready(self, patience: float = START_PATIENCE) -> None:
        """Wait until it has said READY since it was started, and its port is open if it listens."""
        self._wait("is ready", self._ready, patience)

    def _ready(self) -> bool:
        if not self.alive():
            raise AssertionError(f"{self.name} has ended")
        if not re.search(r"^READY$", self.log()[self._started_at :], re.MULTILINE):
            return False
        return not self.port or _listens(self.port)

    def count(self, line: str) -> int:
        """How often it has written a line, in all its lives: ``CONNECTED 10001``."""
        return self.log().splitlines().count(line)

    def wait_line(self, line: str, times: int = 1, patience: float = START_PATIENCE) -> None:
        """Wait until it has written a line so many times, in all its lives."""
        self._wait(f"says {times} times {line!r}", lambda: self.count(line) >= times, patience)

    def _wait(self, what: str, ready: Callable[[], bool], patience: float) -> None:
        try:
            wait_until(f"{self.name} {what}", ready, patience)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def restart(self) -> None:
        """Kill it, start it again, and wait until it is ready."""
        self.kill()
        self.start()
        self.wait_ready()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            return True
    except OSError:
        return False
