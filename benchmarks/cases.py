"""What is measured: each case is a mode of the load generator, and how its figures are read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from benchmarks.subjects import (
    BESIDE,
    BOT_TOKEN,
    EXTRA_TOKEN,
    IMPL_TOKEN,
    LOAD_CORE,
    SUBJECTS,
    Failed,
    Server,
    Setting,
    Subject,
    end,
    load_generator,
    start,
)

#: What the generator printed, by name.
Raw = Mapping[str, Any]


@frozen
class Measure:
    """One figure of a case.

    :ivar name: with its unit.
    :ivar higher: whether more is better.
    """

    name: str
    higher: bool
    read: Callable[[Raw], float]


@frozen
class Case:
    """One piece of work, done by each subject.

    :ivar options: for the load generator.
    :ivar measures: the first one is the case's main figure.
    :ivar variants: subjects to compare with other settings than their own, by name; else all subjects do it.
    :ivar known: the subjects, by name.
    :ivar bases: for a variant the one that it is the same as but for one thing, whose cost is told.
    """

    name: str
    about: str
    options: Mapping[str, object]
    measures: tuple[Measure, ...]
    setting: Setting = field(factory=Setting)
    variants: Mapping[str, tuple[str, Setting, Mapping[str, object]]] = field(factory=dict)
    known: Mapping[str, Subject] = field(factory=lambda: SUBJECTS)
    bases: Mapping[str, str] = field(factory=dict)

    def subjects(self) -> list[str]:
        """Who can do it, by name."""
        return list(self.variants) if self.variants else list(self.known)

    def subject(self, name: str) -> Subject:
        """Give what serves a subject or a variant."""
        return self.known[self.variants[name][0] if self.variants else name]

    def with_beside(self, others: Mapping[str, Subject]) -> Case:
        """Give the same case with our subjects, or variants of them, also served by another checkout.

        :param others: what :func:`benchmarks.subjects.beside` gave. Each comes right after its counterpart.
        """
        known: dict[str, Subject] = {}
        for name, subject in self.known.items():
            known[name] = subject
            if name in others:
                known[others[name].name] = others[name]
        variants: dict[str, tuple[str, Setting, Mapping[str, object]]] = {}
        for name, (base, setting, more) in self.variants.items():
            variants[name] = (base, setting, more)
            if base in others:
                variants[name + BESIDE] = (others[base].name, setting, more)
        return evolve(self, known=known, variants=variants)

    def run(self, subject_name: str, seconds: float) -> dict[str, Any]:
        """One run of one subject: its raw figures.

        :raises Unavailable: if the subject cannot be had here.
        :raises Failed: if events or responses were lost or mixed up, or nothing moved.
        """
        _base, setting, more = self.variants.get(subject_name, (subject_name, self.setting, {}))
        subject = self.subject(subject_name)
        generator = load_generator(subject.tls)
        with subject.running(setting) as server:
            return _load(generator, server, subject, {**self.options, **more, "seconds": seconds})


def _load(generator: Path, server: Server, subject: Subject, options: Mapping[str, object]) -> dict[str, Any]:
    every = {
        "port": server.port,
        "listen": server.account_port,
        "pid": server.pid,
        "tls": int(server.tls),
        "numbered": int(server.numbered),
        "impl_token": IMPL_TOKEN,
        "bot_token": BOT_TOKEN,
        "extra_token": EXTRA_TOKEN,
        **options,
    }
    command = [str(generator), *(f"{name}={value}" for name, value in every.items())]
    process = start(command, LOAD_CORE, generator.parent, subprocess.PIPE, {})
    try:
        said, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        raise Failed("the load generator did not end within 120 s") from None
    finally:
        end(process)
    try:
        result: dict[str, Any] = json.loads(said)
    except ValueError:
        raise Failed(f"the load generator said {said[-200:]!r}, status {process.returncode}") from None
    if not result.pop("ok"):
        raise Failed(f"{subject.name}: {result['why']}")
    result["server_share"] = result["server_cpu"] / result["wall"]
    return result


# ---------------------------------------------------------------------- figures


def _per_second(what: str) -> Measure:
    return Measure(f"{what}/s", True, lambda raw: raw["units"] / raw["wall"])


def _cpu(what: str) -> Measure:
    return Measure(f"CPU us/{what}", False, lambda raw: 1e6 * raw["server_cpu"] / max(1, raw["units"]))


def _value(name: str, key: str) -> Measure:
    return Measure(name, False, lambda raw: raw[key])


_P50 = _value("p50 us", "p50")
_P99 = _value("p99 us", "p99")


# ---------------------------------------------------------------------- cases


def fanout(bots: int, size: int, window: int = 64) -> Case:
    """Events in bursts: ``window`` of them under way."""
    return Case(
        f"fanout-{bots}-{size}" + (f"-{window}" if window != 64 else ""),
        f"events of {size} B to {bots} bots, {window} in flight",
        {"mode": "fanout", "bots": bots, "size": size, "window": window},
        (_per_second("deliveries"), _cpu("delivery")),
        Setting(bots),
    )


def single(bots: int, size: int) -> Case:
    """Events one at a time."""
    return Case(
        f"single-{bots}-{size}",
        f"events of {size} B to {bots} bots, one at a time",
        {"mode": "fanout", "bots": bots, "size": size, "window": 1},
        (_per_second("deliveries"), _cpu("delivery"), _P50),
        Setting(bots),
    )


def calls(bots: int, depth: int, attached: int = 0) -> Case:
    """Action round trips."""
    of = f"-of-{attached}" if attached else ""
    return Case(
        f"calls-{bots}-{depth}{of}",
        f"action round trips of {bots} bots{f' of {attached}' if attached else ''}, {depth} in flight each",
        {"mode": "calls", "bots": bots, "depth": depth, "attached": max(bots, attached)},
        (_per_second("calls"), _cpu("call"), *((_P50, _P99) if depth == 1 else ())),
        Setting(max(bots, attached)),
    )


def handshakes() -> Case:
    """Bots that connect, 64 at once, up to 1000."""
    return Case(
        "handshakes",
        "handshakes up to the first frame, 64 at once, again and again up to 1000 bots",
        {"mode": "handshakes", "attached": 1000},
        (_per_second("handshakes"), _cpu("handshake")),
        Setting(1000),
    )


def idle() -> Case:
    """Memory of bots that do nothing."""
    return Case(
        "idle",
        "resident memory of each of 1000 idle bots",
        {"mode": "idle", "attached": 1000},
        (_value("bytes/bot", "rss_per_bot"),),
        Setting(1010),
    )


def stalled() -> Case:
    """Latency at half load, with one of 100 bots stalled and with none."""
    return Case(
        "stalled",
        "event latency of 100 bots at half of the one-at-a-time rate, and with one that stopped reading",
        {"mode": "stalled", "bots": 100, "size": 1024},
        (
            Measure("p50 1 stalled/none", False, lambda raw: raw["p50"] / raw["p50_without"]),
            _value("p50 us, 1 stalled", "p50"),
            _value("p99 us, 1 stalled", "p99"),
            _value("p50 us, none", "p50_without"),
            _value("p99 us, none", "p99_without"),
        ),
        Setting(100),
    )


def replay(backlog: int) -> Case:
    """A backlog, read by one bot that only counts."""
    setting = Setting(1, "at-least-once")
    return Case(
        f"replay-{backlog}",
        f"a backlog of {backlog} events of 300 B, read by one bot",
        {"mode": "replay", "bots": 1, "attached": 1, "size": 300, "backlog": backlog},
        (_per_second("events"), _cpu("event")),
        variants={"lgtwist": ("lgtwist", setting, {})},
    )


def live_with_journal() -> Case:
    """Latency of live bots, with another bot that is at-least-once and without."""
    extra = {"extra": 1}
    return Case(
        "live-with-journal",
        "event latency of 10 live bots at 2000 events/s of 1 KB, beside one more bot",
        {"mode": "latency", "bots": 10, "size": 1024, "rate": 2000},
        (_P50, _P99, _cpu("delivery")),
        variants={
            "beside-live": ("lgtwist", Setting(10, "live"), extra),
            "beside-at-least-once": ("lgtwist", Setting(10, "at-least-once"), extra),
        },
    )


def watched() -> Case:
    """Latency of live bots, with somebody who looks at the live traffic and without."""
    return Case(
        "watched",
        "event latency of a live bot at 5000 events/s of 300 B, with one page on live traffic and with none",
        {"mode": "latency", "bots": 1, "size": 300, "rate": 5000},
        (_P50, _P99, _cpu("delivery")),
        variants={
            "nobody-looks": ("lgtwist", Setting(1), {}),
            "watched": ("lgtwist", Setting(1, watched=True), {}),
        },
    )


#: What filters ask for, by what they look at; every event of the load generator passes.
_FILTERS: Mapping[str, str] = {
    "field-go-cqhttp": '{"group_id": {".in": [30001, 30002, 30003]}, "user_id": {".neq": 5}}',
    "field-llbot": '{"group_id": {"$in": [30001, 30002, 30003]}, "user_id": {"$ne": 5}}',
    "message-go-cqhttp": '{".or": [{"message_type": "private"}, {"message": {".regex": "^[^/]"}}]}',
    "message-llbot": '{"message": {"$elemMatch": {"type": "text", "data.text": {"$regex": "^[^/]"}}}}',
}


def filters(bots: int) -> Case:
    """Events to bots with a filter each, by fields and by the message, and to as many without one."""
    events = {
        "field-events": "events = { group_id = [30001], deny = { user_id = [5] }, private = false }",
        "message-events": "events = { any_of = { at_me = true, keyword = ['/', 'a', 'e', 'x'] } }",
    }
    lines = {**events, **{name: f"filter = '''{one}'''" for name, one in _FILTERS.items()}}
    variants: dict[str, tuple[str, Setting, Mapping[str, object]]] = {
        "none": ("lgtwist", Setting(bots, each=()), {}),
        **{name: ("lgtwist", Setting(bots, each=(one,)), {}) for name, one in sorted(lines.items())},
        "journal-none": ("lgtwist-journal", Setting(bots), {}),
        **{
            f"journal-{name}": ("lgtwist-journal", Setting(bots, each=(lines[name],)), {})
            for name in ("field-events", "message-events")
        },
    }
    return Case(
        f"filters-{bots}",
        f"events of 1024 B to {bots} bots with a filter each, 64 in flight, and to as many without",
        {"mode": "fanout", "bots": bots, "size": 1024, "window": 64},
        (_cpu("event and bot"), _per_second("deliveries")),
        variants=variants,
        bases={
            name: "journal-none" if name.startswith("journal") else "none"
            for name in variants
            if not name.endswith("none")
        },
    )


def milky_events(bots: int = 10, size: int = 1024) -> Case:
    """Events of an account of type milky, beside one whose implementation speaks OneBot 11.

    :param size: bytes of the event as OneBot 11 has it; as Milky has it, the message has the same text.
    """
    is_usual = (bots, size) == (10, 1024)
    return Case(
        "milky-events" if is_usual else f"milky-events-{bots}-{size}",
        f"events of {size} B to {bots} bots, 64 in flight, and the same messages of Milky",
        {"mode": "fanout", "bots": bots, "size": size, "window": 64},
        (
            Measure("CPU us/event", False, lambda raw: 1e6 * bots * raw["server_cpu"] / max(1, raw["units"])),
            Measure("events/s", True, lambda raw: raw["units"] / raw["wall"] / bots),
        ),
        variants=_dialled(bots),
    )


def milky_calls() -> Case:
    """Calls to an account of type milky, beside one whose implementation speaks OneBot 11."""
    return Case(
        "milky-calls",
        "round trips of send_group_msg, 16 in flight to as many groups, by OneBot 11 and by Milky",
        {"mode": "calls", "bots": 1, "depth": 16, "attached": 1},
        (_cpu("call"), _per_second("calls")),
        variants=_dialled(1),
    )


def _dialled(bots: int) -> dict[str, tuple[str, Setting, Mapping[str, object]]]:
    """Give the accounts whose implementation lgtwist dials."""
    return {
        "forward-websocket": (
            "lgtwist",
            Setting(bots, account="forward-websocket"),
            {"protocol": "onebot"},
        ),
        "milky": ("lgtwist", Setting(bots, account="milky"), {"protocol": "milky"}),
    }


_CASES: list[Case] = [
    *(fanout(bots, size) for bots in (1, 10, 200, 1000) for size in (300, 1024, 16384)),
    *(fanout(bots, 1024, 256) for bots in (10, 200)),
    *(single(bots, 1024) for bots in (1, 10, 200, 1000)),
    *(calls(bots, depth) for bots in (1, 4, 64) for depth in (1, 16)),
    calls(4, 1, 1000),
    calls(4, 16, 1000),
    handshakes(),
    idle(),
    stalled(),
    replay(200_000),
    live_with_journal(),
    watched(),
    filters(200),
    milky_events(),
    milky_events(1, 512),
    milky_calls(),
]
CASES: dict[str, Case] = {case.name: case for case in _CASES}

_PATTERNS: list[tuple[str, Callable[..., Case]]] = [
    (r"fanout-(\d+)-(\d+)(?:-(\d+))?", fanout),
    (r"single-(\d+)-(\d+)", single),
    (r"calls-(\d+)-(\d+)(?:-of-(\d+))?", calls),
    (r"replay-(\d+)", replay),
    (r"filters-(\d+)", filters),
    (r"milky-events-(\d+)-(\d+)", milky_events),
]


def find(name: str) -> list[Case]:
    """The cases of that name: a listed one, a family (``fanout``), or one of its kind (``fanout-7-500``).

    :raises LookupError: if there is none.
    """
    if name in CASES:
        return [CASES[name]]
    family = [case for case in CASES.values() if case.name.split("-")[0] == name]
    if family:
        return family
    for pattern, make in _PATTERNS:
        match = re.fullmatch(pattern, name)
        if match:
            return [make(*(int(number) for number in match.groups() if number is not None))]
    raise LookupError(f"there is no case {name}")


if sys.platform != "linux":  # pragma: no cover
    raise ImportError("the benchmarks need Linux: epoll, /proc and core affinity")
