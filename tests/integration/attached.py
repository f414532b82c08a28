"""Real programs that are attached to one service at once, each to an account of its own.

Starting them is what takes time.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar
from unittest import SkipTest

from attrs import field, frozen

from tests.frameworks.frameworks import Framework, not_available
from tests.integration.running import Service, wait_until
from tests.integration.shared import SharedTestCase
from tests.processes import free_port

ALICE = 20001

_numbers = itertools.count(1)


@frozen(eq=False)
class Way:
    """A framework and how it is attached.

    :ivar self_id: the account that it has for itself.
    :ivar env: its settings; ``{http}``, ``{ws}`` and ``{root}`` are its account's URLs without and with an
        ending slash, ``{token}`` its token.
    :ivar toml: lines of its ``[[bots]]``; ``{port}`` is where it listens. None where the test's
        own configuration has its bot.
    :ivar open: whether it shows no token, and its ``[[bots]]`` has none.
    :ivar quick: whether "quick X" is answered by a quick operation.
    """

    name: str
    program: str
    self_id: int
    env: dict[str, str]
    toml: str | None = ""
    quick: bool = False
    open: bool = False
    port: int = field(factory=free_port)

    @property
    def token(self) -> str:
        return f"token-of-{self.self_id}"

    def block(self) -> str:
        """The TOML of its account and its bot."""
        account = f'[[accounts]]\ntype = "sandbox"\nself_id = {self.self_id}\n'
        if self.toml is None:
            return account
        lines = self.toml.format(port=self.port)
        token = "" if self.open else f'access_token = "{self.token}"\n'
        return f'{account}[[bots]]\nname = "{self.name}"\naccounts = [{self.self_id}]\n{token}{lines}\n'

    def settings(self, service: Service) -> dict[str, str]:
        """Its environment."""
        base = f"127.0.0.1:{service.port}/{self.self_id}"
        known = {"HTTP": f"http://{base}", "WS": f"ws://{base}", "TOKEN": self.token}
        env = {"PORT": str(self.port), "SELF_ID": str(self.self_id)}
        for name, value in self.env.items():
            for key, text in known.items():
                value = value.replace(f"<{key}>", text)
            env[name] = value
        return env


class Everybody:
    """One service, and every framework that can be had here.

    :ivar missing: why the others cannot.
    """

    def __init__(self, folder: Path, ways: Sequence[Way], toml: str) -> None:
        self.service = Service(folder / "service", "".join(way.block() for way in ways) + toml)
        self.frameworks: dict[Way, Framework] = {}
        self.missing: dict[str, str] = {}
        try:
            for way in ways:
                try:
                    env = way.settings(self.service)
                    self.frameworks[way] = Framework(way.program, folder / way.name, env)
                except SkipTest as skipped:
                    self.missing[way.name] = str(skipped)
            for framework in self.frameworks.values():
                framework.wait_ready()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End all."""
        for framework in self.frameworks.values():
            framework.end()
        self.service.clean_up()


class AttachedTestCase(SharedTestCase):
    """Tests that leave the service and all frameworks running and attached."""

    timeout = 120
    ways: ClassVar[Sequence[Way]] = ()
    #: More of the configuration.
    toml = ""

    def start_shared(self, folder: Path) -> Everybody:
        return Everybody(folder, self.ways, self.toml)

    def setUp(self) -> None:
        super().setUp()
        self.service: Service = self.shared.service
        self.frameworks: dict[Way, Framework] = self.shared.frameworks
        self.addCleanup(self._look_at_log)

    def _look_at_log(self) -> None:
        log = self.service.log()
        for bad in ("Traceback", "Unhandled"):
            self.assertNotIn(bad, log)
        self.assertFalse([secret for secret in self.service.secrets() if secret in log], "a token was logged")

    # -- in conversation

    def answers(self, way: Way, words: str, patience: float) -> list[str]:
        """What the bot says to Alice when she has said something: all until the first answer came."""
        asked = self.service.say(ALICE, words, self_id=way.self_id)
        deadline = time.monotonic() + patience
        while not (found := self.said(way, asked)) and time.monotonic() < deadline:
            self.service.transcript(asked, wait=1, self_id=way.self_id)
        return found

    def said(self, way: Way, after: int) -> list[str]:
        # With at-least-once what was said in a group may be answered again after a break.
        said = self.service.transcript(after, self_id=way.self_id)
        messages = [message for message in said if message["message_type"] == "private"]
        for message in messages:
            if message["from_bot"]:
                self.assertEqual(message["peer_id"], ALICE)
        return [message["raw_message"] for message in messages if message["from_bot"]]

    def attached(self, way: Way) -> None:
        """Wait until a word of Alice is answered. Those that nobody was there to hear are lost (``live``)."""

        def answered() -> bool:
            word = f"{next(_numbers)}"
            return f"pong {word}" in self.answers(way, f"ping {word}", 1.0)

        wait_until("it answers", answered, 30.0)

    def with_each(self, check: Callable[[Way], None]) -> None:
        """Check all of them at once; every one that fails is named."""

        def checked(way: Way) -> str:
            try:
                check(way)
            except Exception as error:
                return f"{way.name}: {type(error).__name__}: {error}\n{self.frameworks[way].log()[-1500:]}"
            return ""

        with ThreadPoolExecutor(len(self.ways)) as pool:
            troubles = [trouble for trouble in pool.map(checked, self.frameworks) if trouble]
        if troubles:
            self.fail("\n\n".join(troubles))
        for name, reason in self.shared.missing.items():
            not_available(f"all but {name}: {reason}")
