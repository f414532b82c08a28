"""Cookies of the console, and the bound for wrong tokens."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lgtwist.console.sessions import LIFETIME, Sessions, cookies, is_old, set_cookie
from lgtwist.console.wrong_tokens import WrongTokens

NOW = 1_700_000_000.0


class SessionTests(SynchronousTestCase):
    def test_a_cookie_is_valid_until_it_expires(self) -> None:
        sessions = Sessions()
        value = sessions.make("token", NOW)
        self.assertEqual(sessions.expiry(value, "token", NOW + LIFETIME - 1), int(NOW) + LIFETIME)
        self.assertIsNone(sessions.expiry(value, "token", NOW + LIFETIME))

    def test_another_service_with_the_token_accepts_it(self) -> None:
        """So it outlives a restart."""
        self.assertIsNotNone(Sessions().expiry(Sessions().make("token", NOW), "token", NOW))

    def test_another_token_or_generation_ends_it(self) -> None:
        value = Sessions().make("token", NOW)
        self.assertIsNone(Sessions().expiry(value, "other", NOW))
        self.assertIsNone(Sessions(1).expiry(value, "token", NOW))

    def test_what_was_changed_or_invented_is_refused(self) -> None:
        value = Sessions().make("token", NOW)
        expires, _dot, signature = value.partition(".")
        for wrong in (
            "", ".", "1", f"{expires}.", f"{int(expires) + 1}.{signature}", f"{expires}.{signature[:-1]}",
            f"-{value}", f"{'9' * 400}.{signature}", f"٣.{signature}", f"{expires}.{signature}ü",
        ):  # fmt: skip
            self.assertIsNone(Sessions().expiry(wrong, "token", NOW), wrong)

    def test_is_old(self) -> None:
        self.assertFalse(is_old(int(NOW) + LIFETIME, NOW + 1000))
        self.assertTrue(is_old(int(NOW) + LIFETIME, NOW + 2 * 86400))

    def test_cookies(self) -> None:
        self.assertEqual(cookies(["a=b; lgtwist_console=1.x", 'lgtwist_console="2.y"']), ["1.x", "2.y"])
        self.assertEqual(cookies(["xlgtwist_console=1; lgtwist_console", ""]), [])

    def test_set_cookie(self) -> None:
        self.assertEqual(
            set_cookie("1.x", secure=True),
            "lgtwist_console=1.x; Max-Age=2592000; HttpOnly; SameSite=Strict; Secure",
        )
        self.assertNotIn("Path", set_cookie("1.x", secure=False))
        self.assertIn("Max-Age=0", set_cookie("", secure=False))


class WrongTokenTests(SynchronousTestCase):
    def test_ten_in_a_minute_are_answered_at_once(self) -> None:
        clock = Clock()
        wrong = WrongTokens(clock)
        self.assertEqual([wrong.count() for _ in range(10)], [True] * 10)
        waiting = wrong.count()
        assert isinstance(waiting, Deferred)
        self.assertNoResult(waiting)
        clock.advance(2)
        self.assertTrue(self.successResultOf(waiting))

    def test_a_minute_later_they_are_again(self) -> None:
        clock = Clock()
        wrong = WrongTokens(clock)
        for _ in range(10):
            wrong.count()
        clock.advance(61)
        self.assertIs(wrong.count(), True)

    def test_those_that_wait_are_bounded_and_may_go(self) -> None:
        clock = Clock()
        wrong = WrongTokens(clock)
        for _ in range(10):
            wrong.count()
        waiting = [wrong.count() for _ in range(100)]
        self.assertIs(wrong.count(), False)
        first = waiting[0]
        assert isinstance(first, Deferred)
        first.addErrback(lambda _cancelled: None).cancel()
        self.assertIsInstance(wrong.count(), Deferred)
        clock.advance(2)
        self.assertEqual(clock.getDelayedCalls(), [])
