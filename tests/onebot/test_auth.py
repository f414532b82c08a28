"""Tokens, in all their forms."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.auth import Refusal, owner_of, presented_tokens


class TokenTests(SynchronousTestCase):
    def test_L33_forms(self) -> None:
        """``Bearer T``, ``Token T``, a bare ``T`` and the query are all taken; schemes in any case."""
        for header in (
            "Bearer secret",
            "bearer secret",
            "BEARER  secret ",
            "Token secret",
            "token secret",
            "secret",
        ):
            self.assertEqual(presented_tokens(header, []), ["secret"], header)
        self.assertEqual(presented_tokens(None, ["secret"]), ["secret"])

    def test_empty_ones_are_none(self) -> None:
        """An empty token is none, wherever it stands."""
        for header in ("", " ", "Bearer", "Bearer ", "Token "):
            self.assertEqual(presented_tokens(header, [""]), [], header)

    def test_whose(self) -> None:
        """Either token being right is enough; none is 401, a wrong one 403."""
        owners = [("a", "token-a"), ("b", "token-b")]
        self.assertEqual(owner_of(["token-b"], owners), "b")
        self.assertEqual(owner_of(["wrong", "token-a"], owners), "a")
        self.assertIs(owner_of([], owners), Refusal.MISSING)
        self.assertIs(owner_of(["wrong"], owners), Refusal.WRONG)
        self.assertIs(owner_of(["TOKEN-A"], owners), Refusal.WRONG)
        self.assertIs(owner_of(["tökén\ufffd"], owners), Refusal.WRONG)

    def test_one_without_a_token(self) -> None:
        """Who shows no token is the one that has none; who shows a wrong one is not."""
        owners = [("a", "token-a"), ("open", None)]
        self.assertEqual(owner_of([], owners), "open")
        self.assertIs(owner_of(["wrong"], owners), Refusal.WRONG)
        self.assertEqual(owner_of(["token-a"], owners), "a")
