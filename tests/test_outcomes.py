"""No promise gets lost: each has a test that names it, and what came of it is in the table."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.service.hostile_bodies import BODIES

from .outcomes import MARK, ROOT, ROWS, TESTS, Outcome, literal, main, page

PAGE = ROOT / "docs" / "guarantees.md"


def marks() -> Iterator[str]:
    """Return the names in every mark, of tests and of single cases, and those that bodies are listed by."""
    yield from BODIES
    for file in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == MARK:
                yield from (str(each.value) for each in node.args if isinstance(each, ast.Constant))


def test_every_row_has_a_test_or_says_why_it_cannot_be() -> None:
    marked = set(marks())

    assert [name for name, row in ROWS.items() if name not in marked and not row.not_here] == []
    assert marked <= set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_the_page_has_every_row_as_it_is(name: str) -> None:
    row = ROWS[name]
    lines = PAGE.read_text("utf-8").splitlines()

    (line,) = [each for each in lines if each.startswith(f"| {name} |")]
    assert f"| {literal(row.what)} | {literal(row.expect)}" in line


def outcome(row: str, outcome: str, reason: str = "", case: str = "") -> Outcome:
    return Outcome(
        test=f"tests/bus/test_x.py::TestY::test_it_goes_on[{case}]", rows=[row], outcome=outcome, reason=reason
    )


def line_of(name: str, *outcomes: Outcome) -> str:
    text, _ = page(outcomes)
    return next(line for line in text.splitlines() if line.startswith(f"| {name} |"))


def test_a_row_tells_its_tests_and_what_came_of_them() -> None:
    line = line_of("F1", outcome("F1", "passed"), outcome("F1", "skipped", "needs root", case="2"))

    assert line.endswith("| [bus/test_x](../tests/bus/test_x.py): it goes on | held, 1 case; 1 left out: needs root |")


def test_a_row_that_failed_or_that_nothing_proves_is_no_row_that_held() -> None:
    every = [outcome(name, "passed", case=name) for name in ROWS]

    assert page(every)[1]
    assert not page([*every, outcome("F2", "failed", case="F2")])[1]
    assert not page(every[1:])[1]
    assert "**failed**: 1 of 1" in line_of("F2", outcome("F2", "passed"), outcome("F2", "failed"))
    assert line_of("F3").endswith("| **not proved** |")
    assert line_of("F3", outcome("F3", "skipped", "no disk")).endswith("| **not proved**; 1 left out: no disk |")


PROJECT = """
import pytest

@pytest.fixture
def broken_at_its_end():
    yield
    raise RuntimeError

@pytest.mark.guarantees("F1")
def test_good(): pass

@pytest.mark.guarantees("F2", "F3")
def test_bad(): assert WRONG

@pytest.mark.guarantees("F4")
def test_bad_at_its_end(broken_at_its_end): pass

@pytest.mark.guarantees("F5")
def test_left_out(): pytest.skip("no disk")

def test_of_nothing(): pass
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[[str], "subprocess.CompletedProcess[str]"]:
    """Run a project of such tests."""

    def run_project(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_addoption, pytest_configure\n")
        (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = guarantees(*rows): proves\n")
        (tmp_path / "test_it.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
        command += ["--outcomes", str(tmp_path / "lines")]
        environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run_project


def test_several_runs_add_up_and_the_last_of_a_test_counts(
    run: Callable[[str], "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    assert run(PROJECT.replace("WRONG", "False")).returncode == 1
    assert run(PROJECT.replace("WRONG", "True")).returncode == 1
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text().splitlines()]
    said = {name: line_of(name, *lines).split(" | ")[-1] for name in ("F1", "F2", "F3", "F4")}

    assert len({line["test"] for line in lines}) == 4
    assert said == {
        "F1": "held, 1 case |",
        "F2": "held, 1 case |",
        "F3": "held, 1 case |",
        "F4": "**failed**: 1 of 1 |",
    }
    assert "left out: no disk" in line_of("F5", *lines)
    assert main(str(tmp_path / "lines"), str(tmp_path / "page.md")) == 1
    assert "## Hostile input" in (tmp_path / "page.md").read_text()


def test_a_row_that_there_is_not_stops_the_run(
    run: Callable[[str], "subprocess.CompletedProcess[str]"],
) -> None:
    result = run(PROJECT.replace("F1", "F1000"))

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "guarantees.toml has no F1000" in result.stdout + result.stderr
