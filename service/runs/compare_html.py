"""A comparison as one HTML file."""

from collections.abc import Callable
from html import escape
from typing import Final

from .charts import Line, Show, legend, lines_chart, quantile_chart
from .compare import NAMES, QUANTILES, Cell, Comparison, Row
from .figures import NOTHING, duration, number
from .findings import BLIND
from .html_page import bullets, page, section, table
from .model import Run, Second
from .report_html import FRACTIONS, timeline, when

_NOTABLE: Final = 0.05
_MOST_ROUTES: Final = 100
_NAMED: Final = 3
_P95: Final = QUANTILES.index(0.95)


def comparison_html(comparison: Comparison) -> str:
    """Return the page."""
    labels = comparison.labels
    title = " against ".join(reversed(labels))
    return page(
        f"{title} · Reqscope",
        f"<header><h1>{escape(title)}</h1></header>",
        *(_verdict(comparison, run) for run in range(1, len(comparison.runs))),
        _runs(comparison),
        _routes(comparison),
        _charts(comparison),
        section("What this view cannot see", bullets(BLIND)),
        "<footer>Made by Reqscope. Percentiles are within 1 % of a duration that was measured. A change is shown only "
        "where both runs have ten requests beyond the percentile; a single pair of runs does not tell chance from "
        "cause.</footer>",
    )


def _verdict(comparison: Comparison, run: int) -> str:
    """What changed, in a sentence, and where."""
    everything, *routes = comparison.rows
    said = _said([everything.cell(run, index) for index in range(len(NAMES))])
    slower, faster = (
        [row.name for row in routes if (change := row.cell(run, _P95).change) is not None and sign * change > _NOTABLE]
        for sign in (1, -1)
    )
    found = [
        f"p95 {what} by more than 5 % for {', '.join(names[:_NAMED])}{_more(names)}."
        for what, names in (("grew", slower), ("fell", faster))
        if names
    ]
    tone = "failed" if slower and not faster else "passed" if faster and not slower else ""
    title = f"{comparison.labels[run]} against {comparison.labels[0]}: {said}."
    return (
        f'<section class="verdict {tone}"><strong>{escape(title)}</strong>{bullets(found) if found else ""}</section>'
    )


def _said(cells: list[Cell]) -> str:
    """Return by how much each quantile changed, and which of them cannot tell."""
    named = list(zip(NAMES, cells, strict=True))
    changed = [f"{name} {100 * cell.change:+.1f} %" for name, cell in named if cell.change is not None]
    few = [name for name, cell in named if cell.change is None and cell.few]
    neither = [name for name, cell in named if cell.change is None and not cell.few]
    if few:
        changed.append(f"{_listed(few)} {'has' if len(few) == 1 else 'have'} too few samples")
    if neither:
        changed.append(f"{_listed(neither)} cannot be compared")
    return ", ".join(changed)


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _more(names: list[str]) -> str:
    return f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""


def _runs(comparison: Comparison) -> str:
    rows = [
        (
            f'<i class="key" style="background:var(--run{i % 8})"></i> {escape(label)}',
            escape(when(run.started)),
            f"{run.span:.1f} s",
            escape(run.tool or NOTHING),
            escape(run.revision or NOTHING),
            number(run.losses.total),
        )
        for i, (label, run) in enumerate(zip(comparison.labels, comparison.runs, strict=True))
    ]
    return section("Runs", table(("Run", "Began", "Took", "Tool", "Revision", "Not counted"), rows))


def _routes(comparison: Comparison) -> str:
    rows: list[list[str]] = []
    for row in comparison.rows[:_MOST_ROUTES]:
        called = [run for run, numbers in enumerate(row.numbers) if numbers is not None]
        for run in called:
            label = comparison.labels[run]
            requests, rate, errors, *_ = comparison.cells(row, run)
            name = escape(row.name) if run == called[0] else ""
            quantiles = [_cell(row, run, index) for index in range(len(QUANTILES))]
            rows.append([name, escape(label), requests, rate, errors, *quantiles])
    headings = ("Route", "Run", "Requests", "Per second", "Errors", "p50", "p95", "p99")
    return section("Routes", table(headings, rows, "runs"))


def _cell(row: Row, run: int, quantile: int) -> str:
    cell: Cell = row.cell(run, quantile)
    if cell.few and run:
        return f'{duration(cell.seconds)} <span class="soft">too few samples</span>'
    if cell.change is None:
        return duration(cell.seconds)
    tone = "bad" if cell.change > _NOTABLE else "good" if cell.change < -_NOTABLE else "soft"
    percent = f"{100 * cell.change:+.{0 if abs(cell.change) >= 1 else 1}f} %"
    return f'{duration(cell.seconds)} <span class="{tone}">{percent}</span>'


def _charts(comparison: Comparison) -> str:
    times = [timeline(run) for run in comparison.runs]
    longest = max((xs for xs, _ in times), key=len)

    def line(index: int, values: list[float | None]) -> Line:
        padded = [*values, *[None] * (len(longest) - len(values))]
        return Line(comparison.labels[index], f"run{index % 8}", padded)

    def chart(title: str, value: Callable[[Second], float | None], show: Show) -> str:
        lines = [line(i, [value(second) for second in seconds]) for i, (_, seconds) in enumerate(times)]
        return section(title, lines_chart(longest, lines, show) + legend(lines))

    if not longest:
        return ""
    parts = [
        chart("Requests per second", lambda second: float(second.requests), number),
        chart("p95 of each second", lambda second: second.p95, duration),
        _curves(comparison),
        chart("Loop lag", lambda second: second.lag, duration),
    ]
    return f'<div class="charts">{"".join(parts)}</div>'


def _curves(comparison: Comparison) -> str:
    most = max(run.durations.count for run in comparison.runs)
    fractions = [each for each in FRACTIONS if most * (1 - each) >= 1] or [0.0]
    lines = [
        Line(label, f"run{index % 8}", _curve(run, fractions))
        for index, (label, run) in enumerate(zip(comparison.labels, comparison.runs, strict=True))
    ]
    return section("Latency by percentile", quantile_chart(lines, fractions, duration) + legend(lines))


def _curve(run: Run, fractions: list[float]) -> list[float | None]:
    values = run.durations.quantiles(fractions)
    return [
        value if run.durations.count * (1 - each) >= 1 else None for each, value in zip(fractions, values, strict=True)
    ]
