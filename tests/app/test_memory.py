"""How much memory peers may take, by the configuration."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.app.configuration import parse
from lgtwist.app.memory import memory_bound


class MemoryTests(SynchronousTestCase):
    """The line of ``--check``."""

    def test_ten_bots_and_ten_accounts(self) -> None:
        """The sum is that of its parts: each bot, each account and the operator, 64 + 32 MiB each."""
        accounts = "".join(
            f'[[accounts]]\ntype = "reverse-websocket"\nself_id = {n}\naccess_token = "a{n}"\n'
            for n in range(1, 11)
        )
        bots = "".join(f'[[bots]]\nname = "b{n}"\naccess_token = "b{n}"\n' for n in range(10))
        line = memory_bound(parse(accounts + bots))
        self.assertIn(f"peers may take {21 * 96} MiB at most", line)
        self.assertIn("10 bots, 10 accounts and the operator", line)

    def test_limits_and_kinds(self) -> None:
        """Other limits, unverified posts, a sandbox and a journal are in it."""
        line = memory_bound(
            parse(
                '[[accounts]]\ntype = "sandbox"\nself_id = 1\n'
                '[[accounts]]\ntype = "http"\nself_id = 2\nurl = "http://127.0.0.1:1/"\nsecret = "s"\n'
                '[[bots]]\nname = "b"\naccess_token = "t"\ndelivery = "at-least-once"\n'
                '[limits]\npeer_memory = "8MiB"\nmax_message = "2MiB"\n'
            )
        )
        self.assertIn(f"peers may take {4 * 10 + 4 + 48 + 80} MiB at most", line)
        self.assertIn("unverified posts to 1 http account: 4 MiB", line)
        self.assertIn("1 sandbox: 48 MiB", line)
