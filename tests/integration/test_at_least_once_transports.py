"""At-least-once delivery by reverse WebSocket and by webhook."""

from __future__ import annotations

from typing import Any

from tests.integration.at_least_once import (
    answer_pings,
    at_least_once,
    has_all,
    journalled,
    lines,
    read_without_pongs,
    skipped,
)
from tests.integration.faulty import Injector, numbered, numbers, quiet
from tests.integration.listening_bots import EMPTY, Listener, Receiver, respond
from tests.integration.running import ServiceTestCase, wait_until


class Dialled(ServiceTestCase):
    """Bots that lgtwist dials: one URL, or one for actions and one for events."""

    def setUp(self) -> None:
        self.one, self.pair = Listener(), Listener()
        for listener in (self.one, self.pair):
            self.addCleanup(listener.end)
        common = ('connection = "reverse-websocket"', 'reconnect = { min = "100ms", max = "300ms" }')
        urls = f'api_url = "{self.pair.url("/a")}"\nevent_url = "{self.pair.url("/e")}"'
        self.toml = (
            quiet()
            + at_least_once("one", *common, f'url = "{self.one.url()}"', token=True)
            + at_least_once("pair", *common, urls, token=True)
        )
        super().setUp()
        self.injector = Injector(self.service)
        self.addCleanup(self.injector.close)

    def test_goes_on_where_it_broke(self) -> None:
        """Events go to the event link; the next one gets what the last did not confirm."""
        one, (_api, event) = self.one.next(), self.pair.next_of("API", "Event")
        self.injector.publish(*map(numbered, range(10)))
        for name, peer in (("one", one), ("pair", event)):
            self.assertEqual(numbers(peer, lambda n: n == 9), list(range(10)))
            while not has_all(self.service, name):
                answer_pings(peer)
        self.injector.publish(*map(numbered, range(10, 20)))
        for peer in (one, event):
            self.assertEqual(read_without_pongs(peer, 19)[0], list(range(10, 20)))
        for listener in (self.one, self.pair):
            listener.drop_all()
        self.injector.publish(*map(numbered, range(20, 30)))
        one, (_api, event) = self.one.next(), self.pair.next_of("API", "Event")
        for peer in (one, event):
            self.assertEqual(numbers(peer, lambda n: n == 29), list(range(10, 30)))


class Hooks(ServiceTestCase):
    """Webhooks that fail, and take everything in the end."""

    def setUp(self) -> None:
        self.receivers = {name: Receiver(start=name != "down") for name in ("down", "choosy", "ill")}
        for receiver in self.receivers.values():
            self.addCleanup(receiver.end)
        bots = (
            at_least_once(
                name, 'connection = "http-post"', f'url = "{receiver.url()}"', 'timeout = "1s"', token=True
            )
            for name, receiver in self.receivers.items()
        )
        self.toml = quiet() + "".join(bots)
        super().setUp()
        self.injector = Injector(self.service)
        self.addCleanup(self.injector.close)

    def came(self, name: str) -> list[int]:
        """The numbers that a receiver was posted, refused or not."""
        return [post.event["n"] for post in list(self.receivers[name].posts) if b'"n"' in post.raw]

    def test_what_fails_is_posted_until_it_is_taken(self) -> None:
        """One is down at the start, one answers 500 for a while, one refuses one event for ever."""
        choosy, ill = self.receivers["choosy"], self.receivers["ill"]

        def refuse(post: Any) -> Any:
            return respond(400) if post.event.get("n") == 5 else EMPTY

        choosy.usual = lambda sock: refuse(choosy.posts[-1])(sock)
        ill.usual = respond(500)
        self.injector.publish(*map(numbered, range(20)))
        wait_until("500 was answered twice", lambda: len(self.came("ill")) >= 2)
        self.assertEqual(set(self.came("ill")), {0})
        ill.usual = EMPTY
        self.receivers["down"].start()
        for name in self.receivers:
            wait_until(f"{name} has all", lambda: has_all(self.service, name), 30)  # noqa: B023
            self.assertEqual(list(dict.fromkeys(self.came(name))), list(range(20)))
        self.assertEqual(self.came("choosy").count(5), 5)
        self.assertEqual(self.came("down"), list(range(20)))
        told = lines(self.service.log(), "choosy: skipped an event", "5 times", "HTTP 400")
        self.assertEqual(len(told), 1)
        self.assertEqual(skipped(self.service, "refused", "choosy"), 1)
        self.assertEqual(skipped(self.service, "refused", "ill"), 0)
        for receiver in self.receivers.values():
            self.assertEqual(receiver.most_at_once, 1)

    def test_the_service_is_killed_between(self) -> None:
        """What was posted and confirmed just before may come again; nothing is missing."""
        ill = self.receivers["ill"]
        self.injector.publish(*map(numbered, range(200)))
        wait_until("some came", lambda: len(self.came("ill")) > 50)
        committed = len(journalled(self.service))
        self.service.kill()
        self.service.start()
        committed = max(committed, len(journalled(self.service)))
        wait_until("ill has all", lambda: committed - 1 in self.came("ill"), 30)
        self.assertEqual(list(dict.fromkeys(self.came("ill"))), list(range(committed)))
        self.assertEqual(ill.most_at_once, 1)
