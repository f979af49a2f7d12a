"""`reqscope observe`, and `reqscope runs`: load tests on the command line."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reqscope.bus.visible import visible
from reqscope.service.terminal import err, examples, fail, make_table, notice

from .compare import Comparison
from .figures import duration, number, share
from .findings import findings
from .model import Run, RunError, decode_run, encode_run
from .store import RunStore
from .thresholds import BREACHED, ThresholdError, judge, parse

runs_app = typer.Typer(help="Load-test runs that were kept.", no_args_is_help=True)
out = Console(highlight=False)

_LOG_WIDTH = 120
"""Columns of a table in the log of a CI system, which has no width of its own."""

_SIGNS = {"passed": "[green]passed[/]", "failed": "[bold red]failed[/]", "unclear": "[yellow]unclear[/]"}

File = Annotated[
    Path, typer.Option("--file", envvar="REQSCOPE_RUNS_FILE", help="The file that runs are kept in.", show_envvar=True)
]
_FILE = Path("reqscope-runs.sqlite3")
Name = Annotated[str, typer.Argument(metavar="RUN", help="Id, baseline or label of a run.")]
FailIf = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-if",
        metavar="THRESHOLD",
        help="What has to hold, as in k6: 'p(95)<500', 'rate(5xx)<0.01', 'p(95){route:/items}<50ms'; with --baseline "
        "also 'p(95)<+10%'. Repeat it for more. Exit status 99 if one does not.",
    ),
]
Baseline = Annotated[str, typer.Option(help="Id, baseline or label of the run to compare with.")]
Junit = Annotated[Path | None, typer.Option(help="Write the thresholds' results there, for a CI system.")]
Report = Annotated[Path | None, typer.Option(help="Write a report there: .html, .md, .csv or .json, as the name ends.")]


def observe(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="What loads the application.")],
    label: Annotated[str, typer.Option(help="What to call the run.")] = "",
    url: Annotated[str, typer.Option(envvar="REQSCOPE_URL", help="Where the panel is.")] = "http://127.0.0.1:7860",
    fail_if: FailIf = None,
    baseline: Baseline = "",
    abort_on_fail: Annotated[
        bool, typer.Option("--abort-on-fail", help="End the command as soon as a threshold is breached.")
    ] = False,
    abort_after: Annotated[float, typer.Option(min=0, help="Seconds before --abort-on-fail looks.")] = 2.0,
    only_marked: Annotated[
        bool, typer.Option("--only-marked", help="Count only requests with the header X-Reqscope-Run: $REQSCOPE_RUN.")
    ] = False,
    report: Report = None,
    junit: Junit = None,
    token: Annotated[
        str, typer.Option(envvar="REQSCOPE_TOKEN", help="Sent as `Authorization: Bearer …`.", show_envvar=True)
    ] = "",
) -> None:
    """Run a load test, and record what the server sees of it. Exits with the command's status, or 99 on a breach."""
    from .observe import ObserveError, Plan, observe

    _check(fail_if or [], baseline)
    if report is not None:
        _kind(report)  # now, and not after the run
    plan = Plan(
        command, url, label, fail_if or [], baseline, abort_on_fail, abort_after, only_marked=only_marked, token=token
    )
    try:
        observed = observe(plan, _notice)
    except ObserveError as error:
        fail(str(error))
    print_summary(observed.run, err)
    _write_files(observed.run, report, junit)
    err.print(f"[dim]{escape(url.rstrip('/'))}/api/runs/{observed.run.id}/report[/]", soft_wrap=True)
    sys.exit(observed.status)


@runs_app.command("list")
def list_runs(file: File = _FILE) -> None:
    """List the runs that are kept, the newest first."""
    try:
        runs = RunStore(file).list()
    except RunError as error:
        fail(str(error))
    table = Table(box=None, pad_edge=False)
    for heading in ("Id", "Label", "Tool", "Requests", "p95", "Errors", "Verdict"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "Label")
    for run in runs:
        more = [f"baseline {name}" for name in run["baselines"]] + [run["state"]] * (run["state"] != "ended")
        label = f"{run['label']} ({', '.join(more)})" if more else run["label"]
        cells = (run["id"], label, run["tool"], number(run["requests"]), duration(run["p95"]))
        judged = (share(run["errors"], run["requests"]), run["verdict"] or "")
        table.add_row(*(escape(visible(str(cell))) for cell in (*cells, *judged)))
    if runs:
        out.print(table)
    else:
        err.print(
            f"No run has been kept in {escape(str(file))} yet. `reqscope observe -- COMMAND` records one.",
            soft_wrap=True,
        )


@runs_app.command()
def show(run: Name, file: File = _FILE) -> None:
    """Print the numbers of a run."""
    print_summary(_load(file, run), out)


@runs_app.command(epilog=examples("reqscope runs report main -o report.html"))
def report(
    run: Name,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to; .html, .md, .csv or .json, as the name ends.")
    ] = None,
    format: Annotated[  # noqa: A002 - the option's public name
        Literal["html", "markdown", "csv", "json"], typer.Option(help="Of what goes to standard output.")
    ] = "markdown",
    file: File = _FILE,
) -> None:
    """Write a report: one HTML file that opens anywhere, Markdown, CSV or JSON."""
    found = _load(file, run)
    if output is not None:
        _write(output, render_report(found, _kind(output)))
    else:
        _write_out(render_report(found, format))


@runs_app.command(epilog=examples("reqscope runs export main > run.json"))
def export(run: Name, file: File = _FILE) -> None:
    """Print a run as one JSON document, which `import` reads."""
    _write_out(encode_run(_load(file, run)))


@runs_app.command("import", epilog=examples("reqscope runs import run.json"))
def import_(
    document: Annotated[Path, typer.Argument(metavar="FILE|-", help="What `export` printed.")], file: File = _FILE
) -> None:
    """Keep a run that was exported, here or elsewhere."""
    try:
        run = decode_run(_read(document))
        RunStore(file).save(run)
    except RunError as error:
        fail(str(error))
    out.print(escape(run.id))


@runs_app.command(epilog=examples("reqscope runs client main k6-summary.json"))
def client(
    run: Name,
    document: Annotated[Path, typer.Argument(metavar="FILE|-", help="What the load tool wrote.")],
    file: File = _FILE,
) -> None:
    """Add what the load tool itself measured: k6, Locust, vegeta, hey, oha, wrk or JMeter. Reports show both sides."""
    from .client_side import read_client_side
    from .findings import differences

    found = _load(file, run)
    try:
        side = read_client_side(_read(document), document.name)
        found.client = [each for each in found.client if each.source != side.source] + [side]
        RunStore(file).save(found)
    except RunError as error:
        fail(str(error))
    for each in differences(found, side):
        out.print(escape(visible(each)), soft_wrap=True)


@runs_app.command(epilog=examples("reqscope runs compare main candidate -o compare.html"))
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN…", help="The first is what the others are held to.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Where to: .html, .md or .json.")] = None,
    fail_if: FailIf = None,
    junit: Junit = None,
    file: File = _FILE,
) -> None:
    """Compare two or more runs, route by route; with --fail-if, hold the last to the first."""
    if len(runs) < 2:
        fail("name two runs at the least; the first is what the others are held to", status=2)
    _check(fail_if or [], runs[0])
    found = [_load(file, name) for name in runs]
    comparison = Comparison(found)
    if output is not None:
        _write(output, render_comparison(comparison, _kind(output)))
    else:
        table = make_table("Route", "Run", "Requests", "Per second", "Errors", "p50", "p95", "p99")
        for row in comparison.rows:
            for index, label in enumerate(comparison.labels):
                cells = (row.name if not index else "", label, *comparison.cells(row, index))
                table.add_row(*(escape(visible(cell)) for cell in cells))
        out.print(table)
    if fail_if:
        last = found[-1]
        last.thresholds, last.baseline = list(fail_if), found[0].id
        last.results = judge(last, found[0])
        _print_results(last, err)
        _write_files(last, None, junit)
        sys.exit(BREACHED if last.verdict == "failed" else 0)


@runs_app.command()
def pin(
    name: Annotated[str, typer.Argument(help="Such as main.")],
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or label of a run.")],
    file: File = _FILE,
) -> None:
    """Have a name stand for a run, as a baseline to compare with."""
    found = _load(file, run)
    try:
        RunStore(file).pin(name, found.id)
    except RunError as error:
        fail(str(error))


@runs_app.command()
def delete(run: Annotated[str, typer.Argument(metavar="ID", help="Id of a run.")], file: File = _FILE) -> None:
    """Forget a run."""
    try:
        RunStore(file).delete(run)
    except RunError as error:
        fail(str(error))


def print_summary(run: Run, console: Console) -> None:
    """Print what a run came to: totals, busiest routes, thresholds, and what stands out."""
    title = f"[bold]{escape(visible(run.label))}[/]  {number(run.requests)} requests in {run.span:.1f} s"
    console.print(title + (f"  [dim]{run.id}[/]" if run.id != run.label else ""))
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for heading in ("Route", "Requests", "Per second", "Errors", "p50", "p95", "p99", "Max"):
        first = heading == "Route"
        table.add_column(heading, overflow="fold", justify="left" if first else "right", no_wrap=not first)
    for name, part in [("all requests", run), *((route.name, route) for route in run.routes[:10])]:
        rate = number(part.requests / run.span) if run.span else "0"
        quantiles = part.durations.quantiles((0.5, 0.95, 0.99))
        maximum = part.durations.maximum if part.durations.count else None
        cells = (number(part.requests), rate, share(part.errors, part.requests), *map(duration, (*quantiles, maximum)))
        table.add_row(escape(visible(name)), *cells)
    console.print(table, width=console.width if console.is_terminal else max(_LOG_WIDTH, console.width))
    _print_results(run, console)
    for each in findings(run):
        console.print(f"[dim]{escape(visible(each))}[/]", soft_wrap=True)


def render_report(run: Run, kind: str) -> bytes:
    """Return a report of a kind: html, markdown, csv or json."""
    from .report_html import report_html
    from .report_text import report_csv, report_markdown

    match kind:
        case "html":
            return report_html(run).encode()
        case "csv":
            return report_csv(run).encode()
        case "json":
            return encode_run(run)
        case _:
            return report_markdown(run).encode()


def render_comparison(comparison: Comparison, kind: str) -> bytes:
    """Return a comparison of a kind: html, markdown or json."""
    from reqscope.bus.encoding import encode

    from .compare_html import comparison_html

    kinds: dict[str, Callable[[], bytes]] = {
        "html": lambda: comparison_html(comparison).encode(),
        "json": lambda: encode(comparison.document()),
        "markdown": lambda: comparison.markdown().encode(),
    }
    if kind not in kinds:
        fail("a comparison is written as .html, .md or .json", status=2)
    return kinds[kind]()


def _print_results(run: Run, console: Console) -> None:
    for result in run.results:
        said = f"{_SIGNS[result.judgement]}  {escape(visible(result.threshold))}  [dim]{escape(result.detail)}[/]"
        console.print(said, soft_wrap=True)


def _write_files(run: Run, report: Path | None, junit_file: Path | None) -> None:
    from .junit import junit

    if report is not None:
        _write(report, render_report(run, _kind(report)))
    if junit_file is not None:
        _write(junit_file, junit(run))


def _check(thresholds: list[str], baseline: str) -> None:
    try:
        relative = [each.text for each in map(parse, thresholds) if each.relative]
    except ThresholdError as error:
        fail(str(error), status=2)
    if relative and not baseline:
        fail(f"{relative[0]} is about a baseline: name one with --baseline", status=2)


def _kind(path: Path) -> str:
    kinds = {".html": "html", ".md": "markdown", ".csv": "csv", ".json": "json"}
    if path.suffix not in kinds:
        fail(f"{path}: the name says what is written, and ends with {', '.join(kinds)}", status=2)
    return kinds[path.suffix]


def _load(file: Path, name: str) -> Run:
    try:
        return RunStore(file).load(name)
    except RunError as error:
        fail(str(error))


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}")


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}")


def _write_out(content: bytes) -> None:
    try:
        sys.stdout.buffer.write(content if content.endswith(b"\n") else content + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(0)  # what Python would flush at its exit has nowhere to go


def _notice(text: str) -> None:
    notice(visible(text))
