"""`reqscope config`, `redact` and `query`: commands that need no server."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ByteSize
from rich.markup import escape

from reqscope.service.settings import Settings
from reqscope.service.terminal import err, fail, make_table, out

from .options import LogFile, origin, read_settings


def config() -> None:
    """Print every setting, its value, and where the value came from."""
    settings = read_settings({})
    table = make_table("Setting", "Value", "From", "What it does")
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        table.add_row(name, escape(_shown(value)), origin(name), escape(field.description or ""))
    out.print(table)


def redact(
    file: Annotated[Path, typer.Argument(metavar="FILE|-", help="One HTTP request as it goes over the wire, or - .")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be masked, and print nothing else.")
    ] = False,
) -> None:
    """Show a request as the panel and the log would: with its secrets masked, as REQSCOPE_REDACT says."""
    from reqscope.service.redact_message import NotARequest, redact_message
    from reqscope.service.redaction import Redaction

    try:
        message = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        redacted = redact_message(message, Redaction(read_settings({}).redact))
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}")
    except NotARequest as error:
        fail(f"{file} is not an HTTP request: {error}")
    if not dry_run:
        sys.stdout.buffer.write(redacted.message)
        return
    table = make_table("Where", "Name", "Bytes masked, at most")
    for loss in redacted.losses:
        table.add_row(loss.place, escape(loss.name), str(loss.size))
    out.print(table if redacted.losses else "Nothing would be masked.")


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
        fail("--json and --csv: choose one", status=2)
    from reqscope.service.history_ask import ask

    kind = "json" if as_json else "csv" if as_csv else "table"
    question = sys.stdin.read() if sql == "-" else sql
    sys.exit(ask(read_settings({"log_file": log_file}).log_file, question, kind, limit, timeout, out, err))


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
            return re.sub("//[^/@]*@", "//[redacted]@", str(value))  # credentials in an address
