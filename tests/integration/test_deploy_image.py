"""``deploy/Dockerfile``, carried out without Docker, and the service that its image starts."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.first_configuration import in_container
from tests.dockerfile import Build, Image, WrongDockerfile, command_of, instructions
from tests.milky.namespaced import Namespace
from tests.processes import PATIENCE, ROOT, ChildProcess, wait_until
from tests.rounds import combination

SOURCE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")


class Lines(SynchronousTestCase):
    """What can be said without carrying it out."""

    def refused(self, line: str) -> None:
        """A RUN line is not carried out."""
        [run] = instructions(line)
        self.assertRaises(WrongDockerfile, command_of, run)

    def test_only_pip_and_python(self) -> None:
        """Each RUN line is one call of pip or python; the reader refuses all others."""
        commands = [command_of(one)[0] for one in instructions(SOURCE) if one.name == "RUN"]
        self.assertEqual(set(commands), {"pip", "python"})
        for line in (
            "RUN apt-get update",
            "RUN useradd x",
            "RUN pip wheel . && rm -rf /x",
            "RUN pip x; true",
            "RUN pip install `x`",
            "RUN pip install $(x)",
            'RUN ["sh", "-c", "x"]',
            "RUN pip x > y",
            "RUN pip install x \\\n && apt-get update",
            "RUN --mount=type=cache,target=/x pip x",
        ):
            self.refused(line)

    def test_the_image(self) -> None:
        """Two stages on a slim Python; a numeric user that is not root; /data; health by lgtwist."""
        found = instructions(SOURCE)
        bases = [one.text.split()[0] for one in found if one.name == "FROM"]
        self.assertEqual(bases, ["python:3.12-slim"] * 2)
        said = {one.name: one for one in found}
        self.assertRegex(said["USER"].text, r"\A[1-9][0-9]+:[1-9][0-9]+\Z")
        self.assertEqual((said["VOLUME"].text, said["WORKDIR"].text), ("/data", "/data"))
        self.assertEqual(said["EXPOSE"].text, "8081")
        self.assertTrue(said["HEALTHCHECK"].text.endswith('CMD ["lgtwist", "health"]'))
        self.assertTrue(said["ENV"].text.startswith("LGTWIST_CONFIG=/data/"))
        self.assertTrue(in_container({"LGTWIST_CONFIG": "/data/lgtwist.toml"}, Path("/nowhere")))

    def test_the_user_owns_the_volume(self) -> None:
        """The user of USER is the one that /data is given to."""
        user = re.search(r"(?m)^USER (\d+):(\d+)$", SOURCE)
        owner = re.search(r"os\.chown\('/data', (\d+), (\d+)\)", SOURCE)
        assert user is not None
        assert owner is not None
        self.assertEqual(user.groups(), owner.groups())


class Container(ChildProcess):
    """A container: the image's commands, in a network namespace, as port 8081 may be taken outside."""

    name = "the container"

    def __init__(self, image: Image, folder: Path) -> None:
        super().__init__(folder)
        self.image = image
        self.namespace = Namespace(folder)
        command = image.command([*image.entrypoint, *image.cmd])
        self.spawn(self.namespace.inside(*command), image.environment(), image.path("."))

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command in it to its end, as ``docker exec`` does."""
        return subprocess.run(
            self.namespace.inside(*self.image.command(words)),
            cwd=self.image.path("."),
            env=self.image.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def end(self) -> None:
        super().end()
        self.namespace.end()


class Built(SynchronousTestCase):
    @combination
    def test_it_serves(self) -> None:
        """The RUN lines succeed; the container serves, is healthy, has made its file, and stops with 0."""
        folder = Path(self.mktemp()).absolute()
        # The container's user is ours: another one may not even read our Python.
        source = SOURCE.replace("10001, 10001", f"{os.getuid()}, {os.getgid()}")
        ignored = (ROOT / ".dockerignore").read_text("utf-8")
        image = Build(source, folder / "build", ROOT, ignored).image
        container = Container(image, folder / "container")
        self.addCleanup(container.end)

        def healthy() -> bool:
            assert container.alive(), container.log()
            return container.run(image.healthcheck).returncode == 0

        wait_until("it is healthy", healthy)
        made = image.path("/data/lgtwist.toml")
        self.assertEqual(stat.S_IMODE(made.stat().st_mode), 0o600)
        self.assertTrue(image.path("/data/lgtwist-data/lock").exists())
        link = container.run(["lgtwist", "token"])
        self.assertIn("/console/#token=", link.stdout)
        self.assertIn("10001", container.run(["lgtwist", "check"]).stdout)
        self.assertIn("lgtwist", container.run(["twistd", "--help"]).stdout)
        self.assertEqual(container.stop(), 0, container.log())
        self.assertNotIn("Traceback", container.log())
        self.assertNotEqual(container.run(image.healthcheck).returncode, 0)
