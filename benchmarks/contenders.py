"""What a benchmark file says: who is measured, by what, against whom, and what we aim for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, TypeAlias

NAMES: Final = (
    "ring",
    "publish",
    "sink",
    "ingest",
    "capture",
    "runs",
    "mock",
    "history",
    "screen",
    "viewers",
    "page",
    "bridge",
    "slow_clients",
    "handover",
    "workers",
    "many",
)
"""The measured paths; `bench_<name>.py` has each."""

Numbers: TypeAlias = dict[str, float]
"""One measurement: a value for each metric, whose name says the unit."""

Measure: TypeAlias = Callable[[float], Numbers]
"""Measures once, in a process of its own. Its argument scales counts and durations: 1 is in full, 0.5 a quick look."""


class Unavailable(Exception):
    """Something that the measurement needs is not installed. The message says how to get it."""


@dataclass(frozen=True)
class Target:
    """What one contender should reach in one metric: a value, or a multiple of what another one measured."""

    metric: str
    contender: str
    at_least: float | None = None
    at_most: float | None = None
    against: str | None = None
    """The contender to compare with; without, the bounds are values."""


@dataclass(frozen=True)
class Bench:
    """One measured path."""

    title: str
    contenders: Mapping[str, Measure]
    """By name, in the order they take turns in."""
    metrics: Mapping[str, str | None]
    """The metrics in the order they are shown in, each with the contender that is the bare part, if one is."""
    targets: Sequence[Target] = ()
    rounds: int = 5


def load(name: str) -> Bench:
    """Return the benchmark called `name`."""
    bench: Bench = import_module(f"benchmarks.bench_{name}").BENCH
    return bench
