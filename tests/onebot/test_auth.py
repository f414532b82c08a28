"""Access tokens in all their forms, and who owns them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.onebot.auth import AuthenticationFailure, Keyring, presented_tokens


class TokenTests(SynchronousTestCase):
    def test_L33_forms(self) -> None:
        """``Bearer T``, ``Token T``, a bare ``T`` and the query are accepted; schemes in any case."""
        for header in (
            "Bearer secret",
            "bearer secret",
            "BEARER  secret ",
            "Token secret",
            "token secret",
            "secret",
        ):
            self.assertEqual(presented_tokens([header], []), ["secret"], header)
        self.assertEqual(presented_tokens([], ["secret"]), ["secret"])

    def test_empty_ones_are_none(self) -> None:
        """An empty token is ignored, in the header and in the query."""
        for header in ("", " ", "Bearer", "Bearer ", "Token "):
            self.assertEqual(presented_tokens([header], [""]), [], header)

    def test_unset_ones(self) -> None:
        """What a language says for a missing value is no token, unless it is somebody's."""
        owners = Keyring([("a", "token-a")])
        shown = ["undefined", "Null", "None", "token-a", "nobody"]
        self.assertEqual(owners.without_unset(shown), ["token-a", "nobody"])
        owners.add("b", "None")
        self.assertEqual(owners.without_unset(shown), ["None", "token-a", "nobody"])

    def test_several(self) -> None:
        """Every line of the header and of the query counts, but equal tokens are one."""
        self.assertEqual(presented_tokens(["Bearer a", "b"], ["c", "", "a"]), ["a", "b", "c"])
        self.assertEqual(presented_tokens(["a,b"], ["a,b"]), ["a,b"])

    def test_whose(self) -> None:
        """One right token is enough; no token is 401, wrong tokens are 403."""
        owners = Keyring([("a", "token-a"), ("b", "token-b")])
        self.assertEqual(owners.owner_of(["token-b"]), "b")
        self.assertEqual(owners.owner_of(["wrong", "token-a"]), "a")
        self.assertEqual(owners.owner_of(["token-b", "token-a"]), "b")
        self.assertIs(owners.owner_of([]), AuthenticationFailure.MISSING)
        self.assertIs(owners.owner_of(["wrong"]), AuthenticationFailure.WRONG)
        self.assertIs(owners.owner_of(["TOKEN-A"]), AuthenticationFailure.WRONG)
        self.assertIs(owners.owner_of(["tökén\ufffd"]), AuthenticationFailure.WRONG)

    def test_changing_tokens(self) -> None:
        """An owner may be added, removed, or given another token, even one that another owner had."""
        owners = Keyring([("a", "x"), ("b", "y")])
        owners.add("a", "y")
        owners.add("b", "x")
        self.assertEqual(owners.owner_of(["y"]), "a")
        self.assertEqual(owners.owner_of(["x"]), "b")
        owners.remove("a")
        owners.remove("a")
        self.assertIs(owners.owner_of(["y"]), AuthenticationFailure.WRONG)
        self.assertEqual(owners.owner_of(["x"]), "b")
        owners.add("open", None)
        self.assertEqual(owners.owner_of([]), "open")
        owners.add("open", "z")
        self.assertIs(owners.owner_of([]), AuthenticationFailure.MISSING)
        self.assertEqual(owners.owner_of(["z"]), "open")

    def test_one_without_a_token(self) -> None:
        """A request without a token is the owner's that has none; one with a wrong token is not."""
        owners = Keyring([("a", "token-a"), ("open", None)])
        self.assertEqual(owners.owner_of([]), "open")
        self.assertIs(owners.owner_of(["wrong"]), AuthenticationFailure.WRONG)
        self.assertEqual(owners.owner_of(["token-a"]), "a")
