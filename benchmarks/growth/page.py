"""All costs as a page in Markdown, with a table and a plot for each."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.report import machine, number

from .cost import Grown, Growth, whole
from .plot import plot

PAGE: Final = "GROWTH.md"
PLOTS: Final = "plots"

_HEAD: Final = """\
# How it grows

What each cost becomes when there is more of what it may depend on. `python -m benchmarks growth benchmarks`
measured this and wrote it, on {cores} cores with Python {python} on {system}; it takes some six minutes.

Costs are processor time, the least of several runs, so that other work on the machine matters little. The exponent is
that of the growth from the first size to the last: 0 stays, 1 is linear, 2 is square; the steepest is that between two
neighbours. In the plots both axes are logarithmic, and the dashed line is what would be linear.

"""


def summary(all_grown: Sequence[Grown]) -> str:
    """Return a row for each cost."""
    head = "| cost | by | smallest | largest | exponent | steepest | |\n| --- | --- | --- | --- | --: | --: | --- |\n"
    return head + "".join(_row(grown) for grown in all_grown)


def _row(grown: Grown) -> str:
    growth, ends = grown.growth, (0, -1)
    small, large = (f"{number(grown.costs[end])} {growth.unit} at {whole(growth.sizes[end])}" for end in ends)
    exponents = f"{grown.exponent:.2f} | {grown.steepest:.2f}"
    return f"| {growth.cost} | {growth.by} | {small} | {large} | {exponents} | {grown.verdict} |\n"


def section(grown: Grown) -> str:
    """Return what there is to say about one cost, its plot and its table."""
    growth = grown.growth
    sizes = " | ".join(whole(size) for size in growth.sizes)
    costs = " | ".join(number(cost) for cost in grown.costs)
    return (
        f"\n## {growth.title[:1].upper()}{growth.title[1:]}\n\n"
        f"Exponent {grown.exponent:.2f}: {grown.verdict}. {growth.why}\n\n"
        f"| {growth.by} | {sizes} |\n| --- |{' --: |' * len(growth.sizes)}\n| {growth.unit} | {costs} |\n\n"
        f"![{growth.title}]({PLOTS}/{file_name(growth)})\n"
    )


def file_name(growth: Growth) -> str:
    """Return the name of a plot's file."""
    return f"{re.sub('[^a-z0-9]+', '-', growth.title.lower())}.svg"


def write(folder: Path, all_grown: Sequence[Grown]) -> None:
    """Write the page and its plots, in the place of those that were there."""
    plots = folder / PLOTS
    plots.mkdir(parents=True, exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    for grown in all_grown:
        (plots / file_name(grown.growth)).write_text(plot(grown), "utf-8")
    (folder / PAGE).write_text("".join(_page(all_grown)), "utf-8")


def _page(all_grown: Sequence[Grown]) -> Iterator[str]:
    yield _HEAD.format(**machine())
    yield summary(all_grown)
    yield from map(section, all_grown)
