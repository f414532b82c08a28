"""The pytest plugin ``lgtwist``: fixtures for tests of bots; see docs/testing-a-bot.md.

Each pytest of an environment with lgtwist imports this module. So it imports nothing but pytest and the
standard library; the fixtures import what they need.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from lgtwist.testing.asynchronous import AsyncSandbox
    from lgtwist.testing.expectations import Expect
    from lgtwist.testing.people import Sandbox
    from lgtwist.testing.service import SandboxProcess


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the command line."""
    group = parser.getgroup("lgtwist", "testing a bot against lgtwist's sandbox")
    group.addoption(
        "--lgtwist-log",
        metavar="FILE",
        help="write the log of the sandbox to this file, rather than to a temporary one",
    )
    group.addoption(
        "--lgtwist-within",
        metavar="SECONDS",
        type=float,
        default=None,
        help="how long an expectation waits that has no time limit of its own (5)",
    )


@pytest.fixture(scope="session")
def sandbox_options() -> Mapping[str, Any]:
    """Return what ``SandboxProcess`` is made with; a conftest.py may override it.

    For example ``return {"bots": [{"name": "bot", "access_token": "secret"}], "world": "world.json"}``.
    """
    return {}


@pytest.fixture(scope="session")
def sandbox_process(
    request: pytest.FixtureRequest,
    sandbox_options: Mapping[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[SandboxProcess]:
    """Yield a lgtwist with a sandbox account, on a free port, that the tests of the session share."""
    from lgtwist.testing.service import SandboxProcess

    options = {"folder": tmp_path_factory.mktemp("lgtwist"), **sandbox_options}
    log = request.config.getoption("--lgtwist-log")
    if log:
        worker = getattr(request.config, "workerinput", {}).get("workerid")
        path = Path(log).absolute()
        options["log_path"] = path if worker is None else path.with_name(f"{path.name}.{worker}")
        options["log_path"].unlink(missing_ok=True)
    with SandboxProcess(**options) as process:
        yield process


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, sandbox_process: SandboxProcess) -> Iterator[Sandbox]:
    """Yield the sandbox, with a fresh world and without faults, once the bots under test are connected."""
    from lgtwist.testing.people import DEFAULT_WITHIN, Sandbox

    if not sandbox_process.alive:  # a test has stopped it
        sandbox_process.start()
    within = request.config.getoption("--lgtwist-within")
    made = Sandbox(sandbox_process, within=DEFAULT_WITHIN if within is None else within)
    request.node.lgtwist_sandbox = made  # for the report, also where a later fixture fails
    if sandbox_process.attached:
        made.wait_for_bot()
    yield made
    if sandbox_process.alive:
        made.faults.clear()
    made.client.close()


@pytest.fixture
def async_sandbox(sandbox: Sandbox) -> AsyncSandbox:
    """Return the sandbox for an asynchronous test: the same names, to be awaited."""
    from lgtwist.testing.asynchronous import AsyncSandbox

    return AsyncSandbox(sandbox)


@pytest.fixture
def expect(sandbox: Sandbox) -> Expect:
    """Return the expectations of the sandbox."""
    return sandbox.expect


@pytest.hookimpl(hookwrapper=True)  # which every pytest knows
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Add to the report of a failed test what happened in its sandbox, unless the failure says it."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    sandbox = getattr(item, "lgtwist_sandbox", None)
    if (
        sandbox is not None
        and report.when in ("setup", "call")
        and report.failed
        and call.excinfo is not None
    ):
        from lgtwist.testing.expectations import ExpectationFailed
        from lgtwist.testing.people import Sandbox

        if isinstance(sandbox, Sandbox) and not isinstance(call.excinfo.value, ExpectationFailed):
            report.sections.append(("lgtwist sandbox", sandbox.report()))
