"""`reqscope query`: convert what was rotated, ask, and print."""

import os
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal, TypeAlias

from rich.console import Console
from rich.markup import escape

from reqscope.bus.exports import printable

from .history_output import as_csv, as_lines, as_table
from .history_sql import HistoryError, MissingDuckDB, Question, Result, Stopped, convert_rotated

Output: TypeAlias = Literal["table", "json", "csv"]

_INTERRUPTED: Final = 130
_STOP_EVERY: Final = 0.2


def ask(log_file: Path, sql: str, output: str, limit: int, timeout: float, out: Console, err: Console) -> int:
    """Print the answer, and return the exit status: 0; 1 where there is none; 130 after Ctrl-C while files are converted.

    For the main thread of a process of its own, which Ctrl-C ends.

    :param output: `table`, `json` or `csv`
    """
    try:
        _convert(log_file, err)
        # It only reads from here on, and an exit that unwinds would find DuckDB's threads at work, and abort.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        result = _answer(Question(log_file, sql), limit, timeout)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Stopped:
        return _say(err, f"it took longer than {timeout:g} s and was interrupted; --timeout allows more")
    except (HistoryError, MissingDuckDB) as error:
        return _say(err, str(error))
    try:
        _print(result, output, out)
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if result.more:
        err.print(f"Only the first {limit} rows; --limit shows more.", style="dim")
    return 0


def _convert(log_file: Path, err: Console) -> None:
    try:
        done = convert_rotated(log_file)
    except OSError as error:
        raise HistoryError(f"cannot read {log_file.resolve().parent}: {error.strerror}") from None
    if done.files:
        lost = f", {done.unreadable} unreadable lines left out" if done.unreadable else ""
        err.print(f"Turned {done.files} rotated files with {done.events} events into Parquet{lost}.", style="dim")
    for name, problem in done.errors.items():
        err.print(f"[yellow]warning:[/] {escape(name)} stays as it is: {escape(printable(problem))}", soft_wrap=True)


def _answer(question: Question, limit: int, timeout: float) -> Result:
    """Run it in a thread, so that the time is kept."""
    outcomes: SimpleQueue[Result | HistoryError] = SimpleQueue()

    def run() -> None:
        try:
            outcomes.put(question.run(limit))
        except HistoryError as error:
            outcomes.put(error)

    thread = threading.Thread(target=run, name="reqscope query", daemon=True)
    thread.start()
    try:
        thread.join(timeout)
    finally:
        while thread.is_alive():  # again and again: one that has only just begun does not hear it
            question.stop()
            thread.join(_STOP_EVERY)
    outcome = outcomes.get()
    if isinstance(outcome, HistoryError):
        raise outcome
    return outcome


def _print(result: Result, output: str, out: Console) -> None:
    if output == "table":
        out.print(as_table(result))
        return
    pieces: Iterable[str] = as_lines(result) if output == "json" else as_csv(result)
    for piece in pieces:
        sys.stdout.write(piece)
    sys.stdout.flush()


def _say(err: Console, message: str) -> int:
    err.print(f"[bold red]error:[/] {escape(printable(message))}", soft_wrap=True)
    return 1
