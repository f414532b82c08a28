"""Every transport in every dialect, end to end: the real service between the simulator and a bot."""

from __future__ import annotations

import json
from typing import Any

from tests.implementations.dialects import DIALECTS, Outcome, dumps, envelope
from tests.integration.accounts import FORWARD, HTTP, JSON, REVERSE, WorldTestCase
from tests.integration.running import wait_until

NAMES = ("onebot11", "lagrange", "napcat", "llbot", "go-cqhttp")
ECHOES = (b'"a string"', b"9007199254740993", b'{"seq":  1, "x":[null,true]}', b"null", b"1.0", None)
PARAMS: dict[str, Any] = {
    "a": [1, None, "日本 <&>"],
    "big": 9007199254740993,
    "f": 1.5,
    "o": {"z": 1, "a": 2},
}
#: What the standard leaves open in an event passes as it came: spaces, escapes, order, large numbers.
EVENT = (
    '{"post_type" :"message","self_id":%d,\t"message_type":"group","n":12345678901234567890,'
    '"message":[{"type":"text","data":{"text":"\\u6d4b\\/ 试 \U0001f600"}}],"x":1.0e+2,"raw_message":"<&>"}'
)


def _accounts(
    first: int, transport: str, names: tuple[str, ...] = NAMES, **more: Any
) -> list[dict[str, Any]]:
    return [
        {
            "self_id": first + at,
            "dialect": name,
            "transport": transport,
            "token": f"token-{first + at}",
            "heartbeat_ms": 300,
            **more,
        }
        for at, name in enumerate(names)
    ]


SPLIT = ("onebot11", "lagrange", "go-cqhttp")


class EndToEndTests(WorldTestCase):
    strict = True
    accounts = [
        *_accounts(20100, FORWARD),
        *_accounts(20200, REVERSE),
        *_accounts(20300, HTTP, secret="s"),
        *_accounts(20400, FORWARD, (*SPLIT, "llbot"), end="/api"),
        *_accounts(20500, REVERSE, SPLIT, split=True),
    ]

    def _check(self, self_id: int, name: str) -> None:
        """The account is up, an event comes as it was, actions are answered as they were."""
        self.world.wait_online(self_id)
        bot = self.bot(self_id)
        self.assertEqual(bot.message()["sub_type"], "connect")
        event = EVENT % self_id
        self.assertTrue(self.control(self_id, "event", raw=event)["sent"])
        self.assertEqual(bot.event_text(), event.encode())

        dialect = DIALECTS[name]
        expected = envelope(dialect, Outcome(PARAMS), "1")
        del expected["echo"]
        for echo in ECHOES:
            tail = b"" if echo is None else b',"echo":' + echo
            request = b'{"action":"echo_params","params":%b%b}' % (json.dumps(PARAMS).encode(), tail)
            bot.send(request)
            text = bot.answer_text()
            whole = dumps(dialect, expected).encode()[:-1] + tail + b"}"
            self.assertEqual(text, whole)
        unknown = bot.ask("no_such_action")
        self.assertEqual(unknown["status"], "failed")
        self.assertTrue(bot.ask("get_status")["data"]["online"])

        status, answer = self.service.http(f"/{self_id}/no_such_action", {})
        self.assertEqual((status, answer["status"]), (404, "failed"), answer)
        status, answer = self.service.http(f"/{self_id}/echo_params", PARAMS, JSON)
        self.assertEqual((status, answer), (200, expected))
        status, answer = self.service.http(
            f"/{self_id}/get_msg?message_id=1"
        )  # a failure, but a known action
        self.assertEqual((status, answer["status"]), (200, "failed"))
        self.assertEqual(self.implementation.state(self_id)["violations"], [])

    def _check_all(self, first: int, names: tuple[str, ...] = NAMES) -> None:
        for at, name in enumerate(names):
            self._check(first + at, name)

    def test_forward_websocket(self) -> None:
        self._check_all(20100)
        for self_id in range(20100, 20105):
            state = self.implementation.state(self_id)
            self.assertEqual(state["max_concurrent"], {"universal": 1})
            headers = dict(map(tuple, state["handshakes"][-1]["headers"]))
            self.assertEqual(headers["Authorization"], f"Bearer token-{self_id}")

    def test_reverse_websocket(self) -> None:
        """L-33: go-cqhttp's scheme is ``Token``."""
        self._check_all(20200)

    def test_http(self) -> None:
        self._check_all(20300)
        for self_id in range(20300, 20305):
            wait_until(
                f"{self_id}: posts are answered",
                lambda one=self_id: self.implementation.state(one)["post_statuses"],
            )
            statuses = {s for s in self.implementation.state(self_id)["post_statuses"] if s is not None}
            self.assertEqual(statuses, {204})

    def test_forward_split(self) -> None:
        self._check_all(20400, (*SPLIT, "llbot"))
        for self_id in range(20400, 20404):
            roles = self.implementation.state(self_id)["max_concurrent"]
            self.assertEqual(roles, {"api": 1, "event": 1})
            asked = {one["role"] for one in self.implementation.received(self_id)}
            self.assertEqual(asked, {"api"})

    def test_L38_reverse_split(self) -> None:
        """Roles by header in each spelling; actions only on the one, events only on the other."""
        self._check_all(20500, SPLIT)
        for self_id in range(20500, 20503):
            self.assertEqual(self.implementation.state(self_id)["max_concurrent"], {"api": 1, "event": 1})

    def test_events_never_carry_echo(self) -> None:
        """L-72: a frame with ``echo`` is a response for ZeroBot; of an event it is cut out."""
        for self_id in (20100, 20201, 20302):
            self.world.wait_online(self_id)
            bot = self.bot(self_id)
            event = f'{{"post_type":"message","echo":"1","self_id":{self_id},"in":{{"echo":2}}}}'
            self.control(self_id, "event", raw=event)
            wanted = {"post_type": "message", "self_id": self_id, "in": {"echo": 2}}
            self.assertEqual(json.loads(bot.event_text()), wanted)

    def test_meta_events_end_here(self) -> None:
        """A bot gets our heartbeats and lifecycle only, whatever the implementation sends."""
        for self_id in (20101, 20201, 20301):
            self.world.wait_online(self_id)
            bot = self.bot(self_id)
            self.assertEqual(bot.message()["meta_event_type"], "lifecycle")
            self.control(self_id, "lifecycle", sub_type="enable")
            self.control(self_id, "heartbeat", interval=7777)
            marker = self.say(self_id, "behind")
            seen = []
            while (text := bot.text()) != marker:
                seen.append(json.loads(text))
            seen += [bot.message() for _ in range(2)]
            self.assertEqual({one.get("interval") for one in seen}, {150})

    def test_versions_are_known(self) -> None:
        """The dialect is recognised from ``get_version_info``, and shown."""
        for first in (20100, 20200, 20300):
            for at, name in enumerate(NAMES):
                self.world.wait_online(first + at)
                wait_until(
                    f"{name} is recognised",
                    lambda one=first + at, wanted=name: self._dialect(one) == wanted,
                )

    def _dialect(self, self_id: int) -> str:
        _status, text = self.service.http("/metrics")
        line = next(
            line
            for line in str(text).splitlines()
            if line.startswith("lgtwist_account_info") and f'account="{self_id}"' in line
        )
        return line.partition('dialect="')[2].partition('"')[0]

    def test_suffixes_are_ours(self) -> None:
        """``_async`` and ``_rate_limited`` are done by lgtwist, whatever the implementation makes of them."""
        for self_id in (20100, 20101, 20204, 20302):
            self.world.wait_online(self_id)
            bot = self.bot(self_id)
            for suffix in ("_async", "_rate_limited"):
                answer = bot.ask(f"send_group_msg{suffix}", group_id=1, message=f"by {suffix}")
                self.assertEqual((answer["status"], answer["retcode"]), ("async", 1))
            self.world.wait_received(self_id, "send_group_msg", 2)
            names = {one["action"] for one in self.implementation.received(self_id)}
            self.assertFalse({name for name in names if name.endswith(("_async", "_rate_limited"))}, names)

    def test_stream_actions(self) -> None:
        """NapCat's several frames for one echo: each is passed on over WebSocket, over HTTP the last."""
        self.world.wait_online(20102, 20202, 20302)
        for self_id in (20102, 20202):
            bot = self.bot(self_id)
            bot.call("download_file_stream", {"seq": 1}, chunks=3, pause_ms=20)
            frames = [bot.response() for _ in range(5)]
            self.assertEqual([one["data"]["type"] for one in frames], ["stream"] * 4 + ["response"])
            self.assertEqual([one["data"]["index"] for one in frames[1:4]], [0, 1, 2])
            self.assertTrue(all(one["echo"] == {"seq": 1} for one in frames))
            self.assertTrue(all(one["stream"] == "stream-action" for one in frames))
            bot.call("test_download_stream", 2, chunks=1, fail=True)
            frames = [bot.response() for _ in range(3)]
            self.assertEqual([one["data"]["type"] for one in frames], ["stream", "stream", "error"])
            self.assertEqual({one["echo"] for one in frames}, {2})
            answer = bot.ask("upload_file_stream", stream_id="s")
            self.assertEqual(answer["data"]["type"], "stream")  # though one answer is all there is
            self.assertEqual(bot.retcode("get_status"), 0)
            status, answer = self.service.http(f"/{self_id}/download_file_stream", {"chunks": 2}, JSON)
            self.assertEqual((status, answer["data"]["type"]), (200, "response"))
            self.assertEqual(self.world.metric("lgtwist_calls_in_flight", account=self_id), 0)

    def test_stream_time_limit_counts_from_the_last_frame(self) -> None:
        self.world.wait_online(20102)
        bot = self.bot(20102)
        bot.call("download_file_stream", "slow", chunks=4, pause_ms=350)  # 1.75 s in all; the limit is 1.5 s
        kinds = [bot.response()["data"]["type"] for _ in range(6)]
        self.assertEqual(kinds, ["stream"] * 5 + ["response"])

    def test_stream_over_an_http_account(self) -> None:
        """NapCat's HTTP answers a stream with one JSON document behind the other."""
        self.world.wait_online(20302)
        status, answer = self.service.http("/20302/download_file_stream", {"chunks": 2}, JSON)
        self.assertEqual((status, answer["retcode"]), (200, 0), answer)
        self.assertEqual(answer["data"]["type"], "response", answer)
        bot = self.bot(20302)
        answers = [bot.ask("download_file_stream", chunks=2)]
        while answers[-1]["data"]["type"] == "stream":
            answers.append(bot.response())
        self.assertEqual(answers[-1]["data"]["type"], "response")


class MachinesTests(WorldTestCase):
    """Seen from outside."""

    accounts = [{"self_id": 20601, "heartbeat_ms": 0}, {"self_id": 20602, "transport": HTTP}]
    starts = False

    def test_healthz_readyz_metrics(self) -> None:
        self.assertEqual(self.service.http("/healthz")[0], 200)
        status, answer = self.service.http("/readyz")
        self.assertEqual((status, answer["ready"], len(answer["reasons"])), (503, False, 2))
        self.assertIn("20601", answer["reasons"][0])
        status, text = self.service.http("/readyz", headers={"X-Forwarded-For": "203.0.113.7"})
        self.assertEqual(status, 503)
        self.assertNotIn("20601", str(text))
        self._zeroes()

        self.implementation.start()
        self.world.wait_online(20601, 20602)
        self.assertEqual(self.service.http("/readyz"), (200, {"ready": True, "reasons": []}))
        self.assertEqual(self.world.metric("lgtwist_account_up", account=20601), 1)
        self.assertEqual(self.world.metric("lgtwist_links_opened_total", account=20601), 1)

        self.implementation.control(20601, "status", online=False)
        self.implementation.control(20601, "heartbeat", interval=0)
        self.world.wait_online(20601, online=False)
        self.assertEqual(self.world.metric("lgtwist_account_up", account=20601), 1)
        self.assertEqual(self.world.metric("lgtwist_account_online", account=20601), 0)

        self.implementation.kill()
        wait_until("not ready", lambda: self.service.http("/readyz")[0] == 503)
        wait_until("both are named", lambda: len(self.service.http("/readyz")[1]["reasons"]) == 2)
        self.assertEqual(self.service.http("/healthz")[0], 200)

    def _zeroes(self) -> None:
        """Every counter is there before anything happened."""
        counters = ("events", "stray_answers", "garbage_frames", "links_opened", "link_takeovers")
        for self_id in (20601, 20602):
            for name in (*counters, "accepted_calls_failed"):
                self.assertEqual(self.world.metric(f"lgtwist_{name}_total", account=self_id), 0, name)
            for outcome in ("answered", "not_connected", "link_broken", "timeout", "asker_gone"):
                self.assertEqual(
                    self.world.metric("lgtwist_calls_total", account=self_id, outcome=outcome), 0, outcome
                )
            for gauge in ("account_up", "account_online", "calls_in_flight"):
                self.assertEqual(self.world.metric(f"lgtwist_{gauge}", account=self_id), 0)
        self.world.metric("lgtwist_dial_attempts_total", account=20601)
        for name in ("deliveries", "dropped_events", "actions"):
            self.assertEqual(self.world.metric(f"lgtwist_{name}_total", bot="default"), 0)
        wire = ("connections_opened", "connections_closed", "dead_peers", "close_timeouts", "protocol_errors")
        for name in (*wire, "send_failures", "callback_failures"):
            self.world.metric(f"lgtwist_{name}_total", direction="in")
            self.world.metric(f"lgtwist_{name}_total", direction="out")
        self.world.metric("lgtwist_reactor_lag_seconds")
