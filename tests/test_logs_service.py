"""The service says in time how many lines were left out, and looks at the lines of Twisted and Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.testing import EventLoggingObserver, MemoryReactorClock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import Config
from lgtwist.app.service import LgtwistService
from lgtwist.runtime import logs
from tests.processes import ROOT, free_port

#: Prepares the service as ``twistd`` and ``lgtwist run`` do, and lets others write lines.
PROGRAM = """
import sys, warnings
from twisted.internet import reactor
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from lgtwist.app.configuration_file import ConfigurationFile
from lgtwist.app.start import prepare_service

file = ConfigurationFile.find(sys.argv[1])
Logger("twisted.early").info("early\\n{n}", n=1)
prepare_service(file, file.read(), reactor)
globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])
Logger("twisted.late").info("late{n}", n="\\x1b\\u202e")
warnings.warn("warned\\n\\u2028", stacklevel=1)
sys.stderr.write("stderr\\x1b\\n")
print("stdout\\u202e")
for n in range(1000):
    Logger("autobahn.x").error("many {n}", n=n)
"""


class ServiceTests(SynchronousTestCase):
    def test_what_was_left_out_is_said_in_time(self) -> None:
        """Within 70 s, and when the service stops at the latest."""
        reactor: Any = MemoryReactorClock()
        self.patch(logs, "throttle", logs.LineThrottle(reactor.seconds))
        seen: Any = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        service = LgtwistService(Config(), reactor)
        timers: Any = service.getServiceNamed("timers")
        timers.startService()
        self.addCleanup(timers.stopService)
        logger = logs.Logger("x")
        for _number in range(logs.LINES + 5):
            logger.info("line")
        for _second in range(70):
            reactor.advance(1.0)
        said = [formatEvent(event) for event in seen if event["log_namespace"] == "x"]
        self.assertEqual(said[logs.LINES :], ["5 more lines like this in 60 s: line"])
        for _number in range(logs.LINES + 6):
            logger.info("line")
        service._stages()[-1].stop()
        said = [formatEvent(event) for event in seen if event["log_namespace"] == "x"]
        self.assertEqual(said[-1], "6 more lines like this in 60 s: line")

    def test_lines_of_others(self) -> None:
        """Twisted's, Autobahn's, warnings, and what is printed: one printable line each, and not too many."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        config = folder / "lgtwist.toml"
        config.write_text(
            f'data_dir = "{folder / "data"}"\n[server]\n'
            f'endpoints = ["tcp:{free_port()}:interface=127.0.0.1"]\n'
        )
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(config)],
            cwd=ROOT,
            capture_output=True,
            timeout=60,
            check=True,
        )
        self.assertEqual(run.stderr, b"")
        lines = run.stdout.decode().split("\n")
        self.assertEqual(lines.pop(), "")
        for line in lines:
            self.assertTrue(line.isprintable(), repr(line))
        for said in (
            "early\ufffd1",
            "late\ufffd\ufffd",
            "UserWarning: warned\ufffd\ufffd",
            "[stderr#error] stderr\ufffd",
            "[stdout#info] stdout\ufffd",
        ):
            self.assertEqual(len([line for line in lines if line.endswith(said)]), 1, lines)
        self.assertEqual(len([line for line in lines if "[autobahn.x#error] many" in line]), 100)
