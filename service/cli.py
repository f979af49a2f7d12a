"""The command line."""

import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import msgspec
import typer
from msgspec.structs import replace
from pydantic import ByteSize, ValidationError
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .identity.commands import tokens_app, users_app
from .runs.cli import observe, runs_app
from .settings import Settings

if TYPE_CHECKING:
    from .mock import StubStore
    from .mock.record import Recorder

app = typer.Typer(
    name="reqscope",
    help="See the requests your API gets, live.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(users_app, name="user")
app.add_typer(tokens_app, name="token")

QUERY_EXAMPLES = """
Examples:

`reqscope query 'SELECT "http.route", count(*), quantile_cont(duration, 0.95) p95 FROM requests
WHERE timestamp > now() - INTERVAL 1 HOUR GROUP BY ALL ORDER BY p95 DESC'`

`reqscope query --csv 'FROM requests WHERE "http.response.status_code" >= 500' > errors.csv`
"""
out = Console()
err = Console(stderr=True, highlight=False)

# The defaults shown by --help are those of Settings; None stands for "not given", so that the environment counts.
Host = Annotated[str | None, typer.Option(help="Address that both servers listen on.  [default: 127.0.0.1]")]
ApiPort = Annotated[int | None, typer.Option(help="Port of the API; also API_PORT.  [default: 8000]")]
PanelPort = Annotated[int | None, typer.Option(help="Port of the panel; also GRADIO_PORT.  [default: 7860]")]
PortAuto = Annotated[bool | None, typer.Option("--port-auto", help="Take the next free port where one is in use.")]
Log = Annotated[str | None, typer.Option(metavar="stdout|file|both|none", help="Where JSON log lines go.")]
LogFile = Annotated[
    Path | None, typer.Option(help="The file that log lines are appended to.  [default: reqscope.jsonl]")
]
AccessLog = Annotated[
    bool | None,
    typer.Option("--access-log", help="Print a line for each request on standard output, whatever --log says."),
]
Capacity = Annotated[int | None, typer.Option(help="Events that the ring keeps.  [default: 10000]")]
BodiesKept = Annotated[
    str | None,
    typer.Option("--bodies", metavar="off|errors|all", help="Bodies to keep: none, of failed requests, or all."),
]
StubsAt = Annotated[
    Path | None, typer.Option("--stubs", help="A file or folder of stubs that answer every other path.")
]
Replayed = Annotated[
    str | None,
    typer.Option(
        "--replay",
        metavar="RULES",
        help="What may be sent to the application again from the panel: methods, paths for methods that are safe, or "
        "both, such as 'GET,/items/*,POST /orders'.  [default: nothing]",
    ),
]
Collector = Annotated[
    str | None,
    typer.Option(
        "--collector",
        metavar="ADDRESS",
        help="Where processes meet: `serve` reads what others hand over at unix:/tmp/reqscope.sock or redis://host:6379.",
    ),
]
Insecure = Annotated[
    bool | None,
    typer.Option("--insecure", help="Listen where others can reach it, although nobody is asked who they are."),
]
SignIn = Annotated[
    str | None,
    typer.Option(
        metavar="auto|on|off",
        help="Whether people sign in to the panel. On its own where others can reach it, or users are configured.",
    ),
]


@app.command(
    epilog="Examples: `reqscope serve --api-port 9000 --log file`, `reqscope serve --collector unix:/tmp/reqscope.sock`"
)
def serve(
    host: Host = None,
    api_port: ApiPort = None,
    panel_port: PanelPort = None,
    port_auto: PortAuto = None,
    log: Log = None,
    log_file: LogFile = None,
    access_log: AccessLog = None,
    capacity: Capacity = None,
    bodies: BodiesKept = None,
    collector: Collector = None,
    sign_in: SignIn = None,
    insecure: Insecure = None,
    stubs: StubsAt = None,
) -> None:
    """Collect requests and records: `POST /log`, `POST /events`, and a panel that shows them."""
    settings = _guarded(_settings(locals()), ingest=True)
    if settings.replay:
        err.print("REQSCOPE_REPLAY has no effect here: a collector has no application to send requests to.")
    _check_collector(settings, listens=True)
    from .collector import fallback_app

    _launch(settings, fallback_app, ingest=True, replays=False, mock=settings.stubs is not None)


@app.command(
    epilog="""
Examples: `reqscope mock stubs.yaml`, `reqscope mock openapi.json --port-auto`, `reqscope mock --check stubs/`,
`reqscope mock new.yaml --record https://api.example.com`, `reqscope mock --schema > stubs.schema.json`
"""
)
def mock(
    stubs: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="A file or folder of stubs: Reqscope's own YAML or JSON, WireMock mappings, OpenAPI 3 or HAR.",
        ),
    ] = None,
    host: Host = None,
    api_port: ApiPort = None,
    panel_port: PanelPort = None,
    port_auto: PortAuto = None,
    log: Log = None,
    log_file: LogFile = None,
    access_log: AccessLog = None,
    capacity: Capacity = None,
    bodies: BodiesKept = None,
    sign_in: SignIn = None,
    insecure: Insecure = None,
    record: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Ask this service what no stub answers, and save its answers as stubs."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what is wrong in the stubs, and serve nothing.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of stub files.")] = False,
) -> None:
    """Play a service that others provide: stubs answer, and the panel shows what was asked. Keeps bodies, and logs
    nothing, unless told."""
    options = {name: value for name, value in locals().items() if name in Settings.model_fields}
    if schema:
        from .mock import json_schema

        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2) + b"\n")
        return
    settings = _guarded(_settings(options), ingest=True)
    if settings.stubs is None:
        _fail("which stubs? Name a file or a folder: reqscope mock stubs.yaml", status=2)
    if check:
        _check_stubs(settings.stubs)
        return
    quiet = {"log": "none", "bodies": "all"}
    settings = settings.model_copy(
        update={name: value for name, value in quiet.items() if name not in settings.model_fields_set}
    )
    from .collector import fallback_app

    _launch(settings, fallback_app, ingest=True, replays=False, mock=True, record=record)


@app.command(
    epilog="Examples: `reqscope run shop.main:app --app-dir src`, `reqscope run shop:app --workers 4`, "
    "`reqscope run shop:app --replay 'GET,POST /orders'`"
)
def run(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The ASGI application, as for uvicorn.")],
    host: Host = None,
    api_port: ApiPort = None,
    panel_port: PanelPort = None,
    port_auto: PortAuto = None,
    log: Log = None,
    log_file: LogFile = None,
    access_log: AccessLog = None,
    capacity: Capacity = None,
    bodies: BodiesKept = None,
    replay: Replayed = None,
    collector: Collector = None,
    sign_in: SignIn = None,
    insecure: Insecure = None,
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that serve it. One panel shows the requests of all.")
    ] = 1,
    factory: Annotated[bool, typer.Option("--factory", help="APP is a function that returns the application.")] = False,
    app_dir: Annotated[Path, typer.Option(help="Where to look for MODULE.")] = Path(),
    reload: Annotated[bool, typer.Option("--reload", help="Start again when a file below --app-dir changes.")] = False,
) -> None:
    """Run an ASGI application, unchanged, and show the requests it gets."""
    options = {name: value for name, value in locals().items() if name in Settings.model_fields}
    settings = _guarded(_settings(options), ingest=False)
    if reload:
        _supervise(app_dir)
    if workers > 1:
        _run_workers(settings, target, factory=factory, app_dir=app_dir, workers=workers)
    _check_collector(settings, listens=False)
    _launch(settings, lambda: _load(target, factory=factory, app_dir=app_dir), ingest=False)


@app.command(epilog="Example: `reqscope demo --port-auto`")
def demo(
    host: Host = None,
    api_port: ApiPort = None,
    panel_port: PanelPort = None,
    port_auto: PortAuto = None,
    log: Log = None,
    log_file: LogFile = None,
    access_log: AccessLog = None,
    capacity: Capacity = None,
    bodies: BodiesKept = None,
    replay: Replayed = None,
    sign_in: SignIn = None,
    insecure: Insecure = None,
) -> None:
    """Like `serve`, with a small shop and its customers.

    Keeps bodies, lets requests to the shop be replayed, and logs nothing, unless told.
    """
    settings = _guarded(_settings(locals()), ingest=True)
    quiet = {"log": "none", "bodies": "all", "replay": ("*", "POST /orders")}
    settings = settings.model_copy(
        update={name: value for name, value in quiet.items() if name not in settings.model_fields_set}
    )
    from .demo import customers, shop_app

    _launch(settings, shop_app, ingest=True, background=customers)


@app.command(
    epilog="""
Examples: `reqscope tail -f`, `reqscope tail 'status:5xx dur>250ms' -n 50 -f`, `reqscope tail -f --json | jq .duration`

Exit status: 0 when all was shown, or the reader of a pipe went away; 1 when there is no server, or it refuses; 2 when
a flag or the filter is wrong; 130 after Ctrl-C.
"""
)
def tail(
    filter: Annotated[  # noqa: A002 - the argument's public name
        str,
        typer.Argument(
            metavar="FILTER",
            help="Which events, in the language of the panel: all without it. Behind `--` if a minus begins it.",
        ),
    ] = "",
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Begin with so many of the newest.")] = 10,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on as events come, over lost connections and restarts too.")
    ] = False,
    url: Annotated[str, typer.Option(envvar="REQSCOPE_URL", help="Where the panel is.")] = "http://127.0.0.1:7860",
    as_json: Annotated[
        bool, typer.Option("--json", help="Lines of JSON, as the log has them: the default in a pipe or a file.")
    ] = False,
    as_logfmt: Annotated[bool, typer.Option("--logfmt", help="Lines of key=value pairs.")] = False,
    as_pretty: Annotated[bool, typer.Option("--pretty", help="Lines to look at: the default in a terminal.")] = False,
    token: Annotated[
        str, typer.Option(envvar="REQSCOPE_TOKEN", help="Sent as `Authorization: Bearer …`.", show_envvar=True)
    ] = "",
) -> None:
    """Print the requests that a running Reqscope sees. Notices, such as of a gap, go to standard error."""
    from .renderers import Style, choose_renderer
    from .tail import Source, TailError
    from .tail import tail as run_tail

    wanted: dict[Style, bool] = {"json": as_json, "logfmt": as_logfmt, "pretty": as_pretty}
    styles: list[Style] = [style for style, chosen in wanted.items() if chosen]
    if len(styles) > 1:
        _fail(f"--{styles[0]} and --{styles[1]} say different things; pass one of them", status=2)
    _check_filter(filter)
    try:
        source = Source(url, filter, lines, follow, token)
    except TailError as error:
        _fail(str(error), status=2)
    try:
        run_tail(source, choose_renderer(styles[0] if styles else None), _notice)
    except TailError as error:
        _fail(str(error))


@app.command()
def config() -> None:
    """Print every setting, its value, and where the value came from."""
    settings = _settings({})
    table = Table(box=None, pad_edge=False)
    for heading in ("Setting", "Value", "From", "What it does"):
        table.add_column(heading, overflow="fold")
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        table.add_row(name, escape(_shown(value)), _origin(name), escape(field.description or ""))
    out.print(table)


@app.command(epilog="Examples: `reqscope redact --dry-run request.http`, `pbpaste | reqscope redact -`")
def redact(
    file: Annotated[Path, typer.Argument(metavar="FILE|-", help="One HTTP request as it goes over the wire, or - .")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be masked, and print nothing else.")
    ] = False,
) -> None:
    """Show a request as the panel and the log would: with its secrets masked, as REQSCOPE_REDACT says."""
    from .redact_message import NotARequest, redact_message
    from .redaction import Redaction

    try:
        message = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        redacted = redact_message(message, Redaction(_settings({}).redact))
    except OSError as error:
        _fail(f"cannot read {file}: {error.strerror}")
    except NotARequest as error:
        _fail(f"{file} is not an HTTP request: {error}")
    if not dry_run:
        sys.stdout.buffer.write(redacted.message)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Where", "Name", "Bytes masked, at most"):
        table.add_column(heading, overflow="fold")
    for loss in redacted.losses:
        table.add_row(loss.place, escape(loss.name), str(loss.size))
    out.print(table if redacted.losses else "Nothing would be masked.")


@app.command(epilog=QUERY_EXAMPLES)
def query(
    sql: Annotated[str, typer.Argument(metavar="SQL|-", help="One SELECT from the table `requests`; - reads it.")],
    log_file: LogFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each row.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to print, at most.")] = 1_000,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds that it may take.")] = 60,
) -> None:
    """Ask SQL of the log file and of those rotated from it, which become Parquet first. Needs reqscope\\[history].

    Columns are the fields of a log line; names with a dot need double quotes. `DESCRIBE requests` lists them.
    """
    if as_json and as_csv:
        _fail("--json and --csv: choose one", status=2)
    from .history_ask import ask

    given = {} if log_file is None else {"log_file": log_file}
    kind = "json" if as_json else "csv" if as_csv else "table"
    question = sys.stdin.read() if sql == "-" else sql
    sys.exit(ask(_settings(given).log_file, question, kind, limit, timeout, out, err))


app.add_typer(runs_app, name="runs")
app.command(
    context_settings={"allow_interspersed_args": False},
    epilog="""
Examples: `reqscope observe -- wrk -t2 -d10s http://127.0.0.1:8000/`, `reqscope observe --label main --fail-if
'p(95)<200' --fail-if 'rate(5xx)<0.01' --report report.html -- hey -n 5000 http://127.0.0.1:8000/`

Exit status: 99 when a threshold was breached; otherwise that of the command; 1 when there is no server, or it refuses,
or there is no such command; 2 when a flag is wrong.
""",
)(observe)


def main() -> None:
    """Entry point of the `reqscope` command."""
    app()


def _settings(given: dict[str, Any]) -> Settings:
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        _fail(
            "\n".join(_explain(str(each["loc"][0]), given, each["msg"], each["input"]) for each in error.errors()),
            status=2,
        )
    return settings


def _guarded(settings: Settings, *, ingest: bool) -> Settings:
    """Refuse to listen where others can reach what asks nobody who they are."""
    from .admission import missing_credentials
    from .identity import PrivateFileError

    try:
        steps = missing_credentials(settings, ingest=ingest)
    except PrivateFileError as error:
        _fail(str(error))
    if steps:
        _fail(
            f"refusing to listen on {settings.host}, where others could see every request, without this first:\n"
            + "".join(f"  {step}\n" for step in steps)
            + "Or keep --host 127.0.0.1 and reach it through an SSH tunnel, or mount the panel in an application of\n"
            "your own; or pass --insecure if everyone who can reach this address may see and send everything."
        )
    if not settings.is_loopback and settings.insecure:
        err.print(
            f"[bold yellow]warning:[/] --insecure: whoever can reach {escape(settings.host)} may be asked for nothing.",
            soft_wrap=True,
        )
    return settings


def _launch(
    settings: Settings,
    make_app: Callable[[], Any],
    *,
    ingest: bool,
    replays: bool = True,
    background: Callable[[str], Callable[[], Coroutine[object, object, None]]] | None = None,
    mock: bool = False,
    record: str | None = None,
) -> NoReturn:
    from .ports import PortError, listen

    _check_history(settings)
    stubs, recorder = _stubs(settings, record) if mock else (None, None)
    try:
        api = listen(settings.host, settings.api_port, "--api-port", auto=settings.port_auto)
        panel = listen(settings.host, settings.panel_port, "--panel-port", auto=settings.port_auto)
    except PortError as error:
        _fail(str(error))
    application = make_app()
    err.print("Reqscope is starting …", style="dim")
    from .identity import PrivateFileError
    from .logs import LogSettingsError
    from .standalone import standalone  # takes seconds: it imports Gradio

    if settings.log_processors:
        sys.path.insert(0, os.getcwd())
    try:
        launcher = standalone(
            settings,
            application,
            api,
            panel,
            ingest=ingest,
            replays=replays,
            announce=_announcer(ingest, None if stubs is None else len(stubs.index.stubs)),
            background=background,
            announce_link=announce_link,
            stubs=stubs,
            recorder=recorder,
        )
    except PrivateFileError as error:
        _fail(str(error))
    except LogSettingsError as error:
        _fail(str(error), status=2)
    except OSError as error:
        _fail(f"cannot write to the log file {settings.log_file}: {error.strerror}; name another with --log-file")
    sys.exit(launcher.run())


def _run_workers(settings: Settings, target: str, *, factory: bool, app_dir: Path, workers: int) -> NoReturn:
    if settings.collector:
        _fail("--workers brings a collector of its own; leave --collector and REQSCOPE_COLLECTOR out", status=2)
    if settings.replay:
        err.print("--replay has no effect with --workers: nobody could say which of them a request comes back to.")
    from .ports import PortError, listen, url

    _check_history(settings)
    _check_log(settings)
    try:
        api = listen(settings.host, settings.api_port, "--api-port", auto=settings.port_auto)
        panel = listen(settings.host, settings.panel_port, "--panel-port", auto=settings.port_auto)
    except PortError as error:
        _fail(str(error))
    err.print(f"Reqscope is starting {workers} workers …", style="dim")
    from tempfile import TemporaryDirectory

    from .supervisor import Supervisor
    from .worker_process import Job

    with TemporaryDirectory(prefix="reqscope-") as folder:
        collector = Job(
            name="collector",
            settings=settings.model_dump(mode="json", exclude_unset=True),
            collector=f"unix:{folder}/collector.sock",
            api=api.fileno(),
            panel=panel.fileno(),
            workers=workers,
            target=target,
            factory=factory,
            app_dir=str(app_dir),
        )
        jobs = [collector, *(replace(collector, name=str(number)) for number in range(1, workers + 1))]
        announce = _announcer(ingest=False)
        status = Supervisor(jobs, lambda address: announce(url(api), address), _notice).run()
    sys.exit(status)


def _check_history(settings: Settings) -> None:
    from .history_sql import MissingDuckDB, require_duckdb

    if settings.history:
        try:
            require_duckdb()
        except MissingDuckDB as error:
            _fail(str(error))
        if settings.log not in ("file", "both"):
            _fail(f"history reads the log file, and log lines go to {settings.log}: use --log file or both")


def _check_log(settings: Settings) -> None:
    from .logs import LogSettingsError, log_sinks

    try:
        for sink in log_sinks(settings, "none"):
            sink.close()
    except LogSettingsError as error:
        _fail(str(error), status=2)
    except OSError as error:
        _fail(f"cannot write to the log file {settings.log_file}: {error.strerror}; name another with --log-file")


def _check_collector(settings: Settings, *, listens: bool) -> None:
    if not settings.collector:
        return
    from .bridge.bridge import AddressError, connect

    try:
        bridge = connect(settings.collector)
        if listens:
            bridge.check_readable()
    except AddressError as error:
        _fail(f"--collector: {error}", status=2)


def _stubs(settings: Settings, record: str | None) -> "tuple[StubStore, Recorder | None]":
    from .mock import StubError, StubStore
    from .mock.record import Recorder

    path = settings.stubs or Path()
    if record is not None and not path.exists() and path.suffix:
        path.write_text("stubs: []\n")
    try:
        store = StubStore([path], settings.redact)
        file = path / "recorded.yaml" if path.is_dir() else path
        return store, None if record is None else Recorder(record, file, store)
    except StubError as error:
        _fail(str(error))
    except ValueError as error:
        _fail(f"--record: {error}", status=2)


def _check_stubs(path: Path) -> None:
    from .mock import StubError
    from .mock.files import files_of, load_file

    count, wrong = 0, 0
    for file in files_of(path):
        try:
            count += len(load_file(file, path if path.is_dir() else None))
        except StubError as error:
            wrong += 1
            err.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
    if wrong:
        sys.exit(1)
    out.print(f"Stubs: {count}, and nothing wrong with them.", highlight=False)


def _announcer(ingest: bool, stubs: int | None = None) -> Callable[[str, str], None]:
    def announce(api: str, panel: str) -> None:
        from .standalone import example

        if stubs is not None:
            err.print(f"  [bold]{'Stubs':<8}[/]{stubs}, listed on the panel's page Mock", soft_wrap=True)
        for name, value in (("Panel", panel), ("API", api), ("Try", example(api, ingest=ingest))):
            err.print(f"  [bold]{name:<8}[/]{escape(value)}", soft_wrap=True)
        if "/sign-in?link=" in panel:
            err.print("  The panel's link lets in one browser, once.", style="dim")
        err.print("  Ctrl-C stops both.", style="dim")

    return announce


def announce_link(address: str) -> None:
    """Print a new address that lets one browser in."""
    err.print("  Somebody has signed in with the link. The next one:", style="dim")
    err.print(f"  [bold]{'Panel':<8}[/]{escape(address)}", soft_wrap=True)


def _load(target: str, *, factory: bool, app_dir: Path) -> Any:
    from uvicorn.importer import ImportFromStringError, import_from_string

    sys.path.insert(0, str(app_dir.resolve()))
    try:
        loaded = import_from_string(target)
    except ImportFromStringError as error:
        _fail(str(error))
    return loaded() if factory else loaded


def _supervise(directory: Path) -> NoReturn:
    from watchfiles import run_process

    command = [sys.argv[0], *(argument for argument in sys.argv[1:] if argument != "--reload")]
    run_process(directory, target=" ".join(map(repr, command)), target_type="command", sigint_timeout=5)
    sys.exit(0)


def _check_filter(text: str) -> None:
    from reqscope.bus import Filter, FilterError
    from reqscope.bus.visible import visible

    try:
        Filter.parse(text)
    except FilterError as error:
        before = visible(text[: error.position])
        line = before + visible(text[error.position :])
        _fail(f"{error}\n  {line}\n  {' ' * cell_len(before)}^", status=2)


def _notice(text: str) -> None:
    err.print(f"[dim]reqscope: {escape(text)}[/]", soft_wrap=True)


def _shown(value: object) -> str:
    match value:
        case None | "":
            return ""
        case ByteSize():
            return value.human_readable(decimal=True) if value else "0"
        case tuple():
            return ", ".join(map(str, value)) or "(none)"
        case dict():
            return ", ".join(f"{key}={item}" for key, item in value.items())
        case _:
            return str(value)


def _origin(name: str) -> str:
    return next((variable for variable in Settings.variables(name) if variable in os.environ), "default")


def _explain(location: str, given: dict[str, Any], message: str, value: object) -> str:
    name = Settings.named(location)
    where = f"${_origin(name)}" if given.get(name) is None else f"--{name.replace('_', '-')}"
    return f"{where}: {message[0].lower()}{message[1:]}, not {value!r}"


def _fail(message: str, status: int = 1) -> NoReturn:
    err.print(f"[bold red]error:[/] {escape(message)}", soft_wrap=True)
    sys.exit(status)
