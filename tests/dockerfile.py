"""A Dockerfile read and carried out without Docker: a folder and a virtual environment stand for each image.

Only what ``deploy/Dockerfile`` uses is known; anything else is an error. ``RUN`` may be ``pip`` or ``python``
alone: what else it did would be done to this machine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from attrs import define, field

#: Seconds for one step: pip downloads and builds.
STEP_PATIENCE = 300.0


class Instruction(NamedTuple):
    """One instruction, its lines joined.

    :ivar words: of the JSON form; else None.
    """

    line: int
    name: str
    text: str
    words: list[str] | None


class WrongDockerfile(Exception):
    """It has something that this reader does not carry out."""


def instructions(source: str) -> list[Instruction]:
    """Read a Dockerfile, comments left out."""
    found: list[Instruction] = []
    began, text = 0, ""
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        began = began or number
        text += line.removesuffix("\\")
        if line.endswith("\\"):
            continue
        name, _space, rest = text.strip().partition(" ")
        rest = rest.strip()
        words = json.loads(rest) if rest.startswith("[") else None
        found.append(Instruction(began, name.upper(), rest, words))
        began, text = 0, ""
    return found


def command_of(run: Instruction) -> list[str]:
    """The command of a RUN line.

    :raise WrongDockerfile: it is not one call of pip or python.
    """
    words = run.words
    if words is None:
        reader = shlex.shlex(run.text, posix=True, punctuation_chars=True)
        reader.whitespace_split = True
        reader.commenters = ""
        words = list(reader)
        if any(re.fullmatch(r"[();<>|&]+", word) for word in words) or re.search(r"[`\n]|\$\(", run.text):
            raise WrongDockerfile(f"line {run.line}: more than one command: {run.text}")
    if not words or words[0] not in ("pip", "python"):
        raise WrongDockerfile(f"line {run.line}: only pip and python may be run: {run.text}")
    return words


@define
class Image:
    """What stands for the image of one stage.

    :ivar root: stands for ``/``, but for ``/usr/local``, which is :attr:`venv`.
    """

    root: Path
    env: dict[str, str] = field(factory=dict)
    workdir: str = "/"
    user: str = ""
    volumes: list[str] = field(factory=list)
    ports: list[str] = field(factory=list)
    entrypoint: list[str] = field(factory=list)
    cmd: list[str] = field(factory=list)
    healthcheck: list[str] = field(factory=list)

    @property
    def venv(self) -> Path:
        """The virtual environment that stands for ``/usr/local``."""
        return self.root / "usr" / "local"

    def outside(self, text: str) -> str:
        """A text with the paths of the image replaced by those of this machine."""
        return re.sub(r"(?<![\w.:/~-])/(?=[a-z])", f"{self.root}/", text)

    def path(self, inside: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.root / str(Path(self.workdir) / inside).lstrip("/")

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a command in it, for this machine."""
        kept = {name: os.environ[name] for name in os.environ if name.startswith("PIP_")}
        kept["HOME"] = str(self.root)
        kept["PATH"] = f"{self.venv / 'bin'}:/usr/bin:/bin"
        return {**kept, **{name: self.outside(value) for name, value in self.env.items()}, **more}

    def command(self, words: list[str]) -> list[str]:
        """A command in it, for this machine; its program is looked for in its PATH."""
        program = shutil.which(words[0], path=self.environment()["PATH"])
        if program is None:
            raise WrongDockerfile(f"{words[0]} is not in the image")
        return [program, *map(self.outside, words[1:])]


class Build:
    """Carries a Dockerfile out.

    :param folder: a new one, for everything.
    :param context: what COPY takes files from.
    :param ignored: the text of ``.dockerignore``.
    :ivar image: the last stage's.
    """

    def __init__(self, source: str, folder: Path, context: Path, ignored: str = "") -> None:
        self._folder = folder
        self._context = context
        self._allowed = {line[1:] for line in ignored.splitlines() if line.startswith("!")}
        self._stages: dict[str, Image] = {}
        self.image = Image(folder)
        for one in instructions(source):
            carry_out = getattr(self, f"_{one.name.lower()}", None)
            if carry_out is None:
                raise WrongDockerfile(f"line {one.line}: {one.name} is not known")
            carry_out(one)

    def _arg(self, one: Instruction) -> None:
        """Nothing: no argument is given, and PIP_* of this machine's environment count."""

    def _from(self, one: Instruction) -> None:
        words = one.text.split()
        if not words[0].startswith("python:3"):
            raise WrongDockerfile(f"line {one.line}: {words[0]} has no Python")
        self.image = Image(self._folder / f"stage{len(self._stages)}")
        self._stages[words[2] if len(words) == 3 else "last"] = self.image
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run(
            [sys.executable, "-m", "venv", str(self.image.venv)],
            env=environment,
            check=True,
            timeout=STEP_PATIENCE,
        )

    def _env(self, one: Instruction) -> None:
        for word in shlex.split(one.text):
            name, equals, value = word.partition("=")
            if not equals:
                raise WrongDockerfile(f"line {one.line}: write NAME=value")
            self.image.env[name] = value

    def _workdir(self, one: Instruction) -> None:
        self.image.workdir = one.text
        self.image.path(".").mkdir(parents=True, exist_ok=True)

    def _copy(self, one: Instruction) -> None:
        *sources, target = one.text.split()
        stage = None
        if sources[0].startswith("--from="):
            stage = self._stages[sources.pop(0).partition("=")[2]]
            paths = [stage.path(source) for source in sources]
        else:
            if wrong := [source for source in sources if source not in self._allowed]:
                raise WrongDockerfile(f"line {one.line}: .dockerignore keeps {wrong} away")
            paths = [self._context / source for source in sources]
        for path in paths:
            to = self.image.path(target)
            if path.is_dir():
                left_out = shutil.ignore_patterns("__pycache__", "dropin.cache")
                shutil.copytree(
                    path, to, dirs_exist_ok=True, symlinks=True, ignore=None if stage else left_out
                )
            else:
                shutil.copy2(path, to / path.name if target.endswith("/") else to)

    def _run(self, one: Instruction) -> None:
        done = subprocess.run(
            self.image.command(command_of(one)),
            cwd=self.image.path("."),
            env=self.image.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=STEP_PATIENCE,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"line {one.line}: {one.text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")

    def _user(self, one: Instruction) -> None:
        self.image.user = one.text

    def _volume(self, one: Instruction) -> None:
        self.image.volumes.append(one.text)

    def _expose(self, one: Instruction) -> None:
        self.image.ports.append(one.text)

    def _entrypoint(self, one: Instruction) -> None:
        self.image.entrypoint = one.words or []

    def _cmd(self, one: Instruction) -> None:
        self.image.cmd = one.words or []

    def _healthcheck(self, one: Instruction) -> None:
        options, _cmd, words = one.text.partition("CMD ")
        if not all(re.fullmatch(r"--[a-z-]+=[0-9]+[sm]?", option) for option in options.split()):
            raise WrongDockerfile(f"line {one.line}: {options}")
        self.image.healthcheck = json.loads(words)
