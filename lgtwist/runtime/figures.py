"""Families of metrics that are read from plain counters when somebody asks, and never kept twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

#: A metric of each of several like things: its name without ``lgtwist_``, its help text, and how it is read.
Reading = tuple[str, str, Callable[[Any], float]]
#: Things, each behind the values of its labels.
Labelled = Sequence[tuple[list[str], Any]]
#: Reads metrics now.
Collect = Callable[[], Iterable[Metric]]


def gauges(readings: Iterable[Reading], labels: Sequence[str], things: Labelled) -> Iterator[Metric]:
    """Return a gauge family for each reading, with a sample for each thing."""
    return _families(GaugeMetricFamily, readings, labels, things)


def counters(readings: Iterable[Reading], labels: Sequence[str], things: Labelled) -> Iterator[Metric]:
    """Return a counter family for each reading, with a sample for each thing."""
    return _families(CounterMetricFamily, readings, labels, things)


def _families(
    kind: Any, readings: Iterable[Reading], labels: Sequence[str], things: Labelled
) -> Iterator[Metric]:
    for name, help_text, read in readings:
        family = kind(f"lgtwist_{name}", help_text, labels=labels)
        for values, thing in things:
            family.add_metric(values, float(read(thing)))
        yield family


def counter(
    name: str, help_text: str, labels: Sequence[str], samples: Iterable[tuple[list[str], float]]
) -> Metric:
    """Return a counter family of samples, each behind the values of its labels."""
    family = CounterMetricFamily(f"lgtwist_{name}", help_text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
