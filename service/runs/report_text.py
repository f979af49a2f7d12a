"""Reports of a run as text: Markdown for a comment on a pull request, CSV for a spreadsheet."""

import csv
import io
import re
from typing import Final

from .figures import duration, number, share
from .findings import findings, losses
from .model import Numbers, Run

_SIGN: Final = {"passed": "✅", "failed": "❌", "unclear": "❔"}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-])")


def report_markdown(run: Run) -> str:
    """Return a report that is short enough for a comment."""
    lines = [f"## {markdown_text(run.label)}", ""]
    lines += [f"- {_SIGN[each.judgement]} {code(each.threshold)}: {markdown_text(each.detail)}" for each in run.results]
    lines += [f"- {markdown_text(each)}" for each in findings(run)]
    lines += ["", "| | requests | per second | errors | p50 | p95 | p99 | max |", "| --- |" + " ---: |" * 7]
    lines.append(f"| **all** | {_cells(run, run.span)} |")
    lines += [f"| {code(route.name)} | {_cells(route, run.span)} |" for route in run.routes[:20]]
    if len(run.routes) > 20:
        lines.append(f"\n{len(run.routes) - 20} more routes are not shown.")
    facts = [run.tool, run.revision and f"revision {run.revision}", f"{run.span:.1f} s", run.id]
    lines += ["", " ".join(map(markdown_text, losses(run))), "", markdown_text(" · ".join(filter(None, facts)))]
    return "\n".join(lines) + "\n"


def report_csv(run: Run) -> str:
    """Return a row for each route, the first being of all requests. Durations are in seconds."""
    text = io.StringIO()
    writer = csv.writer(text)
    names = ("method", "route", "requests", "per_second", "errors", "mean", "min", "p50", "p90", "p95", "p99", "max")
    writer.writerow((*names, "received_bytes", "sent_bytes"))
    parts: list[tuple[str, str, Numbers]] = [("", "(all)", run)]
    parts += [(route.method, route.route, route) for route in run.routes]
    for method, route, numbers in parts:
        durations = numbers.durations
        quantiles = durations.quantiles((0.5, 0.9, 0.95, 0.99))
        rate = numbers.requests / run.span if run.span else None
        maximum = durations.maximum if durations.count else None
        row = (numbers.requests, rate, numbers.errors, durations.mean, durations.minimum, *quantiles, maximum)
        writer.writerow((_plain(method), _plain(route), *row, numbers.received, numbers.sent))
    return text.getvalue()


def code(text: str) -> str:
    """Text as code in a Markdown table, where nothing in it means anything."""
    return f"<code>{markdown_text(text)}</code>"


def markdown_text(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return _SPECIAL.sub(lambda match: f"&#{ord(match[1])};", plain)


def _cells(numbers: Numbers, span: float) -> str:
    p50, p95, p99 = numbers.durations.quantiles((0.5, 0.95, 0.99))
    maximum = numbers.durations.maximum if numbers.durations.count else None
    cells = (
        number(numbers.requests),
        number(numbers.requests / span if span else 0),
        share(numbers.errors, numbers.requests),
        *map(duration, (p50, p95, p99, maximum)),
    )
    return " | ".join(cells)


def _plain(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
