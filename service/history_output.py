"""Answers of the history for people, for programs and for spreadsheets."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from rich.table import Table
from rich.text import Text

from reqscope.bus.encoding import encode
from reqscope.bus.exports import cell, printable

from .history_sql import Result

_INT64: Final = 1 << 63
_NUMBERS: Final = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "NUMBER")


def as_json(result: Result, **more: object) -> bytes:
    """Return one JSON object: names, types and rows."""
    rows = [[_plain(value) for value in row] for row in result.rows]
    columns = [{"name": name, "type": kind} for name, kind in zip(result.columns, result.types, strict=True)]
    return encode({"columns": columns, "rows": rows, "more": result.more, **more})


def as_lines(result: Result) -> Iterator[str]:
    """Return a JSON object for each row, one a line."""
    for row in result.rows:
        yield encode(dict(zip(result.columns, map(_plain, row), strict=True))).decode() + "\n"


def as_csv(result: Result) -> Iterator[str]:
    """Return CSV (RFC 4180) whose cells no spreadsheet takes for formulas."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for row in (tuple(result.columns), *result.rows):
        writer.writerow([cell(_shown(value) if isinstance(value, datetime | None) else value) for value in row])
        yield text.getvalue()
        text.seek(0)
        text.truncate()


def as_table(result: Result) -> Table:
    """Return a table for a terminal. What was captured is shown, and never obeyed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, kind in zip(result.columns, result.types, strict=True):
        table.add_column(Text(printable(name)), overflow="fold", justify="right" if _is_number(kind) else "left")
    for row in result.rows:
        table.add_row(*(Text(printable(_shown(value))) for value in row))
    return table


def _is_number(kind: str) -> bool:
    return any(name in kind.upper() for name in _NUMBERS)


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case float():
            return f"{value:.6g}"
        case datetime():
            return value.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")
        case _:
            return str(value)


def _plain(value: object) -> object:
    """Return what JSON has a form for. Whole numbers beyond 64 bits, which many readers garble, become text."""
    match value:
        case bool():
            return value
        case int() if not -_INT64 <= value < _INT64:
            return str(value)
        case list() | tuple():
            return [_plain(each) for each in value]
        case dict():
            return {str(key): _plain(each) for key, each in value.items()}
        case _:
            return value
