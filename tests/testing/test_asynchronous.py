"""Calls in threads, under asyncio."""

from __future__ import annotations

import asyncio
import threading

from twisted.trial.unittest import SynchronousTestCase

from lgtwist.testing.asynchronous import AsyncSandbox, run_in_thread
from lgtwist.testing.expectations import ExpectationFailed
from lgtwist.testing.observation import WaitCancelled
from tests.processes import PATIENCE
from tests.testing.fakes import fake_sandbox


class RunInThreadTests(SynchronousTestCase):
    def test_many_at_a_time(self) -> None:
        """However many wait, another call is not held up."""
        done = threading.Event()

        async def main() -> list[bool]:
            waiting = [run_in_thread(lambda: done.wait(PATIENCE)) for _ in range(60)]
            return await asyncio.gather(*waiting, run_in_thread(lambda: done.set() or True))

        self.assertEqual(asyncio.run(main()), [True] * 61)

    def test_errors(self) -> None:
        """They are raised where the call is awaited."""
        for raised, seen in ((ValueError, ValueError), (StopIteration, RuntimeError)):

            def fail(error: type[Exception] = raised) -> None:
                raise error("words")

            with self.assertRaisesRegex(seen, "words"):
                asyncio.run(run_in_thread(fail))

    def test_nobody_waits(self) -> None:
        """A call that is cancelled ends at its next look; its outcome is not told, nor is an error."""
        complaints: list[object] = []
        ended = threading.Event()
        sandbox, service, _process = fake_sandbox()

        def look() -> None:
            if not running.wait(PATIENCE):
                raise AssertionError("it was not cancelled")
            service.arriving.append(look)

        running = threading.Event()
        service.arriving.append(look)

        def hears() -> None:
            try:
                sandbox.alice.hears(within=600)
            except WaitCancelled:
                ended.set()
                raise

        async def main() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _loop, about: complaints.append(about))
            asynchronous = AsyncSandbox(sandbox)
            task = asyncio.ensure_future(asynchronous._call(hears))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            running.set()
            await run_in_thread(lambda: ended.wait(PATIENCE))

        asyncio.run(main())
        self.assertTrue(ended.is_set())
        self.assertEqual(complaints, [])

    def test_the_loop_has_ended(self) -> None:
        """A call that outlives it is no error."""
        may_end, complaints = threading.Event(), []
        self.patch(threading, "excepthook", complaints.append)

        async def main() -> None:
            task = asyncio.ensure_future(run_in_thread(lambda: may_end.wait(PATIENCE)))
            self.addCleanup(task.done)  # a reference, so that nobody else ends it
            await asyncio.sleep(0)

        before = set(threading.enumerate())
        asyncio.run(main())
        (thread,) = set(threading.enumerate()) - before
        may_end.set()
        thread.join(PATIENCE)
        self.assertEqual(complaints, [])


class AsyncSandboxTests(SynchronousTestCase):
    def test_same_sandbox(self) -> None:
        """What was said in it is the same; people can be named in each other's calls."""
        sandbox, service, _process = fake_sandbox()
        asynchronous = AsyncSandbox(sandbox)

        async def main() -> None:
            alice, group = asynchronous.alice, asynchronous.playground
            said = await alice.in_group(group).says("a", mentions=[asynchronous.bob])
            service.say("b", group_id=30001)
            self.assertEqual((await asynchronous.expect.reply(to=said)).text, "b")
            service.say("c", group_id=30001)
            self.assertEqual((await alice.in_group(30001).hears("c")).chat, group.chat)
            await alice.in_group().pokes(asynchronous.bob)
            with self.assertRaises(ExpectationFailed):
                await asynchronous.expect.reply(to=asynchronous.bob)
            self.assertEqual(
                [asynchronous.bob.name, asynchronous.bob.user_id, group.name, alice.in_group().group_id],
                ["Bob", 20002, "Playground", 30001],
            )
            self.assertEqual(repr(alice), repr(sandbox.alice))

        asyncio.run(main())
        self.assertEqual(service.requests[-1][1]["target_id"], 20002)
        self.assertEqual(len(sandbox.transcript()), 3)
