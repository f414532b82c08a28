"""What the sandbox's tests share: a small world, and functions that act in it."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.sandbox.actions import perform
from lgtwist.sandbox.control.verbs import VERBS
from lgtwist.sandbox.params import Params
from lgtwist.sandbox.world import operations
from lgtwist.sandbox.world.world import World

SELF, ALICE, BOB, CAROL, GROUP = 10001, 20001, 20002, 20003, 30001

#: A stored file, as actions get it among their parameters.
STORED_FILE = {"file": "k.png", "name": "k.png", "path": "/k.png", "url": "http://x/k.png", "size": 3}


def text(words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "data": {"text": words}}]


class WorldTestCase(SynchronousTestCase):
    now = 1_700_000_000

    def setUp(self) -> None:
        self.world = World.with_example_people(SELF, self.now)

    def prepare(self, owner: bool = False) -> None:
        """Add two group messages (the second an essence), a forwarded message, a file and two requests."""
        self.rank(SELF, "owner" if owner else "admin")
        self.world.send_as_account(text("mine"), self.now, group_id=GROUP)
        second = self.world.send_as_person(BOB, text("theirs"), self.now, GROUP)
        operations.set_essence(self.world, second, SELF, self.now, add=True)
        self.world.add_forward(
            [{"type": "node", "data": {"user_id": "1", "nickname": "n", "content": []}}], self.now
        )
        operations.add_group_file(self.world, self.world.groups[GROUP], BOB, "f", 1, "k.png", self.now)
        friend = operations.add_request(self.world, CAROL, "please", self.now)
        self.world.put(self.world.people[CAROL].__class__(20004, "Dave"))
        group = operations.add_request(self.world, 20004, "please", self.now, GROUP)
        for request, flag in ((friend, "F"), (group, "G")):
            self.world.remove(request)
            request.flag = flag
            self.world.requests[flag] = request
        self.events()

    def do(self, action: str, **params: Any) -> Any:
        """Perform an action and return its whole response."""
        raw = json.dumps(params).encode()
        response = json.loads(perform(self.world, action, Params(raw), self.now))
        self.assertEqual(response["status"], "ok" if response["retcode"] == 0 else "failed")
        return response

    def data(self, action: str, **params: Any) -> Any:
        response = self.do(action, **params)
        self.assertEqual(response["retcode"], 0, response)
        return response["data"]

    def code(self, action: str, **params: Any) -> int:
        return int(self.do(action, **params)["retcode"])

    def verb(self, name: str, **params: Any) -> Any:
        return VERBS[name](self.world, Params(json.dumps(params).encode()), self.now)

    def events(self) -> list[dict[str, Any]]:
        return self.world.pop_events()

    def event(self) -> dict[str, Any]:
        [event] = self.events()
        return event

    def rank(self, user_id: int, role: str) -> None:
        member = self.world.groups[GROUP].member(user_id)
        assert member is not None
        member.role = role
