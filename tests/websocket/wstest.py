"""The Autobahn testsuite's ``wstest`` as a child process: with it WebSocket libraries are tested.

It runs on Python 2.7 only, so it has packages of its own, which come from PyPI at first use, outside of the
checkout: in the system's temporary directory. What cannot be had skips the test with the reason, and fails it
where LGTWIST_TEST_REQUIRE_ALL=1; only Python 2.7 itself is never required.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import SkipTest

from attrs import field, frozen
from twisted.internet import reactor as installed
from twisted.internet.task import deferLater

from tests.frameworks.frameworks import install, not_available
from tests.integration.running import PATIENCE, wait_until

reactor: Any = installed

#: The last versions that go together, and nothing that is not imported. All are wheels or need no compiler.
PACKAGES = (
    "attrs==21.4.0 autobahn==0.10.9 autobahntestsuite==25.10.1 cffi==1.15.1 constantly==15.1.0"
    " cryptography==3.3.2 enum34==1.1.10 hyperlink==21.0.0 idna==2.10 incremental==22.10.0 ipaddress==1.0.23"
    " jinja2==2.11.3 markupsafe==1.1.1 pyOpenSSL==21.0.0 six==1.17.0 Twisted==20.3.0 txaio==2.1.0"
    " typing==3.10.0.0 zope.interface==5.4.0"
).split()
#: Masks and checks UTF-8 in C; needs a compiler, and where there is none wstest takes three times as long.
QUICKER = ["wsaccel==0.6.2"]
PIP = "-m pip install -q --disable-pip-version-check --no-deps --retries 1 --timeout 15 --target".split()
PIP_PATIENCE = 300

#: Its first argument is the folder with the packages, the others are wstest's. It listens on this machine
#: only. Who has not done the right thing after a second has failed, says wstest; here, after five: machines
#: are busy.
DRIVER = """
import site, sys, unittest
from functools import partial
site.addsitedir(sys.argv.pop(1))
sys.modules["unittest2"] = unittest  # for a part that is not used
from autobahntestsuite import wstest
fuzzing = wstest.fuzzing
fuzzing.listenWS = partial(fuzzing.listenWS, interface="127.0.0.1")
def patiently(after):
    return lambda protocol, delay: after(protocol, 5 * delay)
fuzzing.FuzzingProtocol.killAfter = patiently(fuzzing.FuzzingProtocol.killAfter)
fuzzing.FuzzingProtocol.closeAfter = patiently(fuzzing.FuzzingProtocol.closeAfter)
wstest.run()
"""
#: By its mode. The same for the end of connections.
OPTIONS = {
    "fuzzingclient": {"closeHandshakeTimeout": 5, "serverConnectionDropTimeout": 5},
    "fuzzingserver": {"closeHandshakeTimeout": 5},
}

_found: list[str] = []
_not_to_be_had: list[str] = []


def _python() -> list[str] | None:
    """A Python 2.7 with pip, without our own settings for Python; None if there is none."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for candidate in (*sorted(map(str, versions.glob("2.7.*/bin/python2.7"))), shutil.which("python2.7")):
        if candidate is not None:
            command = [candidate, "-E", "-s"]
            check = [*command, "-c", "import pip, sys; assert sys.version_info[:2] == (2, 7)"]
            if not subprocess.run(check, capture_output=True, timeout=PATIENCE, check=False).returncode:
                return command
    return None


def _cache() -> Path:
    """The folder that keeps what was installed. It is ours alone: what lies in it is run."""
    folder = Path(tempfile.gettempdir()) / f"lgtwist-test-wstest-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        not_available(f"{folder} belongs to somebody else")
    return folder


def wstest() -> list[str]:
    """How wstest is called, once it is installed.

    One process installs, others wait for it. One that dies in the middle leaves nothing that another would
    take for complete.

    :raise SkipTest: there is no Python 2.7, or no package index.
    :raise AssertionError: instead of the latter, where LGTWIST_TEST_REQUIRE_ALL=1.
    """
    if not _found:
        if _not_to_be_had:
            not_available(_not_to_be_had[0])
        python = _python()
        if python is None:  # no distribution has one any more: it cannot be required
            raise SkipTest("no Python 2.7 with pip is here, and wstest runs on no other")
        words = " ".join([*python, *PACKAGES, *QUICKER])
        key = f"packages-{hashlib.sha256(words.encode()).hexdigest()[:16]}"
        cache = _cache()
        with (cache / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it, however we end
            if not (cache / key).exists():
                _install(python, cache, key)
        _found.extend([*python, "-W", "ignore", "-u", "-c", DRIVER, str(cache / key)])
    return _found


def _install(python: list[str], cache: Path, key: str) -> None:
    for left in cache.glob(f"{key}.part-*"):  # by one that was killed
        shutil.rmtree(left, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{key}.part-", dir=cache))
    reason = _pip(python, part, PACKAGES)
    if reason:
        shutil.rmtree(part, ignore_errors=True)
        _not_to_be_had.append(reason)
        not_available(reason)
    _pip(python, part, QUICKER)
    part.rename(cache / key)


def _pip(python: list[str], folder: Path, packages: list[str]) -> str:
    """Run pip; why it failed, if it did."""
    name = "pip of Python 2.7"
    env = {**os.environ, "TMPDIR": str(folder)}  # it leaves something there when it fails
    reason, output = install(name, [*python, *PIP, str(folder), *packages], folder, PIP_PATIENCE, env)
    errors = [line.strip() for line in output.splitlines() if "ERROR" in line]
    return f"{name} failed: {' / '.join(errors[:4])}" if reason and errors else reason


#: How good an outcome is; what is not here is a failure. That of an informational case only informs.
_RANKS = {"OK": 2, "INFORMATIONAL": 2, "NON-STRICT": 1}


@frozen
class PeerVerdict:
    """What wstest says of one case.

    :ivar behavior: of the messages that came back: OK, NON-STRICT, INFORMATIONAL, FAILED ...
    :ivar closing: of how the connection ended: OK, INFORMATIONAL, WRONG CODE, UNCLEAN, FAILED ...
    :ivar code: the close code that wstest was sent.
    """

    behavior: str
    closing: str
    code: int | None
    report: Path = field(repr=False)

    def __str__(self) -> str:
        return f"{self.behavior}, closing {self.closing} with {self.code}"

    @property
    def ranks(self) -> tuple[int, int]:
        """How good it is, 0 for a failure: its behavior, and its closing."""
        return _RANKS.get(self.behavior, 0), _RANKS.get(self.closing, 0)

    @property
    def why(self) -> str:
        """What wstest found, in its own words."""
        told = json.loads(self.report.read_text("utf-8", "replace"))
        return f"{told['result']} {told['resultClose']}"


def case_key(case: str) -> list[int]:
    """Sorts cases as the suite does."""
    return [int(part) for part in case.split(".")]


async def until(condition: Callable[[], object], why: Callable[[], str], patience: float) -> None:
    """Wait until something is the case, while the reactor goes on."""
    give_up = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < give_up, why()
        await deferLater(reactor, 0.02)


@frozen
class Run:
    """One ``wstest``, in a folder of its own, where its log and reports are too."""

    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, folder: Path, mode: str, **spec: object) -> Run:
        """Start it.

        :param folder: there must be none yet.
        :param mode: ``fuzzingclient`` or ``fuzzingserver``.
        :param spec: what it is to do, beside where to put its reports.
        """
        command = wstest()
        folder = folder.absolute()
        folder.mkdir(parents=True)
        spec = {"outdir": str(folder), "options": OPTIONS[mode], **spec}
        (folder / "spec.json").write_text(json.dumps(spec))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*command, "-m", mode, "-s", "spec.json", "-u", "0"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return cls(folder, process)

    def end_of_log(self) -> str:
        """The end of what it has written."""
        return (self.folder / "log").read_text("utf-8", "replace")[-2000:]

    def wait_for(self, port: int) -> None:
        """Wait until it listens."""

        def listens() -> bool:
            assert self.process.poll() is None, f"wstest has ended:\n{self.end_of_log()}"
            with socket.socket() as asking:
                return not asking.connect_ex(("127.0.0.1", port))

        wait_until("wstest listens", listens)

    async def ended(self, patience: float) -> None:
        """Wait for its end, while the reactor goes on."""
        await until(
            lambda: self.process.poll() is not None,
            lambda: f"wstest does not end:\n{self.end_of_log()}",
            patience,
        )
        assert not self.process.returncode, f"wstest failed:\n{self.end_of_log()}"

    def verdicts(self) -> dict[str, dict[str, PeerVerdict]]:
        """What it says of each agent, of each case."""
        index = self.folder / "index.json"
        assert index.exists(), f"wstest wrote no report:\n{self.end_of_log()}"
        return {
            agent: {
                case: PeerVerdict(
                    told["behavior"],
                    told["behaviorClose"],
                    told["remoteCloseCode"],
                    self.folder / told["reportfile"],
                )
                for case, told in sorted(cases.items(), key=lambda item: case_key(item[0]))
            }
            for agent, cases in json.loads(index.read_text()).items()
        }

    def kill(self) -> None:
        """End it, however; harmless when it has ended."""
        self.process.kill()
        self.process.wait()
