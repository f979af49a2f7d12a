"""Where runs are kept: one SQLite file, for the server and the command line alike."""

import os
import re
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from .model import Run, RunError, decode_run, encode_run, summary

KEPT: Final = 500
"""Runs kept. Beyond that the oldest go, but for those that are a baseline."""

_BUSY: Final = 5_000
"""Milliseconds to wait for another process that writes."""

_SCHEMA: Final = """
CREATE TABLE runs (
    id TEXT PRIMARY KEY, label TEXT NOT NULL, started REAL NOT NULL, state TEXT NOT NULL,
    summary TEXT NOT NULL, document BLOB NOT NULL
);
CREATE INDEX runs_started ON runs (started);
CREATE TABLE baselines (
    name TEXT PRIMARY KEY, run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE
);
PRAGMA user_version = 1;
"""
_VERSION: Final = 1
_NAME: Final = re.compile(r"[\w.:/@+-]{1,100}")


class RunStore:
    """Runs in a file, which is made, readable by its owner alone, when the first is saved.

    Each call opens the file anew, so it may be made in any thread. It blocks: call it outside of the event loop.

    :raises RunError: from every method: the file cannot be used, or what is asked for is not there
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, run: Run) -> None:
        """Keep `run`, in the place of what was kept of it before."""
        row = (run.id, run.label, run.started, run.state, msgspec.json.encode(summary(run)).decode(), encode_run(run))
        with self._open(create=True) as db:
            db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET label = excluded.label, "
                "started = excluded.started, state = excluded.state, summary = excluded.summary, "
                "document = excluded.document",
                row,
            )
            db.execute(
                "DELETE FROM runs WHERE id NOT IN (SELECT id FROM runs ORDER BY started DESC LIMIT ?) "
                "AND id NOT IN (SELECT run FROM baselines)",
                (KEPT,),
            )

    def load(self, name: str) -> Run:
        """Return a run by its id, the name of a baseline, or its label, of which the newest that has ended counts."""
        if not self.path.exists():
            raise RunError(f"there is no run {name!r}: nothing has been kept in {self.path} yet")
        with self._open() as db:
            for query in (
                "SELECT document FROM runs WHERE id = ?",
                "SELECT document FROM runs JOIN baselines ON run = id WHERE name = ?",
                "SELECT document FROM runs WHERE label = ? AND state = 'ended' ORDER BY started DESC LIMIT 1",
            ):
                if (row := db.execute(query, (name,)).fetchone()) is not None:
                    return decode_run(row[0])
        raise RunError(f"there is no run, baseline or label {name!r}; `reqscope runs list` shows what there is")

    def list(self) -> list[dict[str, Any]]:
        """Return the summaries of all runs, the newest first, each with the baselines that it is."""
        if not self.path.exists():
            return []
        with self._open() as db:
            names = db.execute("SELECT run, name FROM baselines ORDER BY name").fetchall()
            rows = db.execute("SELECT id, summary FROM runs ORDER BY started DESC, rowid DESC").fetchall()
        return [
            {**msgspec.json.decode(text), "baselines": [name for run, name in names if run == run_id]}
            for run_id, text in rows
        ]

    def delete(self, run_id: str) -> None:
        """Forget a run, and the baselines that it is."""
        with self._open() as db:
            if db.execute("DELETE FROM runs WHERE id = ?", (run_id,)).rowcount == 0:
                raise RunError(f"there is no run {run_id!r}")

    def pin(self, name: str, run_id: str) -> None:
        """Have `name` stand for that run, instead of any other."""
        if not _NAME.fullmatch(name):
            raise RunError(f"a baseline is named by letters, digits and . : / @ + - _, not {name!r}")
        with self._open() as db:
            try:
                db.execute("INSERT OR REPLACE INTO baselines VALUES (?, ?)", (name, run_id))
            except sqlite3.IntegrityError:
                raise RunError(f"there is no run {run_id!r}") from None

    def unpin(self, name: str) -> None:
        """Have `name` stand for nothing."""
        with self._open() as db:
            if db.execute("DELETE FROM baselines WHERE name = ?", (name,)).rowcount == 0:
                raise RunError(f"there is no baseline {name!r}")

    def interrupt(self, but: frozenset[str] = frozenset()) -> None:
        """Say of runs that are kept as live that they ended with the process that recorded them."""
        if not self.path.exists():
            return
        with self._open() as db:
            live = [row[0] for row in db.execute("SELECT document FROM runs WHERE state = 'live'")]
        for document in live:
            run = decode_run(document)
            if run.id not in but:
                self.save(msgspec.structs.replace(run, state="interrupted", ended=run.last or run.started))

    @contextmanager
    def _open(self, *, create: bool = False) -> Generator[sqlite3.Connection]:
        if not create and not self.path.exists():
            raise RunError(f"nothing has been kept in {self.path} yet")
        try:
            # Made before SQLite would make it, whose own files beside it then get the same permissions.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            with closing(sqlite3.connect(self.path, timeout=_BUSY / 1_000)) as db:
                _prepare(db, self.path)
                with db:
                    yield db
        except (sqlite3.Error, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise RunError(f"cannot use the file of runs {self.path}: {reason}") from None


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute("PRAGMA foreign_keys = ON")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;") if not _has_tables(db) else None
    elif version != _VERSION:
        raise RunError(f"{path} is of version {version}; this Reqscope knows {_VERSION}")


def _has_tables(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
