"""Log files on disk, and those of them that have become Parquet.

`requests.jsonl` is written to; `requests.<when>.jsonl`, packed with zstd or not, was rotated and changes no more;
`requests.<when>.parquet` holds the same in a tenth of the space, and is read a hundred times faster.
"""

import fcntl
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from reqscope.bus.schema import Entry

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_SQL_TYPES: Final = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE"}
_MAX_LINE: Final = 16 << 20
"""DuckDB sets aside twice as much for each thread."""
_PACKED: Final = ".zst"
_SMALLEST: Final = 64
"""Bytes of a packed file that may be empty once it is unpacked."""


def _sql_type(kind: object) -> str:
    known = [name for python, name in _SQL_TYPES.items() if kind == python or kind == python | None]
    assert len(known) == 1, f"a log line has a field of the type {kind}, for which there is no column type"
    return known[0]


COLUMNS: Final = {
    **{field.encode_name: _sql_type(field.type) for field in msgspec.structs.fields(Entry)},
    "timestamp": "TIMESTAMPTZ",
}
"""Names of a log line's fields, and their types in SQL."""


@dataclass(frozen=True, slots=True)
class LogFiles:
    """What there is beside a log file, as of the moment it was looked for."""

    live: Path
    rotated: dict[Path, Path]
    """Rotated files that have not become Parquet yet, and what each would become."""
    parquet: list[Path]

    @classmethod
    def of(cls, log_file: Path) -> "LogFiles":
        """Look for the files that were rotated from `log_file`.

        :raises OSError: its folder cannot be read
        """
        live = log_file.resolve()
        stem, suffix = escape(live.stem), escape(live.suffix)
        known = set(live.parent.glob(f"{stem}.*.parquet"))
        sources: dict[Path, Path] = {}
        for pattern in (f"{stem}.*{suffix}{_PACKED}", f"{stem}.*{suffix}"):  # while one is packed, both are there
            sources |= {_parquet_of(path, live.suffix): path for path in live.parent.glob(pattern) if path.is_file()}
        waiting = {source: target for target, source in sorted(sources.items()) if _is_newer(source, target)}
        return cls(live, waiting, sorted(known - set(waiting.values())))

    @property
    def lines(self) -> list[Path]:
        """Files to be read as lines of JSON, oldest first."""
        return [*self.rotated, *([self.live] if self.live.exists() else [])]

    def __bool__(self) -> bool:
        return bool(self.parquet or self.lines)


@dataclass(slots=True)
class Converted:
    """What became of rotated files."""

    files: int = 0
    events: int = 0
    unreadable: int = 0
    """Lines that are no log lines: torn, of another format, or without a timestamp."""
    errors: dict[str, str] = field(default_factory=dict[str, str])
    """Why a file could not be converted, by its name. It is read as it is, and tried again the next time."""


def convert(log_file: Path, connect: Callable[[], "DuckDBPyConnection"]) -> Converted:
    """Write a Parquet file for each rotated log file that has none, whole or not at all. May run in several processes.

    :param connect: returns a connection to DuckDB that may read and write files
    :raises OSError: the folder of the log cannot be read
    """
    done = Converted()
    for source, target in LogFiles.of(log_file).rotated.items():
        try:
            with _alone(source) as ours:
                if ours and _is_newer(source, target):
                    events, unreadable = _convert(source, target, connect)
                    done.files, done.events = done.files + 1, done.events + events
                    done.unreadable += unreadable
        except Exception as error:  # DuckDB has dozens of its own, and one file must not keep the others from it
            done.errors[source.name] = str(error).partition("\n")[0]
    return done


def read_lines(paths: list[Path]) -> str:
    """Return the SQL that reads log files. Lines that are none come as rows without a timestamp."""
    columns = ", ".join(f"{literal(name)}: {literal(kind)}" for name, kind in COLUMNS.items())
    return (
        f"SELECT * FROM read_json({file_list(paths)}, format = 'newline_delimited', columns = {{{columns}}}, "
        f"ignore_errors = true, maximum_object_size = {_MAX_LINE})"
    )


def file_list(paths: list[Path]) -> str:
    """Return the SQL of a list of files.

    :raises ValueError: DuckDB would take a name for a pattern
    """
    for path in paths:
        if set(str(path)) & set("*?["):
            raise ValueError(f"{path} has a *, ? or [ in its name, which DuckDB takes for a pattern")
    return f"[{', '.join(literal(str(path)) for path in paths)}]"


def literal(text: str) -> str:
    """Return `text` in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _convert(source: Path, target: Path, connect: Callable[[], "DuckDBPyConnection"]) -> tuple[int, int]:
    unfinished = target.with_name(f".{target.name}.tmp")
    try:
        with connect() as connection:
            connection.execute("SET threads = 1")  # nobody waits for it, and others need the processor
            connection.execute(
                f"COPY ({read_lines([source])}) TO {literal(str(unfinished))} "
                "(FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
            )
            counts = f'SELECT count("timestamp"), count(*) FROM read_parquet({file_list([unfinished])})'
            events, lines = connection.execute(counts).fetchall()[0]
        if not lines and source.suffix == _PACKED and source.stat().st_size > _SMALLEST:
            raise ValueError(
                "nothing of it can be unpacked"
            )  # DuckDB takes the end of a torn frame for that of the file
        unfinished.chmod(0o600)
        _sync(unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return events, lines - events


def _parquet_of(path: Path, suffix: str) -> Path:
    return path.with_name(path.name.removesuffix(_PACKED).removesuffix(suffix) + ".parquet")


def _is_newer(source: Path, target: Path) -> bool:
    """Whether `target` is not there, or older. A file that is still written to is converted again."""
    try:
        return source.stat().st_mtime_ns > target.stat().st_mtime_ns
    except FileNotFoundError:
        return source.exists()


@contextmanager
def _alone(source: Path) -> Generator[bool]:
    """Whether no other process converts this file. It is not written to, so its lock is free for that."""
    with source.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file)
