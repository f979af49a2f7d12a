"""One cost, what it is held against, and how it grows."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

_LEAST_RUNS: Final = 5
_SECONDS: Final = 0.5
"""Processor time to spend on one size at the least: of more runs the least is nearer to what it takes undisturbed."""

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
        sizes, costs = self.growth.sizes, self.costs
        return math.log(costs[-1] / costs[0]) / math.log(sizes[-1] / sizes[0])

    @property
    def verdict(self) -> str:
        """The exponent in words. What is within a seventh of a whole number is that number: no figure is exact."""
        words = ((-0.15, "falls"), (0.15, "stays"), (0.85, "less than linear"), (1.15, "linear"))
        return next((word for bound, word in words if self.exponent <= bound), "worse than linear")


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
