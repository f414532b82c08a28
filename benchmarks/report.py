"""The figures as text and as one chart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

from attrs import field, frozen

from benchmarks.cases import Case, Measure
from benchmarks.subjects import BESIDE

#: Above this share of its core, the generator may be what bounds the figure.
BUSY = 0.9


@frozen
class Outcome:
    """All rounds of one case.

    :ivar runs: by subject, by round; a failed round is missing.
    :ivar failures: by subject, one line each.
    """

    case: Case
    runs: dict[str, dict[int, Mapping[str, Any]]] = field(factory=dict)
    failures: dict[str, list[str]] = field(factory=dict)

    def values(self, subject: str, measure: Measure) -> list[float]:
        """One figure of each round."""
        return [measure.read(raw) for raw in self.runs.get(subject, {}).values()]

    def kind(self, subject: str) -> str:
        """Give what a subject is: ``ours``, ``beside``, ``peer`` or ``limit``."""
        return self.case.subject(subject).kind

    def best_peer(self, measure: Measure) -> str | None:
        """The peer with the best median."""
        peers = [name for name in self.runs if self.kind(name) == "peer" and self.runs[name]]
        own = [name for name in self.case.variants if self.kind(name) != "beside"]
        if len(own) > 1:  # then the first one is what the others are compared with
            peers = [name for name in own[:1] if self.runs.get(name)]
        if not peers:
            return None
        choose = max if measure.higher else min
        return choose(peers, key=lambda name: median(self.values(name, measure)))

    def ratio(self, subject: str, other: str | None, measure: Measure) -> float | None:
        """How many times better: the median over the rounds that both did; above 1 is better."""
        ratios = self.ratios(subject, other, measure)
        return median(ratios) if ratios else None

    def ratios(self, subject: str, other: str | None, measure: Measure) -> list[float]:
        """Give how many times better a subject is in each round that both did; above 1 is better."""
        ratios: list[float] = []
        if other is None:
            return ratios
        for number, raw in self.runs.get(subject, {}).items():
            theirs = self.runs.get(other, {}).get(number)
            if theirs is not None:
                a, b = measure.read(raw), measure.read(theirs)
                if a > 0 and b > 0:
                    ratios.append(a / b if measure.higher else b / a)
        return ratios


def figure(value: float) -> str:
    """A number in three digits or so."""
    if value >= 999_500:
        return f"{value / 1e6:.2f}M"
    if value >= 9_995:
        return f"{value / 1e3:.0f}k"
    if value >= 1000:
        return f"{value / 1e3:.1f}k"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}x"


def table(outcome: Outcome) -> str:
    """A case's figures as text: median (min..max) and ratios, of each measure."""
    case = outcome.case
    # Beside the best peer: our own plain form, and the limit, for the main figure only.
    others = [name for name in ("lgtwist", "epoll") if outcome.runs.get(name) and not case.variants]
    first = "x " + next(iter(case.variants)) if case.variants else "x best peer"
    head = ["subject"]
    for measure in case.measures:
        head += [measure.name, "(min..max)", first]
        if measure is case.measures[0]:
            head += [f"x {other}" for other in others]
    rows = [[*head, "server", "load"]]
    for name in (name for name in case.subjects() if outcome.runs.get(name)):
        row = [name]
        for measure in case.measures:
            values = outcome.values(name, measure)
            row += [figure(median(values)), f"({figure(min(values))}..{figure(max(values))})"]
            row.append(_ratio(outcome.ratio(name, outcome.best_peer(measure), measure)))
            if measure is case.measures[0]:
                row += [_ratio(outcome.ratio(name, other, measure)) for other in others]
        raws = outcome.runs[name].values()
        load = median(raw["own_share"] for raw in raws)
        server = median(raw["server_share"] for raw in raws)
        rows.append([*row, f"{server:.0%}", f"{load:.0%}{'!' if load > BUSY else ''}"])
    lines = [f"{case.name}: {case.about}"]
    if len(rows) > 1:
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            cells = [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  " + "  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    lines += [f"  {line}" for line in (*compared(outcome), *costs(outcome))]
    for name, whys in outcome.failures.items():
        lines += [f"  {name}: FAILED in {len(whys)} round(s): {whys[0]}"]
    return "\n".join(lines)


def costs(outcome: Outcome) -> list[str]:
    """Give one line for each variant with what it costs more than the one that it is compared with.

    It has the difference of the main figure: median (min..max) over the rounds that both did.
    """
    lines = []
    measure = outcome.case.measures[0]
    for name in outcome.case.variants:
        base = outcome.case.bases.get(name.removesuffix(BESIDE), "")
        of = base + BESIDE * name.endswith(BESIDE)
        theirs = outcome.runs.get(of, {})
        more = [
            measure.read(raw) - measure.read(theirs[number])
            for number, raw in outcome.runs.get(name, {}).items()
            if number in theirs
        ]
        if more:
            figures = f"{median(more):+.2f} ({min(more):+.2f}..{max(more):+.2f})"
            lines.append(f"{name}, more than {of}: {measure.name} {figures}")
    return lines


def compared(outcome: Outcome) -> list[str]:
    """Give one line for each of our subjects that the checkout of ``--beside`` served too.

    It has, for each measure, how many times better ours was: median (min..max) over the rounds that both did.
    """
    lines = []
    for name in outcome.case.subjects():
        ratios = [
            (measure.name, values)
            for measure in outcome.case.measures
            if (values := outcome.ratios(name, name + BESIDE, measure))
        ]
        if ratios:
            figures = [
                f"{what} {_ratio(median(values))} ({min(values):.2f}..{max(values):.2f})"
                for what, values in ratios
            ]
            lines.append(f"{name}, times better than {name}{BESIDE}: {', '.join(figures)}")
    return lines


_COLOURS = {"ours": "#c2410c", "beside": "#fb923c", "peer": "#64748b", "limit": "#0f766e"}


def chart(outcomes: Sequence[Outcome], machine: str) -> str:
    """One SVG: for each case, each subject's main figure beside the best peer's, on a logarithmic scale."""
    width, line, gap = 560, 17, 34
    body: list[str] = []
    bars = [
        (outcome, name, ratio)
        for outcome in outcomes
        for name in outcome.case.subjects()
        for measure in outcome.case.measures[:1]
        if (ratio := outcome.ratio(name, outcome.best_peer(measure), measure)) is not None
    ]
    left = max(190, 60 + 6 * max((len(name) for _, name, _ in bars), default=0))
    exponents = [math.log10(ratio) for *_, ratio in bars] or [0.0]
    low, high = min(-0.3, *exponents) - 0.05, max(0.3, *exponents) + 0.05
    scale = width / (high - low)
    zero = left - low * scale
    y, shown = 64, ""
    for outcome, name, ratio in bars:
        if outcome.case.name != shown:
            shown = outcome.case.name
            y += gap - line
            body.append(
                f'<text x="8" y="{y}" class="case">{escape(shown)}: {escape(outcome.case.about)}</text>'
            )
            y += 8
        end = zero + math.log10(ratio) * scale
        x, length = min(zero, end), max(1.0, abs(end - zero))
        measure = outcome.case.measures[0]
        value = f"{figure(median(outcome.values(name, measure)))} {measure.name}, {ratio:.2f}x"
        colour = _COLOURS[outcome.kind(name)]
        body.append(
            f'<text x="{left - 60}" y="{y + 11}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{x:.1f}" y="{y + 2}" width="{length:.1f}" height="{line - 5}" fill="{colour}"/>'
            f'<text x="{max(zero, end) + 5:.1f}" y="{y + 11}">{escape(value)}</text>'
        )
        y += line
    height = y + 24
    grid = ""
    for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100):
        if low <= math.log10(tick) <= high:
            x = zero + math.log10(tick) * scale
            colour = "#334155" if tick == 1 else "#e2e8f0"
            grid += (
                f'<line x1="{x:.1f}" x2="{x:.1f}" y1="56" y2="{height - 12}" stroke="{colour}"/>'
                f'<text x="{x:.1f}" y="52" text-anchor="middle">{tick:g}x</text>'
            )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 220}" height="{height}" '
        'font-family="sans-serif" font-size="11" fill="#0f172a">'
        "<style>.case{font-weight:bold}</style>"
        '<rect width="100%" height="100%" fill="white"/>'
        '<text x="8" y="18" font-size="14">lgtwist: how many times better than the best peer</text>'
        f'<text x="8" y="34">{escape(machine)}; to the right is better; logarithmic</text>'
        f"{grid}{''.join(body)}</svg>\n"
    )
