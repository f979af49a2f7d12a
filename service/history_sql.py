"""SQL over the history, in a DuckDB that can read the log's files and nothing else."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .history_files import COLUMNS, Converted, LogFiles, convert, file_list, literal, read_lines

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TABLE: Final = "requests"
MAX_SQL: Final = 10_000
_MEMORY: Final = "512MB"
_THREADS: Final = 2
_SETTINGS: Final = {
    "memory_limit": literal(_MEMORY),
    "threads": _THREADS,
    "temp_directory": "''",  # what does not fit is an error, and not a full disk
    "TimeZone": "'UTC'",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


class HistoryError(Exception):
    """A question that has no answer: the message says why, in DuckDB's words where they are its."""


class Stopped(HistoryError):
    """The question was interrupted."""


class MissingDuckDB(ImportError):
    """DuckDB is not installed."""

    def __init__(self) -> None:
        super().__init__("history needs DuckDB: pip install 'reqscope[history]'")


class Result(NamedTuple):
    """Rows, and whether there were more."""

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]
    more: bool


def require_duckdb() -> None:
    """Say how to get DuckDB where it is not there.

    :raises MissingDuckDB: it is not
    """
    if find_spec("duckdb") is None:
        raise MissingDuckDB


def convert_rotated(log_file: Path) -> Converted:
    """See `history_files.convert`.

    :raises MissingDuckDB: DuckDB is not installed
    """
    require_duckdb()
    return convert(log_file, _connect)


class Question:
    """One SELECT over the rotated files and the live one, as they are when it is run.

    :param sql: it may use the table `requests`, and all of DuckDB's functions that touch no file
    :raises MissingDuckDB: DuckDB is not installed
    """

    def __init__(self, log_file: Path, sql: str) -> None:
        require_duckdb()
        self._log_file = log_file
        self._sql = sql
        self._connection: DuckDBPyConnection | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, limit: int) -> Result:
        """Return the first `limit` rows. Takes as long as it takes, in the thread that calls it.

        :raises HistoryError: it cannot be answered
        """
        import duckdb

        for attempt in (1, 2):
            try:
                with _connect() as connection, self._stoppable(connection):
                    return self._run(connection, limit)
            except duckdb.InterruptException:
                raise Stopped("it was interrupted") from None
            except duckdb.IOException as error:
                if attempt == 2:  # a file was rotated or converted at just that moment; the second time, another
                    raise HistoryError(str(error)) from None
            except duckdb.OutOfMemoryException:
                raise HistoryError(f"it needs more than {_MEMORY} of memory; select less, or aggregate") from None
            except (duckdb.Error, OSError, ValueError) as error:
                raise HistoryError(str(error)) from None
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """End it now. Safe in any thread."""
        self._stopped = True
        with self._lock:
            if self._connection is not None:
                self._connection.interrupt()

    @contextmanager
    def _stoppable(self, connection: "DuckDBPyConnection") -> Generator[None]:
        with self._lock:
            self._connection = connection
        try:
            yield
        finally:
            with self._lock:  # one that is closed cannot be interrupted any more
                self._connection = None

    def _run(self, connection: "DuckDBPyConnection", limit: int) -> Result:
        self._sql.encode()  # half of a surrogate pair is nothing that DuckDB could be told
        statements = connection.extract_statements(self._sql)
        kinds = [str(statement.type).rpartition(".")[2] for statement in statements]
        if kinds != ["SELECT"]:
            what = " and ".join(kinds) if kinds else "nothing"
            raise HistoryError(f"history is read-only and takes one SELECT at a time, not {what}")
        files = LogFiles.of(self._log_file)
        if not files:
            raise HistoryError(f"there is no log yet: neither {files.live} nor files rotated from it")
        _restrict(connection, files)
        if self._stopped:
            raise Stopped("it was interrupted")
        cursor = connection.execute(statements[0])
        rows = cursor.fetchmany(limit + 1)
        names, types = zip(*[(each[0], str(each[1])) for each in cursor.description or []], strict=True)
        return Result([*names], [*types], rows[:limit], len(rows) > limit)


def _connect() -> "DuckDBPyConnection":
    import duckdb

    connection = duckdb.connect()
    for name, value in _SETTINGS.items():
        connection.execute(f"SET {name} = {value}")
    return connection


def _restrict(connection: "DuckDBPyConnection", files: LogFiles) -> None:
    """Make the view, and let nothing be read or changed from now on that it does not need."""
    connection.execute("SET python_enable_replacements = false")
    connection.execute(f"SET allowed_paths = {file_list([*files.parquet, *files.lines])}")
    connection.execute("SET enable_external_access = false")
    # The first part has no rows. It gives every column its place and type, whatever older files lack.
    none = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in COLUMNS.items())
    parts = [f"SELECT {none} WHERE false"]
    if files.parquet:
        parts.append(f"SELECT * FROM read_parquet({file_list(files.parquet)}, union_by_name = true)")
    if files.lines:
        parts.append(read_lines(files.lines))
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    every = " UNION ALL BY NAME ".join(parts)
    connection.execute(f'CREATE VIEW {TABLE} AS SELECT {names} FROM ({every}) WHERE "timestamp" IS NOT NULL')
    connection.execute("SET lock_configuration = true")
