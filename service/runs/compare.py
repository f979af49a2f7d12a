"""Two or more runs side by side, the first being what the others are held to."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from .figures import NOTHING, change, duration, number, share
from .model import Numbers, Run
from .report_text import code, markdown_text
from .thresholds import enough

QUANTILES: Final = (0.5, 0.95, 0.99)
NAMES: Final = ("p50", "p95", "p99")


class Cell(NamedTuple):
    """One quantile of one route in one run."""

    seconds: float | None
    change: float | None
    """By how much it is more than in the first run, as a share; None where that cannot be told."""
    few: bool
    """Too few samples, here or in the first run."""


class Row(NamedTuple):
    """One route in all runs, as far as it was called in them."""

    name: str
    numbers: tuple[Numbers | None, ...]

    def cell(self, run: int, quantile: int) -> Cell:
        """Return a quantile in that run, beside the first's."""
        numbers, first = self.numbers[run], self.numbers[0]
        if numbers is None or not numbers.durations.count:
            return Cell(None, None, few=False)
        fraction = QUANTILES[quantile]
        seconds = numbers.durations.quantile(fraction)
        if run == 0:
            return Cell(seconds, None, few=not enough(numbers.durations, fraction))
        before = first.durations.quantile(fraction) if first is not None else None
        if seconds is None or before is None or first is None:
            return Cell(seconds, None, few=False)
        few = not (enough(numbers.durations, fraction) and enough(first.durations, fraction))
        return Cell(seconds, None if few or not before else seconds / before - 1, few)


class Comparison:
    """Runs side by side.

    :param runs: two at the least; the first is what the others are held to
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = tuple(runs)
        names = dict.fromkeys(route.name for run in runs for route in run.routes)
        by_name = [{route.name: route for route in run.routes} for run in runs]
        rows = [Row(name, tuple(routes.get(name) for routes in by_name)) for name in names]
        self.rows = [Row("all requests", self.runs), *rows]

    @property
    def labels(self) -> list[str]:
        """What the runs are called, told apart by their ids where they are called the same."""
        labels = [run.label for run in self.runs]
        return [
            f"{run.label} ({run.id})" if labels.count(run.label) > 1 and run.id != run.label else run.label
            for run in self.runs
        ]

    def document(self) -> dict[str, Any]:
        """Return the comparison as values. Durations in seconds, changes as shares."""
        return {
            "runs": [{"id": run.id, "label": run.label, "revision": run.revision} for run in self.runs],
            "routes": [{"route": row.name, "runs": self._values(row)} for row in self.rows],
        }

    def markdown(self) -> str:
        """Return the comparison as Markdown."""
        lines = [f"## {' against '.join(map(markdown_text, reversed(self.labels)))}", ""]
        lines += ["| route | run | requests | per second | errors | p50 | p95 | p99 |", "| --- | --- |" + " ---: |" * 6]
        for row in self.rows:
            for run, label in enumerate(self.labels):
                cells = " | ".join(self.cells(row, run))
                lines.append(f"| {code(row.name) if not run else ''} | {markdown_text(label)} | {cells} |")
        return "\n".join(lines) + "\n"

    def cells(self, row: Row, run: int) -> list[str]:
        """Return requests, rate, errors and quantiles of a route in one run, for people to read."""
        numbers, first = row.numbers[run], row.numbers[0]
        if numbers is None:
            return [NOTHING] * 6
        rate, before = self._rate(row, run), self._rate(row, 0)
        beside = f" ({change(before, rate)})" if run and first is not None else ""
        quantiles = [shown(row.cell(run, index)) for index in range(len(QUANTILES))]
        rate_text = NOTHING if rate is None else f"{number(rate)}{beside}"
        return [number(numbers.requests), rate_text, share(numbers.errors, numbers.requests), *quantiles]

    def _rate(self, row: Row, run: int) -> float | None:
        numbers, span = row.numbers[run], self.runs[run].span
        return numbers.requests / span if numbers is not None and span else None

    def _values(self, row: Row) -> list[dict[str, Any] | None]:
        return [
            None
            if numbers is None
            else {
                "requests": numbers.requests,
                "errors": numbers.errors,
                "rate": self._rate(row, run),
                **{name: row.cell(run, index)._asdict() for index, name in enumerate(NAMES)},
            }
            for run, numbers in enumerate(row.numbers)
        ]


def shown(cell: Cell) -> str:
    """A quantile and its change, for people to read."""
    if cell.few:
        return f"{duration(cell.seconds)} (too few samples)"
    return duration(cell.seconds) if cell.change is None else f"{duration(cell.seconds)} ({100 * cell.change:+.1f} %)"
