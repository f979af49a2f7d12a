"""Which test proves which promise, and what came of it.

A test says with `@pytest.mark.guarantees("F9")` which rows of guarantees.toml it proves. `pytest --outcomes FILE` adds
a line of JSON to the file for each such test that has run; several runs may add to one. `python -m tests.outcomes FILE
PAGE` writes a table of them, and fails if a row failed or has been proved by nothing.
"""

import datetime
import json
import platform
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
MARK = "guarantees"


class Row(NamedTuple):
    """Something that is done on purpose, and what has to come of it."""

    what: str
    expect: str
    but: str = ""
    not_here: str = ""


class Outcome(TypedDict):
    """What came of one case of a test."""

    test: str
    rows: list[str]
    outcome: str
    reason: str


def read_rows() -> dict[str, Row]:
    """Return every row by its name, in the order of the table."""
    return {name: Row(**row) for name, row in tomllib.loads((TESTS / "guarantees.toml").read_text("utf-8")).items()}


ROWS = read_rows()


class Recorder:
    """A plugin that adds a line to a file for each test that proves something."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            rows = list(dict.fromkeys(str(row) for marker in item.iter_markers(MARK) for row in marker.args))
            if unknown := set(rows) - set(ROWS):
                raise pytest.UsageError(f"{item.nodeid}: guarantees.toml has no {', '.join(sorted(unknown))}")
            if rows:
                item.user_properties.append((MARK, rows))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        rows = dict(report.user_properties).get(MARK)
        if self._path is None or not isinstance(rows, list) or (report.passed and report.when != "call"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        line = Outcome(test=report.nodeid, rows=rows, outcome=report.outcome, reason=reason.removeprefix("Skipped: "))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def page(outcomes: Iterable[Outcome]) -> tuple[str, bool]:
    """Return the page with the table, and whether every row has held or says why it cannot be."""
    by_row: dict[str, list[Outcome]] = {name: [] for name in ROWS}
    for outcome in _latest(outcomes):
        for row in outcome["rows"]:
            by_row[row].append(outcome)
    said = {name: _said(ROWS[name], by_row[name]) for name in ROWS}
    cells = [(name, literal(row.what), _expected(row), _tests(by_row[name]), said[name]) for name, row in ROWS.items()]
    faults, inputs = ([each for each in cells if each[0].startswith("F") is fault] for fault in (True, False))
    held = [name for name in ROWS if said[name].startswith("held")]
    elsewhere = [name for name in ROWS if ROWS[name].not_here]
    text = HEAD.format(
        day=datetime.datetime.now(datetime.UTC).date(),
        python=platform.python_version(),
        system=platform.system(),
        held=len(held),
        rows=len(ROWS),
        cases=len({outcome["test"] for found in by_row.values() for outcome in found}),
    )
    text += f"\n## Faults\n\n{_table(faults)}\n## Hostile input\n\n{_table(inputs)}"
    return text, {*held, *elsewhere} == set(ROWS)


HEAD = """# Faults and hostile input

What is done to Reqscope on purpose in its tests, and what came of it. `make guarantees` runs these tests and writes
this page; so does `make prove`, with all other tests, long runs and many more examples. The servers, files, disks,
brokers and browsers in them are real ones.

Last written on {day}, with Python {python} on {system}: {held} of {rows} rows held, in {cases} cases.
"""


def _latest(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Return one outcome of each case: the last, or one that failed in its end after it had passed."""
    latest: dict[str, Outcome] = {}
    for outcome in outcomes:
        latest[outcome["test"]] = outcome
    return list(latest.values())


def _said(row: Row, outcomes: Sequence[Outcome]) -> str:
    if row.not_here:
        return f"does not apply: {row.not_here}"
    counted = Counter(outcome["outcome"] for outcome in outcomes)
    reasons = dict.fromkeys(outcome["reason"] for outcome in outcomes if outcome["outcome"] == "skipped")
    skipped = f"; {counted['skipped']} left out: {', '.join(reasons)}" if counted["skipped"] else ""
    if counted["failed"]:
        return f"**failed**: {counted['failed']} of {len(outcomes)}{skipped}"
    if counted["passed"]:
        return f"held, {counted['passed']} {'case' if counted['passed'] == 1 else 'cases'}{skipped}"
    return f"**not proved**{skipped}"


def _expected(row: Row) -> str:
    return literal(f"{row.expect}. But {row.but}" if row.but else row.expect)


def _tests(outcomes: Iterable[Outcome]) -> str:
    """Return the files of the tests, each with what they show, in words."""
    files: dict[str, dict[str, None]] = {}
    for outcome in outcomes:
        file, *_, function = outcome["test"].partition("[")[0].split("::")
        files.setdefault(file, {})[function.removeprefix("test_").replace("_", " ")] = None
    return "<br>".join(f"[{file[6:-3]}](../{file}): {'; '.join(names)}" for file, names in files.items())


def _table(rows: Iterable[Sequence[str]]) -> str:
    lines = ["| | done | expected | tests | outcome |", "| --- | --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def literal(text: str) -> str:
    """Return text for a cell of a table, in which no character means anything."""
    return re.sub(r"([|_*<`\\])", r"\\\1", text)


def main(lines: str, target: str) -> int:
    """Write the page, and return the exit status."""
    outcomes = [json.loads(line) for line in Path(lines).read_text("utf-8").splitlines()]
    text, held = page(outcomes)
    Path(target).write_text(text, "utf-8")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
