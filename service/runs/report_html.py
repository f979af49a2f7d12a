"""The report of a run: one HTML file that opens anywhere, without a network."""

import time
from html import escape
from typing import Final

from .charts import Line, Show, legend, lines_chart, quantile_chart
from .figures import NOTHING, duration, number, share, size
from .findings import BLIND, differences, findings, losses
from .html_page import bullets, page, section, table
from .model import CLASSES, ClientSide, Run, Second

FRACTIONS: Final = (
    *(i / 100 for i in range(100)),
    *(0.99 + i / 1_000 for i in range(1, 10)),
    *(0.999 + i / 10_000 for i in range(1, 10)),
)
"""Where percentile plots are drawn."""

_COLOURS: Final = ("c2xx", "c3xx", "c4xx", "c5xx", "other")
_MOST_ROUTES: Final = 100
_SAID: Final = {"passed": "Passed", "failed": "Failed", "unclear": "Unclear"}
_OUTCOME: Final = {"passed": "kept", "failed": "breached", "unclear": "cannot be judged"}
_TONE: Final = {"passed": "good", "failed": "bad", "unclear": "warn"}


def report_html(run: Run) -> str:
    """Return the report. Nothing in it is loaded from elsewhere, and what was captured is text and nothing else."""
    return page(
        f"{run.label} · Reqscope",
        _header(run),
        _verdict(run),
        _figures(run),
        _thresholds(run),
        _charts(run),
        _routes(run),
        _errors(run),
        *(_client(run, client) for client in run.client),
        section("What was lost", bullets(losses(run))),
        section("What this view cannot see", bullets(BLIND)),
        _facts(run),
        "<footer>Made by Reqscope. Percentiles are within 1 % of a duration that was measured.</footer>",
    )


def when(seconds: float) -> str:
    """Local time of the server."""
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(seconds))


def timeline(run: Run) -> tuple[list[float], list[Second]]:
    """Return every second from the first request to the last, empty ones too, and how far each is from the first."""
    if run.first is None or run.last is None:
        return [], []
    known = {second.time: second for second in run.seconds}
    first, last = int(run.first), int(run.last)
    whole = last - first < 1_000_000  # an imported run may say anything
    times = list(range(first, last + 1)) if whole else sorted(known)
    return [float(time - first) for time in times], [known.get(time) or Second(time=time) for time in times]


def _header(run: Run) -> str:
    facts = [when(run.started), f"{run.span:.1f} s", run.tool, run.revision and f"revision {run.revision}", run.id]
    line = " · ".join(escape(fact) for fact in facts if fact)
    command = f'<p class="code soft">{escape(run.command)}</p>' if run.command else ""
    live = " <span class='warn'>(still running)</span>" if run.state == "live" else ""
    return f"<header><h1>{escape(run.label)}{live}</h1><p class='meta'>{line}</p>{command}</header>"


def _verdict(run: Run) -> str:
    said = [f"{result.threshold}: {result.detail}" for result in run.results if result.judgement == "failed"]
    said += findings(run)
    first = _judged(run) or (said.pop(0) if said else "Nothing stands out: no errors, nothing lost.")
    rest = bullets(said) if said else ""
    return f'<section class="verdict {run.verdict or ""}"><strong>{escape(first)}</strong>{rest}</section>'


def _judged(run: Run) -> str:
    if run.verdict is None:
        return ""
    so = sum(result.judgement == run.verdict for result in run.results)
    what = "Threshold" if len(run.results) == 1 else f"{so} of {len(run.results)} thresholds"
    return f"{_SAID[run.verdict]}. {what} {_OUTCOME[run.verdict]}."


def _figures(run: Run) -> str:
    p50, p95, p99 = run.durations.quantiles((0.5, 0.95, 0.99))
    figures = (
        ("Requests", number(run.requests), ""),
        ("Per second", number(run.rate), ""),
        ("p50", duration(p50), ""),
        ("p95", duration(p95), ""),
        ("p99", duration(p99), ""),
        ("Max", duration(run.durations.maximum if run.durations.count else None), ""),
        ("Errors", share(run.errors, run.requests), "bad" if run.errors else ""),
        ("Not counted", number(run.losses.total), "warn" if run.losses.total else ""),
    )
    items = "".join(f'<div><dt>{name}</dt><dd class="{tone}">{text}</dd></div>' for name, text, tone in figures)
    return f'<dl class="figures">{items}</dl>'


def _thresholds(run: Run) -> str:
    if not run.results:
        return ""
    rows = [
        (
            escape(result.threshold),
            f'<span class="{_TONE[result.judgement]}">{_SAID[result.judgement]}</span>',
            escape(result.detail),
        )
        for result in run.results
    ]
    baseline = f"<p class='soft'>The baseline is {escape(run.baseline)}.</p>" if run.baseline else ""
    return section("Thresholds", table(("Threshold", "Result", "Found"), rows, "left") + baseline)


def _charts(run: Run) -> str:
    xs, seconds = timeline(run)
    if not xs:
        return ""

    def chart(title: str, lines: list[Line], show: Show, *, stacked: bool = False, binary: bool = False) -> str:
        return section(title, lines_chart(xs, lines, show, stacked=stacked, binary=binary) + legend(lines))

    statuses = [
        Line(name, colour, [float(second.classes[i]) for second in seconds])
        for i, (name, colour) in enumerate(zip(CLASSES, _COLOURS, strict=True))
        if any(second.classes[i] for second in seconds)
    ]
    latency = [
        Line("p50", "p50", [second.p50 for second in seconds]),
        Line("p95", "p95", [second.p95 for second in seconds]),
        Line("p99", "p99", [second.p99 for second in seconds]),
        Line("max", "max", [second.maximum for second in seconds], dashed=True),
    ]
    parts = [
        chart("Requests per second", statuses, number, stacked=True),
        chart("Latency: time in the application", latency, duration),
        chart("Loop lag: what no request's own clock sees", [Line("worst", "lag", [s.lag for s in seconds])], duration),
        chart("In flight", [Line("most", "flight", [_float(s.in_flight) for s in seconds])], number),
        chart("CPU of the process, in cores", [Line("cores", "p95", [s.cpu for s in seconds])], lambda v: f"{v:.3g}"),
        chart(
            "Memory of the process", [Line("resident", "p50", [_float(s.memory) for s in seconds])], size, binary=True
        ),
    ]
    curve = [Line("all requests", "p95", run.durations.quantiles(_reached(run)))]
    parts.append(section("Latency by percentile", quantile_chart(curve, _reached(run), duration)))
    sizes = [
        Line("sent", "run0", [float(second.sent) for second in seconds]),
        Line("received", "run1", [float(second.received) for second in seconds]),
    ]
    parts.append(chart("Bytes of bodies per second", sizes, size, binary=True))
    return f'<div class="charts">{"".join(parts)}</div>'


def _reached(run: Run) -> list[float]:
    """The fractions that as many requests as these can tell apart."""
    return [fraction for fraction in FRACTIONS if run.durations.count * (1 - fraction) >= 1] or [0.0]


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)


def _routes(run: Run) -> str:
    rows: list[list[str]] = []
    for route in run.routes[:_MOST_ROUTES]:
        p50, p95, p99 = route.durations.quantiles((0.5, 0.95, 0.99))
        errors = f'<span class="bad">{number(route.errors)}</span>' if route.errors else "0"
        rows.append(
            [
                escape(route.name),
                number(route.requests),
                number(route.requests / run.span if run.span else 0),
                errors,
                duration(route.durations.mean),
                duration(p50),
                duration(p95),
                duration(p99),
                duration(route.durations.maximum if route.durations.count else None),
                size(route.sent),
            ]
        )
    headings = ("Route", "Requests", "Per second", "Errors", "Mean", "p50", "p95", "p99", "Max", "Sent")
    more = len(run.routes) - len(rows)
    note = f"<p class='soft'>{more} more routes are in the JSON document.</p>" if more > 0 else ""
    return section("Routes", table(headings, rows) + note) if rows else ""


def _errors(run: Run) -> str:
    rows: list[list[str]] = []
    for group in sorted(run.error_groups, key=lambda group: group.count, reverse=True):
        sample = group.samples[0] if group.samples else None
        example = ": ".join(filter(None, (sample.path, sample.message))) if sample else ""
        status = str(group.status or "none")
        rows.append(
            [
                escape(f"{group.method} {group.route}".strip()),
                f'<span class="{"bad" if group.status >= 500 or group.error else "warn"}">{status}</span>',
                escape(group.error or ""),
                number(group.count),
                f'<span class="code">{escape(example)}</span>',
            ]
        )
    return (
        section("Failed requests", table(("Route", "Status", "Exception", "Requests", "For example"), rows, "left"))
        if rows
        else ""
    )


def _client(run: Run, client: ClientSide) -> str:
    p50, p95, p99 = run.durations.quantiles((0.5, 0.95, 0.99))
    maximum = run.durations.maximum if run.durations.count else None
    rows = [
        ("Requests", number(run.requests), NOTHING if client.requests is None else number(client.requests)),
        ("Errors", number(run.errors), NOTHING if client.errors is None else number(client.errors)),
        ("Per second", number(run.rate), NOTHING if client.rate is None else number(client.rate)),
        ("Mean", duration(run.durations.mean), duration(client.mean)),
        ("p50", duration(p50), duration(client.p50)),
        ("p90", duration(run.durations.quantile(0.9)), duration(client.p90)),
        ("p95", duration(p95), duration(client.p95)),
        ("p99", duration(p99), duration(client.p99)),
        ("Max", duration(maximum), duration(client.maximum)),
    ]
    body = table(("", "Server", f"Client: {client.tool}"), rows)
    return section(
        f"Both sides: {client.tool}, from {client.source}", body + bullets([*differences(run, client), *client.notes])
    )


def _in_words(name: str, value: str) -> str:
    if name.endswith("_bytes") and value.isdecimal():
        return size(int(value))
    return {"True": "yes", "False": "no"}.get(value, value)


def _facts(run: Run) -> str:
    facts = {
        "id": run.id,
        "began by": run.origin,
        "exit status": "" if run.exit_status is None else str(run.exit_status),
    }
    pairs = [
        f"<div><dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(_in_words(name, value))}</dd></div>"
        for name, value in {**facts, "revision": run.revision, **run.host, **run.settings}.items()
        if value
    ]
    notes = bullets(run.notes) if run.notes else ""
    return section("Where and how", f'<dl class="facts">{"".join(pairs)}</dl>{notes}')
