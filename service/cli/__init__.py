"""The command line. What a command needs is imported when it runs, so that the others and --help come at once."""

from typing import Annotated

import typer

from reqscope.service.identity.commands import tokens_app, users_app
from reqscope.service.runs.cli import observe, runs_app
from reqscope.service.terminal import examples

from .mock import mock
from .offline import config, query, redact
from .run import run
from .serve import demo, serve
from .tail import tail


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("reqscope"))
        raise typer.Exit


app = typer.Typer(
    name="reqscope",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.callback(epilog=examples("reqscope demo", "reqscope run shop.main:app", "reqscope tail -f 'status:5xx'"))
def reqscope(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """See the requests your API gets, live."""


# In the order of --help: what one begins with, and what one comes to.
app.command(
    epilog=examples(
        "reqscope run shop.main:app --app-dir src",
        "reqscope run shop.main:app --reload --bodies errors",
        "reqscope run shop.main:app --workers 4 --log file",
        "reqscope run shop.main:app --replay 'GET,POST /orders'",
    )
)(run)
app.command(
    epilog=examples("reqscope serve --api-port 9000 --log file", "reqscope serve --collector unix:/tmp/reqscope.sock")
)(serve)
app.command(
    epilog=examples(
        "reqscope mock stubs.yaml",
        "reqscope mock openapi.json --port-auto",
        "reqscope mock stubs/ --check",
        "reqscope mock new.yaml --record https://api.example.com",
        "reqscope mock --schema > stubs.schema.json",
    )
)(mock)
app.command(epilog=examples("reqscope demo --port-auto"))(demo)
app.command(
    epilog=examples(
        "reqscope tail -f",
        "reqscope tail 'status:5xx dur>250ms' -n 50 -f",
        "reqscope tail -f --json | jq .duration",
        then="""Exit status: 0 when all was shown, or the reader of a pipe went away; 1 when there is no server, or it
refuses; 2 when a flag or the filter is wrong; 130 after Ctrl-C.""",
    )
)(tail)
app.command(
    context_settings={"allow_interspersed_args": False},
    epilog=examples(
        "reqscope observe -- wrk -t2 -d10s http://127.0.0.1:8000/",
        "reqscope observe --label main --report report.html -- hey -n 5000 http://127.0.0.1:8000/",
        "reqscope observe --fail-if 'p(95)<200' --fail-if 'rate(5xx)<0.01' -- k6 run script.js",
        then="""Exit status: 99 when a threshold was breached; otherwise that of the command; 1 when there is no server,
or it refuses, or there is no such command; 2 when a flag is wrong.""",
    ),
)(observe)
app.add_typer(runs_app, name="runs")
app.command(
    epilog=examples(
        """reqscope query 'SELECT "http.route", count(*), quantile_cont(duration, 0.95) p95 FROM requests
WHERE timestamp > now() - INTERVAL 1 HOUR GROUP BY ALL ORDER BY p95 DESC'""",
        """reqscope query --csv 'FROM requests WHERE "http.response.status_code" >= 500' > errors.csv""",
    )
)(query)
app.command(epilog=examples("reqscope redact --dry-run request.http", "pbpaste | reqscope redact -"))(redact)
app.command(epilog=examples("reqscope config", "REQSCOPE_CAPACITY=50000 reqscope config"))(config)
app.add_typer(users_app, name="user")
app.add_typer(tokens_app, name="token")


def main() -> None:
    """Entry point of the `reqscope` command."""
    app()
