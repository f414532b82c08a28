"""``deploy/``: the dashboard and the units, as far as they can be judged without starting anything."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.restart import RESTART_STATUS
from lgtwist.command import COMMANDS
from lgtwist.net.ports import Ports
from tests.frameworks.frameworks import not_available
from tests.integration.running import ROOT

DEPLOY = ROOT / "deploy"
UNITS = DEPLOY / "systemd"
#: What queries have beside metrics: functions, and labels that they group by.
_WORDS = set(
    "sum count rate increase changes time vector clamp_max by or and h label_values "
    "instance account bot outcome reason retcode".split()
)


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels with queries."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Each query, its legend, and the title of its panel."""
    found = [(t["expr"], t["legendFormat"], p["title"]) for p in panels(dashboard) for t in p["targets"]]
    found += [(one["expr"], "", one["name"]) for one in dashboard["annotations"]["list"]]
    return found + [
        (one["definition"], "", one["name"])
        for one in dashboard["templating"]["list"]
        if one["type"] == "query"
    ]


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """The metrics that a query names, each with the labels that it is asked for by."""
    found = re.findall(r"\b((?:lgtwist|process)_\w+)(?:\{([^}]*)\})?", expression)
    return [(name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))) for name, labels in found]


class Dashboard(SynchronousTestCase):
    def setUp(self) -> None:
        self.dashboard = json.loads((DEPLOY / "grafana" / "lgtwist.json").read_text("utf-8"))

    def test_metrics_are_documented(self) -> None:
        """Each metric that it names is one of docs/metrics.md; whether it exists is tried elsewhere."""
        documented = set(
            re.findall(r"\b(?:lgtwist|process)_\w+", (ROOT / "docs" / "metrics.md").read_text("utf-8"))
        )
        documented.add("process_start_time_seconds")
        named = {name for query, _legend, _title in queries(self.dashboard) for name, _l in selectors(query)}
        self.assertEqual(named - documented, set())
        self.assertGreater(len(named), 30)

    def test_no_word_is_a_slip(self) -> None:
        """What is no metric is a function, a label or a variable."""
        for query, _legend, title in queries(self.dashboard):
            plain = re.sub(r'"[^"]*"|\$\w+|\{[^}]*\}', " ", query)
            words = {word for word in re.findall(r"[A-Za-z_]\w*", plain) if not selectors(word)}
            self.assertEqual(words - _WORDS, set(), title)
            self.assertEqual(query.count("("), query.count(")"), title)

    def test_it_is_whole(self) -> None:
        """Numbers of panels are unique, nothing overlaps, each panel has a query and the datasource."""
        numbers = [panel["id"] for panel in self.dashboard["panels"]]
        self.assertEqual(len(set(numbers)), len(numbers))
        taken: set[tuple[int, int]] = set()
        for panel in self.dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            self.assertEqual(cells & taken, set(), panel["title"])
            self.assertTrue(all(x < 24 for x, _y in cells), panel["title"])
            taken |= cells
        for panel in panels(self.dashboard):
            self.assertTrue(panel["targets"], panel["title"])
            self.assertEqual({t["datasource"]["uid"] for t in panel["targets"]}, {"${datasource}"})

    def test_what_operators_ask(self) -> None:
        """Accounts, events, calls by outcome, backlog, drops, lateness, memory, Milky, alerts are on it."""
        named = {name for query, _legend, _title in queries(self.dashboard) for name, _l in selectors(query)}
        wanted = {
            *("lgtwist_account_online", "lgtwist_events_total", "lgtwist_calls_total"),
            *("lgtwist_bot_backlog_events", "lgtwist_dropped_events_total", "lgtwist_reactor_lag_seconds"),
            *("process_resident_memory_bytes", "lgtwist_milky_back_filled_events_total"),
            "lgtwist_alert_deliveries_total",
        }
        self.assertEqual(wanted - named, set())
        self.assertIn("state-timeline", {panel["type"] for panel in self.dashboard["panels"]})


class Unit(configparser.RawConfigParser):
    """A unit of systemd, each key once in its section."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=True, delimiters=("=",), comment_prefixes=("#",), interpolation=None)
        self.read(path, "utf-8")

    def optionxform(self, optionstr: str) -> str:
        """Keep the case."""
        return optionstr


class Units(SynchronousTestCase):
    def test_verify(self) -> None:
        """``systemd-analyze verify`` finds nothing, once ExecStart is a file that is there."""
        if shutil.which("systemd-analyze") is None:
            not_available("systemd-analyze is not installed")
        folder = Path(self.mktemp()).absolute()
        shutil.copytree(UNITS, folder)
        unit = folder / "lgtwist.service"
        text = unit.read_text("utf-8")
        self.assertEqual(text.count("\nExecStart=/opt/lgtwist/bin/lgtwist "), 1)
        unit.write_text(text.replace("/opt/lgtwist/bin/lgtwist", shutil.which("true") or "/bin/true"))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(unit), str(folder / "lgtwist.socket")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_the_service(self) -> None:
        """It runs a command that there is, is told to reload by SIGHUP, and comes back when it is to."""
        service = Unit(UNITS / "lgtwist.service")["Service"]
        program, command, *options = service["ExecStart"].split()
        self.assertEqual(Path(program).name, "lgtwist")
        self.assertEqual([f"--{flag}" for flag in options if not flag.startswith("--")], [])
        self.assertLessEqual(set(options), {name for name, _help in COMMANDS[command].flags})
        self.assertIn('lgtwist = "lgtwist.command:main"', (ROOT / "pyproject.toml").read_text("utf-8"))
        self.assertEqual(service["ExecReload"], "/bin/kill -HUP $MAINPID")
        self.assertEqual(service["Type"], "notify")
        self.assertEqual(service["RestartForceExitStatus"], str(RESTART_STATUS))
        self.assertEqual((service["Restart"], service["DynamicUser"]), ("on-failure", "yes"))
        self.assertEqual((service["ProtectSystem"], service["NoNewPrivileges"]), ("strict", "yes"))
        # The file that --init writes is in the folder that systemd makes for the service.
        self.assertEqual(service["Environment"], "LGTWIST_CONFIG=%S/lgtwist/lgtwist.toml")
        self.assertEqual((service["StateDirectory"], service["WorkingDirectory"]), ("lgtwist", "%S/lgtwist"))

    def test_the_socket(self) -> None:
        """The endpoint that its comment names is one, by the name that the socket has."""
        text = (UNITS / "lgtwist.socket").read_text("utf-8")
        endpoint = re.search(r'endpoints = \["(systemd:[^"]+)"\]', text)
        assert endpoint is not None
        name = Unit(UNITS / "lgtwist.socket")["Socket"]["FileDescriptorName"]
        self.assertEqual(endpoint[1], f"systemd:domain=INET:name={name}")
        self.assertEqual(Ports(None, (endpoint[1],)).warnings(), [])


class Packaging(SynchronousTestCase):
    def test_what_is_named_is_there(self) -> None:
        """Each file of ``deploy/`` that users are told of exists."""
        for name in ("README.md", "README.zh-CN.md", "docs/operating.md", "docs/zh/operating.md"):
            text = (ROOT / name).read_text("utf-8")
            named = {one.rstrip("./") for one in re.findall(r"\bdeploy/[\w./-]+", text)}
            named |= {
                f"deploy/compose/{one}" for one in re.findall(r"\b(?:docker compose -f |`)(\w+\.yaml)", text)
            }
            self.assertTrue(named, name)
            self.assertEqual([one for one in named if not (ROOT / one).exists()], [], name)

    def test_sdist(self) -> None:
        """The sdist has ``deploy/``, and what the Dockerfile needs beside it."""
        lines = (ROOT / "MANIFEST.in").read_text("utf-8").splitlines()
        self.assertIn("graft deploy", lines)
        self.assertTrue(any(".dockerignore" in line for line in lines))
