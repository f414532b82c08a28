"""What each bot may do by quick operations, and what a bot without bounds may do beside it."""

from __future__ import annotations

from typing import Any

from tests.integration.rights import (
    ALICE,
    BOB,
    CAROL,
    GROUP,
    SANDBOX,
    RightsTestCase,
    bearer,
    group_message,
    members,
)
from tests.integration.running import wait_until


class Operations(RightsTestCase):
    """Of a quick operation each step needs its right (``docs/rights.md``)."""

    def test_quick_operation(self) -> None:
        """Of ``.handle_quick_operation`` the reply is done and the kick is not: the answer names it."""
        said = self.last()
        message_id = self.service.say(CAROL, "kick me", GROUP)
        context = {**group_message(CAROL, "kick me"), "message_id": message_id}
        operation = {
            "reply": "no", "kick": True, "ban": True, "delete": True, "at_sender": False,
        }  # fmt: skip
        params = {"context": context, "operation": operation}
        for path in (f"/{SANDBOX}", f"/{SANDBOX}/api"):
            answer = self.dial("leash", path).ask(".handle_quick_operation", **params)
            self.assertEqual((answer["status"], answer["retcode"]), ("failed", 1403))
            self.assertIn("delete_msg", answer["message"])
        answer = self.dial("leash").ask(
            ".handle_quick_operation", context=context, operation={"kick": True, "reply": "no"}
        )
        self.assertIn("set_group_kick", answer["message"])
        headers = {**bearer("leash"), "Content-Type": "application/json"}
        _status, answer = self.service.http(f"/{SANDBOX}/.handle_quick_operation", params, headers)
        self.assertEqual(answer["retcode"], 1403)
        answer = self.dial("leash").ask(".handle_quick_operation_async", **params)
        self.assertEqual(answer["retcode"], 1)
        wait_until("all replies are there", lambda: len(self.transcript(said)) == 5)
        answer = self.peer().ask(".handle_quick_operation", **params)
        self.assertEqual(answer["retcode"], 1403)
        self.assertEqual(len(self.transcript(said)), 6)
        self.assert_nothing_done()
        self.assertFalse([m for m in self.service.transcript(said) if m.get("recalled") or m.get("deleted")])

    def test_webhook(self) -> None:
        """Of a webhook's answer the reply is done and the kick is not, with a line that names the step."""
        said = self.last()
        answered = []

        def quick(event: dict[str, Any]) -> Any:
            if event.get("post_type") != "message":
                return None
            answered.append(event)
            return {"reply": "no", "kick": True, "ban": True, "ban_duration": 60, "at_sender": False}

        self.receiver.quick = quick
        self.service.say(ALICE, "answer me", GROUP)
        wait_until("the reply is there", lambda: self.transcript(said))
        wait_until("it is logged", lambda: "hook: .handle_quick_operation failed" in self.new_log())
        self.assertRegex(self.new_log(), r"hook: \.handle_quick_operation failed .*1403 set_group_kick")
        for step in ("set_group_kick", "set_group_ban"):
            self.assertEqual(self.new_log().count(f"hook: may not use {step};"), 1)
        self.assertEqual(len(answered), 1, "a refused step made the event come again")
        self.assert_nothing_done()

    def test_webhook_rate(self) -> None:
        """A webhook's quick operations count for its rate too."""
        said = self.last()
        slow = self.shared.slow
        slow.quick = lambda event: {"reply": "counted"} if event.get("word") == "slow" else None
        for number in range(4):
            context = group_message(BOB, "slow")
            context.update(message_type="private", message_id=self.service.say(BOB, f"slow {number}"))
            context.pop("group_id")
            self.service.inject(context)
        wait_until("all four are answered", lambda: len(slow.of('"slow"')) == 4)
        wait_until(
            "two failures are logged",
            lambda: self.new_log().count("slow-hook: .handle_quick_operation failed") == 2,
        )
        self.assertIn("1429", self.new_log())
        self.assertEqual(len(self.transcript(said)), 2)

    def test_unrestricted(self) -> None:
        """The bot beside them may do all, in one quick operation and in any spelling that exists."""
        _status, world = self.service.http(f"/sandbox/{SANDBOX}/world")
        self.addCleanup(self.service.http, f"/sandbox/{SANDBOX}/world", world)
        free = self.dial("free", f"/{SANDBOX}/api")
        self.assertEqual(free.ask("set_group_kick_async", group_id=GROUP, user_id=BOB)["retcode"], 1)
        message_id = self.service.say(CAROL, "kick me", GROUP)
        context = {**group_message(CAROL, "kick me"), "message_id": message_id}
        done = free.ask(".handle_quick_operation", context=context, operation={"reply": "bye", "kick": True})
        self.assertEqual(done["retcode"], 0, done)

        def left() -> bool:
            return not {BOB, CAROL} & members(next(g for g in self.overview()["groups"]))

        wait_until("both are gone", left)
