"""One cost, what it is held against, and how it grows."""

import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise, starmap
from typing import Final, NamedTuple, TypeAlias

_LEAST_RUNS: Final = 5
_SECONDS: Final = 0.5
"""Processor time to spend on one size at the least: of more runs the least is nearer to what it takes undisturbed."""

_NOISE: Final = 0.15

Measure: TypeAlias = Callable[[int], float]
"""Returns what one operation costs at one size."""


class Growth(NamedTuple):
    """One cost, and what it is measured against.

    :ivar sizes: ascending
    :ivar unit: of the cost, as in `µs` of processor time
    :ivar why: what is measured, and why it grows as it does
    """

    cost: str
    by: str
    sizes: Sequence[int]
    measure: Measure
    why: str
    unit: str = "µs"

    @property
    def title(self) -> str:
        return f"{self.cost}, by {self.by}"


class Grown(NamedTuple):
    """What was measured of one cost."""

    growth: Growth
    costs: Sequence[float]
    """One for each size."""

    @property
    def exponent(self) -> float:
        """How the cost grows from the first size to the last: 0 it stays, 1 it is linear, 2 it is square."""
        first, *_, last = zip(self.growth.sizes, self.costs, strict=True)
        return _exponent(first, last)

    @property
    def steepest(self) -> float:
        """The largest exponent between two neighbours, which a part that stays cannot hide."""
        return max(starmap(_exponent, pairwise(zip(self.growth.sizes, self.costs, strict=True))))

    @property
    def verdict(self) -> str:
        """The exponent in words. What is near a whole number is that number: no figure is exact, two are less so."""
        if self.exponent > 1 + _NOISE or self.steepest > 1 + 2 * _NOISE:
            return "worse than linear"
        words = ((-_NOISE, "falls"), (_NOISE, "stays"), (1 - _NOISE, "less than linear"))
        return next((word for bound, word in words if self.exponent <= bound), "linear")


def _exponent(before: tuple[int, float], after: tuple[int, float]) -> float:
    return math.log(after[1] / before[1]) / math.log(after[0] / before[0])


def whole(value: float) -> str:
    """Return a number with spaces between thousands, as other figures have them."""
    return f"{value:,g}".replace(",", " ")


def timed(prepare: Callable[[int], Callable[..., int]], given: Callable[[], tuple[object, ...]] = tuple) -> Measure:
    """Return what measures microseconds of this process's processor time for one operation.

    :param prepare: makes for a size what does some operations, and returns how many
    :param given: makes what that is given each time, and is not measured
    """

    def measure(size: int) -> float:
        run = prepare(size)
        run(*given())
        taken: list[float] = []
        begun = time.process_time()
        while len(taken) < _LEAST_RUNS or time.process_time() - begun < _SECONDS:
            arguments = given()
            before = time.process_time_ns()
            operations = run(*arguments)
            taken.append((time.process_time_ns() - before) / operations / 1_000)
        return min(taken)

    return measure
